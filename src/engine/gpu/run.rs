//! One job on the GPU: buffers, and a ring of slots so that reading, transfer, kernels and readback overlap.
//!
//! Raw bytes go from the mapping into mapped staging memory, from there to the device in one copy a kind of plane, go through
//! the kernel of the job, which reads them as they are or as samples that were decoded before, and only the result comes
//! back. A slot owns staging and readback buffers; what lies between (raw bytes, samples, results) exists once, since the
//! queue keeps its commands in order. Where the device's memory is the host's, kernels read textures, or the staging memory
//! itself. Commands are the same for every tile: the lanes beyond the end of the last one compute what nobody reads.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::mpsc::{Receiver, channel};

use rayon::prelude::*;
use wgpu::BufferUsages as Usage;

use super::clock::{self, Clock};
use super::samples::{self, Samples};
use super::upload::{CubePlan, stage};
use super::work::{self, Outcome, result_len};
use super::{Binding, GpuEngine, Pipeline, frames};
use crate::engine::Traffic;
use crate::kernels::decode::{self, Decode};
use crate::kernels::stack::wgsl::Block;
use crate::real::Real;
use crate::tiles::{BUFFERS, Job, LEAST_PIXELS, Tile};
use crate::{DeviceSeconds, Error, Result};

/// Tiles in flight: one is filled, one is computed, one is waited for.
const SLOTS: usize = 3;
/// Lanes of a workgroup, in every shader.
pub(super) const LANES: usize = 64;
/// Workgroups that WebGPU allows in one dimension.
const GROUPS: usize = 65_535;
/// The pixels of a tile are a multiple of this.
const WHOLE: usize = 32;
/// Pixels whose samples a thread brings into blocks at once: whole blocks.
const PIECE: usize = 4096;
/// Raw bytes of a tile are no more than this: enough to hide a dispatch, few enough to keep several in flight.
const RAW_BYTES: u64 = 64 << 20;
/// The same where the device is software: they should still be in a cache when they are computed.
const RAW_BYTES_OF_SOFTWARE: u64 = 4 << 20;

/// Runs of planes that are decoded alike.
struct Group {
    decoder: Pipeline,
    planes: u32,
}

/// What a tile in flight has of its own.
struct Slot {
    /// One for each cube.
    staging: Vec<wgpu::Buffer>,
    readback: wgpu::Buffer,
    /// Of the decoders, one for each group, and of the kernel.
    decoders: Vec<wgpu::BindGroup>,
    kernel: wgpu::BindGroup,
    clock: Option<Clock>,
}

struct InFlight {
    slot: usize,
    range: Range<usize>,
    submission: wgpu::SubmissionIndex,
    mapped: Receiver<std::result::Result<(), wgpu::BufferAsyncError>>,
}

/// A job on this engine.
pub(crate) struct Run<'a, T: Real> {
    engine: &'a GpuEngine,
    job: &'a Job<'a>,
    /// Capacity of a tile in pixels, and the stride of all planes.
    pixels: usize,
    cubes: Vec<CubePlan>,
    /// One for each cube; none where staging memory is read itself.
    raw: Vec<Samples>,
    groups: Vec<Group>,
    /// Those that compute frames.
    passes: Vec<frames::Pass>,
    kernel: Pipeline,
    /// Pixels of a lane of it.
    lane: usize,
    /// How samples lie in the staging memory, if not frame after frame.
    block: Option<Block>,
    out: Vec<Outcome>,
    /// Marks of pixels that are set, not written: they are cleared before each tile.
    marks: Option<wgpu::Buffer>,
    /// Computes the pixels that are not for the device.
    twin: work::Twin<'a, T>,
    poison: Option<wgpu::Buffer>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    in_flight: VecDeque<InFlight>,
    uploaded: u64,
    downloaded: u64,
    device_bytes: u64,
    seconds: Option<DeviceSeconds>,
    compute: std::marker::PhantomData<T>,
}

/// Makes buffers, and counts them.
pub(super) struct Buffers<'a> {
    engine: &'a GpuEngine,
    bytes: u64,
}

