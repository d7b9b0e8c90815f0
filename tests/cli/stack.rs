//! `ndastro stack`: its options, calibration in the same pass, and the plan.

use ndastro::NDAstroData;
use ndastro::fits::Header;

use super::*;

/// Weights in files of their own: sum W x / sum W, and 1 / sum W; a weight of 0 is no sample.
#[test]
fn weight_maps_are_inverse_variances() {
    let dir = TempDir::new().unwrap();
    let (shape, pixels) = ([7, 9], 63);
    let value = |f: usize, i: usize| (100 + 31 * f + i * i % 17) as f32;
    let weight = |f: usize, i: usize| {
        if i == 5 || (i + f).is_multiple_of(4) { 0.0 } else { 0.25 * (1 + (i + 3 * f) % 5) as f32 }
    };
    let mut frames = Vec::new();
    for f in 0..4 {
        let name = format!("f{f}.fits");
        let images =
            [1, 2].map(|ver| ("SCI", ver, Pixels::from(support::filled(&shape, |i| value(f + ver as usize, i)))));
        write_images(&dir.path().join(&name), &images);
        let weights = [1, 2].map(|ver| ("WHT", ver, Pixels::from(support::filled(&shape, |i| weight(f, i)))));
        write_images(&dir.path().join(format!("f{f}.weight.fits")), &weights);
        frames.push(name);
    }
    run(dir.path(), stack(&frames, &["-o", "out.fits", "--weight-map", "{}.weight.fits"])).ok();
    let out = AstroData::open(dir.path().join("out.fits")).unwrap();
    for (e, nd) in out.iter().enumerate() {
        let (data, variance) = (nd.data().unwrap().to_f64(), nd.variance().unwrap().unwrap().to_f64());
        let mask = nd.mask().unwrap().unwrap().to_f64();
        let (data, variance, mask): (Vec<f64>, Vec<f64>, Vec<f64>) =
            (data.into_iter().collect(), variance.into_iter().collect(), mask.into_iter().collect());
        for i in 0..pixels {
            let sum: f64 = (0..4).map(|f| f64::from(weight(f, i))).sum();
            let weighted: f64 = (0..4).map(|f| f64::from(weight(f, i)) * f64::from(value(f + e + 1, i))).sum();
            let want = if sum > 0.0 { (weighted / sum, 1.0 / sum, 0.0) } else { (0.0, 0.0, 16.0) };
            let near = |got: f64, want: f64| (got - want).abs() <= 4e-7 * want;
            assert!(near(data[i], want.0) && near(variance[i], want.1) && mask[i] == want.2, "{e} {i}: {want:?}");
        }
    }
    // Other methods take their variances of it; a map that is missing or of another kind is named.
    run(dir.path(), stack(&frames, &["-o", "m.fits", "--weight-map", "{}.weight.fits", "--combine", "median"])).ok();
    run(dir.path(), stack(&frames, &["-o", "x.fits", "--weight-map", "{}.none.fits"])).failed(&["f0.none.fits"]);
    write_images(&dir.path().join("one.fits"), &[("WHT", 1, Pixels::from(support::filled(&shape, |i| weight(1, i))))]);
    run(dir.path(), stack(&frames, &["-o", "x.fits", "--weight-map", "one.fits"])).failed(&[
        "one.fits",
        "1 images of weights",
        "2 expected",
    ]);
    let maps = fs::read(dir.path().join("f1.weight.fits")).unwrap();
    let over = ["-o", "f1.weight.fits", "--overwrite", "--weight-map", "{}.weight.fits"];
    run(dir.path(), stack(&frames, &over)).failed(&["f1.weight.fits", "is one of the inputs"]);
    assert!(fs::read(dir.path().join("f1.weight.fits")).unwrap() == maps);
}

const STACK: [&str; 6] = ["stack", "frame_2.fits", "frame_3.fits", "frame_4.fits", "--engine", "cpu"];

fn folder() -> TempDir {
    let dir = TempDir::new().unwrap();
    write_frames(dir.path(), 5, &[20, 30]);
    dir
}

fn numbers(path: &Path, plane: &str) -> Vec<f64> {
    let file = AstroData::open(path).unwrap();
    let pixels = match plane {
        "SCI" => file[0].data().unwrap(),
        "VAR" => file[0].variance().unwrap().unwrap(),
        "DQ" => file[0].mask().unwrap().unwrap(),
        name => file[0].other(name).unwrap().unwrap_or_else(|| panic!("no plane {name}")),
    };
    pixels.to_f64().into_iter().collect()
}

