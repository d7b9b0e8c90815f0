//! Expressions of made containers against the oracle of expressions.
//!
//! Bounds, of the oracle: results in f32 within 1 ULP of f32, data in f64 within 3 ULP of f64, either within 4 ULP with
//! exp, log and pow; variances in f64 within 8 ULP of f64, since the oracle is of f64 too, and rounds some six times, in
//! other places; NaN and infinities in the same pixels; masks exactly. The engine that is asked for does it, except
//! where it is documented that it cannot: f64 without 64-bit floats, exp and log of f64, masks joined by a function of
//! the caller's. There it must say so.
#![allow(clippy::eq_op, reason = "a - a is what is to be proved")]

mod files;
mod masks;
mod operations;
mod rules;
mod shapes;
mod steady;
mod types;
mod ugly;
mod units;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::{ArrayD, IxDyn};
use ndastro::{Calculation, DType, Engine, Expr, MaskRule, NDAstroData, Pixels, Propagation, Scalar, Stats};

use crate::cases::text;
use crate::compare::{Bounds, Planes, Tolerance, compare};
use crate::expr_astropy;
use crate::frames::Rng;
use crate::oracle::expr::{Input, Masks, Node, One, Output, Rho, Tree, Two, Uncertainty, evaluate};

pub type Outcome = Result<(), String>;

/// A check on one engine; the error is what to print.
pub type Check = fn(&On) -> Outcome;

pub fn all() -> impl Iterator<Item = &'static (&'static str, Check)> + Clone {
    [
        operations::ALL,
        rules::ALL,
        masks::ALL,
        types::ALL,
        files::ALL,
        shapes::ALL,
        ugly::ALL,
        steady::ALL,
        units::ALL,
        expr_astropy::ALL,
    ]
    .into_iter()
    .flatten()
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Cpu,
    Gpu,
    /// Without 64-bit floats.
    Pair,
}

/// Whether an adapter has 64-bit floats.
fn has_f64(name: &str) -> bool {
    #[cfg(feature = "gpu")]
    return ndastro::adapters().iter().any(|a| a.name == name && a.f64);
    #[cfg(not(feature = "gpu"))]
    return name.is_empty();
}

/// The engine of a trial.
pub struct On {
    pub engine: Engine,
    pub kind: Kind,
    /// Whether it has 64-bit floats.
    f64: bool,
}

impl On {
    pub fn new(engine: Engine, kind: Kind) -> Self {
        let f64 = kind == Kind::Cpu || (kind == Kind::Gpu && engine.adapter().is_some_and(has_f64));
        On { engine, kind, f64 }
    }

    /// Why exp and log of f64 are left to the CPU.
    pub fn without_soft(&self) -> &'static [&'static str] {
        if self.f64 { &["exp and log of 64-bit"] } else { &[] }
    }

    /// Another one of its kind.
    pub fn again(&self, threads: usize) -> Result<Engine, String> {
        let name = self.engine.adapter();
        match self.kind {
            Kind::Cpu => Engine::cpu(threads),
            Kind::Gpu => Engine::gpu(name, threads),
            Kind::Pair => Engine::gpu_without_f64(name, threads),
        }
        .map_err(text)
    }
}

/// A container, and what it holds as numbers for the oracle.
#[derive(Clone)]
pub struct Operand {
    pub nd: NDAstroData,
    shape: Vec<usize>,
    data: Vec<f64>,
    variance: Option<Vec<f64>>,
    mask: Option<Vec<u32>>,
    /// Which random variable it is; that of its place if `None`.
    pub variable: Option<usize>,
}

impl Operand {
    pub fn of(nd: NDAstroData) -> Self {
        let values = |p: &Pixels| p.to_f64().into_iter().collect::<Vec<f64>>();
        // Of a clone, so that a lazy container stays lazy.
        let (data, variance, mask) = {
            let nd = nd.clone();
            let variance = nd.variance().expect("a variance").map(values);
            let mask = nd.mask().expect("a mask").map(|m| values(m).into_iter().map(|v| v as i64 as u32).collect());
            (values(nd.data().expect("data")), variance, mask)
        };
        Operand { shape: nd.shape(), data, variance, mask, nd, variable: None }
    }

    /// As the same random variable as the operand at `place`.
    pub fn like(mut self, place: usize) -> Self {
        self.variable = Some(place);
        self
    }

    fn at(&self, place: usize, pixel: &[usize]) -> Input {
        let missing = pixel.len() - self.shape.len();
        let flat =
            self.shape.iter().zip(&pixel[missing..]).fold(0, |flat, (&n, &i)| flat * n + if n == 1 { 0 } else { i });
        Input {
            value: self.data[flat],
            variance: self.variance.as_ref().map(|v| v[flat]),
            mask: self.mask.as_ref().map(|m| m[flat]),
            variable: self.variable.unwrap_or(place),
        }
    }
}

