//! The CPU twin: registers of as many pixels as stay in the first-level cache.

use std::ops::Range;

use super::direct::{Into, Operand, Pass, Passes};
use super::{Arg, MaskArg, MaskOp, One, Program, Slot, Step, Two};
use crate::kernels::stack::Out;
use crate::real::Real;
use crate::simd::{Loop, ahead};

/// Pixels of a register.
pub(crate) const LANES: usize = 128;

/// So many pixels before they are used samples in memory are asked for.
const AHEAD: usize = 2 * LANES;

/// On a line of a cache: an access that lies on two of them costs two.
#[derive(Clone)]
#[repr(align(64))]
struct Register([f64; LANES]);

impl Register {
    fn new() -> Box<Self> {
        Box::new(Register([0.0; LANES]))
    }
}

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
    short_steps: Vec<[u16; LANES]>,
    passes: Passes,
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
            registers: vec![Register::new(); most(|p| p.registers)],
            spare: Register::new(),
            mask_steps: vec![[0; LANES]; most(|p| p.mask_steps.len())],
            short_steps: vec![[0; LANES]; most(|p| p.mask_steps.len())],
            passes: Passes::default(),
        }
    }
}

/// Inputs that lie in memory as the samples that they are, by slot: the sheet need not have them.
#[derive(Default)]
pub(crate) struct Lent<'a> {
    pub narrow: Vec<Option<&'a [f32]>>,
    pub wide: Vec<Option<&'a [f64]>>,
}

/// Masks that all lie in memory as 16-bit words, by slot, and the same for the result.
pub(crate) struct Short<'a> {
    pub masks: Vec<&'a [u16]>,
    pub out: &'a mut [u16],
}

/// What the twin takes: a sheet whose inputs are decoded but for those that are lent, and where the results go.
pub(crate) struct Task<'a, T> {
    pub program: &'a Program,
    pub sheet: &'a mut Sheet,
    pub lent: Lent<'a>,
    /// In place of the masks of the sheet and of the result.
    pub short: Option<Short<'a>>,
    pub out: Out<'a, T>,
    /// Further results, plane after plane of `stride` pixels.
    pub more: &'a mut [T],
    pub stride: usize,
}

impl<T: Real> Loop for Task<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Task { program, sheet, lent, short, out, more, stride } = self;
        let (short_masks, mut short_out) = short.map(|s| (s.masks, s.out)).unzip();
        let short_masks = short_masks.unwrap_or_default();
        let Sheet { narrow, wide, masks, registers, spare, mask_steps, short_steps, passes } = sheet;
        passes.make(program);
        let samples = Samples { lent: &lent, narrow, wide, short: &short_masks };
        let n = out.data.len();
        for start in (0..n).step_by(LANES) {
            let count = LANES.min(n - start);
            let pixels = start..start + count;
            let mut soon = Soon { pixels: n.min(start + AHEAD)..n.min(start + AHEAD + LANES), next: 0 };
            // Lines of a cache that are written to are read first.
            ahead(out.data.get(soon.pixels.clone()).unwrap_or_default());
            ahead(out.variance.get(soon.pixels.clone()).unwrap_or_default());
            ahead(short_out.as_deref().and_then(|out| out.get(soon.pixels.clone())).unwrap_or_default());
            let data = &mut out.data[pixels.clone()];
            let variance = out.variance.get_mut(pixels.clone()).unwrap_or_default();
            let (mut store_data, mut store_variance) = (true, program.variance.is_some());
            if count == LANES && !is_any_below_zero(&passes.variances, &samples, start) {
                pass_by_pass(&passes.list, &samples, start, registers, spare, [&mut *data, &mut *variance], &mut soon);
                (store_data, store_variance) = (passes.data, passes.variance);
            } else {
                out.tally.negative += step_by_step(&program.steps, &samples, pixels.clone(), registers, spare);
            }
            if store_data {
                store(registers, program.data(), data);
            }
            if let (Some(arg), true) = (program.variance, store_variance) {
                store(registers, arg, variance);
            }
            for (k, &arg) in program.more.iter().enumerate() {
                store(registers, arg, &mut more[k * stride + start..][..count]);
            }
            while soon.next < lent.narrow.len() + lent.wide.len() + short_masks.len() {
                soon.ask(&samples);
            }
            match (program.mask, &mut short_out) {
                (Some(mask), None) => {
                    let masks = |i: usize| &masks[i][pixels.clone()];
                    let custom = |f: &Custom, a, b| f(a, b);
                    join(program, mask_steps, masks, mask, &mut out.mask[pixels.clone()], custom);
                }
                (Some(mask), Some(out)) => {
                    let masks = |i: usize| &short_masks[i][pixels.clone()];
                    let custom = |f: &Custom, a, b| f(u32::from(a), u32::from(b)) as u16;
                    join(program, short_steps, masks, mask, &mut out[pixels.clone()], custom);
                }
                (None, _) => {}
            }
        }
    }
}

