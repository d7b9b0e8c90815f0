//! Rule 3, rejections by two limits that are made of the samples that are left: of noise, of winsorised samples, of ranks, or
//! given. What is left of the samples in order is a range, whose ends move inwards.
//!
//! To add one is to add an arm to [`Limits::of`].

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use std::ops::Range as Places;

use super::clip::{Lanes, Range, all, choose, only};
use super::cpu::BLOCK;
use super::left::{Differences, Left, Rows};
use super::order::{Column, GROUP, Order, Ordered};
use super::{Clip, DetectorNoise, Keep, MOST_PASSES, Reject};
use crate::real::Real;

/// Winsorised samples are no further from the median, in standard deviations.
pub(crate) const WINSOR: f64 = 1.5;
/// Standard deviation of normal samples by that of winsorised ones.
pub(crate) const OF_WINSORISED: f64 = 1.134;
/// A standard deviation that changes by no more than this part of it is found.
pub(crate) const FOUND: f64 = 0.0005;
/// Fewer samples have no percentile to clip by.
pub(crate) const LEAST_OF_PCLIP: usize = 3;

/// Narrows the range of each pixel.
#[inline(always)]
pub(super) fn limited<T: Real>(order: &Order<T>, reject: &Reject, differences: &mut Differences, range: &mut Range) {
    for start in (0..BLOCK).step_by(GROUP) {
        let left = narrow(order.column(start), (reject, 0.0), differences, Left::of(range, start));
        left.put(range, start);
    }
}

/// What is left of these places in order; all of them where that would be nothing. Values are the samples plus `offset`.
#[inline(always)]
pub(super) fn narrow<K: Ordered>(
    column: Column<'_, K>,
    (reject, offset): (&Reject, f64),
    differences: &mut Differences,
    whole: Left,
) -> Left {
    let mut left = whole;
    for _ in 0..reject.passes() {
        let limits = Limits::of(column, (reject, offset), differences, &left);
        if !limits.trim(column, &mut left) {
            break;
        }
    }
    left.or_else(&whole)
}

/// Brings rejected samples of each pixel back that must be kept: the next one below or above, whichever is nearer to the median
/// of all, of equally near ones the lower; equal ones together.
pub(super) fn keep_enough<T: Real>(order: &Order<T>, keep: Keep, all: &Range, range: &mut Range) {
    for i in 0..BLOCK {
        let column = order.column(i / GROUP * GROUP);
        let (first, end) = (all.lo[i], all.hi[i]);
        let least = keep.least_of(end - first);
        let (mut lo, mut hi) = (range.lo[i], range.hi[i]);
        let (centre, rest) = column.middle(first, end, false, i % GROUP);
        let apart = |k: u32| ((column.at(k, i % GROUP).number() - centre) - rest).abs();
        while hi - lo < least {
            if hi >= end || (lo > first && apart(lo - 1) <= apart(hi)) {
                lo -= 1;
            } else {
                hi += 1;
            }
        }
        if (lo, hi) == (range.lo[i], range.hi[i]) {
            continue;
        }
        while lo > first && column.at(lo - 1, i % GROUP) == column.at(lo, i % GROUP) {
            lo -= 1;
        }
        while hi < end && column.at(hi, i % GROUP) == column.at(hi - 1, i % GROUP) {
            hi += 1;
        }
        (range.lo[i], range.hi[i]) = (lo, hi);
    }
}

/// How far from a centre samples may be: out is an x with x - centre < -below or > above.
struct Limits {
    centre: Lanes,
    /// What its rounding lost.
    rest: Lanes,
    below: Lanes,
    above: Lanes,
}

