//! `ndastro explain`: a table or JSON on standard output, of all extensions or of one, and what is refused.

use super::*;

/// Three files of two extensions of different shapes.
fn folder() -> TempDir {
    let dir = TempDir::new().unwrap();
    for i in 0..3 {
        let extensions = vec![frame(i, &[6, 7]), frame(i + 5, &[4, 5])];
        AstroData::from_extensions(Default::default(), extensions)
            .write(dir.path().join(format!("f{i}.fits")), false)
            .unwrap();
    }
    dir
}

const FILES: [&str; 4] = ["explain", "f0.fits", "f1.fits", "f2.fits"];

#[test]
fn a_pixel_is_explained() {
    let dir = folder();
    let options = ["--at", "3,0", "--combine", "median", "--reject", "minmax", "--nhigh", "1"];
    let out = run(dir.path(), FILES.iter().chain(&options)).ok();
    assert_eq!(out.matches("combine median, reject minmax nlow 0 nhigh 1, flavour stable").count(), 2, "{out}");
    for part in [
        "SCI,1 at 3,0",
        "SCI,2 at 3,0",
        "f1.fits",
        "minmax: 2 samples in; nothing rejected",
        "left out: level 3 (level 0 is there)",
        "bad_pixel",
        "result: ",
        " adu",
    ] {
        assert!(out.contains(part), "{part:?} is not in\n{out}");
    }
    assert!(out.lines().all(|l| l.trim_end() == l), "spaces at the ends of lines:\n{out}");

    // What the stack writes is what is explained.
    let stack = ["stack", "f0.fits", "f1.fits", "f2.fits", "-o", "out.fits", "--engine", "cpu"];
    run(dir.path(), stack.iter().chain(&options[2..])).ok();
    let out = AstroData::open(dir.path().join("out.fits")).unwrap();
    let json = ["--json", "--ext", "SCI,2"];
    let told: Value = serde_json::from_str(&run(dir.path(), FILES.iter().chain(&options).chain(&json)).ok()).unwrap();
    assert_eq!(told["result"]["value"].as_f64(), Some(out[1].data().unwrap().to_f64()[[3, 0]]));
    assert_eq!(told["result"]["variance"].as_f64(), Some(out[1].variance().unwrap().unwrap().to_f64()[[3, 0]]));
    assert_eq!(told["frames"].as_array().unwrap().len(), 3);
    assert_eq!(told["at"], json!([3, 0]));
    let all: Value = serde_json::from_str(&run(dir.path(), FILES.iter().chain(&["--at=0,0", "--json"])).ok()).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 2);
}

#[test]
fn calibrated_frames_are_explained() {
    let dir = folder();
    let options = ["bias=f0.fits", "--calibrate", "frame - bias", "--at", "1,2", "--ext", "SCI,1", "--json"];
    let told: Value = serde_json::from_str(&run(dir.path(), FILES.iter().chain(&options)).ok()).unwrap();
    let values: Vec<_> = (0..3).map(|i| told["frames"][i]["value"].as_f64().unwrap()).collect();
    assert_eq!(values, [0.0, 7919.0, 2.0 * 7919.0]);
    assert_eq!(told["frames"][0]["raw"].as_f64(), Some(f64::from(1000 + 31 * 9)));
}

#[test]
fn what_is_not_there_is_refused() {
    let dir = folder();
    run(dir.path(), FILES.iter().chain(&["--at", "5,6"])).failed(&["no pixel at 5,6", "SCI,2", "[4, 5]"]);
    run(dir.path(), FILES.iter().chain(&["--at", "3"])).failed(&["no pixel at 3", "for each axis"]);
    run(dir.path(), FILES.iter().chain(&["--at", "1,1", "--ext", "SCI,9"])).failed(&["SCI"]);
    for bad in [&["--at", "1,-1"][..], &["--at", "a"], &[]] {
        assert_eq!(run(dir.path(), FILES.iter().chain(bad)).code, 2);
    }
}
