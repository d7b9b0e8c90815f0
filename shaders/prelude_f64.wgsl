// Compute type f64, on adapters that have it. The same planes are bound twice: as f64, and as words in which NaN and
// infinities can be seen, which WGSL may otherwise assume away.

alias real = f64;

struct Pair { hi: f64, lo: f64 }

@group(0) @binding(8) var<storage, read> data: array<f64>;
@group(0) @binding(9) var<storage, read> variance: array<f64>;

fn pair_add(s: Pair, x: f64) -> Pair {
    return Pair(s.hi + x, s.lo);
}

fn product(a: f64, b: f64) -> Pair {
    return Pair(a * b, s_zero());
}

fn s_zero() -> f64 { return f64(0); }

// s * d + z; scale and zero are s.x and s.z.
fn affine(d: f64, s: vec4<f64>) -> Pair {
    return Pair(s.x * d + s.z, s_zero());
}

fn pair_div(s: Pair, n: f64) -> Pair {
    return Pair(s.hi / n, s_zero());
}

fn count(n: u32) -> real { return f64(n); }

fn data_at(i: u32) -> real { return data[i]; }
fn data_finite(i: u32) -> bool { return (data_bits[2u * i + 1u] & 0x7ff00000u) != 0x7ff00000u; }
fn variance_at(i: u32) -> real { return variance[i]; }
fn variance_finite(i: u32) -> bool { return (variance_bits[2u * i + 1u] & 0x7ff00000u) != 0x7ff00000u; }
