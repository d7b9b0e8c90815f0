//! The CPU twin: blocks of pixels, one pixel a SIMD lane, the stack down.
//!
//! A block goes through the rules one after the other: levels of all samples, the words that say which are used, in order
//! if the method wants it, what is rejected, sums over what is left. Its samples stay in the first-level cache meanwhile.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

mod bitwise;
mod combine;
pub(crate) mod counts;
pub(crate) mod ordered;
mod plain;
mod reasons;
mod samples;
pub(crate) mod stream;
mod uneven;

pub(super) use samples::{ALL, Row, Samples, all_if, block, part};
pub(crate) use samples::{BLOCK, Cube, Shares, accumulate, quotient};

use super::clip::{Range, minmax, varclip};
use super::gesd::{Sides, Test, gesd};
use super::left::Differences;
use super::levels::UNUSABLE;
use super::limits::{keep_enough, limited};
use super::linfit::linfit;
use super::madclip::madclip;
use super::order::Order;
use super::sigclip::sigclip;
use super::{Combine, Flavour, Keep, Levels, MAX_LEVELS, Method, NO_DATA, Out, Reject, Task, dragons};
use crate::real::Real;
use crate::simd::Loop;

/// What is known of the samples of a block; reused between calls, so that nothing is allocated per tile.
pub(crate) struct Scratch<T> {
    level: Vec<Row<u32>>,
    /// All ones where a sample is used.
    used: Vec<Row<u32>>,
    order: Order<T>,
    /// Factors of the variance of medians, by number of samples.
    factors: Vec<f64>,
    /// Sums by shared variable.
    shares: Vec<Row<f64>>,
    /// What gesd sums.
    sides: Sides,
    /// What linfit and winsorised go over.
    differences: Differences,
    /// What the flavour `dragons` has instead.
    pub(super) dragons: Option<Box<dragons::Block>>,
}

impl<T> Default for Scratch<T> {
    fn default() -> Self {
        Scratch {
            level: Vec::new(),
            used: Vec::new(),
            order: Order::default(),
            factors: Vec::new(),
            shares: Vec::new(),
            sides: Sides::default(),
            differences: Differences::default(),
            dragons: None,
        }
    }
}

impl<T> Scratch<T> {
    /// Bytes for so many frames and shared variables.
    pub(crate) fn bytes(frames: usize, method: &Method, variables: usize) -> usize {
        if method.flavour == Flavour::Dragons {
            return dragons::Block::bytes(frames);
        }
        let sides = Sides::bytes(frames, &method.reject) + Differences::bytes(frames, &method.reject);
        BLOCK * (frames * (8 + if method.sorts() { size_of::<T>() } else { 0 }) + 8 * variables) + sides
    }
}

impl<T: Real> Loop for Task<'_, T> {
    #[inline(always)]
    fn run(self) {
        if self.method.flavour == Flavour::Dragons {
            return dragons::stack(self);
        }
        let Task { cube, method, affine, levels, critical, nonfinite, shares, uneven, scratch, mut out } = self;
        let n = out.data.len();
        let graded = !cube.mask.is_empty() || nonfinite;
        scratch.level.resize(cube.frames, [0; BLOCK]);
        scratch.used.resize(cube.frames, [ALL; BLOCK]);
        if !graded {
            scratch.used.fill([ALL; BLOCK]);
        }
        if method.sorts() {
            scratch.order.prepare(cube.frames);
        }
        if scratch.factors.len() != cube.frames + 1 {
            scratch.factors = method.combine.factors(cube.frames);
        }
        let plain = plain::fits::<T>(cube, method, shares) && out.ratio.is_empty();
        let mut pixels = Pixels::default();
        for start in (0..n).step_by(BLOCK) {
            let samples = Samples { cube, affine, start };
            if plain && pixels.plain(&samples, method, levels) {
                pixels.store(start, &mut out);
                continue;
            }
            pixels.begin();
            if graded {
                pixels.grade(&samples, levels, scratch);
            }
            if method.sorts() {
                pixels.reject(&samples, method, critical, scratch);
            }
            let every = !graded && method.reject == Reject::None;
            if !(out.reasons.is_empty() && out.counts.is_empty()) {
                Pixels::explain(&samples, scratch, (graded, method.reject != Reject::None), start, &mut out);
            }
            let ratio = !out.ratio.is_empty();
            if uneven.weights.is_empty() {
                pixels.combine(&samples, method, shares, scratch, every, ratio);
            } else {
                pixels.weighted(&samples, method, (uneven, shares), scratch, (every, ratio));
            }
            if method.uneven {
                pixels.settle(&samples, method, uneven, scratch, every);
            }
            if !graded && !every {
                // The next block begins with all of them again.
                scratch.used.fill([ALL; BLOCK]);
            }
            pixels.store(start, &mut out);
        }
    }
}

