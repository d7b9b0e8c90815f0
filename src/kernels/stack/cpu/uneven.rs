//! Frames that do not count alike: weights, exposures, and bits that must have a part of the weight.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use super::combine::{Totals, share, weight};
use super::samples::{ALL, BLOCK, Row, Samples, Shares, Sums, all_if, block, keep, lost, quotient};
use super::{Pixels, Scratch};
use crate::dtype::DType;
use crate::kernels::stack::{Combine, Method, Uneven};
use crate::real::Real;

/// Weights of a block: those of frames, times inverse variances by the least of each pixel if they count.
struct Weights<'a> {
    frames: &'a [f64],
    /// So that the largest of the frames is about 1: a power of two, which rounds nothing.
    unit: f64,
    /// Of each pixel, where variances count.
    least: Option<Row<f64>>,
}

impl<'a> Weights<'a> {
    #[inline(always)]
    fn new<'b, T: Real>(
        samples: &Samples<'_, T>,
        frames: &'a [f64],
        inverse: bool,
        used: impl Fn(usize) -> &'b Row<u32>,
    ) -> Self {
        let mut largest = 0.0;
        for &k in frames {
            largest = if k > largest { k } else { largest };
        }
        // The exponent alone.
        let unit = if largest > 0.0 { f64::from_bits(largest.to_bits() & (0x7ff << 52)) } else { 1.0 };
        let mut least = [f64::INFINITY; BLOCK];
        for f in 0..if inverse { samples.frames() } else { 0 } {
            let (w, used) = (samples.variance(f), used(f));
            for i in 0..BLOCK {
                let w = if used[i] == ALL { w[i] } else { f64::INFINITY };
                least[i] = if w < least[i] { w } else { least[i] };
            }
        }
        Weights { frames, unit, least: inverse.then_some(least) }
    }

    /// Of a frame.
    #[inline(always)]
    fn of(&self, frame: usize, w: &Row<f64>) -> Row<f64> {
        let own = self.frames.get(frame).map_or(1.0, |k| k / self.unit);
        let mut weights = [own; BLOCK];
        if let Some(least) = &self.least {
            for i in 0..BLOCK {
                weights[i] = own * weight(w[i], least[i]);
            }
        }
        weights
    }
}

