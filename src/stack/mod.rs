//! The stack: many frames of one field to one, with variance and mask.
//!
//! Rules, sources and tolerances are on the page of the kernel, `src/kernels/stack/mod.rs`. What this module adds: which
//! frames, their scale and zero, the compute type (f32 where every input value is exact in it, else f64), where the
//! result goes, and what is said of it.

mod append;
mod band;
mod bitwise;
mod explain;
mod fit;
mod grow;
mod header;
mod hierarchy;
mod maps;
mod mode;
mod normalise;
mod offsets;
mod outline;
mod plan;
mod sampled;
mod skipped;
mod weights;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

pub use band::Band;
pub use explain::{ExplainedPass, ExplainedResult, ExplainedSample, Explanation, Fate};
pub use hierarchy::{BitNames, Hierarchy};
pub use maps::Map;
use maps::outputs;
pub use normalise::Level;
#[cfg(feature = "cli")]
pub(crate) use normalise::keyword;
pub use offsets::Offsets;
pub use outline::{ExtensionPlan, StackPlan};
use plan::Plan;
pub use skipped::Skipped;
use weights::Counted;
pub use weights::{PerFrame, Weights};

use crate::arrays::{MemorySink, mask_pixels, word_of};
use crate::dtype::DType;
use crate::engine::Engine;
use crate::error::show;
use crate::expr::collapse::resolved_all;
use crate::expr::frames::FramesPlan;
use crate::expr::parts::leaves;
use crate::expr::plan::Options;
use crate::fits::{FitsWriter, Header, ImageSpec, RawHdu};
use crate::kernels::stack::{Errors, Keep, Method, Shares, Uneven};
use crate::nddata::NDAstroData;
use crate::output::{FileSink, Settings, bytes_read, refuse_input, refuse_source, settings_methods, spooled};
use crate::plane::Plane;
use crate::real::Real;
use crate::slice::Slices;
use crate::stats::Stats;
use crate::tiles::{Computed, Counters, Job, Sink, Stacking, Work};
use crate::writing::{copy_part, result_file};
use crate::{AstroData, Error, Expr, Result};

