//! An open FITS file: the mapping and its HDUs. Opening reads headers only.

use std::path::Path;
use std::sync::Arc;

use super::cards::is_mandatory;
use super::header::{Header, Value};
use super::map::Mapping;
use super::options::OpenOptions;
use super::raw::RawHdu;
use super::scan::{Hdu, HduKind, scan};
use super::section::Section;
use super::tiled;
use super::writer::{FitsWriter, HduSpec};
use crate::{Error, Result, WriteOptions};

/// A mapped FITS file, shared by the sections taken from it.
#[derive(Clone)]
pub struct FitsFile {
    map: Arc<Mapping>,
    hdus: Arc<Vec<Hdu>>,
}

impl FitsFile {
    /// Opens a file and checks all its headers. No pixel is read. A file that is packed as a whole (gzip, bzip2, compress;
    /// by its first bytes, not its name) is unpacked to a temporary file, to 256 MiB or 500 times its own size, at most to
    /// 8 GiB.
    ///
    /// # Errors
    /// The file cannot be read, is not FITS, is truncated, or has a header that contradicts itself.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &OpenOptions::default())
    }

    /// The same with options, of which the layout has no meaning here.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self> {
        Self::of(Mapping::open(path.as_ref(), options)?)
    }

    /// A plain file that is in memory.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        Self::of(Mapping::of_bytes(bytes, Path::new("file in memory")))
    }

    fn of(mut map: Mapping) -> Result<Self> {
        let hdus = scan(&map);
        map.close();
        // What was parsed while the file changed is not worth an explanation.
        map.check()?;
        Ok(FitsFile { map: Arc::new(map), hdus: Arc::new(hdus?) })
    }

    /// The HDUs, primary first.
    pub fn hdus(&self) -> &[Hdu] {
        &self.hdus
    }

    /// What is not standard in this file but can be read all the same; at most ten lines an HDU.
    pub fn warnings(&self) -> Vec<String> {
        let of = |hdu: &Hdu| -> Vec<String> {
            hdu.header.oddities().into_iter().map(|what| format!("HDU {}: {what}", hdu.label())).collect()
        };
        let mut lines: Vec<String> = self.hdus.iter().flat_map(of).collect();
        let last = self.hdus.last().map_or(0, |h| h.data.end);
        let end = last.next_multiple_of(super::header::BLOCK as u64);
        match self.map.len() {
            len if len < end => lines.push("the last block of the file is not padded".into()),
            len if len > end => lines.push(format!("{} bytes behind the last HDU are no HDU", len - end)),
            _ => {}
        }
        lines
    }

    /// The header of the image in HDU `index`: of a compressed one that of the image, not that of its table.
    pub(crate) fn image_header(&self, index: usize) -> Arc<Header> {
        let hdu = &self.hdus[index];
        match hdu.kind {
            HduKind::CompressedImage => {
                let mut h = tiled::image_header(&hdu.header);
                if h.get_str("EXTNAME") != hdu.name || h.count("EXTNAME") > 1 {
                    h.remove("EXTNAME");
                    if let Some(name) = &hdu.name {
                        h.set("EXTNAME", name.as_str(), "extension name");
                    }
                }
                Arc::new(h)
            }
            _ => hdu.header.clone(),
        }
    }

    /// An HDU as it is in the file, byte for byte.
    pub fn raw(&self, index: usize) -> Option<RawHdu> {
        self.hdus.get(index).map(|hdu| RawHdu::new(self.map.clone(), hdu))
    }

    /// The headers of all HDUs as `edit` changes them, by index; `None` for one that it leaves as it is.
    ///
    /// # Errors
    /// A card that lays out data was changed.
    pub fn with_headers(&self, mut edit: impl FnMut(usize, &mut Header)) -> Result<Vec<Option<Header>>> {
        let changed = |hdu: &Hdu| {
            let mut header = Header::clone(&hdu.header);
            edit(hdu.index, &mut header);
            match layout_change(&hdu.header, &header) {
                Some(key) => Err(Error::Parameter(format!(
                    "HDU {}: {} lays out the data and cannot be changed",
                    hdu.label(),
                    crate::error::escape(&key)
                ))),
                None => Ok((header != *hdu.header).then_some(header)),
            }
        };
        self.hdus.iter().map(changed).collect()
    }

    /// Writes this file with other headers; see [`with_headers`](Self::with_headers). Every other byte of every HDU stays
    /// as it is, padding included; a CHECKSUM of a changed header is made true again. The target may be this file.
    ///
    /// # Errors
    /// There are not as many headers as HDUs; the target exists and `overwrite` is false; the file changed meanwhile, or
    /// cannot be written.
    pub fn rewrite(&self, path: impl AsRef<Path>, overwrite: bool, headers: Vec<Option<Header>>) -> Result<()> {
        self.rewrite_with(path, &WriteOptions::default().overwrite(overwrite), headers)
    }

    /// The same with options, of which compression has no meaning here.
    ///
    /// # Errors
    /// As [`rewrite`](Self::rewrite).
    pub fn rewrite_with(
        &self,
        path: impl AsRef<Path>,
        options: &WriteOptions,
        headers: Vec<Option<Header>>,
    ) -> Result<()> {
        if headers.len() != self.hdus.len() {
            return Err(Error::Parameter(format!("{} headers for {} HDUs", headers.len(), self.hdus.len())));
        }
        let last = self.hdus.len() - 1;
        let raw = |i: usize| self.raw(i).map(|raw| if i == last { raw.with_tail() } else { raw });
        let hdus = headers.into_iter().enumerate().filter_map(|(i, h)| Some(HduSpec::Raw(raw(i)?, h))).collect();
        let mut writer = FitsWriter::with_hdus(path, options.overwrite, hdus)?;
        writer.cancel(options.cancel.clone());
        writer.finish()
    }

    /// The name it was opened by.
    pub fn path(&self) -> &Path {
        self.map.path()
    }

    /// Bytes of this file that were looked at so far: headers at opening, then what windows asked for.
    pub fn bytes_read(&self) -> u64 {
        let (headers, pixels) = self.map.bytes_read();
        headers + pixels
    }

    /// Whether these pixels are in this very file.
    pub(crate) fn holds(&self, section: &Section) -> bool {
        Arc::ptr_eq(&self.map, section.mapping())
    }

    /// Whether HDU `index` holds the image of the primary, packed, and the primary nothing.
    pub(crate) fn was_primary(&self, index: usize) -> bool {
        index > 0 && !self.hdus[0].has_pixels() && self.hdus.get(index).is_some_and(super::layout::of_primary)
    }

    /// Whether this HDU is of this very file.
    pub(crate) fn holds_hdu(&self, hdu: &RawHdu) -> bool {
        std::ptr::eq(&*self.map, hdu.mapping())
    }

    /// Whether `meta` is of this very file, under whatever name.
    pub(crate) fn is_file(&self, meta: &std::fs::Metadata) -> bool {
        self.map.is_file(meta)
    }

    /// The pixels of an image HDU, not read yet.
    ///
    /// # Errors
    /// The HDU is no image, has no pixels, or is compressed in a way that cannot be read.
    pub fn section(&self, index: usize) -> Result<Section> {
        let hdu = self.hdus.get(index).ok_or_else(|| Error::NoExtension {
            path: self.path().to_path_buf(),
            wanted: index.to_string(),
            found: format!("{} HDUs", self.hdus.len()),
        })?;
        let refuse =
            |what: &str| Error::Unsupported { path: self.path().to_path_buf(), hdu: index, what: what.to_string() };
        match hdu.kind {
            HduKind::Image | HduKind::CompressedImage if hdu.has_pixels() => Section::new(self.map.clone(), hdu),
            HduKind::Image | HduKind::CompressedImage => Err(refuse("it has no pixels")),
            _ => Err(refuse("it is not an image")),
        }
    }
}

/// The first card that lays out data and is not what it was.
fn layout_change(old: &Header, new: &Header) -> Option<String> {
    let lays_out = |key: &str| {
        let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
        is_mandatory(key)
            || matches!(stem, "TFIELDS" | "THEAP" | "TFORM" | "ZIMAGE" | "ZBITPIX" | "ZNAXIS" | "ZTILE" | "ZCMPTYPE")
            || matches!(stem, "ZNAME" | "ZVAL" | "ZQUANTIZ" | "ZDITHER" | "ZSCALE" | "ZZERO" | "ZBLANK" | "TTYPE")
    };
    let cards = |h: &Header| -> Vec<(String, Option<Value>)> {
        h.iter().filter(|e| lays_out(&e.keyword)).map(|e| (e.keyword.clone(), e.value)).collect()
    };
    let (old, new) = (cards(old), cards(new));
    let differs = old.iter().zip(&new).find(|(a, b)| a != b).map(|(a, _)| a);
    let more = || old.get(new.len()).or(new.get(old.len()));
    differs.or_else(more).map(|(key, _)| key.clone())
}
