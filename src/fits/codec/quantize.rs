//! Floating-point pixels as scaled integers (FITS standard 4.0, section 10.2 and appendix I): a scale and a zero point
//! for each tile, with a dither subtracted that reader and writer draw from the same table.
//!
//! `value = (integer - r + 0.5) * scale + zero`, computed in 64 bits; without dithering `integer * scale + zero`. The
//! table has 10,000 numbers `r` in 32 bits, from Park and Miller's generator (factor 16807, modulus 2^31 - 1, seed 1).
//! A tile starts in it at an entry that depends on the row of the binary table and ZDITHER0, counted from 1: entry
//! `(row + ZDITHER0 - 1) mod 10000` times 500 is the index of the first `r`. When the numbers are used up the next
//! start is taken from the entry behind that one.
//!
//! Two integers are special: the one that ZBLANK tells is not a number, and with SUBTRACTIVE_DITHER_2 -2147483646 is
//! exactly zero.
//!
//! The writer's step is a fraction of the noise. The third-order differences `2 x[i] - x[i - 2] - x[i + 2]` of the rows
//! tell that (Stoehr et al. 2008, ASP Conf. Ser. 394, 505): 0.6052697 of their median magnitude is the noise's sigma.

use std::sync::OnceLock;

/// The integer of pixels that are not numbers, in what [`quantize`] writes.
pub(crate) const BLANK: i32 = -2_147_483_647;

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
pub(crate) enum Dither {
    /// NO_DITHER.
    None,
    /// SUBTRACTIVE_DITHER_1.
    Subtractive1,
    /// SUBTRACTIVE_DITHER_2: exact zeros stay so.
    Subtractive2,
}