/// Where the samples are.
struct Samples<'a> {
    lent: &'a Lent<'a>,
    narrow: &'a [Vec<f32>],
    wide: &'a [Vec<f64>],
    /// Masks.
    short: &'a [&'a [u16]],
}

impl Samples<'_> {
    #[inline(always)]
    fn narrow(&self, slot: usize) -> &[f32] {
        self.lent.narrow.get(slot).copied().flatten().unwrap_or(&self.narrow[slot])
    }

    #[inline(always)]
    fn wide(&self, slot: usize) -> &[f64] {
        self.lent.wide.get(slot).copied().flatten().unwrap_or(&self.wide[slot])
    }

    /// Those of a register.
    #[inline(always)]
    fn lane(&self, slot: Slot, start: usize) -> Lane<'_> {
        match slot {
            Slot::Narrow(i) => Lane::Half(lanes(self.narrow(i), start)),
            Slot::Wide(i) => Lane::Whole(lanes(self.wide(i), start)),
        }
    }
}

/// Samples in memory that are read soon. They are asked for between passes, one input after the other: a processor has only so
/// many requests under way, and waits with the next.
struct Soon {
    pixels: Range<usize>,
    next: usize,
}

impl Soon {
    #[inline(always)]
    fn ask(&mut self, samples: &Samples<'_>) {
        let (narrow, wide) = (&samples.lent.narrow, &samples.lent.wide);
        let at = self.next;
        self.next += 1;
        if let Some(input) = narrow.get(at) {
            ahead(input.and_then(|samples| samples.get(self.pixels.clone())).unwrap_or_default());
        } else if let Some(input) = wide.get(at - narrow.len()) {
            ahead(input.and_then(|samples| samples.get(self.pixels.clone())).unwrap_or_default());
        } else if let Some(mask) = samples.short.get(at - narrow.len() - wide.len()) {
            ahead(mask.get(self.pixels.clone()).unwrap_or_default());
        }
    }
}

/// All steps, of any number of pixels. Returns how many variances were below zero.
#[inline(always)]
fn step_by_step(
    steps: &[Step],
    samples: &Samples<'_>,
    pixels: Range<usize>,
    registers: &mut [Box<Register>],
    spare: &mut Box<Register>,
) -> u64 {
    let mut negative = 0;
    for step in steps {
        let (Step::Load { to, .. } | Step::One { to, .. } | Step::Two { to, .. }) = *step;
        match *step {
            Step::Load { from: Slot::Narrow(i), variance, .. } => {
                negative += load(&samples.narrow(i)[pixels.clone()], spare, variance);
            }
            Step::Load { from: Slot::Wide(i), variance, .. } => {
                negative += load(&samples.wide(i)[pixels.clone()], spare, variance);
            }
            Step::One { op, a, .. } => one(op, registers, a, spare),
            Step::Two { op, a, b, .. } => two(op, whole(registers, a), whole(registers, b), &mut spare.0),
        }
        std::mem::swap(&mut registers[to], spare);
    }
    negative
}

