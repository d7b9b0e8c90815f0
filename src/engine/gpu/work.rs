//! What is different between jobs on the device: the cubes that they read, their kernel, what comes back.

use std::ops::Range;

use rayon::prelude::*;

use super::super::cpu;
use super::run::{Buffers, LANES};
use super::samples::Samples;
use super::upload::{CubePlan, Sample};
use super::{Binding, GpuEngine, Pipeline, frames};
use crate::dtype::DType;
use crate::engine::CpuEngine;
use crate::kernels::expr::{self, wgsl};
use crate::kernels::stack::minmax_part;
use crate::kernels::stack::wgsl::{self as stack_wgsl, Block, Has, Raw};
use crate::kernels::stack::{self, Affine, Combine, Reject, Tally};
use crate::real::Real;
use crate::tiles::{DATA, Job, MASK, Stacking, Tile, VARIANCE, Work};
use crate::{Error, Result};

/// In `out_info`: the pixel is not for the device.
const ODD: u32 = 1 << 31;
/// Bytes a pixel of `out_info` in `shaders/stack.wgsl`.
const INFO_BYTES: u64 = 16;

/// A plane of results: where it is, and how many bytes a pixel; 0 for one bit.
pub(super) struct Outcome {
    pub buffer: wgpu::Buffer,
    pub bytes: u64,
    /// Where it begins in the buffer.
    pub at: u64,
}

impl Outcome {
    /// Bytes of `n` pixels, of a size that can be copied.
    pub(super) fn len(&self, n: usize) -> u64 {
        result_len(self.bytes, n)
    }
}

/// Bytes of `n` pixels of so many bytes each, whole words; 0 is for one bit, in whole workgroups.
pub(super) fn result_len(bytes: u64, n: usize) -> u64 {
    if bytes == 0 { 8 * n.div_ceil(LANES) as u64 } else { (bytes * n as u64).next_multiple_of(4) }
}

/// The kernel of a job, ready to be dispatched.
pub(super) struct Made {
    pub passes: Vec<frames::Pass>,
    pub kernel: Pipeline,
    /// Pixels of a lane of the kernel.
    pub lane: usize,
    /// One for each slot.
    pub binds: Vec<wgpu::BindGroup>,
    pub out: Vec<Outcome>,
    /// Marks that are set by the passes.
    pub marks: Option<wgpu::Buffer>,
}

/// The planes of a job, by what their numbers become.
pub(super) fn cubes<T: Real>(job: &Job<'_>) -> Vec<CubePlan> {
    match &job.work {
        Work::Stack(Stacking { computed: Some(computed), .. }) => frames::cubes(job, computed),
        Work::Stack(stack) => {
            let cube = |c: usize, used: bool, sample: Sample| {
                CubePlan::new(job, stack.frames.iter().filter(|_| used).map(|f| f[c]), sample).raw_if_alike()
            };
            vec![
                cube(DATA, true, Sample::real::<T>()),
                cube(VARIANCE, stack.variance, Sample::real::<T>()),
                cube(MASK, stack.mask, Sample::Mask),
            ]
        }
        Work::Expr(program) => {
            let cube = |inputs: &[usize], sample| CubePlan::new(job, inputs.iter().copied().map(Some), sample);
            vec![
                cube(&program.narrow, Sample::F32),
                cube(&program.wide, Sample::F64),
                cube(if program.mask.is_some() { &program.masks } else { &[] }, Sample::Mask),
            ]
        }
    }
}

/// In what blocks the kernel of a job reads its samples, from textures of a software adapter; from buffers if in none.
pub(super) fn block<T: Real>(engine: &GpuEngine, job: &Job<'_>, cubes: &[CubePlan]) -> Option<Block> {
    let Work::Stack(stack) = &job.work else { return None };
    if !engine.shares_memory() || stack.computed.is_some() || !cubes.iter().all(|cube| cube.is_copied(job)) {
        return None;
    }
    stack_wgsl::block::<T>(stack.method, &has(job, stack))
}

