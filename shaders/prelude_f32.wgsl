// Compute type f32. Sums are pairs (hi, lo) of f32 with the exact error of each addition kept in lo, so that a
// thousand frames round about as once. WGSL allows a compiler to reassociate; `opaque` stops it where an error term
// would be folded to 0: params.opaque_zero is 0, which the compiler cannot know.

alias real = f32;

struct Pair { hi: f32, lo: f32 }

fn opaque(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ params.opaque_zero);
}

// hi + lo + x, exact up to the rounding of lo (Knuth's two-sum).
fn pair_add(s: Pair, x: f32) -> Pair {
    let sum = opaque(s.hi + x);
    let of_x = opaque(sum - s.hi);
    let of_s = opaque(sum - of_x);
    return Pair(sum, s.lo + ((s.hi - of_s) + (x - of_x)));
}

// The upper half of the digits of x (Veltkamp). Overflows beyond 2^115.
fn upper(x: f32) -> f32 {
    let c = opaque(4097.0 * x);
    return opaque(c - opaque(c - x));
}

// a * b with its rounding error (Dekker). The partial products are exact, so fusing them changes nothing.
fn product(a: f32, b: f32) -> Pair {
    let p = opaque(a * b);
    let ah = upper(a);
    let al = a - ah;
    let bh = upper(b);
    let bl = b - bh;
    return Pair(p, ((ah * bh - p) + ah * bl + al * bh) + al * bl);
}

// s * d + z; scale and zero come as the pairs (s.x, s.y) and (s.z, s.w).
fn affine(d: f32, s: vec4<f32>) -> Pair {
    let p = product(d, s.x);
    let sum = pair_add(Pair(p.hi, p.lo + d * s.y), s.z);
    return Pair(sum.hi, sum.lo + s.w);
}

// s / n, corrected once, since a device may divide to 2.5 ULP.
fn pair_div(s: Pair, n: f32) -> Pair {
    let q = opaque((s.hi + s.lo) / n);
    let p = product(q, n);
    let rest = ((s.hi - p.hi) - p.lo) + s.lo;
    let mean = opaque(q + rest / n);
    return Pair(mean, (q - mean) + rest / n);
}

fn count(n: u32) -> real { return f32(n); }

fn data_at(i: u32) -> real { return bitcast<f32>(data_bits[i]); }
fn data_finite(i: u32) -> bool { return (data_bits[i] & 0x7f800000u) != 0x7f800000u; }
fn variance_at(i: u32) -> real { return bitcast<f32>(variance_bits[i]); }
fn variance_finite(i: u32) -> bool { return (variance_bits[i] & 0x7f800000u) != 0x7f800000u; }
