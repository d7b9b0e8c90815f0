//! The graph of numbers behind an expression: each operation once, differentiated, and compiled.
//!
//! Nodes are numbered in the order in which they can be computed. Equal nodes are one node, so whatever occurs twice is
//! computed once, and a leaf that occurs twice is one random variable.

use std::collections::{BTreeMap, HashMap};

use crate::kernels::expr::{Arg, One, Program, Slot, Step, Two};

/// A node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Id(usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Node {
    /// Samples of an input.
    Input {
        slot: usize,
        variance: bool,
        leaf: usize,
    },
    /// Bits of f64.
    Constant(u64),
    /// A constant with a variance: not folded into others, since it is a random variable.
    Number {
        value: u64,
        number: usize,
    },
    One(One, Id),
    Two(Two, Id, Id),
    /// The value of a node, with a rule for its variance; see [`Mark`].
    Marked(Id, usize),
}

/// What is special about the variance of a node.
#[derive(Clone, Copy, Debug)]
enum Mark {
    /// More variance than its operands say: the difference between a declared correlation and that of shared leaves.
    Extra(Id),
    /// None.
    Dropped,
    /// This, whatever the operands say.
    Replaced(Option<Id>),
}

/// Samples of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct InputSlot {
    /// Among the inputs of the job.
    pub input: usize,
    /// Exact in f32.
    pub narrow: bool,
}

/// A program that is being written.
struct Writer<'a> {
    program: &'a mut Program,
    /// Where the samples of each slot lie, if they are used.
    places: Vec<Option<Slot>>,
    /// Where each node can be read.
    args: Vec<Option<Arg>>,
    free: Vec<usize>,
}

impl Writer<'_> {
    fn register(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.program.registers += 1;
            self.program.registers - 1
        })
    }
}

#[derive(Default)]
pub(super) struct Dag {
    nodes: Vec<Node>,
    known: HashMap<Node, Id>,
    marks: Vec<Mark>,
    slots: Vec<InputSlot>,
    places: HashMap<InputSlot, usize>,
    /// Random variables, by their nodes.
    variances: HashMap<Id, Id>,
    numbers: usize,
}

const ZERO: f64 = 0.0;

impl Dag {
    fn node(&mut self, node: Node) -> Id {
        let next = Id(self.nodes.len());
        let id = *self.known.entry(node).or_insert(next);
        if id == next {
            self.nodes.push(node);
        }
        id
    }

    /// Samples that are no random variable unless [`random`](Self::random) says so. The same samples of another leaf are
    /// another variable.
    pub(super) fn input(&mut self, slot: InputSlot, variance: bool, leaf: usize) -> Id {
        let next = self.slots.len();
        let at = *self.places.entry(slot).or_insert(next);
        if at == next {
            self.slots.push(slot);
        }
        self.node(Node::Input { slot: at, variance, leaf })
    }

    pub(super) fn constant(&mut self, value: f64) -> Id {
        self.node(Node::Constant(value.to_bits()))
    }

    /// A number with a variance; each call is another random variable.
    pub(super) fn number(&mut self, value: f64, variance: f64) -> Id {
        self.numbers += 1;
        let id = self.node(Node::Number { value: value.to_bits(), number: self.numbers });
        let variance = self.constant(variance);
        self.variances.insert(id, variance);
        id
    }

    /// The node is a random variable of this variance.
    pub(super) fn random(&mut self, id: Id, variance: Id) {
        self.variances.insert(id, variance);
    }

    fn value(&self, id: Id) -> Option<f64> {
        if let Node::Constant(bits) = self.nodes[id.0] { Some(f64::from_bits(bits)) } else { None }
    }

    /// The operand of a negation.
    fn negated(&self, id: Id) -> Option<Id> {
        if let Node::One(One::Neg, x) = self.nodes[id.0] { Some(x) } else { None }
    }

    pub(super) fn one(&mut self, op: One, x: Id) -> Id {
        self.node(Node::One(op, x))
    }

    pub(super) fn two(&mut self, op: Two, a: Id, b: Id) -> Id {
        self.node(Node::Two(op, a, b))
    }

