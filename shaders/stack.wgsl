// Stack: samples of N frames at each pixel to one value with its variance and mask. Rules, sources and tolerance:
// src/kernels/stack.rs, the twin.
//
// One lane is one pixel; it walks down the frames, and neighbouring lanes read neighbouring words. Nothing is kept
// per frame, so there is no indexed local array. The prelude of the compute type stands in front of this file.

struct Params {
    frames: u32,
    pixels: u32,
    variance: u32,
    mask: u32,
    scaled: u32,
    opaque_zero: u32,
    pad: vec2<u32>,
    // Bits that a sample of level k may not have; 0 for levels that are not there.
    forbidden: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> data_bits: array<u32>;
@group(0) @binding(2) var<storage, read> variance_bits: array<u32>;
@group(0) @binding(3) var<storage, read> mask: array<u32>;
// Two a frame: scale and zero, then (scale^2, its rest, unused, unused).
@group(0) @binding(4) var<storage, read> affines: array<vec4<real>>;
@group(0) @binding(5) var<storage, read_write> out_data: array<real>;
@group(0) @binding(6) var<storage, read_write> out_variance: array<real>;
// (mask, samples used, variances below zero, 0)
@group(0) @binding(7) var<storage, read_write> out_info: array<vec4<u32>>;

const NO_DATA = 16u;
const UNUSABLE = 0xffffffffu;

// Level of a sample: how many levels do not admit all its bits. UNUSABLE where it is not finite.
fn level_of(i: u32) -> u32 {
    var bits = 0u;
    if params.mask != 0u { bits = mask[i]; }
    let low = select(vec4<u32>(0u), vec4<u32>(1u), (vec4<u32>(bits) & params.forbidden[0]) != vec4<u32>(0u));
    let high = select(vec4<u32>(0u), vec4<u32>(1u), (vec4<u32>(bits) & params.forbidden[1]) != vec4<u32>(0u));
    let over = low + high;
    var level = over.x + over.y + over.z + over.w;
    if !data_finite(i) { level = UNUSABLE; }
    if params.variance != 0u {
        if !variance_finite(i) { level = UNUSABLE; }
    }
    return level;
}

fn value_at(i: u32, frame: u32) -> Pair {
    if params.scaled == 0u { return Pair(data_at(i), real(0)); }
    return affine(data_at(i), affines[2u * frame]);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let pixel = id.x;
    if pixel >= params.pixels { return; }

    var best = UNUSABLE;
    var all = 0u;
    for (var f = 0u; f < params.frames; f++) {
        let i = f * params.pixels + pixel;
        let level = level_of(i);
        best = min(best, level);
        if params.mask != 0u { all |= mask[i]; }
        if level == UNUSABLE { all |= NO_DATA; }
    }
    if best == UNUSABLE {
        out_data[pixel] = real(0);
        out_variance[pixel] = real(0);
        var negative = 0u;
        if params.variance != 0u {
            for (var f = 0u; f < params.frames; f++) {
                let i = f * params.pixels + pixel;
                if variance_finite(i) && variance_at(i) < real(0) { negative++; }
            }
        }
        out_info[pixel] = vec4<u32>(all, 0u, negative, 0u);
        return;
    }

    var sum = Pair(real(0), real(0));
    var sum2 = Pair(real(0), real(0));
    var bits = 0u;
    var good = 0u;
    var negative = 0u;
    for (var f = 0u; f < params.frames; f++) {
        let i = f * params.pixels + pixel;
        let used = level_of(i) == best;
        if params.variance != 0u {
            if variance_finite(i) && variance_at(i) < real(0) { negative++; }
        }
        if used {
            let x = value_at(i, f);
            sum = pair_add(sum, x.hi);
            sum.lo += x.lo;
            if params.mask != 0u { bits |= mask[i]; }
            if params.variance != 0u {
                let v = max(variance_at(i), real(0));
                if params.scaled == 0u {
                    sum2 = pair_add(sum2, v);
                } else {
                    let square = affines[2u * f + 1u];
                    sum2 = pair_add(sum2, v * square.x);
                    sum2.lo += v * square.y;
                }
            }
            good++;
        }
    }
    let n = count(good);
    let mean = pair_div(sum, n);
    if params.variance == 0u {
        for (var f = 0u; f < params.frames; f++) {
            let i = f * params.pixels + pixel;
            if level_of(i) == best {
                let x = value_at(i, f);
                let deviation = (x.hi - mean.hi) + (x.lo - mean.lo);
                sum2 = pair_add(sum2, deviation * deviation);
            }
        }
    }
    var result = real(0);
    if params.variance != 0u {
        result = pair_div(pair_div(sum2, n), n).hi;
    } else if good > 1u {
        result = pair_div(pair_div(sum2, n), n - real(1)).hi;
    }
    out_data[pixel] = mean.hi;
    out_variance[pixel] = result;
    out_info[pixel] = vec4<u32>(bits, good, negative, 0u);
}
