//! Faults that tests force upon a device. In builds with debug assertions alone; a release has none of it.
//!
//! `NDASTRO_FAULT` has one or more of these, separated by commas:
//! - `device-lost:N`: the device is destroyed before tile N goes to it, counted from 1 over the life of the engine;
//! - `out-of-memory:N`: tile N does not go to it for want of memory, once;
//! - `limits:BYTES`: no buffer and no binding is larger than so many bytes.

use std::sync::atomic::{AtomicU64, Ordering};

use super::GpuEngine;
use crate::{Error, Result};

const VARIABLE: &str = "NDASTRO_FAULT";

/// The number of a fault of this kind, if one was asked for.
fn wanted(kind: &str) -> Option<u64> {
    let faults = std::env::var(VARIABLE).ok()?;
    faults.split(',').find_map(|fault| fault.trim().strip_prefix(kind)?.strip_prefix(':')?.parse().ok())
}

/// Tiles that went to a device, and what shall happen to which.
#[derive(Debug)]
pub(super) struct Inject {
    tiles: AtomicU64,
    lost: Option<u64>,
    out_of_memory: Option<u64>,
}

impl Inject {
    pub(super) fn new() -> Self {
        Inject { tiles: AtomicU64::new(0), lost: wanted("device-lost"), out_of_memory: wanted("out-of-memory") }
    }
}

/// The adapter's limits, or smaller ones.
pub(super) fn limits(mut limits: wgpu::Limits) -> wgpu::Limits {
    if let Some(bytes) = wanted("limits") {
        limits.max_buffer_size = limits.max_buffer_size.min(bytes);
        limits.max_storage_buffer_binding_size = limits.max_storage_buffer_binding_size.min(bytes);
    }
    limits
}

impl GpuEngine {
    /// Another tile is about to go to the device.
    pub(super) fn strike(&self) -> Result<()> {
        let tile = Some(1 + self.inject.tiles.fetch_add(1, Ordering::Relaxed));
        if tile == self.inject.lost {
            self.device.destroy();
        }
        if tile == self.inject.out_of_memory {
            return Err(Error::Device("tile: out of device memory".into()));
        }
        Ok(())
    }
}
