//! Units: kept, converted, composed, refused.
#![allow(clippy::eq_op, reason = "an operand less itself is what is tested")]

use ndastro::{Calculation, Expr, NDAstroData, Scalar};

use super::{Check, On, Outcome, claim, run, shaped};
use crate::cases::text;

pub const ALL: &[(&str, Check)] = &[
    ("units_of_sums_convert_to_the_first", units_of_sums_convert_to_the_first),
    ("units_of_products_compose", units_of_products_compose),
    ("units_of_functions", units_of_functions),
    ("units_that_do_not_go_together_are_named", units_that_do_not_go_together_are_named),
    ("units_can_be_ignored", units_can_be_ignored),
];

/// 6 and 12 with variances 1 and 4.
fn nd(unit: &str) -> NDAstroData {
    let nd = NDAstroData::new(shaped(vec![6f32, 12.0], &[2])).with_variance(shaped(vec![1f32, 4.0], &[2]));
    let nd = nd.expect("one shape");
    if unit.is_empty() { nd } else { nd.with_unit(unit) }
}

fn bare(value: f64) -> Expr {
    Expr::from(value)
}

fn with(value: f64, unit: &str) -> Expr {
    Scalar::new(value).with_unit(unit).into()
}

/// Whether it comes to this: data, variance, and a unit that is this one.
fn comes_to(on: &On, what: &str, expr: &Expr, data: [f64; 2], variance: [f64; 2], unit: Option<&str>) -> Outcome {
    let (got, _, result) = run(expr, on, None, &[]).map_err(|e| format!("{what}: {e}"))?;
    let near = |got: &[f64], want: [f64; 2]| got.iter().zip(want).all(|(g, w)| (g - w).abs() <= 2e-7 * w.abs());
    let same = match (result.unit(), unit) {
        (Some(got), Some(want)) => {
            let (got, want) = (ndastro::Unit::from(got), ndastro::Unit::from(want));
            got.factor_to(&want).is_some_and(|f| (f - 1.0).abs() < 1e-12)
        }
        (got, want) => got.is_none() && want.is_none(),
    };
    claim(near(&got.data, data) && near(&got.variance, variance) && same, || {
        format!(
            "{what}: {:?}, {:?}, {:?}; wanted {data:?}, {variance:?}, {unit:?}",
            got.data,
            got.variance,
            result.unit()
        )
    })
}

fn units_of_sums_convert_to_the_first(on: &On) -> Outcome {
    let (adu, m, cm, none) = (nd("adu"), nd("m"), nd("cm"), nd(""));
    let v = [2.0, 8.0];
    comes_to(on, "adu + adu", &(&adu + nd("adu")), [12.0, 24.0], v, Some("adu"))?;
    comes_to(on, "m + cm", &(&m + &cm), [6.06, 12.12], [1.0001, 4.0004], Some("m"))?;
    comes_to(on, "cm + m", &(&cm + &m), [606.0, 1212.0], [10001.0, 40004.0], Some("cm"))?;
    comes_to(on, "m - cm", &(&m - &cm), [5.94, 11.88], [1.0001, 4.0004], Some("m"))?;
    comes_to(on, "min(m, cm)", &Expr::from(&m).min(&cm), [0.06, 0.12], [1e-4, 4e-4], Some("m"))?;
    comes_to(on, "max(cm, m)", &Expr::from(&cm).max(&m), [600.0, 1200.0], [1e4, 4e4], Some("cm"))?;
    comes_to(on, "none + none", &(&none + nd("")), [12.0, 24.0], v, None)?;
    // Bare numbers take the unit of what they are added to, from either side.
    comes_to(on, "adu + 2", &(&adu + 2.0), [8.0, 14.0], [1.0, 4.0], Some("adu"))?;
    comes_to(on, "20 - adu", &(20.0 - &adu), [14.0, 8.0], [1.0, 4.0], Some("adu"))?;
    comes_to(on, "none + 2", &(&none + 2.0), [8.0, 14.0], [1.0, 4.0], None)?;
    comes_to(on, "m + 50 cm", &(&m + with(50.0, "cm")), [6.5, 12.5], [1.0, 4.0], Some("m"))?;
    comes_to(on, "(2 + 3) + adu", &((bare(2.0) + 3.0) + &adu), [11.0, 17.0], [1.0, 4.0], Some("adu"))?;
    let spread = Scalar::new(50.0).with_unit("cm").with_variance(100.0);
    comes_to(on, "m + (50 +- 10) cm", &(&m + spread), [6.5, 12.5], [1.01, 4.01], Some("m"))?;
    // The same array, converted or not, is one variable.
    comes_to(on, "m - m", &(&m - &m), [0.0, 0.0], [0.0, 0.0], Some("m"))?;
    // A copied variance is in the unit of the result.
    let copied =
        (NDAstroData::new(shaped(vec![6f32, 12.0], &[2])).with_unit("m") + &cm).uncertainty(ndastro::Propagation::Copy);
    comes_to(on, "m + cm, copied", &copied, [6.06, 12.12], [1e-4, 4e-4], Some("m"))?;
    // Declared correlations count in the unit of the result.
    let correlated = (&m + &cm).correlated(0.5);
    comes_to(on, "m + cm, rho", &correlated, [6.06, 12.12], [1.0101, 4.0404], Some("m"))?;
    // What says none is a number where the other has no dimensions.
    comes_to(on, "% + none", &(nd("%") + &none), [606.0, 1212.0], [10001.0, 40004.0], Some("%"))?;
    comes_to(on, "none + %", &(&none + nd("%")), [6.06, 12.12], [1.0001, 4.0004], None)
}

