//! An [`AstroData`] as the HDUs of a file.
//!
//! Planes that come from a file keep their stored numbers, names, headers and order; those from memory get the names of
//! the reference. Everything goes band by band.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::dtype::{DType, PixelFormat};
use crate::fits::{Compression, FitsWriter, HduSpec, Header, ImageSpec, RawHdu, UncertaintyKind};
use crate::nddata::{NDAstroData, name_unit};
use crate::plane::{Plane, Transform};
use crate::unit::Unit;
use crate::wcs::Wcs;
use crate::{AstroData, Result};

/// How a file is written.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WriteOptions {
    /// Replace a file that is there.
    pub overwrite: bool,
    /// Tile compression of all images; their quantisation is that of data planes only, uncertainties keep every bit.
    pub compression: Option<Compression>,
    /// A flag that stops the writing with [`Error::Interrupted`](crate::Error::Interrupted) when it becomes true.
    pub cancel: Option<Arc<AtomicBool>>,
}

impl WriteOptions {
    /// Replacing a file that is there, or not.
    pub fn overwrite(mut self, yes: bool) -> Self {
        self.overwrite = yes;
        self
    }

    /// With tile compression.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }

    /// With a flag that stops it.
    pub fn cancel(mut self, flag: Arc<AtomicBool>) -> Self {
        self.cancel = Some(flag);
        self
    }
}

/// An HDU to write, and where its pixels come from.
struct Item {
    /// In the file that was opened.
    hdu: Option<usize>,
    spec: HduSpec,
    plane: Option<Plane>,
}