    /// x to a constant power, by what is exact where it can be.
    pub(super) fn pow(&mut self, x: Id, power: f64) -> Id {
        let one = self.constant(1.0);
        if power == 0.0 {
            one
        } else if power == 1.0 {
            x
        } else if power == 2.0 {
            self.two(Two::Mul, x, x)
        } else if power == 0.5 {
            self.one(One::Sqrt, x)
        } else if power == -1.0 {
            self.two(Two::Div, one, x)
        } else {
            let power = self.constant(power);
            self.two(Two::Pow, x, power)
        }
    }

    // What follows is for derivatives and variances: here 0 and 1 are what is left out, not numbers that may meet NaN.

    fn add(&mut self, a: Id, b: Id) -> Id {
        match (self.value(a), self.value(b)) {
            (Some(x), Some(y)) => self.constant(x + y),
            (Some(ZERO), _) => b,
            (_, Some(ZERO)) => a,
            _ if self.negated(b) == Some(a) || self.negated(a) == Some(b) => self.constant(ZERO),
            _ => match self.negated(b) {
                Some(b) => self.two(Two::Sub, a, b),
                None => self.two(Two::Add, a, b),
            },
        }
    }

    fn neg(&mut self, x: Id) -> Id {
        match (self.value(x), self.negated(x)) {
            (Some(v), _) => self.constant(-v),
            (_, Some(inner)) => inner,
            _ => self.one(One::Neg, x),
        }
    }

    /// Whether it is 0 where a choice went the other way: what it is multiplied with does not count there, be it infinite.
    fn is_gate(&self, id: Id) -> bool {
        matches!(self.nodes[id.0], Node::Two(Two::AtMost | Two::Below | Two::Gate, ..))
    }

    fn mul(&mut self, a: Id, b: Id) -> Id {
        let plain = |x: Option<f64>| x.is_some_and(|x| x == 0.0 || x.abs() == 1.0);
        if !plain(self.value(a)) && !plain(self.value(b)) {
            // A sign in front of a gate or behind it is one of the product.
            let (bare_a, bare_b) = (self.negated(a).unwrap_or(a), self.negated(b).unwrap_or(b));
            if self.is_gate(bare_a) || self.is_gate(bare_b) {
                let (gate, other) = if self.is_gate(bare_a) { (bare_a, bare_b) } else { (bare_b, bare_a) };
                let product = self.two(Two::Gate, gate, other);
                return if (bare_a == a) == (bare_b == b) { product } else { self.neg(product) };
            }
        }
        match (self.value(a), self.value(b)) {
            (Some(x), Some(y)) => self.constant(x * y),
            (Some(ZERO), _) | (_, Some(ZERO)) => self.constant(ZERO),
            (Some(1.0), _) => b,
            (_, Some(1.0)) => a,
            (Some(-1.0), _) => self.neg(b),
            (_, Some(-1.0)) => self.neg(a),
            _ => match (self.negated(a), self.negated(b)) {
                (Some(a), Some(b)) => self.two(Two::Mul, a, b),
                (Some(a), None) => {
                    let p = self.two(Two::Mul, a, b);
                    self.neg(p)
                }
                (None, Some(b)) => {
                    let p = self.two(Two::Mul, a, b);
                    self.neg(p)
                }
                (None, None) => self.two(Two::Mul, a, b),
            },
        }
    }

