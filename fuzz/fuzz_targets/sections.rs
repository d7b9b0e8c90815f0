//! Every image of a file: its section, its pixels as a whole, and windows of it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ndastro::AstroData;
use ndastro::fits::Layout;
use ndastro_fuzz::{Numbers, check_message, check_windows, open, small_file};

fuzz_target!(|bytes: &[u8]| {
    let Some(file) = open(bytes) else { return };
    for hdu in file.hdus() {
        match file.section(hdu.index) {
            Ok(section) => assert_eq!((section.shape(), section.hdu()), (hdu.shape.as_slice(), hdu.index)),
            Err(e) => check_message(&e),
        }
    }
    let Some(file) = small_file(bytes) else { return };
    match AstroData::from_file(file, Layout::Plain) {
        Ok(ad) => {
            let mut numbers = Numbers::of(bytes);
            ad.iter().take(64).for_each(|nd| check_windows(nd, &mut numbers));
        }
        Err(e) => check_message(&e),
    }
});
