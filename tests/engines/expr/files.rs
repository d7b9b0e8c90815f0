//! Operands that are still in files: scaled, with BLANK, by windows, compressed.

use ndastro::fits::{Compression, Header, Method};
use ndastro::{AstroData, Calculation, DType, Expr, NDAstroData, Window, WriteOptions};

use super::{Check, On, Operand, Outcome, a, b, bounds, check, claim, made, shaped};
use crate::cases::{text, write_raw};
use crate::compare::compare;

pub const ALL: &[(&str, Check)] = &[
    ("scaled_and_blank_from_files", scaled_and_blank_from_files),
    ("windows_of_files", windows_of_files),
    ("compressed_files", compressed_files),
    ("a_file_that_is_written_is_what_is_evaluated", a_file_that_is_written_is_what_is_evaluated),
];

fn scaled_and_blank_from_files(on: &On) -> Outcome {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let stored: [i64; 9] = [0, 1, 2, 100, 127, 255, 77, 3, 250];
    let variance = || shaped(vec![0.25f32; 9], &[9]);
    let whole = Operand::of(NDAstroData::new(shaped(vec![3f32; 9], &[9])).with_variance(variance()).map_err(text)?);
    for bitpix in [8i64, 16, 32, 64, -32, -64] {
        for (bscale, bzero) in [(1.0, 0.0), (0.1, -7.25), (1.0, 32768.0), (2.5e-3, 1e4)] {
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
                let what = format!("BITPIX {bitpix} BSCALE {bscale} BZERO {bzero} BLANK {blank:?}");
                let path = folder.path().join(format!("{bitpix}_{bscale}_{bzero}_{blank:?}.fits"));
                write_raw(&path, &cards, &bytes)?;
                let nd = AstroData::open(&path).map_err(text)?[0].clone();
                let operand = Operand::of(nd.clone());
                if let (true, Some(blank)) = (bitpix > 0, blank) {
                    let at = stored.iter().position(|&v| v == blank).expect("it is there");
                    claim(operand.data[at].is_nan(), || format!("{what}: BLANK is {}", operand.data[at]))?;
                }
                if nd.dtype() == DType::F32 || nd.dtype().to_string().contains("16") {
                    check(on, &(&a() * &b()), &[operand.clone(), whole.clone()], &what)?;
                }
                check(on, &(&(&a() - &b()) / &b()), &[operand, whole.clone()], &what)?;
            }
        }
    }
    Ok(())
}

fn windows_of_files(on: &On) -> Outcome {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = folder.path().join("cube.fits");
    AstroData::from_extensions(Header::new(), vec![made(&[5, 23, 17], 301, 0.5, 9.0)])
        .write(&path, false)
        .map_err(text)?;
    for window in [
        Window::new([1..4, 0..23, 0..17]),
        Window::new([2..3, 5..20, 0..17]),
        Window::new([0..5, 3..21, 2..15]),
        Window::new([4..5, 22..23, 16..17]),
    ] {
        let nd = AstroData::open(&path).map_err(text)?[0].window(&window).map_err(text)?;
        let other = Operand::of(made(&nd.shape(), 302, 0.5, 9.0));
        check(on, &(&a() / &b()), &[Operand::of(nd.clone()), other], &format!("window {window}"))?;
        // A whole against a window of it that repeats.
        let whole = AstroData::open(&path).map_err(text)?[0].clone();
        let row = whole.window(&Window::new([0..1, 3..4, 0..17])).map_err(text)?;
        check(on, &(&a() - &b()), &[Operand::of(whole), Operand::of(row)], "a file and a row of it")?;
    }
    Ok(())
}

/// Tiles that must be decoded, also for views that take them crosswise.
fn compressed_files(on: &On) -> Outcome {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let data = shaped((0..83 * 61).map(|i| (i * 7919 % 60_000) as u16).collect::<Vec<_>>(), &[83, 61]);
    let mask = shaped((0..83 * 61).map(|i| (i % 5) as u16).collect::<Vec<_>>(), &[83, 61]);
    let nd = NDAstroData::new(data).with_mask(mask).map_err(text)?;
    let path = folder.path().join("packed.fits");
    let ad = AstroData::from_extensions(Header::new(), vec![nd.clone()]);
    ad.write_with(&path, &WriteOptions::default().compression(Compression { method: Method::Rice, quantize: None }))
        .map_err(text)?;
    let open = || AstroData::open(&path).map(|ad| ad[0].clone()).map_err(text);
    let other = made(&[83, 61], 311, 0.5, 9.0);
    let expr = (open()? - &other) / &other;
    let operands = [Operand::of(open()?), Operand::of(other.clone())];
    check(on, &(&(&a() - &b()) / &b()), &operands, "packed")?;
    for slices in ["::-1, ::3", "5:70:2, 11", "40, ::-7", "82:, :", ":, 60:"] {
        let part = expr.slice(slices.parse::<ndastro::Slices>().map_err(text)?).map_err(text)?;
        let plain = ((&nd - &other) / &other).slice(slices.parse::<ndastro::Slices>().map_err(text)?).map_err(text)?;
        let (got, ..) = super::run(&part, on, None, &[])?;
        let (want, ..) = super::run(&plain, on, None, &[])?;
        claim(got.bits() == want.bits(), || format!("[{slices}] of a packed file differs from that of an array"))?;
    }
    Ok(())
}

fn a_file_that_is_written_is_what_is_evaluated(on: &On) -> Outcome {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = folder.path().join("result.fits");
    let (one, other) = (made(&[71, 67], 321, 0.5, 9.0).with_unit("adu"), made(&[71, 67], 322, 0.5, 9.0).with_unit("s"));
    let expr: Expr = &one / &other;
    let (want, _, nd) = super::run(&expr, on, None, &[])?;
    let calculation = Calculation::of(vec![expr.clone(), &one * 2.0]);
    calculation.write(&on.engine, &path, false).map_err(text)?;
    let file = AstroData::open(&path).map_err(text)?;
    let got = super::Got::of(&file[0])?;
    claim(file.len() == 2 && got.bits() == want.bits(), || "the file differs".into())?;
    claim(file[0].unit() == nd.unit() && file[1].unit().map(ndastro::Unit::as_str) == Some("adu"), || {
        format!("units {:?}", file[0].unit())
    })?;
    claim(got.mask_type == Some(DType::U16), || format!("a mask of {:?}", got.mask_type))?;
    let tree = &a() / &b();
    let again = super::wanted(&tree, &[Operand::of(one), Operand::of(other)], &[71, 67]);
    let data: Vec<f64> = again.iter().map(|p| p.value).collect();
    let planes = crate::compare::Planes { data: &data, ..got.planes() };
    compare(&got.planes(), &planes, &bounds(&tree, DType::F32))
}
