//! The kernel alone, plane by plane. `tests/engines/golden.rs` has it from the outside.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::{Affine, Clip, Combine, Cube, Errors, Flavour, Levels, Method, Out, Reject, Scratch, Shares};
use super::super::{Stack, Tally, Task};
use crate::AstroData;
use crate::kernels::Kernel;

/// Samples of N frames at a few pixels: data, and variance and mask if the frames have them.
#[derive(Clone, Default)]
struct Frames {
    data: Vec<Vec<f32>>,
    variance: Vec<Vec<f32>>,
    mask: Vec<Vec<u32>>,
    /// What one variable that all frames share adds to each; none if it is empty.
    shared: Vec<Vec<f32>>,
}

/// All planes that can come out.
#[derive(Debug, Default, PartialEq)]
struct Planes {
    data: Vec<f32>,
    variance: Vec<f32>,
    scatter: Vec<f32>,
    ratio: Vec<f32>,
    weight: Vec<f32>,
    mask: Vec<u32>,
    good: Vec<u32>,
    low: Vec<u32>,
    high: Vec<u32>,
    rejected: Vec<u32>,
    tally: Tally,
}

impl Frames {
    /// One pixel.
    fn pixel(data: &[f32], variance: &[f32], mask: &[u32]) -> Self {
        let mut frames = Frames { data: data.iter().map(|&x| vec![x]).collect(), ..Frames::default() };
        frames.variance = variance.iter().map(|&x| vec![x]).collect();
        frames.mask = mask.iter().map(|&x| vec![x]).collect();
        frames
    }

    /// What the kernel makes of them; every plane is poisoned before.
    fn run(&self, affine: &[Affine], combine: Combine, reject: Reject, errors: Errors) -> Planes {
        let (n, pixels) = (self.data.len(), self.data[0].len());
        let mut cube = Cube::<f32>::new(n, pixels, !self.variance.is_empty(), !self.mask.is_empty(), self.shared.len());
        let of = vec![vec![0]; self.shared.len()];
        for f in 0..n {
            let at = f * cube.stride..f * cube.stride + pixels;
            cube.data[at.clone()].copy_from_slice(&self.data[f]);
            if let Some(v) = self.variance.get(f) {
                cube.variance[at.clone()].copy_from_slice(v);
            }
            if let Some(m) = self.mask.get(f) {
                cube.mask[at.clone()].copy_from_slice(m);
            }
            if let Some(a) = self.shared.get(f) {
                cube.shared[at].copy_from_slice(a);
            }
        }
        let (real, word) = (|| vec![f32::from_bits(u32::MAX); pixels], || vec![u32::MAX; pixels]);
        let mut p = Planes {
            data: real(),
            variance: real(),
            scatter: real(),
            ratio: real(),
            weight: real(),
            mask: word(),
            good: word(),
            low: word(),
            high: word(),
            rejected: word(),
            tally: Tally::default(),
        };
        Stack::<f32>::cpu(Task {
            cube: &cube,
            method: &Method { combine, reject, flavour: Flavour::Dragons, errors, ..Method::default() },
            affine,
            levels: &Levels::default(),
            critical: &[],
            nonfinite: true,
            shares: Shares { of: &of, variables: usize::from(!of.is_empty()) },
            uneven: crate::kernels::stack::Uneven::default(),
            scratch: &mut Scratch::default(),
            out: Out {
                data: &mut p.data,
                variance: &mut p.variance,
                scatter: &mut p.scatter,
                ratio: &mut p.ratio,
                weight: &mut p.weight,
                exposure: &mut [],
                reasons: &mut [],
                counts: &mut [],
                mask: &mut p.mask,
                good: &mut p.good,
                low: &mut p.low,
                high: &mut p.high,
                rejected: &mut p.rejected,
                tally: &mut p.tally,
            },
        });
        p
    }

    fn plain(&self, combine: Combine, reject: Reject) -> Planes {
        let errors = if self.variance.is_empty() { Errors::Scatter } else { Errors::Propagated };
        self.run(&vec![Affine::IDENTITY; self.data.len()], combine, reject, errors)
    }
}

fn sigma(k: f64) -> Clip {
    Clip { lsigma: k, hsigma: k, ..Clip::default() }
}

