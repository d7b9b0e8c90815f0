//! One job on the GPU: buffers, and a ring of slots so that reading, transfer, kernels and readback overlap.
//!
//! Raw bytes go from the mapping into mapped staging memory, from there to the device in one copy a plane, are
//! decoded into planes of samples, stacked, and only the result comes back. A slot owns a staging and a readback
//! buffer; what lies between (raw bytes, samples, results) exists once, since the queue keeps its commands in order.
//! Commands are the same for every tile: the lanes beyond the end of the last one compute what nobody reads.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::mpsc::{Receiver, channel};

use rayon::prelude::*;
use wgpu::BufferUsages as Usage;

use super::{Binding, GpuEngine, Pipeline};
use crate::dtype::{DType, PixelFormat};
use crate::kernels::decode::{self, Decode};
use crate::kernels::stack::{self, Stack};
use crate::plane::{Plane, Transform};
use crate::real::Real;
use crate::tiles::{BUFFERS, DATA, Job, LEAST_PIXELS, MASK, Tile, VARIANCE};
use crate::{Error, Result};

/// Tiles in flight.
const SLOTS: usize = 2;
/// Lanes of a workgroup, in every shader.
const LANES: usize = 64;
/// Workgroups that WebGPU allows in one dimension.
const GROUPS: usize = 65_535;
/// Raw bytes of a tile are no more than this: enough to hide a dispatch, few enough to keep several in flight.
const RAW_BYTES: u64 = 64 << 20;
/// Bytes a pixel of `out_info` in `shaders/stack.wgsl`.
const INFO_BYTES: u64 = 16;

/// How the stored numbers of one plane reach the device.
#[derive(Clone, Debug, PartialEq)]
struct Upload {
    /// Type as the device sees it.
    stored: DType,
    constants: decode::Constants,
    /// Low and high word of BLANK.
    blank: [u32; 2],
    /// f32 bits by stored 8- or 16-bit number.
    table: Vec<u32>,
    /// Decoded by the host; arrives as native numbers of the compute type.
    host: bool,
}

impl Upload {
    fn mask(plane: &Plane) -> Self {
        Upload::raw(&plane.format())
    }

    fn raw(format: &PixelFormat) -> Self {
        let blank = format.blank.unwrap_or_default() as u64;
        let constants = decode::Constants {
            stored: format.stored as u32,
            swap: format.big_endian != cfg!(target_endian = "big"),
            flip: format.flipped().is_some(),
            lookup: false,
            has_blank: format.blank.is_some(),
        };
        // 32-bit numbers are loaded without a high word.
        let high = if format.size() == 8 { (blank >> 32) as u32 } else { 0 };
        Upload { stored: format.stored, constants, blank: [blank as u32, high], table: Vec::new(), host: false }
    }

    fn values<T: Real>(plane: &Plane) -> Self {
        let format = &plane.format();
        if plane.transform() != Transform::None {
            return Upload { host: true, ..Self::raw(&PixelFormat::native(T::DTYPE)) };
        }
        let exact = format.is_plain() || format.flipped().is_some();
        match format.stored {
            DType::U8 | DType::I16 if T::DTYPE == DType::F32 && (!exact || format.blank.is_some()) => {
                let mut upload = Self::raw(format);
                upload.constants.lookup = true;
                upload.table = table(format);
                upload
            }
            DType::U8 | DType::I8 | DType::I16 | DType::U16 if exact && format.blank.is_none() => Self::raw(format),
            DType::F32 if exact => Self::raw(format),
            DType::I32 | DType::U32 | DType::I64 | DType::U64 | DType::F64 if exact && T::DTYPE == DType::F64 => {
                Self::raw(format)
            }
            _ => Upload { host: true, ..Self::raw(&PixelFormat::native(T::DTYPE)) },
        }
    }
}

/// Values of all stored 8- or 16-bit numbers, as f32 bits in the order of their bits.
fn table(format: &PixelFormat) -> Vec<u32> {
    let n = 1usize << (8 * format.size());
    let bytes: Vec<u8> = (0..n)
        .flat_map(|i| {
            let number = (i as u16).to_be_bytes();
            let mut number = if n == 256 { vec![number[1]] } else { number.to_vec() };
            if !format.big_endian && cfg!(target_endian = "little") {
                number.reverse();
            }
            number
        })
        .collect();
    let mut values = vec![0f32; n];
    decode::real(format, &bytes, &mut values);
    values.iter().map(|v| v.to_bits()).collect()
}

