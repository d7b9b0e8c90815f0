// Numbers of four pixels, wide enough that a thousand terms round about as once: pairs, as in pair.wgsl.

struct Wide { hi: vec4<f32>, lo: vec4<f32> }

const EMPTY = Wide(vec4<f32>(0.0), vec4<f32>(0.0));

// Of params: read once, since it is asked for with every sample.
var<private> zero_bits: vec4<u32>;

fn begin() { zero_bits = vec4<u32>(params.opaque_zero); }

fn opaque(x: vec4<f32>) -> vec4<f32> { return bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) ^ zero_bits); }

fn add(s: Wide, x: vec4<f32>) -> Wide {
    let sum = opaque(s.hi + x);
    let of_x = opaque(sum - s.hi);
    let of_s = opaque(sum - of_x);
    return Wide(sum, s.lo + ((s.hi - of_s) + (x - of_x)));
}

fn upper(x: vec4<f32>) -> vec4<f32> {
    let c = opaque(4097.0 * x);
    return opaque(c - opaque(c - x));
}

fn product(a: vec4<f32>, b: vec4<f32>) -> Wide {
    let p = opaque(a * b);
    let ah = upper(a);
    let al = a - ah;
    let bh = upper(b);
    let bl = b - bh;
    return Wide(p, ((ah * bh - p) + ah * bl + al * bh) + al * bl);
}

fn exact(x: vec4<f32>) -> Wide { return Wide(x, vec4<f32>(0.0)); }
fn narrow(x: Wide) -> vec4<f32> { return x.hi + x.lo; }

fn chosen(no: Wide, yes: Wide, which: vec4<bool>) -> Wide {
    return Wide(select(no.hi, yes.hi, which), select(no.lo, yes.lo, which));
}

fn plus(s: Wide, x: Wide) -> Wide {
    let sum = add(s, x.hi);
    return Wide(sum.hi, sum.lo + x.lo);
}

// x * (by.x + by.y).
fn times(x: vec4<f32>, by: vec2<f32>) -> Wide {
    let p = product(x, vec4<f32>(by.x));
    return Wide(p.hi, p.lo + x * by.y);
}

// x + (by.x + by.y).
fn moved(x: Wide, by: vec2<f32>) -> Wide {
    let sum = add(x, vec4<f32>(by.x));
    return Wide(sum.hi, sum.lo + by.y);
}

// s / n, corrected once, since a device may divide to 2.5 ULP.
fn over(s: Wide, n: vec4<f32>) -> Wide {
    let q = opaque((s.hi + s.lo) / n);
    let p = product(q, n);
    let rest = ((s.hi - p.hi) - p.lo) + s.lo;
    let quotient = opaque(q + rest / n);
    return Wide(quotient, (q - quotient) + rest / n);
}
