//! The golden stacks in `tests/data/golden` (DRAGONS 168d296, float32).
//!
//! The flavour `dragons` is compared with all of them, on the CPU: bounds of their README (data and variance to a relative
//! 1e-6, scatter to 2e-5 or 1e-6 absolute), DQ and REJMAP exactly. The flavour `stable`, on either engine, where it means
//! the same:
//!
//! - Without rejection and with minmax the same samples are left.
//! - Clipping about the median begins with the same centre, and the spread of `stable`, about the centre, is not less than
//!   the reference's, about the mean. So where the reference rejects nothing, nothing is rejected; where it does, and without
//!   `mclip`, there is nothing to compare.
//! - The propagated variances of medians are the reference's times f(n) / (pi/2), with one f for each n. Where it gives the
//!   variance of the sample in the middle (an odd number without masks and rejection) there is nothing to compare, nor of the
//!   scatter, which is about the median there and about the mean in `stable`.

use std::collections::BTreeMap;
use std::f64::consts::FRAC_PI_2;
use std::path::{Path, PathBuf};

use ndastro::{AstroData, Clip, Combine, DType, Engine, Error, Expr, Flavour, Map, NDAstroData, Pixels, Reject, Stack};
use serde_json::Value;

use crate::Check;
use crate::cases::{Got, evaluate, text};
use crate::compare::{Bounds, Planes, Tolerance, compare};
use crate::frames::{Recipe, Type, make};

pub const ALL: &[(&str, Check)] = &[
    ("golden_n03", n03),
    ("golden_n06", n06),
    ("golden_n11", n11),
    ("golden_stable_n03", stable_n03),
    ("golden_stable_n06", stable_n06),
    ("golden_stable_n11", stable_n11),
    ("dragons_takes_numbers_as_the_reference_does", coerced),
];

fn n03(engine: &Engine) -> Result<(), String> {
    dragons(engine, "ndstacker_n03")
}

fn n06(engine: &Engine) -> Result<(), String> {
    dragons(engine, "ndstacker_n06")
}

fn n11(engine: &Engine) -> Result<(), String> {
    dragons(engine, "ndstacker_n11")
}

fn stable_n03(engine: &Engine) -> Result<(), String> {
    stable(engine, "ndstacker_n03")
}

fn stable_n06(engine: &Engine) -> Result<(), String> {
    stable(engine, "ndstacker_n06")
}

fn stable_n11(engine: &Engine) -> Result<(), String> {
    stable(engine, "ndstacker_n11")
}

/// A case, and what the reference made of it.
struct Golden {
    name: String,
    combine: Combine,
    reject: Reject,
    use_variance: bool,
    use_mask: bool,
    scale: Option<Vec<f64>>,
    zero: Option<Vec<f64>>,
    data: Vec<f64>,
    variance: Vec<f64>,
    dq: Option<Vec<u32>>,
    rejmap: Option<Vec<u32>>,
}

/// A set of cases on the same frames.
struct Set {
    inputs: Vec<PathBuf>,
    cases: Vec<Golden>,
    /// Samples at each pixel that are not of the best level.
    excluded: Vec<u32>,
}

impl Set {
    fn read(name: &str) -> Result<Set, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden").join(name);
        let list = std::fs::read_to_string(folder.join("cases.json")).map_err(|e| e.to_string())?;
        let list: Value = serde_json::from_str(&list).map_err(|e| e.to_string())?;
        let files = list["inputs"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let inputs: Vec<_> = files.map(|f| folder.join(f)).collect();
        let results = AstroData::open(folder.join("out.fits.gz")).map_err(text)?;
        let planes = Got::of(&results[0])?;
        let rejmap = words(results[0].other("REJMAP").map_err(text)?.ok_or("no REJMAP")?);
        let cases = list["cases"].as_array().ok_or("no cases")?;
        let pixels = rejmap.len() / cases.len().max(1);
        if cases.len() != 112 || inputs.len() < 3 || pixels != 960 {
            return Err(format!("{} inputs, {} cases: the data are not what they were", inputs.len(), cases.len()));
        }
        let case = |(k, case): (usize, &Value)| {
            let at = k * pixels..(k + 1) * pixels;
            Ok(Golden {
                name: format!("{name} case {k} {case}"),
                combine: combine(&case["combine"])?,
                reject: reject(case)?,
                use_variance: case["use_var"] == true,
                use_mask: case["use_dq"] == true,
                scale: numbers(&case["scale"]),
                zero: numbers(&case["zero"]),
                data: planes.data[at.clone()].to_vec(),
                variance: planes.variance[at.clone()].to_vec(),
                dq: (case["dq"] == true).then(|| planes.dq[at.clone()].to_vec()),
                rejmap: (case["rejmap"] == true).then(|| rejmap[at].to_vec()),
            })
        };
        let cases = cases.iter().enumerate().map(case).collect::<Result<Vec<_>, String>>()?;
        // Without rejection REJMAP counts what the hierarchy excludes.
        let plain = cases.iter().find(|c| c.reject == Reject::None && c.use_mask).ok_or("no plain case")?;
        let excluded = plain.rejmap.clone().ok_or("a plain case without REJMAP")?;
        Ok(Set { inputs, cases, excluded })
    }

