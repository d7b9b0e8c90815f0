//! Rule 3, madclip: which of the samples in order are left. They are a range, whose ends move inwards.
//!
//! In order, deviations from the median grow to both sides of it, so the middle one of them is found by walking outwards,
//! always to the side that is nearer: half as many steps as there are samples, and nothing is sorted again.

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
fn deviation(lo: u32, hi: u32, apart: impl Fn(u32) -> f64) -> f64 {
    let (first, second) = ((hi - lo - 1) / 2, (hi - lo) / 2);
    // Up to the middle, and behind it.
    let (mut low, mut high) = (lo + first + 1, lo + first + 1);
    let mut ranked = [0.0; 2];
    for rank in 0..=second {
        let below = if low > lo { -apart(low - 1) } else { f64::INFINITY };
        let above = if high < hi { apart(high) } else { f64::INFINITY };
        let nearest = if below <= above {
            low -= 1;
            below
        } else {
            high += 1;
            above
        };
        ranked[0] = if rank == first { nearest } else { ranked[0] };
        ranked[1] = nearest;
    }
    let (mean, lost) = midpoint(ranked[0], ranked[1]);
    if first == second { ranked[1] } else { mean + lost }
}