/// geminidr/core/tests/test_stack.py of DRAGONS, test_stack_biases and test_rejmap.
#[test]
fn constant_frames_of_the_reference_s_own_tests() {
    let values = [0.0, 1.0, 2.0, 2.0, 3.0];
    let frames = Frames::pixel(&values, &values, &[0; 5]);
    let of = |reject| frames.plain(Combine::Mean, reject);
    // The first has no variance, so it is rejected.
    let varclip = of(Reject::VarClip(Clip::default()));
    assert_eq!((varclip.data[0], varclip.rejected[0], varclip.low[0], varclip.high[0]), (2.0, 1, 1, 0));
    assert_eq!(of(Reject::SigClip(Clip::default())).data[0], 1.6);
    let minmax = of(Reject::MinMax { nlow: 1, nhigh: 1 });
    assert!((minmax.data[0] - 1.6667).abs() < 1e-4);
    assert_eq!((minmax.rejected[0], minmax.low[0], minmax.high[0], minmax.good[0]), (2, 1, 1, 3));
    assert_eq!(minmax.tally.rejected, 2);
}

/// gempy/library/tests/test_nddops.py of DRAGONS, test_process_mask.
#[test]
fn the_hierarchy_of_the_reference_s_own_tests() {
    let cases: [(&[u32], u32, &[usize]); 7] = [
        (&[5, 9, 8, 8], 8, &[2, 3]),
        (&[0, 1, 2, 3], 2, &[0, 2]),
        (&[2, 4, 0, 1], 6, &[0, 1, 2]),
        (&[2, 4, 8, 8], 6, &[0, 1]),
        (&[8, 1, 9, 1], 8, &[0]),
        (&[16, 64, 1], 1, &[2]),
        (&[64, 16], 64, &[0]),
    ];
    for (mask, out, used) in cases {
        let data: Vec<f32> = (0..mask.len()).map(|i| (1 << i) as f32).collect();
        let got = Frames::pixel(&data, &[], mask).plain(Combine::Sum, Reject::None);
        let want: f32 = used.iter().map(|&i| data[i]).sum();
        let rejected = (mask.len() - used.len()) as u32;
        assert_eq!((got.data[0], got.mask[0], got.rejected[0]), (want, out, rejected), "{mask:?}");
        assert_eq!((got.good[0] as usize, got.low[0], got.high[0]), (used.len(), 0, 0));
    }
}

/// As a boolean mask: what is flagged is used only where all are.
#[test]
fn masks_of_ones_and_zeros() {
    for (mask, value, out) in [([0, 0], 1.5, 0), ([1, 0], 2.0, 0), ([1, 1], 1.5, 1)] {
        let got = Frames::pixel(&[1.0, 2.0], &[], &mask).plain(Combine::Mean, Reject::None);
        assert_eq!((got.data[0], got.mask[0]), (value, out));
    }
}

