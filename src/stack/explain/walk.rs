//! The rules of the stack to where its samples are combined, for one pixel, step by step and in plain numbers. They are on
//! the pages of the kernel, `src/kernels/stack/mod.rs` and for the flavour `dragons` `dragons.rs`.

use super::{ExplainedPass, Fate, Plan};
use crate::dtype::DType;
use crate::kernels::stack::{
    Affine, Clip, FOUND, Flavour, Keep, LEAST_OF_LINE, Levels, MOST_PASSES, Method, OF_WINSORISED, Reject,
    SIGMA_OF_MAD, WINSOR, accumulate, between, critical_values, midpoint, minmax_part, most_outliers, percentile_place,
    quotient,
};
use crate::real::Real;

/// A sample before scale and zero, rounded to the compute type.
pub(super) struct Sample {
    /// Before calibration.
    pub raw: Option<f64>,
    pub data: f64,
    /// `None` where variances are not read.
    pub variance: Option<f64>,
    pub mask: u32,
}

/// What the rules make of the samples.
pub(super) struct Walk {
    /// What is compared, for each sample.
    pub values: Vec<f64>,
    pub variances: Vec<f64>,
    pub levels: Vec<Option<u32>>,
    pub best: Option<u32>,
    pub fates: Vec<Fate>,
    pub passes: Vec<ExplainedPass>,
    pub undone: bool,
}

impl Walk {
    pub(super) fn new<T: Real>(samples: &[Sample], plan: &Plan, levels: &Levels) -> Self {
        let dragons = plan.method.flavour == Flavour::Dragons;
        let finite = |s: &Sample| s.data.is_finite() && s.variance.is_none_or(f64::is_finite);
        let level = |s: &Sample| finite(s).then(|| levels.level_of(s.mask));
        let levels: Vec<Option<u32>> = samples.iter().map(level).collect();
        let best = levels.iter().flatten().min().copied();
        let fate = |level: &Option<u32>| match level {
            None => Fate::Unusable,
            level if *level == best => Fate::Kept,
            _ => Fate::Worse,
        };
        let fates: Vec<Fate> = levels.iter().map(fate).collect();
        let scaled = samples
            .iter()
            .zip(&plan.affine)
            .map(|(sample, affine)| if dragons { scaled_single(sample, affine) } else { scaled::<T>(sample, affine) });
        let (values, variances) = scaled.unzip();
        let mut walk = Walk { values, variances, levels, best, fates, passes: Vec::new(), undone: false };
        if best.is_some() {
            walk.reject::<T>(&plan.method, dragons);
        }
        walk
    }

    pub(super) fn count(&self, wanted: impl Fn(Fate) -> bool) -> usize {
        self.fates.iter().filter(|f| wanted(**f)).count()
    }

    pub(super) fn low(&self) -> usize {
        self.count(|f| matches!(f, Fate::Low(_)))
    }

    pub(super) fn high(&self) -> usize {
        self.count(|f| matches!(f, Fate::High(_)))
    }

