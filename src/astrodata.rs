//! A file of extensions: primary header and the containers in it.

use std::collections::HashSet;
use std::ops::Index;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dtype::DType;
use crate::fits::{FitsFile, FitsWriter, Header, ImageSpec, contradiction, groups};
use crate::nddata::NDAstroData;
use crate::pixels::Pixels;
use crate::{Error, Result};

/// The extensions of one file, or of one result.
#[derive(Clone)]
pub struct AstroData {
    path: Option<PathBuf>,
    file: Option<FitsFile>,
    phu: Arc<Header>,
    extensions: Vec<NDAstroData>,
    left_out: Vec<String>,
}

impl AstroData {
    /// Opens a FITS file: reads its headers, and no pixel. SCI, VAR and DQ go together by EXTVER, else by order; an
    /// image in the primary is an extension; in a file without SCI every image is one.
    ///
    /// # Errors
    /// The file cannot be read or is not FITS; a VAR or DQ has another shape than its SCI; there is no image that
    /// this version can read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let file = FitsFile::open(path)?;
        let path = file.path().to_path_buf();
        if let Some((hdu, reason)) = contradiction(file.hdus()) {
            return Err(Error::Header { path, hdu, reason });
        }
        let (mut extensions, mut left_out) = (Vec::new(), Vec::new());
        for g in groups(file.hdus()) {
            match NDAstroData::from_file(&file, g.sci, g.var, g.dq) {
                Ok(nd) => extensions.push(nd),
                // What cannot be read yet does not hide what can.
                Err(e @ Error::Unsupported { .. }) => left_out.push(e.to_string()),
                Err(e) => return Err(e),
            }
        }
        if extensions.is_empty() {
            let kinds = || file.hdus().iter().map(|h| format!("{} {}", h.label(), h.kind.name())).collect::<Vec<_>>();
            let found = if left_out.is_empty() { format!("HDUs {}", kinds().join(", ")) } else { left_out.join("; ") };
            return Err(Error::NoImage { path, found });
        }
        let phu = file.hdus()[0].header.clone();
        Ok(AstroData { path: Some(path), file: Some(file), phu, extensions, left_out })
    }

    /// From containers in memory.
    pub fn from_extensions(phu: Header, extensions: Vec<NDAstroData>) -> Self {
        AstroData { path: None, file: None, phu: Arc::new(phu), extensions, left_out: Vec::new() }
    }

    /// The file it was opened from.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The mapped file, if there is one.
    pub fn file(&self) -> Option<&FitsFile> {
        self.file.as_ref()
    }

    /// The primary header.
    pub fn phu(&self) -> &Header {
        &self.phu
    }

    /// The containers, in file order.
    pub fn extensions(&self) -> &[NDAstroData] {
        &self.extensions
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

impl AstroData {
    /// Writes all extensions to a FITS file: SCI, and VAR and DQ where there are. Complete or not at all.
    ///
    /// # Errors
    /// The target exists and `overwrite` is false; a plane cannot be read; the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>, overwrite: bool) -> Result<()> {
        let mut images = Vec::new();
        let mut planes = Vec::new();
        for (nd, ver) in self.extensions.iter().zip(self.versions()) {
            let three = [Some(nd.data()?), nd.variance()?, nd.mask()?];
            let types = three.map(|p| p.map(Pixels::dtype));
            images.extend(planes_of(nd.meta(), nd.unit(), ver, &nd.shape(), types));
            planes.extend(three.into_iter().flatten());
        }
        let mut writer = FitsWriter::create(path, overwrite, &self.phu, images)?;
        for (i, pixels) in planes.into_iter().enumerate() {
            writer.write_image(i, pixels)?;
        }
        writer.finish()
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

/// SCI, VAR and DQ of one extension, each if it has a type. VAR and DQ carry the header of SCI; the unit of VAR is
/// the square, DQ has none.
pub(crate) fn planes_of(
    header: &Header,
    unit: Option<&str>,
    ver: i64,
    shape: &[usize],
    types: [Option<DType>; 3],
) -> impl Iterator<Item = ImageSpec> {
    let (mut sci, mut var, mut dq) = (header.clone(), header.clone(), header.clone());
    let carried = header.get_str("BUNIT");
    if let Some(unit) = unit.or(carried.as_deref()).map(str::trim).filter(|u| !u.is_empty()) {
        sci.set("BUNIT", unit, "");
        var.set("BUNIT", squared(unit).as_str(), "");
    }
    dq.remove("BUNIT");
    let shape = shape.to_vec();
    let planes = [("SCI", sci), ("VAR", var), ("DQ", dq)].into_iter().zip(types);
    planes.filter_map(move |((name, header), dtype)| {
        dtype.map(|dtype| ImageSpec { header, name: name.into(), ver, shape: shape.clone(), dtype })
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
