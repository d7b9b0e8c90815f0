//! Engines: what computes a tile. One enum of two, no trait.
//!
//! An engine knows threads or an adapter, pipelines and buffers; of files, headers and units it knows nothing.

mod cpu;
#[cfg(feature = "gpu")]
mod gpu;

use std::ops::Range;

pub use cpu::CpuEngine;
pub(crate) use cpu::Run as CpuRun;
#[cfg(feature = "gpu")]
pub use gpu::{AdapterReport, GpuEngine, adapters};

use crate::real::Real;
use crate::tiles::{Job, Tile};
use crate::{DeviceSeconds, Error, Result};

/// What computes.
pub enum Engine {
    /// Threads and SIMD.
    Cpu(CpuEngine),
    /// WGSL compute shaders.
    #[cfg(feature = "gpu")]
    Gpu(Box<GpuEngine>),
}

/// A way between the host's memory and an adapter's.
#[cfg(feature = "cli")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    Upload,
    Readback,
}

impl Engine {
    /// A hardware adapter if there is one, else the CPU with all threads. A software adapter is never taken. On Linux no driver
    /// is asked where no device has a node in `/dev`.
    ///
    /// # Errors
    /// The threads cannot be started.
    pub fn auto() -> Result<Self> {
        Self::auto_with(0)
    }

    /// As [`auto`](Self::auto), with this many threads for what the CPU does; 0 is all.
    ///
    /// # Errors
    /// The threads cannot be started.
    pub fn auto_with(threads: usize) -> Result<Self> {
        #[cfg(feature = "gpu")]
        if let Ok(gpu) = GpuEngine::hardware(threads) {
            return Ok(Engine::Gpu(Box::new(gpu)));
        }
        Self::cpu(threads)
    }

    /// The CPU engine with this many threads; 0 is all.
    ///
    /// # Errors
    /// The threads cannot be started.
    pub fn cpu(threads: usize) -> Result<Self> {
        Ok(Engine::Cpu(CpuEngine::new(threads)?))
    }

    /// A GPU engine: the adapter whose name contains `adapter`, or the best one; a software adapter counts.
    ///
    /// # Errors
    /// There is no such adapter, or this build has no GPU engine.
    pub fn gpu(adapter: Option<&str>, threads: usize) -> Result<Self> {
        #[cfg(feature = "gpu")]
        {
            Ok(Engine::Gpu(Box::new(GpuEngine::new(adapter, threads)?)))
        }
        #[cfg(not(feature = "gpu"))]
        {
            let _ = (adapter, threads);
            Err(Error::NoAdapter("this build has no GPU engine (feature `gpu`)".into()))
        }
    }

    /// As [`gpu`](Self::gpu), but as if the adapter had no 64-bit floats, as many have not, and no memory in common with the
    /// host: to try what is done there.
    ///
    /// # Errors
    /// As [`gpu`](Self::gpu).
    #[doc(hidden)]
    pub fn gpu_without_f64(adapter: Option<&str>, threads: usize) -> Result<Self> {
        #[cfg(feature = "gpu")]
        {
            Ok(Engine::Gpu(Box::new(GpuEngine::without_f64(adapter, threads)?)))
        }
        #[cfg(not(feature = "gpu"))]
        {
            Self::gpu(adapter, threads)
        }
    }

