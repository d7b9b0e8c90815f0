// Stack: samples of N frames at each pixel to one value with its variance and mask. Rules, sources and tolerance:
// src/kernels/stack/mod.rs; the twin: cpu.rs, order.rs and clip.rs beside it.
//
// One lane is one pixel; it walks down the frames, and neighbouring lanes read neighbouring words. What the method and
// the frames are stands in front of this file as constants. Methods that need no order keep nothing a frame. The others
// keep a column of samples and one bit a sample that says whether it is still in; where they lie is written out for each
// job by src/kernels/stack/wgsl.rs: up to some number of frames in variables v0, v1, ... and sorted by a straight line of
// comparators, so that there is no indexed local array; beyond it in storage, sorted by loops. These functions are:
//   is_in, put_in, none_in      the bit of a sample, and of all that came before
//   grade_all          grades every sample, which stays in the column
//   keep, fill         only samples that are in stay in the column (others are TOP), or are put into it anew
//   sort, at           the column in order, the k-th
//   each_sum, each_square, each_limit, each_equal      visit_... below for every place of the column
//
// Samples are read as Numbers (see the prelude), decoded ones or straight from the bytes of the files; from where, and in what
// order they lie, is said by planes.wgsl or texels_of_pixels.wgsl. What is made of them are Pairs: stack_pair.wgsl, or
// stack_f64.wgsl.
//
// Numbers beyond the ranges below are in no danger of being wrong: their pixels are only marked as odd, and computed anew
// by the host.

// Planes, one after the other: data, variance, then as asked for scatter, ratio, weight.
@group(0) @binding(5) var<storage, read_write> out_reals: array<real>;

const NO_DATA = 16u;
const UNUSABLE = 0xffffffffu;
const ODD = 0x80000000u;
const NOTHING = Pair(wide(0), wide(0));

var<private> best: u32 = UNUSABLE;
var<private> odd: bool = false;

fn count(n: u32) -> wide { return wide(n); }

// ---------------------------------------------------------------- samples

fn over(bits: u32, forbidden: u32) -> u32 {
    return select(0u, 1u, (bits & forbidden) != 0u);
}

// How many levels do not admit all of these bits.
fn level_of(bits: u32) -> u32 {
    if !MASK { return 0u; }
    let low = params.forbidden[0];
    let high = params.forbidden[1];
    var level = over(bits, low.x) + over(bits, low.y) + over(bits, low.z) + over(bits, low.w);
    if LEVELS > 4u { level += over(bits, high.x); }
    if LEVELS > 5u { level += over(bits, high.y) + over(bits, high.z) + over(bits, high.w); }
    return level;
}

// The level of a sample; UNUSABLE where it is not finite.
fn level_at(d: Number, v: Number, bits: u32) -> u32 {
    var level = level_of(bits);
    if NONFINITE {
        level = select(UNUSABLE, level, is_finite(d));
        if VARIANCE { level = select(UNUSABLE, level, is_finite(v)); }
    }
    return level;
}

// Whether the hierarchy takes a sample, once the best level is known.
fn is_best(i: u32) -> bool {
    let level = level_at(data_at(i), variance_at(i), mask_at(i));
    return level == best && level != UNUSABLE;
}

// Whether a sample is left.
fn is_left(i: u32, frame: u32) -> bool {
    if ORDERED { return is_in(i, frame); }
    return is_best(i);
}

// x = s d + z.
fn value_of(d: Number, frame: u32) -> Pair {
    if !SCALED { return exact(real_of(d)); }
    return affine(real_of(d), rows[2u * frame]);
}

fn value_at(i: u32, frame: u32) -> Pair { return value_of(data_at(i), frame); }

// What is ordered and compared: x, rounded.
fn key_of(x: Pair) -> real {
    if !SCALED { return real(x.hi); }
    return real(x.hi + x.lo);
}

fn key_at(i: u32, frame: u32) -> real { return key_of(value_at(i, frame)); }

// w = s^2 v; a variance below zero counts as 0.
fn weight_at(i: u32, frame: u32) -> Pair { return weight_of(variance_at(i), frame); }

