//! What comes out of a stack: maps, both variances, what is carried of the first frame, what is refused, and what it is
//! said to take before it is made.

use super::*;
use ndastro::{BitNames, Clip, Combine, Expr, Flavour, Hierarchy, Map, Reject, VarianceFrom};

/// One row of pixels, a frame a list; variance 4 each.
fn frames(values: &[&[f32]]) -> Vec<NDAstroData> {
    let of = |v: &&[f32]| {
        let variance = Array1::from_elem(v.len(), 4f32);
        NDAstroData::new(Array1::from(v.to_vec())).with_variance(variance).unwrap()
    };
    values.iter().map(of).collect()
}

fn masked(values: &[(f32, u16)]) -> Vec<NDAstroData> {
    values.iter().map(|&(v, m)| NDAstroData::new(arr1(&[v])).with_mask(arr1(&[m])).unwrap()).collect()
}

fn cpu() -> Engine {
    Engine::cpu(2).unwrap()
}

fn numbers(pixels: &Pixels) -> Vec<f64> {
    pixels.to_f64().into_iter().collect()
}

fn map(nd: &NDAstroData, name: &str) -> Vec<f64> {
    numbers(nd.other(name).unwrap().unwrap_or_else(|| panic!("no plane {name}")))
}

/// Ten samples about 10, one far above in the first pixel and one far below in the second.
fn with_outliers() -> Vec<NDAstroData> {
    let rows: Vec<[f32; 3]> = (0..11)
        .map(|i| {
            let x = 10.0 + (i % 3) as f32;
            [if i == 4 { 500.0 } else { x }, if i == 7 { -300.0 } else { x }, x]
        })
        .collect();
    frames(&rows.iter().map(|r| &r[..]).collect::<Vec<_>>())
}

#[test]
fn maps_count_what_was_done() {
    for engine in engines() {
        let stack = Stack::new(with_outliers()).reject(Reject::SigClip(Clip::default())).maps(Map::OF_SAMPLES);
        let (result, stats) = stack.eval(&engine).unwrap();
        assert_eq!(map(&result[0], "REJHIGH"), [1.0, 0.0, 0.0]);
        assert_eq!(map(&result[0], "REJLOW"), [0.0, 1.0, 0.0]);
        assert_eq!(map(&result[0], "REJMAP"), [1.0, 1.0, 0.0]);
        assert_eq!(map(&result[0], "NGOOD"), [10.0, 10.0, 11.0]);
        assert_eq!(map(&result[0], "WEIGHT"), [10.0, 10.0, 11.0]);
        assert_eq!(stats.rejected, 2);
        let counts = result[0].other("REJMAP").unwrap().unwrap();
        assert_eq!(counts.dtype(), DType::I16);
        let names: Vec<&str> = result[0].other_names().collect();
        assert_eq!(names, ["REJMAP", "REJLOW", "REJHIGH", "NGOOD", "WEIGHT"]);
    }
}

#[test]
fn weights_are_inverse_variances() {
    for engine in engines() {
        let one = |value: f32, variance: f32| {
            NDAstroData::new(arr1(&[value, value])).with_variance(arr1(&[variance, 4.0 * (value - 1.0)])).unwrap()
        };
        let stack = Stack::new([one(1.0, 2.0), one(4.0, 4.0)]).combine(Combine::WtMean).maps([Map::Weight]);
        let (result, _) = stack.eval(&engine).unwrap();
        assert_eq!(numbers(result[0].data().unwrap()), [2.0, 1.0]);
        assert_eq!(map(&result[0], "WEIGHT"), [0.75, f64::INFINITY]);
        let variance = numbers(result[0].variance().unwrap().unwrap());
        assert!((variance[0] - 4.0 / 3.0).abs() < 1e-6 && variance[1] == 0.0, "{variance:?}");
    }
}