/// Data and masks are those of frames that `calc` made first; the variance is larger by what they share.
#[test]
fn calibration_in_the_same_pass_is_that_of_files_between() {
    let dir = folder();
    let operands = ["bias=frame_0.fits", "flat=frame_1.fits"];
    let expression = "(frame - bias) / flat";
    let options = ["--calibrate", expression, "-o", "at_once.fits", "--ignore-mask"];
    run(dir.path(), STACK.iter().chain(&operands).chain(&options)).ok();
    let mut between = vec!["stack".to_string()];
    for i in 2..5 {
        let (frame, out) = (format!("frame=frame_{i}.fits"), format!("cal_{i}.fits"));
        let calc =
            ["calc", expression, &frame, operands[0], operands[1], "-o", &out, "--engine", "cpu", "--ignore-mask"];
        run(dir.path(), calc).ok();
        between.push(out);
    }
    between.extend(["-o", "between.fits", "--engine", "cpu"].map(String::from));
    run(dir.path(), between).ok();
    let (once, between) = (dir.path().join("at_once.fits"), dir.path().join("between.fits"));
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-6 * a.abs().max(b.abs());
    assert!(numbers(&once, "SCI").into_iter().zip(numbers(&between, "SCI")).all(|(a, b)| close(a, b)));
    // Frame variances are about the same, so the shared part is about as large as three times the rest of it.
    let larger = numbers(&once, "VAR").into_iter().zip(numbers(&between, "VAR"));
    assert!(larger.clone().all(|(a, b)| a > 1.2 * b), "{:?}", larger.take(5).collect::<Vec<_>>());
    let header = FitsFile::open(&once).unwrap().hdus()[0].header.cards().concat();
    assert_says(&String::from_utf8_lossy(&header), &["calibrate: (frame - bias) / flat", "bias = frame_0.fits"]);
}

#[test]
fn a_plan_is_all_that_a_plan_makes() {
    let dir = folder();
    let before = names(dir.path());
    let plan = run(dir.path(), STACK.iter().chain(&["--plan", "--reject", "sigclip", "--maps", "rejmap"])).ok();
    for part in ["engine", "cpu", "frames    3", "SCI, VAR, DQ, REJMAP", "in float32", "9 planes"] {
        assert!(plan.contains(part), "{part:?} is not in\n{plan}");
    }
    assert_eq!(names(dir.path()), before);
    run(dir.path(), STACK.iter().chain(&["--plan", "--stats", "plan.json", "-o", "out.fits"])).ok();
    run(dir.path(), STACK.iter().chain(&["--stats", "stats.json", "-o", "out.fits"])).ok();
    let said = |name: &str| -> Value { serde_json::from_slice(&fs::read(dir.path().join(name)).unwrap()).unwrap() };
    for key in ["bytes_read", "bytes_uploaded", "tiles"] {
        assert_eq!(said("plan.json")[key], said("stats.json")[key], "{key}");
    }
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    let dir = folder();
    let before = names(dir.path());
    for (options, parts) in [
        (&["--nlow", "1", "--reject", "sigclip"][..], &["--nlow", "sigclip"][..]),
        (&["--lsigma", "2"][..], &["--lsigma", "none"][..]),
        (&["--reject", "minmax", "--nlow", "2", "--nhigh", "1"][..], &["leave nothing of 3 frames"][..]),
        (&["--reject", "pclip", "--no-mclip"][..], &["--no-mclip", "pclip"][..]),
        (&["--reject", "gesd", "--lsigma", "2"][..], &["--lsigma", "gesd"][..]),
        (&["--reject", "gesd", "--outliers", "0.6"][..], &["outliers: 0.6", "0 to 0.5"][..]),
        (&["--reject", "gesd", "--significance", "0"][..], &["significance: 0", "between 0 and 1"][..]),
        (&["--reject", "sigclip", "--outliers", "0.1"][..], &["--outliers", "sigclip"][..]),
        (&["--reject", "linfit", "--no-mclip"][..], &["--no-mclip", "linfit"][..]),
        (&["--reject", "linfit", "--nkeep", "2"][..], &["nkeep", "do not go with linfit"][..]),
        (&["--reject", "crreject", "--lsigma", "2"][..], &["--lsigma", "crreject"][..]),
        (&["--reject", "ccdclip"][..], &["need --gain and --read-noise"][..]),
        (&["--reject", "ccdclip", "--gain", "0", "--read-noise", "3"][..], &["gain", "above 0"][..]),
        (&["--reject", "percentile"][..], &["percentile needs --limits"][..]),
        (&["--reject", "percentile", "--limits", "60,40"][..], &["60 and 40"][..]),
        (&["--reject", "pclip", "--pclip", "0"][..], &["pclip: 0"][..]),
        (&["--reject", "minmax", "--nkeep", "2"][..], &["nkeep", "do not go with minmax"][..]),
        (&["--reject", "winsorised", "--flavour", "dragons"][..], &["dragons has no winsorised"][..]),
        (&["--reject", "sigclip", "--maxrej", "1", "--flavour", "dragons"][..], &["nkeep and maxrej"][..]),
        (&["--combine", "percentile"][..], &["percentile needs --percentile"][..]),
        (&["--percentile", "20"][..], &["--percentile", "--combine mean"][..]),
        (&["--combine", "percentile", "--percentile", "-1"][..], &["-1", "from 0 to 100"][..]),
        (&["--combine", "quadrature", "--flavour", "dragons"][..], &["dragons has no quadrature"][..]),
        (&["--grow", "2"][..], &["grow goes with a rejection"][..]),
        (&["--combine", "or", "--reject", "sigclip"][..], &["or does not go with a rejection"][..]),
        (&["--dq-levels", "bad_pixle"][..], &["bad_pixle", "bad_pixel"][..]),
        (&["--calibrate", "frame - bias"][..], &["bias", "no bias=FILE"][..]),
        (&["--calibrate", "bias / 2", "bias=frame_0.fits"][..], &["does not occur"][..]),
        (&["--variance", "both", "--ignore-variance"][..], &["no variance"][..]),
    ] {
        let done = run(dir.path(), STACK.iter().chain(&["-o", "out.fits"]).chain(options));
        assert_eq!(done.code, 1, "{options:?}: {}", done.err);
        assert_says(done.err.trim_end(), parts);
    }
    for options in [["--lsigma", "-1"], ["--hsigma", "nan"], ["--maps", "all"], ["--reject", "some"]] {
        let done = run(dir.path(), STACK.iter().chain(&["-o", "out.fits", "--reject", "sigclip"]).chain(&options));
        assert_eq!(done.code, 2, "{options:?}: {}", done.err);
    }
    assert_eq!(names(dir.path()), before);
}

