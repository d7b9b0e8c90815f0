//! The samples of a block in order: a sorting network, whose comparisons do not depend on the samples, so that each is
//! one of minimum and maximum over many pixels at once.
//!
//! What is compared are integers in the order of the numbers ([`Real::Key`]). Of two floating-point numbers LLVM writes
//! minimum and maximum to their places as a choice, stored under a mask, which takes ten times as long on many processors.

use super::clip::Range;
use super::cpu::{BLOCK, Row, Samples};
use super::network::{Round, rounds};
use crate::real::Real;

/// Pixels that are looked at together in order: a cache line of f32.
pub(super) const GROUP: usize = 16;
/// Up to so many frames a whole block is sorted at once; beyond, a group after the other, so that what is sorted stays in
/// the first-level cache.
const FRAMES_OF_BLOCK: usize = 64;

/// Samples in columns; in each those that are used come first, from small to large.
pub(super) struct Order<T> {
    /// `frames` rows of `width` pixels, for each part of a block; while they are sorted they are keys.
    rows: Vec<T>,
    frames: usize,
    width: usize,
    /// The samples of one pixel.
    spare: Vec<T>,
}

impl<T> Default for Order<T> {
    fn default() -> Self {
        Order { rows: Vec::new(), frames: 0, width: GROUP, spare: Vec::new() }
    }
}

/// The samples of a group in order.
#[derive(Clone, Copy)]
pub(super) struct Column<'a, T> {
    rows: &'a [T],
    width: usize,
}

impl<'a, T: Real> Column<'a, T> {
    /// The k-th smallest of each pixel.
    #[inline(always)]
    pub(super) fn row(self, k: usize) -> &'a [T; GROUP] {
        self.rows[k * self.width..].first_chunk().unwrap_or_else(|| unreachable!("a row is of whole groups"))
    }

    /// The k-th smallest of one; any number if there is none.
    #[inline(always)]
    pub(super) fn at(self, k: u32, pixel: usize) -> T {
        let at = k as usize * self.width + pixel;
        self.rows[at.min(self.rows.len() - 1)]
    }

    /// The median of places `lo..hi` of a pixel, or the lower of the two middle samples, and what its rounding lost.
    #[inline(always)]
    pub(super) fn middle(self, lo: u32, hi: u32, lower: bool, pixel: usize) -> (f64, f64) {
        let last = hi.max(lo + 1) - 1;
        let a = self.at(lo + (last - lo) / 2, pixel).to_f64();
        let b = self.at(hi.max(lo + 1) - 1 - (last - lo) / 2, pixel).to_f64();
        let (mean, rest) = midpoint(a, b);
        let (none, one) = (hi <= lo, lower | ((hi.wrapping_sub(lo)) & 1 == 1));
        let value = if one { a } else { mean };
        (if none { 0.0 } else { value }, if none | one { 0.0 } else { rest })
    }
}

impl<T: Real> Order<T> {
    /// Room for so many frames.
    pub(super) fn prepare(&mut self, frames: usize) {
        self.frames = frames;
        self.width = if frames <= FRAMES_OF_BLOCK { BLOCK } else { GROUP };
        self.rows.resize(frames * BLOCK, T::from_f32(0.0));
    }

    /// Takes the used samples and puts them in order. Returns where they are.
    #[inline(always)]
    pub(super) fn fill(&mut self, samples: &Samples<'_, T>, used: &[Row<u32>]) -> Range {
        let (frames, width) = (self.frames, self.width);
        let rows: &mut [T::Key] = bytemuck::cast_slice_mut(&mut self.rows);
        let mut count = [0; BLOCK];
        let mut own = [T::from_f32(0.0); BLOCK];
        for (f, used) in used.iter().enumerate() {
            let (key, _) = samples.key(f, &mut own).as_chunks::<GROUP>();
            for i in 0..BLOCK {
                count[i] += used[i] & 1;
            }
            for (g, (key, used)) in key.iter().zip(used.as_chunks::<GROUP>().0).enumerate() {
                let part = g * GROUP / width * width;
                let at = part * frames + f * width + (g * GROUP - part);
                // By value: places that may overlap, LLVM goes to one by one.
                let (key, used) = (*key, *used);
                let mut row = [T::TOP; GROUP];
                for l in 0..GROUP {
                    row[l] = if used[l] != 0 { key[l].to_key() } else { T::TOP };
                }
                if let Some(to) = rows[at..].first_chunk_mut::<GROUP>() {
                    *to = row;
                }
            }
        }
        for part in rows.chunks_exact_mut((frames * width).max(1)) {
            sort(part, frames, width);
        }
        for key in &mut self.rows {
            *key = T::from_key(bytemuck::cast(*key));
        }
        Range { lo: [0; BLOCK], hi: count }
    }

