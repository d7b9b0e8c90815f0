//! Pixels in memory, in the exact type that they have.

use std::fmt;

use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD, Axis, IxDyn, Slice};

use crate::dtype::DType;
use crate::kernels::decode;
use crate::slice::AxisSlice;
use crate::{Error, Result};

macro_rules! pixels {
    ($($variant:ident $type:ty),*) => {
        /// An array of any pixel type, in C order.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)] // the variants are the types of [`DType`]
        pub enum Pixels { $($variant(ArrayD<$type>)),* }

        impl Pixels {
            /// Pixel type.
            pub fn dtype(&self) -> DType {
                match self { $(Pixels::$variant(_) => DType::$variant),* }
            }

            /// numpy order.
            pub fn shape(&self) -> &[usize] {
                match self { $(Pixels::$variant(a) => a.shape()),* }
            }

            /// The values as f64. 64-bit integers beyond 2^53 are rounded.
            pub fn to_f64(&self) -> ArrayD<f64> {
                match self { $(Pixels::$variant(a) => a.mapv(|v| v as f64)),* }
            }

            /// The bytes in C order, native byte order.
            pub fn as_bytes(&self) -> &[u8] {
                // Every constructor brings the array into C order, so `as_slice` finds one.
                match self { $(Pixels::$variant(a) => bytemuck::cast_slice(a.as_slice().unwrap_or_default())),* }
            }

            /// An array of zeros.
            pub(crate) fn zeros(dtype: DType, shape: &[usize]) -> Result<Self> {
                match dtype { $(DType::$variant => shaped(decode::reserve_with(shape, 0 as $type)?, shape)),* }
            }

            /// The values in floating point, each through a function: in f32 where that holds every value of this type.
            pub(crate) fn mapped(&self, f: impl Fn(f64) -> f64) -> Self {
                let single = self.dtype().fits_f32();
                match self {
                    $(Pixels::$variant(a) if single => a.mapv(|v| f(v as f64) as f32).into(),
                    Pixels::$variant(a) => a.mapv(|v| f(v as f64)).into(),)*
                }
            }

            fn numbers(&self) -> Box<dyn Iterator<Item = Number> + '_> {
                match self { $(Pixels::$variant(a) => Box::new(a.iter().map(|&v| Number::from(v)))),* }
            }

            /// The same values in another type. Floating-point types round to the nearest; integer ones hold integers
            /// only.
            ///
            /// # Errors
            /// A value that this type cannot hold: with its place, and `what` this is.
            pub(crate) fn converted(&self, dtype: DType, what: &str) -> Result<Self> {
                match dtype {
                    same if same == self.dtype() => Ok(self.clone()),
                    $(DType::$variant => self.collected::<$type>(dtype, what)),*
                }
            }

            /// Writes values of the same type into a part of this array, which has their shape.
            pub(crate) fn assign(&mut self, slices: &[AxisSlice], values: &Self) -> Result<()> {
                match (self, values) {
                    $((Pixels::$variant(a), Pixels::$variant(b)) => part(a.view_mut(), slices).assign(b),)*
                    (a, b) => {
                        return Err(Error::Parameter(format!("{} cannot be written as {}", b.dtype(), a.dtype())));
                    }
                }
                Ok(())
            }
        }

        $(impl<D: ndarray::Dimension> From<ndarray::Array<$type, D>> for Pixels {
            fn from(array: ndarray::Array<$type, D>) -> Self {
                let array = array.into_dyn();
                let c_order = if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() };
                Pixels::$variant(c_order)
            }
        }

        impl Element for $type {
            const DTYPE: DType = DType::$variant;
            fn numbers_of(array: Pixels) -> Option<Vec<Self>> {
                let Pixels::$variant(array) = array else { return None };
                let pixels = array.len();
                let (numbers, offset) = array.into_raw_vec_and_offset();
                (offset.unwrap_or(0) == 0 && numbers.len() == pixels).then_some(numbers)
            }
        })*
    };
}

/// A type of pixels.
pub(crate) trait Element: bytemuck::Zeroable {
    const DTYPE: DType;
    /// The numbers of an array of this type that holds nothing else.
    fn numbers_of(array: Pixels) -> Option<Vec<Self>>;
}

/// A mask of one bit.
impl<D: ndarray::Dimension> From<ndarray::Array<bool, D>> for Pixels {
    fn from(array: ndarray::Array<bool, D>) -> Self {
        array.mapv(u8::from).into()
    }
}

pixels!(U8 u8, I8 i8, I16 i16, U16 u16, I32 i32, U32 u32, I64 i64, U64 u64, F32 f32, F64 f64);

