//! Stacks of made frames against the oracle.
//!
//! Bounds: data and variance within 4 ULP of the oracle in the type of the result, masks exactly.

use ndastro::{AstroData, DType, Engine, NDAstroData, Stack, Stats, Window, fits::Header};

use crate::Check;
use crate::compare::{Bounds, Planes, Tolerance, compare};
use crate::frames::{Made, Recipe, Type, make};
use crate::oracle::{LEVELS, Pixel, mean};

pub const ALL: &[(&str, Check)] = &[
    ("ugly_shapes", ugly_shapes),
    ("frame_counts", frame_counts),
    ("a_thousand_frames", a_thousand_frames),
    ("with_and_without_variance_and_mask", with_and_without_variance_and_mask),
    ("every_type", every_type),
    ("types_that_need_f64", types_that_need_f64),
    ("mixed_types", mixed_types),
    ("scale_and_zero", scale_and_zero),
    ("high_level", high_level),
    ("more_pixels_than_one_dispatch", more_pixels_than_one_dispatch),
    ("a_frame_without_mask", a_frame_without_mask),
    ("a_frame_without_variance", a_frame_without_variance),
    ("tiles_do_not_matter", tiles_do_not_matter),
    ("threads_do_not_matter", threads_do_not_matter),
    ("from_files_and_windows", from_files_and_windows),
    ("scaled_and_blank_on_disk", scaled_and_blank_on_disk),
    ("negative_variances_are_counted", negative_variances_are_counted),
];

/// What a stack came to, as numbers.
pub struct Got {
    pub data: Vec<f64>,
    pub variance: Vec<f64>,
    pub dq: Vec<u32>,
    pub dtype: DType,
}

impl Got {
    pub fn of(nd: &NDAstroData) -> Result<Got, String> {
        let values = |p: &ndastro::Pixels| p.to_f64().into_iter().collect::<Vec<f64>>();
        let data = nd.data().map_err(text)?;
        let variance = nd.variance().map_err(text)?.ok_or("no variance came out")?;
        // A stack whose pixels can never be flagged has no mask: all are good.
        let dq = match nd.mask().map_err(text)? {
            Some(mask) => values(mask).into_iter().map(|v| v as u32).collect(),
            None => vec![0; data.len()],
        };
        Ok(Got { data: values(data), variance: values(variance), dq, dtype: data.dtype() })
    }

    pub fn planes(&self) -> Planes<'_> {
        Planes { data: &self.data, variance: &self.variance, dq: &self.dq }
    }
}

pub fn text(e: ndastro::Error) -> String {
    e.to_string()
}

/// The oracle's answer for all pixels.
fn oracle(made: &Made, recipe: &Recipe) -> Vec<Pixel> {
    let n = recipe.frames;
    let scale = recipe.scale.clone().unwrap_or_else(|| vec![1.0; n]);
    let zero = recipe.zero.clone().unwrap_or_else(|| vec![0.0; n]);
    made.samples.iter().map(|s| mean(s, &scale, &zero, &LEVELS)).collect()
}

fn against(got: &Got, want: &[Pixel]) -> Result<(), String> {
    let ulp = match got.dtype {
        DType::F64 => Tolerance::Ulp64(4),
        _ => Tolerance::Ulp32(4),
    };
    let data: Vec<f64> = want.iter().map(|p| p.value).collect();
    let variance: Vec<f64> = want.iter().map(|p| p.variance).collect();
    let dq: Vec<u32> = want.iter().map(|p| p.dq).collect();
    let planes = Planes { data: &data, variance: &variance, dq: &dq };
    compare(&got.planes(), &planes, &Bounds { data: ulp, variance: ulp })
}

fn stack(made: &Made, recipe: &Recipe) -> Stack {
    let mut stack = Stack::new(made.frames.iter().cloned());
    if let Some(scale) = &recipe.scale {
        stack = stack.scale(scale.clone());
    }
    if let Some(zero) = &recipe.zero {
        stack = stack.zero(zero.clone());
    }
    stack
}

/// The stack, computed by this engine and no other.
pub fn evaluate(stack: &Stack, engine: &Engine) -> Result<Got, String> {
    let (result, stats) = stack.eval(engine).map_err(text)?;
    by_the_engine(&stats)?;
    Got::of(&result[0])
}

/// A fallback would compare the CPU with itself. An adapter without 64-bit floats leaves what needs them to the CPU.
pub fn by_the_engine(stats: &Stats) -> Result<(), String> {
    match stats.warnings.iter().find(|w| w.contains("CPU") && !w.contains("no 64-bit floats")) {
        Some(w) => Err(format!("the engine did not do it: {w}")),
        None => Ok(()),
    }
}

