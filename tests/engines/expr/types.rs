//! All pixel types, alone and mixed: computed in f32 where every number is exact in it, and never as integers.

use ndastro::{DType, NDAstroData, Pixels};

use super::{Check, On, Operand, Outcome, a, b, check, claim, run, shaped};
use crate::frames::Rng;
use crate::oracle::expr::Tree;

pub const ALL: &[(&str, Check)] = &[
    ("all_types_with_all_types", all_types_with_all_types),
    ("integers_do_not_wrap", integers_do_not_wrap),
    ("variances_of_other_types", variances_of_other_types),
];

const SHAPE: [usize; 2] = [13, 17];
const N: usize = 13 * 17;

const TYPES: [DType; 10] = [
    DType::U8,
    DType::I8,
    DType::I16,
    DType::U16,
    DType::I32,
    DType::U32,
    DType::I64,
    DType::U64,
    DType::F32,
    DType::F64,
];

/// Numbers from end to end of the type.
fn pixels(t: DType, seed: u64) -> Pixels {
    let mut rng = Rng::new(seed);
    macro_rules! integers {
        ($type:ty) => {{
            let ends = [<$type>::MIN, <$type>::MAX, 0, 1];
            let values = (0..N).map(|i| if i < 4 { ends[i] } else { rng.next() as $type });
            shaped(values.collect::<Vec<$type>>(), &SHAPE).into()
        }};
    }
    match t {
        DType::U8 => integers!(u8),
        DType::I8 => integers!(i8),
        DType::I16 => integers!(i16),
        DType::U16 => integers!(u16),
        DType::I32 => integers!(i32),
        DType::U32 => integers!(u32),
        DType::I64 => integers!(i64),
        DType::U64 => integers!(u64),
        DType::F32 => shaped((0..N).map(|_| (rng.normal() * 1e3) as f32).collect::<Vec<f32>>(), &SHAPE).into(),
        DType::F64 => shaped((0..N).map(|_| rng.normal() * 1e3).collect::<Vec<f64>>(), &SHAPE).into(),
    }
}

fn container(t: DType, seed: u64) -> NDAstroData {
    let mut rng = Rng::new(seed + 7);
    let variance: Vec<f32> = (0..N).map(|_| (1.0 + 9.0 * rng.unit()) as f32).collect();
    NDAstroData::new(pixels(t, seed)).with_variance(shaped(variance, &SHAPE)).expect("one shape")
}

fn all_types_with_all_types(on: &On) -> Outcome {
    for (i, one) in TYPES.into_iter().enumerate() {
        for (j, other) in TYPES.into_iter().enumerate() {
            let operands = [Operand::of(container(one, i as u64)), Operand::of(container(other, 100 + j as u64))];
            let what = format!("{one} and {other}");
            check(on, &(&(&a() - &b()) * &a()), &operands, &what)?;
            check(on, &(&b() / &a()), &operands, &what)?;
        }
        // With a number that is not exact in f32.
        check(on, &(&a() * &Tree::number(0.1)), &[Operand::of(container(one, 50))], &format!("{one} and 0.1"))?;
    }
    Ok(())
}

fn integers_do_not_wrap(on: &On) -> Outcome {
    let of = |p: Pixels| NDAstroData::new(p);
    let cases: [(Pixels, f64, f64); 8] = [
        (shaped(vec![255u8; 2], &[2]).into(), 1.0, 256.0),
        (shaped(vec![0u8; 2], &[2]).into(), -5.0, -5.0),
        (shaped(vec![i8::MIN; 2], &[2]).into(), -1.0, -129.0),
        (shaped(vec![u16::MAX; 2], &[2]).into(), 70_000.0, 135_535.0),
        (shaped(vec![i16::MIN; 2], &[2]).into(), -1.0, -32_769.0),
        (shaped(vec![u32::MAX; 2], &[2]).into(), 1.0, 4_294_967_296.0),
        (shaped(vec![i32::MIN; 2], &[2]).into(), -1.0, -2_147_483_649.0),
        (shaped(vec![u64::MAX; 2], &[2]).into(), 1e19, 18_446_744_073_709_551_616.0 + 1e19),
    ];
    for (pixels, more, want) in cases {
        let t = pixels.dtype();
        let (got, ..) = run(&(of(pixels) + more), on, None, &[])?;
        claim(got.data == [want; 2], || format!("{t} + {more}: {:?}", got.data))?;
    }
    let (got, ..) =
        run(&(of(shaped(vec![i16::MIN; 2], &[2]).into()) * of(shaped(vec![i16::MIN; 2], &[2]).into())), on, None, &[])?;
    claim(got.data == [1_073_741_824.0; 2], || format!("(-32768)^2: {:?}", got.data))?;
    let (got, ..) = run(&(-of(shaped(vec![i32::MIN; 2], &[2]).into())), on, None, &[])?;
    claim(got.data == [2_147_483_648.0; 2], || format!("-(-2^31): {:?}", got.data))?;
    // The variance is not computed in the integers of the data either: 300^2 + 2^2 of uint16.
    let variance = || shaped(vec![1f32; 2], &[2]);
    let x = of(shaped(vec![300u16, 1000], &[2]).into()).with_variance(variance()).expect("one shape");
    let y = of(shaped(vec![2u16; 2], &[2]).into()).with_variance(variance()).expect("one shape");
    let (got, ..) = run(&(x * y), on, None, &[])?;
    claim(got.variance == [90_004.0, 1_000_004.0], || format!("variances {:?}", got.variance))
}

fn variances_of_other_types(on: &On) -> Outcome {
    let data: Vec<f32> = (0..N).map(|i| 1.0 + i as f32).collect();
    let nd = || NDAstroData::new(shaped(data.clone(), &SHAPE));
    let variances: [Pixels; 5] = [
        shaped((0..N).map(|i| i as u8).collect::<Vec<_>>(), &SHAPE).into(),
        shaped((0..N).map(|i| (i * 31) as u16).collect::<Vec<_>>(), &SHAPE).into(),
        shaped((0..N).map(|i| i as i32 * 65_537).collect::<Vec<_>>(), &SHAPE).into(),
        shaped((0..N).map(|i| i as f64 * 1e-9).collect::<Vec<_>>(), &SHAPE).into(),
        shaped((0..N).map(|i| i as u64 * 12_345_678_901).collect::<Vec<_>>(), &SHAPE).into(),
    ];
    for variance in variances {
        let what = format!("a variance of {}", variance.dtype());
        let operands =
            [Operand::of(nd().with_variance(variance).expect("one shape")), Operand::of(container(DType::U16, 9))];
        check(on, &(&a() * &b()), &operands, &what)?;
    }
    Ok(())
}
