//! The CPU twin: registers of as many pixels as stay in the first-level cache.

use super::{Arg, MaskArg, MaskOp, One, Program, Slot, Step, Two};
use crate::kernels::stack::Out;
use crate::real::Real;
use crate::simd::Loop;

/// Pixels of a register.
pub(crate) const LANES: usize = 128;

type Register = [f64; LANES];

/// What a thread works on: decoded inputs of a piece, and registers.
#[allow(clippy::vec_box)] // registers change places: by their boxes, not by their numbers
pub(crate) struct Sheet {
    pub narrow: Vec<Vec<f32>>,
    pub wide: Vec<Vec<f64>>,
    pub masks: Vec<Vec<u32>>,
    registers: Vec<Box<Register>>,
    /// Goes where a register is being written to.
    spare: Box<Register>,
    mask_steps: Vec<[u32; LANES]>,
}

impl Sheet {
    /// For pieces of at most `pixels` pixels.
    pub(crate) fn new(program: &Program, pixels: usize) -> Self {
        Self::of(std::slice::from_ref(program), pixels)
    }

    /// For each of these programs.
    pub(crate) fn of(programs: &[Program], pixels: usize) -> Self {
        let most = |count: fn(&Program) -> usize| programs.iter().map(count).max().unwrap_or(0);
        // Registers are loaded whole.
        let pixels = pixels.next_multiple_of(LANES);
        Sheet {
            narrow: vec![vec![0.0; pixels]; most(|p| p.narrow.len())],
            wide: vec![vec![0.0; pixels]; most(|p| p.wide.len())],
            masks: vec![vec![0; pixels]; most(|p| p.masks.len())],
            registers: vec![Box::new([0.0; LANES]); most(|p| p.registers)],
            spare: Box::new([0.0; LANES]),
            mask_steps: vec![[0; LANES]; most(|p| p.mask_steps.len())],
        }
    }
}

/// Inputs that lie in memory as the samples that they are, by slot: the sheet need not have them.
#[derive(Default)]
pub(crate) struct Lent<'a> {
    pub narrow: Vec<Option<&'a [f32]>>,
    pub wide: Vec<Option<&'a [f64]>>,
}

/// What the twin takes: a sheet whose inputs are decoded but for those that are lent, and where the results go.
pub(crate) struct Task<'a, T> {
    pub program: &'a Program,
    pub sheet: &'a mut Sheet,
    pub lent: Lent<'a>,
    pub out: Out<'a, T>,
    /// Further results, plane after plane of `stride` pixels.
    pub more: &'a mut [T],
    pub stride: usize,
}

impl<T: Real> Loop for Task<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Task { program, sheet, lent, out, more, stride } = self;
        let n = out.data.len();
        for start in (0..n).step_by(LANES) {
            let count = LANES.min(n - start);
            for step in &program.steps {
                let (Step::Load { to, .. } | Step::One { to, .. } | Step::Two { to, .. }) = *step;
                std::mem::swap(&mut sheet.registers[to], &mut sheet.spare);
                match *step {
                    Step::Load { from, variance, .. } => {
                        let pixels = start..start + count;
                        out.tally.negative += match from {
                            Slot::Narrow(i) => {
                                load(&input(&lent.narrow, &sheet.narrow, i)[pixels], &mut sheet.spare, variance)
                            }
                            Slot::Wide(i) => {
                                load(&input(&lent.wide, &sheet.wide, i)[pixels], &mut sheet.spare, variance)
                            }
                        };
                    }
                    Step::One { op, a, .. } => one(op, &sheet.registers, a, &mut sheet.spare),
                    Step::Two { op, a, b, .. } => two(op, &sheet.registers, a, b, &mut sheet.spare),
                }
                std::mem::swap(&mut sheet.registers[to], &mut sheet.spare);
            }
            store(&sheet.registers, program.data(), &mut out.data[start..start + count]);
            if let Some(variance) = program.variance {
                store(&sheet.registers, variance, &mut out.variance[start..start + count]);
            }
            for (k, &arg) in program.more.iter().enumerate() {
                store(&sheet.registers, arg, &mut more[k * stride + start..][..count]);
            }
            if let Some(mask) = program.mask {
                join(program, sheet, start);
                let joined = match mask {
                    MaskArg::Input(i) => &sheet.masks[i][start..start + count],
                    MaskArg::Step(i) => &sheet.mask_steps[i][..count],
                };
                out.mask[start..start + count].copy_from_slice(joined);
            }
        }
    }
}

