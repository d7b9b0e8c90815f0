//! Combination: rule 3 of the page.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use std::f32::consts::FRAC_PI_2;

use super::block::{Block, frame, gather, keep, middle};
use crate::kernels::stack::cpu::Row;
use crate::kernels::stack::{BLOCK, Combine, Errors};

/// What the pixels of a block come to.
pub(super) struct Results {
    pub value: Row<f32>,
    pub propagated: Row<f32>,
    pub scatter: Row<f32>,
    pub weight: Row<f32>,
    /// Scatter / propagated.
    pub ratio: Row<f32>,
}

/// f32 sums over frames begin with the first frame, not with 0: also of the zeros the sign is the reference's.
const NOTHING: f32 = -0.0;

impl Block {
    /// Combines the samples that are left. `plain`: without masks and without rejection. Pixels without samples are 0.
    #[inline(always)]
    pub(super) fn combine(&mut self, combine: Combine, errors: Errors, plain: bool) -> Results {
        let none = [0.0; BLOCK];
        let mut to = Results { value: none, propagated: none, scatter: none, weight: none, ratio: none };
        for i in 0..BLOCK {
            to.weight[i] = self.good[i] as f32;
        }
        match combine {
            Combine::WtMean if !self.w.is_empty() => self.weighted(errors, &mut to),
            Combine::Mean | Combine::WtMean => {
                self.mean(&mut to.value);
                if errors.propagates() {
                    self.mean_variance(1.0, &mut to.propagated);
                }
                if errors.scatters() {
                    self.scatter(1.0, &mut to);
                }
            }
            Combine::Median | Combine::LMedian => {
                if errors.propagates() {
                    self.mean_variance(FRAC_PI_2, &mut to.propagated);
                }
                self.medians_left(combine == Combine::LMedian, plain && errors.propagates(), &mut to);
                if errors.scatters() {
                    self.scatter(FRAC_PI_2, &mut to);
                }
            }
            _ => self.others(combine, errors, &mut to),
        }
        for i in 0..BLOCK {
            let known = self.good[i] > 1 && to.propagated[i] > 0.0;
            to.ratio[i] = if known { to.scatter[i] / to.propagated[i] } else { f32::NAN };
            if self.good[i] == 0 {
                (to.value[i], to.propagated[i], to.scatter[i], to.weight[i]) = (0.0, 0.0, 0.0, 0.0);
            }
        }
        to
    }

    /// f32 sums of what is left of `planes`.
    #[inline(always)]
    fn sum(&self, planes: &[Row<f32>]) -> Row<f32> {
        let mut sum = [NOTHING; BLOCK];
        for (plane, left) in planes.iter().zip(&self.left) {
            for i in 0..BLOCK {
                sum[i] += keep(plane[i], left[i]);
            }
        }
        sum
    }

    #[inline(always)]
    fn mean(&self, value: &mut Row<f32>) {
        let sum = self.sum(&self.x);
        for i in 0..BLOCK {
            value[i] = (f64::from(sum[i]) / f64::from(self.good[i])) as f32;
        }
    }

    /// `factor` (sum w / n) / n.
    #[inline(always)]
    fn mean_variance(&self, factor: f32, out: &mut Row<f32>) {
        let sum = self.sum(&self.w);
        for i in 0..BLOCK {
            let n = f64::from(self.good[i]);
            let mean = factor * (f64::from(sum[i]) / n) as f32;
            out[i] = (f64::from(mean) / n) as f32;
        }
    }

    /// `factor` sum (x - value)^2 / (n (n - 1)).
    #[inline(always)]
    fn scatter(&self, factor: f32, to: &mut Results) {
        let mut sum = [NOTHING; BLOCK];
        for (x, left) in self.x.iter().zip(&self.left) {
            for i in 0..BLOCK {
                let d = x[i] - to.value[i];
                sum[i] += keep(d * d, left[i]);
            }
        }
        for i in 0..BLOCK {
            let n = f64::from(self.good[i]);
            let one = (f64::from(sum[i]) / (n * (n - 1.0))) as f32;
            to.scatter[i] = if self.good[i] > 1 { factor * one } else { 0.0 };
        }
    }

