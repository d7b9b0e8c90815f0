//! From pixel to world and back: linear part and SIP here, projections, rotation and spectral algorithms of `fitsy`.

use fitsy::wcs::celestial::CelestialRotation;
use fitsy::wcs::{Projection, SpectralAxis, Tnx, Tpv};

use super::bad;
use crate::{Error, Result};

/// Steps of the iteration that inverts a polynomial.
const STEPS: usize = 50;

/// Rounding at the edge of a map, in degrees.
const EDGE: f64 = 1e-11;

/// What a WCS computes, for the pixels that its header has.
pub(super) struct Solution {
    pub n: usize,
    pub crpix: Vec<f64>,
    /// Row by row, in degrees and SI units.
    pub matrix: Vec<f64>,
    pub inverse: Vec<f64>,
    /// In degrees and SI units.
    pub crval: Vec<f64>,
    pub curves: Vec<Curve>,
    pub celestial: Option<Celestial>,
    pub sip: Option<Sip>,
    pub ctype: Vec<String>,
    pub units: Vec<String>,
    pub names: Vec<String>,
}

/// How an axis that is no longitude or latitude goes on from the linear part.
pub(super) enum Curve {
    Linear,
    Log,
    Spectral(Box<SpectralAxis>),
}

/// Longitude and latitude.
pub(super) struct Celestial {
    pub lon: usize,
    pub lat: usize,
    pub projection: Projection,
    pub rotation: CelestialRotation,
    /// Where the reference point is in the plane of the projection.
    pub offset: (f64, f64),
    pub warp: Option<Warp>,
}

/// A distortion in the plane of the projection.
pub(super) enum Warp {
    Tpv(Box<Tpv>),
    Tnx(Box<Tnx>),
}

impl Warp {
    fn forward(&self, x: f64, y: f64) -> (f64, f64) {
        match self {
            Warp::Tpv(w) => w.forward(x, y),
            Warp::Tnx(w) => w.forward(x, y),
        }
    }

    fn inverse(&self, x: f64, y: f64) -> Result<(f64, f64)> {
        match self {
            Warp::Tpv(w) => w.inverse(x, y),
            Warp::Tnx(w) => w.inverse(x, y),
        }
        .map_err(outside)
    }
}

/// A polynomial in the offsets from CRPIX on the first two pixel axes.
pub(super) struct Sip {
    /// Coefficients of u^p v^q by p and q.
    pub a: Vec<(i32, i32, f64)>,
    pub b: Vec<(i32, i32, f64)>,
}

impl Sip {
    /// The sum of one polynomial, and its derivatives.
    fn sum(terms: &[(i32, i32, f64)], u: f64, v: f64) -> (f64, f64, f64) {
        let slope = |p: i32, z: f64| if p == 0 { 0.0 } else { f64::from(p) * z.powi(p - 1) };
        terms.iter().fold((0.0, 0.0, 0.0), |(s, du, dv), &(p, q, c)| {
            let (up, vq) = (u.powi(p), v.powi(q));
            (s + c * up * vq, du + c * slope(p, u) * vq, dv + c * up * slope(q, v))
        })
    }

    fn forward(&self, u: f64, v: f64) -> (f64, f64) {
        (u + Sip::sum(&self.a, u, v).0, v + Sip::sum(&self.b, u, v).0)
    }

    /// By Newton's method on the forward polynomials: AP and BP are fits, and not exact.
    fn inverse(&self, f: f64, g: f64) -> Result<(f64, f64)> {
        let (mut u, mut v) = (f, g);
        let mut last = f64::INFINITY;
        for _ in 0..STEPS {
            let (a, au, av) = Sip::sum(&self.a, u, v);
            let (b, bu, bv) = Sip::sum(&self.b, u, v);
            let (ru, rv) = (u + a - f, v + b - g);
            let det = (1.0 + au) * (1.0 + bv) - av * bu;
            let (du, dv) = (((1.0 + bv) * ru - av * rv) / det, ((1.0 + au) * rv - bu * ru) / det);
            (u, v) = (u - du, v - dv);
            let size = du.abs().max(dv.abs());
            // The steps of the last digits go on for ever: it is done when they are small and no longer shrink.
            if size == 0.0 || (size < 1e-9 && size >= last) {
                return Ok((u, v));
            }
            last = size;
        }
        if last < 1e-9 { Ok((u, v)) } else { Err(bad("SIP has no inverse at this position")) }
    }
}

fn outside(e: fitsy::FitsError) -> Error {
    bad(format!("no coordinates here: {e}"))
}

fn finite(values: Vec<f64>) -> Result<Vec<f64>> {
    if values.iter().all(|v| v.is_finite()) { Ok(values) } else { Err(bad("no coordinates here: not a finite number")) }
}

fn product(matrix: &[f64], n: usize, v: &[f64]) -> Vec<f64> {
    (0..n).map(|i| (0..n).map(|j| matrix[i * n + j] * v[j]).sum()).collect()
}

