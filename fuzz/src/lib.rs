//! What the targets share: files from bytes within limits that keep a run fast, windows from bytes, and what must hold of
//! every message and every plane.

use std::fmt::Display;

use ndarray::{ArrayD, Slice};
use ndastro::fits::{FitsFile, Hdu};
use ndastro::{AstroData, NDAstroData, Pixels, Window};

/// An image with more pixels is opened, but not read.
pub const MAX_PIXELS: usize = 1 << 20;

/// The file, if it is one and its images are small enough to be read a thousand times a second.
pub fn small_file(bytes: &[u8]) -> Option<FitsFile> {
    let file = open(bytes)?;
    small(&file).then_some(file)
}

/// The file, if it is one.
pub fn open(bytes: &[u8]) -> Option<FitsFile> {
    let file = FitsFile::from_bytes(bytes.to_vec()).inspect_err(|e| check_message(e)).ok()?;
    file.warnings().iter().for_each(|w| check_message(w));
    Some(file)
}

fn small(file: &FitsFile) -> bool {
    let pixels = |h: &Hdu| h.shape.iter().try_fold(1usize, |p, &n| p.checked_mul(n)).unwrap_or(usize::MAX);
    let total = file.hdus().iter().filter(|h| h.has_pixels()).fold(0usize, |sum, h| sum.saturating_add(pixels(h)));
    total <= MAX_PIXELS
}

/// Messages go to terminals and logs: one line, whatever was in the file.
pub fn check_message(message: &impl Display) {
    let text = message.to_string();
    assert!(!text.is_empty() && !text.chars().any(char::is_control), "control characters in {text:?}");
}

/// Pseudo-random numbers that a file determines (xorshift).
pub struct Numbers(u64);

impl Numbers {
    /// Seeded by the bytes (FNV-1a).
    pub fn of(bytes: &[u8]) -> Self {
        let hash =
            bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        Numbers(hash | 1)
    }

    /// Less than `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n.max(1)
    }

    /// A window of an image; now and then an empty one.
    pub fn window(&mut self, shape: &[usize]) -> Window {
        Window::new(shape.iter().map(|&n| {
            let start = self.below(n + 1);
            start..start + self.below(n - start + 1)
        }))
    }
}

/// The part of an array that a window is.
pub fn slice(pixels: &Pixels, window: &Window) -> Pixels {
    fn cut<T: Clone>(a: &ArrayD<T>, window: &Window) -> ArrayD<T> {
        a.slice_each_axis(|axis| Slice::from(window.ranges()[axis.axis.index()].clone())).to_owned()
    }
    macro_rules! each {
        ($($variant:ident),*) => { match pixels { $(Pixels::$variant(a) => cut(a, window).into()),* } };
    }
    each!(U8, I8, I16, U16, I32, U32, I64, U64, F32, F64)
}

/// The same type, the same shape, the same bits; one NaN is like another.
pub fn same(a: &Pixels, b: &Pixels) -> bool {
    if a.dtype() != b.dtype() || a.shape() != b.shape() {
        return false;
    }
    match (a, b) {
        (Pixels::F32(a), Pixels::F32(b)) => {
            a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
        }
        (Pixels::F64(a), Pixels::F64(b)) => {
            a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
        }
        _ => a.as_bytes() == b.as_bytes(),
    }
}

/// All planes of a container, loaded; `None` where the file is damaged.
pub fn planes(nd: &NDAstroData) -> Vec<Option<Pixels>> {
    let names: Vec<String> = nd.other_names().map(String::from).collect();
    let mut all = vec![nd.data().map(Some), nd.uncertainty(), nd.variance(), nd.mask()];
    all.extend(names.iter().map(|n| nd.other(n)));
    let loaded = |p: ndastro::Result<Option<&Pixels>>| p.inspect_err(|e| check_message(e)).ok().flatten().cloned();
    all.into_iter().map(loaded).collect()
}

/// Whole planes have the shapes that were promised without reading, and a window reads as the slice of the whole.
pub fn check_windows(nd: &NDAstroData, numbers: &mut Numbers) {
    let shape = nd.shape();
    let whole = planes(nd);
    if let Some(data) = &whole[0] {
        assert_eq!((data.shape(), data.dtype()), (shape.as_slice(), nd.dtype()));
    }
    for _ in 0..3 {
        let window = numbers.window(&shape);
        let part = nd.window(&window).expect("a window inside of the image");
        for (whole, part) in whole.iter().zip(planes(&part)) {
            // A window may miss what is damaged.
            let Some(whole) = whole else { continue };
            let part = part.expect("a part of a plane that could be read");
            // Further planes of another shape stay whole.
            let want = if whole.shape() == shape { slice(whole, &window) } else { whole.clone() };
            assert!(same(&want, &part), "window {window} of {shape:?} is not the slice of the whole");
        }
    }
    // One that sticks out is refused, with a message.
    let mut ranges = Window::full(&shape).ranges().to_vec();
    if let Some(last) = ranges.last_mut() {
        last.end += 1;
        check_message(&nd.window(&Window::new(ranges)).expect_err("a window that sticks out"));
    }
}

/// What the extensions of a file say of themselves without reading.
pub fn check_shapes(ad: &AstroData) {
    ad.info().lines().for_each(|line| check_message(&line));
    ad.left_out().iter().for_each(|line| check_message(line));
    for nd in ad.iter() {
        assert_eq!(nd.shape().iter().product::<usize>(), nd.size());
        assert!(nd.size() > 0);
    }
}