/// The samples in a slot.
#[inline(always)]
fn input<'b, V>(lent: &[Option<&'b [V]>], sheet: &'b [Vec<V>], slot: usize) -> &'b [V] {
    lent.get(slot).copied().flatten().unwrap_or(&sheet[slot])
}

/// Of variances those below zero count as 0; returns how many there are. Pixels of the register beyond those that are
/// there keep what they had.
#[inline(always)]
fn load<V: Real>(from: &[V], to: &mut Register, variances: bool) -> u64 {
    if !variances {
        for (t, f) in to.iter_mut().zip(from) {
            *t = f.to_f64();
        }
        return 0;
    }
    let mut any = 0u64;
    for (t, f) in to.iter_mut().zip(from) {
        let v = f.to_f64();
        let below = u64::from(v < 0.0).wrapping_neg();
        any |= below;
        *t = f64::from_bits(v.to_bits() & !below);
    }
    if any == 0 { 0 } else { from.iter().filter(|f| **f < V::from_f32(0.0)).count() as u64 }
}

#[inline(always)]
fn store<T: Real>(registers: &[Box<Register>], from: Arg, to: &mut [T]) {
    match from {
        Arg::Register(r) => {
            for (t, f) in to.iter_mut().zip(registers[r].iter()) {
                *t = T::from_f64(*f);
            }
        }
        Arg::Constant(c) => to.fill(T::from_f64(c)),
    }
}

#[inline(always)]
fn each(registers: &[Box<Register>], a: Arg, to: &mut Register, f: impl Fn(f64) -> f64) {
    match a {
        Arg::Register(a) => {
            let a = &registers[a];
            for i in 0..LANES {
                to[i] = f(a[i]);
            }
        }
        Arg::Constant(a) => to.fill(f(a)),
    }
}

#[inline(always)]
fn both(registers: &[Box<Register>], a: Arg, b: Arg, to: &mut Register, f: impl Fn(f64, f64) -> f64) {
    match (a, b) {
        (Arg::Register(a), Arg::Register(b)) => {
            let (a, b) = (&registers[a], &registers[b]);
            for i in 0..LANES {
                to[i] = f(a[i], b[i]);
            }
        }
        (Arg::Register(a), Arg::Constant(b)) => {
            let a = &registers[a];
            for i in 0..LANES {
                to[i] = f(a[i], b);
            }
        }
        (Arg::Constant(a), Arg::Register(b)) => {
            let b = &registers[b];
            for i in 0..LANES {
                to[i] = f(a, b[i]);
            }
        }
        (Arg::Constant(a), Arg::Constant(b)) => to.fill(f(a, b)),
    }
}

/// One number through a step.
#[inline(always)]
pub(crate) fn one_of(op: One, x: f64) -> f64 {
    match op {
        One::Neg => -x,
        One::Abs => x.abs(),
        One::Sign => {
            if x >= 0.0 {
                1.0
            } else {
                -1.0
            }
        }
        One::Sqrt => x.sqrt(),
        One::Exp => x.exp(),
        One::Log => x.ln(),
    }
}

