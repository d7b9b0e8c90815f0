//! A FITS header: 80-byte cards in order, kept byte for byte until they are touched.
//!
//! Parsed from bytes (FITS standard 4.0, section 4): fixed and free format, `D` exponents, quoted strings with
//! doubled quotes, the CONTINUE convention for long strings, HIERARCH keywords, and COMMENT, HISTORY and blank
//! cards in their order. Cards that do not parse are carried, not judged; only the keywords that lay out the data
//! must be right, and the scan of the file checks those.

use std::fmt;

/// Bytes of a card.
pub const CARD: usize = 80;
/// Bytes of a FITS block.
pub const BLOCK: usize = 2880;

/// The value of a keyword.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // the names say all
pub enum Value {
    Logical(bool),
    Integer(i64),
    Real(f64),
    Text(String),
    /// A card with `= ` and nothing behind it, or with a value that is none of the above (complex, garbage).
    Undefined,
}

impl Value {
    /// An integer, or a real without a fraction.
    fn integer(self) -> Option<i64> {
        match self {
            Value::Integer(i) => Some(i),
            Value::Real(r) if r.fract() == 0.0 && r.abs() < 9.0e15 => Some(r as i64),
            _ => None,
        }
    }
}

impl From<bool> for Value {
    fn from(v: bool) -> Self {
        Value::Logical(v)
    }
}
impl From<i64> for Value {
    fn from(v: i64) -> Self {
        Value::Integer(v)
    }
}
impl From<f64> for Value {
    fn from(v: f64) -> Self {
        Value::Real(v)
    }
}
impl From<&str> for Value {
    fn from(v: &str) -> Self {
        Value::Text(v.to_string())
    }
}

/// Cards in order, without END.
#[derive(Clone, Default, PartialEq)]
pub struct Header {
    cards: Vec<[u8; CARD]>,
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Header({} cards)", self.cards.len())
    }
}

/// Why bytes are no header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// The bytes end before an END card.
    NoEnd,
    /// More cards than [`Header::MAX_CARDS`].
    TooLong,
}

impl Header {
    /// A header with more cards is refused.
    pub const MAX_CARDS: usize = 800_000;

    /// No cards.
    pub fn new() -> Self {
        Header::default()
    }

    /// Parses from the start of `bytes`; returns the header and how many bytes it takes, padding included.
    pub(crate) fn parse(bytes: &[u8]) -> Result<(Header, usize), Bad> {
        let mut cards = Vec::new();
        for card in bytes.chunks_exact(CARD) {
            let card: [u8; CARD] = card.try_into().unwrap_or([b' '; CARD]);
            if card.starts_with(b"END") && card[3..].iter().all(|&b| b == b' ' || b == 0) {
                let used = (cards.len() + 1).div_ceil(BLOCK / CARD) * BLOCK;
                return Ok((Header { cards }, used));
            }
            if cards.len() >= Self::MAX_CARDS {
                return Err(Bad::TooLong);
            }
            cards.push(card);
        }
        Err(Bad::NoEnd)
    }

    /// Number of cards, END not counted.
    pub fn len(&self) -> usize {
        self.cards.len()
    }

    /// Whether there is no card.
    pub fn is_empty(&self) -> bool {
        self.cards.is_empty()
    }

    /// The cards as they are.
    pub fn cards(&self) -> &[[u8; CARD]] {
        &self.cards
    }

    /// The integer of this one card.
    pub(crate) fn parse_integer(card: &[u8; CARD]) -> Option<i64> {
        parse_value(value_field(card)?).integer()
    }

    fn position(&self, key: &str) -> Option<usize> {
        self.cards.iter().position(|c| key_is(c, key))
    }

    /// Value of the first card of this keyword. HIERARCH keywords are asked for by what follows `HIERARCH`.
    /// Strings lose their trailing blanks; long strings are joined over their CONTINUE cards.
    pub fn get(&self, key: &str) -> Option<Value> {
        let at = self.position(key)?;
        let mut value = parse_value(value_field(&self.cards[at])?);
        if let Value::Text(text) = &mut value {
            let mut next = at + 1;
            while text.ends_with('&') && next < self.cards.len() && self.cards[next].starts_with(b"CONTINUE  ") {
                let Value::Text(more) = parse_value(&self.cards[next][10..]) else { break };
                text.pop();
                text.push_str(&more);
                next += 1;
            }
        }
        Some(value)
    }