#[test]
fn both_variances_and_their_ratio() {
    for engine in engines() {
        let stack = Stack::new(frames(&[&[1.0, 5.0], &[3.0, 5.0], &[5.0, 5.0]])).variance_from(VarianceFrom::Both);
        let (result, _) = stack.eval(&engine).unwrap();
        let close = |a: Vec<f64>, b: [f64; 2]| a.iter().zip(b).all(|(x, y)| (x - y).abs() <= 1e-6 * y.abs());
        assert!(close(numbers(result[0].variance().unwrap().unwrap()), [4.0 / 3.0, 4.0 / 3.0]));
        assert!(close(map(&result[0], "SCATTER"), [8.0 / 6.0, 0.0]));
        assert!(close(map(&result[0], "CHISQ"), [1.0, 0.0]));
        // Of one sample nothing is known.
        let (one, _) = Stack::new(frames(&[&[1.0]])).variance_from(VarianceFrom::Both).eval(&engine).unwrap();
        assert_eq!(map(&one[0], "SCATTER"), [0.0]);
        assert!(map(&one[0], "CHISQ")[0].is_nan());
        let (scatter, _) = stack.variance_from(VarianceFrom::Scatter).eval(&engine).unwrap();
        assert!(close(numbers(scatter[0].variance().unwrap().unwrap()), [8.0 / 6.0, 0.0]));
    }
}

#[test]
fn what_has_no_variance_is_said() {
    let bare = || vec![NDAstroData::new(arr1(&[1f32, 2.0])), NDAstroData::new(arr1(&[3f32, 9.0]))];
    for from in [VarianceFrom::Propagated, VarianceFrom::Both] {
        let error = Stack::new(bare()).variance_from(from).eval(&cpu()).unwrap_err().to_string();
        assert_says(&error, &["variance", "none"]);
    }
    let (result, stats) = Stack::new(bare()).combine(Combine::WtMean).eval(&cpu()).unwrap();
    assert_eq!(numbers(result[0].data().unwrap()), [2.0, 5.5]);
    assert!(stats.warnings.iter().any(|w| w.contains("wtmean without variances is mean")), "{:?}", stats.warnings);
    let history = result.phu().cards().iter().map(|c| String::from_utf8_lossy(c).into_owned()).collect::<String>();
    assert_says(&history, &["combine mean,"]);
    let (_, stats) = Stack::new(bare()).reject(Reject::VarClip(Clip::default())).eval(&cpu()).unwrap();
    assert!(stats.warnings.iter().any(|w| w.contains("varclip without variances is sigclip")), "{:?}", stats.warnings);
}

#[test]
fn options_out_of_their_domain_are_refused() {
    let three = || Stack::new(frames(&[&[1.0], &[2.0], &[3.0]]));
    let says = |stack: Stack, parts: &[&str]| assert_says(&stack.eval(&cpu()).unwrap_err().to_string(), parts);
    says(three().reject(Reject::MinMax { nlow: 2, nhigh: 1 }), &["nlow 2", "nhigh 1", "3 frames"]);
    says(three().reject(Reject::MinMax { nlow: usize::MAX, nhigh: 1 }), &["leave nothing"]);
    for sigma in [-1.0, f64::NAN] {
        says(three().reject(Reject::SigClip(Clip { lsigma: sigma, ..Clip::default() })), &["lsigma"]);
        says(three().reject(Reject::VarClip(Clip { hsigma: sigma, ..Clip::default() })), &["hsigma"]);
    }
    says(three().scale(vec![1.0, 2.0]), &["scale", "2 values for 3 frames"]);
    says(three().zero(vec![0.0, f64::NAN, 0.0]), &["zero", "not finite"]);
    says(Stack::new([]), &["no frames"]);
    if let Some(gpu) = gpu() {
        let error = three().flavour(Flavour::Dragons).eval(&gpu).unwrap_err().to_string();
        assert_says(&error, &["dragons", "CPU"]);
    }
}

