//! A FITS header: 80-byte cards in order, kept byte for byte until they are touched.
//!
//! Parsed from bytes (FITS standard 4.0, section 4): fixed and free format, `D` exponents, quoted strings with
//! doubled quotes, the CONTINUE convention for long strings, HIERARCH keywords, and COMMENT, HISTORY and blank
//! cards in their order. Cards that do not parse are carried, not judged; only the keywords that lay out the data
//! must be right, and the scan of the file checks those.
//!
//! A *logical card* is a card with the CONTINUE cards that carry its string on. Whatever looks for, replaces or removes
//! a keyword goes over logical cards, so that a long string is never torn. What is written is always a legal card.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use crate::error::escape;
use crate::{Error, Result};

/// Bytes of a card.
pub const CARD: usize = 80;
/// Bytes of a FITS block.
pub const BLOCK: usize = 2880;
const BLANK: [u8; CARD] = [b' '; CARD];
/// What a long string goes on with.
const CONTINUE: &[u8] = b"CONTINUE  ";
/// Where the value of a standard card ends in fixed format.
const FIXED: usize = 30;

/// The value of a keyword. Match with a wildcard: kinds may be added.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[allow(missing_docs)] // the names say all
pub enum Value {
    Logical(bool),
    Integer(i64),
    Real(f64),
    /// Real and imaginary part.
    Complex(f64, f64),
    Text(String),
    /// A card with `= ` and nothing behind it, or with a value that is none of the above.
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
impl From<(f64, f64)> for Value {
    fn from((re, im): (f64, f64)) -> Self {
        Value::Complex(re, im)
    }
}
impl From<&str> for Value {
    fn from(v: &str) -> Self {
        Value::Text(v.to_string())
    }
}
impl From<String> for Value {
    fn from(v: String) -> Self {
        Value::Text(v)
    }
}

/// A logical card, as [`Header::iter`] hands it out.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// Its cards in [`Header::cards`]; more than one if its string is continued.
    pub cards: Range<usize>,
    /// As it stands on the card; of a HIERARCH card what stands between `HIERARCH` and `=`.
    pub keyword: String,
    /// `None` for a card without a value: COMMENT, HISTORY, blank, and whatever else has no `=` in column 9.
    pub value: Option<Value>,
    /// What follows the `/`; of a long string what follows it on any of its cards, joined by blanks.
    pub comment: Option<String>,
    /// Of a card without a value what stands in columns 9 to 80, without blanks at its end.
    pub text: Option<String>,
}

/// Cards in order, without END.
///
/// Keywords are found in whatever case they are asked for and stand on the card; where there are several, those in upper
/// case go before others. HIERARCH keywords are found by the words before their `=`, with or without `HIERARCH` in front.
#[derive(Clone, Default, PartialEq)]
pub struct Header {
    cards: Vec<[u8; CARD]>,
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Header({} cards)", self.cards.len())
    }
}

