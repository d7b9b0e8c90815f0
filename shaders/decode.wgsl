// Decode: stored bytes of a plane to values or mask bits. Rules and sources: src/kernels/decode.rs, the twin.
//
// Values leave as the bits of the compute type (one word of f32, two of f64), made by integer arithmetic alone: NaN,
// infinities and every digit pass as they are, on any device, with or without f64. 8- and 16-bit numbers that are
// scaled or have a BLANK are looked up in a table of f32 bits that the host filled in f64. Scaled numbers of other
// types, and those that go to f64, are decoded by the host and arrive here as native floats.

struct Params {
    pixels: u32,
    raw_stride: u32,
    first: u32,
    blank_low: u32,
    blank_high: u32,
    pad_a: u32,
    pad_b: u32,
    pad_c: u32,
}

// What the numbers are; set when the pipeline is made, so that no lane asks twice.
override STORED: u32 = 8u;
override SWAP: bool = true;
override FLIP: bool = false;
override LOOKUP: bool = false;
override HAS_BLANK: bool = false;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> raw: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read_write> values: array<u32>;

// The stored number as (low word, high word); small ones unsigned in the low word.
fn load(frame: u32, pixel: u32) -> vec2<u32> {
    let base = frame * params.raw_stride;
    switch STORED {
        case STORED_I64, STORED_U64, STORED_F64: {
            let a = raw[base + 2u * pixel];
            let b = raw[base + 2u * pixel + 1u];
            if SWAP { return vec2<u32>(swap_word(b), swap_word(a)); }
            return vec2<u32>(a, b);
        }
        default: {
            return vec2<u32>(stored(raw[base + holder(pixel, STORED)], pixel, STORED, SWAP), 0u);
        }
    }
}

// Bits of f64 for the magnitude (high, low) with this sign bit, rounded to nearest even.
fn f64_of_magnitude(magnitude: vec2<u32>, sign: u32) -> vec2<u32> {
    if magnitude.x == 0u && magnitude.y == 0u { return vec2<u32>(0u, sign); }
    var shift = countLeadingZeros(magnitude.y);
    var low = magnitude.x;
    var high = magnitude.y;
    if high == 0u {
        shift = 32u + countLeadingZeros(low);
        high = low;
        low = 0u;
    }
    let by = shift % 32u;
    if by > 0u {
        high = (high << by) | (low >> (32u - by));
        low = low << by;
    }
    // 64 digits with the leading 1 on top: 53 stay, 11 are rounded. A carry runs into the exponent as it should.
    var bits_low = (high << 21u) | (low >> 11u);
    var bits_high = ((1023u + 63u - shift) << 20u) + ((high >> 11u) - (1u << 20u));
    let rest = low & 0x7ffu;
    if rest > 0x400u || (rest == 0x400u && (bits_low & 1u) == 1u) {
        bits_low += 1u;
        if bits_low == 0u { bits_high += 1u; }
    }
    return vec2<u32>(bits_low, sign | bits_high);
}

fn f64_of_f32(bits: u32) -> vec2<u32> {
    let sign = bits & SIGN;
    let exponent = (bits >> 23u) & 0xffu;
    let digits = bits & 0x7fffffu;
    if exponent == 0xffu {
        return vec2<u32>(digits << 29u, sign | 0x7ff00000u | (digits >> 3u));
    }
    if exponent == 0u {
        if digits == 0u { return vec2<u32>(0u, sign); }
        // Subnormal: digits * 2^-149.
        let shift = countLeadingZeros(digits) - 8u;
        let normal = (digits << shift) & 0x7fffffu;
        return vec2<u32>(normal << 29u, sign | ((897u - shift) << 20u) | (normal >> 3u));
    }
    return vec2<u32>(digits << 29u, sign | ((exponent + 896u) << 20u) | (digits >> 3u));
}

fn f32_bits(n: vec2<u32>) -> u32 {
    if LOOKUP { return table[n.x]; }
    return f32_bits_of(n.x, STORED, FLIP);
}

fn f64_bits(n: vec2<u32>) -> vec2<u32> {
    if HAS_BLANK && n.x == params.blank_low && n.y == params.blank_high {
        return vec2<u32>(0u, 0x7ff80000u);
    }
    switch STORED {
        case STORED_F64: { return n; }
        case STORED_F32: { return f64_of_f32(n.x); }
        case STORED_I32: {
            // With BZERO = 2^31 the flipped word is the unsigned number.
            if FLIP { return f64_of_magnitude(vec2<u32>(n.x ^ SIGN, 0u), 0u); }
            let negative = (n.x & SIGN) != 0u;
            return f64_of_magnitude(vec2<u32>(select(n.x, ~n.x + 1u, negative), 0u), n.x & SIGN);
        }
        case STORED_U32: { return f64_of_magnitude(vec2<u32>(n.x, 0u), 0u); }
        case STORED_U64: { return f64_of_magnitude(n, 0u); }
        case STORED_I64: {
            if FLIP { return f64_of_magnitude(vec2<u32>(n.x, n.y ^ SIGN), 0u); }
            if (n.y & SIGN) == 0u { return f64_of_magnitude(n, 0u); }
            let low = ~n.x + 1u;
            let high = ~n.y + select(0u, 1u, low == 0u);
            return f64_of_magnitude(vec2<u32>(low, high), SIGN);
        }
        default: { return f64_of_f32(bitcast<u32>(f32(small(n.x, STORED, FLIP)))); }
    }
}

@compute @workgroup_size(64)
fn decode_f32(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.pixels { return; }
    let frame = params.first + id.y;
    values[frame * params.pixels + id.x] = f32_bits(load(frame, id.x));
}

@compute @workgroup_size(64)
fn decode_f64(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.pixels { return; }
    let frame = params.first + id.y;
    let bits = f64_bits(load(frame, id.x));
    let at = 2u * (frame * params.pixels + id.x);
    values[at] = bits.x;
    values[at + 1u] = bits.y;
}

@compute @workgroup_size(64)
fn decode_mask(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.pixels { return; }
    let frame = params.first + id.y;
    values[frame * params.pixels + id.x] = mask_of(load(frame, id.x).x, STORED, FLIP);
}
