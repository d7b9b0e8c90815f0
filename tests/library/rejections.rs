//! Rejections and combinations beside the programs that they come from: `tests/data/rejections.json`, `combines.json`.

use super::*;
use ndastro::{Clip, Combine, DetectorNoise, Map, Percent, Reject};
use serde_json::Value;

/// What IRAF's imcombine and Siril make of the same frames. IRAF has 0 where all samples are out, and here none is then. Siril
/// stops when the number that is left less the number that is out is 4, and here nothing does.
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
