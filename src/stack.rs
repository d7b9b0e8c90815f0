//! The stack: many frames of one field to one, with variance and mask.
//!
//! Rules, sources and tolerances are on the page of the kernel, `src/kernels/stack.rs`. What this module adds: which
//! frames, their scale and zero, the compute type (f32 where every input value is exact in it, else f64), where the
//! result goes, and what is said of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::astrodata::partner;
use crate::dtype::DType;
use crate::engine::Engine;
use crate::expr::collapse::resolved_all;
use crate::expr::frames::FramesPlan;
use crate::expr::parts::leaves;
use crate::expr::plan::Options;
use crate::fits::{Compression, FitsWriter, Header, ImageSpec};
use crate::kernels::stack::{Affine, Errors, Levels, Method, Shares};
use crate::nddata::NDAstroData;
use crate::output::{FileSink, MemorySink, Settings, bytes_read, mask_pixels, refuse_input, settings_methods, spooled};
use crate::plane::Plane;
use crate::real::Real;
use crate::stats::Stats;
use crate::tiles::{Computed, Counters, Job, Outputs, Sink, Stacking, Work};
use crate::unit::Unit;
use crate::writing::planes_of;
use crate::{AstroData, Error, Expr, Result};

/// All planes of a stack.
const OUTPUTS: Outputs =
    Outputs { variance: true, mask: true, good: true, scatter: false, ratio: false, weight: false, rejections: false };

pub use crate::kernels::stack::{Clip, Combine, Flavour, Reject};

/// Which variance comes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VarianceFrom {
    /// Propagated where all frames have a variance, else the scatter.
    #[default]
    Auto,
    /// Propagated from the frames' variances; an error where one has none.
    Propagated,
    /// From the scatter of the samples.
    Scatter,
    /// Propagated, and beside it the scatter and the ratio of both (planes SCATTER and CHISQ).
    Both,
}

/// Counts and sums that come out as further planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Map {
    /// Samples rejected by the rejection rule; in the flavour `dragons` as the reference counts them.
    RejMap,
    /// Those below the samples that are left.
    RejLow,
    /// Those above.
    RejHigh,
    /// Samples used.
    NGood,
    /// Sum of the weights of the samples used: their number, or the inverse variances of a weighted mean.
    Weight,
}

/// Makes the expression of a frame, of its container and the number of the extension.
type Calibrate = dyn Fn(&NDAstroData, usize) -> Result<Expr> + Send + Sync;

/// What the frames are.
#[derive(Clone)]
enum Frames {
    /// The inputs' extensions as they are.
    Containers,
    /// Of one extension.
    Expressions(Vec<Expr>),
    /// Made of the inputs' extensions.
    Calibrated(Arc<Calibrate>),
}

