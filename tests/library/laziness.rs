//! What is read, by counters.

use super::*;

const PIXELS: u64 = 60 * 70;

/// Length of the headers, from the number of their cards.
fn header_bytes(file: &FitsFile) -> u64 {
    file.hdus().iter().map(|h| ((h.header.len() + 1) * 80).next_multiple_of(BLOCK) as u64).sum()
}

/// How many planes say that they are still in their file.
fn lazy_planes(nd: &NDAstroData) -> usize {
    format!("{nd:?}").matches("memmapped").count()
}

#[test]
fn opening_reads_the_headers_and_nothing_else() {
    let (_dir, ad) = one_frame();
    let file = ad.file().unwrap();
    assert_eq!(file.bytes_read(), header_bytes(file));
    assert!(file.bytes_read() < fs::metadata(file.path()).unwrap().len());
    // Questions that the header answers cost nothing more.
    assert_eq!((ad[0].shape(), ad[0].size(), ad[0].dtype()), (SHAPE.to_vec(), PIXELS as usize, DType::U16));
    assert!(ad[0].has_variance() && ad[0].has_mask());
    assert_eq!(file.bytes_read(), header_bytes(file));
    assert_eq!(lazy_planes(&ad[0]), 3);

    for (path, _) in truth() {
        if let Ok(file) = FitsFile::open(&path) {
            assert_eq!(file.bytes_read(), header_bytes(&file), "{}", path.display());
        }
    }
}

#[test]
fn a_plane_costs_its_own_bytes_once() {
    let (_dir, mut ad) = one_frame();
    let file = ad.file().unwrap().clone();
    let since = |start: u64| file.bytes_read() - start;
    let start = file.bytes_read();
    ad[0].data().unwrap();
    assert_eq!((since(start), lazy_planes(&ad[0])), (2 * PIXELS, 2));
    ad[0].data().unwrap();
    assert_eq!(since(start), 2 * PIXELS, "a loaded plane is not read again");
    ad[0].variance().unwrap();
    assert_eq!((since(start), lazy_planes(&ad[0])), ((2 + 4) * PIXELS, 1));
    ad[0].mask().unwrap();
    assert_eq!((since(start), lazy_planes(&ad[0])), ((2 + 4 + 2) * PIXELS, 0));

    let before = ad[0].data().unwrap().clone();
    let mut nd = ad[0].clone();
    nd.unload();
    assert_eq!((lazy_planes(&nd), lazy_planes(&ad[0])), (3, 0), "the clone gives its memory back, the other keeps its");
    assert_eq!(nd.data().unwrap(), &before);
    assert_eq!(since(start), (2 + 4 + 2 + 2) * PIXELS);
    // Nothing that could be unloaded is held by what was moved.
    ad = AstroData::from_extensions(Header::new(), vec![nd]);
    assert_eq!(lazy_planes(&ad[0]), 2);
}

#[test]
fn a_window_costs_its_own_bytes_and_leaves_its_parent_lazy() {
    let (_dir, ad) = one_frame();
    let file = ad.file().unwrap();
    let start = file.bytes_read();
    let window = ad[0].window(&Window::new([10..25, 30..37])).unwrap();
    let inner = window.window(&Window::new([1..4, 2..7])).unwrap();
    assert_eq!(file.bytes_read(), start, "making windows reads nothing");
    for (part, pixels) in [(&inner, 3 * 5), (&window, 15 * 7)] {
        for (plane, size) in [(0, 2), (1, 4), (2, 2)] {
            let start = file.bytes_read();
            let found = match plane {
                0 => part.data().unwrap().len(),
                1 => part.variance().unwrap().unwrap().len(),
                _ => part.mask().unwrap().unwrap().len(),
            };
            assert_eq!(found, pixels);
            assert_eq!(file.bytes_read() - start, size * pixels as u64, "plane {plane} of {pixels} pixels");
        }
        assert_eq!(lazy_planes(part), 0);
    }
    assert_eq!(lazy_planes(&ad[0]), 3);
}

/// Three files and a window of each, with the bytes of their headers and of the windows.
fn windows_of_files(dir: &Path) -> (Vec<NDAstroData>, u64, u64) {
    let files: Vec<AstroData> =
        write_frames(dir, 3, &SHAPE).iter().map(|path| AstroData::open(path).unwrap()).collect();
    let headers = files.iter().map(|ad| header_bytes(ad.file().unwrap())).sum();
    let windows = files.iter().map(|ad| ad[0].window(&Window::new([10..25, 30..37])).unwrap()).collect();
    (windows, headers, 3 * 15 * 7 * (2 + 4 + 2))
}

#[test]
fn a_stack_of_windows_reads_headers_and_windows() {
    let dir = TempDir::new().unwrap();
    let (windows, headers, pixels) = windows_of_files(dir.path());
    let (_, stats) = Stack::new(windows).eval(&Engine::cpu(2).unwrap()).unwrap();
    assert_eq!(stats.bytes_read, headers + pixels);
    assert_eq!((stats.bytes_uploaded, stats.bytes_downloaded), (0, 0));
    assert_eq!((stats.frames, stats.pixels), (3, 15 * 7));
}

#[test]
fn a_stack_of_windows_uploads_the_windows() {
    let Some(engine) = gpu() else { return };
    let dir = TempDir::new().unwrap();
    let (windows, headers, pixels) = windows_of_files(dir.path());
    let (_, stats) = Stack::new(windows).eval(&engine).unwrap();
    assert_eq!(stats.warnings, [""; 0], "a run that fell back to the CPU proves nothing");
    assert_eq!(stats.bytes_uploaded, pixels);
    assert_eq!(stats.bytes_read, headers + pixels);
    assert_eq!((stats.engine, stats.adapter.as_deref()), ("gpu", engine.adapter()));
}

#[test]
fn planes_that_are_not_wanted_are_not_read() {
    let dir = TempDir::new().unwrap();
    let paths = write_frames(dir.path(), 3, &SHAPE);
    for (variance, mask) in [(true, true), (true, false), (false, true), (false, false)] {
        let stack = Stack::files(&paths).unwrap().use_variance(variance).use_mask(mask);
        let headers: u64 = stack.inputs().iter().map(|ad| header_bytes(ad.file().unwrap())).sum();
        let (_, stats) = stack.eval(&Engine::cpu(1).unwrap()).unwrap();
        let pixel = 2 + 4 * u64::from(variance) + 2 * u64::from(mask);
        assert_eq!(stats.bytes_read, headers + 3 * PIXELS * pixel, "variance {variance}, mask {mask}");
    }
}

#[test]
fn the_bytes_of_a_run_are_those_of_that_run() {
    let dir = TempDir::new().unwrap();
    let stack = Stack::files(write_frames(dir.path(), 2, &SHAPE)).unwrap();
    let engine = Engine::cpu(1).unwrap();
    let (_, first) = stack.eval(&engine).unwrap();
    let (_, second) = stack.eval(&engine).unwrap();
    assert!(second.bytes_read <= first.bytes_read, "{} after {}", second.bytes_read, first.bytes_read);
}
