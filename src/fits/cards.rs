//! The cards that an HDU's place and data ask for: layout, scaling, sums. All others are carried.
//!
//! Mandatory cards stand in front in the order of the standard (4.0, section 4.4.1); a card that says already what it
//! must say stays byte for byte. Sums are those of the standard's appendix J.

use super::checksum::Sum;
use super::header::{Header, Value};
use super::writer::ImageSpec;
use crate::dtype::PixelFormat;

const NO_CHECKSUM: &str = "0000000000000000";
/// As long as the longest sum.
const NO_DATASUM: &str = "0000000000";

/// The bytes of a header with room for its sums.
pub(super) fn with_room(header: &Header) -> Vec<u8> {
    with_sums(header.clone(), NO_CHECKSUM, NO_DATASUM).to_bytes()
}

/// Cards that a header begins with, in the order of the standard.
pub(super) fn is_mandatory(key: &str) -> bool {
    let axis = key.strip_prefix("NAXIS").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
    axis || matches!(key, "SIMPLE" | "XTENSION" | "BITPIX" | "PCOUNT" | "GCOUNT" | "GROUPS" | "END")
}

/// A value that is there already stays as it was written.
fn keep_or_set(h: &mut Header, at: usize, key: &str, value: impl Into<Value>, comment: &str) -> usize {
    let value = value.into();
    let same = match (h.get(key), &value) {
        (Some(Value::Integer(a)), Value::Real(b)) => a as f64 == *b,
        (Some(Value::Real(a)), Value::Integer(b)) => a == *b as f64,
        (Some(old), new) => old == *new,
        (None, _) => false,
    };
    let new = h.get(key).is_none();
    if !same {
        h.set_at(at, key, value, comment);
    }
    at + usize::from(new)
}

/// Puts the mandatory cards in front, each as it was where it says the same.
fn with_layout(carried: &Header, layout: Vec<(String, Value, &str)>) -> Header {
    let keys: Vec<String> = layout.iter().map(|l| l.0.clone()).collect();
    let mut front = Vec::new();
    for (key, value, comment) in layout {
        match carried.position(&key).filter(|_| carried.get(&key).as_ref() == Some(&value)) {
            Some(at) => front.push(carried.cards()[at]),
            None => {
                let mut one = Header::new();
                one.set(&key, value, comment);
                front.extend_from_slice(one.cards());
            }
        }
    }
    // A primary may say that it has no groups.
    let says = |key: &str, value: i64| carried.get_i64(key) == Some(value) && !keys.iter().any(|k| k == key);
    let idle = [says("PCOUNT", 0), says("GCOUNT", 1)];
    let mut rest = carried.clone();
    rest.remove_where(|key| match key {
        "PCOUNT" => !idle[0],
        "GCOUNT" => !idle[1],
        _ => is_mandatory(key),
    });
    Header::from_cards(front.into_iter().chain(rest.cards().iter().copied()))
}

fn legal(bitpix: i64) -> bool {
    PixelFormat::fits(bitpix, 1.0, 0.0, None).is_some()
}

/// The header of a primary without data.
pub(super) fn primary(carried: &Header, extensions: usize) -> Header {
    // Without data any legal BITPIX will do.
    let own = carried.get_i64("BITPIX").filter(|b| carried.get_i64("NAXIS") == Some(0) && legal(*b));
    let layout: [(&str, Value, &str); 3] = [
        ("SIMPLE", true.into(), "conforms to FITS standard"),
        ("BITPIX", own.unwrap_or(8).into(), "array data type"),
        ("NAXIS", 0i64.into(), "number of array dimensions"),
    ];
    let mut h = with_layout(carried, layout.map(|(k, v, c)| (k.to_string(), v, c)).to_vec());
    h.remove_where(|k| matches!(k, "BSCALE" | "BZERO" | "BLANK"));
    if extensions > 0 {
        keep_or_set(&mut h, 3, "EXTEND", true, "");
    }
    if h.get("NEXTEND").is_some() {
        keep_or_set(&mut h, 4, "NEXTEND", extensions as i64, "number of extensions");
    }
    h
}

