// Numbers of planes.wgsl as f32.

fn data_at(i: u32) -> Number {
    return f32_bits_of(stored(data_bits[holder(i, DATA_STORED)], i, DATA_STORED, DATA_SWAP), DATA_STORED, DATA_FLIP);
}

fn variance_at(i: u32) -> Number {
    if !VARIANCE { return 0u; }
    return f32_bits_of(
        stored(variance_bits[holder(i, VARIANCE_STORED)], i, VARIANCE_STORED, VARIANCE_SWAP), VARIANCE_STORED, VARIANCE_FLIP);
}
