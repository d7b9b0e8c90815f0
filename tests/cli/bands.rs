//! `stack --tile` and `merge`: one output of many runs; and `--resume`.

use super::*;

/// A primary header, two extensions of an odd shape, and a table: what `write` has to carry.
fn folder() -> TempDir {
    let dir = TempDir::new().unwrap();
    write_frames(dir.path(), 5, &[23, 31]);
    dir
}

const STACK: [&str; 12] = [
    "stack",
    "frame_0.fits",
    "frame_1.fits",
    "frame_2.fits",
    "frame_3.fits",
    "frame_4.fits",
    "--engine",
    "cpu",
    "--reject",
    "sigclip",
    "--maps",
    "rejmap,weight",
];

fn stack(dir: &Path, more: &[&str]) -> Done {
    run(dir, STACK.iter().chain(more))
}

fn bytes(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name)).unwrap()
}

#[test]
fn eight_runs_at_once_and_a_merge_are_one_run() {
    let dir = folder();
    stack(dir.path(), &["-o", "once.fits", "--scale", "median"]).ok();
    std::thread::scope(|scope| {
        for number in 1..=8 {
            let dir = dir.path();
            scope.spawn(move || {
                stack(dir, &["-o", "out.fits", "--scale", "median", "--tile", &format!("{number}/8")]).ok();
            });
        }
    });
    assert!(!dir.path().join("out.fits").exists());
    run(dir.path(), ["merge", "out.fits"]).ok();
    assert!(bytes(dir.path(), "out.fits") == bytes(dir.path(), "once.fits"));
    let left: Vec<String> =
        names(dir.path()).into_iter().filter(|name| name.contains("part") || name.contains("tmp")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// More bands than rows; calibrated frames; a merge that is not yet possible leaves everything as it is.
#[test]
fn a_merge_says_what_is_missing() {
    let dir = folder();
    let calibrated = ["--calibrate", "frame - bias", "bias=frame_0.fits"];
    let with = |more: &[&str]| stack(dir.path(), &[&calibrated, more].concat());
    with(&["-o", "once.fits"]).ok();
    run(dir.path(), ["merge", "out.fits"]).failed(&["out.fits.part", "cannot open"]);
    for number in (1..=30).filter(|n| *n != 7 && *n != 20) {
        with(&["-o", "out.fits", "--tile", &format!("{number}/30")]).ok();
    }
    run(dir.path(), ["merge", "out.fits"]).failed(&["of 30 bands", "missing: 7, 20"]);
    for number in ["7/30", "20/30"] {
        with(&["-o", "out.fits", "--tile", number]).ok();
    }
    // What is done is not done again.
    let again = with(&["-o", "out.fits", "--tile", "7/30"]);
    assert!(again.err.contains("band 7 of 30 was done before"), "{}", again.err);
    again.ok();
    std::fs::write(dir.path().join("out.fits"), "in the way").unwrap();
    run(dir.path(), ["merge", "out.fits"]).failed(&["out.fits", "exists"]);
    run(dir.path(), ["merge", "out.fits", "--overwrite"]).ok();
    assert!(bytes(dir.path(), "out.fits") == bytes(dir.path(), "once.fits"));
}

#[test]
fn bands_of_different_results_are_not_mixed() {
    let dir = folder();
    let tile = |more: &[&str]| stack(dir.path(), &[&["-o", "out.fits"], more].concat());
    tile(&["--tile", "1/2"]).ok();
    // What the header says is compared at once.
    tile(&["--tile", "2/2", "--lsigma", "2"]).failed(&["out.fits.part", "another result", "lsigma 2"]);
    // What it does not say, in the end.
    tile(&["--tile", "2/2", "--variance", "scatter"]).ok();
    run(dir.path(), ["merge", "out.fits"]).failed(&["out.fits.part.2of2", "does not go with"]);
    std::fs::remove_file(dir.path().join("out.fits.part.2of2")).unwrap();
    tile(&["--tile", "2/2"]).ok();
    // An input that changed after the band was made.
    std::fs::remove_file(dir.path().join("frame_3.fits")).unwrap();
    write_frame(&dir.path().join("frame_3.fits"), 9, &[23, 31]);
    tile(&["--tile", "1/2"]).failed(&["out.fits.part.1of2", "remove it"]);
    tile(&["--tile", "1/2", "--compress", "gzip"]).failed(&["compressed"]);
    for bad in ["0/8", "9/8", "3", "x/2"] {
        assert_eq!(tile(&["--tile", bad]).code, 2, "{bad}");
    }
}

#[test]
fn bytes_that_were_lost_are_found() {
    let dir = folder();
    for tile in ["1/3", "2/3", "3/3"] {
        stack(dir.path(), &["-o", "out.fits", "--tile", tile]).ok();
    }
    let part = dir.path().join("out.fits.part");
    let whole = std::fs::read(&part).unwrap();
    // A byte of the second band of the variance.
    let mut damaged = whole.clone();
    let card =
        |from: usize, text: &[u8]| (from..whole.len()).step_by(80).find(|&at| whole[at..].starts_with(text)).unwrap();
    let variance = card(card(0, b"XTENSION") + 80, b"XTENSION");
    let data = (card(variance, b"END ") + 80).next_multiple_of(2880);
    damaged[data + 4 * 31 * 10] ^= 1;
    std::fs::write(&part, &damaged).unwrap();
    run(dir.path(), ["merge", "out.fits"]).failed(&["band 2", "not what was written"]);
    assert!(!dir.path().join("out.fits").exists());
    std::fs::write(&part, &whole).unwrap();
    std::fs::write(dir.path().join("out.fits.part.2of3"), "{").unwrap();
    run(dir.path(), ["merge", "out.fits"]).failed(&["out.fits.part.2of3", "no record"]);
    std::fs::remove_file(dir.path().join("out.fits.part.2of3")).unwrap();
    stack(dir.path(), &["-o", "out.fits", "--tile", "2/3"]).ok();
    run(dir.path(), ["merge", "out.fits"]).ok();
    stack(dir.path(), &["-o", "once.fits"]).ok();
    assert!(bytes(dir.path(), "out.fits") == bytes(dir.path(), "once.fits"));
}

/// A run that was interrupted goes on; what it comes to is what one run writes.
#[test]
fn an_interrupted_run_goes_on() {
    let dir = folder();
    stack(dir.path(), &["-o", "once.fits"]).ok();
    stack(dir.path(), &["-o", "out.fits", "--resume"]).ok();
    assert!(bytes(dir.path(), "out.fits") == bytes(dir.path(), "once.fits"));
    // As after an interruption: the only band is done, and not joined.
    stack(dir.path(), &["-o", "again.fits", "--tile", "1/1"]).ok();
    let again = stack(dir.path(), &["-o", "again.fits", "--resume"]);
    assert!(again.err.contains("band 1 of 1 was done before"), "{}", again.err);
    again.ok();
    assert!(bytes(dir.path(), "again.fits") == bytes(dir.path(), "once.fits"));
}
