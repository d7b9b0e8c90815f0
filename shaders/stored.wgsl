// Numbers as they are stored: out of the words of a raw buffer, without their sign bit flipped, as f32. The types are those
// of src/dtype.rs; `stored`, `swap` and `flip` are constants wherever these functions are called.

const STORED_U8 = 0u;
const STORED_I8 = 1u;
const STORED_I16 = 2u;
const STORED_U16 = 3u;
const STORED_I32 = 4u;
const STORED_U32 = 5u;
const STORED_I64 = 6u;
const STORED_U64 = 7u;
const STORED_F32 = 8u;
const STORED_F64 = 9u;

const SIGN = 0x80000000u;

fn swap_word(w: u32) -> u32 {
    let odd = (w & 0x00ff00ffu) << 8u;
    let even = (w >> 8u) & 0x00ff00ffu;
    let halves = odd | even;
    return (halves << 16u) | (halves >> 16u);
}

// The word that holds number `i`, of at most 32 bits.
fn holder(i: u32, kind: u32) -> u32 {
    if kind <= STORED_I8 { return i / 4u; }
    if kind <= STORED_U16 { return i / 2u; }
    return i;
}

// Number `i` out of that word; small ones unsigned. Swapped, its bytes are in the other order than the device's.
fn stored(w: u32, i: u32, kind: u32, swap: bool) -> u32 {
    if kind <= STORED_I8 { return (w >> (8u * (i % 4u))) & 0xffu; }
    if kind <= STORED_U16 {
        let half = (w >> (16u * (i % 2u))) & 0xffffu;
        if swap { return ((half & 0xffu) << 8u) | (half >> 8u); }
        return half;
    }
    if swap { return swap_word(w); }
    return w;
}

// The value of a number of 8 or 16 bits, exact in f32. Flipped, its sign bit stands for BZERO: -128 for bytes, 32768 for 16
// bits.
fn small(w: u32, kind: u32, flip: bool) -> i32 {
    var value = i32(w);
    if kind == STORED_I8 { value = (i32(w << 24u)) >> 24u; }
    if kind == STORED_I16 { value = (i32(w << 16u)) >> 16u; }
    if flip { value += select(-128, 32768, kind == STORED_I16); }
    return value;
}

// Bits of f32.
fn f32_bits_of(n: u32, kind: u32, flip: bool) -> u32 {
    if kind == STORED_F32 { return n; }
    return bitcast<u32>(f32(small(n, kind, flip)));
}

// The bits of a mask.
fn mask_of(n: u32, kind: u32, flip: bool) -> u32 {
    if !flip { return n; }
    if kind <= STORED_I8 { return n ^ 0x80u; }
    if kind <= STORED_U16 { return n ^ 0x8000u; }
    return n ^ SIGN;
}
