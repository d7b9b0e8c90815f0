//! How fast bytes get to the adapter and back, with nothing computed: what the benchmark sets beside its jobs.
//!
//! The way is that of a tile. To the device: all threads write into mapped staging memory, one copy on the device follows,
//! and it is waited for. Back: a copy on the device to memory that can be mapped, and all threads copy from there. Each
//! way is gone twice on the same buffers, and the second time counts: the first touch of memory is over by then.

use std::sync::mpsc::channel;
use std::time::Instant;

use rayon::prelude::*;
use wgpu::BufferUsages as Usage;

use super::{GpuEngine, one_line};
use crate::engine::Transfer;
use crate::{Error, Result};

/// Bytes that one thread copies at a time.
const PIECE: usize = 4 << 20;

impl GpuEngine {
    /// Seconds that so many bytes take; rounded up to whole words of 16 bytes.
    pub(crate) fn transfer_seconds(&self, transfer: Transfer, bytes: u64) -> Result<f64> {
        let bytes = bytes.next_multiple_of(16).max(16);
        let device = self.buffer("limit", bytes, Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST)?;
        let mut host = vec![1u8; bytes as usize];
        match transfer {
            Transfer::Upload => {
                let staging = self.buffer("limit: staging", bytes, Usage::MAP_WRITE | Usage::COPY_SRC)?;
                self.upload(&host, &staging, &device)?;
                self.upload(&host, &staging, &device)
            }
            Transfer::Readback => {
                let readback = self.buffer("limit: readback", bytes, Usage::MAP_READ | Usage::COPY_DST)?;
                self.readback(&device, &readback, &mut host)?;
                self.readback(&device, &readback, &mut host)
            }
        }
    }

    fn buffer(&self, label: &str, size: u64, usage: Usage) -> Result<wgpu::Buffer> {
        self.scoped(label, || {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation: false,
            })
        })
    }

    fn upload(&self, host: &[u8], staging: &wgpu::Buffer, device: &wgpu::Buffer) -> Result<f64> {
        self.map(staging, wgpu::MapMode::Write)?;
        let started = Instant::now();
        {
            // One view a piece: threads write to disjoint parts.
            let mut pieces = Vec::new();
            for (i, piece) in host.chunks(PIECE).enumerate() {
                let at = (i * PIECE) as u64;
                pieces.push((staging.get_mapped_range_mut(at..at + piece.len() as u64).map_err(lost)?, piece));
            }
            self.pool.install(|| {
                pieces.par_iter_mut().for_each(|(view, piece)| view.slice(..).copy_from_slice(piece));
            });
        }
        staging.unmap();
        self.wait(Some(self.copy(staging, device)))?;
        Ok(started.elapsed().as_secs_f64())
    }

    fn readback(&self, device: &wgpu::Buffer, readback: &wgpu::Buffer, host: &mut [u8]) -> Result<f64> {
        let started = Instant::now();
        self.copy(device, readback);
        self.map(readback, wgpu::MapMode::Read)?;
        {
            let view = readback.get_mapped_range(..).map_err(lost)?;
            let bytes: &[u8] = &view;
            self.pool.install(|| {
                host.par_chunks_mut(PIECE).zip(bytes.par_chunks(PIECE)).for_each(|(to, from)| to.copy_from_slice(from));
            });
        }
        let seconds = started.elapsed().as_secs_f64();
        readback.unmap();
        Ok(seconds)
    }

    /// Submits a copy of the whole buffer.
    fn copy(&self, from: &wgpu::Buffer, to: &wgpu::Buffer) -> wgpu::SubmissionIndex {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("limit") });
        encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size());
        self.queue.submit([encoder.finish()])
    }

    /// Maps a buffer once all that was submitted before is done.
    fn map(&self, buffer: &wgpu::Buffer, mode: wgpu::MapMode) -> Result<()> {
        let (done, mapped) = channel();
        // A receiver that is gone has no interest any more.
        buffer.map_async(mode, .., move |r| drop(done.send(r)));
        self.wait(None)?;
        let answer = mapped.recv().map_err(|_| Error::Device("a buffer was dropped".into()))?;
        answer.map_err(|e| Error::Device(format!("mapping: {e}")))
    }

    /// Until this submission is done, or all of them are.
    fn wait(&self, submission_index: Option<wgpu::SubmissionIndex>) -> Result<()> {
        let wait = wgpu::PollType::Wait { submission_index, timeout: None };
        self.device.poll(wait).map_err(|e| Error::Device(format!("waiting: {e}")))?;
        self.faults.check()
    }
}

fn lost(e: wgpu::MapRangeError) -> Error {
    Error::Device(format!("a mapped buffer: {}", one_line(&e.to_string())))
}
