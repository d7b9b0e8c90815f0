//! Decode: stored bytes of a plane to values. Twin of `shaders/decode.wgsl`.
//!
//! value = BSCALE * stored + BZERO, formed in f64 and rounded once to the type that is asked for, FITS standard 4.0, section 4.4.2.5. Unscaled and pseudo-unsigned integers are exact (in
//! f32 to 16 bits, in f64 to 32 bits; 64-bit integers are rounded to nearest even). A stored integer equal to BLANK
//! is NaN. Floating-point bits pass unchanged, NaN and infinities included. Masks are bits: signed types on disk give
//! the same bits, pseudo-unsigned ones have their sign bit flipped back. Tolerance between the twins: none, the bits
//! are equal.

use crate::dtype::{DType, PixelFormat};
use crate::kernels::Kernel;
use crate::pixels::{Pixels, shaped};
use crate::plane::Transform;
use crate::real::Real;
use crate::simd::{Loop, dispatch};
use crate::{Error, Result};

/// A number as it is stored.
trait Stored: Copy + PartialEq + 'static {
    fn be(bytes: &[u8]) -> Self;
    fn native(bytes: &[u8]) -> Self;
    fn to_f64(self) -> f64;
    /// `None` where a BLANK cannot be stored at all.
    fn from_blank(blank: i64) -> Option<Self>;
}

macro_rules! stored {
    ($($type:ty),*) => {$(
        impl Stored for $type {
            #[inline(always)]
            fn be(b: &[u8]) -> Self {
                let mut a = [0; size_of::<$type>()];
                a.copy_from_slice(b);
                Self::from_be_bytes(a)
            }
            #[inline(always)]
            fn native(b: &[u8]) -> Self {
                let mut a = [0; size_of::<$type>()];
                a.copy_from_slice(b);
                Self::from_ne_bytes(a)
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
            fn from_blank(blank: i64) -> Option<Self> {
                let v = blank as $type;
                (v as i64 == blank).then_some(v)
            }
        }
    )*};
}
stored!(u8, i8, i16, u16, i32, u32, i64, u64, f32, f64);

/// One pass over stored numbers.
struct Each<'a, S, T, F> {
    bytes: &'a [u8],
    big_endian: bool,
    out: &'a mut [T],
    value: F,
    stored: std::marker::PhantomData<S>,
}

impl<S: Stored, T, F: Fn(S) -> T> Loop for Each<'_, S, T, F> {
    #[inline(always)]
    fn run(self) {
        let numbers = self.bytes.chunks_exact(size_of::<S>());
        if self.big_endian {
            for (o, b) in self.out.iter_mut().zip(numbers) {
                *o = (self.value)(S::be(b));
            }
        } else {
            for (o, b) in self.out.iter_mut().zip(numbers) {
                *o = (self.value)(S::native(b));
            }
        }
    }
}

fn each<S: Stored, T>(format: &PixelFormat, bytes: &[u8], out: &mut [T], value: impl Fn(S) -> T) {
    dispatch(Each { bytes, big_endian: format.big_endian, out, value, stored: std::marker::PhantomData });
}

/// Values, and NaN where the stored number is BLANK.
fn values<S: Stored, T: Real>(format: &PixelFormat, bytes: &[u8], out: &mut [T], value: impl Fn(S) -> T) {
    match format.blank.and_then(S::from_blank) {
        None => each(format, bytes, out, value),
        Some(blank) => {
            let nan = T::from_f64(f64::NAN);
            each(format, bytes, out, |s: S| if s == blank { nan } else { value(s) });
        }
    }
}

fn scaled<S: Stored, T: Real>(format: &PixelFormat, bytes: &[u8], out: &mut [T]) {
    let (bscale, bzero) = (format.bscale, format.bzero);
    values(format, bytes, out, |s: S| T::from_f64(bscale * s.to_f64() + bzero));
}

