//! The oracle of expressions: slow, obvious, one pixel at a time.
//!
//! Every engine is judged against this module, so it shares no code with the crate, nor its way of thinking: the crate
//! differentiates a graph from its end to its beginning, once for all pixels; here each pixel carries its derivatives
//! forward through every operation. Keep it dull.
//!
//! **Variables.** Each leaf is a random variable x_i with variance v_i at every pixel; leaves that are one variable have
//! one number. A value is a number f together with its derivatives df/dx_i. A variance below 0 counts as 0; a leaf
//! without one is no variable.
//!
//! **Variance.** var f = sum over the variables of (df/dx_i)^2 v_i. A variable with derivative 0 adds nothing, whatever
//! its variance is. Derivatives are multiplied as IEEE has it: 0 times infinity is NaN.
//!
//! **Declared correlation.** Where rho is declared between the operands a and b of one operation, with partial
//! derivatives p and q, the operation has the variance p^2 var a + q^2 var b + 2 p q rho sqrt(var a var b), whatever a and
//! b share. That is what the derivatives say, and 2 p q (rho sqrt(var a var b) - cov(a, b)) more: a variable of its own
//! with this variance, which may be below 0. The sum may not: then it is 0. Where one operand has no variance, rho says
//! nothing.
//!
//! **Copy, drop.** The result of the operation is a new variable with the variance of the first operand that has one; or
//! a number without any.
//!
//! **Slopes at corners.** |x| has 1 at 0. Of a tie, min and max take the first operand. Of NaN the slope is NaN.
//!
//! **Masks.** Two masks become one by the rule; if only one operand has a mask, that is it, unless none is to come out.
//!
//! **Own error.** Plain f64: some units in its last place, more where derivatives cancel.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::ops::{Add, Div, Mul, Neg, Sub};
use std::rc::Rc;

/// An expression. Clones are one and the same.
#[derive(Clone)]
pub struct Tree(pub Rc<Node>);

pub enum Node {
    /// By its place among the inputs.
    Leaf(usize),
    /// With a variance, if it has one.
    Number(f64, Option<f64>),
    One(One, Tree),
    Two(Two, Tree, Tree, Rules),
}

#[derive(Clone, Copy, Debug)]
pub enum One {
    Neg,
    Abs,
    Sqrt,
    Exp,
    Log,
    Log10,
    Pow(f64),
}

#[derive(Clone, Copy, Debug)]
pub enum Two {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
}

/// Rules of one operation on two operands.
#[derive(Clone, Copy, Default)]
pub struct Rules {
    pub rho: Option<Rho>,
    pub uncertainty: Uncertainty,
    pub masks: Masks,
}

#[derive(Clone, Copy)]
pub enum Rho {
    Number(f64),
    /// The values of an input.
    Leaf(usize),
}

#[derive(Clone, Copy, Default)]
pub enum Uncertainty {
    #[default]
    Propagate,
    Copy,
    Drop,
}

#[derive(Clone, Copy, Default)]
pub enum Masks {
    #[default]
    Or,
    And,
    First,
    None,
    Custom(fn(u32, u32) -> u32),
}

impl Tree {
    pub fn leaf(i: usize) -> Self {
        Tree(Rc::new(Node::Leaf(i)))
    }

    pub fn number(value: f64) -> Self {
        Tree(Rc::new(Node::Number(value, None)))
    }

    pub fn random(value: f64, variance: f64) -> Self {
        Tree(Rc::new(Node::Number(value, Some(variance))))
    }

    pub fn one(self, op: One) -> Self {
        Tree(Rc::new(Node::One(op, self)))
    }

    pub fn two(op: Two, a: Self, b: Self) -> Self {
        Tree(Rc::new(Node::Two(op, a, b, Rules::default())))
    }

    /// The same operation with these rules.
    pub fn ruled(self, rules: Rules) -> Self {
        match &*self.0 {
            Node::Two(op, a, b, _) => Tree(Rc::new(Node::Two(*op, a.clone(), b.clone(), rules))),
            _ => panic!("rules are for operations on two"),
        }
    }

    pub fn rho(self, rho: f64) -> Self {
        self.ruled(Rules { rho: Some(Rho::Number(rho)), ..Rules::default() })
    }

    pub fn sqrt(self) -> Self {
        self.one(One::Sqrt)
    }

    pub fn pow(self, power: f64) -> Self {
        self.one(One::Pow(power))
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident),*) => {$(
        impl $trait for Tree {
            type Output = Tree;
            fn $method(self, other: Tree) -> Tree {
                Tree::two(Two::$trait, self, other)
            }
        }
        impl $trait for &Tree {
            type Output = Tree;
            fn $method(self, other: &Tree) -> Tree {
                Tree::two(Two::$trait, self.clone(), other.clone())
            }
        }
    )*};
}

operators!(Add add, Sub sub, Mul mul, Div div);

impl Neg for Tree {
    type Output = Tree;
    fn neg(self) -> Tree {
        self.one(One::Neg)
    }
}