/// The pixels of a block on their way from samples to results.
pub(super) struct Pixels {
    /// OR of all masks, with `no_data` for samples that are not finite; where the first level has a sample it is not
    /// wanted, and may be 0.
    all: Row<u32>,
    mask: Row<u32>,
    /// Samples that are left.
    good: Row<u32>,
    negative: Row<u32>,
    low: Row<u32>,
    high: Row<u32>,
    /// Which of the samples in order are left, where the method orders them.
    range: Range,
    value: Row<f64>,
    variance: Row<f64>,
    scatter: Row<f64>,
    ratio: Row<f64>,
    weight: Row<f64>,
    exposure: Row<f64>,
}

/// Equal to no sample's level.
const NOTHING: u32 = UNUSABLE - 1;

impl Default for Pixels {
    #[inline(always)]
    fn default() -> Self {
        let (none, zero) = ([0; BLOCK], [0.0; BLOCK]);
        Pixels {
            all: none,
            mask: none,
            good: none,
            negative: none,
            low: none,
            high: none,
            range: Range { lo: none, hi: none },
            value: zero,
            variance: zero,
            scatter: zero,
            ratio: zero,
            weight: zero,
            exposure: zero,
        }
    }
}

impl Pixels {
    /// Another block: what is added to begins with nothing, the rest is written anew.
    #[inline(always)]
    fn begin(&mut self) {
        for row in [&mut self.all, &mut self.mask, &mut self.good, &mut self.negative, &mut self.low, &mut self.high] {
            *row = [0; BLOCK];
        }
    }

    /// Which samples are used: those of the best level of each pixel.
    #[inline(always)]
    fn grade<T: Real>(&mut self, samples: &Samples<'_, T>, levels: &Levels, scratch: &mut Scratch<T>) {
        let mask = |f: usize| samples.mask(f).unwrap_or(&[0; BLOCK]);
        // Mostly each pixel has a sample of the first level, and then no other level matters.
        let forbidden = levels.forbidden[0];
        let mut first = [0u32; BLOCK];
        for (f, used) in scratch.used.iter_mut().enumerate() {
            let (data, variance, mask) = (samples.data(f), samples.variance_or_data(f), mask(f));
            for i in 0..BLOCK {
                let good = all_if(mask[i] & forbidden == 0) & finite(data[i], variance[i]);
                used[i] = good;
                first[i] |= good;
            }
        }
        if !first.contains(&0) {
            return;
        }
        // The default hierarchy has five levels besides the last.
        let short = levels.forbidden[5..] == [0; MAX_LEVELS - 5];
        let mut best = [NOTHING; BLOCK];
        for (f, level) in scratch.level.iter_mut().enumerate() {
            let (data, variance, mask) = (samples.data(f), samples.variance_or_data(f), mask(f));
            if short {
                grade::<T, 5>(data, variance, mask, levels, level, &mut self.all);
            } else {
                grade::<T, MAX_LEVELS>(data, variance, mask, levels, level, &mut self.all);
            }
            for i in 0..BLOCK {
                best[i] = best[i].min(level[i]);
            }
        }
        for (used, level) in scratch.used.iter_mut().zip(&scratch.level) {
            for i in 0..BLOCK {
                used[i] = all_if(level[i] == best[i]);
            }
        }
    }

