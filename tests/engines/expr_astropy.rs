//! Expressions against astropy 8.0.2 and numpy 2.4.6 (`tests/data/arithmetic.json`, by `make_arithmetic.py`).
//!
//! The judge computed in float64, from inputs that are exact in float32, so it judges both types. Bounds: data within 1 ULP
//! for + - *, 3 ULP for /, 4 ULP for functions, of the type of the result; variances to 1e-6 (f32, where standard
//! deviations are squared in f32) and 1e-13 (f64); masks exactly. Left out are the variances of quotients at divisors of
//! 0, which are NaN in astropy and infinite here (0/0: NaN in both).

use ndastro::fits::UncertaintyKind;
use ndastro::{DType, Expr, NDAstroData, Unit};
use serde_json::Value;

use crate::cases::text;
use crate::compare::{Bounds, Planes, Tolerance, compare};
use crate::expr::{Check, On, Outcome, claim, run, shaped};

pub const ALL: &[(&str, Check)] = &[
    ("arithmetic_of_astropy", arithmetic_of_astropy),
    ("masks_of_astropy", masks_of_astropy),
    ("units_of_astropy", units_of_astropy),
    ("functions_of_numpy", functions_of_numpy),
];

const SHAPE: [usize; 2] = [5, 7];

fn judge() -> Result<Value, String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/arithmetic.json");
    serde_json::from_slice(&std::fs::read(path).map_err(|e| e.to_string())?).map_err(|e| e.to_string())
}

fn word<'a>(value: &'a Value, key: &str) -> Result<&'a str, String> {
    value[key].as_str().ok_or_else(|| format!("no {key} in {value:.80}"))
}

/// Big-endian f64 in hex.
fn numbers(value: &Value) -> Result<Vec<f64>, String> {
    let text = value.as_str().ok_or_else(|| format!("no array: {value}"))?;
    let number = |i: usize| u64::from_str_radix(&text[i..i + 16], 16).map(f64::from_bits).map_err(|e| e.to_string());
    (0..text.len()).step_by(16).map(number).collect()
}

fn list(value: &Value) -> Result<&Vec<Value>, String> {
    value.as_array().ok_or_else(|| "no list".to_string())
}

/// In the type; every number is exact in f32.
fn container(values: &[f64], shape: &[usize], t: DType) -> NDAstroData {
    match t {
        DType::F32 => NDAstroData::new(shaped(values.iter().map(|v| *v as f32).collect::<Vec<_>>(), shape)),
        _ => NDAstroData::new(shaped(values.to_vec(), shape)),
    }
}

fn uncertain(nd: NDAstroData, values: &[f64], kind: UncertaintyKind, t: DType) -> Result<NDAstroData, String> {
    let plane = container(values, &nd.shape(), t);
    nd.with_uncertainty(plane.data().map_err(text)?.clone(), kind).map_err(text)
}

fn operation(op: &str, a: NDAstroData, b: NDAstroData) -> Result<Expr, String> {
    Ok(match op {
        "add" => a + b,
        "subtract" => a - b,
        "multiply" => a * b,
        "divide" => a / b,
        other => return Err(format!("no operation {other}")),
    })
}

fn bounds(op: &str, t: DType) -> Bounds {
    let limit = if op == "divide" { 3 } else { 1 };
    match t {
        DType::F32 => Bounds { data: Tolerance::Ulp32(limit), variance: Tolerance::Relative { rel: 1e-6, abs: 1e-30 } },
        _ => Bounds { data: Tolerance::Ulp64(limit), variance: Tolerance::Relative { rel: 1e-13, abs: 1e-30 } },
    }
}

