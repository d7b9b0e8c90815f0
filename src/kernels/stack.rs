//! Stack: samples of N frames at each pixel to one value with its variance and mask. Twin of `shaders/stack.wgsl`.
//!
//! With samples d_i, variances v_i, masks m_i, scales s_i and zeros z_i: x_i = s_i d_i + z_i and w_i = s_i^2 v_i.
//!
//! 1. A sample whose data or variance is not finite is unusable. A negative variance counts as 0.
//! 2. DQ hierarchy: level k admits the mask bits of [`Levels`] 0 to k, the last level every bit. The level of a sample
//!    is the first that admits all its bits. At each pixel the samples of the best level are used; the mask of the
//!    result is the OR of theirs.
//! 3. mean = sum x_i / n over the n used samples.
//! 4. variance, if all frames have one (propagated): sum w_i / n^2; else the scatter of the mean,
//!    sum (x_i - mean)^2 / (n (n - 1)), and 0 for n = 1. The squares are of differences from the mean, never of values.
//! 5. No usable sample: data 0, variance 0, mask = OR of all, with `no_data` for the samples that were not finite.
//!
//! Shapes: a cube of N planes of P samples to planes of P pixels. Sums are f64 here; on a device without need of f64
//! they are pairs of f32 with exact error terms. Tolerance: data and variance within 4 ULP of the f64 oracle to 1,000
//! frames, mask and counts exact. Sources: hierarchy, Gemini DRAGONS' NDStacker; variance of a mean, e.g. Bevington &
//! Robinson, "Data Reduction and Error Analysis", chapter 4.

use crate::kernels::Kernel;
use crate::real::Real;
use crate::simd::{Loop, dispatch};

/// DQ bit of a pixel that has no value.
pub(crate) const NO_DATA: u32 = 16;
/// Level of a sample that cannot be used at all.
const UNUSABLE: u32 = u32::MAX;
/// Levels that a hierarchy can have.
pub(crate) const MAX_LEVELS: usize = 8;

/// The DQ hierarchy: for each level but the last the bits that a sample may *not* have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct Levels {
    forbidden: [u32; MAX_LEVELS],
}

impl Default for Levels {
    /// {2, 4} -> +8 -> +32 -> +1 -> +64 -> everything else: 16 and all bits from 128 on.
    fn default() -> Self {
        Levels::new(&[2 | 4, 8, 32, 1, 64])
    }
}

impl Levels {
    /// From the bits that each level adds; one more level, that of every bit, follows them. At most
    /// [`MAX_LEVELS`] bits sets count.
    pub(crate) fn new(added: &[u32]) -> Self {
        // A level that is not there forbids nothing, so it raises no sample's level.
        let mut forbidden = [0; MAX_LEVELS];
        let mut allowed = 0;
        for (slot, bits) in forbidden.iter_mut().zip(added) {
            allowed |= bits;
            *slot = !allowed;
        }
        Levels { forbidden }
    }

    pub(crate) fn forbidden(&self) -> &[u32; MAX_LEVELS] {
        &self.forbidden
    }
}

/// Scale and zero of one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Affine {
    pub scale: f64,
    pub zero: f64,
}

impl Affine {
    pub(crate) const IDENTITY: Affine = Affine { scale: 1.0, zero: 0.0 };
}

/// Samples of N frames at the same `pixels` pixels, frame after frame. Planes that no frame has are empty.
pub(crate) struct Cube<T> {
    pub frames: usize,
    pub pixels: usize,
    pub data: Vec<T>,
    pub variance: Vec<T>,
    pub mask: Vec<u32>,
}

impl<T: Real> Cube<T> {
    pub(crate) fn new(frames: usize, pixels: usize, variance: bool, mask: bool) -> Self {
        let n = frames * pixels;
        let zero = T::from_f32(0.0);
        Cube {
            frames,
            pixels,
            data: vec![zero; n],
            variance: vec![zero; if variance { n } else { 0 }],
            mask: vec![0; if mask { n } else { 0 }],
        }
    }
}

/// What comes out for each pixel.
pub(crate) struct Out<'a, T> {
    pub data: &'a mut [T],
    pub variance: &'a mut [T],
    pub mask: &'a mut [u32],
    /// Number of samples used.
    pub good: &'a mut [u32],
    /// Variances below zero that were met.
    pub negative: &'a mut u64,
}