impl Buffers<'_> {
    pub(super) fn make(&mut self, label: &str, size: u64, usage: Usage, mapped: bool) -> Result<wgpu::Buffer> {
        let size = size.next_multiple_of(16).max(16);
        self.bytes += size;
        self.engine.scoped(label, || {
            self.engine.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation: mapped,
            })
        })
    }

    /// For a shader to read.
    pub(super) fn texture(
        &mut self,
        label: &str,
        width: usize,
        height: usize,
        format: wgpu::TextureFormat,
    ) -> Result<wgpu::Texture> {
        self.bytes += (width * height) as u64 * u64::from(format.block_copy_size(None).unwrap_or_default());
        self.engine.scoped(label, || {
            self.engine.device.create_texture(&wgpu::TextureDescriptor {
                label: Some(label),
                size: wgpu::Extent3d { width: width as u32, height: height as u32, depth_or_array_layers: 1 },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format,
                usage: wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::COPY_DST,
                view_formats: &[],
            })
        })
    }

    /// For the device alone. New ones are zero.
    pub(super) fn storage(&mut self, label: &str, size: u64) -> Result<wgpu::Buffer> {
        self.make(label, size, Usage::STORAGE | Usage::COPY_DST, false)
    }

    /// For a shader to read, with what it holds.
    pub(super) fn filled(&mut self, label: &str, bytes: &[u8]) -> Result<wgpu::Buffer> {
        let buffer = self.storage(label, bytes.len() as u64)?;
        self.engine.queue.write_buffer(&buffer, 0, bytes);
        Ok(buffer)
    }

    /// Parameters of a shader.
    pub(super) fn uniform(&mut self, label: &str, bytes: &[u8]) -> Result<wgpu::Buffer> {
        let buffer = self.make(label, 64, Usage::UNIFORM | Usage::COPY_DST, false)?;
        self.engine.queue.write_buffer(&buffer, 0, bytes);
        Ok(buffer)
    }

    /// For what a kernel writes, of so many bytes a pixel; 0 for one bit.
    pub(super) fn outcome(&mut self, label: &str, bytes: u64, pixels: usize) -> Result<Outcome> {
        let usage = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
        Ok(Outcome { buffer: self.make(label, result_len(bytes, pixels), usage, false)?, bytes, at: 0 })
    }

    /// The same of so many planes that a kernel writes one after the other.
    pub(super) fn outcomes(&mut self, label: &str, bytes: u64, pixels: usize, planes: usize) -> Result<Vec<Outcome>> {
        let usage = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
        let buffer = self.make(label, bytes * (pixels * planes) as u64, usage, false)?;
        let one = |k: usize| Outcome { buffer: buffer.clone(), bytes, at: bytes * (pixels * k) as u64 };
        Ok((0..planes).map(one).collect())
    }
}

