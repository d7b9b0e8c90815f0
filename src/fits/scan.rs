//! The walk over a file's HDUs: headers parsed and every size checked against the file, before anything is mapped
//! as pixels or allocated.
//!
//! What must hold (FITS standard 4.0, sections 3 and 4): the first card of the primary is SIMPLE, of an extension
//! XTENSION; BITPIX, NAXIS and every NAXISn are there, legal and said once; the data lie inside the file. Only the
//! padding of the last block may be missing, and in an extension then all of it. What follows the last HDU must not look like the start of another.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::header::{BLOCK, Bad, CARD, Header, Value};
use super::map::{Mapping, Reader};
use super::tiled;
use crate::dtype::PixelFormat;
use crate::error::escape;
use crate::{Error, Result};

/// What an HDU is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HduKind {
    /// An image, or a header without data.
    Image,
    /// A tile-compressed image in a binary table.
    CompressedImage,
    /// Random groups.
    Groups,
    /// TABLE.
    AsciiTable,
    /// BINTABLE.
    BinTable,
    /// Any other XTENSION.
    Other(String),
}

impl HduKind {
    /// One word, as `ndastro info` prints it.
    pub fn name(&self) -> &str {
        match self {
            HduKind::Image | HduKind::CompressedImage => "image",
            HduKind::Groups => "groups",
            HduKind::AsciiTable => "table",
            HduKind::BinTable => "bintable",
            HduKind::Other(name) => name,
        }
    }
}

/// One HDU: its header, and where its data are.
#[derive(Clone, Debug)]
pub struct Hdu {
    /// From 0 with the primary.
    pub index: usize,
    /// The cards.
    pub header: Arc<Header>,
    /// Image, table, ...
    pub kind: HduKind,
    /// EXTNAME.
    pub name: Option<String>,
    /// EXTVER.
    pub ver: Option<i64>,
    /// numpy order (slowest axis first); of a compressed image that of the image.
    pub shape: Vec<usize>,
    /// BITPIX; of a compressed image ZBITPIX.
    pub bitpix: i64,
    /// How stored numbers become values; `None` for what is no image.
    pub format: Option<PixelFormat>,
    /// First byte of its header in the file.
    pub start: u64,
    /// Byte range of the data in the file, without padding.
    pub data: Range<u64>,
}

impl Hdu {
    /// Whether this is an image with at least one pixel.
    pub fn has_pixels(&self) -> bool {
        matches!(self.kind, HduKind::Image | HduKind::CompressedImage)
            && !self.shape.is_empty()
            && !self.shape.contains(&0)
    }

    /// For messages: `3 (SCI,1)`.
    pub fn label(&self) -> String {
        match (&self.name, self.ver) {
            (Some(n), Some(v)) => format!("{} ({},{v})", self.index, escape(n)),
            (Some(n), None) => format!("{} ({})", self.index, escape(n)),
            _ => self.index.to_string(),
        }
    }
}

/// A file with more HDUs is refused.
const MAX_HDUS: usize = 65_536;

/// All HDUs of the file.
pub(crate) fn scan(map: &Mapping) -> Result<Vec<Hdu>> {
    let len = map.len();
    let reader = map.scanner()?;
    refuse_foreign(map, &reader)?;
    let mut hdus = Vec::new();
    let mut at = 0u64;
    loop {
        let hdu = scan_one(map, &reader, hdus.len(), at)?;
        // Some writers leave the padding of the last block out. An extension that ends in the middle of it was cut,
        // and what came after it is lost; behind the image of a primary there need not have been anything.
        at = hdu.data.end.next_multiple_of(BLOCK as u64);
        let lone = hdu.index == 0 && !hdu.data.is_empty();
        if len < at && len != hdu.data.end && !lone {
            return Err(truncated(map, hdu.index, at));
        }
        hdus.push(hdu);
        if at >= len || !looks_like_extension(&reader.get(at, len.min(at + CARD as u64))?) {
            return Ok(hdus);
        }
        if hdus.len() >= MAX_HDUS {
            return Err(bad(map, hdus.len(), format!("more than {MAX_HDUS} HDUs")));
        }
    }
}