/// One of the up to three cubes: data, variance, mask.
struct CubePlan {
    /// One per frame; `None` where a frame has no such plane.
    uploads: Vec<Option<Upload>>,
    /// Bytes a pixel in the raw buffer: of the widest frame.
    width: usize,
    /// Bytes a pixel of a decoded sample.
    sample: usize,
}

impl CubePlan {
    fn new(uploads: Vec<Option<Upload>>, sample: usize) -> Self {
        let width = uploads.iter().flatten().map(|u| u.stored.size()).max().unwrap_or(1);
        CubePlan { uploads, width, sample }
    }

    /// Bytes of a frame of `pixels` in the raw buffer: whole words.
    fn stride(&self, pixels: usize) -> usize {
        (self.width * pixels).next_multiple_of(8)
    }
}

/// Runs of frames that are decoded alike.
struct Group {
    bind: wgpu::BindGroup,
    decoder: Pipeline,
    frames: u32,
}

/// Staging and readback of a tile in flight.
struct Slot {
    staging: wgpu::Buffer,
    readback: wgpu::Buffer,
}

struct InFlight {
    slot: usize,
    range: Range<usize>,
    submission: wgpu::SubmissionIndex,
    mapped: Receiver<std::result::Result<(), wgpu::BufferAsyncError>>,
}

/// A job on this engine.
pub(crate) struct Run<'a, T> {
    engine: &'a GpuEngine,
    job: &'a Job<'a>,
    /// Capacity of a tile in pixels, and the stride of all planes.
    pixels: usize,
    cubes: Vec<CubePlan>,
    raw: Vec<wgpu::Buffer>,
    groups: Vec<Group>,
    stacker: Pipeline,
    stack_bind: wgpu::BindGroup,
    out: [wgpu::Buffer; 3],
    poison: Option<wgpu::Buffer>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    in_flight: VecDeque<InFlight>,
    uploaded: u64,
    downloaded: u64,
    device_bytes: u64,
    compute: std::marker::PhantomData<T>,
}