/// Bytes a pixel of all results, and of the widest of them.
pub(super) fn result_bytes<T: Real>(job: &Job<'_>) -> (u64, u64) {
    let real = size_of::<T>() as u64;
    match &job.work {
        Work::Stack(stack) => {
            let reals = has(job, stack).reals() as u64 * real;
            (reals + INFO_BYTES + 1, reals.max(INFO_BYTES))
        }
        Work::Expr(_) => (2 * real + 4 + 1, real),
    }
}

/// Bytes a pixel of what lies between samples and results, and of the widest of it.
pub(super) fn inner_bytes<T: Real>(job: &Job<'_>) -> (u64, u64) {
    let Work::Stack(stack) = &job.work else { return (0, 1) };
    let (mut bytes, mut widest) = (0, 1);
    if has(job, stack).stores(stack.method) {
        let column = (stack.count() * size_of::<T>()) as u64;
        (bytes, widest) = (column + 4 * stack.count().div_ceil(32) as u64, column);
    }
    if let Some(computed) = &stack.computed {
        let (more, wide) = frames::bytes::<T>(stack, computed);
        (bytes, widest) = (bytes + more, widest.max(wide));
    }
    (bytes, widest)
}

/// What the shader of a stack is written for.
fn has(job: &Job<'_>, stack: &Stacking<'_>) -> Has {
    let weighted = stack.method.combine == Combine::WtMean && stack.variance;
    Has {
        frames: stack.count(),
        variance: stack.variance,
        mask: stack.mask,
        scaled: stack.affine.iter().any(|a| *a != Affine::IDENTITY),
        nonfinite: stack.nonfinite,
        both: job.outputs.scatter,
        ratio: job.outputs.ratio,
        weights: job.outputs.weight && weighted,
        shared: stack.computed.map_or(0, |c| c.shares.variables),
        levels: stack.levels.count(),
        doubles: false,
        block: None,
    }
}