fn arithmetic_of_astropy(on: &On) -> Outcome {
    let all = judge()?;
    let (a, b) = (numbers(&all["a"])?, numbers(&all["b"])?);
    let (of_a, of_b, rho) = (numbers(&all["uncertainty_a"])?, numbers(&all["uncertainty_b"])?, numbers(&all["rho"])?);
    let mut data = Vec::new();
    let mut raised = 0;
    for case in list(&all["cases"])? {
        let (op, kind, form) = (word(case, "op")?, word(case, "kind")?, word(case, "shape")?);
        let c = case["correlation"].as_u64().ok_or("no correlation")? as usize;
        if case.get("data").is_some() {
            data = numbers(&case["data"])?;
        }
        let (part, shape): (_, &[usize]) = match form {
            "same" => (0..35, &SHAPE),
            "row" => (7..14, &[7]),
            _ => (10..11, &[]),
        };
        for t in [DType::F32, DType::F64] {
            let what = format!("{op}, {kind}, correlation {c}, {form}, {t}");
            let (mut one, mut other) = (container(&a, &SHAPE, t), container(&b[part.clone()], shape, t));
            let uncertainty = match kind {
                "std" => UncertaintyKind::StdDev,
                "ivar" => UncertaintyKind::InverseVariance,
                _ => UncertaintyKind::Variance,
            };
            if kind != "none" && kind != "missing_a" {
                one = uncertain(one, &of_a, uncertainty, t)?;
            }
            if kind != "none" && kind != "missing_b" {
                other = uncertain(other, &of_b[part.clone()], uncertainty, t)?;
            }
            let expr = operation(op, one, other)?;
            let expr = match c {
                0 => expr,
                4 => expr.correlated(container(&rho, &SHAPE, t)),
                _ => expr.correlated([0.0, 0.5, -0.3, 1.0][c]),
            };
            let (got, ..) = run(&expr, on, None, &[]).map_err(|e| format!("{what}: {e}"))?;
            if case.get("raises").is_some() {
                // Where astropy fails, one operand has no variance: then a correlation says nothing.
                let (plain, ..) = run(&operation_without(op, &a, &b, &of_a, &of_b, kind, t)?, on, None, &[])?;
                claim(got.bits() == plain.bits(), || format!("{what}: the correlation says something"))?;
                raised += 1;
                continue;
            }
            let variance = if case["variance"].is_null() { Vec::new() } else { numbers(&case["variance"])? };
            let (mut mine, mut theirs) = (got.variance.clone(), variance);
            let divisor = |i: usize| if part.len() == 35 { b[i] } else { b[part.start + i % part.len()] };
            if op == "divide" {
                for i in (0..theirs.len()).filter(|&i| divisor(i) == 0.0) {
                    (mine[i], theirs[i]) = (0.0, 0.0);
                }
            }
            let got = Planes { data: &got.data, variance: &mine, dq: &[] };
            let want = Planes { data: &data, variance: &theirs, dq: &[] };
            let mut bounds = bounds(op, t);
            if c == 3 || c == 4 {
                // sigma_a and sigma_b may all but cancel: so much of what they are made of.
                let abs = theirs.iter().filter(|v| v.is_finite()).fold(0.0, |m, v| v.abs().max(m));
                let rel = if t == DType::F32 { 1e-6 } else { 1e-13 };
                bounds.variance = Tolerance::Relative { rel, abs: rel * 0.01 * abs };
            }
            compare(&got, &want, &bounds).map_err(|e| format!("{what}:\n{e}"))?;
        }
    }
    claim(raised == 32, || format!("astropy failed in {raised} cases: the data are not what they were"))
}

/// The same operation with nothing said of a correlation.
fn operation_without(
    op: &str,
    a: &[f64],
    b: &[f64],
    of_a: &[f64],
    of_b: &[f64],
    kind: &str,
    t: DType,
) -> Result<Expr, String> {
    let (one, other) = (container(a, &SHAPE, t), container(b, &SHAPE, t));
    match kind {
        "missing_a" => operation(op, one, uncertain(other, of_b, UncertaintyKind::Variance, t)?),
        _ => operation(op, uncertain(one, of_a, UncertaintyKind::Variance, t)?, other),
    }
}

fn masks_of_astropy(on: &On) -> Outcome {
    let all = judge()?;
    let mask = |key: &str| -> Result<Vec<u16>, String> {
        Ok(list(&all[key])?.iter().filter_map(Value::as_u64).map(|v| v as u16).collect())
    };
    let nd = |key: &str, m: &str| -> Result<NDAstroData, String> {
        container(&numbers(&all[key])?, &SHAPE, DType::F32).with_mask(shaped(mask(m)?, &SHAPE)).map_err(text)
    };
    let (got, ..) = run(&(nd("a", "mask_a")? + nd("b", "mask_b")?), on, None, &[])?;
    let want: Vec<u32> = mask("mask")?.into_iter().map(u32::from).collect();
    claim(got.mask == want && got.mask_type == Some(DType::U16), || format!("{:?}, not {want:?}", got.mask))
}

