//! Arithmetic at once, on containers and on files, and the collapses along axes.

use ndarray::{Array1, Array2, Array3, Axis, arr1, arr2};
use ndastro::fits::Header;
use ndastro::{Expr, MaskRule, Operand, Rules, Scalar, Wcs};

use super::*;

fn values(nd: &NDAstroData) -> Vec<f64> {
    nd.data().unwrap().to_f64().into_iter().collect()
}

fn variances(nd: &NDAstroData) -> Vec<f64> {
    nd.variance().unwrap().expect("a variance").to_f64().into_iter().collect()
}

fn masks(nd: &NDAstroData) -> Vec<f64> {
    nd.mask().unwrap().expect("a mask").to_f64().into_iter().collect()
}

fn eval(expr: Expr) -> NDAstroData {
    expr.eval(&Engine::cpu(2).unwrap()).unwrap()
}

fn pair() -> (NDAstroData, NDAstroData) {
    let a = NDAstroData::new(arr1(&[1f32, 2.0, 3.0])).with_variance(arr1(&[0.1f32, 0.2, 0.3])).unwrap();
    let a = a.with_mask(arr1(&[1u16, 0, 4])).unwrap().with_unit("adu");
    let b = NDAstroData::new(arr1(&[4f32, 5.0, 6.0])).with_variance(arr1(&[0.4f32, 0.5, 0.6])).unwrap();
    (a, b.with_mask(arr1(&[3u16, 0, 0])).unwrap().with_unit("adu"))
}

#[test]
fn into_an_earlier_result_that_nobody_has() {
    let engine = Engine::cpu(2).unwrap();
    let (a, b) = pair();
    let sum = &Expr::from(&a) + &Expr::from(&b);
    let address = |nd: &NDAstroData| nd.data().unwrap().as_bytes().as_ptr();
    let earlier = sum.eval(&engine).unwrap();
    let at = address(&earlier);
    let difference = (&Expr::from(&a) - &Expr::from(&b)).eval_into(&engine, earlier).unwrap();
    assert_eq!(values(&difference), [-3.0; 3]);
    assert_eq!(masks(&difference), [3.0, 0.0, 4.0]);
    assert_eq!(address(&difference), at, "its memory was not used");
    // Somebody else's stays as it is, an operand of the expression itself included.
    let kept = difference.clone();
    let again = (&Expr::from(&difference) + &Expr::from(&b)).eval_into(&engine, difference).unwrap();
    assert_eq!((values(&kept), values(&again)), (vec![-3.0; 3], vec![1.0, 2.0, 3.0]));
    // Of another size or type nothing is taken.
    let small = NDAstroData::new(arr1(&[9f32]));
    assert_eq!(values(&sum.eval_into(&engine, small).unwrap()), [5.0, 7.0, 9.0]);
    let wide = NDAstroData::new(arr1(&[9f64; 3])).with_mask(arr1(&[9u8; 3])).unwrap();
    let result = sum.eval_into(&engine, wide).unwrap();
    assert_eq!((values(&result), masks(&result)), (vec![5.0, 7.0, 9.0], vec![3.0, 0.0, 4.0]));
}

#[test]
fn the_four_operations_at_once() {
    let (a, b) = pair();
    assert_eq!(values(&a.add(&b).unwrap()), [5.0, 7.0, 9.0]);
    assert_eq!(masks(&a.add(&b).unwrap()), [3.0, 0.0, 4.0]);
    assert_eq!(values(&a.subtract(&b).unwrap()), [-3.0; 3]);
    let product = a.multiply(&b).unwrap();
    assert_eq!((values(&product), product.unit().unwrap().as_str()), (vec![4.0, 10.0, 18.0], "adu**2"));
    assert_eq!(variances(&product)[0] as f32, (16.0 * 0.1f32 as f64 + 0.4f32 as f64) as f32);
    let ratio = a.divide(&b).unwrap();
    assert_eq!((values(&ratio)[0], ratio.unit().unwrap().as_str()), (0.25, ""));
    let none = a.subtract_with(&b, Rules { masks: MaskRule::None, ..Rules::default() }).unwrap();
    assert!(!none.has_mask());
    // A copy is the same random variable.
    assert_eq!(variances(&a.subtract(a.clone()).unwrap()), [0.0; 3]);
}

