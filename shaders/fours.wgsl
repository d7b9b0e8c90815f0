// Four stored numbers at once, out of as many words as they take: what stored.wgsl does for one.

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
