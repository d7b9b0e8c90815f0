// Stack, plain: means and sums with their propagated variance, nothing rejected, of samples with variances and masks. A lane
// has four pixels, so that it reads and writes four words at a time. Rules and results are those of stack.wgsl, whose
// bindings and constants these are; the twin: cpu/plain.rs. What a quad of numbers is read from, the functions data_quad,
// variance_quad and mask_quad, is written out by src/kernels/stack/wgsl.rs for the type that they are stored as.

@group(0) @binding(5) var<storage, read_write> out_reals: array<vec4<f32>>;

const NO_DATA = vec4<u32>(16u);
const UNUSABLE = vec4<u32>(0xffffffffu);
const ODD = vec4<u32>(0x80000000u);
const NOTHING = vec4<u32>(0u);
const ONE = vec4<u32>(1u);
const ZERO = vec4<f32>(0.0);

// ---------------------------------------------------------------- pairs, as in pair.wgsl

struct Pairs { hi: vec4<f32>, lo: vec4<f32> }

fn opaque(x: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) ^ vec4<u32>(params.opaque_zero));
}

fn add(s: Pairs, x: vec4<f32>) -> Pairs {
    let sum = opaque(s.hi + x);
    let of_x = opaque(sum - s.hi);
    let of_s = opaque(sum - of_x);
    return Pairs(sum, s.lo + ((s.hi - of_s) + (x - of_x)));
}

fn upper(x: vec4<f32>) -> vec4<f32> {
    let c = opaque(4097.0 * x);
    return opaque(c - opaque(c - x));
}

fn product(a: vec4<f32>, b: vec4<f32>) -> Pairs {
    let p = opaque(a * b);
    let ah = upper(a);
    let al = a - ah;
    let bh = upper(b);
    let bl = b - bh;
    return Pairs(p, ((ah * bh - p) + ah * bl + al * bh) + al * bl);
}

fn over(s: Pairs, n: vec4<f32>) -> Pairs {
    let q = opaque((s.hi + s.lo) / n);
    let p = product(q, n);
    let rest = ((s.hi - p.hi) - p.lo) + s.lo;
    let quotient = opaque(q + rest / n);
    return Pairs(quotient, (q - quotient) + rest / n);
}

// ---------------------------------------------------------------- samples

fn swap_words(w: vec4<u32>) -> vec4<u32> {
    let odd = (w & vec4<u32>(0x00ff00ffu)) << vec4<u32>(8u);
    let even = (w >> vec4<u32>(8u)) & vec4<u32>(0x00ff00ffu);
    let halves = odd | even;
    return (halves << vec4<u32>(16u)) | (halves >> vec4<u32>(16u));
}

fn halves(w: vec2<u32>, swap: bool) -> vec4<u32> {
    let h = vec4<u32>(w.x & 0xffffu, w.x >> 16u, w.y & 0xffffu, w.y >> 16u);
    if swap { return ((h & vec4<u32>(0xffu)) << vec4<u32>(8u)) | (h >> vec4<u32>(8u)); }
    return h;
}

