//! The CPU engine: pieces of a tile over threads, pixels over SIMD lanes.
//!
//! A piece is as many pixels as keep the decoded samples of all frames in a core's second-level cache. Bytes are
//! decoded straight from the mapping into that cache-sized cube, so each byte of the files is touched once.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use crate::kernels::Kernel;
use crate::kernels::decode::{self, Decode};
use crate::kernels::stack::{BLOCK, Cube, Out, Scratch, Stack, Task};
use crate::real::Real;
use crate::tiles::{BUFFERS, DATA, Job, LEAST_PIXELS, MASK, Tile, VARIANCE};
use crate::{Error, Result};

/// Threads of its own, so that several engines in one process do not disturb each other.
#[derive(Clone)]
pub struct CpuEngine {
    pool: Arc<rayon::ThreadPool>,
}

impl CpuEngine {
    pub(crate) fn new(threads: usize) -> Result<Self> {
        Ok(CpuEngine { pool: Arc::new(super::pool(threads)?) })
    }

    pub(crate) fn describe(&self) -> String {
        format!("{} threads, {}", self.pool.current_num_threads(), instruction_set())
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
/// A piece is no longer than this, whatever the number of frames.
const PIECE_PIXELS: usize = 4096;
/// A tile is no longer than this, so that the writer has something to do early.
const TILE_PIXELS: usize = 512 << 10;
/// Bytes a pixel of the writer's own buffer.
const WRITER_BYTES: usize = 8;

/// What a thread works in.
struct Desk<T> {
    cube: Cube<T>,
    scratch: Scratch,
}

/// A job on this engine.
pub(crate) struct Run<'a, T> {
    engine: &'a CpuEngine,
    job: &'a Job<'a>,
    piece: usize,
    tile: usize,
    next: Range<usize>,
    desks: Mutex<Vec<Desk<T>>>,
    /// Stored numbers of the tile of those planes that must be decoded first: frame, plane, bytes.
    staged: Vec<(usize, usize, Vec<u8>)>,
}

impl<'a, T: Real + Default> Run<'a, T> {
    pub(crate) fn new(engine: &'a CpuEngine, job: &'a Job<'a>, memory: u64) -> Result<Self> {
        let threads = engine.pool.current_num_threads();
        let planes = 1 + usize::from(job.variance);
        // Decoded samples and masks.
        let per_pixel = job.frames.len() * (planes * size_of::<T>() + 4 * usize::from(job.mask));
        let piece = (PIECE_BYTES / per_pixel / BLOCK * BLOCK).clamp(BLOCK, PIECE_PIXELS);
        let desks = |piece: usize| (threads * piece * per_pixel) as u64;
        let piece = piece.min((memory / 2 / desks(1)) as usize / BLOCK * BLOCK);
        let left = memory.saturating_sub(desks(piece));
        let staged: Vec<(usize, usize, Vec<u8>)> = job.staged().map(|(f, c, _)| (f, c, Vec::new())).collect();
        let staged_bytes = job.staged().map(|(_, _, p)| p.format().size()).sum::<usize>();
        let tile_bytes = (BUFFERS * Tile::<T>::BYTES + WRITER_BYTES + staged_bytes) as u64;
        let tile = (left / 2 / tile_bytes).min(TILE_PIXELS as u64) as usize;
        let least = LEAST_PIXELS.min(job.pixels);
        if piece == 0 || tile < least {
            let needed = (2 * desks(BLOCK)).max(desks(BLOCK) + 2 * tile_bytes * least as u64);
            return Err(Error::Budget { needed, budget: memory });
        }
        let desks = Mutex::new(Vec::new());
        Ok(Run { engine, job, piece, tile, next: 0..0, desks, staged })
    }

    pub(crate) fn tile_pixels(&self) -> usize {
        self.tile
    }

    pub(crate) fn submit(&mut self, range: Range<usize>) {
        self.next = range;
    }

