//! Runs that do not finish leave nothing behind.

use super::*;

/// A folder of frames to be spoiled, the stack of them, and a folder for the result.
fn spoilt(spoil: impl Fn(&Path)) -> (Error, Error) {
    let (dir, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let frames = write_frames(dir.path(), 3, &SHAPE);
    let stack = Stack::files(&frames).unwrap();
    spoil(&frames[1]);
    let engine = Engine::cpu(1).unwrap();
    let eval = stack.eval(&engine).map(drop).unwrap_err();
    let write = stack.write(&engine, out.path().join("out.fits"), false).unwrap_err();
    assert_eq!(names(out.path()), [""; 0]);
    (eval, write)
}

/// What is done to a file, and what the message says of it.
type Spoil<'a> = (&'a dyn Fn(&Path), &'a str);

#[test]
fn a_frame_that_changed_since_it_was_opened_ends_the_run() {
    let later = |path: &Path| {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
    };
    let longer = |path: &Path| {
        let len = fs::metadata(path).unwrap().len();
        fs::File::options().write(true).open(path).unwrap().set_len(len + 2880).unwrap();
    };
    let shorter = |path: &Path| fs::File::options().write(true).open(path).unwrap().set_len(2880).unwrap();
    let replaced = |path: &Path| {
        let other = path.with_extension("other");
        fs::copy(path, &other).unwrap();
        fs::rename(other, path).unwrap();
    };
    let spoils: [Spoil<'_>; 5] = [
        (&later, "written to"),
        (&longer, "bytes when opened"),
        (&shorter, "bytes when opened"),
        (&replaced, "another file"),
        (&|path| fs::remove_file(path).unwrap(), "gone"),
    ];
    for (spoil, what) in spoils {
        let (eval, write) = spoilt(spoil);
        for error in [eval, write] {
            assert!(matches!(error, Error::Changed { .. }), "{error:?}");
            assert_says(&error.to_string(), &["frame_1.fits", "changed", what, "nothing was written"]);
        }
    }
}

#[test]
fn a_plane_of_a_file_that_changed_is_not_read() {
    let (_dir, ad) = one_frame();
    let path = ad.path().unwrap();
    fs::File::options().append(true).open(path).unwrap().set_len(1 << 20).unwrap();
    assert!(matches!(ad[0].data(), Err(Error::Changed { .. })));
    let out = TempDir::new().unwrap();
    assert!(matches!(ad.write(out.path().join("out.fits"), false), Err(Error::Changed { .. })));
    assert_eq!(names(out.path()), [""; 0]);
}

/// Memory that holds some rows of the frames here, so that a run takes several tiles.
const LITTLE: u64 = 512 << 10;

#[test]
fn a_frame_that_changes_in_mid_run_ends_the_run() {
    let (dir, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let frames = write_frames(dir.path(), 3, &[300, 100]);
    let target = out.path().join("out.fits");
    fs::write(&target, "precious").unwrap();
    let victim = frames[2].clone();
    let stack = Stack::files(&frames).unwrap().memory(LITTLE).progress(Arc::new(move |done, all| {
        assert!(done < all, "the run took one tile only");
        fs::File::options().append(true).open(&victim).unwrap().set_len(1 << 20).unwrap();
    }));
    let error = stack.write(&Engine::cpu(1).unwrap(), &target, true).unwrap_err();
    assert_says(&error.to_string(), &["frame_2.fits", "changed"]);
    assert_eq!((names(out.path()), fs::read(&target).unwrap()), (vec!["out.fits".to_string()], b"precious".to_vec()));
}

/// A mapped page that is gone raises SIGBUS; it must end the run, not the process. On each engine.
#[test]
fn a_frame_that_is_cut_short_in_mid_run_ends_the_run() {
    for engine in engines() {
        let (dir, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let frames = write_frames(dir.path(), 3, &[300, 100]);
        let victim = frames[1].clone();
        let stack = Stack::files(&frames).unwrap().memory(LITTLE).progress(Arc::new(move |done, all| {
            assert!(done < all, "the run took one tile only");
            fs::File::options().write(true).open(&victim).unwrap().set_len(2880).unwrap();
        }));
        let error = stack.write(&engine, out.path().join("out.fits"), true).unwrap_err();
        assert!(matches!(error, Error::Changed { .. }), "{error:?}");
        assert_says(&error.to_string(), &["frame_1.fits", "changed"]);
        assert_eq!(names(out.path()), [""; 0]);
    }
}

/// The same where bad frames are left out: the result is the stack of the others, and says so. On each engine.
#[test]
fn a_frame_that_goes_bad_in_mid_run_is_left_out() {
    for engine in engines() {
        let (dir, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let frames = write_frames(dir.path(), 4, &[300, 100]);
        fs::write(&frames[0], "no FITS file").unwrap();
        let victim = frames[2].clone();
        let cut = AtomicBool::new(false);
        let stack = Stack::files_skipping(&frames, &OpenOptions::default())
            .scale(vec![7.0, 2.0, 8.0, 0.5])
            .memory(LITTLE)
            .progress(Arc::new(move |done, all| {
                if !cut.swap(true, Ordering::Relaxed) {
                    assert!(done < all, "the run took one tile only");
                    fs::File::options().write(true).open(&victim).unwrap().set_len(2880).unwrap();
                }
            }));
        let target = out.path().join("out.fits");
        let stats = stack.write(&engine, &target, false).unwrap();
        let others = Stack::files([&frames[1], &frames[3]]).unwrap().scale(vec![2.0, 0.5]);
        others.write(&engine, out.path().join("others.fits"), false).unwrap();
        assert_eq!(names(out.path()), ["others.fits", "out.fits"]);
        let open = |name: &str| AstroData::open(out.path().join(name)).unwrap();
        let (got, want) = (open("out.fits"), open("others.fits"));
        for (got, want) in planes(&got[0]).into_iter().zip(planes(&want[0])) {
            assert!(got.as_bytes() == want.as_bytes());
        }
        let skipped: Vec<&Path> = stats.skipped.iter().map(|s| s.path.as_path()).collect();
        assert_eq!((skipped, stats.frames), (vec![frames[0].as_path(), frames[2].as_path()], 2));
        assert_eq!(got.phu().get_i64("NCOMBINE"), Some(2));
        let said: Vec<String> = got.phu().history().filter(|line| line.contains("left out")).collect();
        assert!(said[0].contains("frame_0.fits: not a FITS file"), "{said:?}");
        assert!(said[1].contains("frame_2.fits: ") && said[1].contains("changed"), "{said:?}");
        assert_eq!(stats.warnings.iter().filter(|w| w.contains("left out")).count(), 2);
    }
}

#[test]
fn bad_frames_alone_are_no_stack() {
    let dir = TempDir::new().unwrap();
    let frames = write_frames(dir.path(), 2, &[4, 5]);
    frames.iter().for_each(|path| fs::write(path, "no FITS file").unwrap());
    let stack = Stack::files_skipping(&frames, &OpenOptions::default());
    let error = stack.eval(&Engine::cpu(1).unwrap()).map(drop).unwrap_err();
    assert_says(&error.to_string(), &["all 2 were left out", "frame_0.fits", "not a FITS file"]);
    // Lists are of all frames that were named.
    let stack = Stack::files_skipping(&frames, &OpenOptions::default()).scale(vec![1.0]);
    let error = stack.eval(&Engine::cpu(1).unwrap()).map(drop).unwrap_err();
    assert_says(&error.to_string(), &["scale", "1 values for 2 frames"]);
}

#[test]
fn a_run_that_is_cancelled_leaves_nothing() {
    let (dir, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let frames = write_frames(dir.path(), 3, &[300, 100]);
    let stop = Arc::new(AtomicBool::new(false));
    let after_one_tile = {
        let (stop, out) = (stop.clone(), out.path().to_path_buf());
        Arc::new(move |done, all| {
            assert!(done < all, "the run took one tile only");
            assert!(names(&out).iter().all(|n| n.starts_with(".out.fits.tmp")), "{:?}", names(&out));
            stop.store(true, Ordering::Relaxed);
        })
    };
    let stack = Stack::files(&frames).unwrap().memory(LITTLE).cancel(stop).progress(after_one_tile);
    let error = stack.write(&Engine::cpu(1).unwrap(), out.path().join("out.fits"), false).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error:?}");
    assert_eq!(names(out.path()), [""; 0]);
}

/// What a killed run leaves is swept by the next one to the same target; what a living one holds is not.
#[test]
fn the_leftovers_of_killed_runs_are_swept() {
    let (dir, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let frames = write_frames(dir.path(), 2, &[4, 5]);
    let path = |name: &str| out.path().join(name);
    for left in [".out.fits.tmpAbCdEf", ".out.fits.tmpAlive1", ".other.fits.tmpAbCdEf", ".out.fits.tmpAbCdEf.bak"] {
        fs::write(path(left), "left").unwrap();
    }
    let held = fs::File::open(path(".out.fits.tmpAlive1")).unwrap();
    held.try_lock().unwrap();
    Stack::files(&frames).unwrap().write(&Engine::cpu(1).unwrap(), path("out.fits"), false).unwrap();
    assert_eq!(
        names(out.path()),
        [".other.fits.tmpAbCdEf", ".out.fits.tmpAbCdEf.bak", ".out.fits.tmpAlive1", "out.fits"]
    );
}

#[test]
fn a_target_that_appears_in_mid_run_is_kept() {
    let (dir, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let frames = write_frames(dir.path(), 2, &[4, 5]);
    let target = out.path().join("out.fits");
    let other = target.clone();
    let stack = Stack::files(&frames).unwrap().progress(Arc::new(move |_, _| fs::write(&other, "precious").unwrap()));
    let error = stack.write(&Engine::cpu(1).unwrap(), &target, false).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error:?}");
    assert_eq!((names(out.path()), fs::read(&target).unwrap()), (vec!["out.fits".to_string()], b"precious".to_vec()));
}
