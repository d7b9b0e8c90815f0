//! The language of `ndastro calc`: numbers, names, + - * / and **, parentheses, functions.

use std::collections::HashSet;

use crate::{Error, Expr, Result};

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum Term {
    Number(f64),
    Name(String),
    Negative(Box<Term>),
    /// From left to right. A list, so that a thousand sums are no thousand levels.
    Chain(Box<Term>, Vec<(char, Term)>),
    Call(String, Vec<Term>),
}

/// Names of functions, with the number of their arguments.
const FUNCTIONS: [(&str, usize); 9] =
    [("abs", 1), ("sqrt", 1), ("square", 1), ("exp", 1), ("log", 1), ("log10", 1), ("pow", 2), ("min", 2), ("max", 2)];

/// Parentheses, signs and powers within each other.
const DEPTH: usize = 200;

/// A term of the whole text. `**` and `^` bind more than a sign before them, and from right to left.
pub(in crate::cli) fn parse(text: &str) -> Result<Term> {
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
        let first = next(self)?;
        let mut rest = Vec::new();
        while let Some(op) = self.peek().filter(|c| operators.contains(c)) {
            self.at += 1;
            rest.push((op, next(self)?));
        }
        Ok(if rest.is_empty() { first } else { Term::Chain(Box::new(first), rest) })
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

/// What a term comes to.
enum Built {
    /// Of what has no names.
    Number(f64),
    Expr(Expr),
}

impl From<Built> for Expr {
    fn from(built: Built) -> Self {
        match built {
            Built::Number(x) => x.into(),
            Built::Expr(e) => e,
        }
    }
}

impl Term {
    /// Names that occur.
    pub(in crate::cli) fn names(&self) -> HashSet<&str> {
        let (mut names, mut open) = (HashSet::new(), vec![self]);
        while let Some(term) = open.pop() {
            match term {
                Term::Number(_) => {}
                Term::Name(name) => drop(names.insert(name.as_str())),
                Term::Negative(x) => open.push(x),
                Term::Chain(first, rest) => open.extend(std::iter::once(&**first).chain(rest.iter().map(|(_, t)| t))),
                Term::Call(_, arguments) => open.extend(arguments),
            }
        }
        names
    }

    /// The expression, with what the names stand for.
    pub(in crate::cli) fn build(&self, named: &impl Fn(&str) -> Result<Expr>) -> Result<Expr> {
        self.built(named).map(Expr::from)
    }

    fn built(&self, named: &impl Fn(&str) -> Result<Expr>) -> Result<Built> {
        Ok(match self {
            Term::Number(x) => Built::Number(*x),
            Term::Name(name) => Built::Expr(named(name)?),
            Term::Negative(x) => match x.built(named)? {
                Built::Number(x) => Built::Number(-x),
                Built::Expr(e) => Built::Expr(-e),
            },
            Term::Chain(first, rest) => {
                let mut left = first.built(named)?;
                for (op, term) in rest {
                    left = match (left, term.built(named)?) {
                        (Built::Number(a), Built::Number(b)) => Built::Number(match op {
                            '+' => a + b,
                            '-' => a - b,
                            '*' => a * b,
                            _ => a / b,
                        }),
                        (a, b) => {
                            let (a, b) = (Expr::from(a), Expr::from(b));
                            Built::Expr(match op {
                                '+' => a + b,
                                '-' => a - b,
                                '*' => a * b,
                                _ => a / b,
                            })
                        }
                    };
                }
                left
            }
            Term::Call(name, arguments) => {
                let mut built = arguments.iter().map(|a| a.built(named));
                // There are as many as the function takes: one or two.
                let x = built.next().unwrap_or(Ok(Built::Number(f64::NAN)))?;
                match (x, built.next().transpose()?) {
                    (Built::Number(x), None) => Built::Number(of_number(name, x, x)),
                    (Built::Number(x), Some(Built::Number(y))) => Built::Number(of_number(name, x, y)),
                    (x, Some(Built::Number(power))) if name == "pow" => Built::Expr(Expr::from(x).pow(power)),
                    (_, Some(_)) if name == "pow" => {
                        return Err(Error::Parameter("a power must be a number, without names in it".into()));
                    }
                    (x, y) => {
                        let x = Expr::from(x);
                        Built::Expr(match (name.as_str(), y) {
                            ("abs", _) => x.abs(),
                            ("sqrt", _) => x.sqrt(),
                            ("square", _) => x.square(),
                            ("exp", _) => x.exp(),
                            ("log", _) => x.log(),
                            ("log10", _) => x.log10(),
                            ("min", Some(y)) => x.min(Expr::from(y)),
                            (_, Some(y)) => x.max(Expr::from(y)),
                            _ => x,
                        })
                    }
                }
            }
        })
    }
}

/// A function of numbers. `y` is the second, if it takes two.
fn of_number(name: &str, x: f64, y: f64) -> f64 {
    match name {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> f64 {
        let none = |name: &str| Err(Error::Parameter(name.into()));
        match parse(text).unwrap().built(&none).unwrap() {
            Built::Number(x) => x,
            Built::Expr(e) => panic!("{e:?}"),
        }
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
        assert_eq!(term.names(), HashSet::from(["raw", "bias", "flat_2"]));
        assert_eq!(parse("2e").unwrap_err().to_string(), "expression, after \"2\": 'e' was not expected");
    }

    #[test]
    fn sums_may_be_long() {
        let long = vec!["a"; 60_000].join("+");
        let sum = parse(&long).unwrap().build(&|_| Ok(crate::NDAstroData::new(ndarray::arr1(&[1f32])).into())).unwrap();
        assert!(sum.shape().is_ok());
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
