//! What a unit is made of: a number and powers of base units.

use std::fmt::Write;
use std::sync::Arc;

use super::parse::quoted;
use super::ratio::Ratio;
use super::table::{DIMS, Named};

/// Largest power of ten, up and down, of the number of a unit.
const MAX_EXPONENT: f64 = 300.0;

/// One symbol.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Base {
    Named(Named),
    /// A dimension of its own, that of its text.
    Opaque(Arc<str>),
}

/// `mantissa * 10**exponent`, apart so that powers of ten stay exact.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    mantissa: f64,
    exponent: Ratio,
}

impl Number {
    const ONE: Number = Number { mantissa: 1.0, exponent: Ratio::ZERO };

    /// `None` if it is not positive, or far too large or small to be the scale of a unit.
    pub(super) fn new(mut mantissa: f64, mut exponent: Ratio) -> Option<Number> {
        if !mantissa.is_normal() || mantissa < 0.0 {
            return None;
        }
        if !(1e-30..1e30).contains(&mantissa) {
            let shift = mantissa.log10().floor();
            mantissa = scaled(mantissa, -shift);
            exponent = exponent.plus(Ratio::integer(shift as i64))?;
        }
        // Tens belong to the exponent, so that they print as such.
        while (10.0..1e16).contains(&mantissa) && mantissa % 10.0 == 0.0 {
            mantissa /= 10.0;
            exponent = exponent.plus(Ratio::ONE)?;
        }
        let size = exponent.kept()?.as_f64() + mantissa.log10();
        (size.abs() <= MAX_EXPONENT).then_some(Number { mantissa, exponent })
    }

    fn times(self, other: Number) -> Option<Number> {
        Number::new(self.mantissa * other.mantissa, self.exponent.plus(other.exponent)?)
    }

    fn powered(self, power: Ratio) -> Option<Number> {
        Number::new(power.power_of(self.mantissa), self.exponent.times(power)?)
    }

    /// As the first factors of a unit are written; empty for 1.
    fn text(self) -> String {
        let Number { mantissa, exponent } = self;
        if mantissa == 1.0 {
            return if exponent.is_zero() { String::new() } else { format!("10**{exponent}") };
        }
        let (whole, fraction) = exponent.split();
        let value = scaled(mantissa, whole as f64);
        let value = if (1e-4..1e7).contains(&value) { format!("{value}") } else { format!("{value:e}") };
        if fraction.is_zero() { value } else { format!("{value} 10**{fraction}") }
    }
}

/// A number and its factors, each base once, in the order in which they came.
#[derive(Clone, Debug)]
pub(super) struct Product {
    number: Number,
    factors: Vec<(Base, Ratio)>,
}

impl Default for Product {
    fn default() -> Self {
        Product { number: Number::ONE, factors: Vec::new() }
    }
}

impl From<Base> for Product {
    fn from(base: Base) -> Self {
        Product { number: Number::ONE, factors: vec![(base, Ratio::ONE)] }
    }
}

impl From<Number> for Product {
    fn from(number: Number) -> Self {
        Product { number, factors: Vec::new() }
    }
}

impl Product {
    /// Times the other one to a power of 1 or -1. `None` if exponents go beyond what is kept.
    pub(super) fn combined(&self, other: &Product, power: i64) -> Option<Product> {
        let power = Ratio::integer(power);
        let mut factors = self.factors.clone();
        for (base, exponent) in &other.factors {
            let exponent = exponent.times(power)?;
            match factors.iter_mut().find(|(b, _)| b == base) {
                Some((_, own)) => *own = own.plus(exponent)?.kept()?,
                None => factors.push((base.clone(), exponent)),
            }
        }
        factors.retain(|(_, exponent)| !exponent.is_zero());
        Some(Product { number: self.number.times(other.number.powered(power)?)?, factors })
    }

    /// `None` if exponents go beyond what is kept.
    pub(super) fn powered(&self, power: Ratio) -> Option<Product> {
        if power.is_zero() {
            return Some(Product::default());
        }
        let factors = self.factors.iter().map(|(base, exponent)| Some((base.clone(), exponent.times(power)?.kept()?)));
        Some(Product { number: self.number.powered(power)?, factors: factors.collect::<Option<_>>()? })
    }

