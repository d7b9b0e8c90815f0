//! From an expression to what an engine computes: shapes, units, masks, and the steps with their derivatives.

use std::collections::{HashMap, HashSet};

use super::dag::{Dag, Id, InputSlot};
use super::{Correlation, Expr, Function, MaskRule, Node, Propagation, Rules};
use crate::dtype::DType;
use crate::fits::Header;
use crate::kernels::expr::{MaskArg, MaskOp, MaskStep, One, Program, Two};
use crate::nddata::NDAstroData;
use crate::plane::{Origin, Plane};
use crate::slice::{AxisSlice, Slices};
use crate::tiles::Outputs;
use crate::unit::Unit;
use crate::{Error, Result};

/// An expression, checked and compiled.
pub(crate) struct Plan {
    pub program: Program,
    /// The inputs of the program, of the shape of the result.
    pub planes: Vec<Plane>,
    pub shape: Vec<usize>,
    pub unit: Option<Unit>,
    /// Header of the first container that has one.
    pub header: Header,
    /// f32 where every input is exact in it, else f64.
    pub compute: DType,
    /// Type of the mask that comes out.
    pub mask: Option<DType>,
    /// Containers that it is made of.
    pub leaves: Vec<NDAstroData>,
}

impl Plan {
    pub(crate) fn new(expr: &Expr, ignore_units: bool) -> Result<Self> {
        let mut planner = Planner { ignore_units, ..Planner::default() };
        let value = planner.value(expr)?;
        let shape = value.shape.clone();
        let variance = planner.dag.variance(value.id);
        let mut program = planner.dag.compile(value.id, variance);
        (program.masks, program.mask_steps, program.mask) =
            needed(&planner.mask_inputs, &planner.mask_steps, value.mask);
        let planes: Vec<Plane> = planner.planes.iter().map(|p| p.broadcast(&shape)).collect::<Result<_>>()?;
        let compute = if program.wide.is_empty() { DType::F32 } else { DType::F64 };
        // The mask is as wide as the widest that goes into it.
        let mask = value.mask.and_then(|_| {
            let width = program.masks.iter().map(|&i| planes[i].format().size()).max();
            width.map(|w| [DType::U8, DType::U16, DType::U32][w.ilog2() as usize])
        });
        let unit = match value.unit {
            Of::Unit(unit) => Some(unit),
            Of::Bare | Of::Nothing => None,
        };
        let header = planner.leaves.iter().map(NDAstroData::meta).find(|h| !h.is_empty());
        let header = header.cloned().unwrap_or_else(Header::new);
        Ok(Plan { program, planes, shape, unit, header, compute, mask, leaves: planner.leaves })
    }

    pub(crate) fn pixels(&self) -> usize {
        self.shape.iter().product()
    }

    pub(crate) fn outputs(&self) -> Outputs {
        Outputs { variance: self.program.variance.is_some(), mask: self.mask.is_some(), good: false }
    }
}

/// What an operand is of.
#[derive(Clone, Debug)]
enum Of {
    /// A number that takes the unit of its company.
    Bare,
    /// A container that says none.
    Nothing,
    Unit(Unit),
}

/// What is known of a part of the expression.
#[derive(Clone)]
struct Value {
    id: Id,
    unit: Of,
    mask: Option<MaskArg>,
    shape: Vec<usize>,
}

#[derive(Default)]
struct Planner {
    dag: Dag,
    ignore_units: bool,
    planes: Vec<Plane>,
    known: HashMap<Origin, usize>,
    /// Data and variance of the leaves, to know one again.
    variables: Vec<(Origin, Option<Origin>)>,
    mask_inputs: Vec<usize>,
    mask_steps: Vec<MaskStep>,
    leaves: Vec<NDAstroData>,
    done: HashMap<*const Node, Value>,
}