/// `f32` or `f64`.
pub(crate) trait Float: Copy {
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
    /// For the tile in `row` of the binary table, counted from 0.
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

/// The pixels of the tile in `row` of the binary table, counted from 0, into `out`, which is as long as `ints`.
#[allow(clippy::too_many_arguments)] // they are the keywords and columns
pub(crate) fn dequantize<T: Float>(
    ints: &[i32],
    scale: f64,
    zero: f64,
    method: Dither,
    row: usize,
    zdither0: i64,
    blank: Option<i32>,
    out: &mut [T],
) {
    if method == Dither::None {
        for (v, &i) in out.iter_mut().zip(ints) {
            *v = T::from_f64(f64::from(i) * scale + zero);
        }
    } else {
        let exact_zeros = method == Dither::Subtractive2;
        let mut stretches = Stretches::new(row, zdither0);
        let mut at = 0;
        while at < ints.len().min(out.len()) {
            let dither = stretches.next();
            for ((v, &i), &r) in out[at..].iter_mut().zip(&ints[at..]).zip(dither) {
                let value = (f64::from(i) - f64::from(r) + 0.5) * scale + zero;
                *v = T::from_f64(if exact_zeros && i == EXACT_ZERO { 0.0 } else { value });
            }
            at += dither.len();
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
pub(crate) struct Quantized {
    /// ZSCALE.
    pub(crate) scale: f64,
    /// ZZERO.
    pub(crate) zero: f64,
    /// Whether an integer is [`BLANK`].
    pub(crate) has_nan: bool,
}

/// The integers of a tile, in place of what `out` held. The step is the noise over `q`, or `-q` if that is negative; a
/// `q` of 0 is 4. None if the tile is better kept as it is: too small to tell its noise, without noise, with
/// infinities, or with values too far apart for the step.
pub(crate) fn quantize<T: Float>(
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
    let range = (most - least) / scale;
    // Also false if something here is not a number.
    if !(scale > 0.0 && scale.is_finite() && range >= 0.0 && range < f64::from(u32::MAX) - 2.0 * RESERVED) {
        return None;
    }
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
        while out.len() < values.len() {
            let rest = values[out.len()..].iter().zip(stretches.next());
            out.extend(rest.map(|(v, &r)| integer(v.to_f64(), f64::from(r) - 0.5)));
        }
    }
    Some(Quantized { scale, zero, has_nan })
}

/// The noise of a tile: the median of its rows'. None if no row has enough pixels.
fn noise<T: Float>(values: &[T], row_length: usize) -> Option<f64> {
    // Rows too short to tell are taken as one.
    let row_length = if row_length < FEWEST { values.len() } else { row_length };
    let (mut good, mut differences) = (Vec::new(), Vec::new());
    let rows = values.chunks(row_length.max(1)).filter_map(|row| {
        good.clear();
        good.extend(row.iter().map(|v| v.to_f64()).filter(|v| !v.is_nan()));
        row_noise(&good, &mut differences)
    });
    median(&mut rows.collect::<Vec<f64>>())
}

/// The noise of a row between its borders without data (stretches of one value at its ends). None if too little of it
/// is left to tell: rather none than that of a few sources on constant ground.
fn row_noise(row: &[f64], differences: &mut Vec<f64>) -> Option<f64> {
    let (&first, &last) = (row.first()?, row.last()?);
    // One of each stretch stays.
    let start = row.iter().position(|&v| v != first)?.saturating_sub(1);
    let end = row.iter().rposition(|&v| v != last)?.saturating_add(2);
    let inner = row.get(start..end)?;
    if inner.len() < FEWEST.max(row.len() / 4) {
        return None;
    }
    differences.clear();
    differences.extend(inner.windows(5).map(|w| (2.0 * w[2] - w[0] - w[4]).abs()));
    Some(0.605_269_7 * median(differences)?)
}

/// The median, of an even number the mean of the two in the middle.
fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let even = values.len().is_multiple_of(2);
    let (below, &mut upper, _) = values.select_nth_unstable_by(values.len() / 2, f64::total_cmp);
    let lower = if even { below.iter().copied().fold(f64::NEG_INFINITY, f64::max) } else { upper };
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    const INTS: [i32; 8] = [-3, 0, 7, EXACT_ZERO, BLANK, 100_000, i32::MAX, 5];

    /// `INTS` with scale 0.3, zero -17.1, row 11 and ZDITHER0 9990, by astropy 8.0.2.
    const SINGLE: [(Dither, [u32; 8]); 3] = [
        (
            Dither::None,
            [0xc1900000, 0xc188cccd, 0xc1700000, 0xce19999a, 0xce19999a, 0x46ea3dcd, 0x4e199999, 0xc179999a],
        ),
        (
            Dither::Subtractive1,
            [0xc18eccce, 0xc187ea6b, 0xc1713a16, 0xce19999a, 0xce19999a, 0x46ea3df8, 0x4e199999, 0xc17a7564],
        ),
        (
            Dither::Subtractive2,
            [0xc18eccce, 0xc187ea6b, 0xc1713a16, 0x0, 0xce19999a, 0x46ea3df8, 0x4e199999, 0xc17a7564],
        ),
    ];

    const DOUBLE: [(Dither, [u64; 8]); 3] = [
        (
            Dither::None,
            [
                0xc032000000000000,
                0xc03119999999999a,
                0xc02e000000000001,
                0xc1c333333b733333,
                0xc1c333333b99999a,
                0x40dd47b99999999a,
                0x41c333332a800000,
                0xc02f333333333334,
            ],
        ),
        (
            Dither::Subtractive1,
            [
                0xc031d999c0fdcccd,
                0xc030fd4d5699999a,
                0xc02e2742cf99999a,
                0xc1c333333b719cb7,
                0xc1c333333b9adbb7,
                0x40dd47befef8c99a,
                0x41c333332a9164bb,
                0xc02f4eac72666667,
            ],
        ),
        (
            Dither::Subtractive2,
            [
                0xc031d999c0fdcccd,
                0xc030fd4d5699999a,
                0xc02e2742cf99999a,
                0x0,
                0xc1c333333b9adbb7,
                0x40dd47befef8c99a,
                0x41c333332a9164bb,
                0xc02f4eac72666667,
            ],
        ),
    ];

    impl Random {
        /// About normal: sigma 1.
        fn normal(&mut self) -> f64 {
            (0..12).map(|_| (self.next() >> 11) as f64 / (1u64 << 53) as f64).sum::<f64>() - 6.0
        }
    }

    const METHODS: [Dither; 3] = [Dither::None, Dither::Subtractive1, Dither::Subtractive2];

    #[test]
    fn table_ends_as_the_standard_says() {
        let mut seed = 1u64;
        for _ in 0..TABLE {
            seed = seed * 16_807 % 2_147_483_647;
        }
        assert_eq!(seed, 1_043_618_065);
        assert_eq!(table()[TABLE - 1], (1_043_618_065.0 / 2_147_483_647.0) as f32);
        assert_eq!(table()[0], (16_807.0 / 2_147_483_647.0) as f32);
    }

    #[test]
    fn vectors() {
        for (method, bits) in SINGLE {
            let mut out = [0f32; 8];
            dequantize(&INTS, 0.3, -17.1, method, 11, 9990, None, &mut out);
            assert_eq!(out.map(f32::to_bits), bits);
            dequantize(&INTS, 0.3, -17.1, method, 11, 9990, Some(BLANK), &mut out);
            assert_eq!(out[4].to_bits(), 0x7fc0_0000);
            assert_eq!(out[5].to_bits(), bits[5]);
        }
        for (method, bits) in DOUBLE {
            let mut out = [0f64; 8];
            dequantize(&INTS, 0.3, -17.1, method, 11, 9990, None, &mut out);
            assert_eq!(out.map(f64::to_bits), bits);
            dequantize(&INTS, 0.3, -17.1, method, 11, 9990, Some(BLANK), &mut out);
            assert_eq!(out[4].to_bits(), 0x7ff8_0000_0000_0000);
        }
    }

    #[test]
    fn the_dither_goes_on_behind_the_table() {
        // Pixel by pixel, as appendix I tells it.
        let (row, zdither0) = (9998, 3);
        let mut entry = 0;
        let mut next = (table()[0] * 500.0) as usize;
        let ints = vec![0; 25_000];
        let mut out = vec![0f64; ints.len()];
        dequantize(&ints, 1.0, 0.0, Dither::Subtractive1, row, zdither0, None, &mut out);
        for v in out {
            assert_eq!(v, 0.5 - f64::from(table()[next]));
            next += 1;
            if next == TABLE {
                entry += 1;
                next = (table()[entry] * 500.0) as usize;
            }
        }
    }

    #[test]
    fn seeds_of_any_size() {
        for (row, zdither0) in [(0, i64::MIN), (usize::MAX, i64::MAX), (0, 0), (0, -1)] {
            let mut out = [0f32; 8];
            dequantize(&INTS, 1.0, 0.0, Dither::Subtractive2, row, zdither0, None, &mut out);
            assert_eq!(out[3], 0.0);
        }
    }

    /// Quantises, checks what comes back, and returns the result.
    fn round_trip<T: Float + Default>(values: &[T], row_length: usize, q: f64, method: Dither) -> Option<Quantized> {
        let mut ints = Vec::new();
        let done = quantize(values, row_length, q, method, 12, 345, &mut ints)?;
        let mut back = vec![T::default(); values.len()];
        dequantize(&ints, done.scale, done.zero, method, 12, 345, Some(BLANK), &mut back);
        for (before, after) in values.iter().map(|v| v.to_f64()).zip(back.iter().map(|v| v.to_f64())) {
            assert_eq!(before.is_nan(), after.is_nan());
            if method == Dither::Subtractive2 && before == 0.0 {
                assert_eq!(after, 0.0);
            }
            // Rounding where zero is 2^31 steps away, and that of single precision.
            let slack = 1e-5 * done.scale + 1e-7 * before.abs();
            assert!(before.is_nan() || (before - after).abs() <= done.scale / 2.0 + slack, "{before} {after}");
        }
        assert_eq!(done.has_nan, ints.contains(&BLANK));
        Some(done)
    }

    #[test]
    fn round_trips() {
        let mut random = Random(5);
        for (mean, sigma, gaps) in [(1000.0, 10.0, 0), (-5.0, 1e-3, 7), (0.0, 1e9, 11), (3.0, 1.0, 2)] {
            let values: Vec<f64> = (0..12_000)
                .map(|i| match random.next() {
                    r if gaps > 0 && r % gaps == 0 => [f64::NAN, 0.0][i % 2],
                    _ => mean + sigma * random.normal(),
                })
                .collect();
            let single: Vec<f32> = values.iter().map(|&v| v as f32).collect();
            for method in METHODS {
                for q in [4.0, 0.5, 100.0] {
                    let done = round_trip(&values, 300, q, method).unwrap();
                    assert!(done.has_nan == (gaps > 0));
                    assert!((done.scale * q / sigma - 1.0).abs() < 0.1 || gaps > 0, "{} {sigma}", done.scale * q);
                    assert!(round_trip(&single, 300, q, method).is_some());
                }
                let done = round_trip(&values, 300, -sigma, method).unwrap();
                assert_eq!(done.scale, sigma);
            }
        }
    }

    #[test]
    fn quantised_again_is_the_same() {
        let mut random = Random(6);
        let values: Vec<f64> = (0..1000).map(|_| random.normal()).collect();
        let mut ints = Vec::new();
        let first = quantize(&values, 100, -0.25, Dither::None, 0, 1, &mut ints).unwrap();
        let mut back = vec![0f64; 1000];
        dequantize(&ints, first.scale, first.zero, Dither::None, 0, 1, None, &mut back);
        let mut again = Vec::new();
        assert_eq!(quantize(&back, 100, -0.25, Dither::None, 0, 1, &mut again), Some(first));
        assert_eq!(again, ints);
    }

    #[test]
    fn not_to_be_quantised() {
        let mut random = Random(7);
        let noise: Vec<f64> = (0..100).map(|_| random.normal()).collect();
        let with = |at: usize, v: f64| {
            let mut values = noise.clone();
            values[at] = v;
            values
        };
        let none = |values: &[f64], q: f64| {
            METHODS.iter().all(|&m| quantize(values, 10, q, m, 0, 1, &mut Vec::new()).is_none())
        };
        assert!(!none(&noise, 4.0));
        assert!(none(&[], 4.0));
        assert!(none(&noise[..8], 4.0));
        assert!(none(&[7.0; 100], 4.0));
        assert!(none(&[f64::NAN; 100], 4.0));
        assert!(none(&with(5, f64::INFINITY), 4.0));
        assert!(none(&with(5, f64::NEG_INFINITY), -1.0));
        assert!(none(&with(5, 1e10), 4.0));
        assert!(!none(&with(5, 1e10), -10.0));
        // A few sources on constant ground.
        let mut sources = vec![0.0; 100];
        (sources[21], sources[27], sources[63]) = (1000.0, 500.0, 1.0);
        assert!(METHODS.iter().all(|&m| quantize(&sources, 100, 4.0, m, 0, 1, &mut Vec::new()).is_none()));
        assert!(none(&noise, f64::NAN));
        assert!(none(&noise, f64::INFINITY));
    }

    #[test]
    fn a_range_that_only_just_fits() {
        let mut values = vec![0.5; 100];
        (values[3], values[4]) = (-2_147_483_600.0, 2_147_483_600.0);
        for method in METHODS {
            round_trip(&values, 10, -1.0, method).unwrap();
        }
        values[4] += 100.0;
        assert_eq!(round_trip(&values, 10, -1.0, Dither::None), None);
    }

    #[test]
    fn borders_without_data_do_not_hide_the_noise() {
        let mut random = Random(8);
        let values: Vec<f32> = (0..8000).map(|i| if i % 400 < 250 { 0.0 } else { random.normal() as f32 }).collect();
        let done = round_trip(&values, 400, 1.0, Dither::Subtractive2).unwrap();
        assert!((0.9..1.1).contains(&done.scale), "{}", done.scale);
    }

    #[test]
    fn garbage() {
        let mut random = Random(9);
        for i in 0..3000 {
            let n = random.next() as usize % 60;
            let values: Vec<f64> = (0..n).map(|_| f64::from_bits(random.next())).collect();
            let single: Vec<f32> = (0..n).map(|_| f32::from_bits(random.next() as u32)).collect();
            let q = [f64::from_bits(random.next()), 4.0, 1e-300][i % 3];
            let mut ints = Vec::new();
            let row = random.next() as usize;
            let _ = quantize(&values, n / 3, q, METHODS[i % 3], row, 1, &mut ints);
            let _ = quantize(&single, n, q, METHODS[i % 3], row, 1, &mut ints);
            let mut out = vec![0f32; n];
            let scale = f64::from_bits(random.next());
            dequantize(&ints, scale, q, METHODS[i % 3], row, random.next() as i64, None, &mut out);
        }
    }
}
