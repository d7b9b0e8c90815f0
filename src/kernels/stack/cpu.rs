//! The CPU twin: blocks of pixels, one pixel a SIMD lane, the stack down.
//!
//! A block goes through the rules one after the other: levels of all samples, the words that say which are used, in order
//! if the method wants it, what is rejected, sums over what is left. Its samples stay in the first-level cache meanwhile.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use super::clip::{Range, minmax, sigclip, varclip};
use super::levels::UNUSABLE;
use super::order::Order;
use super::{Affine, Combine, Flavour, Levels, MAX_LEVELS, Method, NO_DATA, Out, Reject, Task, dragons};
use super::{lmedian_factor, median_factor};
use crate::dtype::DType;
use crate::real::Real;
use crate::simd::Loop;

/// Pixels that are worked on at once: their samples stay in the first-level cache between the passes over them.
pub(crate) const BLOCK: usize = 64;

/// One number for each pixel of a block.
pub(super) type Row<T> = [T; BLOCK];

/// Samples of N frames at the same pixels, frame after frame. Planes that no frame has are empty.
pub(crate) struct Cube<T> {
    pub frames: usize,
    /// Samples from one frame to the next: whole blocks.
    pub stride: usize,
    pub data: Vec<T>,
    pub variance: Vec<T>,
    pub mask: Vec<u32>,
    /// What shared variables add, frame by frame as [`Shares`] counts them.
    pub shared: Vec<T>,
}

/// Which variables each frame shares with others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shares<'a> {
    /// Their numbers, for each frame; none for none.
    pub of: &'a [Vec<usize>],
    /// How many there are.
    pub variables: usize,
}

impl Shares<'_> {
    /// Planes of a cube.
    pub(crate) fn planes(&self) -> usize {
        self.of.iter().map(Vec::len).sum()
    }

    /// Whether each frame shares all of them, in one order: then the planes can be counted without a table.
    #[cfg(feature = "gpu")]
    pub(crate) fn is_full(&self) -> bool {
        self.of.iter().all(|of| of.iter().copied().eq(0..self.variables))
    }
}

impl<T: Real> Cube<T> {
    /// Room for `pixels` pixels, and so many planes of shared variables.
    pub(crate) fn new(frames: usize, pixels: usize, variance: bool, mask: bool, shared: usize) -> Self {
        let stride = pixels.next_multiple_of(BLOCK);
        let n = frames * stride;
        let zero = T::from_f32(0.0);
        Cube {
            frames,
            stride,
            data: vec![zero; n],
            variance: vec![zero; if variance { n } else { 0 }],
            mask: vec![0; if mask { n } else { 0 }],
            shared: vec![zero; shared * stride],
        }
    }
}

/// The block of a plane that starts at `at`.
#[inline(always)]
pub(super) fn block<V: Copy>(plane: &[V], at: usize) -> &Row<V> {
    plane[at..].first_chunk().unwrap_or_else(|| unreachable!("a cube is of whole blocks"))
}

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
        BLOCK * (frames * (8 + if method.sorts() { size_of::<T>() } else { 0 }) + 8 * variables)
    }
}

impl<T: Real> Loop for Task<'_, T> {
    #[inline(always)]
    fn run(self) {
        if self.method.flavour == Flavour::Dragons {
            return dragons::stack(self);
        }
        let Task { cube, method, affine, levels, nonfinite, shares, scratch, mut out } = self;
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
        let factor = match method.combine {
            Combine::Median => median_factor,
            Combine::LMedian => lmedian_factor,
            _ => |_| 1.0,
        };
        if scratch.factors.len() != cube.frames + 1 {
            scratch.factors = (0..=cube.frames).map(factor).collect();
        }
        for start in (0..n).step_by(BLOCK) {
            let mut pixels = Pixels::default();
            let samples = Samples { cube, affine, start };
            if graded {
                pixels.grade(&samples, levels, &mut scratch.level);
                for (used, level) in scratch.used.iter_mut().zip(&scratch.level) {
                    for i in 0..BLOCK {
                        used[i] = all_if(level[i] == pixels.best[i]);
                    }
                }
            }
            if method.sorts() {
                pixels.reject(&samples, method, scratch);
            }
            let every = !graded && method.reject == Reject::None;
            pixels.combine(&samples, method, shares, scratch, every);
            if !graded && !every {
                // The next block begins with all of them again.
                scratch.used.fill([ALL; BLOCK]);
            }
            pixels.store(start, &mut out);
        }
    }
}