#[test]
fn the_hierarchy_is_what_it_is_told() {
    let names = BitNames::default().parse("ghost=128").unwrap();
    // (levels, value, mask) of samples 1 (cosmic ray), 2 (ghost), 4 (bad pixel).
    for (levels, value, mask) in [
        ("non_linear+saturated,cosmic_ray,overlap,bad_pixel,unilluminated", 1.0, 8),
        ("ghost,cosmic_ray", 2.0, 128),
        ("bad_pixel+ghost", 3.0, 129),
        ("none", 7.0 / 3.0, 137),
        ("16", 7.0 / 3.0, 137),
    ] {
        let hierarchy = Hierarchy::parse(levels, &names).unwrap();
        for engine in engines() {
            let stack = Stack::new(masked(&[(1.0, 8), (2.0, 128), (4.0, 1)])).hierarchy(hierarchy.clone());
            let (result, _) = stack.eval(&engine).unwrap();
            let data = numbers(result[0].data().unwrap());
            assert!((data[0] - value).abs() < 1e-6, "{levels}: {data:?}");
            assert_eq!(numbers(result[0].mask().unwrap().unwrap()), [f64::from(mask)], "{levels}");
        }
    }
    // Any bit is worse than none.
    let (result, _) =
        Stack::new(masked(&[(1.0, 2), (5.0, 0)])).hierarchy(Hierarchy::new([]).unwrap()).eval(&cpu()).unwrap();
    assert_eq!(numbers(result[0].data().unwrap()), [5.0]);
}

/// A mask of ones and zeros: a flagged sample is used only where all are.
#[test]
fn boolean_masks() {
    let frame = |values: [f32; 2], mask: [u8; 2]| NDAstroData::new(arr1(&values)).with_mask(arr1(&mask)).unwrap();
    for engine in engines() {
        let stack = Stack::new([frame([1.0, 2.0], [1, 1]), frame([5.0, 4.0], [0, 1])]);
        let (result, _) = stack.eval(&engine).unwrap();
        assert_eq!(numbers(result[0].data().unwrap()), [5.0, 3.0]);
        let mask = result[0].mask().unwrap().unwrap();
        assert_eq!((mask.dtype(), numbers(mask)), (DType::U8, vec![0.0, 1.0]));
    }
}

/// Two extensions with another plane each and a table: all of it comes out, also from the file.
#[test]
fn planes_and_tables_of_the_first_frame_are_carried() {
    let dir = TempDir::new().unwrap();
    let source = FitsFile::open(data("images/multi_hdu.fits")).unwrap();
    let index = (1..source.hdus().len()).find(|&i| !source.hdus()[i].has_pixels()).unwrap();
    let table = source.raw(index).unwrap();
    let mut paths = Vec::new();
    for number in 0..3 {
        let one = |n: usize| frame(n, &SHAPE).with_other("OBJMASK", filled(&SHAPE, |i| (i + 10 * n) as u8));
        let mut ad = AstroData::from_extensions(Header::new(), vec![one(number), one(number + 5)]);
        if number == 0 {
            ad.append_table(table.clone());
        }
        let path = dir.path().join(format!("in_{number}.fits"));
        ad.write(&path, false).unwrap();
        paths.push(path);
    }
    let stack = Stack::files(&paths).unwrap().maps([Map::NGood]);
    let out = dir.path().join("out.fits");
    let plan = stack.plan(&cpu()).unwrap();
    let stats = stack.write(&cpu(), &out, false).unwrap();
    assert_eq!(plan.bytes_read, stats.bytes_read);
    let written = AstroData::open(&out).unwrap();
    let (evaluated, _) = stack.eval(&cpu()).unwrap();
    for ad in [&written, &evaluated] {
        assert_eq!(ad.len(), 2);
        for (e, nd) in ad.iter().enumerate() {
            assert_eq!(map(nd, "OBJMASK"), numbers(&Pixels::from(filled(&SHAPE, |i| (i + 50 * e) as u8))));
            assert_eq!(map(nd, "NGOOD").len(), SHAPE.iter().product::<usize>());
        }
    }
    assert_eq!(written.phu().get_i64("NCOMBINE"), Some(3));
    // SCI, VAR, DQ, NGOOD, OBJMASK of each, and the table.
    assert_eq!(written.phu().get_i64("NEXTEND"), Some(11));
    assert_eq!((written.tables().len(), evaluated.tables().len()), (1, 1));
    assert_eq!(written.tables()[0].read().unwrap(), table.read().unwrap());
    let history = written.phu().cards().iter().map(|c| String::from_utf8_lossy(c).into_owned()).collect::<String>();
    assert_says(&history, &["combine mean", "reject none", "flavour stable", "DQ levels", "maps: NGOOD"]);
}

