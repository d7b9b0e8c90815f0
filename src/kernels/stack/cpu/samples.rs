//! Samples of a block of pixels as the kernel reads them, and the arithmetic that loses nothing.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use crate::dtype::DType;
use crate::kernels::stack::Affine;
use crate::real::Real;

/// Pixels that are worked on at once: their samples stay in the first-level cache between the passes over them.
pub(crate) const BLOCK: usize = 64;

/// Pixels whose sums are in registers together.
pub(super) const LANES: usize = 16;

/// One number for each pixel of a block.
pub(in crate::kernels::stack) type Row<T> = [T; BLOCK];

/// Samples of N frames at the same pixels, frame after frame. Planes that no frame has are empty.
pub(crate) struct Cube<T> {
    pub frames: usize,
    /// Samples from one frame to the next: whole blocks.
    pub stride: usize,
    pub data: Vec<T>,
    pub variance: Vec<T>,
    pub mask: Vec<u32>,
    /// What shared variables add, frame by frame as [`Shares`] counts them.
    pub shared: Vec<T>,
}

/// Which variables each frame shares with others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shares<'a> {
    /// Their numbers, for each frame; none for none.
    pub of: &'a [Vec<usize>],
    /// How many there are.
    pub variables: usize,
}

impl Shares<'_> {
    /// Planes of a cube.
    pub(crate) fn planes(&self) -> usize {
        self.of.iter().map(Vec::len).sum()
    }

    /// Whether each frame shares all of them, in one order: then the planes can be counted without a table.
    #[cfg(feature = "gpu")]
    pub(crate) fn is_full(&self) -> bool {
        self.of.iter().all(|of| of.iter().copied().eq(0..self.variables))
    }
}

impl<T: Real> Cube<T> {
    /// Room for `pixels` pixels, and so many planes of shared variables.
    pub(crate) fn new(frames: usize, pixels: usize, variance: bool, mask: bool, shared: usize) -> Self {
        let stride = pixels.next_multiple_of(BLOCK);
        let n = frames * stride;
        let zero = T::from_f32(0.0);
        Cube {
            frames,
            stride,
            data: vec![zero; n],
            variance: vec![zero; if variance { n } else { 0 }],
            mask: vec![0; if mask { n } else { 0 }],
            shared: vec![zero; shared * stride],
        }
    }
}

/// The block of a plane that starts at `at`.
#[inline(always)]
pub(in crate::kernels::stack) fn block<V: Copy>(plane: &[V], at: usize) -> &Row<V> {
    plane[at..].first_chunk().unwrap_or_else(|| unreachable!("a cube is of whole blocks"))
}

/// `N` numbers of a row from this one on.
#[inline(always)]
pub(in crate::kernels::stack) fn part<V: Copy, const N: usize>(row: &Row<V>, from: usize) -> [V; N] {
    *row[from..].first_chunk().unwrap_or_else(|| unreachable!("a group lies in its block"))
}

/// Choices are words of all ones or all zeros: a conditional store would be a masked one, slow on many processors.
pub(in crate::kernels::stack) const ALL: u32 = u32::MAX;

#[inline(always)]
pub(in crate::kernels::stack) fn all_if(condition: bool) -> u32 {
    u32::from(condition).wrapping_neg()
}

/// `x` where `chosen` is all ones, 0 where it is 0.
#[inline(always)]
pub(in crate::kernels::stack) fn keep(x: f64, chosen: u32) -> f64 {
    f64::from_bits(x.to_bits() & i64::from(chosen as i32) as u64)
}

/// hi + x, and what it lost, added to lo.
#[inline(always)]
pub(super) fn two_sum(hi: &mut f64, lo: &mut f64, x: f64) {
    let sum = *hi + x;
    let of_x = sum - *hi;
    *lo += (*hi - (sum - of_x)) + (x - of_x);
    *hi = sum;
}

/// What a * b = `p` lost. Overflows beyond 2^996.
#[inline(always)]
pub(super) fn lost(a: f64, b: f64, p: f64) -> f64 {
    let upper = |x: f64| {
        let c = 134_217_729.0 * x;
        c - (c - x)
    };
    let (ah, bh) = (upper(a), upper(b));
    let (al, bl) = (a - ah, b - bh);
    ((ah * bh - p) + ah * bl + al * bh) + al * bl
}

/// Adds to a sum: of f32 samples in f64, of f64 samples with what the addition lost.
#[inline(always)]
pub(crate) fn accumulate<T: Real>(hi: &mut f64, lo: &mut f64, x: f64) {
    if T::DTYPE == DType::F32 {
        *hi += x;
    } else {
        two_sum(hi, lo, x);
    }
}

/// (hi + lo) / n, and what its rounding lost.
#[inline(always)]
pub(crate) fn quotient(hi: f64, lo: f64, n: f64) -> (f64, f64) {
    let q = (hi + lo) / n;
    let product = q * n;
    (q, (((hi - product) - lost(q, n, product)) + lo) / n)
}

impl Affine {
    /// s d + z, and what it lost if the samples are f64. From f32 the digits of f64 are more than enough.
    #[inline(always)]
    pub(in crate::kernels::stack) fn apply<T: Real>(&self, d: T) -> (f64, f64) {
        let (d, p) = (d.to_f64(), d.to_f64() * self.scale);
        if T::DTYPE == DType::F32 {
            return (p + self.zero, 0.0);
        }
        let (mut hi, mut lo) = (p, lost(d, self.scale, p));
        two_sum(&mut hi, &mut lo, self.zero);
        (hi, lo)
    }

