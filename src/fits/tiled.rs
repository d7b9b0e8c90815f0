//! A tile-compressed image: FITS standard 4.0, section 10. Tiles are decoded when a window touches them.
//!
//! The image is a binary table of one row a tile; NAXIS1 of the image varies fastest among tiles as among pixels. A
//! row points into the heap: COMPRESSED_DATA, or where that is empty GZIP_COMPRESSED_DATA (numbers deflated as they
//! are) or UNCOMPRESSED_DATA. Floating-point images are mostly quantised: integers with ZSCALE, ZZERO and a null value
//! a tile, dithered or not.
//!
//! Nothing of the header is believed: axes, tiles, columns, descriptors and the ratio of packed to unpacked size are
//! checked before anything is allocated. Every codec is of this crate (`codec/`), bounds-checked, and says what is wrong.
//!
//! What is decoded are the stored numbers in native byte order; BSCALE, BZERO and BLANK act on them as on any image.

use std::ops::Range;

use super::codec::quantize::{self, Dither};
use super::codec::{gzip, hcompress, plio, rice};
use super::columns::{Columns, Descriptors, PerTile};
use super::header::Header;
use super::map::{Mapping, Reader};
use super::scan::{Hdu, scaling};
use crate::dtype::{DType, PixelFormat};
use crate::window::{Places, Window, cover};
use crate::{Error, Result};

/// A compressed image may always unpack to as many bytes.
const FREE_BYTES: u64 = 64 << 20;
/// Beyond, it must have at least one byte in the heap for as many unpacked ones: a run-length list of zeros has one for
/// 8,000.
const RATIO: u64 = 20_000;
/// Memory that a tile may always take while it is decoded; beyond, the same ratio holds.
const FREE_SCRATCH: u64 = 128 << 20;
/// A tile of few pixels does not need more bytes: what is longer would only be read, by as many tiles as point at it.
const PACKED: (u64, u64) = (4096, 32);

/// How the integers of a tile are packed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Codec {
    Rice { block: usize, bytepix: usize },
    Gzip { shuffled: bool },
    Hcompress { smooth: bool },
    Plio,
    None,
}

/// Floating-point pixels as scaled integers.
#[derive(Clone, Copy, Debug)]
struct Quantized {
    scale: PerTile,
    zero: PerTile,
    blank: Option<PerTile>,
    dither: Dither,
    seed: i64,
}

/// Where the tiles of an image are, and how to decode them.
#[derive(Debug)]
pub(super) struct Tiled {
    shape: Vec<usize>,
    /// Pixels of a tile along each axis; at the far edges there are fewer.
    tile: Vec<usize>,
    /// Tiles along each axis.
    grid: Vec<usize>,
    stored: DType,
    codec: Codec,
    quantized: Option<Quantized>,
    packed: Option<Descriptors>,
    deflated: Option<Descriptors>,
    plain: Option<Descriptors>,
    table: Range<u64>,
    row: usize,
    heap: Range<u64>,
}

/// Why a tile cannot be read.
pub(super) enum Fault {
    /// What is wrong with it.
    Damaged(String),
    /// The file is.
    File(Error),
}

impl From<Error> for Fault {
    fn from(e: Error) -> Self {
        Fault::File(e)
    }
}

/// What one thread decodes in.
#[derive(Default)]
pub(super) struct Scratch {
    ints: Vec<i32>,
    raw: Vec<u8>,
    bytes: Vec<u8>,
    /// The stored numbers of a tile, native.
    pixels: Vec<u8>,
}

impl Scratch {
    /// Bytes that a thread may keep.
    const KEPT: usize = 32 << 20;

    /// Gives back what a large tile took.
    pub(super) fn trim(&mut self) {
        if 4 * self.ints.capacity() + self.raw.capacity() + self.bytes.capacity() + self.pixels.capacity() > Self::KEPT
        {
            *self = Scratch::default();
        }
    }
}

