//! Kernels, each said twice under one stem: `shaders/STEM.wgsl` for the device, `src/kernels/STEM.rs` for the CPU.
//!
//! A kernel knows its parameters and planes of pixels (data, variance, mask), and nothing of files, headers or
//! engines. [`Kernel`] asks for both halves, so one without a CPU twin does not compile.

// Without a device the device's half of each kernel waits unused.
#![cfg_attr(not(feature = "gpu"), allow(dead_code))]

pub(crate) mod decode;
pub(crate) mod expr;
pub(crate) mod stack;

use crate::DType;
use crate::real::Real;

/// What stands in front of a kernel that reads `T`.
pub(crate) fn prelude<T: Real>() -> String {
    let prelude = match T::DTYPE {
        DType::F64 => include_str!("../../shaders/prelude_f64.wgsl"),
        _ => include_str!("../../shaders/prelude_f32.wgsl"),
    };
    [prelude, include_str!("../../shaders/stored.wgsl")].concat()
}

/// Sums and products as pairs of what the shader calls `part`.
pub(crate) const PAIRS: &str = include_str!("../../shaders/pair.wgsl");

/// What both engines need of a kernel.
pub(crate) trait Kernel {
    /// The common stem of its files.
    const STEM: &'static str;
    /// `shaders/STEM.wgsl`: the whole shader, or the functions of one that is written out for each job.
    const WGSL: &'static str;
    /// The uniform that the shader calls `params`, byte for byte (a test compares the two layouts).
    type Params: bytemuck::Pod;
    /// What the CPU twin takes.
    type Cpu<'a>;

