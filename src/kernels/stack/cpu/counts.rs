//! Stacks of raw counts: frames of 16-bit integers with neither variances nor masks, as detectors give them, straight from
//! stored bytes. They are ordered as the integers they are, and their sums and sums of squares are exact whatever their
//! order, so what is left after a rejection needs no second look at the frames: the range in order has it all. It comes to
//! what the rules in their order come to, but that scatter is rounded once here.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use super::Pixels;
use super::combine::share;
use super::samples::BLOCK;
use crate::dtype::{DType, PixelFormat};
use crate::kernels::stack::clip::{Lanes, minmax_part};
use crate::kernels::stack::gesd::{self, Sides, Test};
use crate::kernels::stack::left::{Differences, Left};
use crate::kernels::stack::order::{Column, GROUP, sort};
use crate::kernels::stack::sigclip::{Sums, narrow};
use crate::kernels::stack::{Combine, Errors, Flavour, Keep, Method, Out, Reject};
use crate::kernels::stack::{limits, madclip};
use crate::real::Real;
use crate::simd::{Loop, dispatch};

/// Keys that are compared at a time: a register of AVX-512.
const AT_ONCE: usize = 32;
/// Up to so many frames a whole block is sorted at once; beyond, what is sorted would leave the first-level cache.
const FRAMES_OF_BLOCK: usize = 256;

/// How the data of all frames is stored: big-endian integers of 16 bits, signed or with BZERO 32768. With the sign bit
/// turned over both are in the order of unsigned keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Form {
    /// Value less key.
    offset: f64,
}

impl Form {
    /// Of a frame with such data, if it is.
    pub(crate) fn of(data: &PixelFormat) -> Option<Self> {
        let unsigned = data.flipped().is_some();
        let fits =
            data.stored == DType::I16 && data.big_endian && data.blank.is_none() && (unsigned || data.is_plain());
        fits.then_some(Form { offset: if unsigned { 0.0 } else { -32768.0 } })
    }
}

/// Whether a run is of this kind, but for what its frames have.
pub(crate) fn fits<T: Real>(method: &Method, frames: usize) -> bool {
    let combines = matches!(method.combine, Combine::Mean | Combine::Sum | Combine::Std) || method.combine.is_median();
    T::DTYPE == DType::F32
        && method.flavour == Flavour::Stable
        && method.errors == Errors::Scatter
        && !matches!(method.reject, Reject::VarClip(_) | Reject::LinFit(_))
        && combines
        && method.keep == Keep::default()
        && !method.uneven
        && frames > 0
}

/// Room for the keys of a piece and of a block; reused, so that nothing is allocated per piece.
#[derive(Default)]
pub(crate) struct Keys {
    /// `frames` rows of the piece.
    piece: Vec<u16>,
    /// `frames` rows of the block.
    block: Vec<u16>,
    factors: Vec<f64>,
    sides: Sides,
    differences: Differences,
}

impl Keys {
    /// Bytes for pieces of so many pixels.
    pub(crate) fn bytes(frames: usize, pixels: usize, reject: &Reject) -> usize {
        frames * (2 * (pixels + BLOCK) + size_of::<f64>())
            + Sides::bytes(frames, reject)
            + Differences::bytes(frames, reject)
    }
}

/// Frames on their way to their result.
pub(crate) struct Counts<'a> {
    /// The stored bytes of a frame's piece.
    pub frame: &'a dyn Fn(usize) -> &'a [u8],
    pub frames: usize,
    pub form: Form,
    pub method: &'a Method,
    /// Of gesd, by number of samples.
    pub critical: &'a [f64],
    pub keys: &'a mut Keys,
    pub out: Out<'a, f32>,
}

/// The results of a piece.
pub(crate) fn counts(counts: Counts<'_>) {
    dispatch(counts);
}

