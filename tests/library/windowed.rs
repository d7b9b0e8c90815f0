//! Windowed operations are the operation.

use ndarray::Array2;
use ndastro::{windowed_operation, windowed_operation_into};

use super::container::{cost, forms, in_file, values};
use super::*;

/// Adds the inputs box by box; the mask is the sum, so that pixels that are done twice show.
fn total(boxes: &[NDAstroData]) -> ndastro::Result<NDAstroData> {
    let sum = |get: &dyn Fn(&NDAstroData) -> ArrayD<f64>| boxes.iter().map(get).reduce(|a, b| a + b).unwrap();
    let data = sum(&|nd| nd.data().unwrap().to_f64()).mapv(|v| v as f32);
    let variance = sum(&|nd| nd.variance().unwrap().unwrap().to_f64()).mapv(|v| v as f32);
    let mask = sum(&|nd| nd.mask().unwrap().unwrap().to_f64()).mapv(|v| v as u16);
    let nd = NDAstroData::new(data).with_variance(variance)?.with_mask(mask)?.with_unit("adu");
    Ok(nd.with_other("COUNT", filled(&boxes[0].shape(), |_| boxes.len() as i16)))
}

#[test]
fn a_windowed_operation_is_the_operation() {
    let dir = TempDir::new().unwrap();
    for (shape, kernels) in [
        (&[7, 11][..], vec![vec![7, 11], vec![1, 1], vec![3, 4], vec![100, usize::MAX], vec![2, 11]]),
        (&[1, 1], vec![vec![1, 1], vec![5, 5]]),
        (&[13], vec![vec![5]]),
        (&[3, 4, 5], vec![vec![2, 3, 2], vec![1, 4, 5]]),
    ] {
        let inputs: Vec<NDAstroData> = (0..3).map(|i| frame(i, shape)).collect();
        let whole = total(&inputs).unwrap();
        for kernel in kernels {
            for form in 0..4 {
                let inputs: Vec<_> = inputs
                    .iter()
                    .enumerate()
                    .map(|(i, nd)| {
                        let folder = dir.path().join(i.to_string());
                        fs::create_dir_all(&folder).unwrap();
                        forms(&folder, nd)[form].1.clone()
                    })
                    .collect();
                let mut boxes = 0;
                let counted = |windows: &[NDAstroData]| {
                    boxes += 1;
                    assert!(windows.iter().all(|w| w.shape().iter().zip(&kernel).all(|(n, k)| n <= k)));
                    total(windows)
                };
                let result = windowed_operation(counted, &inputs, &kernel).unwrap();
                assert_eq!(planes(&result), planes(&whole), "{kernel:?} on {shape:?}");
                assert_eq!(result.other("COUNT").unwrap(), whole.other("COUNT").unwrap());
                assert_eq!(boxes, shape.iter().zip(&kernel).map(|(n, k)| n.div_ceil(*k)).product::<usize>());
                assert_eq!(result.unit().map(Unit::as_str), Some("adu"));
                if form > 0 {
                    assert!(inputs.iter().all(NDAstroData::is_lazy), "inputs stay lazy");
                }
            }
        }
    }
}

#[test]
fn a_windowed_operation_reads_each_pixel_once() {
    let dir = TempDir::new().unwrap();
    let (ad, file) = in_file(dir.path(), &frame(0, &SHAPE));
    let inputs = [ad[0].clone()];
    assert_eq!(cost(&file, || windowed_operation(total, &inputs, &[17, 32]).unwrap()), 4200 * (2 + 4 + 2));
    assert!(inputs[0].is_lazy());
}

#[test]
fn a_windowed_operation_keeps_the_header_of_the_first() {
    let mut first = frame(0, &[4, 4]);
    first.meta_mut().set("OBJECT", "M 31", "");
    let result = windowed_operation(total, &[first, frame(1, &[4, 4])], &[3, 3]).unwrap();
    assert_eq!(result.meta().get_str("OBJECT").as_deref(), Some("M 31"));
}

