//! Which cards make a WCS, by their keywords (FITS standard 4.0, table 22, SIP, and the WAT cards of IRAF).

use std::collections::HashMap;

use super::bad;
use crate::Result;
use crate::error::escape;
use crate::fits::{Header, Value};

/// More axes than this are refused: no coordinate system in use has them, and a hostile header could ask for any number.
pub(super) const MAX_AXES: usize = 9;
/// The highest order of a SIP polynomial, which its keywords have one digit for.
pub(super) const MAX_ORDER: usize = 9;
/// No header in use has more WCS cards.
const MAX_CARDS: usize = 5_000;

/// What follows these is the number of an axis.
const AXIS: [&str; 9] = ["CTYPE", "CUNIT", "CRVAL", "CDELT", "CRPIX", "CROTA", "CNAME", "CRDER", "CSYER"];
/// May be followed by the letter of an alternate.
const GLOBAL: [&str; 14] = [
    "WCSAXES", "WCSNAME", "LONPOLE", "LATPOLE", "EQUINOX", "RADESYS", "RESTFRQ", "RESTWAV", "SPECSYS", "SSYSOBS",
    "SSYSSRC", "VELOSYS", "ZSOURCE", "VELANGL",
];
/// As they are.
const PLAIN: [&str; 13] = [
    "WCSDIM", "EPOCH", "RADECSYS", "RESTFREQ", "VELREF", "A_ORDER", "B_ORDER", "AP_ORDER", "BP_ORDER", "A_DMAX",
    "B_DMAX", "AP_DMAX", "BP_DMAX",
];
/// Distortions by lookup table or of the distortion paper: no transformation without them is right.
const LOOKUP: [&str; 3] = ["CPDIS", "CQDIS", "D2IMDIS"];

