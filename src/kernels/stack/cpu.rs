//! The CPU twin: blocks of pixels, one pixel a SIMD lane, the stack down.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use super::levels::UNUSABLE;
use super::{Affine, Levels, MAX_LEVELS, NO_DATA, Task};
use crate::dtype::DType;
use crate::real::Real;
use crate::simd::Loop;

/// Pixels that are worked on at once: their samples stay in the first-level cache between the passes over them.
pub(crate) const BLOCK: usize = 64;

/// Samples of N frames at the same pixels, frame after frame. Planes that no frame has are empty.
pub(crate) struct Cube<T> {
    pub frames: usize,
    /// Samples from one frame to the next: whole blocks.
    pub stride: usize,
    pub data: Vec<T>,
    pub variance: Vec<T>,
    pub mask: Vec<u32>,
}

impl<T: Real> Cube<T> {
    /// Room for `pixels` pixels.
    pub(crate) fn new(frames: usize, pixels: usize, variance: bool, mask: bool) -> Self {
        let stride = pixels.next_multiple_of(BLOCK);
        let n = frames * stride;
        let zero = T::from_f32(0.0);
        Cube {
            frames,
            stride,
            data: vec![zero; n],
            variance: vec![zero; if variance { n } else { 0 }],
            mask: vec![0; if mask { n } else { 0 }],
        }
    }
}

/// The block of a plane that starts at `at`.
#[inline(always)]
fn block<V: Copy>(plane: &[V], at: usize) -> &[V; BLOCK] {
    plane[at..].first_chunk().unwrap_or_else(|| unreachable!("a cube is of whole blocks"))
}

/// Levels of the samples of a block; reused between calls, so that nothing is allocated per tile.
#[derive(Default)]
pub(crate) struct Scratch<T> {
    level: Vec<[u32; BLOCK]>,
    keys: Vec<[T; BLOCK]>,
}

impl<T: Real> Loop for Task<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Task { cube, method: _, affine, levels, nonfinite, scratch, out } = self;
        let n = out.data.len();
        let (masked, propagate) = (!cube.mask.is_empty(), !cube.variance.is_empty());
        let graded = masked || nonfinite;
        scratch.level.resize(cube.frames, [0; BLOCK]);
        for start in (0..n).step_by(BLOCK) {
            let mut pixels = Pixels::default();
            if graded {
                pixels.grade(cube, start, levels, &mut scratch.level);
            }
            for (f, level) in scratch.level.iter().enumerate() {
                let at = f * cube.stride + start;
                let used = if graded { pixels.used(level) } else { [ALL; BLOCK] };
                pixels.add(block(&cube.data, at), &used, &affine[f]);
                pixels.count(&used, masked.then(|| block(&cube.mask, at)));
                if propagate {
                    pixels.propagate(block(&cube.variance, at), &used, affine[f].scale * affine[f].scale);
                }
            }
            pixels.mean();
            if !propagate {
                for (f, level) in scratch.level.iter().enumerate() {
                    let used = if graded { pixels.used(level) } else { [ALL; BLOCK] };
                    pixels.scatter(block(&cube.data, f * cube.stride + start), &used, &affine[f]);
                }
            }
            pixels.variance(propagate);
            let count = BLOCK.min(n - start);
            for i in 0..count {
                out.data[start + i] = T::from_f64(pixels.sum[i]);
                out.variance[start + i] = T::from_f64(pixels.sum2[i]);
                out.tally.negative += u64::from(pixels.negative[i]);
            }
            out.mask[start..start + count].copy_from_slice(&pixels.mask[..count]);
            out.good[start..start + count].copy_from_slice(&pixels.good[..count]);
        }
    }
}

/// Choices are words of all ones or all zeros: a conditional store would be a masked one, slow on many processors.
const ALL: u32 = u32::MAX;

#[inline(always)]
fn all_if(condition: bool) -> u32 {
    u32::from(condition).wrapping_neg()
}

