//! How observatories name the planes of an image, and what is carried besides.

use ndastro::fits::{HduSpec, Layout, UncertaintyKind};
use ndastro::{OpenOptions, WriteOptions};

use super::*;

const SMALL: [usize; 2] = [4, 6];

fn sigma() -> ArrayD<f32> {
    filled(&SMALL, |i| 0.5 + i as f32)
}

fn squares() -> ArrayD<f32> {
    sigma().mapv(|s| s * s)
}

fn science() -> ArrayD<f32> {
    filled(&SMALL, |i| 100.0 + 3.0 * i as f32)
}

fn flags() -> ArrayD<u16> {
    filled(&SMALL, |i| if i == 7 { 4 } else { 0 })
}

fn open(path: &Path, layout: Layout) -> AstroData {
    AstroData::open_with(path, &OpenOptions::default().layout(layout)).unwrap()
}

/// EXTNAME, EXTVER (0 for none), pixels, further cards.
type Image<'a> = (&'a str, i64, Pixels, &'a [(&'a str, &'a str)]);

/// A file of images of which the first is in the primary if it has no name.
fn write(path: &Path, images: &[Image<'_>]) {
    let mut hdus: Vec<HduSpec> = Vec::new();
    for (name, ver, pixels, cards) in images {
        let mut spec = ndastro::fits::ImageSpec::new(name, *ver, pixels.shape(), pixels.dtype());
        if name.is_empty() {
            (spec.name, spec.ver) = (None, None);
        }
        if *ver == 0 {
            spec.ver = None;
        }
        for (key, value) in *cards {
            spec.header.set(key, *value, "");
        }
        hdus.push(HduSpec::Image(spec));
    }
    if !images[0].0.is_empty() {
        hdus.insert(0, HduSpec::Header(Header::new()));
    }
    let mut writer = ndastro::fits::FitsWriter::with_hdus(path, true, hdus).unwrap();
    for (i, (_, _, pixels, _)) in images.iter().enumerate() {
        writer.write_image(i, pixels).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn a_standard_deviation_is_kept_and_read_as_a_variance() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("flt.fits");
    write(
        &path,
        &[
            ("SCI", 1, science().into(), &[("BUNIT", "ELECTRONS")]),
            ("ERR", 1, sigma().into(), &[]),
            ("DQ", 1, flags().into(), &[]),
            ("SAMP", 1, flags().into(), &[]),
        ],
    );
    let ad = AstroData::open(&path).unwrap();
    assert_eq!((ad.layout(), ad.len()), (Layout::Hst, 1));
    let nd = &ad[0];
    assert_eq!(nd.uncertainty_kind(), Some(UncertaintyKind::StdDev));
    assert_eq!(nd.uncertainty().unwrap(), Some(&sigma().into()));
    assert_eq!(nd.variance().unwrap(), Some(&squares().into()));
    assert_eq!(nd.mask().unwrap(), Some(&flags().into()));
    assert_eq!(nd.other_names().collect::<Vec<_>>(), ["SAMP"]);
    assert_eq!(nd.other("samp").unwrap(), Some(&flags().into()));
    assert_eq!(nd.other("TIME").unwrap(), None);

    // Written and read again it is what it was.
    let copy = dir.path().join("copy.fits");
    ad.write(&copy, false).unwrap();
    let back = AstroData::open(&copy).unwrap();
    assert_eq!((back.layout(), back[0].uncertainty_kind()), (Layout::Hst, Some(UncertaintyKind::StdDev)));
    assert_eq!(back[0].uncertainty().unwrap(), Some(&sigma().into()));
    assert_eq!(back[0].other("SAMP").unwrap(), Some(&flags().into()));

    // Asked for, every image is an extension of its own.
    assert_eq!(open(&path, Layout::Plain).len(), 4);
}

/// What a stack makes of standard deviations and inverse variances is what it makes of the variances, on both engines.
#[test]
fn a_stack_propagates_every_kind() {
    let frames = |kind: Option<UncertaintyKind>| -> Vec<NDAstroData> {
        (0..3)
            .map(|n| {
                let sigma = sigma().mapv(|s| (s + n as f32) * 0.25);
                let nd = NDAstroData::new(science().mapv(|v| v + n as f32));
                match kind {
                    None => nd.with_variance(sigma.mapv(|s| s * s)),
                    Some(UncertaintyKind::InverseVariance) => {
                        nd.with_uncertainty(sigma.mapv(|s| 1.0 / (s * s)), UncertaintyKind::InverseVariance)
                    }
                    Some(kind) => nd.with_uncertainty(sigma, kind),
                }
                .unwrap()
            })
            .collect()
    };
    for engine in engines() {
        let stacked = |kind| Stack::new(frames(kind)).eval(&engine).unwrap().0;
        let want = stacked(None);
        let got = stacked(Some(UncertaintyKind::StdDev));
        assert_eq!(planes(&got[0])[..2], planes(&want[0])[..2], "{}", engine.describe());
        let got = stacked(Some(UncertaintyKind::InverseVariance));
        let pairs = |ad: &AstroData| ad[0].variance().unwrap().unwrap().to_f64();
        for (a, b) in pairs(&got).iter().zip(&pairs(&want)) {
            assert!((a / b - 1.0).abs() < 1e-6, "{}: {a} {b}", engine.describe());
        }
        // One that nobody knows is not propagated: the variance is that of the scatter.
        let unknown = stacked(Some(UncertaintyKind::Unknown));
        let none = Stack::new(frames(None)).use_variance(false).eval(&engine).unwrap().0;
        assert_eq!(unknown[0].variance().unwrap(), none[0].variance().unwrap());
    }
}

#[test]
fn ccddata_keeps_its_kind_and_its_place_in_the_primary() {
    let dir = TempDir::new().unwrap();
    for (utype, kind, stored) in [
        ("StdDevUncertainty", UncertaintyKind::StdDev, sigma()),
        ("VarianceUncertainty", UncertaintyKind::Variance, squares()),
        ("InverseVariance", UncertaintyKind::InverseVariance, squares().mapv(|v| 1.0 / v)),
    ] {
        let path = dir.path().join("ccd.fits");
        let mask: ArrayD<u8> = filled(&SMALL, |i| u8::from(i == 3));
        write(
            &path,
            &[
                ("", 0, science().into(), &[("BUNIT", "adu"), ("OBJECT", "M 51")]),
                ("MASK", 0, mask.clone().into(), &[]),
                ("UNCERT", 0, stored.clone().into(), &[("UTYPE", utype)]),
                ("PSFIMAGE", 0, filled(&[3, 3], |i| i as f32).into(), &[]),
            ],
        );
        let ad = AstroData::open(&path).unwrap();
        assert_eq!((ad.layout(), ad.len(), ad[0].unit().map(Unit::as_str)), (Layout::Ccddata, 1, Some("adu")));
        assert_eq!(ad[0].uncertainty_kind(), Some(kind));
        assert_eq!(ad[0].mask().unwrap(), Some(&mask.clone().into()));
        for (got, want) in ad[0].variance().unwrap().unwrap().to_f64().iter().zip(&squares()) {
            assert!((got / f64::from(*want) - 1.0).abs() < 3e-7);
        }
        // A window cuts what has the shape of the image, and leaves the rest whole.
        let part = ad[0].window(&Window::new([1..3, 2..6])).unwrap();
        assert_eq!(part.other("PSFIMAGE").unwrap().unwrap().shape(), [3, 3]);

        let copy = dir.path().join("copy.fits");
        ad.write(&copy, true).unwrap();
        let file = FitsFile::open(&copy).unwrap();
        let names: Vec<Option<&str>> = file.hdus().iter().map(|h| h.name.as_deref()).collect();
        assert_eq!(names, [None, Some("MASK"), Some("UNCERT"), Some("PSFIMAGE")]);
        assert!(file.hdus()[0].has_pixels() && file.hdus()[1].ver.is_none());
        let back = AstroData::open(&copy).unwrap();
        assert_eq!((back.layout(), back[0].uncertainty_kind()), (Layout::Ccddata, Some(kind)));
        assert_eq!(back[0].uncertainty().unwrap(), Some(&stored.into()));
        assert_eq!(back.phu().get_str("OBJECT").as_deref(), Some("M 51"));
    }
}

#[test]
fn lsst_names() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("exposure.fits");
    let mask: ArrayD<i32> = filled(&SMALL, |i| 1 << (i % 20));
    write(
        &path,
        &[
            ("IMAGE", 0, science().into(), &[]),
            ("MASK", 0, mask.clone().into(), &[]),
            ("VARIANCE", 0, squares().into(), &[]),
        ],
    );
    let ad = AstroData::open(&path).unwrap();
    assert_eq!((ad.layout(), ad.len()), (Layout::Lsst, 1));
    assert_eq!(ad[0].variance().unwrap(), Some(&squares().into()));
    assert_eq!(ad[0].mask().unwrap(), Some(&mask.into()));
}

#[test]
fn planes_of_another_shape_are_refused_by_name() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("wrong.fits");
    write(&path, &[("SCI", 1, science().into(), &[]), ("ERR", 1, filled(&[4, 5], |_| 1f32).into(), &[])]);
    let said = AstroData::open(&path).unwrap_err().to_string();
    assert_says(&said, &["wrong.fits", "HDU 2", "[4, 5]", "[4, 6]"]);
}

