//! Every operation, with numbers on either side, and operands that occur more than once.
#![allow(clippy::eq_op, reason = "an operand less itself is what is tested")]

use ndastro::{Expr, NDAstroData};

use super::{Check, Kind, On, Operand, Outcome, a, b, check, check_within, claim, made, pair, shaped};
use crate::compare::{Bounds, Tolerance, compare};
use crate::oracle::expr::{One, Tree, Two};

pub const ALL: &[(&str, Check)] = &[
    ("every_operation_on_two", every_operation_on_two),
    ("every_function", every_function),
    ("functions_in_f64", functions_in_f64),
    ("numbers_on_either_side", numbers_on_either_side),
    ("numbers_with_a_variance", numbers_with_a_variance),
    ("an_operand_that_occurs_twice_is_one_variable", an_operand_that_occurs_twice_is_one_variable),
    ("chains", chains),
    ("a_very_long_chain", a_very_long_chain),
    ("numbers_are_not_joined", numbers_are_not_joined),
    ("without_variance_or_mask", without_variance_or_mask),
    ("one_changed_pixel_fails", one_changed_pixel_fails),
];

const TWOS: [Two; 6] = [Two::Add, Two::Sub, Two::Mul, Two::Div, Two::Min, Two::Max];

/// As [`pair`], in f64.
fn wide(shape: &[usize], seed: u64) -> Vec<Operand> {
    let wide = |seed: u64| {
        let nd = made(shape, seed, 0.5, 9.0);
        let data = nd.data().expect("data").to_f64().mapv(|v| v * (1.0 + 1e-9));
        let variance = nd.variance().expect("a variance").expect("one").to_f64().mapv(|v| v / 3.0);
        Operand::of(NDAstroData::new(data).with_variance(variance).expect("one shape"))
    };
    vec![wide(seed), wide(seed + 1)]
}

fn every_operation_on_two(on: &On) -> Outcome {
    for op in TWOS {
        let tree = Tree::two(op, a(), b());
        check(on, &tree, &pair(&[37, 41], 1), &format!("{op:?}"))?;
        check(on, &tree, &wide(&[37, 41], 3), &format!("{op:?} of f64"))?;
        let signed = [Operand::of(made(&[19, 23], 5, -1e3, 1e3)), Operand::of(made(&[19, 23], 6, -1e3, 1e3))];
        check(on, &tree, &signed, &format!("{op:?} of either sign"))?;
    }
    Ok(())
}

/// All that are asked for, of `x`.
fn functions(x: &Tree) -> Vec<(String, Tree)> {
    let powers = [2.0, 3.0, -1.0, 0.5, 1.7, 1.0, -2.0, -0.3, 4.0, 7.0, 20.0];
    let mut all: Vec<(String, Tree)> = [One::Neg, One::Abs, One::Sqrt, One::Exp, One::Log, One::Log10]
        .into_iter()
        .chain(powers.map(One::Pow))
        .map(|op| (format!("{op:?}"), x.clone().one(op)))
        .collect();
    all.push(("square".into(), x.clone().pow(2.0)));
    all
}

fn every_function(on: &On) -> Outcome {
    for (name, tree) in functions(&a()) {
        check(on, &tree, &[Operand::of(made(&[37, 41], 11, 0.5, 9.0))], &name)?;
        check(on, &tree, &[Operand::of(made(&[37, 41], 12, -9.0, 9.0))], &format!("{name} of either sign"))?;
        check(on, &tree, &[Operand::of(made(&[37, 41], 13, 0.9, 1.1))], &format!("{name} near 1"))?;
        if !name.contains("20") {
            check(on, &tree, &[Operand::of(made(&[37, 41], 14, 0.0, 80.0))], &format!("{name} of 0 to 80"))?;
            check(on, &tree, &[Operand::of(made(&[37, 41], 15, 1e-6, 1e-4))], &format!("{name} of small ones"))?;
        }
        let difference = functions(&(&a() - &b())).into_iter().find(|f| f.0 == name).expect("the same names").1;
        check(on, &difference, &pair(&[37, 41], 16), &format!("{name} of a difference"))?;
    }
    // x^0 is the number 1: without a variance, with the mask.
    let nd = made(&[5, 7], 17, -9.0, 9.0);
    let expr = ndastro::Expr::from(&nd).pow(0.0);
    let (got, _, result) = super::run(&expr, on, None, &[])?;
    claim(got.data == [1.0; 35] && !result.has_variance() && result.has_mask(), || format!("x^0: {got:?}"))
}

