//! The stack: many frames of one field to one, with variance and mask.
//!
//! Rules, sources and tolerances are on the page of the kernel, `src/kernels/stack.rs`. What this module adds: which
//! frames, their scale and zero, the compute type (f32 where every input value is exact in it, else f64), where the
//! result goes, and what is said of it.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rayon::prelude::*;

use crate::dtype::DType;
use crate::engine::Engine;
use crate::fits::{Compression, FitsWriter, Header, ImageSpec};
use crate::kernels::stack::{Affine, Levels};
use crate::nddata::NDAstroData;
use crate::pixels::{Pixels, shaped};
use crate::plane::Plane;
use crate::real::Real;
use crate::stats::Stats;
use crate::tiles::{Control, Counters, Job, Sink, Tile};
use crate::writing::planes_of;
use crate::{AstroData, Error, Result};

/// Host memory for buffers unless told otherwise.
pub const DEFAULT_MEMORY: u64 = 1 << 30;

/// How the samples of a pixel become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Combine {
    /// sum / n; variance sum(v) / n^2, or the scatter of the mean where frames have none.
    #[default]
    Mean,
}

impl Combine {
    /// As the command line says it.
    pub fn name(self) -> &'static str {
        match self {
            Combine::Mean => "mean",
        }
    }
}

/// Called with (pixels done, pixels in all), from one thread at a time.
pub type Progress = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// A stack to be made: frames and options. Nothing is read until [`eval`](Self::eval) or [`write`](Self::write).
#[derive(Clone)]
pub struct Stack {
    inputs: Vec<AstroData>,
    combine: Combine,
    scale: Option<Vec<f64>>,
    zero: Option<Vec<f64>>,
    use_variance: bool,
    use_mask: bool,
    memory: u64,
    compression: Option<Compression>,
    cancel: Option<Arc<AtomicBool>>,
    progress: Option<Progress>,
}

impl Stack {
    /// Of containers: one extension, as many frames as containers.
    pub fn new(frames: impl IntoIterator<Item = NDAstroData>) -> Self {
        let wrap = |nd: NDAstroData| AstroData::from_extensions(Header::new(), vec![nd]);
        Self::of(frames.into_iter().map(wrap).collect())
    }

    /// Of files: extension by extension, each file one frame. Only headers are read.
    ///
    /// # Errors
    /// A file cannot be opened or has no image.
    pub fn files<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self> {
        Ok(Self::of(paths.into_iter().map(AstroData::open).collect::<Result<_>>()?))
    }

    /// Of opened files: extension by extension, each one frame.
    pub fn of(inputs: Vec<AstroData>) -> Self {
        Stack {
            inputs,
            combine: Combine::Mean,
            scale: None,
            zero: None,
            use_variance: true,
            use_mask: true,
            memory: DEFAULT_MEMORY,
            compression: None,
            cancel: None,
            progress: None,
        }
    }

    /// How samples are combined.
    pub fn combine(mut self, combine: Combine) -> Self {
        self.combine = combine;
        self
    }

    /// A factor for each frame: data * scale, variance * scale^2.
    pub fn scale(mut self, scale: Vec<f64>) -> Self {
        self.scale = Some(scale);
        self
    }

    /// An offset for each frame, added after the factor.
    pub fn zero(mut self, zero: Vec<f64>) -> Self {
        self.zero = Some(zero);
        self
    }

    /// Whether the frames' variances are used (default) or left unread.
    pub fn use_variance(mut self, yes: bool) -> Self {
        self.use_variance = yes;
        self
    }

    /// Whether the frames' masks are used (default) or left unread.
    pub fn use_mask(mut self, yes: bool) -> Self {
        self.use_mask = yes;
        self
    }

    /// Bytes of host memory for buffers; [`DEFAULT_MEMORY`] unless set.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// Tile compression of the file that is written.
    pub fn compression(mut self, compression: Option<Compression>) -> Self {
        self.compression = compression;
        self
    }

    /// A flag that stops the run with [`Error::Interrupted`] when it becomes true.
    pub fn cancel(mut self, flag: Arc<AtomicBool>) -> Self {
        self.cancel = Some(flag);
        self
    }