/// What an input has at a pixel.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    pub value: f64,
    pub variance: Option<f64>,
    pub mask: Option<u32>,
    /// Inputs of one number are one random variable.
    pub variable: usize,
}

/// What the expression has at a pixel.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub value: f64,
    pub variance: Option<f64>,
    pub mask: Option<u32>,
}

/// A number with its derivatives by the variables.
#[derive(Clone)]
struct Dual {
    value: f64,
    /// `None` if there is no variable in it.
    slopes: Option<BTreeMap<usize, f64>>,
    mask: Option<u32>,
}

/// One pixel on its way.
#[derive(Default)]
struct Pixel {
    /// Variance by variable.
    variances: HashMap<usize, f64>,
    /// Next number for a variable that no leaf is.
    next: usize,
    done: HashMap<*const Node, Dual>,
}

/// Evaluates one pixel.
pub fn evaluate(tree: &Tree, inputs: &[Input]) -> Output {
    let mut pixel = Pixel { next: 1 << 32, ..Pixel::default() };
    let dual = pixel.dual(tree, inputs);
    Output { value: dual.value, variance: pixel.variance(&dual), mask: dual.mask }
}

impl Pixel {
    fn variable(&mut self, variance: f64) -> BTreeMap<usize, f64> {
        self.next += 1;
        self.variances.insert(self.next, variance);
        BTreeMap::from([(self.next, 1.0)])
    }

    fn sum(&self, dual: &Dual) -> Option<f64> {
        let terms = dual.slopes.as_ref()?.iter().filter(|(_, slope)| **slope != 0.0);
        Some(terms.map(|(i, slope)| slope * (slope * self.variances[i])).sum())
    }

    fn variance(&self, dual: &Dual) -> Option<f64> {
        // Not `max`, which would make 0 of NaN.
        self.sum(dual).map(|v| if v < 0.0 { 0.0 } else { v })
    }

    fn covariance(&self, a: &Dual, b: &Dual) -> f64 {
        let (Some(a), Some(b)) = (&a.slopes, &b.slopes) else { return 0.0 };
        a.iter().filter_map(|(i, slope)| Some(slope * b.get(i)? * self.variances[i])).sum()
    }

    fn dual(&mut self, tree: &Tree, inputs: &[Input]) -> Dual {
        let key = Rc::as_ptr(&tree.0);
        if let Some(done) = self.done.get(&key) {
            return done.clone();
        }
        let dual = match &*tree.0 {
            Node::Leaf(i) => {
                let Input { value, variance, mask, variable } = inputs[*i];
                let slopes = variance.map(|v| {
                    self.variances.insert(variable, if v < 0.0 { 0.0 } else { v });
                    BTreeMap::from([(variable, 1.0)])
                });
                Dual { value, slopes, mask }
            }
            Node::Number(value, variance) => {
                Dual { value: *value, slopes: variance.map(|v| self.variable(v)), mask: None }
            }
            Node::One(op, x) => {
                let x = self.dual(x, inputs);
                let (value, partial) = one(*op, x.value);
                let slopes = x.slopes.map(|s| s.into_iter().map(|(i, slope)| (i, slope * partial)).collect());
                Dual { value, slopes, mask: x.mask }
            }
            Node::Two(op, a, b, rules) => {
                let (a, b) = (self.dual(a, inputs), self.dual(b, inputs));
                self.two(*op, &a, &b, rules, inputs)
            }
        };
        self.done.insert(key, dual.clone());
        dual
    }

    fn two(&mut self, op: Two, a: &Dual, b: &Dual, rules: &Rules, inputs: &[Input]) -> Dual {
        let (value, of_a, of_b) = two(op, a.value, b.value);
        let random = a.slopes.is_some() || b.slopes.is_some();
        let mut slopes: BTreeMap<usize, f64> = BTreeMap::new();
        for (operand, partial) in [(a, of_a), (b, of_b)] {
            for (i, slope) in operand.slopes.iter().flatten() {
                *slopes.entry(*i).or_insert(0.0) += slope * partial;
            }
        }
        if let (Some(rho), Some(var_a), Some(var_b)) = (&rules.rho, self.variance(a), self.variance(b)) {
            let rho = match *rho {
                Rho::Number(rho) => rho,
                Rho::Leaf(i) => inputs[i].value,
            };
            let more = 2.0 * of_a * of_b * (rho * (var_a.sqrt() * var_b.sqrt()) - self.covariance(a, b));
            slopes.extend(self.variable(more));
        }
        let slopes = match rules.uncertainty {
            Uncertainty::Propagate => random.then_some(slopes),
            Uncertainty::Drop => None,
            Uncertainty::Copy => {
                let first = self.variance(a).or_else(|| self.variance(b));
                first.map(|v| self.variable(v))
            }
        };
        let mask = match (a.mask, b.mask, rules.masks) {
            (_, _, Masks::None) => None,
            (Some(a), Some(b), Masks::Or) => Some(a | b),
            (Some(a), Some(b), Masks::And) => Some(a & b),
            (Some(a), Some(b), Masks::Custom(f)) => Some(f(a, b)),
            (a, b, _) => a.or(b),
        };
        Dual { value, slopes, mask }
    }
}

