// Expr: which pixels of a result are not ordinary, one bit a pixel.

@group(0) @binding(8) var<storage, read_write> out_odd: array<u32>;
var<workgroup> odd_lanes: array<atomic<u32>, 2>;

// All lanes of a workgroup, also those without a pixel.
fn mark(lane: u32, group: u32) {
    if odd { atomicOr(&odd_lanes[lane / 32u], 1u << (lane % 32u)); }
    workgroupBarrier();
    if lane < 2u { out_odd[2u * group + lane] = atomicLoad(&odd_lanes[lane]); }
}