    /// Tells how far the run is.
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = Some(progress);
        self
    }

    /// The inputs, in order.
    pub fn inputs(&self) -> &[AstroData] {
        &self.inputs
    }

    /// Computes the stack into memory.
    ///
    /// # Errors
    /// Frames that do not fit together, options out of their domain, a file that changed, a budget that is too small.
    pub fn eval(&self, engine: &Engine) -> Result<(AstroData, Stats)> {
        let started = Instant::now();
        let plans = self.plans()?;
        let before = bytes_read(&plans).1;
        let mut counters = Counters::default();
        let mut extensions = Vec::new();
        for plan in &plans {
            let nd = match plan.compute {
                DType::F64 => self.eval_one::<f64>(engine, plan, &mut counters)?,
                _ => self.eval_one::<f32>(engine, plan, &mut counters)?,
            };
            extensions.push(nd);
        }
        let stats = self.stats(engine, &plans, counters, (started, before));
        Ok((AstroData::from_extensions(self.primary(&plans), extensions), stats))
    }

    fn eval_one<T: Real + Default>(
        &self,
        engine: &Engine,
        plan: &Plan,
        counters: &mut Counters,
    ) -> Result<NDAstroData> {
        let n = plan.pixels();
        let mut sink = MemorySink::<T> {
            data: Vec::with_capacity(n),
            variance: Vec::with_capacity(n),
            mask: Vec::with_capacity(n),
        };
        counters.add(self.run(engine, plan, &mut sink)?);
        let first = &plan.frames[0];
        let mut nd = NDAstroData::new(T::pixels(sink.data, &plan.shape)?)
            .with_variance(T::pixels(sink.variance, &plan.shape)?)?
            .with_meta(plan.header.clone())
            .named(first.name().to_string(), Some(plan.ver));
        if let Some(dtype) = plan.mask_out {
            nd = nd.with_mask(mask_pixels(sink.mask, dtype, &plan.shape)?)?;
        }
        Ok(match first.unit() {
            Some(unit) => nd.with_unit(unit),
            None => nd,
        })
    }

    /// Computes the stack into a FITS file: SCI, VAR and, where there are masks or blanks, DQ, for each extension.
    ///
    /// # Errors
    /// As [`eval`](Self::eval); and the file cannot be written. Then nothing is left behind.
    pub fn write(&self, engine: &Engine, path: impl AsRef<Path>, overwrite: bool) -> Result<Stats> {
        let started = Instant::now();
        let path = path.as_ref();
        self.refuse_input(path)?;
        let plans = self.plans()?;
        let before = bytes_read(&plans).1;
        let mut images = Vec::new();
        for plan in &plans {
            images.extend(plan.images());
        }
        let mut writer = FitsWriter::create(path, overwrite, &self.primary(&plans), images)?;
        let mut counters = Counters::default();
        let mut image = 0;
        for plan in &plans {
            counters.add(match plan.compute {
                DType::F64 => self.run::<f64>(engine, plan, &mut FileSink::new(&mut writer, image, plan))?,
                _ => self.run::<f32>(engine, plan, &mut FileSink::new(&mut writer, image, plan))?,
            });
            image += plan.images().count();
        }
        writer.finish()?;
        Ok(self.stats(engine, &plans, counters, (started, before)))
    }

    fn run<T: Real + Default>(&self, engine: &Engine, plan: &Plan, sink: &mut dyn Sink<T>) -> Result<Counters> {
        let frames = spooled(&plan.frames, self)?;
        let job = Job {
            frames: &frames,
            affine: &plan.affine,
            levels: Levels::default(),
            pixels: plan.pixels(),
            row: plan.shape.last().copied().unwrap_or(1),
            variance: plan.variance,
            mask: plan.mask,
            nonfinite: plan.nonfinite,
        };
        let progress = self.progress.as_deref().map(|p| |done: u64, all: u64| p(done, all));
        let control = Control {
            memory: self.memory,
            cancel: self.cancel.as_deref(),
            progress: progress.as_ref().map(|p| p as &(dyn Fn(u64, u64) + Sync)),
        };
        crate::tiles::run(engine, &job, &control, sink)
    }

    /// An output that is an input would destroy it.
    fn refuse_input(&self, path: &Path) -> Result<()> {
        let Ok(meta) = std::fs::metadata(path) else { return Ok(()) };
        let same = self.inputs.iter().filter_map(AstroData::file).any(|f| f.is_file(&meta));
        if same { Err(Error::OutputIsInput { path: path.to_path_buf() }) } else { Ok(()) }
    }

    /// One plan per extension, everything checked.
    fn plans(&self) -> Result<Vec<Plan>> {
        let first = self.inputs.first().ok_or_else(|| Error::Parameter("no frames to stack".into()))?;
        for other in &self.inputs[1..] {
            if other.len() != first.len() {
                return Err(Error::Parameter(format!(
                    "{}: {} extensions found, {} expected (as many as the first frame has, {})",
                    other.label(),
                    other.len(),
                    first.len(),
                    first.label()
                )));
            }
        }
        let affine = self.affine()?;
        (0..first.len()).map(|e| Plan::new(self, e, &affine)).collect()
    }

    fn affine(&self) -> Result<Vec<Affine>> {
        let n = self.inputs.len();
        let list = |name: &str, values: &Option<Vec<f64>>, default: f64| match values {
            None => Ok(vec![default; n]),
            Some(v) if v.len() != n => Err(Error::Parameter(format!("{name}: {} values for {n} frames", v.len()))),
            Some(v) if v.iter().any(|x| !x.is_finite()) => Err(Error::Parameter(format!("{name}: not finite"))),
            Some(v) => Ok(v.clone()),
        };
        let (scale, zero) = (list("scale", &self.scale, 1.0)?, list("zero", &self.zero, 0.0)?);
        if let Some(bad) = scale.iter().find(|&&s| s <= 0.0) {
            return Err(Error::Parameter(format!("scale: {bad} is not positive")));
        }
        Ok(scale.into_iter().zip(zero).map(|(scale, zero)| Affine { scale, zero }).collect())
    }

    /// The primary header of the first frame, with what was done.
    fn primary(&self, plans: &[Plan]) -> Header {
        let mut h = self.inputs.first().map_or_else(Header::new, |i| i.phu().clone());
        h.remove_where(|k| k.strip_prefix("IMCMB").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit())));
        h.set("NCOMBINE", self.inputs.len() as i64, "number of frames combined");
        // Three digits are what readers of IMCMBnnn expect; HISTORY has the number of all.
        for (i, path) in self.inputs.iter().filter_map(AstroData::path).take(999).enumerate() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            h.set(&format!("IMCMB{:03}", i + 1), name.as_ref(), "");
        }
        let version = env!("CARGO_PKG_VERSION");
        h.push_history(&format!(
            "ndastro {version} stack: {} frames, {} extensions, combine {}, reject none",
            self.inputs.len(),
            plans.len(),
            self.combine.name()
        ));
        let lists = [("scale", &self.scale), ("zero", &self.zero)];
        for (name, values) in lists.iter().filter_map(|(n, v)| v.as_ref().map(|v| (n, v))) {
            let words: Vec<String> = values.iter().map(f64::to_string).collect();
            h.push_history(&format!("ndastro {name}: {}", words.join(",")));
        }
        h
    }

    fn stats(&self, engine: &Engine, plans: &[Plan], counters: Counters, (started, before): (Instant, u64)) -> Stats {
        let (headers, pixels) = bytes_read(plans);
        let mut warnings = counters.warnings;
        if counters.negative > 0 {
            warnings.push(format!("{} variances below zero were taken as zero", counters.negative));
        }
        Stats {
            engine: engine.name(),
            adapter: engine.adapter().map(String::from),
            seconds: started.elapsed().as_secs_f64(),
            bytes_read: headers + pixels - before,
            bytes_uploaded: counters.bytes_uploaded,
            bytes_downloaded: counters.bytes_downloaded,
            tiles: counters.tiles,
            frames: self.inputs.len() as u64,
            pixels: plans.iter().map(|p| p.pixels() as u64).sum(),
            rejected: 0,
            peak_host_bytes: counters.peak_host_bytes,
            peak_device_bytes: counters.peak_device_bytes,
            warnings,
        }
    }
}