    /// The operands of a node, each with the derivative of the node by it.
    fn partials(&mut self, id: Id) -> Vec<(Id, Id)> {
        let one = self.constant(1.0);
        let minus = self.constant(-1.0);
        match self.nodes[id.0] {
            Node::Input { .. } | Node::Constant(_) | Node::Number { .. } => Vec::new(),
            Node::Marked(x, _) => vec![(x, one)],
            Node::One(op, x) => {
                let slope = match op {
                    One::Neg => minus,
                    One::Abs => self.one(One::Sign, x),
                    // Of a step the slope is 0 wherever it has one.
                    One::Sign => self.constant(ZERO),
                    One::Sqrt => {
                        let half = self.constant(0.5);
                        self.two(Two::Div, half, id)
                    }
                    One::Exp => id,
                    One::Log => self.two(Two::Div, one, x),
                };
                vec![(x, slope)]
            }
            Node::Two(op, a, b) => match op {
                Two::Add => vec![(a, one), (b, one)],
                Two::Sub => vec![(a, one), (b, minus)],
                Two::Mul => vec![(a, b), (b, a)],
                Two::Div => {
                    // Never b squared: the quotient is at hand.
                    let inverse = if self.value(a) == Some(1.0) { id } else { self.two(Two::Div, one, b) };
                    let slope = self.mul(id, inverse);
                    let slope = self.neg(slope);
                    vec![(a, inverse), (b, slope)]
                }
                Two::Pow => {
                    let power = self.value(b).unwrap_or(1.0);
                    let less = self.pow(a, power - 1.0);
                    let slope = self.mul(b, less);
                    vec![(a, slope)]
                }
                Two::Min => vec![(a, self.two(Two::AtMost, a, b)), (b, self.two(Two::Below, b, a))],
                Two::Max => vec![(a, self.two(Two::AtMost, b, a)), (b, self.two(Two::Below, a, b))],
                Two::AtMost | Two::Below | Two::Gate | Two::Share => Vec::new(),
            },
        }
    }

    /// Derivatives of `root` by the random variables that it depends on, in their order.
    fn gradient(&mut self, root: Id) -> BTreeMap<Id, Id> {
        let mut slopes = BTreeMap::from([(root, self.constant(1.0))]);
        let mut gradient = BTreeMap::new();
        // From the last to the first: when a node's turn comes, all that use it have said what they have to say.
        while let Some((id, slope)) = slopes.pop_last() {
            if let Node::Marked(_, mark) = self.nodes[id.0] {
                match self.marks[mark] {
                    Mark::Dropped | Mark::Replaced(None) => continue,
                    Mark::Replaced(Some(variance)) => {
                        self.variances.insert(id, variance);
                        gradient.insert(id, slope);
                        continue;
                    }
                    Mark::Extra(variance) => {
                        self.variances.insert(id, variance);
                        gradient.insert(id, slope);
                    }
                }
            } else if self.variances.contains_key(&id) {
                gradient.insert(id, slope);
                continue;
            }
            for (operand, partial) in self.partials(id) {
                let more = self.mul(slope, partial);
                let sum = match slopes.get(&operand) {
                    Some(&before) => self.add(before, more),
                    None => more,
                };
                slopes.insert(operand, sum);
            }
        }
        gradient
    }

    /// The slope of a node by a random variable; `None` if it is 0 everywhere.
    pub(super) fn slope(&mut self, root: Id, variable: Id) -> Option<Id> {
        let slope = self.gradient(root).remove(&variable)?;
        (self.value(slope) != Some(ZERO)).then_some(slope)
    }

    /// The variance of a node; `None` if it depends on no random variable.
    pub(super) fn variance(&mut self, root: Id) -> Option<Id> {
        self.variance_without(root, &[])
    }

    /// The same without the share of some variables.
    pub(super) fn variance_without(&mut self, root: Id, apart: &[Id]) -> Option<Id> {
        let mut gradient = self.gradient(root);
        gradient.retain(|id, _| !apart.contains(id));
        if gradient.is_empty() {
            return None;
        }
        let mut below_zero = false;
        // Variables with the same slope, but for its sign, are added first: one product for all.
        let mut groups: Vec<(Id, Id)> = Vec::new();
        for (id, slope) in gradient {
            below_zero |= matches!(self.nodes[id.0], Node::Marked(_, m) if matches!(self.marks[m], Mark::Extra(_)));
            let slope = self.negated(slope).unwrap_or(slope);
            let slope = match self.value(slope) {
                Some(ZERO) => continue,
                Some(v) => self.constant(v.abs()),
                None => slope,
            };
            let variance = self.variances[&id];
            match groups.iter_mut().find(|g| g.0 == slope) {
                Some(group) => {
                    let before = group.1;
                    group.1 = self.add(before, variance);
                }
                None => groups.push((slope, variance)),
            }
        }
        let mut sum = self.constant(ZERO);
        for (slope, variance) in groups {
            let share = match self.value(slope) {
                Some(v) if (v * v).is_normal() => {
                    let square = self.constant(v * v);
                    self.mul(square, variance)
                }
                // Also for a constant whose square is beyond f64: its product with the variance may not be.
                _ => self.two(Two::Share, slope, variance),
            };
            sum = self.add(sum, share);
        }
        // Where variables are set apart what is left may be below 0; the sum of all is not.
        if below_zero && apart.is_empty() {
            // A declared correlation that rounding, or contradiction, brings below.
            let zero = self.constant(ZERO);
            sum = self.two(Two::Max, sum, zero);
        }
        Some(sum)
    }

