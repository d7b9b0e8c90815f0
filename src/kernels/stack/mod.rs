//! Stack: samples of N frames at each pixel to one value with its variance and mask. Twin of `shaders/stack.wgsl`.
//!
//! With samples d_i, variances v_i, masks m_i, scales s_i and zeros z_i: x_i = s_i d_i + z_i and w_i = s_i^2 v_i.
//!
//! 1. **Usable.** A sample whose data or variance (if it is read) is not finite is unusable. A negative variance counts as 0,
//!    and is counted.
//! 2. **Hierarchy.** Level k admits the mask bits of [`Levels`] 0 to k, the last level every bit. The level of a sample is
//!    the first that admits all its bits. At each pixel the samples of the best level are used.
//! 3. **Rejection** ([`Reject`]), of the used samples. It orders and compares y_i, which is x_i rounded to the compute type
//!    (x_i itself where scale and zero are 1 and 0).
//!    - *minmax*: of n used samples of N frames int(n nlow / N + 0.001) of lowest rank and int(n nhigh / N + 0.001) of
//!      highest; equal samples rank in the order of their frames.
//!    - *sigclip*: of the samples still in, c is the median (the mean without `mclip`) and sigma^2 = sum (y_i - c)^2 / n. Out
//!      is y_i < c - lsigma sigma and y_i > c + hsigma sigma: squares are compared, so that a sample on the limit stays.
//!      Again, until nothing more is rejected or the passes are done.
//!    - *varclip*: the same with sigma_i^2 = w_i of each sample.
//!      Low and high are below and above the centre of that pass.
//!    - *madclip*: c is the median, and sigma 1.4826 times the median of |y_i - c|. Where more than half of the samples are
//!      equal it is 0, and all others are out.
//!    - *ccdclip*: c is the median (without `mclip` the mean of all but the least and the largest, of at least
//!      three), and sigma^2 = (r/g)^2 + c/g + (q c)^2 with read noise r in
//!      electrons, gain g in electrons a data unit, sensitivity noise q; light below 0 counts as 0. *crreject* is the same
//!      without a lower limit.
//!    - *winsorised*: c is the median, and sigma 1.134 times the standard deviation (of n - 1) of the samples brought to
//!      c - 1.5 sigma and c + 1.5 sigma where they are beyond, where they stay; sigma begins with that of the samples, and is
//!      found when it changes by no more than 0.05 percent.
//!    - *pclip*: c is the median, sigma the distance of the sample of one rank from it: so many samples above the median (below,
//!      if negative), or if that is less than 1 such a part of the half of n, rounded down, at least 1. One pass; of less
//!      than three samples none is out.
//!    - *percentile*: out is what is below the lower or above the higher percentile: between the ranks of 0 to n - 1 that
//!      are nearest to (n - 1) p / 100, in proportion. One pass. *threshold*: out is what is below or above given values.
//!    - *linfit*: the n samples still in, from small to large, have the ranks k = 0 to n - 1; a line a + b k is fitted to them
//!      by least squares, and sigma is the mean of |y_k - a - b k|. Out is y_k < a + b k - lsigma sigma and y_k > a + b k +
//!      hsigma sigma, wherever it ranks; of less than three samples none is out. Again, as with sigclip. Low and high are below
//!      and above the line of that pass; of equal samples those of the first frames stay.
//!    - *gesd*: the generalised extreme Studentized deviate test. Of the m samples that remain, n to begin with, the one
//!      farthest from their mean goes (of equally far ones the lower); R_i is how far that was in their standard deviations (of
//!      m - 1), and lambda_i = (m - 1) t / sqrt(m (m - 2 + t^2)), t the quantile 1 - significance / 2m of Student's distribution
//!      with m - 2 degrees of freedom. So on for int(n outliers + 0.001) steps, while m is at least 3. Out are those that went to
//!      the last step with R_i > lambda_i; one that is equal to a sample that is left is left too.
//!    - Where everything was rejected, nothing is.
//!    - `nkeep` and `maxrej`, of all of these but minmax, varclip and linfit: while fewer are left than nkeep, or more are out than
//!      maxrej, the next sample below what is left or the next above it comes back, whichever is nearer to the median of all
//!      that are used, of equally near ones the lower; equal ones come together.
//!    - Rejections that grow by a radius r, when all pixels are through this: of each frame, the samples that are left within r
//!      pixels (in rows and columns of the image, of a cube of the same image) of one that was rejected are rejected too, unless
//!      that leaves none of the pixel, or fewer than nkeep and maxrej allow: then they all stay. They count as rejected, neither as
//!      below nor as above.
//! 4. **Combination** ([`Combine`]) of the n samples that are left; m is their mean, S = sum (x_i - m)^2:
//!
//!    | | value | propagated variance | scatter |
//!    |---|---|---|---|
//!    | mean | sum x / n | sum w / n^2 | S / (n (n - 1)) |
//!    | wtmean | sum (x / w) / sum (1 / w) | 1 / sum (1 / w) | sum ((x - value)^2 / w) / ((n - 1) sum (1 / w)) |
//!    | median | the middle y, or the mean of both | f(n) sum w / n^2 | f(n) S / (n (n - 1)) |
//!    | lmedian | y of rank (n - 1) / 2 of 0 to n - 1 | g(n) sum w / n^2 | g(n) S / (n (n - 1)) |
//!    | sum | sum x | sum w | n S / (n - 1) |
//!    | min, max | y of first, of last rank | w of that very sample; of equals the first frame's | S / (n - 1) |
//!    | std | sqrt(S / n) | sum (x - m)^2 w / (n S); 0 if S is 0 | S / (2 n (n - 1)) |
//!    | quadrature | sqrt(Q) / n, Q = sum x^2 | sum x^2 w / (n^2 Q); 0 if Q is 0 | S / (n^2 (n - 1)) |
//!    | or, and | of integers, bit by bit in two's complement; in the smallest type that holds the numbers of all frames | none | none |
//!    | percentile p | y of place (n - 1) p / 100, between ranks 0 to n - 1 in proportion | h(n) sum w / n^2 | h(n) S / (n (n - 1)) |
//!
//!    Scatter is 0 for n = 1. If a sample that is left has w = 0, wtmean is the mean of those that have, with variance 0 (and
//!    in the scatter their weights are 1, those of the others 0; n counts those with w = 0). Without variances wtmean is mean.
//!    Frames whose own variance is not known have scatter alone; one that shares all it is made of has none of its own, 0.
//!    (About the median itself the squares would come out too large, by 17 percent for three samples.)
//!    f and g: Var(median) / Var(mean) of n normal samples, [`median_factor`] and [`lmedian_factor`]. h is the same of the
//!    percentile, [`percentile_factor`]: for many samples p (1 - p) / density^2 at it. It is as good as the samples are normal, and
//!    near the ends that is not very good.
//!    **Shared variables** ([`Shares`]). If a_i is what one standard deviation of a variable that several frames share adds to
//!    x_i, both variances are larger by A^2, for each variable:
//!
//!    | mean, median, lmedian, percentile | wtmean | sum | min, max | std | quadrature |
//!    |---|---|---|---|---|---|
//!    | A = sum a / n | sum (a / w) / sum (1 / w) | sum a | a of that very sample | sum (x - m) a / sqrt(n S) | sum x a / (n sqrt(Q)) |
//!
//!    It is exact to first order but for medians and percentiles, whose shift by a variable is about that of the mean. w and the scatter
//!    are of what frames do not share, and so is the ratio of both.
//!    **Weights of frames** k_i, of mean and wtmean: with K_i = k_i, or k_i / w_i for wtmean,
//!
//!    | value | propagated variance | scatter | shared variables |
//!    |---|---|---|---|
//!    | sum K x / sum K | sum K^2 w / (sum K)^2 | sum K (x - value)^2 / ((n - 1) sum K) | A = sum K a / sum K |
//!
//! 5. **Mask** of the result: OR of the masks of the n samples that are left. A bit that has a fraction comes out only where
//!    samples with at least that part of the weight (of n, where there is none) have it.
//! 6. **No usable sample**: data 0, variances 0, mask = OR of all, with `no_data` for the samples that were not finite.
//! 7. **Beside** them, where they are asked for: scatter next to the propagated variance, and their ratio (scatter /
//!    propagated, NaN where n < 2 or the propagated is 0); n; the samples rejected at 3, those below the ones that are
//!    left and those above; the sum of weights (n, or for wtmean sum 1/w, infinite if a w is 0; of frames with weights sum K);
//!    the sum of the exposures of the n samples; for each sample why it is not among them (`reason.rs`); for each bit of the
//!    mask the number of all N samples that have it.
//!
//! The rules of the flavour `dragons` are in `dragons.rs`.
//!
//! Shapes: a cube of N planes of P samples to planes of P pixels. f32 samples are summed in f64 here, f64 samples in
//! pairs of f64 with exact error terms (Knuth's two-sum, Dekker's product); a device sums in pairs of its compute type.
//! The squares are of differences from a centre, never of values.
//! Tolerance: data and variance within 4 ULP of the f64 oracle to 1,000 frames, mask and counts exact, wherever no sample
//! lies within 8 ULP of a limit. Sources: hierarchy and minmax, Gemini DRAGONS' NDStacker; variances of mean and weighted
//! mean, e.g. Bevington & Robinson, "Data Reduction and Error Analysis", chapter 4; of a standard deviation of normal
//! samples about sigma^2 / 2n, e.g. Kendall & Stuart, "The Advanced Theory of Statistics", volume 1, chapter 10; of medians,
//! `factor.rs`. quadrature, ccdclip, crreject, pclip, nkeep: IRAF's imcombine; gesd: Rosner, Technometrics 25 (1983) 165, and the
//! NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.17.3; winsorised, linfit: Siril (its 1.134 is that of PixInsight).

