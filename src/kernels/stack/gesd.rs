//! Rule 3, gesd: which of the samples in order are left. They are a range: the sample farthest from the mean is the first or
//! the last of those that remain.
//!
//! What remains after each step is summed from the middle outwards, never by taking from sums, so that no outlier leaves its
//! rounding behind, however far off it was.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::clip::{Lanes, Range, all, only};
use super::cpu::BLOCK;
use super::left::Left;
use super::method::Reject;
use super::order::{Column, GROUP, Order, Ordered};
use crate::real::Real;

/// A quantile needs a degree of freedom.
const LEAST: usize = 3;

/// How many of `n` samples may be outliers: such a part, rounded down.
pub(crate) fn most_outliers(n: usize, part: f64) -> usize {
    let most = (n as f64 * part + 0.001) as usize;
    // The last step is of as many samples as a test needs.
    most.min((n + 1).saturating_sub(LEAST))
}

/// Critical values by the number of samples that remain, 0 to `frames`: beyond how many standard deviations the farthest of so
/// many normal samples is with this probability at most.
pub(crate) fn critical_values(frames: usize, significance: f64) -> Vec<f64> {
    let one = |m: usize| {
        let n = m as f64;
        let students = StudentsT::new(0.0, 1.0, n - 2.0).ok().filter(|_| m >= LEAST);
        let t = students.map_or(f64::INFINITY, |d| -d.inverse_cdf(significance / (2.0 * n)));
        // As t grows it comes near this.
        let most = (n - 1.0) / n.sqrt();
        if t.is_finite() { most * t / (n - 2.0 + t * t).sqrt() } else { f64::INFINITY }
    };
    (0..=frames).map(one).collect()
}

/// The test: how many may be out, and the critical values of a run.
#[derive(Clone, Copy)]
pub(super) struct Test<'a> {
    pub part: f64,
    pub critical: &'a [f64],
}

/// Sums of the samples on both sides of the middle, by how many are gone from the end of that side; reused between calls.
#[derive(Default)]
pub(super) struct Sides {
    low: Vec<Sums>,
    high: Vec<Sums>,
}

/// Of differences from a sample, and of their squares.
#[derive(Clone, Copy, Default)]
struct Sums {
    sum: Lanes,
    squares: Lanes,
}

impl Sides {
    /// Bytes for so many frames, where they are wanted.
    pub(super) fn bytes(frames: usize, reject: &Reject) -> usize {
        match reject {
            Reject::Gesd { outliers, .. } => 2 * (most_outliers(frames, *outliers) + 1) * size_of::<Sums>(),
            _ => 0,
        }
    }
}

/// Narrows the range of each pixel.
#[inline(always)]
pub(super) fn gesd<T: Real>(order: &Order<T>, test: Test<'_>, sides: &mut Sides, range: &mut Range) {
    for start in (0..BLOCK).step_by(GROUP) {
        narrow(order.column(start), test, sides, Left::of(range, start)).put(range, start);
    }
}

/// What is left of these places in order, which begin with 0; a sample that is equal to one that is left is left too.
#[inline(always)]
pub(super) fn narrow<K: Ordered>(column: Column<'_, K>, test: Test<'_>, sides: &mut Sides, whole: Left) -> Left {
    let (mut n, mut most, mut steps) = ([0usize; GROUP], [0usize; GROUP], 0);
    for i in 0..GROUP {
        n[i] = whole.hi[i] as usize;
        most[i] = most_outliers(n[i], test.part);
        steps = steps.max(most[i]);
    }
    let (pivot, _) = column.middles(&whole.lo, &whole.hi, true);
    let core = Sums::of_middle(column, &whole, &most, &pivot);
    sides.fill(column, &n, &most, &pivot, steps);
    let (mut below, mut above) = ([0usize; GROUP], [0usize; GROUP]);
    let (mut out_below, mut out_above) = ([0usize; GROUP], [0usize; GROUP]);
    for step in 0..steps {
        for i in 0..GROUP {
            let (low, high) = (&sides.low[below[i]], &sides.high[above[i]]);
            // In a column that is done places may be any.
            let remain = n[i].saturating_sub(step);
            let m = remain as f64;
            let sum = core.sum[i] + (low.sum[i] + high.sum[i]);
            let squares = core.squares[i] + (low.squares[i] + high.squares[i]);
            let end = n[i].saturating_sub(above[i] + 1);
            let [first, last] = [below[i], end].map(|k| column.at(k as u32, i).number() - pivot[i]);
            // m times the distances from the mean, and m times the sum of squares about it.
            let (under, over) = (sum - m * first, m * last - sum);
            let is_over = over > under;
            let far = if is_over { over } else { under };
            let about = m * squares - sum * sum;
            let critical = test.critical[remain.min(test.critical.len() - 1)];
            let goes = step < most[i];
            below[i] += usize::from(goes & !is_over);
            above[i] += usize::from(goes & is_over);
            // far / m > critical sqrt(about / (m (m - 1)))
            if goes & (far * far * (m - 1.0) > critical * critical * about * m) {
                (out_below[i], out_above[i]) = (below[i], above[i]);
            }
        }
    }
    let mut left = whole;
    for i in (0..GROUP).filter(|&i| out_below[i] + out_above[i] > 0) {
        let at = |k: usize| column.at(k as u32, i).number();
        let equal = |k: usize| at(k - 1) == at(k);
        let (mut lo, mut hi) = (out_below[i], n[i] - out_above[i]);
        while lo > 0 && equal(lo) {
            lo -= 1;
        }
        while hi < n[i] && equal(hi) {
            hi += 1;
        }
        (left.lo[i], left.hi[i]) = (lo as f64, hi as f64);
    }
    left
}

