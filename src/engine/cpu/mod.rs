//! The CPU engine: pieces of a tile over threads, pixels over SIMD lanes.
//!
//! A piece is as many pixels as keep the decoded samples of all frames in a core's second-level cache. Bytes are
//! decoded straight from the mapping into that cache-sized cube, so each byte of the files is touched once.

mod bench;
mod grow;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bench::Bench;
use rayon::prelude::*;

use crate::arrays::{Room, WORDS};
use crate::dtype::PixelFormat;
use crate::kernels::Kernel;
use crate::kernels::decode::{self, Decode};
use crate::kernels::expr::{self, Expr, Sheet};
use crate::kernels::stack::{Affine, BLOCK, Cube, Out, Scratch, Stack, Tally, Task, counts, ordered, stream};
use crate::plane::Transform;
use crate::real::Real;
use crate::tiles::{BUFFERS, DATA, Job, LEAST_PIXELS, MASK, Stacking, Tile, VARIANCE, Work};
use crate::{Error, Result};

/// Threads of its own, so that several engines in one process do not disturb each other.
#[derive(Clone)]
pub struct CpuEngine {
    /// `None` for the threads that the process has anyway.
    pool: Option<Arc<rayon::ThreadPool>>,
}

impl CpuEngine {
    pub(crate) fn new(threads: usize) -> Result<Self> {
        Ok(CpuEngine { pool: Some(Arc::new(crate::engine::pool(threads)?)) })
    }

    /// On these threads.
    #[cfg(feature = "gpu")]
    pub(crate) fn of(pool: Arc<rayon::ThreadPool>) -> Self {
        CpuEngine { pool: Some(pool) }
    }

    /// On the threads that are there: costs nothing to make.
    pub(crate) fn shared() -> Self {
        CpuEngine { pool: None }
    }

    fn threads(&self) -> usize {
        self.pool.as_ref().map_or_else(rayon::current_num_threads, |p| p.current_num_threads())
    }

    pub(crate) fn install<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) => pool.install(f),
            None => f(),
        }
    }

    pub(crate) fn describe(&self) -> String {
        format!("{} threads, {}", self.threads(), instruction_set())
    }
}

/// The instruction set that kernels run with here.
fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl") {
            return "AVX-512";
        }
        if is_x86_feature_detected!("avx2") {
            return "AVX2";
        }
        "SSE2"
    }
    #[cfg(target_arch = "aarch64")]
    {
        "NEON"
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        "portable"
    }
}

/// Bytes of decoded samples that a piece may take: half of a small second-level cache.
const PIECE_BYTES: usize = 256 << 10;
/// A piece is no longer than this, whatever the number of frames; so long where samples are not kept.
const PIECE_PIXELS: usize = 4096;
/// A piece of counts is no shorter: of many frames so little is read of each that finding it costs more than reading it.
const LEAST_OF_COUNTS: usize = 256;
/// A tile is no longer than this, so that the writer has something to do early.
const TILE_PIXELS: usize = 128 << 10;
/// The same where rejections grow: what is around a tile is computed with it.
const TILE_PIXELS_GROWING: usize = 4 * TILE_PIXELS;
/// Where no tile is held, so many pixels come between two looks at what else is going on.
const PIXELS_IN_PLACE: usize = 1 << 20;
/// Runs of pixels that are held at once before they go where they belong.
#[cfg(feature = "gpu")]
const RUNS: usize = 4096;
/// Bytes of mapped pages that are let go at once.
const RELEASE_BYTES: usize = 256 << 20;
/// Bytes a pixel of the writer's own buffer.
const WRITER_BYTES: usize = 8;

/// What a thread works in.
enum Desk<T> {
    Stack {
        cube: Cube<T>,
        scratch: Box<Scratch<T>>,
        bench: Option<Box<Bench>>,
        sums: Box<stream::Sums>,
        room: Box<ordered::Room>,
    },
    Counts(Box<counts::Keys>, counts::Form),
    Expr(Sheet),
}