/// Values in the compute type. `bytes` holds as many stored numbers as `out` has places.
pub(crate) fn real<T: Real>(format: &PixelFormat, bytes: &[u8], out: &mut [T]) {
    let exact = format.is_plain() || format.flipped().is_some();
    let bias = format.bzero;
    match format.stored {
        DType::U8 if exact => values(format, bytes, out, |s: u8| T::from_f32(f32::from(s) + bias as f32)),
        DType::I16 if exact => values(format, bytes, out, |s: i16| T::from_f32(f32::from(s) + bias as f32)),
        DType::I32 if exact => values(format, bytes, out, |s: i32| T::from_f64(f64::from(s) + bias)),
        DType::I64 if format.is_plain() => values(format, bytes, out, |s: i64| T::from_f64(s as f64)),
        DType::I64 if exact => values(format, bytes, out, |s: i64| T::from_f64((s as u64 ^ 1 << 63) as f64)),
        DType::F32 if exact => each(format, bytes, out, |s: f32| T::from_f32(s)),
        DType::F64 if exact => each(format, bytes, out, |s: f64| T::from_f64(s)),
        DType::U8 => scaled::<u8, T>(format, bytes, out),
        DType::I16 => scaled::<i16, T>(format, bytes, out),
        DType::I32 => scaled::<i32, T>(format, bytes, out),
        DType::I64 => scaled::<i64, T>(format, bytes, out),
        DType::F32 => scaled::<f32, T>(format, bytes, out),
        DType::F64 => scaled::<f64, T>(format, bytes, out),
        // Only arrays in memory have these; they are never scaled.
        DType::I8 => each(format, bytes, out, |s: i8| T::from_f32(f32::from(s))),
        DType::U16 => each(format, bytes, out, |s: u16| T::from_f32(f32::from(s))),
        DType::U32 => each(format, bytes, out, |s: u32| T::from_f64(f64::from(s))),
        DType::U64 => each(format, bytes, out, |s: u64| T::from_f64(s as f64)),
    }
}

/// Whether a plane of this format can be a mask: unscaled integers of at most 32 bits.
pub(crate) fn is_mask(format: &PixelFormat) -> bool {
    !format.stored.is_float() && format.size() <= 4 && (format.is_plain() || format.flipped().is_some())
}

/// The bits of a mask. The format passed [`is_mask`].
pub(crate) fn mask(format: &PixelFormat, bytes: &[u8], out: &mut [u32]) {
    let flip = u32::from(format.flipped().is_some());
    match format.stored {
        DType::U8 | DType::I8 => each(format, bytes, out, |s: u8| u32::from(s) ^ (flip << 7)),
        DType::I16 | DType::U16 => each(format, bytes, out, |s: u16| u32::from(s) ^ (flip << 15)),
        _ => each(format, bytes, out, |s: u32| s ^ (flip << 31)),
    }
}

/// Values in the exact type of the plane.
pub(crate) fn exact(format: &PixelFormat, bytes: &[u8], shape: &[usize]) -> Result<Pixels> {
    let flip = format.flipped().is_some();
    match format.dtype() {
        DType::U8 => gather(format, bytes, shape, |s: u8| s),
        DType::I8 => gather(format, bytes, shape, |s: u8| if flip { s ^ 0x80 } else { s } as i8),
        DType::I16 => gather(format, bytes, shape, |s: i16| s),
        DType::U16 => gather(format, bytes, shape, |s: u16| if flip { s ^ 1 << 15 } else { s }),
        DType::I32 => gather(format, bytes, shape, |s: i32| s),
        DType::U32 => gather(format, bytes, shape, |s: u32| if flip { s ^ 1 << 31 } else { s }),
        DType::I64 => gather(format, bytes, shape, |s: i64| s),
        DType::U64 => gather(format, bytes, shape, |s: u64| if flip { s ^ 1 << 63 } else { s }),
        DType::F32 => all_real::<f32>(format, bytes, shape, Transform::None),
        DType::F64 => all_real::<f64>(format, bytes, shape, Transform::None),
    }
}

