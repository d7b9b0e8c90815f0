//! The container: slices, orders of its axes, what they read, copies; and extensions as a whole.

use ndarray::{Array2, Axis};
use ndastro::fits::{Compression, Method, UncertaintyKind};
use ndastro::{OpenOptions, Slices, WriteOptions, windowed_operation};

use super::*;

/// What a slice takes of an axis, place by place; one that is dropped has one.
pub(super) enum Take {
    All,
    These(Vec<usize>),
    Drop(usize),
}

pub(super) use Take::{All, Drop, These};

/// The slice from its definition.
pub(super) fn taken(whole: &Pixels, takes: &[Take]) -> ArrayD<f64> {
    let mut array = whole.to_f64();
    for (i, take) in takes.iter().enumerate().rev() {
        array = match take {
            All => array,
            These(places) => array.select(Axis(i), places),
            Drop(place) => array.index_axis_move(Axis(i), *place),
        };
    }
    array
}

/// A container in memory, and in files that are mapped, not mapped, and compressed. Lazy ones are fresh.
pub(super) fn forms(dir: &Path, nd: &NDAstroData) -> Vec<(&'static str, NDAstroData)> {
    let ad = AstroData::from_extensions(Header::new(), vec![nd.clone()]);
    let (plain, packed) = (dir.join("plain.fits"), dir.join("packed.fits"));
    ad.write(&plain, true).unwrap();
    let rice =
        WriteOptions::default().overwrite(true).compression(Compression { method: Method::Rice, quantize: None });
    ad.write_with(&packed, &rice).unwrap();
    let unmapped = OpenOptions::default().no_mmap(true);
    vec![
        ("memory", nd.clone()),
        ("mapped", AstroData::open(&plain).unwrap()[0].clone()),
        ("not mapped", AstroData::open_with(&plain, &unmapped).unwrap()[0].clone()),
        ("compressed", AstroData::open(&packed).unwrap()[0].clone()),
    ]
}

/// `nd` as an extension of a file, and the file.
pub(super) fn in_file(dir: &Path, nd: &NDAstroData) -> (AstroData, FitsFile) {
    let path = dir.join("counted.fits");
    AstroData::from_extensions(Header::new(), vec![nd.clone()]).write(&path, true).unwrap();
    let ad = AstroData::open(path).unwrap();
    let file = ad.file().unwrap().clone();
    (ad, file)
}

/// What was read while something was done.
pub(super) fn cost<T>(file: &FitsFile, f: impl FnOnce() -> T) -> u64 {
    let before = file.bytes_read();
    f();
    file.bytes_read() - before
}

/// A frame with a further plane.
pub(super) fn rich(number: usize, shape: &[usize]) -> NDAstroData {
    frame(number, shape).with_other("OBJMASK", filled(shape, |i| (i % 5) as u8))
}

pub(super) fn values(nd: &NDAstroData) -> Vec<f64> {
    nd.data().unwrap().to_f64().into_iter().collect()
}

pub(super) fn none() -> Option<Pixels> {
    None
}

pub(super) fn slice_cases() -> Vec<(&'static [usize], &'static str, Vec<Take>)> {
    vec![
        (&[7, 11], "", vec![All, All]),
        (&[7, 11], "3", vec![Drop(3), All]),
        (&[7, 11], ":, -1", vec![All, Drop(10)]),
        (&[7, 11], "..., -4:", vec![All, These(vec![7, 8, 9, 10])]),
        (&[7, 11], "1:6:2, ::-3", vec![These(vec![1, 3, 5]), These(vec![10, 7, 4, 1])]),
        (&[7, 11], "5:100, -100:2", vec![These(vec![5, 6]), These(vec![0, 1])]),
        (&[7, 11], "::-1, ::-1", vec![These((0..7).rev().collect()), These((0..11).rev().collect())]),
        (&[7, 11], "4:2", vec![These(vec![]), All]),
        (&[7, 11], "-1, 0", vec![Drop(6), Drop(0)]),
        (&[1, 1], "::-1, ::5", vec![All, All]),
        (&[1, 1], "0", vec![Drop(0), All]),
        (&[13], "2::5", vec![These(vec![2, 7, 12])]),
        (&[13], "4", vec![Drop(4)]),
        (&[3, 4, 5], "1", vec![Drop(1), All, All]),
        (&[3, 4, 5], "..., 1:4", vec![All, All, These(vec![1, 2, 3])]),
        (&[3, 4, 5], "::-2, 2, ::2", vec![These(vec![2, 0]), Drop(2), These(vec![0, 2, 4])]),
    ]
}

