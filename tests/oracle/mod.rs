//! The oracle of the mean stack: slow, obvious, one pixel at a time.
//!
//! Every engine is judged against this module, so it shares no code with the crate: it is written
//! from the rules alone, in f64, without tiles, lanes or threads. Keep it dull.
//!
//! **Samples.** A pixel of the output has one sample per frame: value d, variance v (or none), mask
//! bits. Frame i has a scale s and a zero z; the stack is made of `d*s + z` with variance `v*s^2`.
//!
//! **Usable.** A sample whose value or variance is NaN or infinite is unusable, as if its mask had
//! [`NO_DATA`]. That includes a variance which is not used in the end because another frame has
//! none. A negative variance counts as 0.
//!
//! **Hierarchy.** Of the usable samples the least bad are taken: those without a bit outside the
//! first of the cumulative levels that admits at least one. A mask of 0 passes the first level.
//! Bits in no level count as the worst. The mask of the result is the OR of the masks of the
//! samples taken; the badness that was left out leaves no trace in it.
//!
//! **Mean.** Over the n samples taken: `sum(d)/n`. If every frame has a variance, taken or not:
//! `sum(v)/n^2`. Otherwise the scatter of the mean, `sum((d-mean)^2) / (n(n-1))`, which is 0 for
//! one sample.
//!
//! **Nothing usable** (also for no frames at all): value 0, variance 0, and the OR of all masks
//! with [`NO_DATA`], so that a pixel without data never looks good.
//!
//! **Own error.** Sums run in pairs of f64 whose parts do not overlap (two-sum, and a fused
//! multiply-add for the low part of a product): some 100 bits. The results are therefore the exact
//! ones rounded once, give or take 1 ULP of f64, far below the ULPs of f32 that the engines are
//! allowed. Values are expected below 1e150, so that squares stay finite.
//!
//! The hierarchy and its bits are those of DRAGONS 168d296 (`NDStacker`), except that there bits of
//! 128 and above belong to no level, so that a pixel that has one in all frames comes out as a mean
//! of nothing with a good mask.
#![allow(dead_code, unused_imports, reason = "each test binary includes this file and uses its own part of it")]

pub mod expr;
pub mod stack;

/// The mask bit of a pixel that holds no data.
pub const NO_DATA: u32 = 16;

/// Cumulative allowed bits, from good to bad: non-linear and saturated, then also cosmic ray,
/// overlap, bad pixel, unilluminated, and at last everything: [`NO_DATA`] and all bits from 128 up.
pub const LEVELS: [u32; 6] = [2 | 4, 2 | 4 | 8, 2 | 4 | 8 | 32, 2 | 4 | 8 | 32 | 1, 2 | 4 | 8 | 32 | 1 | 64, u32::MAX];

/// What one frame has at a pixel. `variance` is `None` where the frame carries no variance plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    pub value: f64,
    pub variance: Option<f64>,
    pub dq: u32,
}

/// What the stack has at a pixel. `good` is the number of samples in the mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pixel {
    pub value: f64,
    pub variance: f64,
    pub dq: u32,
    pub good: u32,
}

