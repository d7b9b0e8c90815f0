//! Pixel types: what lies in the bytes ([`PixelFormat`]) and what it means ([`DType`]).
//!
//! The physical value is `BSCALE * stored + BZERO` (FITS standard 4.0, section 4.4.2.5). Three cases keep an exact
//! integer type: no scaling, and the pseudo-unsigned convention `BSCALE = 1`, `BZERO = 2^(n-1)` (`-128` for signed
//! bytes). Everything else is scaled in f64 and rounded once to the result type: f32 for 8- and 16-bit integers and
//! f32, else f64. A stored integer equal to BLANK means "no value" and becomes NaN, BLANK = 0 included.

use std::fmt;

/// A pixel type, named as numpy names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the names say all
pub enum DType {
    U8,
    I8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
}

impl DType {
    /// Bytes a pixel.
    pub const fn size(self) -> usize {
        match self {
            DType::U8 | DType::I8 => 1,
            DType::I16 | DType::U16 => 2,
            DType::I32 | DType::U32 | DType::F32 => 4,
            DType::I64 | DType::U64 | DType::F64 => 8,
        }
    }

    /// numpy's name: "uint16", "float32".
    pub const fn name(self) -> &'static str {
        match self {
            DType::U8 => "uint8",
            DType::I8 => "int8",
            DType::I16 => "int16",
            DType::U16 => "uint16",
            DType::I32 => "int32",
            DType::U32 => "uint32",
            DType::I64 => "int64",
            DType::U64 => "uint64",
            DType::F32 => "float32",
            DType::F64 => "float64",
        }
    }

    /// Whether the type is a floating-point one.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64)
    }

    /// Whether every value is exact in f32, so that f32 is its compute type.
    pub const fn fits_f32(self) -> bool {
        matches!(self, DType::U8 | DType::I8 | DType::I16 | DType::U16 | DType::F32)
    }

    /// The type of a mask of so many bytes a pixel.
    pub(crate) const fn of_mask(bytes: usize) -> DType {
        match bytes {
            1 => DType::U8,
            2 => DType::U16,
            _ => DType::U32,
        }
    }

    /// How FITS stores this type: BITPIX, and the BZERO that moves the sign where one is needed.
    pub const fn fits(self) -> (i64, Option<f64>) {
        match self {
            DType::U8 => (8, None),
            DType::I8 => (8, Some(-128.0)),
            DType::I16 => (16, None),
            DType::U16 => (16, Some(32768.0)),
            DType::I32 => (32, None),
            DType::U32 => (32, Some(2147483648.0)),
            DType::I64 => (64, None),
            DType::U64 => (64, Some(9223372036854775808.0)),
            DType::F32 => (-32, None),
            DType::F64 => (-64, None),
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the bytes of a plane are, and how they become values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelFormat {
    /// Type of the stored numbers (of a FITS image one of u8, i16, i32, i64, f32, f64).
    pub stored: DType,
    /// FITS is big-endian; arrays in memory are native.
    pub big_endian: bool,
    /// 1 where there is none.
    pub bscale: f64,
    /// 0 where there is none. 2^63 is exact in f64.
    pub bzero: f64,
    /// Stored value that means "no value"; integers only.
    pub blank: Option<i64>,
}

impl PixelFormat {
    /// An array in memory.
    pub const fn native(stored: DType) -> Self {
        PixelFormat { stored, big_endian: cfg!(target_endian = "big"), bscale: 1.0, bzero: 0.0, blank: None }
    }

    /// How pixels of this type are stored in FITS.
    pub fn disk(dtype: DType) -> Self {
        let stored = match dtype {
            DType::I8 => DType::U8,
            DType::U16 => DType::I16,
            DType::U32 => DType::I32,
            DType::U64 => DType::I64,
            other => other,
        };
        PixelFormat { stored, big_endian: true, bscale: 1.0, bzero: dtype.fits().1.unwrap_or(0.0), blank: None }
    }

    /// An image on disk. `None` for a BITPIX that FITS does not know.
    pub fn fits(bitpix: i64, bscale: f64, bzero: f64, blank: Option<i64>) -> Option<Self> {
        let stored = match bitpix {
            8 => DType::U8,
            16 => DType::I16,
            32 => DType::I32,
            64 => DType::I64,
            -32 => DType::F32,
            -64 => DType::F64,
            _ => return None,
        };
        let blank = if stored.is_float() { None } else { blank };
        Some(PixelFormat { stored, big_endian: true, bscale, bzero, blank })
    }

    /// Stored numbers as FITS has them: big-endian, and with the sign bit turned of the types that it lacks.
    pub(crate) fn to_disk(self, bytes: &mut [u8]) {
        let flip = if self.stored.fits().1.is_some() { 0x80 } else { 0 };
        for number in bytes.chunks_exact_mut(self.size()) {
            if !self.big_endian {
                number.reverse();
            }
            number[0] ^= flip;
        }
    }

    /// Whether the stored numbers are as FITS has them.
    pub(crate) fn is_on_disk(&self) -> bool {
        self.big_endian && self.stored.fits().1.is_none()
    }

    /// Bytes a pixel as stored.
    pub const fn size(&self) -> usize {
        self.stored.size()
    }

    /// Whether values are the stored numbers.
    pub fn is_plain(&self) -> bool {
        self.bscale == 1.0 && self.bzero == 0.0
    }

    /// The type with the other sign that BZERO stands for, if that is what it does here.
    pub fn flipped(&self) -> Option<DType> {
        if self.bscale != 1.0 {
            return None;
        }
        match (self.stored, self.bzero) {
            (DType::U8, -128.0) => Some(DType::I8),
            (DType::I16, 32768.0) => Some(DType::U16),
            (DType::I32, 2147483648.0) => Some(DType::U32),
            (DType::I64, 9223372036854775808.0) => Some(DType::U64),
            _ => None,
        }
    }

    /// Type of the values: exact integers where nothing is scaled and nothing is blank, else floating point.
    /// Blanks need NaN, so they make integers f32 (8 and 16 bits) or f64.
    pub fn dtype(&self) -> DType {
        let exact = if self.is_plain() { Some(self.stored) } else { self.flipped() };
        match exact {
            Some(t) if self.blank.is_none() => t,
            _ if self.stored.fits_f32() => DType::F32,
            _ => DType::F64,
        }
    }

    /// Whether a value can be NaN or infinite.
    pub fn can_be_nonfinite(&self) -> bool {
        // A factor can bring an integer beyond the range of its type.
        self.stored.is_float() || self.blank.is_some() || !(self.is_plain() || self.flipped().is_some())
    }
}
