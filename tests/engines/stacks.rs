//! Rejection and combination of made frames against the oracle of `tests/oracle/stack.rs`.
//!
//! Bounds: data, variances and their ratio within 4 ULP of the type of the result; masks and counts exactly. Means, weighted
//! means and sums near 0 are the rest of terms that cancelled: there 4 ULP of the largest term's share are allowed, no more.
//! The scatter of a weighted mean grows by the square of what its centre is off, and samples that are all the same have no
//! other scatter: there the square of the last places of a sum is allowed ([`off_centre`]).
//! Variances of percentiles have a factor that is an integral: there 1e-6 of it are allowed.
//! Pixels with a sample within 8 ULP of a limit are left out, and are under 2 percent; ties on a limit, which must stay,
//! have tests of their own.

use std::collections::BTreeMap;

use ndarray::{ArrayD, IxDyn};
use ndastro::fits::{Header, Layout};
use ndastro::{
    AstroData, Clip, Combine, DType, DetectorNoise, Engine, Error, Hierarchy, Map, NDAstroData, Offsets, OpenOptions,
    PerFrame, Percent, Reject, Stack, Stats, VarianceFrom, Window,
};

use crate::Check;
use crate::cases::{by_the_engine, text};
use crate::frames::{Made, Recipe, Rng, Type, make};
use crate::oracle::stack::{self as judge, Rules, Stacked, ulp};
use crate::oracle::{LEVELS, Sample};

pub const ALL: &[(&str, Check)] = &[
    ("stack_mean", |e| row(e, Combine::Mean)),
    ("stack_wtmean", |e| row(e, Combine::WtMean)),
    ("stack_median", |e| row(e, Combine::Median)),
    ("stack_lmedian", |e| row(e, Combine::LMedian)),
    ("stack_sum", |e| row(e, Combine::Sum)),
    ("stack_min", |e| row(e, Combine::Min)),
    ("stack_max", |e| row(e, Combine::Max)),
    ("stack_std", |e| row(e, Combine::Std)),
    ("stack_quadrature", quadrature),
    ("stack_bitwise", bitwise),
    ("stack_percentiles", percentiles),
    ("stack_types", types),
    ("stack_scale_and_zero", scale_and_zero),
    ("stack_ways_of_files", ways_of_files),
    ("stack_raw_counts", raw_counts),
    ("stack_ends_of_the_range", ends_of_the_range),
    ("stack_frames_side_by_side", frames_side_by_side),
    ("stack_odd_shapes", odd_shapes),
    ("stack_counts_around_networks", counts_around_networks),
    ("stack_two_thousand_frames", two_thousand_frames),
    ("stack_outliers_at_a_high_level", outliers_at_a_high_level),
    ("stack_ties_on_the_limit_stay", ties_on_the_limit_stay),
    ("stack_equal_extremes", equal_extremes),
    ("stack_variances_of_zero", variances_of_zero),
    ("stack_undone_where_all_went", undone_where_all_went),
    ("stack_scatter_though_there_are_variances", scatter_though_there_are_variances),
    ("stack_clip_by_deviation", clip_by_deviation),
    ("stack_clip_by_limits", clip_by_limits),
    ("stack_keeps_enough", keeps_enough),
    ("stack_frames_that_count_unlike", frames_that_count_unlike),
    ("stack_reasons_say_why", reasons_say_why),
    ("stack_noise_of_counts", noise_of_counts),
    ("stack_other_hierarchies", other_hierarchies),
    ("stack_tiles_do_not_matter", tiles_do_not_matter),
    ("stack_cut_rows_of_many_frames", cut_rows_of_many_frames),
    ("stack_threads_do_not_matter", threads_do_not_matter),
];

/// All planes of a stack, as numbers.
struct Got {
    data: Vec<f64>,
    variance: Vec<f64>,
    dq: Vec<u32>,
    maps: BTreeMap<String, Vec<f64>>,
    double: bool,
    stats: Stats,
}

impl Got {
    fn of((result, stats): (AstroData, Stats)) -> Result<Got, String> {
        by_the_engine(&stats)?;
        let nd = &result[0];
        let values = |p: &ndastro::Pixels| p.to_f64().into_iter().collect::<Vec<f64>>();
        let data = nd.data().map_err(text)?;
        let mut maps = BTreeMap::new();
        for name in nd.other_names() {
            let plane = nd.other(name).map_err(text)?.ok_or("a plane without pixels")?;
            maps.insert(name.to_string(), values(plane));
        }
        Ok(Got {
            double: data.dtype() == DType::F64,
            data: values(data),
            variance: values(nd.variance().map_err(text)?.ok_or("no variance came out")?),
            // A stack whose pixels can never be flagged has no mask: all are good.
            dq: match nd.mask().map_err(text)? {
                Some(mask) => values(mask).into_iter().map(|v| v as u32).collect(),
                None => vec![0; nd.shape().iter().product()],
            },
            maps,
            stats,
        })
    }

    fn map(&self, name: &str) -> Result<&[f64], String> {
        self.maps.get(name).map(Vec::as_slice).ok_or(format!("no plane {name}"))
    }

    /// For comparisons to the bit.
    fn bits(&self) -> Vec<u64> {
        let planes = [&self.data, &self.variance].into_iter().chain(self.maps.values());
        planes.flatten().map(|v| v.to_bits()).chain(self.dq.iter().map(|&m| u64::from(m))).collect()
    }
}

fn build(made: &Made, recipe: &Recipe, combine: Combine, reject: Reject) -> Stack {
    let mut stack = Stack::new(made.frames.iter().cloned()).combine(combine).reject(reject).maps(Map::OF_SAMPLES);
    if recipe.variance {
        stack = stack.variance_from(VarianceFrom::Both);
    }
    if let Some(scale) = &recipe.scale {
        stack = stack.scale(scale.clone());
    }
    if let Some(zero) = &recipe.zero {
        stack = stack.zero(zero.clone());
    }
    stack
}

fn evaluate(stack: &Stack, engine: &Engine) -> Result<Got, String> {
    Got::of(stack.eval(engine).map_err(text)?)
}

/// In the oracle's words.
fn rules(combine: Combine, reject: Reject, double: bool) -> Rules {
    let clip = |c: Clip| judge::Clip {
        lsigma: c.lsigma,
        hsigma: c.hsigma,
        median: c.mclip,
        passes: c.max_iters.unwrap_or(100),
    };
    Rules {
        combine: match combine {
            Combine::Mean => judge::Combine::Mean,
            Combine::WtMean => judge::Combine::WtMean,
            Combine::Median => judge::Combine::Median,
            Combine::LMedian => judge::Combine::LMedian,
            Combine::Sum => judge::Combine::Sum,
            Combine::Min => judge::Combine::Min,
            Combine::Max => judge::Combine::Max,
            Combine::Std => judge::Combine::Std,
            Combine::Quadrature => judge::Combine::Quadrature,
            Combine::Percentile(percent) => judge::Combine::Percentile(percent.get()),
            other => panic!("the oracle has no {other:?}"),
        },
        reject: match reject {
            Reject::None => judge::Reject::None,
            Reject::MinMax { nlow, nhigh } => judge::Reject::MinMax(nlow, nhigh),
            Reject::SigClip(c) => judge::Reject::SigClip(clip(c)),
            Reject::VarClip(c) => judge::Reject::VarClip(clip(c)),
            Reject::MadClip(c) => judge::Reject::MadClip(clip(c)),
            Reject::CcdClip(c, n) => judge::Reject::CcdClip(clip(c), [n.gain, n.read_noise, n.sensitivity]),
            Reject::Winsorised(c) => judge::Reject::Winsorised(clip(c)),
            Reject::LinFit(c) => judge::Reject::LinFit(clip(c)),
            Reject::Gesd { outliers, significance } => judge::Reject::Gesd(outliers, significance),
            Reject::PClip { lsigma, hsigma, at } => judge::Reject::PClip(lsigma, hsigma, at),
            Reject::Percentile { low, high } => judge::Reject::Percentile(low, high),
            Reject::Threshold { low, high } => judge::Reject::Threshold(low, high),
            other => panic!("the oracle has no {other:?}"),
        },
        keep: (0, usize::MAX),
        double,
    }
}

fn oracle(samples: &[Vec<Sample>], recipe: &Recipe, rules: &Rules) -> Vec<Stacked> {
    let scale = recipe.scale.clone().unwrap_or_else(|| vec![1.0; recipe.frames]);
    let zero = recipe.zero.clone().unwrap_or_else(|| vec![0.0; recipe.frames]);
    samples.iter().map(|s| judge::stack(s, &scale, &zero, &LEVELS, rules)).collect()
}

/// How many pixels were compared in all, and how many left out.
#[derive(Default)]
struct Count {
    all: usize,
    close: usize,
}

