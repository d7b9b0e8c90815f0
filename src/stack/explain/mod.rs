//! Why a pixel of a stack came out as it did: its samples one by one, what each pass of the rejection made of them, and
//! the result.
//!
//! The result is that of the kernel, run on this one pixel by the plan of the whole stack, so it is what the stack has
//! there. Beside it goes a walk through the rules, in `walk.rs`; if both came to different samples, the explanation
//! says so.

mod show;
mod walk;

use std::time::Instant;

use super::maps::outputs;
use super::plan::Plan;
use super::{Map, Stack};
use crate::arrays::MemorySink;
use crate::dtype::DType;
use crate::engine::Engine;
use crate::kernels::Kernel;
use crate::kernels::decode::{self, Decode};
use crate::kernels::expr::Program;
use crate::nddata::NDAstroData;
use crate::plane::Plane;
use crate::real::Real;
use crate::slice::AxisSlice;
use crate::tiles::{Counters, Job, Outputs, Work};
use crate::{Error, Result};

use walk::{Sample, Walk};

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// It went into the result.
    Kept,
    /// Data or variance are not finite.
    Unusable,
    /// Samples with better mask bits are there.
    Worse,
    /// Rejected in this pass, counted from 1, below what is left.
    Low(usize),
    /// The same above.
    High(usize),
}

/// One sample of the pixel.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ExplainedSample {
    /// File name of the frame, if it is of a file.
    pub name: Option<String>,
    /// As the frame has it; `None` where the frame is an expression of containers of other shapes.
    pub raw: Option<f64>,
    /// After scale and zero, and after calibration: what is compared and combined.
    pub value: f64,
    /// Its variance, of what the frame shares with no other; `None` where variances are not read.
    pub variance: Option<f64>,
    /// Its mask bits; 0 where masks are not used.
    pub mask: u32,
    /// The same in words.
    pub bits: String,
    /// Its level in the hierarchy, the best being 0; `None` where it cannot be used.
    pub level: Option<u32>,
    /// What became of it.
    pub fate: Fate,
    /// The weight of its frame, if frames have any.
    pub weight: Option<f64>,
}

/// One pass of the rejection; of gesd each test, to the first behind all that count.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ExplainedPass {
    /// Samples that were in before it.
    pub samples: usize,
    /// What they were clipped about; `None` for minmax. Of a line its value at the middle rank.
    pub centre: Option<f64>,
    /// Standard deviation of the samples, where the clipping is by that; of a line the mean absolute deviation.
    pub spread: Option<f64>,
    /// The lowest and the highest value that stay, where they are the same for all samples.
    pub limits: Option<[f64; 2]>,
    /// Samples rejected below.
    pub low: usize,
    /// Samples rejected above.
    pub high: usize,
}

/// What the stack has at the pixel.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ExplainedResult {
    /// Data.
    pub value: f64,
    /// Variance; NaN of a bitwise combination, which has none.
    pub variance: f64,
    /// Whether that is propagated from the frames', else it is from the scatter of the samples.
    pub propagated: bool,
    /// Scatter beside the propagated variance, where both are made.
    pub scatter: Option<f64>,
    /// Scatter / propagated, where both are made.
    pub chi_square: Option<f64>,
    /// Mask bits.
    pub mask: u32,
    /// The same in words.
    pub bits: String,
    /// Samples that are in it.
    pub samples: usize,
    /// Samples rejected below those.
    pub low: usize,
    /// Samples rejected above those.
    pub high: usize,
}

/// Why a pixel of a stack came out as it did: made by [`Stack::explain`]. Displays as a table.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// EXTNAME and EXTVER of the result, as `SCI,1`.
    pub extension: String,
    /// The pixel, in numpy's order, from 0 on.
    pub at: Vec<usize>,
    /// Combination, rejection and flavour, as they were done.
    pub method: String,
    /// Unit of the values.
    pub unit: Option<String>,
    /// The samples, in the order of the frames.
    pub frames: Vec<ExplainedSample>,
    /// The best level that a sample has: those of that level are used. `None` where no sample is usable.
    pub best: Option<u32>,
    /// The passes of the rejection.
    pub passes: Vec<ExplainedPass>,
    /// Every sample was rejected, so none is.
    pub undone: bool,
    /// What the stack has there.
    pub result: ExplainedResult,
    /// What the user should know of the stack.
    pub warnings: Vec<String>,
    /// In what the samples above are not those of the result; it happens only where one lies on a limit, to rounding.
    pub disagreement: Option<String>,
}