impl<'a, T: Real + Default> Run<'a, T> {
    pub(crate) fn new(engine: &'a GpuEngine, job: &'a Job<'a>, memory: u64) -> Result<Self> {
        engine.faults.check()?;
        let cubes = plan::<T>(job);
        let pixels = capacity::<T>(engine, job, &cubes, memory)?;

        let decode_bindings = [Binding::Uniform, Binding::Read, Binding::Read, Binding::Write];
        let real_entry = if T::DTYPE == DType::F64 { "decode_f64" } else { "decode_f32" };
        let mut stack_bindings = vec![Binding::Uniform];
        stack_bindings.extend([Binding::Read; 4]);
        stack_bindings.extend([Binding::Write; 3]);
        if T::DTYPE == DType::F64 {
            stack_bindings.extend([Binding::Read; 2]);
        }
        let stacker = engine.pipeline::<T, Stack<T>>("main", &stack_bindings, &stack_constants(job))?;

        let mut device_bytes = 0;
        let mut buffer = |label: &str, size: u64, usage: Usage, mapped: bool| {
            let size = size.next_multiple_of(16).max(16);
            device_bytes += size;
            engine.scoped(label, || {
                engine.device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some(label),
                    size,
                    usage,
                    mapped_at_creation: mapped,
                })
            })
        };
        let storage = Usage::STORAGE | Usage::COPY_DST;
        let dummy = buffer("absent plane", 16, storage, false)?;
        let (mut raw, mut samples, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        for (c, cube) in cubes.iter().enumerate() {
            let stride = cube.stride(pixels);
            let raw_buffer = buffer("raw", (stride * cube.uploads.len()) as u64, storage, false)?;
            // New buffers are zero: frames without a mask stay good.
            let sample_buffer = buffer("samples", (cube.sample * pixels * cube.uploads.len()) as u64, storage, false)?;
            let mut first = 0;
            while first < cube.uploads.len() {
                let upload = &cube.uploads[first];
                let same = cube.uploads[first..].iter().take_while(|u| *u == upload).count();
                if let Some(upload) = upload {
                    let params = decode::Params {
                        pixels: pixels as u32,
                        raw_stride: (stride / 4) as u32,
                        first: first as u32,
                        blank_low: upload.blank[0],
                        blank_high: upload.blank[1],
                        pad: [0; 3],
                    };
                    let uniform = buffer("decode params", 64, Usage::UNIFORM | Usage::COPY_DST, false)?;
                    engine.queue.write_buffer(&uniform, 0, bytemuck::bytes_of(&params));
                    let table = if upload.table.is_empty() {
                        dummy.clone()
                    } else {
                        let table = buffer("table", 4 * upload.table.len() as u64, storage, false)?;
                        engine.queue.write_buffer(&table, 0, bytemuck::cast_slice(&upload.table));
                        table
                    };
                    let entry = if c == MASK { "decode_mask" } else { real_entry };
                    let constants = upload.constants.named();
                    let decoder = engine.pipeline::<T, Decode<T>>(entry, &decode_bindings, &constants)?;
                    let bind = engine.bind(&decoder, &[&uniform, &raw_buffer, &table, &sample_buffer])?;
                    groups.push(Group { bind, decoder, frames: same as u32 });
                }
                first += same;
            }
            raw.push(raw_buffer);
            samples.push(sample_buffer);
        }

        let params = stack_params(job, pixels);
        let uniform = buffer("stack params", 64, Usage::UNIFORM | Usage::COPY_DST, false)?;
        engine.queue.write_buffer(&uniform, 0, bytemuck::bytes_of(&params));
        let affines = affines::<T>(job);
        let affine_buffer = buffer("scale and zero", affines.len() as u64, storage, false)?;
        engine.queue.write_buffer(&affine_buffer, 0, &affines);
        let result = |bytes: u64| pixels as u64 * bytes;
        let written = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
        let out = [
            buffer("out data", result(size_of::<T>() as u64), written, false)?,
            buffer("out variance", result(size_of::<T>() as u64), written, false)?,
            buffer("out info", result(INFO_BYTES), written, false)?,
        ];
        let plane = |c: usize| samples.get(c).filter(|_| !cubes[c].uploads.is_empty()).unwrap_or(&dummy);
        let (data, variance, mask) = (plane(DATA), plane(VARIANCE), plane(MASK));
        let mut bound = vec![&uniform, data, variance, mask, &affine_buffer, &out[0], &out[1], &out[2]];
        if T::DTYPE == DType::F64 {
            bound.extend([data, variance]);
        }
        let stack_bind = engine.bind(&stacker, &bound)?;

        let staging_bytes: usize = cubes.iter().map(|c| c.stride(pixels) * c.uploads.len()).sum();
        // Each plane starts at a multiple of 16.
        let back_bytes = result(2 * size_of::<T>() as u64 + INFO_BYTES) + 3 * 16;
        let mut slots = Vec::new();
        for _ in 0..SLOTS.min(job.pixels.div_ceil(pixels)) {
            slots.push(Slot {
                staging: buffer("staging", staging_bytes as u64, Usage::MAP_WRITE | Usage::COPY_SRC, true)?,
                readback: buffer("readback", back_bytes, Usage::MAP_READ | Usage::COPY_DST, false)?,
            });
        }
        // In debug builds every result is poisoned before it is computed, so that a missing write shows.
        let poison = if cfg!(debug_assertions) {
            let poison = buffer("poison", out[2].size(), Usage::COPY_SRC | Usage::MAP_WRITE, true)?;
            engine.scoped("poison", || {
                if let Ok(mut view) = poison.get_mapped_range_mut(..) {
                    view.slice(..).fill(0xff);
                }
                poison.unmap();
            })?;
            Some(poison)
        } else {
            None
        };
        let free = (0..slots.len()).rev().collect();
        Ok(Run {
            engine,
            job,
            pixels,
            cubes,
            raw,
            groups,
            stacker,
            stack_bind,
            out,
            poison,
            slots,
            free,
            in_flight: VecDeque::new(),
            uploaded: 0,
            downloaded: 0,
            device_bytes,
            compute: std::marker::PhantomData,
        })
    }

    pub(crate) fn tile_pixels(&self) -> usize {
        self.pixels
    }

    pub(crate) fn depth(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn traffic(&self) -> (u64, u64, u64) {
        (self.uploaded, self.downloaded, self.device_bytes)
    }

    /// Fills a free slot and hands its commands to the queue.
    pub(crate) fn submit(&mut self, range: Range<usize>) -> Result<()> {
        let slot = self.free.pop().ok_or_else(|| Error::Device("no free slot".into()))?;
        self.fill(slot, &range)?;
        let device = &self.engine.device;
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("tile") });
        let Slot { staging, readback } = &self.slots[slot];
        let mut at = 0;
        for (cube, raw) in self.cubes.iter().zip(&self.raw) {
            let bytes = (cube.stride(self.pixels) * cube.uploads.len()) as u64;
            if bytes > 0 {
                encoder.copy_buffer_to_buffer(staging, at, raw, 0, bytes);
            }
            at += bytes;
        }
        if let Some(poison) = &self.poison {
            for out in &self.out {
                encoder.copy_buffer_to_buffer(poison, 0, out, 0, out.size());
            }
        }
        let groups_x = self.pixels.div_ceil(LANES) as u32;
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some("decode and stack"),
                timestamp_writes: None,
            });
            for group in &self.groups {
                pass.set_pipeline(&group.decoder.pipeline);
                pass.set_bind_group(0, &group.bind, &[]);
                pass.dispatch_workgroups(groups_x, group.frames, 1);
            }
            pass.set_pipeline(&self.stacker.pipeline);
            pass.set_bind_group(0, &self.stack_bind, &[]);
            pass.dispatch_workgroups(groups_x, 1, 1);
        }
        let mut at = 0;
        for (out, bytes) in self.out.iter().zip(self.result_bytes(range.len())) {
            encoder.copy_buffer_to_buffer(out, 0, readback, at, bytes.next_multiple_of(4));
            at += bytes.next_multiple_of(16);
        }
        let submission = self.engine.queue.submit([encoder.finish()]);
        let (tx, mapped) = channel();
        let done = tx.clone();
        // A receiver that is gone has no interest any more.
        readback.map_async(wgpu::MapMode::Read, .., move |r| drop(done.send(r)));
        staging.map_async(wgpu::MapMode::Write, .., move |r| drop(tx.send(r)));
        self.in_flight.push_back(InFlight { slot, range, submission, mapped });
        Ok(())
    }

    /// Bytes of each result plane of `n` pixels.
    fn result_bytes(&self, n: usize) -> [u64; 3] {
        [n * size_of::<T>(), n * size_of::<T>(), n * INFO_BYTES as usize].map(|b| b as u64)
    }

    /// Copies the raw bytes of a tile from the mappings into the slot's staging memory, all threads at once.
    fn fill(&mut self, slot: usize, range: &Range<usize>) -> Result<()> {
        let staging = &self.slots[slot].staging;
        let lost = |e: wgpu::MapRangeError| Error::Device(format!("staging: {}", super::one_line(&e.to_string())));
        {
            // One view a frame: threads write to disjoint parts.
            let mut pieces = Vec::new();
            let mut at = 0;
            for (c, cube) in self.cubes.iter().enumerate() {
                let stride = cube.stride(self.pixels) as u64;
                for (f, upload) in cube.uploads.iter().enumerate() {
                    if let (Some(upload), Some(plane)) = (upload, self.job.planes(f)[c]) {
                        self.uploaded += (range.len() * upload.stored.size()) as u64;
                        let view = staging.get_mapped_range_mut(at..at + stride).map_err(lost)?;
                        pieces.push((view, upload, plane));
                    }
                    at += stride;
                }
            }
            self.engine.pool.install(|| {
                pieces.par_iter_mut().try_for_each(|(view, upload, plane)| {
                    stage::<T>(view, upload, plane, range)?;
                    plane.done_with(range.clone());
                    Ok(())
                })
            })?;
        }
        staging.unmap();
        Ok(())
    }

    /// Waits for the oldest tile and takes its result.
    pub(crate) fn collect(&mut self, tile: &mut Tile<T>) -> Result<()> {
        let Some(InFlight { slot, range, submission, mapped }) = self.in_flight.pop_front() else {
            return Err(Error::Device("no tile in flight".into()));
        };
        let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
        self.engine.device.poll(wait).map_err(|e| Error::Device(format!("waiting: {e}")))?;
        // Both maps must have succeeded, and nothing else gone wrong: only then is the result one.
        for _ in 0..2 {
            let answer = mapped.recv().map_err(|_| Error::Device("a buffer was dropped".into()))?;
            answer.map_err(|e| Error::Device(format!("mapping: {e}")))?;
        }
        self.engine.faults.check()?;
        let readback = &self.slots[slot].readback;
        tile.prepare(range.clone());
        {
            let lost = |e: wgpu::MapRangeError| Error::Device(format!("readback: {}", super::one_line(&e.to_string())));
            let view = readback.get_mapped_range(..).map_err(lost)?;
            let mut at = 0;
            let planes = self.result_bytes(range.len()).map(|bytes| {
                let plane = &view[at..at + bytes as usize];
                at += bytes.next_multiple_of(16) as usize;
                plane
            });
            bytemuck::cast_slice_mut::<T, u8>(&mut tile.data).copy_from_slice(planes[0]);
            bytemuck::cast_slice_mut::<T, u8>(&mut tile.variance).copy_from_slice(planes[1]);
            for (i, info) in planes[2].chunks_exact(INFO_BYTES as usize).enumerate() {
                let word =
                    |k: usize| u32::from_ne_bytes([info[4 * k], info[4 * k + 1], info[4 * k + 2], info[4 * k + 3]]);
                tile.mask[i] = word(0);
                tile.good[i] = word(1);
                tile.negative += u64::from(word(2));
            }
        }
        readback.unmap();
        self.downloaded += self.result_bytes(range.len()).iter().sum::<u64>();
        self.free.push(slot);
        Ok(())
    }
}