/// `x` where `chosen` is all ones, 0 where it is 0.
#[inline(always)]
fn keep(x: f64, chosen: u32) -> f64 {
    f64::from_bits(x.to_bits() & i64::from(chosen as i32) as u64)
}

/// hi + x, and what it lost, added to lo.
#[inline(always)]
fn two_sum(hi: &mut f64, lo: &mut f64, x: f64) {
    let sum = *hi + x;
    let of_x = sum - *hi;
    *lo += (*hi - (sum - of_x)) + (x - of_x);
    *hi = sum;
}

/// What a * b = `p` lost. Overflows beyond 2^996.
#[inline(always)]
fn lost(a: f64, b: f64, p: f64) -> f64 {
    let upper = |x: f64| {
        let c = 134_217_729.0 * x;
        c - (c - x)
    };
    let (ah, bh) = (upper(a), upper(b));
    let (al, bl) = (a - ah, b - bh);
    ((ah * bh - p) + ah * bl + al * bh) + al * bl
}

impl Affine {
    /// s d + z, and what it lost if the samples are f64. From f32 the digits of f64 are more than enough.
    #[inline(always)]
    fn apply<T: Real>(&self, d: T) -> (f64, f64) {
        let (d, p) = (d.to_f64(), d.to_f64() * self.scale);
        if T::DTYPE == DType::F32 {
            return (p + self.zero, 0.0);
        }
        let (mut hi, mut lo) = (p, lost(d, self.scale, p));
        two_sum(&mut hi, &mut lo, self.zero);
        (hi, lo)
    }
}

/// The pixels of a block on their way from samples to results.
struct Pixels {
    /// Best level; [`NOTHING`] where no sample is usable.
    best: [u32; BLOCK],
    /// OR of all masks, with `no_data` for samples that are not finite.
    all: [u32; BLOCK],
    mask: [u32; BLOCK],
    good: [u32; BLOCK],
    negative: [u32; BLOCK],
    /// Sum of values, then the mean; `low` is what its rounding lost.
    sum: [f64; BLOCK],
    low: [f64; BLOCK],
    /// Sum of variances or squares, then the variance.
    sum2: [f64; BLOCK],
}

/// Equal to no sample's level.
const NOTHING: u32 = UNUSABLE - 1;

impl Default for Pixels {
    #[inline(always)]
    fn default() -> Self {
        let none = [0; BLOCK];
        Pixels {
            best: [NOTHING; BLOCK],
            all: none,
            mask: none,
            good: none,
            negative: none,
            sum: [0.0; BLOCK],
            low: [0.0; BLOCK],
            sum2: [0.0; BLOCK],
        }
    }
}

impl Pixels {
    /// Level of each sample, best level of each pixel.
    #[inline(always)]
    fn grade<T: Real>(&mut self, cube: &Cube<T>, start: usize, levels: &Levels, level: &mut [[u32; BLOCK]]) {
        // The default hierarchy has five levels besides the last.
        let short = levels.forbidden[5..] == [0; MAX_LEVELS - 5];
        for (f, level) in level.iter_mut().enumerate() {
            let at = f * cube.stride + start;
            let data = block(&cube.data, at);
            let variance = if cube.variance.is_empty() { data } else { block(&cube.variance, at) };
            let mask = if cube.mask.is_empty() { &[0; BLOCK] } else { block(&cube.mask, at) };
            if short {
                grade::<T, 5>(data, variance, mask, levels, level, &mut self.all);
            } else {
                grade::<T, MAX_LEVELS>(data, variance, mask, levels, level, &mut self.all);
            }
            for i in 0..BLOCK {
                self.best[i] = self.best[i].min(level[i]);
            }
        }
    }

    #[inline(always)]
    fn used(&self, level: &[u32; BLOCK]) -> [u32; BLOCK] {
        let mut used = [0; BLOCK];
        for i in 0..BLOCK {
            used[i] = all_if(level[i] == self.best[i]);
        }
        used
    }

