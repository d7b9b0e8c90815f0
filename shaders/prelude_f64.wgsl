// Compute type f64, on adapters that have it.

alias real = f64;

// 2^27 + 1: splits 53 digits in two.
const SPLIT: real = 134217729.0lf;

// x, as far as the compiler knows something else: params.opaque_zero is 0. (A product with 1 does not stop Mesa.)
fn opaque(x: real) -> real {
    return select(x, -x, params.opaque_zero != 0u);
}

// A number, and its lower and upper word, in which NaN and infinities are seen: WGSL may assume away what it could compare.
struct Number { value: f64, low: u32, high: u32 }

fn real_of(n: Number) -> real { return n.value; }
fn is_finite(n: Number) -> bool { return (n.high & 0x7ff00000u) != 0x7ff00000u; }
fn is_below(n: Number) -> bool {
    let below = n.high > 0x80000000u || (n.high == 0x80000000u && n.low > 0u);
    return below && (n.high < 0xfff00000u || (n.high == 0xfff00000u && n.low == 0u));
}
// Sizes in the order of the numbers: the upper bits without the sign, and not 0 where the number is not.
fn size_of(n: Number) -> u32 { return (n.high & 0x7fffffffu) | select(0u, 1u, n.low != 0u); }
