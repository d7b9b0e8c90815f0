//! The frames: given ones, or three sets of cheap noise that is the same at every run.
//!
//! | set | extensions | bytes a pixel |
//! |------|------------|--------------:|
//! | mef | SCI float32, VAR float32, DQ uint16 with 1 of 512 pixels flagged | 10 |
//! | raw | SCI uint16 | 2 |
//! | rice | the same, tile-compressed by RICE_1 | about 1 |
//!
//! A value is made of the hash of its place: noise of about the normal distribution (the sum of four uniform numbers)
//! around 1000 with a deviation of 20.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use ndarray::Array2;

use crate::fits::{Compression, Header, Method};
use crate::{AstroData, Error, NDAstroData, Result, WriteOptions};

/// Frames that one stack can be made of.
pub(super) struct Set {
    pub name: &'static str,
    /// How many, of what.
    pub about: String,
    pub paths: Vec<PathBuf>,
    /// Sizes of the files.
    pub bytes: u64,
}

impl Set {
    /// Of files that exist. Reads headers.
    pub(super) fn new(name: &'static str, paths: Vec<PathBuf>) -> Result<Self> {
        let mut about = String::new();
        let mut bytes = 0;
        for path in &paths {
            let ad = AstroData::open(path)?;
            if about.is_empty() {
                let first = &ad[0];
                about = format!("{} frames of {} {:?}", paths.len(), first.dtype(), first.shape());
                about += if first.has_variance() { ", variance" } else { "" };
                about += if first.has_mask() { ", mask" } else { "" };
                if ad.len() > 1 {
                    about += &format!(", {} extensions", ad.len());
                }
            }
            bytes += std::fs::metadata(path).map_err(Error::io(path, "cannot stat"))?.len();
        }
        Ok(Set { name, about, paths, bytes })
    }
}

/// Makes all sets in `folder`.
pub(super) fn make(folder: &Path, frames: usize, size: usize, stop: &AtomicBool) -> Result<Vec<Set>> {
    let rice = Compression { method: Method::Rice, quantize: None };
    let sets: [(&'static str, Exposure, _); 3] = [("mef", mef, None), ("raw", raw, None), ("rice", raw, Some(rice))];
    sets.into_iter()
        .map(|(name, exposure, compression)| {
            let options = WriteOptions { compression, ..WriteOptions::default() };
            let paths: Vec<PathBuf> = (0..frames).map(|i| folder.join(format!("{name}_{i:04}.fits"))).collect();
            for (i, path) in paths.iter().enumerate() {
                if stop.load(Ordering::Relaxed) {
                    return Err(Error::Interrupted);
                }
                let nd = exposure(i as u64, size)?;
                AstroData::from_extensions(Header::new(), vec![nd]).write_with(path, &options)?;
            }
            Set::new(name, paths)
        })
        .collect()
}

/// Makes a frame of its number and the pixels of a side.
type Exposure = fn(u64, usize) -> Result<NDAstroData>;

fn mef(frame: u64, size: usize) -> Result<NDAstroData> {
    let plane = |n: u64| move |(y, x): (usize, usize)| hash(frame << 34 | n << 32 | (y * size + x) as u64);
    let sci = Array2::from_shape_fn((size, size), |at| value(plane(0)(at)));
    let var = Array2::from_shape_fn((size, size), |at| 380.0 + (plane(1)(at) >> 40) as f32 * (40.0 / (1 << 24) as f32));
    let dq = Array2::from_shape_fn((size, size), |at| flags(plane(2)(at)));
    NDAstroData::new(sci).with_variance(var)?.with_mask(dq)
}

fn raw(frame: u64, size: usize) -> Result<NDAstroData> {
    let pixel = |(y, x): (usize, usize)| value(hash(frame << 34 | 3 << 32 | (y * size + x) as u64)) as u16;
    Ok(NDAstroData::new(Array2::from_shape_fn((size, size), pixel)))
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
        let sets = make(folder.path(), 2, 7, &AtomicBool::new(false)).unwrap();
        assert_eq!(sets[0].about, "2 frames of float32 [7, 7], variance, mask");
        assert_eq!(sets[1].about, "2 frames of uint16 [7, 7]");
        let pixels = |set: usize| AstroData::open(&sets[set].paths[1]).unwrap()[0].data().unwrap().clone();
        assert_eq!(pixels(1), pixels(2));
        let stopped = make(folder.path(), 2, 7, &AtomicBool::new(true));
        assert!(matches!(stopped, Err(Error::Interrupted)));
    }
}