/// The mean of one pixel. `scale` and `zero` have one element per sample.
///
/// # Panics
///
/// If `scale` or `zero` is not as long as `samples`: a fault of the test.
pub fn mean(samples: &[Sample], scale: &[f64], zero: &[f64], levels: &[u32]) -> Pixel {
    assert_eq!(samples.len(), scale.len(), "one scale per sample");
    assert_eq!(samples.len(), zero.len(), "one zero per sample");

    let taken = least_bad(samples, levels);
    if taken.is_empty() {
        return Pixel {
            value: 0.0,
            variance: 0.0,
            dq: samples.iter().fold(NO_DATA, |dq, sample| dq | sample.dq),
            good: 0,
        };
    }

    let n = taken.len() as f64;
    let scaled = |i: usize| Pair::product(samples[i].value, scale[i]).plus(Pair::from(zero[i]));
    let mean = sum(taken.iter().map(|&i| scaled(i))).over(n);

    let variance = if samples.iter().all(|sample| sample.variance.is_some()) {
        let scaled_variance = |i: usize| {
            let variance = samples[i].variance.unwrap_or(0.0).max(0.0);
            Pair::product(scale[i], scale[i]).times(Pair::from(variance))
        };
        sum(taken.iter().map(|&i| scaled_variance(i))).over(n * n)
    } else if taken.len() > 1 {
        let squared = |i: usize| {
            let deviation = scaled(i).plus(mean.negated());
            deviation.times(deviation)
        };
        sum(taken.iter().map(|&i| squared(i))).over(n * (n - 1.0))
    } else {
        Pair::from(0.0)
    };

    Pixel {
        value: mean.rounded(),
        variance: variance.rounded(),
        dq: taken.iter().fold(0, |dq, &i| dq | samples[i].dq),
        good: taken.len() as u32,
    }
}

/// Indices of the samples that the hierarchy takes; empty only if none is usable.
fn least_bad(samples: &[Sample], levels: &[u32]) -> Vec<usize> {
    let usable = |sample: &Sample| sample.value.is_finite() && sample.variance.is_none_or(f64::is_finite);
    // A last level that admits everything, for bits that the caller put in no level.
    for &level in levels.iter().chain(&[u32::MAX]) {
        let admitted: Vec<usize> =
            (0..samples.len()).filter(|&i| usable(&samples[i]) && samples[i].dq & !level == 0).collect();
        if !admitted.is_empty() {
            return admitted;
        }
    }
    Vec::new()
}

/// A number as the unevaluated sum of two f64, the second below half an ULP of the first.
#[derive(Clone, Copy)]
struct Pair {
    high: f64,
    low: f64,
}

impl Pair {
    fn from(value: f64) -> Self {
        Pair { high: value, low: 0.0 }
    }

    /// a + b without error (Knuth's two-sum).
    fn sum(a: f64, b: f64) -> Self {
        let high = a + b;
        let b_part = high - a;
        let low = (a - (high - b_part)) + (b - b_part);
        Pair { high, low }
    }

    /// a * b without error, short of underflow.
    fn product(a: f64, b: f64) -> Self {
        let high = a * b;
        Pair { high, low: a.mul_add(b, -high) }
    }

    fn plus(self, other: Self) -> Self {
        let high = Pair::sum(self.high, other.high);
        let low = Pair::sum(self.low, other.low);
        let inner = Pair::sum(high.high, high.low + low.high);
        Pair::sum(inner.high, inner.low + low.low)
    }

    fn times(self, other: Self) -> Self {
        let high = Pair::product(self.high, other.high);
        Pair::sum(high.high, high.low + (self.high * other.low + self.low * other.high))
    }

    fn over(self, divisor: f64) -> Self {
        let quotient = self.high / divisor;
        let remainder = (-quotient).mul_add(divisor, self.high) + self.low;
        Pair::sum(quotient, remainder / divisor)
    }

    fn negated(self) -> Self {
        Pair { high: -self.high, low: -self.low }
    }

    fn rounded(self) -> f64 {
        self.high + self.low
    }
}

fn sum(terms: impl Iterator<Item = Pair>) -> Pair {
    terms.fold(Pair::from(0.0), Pair::plus)
}

#[cfg(test)]
mod tests {
    use super::{LEVELS, NO_DATA, Pixel, Sample, mean};

    /// Values 1, 2, 4, ... so that the mean tells which samples are in it; variance 1 each.
    fn flagged(dq: &[u32]) -> Pixel {
        let samples: Vec<Sample> = dq
            .iter()
            .enumerate()
            .map(|(i, &dq)| Sample { value: f64::from(1u32 << i), variance: Some(1.0), dq })
            .collect();
        plain(&samples)
    }

    fn plain(samples: &[Sample]) -> Pixel {
        mean(samples, &vec![1.0; samples.len()], &vec![0.0; samples.len()], &LEVELS)
    }