fn units_of_astropy(on: &On) -> Outcome {
    let all = judge()?;
    for case in list(&all["units"])? {
        let units: Vec<&str> = list(&case["units"])?.iter().filter_map(Value::as_str).collect();
        let nd = |key: &str, uncertainty: &str, unit: &str| -> Result<NDAstroData, String> {
            let nd = container(&numbers(&all[key])?, &SHAPE, DType::F64);
            let nd = uncertain(nd, &numbers(&all[uncertainty])?, UncertaintyKind::Variance, DType::F64)?;
            Ok(if unit.is_empty() { nd } else { nd.with_unit(unit) })
        };
        let op = word(case, "op")?;
        let expr = operation(op, nd("a", "uncertainty_a", units[0])?, nd("b", "uncertainty_b", units[1])?)?;
        let what = format!("{op} of {units:?}");
        if case.get("raises").is_some() {
            let message = expr.eval(&on.engine).map(drop).err().ok_or_else(|| format!("{what} was computed"))?;
            claim(units.iter().all(|u| message.to_string().contains(u)), || format!("{what}: {message}"))?;
            continue;
        }
        let (got, _, result) = run(&expr, on, None, &[]).map_err(|e| format!("{what}: {e}"))?;
        let (mine, theirs) = (result.unit().cloned().unwrap_or_default(), Unit::from(word(case, "unit")?));
        // m/cm may be 100 of nothing: then the numbers say so.
        let factor = mine.factor_to(&theirs).ok_or_else(|| format!("{what}: {mine:?}, not {theirs:?}"))?;
        let scaled = |v: &[f64], by: f64| v.iter().map(|v| v * by).collect::<Vec<f64>>();
        let (data, mut variance) = (scaled(&got.data, factor), scaled(&got.variance, factor * factor));
        let mut want = numbers(&case["variance"])?;
        if op == "divide" {
            let b = numbers(&all["b"])?;
            for i in (0..35).filter(|&i| b[i] == 0.0) {
                (variance[i], want[i]) = (0.0, 0.0);
            }
        }
        let near = Tolerance::Relative { rel: 1e-13, abs: 1e-12 };
        let got = Planes { data: &data, variance: &variance, dq: &[] };
        let want = Planes { data: &numbers(&case["data"])?, variance: &want, dq: &[] };
        compare(&got, &want, &Bounds { data: near, variance: near }).map_err(|e| format!("{what}:\n{e}"))?;
    }
    Ok(())
}

fn functions_of_numpy(on: &On) -> Outcome {
    let all = judge()?;
    let a = numbers(&all["a"])?;
    for case in list(&all["functions"])? {
        let name = word(case, "name")?;
        let (first, of_any) = (name.split(['_', ' ']).next().unwrap_or(name), name.contains("of_any"));
        let x: Vec<f64> = match first {
            "abs" | "negative" | "square" => a.clone(),
            "exp" => a.iter().map(|v| v / 32.0).collect(),
            _ if of_any => a.iter().map(|v| v / 32.0).collect(),
            _ => a.iter().map(|v| v.abs() / 32.0).collect(),
        };
        for t in [DType::F32, DType::F64] {
            let e = Expr::from(container(&x, &SHAPE, t));
            let expr = match first {
                "abs" => e.abs(),
                "negative" => -e,
                "square" => e.square(),
                "sqrt" => e.sqrt(),
                "exp" => e.exp(),
                "log" => e.log(),
                "log10" => e.log10(),
                _ => e.pow(name.split(' ').nth(1).and_then(|p| p.parse().ok()).ok_or("no power")?),
            };
            let soft = matches!(first, "exp" | "log" | "log10") || (first == "power" && name.contains('.'));
            // x^0 needs no input, so it is computed in f32.
            let constant = name == "power 0";
            let t = if constant { DType::F32 } else { t };
            let fallback: &[&str] = if soft && t == DType::F64 { on.without_soft() } else { &[] };
            let (got, ..) = run(&expr, on, None, fallback).map_err(|e| format!("{name}, {t}: {e}"))?;
            let exact = matches!(first, "abs" | "negative" | "square" | "sqrt");
            let limit = if exact { 1 } else { 4 };
            let data = if t == DType::F32 { Tolerance::Ulp32(limit) } else { Tolerance::Ulp64(limit) };
            let want = numbers(&case["data"])?;
            let (got, want) =
                (Planes { data: &got.data, variance: &[], dq: &[] }, Planes { data: &want, variance: &[], dq: &[] });
            compare(&got, &want, &Bounds { data, variance: data }).map_err(|e| format!("{name}, {t}:\n{e}"))?;
        }
    }
    Ok(())
}
