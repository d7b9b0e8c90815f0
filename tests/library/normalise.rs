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
    let stack = Stack::files(&paths).unwrap().scale_by(Level::Median);
    let plan = stack.plan(&cpu()).unwrap();
    assert!(plan.warnings.iter().any(|w| w.contains("once more")));
    let (_, stats) = stack.eval(&cpu()).unwrap();
    // Data and masks are read twice, variances once.
    assert_eq!(stats.bytes_read - plan.bytes_read, 2 * 20 * (4 + 2));
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