/// Tables go through byte for byte, header and padding included, wherever they stand.
#[test]
fn tables_are_carried_byte_for_byte() {
    let dir = TempDir::new().unwrap();
    let (path, copy) = (dir.path().join("in.fits"), dir.path().join("copy.fits"));
    let source = FitsFile::open(data("images/multi_hdu.fits")).unwrap();
    let tables: Vec<_> = (0..source.hdus().len()).filter(|&i| !source.hdus()[i].has_pixels() && i > 0).collect();
    assert_eq!(tables.len(), 2);
    let mut ad = AstroData::from_extensions(Header::new(), vec![frame(0, &SMALL), frame(1, &SMALL)]);
    for &i in &tables {
        ad.append_table(source.raw(i).unwrap());
    }
    ad.write(&path, false).unwrap();
    let ad = AstroData::open(&path).unwrap();
    assert_eq!((ad.len(), ad.tables().len()), (2, 2));
    ad.write(&copy, false).unwrap();

    let bytes = |file: &FitsFile, i: usize| {
        let (all, h) = (fs::read(file.path()).unwrap(), &file.hdus()[i]);
        all[h.start as usize..(h.data.end as usize).next_multiple_of(BLOCK)].to_vec()
    };
    let copied = FitsFile::open(&copy).unwrap();
    for (n, &i) in tables.iter().enumerate() {
        assert_eq!(bytes(&copied, 7 + n), bytes(&source, i), "table {i}");
        let h = &source.hdus()[i];
        let whole = fs::read(source.path()).unwrap();
        assert_eq!(ad.tables()[n].read().unwrap(), whole[h.data.start as usize..h.data.end as usize]);
    }
    let name = source.hdus()[tables[0]].name.clone().unwrap();
    assert!(ad.table(&name.to_lowercase()).is_some());
}

