//! Sums that go on: of means, weighted means and sums, frame after frame, without the frames before.
//!
//! Of each pixel are kept the best level that a sample had, the sums over the samples of that level (in the order of the
//! frames, as the kernel of the stack adds them), how many they are, the OR of their masks, and the OR of all. A sample of a
//! better level begins anew; one of a worse level counts for nothing. What it comes to is, for means and sums, to the bit
//! what a stack of all frames at once comes to. The sums of a weighted mean are of x / w and 1 / w, where a stack has
//! weights by the least w of the pixel: the same to the last digit. Where a w is 0, only such samples are summed, as there.
//!
//! Sums of f32 samples are in f64, those of f64 samples in pairs with exact error terms.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use super::cpu::{accumulate, quotient};
use super::levels::UNUSABLE;
use super::{Affine, Combine, Levels, NO_DATA};
use crate::dtype::DType;
use crate::real::Real;
use crate::simd::{Loop, dispatch};

/// Level of a pixel that had no usable sample, as it is kept.
const NONE: u32 = 255;

/// The sums of some pixels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Running {
    /// Of values, or of values by variances.
    pub sum: [Vec<f64>; 2],
    /// Of variances, or of inverse ones.
    pub by: [Vec<f64>; 2],
    pub good: Vec<u32>,
    /// Samples without an error, of a weighted mean.
    pub certain: Vec<u32>,
    pub level: Vec<u32>,
    pub mask: Vec<u32>,
    pub all: Vec<u32>,
}

/// The samples of a frame, and what they are scaled by.
pub(crate) struct Frame<'a, T> {
    pub data: &'a [T],
    pub variance: &'a [T],
    /// Empty if the frame has none.
    pub mask: &'a [u32],
    pub affine: &'a Affine,
}

/// What the sums come to.
pub(crate) struct Total<'a, T> {
    pub data: &'a mut [T],
    pub variance: &'a mut [T],
    pub weight: &'a mut [T],
    pub mask: &'a mut [u32],
    pub good: &'a mut [u32],
}

impl Running {
    /// Of so many pixels, of no frame.
    pub(crate) fn new(pixels: usize) -> Self {
        let (reals, words) = (|| vec![0.0; pixels], || vec![0; pixels]);
        Running {
            sum: [reals(), reals()],
            by: [reals(), reals()],
            good: words(),
            certain: words(),
            level: vec![NONE; pixels],
            mask: words(),
            all: words(),
        }
    }

    /// Bytes of a pixel.
    pub(crate) const BYTES: usize = 4 * 8 + 5 * 4;

    /// In pieces of so many pixels.
    pub(crate) fn pieces(&mut self, pixels: usize) -> Vec<Piece<'_>> {
        let Running { sum, by, good, certain, level, mask, all } = self;
        let ([s, s_lo], [b, b_lo]) = (sum, by);
        let mut reals = [s, s_lo, b, b_lo].map(|v| v.chunks_mut(pixels));
        let mut words = [good, certain, level, mask, all].map(|v| v.chunks_mut(pixels));
        let mut pieces = Vec::new();
        while let (
            [Some(s), Some(s_lo), Some(b), Some(b_lo)],
            [Some(good), Some(certain), Some(level), Some(mask), Some(all)],
        ) = (reals.each_mut().map(Iterator::next), words.each_mut().map(Iterator::next))
        {
            pieces.push(Piece { sum: [s, s_lo], by: [b, b_lo], good, certain, level, mask, all });
        }
        pieces
    }
}

/// Some pixels of the sums.
pub(crate) struct Piece<'a> {
    sum: [&'a mut [f64]; 2],
    by: [&'a mut [f64]; 2],
    good: &'a mut [u32],
    certain: &'a mut [u32],
    level: &'a mut [u32],
    mask: &'a mut [u32],
    all: &'a mut [u32],
}

/// Adds a frame to a piece of as many pixels. Counts variances below zero.
struct Add<'a, 'b, T> {
    to: &'a mut Piece<'b>,
    frame: Frame<'a, T>,
    levels: &'a Levels,
    weighted: bool,
    negative: &'a mut u64,
}

impl Piece<'_> {
    /// Adds the samples of a frame, of as many pixels; returns how many variances were below zero.
    pub(crate) fn add<T: Real>(&mut self, frame: Frame<'_, T>, levels: &Levels, combine: Combine) -> u64 {
        let mut negative = 0;
        dispatch(Add { to: self, frame, levels, weighted: combine == Combine::WtMean, negative: &mut negative });
        negative
    }

    /// What the sums come to, by the table of the kernel of the stack.
    pub(crate) fn total<T: Real>(&self, combine: Combine, out: &mut Total<'_, T>) {
        for i in 0..self.good.len() {
            let n = self.good[i];
            let count = f64::from(n.max(1));
            let (sum, by) = ((self.sum[0][i], self.sum[1][i]), self.by[0][i] + self.by[1][i]);
            let mean = |n: f64, lost: f64| {
                let (mean, rest) = quotient(sum.0, sum.1, n);
                mean + (rest - mean * (lost / n))
            };
            let (value, variance, weight) = match combine {
                Combine::Sum => (sum.0 + sum.1, by, f64::from(n)),
                Combine::WtMean if self.certain[i] > 0 => (mean(f64::from(self.certain[i]), 0.0), 0.0, f64::INFINITY),
                Combine::WtMean if n > 0 => (mean(self.by[0][i], self.by[1][i]), 1.0 / by, by),
                _ => (mean(count, 0.0), by / (count * count), f64::from(n)),
            };
            out.data[i] = T::from_f64(if n > 0 { value } else { 0.0 });
            out.variance[i] = T::from_f64(if n > 0 { variance } else { 0.0 });
            out.mask[i] = if n > 0 { self.mask[i] } else { self.all[i] };
            out.good[i] = n;
            if let Some(to) = out.weight.get_mut(i) {
                *to = T::from_f64(weight);
            }
        }
    }
}

