//! The container: pixels with their uncertainty, mask, unit, header and further planes.
//!
//! `part.rs` takes parts of it, `edit.rs` changes it, `uncertainty.rs` knows the kinds of an uncertainty,
//! `coordinates.rs` where its pixels are in the world.

mod coordinates;
mod edit;
mod part;
mod uncertainty;

use std::fmt;
use std::sync::Arc;

use crate::dtype::DType;
use crate::fits::{FitsFile, Group, Header, UncertaintyKind};
use crate::kernels::decode;
use crate::pixels::Pixels;
use crate::plane::Plane;
use crate::unit::Unit;
use crate::{Error, Result};
use coordinates::Coordinates;
pub(crate) use coordinates::{name_unit, resize};
use uncertainty::Uncertainty;

/// Data, uncertainty and mask of one shape, with unit and header. Planes from a file stay there until they are asked
/// for; clones and windows share them. Arrays in memory are shared too, until one of the containers is changed: then it
/// has its own.
///
/// The variance is sigma squared, in data unit squared. The mask is bits, 0 is good; `no_data` is 16.
#[derive(Clone)]
pub struct NDAstroData {
    name: String,
    ver: Option<i64>,
    /// HDU that the data come from.
    hdu: Option<usize>,
    data: Plane,
    uncertainty: Option<Uncertainty>,
    mask: Option<Plane>,
    other: Vec<(String, Plane)>,
    unit: Option<Unit>,
    meta: Arc<Header>,
    /// The primary header of the file, if there is no image in the primary.
    primary: Option<Arc<Header>>,
    coordinates: Coordinates,
}

impl NDAstroData {
    /// From an array in memory. Add the other planes with [`with_variance`](Self::with_variance) and
    /// [`with_mask`](Self::with_mask).
    pub fn new(data: impl Into<Pixels>) -> Self {
        NDAstroData {
            name: "SCI".into(),
            ver: None,
            hdu: None,
            data: Plane::memory(data.into()),
            uncertainty: None,
            mask: None,
            other: Vec::new(),
            unit: None,
            meta: Arc::new(Header::new()),
            primary: None,
            coordinates: Coordinates::OfHeader(Vec::new()),
        }
    }

    /// The extension of a file that these HDUs make. Reads nothing.
    pub(crate) fn from_file(file: &FitsFile, group: &Group) -> Result<Self> {
        let hdu = &file.hdus()[group.sci];
        let plane = |i: usize| Ok(Plane::lazy(file.section(i)?, file.image_header(i)));
        let mut nd = NDAstroData {
            name: hdu.name.clone().filter(|n| !n.is_empty()).unwrap_or_else(|| "SCI".into()),
            ver: hdu.ver,
            hdu: Some(group.sci),
            data: plane(group.sci)?,
            uncertainty: None,
            mask: None,
            other: Vec::new(),
            unit: hdu.header.get_str("BUNIT").filter(|u| !u.trim().is_empty()).map(Unit::from),
            meta: file.image_header(group.sci),
            primary: (group.sci > 0 && !file.hdus()[0].has_pixels()).then(|| file.image_header(0)),
            coordinates: Coordinates::OfHeader(Vec::new()),
        };
        if let Some((i, kind)) = group.uncertainty {
            nd.uncertainty = Some(Uncertainty::new(nd.companion(plane(i)?)?, kind));
        }
        if let Some(i) = group.mask {
            nd.mask = Some(nd.mask_of(plane(i)?)?);
        }
        for &i in &group.other {
            nd.other.push((file.hdus()[i].name.clone().unwrap_or_default(), plane(i)?));
        }
        Ok(nd)
    }

    /// The arrays of its data, uncertainty and mask that are in memory and nobody else's.
    pub(crate) fn into_arrays(self) -> Vec<Pixels> {
        let planes = [Some(self.data), self.uncertainty.map(|u| u.stored), self.mask];
        planes.into_iter().flatten().filter_map(Plane::into_array).collect()
    }

    /// With a variance in data unit squared.
    ///
    /// # Errors
    /// Its shape is not that of the data.
    pub fn with_variance(self, variance: impl Into<Pixels>) -> Result<Self> {
        self.with_uncertainty(variance, UncertaintyKind::Variance)
    }

    /// With an uncertainty of any kind: standard deviations are in data units, inverse variances in 1 over their
    /// square.
    ///
    /// # Errors
    /// Its shape is not that of the data.
    pub fn with_uncertainty(mut self, uncertainty: impl Into<Pixels>, kind: UncertaintyKind) -> Result<Self> {
        self.set_uncertainty(Some((uncertainty, kind)))?;
        Ok(self)
    }

    /// With a bit mask of at most 32 bits; one of `bool` is of 8 bits, 0 and 1.
    ///
    /// # Errors
    /// Its shape is not that of the data, or its type is no integer of at most 32 bits.
    pub fn with_mask(mut self, mask: impl Into<Pixels>) -> Result<Self> {
        self.set_mask(Some(mask))?;
        Ok(self)
    }

    /// With a further plane of any shape, e.g. OBJMASK; one of this name is replaced.
    pub fn with_other(mut self, name: impl Into<String>, pixels: impl Into<Pixels>) -> Self {
        self.put_other(name.into(), Plane::memory(pixels.into()));
        self
    }

    /// With a unit, kept as it is written.
    pub fn with_unit(mut self, unit: impl Into<Unit>) -> Self {
        self.unit = Some(unit.into());
        self
    }

