//! Floating-point pixels as scaled integers (FITS standard 4.0, section 10.2 and appendix I): a scale and a zero point
//! for each tile, with a dither subtracted that reader and writer draw from the same table.
//!
//! `value = (integer - r + 0.5) * scale + zero`, computed in 64 bits; without dithering `integer * scale + zero`. The
//! table has 10,000 numbers `r` in 32 bits, from Park and Miller's generator (factor 16807, modulus 2^31 - 1, seed 1). A
//! tile starts in it at an entry that depends on the row of the table and ZDITHER0, counted from 1: entry `(row +
//! ZDITHER0 - 1) mod 10000` times 500 is the index of the first `r`. When the table is used up the next start is taken
//! from the entry behind that one.
//!
//! Two integers are special: the one that ZBLANK tells is not a number, and with SUBTRACTIVE_DITHER_2 -2147483646 is
//! exactly zero.
//!
//! The writer's step is a fraction of the noise, which the third-order differences of the rows tell (section 10.2;
//! Stoehr et al. 2008, ASP Conf. Ser. 394, 505): their median magnitude is 1 / 0.6052697 of the noise's sigma.

use std::sync::OnceLock;

/// The integer of pixels that are not numbers, in what [`quantize`] writes.
pub const BLANK: i32 = -2_147_483_647;

/// The integer of exact zeros with SUBTRACTIVE_DITHER_2.
const EXACT_ZERO: i32 = -2_147_483_646;

/// Integers at the lower end that have, or may get, a meaning of their own.
const RESERVED: f64 = 10.0;

/// Numbers in the table.
const TABLE: usize = 10_000;

/// Fewest pixels of which the noise is estimated.
const FEWEST: usize = 9;

/// ZQUANTIZ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dither {
    /// NO_DITHER.
    None,
    /// SUBTRACTIVE_DITHER_1.
    Subtractive1,
    /// SUBTRACTIVE_DITHER_2: exact zeros stay so.
    Subtractive2,
}

/// `f32` or `f64`.
pub trait Float: Copy {
    fn from_f64(v: f64) -> Self;
    fn to_f64(self) -> f64;
}

impl Float for f32 {
    #[inline(always)]
    fn from_f64(v: f64) -> Self {
        v as f32
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Float for f64 {
    #[inline(always)]
    fn from_f64(v: f64) -> Self {
        v
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
}

/// The dither of a tile: stretches of the table, one behind the other.
struct Stretches {
    table: &'static [f32; TABLE],
    entry: usize,
}

impl Stretches {
    /// For the tile in `row` of the table, counted from 0.
    fn new(row: usize, zdither0: i64) -> Stretches {
        // Less than the table's length, so it fits.
        let seed = zdither0.rem_euclid(TABLE as i64) as usize;
        Stretches { table: table(), entry: (row % TABLE + seed + TABLE - 1) % TABLE }
    }

    /// From the next start to the end of the table; not empty, as starts are below 500.
    fn next(&mut self) -> &'static [f32] {
        // The product in 32 bits, as the numbers are.
        let start = (self.table[self.entry] * 500.0) as usize;
        self.entry = (self.entry + 1) % TABLE;
        &self.table[start..]
    }
}

fn table() -> &'static [f32; TABLE] {
    static NUMBERS: OnceLock<Box<[f32; TABLE]>> = OnceLock::new();
    NUMBERS.get_or_init(|| {
        let mut numbers = Box::new([0f32; TABLE]);
        let mut seed = 1u64;
        for r in numbers.iter_mut() {
            seed = seed * 16_807 % 2_147_483_647;
            *r = (seed as f64 / 2_147_483_647.0) as f32;
        }
        numbers
    })
}

/// The pixels of the tile in `row` of the table, counted from 0, into `out`, which is as long as `ints`.
#[allow(clippy::too_many_arguments)] // they are the keywords and columns
pub fn dequantize<T: Float>(
    ints: &[i32],
    scale: f64,
    zero: f64,
    method: Dither,
    row: usize,
    zdither0: i64,
    blank: Option<i32>,
    out: &mut [T],
) {
    match method {
        Dither::None => {
            for (v, &i) in out.iter_mut().zip(ints) {
                *v = T::from_f64(f64::from(i) * scale + zero);
            }
        }
        _ => {
            let mut stretches = Stretches::new(row, zdither0);
            let (mut ints, mut out) = (ints, &mut *out);
            while !ints.is_empty() && !out.is_empty() {
                let dither = stretches.next();
                let n = dither.len().min(ints.len()).min(out.len());
                let (now, later) = std::mem::take(&mut out).split_at_mut(n);
                for ((v, &i), &r) in now.iter_mut().zip(&ints[..n]).zip(dither) {
                    let value = (f64::from(i) - f64::from(r) + 0.5) * scale + zero;
                    *v = T::from_f64(if method == Dither::Subtractive2 && i == EXACT_ZERO { 0.0 } else { value });
                }
                (ints, out) = (&ints[n..], later);
            }
        }
    }
    if let Some(blank) = blank {
        for (v, _) in out.iter_mut().zip(ints).filter(|(_, i)| **i == blank) {
            *v = T::from_f64(f64::NAN);
        }
    }
}

/// What a tile's columns and ZBLANK have to say of the integers of [`quantize`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantized {
    /// ZSCALE.
    pub scale: f64,
    /// ZZERO.
    pub zero: f64,
    /// Whether an integer is [`BLANK`].
    pub has_nan: bool,
}