/// A keyword of a WCS.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// CTYPEi and the like.
    Axis(&'static str, usize),
    /// PCi_j, CDi_j.
    Matrix(&'static str, usize, usize),
    /// PVi_m, PSi_m.
    Parameter(&'static str, usize),
    /// The SIP coefficient A_p_q, B_p_q, AP_p_q, BP_p_q.
    Sip(&'static str, usize, usize),
    /// Whatever else belongs to the WCS.
    Other,
    /// What is here belongs to a WCS that is refused.
    Refused,
}

impl Kind {
    /// Whether a header that has it has a WCS.
    pub(super) fn is_essential(&self) -> bool {
        match self {
            Kind::Axis(name, _) => ["CTYPE", "CRVAL", "CRPIX", "CDELT"].contains(name),
            Kind::Matrix(..) | Kind::Refused => true,
            _ => false,
        }
    }
}

/// A number without zeros in front.
fn number(text: &str) -> Option<usize> {
    let plain = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    (plain && (text.len() == 1 || !text.starts_with('0'))).then(|| text.parse().ok()).flatten()
}

/// `1_2` as (1, 2).
fn numbers(text: &str) -> Option<(usize, usize)> {
    let (i, j) = text.split_once('_')?;
    Some((number(i)?, number(j)?))
}

/// What a keyword is, and the letter of the alternate that it belongs to, empty for the primary description.
pub(super) fn kind(key: &str) -> Option<(Kind, &str)> {
    if PLAIN.contains(&key) || is_wat(key) {
        return Some((Kind::Other, ""));
    }
    if LOOKUP.iter().any(|l| key.strip_prefix(l).is_some_and(|i| number(i).is_some()))
        || key == "AXISCORR"
        || key == "AMDX1"
    {
        return Some((Kind::Refused, ""));
    }
    for name in ["A", "B", "AP", "BP"] {
        if let Some((p, q)) = key.strip_prefix(name).and_then(|k| numbers(k.strip_prefix('_')?)) {
            return Some((Kind::Sip(name, p, q), ""));
        }
    }
    for name in GLOBAL {
        match key.strip_prefix(name) {
            Some(alt) if alt.is_empty() || is_letter(alt) => return Some((Kind::Other, alt)),
            _ => {}
        }
    }
    let cut =
        if key.len() > 1 && key.is_ascii() && is_letter(&key[key.len() - 1..]) { key.len() - 1 } else { key.len() };
    let (stem, alt) = key.split_at(cut);
    for name in AXIS {
        if let Some(i) = stem.strip_prefix(name) {
            return number(i).filter(|&i| i > 0).map(|i| (Kind::Axis(name, i), alt));
        }
    }
    for name in ["PC", "CD"] {
        let Some(rest) = stem.strip_prefix(name) else { continue };
        if let Some((i, j)) = numbers(rest) {
            return (i > 0 && j > 0).then_some((Kind::Matrix(name, i, j), alt));
        }
        // The form of the drafts: PC001002.
        if rest.len() == 6 && rest.bytes().all(|b| b.is_ascii_digit()) && alt.is_empty() {
            return Some((Kind::Refused, ""));
        }
    }
    for name in ["PV", "PS"] {
        if let Some((i, _)) = stem.strip_prefix(name).and_then(numbers) {
            return (i > 0).then_some((Kind::Parameter(name, i), alt));
        }
    }
    None
}

fn is_letter(text: &str) -> bool {
    text.len() == 1 && text.bytes().all(|b| b.is_ascii_uppercase())
}

/// `WAT1_001`: a piece of what IRAF says of an axis.
pub(super) fn is_wat(key: &str) -> bool {
    let b = key.as_bytes();
    b.len() == 8
        && b.starts_with(b"WAT")
        && b[4] == b'_'
        && b[3].is_ascii_digit()
        && b[5..].iter().all(|b| b.is_ascii_digit())
}

/// The WCS cards of a header, each keyword once.
///
/// # Errors
/// There are too many, or the primary description has a keyword with two values.
pub(super) fn cards(header: &Header) -> Result<Header> {
    let cards = header.only(|key| kind(key).is_some());
    if cards.len() > MAX_CARDS {
        return Err(bad(format!("{} WCS cards; no more than {MAX_CARDS} are read", cards.len())));
    }
    let mut seen: HashMap<String, Option<Value>> = HashMap::new();
    for entry in header.iter() {
        let key = entry.keyword.to_ascii_uppercase();
        let once =
            matches!(kind(&key), Some((Kind::Axis(..) | Kind::Matrix(..) | Kind::Parameter(..) | Kind::Sip(..), "")));
        if once && seen.get(&key).is_some_and(|first| *first != entry.value) {
            return Err(bad(format!("{} has two values", escape(&key))));
        }
        if once {
            seen.insert(key, entry.value);
        }
    }
    Ok(cards)
}

/// The number of a keyword.
///
/// # Errors
/// What it has is no number.
pub(super) fn real(cards: &Header, key: &str) -> Result<Option<f64>> {
    match cards.get(key) {
        None => Ok(None),
        Some(Value::Integer(i)) => Ok(Some(i as f64)),
        Some(Value::Real(r)) if r.is_finite() => Ok(Some(r)),
        Some(_) => Err(bad(format!("{key} is no number"))),
    }
}

/// The text of a keyword, empty if it is not there.
///
/// # Errors
/// What it has is no text.
pub(super) fn text(cards: &Header, key: &str) -> Result<String> {
    match cards.get(key) {
        None | Some(Value::Undefined) => Ok(String::new()),
        Some(Value::Text(t)) => Ok(t.trim().to_string()),
        Some(_) => Err(bad(format!("{key} is no text"))),
    }
}

/// The keywords of WCS cards, with what they are.
pub(super) fn all(cards: &Header) -> impl Iterator<Item = (String, Kind, String)> {
    cards.iter().filter_map(|entry| {
        let key = entry.keyword.to_ascii_uppercase();
        let (kind, alt) = kind(&key)?;
        let alt = alt.to_string();
        Some((key, kind, alt))
    })
}

/// How many axes a description has: what WCSAXES says, but at least the axes of the image and the highest number of a
/// keyword, as WCSLIB counts.
///
/// # Errors
/// More than [`MAX_AXES`].
pub(super) fn axes(cards: &Header, alt: &str, image: usize) -> Result<usize> {
    let key = format!("WCSAXES{alt}");
    let declared = match cards.get(&key) {
        None => 0,
        Some(Value::Integer(n)) if (0..=999).contains(&n) => n as usize,
        Some(_) => return Err(bad(format!("{key} is no number of axes"))),
    };
    let mut n = image.max(declared);
    for (_, kind, of) in all(cards) {
        if of == alt {
            match kind {
                Kind::Axis(_, i) | Kind::Parameter(_, i) => n = n.max(i),
                Kind::Matrix(_, i, j) => n = n.max(i).max(j),
                _ => {}
            }
        }
    }
    if n > MAX_AXES {
        return Err(bad(format!("{n} axes; no more than {MAX_AXES} are read")));
    }
    Ok(n)
}

/// The linear part of a description, as its cards give it.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    /// Number of axes.
    pub n: usize,
    /// CRPIX, counted from 1.
    pub crpix: Vec<f64>,
    /// How the matrix is written.
    pub form: Form,
    /// CD, or what PC and CROTA make, row by row.
    pub matrix: Vec<f64>,
    /// CDELT; 1 where the matrix is CD.
    pub cdelt: Vec<f64>,
}

/// How a matrix is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    Cd,
    Pc,
    Crota,
    /// CDELT alone.
    Cdelt,
}

impl Linear {
    /// From the cards of the description `alt`. CROTA turns the pair of longitude and latitude `pair`.
    ///
    /// # Errors
    /// Keywords that contradict each other, or that are no numbers.
    pub(super) fn read(cards: &Header, alt: &str, n: usize, pair: Option<(usize, usize)>) -> Result<Linear> {
        let axis = |name: &str, i: usize, default: f64| -> Result<f64> {
            Ok(real(cards, &format!("{name}{i}{alt}"))?.unwrap_or(default))
        };
        let crpix = (1..=n).map(|j| axis("CRPIX", j, 0.0)).collect::<Result<Vec<f64>>>()?;
        let mut cdelt = (1..=n).map(|i| axis("CDELT", i, 1.0)).collect::<Result<Vec<f64>>>()?;
        let first =
            |name: &str| all(cards).find(|(_, k, a)| matches!(k, Kind::Matrix(m, ..) if *m == name) && a == alt);
        let mut matrix: Vec<f64> = (0..n * n).map(|k| if k % (n + 1) == 0 { 1.0 } else { 0.0 }).collect();
        let pc = |matrix: &mut [f64]| -> Result<()> {
            for i in 1..=n {
                for j in 1..=n {
                    if let Some(v) = real(cards, &format!("PC{i}_{j}{alt}"))? {
                        matrix[(i - 1) * n + j - 1] = v;
                    }
                }
            }
            Ok(())
        };
        let form = match (first("CD"), first("PC")) {
            (Some((cd, ..)), other) => {
                let mut twin = matrix.clone();
                matrix.fill(0.0);
                for i in 1..=n {
                    for j in 1..=n {
                        matrix[(i - 1) * n + j - 1] = real(cards, &format!("CD{i}_{j}{alt}"))?.unwrap_or(0.0);
                    }
                }
                // An axis that the matrix does not speak of counts pixels, as WCSLIB has it.
                for i in 0..n {
                    if (0..n).all(|j| matrix[i * n + j] == 0.0 && matrix[j * n + i] == 0.0) {
                        matrix[i * n + i] = 1.0;
                    }
                }
                if let Some((other, ..)) = other {
                    // Some write both, and mean one thing.
                    pc(&mut twin)?;
                    let size = matrix.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
                    if !(0..n * n).all(|k| (cdelt[k / n] * twin[k] - matrix[k]).abs() <= 1e-9 * size) {
                        return Err(bad(format!("{cd} and {other}: two matrices that contradict each other")));
                    }
                }
                cdelt.fill(1.0);
                Form::Cd
            }
            (None, Some(_)) => {
                pc(&mut matrix)?;
                Form::Pc
            }
            (None, None) => match pair {
                Some((lon, lat)) if alt.is_empty() && axis("CROTA", lat + 1, 0.0)? != 0.0 => {
                    let (sin, cos) = axis("CROTA", lat + 1, 0.0)?.to_radians().sin_cos();
                    if cdelt[lon] == 0.0 || cdelt[lat] == 0.0 {
                        return Err(bad(format!("CROTA{} with a CDELT of 0", lat + 1)));
                    }
                    matrix[lon * n + lon] = cos;
                    matrix[lon * n + lat] = -sin * cdelt[lat] / cdelt[lon];
                    matrix[lat * n + lon] = sin * cdelt[lon] / cdelt[lat];
                    matrix[lat * n + lat] = cos;
                    Form::Crota
                }
                _ => Form::Cdelt,
            },
        };
        Ok(Linear { n, crpix, form, matrix, cdelt })
    }
}
