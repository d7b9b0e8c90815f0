//! Writing tile-compressed images: FITS standard 4.0, section 10. Twin of `tiled.rs`, which reads them.
//!
//! Tiles are rows, or pieces of one where rows are very long. Integers to 32 bits go by RICE_1 or GZIP; what RICE_1 does
//! not hold (64-bit integers, floating-point numbers) goes by GZIP_2, which loses nothing. Floating-point data are
//! quantised only when that is asked for, with SUBTRACTIVE_DITHER_2, and a tile that cannot be is kept as it is. Bands
//! come in order; packed tiles wait in an unlinked temporary file until the size of the table is known.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;

use super::checksum::Sum;
use super::codec::quantize::{self, Dither};
use super::codec::{gzip, rice};
use super::header::Header;
use crate::dtype::{DType, PixelFormat};

/// How integers are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// RICE_1: fast, and small for noise.
    Rice,
    /// GZIP_2: smaller for what repeats itself.
    Gzip,
}

/// How an image is packed when it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compression {
    /// How integers are packed.
    pub method: Method,
    /// Floating-point data become integers of noise / q each (fpack's `-q`; 4 is its default, 16 is careful); a negative
    /// one is the step itself. `None` keeps every bit.
    pub quantize: Option<f64>,
}

/// Pixels of the longest tile.
const TILE: usize = 1 << 20;
/// Integers of a block of RICE_1.
const BLOCK: usize = 32;
/// ZDITHER0: the same always, so that the same pixels make the same file.
const SEED: i64 = 1;

/// What the tiles of an image go through.
#[derive(Clone, Copy, Debug)]
struct Recipe {
    stored: DType,
    method: Method,
    quantize: Option<f64>,
}

/// A packed tile.
#[derive(Default)]
struct Packed {
    bytes: Vec<u8>,
    /// Deflated as it was, since it could not be quantised.
    fallback: bool,
    scale: f64,
    zero: f64,
    has_nan: bool,
}

/// A row of the table.
struct Row {
    /// Where its bytes are in the heap.
    heap: Range<u64>,
    fallback: bool,
    scale: f64,
    zero: f64,
}

/// An image being packed.
pub(super) struct Packer {
    recipe: Recipe,
    shape: Vec<usize>,
    tile: usize,
    heap: File,
    heap_len: u64,
    sum: Sum,
    rows: Vec<Row>,
    /// Bytes of a band that do not fill a row yet.
    pending: Vec<u8>,
    next: u64,
    /// Some integer stands for NaN.
    has_nan: bool,
}

/// The table of a packed image.
pub(super) struct Table {
    pub header: Header,
    pub rows: Vec<u8>,
    pub heap: File,
    pub heap_len: u64,
    /// Of the heap, as if it began at the start of a word.
    pub heap_sum: Sum,
}

impl Packer {
    /// Packed tiles wait in a file in `folder`.
    pub(super) fn new(
        shape: &[usize],
        format: &PixelFormat,
        compression: Compression,
        folder: &Path,
    ) -> io::Result<Self> {
        let quantize = compression.quantize.filter(|_| format.stored.is_float());
        let lossless = matches!(format.stored, DType::I64 | DType::F32 | DType::F64) && quantize.is_none();
        let method = if lossless { Method::Gzip } else { compression.method };
        Ok(Packer {
            recipe: Recipe { stored: format.stored, method, quantize },
            shape: shape.to_vec(),
            tile: shape.last().copied().unwrap_or(1).clamp(1, TILE),
            heap: tempfile::tempfile_in(folder)?,
            heap_len: 0,
            sum: Sum::default(),
            rows: Vec::new(),
            pending: Vec::new(),
            next: 0,
            has_nan: false,
        })
    }

