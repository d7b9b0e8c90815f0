//! World coordinates: from a pixel to the sky, to wavelengths, to whatever the axes of an image are, and back.
//!
//! Read are the WCS of the FITS standard 4.0 (papers I to III) with PC, CD or CROTA, its projections, its spectral types
//! and algorithms, and the distortions SIP, TPV and TNX. What is not supported is refused by the keyword it stands on, so
//! that no coordinates are wrong: tables (`-TAB`), distortions by lookup table, plate solutions. The judge is astropy:
//! `tests/data/make_wcs.py`.
//!
//! A WCS is the cards of its header, read once, and what slicing and transposing did to the pixel axes since, in whole
//! numbers. So a slice of a slice has the coordinates of the image that it comes from to the last bit, and only
//! [`Wcs::write`] makes new cards of it.

mod keys;
mod read;
mod solution;
#[cfg(test)]
mod tests;
mod units;
mod write;

use std::fmt;
use std::sync::Arc;

use crate::fits::Header;
use crate::placed::Place;
use crate::slice::AxisSlice;
use crate::{Error, Result};
use solution::Solution;

/// The length of a pixel axis of which the header says none: what [`Wcs::agrees_with`] looks at.
const NOMINAL: usize = 1024;
/// How far apart two WCS may be and agree, in pixels.
const AGREED: f64 = 1e-3;

/// An error of a WCS.
fn bad(what: impl Into<String>) -> Error {
    Error::Wcs(what.into())
}

/// The world coordinates of an image.
///
/// Pixels have one coordinate for each pixel axis in numpy order, the slowest first, counted from 0; whole numbers are the
/// centres of pixels. World coordinates have one for each world axis in FITS order: degrees on celestial axes, SI units on
/// spectral axes, whatever CUNIT is on others. World axes stay when a pixel axis is dropped.
#[derive(Clone)]
pub struct Wcs {
    solution: Arc<Solution>,
    /// The WCS cards of the header.
    cards: Arc<Header>,
    /// What became of each pixel axis of the header, in FITS order.
    map: Vec<Along>,
    /// How many pixel axes the image of the header had.
    image_axes: usize,
    pixel_axes: usize,
    /// Lengths of the pixel axes in FITS order, as far as they are known.
    lengths: Vec<usize>,
}

/// What a pixel of a view is on one pixel axis of the header. Numbers are those of FITS axes, but count from 0.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Along {
    /// Always this one.
    Fixed(i64),
    /// `start + step * pixel` of the pixel on this axis of the view.
    Axis { axis: usize, start: i64, step: i64 },
}

impl fmt::Debug for Wcs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wcs({})", self.solution.ctype.join(", "))
    }
}

impl Wcs {
    /// The primary WCS of a header; `None` where it has none, that is no CTYPE, CRVAL, CRPIX, CDELT, CD or PC. The image
    /// has as many pixel axes as NAXIS says, or if that is 0 or not there as many as there are world axes.
    ///
    /// # Errors
    /// [`Error::Wcs`] names the keyword: what is not supported, contradicts itself or cannot be inverted.
    pub fn from_header(header: &Header) -> Result<Option<Wcs>> {
        Self::of_image(header, None)
    }

    /// The same for an image of `rank` axes, where the header does not say how many it is of.
    pub(crate) fn of_image(header: &Header, rank: Option<usize>) -> Result<Option<Wcs>> {
        let cards = keys::cards(header)?;
        let image = read::image_axes(header)?.or(rank.filter(|&r| r > 0));
        let Some(solution) = read::read(&cards, image)? else { return Ok(None) };
        let n = solution.n;
        let pixel_axes = image.unwrap_or(n);
        let length = |j: usize| header.get_u64(&format!("NAXIS{}", j + 1)).and_then(|v| usize::try_from(v).ok());
        let map =
            (0..n).map(|j| if j < pixel_axes { Along::Axis { axis: j, start: 0, step: 1 } } else { Along::Fixed(0) });
        Ok(Some(Wcs {
            map: map.collect(),
            image_axes: pixel_axes,
            pixel_axes,
            lengths: (0..pixel_axes).map(|j| length(j).filter(|&l| l > 0).unwrap_or(NOMINAL)).collect(),
            solution: Arc::new(solution),
            cards: Arc::new(cards),
        }))
    }

    /// How many coordinates a pixel has.
    pub fn pixel_axes(&self) -> usize {
        self.pixel_axes
    }

    /// How many coordinates a position in the world has.
    pub fn world_axes(&self) -> usize {
        self.solution.n
    }

    /// CTYPE of the world axes, empty where there is none.
    pub fn ctype(&self) -> &[String] {
        &self.solution.ctype
    }