impl Tiled {
    /// Checks everything that can be checked without decoding.
    pub(super) fn new(map: &Mapping, hdu: &Hdu) -> Result<Self> {
        let h = &layout_of(&hdu.header);
        let bad = |reason: String| Error::Header { path: map.path().to_path_buf(), hdu: hdu.index, reason };
        let unsupported = |what: String| Error::Unsupported { path: map.path().to_path_buf(), hdu: hdu.index, what };
        let shape = hdu.shape.clone();
        let Some(format) = hdu.format else { return Err(bad("ZBITPIX is not legal".into())) };
        let rank = shape.len();
        let mut tile = Vec::with_capacity(rank);
        for axis in (1..=rank).rev() {
            // Without ZTILEn a tile is a row.
            let whole = if axis == 1 { shape[rank - 1] as i64 } else { 1 };
            let n = match h.get(&format!("ZTILE{axis}")) {
                None => whole,
                Some(_) => h.get_i64(&format!("ZTILE{axis}")).unwrap_or(0),
            };
            if n < 1 {
                return Err(bad(format!("ZTILE{axis} is not a positive integer")));
            }
            // A tile may be larger than the image; then the image is one.
            tile.push((n as u64).min(shape[rank - axis] as u64) as usize);
        }
        let grid: Vec<usize> = shape.iter().zip(&tile).map(|(n, t)| n.div_ceil(*t)).collect();
        let tiles = grid.iter().try_fold(1u64, |p, &n| p.checked_mul(n as u64));
        let rows = h.get_i64("NAXIS2").unwrap_or(0);
        if tiles != u64::try_from(rows).ok() {
            return Err(bad(format!("{rows} rows of tiles found, {grid:?} expected")));
        }
        let row = h.get_i64("NAXIS1").and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        let columns = Columns::parse(h, row).map_err(bad)?;
        if columns.find("NULL_PIXEL_MASK").is_some() {
            return Err(unsupported("its null pixels are in a compressed mask, which is not read".into()));
        }
        let descriptors = |name: &str| columns.descriptors(name).map_err(bad);
        let packed = descriptors("COMPRESSED_DATA")?;
        let deflated = descriptors("GZIP_COMPRESSED_DATA")?;
        let plain = descriptors("UNCOMPRESSED_DATA")?;
        if packed.is_none() && deflated.is_none() && plain.is_none() {
            return Err(bad("it has no column COMPRESSED_DATA".into()));
        }

        let table_bytes = row as u64 * rows as u64;
        let all = hdu.data.clone();
        let gap = match h.get_i64("THEAP") {
            None => table_bytes,
            Some(theap) => u64::try_from(theap).unwrap_or(u64::MAX),
        };
        if gap < table_bytes || gap > all.end - all.start {
            return Err(bad(format!("THEAP = {gap} does not lie behind the table")));
        }
        let (table, heap) = (all.start..all.start + table_bytes, all.start + gap..all.end);
        let stored = format.stored;
        let unpacked = shape.iter().try_fold(stored.size() as u64, |p, &n| p.checked_mul(n as u64));
        let allowed = (heap.end - heap.start).saturating_mul(RATIO).max(FREE_BYTES);
        if unpacked.is_none_or(|n| n > allowed) {
            return Err(bad(format!("an image of shape {shape:?} cannot come from {} bytes", heap.end - heap.start)));
        }

        let codec = codec(h).map_err(unsupported)?;
        let quantized = if stored.is_float() { quantized(h, &columns).map_err(bad)? } else { None };
        // Other codecs hold integers alone: without ZSCALE these are the values.
        let whole = Quantized {
            scale: PerTile::Keyword(1.0),
            zero: PerTile::Keyword(0.0),
            blank: None,
            dither: Dither::None,
            seed: 1,
        };
        let as_they_are = !stored.is_float() || matches!(codec, Codec::Gzip { .. } | Codec::None);
        let quantized = quantized.or((!as_they_are).then_some(whole));
        let scratch = tile.iter().product::<usize>() as u64 * scratch_bytes(codec, stored, quantized.is_some());
        if scratch > (heap.end - heap.start).saturating_mul(RATIO).max(FREE_SCRATCH) {
            return Err(bad(format!("tiles of shape {tile:?} cannot come from {} bytes", heap.end - heap.start)));
        }
        Ok(Tiled { shape, tile, grid, stored, codec, quantized, packed, deflated, plain, table, row, heap })
    }