pub fn shaped<T>(values: Vec<T>, shape: &[usize]) -> ArrayD<T> {
    ArrayD::from_shape_vec(IxDyn(shape), values).expect("as many values as pixels")
}

/// Numbers of `low` to `high` with variances up to a hundredth of the square, and a sparse mask of 16 bits.
pub fn made(shape: &[usize], seed: u64, low: f64, high: f64) -> NDAstroData {
    let mut rng = Rng::new(seed);
    let n = shape.iter().product();
    let data: Vec<f32> = (0..n).map(|_| (low + (high - low) * rng.unit()) as f32).collect();
    let variance = data.iter().map(|d| (f64::from(*d).powi(2) * 0.01 * rng.unit()) as f32 + 1e-6).collect();
    let mask = (0..n).map(|_| if rng.below(4) == 0 { 1u16 << rng.below(16) } else { 0 }).collect();
    let nd = NDAstroData::new(shaped(data, shape));
    nd.with_variance(shaped(variance, shape)).and_then(|nd| nd.with_mask(shaped(mask, shape))).expect("one shape")
}

/// Two operands of `shape`, and whatever numbers lie between 0.5 and 9.
pub fn pair(shape: &[usize], seed: u64) -> Vec<Operand> {
    vec![Operand::of(made(shape, seed, 0.5, 9.0)), Operand::of(made(shape, seed + 1, 0.5, 9.0))]
}

pub fn a() -> Tree {
    Tree::leaf(0)
}

pub fn b() -> Tree {
    Tree::leaf(1)
}

/// The expression of the crate that a tree stands for.
pub fn expression(tree: &Tree, operands: &[Operand]) -> Expr {
    fn build(tree: &Tree, operands: &[Operand], done: &mut HashMap<*const Node, Expr>) -> Expr {
        let key = Rc::as_ptr(&tree.0);
        if let Some(done) = done.get(&key) {
            return done.clone();
        }
        let expr = match &*tree.0 {
            Node::Leaf(i) => Expr::from(&operands[*i].nd),
            Node::Number(value, None) => Expr::from(*value),
            Node::Number(value, Some(variance)) => Scalar::new(*value).with_variance(*variance).into(),
            Node::One(op, x) => {
                let x = build(x, operands, done);
                match op {
                    One::Neg => -x,
                    One::Abs => x.abs(),
                    One::Sqrt => x.sqrt(),
                    One::Exp => x.exp(),
                    One::Log => x.log(),
                    One::Log10 => x.log10(),
                    One::Pow(p) => x.pow(*p),
                }
            }
            Node::Two(op, a, b, rules) => {
                let (a, b) = (build(a, operands, done), build(b, operands, done));
                let mut expr = match op {
                    Two::Add => a + b,
                    Two::Sub => a - b,
                    Two::Mul => a * b,
                    Two::Div => a / b,
                    Two::Min => a.min(b),
                    Two::Max => a.max(b),
                };
                expr = match rules.rho {
                    None => expr,
                    Some(Rho::Number(rho)) => expr.correlated(rho),
                    Some(Rho::Leaf(i)) => expr.correlated(operands[i].nd.clone()),
                };
                expr = match rules.uncertainty {
                    Uncertainty::Propagate => expr,
                    Uncertainty::Copy => expr.uncertainty(Propagation::Copy),
                    Uncertainty::Drop => expr.uncertainty(Propagation::Drop),
                };
                match rules.masks {
                    Masks::Or => expr,
                    Masks::And => expr.masks(MaskRule::And),
                    Masks::First => expr.masks(MaskRule::First),
                    Masks::None => expr.masks(MaskRule::None),
                    Masks::Custom(f) => expr.masks(MaskRule::Custom(Arc::new(f))),
                }
            }
        };
        done.insert(key, expr.clone());
        expr
    }
    build(tree, operands, &mut HashMap::new())
}

/// What is special about a tree.
#[derive(Clone, Copy, Default)]
struct Special {
    /// exp, log, or a power that is neither a root nor a few products: to 4 ULP.
    loose: bool,
    /// What devices do not have in f64: exp, log, and powers that are not a few products.
    soft: bool,
    /// A function joins masks.
    custom: bool,
}