/// Choices are words of all ones or all zeros: a conditional store would be a masked one, slow on many processors.
pub(super) const ALL: u32 = u32::MAX;

#[inline(always)]
pub(super) fn all_if(condition: bool) -> u32 {
    u32::from(condition).wrapping_neg()
}

/// `x` where `chosen` is all ones, 0 where it is 0.
#[inline(always)]
pub(super) fn keep(x: f64, chosen: u32) -> f64 {
    f64::from_bits(x.to_bits() & i64::from(chosen as i32) as u64)
}

/// hi + x, and what it lost, added to lo.
#[inline(always)]
fn two_sum(hi: &mut f64, lo: &mut f64, x: f64) {
    let sum = *hi + x;
    let of_x = sum - *hi;
    *lo += (*hi - (sum - of_x)) + (x - of_x);
    *hi = sum;
}

/// What a * b = `p` lost. Overflows beyond 2^996.
#[inline(always)]
fn lost(a: f64, b: f64, p: f64) -> f64 {
    let upper = |x: f64| {
        let c = 134_217_729.0 * x;
        c - (c - x)
    };
    let (ah, bh) = (upper(a), upper(b));
    let (al, bl) = (a - ah, b - bh);
    ((ah * bh - p) + ah * bl + al * bh) + al * bl
}

/// Adds to a sum: of f32 samples in f64, of f64 samples with what the addition lost.
#[inline(always)]
pub(crate) fn accumulate<T: Real>(hi: &mut f64, lo: &mut f64, x: f64) {
    if T::DTYPE == DType::F32 {
        *hi += x;
    } else {
        two_sum(hi, lo, x);
    }
}

/// (hi + lo) / n, and what its rounding lost.
#[inline(always)]
pub(crate) fn quotient(hi: f64, lo: f64, n: f64) -> (f64, f64) {
    let q = (hi + lo) / n;
    let product = q * n;
    (q, (((hi - product) - lost(q, n, product)) + lo) / n)
}

impl Affine {
    /// s d + z, and what it lost if the samples are f64. From f32 the digits of f64 are more than enough.
    #[inline(always)]
    fn apply<T: Real>(&self, d: T) -> (f64, f64) {
        let (d, p) = (d.to_f64(), d.to_f64() * self.scale);
        if T::DTYPE == DType::F32 {
            return (p + self.zero, 0.0);
        }
        let (mut hi, mut lo) = (p, lost(d, self.scale, p));
        two_sum(&mut hi, &mut lo, self.zero);
        (hi, lo)
    }

    fn is_identity(&self) -> bool {
        *self == Affine::IDENTITY
    }
}

/// The samples of a block.
pub(super) struct Samples<'a, T> {
    pub cube: &'a Cube<T>,
    pub affine: &'a [Affine],
    start: usize,
}

impl<T: Real> Samples<'_, T> {
    #[inline(always)]
    pub(super) fn frames(&self) -> usize {
        self.cube.frames
    }

    #[inline(always)]
    fn at(&self, frame: usize) -> usize {
        frame * self.cube.stride + self.start
    }

    #[inline(always)]
    fn data(&self, frame: usize) -> &Row<T> {
        block(&self.cube.data, self.at(frame))
    }

    #[inline(always)]
    fn mask(&self, frame: usize) -> Option<&Row<u32>> {
        (!self.cube.mask.is_empty()).then(|| block(&self.cube.mask, self.at(frame)))
    }

    /// What is ordered and compared: x, rounded to the compute type.
    #[inline(always)]
    pub(super) fn key(&self, frame: usize) -> Row<T> {
        let data = self.data(frame);
        let affine = &self.affine[frame];
        if affine.is_identity() {
            return *data;
        }
        let mut key = *data;
        for i in 0..BLOCK {
            let (hi, lo) = affine.apply(data[i]);
            key[i] = T::from_f64(hi + lo);
        }
        key
    }

    /// x, and what its rounding lost.
    #[inline(always)]
    fn value(&self, frame: usize) -> (Row<f64>, Row<f64>) {
        let data = self.data(frame);
        let affine = &self.affine[frame];
        let (mut hi, mut lo) = ([0.0; BLOCK], [0.0; BLOCK]);
        if affine.is_identity() {
            for i in 0..BLOCK {
                hi[i] = data[i].to_f64();
            }
        } else {
            for i in 0..BLOCK {
                (hi[i], lo[i]) = affine.apply(data[i]);
            }
        }
        (hi, lo)
    }

    /// w; one below zero counts as 0. 0 where there is none.
    #[inline(always)]
    pub(super) fn variance(&self, frame: usize) -> Row<f64> {
        let mut w = [0.0; BLOCK];
        if !self.cube.variance.is_empty() {
            let variance = block(&self.cube.variance, self.at(frame));
            let square = self.affine[frame].scale * self.affine[frame].scale;
            for i in 0..BLOCK {
                let v = variance[i].to_f64();
                w[i] = if v > 0.0 { v * square } else { 0.0 };
            }
        }
        w
    }
}

