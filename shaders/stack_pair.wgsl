// Numbers of a stack as pairs of `real`: what it takes beside pair.wgsl. The same of f64: stack_f64.wgsl.

alias wide = real;
alias part = real;

fn exact(x: real) -> Pair { return Pair(x, real(0)); }

// A number that is given as a pair.
fn given(p: vec2<real>) -> Pair { return Pair(p.x, p.y); }

fn chosen(yes: Pair, no: Pair, which: bool) -> Pair {
    return Pair(select(no.hi, yes.hi, which), select(no.lo, yes.lo, which));
}

// The same number with |lo| no more than half a unit of hi.
fn settled(p: Pair) -> Pair {
    let sum = opaque(p.hi + p.lo);
    return Pair(sum, p.lo - opaque(sum - p.hi));
}

fn pair_sum(a: Pair, b: Pair) -> Pair {
    let sum = pair_add(a, b.hi);
    return Pair(sum.hi, sum.lo + b.lo);
}

fn minus(a: Pair, b: Pair) -> Pair { return pair_sum(Pair(a.hi, a.lo - b.lo), Pair(-b.hi, real(0))); }

// y - c.
fn apart(y: real, c: Pair) -> Pair {
    return settled(pair_add(Pair(y, -c.lo), -c.hi));
}

// s * d + z; scale and zero come as the pairs (s.x, s.y) and (s.z, s.w).
fn affine(d: real, s: vec4<real>) -> Pair {
    let p = product(d, s.x);
    let sum = pair_add(Pair(p.hi, p.lo + d * s.y), s.z);
    return Pair(sum.hi, sum.lo + s.w);
}

fn scaled(x: real, by: vec2<real>) -> Pair {
    let p = product(x, by.x);
    return Pair(p.hi, p.lo + x * by.y);
}

fn by_wide(x: Pair, by: real) -> Pair {
    let p = product(x.hi, by);
    return Pair(p.hi, p.lo + x.lo * by);
}

fn squared(t: Pair) -> Pair {
    let p = product(t.hi, t.hi);
    return Pair(p.hi, p.lo + real(2) * t.hi * t.lo);
}

fn times(a: Pair, b: Pair) -> Pair {
    let p = product(a.hi, b.hi);
    return settled(Pair(p.hi, p.lo + (a.hi * b.lo + a.lo * b.hi)));
}

// a / b, corrected once.
fn pair_over(a: Pair, b: Pair) -> Pair {
    let q = opaque((a.hi + a.lo) / b.hi);
    let p = times(b, Pair(q, real(0)));
    let rest = ((a.hi - p.hi) - p.lo) + a.lo;
    let quotient = opaque(q + rest / b.hi);
    return Pair(quotient, (q - quotient) + rest / b.hi);
}

// The root of the leading part, corrected by Newton's rule.
fn root(x: Pair) -> Pair {
    if x.hi <= real(0) { return Pair(real(0), real(0)); }
    let r = opaque(sqrt(x.hi));
    let p = product(r, r);
    return settled(Pair(r, (((x.hi - p.hi) - p.lo) + x.lo) / (real(2) * r)));
}
