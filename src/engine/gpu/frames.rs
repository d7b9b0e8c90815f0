//! Frames that are expressions: computed on the device, from decoded inputs into the planes of the stack kernel.
//!
//! Frames whose programs differ only in what they read share one pipeline and are the rows of one dispatch; a table says for
//! each where its inputs are. Pixels that are not ordinary in some frame are marked, one bit a pixel, and computed anew by
//! the host.

use std::collections::HashMap;

use super::run::Buffers;
use super::samples::Samples;
use super::upload::{CubePlan, Sample};
use super::{Binding, GpuEngine, Pipeline};
use crate::Result;
use crate::kernels::expr::wgsl::{self, Target};
use crate::kernels::expr::{self, Program};
use crate::real::Real;
use crate::tiles::{Computed, Job, Stacking};

/// What the stack kernel reads, frame after frame.
pub(super) struct Planes {
    pub data: wgpu::Buffer,
    pub variance: wgpu::Buffer,
    pub mask: wgpu::Buffer,
    /// What shared variables add, plane after plane.
    pub shared: wgpu::Buffer,
}

/// One dispatch.
pub(super) struct Pass {
    pub pipeline: Pipeline,
    pub bind: wgpu::BindGroup,
    pub frames: u32,
}

/// Inputs of all programs, each once, in the order in which they are met.
fn inputs(computed: &Computed<'_>, of: fn(&Program) -> &[usize]) -> Vec<usize> {
    let mut seen = std::collections::HashSet::new();
    computed.programs.iter().flat_map(of).copied().filter(|i| seen.insert(*i)).collect()
}

/// The inputs, by what their numbers become.
pub(super) fn cubes(job: &Job<'_>, computed: &Computed<'_>) -> Vec<CubePlan> {
    let cube =
        |of: fn(&Program) -> &[usize], sample| CubePlan::new(job, inputs(computed, of).into_iter().map(Some), sample);
    vec![
        cube(|p| &p.narrow, Sample::F32),
        cube(|p| &p.wide, Sample::F64),
        // Of masks that are not used nothing is read.
        cube(|p| if p.mask.is_some() { &p.masks } else { &[] }, Sample::Mask),
    ]
}

/// Bytes a pixel of the planes, and of the widest of them.
pub(super) fn bytes<T: Real>(stack: &Stacking<'_>, computed: &Computed<'_>) -> (u64, u64) {
    let (n, real) = (stack.count() as u64, size_of::<T>() as u64);
    let variance = if stack.variance { n * real } else { 0 };
    let mask = if stack.mask { 4 * n } else { 0 };
    let shared = computed.shares.planes() as u64 * real;
    (n * real + variance + mask + shared, (n * real).max(shared))
}

/// Why the device cannot compute them, if it cannot.
pub(super) fn unfit<T: Real>(computed: &Computed<'_>, f64: bool) -> Option<&'static str> {
    if !computed.shares.is_full() {
        return Some("some frames share what others do not");
    }
    computed.programs.iter().find_map(|program| wgsl::unfit::<T>(program, f64))
}

/// Pipelines, planes and bind groups. `samples` are those of [`cubes`]; `odd` takes one bit a pixel.
pub(super) fn make<T: Real>(
    engine: &GpuEngine,
    stack: &Stacking<'_>,
    computed: &Computed<'_>,
    pixels: usize,
    samples: &[Samples],
    odd: &wgpu::Buffer,
    buffers: &mut Buffers<'_>,
) -> Result<(Planes, Vec<Pass>)> {
    let of = |planes: usize, bytes: usize| (planes * bytes * pixels) as u64;
    let (n, real) = (stack.count(), size_of::<T>());
    let planes = Planes {
        data: buffers.storage("frames", of(n, real))?,
        variance: buffers.storage("variances of frames", of(if stack.variance { n } else { 0 }, real))?,
        mask: buffers.storage("masks of frames", of(if stack.mask { n } else { 0 }, 4))?,
        shared: buffers.storage("shared by frames", of(computed.shares.planes(), real))?,
    };
    let places = |of: fn(&Program) -> &[usize]| -> HashMap<usize, u32> {
        inputs(computed, of).into_iter().enumerate().map(|(at, input)| (input, at as u32)).collect()
    };
    let (narrow, wide) = (places(|p| &p.narrow), places(|p| &p.wide));
    let masks = places(|p| if p.mask.is_some() { &p.masks } else { &[] });
    // Rows of the table by shader.
    let mut groups: Vec<(String, Vec<u32>, u32)> = Vec::new();
    let mut shared = 0;
    for (f, program) in computed.programs.iter().enumerate() {
        let source = wgsl::source::<T>(program, engine.f64(), Target::Frames { mask: stack.mask });
        let at = groups.iter().position(|g| g.0 == source).unwrap_or_else(|| {
            groups.push((source, Vec::new(), 0));
            groups.len() - 1
        });
        let (_, table, frames) = &mut groups[at];
        let place = |places: &HashMap<usize, u32>, input: &usize| places.get(input).copied().unwrap_or(0);
        table.extend(program.narrow.iter().map(|i| place(&narrow, i)));
        table.extend(program.wide.iter().map(|i| place(&wide, i)));
        table.extend(program.masks.iter().map(|i| place(&masks, i)));
        table.extend([f as u32, shared]);
        shared += program.more.len() as u32;
        *frames += 1;
    }
    let params = expr::Params { pixels: pixels as u32, ..Default::default() };
    let uniform = buffers.uniform("frames params", bytemuck::bytes_of(&params))?;
    let mut bindings = vec![Binding::Uniform];
    bindings.extend([Binding::Read; 4]);
    bindings.extend([Binding::Write; 4]);
    bindings.extend([Binding::Read, Binding::Write]);
    let mut passes = Vec::new();
    for (source, table, frames) in groups {
        let table = buffers.filled("slots", bytemuck::cast_slice(&table))?;
        let label = format!("frames {}", T::DTYPE);
        let pipeline = engine.pipeline_of(source.clone(), label, "main", &bindings, &[], || source)?;
        let [narrow, wide, mask] = [0, 1, 2].map(|c: usize| samples[c].resource());
        let mut bound = vec![uniform.as_entire_binding(), narrow, wide.clone(), wide, mask];
        let rest = [&planes.data, &planes.variance, &planes.mask, odd, &table, &planes.shared];
        bound.extend(rest.map(wgpu::Buffer::as_entire_binding));
        let bind = engine.bind(&pipeline, &bound)?;
        passes.push(Pass { pipeline, bind, frames });
    }
    Ok((planes, passes))
}