/// Of each rejection, combination and level the header says what was done.
#[test]
fn what_was_done_is_in_the_history() {
    let dir = folder();
    let noise = ["--gain", "2", "--read-noise", "5"];
    for (options, says) in [
        (&["--reject", "winsorised", "--hsigma", "2"][..], "reject winsorised lsigma 3 hsigma 2 mclip to convergence,"),
        (&["--reject", "gesd", "--significance", "0.01"][..], "reject gesd outliers 0.3 significance 0.01,"),
        (&["--reject", "linfit", "--lsigma", "4"][..], "reject linfit lsigma 4 hsigma 3 to convergence,"),
        (&["--reject", "pclip", "--pclip", "0.7"][..], "reject pclip lsigma 3 hsigma 3 pclip 0.7,"),
        (&["--reject", "percentile", "--limits", "0,90"][..], "reject percentile 0,90,"),
        (&["--reject", "threshold", "--limits", "-inf,9e4"][..], "reject threshold -inf,90000,"),
        (&["--reject", "crreject", "--sensitivity", "0.01"][..], "gain 2 read-noise 5 sensitivity 0.01,"),
        (&["--reject", "sigclip", "--nkeep", "2", "--maxrej", "1"][..], "ndastro nkeep: 2"),
        (&["--reject", "sigclip", "--grow", "1.5"][..], "ndastro grow: 1.5"),
        (&["--combine", "percentile", "--percentile", "12.5"][..], "combine percentile 12.5,"),
        (&["--combine", "quadrature"][..], "combine quadrature,"),
        (&["--scale", "fit"][..], "ndastro scale by fit of 1: 1,"),
        (&["--zero", "mode", "--section", "2:,:20"][..], "ndastro zero by mode of 1: 0,"),
    ] {
        let crreject = options.contains(&"crreject");
        let more = if crreject { &noise[..] } else { &[] };
        let words = STACK.iter().chain(options).chain(more).chain(&["-o", "out.fits", "--overwrite"]);
        run(dir.path(), words).ok();
        let header = AstroData::open(dir.path().join("out.fits")).unwrap();
        // A long line goes on in the next card, wherever it was cut.
        let history: String = header.phu().history().collect();
        let bare = |text: &str| text.replace(' ', "");
        assert!(bare(&history).contains(&bare(says)), "{says:?} is not in {history}");
    }
}

/// An output that is what the frames are calibrated with would destroy it.
#[test]
fn what_calibrates_is_not_written_over() {
    let dir = folder();
    let bytes = fs::read(dir.path().join("frame_0.fits")).unwrap();
    let options = ["--calibrate", "frame - bias", "bias=frame_0.fits", "-o", "frame_0.fits", "--overwrite"];
    let done = run(dir.path(), STACK.iter().chain(&options));
    assert_eq!(done.code, 1, "{}", done.err);
    assert_eq!(fs::read(dir.path().join("frame_0.fits")).unwrap(), bytes);
}

