//! Real files, against astropy.

use ndastro::OpenOptions;

use super::*;

#[test]
fn every_image_reads_as_astropy_reads_it() {
    let mut seen = 0;
    for (path, hdus) in truth() {
        let readable: Vec<_> = hdus.iter().filter(|h| h["kind"] == "image" && !h["shape"].is_null()).collect();
        if readable.is_empty() {
            continue;
        }
        // Extensions, and the planes of each, are in file order in all these files.
        let ad = AstroData::open(&path).unwrap();
        let read: Vec<&Pixels> = ad.extensions().iter().flat_map(planes).collect();
        assert_eq!(read.len(), readable.len(), "{}: planes", path.display());
        for (pixels, want) in read.into_iter().zip(readable) {
            let at = format!("{} HDU {}", path.display(), want["index"]);
            assert_eq!(pixels.dtype().name(), want["dtype"], "{at}");
            assert_eq!(serde_json::json!(pixels.shape()), want["shape"], "{at}");
            if let Some(values) = scaled(&path, want["index"].as_u64().unwrap() as usize) {
                // astropy scales in float32 here; this crate in float64, rounded once.
                assert_eq!(
                    sha256(&values.clone().into()),
                    want["phys64_sha256_canon"],
                    "{at}: this test scales wrongly"
                );
                assert_eq!(sha256(pixels), sha256(&values.mapv(|v| v as f32).into()), "{at}");
            } else {
                assert_eq!(sha256(pixels), want["sha256_canon"], "{at}");
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 36, "images with a hash in truth.json");
}

/// The values of an image of BITPIX 16 that BSCALE scales, as float64, from the bytes of the file. Its BLANK, if it
/// has one, is left out here.
fn scaled(path: &Path, hdu: usize) -> Option<ArrayD<f64>> {
    let file = FitsFile::open(path).unwrap();
    let hdu = &file.hdus()[hdu];
    let scale = hdu.header.get_f64("BSCALE").filter(|&s| s != 1.0 && hdu.header.get("ZIMAGE").is_none())?;
    let zero = hdu.header.get_f64("BZERO").unwrap_or(0.0);
    assert_eq!((hdu.bitpix, hdu.header.get_i64("BLANK")), (16, None), "{}", path.display());
    let bytes = &fs::read(path).unwrap()[hdu.data.start as usize..hdu.data.end as usize];
    let stored = |i: usize| f64::from(i16::from_be_bytes([bytes[2 * i], bytes[2 * i + 1]]));
    Some(filled(&hdu.shape, |i| stored(i) * scale + zero))
}

#[test]
fn every_hdu_is_named_by_kind_and_shape() {
    for (path, want) in truth().into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "fits")) {
        let file = FitsFile::open(&path).unwrap();
        assert_eq!(file.hdus().len(), want.len(), "{}", path.display());
        for (hdu, want) in file.hdus().iter().zip(&want) {
            let at = format!("{} HDU {}", path.display(), want["index"]);
            assert_eq!(serde_json::json!(hdu.index), want["index"], "{at}");
            assert_eq!(hdu.kind.name().replace("bintable", "table"), want["kind"], "{at}");
            assert_eq!(hdu.has_pixels(), want["kind"] == "image" && !want["shape"].is_null(), "{at}");
            if hdu.has_pixels() {
                assert_eq!(serde_json::json!(hdu.shape), want["shape"], "{at}");
                assert_eq!(hdu.format.unwrap().dtype().name(), want["dtype"], "{at}");
            }
            // A compressed image has two names in its header, and astropy takes the other one.
            if want["compressed"].is_null() {
                let named = want.get("name").map(|n| n.as_str().unwrap());
                assert_eq!(hdu.name.as_deref(), named, "{at}");
            }
        }
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_what_to_do() {
    let refused = |name: &str| AstroData::open(data("images").join(name)).err().unwrap().to_string();
    for (name, holds) in [
        ("group.fits", "0 groups"),
        ("random_groups.fits", "0 groups"),
        ("tb.fits", "1 bintable"),
        ("table_vla.fits", "1 (VLA) bintable"),
        ("extend_primary.fits", "0 image"),
    ] {
        assert_says(&refused(name), &[name, "no image", holds]);
    }

    let file = FitsFile::open(data("images/multi_hdu.fits")).unwrap();
    for (hdu, why) in [(0, "no pixels"), (2, "not an image"), (3, "not an image"), (9, "4 HDUs")] {
        assert_says(&file.section(hdu).unwrap_err().to_string(), &["multi_hdu.fits", &hdu.to_string(), why]);
    }
}

/// The values that `tests/data/make.py` puts into its files.
fn ramp<T>(start: f64, step: f64, cast: impl Fn(f64) -> T) -> ArrayD<T> {
    filled(&[5, 7], |i| cast(start + step * i as f64))
}

fn flags(shift: usize) -> ArrayD<u16> {
    filled(&[5, 7], |i| if i % 3 == 0 { 1 << ((i + shift) % 7) } else { 0 })
}

#[test]
fn planes_without_extver_go_together_by_order() {
    let ad = AstroData::open(data("images/mef_order.fits")).unwrap();
    assert_eq!(ad.len(), 2);
    for (group, nd) in ad.extensions().iter().enumerate() {
        let first = group as f64 + 1.0;
        assert_eq!(nd.data().unwrap(), &Pixels::from(ramp(100.0 * first, 0.5, |v| v as f32)));
        assert_eq!(nd.variance().unwrap(), Some(&Pixels::from(ramp(first, 0.25, |v| v as f32))));
        assert_eq!(nd.mask().unwrap(), Some(&Pixels::from(flags(group))));
        assert_eq!((nd.name(), nd.ver(), nd.unit().map(Unit::as_str)), ("SCI", None, Some("adu")));
    }
}

#[test]
fn an_image_in_the_primary_takes_its_mask() {
    let ad = AstroData::open(data("images/primary_plus_dq.fits")).unwrap();
    assert_eq!(ad.len(), 1);
    assert_eq!(ad[0].data().unwrap(), &Pixels::from(ramp(1000.0, 3.0, |v| v as i16)));
    assert_eq!(ad[0].variance().unwrap(), None);
    assert_eq!(ad[0].mask().unwrap(), Some(&Pixels::from(flags(3))));
    assert_eq!(ad[0].unit().map(Unit::as_str), Some("adu"));
}

#[test]
fn extensions_are_found_by_name_and_version() {
    let ad = AstroData::open(data("images/o4sp040b0_raw.fits")).unwrap();
    assert_eq!(ad.get("sci", 2).unwrap().data().unwrap(), ad[1].data().unwrap());
    assert!(ad.get("SCI", 3).is_none() && ad.get("ERR", 1).is_none());
    assert!(ad.left_out().is_empty());
}

/// Read calls in place of the mapping: the same pixels, and a file that changes is no less noticed.
#[test]
fn without_mapping_it_is_the_same() {
    let unmapped = OpenOptions::default().no_mmap(true);
    for (path, _) in truth() {
        let Ok(want) = AstroData::open(&path) else { continue };
        let got = AstroData::open_with(&path, &unmapped).unwrap();
        for (a, b) in want.iter().zip(&got) {
            let same = planes(a).into_iter().zip(planes(b)).all(|(a, b)| sha256(a) == sha256(b));
            assert!(same, "{}", path.display());
            let window = Window::new(a.shape().iter().map(|&n| n / 3..n));
            let [a, b] = [a, b].map(|nd| sha256(nd.window(&window).unwrap().data().unwrap()));
            assert_eq!(a, b, "{}", path.display());
        }
    }
    let dir = TempDir::new().unwrap();
    let frames = write_frames(dir.path(), 3, &[67, 130]);
    let open = || frames.iter().map(|p| AstroData::open_with(p, &unmapped).unwrap()).collect::<Vec<_>>();
    for engine in engines() {
        let want = Stack::files(&frames).unwrap().eval(&engine).unwrap().0;
        let (got, stats) = Stack::of(open()).memory(1 << 20).eval(&engine).unwrap();
        assert_eq!(planes(&got[0]), planes(&want[0]), "{}", engine.describe());
        assert!(stats.bytes_read > 3 * 67 * 130 * 8);
    }
    let stack = Stack::of(open());
    let whole = fs::read(&frames[1]).unwrap();
    fs::write(&frames[1], &whole[..whole.len() / 2]).unwrap();
    let said = stack.eval(&Engine::cpu(2).unwrap()).unwrap_err().to_string();
    assert_says(&said, &["frame_1.fits", "changed"]);
}