    /// Pixels of a full-width band of the image that is made of whole tiles: what should be asked for at once.
    pub(super) fn band(&self) -> usize {
        let rank = self.shape.len();
        let thick = self.tile.iter().position(|&t| t > 1).unwrap_or(rank);
        // At least a row.
        let first = thick.min(rank.saturating_sub(2));
        self.tile[first] * self.shape[first + 1..].iter().product::<usize>()
    }

    /// Stored numbers, native, of pixels `flat` (C order) of a window that was checked. Returns how many bytes of the
    /// heap that took, and where in the file they are.
    pub(super) fn read(
        &self,
        reader: &Reader<'_>,
        window: &Window,
        flat: Range<usize>,
        scratch: &mut Scratch,
        out: &mut [u8],
    ) -> std::result::Result<(u64, Range<u64>), Fault> {
        let (mut first, mut last) = (u64::MAX, 0);
        if flat.is_empty() {
            return Ok((0, 0..0));
        }
        let size = self.stored.size();
        let extent = window.shape();
        let cover = cover(&extent, &flat);
        // In pixels of the image.
        let wanted: Vec<Range<usize>> =
            cover.iter().zip(window.ranges()).map(|(c, w)| w.start + c.start..w.start + c.end).collect();
        let tiles: Vec<Range<usize>> =
            wanted.iter().zip(&self.tile).map(|(w, t)| w.start / t..(w.end - 1) / t + 1).collect();
        let mut read = 0;
        for at in Places::new(&tiles) {
            let heap = self.decode(reader, &at, scratch)?;
            read += heap.end - heap.start;
            (first, last) = (first.min(heap.start), last.max(heap.end));
            // The part of the tile that is wanted, row by row of it.
            let origin: Vec<usize> = at.iter().zip(&self.tile).map(|(a, t)| a * t).collect();
            let counts = self.counts(&at);
            let part: Vec<Range<usize>> = (0..at.len())
                .map(|i| origin[i].max(wanted[i].start)..(origin[i] + counts[i]).min(wanted[i].end))
                .collect();
            let last = part.len() - 1;
            // Axes that are whole in the tile and in the window go in one piece with the one before them.
            let whole = |i: usize| part[i].len() == counts[i] && part[i].len() == extent[i];
            let first = (1..=last).rev().find(|&i| !whole(i)).unwrap_or(0);
            let run: usize = part[first..].iter().map(ExactSizeIterator::len).product();
            let mut rows = part.clone();
            rows[first..].iter_mut().for_each(|r| r.end = r.start + 1);
            for pixel in Places::new(&rows) {
                let (mut from, mut to) = (0, 0);
                for i in 0..=last {
                    from = from * counts[i] + pixel[i] - origin[i];
                    to = to * extent[i] + pixel[i] - window.ranges()[i].start;
                }
                let n = run;
                // Pixels before and behind the range that was asked for.
                let before = flat.start.saturating_sub(to).min(n);
                let behind = (to + n).saturating_sub(flat.end).min(n - before);
                let n = n - before - behind;
                if n > 0 {
                    let (from, to) = (from + before, to + before - flat.start);
                    out[to * size..(to + n) * size].copy_from_slice(&scratch.pixels[from * size..(from + n) * size]);
                }
            }
        }
        Ok((read, first..last))
    }

    /// Pixels of a tile along each axis.
    fn counts(&self, at: &[usize]) -> Vec<usize> {
        (0..at.len()).map(|i| self.tile[i].min(self.shape[i] - at[i] * self.tile[i])).collect()
    }

