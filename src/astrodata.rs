//! A file of extensions: primary header and the containers in it.

use std::collections::HashSet;
use std::fmt;
use std::ops::Index;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dtype::{DType, PixelFormat};
use crate::error::escape;
use crate::fits::{
    Compression, FitsFile, FitsWriter, HduSpec, Header, ImageSpec, Layout, OpenOptions, RawHdu, UncertaintyKind,
    associate, contradiction,
};
use crate::nddata::NDAstroData;
use crate::plane::Plane;
use crate::{Error, Result};

/// How a file is written.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct WriteOptions {
    /// Replace a file that is there.
    pub overwrite: bool,
    /// Tile compression of all images; their quantisation is that of data planes only, uncertainties keep every bit.
    pub compression: Option<Compression>,
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
}

/// The extensions of one file, or of one result, with its primary header and its tables.
#[derive(Clone)]
pub struct AstroData {
    path: Option<PathBuf>,
    file: Option<FitsFile>,
    layout: Layout,
    phu: Arc<Header>,
    extensions: Vec<NDAstroData>,
    tables: Vec<RawHdu>,
    left_out: Vec<String>,
}

impl AstroData {
    /// Opens a FITS file: reads its headers, and no pixel. Planes go together by EXTVER, else by order, by the names of
    /// the layout that the file has; an image in the primary is an extension; in a file without names every image is one.
    ///
    /// # Errors
    /// The file cannot be read or is not FITS; an uncertainty or a mask has another shape than its image; there is no
    /// image that this version can read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &OpenOptions::default())
    }

    /// The same with options.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self> {
        Self::from_file(FitsFile::open_with(path, options)?, options.layout)
    }

    /// Of an opened file.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_file(file: FitsFile, layout: Layout) -> Result<Self> {
        let path = file.path().to_path_buf();
        if let Some((hdu, reason)) = contradiction(file.hdus(), layout) {
            return Err(Error::Header { path, hdu, reason });
        }
        let (mut extensions, mut left_out) = (Vec::new(), Vec::new());
        let found = associate(file.hdus(), layout);
        let mut carried = found.carried;
        for g in &found.groups {
            match NDAstroData::from_file(&file, g) {
                Ok(nd) => extensions.push(nd),
                // What cannot be read does not hide what can.
                Err(e @ Error::Unsupported { .. }) => {
                    left_out.push(e.to_string());
                    carried.extend([Some(g.sci), g.uncertainty.map(|u| u.0), g.mask].into_iter().flatten());
                    carried.extend(&g.other);
                }
                Err(e) => return Err(e),
            }
        }
        if extensions.is_empty() {
            let kinds = || file.hdus().iter().map(|h| format!("{} {}", h.label(), h.kind.name())).collect::<Vec<_>>();
            let found = if left_out.is_empty() { format!("HDUs {}", kinds().join(", ")) } else { left_out.join("; ") };
            return Err(Error::NoImage { path, found });
        }
        carried.sort_unstable();
        let tables = carried.into_iter().filter_map(|i| file.raw(i)).collect();
        let phu = file.hdus()[0].header.clone();
        Ok(AstroData { path: Some(path), file: Some(file), layout: found.layout, phu, extensions, tables, left_out })
    }

    /// From containers in memory.
    pub fn from_extensions(phu: Header, extensions: Vec<NDAstroData>) -> Self {
        AstroData {
            path: None,
            file: None,
            layout: Layout::Gemini,
            phu: Arc::new(phu),
            extensions,
            tables: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// The file it was opened from.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The mapped file, if there is one.
    pub fn file(&self) -> Option<&FitsFile> {
        self.file.as_ref()
    }

    /// How the planes were found: never [`Layout::Auto`].
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The primary header; where the primary holds an image, that of the image.
    pub fn phu(&self) -> &Header {
        if self.in_primary() { self.extensions[0].meta() } else { &self.phu }
    }

    /// The same, to be changed. Cards that are not touched stay as they are, byte for byte.
    pub fn phu_mut(&mut self) -> &mut Header {
        if self.in_primary() { self.extensions[0].meta_mut() } else { Arc::make_mut(&mut self.phu) }
    }

    /// Whether the first extension is the image of the primary.
    fn in_primary(&self) -> bool {
        self.file.is_some() && self.extensions.first().is_some_and(|e| e.hdu() == Some(0))
    }

    /// The containers, in file order.
    pub fn extensions(&self) -> &[NDAstroData] {
        &self.extensions
    }

    /// The same, to be changed.
    pub fn extensions_mut(&mut self) -> &mut [NDAstroData] {
        &mut self.extensions
    }

    /// The containers one after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, NDAstroData> {
        self.extensions.iter()
    }

    /// Puts a container behind the others. If it says no EXTVER, or one that is taken, it gets the smallest that is free
    /// when it is written.
    pub fn append(&mut self, extension: NDAstroData) {
        self.extensions.push(extension);
    }

    /// Takes a container out, with its planes.
    ///
    /// # Errors
    /// There are not as many.
    pub fn remove(&mut self, index: usize) -> Result<NDAstroData> {
        if index < self.extensions.len() {
            let phu = self.in_primary().then(|| Arc::new(self.extensions[0].meta().clone()));
            if let Some(phu) = phu.filter(|_| index == 0) {
                // The cards of a primary without its image are still those of the file.
                self.phu = phu;
            }
            return Ok(self.extensions.remove(index));
        }
        Err(Error::NoExtension {
            path: self.path.clone().unwrap_or_else(|| "array in memory".into()),
            wanted: index.to_string(),
            found: format!("{} extensions", self.extensions.len()),
        })
    }

    /// The HDUs that are no plane of any extension, in file order: tables, random groups, images of nobody. They are
    /// written as they are, byte for byte.
    pub fn tables(&self) -> &[RawHdu] {
        &self.tables
    }

    /// The first of these with this EXTNAME (upper and lower case are one).
    pub fn table(&self, name: &str) -> Option<&RawHdu> {
        self.tables.iter().find(|t| t.name().is_some_and(|n| n.eq_ignore_ascii_case(name)))
    }

    /// Takes one of these out, by its place in [`tables`](Self::tables).
    pub fn remove_table(&mut self, index: usize) -> Option<RawHdu> {
        (index < self.tables.len()).then(|| self.tables.remove(index))
    }

    /// Adds an HDU of this or another file, to be written as it is.
    pub fn append_table(&mut self, table: RawHdu) {
        self.tables.push(table);
    }

    /// What is in it, a line for the file and for each plane and table. Loads nothing.
    pub fn info(&self) -> String {
        let mut lines = vec![format!("{}: layout {}, {} extensions", self.label(), self.layout, self.len())];
        for (i, e) in self.extensions.iter().enumerate() {
            let ver = e.ver().map_or(String::new(), |v| format!(",{v}"));
            let unit = e.unit().map_or(String::new(), |u| format!(", unit {}", escape(u)));
            lines.push(format!("[{i}] {}{ver}: {:?}{unit}", escape(e.name()), e.data_plane()));
            if let Some((plane, kind)) = e.uncertainty_plane() {
                lines.push(format!("    .uncertainty {}: {plane:?}", kind.name()));
            }
            if let Some(mask) = e.mask_plane() {
                lines.push(format!("    .mask: {mask:?}"));
            }
            for (name, plane) in e.other_planes() {
                lines.push(format!("    .{}: {plane:?}", escape(name)));
            }
        }
        lines.extend(self.tables.iter().map(|t| format!("{t:?}")));
        lines.join("\n")
    }

    /// Images in the file that this version cannot read, and why.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// The extension of this EXTNAME (upper and lower case are one) and EXTVER.
    pub fn get(&self, name: &str, ver: i64) -> Option<&NDAstroData> {
        self.extensions.iter().find(|e| e.name().eq_ignore_ascii_case(name) && e.ver() == Some(ver))
    }

    /// The same, or an error that says what there is.
    ///
    /// # Errors
    /// There is no such extension.
    pub fn extension(&self, name: &str, ver: i64) -> Result<&NDAstroData> {
        let there = |e: &NDAstroData| format!("{},{}", e.name(), e.ver().map_or("-".into(), |v| v.to_string()));
        self.get(name, ver).ok_or_else(|| Error::NoExtension {
            path: self.path.clone().unwrap_or_else(|| "array in memory".into()),
            wanted: format!("{name},{ver}"),
            found: self.extensions.iter().map(there).collect::<Vec<_>>().join(", "),
        })
    }

    /// This file with one of its extensions alone.
    ///
    /// # Errors
    /// There is no such extension.
    pub fn only(&self, name: &str, ver: i64) -> Result<Self> {
        let one = self.extension(name, ver)?.clone();
        Ok(AstroData { extensions: vec![one], ..self.clone() })
    }

    /// For messages.
    pub(crate) fn label(&self) -> String {
        self.path.as_deref().map_or_else(|| "array in memory".into(), crate::error::show)
    }

    /// Number of extensions.
    pub fn len(&self) -> usize {
        self.extensions.len()
    }

    /// Whether there is no extension.
    pub fn is_empty(&self) -> bool {
        self.extensions.is_empty()
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
    /// memory. Planes that come from a file keep their names, headers, stored types, BSCALE, BZERO and BLANK; those from
    /// memory are SCI, VAR (ERR for standard deviations) and DQ. The order is that of the file as long as all comes from
    /// one; else SCI, VAR, DQ and further planes of each extension, then tables. The target may be the file that this was
    /// read from: the old one goes when the new one is complete.
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
        let items = self.items(options.compression);
        let planes: Vec<Plane> = items.iter().filter_map(|i| i.plane.clone()).collect();
        let hdus = items.into_iter().map(|i| i.spec).collect();
        let mut writer = FitsWriter::with_hdus(path, options.overwrite, hdus)?;
        for (image, plane) in planes.iter().enumerate() {
            let format = plane.format();
            let mut bytes = Vec::new();
            plane.bands(|flat, stored| {
                let offset = (flat.start * format.size()) as u64;
                let on_disk =
                    format.big_endian && matches!(PixelFormat::disk(format.stored), f if f.stored == format.stored);
                if on_disk {
                    return writer.write(image, offset, stored);
                }
                bytes.clear();
                bytes.extend_from_slice(stored);
                to_disk(&format, &mut bytes);
                writer.write(image, offset, &bytes)
            })?;
        }
        writer.finish()
    }

    /// All HDUs, primary first.
    fn items(&self, compression: Option<Compression>) -> Vec<Item> {
        // Names and versions stay as they were if nothing was added.
        let ours = |p: &Plane| p.section().is_some_and(|s| self.file.as_ref().is_some_and(|f| f.holds(s)));
        let same = self.extensions.iter().flat_map(NDAstroData::stored_planes).all(ours);
        let mut items = Vec::new();
        for (nd, ver) in self.extensions.iter().zip(self.versions()) {
            let ver = if same { nd.ver() } else { Some(ver) };
            let primary = same && nd.hdu() == Some(0);
            let mut add = |plane: &Plane, hdu: Option<usize>, name: Option<String>, header: Header, ver, pack| {
                let format = plane.format();
                let disk = PixelFormat::disk(format.stored);
                // Numbers in memory may be of a type that FITS has not.
                let format =
                    if disk.stored == format.stored { PixelFormat { big_endian: true, ..format } } else { disk };
                let spec = ImageSpec { header, name, ver, shape: plane.shape(), format, compression: pack };
                items.push(Item { hdu, spec: HduSpec::Image(spec), plane: Some(plane.clone()) });
            };
            let lossless = compression.map(|c| Compression { quantize: None, ..c });
            let named = |plane: &Plane, name: &str| {
                let own = plane.header().filter(|_| same).map(|h| h.get_str("EXTNAME"));
                own.unwrap_or_else(|| Some(name.into()))
            };
            let version = |plane: &Plane| match plane.header().filter(|_| same) {
                Some(h) => h.get_i64("EXTVER"),
                None => ver,
            };
            let mut meta = nd.meta().clone();
            if let Some(unit) = nd.unit().filter(|u| meta.get_str("BUNIT").as_deref().map(str::trim) != Some(u)) {
                meta.set("BUNIT", unit, "");
            }
            let data = nd.data_plane();
            let sci = if same { meta.get_str("EXTNAME") } else { Some("SCI".into()) };
            add(data, nd.hdu(), sci, meta.clone(), ver.filter(|_| !primary || nd.ver().is_some()), compression);
            if let Some((plane, kind)) = nd.uncertainty_plane() {
                let name = match kind {
                    UncertaintyKind::Variance => "VAR",
                    UncertaintyKind::StdDev => "ERR",
                    _ => "UNCERT",
                };
                let header = plane.header().map_or_else(|| companion(&meta, kind, nd.unit()), |h| Header::clone(h));
                add(plane, plane.hdu(), named(plane, name), header, version(plane), lossless);
            }
            if let Some(plane) = nd.mask_plane() {
                let header = plane.header().map_or_else(|| without_unit(&meta), |h| Header::clone(h));
                add(plane, plane.hdu(), named(plane, "DQ"), header, version(plane), lossless);
            }
            for (name, plane) in nd.other_planes() {
                let header = plane.header().map_or_else(|| without_unit(&meta), |h| Header::clone(h));
                add(plane, plane.hdu(), named(plane, name), header, version(plane), lossless);
            }
        }
        let table = |t: &RawHdu| Item { hdu: Some(t.index()), spec: HduSpec::Raw(t.clone(), None), plane: None };
        items.extend(self.tables.iter().map(table));
        if same {
            // Those of another file stand behind.
            items.sort_by_key(|i| i.hdu.unwrap_or(usize::MAX));
        }
        if items.first().is_none_or(|i| i.hdu != Some(0) || !same) {
            let mut phu = self.phu().clone();
            if !same {
                phu.remove_where(|k| matches!(k, "EXTNAME" | "EXTVER"));
                phu.set("NEXTEND", items.len() as i64, "number of extensions");
            }
            items.insert(0, Item { hdu: Some(0), spec: HduSpec::Header(phu), plane: None });
        }
        items
    }

    /// EXTVERs to write: those of the extensions, each only once; the others get the smallest that are free.
    fn versions(&self) -> Vec<i64> {
        let said: HashSet<i64> = self.extensions.iter().filter_map(NDAstroData::ver).collect();
        let mut free = (1..).filter(|v| !said.contains(v));
        let mut taken = HashSet::new();
        let own = |nd: &NDAstroData| nd.ver().filter(|&v| taken.insert(v));
        let mut own: Vec<Option<i64>> = self.extensions.iter().map(own).collect();
        own.iter_mut().map(|v| v.or_else(|| free.next()).unwrap_or_default()).collect()
    }
}