impl<T: Real> Loop for Add<'_, '_, T> {
    #[inline(always)]
    fn run(self) {
        let Add { to, frame: Frame { data, variance, mask, affine }, levels, weighted, negative } = self;
        let square = affine.scale * affine.scale;
        let zero = T::from_f32(0.0);
        let is_f32 = T::DTYPE == DType::F32;
        for i in 0..to.good.len().min(data.len()).min(variance.len()) {
            let (d, v) = (data[i], variance[i]);
            let bits = mask.get(i).copied().unwrap_or(0);
            let usable = d.is_finite() & v.is_finite();
            let mut level = 0;
            for forbidden in levels.forbidden {
                level += u32::from(bits & forbidden != 0);
            }
            let level = if usable { level } else { UNUSABLE };
            *negative += u64::from(v < zero);
            to.all[i] |= bits | if usable { 0 } else { NO_DATA };
            if level < to.level[i] {
                (to.sum[0][i], to.sum[1][i], to.by[0][i], to.by[1][i]) = (0.0, 0.0, 0.0, 0.0);
                (to.good[i], to.certain[i], to.mask[i], to.level[i]) = (0, 0, 0, level);
            }
            if level != to.level[i] || !usable {
                continue;
            }
            let (x, lost) = if affine.is_identity() {
                (d.to_f64(), 0.0)
            } else if is_f32 {
                (d.to_f64() * affine.scale + affine.zero, 0.0)
            } else {
                affine.apply(d)
            };
            let w = if v > zero { v.to_f64() * square } else { 0.0 };
            to.good[i] += 1;
            to.mask[i] |= bits;
            let (mut sum, mut by) = ((to.sum[0][i], to.sum[1][i]), (to.by[0][i], to.by[1][i]));
            if !weighted {
                accumulate::<T>(&mut sum.0, &mut sum.1, x);
                sum.1 += lost;
                accumulate::<T>(&mut by.0, &mut by.1, w);
            } else if w == 0.0 {
                if to.certain[i] == 0 {
                    (sum, by) = ((0.0, 0.0), (0.0, 0.0));
                }
                to.certain[i] += 1;
                accumulate::<T>(&mut sum.0, &mut sum.1, x);
                sum.1 += lost;
            } else if to.certain[i] == 0 {
                let (q, rest) = quotient(x, lost, w);
                accumulate::<T>(&mut sum.0, &mut sum.1, q);
                accumulate::<T>(&mut by.0, &mut by.1, 1.0 / w);
                if !is_f32 {
                    sum.1 += rest;
                    // What 1 / w lost.
                    by.1 += quotient(1.0, 0.0, w).1;
                }
            }
            (to.sum[0][i], to.sum[1][i]) = sum;
            (to.by[0][i], to.by[1][i]) = by;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(running: &mut Running, combine: Combine) -> (Vec<f64>, Vec<f64>, Vec<u32>, Vec<u32>) {
        let n = running.good.len();
        let (mut data, mut variance, mut weight) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        let (mut mask, mut good) = (vec![0; n], vec![0; n]);
        let [ref piece] = running.pieces(n)[..] else { panic!("one piece") };
        let out = &mut Total {
            data: &mut data,
            variance: &mut variance,
            weight: &mut weight,
            mask: &mut mask,
            good: &mut good,
        };
        piece.total::<f64>(combine, out);
        (data, variance, mask, good)
    }

    /// One pixel each: all good; a bad one first; a worse one last; none usable; one without an error.
    #[test]
    fn sums_go_on_by_the_levels() {
        for (combine, want) in [
            (Combine::Mean, ([2.0, 3.0, 1.0, 0.0, 2.0], [1.0, 2.0, 2.0, 0.0, 0.5])),
            (Combine::Sum, ([4.0, 3.0, 1.0, 0.0, 4.0], [4.0, 2.0, 2.0, 0.0, 2.0])),
            (Combine::WtMean, ([2.0, 3.0, 1.0, 0.0, 1.0], [1.0, 2.0, 2.0, 0.0, 0.0])),
        ] {
            let mut running = Running::new(5);
            let frames = [
                ([1.0, 1.0, 1.0, f64::NAN, 1.0], [2.0, 2.0, 2.0, 1.0, 0.0], [4, 1, 0, 32, 0]),
                ([3.0, 3.0, 3.0, 1.0, 3.0], [2.0, 2.0, 2.0, f64::NAN, 2.0], [0, 2, 8, 0, 0]),
            ];
            for (data, variance, mask) in &frames {
                let frame = Frame { data, variance, mask, affine: &Affine::IDENTITY };
                assert_eq!(running.pieces(5)[0].add(frame, &Levels::default(), combine), 0);
            }
            let (data, variance, mask, good) = total(&mut running, combine);
            assert_eq!((data.as_slice(), variance.as_slice()), (&want.0[..], &want.1[..]), "{combine:?}");
            assert_eq!((mask, good), (vec![4, 2, 0, 32 | 16, 0], vec![2, 1, 1, 0, 2]));
        }
    }
}
