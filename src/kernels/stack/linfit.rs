//! Rule 3, linfit: which of the samples in order are left. What is out need not be first or last, so those that stay close up,
//! and a place in order is a rank again: the least squares are of the numbers 0, 1, 2, ...
//!
//! Which frames the samples in order came from is not kept. Mostly what is out lies beyond all that is left, and a comparison
//! with the ends tells; where it does not, the samples of that pixel are looked up among those that are left.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use super::clip::{Lanes, Range, all, choose, only};
use super::cpu::{BLOCK, Row, Samples, keep_between};
use super::left::{Differences, Left, Rows};
use super::method::Clip;
use super::order::{Column, GROUP, Order, Ordered};
use crate::real::Real;

/// Fewer samples lie on a line whatever they are.
pub(crate) const LEAST_OF_LINE: u32 = 3;

/// `left` become the words `used` of what is left; `range` says where it is in order. Returns how many are out below the line
/// and above it.
#[inline(always)]
pub(super) fn linfit<T: Real>(
    samples: &Samples<'_, T>,
    order: &mut Order<T>,
    clip: &Clip,
    differences: &mut Differences,
    range: &mut Range,
    (used, left): (&[Row<u32>], &mut [Row<u32>]),
) -> (Row<u32>, Row<u32>) {
    let (mut low, mut high) = ([0u32; BLOCK], [0u32; BLOCK]);
    for start in (0..BLOCK).step_by(GROUP) {
        let whole = Left::of(range, start);
        let (pivot, _) = order.column(start).middles(&whole.lo, &whole.hi, true);
        for _ in 0..clip.passes() {
            let left = Left::of(range, start);
            let column = order.column(start);
            let far = differences.rows(column.len());
            let line = Line::of(column, &left, clip, pivot, far);
            let beyond = line.beyond();
            if beyond == 0 {
                break;
            }
            let (below, above) = line.out(&left, far);
            for i in (0..GROUP).filter(|i| beyond >> i & 1 == 1) {
                let at = start + i;
                let stays = |place: u32, y: f64| {
                    let far = line.apart(i, f64::from(place), y);
                    !((-far > line.below[i]) | (far > line.above[i]))
                };
                (low[at], high[at]) = (low[at] + below[i] as u32, high[at] + above[i] as u32);
                // Mostly what is out is at the ends.
                let mut places = range.lo[at]..range.hi[at];
                let want = places.len() as u32 - (below[i] + above[i]) as u32;
                while places.len() as u32 > want && !stays(places.start, order.at(places.start, at).number()) {
                    places.start += 1;
                }
                while places.len() as u32 > want && !stays(places.end - 1, order.at(places.end - 1, at).number()) {
                    places.end -= 1;
                }
                if places.len() as u32 > want {
                    places.end = order.sift(at, places.clone(), stays);
                }
                (range.lo[at], range.hi[at]) = (places.start, places.end);
                if places.is_empty() {
                    // Everything is out, so nothing is, and that is the end of it.
                    (low[at], high[at]) = (0, 0);
                }
            }
        }
        for at in start..start + GROUP {
            if range.lo[at] >= range.hi[at] {
                (range.lo[at], range.hi[at]) = order.again(samples, used, at);
            }
        }
    }
    keep_between(samples, order, range, used, left);
    let mut kept = [0u32; BLOCK];
    for left in left.iter() {
        for i in 0..BLOCK {
            kept[i] += left[i] & 1;
        }
    }
    for at in 0..BLOCK {
        if kept[at] != range.hi[at] - range.lo[at] {
            order.look_up(samples, range.lo[at]..range.hi[at], used, left, at);
        }
    }
    (low, high)
}

/// The line through the samples of a group over their places, and how far from it they may be.
struct Line {
    /// Differences are from this sample.
    pivot: Lanes,
    /// The mean of the differences, and of the places.
    mean: Lanes,
    middle: Lanes,
    slope: Lanes,
    below: Lanes,
    above: Lanes,
    /// How far the farthest are below it and above it.
    least: Lanes,
    most: Lanes,
}