/// All passes, of a whole register of pixels; what is written to data and variance goes there at once.
#[inline(always)]
fn pass_by_pass<T: Real>(
    passes: &[Pass],
    samples: &Samples<'_>,
    start: usize,
    registers: &mut [Box<Register>],
    spare: &mut Box<Register>,
    [data, variance]: [&mut [T]; 2],
    soon: &mut Soon,
) {
    for pass in passes {
        soon.ask(samples);
        let into = match *pass {
            Pass::Load { to, from } => {
                match samples.lane(from, start) {
                    Lane::Half(from) => _ = load(from, spare, false),
                    Lane::Whole(from) => spare.0.copy_from_slice(from),
                    Lane::Constant(c) => spare.0.fill(c),
                }
                Into::Register(to)
            }
            Pass::One { op, to, a } => {
                one(op, registers, a, spare);
                Into::Register(to)
            }
            Pass::Two { op, into, a, b } => {
                let (a, b) = (lane(registers, samples, a, start), lane(registers, samples, b, start));
                match into {
                    Into::Register(_) => two(op, a, b, &mut spare.0),
                    Into::Data => free(op, a, b, lanes_mut(data)),
                    Into::Variance => free(op, a, b, lanes_mut(variance)),
                }
                into
            }
            Pass::Plus { op, into, a, b, c } => {
                let (a, b) = (lane(registers, samples, a, start), lane(registers, samples, b, start));
                let c = lane(registers, samples, c, start);
                match into {
                    Into::Register(_) => plus(op, a, b, c, &mut spare.0),
                    Into::Data => plus(op, a, b, c, lanes_mut(data)),
                    Into::Variance => plus(op, a, b, c, lanes_mut(variance)),
                }
                into
            }
        };
        if let Into::Register(to) = into {
            std::mem::swap(&mut registers[to], spare);
        }
    }
}

#[inline(always)]
fn lane<'b>(registers: &'b [Box<Register>], samples: &'b Samples<'_>, operand: Operand, start: usize) -> Lane<'b> {
    match operand {
        Operand::Register(r) => Lane::Whole(&registers[r].0),
        Operand::Constant(c) => Lane::Constant(c),
        Operand::Sample(slot) => samples.lane(slot, start),
    }
}

/// An operand of a register of pixels.
#[derive(Clone, Copy)]
enum Lane<'a> {
    Whole(&'a [f64; LANES]),
    Half(&'a [f32; LANES]),
    Constant(f64),
}

#[inline(always)]
fn whole(registers: &[Box<Register>], arg: Arg) -> Lane<'_> {
    match arg {
        Arg::Register(r) => Lane::Whole(&registers[r].0),
        Arg::Constant(c) => Lane::Constant(c),
    }
}

/// A register of samples.
#[inline(always)]
fn lanes<V>(samples: &[V], start: usize) -> &[V; LANES] {
    match samples[start..].first_chunk() {
        Some(lanes) => lanes,
        None => unreachable!("a whole register of pixels is there"),
    }
}

#[inline(always)]
fn lanes_mut<V>(results: &mut [V]) -> &mut [V; LANES] {
    match results.first_chunk_mut() {
        Some(lanes) => lanes,
        None => unreachable!("a whole register of pixels is there"),
    }
}

/// Whether one of the variances of a register of pixels is below zero.
#[inline(always)]
fn is_any_below_zero(variances: &[Slot], samples: &Samples<'_>, start: usize) -> bool {
    let mut any = false;
    // Loops, not closures: a closure may become a function of its own, without the instructions of this one.
    for slot in variances {
        match samples.lane(*slot, start) {
            Lane::Half(variances) => {
                for v in variances {
                    any |= *v < 0.0;
                }
            }
            Lane::Whole(variances) => {
                for v in variances {
                    any |= *v < 0.0;
                }
            }
            Lane::Constant(_) => {}
        }
    }
    any
}

/// Of variances those below zero count as 0; returns how many there are. Pixels of the register beyond those that are
/// there keep what they had.
#[inline(always)]
fn load<V: Real>(from: &[V], Register(to): &mut Register, variances: bool) -> u64 {
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
            for (t, f) in to.iter_mut().zip(registers[r].0.iter()) {
                *t = T::from_f64(*f);
            }
        }
        Arg::Constant(c) => to.fill(T::from_f64(c)),
    }
}

#[inline(always)]
fn each(registers: &[Box<Register>], a: Arg, Register(to): &mut Register, f: impl Fn(f64) -> f64) {
    match a {
        Arg::Register(a) => {
            let Register(a) = &*registers[a];
            for i in 0..LANES {
                to[i] = f(a[i]);
            }
        }
        Arg::Constant(a) => to.fill(f(a)),
    }
}