    #[inline(always)]
    fn weighted(&self, errors: Errors, to: &mut Results) {
        let (mut sum, mut weights) = ([NOTHING; BLOCK], [NOTHING; BLOCK]);
        for ((x, w), left) in self.x.iter().zip(&self.w).zip(&self.left) {
            for i in 0..BLOCK {
                sum[i] += keep(x[i] / w[i], left[i]);
                weights[i] += keep(1.0 / w[i], left[i]);
            }
        }
        for i in 0..BLOCK {
            to.value[i] = sum[i] / weights[i];
            to.propagated[i] = 1.0 / weights[i];
            to.weight[i] = weights[i];
        }
        if errors.scatters() {
            let (mut squares, mut weights) = ([0.0; BLOCK], [0.0; BLOCK]);
            for ((x, w), left) in self.x.iter().zip(&self.w).zip(&self.left) {
                for i in 0..BLOCK {
                    let (d, weight) = (f64::from(x[i]) - f64::from(to.value[i]), 1.0 / f64::from(w[i]));
                    squares[i] += if left[i] != 0 { d * d * weight } else { 0.0 };
                    weights[i] += if left[i] != 0 { weight } else { 0.0 };
                }
            }
            for i in 0..BLOCK {
                let n = f64::from(self.good[i]);
                to.scatter[i] = if self.good[i] > 1 { (squares[i] / ((n - 1.0) * weights[i])) as f32 } else { 0.0 };
            }
        }
        for i in 0..BLOCK {
            for result in [&mut to.value[i], &mut to.scatter[i]] {
                if result.is_nan() && self.mask[i] != 0 {
                    *result = 0.0;
                }
            }
        }
    }

    /// `of_the_middle`: the variance is that of the middle sample where all of an odd number are left.
    #[inline(always)]
    fn medians_left(&mut self, lower: bool, of_the_middle: bool, to: &mut Results) {
        for i in 0..BLOCK {
            gather(&self.x, &self.left, i, &mut self.column);
            let n = self.column.len();
            if n == 0 {
                continue;
            }
            if lower {
                let (_, word, _) = self.column.select_nth_unstable((n - 1) / 2);
                to.value[i] = self.x[frame(*word)][i];
                continue;
            }
            let [a, b] = middle(&mut self.column);
            to.value[i] = (self.x[a][i] + self.x[b][i]) / 2.0;
            if of_the_middle && a == b && n == self.x.len() {
                (to.value[i], to.propagated[i]) = (self.x[a][i], self.w[a][i]);
            }
        }
    }

    /// Frame of the smallest sample that is left of pixel `i`, or of the largest; of equals the first.
    pub(super) fn extreme(&self, combine: Combine, i: usize) -> usize {
        let sign = if combine == Combine::Max { -1.0 } else { 1.0 };
        let frames = (0..self.x.len()).filter(|&f| self.left[f][i] != 0);
        frames.reduce(|best, f| if sign * self.x[f][i] < sign * self.x[best][i] { f } else { best }).unwrap_or(0)
    }

    /// What the reference has not: sums in f64.
    #[inline(always)]
    fn others(&self, combine: Combine, errors: Errors, to: &mut Results) {
        for i in 0..BLOCK {
            let n = f64::from(self.good[i]);
            let frames = || (0..self.x.len()).filter(|&f| self.left[f][i] != 0);
            let x = |f: usize| f64::from(self.x[f][i]);
            let w = |f: usize| if errors.propagates() { f64::from(self.w[f][i]) } else { 0.0 };
            let sum: f64 = frames().map(x).sum();
            let mean = sum / n;
            let squares: f64 = frames().map(|f| (x(f) - mean) * (x(f) - mean)).sum();
            let (value, propagated, scatter) = match combine {
                Combine::Min | Combine::Max => {
                    let f = self.extreme(combine, i);
                    (x(f), w(f), squares / (n - 1.0))
                }
                Combine::Std => {
                    let weighed: f64 = frames().map(|f| (x(f) - mean) * (x(f) - mean) * w(f)).sum();
                    let propagated = if squares > 0.0 { weighed / (n * squares) } else { 0.0 };
                    ((squares / n).sqrt(), propagated, squares / (2.0 * n * (n - 1.0)))
                }
                _ => (sum, frames().map(w).sum(), n * squares / (n - 1.0)),
            };
            (to.value[i], to.propagated[i]) = (value as f32, propagated as f32);
            to.scatter[i] = if self.good[i] > 1 { scatter as f32 } else { 0.0 };
        }
    }
}
