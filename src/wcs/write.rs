//! What slicing and transposing does to the cards of a WCS.

use super::keys::{self, Form, Kind, Linear, all, is_wat, kind, real};
use super::{Along, Wcs, bad, read};
use crate::Result;
use crate::fits::{Header, Value};

/// Where a pixel axis of the header went: its new number, and `old = start + step * new`, counted from 0.
#[derive(Clone, Copy)]
struct Moved {
    to: usize,
    start: f64,
    step: f64,
}

/// Where each of `n` pixel axes went. Axes that were dropped go behind the others, at their first pixel, which is where
/// FITS has the axes that an image lacks.
fn moves(wcs: &Wcs, n: usize) -> Vec<Moved> {
    let mut next = wcs.pixel_axes;
    (0..n)
        .map(|j| match wcs.map.get(j) {
            Some(&Along::Axis { axis, start, step }) => Moved { to: axis, start: start as f64, step: step as f64 },
            fixed => {
                let start = if let Some(Along::Fixed(p)) = fixed { *p as f64 } else { 0.0 };
                next += 1;
                Moved { to: next - 1, start, step: 1.0 }
            }
        })
        .collect()
}

/// The cards of `wcs` as they are after what was done to it.
///
/// # Errors
/// SIP cards cannot say it.
pub(super) fn cards(wcs: &Wcs) -> Result<Header> {
    let mut out = wcs.cards.as_ref().clone();
    if wcs.is_whole() {
        return Ok(out);
    }
    let n = wcs.solution.n;
    let moved = moves(wcs, n);
    let sip = all(&out).any(|(_, kind, _)| matches!(kind, Kind::Sip(..)));
    if sip && n >= 2 && moved[0].to.max(moved[1].to) > 1 {
        return Err(bad("SIP cards are for the first two pixel axes, which its axes are no longer"));
    }
    fold(&mut out, wcs, "", Linear::read(&wcs.cards, "", n, read::rotated(&wcs.cards, n)?)?);
    if sip && n >= 2 {
        fold_sip(&mut out, &wcs.cards, &moved);
    }
    let mut alternates: Vec<String> = all(&wcs.cards).map(|(.., alt)| alt).filter(|alt| !alt.is_empty()).collect();
    alternates.sort_unstable();
    alternates.dedup();
    for alt in alternates {
        let linear = keys::axes(&wcs.cards, &alt, wcs.image_axes).and_then(|n| Linear::read(&wcs.cards, &alt, n, None));
        match linear {
            Ok(linear) => fold(&mut out, wcs, &alt, linear),
            // Better none than one that no longer belongs to these pixels.
            Err(_) => out.remove_where(|key| kind(key).is_some_and(|(_, a)| a == alt)),
        }
    }
    Ok(out)
}

/// Brings the linear part of one description up to date.
fn fold(out: &mut Header, wcs: &Wcs, alt: &str, old: Linear) {
    let n = old.n;
    let moved = moves(wcs, n);
    for (j, m) in moved.iter().enumerate() {
        // old - CRPIX = step * (new - CRPIX'), both counted from 1.
        put(out, &format!("CRPIX{}{alt}", m.to + 1), 1.0 + (old.crpix[j] - 1.0 - m.start) / m.step, 0.0);
    }
    if wcs.pixel_axes < n && out.get(&format!("WCSAXES{alt}")) != Some(Value::Integer(n as i64)) {
        // The standard wants it before the others.
        out.set_at(0, &format!("WCSAXES{alt}"), n as i64, "number of WCS axes");
    }
    if moved.iter().enumerate().all(|(j, m)| m.to == j && m.step == 1.0) {
        return;
    }
    if old.form == Form::Cdelt && moved.iter().enumerate().all(|(j, m)| m.to == j) {
        for (j, m) in moved.iter().enumerate() {
            put(out, &format!("CDELT{}{alt}", j + 1), old.cdelt[j] * m.step, 1.0);
        }
        return;
    }
    let name = if old.form == Form::Cd { "CD" } else { "PC" };
    for i in 0..n {
        for (j, m) in moved.iter().enumerate() {
            let default = if name == "PC" && i == m.to { 1.0 } else { 0.0 };
            put(out, &format!("{name}{}_{}{alt}", i + 1, m.to + 1), old.matrix[i * n + j] * m.step, default);
        }
    }
    if old.form == Form::Cd {
        // The same matrix twice, and only one of them is kept up to date.
        out.remove_where(|key| matches!(kind(key), Some((Kind::Matrix("PC", ..), a)) if a == alt));
    }
    if old.form == Form::Crota {
        out.remove_where(|key| matches!(kind(key), Some((Kind::Axis("CROTA", _), _))));
    }
}

