//! Rejection: which of the samples in order are left.

use super::cpu::{BLOCK, Row, Samples, accumulate, all_if, keep, quotient};
use super::method::Clip;
use super::order::Order;
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

/// Rule 3, minmax: narrows the range and takes what is out of it out of `used`. Equal samples rank in the order of their
/// frames.
#[inline(always)]
pub(super) fn minmax<T: Real>(
    samples: &Samples<'_, T>,
    order: &Order<T>,
    [nlow, nhigh]: [usize; 2],
    range: &mut Range,
    used: &mut [Row<u32>],
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
    for (f, used) in used.iter_mut().enumerate() {
        let key = samples.key(f);
        for i in 0..BLOCK {
            let at_first = all_if(key[i] == first[i]) & used[i];
            let at_last = all_if(key[i] == last[i]) & used[i];
            let above = all_if(key[i] > first[i]) | (at_first & all_if(firsts[i] >= before[i]));
            let below = all_if(key[i] < last[i]) | (at_last & all_if(lasts[i] < with[i]));
            firsts[i] += at_first & 1;
            lasts[i] += at_last & 1;
            used[i] &= above & below;
        }
    }
}

/// Pixels whose clipping goes on together: few, so that those that are done do not wait for many.
const GROUP: usize = 16;

/// Rule 3, sigclip: narrows the range.
#[inline(always)]
pub(super) fn sigclip<T: Real>(order: &Order<T>, clip: &Clip, range: &mut Range) {
    for start in (0..BLOCK).step_by(GROUP) {
        let (mut lo, mut hi) = ([0u32; GROUP], [0u32; GROUP]);
        lo.copy_from_slice(&range.lo[start..start + GROUP]);
        hi.copy_from_slice(&range.hi[start..start + GROUP]);
        let all = hi;
        for _ in 0..clip.passes() {
            if !sigclip_pass(order, start, clip, &mut lo, &mut hi) {
                break;
            }
        }
        for i in 0..GROUP {
            let undone = lo[i] >= hi[i];
            range.lo[start + i] = if undone { 0 } else { lo[i] };
            range.hi[start + i] = if undone { all[i] } else { hi[i] };
        }
    }
}

/// One pass over a group; whether something was rejected.
#[inline(always)]
fn sigclip_pass<T: Real>(
    order: &Order<T>,
    start: usize,
    clip: &Clip,
    lo: &mut [u32; GROUP],
    hi: &mut [u32; GROUP],
) -> bool {
    let first = lo.iter().copied().min().unwrap_or(0) as usize;
    let last = hi.iter().copied().max().unwrap_or(0) as usize;
    let rows = order.rows();
    let inside = |k: usize, i: usize| all_if((k as u32 >= lo[i]) & ((k as u32) < hi[i]));
    let (mut centre, mut rest) = ([0f64; GROUP], [0f64; GROUP]);
    if clip.mclip {
        for i in 0..GROUP {
            (centre[i], rest[i]) = order.middle(lo[i], hi[i], false, start + i);
        }
    } else {
        let mut low = [0f64; GROUP];
        for (k, row) in rows.iter().enumerate().take(last).skip(first) {
            for i in 0..GROUP {
                accumulate::<T>(&mut centre[i], &mut low[i], keep(row[start + i].to_f64(), inside(k, i)));
            }
        }
        for i in 0..GROUP {
            let n = f64::from(hi[i].saturating_sub(lo[i]).max(1));
            (centre[i], rest[i]) = quotient(centre[i], low[i], n);
        }
    }
    let mut squares = [0f64; GROUP];
    for (k, row) in rows.iter().enumerate().take(last).skip(first) {
        for i in 0..GROUP {
            let t = (row[start + i].to_f64() - centre[i]) - rest[i];
            squares[i] += keep(t * t, inside(k, i));
        }
    }
    let mut changed = false;
    for i in 0..GROUP {
        let n = f64::from(hi[i].saturating_sub(lo[i]));
        let apart = |k: u32| (order.at(k, start + i).to_f64() - centre[i]) - rest[i];
        let below = clip.lsigma * clip.lsigma * squares[i];
        let above = clip.hsigma * clip.hsigma * squares[i];
        let out_below = |t: f64| t < 0.0 && n * (t * t) > below;
        let out_above = |t: f64| t > 0.0 && n * (t * t) > above;
        while lo[i] < hi[i] && out_below(apart(lo[i])) {
            lo[i] += 1;
            changed = true;
        }
        while lo[i] < hi[i] && out_above(apart(hi[i] - 1)) {
            hi[i] -= 1;
            changed = true;
        }
    }
    changed
}

/// Rule 3, varclip: takes what is out out of `used`; `before` is what was used. Returns how many are out below the centre
/// and above it.
#[inline(always)]
pub(super) fn varclip<T: Real>(
    samples: &Samples<'_, T>,
    order: &mut Order<T>,
    clip: &Clip,
    before: &[Row<u32>],
    used: &mut [Row<u32>],
) -> (Row<u32>, Row<u32>) {
    let (lower, upper) = (clip.lsigma * clip.lsigma, clip.hsigma * clip.hsigma);
    let (mut low, mut high) = ([0u32; BLOCK], [0u32; BLOCK]);
    for _ in 0..clip.passes() {
        let (mut centre, mut rest) = ([0f64; BLOCK], [0f64; BLOCK]);
        if clip.mclip {
            let range = order.fill(samples, used);
            for i in 0..BLOCK {
                (centre[i], rest[i]) = order.middle(range.lo[i], range.hi[i], false, i);
            }
        } else {
            mean(samples, used, &mut centre, &mut rest);
        }
        let mut changed = 0;
        for (f, used) in used.iter_mut().enumerate() {
            let (key, w) = (samples.key(f), samples.variance(f));
            for i in 0..BLOCK {
                let t = (key[i].to_f64() - centre[i]) - rest[i];
                // An infinite limit times a variance of 0 is no number, and nothing is beyond it.
                let is_low = all_if((t < 0.0) & (t * t > lower * w[i])) & used[i];
                let is_high = all_if((t > 0.0) & (t * t > upper * w[i])) & used[i];
                low[i] += is_low & 1;
                high[i] += is_high & 1;
                used[i] &= !(is_low | is_high);
                changed |= is_low | is_high;
            }
        }
        if changed == 0 {
            break;
        }
    }
    let mut left = [0u32; BLOCK];
    for used in used.iter() {
        for i in 0..BLOCK {
            left[i] |= used[i];
        }
    }
    if left.contains(&0) {
        for (used, before) in used.iter_mut().zip(before) {
            for i in 0..BLOCK {
                used[i] |= before[i] & !left[i];
            }
        }
        for i in 0..BLOCK {
            low[i] &= left[i];
            high[i] &= left[i];
        }
    }
    (low, high)
}

/// The mean of the used samples, and what its rounding lost.
#[inline(always)]
fn mean<T: Real>(samples: &Samples<'_, T>, used: &[Row<u32>], centre: &mut Row<f64>, rest: &mut Row<f64>) {
    let (mut count, mut low) = ([0u32; BLOCK], [0f64; BLOCK]);
    for (f, used) in used.iter().enumerate() {
        let key = samples.key(f);
        for i in 0..BLOCK {
            accumulate::<T>(&mut centre[i], &mut low[i], keep(key[i].to_f64(), used[i]));
            count[i] += used[i] & 1;
        }
    }
    for i in 0..BLOCK {
        (centre[i], rest[i]) = quotient(centre[i], low[i], f64::from(count[i].max(1)));
    }
}
