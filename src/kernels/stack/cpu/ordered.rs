//! Medians, and means of what sigma clipping leaves, straight from stored bytes: frame after frame, samples go to sums as in
//! `stream.rs`, and what orders them to rows. The sums are right wherever nothing is rejected, which is mostly; where something
//! is, that pixel alone is summed again from the bytes. It comes to what the rules in their order come to, bit for bit; blocks
//! with a pixel that has no sample of the first level, or with many pixels to be summed again, are left to those.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use super::Pixels;
use super::combine::share;
use super::samples::BLOCK;
use super::stream::{Bytes, Form, Sums};
use crate::dtype::DType;
use crate::kernels::stack::order::{Column, GROUP, Key, sort};
use crate::kernels::stack::sigclip::{Left, narrow_single};
use crate::kernels::stack::{Affine, Clip, Combine, Errors, Flavour, Levels, Method, Out, Reject};
use crate::real::Real;
use crate::simd::{Loop, dispatch};

/// Up to so many frames a whole block is sorted at once; beyond, what is sorted would leave the first-level cache.
const FRAMES_OF_BLOCK: usize = 64;
/// With more pixels than this to be summed again a block is better left to the rules in their order.
const MOST_AGAIN: usize = BLOCK / 2;

/// Whether a run is of this kind, but for what its frames have.
pub(crate) fn fits<T: Real>(method: &Method) -> bool {
    let kinds = match method.reject {
        Reject::None => method.combine.is_median(),
        Reject::SigClip(_) => method.combine.is_median() || matches!(method.combine, Combine::Mean | Combine::Sum),
        _ => false,
    };
    T::DTYPE == DType::F32 && method.flavour == Flavour::Stable && method.errors == Errors::Propagated && kinds
}

/// What is in order of a block; reused, so that nothing is allocated per piece.
#[derive(Default)]
pub(crate) struct Room {
    rows: Vec<Key>,
    factors: Vec<f64>,
}

impl Room {
    /// Bytes for pieces of so many pixels, with those that [`Sums`] has for order.
    pub(crate) fn bytes(frames: usize, pixels: usize) -> usize {
        frames * (4 * (pixels + BLOCK) + size_of::<f64>())
    }
}

/// Frames on their way to their result.
pub(crate) struct Ordered<'a, T, F> {
    /// The bytes of a frame.
    pub frame: F,
    pub form: Form,
    pub method: &'a Method,
    /// One per frame.
    pub affine: &'a [Affine],
    pub levels: &'a Levels,
    pub sums: &'a mut Sums,
    pub room: &'a mut Room,
    pub out: Out<'a, T>,
}

/// The results of a piece. What is left over is in `sums.rest`, and was not written.
pub(crate) fn ordered<'b, T: Real, F: Fn(usize) -> Bytes<'b>>(ordered: Ordered<'_, T, F>) {
    dispatch(ordered);
}

impl<'b, T: Real, F: Fn(usize) -> Bytes<'b>> Loop for Ordered<'_, T, F> {
    #[inline(always)]
    fn run(self) {
        let Ordered { frame, form, method, affine, levels, sums, room, mut out } = self;
        let (n, frames) = (out.data.len(), affine.len());
        // Once: pixels that are summed again go to all of them.
        let planes: Vec<Bytes<'b>> = (0..frames).map(frame).collect();
        let negative = sums.take::<true>(n, |f| planes[f], form, affine, levels);
        if room.factors.len() != frames + 1 {
            room.factors = (0..=frames).map(method.combine.factor()).collect();
        }
        let width = if frames <= FRAMES_OF_BLOCK { BLOCK } else { GROUP };
        room.rows.resize(frames * width, Key(<f32 as Real>::TOP));
        let clip = match &method.reject {
            Reject::SigClip(clip) => Some(clip),
            _ => None,
        };
        let mut pixels = Pixels::default();
        for start in (0..n).step_by(BLOCK) {
            let block = start..n.min(start + BLOCK);
            if !sums.is_good(block.clone(), negative) {
                sums.rest.push(start);
                continue;
            }
            let mut again = Again::default();
            for part in (0..BLOCK).step_by(width) {
                sums.order(start + part, width, &mut room.rows);
                for from in (0..width).step_by(GROUP) {
                    let column = Column::new(&room.rows[from..], width);
                    pixels.of_order(column, clip, method, sums, (start, part + from), &mut again);
                }
            }
            if again.len > MOST_AGAIN {
                sums.rest.push(start);
                continue;
            }
            for &(i, first, last) in &again.pixels[..again.len] {
                pixels.sum_again((i, start + i), first..=last, method, affine, sums, (&planes, form));
            }
            pixels.finish(method, &room.factors);
            pixels.store(start, &mut out);
        }
    }
}

/// Pixels of a block that are to be summed again, as many as there may be: which, and what the first and the last that is
/// left of each is ordered by.
struct Again {
    pixels: [(usize, i32, i32); MOST_AGAIN],
    len: usize,
}

