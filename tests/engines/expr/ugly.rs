//! Numbers that are no good: NaN, infinities, zeros, divisors of 0, negative variances, the ends of the types.
//!
//! NaN and infinities are in the same pixels as in the oracle, with two exceptions that the trees here avoid: where
//! derivatives are multiplied in another order (the crate from the result to the leaves, the oracle from the leaves to
//! the result) a product of more than two that leaves the range of f64 on the way may be infinite in one and not in the
//! other; the derivative of a quotient by its divisor is its product with 1/b, which overflows where b is below 1e-308;
//! and what is subtracted from itself (q - q for q = a/c) has the variance 0 here also where q is NaN.

use ndastro::NDAstroData;

use super::{Check, Kind, On, Operand, Outcome, a, b, check, check_within, claim, run, shaped};
use crate::cases::text;
use crate::compare::{Bounds, Tolerance};
use crate::oracle::expr::{One, Tree, Two};

pub const ALL: &[(&str, Check)] = &[
    ("ugly_numbers_in_f32", ugly_numbers_in_f32),
    ("ugly_numbers_in_f64", ugly_numbers_in_f64),
    ("negative_variances_of_expressions_are_counted", negative_variances_of_expressions_are_counted),
    ("extreme_divisors", extreme_divisors),
    ("numbers_that_leave_the_range_on_the_way", numbers_that_leave_the_range_on_the_way),
    ("what_f64_loses_is_lost", what_f64_loses_is_lost),
    ("subnormal_numbers", subnormal_numbers),
    ("constants_at_the_ends", constants_at_the_ends),
];

/// All pairs of these as data of two operands, each with all of these variances in turn.
fn ugly(values: &[f64], variances: &[f64], wide: bool) -> Vec<Operand> {
    let n = values.len();
    let pixels = n * n * variances.len();
    let make = |value: &dyn Fn(usize) -> f64, variance: &dyn Fn(usize) -> f64, bit: u16| {
        let mask = shaped((0..pixels).map(|i| if i % 3 == 0 { bit } else { 0 }).collect::<Vec<_>>(), &[pixels]);
        let nd = if wide {
            NDAstroData::new(shaped((0..pixels).map(value).collect::<Vec<f64>>(), &[pixels]))
                .with_variance(shaped((0..pixels).map(variance).collect::<Vec<f64>>(), &[pixels]))
        } else {
            NDAstroData::new(shaped((0..pixels).map(|i| value(i) as f32).collect::<Vec<f32>>(), &[pixels]))
                .with_variance(shaped((0..pixels).map(|i| variance(i) as f32).collect::<Vec<f32>>(), &[pixels]))
        };
        Operand::of(nd.and_then(|nd| nd.with_mask(mask)).expect("one shape"))
    };
    let k = variances.len();
    vec![
        make(&|i| values[i % n], &|i| variances[i / n / n % k], 1),
        make(&|i| values[i / n % n], &|i| variances[(i / n / n * 5 + i) % k], 4),
    ]
}

/// The same without variances: then nothing but the data asks for the host.
fn bare(operands: &[Operand]) -> Vec<Operand> {
    operands.iter().map(|o| Operand::of(NDAstroData::new(o.nd.data().expect("data").clone()))).collect()
}

fn trees() -> Vec<(String, Tree)> {
    let mut trees: Vec<(String, Tree)> = [Two::Add, Two::Sub, Two::Mul, Two::Div, Two::Min, Two::Max]
        .into_iter()
        .map(|op| (format!("{op:?}"), Tree::two(op, a(), b())))
        .collect();
    let powers = [2.0, 3.0, -1.0, 0.5, 1.7, -2.0].map(One::Pow);
    let ones = [One::Neg, One::Abs, One::Sqrt, One::Exp, One::Log, One::Log10].into_iter().chain(powers);
    trees.extend(ones.map(|op| (format!("{op:?}"), a().one(op))));
    trees.push(("a - a".into(), &a() - &a()));
    trees.push(("a / a".into(), &a() / &a()));
    trees.push(("(a - b) / (a + b)".into(), &(&a() - &b()) / &(&a() + &b())));
    trees.push(("a + b, rho".into(), (&a() + &b()).rho(0.5)));
    trees
}

