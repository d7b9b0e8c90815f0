//! How masks are joined: every rule, every type.

use std::sync::Arc;

use ndarray::ArrayD;
use ndastro::{DType, Expr, MaskRule, NDAstroData, Pixels};

use super::{Check, On, Operand, Outcome, a, b, check, claim, made, run, shaped};
use crate::frames::Rng;
use crate::oracle::expr::{Masks, Rules, Tree};

pub const ALL: &[(&str, Check)] = &[
    ("every_rule_for_every_type_of_mask", every_rule_for_every_type_of_mask),
    ("masks_of_nested_operations", masks_of_nested_operations),
    ("a_custom_mask_is_as_wide_as_the_widest", a_custom_mask_is_as_wide_as_the_widest),
];

const SHAPE: [usize; 2] = [23, 29];

/// Bits all over the type; for `bool`, 0 and 1.
fn mask(kind: &str, seed: u64) -> Pixels {
    let mut rng = Rng::new(seed);
    let mut bits = || if rng.below(3) == 0 { 0 } else { rng.next() };
    let n: usize = SHAPE.iter().product();
    fn of<T>(values: Vec<T>) -> Pixels
    where
        Pixels: From<ArrayD<T>>,
    {
        shaped(values, &SHAPE).into()
    }
    match kind {
        "bool" => of((0..n).map(|_| u8::from(bits() & 1 == 1)).collect()),
        "u8" => of((0..n).map(|_| bits() as u8).collect()),
        "u16" => of((0..n).map(|_| bits() as u16).collect()),
        _ => of((0..n).map(|_| bits() as u32).collect()),
    }
}

fn masked(kind: &str, seed: u64) -> NDAstroData {
    NDAstroData::new(made(&SHAPE, seed, 0.5, 9.0).data().expect("data").clone())
        .with_mask(mask(kind, seed + 1000))
        .expect("one shape")
}

fn every_rule_for_every_type_of_mask(on: &On) -> Outcome {
    let kinds = ["bool", "u8", "u16", "u32"];
    let rules = [
        ("or", Masks::Or),
        ("and", Masks::And),
        ("first", Masks::First),
        ("none", Masks::None),
        ("custom", Masks::Custom(|a, b| a & !b)),
    ];
    for (i, one) in kinds.iter().enumerate() {
        for (j, other) in kinds.iter().enumerate() {
            let operands = [Operand::of(masked(one, 201)), Operand::of(masked(other, 202))];
            for (name, masks) in rules {
                let what = format!("{one} {name} {other}");
                let tree = (&a() + &b()).ruled(Rules { masks, ..Rules::default() });
                let got = check(on, &tree, &operands, &what)?;
                let widest = [DType::U8, DType::U8, DType::U16, DType::U32][i.max(j)];
                let own = [DType::U8, DType::U8, DType::U16, DType::U32][i];
                let want = match name {
                    "none" => None,
                    "first" => Some(own),
                    _ => Some(widest),
                };
                claim(got.mask_type == want, || format!("{what}: type {:?}, not {want:?}", got.mask_type))?;
            }
        }
    }
    // The only mask there is, from either side, whatever the rule.
    let bare = NDAstroData::new(shaped(vec![1f32; 667], &SHAPE));
    for (name, masks) in rules {
        let tree = (&a() + &b()).ruled(Rules { masks, ..Rules::default() });
        let (one, none) = (Operand::of(masked("u16", 203)), Operand::of(bare.clone()));
        check(on, &tree, &[one.clone(), none.clone()], &format!("{name}, the first alone"))?;
        check(on, &tree, &[none.clone(), one], &format!("{name}, the second alone"))?;
        check(on, &tree, &[none.clone(), none.like(0)], &format!("{name}, no mask"))?;
    }
    Ok(())
}

fn masks_of_nested_operations(on: &On) -> Outcome {
    let c = Tree::leaf(2);
    let operands = [Operand::of(masked("u8", 211)), Operand::of(masked("u16", 212)), Operand::of(masked("u32", 213))];
    let with = |tree: Tree, masks| tree.ruled(Rules { masks, ..Rules::default() });
    let trees = [
        ("(a and b) or c", &with(&a() + &b(), Masks::And) * &c),
        ("(a or b) and c", with(&(&a() + &b()) * &c, Masks::And)),
        ("a or a", &a() + &a()),
        ("a custom a", with(&a() + &a(), Masks::Custom(|a, b| a ^ b))),
        ("(a none b) or c", &with(&a() + &b(), Masks::None) * &c),
        ("(a first b) and c", with(&with(&a() + &b(), Masks::First) * &c, Masks::And)),
        ("of functions", &(&a() + &b()).sqrt() * &(-c.clone())),
        ("(a or b) or (a or c)", &(&a() + &b()) * &(&a() + &c)),
        ("(a custom b) and c", with(&with(&a() + &b(), Masks::Custom(|a, b| a | !b)) * &c, Masks::And)),
    ];
    for (name, tree) in trees {
        check(on, &tree, &operands, name)?;
    }
    Ok(())
}

/// Bits beyond the widest of the masks that it is given do not come out.
fn a_custom_mask_is_as_wide_as_the_widest(on: &On) -> Outcome {
    let (one, other) = (masked("u8", 221), masked("u16", 222));
    let rule = MaskRule::Custom(Arc::new(|a, b| (a << 12) | b));
    let expr = (Expr::from(&one) + &other).masks(rule);
    let (got, ..) = run(&expr, on, None, &["joins the masks"])?;
    let bits = |nd: &NDAstroData| Operand::of(nd.clone()).mask.expect("a mask");
    let want: Vec<u32> = bits(&one).iter().zip(bits(&other)).map(|(a, b)| ((a << 12) | b) & 0xffff).collect();
    claim(got.mask == want, || format!("{:x?}, not {:x?}", &got.mask[..4], &want[..4]))
}