/// What the plan says is what the run does.
#[test]
fn plans_are_what_is_done() {
    let dir = TempDir::new().unwrap();
    let paths = write_frames(dir.path(), 5, &[300, 200]);
    let out = dir.path().join("out.fits");
    for engine in engines() {
        for (memory, stack) in [
            (64 << 20, Stack::files(&paths).unwrap()),
            (2 << 20, Stack::files(&paths).unwrap().combine(Combine::Median).maps(Map::OF_SAMPLES)),
            (3 << 20, Stack::files(&paths).unwrap().use_variance(false).reject(Reject::SigClip(Clip::default()))),
            (64 << 20, Stack::files(&paths).unwrap().variance_from(VarianceFrom::Scatter)),
            (
                4 << 20,
                Stack::files(&paths[1..]).unwrap().calibrate({
                    let flat = AstroData::open(&paths[0]).unwrap();
                    move |frame, e| Ok((frame - 3.0) / Expr::from(&flat[e]))
                }),
            ),
        ] {
            let stack = stack.memory(memory);
            let before = std::fs::metadata(&out).is_ok();
            let plan = stack.plan(&engine).unwrap();
            assert_eq!(std::fs::metadata(&out).is_ok(), before);
            let stats = stack.write(&engine, &out, true).unwrap();
            let said = (plan.bytes_read, plan.bytes_uploaded, plan.tiles);
            assert_eq!(said, (stats.bytes_read, stats.bytes_uploaded, stats.tiles), "{plan}");
            let device = plan.extensions.iter().map(|e| e.device_bytes).max().unwrap();
            assert_eq!(device, stats.peak_device_bytes, "{plan}");
            assert!(plan.extensions.iter().all(|e| e.host_bytes <= memory), "{plan}");
            assert_eq!(plan.frames as u64, stats.frames);
        }
    }
}

