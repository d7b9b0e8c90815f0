//! Physical units, as BUNIT and CUNIT spell them.
//!
//! A unit is a number times powers of named units, and is read from the strings of FITS standard 4.0, section 4.3, and
//! from what instruments write besides. What nobody knows is *opaque*: a word (`spaxel`) or a whole text (`counts ??`)
//! that is a dimension of its own. Conversions are factors only: no offsets, no equivalencies. Text is composed as
//! `10**-17 erg s**-1 cm**-2 Angstrom**-1`: number first, a space between factors, negative powers last. An opaque text
//! among other factors stands in parentheses. What is composed reads back as an equal unit, up to a text of 1 kB.
//! astropy reads it too, but for opaque units, fractional powers of ten, and in FITS names it lacks (`electron`).
//!
//! Symbols are read in their own case first (`mJy` is not `MJy`). Names (`COUNTS`, `Kelvin`) and symbols that are one
//! unit whatever their case (`JY`, `CM`, `Hz`) are read in any case; `MJY` and `MHZ` are opaque.
//!
//! Where this differs from astropy 8.0.2, on purpose:
//!
//! | text | here | astropy |
//! |---|---|---|
//! | `DN` | `adu` | a unit of its own, not in FITS |
//! | `counts`, `electrons`, `e-`, `e`, `photons`, `ergs`, `Ang` | known, in any case | not in FITS, some nowhere |
//! | `erg/s/cm2/A` | beside erg, photon, electron, count or adu, `A` is an Angstrom | ampere |
//! | `ERG/CM2/S/A`, `KM/S` | in capitals throughout, `S` is a second and `A` an Angstrom | not known |
//! | `1E-17 erg`, `2.5 m` | any positive number | powers of ten in FITS |
//! | `a/b c`, `a/b*c` | opaque: arithmetic says `(a/b) c`, astropy and habit `a/(b c)` | `a/(b c)` |
//! | `log(Hz)`, `mag(AB)` | a function of a unit is an opaque unit | function units |
//! | `Celsius`, `deg C` | opaque: it has an offset | a unit with an equivalency |
//! | `N/A` | opaque: "not applicable" | `N A-1` |
//! | `mag` | a dimension | `-0.4 dex` |
//! | `none`, `unity`, `ratio`, `unitless`, `dimensionless`, `1` | no unit | not known, but for `1` |
//!
//! `count`, `adu`, `electron` and `photon` are four dimensions: a gain converts between them, and it is a number with a
//! unit. Angles have a dimension, and `sr` is `rad**2`.

use std::fmt;
use std::sync::Arc;

mod parse;
mod product;
mod ratio;
mod table;
#[cfg(test)]
mod tests;

use product::{Base, Product};
use ratio::Ratio;

/// A physical unit: its text as written, its scale and its dimensions.
///
/// Equal are units of the same dimensions and the same scale, to 1 part in 10^12, whatever their text. Opaque units are
/// equal if what is opaque in them has the same text.
///
/// Read are the strings of FITS standard 4.0, section 4.3, and what instruments write: `counts/s`, `DN` (which is
/// `adu`), `e-`, `erg/s/cm2/A` and `ERG/CM2/S/A` (Angstrom), `1E-17 erg`, `MJy/sr`, `nanomaggies`.
///
/// ```
/// use ndastro::Unit;
///
/// let (adu, gain) = (Unit::parse("ADU"), Unit::parse("e-/ADU"));
/// assert_eq!(adu.times(&gain), Unit::parse("electron"));
/// assert_eq!(adu.pow(2.0).map(|variance| variance.to_string()).as_deref(), Some("adu**2"));
/// assert_eq!(Unit::parse("MJy/sr").factor_to(&Unit::parse("Jy/sr")), Some(1e6));
/// ```
#[derive(Clone, Debug)]
pub struct Unit {
    text: Arc<str>,
    product: Product,
}

