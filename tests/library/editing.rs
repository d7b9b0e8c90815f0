//! What changes a container: planes that are set, kinds of uncertainty, masks of every width, sections that are
//! written.

use ndarray::{Array2, Array3, Axis, array};
use ndastro::Slices;
use ndastro::fits::UncertaintyKind;

use super::container::{cost, forms, in_file, none, rich, slice_cases, taken, values};
use super::*;

#[test]
fn unload_gives_back_what_was_read_and_keeps_what_was_set() {
    let dir = TempDir::new().unwrap();
    for (form, mut nd) in forms(dir.path(), &frame(1, &[7, 11])).into_iter().skip(1) {
        let data = nd.data().unwrap().clone();
        let mask = filled(&[7, 11], |i| (i % 4) as u8);
        nd.set_mask(Some(mask.clone())).unwrap();
        nd.variance().unwrap();
        assert_eq!(format!("{nd:?}").matches("(memmapped)").count(), 0, "{form}");
        nd.unload();
        assert_eq!(format!("{nd:?}").matches("(memmapped)").count(), 2, "{form}");
        assert!(!nd.is_lazy());
        assert_eq!((nd.data().unwrap(), nd.mask().unwrap()), (&data, Some(&mask.into())), "{form}");
        nd.set_section((0, 0), &NDAstroData::new(array![5u16].into_shape_with_order(()).unwrap())).unwrap();
        nd.unload();
        assert_eq!(values(&nd)[..2], [5.0, data.to_f64()[[0, 1]]], "{form}: what was changed stays");
    }
}

#[test]
fn a_setter_replaces_one_plane() {
    let dir = TempDir::new().unwrap();
    let shape = [5, 7];
    for (form, mut nd) in forms(dir.path(), &rich(0, &shape)) {
        let new: Pixels = filled(&shape, |i| i as f32).into();
        nd.set_data(new.clone()).unwrap();
        assert_eq!((nd.data().unwrap(), nd.dtype()), (&new, DType::F32), "{form}");
        nd.set_variance(Some(filled(&shape, |i| 2.0 * i as f64))).unwrap();
        assert_eq!(nd.variance().unwrap().unwrap().to_f64()[[1, 1]], 16.0, "{form}");
        nd.set_mask(Some(filled(&shape, |i| i as u32))).unwrap();
        assert_eq!(nd.mask().unwrap().unwrap().dtype(), DType::U32, "{form}");
        nd.set_other("objmask", Some(filled(&shape, |i| i as u8))).unwrap();
        nd.set_other("REJMAP", Some(filled(&shape, |i| i as i16))).unwrap();
        nd.set_other("PSF", Some(filled(&[2], |i| i as u8))).unwrap();
        nd.set_other("rejmap", Some(filled(&shape, |i| i as i16))).unwrap();
        assert_eq!(nd.other_names().collect::<Vec<_>>(), ["objmask", "rejmap", "PSF"], "{form}: each keeps its place");
        nd.set_other("PSF", none()).unwrap();
        assert!(nd.other("PSF").unwrap().is_none());
        nd.set_unit(Some("electron"));
        let mut meta = Header::new();
        meta.set("OBJECT", "M 31", "");
        nd.set_meta(meta);
        assert_eq!(
            (nd.unit().map(Unit::as_str), nd.meta().get_str("OBJECT").as_deref()),
            (Some("electron"), Some("M 31"))
        );

        let target = dir.path().join("set.fits");
        AstroData::from_extensions(Header::new(), vec![nd.clone()]).write(&target, true).unwrap();
        let back = AstroData::open(&target).unwrap();
        assert_eq!((planes(&back[0]), back[0].unit().map(Unit::as_str)), (planes(&nd), Some("electron")), "{form}");
        assert_eq!(back[0].other_names().collect::<Vec<_>>(), ["objmask", "rejmap"]);

        nd.set_variance(none()).unwrap();
        nd.set_mask(none()).unwrap();
        assert!(
            !nd.has_variance() && !nd.has_mask() && nd.variance().unwrap().is_none() && nd.mask().unwrap().is_none()
        );
        nd.set_data(Array3::<u8>::zeros((2, 2, 2))).unwrap();
        assert_eq!(nd.shape(), [2, 2, 2], "{form}: without companions any shape will do");
    }
}

