//! The device's half, written out for one program: see `shaders/expr.wgsl`.

use std::fmt::Write as _;

use super::{Arg, Expr, MaskArg, MaskOp, One, Program, Slot, Step, Two};
use crate::dtype::DType;
use crate::kernels::{Kernel, PAIRS};
use crate::real::Real;

/// Whole powers to this one are written as products; for results in f64, in which each rounding counts, to the other.
const WHOLE: f64 = 64.0;
const WHOLE_WIDE: f64 = 4.0;

/// A longer program takes a driver's compiler longer than it saves.
const STEPS: usize = 1024;

/// Why a device cannot compute this program, if it cannot.
pub(crate) fn unfit<T: Real>(program: &Program, f64: bool) -> Option<&'static str> {
    let wide = T::DTYPE == DType::F64;
    let transcendent = |step: &Step| match step {
        Step::One { op, .. } => matches!(op, One::Exp | One::Log),
        Step::Two { op: Two::Pow, b, .. } => {
            !is_whole(*b) || matches!(b, Arg::Constant(p) if wide && p.abs() > WHOLE_WIDE)
        }
        _ => false,
    };
    let odd = |arg: &Arg| match arg {
        // In pairs of f32 a constant must be in the range of f32.
        Arg::Constant(c) => !c.is_finite() || (!f64 && *c != 0.0 && !(1e-30..1e30).contains(&c.abs())),
        Arg::Register(_) => false,
    };
    let args = |step: &Step| match step {
        Step::Load { .. } => false,
        Step::One { a, .. } => odd(a),
        Step::Two { a, b, .. } => odd(a) || odd(b),
    };
    if wide && !f64 {
        Some("it has no 64-bit floats, which these inputs need")
    } else if program.is_custom() {
        Some("a function of the caller's joins the masks")
    } else if program.steps.len() > STEPS {
        Some("the expression is too long for a shader")
    } else if wide && program.steps.iter().any(transcendent) {
        Some("it has no exp and log of 64-bit floats")
    } else if program.steps.iter().any(args)
        || [program.data(), program.variance.unwrap_or(program.data())].iter().chain(&program.more).any(odd)
    {
        Some("a constant is beyond its numbers")
    } else {
        None
    }
}

fn is_whole(power: Arg) -> bool {
    matches!(power, Arg::Constant(p) if p.fract() == 0.0 && p.abs() <= WHOLE)
}

/// What is written where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The result of a job.
    Result,
    /// Frames of a stack, one a row of the dispatch, into the planes that the stack kernel reads. A row of the table `slots`
    /// says for each frame where its inputs are (narrow, wide, masks), which frame it is, and where its further results
    /// begin.
    Frames { mask: bool },
}

