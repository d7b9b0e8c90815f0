//! Laws of the stack that hold for any frames, whatever the rules make of them.
//!
//! Values are of one sign, so that a last place of the result is also one of its terms. No hierarchy of masks is without
//! a good sample here, unless a law says so.

use super::*;
use ndastro::{Clip, Combine, Reject, VarianceFrom};

const PIXELS: usize = 24;

fn config() -> ProptestConfig {
    ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() }
}

/// Data, variance and mask of a frame.
type Planes = (Vec<f32>, Vec<f32>, Vec<u16>);

/// Bits of the first levels, never those of the last.
fn drawn() -> impl Strategy<Value = Planes> {
    use prop::collection::vec;
    let mask = prop_oneof![6 => Just(0u16), 1 => Just(4), 1 => Just(8), 1 => Just(1)];
    (vec(500f32..1500.0, PIXELS), vec(0.25f32..400.0, PIXELS), vec(mask, PIXELS))
}

fn frames() -> impl Strategy<Value = Vec<Planes>> {
    prop::collection::vec(drawn(), 1..13)
}

fn container((data, variance, mask): &Planes) -> NDAstroData {
    let nd = NDAstroData::new(arr1(data)).with_variance(arr1(variance)).unwrap();
    nd.with_mask(arr1(mask)).unwrap()
}

fn stack(frames: &[Planes], combine: Combine, reject: Reject) -> Stack {
    Stack::new(frames.iter().map(container)).combine(combine).reject(reject).variance_from(VarianceFrom::Both)
}

/// Data, propagated variance, scatter, mask.
type Numbers = (Vec<f64>, Vec<f64>, Vec<f64>, Vec<f64>);

fn evaluate(stack: &Stack) -> Numbers {
    let (result, _) = stack.eval(&Engine::cpu(1).unwrap()).unwrap();
    let nd = &result[0];
    let numbers = |p: &Pixels| p.to_f64().into_iter().collect::<Vec<f64>>();
    (
        numbers(nd.data().unwrap()),
        numbers(nd.variance().unwrap().unwrap()),
        numbers(nd.other("SCATTER").unwrap().unwrap()),
        numbers(nd.mask().unwrap().unwrap()),
    )
}

fn clips() -> [Reject; 4] {
    let mean = Clip { lsigma: 1.5, hsigma: 2.0, mclip: false, max_iters: Some(3) };
    let median = Clip { lsigma: 2.0, hsigma: 1.5, ..Clip::default() };
    [Reject::SigClip(mean), Reject::SigClip(median), Reject::VarClip(mean), Reject::VarClip(median)]
}

/// One last place of f32 at this size.
fn ulp(value: f64) -> f64 {
    let value = value.abs() as f32;
    f64::from(value.next_up()) - f64::from(value)
}

proptest! {
    #![proptest_config(config())]

    /// Data alone: of equal samples minmax, min and max take the first frame's, and with it another variance. That is also
    /// why a weighted mean after minmax is left out.
    #[test]
    fn the_order_of_frames_does_not_matter(
        (frames, other) in frames().prop_flat_map(|f| (Just(f.clone()), Just(f).prop_shuffle())),
    ) {
        let minmax = Reject::MinMax { nlow: 1, nhigh: 1 };
        for combine in Combine::ALL {
            for reject in [Reject::None, minmax].into_iter().chain(clips()) {
                // Of fewer than three frames minmax leaves nothing, and is refused.
                if reject == minmax && (combine == Combine::WtMean || frames.len() < 3) {
                    continue;
                }
                let (a, b) = (evaluate(&stack(&frames, combine, reject)), evaluate(&stack(&other, combine, reject)));
                for (a, b) in a.0.iter().zip(&b.0) {
                    prop_assert!((a - b).abs() <= ulp(*a), "{combine:?} {reject:?}: {a}, {b}");
                }
                prop_assert_eq!(a.3, b.3, "mask of {:?} {:?}", combine, reject);
            }
        }
    }

    /// A frame whose every sample is of the last level is never used. (For minmax it still counts as one of the N frames.)
    #[test]
    fn a_fully_masked_frame_changes_nothing(frames in frames(), bad in drawn(), at in any::<prop::sample::Index>()) {
        let mut more = frames.clone();
        more.insert(at.index(frames.len() + 1), (bad.0, bad.1, vec![16; PIXELS]));
        for combine in Combine::ALL {
            for reject in [Reject::None].into_iter().chain(clips()) {
                let (a, b) = (evaluate(&stack(&frames, combine, reject)), evaluate(&stack(&more, combine, reject)));
                prop_assert_eq!(a, b, "{:?} {:?}", combine, reject);
            }
        }
    }

    #[test]
    fn twice_the_data_is_four_times_the_variance(frames in frames()) {
        for combine in Combine::ALL {
            for reject in [Reject::None, Reject::MinMax { nlow: 1, nhigh: 2 }].into_iter().chain(clips()) {
                if matches!(reject, Reject::MinMax { .. }) && frames.len() < 4 {
                    continue;
                }
                let once = stack(&frames, combine, reject);
                let (a, b) = (evaluate(&once), evaluate(&once.clone().scale(vec![2.0; frames.len()])));
                let times = |v: &[f64], k: f64| v.iter().map(|x| k * x).collect::<Vec<f64>>();
                let want = (times(&a.0, 2.0), times(&a.1, 4.0), times(&a.2, 4.0), a.3);
                prop_assert_eq!(want, b, "{:?} {:?}", combine, reject);
            }
        }
    }

    #[test]
    fn infinite_limits_reject_nothing(frames in frames(), mclip in any::<bool>()) {
        let clip = Clip { lsigma: f64::INFINITY, hsigma: f64::INFINITY, mclip, max_iters: None };
        for combine in Combine::ALL {
            let none = evaluate(&stack(&frames, combine, Reject::None));
            for reject in [Reject::SigClip(clip), Reject::VarClip(clip)] {
                prop_assert_eq!(&none, &evaluate(&stack(&frames, combine, reject)), "{:?} {:?}", combine, reject);
            }
        }
    }
}