fn weight_of(number: Number, frame: u32) -> Pair {
    if !VARIANCE { return NOTHING; }
    let v = max(real_of(number), real(0));
    if !SCALED { return exact(v); }
    return scaled(v, rows[2u * frame + 1u].xy);
}

// ---------------------------------------------------------------- ranges

// Sizes (the bits without the sign; of f64 those of the upper word) of the largest sample and variance.
var<private> largest: u32 = 0u;
var<private> largest_variance: u32 = 0u;
// The same of what scale and zero make of them.
var<private> largest_value: wide = wide(0);
var<private> largest_weight: wide = wide(0);

fn see(d: Number, v: Number, x: Pair, w: Pair, finite: bool) {
    let size = select(0u, size_of(d), finite);
    largest = max(largest, size);
    // What is chosen may be the faintest of all, and a device may take it for 0.
    if CHOOSES { odd = odd || (size != 0u && size < FAINTEST); }
    if SCALED { largest_value = max(largest_value, select(wide(0), abs(x.hi), finite)); }
    if VARIANCE {
        largest_variance = max(largest_variance, select(0u, size_of(v), finite));
        if SCALED { largest_weight = max(largest_weight, select(wide(0), w.hi, finite)); }
    }
}

fn beyond_range(size: u32, least: u32, most: u32) -> bool {
    return size > most || (size != 0u && size < least);
}

fn judge() {
    odd = odd || beyond_range(largest, LEAST, MOST);
    odd = odd || beyond_range(largest_variance, LEAST_VARIANCE, MOST_VARIANCE);
    if SCALED {
        // 0 may be what a device makes of a number that is too small.
        odd = odd || largest_value > MOST_VALUE || (largest_value < LEAST_VALUE && largest != 0u);
        odd = odd || largest_weight > MOST_WEIGHT || (largest_weight < LEAST_WEIGHT && largest_variance != 0u);
    }
}

// A sum of squares of differences, the largest of which is `widest`: too small to be sure of.
fn doubt(sum: Pair, widest: wide) {
    odd = odd || (widest > wide(0) && sum.hi < FAINT_SQUARES);
}

// ---------------------------------------------------------------- the column

// Places in order of the samples that are still in: from lo to before hi.
var<private> lo: u32 = 0u;
var<private> hi: u32 = 0u;
var<private> centre: Pair = NOTHING;
var<private> total: Pair = NOTHING;
var<private> widest: wide = wide(0);
var<private> limit_low: Pair = NOTHING;
var<private> limit_high: Pair = NOTHING;
var<private> below: u32 = 0u;
var<private> above: u32 = 0u;
var<private> first: real = real(0);
var<private> last: real = real(0);

fn inside(k: u32) -> bool { return lo <= k && k < hi; }

fn visit_sum(k: u32, y: real) {
    total = pair_add(total, wide(select(real(0), y, inside(k))));
}

fn visit_square(k: u32, y: real) {
    let is = inside(k);
    let t = apart(select(centre.hi, wide(y), is), centre);
    total = chosen(pair_sum(total, squared(t)), total, is);
    widest = max(widest, select(wide(0), abs(t.hi), is));
}

// A sample on the limit stays, so the limits are wider than that by more than what they lost.
fn visit_limit(k: u32, y: real) {
    let is = inside(k);
    let t = apart(select(centre.hi, wide(y), is), centre);
    if CLIPS_LOW { below += select(0u, 1u, is && (-t.hi - limit_low.hi) + (-t.lo - limit_low.lo) > wide(0)); }
    if CLIPS_HIGH { above += select(0u, 1u, is && (t.hi - limit_high.hi) + (t.lo - limit_high.lo) > wide(0)); }
}

// How many that are equal to the first of the range rank before it, and to its last in it or before.
fn visit_equal(k: u32, y: real) {
    below += select(0u, 1u, k < lo && y == first);
    above += select(0u, 1u, k < hi && y == last);
}

// The median of the range, or the lower of the two middle samples.
fn middle(pixel: u32, lower: bool) -> Pair {
    let n = hi - lo;
    let a = at(pixel, lo + (n - 1u) / 2u);
    if lower || n % 2u == 1u { return exact(a); }
    let b = at(pixel, lo + n / 2u);
    return pair_add(exact(a * real(0.5)), wide(b * real(0.5)));
}

