// Numbers of planes.wgsl as f64. The same planes are bound twice: as f64, and as words.

@group(0) @binding(8) var<storage, read> data: array<f64>;
@group(0) @binding(9) var<storage, read> variance: array<f64>;

fn data_at(i: u32) -> Number { return Number(data[i], data_bits[2u * i], data_bits[2u * i + 1u]); }

fn variance_at(i: u32) -> Number {
    if !VARIANCE { return Number(real(0), 0u, 0u); }
    return Number(variance[i], variance_bits[2u * i], variance_bits[2u * i + 1u]);
}