/// One line a card, without blanks at its end, control characters escaped.
impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cards.iter().try_for_each(|c| writeln!(f, "{}", escape(&lossy(c))))
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

    /// Parses 80-byte cards up to END; what follows END is not looked at. Any bytes may stand on a card.
    ///
    /// # Errors
    ///
    /// [`Error::Parameter`]: no END card, or more than [`MAX_CARDS`](Self::MAX_CARDS) cards.
    pub fn from_bytes(bytes: &[u8]) -> Result<Header> {
        let reason = match Header::parse(bytes) {
            Ok((header, _)) => return Ok(header),
            Err(Bad::NoEnd) => format!("no END card in its {} bytes", bytes.len()),
            Err(Bad::TooLong) => format!("more than {} cards", Self::MAX_CARDS),
        };
        Err(Error::Parameter(format!("not a FITS header: {reason}")))
    }

    /// A header of these cards, up to an END card if there is one.
    pub fn from_cards(cards: impl IntoIterator<Item = [u8; CARD]>) -> Header {
        Header { cards: cards.into_iter().take_while(|c| !is_end(c)).collect() }
    }

    /// Parses from the start of `bytes`; returns the header and how many bytes it takes, padding included.
    pub(crate) fn parse(bytes: &[u8]) -> std::result::Result<(Header, usize), Bad> {
        let cards = bytes.as_chunks::<CARD>().0;
        let limit = cards.len().min(Self::MAX_CARDS + 1);
        match cards[..limit].iter().position(is_end) {
            // Copied at once: what grows takes twice the memory, and a file may have 65,536 headers.
            Some(n) => Ok((Header { cards: cards[..n].to_vec() }, (n + 1).div_ceil(BLOCK / CARD) * BLOCK)),
            None if limit > Self::MAX_CARDS => Err(Bad::TooLong),
            None => Err(Bad::NoEnd),
        }
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

    /// The logical cards in order.
    pub fn iter(&self) -> impl Iterator<Item = Entry> {
        self.logical().map(|cards| {
            let first = &self.cards[cards.start];
            let parts = split(first);
            Entry {
                keyword: lossy(parts.name),
                value: self.value(&cards),
                comment: Some(self.comment_of(&cards)).filter(|c| !c.is_empty()).map(|c| lossy(&c)),
                text: parts.field.is_none().then(|| lossy(&first[8..])),
                cards,
            }
        })
    }

    /// The texts of the COMMENT cards in order, without blanks at their ends.
    pub fn comments(&self) -> impl Iterator<Item = String> {
        self.commentary(b"COMMENT ")
    }

    /// The texts of the HISTORY cards in order, without blanks at their ends.
    pub fn history(&self) -> impl Iterator<Item = String> {
        self.commentary(b"HISTORY ")
    }

    fn commentary(&self, keyword: &'static [u8; 8]) -> impl Iterator<Item = String> {
        self.cards.iter().filter(|c| c[..8].eq_ignore_ascii_case(keyword)).map(|c| lossy(&c[8..]))
    }

    /// The integer of this one card.
    pub(crate) fn parse_integer(card: &[u8; CARD]) -> Option<i64> {
        parse_value(&card[split(card).field?..]).integer()
    }

    /// The end of the logical card that starts at card `at`.
    fn extent(&self, at: usize) -> usize {
        let mut end = at + 1;
        // A CONTINUE card that continues nothing is a card of its own.
        if is_continue(&self.cards[at]) {
            return end;
        }
        while self.cards.get(end).is_some_and(continues) && is_open(&self.cards[end - 1]) {
            end += 1;
        }
        end
    }

    fn logical(&self) -> impl Iterator<Item = Range<usize>> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let at = next;
            (at < self.cards.len()).then(|| {
                next = self.extent(at);
                at..next
            })
        })
    }

    /// The logical cards of a keyword, in whatever case.
    fn all(&self, key: &str) -> impl Iterator<Item = Range<usize>> {
        let key = Key::new(key);
        self.logical().filter(move |cards| key.names(&self.cards[cards.start]))
    }

    /// The logical card that `get` reads and `set` replaces.
    fn find(&self, key: &str) -> Option<Range<usize>> {
        // What `set` writes is in upper case, so what it wrote is what `get` finds.
        let upper = Key::new(key).name.to_ascii_uppercase();
        let mut other_case = None;
        for cards in self.all(key) {
            if split(&self.cards[cards.start]).name == upper {
                return Some(cards);
            }
            other_case = other_case.or(Some(cards));
        }
        other_case
    }

    fn value(&self, cards: &Range<usize>) -> Option<Value> {
        let first = &self.cards[cards.start];
        let field = &first[split(first).field?..];
        Some(if cards.len() > 1 { Value::Text(lossy(&self.joined(cards))) } else { parse_value(field) })
    }

    /// The string of a logical card.
    fn joined(&self, cards: &Range<usize>) -> Vec<u8> {
        let mut text = Vec::new();
        for at in cards.clone() {
            let mut piece = string_of(&self.cards[at]).map(|q| q.text).unwrap_or_default();
            if at + 1 < cards.end {
                piece.pop();
            }
            text.append(&mut piece);
        }
        text
    }

    fn comment_of(&self, cards: &Range<usize>) -> Vec<u8> {
        // A CONTINUE card that continues nothing has no comment.
        let cards = self.cards[cards.clone()].iter().skip_while(|c| split(c).field.is_none());
        let pieces: Vec<&[u8]> = cards.map(comment_of).filter(|c| !c.is_empty()).collect();
        pieces.join(&b' ')
    }

    /// The cards that [`get`](Self::get) reads of the keywords (in upper case) for which `which` is true, each once: for who
    /// has a thousand questions for a header that may have 800,000 cards.
    pub(crate) fn only(&self, which: impl Fn(&str) -> bool) -> Header {
        let mut found: HashMap<String, (bool, Range<usize>)> = HashMap::new();
        for cards in self.logical() {
            let name = split(&self.cards[cards.start]).name;
            let key = lossy(name).to_ascii_uppercase();
            if which(&key) {
                let upper = key.as_bytes() == name;
                let first = found.entry(key).or_insert((upper, cards.clone()));
                if upper && !first.0 {
                    *first = (upper, cards);
                }
            }
        }
        let mut all: Vec<Range<usize>> = found.into_values().map(|(_, cards)| cards).collect();
        all.sort_unstable_by_key(|cards| cards.start);
        Header { cards: all.into_iter().flat_map(|cards| self.cards[cards].iter().copied()).collect() }
    }

    /// Where the first card of this keyword stands in [`cards`](Self::cards).
    pub fn position(&self, key: &str) -> Option<usize> {
        self.find(key).map(|cards| cards.start)
    }

    /// Whether there is a card of this keyword, with a value or without.
    pub fn contains(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// How often this keyword is there; a long string counts once.
    pub fn count(&self, key: &str) -> usize {
        self.all(key).count()
    }

    /// Value of the first card of this keyword. HIERARCH keywords are asked for by what follows `HIERARCH`.
    /// Strings lose their trailing blanks; long strings are joined over their CONTINUE cards.
    pub fn get(&self, key: &str) -> Option<Value> {
        self.value(&self.find(key)?)
    }

    /// The values of every card of this keyword, in order.
    pub fn get_all(&self, key: &str) -> impl Iterator<Item = Value> {
        self.all(key).filter_map(|cards| self.value(&cards))
    }

    /// An integer; a real without a fraction counts (`32768.0`).
    pub fn get_i64(&self, key: &str) -> Option<i64> {
        self.get(key)?.integer()
    }

    /// An integer that is not negative, exact to the largest u64, though [`get`](Self::get) hands out a real for what
    /// is beyond i64. A real without a fraction counts.
    pub fn get_u64(&self, key: &str) -> Option<u64> {
        let cards = self.find(key)?;
        let card = &self.cards[cards.start];
        let word = std::str::from_utf8(word(&card[split(card).field?..])).ok()?;
        word.parse().ok().or_else(|| u64::try_from(self.value(&cards)?.integer()?).ok())
    }

    /// A number.
    pub fn get_f64(&self, key: &str) -> Option<f64> {
        match self.get(key)? {
            Value::Integer(i) => Some(i as f64),
            Value::Real(r) => Some(r),
            _ => None,
        }
    }

    /// Real and imaginary part of a complex number.
    pub fn get_complex(&self, key: &str) -> Option<(f64, f64)> {
        match self.get(key)? {
            Value::Complex(re, im) => Some((re, im)),
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

    /// The comment of the first card of this keyword, if it has one. That of a long string may stand on any of its
    /// cards; the pieces are joined by blanks.
    pub fn comment(&self, key: &str) -> Option<String> {
        Some(self.comment_of(&self.find(key)?)).filter(|c| !c.is_empty()).map(|c| lossy(&c))
    }

    /// Replaces the comment of the first card of this keyword, and not a byte of its value. An empty one takes the
    /// comment away; one that is too long is cut where the card ends, or goes on over CONTINUE cards if the string
    /// does.
    ///
    /// `false`, and nothing changed: there is no card with a value of this keyword, or no room for a comment on it.
    pub fn set_comment(&mut self, key: &str, comment: &str) -> bool {
        let valued = |cards: &Range<usize>| split(&self.cards[cards.start]).field.is_some();
        let Some(cards) = self.find(key).filter(valued) else { return false };
        let text = self.joined(&cards);
        if cards.len() > 1 && text.iter().all(|&b| printable(b) == b) {
            let value = Value::Text(lossy(&text));
            if self.put(cards.clone(), &Key::new(key), &value, comment.as_bytes()) {
                return true;
            }
        }
        // What may not be written is not written anew.
        let last = cards.end - 1;
        let Some(changed) = with_comment(&self.cards[last], comment.as_bytes()) else { return false };
        for card in &mut self.cards[cards.start..last] {
            *card = with_comment(card, b"").unwrap_or(*card);
        }
        self.cards[last] = changed;
        true
    }

    /// Sets a keyword: in place where it is (its comment stays if `comment` is empty), else at the end. The keyword is
    /// written in upper case; that of a HIERARCH card as it stands there, or as it is given here. Characters that FITS
    /// does not allow in strings and comments are written as `?`. A comment that is too long is cut where the card ends,
    /// or goes on over CONTINUE cards if the string does.
    ///
    /// What makes no legal card cannot be written: a keyword with other characters than A to Z, 0 to 9, `-` and `_`
    /// (longer than 8 or with blanks: a HIERARCH keyword, of anything printable but `=`), or one that is so long that a
    /// card has no room for the value; END, CONTINUE, COMMENT, HISTORY, HIERARCH and blank; a number that is not finite.
    /// Then the header stays as it was, and the answer is `false`.
    pub fn set(&mut self, key: &str, value: impl Into<Value>, comment: &str) -> bool {
        let cards = self.find(key).unwrap_or(self.cards.len()..self.cards.len());
        let comment = if comment.is_empty() { self.comment_of(&cards) } else { comment.as_bytes().to_vec() };
        self.put(cards, &Key::new(key), &value.into(), &comment)
    }

    /// Sets a keyword, and if it is new puts its card at `index`.
    pub(crate) fn set_at(&mut self, index: usize, key: &str, value: impl Into<Value>, comment: &str) {
        if self.contains(key) {
            self.set(key, value, comment);
        } else {
            self.insert(index, key, value, comment);
        }
    }

    /// Puts a card at the end, though the keyword may be there already. `false` as [`set`](Self::set).
    pub fn append(&mut self, key: &str, value: impl Into<Value>, comment: &str) -> bool {
        self.insert(self.cards.len(), key, value, comment)
    }

    /// Puts a card before card `index` of [`cards`](Self::cards), or behind the long string in which that card stands,
    /// though the keyword may be there already. An index beyond the last card is the end. `false` as
    /// [`set`](Self::set).
    pub fn insert(&mut self, index: usize, key: &str, value: impl Into<Value>, comment: &str) -> bool {
        let mut at = index.min(self.cards.len());
        if self.cards.get(at).is_some_and(is_continue) {
            let first = self.cards[..at].iter().rposition(|c| !is_continue(c));
            at = at.max(first.map_or(0, |first| self.extent(first)));
        }
        self.put(at..at, &Key::new(key), &value.into(), comment.as_bytes())
    }

    /// Puts a card before the first of `other`, though the keyword may be there already. `false` as
    /// [`set`](Self::set), and if there is no `other`.
    pub fn insert_before(&mut self, other: &str, key: &str, value: impl Into<Value>, comment: &str) -> bool {
        self.find(other).is_some_and(|cards| self.insert(cards.start, key, value, comment))
    }

    /// Puts a card behind the first of `other`, though the keyword may be there already. `false` as
    /// [`set`](Self::set), and if there is no `other`.
    pub fn insert_after(&mut self, other: &str, key: &str, value: impl Into<Value>, comment: &str) -> bool {
        self.find(other).is_some_and(|cards| self.insert(cards.end, key, value, comment))
    }

    /// Puts a keyword in the place of the cards `range`, which may be none.
    fn put(&mut self, range: Range<usize>, key: &Key<'_>, value: &Value, comment: &[u8]) -> bool {
        let Some(lead) = key.lead(self.cards[range.clone()].first()) else { return false };
        let stray = self.cards.get(range.end).is_some_and(continues);
        let Some(cards) = format_cards(&lead, value, comment, stray) else { return false };
        self.cards.splice(range, cards);
        true
    }

    /// Gives the first card of `old` another keyword, and leaves its value and its comment as they are. Only where the
    /// new keyword is so long that they have no room are they written anew, as [`set`](Self::set) would.
    ///
    /// `false`, and nothing changed: there is no `old`, it is COMMENT, HISTORY or blank, `new` is there already or
    /// cannot be written.
    pub fn rename(&mut self, old: &str, new: &str) -> bool {
        let (Some(cards), key) = (self.find(old), Key::new(new)) else { return false };
        let card = &self.cards[cards.start];
        let parts = split(card);
        if is_commentary(parts.name) || self.all(new).any(|other| other != cards) {
            return false;
        }
        let Some(lead) = key.lead(None) else { return false };
        let mut renamed = *card;
        if !is_hierarch(&lead) && !parts.hierarch {
            renamed[..8].copy_from_slice(&lead.as_bytes()[..8]);
        } else {
            let Some(field) = parts.field.map(|at| card[at..].trim_ascii()) else { return false };
            if lead.len() + field.len() > CARD {
                let Some(value) = self.value(&cards).filter(|v| *v != Value::Undefined) else { return false };
                let comment = self.comment_of(&cards);
                // As if there were no card, so that its form is that of the new keyword.
                let stray = self.cards.get(cards.end).is_some_and(continues);
                let Some(anew) = format_cards(&lead, &value, &comment, stray) else { return false };
                self.cards.splice(cards, anew);
                return true;
            }
            renamed = BLANK;
            renamed[..lead.len()].copy_from_slice(lead.as_bytes());
            renamed[lead.len()..lead.len() + field.len()].copy_from_slice(field);
        }
        self.cards[cards.start] = renamed;
        true
    }

    /// Removes every card of this keyword, with its CONTINUE cards.
    pub fn remove(&mut self, key: &str) {
        let gone: Vec<Range<usize>> = self.all(key).collect();
        self.take_out(&gone);
    }

    /// Removes the `n`-th card of this keyword, counted from 0, with its CONTINUE cards; whether there was one.
    pub fn remove_nth(&mut self, key: &str, n: usize) -> bool {
        let gone = self.all(key).nth(n);
        gone.is_some_and(|cards| {
            self.take_out(&[cards]);
            true
        })
    }

    /// Removes every card for whose keyword (in upper case) `which` is true, with its CONTINUE cards.
    pub(crate) fn remove_where(&mut self, which: impl Fn(&str) -> bool) {
        let hit = |cards: &Range<usize>| which(&lossy(split(&self.cards[cards.start]).name).to_ascii_uppercase());
        let gone: Vec<Range<usize>> = self.logical().filter(hit).collect();
        self.take_out(&gone);
    }

    /// Removes cards; `gone` is in order.
    fn take_out(&mut self, gone: &[Range<usize>]) {
        if gone.is_empty() {
            return;
        }
        let mut kept = Vec::with_capacity(self.cards.len());
        let mut from = 0;
        for cards in gone {
            kept.extend_from_slice(&self.cards[from..cards.start]);
            from = cards.end;
            // A string that ends in `&` must not take in a CONTINUE card that was not its own.
            if self.cards.get(from).is_some_and(continues) && kept.last().is_some_and(is_open) {
                kept.push(BLANK);
            }
        }
        kept.extend_from_slice(&self.cards[from..]);
        self.cards = kept;
    }

    /// Appends COMMENT cards: one line, folded at 72 characters.
    pub fn push_comment(&mut self, line: &str) {
        self.push_commentary(b"COMMENT ", line);
    }

    /// Appends HISTORY cards: one line, folded at 72 characters.
    pub fn push_history(&mut self, line: &str) {
        self.push_commentary(b"HISTORY ", line);
    }

    fn push_commentary(&mut self, keyword: &[u8; 8], line: &str) {
        let text: Vec<u8> = line.bytes().map(printable).collect();
        let mut rest = text.as_slice();
        loop {
            let (piece, more) = rest.split_at(rest.len().min(CARD - 8));
            let mut card = BLANK;
            card[..8].copy_from_slice(keyword);
            card[8..8 + piece.len()].copy_from_slice(piece);
            self.cards.push(card);
            if more.is_empty() {
                return;
            }
            rest = more;
        }
    }

    /// The bytes: cards, END, blanks to a whole block.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.cards.concat();
        out.extend_from_slice(b"END");
        out.resize(out.len().next_multiple_of(BLOCK), b' ');
        out
    }

    /// What is not as the FITS standard wants it, though it is read: at most ten lines, and one that counts the rest.
    /// Cards are counted from 1.
    pub(crate) fn oddities(&self) -> Vec<String> {
        const SHOWN: usize = 10;
        let mut found = Vec::new();
        let mut more = 0usize;
        for cards in self.logical() {
            for at in cards.clone() {
                odd(&self.cards[at], at > cards.start, |what| {
                    if found.len() < SHOWN {
                        found.push(format!("card {}: {}", at + 1, what()));
                    } else {
                        more += 1;
                    }
                });
            }
        }
        if more > 0 {
            found.push(format!("and {more} more"));
        }
        found
    }
}

/// Tells `note` what is odd about a card. `own` is true for a CONTINUE card of a long string.
fn odd(card: &[u8; CARD], own: bool, mut note: impl FnMut(&dyn Fn() -> String)) {
    let parts = split(card);
    let name = || escape(&lossy(parts.name));
    if card.iter().any(|&b| printable(b) != b) {
        note(&|| "bytes that are not printable ASCII".to_string());
    }
    if is_continue(card) && !own {
        note(&|| "CONTINUE follows no string that goes on".to_string());
    }
    if !parts.hierarch && !parts.name.is_empty() {
        let upper = parts.name.to_ascii_uppercase();
        if upper != parts.name && is_standard(&upper) {
            note(&|| format!("lower-case keyword `{}`", name()));
        } else if parts.field.is_none() && (card[..8].contains(&b'=') || card[9] == b'=') {
            note(&|| format!("`{}`: the `=` is not in column 9, so this is no value", name()));
        } else if upper != b"HIERARCH" && !is_standard(&upper) {
            note(&|| format!("keyword `{}` has characters that no keyword may have", name()));
        }
    }
    if parts.field == Some(9) && card[9] != b' ' {
        note(&|| format!("no blank behind the `=` of `{}`", name()));
    }
    if let Some(string) = string_of(card) {
        if !string.closed {
            note(&|| format!("the string of `{}` has no closing quote", name()));
        } else if string.loose {
            note(&|| format!("the string of `{}` has a quote that is not doubled", name()));
        }
    } else if let Some(field) = parts.field.map(|at| &card[at..])
        && parse_value(field) == Value::Undefined
        && !word(field).is_empty()
    {
        note(&|| format!("value of `{}` is not understood", name()));
    }
}

/// Whether this card ends a header. Junk behind END is let pass, unless it could be the rest of a keyword.
fn is_end(card: &[u8; CARD]) -> bool {
    let Some(rest) = card.strip_prefix(b"END") else { return false };
    match rest.iter().position(|&b| b != b' ' && b != 0) {
        Some(at) => at >= 5 || !(rest[at].is_ascii_alphanumeric() || b"-_".contains(&rest[at])),
        None => true,
    }
}

fn is_continue(card: &[u8; CARD]) -> bool {
    card.starts_with(CONTINUE)
}

/// Whether this card can carry on a string.
fn continues(card: &[u8; CARD]) -> bool {
    is_continue(card) && card[CONTINUE.len()..].trim_ascii_start().starts_with(b"'")
}

/// Whether the string of this card wants a CONTINUE card.
fn is_open(card: &[u8; CARD]) -> bool {
    string_of(card).is_some_and(|q| q.text.ends_with(b"&"))
}

/// Whether no card of this keyword has a value.
fn is_commentary(name: &[u8]) -> bool {
    [&b""[..], b"COMMENT", b"HISTORY", b"CONTINUE", b"END"].iter().any(|r| name.eq_ignore_ascii_case(r))
}

/// Whether this is a keyword as the standard wants it.
fn is_standard(name: &[u8]) -> bool {
    (1..=8).contains(&name.len())
        && name.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b"-_".contains(b))
}