    /// An integer; a real without a fraction counts (`32768.0`).
    pub fn get_i64(&self, key: &str) -> Option<i64> {
        self.get(key)?.integer()
    }

    /// A number.
    pub fn get_f64(&self, key: &str) -> Option<f64> {
        match self.get(key)? {
            Value::Integer(i) => Some(i as f64),
            Value::Real(r) => Some(r),
            _ => None,
        }
    }

    /// A string.
    pub fn get_str(&self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::Text(t) => Some(t),
            _ => None,
        }
    }

    /// A logical.
    pub fn get_bool(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Value::Logical(b) => Some(b),
            _ => None,
        }
    }

    /// Sets a keyword: in place where it is (its comment stays if `comment` is empty), else at the end.
    ///
    /// A keyword that is so long that a card has no room for the value cannot be written; then the header stays as it
    /// was, and the answer is `false`.
    pub fn set(&mut self, key: &str, value: impl Into<Value>, comment: &str) -> bool {
        let value = value.into();
        let at = self.position(key);
        let kept = match at {
            Some(at) if comment.is_empty() => comment_of(&self.cards[at]),
            _ => comment.to_string(),
        };
        let Some(cards) = format_cards(key, &value, &kept) else { return false };
        let (start, end) = match at {
            Some(at) => (at, at + 1 + self.continued(at)),
            None => (self.cards.len(), self.cards.len()),
        };
        self.cards.splice(start..end, cards);
        true
    }

    /// Sets a keyword, and if it is new puts its card at `index`.
    pub(crate) fn set_at(&mut self, index: usize, key: &str, value: impl Into<Value>, comment: &str) {
        if self.position(key).is_some() {
            self.set(key, value, comment);
        } else {
            let at = index.min(self.cards.len());
            self.cards.splice(at..at, format_cards(key, &value.into(), comment).unwrap_or_default());
        }
    }

    /// Removes every card of this keyword, with its CONTINUE cards.
    pub fn remove(&mut self, key: &str) {
        while let Some(at) = self.position(key) {
            let end = at + 1 + self.continued(at);
            self.cards.drain(at..end);
        }
    }

    /// Removes every card for whose keyword `which` is true, with its CONTINUE cards.
    pub(crate) fn remove_where(&mut self, which: impl Fn(&str) -> bool) {
        let mut at = 0;
        while at < self.cards.len() {
            let hit = std::str::from_utf8(&self.cards[at][..8]).is_ok_and(|k| which(k.trim_end()));
            if hit {
                let end = at + 1 + self.continued(at);
                self.cards.drain(at..end);
            } else {
                at += 1;
            }
        }
    }

    /// Appends HISTORY cards: one line, folded at 72 characters.
    pub fn push_history(&mut self, line: &str) {
        let text: Vec<u8> = line.bytes().map(printable).collect();
        for piece in text.chunks(CARD - 8) {
            let mut card = [b' '; CARD];
            card[..7].copy_from_slice(b"HISTORY");
            card[8..8 + piece.len()].copy_from_slice(piece);
            self.cards.push(card);
        }
    }

    /// CONTINUE cards that follow card `at`.
    fn continued(&self, at: usize) -> usize {
        match value_field(&self.cards[at]).map(parse_value) {
            Some(Value::Text(t)) if t.ends_with('&') => {
                self.cards[at + 1..].iter().take_while(|c| c.starts_with(b"CONTINUE  ")).count()
            }
            _ => 0,
        }
    }

    /// The bytes: cards, END, blanks to a whole block.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.cards.concat();
        out.extend_from_slice(b"END");
        out.resize(out.len().next_multiple_of(BLOCK), b' ');
        out
    }
}

/// Whether `card` is of this keyword. A HIERARCH card matches by the words before its `=`.
fn key_is(card: &[u8; CARD], key: &str) -> bool {
    let key = key.as_bytes();
    if key.len() <= 8 {
        let (name, rest) = card[..8].split_at(key.len());
        if name == key && rest.iter().all(|&b| b == b' ') {
            return true;
        }
    }
    if let Some(rest) = card.strip_prefix(b"HIERARCH ") {
        let name = rest.split(|&b| b == b'=').next().unwrap_or_default();
        return rest.contains(&b'=') && name.trim_ascii() == key;
    }
    false
}

