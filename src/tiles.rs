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
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{channel, sync_channel};
use std::time::Instant;

use crate::arrays::Room;
use crate::engine::{CpuEngine, CpuRun, Engine, Runner};
use crate::error::unless_cancelled;
use crate::kernels::expr::Program;
use crate::kernels::stack::{Affine, Levels, Method, Shares, Tally, Uneven};
use crate::plane::Plane;
use crate::real::Real;
use crate::{DeviceSeconds, Error, Result, Stats};

/// What is to be computed.
pub(crate) struct Job<'a> {
    /// Planes that are read, all of as many pixels as the output has.
    pub inputs: Vec<&'a Plane>,
    /// Pixels of the output.
    pub pixels: usize,
    /// Those of them that are computed.
    pub part: Range<usize>,
    /// Pixels of a row: tiles end at rows where they can.
    pub row: usize,
    pub outputs: Outputs,
    pub work: Work<'a>,
}

/// What is done with the inputs.
pub(crate) enum Work<'a> {
    Stack(Stacking<'a>),
    Expr(&'a Program),
}

/// Planes that come out besides the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outputs {
    pub variance: bool,
    pub mask: bool,
    /// Scatter beside the propagated variance.
    pub scatter: bool,
    /// Scatter / propagated.
    pub ratio: bool,
    /// Sum of weights.
    pub weight: bool,
    /// Sum of exposures.
    pub exposure: bool,
    /// Samples used.
    pub good: bool,
    /// Samples rejected, below and above, and as the flavour counts them.
    pub rejections: bool,
    /// Samples of each pixel whose reasons come out.
    pub reasons: usize,
    /// Bits of the mask whose samples are counted.
    pub counts: usize,
}

impl Outputs {
    /// Planes of a part.
    pub(crate) fn planes(&self, part: Part) -> usize {
        match part {
            Part::Reasons => self.reasons,
            Part::Counts => self.counts,
            _ => 1,
        }
    }
}

/// The planes of a frame, by number.
pub(crate) const DATA: usize = 0;
pub(crate) const VARIANCE: usize = 1;
pub(crate) const MASK: usize = 2;

/// Frames to be stacked.
pub(crate) struct Stacking<'a> {
    /// Data, variance and mask of each frame among the inputs, where it has them and they are used. Empty if the frames
    /// are computed.
    pub frames: Vec<[Option<usize>; 3]>,
    /// What computes the frames from the inputs.
    pub computed: Option<Computed<'a>>,
    /// One per frame.
    pub affine: &'a [Affine],
    pub levels: Levels,
    /// Use the frames' variances.
    pub variance: bool,
    /// Use the frames' masks.
    pub mask: bool,
    /// Whether a sample can be non-finite.
    pub nonfinite: bool,
    pub method: &'a Method,
    /// What frames count for, where they do not count alike.
    pub uneven: Uneven<'a>,
    /// Pixels of an image, of which the output may have several, one after the other.
    pub image: usize,
}

impl Stacking<'_> {
    /// How many frames there are.
    pub(crate) fn count(&self) -> usize {
        self.affine.len()
    }
}

/// Frames that are expressions.
#[derive(Clone, Copy)]
pub(crate) struct Computed<'a> {
    /// One for each frame.
    pub programs: &'a [Program],
    pub shares: Shares<'a>,
}

