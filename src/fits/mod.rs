//! FITS files: headers, sections of mapped bytes, the association of planes, and the writer.
//!
//! Nothing here knows of kernels, variance rules or devices.

mod bands;
mod cards;
pub(crate) mod checksum;
mod codec;
mod columns;
mod file;
mod guard;
pub mod header;
mod inflate;
mod layout;
mod lzw;
mod map;
mod options;
mod pack;
mod raw;
mod scan;
mod section;
mod syncer;
mod tiled;
mod writer;

pub(crate) use bands::BandWriter;
pub use bands::merge;
pub use file::FitsFile;
pub use header::{Header, Value};
pub(crate) use layout::{Group, associate, contradiction};
pub use layout::{Layout, UncertaintyKind};
pub use options::OpenOptions;
pub use pack::{Compression, Method};
pub use raw::RawHdu;
pub use scan::{Hdu, HduKind};
pub use section::Section;
pub use writer::{FitsWriter, HduSpec, ImageSpec};
#[cfg(feature = "cli")]
pub(crate) use writer::{check_target, folder_of};
