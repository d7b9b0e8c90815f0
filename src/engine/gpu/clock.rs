//! When the steps of a tile began and ended, by the device's own clock, where it has one.

use super::GpuEngine;
use super::run::Buffers;
use crate::{DeviceSeconds, Result};

/// Moments of a tile.
pub(super) const BEGIN: u32 = 0;
pub(super) const UPLOADED: u32 = 1;
pub(super) const COMPUTED: u32 = 2;
pub(super) const END: u32 = 3;
const MOMENTS: u32 = 4;

/// Bytes that they take at the end of a readback buffer.
pub(super) const BYTES: u64 = 8 * MOMENTS as u64;

/// Moments of one tile in flight.
pub(super) struct Clock {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    /// Nanoseconds of a tick.
    period: f64,
}

impl Clock {
    /// `None` if the device has no clock.
    pub(super) fn new(engine: &GpuEngine, buffers: &mut Buffers<'_>) -> Result<Option<Self>> {
        let needed = wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS;
        if !engine.device.features().contains(needed) {
            return Ok(None);
        }
        let queries = engine.scoped("clock", || {
            engine.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("clock"),
                ty: wgpu::QueryType::Timestamp,
                count: MOMENTS,
            })
        })?;
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = buffers.make("clock", BYTES, usage, false)?;
        Ok(Some(Clock { queries, resolved, period: f64::from(engine.queue.get_timestamp_period()) }))
    }

    pub(super) fn tick(&self, encoder: &mut wgpu::CommandEncoder, which: u32) {
        encoder.write_timestamp(&self.queries, which);
    }

    /// To the end of a readback buffer.
    pub(super) fn resolve(&self, encoder: &mut wgpu::CommandEncoder, readback: &wgpu::Buffer) {
        encoder.resolve_query_set(&self.queries, 0..MOMENTS, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, readback, readback.size() - BYTES, BYTES);
    }

    /// What lies between the moments, from the bytes of the readback buffer.
    pub(super) fn read(&self, readback: &[u8]) -> DeviceSeconds {
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&readback[readback.len() - BYTES as usize..]);
        // A clock that was set back in between says nothing.
        let between = |a: u32, b: u32| ticks[b as usize].saturating_sub(ticks[a as usize]) as f64 * self.period * 1e-9;
        DeviceSeconds {
            upload: between(BEGIN, UPLOADED),
            kernels: between(UPLOADED, COMPUTED),
            readback: between(COMPUTED, END),
        }
    }
}