    /// Units of the world coordinates, empty where there is none.
    pub fn units(&self) -> &[String] {
        &self.solution.units
    }

    /// CNAME of the world axes, empty where there is none.
    pub fn names(&self) -> &[String] {
        &self.solution.names
    }

    /// # Errors
    /// Another number of coordinates than there are pixel axes; a pixel that is no position in this projection.
    pub fn pixel_to_world(&self, pixel: &[f64]) -> Result<Vec<f64>> {
        if pixel.len() != self.pixel_axes {
            return Err(bad(format!("{} pixel coordinates for {} pixel axes", pixel.len(), self.pixel_axes)));
        }
        let last = self.pixel_axes.wrapping_sub(1);
        let full: Vec<f64> = self
            .map
            .iter()
            .map(|along| match *along {
                Along::Fixed(p) => p as f64,
                Along::Axis { axis, start, step } => start as f64 + step as f64 * pixel[last - axis],
            })
            .collect();
        self.solution.pixel_to_world(&full)
    }

    /// Where a position is on the pixel axes that there are; that it is somewhere else on an axis that was dropped does not
    /// matter.
    ///
    /// # Errors
    /// Another number of coordinates than there are world axes; a position that this projection does not have.
    pub fn world_to_pixel(&self, world: &[f64]) -> Result<Vec<f64>> {
        if world.len() != self.solution.n {
            return Err(bad(format!("{} world coordinates for {} world axes", world.len(), self.solution.n)));
        }
        let full = self.solution.world_to_pixel(world)?;
        let mut pixel = vec![0.0; self.pixel_axes];
        for (along, p) in self.map.iter().zip(full) {
            if let Along::Axis { axis, start, step } = *along {
                pixel[self.pixel_axes - 1 - axis] = (p - start as f64) / step as f64;
            }
        }
        Ok(pixel)
    }

    /// The WCS of a view of the image: one slice for each pixel axis, in numpy order. Composes exactly.
    ///
    /// # Panics
    /// There are more or fewer slices than pixel axes, or a step is 0.
    pub(crate) fn sliced(&self, axes: &[AxisSlice]) -> Wcs {
        assert_eq!(axes.len(), self.pixel_axes, "one slice for each pixel axis");
        let mut new = Vec::with_capacity(axes.len());
        let mut lengths = Vec::with_capacity(axes.len());
        // In FITS order.
        for slice in axes.iter().rev() {
            new.push(match *slice {
                AxisSlice::Index(i) => Along::Fixed(whole(i)),
                AxisSlice::Range { start, step, len } => {
                    assert!(step != 0, "the step of a slice is not 0");
                    lengths.push(len.max(1));
                    Along::Axis { axis: lengths.len() - 1, start: whole(start), step: step as i64 }
                }
            });
        }
        let along = |old: &Along| match *old {
            Along::Axis { axis, start, step } => {
                let from = |p: i64| start.saturating_add(step.saturating_mul(p));
                match new[axis] {
                    Along::Fixed(p) => Along::Fixed(from(p)),
                    Along::Axis { axis, start: p, step: by } => {
                        Along::Axis { axis, start: from(p), step: step.saturating_mul(by) }
                    }
                }
            }
            fixed => fixed,
        };
        Wcs { map: self.map.iter().map(along).collect(), pixel_axes: lengths.len(), lengths, ..self.clone() }
    }

    /// The WCS of a larger grid on which the image lies. Composes exactly.
    ///
    /// # Panics
    /// The grid has more or fewer axes than the image.
    pub(crate) fn placed(&self, place: &Place) -> Wcs {
        assert_eq!(place.at.len(), self.pixel_axes, "a grid of the axes of the image");
        let last = self.pixel_axes.wrapping_sub(1);
        let along = |old: &Along| match *old {
            Along::Axis { axis, start, step } => {
                let before = step.saturating_mul(whole(place.at[last - axis]));
                Along::Axis { axis, start: start.saturating_sub(before), step }
            }
            fixed => fixed,
        };
        let lengths = place.shape.iter().rev().map(|&n| n.max(1)).collect();
        Wcs { map: self.map.iter().map(along).collect(), lengths, ..self.clone() }
    }

    /// The WCS of the transposed image, as numpy transposes: axis k of the new image is axis `order[k]` of this one.
    ///
    /// # Panics
    /// `order` has not each pixel axis once.
    pub fn transposed(&self, order: &[usize]) -> Wcs {
        let n = self.pixel_axes;
        let mut to = vec![usize::MAX; n];
        assert_eq!(order.len(), n, "one number for each pixel axis");
        for (k, &axis) in order.iter().enumerate() {
            assert!(axis < n && to[n - 1 - axis] == usize::MAX, "each pixel axis once, not {order:?}");
            to[n - 1 - axis] = n - 1 - k;
        }
        let mut lengths = self.lengths.clone();
        for (old, &new) in to.iter().enumerate() {
            lengths[new] = self.lengths[old];
        }
        let along = |old: &Along| match *old {
            Along::Axis { axis, start, step } => Along::Axis { axis: to[axis], start, step },
            fixed => fixed,
        };
        Wcs { map: self.map.iter().map(along).collect(), lengths, ..self.clone() }
    }