    /// Decodes a tile into `scratch.pixels`; returns where its bytes are in the file.
    fn decode(
        &self,
        reader: &Reader<'_>,
        at: &[usize],
        scratch: &mut Scratch,
    ) -> std::result::Result<Range<u64>, Fault> {
        let index = at.iter().zip(&self.grid).fold(0, |i, (a, n)| i * n + a);
        let counts = self.counts(at);
        let pixels = counts.iter().product::<usize>();
        let say = |what: &str| Fault::Damaged(format!("tile {} of the compressed image: {what}", index + 1));
        let start = self.table.start + (index * self.row) as u64;
        // Copied: what changes in the file later cannot change what was checked.
        let row = reader.get(start, start + self.row as u64)?.into_owned();
        let find = |column: Option<Descriptors>| match column {
            None => Ok(None),
            Some(c) => match self.heap_range(&row, c) {
                Ok(Some(r)) if r.end - r.start > PACKED.0 + PACKED.1 * pixels as u64 => {
                    Err(say(&format!("{} bytes are too many for {pixels} pixels", r.end - r.start)))
                }
                other => other.map(|r| r.map(|r| (r, c.element))).map_err(|e| say(&e)),
            },
        };
        let size = self.stored.size();
        scratch.pixels.clear();
        scratch.pixels.resize(pixels * size, 0);
        if let Some((range, _)) = find(self.packed)? {
            let bytes = &reader.get(range.start, range.end)?[..];
            let result = match self.quantized {
                Some(q) => self.quantized(bytes, &row, index, &counts, &q, scratch),
                None => self.integers(bytes, &counts, scratch),
            };
            return result.map(|()| range).map_err(|e| say(&e));
        }
        if let Some((range, _)) = find(self.deflated)? {
            let bytes = &reader.get(range.start, range.end)?[..];
            // Deflated as they are: the bytes are not sorted, whatever the codec of the others.
            inflate(bytes, pixels, size, false, scratch).map_err(say)?;
            self.kept(pixels, scratch).map_err(|e| say(&e))?;
            return Ok(range);
        }
        if let Some((range, element)) = find(self.plain)? {
            let bytes = &reader.get(range.start, range.end)?[..];
            if element != size || bytes.len() != pixels * size {
                return Err(say(&format!("{} bytes found, {} expected", bytes.len(), pixels * size)));
            }
            native(bytes, size, &mut scratch.pixels);
            return Ok(range);
        }
        Err(say("it has no data"))
    }

    /// The numbers in `raw` to stored numbers.
    fn kept(&self, pixels: usize, s: &mut Scratch) -> std::result::Result<(), String> {
        let size = self.stored.size();
        if s.raw.len() == pixels * size {
            native(&s.raw, size, &mut s.pixels);
            return Ok(());
        }
        // Some writers keep short integers as long ones.
        if s.raw.len() != pixels * 4 || self.stored.is_float() || size > 4 {
            return Err(format!("{} bytes found, {} expected", s.raw.len(), pixels * size));
        }
        s.ints.clear();
        s.ints.extend(s.raw.chunks_exact(4).map(|b| i32::from_be_bytes([b[0], b[1], b[2], b[3]])));
        self.narrow(s)
    }

    /// Integers, or floating-point numbers that were deflated as they are.
    fn integers(&self, bytes: &[u8], counts: &[usize], s: &mut Scratch) -> std::result::Result<(), String> {
        let pixels = counts.iter().product::<usize>();
        if let Codec::Gzip { .. } | Codec::None = self.codec {
            self.numbers(bytes, pixels, self.stored.size(), s)?;
            return self.kept(pixels, s);
        }
        if matches!(self.stored, DType::I64 | DType::F32 | DType::F64) {
            return Err("this compression does not hold such numbers".into());
        }
        self.unpack(bytes, counts, s)?;
        self.narrow(s)
    }

    /// `ints` to stored numbers.
    fn narrow(&self, s: &mut Scratch) -> std::result::Result<(), String> {
        match self.stored {
            DType::U8 => s.pixels.iter_mut().zip(&s.ints).for_each(|(o, &v)| *o = v as u8),
            DType::I16 => narrow(&s.ints, &mut s.pixels, |v| (v as i16).to_ne_bytes()),
            DType::I32 => narrow(&s.ints, &mut s.pixels, i32::to_ne_bytes),
            _ => return Err("this compression does not hold such numbers".into()),
        }
        Ok(())
    }