#[test]
fn windows_without_a_mask_are_good() {
    let nd = NDAstroData::new(filled(&[4, 4], |i| i as f32));
    let corner = |boxes: &[NDAstroData]| {
        let nd = NDAstroData::new(boxes[0].data()?.clone());
        let last = boxes[0].data()?.to_f64()[[0, 0]] == 10.0;
        if last { nd.with_mask(Array2::<u8>::from_elem((2, 2), 3)) } else { Ok(nd) }
    };
    let result = windowed_operation(corner, std::slice::from_ref(&nd), &[2, 2]).unwrap();
    let mask = result.mask().unwrap().unwrap().to_f64();
    assert_eq!((mask.sum(), mask[[2, 2]], mask[[0, 0]]), (12.0, 3.0, 0.0));
    let sometimes = |boxes: &[NDAstroData]| {
        let nd = NDAstroData::new(boxes[0].data()?.clone());
        let first = boxes[0].data()?.to_f64()[[0, 0]] == 0.0;
        if first { nd.with_variance(Array2::<f32>::ones((2, 2))) } else { Ok(nd) }
    };
    let error = windowed_operation(sometimes, &[nd], &[2, 2]).unwrap_err();
    assert_says(&error.to_string(), &["uncertainty", "[0:2, 2:4]", "has none"]);
}

#[test]
fn a_windowed_operation_into_a_container() {
    let inputs = [frame(0, &[5, 7]), frame(1, &[5, 7])];
    let mut result = NDAstroData::new(Array2::<f64>::zeros((5, 7))).with_mask(Array2::<u8>::zeros((5, 7))).unwrap();
    windowed_operation_into(total, &inputs, &[2, 3], &mut result).unwrap();
    let whole = total(&inputs).unwrap();
    assert_eq!(values(&result), values(&whole));
    assert_eq!((result.dtype(), result.has_variance()), (DType::F64, false));
    assert_eq!(result.mask().unwrap().unwrap().to_f64(), whole.mask().unwrap().unwrap().to_f64());
    assert_eq!(result.other("COUNT").unwrap().unwrap().shape(), [5, 7]);
    let mut small = NDAstroData::new(Array2::<f64>::zeros((4, 7)));
    let error = windowed_operation_into(total, &inputs, &[2, 3], &mut small).unwrap_err();
    assert_says(&error.to_string(), &["[4, 7]", "[5, 7]"]);
}

#[test]
fn a_windowed_operation_that_cannot_be_says_why() {
    let nd = frame(0, &[4, 5]);
    let fails = |inputs: &[NDAstroData], kernel: &[usize]| {
        let never = |_: &[NDAstroData]| -> ndastro::Result<NDAstroData> { unreachable!() };
        windowed_operation(never, inputs, kernel).unwrap_err().to_string()
    };
    assert_says(&fails(&[], &[2, 2]), &["no input"]);
    for kernel in [&[2][..], &[2, 2, 2], &[], &[0, 2]] {
        assert_says(&fails(std::slice::from_ref(&nd), kernel), &[&format!("{kernel:?}"), "[4, 5]"]);
    }
    assert_says(&fails(&[nd.clone(), frame(0, &[5, 4])], &[2, 2]), &["[4, 5]", "[5, 4]"]);
    let fixed = |_: &[NDAstroData]| Ok(frame(0, &[2, 2]));
    let error = windowed_operation(fixed, std::slice::from_ref(&nd), &[2, 2]).unwrap_err();
    assert_says(&error.to_string(), &["[2, 2]", "[2, 1]", "[0:2, 4:5]"]);
    let own = |_: &[NDAstroData]| -> ndastro::Result<NDAstroData> { Err(Error::Parameter("own words".into())) };
    assert_says(&windowed_operation(own, &[nd], &[2, 2]).unwrap_err().to_string(), &["own words"]);
    let empty = frame(0, &[4, 5]).slice((.., 2..2)).unwrap();
    assert_eq!(windowed_operation(total, &[empty], &[3, 3]).unwrap().shape(), [4, 0]);
}
