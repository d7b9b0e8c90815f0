//! Pixels in memory, in the exact type that they have.

use ndarray::{ArrayD, ArrayViewD, IxDyn};

use crate::dtype::DType;
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
        }

        $(impl<D: ndarray::Dimension> From<ndarray::Array<$type, D>> for Pixels {
            fn from(array: ndarray::Array<$type, D>) -> Self {
                let array = array.into_dyn();
                let c_order = if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() };
                Pixels::$variant(c_order)
            }
        })*
    };
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
