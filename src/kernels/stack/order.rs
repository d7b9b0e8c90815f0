//! The samples of a block in order: a sorting network, whose comparisons do not depend on the samples, so that each is
//! one of minimum and maximum over all pixels of the block at once.

use super::clip::Range;
use super::cpu::{BLOCK, Row, Samples};
use super::network::{Round, rounds};
use crate::real::Real;

/// Rows of samples; in each column those that are used come first, from small to large.
pub(super) struct Order<T> {
    rows: Vec<Row<T>>,
}

impl<T> Default for Order<T> {
    fn default() -> Self {
        Order { rows: Vec::new() }
    }
}

impl<T: Real> Order<T> {
    /// Room for so many frames.
    pub(super) fn prepare(&mut self, frames: usize) {
        self.rows.resize(frames, [T::from_f32(0.0); BLOCK]);
    }

    pub(super) fn rows(&self) -> &[Row<T>] {
        &self.rows
    }

    /// Takes the used samples and puts them in order. Returns where they are.
    #[inline(always)]
    pub(super) fn fill(&mut self, samples: &Samples<'_, T>, used: &[Row<u32>]) -> Range {
        let top = T::from_f32(f32::INFINITY);
        let mut count = [0; BLOCK];
        for (f, row) in self.rows.iter_mut().enumerate() {
            let (key, used) = (samples.key(f), &used[f]);
            for i in 0..BLOCK {
                row[i] = if used[i] != 0 { key[i] } else { top };
                count[i] += used[i] & 1;
            }
        }
        let rows = &mut self.rows[..];
        for Round { p, r, d } in rounds(rows.len()) {
            for i in (0..rows.len() - d).filter(|i| i & p == r) {
                let (before, from) = rows.split_at_mut(i + d);
                compare(&mut before[i], &mut from[0]);
            }
        }
        Range { lo: [0; BLOCK], hi: count }
    }

    /// The k-th smallest of a pixel; any number if there is none.
    #[inline(always)]
    pub(super) fn at(&self, k: u32, pixel: usize) -> T {
        self.rows[(k as usize).min(self.rows.len() - 1)][pixel]
    }

    /// The smallest and the largest in the range; nothing lies between them if it is empty.
    #[inline(always)]
    pub(super) fn ends(&self, range: &Range) -> (Row<T>, Row<T>) {
        let mut ends = ([T::from_f32(f32::INFINITY); BLOCK], [T::from_f32(f32::NEG_INFINITY); BLOCK]);
        for i in 0..BLOCK {
            if range.hi[i] > range.lo[i] {
                ends.0[i] = self.at(range.lo[i], i);
                ends.1[i] = self.at(range.hi[i] - 1, i);
            }
        }
        ends
    }

    /// The median of the range, or the lower of the two middle samples.
    #[inline(always)]
    pub(super) fn middles(&self, range: &Range, lower: bool, to: &mut Row<f64>) {
        for (i, to) in to.iter_mut().enumerate() {
            let (hi, lo) = self.middle(range.lo[i], range.hi[i], lower, i);
            *to = hi + lo;
        }
    }

    /// The same of one pixel, and what its rounding lost.
    #[inline(always)]
    pub(super) fn middle(&self, lo: u32, hi: u32, lower: bool, pixel: usize) -> (f64, f64) {
        if hi <= lo {
            return (0.0, 0.0);
        }
        let n = hi - lo;
        let a = self.at(lo + (n - 1) / 2, pixel).to_f64();
        if lower || n % 2 == 1 {
            return (a, 0.0);
        }
        midpoint(a, self.at(lo + n / 2, pixel).to_f64())
    }
}

/// The mean of two samples, and what its rounding lost.
#[inline(always)]
pub(crate) fn midpoint(a: f64, b: f64) -> (f64, f64) {
    let (a, b) = (a / 2.0, b / 2.0);
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}

/// Pixels of a row that are compared at once: a few vectors.
const LANES: usize = 16;

/// The smaller to `a`, the larger to `b`. By values of a few lanes: where each is stored as it is chosen, LLVM makes masked
/// stores of it, which are slow on many processors.
#[inline(always)]
fn compare<T: Real>(a: &mut Row<T>, b: &mut Row<T>) {
    for (a, b) in a.as_chunks_mut::<LANES>().0.iter_mut().zip(b.as_chunks_mut::<LANES>().0) {
        let (x, y) = (*a, *b);
        let (mut small, mut large) = (x, y);
        for l in 0..LANES {
            small[l] = if x[l] < y[l] { x[l] } else { y[l] };
            large[l] = if x[l] < y[l] { y[l] } else { x[l] };
        }
        (*a, *b) = (small, large);
    }
}