fn bad(map: &Mapping, hdu: usize, reason: impl Into<String>) -> Error {
    Error::Header { path: map.path().to_path_buf(), hdu, reason: reason.into() }
}

fn truncated(map: &Mapping, hdu: usize, expected: u64) -> Error {
    Error::Truncated { path: map.path().to_path_buf(), hdu, expected, found: map.len() }
}

/// Says clearly that a file is not FITS.
fn refuse_foreign(map: &Mapping, reader: &Reader<'_>) -> Result<()> {
    let not = |reason: &str| Err(Error::NotFits { path: map.path().to_path_buf(), reason: reason.into() });
    let packed = map.packing().is_some();
    match &reader.get(0, map.len().min(CARD as u64))?[..] {
        start if start.starts_with(b"SIMPLE") => Ok(()),
        [] if packed => not("it is packed, and empty"),
        [] => not("it is empty"),
        _ if packed => not("it is packed, and what it unpacks to does not start with SIMPLE"),
        _ => not("it does not start with SIMPLE"),
    }
}

/// Whether bytes after an HDU start another, whole or cut.
fn looks_like_extension(bytes: &[u8]) -> bool {
    let n = bytes.len().min(8);
    n > 0 && bytes[..n] == b"XTENSION"[..n]
}

fn scan_one(map: &Mapping, reader: &Reader<'_>, index: usize, at: u64) -> Result<Hdu> {
    // Headers are copied out before they are parsed: a byte that changes later cannot change a checked size.
    let (header, used) = read_header(map, reader, index, at)?;
    let fail = |reason: String| bad(map, index, reason);
    // Found in one pass: there may be 999 axes and 800,000 cards.
    let mut sizes: HashMap<&[u8], Vec<&[u8; CARD]>> = HashMap::new();
    for card in header.cards() {
        let name = card[..8].trim_ascii_end();
        if name.starts_with(b"NAXIS") || matches!(name, b"BITPIX" | b"PCOUNT" | b"GCOUNT") {
            sizes.entry(name).or_default().push(card);
        }
    }
    let structural = |key: &str| -> Result<Option<i64>> {
        let cards = sizes.get(key.as_bytes()).map_or(&[][..], Vec::as_slice);
        let all: Vec<i64> = cards
            .iter()
            .map(|c| Header::parse_integer(c).ok_or_else(|| fail(format!("{key} is not an integer"))))
            .collect::<Result<_>>()?;
        if all.windows(2).any(|w| w[0] != w[1]) {
            return Err(fail(format!("{key} is said twice: {} and {}", all[0], all[1])));
        }
        Ok(all.first().copied())
    };
    let need = |key: &str| structural(key)?.ok_or_else(|| fail(format!("{key} is missing")));

    let own_bitpix = need("BITPIX")?;
    if PixelFormat::fits(own_bitpix, 1.0, 0.0, None).is_none() {
        return Err(fail(format!("BITPIX = {own_bitpix} is not one of 8, 16, 32, 64, -32, -64")));
    }
    let naxis = need("NAXIS")?;
    if !(0..=999).contains(&naxis) {
        return Err(fail(format!("NAXIS = {naxis} is not in 0 to 999")));
    }
    let mut axes = Vec::new();
    for i in 1..=naxis {
        let n = need(&format!("NAXIS{i}"))?;
        if !(0..=1 << 40).contains(&n) {
            return Err(fail(format!("NAXIS{i} = {n} is not in 0 to 2^40")));
        }
        axes.push(n as u64);
    }

    let xtension = header.get_str("XTENSION");
    let groups = index == 0 && header.get_bool("GROUPS") == Some(true) && axes.first() == Some(&0);
    let kind = match xtension.as_deref() {
        _ if groups => HduKind::Groups,
        None | Some("IMAGE" | "IUEIMAGE") => HduKind::Image,
        Some("TABLE") => HduKind::AsciiTable,
        Some("BINTABLE" | "A3DTABLE") if header.get_bool("ZIMAGE") == Some(true) => HduKind::CompressedImage,
        Some("BINTABLE" | "A3DTABLE") => HduKind::BinTable,
        Some(other) => HduKind::Other(escape(other)),
    };
    let (pcount, gcount) = if index > 0 || groups {
        (structural("PCOUNT")?.unwrap_or(0), structural("GCOUNT")?.unwrap_or(1))
    } else {
        (0, 1)
    };
    if pcount < 0 || gcount < 0 {
        return Err(fail(format!("PCOUNT = {pcount}, GCOUNT = {gcount}: they cannot be negative")));
    }
    let skip = usize::from(groups);
    let pixels = if axes.len() == skip {
        Some(0)
    } else {
        axes[skip..].iter().try_fold(1u64, |product, &n| product.checked_mul(n))
    };
    let start = at + used;
    let end = pixels
        .and_then(|p| p.checked_add(pcount as u64))
        .and_then(|p| p.checked_mul(gcount as u64))
        .and_then(|p| p.checked_mul(own_bitpix.unsigned_abs() / 8))
        .and_then(|bytes| bytes.checked_add(start))
        .ok_or_else(|| fail("the size of the data overflows".into()))?;
    if end > map.len() && end > start {
        return Err(truncated(map, index, end));
    }

    let mut hdu = Hdu {
        index,
        kind,
        name: header.get_str("EXTNAME").map(|n| n.trim().to_string()),
        ver: header.get_i64("EXTVER"),
        shape: axes.iter().rev().map(|&n| n as usize).collect(),
        bitpix: own_bitpix,
        format: None,
        start: at,
        data: start..end,
        header: Arc::new(header),
    };
    match hdu.kind {
        HduKind::Image => hdu.format = Some(format(map, &hdu)?),
        HduKind::CompressedImage => {
            let (shape, bitpix, format) = tiled::describe(&hdu.header).map_err(|e| bad(map, index, e))?;
            (hdu.shape, hdu.bitpix, hdu.format) = (shape, bitpix, Some(format));
            hdu.name = image_name(&hdu.header);
        }
        _ => {}
    }
    Ok(hdu)
}

