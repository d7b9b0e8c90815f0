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
use crate::kernels::{Kernel, PAIRS, prelude};
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
    /// What is computed from f32 is so in f64: it takes little longer there.
    pub doubles: bool,
    /// Samples lie in textures, in blocks, not in buffers frame after frame.
    pub block: Option<Block>,
}

/// How samples lie in the textures of a software adapter: block after block of lanes, of each some frames after the others,
/// and of these a texel of four numbers for every lane.
///
/// Such an adapter works on the lanes of a block at once, and goes down the frames for these before it goes on; from 60
/// places in turn no processor fetches ahead. It reads a texel for all of them at once, but of a buffer each lane for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Pixels of a lane, whose samples of a frame are in a texel.
    pub lane: usize,
    /// Frames whose samples are in a texel.
    pub frames: usize,
}

impl Block {
    /// Lanes of a block.
    pub(crate) const LANES: usize = 8;
    /// Texels of a row of a texture.
    pub(crate) const ROW: usize = 128;
    const OF_QUADS: Block = Block { lane: 4, frames: 1 };
    const OF_PIXELS: Block = Block { lane: 1, frames: 4 };

    pub(crate) fn pixels(self) -> usize {
        Self::LANES * self.lane
    }

    /// Texels of each lane.
    pub(crate) fn groups(self, frames: usize) -> usize {
        frames.div_ceil(self.frames)
    }

    /// Frames that there is room for.
    pub(crate) fn room(self, frames: usize) -> usize {
        self.groups(frames) * self.frames
    }
}