impl Solution {
    /// Pixels are in FITS order, counted from 0.
    pub(super) fn pixel_to_world(&self, pixel: &[f64]) -> Result<Vec<f64>> {
        let mut u: Vec<f64> = pixel.iter().zip(&self.crpix).map(|(p, r)| p + 1.0 - r).collect();
        if let Some(sip) = &self.sip {
            (u[0], u[1]) = sip.forward(u[0], u[1]);
        }
        let x = product(&self.matrix, self.n, &u);
        let mut world = Vec::with_capacity(self.n);
        for (i, curve) in self.curves.iter().enumerate() {
            world.push(match curve {
                Curve::Linear => self.crval[i] + x[i],
                Curve::Log => self.crval[i] * (x[i] / self.crval[i]).exp(),
                Curve::Spectral(s) => s.intermediate_to_world(x[i]).map_err(outside)?,
            });
        }
        if let Some(c) = &self.celestial {
            (world[c.lon], world[c.lat]) = c.sky(x[c.lon], x[c.lat])?;
        }
        finite(world)
    }

    /// Pixels are in FITS order, counted from 0.
    pub(super) fn world_to_pixel(&self, world: &[f64]) -> Result<Vec<f64>> {
        let mut x = Vec::with_capacity(self.n);
        for (i, curve) in self.curves.iter().enumerate() {
            x.push(match curve {
                Curve::Linear => world[i] - self.crval[i],
                Curve::Log => self.crval[i] * (world[i] / self.crval[i]).ln(),
                Curve::Spectral(s) => s.world_to_intermediate(world[i]).map_err(outside)?,
            });
        }
        if let Some(c) = &self.celestial {
            (x[c.lon], x[c.lat]) = c.plane(world[c.lon], world[c.lat])?;
        }
        let mut u = product(&self.inverse, self.n, &finite(x)?);
        if let Some(sip) = &self.sip {
            (u[0], u[1]) = sip.inverse(u[0], u[1])?;
        }
        finite(u.iter().zip(&self.crpix).map(|(u, r)| u + r - 1.0).collect())
    }
}

impl Celestial {
    fn sky(&self, mut x: f64, mut y: f64) -> Result<(f64, f64)> {
        if let Some(warp) = &self.warp {
            (x, y) = warp.forward(x, y);
        }
        let (x, y) = (x + self.offset.0, y + self.offset.1);
        if !(x.is_finite() && y.is_finite()) {
            return Err(bad("no coordinates here: not a finite number"));
        }
        // The faces of a cube left of the first are those on the right.
        let cube = matches!(self.projection, Projection::Tsc(_) | Projection::Csc(_) | Projection::Qsc(_));
        let x = if cube && (-315.0..-45.0).contains(&x) { x + 360.0 } else { x };
        let (phi, theta) = self.projection.x2s(x, y).map_err(outside)?;
        if let Projection::Xph(_) | Projection::Hpx(_) = self.projection {
            // Between the facets of a butterfly is no sky, though a formula may be found for it.
            let (u, v) = self.projection.s2x(phi, theta).map_err(outside)?;
            if !((u - x).abs() < 1e-7 && (v - y).abs() < 1e-7) {
                return Err(bad("no coordinates here: between the facets of the map"));
            }
        }
        // Beside the map of the whole sky there is no second one.
        if !(phi.abs() <= 180.0 + EDGE && theta.abs() <= 90.0 + EDGE) {
            return Err(bad("no coordinates here: beside the map"));
        }
        let (lon, lat) = self.rotation.native_to_celestial(phi, theta);
        // Longitudes have the sign of CRVAL, as WCSLIB gives them.
        Ok((if self.rotation.alpha0 < 0.0 && lon > 0.0 { lon - 360.0 } else { lon }, lat))
    }

    fn plane(&self, lon: f64, lat: f64) -> Result<(f64, f64)> {
        if !(lon.is_finite() && lat.abs() <= 90.0) {
            return Err(bad(format!("latitude {lat} is not from -90 to 90")));
        }
        let (phi, theta) = self.rotation.celestial_to_native(lon, lat);
        let (x, y) = self.projection.s2x(phi, theta).map_err(outside)?;
        let (x, y) = (x - self.offset.0, y - self.offset.1);
        self.warp.as_ref().map_or(Ok((x, y)), |warp| warp.inverse(x, y))
    }
}

/// The inverse of a matrix of `n` rows, by elimination with the largest pivot; `None` where it has none.
pub(super) fn inverted(matrix: &[f64], n: usize) -> Option<Vec<f64>> {
    // Rows of matrix and identity, each divided by its largest number: rows are in units of their own.
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(n);
    for (i, row) in matrix.chunks(n).enumerate() {
        let scale = row.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        if !(scale > 0.0 && scale.is_finite()) {
            return None;
        }
        let identity = (0..n).map(|j| if i == j { 1.0 / scale } else { 0.0 });
        rows.push(row.iter().map(|v| v / scale).chain(identity).collect());
    }
    for k in 0..n {
        let pivot = (k..n).max_by(|&a, &b| rows[a][k].abs().total_cmp(&rows[b][k].abs()))?;
        rows.swap(k, pivot);
        let d = rows[k][k];
        if d.abs() < 1e-14 {
            return None;
        }
        rows[k].iter_mut().for_each(|v| *v /= d);
        let top = rows[k].clone();
        for (i, row) in rows.iter_mut().enumerate() {
            let f = row[k];
            if i != k && f != 0.0 {
                row.iter_mut().zip(&top).for_each(|(v, t)| *v -= f * t);
            }
        }
    }
    let inverse: Vec<f64> = rows.iter().flat_map(|row| row[n..].iter().copied()).collect();
    inverse.iter().all(|v| v.is_finite()).then_some(inverse)
}
