//! Rule 3, sigclip: which of the samples in order are left. They are a range, whose ends move inwards.
//!
//! What a pass needs of the samples that are left are their number, their sum and that of their squares. Samples of f32 and
//! of integers are summed once, in f64, and what a pass rejects is taken from the sums. Of integers they stay exact. Of f32,
//! whose differences from the median of the first pass are summed, the rounding of a square that is gone stays behind: where
//! what is left of the sum is less than [`LEFT_OF_SQUARES`] of it, it is formed anew, so that sigma is right to n 2^-33.
//! Samples of f64 are summed anew in each pass.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use super::clip::{Lanes, Range, all, choose, only};
use super::cpu::BLOCK;
use super::left::{Left, Rows};
use super::method::Clip;
use super::order::{Column, GROUP, Order, Ordered};
use crate::dtype::DType;
use crate::real::Real;

/// So small a part of a sum of squares has lost too many digits.
const LEFT_OF_SQUARES: f64 = 1.0 / (1 << 20) as f64;
/// n times a sum of squares of so many integers of 16 bits is exact, whatever they are; of more where they lie together.
const EXACT_FRAMES: usize = 1024;
/// What f32 may lose of a sum of 64 squares, and more.
const ROOM: f32 = 1e-4;
/// Sums of squares that f32 can hold, with all that is made of them.
const SQUARES: std::ops::RangeInclusive<f32> = 1e-36..=1e28;
/// So many squares of standard deviations are as good as no limit at all.
const NO_LIMIT: f64 = 1e8;

/// Narrows the range of each pixel.
#[inline(always)]
pub(super) fn sigclip<T: Real>(order: &Order<T>, clip: &Clip, range: &mut Range) {
    for start in (0..BLOCK).step_by(GROUP) {
        let column = order.column(start);
        let all = Left::of(range, start);
        let left =
            if T::DTYPE == DType::F32 { narrow_single(column, clip, all) } else { narrow_anew(column, clip, all) };
        left.put(range, start);
    }
}

/// Clips samples of f32. Mostly none is out, and that can be seen at half the cost.
#[inline(always)]
fn narrow_single<K: Ordered>(column: Column<'_, K>, clip: &Clip, all: Left) -> Left {
    if clip.mclip && all.doubt(column, clip) == 0 { all } else { narrow(column, clip, all).left }
}

/// Clips samples of f32 or of integers, and says what is left of them.
#[inline(always)]
pub(super) fn narrow<K: Ordered>(column: Column<'_, K>, clip: &Clip, left: Left) -> Sums {
    let whole = Sums::of(column, left);
    let mut sums = whole;
    for _ in 0..clip.passes() {
        if !sums.pass(column, clip) {
            break;
        }
    }
    sums.or_else(&whole)
}

/// Clips samples of f64.
#[inline(always)]
fn narrow_anew<K: Ordered>(column: Column<'_, K>, clip: &Clip, whole: Left) -> Left {
    let mut left = whole;
    for _ in 0..clip.passes() {
        if !left.pass_anew(column, clip) {
            break;
        }
    }
    left.or_else(&whole)
}

/// What samples are compared with: out is an x with weight (scale x - centre)^2 beyond that of its side.
struct Limits {
    scale: Lanes,
    centre: Lanes,
    /// What its rounding lost, if samples are f64.
    rest: Lanes,
    weight: Lanes,
    below: Lanes,
    above: Lanes,
}

impl Limits {
    /// About a centre, given n and the sum of squares about it.
    #[inline(always)]
    fn about(clip: &Clip, (centre, rest): (Lanes, Lanes), n: Lanes, squares: &Lanes) -> Self {
        let (below, above) = Self::sides(clip, squares);
        Limits { scale: [1.0; GROUP], centre, rest, weight: n, below, above }
    }

    /// About the mean, given n, the sum of integers and n times that of squares about it: (n x - sum x)^2 is a whole number,
    /// and so is that.
    #[inline(always)]
    fn about_mean(clip: &Clip, n: Lanes, sum: &Lanes, squares: &Lanes) -> Self {
        let (below, above) = Self::sides(clip, squares);
        Limits { scale: n, centre: *sum, rest: [0.0; GROUP], weight: [1.0; GROUP], below, above }
    }

    #[inline(always)]
    fn sides(clip: &Clip, squares: &Lanes) -> (Lanes, Lanes) {
        let (mut below, mut above) = ([0f64; GROUP], [0f64; GROUP]);
        for i in 0..GROUP {
            below[i] = clip.lsigma * clip.lsigma * squares[i];
            above[i] = clip.hsigma * clip.hsigma * squares[i];
        }
        (below, above)
    }
}