    fn reject<T: Real>(&mut self, method: &Method, dragons: bool) {
        let before = self.fates.clone();
        match method.reject {
            Reject::None => {}
            Reject::MinMax { nlow, nhigh } => self.minmax(nlow, nhigh),
            Reject::SigClip(clip) => self.clip::<T>(&clip, false, dragons),
            Reject::VarClip(clip) => self.clip::<T>(&clip, true, dragons),
            Reject::MadClip(clip) => self.clip_by_limits(clip.passes(), |sorted| by_deviation(sorted, &clip)),
            Reject::CcdClip(clip, noise) => {
                self.clip_by_limits(clip.passes(), |sorted| {
                    let n = sorted.len();
                    let inner = if n >= 3 { &sorted[1..n - 1] } else { sorted };
                    let (centre, rest) = if clip.mclip { middle(sorted) } else { mean(inner) };
                    let sigma = noise.sigma(centre + rest);
                    About { centre, rest, spread: Some(sigma), below: clip.lsigma * sigma, above: clip.hsigma * sigma }
                });
            }
            Reject::Winsorised(clip) => self.clip_by_limits(clip.passes(), |sorted| by_winsorised(sorted, &clip)),
            Reject::LinFit(clip) => self.clip_by_line(&clip),
            Reject::Gesd { outliers, significance } => self.clip_by_test(outliers, significance),
            Reject::PClip { lsigma, hsigma, at } => self.clip_by_limits(1, |sorted| {
                let (centre, rest) = middle(sorted);
                let place = percentile_place(sorted.len(), at);
                let sigma = place.map_or(f64::INFINITY, |k| ((sorted[k] - centre) - rest).abs());
                About { centre, rest, spread: Some(sigma), below: lsigma * sigma, above: hsigma * sigma }
            }),
            Reject::Percentile { low, high } => self.clip_by_limits(1, |sorted| {
                let (centre, rest) = middle(sorted);
                let apart = |percent: f64| {
                    let place = (sorted.len() - 1) as f64 * percent / 100.0;
                    let (a, b) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
                    (between(a, b, place.fract()) - centre) - rest
                };
                About { centre, rest, spread: None, below: -apart(low), above: apart(high) }
            }),
            Reject::Threshold { low, high } => {
                let about = About { centre: 0.0, rest: 0.0, spread: None, below: -low, above: high };
                self.clip_by_limits(1, |_| about);
            }
        }
        if method.keep != Keep::default() && !self.left().is_empty() {
            self.keep_enough(method.keep, &before);
        }
        if self.left().is_empty() {
            self.fates = before;
            self.undone = true;
        }
    }

    /// Frames of the samples that are in, from small to large, equal ones in the order of their frames.
    fn left(&self) -> Vec<usize> {
        let mut left: Vec<usize> = (0..self.fates.len()).filter(|&f| self.fates[f] == Fate::Kept).collect();
        left.sort_by(|&a, &b| self.values[a].partial_cmp(&self.values[b]).unwrap_or(std::cmp::Ordering::Equal));
        left
    }

    fn minmax(&mut self, nlow: usize, nhigh: usize) {
        let left = self.left();
        let n = left.len();
        let part = |of: usize| minmax_part(n, of, self.fates.len());
        let low = part(nlow).min(n);
        let high = part(nhigh).min(n - low);
        left[..low].iter().for_each(|&f| self.fates[f] = Fate::Low(1));
        left[n - high..].iter().for_each(|&f| self.fates[f] = Fate::High(1));
        self.passes.push(ExplainedPass { samples: n, centre: None, spread: None, limits: None, low, high });
    }

    /// Passes until nothing more is rejected.
    fn clip<T: Real>(&mut self, clip: &Clip, by_variance: bool, dragons: bool) {
        let used = self.left();
        for number in 1..=clip.passes() as usize {
            let left = self.left();
            if left.is_empty() {
                break;
            }
            let pass = if dragons {
                self.pass_dragons(clip, by_variance, number, &used, &left)
            } else {
                self.pass::<T>(clip, by_variance, number, &left)
            };
            self.passes.push(pass);
            if pass.low + pass.high == 0 {
                break;
            }
        }
    }

    /// Passes that each find limits, from the samples that are in, from small to large.
    fn clip_by_limits(&mut self, passes: u32, limits: impl Fn(&[f64]) -> About) {
        for number in 1..=passes as usize {
            let left = self.left();
            let samples = left.len();
            if samples == 0 {
                break;
            }
            let sorted: Vec<f64> = left.iter().map(|&f| self.values[f]).collect();
            let About { centre, rest, spread, below, above } = limits(&sorted);
            let apart = |x: f64| (x - centre) - rest;
            let outside: Vec<(bool, bool)> = sorted.iter().map(|&x| (-apart(x) > below, apart(x) > above)).collect();
            let (low, high) = self.drop(&left, &outside, number);
            let centre = centre + rest;
            let limits = Some([centre - below, centre + above]);
            self.passes.push(ExplainedPass { samples, centre: Some(centre), spread, limits, low, high });
            if low + high == 0 {
                break;
            }
        }
    }