/// How samples come to their results.
enum Way {
    /// Decoded, and through the rules in their order.
    Rules,
    /// Summed as they are stored, for as long as most pixels allow it.
    Stream(stream::Form, AtomicBool),
    /// The same, and put in order.
    Ordered(stream::Form, AtomicBool),
    /// Stacked as the integers that they are stored as.
    Counts(counts::Form),
}

impl Way {
    fn of<T: Real>(job: &Job<'_>) -> Way {
        let Work::Stack(stack) = &job.work else { return Way::Rules };
        let counts = || Some(Way::Counts(counts_form::<T>(job, stack)?));
        let sums = stream::fits::<T>(stack.method).then_some(Way::Stream as fn(_, _) -> Way);
        let order = ordered::fits::<T>(stack.method).then_some(Way::Ordered as fn(_, _) -> Way);
        let stream = || Some(sums.or(order)?(stream_form(job, stack)?, AtomicBool::new(true)));
        counts().or_else(stream).unwrap_or(Way::Rules)
    }

    /// How frames are stored that are read as they are, while most pixels allow it, and the word on that.
    fn stream(&self) -> Option<(stream::Form, &AtomicBool)> {
        match self {
            Way::Stream(form, most) | Way::Ordered(form, most) => Some((*form, most)),
            Way::Rules | Way::Counts(_) => None,
        }
    }
}

/// A job on this engine.
pub(crate) struct Run<'a, T> {
    engine: &'a CpuEngine,
    job: &'a Job<'a>,
    piece: usize,
    /// Pixels of a cube: no more than a piece, and less where most pieces do not need one.
    cube: usize,
    way: Way,
    tile: usize,
    next: Range<usize>,
    desks: Mutex<Vec<Desk<T>>>,
    /// Words of pieces whose results stay in memory, before they are narrowed.
    words: Mutex<Vec<[Vec<u32>; WORDS]>>,
    /// Critical values of a rejection that tests, by number of samples.
    critical: Vec<f64>,
    /// Whether the masks of an expression are 16-bit words in memory.
    short: bool,
    /// Bytes of all desks.
    desk_bytes: u64,
    /// Stored numbers of the tile of those inputs that must be decoded first.
    staged: Vec<(usize, Vec<u8>)>,
    /// The pages of the pixels before this one were let go.
    released: usize,
    /// The rows before a tile and behind it from which rejections grow into it.
    around: [Tile<T>; 2],
}

