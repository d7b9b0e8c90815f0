//! Bitwise combinations: what they want of a stack, and the integers that come out.

use super::{Frames, Reject, Stack, VarianceFrom};
use crate::dtype::DType;
use crate::nddata::NDAstroData;
use crate::plane::Plane;
use crate::{Error, Result};

impl Stack {
    /// Whether a bitwise combination is alone with the numbers as they are.
    pub(super) fn check_bitwise(&self) -> Result<()> {
        if !self.combine.is_bitwise() {
            return Ok(());
        }
        let others = [
            (self.reject != Reject::None, "a rejection"),
            (self.scale.is_some() || self.zero.is_some(), "scale and zero"),
            (self.weights.is_some(), "weights"),
            (!matches!(self.variance_from, VarianceFrom::Auto), "a variance: it has none"),
            (!matches!(self.frames, Frames::Containers), "frames that are computed"),
        ];
        match others.into_iter().find(|(given, _)| *given) {
            Some((_, what)) => {
                Err(Error::Parameter(format!("combine {} does not go with {what}", self.combine.name())))
            }
            None => Ok(()),
        }
    }

    /// The type of a bitwise combination of these frames: theirs, or the smallest that holds the numbers of all.
    pub(super) fn integers(&self, frames: &[NDAstroData]) -> Result<DType> {
        let name = self.combine.name();
        let mut range = (0i64, 0i64);
        for frame in frames {
            let own = range_of(frame.data_plane()).ok_or_else(|| {
                let what = frame.data_plane().dtype();
                let label = frame.label();
                Error::Parameter(format!("combine {name} wants integers of at most 32 bits, and {label} is {what}"))
            })?;
            range = (range.0.min(own.0), range.1.max(own.1));
        }
        let holds = |dtype: &DType| limits(*dtype).is_some_and(|(low, high)| low <= range.0 && range.1 <= high);
        [DType::U8, DType::I16, DType::U16, DType::I32, DType::U32].into_iter().find(holds).ok_or_else(|| {
            Error::Parameter(format!("combine {name}: no type of 32 bits holds both uint32 and numbers below zero"))
        })
    }
}

/// The numbers that a plane may have, if they are integers as they are.
fn range_of(plane: &Plane) -> Option<(i64, i64)> {
    let format = plane.format();
    limits(if format.is_plain() { Some(format.stored) } else { format.flipped() }?)
}

fn limits(dtype: DType) -> Option<(i64, i64)> {
    Some(match dtype {
        DType::U8 => (0, u8::MAX.into()),
        DType::I8 => (i8::MIN.into(), i8::MAX.into()),
        DType::I16 => (i16::MIN.into(), i16::MAX.into()),
        DType::U16 => (0, u16::MAX.into()),
        DType::I32 => (i32::MIN.into(), i32::MAX.into()),
        DType::U32 => (0, u32::MAX.into()),
        DType::I64 | DType::U64 | DType::F32 | DType::F64 => return None,
    })
}
