//! How much more variable medians and percentiles are than means, for samples that are about normal.
//!
//! A percentile lies at one order statistic or between two neighbours, so its variance is that of one, or of both with their
//! covariance: integrals over their densities, to six digits (e.g. David & Nagaraja, "Order Statistics", chapter 2).

/// Var(median) / Var(mean) of n normal samples: by simulation to 20 (6 million draws each, good to 0.1 percent), beyond by
/// what fits it there and tends to pi/2.
pub(crate) fn median_factor(n: usize) -> f64 {
    of(n, &MEDIAN, if n % 2 == 1 { ODD } else { EVEN })
}

/// The same of the lower median: for odd n the median, else the lower of the two middle samples. By integration over the
/// density of that order statistic.
pub(crate) fn lmedian_factor(n: usize) -> f64 {
    if n % 2 == 1 { median_factor(n) } else { of(n / 2, &LOWER, LOWER_REST / 2.0) }
}

fn of(n: usize, table: &[f64], rest: f64) -> f64 {
    table.get(n).copied().unwrap_or_else(|| std::f64::consts::FRAC_PI_2 * n as f64 / (n as f64 + rest))
}

/// Var(percentile) / Var(mean) of n normal samples.
pub(crate) fn percentile_factor(n: usize, percent: f64) -> f64 {
    if n < 2 {
        return n as f64;
    }
    let place = (n - 1) as f64 * percent / 100.0;
    let (rank, part) = (place.floor() + 1.0, place.fract());
    let joint = part > 0.0 && n <= MOST_JOINT;
    n as f64 * if joint { of_two(n as f64, rank, part) } else { Ranked::new(n as f64, place + 1.0).variance }
}

/// Of more samples one between two ranks is taken for a sample of a rank between them.
const MOST_JOINT: usize = 1000;
/// Points of an integral, and how far to either side of the middle they reach, in standard deviations.
const POINTS: usize = 1344;
const REACH: f64 = 14.0;

/// Standard normal: points about one, from low to high, with the density and what lies below.
struct Grid {
    step: f64,
    points: Vec<[f64; 3]>,
}

impl Grid {
    /// About the order statistic of a rank of n.
    fn about(n: f64, rank: f64) -> Self {
        let p = rank / (n + 1.0);
        let (mut low, mut high) = (-40.0, 40.0);
        for _ in 0..64 {
            let middle = (low + high) / 2.0;
            if below(middle) < p { low = middle } else { high = middle }
        }
        let sigma = (p * (1.0 - p) / (n + 2.0)).sqrt() / density(low);
        let step = 2.0 * REACH * sigma / POINTS as f64;
        let at = |i: f64| low + (i - POINTS as f64 / 2.0) * step;
        // One before, and two behind.
        let densities: Vec<f64> = (0..POINTS + 3).map(|i| density(at(i as f64 - 1.0))).collect();
        let mut under = below(at(0.0)).max(0.0);
        let points = densities.windows(4).enumerate().map(|(i, four)| {
            let point = [at(i as f64), four[1], under];
            // To the next one, by a cubic through four.
            under = (under + cubic(step, [four[0], four[1], four[2], four[3]])).min(1.0);
            point
        });
        Grid { step, points: points.collect() }
    }
}

/// The integral between the two middle ones of four equally spaced values.
fn cubic(step: f64, [a, b, c, d]: [f64; 4]) -> f64 {
    step / 24.0 * (13.0 * (b + c) - (a + d))
}

fn density(x: f64) -> f64 {
    (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt()
}

/// Of standard normal numbers the part below x, by its series.
fn below(x: f64) -> f64 {
    if x.abs() > 9.0 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let (mut term, mut sum, mut k) = (x, x, 1.0);
    while term.abs() > 1e-18 * sum.abs() {
        k += 2.0;
        term *= x * x / k;
        sum += term;
    }
    0.5 + density(x) * sum
}

/// The order statistic of a rank of n, from 1 on; the rank need not be a whole number.
struct Ranked {
    grid: Grid,
    /// Of each point the probability.
    weights: Vec<f64>,
    mean: f64,
    variance: f64,
}

impl Ranked {
    fn new(n: f64, rank: f64) -> Self {
        let grid = Grid::about(n, rank);
        let log = |[x, _, under]: &[f64; 3]| {
            let part = |p: f64, k: f64| if k > 0.0 { k * p.ln() } else { 0.0 };
            part(*under, rank - 1.0) + part(1.0 - under, n - rank) - x * x / 2.0
        };
        let logs: Vec<f64> = grid.points.iter().map(log).collect();
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut weights: Vec<f64> = logs.iter().map(|log| (log - most).exp()).collect();
        let all: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= all);
        let of = |f: &dyn Fn(f64) -> f64| weights.iter().zip(&grid.points).map(|(w, [x, ..])| w * f(*x)).sum::<f64>();
        let mean = of(&|x| x);
        let variance = of(&|x| (x - mean) * (x - mean));
        Ranked { grid, weights, mean, variance }
    }

    /// Its covariance with the next. If it is u, the next is u + g(u) on average, with g the integral from u on of
    /// ((1 - below v) / (1 - below u))^(n - rank).
    fn with_next(&self, n: f64, rank: f64) -> f64 {
        let Grid { step, points } = &self.grid;
        let above = |i: usize| points.get(i).map_or(0.0, |[.., under]| 1.0 - under);
        let (mut g, mut sum) = (0.0, 0.0);
        for (i, ([x, ..], weight)) in points.iter().zip(&self.weights).enumerate().rev() {
            let here = above(i);
            // Where next to nothing is above, it is without weight.
            if here > 1e-12 {
                let part = |k: usize| (above(k) / here).powf(n - rank);
                let before = if i > 0 { part(i - 1) } else { 1.0 };
                g = part(i + 1) * g + cubic(*step, [before, 1.0, part(i + 1), part(i + 2)]);
            }
            sum += weight * (x - self.mean) * g;
        }
        self.variance + sum
    }
}