/// A stack to be made: frames and options. Nothing is read until [`eval`](Self::eval) or [`write`](Self::write).
#[derive(Clone)]
pub struct Stack {
    inputs: Vec<AstroData>,
    frames: Frames,
    history: Vec<String>,
    combine: Combine,
    reject: Reject,
    flavour: Flavour,
    variance_from: VarianceFrom,
    maps: Vec<Map>,
    scale: Option<Vec<f64>>,
    zero: Option<Vec<f64>>,
    use_variance: bool,
    use_mask: bool,
    settings: Settings,
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
            frames: Frames::Containers,
            history: Vec::new(),
            combine: Combine::Mean,
            reject: Reject::None,
            flavour: Flavour::Stable,
            variance_from: VarianceFrom::Auto,
            maps: Vec::new(),
            scale: None,
            zero: None,
            use_variance: true,
            use_mask: true,
            settings: Settings::default(),
        }
    }

    /// Of expressions: one extension, each expression one frame. They are computed in the same pass over the files as the
    /// stack. A container that occurs in several of them is one random variable: its error is not averaged away. The
    /// result has the header of the first container of the first frame.
    pub fn expressions(frames: impl IntoIterator<Item = impl Into<Expr>>) -> Self {
        let frames: Vec<Expr> = frames.into_iter().map(Into::into).collect();
        let first = |e: &Expr| leaves(e).into_iter().next().unwrap_or_else(|| NDAstroData::new(ndarray::arr0(0f32)));
        let mut stack = Self::new(frames.iter().map(first));
        stack.frames = Frames::Expressions(frames);
        stack
    }

    /// Makes each frame an expression of its container, called with the number of the extension: `|frame, _| Ok((frame -
    /// &bias) / &flat)`. As [`expressions`](Self::expressions), for all extensions of all inputs.
    pub fn calibrate(mut self, make: impl Fn(&NDAstroData, usize) -> Result<Expr> + Send + Sync + 'static) -> Self {
        self.frames = Frames::Calibrated(Arc::new(make));
        self
    }

    /// Lines for the HISTORY of the result, behind what the stack says itself.
    pub fn history(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.history = lines.into_iter().collect();
        self
    }

    /// How samples are combined.
    pub fn combine(mut self, combine: Combine) -> Self {
        self.combine = combine;
        self
    }

    /// Which samples are left out.
    pub fn reject(mut self, reject: Reject) -> Self {
        self.reject = reject;
        self
    }

    /// Whose rules the rejection goes by.
    pub fn flavour(mut self, flavour: Flavour) -> Self {
        self.flavour = flavour;
        self
    }

    /// Which variance comes out.
    pub fn variance_from(mut self, from: VarianceFrom) -> Self {
        self.variance_from = from;
        self
    }

    /// Which maps come out as further planes, named as their enum in capitals.
    pub fn maps(mut self, maps: impl IntoIterator<Item = Map>) -> Self {
        self.maps = maps.into_iter().collect();
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

    settings_methods!();

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
        let mut counters = Counters::default();
        let plans = self.plans(engine, &mut counters)?;
        let before = read_so_far(&plans).1;
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
        let mut sink = MemorySink::<T>::new(n, OUTPUTS)?;
        counters.add(self.run(engine, plan, &mut sink)?);
        let first = &plan.frames[0];
        let mut nd = NDAstroData::new(T::pixels(sink.data, &plan.shape)?)
            .with_variance(T::pixels(sink.variance, &plan.shape)?)?
            .with_meta(plan.header.clone())
            .named(first.name().to_string(), Some(plan.ver));
        if let Some(dtype) = plan.mask_out {
            nd = nd.with_mask(mask_pixels(sink.mask, dtype, &plan.shape)?)?;
        }
        nd.set_unit(plan.unit.as_ref());
        Ok(nd)
    }

    /// Computes the stack into a FITS file: SCI, VAR and, where there are masks or blanks, DQ, for each extension.
    ///
    /// # Errors
    /// As [`eval`](Self::eval); and the file cannot be written. Then nothing is left behind.
    pub fn write(&self, engine: &Engine, path: impl AsRef<Path>, overwrite: bool) -> Result<Stats> {
        let started = Instant::now();
        let path = path.as_ref();
        refuse_input(path, self.inputs.iter().filter_map(AstroData::file))?;
        let mut counters = Counters::default();
        let plans = self.plans(engine, &mut counters)?;
        let before = read_so_far(&plans).1;
        let mut images = Vec::new();
        for plan in &plans {
            images.extend(plan.images());
        }
        let mut writer = FitsWriter::create(path, overwrite, &self.primary(&plans), images)?;
        let mut image = 0;
        for plan in &plans {
            counters.add(match plan.compute {
                DType::F64 => {
                    self.run::<f64>(engine, plan, &mut FileSink::new(&mut writer, image, true, plan.mask_out))?
                }
                _ => self.run::<f32>(engine, plan, &mut FileSink::new(&mut writer, image, true, plan.mask_out))?,
            });
            image += plan.images().count();
        }
        writer.finish()?;
        Ok(self.stats(engine, &plans, counters, (started, before)))
    }

    fn run<T: Real + Default>(&self, engine: &Engine, plan: &Plan, sink: &mut dyn Sink<T>) -> Result<Counters> {
        let (planes, frames) = plan.planes();
        let planes = spooled(&planes, &self.settings)?;
        let job = Job {
            inputs: planes.iter().collect(),
            pixels: plan.pixels(),
            row: plan.shape.last().copied().unwrap_or(1),
            outputs: OUTPUTS,
            work: Work::Stack(Stacking {
                frames,
                computed: plan.computed.as_ref().map(|c| Computed {
                    programs: &c.programs,
                    shares: Shares { of: &c.shared, variables: c.variables },
                }),
                affine: &plan.affine,
                levels: Levels::default(),
                variance: plan.variance,
                mask: plan.mask,
                nonfinite: plan.nonfinite,
                method: self.method(plan.variance),
            }),
        };
        self.settings.steer(|control| crate::tiles::run(engine, &job, control, sink))
    }

    /// One plan per extension, everything checked.
    fn plans(&self, engine: &Engine, counters: &mut Counters) -> Result<Vec<Plan>> {
        if self.flavour == Flavour::Dragons && engine.adapter().is_some() {
            return Err(Error::Parameter("flavour dragons is computed on the CPU only; use the CPU engine".into()));
        }
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
        (0..first.len()).map(|e| Plan::new(self, e, &affine, engine, counters)).collect()
    }

    /// The frames of an extension as expressions, what is collapsed in them computed; `None` if they are containers.
    fn computed(
        &self,
        containers: &[NDAstroData],
        extension: usize,
        engine: &Engine,
        counters: &mut Counters,
    ) -> Result<Option<FramesPlan>> {
        let frames = match &self.frames {
            Frames::Containers => return Ok(None),
            Frames::Expressions(frames) => frames.clone(),
            Frames::Calibrated(make) => containers.iter().map(|nd| make(nd, extension)).collect::<Result<_>>()?,
        };
        let options =
            Options { ignore_variance: !self.use_variance, ignore_mask: !self.use_mask, ..Options::default() };
        let frames = resolved_all(&frames, engine, options, &self.settings, counters)?;
        let own = self.method(true).reads_variance();
        let mut plan = FramesPlan::new(&frames, options, own)?;
        // The reference takes masks only if all frames have one.
        if self.flavour == Flavour::Dragons && plan.programs.iter().any(|p| p.mask.is_none()) {
            plan = FramesPlan::new(&frames, Options { ignore_mask: true, ..options }, own)?;
        }
        counters.warn(plan.warning.clone());
        Ok(Some(plan))
    }

    /// What the kernel does with frames that have a variance, or have none.
    fn method(&self, variance: bool) -> Method {
        let errors = match self.variance_from {
            VarianceFrom::Scatter => Errors::Scatter,
            VarianceFrom::Both if variance => Errors::Both,
            _ if variance => Errors::Propagated,
            _ => Errors::Scatter,
        };
        Method { combine: self.combine, reject: self.reject, flavour: self.flavour, errors }
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
        self.history.iter().for_each(|line| h.push_history(line));
        let lists = [("scale", &self.scale), ("zero", &self.zero)];
        for (name, values) in lists.iter().filter_map(|(n, v)| v.as_ref().map(|v| (n, v))) {
            let words: Vec<String> = values.iter().map(f64::to_string).collect();
            h.push_history(&format!("ndastro {name}: {}", words.join(",")));
        }
        h
    }

    fn stats(&self, engine: &Engine, plans: &[Plan], counters: Counters, (started, before): (Instant, u64)) -> Stats {
        let (headers, pixels) = read_so_far(plans);
        Stats {
            bytes_read: headers + pixels - before,
            frames: self.inputs.len() as u64,
            pixels: plans.iter().map(|p| p.pixels() as u64).sum(),
            ..counters.stats(engine, started)
        }
    }
}

