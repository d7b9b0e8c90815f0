//! Medians, and means of what sigma clipping leaves, straight from stored bytes: frame after frame, samples go to sums as in
//! `stream.rs`, and what orders them to rows. The sums are right wherever nothing is rejected, which is mostly. Pixels where
//! something may be are set aside, and clipped side by side when there are enough of them; where something is, that pixel
//! alone is summed again from the bytes. It comes to what the rules in their order come to, bit for bit; blocks with a pixel
//! that has no sample of the first level are left to those, and so is the rest of an image where most pixels are summed again.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use super::Pixels;
use super::combine::share;
use super::samples::BLOCK;
use super::stream::{Bytes, Form, Stream, Sums};
use crate::dtype::DType;
use crate::kernels::stack::clip::Lanes;
use crate::kernels::stack::left::Left;
use crate::kernels::stack::network::{Step, selection};
use crate::kernels::stack::order::{Column, GROUP, Key, select, sort};
use crate::kernels::stack::sigclip::narrow;
use crate::kernels::stack::{Affine, Clip, Combine, Errors, Flavour, Keep, Method, Out, Reject};
use crate::real::Real;
use crate::simd::{Loop, dispatch};

/// Up to so many frames a whole block is sorted at once; beyond, what is sorted would leave the first-level cache.
const FRAMES_OF_BLOCK: usize = 64;
/// With more pixels than this in doubt a group is clipped where it is.
const FEW: u32 = 4;

/// Whether a run is of this kind, but for what its frames have.
pub(crate) fn fits<T: Real>(method: &Method) -> bool {
    let kinds = match method.reject {
        Reject::None => method.combine.is_median(),
        Reject::SigClip(_) => method.combine.is_median() || matches!(method.combine, Combine::Mean | Combine::Sum),
        _ => false,
    };
    let plain = method.flavour == Flavour::Stable && method.keep == Keep::default() && !method.uneven;
    T::DTYPE == DType::F32 && plain && method.errors == Errors::Propagated && kinds
}

/// What is in order of a block; reused, so that nothing is allocated per piece.
#[derive(Default)]
pub(crate) struct Room {
    rows: Vec<Key>,
    aside: Aside,
    factors: Vec<f64>,
    medians: Medians,
}

/// Steps that put the middles of so many frames in their place, by the least place that is one.
#[derive(Default)]
struct Medians {
    frames: usize,
    of: Vec<Option<Vec<Step>>>,
}

impl Medians {
    /// For pixels with so many samples each.
    fn steps(&mut self, good: &[u32]) -> &[Step] {
        let fewest = good.iter().fold(u32::MAX, |fewest, &n| fewest.min(n)).max(1) as usize;
        let (first, last) = ((fewest - 1) / 2, self.frames / 2);
        self.of[first].get_or_insert_with(|| selection(self.frames, first..=last))
    }
}

/// Pixels in doubt, set aside: their samples in order, one pixel a lane.
#[derive(Default)]
struct Aside {
    rows: Vec<Key>,
    /// Which of the piece they are.
    pixels: [usize; GROUP],
    /// How many samples each has.
    n: Lanes,
    len: usize,
}

impl Room {
    /// Bytes for pieces of so many pixels, with those that [`Sums`] has for order.
    pub(crate) fn bytes(frames: usize, pixels: usize) -> usize {
        frames * (4 * (pixels + BLOCK + GROUP) + size_of::<f64>())
    }
}

/// Frames on their way to their result.
pub(crate) struct Ordered<'a> {
    pub stream: Stream<'a>,
    pub room: &'a mut Room,
}

/// The results of a piece. What is left over is in `sums.rest`, and was not written.
pub(crate) fn ordered(ordered: Ordered<'_>) {
    dispatch(ordered);
}

