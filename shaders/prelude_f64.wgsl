// Compute type f64, on adapters that have it. The same planes are bound twice: as f64, and as words, in which NaN and
// infinities are seen; WGSL may assume away what it could compare.

alias real = f64;

@group(0) @binding(8) var<storage, read> data: array<f64>;
@group(0) @binding(9) var<storage, read> variance: array<f64>;

// 2^27 + 1: splits 53 digits in two.
const SPLIT: real = 134217729.0lf;

// x, as far as the compiler knows something else: params.opaque_zero is 0. (A product with 1 does not stop Mesa.)
fn opaque(x: real) -> real {
    return select(x, -x, params.opaque_zero != 0u);
}

fn count(n: u32) -> real { return f64(n); }

fn data_at(i: u32) -> real { return data[i]; }
fn data_finite(i: u32) -> bool { return (data_bits[2u * i + 1u] & 0x7ff00000u) != 0x7ff00000u; }
fn variance_at(i: u32) -> real { return variance[i]; }
fn variance_finite(i: u32) -> bool { return (variance_bits[2u * i + 1u] & 0x7ff00000u) != 0x7ff00000u; }
fn variance_below(i: u32) -> bool {
    let bits = variance_bits[2u * i + 1u];
    let low = variance_bits[2u * i];
    return (bits > 0x80000000u || (bits == 0x80000000u && low > 0u)) && (bits < 0xfff00000u || (bits == 0xfff00000u && low == 0u));
}
// Sizes in the order of the numbers: the upper bits without the sign, and not 0 where the number is not.
fn data_size(i: u32) -> u32 {
    return (data_bits[2u * i + 1u] & 0x7fffffffu) | select(0u, 1u, data_bits[2u * i] != 0u);
}
fn variance_size(i: u32) -> u32 {
    return (variance_bits[2u * i + 1u] & 0x7fffffffu) | select(0u, 1u, variance_bits[2u * i] != 0u);
}