#[inline(always)]
fn both(a: Lane<'_>, b: Lane<'_>, to: &mut [f64; LANES], f: impl Fn(f64, f64) -> f64) {
    match (a, b) {
        (Lane::Whole(a), Lane::Whole(b)) => (0..LANES).for_each(|i| to[i] = f(a[i], b[i])),
        (Lane::Whole(a), Lane::Constant(b)) => (0..LANES).for_each(|i| to[i] = f(a[i], b)),
        (Lane::Constant(a), Lane::Whole(b)) => (0..LANES).for_each(|i| to[i] = f(a, b[i])),
        (Lane::Constant(a), Lane::Constant(b)) => to.fill(f(a, b)),
        (Lane::Half(_), _) | (_, Lane::Half(_)) => unreachable!("samples are loaded before this operation"),
    }
}

/// The same, also of samples, and to results.
#[inline(always)]
fn any_two<D: Real>(a: Lane<'_>, b: Lane<'_>, to: &mut [D; LANES], f: impl Fn(f64, f64) -> f64) {
    match (a, b) {
        (Lane::Half(a), Lane::Half(b)) => {
            (0..LANES).for_each(|i| to[i] = D::from_f64(f(f64::from(a[i]), f64::from(b[i]))));
        }
        (Lane::Half(a), Lane::Whole(b)) => (0..LANES).for_each(|i| to[i] = D::from_f64(f(f64::from(a[i]), b[i]))),
        (Lane::Half(a), Lane::Constant(b)) => (0..LANES).for_each(|i| to[i] = D::from_f64(f(f64::from(a[i]), b))),
        (Lane::Whole(a), Lane::Half(b)) => (0..LANES).for_each(|i| to[i] = D::from_f64(f(a[i], f64::from(b[i])))),
        (Lane::Whole(a), Lane::Whole(b)) => (0..LANES).for_each(|i| to[i] = D::from_f64(f(a[i], b[i]))),
        (Lane::Whole(a), Lane::Constant(b)) => (0..LANES).for_each(|i| to[i] = D::from_f64(f(a[i], b))),
        (Lane::Constant(a), Lane::Half(b)) => (0..LANES).for_each(|i| to[i] = D::from_f64(f(a, f64::from(b[i])))),
        (Lane::Constant(a), Lane::Whole(b)) => (0..LANES).for_each(|i| to[i] = D::from_f64(f(a, b[i]))),
        (Lane::Constant(a), Lane::Constant(b)) => to.fill(D::from_f64(f(a, b))),
    }
}

