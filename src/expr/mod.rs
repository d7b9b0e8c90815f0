//! Expressions: what is to be computed, before any of it is.
//!
//! `&a - &b`, `(raw - bias) / flat`, `x * 2.0` make a graph over containers, numbers and arrays, and read nothing. An
//! output evaluates it, tile by tile, as one fused kernel: [`Expr::eval`] into memory, a [`Calculation`](crate::Calculation)
//! into a file.
//!
//! - *Shapes* broadcast by numpy's rules.
//! - *Variance* is exact to first order through the whole graph: containers that occur twice are one random variable, so
//!   a - a has none, and (a - b)/(a + b) is right. Known again are planes of one origin: clones, and the same window of
//!   the same file, opened twice. Other windows of it are other variables.
//! - *Masks* are joined by OR unless [`Expr::masks`] says otherwise. An operand without a mask has none to join.
//! - *Units* multiply and divide; + - min max convert the second operand to the unit of the first, or fail and name both.
//!   A bare number is in the unit of what it is added to. A container without a unit fits dimensionless ones alone.
//! - *Integers* are computed as floating-point numbers: they never wrap.
//! - *Header and WCS* of the result are those of the first container that has one.

mod carried;
pub(crate) mod collapse;
mod dag;
pub(crate) mod frames;
mod operators;
pub(crate) mod parts;
pub(crate) mod plan;
mod sums;
mod units;

use std::fmt;
use std::sync::Arc;

use collapse::Statistic;

use crate::engine::Engine;
use crate::kernels::expr::{One, Two};
use crate::nddata::NDAstroData;
use crate::pixels::Pixels;
use crate::slice::Slices;
use crate::unit::Unit;
use crate::{AstroData, Calculation, Result};

/// A number with a unit and a variance. Each is one random variable, whatever it is spread over.
#[derive(Clone, Debug)]
pub struct Scalar {
    pub(crate) value: f64,
    pub(crate) variance: Option<f64>,
    pub(crate) unit: Option<Unit>,
}

impl Scalar {
    /// A bare number.
    pub fn new(value: f64) -> Self {
        Scalar { value, variance: None, unit: None }
    }

    /// With a unit.
    pub fn with_unit(mut self, unit: impl Into<Unit>) -> Self {
        self.unit = Some(unit.into());
        self
    }

    /// With a variance, in the square of the unit. One below 0 is refused at evaluation.
    pub fn with_variance(mut self, variance: f64) -> Self {
        self.variance = Some(variance);
        self
    }
}

/// How two operands are correlated.
#[derive(Clone, Debug, Default)]
pub enum Correlation {
    /// As far as they depend on the same leaves, and no further.
    #[default]
    Leaves,
    /// Everywhere by this coefficient, whatever they depend on; -1 to 1.
    Coefficient(f64),
    /// By this coefficient at each pixel.
    Pixels(Box<NDAstroData>),
}

impl From<f64> for Correlation {
    fn from(rho: f64) -> Self {
        Correlation::Coefficient(rho)
    }
}

impl From<NDAstroData> for Correlation {
    fn from(rho: NDAstroData) -> Self {
        Correlation::Pixels(Box::new(rho))
    }
}

/// What becomes of the uncertainties of the operands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// Exact to first order.
    #[default]
    Propagate,
    /// The variance of the first operand that has one, as it is.
    Copy,
    /// None comes out.
    Drop,
}

/// How the masks of two operands become one. If only one of them has a mask, that is it.
#[derive(Clone, Default)]
pub enum MaskRule {
    /// Bits of either.
    #[default]
    Or,
    /// Bits of both.
    And,
    /// The first that is found.
    First,
    /// None comes out.
    None,
    /// A function of both; it is called on the CPU. Of what it returns as many bits come out as the widest mask has.
    Custom(Arc<dyn Fn(u32, u32) -> u32 + Send + Sync>),
}

impl fmt::Debug for MaskRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MaskRule::Or => "Or",
            MaskRule::And => "And",
            MaskRule::First => "First",
            MaskRule::None => "None",
            MaskRule::Custom(_) => "Custom",
        })
    }
}

/// Rules of one operation on two operands.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// How the operands are correlated.
    pub correlation: Correlation,
    /// What becomes of their uncertainties.
    pub uncertainty: Propagation,
    /// How their masks become one.
    pub masks: MaskRule,
    /// Whether their WCS must agree.
    pub compare_wcs: bool,
}

/// Functions of one operand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Function {
    Step(One),
    /// Logarithm to base 10.
    Log10,
    Pow(f64),
}