/// Sums: of f32 samples in f64, of f64 samples with what each addition lost.
struct Sums {
    hi: Row<f64>,
    lo: Row<f64>,
}

impl Sums {
    #[inline(always)]
    fn zero() -> Self {
        Sums { hi: [0.0; BLOCK], lo: [0.0; BLOCK] }
    }

    #[inline(always)]
    fn add<T: Real>(&mut self, i: usize, x: f64) {
        accumulate::<T>(&mut self.hi[i], &mut self.lo[i], x);
    }

    #[inline(always)]
    fn total(&self, i: usize) -> f64 {
        self.hi[i] + self.lo[i]
    }
}

/// The pixels of a block on their way from samples to results.
pub(super) struct Pixels {
    /// Best level; [`NOTHING`] where no sample is usable.
    best: Row<u32>,
    /// OR of all masks, with `no_data` for samples that are not finite.
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
}

/// Equal to no sample's level.
const NOTHING: u32 = UNUSABLE - 1;

impl Default for Pixels {
    #[inline(always)]
    fn default() -> Self {
        let (none, zero) = ([0; BLOCK], [0.0; BLOCK]);
        Pixels {
            best: [NOTHING; BLOCK],
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
        }
    }
}

impl Pixels {
    /// Level of each sample, best level of each pixel.
    #[inline(always)]
    fn grade<T: Real>(&mut self, samples: &Samples<'_, T>, levels: &Levels, level: &mut [Row<u32>]) {
        let cube = samples.cube;
        // The default hierarchy has five levels besides the last.
        let short = levels.forbidden[5..] == [0; MAX_LEVELS - 5];
        for (f, level) in level.iter_mut().enumerate() {
            let data = samples.data(f);
            let variance = if cube.variance.is_empty() { data } else { block(&cube.variance, samples.at(f)) };
            let mask = samples.mask(f).unwrap_or(&[0; BLOCK]);
            if short {
                grade::<T, 5>(data, variance, mask, levels, level, &mut self.all);
            } else {
                grade::<T, MAX_LEVELS>(data, variance, mask, levels, level, &mut self.all);
            }
            for i in 0..BLOCK {
                self.best[i] = self.best[i].min(level[i]);
            }
        }
    }

    /// Puts the samples in order and takes those that are rejected out of the words `used`.
    #[inline(always)]
    fn reject<T: Real>(&mut self, samples: &Samples<'_, T>, method: &Method, scratch: &mut Scratch<T>) {
        let Scratch { level, used, order, .. } = scratch;
        if let Reject::VarClip(clip) = &method.reject {
            // Levels were needed to say what is used.
            level.copy_from_slice(used);
            (self.low, self.high) = varclip(samples, order, clip, level, used);
            // Of what is left the order matters to medians alone.
            if method.combine.is_median() {
                self.range = order.fill(samples, used);
            }
            return;
        }
        self.range = order.fill(samples, used);
        let n = self.range.hi;
        match &method.reject {
            Reject::None | Reject::VarClip(_) => {}
            Reject::MinMax { nlow, nhigh } => {
                minmax(samples, order, [*nlow, *nhigh], &mut self.range, used);
            }
            Reject::SigClip(clip) => {
                sigclip(order, clip, &mut self.range);
                keep_between(samples, order, &self.range, used);
            }
        }
        for i in 0..BLOCK {
            self.low[i] = self.range.lo[i];
            self.high[i] = n[i] - self.range.hi[i];
        }
    }