impl AstroData {
    /// Writes everything to a FITS file: primary header, planes, tables; complete or not at all, band by band in bounded
    /// memory. Planes that come from a file keep their headers, stored types, BSCALE, BZERO and BLANK, and as long as all
    /// come from one file their names, versions and order. Else each extension is SCI (or what it is called, if none has a
    /// variance or a mask), VAR (ERR for standard deviations), DQ and further planes, one EXTVER for all of them, then
    /// tables. The target may be the file that this was read from: the old one goes when the new one is complete.
    ///
    /// # Errors
    /// The target exists and `overwrite` is false; a plane cannot be read; the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>, overwrite: bool) -> Result<()> {
        self.write_with(path, &WriteOptions::default().overwrite(overwrite))
    }

    /// The same with options.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_with(&self, path: impl AsRef<Path>, options: &WriteOptions) -> Result<()> {
        let items = self.items(options.compression)?;
        let planes: Vec<Plane> = items.iter().filter_map(|i| i.plane.clone()).collect();
        let hdus = items.into_iter().map(|i| i.spec).collect();
        let mut writer = FitsWriter::with_hdus(path, options.overwrite, hdus)?;
        writer.cancel(options.cancel.clone());
        for (image, plane) in planes.iter().enumerate() {
            copy(&mut writer, image, plane)?;
        }
        writer.finish()
    }

    /// All HDUs, primary first.
    fn items(&self, compression: Option<Compression>) -> Result<Vec<Item>> {
        let same = self.is_as_opened();
        let lossless = compression.map(|c| Compression { quantize: None, ..c });
        // Beside VAR and DQ the image must be SCI to be found again.
        let bare = |nd: &NDAstroData| nd.uncertainty_plane().is_none() && nd.mask_plane().is_none();
        let own_names = self.iter().all(|nd| bare(nd) && !nd.name().eq_ignore_ascii_case("SCI"));
        let mut items = Vec::new();
        for (nd, free) in self.iter().zip(self.versions()) {
            let ver = if same { nd.ver() } else { Some(free) };
            let mut meta = nd.header()?;
            // Under another primary header the WCS of the old one would be lost.
            if !same
                && !Wcs::is_in(&meta)
                && let Ok(Some(wcs)) = nd.wcs()
            {
                wcs.write(&mut meta)?;
            }
            let renamed = nd.meta().get_str("BUNIT").as_deref().map(str::trim).unwrap_or_default()
                != nd.unit().map_or("", |u| u.as_str());
            // The header of a plane's own, with the world coordinates of the image.
            let placed = |plane: &Plane| match plane.header() {
                None => Ok(None),
                Some(header) => {
                    let mut header = Header::clone(header);
                    if plane.shape() == nd.shape() {
                        nd.place(&mut header)?;
                    }
                    Result::Ok(Some(header))
                }
            };
            // A plane from a file has a header of its own; names and versions stay as they were if nothing was added.
            let mut add = |plane: &Plane, name: &str, header: Header, own: bool, compression| {
                let (name, ver) = match own && same {
                    true => (header.get_str("EXTNAME"), header.get_i64("EXTVER")),
                    false => (Some(name.to_string()), ver),
                };
                let spec = image_of(plane, header, name, ver, compression);
                items.push(Item { hdu: plane.hdu(), spec: HduSpec::Image(spec), plane: Some(plane.clone()) });
            };
            let name = if own_names { nd.name() } else { "SCI" };
            add(nd.data_plane(), name, meta.clone(), true, compression);
            if let Some((plane, kind)) = nd.uncertainty_plane() {
                // What is made of the data has no numbers that could be copied.
                let plane = &if plane.transform() == Transform::None {
                    plane.clone()
                } else {
                    Plane::shared(plane.pixels()?, None)
                };
                let name = match kind {
                    UncertaintyKind::Variance => "VAR",
                    UncertaintyKind::StdDev => "ERR",
                    _ => "UNCERT",
                };
                let mut own = placed(plane)?;
                let made = companion(&meta, kind, nd.unit());
                if let Some(header) = own.as_mut().filter(|_| renamed) {
                    name_unit(header, made.get_str("BUNIT").as_deref().unwrap_or_default());
                }
                let header = own.clone().unwrap_or(made);
                add(plane, name, header, own.is_some(), lossless);
            }
            for (name, plane) in nd.mask_plane().map(|m| ("DQ", m)).into_iter().chain(nd.other_planes()) {
                let own = placed(plane)?;
                let mut header = own.clone().unwrap_or_else(|| without_unit(&meta));
                if own.is_none() && plane.shape() != nd.shape() {
                    Wcs::remove(&mut header);
                }
                add(plane, name, header, own.is_some(), lossless);
            }
        }
        items.extend(self.tables().iter().map(|t| Item {
            hdu: self.file().filter(|f| f.holds_hdu(t)).map(|_| t.index()),
            spec: HduSpec::Raw(t.clone(), None),
            plane: None,
        }));
        if same {
            // Those of another file stand behind.
            items.sort_by_key(|i| i.hdu.unwrap_or(usize::MAX));
            if compression.is_none() {
                self.restore_primary(&mut items);
            }
        }
        if !same || items.first().is_none_or(|i| i.hdu != Some(0)) {
            let mut phu = self.phu().clone();
            if !same {
                phu.remove_where(|k| matches!(k, "EXTNAME" | "EXTVER"));
                phu.set("NEXTEND", items.len() as i64, "number of extensions");
            }
            items.insert(0, Item { hdu: Some(0), spec: HduSpec::Header(phu), plane: None });
        }
        Ok(items)
    }

    /// An image that was packed out of a primary goes back there, with the cards that its place was given meanwhile.
    fn restore_primary(&self, items: &mut [Item]) {
        let Some(first) = items.first_mut().filter(|i| i.hdu == Some(1)) else { return };
        let HduSpec::Image(spec) = &mut first.spec else { return };
        if self.file().is_some_and(|f| f.was_primary(1)) {
            let missing = self.phu().cards().iter().filter(|c| {
                let key = String::from_utf8_lossy(&c[..8]);
                !key.trim().is_empty() && c[8] == b'=' && !spec.header.contains(key.trim())
            });
            spec.header = Header::from_cards(spec.header.cards().iter().chain(missing).copied());
            (spec.name, spec.ver, first.hdu) = (None, None, Some(0));
        }
    }

    /// Whether all planes are those of the file that was opened, each once.
    fn is_as_opened(&self) -> bool {
        let Some(file) = self.file() else { return false };
        let ours = |p: &Plane| p.section().is_some_and(|s| file.holds(s));
        let mut seen = HashSet::new();
        self.iter().flat_map(NDAstroData::stored_planes).all(|p| ours(p) && seen.insert(p.hdu()))
    }

    /// EXTVERs to write: those of the extensions, each only once; the others get the smallest that are free.
    fn versions(&self) -> Vec<i64> {
        let said: HashSet<i64> = self.iter().filter_map(NDAstroData::ver).collect();
        let mut free = (1..).filter(|v| !said.contains(v));
        let mut taken = HashSet::new();
        let own = |nd: &NDAstroData| nd.ver().filter(|&v| taken.insert(v));
        let mut own: Vec<Option<i64>> = self.iter().map(own).collect();
        own.iter_mut().map(|v| v.or_else(|| free.next()).unwrap_or_default()).collect()
    }
}

/// Writes all pixels of a plane, which was announced as [`image_of`] has it, with the numbers that it has.
pub(crate) fn copy(writer: &mut FitsWriter, image: usize, plane: &Plane) -> Result<()> {
    copy_part(writer, image, plane, 0..plane.len())
}

/// The same of these pixels alone.
pub(crate) fn copy_part(writer: &mut FitsWriter, image: usize, plane: &Plane, part: Range<usize>) -> Result<()> {
    let format = plane.format();
    let mut bytes = Vec::new();
    plane.bands_of(part, |flat, stored| {
        let offset = (flat.start * format.size()) as u64;
        if format.is_on_disk() {
            return writer.write(image, offset, stored);
        }
        bytes.clear();
        bytes.extend_from_slice(stored);
        format.to_disk(&mut bytes);
        writer.write(image, offset, &bytes)
    })
}

