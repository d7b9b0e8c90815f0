//! The samples of a block in order: a sorting network, whose comparisons do not depend on the samples, so that each is
//! one of minimum and maximum over many pixels at once.
//!
//! What is compared are integers in the order of the numbers ([`Real::Key`]). Of two floating-point numbers LLVM writes
//! minimum and maximum to their places as a choice, stored under a mask, which takes ten times as long on many processors.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use std::ops::Range as Places;

use super::clip::{Range, all, choose};
use super::cpu::{BLOCK, Row, Samples, all_if, part};
use super::limits::between;
use super::network::{Round, Step, Wants, rounds};
use crate::real::Real;

/// Pixels that are looked at together in order: a cache line of f32.
pub(super) const GROUP: usize = 16;
/// Up to so many frames a whole block is sorted at once; beyond, a group after the other, so that what is sorted stays in
/// the first-level cache.
const FRAMES_OF_BLOCK: usize = 64;
/// Up to so many rows apart, the middles of a group are chosen from the rows between.
const FEW: usize = 8;
/// f64 from here on are whole numbers.
const WHOLE: f64 = (1u64 << 52) as f64;

/// Samples in columns; in each those that are used come first, from small to large.
pub(super) struct Order<T> {
    /// `frames` rows of `width` pixels, for each part of a block; while they are sorted they are keys.
    rows: Vec<T>,
    frames: usize,
    width: usize,
    /// The samples of one pixel.
    spare: Vec<T>,
    /// Those that are left of one, and how many equal ones were met.
    there: Vec<(T, u32)>,
}

impl<T> Default for Order<T> {
    fn default() -> Self {
        Order { rows: Vec::new(), frames: 0, width: GROUP, spare: Vec::new(), there: Vec::new() }
    }
}

/// A sample as it lies in order.
pub(super) trait Ordered: Copy + 'static {
    /// Whether sums of squares of differences are exact in f64.
    const EXACT: bool;
    fn number(self) -> f64;
    /// The same; rounded, if it is no number of f32.
    #[inline(always)]
    fn single(self) -> f32 {
        self.number() as f32
    }
}

impl<T: Real> Ordered for T {
    const EXACT: bool = false;
    #[inline(always)]
    fn number(self) -> f64 {
        self.to_f64()
    }
}

/// What orders a sample, in its place.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub(super) struct Key(pub i32);

impl Ordered for Key {
    const EXACT: bool = false;
    #[inline(always)]
    fn number(self) -> f64 {
        f32::from_key(self.0).to_f64()
    }
    #[inline(always)]
    fn single(self) -> f32 {
        f32::from_key(self.0)
    }
}

impl Ordered for u16 {
    const EXACT: bool = true;
    #[inline(always)]
    fn number(self) -> f64 {
        f64::from(self)
    }
}

/// The samples of a group in order: rows of `width` pixels, of which the first few are the group's.
#[derive(Clone, Copy)]
pub(super) struct Column<'a, K> {
    rows: &'a [K],
    width: usize,
}

impl<'a, K: Ordered> Column<'a, K> {
    pub(super) fn new(rows: &'a [K], width: usize) -> Self {
        Column { rows, width }
    }

    /// How many rows there are.
    #[inline(always)]
    pub(super) fn len(self) -> usize {
        self.rows.len().div_ceil(self.width)
    }

