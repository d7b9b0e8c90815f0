//! FITS files: headers, sections of mapped bytes, the association of planes, and the writer.
//!
//! Nothing here knows of kernels, variance rules or devices.

pub(crate) mod checksum;
mod file;
mod guard;
pub mod header;
mod layout;
mod map;
mod scan;
mod section;
mod writer;

pub use file::FitsFile;
pub use header::{Header, Value};
pub(crate) use layout::{contradiction, groups};
pub use scan::{Hdu, HduKind};
pub use section::Section;
pub use writer::{FitsWriter, ImageSpec};
#[cfg(feature = "cli")]
pub(crate) use writer::{check_target, folder_of};
