// Single samples out of textures, where a texel is one pixel in four frames.

// Frames in texels that are full.
const WHOLE = FRAMES / 4u * 4u;

fn data_at(i: u32) -> Number { return data_four(i / 4u)[i % 4u]; }
fn variance_at(i: u32) -> Number { return variance_four(i / 4u)[i % 4u]; }
fn mask_at(i: u32) -> u32 { return mask_four(i / 4u)[i % 4u]; }

// The first sample of a pixel, and the next after that of a frame.
fn first_of(pixel: u32) -> u32 { return 4u * first_four(pixel); }
fn after(i: u32, frame: u32) -> u32 { return select(i + 1u, 4u * next_four(i / 4u), frame % 4u == 3u); }

// `take` of every sample, frame after frame.
fn each_sample(pixel: u32) {
    var i = first_four(pixel);
    for (var f = 0u; f < WHOLE; f += 4u) {
        let d = data_four(i);
        let v = variance_four(i);
        let m = mask_four(i);
        take(0u, f, d.x, v.x, m.x);
        take(0u, f + 1u, d.y, v.y, m.y);
        take(0u, f + 2u, d.z, v.z, m.z);
        take(0u, f + 3u, d.w, v.w, m.w);
        i = next_four(i);
    }
    if WHOLE == FRAMES { return; }
    let d = data_four(i);
    let v = variance_four(i);
    let m = mask_four(i);
    take(0u, WHOLE, d.x, v.x, m.x);
    if FRAMES > WHOLE + 1u { take(0u, WHOLE + 1u, d.y, v.y, m.y); }
    if FRAMES > WHOLE + 2u { take(0u, WHOLE + 2u, d.z, v.z, m.z); }
}
