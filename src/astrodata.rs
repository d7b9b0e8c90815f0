//! A file of extensions: primary header and the containers in it.

use std::fmt;
use std::ops::{Index, IndexMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::escape;
use crate::fits::{FitsFile, Header, Layout, OpenOptions, RawHdu, associate, contradiction};
use crate::nddata::NDAstroData;
use crate::window::Window;
use crate::{Error, Result};

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
            // A file may have very many.
            let some = |lines: Vec<String>| match lines.len() {
                n if n > 10 => format!("{}, and {} more", lines[..10].join(", "), n - 10),
                _ => lines.join(", "),
            };
            let kinds = || file.hdus().iter().map(|h| format!("{} {}", h.label(), h.kind.name())).collect();
            let found = if left_out.is_empty() { format!("HDUs {}", some(kinds())) } else { some(left_out) };
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

    /// Its extensions alone.
    pub(crate) fn into_extensions(self) -> Vec<NDAstroData> {
        self.extensions
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

    /// The same with each container as the function makes it, in their order; the first that fails ends it. Primary
    /// header and tables stay. This is not changed.
    ///
    /// # Errors
    /// Those of the function.
    pub fn operate(&self, f: impl FnMut(&NDAstroData) -> Result<NDAstroData>) -> Result<Self> {
        let extensions = self.extensions.iter().map(f).collect::<Result<_>>()?;
        // The primary's cards stay with the file if its image does not.
        Ok(AstroData { extensions, phu: Arc::new(self.phu().clone()), ..self.clone() })
    }

    /// The same window of every extension; reads nothing. Windows are half-open and count from 0, slowest axis first:
    /// what other packages call `crop(x1, y1, x2, y2)`, ends included, is `[y1..y2 + 1, x1..x2 + 1]`.
    ///
    /// # Errors
    /// It does not lie in one of them.
    pub fn crop(&self, window: &Window) -> Result<Self> {
        self.operate(|nd| nd.window(window))
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
            let unit = e.unit().map_or(String::new(), |u| format!(", unit {}", escape(u.as_str())));
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

    /// The extension of this EXTNAME (upper and lower case are one) and EXTVER. One that says no EXTVER goes by its
    /// place, counted from 1.
    pub fn get(&self, name: &str, ver: i64) -> Option<&NDAstroData> {
        let found = |(i, e): &(usize, &NDAstroData)| {
            e.name().eq_ignore_ascii_case(name) && e.ver().unwrap_or(*i as i64 + 1) == ver
        };
        self.extensions.iter().enumerate().find(found).map(|(_, e)| e)
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

/// The extension of `input` that goes with extension `index` of the first: by EXTNAME and EXTVER where the first
/// says them, else, and where there is only one, by place.
pub(crate) fn partner<'a>(first: &AstroData, index: usize, input: &'a AstroData) -> Result<&'a NDAstroData> {
    let wanted = &first[index];
    match wanted.ver() {
        Some(ver) if first.len() > 1 && input.iter().all(|e| e.ver().is_some()) => input.extension(wanted.name(), ver),
        _ => Ok(&input[index]),
    }
}

impl Index<usize> for AstroData {
    type Output = NDAstroData;

    fn index(&self, i: usize) -> &NDAstroData {
        &self.extensions[i]
    }
}

impl IndexMut<usize> for AstroData {
    fn index_mut(&mut self, i: usize) -> &mut NDAstroData {
        &mut self.extensions[i]
    }
}

impl Index<(&str, i64)> for AstroData {
    type Output = NDAstroData;

    /// The extension of this EXTNAME and EXTVER; panics if there is none, as slices do. See [`AstroData::get`].
    #[allow(clippy::panic)] // what an index that does not exist is for
    fn index(&self, (name, ver): (&str, i64)) -> &NDAstroData {
        self.get(name, ver).unwrap_or_else(|| panic!("there is no extension {name},{ver}"))
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