    /// "cpu" or "gpu".
    pub fn name(&self) -> &'static str {
        match self {
            Engine::Cpu(_) => "cpu",
            #[cfg(feature = "gpu")]
            Engine::Gpu(_) => "gpu",
        }
    }

    /// Name of the adapter, if this is a GPU engine.
    pub fn adapter(&self) -> Option<&str> {
        match self {
            Engine::Cpu(_) => None,
            #[cfg(feature = "gpu")]
            Engine::Gpu(g) => Some(g.adapter_name()),
        }
    }

    /// One line for people: "cpu, 2 threads, AVX2".
    pub fn describe(&self) -> String {
        match self {
            Engine::Cpu(c) => format!("cpu, {}", c.describe()),
            #[cfg(feature = "gpu")]
            Engine::Gpu(g) => format!("gpu, {}", g.describe()),
        }
    }

    /// Seconds that so many bytes take to its adapter, or back; `None` if it has none.
    #[cfg(feature = "cli")]
    pub(crate) fn transfer_seconds(&self, transfer: Transfer, bytes: u64) -> Result<Option<f64>> {
        match self {
            Engine::Cpu(_) => {
                let _ = (transfer, bytes);
                Ok(None)
            }
            #[cfg(feature = "gpu")]
            Engine::Gpu(g) => g.transfer_seconds(transfer, bytes).map(Some),
        }
    }

    /// Why this engine cannot do a job in `T`, if it cannot.
    pub(crate) fn unfit<T: Real>(&self, job: &Job<'_>) -> Option<String> {
        match self {
            Engine::Cpu(_) => {
                let _ = job;
                None
            }
            #[cfg(feature = "gpu")]
            Engine::Gpu(g) => g.unfit::<T>(job),
        }
    }

    /// The CPU engine that takes over where this one cannot go on.
    pub(crate) fn cpu_twin(&self) -> Result<Engine> {
        self.twin().map(Engine::Cpu)
    }

    /// The same, as what it is.
    pub(crate) fn twin(&self) -> Result<CpuEngine> {
        match self {
            Engine::Cpu(c) => Ok(c.clone()),
            #[cfg(feature = "gpu")]
            Engine::Gpu(g) => CpuEngine::new(g.threads()),
        }
    }
}

/// What was moved to a device and back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub uploaded: u64,
    pub downloaded: u64,
    /// Bytes held on it.
    pub device_bytes: u64,
    pub seconds: Option<DeviceSeconds>,
}

/// One job on one engine: buffers and pipelines, ready for tiles.
pub(crate) enum Runner<'a, T: Real> {
    Cpu(Box<cpu::Run<'a, T>>),
    #[cfg(feature = "gpu")]
    Gpu(Box<gpu::Run<'a, T>>),
}

impl<'a, T: Real + Default> Runner<'a, T> {
    pub(crate) fn new(engine: &'a Engine, job: &'a Job<'a>, memory: u64) -> Result<Self> {
        match engine {
            Engine::Cpu(c) => Ok(Runner::Cpu(Box::new(cpu::Run::new(c, job, memory)?))),
            #[cfg(feature = "gpu")]
            Engine::Gpu(g) => Ok(Runner::Gpu(Box::new(gpu::Run::new(g, job, memory)?))),
        }
    }

    /// Most pixels of a tile.
    pub(crate) fn tile_pixels(&self) -> usize {
        match self {
            Runner::Cpu(r) => r.tile_pixels(),
            #[cfg(feature = "gpu")]
            Runner::Gpu(r) => r.tile_pixels(),
        }
    }

    /// Tiles in flight.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Runner::Cpu(_) => 1,
            #[cfg(feature = "gpu")]
            Runner::Gpu(r) => r.depth(),
        }
    }

    /// Starts a tile.
    pub(crate) fn submit(&mut self, range: Range<usize>) -> Result<()> {
        match self {
            Runner::Cpu(r) => {
                r.submit(range);
                Ok(())
            }
            #[cfg(feature = "gpu")]
            Runner::Gpu(r) => r.submit(range),
        }
    }

    /// The oldest tile that was started.
    pub(crate) fn collect(&mut self, tile: &mut Tile<T>) -> Result<()> {
        match self {
            Runner::Cpu(r) => r.collect(tile),
            #[cfg(feature = "gpu")]
            Runner::Gpu(r) => r.collect(tile),
        }
    }

    /// Bytes to the device for each pixel.
    pub(crate) fn upload(&self) -> u64 {
        match self {
            Runner::Cpu(_) => 0,
            #[cfg(feature = "gpu")]
            Runner::Gpu(r) => r.upload(),
        }
    }

    /// Bytes of buffers on the host, besides tiles.
    pub(crate) fn host_bytes(&self) -> u64 {
        match self {
            Runner::Cpu(r) => r.host_bytes(),
            #[cfg(feature = "gpu")]
            Runner::Gpu(r) => r.host_bytes(),
        }
    }

    pub(crate) fn traffic(&self) -> Traffic {
        match self {
            Runner::Cpu(_) => Traffic::default(),
            #[cfg(feature = "gpu")]
            Runner::Gpu(r) => r.traffic(),
        }
    }
}

pub(crate) fn pool(threads: usize) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("ndastro-{i}"))
        .build()
        .map_err(|e| Error::Parameter(format!("cannot start {threads} threads: {e}")))
}
