//! A plane: one array of pixels of a container, lazy (a view of a section) or in memory.
//!
//! Both answer the same question, the stored bytes of a range of pixels, so engines know no difference.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;

use crate::dtype::{DType, PixelFormat};
use crate::fits::{Header, Section};
use crate::kernels::decode;
use crate::pixels::{Element, Pixels};
use crate::placed::{Place, Placed};
use crate::real::Real;
use crate::slice::AxisSlice;
use crate::view::View;
use crate::window::Window;
use crate::{Error, Result};

#[derive(Clone)]
enum Source {
    Section(Section),
    Memory(Arc<Pixels>),
    /// Another plane on a larger grid.
    Placed(Arc<Placed>),
}

/// What makes a variance of the values of an uncertainty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Transform {
    /// They are what is wanted.
    #[default]
    None,
    /// They are standard deviations.
    Square,
    /// They are inverse variances.
    Reciprocal,
    /// They are the data themselves, whose noise is known.
    Noise(Noise),
}

/// What a detector adds to the variance of its data: gain in electrons a data unit, read noise in electrons. By their bits,
/// so that planes can be told apart by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Noise {
    gain: u64,
    read_noise: u64,
}

impl Noise {
    pub(crate) fn new(gain: f64, read_noise: f64) -> Self {
        Noise { gain: gain.to_bits(), read_noise: read_noise.to_bits() }
    }

    /// (gain max(x, 0) + read_noise^2) / gain^2, in f64; NaN of NaN.
    fn variance(self, x: f64) -> f64 {
        let (gain, read_noise) = (f64::from_bits(self.gain), f64::from_bits(self.read_noise));
        let above = if x < 0.0 { 0.0 } else { x };
        (gain * above + read_noise * read_noise) / (gain * gain)
    }
}

impl Transform {
    /// In the compute type.
    pub(crate) fn apply<T: Real>(self, values: &mut [T]) {
        match self {
            Transform::None => {}
            Transform::Square => values.iter_mut().for_each(|v| *v = *v * *v),
            Transform::Reciprocal => values.iter_mut().for_each(|v| *v = T::from_f32(1.0) / *v),
            Transform::Noise(noise) => values.iter_mut().for_each(|v| *v = T::from_f64(noise.variance(v.to_f64()))),
        }
    }
}

/// One array of pixels. Clones share what they have.
#[derive(Clone)]
pub(crate) struct Plane {
    source: Source,
    view: View,
    transform: Transform,
    /// Of the HDU that it comes from.
    header: Option<Arc<Header>>,
    loaded: OnceLock<Arc<Pixels>>,
}

/// Bytes of stored numbers that are decoded at once where a whole plane goes by.
const BAND_BYTES: usize = 4 << 20;
/// Bytes of stored numbers that a thread decodes at once.
const PIECE_BYTES: usize = 256 << 10;
/// Pixels that are collected at once before they are decoded.
const GATHER: usize = 1024;

thread_local! {
    /// Numbers that do not lie in runs are collected in here.
    static GATHERED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Where the pixels of a plane come from. Files are known by what the system knows them by, so that two openings of one
/// are the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    /// Device and inode, or an address; HDU.
    of: (u64, u64, usize),
    /// The plane that it is on a larger grid.
    placed: Option<(Box<Origin>, Place)>,
    view: View,
    transform: Transform,
}

impl Plane {
    pub(crate) fn lazy(section: Section, header: Arc<Header>) -> Self {
        let view = View::full(section.shape());
        let source = Source::Section(section);
        Plane { source, view, transform: Transform::None, header: Some(header), loaded: OnceLock::new() }
    }

    pub(crate) fn memory(pixels: Pixels) -> Self {
        Self::shared(Arc::new(pixels), None)
    }

    pub(crate) fn shared(pixels: Arc<Pixels>, header: Option<Arc<Header>>) -> Self {
        let view = View::full(pixels.shape());
        Plane { source: Source::Memory(pixels), view, transform: Transform::None, header, loaded: OnceLock::new() }
    }

    /// On a larger grid: as real numbers, with NaN where it is not. Reads nothing.
    pub(crate) fn placed(&self, place: Place) -> Self {
        self.on_grid(Placed::reals(self.clone(), place))
    }

