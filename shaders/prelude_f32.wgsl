// Compute type f32.

alias real = f32;

// 2^12 + 1: splits 24 digits in two.
const SPLIT: real = 4097.0;

// x, as far as the compiler knows something else: params.opaque_zero is 0.
fn opaque(x: real) -> real {
    return bitcast<f32>(bitcast<u32>(x) ^ params.opaque_zero);
}

fn count(n: u32) -> real { return f32(n); }

// NaN and infinities are seen by their bits: WGSL may assume away what it could compare.
fn data_at(i: u32) -> real { return bitcast<f32>(data_bits[i]); }
fn data_finite(i: u32) -> bool { return (data_bits[i] & 0x7f800000u) != 0x7f800000u; }
fn variance_at(i: u32) -> real { return bitcast<f32>(variance_bits[i]); }
fn variance_finite(i: u32) -> bool { return (variance_bits[i] & 0x7f800000u) != 0x7f800000u; }
fn variance_below(i: u32) -> bool {
    let bits = variance_bits[i];
    return bits > 0x80000000u && bits <= 0xff800000u;
}
// Sizes in the order of the numbers: their bits without the sign.
fn data_size(i: u32) -> u32 { return data_bits[i] & 0x7fffffffu; }
fn variance_size(i: u32) -> u32 { return variance_bits[i] & 0x7fffffffu; }
