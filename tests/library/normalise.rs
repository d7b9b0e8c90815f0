//! Scale and zero by what frames say of themselves: keywords, and statistics of their pixels.

use ndarray::Array2;
use ndastro::fits::Header;
use ndastro::{Expr, Level, Slice};

use super::*;

/// Of four rows of five: `level` plus a pattern whose mean and median are 0, with one flagged cosmic ray.
fn frame(level: f32, exposure: f64) -> NDAstroData {
    let pattern = |(y, x): (usize, usize)| level * (1.0 + [-0.5, -0.25, 0.0, 0.25, 0.5][(x + y) % 5]);
    let mut data = Array2::from_shape_fn((4, 5), pattern);
    let mut mask = Array2::from_elem((4, 5), 0u16);
    (data[[1, 2]], mask[[1, 2]]) = (1e6, 8);
    let mut nd =
        NDAstroData::new(data).with_variance(Array2::from_elem((4, 5), 1f32)).unwrap().with_mask(mask).unwrap();
    nd.meta_mut().set("EXPTIME", exposure, "");
    nd
}

fn night() -> Stack {
    Stack::new([frame(100.0, 10.0), frame(200.0, 20.0), frame(50.0, 4.0)])
}

fn cpu() -> Engine {
    Engine::cpu(2).unwrap()
}

fn history(result: &AstroData, what: &str) -> Option<String> {
    let lines: Vec<String> = result.phu().history().collect();
    lines.into_iter().find(|line| line.contains(what))
}

fn at(result: &AstroData, y: usize, x: usize) -> (f64, f64) {
    let nd = &result[0];
    let of = |p: &Pixels| p.to_f64()[[y, x]];
    (of(nd.data().unwrap()), of(nd.variance().unwrap().unwrap()))
}

#[test]
fn by_exposure_time() {
    let (result, _) = night().scale_by(Level::Keyword("EXPTIME".into())).eval(&cpu()).unwrap();
    let want = night().scale(vec![1.0, 0.5, 2.5]).eval(&cpu()).unwrap().0;
    assert_eq!((at(&result, 0, 0), at(&result, 3, 4)), (at(&want, 0, 0), at(&want, 3, 4)));
    assert_eq!(history(&result, "scale").unwrap(), "ndastro scale by !EXPTIME of 1: 1,0.5,2.5");
    // The keyword may stand in the primary header.
    let mut inputs = Vec::new();
    for t in [2.0, 8.0] {
        let mut phu = Header::new();
        phu.set("TEXP", t, "");
        inputs.push(AstroData::from_extensions(phu, vec![frame(t as f32, 1.0)]));
    }
    let (result, _) = Stack::of(inputs).scale_by(Level::Keyword("TEXP".into())).eval(&cpu()).unwrap();
    assert_eq!(history(&result, "scale").unwrap(), "ndastro scale by !TEXP of 1: 1,0.25");
}

#[test]
fn by_median_of_what_is_good() {
    for level in [Level::Median, Level::Mean] {
        let engine = cpu();
        let stack = night().scale_by(level.clone());
        let (result, stats) = stack.eval(&engine).unwrap();
        let line = history(&result, "scale").unwrap();
        let factors: Vec<f64> = line.rsplit(": ").next().unwrap().split(',').map(|w| w.parse().unwrap()).collect();
        for (got, want) in factors.iter().zip([1.0, 0.5, 2.0]) {
            assert!((got / want - 1.0).abs() < 1e-6, "{level}: {line}");
        }
        // One level for all: 100 (1 + pattern).
        let (value, variance) = at(&result, 0, 0);
        assert!((value - 50.0).abs() < 1e-3 && (variance - (1.0 + 0.25 + 4.0) / 9.0).abs() < 1e-6, "{level}: {value}");
        assert_eq!(stats.frames, 3);
    }
}

