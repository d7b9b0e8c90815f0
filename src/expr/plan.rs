//! From an expression to what an engine computes: shapes, units, masks, and the steps with their derivatives.

use std::collections::{HashMap, HashSet};

use super::carried::{compare_wcs, header};
use super::dag::{Dag, Id, InputSlot};
use super::parts::{broadcast, operands};
use super::units::{Of, common, joined, powered, said};
use super::{Correlation, Expr, Function, MaskRule, Node, Propagation, Rules};
use crate::dtype::DType;
use crate::fits::{Header, UncertaintyKind};
use crate::kernels::expr::{MaskArg, MaskOp, MaskStep, One, Program, Two};
use crate::nddata::NDAstroData;
use crate::plane::{Origin, Plane};
use crate::tiles::Outputs;
use crate::unit::Unit;
use crate::writing::others;
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
    /// What the user should know.
    pub warning: Option<String>,
    /// Containers that it is made of.
    pub leaves: Vec<NDAstroData>,
}

/// What of the containers is used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub ignore_variance: bool,
    pub ignore_mask: bool,
    pub ignore_units: bool,
    pub compare_wcs: bool,
}

/// A random variable that is the same along collapsed axes: the plan of the slope of the result by it.
pub(crate) struct Shared {
    pub plan: Plan,
    /// Its variance: a plane, or a number.
    pub variance: Option<Plane>,
    pub number: f64,
    /// Along which axes of the result it repeats.
    pub repeats: Vec<bool>,
}

impl Plan {
    pub(crate) fn new(expr: &Expr, options: Options) -> Result<Self> {
        Ok(Self::with_shared(expr, options, None)?.0)
    }

    /// The plan, and those of the variables that repeat along axes that are to be summed: their share is left out of the
    /// variance of the plan.
    pub(crate) fn with_shared(expr: &Expr, options: Options, summed: Option<&[bool]>) -> Result<(Self, Vec<Shared>)> {
        let mut planner = Planner::with(options);
        let value = planner.value(expr)?;
        if options.compare_wcs {
            compare_wcs(&[expr])?;
        }
        let mut shared = Vec::new();
        let mut apart = Vec::new();
        for variable in planner.random.clone() {
            let Some(summed) = summed else { break };
            let missing = value.shape.len() - variable.shape.len();
            let repeats: Vec<bool> = (0..value.shape.len())
                .map(|i| value.shape[i] > 1 && (i < missing || variable.shape[i - missing] == 1))
                .collect();
            if !repeats.iter().zip(summed).any(|(r, s)| *r && *s) {
                continue;
            }
            apart.push(variable.id);
            // It does not matter where the slope is nothing but 0.
            if let Some(slope) = planner.dag.slope(value.id, variable.id) {
                let plan = planner.plan(slope, None, &value)?;
                shared.push(Shared { plan, variance: variable.variance, number: variable.number, repeats });
            }
        }
        let mut variance = planner.dag.variance_without(value.id, &apart);
        if variance.is_none() && !apart.is_empty() {
            variance = Some(planner.dag.constant(0.0));
        }
        Ok((planner.plan(value.id, variance, &value)?, shared))
    }
}

impl Planner {
    /// What computes these nodes.
    fn plan(&self, data: Id, variance: Option<Id>, value: &Value) -> Result<Plan> {
        let shape = value.shape.clone();
        let mut program = self.dag.compile(data, variance, &[]);
        (program.masks, program.mask_steps, program.mask) = needed(&self.mask_inputs, &self.mask_steps, value.mask);
        // Planes that nothing is computed from are not read.
        let mut planes = Vec::new();
        for input in program.narrow.iter_mut().chain(&mut program.wide).chain(&mut program.masks) {
            planes.push(self.planes[*input].broadcast(&shape)?);
            *input = planes.len() - 1;
        }
        let compute = if program.wide.is_empty() { DType::F32 } else { DType::F64 };
        // The mask is as wide as the widest that goes into it.
        let mask = value.mask.and_then(|_| {
            let width = program.masks.iter().map(|&i| planes[i].format().size()).max();
            width.map(DType::of_mask)
        });
        let unit = match &value.unit {
            Of::Unit(unit) => Some(unit.clone()),
            Of::Bare | Of::Nothing => None,
        };
        let (header, warning) = header(&self.leaves, &shape);
        Ok(Plan { program, planes, shape, unit, header, compute, mask, warning, leaves: self.leaves.clone() })
    }
}

impl Plan {
    pub(crate) fn pixels(&self) -> usize {
        self.shape.iter().product()
    }

    /// Further planes that go with the result: those of the first container, if they are of its shape.
    pub(crate) fn others(&self) -> impl Iterator<Item = (&str, &Plane)> {
        others(self.leaves.first(), &self.shape)
    }

