//! Sums and means of everything that is good straight from stored bytes, frame after frame, with the sums of a piece kept:
//! no sample is written anywhere. It comes to what the rules in their order come to, bit for bit; blocks with a pixel that has
//! no sample of the first level are left to those.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use super::samples::{BLOCK, all_if, keep};
use crate::dtype::{DType, PixelFormat};
use crate::kernels::stack::{Affine, Combine, Levels, Method, Out};
use crate::real::Real;
use crate::simd::{Loop, dispatch};

/// Pixels that are added at a time: all that AVX2 has registers for.
const LANES: usize = 8;

/// How the planes of all frames are stored: float32 data and variance, masks of 16 bits, all as files have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    /// The sign bit of a mask stands for BZERO.
    flip: bool,
}

impl Form {
    /// Of a frame with such planes, if they are.
    pub(crate) fn of(data: &PixelFormat, variance: &PixelFormat, mask: &PixelFormat) -> Option<Self> {
        let is_real = |format: &PixelFormat| format.stored == DType::F32 && format.is_plain();
        let flip = mask.flipped().is_some();
        let is_mask = matches!(mask.stored, DType::I16 | DType::U16) && (mask.is_plain() || flip);
        let of_files = data.big_endian && variance.big_endian && mask.big_endian;
        (is_real(data) && is_real(variance) && is_mask && of_files).then_some(Form { flip })
    }

    /// Data, variance and mask of a pixel.
    #[inline(always)]
    pub(super) fn of_pixel(self, bytes: Bytes<'_>, pixel: usize) -> (f32, f32, u32) {
        let real = |plane: &[u8]| plane[4 * pixel..].first_chunk().map_or(0.0, |b| f32::from_be_bytes(*b));
        let m = bytes.mask[2 * pixel..].first_chunk().map_or(0, |b| u16::from_be_bytes(*b));
        (real(bytes.data), real(bytes.variance), u32::from(m) ^ self.flip())
    }

    fn flip(self) -> u32 {
        if self.flip { 0x8000 } else { 0 }
    }
}

/// Whether a run is of this kind, but for what its frames have.
pub(crate) fn fits<T: Real>(method: &Method) -> bool {
    T::DTYPE == DType::F32 && method.is_plain()
}

/// Stored bytes of the planes of one frame, as many numbers each as the piece has pixels.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a> {
    pub data: &'a [u8],
    pub variance: &'a [u8],
    pub mask: &'a [u8],
}

/// What the samples of a piece have come to so far; reused, so that nothing is allocated per piece.
#[derive(Default)]
pub(crate) struct Sums {
    pub(super) sum: Vec<f64>,
    pub(super) sum2: Vec<f64>,
    pub(super) good: Vec<u32>,
    pub(super) mask: Vec<u32>,
    /// Where the blocks begin that are left to the rules in their order.
    pub rest: Vec<usize>,
    /// Pixels that were summed again.
    pub again: usize,
    /// What orders the samples, if they are: block after block a row a frame, with nothing for those that are not of the
    /// first level.
    pub(super) keys: Vec<Key>,
}

type Key = <f32 as Real>::Key;

impl Sums {
    /// Bytes of a piece of so many pixels.
    pub(crate) fn bytes(pixels: usize) -> usize {
        pixels * 24 + pixels / BLOCK * size_of::<usize>()
    }

    /// Where the key of a frame's pixel is.
    #[inline(always)]
    pub(super) fn place(frames: usize, f: usize, pixel: usize) -> usize {
        (pixel / BLOCK * frames + f) * BLOCK + pixel % BLOCK
    }

    /// Whether each pixel of a block has a sample of the first level, and no variance is below zero.
    #[inline(always)]
    pub(super) fn is_good(&self, block: std::ops::Range<usize>, negative: u32) -> bool {
        // A variance below zero is counted, which the rules in their order do.
        negative == 0 && !self.good[block].contains(&0)
    }
}

/// Frames on their way to their mean or sum.
pub(crate) struct Stream<'a> {
    /// The bytes of a frame.
    pub frame: &'a dyn Fn(usize) -> Bytes<'a>,
    pub form: Form,
    pub method: &'a Method,
    /// One per frame.
    pub affine: &'a [Affine],
    pub levels: &'a Levels,
    pub sums: &'a mut Sums,
    pub out: Out<'a, f32>,
}

/// Sums over all frames. What is left over is in `sums.rest`, and was not written.
pub(crate) fn stream(stream: Stream<'_>) {
    dispatch(stream);
}

impl Loop for Stream<'_> {
    #[inline(always)]
    fn run(self) {
        let Stream { frame, form, method, affine, levels, sums, mut out } = self;
        let n = out.data.len();
        let negative = sums.take::<true, false>(n, frame, form, affine, levels);
        for start in (0..n).step_by(BLOCK) {
            let block = start..n.min(start + BLOCK);
            if sums.is_good(block.clone(), negative) {
                sums.store(start, block.len(), method, &mut out);
            } else {
                sums.rest.push(start);
            }
        }
    }
}