/// The same plus a third; none of them is a constant.
#[inline(always)]
fn any_three<D: Real>(a: Lane<'_>, b: Lane<'_>, c: Lane<'_>, to: &mut [D; LANES], f: impl Fn(f64, f64) -> f64) {
    match (a, b, c) {
        (Lane::Half(a), Lane::Half(b), Lane::Half(c)) => {
            (0..LANES).for_each(|i| to[i] = D::from_f64(f(f64::from(a[i]), f64::from(b[i])) + f64::from(c[i])));
        }
        (Lane::Half(a), Lane::Half(b), Lane::Whole(c)) => {
            (0..LANES).for_each(|i| to[i] = D::from_f64(f(f64::from(a[i]), f64::from(b[i])) + c[i]));
        }
        (Lane::Half(a), Lane::Whole(b), Lane::Half(c)) => {
            (0..LANES).for_each(|i| to[i] = D::from_f64(f(f64::from(a[i]), b[i]) + f64::from(c[i])));
        }
        (Lane::Half(a), Lane::Whole(b), Lane::Whole(c)) => {
            (0..LANES).for_each(|i| to[i] = D::from_f64(f(f64::from(a[i]), b[i]) + c[i]));
        }
        (Lane::Whole(a), Lane::Half(b), Lane::Half(c)) => {
            (0..LANES).for_each(|i| to[i] = D::from_f64(f(a[i], f64::from(b[i])) + f64::from(c[i])));
        }
        (Lane::Whole(a), Lane::Half(b), Lane::Whole(c)) => {
            (0..LANES).for_each(|i| to[i] = D::from_f64(f(a[i], f64::from(b[i])) + c[i]));
        }
        (Lane::Whole(a), Lane::Whole(b), Lane::Half(c)) => {
            (0..LANES).for_each(|i| to[i] = D::from_f64(f(a[i], b[i]) + f64::from(c[i])));
        }
        (Lane::Whole(a), Lane::Whole(b), Lane::Whole(c)) => {
            (0..LANES).for_each(|i| to[i] = D::from_f64(f(a[i], b[i]) + c[i]));
        }
        _ => unreachable!("a constant is added by a pass of its own"),
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
fn two(op: Two, a: Lane<'_>, b: Lane<'_>, to: &mut [f64; LANES]) {
    match op {
        Two::Add | Two::Sub | Two::Mul | Two::Div | Two::Share => free(op, a, b, to),
        Two::Pow => both(a, b, to, |a, b| two_of(Two::Pow, a, b)),
        Two::Min => both(a, b, to, |a, b| two_of(Two::Min, a, b)),
        Two::Max => both(a, b, to, |a, b| two_of(Two::Max, a, b)),
        Two::AtMost => both(a, b, to, |a, b| two_of(Two::AtMost, a, b)),
        Two::Below => both(a, b, to, |a, b| two_of(Two::Below, a, b)),
        Two::Gate => both(a, b, to, |a, b| two_of(Two::Gate, a, b)),
    }
}

/// Operations that may read samples and write results.
#[inline(always)]
fn free<D: Real>(op: Two, a: Lane<'_>, b: Lane<'_>, to: &mut [D; LANES]) {
    match op {
        Two::Add => any_two(a, b, to, |a, b| two_of(Two::Add, a, b)),
        Two::Sub => any_two(a, b, to, |a, b| two_of(Two::Sub, a, b)),
        Two::Mul => any_two(a, b, to, |a, b| two_of(Two::Mul, a, b)),
        Two::Div => any_two(a, b, to, |a, b| two_of(Two::Div, a, b)),
        Two::Share => any_two(a, b, to, |a, b| two_of(Two::Share, a, b)),
        Two::Pow | Two::Min | Two::Max | Two::AtMost | Two::Below | Two::Gate => unreachable!("no such pass"),
    }
}

#[inline(always)]
fn plus<D: Real>(op: Two, a: Lane<'_>, b: Lane<'_>, c: Lane<'_>, to: &mut [D; LANES]) {
    match op {
        Two::Mul => any_three(a, b, c, to, |a, b| two_of(Two::Mul, a, b)),
        Two::Share => any_three(a, b, c, to, |a, b| two_of(Two::Share, a, b)),
        _ => unreachable!("no such pass"),
    }
}

/// What joins two masks by a function of the user's.
type Custom = std::sync::Arc<dyn Fn(u32, u32) -> u32 + Send + Sync>;

/// The mask of as many pixels as `to` holds, step by step.
#[inline(always)]
fn join<'b, W: Copy + std::ops::BitOr<Output = W> + std::ops::BitAnd<Output = W> + 'b>(
    program: &Program,
    steps: &'b mut [[W; LANES]],
    masks: impl Fn(usize) -> &'b [W],
    result: MaskArg,
    to: &mut [W],
    custom: impl Fn(&Custom, W, W) -> W,
) {
    let count = to.len();
    let last = program.mask_steps.len().wrapping_sub(1);
    for (i, step) in program.mask_steps.iter().enumerate() {
        let (done, rest) = steps.split_at_mut(i);
        let of = |arg: MaskArg| match arg {
            MaskArg::Input(k) => masks(k),
            MaskArg::Step(k) => &done[k][..count],
        };
        // The result itself needs no room of its own.
        let into = if i == last && result == MaskArg::Step(i) { &mut *to } else { &mut rest[0][..count] };
        let pairs = into.iter_mut().zip(of(step.a).iter().zip(of(step.b)));
        match &step.op {
            MaskOp::Or => pairs.for_each(|(to, (a, b))| *to = *a | *b),
            MaskOp::And => pairs.for_each(|(to, (a, b))| *to = *a & *b),
            MaskOp::Custom(f) => pairs.for_each(|(to, (a, b))| *to = custom(f, *a, *b)),
        }
    }
    match result {
        MaskArg::Input(k) => to.copy_from_slice(masks(k)),
        MaskArg::Step(k) if k != last => to.copy_from_slice(&steps[k][..count]),
        MaskArg::Step(_) => {}
    }
}