#[test]
fn a_slice_is_numpys() {
    let dir = TempDir::new().unwrap();
    for (shape, text, takes) in slice_cases() {
        let whole = rich(3, shape);
        for (form, nd) in forms(dir.path(), &whole) {
            // One of another shape, that would be nobody's in a file.
            let nd = nd.with_other("PSF", Array2::<f32>::ones((3, 2)));
            let part = nd.slice(text.parse::<Slices>().unwrap()).unwrap();
            let at = format!("[{text}] of {shape:?}, {form}");
            assert_eq!(part.shape(), taken(whole.data().unwrap(), &takes).shape(), "{at}");
            assert_eq!(part.size(), part.shape().iter().product::<usize>(), "{at}");
            assert_eq!((part.unit().map(Unit::as_str), part.dtype()), (Some("adu"), DType::U16), "{at}");
            for (part, whole) in planes(&part).into_iter().zip(planes(&whole)) {
                assert_eq!(part.to_f64(), taken(whole, &takes), "{at}");
            }
            let other = |nd: &NDAstroData, name| nd.other(name).unwrap().unwrap().clone();
            assert_eq!(other(&part, "OBJMASK").to_f64(), taken(&other(&whole, "OBJMASK"), &takes), "{at}");
            assert_eq!(other(&part, "psf").shape(), [3, 2], "{at}: a plane of another shape stays whole");
        }
    }
}

#[test]
fn a_slice_of_a_slice_is_a_slice() {
    let dir = TempDir::new().unwrap();
    let whole = frame(1, &[11, 13]);
    for (form, nd) in forms(dir.path(), &whole) {
        // Rows 9 7 5 3 1, then 7 3; columns 2 5 8 11, then the third.
        let part = nd.slice("-2::-2, 2:12:3".parse::<Slices>().unwrap()).unwrap();
        let part = part.slice((ndastro::Slice::from(1..).by(2), 2)).unwrap();
        assert_eq!(part.shape(), [2], "{form}");
        let want = taken(whole.data().unwrap(), &[These(vec![7, 3]), Drop(8)]);
        assert_eq!(part.data().unwrap().to_f64(), want, "{form}");
        let window = nd.slice((2..9, 1..)).unwrap().window(&Window::new([1..3, 4..6])).unwrap();
        let want = taken(whole.data().unwrap(), &[These(vec![3, 4]), These(vec![5, 6])]);
        assert_eq!(window.data().unwrap().to_f64(), want, "{form}");
        let want = nd.slice((2, 3..5)).unwrap();
        assert_eq!(values(&nd.transpose().slice((3..5, 2)).unwrap()), values(&want), "{form}");
    }
}

#[test]
fn a_slice_that_does_not_fit_says_why() {
    let dir = TempDir::new().unwrap();
    for (_, nd) in forms(dir.path(), &frame(0, &[4, 5])) {
        for (text, said) in [
            ("1,2,3", "more slices than axes"),
            ("4", "no place 4"),
            ("0, -6", "no place -6"),
            ("...,...", "one ellipsis"),
            ("::0", "step of 0"),
        ] {
            let error = nd.slice(text.parse::<Slices>().unwrap()).unwrap_err().to_string();
            assert_says(&error, &[said, "[4, 5]", text.split(',').next().unwrap()]);
        }
    }
    let (ad, file) = in_file(dir.path(), &frame(0, &[4, 5]));
    assert_says(&ad[0].slice(9).unwrap_err().to_string(), &[&file.path().display().to_string(), "HDU 1"]);
}