/// What stands behind the value indicator; `None` for commentary cards.
fn value_field(card: &[u8; CARD]) -> Option<&[u8]> {
    if card[8] == b'=' && (card[9] == b' ' || card[9] == b'\'') {
        // `='text'` without the blank is not standard, but is written.
        return Some(&card[9..]);
    }
    if card.starts_with(b"HIERARCH ") {
        return card.iter().position(|&b| b == b'=').map(|at| &card[at + 1..]);
    }
    None
}

fn parse_value(field: &[u8]) -> Value {
    let field = field.trim_ascii();
    if let Some(quoted) = field.strip_prefix(b"'") {
        let (text, _) = unquote(quoted);
        return Value::Text(text);
    }
    let word = field.split(|&b| b == b'/').next().unwrap_or_default().trim_ascii();
    match word {
        b"T" => return Value::Logical(true),
        b"F" => return Value::Logical(false),
        _ => {}
    }
    let Ok(word) = std::str::from_utf8(word) else { return Value::Undefined };
    if let Ok(i) = word.parse::<i64>() {
        return Value::Integer(i);
    }
    let numeric = word.bytes().all(|b| b.is_ascii_digit() || b"+-.EeDd".contains(&b)) && !word.is_empty();
    match word.replace(['D', 'd'], "E").parse::<f64>() {
        // An integer beyond i64 (BZERO = 9223372036854775808) is a real.
        Ok(r) if numeric => Value::Real(r),
        _ => Value::Undefined,
    }
}

/// The string up to its closing quote, and what follows.
fn unquote(quoted: &[u8]) -> (String, &[u8]) {
    let mut text = Vec::new();
    let mut at = 0;
    while at < quoted.len() {
        if quoted[at] == b'\'' {
            if quoted.get(at + 1) == Some(&b'\'') {
                at += 1;
            } else {
                at += 1;
                break;
            }
        }
        text.push(quoted[at]);
        at += 1;
    }
    let text = String::from_utf8_lossy(text.trim_ascii_end()).into_owned();
    (text, &quoted[at.min(quoted.len())..])
}

fn comment_of(card: &[u8; CARD]) -> String {
    let Some(field) = value_field(card) else { return String::new() };
    let field = field.trim_ascii();
    let rest = match field.strip_prefix(b"'") {
        Some(quoted) => unquote(quoted).1,
        None => field,
    };
    match rest.iter().position(|&b| b == b'/') {
        Some(slash) => String::from_utf8_lossy(rest[slash + 1..].trim_ascii()).into_owned(),
        None => String::new(),
    }
}

/// FITS allows only printable ASCII.
fn printable(b: u8) -> u8 {
    if (32..127).contains(&b) { b } else { b'?' }
}

fn card(text: &str) -> [u8; CARD] {
    let mut card = [b' '; CARD];
    for (to, from) in card.iter_mut().zip(text.bytes()) {
        *to = printable(from);
    }
    card
}

/// The card, or for a string that is too long the card and its CONTINUE cards. `None` if the keyword leaves no room.
fn format_cards(key: &str, value: &Value, comment: &str) -> Option<Vec<[u8; CARD]>> {
    let hierarch = key.len() > 8 || key.contains(' ');
    let start = if hierarch { format!("HIERARCH {key} = ") } else { format!("{key:<8}= ") };
    let comment = if comment.is_empty() { String::new() } else { format!(" / {comment}") };
    let plain = |v: String| {
        let v = if hierarch { v } else { format!("{v:>20}") };
        // A comment may be cut, a value may not.
        (start.len() + v.len() <= CARD).then(|| vec![card(&format!("{start}{v}{comment}"))])
    };
    let text = match value {
        Value::Logical(b) => return plain(if *b { "T" } else { "F" }.to_string()),
        Value::Integer(i) => return plain(i.to_string()),
        Value::Real(r) => return plain(format_real(*r)),
        Value::Undefined => return plain(String::new()),
        Value::Text(t) => t.bytes().map(|b| char::from(printable(b))).collect::<String>(),
    };
    let quoted = text.replace('\'', "''");
    if start.len() + quoted.len() + 2 <= CARD {
        return Some(vec![card(&format!("{start}{:<20}{comment}", format!("'{quoted:<8}'")))]);
    }
    // Two quotes, a character that may be a doubled quote, and the sign that more follows.
    if start.len() + 5 > CARD {
        return None;
    }
    let mut cards = Vec::new();
    let mut rest = quoted.as_str();
    let mut lead = start;
    loop {
        let room = CARD - lead.len() - 2;
        if rest.len() <= room {
            cards.push(card(&format!("{lead}'{rest}'{comment}")));
            return Some(cards);
        }
        let mut cut = room - 1;
        // A doubled quote must not be torn.
        if rest[..cut].bytes().rev().take_while(|&b| b == b'\'').count() % 2 == 1 {
            cut -= 1;
        }
        cards.push(card(&format!("{lead}'{}&'", &rest[..cut])));
        rest = &rest[cut..];
        lead = "CONTINUE  ".to_string();
    }
}