/// The whole shader.
pub(crate) fn source<T: Real>(program: &Program, f64: bool, target: Target) -> String {
    let wide = T::DTYPE == DType::F64;
    let mut out = String::new();
    if f64 {
        out.push_str(include_str!("../../../shaders/expr_f64.wgsl"));
    } else {
        // Pairs of f32: what they are made of, without the planes of a stack.
        out.push_str("alias part = f32;\nconst SPLIT: part = 4097.0;\n");
        out.push_str("fn opaque(x: part) -> part { return bitcast<f32>(bitcast<u32>(x) ^ params.opaque_zero); }\n");
        out.push_str(include_str!("../../../shaders/expr_pair.wgsl"));
        out.push_str(PAIRS);
    }
    out.push_str(Expr::<T>::WGSL);
    out.push_str(match target {
        Target::Result => include_str!("../../../shaders/expr_result.wgsl"),
        Target::Frames { .. } => "@group(0) @binding(8) var<storage, read_write> out_odd: array<atomic<u32>>;\n",
    });
    let real = if wide { "f64" } else { "f32" };
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = out.write_fmt(text);
        out.push('\n');
    };
    line(format_args!("@group(0) @binding(5) var<storage, read_write> out_data: array<{real}>;"));
    line(format_args!("@group(0) @binding(6) var<storage, read_write> out_variance: array<{real}>;"));
    if wide {
        line(format_args!("@group(0) @binding(3) var<storage, read> wide: array<f64>;"));
        line(format_args!("fn wide_at(slot: u32, pixel: u32) -> num {{"));
        line(format_args!("    let at = slot * params.pixels + pixel;"));
        line(format_args!("    odd = odd || (wide_bits[2u * at + 1u] & 0x7ff00000u) == 0x7ff00000u;"));
        line(format_args!("    return wide[at];"));
        line(format_args!("}}"));
        line(format_args!("fn wide_variance_at(slot: u32, pixel: u32) -> num {{"));
        line(format_args!("    see_sign(wide_bits[2u * (slot * params.pixels + pixel) + 1u]);"));
        line(format_args!("    return wide_at(slot, pixel);"));
        line(format_args!("}}"));
        // What is finite in f64 but not in f32 is computed once more by the host: dear, but right.
        line(format_args!("fn finished(x: num) -> f64 {{ see_large(bitcast<u32>(to_f32(x))); return x; }}"));
    } else {
        line(format_args!("fn finished(x: num) -> f32 {{ return result(x); }}"));
    }
    let frames = matches!(target, Target::Frames { .. });
    let (wide_first, masks_first) = (program.narrow.len(), program.narrow.len() + program.wide.len());
    let row = masks_first + program.masks.len();
    if frames {
        line(format_args!("@group(0) @binding(9) var<storage, read> slots: array<u32>;"));
        line(format_args!("@group(0) @binding(10) var<storage, read_write> out_more: array<{real}>;"));
    }
    let slot = |first: usize, slot: usize| {
        if frames { format!("slots[row + {}u]", first + slot) } else { format!("{slot}u") }
    };
    line(format_args!("@compute @workgroup_size(64)"));
    line(format_args!("fn main("));
    line(format_args!("    @builtin(global_invocation_id) id: vec3<u32>,"));
    line(format_args!("    @builtin(local_invocation_index) lane: u32,"));
    line(format_args!("    @builtin(workgroup_id) group: vec3<u32>,"));
    line(format_args!(") {{"));
    line(format_args!("    let live = id.x < params.pixels;"));
    line(format_args!("    let p = min(id.x, params.pixels - 1u);"));
    if frames {
        line(format_args!("    let row = id.y * {}u;", row + 2));
        line(format_args!("    let at = slots[row + {row}u] * params.pixels + p;"));
    } else {
        line(format_args!("    let at = p;"));
    }
    // Each step has a name of its own; a register has that of the last step that wrote it.
    let mut holder = vec![0usize; program.registers];
    let number = |arg: Arg, holder: &[usize]| match arg {
        Arg::Register(r) => format!("t{}", holder[r]),
        Arg::Constant(c) if f64 => format!("held({c:?}lf)"),
        Arg::Constant(c) => {
            let hi = c as f32;
            format!("num({hi:?}f, {:?}f)", (c - f64::from(hi)) as f32)
        }
    };
    for (i, step) in program.steps.iter().enumerate() {
        let (to, text) = match *step {
            Step::Load { to, from, variance } => {
                let of = if variance { "_variance" } else { "" };
                let text = match from {
                    Slot::Narrow(k) => format!("narrow{of}_at({}, p)", slot(0, k)),
                    Slot::Wide(k) => format!("wide{of}_at({}, p)", slot(wide_first, k)),
                };
                (to, text)
            }
            Step::One { op, to, a } => {
                let name = match op {
                    One::Neg => "neg",
                    One::Abs => "abs",
                    One::Sign => "sign",
                    One::Sqrt => "sqrt",
                    One::Exp => "exp",
                    One::Log => "log",
                };
                (to, format!("e_{name}({})", number(a, &holder)))
            }
            Step::Two { op: Two::Pow, to, a, b: Arg::Constant(power) } if is_whole(Arg::Constant(power)) => {
                (to, format!("e_whole_power({}, {}u, {})", number(a, &holder), power.abs() as u32, power < 0.0))
            }
            Step::Two { op, to, a, b } => {
                let name = match op {
                    Two::Add => "add",
                    Two::Sub => "sub",
                    Two::Mul => "mul",
                    Two::Div => "div",
                    Two::Pow => "power",
                    Two::Min => "min",
                    Two::Max => "max",
                    Two::AtMost => "at_most",
                    Two::Below => "below",
                    Two::Gate => "gate",
                    Two::Share => "share",
                };
                (to, format!("e_{name}({}, {})", number(a, &holder), number(b, &holder)))
            }
        };
        line(format_args!("    let t{i} = {text};"));
        holder[to] = i;
    }
    line(format_args!("    let data = finished({});", number(program.data(), &holder)));
    if let Some(variance) = program.variance {
        line(format_args!("    let variance = finished({});", number(variance, &holder)));
    }
    for (k, &arg) in program.more.iter().enumerate() {
        line(format_args!("    let more{k} = finished({});", number(arg, &holder)));
    }
    let mask = |arg: MaskArg| match arg {
        MaskArg::Input(k) => format!("masks[{} * params.pixels + p]", slot(masks_first, k)),
        MaskArg::Step(i) => format!("m{i}"),
    };
    if program.mask.is_some() {
        for (i, step) in program.mask_steps.iter().enumerate() {
            let sign = if matches!(step.op, MaskOp::And) { "&" } else { "|" };
            line(format_args!("    let m{i} = {} {sign} {};", mask(step.a), mask(step.b)));
        }
    }
    line(format_args!("    if live {{"));
    line(format_args!("        out_data[at] = data;"));
    if program.variance.is_some() {
        line(format_args!("        out_variance[at] = variance;"));
    }
    match (program.mask, target) {
        (Some(arg), _) => line(format_args!("        out_mask[at] = {};", mask(arg))),
        (None, Target::Frames { mask: true }) => line(format_args!("        out_mask[at] = 0u;")),
        _ => {}
    }
    for k in 0..program.more.len() {
        line(format_args!("        out_more[(slots[row + {}u] + {k}u) * params.pixels + p] = more{k};", row + 1));
    }
    if frames {
        line(format_args!("        if odd {{ atomicOr(&out_odd[p / 32u], 1u << (p % 32u)); }}"));
    }
    line(format_args!("    }}"));
    if !frames {
        line(format_args!("    mark(lane, group.x);"));
    }
    line(format_args!("}}"));
    out
}