/// Whether the card that starts so is a HIERARCH card.
fn is_hierarch(lead: &str) -> bool {
    lead.starts_with("HIERARCH ")
}

/// A keyword as it is asked for.
struct Key<'a> {
    name: &'a [u8],
    /// It was said to be a HIERARCH keyword.
    hierarch: bool,
}

impl<'a> Key<'a> {
    fn new(key: &'a str) -> Self {
        let key = key.trim_matches(' ');
        match key.split_at_checked(9) {
            Some((start, name)) if start.eq_ignore_ascii_case("HIERARCH ") => {
                Key { name: name.trim_start_matches(' ').as_bytes(), hierarch: true }
            }
            _ => Key { name: key.as_bytes(), hierarch: false },
        }
    }

    /// Whether `card` is of this keyword, in whatever case.
    fn names(&self, card: &[u8; CARD]) -> bool {
        // Most cards are told apart here already; this decides how long it takes to look for a keyword.
        let start = &self.name[..self.name.len().min(8)];
        if !card[..start.len()].eq_ignore_ascii_case(start) && !card[0].eq_ignore_ascii_case(&b'H') {
            return false;
        }
        let parts = split(card);
        parts.name.eq_ignore_ascii_case(self.name) && (parts.hierarch || !self.hierarch)
    }