    /// Puts the samples in order, and takes those that are rejected out of the words `used`.
    #[inline(always)]
    fn reject<T: Real>(
        &mut self,
        samples: &Samples<'_, T>,
        method: &Method,
        critical: &[f64],
        scratch: &mut Scratch<T>,
    ) {
        let Scratch { level, used, order, sides, differences, .. } = scratch;
        self.range = order.fill(samples, used);
        let all = self.range;
        // What is left goes to words of its own, and those of the levels have done their work: in place, LLVM would make
        // stores under a mask of it.
        let ends = |range: &Range| (range.lo, std::array::from_fn(|i| all.hi[i] - range.hi[i]));
        (self.low, self.high) = match &method.reject {
            Reject::None => return,
            Reject::MinMax { nlow, nhigh } => {
                minmax(samples, order, [*nlow, *nhigh], &mut self.range, used, level);
                ends(&self.range)
            }
            Reject::VarClip(clip) => {
                let (low, high) = varclip(samples, order, clip, &mut self.range, used, level);
                if matches!(method.combine, Combine::Percentile(_)) {
                    // Its range is right for the middle alone.
                    for i in 0..BLOCK {
                        if low[i] + high[i] > 0 {
                            (self.range.lo[i], self.range.hi[i]) = order.again(samples, level, i);
                        }
                    }
                }
                (low, high)
            }
            Reject::LinFit(clip) => linfit(samples, order, clip, differences, &mut self.range, (used, level)),
            by_limits => {
                match by_limits {
                    Reject::SigClip(clip) => sigclip(order, clip, &mut self.range),
                    Reject::MadClip(clip) => madclip(order, clip, &mut self.range),
                    Reject::Gesd { outliers, .. } => {
                        gesd(order, Test { part: *outliers, critical }, sides, &mut self.range);
                    }
                    other => limited(order, other, differences, &mut self.range),
                }
                if method.keep != Keep::default() {
                    keep_enough(order, method.keep, &all, &mut self.range);
                }
                keep_between(samples, order, &self.range, used, level);
                ends(&self.range)
            }
        };
        std::mem::swap(used, level);
    }

    /// To where they belong.
    #[inline(always)]
    fn store<T: Real>(&self, start: usize, out: &mut Out<'_, T>) {
        let n = BLOCK.min(out.data.len() - start);
        let reals = |to: &mut [T], from: &Row<f64>| {
            if let Some(to) = to.get_mut(start..start + n) {
                for i in 0..n {
                    to[i] = T::from_f64(from[i]);
                }
            }
        };
        reals(out.data, &self.value);
        reals(out.variance, &self.variance);
        reals(out.scatter, &self.scatter);
        reals(out.weight, &self.weight);
        reals(out.exposure, &self.exposure);
        reals(out.ratio, &self.ratio);
        let words = |to: &mut [u32], from: &Row<u32>| {
            if let Some(to) = to.get_mut(start..start + n) {
                to.copy_from_slice(&from[..n]);
            }
        };
        words(out.mask, &self.mask);
        words(out.good, &self.good);
        words(out.low, &self.low);
        words(out.high, &self.high);
        let mut rejected = self.low;
        for i in 0..BLOCK {
            rejected[i] += self.high[i];
        }
        words(out.rejected, &rejected);
        for i in 0..n {
            out.tally.negative += u64::from(self.negative[i]);
            out.tally.rejected += u64::from(rejected[i]);
        }
    }
}

/// `left` become the words `used` of those whose place in order is in the range: whatever is equal to one in it is in it
/// too.
#[inline(always)]
pub(super) fn keep_between<T: Real>(
    samples: &Samples<'_, T>,
    order: &Order<T>,
    range: &Range,
    used: &[Row<u32>],
    left: &mut [Row<u32>],
) {
    let (first, last) = order.ends(range);
    let mut own = [T::from_f32(0.0); BLOCK];
    for (f, (used, left)) in used.iter().zip(left).enumerate() {
        let key = samples.key(f, &mut own);
        for i in 0..BLOCK {
            left[i] = used[i] & all_if((key[i] >= first[i]) & (key[i] <= last[i]));
        }
    }
}

/// All ones where both are finite.
#[inline(always)]
fn finite<T: Real>(data: T, variance: T) -> u32 {
    all_if(data.is_finite() & variance.is_finite())
}

/// Level by mask: the number of levels, of the first `K`, that do not admit all bits; all ones where data or variance
/// are not finite.
#[inline(always)]
fn grade<T: Real, const K: usize>(
    data: &Row<T>,
    variance: &Row<T>,
    mask: &Row<u32>,
    levels: &Levels,
    level: &mut Row<u32>,
    all: &mut Row<u32>,
) {
    for i in 0..BLOCK {
        let mut over = 0u32;
        for bits in &levels.forbidden[..K] {
            over = over.wrapping_sub(all_if(mask[i] & bits != 0));
        }
        let bad = !finite(data[i], variance[i]);
        level[i] = over | bad;
        all[i] |= mask[i] | (bad & NO_DATA);
    }
}