    pub(crate) fn collect(&mut self, tile: &mut Tile<T>) -> Result<()> {
        let range = self.next.clone();
        tile.prepare(range.clone());
        let job = self.job;
        let staged = &mut self.staged;
        self.engine.pool.install(|| {
            staged.par_iter_mut().try_for_each(|(f, c, bytes)| {
                let Some(plane) = job.planes(*f)[*c] else { return Ok(()) };
                bytes.resize(range.len() * plane.format().size(), 0);
                plane.read(range.clone(), bytes)
            })
        })?;
        let piece = self.piece;
        let this = &*self;
        tile.negative = this.engine.pool.install(|| {
            tile.data
                .par_chunks_mut(piece)
                .zip(tile.variance.par_chunks_mut(piece))
                .zip(tile.mask.par_chunks_mut(piece))
                .zip(tile.good.par_chunks_mut(piece))
                .enumerate()
                .map(|(i, (((data, variance), mask), good))| {
                    let start = range.start + i * piece;
                    let mut negative = 0;
                    let out = Out { data, variance, mask, good, negative: &mut negative };
                    this.piece(start, out);
                    negative
                })
                .sum()
        });
        // A stack larger than memory would otherwise fill it with pages that the system must take back one by one.
        this.engine.pool.install(|| {
            let planes =
                (0..this.job.frames.len()).into_par_iter().flat_map_iter(|f| this.job.planes(f)).flatten_iter();
            planes.for_each(|p| p.done_with(range.clone()));
        });
        Ok(())
    }

    /// Calls `decode` with the stored bytes of pixels `range` of plane `c` of frame `f`, and where they go.
    fn fill<V>(
        &self,
        f: usize,
        c: usize,
        range: &Range<usize>,
        out: &mut [V],
        mut decode: impl FnMut(&[u8], &mut [V]),
    ) {
        let Some(plane) = self.job.planes(f)[c] else { return };
        if plane.is_plain() {
            return plane.fill(range.clone(), out, decode);
        }
        let size = plane.format().size();
        let tile = self.next.start;
        let at = self.staged.binary_search_by_key(&(f, c), |s| (s.0, s.1));
        if let Ok(at) = at {
            decode(&self.staged[at].2[(range.start - tile) * size..(range.end - tile) * size], out);
        }
    }

    /// The pixels from `start` on, as many as `out` holds.
    fn piece(&self, start: usize, out: Out<'_, T>) {
        let job = self.job;
        let range = start..start + out.data.len();
        let mut desk = self.take_desk();
        let cube = &mut desk.cube;
        for f in 0..job.frames.len() {
            let at = f * cube.stride..f * cube.stride + range.len();
            let planes = job.planes(f);
            for (c, samples) in [(DATA, &mut cube.data), (VARIANCE, &mut cube.variance)] {
                if let Some(plane) = planes[c] {
                    let format = plane.format();
                    let out = &mut samples[at.clone()];
                    self.fill(f, c, &range, out, |bytes, out| Decode::<T>::cpu((&format, bytes, out)));
                    plane.transform().apply(out);
                }
            }
            if let Some(m) = planes[MASK] {
                let format = m.format();
                self.fill(f, MASK, &range, &mut cube.mask[at], |bytes, out| decode::mask(&format, bytes, out));
            } else if job.mask {
                cube.mask[at].fill(0);
            }
        }
        Stack::<T>::cpu(Task {
            cube: &desk.cube,
            affine: job.affine,
            levels: &job.levels,
            nonfinite: job.nonfinite,
            scratch: &mut desk.scratch,
            out,
        });
        self.desks.lock().unwrap_or_else(PoisonError::into_inner).push(desk);
    }

    /// A desk that is free, or a new one: there are never more than threads.
    fn take_desk(&self) -> Desk<T> {
        let free = self.desks.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| Desk {
            cube: Cube::new(self.job.frames.len(), self.piece, self.job.variance, self.job.mask),
            scratch: Scratch::default(),
        })
    }
}
