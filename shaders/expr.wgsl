// Expr: one expression over planes. Rules, edges and tolerance: src/kernels/expr/mod.rs; the twin: cpu.rs beside it.
//
// One lane is one pixel. The entry point, a straight line of the functions below, is written for each expression by
// src/kernels/expr/wgsl.rs. Numbers are `num`: see expr_f64.wgsl and expr_pair.wgsl, one of which stands in front of this
// file. A shader may assume NaN and infinities away, so what is not ordinary is only marked here, and computed anew by
// the host: samples and results that are not finite or subnormal (seen by their bits), variances below zero, divisors of
// 0, roots and logarithms of what has none.

struct Params {
    pixels: u32,
    opaque_zero: u32,
    pad_a: u32,
    pad_b: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> narrow: array<u32>;
@group(0) @binding(2) var<storage, read> wide_bits: array<u32>;
@group(0) @binding(4) var<storage, read> masks: array<u32>;
@group(0) @binding(7) var<storage, read_write> out_mask: array<u32>;

// Whether the pixel of this lane is not ordinary.
var<private> odd: bool = false;

const EXPONENT = 0x7f800000u;

fn see_large(bits: u32) {
    odd = odd || (bits & EXPONENT) == EXPONENT;
}

// Also subnormal numbers, which a device may take for 0.
fn see(bits: u32) {
    see_large(bits);
    odd = odd || ((bits & EXPONENT) == 0u && (bits & 0x7fffffffu) != 0u);
}

fn see_sign(bits: u32) {
    odd = odd || ((bits >> 31u) == 1u && (bits & 0x7fffffffu) != 0u);
}

fn narrow_at(slot: u32, pixel: u32) -> num {
    let bits = narrow[slot * params.pixels + pixel];
    see(bits);
    let value = of_f32(bitcast<f32>(bits));
    odd = odd || lost(value);
    return value;
}

fn narrow_variance_at(slot: u32, pixel: u32) -> num {
    see_sign(narrow[slot * params.pixels + pixel]);
    return narrow_at(slot, pixel);
}

// Results in f32: a number beyond f32 is not finite there.
fn result(x: num) -> f32 {
    let value = to_f32(x);
    see(bitcast<u32>(value));
    odd = odd || lost(x);
    return value;
}

fn zero() -> num { return of_f32(0.0); }
fn unit() -> num { return of_f32(1.0); }

fn e_add(a: num, b: num) -> num { return n_add(a, b); }
fn e_sub(a: num, b: num) -> num { return n_sub(a, b); }
fn e_mul(a: num, b: num) -> num { return n_mul(a, b); }
fn e_neg(x: num) -> num { return n_neg(x); }
fn is_zero(x: num) -> bool { return !n_less(x, zero()) && !n_less(zero(), x); }

fn e_div(a: num, b: num) -> num {
    odd = odd || is_zero(b);
    return n_quotient(a, b);
}

fn e_abs(x: num) -> num { return n_choose(x, n_neg(x), n_less(x, zero())); }
fn e_sign(x: num) -> num { return n_choose(unit(), n_neg(unit()), n_less(x, zero())); }

fn e_sqrt(x: num) -> num {
    let below = n_less(x, zero());
    odd = odd || below;
    return n_root(n_choose(x, zero(), below));
}

fn e_min(a: num, b: num) -> num { return n_choose(a, b, n_less(b, a)); }
fn e_max(a: num, b: num) -> num { return n_choose(a, b, n_less(a, b)); }
fn e_at_most(a: num, b: num) -> num { return n_choose(unit(), zero(), n_less(b, a)); }
fn e_below(a: num, b: num) -> num { return n_choose(zero(), unit(), n_less(a, b)); }
fn e_gate(gate: num, x: num) -> num { return n_choose(n_mul(gate, x), zero(), is_zero(gate)); }
fn e_share(slope: num, variance: num) -> num { return n_mul(slope, n_mul(slope, variance)); }

// 2^k for k of -127 to 127.
fn power_of_two(k: i32) -> num {
    return of_f32(bitcast<f32>(u32(clamp(k, -126, 127) + 127) << 23u));
}

// e^x = 2^k e^r with |r| at most ln 2 / 2, by its series.
fn e_exp(x: num) -> num {
    let k = clamp(floor(to_f32(x) * 1.44269504 + 0.5), -150.0, 150.0);
    // Beyond f32: the host knows more.
    odd = odd || abs(k) > 125.0;
    let r = n_sub(x, n_mul(of_f32(k), LN2));
    var sum = unit();
    for (var n = TERMS; n > 0u; n--) {
        sum = n_add(unit(), n_quotient(n_mul(r, sum), of_f32(f32(n))));
    }
    return n_mul(sum, power_of_two(i32(k)));
}

// x = 2^k m with m about 1, log m = 2 artanh((m - 1) / (m + 1)), by its series.
fn e_log(x: num) -> num {
    let small = n_less(x, of_f32(1e-30));
    let large = n_less(of_f32(1e30), x);
    odd = odd || small || large;
    var m = n_choose(x, unit(), small || large);
    var k = 0.0;
    for (var i = 0u; i < 7u; i++) {
        let s = 64 >> i;
        let down = !n_less(m, power_of_two(s));
        m = n_choose(m, n_mul(m, power_of_two(-s)), down);
        k += select(0.0, f32(s), down);
        let up = n_less(m, power_of_two(1 - s));
        m = n_choose(m, n_mul(m, power_of_two(s)), up);
        k -= select(0.0, f32(s), up);
    }
    let half = n_less(of_f32(1.41421356), m);
    m = n_choose(m, n_mul(m, of_f32(0.5)), half);
    k += select(0.0, 1.0, half);
    let s = n_quotient(n_sub(m, unit()), n_add(m, unit()));
    let square = n_mul(s, s);
    var sum = zero();
    for (var n = TERMS + 1u; n > 0u; n--) {
        sum = n_add(n_mul(square, sum), n_quotient(unit(), of_f32(f32(2u * n - 1u))));
    }
    return n_add(n_mul(of_f32(k), LN2), n_mul(of_f32(2.0), n_mul(s, sum)));
}

// Whole powers by products, others by exp and log.
fn e_whole_power(x: num, power: u32, inverse: bool) -> num {
    var result = unit();
    var factor = x;
    for (var n = power; n > 0u; n = n >> 1u) {
        if (n & 1u) == 1u { result = n_mul(result, factor); }
        factor = n_mul(factor, factor);
    }
    if inverse { return e_div(unit(), result); }
    return result;
}

fn e_power(x: num, power: num) -> num { return e_exp(n_mul(power, e_log(x))); }