impl<'a, T: Real + Default> Run<'a, T> {
    pub(crate) fn new(engine: &'a CpuEngine, job: &'a Job<'a>, memory: u64) -> Result<Self> {
        let threads = engine.threads();
        let reach = grow::reach(job);
        let around = (2 * reach * (job.outputs.reasons + size_of::<T>())) as u64;
        let whole = memory;
        let memory = memory.saturating_sub(around);
        let way = Way::of::<T>(job);
        // Decoded samples and masks, and what is computed from them.
        let (per_pixel, fixed, block) = match &job.work {
            Work::Stack(stack) if matches!(way, Way::Counts(_)) => {
                let bytes = |pixels| counts::Keys::bytes(stack.count(), pixels, &stack.method.reject);
                (bytes(1) - bytes(0), bytes(0), BLOCK)
            }
            Work::Stack(stack) => {
                let planes = 1 + usize::from(stack.variance);
                let frames = stack.count();
                let shares = stack.computed.map(|c| c.shares).unwrap_or_default();
                let mut cube = frames * (planes * size_of::<T>() + 4 * usize::from(stack.mask));
                cube += shares.planes() * size_of::<T>();
                let mut fixed = Scratch::<T>::bytes(frames, stack.method, shares.variables);
                let mut block = BLOCK;
                if let Some(computed) = &stack.computed {
                    let (pixel, registers) = Bench::bytes(computed.programs, job.inputs.len());
                    cube += pixel;
                    fixed += registers;
                    block = expr::LANES;
                }
                (cube, fixed, block)
            }
            Work::Expr(program) => (program.input_bytes(), program.register_bytes(), expr::LANES),
        };
        let per_pixel = per_pixel.max(1);
        let least = if matches!(way, Way::Counts(_)) { LEAST_OF_COUNTS } else { block };
        let piece = (PIECE_BYTES / per_pixel / block * block).clamp(least, PIECE_PIXELS);
        // Pixels that are read as they are stored at a time, and what that takes.
        let (stored, room) = match (&way, &job.work) {
            (Way::Stream(..), _) => (PIECE_PIXELS, stream::Sums::bytes(PIECE_PIXELS)),
            (Way::Ordered(..), Work::Stack(stack)) => {
                let frames = stack.count();
                let piece = (PIECE_BYTES / (4 * frames) / BLOCK * BLOCK).clamp(BLOCK, PIECE_PIXELS);
                (piece, stream::Sums::bytes(piece) + ordered::Room::bytes(frames, piece))
            }
            _ => (0, 0),
        };
        let fixed = fixed + room;
        let desks = |piece: usize| (threads * (piece * per_pixel + fixed)) as u64;
        let staged: Vec<(usize, Vec<u8>)> = job.staged().map(|(i, _)| (i, Vec::new())).collect();
        let staged_bytes = job.staged().map(|(_, p)| p.format().size()).sum::<usize>();
        let tile_bytes = (BUFFERS * Tile::<T>::bytes(job.outputs) + WRITER_BYTES + staged_bytes) as u64;
        let least = LEAST_PIXELS.min(job.pixels);
        // Half of it for the desks, unless the smallest tile needs more than the other half.
        let of_desks = (memory / 2).min(memory.saturating_sub(2 * tile_bytes * least as u64));
        let room = of_desks.saturating_sub((threads * fixed) as u64);
        let piece = piece.min((room / (threads * per_pixel) as u64) as usize / block * block);
        let left = memory.saturating_sub(desks(piece));
        let most = if reach > 0 { TILE_PIXELS_GROWING } else { TILE_PIXELS };
        let tile = (left / 2 / tile_bytes).min(most as u64) as usize;
        if piece == 0 || tile < least {
            let needed = (2 * desks(block)).max(desks(block) + 2 * tile_bytes * least as u64);
            return Err(Error::Budget { needed: needed + around, budget: whole });
        }
        let desk_bytes = desks(piece) + around;
        let (desks, words) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        let short = matches!(&job.work, Work::Expr(program)
            if program.masks.iter().all(|&mask| job.inputs[mask].values::<u16>(0..0).is_some()));
        let cube = piece;
        let piece = if stored > 0 { stored } else { piece };
        let critical = match &job.work {
            Work::Stack(stack) => stack.method.reject.critical(stack.count()),
            Work::Expr(_) => Vec::new(),
        };
        Ok(Run {
            engine,
            job,
            piece,
            cube,
            way,
            tile,
            next: 0..0,
            desks,
            words,
            critical,
            short,
            desk_bytes,
            staged,
            released: 0,
            around: Default::default(),
        })
    }

    /// Bytes of buffers besides tiles.
    pub(crate) fn host_bytes(&self) -> u64 {
        let staged = self.job.staged().map(|(_, p)| p.format().size()).sum::<usize>() + WRITER_BYTES;
        self.desk_bytes + (staged * self.tile.min(self.job.pixels)) as u64
    }

    pub(crate) fn tile_pixels(&self) -> usize {
        self.tile
    }

    pub(crate) fn submit(&mut self, range: Range<usize>) {
        self.next = range;
    }

    pub(crate) fn collect(&mut self, tile: &mut Tile<T>) -> Result<()> {
        if let Some(stack) = self.job.growing() {
            return self.collect_grown(stack, tile);
        }
        let range = self.next.clone();
        tile.prepare(range.clone(), self.job.outputs);
        self.stage(&range)?;
        tile.tally = self.compute(tile);
        self.release(&range);
        Ok(())
    }

    /// All pixels of a tile that was prepared.
    fn compute(&self, tile: &mut Tile<T>) -> Tally {
        let (piece, start) = (self.piece, tile.range.start);
        let outs: Vec<_> = pieces(tile, piece).into_iter().enumerate().collect();
        self.engine.install(|| {
            let one = |(i, mut planes): (usize, Pieces<'_, T>)| {
                let mut tally = Tally::default();
                self.piece(start + i * piece, planes.out(&mut tally), None, None);
                tally
            };
            outs.into_par_iter().map(one).sum()
        })
    }