fn functions_in_f64(on: &On) -> Outcome {
    for (name, tree) in functions(&a()) {
        check(on, &tree, &wide(&[37, 41], 21)[..1], &format!("{name} of f64"))?;
    }
    Ok(())
}

fn numbers_on_either_side(on: &On) -> Outcome {
    for number in [2.5, -1.0, 0.1, 1.0, 0.0, 1e-3, 12345.678, 1e10] {
        for op in TWOS {
            let x = Tree::number(number);
            let operands = [Operand::of(made(&[17, 19], 31, 0.5, 9.0))];
            check(on, &Tree::two(op, a(), x.clone()), &operands, &format!("x {op:?} {number}"))?;
            check(on, &Tree::two(op, x.clone(), a()), &operands, &format!("{number} {op:?} x"))?;
            check(on, &Tree::two(op, x, a()), &wide(&[17, 19], 32)[..1], &format!("{number} {op:?} x of f64"))?;
        }
    }
    // Numbers alone.
    check(on, &(&Tree::number(2.0) / &Tree::number(3.0)), &[], "2 / 3")?;
    check(on, &(&Tree::random(2.0, 0.5) / &Tree::number(3.0)), &[], "(2 with a variance) / 3")?;
    Ok(())
}

fn numbers_with_a_variance(on: &On) -> Outcome {
    let operands = [Operand::of(made(&[17, 19], 41, 0.5, 9.0))];
    for variance in [0.0, 0.25, 1e-6, 3e3] {
        for op in TWOS {
            let x = Tree::random(3.0, variance);
            check(on, &Tree::two(op, a(), x.clone()), &operands, &format!("x {op:?} 3 with {variance}"))?;
            check(on, &Tree::two(op, x.clone(), a()), &operands, &format!("3 with {variance} {op:?} x"))?;
        }
    }
    let x = Tree::random(3.0, 0.25);
    check(on, &(&(&a() - &x) / &(&a() + &x)), &operands, "one number twice is one variable")?;
    let other = Tree::random(3.0, 0.25);
    check(on, &(&(&a() - &x) / &(&a() + &other)), &operands, "two equal numbers are two variables")?;
    // A variance below zero is no variance.
    let expr = ndastro::Expr::from(&operands[0].nd) + ndastro::Scalar::new(1.0).with_variance(-1.0);
    match expr.eval(&on.engine) {
        Err(e) if e.to_string().contains("-1") => Ok(()),
        Err(e) => Err(format!("a number of variance -1: {e}")),
        Ok(nd) => Err(format!("a number of variance -1 gave {nd:?}")),
    }
}

fn an_operand_that_occurs_twice_is_one_variable(on: &On) -> Outcome {
    let (x, y) = (a(), b());
    let trees = [
        ("a - a", &x - &x),
        ("a + a", &x + &x),
        ("a * a", &x * &x),
        ("a / a", &x / &x),
        ("(a - b) / (a + b)", &(&x - &y) / &(&x + &y)),
        ("sqrt(a a + b b)", (&(&x * &x) + &(&y * &y)).sqrt()),
        ("a a a", &(&x * &x) * &x),
        ("a b / a", &(&x * &y) / &x),
        ("min(a, b) + a", &Tree::two(Two::Min, x.clone(), y.clone()) + &x),
        ("max(a, b) - a", &Tree::two(Two::Max, x.clone(), y.clone()) - &x),
        ("-(-a) - a", &(-(-x.clone())) - &x),
        ("|a - b| + b", &(&x - &y).one(One::Abs) + &y),
        ("(a + b) - b", &(&x + &y) - &y),
        ("a a - a a", &(&x * &x) - &(&x * &x)),
    ];
    for (name, tree) in trees {
        check(on, &tree, &pair(&[37, 41], 51), name)?;
        let signed = [Operand::of(made(&[37, 41], 53, -9.0, -0.5)), Operand::of(made(&[37, 41], 54, -9.0, -0.5))];
        check(on, &tree, &signed, &format!("{name}, all negative"))?;
    }
    let got = check(on, &(&x - &x), &pair(&[4, 5], 55), "a - a")?;
    claim(got.variance == [0.0; 20], || format!("a - a has variances {:?}", got.variance))
}

