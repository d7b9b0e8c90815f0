//! Astronomical pixels with their variance, bit mask, unit and header, read lazily from mapped FITS files, computed
//! tile by tile on the GPU or on a SIMD CPU twin, and stacked by the hundreds.
//!
//! ```no_run
//! use ndastro::{AstroData, Engine, Stack, Window};
//!
//! # fn main() -> ndastro::Result<()> {
//! // Opening reads headers; a window reads its own bytes.
//! let frame = AstroData::open("frame_01.fits")?;
//! let corner = frame[0].window(&Window::new([0..100, 0..100]))?;
//! println!("{:?} of {:?}, unit {:?}", corner.shape(), frame[0].shape(), corner.unit());
//!
//! // A mean with propagated variance and the DQ hierarchy, on the best engine there is.
//! let engine = Engine::auto()?;
//! let stack = Stack::files(["frame_01.fits", "frame_02.fits", "frame_03.fits"])?;
//! let (result, stats) = stack.eval(&engine)?;
//! println!("{:?} in {:.2} s", result[0], stats.seconds);
//!
//! // The same straight into a file, in bounded memory.
//! stack.write(&engine, "stack.fits", false)?;
//! # Ok(())
//! # }
//! ```
//!
//! Words: a *plane* is one array of a container (data, variance, mask); a *section* the bytes of an image in a mapped
//! file; a *window* half-open ranges, slowest axis first; a *tile* the piece of the output computed at once; a *frame*
//! one input of a stack; an *engine* what computes.

#![warn(missing_docs)]

mod arithmetic;
mod arrays;
mod astrodata;
mod calculation;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
mod dtype;
mod engine;
mod error;
mod expr;
pub mod fits;
mod kernels;
mod memory;
mod nddata;
mod output;
mod pixels;
mod placed;
mod plane;
mod real;
mod simd;
mod slice;
mod stack;
mod stats;
mod tiles;
mod unit;
mod view;
mod wcs;
mod window;
mod windowed;
mod writing;

pub use arithmetic::Operand;
pub use astrodata::AstroData;
pub use calculation::Calculation;
pub use dtype::{DType, PixelFormat};
#[cfg(feature = "gpu")]
pub use engine::{AdapterReport, GpuEngine, adapters};
pub use engine::{CpuEngine, Engine};
pub use error::{Error, Result};
pub use expr::{Correlation, Expr, MaskRule, Propagation, Rules, Scalar};
pub use fits::{OpenOptions, merge};
pub use nddata::NDAstroData;
pub use output::{DEFAULT_MEMORY, Progress};
pub use pixels::Pixels;
pub use slice::{Slice, Slices};
pub use stack::{
    Band, BitNames, Clip, Combine, DetectorNoise, ExplainedPass, ExplainedResult, ExplainedSample, Explanation,
    ExtensionPlan, Fate, Flavour, Hierarchy, Level, Map, Offsets, PerFrame, Percent, Reject, Skipped, Stack, StackPlan,
    VarianceFrom, Weights,
};
pub use stats::{DeviceSeconds, Factors, Stats};
pub use unit::Unit;
pub use wcs::Wcs;
pub use window::Window;
pub use windowed::{windowed_operation, windowed_operation_into};
pub use writing::WriteOptions;

// The example of the README is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