    /// From the samples that are left to values and variances. `every`: no sample can be out.
    #[inline(always)]
    fn combine<T: Real>(
        &mut self,
        samples: &Samples<'_, T>,
        method: &Method,
        shares: Shares<'_>,
        scratch: &mut Scratch<T>,
        every: bool,
    ) {
        let Scratch { used: words, order, factors, shares: sums, .. } = scratch;
        let words = &*words;
        let frames = samples.frames();
        let has_variance = !samples.cube.variance.is_empty();
        let combine = match method.combine {
            Combine::WtMean if !has_variance => Combine::Mean,
            combine => combine,
        };
        let (propagates, scatters) = (method.errors.propagates() && has_variance, method.errors.scatters());
        let used = |f: usize| if every { &[ALL; BLOCK] } else { &words[f] };
        let (is_median, is_extreme) = (combine.is_median(), combine.is_extreme());
        let weighted = combine == Combine::WtMean;
        // The mean is asked for, or what the scatter is about.
        let sums_values =
            matches!(combine, Combine::Mean | Combine::Sum | Combine::Std) || ((is_extreme || is_median) && scatters);
        let sums_variances = propagates && (is_median || matches!(combine, Combine::Mean | Combine::Sum));
        let mut sum = Sums::zero();
        let mut sum2 = Sums::zero();
        let mut least = [f64::INFINITY; BLOCK];
        let mut chosen = [0.0; BLOCK];
        let mut of_chosen = [0.0; BLOCK];
        let mut frame_chosen = [0u32; BLOCK];
        for f in 0..frames {
            let used = used(f);
            if let Some(mask) = samples.mask(f) {
                for i in 0..BLOCK {
                    self.mask[i] |= used[i] & mask[i];
                }
            }
            if is_extreme {
                // The first that is better, so of equals the first frame's.
                let (key, w) = (samples.key(f), samples.variance(f));
                for i in 0..BLOCK {
                    let y = key[i].to_f64();
                    let better = if combine == Combine::Min { y < chosen[i] } else { y > chosen[i] };
                    let take = all_if(better | (self.good[i] == 0)) & used[i];
                    chosen[i] = f64::from_bits(keep(y, take).to_bits() | keep(chosen[i], !take).to_bits());
                    of_chosen[i] = f64::from_bits(keep(w[i], take).to_bits() | keep(of_chosen[i], !take).to_bits());
                    frame_chosen[i] = (f as u32 & take) | (frame_chosen[i] & !take);
                    self.good[i] += used[i] & 1;
                }
            } else {
                for i in 0..BLOCK {
                    self.good[i] += used[i] & 1;
                }
            }
            if sums_values {
                add(&mut sum, samples.data(f), used, &samples.affine[f]);
            }
            if has_variance {
                let variance = block(&samples.cube.variance, samples.at(f));
                let square = samples.affine[f].scale * samples.affine[f].scale;
                let zero = T::from_f32(0.0);
                for i in 0..BLOCK {
                    self.negative[i] += u32::from(variance[i] < zero);
                }
                if sums_variances {
                    for i in 0..BLOCK {
                        let above = all_if(variance[i] > zero);
                        sum2.add::<T>(i, keep(variance[i].to_f64() * square, used[i] & above));
                    }
                }
                if weighted {
                    let w = samples.variance(f);
                    for i in 0..BLOCK {
                        let w = if used[i] == ALL { w[i] } else { f64::INFINITY };
                        least[i] = if w < least[i] { w } else { least[i] };
                    }
                }
            }
        }
        // The mean, by weights if there are any, with what its rounding lost: the scatter is about it.
        let mut centre = Sums::zero();
        if sums_values {
            for i in 0..BLOCK {
                (centre.hi[i], centre.lo[i]) = quotient(sum.hi[i], sum.lo[i], f64::from(self.good[i].max(1)));
            }
        }
        if is_median {
            order.middles(&self.range, combine == Combine::LMedian, &mut chosen);
        }
        let mut weights = Sums::zero();
        // Samples that have a weight.
        let mut heavy = [0u32; BLOCK];
        if weighted {
            self.weigh(samples, used, &least, &mut weights, &mut heavy, &mut centre);
        }
        let mut square = Sums::zero();
        let mut of_square = Sums::zero();
        if scatters || combine == Combine::Std {
            for f in 0..frames {
                let used = used(f);
                let (hi, lo) = samples.value(f);
                let w = if weighted || (combine == Combine::Std && propagates) {
                    samples.variance(f)
                } else {
                    [0.0; BLOCK]
                };
                for i in 0..BLOCK {
                    let x = (hi[i] - centre.hi[i]) + (lo[i] - centre.lo[i]);
                    if weighted {
                        square.add::<T>(i, keep(x * x * weight(w[i], least[i]), used[i]));
                    } else {
                        square.add::<T>(i, keep(x * x, used[i]));
                    }
                }
                if combine == Combine::Std && propagates {
                    for i in 0..BLOCK {
                        let x = (hi[i] - centre.hi[i]) + (lo[i] - centre.lo[i]);
                        of_square.add::<T>(i, keep(x * (x * w[i]), used[i]));
                    }
                }
            }
        }
        for i in 0..BLOCK {
            let n = f64::from(self.good[i]);
            let none = self.good[i] == 0;
            let s = square.total(i);
            let share = |of: f64, by: f64| if by > 0.0 { of / by } else { 0.0 };
            let factor = if is_median { factors[self.good[i] as usize] } else { 1.0 };
            self.weight[i] = n;
            let (value, propagated, scatter) = match combine {
                Combine::Mean | Combine::Median | Combine::LMedian => (
                    if is_median { chosen[i] } else { centre.hi[i] + centre.lo[i] },
                    factor * share(sum2.total(i), n * n),
                    factor * share(s, n * (n - 1.0)),
                ),
                Combine::WtMean => {
                    let all = weights.total(i);
                    let propagated = share(least[i], all);
                    self.weight[i] = if none { 0.0 } else { all / least[i] };
                    (centre.hi[i] + centre.lo[i], propagated, share(s, (f64::from(heavy[i]) - 1.0) * all))
                }
                Combine::Sum => (sum.total(i), sum2.total(i), share(n * s, n - 1.0)),
                Combine::Min | Combine::Max => (chosen[i], of_chosen[i], 0.0),
                Combine::Std => {
                    ((s / n.max(1.0)).sqrt(), share(of_square.total(i), n * s), share(s, 2.0 * n * (n - 1.0)))
                }
            };
            let scatter = if is_extreme { share(s, n - 1.0) } else { scatter };
            self.value[i] = if none { 0.0 } else { value };
            self.scatter[i] = scatter;
            self.variance[i] = if propagates && !none { propagated } else { 0.0 };
            if !propagates {
                self.variance[i] = scatter;
            }
            self.mask[i] |= self.all[i] & all_if(none);
            self.ratio[i] =
                if self.good[i] > 1 && self.variance[i] > 0.0 { scatter / self.variance[i] } else { f64::NAN };
        }
        if shares.variables == 0 {
            return;
        }
        // What the sums over a shared variable are divided by.
        let mut divisor = [1.0; BLOCK];
        for i in 0..BLOCK {
            let n = f64::from(self.good[i].max(1));
            divisor[i] = match combine {
                Combine::Mean | Combine::Median | Combine::LMedian => n,
                Combine::WtMean => weights.total(i),
                Combine::Std => (n * square.total(i)).sqrt(),
                Combine::Sum | Combine::Min | Combine::Max => 1.0,
            };
        }
        sums.clear();
        sums.resize(shares.variables, [0.0; BLOCK]);
        let mut plane = 0;
        for (f, variables) in shares.of.iter().enumerate() {
            let used = used(f);
            let scale = samples.affine[f].scale;
            let mut factor = [0.0; BLOCK];
            match combine {
                Combine::WtMean => {
                    let w = samples.variance(f);
                    for i in 0..BLOCK {
                        factor[i] = weight(w[i], least[i]) * scale;
                    }
                }
                Combine::Std => {
                    let (hi, lo) = samples.value(f);
                    for i in 0..BLOCK {
                        factor[i] = ((hi[i] - centre.hi[i]) + (lo[i] - centre.lo[i])) * scale;
                    }
                }
                Combine::Min | Combine::Max => {
                    for i in 0..BLOCK {
                        factor[i] = keep(scale, all_if(frame_chosen[i] == f as u32));
                    }
                }
                _ => factor = [scale; BLOCK],
            }
            for &variable in variables {
                let amplitude = block(&samples.cube.shared, plane * samples.cube.stride + samples.start);
                for i in 0..BLOCK {
                    sums[variable][i] += keep(amplitude[i].to_f64() * factor[i], used[i]);
                }
                plane += 1;
            }
        }
        for sum in sums.iter() {
            for i in 0..BLOCK {
                let share = if divisor[i] > 0.0 { sum[i] / divisor[i] } else { 0.0 };
                let more = if self.good[i] > 0 { share * share } else { 0.0 };
                self.variance[i] += more;
                self.scatter[i] += more;
            }
        }
    }