/// A function and its derivative.
fn one(op: One, x: f64) -> (f64, f64) {
    match op {
        One::Neg => (-x, -1.0),
        One::Abs => (x.abs(), if x < 0.0 { -1.0 } else { 1.0 }),
        One::Sqrt => (x.sqrt(), 0.5 / x.sqrt()),
        One::Exp => (x.exp(), x.exp()),
        One::Log => (x.ln(), 1.0 / x),
        One::Log10 => (x.log10(), std::f64::consts::LOG10_E / x),
        // The root, also of -infinity, of which powf makes infinity.
        One::Pow(0.5) => one(One::Sqrt, x),
        One::Pow(p) => (x.powf(p), p * x.powf(p - 1.0)),
    }
}

/// An operation and its derivatives by both operands.
fn two(op: Two, a: f64, b: f64) -> (f64, f64, f64) {
    let chosen = |first: bool| match (a.is_nan() || b.is_nan(), first) {
        (true, _) => (f64::NAN, f64::NAN, f64::NAN),
        (_, true) => (a, 1.0, 0.0),
        (_, false) => (b, 0.0, 1.0),
    };
    match op {
        Two::Add => (a + b, 1.0, 1.0),
        Two::Sub => (a - b, 1.0, -1.0),
        Two::Mul => (a * b, b, a),
        Two::Div => (a / b, 1.0 / b, -(a / b) / b),
        Two::Min => chosen(a <= b),
        Two::Max => chosen(a >= b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(value: f64, variance: f64, variable: usize) -> Input {
        Input { value, variance: Some(variance), mask: None, variable }
    }

    fn variance(tree: &Tree, inputs: &[Input]) -> f64 {
        evaluate(tree, inputs).variance.unwrap()
    }

    /// By hand.
    #[test]
    fn textbook_variances() {
        let (a, b) = (Tree::leaf(0), Tree::leaf(1));
        let two = [input(3.0, 0.5, 0), input(4.0, 0.25, 1)];
        assert_eq!(variance(&(&a + &b), &two), 0.75);
        assert_eq!(variance(&(&a * &b), &two), 16.0 * 0.5 + 9.0 * 0.25);
        assert_eq!(variance(&(&a / &b), &two), 0.5 / 16.0 + 9.0 / 256.0 * 0.25);
        assert_eq!(variance(&(&a - &a), &two), 0.0);
        assert_eq!(variance(&(&a * &a), &two), 36.0 * 0.5);
        // a + b where both are one variable.
        assert_eq!(variance(&(&a + &b), &[input(3.0, 0.5, 7), input(4.0, 0.5, 7)]), 2.0);
        // sqrt(a^2 + b^2): (a^2 va + b^2 vb) / (a^2 + b^2).
        let length = (&(&a * &a) + &(&b * &b)).sqrt();
        assert!((variance(&length, &two) - (9.0 * 0.5 + 16.0 * 0.25) / 25.0).abs() < 1e-15);
        // With rho between the two: (sa -+ sb)^2 for rho 1.
        let (sa, sb) = (0.5f64.sqrt(), 0.5);
        assert!((variance(&(&a - &b).rho(1.0), &two) - (sa - sb).powi(2)).abs() < 1e-15);
        assert!((variance(&(&a - &a).rho(0.0), &two) - 1.0).abs() < 1e-15);
        assert_eq!(variance(&(&a - &a).rho(1.0), &two), 0.0);
    }

    /// Against differences.
    #[test]
    fn derivatives_are_those_of_differences() {
        let (a, b) = (Tree::leaf(0), Tree::leaf(1));
        let trees = [
            (&a - &b).one(One::Exp),
            (&a / &b).one(One::Log),
            (&a * &b).one(One::Log10),
            (&a + &b).pow(1.7),
            (&(&a - &b) / &(&a + &b)).one(One::Abs),
            (-a.clone()).one(One::Exp).sqrt(),
        ];
        for (i, tree) in trees.iter().enumerate() {
            let at = |x: f64, y: f64| evaluate(tree, &[input(x, 1.0, 0), input(y, 1.0, 1)]).value;
            let h = 1e-5;
            let (by_a, by_b) = ((at(1.5 + h, 2.5) - at(1.5 - h, 2.5)), (at(1.5, 2.5 + h) - at(1.5, 2.5 - h)));
            let want = (by_a / (2.0 * h)).powi(2) * 0.3 + (by_b / (2.0 * h)).powi(2) * 0.2;
            let got = variance(tree, &[input(1.5, 0.3, 0), input(2.5, 0.2, 1)]);
            assert!((got - want).abs() < 1e-8 * want, "tree {i}: {got}, {want} by differences");
        }
    }
}