#[test]
fn extensions_are_appended_and_removed() {
    let dir = TempDir::new().unwrap();
    let (first, second) = (dir.path().join("first.fits"), dir.path().join("second.fits"));
    AstroData::from_extensions(Header::new(), vec![frame(0, &SMALL), frame(1, &SMALL)]).write(&first, false).unwrap();
    let mut ad = AstroData::open(&first).unwrap();
    ad.phu_mut().set("OBJECT", "NGC 1", "a galaxy");
    ad.append(frame(7, &SMALL).with_other("OBJMASK", flags()));
    let gone = ad.remove(0).unwrap();
    assert_eq!(gone.data().unwrap(), frame(0, &SMALL).data().unwrap());
    assert!(ad.remove(2).is_err());
    assert_eq!(ad.iter().map(|e| e.shape()).collect::<Vec<_>>(), [SMALL, SMALL]);
    assert_says(&ad.info().replace('\n', " "), &["[0] SCI,2", "memmapped", "[1] SCI", "OBJMASK", "in memory", ".mask"]);
    ad.write_with(&second, &WriteOptions::default()).unwrap();
    let back = AstroData::open(&second).unwrap();
    assert_eq!(back.phu().get_str("OBJECT").as_deref(), Some("NGC 1"));
    assert_eq!(back.iter().map(|e| e.ver()).collect::<Vec<_>>(), [Some(2), Some(1)]);
    assert_eq!(planes(&back[0]), planes(&frame(1, &SMALL)));
    assert_eq!(planes(&back[1]), planes(&frame(7, &SMALL)));
    assert_eq!(back[1].other("objmask").unwrap(), Some(&flags().into()));
    let judge = Judge::open(&second);
    judge.assert_sums();
}

/// Extensions of frames are paired by name and version, not by place.
#[test]
fn frames_are_paired_by_extver() {
    let dir = TempDir::new().unwrap();
    let level = |v: f32| -> Pixels { filled(&SMALL, |_| v).into() };
    let (a, b) = (dir.path().join("a.fits"), dir.path().join("b.fits"));
    write(&a, &[("SCI", 1, level(1.0), &[]), ("SCI", 2, level(100.0), &[])]);
    write(&b, &[("SCI", 2, level(100.0), &[]), ("SCI", 1, level(1.0), &[])]);
    let (out, _) = Stack::files([&a, &b]).unwrap().eval(&Engine::cpu(1).unwrap()).unwrap();
    assert_eq!((out[0].data().unwrap(), out[1].data().unwrap()), (&level(1.0), &level(100.0)));
    write(&b, &[("SCI", 3, level(100.0), &[]), ("SCI", 1, level(1.0), &[])]);
    let said = Stack::files([&a, &b]).unwrap().eval(&Engine::cpu(1).unwrap()).unwrap_err().to_string();
    assert_says(&said, &["b.fits", "SCI,2", "SCI,3"]);
}

