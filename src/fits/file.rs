//! An open FITS file: the mapping and its HDUs. Opening reads headers only.

use std::path::Path;
use std::sync::Arc;

use super::map::Mapping;
use super::scan::{Hdu, HduKind, scan};
use super::section::Section;
use crate::{Error, Result};

/// A mapped FITS file, shared by the sections taken from it.
#[derive(Clone)]
pub struct FitsFile {
    map: Arc<Mapping>,
    hdus: Arc<Vec<Hdu>>,
}

impl FitsFile {
    /// Opens a plain file and checks all its headers. No pixel is read.
    ///
    /// # Errors
    /// The file cannot be read, is not FITS, is truncated, or has a header that contradicts itself.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let map = Mapping::open(path.as_ref())?;
        let hdus = scan(&map);
        // What was parsed while the file changed is not worth an explanation.
        map.check()?;
        Ok(FitsFile { map: Arc::new(map), hdus: Arc::new(hdus?) })
    }

    /// The HDUs, primary first.
    pub fn hdus(&self) -> &[Hdu] {
        &self.hdus
    }

    /// The name it was opened by.
    pub fn path(&self) -> &Path {
        self.map.path()
    }

    /// Bytes of this file that were looked at so far: headers at opening, then what windows asked for.
    pub fn bytes_read(&self) -> u64 {
        let (headers, pixels) = self.map.bytes_read();
        headers + pixels
    }

    /// Whether `meta` is of this very file, under whatever name.
    pub(crate) fn is_file(&self, meta: &std::fs::Metadata) -> bool {
        self.map.is_file(meta)
    }

    /// The pixels of an image HDU, not read yet.
    ///
    /// # Errors
    /// The HDU is no image, has no pixels, or is of a kind that cannot be read.
    pub fn section(&self, index: usize) -> Result<Section> {
        let hdu = self.hdus.get(index).ok_or_else(|| Error::NoExtension {
            path: self.path().to_path_buf(),
            wanted: index.to_string(),
            found: format!("{} HDUs", self.hdus.len()),
        })?;
        let refuse =
            |what: &str| Error::Unsupported { path: self.path().to_path_buf(), hdu: index, what: what.to_string() };
        match hdu.kind {
            HduKind::Image if hdu.has_pixels() => Ok(Section::new(self.map.clone(), hdu)),
            HduKind::Image => Err(refuse("it has no pixels")),
            HduKind::CompressedImage => {
                Err(refuse("its image is tile-compressed, which this version does not read; unpack it first (funpack)"))
            }
            _ => Err(refuse("it is not an image")),
        }
    }
}
