// Where a stack reads its samples: in buffers, frame after frame.

@group(0) @binding(1) var<storage, read> data_bits: array<u32>;
@group(0) @binding(2) var<storage, read> variance_bits: array<u32>;
@group(0) @binding(3) var<storage, read> mask: array<u32>;

fn mask_at(i: u32) -> u32 {
    if MASK { return mask_of(stored(mask[holder(i, MASK_STORED)], i, MASK_STORED, MASK_SWAP), MASK_STORED, MASK_FLIP); }
    return 0u;
}

// The first sample of a pixel, and the next after that of a frame.
fn first_of(pixel: u32) -> u32 { return pixel; }
fn after(i: u32, frame: u32) -> u32 { return i + params.pixels; }

// `take` of every sample, frame after frame.
fn each_sample(pixel: u32) {
    var i = first_of(pixel);
    for (var f = 0u; f < FRAMES; f++) {
        take(i, f, data_at(i), variance_at(i), mask_at(i));
        i = after(i, f);
    }
}
