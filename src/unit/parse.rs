//! Reading of unit strings: FITS standard 4.0, section 4.3.1, and what the module says of other spellings.
//!
//! Whether a text is a unit does not depend on what surrounds it, so that a text that is none is an opaque unit, in
//! parentheses as on its own, and a composed unit reads back.

use super::product::{Base, Number, Product};
use super::ratio::Ratio;
use super::table::{Context, Word, is_word_char, look_up};

/// Longest text that is read, in bytes.
const MAX_TEXT: usize = 1024;
/// Most parentheses in each other.
const MAX_DEPTH: usize = 32;
/// Most digits of a number.
const MAX_DIGITS: usize = 40;

/// Why there is no unit.
enum Stop {
    Syntax,
    /// Of the whole text, whatever it is inside of.
    Depth,
}

type Result<T> = std::result::Result<T, Stop>;

/// `None` if the text as a whole is opaque.
pub(super) fn parse(text: &str) -> Option<Product> {
    if text.len() > MAX_TEXT {
        return None;
    }
    if text.is_empty() {
        return Some(Product::default());
    }
    expression(text, Context::of(text), 0).ok()
}

/// An opaque text as it stands among other factors; [`parse`] reads it back.
pub(super) fn quoted(text: &str) -> String {
    if text.chars().all(is_word_char) {
        return text.into();
    }
    let plain = format!("({text})");
    if parse(&plain).is_some_and(|p| p.is_opaque(text)) {
        return plain;
    }
    let mut escaped = String::from("(");
    for c in text.chars() {
        if matches!(c, '(' | ')' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped + ")"
}

/// What [`quoted`] was given.
fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = if c == '\\' { chars.next_if(|c| matches!(c, '(' | ')' | '\\')) } else { None };
        plain.push(escaped.unwrap_or(c));
    }
    plain
}

