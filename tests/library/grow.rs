//! Rejections that grow, beside a dilation of the reasons of a stack whose rejection does not, and a stack of the same frames
//! without those samples.

use ndarray::{ArrayD, IxDyn};
use ndastro::{Band, Clip, Combine, DetectorNoise, Map, Reject};

use super::*;

const FRAMES: usize = 9;

/// Noise with outliers, some of them in streaks, and bad pixels.
fn frames(shape: &[usize]) -> Vec<NDAstroData> {
    let pixels: usize = shape.iter().product();
    let mut state = 7u64;
    let mut unit = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let one = |frame: usize| {
        let mut data: Vec<f32> = (0..pixels).map(|_| (100.0 + (0..12).map(|_| unit()).sum::<f64>()) as f32).collect();
        for (i, x) in data.iter_mut().enumerate() {
            if (i * 31 + frame * 17).is_multiple_of(97) || (frame == 3 && (i / 5).is_multiple_of(23)) {
                *x += 900.0;
            }
        }
        let whole = |v: Vec<f32>| ArrayD::from_shape_vec(IxDyn(shape), v).unwrap();
        let variance = (0..pixels).map(|i| 1.0 + (i % 7) as f32 / 8.0 + frame as f32).collect();
        let mask = ArrayD::from_shape_fn(IxDyn(shape), |_| u16::from(unit() > 0.97));
        NDAstroData::new(whole(data)).with_variance(whole(variance)).unwrap().with_mask(mask).unwrap()
    };
    (0..FRAMES).map(one).collect()
}

fn clip() -> Reject {
    Reject::SigClip(Clip { hsigma: 2.2, ..Clip::default() })
}

fn stack(shape: &[usize]) -> Stack {
    Stack::new(frames(shape)).reject(clip()).maps([Map::Reasons, Map::RejMap, Map::NGood, Map::RejHigh])
}

fn values(plane: &Pixels) -> Vec<f64> {
    plane.to_f64().into_iter().collect()
}

fn map(result: &AstroData, name: &str) -> Vec<f64> {
    values(result[0].other(name).unwrap().unwrap())
}

/// What becomes of the reasons, frame after frame, by the definition, and the pixels of which all would go.
fn dilated(reasons: &[f64], shape: &[usize], radius: f64) -> (Vec<u32>, Vec<usize>) {
    let pixels: usize = shape.iter().product();
    let frames = reasons.len() / pixels;
    let (lines, row) = (shape[shape.len() - 2], shape[shape.len() - 1]);
    let mut out: Vec<u32> = reasons.iter().map(|&r| r as u32).collect();
    let place = |p: usize| (p / (lines * row), (p / row % lines) as f64, (p % row) as f64);
    for f in 0..frames {
        let rejected: Vec<_> = (0..pixels).filter(|q| reasons[f * pixels + q] as u32 & 4 != 0).map(place).collect();
        for p in (0..pixels).filter(|p| reasons[f * pixels + p] == 0.0) {
            let a = place(p);
            let apart = |b: &(usize, f64, f64)| (a.1 - b.1).powi(2) + (a.2 - b.2).powi(2);
            if rejected.iter().any(|b| a.0 == b.0 && apart(b) <= radius * radius) {
                out[f * pixels + p] = 32;
            }
        }
    }
    // Where nothing would be left nothing more goes.
    let none = |p: &usize| (0..frames).all(|f| out[f * pixels + p] != 0);
    let undone: Vec<usize> = (0..pixels).filter(none).collect();
    for p in &undone {
        for f in (0..frames).filter(|f| reasons[f * pixels + p] == 0.0) {
            out[f * pixels + p] = 0;
        }
    }
    (out, undone)
}