impl Count {
    fn enough(&self) -> Result<(), String> {
        if self.close * 100 >= self.all * 2 {
            return Err(format!("{} of {} pixels were too close to a limit to be compared", self.close, self.all));
        }
        Ok(())
    }
}

/// Whether a number is the wanted one within 4 ULP, also at the size of what it is the rest of.
fn near(got: f64, want: f64, size: f64, double: bool) -> bool {
    let rounded = if double { want } else { f64::from(want as f32) };
    if got == rounded || (got.is_nan() && want.is_nan()) {
        return true;
    }
    (got - rounded).abs() <= 4.0 * ulp(rounded.abs().max(size), double)
}

/// What the scatter may have of a centre that is off. Quotients by variances are not exact, so weights make a mean of equal
/// samples differ from them by some last places of the sum: of 40 bits, where f32 is summed in f64 or in pairs of f32;
/// of f64, where f64 is. Other combinations have exact means of equal samples.
fn off_centre(w: &Stacked, combine: Combine, double: bool) -> f64 {
    let places = if double { 2f64.powi(-50) } else { 2f64.powi(-40) };
    if combine == Combine::WtMean { (places * w.largest).powi(2) } else { 0.0 }
}

/// One line a plane that differs: how often, and where first.
fn against(got: &Got, want: &[Stacked], combine: Combine, count: &mut Count) -> Result<(), String> {
    if got.data.len() != want.len() {
        return Err(format!("{} pixels, want {}", got.data.len(), want.len()));
    }
    count.all += want.len();
    count.close += want.iter().filter(|w| w.close).count();
    let mut complaints = Vec::new();
    let mut plane =
        |name: &str, got: &[f64], wanted: &dyn Fn(&Stacked) -> f64, agree: &dyn Fn(f64, f64, &Stacked) -> bool| {
            let bad = |&p: &usize| !want[p].close && !agree(got[p], wanted(&want[p]), &want[p]);
            let bad: Vec<usize> = (0..want.len()).filter(bad).collect();
            if let Some(&p) = bad.first() {
                let (found, wanted) = (got[p], wanted(&want[p]));
                complaints.push(format!("{name}: {} differ, at {p}: got {found:?}, want {wanted:?}", bad.len()));
                complaints.push(format!("    {:?}", want[p]));
            }
        };
    let double = got.double;
    // Only these are sums of terms of both signs.
    let value_size = |w: &Stacked| match combine {
        Combine::Mean | Combine::WtMean => w.largest / f64::from(w.good.max(1)),
        Combine::Sum => w.largest,
        Combine::Percentile(_) if double => w.largest,
        _ => 0.0,
    };
    let exact = |got: f64, want: f64, _: &Stacked| got == want;
    let factor = if matches!(combine, Combine::Percentile(_)) { 1e-6 } else { 0.0 };
    let close =
        |got: f64, want: f64, _: &Stacked| near(got, want, 0.0, double) || (got - want).abs() <= factor * want.abs();
    plane("data", &got.data, &|w| w.value, &|got, want, w| near(got, want, value_size(w), double));
    let scatter =
        |got: f64, want: f64, w: &Stacked| close(got, want, w) || (got - want).abs() <= off_centre(w, combine, double);
    plane("variance", &got.variance, &|w| w.propagated.unwrap_or(w.scatter), &|got, want, w| match w.propagated {
        Some(_) => close(got, want, w),
        None => scatter(got, want, w),
    });
    let dq: Vec<f64> = got.dq.iter().map(|&m| f64::from(m)).collect();
    plane("dq", &dq, &|w| f64::from(w.dq), &exact);
    plane("NGOOD", got.map("NGOOD")?, &|w| f64::from(w.good), &exact);
    plane("REJLOW", got.map("REJLOW")?, &|w| f64::from(w.low), &exact);
    plane("REJHIGH", got.map("REJHIGH")?, &|w| f64::from(w.high), &exact);
    plane("REJMAP", got.map("REJMAP")?, &|w| f64::from(w.low + w.high), &exact);
    plane("WEIGHT", got.map("WEIGHT")?, &|w| w.weight, &close);
    if want.iter().any(|w| w.propagated.is_some()) && got.maps.contains_key("SCATTER") {
        plane("SCATTER", got.map("SCATTER")?, &|w| w.scatter, &scatter);
        plane("CHISQ", got.map("CHISQ")?, &|w| w.ratio, &|got, want, w| {
            let off = off_centre(w, combine, double) / w.propagated.unwrap_or(1.0);
            near(got, want, 0.0, double) || (got - want).abs() <= off
        });
    }
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n")) }
}

fn check(
    engine: &Engine,
    made: &Made,
    recipe: &Recipe,
    (combine, reject): (Combine, Reject),
    count: &mut Count,
) -> Result<(), String> {
    let what = |e: String| format!("{combine:?}, {reject:?}, {recipe:?}:\n{e}");
    let got = evaluate(&build(made, recipe, combine, reject), engine).map_err(what)?;
    let want = oracle(&made.samples, recipe, &rules(combine, reject, got.double));
    against(&got, &want, combine, count).map_err(what)
}

fn clip(lsigma: f64, hsigma: f64, mclip: bool, max_iters: Option<u32>) -> Clip {
    Clip { lsigma, hsigma, mclip, max_iters }
}

/// Rejections of every kind that leave something of so many frames.
fn rejections(frames: usize) -> Vec<Reject> {
    let mut all = vec![
        Reject::None,
        Reject::MinMax { nlow: frames / 4, nhigh: frames / 3 },
        Reject::SigClip(Clip::default()),
        Reject::SigClip(clip(1.5, 2.5, false, None)),
        Reject::SigClip(clip(2.0, 1.0, true, Some(1))),
        Reject::SigClip(clip(f64::INFINITY, 2.0, true, Some(2))),
        Reject::SigClip(clip(0.3, 0.3, false, None)),
        Reject::VarClip(Clip::default()),
        Reject::VarClip(clip(1.1, 1.7, false, None)),
        Reject::VarClip(clip(1.0, f64::INFINITY, true, Some(1))),
        Reject::VarClip(clip(0.01, 0.02, false, None)),
    ];
    if frames > 2 {
        all.push(Reject::MinMax { nlow: 1, nhigh: 1 });
    }
    all
}

/// Each shader takes a software driver about half a second to compile: with `NDASTRO_ALL_SHADERS=1` a device goes through
/// all of the matrix, else through variances and masks in every way at two numbers of frames (one of a column in
/// variables, one of a column in storage) and with both at all others.
fn is_spared(engine: &Engine, frames: usize, variance: bool, mask: bool) -> bool {
    let all = std::env::var_os("NDASTRO_ALL_SHADERS").is_some_and(|v| v == "1");
    let chosen = (variance && mask) || matches!(frames, 5 | 33);
    engine.adapter().is_some() && !all && !chosen
}

/// One combination by every rejection, with and without variances and masks, at every number of frames.
fn row(engine: &Engine, combine: Combine) -> Result<(), String> {
    let mut count = Count::default();
    for frames in [1, 2, 3, 5, 20, 33, 100, 300] {
        for (variance, mask) in [(true, true), (true, false), (false, true), (false, false)] {
            if is_spared(engine, frames, variance, mask) {
                continue;
            }
            // The oracle is slow: of many frames fewer pixels, the ugly ones all the same.
            let shape: &[usize] = match frames {
                300 => &[2, 33],
                100 => &[3, 33],
                _ => &[7, 29],
            };
            let recipe = Recipe { variance, mask, ..Recipe::new(shape, frames) };
            let made = make(&recipe, 11 + frames as u64);
            for reject in rejections(frames) {
                check(engine, &made, &recipe, (combine, reject), &mut count)?;
            }
        }
    }
    count.enough()
}

/// The combinations that an engine has.
fn combines(engine: &Engine) -> &'static [Combine] {
    if engine.adapter().is_some() { &Combine::COMMON } else { &Combine::ALL }
}

/// Whether a device says that it leaves a combination to the CPU; `None` on the CPU.
fn left_to_the_cpu(engine: &Engine, combine: Combine) -> Option<Result<(), String>> {
    engine.adapter()?;
    let frames = pixel(&[1.0, 2.0, 3.0, 50.0], &[], Type::F32);
    let said = |stats: Stats| stats.warnings.iter().any(|w| w.contains("computed on the CPU"));
    Some(match Stack::new(frames).combine(combine).eval(engine) {
        Ok((_, stats)) if said(stats.clone()) => Ok(()),
        Ok(_) => Err("nobody said that the CPU did it".into()),
        Err(e) => Err(text(e)),
    })
}

fn quadrature(engine: &Engine) -> Result<(), String> {
    left_to_the_cpu(engine, Combine::Quadrature).unwrap_or_else(|| row(engine, Combine::Quadrature))
}