/// A real as FITS wants it: with a point, and as many digits as bring the same f64 back.
fn format_real(r: f64) -> String {
    if r.is_finite() && r == r.trunc() && r.abs() < 1e15 {
        format!("{r:.1}")
    } else {
        let s = format!("{r:?}").replace('e', "E");
        if s.contains('.') || !s.contains('E') { s } else { s.replacen('E', ".0E", 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(lines: &[&str]) -> Header {
        Header { cards: lines.iter().map(|l| card(l)).collect() }
    }

    #[test]
    fn values() {
        let h = header(&[
            "SIMPLE  =                    T / yes",
            "BITPIX  =                  -32",
            "BZERO   =  9223372036854775808",
            "EXP     = 1.5D3 / Fortran",
            "NAME    = 'O''Neill  '         / with a quote",
            "FREE    ='tight'",
            "COMPLEX = (1, 2)",
            "NOVALUE =",
            "HIERARCH ESO DET CHIP = 7 / long",
            "COMMENT = 3",
            "LONG    = 'one &'",
            "CONTINUE  'two &'",
            "CONTINUE  'three' / done",
        ]);
        assert_eq!(h.get("SIMPLE"), Some(Value::Logical(true)));
        assert_eq!(h.get_i64("BITPIX"), Some(-32));
        assert_eq!(h.get_f64("BZERO"), Some(9223372036854775808.0));
        assert_eq!(h.get_f64("EXP"), Some(1500.0));
        assert_eq!(h.get_str("NAME").as_deref(), Some("O'Neill"));
        assert_eq!(h.get_str("FREE").as_deref(), Some("tight"));
        assert_eq!(h.get("COMPLEX"), Some(Value::Undefined));
        assert_eq!(h.get("NOVALUE"), Some(Value::Undefined));
        assert_eq!(h.get_i64("ESO DET CHIP"), Some(7));
        assert_eq!(h.get_str("LONG").as_deref(), Some("one two three"));
        assert_eq!(h.get("BIT"), None);
    }

    #[test]
    fn set_keeps_place_and_comment() {
        let mut h = header(&["A       =                    1 / first", "B       =                    2", "HISTORY x"]);
        h.set("A", 5i64, "");
        assert_eq!(&h.cards()[0][..], &card("A       =                    5 / first")[..]);
        h.set("C", 2.5, "new");
        assert_eq!(h.len(), 4);
        h.remove("B");
        assert_eq!(h.get("B"), None);
        assert_eq!(h.to_bytes().len(), BLOCK);
    }

    #[test]
    fn long_strings_come_back() {
        for n in [0, 1, 60, 66, 67, 68, 69, 70, 140, 500] {
            let text: String = "it's/a'' path&".chars().cycle().take(n).collect();
            let text = text.trim_end_matches('&').to_string();
            let mut h = Header::new();
            h.set("KEY", text.as_str(), "");
            let (back, used) = Header::parse(&h.to_bytes()).unwrap();
            assert_eq!(used, BLOCK);
            assert_eq!(back.get_str("KEY").as_deref(), Some(text.as_str()), "{n}");
        }
    }

    #[test]
    fn reals_come_back() {
        for r in [0.0, -1.0, 0.1, 1e-300, 1.0 / 3.0, 6.02e23, 1e15, -2.5e-7] {
            let mut h = Header::new();
            h.set("R", r, "");
            assert_eq!(h.get("R"), Some(Value::Real(r)), "{}", String::from_utf8_lossy(&h.cards()[0]));
        }
    }

    #[test]
    fn without_end() {
        assert_eq!(Header::parse(&[b' '; 2880]).unwrap_err(), Bad::NoEnd);
        assert_eq!(Header::parse(&[]).unwrap_err(), Bad::NoEnd);
    }
}
