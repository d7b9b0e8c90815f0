use crate::expr::Check;
pub const ALL: &[(&str, Check)] = &[];