/// Pipeline, buffers for the results, and bind groups. `samples` are those of `cubes`, which are
/// [`cubes`], for each slot.
pub(super) fn make<T: Real>(
    engine: &GpuEngine,
    job: &Job<'_>,
    pixels: usize,
    cubes: &[CubePlan],
    samples: &[Vec<Samples>],
    absent: &wgpu::Buffer,
    buffers: &mut Buffers<'_>,
) -> Result<Made> {
    let real = size_of::<T>() as u64;
    match &job.work {
        Work::Stack(stack) => {
            let has = Has { doubles: engine.has_doubles(), block: block::<T>(engine, job, cubes), ..has(job, stack) };
            let (stores, wide) = (has.stores(stack.method), T::DTYPE == DType::F64);
            let lane = stack_wgsl::pixels_of_lane::<T>(stack.method, &has);
            let on = |yes: bool, binding: Binding| if yes { binding } else { Binding::Absent };
            let mut bindings = vec![Binding::Uniform];
            bindings.extend([DATA, VARIANCE, MASK].map(|c| match &stack.computed {
                None => samples[0][c].binding(),
                Some(_) => Binding::Read,
            }));
            bindings.push(Binding::Read);
            bindings.extend([Binding::Write; 2]);
            bindings.push(on(stores, Binding::Write));
            // The same planes, in other words.
            bindings.extend([on(wide, Binding::Read); 2]);
            bindings.push(on(stores, Binding::Write));
            bindings.push(on(has.shared > 0, Binding::Read));
            let raw = match &stack.computed {
                None => Raw {
                    data: cubes[DATA].as_read(),
                    variance: cubes[VARIANCE].as_read(),
                    mask: cubes[MASK].as_read(),
                },
                Some(_) => Raw::DECODED,
            };
            let source = stack_wgsl::source::<T>(stack.method, &has, &raw);
            let label = format!("stack of {} {} frames", has.frames, T::DTYPE);
            let kernel = engine.pipeline_of(source.clone(), label, "main", &bindings, &[], || source)?;
            let uniform = buffers.uniform("stack params", bytemuck::bytes_of(&stack_params(stack, pixels)))?;
            let rows = buffers.filled("rows", &rows::<T>(stack))?;
            let mut out = buffers.outcomes("out reals", real, pixels, has.reals())?;
            let info = buffers.outcome("out info", INFO_BYTES, pixels)?;
            let (keys, ins) = if stores {
                let n = has.frames;
                let keys = buffers.storage("column", (n * pixels * size_of::<T>()) as u64)?;
                (keys, buffers.storage("samples that are in", (n.div_ceil(32) * pixels * 4) as u64)?)
            } else {
                (absent.clone(), absent.clone())
            };
            let (mut passes, mut marks) = (Vec::new(), None);
            let mut planes = None;
            if let Some(computed) = &stack.computed {
                let odd = buffers.outcome("odd frames", 0, pixels)?;
                // Frames are computed from decoded samples, which all slots share.
                let (made, of_frames) =
                    frames::make::<T>(engine, stack, computed, pixels, &samples[0], &odd.buffer, buffers)?;
                (planes, passes) = (Some(made), of_frames);
                marks = Some(odd.buffer.clone());
                out.push(odd);
            }
            let mut binds = Vec::new();
            for samples in samples {
                let [data, variance, mask] = match &planes {
                    None => [DATA, VARIANCE, MASK].map(|c| samples[c].resource()),
                    Some(p) => [&p.data, &p.variance, &p.mask].map(wgpu::Buffer::as_entire_binding),
                };
                let shared = planes.as_ref().map_or(absent, |p| &p.shared);
                let own = [&uniform, &rows, &out[0].buffer, &info.buffer, &keys, &ins, shared];
                let [uniform, rows, reals, info, keys, ins, shared] = own.map(wgpu::Buffer::as_entire_binding);
                let again = (data.clone(), variance.clone());
                let bound = [uniform, data, variance, mask, rows, reals, info, keys, again.0, again.1, ins, shared];
                binds.push(engine.bind(&kernel, &bound)?);
            }
            out.insert(has.reals(), info);
            Ok(Made { passes, kernel, lane, binds, out, marks })
        }
        Work::Expr(program) => {
            let mut bindings = vec![Binding::Uniform];
            bindings.extend([Binding::Read; 4]);
            bindings.extend([Binding::Write; 4]);
            let source = wgsl::source::<T>(program, engine.f64(), wgsl::Target::Result);
            let label = format!("expr of {} steps {}", program.steps.len(), T::DTYPE);
            let kernel = engine.pipeline_of(source.clone(), label, "main", &bindings, &[], || source)?;
            let params = expr::Params { pixels: pixels as u32, ..Default::default() };
            let uniform = buffers.uniform("expr params", bytemuck::bytes_of(&params))?;
            let data = buffers.outcome("out data", real, pixels)?;
            let variance = program.variance.map(|_| buffers.outcome("out variance", real, pixels)).transpose()?;
            let mask = program.mask.map(|_| buffers.outcome("out mask", 4, pixels)).transpose()?;
            let odd = buffers.outcome("out odd", 0, pixels)?;
            // A shader may not be given one buffer to write to twice.
            let (no_variance, no_mask) = (buffers.outcome("absent", 4, 4)?, buffers.outcome("absent", 4, 4)?);
            let mut binds = Vec::new();
            for samples in samples {
                let [narrow, wide, masks] = [0, 1, 2].map(|c: usize| samples[c].resource());
                let masks = if program.mask.is_some() { masks } else { absent.as_entire_binding() };
                let mut bound = vec![uniform.as_entire_binding(), narrow, wide.clone(), wide, masks];
                let variance = variance.as_ref().unwrap_or(&no_variance);
                let mask = mask.as_ref().unwrap_or(&no_mask);
                bound.extend([&data, variance, mask, &odd].map(|out| out.buffer.as_entire_binding()));
                binds.push(engine.bind(&kernel, &bound)?);
            }
            let out = [Some(data), variance, mask, Some(odd)].into_iter().flatten().collect();
            Ok(Made { passes: Vec::new(), kernel, lane: 1, binds, out, marks: None })
        }
    }
}

/// Computes pixels that are not for the device.
pub(super) struct Twin<'a, T: Real> {
    engine: &'a CpuEngine,
    job: &'a Job<'a>,
    memory: u64,
    run: Option<cpu::Run<'a, T>>,
}

