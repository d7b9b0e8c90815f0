//! The golden mean stacks in `tests/data/golden` (DRAGONS 168d296, float32).
//!
//! Bounds of their README: data and variance to a relative 1e-6, scatter to 2e-5 or 1e-6 absolute, DQ exactly.

use std::path::Path;

use ndastro::{AstroData, Engine, Stack};
use serde_json::Value;

use crate::Check;
use crate::cases::{Got, evaluate, text};
use crate::compare::{Bounds, Planes, Tolerance, compare};

pub const ALL: &[(&str, Check)] = &[("golden_n03", n03), ("golden_n06", n06), ("golden_n11", n11)];

fn n03(engine: &Engine) -> Result<(), String> {
    set(engine, "ndstacker_n03")
}

fn n06(engine: &Engine) -> Result<(), String> {
    set(engine, "ndstacker_n06")
}

fn n11(engine: &Engine) -> Result<(), String> {
    set(engine, "ndstacker_n11")
}

fn numbers(v: &Value) -> Option<Vec<f64>> {
    v.as_array().map(|a| a.iter().filter_map(Value::as_f64).collect())
}

fn set(engine: &Engine, name: &str) -> Result<(), String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden").join(name);
    let cases = std::fs::read_to_string(folder.join("cases.json")).map_err(|e| e.to_string())?;
    let cases: Value = serde_json::from_str(&cases).map_err(|e| e.to_string())?;
    let inputs: Vec<_> =
        cases["inputs"].as_array().into_iter().flatten().filter_map(Value::as_str).map(|f| folder.join(f)).collect();
    let list = cases["cases"].as_array().ok_or("no cases")?;
    if inputs.len() < 3 || list.len() != 5 {
        return Err(format!("{} inputs and {} cases: the data are not what they were", inputs.len(), list.len()));
    }
    for case in list {
        let file = case["file"].as_str().ok_or("a case without a file")?;
        let variance = case["use_var"] == true;
        let mut stack = Stack::files(&inputs).map_err(text)?.use_variance(variance).use_mask(case["use_dq"] == true);
        if let Some(scale) = numbers(&case["scale"]) {
            stack = stack.scale(scale);
        }
        if let Some(zero) = numbers(&case["zero"]) {
            stack = stack.zero(zero);
        }
        let mut got = evaluate(&stack, engine)?;
        let want = AstroData::open(folder.join(file)).map_err(text)?;
        let mut golden = Got::of(&want[0])?;
        for p in 0..got.data.len() {
            // With no variance and at most one usable sample this crate goes its own way: the scatter is 0.
            if !variance && !golden.variance[p].is_finite() {
                (golden.variance[p], got.variance[p]) = (0.0, 0.0);
            }
        }
        if case["use_dq"] != true {
            got.dq.fill(0);
        }
        let bounds = Bounds {
            data: Tolerance::Relative { rel: 1e-6, abs: 0.0 },
            variance: if variance {
                Tolerance::Relative { rel: 1e-6, abs: 0.0 }
            } else {
                Tolerance::Relative { rel: 2e-5, abs: 1e-6 }
            },
        };
        let planes = |g: &Got| (g.data.clone(), g.variance.clone(), g.dq.clone());
        let ((a, b, c), (x, y, z)) = (planes(&got), planes(&golden));
        compare(&Planes { data: &a, variance: &b, dq: &c }, &Planes { data: &x, variance: &y, dq: &z }, &bounds)
            .map_err(|e| format!("{name}/{file}:\n{e}"))?;
    }
    Ok(())
}