/// Of integers; a device leaves it to the CPU, and says so.
fn bitwise(engine: &Engine) -> Result<(), String> {
    for (combine, want) in [(Combine::Or, 7.0), (Combine::And, 2.0)] {
        let frames = pixel(&[3.0, 6.0, 2.0], &[], Type::U16);
        let (result, stats) = Stack::new(frames).combine(combine).eval(engine).map_err(text)?;
        let found = result[0].data().map_err(text)?;
        if found.dtype() != Type::U16 || found.to_f64().iter().any(|&v| v != want) {
            return Err(format!("{combine:?}: {found:?}, expected {want} in uint16"));
        }
        let said = stats.warnings.iter().any(|w| w.contains("computed on the CPU"));
        if said != engine.adapter().is_some() {
            return Err(format!("{combine:?}: {:?}", stats.warnings));
        }
    }
    Ok(())
}

/// One by every rejection and number of frames; ends, middles and others of frames of many kinds.
fn percentiles(engine: &Engine) -> Result<(), String> {
    let of = |percent| Percent::new(percent).map(Combine::Percentile).map_err(text);
    if let Some(said) = left_to_the_cpu(engine, of(30.0)?) {
        return said;
    }
    row(engine, of(37.7)?)?;
    let mut count = Count::default();
    for (recipe, level) in kinds_of_frames() {
        let made = make(&recipe, 43);
        let rejects = [
            Reject::None,
            Reject::SigClip(clip(1.5, 2.0, true, None)),
            Reject::Winsorised(clip(2.0, 2.0, true, None)),
            Reject::Threshold { low: level * 0.98, high: level * 1.03 },
        ];
        for percent in [0.0, 5.0, 25.0, 50.0, 75.0, 99.5, 100.0] {
            for reject in rejects {
                check(engine, &made, &recipe, (of(percent)?, reject), &mut count)?;
            }
        }
    }
    count.enough()
}

/// A few rejections by every combination.
fn few(engine: &Engine, recipe: &Recipe, seed: u64) -> Result<(), String> {
    let mut count = Count::default();
    let made = make(recipe, seed);
    for &combine in combines(engine) {
        for reject in [
            Reject::None,
            Reject::MinMax { nlow: recipe.frames / 4, nhigh: recipe.frames / 3 },
            Reject::SigClip(clip(2.0, 2.5, true, None)),
            Reject::VarClip(clip(2.5, 2.0, false, None)),
        ] {
            check(engine, &made, recipe, (combine, reject), &mut count)?;
        }
    }
    count.enough()
}

/// Parts of frames of different shapes, shifted against each other: where one is not, it has no sample.
fn frames_side_by_side(engine: &Engine) -> Result<(), String> {
    let parts = [[0..9, 0..14], [2..9, 0..5], [0..1, 3..14], [4..8, 1..14], [0..9, 13..14], [3..6, 2..9]];
    let offsets: Vec<Vec<i64>> = [[0, 0], [-3, 4], [11, -6], [2, 2], [-1, 17], [0, 0]].map(Vec::from).to_vec();
    // Rows -3 to 11, columns -6 to 17.
    let (rows, columns) = (-3..12, -6..18);
    let mut count = Count::default();
    let kinds = [
        (vec![Type::F32], true, true),
        (vec![Type::U16, Type::I16], false, false),
        (vec![Type::U16, Type::F64, Type::I32], true, false),
        (vec![Type::F32, Type::U8], false, true),
    ];
    for (i, (types, variance, mask)) in kinds.into_iter().enumerate() {
        let level = if types.contains(&Type::U8) { 120.0 } else { 1000.0 };
        let recipe = Recipe { types, variance, mask, level, ..Recipe::new(&[9, 14], 6) };
        let recipe = Recipe { scale: Some(vec![1.0, 1.1, 0.9, 1.05, 1.0, 0.5]), ..recipe };
        let made = make(&recipe, 61 + i as u64);
        let nothing = Sample { value: f64::NAN, variance: variance.then_some(f64::NAN), dq: 0 };
        let mut samples = Vec::new();
        for (y, x) in rows.clone().flat_map(|y| columns.clone().map(move |x| (y, x))) {
            let of = |(f, part): (usize, &[std::ops::Range<usize>; 2])| {
                let at = [y - offsets[f][0], x - offsets[f][1]];
                let inside = (0..2).all(|a| at[a] >= 0 && at[a] < part[a].len() as i64);
                let [y, x] = [0, 1].map(|a| part[a].start + at[a].max(0) as usize);
                if inside { made.samples[y * 14 + x][f] } else { nothing }
            };
            samples.push(parts.iter().enumerate().map(of).collect::<Vec<Sample>>());
        }
        let frames = made.frames.iter().zip(&parts).map(|(nd, part)| nd.window(&Window::new(part.clone())));
        let frames = frames.collect::<ndastro::Result<Vec<_>>>().map_err(text)?;
        let moved = Made { frames, samples };
        for (combine, reject) in [
            (Combine::Mean, Reject::None),
            (Combine::Median, Reject::None),
            (Combine::Mean, Reject::SigClip(clip(1.3, 1.3, true, None))),
        ] {
            let stack = build(&moved, &recipe, combine, reject).offsets(Offsets::Pixels(offsets.clone()));
            let got = evaluate(&stack, engine)?;
            let want = oracle(&moved.samples, &recipe, &rules(combine, reject, got.double));
            let what = |e: String| format!("{combine:?}, {reject:?}, {recipe:?}:\n{e}");
            against(&got, &want, combine, &mut count).map_err(what)?;
            let least = if engine.adapter().is_some() { 400 << 10 } else { 160 << 10 };
            if Got::of(stack.memory(least).eval(engine).map_err(text)?)?.bits() != got.bits() {
                return Err(format!("{combine:?}, {reject:?}: with little memory it differs"));
            }
        }
    }
    count.enough()
}

fn types(engine: &Engine) -> Result<(), String> {
    let types = [
        (vec![Type::U8], 100.0),
        (vec![Type::I16], -300.0),
        (vec![Type::U16], 60_000.0),
        (vec![Type::I32], -2.0e9),
        (vec![Type::F64], 1e6),
        (vec![Type::F64], -1e-3),
        (vec![Type::F32], 1e-6),
        (vec![Type::U16, Type::F32, Type::I16], 1000.0),
        (vec![Type::U16, Type::F64, Type::F32, Type::I32, Type::U8], 200.0),
    ];
    for (types, level) in types {
        for variance in [true, false] {
            few(engine, &Recipe { types: types.clone(), level, variance, ..Recipe::new(&[5, 23], 11) }, 5)?;
        }
    }
    Ok(())
}

fn scale_and_zero(engine: &Engine) -> Result<(), String> {
    let scale = Some(vec![1.0, 0.95, 1.1, 1.0 / 3.0, 1e-1, 2.7, 1.01]);
    let zero = Some(vec![-5.0, 0.1, 0.0, 1e-9, 1234.678, -0.3, 7.0]);
    for variance in [true, false] {
        for types in [vec![Type::F32], vec![Type::U16], vec![Type::F64]] {
            let (scale, zero) = (scale.clone(), zero.clone());
            let both = Recipe { scale, zero, types, variance, ..Recipe::new(&[5, 23], 7) };
            few(engine, &both, 6)?;
            few(engine, &Recipe { zero: None, ..both.clone() }, 7)?;
            few(engine, &Recipe { scale: None, ..both.clone() }, 8)?;
            // The level is taken away, so that terms cancel.
            few(engine, &Recipe { scale: None, zero: Some(vec![-1000.0; 7]), ..both }, 9)?;
        }
    }
    Ok(())
}