#[test]
fn an_offset_is_what_the_factor_leaves() {
    // Frames of one gain on skies of 100, 200, 50.
    let (result, _) = night().zero_by(Level::Median).eval(&cpu()).unwrap();
    let (value, variance) = at(&result, 0, 0);
    // 50, 100 - 100, 25 + 50.
    assert!(
        (value - (50.0 + 0.0 + 75.0) / 3.0).abs() < 1e-3 && (variance - 1.0 / 3.0).abs() < 1e-6,
        "{value} {variance}"
    );
    // By exposure first: levels 100, 100, 125, so offsets 0, 0, -25.
    let (result, _) = night().scale_by(Level::Keyword("EXPTIME".into())).zero_by(Level::Median).eval(&cpu()).unwrap();
    let line = history(&result, "zero").unwrap();
    assert_eq!(line, "ndastro zero by median of 1: 0,0,-25");
    // The same statistic for both leaves nothing for the offset.
    let (result, _) = night().scale_by(Level::Median).zero_by(Level::Median).eval(&cpu()).unwrap();
    assert_eq!(history(&result, "zero").unwrap(), "ndastro zero by median of 1: 0,0,0");
}

#[test]
fn of_a_section_and_of_what_is_stacked() {
    // Column 0 of frames with a gradient; the whole would say otherwise.
    let tilted = |k: f32| NDAstroData::new(Array2::from_shape_fn((4, 5), |(_, x)| k + x as f32));
    let stack = Stack::new([tilted(10.0), tilted(30.0)]).zero_by(Level::Mean);
    let (result, _) = stack.clone().section((.., 0)).eval(&cpu()).unwrap();
    assert_eq!(history(&result, "zero").unwrap(), "ndastro zero by mean of 1: 0,-20");
    let stack = Stack::new([tilted(10.0), tilted(30.0)]).scale_by(Level::Mean);
    let (result, _) = stack.section((.., Slice::from(0..1))).eval(&cpu()).unwrap();
    assert_eq!(history(&result, "scale").unwrap(), "ndastro scale by mean of 1: 1,0.3333333333333333");
    // Of expressions: of what they come to.
    let bias = NDAstroData::new(Array2::from_elem((4, 5), 10f32));
    let frames =
        [30f32, 50.0].map(|k| Expr::from(&NDAstroData::new(Array2::from_elem((4, 5), k))) - &Expr::from(&bias));
    let (result, _) = Stack::expressions(frames).scale_by(Level::Median).eval(&cpu()).unwrap();
    assert_eq!(history(&result, "scale").unwrap(), "ndastro scale by median of 1: 1,0.5");
}

#[test]
fn levels_that_are_none_are_refused() {
    let says = |stack: Stack, words: &[&str]| {
        let error = stack.eval(&cpu()).unwrap_err().to_string();
        assert!(words.iter().all(|w| error.contains(w)), "{error}");
    };
    says(night().scale_by(Level::Keyword("NOSUCH".into())), &["no number in NOSUCH"]);
    let negative = Stack::new([frame(10.0, 1.0), frame(-10.0, 1.0)]);
    says(negative.scale_by(Level::Mean), &["scale", "no positive factor"]);
    let nothing = Stack::new([NDAstroData::new(Array2::<f32>::zeros((2, 2))), frame(1.0, 1.0)]);
    says(nothing.clone().scale_by(Level::Mean), &["shape"]);
    let nothing = Stack::new([0f32, 5.0].map(|k| NDAstroData::new(Array2::from_elem((2, 2), k))));
    says(nothing.scale_by(Level::Median), &["scale", "no positive factor"]);
    says(night().section((0, ..)), &["section"]);
    says(night().zero_by(Level::Mean).section((.., 7)), &["7"]);
    assert!("1,x".parse::<Level>().is_err() && "!".parse::<Level>().is_err());
    assert_eq!("!exptime".parse::<Level>().unwrap(), Level::Keyword("EXPTIME".into()));
    assert_eq!("1, 0.5".parse::<Level>().unwrap(), Level::Values(vec![1.0, 0.5]));
}

fn factors(stack: Stack) -> (Vec<f64>, Vec<f64>) {
    let (_, stats) = stack.eval(&cpu()).unwrap();
    (stats.factors[0].scale.clone(), stats.factors[0].zero.clone())
}

fn near(got: &[f64], want: &[f64], part: f64) {
    let near = |(got, want): (&f64, &f64)| (got - want).abs() <= part * want.abs().max(1e-3);
    assert!(got.len() == want.len() && got.iter().zip(want).all(near), "{got:?} and {want:?}");
}