mod clip;
mod cpu;
mod dragons;
mod factor;
mod gesd;
mod left;
mod levels;
mod limits;
mod linfit;
mod madclip;
mod method;
mod network;
mod order;
pub(crate) mod reason;
mod running;
mod sigclip;
mod uneven;
#[cfg_attr(not(feature = "gpu"), allow(dead_code))]
pub(crate) mod wgsl;

pub(crate) use clip::minmax_part;
pub(crate) use cpu::{BLOCK, Cube, Scratch, Shares, accumulate, counts, ordered, quotient, stream};
pub(crate) use factor::{lmedian_factor, median_factor, percentile_factor};
pub(crate) use gesd::{critical_values, most_outliers};
pub(crate) use levels::{Affine, Levels, MAX_LEVELS, NO_DATA};
pub(crate) use limits::{FOUND, OF_WINSORISED, WINSOR, between, percentile_place};
pub(crate) use linfit::LEAST_OF_LINE;
pub(crate) use madclip::SIGMA_OF_MAD;
pub use method::{Clip, Combine, DetectorNoise, Flavour, Percent, Reject};
pub(crate) use method::{Errors, Keep, MOST_PASSES, Method};
pub(crate) use order::midpoint;
pub(crate) use running::{Frame, Running, Total};
pub(crate) use uneven::Uneven;