/// What has ways of its own: means and sums with nothing but their propagated variance, medians, and what sigma clipping
/// leaves, from files as they are stored, from arrays, and from files whose masks are of another type; more pixels than are
/// summed at once, and ends that fill no vector; images with few pixels that have no good sample, with many, and with
/// variances below zero; few pixels with something rejected, and many.
fn ways_of_files(engine: &Engine) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut count = Count::default();
    let narrow = Clip { lsigma: 1.2, hsigma: 1.1, ..Clip::default() };
    let mean = Clip { mclip: false, hsigma: 1.8, max_iters: Some(2), ..Clip::default() };
    let methods = [
        (Combine::Mean, Reject::None),
        (Combine::Sum, Reject::None),
        (Combine::Median, Reject::None),
        (Combine::LMedian, Reject::None),
        (Combine::Mean, Reject::SigClip(Clip { lsigma: 2.5, hsigma: 2.0, ..Clip::default() })),
        (Combine::Sum, Reject::SigClip(narrow)),
        (Combine::Median, Reject::SigClip(mean)),
    ];
    for (shape, frames, nasty) in [
        (&[1][..], 1, true),
        (&[5, 23], 2, true),
        (&[3, 7, 211], 7, true),
        (&[70, 131], 5, false),
        (&[2, 64], 6, false),
        (&[3, 67], 30, false),
        (&[1, 70], 70, false),
    ] {
        let spread = |by: f64| Some((0..frames).map(|f| 1.0 + by * f as f64).collect());
        for (scale, zero) in [(None, None), (spread(0.1), spread(-3.0))] {
            let recipe = Recipe { nasty, scale, zero, ..Recipe::new(shape, frames) };
            let mut made = make(&recipe, 11);
            if !nasty {
                // One pixel alone has no sample of the first level.
                let bad = recipe.pixels() / 2 + 3;
                made.samples[bad].iter_mut().for_each(|s| s.dq = 8);
                for frame in &mut made.frames {
                    let mut mask = frame.mask().map_err(text)?.ok_or("no mask")?.to_f64().mapv(|m| m as u16);
                    if let Some(m) = mask.iter_mut().nth(bad) {
                        *m = 8;
                    }
                    *frame = frame.clone().with_mask(mask).map_err(text)?;
                }
            }
            let write = |(f, frame): (usize, &NDAstroData), wide: bool| -> Result<_, String> {
                let mut frame = frame.clone();
                if wide {
                    let mask = frame.mask().map_err(text)?.ok_or("no mask")?.to_f64().mapv(|m| m as i32);
                    frame = frame.with_mask(mask).map_err(text)?;
                }
                let path = folder.path().join(format!("{f}.{wide}.fits"));
                AstroData::from_extensions(Header::new(), vec![frame]).write(&path, true).map_err(text)?;
                Ok(path)
            };
            let paths = |wide| made.frames.iter().enumerate().map(|f| write(f, wide)).collect::<Result<Vec<_>, _>>();
            let (stored, wide) = (paths(false)?, paths(true)?);
            for (combine, reject) in methods {
                let stacks = [
                    Stack::new(made.frames.iter().cloned()),
                    Stack::files(&stored).map_err(text)?,
                    Stack::files(&wide).map_err(text)?,
                ];
                for (k, stack) in stacks.into_iter().enumerate() {
                    let mut stack = stack.combine(combine).reject(reject).maps(Map::OF_SAMPLES);
                    if let (Some(scale), Some(zero)) = (&recipe.scale, &recipe.zero) {
                        stack = stack.scale(scale.clone()).zero(zero.clone());
                    }
                    let what = |e: String| format!("{combine:?}, {reject:?}, way {k}, {recipe:?}:\n{e}");
                    let got = evaluate(&stack, engine).map_err(what)?;
                    let want = oracle(&made.samples, &recipe, &rules(combine, reject, got.double));
                    against(&got, &want, combine, &mut count).map_err(what)?;
                }
            }
        }
    }
    count.enough()
}

/// Counts of 16 bits, signed and unsigned, out of files: they are stacked as integers, and against the oracle as any frames.
fn raw_counts(engine: &Engine) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut count = Count::default();
    let of_mean = Clip { mclip: false, lsigma: 2.0, hsigma: 1.7, max_iters: Some(3) };
    let methods = [
        (Combine::Mean, Reject::None),
        (Combine::Sum, Reject::SigClip(Clip { hsigma: 2.0, ..Clip::default() })),
        (Combine::Mean, Reject::SigClip(of_mean)),
        (Combine::Median, Reject::SigClip(Clip { lsigma: f64::INFINITY, hsigma: 1.5, ..Clip::default() })),
        (Combine::LMedian, Reject::None),
        (Combine::Mean, Reject::MinMax { nlow: 1, nhigh: 2 }),
        (Combine::Sum, Reject::MadClip(Clip::default())),
        (Combine::Mean, Reject::Winsorised(Clip::default())),
        (
            Combine::Mean,
            Reject::CcdClip(Clip::default(), DetectorNoise { gain: 9.0, read_noise: 3.0, sensitivity: 0.0 }),
        ),
        (Combine::Median, Reject::Threshold { low: -30_000.0, high: 19_000.0 }),
        (Combine::Sum, Reject::Percentile { low: 20.0, high: 80.0 }),
        (Combine::Median, Reject::MinMax { nlow: 0, nhigh: 1 }),
        (Combine::Std, Reject::SigClip(Clip { hsigma: 2.2, ..Clip::default() })),
        (Combine::Quadrature, Reject::SigClip(Clip { hsigma: 2.2, ..Clip::default() })),
        (Combine::Percentile(Percent::MEDIAN), Reject::None),
    ];
    for (shape, frames) in [
        (&[1][..], 1),
        (&[1, 65], 2),
        (&[2, 3, 43], 5),
        (&[5, 64], 21),
        (&[3, 129], 33),
        (&[1, 70], 200),
        (&[1, 37], 1030),
    ] {
        for signed in [true, false] {
            let recipe = Recipe { variance: false, mask: false, nasty: false, ..Recipe::new(shape, frames) };
            let mut made = make(&recipe, 23);
            let paths: Result<Vec<_>, String> = (0..frames)
                .map(|f| {
                    let value = |p: usize| {
                        // Few values, so that some are equal and some lie on a limit, and a saturated one now and then.
                        let noise = (p * 7919 + f * 104_729 + p * f * 31) % 1013;
                        let v = if noise < 9 { 65_535 } else { 1000 + noise % 17 + (p % 5) * 9_000 };
                        v as i64 - if signed { 32_768 } else { 0 }
                    };
                    let all: Vec<i64> = (0..recipe.pixels()).map(value).collect();
                    all.iter().enumerate().for_each(|(p, v)| made.samples[p][f].value = *v as f64);
                    let array = ArrayD::from_shape_vec(shape, all).map_err(|e| e.to_string())?;
                    let nd = match signed {
                        true => NDAstroData::new(array.mapv(|v| v as i16)),
                        false => NDAstroData::new(array.mapv(|v| v as u16)),
                    };
                    let path = folder.path().join(format!("{f}.fits"));
                    AstroData::from_extensions(Header::new(), vec![nd]).write(&path, true).map_err(text)?;
                    Ok(path)
                })
                .collect();
            let paths = paths?;
            for (combine, reject) in methods {
                let of_both =
                    matches!(reject, Reject::None | Reject::MinMax { .. } | Reject::SigClip(_) | Reject::VarClip(_));
                let of_cpu = !(of_both && combines(engine).contains(&combine)) && engine.adapter().is_some();
                // So many frames for those alone whose sums they are too many for.
                let too_many =
                    frames > 1000 && (signed || !matches!(reject, Reject::SigClip(Clip { mclip: false, .. })));
                if of_cpu || too_many || frames < 4 && matches!(reject, Reject::MinMax { .. }) {
                    continue;
                }
                let stack = Stack::files(&paths).map_err(text)?.combine(combine).reject(reject).maps(Map::OF_SAMPLES);
                let what = |e: String| format!("{combine:?}, {reject:?}, signed {signed}, {recipe:?}:\n{e}");
                let got = evaluate(&stack, engine).map_err(what)?;
                let want = oracle(&made.samples, &recipe, &rules(combine, reject, got.double));
                against(&got, &want, combine, &mut count).map_err(what)?;
            }
        }
    }
    count.enough()
}

/// Values whose squares come near the ends of f32, from above and below: a device computes what it can, and its host the
/// rest.
fn ends_of_the_range(engine: &Engine) -> Result<(), String> {
    for scale in [1e9, 6e14, 1e17, 1e-12, 1e-17] {
        for variance in [true, false] {
            let scale = Some(vec![scale; 20]);
            few(engine, &Recipe { scale, variance, nasty: false, ..Recipe::new(&[2, 23], 20) }, 17)?;
        }
    }
    Ok(())
}

fn odd_shapes(engine: &Engine) -> Result<(), String> {
    let shapes: [&[usize]; 9] = [&[1], &[1, 1], &[63], &[64], &[65], &[129, 1], &[1, 130], &[3, 5, 7], &[1, 2, 3, 11]];
    shapes.iter().try_for_each(|shape| few(engine, &Recipe::new(shape, 9), 4))
}

/// Powers of two and their neighbours, past 64.
fn counts_around_networks(engine: &Engine) -> Result<(), String> {
    [4, 6, 7, 8, 9, 15, 16, 17, 31, 32, 34, 63, 64, 65, 70, 127, 128, 129]
        .iter()
        .try_for_each(|&n| few(engine, &Recipe::new(&[2, 13], n), n as u64))
}

fn two_thousand_frames(engine: &Engine) -> Result<(), String> {
    let recipe = Recipe { level: 1e5, ..Recipe::new(&[1, 7], 2000) };
    let (made, mut count) = (make(&recipe, 1), Count::default());
    for combine in [Combine::Mean, Combine::Median, Combine::Std] {
        for reject in [Reject::SigClip(Clip::default()), Reject::VarClip(Clip::default())] {
            check(engine, &made, &recipe, (combine, reject), &mut count)?;
        }
    }
    check(engine, &made, &recipe, (Combine::LMedian, Reject::MinMax { nlow: 300, nhigh: 500 }), &mut count)?;
    // Seven pixels say nothing of percents.
    if count.close * 5 > count.all {
        Err(format!("{} of {} pixels were close", count.close, count.all))
    } else {
        Ok(())
    }
}

