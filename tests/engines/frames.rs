//! Frames to stack: the ugly ones, made from a seed.

use ndarray::{ArrayD, IxDyn};
pub use ndastro::DType as Type;
use ndastro::{NDAstroData, Pixels};

use crate::oracle::Sample;

/// A small generator (splitmix64): the same numbers everywhere, for ever.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Rng(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In 0 to 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Near enough to normal: the sum of twelve.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// What a set of frames is like.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub shape: Vec<usize>,
    /// Of each frame in turn, over and over.
    pub types: Vec<Type>,
    pub frames: usize,
    pub variance: bool,
    pub mask: bool,
    /// NaN, infinities, negative variances, all-flagged pixels.
    pub nasty: bool,
    pub level: f64,
    pub scale: Option<Vec<f64>>,
    pub zero: Option<Vec<f64>>,
}

impl Recipe {
    pub fn new(shape: &[usize], frames: usize) -> Self {
        Recipe {
            shape: shape.to_vec(),
            types: vec![Type::F32],
            frames,
            variance: true,
            mask: true,
            nasty: true,
            level: 1000.0,
            scale: None,
            zero: None,
        }
    }

    pub fn pixels(&self) -> usize {
        self.shape.iter().product()
    }
}

/// The same samples twice: as containers and as numbers for the oracle, pixel by pixel.
pub struct Made {
    pub frames: Vec<NDAstroData>,
    pub samples: Vec<Vec<Sample>>,
}

fn shaped<T>(values: Vec<T>, shape: &[usize]) -> ArrayD<T> {
    ArrayD::from_shape_vec(IxDyn(shape), values).expect("as many values as pixels")
}

/// Values of the type, and what they are as f64.
fn pixels(values: &[f64], t: Type, shape: &[usize]) -> (Pixels, Vec<f64>) {
    let whole: Vec<i128> = values.iter().map(|v| v.round() as i128).collect();
    macro_rules! typed {
        ($type:ty) => {{
            let v: Vec<$type> =
                whole.iter().map(|&w| w.clamp(<$type>::MIN as i128, <$type>::MAX as i128) as $type).collect();
            let exact = v.iter().map(|&x| x as f64).collect();
            (Pixels::from(shaped(v, shape)), exact)
        }};
    }
    match t {
        Type::U8 => typed!(u8),
        Type::I8 => typed!(i8),
        Type::I16 => typed!(i16),
        Type::U16 => typed!(u16),
        Type::I32 => typed!(i32),
        Type::U32 => typed!(u32),
        Type::I64 => typed!(i64),
        Type::U64 => typed!(u64),
        Type::F32 => {
            let v: Vec<f32> = values.iter().map(|&x| x as f32).collect();
            let exact = v.iter().map(|&x| f64::from(x)).collect();
            (Pixels::from(shaped(v, shape)), exact)
        }
        Type::F64 => (Pixels::from(shaped(values.to_vec(), shape)), values.to_vec()),
    }
}

/// Frames by the recipe. Pixel p of some kinds: 0 ties, 1 constant, 2 every frame flagged on mixed levels, 3 `no_data`
/// in every frame, 4 one good frame, 5 nothing finite.
pub fn make(recipe: &Recipe, seed: u64) -> Made {
    let n = recipe.pixels();
    let mut rng = Rng::new(seed);
    let mut made = Made { frames: Vec::new(), samples: vec![Vec::new(); n] };
    for f in 0..recipe.frames {
        let t = recipe.types[f % recipe.types.len()];
        let (mut data, mut variance, mut mask) = (vec![0.0; n], vec![0f32; n], vec![0u16; n]);
        for p in 0..n {
            let kind = if recipe.nasty { p % 97 } else { 96 };
            let sigma = recipe.level.abs().sqrt().max(1.0);
            data[p] = match kind {
                0 => recipe.level + (f % 3) as f64,
                1 => recipe.level,
                _ => recipe.level + sigma * rng.normal(),
            };
            variance[p] = (sigma * sigma * (0.5 + rng.unit())) as f32;
            mask[p] = match kind {
                2 => [1, 8, 32, 64, 9, 40][f % 6],
                3 => 16,
                4 => u16::from(f != recipe.frames / 2) * 8,
                6 => [128, 0x8000, 256][f % 3],
                7 => [6, 2, 4, 1][f % 4],
                _ if rng.below(50) == 0 => 1 << rng.below(16),
                _ => 0,
            };
            if recipe.nasty {
                match (kind, rng.below(200)) {
                    (5, _) | (_, 0) => data[p] = f64::NAN,
                    (_, 1) => data[p] = f64::INFINITY,
                    (_, 2) => data[p] = f64::NEG_INFINITY,
                    (_, 3) => variance[p] = f32::NAN,
                    (_, 4) => variance[p] = f32::INFINITY,
                    (_, 5) => variance[p] = -1.0,
                    (_, 6) => variance[p] = 0.0,
                    (_, 7) => data[p] += 1000.0 * sigma,
                    _ => {}
                }
            }
        }
        let (typed, exact) = pixels(&data, t, &recipe.shape);
        let mut nd = NDAstroData::new(typed);
        for (p, samples) in made.samples.iter_mut().enumerate() {
            samples.push(Sample {
                value: exact[p],
                variance: recipe.variance.then_some(f64::from(variance[p])),
                dq: if recipe.mask { u32::from(mask[p]) } else { 0 },
            });
        }
        if recipe.variance {
            nd = nd.with_variance(shaped(variance, &recipe.shape)).expect("one shape");
        }
        if recipe.mask {
            nd = nd.with_mask(shaped(mask, &recipe.shape)).expect("one shape");
        }
        made.frames.push(nd);
    }
    made
}