impl Stack {
    /// Why the stack has what it has at a pixel of an extension: `at` is its place in numpy's order, from 0 on, a
    /// number for each axis. Of the frames no other pixel is read, except by collapses in their expressions. On the CPU.
    ///
    /// # Errors
    /// There is no such extension or pixel; else as [`eval`](Self::eval).
    pub fn explain(&self, extension: usize, at: &[usize]) -> Result<Explanation> {
        let engine = Engine::cpu(1)?;
        let mut stack = self.clone().maps(Map::OF_SAMPLES);
        stack.settings.progress = None;
        stack.checked(&engine)?;
        stack.check_explained()?;
        let extensions = stack.inputs[0].len();
        if extension >= extensions {
            return Err(Error::Parameter(format!("extension {extension} of a stack that has {extensions}, from 0 on")));
        }
        let mut counters = Counters::default();
        let mut plan = Plan::new(&stack, extension, &engine, &mut counters)?;
        plan.narrow(at)?;
        match plan.compute {
            DType::F64 => stack.explained::<f64>(&engine, &plan, at, counters),
            _ => stack.explained::<f32>(&engine, &plan, at, counters),
        }
    }

    fn explained<T: Real + Default>(
        &self,
        engine: &Engine,
        plan: &Plan,
        at: &[usize],
        mut counters: Counters,
    ) -> Result<Explanation> {
        let started = Instant::now();
        let result = self.explained_result::<T>(engine, plan, &mut counters)?;
        let samples = self.samples::<T>(engine, plan)?;
        let walk = Walk::new::<T>(&samples, plan, &self.hierarchy.kernel());
        let frames = samples.iter().enumerate().map(|(f, sample)| ExplainedSample {
            name: self.inputs[f].path().and_then(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned()),
            raw: sample.raw,
            value: walk.values[f],
            variance: sample.variance.map(|_| walk.variances[f]),
            mask: sample.mask,
            bits: self.bit_names.describe(sample.mask),
            level: walk.levels[f],
            fate: walk.fates[f],
            weight: plan.counted.weights.get(f).copied(),
        });
        let name = plan.frames.first().map_or("", NDAstroData::name);
        let found = [walk.count(|f| f == Fate::Kept), walk.low(), walk.high()];
        Ok(Explanation {
            extension: format!("{name},{}", plan.ver),
            at: at.to_vec(),
            method: format!(
                "combine {}, reject {}, flavour {}",
                plan.method.combine.describe(),
                plan.method.reject.describe(),
                plan.method.flavour.name()
            ),
            unit: plan.unit.as_ref().map(ToString::to_string),
            frames: frames.collect(),
            best: walk.best,
            passes: walk.passes,
            undone: walk.undone,
            disagreement: disagreement(found, [result.samples, result.low, result.high]),
            result,
            warnings: counters.stats(engine, started).warnings,
        })
    }

    /// What the kernel makes of the one pixel of the plan.
    fn explained_result<T: Real + Default>(
        &self,
        engine: &Engine,
        plan: &Plan,
        counters: &mut Counters,
    ) -> Result<ExplainedResult> {
        let nd = self.eval_one::<T>(engine, plan, counters)?;
        let first = |pixels: &crate::Pixels| pixels.to_f64().into_iter().next().unwrap_or(f64::NAN);
        let other = |name: &str| Ok::<_, Error>(nd.other(name)?.map(first));
        let count = |name: &str| Ok::<_, Error>(other(name)?.unwrap_or(0.0) as usize);
        let mask = nd.mask()?.map_or(0, |m| first(m) as u32);
        let both = outputs(&plan.products).scatter;
        Ok(ExplainedResult {
            value: first(nd.data()?),
            variance: nd.variance()?.map_or(f64::NAN, first),
            propagated: plan.method.errors.propagates(),
            scatter: if both { other("SCATTER")? } else { None },
            chi_square: if both { other("CHISQ")? } else { None },
            mask,
            bits: self.bit_names.describe(mask),
            samples: count("NGOOD")?,
            low: count("REJLOW")?,
            high: count("REJHIGH")?,
        })
    }