#[test]
fn a_single_pixel_of_no_axis_is_read_and_not_written() {
    let dir = TempDir::new().unwrap();
    for (form, nd) in forms(dir.path(), &frame(0, &[4, 5])) {
        let one = nd.slice((2, 3)).unwrap();
        assert_eq!((one.shape(), one.size()), (vec![], 1), "{form}");
        assert_eq!(values(&one), [1000.0 + 31.0 * 13.0], "{form}");
        assert_eq!(values(&one.transpose().slice("...".parse::<Slices>().unwrap()).unwrap()), values(&one));
        assert!(one.slice(0).is_err() && one.window(&Window::new([0..1, 0..1])).is_err());
        let target = dir.path().join("one.fits");
        assert!(AstroData::from_extensions(Header::new(), vec![one.clone()]).write(&target, false).is_err());
        assert!(!target.exists());
        if let Ok((stack, _)) = Stack::new([one.clone(), one.clone()]).eval(&Engine::cpu(1).unwrap()) {
            assert_eq!(values(&stack[0]), values(&one));
        }
        let twice = |boxes: &[NDAstroData]| Ok(NDAstroData::new(boxes[0].data()?.to_f64() * 2.0));
        let result = windowed_operation(twice, std::slice::from_ref(&one), &[]).unwrap();
        assert_eq!(values(&result), [2.0 * values(&one)[0]]);
    }
}

#[test]
fn a_transpose_turns_all_planes() {
    let dir = TempDir::new().unwrap();
    for shape in [&[5][..], &[1, 1], &[1, 7], &[7, 11], &[3, 4, 5]] {
        let whole = rich(1, shape);
        for (form, nd) in forms(dir.path(), &whole) {
            let nd = nd.with_other("PSF", Array2::<f32>::ones((3, 2)));
            let turned = nd.transpose();
            let reversed: Vec<usize> = shape.iter().rev().copied().collect();
            assert_eq!(
                (turned.shape(), turned.unit().map(Unit::as_str)),
                (reversed, Some("adu")),
                "{form}: the unit stays"
            );
            for (turned, whole) in planes(&turned).into_iter().zip(planes(&whole)) {
                assert_eq!(turned.to_f64(), whole.to_f64().reversed_axes(), "{shape:?}, {form}");
            }
            let objects = turned.other("OBJMASK").unwrap().unwrap().to_f64();
            assert_eq!(objects, whole.other("OBJMASK").unwrap().unwrap().to_f64().reversed_axes());
            assert_eq!(turned.other("PSF").unwrap().unwrap().shape(), [3, 2]);
            assert_eq!(planes(&turned.transpose()), planes(&whole));
        }
    }
    for (_, nd) in forms(dir.path(), &frame(2, &[3, 4, 5])) {
        let turned = nd.transposed(&[1, 2, 0]).unwrap();
        assert_eq!(turned.shape(), [4, 5, 3]);
        assert_eq!(turned.data().unwrap().to_f64(), nd.data().unwrap().to_f64().permuted_axes(vec![1, 2, 0]));
        for wrong in [&[0, 1][..], &[0, 1, 1], &[0, 1, 3], &[0, 1, 2, 3], &[]] {
            assert_says(&nd.transposed(wrong).unwrap_err().to_string(), &[&format!("{wrong:?}"), "[0, 1, 2]"]);
        }
    }
}

#[test]
fn a_part_or_a_turned_one_is_written_as_it_is() {
    let dir = TempDir::new().unwrap();
    let target = dir.path().join("part.fits");
    for (form, nd) in forms(dir.path(), &rich(1, &[7, 11])) {
        for part in [nd.slice("1:6:2, ::-3".parse::<Slices>().unwrap()).unwrap(), nd.transpose(), nd.slice(3).unwrap()]
        {
            AstroData::from_extensions(Header::new(), vec![part.clone()]).write(&target, true).unwrap();
            let back = AstroData::open(&target).unwrap();
            assert_eq!((planes(&back[0]), back[0].unit().map(Unit::as_str)), (planes(&part), Some("adu")), "{form}");
            assert_eq!(back[0].other("OBJMASK").unwrap(), part.other("OBJMASK").unwrap(), "{form}");
        }
    }
}