fn array<T>(values: Vec<T>) -> ArrayD<T> {
    let n = values.len();
    ArrayD::from_shape_vec(IxDyn(&[n]), values).expect("as many values as pixels")
}

/// An outlier of 20 sigma in one frame of each pixel, at a level where the squares of f32 have no digit left for sigma.
fn outliers_at_a_high_level(engine: &Engine) -> Result<(), String> {
    const N: usize = 20;
    const PIXELS: usize = 200;
    for sigma in [1.0, 30.0, 1000.0] {
        let mut rng = Rng::new(3);
        let mut cube = vec![vec![0f32; PIXELS]; N];
        for p in 0..PIXELS {
            for frame in &mut cube {
                frame[p] = (1e6 + sigma * rng.normal()) as f32;
            }
            let high = p % 2 == 0;
            cube[p % N][p] = (1e6 + if high { 20.0 } else { -20.0 } * sigma) as f32;
        }
        for (mclip, by_variance) in [(true, false), (false, false), (true, true)] {
            let frames = cube.iter().map(|frame| {
                let nd = NDAstroData::new(array(frame.clone()));
                nd.with_variance(array(vec![(sigma * sigma) as f32; PIXELS])).expect("one shape")
            });
            let clip = clip(4.0, 4.0, mclip, None);
            let reject = if by_variance { Reject::VarClip(clip) } else { Reject::SigClip(clip) };
            let stack = Stack::new(frames).combine(Combine::Max).reject(reject).maps(Map::OF_SAMPLES);
            let got = evaluate(&stack, engine)?;
            for p in 0..PIXELS {
                let (low, high, left) = (got.map("REJLOW")?[p], got.map("REJHIGH")?[p], got.map("NGOOD")?[p]);
                let found = if p % 2 == 0 { high } else { low };
                if found < 1.0 || low + high > 3.0 || left != N as f64 - low - high || got.data[p] > 1e6 + 8.0 * sigma {
                    let what = format!("sigma {sigma}, {reject:?}, pixel {p}");
                    return Err(format!("{what}: {low} low, {high} high, {left} left, largest {}", got.data[p]));
                }
            }
            if stack_rejected(&got) != got.stats.rejected {
                return Err(format!("{} rejected, {} counted", stack_rejected(&got), got.stats.rejected));
            }
        }
    }
    Ok(())
}

fn stack_rejected(got: &Got) -> u64 {
    got.maps.get("REJMAP").map_or(0, |m| m.iter().sum::<f64>() as u64)
}

/// One pixel of these values, with variances if there are.
fn pixel(values: &[f64], variances: &[f64], t: Type) -> Vec<NDAstroData> {
    let one = |(i, &v): (usize, &f64)| {
        let nd = match t {
            Type::U16 => NDAstroData::new(array(vec![v as u16])),
            Type::F64 => NDAstroData::new(array(vec![v])),
            _ => NDAstroData::new(array(vec![v as f32])),
        };
        match variances.get(i) {
            Some(&w) => nd.with_variance(array(vec![w as f32])).expect("one shape"),
            None => nd,
        }
    };
    values.iter().enumerate().map(one).collect()
}

/// Values, variances, rejection, how many are rejected low and high.
type Tie<'a> = (&'a [f64], &'a [f64], Reject, (f64, f64));

/// Whole numbers, so that every side of the comparison is exact: a sample on its limit stays, one past it goes.
fn ties_on_the_limit_stay(engine: &Engine) -> Result<(), String> {
    let inf = f64::INFINITY;
    let sig = |k: f64, mclip, max_iters| Reject::SigClip(clip(k, k, mclip, max_iters));
    let var = |k: f64, mclip| Reject::VarClip(clip(k, k, mclip, None));
    let cases: Vec<Tie> = vec![
        // Median 10, sigma^2 1600 / 4: 50 is at 2 sigma.
        (&[10.0, 10.0, 10.0, 50.0], &[], sig(2.0, true, None), (0.0, 0.0)),
        (&[10.0, 10.0, 10.0, 50.0], &[], sig(1.9375, true, None), (0.0, 1.0)),
        (&[50.0, 50.0, 10.0, 50.0], &[], sig(2.0, true, None), (0.0, 0.0)),
        (&[50.0, 50.0, 10.0, 50.0], &[], sig(1.9375, true, None), (1.0, 0.0)),
        // Mean 20, sigma^2 (100 * 4 + 1600) / 5 = 400: 60 is at 2 sigma.
        (&[10.0, 60.0, 10.0, 10.0, 10.0], &[], sig(2.0, false, None), (0.0, 0.0)),
        (&[10.0, 60.0, 10.0, 10.0, 10.0], &[], sig(1.9375, false, None), (0.0, 1.0)),
        // All are at 1 sigma.
        (&[1.0, 3.0], &[], sig(1.0, false, None), (0.0, 0.0)),
        (&[1.0, 3.0, 1.0, 3.0], &[], sig(1.0, true, None), (0.0, 0.0)),
        // All the same: nothing is beyond a limit of no width.
        (&[7.0; 5], &[], sig(0.0, true, None), (0.0, 0.0)),
        (&[7.0; 5], &[0.0; 5], var(3.0, true), (0.0, 0.0)),
        (&[7.0; 5], &[0.0; 5], Reject::VarClip(clip(inf, inf, true, None)), (0.0, 0.0)),
        // 4 is 6 below the median, its own sigma 3.
        (&[10.0, 10.0, 10.0, 4.0], &[1.0, 1.0, 1.0, 9.0], var(2.0, true), (0.0, 0.0)),
        (&[10.0, 10.0, 10.0, 4.0], &[1.0, 1.0, 1.0, 9.0], var(1.9375, true), (1.0, 0.0)),
        (&[10.0, 10.0, 10.0, 16.0], &[1.0, 1.0, 1.0, 9.0], var(2.0, true), (0.0, 0.0)),
        (&[10.0, 10.0, 10.0, 16.0], &[0.0, 0.0, 0.0, 9.0], var(1.9375, true), (0.0, 1.0)),
    ];
    for (values, variances, reject, want) in cases {
        for t in [Type::F32, Type::U16, Type::F64] {
            for (scale, zero) in [(1.0, 0.0), (4.0, 0.0), (0.5, 64.0), (1.0, 1000.0)] {
                let frames = pixel(values, variances, t);
                let n = frames.len();
                let stack = Stack::new(frames).reject(reject).maps(Map::OF_SAMPLES);
                let stack = stack.scale(vec![scale; n]).zero(vec![zero; n]);
                let got = evaluate(&stack, engine)?;
                let found = (got.map("REJLOW")?[0], got.map("REJHIGH")?[0]);
                if found != want {
                    let what = format!("{values:?} {variances:?} {t:?} scale {scale} zero {zero}, {reject:?}");
                    return Err(format!("{what}: low and high {found:?}, want {want:?}"));
                }
            }
        }
    }
    Ok(())
}

/// The variance of the first frame that has the extreme; and which of equals go, told by their variances.
fn equal_extremes(engine: &Engine) -> Result<(), String> {
    let values = [5.0, 2.0, 5.0, 2.0, 3.0];
    let variances = [1.0, 2.0, 4.0, 8.0, 16.0];
    let minmax = |nlow, nhigh| Reject::MinMax { nlow, nhigh };
    let cases = [
        (Combine::Min, Reject::None, 2.0, 2.0),
        (Combine::Max, Reject::None, 5.0, 1.0),
        // The lowest is frame 1, the highest frame 2.
        (Combine::Min, minmax(1, 1), 2.0, 8.0),
        (Combine::Max, minmax(1, 1), 5.0, 1.0),
        (Combine::Sum, minmax(1, 1), 10.0, 1.0 + 8.0 + 16.0),
        (Combine::Sum, minmax(1, 0), 15.0, 1.0 + 4.0 + 8.0 + 16.0),
        (Combine::Sum, minmax(0, 1), 12.0, 1.0 + 2.0 + 8.0 + 16.0),
        (Combine::Sum, minmax(2, 2), 3.0, 16.0),
        (Combine::Median, minmax(0, 3), 2.0, 10.0 / 4.0),
    ];
    for t in [Type::F32, Type::U16, Type::F64] {
        for (combine, reject, value, variance) in cases {
            let stack = Stack::new(pixel(&values, &variances, t)).combine(combine).reject(reject).maps(Map::OF_SAMPLES);
            let got = evaluate(&stack, engine)?;
            if (got.data[0], got.variance[0]) != (value, variance) {
                let found = (got.data[0], got.variance[0]);
                return Err(format!("{t:?} {combine:?} {reject:?}: {found:?}, want {:?}", (value, variance)));
            }
        }
    }
    // Many ties at many pixels.
    for variance in [true, false] {
        let recipe = Recipe { types: vec![Type::U8], level: 3.0, variance, ..Recipe::new(&[5, 40], 12) };
        let (made, mut count) = (make(&recipe, 2), Count::default());
        for &combine in combines(engine) {
            for reject in [Reject::None, minmax(2, 3), minmax(0, 11), minmax(11, 0)] {
                check(engine, &made, &recipe, (combine, reject), &mut count)?;
            }
        }
    }
    Ok(())
}