impl Planner {
    /// Parts that occur twice are planned once. The way down is a loop, not a recursion: chains may be long.
    fn value(&mut self, root: &Expr) -> Result<Value> {
        let mut open = vec![root.clone()];
        while let Some(expr) = open.last().cloned() {
            if self.done.contains_key(&expr.place()) {
                open.pop();
                continue;
            }
            let missing: Vec<Expr> =
                operands(&expr).into_iter().filter(|e| !self.done.contains_key(&e.place())).cloned().collect();
            if !missing.is_empty() {
                open.extend(missing.into_iter().rev());
                continue;
            }
            let value = self.node(expr.node())?;
            self.done.insert(expr.place(), value);
            open.pop();
        }
        self.of(root)
    }

    fn of(&self, expr: &Expr) -> Result<Value> {
        self.done.get(&expr.place()).cloned().ok_or_else(|| Error::Parameter("an operand was not planned".into()))
    }

    fn node(&mut self, node: &Node) -> Result<Value> {
        match node {
            Node::Wrong(why) => Err(Error::Parameter(why.clone())),
            Node::Leaf(nd) => Ok(self.leaf(nd)),
            Node::Scalar(s) => {
                let id = match s.variance {
                    Some(v) if v < 0.0 => {
                        return Err(Error::Parameter(format!("a number with the variance {v}: it cannot be below 0")));
                    }
                    Some(v) => self.dag.number(s.value, v),
                    None => self.dag.constant(s.value),
                };
                let unit = s.unit.clone().filter(|_| !self.ignore_units).map_or(Of::Bare, Of::Unit);
                Ok(Value { id, unit, mask: None, shape: Vec::new() })
            }
            Node::One(function, x) => {
                let x = self.of(x)?;
                self.function(*function, x)
            }
            Node::Two(op, a, b, rules) => {
                let (left, right) = (self.of(a)?, self.of(b)?);
                if rules.compare_wcs {
                    compare_wcs(a, b)?;
                }
                self.operation(*op, left, right, rules)
            }
        }
    }

    fn plane(&mut self, plane: &Plane) -> usize {
        let next = self.planes.len();
        let at = *self.known.entry(plane.origin()).or_insert(next);
        if at == next {
            self.planes.push(plane.clone());
        }
        at
    }

    fn samples(&mut self, plane: &Plane, variance: bool, leaf: usize) -> Id {
        let slot = InputSlot { input: self.plane(plane), narrow: plane.dtype().fits_f32() };
        self.dag.input(slot, variance, leaf)
    }

    fn leaf(&mut self, nd: &NDAstroData) -> Value {
        let key = (nd.data_plane().origin(), nd.variance_plane().map(Plane::origin));
        let leaf = self.variables.iter().position(|v| *v == key).unwrap_or_else(|| {
            self.variables.push(key);
            self.leaves.push(nd.clone());
            self.variables.len() - 1
        });
        let id = self.samples(nd.data_plane(), false, leaf);
        if let Some(plane) = nd.variance_plane() {
            let variance = self.samples(plane, true, leaf);
            self.dag.random(id, variance);
        }
        let mask = nd.mask_plane().map(|plane| {
            let input = self.plane(plane);
            let at = self.mask_inputs.iter().position(|&i| i == input).unwrap_or_else(|| {
                self.mask_inputs.push(input);
                self.mask_inputs.len() - 1
            });
            MaskArg::Input(at)
        });
        let unit = nd.unit().filter(|_| !self.ignore_units).map_or(Of::Nothing, |u| Of::Unit(Unit::from(u)));
        Value { id, unit, mask, shape: nd.shape() }
    }

    fn scaled(&mut self, id: Id, factor: f64) -> Id {
        if factor == 1.0 {
            return id;
        }
        let factor = self.dag.constant(factor);
        self.dag.two(Two::Mul, id, factor)
    }

