//! The one loop over tiles, driven by the output.
//!
//! A tile is a range of pixels of the output in C order: a band of rows, or a piece of a row where a row of every
//! frame does not fit. The loop asks the engine for tile after tile and hands each to a [`Sink`] on a thread of its
//! own, so that writing overlaps computing; a GPU engine has several tiles in flight, so that reading, transfer and
//! kernels overlap too. Buffers go round; nothing is allocated per tile. A pixel's result does not depend on its
//! tile.
//!
//! If a device fails in mid-run, the tiles that it has not delivered are tried once more in smaller pieces, and if that
//! fails too, computed by the CPU, with one warning.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, sync_channel};
use std::time::Instant;

use crate::engine::{Engine, Runner};
use crate::kernels::stack::{Affine, Levels};
use crate::nddata::NDAstroData;
use crate::real::Real;
use crate::{Error, Result};

/// What is to be computed.
pub(crate) struct Job<'a> {
    pub frames: &'a [NDAstroData],
    /// One per frame.
    pub affine: &'a [Affine],
    pub levels: Levels,
    /// Pixels of a frame.
    pub pixels: usize,
    /// Pixels of a row: tiles end at rows where they can.
    pub row: usize,
    /// Use the frames' variances.
    pub variance: bool,
    /// Use the frames' masks.
    pub mask: bool,
}

impl Job<'_> {
    /// Whether a sample can be non-finite.
    pub(crate) fn nonfinite(&self) -> bool {
        self.frames.iter().any(|f| {
            let variance = f.variance_plane().filter(|_| self.variance);
            f.data_plane().format().can_be_nonfinite() || variance.is_some_and(|v| v.format().can_be_nonfinite())
        })
    }

    /// Whether a frame's stored bytes of these pixels are about to be read.
    fn begin(&self, range: &Range<usize>) {
        for frame in self.frames {
            frame.data_plane().begin(range.clone());
            if let Some(v) = frame.variance_plane().filter(|_| self.variance) {
                v.begin(range.clone());
            }
            if let Some(m) = frame.mask_plane().filter(|_| self.mask) {
                m.begin(range.clone());
            }
        }
    }

    /// Whether all files are still what they were when they were opened.
    fn check(&self) -> Result<()> {
        let mut last = None;
        for section in self.frames.iter().flat_map(NDAstroData::planes).filter_map(|p| p.section()) {
            let mapping = section.mapping();
            // The planes of a frame mostly share a file.
            if last.is_none_or(|l| !std::sync::Arc::ptr_eq(l, mapping)) {
                mapping.check()?;
                last = Some(mapping);
            }
        }
        Ok(())
    }
}

/// A finished tile.
#[derive(Default)]
pub(crate) struct Tile<T> {
    pub range: Range<usize>,
    pub data: Vec<T>,
    pub variance: Vec<T>,
    pub mask: Vec<u32>,
    pub good: Vec<u32>,
    /// Variances below zero among the inputs.
    pub negative: u64,
}

impl<T: Real> Tile<T> {
    /// Makes room for the pixels of `range`.
    pub(crate) fn prepare(&mut self, range: Range<usize>) {
        let n = range.len();
        self.data.resize(n, T::from_f32(0.0));
        self.variance.resize(n, T::from_f32(0.0));
        self.mask.resize(n, 0);
        self.good.resize(n, 0);
        self.range = range;
        self.negative = 0;
    }

    /// Bytes a pixel.
    pub(crate) const BYTES: usize = 2 * size_of::<T>() + 8;
}

/// Where tiles go, in order.
pub(crate) trait Sink<T>: Send {
    fn accept(&mut self, tile: &Tile<T>) -> Result<()>;
}

/// How a run is steered from outside.
pub(crate) struct Control<'a> {
    /// Bytes of host memory for buffers.
    pub memory: u64,
    pub cancel: Option<&'a AtomicBool>,
    /// Called with (pixels done, pixels in all).
    pub progress: Option<&'a (dyn Fn(u64, u64) + Sync)>,
}

impl Control<'_> {
    pub(crate) fn check(&self) -> Result<()> {
        match self.cancel {
            Some(flag) if flag.load(Ordering::Relaxed) => Err(Error::Interrupted),
            _ => Ok(()),
        }
    }
}

/// What a run did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub tiles: u64,
    pub negative: u64,
    pub bytes_uploaded: u64,
    pub bytes_downloaded: u64,
    pub peak_host_bytes: u64,
    pub peak_device_bytes: u64,
    pub seconds: f64,
    pub warnings: Vec<String>,
}

impl Counters {
    pub(crate) fn add(&mut self, other: Counters) {
        self.tiles += other.tiles;
        self.negative += other.negative;
        self.bytes_uploaded += other.bytes_uploaded;
        self.bytes_downloaded += other.bytes_downloaded;
        self.peak_host_bytes = self.peak_host_bytes.max(other.peak_host_bytes);
        self.peak_device_bytes = self.peak_device_bytes.max(other.peak_device_bytes);
        self.seconds += other.seconds;
        for warning in other.warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }
}

/// Tile buffers that go round: one being filled, one waiting, one being written.
pub(crate) const BUFFERS: usize = 3;

/// A budget that does not hold tiles of as many pixels is refused: the run would take for ever.
pub(crate) const LEAST_PIXELS: usize = 256;

