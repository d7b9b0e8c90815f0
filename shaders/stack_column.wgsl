// Stack: the column of a pixel in storage, a plane a place, where there are too many frames for variables. A lane works on
// its own column alone, and neighbouring lanes on neighbouring words.

@group(0) @binding(7) var<storage, read_write> keys: array<real>;
// One bit a sample: whether it is still in.
@group(0) @binding(10) var<storage, read_write> ins: array<u32>;

fn word_of(i: u32, frame: u32) -> u32 {
    return (frame / 32u) * params.pixels + i % params.pixels;
}

fn is_in(i: u32, frame: u32) -> bool {
    return ((ins[word_of(i, frame)] >> (frame % 32u)) & 1u) == 1u;
}

fn put_in(i: u32, frame: u32, is: bool) {
    let at = word_of(i, frame);
    let bit = frame % 32u;
    ins[at] = (ins[at] & ~(1u << bit)) | (select(0u, 1u, is) << bit);
}

// What is in is known once all are graded.
fn none_in() {}

fn grade_all(pixel: u32) {
    var i = pixel;
    for (var f = 0u; f < FRAMES; f++) {
        keys[i] = grade(i, f, data_at(i), variance_at(i), mask_at(i));
        i += params.pixels;
    }
}

fn keep(pixel: u32) -> u32 {
    var n = 0u;
    var i = pixel;
    for (var f = 0u; f < FRAMES; f++) {
        let is = is_in(i, f);
        keys[i] = select(TOP, keys[i], is);
        n += select(0u, 1u, is);
        i += params.pixels;
    }
    return n;
}

fn fill(pixel: u32) -> u32 {
    var i = pixel;
    for (var f = 0u; f < FRAMES; f++) {
        keys[i] = key_at(i, f);
        i += params.pixels;
    }
    return keep(pixel);
}

fn compare(pixel: u32, i: u32, d: u32) {
    if i + d >= FRAMES { return; }
    let a = pixel + i * params.pixels;
    let b = a + d * params.pixels;
    let x = keys[a];
    let y = keys[b];
    keys[a] = min(x, y);
    keys[b] = max(x, y);
}

// The j-th place whose bit p is that of r.
fn place(j: u32, p: u32, r: u32) -> u32 {
    return 2u * (j & ~(p - 1u)) + (j & (p - 1u)) + r;
}

// The rounds of src/kernels/stack/network.rs; eight comparisons at a time, which touch no sample twice.
fn sort(pixel: u32) {
    let n = FRAMES;
    if n < 2u { return; }
    let top = 1u << (31u - countLeadingZeros(n - 1u));
    for (var p = top; p > 0u; p /= 2u) {
        var q = top;
        var r = 0u;
        var d = p;
        loop {
            for (var j = 0u; place(j, p, r) + d < n; j += 8u) {
                compare(pixel, place(j, p, r), d);
                compare(pixel, place(j + 1u, p, r), d);
                compare(pixel, place(j + 2u, p, r), d);
                compare(pixel, place(j + 3u, p, r), d);
                compare(pixel, place(j + 4u, p, r), d);
                compare(pixel, place(j + 5u, p, r), d);
                compare(pixel, place(j + 6u, p, r), d);
                compare(pixel, place(j + 7u, p, r), d);
            }
            if q == p { break; }
            d = q - p;
            q /= 2u;
            r = p;
        }
    }
}

fn at(pixel: u32, k: u32) -> real { return keys[pixel + min(k, FRAMES - 1u) * params.pixels]; }

fn each_sum(pixel: u32) {
    for (var k = lo; k < hi; k++) { visit_sum(k, at(pixel, k)); }
}

fn each_square(pixel: u32) {
    for (var k = lo; k < hi; k++) { visit_square(k, at(pixel, k)); }
}

fn each_limit(pixel: u32) {
    for (var k = lo; k < hi; k++) { visit_limit(k, at(pixel, k)); }
}

fn each_equal(pixel: u32) {
    for (var k = 0u; k < hi; k++) { visit_equal(k, at(pixel, k)); }
}