#[test]
fn a_unit_that_is_removed_is_not_written() {
    let dir = TempDir::new().unwrap();
    for (form, mut nd) in forms(dir.path(), &frame(0, &[2, 3])) {
        nd.set_unit(None::<String>);
        let target = dir.path().join("unitless.fits");
        AstroData::from_extensions(Header::new(), vec![nd]).write(&target, true).unwrap();
        assert_eq!(AstroData::open(&target).unwrap()[0].unit().map(Unit::as_str), None, "{form}");
    }
}

#[test]
fn planes_of_another_shape_or_type_are_refused() {
    let dir = TempDir::new().unwrap();
    for (form, mut nd) in forms(dir.path(), &frame(0, &[4, 5])) {
        let before = nd.clone();
        let wrong = Array2::<u16>::zeros((5, 4));
        for error in [
            nd.set_data(wrong.clone()).unwrap_err(),
            nd.set_variance(Some(wrong.clone())).unwrap_err(),
            nd.set_uncertainty(Some((wrong.clone(), UncertaintyKind::StdDev))).unwrap_err(),
            nd.set_mask(Some(wrong.clone())).unwrap_err(),
            nd.clone().with_variance(wrong.clone()).unwrap_err(),
            nd.reset(wrong.clone(), Some(Array2::<u16>::zeros((4, 5))), none()).unwrap_err(),
            nd.reset(wrong.clone(), none(), Some(Array2::<f32>::zeros((4, 5)))).unwrap_err(),
            nd.set_variance(Some(ndarray::Array1::<f32>::zeros(5))).unwrap_err(),
        ] {
            assert!(matches!(error, Error::Shape { .. }), "{form}: {error}");
            assert_says(&error.to_string(), &["4, 5]", "5"]);
        }
        for error in [
            nd.set_mask(Some(Array2::<f32>::zeros((4, 5)))).unwrap_err(),
            nd.set_mask(Some(Array2::<i64>::zeros((4, 5)))).unwrap_err(),
            nd.reset(wrong.clone(), Some(Array2::<f64>::zeros((5, 4))), none()).unwrap_err(),
        ] {
            assert_says(&error.to_string(), &["mask", "at most 32 bits"]);
        }
        for name in ["DQ", "var", "SCI", ""] {
            assert_says(&nd.set_other(name, Some(wrong.clone())).unwrap_err().to_string(), &[name, "further plane"]);
        }
        assert_eq!(planes(&nd), planes(&before), "{form}: an error changes nothing");
    }
}

#[test]
fn reset_replaces_everything() {
    let dir = TempDir::new().unwrap();
    for (form, mut nd) in forms(dir.path(), &rich(0, &[4, 5])) {
        let new: Pixels = filled(&[2, 3], |i| i as f32).into();
        nd.reset(new.clone(), Some(array![[true, false, true], [false, false, true]]), Some(new.clone())).unwrap();
        let mask: Pixels = array![[1u8, 0, 1], [0, 0, 1]].into();
        assert_eq!(planes(&nd), [&new, &new, &mask], "{form}");
        assert_eq!((nd.unit().map(Unit::as_str), nd.other_names().count()), (Some("adu"), 1));
        nd.reset(array![1u8, 2], none(), none()).unwrap();
        assert!(nd.shape() == [2] && !nd.has_mask() && !nd.has_variance());
    }
}

#[test]
fn variance_is_got_and_set_whatever_the_kind() {
    let sigma: Pixels = array![[1.0f32, 2.0], [3.0, 0.5]].into();
    let data = || NDAstroData::new(Array2::<f32>::zeros((2, 2)));
    let mut nd = data().with_uncertainty(sigma.clone(), UncertaintyKind::StdDev).unwrap();
    assert_eq!(nd.variance().unwrap().unwrap(), &array![[1.0f32, 4.0], [9.0, 0.25]].into());
    assert_eq!(nd.uncertainty().unwrap().unwrap(), &sigma, "what is stored stays");
    nd.set_variance(Some(sigma.clone())).unwrap();
    assert_eq!(nd.uncertainty_kind(), Some(UncertaintyKind::Variance));
    assert_eq!((nd.variance().unwrap(), nd.uncertainty().unwrap()), (Some(&sigma), Some(&sigma)));
    // Copies keep the kind and the numbers.
    let nd = data().with_uncertainty(sigma.clone(), UncertaintyKind::StdDev).unwrap().clone();
    assert_eq!((nd.uncertainty_kind(), nd.uncertainty().unwrap()), (Some(UncertaintyKind::StdDev), Some(&sigma)));
    let nd = nd.slice((1, ..)).unwrap();
    assert_eq!(nd.variance().unwrap().unwrap(), &array![9.0f32, 0.25].into());
}

