//! A section: the pixels of one image HDU in a mapped file. Read by window; nothing is kept.
//!
//! Plain pixels are handed out as the bytes of the mapping. Those of a tile-compressed image are decoded on demand, only
//! the tiles that a window touches.

use std::cell::RefCell;
use std::fmt;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::map::Mapping;
use super::scan::{Hdu, HduKind};
use super::tiled::{Fault, Scratch, Tiled};
use crate::dtype::PixelFormat;
use crate::view::View;
use crate::window::Window;
use crate::{Error, Result};

/// Pixels in a file, with what makes values of them.
#[derive(Clone)]
pub struct Section {
    map: Arc<Mapping>,
    hdu: usize,
    pixels: Pixels,
    shape: Vec<usize>,
    format: PixelFormat,
}

#[derive(Clone)]
enum Pixels {
    /// One after the other from this byte on.
    Plain(u64),
    Tiled(Arc<Tiled>),
    /// Tiles that were decoded to a temporary file, from its start on.
    Spooled(Arc<Mapping>),
}

thread_local! {
    /// Tiles are decoded in here.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Section {
    /// `hdu` was scanned and is an image: its data lie inside the file, and its size fits u64.
    ///
    /// # Errors
    /// The table of a compressed image contradicts itself.
    pub(crate) fn new(map: Arc<Mapping>, hdu: &Hdu) -> Result<Self> {
        let pixels = match hdu.kind {
            HduKind::CompressedImage => Pixels::Tiled(Arc::new(Tiled::new(&map, hdu)?)),
            _ => Pixels::Plain(hdu.data.start),
        };
        Ok(Section {
            map,
            hdu: hdu.index,
            pixels,
            shape: hdu.shape.clone(),
            // A scanned image has a format; an HDU made by hand may not.
            format: hdu.format.unwrap_or(PixelFormat::native(crate::DType::U8)),
        })
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

    /// Where plain pixels start, and in which mapping; `None` if they must be decoded.
    fn plain(&self) -> Option<(&Mapping, u64)> {
        match &self.pixels {
            Pixels::Plain(start) if self.map.is_mapped() => Some((&self.map, *start)),
            Pixels::Plain(_) | Pixels::Tiled(_) => None,
            Pixels::Spooled(map) => Some((map, 0)),
        }
    }

    /// Whether the stored numbers lie in the file as they are, so that [`whole`](Self::whole) finds them.
    pub(crate) fn is_plain(&self) -> bool {
        self.plain().is_some()
    }

    /// Whether it is compressed, and not decoded to a temporary file.
    pub(crate) fn is_tiled(&self) -> bool {
        matches!(self.pixels, Pixels::Tiled(_))
    }

    /// Pixels of a full-width band that should be asked for at once; 1 if that does not matter.
    pub(crate) fn band(&self) -> usize {
        if let Pixels::Tiled(t) = &self.pixels { t.band() } else { 1 }
    }

    /// All stored bytes, if the section is plain.
    pub(crate) fn whole(&self) -> Option<&[u8]> {
        let (map, start) = self.plain()?;
        let bytes = self.shape.iter().product::<usize>() * self.format.size();
        Some(map.bytes(start, start + bytes as u64))
    }

    /// The file and the HDU, as the system knows them.
    pub(crate) fn origin(&self) -> (u64, u64, usize) {
        let (dev, ino) = self.map.identity();
        (dev, ino, self.hdu)
    }

    /// The stored bytes of pixels `flat` of a window that was checked, decoded if need be.
    ///
    /// # Errors
    /// A tile is damaged.
    pub(crate) fn read(&self, window: &Window, flat: Range<usize>, out: &mut [u8]) -> Result<()> {
        let (map, start) = match &self.pixels {
            Pixels::Tiled(tiled) => return self.decode(tiled, window, flat, out),
            Pixels::Plain(start) => (&self.map, *start),
            Pixels::Spooled(map) => (map, 0),
        };
        let (reader, size) = (map.reader()?, self.format.size());
        let mut at = 0;
        for run in window.runs(&self.shape, flat) {
            let bytes = run.len() * size;
            reader.read(start + (run.start * size) as u64, &mut out[at..at + bytes])?;
            at += bytes;
        }
        Ok(())
    }

    /// The same of a compressed image.
    fn decode(&self, tiled: &Tiled, window: &Window, flat: Range<usize>, out: &mut [u8]) -> Result<()> {
        let reader = self.map.reader()?;
        let read = SCRATCH.with_borrow_mut(|scratch| {
            let read = tiled.read(&reader, window, flat, scratch, out);
            scratch.trim();
            read
        });
        match read {
            Ok((bytes, place)) => {
                self.map.count(bytes);
                // As with plain pixels: a stack larger than memory must not fill it with pages.
                self.map.done_with(place.start, place.end);
                Ok(())
            }
            Err(Fault::Damaged(what)) => {
                // A file that was cut meanwhile explains any damage.
                self.map.check()?;
                Err(Error::Damaged { path: self.path().to_path_buf(), hdu: self.hdu, what })
            }
            Err(Fault::File(e)) => Err(e),
        }
    }

    /// The same section with its tiles decoded to an unlinked temporary file, band by band: for who cannot hold a band of
    /// every frame.
    ///
    /// # Errors
    /// A tile is damaged; the temporary file cannot be written.
    pub(crate) fn spooled(&self) -> Result<Self> {
        if !matches!(self.pixels, Pixels::Tiled(_)) {
            return Ok(self.clone());
        }
        let folder = std::env::temp_dir();
        let failed = |e| Error::io(&folder, "cannot write a temporary file")(e);
        let mut file = tempfile::tempfile_in(&folder).map_err(failed)?;
        let whole = Window::full(&self.shape);
        let mut bytes = Vec::new();
        let mut at = 0;
        while at < whole.len() {
            let end = whole.len().min(at + self.band());
            bytes.resize((end - at) * self.format.size(), 0);
            self.read(&whole, at..end, &mut bytes)?;
            file.write_all(&bytes).map_err(failed)?;
            at = end;
        }
        let map = Mapping::of_temporary(&file, self.path())?;
        Ok(Section { pixels: Pixels::Spooled(Arc::new(map)), ..self.clone() })
    }

    /// These pixels were read: lets go of their pages.
    pub(crate) fn done_with(&self, view: &View, flat: Range<usize>) {
        // The pages of a view of many runs go with the mapping: its rows share them with pixels still to be read.
        if let (Some((map, start)), Some(first)) = (self.plain(), view.contiguous()) {
            let size = self.format.size() as u64;
            let start = start + (first + flat.start) as u64 * size;
            map.done_with(start, start + flat.len() as u64 * size);
        }
    }

    /// Whether the first and the last of these pixels, and one between, are in memory, as far as the system says.
    pub(crate) fn is_in_memory(&self, view: &View, flat: &Range<usize>) -> bool {
        let (Some((map, start)), Some(first)) = (self.plain(), view.contiguous()) else { return false };
        let size = self.format.size() as u64;
        let place = |pixel: usize| start + (first + pixel) as u64 * size;
        let (begin, end) = (flat.start, flat.end.max(flat.start + 1));
        [begin, begin.midpoint(end), end - 1].into_iter().all(|pixel| map.is_in_memory(place(pixel)))
    }

    /// So many pixels are about to be read. Those that must be decoded are counted then.
    pub(crate) fn begin(&self, pixels: usize) {
        if matches!(self.pixels, Pixels::Plain(_)) {
            self.map.count(pixels as u64 * self.format.size() as u64);
        }
    }

    /// Tells the system that these pixels come next.
    pub(crate) fn expect(&self, view: &View, flat: Range<usize>) {
        let size = self.format.size() as u64;
        let Some((map, start)) = self.plain().filter(|_| view.is_plain()) else { return };
        let mut runs = view.runs(flat);
        if let Some(first) = runs.next() {
            let last = runs.last().unwrap_or(first.clone());
            map.will_need(start + first.start as u64 * size, start + last.end as u64 * size);
        }
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dtype = self.format.dtype();
        write!(f, "Section({}[{}], {dtype}, {:?}, memmapped)", self.map.path().display(), self.hdu, self.shape)
    }
}