    /// Passes that each fit a line to the samples that are in, over their ranks.
    fn clip_by_line(&mut self, clip: &Clip) {
        for number in 1..=clip.passes() as usize {
            let left = self.left();
            let n = left.len();
            if n < LEAST_OF_LINE as usize {
                break;
            }
            let ranks = || (0..n).map(|k| k as f64 - 0.5 * (n as f64 - 1.0));
            // Differences from a sample in the middle.
            let pivot = self.values[left[(n - 1) / 2]];
            let apart: Vec<f64> = left.iter().map(|&f| self.values[f] - pivot).collect();
            let mean = apart.iter().sum::<f64>() / n as f64;
            let slope =
                apart.iter().zip(ranks()).map(|(d, k)| d * k).sum::<f64>() / ranks().map(|k| k * k).sum::<f64>();
            let off: Vec<f64> = apart.iter().zip(ranks()).map(|(d, k)| (d - mean) - slope * k).collect();
            let spread = off.iter().map(|far| far.abs()).sum::<f64>() / n as f64;
            let (below, above) = (clip.lsigma * spread, clip.hsigma * spread);
            let mut outside: Vec<(bool, bool)> = off.iter().map(|&far| (-far > below, far > above)).collect();
            // Of equal samples those of the first frames stay.
            let mut rest = &mut outside[..];
            for equal in left.chunk_by(|&a, &b| self.values[a] == self.values[b]) {
                let (these, others) = rest.split_at_mut(equal.len());
                these.sort_by_key(|&(low, high)| low | high);
                rest = others;
            }
            let (low, high) = self.drop(&left, &outside, number);
            let centre = Some(pivot + mean);
            self.passes.push(ExplainedPass { samples: n, centre, spread: Some(spread), limits: None, low, high });
            if low + high == 0 {
                break;
            }
        }
    }

    /// Tests of the sample farthest from the mean of those that remain; each is a pass, to the first behind all that count.
    fn clip_by_test(&mut self, outliers: f64, significance: f64) {
        let left = self.left();
        let n = left.len();
        let critical = critical_values(n, significance);
        let pivot = self.values[left[(n - 1) / 2]];
        let sorted: Vec<f64> = left.iter().map(|&f| self.values[f] - pivot).collect();
        // Where what remains begins and ends, after each test.
        let (mut ends, mut found) = (vec![(0, n)], 0);
        for test in 1..=most_outliers(n, outliers) {
            let (lo, hi) = ends[test - 1];
            let remain = &sorted[lo..hi];
            let m = remain.len() as f64;
            let (sum, squares) = remain.iter().fold((0.0, 0.0), |(sum, squares), d| (sum + d, squares + d * d));
            let (under, over) = (sum - m * remain[0], m * remain[remain.len() - 1] - sum);
            let is_over = over > under;
            let spread = ((m * squares - sum * sum).max(0.0) / (m * (m - 1.0))).sqrt();
            let limit = critical[remain.len()] * spread;
            if under.max(over) / m > limit {
                found = test;
            }
            ends.push(if is_over { (lo, hi - 1) } else { (lo + 1, hi) });
            let centre = pivot + sum / m;
            self.passes.push(ExplainedPass {
                samples: remain.len(),
                centre: Some(centre),
                spread: Some(spread),
                limits: Some([centre - limit, centre + limit]),
                low: usize::from(!is_over),
                high: usize::from(is_over),
            });
        }
        self.passes.truncate(found + 1);
        if let Some(pass) = self.passes.get_mut(found) {
            (pass.low, pass.high) = (0, 0);
        }
        for (test, pair) in ends[..=found].windows(2).enumerate() {
            let ((lo, hi), after) = (pair[0], pair[1]);
            if after.0 > lo {
                self.fates[left[lo]] = Fate::Low(test + 1);
            } else {
                self.fates[left[hi - 1]] = Fate::High(test + 1);
            }
        }
        // What is equal to one that is left is left too.
        let (lo, hi) = ends[found];
        for &f in &left {
            if self.values[f] == self.values[left[lo]] || self.values[f] == self.values[left[hi - 1]] {
                self.fates[f] = Fate::Kept;
            }
        }
    }