/// A plane as an image of a file.
fn image_of(
    plane: &Plane,
    header: Header,
    name: Option<String>,
    ver: Option<i64>,
    compression: Option<Compression>,
) -> ImageSpec {
    let stored = plane.format().stored;
    // Numbers in memory may be of a type that FITS has not.
    let format = match stored.fits().1 {
        None => PixelFormat { big_endian: true, ..plane.format() },
        Some(_) => PixelFormat::disk(stored),
    };
    ImageSpec { header, name, ver, shape: plane.shape(), format, compression }
}

/// Further planes that go with a result of this shape: those of the first container that are of it.
pub(crate) fn others<'a>(
    first: Option<&'a NDAstroData>,
    shape: &'a [usize],
) -> impl Iterator<Item = (&'a str, &'a Plane)> {
    first.into_iter().flat_map(NDAstroData::other_planes).filter(move |(_, plane)| plane.shape() == shape)
}

/// One of them as an image of the result, with its own header.
pub(crate) fn carried(name: &str, plane: &Plane, ver: i64, compression: Option<Compression>) -> ImageSpec {
    let header = plane.header().map_or_else(Header::new, |h| Header::clone(h));
    let lossless = compression.map(|c| Compression { quantize: None, ..c });
    image_of(plane, header, Some(name.into()), Some(ver), lossless)
}

/// The file of a result: a primary header without an image, the images, and HDUs that are carried as they are. A primary
/// that is no image, as random groups are, has no place behind others.
///
/// # Errors
/// As [`FitsWriter::create`].
pub(crate) fn result_file<'a>(
    path: &Path,
    overwrite: bool,
    phu: Header,
    images: Vec<ImageSpec>,
    tables: impl Iterator<Item = &'a RawHdu>,
    cancel: Option<Arc<AtomicBool>>,
) -> Result<FitsWriter> {
    let mut writer = FitsWriter::with_hdus(path, overwrite, hdus_of(phu, images, tables))?;
    writer.cancel(cancel);
    Ok(writer)
}

/// Its HDUs.
pub(crate) fn hdus_of<'a>(
    mut phu: Header,
    images: Vec<ImageSpec>,
    tables: impl Iterator<Item = &'a RawHdu>,
) -> Vec<HduSpec> {
    let mut hdus: Vec<HduSpec> = images.into_iter().map(HduSpec::Image).collect();
    hdus.extend(tables.filter(|t| !t.is_primary()).map(|t| HduSpec::Raw(t.clone(), None)));
    phu.remove_where(|k| matches!(k, "EXTNAME" | "EXTVER"));
    phu.set("NEXTEND", hdus.len() as i64, "number of extensions");
    hdus.insert(0, HduSpec::Header(phu));
    hdus
}

fn without_unit(header: &Header) -> Header {
    let mut h = header.clone();
    h.remove("BUNIT");
    h
}

/// The header of an uncertainty that has none of its own: that of the image, with its own unit.
fn companion(header: &Header, kind: UncertaintyKind, unit: Option<&Unit>) -> Header {
    let mut h = without_unit(header);
    let power = match kind {
        UncertaintyKind::Variance => Some(2.0),
        UncertaintyKind::StdDev => Some(1.0),
        UncertaintyKind::InverseVariance => Some(-2.0),
        UncertaintyKind::Unknown => None,
    };
    let of = |unit: &Unit| power.and_then(|p| if p == 1.0 { Some(unit.clone()) } else { unit.pow(p) });
    name_unit(&mut h, &unit.and_then(of).and_then(|u| u.to_card().ok()).unwrap_or_default());
    if !matches!(kind, UncertaintyKind::Variance | UncertaintyKind::StdDev) {
        h.set("UTYPE", kind.name(), "kind of uncertainty");
    }
    h
}

/// SCI, VAR and DQ of one extension, each if it has a type. VAR and DQ carry the header of SCI; the unit of VAR is
/// the square, DQ has none.
pub(crate) fn planes_of(
    header: &Header,
    unit: Option<&Unit>,
    ver: i64,
    shape: &[usize],
    types: [Option<DType>; 3],
    compression: Option<Compression>,
) -> impl Iterator<Item = ImageSpec> + use<> {
    let mut sci = header.clone();
    // Where the first frame had one of these it was of its own pixels.
    sci.remove_where(|k| matches!(k, "INHERIT" | "CHECKSUM" | "DATASUM"));
    name_unit(&mut sci, &unit.and_then(|u| u.to_card().ok()).unwrap_or_default());
    let lossless = compression.map(|c| Compression { quantize: None, ..c });
    let (var, dq) = (companion(&sci, UncertaintyKind::Variance, unit), without_unit(&sci));
    let planes = [("SCI", sci, compression), ("VAR", var, lossless), ("DQ", dq, lossless)].into_iter().zip(types);
    let shape = shape.to_vec();
    planes.filter_map(move |((name, header, compression), dtype)| {
        Some(ImageSpec { compression, ..ImageSpec::new(name, ver, &shape, dtype?).with_header(header) })
    })
}
