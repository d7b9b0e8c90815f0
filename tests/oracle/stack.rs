//! The oracle of rejection and combination: slow, obvious, one pixel at a time, no code of the crate.
//!
//! Which samples are usable and which the hierarchy takes: `mod.rs`. Here a sample has the value x = d s + z and the
//! variance w = v s^2, or no sample has one. What is ordered and compared is y: x rounded to the compute type.
//!
//! **Rejection.** *minmax* takes int(n nlow / N + 0.001) samples of lowest y away and int(n nhigh / N + 0.001) of highest,
//! of n samples taken of N frames; equal samples rank as their frames do. *sigclip* takes away, of those still in,
//! y < c - l sigma and y > c + h sigma, with c the median or the mean and sigma^2 the mean of (y - c)^2: again and again,
//! at most so many passes. *varclip* has the sample's own w in place of sigma^2; without variances it is sigclip. A sample
//! on a limit stays. If nothing is left, nothing was rejected.
//!
//! **Low and high.** A rejected sample counts as low if it was below the centre when it went (for minmax: if its rank was
//! among the lowest), else as high.
//!
//! **Combination.** The formulas stand beside their names in [`Combine`]. n is the number of samples left, m their mean, S
//! the sum of (x - m)^2; the scatter of one sample is 0.
//!
//! **Close.** Engines may disagree about a sample that lies on a limit but for rounding. A pixel is close if a sample was
//! ever within 8 ULP of its limit (of the compute type, at the larger of both). A sample at the centre itself is not: it
//! is on no side of it.
//!
//! **Factors of medians.** Published numbers, the same as the crate's; the tests integrate the densities of the order
//! statistics and find them right to 0.1 percent.
//!
//! **Factors of percentiles.** Integrals over the densities of the order statistics, by Gauss's rule; good to nine digits.
//!
//! **Own error.** As the mean's: pairs of f64, rounded once.

use std::cell::RefCell;
use std::collections::HashMap;

use super::{NO_DATA, Pair, Sample, least_bad, sum};

