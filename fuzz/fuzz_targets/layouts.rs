//! How planes go together, by every layout.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ndastro::AstroData;
use ndastro::fits::Layout;
use ndastro_fuzz::{check_message, check_shapes, open, planes, small_file};

fuzz_target!(|bytes: &[u8]| {
    let Some(file) = open(bytes) else { return };
    let small = small_file(bytes).is_some();
    for layout in Layout::ALL {
        let ad = match AstroData::from_file(file.clone(), layout) {
            Ok(ad) => ad,
            Err(e) => {
                check_message(&e);
                continue;
            }
        };
        assert!(ad.layout() != Layout::Auto && !ad.is_empty());
        check_shapes(&ad);
        for nd in ad.iter().filter(|_| small).take(16) {
            let shape = nd.shape();
            for plane in planes(nd).iter().take(4).flatten() {
                assert_eq!(plane.shape(), shape);
            }
            assert!(nd.has_mask() || nd.mask().is_ok_and(|m| m.is_none()));
        }
    }
});
