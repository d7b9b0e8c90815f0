//! An HDU that is carried as it is: tables, random groups, images that nobody asked to be decoded.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::header::{BLOCK, Header};
use super::map::Mapping;
use super::scan::{Hdu, HduKind};
use crate::Result;

/// An HDU in a file, not read yet.
#[derive(Clone)]
pub struct RawHdu {
    map: Arc<Mapping>,
    hdu: Hdu,
    /// With the bytes of the file that follow it.
    tail: bool,
}

impl RawHdu {
    pub(super) fn new(map: Arc<Mapping>, hdu: &Hdu) -> Self {
        RawHdu { map, hdu: hdu.clone(), tail: false }
    }

    /// With all that follows it in its file.
    pub(super) fn with_tail(self) -> Self {
        RawHdu { tail: true, ..self }
    }

    /// Index in its file, from 0 with the primary.
    pub fn index(&self) -> usize {
        self.hdu.index
    }

    /// Table, groups, image...
    pub fn kind(&self) -> &HduKind {
        &self.hdu.kind
    }

    /// EXTNAME.
    pub fn name(&self) -> Option<&str> {
        self.hdu.name.as_deref()
    }

    /// EXTVER.
    pub fn ver(&self) -> Option<i64> {
        self.hdu.ver
    }

    /// The cards, those of its layout included.
    pub fn header(&self) -> &Header {
        &self.hdu.header
    }

    /// Bytes of its data, without padding.
    pub fn len(&self) -> u64 {
        self.hdu.data.end - self.hdu.data.start
    }

    /// Whether it has no data.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of its data (rows, heap), without padding.
    ///
    /// # Errors
    /// The file changed since it was opened.
    pub fn read(&self) -> Result<Vec<u8>> {
        let bytes = self.map.reader()?.get(self.hdu.data.start, self.hdu.data.end)?.into_owned();
        self.map.count(bytes.len() as u64);
        self.map.check()?;
        Ok(bytes)
    }

    /// Where its header is in the file.
    pub(super) fn header_range(&self) -> Range<u64> {
        self.hdu.start..self.hdu.data.start
    }

    /// Where its data are, with the padding that is there.
    pub(super) fn padded(&self) -> Range<u64> {
        self.hdu.data.start..self.hdu.data.end.next_multiple_of(BLOCK as u64).min(self.map.len())
    }

    /// The bytes to carry besides the header.
    pub(super) fn data_range(&self) -> Range<u64> {
        let padded = self.padded();
        padded.start..if self.tail { self.map.len().max(padded.end) } else { padded.end }
    }

    /// Bytes that carrying it reads.
    pub(crate) fn carried_bytes(&self) -> u64 {
        let range = self.data_range();
        range.end - range.start
    }

    pub(super) fn mapping(&self) -> &Mapping {
        &self.map
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.hdu.index == 0
    }
}

impl fmt::Debug for RawHdu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, {} bytes (memmapped)", self.hdu.label(), self.hdu.kind.name(), self.len())
    }
}