/// Frames that are computed, on both engines, with everything beside them.
#[test]
fn computed_frames_are_the_same_on_both_engines() {
    let Some(gpu) = gpu() else { return };
    let shape = [17, 23];
    let noisy = |n: usize| {
        let value = move |i: usize| ((i * 7919 + n * 104_729) % 1000) as f32;
        let mut nd = NDAstroData::new(filled(&shape, move |i| match (i + n) % 61 {
            0 => f32::NAN,
            1 => 60_000.0,
            _ => 500.0 + value(i) / 20.0,
        }))
        .with_variance(filled(&shape, move |i| if (i + n).is_multiple_of(53) { -1.0 } else { 20.0 + value(i) / 50.0 }))
        .unwrap();
        nd = nd
            .with_mask(filled(&shape, move |i| if (i + 3 * n).is_multiple_of(37) { 1u16 << (i % 10) } else { 0 }))
            .unwrap();
        nd
    };
    let (bias, mut flat) = (noisy(90), noisy(91));
    let values = filled(&shape, |i| if i.is_multiple_of(97) { 0.0 } else { 0.5 + (i % 7) as f32 / 10.0 });
    flat = NDAstroData::new(values)
        .with_variance(filled(&shape, |i| 1e-4 * (1 + i % 3) as f32))
        .unwrap()
        .with_mask(flat.mask().unwrap().unwrap().clone())
        .unwrap();
    for n in [1usize, 2, 5, 40] {
        let raw: Vec<NDAstroData> = (0..n).map(noisy).collect();
        for combine in Combine::COMMON {
            for reject in [Reject::None, Reject::SigClip(Clip::default()), Reject::VarClip(Clip::default())] {
                for scale in [None, Some((0..n).map(|i| 1.0 + i as f64 / 16.0).collect::<Vec<f64>>())] {
                    // All 40 take a driver's compiler long.
                    if n == 40 && (scale.is_some() || reject == Reject::None) {
                        continue;
                    }
                    let mut stack = Stack::expressions(raw.iter().map(|r| (r - &bias) / &flat))
                        .combine(combine)
                        .reject(reject)
                        .variance_from(VarianceFrom::Both)
                        .maps(Map::OF_SAMPLES);
                    if let Some(scale) = scale {
                        stack = stack.scale(scale);
                    }
                    let (a, on_cpu) = stack.eval(&cpu()).unwrap();
                    let (b, on_gpu) = stack.eval(&gpu).unwrap();
                    assert!(on_gpu.warnings.iter().all(|w| !w.contains("CPU")), "{:?}", on_gpu.warnings);
                    assert_eq!(on_cpu.rejected, on_gpu.rejected);
                    let what = format!("{n} frames, {combine:?}, {reject:?}");
                    // Values near 0 are the rest of samples about 1000 that cancelled.
                    let close = |name: &str, a: &Pixels, b: &Pixels, tolerance: f64| {
                        let least = if name == "data" { 100.0 } else { 0.0 };
                        for (i, (x, y)) in numbers(a).into_iter().zip(numbers(b)).enumerate() {
                            let same = x == y || (x.is_nan() && y.is_nan());
                            assert!(
                                same || (x - y).abs() <= tolerance * x.abs().max(least),
                                "{what}, {name} {i}: {x}, {y}"
                            );
                        }
                    };
                    close("data", a[0].data().unwrap(), b[0].data().unwrap(), 1e-6);
                    let variance = |ad: &AstroData| ad[0].variance().unwrap().unwrap().clone();
                    close("variance", &variance(&a), &variance(&b), 2e-6);
                    close("mask", a[0].mask().unwrap().unwrap(), b[0].mask().unwrap().unwrap(), 0.0);
                    for name in a[0].other_names() {
                        let of = |ad: &AstroData| ad[0].other(name).unwrap().unwrap().clone();
                        let exact = name.starts_with("REJ") || name == "NGOOD";
                        close(name, &of(&a), &of(&b), if exact { 0.0 } else { 2e-6 });
                    }
                }
            }
        }
    }
}

/// Each frame less the next: every frame but the ends is in two, and no two pairs share the same. Sums telescope, so the
/// variance of the mean is that of both ends alone. A device hands such frames to the CPU, and says so.
#[test]
fn frames_that_share_different_things() {
    let frames = frames(&[&[1.0, 9.0], &[4.0, 7.0], &[2.0, 5.0], &[8.0, 3.0]]);
    for engine in engines() {
        let stack = Stack::expressions(frames.windows(2).map(|pair| &pair[0] - &pair[1]));
        let (result, stats) = stack.eval(&engine).unwrap();
        let close = |a: Vec<f64>, b: [f64; 2]| a.iter().zip(b).all(|(x, y)| (x - y).abs() <= 1e-6 * y.abs());
        let (data, variance) = (result[0].data().unwrap(), result[0].variance().unwrap().unwrap());
        assert!(close(numbers(data), [-7.0 / 3.0, 2.0]), "{data:?} on {}", engine.name());
        assert!(close(numbers(variance), [8.0 / 9.0, 8.0 / 9.0]), "{variance:?} on {}", engine.name());
        let said = stats.warnings.iter().any(|w| w.contains("share") && w.contains("computed on the CPU"));
        assert_eq!(said, engine.adapter().is_some(), "{:?}", stats.warnings);
    }
}

