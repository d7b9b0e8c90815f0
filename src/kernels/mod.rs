//! Kernels, each said twice under one stem: `shaders/STEM.wgsl` for the device, `src/kernels/STEM.rs` for the CPU.
//!
//! A kernel knows its parameters and planes of pixels (data, variance, mask), and nothing of files, headers or
//! engines. [`Kernel`] asks for both halves, so one without a CPU twin does not compile.

pub(crate) mod decode;
pub(crate) mod stack;

/// What both engines need of a kernel.
pub(crate) trait Kernel {
    /// The common stem of its files.
    const STEM: &'static str;
    /// `shaders/STEM.wgsl`; the engine puts the prelude of the compute type in front.
    const WGSL: &'static str;
    /// The uniform that the shader calls `params`, byte for byte (a test compares the two layouts).
    type Params: bytemuck::Pod;
    /// What the CPU twin takes.
    type Cpu<'a>;

    /// The CPU twin.
    fn cpu(planes: Self::Cpu<'_>);
}