pub use crate::kernels::stack::{Clip, Combine, DetectorNoise, Flavour, Percent, Reject};

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
    /// Whether bad files are left out, and those that were, with their places among all.
    skips: bool,
    skipped: Vec<(usize, Skipped)>,
    frames: Frames,
    history: Vec<String>,
    combine: Combine,
    reject: Reject,
    keep: Keep,
    /// Radius in pixels; 0 for none.
    grow: f64,
    flavour: Flavour,
    variance_from: VarianceFrom,
    maps: Vec<Map>,
    hierarchy: Hierarchy,
    bit_names: BitNames,
    scale: Option<Level>,
    zero: Option<Level>,
    section: Option<Slices>,
    offsets: Option<Offsets>,
    weights: Option<Weights>,
    exposure: PerFrame,
    /// Bits, and the part of the weight that must have them.
    fractions: Vec<(u32, f64)>,
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
            skips: false,
            skipped: Vec::new(),
            frames: Frames::Containers,
            history: Vec::new(),
            combine: Combine::Mean,
            reject: Reject::None,
            keep: Keep::default(),
            grow: 0.0,
            flavour: Flavour::Stable,
            variance_from: VarianceFrom::Auto,
            maps: Vec::new(),
            hierarchy: Hierarchy::default(),
            bit_names: BitNames::default(),
            scale: None,
            zero: None,
            section: None,
            offsets: None,
            weights: None,
            exposure: PerFrame::Keyword("EXPTIME".into()),
            fractions: Vec::new(),
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

    /// How many samples of a pixel a clipping leaves at least, where there are as many: the next ones below or above come
    /// back, those nearer to the median of all first. Not for `MinMax`, `VarClip` and `LinFit`. On the CPU only.
    pub fn nkeep(mut self, least: usize) -> Self {
        self.keep.least = least;
        self
    }

    /// How many samples of a pixel a clipping rejects at most; likewise.
    pub fn maxrej(mut self, most: usize) -> Self {
        self.keep.most_out = Some(most);
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

    /// Which mask bits are worse than which.
    pub fn hierarchy(mut self, hierarchy: Hierarchy) -> Self {
        self.hierarchy = hierarchy;
        self
    }

    /// How mask bits are called in headers and explanations.
    pub fn bit_names(mut self, names: BitNames) -> Self {
        self.bit_names = names;
        self
    }

    /// Which maps come out as further planes, named as the command line has them in capitals.
    pub fn maps(mut self, maps: impl IntoIterator<Item = Map>) -> Self {
        self.maps = maps.into_iter().collect();
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
        self.skipping(|stack| stack.eval_once(engine))
    }

    fn eval_once(&self, engine: &Engine) -> Result<(AstroData, Stats)> {
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
        let mut result = AstroData::from_extensions(self.primary(&plans), extensions);
        self.tables().for_each(|table| result.append_table(table.clone()));
        Ok((result, stats))
    }

    fn eval_one<T: Real + Default>(
        &self,
        engine: &Engine,
        plan: &Plan,
        counters: &mut Counters,
    ) -> Result<NDAstroData> {
        let parts = plan.products.iter().map(|p| (p.part, p.dtype)).collect();
        let mask = plan.mask_out.unwrap_or(DType::U32);
        let mut sink = MemorySink::<T>::new(plan.pixels(), outputs(&plan.products), mask, parts)?;
        counters.add(self.run(engine, plan, 0..plan.pixels(), &mut sink)?);
        let first = &plan.frames[0];
        let mut nd = if plan.method.combine.is_bitwise() {
            let words: Vec<u32> = sink.data.iter().map(word_of).collect();
            NDAstroData::new(mask_pixels(&words, plan.data_out, &plan.shape)?)
        } else {
            NDAstroData::new(T::pixels(sink.data, &plan.shape)?)
                .with_variance(T::pixels(sink.variance, &plan.shape)?)?
        };
        nd = nd.with_meta(plan.header.clone()).named(first.name().to_string(), Some(plan.ver));
        if plan.mask_out.is_some() {
            nd = nd.with_mask(sink.mask.pixels(&plan.shape)?)?;
        }
        for (product, plane) in plan.products.iter().zip(sink.more) {
            nd = nd.with_other(product.name.clone(), plane.pixels(&product.shape(&plan.shape))?);
        }
        for (name, plane) in &plan.others {
            nd.put_other(name.clone(), plane.clone());
        }
        nd.set_unit(plan.unit.as_ref());
        Ok(nd)
    }

    /// Computes the stack into a FITS file: SCI, VAR and, where there are masks or blanks, DQ, for each extension, then what
    /// else was asked for and the further planes of the first frame; tables of the first input follow.
    ///
    /// # Errors
    /// As [`eval`](Self::eval); and the file cannot be written. Then nothing is left behind.
    pub fn write(&self, engine: &Engine, path: impl AsRef<Path>, overwrite: bool) -> Result<Stats> {
        self.skipping(|stack| stack.write_once(engine, path.as_ref(), overwrite))
    }

    fn write_once(&self, engine: &Engine, path: &Path, overwrite: bool) -> Result<Stats> {
        let started = Instant::now();
        let mut counters = Counters::default();
        let plans = self.plans_for(engine, path, &mut counters)?;
        let before = read_so_far(&plans).1;
        let (images, tables, cancel) = (images(&plans), self.tables(), self.settings.cancel.clone());
        let mut writer = result_file(path, overwrite, self.primary(&plans), images, tables, cancel)?;
        self.write_pixels(engine, &plans, &mut writer, &mut counters, |plan| 0..plan.pixels())?;
        writer.finish()?;
        Ok(self.stats(engine, &plans, counters, (started, before)))
    }

    /// One plan per extension for a file of this name, which must be no input.
    fn plans_for(&self, engine: &Engine, path: &Path, counters: &mut Counters) -> Result<Vec<Plan>> {
        refuse_input(path, self.inputs.iter().filter_map(AstroData::file))?;
        let plans = self.plans(engine, counters)?;
        let leaves = plans.iter().filter_map(|p| p.computed.as_ref()).flat_map(|c| &c.leaves);
        // Weights may be in files of their own.
        let sources = plans.iter().flat_map(|p| &p.frames).chain(leaves);
        refuse_source(path, sources.flat_map(NDAstroData::planes))?;
        Ok(plans)
    }

    /// Computes a part of each extension to where it belongs in a file of the images of [`images`].
    fn write_pixels(
        &self,
        engine: &Engine,
        plans: &[Plan],
        writer: &mut FitsWriter,
        counters: &mut Counters,
        part: impl Fn(&Plan) -> Range<usize>,
    ) -> Result<()> {
        let mut first = 0;
        for plan in plans {
            let (targets, others) = plan.targets(first);
            let part = part(plan);
            let mut sink = FileSink::new(writer, targets);
            counters.add(match plan.compute {
                DType::F64 => self.run::<f64>(engine, plan, part.clone(), &mut sink)?,
                _ => self.run::<f32>(engine, plan, part.clone(), &mut sink)?,
            });
            for (i, (_, plane)) in plan.others.iter().enumerate() {
                copy_part(writer, others + i, plane, part.clone())?;
            }
            first = others + plan.others.len();
        }
        Ok(())
    }

    /// Tables of the first input. A primary that is no image, as random groups are, has no place behind others.
    fn tables(&self) -> impl Iterator<Item = &RawHdu> {
        self.inputs.iter().take(1).flat_map(AstroData::tables).filter(|t| !t.is_primary())
    }

    fn run<T: Real + Default>(
        &self,
        engine: &Engine,
        plan: &Plan,
        part: Range<usize>,
        sink: &mut dyn Sink<T>,
    ) -> Result<Counters> {
        let (planes, frames) = plan.planes();
        let planes = spooled(&planes, &self.settings)?;
        let job = Job { part, ..self.job(plan, &planes, frames) };
        self.settings.steer(|control| crate::tiles::run(engine, &job, control, sink))
    }

    /// What is to be computed of these planes.
    fn job<'a>(&'a self, plan: &'a Plan, planes: &'a [Plane], frames: Vec<[Option<usize>; 3]>) -> Job<'a> {
        Job {
            inputs: planes.iter().collect(),
            pixels: plan.pixels(),
            part: 0..plan.pixels(),
            row: plan.shape.last().copied().unwrap_or(1),
            outputs: self.with_reasons(outputs(&plan.products)),
            work: Work::Stack(Stacking {
                frames,
                computed: plan.computed.as_ref().map(|c| Computed {
                    programs: &c.programs,
                    shares: Shares { of: &c.shared, variables: c.variables },
                }),
                affine: &plan.affine,
                levels: self.hierarchy.kernel(),
                variance: plan.variance,
                mask: plan.mask,
                nonfinite: plan.nonfinite,
                method: &plan.method,
                uneven: self.uneven(plan),
                image: plan.shape.iter().rev().take(2).product(),
            }),
        }
    }

    fn uneven<'a>(&'a self, plan: &'a Plan) -> Uneven<'a> {
        let Counted { weights, exposures } = &plan.counted;
        Uneven { weights, exposures, fractions: &self.fractions }
    }

    /// One plan per extension, everything checked.
    fn plans(&self, engine: &Engine, counters: &mut Counters) -> Result<Vec<Plan>> {
        self.checked(engine)?;
        (0..self.inputs[0].len()).map(|e| Plan::new(self, e, engine, counters)).collect()
    }

    /// Whether there are frames that go together, and options in their domain.
    fn checked(&self, engine: &Engine) -> Result<()> {
        if self.flavour == Flavour::Dragons && engine.adapter().is_some() {
            return Err(Error::Parameter("flavour dragons is computed on the CPU only; use the CPU engine".into()));
        }
        let first = self.inputs.first().ok_or_else(|| self.nothing_left())?;
        self.check_rejection()?;
        self.check_bitwise()?;
        self.check_grow()?;
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
        self.check_levels()?;
        self.check_weights()
    }

    /// The frames of an extension as expressions; none for containers that nobody wants as such.
    fn expressions_of(&self, containers: &[NDAstroData], extension: usize) -> Result<Vec<Expr>> {
        match &self.frames {
            Frames::Containers if !self.has_statistics() && !self.weighs_noise() => Ok(Vec::new()),
            Frames::Containers => Ok(containers.iter().map(Expr::from).collect()),
            Frames::Expressions(frames) => Ok(frames.clone()),
            Frames::Calibrated(make) => containers.iter().map(|nd| make(nd, extension)).collect(),
        }
    }

    /// The same, what is collapsed in them computed; `None` if they are containers.
    fn computed(&self, frames: &[Expr], engine: &Engine, counters: &mut Counters) -> Result<Option<FramesPlan>> {
        if matches!(self.frames, Frames::Containers) {
            return Ok(None);
        }
        let options =
            Options { ignore_variance: !self.use_variance, ignore_mask: !self.use_mask, ..Options::default() };
        let frames = resolved_all(frames, engine, options, &self.settings, counters)?;
        let own = self.use_variance && self.method(true, &mut Counters::default(), String::new)?.reads_variance();
        let mut plan = FramesPlan::new(&frames, options, own)?;
        // The reference takes masks only if all frames have one.
        if self.flavour == Flavour::Dragons && plan.programs.iter().any(|p| p.mask.is_none()) {
            plan = FramesPlan::new(&frames, Options { ignore_mask: true, ..options }, own)?;
        }
        counters.warn(plan.warning.clone());
        Ok(Some(plan))
    }

    /// What the kernel does with frames that have a variance, or have none; `why` says why they have none.
    fn method(&self, variance: bool, counters: &mut Counters, why: impl Fn() -> String) -> Result<Method> {
        let errors = match self.variance_from {
            VarianceFrom::Propagated | VarianceFrom::Both if !variance => {
                return Err(Error::Parameter(format!("no variance can be propagated from the frames': {}", why())));
            }
            VarianceFrom::Auto if !variance => Errors::Scatter,
            VarianceFrom::Auto | VarianceFrom::Propagated => Errors::Propagated,
            VarianceFrom::Scatter => Errors::Scatter,
            VarianceFrom::Both => Errors::Both,
        };
        let (mut combine, mut reject) = (self.combine, self.reject);
        if let (Reject::VarClip(clip), false) = (reject, variance) {
            counters.warn([format!("varclip without variances is sigclip: {}", why())]);
            reject = Reject::SigClip(clip);
        }
        if combine == Combine::WtMean && !variance {
            counters.warn([format!("wtmean without variances is mean: {}", why())]);
            combine = Combine::Mean;
        }
        Ok(Method {
            combine,
            reject,
            flavour: self.flavour,
            errors,
            keep: self.keep,
            grow: self.grow,
            uneven: self.is_uneven(),
        })
    }

    /// Whether the rejection has its parameters in their domain.
    fn check_rejection(&self) -> Result<()> {
        fn expected<T>(name: &str, given: impl std::fmt::Display, what: &str) -> Result<T> {
            Err(Error::Parameter(format!("{name}: {given}, where {what} is expected")))
        }
        let from_0 = |name: &str, x: f64| if x >= 0.0 { Ok(()) } else { expected(name, x, "a number from 0 on") };
        let sigmas = |low: f64, high: f64| from_0("lsigma", low).and_then(|()| from_0("hsigma", high));
        let has = matches!(self.reject, Reject::None | Reject::MinMax { .. } | Reject::SigClip(_) | Reject::VarClip(_));
        if self.flavour == Flavour::Dragons && !(has && self.keep == Keep::default()) {
            let what = if has { "nkeep and maxrej" } else { self.reject.name() };
            return Err(Error::Parameter(format!("flavour dragons has no {what}")));
        }
        if self.flavour == Flavour::Dragons && self.combine.is_special() {
            return Err(Error::Parameter(format!("flavour dragons has no {}", self.combine.name())));
        }
        if self.keep != Keep::default() && !self.reject.is_by_limits() {
            return Err(Error::Parameter(format!("nkeep and maxrej do not go with {}", self.reject.name())));
        }
        if let Some(clip) = self.reject.clip() {
            sigmas(clip.lsigma, clip.hsigma)?;
        }
        match self.reject {
            Reject::None => Ok(()),
            Reject::MinMax { nlow, nhigh } if nlow.saturating_add(nhigh) >= self.inputs.len() => {
                let n = self.inputs.len();
                Err(Error::Parameter(format!("minmax: nlow {nlow} and nhigh {nhigh} leave nothing of {n} frames")))
            }
            Reject::MinMax { .. } => Ok(()),
            Reject::SigClip(_)
            | Reject::VarClip(_)
            | Reject::MadClip(_)
            | Reject::Winsorised(_)
            | Reject::LinFit(_) => Ok(()),
            Reject::CcdClip(_, noise) => {
                from_0("read noise", noise.read_noise)?;
                from_0("sensitivity", noise.sensitivity)?;
                let positive = noise.gain > 0.0 && noise.gain.is_finite();
                if positive { Ok(()) } else { expected("gain", noise.gain, "a number above 0") }
            }
            Reject::Gesd { outliers, .. } if !(0.0..=0.5).contains(&outliers) => {
                expected("outliers", outliers, "a part of the samples from 0 to 0.5")
            }
            Reject::Gesd { significance, .. } => {
                let probable = significance > 0.0 && significance < 1.0;
                if probable { Ok(()) } else { expected("significance", significance, "a number between 0 and 1") }
            }
            Reject::PClip { lsigma, hsigma, at } => {
                sigmas(lsigma, hsigma)?;
                let sample = at.is_finite() && at != 0.0;
                if sample { Ok(()) } else { expected("pclip", at, "a number of samples or a part of them, not 0,") }
            }
            Reject::Percentile { low, high } => {
                let order = low >= 0.0 && low <= high && high <= 100.0;
                let given = format!("{low} and {high}");
                if order { Ok(()) } else { expected("percentiles", given, "a lower and a higher one from 0 to 100") }
            }
            Reject::Threshold { low, high } => {
                let given = format!("{low} and {high}");
                if low <= high { Ok(()) } else { expected("thresholds", given, "a lower and a higher one") }
            }
        }
    }

    fn stats(
        &self,
        engine: &Engine,
        plans: &[Plan],
        mut counters: Counters,
        (started, before): (Instant, u64),
    ) -> Stats {
        let skipped: Vec<Skipped> = self.skipped.iter().map(|(_, skipped)| skipped.clone()).collect();
        counters.warn(skipped.iter().map(|Skipped { path, why }| format!("left out: {}: {why}", show(path))));
        let (headers, pixels) = read_so_far(plans);
        Stats {
            bytes_read: headers + pixels - before + plans.iter().map(|p| p.read_for_levels).sum::<u64>(),
            frames: self.inputs.len() as u64,
            skipped,
            factors: if self.scale.is_some() || self.zero.is_some() || self.weights.is_some() {
                plans.iter().map(Plan::factors).collect()
            } else {
                Vec::new()
            },
            pixels: plans.iter().map(|p| p.pixels() as u64).sum(),
            ..counters.stats(engine, started)
        }
    }
}

/// The images of the result, extension after extension.
fn images(plans: &[Plan]) -> Vec<ImageSpec> {
    plans.iter().flat_map(Plan::images).collect()
}

/// Bytes of headers and of pixels read so far in all files of the stack.
fn read_so_far(plans: &[Plan]) -> (u64, u64) {
    let leaves = plans.iter().filter_map(|p| p.computed.as_ref()).flat_map(|c| &c.leaves);
    bytes_read(plans.iter().flat_map(|p| &p.frames).chain(leaves).flat_map(NDAstroData::planes))
}
