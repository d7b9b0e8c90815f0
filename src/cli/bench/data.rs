//! The sets: given files, or cheap noise that is the same at every run.
//!
//! | set | what | bytes a pixel |
//! |------|------------|--------------:|
//! | mef | frames: SCI float32, VAR float32, DQ uint16 with 1 of 512 pixels flagged | 10 |
//! | raw | frames: SCI uint16 | 2 |
//! | rice | the same, tile-compressed by RICE_1 | about 1 |
//! | operands | three files: raw uint16, bias and flat float32; each with VAR float32 and DQ uint16 | 28 |
//! | arrays | three containers in memory, each as a frame of mef | 30 |
//!
//! A value is made of the hash of its place: noise of about the normal distribution (the sum of four uniform numbers)
//! around 1000 with a deviation of 20. A bias is a tenth of that, a flat a thousandth.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use ndarray::Array2;

use crate::fits::{Compression, Header, Method};
use crate::{AstroData, Error, NDAstroData, Pixels, Result, WriteOptions};

/// What a set is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Mef,
    Raw,
    Rice,
    /// Given files.
    Files,
    Operands,
    Arrays,
}

impl Kind {
    /// Of these there is one for each number of frames.
    pub(super) const FRAMES: [Kind; 3] = [Kind::Mef, Kind::Raw, Kind::Rice];
    /// These are of three operands, always.
    pub(super) const THREE: [Kind; 2] = [Kind::Arrays, Kind::Operands];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Mef => "mef",
            Kind::Raw => "raw",
            Kind::Rice => "rice",
            Kind::Files => "files",
            Kind::Operands => "operands",
            Kind::Arrays => "arrays",
        }
    }

    /// Bytes that so many frames of it take for each pixel of the image, at most; arrays with a result and an earlier one.
    pub(super) fn bytes(self, frames: usize) -> u64 {
        match self {
            Kind::Mef => 10 * frames as u64,
            Kind::Raw | Kind::Rice => 2 * frames as u64,
            Kind::Files => 0,
            Kind::Operands => 28,
            Kind::Arrays => 50,
        }
    }

    pub(super) fn in_files(self) -> bool {
        self != Kind::Arrays
    }
}

/// Frames or operands that jobs can be done with.
pub(super) struct Set {
    pub kind: Kind,
    /// How many, of what.
    pub about: String,
    pub paths: Vec<PathBuf>,
    /// Those of a set in memory.
    pub arrays: Vec<NDAstroData>,
    /// What the last round made of them.
    pub earlier: Mutex<Option<AstroData>>,
    /// Sizes of the files, or of the arrays.
    pub bytes: u64,
    /// Whether the first has a variance.
    pub variance: bool,
}

impl Set {
    /// Of files that exist. Reads headers.
    pub(super) fn new(kind: Kind, paths: Vec<PathBuf>) -> Result<Self> {
        let (mut about, mut bytes, mut variance) = (String::new(), 0, false);
        for path in &paths {
            let ad = AstroData::open(path)?;
            if about.is_empty() {
                variance = ad[0].has_variance();
                about = format!("{} frames of {}", paths.len(), planes(&ad[0]));
                if ad.len() > 1 {
                    about += &format!(", {} extensions", ad.len());
                }
            }
            bytes += std::fs::metadata(path).map_err(Error::io(path, "cannot stat"))?.len();
        }
        Ok(Set { kind, about, paths, arrays: Vec::new(), earlier: Mutex::default(), bytes, variance })
    }

    fn in_memory(arrays: Vec<NDAstroData>) -> Result<Self> {
        let mut bytes = 0;
        for nd in &arrays {
            bytes += array_bytes(nd)?;
        }
        let first = arrays.first().map(planes).unwrap_or_default();
        let about = format!("{} arrays of {first}", arrays.len());
        let earlier = Mutex::default();
        Ok(Set { kind: Kind::Arrays, about, paths: Vec::new(), arrays, earlier, bytes, variance: true })
    }
}

/// "float32 [2048, 2048], variance, mask".
fn planes(nd: &NDAstroData) -> String {
    let variance = if nd.has_variance() { ", variance" } else { "" };
    let mask = if nd.has_mask() { ", mask" } else { "" };
    format!("{} {:?}{variance}{mask}", nd.dtype(), nd.shape())
}

/// Bytes of data, variance and mask; loads them.
pub(super) fn array_bytes(nd: &NDAstroData) -> Result<u64> {
    let planes = [Some(nd.data()?), nd.variance()?, nd.mask()?];
    Ok(planes.into_iter().flatten().map(|p| p.as_bytes().len() as u64).sum())
}

/// Rows and columns of an image.
pub(super) type Shape = (usize, usize);

/// Makes a set in `folder`, of so many frames.
pub(super) fn make(kind: Kind, folder: &Path, frames: usize, shape: Shape, stop: &AtomicBool) -> Result<Set> {
    match kind {
        Kind::Mef => write(kind, folder, &vec![mef as Exposure; frames], shape, stop),
        Kind::Raw | Kind::Rice | Kind::Files => write(kind, folder, &vec![raw as Exposure; frames], shape, stop),
        Kind::Operands => {
            let set = write(kind, folder, &[raw_with_planes, bias, flat], shape, stop)?;
            let about = format!("raw {}; bias and flat float32", set.about.trim_start_matches("3 frames of "));
            Ok(Set { about, ..set })
        }
        Kind::Arrays => Set::in_memory((0..3).map(|i| mef(i, shape)).collect::<Result<_>>()?),
    }
}