#[test]
fn a_stack_of_slices_is_the_slice_of_the_stack() {
    let dir = TempDir::new().unwrap();
    let frames: Vec<_> = (0..3)
        .map(|i| {
            let folder = dir.path().join(i.to_string());
            fs::create_dir_all(&folder).unwrap();
            forms(&folder, &frame(i, &SHAPE))
        })
        .collect();
    let engine = Engine::cpu(2).unwrap();
    let (whole, _) = Stack::new((0..3).map(|i| frame(i, &SHAPE))).eval(&engine).unwrap();
    for text in ["::-3, 5::7", "17", ":, -1", "3:50:9, ::-1"] {
        let slices: Slices = text.parse().unwrap();
        let want = whole[0].slice(slices.clone()).unwrap();
        for form in 0..4 {
            let parts = frames.iter().map(|forms| forms[form].1.slice(slices.clone()).unwrap());
            let (got, _) = Stack::new(parts).eval(&engine).unwrap();
            assert_eq!(planes(&got[0]), planes(&want), "[{text}], {}", frames[0][form].0);
            let parts = frames.iter().map(|forms| forms[form].1.slice(slices.clone()).unwrap().transpose());
            let (got, _) = Stack::new(parts).eval(&engine).unwrap();
            assert_eq!(planes(&got[0]), planes(&want.transpose()), "[{text}].T, {}", frames[0][form].0);
        }
    }
}

#[test]
fn questions_copies_and_views_read_nothing() {
    let dir = TempDir::new().unwrap();
    let (ad, file) = in_file(dir.path(), &rich(0, &SHAPE));
    let nd = &ad[0];
    let read = cost(&file, || {
        assert_eq!((nd.shape(), nd.size(), nd.dtype()), (SHAPE.to_vec(), 4200, DType::U16));
        assert!(nd.has_mask() && nd.has_variance() && nd.is_lazy());
        assert_eq!(nd.uncertainty_kind(), Some(UncertaintyKind::Variance));
        assert_eq!(nd.other_names().collect::<Vec<_>>(), ["OBJMASK"]);
        assert_eq!(format!("{nd:?}").matches("(memmapped)").count(), 4);
        let part = nd.slice("::-2, 5".parse::<Slices>().unwrap()).unwrap();
        let copy = part.transpose().clone();
        assert!(copy.is_lazy() && part.is_lazy() && copy.has_mask() && copy.has_variance());
        nd.window(&Window::new([0..3, 0..3])).unwrap().slice(1).unwrap();
        ad.crop(&Window::new([0..3, 0..3])).unwrap();
        let mut changed = nd.clone();
        changed.set_unit(Some("electron"));
        changed.set_mask(None::<Pixels>).unwrap();
        changed.set_meta(Header::new());
        assert!(!changed.has_mask() && nd.has_mask());
    });
    assert_eq!(read, 0);
    assert!(nd.is_lazy());
}

#[test]
fn a_slice_reads_its_own_pixels() {
    let dir = TempDir::new().unwrap();
    let (ad, file) = in_file(dir.path(), &frame(0, &SHAPE));
    for (text, pixels) in [("10:25, 30:37", 15 * 7), ("::-7, ::9", 9 * 8), ("5", 70), (":, 3", 60), ("3, 4", 1)] {
        let part = ad[0].slice(text.parse::<Slices>().unwrap()).unwrap();
        assert_eq!(part.size(), pixels);
        assert_eq!(cost(&file, || part.data().unwrap().len()), 2 * pixels as u64, "[{text}]");
        assert_eq!(cost(&file, || part.variance().unwrap().unwrap().len()), 4 * pixels as u64, "[{text}]");
        assert_eq!(cost(&file, || part.mask().unwrap().unwrap().len()), 2 * pixels as u64, "[{text}]");
        assert_eq!(cost(&file, || planes(&part).len()), 0, "[{text}] is not read again");
    }
    assert!(ad[0].is_lazy(), "the parent stays lazy");
    let turned = ad[0].transpose();
    assert_eq!(cost(&file, || turned.data().unwrap().len()), 2 * 4200);
    assert!(ad[0].is_lazy());
}

