//! Parts of a container, and other orders of its axes: views of its planes that read nothing.

use super::NDAstroData;
use super::coordinates::Change;
use super::uncertainty::Uncertainty;
use crate::fits::UncertaintyKind;
use crate::placed::Place;
use crate::plane::Plane;
use crate::slice::{AxisSlice, Slices};
use crate::window::Window;
use crate::{Error, Result};

impl NDAstroData {
    /// The part in `window`: a container like any other. Reads nothing; what it reads later are its own bytes only,
    /// and this container stays as lazy as it is. Further planes of the same shape are cut too, others stay whole. Its
    /// world coordinates follow.
    ///
    /// # Errors
    /// The window does not lie in the image. [`slice`](Self::slice) cuts off what lies beyond.
    pub fn window(&self, window: &Window) -> Result<Self> {
        let shape = self.shape();
        let fits = window.check(&shape).and_then(|()| Slices::from(window).resolve(&shape));
        Ok(self.sliced(&fits.map_err(|e| self.locate(e))?))
    }

    /// The part that slices take, by numpy's rules: open and negative ends, steps of either sign, numbers that drop
    /// their axis, an ellipsis; what lies beyond the image is cut off.
    ///
    /// ```
    /// # use ndastro::{NDAstroData, Slice};
    /// let nd = NDAstroData::new(ndarray::Array3::<f32>::zeros((4, 5, 6)));
    /// assert_eq!(nd.slice((-1, .., Slice::from(1..).by(2)))?.shape(), [5, 3]);
    /// # Ok::<(), ndastro::Error>(())
    /// ```
    ///
    /// As lazy as a [`window`](Self::window), and like it in everything else. If every axis is dropped one pixel is
    /// left, of shape `[]`: it can be read and computed with, not written.
    ///
    /// # Errors
    /// More slices than axes, a number outside its axis, two ellipses, a step of 0.
    pub fn slice(&self, slices: impl Into<Slices>) -> Result<Self> {
        Ok(self.sliced(&slices.into().resolve(&self.shape()).map_err(|e| self.locate(e))?))
    }

    /// By slices that fit.
    pub(crate) fn sliced(&self, slices: &[AxisSlice]) -> Self {
        self.seen(|plane| plane.sliced(slices), Change::Sliced(slices.to_vec()))
    }

    /// With its axes in another order: axis `i` of the result is axis `order[i]` of this. Reads nothing. Further planes
    /// of the same shape are turned too, others stay as they are; the unit stays, and the world coordinates
    /// follow.
    ///
    /// # Errors
    /// `order` does not name every axis once.
    pub fn transposed(&self, order: &[usize]) -> Result<Self> {
        let axes = self.shape().len();
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..axes) {
            let all: Vec<usize> = (0..axes).collect();
            let label = self.label();
            return Err(Error::Parameter(format!("{label}: {order:?} is no order of the axes {all:?}, each once")));
        }
        Ok(self.seen(|plane| plane.transposed(order), Change::Transposed(order.to_vec())))
    }

    /// With its axes in the opposite order, as [`transposed`](Self::transposed) has it.
    pub fn transpose(&self) -> Self {
        let order: Vec<usize> = (0..self.shape().len()).rev().collect();
        self.seen(|plane| plane.transposed(&order), Change::Transposed(order.clone()))
    }

    /// On a larger grid: NaN, and `no_data` in the mask, where it is not. Reads nothing. Further planes are left behind.
    pub(crate) fn placed(&self, place: &Place) -> Self {
        let variance = self.variance_plane().map(|p| p.placed(place.clone()));
        NDAstroData {
            data: self.data.placed(place.clone()),
            uncertainty: variance.map(|p| Uncertainty::new(p, UncertaintyKind::Variance)),
            mask: self.mask.as_ref().map(|p| p.placed_mask(place.clone())),
            other: Vec::new(),
            coordinates: self.coordinates.changed(Change::Placed(place.clone())),
            ..self.clone()
        }
    }

    /// Another view of all planes of this shape.
    fn seen(&self, view: impl Fn(&Plane) -> Plane, change: Change) -> Self {
        let shape = self.shape();
        let other = |(name, p): &(String, Plane)| (name.clone(), if p.shape() == shape { view(p) } else { p.clone() });
        NDAstroData {
            data: view(&self.data),
            uncertainty: self.uncertainty.as_ref().map(|u| Uncertainty::new(view(&u.stored), u.kind)),
            mask: self.mask.as_ref().map(&view),
            other: self.other.iter().map(other).collect(),
            coordinates: self.coordinates.changed(change),
            ..self.clone()
        }
    }

    /// An error of a window or of slices, with the file and HDU that it was of.
    pub(super) fn locate(&self, e: Error) -> Error {
        match e {
            Error::Window { window, shape, .. } => Error::Window { what: self.label(), window, shape },
            Error::Parameter(text) => Error::Parameter(format!("{}: {text}", self.label())),
            other => other,
        }
    }
}
