//! Weights and exposures as headers and pixels say them.

use ndarray::Array2;
use ndastro::{Combine, Flavour, Map, PerFrame, Weights};

use super::*;

/// Noise of this standard deviation on a gradient that is no noise, made by a generator of our own.
fn frame(seed: u64, sigma: f64, exposure: f64) -> NDAstroData {
    let mut state = seed;
    let mut unit = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut normal = move || (0..12).map(|_| unit()).sum::<f64>() - 6.0;
    let data = Array2::from_shape_fn((60, 80), |(y, x)| (100.0 + 0.05 * (x + y) as f64 + sigma * normal()) as f32);
    let mut nd = NDAstroData::new(data).with_variance(Array2::from_elem((60, 80), (sigma * sigma) as f32)).unwrap();
    nd.meta_mut().set("EXPTIME", exposure, "");
    nd
}

fn night() -> Stack {
    Stack::new([frame(1, 1.0, 10.0), frame(2, 2.0, 20.0), frame(3, 4.0, 40.0)])
}

fn cpu() -> Engine {
    Engine::cpu(2).unwrap()
}

fn history(result: &AstroData, what: &str) -> String {
    result.phu().history().find(|line| line.contains(what)).unwrap_or_default()
}

fn values(plane: &Pixels) -> Vec<f64> {
    plane.to_f64().into_iter().collect()
}

#[test]
fn weights_by_a_keyword_are_those_numbers() {
    let by_keyword = night().weights(Weights::Given("!EXPTIME".parse().unwrap())).maps([Map::Weight, Map::Exposure]);
    let (result, stats) = by_keyword.eval(&cpu()).unwrap();
    let (want, _) = night().weights(vec![1.0, 2.0, 4.0]).eval(&cpu()).unwrap();
    assert_eq!(values(result[0].data().unwrap()), values(want[0].data().unwrap()));
    assert_eq!(history(&result, "weights"), "ndastro weights by !EXPTIME of 1: 10,20,40");
    assert_eq!(stats.factors[0].weight, [10.0, 20.0, 40.0]);
    for map in ["WEIGHT", "EXPOSURE"] {
        assert_eq!(values(result[0].other(map).unwrap().unwrap())[0], 70.0, "{map}");
    }
    // sum k^2 w / (sum k)^2
    let variance = values(result[0].variance().unwrap().unwrap())[0];
    assert!((variance - (1.0 + 4.0 * 4.0 + 16.0 * 16.0) / 49.0).abs() < 1e-6, "{variance}");
}

/// The noise is found to a few percent, whatever the gradient; the scale counts.
#[test]
fn weights_by_noise_are_inverse_squares_of_it() {
    let (result, stats) = night().weights(Weights::Noise).eval(&cpu()).unwrap();
    let found: Vec<f64> = stats.factors[0].weight.iter().map(|k| k.powf(-0.5)).collect();
    assert!(found.iter().zip([1.0, 2.0, 4.0]).all(|(a, b)| (a / b - 1.0).abs() < 0.05), "{found:?}");
    assert!(history(&result, "weights").starts_with("ndastro weights by noise of 1: "));
    // The variance is nearly that of weights by inverse variance, the least there is: 1 / (1 + 1/4 + 1/16).
    let variance = values(result[0].variance().unwrap().unwrap())[0];
    assert!((variance * 1.3125 - 1.0).abs() < 0.01, "{variance}");
    let (_, scaled) = night().scale(vec![1.0, 0.5, 0.25]).weights(Weights::Noise).eval(&cpu()).unwrap();
    let ratio = scaled.factors[0].weight[2] / stats.factors[0].weight[2];
    assert!((ratio - 16.0).abs() < 1e-9, "{ratio}");
    // Of a section alone; and as calibrated, not as read.
    let (_, part) = night().weights(Weights::Noise).section((0..20, 0..80)).eval(&cpu()).unwrap();
    assert_ne!(part.factors[0].weight, stats.factors[0].weight);
    let (_, halved) = night().calibrate(|nd, _| Ok(nd * 0.5)).weights(Weights::Noise).eval(&cpu()).unwrap();
    let ratio = halved.factors[0].weight[0] / stats.factors[0].weight[0];
    assert!((ratio - 4.0).abs() < 1e-6, "{ratio}");
}

