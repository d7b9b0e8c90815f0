// Sums and products as pairs (hi, lo) of `part`, a number or a vector of them, so that a thousand terms round about as once.
// The error of each addition (Knuth's two-sum) and of each product (Dekker) is kept in lo. WGSL lets a compiler reassociate,
// which would fold those errors to 0: `opaque`, which whoever says what a `part` is has as well, stops it.

struct Pair { hi: part, lo: part }

fn pair_add(s: Pair, x: part) -> Pair {
    let sum = opaque(s.hi + x);
    let of_x = opaque(sum - s.hi);
    let of_s = opaque(sum - of_x);
    return Pair(sum, s.lo + ((s.hi - of_s) + (x - of_x)));
}

// The upper half of the digits of x (Veltkamp). Overflows within a factor SPLIT of the largest number.
fn upper(x: part) -> part {
    let c = opaque(SPLIT * x);
    return opaque(c - opaque(c - x));
}

// The partial products are exact, so fusing them changes nothing.
fn product(a: part, b: part) -> Pair {
    let p = opaque(a * b);
    let ah = upper(a);
    let al = a - ah;
    let bh = upper(b);
    let bl = b - bh;
    return Pair(p, ((ah * bh - p) + ah * bl + al * bh) + al * bl);
}

// s / n, corrected once, since a device may divide to 2.5 ULP.
fn pair_div(s: Pair, n: part) -> Pair {
    let q = opaque((s.hi + s.lo) / n);
    let p = product(q, n);
    let rest = ((s.hi - p.hi) - p.lo) + s.lo;
    let quotient = opaque(q + rest / n);
    return Pair(quotient, (q - quotient) + rest / n);
}