impl Job<'_> {
    /// Inputs that must be decoded before they can be read, in order.
    pub(crate) fn staged(&self) -> impl Iterator<Item = (usize, &Plane)> {
        self.inputs.iter().enumerate().map(|(i, p)| (i, *p)).filter(|(_, p)| !p.is_plain())
    }

    /// Pixels that should be computed at once, since some plane decodes them together.
    fn band(&self) -> usize {
        self.staged().map(|(_, p)| p.band()).max().unwrap_or(1)
    }

    /// How many pixels are done when those before this one are, and of how many.
    fn so_far(&self, end: usize) -> (usize, usize) {
        (end - self.part.start, self.part.len())
    }

    /// The stack, if its rejections grow: then what becomes of a pixel depends on others.
    pub(crate) fn growing(&self) -> Option<&Stacking<'_>> {
        match &self.work {
            Work::Stack(stack) if stack.method.grow > 0.0 => Some(stack),
            _ => None,
        }
    }

    /// The stored bytes of so many pixels are about to be read.
    fn begin(&self, pixels: usize) {
        self.inputs.iter().for_each(|plane| plane.begin(pixels));
    }

    /// Whether all files are still what they were when they were opened.
    fn check(&self) -> Result<()> {
        let mut last = None;
        for section in self.inputs.iter().filter_map(|p| p.section()) {
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
    pub scatter: Vec<T>,
    pub ratio: Vec<T>,
    pub weight: Vec<T>,
    pub exposure: Vec<T>,
    pub mask: Vec<u32>,
    pub good: Vec<u32>,
    pub low: Vec<u32>,
    pub high: Vec<u32>,
    pub rejected: Vec<u32>,
    pub reasons: Vec<u8>,
    pub counts: Vec<u32>,
    pub tally: Tally,
}

impl<T: Real> Tile<T> {
    /// Makes room for the pixels of `range`. Planes that do not come out are empty.
    pub(crate) fn prepare(&mut self, range: Range<usize>, outputs: Outputs) {
        let n = range.len();
        let of = |used: bool| if used { n } else { 0 };
        let zero = T::from_f32(0.0);
        self.data.resize(n, zero);
        self.variance.resize(of(outputs.variance), zero);
        self.scatter.resize(of(outputs.scatter), zero);
        self.ratio.resize(of(outputs.ratio), zero);
        self.weight.resize(of(outputs.weight), zero);
        self.exposure.resize(of(outputs.exposure), zero);
        self.mask.resize(of(outputs.mask), 0);
        self.good.resize(of(outputs.good), 0);
        for counts in [&mut self.low, &mut self.high, &mut self.rejected] {
            counts.resize(of(outputs.rejections), 0);
        }
        self.reasons.resize(n * outputs.reasons, 0);
        self.counts.resize(n * outputs.counts, 0);
        self.range = range;
        self.tally = Tally::default();
    }

    /// Takes the pixels of another tile, which are some of its own.
    #[cfg(feature = "gpu")]
    pub(crate) fn take(&mut self, other: &Tile<T>) {
        fn plane<V: Copy>(to: &mut [V], from: &[V], at: usize) {
            if !to.is_empty() {
                to[at..at + from.len()].copy_from_slice(from);
            }
        }
        let at = other.range.start - self.range.start;
        plane(&mut self.data, &other.data, at);
        plane(&mut self.variance, &other.variance, at);
        plane(&mut self.scatter, &other.scatter, at);
        plane(&mut self.ratio, &other.ratio, at);
        plane(&mut self.weight, &other.weight, at);
        plane(&mut self.exposure, &other.exposure, at);
        plane(&mut self.mask, &other.mask, at);
        plane(&mut self.good, &other.good, at);
        plane(&mut self.low, &other.low, at);
        plane(&mut self.high, &other.high, at);
        plane(&mut self.rejected, &other.rejected, at);
        self.tally += other.tally;
    }

    /// Bytes a pixel.
    pub(crate) fn bytes(outputs: Outputs) -> usize {
        let Outputs { variance, mask, scatter, ratio, weight, exposure, good, rejections, reasons, counts } = outputs;
        let reals = 1 + [variance, scatter, ratio, weight, exposure].into_iter().filter(|used| *used).count();
        let words = usize::from(mask) + usize::from(good) + 3 * usize::from(rejections);
        reals * size_of::<T>() + 4 * (words + counts) + reasons
    }
}

/// A plane of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Data,
    Variance,
    Scatter,
    Ratio,
    Weight,
    Exposure,
    Mask,
    Good,
    Low,
    High,
    Rejected,
    /// A cube of one plane a frame.
    Reasons,
    /// A cube of one plane a bit.
    Counts,
}

impl Part {
    /// Of several planes.
    pub(crate) fn is_cube(self) -> bool {
        matches!(self, Part::Reasons | Part::Counts)
    }

    pub(crate) fn is_real(self) -> bool {
        matches!(self, Part::Data | Part::Variance | Part::Scatter | Part::Ratio | Part::Weight | Part::Exposure)
    }
}