    /// The same of a mask, with `no_data` where it is not.
    pub(crate) fn placed_mask(&self, place: Place) -> Self {
        self.on_grid(Placed::mask(self.clone(), place))
    }

    fn on_grid(&self, placed: Placed) -> Self {
        let view = View::full(&placed.place().shape);
        let source = Source::Placed(Arc::new(placed));
        Plane { source, view, transform: Transform::None, header: self.header.clone(), loaded: OnceLock::new() }
    }

    /// The array that this plane is, if it lies in memory as it is.
    fn array(&self) -> Option<&Arc<Pixels>> {
        match &self.source {
            // A plain view of as many pixels is all of them.
            Source::Memory(p)
                if self.transform == Transform::None && self.view.is_plain() && self.view.shape() == p.shape() =>
            {
                Some(p)
            }
            _ => None,
        }
    }

    /// The same pixels, read as a variance.
    pub(crate) fn transformed(&self, transform: Transform) -> Self {
        if transform == self.transform {
            return self.clone();
        }
        Plane { transform, loaded: OnceLock::new(), ..self.clone() }
    }

    /// What its decoded values go through.
    pub(crate) fn transform(&self) -> Transform {
        self.transform
    }

    /// The header of its HDU, if it comes from one.
    pub(crate) fn header(&self) -> Option<&Arc<Header>> {
        self.header.as_ref()
    }

    /// numpy order.
    pub(crate) fn shape(&self) -> Vec<usize> {
        self.view.shape()
    }

    /// Pixels.
    pub(crate) fn len(&self) -> usize {
        self.view.len()
    }

    /// Type of the values.
    pub(crate) fn dtype(&self) -> DType {
        match self.transform {
            Transform::None => self.format().dtype(),
            _ if self.format().dtype().fits_f32() => DType::F32,
            _ => DType::F64,
        }
    }

    /// How stored bytes become values.
    pub(crate) fn format(&self) -> PixelFormat {
        match &self.source {
            Source::Section(s) => s.format(),
            Source::Memory(p) => PixelFormat::native(p.dtype()),
            Source::Placed(p) => p.format(),
        }
    }

    /// By slices that fit; reads nothing.
    pub(crate) fn sliced(&self, slices: &[AxisSlice]) -> Plane {
        self.seen(self.view.sliced(slices))
    }

    /// With its axes in another order; reads nothing.
    pub(crate) fn transposed(&self, order: &[usize]) -> Plane {
        self.seen(self.view.transposed(order))
    }

    /// Repeated to a shape by numpy's rules; reads nothing.
    ///
    /// # Errors
    /// The shapes do not go together.
    pub(crate) fn broadcast(&self, shape: &[usize]) -> Result<Plane> {
        Ok(self.seen(self.view.broadcast(shape).map_err(|e| self.locate(e))?))
    }

    fn seen(&self, view: View) -> Plane {
        if view == self.view {
            return self.clone();
        }
        Plane { view, loaded: OnceLock::new(), ..self.clone() }
    }

    /// What it is of: planes of one origin have the same pixels.
    pub(crate) fn origin(&self) -> Origin {
        let of = match &self.source {
            Source::Section(s) => s.origin(),
            Source::Memory(p) => (Arc::as_ptr(p) as u64, 0, usize::MAX),
            Source::Placed(_) => (0, 0, usize::MAX),
        };
        let placed = match &self.source {
            Source::Placed(p) => Some((Box::new(p.inner().origin()), p.place().clone())),
            Source::Section(_) | Source::Memory(_) => None,
        };
        Origin { of, placed, view: self.view.clone(), transform: self.transform }
    }

    /// Whether a value can be NaN or infinite.
    pub(crate) fn can_be_nonfinite(&self) -> bool {
        matches!(self.transform, Transform::Square | Transform::Reciprocal) || self.format().can_be_nonfinite()
    }

