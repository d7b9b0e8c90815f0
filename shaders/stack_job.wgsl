// What every kernel of a stack is given, and where it says what became of a pixel.

struct Params {
    pixels: u32,
    opaque_zero: u32,
    pad_a: u32,
    pad_b: u32,
    // Bits that a sample of level k may not have; 0 for levels that are not there.
    forbidden: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> params: Params;
// Two rows a frame: scale and zero, then (scale^2, its rest, unused, unused). One of (lsigma^2, its rest, hsigma^2, its
// rest). Then one for each n of 0 to N: (factor of the variance of a median, its rest, lowest and highest to be rejected).
@group(0) @binding(4) var<storage, read> rows: array<vec4<real>>;
// (mask, samples used, variances below zero with ODD, rejected below + 65536 rejected above)
@group(0) @binding(6) var<storage, read_write> out_info: array<vec4<u32>>;