impl<'a, T: Real + Default> Twin<'a, T> {
    pub(super) fn new(engine: &'a CpuEngine, job: &'a Job<'a>, memory: u64) -> Self {
        Twin { engine, job, memory, run: None }
    }

    /// The memory that it takes: this much, or the least that it can do with.
    pub(super) fn memory(engine: &'a CpuEngine, job: &'a Job<'a>, memory: u64) -> Result<u64> {
        match cpu::Run::<T>::new(engine, job, memory) {
            Ok(_) => Ok(memory),
            Err(Error::Budget { needed, .. }) => Ok(needed),
            Err(e) => Err(e),
        }
    }

    /// Computes the marked pixels of a tile anew, and no others: what a pixel comes to must not depend on its neighbours.
    fn compute(&mut self, odd: &[u8], tile: &mut Tile<T>) -> Result<()> {
        let runs = runs(odd, tile);
        if runs.is_empty() {
            return Ok(());
        }
        if self.run.is_none() {
            // Too little for it beside the device: then the CPU does it all.
            let beside = |e| if let Error::Budget { .. } = e { Error::Device(e.to_string()) } else { e };
            self.run = Some(cpu::Run::new(self.engine, self.job, self.memory).map_err(beside)?);
        }
        self.run.as_mut().map_or(Ok(()), |run| run.some(&runs, tile))
    }
}

/// The results of a tile that was prepared, from what came back.
pub(super) fn take<T: Real + Default>(
    job: &Job<'_>,
    twin: &mut Twin<'_, T>,
    planes: &[&[u8]],
    tile: &mut Tile<T>,
) -> Result<()> {
    let copy = |to: &mut [T], from: &[u8]| {
        let bytes = bytemuck::cast_slice_mut::<T, u8>(to);
        let n = bytes.len();
        bytes.copy_from_slice(&from[..n]);
    };
    let mut planes = planes.iter().copied();
    let mut next = || planes.next().ok_or_else(|| Error::Device("a result is missing".into()));
    copy(&mut tile.data, next()?);
    match &job.work {
        Work::Stack(stack) => {
            let has = has(job, stack);
            copy(&mut tile.variance, next()?);
            if has.both {
                copy(&mut tile.scatter, next()?);
            }
            let beyond = |v: &mut T, value: f64| {
                if *v < T::from_f32(0.0) {
                    *v = T::from_f64(value);
                }
            };
            if has.ratio {
                copy(&mut tile.ratio, next()?);
                tile.ratio.iter_mut().for_each(|v| beyond(v, f64::NAN));
            }
            if has.weights {
                copy(&mut tile.weight, next()?);
                tile.weight.iter_mut().for_each(|v| beyond(v, f64::INFINITY));
            }
            let n = tile.data.len();
            let infos = &next()?[..n * INFO_BYTES as usize];
            // Marked by the frames, or by the stack.
            let marked = if stack.computed.is_some() { Some(next()?) } else { None };
            // What odd pixels say of themselves goes as well, and is written over.
            words(&mut tile.mask, infos, |info| word(info, 0));
            words(&mut tile.good, infos, |info| word(info, 1));
            words(&mut tile.low, infos, |info| word(info, 3) & 0xffff);
            words(&mut tile.high, infos, |info| word(info, 3) >> 16);
            words(&mut tile.rejected, infos, |info| (word(info, 3) & 0xffff) + (word(info, 3) >> 16));
            if !has.weights && !tile.weight.is_empty() {
                words(&mut tile.weight, infos, |info| T::from_f64(f64::from(word(info, 1))));
            }
            let (odd, tally) = judge(infos, marked);
            tile.tally += tally;
            twin.compute(&odd, tile)
        }
        Work::Expr(_) => {
            if job.outputs.variance {
                copy(&mut tile.variance, next()?);
            }
            if job.outputs.mask {
                let n = tile.mask.len();
                bytemuck::cast_slice_mut::<u32, u8>(&mut tile.mask).copy_from_slice(&next()?[..4 * n]);
            }
            twin.compute(next()?, tile)
        }
    }
}

/// Pixels that a thread looks at in a row: whole words of bits.
const PART: usize = 8192;