    /// Takes big-endian bytes that follow those before. `false` if they do not.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<bool> {
        if offset != self.next {
            return Ok(false);
        }
        self.next += bytes.len() as u64;
        let size = self.recipe.stored.size();
        let row = self.shape.last().copied().unwrap_or(1) * size;
        let whole = (self.pending.len() + bytes.len()) / row * row;
        if whole == 0 {
            self.pending.extend_from_slice(bytes);
            return Ok(true);
        }
        let (head, tail) = bytes.split_at(whole - self.pending.len());
        let mut rows = std::mem::take(&mut self.pending);
        // Mostly a band is of whole rows and nothing waits.
        let all = if rows.is_empty() {
            head
        } else {
            rows.extend_from_slice(head);
            &rows
        };
        self.pack(all, row)?;
        rows.clear();
        rows.extend_from_slice(tail);
        self.pending = rows;
        Ok(true)
    }

    /// Packs whole rows.
    fn pack(&mut self, bytes: &[u8], row: usize) -> io::Result<()> {
        let (recipe, tile) = (self.recipe, self.tile * self.recipe.stored.size());
        let first = self.rows.len();
        let tiles: Vec<&[u8]> = bytes.chunks(row).flat_map(|r| r.chunks(tile)).collect();
        let packed: Vec<Packed> =
            tiles.par_iter().enumerate().map(|(i, t)| recipe.pack(t, first + i)).collect::<io::Result<_>>()?;
        for p in packed {
            let start = self.heap_len;
            self.has_nan |= p.has_nan;
            self.heap.write_all(&p.bytes)?;
            self.sum.add(start, &p.bytes);
            self.heap_len += p.bytes.len() as u64;
            self.rows.push(Row { heap: start..self.heap_len, fallback: p.fallback, scale: p.scale, zero: p.zero });
        }
        Ok(())
    }

    /// The table, if all pixels came. `image` are the cards of the image, layout included.
    pub(super) fn finish(self, image: &Header, primary: bool) -> Option<Table> {
        let expected = self.shape.iter().product::<usize>() * self.recipe.stored.size();
        if self.next != expected as u64 {
            return None;
        }
        let wide = self.heap_len > i32::MAX as u64;
        let quantized = self.recipe.quantize.is_some();
        let mut rows = Vec::new();
        for row in &self.rows {
            let mut descriptor = |heap: Range<u64>| {
                let (count, start) = (heap.end - heap.start, if heap.is_empty() { 0 } else { heap.start });
                if wide {
                    rows.extend([count, start].map(u64::to_be_bytes).concat());
                } else {
                    rows.extend([count as u32, start as u32].map(u32::to_be_bytes).concat());
                }
            };
            descriptor(if row.fallback { 0..0 } else { row.heap.clone() });
            if quantized {
                descriptor(if row.fallback { row.heap.clone() } else { 0..0 });
                rows.extend([row.scale, row.zero].map(f64::to_be_bytes).concat());
            }
        }
        let header = self.header(image, primary, wide);
        Some(Table { header, rows, heap: self.heap, heap_len: self.heap_len, heap_sum: self.sum })
    }

    fn header(&self, image: &Header, primary: bool, wide: bool) -> Header {
        let longest = |fallback: bool| {
            let of = self.rows.iter().filter(|r| r.fallback == fallback);
            of.map(|r| r.heap.end - r.heap.start).max().unwrap_or(0)
        };
        let quantized = self.recipe.quantize.is_some();
        let letter = if wide { 'Q' } else { 'P' };
        let mut columns = vec![("COMPRESSED_DATA", format!("1{letter}B({})", longest(false)))];
        if self.recipe.quantize.is_some() {
            columns.push(("GZIP_COMPRESSED_DATA", format!("1{letter}B({})", longest(true))));
            columns.extend([("ZSCALE", "1D".to_string()), ("ZZERO", "1D".to_string())]);
        }
        let width: usize = columns.iter().map(|c| if c.1 == "1D" || !wide { 8 } else { 16 }).sum();

        // Cards of the table in front; then those of the image, its own layout in Z words.
        let mut h = Header::new();
        let int = |h: &mut Header, key: &str, v: usize| {
            h.set(key, v as i64, "");
        };
        h.set("XTENSION", "BINTABLE", "binary table: a compressed image");
        int(&mut h, "BITPIX", 8);
        int(&mut h, "NAXIS", 2);
        int(&mut h, "NAXIS1", width);
        int(&mut h, "NAXIS2", self.rows.len());
        int(&mut h, "PCOUNT", self.heap_len as usize);
        int(&mut h, "GCOUNT", 1);
        int(&mut h, "TFIELDS", columns.len());
        for (i, (name, form)) in columns.iter().enumerate() {
            h.set(&format!("TTYPE{}", i + 1), *name, "");
            h.set(&format!("TFORM{}", i + 1), form.as_str(), "");
        }
        h.set("ZIMAGE", true, "this is a compressed image");
        if primary {
            h.set("ZSIMPLE", true, "it was in the primary");
        } else {
            h.set("ZTENSION", "IMAGE", "");
        }
        h.set("ZBITPIX", self.recipe.stored.fits().0, "");
        int(&mut h, "ZNAXIS", self.shape.len());
        for (i, &n) in self.shape.iter().rev().enumerate() {
            int(&mut h, &format!("ZNAXIS{}", i + 1), n);
        }
        for i in 0..self.shape.len() {
            int(&mut h, &format!("ZTILE{}", i + 1), if i == 0 { self.tile } else { 1 });
        }
        match self.recipe.method {
            Method::Rice => {
                h.set("ZCMPTYPE", "RICE_1", "");
                h.set("ZNAME1", "BLOCKSIZE", "");
                int(&mut h, "ZVAL1", BLOCK);
                h.set("ZNAME2", "BYTEPIX", "");
                int(&mut h, "ZVAL2", self.recipe.stored.size().min(4));
            }
            Method::Gzip => {
                h.set("ZCMPTYPE", if self.recipe.sorted() { "GZIP_2" } else { "GZIP_1" }, "");
            }
        }
        if self.recipe.quantize.is_some() {
            h.set("ZQUANTIZ", "SUBTRACTIVE_DITHER_2", "");
            h.set("ZDITHER0", SEED, "");
            if self.has_nan {
                h.set("ZBLANK", i64::from(quantize::BLANK), "");
            }
        } else if self.recipe.stored.is_float() {
            h.set("ZQUANTIZ", "NONE", "no bit is lost");
        }
        // Words that mean something in a table meant nothing in the image.
        let mut rest = super::tiled::image_header(image);
        rest.remove_where(super::cards::is_mandatory);
        if quantized {
            // It means nothing to the numbers, but would to the integers that they become.
            rest.remove("BLANK");
        }
        Header::from_cards(h.cards().iter().chain(rest.cards()).copied())
    }
}