    /// How a card of this keyword starts, up to its value. A HIERARCH card that is replaced stays one.
    fn lead(&self, replaced: Option<&[u8; CARD]>) -> Option<String> {
        if is_commentary(self.name) || self.name.eq_ignore_ascii_case(b"HIERARCH") {
            return None;
        }
        let old = replaced.map(split).filter(|parts| parts.hierarch);
        if old.is_some() || self.hierarch || self.name.len() > 8 || self.name.contains(&b' ') {
            let name = old.map_or(self.name, |parts| parts.name);
            let legal = name.iter().all(|&b| printable(b) == b && b != b'=');
            return legal.then(|| format!("HIERARCH {} = ", lossy(name)));
        }
        let upper = self.name.to_ascii_uppercase();
        is_standard(&upper).then(|| format!("{:<8}= ", lossy(&upper)))
    }
}

/// What a card says before its value.
struct Parts<'a> {
    /// The keyword; of a HIERARCH card the words before its `=`.
    name: &'a [u8],
    hierarch: bool,
    /// Where the value and the comment start; `None` for a card without a value.
    field: Option<usize>,
}

fn split(card: &[u8; CARD]) -> Parts<'_> {
    if card[..9].eq_ignore_ascii_case(b"HIERARCH ")
        && let Some(equals) = card.iter().position(|&b| b == b'=')
    {
        let name = trim_end(&card[9..equals]);
        let name = &name[name.iter().take_while(|&&b| b == b' ').count()..];
        if !name.is_empty() {
            return Parts { name, hierarch: true, field: Some(equals + 1) };
        }
    }
    let name = trim_end(&card[..8]);
    // The blank behind the `=` is left out by some; a commentary keyword has no value, whatever follows it.
    let field = (card[8] == b'=' && !is_commentary(name)).then_some(9);
    Parts { name, hierarch: false, field }
}