/// Bytes of headers and of pixels read so far in all files behind these frames.
fn bytes_read(plans: &[Plan]) -> (u64, u64) {
    let mut seen = std::collections::HashSet::new();
    let frames = plans.iter().flat_map(|p| &p.frames);
    let sections = frames.flat_map(NDAstroData::planes).filter_map(|p| p.section());
    let mappings = sections.map(|s| s.mapping());
    mappings.filter(|m| seen.insert(Arc::as_ptr(m))).map(|m| m.bytes_read()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
}

/// One extension of the stack.
struct Plan {
    frames: Vec<NDAstroData>,
    affine: Vec<Affine>,
    shape: Vec<usize>,
    header: Header,
    ver: i64,
    /// All frames have a variance, and it is used.
    variance: bool,
    /// Some frame has a mask, and it is used.
    mask: bool,
    /// A sample can be non-finite.
    nonfinite: bool,
    /// Type of the mask that comes out; `None` where no pixel can be flagged.
    mask_out: Option<DType>,
    compute: DType,
    compression: Option<Compression>,
}

impl Plan {
    fn new(stack: &Stack, extension: usize, affine: &[Affine]) -> Result<Self> {
        let first = &stack.inputs[0];
        let frames: Vec<NDAstroData> =
            stack.inputs.iter().map(|i| partner(first, extension, i).cloned()).collect::<Result<_>>()?;
        let shape = frames[0].shape();
        for frame in &frames[1..] {
            if frame.shape() != shape {
                return Err(Error::Shape {
                    what: frame.label(),
                    expected: shape,
                    found: frame.shape(),
                    why: format!("that of the first frame, {}", frames[0].label()),
                });
            }
        }
        let variance = stack.use_variance && frames.iter().all(NDAstroData::has_variance);
        let masks = || frames.iter().filter_map(NDAstroData::mask_plane).filter(|_| stack.use_mask);
        let mask = masks().next().is_some();
        let values = || {
            let variances = frames.iter().filter_map(NDAstroData::variance_plane).filter(|_| variance);
            frames.iter().map(NDAstroData::data_plane).chain(variances)
        };
        let nonfinite = values().any(Plane::can_be_nonfinite);
        let compute = if values().all(|p| p.dtype().fits_f32()) { DType::F32 } else { DType::F64 };
        let width = masks().map(|p| p.format().size()).max();
        let mask_out = match width {
            Some(1) => Some(DType::U8),
            Some(2) => Some(DType::U16),
            Some(_) => Some(DType::U32),
            None => nonfinite.then_some(DType::U16),
        };
        Ok(Plan {
            header: frames[0].meta().clone(),
            affine: affine.to_vec(),
            ver: extension as i64 + 1,
            frames,
            shape,
            variance,
            mask,
            nonfinite,
            mask_out,
            compute,
            compression: stack.compression,
        })
    }

    fn pixels(&self) -> usize {
        self.shape.iter().product()
    }

    /// The images of this extension in the output file.
    fn images(&self) -> impl Iterator<Item = ImageSpec> {
        let types = [Some(self.compute), Some(self.compute), self.mask_out];
        planes_of(&self.header, self.frames[0].unit(), self.ver, &self.shape, types, self.compression)
    }
}

/// The extension of `input` that is stacked with extension `index` of the first: by EXTNAME and EXTVER where the first
/// says them, else, and where there is only one, by place.
fn partner<'a>(first: &AstroData, index: usize, input: &'a AstroData) -> Result<&'a NDAstroData> {
    let wanted = &first[index];
    match wanted.ver() {
        Some(ver) if first.len() > 1 && input.iter().all(|e| e.ver().is_some()) => input.extension(wanted.name(), ver),
        _ => Ok(&input[index]),
    }
}

