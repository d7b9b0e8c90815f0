//! The flavour `dragons`: what Gemini DRAGONS' NDStacker (168d296) does, to the bit for finite samples. On the CPU only.
//!
//! Numbers are f32, operation by operation in the order of the frames, except where f64 is named; whatever the frames
//! hold becomes f32 first. With scale s and zero z in f32: x = d s + z, w = (v s) s. Masks and variances count only if all
//! frames have them.
//!
//! 1. **Used** are the samples of the best level of the hierarchy, as on the page of the stack. Where the reference has no
//!    answer that can be used, that page's rules 1, 2 and 6 hold: a sample that is not finite is as one with `no_data`, but
//!    is never used; a negative variance counts as 0; bits of 128 and above belong to the worst level; where nothing
//!    is usable, data and variance are 0 and the mask says why.
//! 2. **Rejection.**
//!    - *minmax*: int(n nlow / N + 0.001) of the lowest and int(n nhigh / N + 0.001) of the highest of the n used of N
//!      samples. Equal samples rank in the order of their frames, where the reference leaves it to numpy's sort.
//!    - *sigclip*: mu = sum x / n and sigma^2 = sum x^2 / n - mu^2 of the samples still in, with sums in f64 of x and of x^2
//!      rounded to f32. Out is x < c - lsigma sigma and x > c + hsigma sigma, the limits in f64, then rounded to f32.
//!    - *varclip*: out is x < c - lsigma sqrt(w) and x > c + hsigma sqrt(w), in f64.
//!    - The centre c is the median of the used samples, also of those that are out already, and so the same in each
//!      pass; without `mclip` it is mu from the second pass on. A pass after which nothing is new is the last.
//!    - Where everything was rejected, nothing is.
//! 3. **Combination** of the n samples that are left:
//!
//!    | | value | propagated variance | scatter |
//!    |---|---|---|---|
//!    | mean | sum x / n | (sum w / n) / n | sum (x - value)^2 / (n (n - 1)) |
//!    | wtmean | sum (x / w) / sum (1 / w) | 1 / sum (1 / w) | that of the page of the stack |
//!    | median | the middle, or half the sum of both | pi/2 (sum w / n) / n | pi/2 sum (x - value)^2 / (n (n - 1)) |
//!    | lmedian | rank (n - 1) / 2 of 0 to n - 1 | pi/2 (sum w / n) / n | pi/2 sum (x - value)^2 / (n (n - 1)) |
//!
//!    Quotients by n are of f64, then rounded. Scatter is 0 for n = 1. Without masks and without rejection the median of
//!    an odd number of frames has the variance of that very sample.
//!    Sum, min, max and std, which the reference has not, are those of the page of the stack, with sums in f64, and so is what
//!    variables that frames share add: the reference would average it away.
//! 4. **Mask**: OR of the masks of the samples that are left.
//! 5. **Rejected**, as its REJMAP counts: all samples that are not left, whether a rule or their mask excluded them; 0
//!    where a rejection was undone and where nothing is usable. *Below* and *above* count the samples of rule 2 alone.
//!
//! Reproduced on purpose, since results are to be compared with the reference's:
//! - sum x^2 / n - mu^2 cancels: far above 0 a sigma is noise, and where it comes out below zero nothing is rejected. At a
//!   level of a million with a sigma of 3 most outliers of 20 sigma stay.
//! - The median as a centre does not follow what was rejected.
//! - A variance of 0 rejects, in varclip, any sample that is not the centre; in wtmean it makes the value NaN with variance 0
//!   (and where the result's mask is not 0, NaN is 0).
//! - The variance of one sample for medians of odd numbers of frames, and pi/2 for few samples.
//!
//! Tolerance: none against the reference, but for the order of equal samples. Source: gempy/library/nddops.py and
//! cython_utils.pyx of DRAGONS; the tests compare with stacks that it made.

mod block;
mod combine;
mod reject;
mod shared;
#[cfg(test)]
mod tests;

pub(super) use block::Block;

use super::{BLOCK, Errors, Reject, Task};
use crate::real::Real;

/// Stacks by the rules above. `T` is f32; numbers of f64 would be rounded to it.
#[inline(always)]
pub(super) fn stack<T: Real>(task: Task<'_, T>) {
    let Task { cube, method, affine, levels, nonfinite, shares, scratch, out, .. } = task;
    let pixels = out.data.len();
    let errors = if cube.variance.is_empty() { Errors::Scatter } else { method.errors };
    let graded = nonfinite || !cube.mask.is_empty();
    let block = scratch.dragons.get_or_insert_default();
    block.prepare(cube);
    let plain = cube.mask.is_empty() && method.reject == Reject::None;
    for start in (0..pixels).step_by(BLOCK) {
        block.load(cube, start, affine, graded.then_some(levels));
        block.reject(&method.reject);
        block.settle(cube, start);
        let mut result = block.combine(method.combine, errors, plain);
        if shares.variables > 0 {
            block.share(cube, start, affine, shares, method.combine, &mut result);
        }
        let count = BLOCK.min(pixels - start);
        let at = start..start + count;
        for (plane, values) in [
            (&mut *out.data, &result.value),
            (&mut *out.variance, if errors.propagates() { &result.propagated } else { &result.scatter }),
            (&mut *out.scatter, &result.scatter),
            (&mut *out.weight, &result.weight),
            (&mut *out.ratio, &result.ratio),
        ] {
            if let Some(plane) = plane.get_mut(at.clone()) {
                plane.iter_mut().zip(values).for_each(|(p, v)| *p = T::from_f32(*v));
            }
        }
        for (plane, counts) in [
            (&mut *out.mask, &block.mask),
            (&mut *out.good, &block.good),
            (&mut *out.low, &block.low),
            (&mut *out.high, &block.high),
            (&mut *out.rejected, &block.rejected),
        ] {
            if let Some(plane) = plane.get_mut(at.clone()) {
                plane.copy_from_slice(&counts[..count]);
            }
        }
        for i in 0..count {
            out.tally.negative += u64::from(block.negative[i]);
            out.tally.rejected += u64::from(block.low[i] + block.high[i]);
        }
    }
}