fn chains(on: &On) -> Outcome {
    // Four leaves: (a - b) / c as for a bias and a flat, and a normalised difference with an offset.
    let leaf: Vec<Tree> = (0..4).map(Tree::leaf).collect();
    let operands: Vec<Operand> = (0..4).map(|i| Operand::of(made(&[29, 31], 60 + i, 2.0, 900.0))).collect();
    let calibrated = &(&leaf[0] - &leaf[1]) / &leaf[2];
    check(on, &calibrated, &operands, "(a - b) / c")?;
    check(on, &(&(&calibrated * &leaf[3]) + &leaf[1]), &operands, "(a - b) / c d + b")?;
    check(on, &(&calibrated - &(&leaf[3] / &leaf[2])), &operands, "(a - b) / c - d / c")?;
    let two = Tree::number(2.0);
    let length = (&(&leaf[0] / &leaf[1]) + &(&leaf[2] / &leaf[3])).sqrt();
    check(on, &(&(&length * &two) / &(&length + &leaf[0])), &operands, "of a root")?;
    let soft = (&(&leaf[0] / &leaf[1]) + &leaf[2]).one(One::Log);
    check(on, &(&soft * &(-(&leaf[3] / &leaf[1])).one(One::Exp)), &operands, "of log and exp")?;
    // Many leaves, each with its planes.
    let many: Vec<Operand> = (0..40).map(|i| Operand::of(made(&[29, 31], 600 + i, 2.0, 900.0))).collect();
    let sum = (1..40).fold(Tree::leaf(0), |sum, i| &sum + &Tree::leaf(i));
    check(on, &(&sum / &(&Tree::leaf(7) + &Tree::leaf(31))), &many, "of forty leaves")?;
    // A long one.
    let mut tree = leaf[0].clone();
    for i in 0..200 {
        tree = &tree + &leaf[1 + i % 3];
    }
    check(on, &tree, &operands, "two hundred additions").map(drop)
}

/// Its end is not the end of the stack. On a device it would be a shader of as many lines.
fn a_very_long_chain(on: &On) -> Outcome {
    if on.kind != Kind::Cpu {
        return Ok(());
    }
    let nd = made(&[2], 65, 0.5, 9.0);
    let mut expr = Expr::from(0.0);
    for _ in 0..30_000 {
        expr += &nd;
    }
    let (got, ..) = super::run(&expr, on, None, &[])?;
    let (one, ..) = super::run(&(&nd * 30_000.0), on, None, &[])?;
    let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 2e-7 * b);
    claim(near(&got.data, &one.data) && near(&got.variance, &one.variance), || format!("{got:?}, not {one:?}"))
}

/// (x + c) - d is not x + (c - d): a compiler that thinks so rounds and overflows elsewhere than the CPU does.
fn numbers_are_not_joined(on: &On) -> Outcome {
    let n = Tree::number;
    for (i, tree) in
        [&(&a() + &b()) - &b(), &(&a() * &b()) / &b(), &b() - &(&b() - &a()), &(&a() / &b()) * &b()].iter().enumerate()
    {
        let mut operands = wide(&[17, 19], 67);
        operands[1] = Operand::of(made(&[17, 19], 68, 3e8, 7e9));
        check(on, tree, &operands, &format!("{i} of leaves in f64"))?;
    }
    for (c, d) in [(1e4, 1e4), (0.1, 10.0), (3.0, 1.0 / 3.0), (1e16, 1e16), (1e200, 1e-200), (1e-200, 1e200)] {
        let ordinary = (1e-5..1e5).contains(&c);
        let trees = [
            &(&a() + &n(c)) - &n(d),
            &(&a() * &n(c)) * &n(d),
            &(&a() * &n(c)) / &n(d),
            &n(c) - &(&n(d) - &a()),
            &n(d) * &(&n(c) * &a()),
            Tree::two(Two::Min, Tree::two(Two::Min, a(), n(c)), n(d)),
        ];
        for (i, tree) in trees.iter().enumerate() {
            let bare = |nd: &NDAstroData| Operand::of(NDAstroData::new(nd.data().expect("data").clone()));
            check(on, tree, &[bare(&wide(&[17, 19], 66)[0].nd)], &format!("{i} of {c:e} and {d:e} in f64"))?;
            if ordinary {
                check(on, tree, &[bare(&made(&[17, 19], 66, 0.5, 9.0))], &format!("{i} of {c:e} and {d:e}"))?;
            }
        }
    }
    Ok(())
}

