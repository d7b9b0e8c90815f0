//! A plane: one array of pixels of a container, lazy (a window of a section) or in memory.
//!
//! Both answer the same question, the stored bytes of a range of pixels, so engines know no difference.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::dtype::{DType, PixelFormat};
use crate::fits::Section;
use crate::kernels::decode;
use crate::pixels::Pixels;
use crate::window::Window;
use crate::{Error, Result};

#[derive(Clone)]
enum Source {
    Section(Section),
    Memory(Arc<Pixels>),
}

/// One array of pixels. Clones share what they have.
#[derive(Clone)]
pub(crate) struct Plane {
    source: Source,
    window: Window,
    loaded: OnceLock<Arc<Pixels>>,
}

impl Plane {
    pub(crate) fn lazy(section: Section) -> Self {
        let window = Window::full(section.shape());
        Plane { source: Source::Section(section), window, loaded: OnceLock::new() }
    }

    pub(crate) fn memory(pixels: Pixels) -> Self {
        let window = Window::full(pixels.shape());
        let pixels = Arc::new(pixels);
        let loaded = OnceLock::from(pixels.clone());
        Plane { source: Source::Memory(pixels), window, loaded }
    }

    /// numpy order.
    pub(crate) fn shape(&self) -> Vec<usize> {
        self.window.shape()
    }

    /// Pixels.
    pub(crate) fn len(&self) -> usize {
        self.window.len()
    }

    /// Type of the values.
    pub(crate) fn dtype(&self) -> DType {
        self.format().dtype()
    }

    /// How the bytes of [`runs`](Self::runs) become values.
    pub(crate) fn format(&self) -> PixelFormat {
        match &self.source {
            Source::Section(s) => s.format(),
            Source::Memory(p) => PixelFormat::native(p.dtype()),
        }
    }

    /// The part of this plane in `window`; reads nothing.
    pub(crate) fn window(&self, window: &Window) -> Result<Plane> {
        Ok(Plane {
            source: self.source.clone(),
            window: self.window.within(window).map_err(|e| self.locate(e))?,
            loaded: OnceLock::new(),
        })
    }

    /// The section, if the pixels are still in a file.
    pub(crate) fn section(&self) -> Option<&Section> {
        if let Source::Section(s) = &self.source { Some(s) } else { None }
    }

    /// Whether no pixel was loaded into memory.
    pub(crate) fn is_lazy(&self) -> bool {
        matches!(self.source, Source::Section(_)) && self.loaded.get().is_none()
    }

    /// Stored bytes of pixels `flat` in C order.
    pub(crate) fn runs<'a>(&'a self, flat: Range<usize>) -> Box<dyn Iterator<Item = &'a [u8]> + 'a> {
        match &self.source {
            Source::Section(s) => Box::new(s.runs(&self.window, flat)),
            Source::Memory(p) => {
                let (bytes, size) = (p.as_bytes(), p.dtype().size());
                Box::new(self.window.runs(p.shape(), flat).map(move |r| &bytes[r.start * size..r.end * size]))
            }
        }
    }

    /// The same bytes, where they are one run.
    pub(crate) fn slice(&self, flat: Range<usize>) -> Option<&[u8]> {
        match &self.source {
            Source::Section(s) => s.slice(&self.window, flat),
            Source::Memory(p) => {
                let (size, first) = (p.dtype().size(), self.window.contiguous(p.shape())?);
                Some(&p.as_bytes()[(first + flat.start) * size..(first + flat.end) * size])
            }
        }
    }

    /// These pixels come next: counts them as read, and tells the system.
    pub(crate) fn begin(&self, flat: Range<usize>) {
        if let Source::Section(s) = &self.source {
            s.begin(&self.window, flat);
        }
    }

    /// These pixels were read: lets go of their pages.
    pub(crate) fn done_with(&self, flat: Range<usize>) {
        if let Source::Section(s) = &self.source {
            s.done_with(&self.window, flat);
        }
    }

    /// Calls `decode` with each run of stored bytes of `flat` and the place of its pixels in `out`.
    pub(crate) fn fill<T>(&self, flat: Range<usize>, out: &mut [T], mut decode: impl FnMut(&[u8], &mut [T])) {
        if let Some(bytes) = self.slice(flat.clone()) {
            return decode(bytes, out);
        }
        let size = self.format().size();
        let mut at = 0;
        for run in self.runs(flat) {
            let n = run.len() / size;
            decode(run, &mut out[at..at + n]);
            at += n;
        }
    }

    /// The pixels in their exact type, loaded once.
    pub(crate) fn get(&self) -> Result<&Pixels> {
        if self.loaded.get().is_none() {
            let pixels = Arc::new(self.read()?);
            // Another thread may have been faster; then its copy stays.
            let _ = self.loaded.set(pixels);
        }
        self.loaded.get().map(AsRef::as_ref).ok_or_else(|| Error::Parameter("plane could not be loaded".into()))
    }

    fn read(&self) -> Result<Pixels> {
        if let Some(s) = self.section() {
            s.mapping().check()?;
        }
        self.begin(0..self.len());
        let pixels = decode::exact(&self.format(), self.runs(0..self.len()), &self.shape())?;
        if let Some(s) = self.section() {
            s.mapping().check()?;
        }
        Ok(pixels)
    }

    /// The values as f64, not kept: scaled ones are not rounded to f32 on the way.
    #[cfg(feature = "cli")]
    pub(crate) fn values_f64(&self) -> Result<Pixels> {
        decode::all_real::<f64>(&self.format(), self.runs(0..self.len()), &self.shape())
    }

    /// Gives the memory of a lazy plane back.
    pub(crate) fn unload(&mut self) {
        if matches!(self.source, Source::Section(_)) {
            self.loaded = OnceLock::new();
        }
    }

    /// An error of a window, with the file and HDU that it was of.
    fn locate(&self, e: Error) -> Error {
        match e {
            Error::Window { window, shape, .. } => Error::Window { what: self.label(), window, shape },
            other => other,
        }
    }

    /// For messages: file and HDU, or "array in memory".
    pub(crate) fn label(&self) -> String {
        match &self.source {
            Source::Section(s) => format!("{}: HDU {}", crate::error::show(s.path()), s.hdu()),
            Source::Memory(_) => "array in memory".into(),
        }
    }
}

impl fmt::Debug for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_lazy() { "memmapped" } else { "in memory" };
        write!(f, "{} {:?} ({state})", self.dtype(), self.shape())
    }
}