#[test]
fn negative_variances_are_kept_as_they_are_stored() {
    let dir = TempDir::new().unwrap();
    let variance: Pixels = array![[-1.0f32, f32::NAN], [2.0, -0.0]].into();
    let nd = NDAstroData::new(Array2::<f32>::zeros((2, 2))).with_variance(variance.clone()).unwrap();
    for (form, nd) in forms(dir.path(), &nd) {
        assert!(nd.variance().unwrap().unwrap().as_bytes() == variance.as_bytes(), "{form}");
    }
}

#[test]
fn uncertainties_are_represented_as_each_other() {
    use UncertaintyKind::{InverseVariance, StdDev, Unknown, Variance};
    let dir = TempDir::new().unwrap();
    let kinds =
        [(StdDev, [2.0, 0.0, 1e-30]), (Variance, [4.0, 0.0, 1e-60]), (InverseVariance, [0.25, f64::INFINITY, 1e60])];
    for (from, stored) in kinds {
        for (to, want) in kinds {
            let whole = NDAstroData::new(array![[1u16, 2, 3]]);
            let whole = whole.with_uncertainty(arr1(&stored).insert_axis(Axis(0)), from).unwrap();
            for (form, nd) in [("memory", whole.clone()), ("mapped", in_file(dir.path(), &whole).0[0].clone())] {
                let lazy = nd.is_lazy();
                let as_it = nd.represent_as(to).unwrap();
                assert_eq!(as_it.uncertainty_kind(), Some(to));
                assert_eq!(nd.is_lazy(), lazy, "{form}: this is not changed");
                let got = as_it.uncertainty().unwrap().unwrap().to_f64();
                for (got, want) in got.iter().zip(want) {
                    let close = got == &want || (got / want - 1.0).abs() < 1e-14;
                    assert!(close, "{} to {}, {form}: {got}, {want}", from.name(), to.name());
                }
            }
        }
        let nd = NDAstroData::new(array![1u16]).with_uncertainty(array![1u16], from).unwrap();
        assert_says(&nd.represent_as(Unknown).unwrap_err().to_string(), &["Unknown", from.name()]);
        let nd = NDAstroData::new(array![1u16]).with_uncertainty(array![1u16], Unknown).unwrap();
        assert_says(&nd.represent_as(from).unwrap_err().to_string(), &["Unknown", from.name()]);
        assert!(nd.represent_as(Unknown).is_ok() && !nd.has_variance());
        assert!(NDAstroData::new(array![1u16]).represent_as(from).unwrap().uncertainty_kind().is_none());
    }
    // What lies between the two would not fit f32.
    let nd = NDAstroData::new(array![1u16]).with_uncertainty(array![1e25f32], StdDev).unwrap();
    let nd = nd.represent_as(InverseVariance).unwrap().represent_as(StdDev).unwrap();
    assert_eq!(nd.uncertainty().unwrap().unwrap().dtype(), DType::F32);
}

#[test]
fn a_converted_uncertainty_is_written_as_what_it_is() {
    let dir = TempDir::new().unwrap();
    let (ad, _) = in_file(dir.path(), &frame(0, &[3, 4]));
    let nd = ad[0].represent_as(UncertaintyKind::StdDev).unwrap();
    let target = dir.path().join("std.fits");
    AstroData::from_extensions(Header::new(), vec![nd.clone()]).write(&target, false).unwrap();
    let back = AstroData::open(&target).unwrap();
    assert_eq!(back[0].uncertainty_kind(), Some(UncertaintyKind::StdDev));
    assert_eq!(back[0].uncertainty().unwrap(), nd.uncertainty().unwrap());
}