    fn function(&mut self, function: Function, x: Value) -> Result<Value> {
        let mut unit = x.unit;
        let mut id = x.id;
        match function {
            Function::Step(op) => {
                match op {
                    One::Exp | One::Log => {
                        (id, unit) = self.number(id, unit, if op == One::Exp { "exp" } else { "log" })?
                    }
                    One::Sqrt => unit = powered(unit, 0.5)?,
                    One::Neg | One::Abs | One::Sign => {}
                }
                id = self.dag.one(op, id);
            }
            Function::Log10 => {
                (id, unit) = self.number(id, unit, "log10")?;
                let natural = self.dag.one(One::Log, id);
                id = self.scaled(natural, std::f64::consts::LOG10_E);
            }
            Function::Pow(power) => {
                if !power.is_finite() {
                    return Err(Error::Parameter(format!("{power} is no power")));
                }
                unit = powered(unit, power)?;
                id = self.dag.pow(id, power);
            }
        }
        Ok(Value { id, unit, ..x })
    }

    /// What must have no dimensions, as a pure number.
    fn number(&mut self, id: Id, unit: Of, what: &str) -> Result<(Id, Of)> {
        let Of::Unit(u) = &unit else { return Ok((id, unit)) };
        match u.factor_to(&Unit::dimensionless()) {
            Some(factor) => Ok((self.scaled(id, factor), Of::Unit(Unit::dimensionless()))),
            None => {
                Err(Error::Unit(format!("{what} of {}: it must be dimensionless; divide by a unit first", said(u))))
            }
        }
    }

    fn operation(&mut self, op: Two, a: Value, b: Value, rules: &Rules) -> Result<Value> {
        let mut shape = broadcast(&a.shape, &b.shape)?;
        if let Correlation::Pixels(nd) = &rules.correlation {
            shape = broadcast(&shape, &nd.shape())?;
        }
        let (mut left, mut right) = (a.id, b.id);
        let unit = match op {
            Two::Mul => joined(a.unit, b.unit, Unit::times),
            Two::Div => joined(a.unit, b.unit, Unit::per),
            _ => {
                let (unit, first, second) = common(a.unit, b.unit, op)?;
                (left, right) = (self.scaled(left, first), self.scaled(right, second));
                unit
            }
        };
        let mut id = self.dag.two(op, left, right);
        match rules.uncertainty {
            Propagation::Propagate => {
                let rho = match &rules.correlation {
                    Correlation::Leaves => None,
                    Correlation::Coefficient(rho) if !(-1.0..=1.0).contains(rho) => {
                        return Err(Error::Parameter(format!("a correlation of {rho}: it lies between -1 and 1")));
                    }
                    Correlation::Coefficient(rho) => Some(self.dag.constant(*rho)),
                    Correlation::Pixels(nd) => Some(self.samples(nd.data_plane(), false, usize::MAX)),
                };
                if let Some(rho) = rho {
                    id = self.dag.correlated(id, left, right, rho);
                }
            }
            Propagation::Drop => id = self.dag.without_variance(id),
            Propagation::Copy => {
                let first = if self.dag.variance(left).is_some() { left } else { right };
                id = self.dag.with_variance_of(id, first);
            }
        }
        let mask = match (a.mask, b.mask, &rules.masks) {
            (_, _, MaskRule::None) => None,
            (Some(a), Some(b), rule) => match rule {
                MaskRule::Or if a != b => Some(self.joined(MaskOp::Or, a, b)),
                MaskRule::And if a != b => Some(self.joined(MaskOp::And, a, b)),
                MaskRule::Custom(f) => Some(self.joined(MaskOp::Custom(f.clone()), a, b)),
                _ => Some(a),
            },
            (a, b, _) => a.or(b),
        };
        Ok(Value { id, unit, mask, shape })
    }

    fn joined(&mut self, op: MaskOp, a: MaskArg, b: MaskArg) -> MaskArg {
        self.mask_steps.push(MaskStep { op, a, b });
        MaskArg::Step(self.mask_steps.len() - 1)
    }
}