const UGLY: [f64; 13] =
    [0.0, -0.0, 1.0, -1.0, 2.5, -1000.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e38, -1e38, 3e-5, 1e-30];
const VARIANCES: [f64; 8] = [1.0, 0.0, 0.25, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e-12];

fn ugly_numbers_in_f32(on: &On) -> Outcome {
    let operands = ugly(&UGLY, &VARIANCES, false);
    trees().iter().try_for_each(|(name, tree)| check(on, tree, &operands, name).map(drop))
}

fn ugly_numbers_in_f64(on: &On) -> Outcome {
    let values: Vec<f64> = UGLY.iter().copied().chain([1e-200, 1e200, -1e300]).collect();
    let operands = ugly(&values, &VARIANCES, true);
    // Where rho meets terms that cancel, to so much of them.
    let loose = Bounds { data: Tolerance::Ulp64(3), variance: Tolerance::Relative { rel: 1e-14, abs: 0.0 } };
    trees().iter().try_for_each(|(name, tree)| {
        let within = (name.contains("rho") || name.contains("/ (a")).then_some(loose);
        check_within(on, tree, &operands, name, within).map(drop)
    })
}

fn negative_variances_of_expressions_are_counted(on: &On) -> Outcome {
    let frame = |variance: [f32; 6]| {
        let nd = NDAstroData::new(shaped(vec![3f32, 2.0, 1.0, 4.0, 5.0, 6.0], &[2, 3]));
        nd.with_variance(shaped(variance.to_vec(), &[2, 3])).map_err(text)
    };
    let one = frame([-1.0, 1.0, -0.0, f32::NAN, -2.0, 1.0])?;
    let other = frame([2.0, 1.0, 1.0, 1.0, -3.0, -1e-40])?;
    for (what, expr, count) in [
        ("a + b", &one + &other, 4),
        ("a a - a", &one * &one - &one, 2),
        ("(a + b) / (a - 2 b)", (&one + &other) / (&one - &other * 2.0), 4),
        ("b + b", &other + &other, 2),
    ] {
        let (got, stats, _) = run(&expr, on, None, &[])?;
        let say = |w: &&String| w.contains("below zero");
        let said: Vec<&String> = stats.warnings.iter().filter(say).collect();
        let right = matches!(said[..], [w] if w.starts_with(&format!("{count} variances below zero")));
        claim(right, || format!("{what}: {count} were expected, said was {:?}", stats.warnings))?;
        claim(got.variance.iter().all(|v| v.is_nan() || *v >= 0.0), || format!("{what}: {:?}", got.variance))?;
    }
    let (_, stats, _) = run(&(&one + &other).uncertainty(ndastro::Propagation::Drop), on, None, &[])?;
    claim(stats.warnings.is_empty(), || format!("variances that are not used: {:?}", stats.warnings))
}

/// Nothing of a quotient is ever B^4, nor B^2.
fn extreme_divisors(on: &On) -> Outcome {
    let quotients = [&a() / &b(), &(&a() - &b()) / &b(), Tree::number(1.0) / b(), b().pow(-1.0)];
    for divisor in [1e-30, 1e30, -1e-12, 1e11, 1e15, 1e-19, 1e37] {
        // As large as is needed for the variance of the quotient to be a number of f32.
        let sigma = divisor * 1e-3;
        let n = 70;
        let data = |scale: f64| (0..n).map(|i| (scale * (1.0 + i as f64 / 64.0)) as f32).collect::<Vec<_>>();
        let variance = vec![(sigma * sigma) as f32; n];
        let top = NDAstroData::new(shaped(data(divisor), &[n]))
            .with_variance(shaped(variance.clone(), &[n]))
            .map_err(text)?;
        let bottom =
            NDAstroData::new(shaped(data(divisor), &[n])).with_variance(shaped(variance, &[n])).map_err(text)?;
        for (i, tree) in quotients.iter().enumerate() {
            let operands = [Operand::of(top.clone()), Operand::of(bottom.clone())];
            check(on, tree, &operands, &format!("quotient {i} by {divisor}"))?;
        }
    }
    for divisor in [1e-200f64, 1e200, -1e150, 1e-100, 1e300] {
        let n = 70;
        let data = |scale: f64| (0..n).map(|i| scale * (1.0 + i as f64 / 64.0)).collect::<Vec<_>>();
        let variance = vec![if divisor.abs() < 1.0 { 1e-300 } else { 1e290 }; n];
        for top in [divisor, 1.0] {
            let nd = |scale: f64| {
                NDAstroData::new(shaped(data(scale), &[n])).with_variance(shaped(variance.clone(), &[n])).map_err(text)
            };
            let operands = [Operand::of(nd(top)?), Operand::of(nd(divisor)?)];
            for (i, tree) in quotients.iter().enumerate() {
                check(on, tree, &operands, &format!("quotient {i} of {top} by {divisor}"))?;
            }
        }
    }
    Ok(())
}