#[test]
fn where_the_reference_has_no_answer() {
    // Not finite: as without data. The reference makes 25.5 of it.
    let got = Frames::pixel(&[1.0, 50.0, f32::NAN], &[], &[0, 8, 0]).plain(Combine::Median, Reject::None);
    assert_eq!((got.data[0], got.mask[0], got.good[0], got.rejected[0]), (1.0, 0, 1, 2));
    // It rejects nothing beside a NaN, and the good samples in varclip.
    let data = [10.0, 11.0, 9.0, f32::NAN, 11.0, 9.0, 10.0, 500.0];
    let got = Frames::pixel(&data, &[1.0; 8], &[0; 8]).plain(Combine::Mean, Reject::VarClip(sigma(2.0)));
    assert_eq!((got.data[0], got.good[0], got.low[0], got.high[0], got.rejected[0]), (10.0, 6, 0, 1, 2));
    let got = Frames::pixel(&data, &[], &[]).plain(Combine::Mean, Reject::SigClip(sigma(2.0)));
    assert_eq!((got.data[0], got.high[0]), (10.0, 1));
    let got = Frames::pixel(&data, &[], &[]).plain(Combine::Mean, Reject::MinMax { nlow: 0, nhigh: 2 });
    assert_eq!((got.data[0], got.high[0]), (10.0, 1));
    // A variance that is not finite.
    let got = Frames::pixel(&[1.0, 2.0], &[f32::INFINITY, 4.0], &[]).plain(Combine::Mean, Reject::None);
    assert_eq!((got.data[0], got.variance[0], got.good[0]), (2.0, 4.0, 1));
    // The mask says why there is nothing.
    for combine in Combine::COMMON {
        let nan = Frames::pixel(&[f32::NAN, f32::INFINITY], &[1.0, 1.0], &[4, 256]);
        for reject in [Reject::None, Reject::SigClip(sigma(1.0)), Reject::MinMax { nlow: 1, nhigh: 0 }] {
            let got = nan.plain(combine, reject);
            assert_eq!((got.data[0], got.variance[0], got.mask[0], got.weight[0]), (0.0, 0.0, 4 | 256 | 16, 0.0));
            assert_eq!((got.good[0], got.low[0], got.high[0], got.rejected[0]), (0, 0, 0, 0));
        }
    }
    // Bits of 128 and above are the worst level, with no_data.
    let got = Frames::pixel(&[1.0, 2.0, 6.0], &[], &[128, 1 << 20, 16]).plain(Combine::Mean, Reject::None);
    assert_eq!((got.data[0], got.mask[0]), (3.0, 128 | 16 | 1 << 20));
    let got = Frames::pixel(&[1.0, 2.0], &[], &[128, 64]).plain(Combine::Mean, Reject::None);
    assert_eq!((got.data[0], got.mask[0]), (2.0, 64));
    // A variance below zero is 0.
    let got = Frames::pixel(&[1.0, 2.0], &[-3.0, 4.0], &[]).plain(Combine::Mean, Reject::None);
    assert_eq!((got.variance[0], got.tally.negative), (1.0, 1));
}

#[test]
fn quirks_that_are_kept() {
    // Everything is rejected, so nothing is; what its mask excluded stays out.
    let all = Frames::pixel(&[1.0, 2.0, 9.0], &[0.0, 0.0, 0.0], &[0, 0, 1]);
    let got = all.plain(Combine::Mean, Reject::VarClip(Clip::default()));
    assert_eq!((got.data[0], got.good[0], got.low[0], got.high[0], got.rejected[0]), (1.5, 2, 0, 0, 0));
    assert_eq!(got.tally.rejected, 0);
    // An odd number without masks and rejection has the variance of the sample in the middle.
    let data = [3.0, 1.0, 2.0];
    let got = Frames::pixel(&data, &[7.0, 8.0, 5.0], &[]).plain(Combine::Median, Reject::None);
    assert_eq!((got.data[0], got.variance[0]), (2.0, 5.0));
    let got = Frames::pixel(&data, &[7.0, 8.0, 5.0], &[0; 3]).plain(Combine::Median, Reject::None);
    assert!((f64::from(got.variance[0]) - std::f64::consts::FRAC_PI_2 * 20.0 / 9.0).abs() < 1e-6);
    // A variance of 0 in a weighted mean.
    let got = Frames::pixel(&[1.0, 2.0], &[0.0, 4.0], &[0, 0]).plain(Combine::WtMean, Reject::None);
    assert!(got.data[0].is_nan() && got.variance[0] == 0.0);
    let got = Frames::pixel(&[1.0, 2.0], &[0.0, 4.0], &[2, 0]).plain(Combine::WtMean, Reject::None);
    assert_eq!((got.data[0], got.variance[0], got.mask[0]), (0.0, 0.0, 2));
    // Squares in f32 cancel: sigma^2 is below zero, so that nothing is out.
    let mut data = [16_777_215.0; 9];
    data[4] = 16_777_216.0;
    assert_eq!(Frames::pixel(&data, &[], &[]).plain(Combine::Mean, Reject::SigClip(sigma(0.1))).rejected[0], 0);
    // From the second pass on the centre is the mean of what is left only without mclip; the median stays where it was.
    let data = [0.0, 1.0, 2.0, 3.0, 4.0, 100.0, 101.0];
    let left = |clip| Frames::pixel(&data, &[], &[]).plain(Combine::Mean, Reject::SigClip(clip)).good[0];
    let clip = Clip { lsigma: 1.45, hsigma: 1.45, ..Clip::default() };
    assert_eq!((left(Clip { max_iters: Some(0), ..clip }), left(Clip { max_iters: Some(1), ..clip })), (7, 5));
    assert_eq!((left(clip), left(Clip { mclip: false, ..clip })), (3, 5));
}