fn special(tree: &Tree) -> Special {
    match &*tree.0 {
        Node::Leaf(_) | Node::Number(..) => Special::default(),
        Node::One(op, x) => {
            let below = special(x);
            let (loose, soft) = match *op {
                One::Exp | One::Log | One::Log10 => (true, true),
                One::Pow(p) if p.fract() == 0.0 => (p.abs() > 3.0, p.abs() > 5.0),
                One::Pow(p) => (p != 0.5, p != 0.5),
                _ => (false, false),
            };
            Special { loose: loose || below.loose, soft: soft || below.soft, ..below }
        }
        Node::Two(_, a, b, rules) => {
            let (a, b) = (special(a), special(b));
            let custom = matches!(rules.masks, Masks::Custom(_));
            Special { loose: a.loose || b.loose, soft: a.soft || b.soft, custom: custom || a.custom || b.custom }
        }
    }
}

/// What a container came to, as numbers; planes that it has not are empty.
#[derive(Debug)]
pub struct Got {
    pub shape: Vec<usize>,
    pub dtype: DType,
    pub data: Vec<f64>,
    pub variance: Vec<f64>,
    pub mask: Vec<u32>,
    pub mask_type: Option<DType>,
}

impl Got {
    pub fn of(nd: &NDAstroData) -> Result<Got, String> {
        let values = |p: Option<&Pixels>| p.map_or(Vec::new(), |p| p.to_f64().into_iter().collect::<Vec<f64>>());
        let (data, mask) = (nd.data().map_err(text)?, nd.mask().map_err(text)?);
        Ok(Got {
            shape: nd.shape(),
            dtype: data.dtype(),
            data: values(Some(data)),
            variance: values(nd.variance().map_err(text)?),
            mask: values(mask).into_iter().map(|v| v as u32).collect(),
            mask_type: mask.map(Pixels::dtype),
        })
    }

    pub fn planes(&self) -> Planes<'_> {
        Planes { data: &self.data, variance: &self.variance, dq: &self.mask }
    }

    pub fn bits(&self) -> (Vec<u64>, Vec<u64>, &[u32]) {
        let b = |v: &[f64]| v.iter().map(|x| x.to_bits()).collect();
        (b(&self.data), b(&self.variance), &self.mask)
    }
}

/// Computes it, and makes sure that who was asked did it; `fallback` says which reasons for the CPU are good ones.
pub fn run(expr: &Expr, on: &On, memory: Option<u64>, fallback: &[&str]) -> Result<(Got, Stats, NDAstroData), String> {
    let mut calculation = Calculation::of(vec![expr.clone()]);
    if let Some(memory) = memory {
        calculation = calculation.memory(memory);
    }
    let (result, stats) = calculation.eval(&on.engine).map_err(text)?;
    let got = Got::of(&result[0])?;
    let mut good = fallback.to_vec();
    if got.dtype == DType::F64 && !on.f64 {
        good.push("64-bit floats");
    }
    let said: Vec<&String> = stats.warnings.iter().filter(|w| w.contains("CPU")).collect();
    let wanted = on.kind != Kind::Cpu && !good.is_empty();
    match said[..] {
        [] if !wanted => {}
        [w] if wanted && good.iter().any(|g| w.contains(g)) => {}
        _ => return Err(format!("{:?}: fallback {good:?}, warnings {:?}", on.kind, stats.warnings)),
    }
    Ok((got, stats, result[0].clone()))
}

/// Why a tree must be computed by the CPU, where it need not be for its type.
pub fn fallback(tree: &Tree, dtype: DType, on: &On) -> Vec<&'static str> {
    let Special { soft, custom, .. } = special(tree);
    let mut good = Vec::new();
    if custom {
        good.push("joins the masks");
    }
    if soft && dtype == DType::F64 {
        good.extend(on.without_soft());
    }
    good
}

/// The oracle's answer for all pixels of `shape`.
pub fn wanted(tree: &Tree, operands: &[Operand], shape: &[usize]) -> Vec<Output> {
    let n: usize = shape.iter().product();
    let mut pixel = vec![0; shape.len()];
    let mut wanted = Vec::with_capacity(n);
    for _ in 0..n {
        let inputs: Vec<Input> = operands.iter().enumerate().map(|(i, o)| o.at(i, &pixel)).collect();
        wanted.push(evaluate(tree, &inputs));
        for axis in (0..shape.len()).rev() {
            pixel[axis] += 1;
            if pixel[axis] < shape[axis] {
                break;
            }
            pixel[axis] = 0;
        }
    }
    wanted
}

/// Largest distances seen, by engine, type and kind of tree: data and variance.
static WORST: Mutex<Vec<(String, u64, u64)>> = Mutex::new(Vec::new());