#[derive(Clone)]
pub(crate) enum Node {
    Leaf(Box<NDAstroData>),
    Scalar(Scalar),
    One(Function, Expr),
    Two(Two, Expr, Expr, Rules),
    /// Axes as numpy has them; none is all.
    Collapse(Statistic, Vec<isize>, Expr),
    /// What cannot be computed, and why.
    Wrong(String),
}

/// An expression. Clones are the same one.
#[derive(Clone)]
pub struct Expr(Arc<Node>);

impl Expr {
    fn new(node: Node) -> Self {
        Expr(Arc::new(node))
    }

    pub(crate) fn node(&self) -> &Node {
        &self.0
    }

    /// Where it is: clones are at one place.
    fn place(&self) -> *const Node {
        Arc::as_ptr(&self.0)
    }

    pub(crate) fn two(op: Two, a: impl Into<Expr>, b: impl Into<Expr>) -> Self {
        Self::new(Node::Two(op, a.into(), b.into(), Rules::default()))
    }

    fn one(self, function: Function) -> Self {
        Self::new(Node::One(function, self))
    }

    /// |x|.
    pub fn abs(self) -> Self {
        self.one(Function::Step(One::Abs))
    }

    /// The square root; NaN below 0. The unit's too.
    pub fn sqrt(self) -> Self {
        self.one(Function::Step(One::Sqrt))
    }

    /// x times itself.
    pub fn square(self) -> Self {
        self.pow(2.0)
    }

    /// To a constant power; NaN below 0 unless it is whole.
    pub fn pow(self, power: f64) -> Self {
        self.one(Function::Pow(power))
    }

    /// e to this power. What has a unit must be dimensionless.
    pub fn exp(self) -> Self {
        self.one(Function::Step(One::Exp))
    }

    /// The natural logarithm; NaN below 0. What has a unit must be dimensionless.
    pub fn log(self) -> Self {
        self.one(Function::Step(One::Log))
    }

    /// The logarithm to base 10.
    pub fn log10(self) -> Self {
        self.one(Function::Log10)
    }

    /// The smaller of two, with its variance; NaN if one is.
    pub fn min(self, other: impl Into<Expr>) -> Self {
        Self::two(Two::Min, self, other)
    }

    /// The larger of two, with its variance; NaN if one is.
    pub fn max(self, other: impl Into<Expr>) -> Self {
        Self::two(Two::Max, self, other)
    }

    fn collapse(self, statistic: Statistic, axes: &[isize]) -> Self {
        Self::new(Node::Collapse(statistic, axes.to_vec(), self))
    }

    /// The sum along axes, as numpy numbers them (negative ones from the end); all of them if there is none.
    ///
    /// Of masked samples the least bad count, as in a stack. Evaluated when its result is needed, as a container of its
    /// own: what is computed from it and from its operands is not correlated.
    pub fn sum(self, axes: &[isize]) -> Self {
        self.collapse(Statistic::Sum, axes)
    }

    /// The mean along axes; see [`sum`](Self::sum).
    pub fn mean(self, axes: &[isize]) -> Self {
        self.collapse(Statistic::Mean, axes)
    }

    /// The smallest along axes, with its variance; NaN if one is. See [`sum`](Self::sum).
    pub fn min_along(self, axes: &[isize]) -> Self {
        self.collapse(Statistic::Min, axes)
    }

    /// The largest along axes, with its variance; NaN if one is. See [`sum`](Self::sum).
    pub fn max_along(self, axes: &[isize]) -> Self {
        self.collapse(Statistic::Max, axes)
    }

    /// The median along axes; see [`sum`](Self::sum). Its variance is that of about normal samples.
    pub fn median(self, axes: &[isize]) -> Self {
        self.collapse(Statistic::Median, axes)
    }

    /// The standard deviation along axes, of n samples by n as numpy has it; see [`sum`](Self::sum).
    pub fn std(self, axes: &[isize]) -> Self {
        self.collapse(Statistic::Std, axes)
    }

    /// With other rules for the operation on two that this is.
    fn ruled(self, change: impl FnOnce(&mut Rules)) -> Self {
        let mut node = Node::clone(&self.0);
        match &mut node {
            Node::Two(_, _, _, rules) => change(rules),
            Node::Wrong(_) => {}
            _ => node = Node::Wrong("rules for two operands were given to what has not two".into()),
        }
        Self::new(node)
    }

    /// Declares the correlation of the two operands. It counts in place of what they share.
    pub fn correlated(self, correlation: impl Into<Correlation>) -> Self {
        self.ruled(|r| r.correlation = correlation.into())
    }

    /// What becomes of the uncertainties of the two operands.
    pub fn uncertainty(self, propagation: Propagation) -> Self {
        self.ruled(|r| r.uncertainty = propagation)
    }

