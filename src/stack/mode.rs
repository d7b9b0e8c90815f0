//! The mode of many samples: where they lie densest.
//!
//! As IRAF's imcombine has it for `scale=mode` and `zero=mode` (its `icstat`): of n samples in order those of ranks 0.15 n to
//! 0.85 n, and a bin a tenth as wide as they reach. It moves in steps of a hundredth of that reach from the lowest on; of the
//! places where it holds most samples the first counts, and the mode is the sample in its middle, of two the upper. Of less than
//! ten samples it is the median.
//!
//! What is bright or dark and rare does not move it. Counts that are whole numbers may be fewer than the bins: then it is
//! mostly the number that occurs most. Its own scatter is that of modes, for normal samples some hundredths of their sigma
//! where there are millions: several times that of a median. IRAF takes no more than 100,000 pixels and single precision.
//!
//! Nothing is sorted: ranks are found by selection, and the bins from the counts of a hundred short ones.

use crate::kernels::stack::midpoint;

/// Of fewer samples the median.
const LEAST: usize = 10;
/// Steps from the lowest to the highest sample that is looked at.
const STEPS: usize = 100;
/// Steps in a bin.
const BIN: usize = 10;

/// Of finite numbers, which it puts in another order; `None` of none.
pub(super) fn mode(values: &mut [f64]) -> Option<f64> {
    let n = values.len();
    if n < LEAST {
        return median(values);
    }
    let (from, to) = (n * 3 / 20, n * 17 / 20);
    let highest = *values.select_nth_unstable_by(to, f64::total_cmp).1;
    let below = values.get_mut(..to)?;
    let lowest = *below.select_nth_unstable_by(from, f64::total_cmp).1;
    let inside = below.get_mut(from..)?;
    let step = (highest - lowest) / STEPS as f64;
    // Where they are all equal, or as good as that, or too far apart for a number.
    if !(step > 0.0 && step.is_finite()) {
        return median(inside);
    }
    let edge = |k: usize| lowest + k as f64 * step;
    let place = |x: f64| {
        let mut k = (((x - lowest) / step) as usize).min(STEPS);
        while k > 0 && x < edge(k) {
            k -= 1;
        }
        while k < STEPS && x >= edge(k + 1) {
            k += 1;
        }
        k
    };
    // The last is of what is equal to the highest.
    let mut counts = [0usize; STEPS + 1];
    for x in inside.iter() {
        counts[place(*x)] += 1;
    }
    let (mut best, mut most) = (0, 0);
    for (k, bin) in counts.windows(BIN).enumerate() {
        let held = bin.iter().sum();
        if held > most {
            (best, most) = (k, held);
        }
    }
    let mut held: Vec<f64> = inside.iter().copied().filter(|x| (best..best + BIN).contains(&place(*x))).collect();
    let middle = held.len() / 2;
    (middle < held.len()).then(|| *held.select_nth_unstable_by(middle, f64::total_cmp).1)
}

/// The middle sample, or between the two middle ones.
fn median(values: &mut [f64]) -> Option<f64> {
    let n = values.len();
    if n == 0 {
        return None;
    }
    let (below, upper, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(if n % 2 == 1 { *upper } else { midpoint(lower, *upper).0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the definition: everything in order, the bin at each of its places.
    fn sorted_mode(values: &[f64]) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        if n < 10 {
            return sorted[(n - 1) / 2] / 2.0 + sorted[n / 2] / 2.0;
        }
        let (low, high) = (sorted[n * 15 / 100], sorted[n * 85 / 100]);
        let inside = &sorted[n * 15 / 100..n * 85 / 100];
        let step = (high - low) / 100.0;
        let mut best: (usize, f64) = (0, inside[inside.len() / 2]);
        for k in 0..=91 {
            let (from, to) = (low + f64::from(k) * step, low + f64::from(k + 10) * step);
            let held: Vec<f64> = inside.iter().copied().filter(|x| *x >= from && (*x < to || k == 91)).collect();
            if held.len() > best.0 {
                best = (held.len(), held[held.len() / 2]);
            }
        }
        best.1
    }

    /// A simple generator: xorshift, and sums of twelve for normal numbers.
    struct Random(u64);

    impl Random {
        fn uniform(&mut self) -> f64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as f64 / (1u64 << 53) as f64
        }

        fn normal(&mut self) -> f64 {
            (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
        }
    }

    #[test]
    fn it_is_what_the_definition_says() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for n in (1..60).chain([64, 99, 100, 101, 640, 5000, 20_011]) {
            for kind in 0..6 {
                let values: Vec<f64> = (0..n)
                    .map(|_| match kind {
                        0 => 1000.0 + 30.0 * random.normal(),
                        1 => (100.0 + 4.0 * random.normal()).round(),
                        2 => (1e6 * random.normal()).round(),
                        3 => (random.normal()).exp(),
                        4 => (3.0 * random.uniform()).floor(),
                        _ => -7.0,
                    })
                    .collect();
                let mut own = values.clone();
                assert_eq!(mode(&mut own), Some(sorted_mode(&values)), "{n} of kind {kind}");
                own.sort_by(f64::total_cmp);
                let mut sorted = values.clone();
                sorted.sort_by(f64::total_cmp);
                assert_eq!(own, sorted, "nothing is lost");
            }
        }
    }

    #[test]
    fn it_is_where_most_are() {
        let mut random = Random(77);
        // A sky, and a third as many samples of stars above it, which move the mean and the median.
        let mut values: Vec<f64> = (0..300_000).map(|_| 500.0 + 20.0 * random.normal()).collect();
        values.extend((0..100_000).map(|_| 520.0 + 2000.0 * random.uniform()));
        let found = mode(&mut values).unwrap();
        assert!((found - 500.0).abs() < 6.0, "{found}");
        let median = median(&mut values).unwrap();
        assert!(median > 508.0, "{median}");
    }

    #[test]
    fn ends_are_no_numbers_of_bins() {
        assert_eq!(mode(&mut []), None);
        assert_eq!(mode(&mut [3.0]), Some(3.0));
        assert_eq!(mode(&mut [3.0, 5.0]), Some(4.0));
        let mut far: Vec<f64> = (0..20).map(|i| if i % 2 == 0 { f64::MAX } else { f64::MIN }).collect();
        assert!(mode(&mut far).is_some());
        let mut near: Vec<f64> = (0..20).map(|i| f64::from(i % 2) * f64::from_bits(1)).collect();
        assert!(mode(&mut near).is_some());
    }
}