/// Factors with operators between them.
fn expression(text: &str, context: Context, depth: usize) -> Result<Product> {
    if depth > MAX_DEPTH {
        return Err(Stop::Depth);
    }
    let text = text.trim();
    // Not tesla metres, and not coulomb degrees.
    if text.eq_ignore_ascii_case("n/a") || text == "deg C" {
        return Err(Stop::Syntax);
    }
    let mut parser = Parser { rest: text, context, depth };
    let mut product = Product::default();
    let mut divide = parser.solidus();
    let mut divided = false;
    loop {
        // Arithmetic and astropy differ on what `a/b c` is.
        if divided && !divide {
            return Err(Stop::Syntax);
        }
        divided |= divide;
        parser.spaces();
        let (factor, number) = parser.factor()?;
        product = product.combined(&factor, if divide { -1 } else { 1 }).ok_or(Stop::Syntax)?;
        let spaced = parser.spaces();
        if parser.rest.is_empty() {
            return Ok(product);
        }
        divide = parser.solidus();
        let implied = spaced || (number && parser.rest.starts_with(is_word_char));
        let point = !divide && parser.eat('.');
        // `m.5`, `1.2.3`: a point of a number that is none.
        if point && parser.rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(Stop::Syntax);
        }
        if !divide && !point && !parser.eat('*') && !parser.eat('\u{b7}') && !implied {
            return Err(Stop::Syntax);
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
    context: Context,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn eat(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn spaces(&mut self) -> bool {
        let before = self.rest.len();
        self.rest = self.rest.trim_start_matches([' ', '\t']);
        self.rest.len() < before
    }

    /// The first `n` bytes, which end at a character.
    fn take(&mut self, n: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(n).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn digits(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        self.take(end)
    }

    /// The sign of a number; `None` if no digit follows.
    fn sign(&mut self) -> Option<bool> {
        let unsigned = self.rest.trim_start_matches(['+', '-', '\u{2212}']);
        let sign = &self.rest[..self.rest.len() - unsigned.len()];
        if sign.chars().count() > 1 || !unsigned.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        self.rest = unsigned;
        Some(!sign.is_empty() && sign != "+")
    }

    /// A division: `/`, or the word "per".
    fn solidus(&mut self) -> bool {
        if self.eat('/') {
            return true;
        }
        match self.rest.split_at_checked(3) {
            Some((per, rest)) if per.eq_ignore_ascii_case("per") && rest.starts_with([' ', '\t']) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// A factor with its power, and whether it is a number.
    fn factor(&mut self) -> Result<(Product, bool)> {
        let mut number = false;
        let base = match self.rest.chars().next() {
            Some('(') => self.group()?,
            Some(c) if c.is_ascii_digit() || c == '.' => {
                number = true;
                self.number()?
            }
            Some(c) if is_word_char(c) => self.word()?,
            _ => return Err(Stop::Syntax),
        };
        match self.power(!number)? {
            Some(power) => Ok((base.powered(power).ok_or(Stop::Syntax)?, number)),
            None => Ok((base, number)),
        }
    }

    /// What stands in the parentheses that begin here.
    fn parenthesised(&mut self) -> Result<&'a str> {
        let mut open = 0usize;
        let mut skip = false;
        for (i, c) in self.rest.char_indices() {
            match c {
                _ if skip => skip = false,
                '\\' => skip = true,
                '(' => open += 1,
                ')' if open == 1 => {
                    let content = &self.rest[1..i];
                    self.rest = &self.rest[i + 1..];
                    return Ok(content);
                }
                ')' => open -= 1,
                _ => {}
            }
        }
        Err(Stop::Syntax)
    }

    /// Parentheses; what nobody can read in them is opaque.
    fn group(&mut self) -> Result<Product> {
        let content = self.parenthesised()?.trim();
        match expression(content, self.context, self.depth + 1) {
            Err(Stop::Syntax) if !content.is_empty() => Ok(Product::from(Base::Opaque(unescaped(content).into()))),
            other => other,
        }
    }

    fn number(&mut self) -> Result<Product> {
        let whole = self.digits();
        let after_point = self.rest.strip_prefix('.').map(|r| r.starts_with(|c: char| c.is_ascii_digit()));
        let mut fraction = "";
        if after_point == Some(true) || (after_point == Some(false) && self.exponent(1).is_some()) {
            self.take(1);
            fraction = self.digits();
        }
        let mut exponent = 0;
        if let Some(length) = self.exponent(0) {
            self.take(1);
            exponent = self.take(length - 1).parse().map_err(|_| Stop::Syntax)?;
        } else if (whole, fraction) == ("10", "") && self.rest.starts_with(['+', '-']) {
            // FITS: 10+3, 10-17.
            let negative = self.sign().ok_or(Stop::Syntax)?;
            let power: i64 = self.digits().parse().map_err(|_| Stop::Syntax)?;
            exponent = if negative { -power - 1 } else { power - 1 };
        }
        decimal(whole, fraction, exponent).ok_or(Stop::Syntax)
    }

    /// Length of the exponent of a number that begins some bytes further on: `E-17`, `e5`; `D-17`, but `10 D` is debye.
    fn exponent(&self, skip: usize) -> Option<usize> {
        let bytes = self.rest.as_bytes().get(skip..)?;
        let signed = matches!(bytes.get(1), Some(b'+' | b'-'));
        let letter =
            matches!(bytes.first(), Some(b'e' | b'E')) || (matches!(bytes.first(), Some(b'd' | b'D')) && signed);
        let start = if signed { 2 } else { 1 };
        let digits = bytes.iter().skip(start).take_while(|b| b.is_ascii_digit()).count();
        (letter && digits > 0).then_some(start + digits)
    }

    fn word(&mut self) -> Result<Product> {
        let start = self.rest;
        let end = start.find(|c| !is_word_char(c)).unwrap_or(start.len());
        let word = self.take(end);
        if matches!(word, "e" | "E") {
            // The charge is part of the name, unless it is the sign of a power.
            let after = self.rest.strip_prefix('-');
            if let Some(rest) = after.filter(|r| !r.starts_with(|c: char| c.is_ascii_digit())) {
                self.rest = rest;
            }
        } else if self.rest.starts_with('(') && self.bare_power().is_none() {
            let content = self.parenthesised()?;
            if word.eq_ignore_ascii_case("sqrt") {
                match expression(content, self.context, self.depth + 1) {
                    Ok(product) => return product.powered(Ratio::HALF).ok_or(Stop::Syntax),
                    Err(Stop::Depth) => return Err(Stop::Depth),
                    Err(Stop::Syntax) => {}
                }
            }
            // A function of a unit is a unit of its own.
            let call = &start[..start.len() - self.rest.len()];
            return Ok(Product::from(Base::Opaque(call.into())));
        }
        Ok(match look_up(word, self.context) {
            Some(Word::Unit(named)) => Product::from(Base::Named(named)),
            Some(Word::Nothing) => Product::default(),
            None => Product::from(Base::Opaque(word.into())),
        })
    }

    /// The fraction in parentheses here, and what follows it.
    fn bare_power(&self) -> Option<(Ratio, &'a str)> {
        let mut inner = Parser { rest: self.rest.strip_prefix('(')?, ..*self };
        inner.spaces();
        let mut power = inner.decimal_power()?;
        inner.spaces();
        if inner.eat('/') {
            inner.spaces();
            let divisor: i64 = inner.digits().parse().ok()?;
            power = power.times(Ratio::new(1, divisor)?)?.kept()?;
            inner.spaces();
        }
        Some((power, inner.rest.strip_prefix(')')?))
    }

    /// `2`, `-1`, `0.5`.
    fn decimal_power(&mut self) -> Option<Ratio> {
        let negative = self.sign()?;
        let start = self.rest;
        self.digits();
        let mut point = Parser { ..*self };
        if point.eat('.') && !point.digits().is_empty() {
            self.rest = point.rest;
        }
        let text = &start[..start.len() - self.rest.len()];
        let size = match text.parse::<i64>() {
            Ok(whole) => Ratio::integer(whole).kept()?,
            Err(_) => Ratio::from_f64(text.parse().ok()?)?,
        };
        Ratio::integer(if negative { -1 } else { 1 }).times(size)
    }

    /// A power, if one follows. Without an operator it must be an integer or in parentheses, and not behind a number.
    fn power(&mut self, bare: bool) -> Result<Option<Ratio>> {
        let unspaced = self.rest;
        self.spaces();
        let operator = match self.rest.strip_prefix("**").or_else(|| self.rest.strip_prefix('^')) {
            Some(rest) => {
                self.rest = rest;
                self.spaces();
                true
            }
            None => {
                self.rest = unspaced;
                false
            }
        };
        if !operator && !bare {
            return Ok(None);
        }
        if let Some((power, rest)) = self.bare_power() {
            self.rest = rest;
            return Ok(Some(power));
        }
        if !self.rest.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '\u{2212}')) {
            return if operator { Err(Stop::Syntax) } else { Ok(None) };
        }
        let power = self.decimal_power().ok_or(Stop::Syntax)?;
        let digit_behind = |sign: char| {
            self.rest.strip_prefix(sign).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        // `m^3/2` is what FITS forbids; and so is `m1.5`.
        if digit_behind('/') || (!operator && power.as_integer().is_none()) {
            return Err(Stop::Syntax);
        }
        Ok(Some(power))
    }
}

/// A positive decimal number, its digits and its power of ten apart so that both stay exact.
fn decimal(whole: &str, fraction: &str, exponent: i64) -> Option<Product> {
    let digits = [whole, fraction].concat();
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() || significant.len() > MAX_DIGITS {
        return None;
    }
    let zeros = digits.trim_start_matches('0').len() - significant.len();
    let exponent =
        exponent.checked_add(i64::try_from(zeros).ok()?)?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    Number::new(significant.parse().ok()?, Ratio::integer(exponent)).map(Product::from)
}
