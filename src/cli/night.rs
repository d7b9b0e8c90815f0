//! A small night at the telescope, simulated: undithered exposures of one field, as a
//! 16-bit detector would deliver them, each with its variance and its data-quality mask.
//!
//! # The scene
//!
//! The expected photo-electrons per pixel, computed once per [`Night`]:
//!
//! * Sky: 900 e- in every pixel.
//! * Stars: one per 1500 pixels, at uniform positions, Moffat profiles of β = 3 and a full width
//!   at half maximum of 3.5 px, sampled at the pixel centres. Fluxes follow the power law
//!   `N(>F) ∝ F^-0.75` from 1500 e- up to 2·10⁷ e-. Each of `n` stars takes its flux from its own
//!   one of `n` slices of equal probability, so that every field of some size has its few stars
//!   that saturate.
//! * An inclined two-armed spiral and an elliptical galaxy, both scaled to the shorter side.
//!
//! There is no vignetting and no shift from frame to frame.
//!
//! # The detector
//!
//! With gain `g` (e-/adu), read noise `r` (e-) and bias `b` (adu), a pixel that expects `λ`
//! electrons and collects the charge `c` of cosmic rays reads
//!
//! ```text
//! adu = clip(round(b + (Poisson(λ) + c + r·N(0, 1)) / g), 0, 65535)
//! var = max(adu - b, 0) / g + (r / g)²          adu²
//! ```
//!
//! `Poisson(λ)` is exact up to λ = 100. Above, it is `round(λ + √λ·N(0, 1))`: mean and variance
//! are right, the skewness `1/√λ` (0.1 and less) is left out. `var` is estimated from the measured
//! value, as a pipeline would, so it scatters with it, and it leaves out the 1/12 adu² of rounding.
//!
//! # Data quality
//!
//! | bit | meaning |
//! |----:|---------|
//! | 1 | bad pixel: 3·10⁻⁴ of all, half dead and half hot, the same in each frame; and from 16 columns on one dead column, from 64 on also a partial hot one |
//! | 2 | not linear: above 52000 adu |
//! | 4 | saturated: 65535 adu (bit 2 is set too) |
//! | 8 | cosmic ray |
//!
//! Cosmic rays are straight tracks of 1 to 10 pixels that touch 10⁻⁴ of the pixels of a frame on
//! average. 90 % of the touched pixels are flagged; the rest is left for a clipping stack to find.
//! Small frames may well have no cosmic ray, bad pixel or saturated star at all.
//!
//! # Reproducibility
//!
//! All draws come from xoshiro256++, seeded by a hash of the night's seed and of what is drawn.
//! An exposure depends on the seed, the shape and its index alone, not on what was drawn before.

use std::f64::consts::TAU;
use std::ops::Range;

use ndarray::{Array2, Zip};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Poisson, StandardNormal};

/// Bad pixel: hot or dead.
const DQ_BAD: u16 = 1;
/// The response is not linear any more.
const DQ_NONLINEAR: u16 = 2;
/// The converter is at its end.
const DQ_SATURATED: u16 = 4;
/// Touched by a cosmic ray.
const DQ_COSMIC: u16 = 8;

/// Where the response leaves the straight line, adu.
const LINEAR_UP_TO: u16 = 52_000;

/// Sky, e- per pixel and exposure.
const SKY: f64 = 900.0;

/// Full width at half maximum of a star, px.
const FWHM: f64 = 3.5;
const PIXELS_PER_STAR: f64 = 1500.0;
const FAINTEST: f64 = 1.5e3;
const BRIGHTEST: f64 = 2.0e7;
/// `N(>F) ∝ F^-SLOPE`.
const SLOPE: f64 = 0.75;
/// The wings of a star are followed down to here, e-: far below the noise.
const WING: f64 = 0.05;

const BAD_PIXELS: f64 = 3e-4;

const COSMIC_PIXELS: f64 = 1e-4;
const COSMIC_LONGEST: usize = 10;
const COSMIC_FLAGGED: f64 = 0.9;

/// Above this expectation, a Poisson deviate is drawn from the normal distribution.
const NORMAL_ABOVE: f64 = 100.0;

/// What a generator is for: each purpose has its own stream of numbers.
#[derive(Clone, Copy)]
enum Stream {
    Stars = 1,
    Galaxies,
    Defects,
    Noise,
    Cosmics,
}

