//! Rejections and combinations beside the programs that they come from: `tests/data/rejections.json`, `combines.json`.

use super::*;
use ndastro::{Clip, Combine, DetectorNoise, Map, Percent, Reject};
use serde_json::Value;

/// What IRAF's imcombine and Siril make of the same frames, and numpy where Siril departs from its rule (`make_rejections.py`
/// says in what). IRAF has 0 where all samples are out, and here none is then. Siril stops when the number that is left less
/// the number that is out is 4, and here nothing does.
#[test]
fn rejections_are_those_of_iraf_and_siril() {
    let all: Value = support::json("rejections.json");
    let number = |v: &Value| v.as_f64().unwrap();
    let (noise, shape) = ((number(&all["gain"]), number(&all["read_noise"])), [6, 8]);
    let engine = Engine::cpu(2).unwrap();
    let (mut compared, mut left_out) = (0, 0);
    for case in all["cases"].as_array().unwrap() {
        let rows = all["frames"][case["frames"].to_string()].as_array().unwrap();
        let frames = rows.iter().map(|row| {
            let values = row.as_array().unwrap().iter().map(|v| number(v) as f32).collect();
            NDAstroData::new(Array2::from_shape_vec(shape, values).unwrap())
        });
        let or = |key: &str, default: f64| case.get(key).and_then(Value::as_f64).unwrap_or(default);
        let (lsigma, hsigma) = (or("lsigma", 3.0), or("hsigma", 3.0));
        let clip = Clip { lsigma, hsigma, mclip: case["mclip"] != "no", max_iters: None };
        let noise = DetectorNoise { gain: noise.0, read_noise: noise.1, sensitivity: or("snoise", 0.0) };
        let siril = case["by"].as_str().unwrap().starts_with("siril");
        let reject = match case["reject"].as_str().unwrap() {
            "pclip" => Reject::PClip { lsigma, hsigma, at: or("pclip", -0.5) },
            "ccdclip" => Reject::CcdClip(clip, noise),
            "crreject" => Reject::CcdClip(Clip { lsigma: f64::INFINITY, ..clip }, noise),
            "winsorised" => Reject::Winsorised(clip),
            "linfit" => Reject::LinFit(clip),
            "gesd" => Reject::Gesd { outliers: or("outliers", 0.0), significance: or("significance", 0.0) },
            other => panic!("{other}?"),
        };
        let n = rows.len();
        let mut stack = Stack::new(frames).reject(reject).maps([Map::RejMap]);
        // A negative nkeep is the most that may be out.
        match or("nkeep", 0.0) {
            most if most < 0.0 => stack = stack.maxrej(-most as usize),
            least => stack = stack.nkeep(least as usize),
        }
        let (made, _) = stack.eval(&engine).unwrap();
        let flat = |pixels: &Pixels| pixels.to_f64().into_iter().collect::<Vec<f64>>();
        let value = flat(made[0].data().unwrap());
        let out = flat(made[0].other("REJMAP").unwrap().unwrap());
        for (i, want) in case["value"].as_array().unwrap().iter().map(number).enumerate() {
            let other_rule = if siril { n as f64 - 2.0 * out[i] <= 4.0 } else { want == 0.0 && out[i] == 0.0 };
            if other_rule {
                left_out += 1;
                continue;
            }
            compared += 1;
            // Both have single precision.
            let off = (value[i] - want).abs();
            let case = [&case["by"], &case["frames"], &case["reject"]];
            assert!(off <= 3e-6 * want.abs(), "{case:?}, pixel {i}: {} and {want}, {} out", value[i], out[i]);
        }
    }
    assert!(compared > 20 * left_out, "{compared} compared, {left_out} left out");
}

/// numpy's percentiles of the same frames, and what IRAF's imcombine has in quadrature.
#[test]
fn combinations_are_those_of_numpy_and_iraf() {
    let (known, all): (Value, Value) = (support::json("rejections.json"), support::json("combines.json"));
    let numbers = |v: &Value| -> Vec<f64> { serde_json::from_value(v.clone()).unwrap() };
    let engine = Engine::cpu(2).unwrap();
    for case in all["cases"].as_array().unwrap() {
        let rows = known["frames"][case["frames"].to_string()].as_array().unwrap();
        let frames = rows.iter().map(|row| {
            let values = numbers(row).into_iter().map(|v| v as f32).collect();
            NDAstroData::new(Array2::from_shape_vec([6, 8], values).unwrap())
        });
        let combine = match case["percentile"].as_f64() {
            Some(percent) => Combine::Percentile(Percent::new(percent).unwrap()),
            None => Combine::Quadrature,
        };
        let reject = if case["reject"] == "minmax" { Reject::MinMax { nlow: 1, nhigh: 2 } } else { Reject::None };
        let (made, _) = Stack::new(frames).combine(combine).reject(reject).eval(&engine).unwrap();
        let made = made[0].data().unwrap().to_f64();
        for (i, (got, want)) in made.iter().zip(numbers(&case["value"])).enumerate() {
            // IRAF sums in single precision; of numpy's what comes out is rounded to it.
            let part = if combine == Combine::Quadrature { 2e-6 } else { 1.2e-7 };
            assert!((got - want).abs() <= part * want.abs(), "{combine:?}, {reject:?}, pixel {i}: {got} and {want}");
        }
    }
}

