//! Frames that do not lie on top of each other: whole pixels that each is shifted by, on the least grid that holds all.
//!
//! No pixel is resampled: a sample stays what it is, with its variance and its mask. Frames that are turned, stretched or
//! distorted against each other by more than a pixel at a corner are refused, since whole pixels do not describe them.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::{Frames, Stack};
use crate::nddata::NDAstroData;
use crate::placed::Place;
use crate::wcs::Wcs;
use crate::{Error, Result};

/// Where frames lie against each other.
#[derive(Clone, Debug, PartialEq)]
pub enum Offsets {
    /// One for each frame, of whole pixels along each axis in numpy order: pixel `p` of a frame is pixel `p + offset` of a
    /// grid that all share.
    Pixels(Vec<Vec<i64>>),
    /// By the world coordinates: what the middle of each frame is in the first, to whole pixels.
    Wcs,
}

/// What a corner may be off by, in pixels: half a pixel by rounding, and as much by what whole pixels cannot say.
const MOST_OFF: f64 = 1.0;

impl Offsets {
    /// From a file of one line a frame, as imcombine has it: the offset along x, along y and so on in FITS order, separated
    /// by blanks. What follows a # is a comment.
    ///
    /// # Errors
    /// The file cannot be read, or has something else than whole numbers.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Offsets> {
        let path = path.as_ref();
        std::fs::read_to_string(path).map_err(Error::io(path, "cannot read"))?.parse().map_err(|e| match e {
            Error::Parameter(text) => Error::Parameter(format!("{}: {text}", crate::error::show(path))),
            other => other,
        })
    }
}

impl FromStr for Offsets {
    type Err = Error;

    /// What such a file has in it.
    fn from_str(text: &str) -> Result<Offsets> {
        let mut offsets: Vec<Vec<i64>> = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let number = |word: &str| {
                let whole = word.parse::<f64>().ok().filter(|x| x.fract() == 0.0 && x.abs() < 1e15).map(|x| x as i64);
                whole.ok_or_else(|| {
                    let what =
                        "an offset is a whole number of pixels; what is shifted by parts of one must be resampled";
                    Error::Parameter(format!("line {}: {}: {what}", i + 1, word.escape_debug()))
                })
            };
            let mut offset = line.split_whitespace().map(number).collect::<Result<Vec<_>>>()?;
            offset.reverse();
            offsets.push(offset);
        }
        Ok(Offsets::Pixels(offsets))
    }
}

impl fmt::Display for Offsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Offsets::Pixels(_) => "given",
            Offsets::Wcs => "by WCS",
        })
    }
}

impl Stack {
    /// Lays each frame where it belongs on the least grid that holds all of them; frames may have different shapes. Where a
    /// frame is not, it has no sample; a pixel that none has is `no_data`. The world coordinates of the result are those of
    /// the first frame, moved along. Further planes of the first frame do not come along.
    ///
    /// Not for frames that are expressions.
    pub fn offsets(mut self, offsets: Offsets) -> Self {
        self.offsets = Some(offsets);
        self
    }

    /// The frames of an extension on their grid, and where each of them is.
    pub(super) fn placed(&self, frames: Vec<NDAstroData>) -> Result<(Vec<NDAstroData>, Vec<Place>)> {
        let Some(offsets) = &self.offsets else { return Ok((frames, Vec::new())) };
        if !matches!(self.frames, Frames::Containers) {
            return Err(Error::Parameter("offsets: not for frames that are calibrated in the same run".into()));
        }
        let offsets = match offsets {
            Offsets::Pixels(given) if given.len() != frames.len() => {
                let (given, frames) = (given.len(), frames.len());
                return Err(Error::Parameter(format!("offsets: {given} for {frames} frames")));
            }
            Offsets::Pixels(given) => given.clone(),
            Offsets::Wcs => by_wcs(&frames)?,
        };
        let shapes: Vec<Vec<usize>> = frames.iter().map(NDAstroData::shape).collect();
        let places = Place::of_all(&shapes, &offsets)?;
        Ok((frames.iter().zip(&places).map(|(frame, place)| frame.placed(place)).collect(), places))
    }
}

/// What each frame is shifted by against the first.
fn by_wcs(frames: &[NDAstroData]) -> Result<Vec<Vec<i64>>> {
    let wcs = |frame: &NDAstroData| {
        frame.wcs()?.ok_or_else(|| Error::Wcs(format!("{}: offsets by WCS, and it has none", frame.label())))
    };
    let Some(first) = frames.first() else { return Ok(Vec::new()) };
    let reference = wcs(first)?;
    frames.iter().map(|frame| by_wcs_of(frame, &wcs(frame)?, &reference)).collect()
}

fn by_wcs_of(frame: &NDAstroData, own: &Wcs, reference: &Wcs) -> Result<Vec<i64>> {
    let located = |e: Error| match e {
        Error::Wcs(text) => Error::Wcs(format!("{}: offsets by WCS: {text}", frame.label())),
        other => other,
    };
    let shape = frame.shape();
    if own.ctype() != reference.ctype() || own.pixel_axes() != reference.pixel_axes() {
        return Err(located(Error::Wcs(format!("{:?}, and the first frame has {:?}", own.ctype(), reference.ctype()))));
    }
    // How far a pixel is off in the first frame from where it is in its own.
    let shift = |pixel: &[f64]| -> Result<Vec<f64>> {
        let there = own.pixel_to_world(pixel).and_then(|world| reference.world_to_pixel(&world)).map_err(located)?;
        Ok(there.iter().zip(pixel).map(|(there, here)| there - here).collect())
    };
    let middle: Vec<f64> = shape.iter().map(|&n| (n.max(1) - 1) as f64 / 2.0).collect();
    let middle = shift(&middle)?;
    if middle.iter().any(|x| x.is_nan() || x.abs() > 1e15) {
        return Err(located(Error::Wcs("the middle of the frame is nowhere in the first".into())));
    }
    let offset: Vec<i64> = middle.iter().map(|x| x.round() as i64).collect();
    for corner in 0..1usize << shape.len().min(16) {
        let last = |(axis, &n): (usize, &usize)| if corner >> axis & 1 == 1 { (n.max(1) - 1) as f64 } else { 0.0 };
        let pixel: Vec<f64> = shape.iter().enumerate().map(last).collect();
        let shift = shift(&pixel)?;
        let off = |(s, &o): (&f64, &i64)| (s - o as f64).abs();
        if let Some(off) = shift.iter().zip(&offset).map(off).find(|off| off.is_nan() || *off > MOST_OFF) {
            let what = format!("a corner is {off:.1} pixels from where whole pixels put it; resample the frames first");
            return Err(located(Error::Wcs(what)));
        }
    }
    Ok(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_imcombine_are_read() {
        let text = "# x y\n 0 0\n 12 -3   # second\n\n 4. 1e2\n";
        assert_eq!(text.parse::<Offsets>().unwrap(), Offsets::Pixels(vec![vec![0, 0], vec![-3, 12], vec![100, 4]]));
        for bad in ["1.5 0", "a b", "nan 0", "1e300 0"] {
            let message = bad.parse::<Offsets>().unwrap_err().to_string();
            assert!(message.contains("line 1") && message.contains("resample"), "{message}");
        }
    }
}