impl Unit {
    /// The unit of a text, which stays as it is but for blanks around it. What nobody knows is opaque.
    pub fn parse(text: &str) -> Unit {
        let text = text.trim();
        let product = parse::parse(text).unwrap_or_else(|| Product::from(Base::Opaque(text.into())));
        Unit { text: text.into(), product }
    }

    /// No unit: scale 1, no dimensions, no text.
    pub fn dimensionless() -> Unit {
        Unit::from(Product::default())
    }

    /// Whether there are no dimensions. The scale may be any: true of `10**3`, `%` and `m/cm`, not of `rad`.
    pub fn is_dimensionless(&self) -> bool {
        self.product.is_dimensionless()
    }

    /// Whether anything in it is opaque.
    pub fn is_opaque(&self) -> bool {
        self.product.has_opaque()
    }

    /// The text: as written if it was parsed, else composed. Empty for no unit, unless it was written as a word.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text as a card can hold it: composed anew where it was written with other letters than those of ASCII.
    ///
    /// # Errors
    /// Such a unit is opaque, so that nobody knows how to write it otherwise.
    pub(crate) fn to_card(&self) -> crate::Result<String> {
        let text = if self.text.is_ascii() { self.text.to_string() } else { self.product.text() };
        match text.is_ascii() {
            true => Ok(text),
            false => Err(crate::Error::Unit(format!("the unit {:?} cannot be written: FITS is ASCII", self.as_str()))),
        }
    }

    /// The product. Equal symbols are put together; different ones are not converted (`m cm` stays).
    pub fn times(&self, other: &Unit) -> Unit {
        self.combined(other, 1)
    }

    /// The quotient.
    pub fn per(&self, other: &Unit) -> Unit {
        self.combined(other, -1)
    }

    /// Its power. Fractions of a denominator up to 100 are exact, and so are their roots and powers.
    ///
    /// `None` if the exponent is no such fraction, or an exponent or the scale would be out of all proportion (1e6, and
    /// 1e300).
    pub fn pow(&self, exponent: f64) -> Option<Unit> {
        let power = Ratio::from_f64(exponent)?;
        if power == Ratio::ONE {
            return Some(self.clone());
        }
        self.product.powered(power).map(Unit::from)
    }

    /// `value_in_other = value_in_self * factor`. `None` if the dimensions differ, or the factor is beyond f64.
    pub fn factor_to(&self, other: &Unit) -> Option<f64> {
        // What both have cancels by name, so that opaque symbols and rounding go too.
        let quotient = self.product.combined(&other.product, -1)?;
        if quotient.is_dimensionless() { quotient.scale() } else { None }
    }

    fn combined(&self, other: &Unit, power: i64) -> Unit {
        if other.product.is_one() {
            return self.clone();
        }
        if power == 1 && self.product.is_one() {
            return other.clone();
        }
        match self.product.combined(&other.product, power) {
            Some(product) => Unit::from(product),
            // Exponents beyond all proportion. The text is no unit for `parse` either, and so is the same symbol there.
            None => {
                let operator = if power == 1 { "" } else { "1/" };
                let text = format!("({}) {operator}({})", self.product.text(), other.product.text());
                Unit::from(Product::from(Base::Opaque(text.into())))
            }
        }
    }
}

impl From<Product> for Unit {
    fn from(product: Product) -> Self {
        Unit { text: product.text().into(), product }
    }
}

impl PartialEq for Unit {
    fn eq(&self, other: &Self) -> bool {
        self.factor_to(other).is_some_and(|factor| (factor - 1.0).abs() <= 1e-12)
    }
}

impl Default for Unit {
    fn default() -> Self {
        Unit::dimensionless()
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl From<&str> for Unit {
    fn from(text: &str) -> Self {
        Unit::parse(text)
    }
}

impl From<&Unit> for Unit {
    fn from(unit: &Unit) -> Unit {
        unit.clone()
    }
}

impl From<String> for Unit {
    fn from(text: String) -> Self {
        Unit::parse(&text)
    }
}
