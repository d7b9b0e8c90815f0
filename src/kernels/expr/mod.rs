//! Expr: one fused kernel per expression: planes in, data with variance and mask out. Twin of `shaders/expr.wgsl`.
//!
//! A [`Program`] is a straight line of steps over registers, each a plane of pixels. It is made of an expression by
//! `src/expr`, which also differentiates it: the variance is
//!
//! var f = sum over distinct leaves of (df/dx_i)^2 var_i,
//!
//! so a leaf that occurs twice is one random variable, and a - a has none. What the steps are is said in [`One`] and
//! [`Two`]; each says its formula and what happens at the edges.
//!
//! - *Numbers.* All steps are f64, whatever the samples are; the result is rounded once to the compute type. A device with
//!   64-bit floats does the same, one without them computes in pairs of f32 (48 digits, `shaders/expr_pair.wgsl`).
//! - *Variance.* A variance below zero counts as 0, and is counted. A leaf that the result does not depend on at a pixel
//!   (derivative 0) adds nothing there, whatever its variance is.
//! - *Mask.* OR of the masks, each once; or what the rules of the expression say.
//! - *Edges.* As IEEE has it: x/0 is infinite or NaN, NaN stays NaN, also in min and max. A shader may assume these away,
//!   so a device only marks the pixels whose inputs or results are not ordinary (one bit a pixel), and the host computes
//!   those anew with this twin.
//!
//! Tolerance: data and variance within 1 ULP of the compute type of this twin for + - * / sqrt, 3 ULP of f64 where that is
//! the compute type; 4 ULP with exp, log and pow; masks exact. Source of the rule of variances: e.g. Bevington & Robinson,
//! "Data Reduction and Error Analysis", chapter 3; JCGM 100:2008 (GUM), section 5.

mod cpu;
mod direct;
pub(crate) mod wgsl;

use std::fmt;
use std::sync::Arc;

pub(crate) use cpu::{LANES, Lent, Sheet, Short, Task};

use crate::kernels::Kernel;
use crate::real::Real;

/// Steps of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum One {
    /// -x.
    Neg,
    /// |x|.
    Abs,
    /// 1 where x >= 0, -1 elsewhere: the slope of |x|, never 0, so that |x| at 0 keeps its variance.
    Sign,
    /// NaN below 0.
    Sqrt,
    Exp,
    /// Natural logarithm; -infinity at 0, NaN below.
    Log,
}

/// Steps of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Two {
    Add,
    Sub,
    Mul,
    /// As IEEE has it at 0.
    Div,
    /// a^b for constant b; NaN for a below 0 unless b is whole.
    Pow,
    /// The smaller; NaN if one is.
    Min,
    /// The larger; NaN if one is.
    Max,
    /// 1 where a <= b, 0 elsewhere, NaN where one is: the slope of min in a, and of max in b... of ties the first operand
    /// counts.
    AtMost,
    /// 1 where a < b, 0 elsewhere, NaN where one is.
    Below,
    /// a b, and 0 where a is 0 whatever b is: the slope of what was chosen by min or max.
    Gate,
    /// a^2 b as a (a b), which overflows only where the result does; 0 where a is 0. What a leaf with derivative a and
    /// variance b adds.
    Share,
}

/// Where a step finds a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Arg {
    Register(usize),
    Constant(f64),
}

/// Where samples lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Among those that are exact in f32.
    Narrow(usize),
    /// Among those that are not.
    Wide(usize),
}

/// One step: a register is computed from others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    Load { to: usize, from: Slot, variance: bool },
    One { op: One, to: usize, a: Arg },
    Two { op: Two, to: usize, a: Arg, b: Arg },
}

/// What two masks become.
#[derive(Clone)]
pub(crate) enum MaskOp {
    Or,
    And,
    /// Of the user; the CPU alone can call it.
    Custom(Arc<dyn Fn(u32, u32) -> u32 + Send + Sync>),
}

impl fmt::Debug for MaskOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MaskOp::Or => "or",
            MaskOp::And => "and",
            MaskOp::Custom(_) => "custom",
        })
    }
}

/// A mask: one that is read, or the result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum MaskArg {
    Input(usize),
    Step(usize),
}

/// One step over masks; its result is known by its place.
#[derive(Clone, Debug)]
pub(crate) struct MaskStep {
    pub op: MaskOp,
    pub a: MaskArg,
    pub b: MaskArg,
}

/// An expression, ready to be computed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    /// Inputs of the job that go into the slots.
    pub narrow: Vec<usize>,
    pub wide: Vec<usize>,
    pub masks: Vec<usize>,
    pub registers: usize,
    pub steps: Vec<Step>,
    pub data: Option<Arg>,
    pub variance: Option<Arg>,
    /// Further results, of frames of a stack: what each variable that frames share adds for one standard deviation.
    pub more: Vec<Arg>,
    pub mask_steps: Vec<MaskStep>,
    pub mask: Option<MaskArg>,
}

impl Program {
    /// Bytes a pixel of decoded inputs.
    pub(crate) fn input_bytes(&self) -> usize {
        4 * self.narrow.len() + 8 * self.wide.len() + 4 * self.masks.len()
    }

    /// Bytes of all registers of a thread.
    pub(crate) fn register_bytes(&self) -> usize {
        cpu::LANES * (8 * self.registers + 6 * self.mask_steps.len())
    }

    /// Whether the masks are joined by a function of the user's.
    pub(crate) fn is_custom(&self) -> bool {
        self.mask_steps.iter().any(|s| matches!(s.op, MaskOp::Custom(_)))
    }

    fn data(&self) -> Arg {
        self.data.unwrap_or(Arg::Constant(0.0))
    }
}

/// The expr kernel.
pub(crate) struct Expr<T>(std::marker::PhantomData<T>);

/// Parameters of `shaders/expr.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct Params {
    /// Pixels of the tile: stride of the planes.
    pub pixels: u32,
    /// Always 0, but the shader's compiler does not know.
    pub opaque_zero: u32,
    pub pad: [u32; 2],
}

impl<T: Real> Kernel for Expr<T> {
    const STEM: &'static str = "expr";
    const WGSL: &'static str = include_str!("../../../shaders/expr.wgsl");
    type Params = Params;
    type Cpu<'a> = Task<'a, T>;

    fn cpu(task: Task<'_, T>) {
        crate::simd::dispatch(task);
    }
}