impl Loop for Ordered<'_> {
    #[inline(always)]
    fn run(self) {
        let Ordered { stream, room } = self;
        let Stream { frame, form, method, affine, levels, sums, mut out } = stream;
        let (n, frames) = (out.data.len(), affine.len());
        // Once: pixels that are summed again go to all of them.
        let planes: Vec<Bytes<'_>> = (0..frames).map(frame).collect();
        // The value of a median is no sum.
        let negative = if method.combine.is_median() {
            sums.take::<false, true>(n, |f| planes[f], form, affine, levels)
        } else {
            sums.take::<true, true>(n, |f| planes[f], form, affine, levels)
        };
        let Room { rows, aside, factors, medians } = room;
        if factors.len() != frames + 1 {
            *factors = method.combine.factors(frames);
        }
        let width = if frames <= FRAMES_OF_BLOCK { BLOCK } else { GROUP };
        aside.rows.resize(frames * GROUP, Key(<f32 as Real>::TOP));
        let clip = match &method.reject {
            Reject::SigClip(clip) => Some(clip),
            _ => None,
        };
        if medians.frames != frames {
            *medians = Medians { frames, of: vec![None; frames / 2 + 1] };
        }
        // Without a clipping nobody wants the samples in the order of the frames again.
        let in_place = clip.is_none() && width == BLOCK;
        rows.resize(if in_place { 0 } else { frames * width }, Key(<f32 as Real>::TOP));
        let mut pixels = Pixels::default();
        let mut again = Vec::with_capacity(BLOCK);
        let task = Finish { method, affine, factors, planes: &planes, form };
        for start in (0..n).step_by(BLOCK) {
            let block = start..n.min(start + BLOCK);
            if !sums.is_good(block.clone(), negative) {
                sums.rest.push(start);
                continue;
            }
            let steps = clip.is_none().then(|| medians.steps(&sums.good[block.clone()]));
            for part in (0..BLOCK).step_by(width) {
                sums.order(start + part, (frames, width), rows, steps);
                let rows = if in_place { sums.in_place(frames, start) } else { &rows[..] };
                for from in (0..width).step_by(GROUP) {
                    let column = Column::new(&rows[from..], width);
                    let at = part + from;
                    let all = pixels.of_order(column, method, sums, (start, at));
                    if let Some(clip) = clip {
                        aside.look(column, clip, all, start + at..n.min(start + at + GROUP), &mut again);
                    }
                }
            }
            pixels.finish(method, factors);
            pixels.store(start, &mut out);
            task.again(sums, &mut again, &mut out);
        }
        if let Some(clip) = clip {
            aside.clip(clip, &mut again);
            task.again(sums, &mut again, &mut out);
        }
    }
}

/// What is left of a pixel of the piece of whose samples some are out: places in order, of `n`, and what the first and the
/// last of them is ordered by.
struct Rejected {
    pixel: usize,
    n: u32,
    lo: u32,
    hi: u32,
    keys: std::ops::RangeInclusive<i32>,
    middle: [f64; 2],
}

impl Aside {
    /// Clips a group: where it is if much of it is in doubt, else sets aside what is.
    #[inline(always)]
    fn look(
        &mut self,
        column: Column<'_, Key>,
        clip: &Clip,
        all: Left,
        pixels: std::ops::Range<usize>,
        again: &mut Vec<Rejected>,
    ) {
        let doubt = if clip.mclip { all.doubt(column, clip) } else { u32::MAX };
        let doubt = doubt & ((1 << pixels.len()) - 1);
        if doubt.count_ones() > FEW {
            let left = narrow(column, clip, all).left;
            for (i, pixel) in pixels.enumerate() {
                again.extend(Rejected::of(column, i, pixel, all.hi[i], &left));
            }
            return;
        }
        let frames = self.rows.len() / GROUP;
        for i in (0..GROUP).filter(|i| doubt >> i & 1 == 1) {
            if self.len == GROUP {
                self.clip(clip, again);
            }
            for k in 0..frames {
                self.rows[k * GROUP + self.len] = column.row(k)[i];
            }
            (self.pixels[self.len], self.n[self.len]) = (pixels.start + i, all.hi[i]);
            self.len += 1;
        }
    }

    /// Clips those that were set aside.
    #[inline(always)]
    fn clip(&mut self, clip: &Clip, again: &mut Vec<Rejected>) {
        if self.len == 0 {
            return;
        }
        let column = Column::new(&self.rows, GROUP);
        let left = narrow(column, clip, Left { lo: [0.0; GROUP], hi: self.n }).left;
        for i in 0..self.len {
            again.extend(Rejected::of(column, i, self.pixels[i], self.n[i], &left));
        }
        self.len = 0;
    }
}

impl Rejected {
    /// Of the i-th pixel of a group, if anything is out.
    #[inline(always)]
    fn of(column: Column<'_, Key>, i: usize, pixel: usize, n: f64, left: &Left) -> Option<Self> {
        let (lo, hi, n) = (left.lo[i] as u32, left.hi[i] as u32, n as u32);
        let middle = [true, false].map(|lower| column.middle(lo, hi, lower, i).0);
        let keys = column.at(lo, i).0..=column.at(hi.max(1) - 1, i).0;
        (hi - lo < n).then_some(Rejected { pixel, n, lo, hi, keys, middle })
    }
}

/// What pixels are finished with.
struct Finish<'a> {
    method: &'a Method,
    affine: &'a [Affine],
    factors: &'a [f64],
    planes: &'a [Bytes<'a>],
    form: Form,
}

