//! The language of `ndastro calc`: numbers, names, + - * / and **, parentheses, functions.

use crate::{Error, Expr, Result};

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Term {
    Number(f64),
    Name(String),
    Negative(Box<Term>),
    Binary(char, Box<Term>, Box<Term>),
    Call(String, Vec<Term>),
}

/// Names of functions, with the number of their arguments.
const FUNCTIONS: [(&str, usize); 9] =
    [("abs", 1), ("sqrt", 1), ("square", 1), ("exp", 1), ("log", 1), ("log10", 1), ("pow", 2), ("min", 2), ("max", 2)];

/// Parentheses, signs and powers within each other.
const DEPTH: usize = 200;

/// A term of the whole text. `**` and `^` bind more than a sign before them, and from right to left.
pub(super) fn parse(text: &str) -> Result<Term> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let term = parser.sum()?;
    match parser.peek() {
        None => Ok(term),
        Some(c) => Err(parser.wrong(&format!("{c:?} was not expected"))),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn wrong(&self, why: &str) -> Error {
        let before = crate::error::escape(&self.text[..self.at]);
        Error::Parameter(format!("expression, after {before:?}: {why}"))
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&mut self) -> Option<char> {
        let space = self.rest().len() - self.rest().trim_start().len();
        self.at += space;
        self.rest().chars().next()
    }

    /// Whether this comes next; then it is passed.
    fn take(&mut self, what: &str) -> bool {
        self.peek();
        let found = self.rest().starts_with(what);
        if found {
            self.at += what.len();
        }
        found
    }

    fn sum(&mut self) -> Result<Term> {
        self.chain(['+', '-'], Self::product)
    }

    fn product(&mut self) -> Result<Term> {
        self.chain(['*', '/'], Self::sign)
    }

    /// What binds more, joined by these from left to right.
    fn chain(&mut self, operators: [char; 2], next: impl Fn(&mut Self) -> Result<Term>) -> Result<Term> {
        let mut left = next(self)?;
        while let Some(op) = self.peek().filter(|c| operators.contains(c)) {
            self.at += 1;
            left = Term::Binary(op, Box::new(left), Box::new(next(self)?));
        }
        Ok(left)
    }

    /// One level deeper.
    fn deeper<R>(&mut self, inner: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.wrong("too deep"));
        }
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn sign(&mut self) -> Result<Term> {
        if self.take("-") {
            return Ok(Term::Negative(Box::new(self.deeper(Self::sign)?)));
        }
        if self.take("+") {
            return self.deeper(Self::sign);
        }
        let base = self.atom()?;
        if self.take("**") || self.take("^") {
            let power = self.deeper(Self::sign)?;
            return Ok(Term::Call("pow".into(), vec![base, power]));
        }
        Ok(base)
    }

    fn atom(&mut self) -> Result<Term> {
        match self.peek() {
            None => Err(self.wrong("something is missing")),
            Some('(') => {
                self.at += 1;
                let inner = self.deeper(Self::sum)?;
                if self.take(")") { Ok(inner) } else { Err(self.wrong("\")\" is missing")) }
            }
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if c.is_alphabetic() || c == '_' => {
                let end = |c: char| !(c.is_alphanumeric() || c == '_');
                let name = self.rest()[..self.rest().find(end).unwrap_or(self.rest().len())].to_string();
                self.at += name.len();
                if self.take("(") { self.call(name) } else { Ok(Term::Name(name)) }
            }
            Some(c) => Err(self.wrong(&format!("{c:?} was not expected"))),
        }
    }

    fn number(&mut self) -> Result<Term> {
        let bytes = self.rest().as_bytes();
        let digits =
            |from: usize| from + bytes[from..].iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
        let mut end = digits(0);
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end + 1 + sign);
            if exponent > end + 1 + sign {
                end = exponent;
            }
        }
        let text = &self.rest()[..end];
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => {
                self.at += end;
                Ok(Term::Number(number))
            }
            _ => Err(self.wrong(&format!("{text:?} is no number"))),
        }
    }

    fn call(&mut self, name: String) -> Result<Term> {
        let Some((_, count)) = FUNCTIONS.iter().find(|(n, _)| *n == name) else {
            let known: Vec<&str> = FUNCTIONS.iter().map(|(n, _)| *n).collect();
            return Err(self.wrong(&format!("there is no function {name:?}; there is {}", known.join(", "))));
        };
        let mut arguments = vec![self.deeper(Self::sum)?];
        while self.take(",") {
            arguments.push(self.deeper(Self::sum)?);
        }
        if !self.take(")") {
            return Err(self.wrong("\")\" is missing"));
        }
        if arguments.len() != *count {
            return Err(self.wrong(&format!("{name} takes {count}, not {}", arguments.len())));
        }
        Ok(Term::Call(name, arguments))
    }
}

