//! The device's half, written out for one job: the constants that `shaders/stack.wgsl` goes by, and where the column of a
//! pixel lies.
//!
//! Up to [`STRAIGHT`] frames the column is in as many variables, and everything that goes over it is a straight line: the
//! comparators of the network, the sums, the choice of a place. Nothing is indexed, so nothing spills. Beyond, it is in
//! storage, a plane a place, and the same is done by loops.

use std::fmt::Write as _;

use super::network::network;
use super::{Combine, Keep, Method, Reject, Stack};
use crate::dtype::DType;
use crate::kernels::decode::Constants;
use crate::kernels::{Kernel, prelude};
use crate::real::Real;

/// Most frames whose column is written out: longer lines take a driver's compiler longer than they save.
pub(crate) const STRAIGHT: usize = 32;

/// What the frames have, and what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Has {
    pub frames: usize,
    pub variance: bool,
    pub mask: bool,
    /// Some frame has a scale or a zero.
    pub scaled: bool,
    /// A sample can be non-finite.
    pub nonfinite: bool,
    /// Scatter beside the propagated variance.
    pub both: bool,
    /// Their ratio.
    pub ratio: bool,
    /// Sums of weights, of a weighted mean.
    pub weights: bool,
    /// Variables that frames share: each frame has a plane for each, variable after variable.
    pub shared: usize,
    /// Levels of the DQ hierarchy that are there.
    pub levels: usize,
    /// Words of 64 bits are read where four pixels are.
    pub long: bool,
    /// Samples that were in variables are still there: reading them again costs more than variables do.
    pub held: bool,
    /// Pixels whose samples of all frames lie together; 0 where the samples of a frame do.
    pub block: usize,
}

/// Pixels of a block, where samples lie in blocks: as many as a software adapter works on at once. It goes down the frames
/// for these before it goes on, and from 60 places in turn no processor fetches ahead.
const BLOCK: usize = 32;

/// In what blocks a kernel reads samples from memory that the host shares with it; 0 for frame after frame.
pub(crate) fn block<T: Real>(method: &Method, has: &Has) -> usize {
    if is_plain::<T>(method, has) { BLOCK } else { 0 }
}

/// What lies in the planes that the shader reads: decoded samples, or the bytes of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Raw {
    pub data: Constants,
    pub variance: Constants,
    pub mask: Constants,
}

impl Raw {
    pub(crate) const DECODED: Raw =
        Raw { data: Constants::VALUES, variance: Constants::VALUES, mask: Constants::MASKS };
}

impl Has {
    /// Whether the column of a pixel and the bits of its samples are in storage.
    pub(crate) fn stores(&self, method: &Method) -> bool {
        method.sorts() && self.frames > STRAIGHT
    }

    /// Planes of reals that come out.
    pub(crate) fn reals(&self) -> usize {
        2 + usize::from(self.both) + usize::from(self.ratio) + usize::from(self.weights)
    }
}

/// The ends of what is computed on the device, as powers of two; pixels beyond are computed by the host.
struct Ends {
    /// Of samples, and of their variances.
    values: (i32, i32),
    variances: (i32, i32),
    /// Least sum of squares.
    squares: i32,
    slack: i32,
}

fn ends(wide: bool, squares: bool, fourth: bool) -> Ends {
    let (largest, smallest) = if wide { (900, -900) } else { (100, -100) };
    // Squares are split into halves: they must stay well below the largest number, and sums of them too.
    let of_squares = if wide { 400 } else { 50 };
    let of_fourth = if wide { 280 } else { 36 };
    let most = if fourth {
        of_fourth
    } else if squares {
        of_squares
    } else {
        largest
    };
    let least = if wide { -800 } else { -80 };
    Ends {
        values: (smallest, most),
        variances: (if squares { least } else { smallest }, most),
        squares: least,
        slack: if wide { -90 } else { -40 },
    }
}

/// Why the device cannot do this method, if it cannot.
pub(crate) fn unfit(method: &Method) -> Option<&'static str> {
    let beyond = |sigma: f64| sigma.is_finite() && sigma > MOST_SIGMA;
    if method.combine.is_special() {
        return Some("this combination is the CPU's alone");
    }
    if method.grow > 0.0 {
        return Some("rejections that grow are the CPU's alone");
    }
    if method.uneven {
        return Some("frames that do not count alike are the CPU's alone");
    }
    match method.reject {
        Reject::VarClip(clip) if beyond(clip.lsigma) || beyond(clip.hsigma) => Some("a limit is beyond its numbers"),
        Reject::None | Reject::MinMax { .. } | Reject::SigClip(_) | Reject::VarClip(_)
            if method.keep == Keep::default() =>
        {
            None
        }
        Reject::MadClip(_) => Some("deviations from the median are ranked on the CPU only"),
        _ => Some("this rejection is the CPU's alone"),
    }
}