use crate::dtype::DType;
use crate::kernels::Kernel;
use crate::real::Real;
use crate::simd::dispatch;

/// What comes out for each pixel. Planes that were not asked for are empty.
pub(crate) struct Out<'a, T> {
    pub data: &'a mut [T],
    /// Propagated, or scatter where that alone is made.
    pub variance: &'a mut [T],
    /// Scatter beside the propagated variance.
    pub scatter: &'a mut [T],
    /// Scatter / propagated.
    pub ratio: &'a mut [T],
    /// Sum of weights.
    pub weight: &'a mut [T],
    /// Sum of exposures.
    pub exposure: &'a mut [T],
    pub mask: &'a mut [u32],
    /// Number of samples used.
    pub good: &'a mut [u32],
    /// Samples rejected below those that are left, and above.
    pub low: &'a mut [u32],
    pub high: &'a mut [u32],
    /// Samples rejected, as the flavour counts them.
    pub rejected: &'a mut [u32],
    /// Why each sample is not in it ([`reason`]), pixel after pixel one a frame.
    pub reasons: &'a mut [u8],
    /// How many samples have each bit of the mask, pixel after pixel from the lowest bit on.
    pub counts: &'a mut [u32],
    pub tally: &'a mut Tally,
}

impl<T: Real> Out<'_, T> {
    /// The same, if it is f32.
    pub(crate) fn narrow(&mut self) -> Option<Out<'_, f32>> {
        if T::DTYPE != DType::F32 {
            return None;
        }
        Some(Out {
            data: bytemuck::cast_slice_mut(self.data),
            variance: bytemuck::cast_slice_mut(self.variance),
            scatter: bytemuck::cast_slice_mut(self.scatter),
            ratio: bytemuck::cast_slice_mut(self.ratio),
            weight: bytemuck::cast_slice_mut(self.weight),
            exposure: bytemuck::cast_slice_mut(self.exposure),
            mask: self.mask,
            good: self.good,
            low: self.low,
            high: self.high,
            rejected: self.rejected,
            reasons: self.reasons,
            counts: self.counts,
            tally: self.tally,
        })
    }
}