/// Reused between calls: nothing is allocated per tile.
#[derive(Default)]
pub(crate) struct Scratch {
    level: Vec<u32>,
    best: Vec<u32>,
    all: Vec<u32>,
    sum: Vec<f64>,
    sum2: Vec<f64>,
}

/// The stack kernel.
pub(crate) struct Stack<T>(std::marker::PhantomData<T>);

/// Parameters of `shaders/stack.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct Params {
    pub frames: u32,
    /// Pixels of the tile: stride of the planes.
    pub pixels: u32,
    /// 1: frames have a variance.
    pub variance: u32,
    /// 1: frames have a mask.
    pub mask: u32,
    /// 1: some scale is not 1 or some zero not 0.
    pub scaled: u32,
    /// Always 0, but the shader's compiler does not know.
    pub opaque_zero: u32,
    pub pad: [u32; 2],
    pub forbidden: [u32; MAX_LEVELS],
}

/// What the CPU twin takes.
pub(crate) struct Task<'a, T> {
    pub cube: &'a Cube<T>,
    /// One per frame.
    pub affine: &'a [Affine],
    pub levels: &'a Levels,
    /// Whether a sample can be non-finite at all.
    pub nonfinite: bool,
    pub scratch: &'a mut Scratch,
    /// Slices of at most `cube.pixels` pixels.
    pub out: Out<'a, T>,
}

impl<T: Real> Kernel for Stack<T> {
    const STEM: &'static str = "stack";
    const WGSL: &'static str = include_str!("../../shaders/stack.wgsl");
    type Params = Params;
    type Cpu<'a> = Task<'a, T>;

    fn cpu(task: Task<'_, T>) {
        dispatch(task);
    }
}

impl<T: Real> Loop for Task<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Task { cube, affine, levels, nonfinite, scratch, out } = self;
        let (frames, stride) = (cube.frames, cube.pixels);
        let n = out.data.len();
        let (propagate, masked) = (!cube.variance.is_empty(), !cube.mask.is_empty());
        let graded = masked || nonfinite;
        scratch.reset(n, if graded { frames * n } else { 0 });
        let Scratch { level, best, all, sum, sum2 } = scratch;
        let none: &[T] = &[];
        let plane = |f: usize| f * stride..f * stride + n;
        let variance = |f: usize| if propagate { &cube.variance[plane(f)] } else { none };
        let mask = |f: usize| if masked { &cube.mask[plane(f)] } else { &[] as &[u32] };

        // Grade the samples: level of each, best level of each pixel, OR of all masks.
        if graded {
            for f in 0..frames {
                let level = &mut level[f * n..(f + 1) * n];
                if masked {
                    grade_mask(mask(f), levels, level, all);
                }
                if nonfinite {
                    grade_finite(&cube.data[plane(f)], level, all);
                    if propagate {
                        grade_finite(variance(f), level, all);
                    }
                }
                for (b, &l) in best[..n].iter_mut().zip(&*level) {
                    *b = l.min(*b);
                }
            }
        }

        // Sum what is used.
        let mut negative = 0u64;
        out.good.fill(if graded { 0 } else { frames as u32 });
        out.mask.fill(0);
        for f in 0..frames {
            let data = &cube.data[plane(f)];
            let Affine { scale, zero } = affine[f];
            let plain = affine[f] == Affine::IDENTITY;
            if graded {
                let level = &level[f * n..(f + 1) * n];
                if masked {
                    for (((o, &m), &l), &b) in out.mask.iter_mut().zip(mask(f)).zip(level).zip(&best[..n]) {
                        *o |= if l == b { m } else { 0 };
                    }
                }
                for ((g, &l), &b) in out.good.iter_mut().zip(level).zip(&best[..n]) {
                    *g += u32::from(l == b && b != UNUSABLE);
                }
                let used = level.iter().zip(&best[..n]).map(|(&l, &b)| l == b && b != UNUSABLE);
                if plain {
                    add_used(&mut sum[..n], data, used.clone(), |d| d);
                } else {
                    add_used(&mut sum[..n], data, used.clone(), |d| d * scale + zero);
                }
                if propagate {
                    let square = scale * scale;
                    add_used(&mut sum2[..n], variance(f), used, |v| if v < 0.0 { 0.0 } else { v * square });
                }
            } else {
                add(&mut sum[..n], data, |d| if plain { d } else { d * scale + zero });
                if propagate {
                    let square = scale * scale;
                    add(&mut sum2[..n], variance(f), |v| if v < 0.0 { 0.0 } else { v * square });
                }
            }
            if propagate {
                let zero = T::from_f32(0.0);
                negative += variance(f).iter().map(|&v| u32::from(v < zero)).sum::<u32>() as u64;
            }
        }
        *out.negative += negative;

        // The mean. No usable sample: 0 / 1.
        for (s, &g) in sum[..n].iter_mut().zip(&*out.good) {
            *s /= f64::from(g.max(1));
        }
        if !propagate {
            for f in 0..frames {
                let Affine { scale, zero } = affine[f];
                let data = cube.data[plane(f)].iter();
                let level = graded.then(|| &level[f * n..(f + 1) * n]);
                for (i, (&d, (s2, &m))) in data.zip(sum2[..n].iter_mut().zip(&sum[..n])).enumerate() {
                    let used = level.is_none_or(|l| l[i] == best[i] && best[i] != UNUSABLE);
                    let x = d.to_f64() * scale + zero - m;
                    *s2 += if used { x * x } else { 0.0 };
                }
            }
        }
        for (i, (d, v)) in out.data.iter_mut().zip(out.variance.iter_mut()).enumerate() {
            let count = f64::from(out.good[i]);
            let divisor = if propagate { count * count } else { count * (count - 1.0) };
            *d = T::from_f64(sum[i]);
            *v = T::from_f64(if divisor > 0.0 { sum2[i] / divisor } else { 0.0 });
        }
        if graded {
            for ((o, &b), &a) in out.mask.iter_mut().zip(&best[..n]).zip(&all[..n]) {
                *o = if b == UNUSABLE { a } else { *o };
            }
        }
    }
}