/// One of five counts stands out of four that are the same: at 2 sigma of the mean exactly, whatever the counts are, which
/// a mean that is rounded does not say.
#[test]
fn counts_on_the_limit_about_the_mean_stay() {
    let folder = tempfile::tempdir().unwrap();
    let pixels = 700;
    let paths: Vec<_> = (0..5usize)
        .map(|f| {
            let value = |p: usize| (p * 83 % 50_000 + if f == 3 { 1 + p * 11 } else { 0 }) as u16;
            let path = folder.path().join(format!("{f}.fits"));
            let frame = NDAstroData::new(Array1::from_iter((0..pixels).map(value)));
            AstroData::from_extensions(Header::new(), vec![frame]).write(&path, false).unwrap();
            path
        })
        .collect();
    let stack = |hsigma| {
        let clip = Clip { hsigma, mclip: false, ..Clip::default() };
        let stack = Stack::files(&paths).unwrap().reject(Reject::SigClip(clip)).maps([Map::RejHigh]);
        let (result, _) = stack.eval(&cpu()).unwrap();
        map(&result[0], "REJHIGH")
    };
    assert_eq!(stack(2.0), vec![0.0; pixels]);
    assert_eq!(stack(1.999), vec![1.0; pixels]);
}

/// What `astropy.stats.sigma_clip(..., cenfunc="median", stdfunc="mad_std")` of astropy 8.0.2 leaves of nine frames: how many
/// samples are out, and the sum of the others. Some columns have more than half of their samples equal.
#[test]
fn clipping_by_deviation_is_that_of_astropy() {
    let value = |f: usize, j: usize| {
        if j.is_multiple_of(7) {
            return 100.0 + if f > 6 { 9.0 } else { 0.0 };
        }
        let up = if j.is_multiple_of(3) && f == j % 9 { 60.0 } else { 0.0 };
        let down = if j.is_multiple_of(5) && f == (j + 4) % 9 { 35.0 } else { 0.0 };
        (100 + (f * 37 + j * 61 + f * j * 13) % 23) as f32 + up - down
    };
    let samples: Vec<Vec<f32>> = (0..9).map(|f| (0..24).map(|j| value(f, j)).collect()).collect();
    let rows: Vec<&[f32]> = samples.iter().map(Vec::as_slice).collect();
    for (sigma, max_iters, out, sum) in [
        (
            3.0,
            None,
            [2, 0, 0, 1, 0, 1, 1, 2, 0, 1, 0, 0, 1, 0, 2, 1, 0, 0, 1, 0, 1, 2, 0, 0],
            [
                700, 995, 977, 885, 1010, 886, 968, 700, 984, 892, 959, 999, 904, 963, 700, 854, 978, 1006, 871, 993,
                909, 700, 1008, 990,
            ],
        ),
        (
            2.0,
            Some(1),
            [2, 0, 0, 1, 0, 1, 1, 2, 0, 1, 1, 0, 1, 0, 2, 2, 0, 0, 1, 0, 1, 2, 0, 0],
            [
                700, 995, 977, 885, 1010, 886, 968, 700, 984, 892, 875, 999, 904, 963, 700, 769, 978, 1006, 871, 993,
                909, 700, 1008, 990,
            ],
        ),
        (
            1.5,
            None,
            [2, 0, 0, 3, 0, 3, 1, 2, 3, 3, 6, 0, 1, 0, 2, 2, 0, 0, 2, 0, 2, 2, 0, 0],
            [
                700, 995, 977, 645, 1010, 683, 968, 700, 633, 669, 339, 999, 904, 963, 700, 769, 978, 1006, 751, 993,
                808, 700, 1008, 990,
            ],
        ),
    ] {
        let clip = Clip { lsigma: sigma, hsigma: sigma, max_iters, ..Clip::default() };
        let stack =
            Stack::new(self::frames(&rows)).combine(Combine::Sum).reject(Reject::MadClip(clip)).maps([Map::RejMap]);
        let (result, _) = stack.eval(&cpu()).unwrap();
        assert_eq!(map(&result[0], "REJMAP"), out.map(f64::from), "{sigma} sigma");
        assert_eq!(numbers(result[0].data().unwrap()), sum.map(f64::from), "{sigma} sigma");
    }
}