    /// Brings back what must be kept: the next one below or above, whichever is nearer to the median of all.
    fn keep_enough(&mut self, keep: Keep, before: &[Fate]) {
        let mut all: Vec<usize> = (0..before.len()).filter(|&f| before[f] == Fate::Kept).collect();
        all.sort_by(|&a, &b| self.values[a].total_cmp(&self.values[b]));
        let sorted: Vec<f64> = all.iter().map(|&f| self.values[f]).collect();
        let (n, (centre, rest)) = (sorted.len(), middle(&sorted));
        let apart = |i: usize| ((sorted[i] - centre) - rest).abs();
        let least = keep.least_of(n as u32) as usize;
        let (mut from, mut to) = (self.low(), n - self.high());
        if to - from >= least {
            return;
        }
        while to - from < least {
            if to == n || (from > 0 && apart(from - 1) <= apart(to)) {
                from -= 1;
            } else {
                to += 1;
            }
        }
        // Equal ones come together.
        while from > 0 && sorted[from - 1] == sorted[from] {
            from -= 1;
        }
        while to < n && sorted[to] == sorted[to - 1] {
            to += 1;
        }
        all[from..to].iter().for_each(|&f| self.fates[f] = Fate::Kept);
    }

    fn pass<T: Real>(&mut self, clip: &Clip, by_variance: bool, number: usize, left: &[usize]) -> ExplainedPass {
        let n = left.len();
        let (centre, rest) = if clip.mclip {
            midpoint(self.values[left[(n - 1) / 2]], self.values[left[n / 2]])
        } else {
            self.mean::<T>(left, by_variance)
        };
        let apart = |f: usize| (self.values[f] - centre) - rest;
        let squares: f64 = left.iter().map(|&f| apart(f) * apart(f)).sum();
        let (lower, upper) = (clip.lsigma * clip.lsigma, clip.hsigma * clip.hsigma);
        let outside = |f: usize| {
            let t = apart(f);
            let (far, own) = if by_variance { (t * t, self.variances[f]) } else { (n as f64 * (t * t), squares) };
            (t < 0.0 && far > lower * own, t > 0.0 && far > upper * own)
        };
        let outside: Vec<(bool, bool)> = left.iter().map(|&f| outside(f)).collect();
        let (low, high) = self.drop(left, &outside, number);
        let centre = centre + rest;
        let spread = (!by_variance).then(|| (squares / n as f64).sqrt());
        let limits = spread.map(|s| [centre - clip.lsigma * s, centre + clip.hsigma * s]);
        ExplainedPass { samples: n, centre: Some(centre), spread, limits, low, high }
    }

    /// The mean, and what its rounding lost, with sums in the order in which the kernel has them.
    fn mean<T: Real>(&self, left: &[usize], in_order_of_frames: bool) -> (f64, f64) {
        let mut left = left.to_vec();
        if in_order_of_frames {
            left.sort_unstable();
        }
        let (mut hi, mut lo) = (0.0, 0.0);
        left.iter().for_each(|&f| accumulate::<T>(&mut hi, &mut lo, self.values[f]));
        quotient(hi, lo, left.len() as f64)
    }

    fn pass_dragons(
        &mut self,
        clip: &Clip,
        by_variance: bool,
        number: usize,
        used: &[usize],
        left: &[usize],
    ) -> ExplainedPass {
        let single = |f: usize| self.values[f] as f32;
        // The sums are in the order of the frames.
        let mut in_order = left.to_vec();
        in_order.sort_unstable();
        let n = left.len() as f64;
        let mean = in_order.iter().map(|&f| f64::from(single(f))).sum::<f64>() / n;
        let square = in_order.iter().map(|&f| f64::from(single(f) * single(f))).sum::<f64>() / n;
        let sigma = (square - mean * mean).sqrt();
        let centre = if number > 1 && !clip.mclip {
            mean
        } else {
            let (a, b) = (used[(used.len() - 1) / 2], used[used.len() / 2]);
            f64::from(if a == b { single(a) } else { 0.5 * (single(a) + single(b)) })
        };
        let limits = [(centre - clip.lsigma * sigma) as f32, (centre + clip.hsigma * sigma) as f32];
        let outside = |f: usize| {
            if by_variance {
                let (x, own) = (self.values[f], self.variances[f].sqrt());
                (x < centre - clip.lsigma * own, x > centre + clip.hsigma * own)
            } else {
                (single(f) < limits[0], single(f) > limits[1])
            }
        };
        let outside: Vec<(bool, bool)> = left.iter().map(|&f| outside(f)).collect();
        let (low, high) = self.drop(left, &outside, number);
        ExplainedPass {
            samples: left.len(),
            centre: Some(centre),
            spread: (!by_variance).then_some(sigma),
            limits: (!by_variance).then(|| limits.map(f64::from)),
            low,
            high,
        }
    }