fn check(engine: &Engine, recipe: &Recipe) -> Result<(), String> {
    let made = make(recipe, 7 + recipe.frames as u64);
    let got = evaluate(&stack(&made, recipe), engine).map_err(|e| format!("{recipe:?}: {e}"))?;
    against(&got, &oracle(&made, recipe)).map_err(|e| format!("{recipe:?}:\n{e}"))
}

fn ugly_shapes(engine: &Engine) -> Result<(), String> {
    let shapes: [&[usize]; 14] = [
        &[1],
        &[1, 1],
        &[63],
        &[64],
        &[65],
        &[1, 64],
        &[64, 1],
        &[7, 13],
        &[127, 131],
        &[2, 70_001],
        &[3, 5, 7],
        &[1, 1, 97],
        &[2, 3, 5, 11],
        &[257, 1],
    ];
    shapes.iter().try_for_each(|shape| check(engine, &Recipe::new(shape, 5)))
}

fn frame_counts(engine: &Engine) -> Result<(), String> {
    [1, 2, 3, 5, 20, 33, 100, 300].iter().try_for_each(|&n| {
        check(engine, &Recipe::new(&[11, 29], n))?;
        check(engine, &Recipe { variance: false, ..Recipe::new(&[11, 29], n) })
    })
}

fn a_thousand_frames(engine: &Engine) -> Result<(), String> {
    check(engine, &Recipe { level: 1e5, ..Recipe::new(&[3, 67], 1000) })
}

fn with_and_without_variance_and_mask(engine: &Engine) -> Result<(), String> {
    for (variance, mask, nasty) in [(true, false, true), (false, true, true), (false, false, true), (true, true, false)]
    {
        check(engine, &Recipe { variance, mask, nasty, ..Recipe::new(&[31, 33], 9) })?;
    }
    Ok(())
}

fn every_type(engine: &Engine) -> Result<(), String> {
    for (t, level) in
        [(Type::U8, 100.0), (Type::I8, -20.0), (Type::I16, -300.0), (Type::U16, 60_000.0), (Type::F32, 1e-20)]
    {
        for variance in [true, false] {
            check(engine, &Recipe { types: vec![t], level, variance, ..Recipe::new(&[17, 19], 6) })?;
        }
    }
    Ok(())
}

fn types_that_need_f64(engine: &Engine) -> Result<(), String> {
    let types = [
        (Type::I32, -2.0e9),
        (Type::U32, 4.0e9),
        (Type::I64, -9.0e18),
        (Type::I64, 123_456_789_012_345_678.0),
        (Type::U64, 1.8e19),
        (Type::F64, 1e-200),
        (Type::F64, 1e6),
    ];
    for (t, level) in types {
        for variance in [true, false] {
            check(engine, &Recipe { types: vec![t], level, variance, ..Recipe::new(&[17, 19], 6) })?;
        }
    }
    Ok(())
}

fn mixed_types(engine: &Engine) -> Result<(), String> {
    check(engine, &Recipe { types: vec![Type::U16, Type::F32, Type::I16], ..Recipe::new(&[9, 31], 8) })?;
    let types = vec![Type::U16, Type::F64, Type::F32, Type::I32, Type::U8];
    check(engine, &Recipe { types, level: 200.0, ..Recipe::new(&[9, 31], 11) })
}

fn scale_and_zero(engine: &Engine) -> Result<(), String> {
    let scale = Some(vec![1.0, 0.95, 1.1, 1.0 / 3.0, 1e-3, 7.7]);
    let zero = Some(vec![-5.0, 0.1, 0.0, 1e-9, 12345.678, -0.3]);
    for variance in [true, false] {
        let both = Recipe { scale: scale.clone(), zero: zero.clone(), variance, ..Recipe::new(&[13, 37], 6) };
        check(engine, &both)?;
        check(engine, &Recipe { zero: None, ..both.clone() })?;
        check(engine, &Recipe { scale: None, ..both.clone() })?;
        // The level is taken away: what is left must still be right to its own last places.
        let away = Some(vec![-1000.0; 6]);
        check(engine, &Recipe { scale: None, zero: away, nasty: false, ..both.clone() })?;
        check(engine, &Recipe { types: vec![Type::F64], ..both })?;
    }
    Ok(())
}

fn high_level(engine: &Engine) -> Result<(), String> {
    for n in [2, 20, 200] {
        check(engine, &Recipe { level: 1e6, variance: false, ..Recipe::new(&[5, 101], n) })?;
    }
    Ok(())
}

