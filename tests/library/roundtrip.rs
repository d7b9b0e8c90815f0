//! What is read is written again as it was: cards, pixels as stored, HDUs of every kind.

use super::*;

/// Cards of an HDU but those that a copy may change.
fn cards(header: &Header) -> Vec<String> {
    // The number of extensions is made true.
    let sums = ["CHECKSUM", "DATASUM", "NEXTEND"];
    let own = |c: &String| !sums.contains(&c[..8.min(c.len())].trim_end()) && !c.is_empty();
    header.cards().iter().map(|c| String::from_utf8_lossy(c).trim_end().to_string()).filter(own).collect()
}

#[test]
fn every_file_comes_back_hdu_by_hdu() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("copy.fits");
    let mut copied = 0;
    for (source, _) in truth() {
        let Ok(ad) = AstroData::open(&source) else { continue };
        ad.write(&path, true).unwrap();
        let (a, b) = (ad.file().unwrap(), FitsFile::open(&path).unwrap());
        assert_eq!(a.hdus().len(), b.hdus().len(), "{}", source.display());
        for (x, y) in a.hdus().iter().zip(b.hdus()) {
            let at = format!("{} HDU {}", source.display(), x.index);
            assert_eq!((&x.name, x.ver, &x.shape, x.bitpix), (&y.name, y.ver, &y.shape, y.bitpix), "{at}");
            if x.kind == y.kind {
                // Zeros that a writer left out of the layout are the only change.
                let (mut x, y) = (cards(&x.header), cards(&y.header));
                x.retain(|c| y.contains(c) || !c.starts_with("EXTEND"));
                let mut y = y;
                y.retain(|c| x.contains(c) || !["EXTEND ", "PCOUNT ", "GCOUNT "].iter().any(|k| c.starts_with(k)));
                assert_eq!(x, y, "{at}");
            }
        }
        let back = AstroData::open(&path).unwrap();
        for (x, y) in ad.iter().zip(&back) {
            let same = planes(x).into_iter().zip(planes(y)).all(|(x, y)| sha256(x) == sha256(y));
            assert!(same, "{}", source.display());
        }
        copied += 1;
    }
    assert!(copied > 20, "{copied}");
}

/// One card changes; every other byte of every HDU stays.
#[test]
fn a_change_of_a_card_leaves_every_other_byte() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("changed.fits");
    let folders = ["images", "compressed"];
    let sources = folders.iter().flat_map(|f| fs::read_dir(data(f)).unwrap()).map(|e| e.unwrap().path());
    let mut changed = 0;
    for source in sources.filter(|p| p.extension().is_some_and(|e| e == "fits")) {
        let file = FitsFile::open(&source).unwrap();
        let whole = fs::read(&source).unwrap();
        for target in 0..file.hdus().len() {
            let edit = |i: usize, h: &mut Header| {
                if i == target {
                    h.set("OBSERVER", "E. Hubble", "who looked");
                }
            };
            file.rewrite(&path, true, file.with_headers(edit).unwrap()).unwrap();
            let (after, new) = (FitsFile::open(&path).unwrap(), fs::read(&path).unwrap());
            assert_eq!(after.hdus().len(), file.hdus().len());
            for (x, y) in file.hdus().iter().zip(after.hdus()) {
                let at = format!("{} HDU {} after a change of HDU {target}", source.display(), x.index);
                let data = |all: &[u8], h: &ndastro::fits::Hdu| {
                    let end = (h.data.end as usize).next_multiple_of(BLOCK).min(all.len());
                    all[h.data.start as usize..end].to_vec()
                };
                let (old, now) = (data(&whole, x), data(&new, y));
                assert!(now.starts_with(&old), "{at}: data");
                assert!(now[old.len()..].iter().all(|&b| b == 0), "{at}: only padding that was missing is new");
                if x.index != target {
                    let head =
                        |all: &[u8], h: &ndastro::fits::Hdu| all[h.start as usize..h.data.start as usize].to_vec();
                    assert!(head(&whole, x) == head(&new, y), "{at}: header");
                } else {
                    assert_eq!(y.header.get_str("OBSERVER").as_deref(), Some("E. Hubble"));
                    let others = |h: &Header| {
                        let keep = |c: &&[u8; 80]| !c.starts_with(b"OBSERVER") && !c.starts_with(b"CHECKSUM");
                        h.cards().iter().filter(keep).copied().collect::<Vec<_>>()
                    };
                    assert!(others(&x.header) == others(&y.header), "{at}: other cards");
                    if x.header.get("CHECKSUM").is_some() && x.header.get("DATASUM").is_some() {
                        assert_ne!(x.header.get("CHECKSUM"), y.header.get("CHECKSUM"), "{at}");
                    }
                }
            }
            changed += 1;
        }
    }
    assert!(changed > 60, "{changed}");
}

