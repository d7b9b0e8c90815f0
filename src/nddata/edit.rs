//! What changes a container: its planes as a whole, and parts of them. All checks come before the first change, so a
//! container that an error comes from is what it was.

use std::sync::Arc;

use super::NDAstroData;
use super::uncertainty::Uncertainty;
use crate::dtype::DType;
use crate::fits::{Header, UncertaintyKind};
use crate::pixels::Pixels;
use crate::plane::Plane;
use crate::slice::Slices;
use crate::unit::Unit;
use crate::{Error, Result};

/// Names that planes are written by, so that no further plane can have them.
const TAKEN: [&str; 5] = ["SCI", "VAR", "ERR", "UNCERT", "DQ"];

impl NDAstroData {
    /// Puts other data in place of these. Without an uncertainty and a mask they may have any shape.
    ///
    /// # Errors
    /// Another shape than that of the uncertainty or the mask; [`reset`](Self::reset) replaces all.
    pub fn set_data(&mut self, data: impl Into<Pixels>) -> Result<()> {
        let data = Plane::memory(data.into());
        if self.uncertainty.is_some() || self.mask.is_some() {
            let (expected, found) = (self.shape(), data.shape());
            if expected != found {
                let why = "that of the uncertainty or mask that it has; reset replaces all".into();
                return Err(Error::Shape { what: format!("new data of {}", self.label()), expected, found, why });
            }
        }
        self.data = data;
        Ok(())
    }

    /// Puts other data, mask and variance (data unit squared) in place of all that are there; what is `None` is
    /// removed. Unit, header and further planes stay.
    ///
    /// # Errors
    /// Mask or variance have another shape than the data, or the mask is no integer of at most 32 bits.
    pub fn reset(
        &mut self,
        data: impl Into<Pixels>,
        mask: Option<impl Into<Pixels>>,
        variance: Option<impl Into<Pixels>>,
    ) -> Result<()> {
        let data = Plane::memory(data.into());
        let mut new = NDAstroData { data, uncertainty: None, mask: None, ..self.clone() };
        new.set_mask(mask)?;
        new.set_variance(variance)?;
        *self = new;
        Ok(())
    }

    /// Puts data, uncertainty, mask and unit of another container of this shape in place of its own.
    pub(crate) fn take(&mut self, from: NDAstroData) -> Result<()> {
        let (expected, found) = (self.shape(), from.shape());
        if expected != found {
            let why = "that of the container that is changed in place".into();
            return Err(Error::Shape { what: self.label(), expected, found, why });
        }
        let NDAstroData { data, uncertainty, mask, unit, .. } = from;
        *self = NDAstroData { data, uncertainty, mask, ..self.clone() };
        self.set_unit(unit);
        Ok(())
    }

    /// Puts a variance, in data unit squared, in place of the uncertainty, whatever kind that is of; or removes it:
    /// `set_variance(None::<Pixels>)`.
    ///
    /// # Errors
    /// Its shape is not that of the data.
    pub fn set_variance(&mut self, variance: Option<impl Into<Pixels>>) -> Result<()> {
        self.set_uncertainty(variance.map(|v| (v, UncertaintyKind::Variance)))
    }

    /// Puts an uncertainty of any kind in place of the one that is there, or removes it. Standard deviations are in
    /// data units, inverse variances in 1 over their square.
    ///
    /// # Errors
    /// Its shape is not that of the data.
    pub fn set_uncertainty(&mut self, uncertainty: Option<(impl Into<Pixels>, UncertaintyKind)>) -> Result<()> {
        self.uncertainty = match uncertainty {
            Some((numbers, kind)) => Some(Uncertainty::new(self.companion(Plane::memory(numbers.into()))?, kind)),
            None => None,
        };
        Ok(())
    }

    /// Puts a bit mask of at most 32 bits in place of the one that is there, or removes it: `set_mask(None::<Pixels>)`.
    /// It is written in the width that it has.
    ///
    /// # Errors
    /// Its shape is not that of the data, or its type is no integer of at most 32 bits.
    pub fn set_mask(&mut self, mask: Option<impl Into<Pixels>>) -> Result<()> {
        self.mask = match mask {
            Some(mask) => Some(self.mask_of(Plane::memory(mask.into()))?),
            None => None,
        };
        Ok(())
    }

