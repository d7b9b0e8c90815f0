//! The two compute types, f32 and f64.

use std::ops::{Div, Mul};

use bytemuck::Pod;

use crate::dtype::DType;
use crate::pixels::Pixels;

/// f32 where every input value is exact in it, else f64.
pub(crate) trait Real:
    Pod + Send + Sync + PartialOrd + Mul<Output = Self> + Div<Output = Self> + 'static
{
    const DTYPE: DType;
    fn from_f64(v: f64) -> Self;
    fn from_f32(v: f32) -> Self;
    fn to_f64(self) -> f64;
    fn is_finite(self) -> bool;
    /// As FITS bytes; `out` has room for one value.
    fn write_be(self, out: &mut [u8]);
    fn pixels(values: Vec<Self>, shape: &[usize]) -> crate::Result<Pixels>;
}

macro_rules! real {
    ($type:ty, $dtype:expr) => {
        impl Real for $type {
            const DTYPE: DType = $dtype;
            #[inline(always)]
            fn from_f64(v: f64) -> Self {
                v as $type
            }
            #[inline(always)]
            fn from_f32(v: f32) -> Self {
                v as $type
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                <$type>::is_finite(self)
            }
            #[inline(always)]
            fn write_be(self, out: &mut [u8]) {
                out.copy_from_slice(&self.to_be_bytes());
            }
            fn pixels(values: Vec<Self>, shape: &[usize]) -> crate::Result<Pixels> {
                crate::pixels::shaped(values, shape)
            }
        }
    };
}

real!(f32, DType::F32);
real!(f64, DType::F64);
