//! `stack --offsets`: frames side by side, from files.

use super::*;

/// Where the frames are on the sky, in whole pixels (x, y), and their shapes (rows, columns).
const AT: [(i64, i64); 4] = [(0, 0), (7, -2), (-3, 5), (20, 20)];
const SHAPES: [[usize; 2]; 4] = [[12, 15], [12, 15], [9, 20], [3, 4]];

/// A TAN WCS around CRPIX, turned by an angle in degrees.
fn with_wcs(mut nd: NDAstroData, (x, y): (f64, f64), turned: f64) -> NDAstroData {
    let (sin, cos) = turned.to_radians().sin_cos();
    let step = 0.2 / 3600.0;
    let header = nd.meta_mut();
    for (key, value) in [("CTYPE1", "RA---TAN"), ("CTYPE2", "DEC--TAN")] {
        header.set(key, value, "");
    }
    let numbers = [
        ("CRVAL1", 83.6),
        ("CRVAL2", -5.4),
        ("CRPIX1", 4.25 - x),
        ("CRPIX2", 6.5 - y),
        ("CD1_1", -step * cos),
        ("CD1_2", step * sin),
        ("CD2_1", step * sin),
        ("CD2_2", step * cos),
    ];
    for (key, value) in numbers {
        header.set(key, value, "");
    }
    nd
}

fn image(f: usize) -> NDAstroData {
    let at = move |i: usize| (i * 7919 + f * 104_729) % 1009;
    let value = move |i: usize| if at(i) == 3 { f32::NAN } else { 100.0 + 0.1 * at(i) as f32 };
    let nd = NDAstroData::new(support::filled(&SHAPES[f], value));
    let nd = nd.with_variance(support::filled(&SHAPES[f], move |i| 1.0 + at(i) as f32)).unwrap();
    let nd = nd.with_mask(support::filled(&SHAPES[f], move |i| [0u16, 0, 0, 2, 8, 1][at(i) % 6])).unwrap();
    nd.with_other("OBJMASK", support::filled(&SHAPES[f], |i| i as u8 % 2))
}

fn folder() -> (TempDir, Vec<String>) {
    let dir = TempDir::new().unwrap();
    let mut names = Vec::new();
    for (f, &(x, y)) in AT.iter().enumerate() {
        let name = format!("f{f}.fits");
        // A third of a pixel is no whole one.
        let off = if f == 2 { 0.3 } else { 0.0 };
        let nd = with_wcs(image(f), (x as f64 + off, y as f64 - off), 0.0);
        AstroData::from_extensions(Header::new(), vec![nd]).write(dir.path().join(&name), false).unwrap();
        names.push(name);
    }
    let lines: String = AT.iter().map(|(x, y)| format!("{x} {y}\n")).collect();
    std::fs::write(dir.path().join("offsets.txt"), format!("# x y\n{lines}")).unwrap();
    (dir, names)
}

fn bytes(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name)).unwrap()
}

fn planes(dir: &Path, name: &str) -> (Vec<f64>, Vec<f64>, Vec<u32>) {
    three(&AstroData::open(dir.join(name)).unwrap())
}

#[test]
fn the_sky_and_a_list_say_the_same() {
    let (dir, names) = folder();
    let with = ["--engine", "cpu", "--combine", "median", "--maps", "ngood"];
    run(dir.path(), stack(&names, &[&with[..], &["--offsets", "wcs", "-o", "sky.fits"]].concat())).ok();
    run(dir.path(), stack(&names, &[&with[..], &["--offsets", "offsets.txt", "-o", "list.fits"]].concat())).ok();
    let (sky, list) = (planes(dir.path(), "sky.fits"), planes(dir.path(), "list.fits"));
    let bits = |v: &[f64]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert!(bits(&sky.0) == bits(&list.0) && bits(&sky.1) == bits(&list.1) && sky.2 == list.2);
    let result = AstroData::open(dir.path().join("sky.fits")).unwrap();
    // What is read are the frames, not the grid.
    let plan = [&with[..], &["--offsets", "wcs", "--plan", "--stats", "plan.json"]].concat();
    run(dir.path(), stack(&names, &plan)).ok();
    let planned: Value = serde_json::from_slice(&fs::read(dir.path().join("plan.json")).unwrap()).unwrap();
    run(dir.path(), stack(&names, &[&with[..], &["--offsets", "wcs", "-o", "x.fits", "--stats", "s.json"]].concat()))
        .ok();
    let stats: Value = serde_json::from_slice(&fs::read(dir.path().join("s.json")).unwrap()).unwrap();
    assert_eq!(planned["bytes_read"], stats["bytes_read"]);
    // Columns -3 to 23, rows -2 to 22.
    assert_eq!(result[0].shape(), [25, 27]);
    assert_eq!(result[0].other_names().collect::<Vec<_>>(), ["NGOOD"]);
    let said: Vec<String> = result.phu().history().filter(|line| line.contains("offsets")).collect();
    assert_eq!(said, ["ndastro offsets by WCS: 3,2 10,0 0,7 23,22"]);
    // The sky is where it was, and the size is that of the grid.
    let first = AstroData::open(dir.path().join("f0.fits")).unwrap();
    let (own, grid) = (first[0].wcs().unwrap().unwrap(), result[0].wcs().unwrap().unwrap());
    for pixel in [[0.0, 0.0], [11.0, 14.0], [3.25, -8.5]] {
        let there = grid.pixel_to_world(&[pixel[0] + 2.0, pixel[1] + 3.0]).unwrap();
        let here = own.pixel_to_world(&pixel).unwrap();
        assert!(here.iter().zip(&there).all(|(a, b)| (a - b).abs() < 1e-12), "{here:?} {there:?}");
    }
    assert_eq!(result[0].meta().get_f64("CRPIX1"), Some(7.25));
    // Frame 3 alone is in its corner; between the frames nothing is.
    let counts = result[0].other("NGOOD").unwrap().unwrap().to_f64();
    assert_eq!(counts[[24, 26]], if planes(dir.path(), "f3.fits").0[11].is_nan() { 0.0 } else { 1.0 });
    assert_eq!((counts[[0, 0]], sky.0[0], sky.2[0]), (0.0, 0.0, 16));
}