impl Finish<'_> {
    /// Sums what is left of these pixels, and writes what it comes to over what was there.
    #[inline(always)]
    fn again(&self, sums: &mut Sums, pixels: &mut Vec<Rejected>, out: &mut Out<'_, f32>) {
        sums.again += pixels.len();
        for left in pixels.drain(..) {
            let (sum, sum2, mask) = self.sums(&left, sums);
            let count = left.hi - left.lo;
            let n = f64::from(count);
            let (value, variance) = match self.method.combine {
                Combine::Sum => (sum, sum2),
                Combine::Median | Combine::LMedian => {
                    let middle = left.middle[usize::from(self.method.combine == Combine::Median)];
                    (middle, self.factors[count as usize] * share(sum2, n * n))
                }
                _ => (share(sum, n), share(sum2, n * n)),
            };
            let at = left.pixel;
            let reals = [(&mut *out.data, value), (&mut *out.variance, variance), (&mut *out.weight, n)];
            for (to, value) in reals {
                if let Some(to) = to.get_mut(at) {
                    *to = value as f32;
                }
            }
            let (low, high) = (left.lo, left.n - left.hi);
            let words = [
                (&mut *out.mask, mask),
                (&mut *out.good, count),
                (&mut *out.low, low),
                (&mut *out.high, high),
                (&mut *out.rejected, low + high),
            ];
            for (to, word) in words {
                if let Some(to) = to.get_mut(at) {
                    *to = word;
                }
            }
            out.tally.rejected += u64::from(low + high);
        }
    }

    /// The sums of values and of variances, and the mask.
    #[inline(always)]
    fn sums(&self, left: &Rejected, sums: &Sums) -> (f64, f64, u32) {
        let (mut sum, mut sum2, mut mask) = (0f64, 0f64, 0);
        for (f, affine) in self.affine.iter().enumerate() {
            if !left.keys.contains(&sums.keys[Sums::place(self.affine.len(), f, left.pixel)]) {
                continue;
            }
            let (d, v, flags) = self.form.of_pixel(self.planes[f], left.pixel);
            sum += affine.apply(d).0;
            if v > 0.0 {
                sum2 += f64::from(v) * (affine.scale * affine.scale);
            }
            mask |= flags;
        }
        (sum, sum2, mask)
    }
}

impl Sums {
    /// What orders the samples of a block, where it is.
    #[inline(always)]
    fn in_place(&self, frames: usize, start: usize) -> &[Key] {
        bytemuck::cast_slice(&self.keys[Sums::place(frames, 0, start)..][..frames * BLOCK])
    }

    /// Puts what orders so many pixels of a piece in order, or takes it through the steps; in place where there are no rows.
    #[inline(always)]
    fn order(&mut self, start: usize, (frames, width): (usize, usize), rows: &mut [Key], steps: Option<&[Step]>) {
        let of_block = &mut self.keys[Sums::place(frames, 0, start / BLOCK * BLOCK)..][..frames * BLOCK];
        for (row, from) in rows.chunks_exact_mut(width).zip(of_block.chunks_exact(BLOCK)) {
            let from = &from[start % BLOCK..];
            for (row, from) in row.as_chunks_mut::<GROUP>().0.iter_mut().zip(from.as_chunks::<GROUP>().0) {
                *row = from.map(Key);
            }
        }
        let keys = if rows.is_empty() { of_block } else { bytemuck::cast_slice_mut(rows) };
        match steps {
            Some(steps) => select::<_, GROUP>(keys, width, steps),
            None => sort::<_, GROUP>(keys, frames, width),
        }
    }
}

impl Pixels {
    /// What all samples of the first level of a group of pixels come to, and how many there are.
    #[inline(always)]
    fn of_order(
        &mut self,
        column: Column<'_, Key>,
        method: &Method,
        sums: &Sums,
        (start, from): (usize, usize),
    ) -> Left {
        let group = from..from + GROUP;
        self.good[group.clone()].copy_from_slice(&sums.good[start + from..][..GROUP]);
        self.variance[group.clone()].copy_from_slice(&sums.sum2[start + from..][..GROUP]);
        self.mask[group.clone()].copy_from_slice(&sums.mask[start + from..][..GROUP]);
        let mut all = Left { lo: [0.0; GROUP], hi: [0.0; GROUP] };
        for i in 0..GROUP {
            all.hi[i] = f64::from(self.good[from + i]);
        }
        if method.combine.is_median() {
            let (value, _) = column.middles(&all.lo, &all.hi, method.combine == Combine::LMedian);
            self.value[group].copy_from_slice(&value);
        } else {
            self.value[group].copy_from_slice(&sums.sum[start + from..][..GROUP]);
        }
        all
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