    /// Covariance by shared random variables.
    fn covariance(&mut self, a: Id, b: Id) -> Id {
        let (of_a, of_b) = (self.gradient(a), self.gradient(b));
        let mut sum = self.constant(ZERO);
        for (id, slope) in of_a {
            if let Some(&other) = of_b.get(&id) {
                let slopes = self.mul(slope, other);
                let term = self.mul(slopes, self.variances[&id]);
                sum = self.add(sum, term);
            }
        }
        sum
    }

    fn mark(&mut self, id: Id, mark: Mark) -> Id {
        self.marks.push(mark);
        self.node(Node::Marked(id, self.marks.len() - 1))
    }

    /// The node of an operation on two, whose correlation is declared to be `rho`: that of shared leaves does not count
    /// between these two.
    pub(super) fn correlated(&mut self, id: Id, a: Id, b: Id, rho: Id) -> Id {
        let (Some(of_a), Some(of_b)) = (self.variance(a), self.variance(b)) else { return id };
        let partials = self.partials(id);
        let slope = |of: Id| partials.iter().filter(|p| p.0 == of).map(|p| p.1).collect::<Vec<_>>();
        let (slope_a, slope_b) = if a == b {
            let both = slope(a);
            (both[0], both[1])
        } else {
            (slope(a)[0], slope(b)[0])
        };
        // The root of the product may overflow where the product of roots does not.
        let (sigma_a, sigma_b) = (self.one(One::Sqrt, of_a), self.one(One::Sqrt, of_b));
        let sigmas = self.mul(sigma_a, sigma_b);
        let declared = self.mul(rho, sigmas);
        let shared = self.covariance(a, b);
        let shared = self.neg(shared);
        let more = self.add(declared, shared);
        let two = self.constant(2.0);
        let slopes = self.mul(slope_a, slope_b);
        let extra = self.mul(slopes, more);
        let extra = self.mul(two, extra);
        if self.value(extra) == Some(ZERO) { id } else { self.mark(id, Mark::Extra(extra)) }
    }

    /// The node without its variance.
    pub(super) fn without_variance(&mut self, id: Id) -> Id {
        self.mark(id, Mark::Dropped)
    }

    /// The node with the variance of another in place of its own.
    pub(super) fn with_variance_of(&mut self, id: Id, other: Id) -> Id {
        let variance = self.variance(other);
        self.mark(id, Mark::Replaced(variance))
    }

    /// The random variables that a node depends on.
    pub(super) fn variables(&mut self, root: Id) -> Vec<Id> {
        self.gradient(root).into_keys().collect()
    }

    /// What a random variable adds to a node for one standard deviation of it, to first order; `None` if nothing anywhere.
    pub(super) fn amplitude(&mut self, root: Id, variable: Id) -> Option<Id> {
        let slope = self.slope(root, variable)?;
        let variance = *self.variances.get(&variable)?;
        let sigma = match self.value(variance) {
            Some(v) => self.constant(v.max(0.0).sqrt()),
            None => self.one(One::Sqrt, variance),
        };
        // Where the slope is 0 the variance does not count, be it infinite.
        Some(if self.value(slope).is_some() { self.mul(slope, sigma) } else { self.two(Two::Gate, slope, sigma) })
    }

