//! Headers of any bytes: nothing panics, nothing that was not touched is changed, what is written reads back.

use ndastro::fits::header::{CARD, Value};

use super::*;

fn config() -> ProptestConfig {
    ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() }
}

/// A card that means something, or nearly.
fn near_card() -> impl Strategy<Value = Vec<u8>> {
    let keyword = prop_oneof![
        "[A-C]",
        "[a-c]{1,2}",
        "[ -~]{1,9}",
        Just("CONTINUE".to_string()),
        Just("COMMENT".to_string()),
        Just("HISTORY".to_string()),
        Just("END".to_string()),
        Just(String::new()),
        "HIERARCH {0,2}[A-Ca-c ]{0,9}",
    ];
    let value = prop_oneof![
        "'[ -~]{0,30}&?'?",
        "'[ -~]{66,70}&?'?",
        "'[a-c']{0,12}&' */?.{0,20}",
        "[-+0-9.EDed]{0,20}",
        "\\([0-9.]{1,5},[0-9. ]{1,5}\\)",
        "[ -~]{0,70}",
        "\\PC{0,30}",
    ];
    let sign = prop_oneof![4 => Just("= "), 2 => Just("  "), 1 => Just("="), 1 => Just("")];
    let comment = prop_oneof![Just(String::new()), " ?/ ?[ -~]{0,30}"];
    (keyword, sign, value, comment).prop_map(|(k, s, v, c)| format!("{k:<8}{s}{v}{c}").into_bytes())
}

fn cards() -> impl Strategy<Value = Vec<[u8; CARD]>> {
    let bytes = prop_oneof![6 => near_card(), 1 => prop::collection::vec(any::<u8>(), 0..CARD)];
    let card = bytes.prop_map(|bytes| {
        let mut card = [b' '; CARD];
        card.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        card
    });
    prop::collection::vec(card, 0..24)
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[A-Ca-c]{1,2}",
        2 => "(HIERARCH )?[A-C]{1,2} [A-Ca-c]{1,4}",
        1 => "\\PC{0,12}",
        1 => "[ -~]{60,80}",
        1 => Just("CONTINUE".to_string()),
        1 => Just("COMMENT".to_string()),
        1 => Just(String::new()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<(f64, f64)>().prop_map(Value::from),
        "[ -~]{0,150}&?".prop_map(Value::from),
        "'{60,80}&?".prop_map(Value::from),
        "\\PC{0,80}".prop_map(Value::from),
        Just(Value::Undefined),
    ]
}

/// What comes back of a value that was written.
fn written(value: &Value) -> Value {
    match value {
        // Blanks at the end mean nothing; bytes that FITS does not allow become question marks.
        Value::Text(t) => {
            let bytes = t.trim_end_matches(' ').bytes();
            Value::Text(bytes.map(|b| if (32..127).contains(&b) { b as char } else { '?' }).collect())
        }
        other => other.clone(),
    }
}

/// The cards of all keywords but one, with what they mean; blank cards left out.
fn others(header: &Header, key: &str) -> Vec<(Option<Value>, Vec<[u8; CARD]>)> {
    let key = key.strip_prefix("HIERARCH ").unwrap_or(key).trim_matches(' ');
    let other = |k: &str| !k.eq_ignore_ascii_case(key) && !k.is_empty();
    let cards = header.iter().filter(|e| other(&e.keyword));
    cards.map(|e| (e.value, header.cards()[e.cards].to_vec())).collect()
}

fn is_printable(card: &[u8]) -> bool {
    card.iter().all(|b| (32..127).contains(b))
}