    /// Weights of inverse variance, by the smallest of each pixel, and the mean by them.
    #[inline(always)]
    fn weigh<'b, T: Real>(
        &self,
        samples: &Samples<'_, T>,
        used: impl Fn(usize) -> &'b Row<u32>,
        least: &Row<f64>,
        weights: &mut Sums,
        heavy: &mut Row<u32>,
        centre: &mut Sums,
    ) {
        let mut sum = Sums::zero();
        for f in 0..samples.frames() {
            let used = used(f);
            let (hi, lo) = samples.value(f);
            let w = samples.variance(f);
            for i in 0..BLOCK {
                let weight = keep(weight(w[i], least[i]), used[i]);
                weights.add::<T>(i, weight);
                heavy[i] += u32::from(weight > 0.0);
                let hi = keep(hi[i], used[i]);
                let p = hi * weight;
                sum.add::<T>(i, p);
                if T::DTYPE != DType::F32 {
                    sum.lo[i] += lost(hi, weight, p) + keep(lo[i], used[i]) * weight;
                }
            }
        }
        for i in 0..BLOCK {
            let all = if weights.hi[i] > 0.0 { weights.hi[i] } else { 1.0 };
            let (mean, rest) = quotient(sum.hi[i], sum.lo[i], all);
            // What the sum of the weights lost.
            (centre.hi[i], centre.lo[i]) = (mean, rest - mean * (weights.lo[i] / all));
        }
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

/// The weight of a sample with variance `w` by that of the one with the smallest, so that it is at most 1.
#[inline(always)]
fn weight(w: f64, least: f64) -> f64 {
    let of_exact = if w > 0.0 { 0.0 } else { 1.0 };
    if least > 0.0 { least / w } else { of_exact }
}

/// Adds the used samples of a frame.
#[inline(always)]
fn add<T: Real>(sum: &mut Sums, data: &Row<T>, used: &Row<u32>, affine: &Affine) {
    let plain = affine.is_identity();
    match (T::DTYPE, plain) {
        (DType::F32, true) => {
            for i in 0..BLOCK {
                sum.hi[i] += keep(data[i].to_f64(), used[i]);
            }
        }
        (DType::F32, false) => {
            for i in 0..BLOCK {
                sum.hi[i] += keep(affine.apply(data[i]).0, used[i]);
            }
        }
        _ => {
            for i in 0..BLOCK {
                let (hi, lo) = if plain { (data[i].to_f64(), 0.0) } else { affine.apply(data[i]) };
                two_sum(&mut sum.hi[i], &mut sum.lo[i], keep(hi, used[i]));
                sum.lo[i] += keep(lo, used[i]);
            }
        }
    }
}

/// Takes those out whose place in order is not in the range: whatever is equal to one in it is in it too.
#[inline(always)]
fn keep_between<T: Real>(samples: &Samples<'_, T>, order: &Order<T>, range: &Range, used: &mut [Row<u32>]) {
    let (first, last) = order.ends(range);
    for (f, used) in used.iter_mut().enumerate() {
        let key = samples.key(f);
        for i in 0..BLOCK {
            used[i] &= all_if((key[i] >= first[i]) & (key[i] <= last[i]));
        }
    }
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
        let bad = all_if(!(data[i].is_finite() & variance[i].is_finite()));
        level[i] = over | bad;
        all[i] |= mask[i] | (bad & NO_DATA);
    }
}