fn without_variance_or_mask(on: &On) -> Outcome {
    let full = made(&[13, 17], 71, 0.5, 9.0);
    let data = full.data().expect("data").clone();
    let variance = full.variance().expect("a variance").expect("one").clone();
    let mask = full.mask().expect("a mask").expect("one").clone();
    let bare = NDAstroData::new(data.clone());
    let with_variance = bare.clone().with_variance(variance).expect("one shape");
    let with_mask = bare.clone().with_mask(mask).expect("one shape");
    let all = [made(&[13, 17], 72, 0.5, 9.0), bare, with_variance, with_mask];
    for (i, one) in all.iter().enumerate() {
        for (j, other) in all.iter().enumerate() {
            let operands = [Operand::of(one.clone()), Operand::of(other.clone())];
            for op in [Two::Sub, Two::Div, Two::Max] {
                // Of 1 and 3 the data are one array, but not one variable: one has no variance. 2 twice is one.
                let mut operands = operands.clone();
                if i == j {
                    operands[1].variable = Some(0);
                }
                let got = check(on, &Tree::two(op, a(), b()), &operands, &format!("{op:?} of {i} and {j}"))?;
                let (variance, mask) = (!got.variance.is_empty(), !got.mask.is_empty());
                let has = |f: fn(&NDAstroData) -> bool| f(one) || f(other);
                claim((variance, mask) == (has(NDAstroData::has_variance), has(NDAstroData::has_mask)), || {
                    format!("{op:?} of {i} and {j}: variance {variance}, mask {mask}")
                })?;
            }
        }
    }
    Ok(())
}

/// What compares the results sees one pixel in each plane.
fn one_changed_pixel_fails(on: &On) -> Outcome {
    let got = check(on, &(&a() / &b()), &pair(&[11, 13], 81), "a / b")?;
    for ulp in [Tolerance::Ulp32(1), Tolerance::Ulp32(4)] {
        let bounds = Bounds { data: ulp, variance: ulp };
        for i in [0, 70, got.data.len() - 1] {
            let (mut data, mut variance, mut mask) = (got.data.clone(), got.variance.clone(), got.mask.clone());
            data[i] *= 1.0 + 1e-6;
            variance[i] *= 1.0 + 1e-6;
            mask[i] ^= 4;
            let planes = got.planes();
            let changed = [
                crate::compare::Planes { data: &data, ..planes },
                crate::compare::Planes { variance: &variance, ..planes },
                crate::compare::Planes { dq: &mask, ..planes },
            ];
            for (plane, changed) in changed.iter().enumerate() {
                claim(compare(changed, &planes, &bounds).is_err(), || format!("pixel {i} of plane {plane} changed"))?;
            }
            claim(compare(&planes, &planes, &bounds).is_ok(), || "it differs from itself".into())?;
        }
    }
    // And a wrong oracle does not pass.
    let operands = pair(&[11, 13], 82);
    let doubled = Operand::of(
        NDAstroData::new(shaped(vec![2.0f32; 143], &[11, 13]))
            .with_variance(shaped(vec![1f32; 143], &[11, 13]))
            .expect("one shape"),
    );
    let exact = Some(Bounds { data: Tolerance::Ulp32(1), variance: Tolerance::Ulp32(1) });
    let mut lying = operands.clone();
    lying[1] = Operand { nd: doubled.nd, ..operands[1].clone() };
    claim(check_within(on, &(&a() / &b()), &lying, "a lie", exact).is_err(), || "the oracle says yes to all".into())
}
