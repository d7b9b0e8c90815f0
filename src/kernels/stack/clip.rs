//! Rejection by rank and by variance: which of the samples in order are left.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use super::cpu::{BLOCK, Row, Samples, accumulate, all_if, part, quotient};
use super::method::Clip;
use super::order::{GROUP, Order};
use crate::dtype::DType;
use crate::real::Real;

/// Places in order of the samples that are left, from `lo` to before `hi`.
#[derive(Clone, Copy)]
pub(super) struct Range {
    pub lo: Row<u32>,
    pub hi: Row<u32>,
}

/// How many of `n` samples go where `of` of `frames` would: the same fraction, rounded down.
pub(crate) fn minmax_part(n: usize, of: usize, frames: usize) -> usize {
    (n as f64 * of as f64 / frames as f64 + 0.001) as usize
}

/// Rule 3, minmax: narrows the range; `left` become the words `used` of what is in it. Equal samples rank in the order of
/// their frames.
#[inline(always)]
pub(super) fn minmax<T: Real>(
    samples: &Samples<'_, T>,
    order: &Order<T>,
    [nlow, nhigh]: [usize; 2],
    range: &mut Range,
    used: &[Row<u32>],
    left: &mut [Row<u32>],
) {
    let part = |n: u32, of: usize| minmax_part(n as usize, of, samples.frames()) as u32;
    let all = *range;
    // How many that are equal to the first of the range rank before it, and to its last in it or before.
    let (mut before, mut with) = ([0u32; BLOCK], [0u32; BLOCK]);
    for i in 0..BLOCK {
        let n = all.hi[i];
        let (lo, hi) = (part(n, nlow), n.saturating_sub(part(n, nhigh)));
        if lo < hi {
            (range.lo[i], range.hi[i]) = (lo, hi);
        }
        let (lo, hi) = (range.lo[i], range.hi[i]);
        if lo >= hi {
            continue;
        }
        let (first, last) = (order.at(lo, i), order.at(hi - 1, i));
        before[i] = (0..lo).rev().take_while(|&k| order.at(k, i) == first).count() as u32;
        with[i] = (0..hi).rev().take_while(|&k| order.at(k, i) == last).count() as u32;
    }
    let (first, last) = order.ends(range);
    let (mut firsts, mut lasts) = ([0u32; BLOCK], [0u32; BLOCK]);
    let mut own = [T::from_f32(0.0); BLOCK];
    for (f, (used, left)) in used.iter().zip(left).enumerate() {
        let key = samples.key(f, &mut own);
        for i in 0..BLOCK {
            let at_first = all_if(key[i] == first[i]) & used[i];
            let at_last = all_if(key[i] == last[i]) & used[i];
            let above = all_if(key[i] > first[i]) | (at_first & all_if(firsts[i] >= before[i]));
            let below = all_if(key[i] < last[i]) | (at_last & all_if(lasts[i] < with[i]));
            firsts[i] += at_first & 1;
            lasts[i] += at_last & 1;
            left[i] = used[i] & above & below;
        }
    }
}

/// A number for each pixel of a group. Places and counts are f64 as everything else, so that choices are as wide as what
/// is chosen.
pub(super) type Lanes = [f64; GROUP];

/// All ones where the condition holds: of choices in words as wide as what is chosen LLVM makes vector instructions.
#[inline(always)]
pub(super) fn all(condition: bool) -> u64 {
    u64::from(condition).wrapping_neg()
}

#[inline(always)]
pub(super) fn choose(words: u64, x: f64, other: f64) -> f64 {
    f64::from_bits((x.to_bits() & words) | (other.to_bits() & !words))
}

/// `x` where the words are all ones, 0 elsewhere.
#[inline(always)]
pub(super) fn only(x: f64, words: u64) -> f64 {
    f64::from_bits(x.to_bits() & words)
}

/// Rule 3, varclip: `left` become the words `used` of what is left. The samples are in order, and `range` says which of them
/// are; afterwards which of them are left. Returns how many are out below the centre and above it.
#[inline(always)]
pub(super) fn varclip<T: Real>(
    samples: &Samples<'_, T>,
    order: &mut Order<T>,
    clip: &Clip,
    range: &mut Range,
    used: &[Row<u32>],
    left: &mut [Row<u32>],
) -> (Row<u32>, Row<u32>) {
    let (mut low, mut high) = ([0u32; BLOCK], [0u32; BLOCK]);
    left.copy_from_slice(used);
    for start in (0..BLOCK).step_by(GROUP) {
        let mut group = Weighed {
            start,
            low: [0; GROUP],
            high: [0; GROUP],
            range: std::array::from_fn(|i| (range.lo[start + i], range.hi[start + i])),
            most: [f64::NEG_INFINITY; GROUP],
            least: [f64::INFINITY; GROUP],
        };
        for pass in 0..=clip.passes() {
            group.settle(samples, order, left);
            if pass == clip.passes() || !group.pass(samples, order, clip, left) {
                break;
            }
        }
        for i in 0..GROUP {
            let at = start + i;
            (low[at], high[at]) = (group.low[i], group.high[i]);
            let (lo, hi) = group.range[i];
            if (lo >= hi) & (range.hi[at] > range.lo[at]) {
                // Everything is out, so nothing is.
                (low[at], high[at]) = (0, 0);
                for (left, used) in left.iter_mut().zip(used) {
                    left[at] = used[at];
                }
                group.range[i] = order.again(samples, left, at);
            }
            (range.lo[at], range.hi[at]) = group.range[i];
        }
    }
    (low, high)
}