impl Loop for Counts<'_> {
    #[inline(always)]
    fn run(self) {
        let Counts { frame, frames, form, method, critical, keys, mut out } = self;
        let n = out.data.len();
        let stride = n.next_multiple_of(BLOCK);
        keys.piece.resize(frames * stride, 0);
        let width = if frames <= FRAMES_OF_BLOCK { BLOCK } else { AT_ONCE };
        keys.block.resize(frames * width, 0);
        if keys.factors.len() != frames + 1 {
            keys.factors = method.combine.factors(frames);
        }
        for (f, row) in keys.piece.chunks_exact_mut(stride).enumerate() {
            for (key, b) in row.iter_mut().zip(frame(f).as_chunks::<2>().0) {
                *key = u16::from_be_bytes(*b) ^ 0x8000;
            }
        }
        let mut pixels = Pixels::default();
        for start in (0..n).step_by(BLOCK) {
            for part in (0..BLOCK).step_by(width) {
                let rows = keys.block.chunks_exact_mut(width).zip(keys.piece.chunks_exact(stride));
                for (row, from) in rows {
                    let (row, from) = (row.as_chunks_mut::<AT_ONCE>().0, from[start + part..].as_chunks::<AT_ONCE>().0);
                    row.iter_mut().zip(from).for_each(|(row, from)| *row = *from);
                }
                if method.sorts() {
                    sort::<_, AT_ONCE>(&mut keys.block, frames, width);
                }
                for from in (0..width).step_by(GROUP) {
                    let column = Column::new(&keys.block[from..], width);
                    let known = Known { frames, form, method, critical, factors: &keys.factors };
                    pixels.of_counts(column, part + from, known, (&mut keys.sides, &mut keys.differences));
                }
            }
            pixels.store(start, &mut out);
        }
    }
}

/// What is the same for all pixels of a run.
#[derive(Clone, Copy)]
struct Known<'a> {
    frames: usize,
    form: Form,
    method: &'a Method,
    critical: &'a [f64],
    factors: &'a [f64],
}

impl Pixels {
    /// A group of pixels.
    #[inline(always)]
    fn of_counts(
        &mut self,
        column: Column<'_, u16>,
        from: usize,
        known: Known<'_>,
        (sides, differences): (&mut Sides, &mut Differences),
    ) {
        let Known { frames, form, method, critical, factors } = known;
        let all = Left { lo: [0.0; GROUP], hi: [frames as f64; GROUP] };
        let sums = match &method.reject {
            Reject::SigClip(clip) => narrow(column, clip, all),
            Reject::MinMax { nlow, nhigh } => {
                let part = |of: usize| minmax_part(frames, of, frames);
                let (lo, hi) = (part(*nlow), frames.saturating_sub(part(*nhigh)));
                let some = if lo < hi { Left { lo: [lo as f64; GROUP], hi: [hi as f64; GROUP] } } else { all };
                Sums::of(column, some)
            }
            Reject::MadClip(clip) => {
                let mut left = all;
                for i in 0..GROUP {
                    let (lo, hi) = madclip::narrow(column, clip, i, (0, frames as u32));
                    (left.lo[i], left.hi[i]) = (f64::from(lo), f64::from(hi));
                }
                Sums::of(column, left)
            }
            Reject::Gesd { outliers, .. } => {
                let test = Test { part: *outliers, critical };
                Sums::of(column, gesd::narrow(column, test, sides, all))
            }
            Reject::None | Reject::VarClip(_) | Reject::LinFit(_) => Sums::of(column, all),
            other => Sums::of(column, limits::narrow(column, (other, form.offset), differences, all)),
        };
        let Left { lo, hi } = sums.left;
        let mut n = [0f64; GROUP];
        for i in 0..GROUP {
            n[i] = hi[i] - lo[i];
        }
        // n S.
        let (total, square) = (sums.total(), sums.squares_about_mean(&n));
        let (mut value, mut scatter): (Lanes, Lanes) = ([0.0; GROUP], [0.0; GROUP]);
        match method.combine {
            Combine::Sum => {
                for i in 0..GROUP {
                    value[i] = total[i] + n[i] * form.offset;
                    scatter[i] = share(square[i], n[i] - 1.0);
                }
            }
            Combine::Std => {
                for i in 0..GROUP {
                    value[i] = (square[i] / (n[i] * n[i])).sqrt();
                    scatter[i] = share(square[i], 2.0 * n[i] * n[i] * (n[i] - 1.0));
                }
            }
            combine => {
                let mut factor = [1.0; GROUP];
                if combine.is_median() {
                    (value, _) = column.middles(&lo, &hi, combine == Combine::LMedian);
                    for i in 0..GROUP {
                        value[i] += form.offset;
                        factor[i] = factors[n[i] as usize];
                    }
                } else {
                    for i in 0..GROUP {
                        value[i] = (total[i] + n[i] * form.offset) / n[i];
                    }
                }
                for i in 0..GROUP {
                    scatter[i] = factor[i] * share(square[i], n[i] * n[i] * (n[i] - 1.0));
                }
            }
        }
        for i in 0..GROUP {
            let at = from + i;
            (self.value[at], self.variance[at], self.scatter[at], self.weight[at]) =
                (value[i], scatter[i], scatter[i], n[i]);
            (self.good[at], self.low[at], self.high[at]) = (n[i] as u32, lo[i] as u32, (frames as f64 - hi[i]) as u32);
        }
    }
}
