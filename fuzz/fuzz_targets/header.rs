//! A header: every question, every change, and that what is written is what is read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ndastro::fits::{Header, Value};
use ndastro_fuzz::{Numbers, check_message};

fuzz_target!(|bytes: &[u8]| {
    let header = match Header::from_bytes(bytes) {
        Ok(header) => header,
        Err(e) => {
            check_message(&e);
            // Fragments are headers too: as many cards as there are.
            Header::from_cards(bytes.as_chunks::<80>().0.iter().copied())
        }
    };
    again(&header);
    let mut keys: Vec<String> = Vec::new();
    let mut next = 0;
    for entry in header.iter() {
        assert_eq!(entry.cards.start, next, "logical cards follow each other");
        next = entry.cards.end;
        assert!(entry.cards.end > entry.cards.start);
        if keys.len() < 40 {
            keys.push(entry.keyword);
        }
    }
    assert_eq!(next, header.len());
    header.to_string().lines().for_each(|line| assert!(!line.chars().any(char::is_control)));
    let _ = (header.comments().count(), header.history().count(), header.is_empty());
    keys.push("NO SUCH KEYWORD".into());
    keys.iter().for_each(|key| ask(&header, key));

    let mut numbers = Numbers::of(bytes);
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    for round in 0..6 {
        let mut h = header.clone();
        let key = &keys[numbers.below(keys.len())];
        let other = if round % 2 == 0 { "NEWKEY" } else { &keys[numbers.below(keys.len())] };
        for _ in 0..4 {
            change(&mut h, key, other, &text, &mut numbers);
            again(&h);
        }
    }
});

fn ask(h: &Header, key: &str) {
    let value = h.get(key);
    let _ = (h.get_i64(key), h.get_u64(key), h.get_f64(key), h.get_complex(key), h.get_str(key), h.get_bool(key));
    let _ = h.comment(key);
    assert_eq!(h.contains(key), h.position(key).is_some());
    assert_eq!(h.contains(key), h.count(key) > 0);
    assert!(h.get_all(key).count() <= h.count(key));
    assert!(value.is_none() || h.contains(key));
}

fn change(h: &mut Header, key: &str, other: &str, text: &str, numbers: &mut Numbers) {
    let value = match numbers.below(6) {
        0 => Value::Logical(true),
        1 => Value::Integer(i64::MIN + numbers.below(usize::MAX) as i64),
        2 => Value::Real(f64::from_bits(numbers.below(usize::MAX) as u64 * 3)),
        3 => Value::Complex(1e300, -(numbers.below(1000) as f64)),
        4 => Value::Undefined,
        _ => Value::Text(text.to_string()),
    };
    let before = h.clone();
    let changed = match numbers.below(11) {
        0 => {
            let done = h.set(key, value.clone(), other);
            if let (true, Value::Logical(_) | Value::Integer(_)) = (done, &value) {
                assert_eq!(h.get(key).as_ref(), Some(&value), "what was set is there");
            }
            done
        }
        1 => h.append(key, value, text),
        2 => h.insert(numbers.below(h.len() + 2), key, value, text),
        3 => h.insert_before(key, other, value, text),
        4 => h.insert_after(key, other, value, ""),
        5 => h.rename(key, other),
        6 => {
            h.remove(key);
            assert!(!h.contains(key));
            true
        }
        7 => h.remove_nth(key, numbers.below(3)),
        8 => h.set_comment(key, text),
        9 => {
            h.push_comment(text);
            true
        }
        _ => {
            h.push_history(text);
            true
        }
    };
    assert!(changed || *h == before, "nothing was changed, and yet it is another header");
}

/// Written and read, the cards are the same.
fn again(h: &Header) {
    let bytes = h.to_bytes();
    assert!(bytes.len().is_multiple_of(2880));
    let back = Header::from_bytes(&bytes).expect("what was written is a header");
    assert!(back.cards() == h.cards(), "other cards come back");
}