// OR of all masks, with NO_DATA where a sample is not finite.
var<private> all: u32 = 0u;
// Variances below zero.
var<private> negative: u32 = 0u;

// Grades a sample, which is put in if no level before was better. Returns what is ordered of it.
fn grade(i: u32, frame: u32, d: Number, v: Number, m: u32) -> real {
    let level = level_at(d, v, m);
    let finite = level != UNUSABLE;
    all |= m | select(NO_DATA, 0u, finite);
    if level < best { none_in(); }
    best = min(best, level);
    if !STORES { put_in(i, frame, finite && level == best); }
    if VARIANCE { negative += select(0u, 1u, is_below(v)); }
    let x = value_of(d, frame);
    see(d, v, x, weight_of(v, frame), finite);
    return key_of(x);
}

// Puts in all samples that the hierarchy takes.
fn put_best(pixel: u32) {
    var i = first_of(pixel);
    for (var f = 0u; f < FRAMES; f++) {
        put_in(i, f, is_best(i));
        i = after(i, f);
    }
}

// ---------------------------------------------------------------- rejection

// The table behind those of the frames.
fn clip_row() -> vec4<real> { return rows[2u * FRAMES]; }
fn row_of(n: u32) -> vec4<real> { return rows[2u * FRAMES + 1u + n]; }

fn widened(x: Pair) -> Pair { return Pair(x.hi, x.lo + x.hi * SLACK); }

// Rule 3, sigclip: narrows the range.
fn sigclip(pixel: u32) {
    let all = hi;
    let low = given(clip_row().xy);
    let high = given(clip_row().zw);
    for (var round = 0u; round < PASSES; round++) {
        let n = count(hi - lo);
        if MCLIP {
            centre = middle(pixel, false);
        } else {
            total = NOTHING;
            each_sum(pixel);
            centre = settled(pair_div(total, n));
        }
        total = NOTHING;
        widest = wide(0);
        each_square(pixel);
        doubt(total, widest);
        let variance = settled(pair_div(total, n));
        limit_low = widened(root(times(variance, low)));
        limit_high = widened(root(times(variance, high)));
        below = 0u;
        above = 0u;
        each_limit(pixel);
        if below + above == 0u { break; }
        lo += below;
        hi -= above;
        if lo >= hi { break; }
    }
    if lo >= hi {
        lo = 0u;
        hi = all;
    }
}

// Rule 3, minmax: narrows the range.
fn minmax() {
    let n = hi;
    let row = row_of(n);
    let low = u32(row.z);
    let high = u32(row.w);
    if low + high < n {
        lo = low;
        hi = n - high;
    }
}

// What `stays` goes by.
fn narrow(pixel: u32) {
    first = at(pixel, lo);
    last = at(pixel, hi - 1u);
    below = 0u;
    above = 0u;
    if REJECT == MINMAX { each_equal(pixel); }
}

// Of samples that were equal to the first and to the last of the range, how many came already.
var<private> firsts: u32 = 0u;
var<private> lasts: u32 = 0u;

// Whether a sample that is in stays, since it is in the range. Equal ones rank in the order of their frames, in which this
// is asked; a clipping takes out all of them or none.
fn stays(y: real, used: bool) -> bool {
    if REJECT == SIGCLIP { return used && y >= first && y <= last; }
    let at_first = used && y == first;
    let at_last = used && y == last;
    let is = (y > first || (at_first && firsts >= below)) && (y < last || (at_last && lasts < above));
    firsts += select(0u, 1u, at_first);
    lasts += select(0u, 1u, at_last);
    return used && is;
}

// t^2 > limit; the limit is wider than it is by more than what it lost.
fn is_beyond(square: Pair, limit: Pair) -> bool {
    let l = widened(limit);
    return (square.hi - l.hi) + (square.lo - l.lo) > wide(0);
}