/// Its square times a variance must be a number.
const MOST_SIGMA: f64 = 1e9;

/// Whether the shader is the one for what is plain: four pixels a lane.
fn is_plain<T: Real>(method: &Method, has: &Has) -> bool {
    T::DTYPE == DType::F32 && method.is_plain() && has.variance && has.mask && has.shared == 0 && has.reals() == 2
}

/// Pixels of a lane.
pub(crate) fn pixels_of_lane<T: Real>(method: &Method, has: &Has) -> usize {
    if is_plain::<T>(method, has) { 4 } else { 1 }
}

/// The shader of a method.
pub(crate) fn source<T: Real>(method: &Method, has: &Has, raw: &Raw) -> String {
    let wide = T::DTYPE == DType::F64;
    let combine = match method.combine {
        Combine::WtMean if !has.variance => Combine::Mean,
        combine => combine,
    };
    let propagates = method.errors.propagates() && has.variance;
    let scatters = method.errors.scatters();
    let (median, extreme) = (combine.is_median(), combine.is_extreme());
    let weighted = combine == Combine::WtMean;
    let clip = match method.reject {
        Reject::SigClip(clip) | Reject::VarClip(clip) => Some(clip),
        _ => None,
    };
    // No sample of n is farther off than sqrt(n) of their own standard deviations.
    let by_spread = matches!(method.reject, Reject::SigClip(_));
    let clips = |sigma: f64| sigma.is_finite() && !(by_spread && sigma * sigma >= has.frames as f64 * 1.01);
    let fourth = combine == Combine::Std && propagates;
    let squares = clip.is_some() || scatters || weighted || combine == Combine::Std;
    let ends = ends(wide, squares, fourth);
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = out.write_fmt(text);
        out.push('\n');
    };
    let sums = matches!(combine, Combine::Mean | Combine::Sum | Combine::Std) || ((extreme || median) && scatters);
    let flags = [
        ("MASK", has.mask),
        ("NONFINITE", has.nonfinite),
        ("VARIANCE", has.variance),
        ("SCALED", has.scaled),
        ("ORDERED", method.sorts()),
        ("MCLIP", clip.is_none_or(|c| c.mclip)),
        ("CLIPS_LOW", clip.is_some_and(|c| clips(c.lsigma))),
        ("CLIPS_HIGH", clip.is_some_and(|c| clips(c.hsigma))),
        ("CHOOSES", method.sorts() || extreme),
        ("SUMS", sums),
        ("SUMS_VARIANCES", propagates && (median || matches!(combine, Combine::Mean | Combine::Sum))),
        ("EXTREME", extreme),
        ("MIDDLE", median),
        ("WEIGHTED", weighted),
        ("SCATTERS", scatters),
        ("PROPAGATES", propagates),
        ("STORES", has.stores(method)),
        ("BOTH", has.both),
        ("RATIO", has.ratio),
        ("WEIGHTS", has.weights),
    ];
    for (name, on) in flags {
        line(format_args!("const {name}: bool = {on};"));
    }
    let names = ["MEAN", "WTMEAN", "MEDIAN", "LMEDIAN", "SUM", "MIN", "MAX", "STD"];
    let place = Combine::COMMON.iter().position(|c| *c == combine).unwrap_or_default();
    for (i, name) in names.into_iter().enumerate() {
        line(format_args!("const {name}: u32 = {i}u;"));
    }
    line(format_args!("const COMBINE: u32 = {place}u;"));
    for (i, name) in ["NONE", "MINMAX", "SIGCLIP", "VARCLIP"].into_iter().enumerate() {
        line(format_args!("const {name}: u32 = {i}u;"));
    }
    let place = match method.reject {
        Reject::None => 0,
        Reject::MinMax { .. } => 1,
        Reject::SigClip(_) => 2,
        Reject::VarClip(_) => 3,
        // Not for a device: `unfit` says so.
        _ => 4,
    };
    line(format_args!("const REJECT: u32 = {place}u;"));
    line(format_args!("const RATIO_PLANE: u32 = {}u;", 2 + usize::from(has.both)));
    // Constants, not parameters: a software driver would write the whole shader anew for each value of a parameter that a
    // loop ends by, tile after tile.
    line(format_args!("const FRAMES: u32 = {}u;", has.frames));
    line(format_args!("const PASSES: u32 = {}u;", clip.map_or(0, |c| c.passes())));
    line(format_args!("const LEVELS: u32 = {}u;", has.levels));
    line(format_args!("const BLOCK: u32 = {}u;", has.block));
    for (name, Constants { stored, swap, flip, .. }) in
        [("DATA", raw.data), ("VARIANCE", raw.variance), ("MASK", raw.mask)]
    {
        line(format_args!("const {name}_STORED: u32 = {}u;", stored as u32));
        line(format_args!("const {name}_SWAP: bool = {swap};"));
        line(format_args!("const {name}_FLIP: bool = {flip};"));
    }
    line(format_args!("const SHARED: u32 = {}u;", has.shared));
    line(format_args!("const WEIGHT_PLANE: u32 = {}u;", has.reals() - 1));
    let suffix = if wide { "lf" } else { "f" };
    let power = |e: i32| format!("{:e}{suffix}", 2f64.powi(e));
    let bits = |e: i32| if wide { ((e + 1023) as u32) << 20 } else { ((e + 127) as u32) << 23 };
    line(format_args!("const FAINTEST: u32 = {}u;", if wide { 1 << 20 } else { 1 << 23 }));
    for (name, (least, most)) in [("", ends.values), ("_VARIANCE", ends.variances)] {
        line(format_args!("const LEAST{name}: u32 = {}u;", bits(least)));
        line(format_args!("const MOST{name}: u32 = {}u;", bits(most)));
    }
    for (name, (least, most)) in [("VALUE", ends.values), ("WEIGHT", ends.variances)] {
        line(format_args!("const LEAST_{name}: real = {};", power(least)));
        line(format_args!("const MOST_{name}: real = {};", power(most)));
    }
    line(format_args!("const FAINT_SQUARES: real = {};", power(ends.squares)));
    line(format_args!("const SLACK: real = {};", power(ends.slack)));
    let top = if wide { format!("{:e}lf", f64::MAX) } else { format!("{:e}f", f64::from(f32::MAX)) };
    line(format_args!("const TOP: real = {top};"));
    if is_plain::<T>(method, has) {
        out.push_str(include_str!("../../../shaders/stored.wgsl"));
        out.push_str("alias real = f32;\n");
        out.push_str(include_str!("../../../shaders/stack_job.wgsl"));
        quads(raw, has.long, &mut out);
        out.push_str(include_str!("../../../shaders/stack_plain.wgsl"));
        return out;
    }
    out.push_str(&prelude::<T>());
    out.push_str(Stack::<T>::WGSL);
    if has.shared > 0 {
        let real = if wide { "f64" } else { "f32" };
        let _ = writeln!(out, "@group(0) @binding(11) var<storage, read> shared_planes: array<{real}>;");
        out.push_str("fn shared_at(i: u32) -> real { return shared_planes[i]; }\n");
    } else {
        out.push_str("fn shared_at(i: u32) -> real { return real(0); }\n");
    }
    let straight_line = method.sorts() && !has.stores(method);
    if straight_line {
        straight(has.frames, &mut out);
    } else if method.sorts() {
        out.push_str(include_str!("../../../shaders/stack_column.wgsl"));
    } else {
        // Called by nothing that runs.
        out.push_str(NO_COLUMN);
    }
    each_sample(if straight_line && has.held { has.frames } else { 0 }, &mut out);
    out
}