#[test]
fn masks_of_bool_and_of_every_width() {
    let dir = TempDir::new().unwrap();
    let data = || NDAstroData::new(Array2::<f32>::zeros((2, 3)));
    let flags = array![[true, false, false], [false, true, true]];
    let masks: [(Pixels, DType); 4] = [
        (flags.into(), DType::U8),
        (array![[0u8, 255, 1], [2, 4, 8]].into(), DType::U8),
        (array![[0u16, 65535, 1], [2, 4, 256]].into(), DType::U16),
        (array![[0u32, u32::MAX, 1], [2, 1 << 31, 65536]].into(), DType::U32),
    ];
    for (mask, dtype) in masks {
        for (form, nd) in forms(dir.path(), &data().with_mask(mask.clone()).unwrap()) {
            assert_eq!((nd.mask().unwrap().unwrap(), nd.has_mask()), (&mask, true), "{form}");
            assert_eq!(nd.mask().unwrap().unwrap().dtype(), dtype, "{form}: the width stays");
        }
    }
    // Any order of axes in memory.
    let turned = array![[true, false], [true, true], [false, false]].reversed_axes();
    let nd = data().with_mask(turned).unwrap();
    assert_eq!(nd.mask().unwrap().unwrap(), &array![[1u8, 1, 0], [0, 1, 0]].into());
}

#[test]
fn a_section_is_written() {
    let dir = TempDir::new().unwrap();
    for (shape, text, takes) in slice_cases() {
        for (form, mut nd) in forms(dir.path(), &rich(0, shape)) {
            let before = nd.clone();
            let part = frame(5, taken(before.data().unwrap(), &takes).shape());
            nd.set_section(text.parse::<Slices>().unwrap(), &part).unwrap();
            let at = format!("[{text}] of {shape:?}, {form}");
            assert_eq!(planes(&nd.slice(text.parse::<Slices>().unwrap()).unwrap()), planes(&part), "{at}");
            // As many pixels as differ are those of the section.
            let differ = before.data().unwrap().to_f64().iter().zip(values(&nd)).filter(|(a, b)| *a != b).count();
            assert!(differ <= part.size(), "{at}");
            let kept = |nd: &NDAstroData| taken(nd.variance().unwrap().unwrap(), &takes).sum();
            let all = |nd: &NDAstroData| nd.variance().unwrap().unwrap().to_f64().sum();
            assert!((all(&nd) - kept(&nd) - (all(&before) - kept(&before))).abs() < 1e-6, "{at}: the rest is kept");
            assert_eq!(
                (nd.unit().map(Unit::as_str), nd.dtype(), nd.other_names().count()),
                (Some("adu"), DType::U16, 1)
            );
        }
    }
}

#[test]
fn a_window_is_written_back() {
    let dir = TempDir::new().unwrap();
    let window = Window::new([1..3, 2..6]);
    for (form, mut nd) in forms(dir.path(), &frame(0, &[5, 7])) {
        let before = nd.clone();
        let part = nd.window(&window).unwrap();
        nd.set_section(&window, &part).unwrap();
        assert_eq!(planes(&nd), planes(&before), "{form}");
        // Also over what it is a window of.
        let first = nd.slice((.., 0..6)).unwrap();
        nd.set_section((.., 1..7), &first).unwrap();
        assert_eq!(nd.slice((.., 1..)).unwrap().data().unwrap(), before.slice((.., ..6)).unwrap().data().unwrap());
        assert_eq!(first.data().unwrap(), before.slice((.., ..6)).unwrap().data().unwrap(), "{form}");
    }
}

#[test]
fn a_section_changes_no_clone_and_no_window() {
    let dir = TempDir::new().unwrap();
    for (form, mut nd) in forms(dir.path(), &frame(0, &[5, 7])) {
        let (clone, window) = (nd.clone(), nd.slice(1..3).unwrap());
        let want: Vec<Pixels> = planes(&frame(0, &[5, 7])).into_iter().cloned().collect();
        let part: Vec<Pixels> = planes(&frame(0, &[5, 7]).slice(1..3).unwrap()).into_iter().cloned().collect();
        for round in 1..3 {
            nd.set_section(.., &frame(round, &[5, 7])).unwrap();
            assert_eq!(planes(&nd), planes(&frame(round, &[5, 7])), "{form}");
            let loaded = nd.clone();
            nd.set_section((0, 0), &frame(9, &[])).unwrap();
            assert_eq!(planes(&loaded), planes(&frame(round, &[5, 7])), "{form}: nor one made later");
        }
        assert_eq!(planes(&clone), want.iter().collect::<Vec<_>>(), "{form}");
        assert_eq!(planes(&window), part.iter().collect::<Vec<_>>(), "{form}");
        let mut other = clone.clone();
        other.set_mask(none()).unwrap();
        other.set_data(Array2::<f32>::zeros((5, 7))).unwrap();
        other.meta_mut().set("OBJECT", "other", "");
        assert!(clone.has_mask() && clone.dtype() == DType::U16 && !clone.meta().contains("OBJECT"), "{form}");
    }
}