    /// The samples as the kernel gets them.
    fn samples<T: Real + Default>(&self, engine: &Engine, plan: &Plan) -> Result<Vec<Sample>> {
        let Some(computed) = &plan.computed else {
            let one = |frame: &NDAstroData| {
                let variance = frame.variance_plane().filter(|_| plan.variance);
                let data = number::<T>(frame.data_plane())?;
                Ok(Sample {
                    raw: Some(data),
                    data,
                    variance: variance.map(number::<T>).transpose()?,
                    mask: frame.mask_plane().filter(|_| plan.mask).map_or(Ok(0), bits)?,
                })
            };
            return plan.frames.iter().map(one).collect();
        };
        let one = |(program, frame): (&_, &NDAstroData)| {
            // What frames share is no part of the sample's own variance.
            let mut program = Program { more: Vec::new(), ..Clone::clone(program) };
            // Planes of other frames are not read.
            let mut inputs = Vec::new();
            for input in program.narrow.iter_mut().chain(&mut program.wide).chain(&mut program.masks) {
                inputs.push(&computed.planes[*input]);
                *input = inputs.len() - 1;
            }
            let outputs = Outputs { variance: plan.variance, mask: program.mask.is_some(), ..Outputs::default() };
            let mut sink = MemorySink::<T>::new(1, outputs, DType::U32, Vec::new())?;
            let job = Job { inputs, pixels: 1, part: 0..1, row: 1, outputs, work: Work::Expr(&program) };
            self.settings.steer(|control| crate::tiles::run(engine, &job, control, &mut sink))?;
            Ok(Sample {
                raw: if frame.size() == 1 { Some(number::<f64>(frame.data_plane())?) } else { None },
                data: sink.data.first().map_or(f64::NAN, |v| v.to_f64()),
                variance: sink.variance.first().map(|v| v.to_f64()).filter(|_| plan.variance),
                mask: sink.mask.get(0).filter(|_| plan.mask).unwrap_or(0),
            })
        };
        computed.programs.iter().zip(&plan.frames).map(one).collect()
    }
}

impl Plan {
    /// Makes it the plan of one pixel.
    fn narrow(&mut self, at: &[usize]) -> Result<()> {
        let shape = std::mem::take(&mut self.shape);
        if at.len() != shape.len() || at.iter().zip(&shape).any(|(i, n)| i >= n) {
            let words: Vec<String> = at.iter().map(usize::to_string).collect();
            let (at, name, ver) = (words.join(","), self.frames.first().map_or("", NDAstroData::name), self.ver);
            return Err(Error::Parameter(format!(
                "no pixel at {at} in extension {name},{ver} of shape {shape:?}: a number for each axis, the slowest axis \
                 first, from 0 on"
            )));
        }
        let slices: Vec<AxisSlice> = at.iter().map(|&start| AxisSlice::Range { start, step: 1, len: 1 }).collect();
        self.shape = vec![1; shape.len()];
        for frame in self.frames.iter_mut().filter(|f| f.shape() == shape) {
            *frame = frame.sliced(&slices);
        }
        if let Some(computed) = &mut self.computed {
            computed.planes.iter_mut().for_each(|plane| *plane = plane.sliced(&slices));
        }
        // They say nothing of the samples.
        self.others.clear();
        Ok(())
    }
}

/// The number of a plane of one pixel, as the kernel gets it in its compute type.
fn number<T: Real>(plane: &Plane) -> Result<f64> {
    let mut out = [T::from_f32(0.0)];
    let format = plane.format();
    plane.bands(|_, bytes| {
        Decode::<T>::cpu((&format, bytes, &mut out));
        Ok(())
    })?;
    plane.transform().apply(&mut out);
    Ok(out[0].to_f64())
}

fn bits(plane: &Plane) -> Result<u32> {
    let mut out = [0];
    let format = plane.format();
    plane.bands(|_, bytes| {
        decode::mask(&format, bytes, &mut out);
        Ok(())
    })?;
    Ok(out[0])
}

/// Where the walk's samples, low and high are not the kernel's.
fn disagreement(walked: [usize; 3], computed: [usize; 3]) -> Option<String> {
    let words = |[n, low, high]: [usize; 3]| format!("{n} kept, {low} rejected low, {high} rejected high");
    (walked != computed).then(|| format!("explained: {}; computed: {}", words(walked), words(computed)))
}
