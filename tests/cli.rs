//! The program from outside: exit codes, what goes to which stream, what is left on disk.
//!
//! What is proved: 0 for done, 1 for a job that failed with one line on standard error and nothing written, 2 for bad
//! usage, 130 and 143 for signals; results on standard output and nothing else there; stacks of the reference come out
//! of the command line; file names have no meaning; the demo makes what it says and spoils nothing.
#![cfg(feature = "cli")]

#[path = "cli/append.rs"]
mod append;
#[path = "cli/bands.rs"]
mod bands;
#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/calc.rs"]
mod calc;
mod compare;
#[path = "cli/explain.rs"]
mod explain;
#[path = "cli/faults.rs"]
mod faults;
#[path = "cli/offsets.rs"]
mod offsets;
mod oracle;
#[path = "cli/stack.rs"]
mod stack;
mod support;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use compare::{Bounds, Planes, Tolerance, compare};
use ndastro::fits::{FitsFile, Header};
use ndastro::{AstroData, Engine, NDAstroData, Pixels};
use serde_json::{Value, json};
use support::cfitsio::Judge;
use support::{
    BLOCK, assert_says, data, frame, gpu, json as read_json, names, truth, write_frame, write_frames, write_images,
};
use tempfile::TempDir;

/// What a run left.
struct Done {
    code: i32,
    out: String,
    err: String,
}

/// The program in a folder. It reads no terminal and writes to none.
fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ndastro"));
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn finish(child: Child) -> Done {
    let output = child.wait_with_output().unwrap();
    let code = output.status.code().unwrap_or_else(|| panic!("ended by signal {:?}", output.status.signal()));
    let err = String::from_utf8(output.stderr).unwrap();
    // Mesa's complaint, where the variable is not set.
    let ours = err.lines().filter(|l| !l.starts_with("error: XDG_RUNTIME_DIR"));
    let err: String = ours.flat_map(|l| [l, "\n"]).collect();
    assert!(!err.contains(['\r', '\x1b']), "a progress bar or colours where no terminal is: {err:?}");
    assert!(!err.contains("panicked"), "{err}");
    Done { code, out: String::from_utf8(output.stdout).unwrap(), err }
}

fn run<S: AsRef<OsStr>>(folder: &Path, args: impl IntoIterator<Item = S>) -> Done {
    finish(program(folder).args(args).spawn().unwrap())
}

impl Done {
    /// Standard output of a run that must have been well.
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}", self.err);
        self.out
    }

    /// The one message of a run that must have failed.
    #[track_caller]
    fn failed(self, parts: &[&str]) -> String {
        assert_eq!((self.code, self.out.as_str()), (1, ""), "{}", self.err);
        assert!(self.err.starts_with("ndastro: "), "{}", self.err);
        assert_says(self.err.strip_suffix('\n').unwrap(), parts);
        self.err
    }
}

/// Frames in a folder, and their names.
fn folder(count: usize, shape: &[usize]) -> (TempDir, Vec<String>) {
    let dir = TempDir::new().unwrap();
    write_frames(dir.path(), count, shape);
    let names = names(dir.path());
    (dir, names)
}

