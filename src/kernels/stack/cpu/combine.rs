//! Rule 4: from the samples that are left to values and variances.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use super::bitwise::bitwise;
use super::samples::{
    ALL, BLOCK, LANES, Row, Samples, Shares, Sums, all_if, block, keep, lost, part, quotient, two_sum,
};
use super::{Pixels, Scratch};
use crate::dtype::DType;
use crate::kernels::stack::{Affine, Combine, Method};
use crate::real::Real;

/// What the samples that are left came to, as far as shared variables need it.
pub(super) struct Totals<'a> {
    pub combine: Combine,
    /// The mean, by weights if there are any.
    pub centre: Sums,
    /// Sum of squares of differences from it; in quadrature of the samples themselves.
    pub square: Sums,
    pub weights: Sums,
    /// The smallest variance of each pixel.
    pub least: Row<f64>,
    /// Of minimum and maximum the frame that it is of.
    pub frame_chosen: Row<u32>,
    /// Weights of the frames, if they have any, and their unit.
    pub of_frames: (&'a [f64], f64),
}

impl Pixels {
    /// From the samples that are left to values and variances. `every`: no sample can be out. `ratio`: it is asked for.
    #[inline(always)]
    pub(super) fn combine<T: Real>(
        &mut self,
        samples: &Samples<'_, T>,
        method: &Method,
        shares: Shares<'_>,
        scratch: &mut Scratch<T>,
        every: bool,
        ratio: bool,
    ) {
        let Scratch { used: words, order, factors, shares: sums, .. } = scratch;
        let words = &*words;
        let frames = samples.frames();
        let has_variance = !samples.cube.variance.is_empty();
        let combine = match method.combine {
            Combine::WtMean if !has_variance => Combine::Mean,
            combine => combine,
        };
        let (propagates, scatters) =
            (method.errors.propagates() && has_variance, method.errors.scatters() && !combine.is_bitwise());
        let used = |f: usize| if every { &[ALL; BLOCK] } else { &words[f] };
        let (by_rank, is_extreme) = (combine.is_by_rank(), combine.is_extreme());
        let in_quadrature = combine == Combine::Quadrature;
        let weighted = combine == Combine::WtMean;
        // The mean is asked for, or what the scatter is about.
        let sums_values = matches!(combine, Combine::Mean | Combine::Sum | Combine::Std)
            || ((is_extreme || by_rank || in_quadrature) && scatters);
        let sums_variances = propagates && (by_rank || matches!(combine, Combine::Mean | Combine::Sum));
        let mut sum = Sums::zero();
        let mut sum2 = Sums::zero();
        let mut least = [f64::INFINITY; BLOCK];
        let mut chosen = [0.0; BLOCK];
        let mut of_chosen = [0.0; BLOCK];
        let mut frame_chosen = [0u32; BLOCK];
        let in_lanes = T::DTYPE == DType::F32 && !is_extreme && !weighted;
        if in_lanes {
            self.sum_lanes(samples, used, (sums_values, sums_variances), (&mut sum, &mut sum2));
        }
        // Otherwise a row after the other.
        let rows = if in_lanes { 0 } else { frames };
        for f in 0..rows {
            let used = used(f);
            if let Some(mask) = samples.mask(f) {
                for i in 0..BLOCK {
                    self.mask[i] |= used[i] & mask[i];
                }
            }
            if is_extreme {
                // The first that is better, so of equals the first frame's.
                let mut own = [T::from_f32(0.0); BLOCK];
                let (key, w) = (samples.key(f, &mut own), samples.variance(f));
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
        match combine {
            Combine::Percentile(percent) => order.percentiles(&self.range, percent.get(), &mut chosen),
            _ if by_rank => order.middles(&self.range, combine == Combine::LMedian, &mut chosen),
            _ => {}
        }
        let mut weights = Sums::zero();
        // Samples that have a weight.
        let mut heavy = [0u32; BLOCK];
        if weighted {
            self.weigh(samples, used, &least, &mut weights, &mut heavy, &mut centre);
        }
        let mut square = Sums::zero();
        let mut of_square = Sums::zero();
        if in_lanes && scatters && combine != Combine::Std {
            squares_lanes(samples, used, &centre, &mut square);
        } else if scatters || combine == Combine::Std {
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
        // Of the samples themselves, and by their variances.
        let mut about_zero = Sums::zero();
        if in_quadrature {
            for f in 0..frames {
                let used = used(f);
                let (hi, lo) = samples.value(f);
                let w = if propagates { samples.variance(f) } else { [0.0; BLOCK] };
                for i in 0..BLOCK {
                    let square = hi[i] * hi[i];
                    let weighed = square * w[i];
                    about_zero.add::<T>(i, keep(square, used[i]));
                    of_square.add::<T>(i, keep(weighed, used[i]));
                    if T::DTYPE != DType::F32 {
                        let rest = lost(hi[i], hi[i], square) + 2.0 * hi[i] * lo[i];
                        about_zero.lo[i] += keep(rest, used[i]);
                        of_square.lo[i] += keep(lost(square, w[i], weighed) + rest * w[i], used[i]);
                    }
                }
            }
        }
        let mut n = [0.0; BLOCK];
        for i in 0..BLOCK {
            n[i] = f64::from(self.good[i]);
        }
        self.weight = n;
        let (mut value, mut propagated, mut scatter) = ([0.0; BLOCK], [0.0; BLOCK], [0.0; BLOCK]);
        match combine {
            Combine::Mean | Combine::Median | Combine::LMedian | Combine::Percentile(_) => {
                let mut factor = [1.0; BLOCK];
                value = chosen;
                if by_rank {
                    find(combine, factors, &self.good);
                    for i in 0..BLOCK {
                        factor[i] = factors[self.good[i] as usize];
                    }
                } else {
                    for i in 0..BLOCK {
                        value[i] = centre.hi[i] + centre.lo[i];
                    }
                }
                if propagates {
                    for i in 0..BLOCK {
                        propagated[i] = factor[i] * share(sum2.total(i), n[i] * n[i]);
                    }
                }
                if scatters {
                    for i in 0..BLOCK {
                        scatter[i] = factor[i] * share(square.total(i), n[i] * (n[i] - 1.0));
                    }
                }
            }
            Combine::WtMean => {
                for i in 0..BLOCK {
                    let all = weights.total(i);
                    value[i] = centre.hi[i] + centre.lo[i];
                    propagated[i] = share(least[i], all);
                    scatter[i] = share(square.total(i), (f64::from(heavy[i]) - 1.0) * all);
                    self.weight[i] = if n[i] > 0.0 { all / least[i] } else { 0.0 };
                }
            }
            Combine::Sum => {
                for i in 0..BLOCK {
                    value[i] = sum.total(i);
                    propagated[i] = sum2.total(i);
                    scatter[i] = share(n[i] * square.total(i), n[i] - 1.0);
                }
            }
            Combine::Or | Combine::And => value = bitwise(samples, combine, used),
            Combine::Min | Combine::Max => {
                (value, propagated) = (chosen, of_chosen);
                for i in 0..BLOCK {
                    scatter[i] = share(square.total(i), n[i] - 1.0);
                }
            }
            Combine::Std => {
                for i in 0..BLOCK {
                    let s = square.total(i);
                    value[i] = (s / if n[i] > 1.0 { n[i] } else { 1.0 }).sqrt();
                    propagated[i] = share(of_square.total(i), n[i] * s);
                    scatter[i] = share(s, 2.0 * n[i] * (n[i] - 1.0));
                }
            }
            Combine::Quadrature => {
                for i in 0..BLOCK {
                    let all = about_zero.total(i);
                    value[i] = all.sqrt() / if n[i] > 1.0 { n[i] } else { 1.0 };
                    propagated[i] = share(of_square.total(i), n[i] * n[i] * all);
                    scatter[i] = share(square.total(i), n[i] * n[i] * (n[i] - 1.0));
                }
            }
        }
        for i in 0..BLOCK {
            let some = all_if(self.good[i] != 0);
            self.value[i] = keep(value[i], some);
            self.mask[i] |= self.all[i] & !some;
            propagated[i] = keep(propagated[i], some);
        }
        self.scatter = scatter;
        self.variance = if propagates { propagated } else { scatter };
        if ratio {
            self.compare();
        }
        if shares.variables > 0 {
            let square = if in_quadrature { about_zero } else { square };
            let of_frames = (&[][..], 1.0);
            let totals = Totals { combine, centre, square, weights, least, frame_chosen, of_frames };
            self.share::<T>(samples, shares, used, &totals, sums);
        }
    }

    /// The ratio of both variances.
    #[inline(always)]
    pub(super) fn compare(&mut self) {
        for i in 0..BLOCK {
            let (w, s) = (self.variance[i], self.scatter[i]);
            self.ratio[i] = if (self.good[i] > 1) & (w > 0.0) { s / w } else { f64::NAN };
        }
    }

    /// The sums of f32 samples and of their variances, a few pixels at a time, so that they stay in registers; counts and
    /// masks with them.
    #[inline(always)]
    fn sum_lanes<'b, T: Real>(
        &mut self,
        samples: &Samples<'_, T>,
        used: impl Fn(usize) -> &'b Row<u32>,
        (values, variances): (bool, bool),
        (sum, sum2): (&mut Sums, &mut Sums),
    ) {
        let cube = samples.cube;
        let (has_mask, has_variance) = (!cube.mask.is_empty(), !cube.variance.is_empty());
        let zero = T::from_f32(0.0);
        for from in (0..BLOCK).step_by(LANES) {
            let (mut x, mut w) = ([0f64; LANES], [0f64; LANES]);
            let (mut good, mut mask, mut negative) = ([0u32; LANES], [0u32; LANES], [0u32; LANES]);
            for f in 0..cube.frames {
                let used = part::<u32, LANES>(used(f), from);
                let affine = &samples.affine[f];
                for i in 0..LANES {
                    good[i] += used[i] & 1;
                }
                if has_mask {
                    let bits = samples.mask_part::<LANES>(f, from);
                    for i in 0..LANES {
                        mask[i] |= used[i] & bits[i];
                    }
                }
                if values {
                    let data = samples.data_part::<LANES>(f, from);
                    let identity = affine.is_identity();
                    for i in 0..LANES {
                        x[i] += keep(if identity { data[i].to_f64() } else { affine.apply(data[i]).0 }, used[i]);
                    }
                }
                if has_variance {
                    let variance = samples.variance_part::<LANES>(f, from);
                    for i in 0..LANES {
                        negative[i] += u32::from(variance[i] < zero);
                    }
                    if variances {
                        let square = affine.scale * affine.scale;
                        for i in 0..LANES {
                            w[i] += keep(variance[i].to_f64() * square, used[i] & all_if(variance[i] > zero));
                        }
                    }
                }
            }
            for i in 0..LANES {
                (sum.hi[from + i], sum2.hi[from + i]) = (x[i], w[i]);
                (self.good[from + i], self.mask[from + i], self.negative[from + i]) = (good[i], mask[i], negative[i]);
            }
        }
    }

    /// Rule 4, shared variables: adds to both variances what they come to.
    #[inline(always)]
    pub(super) fn share<'b, T: Real>(
        &mut self,
        samples: &Samples<'_, T>,
        shares: Shares<'_>,
        used: impl Fn(usize) -> &'b Row<u32>,
        totals: &Totals<'_>,
        sums: &mut Vec<Row<f64>>,
    ) {
        let Totals { combine, centre, square, weights, least, frame_chosen, of_frames: (of_frames, unit) } = totals;
        // What the sums over a shared variable are divided by.
        let mut divisor = [1.0; BLOCK];
        for i in 0..BLOCK {
            let n = f64::from(self.good[i].max(1));
            divisor[i] = match combine {
                Combine::Mean if !of_frames.is_empty() => weights.total(i),
                Combine::Mean | Combine::Median | Combine::LMedian | Combine::Percentile(_) => n,
                Combine::WtMean => weights.total(i),
                Combine::Std => (n * square.total(i)).sqrt(),
                Combine::Quadrature => n * square.total(i).sqrt(),
                Combine::Sum | Combine::Min | Combine::Max | Combine::Or | Combine::And => 1.0,
            };
        }
        sums.clear();
        sums.resize(shares.variables, [0.0; BLOCK]);
        let mut plane = 0;
        for (f, variables) in shares.of.iter().enumerate() {
            let used = used(f);
            let scale = samples.affine[f].scale * of_frames.get(f).map_or(1.0, |k| k / unit);
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
                Combine::Quadrature => {
                    let (hi, lo) = samples.value(f);
                    for i in 0..BLOCK {
                        factor[i] = (hi[i] + lo[i]) * scale;
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
}

/// Finds the factors that are wanted and not there yet.
fn find(combine: Combine, factors: &mut [f64], wanted: &Row<u32>) {
    for n in wanted.map(|n| n as usize) {
        if factors[n].is_nan() {
            factors[n] = combine.factor(n);
        }
    }
}

/// The sums of squares of f32 samples about a centre, as [`Pixels::sum_lanes`].
#[inline(always)]
fn squares_lanes<'b, T: Real>(
    samples: &Samples<'_, T>,
    used: impl Fn(usize) -> &'b Row<u32>,
    centre: &Sums,
    square: &mut Sums,
) {
    for from in (0..BLOCK).step_by(LANES) {
        let (hi, lo) = (part::<f64, LANES>(&centre.hi, from), part::<f64, LANES>(&centre.lo, from));
        let mut sum = [0f64; LANES];
        for f in 0..samples.frames() {
            let (used, data) = (part::<u32, LANES>(used(f), from), samples.data_part::<LANES>(f, from));
            let affine = &samples.affine[f];
            let identity = affine.is_identity();
            for i in 0..LANES {
                let x = if identity { data[i].to_f64() } else { affine.apply(data[i]).0 };
                let t = (x - hi[i]) + (0.0 - lo[i]);
                sum[i] += keep(t * t, used[i]);
            }
        }
        square.hi[from..from + LANES].copy_from_slice(&sum);
    }
}

/// `of` / `by`; 0 where there is nothing to divide by.
#[inline(always)]
pub(super) fn share(of: f64, by: f64) -> f64 {
    if by > 0.0 { of / by } else { 0.0 }
}

/// The weight of a sample with variance `w` by that of the one with the smallest, so that it is at most 1.
#[inline(always)]
pub(super) fn weight(w: f64, least: f64) -> f64 {
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