/// Value; propagated variance; scatter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Combine {
    /// sum x / n; sum w / n^2; S / (n (n - 1)).
    Mean,
    /// sum (x/w) / sum (1/w); 1 / sum (1/w); sum ((x - value)^2 / w) / ((n - 1) sum (1/w)). If a w is 0: the plain mean of
    /// those whose w is 0; 0; their plain scatter.
    WtMean,
    /// The middle y, or the mean of both; f(n) times the mean's.
    Median,
    /// The middle y, or the lower of both; g(n) times the mean's.
    LMedian,
    /// sum x; sum w; n S / (n - 1).
    Sum,
    /// The least y; w of the first frame that has it; S / (n - 1).
    Min,
    /// The same of the largest.
    Max,
    /// sqrt(S / n); sum (x - m)^2 w / (n S), 0 if S is; S / (2 n (n - 1)).
    Std,
    /// sqrt(sum x^2) / n; sum (x^2 w) / (n^2 sum x^2), 0 if that is; S / (n^2 (n - 1)).
    Quadrature,
    /// Between the y of ranks 0 to n - 1 that are nearest to (n - 1) p / 100; h(n) times the mean's.
    Percentile(f64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip {
    pub lsigma: f64,
    pub hsigma: f64,
    /// The centre is the median, else the mean.
    pub median: bool,
    pub passes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reject {
    None,
    MinMax(usize, usize),
    SigClip(Clip),
    VarClip(Clip),
    MadClip(Clip),
    /// Gain, read noise, sensitivity.
    CcdClip(Clip, [f64; 3]),
    Winsorised(Clip),
    LinFit(Clip),
    /// Part, significance.
    Gesd(f64, f64),
    /// lsigma, hsigma, which sample.
    PClip(f64, f64, f64),
    Percentile(f64, f64),
    Threshold(f64, f64),
}

#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub combine: Combine,
    pub reject: Reject,
    /// At least so many are kept, and at most so many rejected.
    pub keep: (usize, usize),
    /// The compute type is f64, else f32.
    pub double: bool,
}

/// What the stack has at a pixel.
#[derive(Clone, Copy, Debug)]
pub struct Stacked {
    pub value: f64,
    /// None where a frame has no variance.
    pub propagated: Option<f64>,
    pub scatter: f64,
    /// Scatter / propagated; NaN for less than two samples or a propagated variance of 0.
    pub ratio: f64,
    /// n, or for a weighted mean sum (1/w).
    pub weight: f64,
    pub exposure: f64,
    pub dq: u32,
    pub good: u32,
    pub low: u32,
    pub high: u32,
    pub close: bool,
    /// The largest |x| that went in: where the value is much smaller, terms cancelled.
    pub largest: f64,
}

/// A sample on its way.
#[derive(Clone, Copy)]
struct Term {
    frame: usize,
    x: Pair,
    y: f64,
    w: Option<Pair>,
}

/// One pixel. `scale` and `zero` have one element per sample.
///
/// # Panics
///
/// If `scale` or `zero` is not as long as `samples`: a fault of the test.
pub fn stack(samples: &[Sample], scale: &[f64], zero: &[f64], levels: &[u32], rules: &Rules) -> Stacked {
    stack_uneven(samples, (scale, zero), levels, rules, &Uneven::default())
}

/// What frames count for, where they do not count alike.
#[derive(Clone, Debug, Default)]
pub struct Uneven {
    /// One a frame, or none: with k the frame's and K = k, or k / w for a weighted mean, of mean and weighted mean alone
    /// sum K x / sum K; sum K^2 w / (sum K)^2; sum K (x - value)^2 / ((n - 1) sum K), and the weight is sum K.
    pub weights: Vec<f64>,
    /// Summed over the samples that are left.
    pub exposures: Vec<f64>,
    /// These bits come out only where samples with such a part of sum K have them.
    pub fractions: Vec<(u32, f64)>,
}

/// One pixel, of frames that do not count alike.
///
/// # Panics
///
/// As [`stack`].
pub fn stack_uneven(
    samples: &[Sample],
    (scale, zero): (&[f64], &[f64]),
    levels: &[u32],
    rules: &Rules,
    uneven: &Uneven,
) -> Stacked {
    assert_eq!(samples.len(), scale.len(), "one scale per sample");
    assert_eq!(samples.len(), zero.len(), "one zero per sample");
    let has_variance = !samples.is_empty() && samples.iter().all(|s| s.variance.is_some());
    let term = |i: usize| {
        let x = Pair::product(samples[i].value, scale[i]).plus(Pair::from(zero[i]));
        let rounded = x.rounded();
        let y = if rules.double { rounded } else { f64::from(rounded as f32) };
        let w = samples[i].variance.filter(|_| has_variance).map(|v| {
            let square = Pair::product(scale[i], scale[i]);
            square.times(Pair::from(v.max(0.0)))
        });
        Term { frame: i, x, y, w }
    };
    let taken: Vec<Term> = least_bad(samples, levels).into_iter().map(term).collect();
    if taken.is_empty() {
        return Stacked {
            value: 0.0,
            propagated: has_variance.then_some(0.0),
            scatter: 0.0,
            ratio: f64::NAN,
            weight: 0.0,
            exposure: 0.0,
            dq: samples.iter().fold(NO_DATA, |dq, s| dq | s.dq),
            good: 0,
            low: 0,
            high: 0,
            close: false,
            largest: 0.0,
        };
    }
    let Rejection { left, low, high, close } = rejected(&taken, samples.len(), rules);
    let by_inverse = rules.combine == Combine::WtMean && has_variance;
    let certain = by_inverse && left.iter().any(is_certain);
    let k = |t: &Term| {
        let own = Pair::from(uneven.weights.get(t.frame).copied().unwrap_or(1.0));
        match (by_inverse, certain) {
            (true, true) => {
                if is_certain(t) {
                    own
                } else {
                    Pair::from(0.0)
                }
            }
            (true, false) => own.times(inverse(t)),
            _ => own,
        }
    };
    let by_weights = || {
        let all = sum(left.iter().map(k));
        let value = sum(left.iter().map(|t| t.x.times(k(t)))).divided(all);
        let heavy = left.iter().filter(|t| k(t).high > 0.0).count() as f64;
        let squares = sum(left.iter().map(|t| square(t.x.plus(value.negated())).times(k(t))));
        let scatter = if heavy > 1.0 { squares.divided(all.times(Pair::from(heavy - 1.0))) } else { Pair::from(0.0) };
        let propagated =
            sum(left.iter().map(|t| square(k(t)).times(t.w.unwrap_or(Pair::from(0.0))))).divided(square(all));
        (value, has_variance.then_some(propagated), scatter)
    };
    let (value, propagated, scatter) =
        if uneven.weights.is_empty() { combined(&left, rules.combine) } else { by_weights() };
    let ratio = match propagated {
        Some(p) if left.len() > 1 && p.high != 0.0 => scatter.divided(p).rounded(),
        _ => f64::NAN,
    };
    let weight = match rules.combine {
        Combine::WtMean if certain => f64::INFINITY,
        _ if !uneven.weights.is_empty() => sum(left.iter().map(k)).rounded(),
        Combine::WtMean if has_variance => sum(left.iter().map(inverse)).rounded(),
        _ => left.len() as f64,
    };
    Stacked {
        value: value.rounded(),
        propagated: propagated.map(Pair::rounded),
        scatter: scatter.rounded(),
        ratio,
        weight,
        exposure: left.iter().filter_map(|t| uneven.exposures.get(t.frame)).sum(),
        dq: uneven.fractions.iter().fold(
            left.iter().fold(0, |dq, t| dq | samples[t.frame].dq),
            |dq, (bit, fraction)| {
                let with = sum(left.iter().filter(|t| samples[t.frame].dq & bit != 0).map(k));
                let enough = sum(left.iter().map(k)).times(Pair::from(*fraction));
                if with.plus(enough.negated()).high < 0.0 { dq & !bit } else { dq }
            },
        ),
        good: left.len() as u32,
        low,
        high,
        close,
        largest: left.iter().fold(0.0, |max, t| t.x.high.abs().max(max)),
    }
}

struct Rejection {
    left: Vec<Term>,
    low: u32,
    high: u32,
    close: bool,
}

fn rejected(taken: &[Term], frames: usize, rules: &Rules) -> Rejection {
    let mut all = match rules.reject {
        Reject::None => Rejection { left: taken.to_vec(), low: 0, high: 0, close: false },
        Reject::MinMax(nlow, nhigh) => extremes(taken, frames, nlow, nhigh),
        Reject::SigClip(clip) => clipped(taken, &clip, false, rules.double),
        Reject::VarClip(clip) => clipped(taken, &clip, taken[0].w.is_some(), rules.double),
        Reject::MadClip(clip) => by_limits(taken, clip.passes, rules.double, |left| {
            let c = middle(left);
            let deviations = left.iter().map(|t| Term { y: Pair::from(t.y).plus(c.negated()).rounded().abs(), ..*t });
            Bounds::about(c, &clip, middle(&deviations.collect::<Vec<_>>()).times(Pair::from(1.482_602_218_505_602)))
        }),
        Reject::CcdClip(clip, [gain, read_noise, sensitivity]) => by_limits(taken, clip.passes, rules.double, |left| {
            let ends = if left.len() >= 3 { 1 } else { 0 };
            let inner = &ranked(left)[ends..left.len() - ends];
            let c = if clip.median { middle(left) } else { mean(inner) };
            let light = if c.high > 0.0 { c } else { Pair::from(0.0) };
            let read = Pair::from(read_noise).divided(Pair::from(gain));
            let noise = square(read).plus(light.divided(Pair::from(gain)));
            Bounds::about(c, &clip, root(noise.plus(square(light.times(Pair::from(sensitivity))))))
        }),
        Reject::Winsorised(clip) => by_limits(taken, clip.passes, rules.double, |left| {
            let c = middle(left);
            Bounds::about(c, &clip, winsorised(left, c))
        }),
        Reject::LinFit(clip) => by_line(taken, &clip, rules.double),
        Reject::Gesd(part, significance) => by_test(taken, part, significance, rules.double),
        Reject::PClip(lsigma, hsigma, at) => by_limits(taken, 1, rules.double, |left| {
            let (n, c) = (left.len(), middle(left));
            if n < 3 {
                return Bounds { centre: c, below: None, above: None };
            }
            let steps = if at.abs() < 1.0 { (at.abs() * (n / 2) as f64) as usize } else { at.abs() as usize };
            // Ranks from 1: the upper of two middle ones is n / 2 + 1, the lower n / 2.
            let (steps, upper) = (steps.max(1), n / 2 + 1);
            let lower = if n % 2 == 0 { n / 2 } else { upper };
            let rank = if at < 0.0 { lower.saturating_sub(steps).max(1) } else { (upper + steps).min(n) };
            let apart = Pair::from(ranked(left)[rank - 1].y).plus(c.negated());
            let sigma = if apart.high < 0.0 { apart.negated() } else { apart };
            Bounds::about(c, &Clip { lsigma, hsigma, median: true, passes: 1 }, sigma)
        }),
        Reject::Percentile(low, high) => by_limits(taken, 1, rules.double, |left| {
            let in_order = ranked(left);
            let at = |percent: f64| {
                let place = (left.len() - 1) as f64 * percent / 100.0;
                let (first, part) = (place.floor() as usize, place - place.floor());
                let next = in_order[(first + 1).min(left.len() - 1)].y;
                Pair::from(in_order[first].y).plus(Pair::sum(next, -in_order[first].y).times(Pair::from(part)))
            };
            Bounds { centre: Pair::from(0.0), below: Some(at(low).negated()), above: Some(at(high)) }
        }),
        Reject::Threshold(low, high) => by_limits(taken, 1, rules.double, |_| Bounds {
            centre: Pair::from(0.0),
            below: low.is_finite().then(|| Pair::from(-low)),
            above: high.is_finite().then(|| Pair::from(high)),
        }),
    };
    if all.left.is_empty() {
        (all.left, all.low, all.high) = (taken.to_vec(), 0, 0);
    }
    keep_enough(&mut all, taken, rules.keep);
    all
}

/// Brings back what must be kept: the next one below or the next one above, whichever is nearer to the median of all, of
/// equally near ones the lower; equal ones together.
fn keep_enough(all: &mut Rejection, taken: &[Term], (least, most_out): (usize, usize)) {
    let wanted = least.max(taken.len().saturating_sub(most_out)).min(taken.len());
    let (c, in_order) = (middle(taken), ranked(taken));
    let far = |t: &Term| {
        let apart = Pair::from(t.y).plus(c.negated());
        if apart.high < 0.0 { apart.negated() } else { apart }
    };
    let (mut from, mut to) = (all.low as usize, taken.len() - all.high as usize);
    if to - from >= wanted {
        return;
    }
    while to - from < wanted {
        let (below, above) = (from.checked_sub(1).map(|i| in_order[i]), in_order.get(to));
        let lower = match (below, above) {
            (Some(below), Some(above)) => far(&below).plus(far(above).negated()).high <= 0.0,
            (below, _) => below.is_some(),
        };
        if lower { from -= 1 } else { to += 1 }
    }
    while from > 0 && in_order[from - 1].y == in_order[from].y {
        from -= 1;
    }
    while to < taken.len() && in_order[to].y == in_order[to - 1].y {
        to += 1;
    }
    all.left = in_order[from..to].to_vec();
    (all.low, all.high) = (from as u32, (taken.len() - to) as u32);
}

/// How far from a centre samples may be, if not as far as they like.
struct Bounds {
    centre: Pair,
    below: Option<Pair>,
    above: Option<Pair>,
}

impl Bounds {
    fn about(centre: Pair, clip: &Clip, sigma: Pair) -> Self {
        let [below, above] = [clip.lsigma, clip.hsigma].map(|k| k.is_finite().then(|| sigma.times(Pair::from(k))));
        Bounds { centre, below, above }
    }
}

/// Standard deviation of n - 1 of winsorised samples: 1.5 sigma to either side, times 1.134, to 0.05 percent.
fn winsorised(left: &[Term], c: Pair) -> Pair {
    let n = left.len() as f64;
    if left.len() < 2 {
        return Pair::from(f64::MAX);
    }
    let deviation = |reach: Option<Pair>| {
        let brought: Vec<Pair> = left
            .iter()
            .map(|t| {
                let t = Pair::from(t.y).plus(c.negated());
                match reach {
                    Some(r) if t.plus(r.negated()).high > 0.0 => r,
                    Some(r) if t.plus(r).high < 0.0 => r.negated(),
                    _ => t,
                }
            })
            .collect();
        let mean = sum(brought.iter().copied()).over(n);
        root(sum(brought.iter().map(|x| square(x.plus(mean.negated())))).over(n - 1.0))
    };
    let (mut sigma, mut nearest) = (deviation(None), None::<Pair>);
    for _ in 0..100 {
        // What was brought to a limit stays there when the next is farther away.
        let reach = sigma.times(Pair::from(1.5));
        let nearer = nearest.is_none_or(|n| reach.plus(n.negated()).high < 0.0);
        nearest = if nearer { Some(reach) } else { nearest };
        let next = deviation(nearest).times(Pair::from(1.134));
        let change = next.plus(sigma.negated()).high.abs();
        let found = change <= 0.0005 * sigma.high;
        sigma = next;
        if found {
            break;
        }
    }
    sigma
}

fn mean(terms: &[Term]) -> Pair {
    sum(terms.iter().map(|t| Pair::from(t.y))).over(terms.len() as f64)
}

/// By rank. The sort keeps the order of equals.
fn ranked(terms: &[Term]) -> Vec<Term> {
    let mut ranked = terms.to_vec();
    ranked.sort_by(|a, b| a.y.partial_cmp(&b.y).expect("finite"));
    ranked
}

fn extremes(taken: &[Term], frames: usize, nlow: usize, nhigh: usize) -> Rejection {
    let n = taken.len();
    let part = |of: usize| ((n * of) as f64 / frames as f64 + 0.001) as usize;
    let (low, high) = (part(nlow), part(nhigh));
    let left = if low + high < n { ranked(taken)[low..n - high].to_vec() } else { Vec::new() };
    Rejection { left, low: low as u32, high: high as u32, close: false }
}

fn clipped(taken: &[Term], clip: &Clip, by_variance: bool, double: bool) -> Rejection {
    let mut all = Rejection { left: taken.to_vec(), low: 0, high: 0, close: false };
    for _ in 0..clip.passes {
        if all.left.is_empty() {
            break;
        }
        let n = all.left.len() as f64;
        let c = if clip.median { middle(&all.left) } else { sum(all.left.iter().map(|t| Pair::from(t.y))).over(n) };
        let from_centre = |t: &Term| Pair::from(t.y).plus(c.negated());
        let squares = sum(all.left.iter().map(|t| square(from_centre(t))));
        let mut left = Vec::new();
        for term in &all.left {
            let t = from_centre(term);
            let below = t.high < 0.0;
            let k = if below { clip.lsigma } else { clip.hsigma };
            if t.high == 0.0 || k.is_infinite() {
                left.push(*term);
                continue;
            }
            // t^2 > k^2 sigma^2, without a root and, where it need not be, without a quotient.
            let (mine, limit, sigma) = match term.w {
                Some(w) if by_variance => (square(t), w, root(w)),
                _ => (square(t).times(Pair::from(n)), squares, root(squares.over(n))),
            };
            let limit = limit.times(Pair::product(k, k));
            let out = mine.plus(limit.negated()).high > 0.0;
            let step = Pair::from(if below { -k } else { k }).times(sigma);
            let edge = c.plus(step).rounded();
            all.close |= (term.y - edge).abs() <= 8.0 * ulp(term.y.abs().max(edge.abs()), double);
            match (out, below) {
                (false, _) => left.push(*term),
                (true, true) => all.low += 1,
                (true, false) => all.high += 1,
            }
        }
        if left.len() == all.left.len() {
            break;
        }
        all.left = left;
    }
    all
}

/// Passes that each find bounds from what is left.
fn by_limits(taken: &[Term], passes: u32, double: bool, bounds: impl Fn(&[Term]) -> Bounds) -> Rejection {
    let mut all = Rejection { left: taken.to_vec(), low: 0, high: 0, close: false };
    for _ in 0..passes {
        if all.left.is_empty() {
            break;
        }
        let Bounds { centre, below, above } = bounds(&all.left);
        let mut left = Vec::new();
        for term in &all.left {
            let t = Pair::from(term.y).plus(centre.negated());
            let mut beyond = |far: Pair, limit: Option<Pair>, edge: fn(Pair, Pair) -> Pair| {
                let Some(limit) = limit else { return false };
                let edge = edge(centre, limit).rounded();
                let over = far.plus(limit.negated()).high;
                // One that is exactly on the limit stays, and so does the centre.
                let near = (term.y - edge).abs() <= 8.0 * ulp(term.y.abs().max(edge.abs()), double);
                all.close |= near && over != 0.0 && t.high != 0.0;
                over > 0.0
            };
            let low = beyond(t.negated(), below, |c, limit| c.plus(limit.negated()));
            let high = beyond(t, above, Pair::plus);
            match (low, high) {
                (true, _) => all.low += 1,
                (false, true) => all.high += 1,
                (false, false) => left.push(*term),
            }
        }
        if left.len() == all.left.len() {
            break;
        }
        all.left = left;
    }
    all
}

/// About a line y = a + b k, fitted by least squares to the samples still in over their ranks k; sigma is the mean of their
/// distances from it. Of equal samples the first frames' stay.
fn by_line(taken: &[Term], clip: &Clip, double: bool) -> Rejection {
    let mut all = Rejection { left: ranked(taken), low: 0, high: 0, close: false };
    for _ in 0..clip.passes {
        let n = all.left.len();
        // Two samples are on their line.
        if n < 3 {
            break;
        }
        // About the mean rank, so that a is the mean.
        let rank = |k: usize| Pair::from(k as f64 - (n - 1) as f64 / 2.0);
        let a = mean(&all.left);
        let y = |k: usize| Pair::from(all.left[k].y).plus(a.negated());
        let b = sum((0..n).map(|k| rank(k).times(y(k)))).divided(sum((0..n).map(|k| square(rank(k)))));
        let line = |k: usize| a.plus(b.times(rank(k)));
        let far: Vec<Pair> = (0..n).map(|k| Pair::from(all.left[k].y).plus(line(k).negated())).collect();
        let sigma = sum(far.iter().map(|t| if t.high < 0.0 { t.negated() } else { *t })).over(n as f64);
        let mut stay = Vec::new();
        for (k, term) in all.left.iter().enumerate() {
            let below = far[k].high < 0.0;
            let times = if below { clip.lsigma } else { clip.hsigma };
            if times.is_infinite() || (far[k].high == 0.0 && sigma.high == 0.0) {
                stay.push(term.y);
                continue;
            }
            let limit = sigma.times(Pair::from(times));
            let edge = line(k).plus(if below { limit.negated() } else { limit }).rounded();
            all.close |= (term.y - edge).abs() <= 8.0 * ulp(term.y.abs().max(edge.abs()), double);
            let over = if below { far[k].negated() } else { far[k] }.plus(limit.negated());
            match (over.high > 0.0, below) {
                (false, _) => stay.push(term.y),
                (true, true) => all.low += 1,
                (true, false) => all.high += 1,
            }
        }
        if stay.len() == n {
            break;
        }
        let mut left = Vec::new();
        for term in &all.left {
            if let Some(at) = stay.iter().position(|y| *y == term.y) {
                stay.swap_remove(at);
                left.push(*term);
            }
        }
        all.left = left;
    }
    all
}

/// The farthest from the mean goes, again and again; out is what went to the last time it was too far. One equal to a sample
/// that is left stays.
fn by_test(taken: &[Term], part: f64, significance: f64, double: bool) -> Rejection {
    let (in_order, n) = (ranked(taken), taken.len());
    let (mut from, mut to, mut close) = (0, n, false);
    let (mut low, mut high) = (0, 0);
    for _ in 0..(n as f64 * part + 0.001) as usize {
        let left = &in_order[from..to];
        let m = left.len();
        if m < 3 {
            break;
        }
        let c = mean(left);
        let apart = |t: &Term| Pair::from(t.y).plus(c.negated());
        let sigma = root(sum(left.iter().map(|t| square(apart(t)))).over((m - 1) as f64));
        let (under, over) = (apart(&left[0]).negated(), apart(&left[m - 1]));
        let largest = left[0].y.abs().max(left[m - 1].y.abs());
        let more = over.plus(under.negated()).high;
        close |= more != 0.0 && more.abs() <= 8.0 * ulp(largest, double);
        let far = if more > 0.0 { over } else { under };
        if more > 0.0 {
            to -= 1
        } else {
            from += 1
        }
        let beyond = far.plus(sigma.times(Pair::from(critical(m, significance))).negated()).high;
        close |= far.high != 0.0 && beyond.abs() <= 8.0 * ulp(largest, double);
        if beyond > 0.0 {
            (low, high) = (from, n - to);
        }
    }
    while low > 0 && in_order[low - 1].y == in_order[low].y {
        low -= 1;
    }
    while high > 0 && in_order[n - high].y == in_order[n - high - 1].y {
        high -= 1;
    }
    Rejection { left: in_order[low..n - high].to_vec(), low: low as u32, high: high as u32, close }
}

/// (m - 1) t / sqrt(m (m - 2 + t^2)) is (m - 1) sin(a) / sqrt(m) with t = sqrt(m - 2) tan(a), and of whole degrees of freedom
/// the probability that Student's |t| is less is a finite sum of powers of cos(a) (Abramowitz & Stegun 26.7.3, 26.7.4).
fn critical(m: usize, significance: f64) -> f64 {
    let inside = |a: f64| {
        let (sin, cos, odd) = (a.sin(), a.cos(), m % 2 == 1);
        let (mut term, mut all) = (if odd { cos } else { 1.0 }, 0.0);
        let mut power = usize::from(odd);
        while power + 4 <= m {
            all += term;
            term *= cos * cos * (power + 1) as f64 / (power + 2) as f64;
            power += 2;
        }
        if odd { std::f64::consts::FRAC_2_PI * (a + sin * all) } else { sin * all }
    };
    let (mut least, mut most) = (0.0, std::f64::consts::FRAC_PI_2);
    for _ in 0..60 {
        let a = (least + most) / 2.0;
        if inside(a) < 1.0 - significance / m as f64 { least = a } else { most = a }
    }
    (m - 1) as f64 * most.sin() / (m as f64).sqrt()
}

/// The last place of the compute type at this size.
pub fn ulp(size: f64, double: bool) -> f64 {
    if double {
        size.next_up() - size
    } else {
        let size = size as f32;
        f64::from(size.next_up()) - f64::from(size)
    }
}

/// The median of y.
fn middle(terms: &[Term]) -> Pair {
    let (ranked, n) = (ranked(terms), terms.len());
    if n % 2 == 1 { Pair::from(ranked[n / 2].y) } else { Pair::sum(ranked[n / 2 - 1].y, ranked[n / 2].y).over(2.0) }
}

fn is_certain(t: &Term) -> bool {
    t.w.is_some_and(|w| w.high == 0.0)
}

fn inverse(t: &Term) -> Pair {
    Pair::from(1.0).divided(t.w.expect("it has a variance"))
}

fn square(x: Pair) -> Pair {
    x.times(x)
}

fn root(x: Pair) -> Pair {
    if x.high == 0.0 {
        return x;
    }
    let first = x.high.sqrt();
    let rest = x.plus(Pair::product(first, first).negated());
    Pair::sum(first, rest.high / (2.0 * first))
}

impl Pair {
    fn divided(self, by: Pair) -> Pair {
        let first = self.high / by.high;
        let rest = self.plus(by.times(Pair::from(first)).negated());
        Pair::sum(first, rest.high / by.high)
    }
}

/// Value, propagated variance, scatter.
fn combined(left: &[Term], combine: Combine) -> (Pair, Option<Pair>, Pair) {
    let zero = Pair::from(0.0);
    let n = left.len() as f64;
    let mean = sum(left.iter().map(|t| t.x)).over(n);
    let from = |t: &Term, centre: Pair| t.x.plus(centre.negated());
    let s = sum(left.iter().map(|t| square(from(t, mean))));
    let w_sum = left.iter().map(|t| t.w).collect::<Option<Vec<Pair>>>().map(|w| sum(w.into_iter()));
    let scatter = |s: Pair, divisor: f64| if left.len() > 1 { s.over(divisor) } else { zero };
    let of_mean = w_sum.map(|w| w.over(n * n));
    let scatter_of_mean = scatter(s, n * (n - 1.0));
    let times = |factor: f64| {
        let factor = Pair::from(factor);
        (of_mean.map(|v| v.times(factor)), scatter_of_mean.times(factor))
    };
    match combine {
        Combine::WtMean if left.iter().any(is_certain) => {
            let certain: Vec<Term> = left.iter().copied().filter(is_certain).collect();
            let (value, _, scatter) = combined(&certain, Combine::Mean);
            (value, Some(zero), scatter)
        }
        Combine::WtMean if w_sum.is_some() => {
            let weights = sum(left.iter().map(inverse));
            let value = sum(left.iter().map(|t| t.x.times(inverse(t)))).divided(weights);
            let squares = sum(left.iter().map(|t| square(from(t, value)).times(inverse(t))));
            let scatter = if left.len() > 1 { squares.divided(weights.times(Pair::from(n - 1.0))) } else { zero };
            (value, Some(Pair::from(1.0).divided(weights)), scatter)
        }
        Combine::Mean | Combine::WtMean => (mean, of_mean, scatter_of_mean),
        Combine::Median => {
            let (propagated, scatter) = times(median_factor(left.len()));
            (middle(left), propagated, scatter)
        }
        Combine::LMedian => {
            let (propagated, scatter) = times(lmedian_factor(left.len()));
            (Pair::from(ranked(left)[(left.len() - 1) / 2].y), propagated, scatter)
        }
        Combine::Sum => (sum(left.iter().map(|t| t.x)), w_sum, scatter(s.times(Pair::from(n)), n - 1.0)),
        Combine::Min | Combine::Max => {
            let better = |a: f64, b: f64| if combine == Combine::Min { a < b } else { a > b };
            let mut best = left[0];
            for t in left {
                if better(t.y, best.y) || (t.y == best.y && t.frame < best.frame) {
                    best = *t;
                }
            }
            (Pair::from(best.y), best.w, scatter(s, n - 1.0))
        }
        Combine::Std => {
            let propagated = w_sum.map(|_| {
                let weighted = sum(left.iter().map(|t| square(from(t, mean)).times(t.w.unwrap_or(zero))));
                if s.high == 0.0 { zero } else { weighted.divided(s.times(Pair::from(n))) }
            });
            (root(s.over(n)), propagated, scatter(s, 2.0 * n * (n - 1.0)))
        }
        Combine::Quadrature => {
            let squares = sum(left.iter().map(|t| square(t.x)));
            let propagated = w_sum.map(|_| {
                let weighted = sum(left.iter().map(|t| square(t.x).times(t.w.unwrap_or(zero))));
                if squares.high == 0.0 { zero } else { weighted.divided(squares.times(Pair::from(n * n))) }
            });
            (root(squares).over(n), propagated, scatter(s, n * n * (n - 1.0)))
        }
        Combine::Percentile(percent) => {
            let in_order = ranked(left);
            let place = (left.len() - 1) as f64 * percent / 100.0;
            let (first, part) = (place.floor() as usize, place - place.floor());
            let next = in_order[(first + 1).min(left.len() - 1)].y;
            let step = Pair::from(next).plus(Pair::from(-in_order[first].y)).times(Pair::from(part));
            let (propagated, scatter) = times(percentile_factor(left.len(), percent));
            (Pair::from(in_order[first].y).plus(step), propagated, scatter)
        }
    }
}

/// Var(median) / Var(mean) of n normal samples.
fn median_factor(n: usize) -> f64 {
    const TO_20: [f64; 20] = [
        1.0, 1.0, 1.347, 1.193, 1.433, 1.289, 1.473, 1.345, 1.495, 1.384, 1.509, 1.411, 1.519, 1.43, 1.526, 1.445,
        1.532, 1.458, 1.535, 1.468,
    ];
    let n_over = |rest: f64| std::f64::consts::FRAC_PI_2 * n as f64 / (n as f64 + rest);
    match n {
        1..=20 => TO_20[n - 1],
        _ if n % 2 == 1 => n_over(0.44),
        _ => n_over(1.4),
    }
}

/// The same of the lower of the two middle samples.
fn lmedian_factor(n: usize) -> f64 {
    const EVEN_TO_20: [f64; 10] =
        [1.36338, 1.44182, 1.47728, 1.49749, 1.51054, 1.51965, 1.52638, 1.53154, 1.53563, 1.53895];
    match n {
        _ if n % 2 == 1 => median_factor(n),
        2..=20 => EVEN_TO_20[n / 2 - 1],
        _ => std::f64::consts::FRAC_PI_2 * n as f64 / (n as f64 + 0.42),
    }
}

/// Of normal samples Var(percentile) / Var(mean): of one order statistic, or of what lies between two neighbours. Of more than
/// 1000 samples one between two is taken for one of a rank between.
fn percentile_factor(n: usize, percent: f64) -> f64 {
    thread_local! {
        static KNOWN: RefCell<HashMap<(usize, u64), f64>> = RefCell::new(HashMap::new());
    }
    let key = (n, percent.to_bits());
    if let Some(known) = KNOWN.with_borrow(|known| known.get(&key).copied()) {
        return known;
    }
    let place = (n - 1) as f64 * percent / 100.0;
    let (rank, part) = (1.0 + place.floor(), place - place.floor());
    let factor = match n {
        1 => 1.0,
        _ if part == 0.0 || n > 1000 => n as f64 * order_statistic(n as f64, 1.0 + place),
        _ => n as f64 * between_neighbours(n as f64, rank, part),
    };
    KNOWN.with_borrow_mut(|known| known.insert(key, factor));
    factor
}

/// Gauss's rule of five points, of three functions at once.
fn gauss(from: f64, to: f64, f: &dyn Fn(f64) -> [f64; 3]) -> [f64; 3] {
    let (middle, half) = ((from + to) / 2.0, (to - from) / 2.0);
    let nodes = [
        (0.0, 0.568_888_888_888_888_9),
        (0.538_469_310_105_683_1, 0.478_628_670_499_366_47),
        (0.906_179_845_938_664, 0.236_926_885_056_189_08),
    ];
    let mut all = [0.0; 3];
    for (node, weight) in nodes {
        for side in if node == 0.0 { &[1.0][..] } else { &[-1.0, 1.0][..] } {
            let value = f(middle + half * side * node);
            (0..3).for_each(|i| all[i] += half * weight * value[i]);
        }
    }
    all
}

fn bell(x: f64) -> f64 {
    (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt()
}

/// Part of normal numbers below x.
fn below(x: f64) -> f64 {
    thread_local! {
        static TO: Vec<f64> = {
            let mut to = vec![0.0];
            for k in 0..160 {
                let from = -20.0 + f64::from(k) / 4.0;
                to.push(to.last().expect("one at least") + gauss(from, from + 0.25, &|x| [bell(x), 0.0, 0.0])[0]);
            }
            to
        };
    }
    let k = (((x + 20.0) * 4.0).floor().max(0.0) as usize).min(159);
    TO.with(|to| to[k]) + gauss(-20.0 + k as f64 / 4.0, x, &|x| [bell(x), 0.0, 0.0])[0]
}

/// Edges of panels about a rank of n.
fn panels(n: f64, rank: f64) -> Vec<f64> {
    let p = rank / (n + 1.0);
    let (mut low, mut high) = (-12.0, 12.0);
    while high - low > 1e-9 {
        let middle = (low + high) / 2.0;
        if below(middle) < p { low = middle } else { high = middle }
    }
    let width = (p * (1.0 - p) / (n + 2.0)).sqrt() / bell(low) / 3.0;
    (-45..=45).map(|k| low + f64::from(k) * width).collect()
}

/// ln of x^k, where 0^0 is 1.
fn log_power(x: f64, k: f64) -> f64 {
    if k == 0.0 { 0.0 } else { k * x.max(1e-300).ln() }
}

fn order_statistic(n: f64, rank: f64) -> f64 {
    let edges = panels(n, rank);
    let log = |x: f64| log_power(below(x), rank - 1.0) + log_power(1.0 - below(x), n - rank) - x * x / 2.0;
    let most = edges.iter().map(|x| log(*x)).fold(f64::NEG_INFINITY, f64::max);
    let origin = edges[45];
    let mut all = [0.0; 3];
    for pair in edges.windows(2) {
        let moments = gauss(pair[0], pair[1], &|x| {
            let (p, t) = ((log(x) - most).exp(), x - origin);
            [p, p * t, p * t * t]
        });
        (0..3).for_each(|i| all[i] += moments[i]);
    }
    all[2] / all[0] - (all[1] / all[0]).powi(2)
}

/// The joint density of u of a rank below v of the next is F(u)^(rank - 1) (1 - F(v))^(n - rank - 1) f(u) f(v), but for a number.
fn between_neighbours(n: f64, rank: f64, part: f64) -> f64 {
    let edges = panels(n, rank + 0.5);
    let origin = edges[45];
    let half = below(origin);
    let lower = |u: f64| {
        let (p, t) = ((log_power(below(u), rank - 1.0) - log_power(half, rank - 1.0)).exp() * bell(u), u - origin);
        [p, p * t, p * t * t]
    };
    let upper =
        |v: f64| (log_power(1.0 - below(v), n - rank - 1.0) - log_power(1.0 - half, n - rank - 1.0)).exp() * bell(v);
    let (mut inner, mut all) = ([0.0; 3], [0.0; 3]);
    for pair in edges.windows(2) {
        let moments = gauss(pair[0], pair[1], &|v| {
            let rest = gauss(pair[0], v, &lower);
            let [i0, i1, i2] = [0, 1, 2].map(|i| inner[i] + rest[i]);
            let (q, a, b) = (upper(v), 1.0 - part, part * (v - origin));
            [q * i0, q * (a * i1 + b * i0), q * (a * a * i2 + 2.0 * a * b * i1 + b * b * i0)]
        });
        (0..3).for_each(|i| all[i] += moments[i]);
        let whole = gauss(pair[0], pair[1], &lower);
        (0..3).for_each(|i| inner[i] += whole[i]);
    }
    all[2] / all[0] - (all[1] / all[0]).powi(2)
}

#[cfg(test)]
mod tests {
    use super::super::LEVELS;
    use super::*;

    const ROUND: f64 = 1e-15;

    fn rules(combine: Combine, reject: Reject) -> Rules {
        Rules { combine, reject, keep: (0, usize::MAX), double: true }
    }

    fn clip(k: f64, median: bool, passes: u32) -> Clip {
        Clip { lsigma: k, hsigma: k, median, passes }
    }

    fn samples(values: &[f64], variances: Option<&[f64]>) -> Vec<Sample> {
        let one = |(i, &value): (usize, &f64)| Sample { value, variance: variances.map(|v| v[i]), dq: 0 };
        values.iter().enumerate().map(one).collect()
    }

    fn plain(samples: &[Sample], rules: &Rules) -> Stacked {
        stack(samples, &vec![1.0; samples.len()], &vec![0.0; samples.len()], &LEVELS, rules)
    }

    #[track_caller]
    fn near(got: f64, want: f64) {
        assert!(got == want || (got - want).abs() <= ROUND * want.abs(), "{got} found, {want} expected");
    }

    /// Normal densities of unit width on a fine grid, with what lies below.
    fn grid() -> (f64, Vec<(f64, f64, f64)>) {
        let h = 1e-3;
        let density = |x: f64| (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
        let mut below = 0.0;
        let mut points = Vec::new();
        for i in -9000..=9000 {
            let x = f64::from(i) * h;
            // Simpson's rule from the last point to this one.
            below += h / 6.0 * (density(x - h) + 4.0 * density(x - h / 2.0) + density(x));
            points.push((x, density(x), below));
        }
        (h, points)
    }

    /// Var of rank k (from 1) of n, times n.
    fn rank_factor(points: &[(f64, f64, f64)], n: i32, k: i32) -> f64 {
        let (mut m0, mut m1, mut m2) = (0.0, 0.0, 0.0);
        for &(x, density, below) in points {
            let p = (2.0 * below).powi(k - 1) * (2.0 * (1.0 - below)).powi(n - k) * density;
            (m0, m1, m2) = (m0 + p, m1 + p * x, m2 + p * x * x);
        }
        f64::from(n) * (m2 / m0 - (m1 / m0).powi(2))
    }

    /// Var of the mean of the two middle ranks of an even n, times n. Their joint density is a product, of u below v, so the
    /// inner integral is a running sum from above.
    fn middle_factor(points: &[(f64, f64, f64)], h: f64, n: i32) -> f64 {
        let k = n / 2;
        let (mut v0, mut v1, mut v2) = (0.0, 0.0, 0.0);
        let (mut all, mut squares) = (0.0, 0.0);
        for &(x, density, below) in points.iter().rev() {
            let q = (2.0 * (1.0 - below)).max(0.0).powi(k - 1) * density * h;
            let p = (2.0 * below).powi(k - 1) * density * h;
            // Half of the point itself is above u.
            let (a0, a1, a2) = (v0 + q / 2.0, v1 + q * x / 2.0, v2 + q * x * x / 2.0);
            all += p * a0;
            squares += p * (x * x * a0 + 2.0 * x * a1 + a2) / 4.0;
            (v0, v1, v2) = (v0 + q, v1 + q * x, v2 + q * x * x);
        }
        f64::from(n) * squares / all
    }

    #[test]
    fn factors_of_medians_are_those_of_the_densities() {
        let (h, points) = grid();
        for n in (2..=40).chain([41, 60, 61, 99, 100, 200, 299, 300, 600, 999, 1000]) {
            let (f, g) = match n % 2 {
                1 => (rank_factor(&points, n, n / 2 + 1), rank_factor(&points, n, n / 2 + 1)),
                _ => (middle_factor(&points, h, n), rank_factor(&points, n, n / 2)),
            };
            let (mine, low) = (median_factor(n as usize), lmedian_factor(n as usize));
            assert!((mine / f - 1.0).abs() < 1e-3, "median of {n}: {mine}, by integration {f}");
            assert!((low / g - 1.0).abs() < 1e-3, "lower median of {n}: {low}, by integration {g}");
        }
        // Known in closed form: n = 1; the mean of two; the lower of two has 1 - 1/pi.
        assert_eq!((median_factor(1), median_factor(2)), (1.0, 1.0));
        assert!((rank_factor(&points, 2, 1) - 2.0 * (1.0 - std::f64::consts::FRAC_1_PI)).abs() < 1e-6);
        assert!((middle_factor(&points, h, 2) - 1.0).abs() < 1e-5);
    }

    /// 1, 2, 4, 9 with variances 1, 2, 4, 5: m = 4, S = 9 + 4 + 0 + 25 = 38.
    #[test]
    fn every_combination_by_hand() {
        let all = samples(&[4.0, 1.0, 9.0, 2.0], Some(&[4.0, 1.0, 5.0, 2.0]));
        let weights = 1.0 + 0.5 + 0.25 + 0.2;
        let wtmean = (1.0 + 1.0 + 1.0 + 9.0 / 5.0) / weights;
        let squares: f64 = [(1.0, 1.0), (2.0, 2.0), (4.0, 4.0), (9.0, 5.0)]
            .iter()
            .map(|&(x, w): &(f64, f64)| (x - wtmean).powi(2) / w)
            .sum();
        let (f, g) = (1.193, 1.44182);
        for (combine, value, propagated, scatter) in [
            (Combine::Mean, 4.0, 12.0 / 16.0, 38.0 / 12.0),
            (Combine::WtMean, wtmean, 1.0 / weights, squares / (3.0 * weights)),
            (Combine::Median, 3.0, f * 0.75, f * 38.0 / 12.0),
            (Combine::LMedian, 2.0, g * 0.75, g * 38.0 / 12.0),
            (Combine::Sum, 16.0, 12.0, 4.0 * 38.0 / 3.0),
            (Combine::Min, 1.0, 1.0, 38.0 / 3.0),
            (Combine::Max, 9.0, 5.0, 38.0 / 3.0),
            // 9 * 1 + 4 * 2 + 0 + 25 * 5 = 142
            (Combine::Std, 9.5f64.sqrt(), 142.0 / (4.0 * 38.0), 38.0 / 24.0),
            // 1 + 4 + 16 + 81 = 102; 1 * 1 + 4 * 2 + 16 * 4 + 81 * 5 = 478
            (Combine::Quadrature, 102f64.sqrt() / 4.0, 478.0 / (16.0 * 102.0), 38.0 / 48.0),
        ] {
            let got = plain(&all, &rules(combine, Reject::None));
            println!("{combine:?}");
            near(got.value, value);
            near(got.propagated.unwrap(), propagated);
            near(got.scatter, scatter);
            near(got.ratio, scatter / propagated);
            near(got.weight, if combine == Combine::WtMean { weights } else { 4.0 });
            assert_eq!((got.good, got.low, got.high, got.dq, got.close), (4, 0, 0, 0, false));
            let without = plain(&samples(&[4.0, 1.0, 9.0, 2.0], None), &rules(combine, Reject::None));
            assert_eq!((without.propagated, without.weight), (None, 4.0));
            near(without.value, if combine == Combine::WtMean { 4.0 } else { value });
        }
    }

    #[test]
    fn percentiles_lie_between_ranks() {
        let all = samples(&[4.0, 1.0, 9.0, 2.0], Some(&[2.0, 1.0, 5.0, 4.0]));
        for (percent, want) in [(0.0, 1.0), (25.0, 1.75), (50.0, 3.0), (75.0, 5.25), (90.0, 7.5), (100.0, 9.0)] {
            let got = plain(&all, &rules(Combine::Percentile(percent), Reject::None));
            near(got.value, want);
            let h = percentile_factor(4, percent);
            near(got.propagated.unwrap(), h * 0.75);
            near(got.scatter, h * 38.0 / 12.0);
        }
    }

    /// Of three and five samples as they are published, and of one end of five: see the crate's own test for the source.
    #[test]
    fn factors_of_percentiles_are_those_of_the_densities() {
        for (n, percent, want) in [
            (1, 10.0, 1.0),
            (2, 50.0, 1.0),
            (3, 50.0, 3.0 * 0.448_671_104_6),
            (5, 25.0, 5.0 * 0.311_518_952_1),
            (5, 100.0, 5.0 * 0.447_534_069_1),
            (5, 12.5, 1.25 * (0.447_534_069_1 + 0.311_518_952_1 + 2.0 * 0.224_330_959_6)),
        ] {
            let got = percentile_factor(n, percent);
            assert!((got / want - 1.0).abs() < 1e-8, "{percent} of {n}: {got}, {want}");
        }
        for n in 2..120 {
            let (got, want) = (percentile_factor(n, 50.0), median_factor(n));
            assert!((got / want - 1.0).abs() < 1.2e-3, "{n}: {got}, {want}");
        }
    }

    #[test]
    fn one_sample_has_no_scatter_and_none_is_nothing() {
        for combine in [Combine::Mean, Combine::WtMean, Combine::Median, Combine::LMedian, Combine::Sum, Combine::Max] {
            let got = plain(&samples(&[7.0], Some(&[3.0])), &rules(combine, Reject::None));
            near(got.propagated.unwrap(), 3.0);
            assert_eq!((got.value, got.scatter, got.good), (7.0, 0.0, 1));
            assert!(got.ratio.is_nan());
        }
        let got = plain(&samples(&[7.0], Some(&[3.0])), &rules(Combine::Std, Reject::None));
        assert_eq!((got.value, got.propagated, got.scatter), (0.0, Some(0.0), 0.0));
        let got = plain(&samples(&[f64::NAN], None), &rules(Combine::Max, Reject::None));
        assert_eq!((got.value, got.scatter, got.dq, got.good, got.weight), (0.0, 0.0, 16, 0, 0.0));
    }

    #[test]
    fn certain_samples_weigh_alone() {
        let all = samples(&[1.0, 5.0, 9.0, 100.0], Some(&[0.0, 2.0, -3.0, 1.0]));
        let got = plain(&all, &rules(Combine::WtMean, Reject::None));
        // 1 and 9: their scatter is 32 / 2.
        assert_eq!((got.value, got.propagated, got.scatter), (5.0, Some(0.0), 16.0));
        assert_eq!((got.weight, got.good), (f64::INFINITY, 4));
        assert!(got.ratio.is_nan());
    }

    #[test]
    fn of_equal_extremes_the_first_frame_counts() {
        let all = samples(&[5.0, 2.0, 5.0, 2.0], Some(&[1.0, 2.0, 3.0, 4.0]));
        assert_eq!(plain(&all, &rules(Combine::Min, Reject::None)).propagated, Some(2.0));
        assert_eq!(plain(&all, &rules(Combine::Max, Reject::None)).propagated, Some(1.0));
    }

    #[test]
    fn extremes_are_a_fraction_of_those_that_are_there() {
        let mut all = samples(&[3.0, 1.0, 2.0, 5.0, 4.0, 6.0], Some(&[1.0; 6]));
        let got = plain(&all, &rules(Combine::Sum, Reject::MinMax(1, 2)));
        assert_eq!((got.value, got.good, got.low, got.high), (2.0 + 3.0 + 4.0, 3, 1, 2));
        // Three of six frames are left: int(3 * 1 / 6) = 0 low, int(3 * 2 / 6) = 1 high.
        for bad in [0, 1, 3] {
            all[bad].dq = 64;
        }
        let got = plain(&all, &rules(Combine::Sum, Reject::MinMax(1, 2)));
        assert_eq!((got.value, got.good, got.low, got.high), (6.0, 2, 0, 1));
        // All of them: none.
        let got = plain(&all, &rules(Combine::Sum, Reject::MinMax(6, 0)));
        assert_eq!((got.value, got.good, got.low, got.high), (2.0 + 4.0 + 6.0, 3, 0, 0));
    }

    /// Of equals the lowest go by their frames: the first is low, the last is high.
    #[test]
    fn equals_rank_as_their_frames() {
        let all = samples(&[2.0; 4], Some(&[1.0, 20.0, 300.0, 4000.0]));
        let got = plain(&all, &rules(Combine::Sum, Reject::MinMax(1, 1)));
        assert_eq!((got.value, got.propagated), (4.0, Some(320.0)));
    }

    #[test]
    fn a_sample_on_the_limit_stays() {
        // Median 10, sigma^2 = 1600 / 4, limit 10 + 2 * 20 = 50.
        let all = samples(&[10.0, 10.0, 10.0, 50.0], None);
        let got = plain(&all, &rules(Combine::Max, Reject::SigClip(clip(2.0, true, 100))));
        assert_eq!((got.value, got.high, got.close), (50.0, 0, true));
        let got = plain(&all, &rules(Combine::Max, Reject::SigClip(clip(1.999, true, 100))));
        assert_eq!((got.value, got.low, got.high, got.close), (10.0, 0, 1, false));
        let all = samples(&[10.0, 10.0, 10.0, 4.0], Some(&[1.0, 1.0, 1.0, 9.0]));
        let got = plain(&all, &rules(Combine::Min, Reject::VarClip(clip(2.0, true, 100))));
        assert_eq!((got.value, got.low, got.close), (4.0, 0, true));
        let got = plain(&all, &rules(Combine::Min, Reject::VarClip(clip(1.5, true, 100))));
        assert_eq!((got.value, got.low, got.high), (10.0, 1, 0));
    }

    /// Checked with numpy: 99 hides 15 in the first pass, whichever the centre.
    #[test]
    fn passes_end_when_nothing_changes() {
        let values = [1.0, 2.0, 3.0, 2.0, 1.0, 3.0, 2.0, 1.0, 15.0, 99.0];
        let left = |passes, median| {
            let got = plain(&samples(&values, None), &rules(Combine::Sum, Reject::SigClip(clip(2.5, median, passes))));
            (got.value, got.low, got.high)
        };
        assert_eq!(left(0, true), (129.0, 0, 0));
        assert_eq!(left(1, true), (30.0, 0, 1));
        assert_eq!(left(2, true), (15.0, 0, 2));
        assert_eq!(left(100, true), (15.0, 0, 2));
        assert_eq!(left(1, false), (30.0, 0, 1));
        assert_eq!(left(100, false), (15.0, 0, 2));
    }

    #[test]
    fn what_rejects_everything_rejects_nothing() {
        let all = samples(&[0.0, 2.0, 0.0, 2.0], Some(&[0.01; 4]));
        for reject in [Reject::SigClip(clip(0.5, true, 100)), Reject::VarClip(clip(1.0, false, 100))] {
            let got = plain(&all, &rules(Combine::Sum, reject));
            assert_eq!((got.value, got.good, got.low, got.high), (4.0, 4, 0, 0));
        }
    }

    #[test]
    fn sides_have_limits_of_their_own() {
        let all = samples(&[-20.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 30.0], None);
        let sided = |lsigma, hsigma| Clip { lsigma, hsigma, median: true, passes: 1 };
        // sigma^2 = 1300 / 10
        let got = plain(&all, &rules(Combine::Sum, Reject::SigClip(sided(1.0, f64::INFINITY))));
        assert_eq!((got.value, got.low, got.high), (30.0, 1, 0));
        let got = plain(&all, &rules(Combine::Sum, Reject::SigClip(sided(2.0, 2.0))));
        assert_eq!((got.value, got.low, got.high), (-20.0, 0, 1));
    }

    #[test]
    fn what_is_compared_is_rounded_to_the_compute_type() {
        // In f32 all three are 16777216; in f64 the last is the largest.
        let all = samples(&[16_777_216.0, 16_777_216.0, 16_777_216.0], Some(&[1.0, 2.0, 3.0]));
        let of = |double| {
            let rules = Rules { combine: Combine::Max, reject: Reject::None, keep: (0, usize::MAX), double };
            stack(&all, &[1.0; 3], &[0.0, 0.25, 0.5], &LEVELS, &rules)
        };
        assert_eq!((of(false).value, of(false).propagated), (16_777_216.0, Some(1.0)));
        assert_eq!((of(true).value, of(true).propagated), (16_777_216.5, Some(3.0)));
    }

    #[test]
    fn scale_and_zero_come_first() {
        let all = samples(&[1.0, 2.0, 3.0], Some(&[1.0, 2.0, 3.0]));
        let rules = rules(Combine::Median, Reject::None);
        let got = stack(&all, &[10.0, 1.0, 1.0], &[0.0, 0.0, 5.0], &LEVELS, &rules);
        near(got.value, 8.0);
        near(got.propagated.unwrap(), 1.347 * 105.0 / 9.0);
        // 10, 2, 8: m = 20/3, S = 168 - 400/3
        near(got.scatter, 1.347 * (168.0 - 400.0 / 3.0) / 6.0);
    }
}