/// Computes all pixels of the job into `sink`.
pub(crate) fn run<T: Real + Default>(
    engine: &Engine,
    job: &Job<'_>,
    control: &Control<'_>,
    sink: &mut dyn Sink<T>,
) -> Result<Counters> {
    let started = Instant::now();
    let mut counters = Counters::default();
    if job.pixels == 0 {
        return Ok(counters);
    }
    job.check()?;
    std::thread::scope(|scope| {
        let (full_tx, full_rx) = sync_channel::<Tile<T>>(BUFFERS);
        let (empty_tx, empty_rx) = channel::<Tile<T>>();
        for _ in 0..BUFFERS {
            // The receiver is alive: it is held below.
            let _ = empty_tx.send(Tile::default());
        }
        let writer = scope.spawn(move || -> Result<()> {
            for tile in full_rx {
                sink.accept(&tile)?;
                if empty_tx.send(tile).is_err() {
                    break;
                }
            }
            Ok(())
        });
        let deliver = |fill: &mut dyn FnMut(&mut Tile<T>) -> Result<()>| -> Result<Option<u64>> {
            // A closed channel means that the sink failed; its error is taken at the end.
            let Ok(mut tile) = empty_rx.recv() else { return Ok(None) };
            fill(&mut tile)?;
            let negative = tile.negative;
            Ok(full_tx.send(tile).ok().map(|()| negative))
        };
        let computed = drive(engine, job, control, &mut counters, deliver);
        drop(full_tx);
        // A sink that failed stopped the loop: its error is the cause.
        let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        written.and(computed)
    })?;
    counters.seconds = started.elapsed().as_secs_f64();
    Ok(counters)
}

/// Fills a free tile and hands it on; `None` if the sink is gone.
type Deliver<'a, T> = dyn Fn(&mut dyn FnMut(&mut Tile<T>) -> Result<()>) -> Result<Option<u64>> + 'a;

fn drive<T: Real + Default>(
    engine: &Engine,
    job: &Job<'_>,
    control: &Control<'_>,
    counters: &mut Counters,
    deliver: impl Fn(&mut dyn FnMut(&mut Tile<T>) -> Result<()>) -> Result<Option<u64>>,
) -> Result<()> {
    let mut done = 0;
    if let Some(reason) = engine.unfit::<T>() {
        counters.warnings.push(format!("{reason}; computed on the CPU"));
    } else {
        let mut failure = String::new();
        // Smaller tiles help where device memory ran out; a lost device fails again at once.
        for memory in [control.memory, control.memory / 8] {
            match tiles(Runner::new(engine, job, memory), job, control, counters, &mut done, &deliver) {
                Err(Error::Device(reason)) => failure = reason,
                // Too small a piece of the budget is no reason to give up.
                Err(Error::Budget { .. }) if memory < control.memory => {}
                other => return other,
            }
        }
        let rest = job.pixels - done;
        counters.warnings.push(format!("GPU failed ({failure}); the last {rest} pixels were computed on the CPU"));
    }
    let cpu = engine.cpu_twin()?;
    tiles(Runner::new(&cpu, job, control.memory), job, control, counters, &mut done, &deliver)
}

/// Pixels from `done` on, tile by tile; `done` moves with what was delivered.
fn tiles<T: Real + Default>(
    runner: Result<Runner<'_, T>>,
    job: &Job<'_>,
    control: &Control<'_>,
    counters: &mut Counters,
    done: &mut usize,
    deliver: &Deliver<'_, T>,
) -> Result<()> {
    let mut runner = runner?;
    let result = pump(&mut runner, job, control, counters, done, deliver);
    // What was moved was moved, also if the run failed.
    let (up, down, device) = runner.traffic();
    counters.bytes_uploaded += up;
    counters.bytes_downloaded += down;
    counters.peak_device_bytes = counters.peak_device_bytes.max(device);
    result
}

/// Keeps the runner's tiles in flight and delivers them in order.
fn pump<T: Real + Default>(
    runner: &mut Runner<'_, T>,
    job: &Job<'_>,
    control: &Control<'_>,
    counters: &mut Counters,
    done: &mut usize,
    deliver: &Deliver<'_, T>,
) -> Result<()> {
    let size = whole_rows(runner.tile_pixels(), job.row, job.pixels - *done);
    let mut submitted = *done;
    let mut in_flight = 0;
    while *done < job.pixels {
        control.check()?;
        while submitted < job.pixels && in_flight < runner.depth() {
            let range = submitted..job.pixels.min(submitted + size);
            job.begin(&range);
            submitted = range.end;
            runner.submit(range)?;
            in_flight += 1;
        }
        let mut range = 0..0;
        let delivered = deliver(&mut |tile| {
            runner.collect(tile)?;
            // Pixels that were read while the file changed must not be written.
            job.check()?;
            range = tile.range.clone();
            Ok(())
        });
        in_flight -= 1;
        let Some(negative) = delivered? else { break };
        *done = range.end;
        counters.tiles += 1;
        counters.negative += negative;
        counters.peak_host_bytes = counters.peak_host_bytes.max(crate::memory::anonymous());
        if let Some(progress) = control.progress {
            progress(*done as u64, job.pixels as u64);
        }
    }
    Ok(())
}

/// At most `limit` pixels: whole rows, or a piece of one.
fn whole_rows(limit: usize, row: usize, pixels: usize) -> usize {
    let limit = limit.min(pixels).max(1);
    if limit >= row { limit / row * row } else { limit }
}
