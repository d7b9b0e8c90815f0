// Numbers of expr.wgsl where the device has no 64-bit floats: pairs (hi, lo) of f32, 48 digits in the range of f32. What
// leaves that range, be it on the way, is not ordinary, and left to the host. pair.wgsl stands behind this file.

alias num = Pair;

const TERMS: u32 = 9u;
const LN2: num = Pair(0.693147182464599609375, -1.904654323148236017e-09);

fn of_f32(x: f32) -> num { return Pair(x, 0.0); }
fn to_f32(x: num) -> f32 { return x.hi + x.lo; }

// hi + lo with |lo| no more than half a unit of hi.
fn settled(hi: f32, lo: f32) -> num {
    let sum = opaque(hi + lo);
    return Pair(sum, lo - opaque(sum - hi));
}

fn n_add(a: num, b: num) -> num {
    let s = pair_add(Pair(a.hi, 0.0), b.hi);
    let t = pair_add(Pair(a.lo, 0.0), b.lo);
    let u = settled(s.hi, s.lo + t.hi);
    return settled(u.hi, u.lo + t.lo);
}

fn n_neg(x: num) -> num { return Pair(-x.hi, -x.lo); }
fn n_sub(a: num, b: num) -> num { return n_add(a, n_neg(b)); }

// Outside of this the lower part, or what it is made of, may be lost: it has 2^-48 of the number, and is split at SPLIT.
fn ranges(x: f32) -> bool { return abs(x) >= 1e-18 && abs(x) <= 8e34; }

fn times(a: num, b: num) -> num {
    let p = product(a.hi, b.hi);
    return settled(p.hi, p.lo + (a.hi * b.lo + a.lo * b.hi));
}

fn n_mul(a: num, b: num) -> num {
    let p = times(a, b);
    odd = odd || (a.hi != 0.0 && b.hi != 0.0 && !ranges(p.hi));
    return p;
}

// The quotient of the leading parts, corrected twice.
fn n_quotient(a: num, b: num) -> num {
    let q = opaque(a.hi / b.hi);
    odd = odd || (a.hi != 0.0 && !ranges(q));
    let rest = n_sub(a, times(b, Pair(q, 0.0)));
    let more = opaque(rest.hi / b.hi);
    let left = n_sub(rest, times(b, Pair(more, 0.0)));
    let s = settled(q, more);
    return settled(s.hi, s.lo + left.hi / b.hi);
}

// The root of the leading part, corrected by Newton's rule.
fn n_root(x: num) -> num {
    if x.hi == 0.0 { return x; }
    let r = opaque(sqrt(x.hi));
    let rest = n_sub(x, product(r, r));
    return settled(r, rest.hi / (2.0 * r));
}

fn n_less(a: num, b: num) -> bool { return a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo); }

fn n_choose(no: num, yes: num, which: bool) -> num {
    return Pair(select(no.hi, yes.hi, which), select(no.lo, yes.lo, which));
}

// Samples and results that pairs do not hold.
fn lost(x: num) -> bool { return x.hi != 0.0 && !ranges(x.hi); }