    fn stack(&self, case: &Golden) -> Result<Stack, String> {
        let mut stack = Stack::files(&self.inputs).map_err(text)?.combine(case.combine).reject(case.reject);
        stack = stack.use_variance(case.use_variance).use_mask(case.use_mask);
        if let Some(scale) = &case.scale {
            stack = stack.scale(scale.clone());
        }
        if let Some(zero) = &case.zero {
            stack = stack.zero(zero.clone());
        }
        Ok(stack)
    }

    fn is_odd(&self) -> bool {
        self.inputs.len() % 2 == 1
    }

    /// Samples that were rejected at each pixel, and those that are left.
    fn counts(&self, case: &Golden) -> Vec<[u32; 2]> {
        let frames = self.inputs.len() as u32;
        let count = |p: usize| {
            let excluded = if case.use_mask { self.excluded[p] } else { 0 };
            // Fewer than the hierarchy excludes: a rejection that was undone.
            let out = case.rejmap.as_ref().map_or(0, |r| r[p]).max(excluded);
            [out - excluded, frames - out]
        };
        (0..self.excluded.len()).map(count).collect()
    }
}

fn words(pixels: &Pixels) -> Vec<u32> {
    pixels.to_f64().into_iter().map(|v| v as u32).collect()
}

fn numbers(v: &Value) -> Option<Vec<f64>> {
    v.as_array().map(|a| a.iter().filter_map(Value::as_f64).collect())
}

fn combine(name: &Value) -> Result<Combine, String> {
    Combine::ALL.into_iter().find(|c| *name == c.name()).ok_or_else(|| format!("combine {name}"))
}

fn reject(case: &Value) -> Result<Reject, String> {
    let count = |key: &str| case[key].as_u64().map(|n| n as usize).ok_or_else(|| format!("{case}: {key}"));
    let clip = || -> Option<Clip> {
        let max_iters = case["max_iters"].as_u64().map(|n| n as u32);
        let (lsigma, hsigma) = (case["lsigma"].as_f64()?, case["hsigma"].as_f64()?);
        Some(Clip { lsigma, hsigma, mclip: case["mclip"].as_bool()?, max_iters })
    };
    let clip = || clip().ok_or_else(|| format!("{case}: clipping"));
    Ok(match case["reject"].as_str() {
        Some("none") => Reject::None,
        Some("minmax") => Reject::MinMax { nlow: count("nlow")?, nhigh: count("nhigh")? },
        Some("sigclip") => Reject::SigClip(clip()?),
        Some("varclip") => Reject::VarClip(clip()?),
        other => return Err(format!("reject {other:?}")),
    })
}

/// The bounds of their README.
fn bounds(case: &Golden) -> Bounds {
    let (rel, abs) = if case.use_variance { (1e-6, 0.0) } else { (2e-5, 1e-6) };
    Bounds { data: Tolerance::Relative { rel: 1e-6, abs: 0.0 }, variance: Tolerance::Relative { rel, abs } }
}

/// All cases in the reference's own flavour.
fn dragons(engine: &Engine, name: &str) -> Result<(), String> {
    let set = Set::read(name)?;
    if engine.adapter().is_some() {
        let stack = set.stack(&set.cases[0])?.flavour(Flavour::Dragons);
        return match stack.eval(engine) {
            Err(Error::Parameter(why)) if why.contains("CPU only") => Ok(()),
            other => Err(format!("on a GPU: {:?}", other.map(|r| r.1))),
        };
    }
    for case in &set.cases {
        let stack = set.stack(case)?.flavour(Flavour::Dragons).maps([Map::RejMap]);
        let (result, _) = stack.eval(engine).map_err(text)?;
        let got = Got::of(&result[0])?;
        let zeros = vec![0; got.data.len()];
        let want = Planes { data: &case.data, variance: &case.variance, dq: case.dq.as_deref().unwrap_or(&zeros) };
        let planes = Planes { data: &got.data, variance: &got.variance, dq: &got.dq };
        compare(&planes, &want, &bounds(case)).map_err(|e| format!("{}:\n{e}", case.name))?;
        let rejmap = words(result[0].other("REJMAP").map_err(text)?.ok_or("no REJMAP came out")?);
        if rejmap != *case.rejmap.as_ref().unwrap_or(&zeros) {
            return Err(format!("{}: REJMAP differs", case.name));
        }
    }
    Ok(())
}