/// A group of pixels while it is clipped by variances.
struct Weighed {
    start: usize,
    /// How many are out below the centre and above it.
    low: [u32; GROUP],
    high: [u32; GROUP],
    /// The places in order of what is left, if those that are out are all before or behind.
    range: [(u32, u32); GROUP],
    /// The largest that is out before the range, the smallest that is out behind it.
    most: Lanes,
    least: Lanes,
}

impl Weighed {
    /// Puts what is left of a pixel in order anew where the range is not right for its middle: something else than the
    /// first and the last is out.
    #[inline(always)]
    fn settle<T: Real>(&mut self, samples: &Samples<'_, T>, order: &mut Order<T>, left: &[Row<u32>]) {
        for i in 0..GROUP {
            let (lo, hi) = self.range[i];
            if lo >= hi {
                continue;
            }
            let column = order.column(self.start);
            let (a, b) = (column.at((lo + hi - 1) / 2, i).to_f64(), column.at((lo + hi) / 2, i).to_f64());
            if (self.most[i] >= a) | (self.least[i] <= b) {
                self.range[i] = order.again(samples, left, self.start + i);
                (self.most[i], self.least[i]) = (f64::NEG_INFINITY, f64::INFINITY);
            }
        }
    }

    /// One pass; whether something was rejected.
    #[inline(always)]
    fn pass<T: Real>(
        &mut self,
        samples: &Samples<'_, T>,
        order: &Order<T>,
        clip: &Clip,
        left: &mut [Row<u32>],
    ) -> bool {
        let start = self.start;
        let (lower, upper) = (clip.lsigma * clip.lsigma, clip.hsigma * clip.hsigma);
        let (mut centre, mut rest) = ([0f64; GROUP], [0f64; GROUP]);
        if clip.mclip {
            let column = order.column(start);
            for i in 0..GROUP {
                let (lo, hi) = self.range[i];
                (centre[i], rest[i]) = column.middle(lo, hi, false, i);
            }
        } else {
            let mut sums = ([0f64; GROUP], [0f64; GROUP], [0f64; GROUP]);
            for (f, left) in left.iter().enumerate() {
                let (x, left) = (samples.keys::<GROUP>(f, start), part::<u32, GROUP>(left, start));
                for i in 0..GROUP {
                    let inside = all(left[i] != 0);
                    accumulate::<T>(&mut sums.0[i], &mut sums.1[i], only(x[i].to_f64(), inside));
                    sums.2[i] += only(1.0, inside);
                }
            }
            for i in 0..GROUP {
                (centre[i], rest[i]) = quotient(sums.0[i], sums.1[i], if sums.2[i] > 1.0 { sums.2[i] } else { 1.0 });
            }
        }
        let (mut low, mut high) = ([0f64; GROUP], [0f64; GROUP]);
        let (mut most, mut least) = (self.most, self.least);
        for (f, left) in left.iter_mut().enumerate() {
            let x = samples.keys::<GROUP>(f, start);
            let w = samples.variances::<GROUP>(f, start);
            let before = part::<u32, GROUP>(left, start);
            let (mut after, mut any) = ([0u32; GROUP], 0u64);
            for i in 0..GROUP {
                let x = x[i].to_f64();
                let t = if T::DTYPE == DType::F32 { x - centre[i] } else { (x - centre[i]) - rest[i] };
                let inside = i64::from(before[i].cast_signed()).cast_unsigned();
                // An infinite limit times a variance of 0 is no number, and nothing is beyond it.
                let is_low = inside & all(t < 0.0) & all(t * t > lower * w[i]);
                let is_high = inside & all(t > 0.0) & all(t * t > upper * w[i]);
                low[i] += choose(is_low, 1.0, 0.0);
                high[i] += choose(is_high, 1.0, 0.0);
                let (as_low, as_high) = (choose(is_low, x, f64::NEG_INFINITY), choose(is_high, x, f64::INFINITY));
                most[i] = choose(all(as_low > most[i]), as_low, most[i]);
                least[i] = choose(all(as_high < least[i]), as_high, least[i]);
                after[i] = before[i] & !((is_low | is_high) as u32);
                any |= is_low | is_high;
            }
            if any != 0 {
                left[start..start + GROUP].copy_from_slice(&after);
            }
        }
        let mut changed = false;
        for i in 0..GROUP {
            let (l, h) = (low[i] as u32, high[i] as u32);
            self.low[i] += l;
            self.high[i] += h;
            self.range[i].0 += l;
            self.range[i].1 -= h;
            changed |= l + h > 0;
        }
        (self.most, self.least) = (most, least);
        changed
    }
}