/// Samples that are certain: a third of them, and at some pixels all.
fn variances_of_zero(engine: &Engine) -> Result<(), String> {
    let recipe = Recipe { nasty: false, ..Recipe::new(&[3, 40], 9) };
    let mut made = make(&recipe, 8);
    for f in 0..recipe.frames {
        let mut variances = Vec::new();
        for (p, samples) in made.samples.iter_mut().enumerate() {
            if (p + f) % 3 == 0 || p % 10 == 0 {
                samples[f].variance = Some(if p % 2 == 0 { 0.0 } else { -2.0 });
            }
            variances.push(samples[f].variance.unwrap_or(0.0) as f32);
        }
        let plane = ArrayD::from_shape_vec(IxDyn(&recipe.shape), variances).map_err(|e| e.to_string())?;
        made.frames[f] = made.frames[f].clone().with_variance(plane).map_err(text)?;
    }
    let mut count = Count::default();
    for &combine in combines(engine) {
        for reject in [
            Reject::None,
            Reject::MinMax { nlow: 2, nhigh: 2 },
            Reject::SigClip(clip(2.0, 2.0, true, None)),
            // A certain sample is out unless it is the centre; where all are, none is.
            Reject::VarClip(Clip::default()),
            Reject::VarClip(clip(f64::INFINITY, f64::INFINITY, false, None)),
        ] {
            check(engine, &made, &recipe, (combine, reject), &mut count)?;
        }
    }
    count.enough()
}

/// Limits so narrow that of an even number of samples none is inside.
fn undone_where_all_went(engine: &Engine) -> Result<(), String> {
    for variance in [true, false] {
        let recipe = Recipe { variance, mask: false, nasty: false, ..Recipe::new(&[5, 40], 8) };
        let (made, mut count) = (make(&recipe, 8), Count::default());
        for reject in [
            Reject::SigClip(clip(1e-4, 1e-4, true, None)),
            Reject::SigClip(clip(1e-4, 1e-4, false, Some(1))),
            Reject::VarClip(clip(1e-4, 1e-4, true, None)),
        ] {
            for &combine in combines(engine) {
                check(engine, &made, &recipe, (combine, reject), &mut count)?;
            }
            let got = evaluate(&build(&made, &recipe, Combine::Sum, reject), engine)?;
            let undone = got.map("NGOOD")?.iter().filter(|&&n| n == 8.0).count();
            if undone < 190 || got.stats.rejected != stack_rejected(&got) {
                return Err(format!("{reject:?}: undone at {undone} of 200 pixels, {} rejected", got.stats.rejected));
            }
        }
        count.enough()?;
    }
    Ok(())
}

/// Asked for alone, the scatter comes out, and variances that nothing needs are not read: what is not finite in them
/// takes no sample away.
fn scatter_though_there_are_variances(engine: &Engine) -> Result<(), String> {
    let recipe = Recipe::new(&[7, 29], 9);
    let made = make(&recipe, 4);
    let bare: Vec<Vec<Sample>> =
        made.samples.iter().map(|s| s.iter().map(|&s| Sample { variance: None, ..s }).collect()).collect();
    let mut count = Count::default();
    for (combine, reject, read) in [
        (Combine::Mean, Reject::None, false),
        (Combine::Median, Reject::SigClip(Clip::default()), false),
        (Combine::Std, Reject::MinMax { nlow: 1, nhigh: 2 }, false),
        (Combine::WtMean, Reject::None, true),
        (Combine::Mean, Reject::VarClip(Clip::default()), true),
    ] {
        let stack = build(&made, &recipe, combine, reject).variance_from(VarianceFrom::Scatter);
        let got = evaluate(&stack, engine)?;
        let rules = rules(combine, reject, got.double);
        let mut want = oracle(if read { &made.samples } else { &bare }, &recipe, &rules);
        want.iter_mut().for_each(|w| w.propagated = None);
        against(&got, &want, combine, &mut count).map_err(|e| format!("{combine:?} {reject:?}:\n{e}"))?;
    }
    count.enough()
}

/// The median absolute deviation, of frames with all they can have and of counts; what a device has to say to it.
fn clip_by_deviation(engine: &Engine) -> Result<(), String> {
    let rejects = [clip(3.0, 3.0, true, None), clip(1.1, 1.7, true, None), clip(2.0, f64::INFINITY, true, Some(1))];
    if engine.adapter().is_some() {
        let frames = pixel(&[1.0, 2.0, 3.0, 50.0], &[], Type::F32);
        let (_, stats) = Stack::new(frames).reject(Reject::MadClip(rejects[0])).eval(engine).map_err(text)?;
        let said = stats.warnings.iter().any(|w| w.contains("computed on the CPU"));
        return if said { Ok(()) } else { Err("nobody said that the CPU did it".into()) };
    }
    let mut count = Count::default();
    for recipe in [
        Recipe::new(&[7, 29], 9),
        Recipe::new(&[2, 70], 20),
        Recipe::new(&[1, 33], 100),
        Recipe { types: vec![Type::F64], level: 1e9, ..Recipe::new(&[5, 23], 12) },
        Recipe { variance: false, mask: false, types: vec![Type::U16], nasty: false, ..Recipe::new(&[3, 66], 15) },
        Recipe { scale: Some((0..8).map(|i| 1.0 + 0.1 * i as f64).collect()), ..Recipe::new(&[3, 65], 8) },
        Recipe::new(&[64], 1),
        Recipe::new(&[65], 2),
    ] {
        let made = make(&recipe, 31);
        for combine in [Combine::Mean, Combine::Median, Combine::WtMean] {
            for clip in rejects {
                check(engine, &made, &recipe, (combine, Reject::MadClip(clip)), &mut count)?;
            }
        }
    }
    count.enough()
}

/// Rejections of the CPU's, about the level that these frames have.
fn by_limits(level: f64) -> Vec<Reject> {
    let noise = |gain, read_noise, sensitivity| DetectorNoise { gain, read_noise, sensitivity };
    vec![
        Reject::CcdClip(clip(3.0, 3.0, true, None), noise(1.6, 4.5, 0.0)),
        Reject::CcdClip(clip(1.2, 0.8, false, None), noise(level / 50.0 + 1.0, 2.0, 0.001)),
        Reject::CcdClip(clip(f64::INFINITY, 2.0, true, Some(2)), noise(0.5, 0.0, 0.02)),
        Reject::Winsorised(clip(3.0, 3.0, true, None)),
        Reject::Winsorised(clip(1.5, 1.0, true, Some(3))),
        Reject::Gesd { outliers: 0.3, significance: 0.05 },
        Reject::Gesd { outliers: 0.5, significance: 0.7 },
        Reject::Gesd { outliers: 0.12, significance: 0.2 },
        Reject::LinFit(clip(3.0, 3.0, true, None)),
        Reject::LinFit(clip(1.3, 1.1, true, None)),
        Reject::LinFit(clip(0.6, f64::INFINITY, true, Some(2))),
        Reject::LinFit(clip(0.1, 0.1, true, None)),
        Reject::PClip { lsigma: 3.0, hsigma: 3.0, at: -0.5 },
        Reject::PClip { lsigma: 1.5, hsigma: 1.2, at: 0.7 },
        Reject::PClip { lsigma: f64::INFINITY, hsigma: 1.0, at: 2.0 },
        Reject::Percentile { low: 10.0, high: 90.0 },
        Reject::Percentile { low: 0.0, high: 75.0 },
        Reject::Threshold { low: level * 0.98, high: level * 1.03 },
        Reject::Threshold { low: f64::NEG_INFINITY, high: level },
    ]
}

/// Frames of many kinds, and their level.
fn kinds_of_frames() -> Vec<(Recipe, f64)> {
    let plain = |shape: &[usize], frames| Recipe::new(shape, frames);
    let at = |recipe: Recipe| {
        let level = recipe.level;
        (recipe, level)
    };
    vec![
        at(plain(&[7, 29], 9)),
        at(plain(&[2, 70], 20)),
        at(plain(&[1, 33], 100)),
        at(Recipe { types: vec![Type::F64], level: 1e9, ..plain(&[5, 23], 12) }),
        at(Recipe { variance: false, mask: false, types: vec![Type::U16], nasty: false, ..plain(&[3, 66], 15) }),
        at(Recipe { scale: Some((0..8).map(|i| 1.0 + 0.1 * i as f64).collect()), ..plain(&[3, 65], 8) }),
        at(plain(&[64], 1)),
        at(plain(&[65], 2)),
    ]
}

