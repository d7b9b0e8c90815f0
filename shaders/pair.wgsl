// Sums and products as pairs (hi, lo) of `real`, so that a thousand terms round about as once. The error of each
// addition (Knuth's two-sum) and of each product (Dekker) is kept in lo. WGSL lets a compiler reassociate, which would
// fold those errors to 0: `opaque` of the prelude stops it.

struct Pair { hi: real, lo: real }

fn pair_add(s: Pair, x: real) -> Pair {
    let sum = opaque(s.hi + x);
    let of_x = opaque(sum - s.hi);
    let of_s = opaque(sum - of_x);
    return Pair(sum, s.lo + ((s.hi - of_s) + (x - of_x)));
}

// The upper half of the digits of x (Veltkamp). Overflows within a factor SPLIT of the largest number.
fn upper(x: real) -> real {
    let c = opaque(SPLIT * x);
    return opaque(c - opaque(c - x));
}

// The partial products are exact, so fusing them changes nothing.
fn product(a: real, b: real) -> Pair {
    let p = opaque(a * b);
    let ah = upper(a);
    let al = a - ah;
    let bh = upper(b);
    let bl = b - bh;
    return Pair(p, ((ah * bh - p) + ah * bl + al * bh) + al * bl);
}

// s * d + z; scale and zero come as the pairs (s.x, s.y) and (s.z, s.w).
fn affine(d: real, s: vec4<real>) -> Pair {
    let p = product(d, s.x);
    let sum = pair_add(Pair(p.hi, p.lo + d * s.y), s.z);
    return Pair(sum.hi, sum.lo + s.w);
}

// s / n, corrected once, since a device may divide to 2.5 ULP.
fn pair_div(s: Pair, n: real) -> Pair {
    let q = opaque((s.hi + s.lo) / n);
    let p = product(q, n);
    let rest = ((s.hi - p.hi) - p.lo) + s.lo;
    let quotient = opaque(q + rest / n);
    return Pair(quotient, (q - quotient) + rest / n);
}
