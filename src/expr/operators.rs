//! `+ - * /` and unary `-` between expressions, containers and numbers, and the forms in place.

use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use super::{Expr, Function, Scalar};
use crate::kernels::expr::{One, Two};
use crate::nddata::NDAstroData;

macro_rules! operator {
    ($trait:ident $method:ident $op:expr; $($left:ty),*) => {$(
        impl<R: Into<Expr>> $trait<R> for $left {
            type Output = Expr;

            fn $method(self, other: R) -> Expr {
                Expr::two($op, self, other)
            }
        }
    )*};
    ($trait:ident $method:ident $op:expr; numbers $left:ty: $($right:ty),*) => {$(
        impl $trait<$right> for $left {
            type Output = Expr;

            fn $method(self, other: $right) -> Expr {
                Expr::two($op, self, other)
            }
        }
    )*};
}

macro_rules! operators {
    ($($trait:ident $method:ident $assign:ident $assign_method:ident $op:expr;)*) => {$(
        operator!($trait $method $op; Expr, &Expr, NDAstroData, &NDAstroData, Scalar);
        operator!($trait $method $op; numbers f64: Expr, &Expr, NDAstroData, &NDAstroData, Scalar);

        impl<R: Into<Expr>> $assign<R> for Expr {
            fn $assign_method(&mut self, other: R) {
                *self = Expr::two($op, &*self, other);
            }
        }
    )*};
}

operators! {
    Add add AddAssign add_assign Two::Add;
    Sub sub SubAssign sub_assign Two::Sub;
    Mul mul MulAssign mul_assign Two::Mul;
    Div div DivAssign div_assign Two::Div;
}

macro_rules! negation {
    ($($type:ty),*) => {$(
        impl Neg for $type {
            type Output = Expr;

            fn neg(self) -> Expr {
                Expr::from(self).one(Function::Step(One::Neg))
            }
        }
    )*};
}

negation!(Expr, &Expr, NDAstroData, &NDAstroData, Scalar);
