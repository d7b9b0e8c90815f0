//! What is one variable and what is not, declared correlations, and what becomes of uncertainties.

use ndastro::fits::{Header, UncertaintyKind};
use ndastro::{AstroData, Expr, NDAstroData, Window};

use super::{Check, On, Operand, Outcome, a, b, check, check_within, claim, made, pair, run, shaped};
use crate::cases::text;
use crate::compare::{Bounds, Tolerance};
use crate::oracle::expr::{Rho, Rules, Tree, Two, Uncertainty};

pub const ALL: &[(&str, Check)] = &[
    ("clones_and_one_file_opened_twice_are_one_variable", clones_and_one_file_opened_twice_are_one_variable),
    ("a_correlation_is_declared", a_correlation_is_declared),
    ("a_correlation_by_pixel", a_correlation_by_pixel),
    ("correlations_within_correlations", correlations_within_correlations),
    ("uncertainties_are_copied_or_dropped", uncertainties_are_copied_or_dropped),
    ("rules_that_make_no_sense_are_refused", rules_that_make_no_sense_are_refused),
    ("standard_deviations_and_inverse_variances", standard_deviations_and_inverse_variances),
];

fn clones_and_one_file_opened_twice_are_one_variable(on: &On) -> Outcome {
    let nd = made(&[12, 14], 101, 0.5, 9.0);
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = folder.path().join("one.fits");
    AstroData::from_extensions(Header::new(), vec![nd.clone()]).write(&path, false).map_err(text)?;
    let copy = folder.path().join("copy.fits");
    std::fs::copy(&path, &copy).map_err(|e| e.to_string())?;
    let open = |path| AstroData::open(path).map(|ad| ad[0].clone()).map_err(text);
    let window = |nd: &NDAstroData, y: std::ops::Range<usize>| nd.window(&Window::new([y, 0..14])).map_err(text);
    let again = made(&[12, 14], 101, 0.5, 9.0);
    let loaded = open(&path)?;
    loaded.data().map_err(text)?;
    let cases = [
        ("a clone", nd.clone(), nd.clone(), true),
        ("the same numbers once more", nd.clone(), again, false),
        ("one file opened twice", open(&path)?, open(&path)?, true),
        ("one file, loaded and not", loaded, open(&path)?, true),
        ("a file and its copy", open(&path)?, open(&copy)?, false),
        ("one window of a file", window(&open(&path)?, 2..7)?, window(&open(&path)?, 2..7)?, true),
        ("two windows of a file", window(&open(&path)?, 2..7)?, window(&open(&path)?, 3..8)?, false),
        ("two windows of an array", window(&nd, 2..7)?, window(&nd, 3..8)?, false),
        ("a window that is all", nd.clone(), window(&nd, 0..12)?, true),
        ("a file and what was written there", nd.clone(), open(&path)?, false),
    ];
    for (what, one, other, same) in cases {
        let (got, ..) = run(&(&one - &other), on, None, &[])?;
        let none = got.variance.iter().all(|v| *v == 0.0);
        claim(none == same, || format!("{what}: one variable is {none}"))?;
        let mut operands = [Operand::of(one), Operand::of(other)];
        if same {
            operands[1].variable = Some(0);
        }
        check(on, &(&(&a() * &b()) - &b()), &operands, what)?;
    }
    // The same data with another variance are another variable.
    let other = nd.clone().with_variance(shaped(vec![1f32; 168], &[12, 14])).map_err(text)?;
    check(on, &(&a() - &b()), &[Operand::of(nd), Operand::of(other)], "another variance").map(drop)
}

/// Where variances cancel: to so much of their sum.
fn cancelling() -> Option<Bounds> {
    Some(Bounds { data: Tolerance::Ulp32(1), variance: Tolerance::Relative { rel: 2e-7, abs: 1e-11 } })
}