/// A field, a detector and a number of exposures.
pub(crate) struct Night {
    #[allow(dead_code)] // the default number for callers; exposures do not depend on it
    pub frames: usize,
    /// Rows and columns.
    pub shape: (usize, usize),
    pub seed: u64,
    /// What a perfect detector would expect, e-.
    scene: Array2<f32>,
    /// What this detector expects: the scene with its bad pixels, e-.
    expected: Array2<f32>,
    /// The part of the mask that all frames share.
    defects: Array2<u16>,
}

/// One raw frame with its companions, all of one shape.
pub(crate) struct Exposure {
    /// The reading, adu.
    pub sci: Array2<u16>,
    /// Its variance, adu².
    pub var: Array2<f32>,
    /// Its data-quality bits.
    pub dq: Array2<u16>,
}

impl Night {
    /// e-/adu
    pub(crate) const GAIN: f64 = 1.6;
    /// e-
    pub(crate) const READ_NOISE: f64 = 4.2;
    /// adu
    pub(crate) const BIAS: f64 = 500.0;
    /// s
    pub(crate) const EXPTIME: f64 = 120.0;

    /// Computes the scene and the detector's defects. Any shape will do, an empty one included.
    pub(crate) fn new(frames: usize, shape: (usize, usize), seed: u64) -> Self {
        let mut scene = Array2::from_elem(shape, SKY as f32);
        add_galaxies(&mut scene, &mut stream(seed, Stream::Galaxies, 0));
        add_stars(&mut scene, &mut stream(seed, Stream::Stars, 0));
        let mut expected = scene.clone();
        let defects = add_defects(&mut expected, &mut stream(seed, Stream::Defects, 0));
        Self { frames, shape, seed, scene, expected, defects }
    }

    /// Takes the exposure of index `i`; those from `frames` on are no different.
    pub(crate) fn exposure(&self, i: usize) -> Exposure {
        let (charge, mut dq) = self.cosmic_rays(i);
        dq |= &self.defects;
        let mut rng = stream(self.seed, Stream::Noise, i);
        let read_variance = (Self::READ_NOISE / Self::GAIN).powi(2);
        let mut sci = Array2::zeros(self.scene.dim());
        let mut var = Array2::zeros(self.scene.dim());
        Zip::from(&mut sci).and(&mut var).and(&mut dq).and(&self.expected).and(&charge).for_each(
            |sci, var, dq, &expected, &charge| {
                let read: f64 = StandardNormal.sample(&mut rng);
                let electrons = poisson(&mut rng, f64::from(expected)) + f64::from(charge) + Self::READ_NOISE * read;
                // The cast clips at both ends, as the converter does.
                let adu = (Self::BIAS + electrons / Self::GAIN).round() as u16;
                let signal = (f64::from(adu) - Self::BIAS).max(0.0);
                *sci = adu;
                *var = (signal / Self::GAIN + read_variance) as f32;
                if adu > LINEAR_UP_TO {
                    *dq |= DQ_NONLINEAR;
                }
                if adu == u16::MAX {
                    *dq |= DQ_SATURATED;
                }
            },
        );
        Exposure { sci, var, dq }
    }

    /// The noise-free expectation in adu, bias included, as a perfect detector would read it:
    /// without bad pixels, cosmic rays, rounding and saturation.
    pub(crate) fn truth(&self) -> Array2<f32> {
        self.scene.mapv(|e| (Self::BIAS + f64::from(e) / Self::GAIN) as f32)
    }

    /// The charge that cosmic rays leave in frame `i`, e-, and the mask of those that were seen.
    fn cosmic_rays(&self, i: usize) -> (Array2<f32>, Array2<u16>) {
        let (ny, nx) = self.scene.dim();
        let mut charge = Array2::zeros((ny, nx));
        let mut mask = Array2::zeros((ny, nx));
        let mut rng = stream(self.seed, Stream::Cosmics, i);
        let mean_length = (1 + COSMIC_LONGEST) as f64 / 2.0;
        let tracks = poisson(&mut rng, COSMIC_PIXELS * (ny * nx) as f64 / mean_length) as usize;
        for _ in 0..tracks {
            let (y0, x0) = somewhere(&mut rng, (ny, nx));
            let (sin, cos) = (TAU * rng.random::<f64>()).sin_cos();
            // One pixel further along the steeper axis, so that no pixel is met twice.
            let step = 1.0 / sin.abs().max(cos.abs());
            let length = rng.random_range(1..=COSMIC_LONGEST);
            let level = 10f64.powf(rng.random_range(3.0..4.3));
            for k in 0..length {
                let deposit = level * rng.random_range(0.5..1.5);
                let seen = rng.random_bool(COSMIC_FLAGGED);
                let y = (y0 + k as f64 * step * sin).round();
                let x = (x0 + k as f64 * step * cos).round();
                if y < 0.0 || x < 0.0 {
                    break;
                }
                let at = (y as usize, x as usize);
                let Some(pixel) = charge.get_mut(at) else {
                    break;
                };
                *pixel += deposit as f32;
                if seen {
                    mask[at] = DQ_COSMIC;
                }
            }
        }
        (charge, mask)
    }
}