/// Limits of every kind, of frames with all they can have and of counts.
fn clip_by_limits(engine: &Engine) -> Result<(), String> {
    if engine.adapter().is_some() {
        let frames = pixel(&[1.0, 2.0, 3.0, 50.0], &[], Type::F32);
        let (_, stats) = Stack::new(frames).reject(by_limits(3.0)[0]).eval(engine).map_err(text)?;
        let said = stats.warnings.iter().any(|w| w.contains("computed on the CPU"));
        return if said { Ok(()) } else { Err("nobody said that the CPU did it".into()) };
    }
    let mut count = Count::default();
    for (recipe, level) in kinds_of_frames() {
        let made = make(&recipe, 37);
        for reject in by_limits(level) {
            for combine in [Combine::Mean, Combine::Median, Combine::WtMean] {
                check(engine, &made, &recipe, (combine, reject), &mut count)?;
            }
        }
    }
    count.enough()
}

/// However hard a clipping is, so many are left.
fn keeps_enough(engine: &Engine) -> Result<(), String> {
    if engine.adapter().is_some() {
        return Ok(());
    }
    let mut count = Count::default();
    for (recipe, _) in kinds_of_frames() {
        let made = make(&recipe, 41);
        let hard = clip(0.4, 0.5, true, None);
        let test = Reject::Gesd { outliers: 0.5, significance: 0.9 };
        for reject in [Reject::SigClip(hard), Reject::MadClip(hard), Reject::Winsorised(hard), test] {
            for (nkeep, maxrej) in [(3, None), (0, Some(1)), (5, Some(4)), (500, None)] {
                let mut stack = build(&made, &recipe, Combine::Mean, reject).nkeep(nkeep);
                if let Some(most) = maxrej {
                    stack = stack.maxrej(most);
                }
                let what = |e: String| format!("{reject:?}, nkeep {nkeep}, maxrej {maxrej:?}, {recipe:?}:\n{e}");
                let got = evaluate(&stack, engine).map_err(what)?;
                let rules = rules(Combine::Mean, reject, got.double);
                let rules = Rules { keep: (nkeep, maxrej.unwrap_or(usize::MAX)), ..rules };
                against(&got, &oracle(&made.samples, &recipe, &rules), Combine::Mean, &mut count).map_err(what)?;
            }
        }
    }
    count.enough()
}

/// Weights, exposures and fractions of mask bits, with and without a rejection, on the CPU; a device says that it has none.
fn frames_that_count_unlike(engine: &Engine) -> Result<(), String> {
    let weights = |n: usize| (0..n).map(|f| 0.25 + (f * f % 7) as f64 * 1.7).collect::<Vec<f64>>();
    if engine.adapter().is_some() {
        let frames = pixel(&[1.0, 2.0, 3.0, 50.0], &[], Type::F32);
        let (_, stats) = Stack::new(frames).weights(weights(4)).eval(engine).map_err(text)?;
        let said = stats.warnings.iter().any(|w| w.contains("computed on the CPU"));
        return if said { Ok(()) } else { Err("nobody said that the CPU did it".into()) };
    }
    let mut count = Count::default();
    for (recipe, _) in kinds_of_frames() {
        let made = make(&recipe, 43);
        let n = recipe.frames;
        let exposures: Vec<f64> = (0..n).map(|f| 30.0 + 7.5 * f as f64).collect();
        let scale = recipe.scale.clone().unwrap_or_else(|| vec![1.0; n]);
        let zero = recipe.zero.clone().unwrap_or_else(|| vec![0.0; n]);
        for (combine, weighted) in [
            (Combine::Mean, true),
            (Combine::WtMean, true),
            (Combine::Mean, false),
            (Combine::WtMean, false),
            (Combine::Median, false),
        ] {
            for reject in
                [Reject::None, Reject::SigClip(clip(1.5, 2.0, true, None)), Reject::MinMax { nlow: 0, nhigh: n / 3 }]
            {
                let fractions = [(2, 0.25), (4, 1.0), (8, 0.5), (1, 0.1), (16, 0.0)];
                let uneven = judge::Uneven {
                    // Weights so large and so small that their squares are hardly numbers.
                    weights: if weighted { weights(n).iter().map(|k| k * 1e100).collect() } else { Vec::new() },
                    exposures: exposures.clone(),
                    fractions: fractions.to_vec(),
                };
                let mut stack = build(&made, &recipe, combine, reject).maps(Map::ALL);
                stack = stack.exposure(PerFrame::Values(exposures.clone()));
                if weighted {
                    stack = stack.weights(uneven.weights.clone());
                }
                for (bit, fraction) in fractions {
                    stack = stack.mask_fraction(bit, fraction);
                }
                let what = |e: String| format!("{combine:?}, weighted {weighted}, {reject:?}, {recipe:?}:\n{e}");
                let got = evaluate(&stack, engine).map_err(what)?;
                let rules = rules(combine, reject, got.double);
                let one = |s: &Vec<Sample>| judge::stack_uneven(s, (&scale, &zero), &LEVELS, &rules, &uneven);
                let want: Vec<Stacked> = made.samples.iter().map(one).collect();
                against(&got, &want, if weighted { Combine::WtMean } else { combine }, &mut count).map_err(what)?;
                let exposed = got.map("EXPOSURE")?.iter().zip(&want);
                if let Some((got, want)) = exposed.into_iter().find(|(got, want)| !want.close && **got != want.exposure)
                {
                    return Err(what(format!("exposure: got {got}, want {}", want.exposure)));
                }
            }
        }
    }
    count.enough()
}

/// The reason of a sample: whether it is finite, whether others have better masks, whether it was rejected, and where it is.
fn reasons_say_why(engine: &Engine) -> Result<(), String> {
    if engine.adapter().is_some() {
        let stack = Stack::new(pixel(&[1.0, 2.0, 3.0, 50.0], &[], Type::F32)).maps([Map::Reasons]);
        let said = stack.eval(engine).map_err(text)?.1.warnings.iter().any(|w| w.contains("computed on the CPU"));
        return if said { Ok(()) } else { Err("nobody said that the CPU did it".into()) };
    }
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut seen = 0;
    for (recipe, level) in kinds_of_frames() {
        let made = make(&recipe, 47);
        let n = recipe.frames;
        let scale = recipe.scale.clone().unwrap_or_else(|| vec![1.0; n]);
        let mut rejects = vec![Reject::LinFit(clip(1.5, 1.5, true, None)), Reject::MadClip(Clip::default())];
        rejects.extend(rejections(n.max(2)).into_iter().chain(by_limits(level)));
        if n == 1 {
            rejects.retain(|reject| !matches!(reject, Reject::MinMax { .. }));
        }
        for reject in rejects {
            let what = |e: String| format!("{reject:?}, {recipe:?}:\n{e}");
            let stack = build(&made, &recipe, Combine::Min, reject).maps(Map::ALL);
            let stack = stack.exposure(PerFrame::Values(vec![1.0; n]));
            let got = evaluate(&stack, engine).map_err(what)?;
            let pixels = made.samples.len();
            let (reasons, bits) = (got.map("REASONS")?, got.map("DQCOUNTS")?);
            if reasons.len() != n * pixels || bits.len() != 16 * pixels {
                return Err(what(format!("{} reasons, {} counts of bits", reasons.len(), bits.len())));
            }
            let rejected = got.map("REJMAP")?;
            for (p, samples) in made.samples.iter().enumerate() {
                let finite = |s: &Sample| s.value.is_finite() && s.variance.is_none_or(f64::is_finite);
                let rank = |s: &Sample| LEVELS.iter().position(|allowed| s.dq & !allowed == 0);
                let best = samples.iter().filter(|s| finite(s)).filter_map(rank).min();
                let why = |f: usize| reasons[f * pixels + p] as u32;
                let number = |f: usize| samples[f].value * scale[f];
                let left: Vec<usize> = (0..n).filter(|&f| why(f) == 0).collect();
                let least = left.iter().map(|&f| number(f)).fold(f64::INFINITY, f64::min);
                let most = left.iter().map(|&f| number(f)).fold(f64::NEG_INFINITY, f64::max);
                for (f, sample) in samples.iter().enumerate() {
                    let side = 8 * u32::from(number(f) < least) + 16 * u32::from(number(f) > most);
                    let want = match (finite(sample), rank(sample) == best, why(f)) {
                        (false, ..) => 1,
                        (true, false, _) => 2,
                        (true, true, 0) => 0,
                        (true, true, _) => 4 + side,
                    };
                    seen |= 1 << why(f);
                    if why(f) != want {
                        return Err(what(format!("pixel {p}, frame {f}: {} found, {want} expected", why(f))));
                    }
                }
                let counted = |reason: u32| (0..n).filter(|&f| why(f) & reason != 0).count() as f64;
                if rejected[p] != counted(4) || got.map("NGOOD")?[p] != left.len() as f64 {
                    return Err(what(format!("pixel {p}: counts of reasons and maps differ")));
                }
                let rounded = if got.double { least } else { f64::from(least as f32) };
                if !left.is_empty() && (got.data[p] - rounded).abs() > ulp(rounded, got.double) {
                    return Err(what(format!("pixel {p}: the least that is left is {rounded}, not {}", got.data[p])));
                }
                for bit in 0..16 {
                    let want = samples.iter().filter(|s| s.dq >> bit & 1 == 1).count() as f64;
                    if bits[bit * pixels + p] != want {
                        return Err(what(format!("pixel {p}, bit {bit}: {} counted", bits[bit * pixels + p])));
                    }
                }
            }
            // In a file, and in small tiles, it is the same.
            let path = folder.path().join("reasons.fits");
            stack.clone().memory(4 << 20).write(engine, &path, true).map_err(text)?;
            // Each image by itself: a cube is no plane of an image.
            let options = OpenOptions::default().layout(Layout::Plain);
            let file = AstroData::open_with(&path, &options).map_err(text)?;
            for map in ["REASONS", "DQCOUNTS", "REJMAP"] {
                let plane = file.extension(map, 1).map_err(text)?.data().map_err(text)?;
                if plane.to_f64().into_iter().collect::<Vec<f64>>() != got.map(map)? {
                    return Err(what(format!("{map} in a file differs")));
                }
                let planes = if map == "REJMAP" { 0 } else { plane.shape()[0] };
                let shape: Vec<usize> = [planes].into_iter().filter(|&n| n > 0).chain(recipe.shape.clone()).collect();
                if plane.shape() != shape {
                    return Err(what(format!("{map} has the shape {:?}", plane.shape())));
                }
            }
        }
    }
    // Every reason occurred.
    let all = [0, 1, 2, 4, 12, 20].iter().fold(0, |all, reason| all | 1 << reason);
    if seen & all == all { Ok(()) } else { Err(format!("reasons seen: {seen:b}")) }
}

