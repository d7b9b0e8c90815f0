// Compute type f32.

alias real = f32;

// 2^12 + 1: splits 24 digits in two.
const SPLIT: real = 4097.0;

// x, as far as the compiler knows something else: params.opaque_zero is 0.
fn opaque(x: real) -> real {
    return bitcast<f32>(bitcast<u32>(x) ^ params.opaque_zero);
}

// A number as it was stored, by its bits: WGSL may assume away NaN and infinities that it could compare.
alias Number = u32;

fn real_of(n: Number) -> real { return bitcast<f32>(n); }
fn is_finite(n: Number) -> bool { return (n & 0x7f800000u) != 0x7f800000u; }
fn is_below(n: Number) -> bool { return n > 0x80000000u && n <= 0xff800000u; }
// Sizes in the order of the numbers: their bits without the sign.
fn size_of(n: Number) -> u32 { return n & 0x7fffffffu; }