fn through_bytes(header: &Header) -> Header {
    let bytes = header.to_bytes();
    assert_eq!(bytes.len() % BLOCK, 0);
    Header::from_bytes(&bytes).unwrap()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_cards_are_carried(cards in cards(), key in key()) {
        let header = Header::from_cards(cards.iter().copied());
        prop_assert_eq!(header.cards(), &cards[..header.len()]);
        prop_assert_eq!(&through_bytes(&header), &header);
        prop_assert_eq!(header.to_string().lines().count(), header.len());
        // The logical cards are all the cards, once.
        let mut next = 0;
        for entry in header.iter() {
            prop_assert_eq!(entry.cards.start, next);
            prop_assert!(entry.cards.end > next);
            prop_assert_eq!(entry.value.is_none(), entry.text.is_some());
            next = entry.cards.end;
        }
        prop_assert_eq!(next, header.len());
        let (count, values) = (header.count(&key), header.get_all(&key).count());
        prop_assert!(values <= count);
        prop_assert_eq!(header.contains(&key), count > 0);
        prop_assert_eq!(header.position(&key).is_some(), count > 0);
        let _ = (header.get_i64(&key), header.get_f64(&key), header.get_bool(&key), header.get_complex(&key));
        let _ = (header.get_str(&key), header.get_u64(&key), header.comment(&key));
        let _ = (header.comments().count(), header.history().count());
    }

    #[test]
    fn any_bytes_are_a_header_or_none(bytes in prop::collection::vec(any::<u8>(), 0..6 * CARD), key in key()) {
        if let Ok(header) = Header::from_bytes(&bytes) {
            let _ = header.get(&key);
        }
    }

    #[test]
    fn what_is_set_comes_back(cards in cards(), key in key(), value in value(), comment in "[ -~]{0,150}") {
        let before = Header::from_cards(cards);
        let mut header = before.clone();
        if !header.set(&key, value.clone(), &comment) {
            prop_assert_eq!(header, before);
            return Ok(());
        }
        prop_assert_eq!(header.get(&key), Some(written(&value)));
        let at = header.position(&key).unwrap();
        let entry = header.iter().find(|e| e.cards.start == at).unwrap();
        prop_assert!(header.cards()[entry.cards.clone()].iter().all(|c| is_printable(c)));
        // The cards around it are as they were, and say what they said.
        let tail = header.len() - entry.cards.end;
        prop_assert_eq!(&header.cards()[..at], &before.cards()[..at]);
        prop_assert_eq!(&header.cards()[entry.cards.end..], &before.cards()[before.len() - tail..]);
        prop_assert_eq!(others(&header, &key), others(&before, &key));
        prop_assert_eq!(&through_bytes(&header), &header);
        // Set again without a comment: it stays.
        let note = header.comment(&key);
        if header.set(&key, "short", "") {
            prop_assert_eq!(header.get_str(&key), Some("short".to_string()));
            let kept = header.comment(&key).unwrap_or_default();
            prop_assert!(note.unwrap_or_default().starts_with(&kept));
        }
    }

    #[test]
    fn what_is_removed_is_gone_and_nothing_else(cards in cards(), key in key(), n in 0usize..3) {
        let before = Header::from_cards(cards);
        let mut header = before.clone();
        header.remove(&key);
        // A blank card that keeps a string from a CONTINUE card behind it stays.
        prop_assert!(header.count(&key) == 0 || key.trim_matches(' ').is_empty());
        prop_assert_eq!(others(&header, &key), others(&before, &key));
        let mut header = before.clone();
        let there = before.count(&key);
        prop_assert_eq!(header.remove_nth(&key, n), n < there);
        prop_assert_eq!(others(&header, &key), others(&before, &key));
    }

    #[test]
    fn what_is_inserted_stands_there(
        cards in cards(), index in 0usize..30, key in key(), other in key(), value in value(), comment in "[ -~]{0,40}",
    ) {
        let before = Header::from_cards(cards);
        let count = before.count(&key);
        let edits: [&dyn Fn(&mut Header) -> bool; 4] = [
            &|h| h.insert(index, &key, value.clone(), &comment),
            &|h| h.append(&key, value.clone(), &comment),
            &|h| h.insert_before(&other, &key, value.clone(), &comment),
            &|h| h.insert_after(&other, &key, value.clone(), &comment),
        ];
        for edit in edits {
            let mut header = before.clone();
            if edit(&mut header) {
                prop_assert_eq!(header.count(&key), count + 1);
                prop_assert!(header.get_all(&key).any(|v| v == written(&value)));
                prop_assert_eq!(others(&header, &key), others(&before, &key));
                prop_assert_eq!(&through_bytes(&header), &header);
            } else {
                prop_assert_eq!(&header, &before);
            }
        }
    }

    #[test]
    fn a_comment_leaves_the_value_and_a_name_leaves_both(cards in cards(), key in key(), new in key(), note in "\\PC{0,90}") {
        let before = Header::from_cards(cards);
        let mut header = before.clone();
        if header.set_comment(&key, &note) {
            prop_assert_eq!(header.get(&key), before.get(&key));
            prop_assert_eq!(others(&header, &key), others(&before, &key));
        } else {
            prop_assert_eq!(&header, &before);
        }
        let mut header = before.clone();
        if header.rename(&key, &new) {
            let legal = before.cards().iter().all(|c| is_printable(c));
            prop_assert!(!legal || header.get(&new) == before.get(&key), "{}\n{}", before, header);
            prop_assert!(header.contains(&new));
            prop_assert_eq!(&through_bytes(&header), &header);
        } else {
            prop_assert_eq!(&header, &before);
        }
    }

    #[test]
    fn commentary_comes_back(lines in prop::collection::vec("[ -~]{0,72}", 0..9), long in "[ -~]{73,300}") {
        let mut header = Header::new();
        for line in &lines {
            header.push_comment(line);
            header.push_history(line);
        }
        let lines: Vec<String> = lines.iter().map(|l| l.trim_end_matches(' ').to_string()).collect();
        prop_assert_eq!(header.comments().collect::<Vec<_>>(), lines.clone());
        prop_assert_eq!(header.history().collect::<Vec<_>>(), lines);
        let mut header = Header::new();
        header.push_comment(&long);
        let pieces: String = header.cards().iter().map(|c| String::from_utf8_lossy(&c[8..]).into_owned()).collect();
        prop_assert_eq!(pieces.trim_end_matches(' '), long.trim_end_matches(' '));
    }
}