    /// Steps that compute `data` and `variance`, and more besides.
    pub(super) fn compile(&self, data: Id, variance: Option<Id>, more: &[Id]) -> Program {
        let mut needed = vec![false; self.nodes.len()];
        let mut last = vec![0usize; self.nodes.len()];
        let roots = || [Some(data), variance].into_iter().flatten().chain(more.iter().copied());
        for root in roots() {
            let root = self.bare(root);
            needed[root.0] = true;
            last[root.0] = usize::MAX;
        }
        for i in (0..self.nodes.len()).rev() {
            if !needed[i] {
                continue;
            }
            for operand in self.operands(i) {
                needed[operand.0] = true;
                last[operand.0] = last[operand.0].max(i);
            }
        }
        let mut program = Program::default();
        let mut writer = Writer {
            program: &mut program,
            places: vec![None; self.slots.len()],
            args: vec![None; self.nodes.len()],
            free: Vec::new(),
        };
        for i in (0..self.nodes.len()).filter(|&i| needed[i]) {
            if matches!(self.nodes[i], Node::One(..) | Node::Two(..)) {
                let mut operands: Vec<Id> = self.operands(i).collect();
                // Samples are loaded where they are used first, not before.
                operands.iter().for_each(|&id| self.load(id, &mut writer));
                let to = writer.register();
                let arg = |id: Id| writer.args[self.bare(id).0].unwrap_or(Arg::Constant(f64::NAN));
                let step = match self.nodes[i] {
                    Node::One(op, a) => Step::One { op, to, a: arg(a) },
                    Node::Two(op, a, b) => Step::Two { op, to, a: arg(a), b: arg(b) },
                    _ => continue,
                };
                writer.program.steps.push(step);
                writer.args[i] = Some(Arg::Register(to));
                // Registers that are not read any more are free; not before, since a step must not write what it reads.
                operands.sort_unstable();
                operands.dedup();
                for operand in operands {
                    if let (Some(Arg::Register(r)), true) = (writer.args[operand.0], last[operand.0] == i) {
                        writer.free.push(r);
                    }
                }
            }
        }
        for root in roots() {
            self.load(self.bare(root), &mut writer);
        }
        let args = writer.args;
        program.data = args[self.bare(data).0];
        program.variance = variance.and_then(|v| args[self.bare(v).0]);
        program.more = more.iter().filter_map(|m| args[self.bare(*m).0]).collect();
        program
    }

    /// Sees that a constant or a sample can be read.
    fn load(&self, id: Id, writer: &mut Writer<'_>) {
        if writer.args[id.0].is_some() {
            return;
        }
        writer.args[id.0] = match self.nodes[id.0] {
            Node::Constant(bits) | Node::Number { value: bits, .. } => Some(Arg::Constant(f64::from_bits(bits))),
            Node::Input { slot, variance, .. } => {
                let to = writer.register();
                let InputSlot { input, narrow } = self.slots[slot];
                let program = &mut *writer.program;
                let from = *writer.places[slot].get_or_insert_with(|| {
                    let list = if narrow { &mut program.narrow } else { &mut program.wide };
                    list.push(input);
                    if narrow { Slot::Narrow(list.len() - 1) } else { Slot::Wide(list.len() - 1) }
                });
                program.steps.push(Step::Load { to, from, variance });
                Some(Arg::Register(to))
            }
            _ => None,
        };
    }

    /// The node that computes the value of a marked one.
    fn bare(&self, mut id: Id) -> Id {
        while let Node::Marked(inner, _) = self.nodes[id.0] {
            id = inner;
        }
        id
    }

    fn operands(&self, i: usize) -> impl Iterator<Item = Id> + use<'_> {
        let operands = match self.nodes[i] {
            Node::Input { .. } | Node::Constant(_) | Node::Number { .. } => [None, None],
            Node::One(_, x) | Node::Marked(x, _) => [Some(x), None],
            Node::Two(_, a, b) => [Some(a), Some(b)],
        };
        operands.into_iter().flatten().map(|id| self.bare(id))
    }
}
