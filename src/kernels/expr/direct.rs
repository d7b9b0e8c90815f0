//! The steps of a program for a processor: most of sums and products is loading and storing, so samples are read where they
//! are used, a product is added to a sum as it is made, and results are written where they belong.

use super::{Arg, One, Program, Slot, Step, Two};

/// Where a pass finds a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operand {
    Register(usize),
    Constant(f64),
    /// The sample itself.
    Sample(Slot),
}

/// Where it writes one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Into {
    Register(usize),
    Data,
    Variance,
}

/// A step, or two at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pass {
    /// A sample into a register, for steps that want it there.
    Load {
        to: usize,
        from: Slot,
    },
    One {
        op: One,
        to: usize,
        a: Arg,
    },
    Two {
        op: Two,
        into: Into,
        a: Operand,
        b: Operand,
    },
    /// The same plus another number.
    Plus {
        op: Two,
        into: Into,
        a: Operand,
        b: Operand,
        c: Operand,
    },
}

/// A program as passes. They are right where no variance is below zero; what must be looked at to know is `variances`.
#[derive(Default)]
pub(super) struct Passes {
    pub list: Vec<Pass>,
    pub variances: Vec<Slot>,
    /// Whether data and variance are still to be written from their registers.
    pub data: bool,
    pub variance: bool,
    /// Samples that no pass has loaded yet, by the register that they are to be in.
    pending: Vec<Option<Slot>>,
    /// Whether a register is read later.
    read: Vec<bool>,
}

/// Whether a pass of this operation may read samples and write results.
fn is_free(op: Two) -> bool {
    matches!(op, Two::Add | Two::Sub | Two::Mul | Two::Div | Two::Share)
}

impl Passes {
    /// Makes the passes of a program, in the memory of those before.
    pub(super) fn make(&mut self, program: &Program) {
        self.list.clear();
        self.variances.clear();
        self.pending.clear();
        self.pending.resize(program.registers, None);
        for step in &program.steps {
            match *step {
                Step::Load { to, from, variance } => {
                    self.pending[to] = Some(from);
                    if variance {
                        self.variances.push(from);
                    }
                }
                Step::One { op, to, a } => {
                    self.load(a);
                    self.pending[to] = None;
                    self.list.push(Pass::One { op, to, a });
                }
                Step::Two { op, to, a, b } => {
                    if !is_free(op) {
                        self.load(a);
                        self.load(b);
                    }
                    let (a, b) = (self.operand(a), self.operand(b));
                    self.pending[to] = None;
                    self.list.push(Pass::Two { op, into: Into::Register(to), a, b });
                }
            }
        }
        let results = || program.data.into_iter().chain(program.variance).chain(program.more.iter().copied());
        results().for_each(|arg| self.load(arg));
        self.join(program);
    }

    fn operand(&self, arg: Arg) -> Operand {
        match arg {
            Arg::Constant(c) => Operand::Constant(c),
            Arg::Register(r) => self.pending[r].map_or(Operand::Register(r), Operand::Sample),
        }
    }

    /// Sees that a register has its number.
    fn load(&mut self, arg: Arg) {
        if let Arg::Register(to) = arg
            && let Some(from) = self.pending[to].take()
        {
            self.list.push(Pass::Load { to, from });
        }
    }

    /// From the last pass to the first: results go where they belong, and a pass whose number is only added goes into the
    /// pass that adds it.
    fn join(&mut self, program: &Program) {
        let register = |arg: Option<Arg>| match arg {
            Some(Arg::Register(r)) => Some(r),
            _ => None,
        };
        let (data, variance) = (register(program.data), register(program.variance));
        self.read.clear();
        self.read.resize(program.registers, false);
        let mut read = std::mem::take(&mut self.read);
        program.more.iter().filter_map(|arg| register(Some(*arg))).for_each(|r| read[r] = true);
        (self.data, self.variance) = (true, program.variance.is_some());
        let mut open = [(data, Into::Data), (variance, Into::Variance)];
        // A number that is wanted twice stays in its register.
        if data == variance {
            open.iter().filter_map(|result| result.0).for_each(|r| read[r] = true);
        }
        let mut kept = self.list.len();
        let mut at = self.list.len();
        while at > 0 {
            at -= 1;
            let mut pass = self.list[at];
            let to = match pass {
                Pass::Load { to, .. } | Pass::One { to, .. } => to,
                Pass::Two { into: Into::Register(to), .. } => to,
                Pass::Two { .. } | Pass::Plus { .. } => continue,
            };
            let mut target = Into::Register(to);
            // What writes a register last has the result.
            for result in open.iter_mut().filter(|result| result.0 == Some(to)) {
                result.0 = None;
                if matches!(pass, Pass::Two { op, .. } if is_free(op)) && !read[to] {
                    target = result.1;
                    match target {
                        Into::Data => self.data = false,
                        _ => self.variance = false,
                    }
                }
            }
            read[to] = false;
            if let Pass::Two { op, a, b, .. } = pass {
                pass = Pass::Two { op, into: target, a, b };
                let before = at.checked_sub(1).map(|i| self.list[i]);
                if let (Two::Add, Some(Pass::Two { op, into: Into::Register(r), a: first, b: second })) = (op, before)
                    && matches!(op, Two::Mul | Two::Share)
                    && !read[r]
                    && (a == Operand::Register(r)) != (b == Operand::Register(r))
                {
                    let c = if a == Operand::Register(r) { b } else { a };
                    let constant = |operand: Operand| matches!(operand, Operand::Constant(_));
                    let is_result = open.iter().any(|result| result.0 == Some(r));
                    if ![first, second, c].into_iter().any(constant) && !is_result {
                        pass = Pass::Plus { op, into: target, a: first, b: second, c };
                        at -= 1;
                    }
                }
            }
            let mut reads = |operand: Operand| {
                if let Operand::Register(r) = operand {
                    read[r] = true;
                }
            };
            match pass {
                Pass::Load { .. } => {}
                Pass::One { a, .. } => {
                    if let Arg::Register(r) = a {
                        reads(Operand::Register(r));
                    }
                }
                Pass::Two { a, b, .. } => [a, b].into_iter().for_each(reads),
                Pass::Plus { a, b, c, .. } => [a, b, c].into_iter().for_each(reads),
            }
            kept -= 1;
            self.list[kept] = pass;
        }
        self.list.drain(..kept);
        self.read = read;
    }
}