#[test]
fn in_place_keeps_name_header_and_further_planes() {
    let (a, b) = pair();
    let mut header = Header::new();
    header.set("OBJECT", "M 31", "");
    let mut nd = a.with_meta(header).with_other("OBJMASK", arr1(&[1u8, 2, 3]));
    nd.multiply_in_place(&b).unwrap();
    assert_eq!((values(&nd), nd.unit().unwrap().as_str()), (vec![4.0, 10.0, 18.0], "adu**2"));
    assert_eq!(nd.meta().get_str("OBJECT").as_deref(), Some("M 31"));
    assert!(nd.other("objmask").unwrap().is_some());
    let before = values(&nd);
    let error = nd.add_in_place(Scalar::new(1.0).with_unit("s")).unwrap_err().to_string();
    assert_says(&error, &["adu**2", "\"s\""]);
    let wider = NDAstroData::new(Array2::<f32>::zeros((2, 3))).with_unit("adu**2");
    assert!(nd.add_in_place(&wider).is_err());
    assert_eq!(values(&nd), before, "an error changes nothing");
}

#[test]
fn files_go_extension_by_extension() {
    let (a, b) = pair();
    let two = AstroData::from_extensions(Header::new(), vec![a.clone(), b.clone()]);
    let one = AstroData::from_extensions(Header::new(), vec![b.clone()]);
    let sum = two.add(&two).unwrap();
    assert_eq!((values(&sum[0]), values(&sum[1])), (vec![2.0, 4.0, 6.0], vec![8.0, 10.0, 12.0]));
    let less = two.subtract(&one).unwrap();
    assert_eq!((values(&less[0]), values(&less[1])), (vec![-3.0; 3], vec![0.0; 3]));
    let mut scaled = two.clone();
    scaled.multiply_in_place(2.0).unwrap();
    assert_eq!(values(&scaled[1]), [8.0, 10.0, 12.0]);
    scaled.divide_in_place(Operand::from(&b)).unwrap();
    assert_eq!(values(&scaled[1]), [2.0; 3]);
    let three = AstroData::from_extensions(Header::new(), vec![a.clone(), a.clone(), a]);
    assert_says(&two.add(&three).unwrap_err().to_string(), &["3 extensions", "2 expected"]);
}

#[test]
fn operators_build_what_methods_compute() {
    let (a, b) = pair();
    let mut chain = (&a + &b) * 2.0;
    chain -= &a;
    chain /= Scalar::new(2.0).with_unit("adu");
    assert_eq!(values(&eval(chain)), [4.5, 6.0, 7.5]);
    assert_eq!(values(&eval(-(1.0 / &a))), [-1.0, -0.5, -1.0f32 as f64 / 3.0].map(|v| f64::from(v as f32)));
    assert_eq!(values(&eval(Expr::from(&a).max(2.0).min(&b))), [2.0, 2.0, 3.0]);
}

/// A cube with a mask, and the same as numbers.
fn cube() -> (NDAstroData, Array3<f64>) {
    let data = Array3::from_shape_fn((5, 4, 3), |(z, y, x)| ((z * 7 + y * 5 + x * 3) % 11) as f32 - 4.0);
    let variance = Array3::from_shape_fn((5, 4, 3), |(z, y, x)| 1.0 + (z + 2 * y + 3 * x) as f32);
    let nd = NDAstroData::new(data.clone()).with_variance(variance).unwrap();
    (nd, data.mapv(f64::from))
}

