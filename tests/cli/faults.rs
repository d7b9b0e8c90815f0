//! Faults, injected: whatever happens, a run leaves the complete output with right sums or none, and says what was wrong.
//!
//! docs/reliability.md has the table of which fault is injected by which test, here and in tests/library/unfinished.rs.

use super::*;

/// What is in a folder after a run: the output, complete and with right sums, or nothing that was not there before.
#[track_caller]
fn assert_sound(dir: &Path, before: &[String], code: i32, want: &[u8]) {
    let target = dir.join("out.fits");
    assert_eq!(target.exists(), code == 0, "exit code {code}, and the output is {}", target.exists());
    let mut expected = before.to_vec();
    if code == 0 {
        Judge::open(&target).assert_sums();
        assert!(fs::read(&target).unwrap() == want, "the output is not what it should be");
        expected.push("out.fits".into());
        expected.sort();
        expected.dedup();
    }
    assert_eq!(names(dir), expected);
}

/// A folder, its frames, and what their stack comes to.
fn sound(count: usize, shape: &[usize]) -> (TempDir, Vec<String>, Vec<u8>) {
    let (dir, frames) = folder(count, shape);
    run(dir.path(), stack(&frames, &["-o", "out.fits", "--engine", "cpu"])).ok();
    let want = fs::read(dir.path().join("out.fits")).unwrap();
    fs::remove_file(dir.path().join("out.fits")).unwrap();
    (dir, frames, want)
}

// ------------------------------------------------------------------------------------------------------ the output

#[test]
fn an_output_that_cannot_be_made_is_an_error() {
    let (dir, frames) = folder(2, &[4, 5]);
    let before = names(dir.path());
    std::os::unix::fs::symlink("frame_0.fits", dir.path().join("link.fits")).unwrap();
    let first = fs::read(dir.path().join("frame_0.fits")).unwrap();
    for output in
        ["nowhere/out.fits", "frame_0.fits/out.fits", "/proc/out.fits", "/dev/full", "link.fits", "frame_1.fits"]
    {
        let done = run(dir.path(), stack(&frames, &["-o", output, "--overwrite", "--engine", "cpu"]));
        done.failed(&[output]);
        assert!(names(dir.path()).iter().filter(|name| *name != "link.fits").eq(&before), "{output}");
        assert!(fs::read(dir.path().join("frame_0.fits")).unwrap() == first, "{output}");
    }
}

