//! What opens can be written, and what was written reads as before: plain, packed, and with its headers only copied.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ndastro::fits::{Compression, FitsFile, Layout, Method};
use ndastro::{AstroData, WriteOptions};
use ndastro_fuzz::{check_message, planes, same, small_file};

fuzz_target!(|bytes: &[u8]| {
    let Some(file) = small_file(bytes).filter(|f| f.hdus().len() <= 64) else { return };
    let Ok(folder) = tempfile::tempdir() else { return };
    let unchanged = folder.path().join("unchanged.fits");
    let headers = file.hdus().iter().map(|_| None).collect();
    file.rewrite(&unchanged, false, headers).expect("a file that opened can be copied");
    let copy = FitsFile::open(&unchanged).expect("a copy of a file that opened");
    assert_eq!(copy.hdus().len(), file.hdus().len());

    let ad = match AstroData::from_file(file, Layout::Auto) {
        Ok(ad) => ad,
        Err(e) => return check_message(&e),
    };
    let before: Vec<_> = ad.iter().map(planes).collect();
    // Damaged tiles can be carried by nobody.
    let sound = before.iter().zip(ad.iter()).all(|(planes, nd)| {
        planes[0].is_some()
            && (planes[1].is_some() || nd.uncertainty_kind().is_none())
            && (planes[3].is_some() || !nd.has_mask())
            && planes[4..].iter().all(Option::is_some)
    });
    for method in [None, Some(Method::Rice), Some(Method::Gzip)] {
        let path = folder.path().join("written.fits");
        let mut options = WriteOptions::default().overwrite(true);
        if let Some(method) = method {
            options = options.compression(Compression { method, quantize: None });
        }
        if let Err(e) = ad.write_with(&path, &options) {
            check_message(&e);
            assert!(!sound, "what could be read cannot be written: {e}");
            return;
        }
        let back = AstroData::open_with(&path, &ndastro::OpenOptions::default().layout(ad.layout()))
            .expect("what was written opens");
        assert_eq!(back.len(), before.len(), "{method:?}");
        for (planes, nd) in before.iter().zip(back.iter()) {
            for (want, got) in planes.iter().zip(ndastro_fuzz::planes(nd)) {
                let Some(want) = want else { continue };
                assert!(got.is_some_and(|got| same(want, &got)), "{method:?}: other pixels come back");
            }
        }
    }
});
