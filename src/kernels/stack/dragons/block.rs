//! The samples of a block of pixels, frame after frame, and which of them are in.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use crate::kernels::stack::cpu::{ALL, Row, all_if, block};
use crate::kernels::stack::levels::UNUSABLE;
use crate::kernels::stack::{Affine, BLOCK, Cube, Levels, NO_DATA};
use crate::real::Real;

/// `x` where `chosen` is all ones, 0 where it is 0.
#[inline(always)]
pub(super) fn keep(x: f32, chosen: u32) -> f32 {
    f32::from_bits(x.to_bits() & chosen)
}

/// What a block is worked on in: made once for a thread.
pub(in crate::kernels::stack) struct Block {
    /// Samples after scale and zero, frame after frame.
    pub x: Vec<Row<f32>>,
    /// Their variances; empty where they are not read.
    pub w: Vec<Row<f32>>,
    /// Samples of the best level: all ones, or 0.
    pub used: Vec<Row<u32>>,
    /// Those of them that are not rejected.
    pub left: Vec<Row<u32>>,
    /// One pixel's samples as words that are in their order.
    pub column: Vec<u64>,
    /// Number of samples of the best level.
    pub usable: Row<u32>,
    /// Number of samples that are left.
    pub good: Row<u32>,
    /// Samples rejected below the centre, and above.
    pub low: Row<u32>,
    pub high: Row<u32>,
    pub rejected: Row<u32>,
    pub mask: Row<u32>,
    /// Variances below zero.
    pub negative: Row<u32>,
    level: Vec<Row<u32>>,
    /// OR of all masks, with `no_data` for samples that are not finite.
    all: Row<u32>,
}

#[inline(always)]
fn single<T: Real>(v: T) -> f32 {
    v.to_f64() as f32
}

impl Default for Block {
    fn default() -> Self {
        let none = [0; BLOCK];
        Block {
            x: Vec::new(),
            w: Vec::new(),
            used: Vec::new(),
            left: Vec::new(),
            column: Vec::new(),
            usable: none,
            good: none,
            low: none,
            high: none,
            rejected: none,
            mask: none,
            negative: none,
            level: Vec::new(),
            all: none,
        }
    }
}

impl Block {
    /// Room for the samples of such a cube.
    pub(super) fn prepare<T>(&mut self, cube: &Cube<T>) {
        let n = cube.frames;
        self.x.resize(n, [0.0; BLOCK]);
        self.w.resize(if cube.variance.is_empty() { 0 } else { n }, [0.0; BLOCK]);
        for words in [&mut self.used, &mut self.left, &mut self.level] {
            words.resize(n, [0; BLOCK]);
        }
        self.column.clear();
        self.column.reserve(n);
    }

    /// Bytes for so many frames.
    pub(in crate::kernels::stack) fn bytes(frames: usize) -> usize {
        frames * (BLOCK * 5 * 4 + 8)
    }

    /// Takes the samples from `start` on and chooses those of the best level, or all if there are no levels.
    #[inline(always)]
    pub(super) fn load<T: Real>(&mut self, cube: &Cube<T>, start: usize, affine: &[Affine], levels: Option<&Levels>) {
        self.low = [0; BLOCK];
        self.high = [0; BLOCK];
        self.negative = [0; BLOCK];
        for (f, affine) in affine.iter().enumerate() {
            let (scale, zero) = (affine.scale as f32, affine.zero as f32);
            let data = block(&cube.data, f * cube.stride + start);
            for i in 0..BLOCK {
                self.x[f][i] = single(data[i]) * scale + zero;
            }
            if let Some(w) = self.w.get_mut(f) {
                let variance = block(&cube.variance, f * cube.stride + start);
                for i in 0..BLOCK {
                    let v = single(variance[i]);
                    let negative = all_if(v < 0.0);
                    self.negative[i] += negative & 1;
                    w[i] = keep(v, !negative) * scale * scale;
                }
            }
        }
        match levels {
            Some(levels) => self.grade(cube, start, levels),
            None => self.used.fill([ALL; BLOCK]),
        }
        self.usable = [0; BLOCK];
        for (left, used) in self.left.iter_mut().zip(&self.used) {
            for i in 0..BLOCK {
                self.usable[i] += used[i] & 1;
            }
            *left = *used;
        }
        self.good = self.usable;
    }