/// Bytes of headers and of pixels read so far in all files of the stack.
fn read_so_far(plans: &[Plan]) -> (u64, u64) {
    let leaves = plans.iter().filter_map(|p| p.computed.as_ref()).flat_map(|c| &c.leaves);
    bytes_read(plans.iter().flat_map(|p| &p.frames).chain(leaves).flat_map(NDAstroData::planes))
}

/// One extension of the stack.
struct Plan {
    frames: Vec<NDAstroData>,
    /// What computes the frames, if they are expressions.
    computed: Option<FramesPlan>,
    unit: Option<Unit>,
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
    fn new(
        stack: &Stack,
        extension: usize,
        affine: &[Affine],
        engine: &Engine,
        counters: &mut Counters,
    ) -> Result<Self> {
        let first = &stack.inputs[0];
        let frames: Vec<NDAstroData> =
            stack.inputs.iter().map(|i| partner(first, extension, i).cloned()).collect::<Result<_>>()?;
        let dragons = stack.flavour == Flavour::Dragons;
        if let Some(computed) = stack.computed(&frames, extension, engine, counters)? {
            return Ok(Plan {
                header: computed.header.clone(),
                unit: computed.unit.clone(),
                affine: affine.to_vec(),
                ver: extension as i64 + 1,
                frames,
                shape: computed.shape.clone(),
                variance: computed.own_variance,
                mask: computed.mask.is_some(),
                nonfinite: true,
                mask_out: Some(computed.mask.unwrap_or(DType::U16)),
                compute: if dragons { DType::F32 } else { computed.compute },
                compression: stack.settings.compression,
                computed: Some(computed),
            });
        }
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
        let mask = if dragons { masks().count() == frames.len() } else { masks().next().is_some() };
        let values = || {
            let variances = frames.iter().filter_map(NDAstroData::variance_plane).filter(|_| variance);
            frames.iter().map(NDAstroData::data_plane).chain(variances)
        };
        let nonfinite = values().any(Plane::can_be_nonfinite);
        let compute = if dragons || values().all(|p| p.dtype().fits_f32()) { DType::F32 } else { DType::F64 };
        let width = masks().filter(|_| mask).map(|p| p.format().size()).max();
        let mask_out = match width {
            Some(1) => Some(DType::U8),
            Some(2) => Some(DType::U16),
            Some(_) => Some(DType::U32),
            None => nonfinite.then_some(DType::U16),
        };
        Ok(Plan {
            computed: None,
            unit: frames[0].unit().cloned(),
            header: frames[0].header()?,
            affine: affine.to_vec(),
            ver: extension as i64 + 1,
            frames,
            shape,
            variance,
            mask,
            nonfinite,
            mask_out,
            compute,
            compression: stack.settings.compression,
        })
    }

    fn pixels(&self) -> usize {
        self.shape.iter().product()
    }

    /// The planes that are read, and which of them each frame has.
    fn planes(&self) -> (Vec<Plane>, Vec<[Option<usize>; 3]>) {
        if let Some(computed) = &self.computed {
            return (computed.planes.clone(), Vec::new());
        }
        let mut planes = Vec::new();
        let mut frames = Vec::new();
        for frame in &self.frames {
            let used = [
                Some(frame.data_plane()),
                frame.variance_plane().filter(|_| self.variance),
                frame.mask_plane().filter(|_| self.mask),
            ];
            frames.push(used.map(|plane| {
                plane.map(|p| {
                    planes.push(p.clone());
                    planes.len() - 1
                })
            }));
        }
        (planes, frames)
    }

    /// The images of this extension in the output file.
    fn images(&self) -> impl Iterator<Item = ImageSpec> {
        let types = [Some(self.compute), Some(self.compute), self.mask_out];
        planes_of(&self.header, self.unit.as_ref(), self.ver, &self.shape, types, self.compression)
    }
}
