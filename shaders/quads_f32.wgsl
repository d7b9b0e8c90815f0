// Numbers of four pixels, wide enough that a thousand terms round about as once: the pairs of pair.wgsl.

alias part = vec4<f32>;
alias Wide = Pair;

// 2^12 + 1: splits 24 digits in two.
const SPLIT = 4097.0f;

const EMPTY = Wide(vec4<f32>(0.0), vec4<f32>(0.0));

// Of params: read once, since it is asked for with every sample.
var<private> zero_bits: vec4<u32>;

fn begin() { zero_bits = vec4<u32>(params.opaque_zero); }

fn opaque(x: vec4<f32>) -> vec4<f32> { return bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) ^ zero_bits); }

fn exact(x: vec4<f32>) -> Wide { return Wide(x, vec4<f32>(0.0)); }
fn narrow(x: Wide) -> vec4<f32> { return x.hi + x.lo; }

fn chosen(no: Wide, yes: Wide, which: vec4<bool>) -> Wide {
    return Wide(select(no.hi, yes.hi, which), select(no.lo, yes.lo, which));
}

fn plus(s: Wide, x: Wide) -> Wide {
    let sum = pair_add(s, x.hi);
    return Wide(sum.hi, sum.lo + x.lo);
}

// x * (by.x + by.y).
fn times(x: vec4<f32>, by: vec2<f32>) -> Wide {
    let p = product(x, vec4<f32>(by.x));
    return Wide(p.hi, p.lo + x * by.y);
}

// x + (by.x + by.y).
fn moved(x: Wide, by: vec2<f32>) -> Wide {
    let sum = pair_add(x, vec4<f32>(by.x));
    return Wide(sum.hi, sum.lo + by.y);
}

fn over(s: Wide, n: vec4<f32>) -> Wide { return pair_div(s, n); }