#[test]
fn cards_that_lay_out_the_data_cannot_be_changed() {
    let file = FitsFile::open(data("images/image_i32.fits")).unwrap();
    for key in ["BITPIX", "NAXIS", "NAXIS1"] {
        let set = file.with_headers(|_, h| assert!(h.set(key, 77i64, "")));
        let removed = file.with_headers(|_, h| h.remove(key));
        for refused in [set, removed] {
            assert_says(
                &refused.err().unwrap_or_else(|| panic!("{key} was changed")).to_string(),
                &["HDU 0", "lays out"],
            );
        }
    }
    assert_eq!(file.with_headers(|_, _| {}).unwrap(), [None]);
}

/// A sum that was true stays true.
#[test]
fn sums_of_changed_headers_are_true() {
    let dir = TempDir::new().unwrap();
    let (path, changed) = (dir.path().join("a.fits"), dir.path().join("b.fits"));
    write_frame(&path, 0, &[9, 11]);
    let file = FitsFile::open(&path).unwrap();
    let edit = |i: usize, h: &mut Header| {
        for k in 0..40 {
            h.set(&format!("KEY{k}"), (i * k) as i64, "");
        }
    };
    file.rewrite(&changed, false, file.with_headers(edit).unwrap()).unwrap();
    Judge::open(&changed).assert_sums();
    assert_eq!(planes(&AstroData::open(&changed).unwrap()[0]), planes(&frame(0, &[9, 11])));
    // In place, too.
    file.rewrite(&path, true, file.with_headers(edit).unwrap()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), fs::read(&changed).unwrap());
}

/// Bytes behind the last HDU are nobody's, and stay.
#[test]
fn what_follows_the_last_hdu_stays() {
    let dir = TempDir::new().unwrap();
    let (path, changed) = (dir.path().join("a.fits"), dir.path().join("b.fits"));
    write_frame(&path, 0, &[9, 11]);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend([0x42; BLOCK]);
    fs::write(&path, &bytes).unwrap();
    let file = FitsFile::open(&path).unwrap();
    assert_eq!(file.warnings(), ["2880 bytes behind the last HDU are no HDU"]);
    let edit = |i: usize, h: &mut Header| {
        if i == 3 {
            h.set("OBSERVER", "E. Hubble", "");
        }
    };
    file.rewrite(&changed, false, file.with_headers(edit).unwrap()).unwrap();
    let new = fs::read(&changed).unwrap();
    assert!(new.ends_with(&[0x42; BLOCK]) && new.len() == bytes.len());
}

#[test]
fn a_flag_stops_what_is_written() {
    let dir = TempDir::new().unwrap();
    write_frame(&dir.path().join("a.fits"), 0, &[9, 11]);
    let ad = AstroData::open(dir.path().join("a.fits")).unwrap();
    let stop = ndastro::WriteOptions::default().cancel(Arc::new(AtomicBool::new(true)));
    let out = dir.path().join("out.fits");
    assert!(matches!(ad.write_with(&out, &stop), Err(Error::Interrupted)));
    let file = ad.file().unwrap();
    let as_it_is = vec![None; file.hdus().len()];
    assert!(matches!(file.rewrite_with(&out, &stop, as_it_is), Err(Error::Interrupted)));
    assert_eq!(names(dir.path()), ["a.fits"]);
}