impl<'a, T> Out<'a, T> {
    /// The same of these pixels alone.
    pub(crate) fn part(&mut self, range: std::ops::Range<usize>) -> Out<'_, T> {
        fn of<V>(plane: &mut [V], range: std::ops::Range<usize>) -> &mut [V] {
            plane.get_mut(range).unwrap_or_default()
        }
        let words = |plane| of::<u32>(plane, range.clone());
        let pixels = self.data.len().max(1);
        let deep = |numbers: usize| range.start * (numbers / pixels)..range.end * (numbers / pixels);
        Out {
            data: of(self.data, range.clone()),
            variance: of(self.variance, range.clone()),
            scatter: of(self.scatter, range.clone()),
            ratio: of(self.ratio, range.clone()),
            weight: of(self.weight, range.clone()),
            exposure: of(self.exposure, range.clone()),
            mask: words(self.mask),
            good: words(self.good),
            low: words(self.low),
            high: words(self.high),
            rejected: words(self.rejected),
            reasons: of(self.reasons, deep(self.reasons.len())),
            counts: of(self.counts, deep(self.counts.len())),
            tally: self.tally,
        }
    }

    /// Data with variance and mask, and nothing else.
    pub(crate) fn of(data: &'a mut [T], variance: &'a mut [T], mask: &'a mut [u32], tally: &'a mut Tally) -> Self {
        Out {
            data,
            variance,
            mask,
            scatter: &mut [],
            ratio: &mut [],
            weight: &mut [],
            exposure: &mut [],
            good: &mut [],
            low: &mut [],
            high: &mut [],
            rejected: &mut [],
            reasons: &mut [],
            counts: &mut [],
            tally,
        }
    }
}

/// Sums over pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Variances below zero that were met.
    pub negative: u64,
    /// Samples rejected by rule 3.
    pub rejected: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.negative += other.negative;
        self.rejected += other.rejected;
    }
}

impl std::iter::Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Tally::default(), |mut sum, one| {
            sum += one;
            sum
        })
    }
}

/// The stack kernel.
pub(crate) struct Stack<T>(std::marker::PhantomData<T>);

/// Parameters of `shaders/stack.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct Params {
    /// Pixels of the tile: stride of the planes.
    pub pixels: u32,
    /// Always 0, but the shader's compiler does not know.
    pub opaque_zero: u32,
    pub pad_a: u32,
    pub pad_b: u32,
    pub forbidden: [u32; MAX_LEVELS],
}

/// What the CPU twin takes.
pub(crate) struct Task<'a, T> {
    pub cube: &'a Cube<T>,
    pub method: &'a Method,
    /// One per frame.
    pub affine: &'a [Affine],
    pub levels: &'a Levels,
    /// Of gesd, by number of samples.
    pub critical: &'a [f64],
    /// Whether a sample can be non-finite at all.
    pub nonfinite: bool,
    pub shares: Shares<'a>,
    pub uneven: Uneven<'a>,
    pub scratch: &'a mut Scratch<T>,
    /// Slices of at most `cube.pixels` pixels.
    pub out: Out<'a, T>,
}

impl<T: Real> Kernel for Stack<T> {
    const STEM: &'static str = "stack";
    const WGSL: &'static str =
        concat!(include_str!("../../../shaders/stack_job.wgsl"), include_str!("../../../shaders/stack.wgsl"));
    type Params = Params;
    type Cpu<'a> = Task<'a, T>;

    fn cpu(task: Task<'_, T>) {
        dispatch(task);
    }
}