/// `stack FRAMES ARGS`.
fn stack<'a>(frames: &'a [String], args: &[&'a str]) -> Vec<&'a str> {
    let inputs = frames.iter().map(String::as_str);
    std::iter::once("stack").chain(inputs).chain(args.iter().copied()).collect()
}

// ----------------------------------------------------------------------------------------------------------- golden

/// The planes of a file, or of what is missing: nothing, and a mask that is good everywhere.
fn three(ad: &AstroData) -> (Vec<f64>, Vec<f64>, Vec<u32>) {
    let values = |p: Option<&Pixels>| p.map_or_else(Vec::new, |p| p.to_f64().into_iter().collect());
    let data = values(ad[0].data().ok());
    let mask = ad[0]
        .mask()
        .unwrap()
        .map_or_else(|| vec![0; data.len()], |m| m.to_f64().into_iter().map(|v| v as u32).collect());
    (data, values(ad[0].variance().unwrap()), mask)
}

#[test]
fn the_stacks_of_the_reference_come_out() {
    let mut cases = 0;
    for set in ["golden/ndstacker_n03", "golden/ndstacker_n06", "golden/ndstacker_n11"] {
        let golden = read_json(&format!("{set}/cases.json"));
        let results = three(&AstroData::open(data(set).join("out.fits.gz")).unwrap());
        let plain = |case: &Value| case["combine"] == "mean" && case["reject"] == "none";
        for (k, case) in golden["cases"].as_array().unwrap().iter().enumerate().filter(|(_, case)| plain(case)) {
            let (dir, out) = (TempDir::new().unwrap(), OsString::from("out.fits"));
            let mut args: Vec<OsString> = vec!["stack".into(), "--engine".into(), "cpu".into(), "-o".into(), out];
            for list in ["scale", "zero"] {
                if let Some(values) = case[list].as_array() {
                    let words: Vec<String> = values.iter().map(Value::to_string).collect();
                    args.extend([format!("--{list}").into(), words.join(",").into()]);
                }
            }
            for (key, option) in [("use_var", "--ignore-variance"), ("use_dq", "--ignore-mask")] {
                if case[key] == false {
                    args.push(option.into());
                }
            }
            let inputs = golden["inputs"].as_array().unwrap().iter().map(|i| data(set).join(i.as_str().unwrap()));
            args.extend(inputs.map(PathBuf::into_os_string));
            assert_eq!(run(dir.path(), &args).ok(), "");

            let got = three(&AstroData::open(dir.path().join("out.fits")).unwrap());
            let at = k * got.0.len()..(k + 1) * got.0.len();
            let want = (&results.0[at.clone()], &results.1[at.clone()], &results.2[at]);
            let (rel, abs) = if case["use_var"] == true { (1e-6, 0.0) } else { (2e-5, 1e-6) };
            let bounds = Bounds {
                data: Tolerance::Relative { rel: 1e-6, abs: 0.0 },
                variance: Tolerance::Relative { rel, abs },
            };
            let planes = |(data, variance, dq)| -> Result<(), String> {
                let want = Planes { data: want.0, variance: want.1, dq: want.2 };
                compare(&Planes { data, variance, dq }, &want, &bounds)
            };
            if let Err(why) = planes((&got.0, &got.1, &got.2)) {
                panic!("{set} {k}: {why}");
            }
            // The comparison sees what it is shown.
            let mut off = got.0.clone();
            off[0] += 1.0 + off[0].abs();
            assert!(planes((&off, &got.1, &got.2)).is_err());
            cases += 1;
        }
    }
    assert_eq!(cases, 15);
}

#[test]
fn a_stack_is_the_same_whatever_the_threads_and_the_memory() {
    let (dir, frames) = folder(4, &[300, 200]);
    let made = |name: &'static str, options: &[&'static str]| {
        run(dir.path(), stack(&frames, &[&["--engine", "cpu", "-o", name][..], options].concat())).ok();
        fs::read(dir.path().join(name)).unwrap()
    };
    let want = made("a.fits", &["--threads", "1"]);
    assert!(made("b.fits", &["--threads", "3"]) == want, "threads");
    assert!(made("c.fits", &["--memory", "1MiB", "--threads", "2"]) == want, "memory");
    Judge::open(&dir.path().join("a.fits")).assert_sums();
}

// ------------------------------------------------------------------------------------------------ streams and codes

#[test]
fn a_stack_says_one_line_and_prints_nothing() {
    let (dir, frames) = folder(3, &[20, 30]);
    let done = run(dir.path(), stack(&frames, &["-o", "out.fits", "--engine", "cpu"]));
    assert_eq!((done.code, done.out.as_str(), done.err.lines().count()), (0, "", 1), "{}", done.err);
    for part in ["3 frames", "600 pixels", "cpu"] {
        assert!(done.err.contains(part), "{}", done.err);
    }
    let done = run(dir.path(), stack(&frames, &["-o", "quiet.fits", "--engine", "cpu", "--quiet"]));
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (0, "", ""));
    assert!(dir.path().join("quiet.fits").exists());
}