/// Without blanks at the end. Tabs and the like are no blanks.
fn trim_end(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().rposition(|&b| b != b' ').map_or(0, |at| at + 1)]
}

/// Text, without blanks at its end.
fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(trim_end(bytes)).into_owned()
}

/// What stands before the comment, if it is no string.
fn word(field: &[u8]) -> &[u8] {
    field.split(|&b| b == b'/').next().unwrap_or_default().trim_ascii()
}

fn parse_value(field: &[u8]) -> Value {
    if let Some(quoted) = field.trim_ascii_start().strip_prefix(b"'") {
        return Value::Text(lossy(&unquote(quoted).text));
    }
    match word(field) {
        b"T" => Value::Logical(true),
        b"F" => Value::Logical(false),
        [b'(', pair @ .., b')'] => parse_complex(pair).unwrap_or(Value::Undefined),
        word => parse_number(word).unwrap_or(Value::Undefined),
    }
}

fn parse_complex(pair: &[u8]) -> Option<Value> {
    let mut parts = pair.splitn(2, |&b| b == b',').map(|part| match parse_number(part.trim_ascii())? {
        Value::Integer(i) => Some(i as f64),
        Value::Real(r) => Some(r),
        _ => None,
    });
    Some(Value::Complex(parts.next()??, parts.next()??))
}

fn parse_number(word: &[u8]) -> Option<Value> {
    // No names of numbers: Rust reads `inf`, FITS has none.
    if !word.iter().all(|b| b.is_ascii_digit() || b"+-.EeDd".contains(b)) {
        return None;
    }
    let word = std::str::from_utf8(word).ok()?;
    if let Ok(i) = word.parse() {
        return Some(Value::Integer(i));
    }
    // An integer beyond i64 (BZERO = 9223372036854775808) is a real.
    let real: f64 = word.replace(['D', 'd'], "E").parse().ok()?;
    real.is_finite().then_some(Value::Real(real))
}

/// A quoted string as it stands on one card.
struct Quoted<'a> {
    /// Without blanks at the end, quotes single.
    text: Vec<u8>,
    /// What follows the closing quote.
    rest: &'a [u8],
    closed: bool,
    /// It has a quote inside that is not doubled.
    loose: bool,
}

/// The string behind an opening quote. One that is not closed goes to the end of the card.
fn unquote(quoted: &[u8]) -> Quoted<'_> {
    let mut string = Quoted { text: Vec::new(), rest: &[], closed: false, loose: false };
    let mut at = 0;
    while at < quoted.len() {
        if quoted[at] == b'\'' {
            match quoted.get(at + 1) {
                Some(b'\'') => at += 1,
                // `'O'Neill'`: behind a closing quote there is a blank, a slash or nothing.
                Some(b) if b.is_ascii_graphic() && *b != b'/' && quoted[at + 1..].contains(&b'\'') => {
                    string.loose = true;
                }
                _ => {
                    string.closed = true;
                    string.rest = &quoted[at + 1..];
                    break;
                }
            }
        }
        string.text.push(quoted[at]);
        at += 1;
    }
    string.text.truncate(trim_end(&string.text).len());
    string
}

/// Where the value starts, on a CONTINUE card too.
fn field_of(card: &[u8; CARD]) -> Option<usize> {
    if is_continue(card) { Some(CONTINUE.len()) } else { split(card).field }
}

/// The string of this one card.
fn string_of(card: &[u8; CARD]) -> Option<Quoted<'_>> {
    card[field_of(card)?..].trim_ascii_start().strip_prefix(b"'").map(unquote)
}

/// Where the slash before the comment stands.
fn slash_of(card: &[u8; CARD]) -> Option<usize> {
    let from = match string_of(card) {
        Some(string) => CARD - string.rest.len(),
        None => field_of(card)?,
    };
    card[from..].iter().position(|&b| b == b'/').map(|at| from + at)
}

/// The comment of this one card.
fn comment_of(card: &[u8; CARD]) -> &[u8] {
    slash_of(card).map_or(&[], |slash| card[slash + 1..].trim_ascii())
}

/// The card with another comment. `None` if it has no value, no room for a comment, or a string without an end that would
/// take the comment in.
fn with_comment(card: &[u8; CARD], comment: &[u8]) -> Option<[u8; CARD]> {
    let field = field_of(card)?;
    let slash = slash_of(card);
    let end = trim_end(&card[..slash.unwrap_or(CARD)]).len();
    let mut out = *card;
    out[end..].fill(b' ');
    let comment = comment.trim_ascii();
    if comment.is_empty() {
        return Some(out);
    }
    // Where it was, or behind the fixed format, unless the comment needs the room.
    let wide = slash.unwrap_or(if field == 9 { end.max(FIXED) } else { end } + 1);
    let at = if wide + 2 + comment.len() > CARD { end + 1 } else { wide };
    let room = out.get_mut(at + 2..).filter(|room| !room.is_empty())?;
    room.iter_mut().zip(comment).for_each(|(to, &from)| *to = printable(from));
    out[at] = b'/';
    let text = |card| string_of(card).map(|string| string.text);
    (text(&out) == text(card)).then_some(out)
}

/// FITS allows only printable ASCII.
fn printable(b: u8) -> u8 {
    if (32..127).contains(&b) { b } else { b'?' }
}

fn card(text: &str) -> [u8; CARD] {
    let mut card = BLANK;
    for (to, from) in card.iter_mut().zip(text.bytes()) {
        *to = printable(from);
    }
    card
}