#[test]
fn containers_cross_threads() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    shared::<NDAstroData>();
    shared::<AstroData>();
    shared::<Pixels>();
    let (_dir, ad) = one_frame();
    let sums: Vec<f64> = std::thread::scope(|s| {
        let part = |i| ad[0].slice(30 * i..30 * (i + 1)).unwrap();
        let threads: Vec<_> = (0..2usize).map(|i| s.spawn(move || values(&part(i)).iter().sum())).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(sums.iter().sum::<f64>(), values(&ad[0]).iter().sum::<f64>());
}

#[test]
fn extensions_are_cropped_and_operated_on() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("two.fits");
    let mut phu = Header::new();
    phu.set("INSTRUME", "GMOS-N", "");
    let mut ad = AstroData::from_extensions(phu, vec![rich(0, &[30, 20]), rich(1, &[25, 20])]);
    ad.write(&path, false).unwrap();
    ad = AstroData::open(&path).unwrap();
    // crop(5, 10, 10, 20), ends included.
    let cropped = ad.crop(&Window::new([10..21, 5..11])).unwrap();
    let target = dir.path().join("cropped.fits");
    cropped.write(&target, false).unwrap();
    for cropped in [&cropped, &AstroData::open(&target).unwrap()] {
        assert_eq!((cropped.len(), cropped.phu().get_str("INSTRUME").as_deref()), (2, Some("GMOS-N")));
        for (i, nd) in cropped.iter().enumerate() {
            assert_eq!(nd.shape(), [11, 6]);
            assert_eq!(planes(nd), planes(&ad[i].slice((10..=20, 5..=10)).unwrap()));
            assert_eq!(nd.other("OBJMASK").unwrap().unwrap().shape(), [11, 6]);
            assert_eq!((nd.name(), nd.ver()), ("SCI", Some(i as i64 + 1)));
        }
    }
    assert_says(&ad.crop(&Window::new([0..26, 0..20])).unwrap_err().to_string(), &["[0:26, 0:20]", "[25, 20]", "HDU"]);

    let turned = ad.operate(|nd| Ok(nd.transpose())).unwrap();
    assert_eq!((turned[0].shape(), turned[1].shape(), ad[0].shape()), (vec![20, 30], vec![20, 25], vec![30, 20]));
    assert!(ad.operate(|nd| nd.slice(27)).is_err());
    ad[1].set_mask(none()).unwrap();
    assert!(ad[0].has_mask() && !ad[1].has_mask());
}

#[test]
fn a_primary_image_is_cropped_and_operated_on() {
    let dir = TempDir::new().unwrap();
    for name in ["image_f64.fits", "image_scaled.fits"] {
        let mut ad = AstroData::open(data("images").join(name)).unwrap();
        ad.phu_mut().set("OBSERVER", "Caroline Herschel", "");
        let window = Window::new(ad[0].shape().iter().map(|n| n / 3..n / 3 + 1));
        let (cropped, target) = (ad.crop(&window).unwrap(), dir.path().join(name));
        cropped.write(&target, false).unwrap();
        let back = AstroData::open(&target).unwrap();
        assert_eq!(values(&back[0]), values(&ad[0].window(&window).unwrap()), "{name}");
        assert_eq!(back.phu().get_str("OBSERVER").as_deref(), Some("Caroline Herschel"), "{name}");
        let other = ad.operate(|nd| Ok(NDAstroData::new(nd.data()?.clone()))).unwrap();
        assert_eq!(other.phu().get_str("OBSERVER").as_deref(), Some("Caroline Herschel"), "{name}");
        other.write(&target, true).unwrap();
        let back = AstroData::open(&target).unwrap();
        assert_eq!(sha256(back[0].data().unwrap()), sha256(ad[0].data().unwrap()), "{name}");
        assert_eq!(back.phu().get_str("OBSERVER").as_deref(), Some("Caroline Herschel"), "{name}");
    }
}