    pub(crate) fn is_identity(&self) -> bool {
        *self == Affine::IDENTITY
    }
}

/// The samples of a block.
pub(in crate::kernels::stack) struct Samples<'a, T> {
    pub cube: &'a Cube<T>,
    pub affine: &'a [Affine],
    pub(super) start: usize,
}

impl<T: Real> Samples<'_, T> {
    #[inline(always)]
    pub(in crate::kernels::stack) fn frames(&self) -> usize {
        self.cube.frames
    }

    #[inline(always)]
    pub(super) fn at(&self, frame: usize) -> usize {
        frame * self.cube.stride + self.start
    }

    #[inline(always)]
    pub(super) fn data(&self, frame: usize) -> &Row<T> {
        block(&self.cube.data, self.at(frame))
    }

    #[inline(always)]
    pub(super) fn mask(&self, frame: usize) -> Option<&Row<u32>> {
        (!self.cube.mask.is_empty()).then(|| block(&self.cube.mask, self.at(frame)))
    }

    /// The variances as they are; the data where there are none.
    #[inline(always)]
    pub(super) fn variance_or_data(&self, frame: usize) -> &Row<T> {
        if self.cube.variance.is_empty() { self.data(frame) } else { block(&self.cube.variance, self.at(frame)) }
    }

    /// What is ordered and compared: x, rounded to the compute type. `own` is room for it, where it is not the data itself.
    #[inline(always)]
    pub(in crate::kernels::stack) fn key<'k>(&'k self, frame: usize, own: &'k mut Row<T>) -> &'k Row<T> {
        let data = self.data(frame);
        let affine = &self.affine[frame];
        if affine.is_identity() {
            return data;
        }
        for i in 0..BLOCK {
            let (hi, lo) = affine.apply(data[i]);
            own[i] = T::from_f64(hi + lo);
        }
        own
    }

    /// Data, variance and mask of `N` pixels from this one of the block on, where the cube has them.
    #[inline(always)]
    pub(super) fn data_part<const N: usize>(&self, frame: usize, from: usize) -> [T; N] {
        part(self.data(frame), from)
    }

    #[inline(always)]
    pub(super) fn variance_part<const N: usize>(&self, frame: usize, from: usize) -> [T; N] {
        part(block(&self.cube.variance, self.at(frame)), from)
    }

    #[inline(always)]
    pub(super) fn mask_part<const N: usize>(&self, frame: usize, from: usize) -> [u32; N] {
        part(block(&self.cube.mask, self.at(frame)), from)
    }

    /// The same of `N` pixels from this one of the block on.
    #[inline(always)]
    pub(in crate::kernels::stack) fn keys<const N: usize>(&self, frame: usize, from: usize) -> [T; N] {
        let mut keys = part::<T, N>(self.data(frame), from);
        let affine = &self.affine[frame];
        if !affine.is_identity() {
            for key in &mut keys {
                let (hi, lo) = affine.apply(*key);
                *key = T::from_f64(hi + lo);
            }
        }
        keys
    }

    /// w of `N` pixels from this one of the block on.
    #[inline(always)]
    pub(in crate::kernels::stack) fn variances<const N: usize>(&self, frame: usize, from: usize) -> [f64; N] {
        if self.cube.variance.is_empty() {
            return [0.0; N];
        }
        let v = part::<T, N>(block(&self.cube.variance, self.at(frame)), from);
        let square = self.affine[frame].scale * self.affine[frame].scale;
        let mut w = [0.0; N];
        for i in 0..N {
            let v = v[i].to_f64();
            w[i] = if v > 0.0 { v * square } else { 0.0 };
        }
        w
    }

    /// x, and what its rounding lost.
    #[inline(always)]
    pub(super) fn value(&self, frame: usize) -> (Row<f64>, Row<f64>) {
        let data = self.data(frame);
        let affine = &self.affine[frame];
        let (mut hi, mut lo) = ([0.0; BLOCK], [0.0; BLOCK]);
        if affine.is_identity() {
            for i in 0..BLOCK {
                hi[i] = data[i].to_f64();
            }
        } else {
            for i in 0..BLOCK {
                (hi[i], lo[i]) = affine.apply(data[i]);
            }
        }
        (hi, lo)
    }

    /// w; one below zero counts as 0. 0 where there is none.
    #[inline(always)]
    pub(in crate::kernels::stack) fn variance(&self, frame: usize) -> Row<f64> {
        let mut w = [0.0; BLOCK];
        if !self.cube.variance.is_empty() {
            let variance = block(&self.cube.variance, self.at(frame));
            let square = self.affine[frame].scale * self.affine[frame].scale;
            for i in 0..BLOCK {
                let v = variance[i].to_f64();
                w[i] = if v > 0.0 { v * square } else { 0.0 };
            }
        }
        w
    }
}

/// Sums: of f32 samples in f64, of f64 samples with what each addition lost.
pub(super) struct Sums {
    pub hi: Row<f64>,
    pub lo: Row<f64>,
}

impl Sums {
    #[inline(always)]
    pub(super) fn zero() -> Self {
        Sums { hi: [0.0; BLOCK], lo: [0.0; BLOCK] }
    }

    #[inline(always)]
    pub(super) fn add<T: Real>(&mut self, i: usize, x: f64) {
        accumulate::<T>(&mut self.hi[i], &mut self.lo[i], x);
    }

    #[inline(always)]
    pub(super) fn total(&self, i: usize) -> f64 {
        self.hi[i] + self.lo[i]
    }
}