/// IRAF has single precision; numpy's are of the same numbers in f64. Frames are taken as f32, f64, and integers.
#[test]
fn modes_are_those_of_iraf_and_fits_those_of_numpy() {
    let all = support::json("levels.json");
    let numbers = |v: &serde_json::Value| -> Vec<f64> { serde_json::from_value(v.clone()).unwrap() };
    for (kind, of) in all["kinds"].as_object().unwrap() {
        let arrays: Vec<Array2<f64>> = of["frames"]
            .as_array()
            .unwrap()
            .iter()
            .map(|frame| Array2::from_shape_vec((24, 30), numbers(frame)).unwrap())
            .collect();
        for dtype in ["f4", "f8", "i2"] {
            let nd = |data: &Array2<f64>| match dtype {
                "f4" => NDAstroData::new(data.mapv(|x| x as f32)),
                "i2" => NDAstroData::new(data.mapv(|x| x as i16)),
                _ => NDAstroData::new(data.clone()),
            };
            if dtype == "i2" && kind == "real" {
                continue;
            }
            let stack = || Stack::new(arrays.iter().map(nd));
            for (what, stack) in [("scale", stack().scale_by(Level::Mode)), ("zero", stack().zero_by(Level::Mode))] {
                let (made, _) = stack.eval(&cpu()).unwrap();
                let made: Vec<f64> = made[0].data().unwrap().to_f64().into_iter().take(40).collect();
                near(&made, &numbers(&of[what]), 1e-6);
            }
            let fits = of["fits"].as_array().unwrap();
            let want = |what: &str, k: Option<usize>| -> Vec<f64> {
                fits.iter().map(|fit| k.map_or(&fit[what], |k| &fit[what][k]).as_f64().unwrap()).collect()
            };
            // f32 frames of numbers that are none of f32 differ by that.
            let part = if kind == "real" && dtype == "f4" { 1e-6 } else { 1e-11 };
            let (scale, zero) = factors(stack().scale_by(Level::Fit).zero_by(Level::Fit));
            near(&scale, &want("both", Some(0)), part);
            near(&zero[1..], &want("both", Some(1))[1..], part);
            near(&factors(stack().scale_by(Level::Fit)).0, &want("scale", None), part);
            near(&factors(stack().zero_by(Level::Fit)).1, &want("zero", None), part);
        }
    }
}

/// x = (y - z) / s in numbers that are exact.
fn line(y: &Array2<f32>, s: f32, z: f32) -> Array2<f32> {
    y.mapv(|y| (y - z) / s)
}

fn scene() -> Array2<f32> {
    Array2::from_shape_fn((16, 21), |(y, x)| 1000.0 + ((y * 37 + x * 101) % 64) as f32 * 16.0)
}

#[test]
fn fits_find_what_frames_were_made_of() {
    let y = scene();
    let made = [(2.0, 64.0), (0.5, -128.0), (1.0, 8.0)];
    let frames = |with: &dyn Fn(usize, &mut Array2<f32>)| -> Vec<Array2<f32>> {
        let lines = made.iter().enumerate().map(|(i, (s, z))| {
            let mut x = line(&y, *s, *z);
            with(i, &mut x);
            x
        });
        std::iter::once(y.clone()).chain(lines).collect()
    };
    let stack = |frames: &[Array2<f32>]| Stack::new(frames.iter().cloned().map(NDAstroData::new));
    let both = |stack: Stack| stack.scale_by(Level::Fit).zero_by(Level::Fit);
    let exact = frames(&|_, _| ());
    let (scale, zero) = factors(both(stack(&exact)));
    near(&scale, &[1.0, 2.0, 0.5, 1.0], 1e-14);
    near(&zero, &[0.0, 64.0, -128.0, 8.0], 1e-11);
    // The frames are the same then, and so is the stack.
    let (result, _) = both(stack(&exact)).eval(&cpu()).unwrap();
    assert_eq!(result[0].data().unwrap(), &Pixels::from(y.clone()));
    assert!(history(&result, "scale").unwrap().starts_with("ndastro scale by fit of 1: 1,"));
    assert!(history(&result, "zero").unwrap().starts_with("ndastro zero by fit of 1: 0,"));
    // Noise of 1 on a signal of 295: s by some thousandths.
    let noise = |i: usize, x: &mut Array2<f32>| {
        let mut word = 12345u32 + i as u32;
        x.iter_mut().for_each(|x| {
            word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *x += ((word >> 16) as f32 / 65_536.0 - 0.5) * 3.46;
        });
    };
    let (scale, zero) = factors(both(stack(&frames(&noise))));
    near(&scale, &[1.0, 2.0, 0.5, 1.0], 2e-3);
    near(&zero[1..], &[64.0, -128.0, 8.0], 0.3);
    // One at a time: frames that differ by the factor alone, or by the offset.
    let of = |s: f32, z: f32| stack(&[y.clone(), line(&y, s, z)]);
    assert_eq!(factors(of(4.0, 0.0).scale_by(Level::Fit)), (vec![1.0, 4.0], vec![0.0, 0.0]));
    assert_eq!(factors(of(1.0, 40.0).zero_by(Level::Fit)), (vec![1.0, 1.0], vec![0.0, 40.0]));
    // The offset is what factors of any origin leave.
    assert_eq!(factors(of(4.0, 40.0).scale(vec![2.0, 8.0]).zero_by(Level::Fit)).1, [0.0, 80.0]);
    let by_median = factors(of(4.0, 0.0).scale_by(Level::Fit).zero_by(Level::Median));
    assert_eq!(by_median, (vec![1.0, 4.0], vec![0.0, 0.0]));
}

