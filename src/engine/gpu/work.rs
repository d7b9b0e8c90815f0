//! What is different between jobs on the device: the cubes that they read, their kernel, what comes back.

use rayon::prelude::*;

use super::run::{Buffers, LANES};
use super::upload::{CubePlan, Sample};
use super::{Binding, GpuEngine, Pipeline};
use crate::dtype::DType;
use crate::kernels::expr::{self, Program, Sheet, wgsl};
use crate::kernels::stack::{self, Out, Stack, Tally};
use crate::real::Real;
use crate::tiles::{DATA, Job, MASK, Stacking, Tile, VARIANCE, Work};
use crate::{Error, Result};

/// Bytes a pixel of `out_info` in `shaders/stack.wgsl`.
const INFO_BYTES: u64 = 16;

/// A plane of results: where it is, and how many bytes a pixel; 0 for one bit.
pub(super) struct Outcome {
    pub buffer: wgpu::Buffer,
    pub bytes: u64,
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
    pub kernel: Pipeline,
    pub bind: wgpu::BindGroup,
    pub out: Vec<Outcome>,
}

/// The planes of a job, by what their numbers become.
pub(super) fn cubes<T: Real>(job: &Job<'_>) -> Vec<CubePlan> {
    match &job.work {
        Work::Stack(stack) => {
            let cube = |c: usize, used: bool, sample: Sample| {
                CubePlan::new(job, stack.frames.iter().filter(|_| used).map(|f| f[c]), sample)
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

/// Bytes a pixel of all results, and of the widest of them.
pub(super) fn result_bytes<T: Real>(job: &Job<'_>) -> (u64, u64) {
    let real = size_of::<T>() as u64;
    match &job.work {
        Work::Stack(_) => (2 * real + INFO_BYTES, INFO_BYTES),
        Work::Expr(_) => (2 * real + 4 + 1, real),
    }
}

/// Pipeline, buffers for the results, and the bind group. `samples` are those of [`cubes`].
pub(super) fn make<T: Real>(
    engine: &GpuEngine,
    job: &Job<'_>,
    pixels: usize,
    samples: &[wgpu::Buffer],
    absent: &wgpu::Buffer,
    buffers: &mut Buffers<'_>,
) -> Result<Made> {
    let real = size_of::<T>() as u64;
    match &job.work {
        Work::Stack(job) => {
            let mut bindings = vec![Binding::Uniform];
            bindings.extend([Binding::Read; 4]);
            bindings.extend([Binding::Write; 3]);
            if T::DTYPE == DType::F64 {
                bindings.extend([Binding::Read; 2]);
            }
            let kernel = engine.pipeline::<T, Stack<T>>("main", &bindings, &stack_constants(job))?;
            let uniform = buffers.uniform("stack params", bytemuck::bytes_of(&stack_params(job, pixels)))?;
            let affines = buffers.filled("scale and zero", &affines::<T>(job))?;
            let out = vec![
                buffers.outcome("out data", real, pixels)?,
                buffers.outcome("out variance", real, pixels)?,
                buffers.outcome("out info", INFO_BYTES, pixels)?,
            ];
            let [data, variance, mask] = [DATA, VARIANCE, MASK].map(|c| &samples[c]);
            let mut bound = vec![&uniform, data, variance, mask, &affines];
            bound.extend(out.iter().map(|o| &o.buffer));
            if T::DTYPE == DType::F64 {
                bound.extend([data, variance]);
            }
            let bind = engine.bind(&kernel, &bound)?;
            Ok(Made { kernel, bind, out })
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
            let bound = [
                &uniform,
                &samples[0],
                &samples[1],
                &samples[1],
                if program.mask.is_some() { &samples[2] } else { absent },
                &data.buffer,
                &variance.as_ref().unwrap_or(&no_variance).buffer,
                &mask.as_ref().unwrap_or(&no_mask).buffer,
                &odd.buffer,
            ];
            let bind = engine.bind(&kernel, &bound)?;
            let out = [Some(data), variance, mask, Some(odd)].into_iter().flatten().collect();
            Ok(Made { kernel, bind, out })
        }
    }
}

/// The results of a tile that was prepared, from what came back.
pub(super) fn take<T: Real + Default>(
    job: &Job<'_>,
    pool: &rayon::ThreadPool,
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
        Work::Stack(_) => {
            copy(&mut tile.variance, next()?);
            for (i, info) in next()?.chunks_exact(INFO_BYTES as usize).take(tile.mask.len()).enumerate() {
                tile.mask[i] = word(info, 0);
                tile.good[i] = word(info, 1);
                tile.tally.negative += u64::from(word(info, 2));
            }
        }
        Work::Expr(program) => {
            if job.outputs.variance {
                copy(&mut tile.variance, next()?);
            }
            if job.outputs.mask {
                let n = tile.mask.len();
                bytemuck::cast_slice_mut::<u32, u8>(&mut tile.mask).copy_from_slice(&next()?[..4 * n]);
            }
            let odd = next()?;
            recompute(job, program, pool, odd, tile)?;
        }
    }
    Ok(())
}

fn word(bytes: &[u8], i: usize) -> u32 {
    u32::from_ne_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]])
}