impl Pixels {
    /// Rule 4 of mean and wtmean with weights of frames.
    #[inline(always)]
    pub(super) fn weighted<T: Real>(
        &mut self,
        samples: &Samples<'_, T>,
        method: &Method,
        (uneven, shares): (Uneven<'_>, Shares<'_>),
        scratch: &mut Scratch<T>,
        (every, ratio): (bool, bool),
    ) {
        let Scratch { used: words, shares: rows, .. } = scratch;
        let words = &*words;
        let used = |f: usize| if every { &[ALL; BLOCK] } else { &words[f] };
        let has_variance = !samples.cube.variance.is_empty();
        let inverse = method.combine == Combine::WtMean && has_variance;
        let (propagates, scatters) = (method.errors.propagates() && has_variance, method.errors.scatters());
        let weights = Weights::new(samples, uneven.weights, inverse, used);
        let (mut all, mut sum, mut sum2) = (Sums::zero(), Sums::zero(), Sums::zero());
        // Samples that have a weight.
        let mut heavy = [0.0; BLOCK];
        for f in 0..samples.frames() {
            let used = used(f);
            if let Some(mask) = samples.mask(f) {
                for i in 0..BLOCK {
                    self.mask[i] |= used[i] & mask[i];
                }
            }
            if has_variance {
                let variance = block(&samples.cube.variance, samples.at(f));
                for i in 0..BLOCK {
                    self.negative[i] += u32::from(variance[i] < T::from_f32(0.0));
                }
            }
            let (hi, lo) = samples.value(f);
            let w = samples.variance(f);
            let k = weights.of(f, &w);
            for i in 0..BLOCK {
                let k = keep(k[i], used[i]);
                self.good[i] += used[i] & 1;
                heavy[i] += if k > 0.0 { 1.0 } else { 0.0 };
                all.add::<T>(i, k);
                let hi = keep(hi[i], used[i]);
                let p = hi * k;
                sum.add::<T>(i, p);
                if T::DTYPE != DType::F32 {
                    sum.lo[i] += lost(hi, k, p) + keep(lo[i], used[i]) * k;
                }
                sum2.add::<T>(i, keep(k * (k * w[i]), all_if(k > 0.0)));
            }
        }
        let mut centre = Sums::zero();
        for i in 0..BLOCK {
            let by = if all.hi[i] > 0.0 { all.hi[i] } else { 1.0 };
            let (mean, rest) = quotient(sum.hi[i], sum.lo[i], by);
            // What the sum of the weights lost.
            (centre.hi[i], centre.lo[i]) = (mean, rest - mean * (all.lo[i] / by));
        }
        let mut square = Sums::zero();
        for f in 0..if scatters { samples.frames() } else { 0 } {
            let used = used(f);
            let (hi, lo) = samples.value(f);
            let k = weights.of(f, &samples.variance(f));
            for i in 0..BLOCK {
                let x = (hi[i] - centre.hi[i]) + (lo[i] - centre.lo[i]);
                square.add::<T>(i, keep(x * x * k[i], used[i]));
            }
        }
        for i in 0..BLOCK {
            let some = all_if(self.good[i] != 0);
            let by = all.total(i);
            let propagated = share(sum2.total(i), by * by);
            let scatter = share(square.total(i), (heavy[i] - 1.0) * by);
            let least = weights.least.as_ref().map_or(1.0, |least| least[i]);
            self.value[i] = keep(centre.hi[i] + centre.lo[i], some);
            self.mask[i] |= self.all[i] & !some;
            self.scatter[i] = keep(scatter, some);
            self.variance[i] = keep(if propagates { propagated } else { scatter }, some);
            self.weight[i] = if self.good[i] > 0 { by * weights.unit / least } else { 0.0 };
        }
        if ratio {
            self.compare();
        }
        if shares.variables > 0 {
            let totals = Totals {
                combine: if inverse { Combine::WtMean } else { Combine::Mean },
                centre,
                square,
                weights: all,
                least: weights.least.unwrap_or([1.0; BLOCK]),
                frame_chosen: [0; BLOCK],
                of_frames: (uneven.weights, weights.unit),
            };
            self.share::<T>(samples, shares, used, &totals, rows);
        }
    }

    /// Rules 5 and 7: bits that have too little of the weight go, and exposures are summed.
    #[inline(always)]
    pub(super) fn settle<T: Real>(
        &mut self,
        samples: &Samples<'_, T>,
        method: &Method,
        uneven: Uneven<'_>,
        scratch: &Scratch<T>,
        every: bool,
    ) {
        let used = |f: usize| if every { &[ALL; BLOCK] } else { &scratch.used[f] };
        let mut sum = [0.0; BLOCK];
        for (f, &seconds) in uneven.exposures.iter().enumerate() {
            let used = used(f);
            for i in 0..BLOCK {
                sum[i] += keep(seconds, used[i]);
            }
        }
        self.exposure = sum;
        if uneven.fractions.is_empty() || samples.cube.mask.is_empty() {
            return;
        }
        let inverse = method.combine == Combine::WtMean && !samples.cube.variance.is_empty();
        let weights = Weights::new(samples, uneven.weights, inverse, used);
        for &(bit, fraction) in uneven.fractions {
            let (mut all, mut with) = ([0.0; BLOCK], [0.0; BLOCK]);
            for f in 0..samples.frames() {
                let (used, Some(mask)) = (used(f), samples.mask(f)) else { continue };
                let k = weights.of(f, &if inverse { samples.variance(f) } else { [0.0; BLOCK] });
                for i in 0..BLOCK {
                    all[i] += keep(k[i], used[i]);
                    with[i] += keep(k[i], used[i] & all_if(mask[i] & bit != 0));
                }
            }
            for i in 0..BLOCK {
                // Where nothing was used the mask says why.
                let too_little = all_if((self.good[i] > 0) & (with[i] < fraction * all[i]));
                self.mask[i] &= !(bit & too_little);
            }
        }
    }
}