#[test]
fn help_and_version_are_results() {
    let dir = TempDir::new().unwrap();
    for (args, said) in [
        (&["--help"][..], "stack"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
        (&["stack", "--help"], "--overwrite"),
        (&["demo", "--help"], "--frames"),
    ] {
        let done = run(dir.path(), args);
        assert_eq!((done.code, done.err.as_str()), (0, ""));
        assert!(done.out.contains(said), "{}", done.out);
    }
}

#[test]
fn bad_usage_is_2() {
    let (dir, frames) = folder(2, &[4, 5]);
    let before = names(dir.path());
    let frame = frames[0].as_str();
    for args in [
        &[][..],
        &["combine"],
        &["stack"],
        &["stack", frame],
        &["stack", "-o", "out.fits"],
        &["stack", frame, "-o", "out.fits", "--combine", "typical"],
        &["stack", frame, "-o", "out.fits", "--reject", "everything"],
        &["stack", frame, "-o", "out.fits", "--engine", "tpu"],
        &["stack", frame, "-o", "out.fits", "--memory", "some"],
        &["stack", frame, "-o", "out.fits", "--memory", "0"],
        &["stack", frame, "-o", "out.fits", "--scale", "1,two"],
        &["stack", frame, "-o", "out.fits", "--zero", "!"],
        &["stack", frame, "-o", "out.fits", "--gain", "1.5"],
        &["stack", frame, "-o", "out.fits", "--gain", "some", "--read-noise", "3"],
        &["stack", frame, "-o", "out.fits", "--threads", "-1"],
        &["stack", frame, "-o", "out.fits", "--no-such-option"],
        &["info"],
        &["demo", "--frames", "0"],
        &["demo", "--size", "0"],
    ] {
        let done = run(dir.path(), args);
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{args:?}: {}", done.err);
        assert!(!done.err.is_empty(), "{args:?} fails without a word");
        assert_eq!(names(dir.path()), before, "{args:?}");
    }
}

#[test]
fn a_job_that_fails_is_1_says_one_line_and_writes_nothing() {
    let (dir, frames) = folder(2, &[4, 5]);
    write_frame(&dir.path().join("turned.fits"), 3, &[5, 4]);
    fs::create_dir(dir.path().join("folder")).unwrap();
    fs::write(dir.path().join("taken.fits"), "precious").unwrap();
    fs::write(dir.path().join("text.fits"), "no FITS").unwrap();
    let before = names(dir.path());
    let frame = frames[0].as_str();
    for (inputs, options, said) in [
        (&["missing.fits"][..], &["-o", "out.fits"][..], &["missing.fits", "cannot open"][..]),
        (&[frame, "text.fits"], &["-o", "out.fits"], &["text.fits", "not a FITS file"]),
        (&[frame, "folder"], &["-o", "out.fits"], &["folder", "directory"]),
        (&[frame, "turned.fits"], &["-o", "out.fits"], &["turned.fits", "[5, 4] found", "[4, 5] expected"]),
        (&[frame], &["-o", "taken.fits"], &["taken.fits", "exists", "--overwrite"]),
        (&[frame], &["-o", "folder"], &["folder", "not a regular file"]),
        (&[frame], &["-o", "folder", "--overwrite"], &["folder", "not a regular file"]),
        (&[frame], &["-o", "nowhere/out.fits"], &["nowhere/out.fits", "cannot create"]),
        (&[frame], &["-o", frame, "--overwrite"], &[frame, "one of the inputs"]),
        (&[frame], &["-o", "out.fits", "--scale", "1,2"], &["scale", "2 values", "1 frames"]),
        (&[frame], &["-o", "out.fits", "--zero", "-1,NaN"], &["zero", "2 values", "1 frames"]),
        (&[frame], &["-o", "out.fits", "--scale", "-2"], &["scale", "not positive"]),
        (&[frame], &["-o", "out.fits", "--scale", "!NOSUCH"], &["no number in NOSUCH"]),
        (&[frame], &["-o", "out.fits", "--scale", "median", "--section", "9"], &["9"]),
        (&[frame], &["-o", "out.fits", "--memory", "10", "--engine", "cpu"], &["memory", "10 are allowed"]),
        (&[frame], &["-o", "out.fits", "--adapter", "no such adapter"], &["no GPU"]),
    ] {
        let args: Vec<&str> = ["stack"].iter().chain(inputs).chain(options).copied().collect();
        run(dir.path(), &args).failed(said);
        assert_eq!(names(dir.path()), before, "{args:?}");
    }
    assert_eq!(names(&dir.path().join("folder")), [""; 0]);
    assert_eq!(fs::read(dir.path().join("taken.fits")).unwrap(), b"precious");
    run(dir.path(), ["info", "missing.fits"]).failed(&["missing.fits", "cannot open"]);
}

#[test]
fn overwrite_replaces() {
    let (dir, frames) = folder(2, &[4, 5]);
    fs::write(dir.path().join("out.fits"), "precious").unwrap();
    run(dir.path(), stack(&frames, &["-o", "out.fits", "--overwrite"])).ok();
    assert_eq!(AstroData::open(dir.path().join("out.fits")).unwrap()[0].shape(), [4, 5]);
}

/// Through a shell, for what a parent passes on: umask and limits.
fn under(folder: &Path, limits: &str, args: &[&str]) -> Done {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{limits} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_ndastro")]).args(args);
    shell.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(shell.spawn().unwrap())
}

#[test]
fn the_mode_of_the_output_is_what_the_umask_says() {
    let (dir, frames) = folder(2, &[4, 5]);
    for (umask, mode) in [("022", 0o644), ("027", 0o640), ("077", 0o600), ("000", 0o666)] {
        under(dir.path(), &format!("umask {umask}"), &stack(&frames, &["-o", "out.fits", "--overwrite"])).ok();
        let found = fs::metadata(dir.path().join("out.fits")).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "umask {umask}: {found:o}");
    }
}

/// 200 KiB of output where 50 KiB are allowed: an error of the write, not a signal.
#[test]
fn an_output_that_cannot_grow_is_an_error_and_leaves_nothing() {
    let (dir, frames) = folder(2, &[100, 200]);
    let before = names(dir.path());
    under(dir.path(), "ulimit -f 100", &stack(&frames, &["-o", "out.fits"])).failed(&["out.fits", "cannot write"]);
    assert_eq!(names(dir.path()), before);
}

#[test]
fn more_frames_than_open_files_are_allowed() {
    let (dir, frames) = folder(1, &[4, 5]);
    let many = vec![frames[0].clone(); 300];
    let args = ["-o", "out.fits", "--engine", "cpu", "--threads", "1"];
    under(dir.path(), "ulimit -n 40", &stack(&many, &args)).ok();
    let one = AstroData::open(dir.path().join(&frames[0])).unwrap();
    let out = AstroData::open(dir.path().join("out.fits")).unwrap();
    assert_eq!(out.phu().get_i64("NCOMBINE"), Some(300));
    assert_eq!(out[0].data().unwrap().to_f64(), one[0].data().unwrap().to_f64());
}