/// 65,535 workgroups of 64 lanes are 4,194,240 pixels.
fn more_pixels_than_one_dispatch(engine: &Engine) -> Result<(), String> {
    check(engine, &Recipe { mask: false, types: vec![Type::U16], ..Recipe::new(&[2100, 2003], 2) })
}

fn a_frame_without_mask(engine: &Engine) -> Result<(), String> {
    let recipe = Recipe::new(&[20, 21], 4);
    let mut made = make(&recipe, 3);
    let bare = make(&Recipe { mask: false, ..recipe.clone() }, 3);
    made.frames[2] = bare.frames[2].clone();
    for (samples, without) in made.samples.iter_mut().zip(&bare.samples) {
        samples[2] = without[2];
    }
    against(&evaluate(&stack(&made, &recipe), engine)?, &oracle(&made, &recipe))
}

/// Then the variance is the scatter, and no variance is read.
fn a_frame_without_variance(engine: &Engine) -> Result<(), String> {
    let recipe = Recipe { variance: false, ..Recipe::new(&[20, 21], 4) };
    let mut made = make(&recipe, 3);
    let with = make(&Recipe { variance: true, ..recipe.clone() }, 3);
    made.frames[1] = with.frames[1].clone();
    against(&evaluate(&stack(&made, &recipe), engine)?, &oracle(&made, &recipe))
}

fn bits(got: &Got) -> (Vec<u64>, Vec<u64>, &[u32]) {
    let b = |v: &[f64]| v.iter().map(|x| x.to_bits()).collect();
    (b(&got.data), b(&got.variance), &got.dq)
}

/// Any budget: bit-identical results, also where a row is cut.
fn tiles_do_not_matter(engine: &Engine) -> Result<(), String> {
    for (variance, mask) in [(true, true), (false, true), (false, false)] {
        let recipe = Recipe { variance, mask, ..Recipe::new(&[7, 3001], 20) };
        let made = make(&recipe, 1);
        let whole = evaluate(&stack(&made, &recipe), engine)?;
        // The first cuts rows; the last holds all.
        let first = if engine.adapter().is_some() { 400 << 10 } else { 100 << 10 };
        for memory in [first, 3 * first, 64 << 20] {
            let (result, stats) = stack(&made, &recipe).memory(memory).eval(engine).map_err(text)?;
            if memory == first && stats.tiles <= 7 {
                return Err(format!("{memory} bytes made {} tiles; nothing was tested", stats.tiles));
            }
            if stats.peak_device_bytes > memory {
                return Err(format!("{memory} bytes allowed, {} held on the device", stats.peak_device_bytes));
            }
            if bits(&Got::of(&result[0])?) != bits(&whole) {
                return Err(format!("{memory} bytes of memory, {} tiles: the result differs", stats.tiles));
            }
        }
    }
    Ok(())
}

fn threads_do_not_matter(engine: &Engine) -> Result<(), String> {
    let recipe = Recipe::new(&[61, 67], 7);
    let made = make(&recipe, 2);
    let want = evaluate(&stack(&made, &recipe), engine)?;
    for threads in [1, 2, 5] {
        let other = match engine.adapter() {
            Some(name) => Engine::gpu(Some(name), threads),
            None => Engine::cpu(threads),
        };
        let got = evaluate(&stack(&made, &recipe), &other.map_err(text)?)?;
        if bits(&got) != bits(&want) {
            return Err(format!("{threads} threads: the result differs"));
        }
    }
    Ok(())
}

/// Big-endian bytes of a mapping, whole and by windows that are not one run of bytes, against the same in memory.
fn from_files_and_windows(engine: &Engine) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let types =
        [Type::U8, Type::I8, Type::I16, Type::U16, Type::F32, Type::I32, Type::U32, Type::I64, Type::U64, Type::F64];
    for t in types {
        let recipe = Recipe { types: vec![t], level: 120.0, ..Recipe::new(&[5, 23, 17], 3) };
        let made = make(&recipe, 9);
        let mut files = Vec::new();
        for (i, nd) in made.frames.iter().enumerate() {
            let path = folder.path().join(format!("{t:?}_{i}.fits"));
            AstroData::from_extensions(Header::new(), vec![nd.clone()]).write(&path, false).map_err(text)?;
            files.push(AstroData::open(&path).map_err(text)?);
        }
        for window in [
            Window::full(&recipe.shape),
            Window::new([1..4, 0..23, 0..17]),
            Window::new([2..3, 5..20, 0..17]),
            Window::new([0..5, 3..21, 2..15]),
            Window::new([4..5, 22..23, 16..17]),
        ] {
            let part = |nd: &NDAstroData| nd.window(&window).map_err(text);
            let lazy = files.iter().map(|f| part(&f[0])).collect::<Result<Vec<_>, _>>()?;
            let memory = made.frames.iter().map(part).collect::<Result<Vec<_>, _>>()?;
            let got = evaluate(&Stack::new(lazy), engine)?;
            let want = evaluate(&Stack::new(memory), engine)?;
            if got.data.len() != window.len() || bits(&got) != bits(&want) {
                return Err(format!("{t:?}, window {window}: from the file it differs"));
            }
        }
    }
    Ok(())
}

