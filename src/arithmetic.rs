//! Arithmetic at once: an expression of one operation, evaluated. On the CPU, with the threads that the process has; for a
//! device, and for more than one operation, build an [`Expr`] and evaluate that.

use crate::engine::{CpuEngine, Engine};
use crate::expr::{Expr, Rules, Scalar};
use crate::kernels::expr::Two;
use crate::nddata::NDAstroData;
use crate::{AstroData, Error, Result};

macro_rules! operations {
    ($($name:ident $with:ident $in_place:ident $op:expr, $formula:literal;)*) => {
        impl NDAstroData {$(
            #[doc = concat!("`", $formula, "`, in memory: see [`Expr`] for shapes, units, masks and the variance.")]
            ///
            /// # Errors
            /// Shapes or units that do not go together; a plane cannot be read.
            pub fn $name(&self, other: impl Into<Expr>) -> Result<NDAstroData> {
                self.$with(other, Rules::default())
            }

            #[doc = concat!("`", $formula, "` by other rules.")]
            ///
            /// # Errors
            #[doc = concat!("As [`", stringify!($name), "`](Self::", stringify!($name), ").")]
            pub fn $with(&self, other: impl Into<Expr>, rules: Rules) -> Result<NDAstroData> {
                let result = Expr::two($op, self, other).rules(rules).eval(&Engine::Cpu(CpuEngine::shared()))?;
                Ok(result.named(self.name().to_string(), self.ver()))
            }

            #[doc = concat!("`self = ", $formula, "`. Header, name and further planes stay.")]
            ///
            /// # Errors
            #[doc = concat!("As [`", stringify!($name), "`](Self::", stringify!($name), "); another shape comes out. Then nothing is changed.")]
            pub fn $in_place(&mut self, other: impl Into<Expr>) -> Result<()> {
                let result = self.$name(other)?;
                self.take(result)
            }
        )*}

        impl AstroData {$(
            #[doc = concat!("`", $formula, "` for each extension, in memory; header and tables stay. A file of one extension, a container or a number goes with every one.")]
            ///
            /// # Errors
            /// Another number of extensions; and those of the same operation on containers.
            pub fn $name(&self, other: impl Into<Operand>) -> Result<AstroData> {
                let other = other.into();
                let mut index = 0;
                self.operate(|nd| {
                    let operand = other.of(self, index)?;
                    index += 1;
                    nd.$name(operand)
                })
            }

            #[doc = concat!("`self = ", $formula, "`.")]
            ///
            /// # Errors
            #[doc = concat!("As [`", stringify!($name), "`](Self::", stringify!($name), "). Then nothing is changed.")]
            pub fn $in_place(&mut self, other: impl Into<Operand>) -> Result<()> {
                *self = self.$name(other)?;
                Ok(())
            }
        )*}
    };
}

operations! {
    add add_with add_in_place Two::Add, "self + other";
    subtract subtract_with subtract_in_place Two::Sub, "self - other";
    multiply multiply_with multiply_in_place Two::Mul, "self * other";
    divide divide_with divide_in_place Two::Div, "self / other";
}

macro_rules! collapses {
    ($($name:ident $what:literal;)*) => {
        impl NDAstroData {$(
            #[doc = concat!("The ", $what, " along axes, in memory: see [`Expr::", stringify!($name), "`].")]
            ///
            /// # Errors
            /// An axis that is not there; a plane cannot be read.
            pub fn $name(&self, axes: &[isize]) -> Result<NDAstroData> {
                let result = Expr::from(self).$name(axes).eval(&Engine::Cpu(CpuEngine::shared()))?;
                Ok(result.named(self.name().to_string(), self.ver()))
            }
        )*}
    };
}

collapses! {
    sum "sum";
    mean "mean";
    min_along "smallest";
    max_along "largest";
    median "median";
    std "standard deviation";
}

/// What goes with a file in arithmetic.
#[derive(Clone, Debug)]
pub enum Operand {
    /// A file: extension by extension, or its only one with each.
    File(AstroData),
    /// The same with each extension.
    Each(Expr),
}

impl Operand {
    fn of(&self, first: &AstroData, index: usize) -> Result<Expr> {
        match self {
            Operand::Each(expr) => Ok(expr.clone()),
            Operand::File(file) if file.len() == 1 => Ok(Expr::from(&file[0])),
            Operand::File(file) if file.len() != first.len() => Err(Error::Parameter(format!(
                "{}: {} extensions found, 1 or {} expected",
                file.label(),
                file.len(),
                first.len()
            ))),
            Operand::File(file) => Ok(Expr::from(crate::astrodata::partner(first, index, file)?)),
        }
    }
}

impl From<&AstroData> for Operand {
    fn from(file: &AstroData) -> Self {
        Operand::File(file.clone())
    }
}

macro_rules! each {
    ($($type:ty),*) => {$(
        impl From<$type> for Operand {
            fn from(value: $type) -> Self {
                Operand::Each(value.into())
            }
        }
    )*};
}

each!(f64, Scalar, NDAstroData, &NDAstroData, Expr);