/// Everything becomes f32, and masks and variances count only if all frames have them; also of frames that are computed.
fn coerced(engine: &Engine) -> Result<(), String> {
    if engine.adapter().is_some() {
        return Ok(());
    }
    let recipe = Recipe { types: vec![Type::F64, Type::I32], level: 1e5, ..Recipe::new(&[20, 21], 4) };
    let mut made = make(&recipe, 3);
    let clip = |frames: &[NDAstroData]| Stack::new(frames.iter().cloned()).reject(Reject::SigClip(Clip::default()));
    let stacked = |stack: Stack| evaluate(&stack.flavour(Flavour::Dragons), engine);
    let masked = stacked(clip(&made.frames))?;
    made.frames[2] = make(&Recipe { mask: false, ..recipe }, 3).frames[2].clone();
    let got = stacked(clip(&made.frames))?;
    let want = stacked(clip(&made.frames).use_mask(false))?;
    let computed = made.frames.iter().map(|f| Expr::from(f) * 1.0);
    let computed = stacked(Stack::expressions(computed).reject(Reject::SigClip(Clip::default())))?;
    let exact = Bounds { data: Tolerance::Exact, variance: Tolerance::Exact };
    for (what, got) in [("a frame without mask", &got), ("expressions", &computed)] {
        if got.dtype != DType::F32 {
            return Err(format!("{what}: {:?}", got.dtype));
        }
        compare(&got.planes(), &want.planes(), &exact).map_err(|e| format!("{what}:\n{e}"))?;
    }
    match compare(&masked.planes(), &want.planes(), &exact) {
        Ok(()) => Err("masks make no difference; nothing was tested".into()),
        Err(_) => Ok(()),
    }
}

/// The cases in which the flavour `stable` means the same.
fn stable(engine: &Engine, name: &str) -> Result<(), String> {
    let set = Set::read(name)?;
    // f(n) by combination and n, as the first pixel has it.
    let mut factors: BTreeMap<(&str, u32), f64> = BTreeMap::new();
    let mut compared = 0;
    for case in &set.cases {
        let mut got = evaluate(&set.stack(case)?, engine).map_err(|e| format!("{}: {e}", case.name))?;
        let mut variance = case.variance.clone();
        let counts = set.counts(case);
        let is_median = matches!(case.combine, Combine::Median | Combine::LMedian);
        // The variance of the sample in the middle, or a scatter about it.
        let other = match case.use_variance {
            true => case.combine == Combine::Median && case.dq.is_none() && set.is_odd(),
            false => is_median,
        };
        let comparable = |rejected: u32| match case.reject {
            Reject::SigClip(clip) | Reject::VarClip(clip) => clip.mclip && rejected == 0,
            _ => true,
        };
        let mut same: Vec<usize> = Vec::new();
        for (p, [rejected, n]) in counts.into_iter().enumerate() {
            if other {
                (variance[p], got.variance[p]) = (0.0, 0.0);
            } else if is_median && variance[p] > 0.0 && comparable(rejected) {
                let f = *factors.entry((case.combine.name(), n)).or_insert(got.variance[p] / variance[p] * FRAC_PI_2);
                if !(1.0 - 1e-5..FRAC_PI_2).contains(&f) {
                    return Err(format!("{}: the variance of {n} samples is {f} times that of a mean", case.name));
                }
                variance[p] *= f / FRAC_PI_2;
            }
            if comparable(rejected) {
                same.push(p);
            }
        }
        let zeros = vec![0; got.data.len()];
        let dq = case.dq.as_ref().unwrap_or(&zeros);
        let mut bounds = bounds(case);
        if is_median {
            // The factor was measured too.
            bounds.variance = Tolerance::Relative { rel: 3e-6, abs: 0.0 };
        }
        let differs = |p: usize| {
            let at = p..=p;
            let g =
                Planes { data: &got.data[at.clone()], variance: &got.variance[at.clone()], dq: &got.dq[at.clone()] };
            let w = Planes { data: &case.data[at.clone()], variance: &variance[at.clone()], dq: &dq[at] };
            compare(&g, &w, &bounds).err().map(|e| format!("pixel {p}: {e}"))
        };
        let off: Vec<String> = same.iter().filter_map(|&p| differs(p)).collect();
        if let Some(first) = off.first() {
            return Err(format!("{}: {} of {} pixels differ, {first}", case.name, off.len(), same.len()));
        }
        compared += same.len();
    }
    // More than half of them, or little was tested.
    let all = set.cases.len() * set.excluded.len();
    if compared * 2 < all {
        return Err(format!("{compared} of {all} pixels compared"));
    }
    Ok(())
}