fn quarters(w: u32) -> vec4<u32> {
    return (vec4<u32>(w) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(0xffu);
}

fn f32_bits(n: vec4<u32>, kind: u32, flip: bool) -> vec4<u32> {
    if kind == STORED_F32 { return n; }
    return vec4<u32>(
        f32_bits_of(n.x, kind, flip), f32_bits_of(n.y, kind, flip), f32_bits_of(n.z, kind, flip), f32_bits_of(n.w, kind, flip));
}

fn masks(n: vec4<u32>, kind: u32, flip: bool) -> vec4<u32> {
    return vec4<u32>(mask_of(n.x, kind, flip), mask_of(n.y, kind, flip), mask_of(n.z, kind, flip), mask_of(n.w, kind, flip));
}

fn is_finite(n: vec4<u32>) -> vec4<bool> {
    return (n & vec4<u32>(0x7f800000u)) != vec4<u32>(0x7f800000u);
}

fn over_level(bits: vec4<u32>, forbidden: u32) -> vec4<u32> {
    return select(NOTHING, ONE, (bits & vec4<u32>(forbidden)) != NOTHING);
}

fn level_of(bits: vec4<u32>) -> vec4<u32> {
    let low = params.forbidden[0];
    let high = params.forbidden[1];
    var level = over_level(bits, low.x) + over_level(bits, low.y) + over_level(bits, low.z) + over_level(bits, low.w);
    if LEVELS > 4u { level += over_level(bits, high.x); }
    if LEVELS > 5u { level += over_level(bits, high.y) + over_level(bits, high.z) + over_level(bits, high.w); }
    return level;
}

fn beyond(size: vec4<u32>, least: u32, most: u32) -> vec4<bool> {
    return (size > vec4<u32>(most)) | ((size != NOTHING) & (size < vec4<u32>(least)));
}

// Where the quads of a pixel's samples begin, and how far one is from the next.
fn first_of(quad: u32) -> u32 {
    if BLOCK == 0u { return quad; }
    let quads = max(BLOCK / 4u, 1u);
    return (quad / quads) * (quads * FRAMES) + quad % quads;
}

fn step() -> u32 {
    if BLOCK == 0u { return params.pixels / 4u; }
    return BLOCK / 4u;
}

// ---------------------------------------------------------------- sums

// What the samples that are used come to.
var<private> sum: Pairs = Pairs(ZERO, ZERO);
var<private> sum2: Pairs = Pairs(ZERO, ZERO);
var<private> good: vec4<u32> = NOTHING;
var<private> bits: vec4<u32> = NOTHING;
// OR of all masks; the best level.
var<private> all: vec4<u32> = NOTHING;
var<private> best: vec4<u32> = NOTHING;
// Variances below zero, and the largest sizes, of all samples.
var<private> negative: vec4<u32> = NOTHING;
var<private> largest: vec4<u32> = NOTHING;
var<private> largest_variance: vec4<u32> = NOTHING;
var<private> largest_value: vec4<f32> = ZERO;
var<private> largest_weight: vec4<f32> = ZERO;

// Adds the samples of the best level. `first`: that is taken to be the first, and what is to be seen of all samples is seen.
fn add_up(quad: u32, first: bool) {
    sum = Pairs(ZERO, ZERO);
    sum2 = Pairs(ZERO, ZERO);
    good = NOTHING;
    bits = NOTHING;
    var i = first_of(quad);
    for (var f = 0u; f < FRAMES; f++) {
        let d = data_quad(i);
        let v = variance_quad(i);
        let m = mask_quad(i);
        var finite = vec4<bool>(true);
        if NONFINITE { finite = is_finite(d) & is_finite(v); }
        var used = finite;
        if first {
            used = used & ((m & vec4<u32>(params.forbidden[0].x)) == NOTHING);
        } else {
            used = used & (level_of(m) == best);
        }
        var x = Pairs(bitcast<vec4<f32>>(d), ZERO);
        let plain_w = max(bitcast<vec4<f32>>(v), ZERO);
        var w = Pairs(plain_w, ZERO);
        if SCALED {
            let row = rows[2u * f];
            let p = product(x.hi, vec4<f32>(row.x));
            let moved = add(Pairs(p.hi, p.lo + x.hi * row.y), vec4<f32>(row.z));
            x = Pairs(moved.hi, moved.lo + row.w);
            let square = rows[2u * f + 1u];
            let q = product(plain_w, vec4<f32>(square.x));
            w = Pairs(q.hi, q.lo + plain_w * square.y);
        }
        let next = add(sum, x.hi);
        sum = Pairs(select(sum.hi, next.hi, used), select(sum.lo, next.lo + x.lo, used));
        let next2 = add(sum2, w.hi);
        sum2 = Pairs(select(sum2.hi, next2.hi, used), select(sum2.lo, next2.lo + w.lo, used));
        good += select(NOTHING, ONE, used);
        bits |= select(NOTHING, m, used);
        if first {
            negative += select(NOTHING, ONE, (v > vec4<u32>(0x80000000u)) & (v <= vec4<u32>(0xff800000u)));
            largest = max(largest, select(NOTHING, d & vec4<u32>(0x7fffffffu), finite));
            largest_variance = max(largest_variance, select(NOTHING, v & vec4<u32>(0x7fffffffu), finite));
            if SCALED {
                largest_value = max(largest_value, select(ZERO, abs(x.hi), finite));
                largest_weight = max(largest_weight, select(ZERO, w.hi, finite));
            }
        }
        i += step();
    }
}

// Finds the best level of each pixel, and what all masks come to.
fn find_best(quad: u32) {
    best = UNUSABLE;
    var i = first_of(quad);
    for (var f = 0u; f < FRAMES; f++) {
        let m = mask_quad(i);
        var level = level_of(m);
        if NONFINITE { level = select(UNUSABLE, level, is_finite(data_quad(i)) & is_finite(variance_quad(i))); }
        best = min(best, level);
        all |= m | select(NOTHING, NO_DATA, level == UNUSABLE);
        i += step();
    }
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let quad = id.x;
    if quad >= params.pixels / 4u { return; }
    add_up(quad, true);
    // Mostly each pixel has a sample of the first level, and then no other level matters.
    if any(good == NOTHING) {
        find_best(quad);
        add_up(quad, false);
    }
    var odd = beyond(largest, LEAST, MOST) | beyond(largest_variance, LEAST_VARIANCE, MOST_VARIANCE);
    if SCALED {
        // 0 may be what a device makes of a number that is too small.
        odd |= (largest_value > vec4<f32>(MOST_VALUE)) | ((largest_value < vec4<f32>(LEAST_VALUE)) & (largest != NOTHING));
        odd |= (largest_weight > vec4<f32>(MOST_WEIGHT))
            | ((largest_weight < vec4<f32>(LEAST_WEIGHT)) & (largest_variance != NOTHING));
    }
    let some = (good != NOTHING) & !odd;
    let n = vec4<f32>(max(good, ONE));
    var value = sum;
    var variance = sum2;
    if COMBINE == MEAN {
        value = over(sum, n);
        variance = over(over(sum2, n), n);
    }
    out_reals[quad] = select(ZERO, value.hi + value.lo, some);
    out_reals[params.pixels / 4u + quad] = select(ZERO, variance.hi + variance.lo, some);
    let flags = negative | select(NOTHING, ODD, odd);
    let left = select(NOTHING, good, some);
    let mask = select(all, bits, some);
    let at = 4u * quad;
    out_info[at] = vec4<u32>(mask.x, left.x, flags.x, 0u);
    out_info[at + 1u] = vec4<u32>(mask.y, left.y, flags.y, 0u);
    out_info[at + 2u] = vec4<u32>(mask.z, left.z, flags.z, 0u);
    out_info[at + 3u] = vec4<u32>(mask.w, left.w, flags.w, 0u);
}
