//! Ugly shapes, broadcasting, and slices of what is not yet computed.

use ndastro::{Expr, NDAstroData, Slices};

use super::{Check, Got, On, Operand, Outcome, a, b, check, claim, made, pair, run, shaped};
use crate::cases::text;
use crate::oracle::expr::{Rho, Rules, Tree};

pub const ALL: &[(&str, Check)] = &[
    ("ugly_shapes_of_expressions", ugly_shapes_of_expressions),
    ("more_pixels_than_one_dispatch_of_expressions", more_pixels_than_one_dispatch_of_expressions),
    ("broadcasting", broadcasting),
    ("what_does_not_broadcast_is_refused", what_does_not_broadcast_is_refused),
    ("a_slice_of_an_expression_is_that_of_its_result", a_slice_of_an_expression_is_that_of_its_result),
    ("a_view_is_an_operand_like_any_other", a_view_is_an_operand_like_any_other),
];

fn ugly_shapes_of_expressions(on: &On) -> Outcome {
    let shapes: [&[usize]; 20] = [
        &[1],
        &[1, 1],
        &[63],
        &[64],
        &[65],
        &[255],
        &[256],
        &[257],
        &[1, 64],
        &[64, 1],
        &[7, 13],
        &[127, 131],
        &[2, 70_001],
        &[3, 5, 7],
        &[1, 1, 97],
        &[2, 3, 5, 11],
        &[257, 1],
        &[31, 33],
        &[4096],
        &[4097],
    ];
    let tree = &(&a() - &b()) / &(&a() + &b());
    shapes.iter().try_for_each(|shape| check(on, &tree, &pair(shape, 401), &format!("{shape:?}")).map(drop))
}

/// 65,535 workgroups of 64 lanes are 4,194,240 pixels. Whole numbers: every sum is exact.
fn more_pixels_than_one_dispatch_of_expressions(on: &On) -> Outcome {
    let shape = [2100, 2003];
    let n = 2100 * 2003;
    let data = |k: usize| shaped((0..n).map(|i| (i * k % 65_521) as u16).collect::<Vec<_>>(), &shape);
    let variance = shaped((0..n).map(|i| (i % 1021) as f32).collect::<Vec<_>>(), &shape);
    let mask = shaped((0..n).map(|i| (i % 251) as u8).collect::<Vec<_>>(), &shape);
    let one = NDAstroData::new(data(31)).with_variance(variance).and_then(|nd| nd.with_mask(mask)).map_err(text)?;
    let (got, ..) = run(&(&one + NDAstroData::new(data(37))), on, None, &[])?;
    for i in 0..n {
        let want = ((i * 31 % 65_521 + i * 37 % 65_521) as f64, (i % 1021) as f64, (i % 251) as u32);
        claim((got.data[i], got.variance[i], got.mask[i]) == want, || format!("pixel {i}: not {want:?}"))?;
    }
    Ok(())
}

fn broadcasting(on: &On) -> Outcome {
    let shapes: [(&[usize], &[usize]); 9] = [
        (&[11, 70], &[70]),
        (&[11, 70], &[1, 70]),
        (&[11, 70], &[11, 1]),
        (&[11, 1], &[1, 70]),
        (&[11, 70], &[1]),
        (&[11, 70], &[]),
        (&[3, 11, 70], &[11, 70]),
        (&[3, 11, 70], &[3, 1, 70]),
        (&[5, 1, 70], &[3, 1, 11, 1]),
    ];
    for (one, other) in shapes {
        for (first, second) in [(one, other), (other, one)] {
            let operands = [Operand::of(made(first, 411, 0.5, 9.0)), Operand::of(made(second, 412, 0.5, 9.0))];
            let what = format!("{first:?} and {second:?}");
            check(on, &(&a() / &b()), &operands, &what)?;
            check(on, &(&(&a() - &b()) / &(&a() + &b())), &operands, &what)?;
            // One variable, spread over all: a row less itself is 0 with variance 0.
            check(on, &(&(&a() + &b()) - &b()), &operands, &what)?;
        }
    }
    Ok(())
}

fn what_does_not_broadcast_is_refused(on: &On) -> Outcome {
    for (one, other) in
        [(vec![3, 4], vec![4, 3]), (vec![3, 4], vec![3]), (vec![2, 3, 4], vec![3, 3, 4]), (vec![2], vec![3])]
    {
        let expr: Expr = made(&one, 1, 0.0, 1.0) + made(&other, 2, 0.0, 1.0);
        let message = match expr.eval(&on.engine) {
            Err(e) => e.to_string(),
            Ok(_) => return Err(format!("{one:?} + {other:?} was computed")),
        };
        let says = [&one, &other].iter().all(|s| message.contains(&format!("{s:?}")));
        claim(says && expr.shape().is_err(), || format!("{one:?} + {other:?}: {message}"))?;
    }
    Ok(())
}

/// Values of an array where slices of a whole find them: the whole's own slice, by hand.
fn picked(got: &Got, places: &[Vec<usize>]) -> (Vec<u64>, Vec<u64>, Vec<u32>) {
    let mut flats = vec![0usize];
    for (axis, places) in places.iter().enumerate() {
        flats = flats.iter().flat_map(|f| places.iter().map(move |p| f * got.shape[axis] + p)).collect();
    }
    let (data, variance, mask) = got.bits();
    let of = |v: &[u64]| flats.iter().map(|&f| v[f]).collect();
    (of(&data), of(&variance), flats.iter().map(|&f| mask[f]).collect())
}