/// Bytes of a block of numbers of 4 and of 2 bytes.
const WORDS: usize = 4 * BLOCK;
const HALVES: usize = 2 * BLOCK;

/// What the bits of a mask are read by: the sign bit that is flipped, and those that a good sample has not.
#[derive(Clone, Copy)]
struct Bits {
    flip: u32,
    forbidden: u32,
}

/// Data, variance and mask of a block.
type Numbers<'a> = (&'a [u8; WORDS], &'a [u8; WORDS], &'a [u8; HALVES]);

impl Sums {
    /// Sums `n` pixels of all frames (the data if they are `SUMMED`), and keeps what orders them if they are `ORDERED`.
    /// Not 0 if a variance is below zero.
    #[inline(always)]
    pub(super) fn take<'b, const SUMMED: bool, const ORDERED: bool>(
        &mut self,
        n: usize,
        frame: impl Fn(usize) -> Bytes<'b>,
        form: Form,
        affine: &[Affine],
        levels: &Levels,
    ) -> u32 {
        let whole = n.next_multiple_of(BLOCK);
        self.rest.clear();
        self.again = 0;
        for sum in [&mut self.sum, &mut self.sum2] {
            sum.clear();
            sum.resize(whole, 0.0);
        }
        for words in [&mut self.good, &mut self.mask] {
            words.clear();
            words.resize(whole, 0);
        }
        if ORDERED {
            self.keys.resize(affine.len() * whole, <f32 as Real>::TOP);
        }
        let bits = Bits { flip: form.flip(), forbidden: levels.forbidden[0] };
        let mut negative = 0;
        // Several frames at a time: the sums go through memory less often.
        let mut f = 0;
        while f + 4 <= affine.len() {
            let frames = [frame(f), frame(f + 1), frame(f + 2), frame(f + 3)];
            negative |= self.add::<4, SUMMED, ORDERED>(frames, (f, affine), n, bits);
            f += 4;
        }
        for f in f..affine.len() {
            negative |= self.add::<1, SUMMED, ORDERED>([frame(f)], (f, affine), n, bits);
        }
        negative
    }

    /// Adds `K` frames from this one on. Not 0 if a variance is below zero.
    #[inline(always)]
    fn add<const K: usize, const SUMMED: bool, const ORDERED: bool>(
        &mut self,
        frames: [Bytes<'_>; K],
        (first, affine): (usize, &[Affine]),
        n: usize,
        bits: Bits,
    ) -> u32 {
        if affine[first..first + K].iter().all(Affine::is_identity) {
            self.add_as::<K, SUMMED, ORDERED, false>(frames, (first, affine), n, bits)
        } else {
            self.add_as::<K, SUMMED, ORDERED, true>(frames, (first, affine), n, bits)
        }
    }

    #[inline(always)]
    fn add_as<const K: usize, const SUMMED: bool, const ORDERED: bool, const SCALED: bool>(
        &mut self,
        frames: [Bytes<'_>; K],
        of: (usize, &[Affine]),
        n: usize,
        bits: Bits,
    ) -> u32 {
        let mut negative = [0u32; LANES];
        let planes = frames.map(|b| (b.data.as_chunks().0, b.variance.as_chunks().0, b.mask.as_chunks().0));
        let (whole, rest) = (n / BLOCK, n % BLOCK);
        let planes = planes.map(|(data, variance, mask)| (&data[..whole], &variance[..whole], &mask[..whole]));
        for at in 0..whole {
            let block = planes.map(|(data, variance, mask)| (&data[at], &variance[at], &mask[at]));
            self.block::<K, SUMMED, ORDERED, SCALED>(of, at, block, bits, &mut negative);
        }
        if rest > 0 {
            // The last few, and zeros behind them.
            let from = whole * BLOCK;
            let padded = frames.map(|b| {
                let mut padded = ([0; WORDS], [0; WORDS], [0; HALVES]);
                padded.0[..4 * rest].copy_from_slice(&b.data[4 * from..4 * n]);
                padded.1[..4 * rest].copy_from_slice(&b.variance[4 * from..4 * n]);
                padded.2[..2 * rest].copy_from_slice(&b.mask[2 * from..2 * n]);
                padded
            });
            let block = padded.each_ref().map(|(data, variance, mask)| (data, variance, mask));
            self.block::<K, SUMMED, ORDERED, SCALED>(of, whole, block, bits, &mut negative);
        }
        negative.iter().fold(0, |all, one| all | one)
    }

    /// Adds a block of `K` frames.
    #[inline(always)]
    fn block<const K: usize, const SUMMED: bool, const ORDERED: bool, const SCALED: bool>(
        &mut self,
        (first, affine): (usize, &[Affine]),
        at: usize,
        planes: [Numbers<'_>; K],
        bits: Bits,
        negative: &mut [u32; LANES],
    ) {
        // Slices of a length that the compiler knows: in the loop is nothing to check.
        let (Some(sum), Some(sum2)) = (block_of(&mut self.sum, at), block_of(&mut self.sum2, at)) else { return };
        let (Some(good), Some(mask)) = (block_of(&mut self.good, at), block_of(&mut self.mask, at)) else { return };
        let mut none = [[[<f32 as Real>::TOP; LANES]; BLOCK / LANES]; K];
        let keys = if ORDERED {
            let from = Sums::place(affine.len(), first, at * BLOCK);
            let rows: &mut [[[Key; LANES]; BLOCK / LANES]] = self.keys[from..].as_chunks_mut().0.as_chunks_mut().0;
            rows.first_chunk_mut().unwrap_or(&mut none)
        } else {
            &mut none
        };
        let affine: &[Affine; K] =
            affine[first..].first_chunk().unwrap_or_else(|| unreachable!("frames that are there"));
        let mut below = *negative;
        for l in 0..BLOCK / LANES {
            let (mut s, mut s2, mut g, mut m) = (sum[l], sum2[l], good[l], mask[l]);
            for k in 0..K {
                let affine = &affine[k];
                let (d, v) = (reals_of(planes[k].0, l), reals_of(planes[k].1, l));
                let flags = words_of(planes[k].2, l, bits.flip);
                let mut used = [0u32; LANES];
                for i in 0..LANES {
                    used[i] = all_if(flags[i] & bits.forbidden == 0) & all_if(d[i].is_finite() & v[i].is_finite());
                }
                if ORDERED {
                    for i in 0..LANES {
                        let y = if SCALED { affine.apply(d[i]).0 as f32 } else { d[i] };
                        keys[k][l][i] = if used[i] == 0 { <f32 as Real>::TOP } else { y.to_key() };
                    }
                }
                for i in 0..LANES {
                    g[i] += used[i] & 1;
                    m[i] |= flags[i] & used[i];
                    below[i] |= all_if(v[i] < 0.0);
                }
                if SUMMED {
                    for i in 0..LANES {
                        let x = if SCALED { affine.apply(d[i]).0 } else { f64::from(d[i]) };
                        s[i] += keep(x, used[i]);
                    }
                }
                let square = affine.scale * affine.scale;
                for i in 0..LANES {
                    let w = if SCALED { f64::from(v[i]) * square } else { f64::from(v[i]) };
                    s2[i] += keep(w, used[i] & all_if(v[i] > 0.0));
                }
            }
            if SUMMED {
                sum[l] = s;
            }
            (sum2[l], good[l], mask[l]) = (s2, g, m);
        }
        *negative = below;
    }

    /// The results of a block to where they belong.
    #[inline(always)]
    fn store(&self, start: usize, n: usize, method: &Method, out: &mut Out<'_, f32>) {
        let (mut value, mut variance) = ([0f64; BLOCK], [0f64; BLOCK]);
        let mut count = [0f64; BLOCK];
        for i in 0..n {
            count[i] = f64::from(self.good[start + i]);
        }
        let is_mean = method.combine == Combine::Mean;
        for i in 0..n {
            let (sum, sum2, n) = (self.sum[start + i], self.sum2[start + i], count[i]);
            (value[i], variance[i]) = if is_mean { (sum / n, sum2 / (n * n)) } else { (sum, sum2) };
        }
        let reals = |to: &mut [f32], from: &[f64; BLOCK]| {
            if let Some(to) = to.get_mut(start..start + n) {
                for i in 0..n {
                    to[i] = from[i] as f32;
                }
            }
        };
        reals(out.data, &value);
        reals(out.variance, &variance);
        reals(out.weight, &count);
        for (to, from) in [(&mut *out.mask, &self.mask), (&mut *out.good, &self.good)] {
            if let Some(to) = to.get_mut(start..start + n) {
                to.copy_from_slice(&from[start..start + n]);
            }
        }
        for to in [&mut *out.low, &mut *out.high, &mut *out.rejected] {
            if let Some(to) = to.get_mut(start..start + n) {
                to.fill(0);
            }
        }
    }
}

/// The numbers of a block, a few at a time.
#[inline(always)]
fn block_of<V>(all: &mut [V], at: usize) -> Option<&mut [[V; LANES]; BLOCK / LANES]> {
    all.as_chunks_mut::<LANES>().0.as_chunks_mut().0.get_mut(at)
}

/// A few numbers of a block.
#[inline(always)]
fn reals_of(bytes: &[u8; WORDS], l: usize) -> [f32; LANES] {
    let words = &bytes.as_chunks::<4>().0.as_chunks::<LANES>().0[l];
    std::array::from_fn(|i| f32::from_be_bytes(words[i]))
}

/// A few masks of a block.
#[inline(always)]
fn words_of(bytes: &[u8; HALVES], l: usize, flip: u32) -> [u32; LANES] {
    let words = &bytes.as_chunks::<2>().0.as_chunks::<LANES>().0[l];
    std::array::from_fn(|i| u32::from(u16::from_be_bytes(words[i])) ^ flip)
}