/// One file for each exposure.
fn write(kind: Kind, folder: &Path, exposures: &[Exposure], shape: Shape, stop: &AtomicBool) -> Result<Set> {
    let rice = Compression { method: Method::Rice, quantize: None };
    let options = WriteOptions { compression: (kind == Kind::Rice).then_some(rice), ..WriteOptions::default() };
    let mut paths = Vec::new();
    for (i, exposure) in exposures.iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let path = folder.join(format!("{}_{i:04}.fits", kind.name()));
        AstroData::from_extensions(Header::new(), vec![exposure(i as u64, shape)?]).write_with(&path, &options)?;
        paths.push(path);
    }
    Set::new(kind, paths)
}

/// Makes a frame of its number.
type Exposure = fn(u64, Shape) -> Result<NDAstroData>;

fn mef(frame: u64, shape: Shape) -> Result<NDAstroData> {
    with_planes(frame, shape, plane(frame, 0, shape, value))
}

fn raw(frame: u64, shape: Shape) -> Result<NDAstroData> {
    Ok(NDAstroData::new(plane(frame, 3, shape, |h| value(h) as u16)))
}

fn raw_with_planes(frame: u64, shape: Shape) -> Result<NDAstroData> {
    with_planes(frame, shape, plane(frame, 0, shape, |h| value(h) as u16))
}

fn bias(frame: u64, shape: Shape) -> Result<NDAstroData> {
    with_planes(frame, shape, plane(frame, 0, shape, |h| value(h) / 10.0))
}

fn flat(frame: u64, shape: Shape) -> Result<NDAstroData> {
    with_planes(frame, shape, plane(frame, 0, shape, |h| value(h) / 1000.0))
}

/// With a variance of about 400, and flags.
fn with_planes(frame: u64, shape: Shape, data: impl Into<Pixels>) -> Result<NDAstroData> {
    let var = plane(frame, 1, shape, |h| 380.0 + (h >> 40) as f32 * (40.0 / (1 << 24) as f32));
    NDAstroData::new(data).with_variance(var)?.with_mask(plane(frame, 2, shape, flags))
}

/// Pixels of the hashes of their places, in plane `n` of a frame.
fn plane<T>(frame: u64, n: u64, shape: Shape, of: impl Fn(u64) -> T) -> Array2<T> {
    Array2::from_shape_fn(shape, |(y, x)| of(hash(frame << 34 | n << 32 | (y * shape.1 + x) as u64)))
}

/// Mean 1000, deviation 20.
fn value(hash: u64) -> f32 {
    let sum: u64 = (0..4).map(|i| hash >> (16 * i) & 0xffff).sum();
    // The sum of four uniform numbers of 0..1 has the mean 2 and the deviation 1 / sqrt 3.
    1000.0 + 20.0 * 3f32.sqrt() * (sum as f32 / 65536.0 - 2.0)
}

/// One of the four lowest bits in 1 of 512 pixels.
fn flags(hash: u64) -> u16 {
    if hash.is_multiple_of(512) { 1 << (hash >> 9 & 3) } else { 0 }
}

/// A number that looks like chance (the finaliser of splitmix64).
pub(super) fn hash(n: u64) -> u64 {
    let x = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_what_the_page_says() {
        let n = 1 << 16;
        let values: Vec<f64> = (0..n).map(|i| f64::from(value(hash(i)))).collect();
        let mean = values.iter().sum::<f64>() / n as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
        assert!((mean - 1000.0).abs() < 0.5 && (variance.sqrt() - 20.0).abs() < 0.5, "{mean} {variance}");
        let flagged = (0..n).filter(|&i| flags(hash(i)) != 0).count();
        assert!((64..=192).contains(&flagged), "{flagged}");
    }

    #[test]
    fn all_sets_are_made_and_can_be_opened() {
        let folder = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        let make = |kind| make(kind, folder.path(), 2, (5, 7), &stop).unwrap();
        let [sets @ .., rice] = Kind::FRAMES.map(make);
        assert_eq!(sets[0].about, "2 frames of float32 [5, 7], variance, mask");
        assert_eq!(sets[1].about, "2 frames of uint16 [5, 7]");
        let pixels = |set: &Set| AstroData::open(&set.paths[1]).unwrap()[0].data().unwrap().clone();
        assert_eq!(pixels(&sets[1]), pixels(&rice));
        let [arrays, operands] = Kind::THREE.map(make);
        assert_eq!(arrays.about, "3 arrays of float32 [5, 7], variance, mask");
        assert_eq!((arrays.bytes, arrays.arrays.len()), (3 * 10 * 35, 3));
        assert_eq!(operands.about, "raw uint16 [5, 7], variance, mask; bias and flat float32");
        assert_eq!(operands.paths.len(), 3);
        stop.store(true, Ordering::Relaxed);
        let stopped = super::make(Kind::Mef, folder.path(), 2, (5, 7), &stop);
        assert!(matches!(stopped, Err(Error::Interrupted)));
    }
}
