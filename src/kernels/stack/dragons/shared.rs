//! Variables that frames share: rule 3 of the page of the stack.

use super::block::Block;
use super::combine::Results;
use crate::kernels::stack::cpu::block;
use crate::kernels::stack::{Affine, BLOCK, Combine, Cube, Shares};
use crate::real::Real;

impl Block {
    /// Adds to both variances what the shared variables come to.
    pub(super) fn share<T: Real>(
        &self,
        cube: &Cube<T>,
        start: usize,
        affine: &[Affine],
        shares: Shares<'_>,
        combine: Combine,
        to: &mut Results,
    ) {
        let mut sums = vec![0.0; shares.variables];
        for i in (0..BLOCK).filter(|&i| self.good[i] > 0) {
            sums.fill(0.0);
            let derivative = self.derivative(combine, i);
            let mut plane = 0;
            for (f, variables) in shares.of.iter().enumerate() {
                for &variable in variables {
                    if self.left[f][i] != 0 {
                        let amplitude = block(&cube.shared, plane * cube.stride + start)[i].to_f64();
                        sums[variable] += derivative(f) * affine[f].scale * amplitude;
                    }
                    plane += 1;
                }
            }
            let more: f64 = sums.iter().map(|a| a * a).sum();
            for variance in [&mut to.propagated[i], &mut to.scatter[i]] {
                *variance = (f64::from(*variance) + more) as f32;
            }
        }
    }

    /// By how much the result of pixel `i` changes with the sample of a frame that is left.
    fn derivative(&self, combine: Combine, i: usize) -> impl Fn(usize) -> f64 {
        let n = f64::from(self.good[i]);
        let frames = || (0..self.x.len()).filter(|&f| self.left[f][i] != 0);
        let x = move |f: usize| f64::from(self.x[f][i]);
        let weight = move |f: usize| 1.0 / f64::from(self.w[f][i]);
        let mean = frames().map(x).sum::<f64>() / n;
        let mut chosen = 0;
        let all = match combine {
            Combine::WtMean if !self.w.is_empty() => frames().map(weight).sum(),
            Combine::Std => (n * frames().map(|f| (x(f) - mean) * (x(f) - mean)).sum::<f64>()).sqrt(),
            Combine::Min | Combine::Max => {
                chosen = self.extreme(combine, i);
                1.0
            }
            Combine::Sum => 1.0,
            _ => n,
        };
        let weighted = combine == Combine::WtMean && !self.w.is_empty();
        move |f| match combine {
            // Exact samples have all the weight; the result has no number then.
            Combine::WtMean if weighted => {
                if all.is_finite() {
                    weight(f) / all
                } else {
                    0.0
                }
            }
            Combine::Std => {
                if all > 0.0 {
                    (x(f) - mean) / all
                } else {
                    0.0
                }
            }
            Combine::Min | Combine::Max => {
                if f == chosen {
                    1.0
                } else {
                    0.0
                }
            }
            _ => 1.0 / all,
        }
    }
}