    /// The numbers of a tile to `raw`, big-endian, for codecs that keep them as they are.
    fn numbers(&self, bytes: &[u8], pixels: usize, size: usize, s: &mut Scratch) -> std::result::Result<(), String> {
        if let Codec::Gzip { shuffled } = self.codec {
            return Ok(inflate(bytes, pixels, size, shuffled, s)?);
        }
        if bytes.len() != pixels * size && bytes.len() != pixels * 4 {
            return Err(format!("{} bytes found, {} expected", bytes.len(), pixels * size));
        }
        s.raw.clear();
        s.raw.extend_from_slice(bytes);
        Ok(())
    }

    /// The integers of a tile to `ints`.
    fn unpack(&self, bytes: &[u8], counts: &[usize], s: &mut Scratch) -> std::result::Result<(), String> {
        let pixels = counts.iter().product::<usize>();
        s.ints.clear();
        s.ints.resize(pixels, 0);
        match self.codec {
            Codec::Rice { block, bytepix } => rice::decode(bytes, block, bytepix, &mut s.ints)?,
            Codec::Plio => plio::decode(bytes, &mut s.ints)?,
            Codec::Hcompress { smooth } => {
                // Tiles are of two axes; others have one pixel, which may be those that vary fastest.
                if self.tile.iter().filter(|&&t| t > 1).count() > 2 {
                    return Err("HCOMPRESS: tiles have more than two axes".into());
                }
                let fastest = self.tile.iter().rposition(|&t| t > 1).unwrap_or(0);
                let columns = counts[fastest];
                let rows = pixels / columns;
                hcompress::decode(bytes, rows, columns, smooth, &mut s.ints)?;
            }
            Codec::Gzip { .. } | Codec::None => {
                self.numbers(bytes, pixels, 4, s)?;
                s.ints.clear();
                s.ints.extend(s.raw.chunks_exact(4).map(|b| i32::from_be_bytes([b[0], b[1], b[2], b[3]])));
            }
        }
        if s.ints.len() == pixels { Ok(()) } else { Err("the number of pixels is wrong".into()) }
    }

    fn quantized(
        &self,
        bytes: &[u8],
        row: &[u8],
        index: usize,
        counts: &[usize],
        q: &Quantized,
        s: &mut Scratch,
    ) -> std::result::Result<(), String> {
        self.unpack(bytes, counts, s)?;
        let (scale, zero) = (q.scale.value(row)?, q.zero.value(row)?);
        let blank = q.blank.map(|b| b.value(row)).transpose()?.map(|b| b as i32);
        macro_rules! values {
            ($type:ty) => {{
                let mut values = vec![<$type>::default(); s.ints.len()];
                quantize::dequantize(&s.ints, scale, zero, q.dither, index, q.seed, blank, &mut values);
                s.pixels.copy_from_slice(bytemuck::cast_slice(&values));
            }};
        }
        if self.stored == DType::F32 {
            values!(f32)
        } else {
            values!(f64)
        }
        Ok(())
    }

    /// Where a row's data are in the file; `None` if it has none.
    fn heap_range(&self, row: &[u8], c: Descriptors) -> std::result::Result<Option<Range<u64>>, String> {
        let number = |k: usize| {
            let size = if c.wide { 8 } else { 4 };
            let b = &row[c.offset + k * size..c.offset + (k + 1) * size];
            b.iter().fold(0u64, |v, &b| v << 8 | u64::from(b))
        };
        let (count, offset) = (number(0), number(1));
        if count == 0 {
            return Ok(None);
        }
        let start = self.heap.start.checked_add(offset);
        let end = count.checked_mul(c.element as u64).and_then(|n| start?.checked_add(n));
        match (start, end) {
            (Some(start), Some(end)) if end <= self.heap.end => Ok(Some(start..end)),
            _ => Err(format!("{count} elements at {offset} lie outside of the heap")),
        }
    }
}