impl Default for Again {
    #[inline(always)]
    fn default() -> Self {
        Again { pixels: [(0, 0, 0); MOST_AGAIN], len: 0 }
    }
}

impl Again {
    /// One more; beyond the most they are only counted.
    #[inline(always)]
    fn push(&mut self, pixel: (usize, i32, i32)) {
        if let Some(place) = self.pixels.get_mut(self.len) {
            *place = pixel;
        }
        self.len += 1;
    }
}

impl Sums {
    /// Puts what orders so many pixels of a piece in order.
    #[inline(always)]
    fn order(&self, start: usize, width: usize, rows: &mut [Key]) {
        for (row, from) in rows.chunks_exact_mut(width).zip(self.keys.chunks_exact(self.stride)) {
            for (row, from) in row.as_chunks_mut::<GROUP>().0.iter_mut().zip(from[start..].as_chunks::<GROUP>().0) {
                *row = from.map(Key);
            }
        }
        let frames = rows.len() / width;
        sort::<_, GROUP>(bytemuck::cast_slice_mut::<_, i32>(rows), frames, width);
    }
}

impl Pixels {
    /// What is left of a group of pixels in order, and what all their samples of the first level come to. Says where
    /// those are not the same.
    #[inline(always)]
    fn of_order(
        &mut self,
        column: Column<'_, Key>,
        clip: Option<&Clip>,
        method: &Method,
        sums: &Sums,
        (start, from): (usize, usize),
        again: &mut Again,
    ) {
        let mut n = [0u32; GROUP];
        n.copy_from_slice(&sums.good[start + from..][..GROUP]);
        let mut left = Left { lo: [0.0; GROUP], hi: [0.0; GROUP] };
        for i in 0..GROUP {
            left.hi[i] = f64::from(n[i]);
        }
        if let Some(clip) = clip {
            left = narrow_single(column, clip, left);
        }
        if method.combine.is_median() {
            let (value, _) = column.middles(&left.lo, &left.hi, method.combine == Combine::LMedian);
            self.value[from..from + GROUP].copy_from_slice(&value);
        } else {
            self.value[from..from + GROUP].copy_from_slice(&sums.sum[start + from..][..GROUP]);
        }
        let mut fewer = [0u32; GROUP];
        let mut any = 0;
        for i in 0..GROUP {
            let (lo, hi) = (left.lo[i] as u32, left.hi[i] as u32);
            fewer[i] = n[i] - (hi - lo);
            any |= fewer[i];
            (self.low[from + i], self.high[from + i], self.good[from + i]) = (lo, n[i] - hi, hi - lo);
        }
        self.variance[from..from + GROUP].copy_from_slice(&sums.sum2[start + from..][..GROUP]);
        self.mask[from..from + GROUP].copy_from_slice(&sums.mask[start + from..][..GROUP]);
        if any != 0 {
            for i in 0..GROUP {
                if fewer[i] != 0 {
                    let (first, last) = (column.at(left.lo[i] as u32, i), column.at(left.hi[i] as u32 - 1, i));
                    again.push((from + i, first.0, last.0));
                }
            }
        }
    }

    /// Sums what is left of a pixel of the block, which is that one of the piece.
    #[inline(always)]
    fn sum_again(
        &mut self,
        (pixel, at): (usize, usize),
        left: std::ops::RangeInclusive<i32>,
        method: &Method,
        affine: &[Affine],
        sums: &Sums,
        (planes, form): (&[Bytes<'_>], Form),
    ) {
        let (mut sum, mut sum2, mut mask) = (0f64, 0f64, 0);
        for (f, affine) in affine.iter().enumerate() {
            let key = sums.keys[f * sums.stride + at];
            if !left.contains(&key) {
                continue;
            }
            let (d, v, flags) = form.of_pixel(planes[f], at);
            sum += affine.apply(d).0;
            if v > 0.0 {
                sum2 += f64::from(v) * (affine.scale * affine.scale);
            }
            mask |= flags;
        }
        if !method.combine.is_median() {
            self.value[pixel] = sum;
        }
        (self.variance[pixel], self.mask[pixel]) = (sum2, mask);
    }

    /// From sums to results.
    #[inline(always)]
    fn finish(&mut self, method: &Method, factors: &[f64]) {
        for i in 0..BLOCK {
            self.weight[i] = f64::from(self.good[i]);
        }
        if method.combine == Combine::Sum {
            return;
        }
        let mut factor = [1.0; BLOCK];
        if method.combine.is_median() {
            for i in 0..BLOCK {
                factor[i] = factors[self.good[i] as usize];
            }
        } else {
            for i in 0..BLOCK {
                self.value[i] = share(self.value[i], self.weight[i]);
            }
        }
        for i in 0..BLOCK {
            self.variance[i] = factor[i] * share(self.variance[i], self.weight[i] * self.weight[i]);
        }
    }
}