#[test]
fn statistics_that_cannot_be_written_leave_no_output() {
    let (dir, frames) = folder(2, &[4, 5]);
    let before = names(dir.path());
    run(dir.path(), stack(&frames, &["-o", "out.fits", "--stats", "nowhere/stats.json", "--quiet"]))
        .failed(&["nowhere/stats.json"]);
    assert_eq!(names(dir.path()), before);
}

#[test]
fn statistics_never_replace_a_frame() {
    let (dir, frames) = folder(2, &[4, 5]);
    let before = fs::read(dir.path().join(&frames[1])).unwrap();
    run(dir.path(), stack(&frames, &["-o", "out.fits", "--stats", &frames[1]]));
    assert!(fs::read(dir.path().join(&frames[1])).unwrap() == before, "{} is lost", frames[1]);
    run(dir.path(), stack(&frames, &["-o", "both.fits", "--stats", "both.fits"]));
    let both = dir.path().join("both.fits");
    assert!(!both.exists() || AstroData::open(both).is_ok(), "the stack was replaced by its statistics");
}

#[test]
fn statistics_have_their_keys_and_true_counts() {
    const KEYS: [&str; 12] = [
        "adapter",
        "bytes_downloaded",
        "bytes_read",
        "bytes_uploaded",
        "engine",
        "frames",
        "peak_device_bytes",
        "peak_host_bytes",
        "pixels",
        "rejected",
        "seconds",
        "tiles",
    ];
    let (dir, frames) = folder(3, &[20, 30]);
    let counts = |engine: &str| {
        run(dir.path(), stack(&frames, &["-o", "o.fits", "--stats", "s.json", "--engine", engine, "--overwrite"])).ok();
        let stats: Value = serde_json::from_slice(&fs::read(dir.path().join("s.json")).unwrap()).unwrap();
        let mut keys: Vec<&str> = stats.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        // A device that has a clock says more.
        keys.retain(|key| engine == "cpu" || *key != "device_seconds");
        assert_eq!(keys, KEYS);
        stats
    };
    let headers: u64 = frames.iter().map(|f| FitsFile::open(dir.path().join(f)).unwrap().bytes_read()).sum();
    let planes = 3 * 600 * (2 + 4 + 2);
    let cpu = counts("cpu");
    for (key, want) in [
        ("engine", json!("cpu")),
        ("adapter", json!(null)),
        ("bytes_read", json!(headers + planes)),
        ("bytes_uploaded", json!(0)),
        ("bytes_downloaded", json!(0)),
        ("tiles", json!(1)),
        ("frames", json!(3)),
        ("pixels", json!(600)),
        ("rejected", json!(0)),
        ("peak_device_bytes", json!(0)),
    ] {
        assert_eq!(cpu[key], want, "{key}");
    }
    assert!(cpu["seconds"].as_f64().unwrap() > 0.0 && cpu["peak_host_bytes"].as_u64().unwrap() > 0);
    if let Some(engine) = gpu() {
        let gpu = counts("gpu");
        assert_eq!((gpu["engine"].as_str(), gpu["adapter"].as_str()), (Some("gpu"), engine.adapter()));
        assert_eq!((&gpu["bytes_read"], &gpu["bytes_uploaded"]), (&json!(headers + planes), &json!(planes)));
        assert!(gpu["bytes_downloaded"].as_u64().unwrap() >= 600 * 8 && gpu["peak_device_bytes"].as_u64().unwrap() > 0);
        if let Some(spent) = gpu.get("device_seconds") {
            let spent = |step: &str| spent[step].as_f64().unwrap();
            assert!(spent("upload") >= 0.0 && spent("kernels") > 0.0 && spent("readback") > 0.0);
        }
    }
}

// ------------------------------------------------------------------------------------------------------------ names

#[test]
fn names_have_no_meaning() {
    let dir = TempDir::new().unwrap();
    let raw = OsString::from_vec(b"not utf-8 \xff.fits".to_vec());
    let odd =
        ["img[1].fits", "(copy).fits", "!bang.fits", "two words.fits", "a*?.fits", "x.fits[0:2,0:3]", "mem:", "%20#"];
    let named: Vec<OsString> = odd.iter().map(OsString::from).chain([raw, "-o".into(), "--quiet".into()]).collect();
    for (i, name) in named.iter().enumerate() {
        write_frame(&dir.path().join(name), i, &[4, 5]);
        let out = OsString::from_vec([b"--output=out ", name.as_bytes()].concat());
        let args = ["stack", "--engine", "cpu", "--quiet"].map(OsString::from);
        run(dir.path(), args.iter().cloned().chain([out.clone(), "--".into(), name.clone()])).ok();
        let out = dir.path().join(OsStr::from_bytes(&out.as_bytes()[9..]));
        let (want, got) = (frame(i, &[4, 5]), AstroData::open(out).unwrap());
        assert_eq!(got[0].data().unwrap().to_f64(), want.data().unwrap().to_f64(), "{name:?}");
        let info = run(dir.path(), ["info".into(), "--json".into(), "--".into(), name.clone()]).ok();
        let info: Value = serde_json::from_str(&info).unwrap();
        assert_eq!(info["path"], name.to_string_lossy().as_ref());
    }
    // And for the output alone: a leading "!" is no wish to overwrite.
    fs::write(dir.path().join("!kept.fits"), "precious").unwrap();
    run(dir.path(), ["stack", "img[1].fits", "-o", "!kept.fits"]).failed(&["!kept.fits", "exists"]);
    assert_eq!(fs::read(dir.path().join("!kept.fits")).unwrap(), b"precious");
}