/// What the reference has not, and scatter beside the propagated variance.
#[test]
fn other_combinations() {
    let frames = Frames::pixel(&[4.0, 1.0, 1.0, 2.0], &[1.0, 2.0, 3.0, 6.0], &[]);
    let both = |combine| frames.run(&[Affine::IDENTITY; 4], combine, Reject::None, Errors::Both);
    // m = 2, S = 6.
    for (combine, value, variance, scatter) in [
        (Combine::Sum, 8.0, 12.0, 8.0),
        (Combine::Min, 1.0, 2.0, 2.0),
        (Combine::Max, 4.0, 1.0, 2.0),
        (Combine::Std, 1.5f64.sqrt(), (4.0 + 2.0 + 3.0) / 24.0, 0.25),
        (Combine::Mean, 2.0, 0.75, 0.5),
        (Combine::WtMean, 5.166_666_7 / 2.0, 0.5, 4.152_777_8 / 6.0),
    ] {
        let got = both(combine);
        let near = |a: f32, b: f64| assert!((f64::from(a) - b).abs() < 1e-6, "{combine:?}: {a} {b}");
        near(got.data[0], value);
        near(got.variance[0], variance);
        near(got.scatter[0], scatter);
        near(got.ratio[0], scatter / variance);
    }
    let one = Frames::pixel(&[4.0], &[1.0], &[]).run(&[Affine::IDENTITY], Combine::Mean, Reject::None, Errors::Both);
    assert!(one.scatter[0] == 0.0 && one.ratio[0].is_nan() && one.variance[0] == 1.0);
}

/// A variable that all frames share is not averaged away.
#[test]
fn shared_variables() {
    let mut frames = Frames::pixel(&[4.0, 1.0, 1.0, 2.0], &[1.0, 2.0, 3.0, 6.0], &[]);
    let both = |frames: &Frames, combine| {
        frames.run(&[Affine { scale: 2.0, zero: 0.0 }; 4], combine, Reject::None, Errors::Both)
    };
    // Of amplitude 3 in each frame, so 6 after the scale; 1.5 times that in the smallest.
    let alone = frames.clone();
    frames.shared = vec![vec![3.0], vec![4.5], vec![3.0], vec![3.0]];
    for (combine, amplitude) in [
        (Combine::Mean, 6.75),
        (Combine::Median, 6.75),
        (Combine::LMedian, 6.75),
        (Combine::WtMean, 6.0 + 3.0 * 0.25),
        (Combine::Sum, 27.0),
        (Combine::Min, 9.0),
        (Combine::Max, 6.0),
        // m = 4, S = 24; the differences are 4, -2, -2 and 0.
        (Combine::Std, -6.0 / 96f64.sqrt()),
    ] {
        let (without, with) = (both(&alone, combine), both(&frames, combine));
        for (a, b) in [(&without.variance, &with.variance), (&without.scatter, &with.scatter)] {
            let more = f64::from(b[0]) - f64::from(a[0]);
            assert!((more - amplitude * amplitude).abs() < 1e-3, "{combine:?}: {more}");
        }
        assert_eq!((with.data[0], with.ratio[0].to_bits()), (without.data[0], without.ratio[0].to_bits()));
    }
}

/// 20 samples of a sigma of 3, one of them 20 sigma up: found in nearly all pixels at 6e4, in few at a million.
#[test]
fn outliers_on_a_high_level_stay() {
    // Twelve uniform numbers make about a normal one.
    let mut state = 1u64;
    let mut normal = || {
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        (0..12).map(|_| uniform()).sum::<f64>() - 6.0
    };
    let pixels = 2000;
    let mut found = [0.0; 2];
    for (found, level) in found.iter_mut().zip([6e4, 1e6]) {
        let frame = |f: usize, normal: &mut dyn FnMut() -> f64| {
            let up = if f == 7 { 60.0 } else { 0.0 };
            (0..pixels).map(|_| (level + up + 3.0 * normal()) as f32).collect::<Vec<f32>>()
        };
        let data: Vec<_> = (0..20).map(|f| frame(f, &mut normal)).collect();
        let got = Frames { data, ..Frames::default() }.plain(Combine::Mean, Reject::SigClip(Clip::default()));
        *found = f64::from(got.high.iter().map(|&n| u32::from(n > 0)).sum::<u32>()) / pixels as f64;
    }
    assert!(found[0] > 0.99 && found[1] > 0.005 && found[1] < 0.1, "{found:?}");
}