impl Pixels {
    /// Number of pixels.
    pub fn len(&self) -> usize {
        self.shape().iter().product()
    }

    /// Whether there is no pixel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn collected<T: Holds + Clone + Default>(&self, dtype: DType, what: &str) -> Result<Self>
    where
        Pixels: From<ArrayD<T>>,
    {
        let mut out = decode::reserve_with(self.shape(), T::default())?;
        for (i, (number, out)) in self.numbers().zip(&mut out).enumerate() {
            *out = T::hold(number).ok_or_else(|| {
                let (mut at, mut rest) = (vec![0; self.shape().len()], i);
                for (place, &n) in at.iter_mut().zip(self.shape()).rev() {
                    (*place, rest) = (rest % n, rest / n);
                }
                Error::Parameter(format!("{what}: {number} at {at:?} cannot be held by {dtype}"))
            })?;
        }
        shaped(out, self.shape())
    }

    /// The array, if it is of f32.
    pub fn as_f32(&self) -> Option<ArrayViewD<'_, f32>> {
        if let Pixels::F32(a) = self { Some(a.view()) } else { None }
    }

    /// The array, if it is of f64.
    pub fn as_f64(&self) -> Option<ArrayViewD<'_, f64>> {
        if let Pixels::F64(a) = self { Some(a.view()) } else { None }
    }

    /// The array, if it is of u16.
    pub fn as_u16(&self) -> Option<ArrayViewD<'_, u16>> {
        if let Pixels::U16(a) = self { Some(a.view()) } else { None }
    }
}

/// Values of one type and a shape of as many pixels, as [`Pixels`].
pub(crate) fn shaped<T>(values: Vec<T>, shape: &[usize]) -> Result<Pixels>
where
    Pixels: From<ArrayD<T>>,
{
    let found = values.len();
    ArrayD::from_shape_vec(IxDyn(shape), values).map(Pixels::from).map_err(|_| Error::Shape {
        what: "array".into(),
        expected: shape.to_vec(),
        found: vec![found],
        why: "as many values as pixels".into(),
    })
}

/// The part of an array that slices take.
fn part<'a, T>(mut array: ArrayViewMutD<'a, T>, slices: &[AxisSlice]) -> ArrayViewMutD<'a, T> {
    // From behind, so that an axis that goes moves none that is still to come.
    for (i, slice) in slices.iter().enumerate().rev() {
        match *slice {
            AxisSlice::Index(at) => array.index_axis_inplace(Axis(i), at),
            AxisSlice::Range { len: 0, .. } => array.slice_axis_inplace(Axis(i), Slice::from(0..0)),
            AxisSlice::Range { start, step, len } => {
                // ndarray turns a range round after it cut it, so it is cut at the two outermost places.
                let last = (start as isize + step * (len as isize - 1)) as usize;
                let ends = start.min(last) as isize..start.max(last) as isize + 1;
                array.slice_axis_inplace(Axis(i), Slice::new(ends.start, Some(ends.end), step));
            }
        }
    }
    array
}

/// A value of any pixel type, as it is.
#[derive(Clone, Copy)]
enum Number {
    Integer(i128),
    Real(f64),
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Integer(i) => i.fmt(f),
            // As short as it can be told.
            Number::Real(v) => write!(f, "{v:?}"),
        }
    }
}

trait Holds: Sized {
    fn hold(number: Number) -> Option<Self>;
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl From<$type> for Number {
            fn from(v: $type) -> Self {
                Number::Integer(v.into())
            }
        }

        impl Holds for $type {
            fn hold(number: Number) -> Option<Self> {
                match number {
                    Number::Integer(i) => i.try_into().ok(),
                    // Neither NaN nor an infinity has a fraction of 0; what is too large saturates, and does not fit.
                    Number::Real(v) => if v.fract() == 0.0 { (v as i128).try_into().ok() } else { None },
                }
            }
        }
    )*};
}

macro_rules! reals {
    ($($type:ty),*) => {$(
        impl From<$type> for Number {
            fn from(v: $type) -> Self {
                Number::Real(v.into())
            }
        }

        impl Holds for $type {
            fn hold(number: Number) -> Option<Self> {
                match number {
                    Number::Integer(i) => Some(i as $type),
                    Number::Real(v) => Some(v as $type).filter(|r| r.is_finite() || !v.is_finite()),
                }
            }
        }
    )*};
}

integers!(u8, i8, i16, u16, i32, u32, i64, u64);
reals!(f32, f64);