/// Of mask inputs and steps those that the result is made of: of masks that a rule leaves out nothing is read.
fn needed(
    inputs: &[usize],
    steps: &[MaskStep],
    result: Option<MaskArg>,
) -> (Vec<usize>, Vec<MaskStep>, Option<MaskArg>) {
    let mut used: HashSet<MaskArg> = result.into_iter().collect();
    for (i, step) in steps.iter().enumerate().rev() {
        if used.contains(&MaskArg::Step(i)) {
            used.extend([step.a, step.b]);
        }
    }
    let mut places = HashMap::new();
    let (mut kept_inputs, mut kept_steps) = (Vec::new(), Vec::new());
    for (i, &input) in inputs.iter().enumerate().filter(|(i, _)| used.contains(&MaskArg::Input(*i))) {
        places.insert(MaskArg::Input(i), MaskArg::Input(kept_inputs.len()));
        kept_inputs.push(input);
    }
    for (i, step) in steps.iter().enumerate().filter(|(i, _)| used.contains(&MaskArg::Step(*i))) {
        places.insert(MaskArg::Step(i), MaskArg::Step(kept_steps.len()));
        kept_steps.push(MaskStep { op: step.op.clone(), a: places[&step.a], b: places[&step.b] });
    }
    (kept_inputs, kept_steps, result.map(|mask| places[&mask]))
}

fn operands(expr: &Expr) -> Vec<&Expr> {
    match expr.node() {
        Node::Leaf(_) | Node::Scalar(_) | Node::Wrong(_) => Vec::new(),
        Node::One(_, x) => vec![x],
        Node::Two(_, a, b, _) => vec![a, b],
    }
}

/// A unit for messages.
fn said(unit: &Unit) -> String {
    match crate::error::escape(unit.as_str()).as_str() {
        "" => "dimensionless".into(),
        text => format!("{text:?}"),
    }
}

fn powered(unit: Of, power: f64) -> Result<Of> {
    match unit {
        Of::Unit(u) => match u.pow(power) {
            Some(u) => Ok(Of::Unit(u)),
            None => Err(Error::Unit(format!("{} to the power {power} is no unit", said(&u)))),
        },
        other => Ok(other),
    }
}

/// The unit of a product or quotient. What says none is a number.
fn joined(a: Of, b: Of, join: impl Fn(&Unit, &Unit) -> Unit) -> Of {
    let one = Unit::dimensionless();
    match (a, b) {
        (Of::Bare, Of::Bare) => Of::Bare,
        (Of::Unit(a), Of::Unit(b)) => Of::Unit(join(&a, &b)),
        (Of::Unit(a), _) => Of::Unit(join(&a, &one)),
        (_, Of::Unit(b)) => Of::Unit(join(&one, &b)),
        _ => Of::Nothing,
    }
}

/// The unit of a sum, and the factors that bring both operands to it.
fn common(a: Of, b: Of, op: Two) -> Result<(Of, f64, f64)> {
    let verb = match op {
        Two::Add => "add",
        Two::Sub => "subtract",
        Two::Min | Two::Max => "compare",
        _ => "join",
    };
    match (a, b) {
        (Of::Unit(a), Of::Unit(b)) => match b.factor_to(&a) {
            Some(factor) => Ok((Of::Unit(a), 1.0, factor)),
            None => Err(Error::Unit(format!("cannot {verb} {} and {}: the units do not convert", said(&a), said(&b)))),
        },
        (Of::Unit(u), Of::Bare) | (Of::Bare, Of::Unit(u)) => Ok((Of::Unit(u), 1.0, 1.0)),
        // What says no unit is a number: 50 % + 1.
        (Of::Unit(u), Of::Nothing) if u.is_dimensionless() => {
            let factor = Unit::dimensionless().factor_to(&u).unwrap_or(1.0);
            Ok((Of::Unit(u), 1.0, factor))
        }
        (Of::Nothing, Of::Unit(u)) if u.is_dimensionless() => {
            let factor = u.factor_to(&Unit::dimensionless()).unwrap_or(1.0);
            Ok((Of::Nothing, 1.0, factor))
        }
        (Of::Unit(u), Of::Nothing) | (Of::Nothing, Of::Unit(u)) => Err(Error::Unit(format!(
            "cannot {verb} {} and what has no unit: give both a unit (BUNIT), or neither",
            said(&u)
        ))),
        (Of::Bare, Of::Bare) => Ok((Of::Bare, 1.0, 1.0)),
        _ => Ok((Of::Nothing, 1.0, 1.0)),
    }
}