/// The bytes of one plane of one frame, as the device wants them.
fn stage<T: Real + Default>(
    view: &mut wgpu::BufferViewMut,
    upload: &Upload,
    plane: &Plane,
    range: &Range<usize>,
) -> Result<()> {
    let format = plane.format();
    let mut decoded = Vec::new();
    if !plane.is_plain() {
        decoded.resize(range.len() * format.size(), 0);
        plane.read(range.clone(), &mut decoded)?;
    }
    if upload.host {
        let mut values = vec![T::default(); range.len()];
        if decoded.is_empty() {
            plane.fill(range.clone(), &mut values, |bytes, out| decode::real(&format, bytes, out));
        } else {
            decode::real(&format, &decoded, &mut values);
        }
        plane.transform().apply(&mut values);
        let bytes: &[u8] = bytemuck::cast_slice(&values);
        view.slice(..bytes.len()).copy_from_slice(bytes);
        return Ok(());
    }
    let mut at = 0;
    let mut copy = |bytes: &[u8]| {
        view.slice(at..at + bytes.len()).copy_from_slice(bytes);
        at += bytes.len();
    };
    if decoded.is_empty() {
        plane.pieces(range.clone(), copy)
    } else {
        copy(&decoded)
    }
    Ok(())
}

/// Data, variance and mask cubes; one that the job does not use has no frames.
fn plan<T: Real>(job: &Job<'_>) -> Vec<CubePlan> {
    let cube = |c: usize, used: bool, sample: usize, upload: fn(&Plane) -> Upload| {
        let frames = if used { job.frames.len() } else { 0 };
        CubePlan::new((0..frames).map(|f| job.planes(f)[c].map(upload)).collect(), sample)
    };
    vec![
        cube(DATA, true, size_of::<T>(), Upload::values::<T>),
        cube(VARIANCE, job.variance, size_of::<T>(), Upload::values::<T>),
        cube(MASK, job.mask, 4, Upload::mask),
    ]
}