/// The card that starts with `lead`, or for a string that is too long the card and its CONTINUE cards. `None` if the
/// keyword leaves no room, or if FITS has no such value. `stray`: a CONTINUE card follows that is not to be taken in.
fn format_cards(lead: &str, value: &Value, comment: &[u8], stray: bool) -> Option<Vec<[u8; CARD]>> {
    let note: String = comment.trim_ascii().iter().map(|&b| char::from(printable(b))).collect();
    let comment = if note.is_empty() { String::new() } else { format!(" / {note}") };
    let plain = |v: String| {
        let v = if is_hierarch(lead) { v } else { format!("{v:>20}") };
        // A comment may be cut, a value may not.
        (lead.len() + v.len() <= CARD).then(|| vec![card(&format!("{lead}{v}{comment}"))])
    };
    let text = match value {
        Value::Logical(b) => return plain(if *b { "T" } else { "F" }.to_string()),
        Value::Integer(i) => return plain(i.to_string()),
        Value::Real(r) => return plain(format_real(*r)?),
        Value::Complex(re, im) => return plain(format!("({}, {})", format_real(*re)?, format_real(*im)?)),
        Value::Undefined => return plain(String::new()),
        Value::Text(t) => t.trim_end_matches(' ').bytes().map(|b| char::from(printable(b))).collect::<String>(),
    };
    let quoted = text.replace('\'', "''");
    let shut = stray && text.ends_with('&');
    if lead.len() + quoted.len() + 2 <= CARD && !shut {
        return Some(vec![card(&format!("{lead}{:<20}{comment}", format!("'{quoted:<8}'")))]);
    }
    // Two quotes, a character that may be a doubled quote, and the sign that more follows.
    if lead.len() + 5 > CARD {
        return None;
    }
    let mut cards = Vec::new();
    let mut rest = quoted.as_str();
    let mut lead = lead;
    loop {
        let room = CARD - lead.len() - 2;
        if rest.len() + comment.len() <= room && !shut {
            cards.push(card(&format!("{lead}'{rest}'{comment}")));
            return Some(cards);
        }
        if rest.len() < room {
            // The comment goes on cards of its own.
            cards.push(card(&format!("{lead}'{rest}&'")));
            let mut pieces = fold(&note, CARD - "CONTINUE  '&' / ".len()).into_iter().peekable();
            while let Some(piece) = pieces.next() {
                let more = if pieces.peek().is_some() { "&" } else { "" };
                let slash = if piece.is_empty() { "" } else { " / " };
                cards.push(card(&format!("CONTINUE  '{more}'{slash}{piece}")));
            }
            return Some(cards);
        }
        let mut cut = room - 1;
        // A doubled quote must not be torn.
        if rest[..cut].bytes().rev().take_while(|&b| b == b'\'').count() % 2 == 1 {
            cut -= 1;
        }
        cards.push(card(&format!("{lead}'{}&'", &rest[..cut])));
        rest = &rest[cut..];
        lead = "CONTINUE  ";
    }
}

/// Pieces of at most `width` characters of ASCII text, broken at blanks where there are any; one if it is empty.
fn fold(text: &str, width: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.len() > width {
        let (piece, more) = match rest[..=width].rfind(' ') {
            Some(blank) if blank > 0 => (&rest[..blank], &rest[blank + 1..]),
            _ => rest.split_at(width),
        };
        pieces.push(piece);
        rest = more.trim_start_matches(' ');
    }
    pieces.push(rest);
    pieces
}