impl Left {
    /// Takes away those at the ends that are beyond the limits, and calls `gone` with each sample looked at and all ones
    /// where it went. Whether any did.
    #[inline(always)]
    fn cut<K: Ordered>(
        &mut self,
        column: Column<'_, K>,
        limits: &Limits,
        exact: bool,
        mut gone: impl FnMut(usize, f64, u64),
    ) -> bool {
        let Limits { scale, centre, rest, weight, below, above } = limits;
        // The digits of f64 are more than enough for samples of f32.
        let apart = |x: f64, i: usize| {
            let t = scale[i] * x - centre[i];
            if exact { t - rest[i] } else { t }
        };
        let rows = self.rows();
        let mut changed = false;
        // In order, those that are out come first and last.
        for k in rows.some.clone() {
            let (row, place) = (column.row(k), k as f64);
            let mut any = 0;
            for i in 0..GROUP {
                let x = row[i].number();
                let t = apart(x, i);
                let inside = (place >= self.lo[i]) & (place < self.hi[i]);
                let out = all(inside & (t < 0.0) & (weight[i] * (t * t) > below[i]));
                self.lo[i] += choose(out, 1.0, 0.0);
                gone(i, x, out);
                any |= out;
            }
            changed |= any != 0;
            if any == 0 && k >= rows.every.start {
                break;
            }
        }
        // A column may end before another begins.
        for k in rows.some.rev() {
            let (row, place) = (column.row(k), k as f64);
            let mut any = 0;
            for i in 0..GROUP {
                let x = row[i].number();
                let t = apart(x, i);
                let inside = (place >= self.lo[i]) & (place < self.hi[i]);
                let out = all(inside & (t > 0.0) & (weight[i] * (t * t) > above[i]));
                self.hi[i] -= choose(out, 1.0, 0.0);
                gone(i, x, out);
                any |= out;
            }
            changed |= any != 0;
            if any == 0 && k < rows.shortest {
                break;
            }
        }
        changed
    }

    /// Of which pixels a sample of f32 may be beyond the limits about the median, a bit each: summed in f32, as differences
    /// from a sample, and with more room than what rounding may do. The places begin with 0.
    #[inline(always)]
    pub(super) fn doubt<K: Ordered>(&self, column: Column<'_, K>, clip: &Clip) -> u32 {
        let Rows { some, every, .. } = self.rows();
        if some.start > 0 || every.is_empty() {
            return u32::MAX;
        }
        let pivot = column.row((every.end - 1) / 2).map(K::single);
        let (mut sum, mut squares) = ([0f32; GROUP], [0f32; GROUP]);
        let mut last = [0f32; GROUP];
        for k in every.clone() {
            let row = column.row(k);
            for i in 0..GROUP {
                let d = row[i].single() - pivot[i];
                sum[i] += d;
                squares[i] += d * d;
                last[i] = d;
            }
        }
        for k in every.end..some.end {
            let row = column.row(k);
            let (sum_before, squares_before, last_before) = (sum, squares, last);
            for i in 0..GROUP {
                let d = row[i].single() - pivot[i];
                let inside = (k as f64) < self.hi[i];
                sum[i] = if inside { sum_before[i] + d } else { sum_before[i] };
                squares[i] = if inside { squares_before[i] + d * d } else { squares_before[i] };
                last[i] = if inside { d } else { last_before[i] };
            }
        }
        let first = *column.row(0);
        let (centre, _) = column.middles(&self.lo, &self.hi, false);
        let [lower, upper] = [clip.lsigma, clip.hsigma].map(|sigma| (sigma * sigma).min(NO_LIMIT) as f32);
        let mut open = [0u32; GROUP];
        for i in 0..GROUP {
            let n = self.hi[i] as f32;
            let c = (centre[i] - f64::from(pivot[i])) as f32;
            let about = squares[i] + c * (n * c - 2.0 * sum[i]);
            // Each square is right to a few parts in 2^24, and so are n of them to n parts.
            let (low, high) = (first[i].single() - pivot[i], last[i]);
            let room = ROOM * (1.0 + n * (1.0 / 64.0)) * squares[i];
            let within = |t: f32, limit: f32| n * (t * t) <= limit * about - (1.0 + limit) * room;
            let inside = within(low - c, lower) & within(high - c, upper);
            // Of equal samples they are 0.
            let fits = SQUARES.contains(&squares[i]) | ((low == 0.0) & (high == 0.0));
            open[i] = u32::from(!(inside & fits)) << i;
        }
        open.iter().fold(0, |all, one| all | one)
    }