#[test]
fn the_longest_name_that_the_system_allows_can_be_written() {
    let (dir, frames) = folder(1, &[4, 5]);
    let name = format!("{}.fits", "n".repeat(250));
    fs::write(dir.path().join(&name), "").expect("the name is legal here");
    run(dir.path(), stack(&frames, &["-o", &name, "--overwrite", "--engine", "cpu"])).ok();
}

// ------------------------------------------------------------------------------------------------------------- info

#[test]
fn info_is_a_table_for_people() {
    let text = run(&data("images"), ["info", "mef_order.fits", "double_ext.fits", "group.fits"]).ok();
    for part in [
        "mef_order.fits",
        "SCI",
        "float32",
        "[5,7]",
        "adu",
        "extension SCI,1: data in HDU 1, uncertainty 2 VarianceUncertainty, mask 3",
        "extension SCI,2: data in HDU 4, uncertainty 5 VarianceUncertainty, mask 6",
        "compressed RICE_1",
        "groups",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!text.contains("sha256"));
    let hashed = run(&data("images"), ["info", "--hash", "image_f32.fits"]).ok();
    let want = truth().into_iter().find(|(path, _)| path.ends_with("image_f32.fits")).unwrap().1;
    assert!(hashed.contains(&format!("sha256 {}", want[0]["sha256_canon"].as_str().unwrap())), "{hashed}");
}

#[test]
fn info_of_one_file_is_an_object() {
    let one = |args: &[&str]| -> Value {
        let text = run(&data("images"), ["info", "--json"].iter().chain(args)).ok();
        serde_json::from_str(&text).unwrap()
    };
    let info = one(&["primary_plus_dq.fits"]);
    let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(keys(&info), ["path", "layout", "hdus", "extensions"].map(String::from).into());
    let hdu = &info["hdus"][0];
    let want =
        ["index", "name", "ver", "kind", "bitpix", "shape", "dtype", "unit", "compressed", "sha256", "sha256_f64"];
    assert_eq!(keys(hdu), want.map(String::from).into());
    let want = json!({
        "index": 0, "name": null, "ver": null, "kind": "image", "bitpix": 16, "shape": [5, 7], "dtype": "int16",
        "unit": "adu", "compressed": null, "sha256": null, "sha256_f64": null,
    });
    assert_eq!(hdu, &want);
    let want = json!({
        "name": "SCI", "ver": 1, "data": 0, "uncertainty": null, "uncertainty_kind": null, "mask": 1, "other": [], "wcs": null,
    });
    assert_eq!(info["extensions"], json!([want]));
    assert_eq!(one(&["double_ext.fits"])["hdus"][1]["compressed"], "RICE_1");
}