    /// The same into memory that is there already.
    pub(crate) fn collect_in_place(&mut self, room: Room<'_, T>) -> Result<Tally> {
        let range = self.next.clone();
        self.stage(&range)?;
        let piece = self.piece;
        let rooms: Vec<_> = room.into_pieces(piece).into_iter().enumerate().collect();
        let this = &*self;
        let tally = this.engine.install(|| {
            let one = |(i, room): (usize, Room<'_, T>)| {
                let start = range.start + i * piece;
                let mut own = this.take_words();
                let mut tally = Tally::default();
                room.fill(&mut own, this.short, &mut tally, |out, short| this.piece(start, out, short, None));
                this.words.lock().unwrap_or_else(PoisonError::into_inner).push(own);
                tally
            };
            rooms.into_par_iter().map(one).sum()
        });
        self.release(&range);
        Ok(tally)
    }

    /// Pixels to be computed at once if no tile of them is held; with little memory as many as of one that is.
    pub(crate) fn pixels_in_place(&self) -> usize {
        if !self.staged.is_empty() || self.tile < TILE_PIXELS {
            return self.tile;
        }
        // What is in memory need not be told of ahead, nor let go.
        if self.job.inputs.iter().all(|p| p.section().is_none()) { 8 * PIXELS_IN_PLACE } else { PIXELS_IN_PLACE }
    }

    /// Reads what must be decoded first.
    fn stage(&mut self, range: &Range<usize>) -> Result<()> {
        let (inputs, staged) = (&self.job.inputs, &mut self.staged);
        if staged.is_empty() {
            return Ok(());
        }
        self.engine.install(|| {
            staged.par_iter_mut().try_for_each(|(i, bytes)| {
                let plane = inputs[*i];
                bytes.resize(range.len() * plane.format().size(), 0);
                plane.read(range.clone(), bytes)
            })
        })
    }

    /// Lets go of pages that were read. A stack larger than memory would otherwise fill it with pages that the system must
    /// take back one by one. Each call stops all threads for a moment, so there are few.
    fn release(&mut self, range: &Range<usize>) {
        let inputs = &self.job.inputs;
        let read = self.released..range.end;
        let bytes = inputs.iter().filter(|p| p.section().is_some()).map(|p| p.format().size()).sum::<usize>();
        if read.start <= range.start && read.len().saturating_mul(bytes) >= RELEASE_BYTES {
            self.engine.install(|| inputs.par_iter().for_each(|p| p.done_with(read.clone())));
            self.released = range.end;
        }
    }

    /// The pixels of these runs into their places of a tile, and no others. Runs of inputs that must be decoded first come
    /// one after the other.
    #[cfg(feature = "gpu")]
    pub(crate) fn some(&mut self, runs: &[Range<usize>], tile: &mut Tile<T>) -> Result<()> {
        if !self.staged.is_empty() {
            let (mut own, most) = (Tile::default(), self.tile);
            for run in runs {
                for at in run.clone().step_by(most) {
                    self.submit(at..run.end.min(at + most));
                    self.collect(&mut own)?;
                    tile.take(&own);
                }
            }
            return Ok(());
        }
        let this = &*self;
        let one = |run: &Range<usize>| {
            let mut own = Tile::default();
            own.prepare(run.clone(), this.job.outputs);
            let mut tally = Tally::default();
            for (i, mut planes) in pieces(&mut own, this.piece).into_iter().enumerate() {
                this.piece(run.start + i * this.piece, planes.out(&mut tally), None, None);
            }
            own.tally = tally;
            own
        };
        for some in runs.chunks(RUNS) {
            let done: Vec<Tile<T>> = this.engine.install(|| some.par_iter().with_min_len(64).map(one).collect());
            done.iter().for_each(|own| tile.take(own));
        }
        Ok(())
    }