#[test]
fn fits_and_modes_are_of_good_pixels() {
    let y = scene();
    let mut x = line(&y, 2.0, 64.0);
    let mut y_bad = y.clone();
    let mut masks = [Array2::from_elem(y.dim(), 0u16), Array2::from_elem(y.dim(), 0u16)];
    // One bad in each, and one that is not finite; saturation (4) is of the first level.
    (y_bad[[0, 0]], masks[0][[0, 0]]) = (1e9, 8);
    (x[[3, 3]], masks[1][[3, 3]]) = (1e9, 1);
    (x[[5, 5]], y_bad[[6, 6]]) = (f32::NAN, f32::INFINITY);
    masks[1][[7, 7]] = 4;
    let [of_y, of_x] = masks;
    let frames = [NDAstroData::new(y_bad).with_mask(of_y).unwrap(), NDAstroData::new(x).with_mask(of_x).unwrap()];
    let stack = || Stack::new(frames.clone());
    let (scale, zero) = factors(stack().scale_by(Level::Fit).zero_by(Level::Fit));
    near(&scale, &[1.0, 2.0], 1e-14);
    near(&zero[1..], &[64.0], 1e-11);
    let (scale, _) = factors(stack().use_mask(false).scale_by(Level::Fit));
    assert!((scale[1] - 2.0).abs() > 0.1, "masks matter: {scale:?}");
    // Of a section; what is outside of it is as it likes.
    let mut odd = line(&y, 2.0, 64.0);
    odd.row_mut(4).fill(0.0);
    let stack = || Stack::new([y.clone(), odd.clone()].map(NDAstroData::new)).section((5.., ..));
    let (scale, _) = factors(stack().scale_by(Level::Fit).zero_by(Level::Fit));
    near(&scale, &[1.0, 2.0], 1e-14);
}

/// Most pixels of a frame are bad, most of the good ones at its level, and those of row 0 at another.
#[test]
fn modes_are_of_good_pixels() {
    let frame = |level: f32| {
        let bad = |y: usize, x: usize| !(y + x).is_multiple_of(3);
        let value = |(y, x): (usize, usize)| match (bad(y, x), y) {
            (true, _) if x.is_multiple_of(5) => f32::NAN,
            (true, _) => 7.0,
            (_, 0) => -level,
            _ if x % 4 == 1 => level + x as f32,
            _ => level,
        };
        let mask = Array2::from_shape_fn((30, 20), |(y, x)| if bad(y, x) { 8u16 } else { 0 });
        NDAstroData::new(Array2::from_shape_fn((30, 20), value)).with_mask(mask).unwrap()
    };
    let stack = || Stack::new([frame(100.0), frame(140.0)]);
    assert_eq!(factors(stack().zero_by(Level::Mode)).1, [0.0, -40.0]);
    assert_eq!(factors(stack().scale_by(Level::Mode)).0, [1.0, 100.0 / 140.0]);
    assert_eq!(factors(stack().zero_by(Level::Mode).section((..1, ..))).1, [0.0, 40.0]);
    assert_eq!(factors(stack().use_mask(false).zero_by(Level::Mode)).1, [0.0, 0.0]);
}