/// Var of what lies so far from the order statistic of a rank to that of the next.
fn of_two(n: f64, rank: f64, part: f64) -> f64 {
    let (one, next) = (Ranked::new(n, rank), Ranked::new(n, rank + 1.0));
    let rest = 1.0 - part;
    rest * rest * one.variance + part * part * next.variance + 2.0 * part * rest * one.with_next(n, rank)
}

const ODD: f64 = 0.44;
const EVEN: f64 = 1.4;
const MEDIAN: [f64; 21] = [
    0.0, 1.0, 1.0, 1.347, 1.193, 1.433, 1.289, 1.473, 1.345, 1.495, 1.384, 1.509, 1.411, 1.519, 1.43, 1.526, 1.445,
    1.532, 1.458, 1.535, 1.468,
];

/// By n / 2.
const LOWER: [f64; 11] =
    [0.0, 1.36338, 1.44182, 1.47728, 1.49749, 1.51054, 1.51965, 1.52638, 1.53154, 1.53563, 1.53895];
const LOWER_REST: f64 = 0.42;

#[cfg(test)]
mod tests {
    use super::*;

    /// Variances and covariances of normal order statistics, as Sarhan & Greenberg have them ("Estimation of location and scale
    /// parameters by order statistics", Annals of Mathematical Statistics 27, 1956).
    #[test]
    fn published_variances_of_order_statistics() {
        let two = |n: f64, a: f64, b: f64, ab: f64, t: f64| {
            n * ((1.0 - t) * (1.0 - t) * a + t * t * b + 2.0 * t * (1.0 - t) * ab)
        };
        let (a, b, ab, c) = (0.447_534_069_1, 0.311_518_952_1, 0.224_330_959_6, 0.286_833_661_6);
        for (n, percent, want) in [
            (1, 30.0, 1.0),
            (2, 0.0, 2.0 * 0.681_690_113_8),
            (2, 50.0, 1.0),
            (2, 100.0, 2.0 * 0.681_690_113_8),
            (3, 25.0, two(3.0, 0.559_467_203_8, 0.448_671_104_6, 0.275_664_447_7, 0.5)),
            (3, 75.0, two(3.0, 0.559_467_203_8, 0.448_671_104_6, 0.275_664_447_7, 0.5)),
            (5, 0.0, 5.0 * a),
            (5, 25.0, 5.0 * b),
            (5, 50.0, 5.0 * c),
            (5, 5.0, two(5.0, a, b, ab, 0.2)),
            (5, 80.0, two(5.0, b, a, ab, 0.2)),
        ] {
            let got = percentile_factor(n, percent);
            assert!((got / want - 1.0).abs() < 1e-7, "{percent} of {n}: {got}, published {want}");
        }
    }

    #[test]
    fn the_fiftieth_is_the_median() {
        for n in 1..200 {
            let (got, want) = (percentile_factor(n, 50.0), median_factor(n));
            assert!((got / want - 1.0).abs() < 1.2e-3, "{n}: {got}, {want}");
        }
    }

    /// p (1 - p) / density^2, for many; and no step where neighbours are no longer told apart.
    #[test]
    fn many_samples() {
        for (percent, z) in [(50.0, 0.0), (25.0, 0.674_489_750_2), (90.0, 1.281_551_565_5)] {
            let p = percent / 100.0;
            let want = p * (1.0 - p) / (density(z) * density(z));
            for n in [900, 1000, 1001, 5000, 100_000] {
                let got = percentile_factor(n, percent);
                assert!((got / want - 1.0).abs() < 6.0 / n as f64, "{percent} of {n}: {got}, {want}");
            }
        }
    }
}