    /// Calls `decode` with the stored bytes of pixels `range` of an input, and where they go.
    fn fill<V>(&self, input: usize, range: &Range<usize>, out: &mut [V], mut decode: impl FnMut(&[u8], &mut [V])) {
        let plane = self.job.inputs[input];
        if plane.is_plain() {
            return plane.fill(range.clone(), out, decode);
        }
        let size = plane.format().size();
        let tile = self.next.start;
        if let Ok(at) = self.staged.binary_search_by_key(&input, |s| s.0) {
            decode(&self.staged[at].1[(range.start - tile) * size..(range.end - tile) * size], out);
        }
    }

    /// The values of an input in a compute type.
    fn real<V: Real>(&self, input: usize, range: &Range<usize>, out: &mut [V]) {
        let plane = self.job.inputs[input];
        let format = plane.format();
        self.fill(input, range, out, |bytes, out| Decode::<V>::cpu((&format, bytes, out)));
        plane.transform().apply(out);
    }

    /// The values of several inputs: where they lie in memory, those; the others go into the room of their slot.
    fn reals<V: Real>(&self, inputs: &[usize], range: &Range<usize>, room: &mut [Vec<V>]) -> Vec<Option<&[V]>> {
        let one = |(&input, room): (&usize, &mut Vec<V>)| {
            let there = self.job.inputs[input].values::<V>(range.clone());
            if there.is_none() {
                self.real(input, range, &mut room[..range.len()]);
            }
            there
        };
        inputs.iter().zip(room).map(one).collect()
    }

    fn mask(&self, input: usize, range: &Range<usize>, out: &mut [u32]) {
        let format = self.job.inputs[input].format();
        self.fill(input, range, out, |bytes, out| decode::mask(&format, bytes, out));
    }

    /// The samples of all frames from their planes.
    fn decode(&self, stack: &Stacking<'_>, range: &Range<usize>, cube: &mut Cube<T>) {
        for (f, planes) in stack.frames.iter().enumerate() {
            let at = f * cube.stride..f * cube.stride + range.len();
            for (c, samples) in [(DATA, &mut cube.data), (VARIANCE, &mut cube.variance)] {
                if let Some(input) = planes[c] {
                    self.real(input, range, &mut samples[at.clone()]);
                }
            }
            match planes[MASK] {
                Some(input) => self.mask(input, range, &mut cube.mask[at]),
                None if stack.mask => cube.mask[at].fill(0),
                None => {}
            }
        }
    }