/// Pixels that a thread takes at once.
const SHARE: usize = 4096;

/// Computes the marked pixels anew on the host, and no others: what a pixel comes to must not depend on its neighbours.
fn recompute<T: Real + Default>(
    job: &Job<'_>,
    program: &Program,
    pool: &rayon::ThreadPool,
    odd: &[u8],
    tile: &mut Tile<T>,
) -> Result<()> {
    let n = tile.data.len();
    let is_odd = |i: usize| word(odd, i / 32) >> (i % 32) & 1 == 1;
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    let mut at = 0;
    while at < n {
        if word(odd, at / 32) == 0 {
            at = (at / 32 + 1) * 32;
            continue;
        }
        if is_odd(at) {
            match runs.last_mut() {
                Some(run) if run.end == at && run.len() < SHARE => run.end += 1,
                _ => runs.push(at..at + 1),
            }
        }
        at += 1;
    }
    if runs.is_empty() {
        return Ok(());
    }
    let of = |used: bool, n: usize| if used { n } else { 0 };
    let first = tile.range.start;
    let outputs = job.outputs;
    let one = |sheet: &mut Sheet, run: &std::ops::Range<usize>| {
        let n = run.len();
        let (mut data, mut variance) = (vec![T::default(); n], vec![T::default(); of(outputs.variance, n)]);
        let (mut mask, mut tally) = (vec![0; of(outputs.mask, n)], Tally::default());
        let out = Out {
            data: &mut data,
            variance: &mut variance,
            scatter: &mut [],
            ratio: &mut [],
            weight: &mut [],
            mask: &mut mask,
            good: &mut [],
            low: &mut [],
            high: &mut [],
            rejected: &mut [],
            tally: &mut tally,
        };
        expr::compute(program, &job.inputs, first + run.start..first + run.end, sheet, out)?;
        Ok((data, variance, mask, tally))
    };
    for some in runs.chunks(SHARE) {
        let done: Result<Vec<_>> =
            pool.install(|| some.par_iter().with_min_len(64).map_init(|| Sheet::new(program, SHARE), one).collect());
        for (run, (data, variance, mask, tally)) in some.iter().zip(done?) {
            tile.data[run.clone()].copy_from_slice(&data);
            if outputs.variance {
                tile.variance[run.clone()].copy_from_slice(&variance);
            }
            if outputs.mask {
                tile.mask[run.clone()].copy_from_slice(&mask);
            }
            tile.tally += tally;
        }
    }
    Ok(())
}

fn stack_params(job: &Stacking<'_>, pixels: usize) -> stack::Params {
    stack::Params {
        frames: job.frames.len() as u32,
        pixels: pixels as u32,
        opaque_zero: 0,
        pad: 0,
        forbidden: *job.levels.forbidden(),
    }
}

/// The constants that a pipeline of `shaders/stack.wgsl` is made with.
fn stack_constants(job: &Stacking<'_>) -> Vec<(&'static str, f64)> {
    let flag = |name, on| (name, f64::from(u8::from(on)));
    vec![
        flag("VARIANCE", job.variance),
        flag("MASK", job.mask),
        flag("SCALED", job.affine.iter().any(|a| *a != stack::Affine::IDENTITY)),
        flag("NONFINITE", job.nonfinite),
    ]
}

/// `affines` of `shaders/stack.wgsl`: (scale, its rest, zero, its rest), (scale^2, its rest, 0, 0) a frame.
fn affines<T: Real>(job: &Stacking<'_>) -> Vec<u8> {
    let split = |v: f64| {
        let high = T::from_f64(v);
        [high, T::from_f64(v - high.to_f64())]
    };
    let zero = [T::from_f64(0.0); 2];
    let rows = job.affine.iter().flat_map(|a| [split(a.scale), split(a.zero), split(a.scale * a.scale), zero]);
    let values: Vec<T> = rows.flatten().collect();
    bytemuck::cast_slice(&values).to_vec()
}