fn a_correlation_is_declared(on: &On) -> Outcome {
    for op in [Two::Add, Two::Sub, Two::Mul, Two::Div, Two::Min, Two::Max] {
        for rho in [0.0, 0.5, -0.3, 0.9, 1.0, -1.0] {
            let tree = Tree::two(op, a(), b()).rho(rho);
            let within = if rho.abs() == 1.0 { cancelling() } else { None };
            check_within(on, &tree, &pair(&[17, 19], 111), &format!("{op:?}, rho {rho}"), within)?;
            // It replaces what the two share: here all.
            let twice = Tree::two(op, a(), a()).rho(rho);
            check_within(on, &twice, &pair(&[17, 19], 112), &format!("a {op:?} a, rho {rho}"), cancelling())?;
            // One without a variance.
            let mut operands = pair(&[17, 19], 113);
            operands[1] = Operand::of(NDAstroData::new(shaped(vec![3f32; 323], &[17, 19])));
            check(on, &tree, &operands, &format!("{op:?}, rho {rho}, one variance"))?;
        }
    }
    Ok(())
}

fn a_correlation_by_pixel(on: &On) -> Outcome {
    let rho = made(&[17, 19], 121, -0.95, 0.95);
    let row = made(&[19], 122, -0.95, 0.95);
    for (what, rho) in [("all pixels", rho), ("a row", row)] {
        let mut operands = pair(&[17, 19], 123);
        operands.push(Operand::of(rho));
        for op in [Two::Add, Two::Sub, Two::Mul, Two::Div] {
            let rules = Rules { rho: Some(Rho::Leaf(2)), ..Rules::default() };
            check(on, &Tree::two(op, a(), b()).ruled(rules), &operands, &format!("{op:?}, rho of {what}"))?;
        }
    }
    // A correlation of more axes than the operands gives the result its shape.
    let mut operands = pair(&[19], 124);
    operands.push(Operand::of(made(&[17, 19], 125, -0.95, 0.95)));
    let rules = Rules { rho: Some(Rho::Leaf(2)), ..Rules::default() };
    check(on, &(&a() * &b()).ruled(rules), &operands, "rho of more axes")?;
    // Also where it says nothing.
    for uncertainty in [Uncertainty::Copy, Uncertainty::Drop] {
        let rules = Rules { uncertainty, ..rules };
        check(on, &(&a() * &b()).ruled(rules), &operands, "rho of more axes, not used")?;
    }
    Ok(())
}

fn correlations_within_correlations(on: &On) -> Outcome {
    let c = Tree::leaf(2);
    let mut operands = pair(&[17, 19], 131);
    operands.push(Operand::of(made(&[17, 19], 133, 0.5, 9.0)));
    let sum = (&a() + &b()).rho(0.5);
    let trees = [
        ("(a + b) c", &sum * &c),
        ("(a + b) c with rho", (&sum * &c).rho(-0.3)),
        ("(a + b) (a + b), one node", &sum * &sum),
        ("(a + b) (a + b), two nodes", &sum * &(&a() + &b()).rho(0.5)),
        ("(a + b) a", &sum * &a()),
        ("(a + b) a with rho", (&sum * &a()).rho(0.25)),
        ("(a + b) / (b + c)", &sum / &(&b() + &c).rho(-0.5)),
        ("((a + b) + c) + a", &(&sum + &c).rho(0.2) + &a()),
        ("sqrt of it", (&sum * &c).rho(0.7).sqrt()),
    ];
    for (name, tree) in trees {
        check_within(on, &tree, &operands, name, cancelling())?;
    }
    Ok(())
}