/// A variance that is made of the data comes to what the same numbers in an array come to.
fn noise_of_counts(engine: &Engine) -> Result<(), String> {
    let frames = |explicit: bool| -> Result<Vec<NDAstroData>, String> {
        let one = |f: usize| {
            let counts = ArrayD::from_shape_fn(IxDyn(&[7, 29]), |i| (900 + 37 * f + 13 * i[0] * i[1]) as u16);
            let nd = NDAstroData::new(counts.clone());
            if explicit {
                nd.with_variance(counts.mapv(|c| ((1.75 * f64::from(c) + 20.25) / (1.75 * 1.75)) as f32))
            } else {
                nd.with_noise(1.75, 4.5)
            }
        };
        (0..6).map(one).collect::<Result<_, _>>().map_err(text)
    };
    for (combine, reject) in [
        (Combine::WtMean, Reject::None),
        (Combine::Median, Reject::SigClip(Clip::default())),
        (Combine::Mean, Reject::VarClip(clip(2.0, 2.0, true, None))),
    ] {
        let stack = |explicit| -> Result<Got, String> {
            evaluate(&Stack::new(frames(explicit)?).combine(combine).reject(reject).maps(Map::OF_SAMPLES), engine)
        };
        if stack(false)?.bits() != stack(true)?.bits() {
            return Err(format!("{combine:?} {reject:?}: other than with the variance in an array"));
        }
    }
    Ok(())
}

/// Levels of other bits, of none, of fewer and of as many as there can be.
fn other_hierarchies(engine: &Engine) -> Result<(), String> {
    let recipe = Recipe::new(&[7, 29], 9);
    let (made, mut count) = (make(&recipe, 12), Count::default());
    let sets: [&[u32]; 6] =
        [&[0], &[127], &[64, 1, 8], &[0, 1, 2, 4], &[8 | 32, 0, 16], &[1, 2, 4, 8, 16, 32, 64, 128]];
    for added in sets {
        let mut allowed = 0;
        let levels: Vec<u32> = added
            .iter()
            .map(|bits| {
                allowed |= bits;
                allowed
            })
            .collect();
        for (combine, reject) in STEADY {
            let hierarchy = Hierarchy::new(added.iter().copied()).map_err(text)?;
            let got = evaluate(&build(&made, &recipe, combine, reject).hierarchy(hierarchy), engine)?;
            let rules = rules(combine, reject, got.double);
            let (scale, zero) = (vec![1.0; recipe.frames], vec![0.0; recipe.frames]);
            let want: Vec<Stacked> =
                made.samples.iter().map(|s| judge::stack(s, &scale, &zero, &levels, &rules)).collect();
            let what = |e: String| format!("{added:?} {combine:?} {reject:?}:\n{e}");
            against(&got, &want, combine, &mut count).map_err(what)?;
        }
    }
    count.enough()
}

/// The rejections and combinations whose passes go over a tile more than once.
const STEADY: [(Combine, Reject); 5] = [
    (Combine::Mean, Reject::SigClip(Clip { lsigma: 2.0, hsigma: 2.0, mclip: true, max_iters: None })),
    (Combine::Median, Reject::None),
    (Combine::WtMean, Reject::VarClip(Clip { lsigma: 2.0, hsigma: 2.0, mclip: false, max_iters: None })),
    (Combine::Sum, Reject::MinMax { nlow: 2, nhigh: 3 }),
    (Combine::Std, Reject::SigClip(Clip { lsigma: 2.0, hsigma: 3.0, mclip: false, max_iters: Some(2) })),
];

/// The same, and on the CPU what only that has.
fn steady(engine: &Engine) -> Vec<(Combine, Reject)> {
    let special = [
        (Combine::Quadrature, Reject::None),
        (Combine::Percentile(Percent::MEDIAN), Reject::MinMax { nlow: 1, nhigh: 3 }),
    ];
    let more = if engine.adapter().is_some() { &[][..] } else { &special[..] };
    STEADY.iter().chain(more).copied().collect()
}

/// Any budget: bit-identical planes, also where a row is cut.
fn tiles_do_not_matter(engine: &Engine) -> Result<(), String> {
    for (variance, mask) in [(true, true), (false, false)] {
        let recipe = Recipe { variance, mask, ..Recipe::new(&[5, 2003], 20) };
        let made = make(&recipe, 1);
        for (combine, reject) in steady(engine) {
            let stack = build(&made, &recipe, combine, reject);
            let whole = evaluate(&stack, engine)?;
            let first = if engine.adapter().is_some() { 400 << 10 } else { 200 << 10 };
            for memory in [first, 3 * first] {
                let cut = Got::of(stack.clone().memory(memory).eval(engine).map_err(text)?)?;
                if memory == first && cut.stats.tiles < 3 {
                    return Err(format!("{memory} bytes made {} tiles; nothing was tested", cut.stats.tiles));
                }
                if cut.bits() != whole.bits() {
                    return Err(format!("{combine:?} {reject:?}: {} tiles, the result differs", cut.stats.tiles));
                }
            }
        }
    }
    Ok(())
}

/// So many frames, and the least memory that holds them: rows are cut. On the CPU with two threads, so that what they hold
/// does not hang on the machine; a device has its own least tile.
fn cut_rows_of_many_frames(engine: &Engine) -> Result<(), String> {
    if engine.adapter().is_some() {
        return Ok(());
    }
    const ROWS: usize = 2;
    let engine = Engine::cpu(2).map_err(text)?;
    let recipe = Recipe::new(&[ROWS, 4001], 300);
    let made = make(&recipe, 13);
    for (combine, reject) in STEADY {
        let stack = build(&made, &recipe, combine, reject);
        let whole = evaluate(&stack, &engine)?;
        let least = match stack.clone().memory(1).eval(&engine) {
            Err(Error::Budget { needed, .. }) => needed,
            other => return Err(format!("a byte of memory: {:?}", other.map(|(_, stats)| stats.tiles))),
        };
        let cut = Got::of(stack.memory(least).eval(&engine).map_err(text)?)?;
        if cut.stats.tiles as usize <= ROWS {
            return Err(format!("{least} bytes made {} tiles: no row was cut", cut.stats.tiles));
        }
        if cut.bits() != whole.bits() {
            return Err(format!("{combine:?} {reject:?}: {} tiles, the result differs", cut.stats.tiles));
        }
    }
    Ok(())
}

fn threads_do_not_matter(engine: &Engine) -> Result<(), String> {
    let recipe = Recipe::new(&[31, 37], 21);
    let made = make(&recipe, 2);
    for threads in [1, 2, 5] {
        let other = match engine.adapter() {
            Some(name) => Engine::gpu(Some(name), threads),
            None => Engine::cpu(threads),
        };
        let other = other.map_err(text)?;
        for (combine, reject) in steady(engine) {
            let stack = build(&made, &recipe, combine, reject);
            if evaluate(&stack, engine)?.bits() != evaluate(&stack, &other)?.bits() {
                return Err(format!("{combine:?} {reject:?}: {threads} threads, the result differs"));
            }
        }
    }
    Ok(())
}