    /// Adds the used samples of a frame.
    #[inline(always)]
    fn add<T: Real>(&mut self, data: &[T; BLOCK], used: &[u32; BLOCK], affine: &Affine) {
        let plain = *affine == Affine::IDENTITY;
        match (T::DTYPE, plain) {
            (DType::F32, true) => {
                for i in 0..BLOCK {
                    self.sum[i] += keep(data[i].to_f64(), used[i]);
                }
            }
            (DType::F32, false) => {
                for i in 0..BLOCK {
                    self.sum[i] += keep(affine.apply(data[i]).0, used[i]);
                }
            }
            _ => {
                for i in 0..BLOCK {
                    let (hi, lo) = if plain { (data[i].to_f64(), 0.0) } else { affine.apply(data[i]) };
                    two_sum(&mut self.sum[i], &mut self.low[i], keep(hi, used[i]));
                    self.low[i] += keep(lo, used[i]);
                }
            }
        }
    }

    /// Adds the squares of the used samples' differences from the mean.
    #[inline(always)]
    fn scatter<T: Real>(&mut self, data: &[T; BLOCK], used: &[u32; BLOCK], affine: &Affine) {
        for i in 0..BLOCK {
            let (hi, lo) = affine.apply(data[i]);
            let x = (hi - self.sum[i]) + (lo - self.low[i]);
            self.sum2[i] += keep(x * x, used[i]);
        }
    }

    #[inline(always)]
    fn count(&mut self, used: &[u32; BLOCK], mask: Option<&[u32; BLOCK]>) {
        for i in 0..BLOCK {
            self.good[i] += used[i] & 1;
        }
        if let Some(mask) = mask {
            for i in 0..BLOCK {
                self.mask[i] |= used[i] & mask[i];
            }
        }
    }

    /// Adds the variances of the used samples of a frame. One below zero counts as 0.
    #[inline(always)]
    fn propagate<T: Real>(&mut self, variance: &[T; BLOCK], used: &[u32; BLOCK], square: f64) {
        let zero = T::from_f32(0.0);
        for i in 0..BLOCK {
            let negative = all_if(variance[i] < zero);
            self.sum2[i] += keep(variance[i].to_f64() * square, used[i] & !negative);
            self.negative[i] += negative & 1;
        }
    }

    #[inline(always)]
    fn mean(&mut self) {
        for i in 0..BLOCK {
            // No usable sample: 0 / 1.
            let n = f64::from(self.good[i].max(1));
            let (sum, low) = (self.sum[i], self.low[i]);
            let mean = (sum + low) / n;
            let product = mean * n;
            self.sum[i] = mean;
            self.low[i] = (((sum - product) - lost(mean, n, product)) + low) / n;
            self.mask[i] |= self.all[i] & all_if(self.good[i] == 0);
        }
    }

    #[inline(always)]
    fn variance(&mut self, propagate: bool) {
        for i in 0..BLOCK {
            let n = f64::from(self.good[i]);
            let divisor = if propagate { n * n } else { n * (n - 1.0) };
            self.sum2[i] = if divisor > 0.0 { self.sum2[i] / divisor } else { 0.0 };
        }
    }
}

/// Level by mask: the number of levels, of the first `K`, that do not admit all bits; all ones where data or variance
/// are not finite.
#[inline(always)]
fn grade<T: Real, const K: usize>(
    data: &[T; BLOCK],
    variance: &[T; BLOCK],
    mask: &[u32; BLOCK],
    levels: &Levels,
    level: &mut [u32; BLOCK],
    all: &mut [u32; BLOCK],
) {
    for i in 0..BLOCK {
        let mut over = 0u32;
        for bits in &levels.forbidden[..K] {
            over = over.wrapping_sub(all_if(mask[i] & bits != 0));
        }
        let bad = all_if(!(data[i].is_finite() & variance[i].is_finite()));
        level[i] = over | bad;
        all[i] |= mask[i] | (bad & NO_DATA);
    }
}