#[test]
fn sums_and_means_along_axes() {
    let (nd, data) = cube();
    let variance = nd.variance().unwrap().unwrap().to_f64();
    let along = |a: &Array3<f64>| a.sum_axis(Axis(0)).into_iter().collect::<Vec<f64>>();
    let v: Vec<f64> = variance.sum_axis(Axis(0)).into_iter().collect();
    let sum = eval(Expr::from(&nd).sum(&[0]));
    assert_eq!((sum.shape(), values(&sum), variances(&sum)), (vec![4, 3], along(&data), v.clone()));
    let mean = eval(Expr::from(&nd).mean(&[-3]));
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-6 * b.abs();
    assert!(values(&mean).iter().zip(along(&data)).all(|(m, s)| near(*m, s / 5.0)));
    assert!(variances(&mean).iter().zip(v).all(|(m, s)| near(*m, s / 25.0)));
    let all = eval(Expr::from(&nd).sum(&[]));
    assert_eq!((all.shape(), values(&all)[0]), (vec![], data.sum()));
    let rows = eval(Expr::from(&nd).sum(&[2, 0]));
    assert_eq!((rows.shape(), values(&rows)[1]), (vec![4], data.index_axis(Axis(1), 1).sum()));
}

#[test]
fn collapses_at_once_are_those_of_expressions() {
    type AtOnce = fn(&NDAstroData, &[isize]) -> ndastro::Result<NDAstroData>;
    type Lazy = fn(Expr, &[isize]) -> Expr;
    let (nd, _) = cube();
    let cases: [(AtOnce, Lazy); 6] = [
        (NDAstroData::sum, Expr::sum),
        (NDAstroData::mean, Expr::mean),
        (NDAstroData::min_along, Expr::min_along),
        (NDAstroData::max_along, Expr::max_along),
        (NDAstroData::median, Expr::median),
        (NDAstroData::std, Expr::std),
    ];
    for (at_once, lazy) in cases {
        let (got, want) = (at_once(&nd, &[1]).unwrap(), eval(lazy(Expr::from(&nd), &[1])));
        assert_eq!((values(&got), variances(&got)), (values(&want), variances(&want)));
    }
    assert!(nd.sum(&[3]).is_err());
}

#[test]
fn smallest_largest_median_and_spread() {
    let (nd, data) = cube();
    let variance = nd.variance().unwrap().unwrap().to_f64();
    let lane = |y: usize, x: usize| (0..5).map(move |z| [z, y, x]);
    let (low, high) = (eval(Expr::from(&nd).min_along(&[0])), eval(Expr::from(&nd).max_along(&[0])));
    let (middle, spread) = (eval(Expr::from(&nd).median(&[0])), eval(Expr::from(&nd).std(&[0])));
    for y in 0..4 {
        for x in 0..3 {
            let at = y * 3 + x;
            let mut sorted: Vec<[usize; 3]> = lane(y, x).collect();
            sorted.sort_by(|a, b| data[*a].total_cmp(&data[*b]));
            assert_eq!(values(&low)[at], data[sorted[0]]);
            assert_eq!(variances(&high)[at], variance[&sorted[4][..]]);
            assert_eq!(values(&middle)[at], data[sorted[2]]);
            let mean = lane(y, x).map(|i| data[i]).sum::<f64>() / 5.0;
            let squares: f64 = lane(y, x).map(|i| (data[i] - mean).powi(2)).sum();
            let want = (squares / 5.0).sqrt();
            assert!((values(&spread)[at] - want).abs() < 1e-6 * want);
            let cross: f64 = lane(y, x).map(|i| (data[i] - mean).powi(2) * variance[&i[..]]).sum();
            let want = cross / (5.0 * squares);
            assert!((variances(&spread)[at] - want).abs() < 1e-6 * want);
        }
    }
    // Median in parts, as when memory is short.
    let wide = NDAstroData::new(filled(&[3, 40, 50], |i| (i * 7919 % 1000) as f32));
    let whole = eval(Expr::from(&wide).median(&[0]));
    let few = ndastro::Calculation::of(vec![Expr::from(&wide).median(&[0])]).memory(64 << 10);
    assert_eq!(values(&few.eval(&Engine::cpu(1).unwrap()).unwrap().0[0]), values(&whole));
}