    /// Chooses the samples of the best level.
    #[inline(always)]
    fn grade<T: Real>(&mut self, cube: &Cube<T>, start: usize, levels: &Levels) {
        let mut best = [UNUSABLE; BLOCK];
        self.all = [0; BLOCK];
        for (f, level) in self.level.iter_mut().enumerate() {
            let at = f * cube.stride + start;
            let data = block(&cube.data, at);
            let variance = if cube.variance.is_empty() { data } else { block(&cube.variance, at) };
            let mask = if cube.mask.is_empty() { &[0; BLOCK] } else { block(&cube.mask, at) };
            for i in 0..BLOCK {
                let mut over = 0u32;
                for bits in levels.forbidden() {
                    over = over.wrapping_sub(all_if(mask[i] & bits != 0));
                }
                // What is too large for f32 is as little a number as an infinity.
                let bad = all_if(!(single(data[i]).is_finite() & single(variance[i]).is_finite()));
                level[i] = over | bad;
                self.all[i] |= mask[i] | (bad & NO_DATA);
                best[i] = best[i].min(level[i]);
            }
        }
        for (used, level) in self.used.iter_mut().zip(&self.level) {
            for i in 0..BLOCK {
                used[i] = all_if((level[i] == best[i]) & (best[i] != UNUSABLE));
            }
        }
    }

    /// Undoes the rejection where nothing is left; then counts, and makes the mask.
    #[inline(always)]
    pub(super) fn settle<T>(&mut self, cube: &Cube<T>, start: usize) {
        let mut undone = [0; BLOCK];
        for i in 0..BLOCK {
            undone[i] = all_if(self.good[i] == 0);
            self.low[i] &= !undone[i];
            self.high[i] &= !undone[i];
            self.good[i] |= self.usable[i] & undone[i];
            self.rejected[i] = (self.x.len() as u32 - self.good[i]) & !undone[i];
            self.mask[i] = if self.good[i] == 0 { self.all[i] } else { 0 };
        }
        for (f, left) in self.left.iter_mut().enumerate() {
            for i in 0..BLOCK {
                left[i] |= self.used[f][i] & undone[i];
            }
            if !cube.mask.is_empty() {
                let mask = block(&cube.mask, f * cube.stride + start);
                for i in 0..BLOCK {
                    self.mask[i] |= mask[i] & left[i];
                }
            }
        }
    }
}

/// Puts pixel `i`'s chosen samples into `column`, as words whose order is that of the samples, and of their frames where
/// they are equal.
#[inline(always)]
pub(super) fn gather(x: &[Row<f32>], chosen: &[Row<u32>], i: usize, column: &mut Vec<u64>) {
    column.clear();
    for (f, (x, chosen)) in x.iter().zip(chosen).enumerate() {
        if chosen[i] != 0 {
            // The two zeros are equal. Negative numbers run backwards.
            let bits = (x[i] + 0.0).to_bits();
            let place = bits ^ (((bits as i32) >> 31) as u32 | 0x8000_0000);
            column.push(u64::from(place) << 32 | f as u64);
        }
    }
}

/// Frame of a word of [`gather`].
#[inline(always)]
pub(super) fn frame(word: u64) -> usize {
    word as u32 as usize
}

/// Frames of both middle samples, the lower first; twice the same where there is one. There must be a sample.
#[inline(always)]
pub(super) fn middle(column: &mut [u64]) -> [usize; 2] {
    let (odd, half) = (column.len() % 2 == 1, column.len() / 2);
    let (below, &mut upper, _) = column.select_nth_unstable(half);
    let lower = below.iter().copied().max().filter(|_| !odd).unwrap_or(upper);
    [frame(lower), frame(upper)]
}