impl Line {
    /// `far` becomes how far the samples that are left are from it, 0 for the others of the rows.
    #[inline(always)]
    fn of<K: Ordered>(column: Column<'_, K>, left: &Left, clip: &Clip, pivot: Lanes, far: &mut [Lanes]) -> Self {
        let (n, mut middle) = (left.count(), [0f64; GROUP]);
        for i in 0..GROUP {
            middle[i] = 0.5 * (left.lo[i] + left.hi[i] - 1.0);
        }
        let rows = left.rows();
        let (mut sum, mut product) = ([0f64; GROUP], [0f64; GROUP]);
        for k in rows.some.clone() {
            let (row, place) = (column.row(k), k as f64);
            let whole = rows.every.contains(&k);
            let mut of_row = [0f64; GROUP];
            for i in 0..GROUP {
                let d = only(row[i].number() - pivot[i], left.inside(whole, place, i));
                sum[i] += d;
                product[i] += d * (place - middle[i]);
                of_row[i] = d;
            }
            far[k] = of_row;
        }
        let (mut mean, mut slope) = ([0f64; GROUP], [0f64; GROUP]);
        for i in 0..GROUP {
            // Of nothing, and of one, it is 0.
            mean[i] = sum[i] / choose(all(n[i] > 1.0), n[i], 1.0);
            let squares = n[i] * (n[i] * n[i] - 1.0) / 12.0;
            slope[i] = product[i] / choose(all(squares > 0.0), squares, 1.0);
        }
        let zero = [0f64; GROUP];
        let line = Line { pivot, mean, middle, slope, below: zero, above: zero, least: zero, most: zero };
        line.spread(left, &rows, &n, clip, far)
    }

    /// With the mean absolute deviation from it, and the limits.
    #[inline(always)]
    fn spread(mut self, left: &Left, rows: &Rows, n: &Lanes, clip: &Clip, differences: &mut [Lanes]) -> Self {
        let (mut sum, mut least, mut most) = ([0f64; GROUP], [0f64; GROUP], [0f64; GROUP]);
        for k in rows.some.clone() {
            let (mut row, place) = (differences[k], k as f64);
            let whole = rows.every.contains(&k);
            for i in 0..GROUP {
                let far = only(self.off(i, place, row[i]), left.inside(whole, place, i));
                sum[i] += far.abs();
                least[i] = choose(all(far < least[i]), far, least[i]);
                most[i] = choose(all(far > most[i]), far, most[i]);
                row[i] = far;
            }
            differences[k] = row;
        }
        for i in 0..GROUP {
            let sigma = sum[i] / n[i];
            let few = all(n[i] < f64::from(LEAST_OF_LINE));
            self.below[i] = choose(few, f64::INFINITY, clip.lsigma * sigma);
            self.above[i] = choose(few, f64::INFINITY, clip.hsigma * sigma);
        }
        (self.least, self.most) = (least, most);
        self
    }

    /// How many samples of each pixel are too far below the line, and too far above it.
    #[inline(always)]
    fn out(&self, left: &Left, far: &[Lanes]) -> (Lanes, Lanes) {
        let (mut below, mut above) = ([0f64; GROUP], [0f64; GROUP]);
        for row in &far[left.rows().some] {
            for i in 0..GROUP {
                below[i] += choose(all(-row[i] > self.below[i]), 1.0, 0.0);
                above[i] += choose(all(row[i] > self.above[i]), 1.0, 0.0);
            }
        }
        (below, above)
    }

    /// A sample less the line at its place.
    #[inline(always)]
    fn apart(&self, i: usize, place: f64, y: f64) -> f64 {
        self.off(i, place, y - self.pivot[i])
    }

    /// The same of its difference from the pivot.
    #[inline(always)]
    fn off(&self, i: usize, place: f64, d: f64) -> f64 {
        (d - self.mean[i]) - self.slope[i] * (place - self.middle[i])
    }

    /// Of which pixels a sample is too far, a bit each.
    #[inline(always)]
    fn beyond(&self) -> u32 {
        let mut beyond = [0u32; GROUP];
        for i in 0..GROUP {
            // An infinite limit times a spread of 0 is no number, and nothing is beyond it.
            let out = (-self.least[i] > self.below[i]) | (self.most[i] > self.above[i]);
            beyond[i] = u32::from(out) << i;
        }
        beyond.iter().fold(0, |all, one| all | one)
    }
}