#[test]
fn the_least_bad_samples_count() {
    let data = arr2(&[[1f32, 10.0, 100.0], [2.0, 20.0, f32::NAN]]);
    let mask = arr2(&[[0u16, 8, 16], [8, 8, 0]]);
    let nd = NDAstroData::new(data).with_mask(mask).unwrap();
    let sum = eval(Expr::from(&nd).sum(&[0]));
    assert_eq!((values(&sum)[0], masks(&sum)[0]), (1.0, 0.0), "a good one beats a saturated one");
    assert_eq!((values(&sum)[1], masks(&sum)[1]), (30.0, 8.0), "all are of one level");
    assert!(values(&sum)[2].is_nan(), "a NaN that nobody masked stays");
}

#[test]
fn an_operand_that_repeats_does_not_average_out() {
    let frames = NDAstroData::new(Array2::from_elem((100, 3), 10f32));
    let frames = frames.with_variance(Array2::from_elem((100, 3), 1f32)).unwrap();
    let bias = NDAstroData::new(arr1(&[1f32, 2.0, 3.0])).with_variance(arr1(&[0.25f32, 0.5, 1.0])).unwrap();
    let mean = eval((&frames - &bias).mean(&[0]));
    assert_eq!(values(&mean), [9.0, 8.0, 7.0]);
    for (got, of_bias) in variances(&mean).into_iter().zip([0.25, 0.5, 1.0]) {
        assert!((got - (0.01 + of_bias)).abs() < 1e-6, "{got}");
    }
    // Along the axis that it has its pixels are apart.
    let all = eval((&frames - &bias).mean(&[]));
    assert!((variances(&all)[0] - (1.0 / 300.0 + 1.75 / 9.0)).abs() < 1e-6, "{:?}", variances(&all));
    // A number with a variance is one for all.
    let gain = Scalar::new(2.0).with_variance(0.01);
    let sum = eval((&frames * gain).sum(&[]));
    assert!((variances(&sum)[0] - (4.0 * 300.0 + 3000f64.powi(2) * 0.01)).abs() < 1e-1, "{:?}", variances(&sum));
    // (x - x) repeats nothing.
    let nothing = eval((&frames - &bias + &bias).mean(&[0]));
    assert!((variances(&nothing)[0] - 0.01).abs() < 1e-6);
}

#[test]
fn collapses_are_operands_like_others() {
    let (nd, data) = cube();
    let flat = eval(Expr::from(&nd) - Expr::from(&nd).mean(&[1, 2]).slice(0).unwrap());
    let mean = data.index_axis(Axis(0), 0).mean().unwrap();
    assert!((values(&flat)[0] - (data[[0, 0, 0]] - mean)).abs() < 1e-6);
    let part = eval(Expr::from(&nd).sum(&[1]).slice((2, ..)).unwrap());
    let want: Vec<f64> = data.index_axis(Axis(0), 2).sum_axis(Axis(0)).into_iter().collect();
    assert_eq!(values(&part), want);
    for (axes, word) in [(&[3isize][..], "axis 3"), (&[-4], "axis -4"), (&[1, 1], "axis 1")] {
        let error = Expr::from(&nd).sum(axes).eval(&Engine::cpu(1).unwrap()).unwrap_err();
        assert_says(&error.to_string(), &[word]);
    }
}

fn sky() -> Header {
    let mut header = Header::new();
    for (key, value) in [("CRPIX1", 20.0), ("CRPIX2", 10.0), ("CDELT1", -1e-4), ("CDELT2", 1e-4)] {
        header.set(key, value, "");
    }
    for (key, value) in [("CRVAL1", 150.0), ("CRVAL2", 2.0)] {
        header.set(key, value, "");
    }
    header.set("CTYPE1", "RA---TAN", "");
    header.set("CTYPE2", "DEC--TAN", "");
    header
}

/// The WCS of a container, as positions of two of its pixels.
fn positions(nd: &NDAstroData, pixels: [[f64; 2]; 2]) -> Vec<f64> {
    let wcs = nd.wcs().unwrap().expect("a WCS");
    pixels.iter().flat_map(|p| wcs.pixel_to_world(p).unwrap()).collect()
}

#[track_caller]
fn same(a: &[f64], b: &[f64]) {
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12), "{a:?} {b:?}");
}