/// The numbers of a plane of a tile.
pub(crate) enum Numbers<'a, T> {
    Reals(&'a [T]),
    Words(&'a [u32]),
}

impl<T> Tile<T> {
    /// Planes of a part.
    pub(crate) fn planes(&self, part: Part) -> usize {
        let numbers = match part {
            Part::Reasons => self.reasons.len(),
            Part::Counts => self.counts.len(),
            _ => return 1,
        };
        numbers / self.range.len().max(1)
    }

    /// One plane of a cube.
    pub(crate) fn of_cube(&self, part: Part, plane: usize, to: &mut Vec<u32>) {
        to.clear();
        let planes = self.planes(part).max(1);
        match part {
            Part::Reasons => to.extend(self.reasons.iter().skip(plane).step_by(planes).copied().map(u32::from)),
            Part::Counts => to.extend(self.counts.iter().skip(plane).step_by(planes)),
            _ => {}
        }
    }

    pub(crate) fn part(&self, part: Part) -> Numbers<'_, T> {
        match part {
            Part::Data => Numbers::Reals(&self.data),
            Part::Variance => Numbers::Reals(&self.variance),
            Part::Scatter => Numbers::Reals(&self.scatter),
            Part::Ratio => Numbers::Reals(&self.ratio),
            Part::Weight => Numbers::Reals(&self.weight),
            Part::Exposure => Numbers::Reals(&self.exposure),
            Part::Mask => Numbers::Words(&self.mask),
            Part::Good => Numbers::Words(&self.good),
            Part::Low => Numbers::Words(&self.low),
            Part::High => Numbers::Words(&self.high),
            Part::Rejected => Numbers::Words(&self.rejected),
            // Cubes lie pixel after pixel: `of_cube`.
            Part::Reasons | Part::Counts => Numbers::Words(&[]),
        }
    }
}

/// Where tiles go, in order.
pub(crate) trait Sink<T>: Send {
    fn accept(&mut self, tile: &Tile<T>) -> Result<()>;

    /// Where these pixels go, if that is memory that can be written to by many threads.
    fn room(&mut self, pixels: Range<usize>) -> Option<Room<'_, T>> {
        let _ = pixels;
        None
    }
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
        unless_cancelled(self.cancel)
    }
}

/// What a run did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub tiles: u64,
    pub tally: Tally,
    pub bytes_uploaded: u64,
    pub bytes_downloaded: u64,
    pub peak_host_bytes: u64,
    pub peak_device_bytes: u64,
    pub device_seconds: Option<DeviceSeconds>,
    pub warnings: Vec<String>,
}

impl Counters {
    fn spend(&mut self, seconds: Option<DeviceSeconds>) {
        if let Some(seconds) = seconds {
            *self.device_seconds.get_or_insert_default() += seconds;
        }
    }

    /// A tile was delivered, and so many pixels of all.
    fn done(&mut self, tally: Tally, control: &Control<'_>, (done, all): (usize, usize)) {
        self.tiles += 1;
        self.tally += tally;
        self.peak_host_bytes = self.peak_host_bytes.max(crate::memory::anonymous());
        if let Some(progress) = control.progress {
            progress(done as u64, all as u64);
        }
    }

    pub(crate) fn add(&mut self, other: Counters) {
        self.tiles += other.tiles;
        self.tally += other.tally;
        self.bytes_uploaded += other.bytes_uploaded;
        self.bytes_downloaded += other.bytes_downloaded;
        self.peak_host_bytes = self.peak_host_bytes.max(other.peak_host_bytes);
        self.peak_device_bytes = self.peak_device_bytes.max(other.peak_device_bytes);
        self.spend(other.device_seconds);
        self.warn(other.warnings);
    }

    /// Says each thing once.
    pub(crate) fn warn(&mut self, warnings: impl IntoIterator<Item = String>) {
        for warning in warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }
}

impl Counters {
    /// What a job on this engine that began then did, as far as the loop knows; the rest is the job's to say.
    pub(crate) fn stats(self, engine: &Engine, started: Instant) -> Stats {
        let mut warnings = self.warnings;
        if self.tally.negative > 0 {
            warnings.push(format!("{} variances below zero were taken as zero", self.tally.negative));
        }
        Stats {
            engine: engine.name(),
            adapter: engine.adapter().map(String::from),
            seconds: started.elapsed().as_secs_f64(),
            bytes_uploaded: self.bytes_uploaded,
            bytes_downloaded: self.bytes_downloaded,
            tiles: self.tiles,
            rejected: self.tally.rejected,
            peak_host_bytes: self.peak_host_bytes,
            peak_device_bytes: self.peak_device_bytes,
            device_seconds: self.device_seconds,
            warnings,
            ..Stats::default()
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
    if job.part.is_empty() {
        return Ok(Counters::default());
    }
    job.check()?;
    if let Engine::Cpu(engine) = engine
        && job.growing().is_none()
        && sink.room(0..0).is_some()
    {
        // On a thread of the engine's, so that no tile waits for one to wake.
        return engine.install(|| in_place(engine, job, control, sink));
    }
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
        let deliver = |fill: &mut dyn FnMut(&mut Tile<T>) -> Result<()>| -> Result<Option<Tally>> {
            // A closed channel means that the sink failed; its error is taken at the end.
            let Ok(mut tile) = empty_rx.recv() else { return Ok(None) };
            fill(&mut tile)?;
            let tally = tile.tally;
            Ok(full_tx.send(tile).ok().map(|()| tally))
        };
        let mut drive = Drive { job, control, deliver: &deliver, counters: Counters::default(), done: job.part.start };
        let computed = drive.run(engine);
        let counters = drive.counters;
        drop(full_tx);
        // A sink that failed stopped the loop: its error is the cause.
        let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        written.and(computed).map(|()| counters)
    })
}

