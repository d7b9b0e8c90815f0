//! Units of operations: what a sum, a product and a power are of.

use crate::kernels::expr::Two;
use crate::unit::Unit;
use crate::{Error, Result};

/// What an operand is of.
#[derive(Clone, Debug)]
pub(super) enum Of {
    /// A number that takes the unit of its company.
    Bare,
    /// A container that says none.
    Nothing,
    Unit(Unit),
}

/// A unit for messages.
pub(super) fn said(unit: &Unit) -> String {
    match crate::error::escape(unit.as_str()).as_str() {
        "" => "dimensionless".into(),
        text => format!("{text:?}"),
    }
}

/// The unit of a power.
pub(super) fn powered(unit: Of, power: f64) -> Result<Of> {
    match unit {
        Of::Unit(u) => match u.pow(power) {
            Some(u) => Ok(Of::Unit(u)),
            None => Err(Error::Unit(format!("{} to the power {power:e} is no unit", said(&u)))),
        },
        other => Ok(other),
    }
}

/// The unit of a product or quotient. What says none is a number.
pub(super) fn joined(a: Of, b: Of, join: impl Fn(&Unit, &Unit) -> Unit) -> Of {
    let one = Unit::dimensionless();
    match (a, b) {
        (Of::Bare, Of::Bare) => Of::Bare,
        (Of::Unit(a), Of::Unit(b)) => Of::Unit(join(&a, &b)),
        (Of::Unit(a), _) => Of::Unit(join(&a, &one)),
        (_, Of::Unit(b)) => Of::Unit(join(&one, &b)),
        _ => Of::Nothing,
    }
}

/// The unit of a sum, and the factors that bring both operands to it.
pub(super) fn common(a: Of, b: Of, op: Two) -> Result<(Of, f64, f64)> {
    let verb = match op {
        Two::Add => "add",
        Two::Sub => "subtract",
        Two::Min | Two::Max => "compare",
        _ => "join",
    };
    match (a, b) {
        (Of::Unit(a), Of::Unit(b)) => match b.factor_to(&a) {
            Some(factor) => Ok((Of::Unit(a), 1.0, factor)),
            None => Err(Error::Unit(format!("cannot {verb} {} and {}: the units do not convert", said(&a), said(&b)))),
        },
        (Of::Unit(u), Of::Bare) | (Of::Bare, Of::Unit(u)) => Ok((Of::Unit(u), 1.0, 1.0)),
        // What says no unit is a number: 50 % + 1.
        (Of::Unit(u), Of::Nothing) if u.is_dimensionless() => {
            let factor = Unit::dimensionless().factor_to(&u).unwrap_or(1.0);
            Ok((Of::Unit(u), 1.0, factor))
        }
        (Of::Nothing, Of::Unit(u)) if u.is_dimensionless() => {
            let factor = u.factor_to(&Unit::dimensionless()).unwrap_or(1.0);
            Ok((Of::Nothing, 1.0, factor))
        }
        (Of::Unit(u), Of::Nothing) | (Of::Nothing, Of::Unit(u)) => Err(Error::Unit(format!(
            "cannot {verb} {} and what has no unit: give both a unit (BUNIT), or neither",
            said(&u)
        ))),
        (Of::Bare, Of::Bare) => Ok((Of::Bare, 1.0, 1.0)),
        _ => Ok((Of::Nothing, 1.0, 1.0)),
    }
}