#[test]
fn however_it_is_read_and_written() {
    let (dir, names) = folder();
    let dir = dir.path();
    let with = ["--engine", "cpu", "--reject", "sigclip", "--offsets", "wcs", "--overwrite"];
    run(dir, stack(&names, &[&with[..], &["-o", "out.fits"]].concat())).ok();
    let once = bytes(dir, "out.fits");
    for more in [&["--no-mmap"][..], &["--memory", "64KiB"], &["--threads", "1"], &["--resume"]] {
        run(dir, stack(&names, &[&with[..], &["-o", "out.fits"], more].concat())).ok();
        assert!(bytes(dir, "out.fits") == once, "{more:?}");
    }
    for number in ["2/3", "1/3", "3/3"] {
        run(dir, stack(&names, &[&with[..], &["-o", "bands.fits", "--tile", number]].concat())).ok();
    }
    run(dir, ["merge", "bands.fits"]).ok();
    assert!(bytes(dir, "bands.fits") == once);
    // Compressed in tiles of more than a row.
    let packed: Vec<String> = names.iter().map(|name| format!("packed_{name}")).collect();
    for (name, packed) in names.iter().zip(&packed) {
        run(dir, ["copy", name, "-o", packed, "--compress", "rice"]).ok();
    }
    run(dir, stack(&packed, &[&with[..], &["-o", "packed.fits"]].concat())).ok();
    let (a, b) = (planes(dir, "out.fits"), planes(dir, "packed.fits"));
    assert!(a == b);
}

#[test]
fn what_whole_pixels_cannot_say_is_refused() {
    let (dir, names) = folder();
    let dir = dir.path();
    let turned = with_wcs(image(0), (0.0, 0.0), 20.0);
    AstroData::from_extensions(Header::new(), vec![turned]).write(dir.join("turned.fits"), false).unwrap();
    let bare = NDAstroData::new(ndarray::Array2::<f32>::zeros((12, 15)));
    AstroData::from_extensions(Header::new(), vec![bare]).write(dir.join("bare.fits"), false).unwrap();
    std::fs::write(dir.join("short.txt"), "0 0\n").unwrap();
    std::fs::write(dir.join("half.txt"), "0 0\n1.5 0\n").unwrap();
    std::fs::write(dir.join("far.txt"), "0 0\n1000000000000 1000000000000\n").unwrap();
    std::fs::write(dir.join("flat.txt"), "0 0\n1\n").unwrap();
    let cases: [(&str, &str, &[&str]); 7] = [
        ("turned.fits", "wcs", &["turned.fits", "corner", "resample"]),
        ("bare.fits", "wcs", &["bare.fits", "has none"]),
        ("f1.fits", "short.txt", &["1 for 2 frames"]),
        ("f1.fits", "half.txt", &["half.txt", "line 2", "1.5", "whole number"]),
        ("f1.fits", "far.txt", &["too large"]),
        ("f1.fits", "flat.txt", &["2 axes"]),
        ("f1.fits", "none.txt", &["none.txt"]),
    ];
    for (second, offsets, says) in cases {
        let frames = [names[0].clone(), second.to_string()];
        let done = run(dir, stack(&frames, &["--offsets", offsets, "-o", "out.fits"]));
        assert_eq!(done.code, 1, "{second} {offsets}");
        support::assert_says(done.err.trim(), says);
        assert!(!dir.join("out.fits").exists());
    }
    for more in [&["--append", "state"][..], &["--calibrate", "frame - 1"]] {
        let done = run(dir, stack(&names, &[&["--offsets", "wcs", "-o", "out.fits"], more].concat()));
        assert_eq!(done.code, 1);
        support::assert_says(done.err.trim(), &["offsets"]);
    }
}