    fn with_variance(samples: &[(f64, f64)]) -> Vec<Sample> {
        samples.iter().map(|&(value, variance)| Sample { value, variance: Some(variance), dq: 0 }).collect()
    }

    fn without_variance(values: &[f64]) -> Vec<Sample> {
        values.iter().map(|&value| Sample { value, variance: None, dq: 0 }).collect()
    }

    #[track_caller]
    fn assert_takes(dq: &[u32], taken: &[usize], out: u32) {
        let n = taken.len() as f64;
        let value = taken.iter().map(|&i| f64::from(1u32 << i)).sum::<f64>() / n;
        let want = Pixel { value, variance: 1.0 / n, dq: out, good: taken.len() as u32 };
        assert_eq!(flagged(dq), want, "masks {dq:?}");
    }

    #[test]
    fn levels_only_grow() {
        assert!(LEVELS.windows(2).all(|pair| pair[0] & !pair[1] == 0 && pair[0] != pair[1]));
        assert_eq!(LEVELS[4], 127 & !NO_DATA);
    }

    /// The cases that DRAGONS tests its own hierarchy with (`test_process_mask`).
    #[test]
    fn hierarchy_of_the_reference() {
        assert_takes(&[5, 9, 8, 8], &[2, 3], 8);
        assert_takes(&[0, 1, 2, 3], &[0, 2], 2);
        assert_takes(&[2, 4, 0, 1], &[0, 1, 2], 6);
        assert_takes(&[2, 4, 8, 8], &[0, 1], 6);
        assert_takes(&[8, 1, 9, 1], &[0], 8);
        assert_takes(&[16, 64, 1], &[2], 1);
        assert_takes(&[64, 16], &[0], 64);
    }

    #[test]
    fn high_bits_are_the_worst_level_and_are_not_lost() {
        assert_takes(&[128, 0], &[1], 0);
        assert_takes(&[128, 64], &[1], 64);
        assert_takes(&[128, 128], &[0, 1], 128);
        assert_takes(&[16, 128], &[0, 1], 144);
        assert_takes(&[1 << 31, 1 << 15], &[0, 1], 1 << 31 | 1 << 15);
        assert_takes(&[16, 16], &[0, 1], 16);
    }

    #[test]
    fn levels_of_the_caller() {
        let samples = [1, 2].map(|dq| Sample { value: f64::from(dq), variance: None, dq });
        let stack = |levels: &[u32]| mean(&samples, &[1.0; 2], &[0.0; 2], levels);
        assert_eq!(stack(&[1, 3]).dq, 1);
        assert_eq!(stack(&[2, 3]).dq, 2);
        assert_eq!(stack(&[4]).dq, 3);
        assert_eq!(stack(&[]).dq, 3);
    }