fn folder(set: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden").join(set)
}

/// Every case of a set: all planes are the reference's to the bit. The number of values compared.
fn golden(set: &str) -> usize {
    let folder = folder(set);
    let cases: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("cases.json")).unwrap()).unwrap();
    let results = AstroData::open(folder.join("out.fits.gz")).unwrap();
    let words = |p: &crate::Pixels| p.to_f64().iter().map(|&v| v as u32).collect::<Vec<_>>();
    let reals = |p: &crate::Pixels| p.to_f64().iter().map(|&v| v as f32).collect::<Vec<_>>();
    let mut inputs = Frames::default();
    for name in cases["inputs"].as_array().unwrap() {
        let ad = AstroData::open(folder.join(name.as_str().unwrap())).unwrap();
        inputs.data.push(reals(ad[0].data().unwrap()));
        inputs.variance.push(reals(ad[0].variance().unwrap().unwrap()));
        inputs.mask.push(words(ad[0].mask().unwrap().unwrap()));
    }
    let [data, variance] = [results[0].data().unwrap(), results[0].variance().unwrap().unwrap()].map(reals);
    let [dq, rejmap] = [results[0].mask().unwrap().unwrap(), results[0].other("REJMAP").unwrap().unwrap()].map(words);
    let (n, pixels) = (inputs.data.len(), inputs.data[0].len());
    let list = |v: &Value, none: f64| match v.as_array() {
        Some(list) => list.iter().map(|x| x.as_f64().unwrap()).collect(),
        None => vec![none; n],
    };
    let mut compared = 0;
    for (k, case) in cases["cases"].as_array().unwrap().iter().enumerate() {
        let named = |name: &str| Combine::ALL.into_iter().find(|c| c.name() == name).unwrap();
        let clip = || Clip {
            lsigma: case["lsigma"].as_f64().unwrap(),
            hsigma: case["hsigma"].as_f64().unwrap(),
            mclip: case["mclip"].as_bool().unwrap(),
            max_iters: case["max_iters"].as_u64().map(|n| n as u32),
        };
        let number = |key: &str| case[key].as_u64().unwrap() as usize;
        let reject = match case["reject"].as_str().unwrap() {
            "minmax" => Reject::MinMax { nlow: number("nlow"), nhigh: number("nhigh") },
            "sigclip" => Reject::SigClip(clip()),
            "varclip" => Reject::VarClip(clip()),
            _ => Reject::None,
        };
        let affine: Vec<_> = list(&case["scale"], 1.0)
            .into_iter()
            .zip(list(&case["zero"], 0.0))
            .map(|(scale, zero)| Affine { scale, zero })
            .collect();
        let mut frames = inputs.clone();
        let (used_variance, used_mask) = (case["use_var"] == true, case["use_dq"] == true);
        if !used_variance {
            frames.variance.clear();
        }
        if !used_mask {
            frames.mask.clear();
        }
        let errors = if used_variance { Errors::Propagated } else { Errors::Scatter };
        let got = frames.run(&affine, named(case["combine"].as_str().unwrap()), reject, errors);
        let at = k * pixels..(k + 1) * pixels;
        if case["dq"] == true {
            assert_eq!(got.mask, dq[at.clone()], "{set} {k} {case}");
        }
        if case["rejmap"] == true {
            assert_eq!(got.rejected, rejmap[at.clone()], "{set} {k} {case}");
        }
        for (got, want) in [(&got.data, &data[at.clone()]), (&got.variance, &variance[at])] {
            let differs = |(g, w): (&f32, &f32)| g.to_bits() != w.to_bits();
            if let Some(i) = got.iter().zip(want).position(differs) {
                panic!("{set} {k}, pixel {i}: {} {} {case}", got[i], want[i]);
            }
            compared += got.len();
        }
    }
    compared
}

#[test]
fn golden_results_to_the_bit() {
    for set in ["ndstacker_n03", "ndstacker_n06", "ndstacker_n11"] {
        // Data and variance of 112 cases.
        assert_eq!(golden(set), 2 * 112 * 24 * 40);
    }
}