    /// The k-th smallest of each pixel.
    #[inline(always)]
    pub(super) fn row(self, k: usize) -> &'a [K; GROUP] {
        self.rows[k * self.width..].first_chunk().unwrap_or_else(|| unreachable!("a row is of whole groups"))
    }

    /// The k-th smallest of one; any number if there is none.
    #[inline(always)]
    pub(super) fn at(self, k: u32, pixel: usize) -> K {
        let at = k as usize * self.width + pixel;
        self.rows[at.min(self.rows.len() - 1)]
    }

    /// The medians of places `lo..hi` of all pixels, or the lower of the two middle samples, and what their rounding lost.
    #[inline(always)]
    pub(super) fn middles(self, lo: &[f64; GROUP], hi: &[f64; GROUP], lower: bool) -> ([f64; GROUP], [f64; GROUP]) {
        let (mut value, mut rest) = ([0f64; GROUP], [0f64; GROUP]);
        let (mut first, mut second) = ([0f64; GROUP], [0f64; GROUP]);
        let (mut least, mut most) = (i64::MAX, 0);
        for i in 0..GROUP {
            let last = if hi[i] > lo[i] { hi[i] - 1.0 } else { lo[i] };
            // Half of it, without what is behind the point: these numbers have no room for that.
            let half = (0.5 * (last - lo[i]) - 0.25 + WHOLE) - WHOLE;
            (first[i], second[i]) = (lo[i] + half, last - half);
            least = least.min(first[i].to_bits().cast_signed());
            most = most.max(second[i].to_bits().cast_signed());
        }
        let [least, most] = [least, most].map(|bits| f64::from_bits(bits.cast_unsigned()) as usize);
        if most - least > FEW {
            for i in 0..GROUP {
                (value[i], rest[i]) = self.middle(lo[i] as u32, hi[i] as u32, lower, i);
            }
            return (value, rest);
        }
        // Mostly they are in few rows, and choosing from those is faster than going to each.
        let (mut a, mut b) = ([0f64; GROUP], [0f64; GROUP]);
        let frames = self.len();
        for k in least..=most {
            let (row, place) = (*self.row(k.min(frames - 1)), k as f64);
            let (before_a, before_b) = (a, b);
            for i in 0..GROUP {
                let x = row[i].number();
                a[i] = choose(all(first[i] == place), x, before_a[i]);
                b[i] = choose(all(second[i] == place), x, before_b[i]);
            }
        }
        for i in 0..GROUP {
            let (mean, lost) = midpoint(a[i], b[i]);
            let (none, one) = (all(hi[i] <= lo[i]), all(lower | (first[i] == second[i])));
            value[i] = choose(none, 0.0, choose(one, a[i], mean));
            rest[i] = choose(none | one, 0.0, lost);
        }
        (value, rest)
    }

    /// The median of places `lo..hi` of a pixel, or the lower of the two middle samples, and what its rounding lost.
    #[inline(always)]
    pub(super) fn middle(self, lo: u32, hi: u32, lower: bool, pixel: usize) -> (f64, f64) {
        let last = hi.max(lo + 1) - 1;
        let a = self.at(lo + (last - lo) / 2, pixel).number();
        let b = self.at(hi.max(lo + 1) - 1 - (last - lo) / 2, pixel).number();
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
            sort::<_, GROUP>(part, frames, width);
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
        let Order { rows, frames, width, spare, .. } = self;
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

    /// Takes samples out of these places of a pixel; what stays, by its place and value, closes up. Returns where it ends.
    #[inline(always)]
    pub(super) fn sift(&mut self, pixel: usize, places: Places<u32>, mut stays: impl FnMut(u32, f64) -> bool) -> u32 {
        let part = pixel / self.width * self.width;
        let column = &mut self.rows[part * self.frames + pixel - part..];
        let mut end = places.start;
        for place in places {
            let y = column[place as usize * self.width];
            if stays(place, y.to_f64()) {
                column[end as usize * self.width] = y;
                end += 1;
            }
        }
        end
    }

    /// `left` become, for one pixel, the words `used` of the samples at these places; of equal ones those of the first frames.
    pub(super) fn look_up(
        &mut self,
        samples: &Samples<'_, T>,
        places: Places<u32>,
        used: &[Row<u32>],
        left: &mut [Row<u32>],
        pixel: usize,
    ) {
        let mut there = std::mem::take(&mut self.there);
        let column = self.column(pixel / GROUP * GROUP);
        there.clear();
        there.extend(places.map(|k| (column.at(k, pixel % GROUP), 0)));
        for (f, (used, left)) in used.iter().zip(left).enumerate() {
            left[pixel] = 0;
            let key = samples.keys::<1>(f, pixel)[0];
            let first = there.partition_point(|(x, _)| *x < key);
            let equal = there.get_mut(first).filter(|(x, _)| used[pixel] != 0 && *x == key);
            let Some((_, met)) = equal else { continue };
            // Of equal ones the first counts how many were met.
            let next = first + *met as usize;
            *met += 1;
            left[pixel] = there.get(next).map_or(0, |(x, _)| all_if(*x == key));
        }
        self.there = there;
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
            let [lo, hi] = [&range.lo, &range.hi].map(|ends| part::<u32, GROUP>(ends, start).map(f64::from));
            let (hi, lo) = self.column(start).middles(&lo, &hi, lower);
            for i in 0..GROUP {
                to[start + i] = hi[i] + lo[i];
            }
        }
    }
}

