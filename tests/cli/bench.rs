//! `ndastro-bench`: every job on every set, a chapter for each number of frames, and nothing left behind.

use std::collections::BTreeSet;

use super::*;

fn bench(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ndastro-bench"));
    command.current_dir(dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.args(["--engine", "cpu", "--rounds", "1", "--dir", "."]).args(args);
    command
}

fn done(dir: &Path, args: &[&str]) -> Done {
    finish(bench(dir, args).spawn().unwrap())
}

fn left_in(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn each_number_of_frames_has_all_jobs() {
    let dir = TempDir::new().unwrap();
    let args = ["--size", "32", "--frames", "3,5", "--json", "a.json", "--plot", "a.svg"];
    let table = done(dir.path(), &args).ok();
    for title in ["3 operands of 32 x 32", "3 frames of 32 x 32", "5 frames of 32 x 32"] {
        assert!(table.lines().any(|l| l == title), "{title} in {table}");
    }
    assert_eq!(left_in(dir.path()), ["a.json", "a.svg"].map(String::from).into());

    let json: Value = serde_json::from_slice(&fs::read(dir.path().join("a.json")).unwrap()).unwrap();
    let rows = json["jobs"].as_array().unwrap();
    let of = |frames: u64, set: &str| -> Vec<&str> {
        let own = rows.iter().filter(|r| r["frames"] == frames && r["set"] == set);
        own.map(|r| r["job"].as_str().unwrap()).collect()
    };
    assert_eq!((of(3, "arrays"), of(3, "operands")), (vec!["arithmetic", "arithmetic-into"], vec!["calc"]));
    for frames in [3, 5] {
        let all = ["decode", "mean", "mean-memory", "median", "sigclip", "varclip", "wtmean"];
        assert_eq!(of(frames, "mef"), all);
        assert_eq!(of(frames, "raw"), all[..5]);
        assert_eq!(of(frames, "rice"), all[1..3]);
    }
    for row in rows {
        assert!(row["of_limit"].as_f64().is_some_and(|f| f > 0.0), "{row}");
        assert_eq!((&row["engine"], row["seconds"].as_array().unwrap().len()), (&json!("cpu"), 1));
    }
    for arithmetic in &rows[..2] {
        assert_eq!(arithmetic["bytes_of_arrays"], 4 * 10 * 32 * 32);
    }

    let svg = fs::read_to_string(dir.path().join("a.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    assert_eq!(svg.matches(r#"class="bar""#).count(), rows.len());
}

#[test]
fn jobs_can_be_chosen() {
    let dir = TempDir::new().unwrap();
    let table = done(dir.path(), &["--size", "16", "--frames", "2", "--jobs", "calc,wtmean"]).ok();
    let jobs = |word: &str| table.lines().filter(|l| l.starts_with(word)).count();
    assert_eq!((jobs("(raw - bias) / flat to file"), jobs("stack wtmean"), jobs("stack"), jobs("set ")), (1, 1, 1, 2));
    assert!(left_in(dir.path()).is_empty());
}

#[test]
fn given_frames_are_stacked_and_stay() {
    let (dir, frames) = folder(3, &[8, 9]);
    let before = left_in(dir.path());
    let args: Vec<&str> = ["--jobs", "mean,calc", "--files"].into_iter().chain(frames.iter().map(|f| &**f)).collect();
    let table = done(dir.path(), &args).ok();
    assert!(table.contains("stack mean to file") && !table.contains("(raw - bias)"), "{table}");
    assert_eq!(left_in(dir.path()), before);
    let args: Vec<&str> = ["--jobs", "calc", "--files"].into_iter().chain(frames.iter().map(|f| &**f)).collect();
    let none = done(dir.path(), &args);
    assert_eq!(none.code, 1);
    assert_says(none.err.trim_end(), &["none of these jobs", "given files"]);
}

#[test]
fn wrong_words_are_bad_usage() {
    let dir = TempDir::new().unwrap();
    for (args, part) in [
        (["--plot", "a.png"], ".svg"),
        (["--jobs", "mode"], "mean-memory"),
        (["--frames", "5,0"], "not in 1..=9999"),
        (["--frames", "5,many"], "many"),
    ] {
        let done = done(dir.path(), &args);
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{args:?}");
        assert!(done.err.contains(part), "{}", done.err);
    }
}

#[test]
fn a_signal_leaves_nothing_of_a_benchmark() {
    let dir = TempDir::new().unwrap();
    let args = ["--size", "64", "--frames", "999", "--jobs", "mean"];
    let child = bench(dir.path(), &args).spawn().unwrap();
    let started = std::time::Instant::now();
    while left_in(dir.path()).is_empty() {
        assert!(started.elapsed().as_secs() < 60, "no temporary folder");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // SAFETY: a signal to a child that was not waited for, so its number is still its own.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGINT) }, 0);
    let done = finish(child);
    assert_eq!(done.code, 130, "{}", done.err);
    assert!(left_in(dir.path()).is_empty());
}
