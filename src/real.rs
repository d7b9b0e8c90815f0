//! The two compute types, f32 and f64.

use std::ops::{Div, Mul};

use bytemuck::Pod;

use crate::pixels::{Element, Pixels};

/// f32 where every input value is exact in it, else f64.
pub(crate) trait Real:
    Pod + Element + Send + Sync + PartialOrd + Mul<Output = Self> + Div<Output = Self> + 'static
{
    /// Integers in the order of the numbers: their minima and maxima are one instruction each, and no number is special.
    type Key: Pod + Ord;
    /// The largest key: that of no number.
    const TOP: Self::Key;
    /// The least.
    const BOTTOM: Self::Key;
    fn to_key(self) -> Self::Key;
    /// The number of a key that is not [`TOP`](Self::TOP).
    fn from_key(key: Self::Key) -> Self;
    fn from_f64(v: f64) -> Self;
    fn from_f32(v: f32) -> Self;
    fn to_f64(self) -> f64;
    fn is_finite(self) -> bool;
    /// As FITS bytes; `out` has room for one value.
    fn write_be(self, out: &mut [u8]);
    fn pixels(values: Vec<Self>, shape: &[usize]) -> crate::Result<Pixels>;
}

macro_rules! real {
    ($type:ty, $key:ty) => {
        impl Real for $type {
            type Key = $key;
            const TOP: $key = <$key>::MAX;
            const BOTTOM: $key = <$key>::MIN;
            #[inline(always)]
            fn to_key(self) -> $key {
                // The bits of negative numbers count downwards: all but the sign are turned over.
                let bits = self.to_bits().cast_signed();
                bits ^ ((bits >> (<$key>::BITS - 1)) & <$key>::MAX)
            }
            #[inline(always)]
            fn from_key(key: $key) -> Self {
                let bits = key ^ ((key >> (<$key>::BITS - 1)) & <$key>::MAX);
                <$type>::from_bits(bits.cast_unsigned())
            }
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

real!(f32, i32);
real!(f64, i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_order_of_the_numbers_and_lead_back() {
        let numbers = [f32::NEG_INFINITY, f32::MIN, -1.5, -1e-45, -0.0, 0.0, 1e-45, 1.0, 1.5, f32::MAX, f32::INFINITY];
        assert!(numbers.map(Real::to_key).is_sorted_by(|a, b| a < b));
        assert!(f32::INFINITY.to_key() < f32::TOP);
        assert!(numbers.iter().all(|n| f32::from_key(n.to_key()).to_bits() == n.to_bits()));
        let wide = numbers.map(f64::from);
        assert!(wide.map(Real::to_key).is_sorted_by(|a, b| a < b));
        assert!(wide.iter().all(|n| f64::from_key(n.to_key()).to_bits() == n.to_bits()));
    }
}