    /// Whether this is 1.
    pub(super) fn is_one(&self) -> bool {
        self.factors.is_empty() && self.number.mantissa == 1.0 && self.number.exponent.is_zero()
    }

    /// Whether this is one opaque base and nothing else.
    pub(super) fn is_opaque(&self, text: &str) -> bool {
        self.number.text().is_empty()
            && matches!(self.factors.as_slice(), [(Base::Opaque(t), Ratio::ONE)] if t.as_ref() == text)
    }

    /// Whether a base is opaque.
    pub(super) fn has_opaque(&self) -> bool {
        self.factors.iter().any(|(base, _)| matches!(base, Base::Opaque(_)))
    }

    /// Whether the dimensions cancel. False where their exponents go beyond what can be told.
    pub(super) fn is_dimensionless(&self) -> bool {
        let mut sums = [Ratio::ZERO; DIMS];
        for (base, exponent) in &self.factors {
            let Base::Named(named) = base else { return false };
            for &(dim, power) in named.entry().dims {
                let sum = &mut sums[dim as usize];
                match exponent.times(Ratio::integer(power)).and_then(|e| sum.plus(e)) {
                    Some(total) => *sum = total,
                    None => return false,
                }
            }
        }
        sums.iter().all(|sum| sum.is_zero())
    }

    /// Its size in the bases of the table. `None` beyond f64.
    pub(super) fn scale(&self) -> Option<f64> {
        let mut mantissa = self.number.mantissa;
        let mut exponent = self.number.exponent;
        for (base, power) in &self.factors {
            let Base::Named(named) = base else { continue };
            let entry = named.entry();
            if entry.mantissa != 1.0 {
                mantissa *= power.power_of(entry.mantissa);
            }
            exponent = exponent.plus(power.times(Ratio::integer(named.prefix + entry.exponent))?)?;
        }
        let scale = scaled(mantissa, exponent.as_f64());
        (scale.is_normal() && scale > 0.0).then_some(scale)
    }

    /// The canonical text, which reads back as this.
    pub(super) fn text(&self) -> String {
        // Alone it needs no parentheses.
        if let [(Base::Opaque(text), Ratio::ONE)] = self.factors.as_slice()
            && self.number.text().is_empty()
            && super::parse::parse(text).is_none_or(|p| p.is_opaque(text))
        {
            return text.to_string();
        }
        // In such company a short symbol may be read as another unit.
        let company = self.factors.iter().any(|(base, _)| match base {
            Base::Named(named) => named.is_light() || named.entry().symbol == "deg",
            Base::Opaque(_) => true,
        });
        let mut text = self.number.text();
        let (below, above): (Vec<_>, Vec<_>) = self.factors.iter().partition(|(_, power)| power.is_negative());
        for (base, power) in above.into_iter().chain(below) {
            if !text.is_empty() {
                text.push(' ');
            }
            match base {
                Base::Opaque(opaque) => text.push_str(&quoted(opaque)),
                Base::Named(named) => match named.long_name().filter(|_| company) {
                    Some(name) => text.push_str(name),
                    None => {
                        text.push_str(named.prefix_symbol());
                        text.push_str(named.entry().symbol);
                    }
                },
            }
            if *power != Ratio::ONE {
                // Writing to a string does not fail.
                let _ = write!(text, "**{power}");
            }
        }
        text
    }
}

/// `mantissa * 10**exponent`, rounded once where it can be.
fn scaled(mantissa: f64, exponent: f64) -> f64 {
    let ten = |n: f64| format!("1e{n}").parse().unwrap_or(f64::NAN);
    if exponent.fract() != 0.0 {
        mantissa * 10f64.powf(exponent)
    } else if (-22.0..0.0).contains(&exponent) {
        let divisor: f64 = ten(-exponent);
        mantissa / divisor
    } else {
        let factor: f64 = ten(exponent);
        mantissa * factor
    }
}