/// A plane of results, if it is wanted, from what the kernel says of each pixel; all threads at once.
fn words<V: Send>(plane: &mut [V], infos: &[u8], of: impl Fn(&[u8]) -> V + Sync) {
    let parts = infos.par_chunks(PART * INFO_BYTES as usize);
    plane.par_chunks_mut(PART).zip(parts).for_each(|(plane, infos)| {
        for (to, info) in plane.iter_mut().zip(infos.chunks_exact(INFO_BYTES as usize)) {
            *to = of(info);
        }
    });
}

/// One bit for each pixel that is not for the device, in whole words, and what the others come to.
fn judge(infos: &[u8], marked: Option<&[u8]>) -> (Vec<u8>, Tally) {
    let one = |(part, infos): (usize, &[u8])| {
        let infos = infos.chunks_exact(INFO_BYTES as usize);
        let (mut odd, mut tally) = (vec![0u8; infos.len().div_ceil(32) * 4], Tally::default());
        for (i, info) in infos.enumerate() {
            if word(info, 2) & ODD != 0 || marked.is_some_and(|m| is_set(m, part * PART + i)) {
                odd[i / 8] |= 1 << (i % 8);
                continue;
            }
            tally.negative += u64::from(word(info, 2));
            tally.rejected += u64::from((word(info, 3) & 0xffff) + (word(info, 3) >> 16));
        }
        (odd, tally)
    };
    let parts: Vec<_> = infos.par_chunks(PART * INFO_BYTES as usize).enumerate().map(one).collect();
    let tally = parts.iter().map(|(_, tally)| *tally).sum();
    (parts.into_iter().flat_map(|(odd, _)| odd).collect(), tally)
}

/// Bit `i` of words.
fn is_set(words: &[u8], i: usize) -> bool {
    word(words, i / 32) >> (i % 32) & 1 == 1
}

/// Most pixels of a run: a thread takes one at once.
const RUN: usize = 4096;

/// Runs of marked pixels of a tile, as pixels of the output.
fn runs<T>(odd: &[u8], tile: &Tile<T>) -> Vec<Range<usize>> {
    let (first, n) = (tile.range.start, tile.range.len());
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while at < n {
        if word(odd, at / 32) == 0 {
            at = (at / 32 + 1) * 32;
            continue;
        }
        if is_set(odd, at) {
            match runs.last_mut() {
                Some(run) if run.end == first + at && run.len() < RUN => run.end += 1,
                _ => runs.push(first + at..first + at + 1),
            }
        }
        at += 1;
    }
    runs
}

fn word(bytes: &[u8], i: usize) -> u32 {
    u32::from_ne_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]])
}

fn stack_params(job: &Stacking<'_>, pixels: usize) -> stack::Params {
    stack::Params { pixels: pixels as u32, opaque_zero: 0, pad_a: 0, pad_b: 0, forbidden: *job.levels.forbidden() }
}

/// `rows` of `shaders/stack.wgsl`.
fn rows<T: Real>(job: &Stacking<'_>) -> Vec<u8> {
    let split = |v: f64| {
        let high = T::from_f64(v);
        [high, T::from_f64(v - high.to_f64())]
    };
    let zero = [T::from_f64(0.0); 2];
    let mut rows: Vec<[T; 2]> = Vec::new();
    rows.extend(job.affine.iter().flat_map(|a| [split(a.scale), split(a.zero), split(a.scale * a.scale), zero]));
    // One that is infinite is not asked for.
    let square = |sigma: f64| if sigma.is_finite() { split(sigma * sigma) } else { zero };
    let clip = match &job.method.reject {
        Reject::SigClip(clip) | Reject::VarClip(clip) => [square(clip.lsigma), square(clip.hsigma)],
        _ => [zero; 2],
    };
    rows.extend(clip);
    for n in 0..=job.count() {
        let [low, high] = match &job.method.reject {
            Reject::MinMax { nlow, nhigh } => {
                [*nlow, *nhigh].map(|of| T::from_f64(minmax_part(n, of, job.count()) as f64))
            }
            _ => zero,
        };
        rows.extend([split(job.method.combine.factor(n)), [low, high]]);
    }
    bytemuck::cast_slice(&rows.concat()).to_vec()
}