/// What is packed out of a primary goes back there.
#[test]
fn a_packed_primary_is_a_primary_again() {
    let dir = TempDir::new().unwrap();
    let [first, packed, back] = ["first.fits", "packed.fits", "back.fits"].map(|n| dir.path().join(n));
    write(
        &first,
        &[
            ("", 0, science().into(), &[("OBJECT", "M 51")]),
            ("MASK", 0, filled(&SMALL, |i| u8::from(i == 3)).into(), &[]),
            ("UNCERT", 0, sigma().into(), &[("UTYPE", "StdDevUncertainty")]),
        ],
    );
    let compression = ndastro::fits::Compression { method: ndastro::fits::Method::Rice, quantize: None };
    AstroData::open(&first).unwrap().write_with(&packed, &WriteOptions::default().compression(compression)).unwrap();
    let ad = AstroData::open(&packed).unwrap();
    assert_eq!((ad.layout(), ad.len()), (Layout::Ccddata, 1));
    ad.write(&back, false).unwrap();
    let [was, is] = [&first, &back].map(|p| AstroData::open(p).unwrap());
    assert_eq!((is.layout(), is.file().unwrap().hdus().len()), (Layout::Ccddata, 3));
    assert_eq!(planes(&is[0]), planes(&was[0]));
    assert_eq!(is.phu().get_str("OBJECT").as_deref(), Some("M 51"));
    Judge::open(&back).assert_sums();
}

/// A table of distortions has the EXTVER of an image and belongs to another.
#[test]
fn images_of_another_shape_are_carried() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("flt.fits");
    let table: Pixels = filled(&[3, 2], |i| i as f32).into();
    write(&path, &[("SCI", 1, science().into(), &[]), ("ERR", 1, sigma().into(), &[]), ("WCSDVARR", 1, table, &[])]);
    let mut ad = AstroData::open(&path).unwrap();
    assert_eq!((ad[0].other_names().count(), ad.tables().len()), (0, 1));
    assert_eq!(ad.table("WCSDVARR").unwrap().len(), 24);
    ad.append(frame(1, &SMALL));
    ad.remove(0).unwrap();
    let out = dir.path().join("out.fits");
    ad.write(&out, false).unwrap();
    assert!(AstroData::open(&out).unwrap().tables().iter().any(|t| t.name() == Some("WCSDVARR")));
}

/// By the standard a missing EXTVER is 1.
#[test]
fn a_missing_extver_is_the_first() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("mixed.fits");
    let sci = || science().into();
    write(&path, &[("SCI", 0, sci(), &[]), ("SCI", 2, sci(), &[]), ("VAR", 1, squares().into(), &[])]);
    let ad = AstroData::open(&path).unwrap();
    assert_eq!(ad.iter().map(NDAstroData::has_variance).collect::<Vec<_>>(), [true, false]);
    assert!(ad.get("SCI", 1).is_some_and(NDAstroData::has_variance) && ad.get("SCI", 2).is_some());
}

/// A factor that brings integers beyond the range of their type makes samples that cannot be used.
#[test]
fn scaled_integers_can_overflow() {
    let dir = TempDir::new().unwrap();
    let paths = [1.0, 1e37].map(|scale| {
        let path = dir.path().join(format!("{scale}.fits"));
        let mut spec = ndastro::fits::ImageSpec::new("SCI", 1, &SMALL, ndastro::DType::I16);
        spec.format.bscale = scale;
        let hdus = vec![HduSpec::Header(Header::new()), HduSpec::Image(spec)];
        let mut writer = ndastro::fits::FitsWriter::with_hdus(&path, true, hdus).unwrap();
        writer.write_image(0, &filled(&SMALL, |_| 100i16).into()).unwrap();
        writer.finish().unwrap();
        path
    });
    for engine in engines() {
        let (out, _) = Stack::files(&paths).unwrap().eval(&engine).unwrap();
        let all = |p: &Pixels, v: f64| p.to_f64().iter().all(|&x| x == v);
        assert!(all(out[0].data().unwrap(), 100.0), "{}", engine.describe());
    }
}
