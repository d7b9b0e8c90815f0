//! Samples along axes on their way to one number a pixel: which pixel each belongs to, sums, medians.

use super::collapse::Statistic;
use crate::Result;
use crate::kernels::decode::reserve_with;
use crate::kernels::stack::{Levels, median_factor};

/// Which pixel of the result each sample belongs to.
pub(super) struct Places {
    shape: Vec<usize>,
    /// From place to place on each axis; 0 where it is collapsed.
    strides: Vec<usize>,
}

impl Places {
    pub(super) fn new(shape: &[usize], collapsed: &[bool]) -> Self {
        let mut strides = vec![0; shape.len()];
        let mut stride = 1;
        for i in (0..shape.len()).rev().filter(|&i| !collapsed[i]) {
            strides[i] = stride;
            stride *= shape[i];
        }
        Places { shape: shape.to_vec(), strides }
    }

    pub(super) fn of(&self, mut i: usize) -> usize {
        let mut at = 0;
        for (&n, &stride) in self.shape.iter().zip(&self.strides).rev() {
            at += i % n * stride;
            i /= n;
        }
        at
    }

    /// Calls `each` with the place of every sample of a range and its number in it.
    pub(super) fn walk(&self, range: std::ops::Range<usize>, mut each: impl FnMut(usize, usize)) {
        let (row, stride) = (self.shape.last().copied().unwrap_or(1), self.strides.last().copied().unwrap_or(0));
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min(at - at % row + row);
            let first = self.of(at);
            for k in 0..end - at {
                each(first + k * stride, at - range.start + k);
            }
            at = end;
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Sample {
    pub value: f64,
    pub variance: f64,
    pub mask: u32,
    pub level: u32,
}

/// What is known of each pixel of the result so far.
pub(super) struct Sums {
    pub level: Vec<u32>,
    count: Vec<u64>,
    /// Sum of the values, and what its rounding lost; or the value that was chosen.
    sum: Vec<f64>,
    low: Vec<f64>,
    variance: Vec<f64>,
    pub mask: Vec<u32>,
    /// Sum of squares of differences from the mean, once the mean is known.
    spread: Vec<f64>,
}

/// Of no sample yet.
const NOTHING: u32 = u32::MAX;

impl Sums {
    pub(super) fn new(pixels: usize) -> Result<Self> {
        let zeros = || reserve_with(&[pixels], 0.0);
        Ok(Sums {
            level: reserve_with(&[pixels], NOTHING)?,
            count: reserve_with(&[pixels], 0u64)?,
            sum: zeros()?,
            low: zeros()?,
            variance: zeros()?,
            mask: reserve_with(&[pixels], 0u32)?,
            spread: Vec::new(),
        })
    }

    /// Whether a sample counts; one of a better level begins anew.
    fn counts(&mut self, i: usize, x: &Sample) -> bool {
        if x.level < self.level[i] {
            self.level[i] = x.level;
            (self.count[i], self.sum[i], self.low[i], self.variance[i], self.mask[i]) = (0, 0.0, 0.0, 0.0, 0);
        }
        let counts = x.level == self.level[i];
        if counts {
            self.count[i] += 1;
            self.mask[i] |= x.mask;
        }
        counts
    }

    pub(super) fn add(&mut self, i: usize, x: Sample) {
        if self.counts(i, &x) {
            let (before, sum) = (self.sum[i], self.sum[i] + x.value);
            // Knuth's two-sum; what is not finite has lost nothing.
            let of_x = sum - before;
            let lost = (before - (sum - of_x)) + (x.value - of_x);
            self.low[i] += if sum.is_finite() { lost } else { 0.0 };
            self.sum[i] = sum;
            self.variance[i] += x.variance;
        }
    }

    pub(super) fn choose(&mut self, i: usize, x: Sample, better: impl Fn(f64, f64) -> bool) {
        if self.counts(i, &x) {
            let old = self.sum[i];
            let first = self.count[i] == 1;
            if first || x.value.is_nan() || (better(x.value, old) && !old.is_nan()) {
                (self.sum[i], self.variance[i]) = (x.value, x.variance);
            }
        }
    }

    fn mean(&self, i: usize) -> f64 {
        (self.sum[i] + self.low[i]) / self.count[i].max(1) as f64
    }

    /// The sums become means; variances are summed anew.
    pub(super) fn begin_spread(&mut self) {
        for i in 0..self.sum.len() {
            (self.sum[i], self.low[i], self.variance[i]) = (self.mean(i), 0.0, 0.0);
        }
        self.spread = vec![0.0; self.sum.len()];
    }

    pub(super) fn spread(&mut self, i: usize, x: Sample) {
        if x.level == self.level[i] {
            let apart = x.value - self.sum[i];
            self.spread[i] += apart * apart;
            self.variance[i] += apart * (apart * x.variance);
        }
    }

    pub(super) fn median(&mut self, i: usize, mut stack: Vec<Sample>) {
        let levels = Levels::default();
        for x in &mut stack {
            x.level = levels.level_of(x.mask);
            self.counts(i, x);
        }
        let best = self.level[i];
        stack.retain(|x| x.level == best);
        let n = stack.len();
        if n == 0 {
            return;
        }
        self.variance[i] = median_factor(n) * stack.iter().map(|x| x.variance).sum::<f64>() / (n * n) as f64;
        if let Some(nan) = stack.iter().find(|x| x.value.is_nan()) {
            self.sum[i] = nan.value;
            return;
        }
        let (below, &mut middle, _) = stack.select_nth_unstable_by(n / 2, |a, b| a.value.total_cmp(&b.value));
        let other = below.iter().map(|x| x.value).fold(f64::NEG_INFINITY, f64::max);
        self.sum[i] = if n % 2 == 1 { middle.value } else { middle.value / 2.0 + other / 2.0 };
    }

    /// Data and variance. `common` is what repeated operands add to the variance of the sum.
    pub(super) fn finish(&self, statistic: Statistic, common: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let one = |i: usize| {
            let (n, variance) = (self.count[i] as f64, self.variance[i] + common.get(i).copied().unwrap_or(0.0));
            match statistic {
                Statistic::Sum => (self.sum[i] + self.low[i], variance.max(0.0)),
                // Of no samples there is a sum, and nothing else.
                _ if n == 0.0 => (f64::NAN, f64::NAN),
                Statistic::Mean => (self.mean(i), variance.max(0.0) / (n * n)),
                Statistic::Min | Statistic::Max | Statistic::Median => (self.sum[i], variance),
                Statistic::Std => {
                    let spread = self.spread[i];
                    let variance = if spread > 0.0 { variance / (n * spread) } else { spread * 0.0 };
                    ((spread / n).sqrt(), variance)
                }
            }
        };
        (0..self.sum.len()).map(one).unzip()
    }
}