/// What is printed to a full disk is an error too, and no panic.
#[test]
fn a_full_standard_output_is_an_error() {
    let (dir, frames) = folder(1, &[4, 5]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let done = finish(program(dir.path()).args(["info", &frames[0]]).stdout(full).spawn().unwrap());
    assert_eq!(done.code, 1, "{}", done.err);
}

#[test]
fn four_runs_to_one_output_make_one() {
    let (dir, frames, want) = sound(5, &[60, 70]);
    let one = || program(dir.path()).args(stack(&frames, &["-o", "out.fits", "--overwrite"])).spawn().unwrap();
    let codes: Vec<i32> = [one(), one(), one(), one()].map(|child| finish(child).code).to_vec();
    assert!(codes.contains(&0), "{codes:?}");
    assert_sound(dir.path(), &frames, 0, &want);
}

// ------------------------------------------------------------------------------------------- the system: strace

/// The program under strace, which makes its calls fail; `None` where there is none, or it may not.
fn traced(dir: &Path, inject: &[String], args: &[&str]) -> Option<Done> {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null"]).args(inject).arg(env!("CARGO_BIN_EXE_ndastro")).args(args);
    command.current_dir(dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let done = command.spawn().ok()?.wait_with_output().ok()?;
    let err = String::from_utf8_lossy(&done.stderr).into_owned();
    if err.starts_with("strace: ") {
        eprintln!("not run: {err}");
        return None;
    }
    assert!(!err.contains("panicked"), "{err}");
    let code = done.status.code().unwrap_or_else(|| panic!("{inject:?}: ended by signal {:?}", done.status.signal()));
    Some(Done { code, out: String::from_utf8_lossy(&done.stdout).into_owned(), err })
}

/// The system refuses a call, the first of its kind, a later one, or one in the middle.
#[test]
fn a_system_that_refuses_a_call_leaves_all_or_nothing() {
    let (dir, frames, want) = sound(3, &[120, 100]);
    let args = stack(&frames, &["-o", "out.fits", "--engine", "cpu", "--threads", "2"]);
    let Some(done) = traced(dir.path(), &[], &args) else { return };
    done.ok();
    fs::remove_file(dir.path().join("out.fits")).unwrap();
    let mut failed = 0;
    for (call, error, at) in [
        ("pwrite64", "ENOSPC", &[1, 2, 3, 5][..]),
        ("pwrite64", "EIO", &[1, 4]),
        ("fallocate,ftruncate", "ENOSPC", &[1]),
        ("fsync,fdatasync,sync_file_range", "EIO", &[1, 2]),
        ("rename,renameat,renameat2,linkat", "EIO", &[1]),
        ("mmap", "ENOMEM", &[60, 90, 120]),
        ("openat", "EMFILE", &[12, 20, 28]),
        ("read,pread64", "EIO", &[20, 28]),
        ("madvise", "EINVAL", &[1, 2]),
    ] {
        for when in at {
            let inject = ["-e".into(), format!("inject={call}:error={error}:when={when}")];
            let Some(done) = traced(dir.path(), &inject, &args) else { return };
            // 101 is what a panic is, and what the loader of the system ends with is not ours.
            assert_ne!(done.code, 101, "{call} {error} {when}: {}", done.err);
            failed += usize::from(done.code != 0);
            assert_sound(dir.path(), &frames, done.code, &want);
            let _ = fs::remove_file(dir.path().join("out.fits"));
        }
    }
    assert!(failed > 8, "{failed} faults had an effect");
}

// ----------------------------------------------------------------------------------------------------- the inputs

/// What a frame can be that is none, and what is said of it.
#[test]
fn bad_frames_are_named_or_left_out() {
    let (dir, frames, _) = sound(5, &[60, 70]);
    let dir = dir.path();
    run(dir, stack(&[frames[0].clone(), frames[3].clone()], &["-o", "others.fits", "--scale", "1,0.25"])).ok();
    let whole = fs::read(dir.join(&frames[1])).unwrap();
    fs::create_dir(dir.join("folder.fits")).unwrap();
    /// Its name, what makes a file so, what is said of it.
    type Bad<'a> = (&'a str, &'a dyn Fn(&Path), &'a str);
    let bad: [Bad<'_>; 6] = [
        ("missing", &|path| fs::remove_file(path).unwrap(), "cannot open"),
        ("empty", &|path| fs::write(path, "").unwrap(), "not a FITS file"),
        ("text", &|path| fs::write(path, "no FITS file").unwrap(), "not a FITS file"),
        ("cut", &|path| fs::write(path, &whole[..whole.len() - 2880]).unwrap(), "truncated"),
        ("folder", &|path| drop((fs::remove_file(path), fs::create_dir(path).unwrap())), "it is a directory"),
        ("headless", &|path| fs::write(path, &whole[..2880]).unwrap(), "no image"),
    ];
    for (what, spoil, says) in bad {
        let _ = fs::remove_dir(dir.join(&frames[1]));
        fs::write(dir.join(&frames[1]), &whole).unwrap();
        spoil(&dir.join(&frames[1]));
        let _ = fs::remove_file(dir.join(&frames[2]));
        let four = &frames[..4];
        let with = ["-o", "out.fits", "--scale", "1,5,7,0.25", "--engine", "cpu", "--overwrite", "--stats", "s.json"];
        let error = run(dir, stack(four, &with)).failed(&["frame_1.fits"]);
        assert!(error.contains(says), "{what}: {error}");
        assert!(!dir.join("out.fits").exists(), "{what}");
        let done = run(dir, stack(four, &[&with[..], &["--skip-bad"]].concat()));
        assert_eq!(done.code, 0, "{what}: {}", done.err);
        assert!(done.err.contains("left out: frame_1.fits: ") && done.err.contains("left out: frame_2.fits: "));
        let (got, want) = (dir.join("out.fits"), dir.join("others.fits"));
        Judge::open(&got).assert_sums();
        assert!(three(&AstroData::open(&got).unwrap()) == three(&AstroData::open(want).unwrap()), "{what}");
        let stats: Value = serde_json::from_slice(&fs::read(dir.join("s.json")).unwrap()).unwrap();
        let skipped: Vec<&str> =
            stats["skipped"].as_array().unwrap().iter().filter_map(|s| s["path"].as_str()).collect();
        assert_eq!((skipped, &stats["frames"]), (vec!["frame_1.fits", "frame_2.fits"], &json!(2)), "{what}");
        assert!(stats["skipped"][0]["why"].as_str().unwrap().contains(says), "{what}: {stats}");
        let phu = AstroData::open(&got).unwrap().phu().clone();
        assert_eq!(phu.history().filter(|line| line.contains("left out: frame_")).count(), 2, "{what}");
        fs::remove_file(got).unwrap();
    }
    run(dir, stack(&frames[1..3], &["-o", "out.fits", "--skip-bad"])).failed(&["all 2 were left out", "frame_1.fits"]);
    let done = run(dir, stack(&frames, &["-o", "out.fits", "--skip-bad", "--tile", "1/2"]));
    assert_eq!(done.code, 2, "bands of other frames would not go together");
    // The output is not a bad frame, whatever is said.
    let before = fs::read(dir.join(&frames[0])).unwrap();
    run(dir, stack(&frames, &["-o", &frames[0], "--skip-bad", "--overwrite"])).failed(&["is one of the inputs"]);
    assert!(fs::read(dir.join(&frames[0])).unwrap() == before);
}

/// What is no regular file is refused at once: it could go on for ever.
#[test]
fn what_never_ends_is_no_frame() {
    let (dir, frames) = folder(2, &[4, 5]);
    let pipe = std::ffi::CString::new(dir.path().join("pipe.fits").into_os_string().into_vec()).unwrap();
    // SAFETY: a path that ends with 0.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
    for endless in ["pipe.fits", "/dev/zero"] {
        let three = [&frames[..], &[endless.to_string()]].concat();
        run(dir.path(), stack(&three, &["-o", "out.fits"])).failed(&[endless]);
    }
    fs::remove_file(dir.path().join("pipe.fits")).unwrap();
    assert_eq!(names(dir.path()), frames);
}

/// Who may not read a file is told so. Root may read everything, so it asks another user to.
#[test]
fn an_unreadable_frame_is_named() {
    let (dir, frames) = folder(2, &[4, 5]);
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(dir.path().join(&frames[1]), fs::Permissions::from_mode(0o000)).unwrap();
    let args = stack(&frames, &["-o", "out.fits", "--engine", "cpu"]);
    // SAFETY: asks for a number.
    let done = if unsafe { libc::geteuid() } == 0 {
        use std::os::unix::process::CommandExt;
        // The program may lie where that user cannot go.
        let own = dir.path().join("ndastro");
        fs::copy(env!("CARGO_BIN_EXE_ndastro"), &own).unwrap();
        let mut command = Command::new(&own);
        command.args(&args).uid(65534).gid(65534).current_dir(dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let done = finish(command.spawn().unwrap());
        fs::remove_file(own).unwrap();
        done
    } else {
        run(dir.path(), args)
    };
    done.failed(&["frame_1.fits", "cannot open", "ermission denied"]);
    assert_eq!(names(dir.path()), frames);
}

// --------------------------------------------------------------------------------------------------------- the end

/// SIGKILL leaves at most a file that is known by its name, which the next run sweeps.
#[test]
fn what_a_killed_run_leaves_the_next_one_sweeps() {
    let (dir, _) = folder(1, &[1000, 1000]);
    let attempt = |frames: usize| {
        let inputs = std::iter::repeat_n("frame_0.fits", frames);
        let options = ["-o", "out.fits", "--engine", "cpu", "--threads", "1", "--memory", "2MiB"];
        let mut child = program(dir.path()).arg("stack").args(inputs).args(options).spawn().unwrap();
        while !names(dir.path()).iter().any(|n| n.starts_with(".out.fits.tmp")) {
            if child.try_wait().unwrap().is_some() {
                fs::remove_file(dir.path().join("out.fits")).unwrap();
                return None;
            }
            std::thread::yield_now();
        }
        child.kill().unwrap();
        let status = child.wait().unwrap();
        (status.signal() == Some(libc::SIGKILL)).then_some(())
    };
    [50, 200, 800].into_iter().find_map(attempt).expect("800 frames are stacked before a signal arrives");
    let left = names(dir.path());
    assert!(left.iter().all(|name| name == "frame_0.fits" || name.starts_with(".out.fits.tmp")), "{left:?}");
    run(dir.path(), ["stack", "frame_0.fits", "frame_0.fits", "-o", "out.fits", "--engine", "cpu"]).ok();
    assert_eq!(names(dir.path()), ["frame_0.fits", "out.fits"]);
    Judge::open(&dir.path().join("out.fits")).assert_sums();
}

/// An interrupted run goes on from its last finished band, and comes to the same bytes.
#[test]
fn what_was_interrupted_goes_on() {
    // Three bands.
    let (dir, _) = folder(1, &[2600, 4096]);
    let dir = dir.path();
    let part = dir.join("out.fits.part");
    let args = |frames: usize| {
        let inputs = std::iter::repeat_n("frame_0.fits", frames);
        std::iter::once("stack").chain(inputs).chain(["-o", "out.fits", "--engine", "cpu", "--resume"])
    };
    for signal in [libc::SIGTERM, libc::SIGKILL] {
        let attempt = |frames: usize| {
            let mut child = program(dir).args(args(frames)).spawn().unwrap();
            // A band is done when its record is there.
            let done = || names(dir).iter().filter(|n| n.starts_with("out.fits.part.")).count();
            while done() == 0 {
                if child.try_wait().unwrap().is_some() {
                    finish(child).ok();
                    fs::remove_file(dir.join("out.fits")).unwrap();
                    return None;
                }
                std::thread::yield_now();
            }
            // SAFETY: a signal to a child that was not waited for, so its number is still its own.
            assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
            let status = child.wait().unwrap();
            if status.success() {
                fs::remove_file(dir.join("out.fits")).unwrap();
                return None;
            }
            let ended = if signal == libc::SIGKILL { status.signal() } else { status.code() };
            assert_eq!(ended, Some(if signal == libc::SIGKILL { signal } else { 143 }));
            Some(frames)
        };
        let frames = [8, 30, 120].into_iter().find_map(attempt).expect("bands are computed before a signal arrives");
        assert!(part.exists() && !dir.join("out.fits").exists());
        let done = run(dir, args(frames));
        assert_eq!(done.code, 0, "{}", done.err);
        assert!(done.err.contains("band 1 of 3 was done before"), "{}", done.err);
        let inputs = std::iter::repeat_n("frame_0.fits", frames);
        run(dir, std::iter::once("stack").chain(inputs).chain(["-o", "once.fits", "--engine", "cpu"])).ok();
        assert!(fs::read(dir.join("out.fits")).unwrap() == fs::read(dir.join("once.fits")).unwrap(), "signal {signal}");
        // The record of a band that was being written may be left, known by its name.
        let left: Vec<String> = names(dir).into_iter().filter(|name| !name.starts_with(".record.tmp")).collect();
        assert_eq!(left, ["frame_0.fits", "once.fits", "out.fits"]);
        fs::remove_file(dir.join("out.fits")).unwrap();
        fs::remove_file(dir.join("once.fits")).unwrap();
    }
}

// ----------------------------------------------------------------------------------------------------- many, large

/// Ten thousand files, of which a thousand may be open.
#[test]
fn ten_thousand_frames_under_a_thousand_open_files() {
    let (dir, frames) = folder(1, &[3, 5]);
    let many: Vec<String> = (0..10_000).map(|f| format!("{f}.fits")).collect();
    for name in &many {
        fs::copy(dir.path().join(&frames[0]), dir.path().join(name)).unwrap();
    }
    let args = ["-o", "out.fits", "--combine", "median"];
    under(dir.path(), "ulimit -n 1024", &stack(&many, &args)).ok();
    let one = AstroData::open(dir.path().join(&frames[0])).unwrap();
    let out = AstroData::open(dir.path().join("out.fits")).unwrap();
    assert_eq!(out.phu().get_i64("NCOMBINE"), Some(10_000));
    assert_eq!(out[0].data().unwrap().to_f64(), one[0].data().unwrap().to_f64());
}

/// Rows of a hundred thousand pixels, and a stack of more than ten times what it may hold.
#[test]
fn memory_is_what_was_allowed() {
    let (dir, frames) = folder(6, &[30, 100_000]);
    let allowed = 8 << 20;
    let bytes: u64 = frames.iter().map(|f| fs::metadata(dir.path().join(f)).unwrap().len()).sum();
    assert!(bytes > 10 * allowed);
    for more in [&["--combine", "median"][..], &["--reject", "sigclip"], &["--no-mmap"]] {
        let with = ["-o", "out.fits", "--overwrite", "--engine", "cpu", "--threads", "2", "--stats", "s.json"];
        run(dir.path(), stack(&frames, &[&with[..], more].concat())).ok();
        let want = fs::read(dir.path().join("out.fits")).unwrap();
        run(dir.path(), stack(&frames, &[&with[..], more, &["--memory", "8MiB"]].concat())).ok();
        assert!(fs::read(dir.path().join("out.fits")).unwrap() == want, "{more:?}");
        let stats: Value = serde_json::from_slice(&fs::read(dir.path().join("s.json")).unwrap()).unwrap();
        let held = stats["peak_host_bytes"].as_u64().unwrap();
        // The program itself takes a few megabytes.
        assert!(held < allowed + (8 << 20), "{more:?}: {held} bytes held");
    }
}

#[test]
fn nothing_and_one_are_numbers_of_frames() {
    let (dir, frames) = folder(1, &[1, 1]);
    assert_eq!(run(dir.path(), ["stack", "-o", "out.fits"]).code, 2);
    run(dir.path(), stack(&frames, &["-o", "out.fits"])).ok();
    let one = AstroData::open(dir.path().join(&frames[0])).unwrap();
    let out = AstroData::open(dir.path().join("out.fits")).unwrap();
    assert_eq!(out[0].data().unwrap().to_f64(), one[0].data().unwrap().to_f64());
}

// ------------------------------------------------------------------------------------------------------- a device

/// A device that is lost, that has no memory, or that has small limits: the run ends with the right result.
#[cfg(feature = "gpu")]
#[test]
fn a_device_that_fails_does_not_spoil_the_result() {
    if gpu().is_none() {
        return;
    }
    let (dir, frames) = folder(4, &[300, 400]);
    let dir = dir.path();
    for more in [&["--combine", "mean"][..], &["--reject", "sigclip"]] {
        let with = ["--engine", "gpu", "--memory", "4MiB", "--overwrite", "--stats", "s.json"];
        let faulty = |fault: Option<&str>, output: &str| {
            let mut command = program(dir);
            command.args(stack(&frames, &[&with[..], more, &["-o", output]].concat()));
            if let Some(fault) = fault {
                command.env("NDASTRO_FAULT", fault);
            }
            let done = finish(command.spawn().unwrap());
            assert_eq!(done.code, 0, "{fault:?} {}", done.err);
            let stats: Value = serde_json::from_slice(&fs::read(dir.join("s.json")).unwrap()).unwrap();
            let warned = done.err.lines().filter(|line| line.starts_with("warning: ")).count();
            (done.err, stats["tiles"].as_u64().unwrap(), warned)
        };
        let (_, tiles, warned) = faulty(None, "clean.fits");
        assert!(tiles > 4 && warned == 0, "{tiles} tiles");
        let clean = AstroData::open(dir.join("clean.fits")).unwrap();
        for (fault, says) in [
            ("device-lost:1", Some("computed on the CPU")),
            ("device-lost:3", Some("computed on the CPU")),
            ("out-of-memory:1", Some("went on with smaller tiles")),
            ("out-of-memory:3", Some("went on with smaller tiles")),
            ("out-of-memory:2,device-lost:5", Some("computed on the CPU")),
            ("limits:262144", None),
        ] {
            let (err, tiles_now, warned) = faulty(Some(fault), "out.fits");
            assert_eq!(warned, usize::from(says.is_some()), "{fault}: {err}");
            assert!(says.is_none_or(|says| err.contains(says)), "{fault}: {err}");
            assert!(fault != "limits:262144" || tiles_now > tiles, "{fault}: {tiles_now} tiles");
            let out = dir.join("out.fits");
            Judge::open(&out).assert_sums();
            let (got, want) = (three(&AstroData::open(&out).unwrap()), three(&clean));
            let bounds = Bounds { data: Tolerance::Ulp32(4), variance: Tolerance::Ulp32(4) };
            let planes = |p: &(Vec<f64>, Vec<f64>, Vec<u32>)| -> Result<(), String> {
                let (got, want) = (
                    Planes { data: &p.0, variance: &p.1, dq: &p.2 },
                    Planes { data: &want.0, variance: &want.1, dq: &want.2 },
                );
                compare(&got, &want, &bounds)
            };
            planes(&got).unwrap_or_else(|e| panic!("{fault}: {e}"));
        }
    }
    assert_eq!(names(dir).len(), frames.len() + 3);
}
