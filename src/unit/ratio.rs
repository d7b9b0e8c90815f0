//! Exact exponents.

use std::fmt;

/// Largest numerator and denominator of an exponent that is kept; a unit beyond is nobody's.
const MAX_NUM: i64 = 1_000_000;
const MAX_DEN: i64 = 1000;
/// Denominators tried for an exponent given in floating point.
const FLOAT_DEN: i64 = 100;

/// A fraction in lowest terms, denominator above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ratio {
    num: i64,
    den: i64,
}

impl Ratio {
    pub(super) const ZERO: Ratio = Ratio { num: 0, den: 1 };
    pub(super) const ONE: Ratio = Ratio { num: 1, den: 1 };
    pub(super) const HALF: Ratio = Ratio { num: 1, den: 2 };

    pub(super) const fn integer(num: i64) -> Ratio {
        Ratio { num, den: 1 }
    }

    /// `None` if the denominator is 0, or a part is beyond i64.
    pub(super) fn new(num: i64, den: i64) -> Option<Ratio> {
        let divisor = gcd(num.checked_abs()?, den.checked_abs()?);
        if den == 0 {
            return None;
        }
        let sign = den.signum();
        Some(Ratio { num: sign * num / divisor, den: sign * den / divisor })
    }

    /// The fraction of small denominator that a number is, to its precision.
    pub(super) fn from_f64(x: f64) -> Option<Ratio> {
        if x == 0.0 {
            return Some(Ratio::ZERO);
        }
        if !x.is_finite() || x.abs() > MAX_NUM as f64 {
            return None;
        }
        (1..=FLOAT_DEN).find_map(|den| {
            let scaled = x * den as f64;
            let num = scaled.round();
            let fits = num != 0.0 && (scaled - num).abs() <= 1e-12 * num.abs();
            if fits { Ratio::new(num as i64, den)?.kept() } else { None }
        })
    }

    /// Itself if it is small enough to be an exponent.
    pub(super) fn kept(self) -> Option<Ratio> {
        (self.num.abs() <= MAX_NUM && self.den <= MAX_DEN).then_some(self)
    }

    pub(super) fn plus(self, other: Ratio) -> Option<Ratio> {
        let num = self.num.checked_mul(other.den)?.checked_add(other.num.checked_mul(self.den)?)?;
        Ratio::new(num, self.den.checked_mul(other.den)?)
    }

    pub(super) fn times(self, other: Ratio) -> Option<Ratio> {
        Ratio::new(self.num.checked_mul(other.num)?, self.den.checked_mul(other.den)?)
    }

    pub(super) fn is_zero(self) -> bool {
        self.num == 0
    }

    pub(super) fn is_negative(self) -> bool {
        self.num < 0
    }

    pub(super) fn as_integer(self) -> Option<i64> {
        (self.den == 1).then_some(self.num)
    }

    /// The integer below, and what it lacks.
    pub(super) fn split(self) -> (i64, Ratio) {
        (self.num.div_euclid(self.den), Ratio { num: self.num.rem_euclid(self.den), den: self.den })
    }

    pub(super) fn as_f64(self) -> f64 {
        self.num as f64 / self.den as f64
    }

    /// A number to this power: by multiplication where that is exact.
    pub(super) fn power_of(self, base: f64) -> f64 {
        match self.as_integer().and_then(|n| i32::try_from(n).ok()) {
            Some(n) => base.powi(n),
            None => base.powf(self.as_f64()),
        }
    }
}

/// As an exponent is written behind `**`.
impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.den == 1 { write!(f, "{}", self.num) } else { write!(f, "({}/{})", self.num, self.den) }
    }
}

fn gcd(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}
