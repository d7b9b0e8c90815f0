//! The same bits whatever the tiles and the threads are, whatever else was computed, and what is read stays as it was.

use super::{Check, Got, On, Operand, Outcome, a, b, claim, expression, fallback, made, run};
use crate::oracle::expr::{One, Tree};

pub const ALL: &[(&str, Check)] = &[
    ("tiles_do_not_matter_to_expressions", tiles_do_not_matter_to_expressions),
    ("threads_do_not_matter_to_expressions", threads_do_not_matter_to_expressions),
    ("operands_stay_as_they_were", operands_stay_as_they_were),
];

fn trees() -> [(&'static str, Tree); 3] {
    [
        ("(a - b) / (a + b)", &(&a() - &b()) / &(&a() + &b())),
        ("log(a / b) with rho", (&a() / &b()).rho(0.5).one(One::Log)),
        ("sqrt(a a - b)", (&(&a() * &a()) - &b()).sqrt()),
    ]
}

/// With some that the host must compute, and a row that repeats.
fn operands() -> [Operand; 2] {
    [Operand::of(made(&[53, 3001], 501, -0.5, 9.0)), Operand::of(made(&[3001], 502, -0.5, 9.0))]
}

fn tiles_do_not_matter_to_expressions(on: &On) -> Outcome {
    let operands = operands();
    for (name, tree) in trees() {
        let expr = expression(&tree, &operands);
        let reasons = fallback(&tree, ndastro::DType::F32, on);
        let (whole, ..) = run(&expr, on, Some(1 << 30), &reasons)?;
        for memory in [1 << 20, 3 << 20, 64 << 20] {
            let (got, stats, _) = run(&expr, on, Some(memory), &reasons)?;
            claim(memory > 1 << 20 || stats.tiles > 3, || format!("{} tiles: nothing was tested", stats.tiles))?;
            claim(got.bits() == whole.bits(), || format!("{name}, {memory} bytes, {} tiles: it differs", stats.tiles))?;
        }
    }
    Ok(())
}

fn threads_do_not_matter_to_expressions(on: &On) -> Outcome {
    let operands = operands();
    for (name, tree) in trees() {
        let expr = expression(&tree, &operands);
        let (want, ..) = run(&expr, on, None, &[])?;
        for threads in [1, 2, 3] {
            let other = On { engine: on.again(threads)?, kind: on.kind, f64: on.f64 };
            let (got, ..) = run(&expr, &other, None, &[])?;
            claim(got.bits() == want.bits(), || format!("{name}, {threads} threads: it differs"))?;
        }
    }
    Ok(())
}

fn operands_stay_as_they_were(on: &On) -> Outcome {
    let operands = operands();
    let before: Vec<Got> = operands.iter().map(|o| Got::of(&o.nd)).collect::<Result<_, _>>()?;
    let expr = expression(&trees()[0].1, &operands);
    let (first, ..) = run(&expr, on, None, &[])?;
    let (second, ..) = run(&expr, on, None, &[])?;
    claim(first.bits() == second.bits(), || "twice the same differs".into())?;
    for (operand, before) in operands.iter().zip(&before) {
        claim(Got::of(&operand.nd)?.bits() == before.bits(), || "an operand was changed".into())?;
    }
    Ok(())
}
