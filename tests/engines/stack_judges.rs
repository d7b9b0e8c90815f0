//! Stacks against astropy 8.0.2, ccdproc 2.5.1, imcombiners 0.1.1 and gnuastro 0.19 (`tests/data/stacks.json`, by
//! `make_stacks.py`).
//!
//! Where a rule is the same, the values are, to 1e-6, and the numbers of samples exactly. Where it is another, in what is
//! written beside it and in `docs/stack-rules.md`; then the values must differ somewhere, or what is written is not true.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::{ArrayD, IxDyn};
use ndastro::{Clip, Combine, Engine, Map, NDAstroData, Reject, Stack};
use serde_json::Value;

use crate::Check;
use crate::cases::{by_the_engine, text};

pub const ALL: &[(&str, Check)] = &[
    ("stacks_of_astropy", |e| of(e, "astropy", 96, 12)),
    ("stacks_of_ccdproc", |e| of(e, "ccdproc", 18, 21)),
    ("stacks_of_imcombiners", |e| of(e, "imcombiners", 96, 0)),
    ("stacks_of_gnuastro", |e| of(e, "gnuastro", 18, 12)),
];

fn numbers(value: &Value) -> Result<Vec<f64>, String> {
    let list = value.as_array().ok_or("no list of numbers")?;
    Ok(list.iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect())
}

fn word<'a>(value: &'a Value, key: &str) -> Result<&'a str, String> {
    value[key].as_str().ok_or_else(|| format!("no {key} in {value:.80}"))
}

fn shaped<T>(values: Vec<T>) -> Result<ArrayD<T>, String> {
    ArrayD::from_shape_vec(IxDyn(&[6, 10]), values).map_err(|e| e.to_string())
}

/// Frames of a set; what a mask flags is worse than anything else, so no level but the last admits it.
fn frames(set: &Value) -> Result<Vec<NDAstroData>, String> {
    let list = set["frames"].as_array().ok_or("a set without frames")?;
    let mut frames = Vec::new();
    for (i, frame) in list.iter().enumerate() {
        let values: Vec<f32> = numbers(frame)?.into_iter().map(|v| v as f32).collect();
        let mut nd = NDAstroData::new(shaped(values)?);
        if let Some(masks) = set["mask"].as_array() {
            let mask: Vec<u16> = numbers(&masks[i])?.into_iter().map(|v| v as u16 * 64).collect();
            nd = nd.with_mask(shaped(mask)?).map_err(text)?;
        }
        frames.push(nd);
    }
    Ok(frames)
}

fn reject(of: &Value) -> Result<Reject, String> {
    let number = |key: &str| of[key].as_f64().ok_or_else(|| format!("no {key} in {of}"));
    Ok(match word(of, "name")? {
        "none" => Reject::None,
        "minmax" => Reject::MinMax { nlow: number("nlow")? as usize, nhigh: number("nhigh")? as usize },
        "sigclip" => Reject::SigClip(Clip {
            lsigma: number("lsigma")?,
            hsigma: number("hsigma")?,
            mclip: of["mclip"] == true,
            max_iters: of["max_iters"].as_u64().map(|n| n as u32),
        }),
        other => return Err(format!("no rejection {other}")),
    })
}

/// Where two lists are more than 1e-6 apart.
fn apart(a: &[f64], b: &[f64]) -> Vec<usize> {
    let differ = |a: f64, b: f64| a.is_nan() || b.is_nan() || (a - b).abs() > 1e-6 * b.abs();
    (0..a.len()).filter(|&i| b.get(i).is_none_or(|&b| differ(a[i], b))).collect()
}

fn of(engine: &Engine, tool: &str, same: usize, other: usize) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/stacks.json");
    let all: Value =
        serde_json::from_slice(&std::fs::read(path).map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    let cases: Vec<&Value> = all["cases"].as_array().into_iter().flatten().filter(|c| c["tool"] == tool).collect();
    let differing = cases.iter().filter(|c| c["differs"].is_string()).count();
    if (cases.len() - differing, differing) != (same, other) {
        return Err(format!("{} cases, {differing} of another rule: the data are not what they were", cases.len()));
    }
    let mut complaints = Vec::new();
    // A way in which a rule is another must show somewhere in a set; not at every limit, of sixty pixels.
    let mut differences: BTreeMap<String, usize> = BTreeMap::new();
    for case in cases {
        let name = word(case, "combine")?;
        let combine = Combine::ALL.into_iter().find(|c| c.name() == name).ok_or("no such combination")?;
        let reject = reject(&case["reject"])?;
        let frames = frames(&all["sets"][word(case, "set")?])?;
        let n = frames.len();
        let stack = Stack::new(frames).combine(combine).reject(reject).maps([Map::NGood]);
        let (result, stats) = stack.eval(engine).map_err(text)?;
        by_the_engine(&stats)?;
        let values = |p: &ndastro::Pixels| p.to_f64().into_iter().collect::<Vec<f64>>();
        let got = values(result[0].data().map_err(text)?);
        let want = numbers(&case["data"])?;
        let bad = apart(&got, &want);
        let what = format!("{}, set {}, {} frames, {combine:?} {reject:?}", word(case, "how")?, word(case, "set")?, n);
        if case["differs"].is_string() {
            let way = format!("set {}: {}", word(case, "set")?, word(case, "differs")?);
            *differences.entry(way).or_default() += bad.len();
            continue;
        }
        if let Some(&i) = bad.first() {
            complaints.push(format!("{what}: {} differ, at {i}: {} found, {} expected", bad.len(), got[i], want[i]));
        }
        let good = values(result[0].other("NGOOD").map_err(text)?.ok_or("no NGOOD")?);
        if case["good"].is_array() && good != numbers(&case["good"])? {
            complaints.push(format!("{what}: other numbers of samples"));
        }
        if case["variance_of_n"].is_array() {
            // Theirs is the spread of n by n over n: of n samples, not of n - 1.
            let mine = values(result[0].variance().map_err(text)?.ok_or("no variance")?);
            let mine: Vec<f64> = mine.iter().zip(&good).map(|(v, n)| v * (n - 1.0) / n).collect();
            if let Some(&i) = apart(&mine, &numbers(&case["variance_of_n"])?).first() {
                complaints.push(format!("{what}: variance at {i}: {} found", mine[i]));
            }
        }
    }
    complaints.extend(differences.iter().filter(|d| *d.1 == 0).map(|d| format!("does not differ: {}", d.0)));
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n")) }
}