impl<'a, T: Real + Default> Run<'a, T> {
    pub(crate) fn new(engine: &'a GpuEngine, job: &'a Job<'a>, memory: u64) -> Result<Self> {
        engine.faults.check()?;
        let mut cubes = work::cubes::<T>(job);
        let block = work::block::<T>(engine, job, &cubes);
        if let Some(block) = block {
            cubes.iter_mut().for_each(|cube| cube.room = block.room(cube.planes.len()));
        }
        // A quarter stays for the driver and its compiler, and for what the host computes.
        let aside = work::Twin::<T>::memory(&engine.twin, job, memory / 4)?;
        let shares = engine.reads_staging(block);
        let pixels = capacity::<T>(engine, job, &cubes, block, memory, aside)?;
        let mut buffers = Buffers { engine, bytes: 0 };
        let absent = buffers.storage("absent plane", 16)?;
        let raw_bytes = |cube: &CubePlan| {
            if block.is_some() {
                samples::texture_bytes(cube, pixels)
            } else {
                (cube.stride(pixels) * cube.room) as u64
            }
        };
        let mut staging: Vec<Vec<wgpu::Buffer>> = Vec::new();
        for _ in 0..SLOTS.min(job.pixels.div_ceil(pixels)) {
            let usage = Usage::MAP_WRITE | if shares { Usage::STORAGE } else { Usage::COPY_SRC };
            let one = |cube: &CubePlan| buffers.make("staging", raw_bytes(cube), usage, true);
            staging.push(cubes.iter().map(one).collect::<Result<_>>()?);
        }
        let mut to_raw = |cube: &CubePlan| match block {
            Some(_) => Samples::texture(cube, pixels, &mut buffers),
            None => buffers.storage("raw", raw_bytes(cube)).map(Samples::from),
        };
        let raw: Vec<Samples> =
            if shares { Vec::new() } else { cubes.iter().map(&mut to_raw).collect::<Result<_>>()? };
        // What the kernels of each slot read of each cube: raw bytes, and samples.
        let sources: Vec<Vec<Samples>> = staging
            .iter()
            .map(|own| if shares { own.iter().cloned().map(Samples::from).collect() } else { raw.clone() })
            .collect();
        let mut samples: Vec<Vec<Samples>> = vec![Vec::new(); sources.len()];
        let mut groups = Vec::new();
        let mut decoders: Vec<Vec<wgpu::BindGroup>> = vec![Vec::new(); sources.len()];
        for (c, cube) in cubes.iter().enumerate() {
            let stride = cube.stride(pixels);
            let planes = &cube.planes;
            if cube.direct.is_some() || planes.is_empty() {
                for (samples, source) in samples.iter_mut().zip(&sources) {
                    let none = planes.is_empty() && block.is_none();
                    samples.push(if none { absent.clone().into() } else { source[c].clone() });
                }
                continue;
            }
            // New buffers are zero: frames without a mask stay good.
            let sample_buffer = buffers.storage("samples", (cube.sample.size() * pixels * planes.len()) as u64)?;
            samples.iter_mut().for_each(|samples| samples.push(sample_buffer.clone().into()));
            let upload = |i: usize| planes[i].as_ref().map(|(_, upload)| upload);
            let mut first = 0;
            while first < planes.len() {
                let same = (first..planes.len()).take_while(|&i| upload(i) == upload(first)).count();
                if let Some(upload) = upload(first) {
                    let params = decode::Params {
                        pixels: pixels as u32,
                        raw_stride: (stride / 4) as u32,
                        first: first as u32,
                        blank_low: upload.blank[0],
                        blank_high: upload.blank[1],
                        pad: [0; 3],
                    };
                    let uniform = buffers.uniform("decode params", bytemuck::bytes_of(&params))?;
                    let table = match &upload.table[..] {
                        [] => absent.clone(),
                        table => buffers.filled("table", bytemuck::cast_slice(table))?,
                    };
                    let bindings = [Binding::Uniform, Binding::Read, Binding::Read, Binding::Write];
                    let constants = upload.constants.named();
                    let decoder = engine.pipeline::<Decode<T>>(cube.sample.entry(), &bindings, &constants)?;
                    for (decoders, source) in decoders.iter_mut().zip(&sources) {
                        let [uniform, table, to] =
                            [&uniform, &table, &sample_buffer].map(wgpu::Buffer::as_entire_binding);
                        decoders.push(engine.bind(&decoder, &[uniform, source[c].resource(), table, to])?);
                    }
                    groups.push(Group { decoder, planes: same as u32 });
                }
                first += same;
            }
        }
        let work::Made { passes, kernel, lane, binds, out, marks } =
            work::make::<T>(engine, job, pixels, &cubes, &samples, &absent, &mut buffers)?;

        // Each plane starts at a multiple of 16; the times come last.
        let back_bytes: u64 = out.iter().map(|o| o.len(pixels).next_multiple_of(16)).sum();
        let mut slots = Vec::new();
        for ((staging, decoders), kernel) in staging.into_iter().zip(decoders).zip(binds) {
            let usage = Usage::MAP_READ | Usage::COPY_DST;
            let readback = buffers.make("readback", back_bytes + clock::BYTES, usage, false)?;
            let clock = Clock::new(engine, &mut buffers)?;
            slots.push(Slot { staging, readback, decoders, kernel, clock });
        }
        // In debug builds every result is poisoned before it is computed, so that a missing write shows.
        let poison = if cfg!(debug_assertions) {
            let size = out.iter().map(|o| o.buffer.size()).max().unwrap_or(0);
            let poison = buffers.make("poison", size, Usage::COPY_SRC | Usage::MAP_WRITE, true)?;
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
            passes,
            kernel,
            lane,
            block,
            out,
            marks,
            twin: work::Twin::new(&engine.twin, job, aside),
            poison,
            slots,
            free,
            in_flight: VecDeque::new(),
            uploaded: 0,
            downloaded: 0,
            device_bytes: buffers.bytes,
            seconds: None,
            compute: std::marker::PhantomData,
        })
    }

    pub(crate) fn tile_pixels(&self) -> usize {
        self.pixels.min(self.job.pixels)
    }

    pub(crate) fn depth(&self) -> usize {
        self.slots.len()
    }

    /// Bytes to the device for each pixel.
    pub(crate) fn upload(&self) -> u64 {
        let planes = self.cubes.iter().flat_map(|c| &c.planes).flatten();
        planes.map(|(_, upload)| upload.stored.size() as u64).sum()
    }

    /// Bytes of staging and readback: host memory that the device sees.
    pub(crate) fn host_bytes(&self) -> u64 {
        let staging = |s: &Slot| s.staging.iter().map(wgpu::Buffer::size).sum::<u64>();
        self.slots.iter().map(|s| staging(s) + s.readback.size()).sum()
    }

    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            uploaded: self.uploaded,
            downloaded: self.downloaded,
            device_bytes: self.device_bytes,
            seconds: self.seconds,
        }
    }

    /// Fills a free slot and hands its commands to the queue.
    pub(crate) fn submit(&mut self, range: Range<usize>) -> Result<()> {
        #[cfg(debug_assertions)]
        self.engine.strike()?;
        let slot = self.free.pop().ok_or_else(|| Error::Device("no free slot".into()))?;
        self.fill(slot, &range)?;
        let device = &self.engine.device;
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("tile") });
        let Slot { staging, readback, decoders, kernel, clock } = &self.slots[slot];
        let tick = |encoder: &mut wgpu::CommandEncoder, which| clock.iter().for_each(|c| c.tick(encoder, which));
        tick(&mut encoder, clock::BEGIN);
        for ((cube, staging), raw) in self.cubes.iter().zip(staging).zip(&self.raw) {
            raw.take(&mut encoder, cube, staging);
        }
        tick(&mut encoder, clock::UPLOADED);
        if let Some(poison) = &self.poison {
            for out in &self.out {
                encoder.copy_buffer_to_buffer(poison, 0, &out.buffer, 0, out.buffer.size());
            }
        }
        if let Some(marks) = &self.marks {
            encoder.clear_buffer(marks, 0, None);
        }
        let groups_x = self.pixels.div_ceil(LANES) as u32;
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some("decode and compute"),
                timestamp_writes: None,
            });
            for (group, bind) in self.groups.iter().zip(decoders) {
                pass.set_pipeline(&group.decoder.pipeline);
                pass.set_bind_group(0, bind, &[]);
                pass.dispatch_workgroups(groups_x, group.planes, 1);
            }
            for frames in &self.passes {
                pass.set_pipeline(&frames.pipeline.pipeline);
                pass.set_bind_group(0, &frames.bind, &[]);
                pass.dispatch_workgroups(groups_x, frames.frames, 1);
            }
            pass.set_pipeline(&self.kernel.pipeline);
            pass.set_bind_group(0, kernel, &[]);
            pass.dispatch_workgroups(self.pixels.div_ceil(LANES * self.lane) as u32, 1, 1);
        }
        tick(&mut encoder, clock::COMPUTED);
        let mut at = 0;
        for out in &self.out {
            let bytes = out.len(range.len());
            encoder.copy_buffer_to_buffer(&out.buffer, out.at, readback, at, bytes);
            at += bytes.next_multiple_of(16);
        }
        tick(&mut encoder, clock::END);
        if let Some(clock) = clock {
            clock.resolve(&mut encoder, readback);
        }
        let submission = self.engine.queue.submit([encoder.finish()]);
        let (tx, mapped) = channel();
        // A receiver that is gone has no interest any more.
        let answer = || {
            let tx = tx.clone();
            move |r| drop(tx.send(r))
        };
        readback.map_async(wgpu::MapMode::Read, .., answer());
        for staging in staging {
            staging.map_async(wgpu::MapMode::Write, .., answer());
        }
        self.in_flight.push_back(InFlight { slot, range, submission, mapped });
        Ok(())
    }

    /// Copies the raw bytes of a tile from the mappings into the slot's staging memory, all threads at once.
    fn fill(&mut self, slot: usize, range: &Range<usize>) -> Result<()> {
        let staging = &self.slots[slot].staging;
        let lost = |e: wgpu::MapRangeError| Error::Device(format!("staging: {}", super::one_line(&e.to_string())));
        if let Some(block) = self.block {
            // One view for some blocks of a cube.
            let mut pieces = Vec::new();
            for (cube, staging) in self.cubes.iter().zip(staging) {
                self.uploaded += (cube.planes.len() * cube.width * range.len()) as u64;
                let of_pixel = (cube.room * cube.width) as u64;
                if of_pixel == 0 {
                    continue;
                }
                for start in (0..range.len()).step_by(PIECE) {
                    let end = range.len().min(start + PIECE);
                    let bytes = start as u64 * of_pixel..end.next_multiple_of(block.pixels()) as u64 * of_pixel;
                    let view = staging.get_mapped_range_mut(bytes).map_err(lost)?;
                    pieces.push((view, cube, range.start + start..range.start + end));
                }
            }
            let job = self.job;
            let one =
                |(view, cube, range): &mut (_, &CubePlan, Range<usize>)| cube.stage_in_blocks(job, view, range, block);
            self.engine.pool.install(|| {
                pieces.par_iter_mut().for_each(one);
                self.job.inputs.par_iter().for_each(|plane| plane.done_with(range.clone()));
            });
        } else {
            // One view a plane: threads write to disjoint parts.
            let mut pieces = Vec::new();
            for (cube, staging) in self.cubes.iter().zip(staging) {
                let stride = cube.stride(self.pixels) as u64;
                let mut at = 0;
                for plane in &cube.planes {
                    if let Some((input, upload)) = plane {
                        self.uploaded += (range.len() * upload.stored.size()) as u64;
                        let view = staging.get_mapped_range_mut(at..at + stride).map_err(lost)?;
                        pieces.push((view, upload, self.job.inputs[*input]));
                    }
                    at += stride;
                }
            }
            self.engine.pool.install(|| {
                pieces.par_iter_mut().try_for_each(|(view, upload, plane)| {
                    stage(view, upload, plane, range)?;
                    plane.done_with(range.clone());
                    Ok(())
                })
            })?;
        }
        staging.iter().for_each(wgpu::Buffer::unmap);
        Ok(())
    }

    /// Waits for the oldest tile and takes its result.
    pub(crate) fn collect(&mut self, tile: &mut Tile<T>) -> Result<()> {
        let Some(InFlight { slot, range, submission, mapped }) = self.in_flight.pop_front() else {
            return Err(Error::Device("no tile in flight".into()));
        };
        let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
        self.engine.device.poll(wait).map_err(|e| Error::Device(format!("waiting: {e}")))?;
        // All maps must have succeeded, and nothing else gone wrong: only then is the result one.
        for _ in 0..=self.slots[slot].staging.len() {
            let answer = mapped.recv().map_err(|_| Error::Device("a buffer was dropped".into()))?;
            answer.map_err(|e| Error::Device(format!("mapping: {e}")))?;
        }
        self.engine.faults.check()?;
        let Slot { readback, clock, .. } = &self.slots[slot];
        tile.prepare(range.clone(), self.job.outputs);
        {
            let lost = |e: wgpu::MapRangeError| Error::Device(format!("readback: {}", super::one_line(&e.to_string())));
            let view = readback.get_mapped_range(..).map_err(lost)?;
            let mut at = 0;
            let mut planes = Vec::new();
            for out in &self.out {
                let bytes = out.len(range.len());
                planes.push(&view[at..at + bytes as usize]);
                at += bytes.next_multiple_of(16) as usize;
                self.downloaded += bytes;
            }
            if let Some(clock) = clock {
                let seconds = self.seconds.get_or_insert_default();
                *seconds += clock.read(&view);
            }
            let (job, twin) = (self.job, &mut self.twin);
            self.engine.pool.install(|| work::take(job, twin, &planes, tile))?;
        }
        readback.unmap();
        self.free.push(slot);
        Ok(())
    }
}