/// Sets a number, unless it is not there and what is read then is the same.
fn put(out: &mut Header, key: &str, value: f64, default: f64) {
    let now = real(out, key).ok().flatten();
    if now != Some(value) && (now.is_some() || value != default) {
        out.set(key, value, "");
    }
}

/// Brings the SIP polynomials up to date: with u = s U and v = t V, the term A u^p v^q of the first axis becomes
/// A s^p t^q / s, and where the axes changed places A and B do, and p and q.
fn fold_sip(out: &mut Header, old: &Header, moved: &[Moved]) {
    let swapped = moved[0].to == 1;
    let exchanged = |name: &str| match (swapped, name) {
        (false, _) => None,
        (true, "A") => Some("B"),
        (true, "B") => Some("A"),
        (true, "AP") => Some("BP"),
        (true, _) => Some("AP"),
    };
    if !swapped && moved[0].step == 1.0 && moved[1].step == 1.0 {
        return;
    }
    out.remove_where(|key| matches!(kind(key), Some((Kind::Sip(..), _))) || (swapped && is_sip_global(key)));
    for entry in old.iter() {
        let key = entry.keyword.to_ascii_uppercase();
        let Some((of, _)) = kind(&key) else { continue };
        if let Kind::Sip(name, p, q) = of {
            let Ok(Some(c)) = real(old, &key) else { continue };
            let [s, t] = [moved[0].step, moved[1].step];
            let own = if name.starts_with('A') { s } else { t };
            let c = c * s.powi(p as i32) * t.powi(q as i32) / own;
            let key = exchanged(name).map_or_else(|| key.clone(), |other| format!("{other}_{q}_{p}"));
            out.set(&key, c, entry.comment.as_deref().unwrap_or_default());
        } else if swapped && is_sip_global(&key) {
            let (name, rest) = key.split_once('_').unwrap_or((&key, ""));
            if let (Some(other), Some(value)) = (exchanged(name), entry.value) {
                out.set(&format!("{other}_{rest}"), value, entry.comment.as_deref().unwrap_or_default());
            }
        }
    }
}

fn is_sip_global(key: &str) -> bool {
    key.ends_with("_ORDER") || key.ends_with("_DMAX")
}

/// Whether two values say the same.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Integer(i), Value::Real(r)) | (Value::Real(r), Value::Integer(i)) => *i as f64 == *r,
        _ => a == b,
    }
}

/// Puts WCS cards into a header in the place of those that it has. A card that says the same already is not touched.
pub(super) fn put_into(cards: &Header, header: &mut Header) {
    header.remove_where(|key| kind(key).is_some() && !cards.contains(key));
    let old = header.only(|key| kind(key).is_some());
    for entry in cards.iter() {
        let key = entry.keyword.to_ascii_uppercase();
        let Some(mut value) = entry.value else { continue };
        if old.get(&key).is_some_and(|v| same(&v, &value)) {
            continue;
        }
        if let (true, Value::Text(piece)) = (is_wat(&key), &mut value) {
            // What WAT cards say together depends on their blanks.
            *piece = format!("{piece:68}");
        }
        let first = header.iter().find(|e| kind(&e.keyword.to_ascii_uppercase()).is_some()).map(|e| e.cards.start);
        match first {
            Some(first) if key.starts_with("WCSAXES") => {
                header.set_at(first, &key, value, entry.comment.as_deref().unwrap_or_default());
            }
            _ => {
                header.set(&key, value, entry.comment.as_deref().unwrap_or_default());
            }
        }
    }
}
