//! The world coordinates of a container: those of its header, through the views that were made of it; or others that it
//! was given.

use super::NDAstroData;
use crate::fits::Header;
use crate::placed::Place;
use crate::slice::AxisSlice;
use crate::wcs::Wcs;
use crate::{Error, Result};

/// What was done to the axes since the header was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    Sliced(Vec<AxisSlice>),
    Transposed(Vec<usize>),
    Placed(Place),
}

/// Where the world coordinates are.
#[derive(Clone)]
pub(super) enum Coordinates {
    /// In the header, which is read when someone asks: a file may have ten thousand.
    OfHeader(Vec<Change>),
    Given(Option<Wcs>),
}

impl Coordinates {
    pub(super) fn changed(&self, change: Change) -> Self {
        match self {
            Coordinates::OfHeader(changes) => {
                Coordinates::OfHeader(changes.iter().cloned().chain(std::iter::once(change)).collect())
            }
            Coordinates::Given(wcs) => Coordinates::Given(wcs.as_ref().map(|w| applied(w, &change))),
        }
    }
}

fn applied(wcs: &Wcs, change: &Change) -> Wcs {
    match change {
        Change::Sliced(slices) => wcs.sliced(slices),
        Change::Transposed(order) => wcs.transposed(order),
        Change::Placed(place) => wcs.placed(place),
    }
}

impl NDAstroData {
    /// The world coordinates of these very pixels: what was sliced, stepped over and transposed counts. `None` where
    /// there are none, in the header of the image or in the primary one.
    ///
    /// # Errors
    /// The header has a WCS that cannot be used; the message names the keyword. It has another number of pixel axes than
    /// the image.
    pub fn wcs(&self) -> Result<Option<Wcs>> {
        let changes = match &self.coordinates {
            Coordinates::Given(wcs) => return Ok(wcs.clone()),
            Coordinates::OfHeader(changes) => changes,
        };
        let rank = changes.iter().find_map(|c| match c {
            Change::Sliced(slices) => Some(slices.len()),
            Change::Placed(place) => Some(place.at.len()),
            Change::Transposed(_) => None,
        });
        let rank = rank.unwrap_or(self.shape().len());
        let found = match Wcs::of_image(&self.meta, Some(rank)).map_err(|e| self.of(e))? {
            Some(wcs) if wcs.pixel_axes() == rank => Some(wcs),
            // One pixel without axes is nowhere.
            Some(_) if rank == 0 => None,
            Some(wcs) => {
                let what = format!("{} pixel axes, and the image has {rank}", wcs.pixel_axes());
                return Err(self.of(Error::Wcs(what)));
            }
            // One that stands in the primary header is of all images of as many axes.
            None => match &self.primary {
                Some(primary) => Wcs::from_header(primary).map_err(|e| self.of(e))?.filter(|w| w.pixel_axes() == rank),
                None => None,
            },
        };
        Ok(found.map(|wcs| changes.iter().fold(wcs, |wcs, change| applied(&wcs, change))))
    }

    fn of(&self, e: Error) -> Error {
        match e {
            Error::Wcs(text) => Error::Wcs(format!("{}: {text}", self.label())),
            other => other,
        }
    }

    /// Gives it other world coordinates, or none. They count in place of those of the header, and are written.
    ///
    /// # Errors
    /// They have another number of pixel axes than the image.
    pub fn set_wcs(&mut self, wcs: Option<Wcs>) -> Result<()> {
        if let Some(found) = wcs.as_ref().map(Wcs::pixel_axes).filter(|&n| n != self.shape().len()) {
            let expected = self.shape().len();
            return Err(self.of(Error::Wcs(format!("{found} pixel axes, and the image has {expected}"))));
        }
        self.coordinates = Coordinates::Given(wcs);
        Ok(())
    }

    /// With other world coordinates.
    ///
    /// # Errors
    /// As [`set_wcs`](Self::set_wcs).
    pub fn with_wcs(mut self, wcs: Wcs) -> Result<Self> {
        self.set_wcs(Some(wcs))?;
        Ok(self)
    }

    /// The header as it is for these pixels: its world coordinates, its axes and its unit are theirs.
    ///
    /// # Errors
    /// The axes were changed, and the WCS of the header cannot follow; the unit cannot be written in ASCII.
    pub fn header(&self) -> Result<Header> {
        let mut header = self.meta().clone();
        self.place(&mut header)?;
        if let Some(unit) = &self.unit {
            match unit.to_card() {
                Ok(card) => name_unit(&mut header, &card),
                // What nobody knows how to write stands there already.
                Err(_) if header.get_str("BUNIT").is_some_and(|said| said.trim() == unit.as_str().trim()) => {}
                Err(e) => return Err(e),
            }
        }
        resize(&mut header, &self.shape());
        Ok(header)
    }

    /// Whether its world coordinates are no longer those that its header says.
    pub(crate) fn is_moved(&self) -> bool {
        !matches!(&self.coordinates, Coordinates::OfHeader(changes) if changes.is_empty())
    }

    /// Brings the WCS cards of a header of a plane of this shape up to date.
    pub(crate) fn place(&self, header: &mut Header) -> Result<()> {
        if self.is_moved() {
            match self.wcs()? {
                Some(wcs) => wcs.write(header)?,
                None => Wcs::remove(header),
            }
        }
        Ok(())
    }
}

/// Brings BUNIT up to date; a card that says so already stays as it is.
pub(crate) fn name_unit(header: &mut Header, unit: &str) {
    if unit.is_empty() {
        header.remove("BUNIT");
    } else if header.get_str("BUNIT").as_deref().map(str::trim) != Some(unit) {
        header.set("BUNIT", unit, "");
    }
}

/// Brings NAXIS and NAXISn, where a header has them, up to date: they decide how its WCS is read.
pub(crate) fn resize(header: &mut Header, shape: &[usize]) {
    if !header.contains("NAXIS") {
        return;
    }
    let old = header.get_i64("NAXIS").unwrap_or(0);
    if old != shape.len() as i64 {
        header.set("NAXIS", shape.len() as i64, "");
    }
    for (i, &n) in shape.iter().rev().enumerate() {
        let key = format!("NAXIS{}", i + 1);
        if header.get_i64(&key) != Some(n as i64) {
            let before = if i == 0 { "NAXIS".to_string() } else { format!("NAXIS{i}") };
            match header.contains(&key) {
                true => header.set(&key, n as i64, ""),
                false => header.insert_after(&before, &key, n as i64, ""),
            };
        }
    }
    for i in shape.len() as i64 + 1..=old.min(999) {
        header.remove(&format!("NAXIS{i}"));
    }
}