impl Limits {
    #[inline(always)]
    fn of<K: Ordered>(
        column: Column<'_, K>,
        (reject, offset): (&Reject, f64),
        differences: &mut Differences,
        left: &Left,
    ) -> Self {
        let n = left.count();
        match reject {
            Reject::CcdClip(clip, noise) => {
                let (centre, rest) =
                    if clip.mclip { column.middles(&left.lo, &left.hi, false) } else { mean_inside(column, left) };
                let mut sigma = [0f64; GROUP];
                for i in 0..GROUP {
                    sigma[i] = noise.sigma(centre[i] + rest[i] + offset);
                }
                Self::about((centre, rest), clip, &sigma)
            }
            Reject::Winsorised(clip) => {
                let centre = column.middles(&left.lo, &left.hi, false);
                Self::about(centre, clip, &winsorised(column, left, &n, &centre, differences))
            }
            Reject::PClip { lsigma, hsigma, at } => {
                let centre = column.middles(&left.lo, &left.hi, false);
                let mut sigma = [0f64; GROUP];
                for i in 0..GROUP {
                    // Of fewer there is no limit.
                    let (lo, hi) = (left.lo[i] as usize, left.hi[i] as usize);
                    sigma[i] = match percentile_place(hi - lo, *at) {
                        Some(k) => ((column.at((lo + k) as u32, i).number() - centre.0[i]) - centre.1[i]).abs(),
                        None => f64::INFINITY,
                    };
                }
                let clip = Clip { lsigma: *lsigma, hsigma: *hsigma, ..Clip::default() };
                Self::about(centre, &clip, &sigma)
            }
            Reject::Percentile { low, high } => {
                let (centre, rest) = column.middles(&left.lo, &left.hi, false);
                let (mut below, mut above) = ([0f64; GROUP], [0f64; GROUP]);
                for i in 0..GROUP {
                    let apart = |percent: f64| {
                        let (lo, last) = (left.lo[i], left.hi[i].max(left.lo[i] + 1.0) - 1.0);
                        let place = lo + (last - lo) * percent / 100.0;
                        let [a, b] = [place.floor(), place.ceil()].map(|k| column.at(k as u32, i).number());
                        (between(a, b, place.fract()) - centre[i]) - rest[i]
                    };
                    (below[i], above[i]) = (-apart(*low), apart(*high));
                }
                Limits { centre, rest, below, above }
            }
            Reject::Threshold { low, high } => {
                let zero = [0f64; GROUP];
                Limits { centre: zero, rest: zero, below: [offset - low; GROUP], above: [high - offset; GROUP] }
            }
            Reject::None
            | Reject::MinMax { .. }
            | Reject::SigClip(_)
            | Reject::VarClip(_)
            | Reject::MadClip(_)
            | Reject::LinFit(_)
            | Reject::Gesd { .. } => unreachable!("a rejection by limits"),
        }
    }

    #[inline(always)]
    fn about((centre, rest): (Lanes, Lanes), clip: &Clip, sigma: &Lanes) -> Self {
        let (mut below, mut above) = ([0f64; GROUP], [0f64; GROUP]);
        for i in 0..GROUP {
            (below[i], above[i]) = (clip.lsigma * sigma[i], clip.hsigma * sigma[i]);
        }
        Limits { centre, rest, below, above }
    }

    /// Moves the ends past what is out; whether anything was.
    #[inline(always)]
    fn trim<K: Ordered>(&self, column: Column<'_, K>, left: &mut Left) -> bool {
        let Rows { some, every, shortest } = left.rows();
        let mut changed = false;
        // In order, those that are out come first and last.
        for k in some.clone() {
            let (row, place) = (column.row(k), k as f64);
            let mut any = 0;
            for i in 0..GROUP {
                let t = (row[i].number() - self.centre[i]) - self.rest[i];
                // An infinite limit times a spread of 0 is no number, and nothing is beyond it.
                let out = all((place >= left.lo[i]) & (place < left.hi[i]) & (-t > self.below[i]));
                left.lo[i] += choose(out, 1.0, 0.0);
                any |= out;
            }
            changed |= any != 0;
            if any == 0 && k >= every.start {
                break;
            }
        }
        // A column may end before another begins.
        for k in some.rev() {
            let (row, place) = (column.row(k), k as f64);
            let mut any = 0;
            for i in 0..GROUP {
                let t = (row[i].number() - self.centre[i]) - self.rest[i];
                let out = all((place >= left.lo[i]) & (place < left.hi[i]) & (t > self.above[i]));
                left.hi[i] -= choose(out, 1.0, 0.0);
                any |= out;
            }
            changed |= any != 0;
            if any == 0 && k < shortest {
                break;
            }
        }
        changed
    }
}

impl DetectorNoise {
    /// Standard deviation of a sample whose expected value this is, in data units.
    #[inline(always)]
    pub(crate) fn sigma(&self, value: f64) -> f64 {
        let read = self.read_noise / self.gain;
        let light = if value > 0.0 { value } else { 0.0 };
        let of_light = self.sensitivity * light;
        (read * read + light / self.gain + of_light * of_light).sqrt()
    }
}

/// Between two samples, so much of the way.
#[inline(always)]
pub(crate) fn between(a: f64, b: f64, part: f64) -> f64 {
    if part == 0.0 { a } else { a + (b - a) * part }
}