    /// Stored bytes of the planes of a frame, which [`form`] said can be had.
    fn bytes(&self, stack: &Stacking<'_>, frame: usize, range: &Range<usize>) -> stream::Bytes<'_> {
        let plane =
            |c: usize| stack.frames[frame][c].and_then(|i| self.job.inputs[i].slice(range.clone())).unwrap_or_default();
        stream::Bytes { data: plane(DATA), variance: plane(VARIANCE), mask: plane(MASK) }
    }

    /// The pixels from `start` on, as many as `out` holds; their mask goes to `short` where there is one. With reasons, nothing
    /// is rejected but what they say.
    fn piece(&self, start: usize, mut out: Out<'_, T>, short: Option<&mut [u16]>, reasons: Option<&[u8]>) {
        let range = start..start + out.data.len();
        let mut desk = self.take_desk();
        match (&self.job.work, &mut desk) {
            (Work::Stack(stack), Desk::Stack { cube, scratch, bench, sums, room }) => {
                let given = reasons.map(|_| grow::without_rejection(stack.method));
                let mut all_rules = |part: Range<usize>, out: Out<'_, T>| {
                    let range = start + part.start..start + part.end;
                    match (&stack.computed, &mut *bench) {
                        (Some(computed), Some(bench)) => {
                            out.tally.negative += bench.compute(self, computed.programs, stack, &range, cube);
                        }
                        _ => self.decode(stack, &range, cube),
                    }
                    if let Some(reasons) = reasons {
                        grow::take_out(&mut cube.data, cube.stride, part, stack.count(), reasons);
                    }
                    Stack::<T>::cpu(Task {
                        cube,
                        method: given.as_ref().unwrap_or(stack.method),
                        affine: stack.affine,
                        uneven: stack.uneven,
                        levels: &stack.levels,
                        critical: &self.critical,
                        nonfinite: stack.nonfinite || reasons.is_some(),
                        shares: stack.computed.map(|c| c.shares).unwrap_or_default(),
                        scratch,
                        out,
                    });
                };
                if let Some((form, most)) = self.way.stream()
                    && most.load(Ordering::Relaxed)
                {
                    let (method, affine, levels) = (stack.method, stack.affine, &stack.levels);
                    let frame: &dyn Fn(usize) -> _ = &|f| self.bytes(stack, f, &range);
                    if let Some(out) = out.narrow() {
                        let stream = stream::Stream { frame, form, method, affine, levels, sums, out };
                        if let Way::Ordered(..) = self.way {
                            ordered::ordered(ordered::Ordered { stream, room });
                        } else {
                            stream::stream(stream);
                        }
                    }
                    if (sums.rest.len() * BLOCK + sums.again) * 2 > range.len() {
                        most.store(false, Ordering::Relaxed);
                    }
                    for &at in &sums.rest {
                        let part = at..range.len().min(at + BLOCK);
                        all_rules(part.clone(), out.part(part));
                    }
                } else {
                    for at in (0..range.len()).step_by(self.cube) {
                        let part = at..range.len().min(at + self.cube);
                        all_rules(part.clone(), out.part(part));
                    }
                }
            }
            (Work::Stack(stack), Desk::Counts(keys, form)) => {
                let frame = |f: usize| stack.frames[f][DATA].and_then(|i| self.job.inputs[i].slice(range.clone()));
                let (form, method, critical, frames) = (*form, stack.method, &self.critical, stack.count());
                let frame: &dyn Fn(usize) -> _ = &|f| frame(f).unwrap_or_default();
                if let Some(out) = out.narrow() {
                    counts::counts(counts::Counts { frame, frames, form, method, critical, keys, out });
                }
            }
            (Work::Expr(program), Desk::Expr(sheet)) => {
                let lent = expr::Lent {
                    narrow: self.reals(&program.narrow, &range, &mut sheet.narrow),
                    wide: self.reals(&program.wide, &range, &mut sheet.wide),
                };
                let short = short.map(|out| {
                    let mask = |&input: &usize| self.job.inputs[input].values::<u16>(range.clone()).unwrap_or_default();
                    expr::Short { masks: program.masks.iter().map(mask).collect(), out }
                });
                if short.is_none() {
                    for (slot, &input) in program.masks.iter().enumerate() {
                        self.mask(input, &range, &mut sheet.masks[slot][..range.len()]);
                    }
                }
                Expr::<T>::cpu(expr::Task { program, sheet, lent, short, out, more: &mut [], stride: 0 });
            }
            // A desk is made for the work of its run.
            _ => unreachable!("a desk of other work"),
        }
        self.desks.lock().unwrap_or_else(PoisonError::into_inner).push(desk);
    }

    /// Room for the words of a piece that is free, or new.
    fn take_words(&self) -> [Vec<u32>; WORDS] {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// A desk that is free, or a new one: there are never more than threads.
    fn take_desk(&self) -> Desk<T> {
        let free = self.desks.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| match (&self.job.work, &self.way) {
            (Work::Stack(_), Way::Counts(form)) => Desk::Counts(Box::default(), *form),
            (Work::Stack(s), _) => {
                let planes = s.computed.map_or(0, |c| c.shares.planes());
                Desk::Stack {
                    cube: Cube::new(s.count(), self.cube, s.variance, s.mask, planes),
                    scratch: Box::default(),
                    bench: s.computed.map(|c| Box::new(Bench::new(c.programs, self.job.inputs.len(), self.cube))),
                    sums: Box::default(),
                    room: Box::default(),
                }
            }
            (Work::Expr(program), _) => Desk::Expr(Sheet::new(program, self.piece)),
        })
    }
}