    /// Whether another WCS has the same axis types and gives the same coordinates, to a thousandth of a pixel: compared at
    /// the corners and the centre of this image, or of one of 1024 pixels a side where its header says no size. Where
    /// neither has coordinates they agree.
    pub fn agrees_with(&self, other: &Wcs) -> bool {
        if self.ctype() != other.ctype() || self.units() != other.units() || self.pixel_axes != other.pixel_axes {
            return false;
        }
        if Arc::ptr_eq(&self.solution, &other.solution) && self.map == other.map {
            return true;
        }
        // numpy order.
        let high: Vec<f64> = self.lengths.iter().rev().map(|&l| (l - 1) as f64).collect();
        let corners = (0..1_usize << self.pixel_axes).map(|c| {
            high.iter().enumerate().map(|(k, &h)| if c >> k & 1 == 1 { h } else { 0.0 }).collect::<Vec<f64>>()
        });
        let centre = high.iter().map(|h| h / 2.0).collect();
        corners.chain([centre]).all(|pixel| self.agrees_at(other, &pixel))
    }

    fn agrees_at(&self, other: &Wcs, pixel: &[f64]) -> bool {
        let (here, there) = match (self.pixel_to_world(pixel), other.pixel_to_world(pixel)) {
            (Ok(here), Ok(there)) => (here, there),
            (here, there) => return here.is_err() && there.is_err(),
        };
        let longitude = self.solution.celestial.as_ref().map(|c| c.lon);
        let apart = |i: usize, a: f64, b: f64| {
            let d = (a - b).abs();
            if Some(i) == longitude { (d % 360.0).min(360.0 - d % 360.0) } else { d }
        };
        // What a pixel is on each world axis, towards the inside of the image.
        let mut step = vec![0.0_f64; here.len()];
        for k in 0..pixel.len() {
            let mut next = pixel.to_vec();
            next[k] += if pixel[k] > 0.0 { -1.0 } else { 1.0 };
            let Ok(next) = self.pixel_to_world(&next) else { continue };
            for (i, s) in step.iter_mut().enumerate() {
                *s = s.max(apart(i, next[i], here[i]));
            }
        }
        // Rounding is no difference: that of an axis that no pixel axis moves along, and that of large numbers.
        (0..here.len()).all(|i| apart(i, here[i], there[i]) <= AGREED * step[i] + 1e-12 * here[i].abs())
    }

    /// Whether nothing was done to the pixel axes of the header.
    fn is_whole(&self) -> bool {
        let same = |(j, along): (usize, &Along)| match *along {
            Along::Fixed(p) => p == 0 && j >= self.image_axes,
            Along::Axis { axis, start, step } => axis == j && start == 0 && step == 1,
        };
        self.map.iter().enumerate().all(same)
    }

    /// Whether a header has cards of a WCS.
    pub(crate) fn is_in(header: &Header) -> bool {
        header.iter().any(|entry| keys::kind(&entry.keyword).is_some_and(|(k, alt)| alt.is_empty() && k.is_essential()))
    }

    /// Takes the cards of every WCS out of a header.
    pub(crate) fn remove(header: &mut Header) {
        header.remove_where(|key| keys::kind(key).is_some() || keys::is_wat(key));
    }

    /// Writes the cards of this WCS into a header in the place of the WCS cards that it has. Other cards stay, byte for
    /// byte, and so do WCS cards that say already what they must; the size of the image (NAXIS) is the caller's.
    ///
    /// Slices and transpositions are in CRPIX, in the columns of CD or PC or in CDELT, and in the coefficients of SIP, of
    /// alternate descriptions (`CRPIX1A`) as well; one of those that cannot be read is removed. CROTA becomes PC where
    /// pixels are turned or skipped. Axes that were dropped are the last, at their first pixel, and WCSAXES counts them.
    /// LTV and LTM, sections like DATASEC, and the cards of a plate solution are not touched.
    ///
    /// # Errors
    /// Nothing is written: the axes of SIP are no longer the first two pixel axes, which are the only ones that its cards
    /// can be about.
    pub fn write(&self, header: &mut Header) -> Result<()> {
        write::put_into(&write::cards(self)?, header);
        Ok(())
    }
}

/// Indices of arrays are no larger.
fn whole(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}