const NO_COLUMN: &str = "
fn is_in(i: u32, frame: u32) -> bool { return false; }
fn put_in(i: u32, frame: u32, is: bool) {}
fn none_in() {}
fn grade_all(pixel: u32) {}
fn keep(pixel: u32) -> u32 { return 0u; }
fn fill(pixel: u32) -> u32 { return 0u; }
fn sort(pixel: u32) {}
fn at(pixel: u32, k: u32) -> real { return real(0); }
fn each_sum(pixel: u32) {}
fn each_square(pixel: u32) {}
fn each_limit(pixel: u32) {}
fn each_equal(pixel: u32) {}
";

/// Four numbers of a plane at once, from as many words as they take.
fn quads(raw: &Raw, long: bool, out: &mut String) {
    let planes = [("data", raw.data, "f32_bits"), ("variance", raw.variance, "f32_bits"), ("mask", raw.mask, "masks")];
    let (two, four) = if long { ("u64", "vec2<u64>") } else { ("vec2<u32>", "vec4<u32>") };
    out.push_str(if long {
        "fn two(w: u64) -> vec2<u32> { return vec2<u32>(u32(w), u32(w >> 32u)); }\n\
         fn four(w: vec2<u64>) -> vec4<u32> { return vec4<u32>(u32(w.x), u32(w.x >> 32u), u32(w.y), u32(w.y >> 32u)); }\n"
    } else {
        "fn two(w: vec2<u32>) -> vec2<u32> { return w; }\nfn four(w: vec4<u32>) -> vec4<u32> { return w; }\n"
    });
    for (k, (name, constants, convert)) in planes.into_iter().enumerate() {
        let (words, numbers) = match (constants.stored.size(), constants.swap) {
            (1, _) => ("u32", "quarters(WORDS)"),
            (2, false) => (two, "halves(two(WORDS), false)"),
            (2, true) => (two, "halves(two(WORDS), true)"),
            (_, false) => (four, "four(WORDS)"),
            (_, true) => (four, "swap_words(four(WORDS))"),
        };
        let upper = name.to_uppercase();
        let numbers = numbers.replace("WORDS", &format!("{name}_words[i]"));
        let _ = writeln!(out, "@group(0) @binding({}) var<storage, read> {name}_words: array<{words}>;", k + 1);
        let _ = writeln!(
            out,
            "fn {name}_quad(i: u32) -> vec4<u32> {{ return {convert}({numbers}, {upper}_STORED, {upper}_FLIP); }}"
        );
    }
}

