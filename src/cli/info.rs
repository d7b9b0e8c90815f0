//! `ndastro info`: what is in a file. No pixel is read without `--hash`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::input::InputArgs;
use super::{Common, print};
use crate::error::escape;
use crate::fits::{FitsFile, Hdu, HduKind, associate};
use crate::kernels::decode;
use crate::pixels::Pixels;
use crate::plane::{Plane, Transform};
use crate::real::Real;
use crate::{DType, Error, PixelFormat, Result};

#[derive(Args)]
pub(super) struct InfoArgs {
    /// FITS files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// With SHA-256 of the values of each image
    #[arg(long)]
    hash: bool,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &InfoArgs) -> Result<()> {
    // Nothing is written, so a signal may end it at once; but with the exit code of an interruption.
    super::signals::exit_at_once()?;
    let mut documents = Vec::new();
    for path in &args.files {
        let file = args.input.open_file(path)?;
        for warning in file.warnings() {
            args.common.say(&format!("warning: {}", escape(&warning)));
        }
        let document = describe(&file, args)?;
        if args.json {
            documents.push(document);
        } else {
            for line in table(&document) {
                print(&line)?;
            }
        }
    }
    if args.json {
        let one = documents.len() == 1;
        let all = if one { documents.remove(0) } else { Value::Array(documents) };
        print(&format!("{all:#}"))?;
    }
    Ok(())
}

fn describe(file: &FitsFile, args: &InfoArgs) -> Result<Value> {
    let hdus = file.hdus().iter().map(|h| hdu(file, h, args)).collect::<Result<Vec<_>>>()?;
    let name_of = |i: usize| file.hdus()[i].name.clone().filter(|n| !n.is_empty());
    let found = associate(file.hdus(), args.input.layout);
    let extensions: Vec<Value> = found
        .groups
        .iter()
        .enumerate()
        .map(|(i, g)| {
            let sci = &file.hdus()[g.sci];
            json!({
                "name": name_of(g.sci).unwrap_or_else(|| "SCI".into()),
                "ver": sci.ver.unwrap_or(i as i64 + 1),
                "data": g.sci,
                "uncertainty": g.uncertainty.map(|u| u.0),
                "uncertainty_kind": g.uncertainty.map(|u| u.1.name()),
                "mask": g.mask,
                "other": g.other.iter().map(|&o| name_of(o)).collect::<Vec<_>>(),
                "wcs": wcs(sci),
            })
        })
        .collect();
    Ok(json!({
        "path": file.path().to_string_lossy(),
        "layout": found.layout.name(),
        "hdus": hdus,
        "extensions": extensions,
    }))
}

fn hdu(file: &FitsFile, h: &Hdu, args: &InfoArgs) -> Result<Value> {
    let image = matches!(h.kind, HduKind::Image | HduKind::CompressedImage);
    let mut value = json!({
        "index": h.index,
        "name": h.name,
        "ver": h.ver,
        "kind": h.kind.name(),
        "bitpix": h.bitpix,
        "shape": image.then_some(&h.shape),
        "dtype": h.format.filter(|_| h.has_pixels()).map(|f| f.dtype().name()),
        "unit": h.header.get_str("BUNIT"),
        "compressed": compression(h),
        "sha256": null,
        "sha256_f64": null,
    });
    if args.hash && h.has_pixels() {
        match file.section(h.index) {
            Ok(section) => {
                let [exact, f64] = hashes(&Plane::lazy(section, h.header.clone()))?;
                value["sha256"] = json!(exact);
                value["sha256_f64"] = json!(f64);
            }
            // What cannot be read does not hide what can.
            Err(e @ Error::Unsupported { .. }) => args.common.say(&format!("warning: {e}")),
            Err(e) => return Err(e),
        }
    }
    Ok(value)
}

/// The compression of a tile-compressed image.
fn compression(h: &Hdu) -> Option<String> {
    matches!(h.kind, HduKind::CompressedImage).then(|| h.header.get_str("ZCMPTYPE").unwrap_or_default())
}

/// CTYPEn, if the header has a world coordinate system.
fn wcs(h: &Hdu) -> Option<Vec<String>> {
    let header = h.header.only(|key| key.trim_end_matches(|c: char| c.is_ascii_digit()) == "CTYPE");
    let types: Vec<String> = (1..=h.shape.len()).filter_map(|i| header.get_str(&format!("CTYPE{i}"))).collect();
    (!types.is_empty()).then_some(types)
}

/// Pixels that are decoded at once.
const PIECE: usize = 64 << 10;