/// Stored numbers of an array in memory, or of a tile, as FITS has them.
fn to_disk(format: &PixelFormat, bytes: &mut [u8]) {
    // The sign bit of the types that FITS lacks.
    let flip = if PixelFormat::disk(format.stored).stored == format.stored { 0 } else { 0x80 };
    for number in bytes.chunks_exact_mut(format.size()) {
        if !format.big_endian {
            number.reverse();
        }
        number[0] ^= flip;
    }
}

fn without_unit(header: &Header) -> Header {
    let mut h = header.clone();
    h.remove("BUNIT");
    h
}

/// The header of an uncertainty that has none of its own: that of the image, with its own unit.
fn companion(header: &Header, kind: UncertaintyKind, unit: Option<&str>) -> Header {
    let mut h = without_unit(header);
    if let Some(unit) = unit.map(str::trim).filter(|u| !u.is_empty()) {
        match kind {
            UncertaintyKind::Variance => h.set("BUNIT", squared(unit).as_str(), ""),
            UncertaintyKind::StdDev => h.set("BUNIT", unit, ""),
            UncertaintyKind::InverseVariance => h.set("BUNIT", format!("({unit})**(-2)").as_str(), ""),
            UncertaintyKind::Unknown => false,
        };
    }
    if !matches!(kind, UncertaintyKind::Variance | UncertaintyKind::StdDev) {
        h.set("UTYPE", kind.name(), "kind of uncertainty");
    }
    h
}