    /// The CPU twin.
    fn cpu(planes: Self::Cpu<'_>);
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use naga::valid::{Capabilities, ValidationFlags, Validator};

    use super::*;

    fn module<K: Kernel>() -> naga::Module {
        parsed(K::WGSL, K::STEM)
    }

    fn parsed(source: &str, what: &str) -> naga::Module {
        let module = naga::front::wgsl::parse_str(source).unwrap_or_else(|e| panic!("{}", e.emit_to_string(source)));
        let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
        validator.validate(&module).unwrap_or_else(|e| panic!("{what}: {e:?}"));
        module
    }

    /// Offsets of the shader's `params`, by name, and its size.
    fn layout(module: &naga::Module) -> (Vec<(String, usize)>, usize) {
        let params = module.global_variables.iter().find(|(_, v)| v.name.as_deref() == Some("params"));
        let naga::TypeInner::Struct { members, span } = &module.types[params.expect("a uniform").1.ty].inner else {
            panic!("params is no struct");
        };
        let named = |m: &naga::StructMember| (m.name.clone().unwrap_or_default(), m.offset as usize);
        (members.iter().map(named).filter(|(n, _)| !n.starts_with("pad")).collect(), *span as usize)
    }

    macro_rules! offsets {
        ($type:ty: $($field:ident),*) => {
            (vec![$((stringify!($field).to_string(), offset_of!($type, $field))),*], size_of::<$type>())
        };
    }

    #[test]
    fn parameters_lie_where_the_shader_looks() {
        let decode = offsets!(decode::Params: pixels, raw_stride, first, blank_low, blank_high);
        assert_eq!(layout(&module::<decode::Decode<f32>>()), decode);
    }

    /// Planes as files have them.
    fn raw_bytes() -> stack::wgsl::Raw {
        let bytes = |stored: DType, flip| decode::Constants { stored, swap: true, flip, ..decode::Constants::VALUES };
        stack::wgsl::Raw {
            data: bytes(DType::I16, true),
            variance: bytes(DType::F32, false),
            mask: bytes(DType::U8, false),
        }
    }

    /// Every method, with the column in variables and in storage, as valid shaders.
    #[test]
    fn stacks_are_written_out_as_valid_shaders() {
        use stack::wgsl::{Has, Raw, block, source};
        use stack::{Clip, Combine, Errors, Method, Reject};
        let params = offsets!(stack::Params: pixels, opaque_zero, forbidden);
        let clip = Clip { lsigma: f64::INFINITY, ..Clip::default() };
        let rejects = [
            Reject::None,
            Reject::MinMax { nlow: 1, nhigh: 1 },
            Reject::SigClip(clip),
            Reject::VarClip(Clip { mclip: false, ..Clip::default() }),
        ];
        for combine in Combine::COMMON {
            for reject in rejects {
                for (frames, errors, on) in
                    [(1, Errors::Scatter, false), (5, Errors::Propagated, true), (100, Errors::Both, true)]
                {
                    let method = Method { combine, reject, errors, ..Method::default() };
                    let variance = on;
                    let has = Has {
                        frames,
                        variance,
                        mask: on,
                        scaled: on,
                        nonfinite: on,
                        both: errors == Errors::Both,
                        ratio: errors == Errors::Both,
                        weights: errors == Errors::Both,
                        shared: if errors == Errors::Both { 2 } else { 0 },
                        levels: if on { 7 } else { 3 },
                        doubles: false,
                        block: None,
                    };
                    let what = format!("{method:?} {has:?}");
                    // As a software adapter has it, and one that is less able.
                    for has in [has, Has { doubles: true, ..has }] {
                        let in_blocks = Has { block: block::<f32>(&method, &has), ..has };
                        for raw in [Raw::DECODED, raw_bytes()] {
                            for text in [
                                source::<f32>(&method, &has, &raw),
                                source::<f32>(&method, &in_blocks, &raw),
                                source::<f64>(&method, &has, &raw),
                            ] {
                                assert_eq!(layout(&parsed(&text, &what)), params, "{what}");
                            }
                        }
                    }
                }
            }
        }
    }

    /// Every step and every kind of input, in each form that the shader of an expression has.
    #[test]
    fn expressions_are_written_out_as_valid_shaders() {
        use expr::wgsl::Target;
        use expr::{Arg, MaskArg, MaskOp, MaskStep, One, Program, Slot, Step, Two};
        let expr = offsets!(expr::Params: pixels, opaque_zero);
        let whole = [One::Neg, One::Abs, One::Sign, One::Sqrt];
        let transcendent = [One::Exp, One::Log];
        let twos = [
            Two::Add,
            Two::Sub,
            Two::Mul,
            Two::Div,
            Two::Min,
            Two::Max,
            Two::AtMost,
            Two::Below,
            Two::Gate,
            Two::Share,
        ];
        for (wide, f64) in [(false, true), (false, false), (true, true)] {
            let slot = if wide { Slot::Wide(0) } else { Slot::Narrow(0) };
            let mut program = Program { registers: 2, masks: vec![0, 1], ..Program::default() };
            program.steps.push(Step::Load { to: 0, from: slot, variance: false });
            program.steps.push(Step::Load { to: 1, from: slot, variance: true });
            let (a, b) = (Arg::Register(0), Arg::Register(1));
            let ones = whole.iter().chain(transcendent.iter().filter(|_| !wide));
            program.steps.extend(ones.map(|&op| Step::One { op, to: 0, a }));
            program.steps.extend(twos.iter().map(|&op| Step::Two { op, to: 1, a, b }));
            for power in [3.0, -2.0, 0.3, 1e-3].into_iter().take(if wide { 2 } else { 4 }) {
                program.steps.push(Step::Two { op: Two::Pow, to: 0, a: b, b: Arg::Constant(power) });
            }
            program.steps.push(Step::Two { op: Two::Mul, to: 0, a, b: Arg::Constant(-1.5e-7) });
            (program.data, program.variance, program.mask) = (Some(a), Some(b), Some(MaskArg::Step(1)));
            let inputs = (MaskArg::Input(0), MaskArg::Input(1));
            program.mask_steps.push(MaskStep { op: MaskOp::Or, a: inputs.0, b: inputs.1 });
            program.mask_steps.push(MaskStep { op: MaskOp::And, a: MaskArg::Step(0), b: inputs.1 });
            for target in [Target::Result, Target::Frames { mask: true }] {
                program.more = if target == Target::Result { Vec::new() } else { vec![b, a] };
                let source = if wide {
                    assert_eq!(expr::wgsl::unfit::<f64>(&program, f64), None);
                    expr::wgsl::source::<f64>(&program, f64, target)
                } else {
                    assert_eq!(expr::wgsl::unfit::<f32>(&program, f64), None);
                    expr::wgsl::source::<f32>(&program, f64, target)
                };
                assert_eq!(layout(&parsed(&source, "expr")), expr, "wide {wide}, f64 {f64}");
            }
        }
    }

    #[test]
    fn constants_are_the_shaders() {
        let names =
            |m: &naga::Module| -> Vec<String> { m.overrides.iter().filter_map(|(_, o)| o.name.clone()).collect() };
        let want: Vec<&str> = decode::Constants::VALUES.named().iter().map(|c| c.0).collect();
        assert_eq!(names(&module::<decode::Decode<f32>>()), want);
    }
}
