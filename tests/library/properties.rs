//! Round trips of random arrays and headers.

use super::writing::judge_array;
use super::*;

fn config() -> ProptestConfig {
    ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() }
}

fn array<T: std::fmt::Debug + Clone>(value: impl Strategy<Value = T> + Clone) -> impl Strategy<Value = ArrayD<T>> {
    prop::collection::vec(1usize..7, 1..4).prop_flat_map(move |shape| {
        let n = shape.iter().product::<usize>();
        prop::collection::vec(value.clone(), n).prop_map(move |v| ArrayD::from_shape_vec(shape.clone(), v).unwrap())
    })
}

/// Keywords that the crate does not write itself.
fn keyword() -> impl Strategy<Value = String> {
    prop_oneof!["Q[A-Z0-9_-]{0,7}", "Q[A-Z0-9]{0,7} [A-Z0-9]{1,10}( [A-Z0-9]{1,10})?"]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn arrays_come_back(a in array(any::<u16>()), b in array(any::<u32>()), c in array(any::<i64>())) {
        let dir = TempDir::new().unwrap();
        judge_array(dir.path(), a);
        judge_array(dir.path(), b.mapv(f32::from_bits));
        judge_array(dir.path(), c);
    }

    #[test]
    fn strings_in_headers_come_back(entries in prop::collection::btree_map(keyword(), "[ -~]{0,200}", 1..12)) {
        let mut header = Header::new();
        for (key, text) in &entries {
            header.set(key, text.as_str(), "a comment");
        }
        let back = written_header(header);
        for (key, text) in &entries {
            // Blanks at the end of a string mean nothing (FITS standard 4.0, section 4.2.1).
            let want = text.trim_end_matches(' ').to_string();
            prop_assert_eq!(back.get_str(key), Some(want), "{}", key);
        }
    }

    #[test]
    fn numbers_in_headers_come_back(
        integers in prop::collection::btree_map(keyword(), any::<i64>(), 1..12),
        reals in prop::collection::btree_map(keyword(), any::<f64>().prop_filter("finite", |r| r.is_finite()), 1..12),
    ) {
        let mut header = Header::new();
        integers.iter().for_each(|(key, &i)| assert!(header.set(key, i, "")));
        reals.iter().for_each(|(key, &r)| assert!(header.set(key, r, "")));
        let back = written_header(header);
        for (key, &r) in &reals {
            prop_assert_eq!(back.get_f64(key).map(f64::to_bits), Some(r.to_bits()), "{}", key);
        }
        for (key, &i) in integers.iter().filter(|(key, _)| !reals.contains_key(*key)) {
            prop_assert_eq!(back.get_i64(key), Some(i), "{}", key);
        }
    }
}

/// A header that went through a file.
fn written_header(header: Header) -> Header {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("header.fits");
    let nd = NDAstroData::new(arr1(&[1u8])).with_meta(header);
    AstroData::from_extensions(Header::new(), vec![nd]).write(&path, false).unwrap();
    Judge::open(&path).assert_sums();
    AstroData::open(&path).unwrap()[0].meta().clone()
}

#[test]
fn cfitsio_reads_the_same_header() {
    let mut header = Header::new();
    let long = "it's a 'long' text & more / of it, ".repeat(8);
    header.set("QLONG", long.as_str(), "");
    header.set("QQUOTE", "O''Neill's", "name");
    header.set("QAMP", "ends with &", "");
    header.set("QINT", i64::MIN, "");
    header.set("QREAL", 1.0 / 3.0, "");
    // cfitsio takes no subnormal numbers.
    header.set("QTINY", f64::MIN_POSITIVE, "");
    header.set("QHUGE", -1.7976931348623157e308, "");
    header.set("ESO DET CHIP", 7i64, "long");
    header.set("ESO OBS NAME", "a name", "");
    header.set("QREAL", 1e22, "set again");
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("header.fits");
    let nd = NDAstroData::new(arr1(&[1u8])).with_meta(header);
    AstroData::from_extensions(Header::new(), vec![nd]).write(&path, false).unwrap();
    let judge = Judge::open(&path);
    judge.select(1);
    assert_eq!(judge.string("QLONG"), long.trim_end());
    assert_eq!(judge.string("QQUOTE"), "O''Neill's");
    assert_eq!(judge.string("QAMP"), "ends with &");
    assert_eq!(judge.integer("QINT"), i64::MIN);
    assert_eq!((judge.real("QREAL"), judge.real("QHUGE")), (1e22, -1.7976931348623157e308));
    assert_eq!(judge.real("QTINY"), f64::MIN_POSITIVE);
    assert_eq!((judge.integer("ESO DET CHIP"), judge.string("ESO OBS NAME")), (7, "a name".into()));
}

/// HIERARCH keywords that leave less and less room for a value.
fn long_keys() -> impl Iterator<Item = String> {
    [50, 55, 60, 64, 66, 67, 68, 72, 80].into_iter().map(|n| format!("QQ {}", "K".repeat(n)))
}

#[test]
fn a_number_is_never_cut_short() {
    for key in long_keys() {
        let mut header = Header::new();
        header.set(&key, 123_456_789i64, "");
        let found = header.get_i64(&key);
        assert!(found.is_none_or(|i| i == 123_456_789), "{} characters: {found:?}", key.len());
    }
}

#[test]
fn a_string_behind_a_long_keyword_does_not_panic() {
    for key in long_keys() {
        let mut header = Header::new();
        header.set(&key, "some text", "");
        let found = header.get_str(&key);
        assert!(found.as_ref().is_none_or(|t| t == "some text"), "{} characters: {found:?}", key.len());
    }
}
