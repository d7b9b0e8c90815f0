// Stack, plain: means and sums with their propagated variance, nothing rejected, of samples with variances and masks. A lane
// has four pixels, so that it reads and writes four words at a time. Rules and results are those of stack.wgsl, whose
// bindings and constants these are; the twin: cpu/plain.rs. Sums are Wide: quads_f32.wgsl or quads_f64.wgsl. Where samples
// are, and what makes numbers of them, is said by texels.wgsl, or written out for buffers by src/kernels/stack/wgsl.rs.

@group(0) @binding(5) var<storage, read_write> out_reals: array<vec4<f32>>;

const NO_DATA = vec4<u32>(16u);
const UNUSABLE = vec4<u32>(0xffffffffu);
const ODD = vec4<u32>(0x80000000u);
const NOTHING = vec4<u32>(0u);
const ONE = vec4<u32>(1u);
const ZERO = vec4<f32>(0.0);

// ---------------------------------------------------------------- samples

fn are_finite(n: vec4<u32>) -> vec4<bool> {
    return (n & vec4<u32>(0x7f800000u)) != vec4<u32>(0x7f800000u);
}

// Whether a sample can be used at all.
fn usable(d: vec4<u32>, v: vec4<u32>) -> vec4<bool> {
    if NONFINITE { return are_finite(d) & are_finite(v); }
    return vec4<bool>(true);
}

fn over_level(bits: vec4<u32>, forbidden: u32) -> vec4<u32> {
    return select(NOTHING, ONE, (bits & vec4<u32>(forbidden)) != NOTHING);
}

// Of params: read once, since they are asked for with every sample.
var<private> low: vec4<u32>;
var<private> high: vec4<u32>;

fn level_of(bits: vec4<u32>) -> vec4<u32> {
    var level = over_level(bits, low.x) + over_level(bits, low.y) + over_level(bits, low.z) + over_level(bits, low.w);
    if LEVELS > 4u { level += over_level(bits, high.x); }
    if LEVELS > 5u { level += over_level(bits, high.y) + over_level(bits, high.z) + over_level(bits, high.w); }
    return level;
}

fn beyond(size: vec4<u32>, least: u32, most: u32) -> vec4<bool> {
    return (size > vec4<u32>(most)) | ((size != NOTHING) & (size < vec4<u32>(least)));
}

// ---------------------------------------------------------------- sums

// What the samples that are used come to.
var<private> sum: Wide = EMPTY;
var<private> sum2: Wide = EMPTY;
var<private> good: vec4<u32> = NOTHING;
var<private> bits: vec4<u32> = NOTHING;
// OR of all masks; the best level.
var<private> all: vec4<u32> = NOTHING;
var<private> best: vec4<u32> = UNUSABLE;
// Variances below zero, and the largest sizes, of all samples.
var<private> negative: vec4<u32> = NOTHING;
var<private> largest: vec4<u32> = NOTHING;
var<private> largest_variance: vec4<u32> = NOTHING;
var<private> largest_value: vec4<f32> = ZERO;
var<private> largest_weight: vec4<f32> = ZERO;

// x = s d + z.
fn value_of(d: vec4<u32>, frame: u32) -> Wide {
    let x = bitcast<vec4<f32>>(d);
    if !SCALED { return exact(x); }
    let row = rows[2u * frame];
    return moved(times(x, row.xy), row.zw);
}

// w = s^2 v; a variance below zero counts as 0.
fn weight_of(v: vec4<u32>, frame: u32) -> Wide {
    let w = max(bitcast<vec4<f32>>(v), ZERO);
    if !SCALED { return exact(w); }
    return times(w, rows[2u * frame + 1u].xy);
}

fn add_up(x: Wide, w: Wide, m: vec4<u32>, used: vec4<bool>) {
    sum = chosen(sum, plus(sum, x), used);
    sum2 = chosen(sum2, plus(sum2, w), used);
    good += select(NOTHING, ONE, used);
    bits |= select(NOTHING, m, used);
}

// Adds samples of the first level, and sees what is to be seen of all samples.
fn take_first(frame: u32, d: vec4<u32>, v: vec4<u32>, m: vec4<u32>) {
    let finite = usable(d, v);
    let x = value_of(d, frame);
    let w = weight_of(v, frame);
    add_up(x, w, m, finite & ((m & vec4<u32>(low.x)) == NOTHING));
    negative += select(NOTHING, ONE, (v > vec4<u32>(0x80000000u)) & (v <= vec4<u32>(0xff800000u)));
    largest = max(largest, select(NOTHING, d & vec4<u32>(0x7fffffffu), finite));
    largest_variance = max(largest_variance, select(NOTHING, v & vec4<u32>(0x7fffffffu), finite));
    if SCALED {
        largest_value = max(largest_value, select(ZERO, abs(narrow(x)), finite));
        largest_weight = max(largest_weight, select(ZERO, narrow(w), finite));
    }
}

// Adds samples of the best level: one that is better than all before starts the sums anew.
fn take_best(frame: u32, d: vec4<u32>, v: vec4<u32>, m: vec4<u32>) {
    let level = select(UNUSABLE, level_of(m), usable(d, v));
    all |= m | select(NOTHING, NO_DATA, level == UNUSABLE);
    let better = level < best;
    best = min(best, level);
    sum = chosen(sum, EMPTY, better);
    sum2 = chosen(sum2, EMPTY, better);
    good = select(good, NOTHING, better);
    bits = select(bits, NOTHING, better);
    add_up(value_of(d, frame), weight_of(v, frame), m, (level == best) & (level != UNUSABLE));
}

fn each_first(quad: u32) {
    var i = first_four(quad);
    for (var f = 0u; f < FRAMES; f++) {
        take_first(f, data_four(i), variance_four(i), mask_four(i));
        i = next_four(i);
    }
}

fn each_best(quad: u32) {
    var i = first_four(quad);
    for (var f = 0u; f < FRAMES; f++) {
        take_best(f, data_four(i), variance_four(i), mask_four(i));
        i = next_four(i);
    }
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let quad = id.x;
    if quad >= params.pixels / 4u { return; }
    begin();
    low = params.forbidden[0];
    high = params.forbidden[1];
    each_first(quad);
    // Mostly each pixel has a sample of the first level, and then no other level matters.
    if any(good == NOTHING) {
        sum = EMPTY;
        sum2 = EMPTY;
        good = NOTHING;
        bits = NOTHING;
        each_best(quad);
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
    out_reals[quad] = select(ZERO, narrow(value), some);
    out_reals[params.pixels / 4u + quad] = select(ZERO, narrow(variance), some);
    let flags = negative | select(NOTHING, ODD, odd);
    let left = select(NOTHING, good, some);
    let mask = select(all, bits, some);
    let at = 4u * quad;
    out_info[at] = vec4<u32>(mask.x, left.x, flags.x, 0u);
    out_info[at + 1u] = vec4<u32>(mask.y, left.y, flags.y, 0u);
    out_info[at + 2u] = vec4<u32>(mask.z, left.z, flags.z, 0u);
    out_info[at + 3u] = vec4<u32>(mask.w, left.w, flags.w, 0u);
}