/// SHA-256 of the values in C order, little-endian, each NaN as the quiet NaN: in their exact type, and as f64. Band by
/// band, so that memory does not grow with the image.
fn hashes(plane: &Plane) -> Result<[String; 2]> {
    let format = plane.format();
    let (mut exact, mut wide) = (Sha256::new(), Sha256::new());
    let size = format.size();
    plane.bands(|_, stored| {
        for piece in stored.chunks(PIECE * size) {
            let (a, b) =
                rayon::join(|| feed_exact(&format, piece, &mut exact), || feed::<f64>(&format, piece, &mut wide));
            a.and(b)?;
        }
        Ok(())
    })?;
    Ok([exact, wide].map(|sha| sha.finalize().iter().map(|b| format!("{b:02x}")).collect()))
}

fn feed_exact(format: &PixelFormat, stored: &[u8], sha: &mut Sha256) -> Result<()> {
    match format.dtype() {
        DType::F32 => feed::<f32>(format, stored, sha),
        DType::F64 => feed::<f64>(format, stored, sha),
        _ => {
            let shape = [stored.len() / format.size()];
            let pixels = decode::exact(format, stored, &shape)?;
            feed_integers(&pixels, sha);
            Ok(())
        }
    }
}

fn feed<T: Real>(format: &PixelFormat, stored: &[u8], sha: &mut Sha256) -> Result<()> {
    let shape = [stored.len() / format.size()];
    match decode::all_real::<T>(format, stored, &shape, Transform::None)? {
        Pixels::F32(a) => {
            let quiet = |v: &f32| if v.is_nan() { 0x7fc0_0000 } else { v.to_bits() };
            sha.update(a.iter().flat_map(|v| quiet(v).to_le_bytes()).collect::<Vec<u8>>());
        }
        Pixels::F64(a) => {
            let quiet = |v: &f64| if v.is_nan() { 0x7ff8_0000_0000_0000 } else { v.to_bits() };
            sha.update(a.iter().flat_map(|v| quiet(v).to_le_bytes()).collect::<Vec<u8>>());
        }
        other => feed_integers(&other, sha),
    }
    Ok(())
}

fn feed_integers(pixels: &Pixels, sha: &mut Sha256) {
    if cfg!(target_endian = "little") {
        sha.update(pixels.as_bytes());
    } else {
        for number in pixels.as_bytes().chunks_exact(pixels.dtype().size()) {
            sha.update(number.iter().rev().copied().collect::<Vec<_>>());
        }
    }
}

/// The document as lines for people.
fn table(document: &Value) -> Vec<String> {
    let text = |v: &Value| match v {
        Value::Null => "-".to_string(),
        Value::String(s) => escape(s),
        other => other.to_string(),
    };
    let mut lines = vec![text(&document["path"])];
    lines.push(format!(
        "  {:>3}  {:<12} {:>3}  {:<9} {:<8} {:<20} {}",
        "hdu", "name", "ver", "kind", "type", "shape", "unit"
    ));
    for h in document["hdus"].as_array().into_iter().flatten() {
        let mut line = format!(
            "  {:>3}  {:<12} {:>3}  {:<9} {:<8} {:<20} {}",
            text(&h["index"]),
            text(&h["name"]),
            text(&h["ver"]),
            text(&h["kind"]),
            text(&h["dtype"]),
            text(&h["shape"]),
            text(&h["unit"])
        );
        if !h["compressed"].is_null() {
            line.push_str(&format!("  compressed {}", text(&h["compressed"])));
        }
        if let Some(sha) = h["sha256"].as_str() {
            line.push_str(&format!("  sha256 {sha}"));
        }
        lines.push(line);
    }
    for e in document["extensions"].as_array().into_iter().flatten() {
        lines.push(format!(
            "  extension {},{}: data in HDU {}, uncertainty {} {}, mask {}, other {}, wcs {}",
            text(&e["name"]),
            text(&e["ver"]),
            text(&e["data"]),
            text(&e["uncertainty"]),
            text(&e["uncertainty_kind"]),
            text(&e["mask"]),
            text(&e["other"]),
            text(&e["wcs"])
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_little_endian_values() {
        // The bytes 01 00 02 00, and the same numbers as f64.
        let hex = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect::<String>();
        let got = hashes(&Plane::memory(ndarray::arr1(&[1u16, 2]).into())).unwrap();
        assert_eq!(got, [hex(&[1, 0, 2, 0]), hex(&[1f64, 2.0].map(f64::to_le_bytes).concat())]);
        let nans = |bits| hashes(&Plane::memory(ndarray::arr1(&[f32::from_bits(bits)]).into())).unwrap();
        assert_eq!(nans(0xffc0_0001), nans(0x7fc0_0000));
    }
}
