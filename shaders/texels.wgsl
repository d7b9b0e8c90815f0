// Where a stack reads its samples on a software adapter: in textures, which its driver reads for eight lanes at once, where
// of a buffer each lane reads for itself. A texel is four stored numbers of a plane.

@group(0) @binding(1) var data_texels: DataTexels;
@group(0) @binding(2) var variance_texels: VarianceTexels;
@group(0) @binding(3) var mask_texels: MaskTexels;

fn texel(i: u32) -> vec2<u32> { return vec2<u32>(i % ROW, i / ROW); }

fn four(w: vec4<u32>, kind: u32, swap: bool) -> vec4<u32> {
    if kind <= STORED_I8 { return quarters(w.x); }
    if kind <= STORED_U16 { return halves(w.xy, swap); }
    if swap { return swap_words(w); }
    return w;
}

fn data_four(i: u32) -> vec4<u32> {
    let w = textureLoad(data_texels, texel(i));
    return f32_bits(four(w, DATA_STORED, DATA_SWAP), DATA_STORED, DATA_FLIP);
}

fn variance_four(i: u32) -> vec4<u32> {
    if !VARIANCE { return vec4<u32>(0u); }
    let w = textureLoad(variance_texels, texel(i));
    return f32_bits(four(w, VARIANCE_STORED, VARIANCE_SWAP), VARIANCE_STORED, VARIANCE_FLIP);
}

fn mask_four(i: u32) -> vec4<u32> {
    if !MASK { return vec4<u32>(0u); }
    let w = textureLoad(mask_texels, texel(i));
    return masks(four(w, MASK_STORED, MASK_SWAP), MASK_STORED, MASK_FLIP);
}

// Blocks of lanes, one after the other; in each all groups of frames, and of each a texel of every lane.
fn first_four(lane: u32) -> u32 { return lane / LANES * (LANES * GROUPS) + lane % LANES; }
fn next_four(i: u32) -> u32 { return i + LANES; }
