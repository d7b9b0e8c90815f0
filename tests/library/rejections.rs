//! Rejections beside the programs that they come from: `tests/data/rejections.json`.

use super::*;
use ndastro::{Clip, DetectorNoise, Map, Reject};
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
