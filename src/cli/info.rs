//! `ndastro info`: what is in a file. No pixel is read without `--hash`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Common, print};
use crate::error::escape;
use crate::fits::{FitsFile, Hdu, HduKind, groups};
use crate::plane::Plane;
use crate::{Pixels, Result};

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
    common: Common,
}

pub(super) fn run(args: &InfoArgs) -> Result<()> {
    let mut documents = Vec::new();
    for path in &args.files {
        let file = FitsFile::open(path)?;
        let document = describe(&file, args.hash)?;
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

fn describe(file: &FitsFile, hash: bool) -> Result<Value> {
    let hdus = file.hdus().iter().map(|h| hdu(file, h, hash)).collect::<Result<Vec<_>>>()?;
    let name_of = |i: usize| file.hdus()[i].name.clone().filter(|n| !n.is_empty());
    let extensions: Vec<Value> = groups(file.hdus())
        .iter()
        .enumerate()
        .map(|(i, g)| {
            let sci = &file.hdus()[g.sci];
            json!({
                "name": name_of(g.sci).unwrap_or_else(|| "SCI".into()),
                "ver": sci.ver.unwrap_or(i as i64 + 1),
                "data": g.sci,
                "uncertainty": g.var,
                "mask": g.dq,
                "other": g.other.iter().map(|&o| name_of(o)).collect::<Vec<_>>(),
                "wcs": wcs(sci),
            })
        })
        .collect();
    Ok(json!({ "path": file.path().to_string_lossy(), "hdus": hdus, "extensions": extensions }))
}

fn hdu(file: &FitsFile, h: &Hdu, hash: bool) -> Result<Value> {
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
    if hash && h.has_pixels() {
        let plane = Plane::lazy(file.section(h.index)?);
        value["sha256"] = json!(hash_of(plane.get()?));
        value["sha256_f64"] = json!(hash_of(&plane.values_f64()?));
    }
    Ok(value)
}

/// The compression of a tile-compressed image.
fn compression(h: &Hdu) -> Option<String> {
    matches!(h.kind, HduKind::CompressedImage).then(|| h.header.get_str("ZCMPTYPE").unwrap_or_default())
}

/// CTYPEn, if the header has a world coordinate system.
fn wcs(h: &Hdu) -> Option<Vec<String>> {
    let types: Vec<String> = (1..=h.shape.len()).filter_map(|i| h.header.get_str(&format!("CTYPE{i}"))).collect();
    (!types.is_empty()).then_some(types)
}

/// SHA-256 of the values in C order, little-endian, each NaN as the quiet NaN.
fn hash_of(pixels: &Pixels) -> String {
    let mut sha = Sha256::new();
    let mut feed = |bytes: &[u8]| sha.update(bytes);
    match pixels {
        Pixels::F32(a) => {
            for &v in a {
                let v = if v.is_nan() { f32::from_bits(0x7fc0_0000) } else { v };
                feed(&v.to_le_bytes());
            }
        }
        Pixels::F64(a) => {
            for &v in a {
                let v = if v.is_nan() { f64::from_bits(0x7ff8_0000_0000_0000) } else { v };
                feed(&v.to_le_bytes());
            }
        }
        integers => {
            let size = integers.dtype().size();
            for number in integers.as_bytes().chunks_exact(size) {
                if cfg!(target_endian = "little") {
                    feed(number);
                } else {
                    feed(&number.iter().rev().copied().collect::<Vec<_>>());
                }
            }
        }
    }
    sha.finalize().iter().map(|b| format!("{b:02x}")).collect()
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
            "  extension {},{}: data in HDU {}, variance {}, mask {}, wcs {}",
            text(&e["name"]),
            text(&e["ver"]),
            text(&e["data"]),
            text(&e["uncertainty"]),
            text(&e["mask"]),
            text(&e["wcs"])
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    #[test]
    fn hash_of_little_endian_values() {
        // sha256 of the bytes 01 00 02 00.
        let pixels = Pixels::from(ndarray::arr1(&[1u16, 2]));
        let want = Sha256::digest([1u8, 0, 2, 0]).iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hash_of(&pixels), want);
        assert_eq!(pixels.dtype(), DType::U16);
        let nans = |bits| hash_of(&Pixels::from(ndarray::arr1(&[f32::from_bits(bits)])));
        assert_eq!(nans(0xffc0_0001), nans(0x7fc0_0000));
    }
}