#[test]
fn world_coordinates_follow_slices_and_are_written() {
    let nd = NDAstroData::new(filled(&[30, 40], |i| i as f32)).with_meta(sky());
    let part = nd.slice("25:5:-2, 3::3".parse::<ndastro::Slices>().unwrap()).unwrap();
    let want = positions(&nd, [[25.0, 3.0], [21.0, 18.0]]);
    same(&positions(&part, [[0.0, 0.0], [2.0, 5.0]]), &want);
    same(&positions(&part.transpose(), [[0.0, 0.0], [5.0, 2.0]]), &want);
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("part.fits");
    let with_planes = part.with_variance(filled(&[10, 13], |_| 1f32)).unwrap();
    AstroData::from_extensions(Header::new(), vec![with_planes.clone()]).write(&path, false).unwrap();
    let back = AstroData::open(&path).unwrap();
    same(&positions(&back[0], [[0.0, 0.0], [2.0, 5.0]]), &want);
    // So are those of what is computed from it, also with other windows of the file.
    let sum = eval(&with_planes + 1.0);
    same(&positions(&sum, [[0.0, 0.0], [2.0, 5.0]]), &want);
    let windows = eval(back[0].slice((2.., 5..)).unwrap() * 2.0);
    same(&positions(&windows, [[-2.0, -5.0], [0.0, 0.0]]), &want);
    // A plane in the file of a window carries the WCS of the window.
    let again = dir.path().join("window.fits");
    let cut = AstroData::from_extensions(Header::new(), vec![back[0].slice((2.., 5..)).unwrap()]);
    cut.write(&again, false).unwrap();
    let file = FitsFile::open(&again).unwrap();
    for hdu in &file.hdus()[1..] {
        let wcs = Wcs::from_header(&hdu.header).unwrap().expect("a WCS");
        same(&wcs.pixel_to_world(&[0.0, 0.0]).unwrap(), &want[2..]);
    }
}

#[test]
fn world_coordinates_can_be_set_and_compared() {
    let mut nd = NDAstroData::new(Array2::<f32>::zeros((30, 40)));
    assert!(nd.wcs().unwrap().is_none());
    let wcs = Wcs::from_header(&sky()).unwrap().unwrap();
    nd.set_wcs(Some(wcs.clone())).unwrap();
    assert!(nd.wcs().unwrap().unwrap().agrees_with(&wcs));
    let mut line = NDAstroData::new(Array1::<f32>::zeros(3));
    assert_says(&line.set_wcs(Some(wcs)).unwrap_err().to_string(), &["2 pixel axes", "has 1"]);
    let moved = nd.slice((1.., ..)).unwrap();
    let same = nd.slice((..29, ..)).unwrap();
    let engine = Engine::cpu(1).unwrap();
    assert!((&moved + &same).eval(&engine).is_ok(), "the first found, unless asked");
    let error = (&moved + &same).compare_wcs().eval(&engine).unwrap_err();
    assert!(matches!(error, Error::Wcs(_)), "{error}");
    assert!((&same + &nd.slice((..29, ..)).unwrap()).compare_wcs().eval(&engine).is_ok());
    nd.set_wcs(None).unwrap();
    assert!(nd.wcs().unwrap().is_none());
}

#[test]
fn a_wcs_that_cannot_be_used_does_not_stop_arithmetic() {
    let mut header = sky();
    header.set("CTYPE1", "WAVE-TAB", "");
    let nd = NDAstroData::new(Array2::<f32>::zeros((30, 40))).with_meta(header);
    assert_says(&nd.wcs().unwrap_err().to_string(), &["TAB"]);
    let whole = eval(&nd + 1.0);
    assert_eq!(whole.meta().get_str("CTYPE1").as_deref(), Some("WAVE-TAB"), "the same pixels");
    let calculation = ndastro::Calculation::of(vec![nd.slice((1.., ..)).unwrap() + 1.0]);
    let (part, stats) = calculation.eval(&Engine::cpu(1).unwrap()).unwrap();
    assert!(part[0].wcs().unwrap().is_none());
    assert!(stats.warnings.iter().any(|w| w.contains("TAB")), "{:?}", stats.warnings);
}