#[test]
fn a_calibration_that_frames_share_is_not_averaged_away() {
    let bias =
        NDAstroData::new(Array2::from_elem((60, 80), 5f32)).with_variance(Array2::from_elem((60, 80), 9f32)).unwrap();
    let stack = night().calibrate(move |nd, _| Ok(nd - &bias)).weights(vec![1.0, 2.0, 4.0]);
    let (result, _) = stack.eval(&cpu()).unwrap();
    let variance = values(result[0].variance().unwrap().unwrap())[0];
    assert!((variance - (9.0 + 273.0 / 49.0)).abs() < 1e-5, "{variance}");
}

#[test]
fn weights_that_are_none_are_refused() {
    let fails = |stack: Stack, parts: &[&str]| {
        assert_says(&stack.eval(&cpu()).unwrap_err().to_string(), parts);
    };
    fails(night().weights(vec![1.0, 2.0]), &["weights", "2 values for 3 frames"]);
    fails(night().weights(vec![1.0, 0.0, 2.0]), &["weights", "0, which is no weight"]);
    fails(night().weights(vec![1.0, f64::NAN, 2.0]), &["NaN, which is no weight"]);
    fails(night().weights(vec![1.0; 3]).combine(Combine::Median), &["weights", "not with median"]);
    fails(night().weights(Weights::Given(PerFrame::Keyword("NONE".into()))), &["no number in NONE"]);
    fails(night().mask_fraction(8, 1.5), &["1.5 is no fraction"]);
    fails(night().maps([Map::Exposure]).exposure(PerFrame::Values(vec![1.0])), &["exposure: 1 values for 3 frames"]);
    fails(night().weights(vec![1.0; 3]).flavour(Flavour::Dragons), &["dragons has no weights"]);
    let flat = || NDAstroData::new(Array2::from_elem((4, 5), 7f32));
    fails(Stack::new([flat(), flat()]).weights(Weights::Noise), &["weights", "inf, which is no weight"]);
}

/// ccdproc's weighted means of the frames of `rejections.json`, by frames and by pixels (`make_weights.py`).
#[test]
fn weighted_means_are_those_of_ccdproc() {
    let (known, all) = (support::json("rejections.json"), support::json("weights.json"));
    let cases = all["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let rows: Vec<Vec<f32>> = serde_json::from_value(known["frames"][case["frames"].to_string()].clone()).unwrap();
        let image = |values: Vec<f32>| Array2::from_shape_vec((6, 8), values).unwrap();
        let n = rows.len();
        let by_frame = case["of"] == "frames";
        let frames = rows.into_iter().enumerate().map(|(k, row)| {
            let weight = |p: usize| if by_frame { 1.0 } else { 0.5 + ((7 * k + 3 * p) % 11) as f64 / 8.0 };
            let variance = (0..row.len()).map(|p| (1.0 / weight(p)) as f32).collect();
            NDAstroData::new(image(row)).with_variance(image(variance)).unwrap()
        });
        let mut stack = Stack::new(frames);
        stack = if by_frame {
            stack.weights((0..n).map(|k| 0.25 + (k % 5) as f64).collect::<Vec<_>>())
        } else {
            stack.combine(Combine::WtMean)
        };
        let (made, _) = stack.eval(&cpu()).unwrap();
        let want: Vec<f64> = serde_json::from_value(case["value"].clone()).unwrap();
        for (p, (got, want)) in values(made[0].data().unwrap()).into_iter().zip(want).enumerate() {
            // The variances are of single precision.
            assert!((got - want).abs() <= 3e-7 * want.abs(), "{}, pixel {p}: {got} and {want}", case["of"]);
        }
    }
}