/// The header at `at`, and its length with padding.
fn read_header(map: &Mapping, reader: &Reader<'_>, index: usize, at: u64) -> Result<(Header, u64)> {
    // Grow the copy block by block's worth until END is in it: most headers end in the first piece.
    let mut want = 4 * BLOCK as u64;
    loop {
        let end = map.len().min(at.saturating_add(want));
        match Header::parse(&reader.get(at, end)?) {
            Ok((header, used)) => {
                map.count_header((used as u64).min(map.len() - at));
                return Ok((header, used as u64));
            }
            Err(Bad::NoEnd) if end < map.len() && want < Header::MAX_CARDS as u64 * CARD as u64 => want *= 4,
            Err(Bad::NoEnd) => {
                return Err(bad(map, index, format!("no END card in the {} bytes from byte {at} on", end - at)));
            }
            Err(Bad::TooLong) => return Err(bad(map, index, format!("more than {} cards", Header::MAX_CARDS))),
        }
    }
}

/// EXTNAME of a compressed image. A table that was made from an image without a name has one of its own, and where there
/// are two the other is the image's; an image that has several goes by the first, packed or not.
fn image_name(h: &Header) -> Option<String> {
    let mut names =
        h.get_all("EXTNAME").filter_map(|v| if let Value::Text(t) = v { Some(t.trim().to_string()) } else { None });
    names.find(|n| n != "COMPRESSED_IMAGE")
}

/// BSCALE, BZERO, BLANK.
fn format(map: &Mapping, hdu: &Hdu) -> Result<PixelFormat> {
    let (bscale, bzero) = scaling(&hdu.header).map_err(|e| bad(map, hdu.index, e))?;
    PixelFormat::fits(hdu.bitpix, bscale, bzero, hdu.header.get_i64("BLANK"))
        .ok_or_else(|| bad(map, hdu.index, "BITPIX is not legal"))
}

/// BSCALE and BZERO, of any image.
pub(super) fn scaling(h: &Header) -> std::result::Result<(f64, f64), String> {
    let number = |key: &str, default: f64| match h.get(key) {
        None => Ok(default),
        Some(Value::Integer(i)) => Ok(i as f64),
        Some(Value::Real(r)) => Ok(r),
        Some(_) => Err(format!("{key} is not a number")),
    };
    Ok((number("BSCALE", 1.0)?, number("BZERO", 0.0)?))
}