#[test]
fn chains_may_be_long() {
    let mut sum = Expr::from(0.0);
    for i in 0..20_000 {
        sum += NDAstroData::new(arr1(&[1f32, i as f32])).with_variance(arr1(&[1f32, 2.0])).unwrap();
    }
    let sum = eval(sum);
    assert_eq!(values(&sum), [20_000.0, f64::from((19_999 * 10_000) as f32)]);
    assert_eq!(variances(&sum), [20_000.0, 40_000.0]);
}

#[test]
fn deviations_of_faint_fluxes_are_not_lost() {
    // Squares of these are no numbers of f32.
    let flux = NDAstroData::new(arr1(&[1e-17f32, 2e-17]));
    let flux = flux.with_uncertainty(arr1(&[1e-23f32, 2e-23]), ndastro::fits::UncertaintyKind::StdDev).unwrap();
    let relative = eval(&flux / 1e-17);
    for (got, want) in variances(&relative).into_iter().zip([1e-12, 4e-12]) {
        assert!((got - want).abs() < 1e-6 * want, "{got}");
    }
}

#[test]
fn what_is_written_is_in_the_unit_that_it_has() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("unit.fits");
    let mut header = sky();
    header.set("BUNIT", "adu", "");
    let data = || filled(&[30, 40], |i| 1.0 + i as f32);
    let nd = NDAstroData::new(data()).with_variance(data()).unwrap().with_unit("adu").with_meta(header);
    AstroData::from_extensions(Header::new(), vec![nd]).write(&path, false).unwrap();
    let read = || AstroData::open(&path).unwrap();
    let units = |ad: AstroData| {
        ad.write(&path, true).unwrap();
        let hdus = FitsFile::open(&path).unwrap();
        let of = |i: usize| hdus.hdus()[i].header.get_str("BUNIT").map(|u| u.trim().to_string());
        (of(1), of(2))
    };
    let some = |sci: &str, var: &str| (Some(sci.to_string()), Some(var.to_string()));
    let mut renamed = read();
    renamed[0].set_unit(Some("electron"));
    assert_eq!(units(renamed), some("electron", "electron**2"), "also the variance, which has a header of its own");
    let wide = AstroData::from_extensions(Header::new(), vec![read()[0].clone().with_unit("\u{b5}Jy")]);
    assert_eq!(units(wide), some("uJy", "uJy**2"), "FITS is ASCII");
    let own = read();
    let ratio = own[0].divide(own[0].slice((.., ..)).unwrap()).unwrap();
    assert_eq!(ratio.header().unwrap().get_str("BUNIT"), None);
    assert_eq!(units(AstroData::from_extensions(Header::new(), vec![ratio])), (None, None));
    let mut odd = read();
    odd[0].set_unit(Some("\u{263a}"));
    assert!(matches!(odd.write(&path, true), Err(Error::Unit(_))));
}

#[test]
fn world_coordinates_outlive_dropped_axes_and_other_primaries() {
    let cube = {
        let mut header = sky();
        header.set("CTYPE3", "WAVE", "");
        for (key, value) in [("CRPIX3", 1.0), ("CDELT3", 1e-9), ("CRVAL3", 5e-7)] {
            header.set(key, value, "");
        }
        NDAstroData::new(filled(&[5, 30, 40], |i| i as f32)).with_meta(header)
    };
    let plane = cube.slice(3).unwrap();
    let want = plane.wcs().unwrap().unwrap().pixel_to_world(&[2.0, 4.0]).unwrap();
    same(&eval(&plane * 2.0).wcs().unwrap().expect("a WCS").pixel_to_world(&[2.0, 4.0]).unwrap(), &want);
    assert!(eval(&cube.slice((1, 2, 3)).unwrap() + 1.0).wcs().unwrap().is_none(), "one pixel without axes");
    // In the primary header alone, beside a card of the extension that is about coordinates too.
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("phu.fits");
    let mut equinox = Header::new();
    equinox.set("EQUINOX", 2000.0, "");
    let image = NDAstroData::new(filled(&[30, 40], |i| i as f32)).with_meta(equinox);
    AstroData::from_extensions(sky(), vec![image]).write(&path, false).unwrap();
    let file = AstroData::open(&path).unwrap();
    let want = positions(&file[0], [[0.0, 0.0], [7.0, 9.0]]);
    same(&positions(&eval(&file[0] * 2.0), [[0.0, 0.0], [7.0, 9.0]]), &want);
    let other = dir.path().join("other.fits");
    AstroData::from_extensions(Header::new(), vec![file[0].clone()]).write(&other, false).unwrap();
    same(&positions(&AstroData::open(&other).unwrap()[0], [[0.0, 0.0], [7.0, 9.0]]), &want);
}

