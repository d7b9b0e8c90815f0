//! Rule 3, madclip: which of the samples in order are left. They are a range, whose ends move inwards.
//!
//! In order, deviations from the median grow to both sides of it, so they are two sequences that are in order, and the middle
//! one of both is found by halving: nothing is sorted again.

use super::clip::Range;
use super::cpu::BLOCK;
use super::method::Clip;
use super::order::{Column, GROUP, Order, Ordered, midpoint};
use crate::real::Real;

/// Standard deviations of normal samples in their median absolute deviation: 1 / quantile(3/4) of the normal distribution.
pub(crate) const SIGMA_OF_MAD: f64 = 1.482_602_218_505_602;

/// Narrows the range of each pixel.
pub(super) fn madclip<T: Real>(order: &Order<T>, clip: &Clip, range: &mut Range) {
    for start in (0..BLOCK).step_by(GROUP) {
        let column = order.column(start);
        for i in 0..GROUP {
            let at = start + i;
            (range.lo[at], range.hi[at]) = narrow(column, clip, i, (range.lo[at], range.hi[at]));
        }
    }
}

/// What is left of the places `lo..hi` of one pixel; all of them where that would be nothing.
pub(super) fn narrow<K: Ordered>(column: Column<'_, K>, clip: &Clip, pixel: usize, all: (u32, u32)) -> (u32, u32) {
    let (mut lo, mut hi) = all;
    for _ in 0..clip.passes() {
        if lo >= hi {
            break;
        }
        let (centre, rest) = column.middle(lo, hi, false, pixel);
        let apart = |k: u32| (column.at(k, pixel).number() - centre) - rest;
        let spread = SIGMA_OF_MAD * deviation(lo, hi, apart);
        let (below, above) = (clip.lsigma * spread, clip.hsigma * spread);
        let before = (lo, hi);
        // An infinite limit times a spread of 0 is no number, and nothing is beyond it.
        while lo < hi && -apart(lo) > below {
            lo += 1;
        }
        while lo < hi && apart(hi - 1) > above {
            hi -= 1;
        }
        if (lo, hi) == before {
            break;
        }
    }
    if lo < hi { (lo, hi) } else { all }
}

/// The median of the absolute values of `apart`, which grows with its place.
#[inline(always)]
fn deviation(lo: u32, hi: u32, apart: impl Fn(u32) -> f64) -> f64 {
    let (n, split) = (hi - lo, lo + (hi - lo - 1) / 2 + 1);
    // Distances on both sides of the middle, from small to large.
    let below = |i: u32| if i < split - lo { -apart(split - 1 - i) } else { f64::INFINITY };
    let above = |i: u32| if i < hi - split { apart(split + i) } else { f64::INFINITY };
    // How many of the smaller half are below: it is the first number whose next one is not among them.
    let half = n.div_ceil(2);
    let (mut first, mut last) = (half.saturating_sub(hi - split), half.min(split - lo));
    while first < last {
        let middle = first.midpoint(last);
        if below(middle) < above(half - middle - 1) {
            first = middle + 1;
        } else {
            last = middle;
        }
    }
    let largest = |count: u32, side: &dyn Fn(u32) -> f64| count.checked_sub(1).map_or(f64::NEG_INFINITY, side);
    let lower = largest(first, &below).max(largest(half - first, &above));
    if n % 2 == 1 {
        return lower;
    }
    let upper = below(first).min(above(half - first));
    let (mean, lost) = midpoint(lower, upper);
    mean + lost
}
