// Stack: samples of N frames at each pixel to one value with its variance and mask. Rules, sources and tolerance:
// src/kernels/stack.rs, the twin.
//
// One lane is one pixel; it walks down the frames, and neighbouring lanes read neighbouring words. Nothing is kept
// per frame, so there is no indexed local array. The prelude of the compute type stands in front of this file.

struct Params {
    frames: u32,
    pixels: u32,
    opaque_zero: u32,
    pad: u32,
    // Bits that a sample of level k may not have; 0 for levels that are not there.
    forbidden: array<vec4<u32>, 2>,
}

// What the frames have; set when the pipeline is made.
override VARIANCE: bool = true;
override MASK: bool = true;
override SCALED: bool = false;
override NONFINITE: bool = true;

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

fn over(bits: u32, forbidden: u32) -> u32 {
    return select(0u, 1u, (bits & forbidden) != 0u);
}

fn mask_at(i: u32) -> u32 {
    if MASK { return mask[i]; }
    return 0u;
}

// Level of a sample with these bits: how many levels do not admit them all. UNUSABLE where it is not finite.
fn level_of(i: u32, bits: u32) -> u32 {
    var level = 0u;
    if MASK {
        let low = params.forbidden[0];
        let high = params.forbidden[1];
        level = over(bits, low.x) + over(bits, low.y) + over(bits, low.z) + over(bits, low.w);
        level += over(bits, high.x) + over(bits, high.y) + over(bits, high.z) + over(bits, high.w);
    }
    if NONFINITE {
        level = select(UNUSABLE, level, data_finite(i));
        if VARIANCE { level = select(UNUSABLE, level, variance_finite(i)); }
    }
    return level;
}

fn value_at(i: u32, frame: u32) -> Pair {
    if !SCALED { return Pair(data_at(i), real(0)); }
    return affine(data_at(i), affines[2u * frame]);
}

fn add_variance(sum: Pair, v: real, frame: u32) -> Pair {
    if !SCALED { return pair_add(sum, v); }
    let square = affines[2u * frame + 1u];
    let more = pair_add(sum, v * square.x);
    return Pair(more.hi, more.lo + v * square.y);
}

fn chosen(yes: Pair, no: Pair, which: bool) -> Pair {
    return Pair(select(no.hi, yes.hi, which), select(no.lo, yes.lo, which));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let pixel = id.x;
    if pixel >= params.pixels { return; }

    // One pass: a sample of a better level than all before starts the sums anew.
    let nothing = Pair(real(0), real(0));
    var best = UNUSABLE;
    var all = 0u;
    var bits = 0u;
    var good = 0u;
    var negative = 0u;
    var sum = nothing;
    var sum2 = nothing;
    var i = pixel;
    for (var f = 0u; f < params.frames; f++) {
        let m = mask_at(i);
        let level = level_of(i, m);
        let finite = level != UNUSABLE;
        all |= m | select(NO_DATA, 0u, finite);
        let better = level < best;
        best = min(best, level);
        let used = finite && level == best;
        bits = select(bits, 0u, better);
        bits |= select(0u, m, used);
        good = select(good, 0u, better) + select(0u, 1u, used);
        let x = value_at(i, f);
        let before = chosen(nothing, sum, better);
        let after = pair_add(before, x.hi);
        sum = chosen(Pair(after.hi, after.lo + x.lo), before, used);
        if VARIANCE {
            let v = variance_at(i);
            let before2 = chosen(nothing, sum2, better);
            let below = variance_finite(i) && v < real(0);
            negative += select(0u, 1u, below);
            sum2 = chosen(add_variance(before2, v, f), before2, used && !below);
        }
        i += params.pixels;
    }
    if good == 0u {
        out_data[pixel] = real(0);
        out_variance[pixel] = real(0);
        out_info[pixel] = vec4<u32>(all, 0u, negative, 0u);
        return;
    }
    let n = count(good);
    let mean = pair_div(sum, n);
    var variance_of_mean = real(0);
    if VARIANCE {
        variance_of_mean = pair_div(pair_div(sum2, n), n).hi;
    } else if good > 1u {
        i = pixel;
        for (var f = 0u; f < params.frames; f++) {
            let x = value_at(i, f);
            let deviation = (x.hi - mean.hi) + (x.lo - mean.lo);
            sum2 = chosen(pair_add(sum2, deviation * deviation), sum2, level_of(i, mask_at(i)) == best);
            i += params.pixels;
        }
        variance_of_mean = pair_div(pair_div(sum2, n), n - real(1)).hi;
    }
    out_data[pixel] = mean.hi;
    out_variance[pixel] = variance_of_mean;
    out_info[pixel] = vec4<u32>(bits, good, negative, 0u);
}