/// A product that f32 cannot hold, times what brings it back: the steps have the range of f64.
fn numbers_that_leave_the_range_on_the_way(on: &On) -> Outcome {
    let c = Tree::leaf(2);
    let back = &(&a() * &b()) * &c;
    let over = &a() / &(&b() * &c);
    let root = (&(&a() * &a()) + &(&b() * &b())).sqrt();
    let smaller = Tree::two(Two::Min, c.clone(), -(&a() * &b()));
    let larger = Tree::two(Two::Max, &a() * &b(), c.clone());
    let cases = [
        (1e-20, 1e-20, 1e30),
        (1e-18, 3e-19, 1e30),
        (1e-19, 1e-19, 1e37),
        (3e-25, 7e-13, 1e25),
        (1e30, 1e30, 1e-37),
        (1e25, 1e20, 1e-20),
        (1e-36, 1e25, 1e5),
        (1e-37, 1.0, 1e20),
        (2e-38, 1e38, 1.0),
        (1e-25, 1e-3, 1e20),
        (3e38, 3e38, 3e38),
        (1e35, 1e-35, 1e35),
    ];
    for (x, y, z) in cases {
        let n = 70;
        let make = |scale: f64, odd: f64| {
            let data: Vec<f32> = (0..n).map(|i| (scale * (0.5 + (i as f64 * odd).fract() / 2.0)) as f32).collect();
            let variance: Vec<f32> = data.iter().map(|d| (f64::from(*d).powi(2) * 1e-4) as f32).collect();
            let nd = NDAstroData::new(shaped(data, &[n])).with_variance(shaped(variance, &[n]));
            Operand::of(nd.expect("one shape"))
        };
        let operands = [make(x, 0.618), make(y, 0.414), make(z, 0.732)];
        for (name, tree) in [
            ("a b c", &back),
            ("a / (b c)", &over),
            ("sqrt(a a + b b)", &root),
            ("min(c, -a b)", &smaller),
            ("max(a b, c)", &larger),
        ] {
            check(on, tree, &operands, &format!("{name} of {x:e}, {y:e}, {z:e}"))?;
            check(on, tree, &bare(&operands), &format!("{name} of {x:e}, {y:e}, {z:e}, no variance"))?;
        }
        let sum = &(&a() - &b()) * &c;
        check(on, &sum, &bare(&operands), &format!("(a - b) c of {x:e}, {y:e}, {z:e}"))?;
    }
    Ok(())
}

/// Digits that f64 loses are lost on a device with f64 too: no compiler makes a of (a + b) - b. Pairs of f32 lose others.
fn what_f64_loses_is_lost(on: &On) -> Outcome {
    if on.kind == Kind::Pair {
        return Ok(());
    }
    let make = |level: f32| {
        let data: Vec<f32> = (0..70).map(|i| level * (1.0 + i as f32 / 64.0)).collect();
        Operand::of(NDAstroData::new(shaped(data, &[70])))
    };
    for (x, y) in [(1.0, 1e20), (3.0, 1e16), (1e-9, 7e8)] {
        let sum = &(&a() + &b()) - &b();
        check(on, &sum, &[make(x), make(y)], &format!("({x:e} + {y:e}) - {y:e}"))?;
    }
    Ok(())
}