// One pass of rule 3, varclip, about the centre: takes samples out; `below` and `above` count them. Returns how many are
// left, and whether any went.
fn varclip(pixel: u32) -> vec2<u32> {
    let low = given(clip_row().xy);
    let high = given(clip_row().zw);
    var left = 0u;
    var changed = 0u;
    var i = first_of(pixel);
    for (var f = 0u; f < FRAMES; f++) {
        let used = is_in(i, f);
        let t = apart(wide(key_at(i, f)), centre);
        let square = settled(squared(t));
        let w = weight_at(i, f);
        odd = odd || (used && t.hi != wide(0) && square.hi < FAINT_SQUARES);
        var is_low = false;
        var is_high = false;
        if CLIPS_LOW {
            is_low = used && t.hi < wide(0) && is_beyond(square, times(w, low));
        }
        if CLIPS_HIGH {
            is_high = used && t.hi > wide(0) && is_beyond(square, times(w, high));
        }
        let out = is_low || is_high;
        below += select(0u, 1u, is_low);
        above += select(0u, 1u, is_high);
        left += select(0u, 1u, used && !out);
        changed += select(0u, 1u, out);
        put_in(i, f, used && !out);
        i = after(i, f);
    }
    return vec2<u32>(left, changed);
}

// Puts the samples in order and takes out those that are rejected. Returns how many are, below and above.
fn reject(pixel: u32) -> vec2<u32> {
    var rejected = vec2<u32>(0u, 0u);
    var round = 0u;
    if STORES { put_best(pixel); }
    hi = keep(pixel);
    // What is out of order by varclip is put in order anew, also for a median of what is left.
    loop {
        lo = 0u;
        sort(pixel);
        if REJECT != VARCLIP || hi == 0u || round >= PASSES { break; }
        round += 1u;
        if MCLIP {
            centre = middle(pixel, false);
        } else {
            total = NOTHING;
            each_sum(pixel);
            centre = settled(pair_div(total, count(hi)));
        }
        below = rejected.x;
        above = rejected.y;
        let went = varclip(pixel);
        rejected = vec2<u32>(below, above);
        if went.y == 0u { break; }
        if went.x == 0u {
            put_best(pixel);
            rejected = vec2<u32>(0u, 0u);
            round = PASSES;
        }
        hi = fill(pixel);
    }
    let n = hi;
    if n == 0u { return rejected; }
    if REJECT == SIGCLIP { sigclip(pixel); }
    if REJECT == MINMAX { minmax(); }
    if REJECT == SIGCLIP || REJECT == MINMAX {
        narrow(pixel);
        rejected = vec2<u32>(lo, n - hi);
    }
    return rejected;
}

// ---------------------------------------------------------------- the whole

// The weight of a sample by that of the one with the smallest variance; where that is 0, only those with 0 have one.
fn weight(w: Pair, least: wide) -> wide {
    let certain = select(wide(0), wide(1), w.hi <= wide(0));
    if least <= wide(0) { return certain; }
    return pair_div(Pair(least, wide(0)), max(w.hi, least)).hi;
}

fn put(plane: u32, pixel: u32, x: wide) {
    out_reals[plane * params.pixels + pixel] = real(x);
}

// What the samples that are left come to, and their masks; how many there are.
var<private> sum: Pair = NOTHING;
var<private> sum2: Pair = NOTHING;
var<private> bits: u32 = 0u;
var<private> good: u32 = 0u;
// The least or the largest, with its variance and its frame.
var<private> choice: real = real(0);
var<private> of_choice: wide = wide(0);
var<private> frame_of_choice: u32 = 0u;
// The least variance.
var<private> least: wide = wide(0);

