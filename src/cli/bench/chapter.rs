//! A chapter: the sets of one number of frames, and what was measured with them. Limits and jobs of a chapter take turns,
//! so its fractions are of the same minutes; only its own sets are on the disk meanwhile.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::Contender;
use super::agree::Agreement;
use super::data::Set;
use super::jobs::{Job, Made, Product, Task};
use super::limits::{Bench, Limit};
use crate::engine::Transfer;
use crate::{AstroData, Error, Result};

/// A limit and the seconds of each round.
pub(super) struct LimitRow {
    pub limit: Limit,
    pub seconds: Vec<f64>,
}

/// A job on a set by an engine, and the seconds of each round.
pub(super) struct JobRow {
    pub job: &'static Job,
    pub set: usize,
    /// `None` for threads without an engine.
    pub engine: Option<usize>,
    /// Bytes of the input files that it looked at.
    pub read: u64,
    /// Bytes of arrays in memory that it cannot but read or write.
    pub arrays: u64,
    /// Bytes of its output file, if it makes one.
    pub written: Option<u64>,
    /// Bytes to the adapter, and from it.
    pub transfers: (u64, u64),
    /// With the first engine; `None` of the first.
    pub agreement: Option<Agreement>,
    /// What the run said, e.g. that a device failed and the CPU took over.
    pub warnings: Vec<String>,
    pub seconds: Vec<f64>,
}

/// All that was measured with some sets.
pub(super) struct Chapter {
    /// "20 frames of 2048 x 2048".
    pub title: String,
    pub frames: usize,
    pub sets: Vec<Set>,
    /// What the reader should know, one line each.
    pub notes: Vec<String>,
    pub limits: Vec<LimitRow>,
    pub jobs: Vec<JobRow>,
}

/// What all chapters are measured with.
pub(super) struct Means<'a> {
    pub bench: &'a Bench,
    pub contenders: &'a [Contender],
    pub jobs: &'a [&'static Job],
    pub memory: u64,
    pub stop: &'a Arc<AtomicBool>,
}

impl Means<'_> {
    fn go_on(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// A job that needs no engine gets the first.
    fn run(&self, job: &Job, set: &Set, engine: Option<usize>, out: &Path) -> Result<Made> {
        let engine = &self.contenders[engine.unwrap_or(0)].engine;
        let pool = self.bench.threads();
        (job.run)(&Task { engine, pool, set, out, memory: self.memory, stop: self.stop })
    }
}

impl Chapter {
    /// Every job once, compared between engines, then the limits that belong to what the jobs read and wrote.
    pub(super) fn warm_up(&mut self, means: &Means<'_>) -> Result<()> {
        let files = self.sets.iter().enumerate().filter(|(_, set)| !set.paths.is_empty());
        let mut limits: Vec<Limit> = files.map(|(i, _)| Limit::Read(i)).collect();
        limits.push(Limit::Copy);
        for (set, frames) in self.sets.iter().enumerate() {
            for &job in means.jobs.iter().filter(|j| j.is_for(frames)) {
                let mut first: Option<AstroData> = None;
                let engines = if job.engine { (0..means.contenders.len()).map(Some).collect() } else { vec![None] };
                for engine in engines {
                    means.go_on()?;
                    let out = output(means.bench.folder(), engine);
                    let Made { stats, arrays, product } = means.run(job, frames, engine, &out)?;
                    let mut written = None;
                    let result = match product {
                        Product::Memory(result) => Some(result),
                        Product::Frames { .. } => None,
                        Product::File => {
                            let size = std::fs::metadata(&out).map_err(Error::io(&out, "cannot stat"))?.len();
                            written = Some(size);
                            Some(AstroData::open(&out)?)
                        }
                    };
                    if let Some(bytes) = written.filter(|&bytes| !limits.iter().any(|l| l.writes_about(bytes))) {
                        limits.push(Limit::Write(bytes));
                    }
                    let mut row = JobRow {
                        job,
                        set,
                        engine,
                        read: stats.bytes_read,
                        arrays,
                        written,
                        transfers: (stats.bytes_uploaded, stats.bytes_downloaded),
                        agreement: None,
                        warnings: stats.warnings,
                        seconds: Vec::new(),
                    };
                    match (&first, result) {
                        (None, result) => first = result,
                        (Some(first), Some(result)) => row.agreement.get_or_insert_default().compare(first, &result)?,
                        (Some(_), None) => {}
                    }
                    self.jobs.push(row);
                }
            }
        }
        for (i, _) in means.contenders.iter().enumerate().filter(|(_, c)| c.engine.adapter().is_some()) {
            limits.extend([Transfer::Upload, Transfer::Readback].map(|way| Limit::Transfer(i, way)));
        }
        for limit in limits {
            means.go_on()?;
            limit.run(means.bench, &self.sets, means.contenders)?;
            self.limits.push(LimitRow { limit, seconds: Vec::new() });
        }
        Ok(())
    }

    /// Every limit and every job once, timed.
    pub(super) fn round(&mut self, means: &Means<'_>) -> Result<()> {
        for row in &mut self.limits {
            means.go_on()?;
            row.seconds.push(row.limit.run(means.bench, &self.sets, means.contenders)?);
        }
        for row in &mut self.jobs {
            means.go_on()?;
            let out = output(means.bench.folder(), row.engine);
            // The system's work of freeing the last round's file is not the job's.
            match std::fs::remove_file(&out) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io(&out, "cannot remove")(e)),
                _ => {}
            }
            let started = Instant::now();
            let made = means.run(row.job, &self.sets[row.set], row.engine, &out)?;
            row.seconds.push(started.elapsed().as_secs_f64());
            for warning in made.stats.warnings {
                if !row.warnings.contains(&warning) {
                    row.warnings.push(warning);
                }
            }
        }
        Ok(())
    }
}

/// Each engine has its own, so that two can be compared.
fn output(folder: &Path, engine: Option<usize>) -> PathBuf {
    folder.join(format!("out_{}.fits", engine.unwrap_or(0)))
}