/// An independent generator for one purpose and index.
fn stream(seed: u64, purpose: Stream, index: usize) -> Xoshiro256PlusPlus {
    let key = mix(mix(mix(seed) ^ purpose as u64) ^ index as u64);
    Xoshiro256PlusPlus::seed_from_u64(key)
}

/// Spreads neighbouring keys over all 64 bits (the splitmix64 step).
fn mix(key: u64) -> u64 {
    let z = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A Poisson deviate, from the normal distribution where that is good enough.
fn poisson(rng: &mut Xoshiro256PlusPlus, lambda: f64) -> f64 {
    if lambda > NORMAL_ABOVE {
        let z: f64 = StandardNormal.sample(rng);
        return (lambda + lambda.sqrt() * z).round().max(0.0);
    }
    // Zero is no parameter of the distribution; it yields zero.
    Poisson::new(lambda).map_or(0.0, |law| law.sample(rng))
}

/// A position in the frame, row and column; the centre of the first pixel is (0, 0).
fn somewhere(rng: &mut Xoshiro256PlusPlus, (ny, nx): (usize, usize)) -> (f64, f64) {
    let y = ny as f64 * rng.random::<f64>() - 0.5;
    let x = nx as f64 * rng.random::<f64>() - 0.5;
    (y, x)
}

/// The pixels of an axis of length `n` within `radius` of `centre`.
fn span(centre: f64, radius: f64, n: usize) -> Range<usize> {
    // A cast from below zero gives zero.
    let end = ((centre + radius).floor() + 1.0) as usize;
    let end = end.min(n);
    let start = (centre - radius).ceil() as usize;
    start.min(end)..end
}

/// Adds `profile(dy, dx)` to the pixels at most `radius` from the centre along both axes.
fn add_profile(scene: &mut Array2<f32>, (y0, x0): (f64, f64), radius: f64, profile: impl Fn(f64, f64) -> f64) {
    let (ny, nx) = scene.dim();
    for y in span(y0, radius, ny) {
        for x in span(x0, radius, nx) {
            scene[(y, x)] += profile(y as f64 - y0, x as f64 - x0) as f32;
        }
    }
}

fn add_stars(scene: &mut Array2<f32>, rng: &mut Xoshiro256PlusPlus) {
    let shape = scene.dim();
    let stars = ((shape.0 * shape.1) as f64 / PIXELS_PER_STAR).round() as usize;
    // Moffat of β = 3: I(r) = peak·(1 + r²/α²)⁻³ with the flux π·α²·peak/2.
    let alpha2 = (FWHM / 2.0).powi(2) / (2f64.cbrt() - 1.0);
    for k in 0..stars {
        let above = (k as f64 + rng.random::<f64>()) / stars as f64;
        let flux = (FAINTEST * above.powf(-1.0 / SLOPE)).min(BRIGHTEST);
        let peak = flux * 4.0 / (TAU * alpha2);
        let radius = (alpha2 * ((peak / WING).cbrt() - 1.0)).sqrt();
        add_profile(scene, somewhere(rng, shape), radius, |dy, dx| {
            peak * (1.0 + (dy * dy + dx * dx) / alpha2).powi(-3)
        });
    }
}

fn add_galaxies(scene: &mut Array2<f32>, rng: &mut Xoshiro256PlusPlus) {
    let (ny, nx) = scene.dim();
    let side = ny.min(nx) as f64;
    let mut place = |fy: f64, fx: f64| {
        let jitter_y = rng.random_range(-0.05..0.05);
        let jitter_x = rng.random_range(-0.05..0.05);
        let centre = (ny as f64 * (fy + jitter_y), nx as f64 * (fx + jitter_x));
        (centre, (TAU * rng.random::<f64>()).sin_cos())
    };

    // A thin exponential disc seen at an angle, with two logarithmic arms and a small bulge.
    let (centre, (sin, cos)) = place(0.42, 0.6);
    let scale = (0.055 * side).max(1.0);
    let (thickness, pitch) = (0.6, 0.32f64);
    add_profile(scene, centre, 8.0 * scale, |dy, dx| {
        let along = (cos * dx + sin * dy) / scale;
        let across = (cos * dy - sin * dx) / (scale * thickness);
        let r = along.hypot(across);
        let phase = 2.0 * (across.atan2(along) - (r + 0.1).ln() / pitch.tan());
        let arms = 1.0 + 0.8 * r / (r + 0.7) * phase.cos();
        let bulge = blurred(dy, dx) / (0.22 * scale);
        700.0 * (-r).exp() * arms + 2500.0 * (-bulge).exp()
    });

    // An r^1/4 law.
    let (centre, (sin, cos)) = place(0.76, 0.25);
    let half_light = (0.018 * side).max(1.0);
    add_profile(scene, centre, 12.0 * half_light, |dy, dx| {
        let along = cos * dx + sin * dy;
        let across = (cos * dy - sin * dx) / 0.75;
        let r = blurred(along, across) / half_light;
        220.0 * (-7.669 * (r.sqrt().sqrt() - 1.0)).exp()
    });
}

/// A radius that stops at the seeing, which rounds off the cusp of a profile.
fn blurred(dy: f64, dx: f64) -> f64 {
    (dy * dy + dx * dx + (FWHM / 2.0).powi(2)).sqrt()
}

/// Spoils the bad pixels of `expected` and returns their mask.
fn add_defects(expected: &mut Array2<f32>, rng: &mut Xoshiro256PlusPlus) -> Array2<u16> {
    let (ny, nx) = expected.dim();
    let mut mask = Array2::zeros((ny, nx));
    let bad = (BAD_PIXELS * (ny * nx) as f64).round() as usize;
    for k in 0..bad {
        let at = (rng.random_range(0..ny), rng.random_range(0..nx));
        if k % 2 == 0 {
            expected[at] *= rng.random_range(0.0..0.3f32);
        } else {
            expected[at] += 10f32.powf(rng.random_range(3.5..5.3));
        }
        mask[at] = DQ_BAD;
    }
    // One column in either half, so that they never meet.
    if nx >= 16 {
        let dead = rng.random_range(0..nx / 2);
        expected.column_mut(dead).fill(0.0);
        mask.column_mut(dead).fill(DQ_BAD);
    }
    if nx >= 64 && ny > 0 {
        let hot = rng.random_range(nx / 2..nx);
        for y in rng.random_range(0..ny)..ny {
            expected[(y, hot)] += 6000.0;
            mask[(y, hot)] = DQ_BAD;
        }
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deviation from the truth in units of the expected noise, for the pixels that no defect and
    /// no cosmic ray spoils (the unflagged ones are told by their size).
    fn deviations(night: &Night, exposure: &Exposure) -> Vec<f64> {
        let truth = night.truth();
        let read = (Night::READ_NOISE / Night::GAIN).powi(2);
        exposure
            .sci
            .iter()
            .zip(&exposure.dq)
            .zip(&truth)
            .filter(|((_, dq), _)| **dq == 0)
            .map(|((&adu, _), &truth)| {
                let truth = f64::from(truth);
                let noise = ((truth - Night::BIAS) / Night::GAIN + read).sqrt();
                (f64::from(adu) - truth) / noise
            })
            .filter(|z| z.abs() < 6.0)
            .collect()
    }

    #[test]
    fn an_exposure_depends_on_seed_and_index_alone() {
        let one = Night::new(3, (40, 70), 5);
        let other = Night::new(9, (40, 70), 5);
        let first = one.exposure(2);
        other.exposure(0);
        let second = other.exposure(2);
        assert_eq!(first.sci, second.sci);
        assert_eq!(first.var, second.var);
        assert_eq!(first.dq, second.dq);
        assert_eq!(one.truth(), other.truth());
        assert_ne!(first.sci, one.exposure(1).sci);
        assert_ne!(first.sci, Night::new(3, (40, 70), 6).exposure(2).sci);
    }

    #[test]
    fn the_mean_agrees_with_the_truth() {
        let night = Night::new(1, (256, 256), 11);
        let z = deviations(&night, &night.exposure(0));
        let n = z.len() as f64;
        let mean = z.iter().sum::<f64>() / n;
        let variance = z.iter().map(|z| z * z).sum::<f64>() / n;
        assert!(n > 0.98 * 65536.0);
        assert!(mean.abs() * n.sqrt() < 4.0, "mean {mean}");
        assert!((variance - 1.0).abs() < 4.0 * (2.0 / n).sqrt(), "{variance}");
    }

    #[test]
    fn the_scatter_agrees_with_the_variance() {
        let night = Night::new(40, (48, 48), 3);
        let truth = night.truth();
        let frames: Vec<_> = (0..night.frames).map(|i| night.exposure(i)).collect();
        let n = frames.len() as f64;
        let (mut ratio, mut pixels) = (0.0, 0.0);
        for at in ndarray::indices(night.shape) {
            let clean = frames.iter().all(|f| {
                let off = f64::from(f.sci[at]) - f64::from(truth[at]);
                f.dq[at] == 0 && off.abs() < 6.0 * f64::from(f.var[at]).sqrt()
            });
            if !clean {
                continue;
            }
            let mean = frames.iter().map(|f| f64::from(f.sci[at])).sum::<f64>() / n;
            let scatter = frames.iter().map(|f| (f64::from(f.sci[at]) - mean).powi(2)).sum::<f64>() / (n - 1.0);
            let claimed = frames.iter().map(|f| f64::from(f.var[at])).sum::<f64>() / n;
            ratio += scatter / claimed;
            pixels += 1.0;
        }
        let ratio = ratio / pixels;
        let error = (2.0 / ((n - 1.0) * pixels)).sqrt();
        assert!(pixels > 2000.0);
        assert!((ratio - 1.0).abs() < 4.0 * error, "{ratio} ± {error}");
    }

    #[test]
    fn each_quality_bit_occurs_where_it_should() {
        let night = Night::new(2, (512, 512), 1);
        let (a, b) = (night.exposure(0), night.exposure(1));
        for frame in [&a, &b] {
            for (&adu, &dq) in frame.sci.iter().zip(&frame.dq) {
                assert_eq!(dq & DQ_NONLINEAR != 0, adu > 52_000);
                assert_eq!(dq & DQ_SATURATED != 0, adu == 65_535);
            }
            for bit in [DQ_BAD, DQ_NONLINEAR, DQ_SATURATED, DQ_COSMIC] {
                assert!(frame.dq.iter().any(|dq| dq & bit != 0), "bit {bit}");
            }
        }
        assert_eq!(a.dq.mapv(|dq| dq & DQ_BAD), b.dq.mapv(|dq| dq & DQ_BAD));
    }

    #[test]
    fn most_but_not_all_cosmic_rays_are_flagged() {
        let night = Night::new(40, (512, 512), 8);
        let (mut touched, mut flagged) = (0.0, 0.0);
        for i in 0..night.frames {
            let (charge, mask) = night.cosmic_rays(i);
            touched += charge.iter().filter(|c| **c > 0.0).count() as f64;
            flagged += mask.iter().filter(|m| **m == DQ_COSMIC).count() as f64;
        }
        let share = touched / (40.0 * 512.0 * 512.0);
        assert!((0.6e-4..1.4e-4).contains(&share), "{share}");
        assert!((flagged / touched - 0.9).abs() < 0.05, "{}", flagged / touched);
    }

    #[test]
    fn poisson_deviates_have_their_mean_and_variance() {
        let mut rng = stream(1, Stream::Noise, 0);
        for lambda in [0.3, 40.0, 100.0, 101.0, 5e4] {
            let n = 20_000.0;
            let draws: Vec<f64> = (0..20_000).map(|_| poisson(&mut rng, lambda)).collect();
            let mean = draws.iter().sum::<f64>() / n;
            let variance = draws.iter().map(|d| (d - lambda).powi(2)).sum::<f64>() / n;
            assert!((mean - lambda).abs() < 4.0 * (lambda / n).sqrt());
            let error = lambda * ((2.0 + 1.0 / lambda) / n).sqrt();
            assert!((variance - lambda).abs() < 4.0 * error + 1.0 / 12.0);
            assert!(draws.iter().all(|d| *d >= 0.0 && d.fract() == 0.0));
        }
        assert_eq!(poisson(&mut rng, 0.0), 0.0);
    }

    #[test]
    fn any_shape_will_do() {
        for shape in [(0, 0), (0, 80), (80, 0), (1, 1), (7, 3), (1, 300), (300, 1)] {
            let night = Night::new(1, shape, 2);
            let exposure = night.exposure(0);
            assert_eq!(exposure.sci.dim(), shape);
            assert_eq!(exposure.var.dim(), shape);
            assert_eq!(exposure.dq.dim(), shape);
            assert!(night.truth().iter().all(|v| v.is_finite() && *v >= 500.0));
        }
    }
}