/// A band of more pixels is no tile of any engine.
const BAND_PIXELS: usize = 512 << 10;
/// About what a pixel takes in buffers besides the stored numbers of its frames.
const PIXEL_BYTES: usize = 64;

/// Frames whose compressed tiles are so large that a band of every frame is no tile of the engine are decoded to temporary
/// files first: otherwise each of their tiles would be decoded for every piece of it.
fn spooled<'a>(frames: &'a [NDAstroData], stack: &Stack) -> Result<Cow<'a, [NDAstroData]>> {
    let packed: Vec<&Plane> = frames.iter().flat_map(NDAstroData::planes).filter(|p| !p.is_plain()).collect();
    let band = packed.iter().map(|p| p.band()).max().unwrap_or(0);
    let pixel: usize = packed.iter().map(|p| p.format().size()).sum::<usize>() + PIXEL_BYTES;
    if band <= BAND_PIXELS && (2 * pixel * band) as u64 <= stack.memory / 2 {
        return Ok(Cow::Borrowed(frames));
    }
    let one = |f: &NDAstroData| match &stack.cancel {
        Some(flag) if flag.load(Ordering::Relaxed) => Err(Error::Interrupted),
        _ => f.spooled(stack.use_variance, stack.use_mask),
    };
    // Each thread holds a band and what decodes it.
    let held = (rayon::current_num_threads() * band * PIXEL_BYTES / 2) as u64;
    let done: Result<Vec<_>> =
        if held <= stack.memory { frames.par_iter().map(one).collect() } else { frames.iter().map(one).collect() };
    done.map(Cow::Owned)
}