/// Counts alone, with gain and read noise of the header: the variance is that of the container with the same noise.
#[test]
fn noise_and_levels_of_the_header() {
    let dir = TempDir::new().unwrap();
    let mut frames = Vec::new();
    for (i, seconds) in [10.0, 20.0].into_iter().enumerate() {
        let counts = ndarray::Array2::from_elem((2, 3), (seconds * 100.0) as u16);
        let mut nd = NDAstroData::new(counts);
        nd.meta_mut().set("EXPTIME", seconds, "");
        let mut phu = Header::new();
        phu.set("GAIN", 2.0, "");
        AstroData::from_extensions(phu, vec![nd]).write(dir.path().join(format!("{i}.fits")), false).unwrap();
        frames.push(format!("{i}.fits"));
    }
    let options = ["--gain", "!gain", "--read-noise", "6", "--scale", "!EXPTIME", "-o", "out.fits", "--engine", "cpu"];
    let options = options.into_iter().chain(["--stats", "stats.json"]);
    let args: Vec<&str> = ["stack"].into_iter().chain(frames.iter().map(String::as_str)).chain(options).collect();
    run(dir.path(), &args).ok();
    let out = AstroData::open(dir.path().join("out.fits")).unwrap();
    let first = |p: &ndastro::Pixels| p.to_f64()[[0, 0]];
    // (2 * 1000 + 36) / 4, and half of it squared times (2 * 2000 + 36) / 4, over 4.
    let want = (509.0 + 0.25 * 1009.0) / 4.0;
    assert_eq!(first(out[0].data().unwrap()), 1000.0);
    assert_eq!(first(out[0].variance().unwrap().unwrap()), f64::from(want as f32));
    let history: Vec<String> = out.phu().history().collect();
    assert!(history.iter().any(|line| line == "ndastro scale by !EXPTIME of 1: 1,0.5"), "{history:?}");
    let stats: Value = serde_json::from_slice(&fs::read(dir.path().join("stats.json")).unwrap()).unwrap();
    assert_eq!(stats["factors"], serde_json::json!([{ "extver": 1, "scale": [1.0, 0.5], "zero": [0.0, 0.0] }]));
}

#[test]
fn weights_and_exposures_of_the_command_line() {
    let dir = folder();
    let made = |name: &str, more: &[&str]| {
        run(dir.path(), STACK.iter().chain(&["-o", name]).chain(more)).ok();
        dir.path().join(name)
    };
    let equal = made("equal.fits", &["--weight", "1,1,1"]);
    let plain = made("plain.fits", &[]);
    for plane in ["SCI", "VAR", "DQ"] {
        assert_eq!(numbers(&equal, plane), numbers(&plain, plane), "{plane}");
    }
    let variance = made("variance.fits", &["--weight", "variance"]);
    assert_eq!(numbers(&variance, "SCI"), numbers(&made("wtmean.fits", &["--combine", "wtmean"]), "SCI"));
    let noise = ["--weight", "noise", "--maps", "weight,exposure", "--exposure", "10,20,30", "--dq-fraction", "8=0.5"];
    let maps = made("noise.fits", &[&noise[..], &["--stats", "stats.json"]].concat());
    assert!(numbers(&maps, "EXPOSURE").iter().all(|t| *t <= 60.0));
    let stats: Value = serde_json::from_slice(&fs::read(dir.path().join("stats.json")).unwrap()).unwrap();
    assert_eq!(stats["factors"][0]["weight"].as_array().unwrap().len(), 3);
    let explained =
        run(dir.path(), ["explain", "--at", "3,4"].iter().chain(&STACK[1..]).chain(&["--weight", "1,2,3"])).ok();
    assert!(explained.contains("weight 2"), "{explained}");
    for (options, said) in [
        (&["--weight", "variance", "--combine", "median"][..], "does not go with --combine median"),
        (&["--weight", "1,2"], "2 values for 3 frames"),
        (&["--exposure", "1,2,3"], "--exposure is for --maps exposure"),
        (&["--maps", "exposure"], "no number in EXPTIME"),
        (&["--dq-fraction", "8"], "is not BIT=FRACTION"),
    ] {
        run(dir.path(), STACK.iter().chain(&["-o", "no.fits"]).chain(options)).failed(&[said]);
    }
    assert_eq!(run(dir.path(), STACK.iter().chain(&["-o", "no.fits", "--weight", "heavy"])).code, 2);
}