    /// Puts a further plane of any shape in place of the one of this name (upper and lower case are one), or removes
    /// it.
    ///
    /// # Errors
    /// The name is empty, or one that data, uncertainties and masks are written by.
    pub fn set_other(&mut self, name: impl Into<String>, pixels: Option<impl Into<Pixels>>) -> Result<()> {
        let name = name.into();
        let Some(pixels) = pixels else {
            self.other.retain(|(n, _)| !n.eq_ignore_ascii_case(&name));
            return Ok(());
        };
        if name.trim().is_empty() || TAKEN.iter().any(|n| n.eq_ignore_ascii_case(name.trim())) {
            return Err(Error::Parameter(format!(
                "{}: {name:?} cannot be the name of a further plane: data, variance and mask are set as such",
                self.label()
            )));
        }
        self.put_other(name, Plane::memory(pixels.into()));
        Ok(())
    }

    /// One of the same name gives its place away.
    pub(crate) fn put_other(&mut self, name: String, plane: Plane) {
        let same = |(n, _): &(String, Plane)| n.eq_ignore_ascii_case(&name);
        let at = self.other.iter().position(same);
        self.other.retain(|o| !same(o));
        self.other.insert(at.unwrap_or(self.other.len()), (name, plane));
    }

    /// Says in what unit the data are, or that nobody knows: then BUNIT goes from the header too. No number is changed.
    pub fn set_unit(&mut self, unit: Option<impl Into<Unit>>) {
        self.unit = unit.map(Into::into);
        if self.unit.is_none() && self.meta.contains("BUNIT") {
            self.meta_mut().remove("BUNIT");
        }
    }

    /// Puts another header in place of this one: of a part, that of the whole, as [`meta`](Self::meta) has it. The unit
    /// stays what it is.
    pub fn set_meta(&mut self, meta: Header) {
        self.meta = Arc::new(meta);
    }

    /// Writes the planes of another container into a part of these: its data always, its uncertainty and its mask where
    /// both have them. It may have the shape of the part, or one that repeats to it by numpy's rules. An uncertainty of
    /// another kind is converted through the variance. Unit, header and further planes stay.
    ///
    /// The planes that are written to are loaded first and are in memory from then on, in the types that they have:
    /// floating-point ones round what they get, integer ones take integers within their range and nothing else. Clones
    /// and windows of this container that were made before keep what they have.
    ///
    /// ```
    /// # use ndastro::{NDAstroData, Window};
    /// # let mut nd = NDAstroData::new(ndarray::Array2::<f32>::zeros((9, 9)));
    /// let corner = Window::new([0..4, 0..4]);
    /// let part = nd.window(&corner)?;
    /// nd.set_section(&corner, &part)?;
    /// nd.set_section((-4.., -4..), &part)?;
    /// # Ok::<(), ndastro::Error>(())
    /// ```
    ///
    /// # Errors
    /// The section does not fit this image, or the other container the section; a value does not fit its type; one
    /// uncertainty, and not the other, is of an unknown kind; a plane cannot be read.
    pub fn set_section(&mut self, section: impl Into<Slices>, from: &NDAstroData) -> Result<()> {
        let section = section.into();
        let slices = section.resolve(&self.shape()).map_err(|e| self.locate(e))?;
        let shape = self.data.sliced(&slices).shape();
        let fit = |plane: &Plane, dtype: DType, name: &str| {
            let repeated = plane.broadcast(&shape).map_err(|_| Error::Shape {
                what: from.label(),
                expected: shape.clone(),
                found: from.shape(),
                why: format!("that of section [{section}] of {}, or one that repeats to it", self.label()),
            })?;
            let pixels = repeated.pixels()?;
            if pixels.dtype() == dtype {
                return Ok(pixels);
            }
            pixels.converted(dtype, &format!("{name} of {}", from.label())).map(Arc::new)
        };
        let data = fit(&from.data, self.data.dtype(), "data")?;
        let uncertainty = match (&self.uncertainty, &from.uncertainty) {
            (Some(own), Some(new)) => Some(fit(&new.stored_as(own.kind)?, own.stored.dtype(), "uncertainty")?),
            _ => None,
        };
        let mask = match (&self.mask, &from.mask) {
            (Some(own), Some(new)) => Some(fit(new, own.dtype(), "mask")?),
            _ => None,
        };
        // Loading may fail, and changes no value; after it nothing does.
        self.data.edit()?;
        if let (Some(own), Some(_)) = (&mut self.uncertainty, &uncertainty) {
            own.edit(|_| Ok(()))?;
        }
        if let (Some(own), Some(new)) = (&mut self.mask, &mask) {
            own.edit()?.assign(&slices, new)?;
        }
        if let (Some(own), Some(new)) = (&mut self.uncertainty, &uncertainty) {
            own.edit(|numbers| numbers.assign(&slices, new))?;
        }
        self.data.edit()?.assign(&slices, &data)
    }
}