fn ulps(got: f64, want: f64, dtype: DType) -> u64 {
    if got.is_nan() || want.is_nan() {
        return 0;
    }
    match dtype {
        DType::F64 => {
            let place = |v: f64| if v < 0.0 { -((-v).to_bits() as i64) } else { v.abs().to_bits() as i64 };
            place(got).abs_diff(place(want))
        }
        _ => {
            let place = |v: f64| {
                if v < 0.0 { -i64::from((-v as f32).to_bits()) } else { i64::from((v.abs() as f32).to_bits()) }
            };
            place(got).abs_diff(place(want))
        }
    }
}

fn note(on: &On, what: &str, got: &Got, data: &[f64], variance: &[f64]) {
    let worst = |g: &[f64], w: &[f64]| g.iter().zip(w).map(|(g, w)| ulps(*g, *w, got.dtype)).max().unwrap_or(0);
    let (of_data, of_variance) = (worst(&got.data, data), worst(&got.variance, variance));
    let key = format!("{:?} {} {what}", on.kind, got.dtype);
    let mut all = WORST.lock().unwrap_or_else(PoisonError::into_inner);
    match all.iter_mut().find(|w| w.0 == key) {
        Some(w) => (w.1, w.2) = (w.1.max(of_data), w.2.max(of_variance)),
        None => all.push((key, of_data, of_variance)),
    }
}

/// Prints them.
pub fn report() {
    let mut all = WORST.lock().unwrap_or_else(PoisonError::into_inner).clone();
    all.sort();
    for (key, data, variance) in all {
        eprintln!("worst of {key}: data {data} ULP, variance {variance} ULP");
    }
}

/// The bounds of a tree.
pub fn bounds(tree: &Tree, dtype: DType) -> Bounds {
    let limit = if special(tree).loose { 4 } else { 1 };
    match dtype {
        DType::F64 => Bounds { data: Tolerance::Ulp64(limit.max(3)), variance: Tolerance::Ulp64(8) },
        _ => Bounds { data: Tolerance::Ulp32(limit), variance: Tolerance::Ulp32(limit) },
    }
}

/// Computes a tree and compares it with the oracle within the bounds of this module.
pub fn check(on: &On, tree: &Tree, operands: &[Operand], what: &str) -> Result<Got, String> {
    check_within(on, tree, operands, what, None)
}

/// The same within other bounds.
pub fn check_within(
    on: &On,
    tree: &Tree,
    operands: &[Operand],
    what: &str,
    within: Option<Bounds>,
) -> Result<Got, String> {
    let expr = expression(tree, operands);
    let narrow = operands.iter().all(|o| {
        let fits = |t: DType| !matches!(t, DType::I32 | DType::U32 | DType::I64 | DType::U64 | DType::F64);
        let variance = o.nd.variance().ok().flatten().map(Pixels::dtype);
        fits(o.nd.dtype()) && variance.is_none_or(fits)
    });
    let dtype = if narrow { DType::F32 } else { DType::F64 };
    let mut reasons = fallback(tree, dtype, on);
    if operands.iter().filter(|o| o.mask.is_some()).count() < 2 {
        // There are no two to join.
        reasons.retain(|r| !r.contains("masks"));
    }
    let (got, ..) = run(&expr, on, None, &reasons).map_err(|e| format!("{what}: {e}"))?;
    if got.dtype != dtype {
        return Err(format!("{what}: computed in {}, not in {dtype}", got.dtype));
    }
    let want = wanted(tree, operands, &expr.shape().map_err(text)?);
    let data: Vec<f64> = want.iter().map(|p| p.value).collect();
    let variance: Vec<f64> = want.iter().filter_map(|p| p.variance).collect();
    let mask: Vec<u32> = want.iter().filter_map(|p| p.mask).collect();
    let planes = Planes { data: &data, variance: &variance, dq: &mask };
    let bounds_here = within.unwrap_or_else(|| bounds(tree, dtype));
    if within.is_none() {
        note(on, if special(tree).loose { "exp/log/pow" } else { "+-*/sqrt" }, &got, &data, &variance);
    }
    compare(&got.planes(), &planes, &bounds_here).map_err(|e| {
        let inputs = |at: &str| -> Option<String> {
            let at: usize = at.split("the first at ").nth(1)?.split(':').next()?.parse().ok()?;
            let of = |o: &Operand| (o.data.get(at).copied(), o.variance.as_ref().and_then(|v| v.get(at).copied()));
            Some(format!("{:?}", operands.iter().map(of).collect::<Vec<_>>()))
        };
        let inputs: Vec<String> = e.lines().filter_map(inputs).collect();
        format!("{what}: \n{e}\ninputs {}", inputs.join("; "))
    })?;
    Ok(got)
}

/// `Err` unless it holds.
pub fn claim(holds: bool, what: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(what()) }
}