/// Places that Python's slices take of `n`, for the few that are used here.
fn places(text: &str, n: usize) -> Vec<usize> {
    let words: Vec<&str> = text.split(':').map(str::trim).collect();
    let number = |w: &str| w.parse::<isize>().ok();
    let from_end = |i: isize| if i < 0 { i + n as isize } else { i };
    if words.len() == 1 {
        return vec![from_end(number(words[0]).expect("a number")) as usize];
    }
    let step = words.get(2).and_then(|w| number(w)).unwrap_or(1);
    let all: Vec<isize> = if step > 0 { (0..n as isize).collect() } else { (0..n as isize).rev().collect() };
    let start = number(words[0]).map_or(all[0], from_end);
    let stop = number(words[1]).map(from_end);
    let within = |i: &&isize| {
        if step > 0 {
            **i >= start && stop.is_none_or(|s| **i < s)
        } else {
            **i <= start && stop.is_none_or(|s| **i > s)
        }
    };
    all.iter().filter(within).step_by(step.unsigned_abs()).map(|&i| i as usize).collect()
}

fn a_slice_of_an_expression_is_that_of_its_result(on: &On) -> Outcome {
    let rules = Rules { rho: Some(Rho::Leaf(3)), ..Rules::default() };
    let tree = (&(&(&a() - &b()) / &(&a() + &b())) * &Tree::leaf(2)).ruled(rules);
    let operands = [
        Operand::of(made(&[4, 19, 23], 421, 0.5, 9.0)),
        Operand::of(made(&[23], 422, 0.5, 9.0)),
        Operand::of(made(&[19, 1], 423, 0.5, 9.0)),
        Operand::of(made(&[1, 19, 23], 424, -0.9, 0.9)),
    ];
    let expr = super::expression(&tree, &operands);
    let (whole, ..) = run(&expr, on, None, &[])?;
    for slices in [
        ["0:4", "0:19", "0:23"],
        ["1:3", "2:18", "5:20"],
        ["::2", "::3", "::5"],
        ["::-1", "::-1", "::-1"],
        ["3:0:-2", "17:3:-4", "-2:2:-3"],
        ["2", ":", ":"],
        [":", "-1", ":"],
        [":", ":", "7"],
        ["0", "5", "::-2"],
        ["-1", "::2", "22"],
        ["1", "2", "3"],
        ["2:3", "4:5", "6:7"],
    ] {
        let said = slices.join(", ");
        let part = expr.slice(said.parse::<Slices>().map_err(text)?).map_err(text)?;
        let (got, ..) = run(&part, on, None, &[])?;
        let places: Vec<Vec<usize>> = slices.iter().zip(&whole.shape).map(|(s, &n)| places(s, n)).collect();
        let shape: Vec<usize> =
            slices.iter().zip(&places).filter(|(s, _)| s.contains(':')).map(|(_, p)| p.len()).collect();
        let (data, variance, mask) = got.bits();
        claim(got.shape == shape, || format!("[{said}]: shape {:?}, not {shape:?}", got.shape))?;
        claim((data, variance, mask.to_vec()) == picked(&whole, &places), || format!("[{said}] differs"))?;
    }
    // Nothing is something too.
    let none = expr.slice("2:2".parse::<Slices>().map_err(text)?).map_err(text)?;
    let (got, ..) = run(&none, on, None, &[])?;
    claim(got.shape == [0, 19, 23] && got.data.is_empty(), || format!("[2:2] has the shape {:?}", got.shape))
}

fn a_view_is_an_operand_like_any_other(on: &On) -> Outcome {
    let view = |nd: &NDAstroData, slices: &str| -> Result<Expr, String> {
        Expr::from(nd).slice(slices.parse::<Slices>().map_err(text)?).map_err(text)
    };
    let nd = made(&[40, 50], 431, 0.5, 9.0);
    // The even rows less the odd ones, from behind, and a column.
    let expr = (view(&nd, "::2, ::-1")? - view(&nd, "1::2, ::-1")?) * view(&nd, "::-2, 7:8")?;
    let (got, ..) = run(&expr, on, None, &[])?;
    let (whole, copies): (Vec<Got>, Vec<Operand>) = ["::2, ::-1", "1::2, ::-1", "::-2, 7:8"]
        .iter()
        .map(|s| {
            let (got, _, nd) = run(&view(&nd, s).expect("a view"), on, None, &[]).expect("a copy");
            (got, Operand::of(nd))
        })
        .unzip();
    let tree = &(&a() - &b()) * &Tree::leaf(2);
    let want = check(on, &tree, &copies, "copies of views")?;
    claim(got.bits() == want.bits() && whole[2].shape == [20, 1], || "views differ from their copies".into())?;
    // One view twice is one variable; another is another, also where they overlap.
    let (same, ..) = run(&(view(&nd, "::2")? - view(&nd, "::2")?), on, None, &[])?;
    let (other, ..) = run(&(view(&nd, "0:20")? - view(&nd, "1:21")?), on, None, &[])?;
    claim(same.variance.iter().all(|v| *v == 0.0) && other.variance.iter().all(|v| *v > 0.0), || "variables".into())
}
