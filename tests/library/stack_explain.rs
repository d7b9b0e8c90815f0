//! A pixel that is explained is the pixel of the stack, and the samples of the explanation are those that are in it.

use std::cell::Cell;

use ndastro::{Clip, Combine, DetectorNoise, Explanation, Expr, Fate, Flavour, Hierarchy, Map, Reject, VarianceFrom};

use super::*;

const BOX: [usize; 2] = [5, 7];

/// Numbers that are the same in each run (splitmix64).
struct Draws(Cell<u64>);

impl Draws {
    fn next(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15));
        let z = self.0.get();
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// One of `n`.
    fn of(&self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn between(&self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn clip(mclip: bool, lsigma: f64, hsigma: f64, max_iters: Option<u32>) -> Clip {
    Clip { lsigma, hsigma, mclip, max_iters }
}

fn rejections() -> Vec<Reject> {
    let clips = [
        clip(true, 3.0, 3.0, None),
        clip(false, 1.3, 1.1, None),
        clip(true, 1.0, f64::INFINITY, Some(1)),
        clip(true, 0.3, 0.3, Some(0)),
        // Rejects every sample of an even number.
        clip(true, 0.0, 0.0, None),
    ];
    let mut all = vec![Reject::None, Reject::MinMax { nlow: 2, nhigh: 1 }];
    all.extend(clips.map(Reject::SigClip));
    all.extend(clips.map(Reject::VarClip));
    all.extend(clips.map(Reject::MadClip));
    all.extend(clips.map(Reject::Winsorised));
    all.extend(clips.map(Reject::LinFit));
    all.extend([(0.3, 0.05), (0.5, 0.6)].map(|(outliers, significance)| Reject::Gesd { outliers, significance }));
    let noise = DetectorNoise { gain: 40.0, read_noise: 20.0, sensitivity: 0.003 };
    all.extend(clips.map(|clip| Reject::CcdClip(clip, noise)));
    all.extend([-0.5, 0.9, 2.0].map(|at| Reject::PClip { lsigma: 2.0, hsigma: 1.0, at }));
    all.push(Reject::Percentile { low: 15.0, high: 100.0 });
    all.push(Reject::Threshold { low: 99.0, high: 101.5 });
    all
}

/// Frames with outliers, equal samples, NaN, infinities, variances of zero and below, and every kind of mask bits.
fn ugly(draw: &Draws, frames: usize, double: bool, masked: bool) -> Vec<NDAstroData> {
    let one = |_| {
        let data = filled(&BOX, |_| match draw.of(20) {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => 1e6,
            3..6 => 100.0,
            _ => 100.0 + draw.between(-3.0, 3.0),
        });
        let variance = filled(&BOX, |_| match draw.of(20) {
            0 => 0.0,
            1 => -1.0,
            2 => f32::NAN,
            _ => draw.between(0.5, 4.0) as f32,
        });
        let nd = if double { NDAstroData::new(data) } else { NDAstroData::new(data.mapv(|d| d as f32)) };
        let nd = nd.with_variance(variance).unwrap();
        if !masked {
            return nd;
        }
        let bits = [0, 0, 0, 0, 0, 0, 1, 2, 8, 16, 32, 64, 9, 128];
        nd.with_mask(filled(&BOX, |_| bits[draw.of(bits.len())] as u16)).unwrap()
    };
    (0..frames).map(one).collect()
}

/// What the explanation of a pixel must have in common with the whole stack.
fn check(stack: &Stack, extension: usize, whole: &AstroData, at: &[usize], what: &str) -> Explanation {
    let told = stack.explain(extension, at).unwrap();
    let nd = &whole[extension];
    let number = |p: &Pixels| p.to_f64()[at];
    let plane = |name: &str| nd.other(name).unwrap().map(number);
    let (result, bits) = (&told.result, |x: f64| x.to_bits());
    let what = format!("{what} at {at:?}:\n{told}");
    let same = |a: f64, b: f64| bits(a) == bits(b) || a.is_nan() && b.is_nan();
    assert!(same(result.value, number(nd.data().unwrap())), "{what}");
    assert!(same(result.variance, number(nd.variance().unwrap().unwrap())), "{what}");
    assert_eq!(f64::from(result.mask), nd.mask().unwrap().map_or(0.0, number), "{what}");
    assert_eq!(Some(result.samples as f64), plane("NGOOD"), "{what}");
    assert_eq!([Some(result.low as f64), Some(result.high as f64)], [plane("REJLOW"), plane("REJHIGH")], "{what}");
    assert_eq!([result.scatter.is_some(), result.chi_square.is_some()], [plane("SCATTER").is_some(); 2], "{what}");
    if let (Some(scatter), Some(chi_square)) = (result.scatter, result.chi_square) {
        assert!(same(scatter, plane("SCATTER").unwrap()) && same(chi_square, plane("CHISQ").unwrap()), "{what}");
    }
    // The walk came to the same samples.
    assert_eq!(told.disagreement, None, "{what}");
    let kept = told.frames.iter().filter(|s| s.fate == Fate::Kept);
    assert_eq!(kept.clone().count(), result.samples, "{what}");
    if result.samples > 0 {
        assert_eq!(kept.fold(0, |m, s| m | s.mask), result.mask, "{what}");
    }
    told
}

#[test]
fn explained_pixels_are_those_of_the_stack() {
    let draw = Draws(Cell::new(20));
    let engine = Engine::cpu(1).unwrap();
    let (mut undone, mut rejected, mut nothing) = (0, 0, 0);
    for flavour in [Flavour::Stable, Flavour::Dragons] {
        let combines = if flavour == Flavour::Dragons { &Combine::COMMON[..] } else { &Combine::ALL[..] };
        for &combine in combines {
            for (i, reject) in rejections().into_iter().enumerate() {
                let old =
                    matches!(reject, Reject::None | Reject::MinMax { .. } | Reject::SigClip(_) | Reject::VarClip(_));
                if flavour == Flavour::Dragons && !old {
                    continue;
                }
                let frames = ugly(&draw, [4, 5, 9][i % 3], i % 2 == 0, i % 4 != 3);
                let n = frames.len();
                let mut stack =
                    Stack::new(frames).combine(combine).reject(reject).flavour(flavour).maps(Map::OF_SAMPLES);
                if i % 5 == 2 && !old && !matches!(reject, Reject::LinFit(_)) {
                    stack = stack.nkeep(2).maxrej(3);
                }
                if i % 3 == 1 {
                    stack = stack.scale((0..n).map(|f| 0.9 + 0.07 * f as f64).collect());
                    stack = stack.zero((0..n).map(|f| f as f64 - 1.1).collect());
                }
                stack = match i % 5 {
                    0 => stack.variance_from(VarianceFrom::Both),
                    1 => stack.variance_from(VarianceFrom::Scatter),
                    2 => stack.use_variance(false),
                    3 => stack.hierarchy(Hierarchy::new([0, 8]).unwrap()),
                    _ => stack,
                };
                let (whole, _) = stack.eval(&engine).unwrap();
                for y in 0..BOX[0] {
                    for x in 0..BOX[1] {
                        let what = format!("{flavour:?} {combine:?} {reject:?}");
                        let told = check(&stack, 0, &whole, &[y, x], &what);
                        undone += usize::from(told.undone);
                        rejected += usize::from(told.result.low + told.result.high > 0);
                        nothing += usize::from(told.best.is_none());
                    }
                }
            }
        }
    }
    assert!(undone > 20 && rejected > 1000, "{undone} undone, {rejected} rejected, {nothing} with nothing");
}

#[test]
fn computed_frames_are_explained_with_what_they_share() {
    let draw = Draws(Cell::new(21));
    let engine = Engine::cpu(1).unwrap();
    let frames = ugly(&draw, 6, false, true);
    let flat = NDAstroData::new(filled(&BOX, |i| 0.8 + 0.01 * i as f32));
    let flat = flat.with_variance(filled(&BOX, |i| 1e-3 * i as f32)).unwrap();
    for flavour in [Flavour::Stable, Flavour::Dragons] {
        for (combine, reject) in [
            (Combine::Mean, Reject::SigClip(clip(true, 1.5, 1.5, None))),
            (Combine::WtMean, Reject::VarClip(clip(false, 2.0, 2.0, None))),
            (Combine::Median, Reject::MinMax { nlow: 1, nhigh: 1 }),
        ] {
            let flat = flat.clone();
            let stack =
                Stack::new(frames.clone()).combine(combine).reject(reject).flavour(flavour).maps(Map::OF_SAMPLES);
            let stack = stack.calibrate(move |frame, _| Ok((frame - 10.0) / (&flat / Expr::from(&flat).mean(&[]))));
            let (whole, _) = stack.eval(&engine).unwrap();
            let text = format!("{flavour:?} {combine:?}");
            for at in [[0, 0], [2, 3], [4, 6], [1, 5], [3, 0]] {
                let told = check(&stack, 0, &whole, &at, &text);
                for (sample, frame) in told.frames.iter().zip(&frames) {
                    let raw = frame.data().unwrap().to_f64()[at];
                    let found = sample.raw.unwrap();
                    assert!(found == raw || found.is_nan() && raw.is_nan(), "{told}");
                }
            }
        }
    }
    // Expressions of containers, without inputs of their own.
    let stack = Stack::expressions(frames.iter().map(|f| f / &flat)).maps(Map::OF_SAMPLES);
    let (whole, _) = stack.eval(&engine).unwrap();
    for at in [[0, 0], [2, 3], [4, 6]] {
        check(&stack, 0, &whole, &at, "expressions");
    }
}

/// A table has lines; each is as clean as a message.
fn says_all(text: &str, parts: &[&str]) {
    text.lines().for_each(|line| assert_says(line, &[]));
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

/// Frames of one pixel: its data, variance and mask.
fn pixel(samples: &[(f32, f32, u16)]) -> Stack {
    let one = |&(d, v, m): &(f32, f32, u16)| {
        let nd = NDAstroData::new(arr1(&[d])).with_variance(arr1(&[v])).unwrap();
        nd.with_mask(arr1(&[m])).unwrap()
    };
    Stack::new(samples.iter().map(one))
}

#[test]
fn what_happened_is_said() {
    let samples = [
        (9.0, 4.0, 0),
        (10.0, 4.0, 2),
        (11.0, 4.0, 0),
        (10.0, 4.0, 0),
        (10.5, 4.0, 0),
        (900.0, 4.0, 0),
        (12.0, 4.0, 9),
        (f32::NAN, 4.0, 0),
    ];
    let clipped = Reject::SigClip(clip(true, 2.0, 2.0, None));
    let told = pixel(&samples).reject(clipped).variance_from(VarianceFrom::Both).explain(0, &[0]).unwrap();
    let text = told.to_string();
    let says = [
        "sigclip lsigma 2 hsigma 2",
        "pass 1: 6 samples in, centre 10.25, spread ",
        "0 rejected low, 1 high\npass 2: 5 samples in, centre 10, ",
        "nothing rejected",
        "rejected high in pass 1",
        "left out: level 3 (level 0 is there)",
        "bad_pixel+cosmic_ray",
        "unusable: not finite",
        "result: 10.1, variance 0.8 (propagated), scatter ",
        ", chi-square ",
        "mask non_linear\nof 5 samples; 0 rejected low, 1 high",
    ];
    says_all(&text, &says);
    let table: Vec<&str> = text.lines().filter(|l| l.ends_with("kept")).collect();
    assert_eq!(table.len(), 5, "{text}");
    let ends: Vec<Option<usize>> = table.iter().map(|l| l.find("kept")).collect();
    assert!(ends.windows(2).all(|w| w[0] == w[1]), "columns that are not aligned:\n{text}");
    let json = told.to_json();
    assert_eq!(json["frames"][7]["raw"], "NaN");
    assert_eq!(json["frames"][6]["fate"], "left out: level 3 (level 0 is there)");
    assert_eq!((&json["result"]["samples"], &json["passes"][0]["high"]), (&5.into(), &1.into()));

    let none = Reject::SigClip(clip(true, 0.0, 0.0, None));
    let told = pixel(&[(1.0, 1.0, 0), (2.0, 1.0, 0)]).reject(none).explain(0, &[0]).unwrap();
    assert!(told.undone && told.frames.iter().all(|s| s.fate == Fate::Kept));
    says_all(&told.to_string(), &["everything was rejected, so nothing is"]);

    let told = pixel(&samples[..4]).reject(Reject::MinMax { nlow: 1, nhigh: 1 }).explain(0, &[0]).unwrap();
    let says = ["minmax: 4 samples in; 1 rejected low, 1 high", "rejected low by minmax", "rejected high by minmax"];
    says_all(&told.to_string(), &says);

    let told = pixel(&samples[7..]).explain(0, &[0]).unwrap();
    says_all(&told.to_string(), &["no sample is usable", "mask no_data\nof 0 samples"]);

    let varclip = Reject::VarClip(Clip::default());
    let told = pixel(&samples).reject(varclip).use_variance(false).explain(0, &[0]).unwrap();
    assert_says(&told.method, &["reject sigclip"]);
    assert_says(&told.warnings.join("\n"), &["varclip without variances is sigclip"]);
}

#[test]
fn of_each_frame_one_pixel_is_read() {
    let dir = TempDir::new().unwrap();
    let paths = write_frames(dir.path(), 3, &SHAPE);
    let stack = Stack::files(&paths).unwrap().combine(Combine::Median).reject(Reject::SigClip(Clip::default()));
    let plain = stack.clone();
    let calibrated = stack.calibrate(|frame, _| Ok(frame * 2.0));
    // uint16, float32, uint16 of each frame: once by the kernel, and once to be shown; and what was before calibration.
    for (stack, bytes) in [(plain, 2 * 3 * (2 + 4 + 2)), (calibrated, 2 * 3 * (2 + 4 + 2) + 3 * 2)] {
        let read = || stack.inputs().iter().map(|ad| ad.file().unwrap().bytes_read()).sum::<u64>();
        let before = read();
        let told = stack.explain(0, &[41, 7]).unwrap();
        assert_eq!(read() - before, bytes);
        assert_eq!(told.frames[1].name.as_deref(), Some("frame_1.fits"));
        assert_eq!(told.frames[1].raw, Some(f64::from((1000 + 7919 + 31 * (41 * SHAPE[1] + 7)) as u16)));
    }
}

#[test]
fn what_is_not_there_is_refused() {
    let stack = pixel(&[(1.0, 1.0, 0), (2.0, 1.0, 0)]);
    for at in [&[1][..], &[0, 0], &[]] {
        let error = stack.explain(0, at).unwrap_err().to_string();
        assert_says(&error, &["no pixel at", "of shape [1]", "from 0 on"]);
    }
    assert_says(&stack.explain(1, &[0]).unwrap_err().to_string(), &["extension 1", "has 1"]);
    let error = Stack::new(Vec::new()).explain(0, &[0]).unwrap_err().to_string();
    assert_says(&error, &["no frames to stack"]);
}