/// In what blocks the kernel of a method can read its samples.
pub(crate) fn block<T: Real>(method: &Method, has: &Has) -> Option<Block> {
    if is_plain::<T>(method, has) {
        return Some(Block::OF_QUADS);
    }
    (T::DTYPE == DType::F32 && !has.stores(method) && has.shared == 0).then_some(Block::OF_PIXELS)
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
    for (name, Constants { stored, swap, flip, .. }) in
        [("DATA", raw.data), ("VARIANCE", raw.variance), ("MASK", raw.mask)]
    {
        line(format_args!("const {name}_STORED: u32 = {}u;", stored as u32));
        line(format_args!("const {name}_SWAP: bool = {swap};"));
        line(format_args!("const {name}_FLIP: bool = {flip};"));
    }
    line(format_args!("const SHARED: u32 = {}u;", has.shared));
    line(format_args!("const WEIGHT_PLANE: u32 = {}u;", has.reals() - 1));
    let plain = is_plain::<T>(method, has);
    // Numbers that are compared with what is computed: of the shaders' type `wide`.
    let suffix = if wide || (has.doubles && !plain) { "lf" } else { "f" };
    let power = |e: i32| format!("{:e}{suffix}", 2f64.powi(e));
    let bits = |e: i32| if wide { ((e + 1023) as u32) << 20 } else { ((e + 127) as u32) << 23 };
    line(format_args!("const FAINTEST: u32 = {}u;", if wide { 1 << 20 } else { 1 << 23 }));
    for (name, (least, most)) in [("", ends.values), ("_VARIANCE", ends.variances)] {
        line(format_args!("const LEAST{name}: u32 = {}u;", bits(least)));
        line(format_args!("const MOST{name}: u32 = {}u;", bits(most)));
    }
    for (name, (least, most)) in [("VALUE", ends.values), ("WEIGHT", ends.variances)] {
        line(format_args!("const LEAST_{name}: wide = {};", power(least)));
        line(format_args!("const MOST_{name}: wide = {};", power(most)));
    }
    line(format_args!("const FAINT_SQUARES: wide = {};", power(ends.squares)));
    line(format_args!("const SLACK: wide = {};", power(ends.slack)));
    let top = if wide { format!("{:e}lf", f64::MAX) } else { format!("{:e}f", f64::from(f32::MAX)) };
    line(format_args!("const TOP: real = {top};"));
    if plain {
        out.push_str(include_str!("../../../shaders/stored.wgsl"));
        out.push_str("alias real = f32;\nalias wide = f32;\n");
        out.push_str(include_str!("../../../shaders/stack_job.wgsl"));
        if has.doubles {
            out.push_str(include_str!("../../../shaders/quads_f64.wgsl"));
        } else {
            out.push_str(PAIRS);
            out.push_str(include_str!("../../../shaders/quads_f32.wgsl"));
        }
        out.push_str(include_str!("../../../shaders/fours.wgsl"));
        out.push_str(include_str!("../../../shaders/stack_plain.wgsl"));
        match has.block {
            Some(block) => texels(block, has.frames, raw, &mut out),
            None => fours_of_buffers(raw, &mut out),
        }
        return out;
    }
    out.push_str(&prelude::<T>());
    if has.doubles && !wide {
        out.push_str(include_str!("../../../shaders/stack_f64.wgsl"));
    } else {
        out.push_str(PAIRS);
        out.push_str(include_str!("../../../shaders/stack_pair.wgsl"));
    }
    out.push_str(Stack::<T>::WGSL);
    if has.shared > 0 {
        let real = if wide { "f64" } else { "f32" };
        let _ = writeln!(out, "@group(0) @binding(11) var<storage, read> shared_planes: array<{real}>;");
        out.push_str("fn shared_at(i: u32) -> real { return shared_planes[i]; }\n");
    } else {
        out.push_str("fn shared_at(i: u32) -> real { return real(0); }\n");
    }
    match has.block {
        Some(block) => {
            out.push_str(include_str!("../../../shaders/fours.wgsl"));
            texels(block, has.frames, raw, &mut out);
            out.push_str(include_str!("../../../shaders/texels_of_pixels.wgsl"));
        }
        None => {
            out.push_str(include_str!("../../../shaders/planes.wgsl"));
            out.push_str(if wide {
                include_str!("../../../shaders/planes_f64.wgsl")
            } else {
                include_str!("../../../shaders/planes_f32.wgsl")
            });
        }
    }
    if has.stores(method) {
        out.push_str(include_str!("../../../shaders/stack_column.wgsl"));
    } else if method.sorts() {
        straight(has, &mut out);
    } else {
        // Called by nothing that runs.
        out.push_str(NO_COLUMN);
    }
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

/// Samples in textures.
fn texels(block: Block, frames: usize, raw: &Raw, out: &mut String) {
    let _ = writeln!(out, "const ROW = {}u;", Block::ROW);
    let _ = writeln!(out, "const LANES = {}u;", Block::LANES);
    let _ = writeln!(out, "const GROUPS = {}u;", block.groups(frames));
    for (name, of) in [("Data", raw.data), ("Variance", raw.variance), ("Mask", raw.mask)] {
        let format = ["r32uint", "rg32uint", "rgba32uint"][of.stored.size().ilog2() as usize];
        let _ = writeln!(out, "alias {name}Texels = texture_storage_2d<{format}, read>;");
    }
    out.push_str(include_str!("../../../shaders/texels.wgsl"));
}

/// Samples in buffers, of which four pixels are read at once: what `shaders/texels.wgsl` says of textures. How many words a
/// buffer has for them is a matter of their type.
fn fours_of_buffers(raw: &Raw, out: &mut String) {
    let mut line = |text: std::fmt::Arguments<'_>| {
        let _ = out.write_fmt(text);
        out.push('\n');
    };
    let planes = [("data", raw.data, "f32_bits"), ("variance", raw.variance, "f32_bits"), ("mask", raw.mask, "masks")];
    for (binding, (name, constants, convert)) in (1..).zip(planes) {
        let (words, four) = match (constants.stored.size(), constants.swap) {
            (1, _) => ("u32", "quarters(w)".to_string()),
            (2, swap) => ("vec2<u32>", format!("halves(w, {swap})")),
            (_, false) => ("vec4<u32>", "w".to_string()),
            (_, true) => ("vec4<u32>", "swap_words(w)".to_string()),
        };
        let upper = name.to_uppercase();
        line(format_args!("@group(0) @binding({binding}) var<storage, read> {name}_words: array<{words}>;"));
        line(format_args!("fn {name}_four(i: u32) -> vec4<u32> {{"));
        line(format_args!("    let w = {name}_words[i];"));
        line(format_args!("    return {convert}({four}, {upper}_STORED, {upper}_FLIP);"));
        line(format_args!("}}"));
    }
    line(format_args!("fn first_four(quad: u32) -> u32 {{ return quad; }}"));
    line(format_args!("fn next_four(i: u32) -> u32 {{ return i + params.pixels / 4u; }}"));
}

/// What must be said before sample `k` of a pixel, and its number in each plane.
fn sample(k: usize, block: Option<Block>) -> (String, [String; 3]) {
    let names = ["data", "variance", "mask"];
    let Some(block) = block else {
        return (String::new(), names.map(|name| format!("{name}_at(pixel + {k}u * params.pixels)")));
    };
    let (group, part) = (k / block.frames, k % block.frames);
    let four = |name: &str| format!("let {name}{group} = {name}_four(first_four(pixel) + {}u); ", group * Block::LANES);
    let before = if part == 0 { names.map(four).concat() } else { String::new() };
    (before, names.map(|name| format!("{name}{group}.{}", ["x", "y", "z", "w"][part])))
}

/// The column in variables.
fn straight(has: &Has, out: &mut String) {
    let n = has.frames;
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
    line(format_args!("fn grade_all(pixel: u32) {{"));
    for k in 0..n {
        let (before, numbers) = sample(k, has.block);
        line(format_args!("    {before}v{k} = grade(0u, {k}u, {});", numbers.join(", ")));
    }
    line(format_args!("}}"));
    line(format_args!("fn refill(pixel: u32) {{"));
    for k in 0..n {
        let (before, [data, ..]) = sample(k, has.block);
        line(format_args!("    {before}v{k} = key_of(value_of({data}, {k}u));"));
    }
    line(format_args!("}}"));
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