#[test]
fn growing_is_a_dilation_of_each_frame() {
    for (shape, combine, radius) in [
        (&[37, 53][..], Combine::Mean, 1.0),
        (&[37, 53][..], Combine::Median, 2.3),
        (&[23, 41][..], Combine::WtMean, 1.5),
        // Images of a cube are by themselves.
        (&[3, 11, 13][..], Combine::Mean, 2.0),
        // Rows that are longer than a tile.
        (&[3, 2003][..], Combine::Mean, 2.99),
        // All that is left of some pixels would go.
        (&[19, 31][..], Combine::Sum, 6.0),
    ] {
        let pixels: usize = shape.iter().product();
        let engine = Engine::cpu(2).unwrap();
        let (plain, _) = stack(shape).combine(combine).eval(&engine).unwrap();
        let (want, _) = dilated(&map(&plain, "REASONS"), shape, radius);
        let more = want.iter().filter(|&&why| why == 32).count();
        assert!(more > 30, "{more} samples go with others");
        // The same frames without these samples.
        let holes = frames(shape).into_iter().enumerate().map(|(f, mut frame)| {
            let mut data = frame.data().unwrap().to_f64();
            for (p, x) in data.iter_mut().enumerate() {
                if want[f * pixels + p] & (4 | 32) != 0 {
                    *x = f64::NAN;
                }
            }
            frame.set_data(data.mapv(|x| x as f32)).unwrap();
            frame
        });
        let (holes, _) = Stack::new(holes).combine(combine).eval(&engine).unwrap();
        // In one tile, and in many.
        for memory in [64 << 20, 200 << 10] {
            let (grown, stats) = stack(shape).combine(combine).grow(radius).memory(memory).eval(&engine).unwrap();
            assert_eq!(stats.tiles > 1, memory < 1 << 20 && pixels > 450, "{} tiles of {shape:?}", stats.tiles);
            let what = format!("{shape:?} {combine:?} {radius} {memory}");
            let found: Vec<u32> = map(&grown, "REASONS").iter().map(|&r| r as u32).collect();
            assert_eq!(found, want, "{what}");
            let planes = |nd: &NDAstroData| {
                [nd.data().unwrap(), nd.variance().unwrap().unwrap(), nd.mask().unwrap().unwrap()].map(values)
            };
            assert_eq!(planes(&grown[0]), planes(&holes[0]), "{what}");
            let count = |bits: u32| -> Vec<f64> {
                (0..pixels).map(|p| (0..FRAMES).filter(|f| want[f * pixels + p] & bits != 0).count() as f64).collect()
            };
            assert_eq!(map(&grown, "REJMAP"), count(4 | 32), "{what}");
            assert_eq!(map(&grown, "REJHIGH"), map(&plain, "REJHIGH"), "{what}");
            let left = |p: usize| (0..FRAMES).filter(|f| want[f * pixels + p] == 0).count() as f64;
            assert_eq!(map(&grown, "NGOOD"), (0..pixels).map(left).collect::<Vec<_>>(), "{what}");
            assert_eq!(stats.rejected as f64, count(4 | 32).iter().sum::<f64>(), "{what}");
        }
    }
}

/// nkeep holds; bands of rows are those of one run; a file has what memory has.
#[test]
fn growing_keeps_what_must_be_kept_and_knows_no_bands() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::cpu(2).unwrap();
    let maps = [Map::NGood, Map::RejMap];
    let stack = || Stack::new(frames(&[40, 33])).reject(clip()).maps(maps).grow(3.0).nkeep(5);
    let (whole, _) = stack().eval(&engine).unwrap();
    let (free, _) = Stack::new(frames(&[40, 33])).reject(clip()).maps(maps).grow(3.0).eval(&engine).unwrap();
    let left = |result: &AstroData| map(result, "NGOOD");
    let had: Vec<f64> = left(&whole).iter().zip(map(&whole, "REJMAP")).map(|(n, out)| n + out).collect();
    assert!(left(&whole).iter().zip(&had).all(|(&n, &had)| n >= had.min(5.0)));
    assert!(left(&free).iter().zip(&had).any(|(&n, &had)| n < had.min(5.0)));
    let path = folder.path().join("bands.fits");
    for i in 1..=3 {
        stack().write_band(&engine, &path, false, Band::new(i, 3).unwrap()).unwrap();
    }
    ndastro::merge(&path, false, None).unwrap();
    let bands = AstroData::open(&path).unwrap();
    for name in ["NGOOD", "REJMAP"] {
        assert_eq!(map(&bands, name), map(&whole, name), "{name}");
    }
    assert_eq!(values(bands[0].data().unwrap()), values(whole[0].data().unwrap()));
    let one = folder.path().join("one.fits");
    stack().write(&engine, &one, false).unwrap();
    assert_eq!(fs::read(&one).unwrap().len(), fs::read(&path).unwrap().len());
    assert_eq!(values(AstroData::open(&one).unwrap()[0].data().unwrap()), values(whole[0].data().unwrap()));
}