/// A real as FITS wants it: with a point, and as many digits as bring the same f64 back. `None` if it is not finite.
fn format_real(r: f64) -> Option<String> {
    if !r.is_finite() {
        return None;
    }
    if r == r.trunc() && r.abs() < 1e15 {
        return Some(format!("{r:.1}"));
    }
    let s = format!("{r:?}").replace('e', "E");
    Some(if s.contains('.') || !s.contains('E') { s } else { s.replacen('E', ".0E", 1) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(lines: &[&str]) -> Header {
        Header { cards: lines.iter().map(|l| card(l)).collect() }
    }

    fn lines(h: &Header) -> Vec<String> {
        h.to_string().lines().map(str::to_string).collect()
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
            "COMPLEX = (1, -2.5D1) / of integer and real",
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
        assert_eq!(h.get_complex("COMPLEX"), Some((1.0, -25.0)));
        assert_eq!(h.get("NOVALUE"), Some(Value::Undefined));
        assert_eq!(h.get_i64("ESO DET CHIP"), Some(7));
        assert_eq!(h.get_str("LONG").as_deref(), Some("one two three"));
        assert_eq!(h.get("BIT"), None);
        // FITS standard 4.0, section 4.1.2.2: a commentary keyword has no value, whatever follows it.
        assert_eq!(h.get("COMMENT"), None);
    }

    #[test]
    fn cards_as_they_are_met() {
        // Value and comment of astropy 8.0.2, unless a reason is given.
        let text = |t: &str| Some(Value::Text(t.into()));
        let cases = [
            ("FOO     = 1.E5", Some(Value::Real(1e5)), None),
            ("FOO     = +3", Some(Value::Integer(3)), None),
            ("FOO     = .5", Some(Value::Real(0.5)), None),
            ("FOO     = 5./c", Some(Value::Real(5.0)), Some("c")),
            ("FOO     = -.5d-3", Some(Value::Real(-0.0005)), None),
            ("FOO     = 00012", Some(Value::Integer(12)), None),
            ("FOO     = T / free", Some(Value::Logical(true)), Some("free")),
            ("FOO     = (1 , 2 )", Some(Value::Complex(1.0, 2.0)), None),
            ("FOO     = 'it''s' / it's", text("it's"), Some("it's")),
            ("FOO     = ''''/ one quote", text("'"), Some("one quote")),
            ("FOO     = '' / null", text(""), Some("null")),
            ("FOO     = 'a/b' /c/d", text("a/b"), Some("c/d")),
            ("FOO     = 'O'Neill' / observer", text("O'Neill"), Some("observer")),
            ("FOO     = 'AT&T &' / amp", text("AT&T &"), Some("amp")),
            ("FOO     = / only comment", Some(Value::Undefined), Some("only comment")),
            ("foo     = 7", Some(Value::Integer(7)), None),
            ("HIERARCH FOO=7/c", Some(Value::Integer(7)), Some("c")),
            ("HIERARCH  FOO  =  'y' / z", text("y"), Some("z")),
            // astropy takes no value without the blank, no tab, and no card of its HIERARCH in lower case.
            ("FOO     =F / c", Some(Value::Logical(false)), Some("c")),
            ("FOO     =\t7\t/ tab", Some(Value::Integer(7)), Some("tab")),
            ("hierarch foo = 3", Some(Value::Integer(3)), None),
            // astropy gives up on the value.
            ("FOO     = 'abc / no end", text("abc / no end"), None),
            ("FOO     = 'abc'def / c", text("abc"), Some("c")),
            ("FOO     = NaN", Some(Value::Undefined), None),
            ("FOO     = TRUE", Some(Value::Undefined), None),
            ("FOO     = -1.38E+00, -1.69E+00 /Measure", Some(Value::Undefined), Some("Measure")),
            // No f64; astropy makes it infinite.
            ("FOO     = 1E400", Some(Value::Undefined), None),
            // The standard wants no blanks inside a number (section 4.2.3); astropy reads -5.
            ("FOO     = - 5", Some(Value::Undefined), None),
            // No indicator in column 9, so no value; astropy reads 8.
            ("FOO = 8", None, None),
            ("FOO=9", None, None),
        ];
        for (line, value, comment) in cases {
            let line = card(&line.replace('\t', "?")).map(|b| if line.contains('\t') && b == b'?' { b'\t' } else { b });
            let h = Header::from_cards([line]);
            assert_eq!((h.get("FOO"), h.comment("FOO").as_deref()), (value, comment), "{h}");
        }
    }

    #[test]
    fn an_ampersand_is_text_where_nothing_goes_on() {
        let h = header(&[
            "A       = 'one&'",
            "B       = 'two&' / of b",
            "CONTINUE  'three&' / more of b",
            "C       = 'four'",
            "CONTINUE  'stray'",
            "D       = 'five&'",
            "CONTINUE  / no string",
        ]);
        let found: Vec<_> = h.iter().map(|e| (e.keyword, e.value, e.comment, e.cards.len())).collect();
        let entry = |key: &str, text: &str, comment: Option<&str>, n| {
            (key.to_string(), Some(Value::Text(text.into())), comment.map(str::to_string), n)
        };
        let none = |key: &str| (key.to_string(), None, None, 1);
        // Section 4.2.1.2 of the standard; astropy 8.0.2 drops the last ampersand of B and adds to C.
        let want = vec![
            entry("A", "one&", None, 1),
            entry("B", "twothree&", Some("of b more of b"), 2),
            entry("C", "four", None, 1),
            none("CONTINUE"),
            entry("D", "five&", None, 1),
            none("CONTINUE"),
        ];
        assert_eq!(found, want);
    }

    #[test]
    fn nothing_is_taken_in_by_an_ampersand() {
        let mut h = header(&["A       = 5", "CONTINUE  'stray'", "B       = 'x&'", "C       = 5", "CONTINUE  'stray'"]);
        assert!(h.set("A", "ends with &", "a comment"));
        assert_eq!(h.get_str("A").as_deref(), Some("ends with &"));
        assert_eq!(h.comment("A").as_deref(), Some("a comment"));
        h.remove("C");
        assert_eq!(h.get_str("B").as_deref(), Some("x&"));
        assert_eq!(h.count("CONTINUE"), 2);
        h.remove("CONTINUE");
        assert_eq!((h.count("CONTINUE"), h.get_str("A").as_deref()), (0, Some("ends with &")));
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
    fn any_case_is_found_and_upper_case_written() {
        let mut h = header(&["exptime = 3.0 / old", "EXPTIME = 4.0", "HIERARCH eso Det = 1 / deep", "A.B     = 1"]);
        assert_eq!(
            (h.get_f64("EXPTIME"), h.get_f64("exptime"), h.get_f64("ExpTime")),
            (Some(4.0), Some(4.0), Some(4.0))
        );
        assert_eq!((h.count("EXPTIME"), h.get_all("Exptime").count()), (2, 2));
        assert_eq!((h.get_i64("ESO DET"), h.get_i64("hierarch eso Det")), (Some(1), Some(1)));
        assert!(h.set("exptime", 5.0, "") && h.set("ESO DET", 2i64, ""));
        assert_eq!(&h.cards()[1][..], &card("EXPTIME =                  5.0")[..]);
        assert_eq!(&h.cards()[2][..], &card("HIERARCH eso Det = 2 / deep")[..]);
        assert!(h.remove_nth("EXPTIME", 1) && h.set("exptime", 6.0, ""));
        assert_eq!(&h.cards()[0][..], &card("EXPTIME =                  6.0 / old")[..]);
        assert!(h.set("HIERARCH A.C", 3i64, ""));
        assert_eq!(&h.cards()[3][..], &card("HIERARCH A.C = 3")[..]);
        // Found as it is, but not to be written again.
        assert!(!h.set("A.B", 2i64, "") && h.get_i64("A.B") == Some(1));
        h.remove("exptime");
        assert!(!h.contains("EXPTIME"));
    }

    #[test]
    fn what_makes_no_legal_card_is_refused() {
        let mut h = header(&["COMMENT x", "A       = 1", "CONTINUE  'stray'"]);
        let before = h.clone();
        let reserved =
            ["", " ", "END", "end", "CONTINUE", "COMMENT", "HISTORY", "HIERARCH", "HIERARCH END", "HIERARCH "];
        for key in reserved.into_iter().chain(["A.B", "Ä", "A=B", "LONGER KEY=", "LONGER\tKEYWORD", "A\n", "'"]) {
            assert!(!h.set(key, 1i64, "") && !h.append(key, "x", "") && !h.rename("A", key), "{key:?}");
        }
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(!h.set("A", value, "") && !h.set("A", (1.0, value), ""));
        }
        assert!(!h.rename("COMMENT", "B") && !h.rename("B", "C") && !h.set_comment("COMMENT", "c"));
        assert!(!h.set_comment("CONTINUE", "c"));
        assert!(!h.insert_before("B", "C", 1i64, "") && !h.insert_after("B", "C", 1i64, "") && !h.remove_nth("A", 1));
        assert_eq!(h, before);
        assert!(h.set("A", "tab\tand é", "li\nne"));
        assert_eq!(&h.cards()[1][..], &card("A       = 'tab?and ??'         / li?ne")[..]);
    }

    #[test]
    fn a_comment_is_changed_and_the_value_is_not() {
        let mut h = header(&[
            "A       = 1.50D0 /old",
            "B       = 'x'",
            "C       = 'a string without an end",
            "D       =                    1",
            "HIERARCH ESO X = 1.20",
            "E       = 'a value that leaves little room for the comment that is to come' / c",
        ]);
        for key in ["A", "B", "D", "ESO X", "E"] {
            assert!(h.set_comment(key, "new"), "{key}");
        }
        assert!(!h.set_comment("C", "new") && !h.set_comment("F", "new"));
        assert_eq!(
            lines(&h),
            [
                "A       = 1.50D0 / new",
                "B       = 'x'                  / new",
                "C       = 'a string without an end",
                "D       =                    1 / new",
                "HIERARCH ESO X = 1.20 / new",
                "E       = 'a value that leaves little room for the comment that is to come' / ne",
            ]
        );
        assert!(h.set_comment("A", "") && h.comment("A").is_none() && h.cards()[0] == card("A       = 1.50D0"));
    }

    #[test]
    fn comments_of_long_strings() {
        let text = "a long string that goes on, ".repeat(5);
        let note = "and a comment that is itself so long that it wants more than one card to stand on, / with a slash";
        let mut h = Header::new();
        assert!(h.set("KEY", text.as_str(), note));
        assert_eq!((h.get_str("KEY").as_deref(), h.comment("KEY").as_deref()), (Some(text.trim_end()), Some(note)));
        assert!(h.set("KEY", "another long string, ".repeat(9), ""));
        assert_eq!(h.comment("KEY").as_deref(), Some(note));
        assert!(h.set_comment("KEY", "short"));
        assert_eq!(h.comment("KEY").as_deref(), Some("short"));
        assert_eq!(h.get_str("KEY"), Some("another long string, ".repeat(9).trim_end().to_string()));
        // As astropy 8.0.2 joins it.
        let h = header(&["A       = 'one &' / first", "CONTINUE  'two &' / second", "CONTINUE  '' / third"]);
        assert_eq!(h.get_str("A").as_deref(), Some("one two"));
        assert_eq!(h.comment("A").as_deref(), Some("first second third"));
        // What may not be written is kept, though its comment changes.
        let mut h = header(&["A       = 'one?&' / first", "CONTINUE  'two' / second"]);
        h.cards[0][14] = 0xe9;
        assert!(h.set_comment("A", "new"));
        assert_eq!((h.cards[0][14], h.comment("A").as_deref()), (0xe9, Some("new")));
    }

    #[test]
    fn duplicates() {
        let mut h = header(&["A       = 1", "A       = 'two &'", "CONTINUE  'long'", "B       = 0", "a       = 3"]);
        let all = |h: &Header| h.get_all("A").collect::<Vec<_>>();
        assert_eq!(all(&h), [Value::Integer(1), Value::Text("two long".into()), Value::Integer(3)]);
        assert!(h.append("A", (0.5, -1.0), "complex"));
        assert_eq!(h.get_all("A").last(), Some(Value::Complex(0.5, -1.0)));
        assert!(h.remove_nth("A", 1) && h.count("A") == 3 && h.len() == 4 && h.position("B") == Some(1));
        assert!(!h.rename("B", "A") && h.rename("A", "C"));
        h.remove("A");
        assert_eq!(lines(&h), ["C       = 1", "B       = 0"]);
    }

    #[test]
    fn rename_leaves_the_rest_of_the_card() {
        let mut h =
            header(&["A       = 1.50D0 /old", "B       = 'one &'", "CONTINUE  'two' / c", "HIERARCH ESO X = 1.0E5/y"]);
        assert!(h.rename("A", "a2") && h.rename("B", "ESO B") && h.rename("ESO X", "X"));
        assert_eq!(
            lines(&h),
            ["A2      = 1.50D0 /old", "HIERARCH ESO B = 'one &'", "CONTINUE  'two' / c", "X       = 1.0E5/y"]
        );
        let long = "ESO ".to_string() + &"K".repeat(55);
        assert!(h.rename("ESO B", &long) && !h.rename("X", &"K ".repeat(40)));
        assert_eq!((h.get_str(&long).as_deref(), h.comment(&long).as_deref()), (Some("one two"), Some("c")));
    }

    #[test]
    fn inserting_tears_no_string() {
        let mut h = header(&["A       = 'one &'", "CONTINUE  'two &'", "CONTINUE  'three'", "B       = 2"]);
        assert!(h.insert(1, "X", 1i64, "") && h.insert(2, "Y", 2i64, "") && h.insert(99, "Z", 3i64, ""));
        assert!(h.insert_before("A", "V", true, "") && h.insert_after("A", "W", "w", ""));
        let order: Vec<String> = h.iter().map(|e| e.keyword).collect();
        assert_eq!(order, ["V", "A", "W", "Y", "X", "B", "Z"]);
        assert_eq!(h.get_str("A").as_deref(), Some("one two three"));
    }

    #[test]
    fn commentary() {
        let mut h = header(&["COMMENT one", "", "HISTORY   two", "COMMENT", "        free text", "COMMENT = 3"]);
        h.push_comment(&"x".repeat(100));
        h.push_history("");
        let (comments, history): (Vec<_>, Vec<_>) = (h.comments().collect(), h.history().collect());
        assert_eq!(comments, ["one", "", "= 3", &"x".repeat(72), &"x".repeat(28)]);
        assert_eq!(history, ["  two", ""]);
        let blank: Vec<_> = h.iter().filter(|e| e.keyword.is_empty()).map(|e| (e.value, e.text)).collect();
        assert_eq!(blank, [(None, Some(String::new())), (None, Some("free text".into()))]);
    }

    #[test]
    fn whole_numbers_are_exact() {
        let h = header(&[
            "A       = 18446744073709551615",
            "B       = 9007199254740993",
            "C       = -1",
            "D       = 32768.0",
        ]);
        assert_eq!(h.get("A"), Some(Value::Real(18446744073709551615.0)));
        let all: Vec<_> = ["A", "B", "C", "D"].iter().map(|k| h.get_u64(k)).collect();
        assert_eq!(all, [Some(u64::MAX), Some(9007199254740993), None, Some(32768)]);
    }

    #[test]
    fn end_with_junk_is_an_end() {
        for end in ["END", "END\0\0\0", "END     junk", "END / junk", "END     = 5"] {
            let mut bytes = [[b' '; CARD]; 36].concat();
            bytes[CARD..CARD + end.len()].copy_from_slice(end.as_bytes());
            assert_eq!(Header::from_bytes(&bytes).map(|h| h.len()).ok(), Some(1), "{end:?}");
        }
        for card_text in ["ENDTIME = 5", "END OF NIGHT", "END-X   = 5", "END_X   = 5", "ENd"] {
            assert!(!is_end(&card(card_text)), "{card_text:?}");
        }
        let error = Header::from_bytes(&[b' '; 2880]).unwrap_err().to_string();
        assert_eq!(error, "not a FITS header: no END card in its 2880 bytes");
        assert_eq!(Header::from_cards([card("A       = 1"), card("END"), card("B       = 1")]).len(), 1);
    }

    #[test]
    fn display_is_fit_for_a_terminal() {
        let mut h = header(&["A       = 1", "", "COMMENT ?[2J"]);
        h.cards[2][8] = 27;
        assert_eq!(h.to_string(), "A       = 1\n\nCOMMENT \\u{1b}[2J\n");
    }

    #[test]
    fn oddities_are_named() {
        let mut h = header(&[
            "SIMPLE  =                    T / nothing odd",
            "exptime = 3",
            "FOO     = 'no end",
            "COMMENT ?",
            "X       = 5 apples",
            "FOO=5",
            "A.B     = 1",
            "Y       =1",
            "CONTINUE  'stray'",
            "LONG    = 'one &'",
            "CONTINUE  'two'",
            "N       = 'O'Neill'",
            "HIERARCH ESO X = 1",
            "LONG    = / nothing",
        ]);
        h.cards[3][8] = 0;
        let found = h.oddities();
        let want = [
            "card 2: lower-case keyword `exptime`",
            "card 3: the string of `FOO` has no closing quote",
            "card 4: bytes that are not printable ASCII",
            "card 5: value of `X` is not understood",
            "card 6: `FOO=5`: the `=` is not in column 9, so this is no value",
            "card 7: keyword `A.B` has characters that no keyword may have",
            "card 8: no blank behind the `=` of `Y`",
            "card 9: CONTINUE follows no string that goes on",
            "card 12: the string of `N` has a quote that is not doubled",
        ];
        assert_eq!(found, want);
        let many = header(&["x       = 1"; 25]).oddities();
        assert_eq!((many.len(), many[10].as_str()), (11, "and 15 more"));
    }

    proptest! {
        #[test]
        fn oddities_of_anything(bytes in prop::collection::vec(any::<u8>(), 0..40 * CARD)) {
            prop_assert!(Header::from_cards(bytes.as_chunks::<CARD>().0.iter().copied()).oddities().len() <= 11);
        }
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