fn mask_pixels(mask: Vec<u32>, dtype: DType, shape: &[usize]) -> Result<Pixels> {
    match dtype {
        DType::U8 => shaped(mask.into_iter().map(|m| m as u8).collect(), shape),
        DType::U16 => shaped(mask.into_iter().map(|m| m as u16).collect(), shape),
        _ => shaped(mask, shape),
    }
}

/// Tiles to arrays.
struct MemorySink<T> {
    data: Vec<T>,
    variance: Vec<T>,
    mask: Vec<u32>,
}

impl<T: Real> Sink<T> for MemorySink<T> {
    fn accept(&mut self, tile: &Tile<T>) -> Result<()> {
        self.data.extend_from_slice(&tile.data);
        self.variance.extend_from_slice(&tile.variance);
        self.mask.extend_from_slice(&tile.mask);
        Ok(())
    }
}

/// Tiles to the images of a file.
struct FileSink<'a> {
    writer: &'a mut FitsWriter,
    /// Index of SCI; VAR and DQ follow.
    image: usize,
    mask_out: Option<DType>,
    bytes: Vec<u8>,
}

/// Pixels that are encoded at once, so that bytes stay in the cache between encoding, checksum and writing.
const ENCODE: usize = 64 << 10;

impl<'a> FileSink<'a> {
    fn new(writer: &'a mut FitsWriter, image: usize, plan: &Plan) -> Self {
        FileSink { writer, image, mask_out: plan.mask_out, bytes: Vec::new() }
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
            for (v, out) in piece.iter().zip(self.bytes.chunks_exact_mut(size)) {
                encode(*v, out);
            }
            self.writer.write(image, (at * size) as u64, &self.bytes)?;
            at += piece.len();
        }
        Ok(())
    }
}

impl<T: Real> Sink<T> for FileSink<'_> {
    fn accept(&mut self, tile: &Tile<T>) -> Result<()> {
        let (image, first) = (self.image, tile.range.start);
        self.plane(image, first, &tile.data, size_of::<T>(), T::write_be)?;
        self.plane(image + 1, first, &tile.variance, size_of::<T>(), T::write_be)?;
        let mask = &tile.mask;
        match self.mask_out {
            None => Ok(()),
            Some(DType::U8) => self.plane(image + 2, first, mask, 1, |m, out| out[0] = m as u8),
            Some(DType::U16) => {
                self.plane(image + 2, first, mask, 2, |m, out| out.copy_from_slice(&(m as u16 ^ 1 << 15).to_be_bytes()))
            }
            Some(_) => {
                self.plane(image + 2, first, mask, 4, |m, out| out.copy_from_slice(&(m ^ 1 << 31).to_be_bytes()))
            }
        }
    }
}