#[test]
fn places_beyond_all_counting_are_beyond_the_end() {
    let nd = NDAstroData::new(arr1(&[1f32, 2.0, 3.0]));
    assert!(nd.slice(usize::MAX).is_err());
    assert_eq!(nd.slice(1..usize::MAX).unwrap().shape(), [2]);
    assert_eq!(nd.slice(usize::MAX - 1..usize::MAX).unwrap().shape(), [0]);
}

#[test]
fn what_was_not_chosen_does_not_count() {
    let z = NDAstroData::new(arr1(&[0f32, 2.0])).with_variance(arr1(&[1f32, 1.0])).unwrap();
    let least = eval((1.0 / &z).min(5.0));
    assert_eq!((values(&least), variances(&least)), (vec![5.0, 0.5], vec![0.0, 1.0 / 16.0]));
    let most = eval((-(1.0 / &z)).max(-5.0) * 2.0);
    assert_eq!((values(&most), variances(&most)), (vec![-10.0, -1.0], vec![0.0, 0.25]));
}

#[test]
fn shapes_at_the_ends() {
    let long = |shape: &[usize]| NDAstroData::new(filled(shape, |_| 1u8));
    let wide = (&long(&[1 << 16, 1, 1, 1]) + &long(&[1 << 16, 1, 1])) + (&long(&[1 << 16, 1]) + &long(&[1 << 16]));
    assert_says(&wide.eval(&Engine::cpu(1).unwrap()).unwrap_err().to_string(), &["too many pixels"]);
    let large = &long(&[1 << 22, 1]) + &long(&[1 << 22]);
    assert!(large.eval(&Engine::cpu(1).unwrap()).is_err(), "no memory");
    let row = NDAstroData::new(filled(&[1, 3], |_| 1f32));
    assert_eq!((&row + 1.0).slice((0..0, ..)).unwrap().shape().unwrap(), [0, 3]);
    let nothing = NDAstroData::new(filled(&[0, 2], |_| 1f32));
    assert_eq!(values(&nothing.sum(&[0]).unwrap()), [0.0; 2]);
    assert!(values(&nothing.mean(&[0]).unwrap()).iter().all(|v| v.is_nan()));
    let mut chain = Expr::from(&row);
    for _ in 0..5000 {
        chain += 1.0;
    }
    assert!(format!("{chain:?}").contains("parts"));
    assert_says(&chain.slice(0).unwrap_err().to_string(), &["levels"]);
}

#[test]
fn left_out_variances_and_what_cancels_along_axes() {
    let nd = NDAstroData::new(filled(&[3, 2], |i| i as f32)).with_variance(filled(&[3, 2], |_| 1f32)).unwrap();
    let gain = Scalar::new(2.0).with_variance(0.1);
    let calculation = ndastro::Calculation::of(vec![&nd * gain]).use_variance(false);
    assert!(!calculation.eval(&Engine::cpu(1).unwrap()).unwrap().0[0].has_variance());
    let b = NDAstroData::new(arr1(&[1f32, 1.0])).with_variance(arr1(&[4f32, 4.0])).unwrap();
    let plain = NDAstroData::new(filled(&[3, 2], |i| i as f32));
    assert_eq!(variances(&eval((&plain + &(&b - &b)).mean(&[0]))), [0.0, 0.0]);
    assert!((&nd + Scalar::new(1.0).with_variance(f64::NAN)).eval(&Engine::cpu(1).unwrap()).is_err());
}