/// The same where results stay in memory: the engine's threads bring them there.
fn in_place<T: Real + Default>(
    engine: &CpuEngine,
    job: &Job<'_>,
    control: &Control<'_>,
    sink: &mut dyn Sink<T>,
) -> Result<Counters> {
    let mut run = CpuRun::new(engine, job, control.memory)?;
    let size = whole(run.pixels_in_place(), [job.band(), job.row], job.pixels);
    let (mut counters, mut ahead) = (Counters::default(), Ahead::new(job));
    for start in job.part.clone().step_by(size) {
        control.check()?;
        let range = start..job.part.end.min(start + size);
        job.begin(range.len());
        ahead.begin(job, &range, size);
        run.submit(range.clone());
        let Some(room) = sink.room(range.clone()) else { break };
        let tally = run.collect_in_place(room)?;
        job.check()?;
        counters.done(tally, control, job.so_far(range.end));
    }
    Ok(counters)
}

/// What a run would take.
pub(crate) struct Outline {
    pub tile_pixels: usize,
    pub tiles: u64,
    /// Bytes to the device.
    pub uploaded: u64,
    /// Bytes of buffers.
    pub host_bytes: u64,
    pub device_bytes: u64,
    /// Why the CPU would do it in place of this engine.
    pub falls_back: Option<String>,
}

/// What [`run`] would take, by making the same buffers and dropping them.
pub(crate) fn outline<T: Real + Default>(engine: &Engine, job: &Job<'_>, memory: u64) -> Result<Outline> {
    let falls_back = engine.unfit::<T>(job);
    let twin;
    let engine = match falls_back {
        Some(_) => {
            twin = engine.cpu_twin()?;
            &twin
        }
        None => engine,
    };
    if job.pixels == 0 {
        let (uploaded, host_bytes, device_bytes) = (0, 0, 0);
        return Ok(Outline { tile_pixels: 0, tiles: 0, uploaded, host_bytes, device_bytes, falls_back });
    }
    let runner = Runner::<T>::new(engine, job, memory)?;
    let tile_pixels = whole(runner.tile_pixels(), [job.band(), job.row], job.pixels);
    let device_bytes = runner.traffic().device_bytes;
    Ok(Outline {
        tile_pixels,
        tiles: job.pixels.div_ceil(tile_pixels) as u64,
        uploaded: runner.upload() * job.pixels as u64,
        host_bytes: runner.host_bytes() + (BUFFERS * tile_pixels * Tile::<T>::bytes(job.outputs)) as u64,
        device_bytes,
        falls_back,
    })
}

/// Fills a free tile and hands it on; `None` if the sink is gone.
type Deliver<'a, T> = dyn Fn(&mut dyn FnMut(&mut Tile<T>) -> Result<()>) -> Result<Option<Tally>> + 'a;

/// A run on its way, from one runner to the next if one fails.
struct Drive<'a, T> {
    job: &'a Job<'a>,
    control: &'a Control<'a>,
    deliver: &'a Deliver<'a, T>,
    counters: Counters,
    /// Pixels before this one were delivered.
    done: usize,
}