fn units_of_products_compose(on: &On) -> Outcome {
    let (adu, s, none) = (nd("adu"), nd("s"), nd(""));
    let v = [72.0, 1152.0];
    let q = [2.0 / 36.0, 8.0 / 144.0];
    comes_to(on, "adu s", &(&adu * &s), [36.0, 144.0], v, Some("adu s"))?;
    comes_to(on, "adu / s", &(&adu / &s), [1.0, 1.0], q, Some("adu / s"))?;
    comes_to(on, "adu none", &(&adu * &none), [36.0, 144.0], v, Some("adu"))?;
    comes_to(on, "none / s", &(&none / &s), [1.0, 1.0], q, Some("s-1"))?;
    comes_to(on, "adu 2", &(&adu * 2.0), [12.0, 24.0], [4.0, 16.0], Some("adu"))?;
    comes_to(on, "12 / s", &(12.0 / &s), [2.0, 1.0], [1.0 / 9.0, 1.0 / 36.0], Some("s-1"))?;
    comes_to(
        on,
        "adu (2 electron/adu)",
        &(&adu * with(2.0, "electron/adu")),
        [12.0, 24.0],
        [4.0, 16.0],
        Some("electron"),
    )?;
    comes_to(on, "none none", &(&none * nd("")), [36.0, 144.0], v, None)?;
    comes_to(on, "adu / adu + 1", &(&adu / nd("adu") + 1.0), [2.0, 2.0], q, Some(""))?;
    comes_to(
        on,
        "m cm + m m",
        &(nd("m") * with(100.0, "cm") + nd("m") * with(1.0, "m")),
        [1200.0, 2400.0],
        [2e4, 8e4],
        Some("m cm"),
    )
}

fn units_of_functions(on: &On) -> Outcome {
    let m = nd("m");
    let e = Expr::from(&m);
    comes_to(on, "m^2", &e.clone().pow(2.0), [36.0, 144.0], [144.0, 2304.0], Some("m2"))?;
    comes_to(on, "m^-1", &e.clone().pow(-1.0), [1.0 / 6.0, 1.0 / 12.0], [1.0 / 1296.0, 4.0 / 20736.0], Some("m-1"))?;
    comes_to(on, "sqrt m2", &e.clone().square().sqrt(), [6.0, 12.0], [1.0, 4.0], Some("m"))?;
    comes_to(on, "sqrt m", &e.clone().sqrt(), [6f64.sqrt(), 12f64.sqrt()], [1.0 / 24.0, 1.0 / 12.0], Some("m**(1/2)"))?;
    comes_to(on, "|-m|", &(-e.clone()).abs(), [6.0, 12.0], [1.0, 4.0], Some("m"))?;
    for (name, expr) in [("exp", e.clone().exp()), ("log", e.clone().log()), ("log10", e.clone().log10())] {
        let message = expr.eval(&on.engine).map(drop).expect_err("a length").to_string();
        claim(message.contains(name) && message.contains("\"m\""), || format!("{name} of m: {message}"))?;
    }
    let ratio = &m / nd("cm");
    let q = [2.0 / 36.0, 8.0 / 144.0];
    comes_to(
        on,
        "log10(m / cm)",
        &ratio.clone().log10(),
        [2.0, 2.0],
        q.map(|v| v * 0.188_611_697_011_613_9),
        Some(""),
    )?;
    comes_to(on, "log(m / cm)", &ratio.log(), [100f64.ln(); 2], q, Some(""))?;
    let half = [(0.06f64).exp(), (0.12f64).exp()];
    let variance = [half[0] * half[0] * 1e-4, half[1] * half[1] * 4e-4];
    comes_to(on, "exp %", &Expr::from(nd("%")).exp(), half, variance, Some(""))?;
    comes_to(on, "log none", &Expr::from(nd("")).log(), [6f64.ln(), 12f64.ln()], [1.0 / 36.0, 4.0 / 144.0], None)
}

fn units_that_do_not_go_together_are_named(on: &On) -> Outcome {
    let refused = |expr: Expr, words: &[&str]| match expr.eval(&on.engine) {
        Err(e) => {
            let message = e.to_string();
            claim(words.iter().all(|w| message.contains(w)), || format!("not all of {words:?} in {message}"))
        }
        Ok(nd) => Err(format!("{words:?} went together: {nd:?}")),
    };
    refused(nd("adu") + nd("s"), &["add", "adu", "\"s\""])?;
    refused(nd("adu") - nd("m"), &["subtract", "adu", "\"m\""])?;
    refused(Expr::from(nd("adu")).min(nd("m")), &["compare", "adu", "\"m\""])?;
    refused(nd("adu") + nd(""), &["adu", "no unit"])?;
    refused(nd("") - nd("adu"), &["adu", "no unit"])?;
    refused(nd("adu") + with(1.0, "m"), &["adu", "\"m\""])?;
    refused(nd("adu") * nd("s") + nd("adu"), &["adu", "s"])?;
    refused(nd("parsnip") + nd("turnip"), &["parsnip", "turnip"])
}

fn units_can_be_ignored(on: &On) -> Outcome {
    let expr = (nd("adu") + nd("m")) * with(2.0, "s") - nd("");
    let (result, stats) = Calculation::of(vec![expr]).ignore_units(true).eval(&on.engine).map_err(text)?;
    let got = super::Got::of(&result[0])?;
    claim(!stats.warnings.iter().any(|w| w.contains("CPU")), || format!("{:?}", stats.warnings))?;
    claim(got.data == [18.0, 36.0] && result[0].unit().is_none(), || format!("{got:?}, {:?}", result[0].unit()))?;
    let (result, _) = Calculation::of(vec![nd("m") + nd("cm")]).ignore_units(true).eval(&on.engine).map_err(text)?;
    let got = super::Got::of(&result[0])?;
    claim(got.data == [12.0, 24.0], || format!("m + cm with units ignored: {:?}", got.data))
}
