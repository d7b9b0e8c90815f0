//! The container: pixels with their variance, mask, unit and header.

use std::fmt;
use std::sync::Arc;

use crate::dtype::DType;
use crate::fits::{FitsFile, Header};
use crate::kernels::decode;
use crate::pixels::Pixels;
use crate::plane::Plane;
use crate::window::Window;
use crate::{Error, Result};

/// Data, variance and mask of one shape, with unit and header. Planes from a file stay there until they are asked
/// for; clones and windows share them.
///
/// The variance is sigma squared, in data unit squared. The mask is bits, 0 is good; `no_data` is 16.
#[derive(Clone)]
pub struct NDAstroData {
    name: String,
    ver: Option<i64>,
    data: Plane,
    variance: Option<Plane>,
    mask: Option<Plane>,
    unit: Option<String>,
    meta: Arc<Header>,
}

impl NDAstroData {
    /// From an array in memory. Add the other planes with [`with_variance`](Self::with_variance) and
    /// [`with_mask`](Self::with_mask).
    pub fn new(data: impl Into<Pixels>) -> Self {
        NDAstroData {
            name: "SCI".into(),
            ver: None,
            data: Plane::memory(data.into()),
            variance: None,
            mask: None,
            unit: None,
            meta: Arc::new(Header::new()),
        }
    }

    /// The extension of a file whose science image is HDU `sci`. Reads nothing.
    pub(crate) fn from_file(file: &FitsFile, sci: usize, var: Option<usize>, dq: Option<usize>) -> Result<Self> {
        let hdu = &file.hdus()[sci];
        let mut nd = NDAstroData {
            name: hdu.name.clone().filter(|n| !n.is_empty()).unwrap_or_else(|| "SCI".into()),
            ver: hdu.ver,
            data: Plane::lazy(file.section(sci)?),
            variance: None,
            mask: None,
            unit: hdu.header.get_str("BUNIT").map(|u| u.trim().to_string()).filter(|u| !u.is_empty()),
            meta: hdu.header.clone(),
        };
        if let Some(var) = var {
            nd.variance = Some(nd.companion(Plane::lazy(file.section(var)?))?);
        }
        if let Some(dq) = dq {
            nd.mask = Some(nd.companion(Plane::lazy(file.section(dq)?))?);
            nd.check_mask()?;
        }
        Ok(nd)
    }

    /// With a variance in data unit squared.
    ///
    /// # Errors
    /// Its shape is not that of the data.
    pub fn with_variance(mut self, variance: impl Into<Pixels>) -> Result<Self> {
        self.variance = Some(self.companion(Plane::memory(variance.into()))?);
        Ok(self)
    }

    /// With a bit mask of at most 32 bits.
    ///
    /// # Errors
    /// Its shape is not that of the data, or its type is no integer of at most 32 bits.
    pub fn with_mask(mut self, mask: impl Into<Pixels>) -> Result<Self> {
        self.mask = Some(self.companion(Plane::memory(mask.into()))?);
        self.check_mask()?;
        Ok(self)
    }

    /// With a unit, kept as it is written.
    pub fn with_unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = Some(unit.into());
        self
    }

    /// With a header.
    pub fn with_meta(mut self, meta: Header) -> Self {
        self.meta = Arc::new(meta);
        self
    }

    fn companion(&self, plane: Plane) -> Result<Plane> {
        if plane.shape() == self.data.shape() {
            return Ok(plane);
        }
        Err(Error::Shape {
            what: plane.label(),
            expected: self.data.shape(),
            found: plane.shape(),
            why: format!("that of its science image, {}", self.data.label()),
        })
    }

    fn check_mask(&self) -> Result<()> {
        match &self.mask {
            Some(m) if !decode::is_mask(&m.format()) => Err(Error::Parameter(format!(
                "{}: a mask must be of unscaled integers of at most 32 bits, found {}",
                m.label(),
                m.dtype()
            ))),
            _ => Ok(()),
        }
    }

    /// numpy order. Loads nothing.
    pub fn shape(&self) -> Vec<usize> {
        self.data.shape()
    }

    /// Number of pixels. Loads nothing.
    pub fn size(&self) -> usize {
        self.data.len()
    }

    /// Type of the data. Loads nothing.
    pub fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// Loads nothing.
    pub fn has_variance(&self) -> bool {
        self.variance.is_some()
    }

    /// Loads nothing.
    pub fn has_mask(&self) -> bool {
        self.mask.is_some()
    }

    /// The data in their exact type; loads them, and only them, once.
    ///
    /// # Errors
    /// The file changed since it was opened, or there is no memory.
    pub fn data(&self) -> Result<&Pixels> {
        self.data.get()
    }

    /// The variance as it is stored; loads it, and only it, once.
    ///
    /// # Errors
    /// As [`data`](Self::data).
    pub fn variance(&self) -> Result<Option<&Pixels>> {
        self.variance.as_ref().map(Plane::get).transpose()
    }

    /// The mask; loads it, and only it, once.
    ///
    /// # Errors
    /// As [`data`](Self::data).
    pub fn mask(&self) -> Result<Option<&Pixels>> {
        self.mask.as_ref().map(Plane::get).transpose()
    }

    /// Unit of the data as it was written (BUNIT).
    pub fn unit(&self) -> Option<&str> {
        self.unit.as_deref()
    }

    /// The header of the science image.
    pub fn meta(&self) -> &Header {
        &self.meta
    }

    /// EXTNAME, "SCI" where there is none.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// EXTVER.
    pub fn ver(&self) -> Option<i64> {
        self.ver
    }

    /// The part in `window`: a container like any other. Reads nothing; what it reads later are its own bytes only,
    /// and this container stays as lazy as it is. Its header is that of the whole.
    ///
    /// # Errors
    /// The window does not lie in the image.
    pub fn window(&self, window: &Window) -> Result<Self> {
        let part = |p: &Option<Plane>| p.as_ref().map(|p| p.window(window)).transpose();
        Ok(NDAstroData {
            data: self.data.window(window)?,
            variance: part(&self.variance)?,
            mask: part(&self.mask)?,
            ..self.clone()
        })
    }

    /// Gives the memory of planes back that can be read again.
    pub fn unload(&mut self) {
        self.data.unload();
        for plane in [&mut self.variance, &mut self.mask].into_iter().flatten() {
            plane.unload();
        }
    }

    pub(crate) fn data_plane(&self) -> &Plane {
        &self.data
    }

    pub(crate) fn variance_plane(&self) -> Option<&Plane> {
        self.variance.as_ref()
    }

    pub(crate) fn mask_plane(&self) -> Option<&Plane> {
        self.mask.as_ref()
    }

    /// All planes that there are.
    pub(crate) fn planes(&self) -> impl Iterator<Item = &Plane> {
        [Some(&self.data), self.variance.as_ref(), self.mask.as_ref()].into_iter().flatten()
    }

    /// For messages.
    pub(crate) fn label(&self) -> String {
        self.data.label()
    }

    pub(crate) fn named(mut self, name: String, ver: Option<i64>) -> Self {
        (self.name, self.ver) = (name, ver);
        self
    }
}

impl fmt::Debug for NDAstroData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut s = f.debug_struct("NDAstroData");
        s.field("data", &self.data);
        if let Some(v) = &self.variance {
            s.field("variance", v);
        }
        if let Some(m) = &self.mask {
            s.field("mask", m);
        }
        if let Some(u) = &self.unit {
            s.field("unit", u);
        }
        s.finish()
    }
}