/// Pixels of a tile: within the budget and the adapter's limits.
fn capacity<T: Real>(
    engine: &GpuEngine,
    job: &Job<'_>,
    cubes: &[CubePlan],
    block: Option<Block>,
    memory: u64,
    aside: u64,
) -> Result<usize> {
    let sum =
        |bytes: fn(&CubePlan) -> usize| -> u64 { cubes.iter().map(|c| (bytes(c) * c.room) as u64).sum::<u64>().max(1) };
    let (raw, samples) = (sum(|c| c.width), sum(CubePlan::sample_size));
    let (result, widest_result) = work::result_bytes::<T>(job);
    let host = SLOTS as u64 * (raw + result) + (BUFFERS * Tile::<T>::bytes(job.outputs) + 8) as u64;
    let (inner, widest_inner) = work::inner_bytes::<T>(job);
    let (raw_of_device, most_raw) = (if engine.reads_staging(block) { 0 } else { raw }, engine.raw_bytes());
    let device = raw_of_device + samples + inner + result;
    // The memory of a software adapter is host memory.
    let per_pixel = if engine.is_software() { host + device } else { host.max(device) };
    let budget = memory.saturating_sub(aside);
    let limits = engine.device.limits();
    let binding = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    let widest = cubes.iter().map(|c| (c.width.max(c.sample_size()) * c.room) as u64).max().unwrap_or(1);
    let most = cubes.iter().map(|c| c.planes.len()).max().unwrap_or(0);
    let by_limits = [
        (budget / per_pixel),
        most_raw / raw.min(most_raw),
        // Planes are padded to 8 bytes each.
        (binding.saturating_sub(8 * most as u64)) / widest.max(widest_result).max(widest_inner),
        limits.max_buffer_size / raw.max(result) / 2,
        (LANES * GROUPS) as u64,
        if block.is_some() { samples::texture_pixels(cubes, &limits) } else { u64::MAX },
    ];
    // Whole words of raw bytes in each plane, whatever their type.
    let most_pixels = by_limits.into_iter().min().unwrap_or(0) as usize / WHOLE * WHOLE;
    let pixels = most_pixels.min(job.pixels.next_multiple_of(WHOLE));
    let least = LEAST_PIXELS.min(job.pixels);
    if (budget / per_pixel) < least as u64 {
        let needed = (least as u64 * (per_pixel * 4 / 3 + 4)).max(least as u64 * per_pixel + aside);
        return Err(Error::Budget { needed, budget: memory });
    }
    if pixels == 0 {
        return Err(Error::Device(format!("{most} frames of one pixel are beyond the adapter's limits")));
    }
    if most > GROUPS {
        return Err(Error::Device(format!("{most} frames, an adapter takes {GROUPS}")));
    }
    Ok(pixels)
}

impl GpuEngine {
    /// Most raw bytes of a tile.
    fn raw_bytes(&self) -> u64 {
        if self.is_software() { RAW_BYTES_OF_SOFTWARE } else { RAW_BYTES }
    }

    /// Whether kernels read the staging memory itself; textures, in which blocks lie, cannot be mapped.
    fn reads_staging(&self, block: Option<Block>) -> bool {
        self.shares_memory() && block.is_none()
    }

    pub(super) fn bind(&self, pipeline: &Pipeline, resources: &[wgpu::BindingResource<'_>]) -> Result<wgpu::BindGroup> {
        let entries: Vec<_> = resources
            .iter()
            .enumerate()
            .filter(|(i, _)| !pipeline.absent.get(*i).copied().unwrap_or(false))
            .map(|(i, resource)| wgpu::BindGroupEntry { binding: i as u32, resource: resource.clone() })
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
