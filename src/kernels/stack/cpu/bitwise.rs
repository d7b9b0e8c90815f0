//! Rule 4, or and and: the bits of whole numbers, of f64 as exact as of the integers that they were.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use super::samples::{BLOCK, Row, Samples};
use crate::kernels::stack::Combine;
use crate::real::Real;

/// 1.5 * 2^52: a whole number of up to 51 bits and a sign, added to it, lies in the last bits of the sum as an integer does in
/// two's complement.
const WHOLE: f64 = 6_755_399_441_055_744.0;

/// The samples that are left, joined bit by bit; 0 where none is, of and too.
#[inline(always)]
pub(super) fn bitwise<'b, T: Real>(
    samples: &Samples<'_, T>,
    combine: Combine,
    used: impl Fn(usize) -> &'b Row<u32>,
) -> Row<f64> {
    let (mut any, mut every, mut some) = ([0i64; BLOCK], [-1i64; BLOCK], [0i64; BLOCK]);
    for f in 0..samples.frames() {
        let (data, used) = (samples.data(f), used(f));
        for i in 0..BLOCK {
            let inside = i64::from(used[i].cast_signed());
            let bits = (data[i].to_f64() + WHOLE).to_bits().cast_signed() - WHOLE.to_bits().cast_signed();
            any[i] |= bits & inside;
            every[i] &= bits | !inside;
            some[i] |= inside;
        }
    }
    let mut value = [0f64; BLOCK];
    for i in 0..BLOCK {
        let bits = if combine == Combine::And { every[i] & some[i] } else { any[i] };
        value[i] = f64::from_bits((bits + WHOLE.to_bits().cast_signed()).cast_unsigned()) - WHOLE;
    }
    value
}