impl Term {
    /// Names that occur.
    pub(super) fn names(&self) -> Vec<&str> {
        match self {
            Term::Number(_) => Vec::new(),
            Term::Name(name) => vec![name],
            Term::Negative(x) => x.names(),
            Term::Binary(_, a, b) => [a.names(), b.names()].concat(),
            Term::Call(_, arguments) => arguments.iter().flat_map(Term::names).collect(),
        }
    }

    /// The value of what has no names.
    fn constant(&self) -> Option<f64> {
        Some(match self {
            Term::Number(x) => *x,
            Term::Name(_) => return None,
            Term::Negative(x) => -x.constant()?,
            Term::Binary(op, a, b) => {
                let (a, b) = (a.constant()?, b.constant()?);
                match op {
                    '+' => a + b,
                    '-' => a - b,
                    '*' => a * b,
                    _ => a / b,
                }
            }
            Term::Call(name, arguments) => {
                let x = arguments[0].constant()?;
                let y = arguments.get(1).map(|a| a.constant().ok_or(()));
                let y = match y {
                    Some(y) => y.ok()?,
                    None => x,
                };
                match name.as_str() {
                    "abs" => x.abs(),
                    "sqrt" => x.sqrt(),
                    "square" => x * x,
                    "exp" => x.exp(),
                    "log" => x.ln(),
                    "log10" => x.log10(),
                    "pow" => x.powf(y),
                    "min" => x.min(y),
                    _ => x.max(y),
                }
            }
        })
    }

    /// The expression, with what the names stand for.
    pub(super) fn build(&self, named: &impl Fn(&str) -> Result<Expr>) -> Result<Expr> {
        if let Some(value) = self.constant() {
            return Ok(value.into());
        }
        Ok(match self {
            Term::Number(x) => (*x).into(),
            Term::Name(name) => named(name)?,
            Term::Negative(x) => -x.build(named)?,
            Term::Binary(op, a, b) => {
                let (a, b) = (a.build(named)?, b.build(named)?);
                match op {
                    '+' => a + b,
                    '-' => a - b,
                    '*' => a * b,
                    _ => a / b,
                }
            }
            Term::Call(name, arguments) => {
                if name == "pow" {
                    let power = arguments[1].constant();
                    let power = power
                        .ok_or_else(|| Error::Parameter("a power must be a number, without names in it".into()))?;
                    return Ok(arguments[0].build(named)?.pow(power));
                }
                let x = arguments[0].build(named)?;
                match name.as_str() {
                    "abs" => x.abs(),
                    "sqrt" => x.sqrt(),
                    "square" => x.square(),
                    "exp" => x.exp(),
                    "log" => x.log(),
                    "log10" => x.log10(),
                    "min" => x.min(arguments[1].build(named)?),
                    _ => x.max(arguments[1].build(named)?),
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> f64 {
        parse(text).unwrap().constant().unwrap()
    }

    #[test]
    fn as_one_reckons() {
        for (text, want) in [
            ("1+2*3", 7.0),
            ("(1+2)*3", 9.0),
            ("2-3-4", -5.0),
            ("16/4/2", 2.0),
            ("-2**2", -4.0),
            ("2**-1", 0.5),
            ("2**3**2", 512.0),
            ("2^3", 8.0),
            ("1e3 + .5", 1000.5),
            ("2.5e-1*4", 1.0),
            ("- - 3", 3.0),
            ("sqrt(abs(-16))", 4.0),
            ("min(3, 2) + max(3, 2) + pow(2, 3) + square(3)", 22.0),
            ("log10(1e4) + log(exp(2))", 6.0),
        ] {
            assert_eq!(value(text), want, "{text}");
        }
    }

    #[test]
    fn names_are_found() {
        let term = parse("(raw - bias) / flat_2 - min(raw, 3)").unwrap();
        assert_eq!(term.names(), ["raw", "bias", "flat_2", "raw"]);
        assert_eq!(parse("2e").unwrap_err().to_string(), "expression, after \"2\": 'e' was not expected");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let deep = "(".repeat(100_000);
        for (text, word) in [
            ("", "missing"),
            ("a +", "missing"),
            ("(a", "\")\" is missing"),
            ("a b", "was not expected"),
            ("a $ b", "was not expected"),
            ("sin(a)", "no function"),
            ("min(a)", "takes 2"),
            ("abs(a, b)", "takes 1"),
            ("1.2.3", "no number"),
            ("1e999", "no number"),
            (deep.as_str(), "too deep"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
        let power = parse("a ** b").unwrap().build(&|_| Ok(1.0.into())).unwrap_err();
        assert!(power.to_string().contains("power"), "{power}");
    }
}
