//! What the integration tests share: the files of `tests/data`, small frames, folders whose contents are counted, and
//! cfitsio as the outside judge ([`cfitsio::Judge`]).
#![allow(dead_code, reason = "each test binary includes this file and uses its own part of it")]

pub mod cfitsio;

use std::path::{Path, PathBuf};

use ndarray::{ArrayD, IxDyn};
use ndastro::fits::{FitsWriter, Header, ImageSpec};
use ndastro::{AstroData, Engine, NDAstroData, Pixels};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Bytes of a FITS block.
pub const BLOCK: usize = 2880;

/// A file below `tests/data`.
pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// A file below `tests/data`, parsed as JSON.
pub fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(data(name)).unwrap()).unwrap()
}

/// The files of `tests/data/images` with what astropy reads from each HDU.
pub fn truth() -> Vec<(PathBuf, Vec<Value>)> {
    let all = json("images/truth.json");
    let entry = |(name, file): (&String, &Value)| (data("images").join(name), file["hdus"].as_array().unwrap().clone());
    let files: Vec<_> = all.as_object().unwrap().iter().map(entry).collect();
    assert!(files.len() > 30, "truth.json lists {} files", files.len());
    files
}

/// SHA-256 of the values in C order, little-endian, each NaN as the quiet NaN: `sha256_canon` of `truth.json`.
pub fn sha256(pixels: &Pixels) -> String {
    let mut sha = Sha256::new();
    match pixels {
        Pixels::F32(a) => a.iter().for_each(|v| {
            let bits = if v.is_nan() { 0x7fc0_0000 } else { v.to_bits() };
            sha.update(bits.to_le_bytes());
        }),
        Pixels::F64(a) => a.iter().for_each(|v| {
            let bits = if v.is_nan() { 0x7ff8_0000_0000_0000 } else { v.to_bits() };
            sha.update(bits.to_le_bytes());
        }),
        integers => {
            const { assert!(cfg!(target_endian = "little"), "the hash is of the bytes in memory") };
            sha.update(integers.as_bytes());
        }
    }
    sha.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// Values by pixel number in C order.
pub fn filled<T>(shape: &[usize], value: impl Fn(usize) -> T) -> ArrayD<T> {
    let n = shape.iter().product();
    ArrayD::from_shape_vec(IxDyn(shape), (0..n).map(value).collect()).unwrap()
}

/// A frame with all planes: SCI uint16, VAR float32, DQ uint16 (bit 1 in every seventh pixel), unit adu. No two
/// neighbours, rows or frames are alike.
pub fn frame(number: usize, shape: &[usize]) -> NDAstroData {
    NDAstroData::new(filled(shape, |i| (1000 + 7919 * number + 31 * i) as u16))
        .with_variance(filled(shape, |i| 0.5 + (i + number) as f32))
        .unwrap()
        .with_mask(filled(shape, |i| u16::from((i + number).is_multiple_of(7))))
        .unwrap()
        .with_unit("adu")
}

/// [`frame`] as a file.
pub fn write_frame(path: &Path, number: usize, shape: &[usize]) {
    AstroData::from_extensions(Header::new(), vec![frame(number, shape)]).write(path, false).unwrap();
}

/// So many [`frame`]s as `frame_0.fits`, `frame_1.fits`, ...
pub fn write_frames(folder: &Path, count: usize, shape: &[usize]) -> Vec<PathBuf> {
    let paths: Vec<PathBuf> = (0..count).map(|i| folder.join(format!("frame_{i}.fits"))).collect();
    paths.iter().enumerate().for_each(|(i, path)| write_frame(path, i, shape));
    paths
}

/// A file of any images, sensible or not.
pub fn write_images(path: &Path, images: &[(&str, i64, Pixels)]) {
    let spec = |(name, ver, pixels): &(&str, i64, Pixels)| ImageSpec::new(name, *ver, pixels.shape(), pixels.dtype());
    let mut writer = FitsWriter::create(path, false, &Header::new(), images.iter().map(spec).collect()).unwrap();
    for (i, (_, _, pixels)) in images.iter().enumerate() {
        writer.write_image(i, pixels).unwrap();
    }
    writer.finish().unwrap();
}

/// The three planes that a container has, loaded.
pub fn planes(nd: &NDAstroData) -> Vec<&Pixels> {
    [Some(nd.data().unwrap()), nd.variance().unwrap(), nd.mask().unwrap()].into_iter().flatten().collect()
}

/// Names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The best adapter, software ones included. Without one the caller's test proves nothing and says so; where
/// `NDASTRO_REQUIRE_GPU` is 1 it fails instead.
pub fn gpu() -> Option<Engine> {
    match Engine::gpu(None, 0) {
        Ok(engine) => Some(engine),
        Err(e) => {
            assert!(std::env::var("NDASTRO_REQUIRE_GPU").as_deref() != Ok("1"), "{e}");
            eprintln!("SKIPPED on the GPU: {e}");
            None
        }
    }
}

/// The CPU engine, and the GPU engine where there is one.
pub fn engines() -> Vec<Engine> {
    std::iter::once(Engine::cpu(2).unwrap()).chain(gpu()).collect()
}

/// Whether `message` is one line that says all of `parts`.
#[track_caller]
pub fn assert_says(message: &str, parts: &[&str]) {
    assert!(!message.chars().any(char::is_control), "control characters in {message:?}");
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}