/// Pixels of a tile: within the budget and the adapter's limits.
fn capacity<T: Real>(engine: &GpuEngine, job: &Job<'_>, cubes: &[CubePlan], memory: u64) -> Result<usize> {
    let sum = |bytes: fn(&CubePlan) -> usize| -> u64 {
        cubes.iter().map(|c| (bytes(c) * c.uploads.len()) as u64).sum::<u64>().max(1)
    };
    let (raw, samples) = (sum(|c| c.width), sum(|c| c.sample));
    let result = 2 * size_of::<T>() as u64 + INFO_BYTES;
    let host = SLOTS as u64 * (raw + result) + (BUFFERS * Tile::<T>::BYTES + 8) as u64;
    let device = raw + samples + result;
    // The memory of a software adapter is host memory. A quarter stays for the driver and its compiler.
    let per_pixel = if engine.is_software() { host + device } else { host.max(device) };
    let budget = memory / 4 * 3;
    let limits = engine.device.limits();
    let binding = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    let widest = cubes.iter().map(|c| (c.width.max(c.sample) * c.uploads.len()) as u64).max().unwrap_or(1);
    let by_limits = [
        (budget / per_pixel),
        RAW_BYTES / raw.min(RAW_BYTES),
        // Frames are padded to 8 bytes each.
        (binding.saturating_sub(8 * job.frames.len() as u64)) / widest.max(INFO_BYTES),
        limits.max_buffer_size / raw.max(result) / 2,
        (LANES * GROUPS) as u64,
        job.pixels as u64,
    ];
    let pixels = by_limits.into_iter().min().unwrap_or(0) as usize;
    let least = LEAST_PIXELS.min(job.pixels);
    if (budget / per_pixel) < least as u64 {
        return Err(Error::Budget { needed: least as u64 * (per_pixel * 4 / 3 + 4), budget: memory });
    }
    if pixels == 0 {
        return Err(Error::Device(format!("{} frames of one pixel are beyond the adapter's limits", job.frames.len())));
    }
    if job.frames.len() > GROUPS {
        return Err(Error::Device(format!("{} frames, an adapter takes {GROUPS}", job.frames.len())));
    }
    Ok(pixels)
}