/// Which of `n` samples in order pclip takes its standard deviation from: so many, or so much of a half, from the median.
pub(crate) fn percentile_place(n: usize, at: f64) -> Option<usize> {
    if n < LEAST_OF_PCLIP {
        return None;
    }
    let half = (n / 2) as f64;
    let steps = if at.abs() < 1.0 { (at.abs() * half).floor() } else { at.abs().floor() };
    let steps = steps.clamp(1.0, half) as usize;
    // The median itself, or the one of its two that is nearer.
    let place = if at < 0.0 { (n - 1) / 2 - steps.min((n - 1) / 2) } else { (n / 2 + steps).min(n - 1) };
    Some(place)
}

/// The mean without the least and the largest of at least three, and what its rounding lost.
#[inline(always)]
fn mean_inside<K: Ordered>(column: Column<'_, K>, left: &Left) -> (Lanes, Lanes) {
    let mut left = *left;
    for i in 0..GROUP {
        let end = choose(all(left.hi[i] - left.lo[i] >= 3.0), 1.0, 0.0);
        (left.lo[i], left.hi[i]) = (left.lo[i] + end, left.hi[i] - end);
    }
    left.mean(column)
}

/// Sums of the samples about the centre in these rows and of their squares, brought so near, and, if asked for, how far the
/// farthest is without that.
#[inline(always)]
fn brought<const FARTHEST: bool>(rows: &[Lanes], reach: &Lanes) -> (Lanes, Lanes, Lanes) {
    let (mut sum, mut squares, mut farthest) = ([0f64; GROUP], [0f64; GROUP], [0f64; GROUP]);
    for row in rows {
        for i in 0..GROUP {
            let t = row[i];
            if FARTHEST {
                farthest[i] = choose(all(t.abs() > farthest[i]), t.abs(), farthest[i]);
            }
            let t = choose(all(t > reach[i]), reach[i], t);
            let t = choose(all(t < -reach[i]), -reach[i], t);
            sum[i] += t;
            squares[i] += t * t;
        }
    }
    (sum, squares, farthest)
}

/// Standard deviations of winsorised samples, of n - 1, until they stay as they are. The samples in the middle are mostly
/// never beyond, so their sums are kept from one pass to the next.
#[inline(always)]
fn winsorised<K: Ordered>(
    column: Column<'_, K>,
    left: &Left,
    n: &Lanes,
    centre: &(Lanes, Lanes),
    differences: &mut Differences,
) -> Lanes {
    let Rows { some, every, .. } = left.rows();
    let apart = differences.rows(column.len());
    for k in some.clone() {
        let (row, place) = (column.row(k), k as f64);
        let whole = every.contains(&k);
        let mut of_row = [0f64; GROUP];
        for i in 0..GROUP {
            of_row[i] = only((row[i].number() - centre.0[i]) - centre.1[i], left.inside(whole, place, i));
        }
        apart[k] = of_row;
    }
    // By the number of frames alone: no sum may depend on other pixels.
    let quarter = column.len() / 4;
    let (from, to) = (quarter, column.len() - quarter);
    let [first, middle, last] = [0..from, from..to, to..usize::MAX].map(|p: Places<usize>| {
        let (start, end) = (p.start.max(some.start), p.end.min(some.end));
        &apart[start.min(end)..end]
    });
    let mut reach = [f64::INFINITY; GROUP];
    let mut core = brought::<true>(middle, &reach);
    let mut clamped = false;
    let (mut sigma, mut found) = ([f64::INFINITY; GROUP], [0u64; GROUP]);
    for pass in 0..=MOST_PASSES {
        let mut beyond = 0;
        for i in 0..GROUP {
            beyond |= all(core.2[i] > reach[i]);
        }
        // Anew where the middle is touched, or was.
        if beyond != 0 || clamped {
            core = brought::<true>(middle, &reach);
            clamped = beyond != 0;
        }
        let (low, high) = (brought::<false>(first, &reach), brought::<false>(last, &reach));
        let mut open = 0;
        for i in 0..GROUP {
            let sum = (low.0[i] + core.0[i]) + high.0[i];
            let squares = (low.1[i] + core.1[i]) + high.1[i];
            let about = squares - sum * sum / n[i];
            let deviation = (choose(all(about > 0.0), about, 0.0) / (n[i] - 1.0)).sqrt();
            let next = if pass == 0 { deviation } else { OF_WINSORISED * deviation };
            let changed = all(pass == 0) | all((next - sigma[i]).abs() > FOUND * sigma[i]);
            sigma[i] = choose(found[i], sigma[i], next);
            found[i] |= !changed;
            open |= !found[i];
            // What was brought nearer stays there.
            let next = WINSOR * sigma[i];
            reach[i] = choose(all(next < reach[i]), next, reach[i]);
        }
        if open == 0 {
            break;
        }
    }
    sigma
}
