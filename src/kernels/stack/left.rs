//! What is left of the samples in order of a group of pixels while they are clipped: a range, whose ends move inwards.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use std::ops::Range as Places;

use super::clip::{Lanes, Range, all, choose, only};
use super::cpu::{accumulate, quotient};
use super::method::Reject;
use super::order::{Column, GROUP, Ordered};

/// Places in order that are left of a group of pixels, from `lo` to before `hi`: few pixels, so that those that are done do
/// not wait for many.
#[derive(Clone, Copy)]
pub(super) struct Left {
    pub lo: Lanes,
    pub hi: Lanes,
}

/// Differences that are made of the samples of a group once, and gone over several times: a row for each place in order.
/// Reused between calls.
#[derive(Default)]
pub(super) struct Differences(Vec<Lanes>);

impl Differences {
    /// Bytes for so many frames, where they are wanted.
    pub(super) fn bytes(frames: usize, reject: &Reject) -> usize {
        let wanted = matches!(reject, Reject::LinFit(_) | Reject::Winsorised(_));
        if wanted { frames * size_of::<Lanes>() } else { 0 }
    }

    /// Room for so many rows, with anything in it.
    #[inline(always)]
    pub(super) fn rows(&mut self, n: usize) -> &mut [Lanes] {
        if self.0.len() < n {
            self.0.resize(n, [0.0; GROUP]);
        }
        &mut self.0
    }
}

/// Rows of a group by what they are of its pixels' ranges.
pub(super) struct Rows {
    /// Inside of some pixel's.
    pub some: Places<usize>,
    /// Inside of all.
    pub every: Places<usize>,
    /// Where the first of them ends.
    pub shortest: usize,
}

impl Left {
    /// Of the group that begins with this pixel.
    #[inline(always)]
    pub(super) fn of(range: &Range, start: usize) -> Self {
        Left {
            lo: std::array::from_fn(|i| f64::from(range.lo[start + i])),
            hi: std::array::from_fn(|i| f64::from(range.hi[start + i])),
        }
    }

    /// To where it came from.
    #[inline(always)]
    pub(super) fn put(&self, range: &mut Range, start: usize) {
        for i in 0..GROUP {
            (range.lo[start + i], range.hi[start + i]) = (self.lo[i] as u32, self.hi[i] as u32);
        }
    }

    /// Where the ranges of the pixels are.
    #[inline(always)]
    pub(super) fn rows(&self) -> Rows {
        // The bits of numbers that are not below zero are in their order, and of integers such a loop is a few instructions.
        let (mut first, mut inner) = (i64::MAX, 0);
        let (mut last, mut end) = (0, i64::MAX);
        for i in 0..GROUP {
            let (lo, hi) = (self.lo[i].to_bits().cast_signed(), self.hi[i].to_bits().cast_signed());
            (first, inner) = (lo.min(first), lo.max(inner));
            (end, last) = (hi.min(end), hi.max(last));
        }
        let [first, inner, end, last] =
            [first, inner, end, last].map(|bits| f64::from_bits(bits.cast_unsigned()) as usize);
        Rows { some: first..last, every: inner.min(last)..end.max(inner.min(last)), shortest: end }
    }

    /// All ones where a place is in the range of a pixel; `whole`: it is in those of all.
    #[inline(always)]
    pub(super) fn inside(&self, whole: bool, place: f64, i: usize) -> u64 {
        if whole { u64::MAX } else { all((place >= self.lo[i]) & (place < self.hi[i])) }
    }

    #[inline(always)]
    pub(super) fn count(&self) -> Lanes {
        let mut n = [0f64; GROUP];
        for i in 0..GROUP {
            n[i] = self.hi[i] - self.lo[i];
        }
        n
    }

    /// The mean of what is left, and what its rounding lost.
    #[inline(always)]
    pub(super) fn mean<K: Ordered>(&self, column: Column<'_, K>) -> (Lanes, Lanes) {
        let n = self.count();
        let (mut high, mut low) = ([0f64; GROUP], [0f64; GROUP]);
        self.each(column, |i, x, inside| accumulate::<f64>(&mut high[i], &mut low[i], only(x, inside)));
        let (mut centre, mut rest) = ([0f64; GROUP], [0f64; GROUP]);
        for i in 0..GROUP {
            (centre[i], rest[i]) = quotient(high[i], low[i], if n[i] > 1.0 { n[i] } else { 1.0 });
        }
        (centre, rest)
    }

    /// Calls `add` with each sample that is left, from small to large, and whether it is in its pixel's range: all ones.
    #[inline(always)]
    pub(super) fn each<K: Ordered>(&self, column: Column<'_, K>, mut add: impl FnMut(usize, f64, u64)) {
        let Rows { some, every, .. } = self.rows();
        for (rows, whole) in [(some.start..every.start, false), (every.clone(), true), (every.end..some.end, false)] {
            for k in rows {
                let (row, place) = (column.row(k), k as f64);
                for i in 0..GROUP {
                    add(i, row[i].number(), self.inside(whole, place, i));
                }
            }
        }
    }

    /// Where everything is out, nothing is.
    #[inline(always)]
    pub(super) fn or_else(mut self, whole: &Left) -> Self {
        for i in 0..GROUP {
            let none = all(self.lo[i] >= self.hi[i]);
            self.lo[i] = choose(none, whole.lo[i], self.lo[i]);
            self.hi[i] = choose(none, whole.hi[i], self.hi[i]);
        }
        self
    }
}