#[test]
fn fits_are_of_what_is_stacked() {
    let bias = NDAstroData::new(Array2::from_shape_fn((16, 21), |(y, x)| (y * x) as f32));
    let raw = |s: f32, z: f32| {
        NDAstroData::new(line(&scene(), s, z) + &Array2::from_shape_fn((16, 21), |(y, x)| (y * x) as f32))
    };
    let stack = Stack::new([raw(1.0, 0.0), raw(2.0, 8.0), raw(4.0, -8.0)]);
    let stack = stack.calibrate(move |frame, _| Ok(frame - &bias)).scale_by(Level::Fit).zero_by(Level::Fit);
    let (result, stats) = stack.eval(&cpu()).unwrap();
    near(&stats.factors[0].scale, &[1.0, 2.0, 4.0], 1e-13);
    near(&stats.factors[0].zero[1..], &[8.0, -8.0], 1e-10);
    assert_eq!(result[0].data().unwrap(), &Pixels::from(scene()));
    // The same whatever the threads and the tiles.
    let small = stack.clone().memory(200 << 10).eval(&Engine::cpu(1).unwrap()).unwrap();
    assert_eq!((&small.1.factors, small.0[0].data().unwrap()), (&stats.factors, result[0].data().unwrap()));
}

/// More pixels than are held: every third along both axes, and HISTORY says so.
#[test]
fn a_grid_of_large_sections() {
    let y = Array2::from_shape_fn((2049, 2049), |(y, x)| 1000.0 + ((y * 37 + x * 101) % 64) as f32 * 16.0);
    let mut x = line(&y, 2.0, 64.0);
    // What is between the pixels of the grid is not looked at.
    x[[1000, 1000]] = 1e20;
    let stack = || Stack::new([y.clone(), x.clone()].map(NDAstroData::new));
    let (result, stats) = stack().scale_by(Level::Fit).zero_by(Level::Fit).eval(&cpu()).unwrap();
    near(&stats.factors[0].scale, &[1.0, 2.0], 1e-13);
    assert!(history(&result, "zero").unwrap().starts_with("ndastro zero by fit of 1, step 3: 0,"));
    let (result, _) = stack().scale_by(Level::Mode).section((..1024, ..1024)).eval(&cpu()).unwrap();
    assert!(history(&result, "scale").unwrap().starts_with("ndastro scale by mode of 1: 1,"));
}

#[test]
fn frames_without_a_fit_are_named() {
    let says = |stack: Stack, words: &[&str]| {
        let error = stack.eval(&cpu()).unwrap_err().to_string();
        assert!(words.iter().all(|w| error.contains(w)), "{error}");
    };
    let folder = tempfile::tempdir().unwrap();
    let stack = |x: Array2<f32>| {
        let file = |(name, data): (&str, Array2<f32>)| {
            let path = folder.path().join(name);
            AstroData::from_extensions(Header::new(), vec![NDAstroData::new(data)]).write(&path, true).unwrap();
            path
        };
        Stack::files([("first.fits", scene()), ("other.fits", x)].map(file)).unwrap()
    };
    let flat = Array2::from_elem((16, 21), 5f32);
    says(
        stack(flat.clone()).scale_by(Level::Fit).zero_by(Level::Fit),
        &["scale", "other.fits", "first.fits", "the same wherever"],
    );
    says(stack(flat * 0.0).scale_by(Level::Fit), &["scale", "other.fits", "is 0 wherever"]);
    says(stack(-scene()).scale_by(Level::Fit), &["scale", "not positive"]);
    says(stack(scene() * f32::NAN).zero_by(Level::Fit), &["zero", "other.fits", "no pixel is good in both"]);
    says(stack(scene() * f32::NAN).zero_by(Level::Mode), &["other.fits", "no pixel that is finite"]);
    says(stack(scene()).scale_by(Level::Fit).memory(1000), &["bytes of memory are needed"]);
    assert_eq!("fit".parse::<Level>().unwrap(), Level::Fit);
    assert_eq!("mode".parse::<Level>().unwrap().to_string(), "mode");
}

