//! Sums and means of everything that is good, in one pass: no rejection, no scatter, nothing shared, and a sample of the
//! first level in each pixel. It comes to what the rules in their order come to, bit for bit.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use super::samples::{BLOCK, Cube, LANES, Samples, Shares, all_if, keep};
use super::{Pixels, finite};
use crate::dtype::DType;
use crate::kernels::stack::{Combine, Levels, Method};
use crate::real::Real;

/// Whether a run is of this kind.
pub(super) fn fits<T: Real>(cube: &Cube<T>, method: &Method, shares: Shares<'_>) -> bool {
    T::DTYPE == DType::F32
        && method.is_plain()
        && shares.variables == 0
        && !cube.variance.is_empty()
        && !cube.mask.is_empty()
}

impl Pixels {
    /// Whether it could be done.
    #[inline(always)]
    pub(super) fn plain<T: Real>(&mut self, samples: &Samples<'_, T>, method: &Method, levels: &Levels) -> bool {
        let forbidden = levels.forbidden[0];
        let zero = T::from_f32(0.0);
        for from in (0..BLOCK).step_by(LANES) {
            let (mut sum, mut sum2) = ([0f64; LANES], [0f64; LANES]);
            let (mut good, mut mask, mut negative) = ([0u32; LANES], [0u32; LANES], [0u32; LANES]);
            for f in 0..samples.frames() {
                let data = samples.data_part::<LANES>(f, from);
                let variance = samples.variance_part::<LANES>(f, from);
                let bits = samples.mask_part::<LANES>(f, from);
                let affine = &samples.affine[f];
                let square = affine.scale * affine.scale;
                let identity = affine.is_identity();
                for i in 0..LANES {
                    let used = all_if(bits[i] & forbidden == 0) & finite(data[i], variance[i]);
                    let x = if identity { data[i].to_f64() } else { affine.apply(data[i]).0 };
                    sum[i] += keep(x, used);
                    sum2[i] += keep(variance[i].to_f64() * square, used & all_if(variance[i] > zero));
                    good[i] += used & 1;
                    mask[i] |= bits[i] & used;
                    negative[i] += u32::from(variance[i] < zero);
                }
            }
            if good.contains(&0) {
                return false;
            }
            for i in 0..LANES {
                let n = f64::from(good[i]);
                let at = from + i;
                let (value, variance) = match method.combine {
                    Combine::Mean => (sum[i] / n, sum2[i] / (n * n)),
                    _ => (sum[i], sum2[i]),
                };
                (self.value[at], self.variance[at], self.weight[at]) = (value, variance, n);
                (self.good[at], self.mask[at], self.negative[at]) = (good[i], mask[i], negative[i]);
            }
        }
        true
    }
}