impl Scratch {
    #[inline(always)]
    fn reset(&mut self, n: usize, samples: usize) {
        if self.best.len() < n {
            self.best.resize(n, 0);
            self.all.resize(n, 0);
            self.sum.resize(n, 0.0);
            self.sum2.resize(n, 0.0);
        }
        if self.level.len() < samples {
            self.level.resize(samples, 0);
        }
        self.level[..samples].fill(0);
        self.best[..n].fill(UNUSABLE);
        self.all[..n].fill(0);
        self.sum[..n].fill(0.0);
        self.sum2[..n].fill(0.0);
    }
}

/// Level by mask: the number of levels that do not admit all bits.
#[inline(always)]
fn grade_mask(mask: &[u32], levels: &Levels, level: &mut [u32], all: &mut [u32]) {
    let forbidden = *levels.forbidden();
    for ((l, a), &m) in level.iter_mut().zip(all).zip(mask) {
        let mut over = 0;
        for bits in forbidden {
            over += u32::from(m & bits != 0);
        }
        *l = over;
        *a |= m;
    }
}

/// NaN and infinities are unusable.
#[inline(always)]
fn grade_finite<T: Real>(values: &[T], level: &mut [u32], all: &mut [u32]) {
    for ((l, a), v) in level.iter_mut().zip(all).zip(values) {
        let finite = v.is_finite();
        *l |= if finite { 0 } else { UNUSABLE };
        *a |= if finite { 0 } else { NO_DATA };
    }
}

#[inline(always)]
fn add<T: Real>(sum: &mut [f64], values: &[T], term: impl Fn(f64) -> f64) {
    for (s, v) in sum.iter_mut().zip(values) {
        *s += term(v.to_f64());
    }
}

#[inline(always)]
fn add_used<T: Real>(
    sum: &mut [f64],
    values: &[T],
    used: impl Iterator<Item = bool>,
    term: impl Fn(f64) -> f64,
) {
    for ((s, v), used) in sum.iter_mut().zip(values).zip(used) {
        *s += if used { term(v.to_f64()) } else { 0.0 };
    }
}