impl Sums {
    /// Of the samples that remain whatever goes.
    #[inline(always)]
    fn of_middle<K: Ordered>(column: Column<'_, K>, whole: &Left, most: &[usize; GROUP], pivot: &Lanes) -> Self {
        let mut sums = Sums::default();
        let mut most_of = [0f64; GROUP];
        for i in 0..GROUP {
            most_of[i] = most[i] as f64;
        }
        for k in whole.rows().some {
            let (row, place) = (column.row(k), k as f64);
            for i in 0..GROUP {
                let inside = all((place >= most_of[i]) & (place < whole.hi[i] - most_of[i]));
                sums.add(i, only(row[i].number() - pivot[i], inside));
            }
        }
        sums
    }

    #[inline(always)]
    fn add(&mut self, i: usize, d: f64) {
        self.sum[i] += d;
        self.squares[i] += d * d;
    }
}

impl Sides {
    /// From the middle outwards.
    #[inline(always)]
    fn fill<K: Ordered>(
        &mut self,
        column: Column<'_, K>,
        n: &[usize; GROUP],
        most: &[usize; GROUP],
        pivot: &Lanes,
        steps: usize,
    ) {
        for side in [&mut self.low, &mut self.high] {
            side.clear();
            side.resize(steps + 1, Sums::default());
        }
        for gone in (0..steps).rev() {
            let (mut low, mut high) = (self.low[gone + 1], self.high[gone + 1]);
            let row = column.row(gone);
            for i in 0..GROUP {
                let there = all(gone < most[i]);
                low.add(i, only(row[i].number() - pivot[i], there));
                let place = n[i].saturating_sub(gone + 1);
                high.add(i, only(column.at(place as u32, i).number() - pivot[i], there));
            }
            (self.low[gone], self.high[gone]) = (low, high);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number of samples, significance, critical value.
    const CRITICAL: [(usize, f64, f64); 27] = [
        (3, 0.05, 1.154_304_851_344_04),
        (3, 0.2, 1.148_374_968_011_7),
        (3, 0.001, 1.154_700_380_095_4),
        (4, 0.05, 1.481_25),
        (4, 0.2, 1.425),
        (4, 0.001, 1.499_625),
        (5, 0.05, 1.715_037_312_343_36),
        (5, 0.2, 1.601_634_858_518_07),
        (5, 0.001, 1.783_436_402_591_54),
        (11, 0.05, 2.354_730_051_565_54),
        (11, 0.2, 2.088_013_613_441_24),
        (11, 0.001, 2.750_249_984_046_89),
        (20, 0.05, 2.708_245_645_805_75),
        (20, 0.2, 2.385_274_684_469_79),
        (20, 0.001, 3.313_775_579_215_71),
        (54, 0.05, 3.158_793_940_887_51),
        (54, 0.2, 2.801_385_504_332_16),
        (54, 0.001, 3.946_893_679_890_56),
        (100, 0.05, 3.384_082_901_154_89),
        (100, 0.2, 3.023_885_257_627_21),
        (100, 0.001, 4.215_923_938_696_95),
        (1_000, 0.05, 4.039_978_163_761_51),
        (1_000, 0.2, 3.707_091_218_264_8),
        (1_000, 0.001, 4.863_667_511_924_95),
        (10_000, 0.05, 4.562_524_310_849_05),
        (10_000, 0.2, 4.263_058_261_898_58),
        (10_000, 0.001, 5.323_079_762_490_72),
    ];

    /// By scipy 1.17: (n - 1) t / sqrt(n (n - 2 + t^2)), t = stats.t.isf(significance / 2n, n - 2).
    #[test]
    fn critical_values_are_those_of_scipy() {
        for (n, significance, want) in CRITICAL {
            let got = critical_values(n, significance)[n];
            assert!((got / want - 1.0).abs() < 1e-9, "{n}, {significance}: {got}, by scipy {want}");
        }
        assert_eq!(critical_values(2, 0.05), [f64::INFINITY; 3]);
    }
}
