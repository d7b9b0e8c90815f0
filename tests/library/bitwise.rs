//! Bitwise or and and of integers, beside the operators of the language.

use ndarray::{ArrayD, IxDyn};
use ndastro::fits::{Compression, Method};
use ndastro::{Combine, DType, Reject, VarianceFrom};

use super::*;

/// No row is a whole number of lanes, and the last block is short.
const SHAPE: [usize; 2] = [37, 53];

/// A number of all bits from a place, by a mixing of our own.
fn bits(frame: usize, pixel: usize) -> u64 {
    let mut z =
        (frame as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (pixel as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 29)
}

fn image<V: Clone>(of: impl Fn(usize) -> V) -> ArrayD<V> {
    let pixels = SHAPE[0] * SHAPE[1];
    ArrayD::from_shape_vec(IxDyn(&SHAPE), (0..pixels).map(of).collect()).unwrap()
}

fn engines() -> [Engine; 2] {
    [1, 2].map(|threads| Engine::cpu(threads).unwrap())
}

macro_rules! of_type {
    ($name:ident, $type:ty) => {
        #[test]
        fn $name() {
            let folder = tempfile::tempdir().unwrap();
            let frames: Vec<ArrayD<$type>> = (0..7).map(|f| image(|i| bits(f, i) as $type)).collect();
            // The bad ones of frame 2 are left out; where all are alike bad, all are used.
            let bad = |f: usize, i: usize| u16::from((f == 2 && i.is_multiple_of(3)) || i.is_multiple_of(101));
            let used = |i: usize| (0..frames.len()).filter(move |&f| bad(f, i) == 0 || i.is_multiple_of(101));
            for combine in Combine::BITWISE {
                let want = image(|i| {
                    let samples = used(i).map(|f| frames[f].as_slice().unwrap()[i]);
                    samples.reduce(|a, b| if combine == Combine::Or { a | b } else { a & b }).unwrap()
                });
                let stack = || {
                    let one = |(f, data): (usize, &ArrayD<$type>)| {
                        NDAstroData::new(data.clone()).with_mask(image(|i| 16 * bad(f, i))).unwrap()
                    };
                    Stack::new(frames.iter().enumerate().map(one)).combine(combine)
                };
                for engine in engines() {
                    let (result, stats) = stack().eval(&engine).unwrap();
                    assert_eq!(*result[0].data().unwrap(), Pixels::from(want.clone()), "{combine:?}");
                    assert!(!result[0].has_variance() && stats.warnings.is_empty(), "{stats:?}");
                    let mask = result[0].mask().unwrap().unwrap().to_f64();
                    let expected = image(|i| f64::from(16 * u16::from(i.is_multiple_of(101))));
                    assert_eq!(mask, expected);
                }
                // To a file, packed or not, and in little memory.
                for (k, compression) in
                    [None, Some(Compression { method: Method::Rice, quantize: None })].into_iter().enumerate()
                {
                    let path = folder.path().join(format!("{}{k}.fits", combine.name()));
                    let stack = stack().compression(compression).memory(256 << 10);
                    stack.write(&Engine::cpu(2).unwrap(), &path, false).unwrap();
                    let read = AstroData::open(&path).unwrap();
                    assert_eq!(*read[0].data().unwrap(), Pixels::from(want.clone()), "{combine:?} {compression:?}");
                    assert!(!read[0].has_variance());
                }
            }
        }
    };
}

of_type!(bytes, u8);
of_type!(signed_words, i16);
of_type!(unsigned_words, u16);
of_type!(signed_longs, i32);
of_type!(unsigned_longs, u32);

/// The result has the smallest type that holds the numbers of all frames.
#[test]
fn types_meet() {
    let (a, b) = (image(|i| bits(0, i) as u16), image(|i| bits(1, i) as i16));
    let (result, _) = Stack::new([NDAstroData::new(a.clone()), NDAstroData::new(b.clone())])
        .combine(Combine::Or)
        .eval(&engines()[0])
        .unwrap();
    let data = result[0].data().unwrap();
    assert_eq!(data.dtype(), DType::I32);
    let want = image(|i| {
        let (a, b) = (a.as_slice().unwrap()[i], b.as_slice().unwrap()[i]);
        f64::from(i32::from(a) | i32::from(b))
    });
    assert_eq!(data.to_f64(), want);
}

#[test]
fn a_pixel_is_explained_without_a_variance() {
    let frames = (0..3).map(|f| NDAstroData::new(image(|i| bits(f, i) as u16)));
    let explained = Stack::new(frames).combine(Combine::Or).explain(0, &[3, 4]).unwrap();
    let pixel = 3 * SHAPE[1] + 4;
    assert_eq!(explained.result.value, f64::from((0..3).fold(0, |all, f| all | bits(f, pixel) as u16)));
    let said = explained.to_string();
    assert!(said.contains("combine or") && !said.contains("variance"), "{said}");
}

#[test]
fn what_it_does_not_go_with_is_refused() {
    let frames = || (0..3).map(|f| NDAstroData::new(image(|i| bits(f, i) as u16)));
    let or = || Stack::new(frames()).combine(Combine::Or);
    let reals = Stack::new([NDAstroData::new(image(|i| i as f32))]).combine(Combine::And);
    let wide =
        Stack::new([NDAstroData::new(image(|i| bits(0, i) as u32)), NDAstroData::new(image(|i| bits(1, i) as i16))]);
    let cases = [
        (reals, "wants integers of at most 32 bits, and"),
        (wide.combine(Combine::Or), "both uint32 and numbers below zero"),
        (or().reject(Reject::MinMax { nlow: 1, nhigh: 0 }), "does not go with a rejection"),
        (or().scale(vec![1.0, 2.0, 3.0]), "does not go with scale and zero"),
        (or().weights(vec![1.0, 2.0, 3.0]), "does not go with weights"),
        (or().variance_from(VarianceFrom::Scatter), "does not go with a variance"),
    ];
    for (stack, what) in cases {
        let error = stack.eval(&engines()[0]).expect_err(what).to_string();
        assert!(error.contains(what), "{error}, not {what}");
    }
}