    /// Rejects what is outside. Returns how many below and above.
    fn drop(&mut self, left: &[usize], outside: &[(bool, bool)], pass: usize) -> (usize, usize) {
        let (mut low, mut high) = (0, 0);
        for (&f, &(below, above)) in left.iter().zip(outside) {
            if below {
                self.fates[f] = Fate::Low(pass);
                low += 1;
            } else if above {
                self.fates[f] = Fate::High(pass);
                high += 1;
            }
        }
        (low, high)
    }
}

/// How far from a centre samples may be.
#[derive(Clone, Copy)]
struct About {
    centre: f64,
    /// What its rounding lost.
    rest: f64,
    spread: Option<f64>,
    below: f64,
    above: f64,
}

/// The median of numbers from small to large, and what its rounding lost.
fn middle(sorted: &[f64]) -> (f64, f64) {
    let n = sorted.len();
    midpoint(sorted[(n - 1) / 2], sorted[n / 2])
}

/// The mean, and what its rounding lost.
fn mean(sorted: &[f64]) -> (f64, f64) {
    let (mut hi, mut lo) = (0.0, 0.0);
    sorted.iter().for_each(|&x| accumulate::<f64>(&mut hi, &mut lo, x));
    quotient(hi, lo, sorted.len() as f64)
}

/// By the median absolute deviation.
fn by_deviation(sorted: &[f64], clip: &Clip) -> About {
    let (centre, rest) = middle(sorted);
    let mut deviations: Vec<f64> = sorted.iter().map(|x| ((x - centre) - rest).abs()).collect();
    deviations.sort_by(f64::total_cmp);
    let (deviation, lost) = middle(&deviations);
    let sigma = SIGMA_OF_MAD * (deviation + lost);
    About { centre, rest, spread: Some(sigma), below: clip.lsigma * sigma, above: clip.hsigma * sigma }
}

/// By the standard deviation of winsorised samples.
fn by_winsorised(sorted: &[f64], clip: &Clip) -> About {
    let (centre, rest) = middle(sorted);
    let n = sorted.len() as f64;
    let deviation = |reach: f64| {
        let brought = sorted.iter().map(|x| ((x - centre) - rest).min(reach).max(-reach));
        let (sum, squares) = brought.fold((0.0, 0.0), |(sum, squares), t| (sum + t, squares + t * t));
        ((squares - sum * sum / n).max(0.0) / (n - 1.0)).sqrt()
    };
    let (mut sigma, mut reach) = (deviation(f64::INFINITY), f64::INFINITY);
    for _ in 0..MOST_PASSES {
        reach = (WINSOR * sigma).min(reach);
        let next = OF_WINSORISED * deviation(reach);
        let open = (next - sigma).abs() > FOUND * sigma;
        sigma = next;
        if !open {
            break;
        }
    }
    About { centre, rest, spread: Some(sigma), below: clip.lsigma * sigma, above: clip.hsigma * sigma }
}

fn scaled<T: Real>(sample: &Sample, affine: &Affine) -> (f64, f64) {
    let w = positive(sample.variance) * (affine.scale * affine.scale);
    if *affine == Affine::IDENTITY {
        return (sample.data, w);
    }
    // Of f32 samples the digits of f64 are enough; of others the kernel loses none.
    let x = match T::DTYPE {
        DType::F32 => affine.scale * sample.data + affine.zero,
        _ => affine.scale.mul_add(sample.data, affine.zero),
    };
    (T::from_f64(x).to_f64(), w)
}

/// One below zero counts as 0; what is no number is shown as such.
fn positive(variance: Option<f64>) -> f64 {
    variance.filter(|v| v.is_nan() || *v > 0.0).unwrap_or(0.0)
}

fn scaled_single(sample: &Sample, affine: &Affine) -> (f64, f64) {
    let (scale, zero) = (affine.scale as f32, affine.zero as f32);
    let v = positive(sample.variance) as f32;
    (f64::from(sample.data as f32 * scale + zero), f64::from(v * scale * scale))
}