/// How the planes of all frames are stored, if they can be summed as they are.
fn stream_form(job: &Job<'_>, stack: &Stacking<'_>) -> Option<stream::Form> {
    if !(stack.variance && stack.mask) || job.outputs.ratio {
        return None;
    }
    alike(stack, |planes| {
        let plane = |c: usize| stored(job, planes[c]);
        stream::Form::of(&plane(DATA)?, &plane(VARIANCE)?, &plane(MASK)?)
    })
}

/// How the data of all frames is stored, if they can be stacked as integers.
fn counts_form<T: Real>(job: &Job<'_>, stack: &Stacking<'_>) -> Option<counts::Form> {
    let plain = stack.affine.iter().all(Affine::is_identity);
    if !counts::fits::<T>(stack.method, stack.count()) || stack.variance || stack.mask || stack.nonfinite || !plain {
        return None;
    }
    alike(stack, |planes| counts::Form::of(&stored(job, planes[DATA])?))
}

/// How the numbers of a plane are stored that can be had as they are.
fn stored(job: &Job<'_>, input: Option<usize>) -> Option<PixelFormat> {
    let plane = job.inputs[input?];
    (plane.slice(0..0).is_some() && plane.transform() == Transform::None).then(|| plane.format())
}

/// What all frames are, if they are the same. Frames that are computed are nothing.
fn alike<F: PartialEq>(stack: &Stacking<'_>, of: impl Fn(&[Option<usize>; 3]) -> Option<F>) -> Option<F> {
    let first = of(stack.frames.first()?)?;
    stack.frames.iter().all(|planes| of(planes).as_ref() == Some(&first)).then_some(first)
}

/// A piece of all planes of a tile.
struct Pieces<'a, T> {
    /// Data, variance, scatter, ratio, weight, exposure.
    reals: [&'a mut [T]; 6],
    /// Mask, good, low, high, rejected.
    words: [&'a mut [u32]; 5],
    reasons: &'a mut [u8],
    counts: &'a mut [u32],
}

impl<T> Pieces<'_, T> {
    fn out<'b>(&'b mut self, tally: &'b mut Tally) -> Out<'b, T> {
        let [data, variance, scatter, ratio, weight, exposure] = &mut self.reals;
        let [mask, good, low, high, rejected] = &mut self.words;
        let (reasons, counts) = (&mut *self.reasons, &mut *self.counts);
        Out {
            data,
            variance,
            scatter,
            ratio,
            weight,
            exposure,
            mask,
            good,
            low,
            high,
            rejected,
            reasons,
            counts,
            tally,
        }
    }
}

/// A tile in pieces of so many pixels. Planes that do not come out are empty in each.
fn pieces<T: Real>(tile: &mut Tile<T>, piece: usize) -> Vec<Pieces<'_, T>> {
    let pixels = tile.data.len().max(1);
    let n = tile.data.len().div_ceil(piece);
    let none = || Pieces { reals: Default::default(), words: Default::default(), reasons: &mut [], counts: &mut [] };
    let mut pieces: Vec<Pieces<'_, T>> = std::iter::repeat_with(none).take(n).collect();
    let Tile {
        data, variance, scatter, ratio, weight, exposure, mask, good, low, high, rejected, reasons, counts, ..
    } = tile;
    for (i, plane) in [data, variance, scatter, ratio, weight, exposure].into_iter().enumerate() {
        pieces.iter_mut().zip(plane.chunks_mut(piece)).for_each(|(p, chunk)| p.reals[i] = chunk);
    }
    for (i, plane) in [mask, good, low, high, rejected].into_iter().enumerate() {
        pieces.iter_mut().zip(plane.chunks_mut(piece)).for_each(|(p, chunk)| p.words[i] = chunk);
    }
    let deep = |numbers: usize| piece * (numbers / pixels).max(1);
    let (of_reasons, of_counts) = (deep(reasons.len()), deep(counts.len()));
    let (reasons, counts) = (reasons.chunks_mut(of_reasons), counts.chunks_mut(of_counts));
    pieces.iter_mut().zip(reasons).for_each(|(p, chunk)| p.reasons = chunk);
    pieces.iter_mut().zip(counts).for_each(|(p, chunk)| p.counts = chunk);
    pieces
}