    pub(crate) fn outputs(&self) -> Outputs {
        Outputs { variance: self.program.variance.is_some(), mask: self.mask.is_some(), ..Outputs::default() }
    }
}

/// What is known of a part of the expression.
#[derive(Clone)]
pub(super) struct Value {
    pub id: Id,
    pub unit: Of,
    pub mask: Option<MaskArg>,
    pub shape: Vec<usize>,
}

/// A random variable.
#[derive(Clone)]
pub(super) struct Variable {
    pub id: Id,
    shape: Vec<usize>,
    variance: Option<Plane>,
    number: f64,
}

#[derive(Default)]
pub(super) struct Planner {
    pub dag: Dag,
    pub options: Options,
    pub planes: Vec<Plane>,
    known: HashMap<Origin, usize>,
    /// Data and variance of the leaves, to know one again.
    variables: HashMap<(Origin, Option<Origin>), usize>,
    pub mask_inputs: Vec<usize>,
    /// Their places, by number of the plane.
    mask_places: HashMap<usize, usize>,
    pub mask_steps: Vec<MaskStep>,
    pub leaves: Vec<NDAstroData>,
    pub random: Vec<Variable>,
    done: HashMap<*const Node, Value>,
}

impl Planner {
    pub(super) fn with(options: Options) -> Self {
        Planner { options, ..Planner::default() }
    }

    /// Parts that occur twice are planned once. The way down is a loop, not a recursion: chains may be long.
    pub(super) fn value(&mut self, root: &Expr) -> Result<Value> {
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
                let id = match s.variance.filter(|_| !self.options.ignore_variance) {
                    Some(v) if v.is_nan() || v < 0.0 => {
                        return Err(Error::Parameter(format!("a number with the variance {v}: it cannot be below 0")));
                    }
                    Some(v) => {
                        let id = self.dag.number(s.value, v);
                        self.random.push(Variable { id, shape: Vec::new(), variance: None, number: v });
                        id
                    }
                    None => self.dag.constant(s.value),
                };
                let unit = s.unit.clone().filter(|_| !self.options.ignore_units).map_or(Of::Bare, Of::Unit);
                Ok(Value { id, unit, mask: None, shape: Vec::new() })
            }
            Node::Collapse(..) => Err(Error::Parameter("a collapse was not computed".into())),
            Node::One(function, x) => {
                let x = self.of(x)?;
                self.function(*function, x)
            }
            Node::Two(op, a, b, rules) => {
                let (left, right) = (self.of(a)?, self.of(b)?);
                if rules.compare_wcs {
                    compare_wcs(&[a, b])?;
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

    /// The variance of a leaf that has one, of what it is stored as: what a square or an inverse comes to may be beyond f32.
    fn variance(&mut self, nd: &NDAstroData, leaf: usize) -> Id {
        let Some((plane, kind)) = nd.uncertainty_plane() else { return self.dag.constant(0.0) };
        let stored = self.samples(plane, kind == UncertaintyKind::Variance, leaf);
        match kind {
            UncertaintyKind::StdDev => self.dag.two(Two::Mul, stored, stored),
            UncertaintyKind::InverseVariance => {
                let (one, zero) = (self.dag.constant(1.0), self.dag.constant(0.0));
                let variance = self.dag.two(Two::Div, one, stored);
                self.dag.two(Two::Max, variance, zero)
            }
            UncertaintyKind::Variance | UncertaintyKind::Unknown => stored,
        }
    }

    fn leaf(&mut self, nd: &NDAstroData) -> Value {
        let Options { ignore_variance, ignore_mask, ignore_units, .. } = self.options;
        let key = (nd.data_plane().origin(), nd.variance_plane().filter(|_| !ignore_variance).map(Plane::origin));
        let next = self.variables.len();
        let leaf = *self.variables.entry(key).or_insert(next);
        if leaf == next {
            self.leaves.push(nd.clone());
        }
        let id = self.samples(nd.data_plane(), false, leaf);
        if let Some(plane) = nd.variance_plane().filter(|_| !ignore_variance) {
            let variance = self.variance(nd, leaf);
            self.dag.random(id, variance);
            if leaf == next {
                let variance = Some(plane.clone());
                self.random.push(Variable { id, shape: nd.shape(), variance, number: 0.0 });
            }
        }
        let mask = nd.mask_plane().filter(|_| !ignore_mask).map(|plane| {
            let input = self.plane(plane);
            let next = self.mask_inputs.len();
            let at = *self.mask_places.entry(input).or_insert(next);
            if at == next {
                self.mask_inputs.push(input);
            }
            MaskArg::Input(at)
        });
        let unit = nd.unit().filter(|_| !ignore_units).map_or(Of::Nothing, |u| Of::Unit(u.clone()));
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
pub(super) fn needed(
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