    /// One pass over samples of f64; whether something was rejected.
    #[inline(always)]
    fn pass_anew<K: Ordered>(&mut self, column: Column<'_, K>, clip: &Clip) -> bool {
        let n = self.count();
        let (centre, rest) = if clip.mclip { column.middles(&self.lo, &self.hi, false) } else { self.mean(column) };
        let mut squares = [0f64; GROUP];
        self.each(column, |i, x, inside| {
            let t = (x - centre[i]) - rest[i];
            squares[i] += only(t * t, inside);
        });
        let limits = Limits::about(clip, (centre, rest), n, &squares);
        self.cut(column, &limits, true, |_, _, _| {})
    }
}

/// What the samples that are left come to.
#[derive(Clone, Copy)]
pub(super) struct Sums {
    pub left: Left,
    /// Differences are from here: near the middle, or 0 if all sums are exact.
    pivot: Lanes,
    /// Sum of the differences, and of their squares.
    sum: Lanes,
    squares: Lanes,
    /// The squares when they were summed.
    of_squares: Lanes,
}

impl Sums {
    /// Of these places in order; of integers in any.
    #[inline(always)]
    pub(super) fn of<K: Ordered>(column: Column<'_, K>, left: Left) -> Self {
        let pivot = if K::EXACT && column.len() <= EXACT_FRAMES {
            [0.0; GROUP]
        } else {
            // Of integers one of them.
            column.middles(&left.lo, &left.hi, K::EXACT).0
        };
        let (mut sum, mut squares) = ([0f64; GROUP], [0f64; GROUP]);
        left.each(column, |i, x, inside| {
            let d = only(x - pivot[i], inside);
            sum[i] += d;
            squares[i] += d * d;
        });
        Sums { left, pivot, sum, squares, of_squares: squares }
    }

    /// The sum of the samples themselves.
    #[inline(always)]
    pub(super) fn total(&self) -> Lanes {
        let mut total = self.sum;
        for i in 0..GROUP {
            total[i] += (self.left.hi[i] - self.left.lo[i]) * self.pivot[i];
        }
        total
    }

    /// n times the sum of squares about the mean.
    #[inline(always)]
    pub(super) fn squares_about_mean(&self, n: &Lanes) -> Lanes {
        let mut squares = [0f64; GROUP];
        for i in 0..GROUP {
            squares[i] = n[i] * self.squares[i] - self.sum[i] * self.sum[i];
        }
        squares
    }

    /// The centre, and the sum of squares about it.
    #[inline(always)]
    fn about<K: Ordered>(&self, column: Column<'_, K>, clip: &Clip, n: &Lanes) -> (Lanes, Lanes) {
        let (mut centre, mut squares) = ([0f64; GROUP], [0f64; GROUP]);
        if clip.mclip {
            (centre, _) = column.middles(&self.left.lo, &self.left.hi, false);
        } else {
            for i in 0..GROUP {
                centre[i] = self.pivot[i] + self.sum[i] / if n[i] > 1.0 { n[i] } else { 1.0 };
            }
        }
        for i in 0..GROUP {
            let c = centre[i] - self.pivot[i];
            squares[i] = self.squares[i] + c * (n[i] * c - 2.0 * self.sum[i]);
        }
        (centre, squares)
    }

    /// One pass; whether something was rejected.
    #[inline(always)]
    fn pass<K: Ordered>(&mut self, column: Column<'_, K>, clip: &Clip) -> bool {
        let n = self.left.count();
        let limits = if K::EXACT && !clip.mclip {
            Limits::about_mean(clip, n, &self.total(), &self.squares_about_mean(&n))
        } else {
            let (mut centre, mut squares) = self.about(column, clip, &n);
            if !K::EXACT {
                let mut worn = 0;
                for i in 0..GROUP {
                    worn |= all(squares[i] < LEFT_OF_SQUARES * self.of_squares[i]);
                }
                if worn != 0 {
                    *self = Sums::of(column, self.left);
                    (centre, squares) = self.about(column, clip, &n);
                }
            }
            Limits::about(clip, (centre, [0.0; GROUP]), n, &squares)
        };
        let Sums { left, pivot, sum, squares, .. } = self;
        left.cut(column, &limits, false, |i, x, out| {
            let d = choose(out, x - pivot[i], 0.0);
            sum[i] -= d;
            squares[i] -= d * d;
        })
    }

    /// Where everything is out, nothing is.
    #[inline(always)]
    fn or_else(mut self, whole: &Sums) -> Self {
        for i in 0..GROUP {
            let none = all(self.left.lo[i] >= self.left.hi[i]);
            self.pivot[i] = choose(none, whole.pivot[i], self.pivot[i]);
            self.sum[i] = choose(none, whole.sum[i], self.sum[i]);
            self.squares[i] = choose(none, whole.squares[i], self.squares[i]);
        }
        self.left = self.left.or_else(&whole.left);
        self
    }
}