    /// How the masks of the two operands become one.
    pub fn masks(self, rule: MaskRule) -> Self {
        self.ruled(|r| r.masks = rule)
    }

    /// Fails at evaluation if the WCS of the containers in the two operands do not agree.
    pub fn compare_wcs(self) -> Self {
        self.ruled(|r| r.compare_wcs = true)
    }

    /// All rules of the operation at once.
    pub fn rules(self, rules: Rules) -> Self {
        self.ruled(|r| *r = rules)
    }

    /// numpy order. Reads nothing.
    ///
    /// # Errors
    /// The shapes of the operands do not go together.
    pub fn shape(&self) -> Result<Vec<usize>> {
        parts::shape(self)
    }

    /// The part that these slices take: no more of any operand is read than it needs.
    ///
    /// # Errors
    /// They do not fit the shape.
    pub fn slice(&self, slices: impl Into<Slices>) -> Result<Self> {
        parts::sliced(self, &slices.into())
    }

    /// Computes it into memory.
    ///
    /// # Errors
    /// Shapes or units that do not go together, a file that changed, too little memory.
    pub fn eval(&self, engine: &Engine) -> Result<NDAstroData> {
        let (mut result, _) = Calculation::of(vec![self.clone()]).eval(engine)?;
        result.remove(0)
    }

    /// The same into the arrays of an earlier result, as [`Calculation::eval_into`] has it.
    ///
    /// # Errors
    /// As [`eval`](Self::eval); the earlier result is gone.
    pub fn eval_into(&self, engine: &Engine, earlier: NDAstroData) -> Result<NDAstroData> {
        let earlier = AstroData::from_extensions(crate::fits::Header::new(), vec![earlier]);
        let (mut result, _) = Calculation::of(vec![self.clone()]).eval_into(engine, earlier)?;
        result.remove(0)
    }
}

impl Drop for Expr {
    /// One part after the other: a chain of a hundred thousand sums is no deeper than this.
    fn drop(&mut self) {
        let mut open: Vec<Expr> = Vec::new();
        let take = |node: &mut Arc<Node>, open: &mut Vec<Expr>| {
            let Some(node) = Arc::get_mut(node) else { return };
            match node {
                Node::Leaf(_) | Node::Scalar(_) | Node::Wrong(_) => return,
                Node::One(..) | Node::Two(..) | Node::Collapse(..) => {}
            }
            match std::mem::replace(node, Node::Wrong(String::new())) {
                Node::One(_, x) | Node::Collapse(_, _, x) => open.push(x),
                Node::Two(_, a, b, _) => open.extend([a, b]),
                _ => {}
            }
        };
        take(&mut self.0, &mut open);
        while let Some(mut part) = open.pop() {
            take(&mut part.0, &mut open);
        }
    }
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = parts::walk(self).len();
        if parts > 100 {
            return write!(f, "Expr of {parts} parts");
        }
        match self.node() {
            Node::Leaf(nd) => nd.fmt(f),
            Node::Scalar(s) => write!(f, "{}", s.value),
            Node::One(Function::Step(op), x) => write!(f, "{op:?}({x:?})"),
            Node::One(Function::Log10, x) => write!(f, "Log10({x:?})"),
            Node::One(Function::Pow(p), x) => write!(f, "Pow({x:?}, {p})"),
            Node::Two(op, a, b, _) => write!(f, "{op:?}({a:?}, {b:?})"),
            Node::Collapse(statistic, axes, x) => write!(f, "{statistic:?}({x:?}, {axes:?})"),
            Node::Wrong(why) => write!(f, "Wrong({why})"),
        }
    }
}

impl From<NDAstroData> for Expr {
    fn from(nd: NDAstroData) -> Self {
        Self::new(Node::Leaf(Box::new(nd)))
    }
}

impl From<&NDAstroData> for Expr {
    fn from(nd: &NDAstroData) -> Self {
        nd.clone().into()
    }
}

impl From<&Expr> for Expr {
    fn from(e: &Expr) -> Self {
        e.clone()
    }
}

impl From<Scalar> for Expr {
    fn from(s: Scalar) -> Self {
        Self::new(Node::Scalar(s))
    }
}

impl From<f64> for Expr {
    fn from(value: f64) -> Self {
        Scalar::new(value).into()
    }
}

impl<T, D> From<ndarray::Array<T, D>> for Expr
where
    Pixels: From<ndarray::Array<T, D>>,
{
    fn from(array: ndarray::Array<T, D>) -> Self {
        Pixels::from(array).into()
    }
}

impl From<Pixels> for Expr {
    fn from(pixels: Pixels) -> Self {
        NDAstroData::new(pixels).into()
    }
}
