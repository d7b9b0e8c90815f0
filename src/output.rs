//! Where results go in a file. And what all jobs share around the loop over tiles.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rayon::prelude::*;

use crate::arrays::word_of;
use crate::dtype::DType;
use crate::error::unless_cancelled;
use crate::fits::{Compression, FitsFile, FitsWriter};
use crate::plane::Plane;
use crate::real::Real;
use crate::simd::{Loop, dispatch};
use crate::tiles::{Control, Numbers, Part, Sink, Tile};
use crate::{Error, Result};

/// Host memory for buffers unless told otherwise.
pub const DEFAULT_MEMORY: u64 = 1 << 30;

/// Called with (pixels done, pixels in all), from one thread at a time.
pub type Progress = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// How a job is run, whatever it computes.
#[derive(Clone)]
pub(crate) struct Settings {
    pub memory: u64,
    pub compression: Option<Compression>,
    pub cancel: Option<Arc<AtomicBool>>,
    pub progress: Option<Progress>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { memory: DEFAULT_MEMORY, compression: None, cancel: None, progress: None }
    }
}

/// The methods of a job that say how it is run.
macro_rules! settings_methods {
    () => {
        /// Bytes of host memory for buffers; [`DEFAULT_MEMORY`](crate::DEFAULT_MEMORY) unless set.
        pub fn memory(mut self, bytes: u64) -> Self {
            self.settings.memory = bytes;
            self
        }

        /// Tile compression of the file that is written.
        pub fn compression(mut self, compression: Option<crate::fits::Compression>) -> Self {
            self.settings.compression = compression;
            self
        }

        /// A flag that stops the run with [`Error::Interrupted`](crate::Error::Interrupted) when it becomes true.
        pub fn cancel(mut self, flag: std::sync::Arc<std::sync::atomic::AtomicBool>) -> Self {
            self.settings.cancel = Some(flag);
            self
        }

        /// Tells how far the run is.
        pub fn progress(mut self, progress: crate::Progress) -> Self {
            self.settings.progress = Some(progress);
            self
        }

        /// The same, if there is someone to tell.
        #[cfg(feature = "cli")]
        pub(crate) fn watched(mut self, progress: Option<crate::Progress>) -> Self {
            self.settings.progress = progress;
            self
        }
    };
}
pub(crate) use settings_methods;

impl Settings {
    /// Calls `run` with what steers the loop over tiles.
    pub(crate) fn steer<R>(&self, run: impl FnOnce(&Control<'_>) -> R) -> R {
        let progress = self.progress.as_deref().map(|p| |done: u64, all: u64| p(done, all));
        run(&Control {
            memory: self.memory,
            cancel: self.cancel.as_deref(),
            progress: progress.as_ref().map(|p| p as &(dyn Fn(u64, u64) + Sync)),
        })
    }
}

/// An output that is an input would destroy it.
pub(crate) fn refuse_input<'a>(path: &Path, mut inputs: impl Iterator<Item = &'a FitsFile>) -> Result<()> {
    let Ok(meta) = std::fs::metadata(path) else { return Ok(()) };
    if inputs.any(|f| f.is_file(&meta)) { Err(Error::OutputIsInput { path: path.to_path_buf() }) } else { Ok(()) }
}

/// The same of the files behind some planes.
pub(crate) fn refuse_source<'a>(path: &Path, mut planes: impl Iterator<Item = &'a Plane>) -> Result<()> {
    let Ok(meta) = std::fs::metadata(path) else { return Ok(()) };
    let is_source = |p: &Plane| p.section().is_some_and(|s| s.mapping().is_file(&meta));
    if planes.any(is_source) { Err(Error::OutputIsInput { path: path.to_path_buf() }) } else { Ok(()) }
}

/// Bytes of headers and of pixels read so far in all files behind these planes.
pub(crate) fn bytes_read<'a>(planes: impl Iterator<Item = &'a Plane>) -> (u64, u64) {
    let mut seen = HashSet::new();
    let mappings = planes.filter_map(Plane::section).map(|s| s.mapping());
    mappings.filter(|m| seen.insert(Arc::as_ptr(m))).map(|m| m.bytes_read()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
}

/// A band of more pixels is no tile of any engine.
const BAND_PIXELS: usize = 512 << 10;
/// About what a pixel takes in buffers besides the stored numbers of its planes.
const PIXEL_BYTES: usize = 64;

/// Planes whose compressed tiles are so large that a band of every one is no tile of the engine are decoded to temporary
/// files first: otherwise each of their tiles would be decoded for every piece of it. So are those that are not read in
/// the order of their tiles.
pub(crate) fn spooled<'a>(planes: &'a [Plane], settings: &Settings) -> Result<Cow<'a, [Plane]>> {
    if !spools(planes, settings) {
        return Ok(Cow::Borrowed(planes));
    }
    let band = planes.iter().filter(|p| !p.is_plain()).map(|p| p.band()).max().unwrap_or(0);
    let one = |p: &Plane| unless_cancelled(settings.cancel.as_deref()).and_then(|()| p.spooled());
    // Each thread holds a band and what decodes it.
    let held = (rayon::current_num_threads() * band * PIXEL_BYTES / 2) as u64;
    let done: Result<Vec<_>> =
        if held <= settings.memory { planes.par_iter().map(one).collect() } else { planes.iter().map(one).collect() };
    done.map(Cow::Owned)
}