fn subnormal_numbers(on: &On) -> Outcome {
    let values = [1e-40, -3e-42, 1.4e-45, 1e-38, 1.0, 1e30, 0.0, -1e-39];
    let operands = ugly(&values, &[1e-40, 1.0, 1e-45, 0.0, 1e-37], false);
    for (name, tree) in trees() {
        check(on, &tree, &operands, &format!("{name} in f32"))?;
        check(on, &tree, &bare(&operands), &format!("{name} in f32, no variance"))?;
    }
    let values = [1e-310, -3e-320, 5e-324, 2.3e-308, 1.0, 1e300, 0.0, 1e-160];
    let operands = ugly(&values, &[1e-310, 1.0, 5e-324, 0.0, 1e-307], true);
    for (name, tree) in trees() {
        if ["Add", "Sub", "Mul", "Min", "Max", "Neg", "Abs", "a - a"].contains(&name.as_str()) {
            check(on, &tree, &operands, &format!("{name} in f64"))?;
        }
    }
    Ok(())
}

fn constants_at_the_ends(on: &On) -> Outcome {
    let x = Operand::of(
        NDAstroData::new(shaped(vec![1.5f32, -2.0, 0.0, 3e38, 1e-38, f32::NAN], &[6]))
            .with_variance(shaped(vec![1f32, 0.5, 2.0, 1e30, 1e-30, 1.0], &[6]))
            .map_err(text)?,
    );
    for constant in
        [1.1e-30, 3.3e-30, 9.9e29, 1e-25, 1e25, 1.0 / 3.0, f64::from(f32::MAX) * 0.99, 5e-324, 1e300, f64::MIN_POSITIVE]
    {
        let expr: ndastro::Expr = &x.nd * constant;
        // In pairs of f32 the constant may be beyond.
        let (_, stats) = ndastro::Calculation::of(vec![expr.clone()]).eval(&on.engine).map_err(text)?;
        let fallback: &[&str] =
            if stats.warnings.iter().any(|w| w.contains("beyond its numbers")) { &["beyond its numbers"] } else { &[] };
        // The variance has its square.
        let ordinary = (1e-15..1e15).contains(&constant);
        claim(fallback.is_empty() || (on.kind == super::Kind::Pair && !ordinary), || format!("{constant}: {stats:?}"))?;
        let (got, ..) = run(&expr, on, None, fallback)?;
        let tree = &a() * &Tree::number(constant);
        let want = super::wanted(&tree, std::slice::from_ref(&x), &[6]);
        let data: Vec<f64> = want.iter().map(|p| p.value).collect();
        let variance: Vec<f64> = want.iter().filter_map(|p| p.variance).collect();
        let planes = crate::compare::Planes { data: &data, variance: &variance, dq: &[] };
        crate::compare::compare(&got.planes(), &planes, &super::bounds(&tree, ndastro::DType::F32))
            .map_err(|e| format!("times {constant}: {e}"))?;
    }
    // A number whose square is beyond f64 makes a variance that is not.
    let nd = NDAstroData::new(shaped(vec![1.5e-150, -3e-160], &[2]));
    let nd = nd.with_variance(shaped(vec![1e-290, 4e-300], &[2])).map_err(text)?;
    for constant in [1e200, -1e180, 1e-10] {
        check(on, &(&a() * &Tree::number(constant)), &[Operand::of(nd.clone())], &format!("times {constant:e}"))?;
    }
    let nd = NDAstroData::new(shaped(vec![1.5e150, -3e160], &[2]));
    let nd = nd.with_variance(shaped(vec![1e290, 4e300], &[2])).map_err(text)?;
    for constant in [1e-200, -1e-170] {
        check(on, &(&a() * &Tree::number(constant)), &[Operand::of(nd.clone())], &format!("times {constant:e}"))?;
    }
    for constant in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let (got, ..) = run(&(&x.nd + constant), on, None, &["beyond its numbers"])?;
        claim(got.data.iter().all(|v| !v.is_finite()), || format!("plus {constant}: {:?}", got.data))?;
    }
    Ok(())
}