fn gather<S: Stored, T: Clone + Default>(
    format: &PixelFormat,
    bytes: &[u8],
    shape: &[usize],
    value: impl Fn(S) -> T,
) -> Result<Pixels>
where
    Pixels: From<ndarray::ArrayD<T>>,
{
    let mut out = reserve(shape)?;
    each(format, bytes, &mut out, value);
    shaped(out, shape)
}

/// All values of a plane in one floating-point type.
pub(crate) fn all_real<T: Real>(
    format: &PixelFormat,
    bytes: &[u8],
    shape: &[usize],
    transform: Transform,
) -> Result<Pixels> {
    let mut out: Vec<T> = reserve_with(shape, T::from_f32(0.0))?;
    real(format, bytes, &mut out);
    transform.apply(&mut out);
    T::pixels(out, shape)
}

fn reserve<T: Clone + Default>(shape: &[usize]) -> Result<Vec<T>> {
    reserve_with(shape, T::default())
}

/// Room for an image, or an error: never an abort.
pub(crate) fn reserve_with<T: Clone>(shape: &[usize], zero: T) -> Result<Vec<T>> {
    let n: usize = shape.iter().product();
    let mut out = Vec::new();
    out.try_reserve_exact(n)
        .map_err(|_| Error::Parameter(format!("no memory for an image of shape {shape:?} ({n} pixels)")))?;
    out.resize(n, zero);
    Ok(out)
}

/// Parameters of `shaders/decode.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct Params {
    /// Pixels of a frame in the tile: stride of the decoded planes.
    pub pixels: u32,
    /// 32-bit words of a frame in the raw buffer.
    pub raw_stride: u32,
    /// First frame of this dispatch, in the decoded planes and in the raw buffer.
    pub first: u32,
    /// Low and high word of BLANK, as stored.
    pub blank_low: u32,
    pub blank_high: u32,
    pub pad: [u32; 3],
}

/// The constants that a pipeline of `shaders/decode.wgsl` is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Constants {
    /// Type of the stored numbers: see `STORED_*` in the shader.
    pub stored: DType,
    /// The bytes of a number are in the other order than the device's.
    pub swap: bool,
    /// The sign bit stands for BZERO.
    pub flip: bool,
    /// 8- and 16-bit numbers are looked up (scaled, or with BLANK).
    pub lookup: bool,
    /// 32- and 64-bit integers have a BLANK.
    pub has_blank: bool,
}

impl Constants {
    /// Of planes that were decoded to f32, and to masks.
    pub(crate) const VALUES: Constants = Constants::native(DType::F32);
    pub(crate) const MASKS: Constants = Constants::native(DType::U32);

    const fn native(stored: DType) -> Self {
        Constants { stored, swap: false, flip: false, lookup: false, has_blank: false }
    }

    /// By the names of the shader.
    pub(crate) fn named(&self) -> Vec<(&'static str, f64)> {
        let flag = |name, on| (name, f64::from(u8::from(on)));
        vec![
            ("STORED", f64::from(self.stored as u32)),
            flag("SWAP", self.swap),
            flag("FLIP", self.flip),
            flag("LOOKUP", self.lookup),
            flag("HAS_BLANK", self.has_blank),
        ]
    }
}

/// The decode kernel. On the CPU it decodes one run of one frame.
pub(crate) struct Decode<T>(std::marker::PhantomData<T>);

impl<T: Real> Kernel for Decode<T> {
    const STEM: &'static str = "decode";
    const WGSL: &'static str =
        concat!(include_str!("../../shaders/stored.wgsl"), include_str!("../../shaders/decode.wgsl"));
    type Params = Params;
    type Cpu<'a> = (&'a PixelFormat, &'a [u8], &'a mut [T]);

    fn cpu((format, bytes, out): Self::Cpu<'_>) {
        real(format, bytes, out);
    }
}