#[test]
fn percents_are_from_0_to_100() {
    for percent in [-1e-9, 100.1, f64::NAN, f64::INFINITY] {
        assert!(Percent::new(percent).unwrap_err().to_string().contains("from 0 to 100"), "{percent}");
    }
    assert_eq!(Percent::new(-0.0).unwrap(), Percent::new(0.0).unwrap());
    assert!(Percent::new(-0.0).unwrap().get().is_sign_positive());
    let frames = [1f32, 2.0, 4.0].map(|k| NDAstroData::new(Array2::from_elem((1, 1), k)));
    let stack = Stack::new(frames).combine(Combine::Percentile(Percent::new(25.0).unwrap()));
    let (made, _) = stack.eval(&Engine::cpu(1).unwrap()).unwrap();
    assert_eq!(made[0].data().unwrap().to_f64()[[0, 0]], 1.5);
    assert!(made.phu().history().any(|line| line.contains("combine percentile 25,")));
    let refused = stack.flavour(ndastro::Flavour::Dragons).eval(&Engine::cpu(1).unwrap()).unwrap_err();
    assert!(refused.to_string().contains("flavour dragons has no percentile"), "{refused}");
}
/// Rosner's example, as the NIST/SEMATECH e-Handbook of Statistical Methods has it (1.3.5.17.3): of at most ten outliers there are
/// three, though the first two tests alone find none.
#[test]
fn rosners_example_has_three_outliers() {
    let values = [
        -0.25, 0.68, 0.94, 1.15, 1.20, 1.26, 1.26, 1.34, 1.38, 1.43, 1.49, 1.49, 1.55, 1.56, 1.58, 1.65, 1.69, 1.70,
        1.76, 1.77, 1.81, 1.91, 1.94, 1.96, 1.99, 2.06, 2.09, 2.10, 2.14, 2.15, 2.23, 2.24, 2.26, 2.35, 2.37, 2.40,
        2.47, 2.54, 2.62, 2.64, 2.90, 2.92, 2.92, 2.93, 3.21, 3.26, 3.30, 3.59, 3.68, 4.30, 4.64, 5.34, 5.42, 6.01f32,
    ];
    let engine = Engine::cpu(1).unwrap();
    let high = |outliers: f64, zero: f32| {
        let frames = values.map(|v| NDAstroData::new(Array2::from_elem([1, 1], v + zero)));
        let reject = Reject::Gesd { outliers, significance: 0.05 };
        let (made, _) = Stack::new(frames).reject(reject).maps([Map::RejLow, Map::RejHigh]).eval(&engine).unwrap();
        let map = |name: &str| made[0].other(name).unwrap().unwrap().to_f64()[[0, 0]];
        (map("REJLOW"), map("REJHIGH"))
    };
    assert_eq!(high(10.0 / 54.0, 0.0), (0.0, 3.0));
    assert_eq!(high(2.0 / 54.0, 0.0), (0.0, 0.0));
    assert_eq!(high(0.3, 1000.0), (0.0, 3.0));
}

/// An outlier of 20 standard deviations at a level of a million, and one of many more beside it.
#[test]
fn outliers_at_a_high_level_are_found() {
    let engine = Engine::cpu(1).unwrap();
    for far in [20.0, 3e7] {
        let mut values: Vec<f32> = (0..20).map(|i| 1e6 + (i * 7 % 20) as f32 * 0.25).collect();
        values.extend([1e6 + 20.0 * 1.5, 1e6 + far * 1.5]);
        let gesd = Reject::Gesd { outliers: 0.3, significance: 0.05 };
        for reject in [gesd, Reject::LinFit(Clip::default())] {
            let frames = values.iter().map(|&v| NDAstroData::new(Array2::from_elem([1, 1], v)));
            let (made, _) = Stack::new(frames).reject(reject).maps([Map::RejMap]).eval(&engine).unwrap();
            let map = |name: &str| made[0].other(name).unwrap().unwrap().to_f64()[[0, 0]];
            assert_eq!(map("REJMAP"), 2.0, "{reject:?}, {far}");
        }
    }
}