#[test]
fn info_hashes_what_astropy_reads() {
    let known: Vec<(PathBuf, Vec<Value>)> = truth();
    let args = ["info", "--json", "--hash"].map(OsString::from);
    let paths = known.iter().map(|(path, _)| path.clone().into_os_string());
    let text = run(Path::new("/"), args.into_iter().chain(paths)).ok();
    let infos: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(infos.as_array().unwrap().len(), known.len());
    let mut seen = 0;
    for (info, (path, hdus)) in infos.as_array().unwrap().iter().zip(&known) {
        assert_eq!(info["path"], path.to_str().unwrap());
        for (got, want) in info["hdus"].as_array().unwrap().iter().zip(hdus) {
            let at = format!("{} HDU {}", path.display(), want["index"]);
            let hashed = want["kind"] == "image" && !want["shape"].is_null();
            assert_eq!(got["sha256"].is_string() && got["sha256_f64"].is_string(), hashed, "{at}");
            if hashed {
                assert_eq!((&got["dtype"], &got["shape"]), (&want["dtype"], &want["shape"]), "{at}");
                if want["compressed"].is_null() {
                    assert_eq!(got["sha256_f64"], want["phys64_sha256_canon"], "{at}");
                }
                // astropy scales by a factor that is no integer in float32.
                if !path.ends_with("scale.fits") {
                    assert_eq!(got["sha256"], want["sha256_canon"], "{at}");
                }
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 36);
}

#[test]
fn info_says_what_is_odd_and_the_layout() {
    let done = run(&data("images"), ["info", "--json", "--layout", "plain", "mef_order.fits"]);
    let info: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((&info["layout"], info["extensions"].as_array().unwrap().len()), (&json!("plain"), 6));
    let dir = TempDir::new().unwrap();
    let mut bytes = fs::read(data("images/image_i32.fits")).unwrap();
    // A card in lower case where there was an END, and END behind it.
    let end = bytes.chunks(80).position(|c| c.starts_with(b"END ")).unwrap() * 80;
    bytes[end..end + 80].copy_from_slice(format!("{:<80}", "exptime = 3.0").as_bytes());
    bytes[end + 80..end + 83].copy_from_slice(b"END");
    fs::write(dir.path().join("odd.fits"), bytes).unwrap();
    let done = run(dir.path(), ["info", "odd.fits"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert_says(done.err.trim_end(), &["warning", "HDU 0", "lower-case", "exptime"]);
    assert_eq!(run(dir.path(), ["info", "--quiet", "odd.fits"]).err, "");
    assert_eq!(run(dir.path(), ["info", "--layout", "palomar", "odd.fits"]).code, 2);
}

// ----------------------------------------------------------------------------------------------------- copy and header

#[test]
fn a_copy_is_packed_and_unpacked() {
    let (dir, frames) = folder(1, &[40, 50]);
    let hashes = |name: &str| -> Vec<Value> {
        let text = run(dir.path(), ["info", "--json", "--hash", name]).ok();
        let info: Value = serde_json::from_str(&text).unwrap();
        info["hdus"].as_array().unwrap().iter().map(|h| h["sha256"].clone()).collect()
    };
    let first = frames[0].as_str();
    for method in ["rice", "gzip"] {
        run(dir.path(), ["copy", first, "-o", "packed.fits.fz", "--overwrite", "--compress", method]).ok();
        run(dir.path(), ["copy", "packed.fits.fz", "-o", "plain.fits", "--overwrite"]).ok();
        assert_eq!(hashes("packed.fits.fz"), hashes(first));
        assert_eq!(hashes("plain.fits"), hashes(first));
        let stacked = ["stack", "packed.fits.fz", first, "-o", "stack.fits", "--overwrite", "--compress", method];
        run(dir.path(), stacked.into_iter().chain(["--engine", "cpu"])).ok();
    }
    run(dir.path(), ["copy", first, "-o", "plain.fits"]).failed(&["plain.fits", "exists", "--overwrite"]);
    assert_eq!(run(dir.path(), ["copy", first, "-o", "x.fits", "--quantize", "4"]).code, 2);
    assert_eq!(run(dir.path(), ["copy", first, "-o", "x.fits", "--compress", "rice", "--quantize", "0"]).code, 2);
}

#[test]
fn cards_are_shown_and_changed() {
    let (dir, frames) = folder(1, &[4, 5]);
    let name = frames[0].as_str();
    let shown = run(dir.path(), ["header", name, "--hdu", "1"]).ok();
    assert!(shown.starts_with("XTENSION= 'IMAGE") && shown.contains("\nEXTNAME = 'SCI"), "{shown}");
    let before = fs::read(dir.path().join(&frames[0])).unwrap();
    let edit = ["--set", "OBSERVER=E. Hubble", "--set", "EXPTIME=30.5 / seconds", "--history", "looked at"];
    let base = ["header", name, "--hdu", "1", "-o", "new.fits"];
    run(dir.path(), base.into_iter().chain(edit)).ok();
    let shown = run(dir.path(), ["header", "new.fits"]).ok();
    for part in
        ["# HDU 1 (SCI,1)", "OBSERVER= 'E. Hubble'", "EXPTIME =                 30.5 / seconds", "HISTORY looked at"]
    {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
    assert_eq!(fs::read(dir.path().join(&frames[0])).unwrap(), before);
    // In place, and back again.
    let own = ["header", "new.fits", "--hdu", "1", "-o", "new.fits", "--overwrite"];
    run(dir.path(), own.into_iter().chain(["--remove", "OBSERVER", "--remove", "EXPTIME"])).ok();
    let shown = run(dir.path(), ["header", "new.fits", "--hdu", "1"]).ok();
    assert!(!shown.contains("OBSERVER") && shown.contains("HISTORY looked at"));
    run(dir.path(), own.into_iter().chain(["--set", "NAXIS1=7"])).failed(&["HDU 1", "NAXIS1", "lays out"]);
    run(dir.path(), own.into_iter().chain(["--set", "END=7"])).failed(&["END"]);
    run(dir.path(), ["header", name, "--hdu", "9"]).failed(&["no extension 9", "HDUs"]);
    assert_eq!(run(dir.path(), ["header", name, "--set", "A=1"]).code, 2, "--set without -o");
}

// ---------------------------------------------------------------------------------------------------------- engines

#[test]
fn engines_names_what_auto_takes() {
    let dir = TempDir::new().unwrap();
    let out = run(dir.path(), ["engines"]).ok();
    let last = out.lines().last().unwrap();
    let auto = Engine::auto().unwrap();
    assert!(out.starts_with("cpu, ") && last.starts_with(&format!("auto takes {}: ", auto.describe())), "{out}");
    assert!(out.lines().count() > 2, "{out}");
    let one = run(dir.path(), ["engines", "--threads", "1"]).ok();
    assert!(one.starts_with("cpu, 1 threads, "), "{one}");
}

// A build without the feature says that instead, with drivers or without.
#[cfg(feature = "gpu")]
#[test]
fn without_a_driver_gpu_fails_and_auto_works() {
    let (dir, frames) = folder(2, &[4, 5]);
    let before = names(dir.path());
    let without = |args: &[&str]| {
        let mut command = program(dir.path());
        command.args(args).env("VK_DRIVER_FILES", "/nonexistent").env("VK_ICD_FILENAMES", "/nonexistent");
        finish(command.spawn().unwrap())
    };
    without(&stack(&frames, &["-o", "out.fits", "--engine", "gpu"])).failed(&["no GPU", "adapter"]);
    assert_eq!(names(dir.path()), before);
    let done = without(&stack(&frames, &["-o", "out.fits", "--engine", "auto", "--stats", "s.json"]));
    assert_eq!((done.code, done.out.as_str()), (0, ""), "{}", done.err);
    let stats: Value = serde_json::from_slice(&fs::read(dir.path().join("s.json")).unwrap()).unwrap();
    assert_eq!((&stats["engine"], &stats["adapter"]), (&json!("cpu"), &Value::Null));
    let out = without(&["engines"]).ok();
    assert!(out.contains("gpu: ") && out.lines().last().unwrap().starts_with("auto takes cpu"), "{out}");
}

// ------------------------------------------------------------------------------------------------------------- demo

const DEMO: [&str; 7] = ["demo", "--size", "128", "--frames", "3", "--engine", "cpu"];

#[test]
fn the_demo_makes_a_night_and_can_be_run_twice() {
    let dir = TempDir::new().unwrap();
    let made = |args: &[&str]| {
        let out = run(dir.path(), DEMO.iter().chain(args)).ok();
        let words: Vec<&str> = out.lines().map(|l| l.split_whitespace().next().unwrap()).collect();
        assert_eq!(words, ["made", "stacked", "noise", "errors", "picture"], "{out}");
        let night = dir.path().join("night");
        assert_eq!(names(&night), ["frame_01.fits", "frame_02.fits", "frame_03.fits", "stack.fits", "stack.png"]);
        names(&night).iter().map(|n| fs::read(night.join(n)).unwrap()).collect::<Vec<_>>()
    };
    let first = made(&["night"]);
    for name in ["frame_01.fits", "stack.fits"] {
        let path = dir.path().join("night").join(name);
        Judge::open(&path).assert_sums();
        let ad = AstroData::open(&path).unwrap();
        assert_eq!(
            (ad.len(), ad[0].shape(), ad[0].unit().map(ndastro::Unit::as_str)),
            (1, vec![128, 128], Some("adu"))
        );
        assert!(ad[0].has_variance() && ad[0].has_mask());
    }

    let picture = fs::File::open(dir.path().join("night/stack.png")).unwrap();
    let mut reader = png::Decoder::new(std::io::BufReader::new(picture)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    // Two pictures and the gap between them.
    assert!(info.width > 2 * 128 && info.height == 128, "{info:?}");
    let distinct: std::collections::BTreeSet<u8> = pixels.into_iter().collect();
    assert!(distinct.len() > 50, "{} levels of grey are no picture of a sky", distinct.len());

    assert!(made(&["night"]) == first, "the same night twice, bit for bit");
    assert!(made(&["night", "--seed", "2"]) != first, "another seed is another night");
}

#[test]
fn the_demo_spoils_no_frame_of_others() {
    let dir = TempDir::new().unwrap();
    write_frame(&dir.path().join("frame_01.fits"), 7, &[4, 5]);
    let before = fs::read(dir.path().join("frame_01.fits")).unwrap();
    run(dir.path(), DEMO.iter().chain(&["."])).failed(&["frame_01.fits", "exists", "--overwrite"]);
    assert_eq!(names(dir.path()), ["frame_01.fits"]);
    assert!(fs::read(dir.path().join("frame_01.fits")).unwrap() == before);
    run(dir.path(), DEMO.iter().chain(&[".", "--overwrite"])).ok();
    assert_eq!(names(dir.path()).len(), 5);
}

#[test]
fn the_demo_looks_before_it_writes() {
    for foreign in ["frame_02.fits", "stack.fits"] {
        let dir = TempDir::new().unwrap();
        write_frame(&dir.path().join(foreign), 7, &[4, 5]);
        run(dir.path(), DEMO.iter().chain(&["."])).failed(&[foreign, "exists"]);
        assert_eq!(names(dir.path()), [foreign]);
    }
}

#[test]
fn the_demo_spoils_no_picture_of_others() {
    let dir = TempDir::new().unwrap();
    let picture = dir.path().join("stack.png");
    fs::write(&picture, "precious").unwrap();
    run(dir.path(), DEMO.iter().chain(&["."]));
    assert!(fs::read(&picture).unwrap() == b"precious");
}

// ---------------------------------------------------------------------------------------------------------- signals

/// Sends a signal to a stack of `frames` times one frame as soon as its temporary file is there. `None` if the run was
/// faster; then it must have been well.
fn interrupted(dir: &Path, signal: i32, frames: usize) -> Option<Done> {
    let inputs = std::iter::repeat_n("frame_0.fits", frames);
    let options = ["-o", "out.fits", "--overwrite", "--engine", "cpu", "--threads", "1", "--memory", "2MiB"];
    let mut child = program(dir).arg("stack").args(inputs).args(options).spawn().unwrap();
    while !names(dir).iter().any(|n| n.starts_with(".out.fits.tmp")) {
        if child.try_wait().unwrap().is_some() {
            finish(child).ok();
            return None;
        }
        std::thread::yield_now();
    }
    // SAFETY: a signal to a child that was not waited for, so its number is still its own.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
    let done = finish(child);
    (done.code != 0).then_some(done)
}

#[test]
fn a_signal_ends_a_run_cleanly() {
    let (dir, _) = folder(1, &[1000, 1000]);
    let target = dir.path().join("out.fits");
    for (signal, code) in [(libc::SIGINT, 130), (libc::SIGTERM, 143)] {
        let attempt = |frames| {
            fs::write(&target, "precious").unwrap();
            interrupted(dir.path(), signal, frames)
        };
        let done =
            [50, 200, 800].into_iter().find_map(attempt).expect("800 frames are stacked before a signal arrives");
        assert_eq!((done.code, done.out.as_str()), (code, ""), "{}", done.err);
        assert_says(done.err.strip_suffix('\n').unwrap(), &["interrupted", "nothing was written"]);
        assert_eq!(names(dir.path()), ["frame_0.fits", "out.fits"]);
        assert!(fs::read(&target).unwrap() == b"precious", "the old target is touched");
    }
}

/// Every verb that writes ends so.
#[test]
fn a_signal_ends_a_copy_cleanly() {
    let dir = TempDir::new().unwrap();
    // An image of 4 GB that takes no room: zeros that were never written.
    let cards = [("BITPIX", "-32"), ("NAXIS", "2"), ("NAXIS1", "40000"), ("NAXIS2", "25000")];
    let card = |(key, value): &(&str, &str)| format!("{:<80}", format!("{key:<8}= {value:>20}"));
    let mut header: String = std::iter::once(("SIMPLE", "T")).chain(cards).map(|c| card(&c)).collect();
    header.push_str("END");
    let header = format!("{header:<2880}");
    fs::write(dir.path().join("in.fits"), &header).unwrap();
    let file = fs::OpenOptions::new().write(true).open(dir.path().join("in.fits")).unwrap();
    file.set_len((header.len() as u64 + 4_000_000_000).next_multiple_of(BLOCK as u64)).unwrap();
    for verb in [vec!["copy", "in.fits", "--compress", "gzip"], vec!["header", "in.fits", "--set", "A=1"]] {
        let mut child = program(dir.path()).args(&verb).args(["-o", "out.fits"]).spawn().unwrap();
        while !names(dir.path()).iter().any(|n| n.starts_with(".out.fits.tmp")) {
            assert!(child.try_wait().unwrap().is_none(), "{verb:?} was faster than a signal");
            std::thread::yield_now();
        }
        // SAFETY: a signal to a child that was not waited for, so its number is still its own.
        assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGINT) }, 0);
        let done = finish(child);
        assert_eq!((done.code, done.out.as_str()), (130, ""), "{verb:?}: {}", done.err);
        assert_eq!(names(dir.path()), ["in.fits"], "{verb:?}");
    }
}

/// A reader that goes away is no failure.
#[test]
fn a_closed_pipe_is_no_error() {
    let mut child = program(&data("images")).args(["info", "mef_order.fits"]).spawn().unwrap();
    drop(child.stdout.take());
    let done = finish(child);
    assert_eq!((done.code, done.err.as_str()), (0, ""));
}

#[test]
fn an_image_that_is_left_out_is_said() {
    let dir = TempDir::new().unwrap();
    // A readable image, and behind it the compressed one of another file. Neither is called SCI, so both are frames.
    let mixed = dir.path().join("mixed.fits");
    write_images(&mixed, &[("RED", 1, frame(0, &[4, 5]).data().unwrap().clone())]);
    let mut bytes = fs::read(&mixed).unwrap();
    let mut packed = fs::read(data("images/ref_rice_i32.fits")).unwrap().split_off(BLOCK);
    // By a method that nobody knows.
    let method = packed.windows(6).position(|w| w == b"RICE_1").unwrap();
    packed[method..method + 6].copy_from_slice(b"WAVE_1");
    bytes.extend(packed);
    fs::write(&mixed, bytes).unwrap();
    let done = run(dir.path(), ["stack", "mixed.fits", "-o", "out.fits"]);
    assert_eq!((done.code, done.err.lines().count()), (0, 2), "{}", done.err);
    assert_says(done.err.lines().next().unwrap(), &["warning", "left out", "mixed.fits", "HDU 2", "WAVE_1"]);
}
