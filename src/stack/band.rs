//! A stack that is written band by band: by many runs into one file, or by one that may be interrupted.
//!
//! A band is a range of the rows of every extension. Its pixels come out as they do in one run, so the file does too, byte
//! for byte. What the runs must have in common goes into a signature: the version and the kind of engine, what the kernel
//! does, factors and offsets, and the names, sizes and times of the files that are read. See `src/fits/bands.rs`.

use std::fmt::Write as _;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::str::FromStr;
use std::time::Instant;

use sha2::{Digest, Sha256};

use super::plan::Plan;
use super::{Stack, images, read_so_far};
use crate::engine::Engine;
use crate::fits::BandWriter;
use crate::tiles::Counters;
use crate::writing::hdus_of;
use crate::{Error, Result, Stats, merge};

/// One of several bands of rows, as nearly alike as they can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Band {
    number: usize,
    of: usize,
}

/// Nobody has more machines.
const MOST: usize = 100_000;
/// Pixels of a band of a run that may go on later: what an interruption costs at most.
const STEP: usize = 4 << 20;

impl Band {
    /// Number `number` of `of`, counted from 1.
    ///
    /// # Errors
    /// There is no such band, or there are more than 100,000.
    pub fn new(number: usize, of: usize) -> Result<Self> {
        if (1..=of).contains(&number) && of <= MOST {
            return Ok(Band { number, of });
        }
        Err(Error::Parameter(format!("there is no band {number} of {of}: they count from 1, to 100,000 at most")))
    }

    /// Its pixels, of so many in rows of `row`.
    fn pixels(self, pixels: usize, row: usize) -> Range<usize> {
        let row = row.max(1);
        let rows = pixels / row;
        let before = |n: usize| (rows as u128 * n as u128 / self.of as u128) as usize * row;
        before(self.number - 1)..before(self.number)
    }

    fn of_plan(self, plan: &Plan) -> Range<usize> {
        self.pixels(plan.pixels(), plan.shape.last().copied().unwrap_or(1))
    }
}

impl FromStr for Band {
    type Err = Error;

    /// `3/8`
    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| text.trim().parse::<usize>().ok();
        let both = text.split_once('/').and_then(|(a, b)| Some((number(a)?, number(b)?)));
        let (number, of) = both.ok_or_else(|| Error::Parameter(format!("{text:?} is not I/N like 3/8")))?;
        Band::new(number, of)
    }
}

impl Stack {
    /// Computes one band of rows of every extension into a file that other runs, with the same inputs and options, write
    /// the other bands of: `NAME.part` beside `path`. The first run lays it out. A record, `NAME.part.3of8`, says that the
    /// band is done; one that is, is not made again. [`merge`] gives the file its name when all are. Levels that are
    /// statistics are of whole frames, and made by every run.
    ///
    /// # Errors
    /// As [`write`](Self::write); the file there is of another result, or the band was made of other inputs or options; the
    /// output would be compressed.
    pub fn write_band(&self, engine: &Engine, path: impl AsRef<Path>, overwrite: bool, band: Band) -> Result<Stats> {
        self.bands(engine, path.as_ref(), overwrite, band.of, [band.number])
    }

    /// Computes the stack into a file as [`write`](Self::write) does, but if it is interrupted, what is done stays beside
    /// `path`, and the next run goes on from there. The file comes to the same, bit for bit.
    ///
    /// # Errors
    /// As [`write_band`](Self::write_band).
    pub fn write_resumable(&self, engine: &Engine, path: impl AsRef<Path>, overwrite: bool) -> Result<Stats> {
        let path = path.as_ref();
        let largest = self.inputs.iter().flat_map(crate::AstroData::iter).map(|nd| nd.data_plane().len()).max();
        let of = largest.unwrap_or(1).div_ceil(STEP).clamp(1, MOST);
        let stats = self.bands(engine, path, overwrite, of, 1..=of)?;
        merge(path, overwrite, self.settings.cancel.as_deref())?;
        Ok(stats)
    }

    /// Those of the bands that are not done.
    fn bands(
        &self,
        engine: &Engine,
        path: &Path,
        overwrite: bool,
        of: usize,
        numbers: impl IntoIterator<Item = usize>,
    ) -> Result<Stats> {
        let started = Instant::now();
        let mut counters = Counters::default();
        let plans = self.plans_for(engine, path, &mut counters)?;
        if plans.iter().any(|plan| plan.products.iter().any(|product| product.planes.is_some())) {
            let why =
                "the maps reasons and dqcounts are cubes, whose planes do not come in bands: write them in one run";
            return Err(Error::Parameter(why.into()));
        }
        let before = read_so_far(&plans).1;
        let hdus = hdus_of(self.primary(&plans), images(&plans), self.tables());
        let signature = self.signature(engine, &plans)?;
        let mut file = BandWriter::open(path, overwrite, hdus, (of, signature), self.settings.cancel.clone())?;
        let mut pixels = 0;
        for number in numbers {
            if file.is_done(number)? {
                counters.warn([format!("band {number} of {of} was done before")]);
                continue;
            }
            let band = Band { number, of };
            self.write_pixels(engine, &plans, file.writer(), &mut counters, |plan| band.of_plan(plan))?;
            file.done(number)?;
            pixels += plans.iter().map(|plan| band.of_plan(plan).len() as u64).sum::<u64>();
        }
        Ok(Stats { pixels, ..self.stats(engine, &plans, counters, (started, before)) })
    }

    /// What the pixels depend on, in short.
    fn signature(&self, engine: &Engine, plans: &[Plan]) -> Result<String> {
        let mut text = format!("{} {}", env!("CARGO_PKG_VERSION"), engine.name());
        // To a string nothing fails.
        let _ = write!(text, " {:?}", (&self.history, self.hierarchy.kernel(), &self.fractions));
        for plan in plans {
            let Plan { shape, compute, variance, mask, nonfinite, method, places, affine, counted, .. } = plan;
            let _ = write!(text, " {:?}", (shape, compute, variance, mask, nonfinite, method, places, affine, counted));
            for plane in &plan.planes().0 {
                let Some(section) = plane.section() else { continue };
                let _ = write!(text, " {}", identity(section.mapping().path())?);
            }
        }
        Ok(Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Size, time and name of a file, in printable characters.
pub(super) fn identity(path: &Path) -> Result<String> {
    let meta = std::fs::metadata(path).map_err(Error::io(path, "cannot look at"))?;
    let name = path.file_name().unwrap_or_default().as_encoded_bytes().escape_ascii();
    Ok(format!("{} {}.{:09} {name}", meta.len(), meta.mtime(), meta.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_all_of_it_and_lie_apart() {
        for (pixels, row, of) in [(35, 5, 3), (35, 5, 7), (35, 5, 12), (7, 7, 2), (0, 5, 2), (1, 1, 1)] {
            let mut end = 0;
            for number in 1..=of {
                let range = Band::new(number, of).unwrap().pixels(pixels, row);
                assert_eq!(range.start, end);
                assert!(range.start.is_multiple_of(row));
                end = range.end;
            }
            assert_eq!(end, pixels);
        }
    }

    #[test]
    fn bands_are_read() {
        assert_eq!("3/8".parse::<Band>().unwrap(), Band { number: 3, of: 8 });
        for bad in ["", "3", "0/8", "9/8", "a/8", "1/0", "-1/2", "1/200000"] {
            assert!(bad.parse::<Band>().is_err(), "{bad}");
        }
    }
}
