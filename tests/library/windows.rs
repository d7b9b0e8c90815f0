//! Windows are slices.

use super::*;

/// The slice of an array, by ndarray.
pub(super) fn slice(whole: &Pixels, window: &Window) -> ArrayD<f64> {
    let whole = whole.to_f64();
    whole.slice_each_axis(|axis| Slice::from(window.ranges()[axis.axis.index()].clone())).to_owned()
}

/// Windows of an image: corners, one pixel, whole axes, all of it, nothing.
fn some_windows(shape: &[usize]) -> Vec<Window> {
    let with = |range: fn(usize) -> std::ops::Range<usize>| Window::new(shape.iter().map(|&n| range(n)));
    let mut windows = vec![with(|n| 0..n), with(|_| 0..1), with(|n| n - 1..n), with(|n| 1..n - 1), with(|n| n..n)];
    for axis in 0..shape.len() {
        let one = |cut: std::ops::Range<usize>| {
            Window::new(shape.iter().enumerate().map(|(i, &n)| if i == axis { cut.clone() } else { 0..n }))
        };
        windows.extend([one(1..3), one(2..2)]);
    }
    windows
}

/// `whole` in a file and in memory.
fn twice(dir: &Path, whole: &NDAstroData) -> [NDAstroData; 2] {
    let path = dir.join("whole.fits");
    AstroData::from_extensions(Header::new(), vec![whole.clone()]).write(&path, true).unwrap();
    [whole.clone(), AstroData::open(path).unwrap()[0].clone()]
}

#[test]
fn a_window_is_the_slice_of_the_whole() {
    let dir = TempDir::new().unwrap();
    for shape in [&[13][..], &[7, 9], &[4, 5, 6]] {
        let whole = frame(1, shape);
        for nd in twice(dir.path(), &whole) {
            for window in some_windows(shape) {
                let part = nd.window(&window).unwrap();
                assert_eq!(part.shape(), window.shape());
                assert_eq!(
                    (part.unit().map(Unit::as_str), part.has_variance(), part.has_mask()),
                    (Some("adu"), true, true)
                );
                for (part, whole) in planes(&part).into_iter().zip(planes(&whole)) {
                    assert_eq!(part.dtype(), whole.dtype());
                    assert_eq!(part.to_f64(), slice(whole, &window), "{window} of {shape:?}");
                }
            }
        }
    }
}

#[test]
fn a_window_of_a_window_is_a_window_of_the_whole() {
    let dir = TempDir::new().unwrap();
    let whole = frame(2, &[6, 7, 8]);
    let (outer, inner) = (Window::new([1..5, 2..7, 0..8]), Window::new([1..3, 0..4, 3..5]));
    let direct = Window::new([2..4, 2..6, 3..5]);
    assert_eq!(outer.within(&inner).unwrap(), direct);
    for nd in twice(dir.path(), &whole) {
        let part = nd.window(&outer).unwrap().window(&inner).unwrap();
        for (part, whole) in planes(&part).into_iter().zip(planes(&whole)) {
            assert_eq!(part.to_f64(), slice(whole, &direct));
        }
        // The bounds are those of the window, not of what it is a window of.
        let beyond = nd.window(&outer).unwrap().window(&Window::new([0..5, 0..1, 0..1])).unwrap_err();
        assert_says(&beyond.to_string(), &["[0:5, 0:1, 0:1]", "[4, 5, 8]"]);
    }
}

#[test]
fn a_window_that_does_not_fit_is_an_error() {
    let dir = TempDir::new().unwrap();
    for nd in twice(dir.path(), &frame(0, &[4, 5])) {
        let backwards = std::ops::Range { start: 3, end: 2 };
        for (window, said) in [
            (Window::new([0..4, 0..6]), "[0:4, 0:6]"),
            (Window::new([5..6, 0..5]), "[5:6, 0:5]"),
            (Window::new([0..4, backwards]), "[0:4, 3:2]"),
            (Window::new([0..4, 0..usize::MAX]), "[0:4, 0:18446744073709551615]"),
            (Window::new(std::iter::once(0..4)), "[0:4]"),
            (Window::new([0..4, 0..5, 0..1]), "[0:4, 0:5, 0:1]"),
        ] {
            assert_says(&nd.window(&window).unwrap_err().to_string(), &[said, "[4, 5]"]);
        }
    }
}

#[test]
fn a_stack_of_windows_is_the_window_of_the_stack() {
    let dir = TempDir::new().unwrap();
    let files: Vec<AstroData> =
        write_frames(dir.path(), 5, &SHAPE).iter().map(|path| AstroData::open(path).unwrap()).collect();
    for engine in engines() {
        let (whole, stats) = Stack::of(files.clone()).eval(&engine).unwrap();
        assert_eq!((stats.engine, &stats.warnings[..]), (engine.name(), &[][..]));
        for window in [Window::new([10..25, 30..37]), Window::new([59..60, 0..70]), Window::new([3..4, 5..6])] {
            let (part, stats) =
                Stack::new(files.iter().map(|ad| ad[0].window(&window).unwrap())).eval(&engine).unwrap();
            assert_eq!((stats.engine, &stats.warnings[..]), (engine.name(), &[][..]));
            for (part, whole) in planes(&part[0]).into_iter().zip(planes(&whole[0])) {
                assert_eq!(part.to_f64(), slice(whole, &window), "{window} on {}", engine.describe());
            }
        }
    }
}

#[test]
fn a_stack_of_empty_windows_does_not_panic() {
    let window = Window::new([0..4, 2..2]);
    let frames = (0..2).map(|i| frame(i, &[4, 5]).window(&window).unwrap());
    if let Ok((empty, _)) = Stack::new(frames).eval(&Engine::cpu(1).unwrap()) {
        assert_eq!(empty[0].shape(), [4, 0]);
    }
}