/// One primary image with these cards and big-endian bytes.
pub fn write_raw(path: &std::path::Path, cards: &[(&str, String)], bytes: &[u8]) -> Result<(), String> {
    let mut file: Vec<u8> = Vec::new();
    let all = [("SIMPLE", "T".to_string())].into_iter().chain(cards.iter().cloned());
    for (key, value) in all {
        file.extend_from_slice(format!("{:<80}", format!("{key:<8}= {value:>20}")).as_bytes());
    }
    file.extend_from_slice(format!("{:<80}", "END").as_bytes());
    file.resize(file.len().next_multiple_of(2880), b' ');
    file.extend_from_slice(bytes);
    file.resize(file.len().next_multiple_of(2880), 0);
    std::fs::write(path, file).map_err(|e| e.to_string())
}

/// BSCALE, BZERO and BLANK of every BITPIX, against the formula.
fn scaled_and_blank_on_disk(engine: &Engine) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = folder.path().join("scaled.fits");
    let stored: [i64; 9] = [0, 1, 2, 100, 127, 255, 77, 3, 250];
    for bitpix in [8i64, 16, 32, 64, -32, -64] {
        for (bscale, bzero) in [(1.0, 0.0), (0.1, -7.25), (1.0, 32768.0), (2.5e-3, 1e4), (1.0, 0.5)] {
            for blank in [None, Some(0i64), Some(77)] {
                let bytes: Vec<u8> = stored
                    .iter()
                    .flat_map(|&v| match bitpix {
                        8 => (v as u8).to_be_bytes().to_vec(),
                        16 => (v as i16).to_be_bytes().to_vec(),
                        32 => (v as i32).to_be_bytes().to_vec(),
                        64 => v.to_be_bytes().to_vec(),
                        -32 => (v as f32).to_be_bytes().to_vec(),
                        _ => (v as f64).to_be_bytes().to_vec(),
                    })
                    .collect();
                let mut cards = vec![("BITPIX", bitpix.to_string()), ("NAXIS", "1".into()), ("NAXIS1", "9".into())];
                cards.extend([("BSCALE", format!("{bscale:?}")), ("BZERO", format!("{bzero:?}"))]);
                cards.extend(blank.map(|b| ("BLANK", b.to_string())));
                write_raw(&path, &cards, &bytes)?;
                let got = evaluate(&Stack::files([&path]).map_err(text)?, engine)?;
                for (i, &v) in stored.iter().enumerate() {
                    let is_blank = bitpix > 0 && blank == Some(v);
                    let exact = bscale * v as f64 + bzero;
                    let rounded = if got.dtype == DType::F64 { exact } else { f64::from(exact as f32) };
                    let (want, dq) = if is_blank { (0.0, 16) } else { (rounded, 0) };
                    if (got.data[i], got.dq[i]) != (want, dq) {
                        let what = format!("BITPIX {bitpix} BSCALE {bscale} BZERO {bzero} BLANK {blank:?}, stored {v}");
                        return Err(format!(
                            "{what}: {} and DQ {} found, {want} and {dq} expected",
                            got.data[i], got.dq[i]
                        ));
                    }
                }
            }
        }
    }
    Ok(())
}

fn negative_variances_are_counted(engine: &Engine) -> Result<(), String> {
    let frame = |v: f32| {
        let nd = NDAstroData::new(ndarray::arr2(&[[1f32, 2.0], [3.0, 4.0]]));
        nd.with_variance(ndarray::arr2(&[[v, 1.0], [v, 2.0]])).map_err(text)
    };
    let (result, stats) = Stack::new([frame(-4.0)?, frame(2.0)?]).eval(engine).map_err(text)?;
    let got = Got::of(&result[0])?;
    if got.variance != [0.5, 0.5, 0.5, 1.0] {
        return Err(format!("variances {:?}", got.variance));
    }
    match stats.warnings.as_slice() {
        [w] if w.starts_with("2 variances below zero") => Ok(()),
        other => Err(format!("warnings {other:?}")),
    }
}
