//! `stack --append`: sums that go on night after night.

use super::*;

/// Frames with variances, masks of every level and samples that are not finite, of two extensions.
fn folder() -> TempDir {
    let dir = TempDir::new().unwrap();
    for f in 0..7usize {
        let mut images = Vec::new();
        for ver in 1..=2 {
            let at = |i: usize| (i * 7919 + f * 104_729 + 31 * ver as usize) % 1009;
            let value = |i: usize| if at(i) == 3 { f32::NAN } else { 0.1 * at(i) as f32 + 1e3 };
            let error = |i: usize| if at(i) % 97 == 0 { 0.0 } else { 0.3 + at(i) as f32 / 7.0 };
            let mask = |i: usize| [0, 0, 0, 2, 8, 32, 1, 64, 16, 512][(at(i) / 7) % 10] as u16;
            let shape = [17, 23];
            images.push(("SCI", ver, Pixels::from(support::filled(&shape, value))));
            images.push(("VAR", ver, Pixels::from(support::filled(&shape, error))));
            images.push(("DQ", ver, Pixels::from(support::filled(&shape, mask))));
        }
        write_images(&dir.path().join(format!("f{f}.fits")), &images);
    }
    dir
}

fn bits(path: &Path, plane: &str) -> Vec<u64> {
    let file = AstroData::open(path).unwrap();
    let mut all = Vec::new();
    for nd in file.iter() {
        let pixels = match plane {
            "SCI" => nd.data().unwrap(),
            "VAR" => nd.variance().unwrap().unwrap(),
            "DQ" => nd.mask().unwrap().unwrap(),
            name => nd.other(name).unwrap().unwrap(),
        };
        all.extend(pixels.to_f64().into_iter().map(f64::to_bits));
    }
    all
}

fn night(dir: &Path, frames: Range<usize>, more: &[&str]) -> Done {
    let frames: Vec<String> = frames.map(|f| format!("f{f}.fits")).collect();
    run(dir, stack(&frames, &[&["--engine", "cpu", "--overwrite"], more].concat()))
}

#[test]
fn three_nights_are_one_stack_of_all() {
    let dir = folder();
    for combine in ["mean", "sum", "wtmean"] {
        let with = ["--combine", combine, "--maps", "ngood,weight"];
        let state = format!("{combine}.state");
        let mut inputs = Vec::new();
        for frames in [0..3, 3..4, 4..7] {
            let done =
                night(dir.path(), frames.clone(), &[&with[..], &["-o", "sum.fits", "--append", &state]].concat());
            assert_eq!(done.code, 0, "{}", done.err);
            inputs.push(frames);
        }
        night(dir.path(), 0..7, &[&with[..], &["-o", "all.fits"]].concat()).ok();
        let (sum, all) = (dir.path().join("sum.fits"), dir.path().join("all.fits"));
        for plane in ["SCI", "VAR", "DQ", "NGOOD", "WEIGHT"] {
            let (sum, all) = (bits(&sum, plane), bits(&all, plane));
            let exact = combine != "wtmean" || matches!(plane, "DQ" | "NGOOD");
            let near = |(a, b): (&u64, &u64)| {
                let (a, b) = (f64::from_bits(*a) as f32, f64::from_bits(*b) as f32);
                // Next to each other among f32.
                a == b || (a.to_bits() as i64 - b.to_bits() as i64).abs() <= 1
            };
            if exact {
                assert!(sum == all, "{combine} {plane}");
            } else {
                assert!(sum.iter().zip(&all).all(near), "{combine} {plane}");
            }
        }
        let header = |path: &Path| FitsFile::open(path).unwrap().hdus()[0].header.clone();
        assert_eq!(header(&sum).get_i64("NCOMBINE"), Some(7));
        assert_eq!(header(&sum).cards(), header(&all).cards(), "{combine}");
        Judge::open(&dir.path().join(&state)).assert_sums();
    }
}

#[test]
fn a_frame_is_added_once() {
    let dir = folder();
    night(dir.path(), 0..3, &["-o", "a.fits", "--append", "s"]).ok();
    let again = night(dir.path(), 1..4, &["-o", "b.fits", "--append", "s"]);
    assert!(again.err.contains("2 frames are in s already"), "{}", again.err);
    night(dir.path(), 0..4, &["-o", "c.fits"]).ok();
    assert!(bits(&dir.path().join("b.fits"), "SCI") == bits(&dir.path().join("c.fits"), "SCI"));
    // A run that is repeated as it was writes the same.
    let state = fs::read(dir.path().join("s")).unwrap();
    night(dir.path(), 1..4, &["-o", "d.fits", "--append", "s"]).ok();
    assert!(fs::read(dir.path().join("s")).unwrap() == state);
    assert!(fs::read(dir.path().join("d.fits")).unwrap() == fs::read(dir.path().join("b.fits")).unwrap());
}