impl<T: Real> Order<T> {
    /// A percentile of the range, between the ranks that are nearest.
    #[inline(always)]
    pub(super) fn percentiles(&self, range: &Range, percent: f64, to: &mut Row<f64>) {
        for start in (0..BLOCK).step_by(GROUP) {
            let column = self.column(start);
            for i in 0..GROUP {
                let (lo, hi) = (range.lo[start + i], range.hi[start + i]);
                let place = f64::from(hi.max(lo + 1) - 1 - lo) * percent / 100.0;
                let first = place as u32;
                let part = place - f64::from(first);
                let next = first + u32::from(part > 0.0);
                let [a, b] = [first, next].map(|k| column.at(lo + k, i).number());
                to[start + i] = between(a, b, part);
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

/// Sorts each of `width` columns of `n` keys, so many at a time.
#[inline(always)]
pub(super) fn sort<K: Ord + Copy, const AT_ONCE: usize>(keys: &mut [K], n: usize, width: usize) {
    for Round { p, r, d } in rounds(n) {
        // p neighbours are compared with p others at a time.
        for i in (r..n.saturating_sub(d)).step_by(2 * p) {
            let len = p.min(n - d - i) * width;
            let (before, from) = keys.split_at_mut((i + d) * width);
            let (small, large) = (&mut before[i * width..][..len], &mut from[..len]);
            for (a, b) in small.as_chunks_mut::<AT_ONCE>().0.iter_mut().zip(large.as_chunks_mut::<AT_ONCE>().0) {
                let (x, y) = (*a, *b);
                let (mut lesser, mut greater) = (x, y);
                for l in 0..AT_ONCE {
                    lesser[l] = x[l].min(y[l]);
                    greater[l] = x[l].max(y[l]);
                }
                (*a, *b) = (lesser, greater);
            }
        }
    }
}

/// Takes each of `width` columns of keys through these steps, so many at a time.
#[inline(always)]
pub(super) fn select<K: Ord + Copy, const AT_ONCE: usize>(keys: &mut [K], width: usize, steps: &[Step]) {
    for &Step { i, j, wants } in steps {
        let (before, from) = keys.split_at_mut(j * width);
        let small = before[i * width..][..width].as_chunks_mut::<AT_ONCE>().0;
        let large = from[..width].as_chunks_mut::<AT_ONCE>().0;
        // A loop of each: a store that depends on something would be one under a mask.
        match wants {
            Wants::Both => {
                for (a, b) in small.iter_mut().zip(large.iter_mut()) {
                    (*a, *b) = (lesser(*a, *b), greater(*a, *b));
                }
            }
            Wants::Lesser => {
                for (a, b) in small.iter_mut().zip(large.iter()) {
                    *a = lesser(*a, *b);
                }
            }
            Wants::Greater => {
                for (a, b) in small.iter().zip(large.iter_mut()) {
                    *b = greater(*a, *b);
                }
            }
        }
    }
}

#[inline(always)]
fn lesser<K: Ord + Copy, const N: usize>(x: [K; N], y: [K; N]) -> [K; N] {
    std::array::from_fn(|l| x[l].min(y[l]))
}

#[inline(always)]
fn greater<K: Ord + Copy, const N: usize>(x: [K; N], y: [K; N]) -> [K; N] {
    std::array::from_fn(|l| x[l].max(y[l]))
}