/// The pass over all samples: so many one after the other, or a loop.
fn each_sample(straight: usize, out: &mut String) {
    let mut line = |text: std::fmt::Arguments<'_>| {
        let _ = out.write_fmt(text);
        out.push('\n');
    };
    let numbers = "data_at(i), variance_at(i), mask_at(i)";
    line(format_args!("fn each_sample(pixel: u32) {{"));
    for k in 0..straight {
        // As `grade_all` has it, so that a compiler sees that it is the same.
        let numbers = numbers.replace("(i)", &format!("(pixel + {k}u * params.pixels)"));
        line(format_args!("    take(pixel + {k}u * params.pixels, {k}u, {numbers});"));
    }
    if straight == 0 {
        line(format_args!("    var i = pixel;"));
        line(format_args!("    for (var f = 0u; f < FRAMES; f++) {{"));
        line(format_args!("        take(i, f, {numbers});"));
        line(format_args!("        i += params.pixels;"));
        line(format_args!("    }}"));
    }
    line(format_args!("}}"));
}

/// The column in variables.
fn straight(n: usize, out: &mut String) {
    let mut line = |text: std::fmt::Arguments<'_>| {
        let _ = out.write_fmt(text);
        out.push('\n');
    };
    for k in 0..n {
        line(format_args!("var<private> v{k}: real = real(0);"));
    }
    line(format_args!("var<private> bits_in: u32 = 0u;"));
    line(format_args!("fn is_in(i: u32, frame: u32) -> bool {{ return ((bits_in >> frame) & 1u) == 1u; }}"));
    line(format_args!("fn put_in(i: u32, frame: u32, is: bool) {{"));
    line(format_args!("    bits_in = (bits_in & ~(1u << frame)) | (select(0u, 1u, is) << frame);"));
    line(format_args!("}}"));
    line(format_args!("fn none_in() {{ bits_in = 0u; }}"));
    for (name, read) in [("grade_all", "grade"), ("refill", "key_at")] {
        line(format_args!("fn {name}(pixel: u32) {{"));
        for k in 0..n {
            line(format_args!("    v{k} = {read}(pixel + {k}u * params.pixels, {k}u);"));
        }
        line(format_args!("}}"));
    }
    line(format_args!("fn keep(pixel: u32) -> u32 {{"));
    for k in 0..n {
        line(format_args!("    v{k} = select(TOP, v{k}, is_in(0u, {k}u));"));
    }
    line(format_args!("    return countOneBits(bits_in);"));
    line(format_args!("}}"));
    line(format_args!("fn fill(pixel: u32) -> u32 {{"));
    line(format_args!("    refill(pixel);"));
    line(format_args!("    return keep(pixel);"));
    line(format_args!("}}"));
    line(format_args!("fn sort(pixel: u32) {{"));
    line(format_args!("    var t = real(0);"));
    for (i, j) in network(n) {
        line(format_args!("    t = min(v{i}, v{j}); v{j} = max(v{i}, v{j}); v{i} = t;"));
    }
    line(format_args!("}}"));
    line(format_args!("fn at(pixel: u32, k: u32) -> real {{"));
    line(format_args!("    var y = v0;"));
    for k in 1..n {
        line(format_args!("    y = select(y, v{k}, k == {k}u);"));
    }
    line(format_args!("    return y;"));
    line(format_args!("}}"));
    for name in ["sum", "square", "limit", "equal"] {
        line(format_args!("fn each_{name}(pixel: u32) {{"));
        for k in 0..n {
            line(format_args!("    visit_{name}({k}u, v{k});"));
        }
        line(format_args!("}}"));
    }
}