#[test]
fn a_state_of_something_else_is_refused() {
    let dir = folder();
    night(dir.path(), 0..3, &["-o", "a.fits", "--append", "s"]).ok();
    let state = fs::read(dir.path().join("s")).unwrap();
    let refused = |more: &[&str], parts: &[&str]| {
        night(dir.path(), 3..4, &[&["-o", "no.fits", "--append", "s"], more].concat()).failed(parts);
        assert!(fs::read(dir.path().join("s")).unwrap() == state && !dir.path().join("no.fits").exists());
    };
    refused(&["--combine", "sum"], &["s", "it is of mean", "this is sum"]);
    refused(&["--ignore-mask"], &["this is mean; no masks"]);
    refused(&["--combine", "median"], &["append is for mean, wtmean and sum"]);
    refused(&["--reject", "sigclip"], &["append has no rejection"]);
    refused(&["--scale", "median"], &["scale and zero as numbers"]);
    refused(&["--ignore-variance"], &["a frame has none"]);
    refused(&["--maps", "rejmap"], &["ngood and weight"]);
    refused(&["--weight", "2"], &["append has no weights"]);
    refused(&["--compress", "gzip"], &["does not compress"]);
    night(dir.path(), 3..4, &["-o", "s", "--append", "s"]).failed(&["one file"]);
    // A narrower mask would lose bits, and another unit has other numbers.
    let image = |f: usize, dq: Pixels, unit: &str| {
        let shape = [17, 23];
        let reals = |of: f32| Pixels::from(support::filled(&shape, |i| of + i as f32));
        let name = format!("g{f}.fits");
        let images: Vec<_> = (1..=2)
            .flat_map(|ver| [("SCI", ver, reals(1.0)), ("VAR", ver, reals(2.0)), ("DQ", ver, dq.clone())])
            .collect();
        write_images(&dir.path().join(&name), &images);
        if !unit.is_empty() {
            run(dir.path(), ["header", &name, "--hdu", "1", "--set", &format!("BUNIT={unit}"), "-o", "u.fits"]).ok();
            fs::rename(dir.path().join("u.fits"), dir.path().join(&name)).unwrap();
        }
        name
    };
    let masks = |bits: u16| Pixels::from(support::filled(&[17, 23], |_| bits));
    let bytes = Pixels::from(support::filled(&[17, 23], |_| 1u8));
    for (name, said) in [(image(0, bytes, ""), "uint8"), (image(1, masks(1), "electron"), "in electron")] {
        run(dir.path(), ["stack", &name, "-o", "no.fits", "--append", "s", "--engine", "cpu"])
            .failed(&["it is of mean", said]);
    }
    // What is no state.
    fs::copy(dir.path().join("f0.fits"), dir.path().join("t")).unwrap();
    night(dir.path(), 3..4, &["-o", "no.fits", "--append", "t"]).failed(&["t", "no state"]);
    // A bit of a sum, of the header of a plane, and of the name of a frame.
    let find = |text: &[u8]| state.windows(text.len()).rposition(|w| w == text).unwrap();
    for at in [state.len() - 20_000, find(b"data unit"), find(b"f1.fits")] {
        let mut damaged = state.clone();
        damaged[at] ^= 4;
        fs::write(dir.path().join("s"), &damaged).unwrap();
        night(dir.path(), 3..4, &["-o", "no.fits", "--append", "s"]).failed(&["not what was written"]);
        assert!(fs::read(dir.path().join("s")).unwrap() == damaged && !dir.path().join("no.fits").exists());
    }
}

/// The same bytes whatever the memory and the threads; scale and zero as numbers.
#[test]
fn memory_and_threads_do_not_matter() {
    let dir = folder();
    let scaled = ["--scale", "1,1.5,0.5", "--zero", "0,-3,7"];
    for (state, more) in [("s1", &["--threads", "1"][..]), ("s2", &["--memory", "1MiB", "--threads", "3"])] {
        let (a, b) = (format!("{state}.a.fits"), format!("{state}.b.fits"));
        night(dir.path(), 0..3, &[&scaled, more, &["-o", &a, "--append", state]].concat()).ok();
        night(dir.path(), 3..6, &[&scaled, more, &["-o", &b, "--append", state]].concat()).ok();
    }
    for name in ["", ".a.fits", ".b.fits"] {
        let read = |state: &str| fs::read(dir.path().join(format!("{state}{name}"))).unwrap();
        assert!(read("s1") == read("s2"), "{name}");
    }
    night(dir.path(), 0..6, &["-o", "all.fits", "--scale", "1,1.5,0.5,1,1.5,0.5", "--zero", "0,-3,7,0,-3,7"]).ok();
    assert!(bits(&dir.path().join("s1.b.fits"), "SCI") == bits(&dir.path().join("all.fits"), "SCI"));
}
