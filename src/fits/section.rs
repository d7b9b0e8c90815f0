//! A section: the bytes of one image HDU in a mapped file. Read by window; nothing is kept.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::map::Mapping;
use super::scan::Hdu;
use crate::dtype::PixelFormat;
use crate::window::Window;

/// Big-endian pixels in a file, with what makes values of them.
#[derive(Clone)]
pub struct Section {
    map: Arc<Mapping>,
    hdu: usize,
    start: u64,
    shape: Vec<usize>,
    format: PixelFormat,
}

impl Section {
    /// `hdu` was scanned: its data lie inside the file, and its size fits u64.
    pub(crate) fn new(map: Arc<Mapping>, hdu: &Hdu) -> Self {
        Section {
            map,
            hdu: hdu.index,
            start: hdu.data.start,
            shape: hdu.shape.clone(),
            // A scanned image has a format; an HDU made by hand may not.
            format: hdu.format.unwrap_or(PixelFormat::native(crate::DType::U8)),
        }
    }

    /// numpy order.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Stored type and scaling.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.map.path()
    }

    /// Index of the HDU, from 0 with the primary.
    pub fn hdu(&self) -> usize {
        self.hdu
    }

    pub(crate) fn mapping(&self) -> &Arc<Mapping> {
        &self.map
    }

    /// The stored bytes of pixels `flat` (C order) of a window that was checked, as runs of consecutive bytes.
    pub(crate) fn runs<'a>(&'a self, window: &Window, flat: Range<usize>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let size = self.format.size() as u64;
        window
            .runs(&self.shape, flat)
            .map(move |run| self.map.bytes(self.start + run.start as u64 * size, self.start + run.end as u64 * size))
    }

    /// The same, where they are one run: the window is whole but for its slowest axis.
    pub(crate) fn slice(&self, window: &Window, flat: Range<usize>) -> Option<&[u8]> {
        let size = self.format.size() as u64;
        let first = window.contiguous(&self.shape)? + flat.start;
        let start = self.start + first as u64 * size;
        Some(self.map.bytes(start, start + flat.len() as u64 * size))
    }

    /// These pixels were read: lets go of their pages.
    pub(crate) fn done_with(&self, window: &Window, flat: Range<usize>) {
        // The pages of a window of many runs go with the mapping: its rows share them with pixels still to be read.
        if let Some(first) = window.contiguous(&self.shape) {
            let size = self.format.size() as u64;
            let start = self.start + (first + flat.start) as u64 * size;
            self.map.done_with(start, start + flat.len() as u64 * size);
        }
    }

    /// These pixels come next: counts them as read, and tells the system.
    pub(crate) fn begin(&self, window: &Window, flat: Range<usize>) {
        let size = self.format.size() as u64;
        self.map.count(flat.len() as u64 * size);
        let mut runs = window.runs(&self.shape, flat);
        if let Some(first) = runs.next() {
            let last = runs.last().unwrap_or(first.clone());
            self.map.will_need(self.start + first.start as u64 * size, self.start + last.end as u64 * size);
        }
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dtype = self.format.dtype();
        write!(f, "Section({}[{}], {dtype}, {:?}, memmapped)", self.map.path().display(), self.hdu, self.shape)
    }
}