#[test]
fn a_plan_reads_no_pixel_for_levels() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = [100f32, 200.0]
        .iter()
        .enumerate()
        .map(|(i, k)| {
            let path = folder.path().join(format!("{i}.fits"));
            AstroData::from_extensions(Header::new(), vec![frame(*k, 1.0)]).write(&path, false).unwrap();
            path
        })
        .collect();
    for level in [Level::Median, Level::Mode, Level::Fit] {
        let stack = Stack::files(&paths).unwrap().scale_by(level);
        let plan = stack.plan(&cpu()).unwrap();
        assert!(plan.warnings.iter().any(|w| w.contains("once more")));
        let (_, stats) = stack.eval(&cpu()).unwrap();
        // Data and masks are read twice, variances once.
        assert_eq!(stats.bytes_read - plan.bytes_read, 2 * 20 * (4 + 2));
    }
}

/// What `ccdproc.create_deviation(..., disregard_nan=True)` of ccdproc 2.5.1 says, squared.
#[test]
fn noise_is_that_of_ccdproc() {
    let counts = [0u16, 1, 100, 999, 65_535];
    for (gain, read_noise, want) in [
        (1.0, 5.0, [25.0, 26.0, 125.0, 1024.0, 65_560.0]),
        (1.7, 4.25, [6.25, 6.8382352941176485, 65.07352941176471, 593.8970588235295, 38_556.24999999999]),
        (0.3, 0.0, [0.0, 3.333333333333333, 333.3333333333333, 3330.000000000001, 218_450.00000000003]),
    ] {
        let nd = NDAstroData::new(arr1(&counts)).with_noise(gain, read_noise).unwrap();
        let got = nd.variance().unwrap().unwrap().to_f64();
        assert!(
            got.iter().zip(want).all(|(got, want)| (got - want).abs() <= 1e-7 * want),
            "{gain} {read_noise}: {got}"
        );
    }
    let below = NDAstroData::new(arr1(&[-7f32, f32::NAN, 2.0])).with_noise(1.7, 4.25).unwrap();
    let got = below.slice(1..).unwrap().variance().unwrap().unwrap().to_f64();
    assert!(got[0].is_nan() && below.variance().unwrap().unwrap().to_f64()[0] == 6.25);
    for (gain, read_noise) in [(0.0, 1.0), (-1.0, 1.0), (f64::NAN, 1.0), (1.0, -1.0), (1.0, f64::INFINITY)] {
        assert!(NDAstroData::new(arr1(&counts)).with_noise(gain, read_noise).is_err(), "{gain} {read_noise}");
    }
}

#[test]
fn noise_goes_through_expressions_stacks_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let counts = |k: u16| Array2::from_shape_fn((3, 7), |(y, x)| k + (y * 7 + x) as u16);
    let mut explicit = Vec::new();
    let mut made = Vec::new();
    for k in [100u16, 130, 90] {
        let path = folder.path().join(format!("{k}.fits"));
        AstroData::from_extensions(Header::new(), vec![NDAstroData::new(counts(k))]).write(&path, false).unwrap();
        let nd = AstroData::open(&path).unwrap()[0].clone();
        let variance = counts(k).mapv(|c| ((2.0 * f64::from(c) + 9.0) / 4.0) as f32);
        explicit.push(nd.clone().with_variance(variance).unwrap());
        made.push(nd.with_noise(2.0, 3.0).unwrap());
    }
    assert!(made[0].is_lazy());
    let engine = cpu();
    let numbers = |nd: &NDAstroData| (nd.data().unwrap().clone(), nd.variance().unwrap().unwrap().clone());
    let stacked = |frames: &[NDAstroData]| numbers(&Stack::new(frames.to_vec()).eval(&engine).unwrap().0[0]);
    assert_eq!(stacked(&made), stacked(&explicit));
    let ratio = |f: &[NDAstroData]| numbers(&(Expr::from(&f[0]) / &Expr::from(&f[1])).eval(&engine).unwrap());
    assert_eq!(ratio(&made), ratio(&explicit));
    // In a file it is a plane like any other.
    let path = folder.path().join("with.fits");
    AstroData::from_extensions(Header::new(), vec![made[0].clone()]).write(&path, false).unwrap();
    let back = AstroData::open(&path).unwrap();
    assert_eq!(numbers(&back[0]), numbers(&explicit[0]));
    assert_eq!(back[0].data().unwrap(), &Pixels::from(counts(100)));
    // It stays what it was if the data are changed.
    let mut changed = made[0].clone();
    changed.set_data(counts(7)).unwrap();
    assert_eq!(numbers(&changed).1, numbers(&explicit[0]).1);
}