    /// The samples of the group of pixels that begins with this one.
    #[inline(always)]
    pub(super) fn column(&self, start: usize) -> Column<'_, T> {
        let part = start / self.width * self.width;
        Column { rows: &self.rows[part * self.frames..][..self.frames * self.width][start - part..], width: self.width }
    }

    /// The k-th smallest of a pixel; any number if there is none.
    #[inline(always)]
    pub(super) fn at(&self, k: u32, pixel: usize) -> T {
        self.column(pixel / GROUP * GROUP).at(k, pixel % GROUP)
    }

    /// Puts the used samples of one pixel in order anew. Returns where they are.
    pub(super) fn again(&mut self, samples: &Samples<'_, T>, used: &[Row<u32>], pixel: usize) -> (u32, u32) {
        let Order { rows, frames, width, spare } = self;
        spare.clear();
        for (f, used) in used.iter().enumerate() {
            if used[pixel] != 0 {
                spare.push(samples.keys::<1>(f, pixel)[0]);
            }
        }
        spare.sort_unstable_by_key(|x| x.to_key());
        let part = pixel / *width * *width;
        for (k, x) in spare.iter().enumerate() {
            rows[part * *frames + k * *width + pixel - part] = *x;
        }
        (0, spare.len() as u32)
    }

    /// The smallest and the largest in the range; nothing lies between them if it is empty.
    #[inline(always)]
    pub(super) fn ends(&self, range: &Range) -> (Row<T>, Row<T>) {
        let mut ends = ([T::from_f32(f32::INFINITY); BLOCK], [T::from_f32(f32::NEG_INFINITY); BLOCK]);
        for start in (0..BLOCK).step_by(GROUP) {
            let column = self.column(start);
            for i in 0..GROUP {
                let (lo, hi) = (range.lo[start + i], range.hi[start + i]);
                let (first, last) = (column.at(lo, i), column.at(hi.max(1) - 1, i));
                ends.0[start + i] = if hi > lo { first } else { ends.0[start + i] };
                ends.1[start + i] = if hi > lo { last } else { ends.1[start + i] };
            }
        }
        ends
    }

    /// The median of the range, or the lower of the two middle samples.
    #[inline(always)]
    pub(super) fn middles(&self, range: &Range, lower: bool, to: &mut Row<f64>) {
        for start in (0..BLOCK).step_by(GROUP) {
            let column = self.column(start);
            for i in 0..GROUP {
                let (hi, lo) = column.middle(range.lo[start + i], range.hi[start + i], lower, i);
                to[start + i] = hi + lo;
            }
        }
    }
}

/// The mean of two samples, and what its rounding lost.
#[inline(always)]
pub(crate) fn midpoint(a: f64, b: f64) -> (f64, f64) {
    let (a, b) = (a / 2.0, b / 2.0);
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}

/// Sorts each of `width` columns of `n` keys.
#[inline(always)]
fn sort<K: Ord + Copy>(keys: &mut [K], n: usize, width: usize) {
    for Round { p, r, d } in rounds(n) {
        // p neighbours are compared with p others at a time.
        for i in (r..n.saturating_sub(d)).step_by(2 * p) {
            let len = p.min(n - d - i) * width;
            let (before, from) = keys.split_at_mut((i + d) * width);
            let (small, large) = (&mut before[i * width..][..len], &mut from[..len]);
            for (a, b) in small.as_chunks_mut::<GROUP>().0.iter_mut().zip(large.as_chunks_mut::<GROUP>().0) {
                let (x, y) = (*a, *b);
                let (mut lesser, mut greater) = (x, y);
                for l in 0..GROUP {
                    lesser[l] = x[l].min(y[l]);
                    greater[l] = x[l].max(y[l]);
                }
                (*a, *b) = (lesser, greater);
            }
        }
    }
}