/// SCI, VAR and DQ of one extension, each if it has a type. VAR and DQ carry the header of SCI; the unit of VAR is
/// the square, DQ has none.
pub(crate) fn planes_of(
    header: &Header,
    unit: Option<&str>,
    ver: i64,
    shape: &[usize],
    types: [Option<DType>; 3],
    compression: Option<Compression>,
) -> impl Iterator<Item = ImageSpec> {
    let mut sci = header.clone();
    // Where the first frame had one of these it was of its own pixels.
    sci.remove_where(|k| matches!(k, "INHERIT" | "CHECKSUM" | "DATASUM"));
    let carried = header.get_str("BUNIT");
    let unit = unit.or(carried.as_deref()).map(str::trim).filter(|u| !u.is_empty());
    if let Some(unit) = unit {
        sci.set("BUNIT", unit, "");
    }
    let lossless = compression.map(|c| Compression { quantize: None, ..c });
    let (var, dq) = (companion(&sci, UncertaintyKind::Variance, unit), without_unit(&sci));
    let planes = [("SCI", sci, compression), ("VAR", var, lossless), ("DQ", dq, lossless)].into_iter().zip(types);
    let shape = shape.to_vec();
    planes.filter_map(move |((name, header, compression), dtype)| {
        Some(ImageSpec { compression, ..ImageSpec::new(name, ver, &shape, dtype?).with_header(header) })
    })
}

/// The unit of a variance, in the notation of FITS (standard 4.0, section 4.3.1).
fn squared(unit: &str) -> String {
    if unit.bytes().all(|b| b.is_ascii_alphabetic()) { format!("{unit}**2") } else { format!("({unit})**2") }
}

impl Index<usize> for AstroData {
    type Output = NDAstroData;

    fn index(&self, i: usize) -> &NDAstroData {
        &self.extensions[i]
    }
}

impl<'a> IntoIterator for &'a AstroData {
    type Item = &'a NDAstroData;
    type IntoIter = std::slice::Iter<'a, NDAstroData>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for AstroData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.info())
    }
}