    /// With a header.
    pub fn with_meta(mut self, meta: Header) -> Self {
        self.meta = Arc::new(meta);
        self
    }

    /// A plane that must have the shape of the data.
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

    /// The same, and be a mask.
    fn mask_of(&self, plane: Plane) -> Result<Plane> {
        if !decode::is_mask(&plane.format()) {
            return Err(Error::Parameter(format!(
                "{}: a mask must be of unscaled integers of at most 32 bits, found {}",
                plane.label(),
                plane.dtype()
            )));
        }
        self.companion(plane)
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

    /// Whether there is an uncertainty that has a variance. Loads nothing.
    pub fn has_variance(&self) -> bool {
        self.variance_plane().is_some()
    }

    /// What the uncertainty is, if there is one. Loads nothing.
    pub fn uncertainty_kind(&self) -> Option<UncertaintyKind> {
        self.uncertainty.as_ref().map(|u| u.kind)
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

    /// The variance, whatever the kind of the uncertainty; `None` for none and for an unknown one. Loads it, and only
    /// it, once. One that is stored as such keeps its type, and its numbers: negative ones count as 0 where something
    /// is computed with them, and are still there to be seen here.
    ///
    /// # Errors
    /// As [`data`](Self::data).
    pub fn variance(&self) -> Result<Option<&Pixels>> {
        self.variance_plane().map(Plane::get).transpose()
    }

    /// The uncertainty as it is stored; loads it, and only it, once.
    ///
    /// # Errors
    /// As [`data`](Self::data).
    pub fn uncertainty(&self) -> Result<Option<&Pixels>> {
        self.uncertainty.as_ref().map(|u| u.stored.get()).transpose()
    }

    /// The mask; loads it, and only it, once.
    ///
    /// # Errors
    /// As [`data`](Self::data).
    pub fn mask(&self) -> Result<Option<&Pixels>> {
        self.mask.as_ref().map(Plane::get).transpose()
    }

    /// Names of the further planes, in file order.
    pub fn other_names(&self) -> impl Iterator<Item = &str> {
        self.other.iter().map(|(name, _)| name.as_str())
    }

    /// The further plane of this name (upper and lower case are one); loads it, and only it, once.
    ///
    /// # Errors
    /// As [`data`](Self::data).
    pub fn other(&self, name: &str) -> Result<Option<&Pixels>> {
        let found = self.other.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, plane)| plane.get()).transpose()
    }

    /// Unit of the data (BUNIT).
    pub fn unit(&self) -> Option<&Unit> {
        self.unit.as_ref()
    }

    /// The header of the science image as it was read: of a part, that of the whole. [`header`](Self::header) has the
    /// world coordinates of the part.
    pub fn meta(&self) -> &Header {
        &self.meta
    }

    /// The same, to be changed. Cards that are not touched stay as they are, byte for byte.
    pub fn meta_mut(&mut self) -> &mut Header {
        Arc::make_mut(&mut self.meta)
    }

    /// EXTNAME, "SCI" where there is none.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// EXTVER.
    pub fn ver(&self) -> Option<i64> {
        self.ver
    }

    /// Whether no plane of it is in memory: all are in their file, and none was asked for. See `Debug` for which.
    pub fn is_lazy(&self) -> bool {
        self.planes().chain(self.stored_planes()).all(Plane::is_lazy)
    }

    /// Gives the memory of planes back that can be read again, and that of what was computed from others. Planes that
    /// were set or changed stay.
    pub fn unload(&mut self) {
        self.data.unload();
        if let Some(u) = &mut self.uncertainty {
            u.stored.unload();
            if let Some(v) = &mut u.converted {
                v.unload();
            }
        }
        self.mask.iter_mut().chain(self.other.iter_mut().map(|(_, p)| p)).for_each(Plane::unload);
    }

    pub(crate) fn data_plane(&self) -> &Plane {
        &self.data
    }

    pub(crate) fn variance_plane(&self) -> Option<&Plane> {
        self.uncertainty.as_ref()?.variance()
    }

    pub(crate) fn mask_plane(&self) -> Option<&Plane> {
        self.mask.as_ref()
    }

    /// The uncertainty as it is stored.
    pub(crate) fn uncertainty_plane(&self) -> Option<(&Plane, UncertaintyKind)> {
        self.uncertainty.as_ref().map(|u| (&u.stored, u.kind))
    }

    pub(crate) fn other_planes(&self) -> impl Iterator<Item = (&str, &Plane)> {
        self.other.iter().map(|(name, plane)| (name.as_str(), plane))
    }

    /// Data, variance and mask, where they are.
    pub(crate) fn planes(&self) -> impl Iterator<Item = &Plane> {
        [Some(&self.data), self.variance_plane(), self.mask.as_ref()].into_iter().flatten()
    }

    /// All planes as they are stored.
    pub(crate) fn stored_planes(&self) -> impl Iterator<Item = &Plane> {
        let three = [Some(&self.data), self.uncertainty.as_ref().map(|u| &u.stored), self.mask.as_ref()];
        three.into_iter().flatten().chain(self.other.iter().map(|(_, p)| p))
    }

    /// HDU that the data come from.
    pub(crate) fn hdu(&self) -> Option<usize> {
        self.hdu
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
        if let Some(u) = &self.uncertainty {
            s.field(u.kind.name(), &u.stored);
        }
        if let Some(m) = &self.mask {
            s.field("mask", m);
        }
        for (name, plane) in &self.other {
            s.field(name, plane);
        }
        if let Some(u) = &self.unit {
            s.field("unit", u);
        }
        s.finish()
    }
}