#[test]
fn companions_are_written_where_both_have_them() {
    let plain = || NDAstroData::new(Array2::<f32>::zeros((2, 2)));
    let full = || {
        let nd = plain().with_variance(Array2::<f32>::ones((2, 2))).unwrap();
        nd.with_mask(Array2::<u16>::ones((2, 2))).unwrap()
    };
    let one = NDAstroData::new(array![7.0f32]);
    let rich = one.clone().with_variance(array![9.0f32]).unwrap().with_mask(array![4u8]).unwrap();
    let mut nd = plain();
    nd.set_section((0, 0..1), &rich).unwrap();
    assert_eq!(values(&nd), [7.0, 0.0, 0.0, 0.0]);
    assert!(!nd.has_mask() && !nd.has_variance());
    let mut nd = full();
    nd.set_section((0, 0..1), &one).unwrap();
    assert_eq!(planes(&nd)[1..], planes(&full())[1..]);
    nd.set_section((0, 0..1), &rich).unwrap();
    let want: [Pixels; 2] = [array![[9.0f32, 1.0], [1.0, 1.0]].into(), array![[4u16, 1], [1, 1]].into()];
    assert_eq!(planes(&nd)[1..], [&want[0], &want[1]]);
    // A smaller one repeats, as in numpy.
    nd.set_section(.., &rich).unwrap();
    assert_eq!((values(&nd), nd.mask().unwrap().unwrap()), (vec![7.0; 4], &Array2::from_elem((2, 2), 4u16).into()));
}

#[test]
fn another_kind_of_uncertainty_is_converted_into_a_section() {
    use UncertaintyKind::{InverseVariance, StdDev, Unknown, Variance};
    let of =
        |kind, value: f32| NDAstroData::new(array![0.0f32, 0.0]).with_uncertainty(array![value, value], kind).unwrap();
    for (own, new, stored) in [
        (StdDev, Variance, 1.5f32),
        (Variance, StdDev, 5.0625),
        (InverseVariance, Variance, 1.0 / 2.25),
        (Unknown, Unknown, 2.25),
    ] {
        let mut nd = of(own, 1.0);
        nd.variance().unwrap();
        nd.set_section(1.., &of(new, 2.25).slice(1..).unwrap()).unwrap();
        assert_eq!(nd.uncertainty_kind(), Some(own));
        assert_eq!(nd.uncertainty().unwrap().unwrap(), &array![1.0f32, stored].into());
        if own == StdDev {
            assert_eq!(nd.variance().unwrap().unwrap(), &array![1.0f32, 2.25].into(), "not what was computed before");
        }
    }
    let mut nd = of(Unknown, 1.0);
    assert_says(&nd.set_section(.., &of(Variance, 2.0)).unwrap_err().to_string(), &["Unknown", "Variance"]);
    assert_eq!(nd.uncertainty().unwrap().unwrap(), &array![1.0f32, 1.0].into());
}