    #[test]
    fn samples_that_are_not_finite_are_left_out() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let want = Pixel { value: 3.0, variance: 2.0, dq: 0, good: 1 };
            assert_eq!(plain(&with_variance(&[(bad, 1.0), (3.0, 2.0)])), want);
            assert_eq!(plain(&with_variance(&[(9.0, bad), (3.0, 2.0)])), want);
            let want = Pixel { value: 3.0, variance: 0.0, dq: 0, good: 1 };
            assert_eq!(plain(&without_variance(&[3.0, bad])), want);
        }
    }

    #[test]
    fn a_bad_finite_sample_beats_a_good_one_that_is_not_finite() {
        let samples = [
            Sample { value: f64::NAN, variance: Some(1.0), dq: 2 },
            Sample { value: 7.0, variance: Some(4.0), dq: 128 },
        ];
        assert_eq!(plain(&samples), Pixel { value: 7.0, variance: 4.0, dq: 128, good: 1 });
    }

    #[test]
    fn nothing_usable_is_zero_and_never_looks_good() {
        let nothing = |dq| Pixel { value: 0.0, variance: 0.0, dq, good: 0 };
        assert_eq!(plain(&[]), nothing(16));
        assert_eq!(plain(&without_variance(&[f64::NAN])), nothing(16));
        let samples = [
            Sample { value: f64::NAN, variance: Some(1.0), dq: 1 },
            Sample { value: 1.0, variance: Some(f64::INFINITY), dq: 256 },
        ];
        assert_eq!(plain(&samples), nothing(1 | 256 | 16));
    }

    #[test]
    fn one_sample_is_itself() {
        let want = Pixel { value: 5.0, variance: 3.0, dq: 0, good: 1 };
        assert_eq!(plain(&with_variance(&[(5.0, 3.0)])), want);
        assert_eq!(plain(&without_variance(&[5.0])), Pixel { variance: 0.0, ..want });
    }

    #[test]
    fn variance_is_propagated_if_all_have_it() {
        let want = Pixel { value: 2.0, variance: 6.0 / 9.0, dq: 0, good: 3 };
        assert_eq!(plain(&with_variance(&[(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)])), want);
        // A negative variance adds nothing, and its sample stays in.
        let want = Pixel { value: 2.0, variance: 0.5, dq: 0, good: 2 };
        assert_eq!(plain(&with_variance(&[(1.0, -8.0), (3.0, 2.0)])), want);
    }

    #[test]
    fn variance_is_the_scatter_if_one_has_none() {
        // sum of squares 2 over 3 * 2
        let want = Pixel { value: 2.0, variance: 1.0 / 3.0, dq: 0, good: 3 };
        assert_eq!(plain(&without_variance(&[1.0, 2.0, 3.0])), want);
        let mut mixed = with_variance(&[(1.0, 50.0), (2.0, 50.0), (3.0, 50.0)]);
        mixed[1].variance = None;
        assert_eq!(plain(&mixed), want);
        // The frame without variance decides even where the hierarchy leaves it out.
        mixed[1].dq = 64;
        assert_eq!(plain(&mixed), Pixel { value: 2.0, variance: 1.0, dq: 0, good: 2 });
    }

    #[test]
    fn scale_and_zero_come_first() {
        let samples = with_variance(&[(1.0, 1.0), (2.0, 1.0)]);
        let want = Pixel { value: (12.0 - 5.0) / 2.0, variance: (4.0 + 25.0) / 4.0, dq: 0, good: 2 };
        assert_eq!(mean(&samples, &[2.0, 5.0], &[0.0, -5.0], &LEVELS), want);
        // A sign in the scale is not a sign in the variance.
        assert_eq!(mean(&samples[..1], &[-2.0], &[0.0], &LEVELS).variance, 4.0);
    }

    #[test]
    fn its_own_rounding_does_not_matter() {
        // A plain f64 sum gives 0 here.
        assert_eq!(plain(&without_variance(&[1e17, 1.0, 1.0, -1e17])).value, 0.5);
        // 1,000 samples at 1e6 with a scatter in the last places: levels cancel exactly.
        let step = 2f64.powi(-30);
        let values: Vec<f64> = (0..1000).map(|i| 1e6 + f64::from(i % 2) * step).collect();
        let pixel = plain(&without_variance(&values));
        assert_eq!(pixel.value, 1e6 + step / 2.0);
        assert_eq!(pixel.variance, step * step / 4.0 / 999.0);
        // A mean that f64 cannot hold: the deviations are from the exact one.
        let variance = plain(&without_variance(&[1e17, 1e17, 1e17 + 16.0])).variance;
        assert!((variance - 256.0 / 9.0).abs() < 1e-14, "{variance}");
        // Tenths have no exact f64: the sum of ten is off by an ULP, the compensated mean is not.
        assert_eq!(plain(&without_variance(&[0.1; 10])), Pixel { value: 0.1, variance: 0.0, dq: 0, good: 10 });
    }

    #[test]
    #[should_panic(expected = "one scale per sample")]
    fn lengths_must_agree() {
        mean(&without_variance(&[1.0]), &[], &[0.0], &LEVELS);
    }
}