/// numpy's rule for two shapes.
fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            _ => Err(Error::Shape {
                what: "second operand".into(),
                expected: a.to_vec(),
                found: b.to_vec(),
                why: "that of the first, or one that repeats to it".into(),
            }),
        })
        .collect()
}

/// All nodes below, each once, operands before what uses them.
fn walk(root: &Expr) -> Vec<Expr> {
    let mut seen = std::collections::HashSet::new();
    let mut order = Vec::new();
    let mut open = vec![(root.clone(), false)];
    while let Some((expr, ready)) = open.pop() {
        if ready {
            order.push(expr);
        } else if seen.insert(expr.place()) {
            let below: Vec<Expr> = operands(&expr).into_iter().rev().cloned().collect();
            open.push((expr, true));
            open.extend(below.into_iter().map(|e| (e, false)));
        }
    }
    order
}

/// The shape of an expression, from those of its parts.
pub(super) fn shape(root: &Expr) -> Result<Vec<usize>> {
    let mut shape = Vec::new();
    for expr in walk(root) {
        match expr.node() {
            Node::Leaf(nd) => shape = broadcast(&shape, &nd.shape())?,
            Node::Two(_, _, _, Rules { correlation: Correlation::Pixels(nd), .. }) => {
                shape = broadcast(&shape, &nd.shape())?;
            }
            Node::Wrong(why) => return Err(Error::Parameter(why.clone())),
            _ => {}
        }
    }
    Ok(shape)
}

/// The same expression of parts of its containers.
pub(super) fn sliced(root: &Expr, slices: &Slices) -> Result<Expr> {
    let shape = shape(root)?;
    let slices = slices.resolve(&shape)?;
    // Axes that a container does not have, or repeats, are taken of the result alone.
    let part = |nd: &NDAstroData| {
        let own = nd.shape();
        let missing = shape.len() - own.len();
        let fit = own.iter().zip(&shape[missing..]).zip(&slices[missing..]).map(|((&len, &all), slice)| match *slice {
            slice if len == all => slice,
            AxisSlice::Range { .. } => AxisSlice::Range { start: 0, step: 1, len: 1 },
            AxisSlice::Index(_) => AxisSlice::Index(0),
        });
        nd.sliced(&fit.collect::<Vec<_>>())
    };
    let mut made: HashMap<*const Node, Expr> = HashMap::new();
    let order = walk(root);
    for expr in &order {
        let of = |e: &Expr| made.get(&e.place()).cloned().unwrap_or_else(|| e.clone());
        let node = match expr.node() {
            Node::Leaf(nd) => Node::Leaf(part(nd)),
            Node::Scalar(_) | Node::Wrong(_) => {
                made.insert(expr.place(), expr.clone());
                continue;
            }
            Node::One(f, x) => Node::One(*f, of(x)),
            Node::Two(op, a, b, rules) => {
                let mut rules = rules.clone();
                if let Correlation::Pixels(nd) = &mut rules.correlation {
                    *nd = part(nd);
                }
                Node::Two(*op, of(a), of(b), rules)
            }
        };
        made.insert(expr.place(), Expr::new(node));
    }
    Ok(made.remove(&root.place()).unwrap_or_else(|| root.clone()))
}

/// Whether all containers of two operands that have a WCS have one WCS.
fn compare_wcs(_a: &Expr, _b: &Expr) -> Result<()> {
    Ok(())
}
