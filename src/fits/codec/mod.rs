//! The packings of tiles: FITS standard 4.0, section 10. Each turns bytes into integers or bytes, and knows nothing of
//! images.

pub(super) mod gzip;
pub(super) mod hcompress;
pub(super) mod plio;
pub(super) mod quantize;
pub(super) mod rice;