/// Inflates the numbers of a tile to `raw`, big-endian. Those of short integers may be long.
fn inflate(
    bytes: &[u8],
    pixels: usize,
    size: usize,
    shuffled: bool,
    s: &mut Scratch,
) -> std::result::Result<(), &'static str> {
    gzip::decode(bytes, pixels * size.max(4), &mut s.raw)?;
    if s.raw.len() != pixels * size && s.raw.len() != pixels * 4 {
        return Err("gzip: the number of bytes is not that of the pixels");
    }
    if shuffled {
        gzip::unshuffle(&s.raw, s.raw.len() / pixels, &mut s.bytes);
        std::mem::swap(&mut s.raw, &mut s.bytes);
    }
    Ok(())
}

/// Big-endian numbers to native ones.
fn native(bytes: &[u8], size: usize, out: &mut [u8]) {
    out.copy_from_slice(&bytes[..out.len()]);
    if cfg!(target_endian = "little") && size > 1 {
        out.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
}

fn narrow<const N: usize>(ints: &[i32], out: &mut [u8], bytes: impl Fn(i32) -> [u8; N]) {
    for (o, &v) in out.chunks_exact_mut(N).zip(ints) {
        o.copy_from_slice(&bytes(v));
    }
}

/// ZCMPTYPE and the parameters of ZNAMEn, ZVALn.
fn codec(h: &Header) -> std::result::Result<Codec, String> {
    let setting = |name: &str, default: i64| {
        let at = (1..=999)
            .map_while(|i| h.get_str(&format!("ZNAME{i}")).map(|n| (i, n)))
            .find(|(_, n)| n.trim().eq_ignore_ascii_case(name));
        at.map_or(Some(default), |(i, _)| h.get_i64(&format!("ZVAL{i}")))
    };
    let name = h.get_str("ZCMPTYPE").unwrap_or_default();
    match name.trim() {
        "RICE_1" | "RICE_ONE" => {
            let (block, bytepix) = (setting("BLOCKSIZE", 32), setting("BYTEPIX", 4));
            match (block, bytepix) {
                (Some(block @ 1..=65_536), Some(bytepix @ (1 | 2 | 4))) => {
                    Ok(Codec::Rice { block: block as usize, bytepix: bytepix as usize })
                }
                _ => Err(format!("BLOCKSIZE = {block:?}, BYTEPIX = {bytepix:?} are not those of RICE_1")),
            }
        }
        "GZIP_1" => Ok(Codec::Gzip { shuffled: false }),
        "GZIP_2" => Ok(Codec::Gzip { shuffled: true }),
        "HCOMPRESS_1" => Ok(Codec::Hcompress { smooth: setting("SMOOTH", 0).unwrap_or(0) != 0 }),
        "PLIO_1" => Ok(Codec::Plio),
        "NOCOMPRESS" => Ok(Codec::None),
        other => Err(format!("its compression {:?} is not known", crate::error::escape(other))),
    }
}

/// What a pixel of a tile takes while it is decoded.
fn scratch_bytes(codec: Codec, stored: DType, quantized: bool) -> u64 {
    let size = stored.size();
    let unpacked = match codec {
        // Coefficients, and integers.
        Codec::Hcompress { .. } => 8 + 4,
        // Before and after their bytes are sorted.
        Codec::Gzip { .. } => 2 * size.max(4),
        Codec::Rice { .. } | Codec::Plio | Codec::None => 4,
    };
    (unpacked + if quantized { 2 * size } else { size }) as u64
}

fn quantized(h: &Header, columns: &Columns) -> std::result::Result<Option<Quantized>, String> {
    let (scale, zero) = (columns.number(h, "ZSCALE"), columns.number(h, "ZZERO"));
    let Some(scale) = scale else { return Ok(None) };
    let dither = match h.get_str("ZQUANTIZ").unwrap_or_default().trim() {
        "SUBTRACTIVE_DITHER_1" => Dither::Subtractive1,
        "SUBTRACTIVE_DITHER_2" => Dither::Subtractive2,
        _ => Dither::None,
    };
    let seed = h.get_i64("ZDITHER0").unwrap_or(1);
    if dither != Dither::None && !(1..=10_000).contains(&seed) {
        return Err(format!("ZDITHER0 = {seed} is not in 1 to 10000"));
    }
    let blank = columns.number(h, "ZBLANK").or_else(|| h.get_f64("BLANK").map(PerTile::Keyword));
    Ok(Some(Quantized { scale, zero: zero.unwrap_or(PerTile::Keyword(0.0)), blank, dither, seed }))
}

/// The cards that lay a compressed image out.
fn layout_of(table: &Header) -> Header {
    table.only(|key| {
        let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
        matches!(stem, "NAXIS" | "TFIELDS" | "TFORM" | "TTYPE" | "THEAP" | "BSCALE" | "BZERO" | "BLANK")
            || matches!(stem, "ZBITPIX" | "ZNAXIS" | "ZTILE" | "ZCMPTYPE" | "ZNAME" | "ZVAL" | "ZQUANTIZ" | "ZDITHER")
            || matches!(stem, "ZSCALE" | "ZZERO" | "ZBLANK")
    })
}

/// Shape, BITPIX and format of the image, from the header of its table.
pub(super) fn describe(table: &Header) -> std::result::Result<(Vec<usize>, i64, PixelFormat), String> {
    let h = &layout_of(table);
    let get = |key: &str| h.get_i64(key).ok_or_else(|| format!("{key} is missing or not an integer"));
    let rank = get("ZNAXIS")?;
    // ZNAXISn has room for two digits.
    if !(0..=99).contains(&rank) {
        return Err(format!("ZNAXIS = {rank} is not in 0 to 99"));
    }
    let mut shape = Vec::new();
    for i in (1..=rank).rev() {
        let n = get(&format!("ZNAXIS{i}"))?;
        if !(0..=1 << 40).contains(&n) {
            return Err(format!("ZNAXIS{i} = {n} is not in 0 to 2^40"));
        }
        shape.push(n as usize);
    }
    let pixels = shape.iter().try_fold(8u64, |p, &n| p.checked_mul(n as u64));
    if pixels.is_none_or(|p| p > 1 << 60) {
        return Err(format!("an image of shape {shape:?} is too large"));
    }
    let bitpix = get("ZBITPIX")?;
    let (bscale, bzero) = scaling(h)?;
    let blank = h.get_i64("ZBLANK").or_else(|| h.get_i64("BLANK"));
    let format = PixelFormat::fits(bitpix, bscale, bzero, blank)
        .ok_or_else(|| format!("ZBITPIX = {bitpix} is not one of 8, 16, 32, 64, -32, -64"))?;
    // What is decoded is native.
    Ok((shape, bitpix, PixelFormat { big_endian: cfg!(target_endian = "big"), ..format }))
}

/// The header of the image: that of its table without what makes the table.
pub(super) fn image_header(table: &Header) -> Header {
    const STEMS: [&str; 12] =
        ["TTYPE", "TFORM", "TUNIT", "TNULL", "TDIM", "TDISP", "TSCAL", "TZERO", "ZNAXIS", "ZTILE", "ZNAME", "ZVAL"];
    const WHOLE: [&str; 20] = [
        "TFIELDS", "THEAP", "ZIMAGE", "ZCMPTYPE", "ZBITPIX", "ZNAXIS", "ZMASKCMP", "ZQUANTIZ", "ZDITHER0", "ZBLANK",
        "ZSCALE", "ZZERO", "ZSIMPLE", "ZTENSION", "ZEXTEND", "ZBLOCKED", "ZPCOUNT", "ZGCOUNT", "ZHECKSUM", "ZDATASUM",
    ];
    let mut h = table.clone();
    h.remove_where(|key| {
        let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
        let column = stem.len() < key.len() && STEMS.contains(&stem);
        column || WHOLE.contains(&key) || matches!(key, "CHECKSUM" | "DATASUM")
    });
    h
}