/// The integers of a tile, in place of what `out` held. The step is the noise over `q`, or `-q` if that is negative; a
/// `q` of 0 is 4. None if the tile is better kept as it is: too small to tell its noise, without noise, with infinities,
/// or with values too far apart for the step.
pub fn quantize<T: Float>(
    values: &[T],
    row_length: usize,
    q: f64,
    method: Dither,
    row: usize,
    zdither0: i64,
    out: &mut Vec<i32>,
) -> Option<Quantized> {
    let (mut least, mut most, mut has_nan) = (f64::INFINITY, f64::NEG_INFINITY, false);
    for v in values.iter().map(|v| v.to_f64()) {
        has_nan |= v.is_nan();
        (least, most) = (least.min(v), most.max(v));
    }
    let scale = if q < 0.0 { -q } else { noise(values, row_length)? / if q == 0.0 { 4.0 } else { q } };
    // Also false if a number among them is not finite.
    if !(scale > 0.0 && scale.is_finite() && (most - least) / scale < f64::from(u32::MAX) - 2.0 * RESERVED) {
        return None;
    }
    let range = (most - least) / scale;
    let zero = if has_nan || method == Dither::Subtractive2 {
        // Close to the special integers, so that these compress.
        least + scale * (-f64::from(BLANK) - RESERVED)
    } else if range < f64::from(i32::MAX) - RESERVED {
        // A multiple of the step, so that what has been quantised before falls on the same steps.
        (least / scale).round() * scale
    } else {
        (least + most) / 2.0
    };
    if !zero.is_finite() {
        return None;
    }
    out.clear();
    out.reserve(values.len());
    let integer = |v: f64, offset: f64| match v {
        v if v.is_nan() => BLANK,
        0.0 if method == Dither::Subtractive2 => EXACT_ZERO,
        v => ((v - zero) / scale + offset).round() as i32,
    };
    if method == Dither::None {
        out.extend(values.iter().map(|v| integer(v.to_f64(), 0.0)));
    } else {
        let mut stretches = Stretches::new(row, zdither0);
        let mut rest = values;
        while !rest.is_empty() {
            let dither = stretches.next();
            let (now, later) = rest.split_at(dither.len().min(rest.len()));
            out.extend(now.iter().zip(dither).map(|(v, &r)| integer(v.to_f64(), f64::from(r) - 0.5)));
            rest = later;
        }
    }
    Some(Quantized { scale, zero, has_nan })
}

/// The noise of a tile: the median of its rows'. None if no row has enough pixels.
fn noise<T: Float>(values: &[T], row_length: usize) -> Option<f64> {
    // Rows too short to tell are taken as one.
    let row_length = if row_length < FEWEST { values.len() } else { row_length };
    let (mut good, mut differences) = (Vec::new(), Vec::new());
    let mut rows: Vec<f64> = values
        .chunks(row_length.max(1))
        .filter_map(|row| {
            good.clear();
            good.extend(row.iter().map(|v| v.to_f64()).filter(|v| !v.is_nan()));
            row_noise(&good, &mut differences)
        })
        .collect();
    median(&mut rows)
}

/// The noise of a row, without regard to stretches of one value (borders without data). None if it is too short.
fn row_noise(row: &[f64], differences: &mut Vec<f64>) -> Option<f64> {
    if row.len() < FEWEST {
        return None;
    }
    differences.clear();
    let triples = row.windows(5).filter(|w| w[0] != w[2] || w[2] != w[4]);
    differences.extend(triples.map(|w| (2.0 * w[2] - w[0] - w[4]).abs()));
    Some(0.605_269_7 * median(differences).unwrap_or(0.0))
}

/// The median, of an even number the mean of the two in the middle.
fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let even = values.len() % 2 == 0;
    let (below, &mut upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let lower = if even { below.iter().copied().fold(f64::NEG_INFINITY, f64::max) } else { upper };
    Some((lower + upper) / 2.0)
}