    /// Whether its stored numbers lie somewhere as they are, so that [`fill`](Self::fill) finds them; otherwise they
    /// must be [`read`](Self::read) first.
    pub(crate) fn is_plain(&self) -> bool {
        match &self.source {
            Source::Section(s) => s.is_plain(),
            Source::Memory(_) => true,
            Source::Placed(_) => false,
        }
    }

    /// Whether its pixels must be decoded, and not in their order.
    pub(crate) fn is_crosswise(&self) -> bool {
        match &self.source {
            Source::Placed(p) => p.inner().is_crosswise(),
            _ => self.section().is_some_and(Section::is_tiled) && !self.view.is_plain(),
        }
    }

    /// Pixels that should be asked for at once, since they are decoded together; 1 if that does not matter.
    pub(crate) fn band(&self) -> usize {
        let Source::Section(section) = &self.source else { return 1 };
        let row = |shape: &[usize]| shape.last().copied().unwrap_or(1).max(1);
        if !self.view.is_plain() {
            return 1;
        }
        // As many rows of the window as of the image.
        (section.band() / row(section.shape()) * row(&self.shape())).clamp(1, self.len().max(1))
    }

    /// The stored bytes of pixels `flat` in C order, decoded if need be.
    ///
    /// # Errors
    /// A compressed tile is damaged.
    pub(crate) fn read(&self, flat: Range<usize>, out: &mut [u8]) -> Result<()> {
        let size = self.format().size();
        if !self.is_plain() {
            let read = |window: &Window, flat: Range<usize>, out: &mut [u8]| match &self.source {
                Source::Section(s) => s.read(window, flat, out),
                Source::Placed(p) => p.read(window, flat, out),
                Source::Memory(_) => Ok(()),
            };
            if self.view.is_plain() {
                return read(self.view.window(), flat, out);
            }
            if flat.is_empty() {
                return Ok(());
            }
            let (window, part, first) = self.view.boxed(&flat);
            let mut bytes = decode::reserve_with(&[window.len() * size], 0u8)?;
            read(&window, 0..window.len(), &mut bytes)?;
            part.gather(&bytes, size, first..first + flat.len(), out);
            return Ok(());
        }
        let mut at = 0;
        self.pieces(flat, |bytes| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        });
        Ok(())
    }

    /// All bytes of the source, if they lie somewhere as they are.
    fn whole(&self) -> Option<&[u8]> {
        match &self.source {
            Source::Section(s) => s.whole(),
            Source::Memory(p) => Some(p.as_bytes()),
            Source::Placed(_) => None,
        }
    }

    /// Calls `each` with the stored bytes of one band after the other, checking that the file is what it was.
    ///
    /// # Errors
    /// The file changed, or is damaged; or `each` says so.
    pub(crate) fn bands(&self, each: impl FnMut(Range<usize>, &[u8]) -> Result<()>) -> Result<()> {
        self.bands_of(0..self.len(), each)
    }

    /// The same of these pixels alone.
    pub(crate) fn bands_of(
        &self,
        part: Range<usize>,
        mut each: impl FnMut(Range<usize>, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let size = self.format().size();
        let step = (BAND_BYTES / size).max(1).next_multiple_of(self.band());
        let mut bytes = Vec::new();
        let mut start = part.start;
        while start < part.end {
            let flat = start..part.end.min(start + step);
            self.begin(flat.len());
            self.expect(flat.clone());
            let done = match self.slice(flat.clone()) {
                Some(run) => each(flat.clone(), run),
                None => {
                    bytes.resize(flat.len() * size, 0);
                    self.read(flat.clone(), &mut bytes).and_then(|()| each(flat.clone(), &bytes))
                }
            };
            self.done_with(flat.clone());
            // A file that was cut explains any failure: the system cannot write from a page that is gone.
            if let Some(s) = self.section() {
                s.mapping().check()?;
            }
            done?;
            start = flat.end;
        }
        Ok(())
    }

    /// The same plane with compressed tiles decoded to a temporary file.
    pub(crate) fn spooled(&self) -> Result<Self> {
        match &self.source {
            Source::Section(s) => Ok(Plane { source: Source::Section(s.spooled()?), ..self.clone() }),
            Source::Memory(_) => Ok(self.clone()),
            Source::Placed(p) => Ok(Plane { source: Source::Placed(Arc::new(p.spooled()?)), ..self.clone() }),
        }
    }

    /// The section, if the pixels are still in a file.
    pub(crate) fn section(&self) -> Option<&Section> {
        match &self.source {
            Source::Section(s) => Some(s),
            Source::Memory(_) => None,
            Source::Placed(p) => p.inner().section(),
        }
    }

    /// Bytes of its pixels in a file, if they are still there.
    pub(crate) fn bytes_in_file(&self) -> u64 {
        match &self.source {
            Source::Section(s) => (self.len() * s.format().size()) as u64,
            Source::Memory(_) => 0,
            Source::Placed(p) => p.inner().bytes_in_file(),
        }
    }

    /// The HDU that the pixels are in, if they are still in a file.
    pub(crate) fn hdu(&self) -> Option<usize> {
        self.section().map(Section::hdu)
    }

    /// Whether no pixel was loaded into memory.
    pub(crate) fn is_lazy(&self) -> bool {
        let in_file = match &self.source {
            Source::Section(_) => true,
            Source::Memory(_) => false,
            Source::Placed(p) => p.inner().is_lazy(),
        };
        in_file && self.loaded.get().is_none()
    }

    /// Stored bytes of pixels `flat` in C order, where they are one run.
    pub(crate) fn slice(&self, flat: Range<usize>) -> Option<&[u8]> {
        let (size, first) = (self.format().size(), self.view.contiguous()?);
        Some(&self.whole()?[(first + flat.start) * size..(first + flat.end) * size])
    }

    /// The values of pixels `flat` in C order, where they lie in memory as they are.
    pub(crate) fn values<V: Element + bytemuck::Pod>(&self, flat: Range<usize>) -> Option<&[V]> {
        let Source::Memory(pixels) = &self.source else { return None };
        if self.transform != Transform::None || pixels.dtype() != V::DTYPE {
            return None;
        }
        bytemuck::try_cast_slice(self.slice(flat)?).ok()
    }

    /// So many pixels are about to be read.
    pub(crate) fn begin(&self, pixels: usize) {
        if let Source::Section(s) = &self.source {
            s.begin(pixels);
        }
    }

    /// Tells the system that these pixels come next.
    pub(crate) fn expect(&self, flat: Range<usize>) {
        if let Source::Section(s) = &self.source {
            s.expect(&self.view, flat);
        } else if let (Source::Placed(p), Some(first)) = (&self.source, self.view.contiguous()) {
            p.inner().expect(p.image(first + flat.start..first + flat.end));
        }
    }

    /// Whether the first and the last of these pixels, and one between, are in memory, as far as the system says.
    pub(crate) fn is_in_memory(&self, flat: &Range<usize>) -> bool {
        let Source::Section(s) = &self.source else { return true };
        s.is_in_memory(&self.view, flat)
    }

    /// These pixels were read: lets go of their pages.
    pub(crate) fn done_with(&self, flat: Range<usize>) {
        if let Source::Section(s) = &self.source {
            s.done_with(&self.view, flat);
        } else if let (Source::Placed(p), Some(first)) = (&self.source, self.view.contiguous()) {
            p.inner().done_with(p.image(first + flat.start..first + flat.end));
        }
    }

    /// Calls `decode` with each run of stored bytes of `flat` and the place of its pixels in `out`.
    pub(crate) fn fill<T>(&self, flat: Range<usize>, out: &mut [T], mut decode: impl FnMut(&[u8], &mut [T])) {
        let size = self.format().size();
        let mut at = 0;
        self.pieces(flat, |bytes| {
            let n = bytes.len() / size;
            decode(bytes, &mut out[at..at + n]);
            at += n;
        });
    }

    /// Calls `each` with one piece of the stored bytes of `flat` after the other. There are none if the plane is not
    /// plain.
    pub(crate) fn pieces(&self, flat: Range<usize>, mut each: impl FnMut(&[u8])) {
        if let Some(bytes) = self.slice(flat.clone()) {
            return each(bytes);
        }
        let Some(bytes) = self.whole() else { return };
        let size = self.format().size();
        if self.view.is_plain() {
            for run in self.view.runs(flat) {
                each(&bytes[run.start * size..run.end * size]);
            }
            return;
        }
        GATHERED.with_borrow_mut(|gathered| {
            let mut start = flat.start;
            while start < flat.end {
                let n = GATHER.min(flat.end - start);
                gathered.resize(n * size, 0);
                self.view.gather(bytes, size, start..start + n, gathered);
                each(gathered);
                start += n;
            }
        });
    }

    /// The pixels in their exact type, loaded once.
    pub(crate) fn get(&self) -> Result<&Pixels> {
        if let Some(pixels) = self.array() {
            return Ok(pixels);
        }
        if self.loaded.get().is_none() {
            let pixels = Arc::new(self.load()?);
            // Another thread may have been faster; then its copy stays.
            let _ = self.loaded.set(pixels);
        }
        self.loaded.get().map(AsRef::as_ref).ok_or_else(|| Error::Parameter("plane could not be loaded".into()))
    }

    /// The same without keeping what had to be loaded.
    pub(crate) fn pixels(&self) -> Result<Arc<Pixels>> {
        match self.array().or_else(|| self.loaded.get()) {
            Some(pixels) => Ok(pixels.clone()),
            None => Ok(Arc::new(self.load()?)),
        }
    }

    /// The pixels, to be changed: loaded if they are not, and copied if others have them too. The plane keeps its
    /// header.
    pub(crate) fn edit(&mut self) -> Result<&mut Pixels> {
        if self.array().is_none() {
            let pixels = match self.loaded.take() {
                Some(pixels) => pixels,
                None => Arc::new(self.load()?),
            };
            *self = Self::shared(pixels, self.header.take());
        }
        match &mut self.source {
            Source::Memory(pixels) => Ok(Arc::make_mut(pixels)),
            Source::Section(_) | Source::Placed(_) => Err(Error::Parameter("plane could not be loaded".into())),
        }
    }

    /// Its array, if it is in memory, whole, and nobody else's.
    pub(crate) fn into_array(self) -> Option<Pixels> {
        match self.source {
            Source::Memory(pixels) => Arc::try_unwrap(pixels).ok(),
            Source::Section(_) | Source::Placed(_) => Arc::try_unwrap(self.loaded.into_inner()?).ok(),
        }
    }

    fn load(&self) -> Result<Pixels> {
        if let Some(s) = self.section() {
            s.mapping().check()?;
        }
        self.begin(self.len());
        self.expect(0..self.len());
        let pixels = self.load_now()?;
        if let Some(s) = self.section() {
            s.mapping().check()?;
        }
        Ok(pixels)
    }

    fn load_now(&self) -> Result<Pixels> {
        let (format, shape) = (self.format(), self.shape());
        let decoded;
        let bytes = match self.slice(0..self.len()) {
            Some(bytes) => bytes,
            None => {
                decoded = self.decoded()?;
                decoded.as_slice()
            }
        };
        match (self.transform, self.dtype()) {
            (Transform::None, _) => decode::exact(&format, bytes, &shape),
            (_, DType::F32) => decode::all_real::<f32>(&format, bytes, &shape, self.transform),
            _ => decode::all_real::<f64>(&format, bytes, &shape, self.transform),
        }
    }

    /// All stored bytes, collected by all threads.
    fn decoded(&self) -> Result<Vec<u8>> {
        let size = self.format().size();
        let mut bytes = decode::reserve_with(&[self.len() * size], 0u8)?;
        let step = (PIECE_BYTES / size).max(1).next_multiple_of(self.band());
        bytes
            .par_chunks_mut(step * size)
            .enumerate()
            .try_for_each(|(i, out)| self.read(i * step..i * step + out.len() / size, out))?;
        Ok(bytes)
    }

    /// Gives the memory of what was loaded back.
    pub(crate) fn unload(&mut self) {
        self.loaded = OnceLock::new();
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
            Source::Placed(p) => p.inner().label(),
        }
    }
}

impl fmt::Debug for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_lazy() { "memmapped" } else { "in memory" };
        write!(f, "{} {:?} ({state})", self.dtype(), self.shape())
    }
}