fn uncertainties_are_copied_or_dropped(on: &On) -> Outcome {
    let ruled = |tree: Tree, uncertainty| tree.ruled(Rules { uncertainty, ..Rules::default() });
    for op in [Two::Add, Two::Mul, Two::Div, Two::Max] {
        let operands = pair(&[17, 19], 141);
        let copied = ruled(Tree::two(op, a(), b()), Uncertainty::Copy);
        let got = check(on, &copied, &operands, &format!("{op:?}, copied"))?;
        let first = super::Got::of(&operands[0].nd)?;
        claim(got.variance == first.variance, || format!("{op:?}: not the variance of the first"))?;
        let dropped = ruled(Tree::two(op, a(), b()), Uncertainty::Drop);
        let got = check(on, &dropped, &operands, &format!("{op:?}, dropped"))?;
        claim(got.variance.is_empty(), || format!("{op:?}: a variance came out"))?;
        // The first that has one may be the second.
        let bare = Operand::of(NDAstroData::new(shaped(vec![3f32; 323], &[17, 19])));
        check(on, &copied, &[bare.clone(), operands[1].clone()], &format!("{op:?}, the second copied"))?;
        check(on, &copied, &[bare.clone(), bare.like(0)], &format!("{op:?}, none to copy"))?;
        // What follows counts with it, as another variable.
        check(on, &(&copied - &a()), &operands, &format!("({op:?}, copied) - a"))?;
        check(on, &(&copied * &copied), &operands, &format!("({op:?}, copied) squared"))?;
        check(on, &(&dropped + &a()), &operands, &format!("({op:?}, dropped) + a"))?;
    }
    Ok(())
}

fn rules_that_make_no_sense_are_refused(on: &On) -> Outcome {
    let nd = made(&[3, 4], 151, 0.5, 9.0);
    let refused = |expr: Expr, word: &str| match expr.eval(&on.engine) {
        Err(e) if e.to_string().contains(word) => Ok(()),
        Err(e) => Err(format!("{word:?} is not in {e}")),
        Ok(_) => Err(format!("nothing was refused; {word:?} was expected")),
    };
    for rho in [1.0001, -2.0, f64::NAN, f64::INFINITY] {
        refused((&nd + &nd).correlated(rho), "correlation")?;
    }
    refused(Expr::from(&nd).sqrt().correlated(0.5), "two operands")?;
    refused(Expr::from(&nd).uncertainty(ndastro::Propagation::Drop) + 1.0, "two operands")?;
    refused(Expr::from(&nd).pow(f64::NAN), "power")?;
    refused(Expr::from(&nd).pow(f64::INFINITY), "power")?;
    refused(&nd + made(&[4, 3], 152, 0.0, 1.0), "shape")
}

/// As stored and as converted: the variance is that of `variance()`.
fn standard_deviations_and_inverse_variances(on: &On) -> Outcome {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    for kind in [UncertaintyKind::StdDev, UncertaintyKind::InverseVariance, UncertaintyKind::Variance] {
        let make = |seed: u64| {
            let nd = made(&[17, 19], seed, 0.5, 9.0);
            let pixels = nd.variance().expect("a variance").expect("one").clone();
            nd.with_uncertainty(pixels, kind).map_err(text)
        };
        let (one, other) = (make(161)?, make(162)?);
        let path = folder.path().join(format!("{kind:?}.fits"));
        AstroData::from_extensions(Header::new(), vec![one.clone()]).write(&path, false).map_err(text)?;
        let file = AstroData::open(&path).map_err(text)?[0].clone();
        claim(file.uncertainty_kind() == Some(kind), || {
            format!("{kind:?} came back as {:?}", file.uncertainty_kind())
        })?;
        for first in [one, file] {
            let operands = [Operand::of(first), Operand::of(other.clone())];
            check(on, &(&a() / &b()), &operands, &format!("a / b, {kind:?}"))?;
            check(on, &(&(&a() - &b()) / &(&a() + &b())), &operands, &format!("(a - b) / (a + b), {kind:?}"))?;
            // Mixed with variances.
            let mixed = [operands[0].clone(), Operand::of(made(&[17, 19], 163, 0.5, 9.0))];
            check(on, &(&a() * &b()), &mixed, &format!("a b, {kind:?} and a variance"))?;
        }
    }
    Ok(())
}
