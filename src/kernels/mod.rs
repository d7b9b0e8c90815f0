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

/// The whole shader of a kernel in compute type `T`.
pub(crate) fn source<T: Real, K: Kernel>() -> String {
    if !K::COMPUTES {
        return K::WGSL.to_string();
    }
    let prelude = match T::DTYPE {
        DType::F64 => include_str!("../../shaders/prelude_f64.wgsl"),
        _ => include_str!("../../shaders/prelude_f32.wgsl"),
    };
    [prelude, include_str!("../../shaders/pair.wgsl"), K::WGSL].concat()
}

/// What both engines need of a kernel.
pub(crate) trait Kernel {
    /// The common stem of its files.
    const STEM: &'static str;
    /// `shaders/STEM.wgsl`.
    const WGSL: &'static str;
    /// Whether it computes in `real`: then the prelude of the compute type stands in front of it.
    const COMPUTES: bool = true;
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

    fn module<T: Real, K: Kernel>() -> naga::Module {
        let source = source::<T, K>();
        let module = naga::front::wgsl::parse_str(&source).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&source)));
        let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
        validator.validate(&module).unwrap_or_else(|e| panic!("{} {}: {e:?}", K::STEM, T::DTYPE));
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
        assert_eq!(layout(&module::<f32, decode::Decode<f32>>()), decode);
        let stack = offsets!(stack::Params: frames, pixels, opaque_zero, forbidden);
        assert_eq!(layout(&module::<f32, stack::Stack<f32>>()), stack);
        assert_eq!(layout(&module::<f64, stack::Stack<f64>>()), stack);
    }

    #[test]
    fn constants_are_the_shaders() {
        let names =
            |m: &naga::Module| -> Vec<String> { m.overrides.iter().filter_map(|(_, o)| o.name.clone()).collect() };
        let want: Vec<&str> = decode::Constants::default().named().iter().map(|c| c.0).collect();
        assert_eq!(names(&module::<f32, decode::Decode<f32>>()), want);
    }
}