#[test]
fn what_growing_does_not_go_with_is_refused() {
    let engine = Engine::cpu(1).unwrap();
    let stack = || Stack::new(frames(&[5, 6]));
    for (stack, what) in [
        (stack().grow(2.0), "grow goes with a rejection"),
        (stack().reject(clip()).grow(-1.0), "grow: -1, where a number of pixels"),
        (stack().reject(clip()).grow(f64::NAN), "grow: NaN"),
        (stack().reject(clip()).grow(1.0).flavour(ndastro::Flavour::Dragons), "flavour dragons has no grow"),
    ] {
        let error = stack.eval(&engine).expect_err(what).to_string();
        assert!(error.contains(what), "{error}, not {what}");
    }
    let error = stack().reject(clip()).grow(1.0).explain(0, &[1, 1]).expect_err("no explanation").to_string();
    assert!(error.contains("not with grow"), "{error}");
}

/// IRAF's imcombine on the frames of `rejections.json`. Where all samples of a pixel would go it keeps some, by the order of the
/// frames, and here none more goes.
#[test]
fn means_are_those_of_iraf() {
    let (known, all) = (support::json("rejections.json"), support::json("grow.json"));
    let engine = Engine::cpu(2).unwrap();
    let (mut compared, mut left_out, mut grown) = (0, 0, 0.0);
    for case in all["cases"].as_array().unwrap() {
        let rows: Vec<Vec<f32>> = serde_json::from_value(known["frames"][case["frames"].to_string()].clone()).unwrap();
        let or = |key: &str| case[key].as_f64().unwrap_or(f64::INFINITY);
        let (lsigma, hsigma, radius) = (or("lsigma"), or("hsigma"), or("grow"));
        let number = |key: &str| known[key].as_f64().unwrap();
        let noise = DetectorNoise { gain: number("gain"), read_noise: number("read_noise"), sensitivity: 0.0 };
        let reject = match case["reject"].as_str().unwrap() {
            "pclip" => Reject::PClip { lsigma, hsigma, at: or("pclip") },
            _ => Reject::CcdClip(Clip { lsigma, hsigma, ..Clip::default() }, noise),
        };
        let frames = || rows.iter().map(|row| NDAstroData::new(Array2::from_shape_vec((6, 8), row.clone()).unwrap()));
        let stack = || Stack::new(frames()).reject(reject).maps([Map::Reasons, Map::RejMap]);
        let (plain, _) = stack().eval(&engine).unwrap();
        let (made, _) = stack().grow(radius).eval(&engine).unwrap();
        grown += map(&made, "REJMAP").iter().sum::<f64>() - map(&plain, "REJMAP").iter().sum::<f64>();
        let (_, undone) = dilated(&map(&plain, "REASONS"), &[6, 8], radius);
        let want: Vec<f64> = serde_json::from_value(case["value"].clone()).unwrap();
        for (p, (got, want)) in values(made[0].data().unwrap()).into_iter().zip(want).enumerate() {
            if undone.contains(&p) {
                left_out += 1;
                continue;
            }
            compared += 1;
            // Both have single precision.
            let what = [&case["frames"], &case["reject"], &case["grow"]];
            assert!((got - want).abs() <= 3e-6 * want.abs(), "{what:?}, pixel {p}: {got} and {want}");
        }
    }
    assert!(
        compared > 5 * left_out && grown > 500.0,
        "{compared} compared, {left_out} left out, {grown} went with others"
    );
}