/// Two numbers through a step.
#[inline(always)]
pub(crate) fn two_of(op: Two, a: f64, b: f64) -> f64 {
    // What is chosen of NaN is NaN, and so is its variance.
    let flag = |yes: bool| if a.is_nan() || b.is_nan() { f64::NAN } else { f64::from(u8::from(yes)) };
    match op {
        Two::Add => a + b,
        Two::Sub => a - b,
        Two::Mul => a * b,
        Two::Div => a / b,
        Two::Pow => a.powf(b),
        // A NaN that is not chosen by the comparison is chosen by the sum.
        Two::Min => {
            if a.is_nan() || b.is_nan() {
                a + b
            } else if a <= b {
                a
            } else {
                b
            }
        }
        Two::Max => {
            if a.is_nan() || b.is_nan() {
                a + b
            } else if b <= a {
                a
            } else {
                b
            }
        }
        Two::AtMost => flag(a <= b),
        Two::Below => flag(a < b),
        Two::Gate => {
            let product = a * b;
            if a == 0.0 { 0.0 } else { product }
        }
        Two::Share => {
            let share = a * (a * b);
            if a == 0.0 { 0.0 } else { share }
        }
    }
}

// The choice is made once for a register, so that each loop is of one operation.
#[inline(always)]
fn one(op: One, registers: &[Box<Register>], a: Arg, to: &mut Register) {
    match op {
        One::Neg => each(registers, a, to, |x| one_of(One::Neg, x)),
        One::Abs => each(registers, a, to, |x| one_of(One::Abs, x)),
        One::Sign => each(registers, a, to, |x| one_of(One::Sign, x)),
        One::Sqrt => each(registers, a, to, |x| one_of(One::Sqrt, x)),
        One::Exp => each(registers, a, to, |x| one_of(One::Exp, x)),
        One::Log => each(registers, a, to, |x| one_of(One::Log, x)),
    }
}

#[inline(always)]
fn two(op: Two, registers: &[Box<Register>], a: Arg, b: Arg, to: &mut Register) {
    match op {
        Two::Add => both(registers, a, b, to, |a, b| two_of(Two::Add, a, b)),
        Two::Sub => both(registers, a, b, to, |a, b| two_of(Two::Sub, a, b)),
        Two::Mul => both(registers, a, b, to, |a, b| two_of(Two::Mul, a, b)),
        Two::Div => both(registers, a, b, to, |a, b| two_of(Two::Div, a, b)),
        Two::Pow => both(registers, a, b, to, |a, b| two_of(Two::Pow, a, b)),
        Two::Min => both(registers, a, b, to, |a, b| two_of(Two::Min, a, b)),
        Two::Max => both(registers, a, b, to, |a, b| two_of(Two::Max, a, b)),
        Two::AtMost => both(registers, a, b, to, |a, b| two_of(Two::AtMost, a, b)),
        Two::Below => both(registers, a, b, to, |a, b| two_of(Two::Below, a, b)),
        Two::Gate => both(registers, a, b, to, |a, b| two_of(Two::Gate, a, b)),
        Two::Share => both(registers, a, b, to, |a, b| two_of(Two::Share, a, b)),
    }
}

/// The masks of the pixels from `start` on, step by step.
#[inline(always)]
fn join(program: &Program, sheet: &mut Sheet, start: usize) {
    for (i, step) in program.mask_steps.iter().enumerate() {
        let (done, rest) = sheet.mask_steps.split_at_mut(i);
        let masks = &sheet.masks;
        let of = |arg: MaskArg| match arg {
            MaskArg::Input(k) => &masks[k][start..start + LANES],
            MaskArg::Step(k) => &done[k][..],
        };
        let pairs = rest[0].iter_mut().zip(of(step.a).iter().zip(of(step.b)));
        match &step.op {
            MaskOp::Or => pairs.for_each(|(to, (a, b))| *to = a | b),
            MaskOp::And => pairs.for_each(|(to, (a, b))| *to = a & b),
            MaskOp::Custom(f) => pairs.for_each(|(to, (a, b))| *to = f(*a, *b)),
        }
    }
}