#[test]
fn a_section_keeps_its_type_or_refuses() {
    fn write(own: impl Into<Pixels>, new: impl Into<Pixels>) -> Result<Pixels, String> {
        let mut nd = NDAstroData::new(own);
        let before = nd.clone();
        let done = nd.set_section(1.., &NDAstroData::new(new));
        assert_eq!(nd.dtype(), before.dtype());
        done.map_err(|e| {
            assert_eq!(nd.data().unwrap(), before.data().unwrap(), "an error changes nothing");
            e.to_string()
        })?;
        Ok(nd.data().unwrap().clone())
    }
    assert_eq!(write(array![0u16, 0, 0], array![65535.0f64, 3.0]), Ok(array![0u16, 65535, 3].into()));
    assert_eq!(write(array![0i8, 0], array![-128i64]), Ok(array![0i8, -128].into()));
    assert_eq!(write(array![0u64, 0], array![u64::MAX]), Ok(array![0u64, u64::MAX].into()));
    assert_eq!(write(array![0i64, 0], array![-9223372036854775808.0f64]), Ok(array![0, i64::MIN].into()));
    assert_eq!(
        write(array![0f32, 0.0, 0.0], array![0.1f64, f64::NEG_INFINITY]),
        Ok(array![0f32, 0.1, f32::NEG_INFINITY].into())
    );
    // Rounded once: through f64 it would be 2^60.
    let odd = (1i64 << 60) + (1 << 36) + 1;
    assert_eq!(write(array![0f32, 0.0], array![odd]), Ok(array![0f32, odd as f32].into()));
    for (own, new, said) in [
        (Pixels::from(array![0u16, 0, 0]), Pixels::from(array![1.0f32, 0.5]), ["0.5", "[1]", "uint16"]),
        (array![0u16, 0].into(), array![70000i32].into(), ["70000", "[0]", "uint16"]),
        (array![0u16, 0].into(), array![-1i8].into(), ["-1", "[0]", "uint16"]),
        (array![0i32, 0].into(), array![f32::NAN].into(), ["NaN", "[0]", "int32"]),
        (array![0i64, 0].into(), array![9223372036854775808.0f64].into(), ["9.223372036854776e18", "[0]", "int64"]),
        (array![0u8, 0].into(), array![f64::INFINITY].into(), ["inf", "[0]", "uint8"]),
        (array![0f32, 0.0].into(), array![1e300f64].into(), ["1e300", "[0]", "float32"]),
    ] {
        assert_says(&write(own, new).unwrap_err(), &said);
    }
    // A mask that cannot hold the bits stops data and variance too.
    let mut nd = NDAstroData::new(array![1u8, 2]).with_mask(array![0u8, 0]).unwrap();
    let part = NDAstroData::new(array![9u8]).with_mask(array![256u16]).unwrap();
    assert_says(&nd.set_section(1.., &part).unwrap_err().to_string(), &["mask", "256", "uint8"]);
    assert_eq!(planes(&nd), [&Pixels::from(array![1u8, 2]), &Pixels::from(array![0u8, 0])]);
}

#[test]
fn a_section_of_another_shape_is_refused() {
    let dir = TempDir::new().unwrap();
    for (form, mut nd) in forms(dir.path(), &frame(0, &[4, 5])) {
        let lazy = nd.is_lazy();
        let error = nd.set_section((1..3, ..), &frame(0, &[3, 5])).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{form}");
        assert_says(&error.to_string(), &["[2, 5]", "[3, 5]", "1:3"]);
        assert!(nd.set_section(&Window::new([0..9, 0..5]), &frame(0, &[9, 5])).is_err());
        assert!(nd.set_section(7, &frame(0, &[5])).is_err());
        assert!(nd.set_section((0, 0, 0), &frame(0, &[1])).is_err());
        assert_eq!(nd.is_lazy(), lazy, "{form}");
    }
}

#[test]
fn a_section_loads_what_it_writes_to() {
    let dir = TempDir::new().unwrap();
    let (mut ad, file) = in_file(dir.path(), &frame(0, &[6, 7]));
    let part = ad[0].window(&Window::new([0..2, 0..2])).unwrap();
    let one = NDAstroData::new(array![[1u16]]);
    assert_eq!(cost(&file, || ad[0].set_section((0..1, 0..1), &one).unwrap()), 2 * 42);
    assert_eq!(format!("{:?}", ad[0]).matches("(memmapped)").count(), 2);
    // The part's own bytes, and the planes that were not loaded yet.
    assert_eq!(cost(&file, || ad[0].set_section((4.., 5..), &part).unwrap()), 4 * (2 + 4 + 2) + 42 * (4 + 2));
    assert!(part.is_lazy(), "what is written from stays lazy");
    assert_eq!(cost(&file, || ad[0].set_section((4.., 5..), &one).unwrap()), 0);
}

#[test]
fn scaled_planes_and_blanks_are_written_to() {
    let dir = TempDir::new().unwrap();
    for name in ["image_scaled.fits", "image_blank.fits", "image_f64.fits", "image_i64.fits"] {
        let mut ad = AstroData::open(data("images").join(name)).unwrap();
        let before = ad[0].clone();
        let axes = before.shape().len();
        let corner = Window::new(vec![0..1; axes]);
        ad[0].set_section(&corner, &NDAstroData::new(array![3u8])).unwrap();
        assert_eq!(ad[0].dtype(), before.dtype(), "{name}");
        let target = dir.path().join(name);
        ad.write(&target, false).unwrap();
        let back = AstroData::open(&target).unwrap();
        assert_eq!(sha256(back[0].data().unwrap()), sha256(ad[0].data().unwrap()), "{name}");
        let (new, old) = (values(&back[0]), values(&before));
        let same = new[1..].iter().zip(&old[1..]).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()));
        assert!(new[0] == 3.0 && same, "{name}");
        Judge::open(&target).assert_sums();
    }
}