/// The header of an image: the carried cards, each as it was where it still holds.
pub(super) fn image(spec: &ImageSpec, primary: bool, extensions: usize) -> Header {
    let bitpix = spec.format.stored.fits().0;
    let mut layout: Vec<(String, Value, &str)> = vec![match primary {
        true => ("SIMPLE".into(), true.into(), "conforms to FITS standard"),
        false => ("XTENSION".into(), "IMAGE".into(), "Image extension"),
    }];
    layout.push(("BITPIX".into(), bitpix.into(), "array data type"));
    layout.push(("NAXIS".into(), (spec.shape.len() as i64).into(), "number of array dimensions"));
    for (i, &n) in spec.shape.iter().rev().enumerate() {
        layout.push((format!("NAXIS{}", i + 1), (n as i64).into(), ""));
    }
    if !primary {
        layout.push(("PCOUNT".into(), 0i64.into(), "number of parameters"));
        layout.push(("GCOUNT".into(), 1i64.into(), "number of groups"));
    }
    let mut at = layout.len();
    let mut h = with_layout(&spec.header, layout);
    if primary && extensions > 0 {
        at = keep_or_set(&mut h, at, "EXTEND", true, "");
    } else if !primary {
        h.remove("EXTEND");
    }
    if !primary {
        h.remove("NEXTEND");
    } else if h.get("NEXTEND").is_some() {
        at = keep_or_set(&mut h, at, "NEXTEND", extensions as i64, "number of extensions");
    }
    match &spec.name {
        Some(name) => at = keep_or_set(&mut h, at, "EXTNAME", name.as_str(), "extension name"),
        None => h.remove("EXTNAME"),
    }
    match spec.ver {
        Some(ver) => at = keep_or_set(&mut h, at, "EXTVER", ver, "extension version"),
        None => h.remove("EXTVER"),
    }
    let f = &spec.format;
    if f.is_plain() {
        if h.get_f64("BSCALE").is_some_and(|s| s != 1.0) || h.get_f64("BZERO").is_some_and(|z| z != 0.0) {
            h.remove_where(|k| matches!(k, "BSCALE" | "BZERO"));
        }
    } else {
        // Who wrote BZERO alone knew that BSCALE is 1.
        if f.bscale != 1.0 || h.get("BSCALE").is_some() || h.get("BZERO").is_none() {
            at = keep_or_set(&mut h, at, "BSCALE", number(f.bscale), "");
        }
        at = keep_or_set(
            &mut h,
            at,
            "BZERO",
            number(f.bzero),
            if f.flipped().is_some() { "sign of the integers" } else { "" },
        );
    }
    match f.blank {
        Some(blank) => {
            keep_or_set(&mut h, at, "BLANK", blank, "value of pixels without one");
        }
        // In floating-point images it has no meaning, but is written; it is not ours to tidy up.
        None if f.stored.is_float() && spec.header.get_i64("BITPIX") == Some(bitpix) => {}
        None => h.remove("BLANK"),
    }
    h
}

/// An integer where it is one; 2^63 does not fit.
fn number(v: f64) -> Value {
    if v.fract() == 0.0 && v.abs() < 9e15 { Value::Integer(v as i64) } else { Value::Real(v) }
}

/// Room for the sums, so that the header does not grow when they are known.
fn with_sums(mut header: Header, checksum: &str, datasum: &str) -> Header {
    let comment = |h: &Header, key: &str, new: &'static str| if h.get(key).is_some() { "" } else { new };
    let words = [comment(&header, "CHECKSUM", "HDU checksum"), comment(&header, "DATASUM", "data unit checksum")];
    header.set("CHECKSUM", checksum, words[0]);
    header.set("DATASUM", datasum, words[1]);
    header
}

/// The header with its sums, `data` being the sum of the data.
pub(super) fn summed(header: &Header, data: Sum) -> Vec<u8> {
    let datasum = data.value().to_string();
    let header = with_sums(header.clone(), NO_CHECKSUM, &datasum);
    let mut sum = Sum::default();
    sum.add(0, &header.to_bytes());
    with_sums(header, &sum.join(data).encode(), &datasum).to_bytes()
}

/// The header with its CHECKSUM alone.
pub(super) fn checked(header: &Header, data: Sum) -> Vec<u8> {
    let mut h = header.clone();
    h.set("CHECKSUM", NO_CHECKSUM, "");
    let mut sum = Sum::default();
    sum.add(0, &h.to_bytes());
    h.set("CHECKSUM", sum.join(data).encode().as_str(), "");
    h.to_bytes()
}