// Takes a sample in if it is left. Without an order it is graded here too: one of a better level than all before starts the
// sums anew.
fn take(i: u32, f: u32, d: Number, v: Number, m: u32) {
    var used = false;
    var better = false;
    let x = value_of(d, f);
    let w = weight_of(v, f);
    if ORDERED {
        used = is_in(i, f);
        if REJECT == SIGCLIP || REJECT == MINMAX {
            used = stays(key_of(x), used);
            put_in(i, f, used);
        }
    } else {
        let level = level_at(d, v, m);
        let finite = level != UNUSABLE;
        all |= m | select(NO_DATA, 0u, finite);
        better = level < best;
        best = min(best, level);
        used = finite && level == best;
        if VARIANCE { negative += select(0u, 1u, is_below(v)); }
        see(d, v, x, w, finite);
    }
    bits = select(bits, 0u, better);
    bits |= select(0u, m, used);
    good = select(good, 0u, better);
    let is_first = good == 0u;
    good += select(0u, 1u, used);
    if SUMS {
        let before = chosen(NOTHING, sum, better);
        sum = chosen(pair_sum(before, x), before, used);
    }
    if SUMS_VARIANCES {
        let before = chosen(NOTHING, sum2, better);
        sum2 = chosen(pair_sum(before, w), before, used);
    }
    if EXTREME {
        // The first that is better, so of equals the first frame's.
        let y = key_of(x);
        let beats = select(y > choice, y < choice, COMBINE == MIN);
        let takes = used && (is_first || beats);
        choice = select(choice, y, takes);
        of_choice = select(of_choice, w.hi + w.lo, takes);
        frame_of_choice = select(frame_of_choice, f, takes);
    }
    if WEIGHTED {
        let takes = used && (is_first || w.hi < least);
        least = select(least, w.hi, takes);
    }
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let pixel = id.x;
    if pixel >= params.pixels { return; }

    var rejected = vec2<u32>(0u, 0u);
    if ORDERED {
        grade_all(pixel);
        judge();
        // What is odd would be in vain.
        if !odd { rejected = reject(pixel); }
    }

    // One pass over all samples that are left.
    each_sample(pixel);
    var i = first_of(pixel);
    if !ORDERED { judge(); }
    if good == 0u || odd {
        // Of samples that the hierarchy takes some are left.
        odd = odd || (STORES && best != UNUSABLE);
        let info = negative | select(0u, ODD, odd);
        put(0u, pixel, wide(0));
        put(1u, pixel, wide(0));
        if BOTH { put(2u, pixel, wide(0)); }
        if RATIO { put(RATIO_PLANE, pixel, wide(-1)); }
        if WEIGHTS { put(WEIGHT_PLANE, pixel, wide(0)); }
        out_info[pixel] = vec4<u32>(all, 0u, info, 0u);
        return;
    }
    let n = count(good);

    // The mean, by weights if there are any: the scatter is about it.
    var value = NOTHING;
    if SUMS { value = pair_div(sum, n); }
    var weights = NOTHING;
    var heavy = n;
    if WEIGHTED {
        heavy = wide(0);
        sum = NOTHING;
        i = first_of(pixel);
        for (var f = 0u; f < FRAMES; f++) {
            let used = is_left(i, f);
            let x = value_at(i, f);
            let w = weight_at(i, f);
            let by = weight(w, least);
            weights = chosen(pair_add(weights, by), weights, used);
            sum = chosen(pair_sum(sum, by_wide(x, by)), sum, used);
            heavy += select(wide(0), wide(1), used && (least > wide(0) || w.hi <= wide(0)));
            i = after(i, f);
        }
        weights = settled(weights);
        value = pair_over(settled(sum), weights);
    }
    var squares = NOTHING;
    var of_squares = NOTHING;
    if SCATTERS || COMBINE == STD {
        var furthest = wide(0);
        i = first_of(pixel);
        for (var f = 0u; f < FRAMES; f++) {
            let used = is_left(i, f);
            let x = value_at(i, f);
            if COMBINE == STD {
                let t = settled(minus(x, value));
                let square = settled(squared(t));
                furthest = max(furthest, select(wide(0), abs(t.hi), used));
                squares = chosen(pair_sum(squares, square), squares, used);
                if PROPAGATES {
                    of_squares = chosen(pair_sum(of_squares, times(square, weight_at(i, f))), of_squares, used);
                }
            } else {
                let t = (x.hi - value.hi) + (x.lo - value.lo);
                var square = t * t;
                if WEIGHTED { square *= weight(weight_at(i, f), least); }
                furthest = max(furthest, select(wide(0), abs(t), used));
                squares = chosen(pair_add(squares, square), squares, used);
            }
            i = after(i, f);
        }
        doubt(squares, furthest);
        if COMBINE == STD && PROPAGATES { doubt(of_squares, furthest * select(wide(0), wide(1), largest_variance != 0u)); }
    }
    squares = settled(squares);
    let mean = value;

    var propagated = NOTHING;
    var scatter = NOTHING;
    var factor = Pair(wide(1), wide(0));
    if MIDDLE {
        factor = given(row_of(good).xy);
    }
    let several = good > 1u;
    if EXTREME {
        value = exact(choice);
        propagated = Pair(of_choice, wide(0));
        if several { scatter = pair_div(squares, n - wide(1)); }
    } else if COMBINE == SUM {
        value = sum;
        propagated = sum2;
        if several { scatter = times(pair_div(squares, n - wide(1)), Pair(n, wide(0))); }
    } else if COMBINE == STD {
        value = root(settled(pair_div(squares, n)));
        if squares.hi > wide(0) { propagated = pair_over(settled(pair_div(of_squares, n)), squares); }
        if several { scatter = pair_div(pair_div(squares, wide(2) * n), n - wide(1)); }
    } else if WEIGHTED {
        if least > wide(0) { propagated = pair_over(Pair(least, wide(0)), weights); }
        if heavy > wide(1) { scatter = pair_over(settled(pair_div(squares, heavy - wide(1))), weights); }
    } else {
        if MIDDLE { value = middle(pixel, COMBINE == LMEDIAN); }
        propagated = pair_div(pair_div(sum2, n), n);
        if several { scatter = pair_div(pair_div(squares, n), n - wide(1)); }
        if MIDDLE {
            propagated = times(settled(propagated), factor);
            scatter = times(settled(scatter), factor);
        }
    }
    if RATIO {
        // Below zero for one that is not known.
        var ratio = wide(-1);
        if several && propagated.hi > wide(0) { ratio = pair_over(settled(scatter), settled(propagated)).hi; }
        put(RATIO_PLANE, pixel, ratio);
    }
    if SHARED > 0u {
        // The error that the frames have in common, for each variable.
        var divisor = n;
        if COMBINE == SUM || EXTREME { divisor = wide(1); }
        if WEIGHTED { divisor = weights.hi; }
        if COMBINE == STD { divisor = n * value.hi; }
        var in_common = wide(0);
        for (var v = 0u; v < SHARED; v++) {
            var shift = NOTHING;
            i = first_of(pixel);
            for (var f = 0u; f < FRAMES; f++) {
                var used = is_left(i, f);
                if EXTREME { used = f == frame_of_choice; }
                // In pairs: deviations times what is about the same in all frames cancel.
                var by = Pair(wide(1), wide(0));
                if SCALED { by = given(rows[2u * f].xy); }
                if WEIGHTED { by = times(by, Pair(weight(weight_at(i, f), least), wide(0))); }
                if COMBINE == STD {
                    let x = value_at(i, f);
                    by = times(by, settled(minus(x, mean)));
                }
                let a = exact(shared_at((f * SHARED + v) * params.pixels + pixel));
                shift = chosen(pair_sum(shift, times(a, by)), shift, used);
                i = after(i, f);
            }
            var share = wide(0);
            if divisor > wide(0) { share = (shift.hi + shift.lo) / divisor; }
            in_common += share * share;
        }
        propagated = pair_add(propagated, in_common);
        scatter = pair_add(scatter, in_common);
    }
    if STORES {
        // Some drivers end loops after so many turns (llvmpipe after 65,535 in all): then this one ends early too.
        var again = 0u;
        i = first_of(pixel);
        for (var f = 0u; f < FRAMES; f++) {
            again += select(0u, 1u, is_in(i, f));
            i = after(i, f);
        }
        odd = odd || again != good;
    }
    put(0u, pixel, value.hi + value.lo);
    if PROPAGATES {
        put(1u, pixel, propagated.hi + propagated.lo);
    } else {
        put(1u, pixel, scatter.hi + scatter.lo);
    }
    if BOTH { put(2u, pixel, scatter.hi + scatter.lo); }
    if WEIGHTS {
        // Below zero for one that is infinite.
        var all_weights = wide(-1);
        if least > wide(0) { all_weights = pair_div(weights, least).hi; }
        put(WEIGHT_PLANE, pixel, all_weights);
    }
    out_info[pixel] = vec4<u32>(bits, good, negative | select(0u, ODD, odd), rejected.x | (rejected.y << 16u));
}