impl Recipe {
    /// Whether the bytes of numbers are sorted before they are deflated.
    fn sorted(&self) -> bool {
        self.stored.size() > 1
    }

    fn pack(&self, bytes: &[u8], row: usize) -> io::Result<Packed> {
        let mut packed = Packed::default();
        if let Some(q) = self.quantize {
            let mut ints = Vec::new();
            let done = match self.stored {
                DType::F32 => {
                    let values = numbers(bytes, f32::from_be_bytes);
                    quantize::quantize(&values, values.len(), q, Dither::Subtractive2, row, SEED, &mut ints)
                }
                _ => {
                    let values = numbers(bytes, f64::from_be_bytes);
                    quantize::quantize(&values, values.len(), q, Dither::Subtractive2, row, SEED, &mut ints)
                }
            };
            let Some(done) = done else {
                packed.fallback = true;
                gzip::encode(bytes, &mut packed.bytes)?;
                return Ok(packed);
            };
            (packed.scale, packed.zero, packed.has_nan) = (done.scale, done.zero, done.has_nan);
            match self.method {
                Method::Rice => rice::encode(&ints, BLOCK, 4, &mut packed.bytes),
                Method::Gzip => {
                    self.deflate(&ints.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<_>>(), 4, &mut packed.bytes)?;
                }
            }
            return Ok(packed);
        }
        let size = self.stored.size();
        match (self.method, self.stored) {
            (Method::Rice, DType::U8) => {
                let ints: Vec<i32> = bytes.iter().map(|&b| i32::from(b)).collect();
                rice::encode(&ints, BLOCK, 1, &mut packed.bytes);
            }
            (Method::Rice, DType::I16) => {
                let ints: Vec<i32> = numbers(bytes, |b| i32::from(i16::from_be_bytes(b)));
                rice::encode(&ints, BLOCK, 2, &mut packed.bytes);
            }
            (Method::Rice, DType::I32) => {
                rice::encode(&numbers(bytes, i32::from_be_bytes), BLOCK, 4, &mut packed.bytes);
            }
            _ => self.deflate(bytes, size, &mut packed.bytes)?,
        }
        Ok(packed)
    }

    fn deflate(&self, bytes: &[u8], size: usize, out: &mut Vec<u8>) -> io::Result<()> {
        if !self.sorted() {
            return gzip::encode(bytes, out);
        }
        let mut sorted = Vec::new();
        gzip::shuffle(bytes, size, &mut sorted);
        gzip::encode(&sorted, out)
    }
}

/// Big-endian numbers.
fn numbers<const N: usize, T>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).map(|b| value(b.try_into().unwrap_or([0; N]))).collect()
}
