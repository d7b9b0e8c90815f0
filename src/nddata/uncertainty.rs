//! Kinds of uncertainty: what each is as a variance, and as each other.

use super::NDAstroData;
use crate::fits::UncertaintyKind;
use crate::pixels::Pixels;
use crate::plane::{Noise, Plane, Transform};
use crate::{Error, Result};

/// An uncertainty as it is stored, and as a variance.
#[derive(Clone)]
pub(super) struct Uncertainty {
    pub(super) kind: UncertaintyKind,
    pub(super) stored: Plane,
    /// `None` where that is the same, and where nobody knows what the numbers are.
    pub(super) converted: Option<Plane>,
}

impl Uncertainty {
    pub(super) fn new(stored: Plane, kind: UncertaintyKind) -> Self {
        let transform = match kind {
            UncertaintyKind::StdDev => Some(Transform::Square),
            UncertaintyKind::InverseVariance => Some(Transform::Reciprocal),
            UncertaintyKind::Variance | UncertaintyKind::Unknown => None,
        };
        Uncertainty { kind, converted: transform.map(|t| stored.transformed(t)), stored }
    }

    pub(super) fn variance(&self) -> Option<&Plane> {
        if self.kind == UncertaintyKind::Variance { Some(&self.stored) } else { self.converted.as_ref() }
    }

    /// Changes the numbers as they are stored, in memory.
    pub(super) fn edit(&mut self, change: impl FnOnce(&mut Pixels) -> Result<()>) -> Result<()> {
        // A view of the numbers would make the change a copy of all of them.
        self.converted = None;
        let done = self.stored.edit().and_then(change);
        *self = Self::new(self.stored.clone(), self.kind);
        done
    }

    /// The numbers of another kind, in memory.
    pub(super) fn stored_as(&self, kind: UncertaintyKind) -> Result<Plane> {
        use UncertaintyKind::{InverseVariance, StdDev, Unknown, Variance};
        if kind == self.kind {
            return Ok(self.stored.clone());
        }
        if kind == Unknown || self.kind == Unknown {
            return Err(Error::Parameter(format!(
                "{}: a {} cannot be converted to a {}",
                self.stored.label(),
                self.kind.name(),
                kind.name()
            )));
        }
        let variance = |v: f64| match self.kind {
            StdDev => v * v,
            InverseVariance => 1.0 / v,
            Variance | Unknown => v,
        };
        // In one go: what lies between might not fit f32.
        let through = |v: f64| match kind {
            StdDev => variance(v).sqrt(),
            InverseVariance => 1.0 / variance(v),
            Variance | Unknown => variance(v),
        };
        Ok(Plane::memory(self.stored.pixels()?.mapped(through)))
    }
}

impl NDAstroData {
    /// With a variance by the noise of a detector, in data unit squared, in place of any uncertainty: photon noise and read
    /// noise of data in units of `gain` electrons, (gain max(d, 0) + read_noise^2) / gain^2. It is as lazy as the data, and
    /// made of them whenever it is read; it stays what it is if the data are changed. Data in electrons have a gain of 1.
    ///
    /// The formula is that of CCDs, e.g. Howell, "Handbook of CCD Astronomy", chapter 4, and of ccdproc's
    /// `create_deviation`; where the data are below 0 there is read noise alone. It is for data as the detector gave them,
    /// bias subtracted and nothing else done.
    ///
    /// # Errors
    /// A gain that is not above 0, a read noise below 0, or either not finite.
    pub fn with_noise(mut self, gain: f64, read_noise: f64) -> Result<Self> {
        if !(gain.is_finite() && gain > 0.0 && read_noise.is_finite() && read_noise >= 0.0) {
            let label = self.label();
            return Err(Error::Parameter(format!(
                "{label}: gain {gain} and read noise {read_noise}, where numbers above 0 and from 0 on are expected"
            )));
        }
        let plane = self.data.transformed(Transform::Noise(Noise::new(gain, read_noise)));
        self.uncertainty = Some(Uncertainty::new(plane, UncertaintyKind::Variance));
        Ok(self)
    }

    /// With the data of another container as its uncertainty, in place of any: a weight map of its own file is one of kind
    /// `InverseVariance`. As lazy as that is; a sample of weight 0 is not usable.
    ///
    /// # Errors
    /// Another shape.
    pub fn with_uncertainty_of(mut self, other: &NDAstroData, kind: UncertaintyKind) -> Result<Self> {
        let plane = self.companion(other.data.clone())?;
        self.uncertainty = Some(Uncertainty::new(plane, kind));
        Ok(self)
    }

    /// The same with its uncertainty as another kind, through the variance: sigma squared, its root, 1 over it. The
    /// numbers are converted at once, to f32 where that holds every stored value, else f64; the other planes stay as
    /// lazy as they are. The root of a negative variance is NaN, and 1 over 0 infinite. Without an uncertainty there is
    /// nothing to do.
    ///
    /// # Errors
    /// One of the two kinds, and not the other, is unknown; or the plane cannot be read.
    pub fn represent_as(&self, kind: UncertaintyKind) -> Result<Self> {
        let Some(own) = self.uncertainty.as_ref().filter(|u| u.kind != kind) else { return Ok(self.clone()) };
        let uncertainty = Some(Uncertainty::new(own.stored_as(kind)?, kind));
        Ok(NDAstroData { uncertainty, ..self.clone() })
    }
}