fn stack_params(job: &Job<'_>, pixels: usize) -> stack::Params {
    stack::Params {
        frames: job.frames.len() as u32,
        pixels: pixels as u32,
        opaque_zero: 0,
        pad: 0,
        forbidden: *job.levels.forbidden(),
    }
}

/// The constants that a pipeline of `shaders/stack.wgsl` is made with.
fn stack_constants(job: &Job<'_>) -> Vec<(&'static str, f64)> {
    let flag = |name, on| (name, f64::from(u8::from(on)));
    vec![
        flag("VARIANCE", job.variance),
        flag("MASK", job.mask),
        flag("SCALED", job.affine.iter().any(|a| *a != stack::Affine::IDENTITY)),
        flag("NONFINITE", job.nonfinite),
    ]
}

/// `affines` of `shaders/stack.wgsl`: (scale, its rest, zero, its rest), (scale^2, its rest, 0, 0) a frame.
fn affines<T: Real>(job: &Job<'_>) -> Vec<u8> {
    let split = |v: f64| {
        let high = T::from_f64(v);
        [high, T::from_f64(v - high.to_f64())]
    };
    let zero = [T::from_f64(0.0); 2];
    let rows = job.affine.iter().flat_map(|a| [split(a.scale), split(a.zero), split(a.scale * a.scale), zero]);
    let values: Vec<T> = rows.flatten().collect();
    bytemuck::cast_slice(&values).to_vec()
}

impl GpuEngine {
    fn bind(&self, pipeline: &Pipeline, buffers: &[&wgpu::Buffer]) -> Result<wgpu::BindGroup> {
        let entries: Vec<_> = buffers
            .iter()
            .enumerate()
            .map(|(i, b)| wgpu::BindGroupEntry { binding: i as u32, resource: b.as_entire_binding() })
            .collect();
        self.scoped("bind group", || {
            self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("kernel"),
                layout: &pipeline.group,
                entries: &entries,
            })
        })
    }
}