/// Whether that is so.
pub(crate) fn spools(planes: &[Plane], settings: &Settings) -> bool {
    let packed: Vec<&Plane> = planes.iter().filter(|p| !p.is_plain()).collect();
    let band = packed.iter().map(|p| p.band()).max().unwrap_or(0);
    let pixel: usize = packed.iter().map(|p| p.format().size()).sum::<usize>() + PIXEL_BYTES;
    let crosswise = packed.iter().any(|p| p.is_crosswise());
    band > BAND_PIXELS || (2 * pixel * band) as u64 > settings.memory / 2 || crosswise
}

/// Tiles to the images of a file.
pub(crate) struct FileSink<'a> {
    writer: &'a mut FitsWriter,
    targets: Vec<Target>,
    bytes: Vec<u8>,
    /// A plane of a cube, or of whole numbers, of one tile.
    words: Vec<u32>,
}

/// An image, and what is written to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub image: usize,
    pub part: Part,
    /// Of words, and of whole numbers; other reals are written as they are.
    pub dtype: DType,
    /// Pixels from plane to plane of a cube.
    pub stride: usize,
}

/// Pixels that are encoded at once, so that bytes stay in the cache between encoding, checksum and writing.
const ENCODE: usize = 64 << 10;

/// Numbers to stored bytes.
struct Encode<'a, V, F> {
    values: &'a [V],
    /// Bytes of a number.
    size: usize,
    out: &'a mut [u8],
    encode: &'a F,
}

impl<V: Copy, F: Fn(V, &mut [u8])> Loop for Encode<'_, V, F> {
    #[inline(always)]
    fn run(self) {
        for (v, out) in self.values.iter().zip(self.out.chunks_exact_mut(self.size)) {
            (self.encode)(*v, out);
        }
    }
}

impl<'a> FileSink<'a> {
    pub(crate) fn new(writer: &'a mut FitsWriter, targets: Vec<Target>) -> Self {
        FileSink { writer, targets, bytes: Vec::new(), words: Vec::new() }
    }

    /// The images from this one on: data, then variance and mask, where they come out.
    pub(crate) fn planes(image: usize, variance: bool, mask: Option<DType>) -> Vec<Target> {
        let parts =
            [(Part::Data, Some(DType::F64)), (Part::Variance, variance.then_some(DType::F64)), (Part::Mask, mask)];
        let there = parts.into_iter().filter_map(|(part, dtype)| Some((part, dtype?)));
        there.enumerate().map(|(i, (part, dtype))| Target { image: image + i, part, dtype, stride: 0 }).collect()
    }

    fn plane<V: Copy>(
        &mut self,
        image: usize,
        first: usize,
        values: &[V],
        size: usize,
        encode: impl Fn(V, &mut [u8]),
    ) -> Result<()> {
        let mut at = first;
        for piece in values.chunks(ENCODE) {
            self.bytes.resize(piece.len() * size, 0);
            dispatch(Encode { values: piece, size, out: &mut self.bytes, encode: &encode });
            self.writer.write(image, (at * size) as u64, &self.bytes)?;
            at += piece.len();
        }
        Ok(())
    }
}

impl FileSink<'_> {
    fn words(&mut self, image: usize, first: usize, words: &[u32], dtype: DType) -> Result<()> {
        match dtype {
            DType::U8 => self.plane(image, first, words, 1, |m, out| out[0] = m as u8),
            DType::U16 => {
                self.plane(image, first, words, 2, |m, out| out.copy_from_slice(&(m as u16 ^ 1 << 15).to_be_bytes()))
            }
            DType::I16 => self.plane(image, first, words, 2, |m, out| out.copy_from_slice(&(m as i16).to_be_bytes())),
            DType::I32 => self.plane(image, first, words, 4, |m, out| out.copy_from_slice(&(m as i32).to_be_bytes())),
            _ => self.plane(image, first, words, 4, |m, out| out.copy_from_slice(&(m ^ 1 << 31).to_be_bytes())),
        }
    }
}

impl<T: Real> Sink<T> for FileSink<'_> {
    fn accept(&mut self, tile: &Tile<T>) -> Result<()> {
        let first = tile.range.start;
        for i in 0..self.targets.len() {
            let Target { image, part, dtype, stride } = self.targets[i];
            if part.is_cube() {
                let mut words = std::mem::take(&mut self.words);
                for k in 0..tile.planes(part) {
                    tile.of_cube(part, k, &mut words);
                    self.words(image, k * stride + first, &words, dtype)?;
                }
                self.words = words;
                continue;
            }
            match tile.part(part) {
                Numbers::Reals(values) if !dtype.is_float() => {
                    let mut words = std::mem::take(&mut self.words);
                    words.clear();
                    words.extend(values.iter().map(word_of));
                    self.words(image, first, &words, dtype)?;
                    self.words = words;
                }
                Numbers::Reals(values) => self.plane(image, first, values, size_of::<T>(), T::write_be)?,
                Numbers::Words(words) => self.words(image, first, words, dtype)?,
            }
        }
        Ok(())
    }
}