impl<T: Real + Default> Drive<'_, T> {
    fn run(&mut self, engine: &Engine) -> Result<()> {
        if let Some(reason) = engine.unfit::<T>(self.job) {
            self.counters.warnings.push(format!("{reason}; computed on the CPU"));
        } else {
            let mut failure = String::new();
            // Smaller tiles help where device memory ran out; a lost device fails again at once.
            for memory in [self.control.memory, self.control.memory / 8] {
                match self.tiles(engine, memory) {
                    Err(Error::Device(reason)) => failure = reason,
                    // Too small a piece of the budget is no reason to give up.
                    Err(Error::Budget { .. }) if memory < self.control.memory => {}
                    Ok(()) if !failure.is_empty() => {
                        self.counters.warnings.push(format!("GPU failed ({failure}); it went on with smaller tiles"));
                        return Ok(());
                    }
                    other => return other,
                }
            }
            let rest = self.job.part.end - self.done;
            let warning = format!("GPU failed ({failure}); the last {rest} pixels were computed on the CPU");
            self.counters.warnings.push(warning);
        }
        self.tiles(&engine.cpu_twin()?, self.control.memory)
    }

    /// Pixels from `done` on, by this engine.
    fn tiles(&mut self, engine: &Engine, memory: u64) -> Result<()> {
        let mut runner = Runner::new(engine, self.job, memory)?;
        let result = self.pump(&mut runner);
        // What was moved was moved, also if the run failed.
        let traffic = runner.traffic();
        self.counters.bytes_uploaded += traffic.uploaded;
        self.counters.bytes_downloaded += traffic.downloaded;
        self.counters.peak_device_bytes = self.counters.peak_device_bytes.max(traffic.device_bytes);
        self.counters.spend(traffic.seconds);
        result
    }

    /// Keeps the runner's tiles in flight and delivers them in order.
    fn pump(&mut self, runner: &mut Runner<'_, T>) -> Result<()> {
        let (job, control) = (self.job, self.control);
        let size = whole(runner.tile_pixels(), [job.band(), job.row], job.part.end - self.done);
        let mut ahead = Ahead::new(job);
        let mut submitted = self.done;
        let mut in_flight = 0;
        while self.done < job.part.end {
            control.check()?;
            while submitted < job.part.end && in_flight < runner.depth() {
                let range = submitted..job.part.end.min(submitted + size);
                job.begin(range.len());
                ahead.begin(job, &range, size);
                submitted = range.end;
                runner.submit(range)?;
                in_flight += 1;
            }
            let mut end = self.done;
            let delivered = (self.deliver)(&mut |tile| {
                runner.collect(tile)?;
                // Pixels that were read while the file changed must not be written.
                job.check()?;
                end = tile.range.end;
                Ok(())
            });
            in_flight -= 1;
            let Some(tally) = delivered? else { break };
            self.done = end;
            self.counters.done(tally, control, job.so_far(end));
        }
        Ok(())
    }
}

/// Tells the system of the pixels of the next tile while this one is computed, for as long as any come from a disk: for
/// those that are in memory the system would look at each page for nothing, with all threads waiting.
#[derive(Default)]
struct Ahead {
    /// Pixels before this one were told of.
    told: usize,
    /// Reads from disks so far, and tiles since there were more.
    reads: u64,
    quiet: u32,
}

/// After so many tiles without a disk none is expected.
const QUIET: u32 = 2;

impl Ahead {
    /// What a disk brings around each page that is touched can be 8 MiB, by its settings. Of a hundred files that may be more
    /// than there is memory for, and then it is gone before it is wanted: 400 GB were read for 4 GB. So there the system
    /// brings what it is told of, and nothing else.
    fn new(job: &Job<'_>) -> Self {
        let sections = || job.inputs.iter().filter_map(|plane| plane.section());
        let Some(first) = sections().next() else { return Ahead::default() };
        let around = crate::memory::read_around(first.mapping().identity().0);
        // One that is read and one that is on its way.
        let all = (2 * sections().count() as u64).saturating_mul(around);
        if crate::memory::room_for_files().is_some_and(|room| all > room) {
            sections().for_each(|section| section.mapping().nothing_around());
        }
        // A disk that has to be read after all is noticed with the first tile.
        let in_memory = job.inputs.iter().all(|plane| plane.is_in_memory(&job.part));
        Ahead { quiet: if in_memory { QUIET } else { 0 }, reads: crate::memory::reads_from_disk(), told: 0 }
    }

    /// A tile of `range` begins, and one of `size` pixels follows.
    fn begin(&mut self, job: &Job<'_>, range: &Range<usize>, size: usize) {
        let reads = crate::memory::reads_from_disk();
        self.quiet = if reads == self.reads { self.quiet.saturating_add(1) } else { 0 };
        self.reads = reads;
        if self.quiet < QUIET {
            let end = job.part.end.min(range.end + size);
            let next = self.told.max(range.start)..end;
            job.inputs.iter().for_each(|plane| plane.expect(next.clone()));
            self.told = end;
        }
    }
}

/// At most `limit` pixels: whole bands, or whole rows, or a piece of one.
fn whole(limit: usize, units: [usize; 2], pixels: usize) -> usize {
    let limit = limit.min(pixels).max(1);
    units.into_iter().find(|&unit| unit > 1 && limit >= unit).map_or(limit, |unit| limit / unit * unit)
}
