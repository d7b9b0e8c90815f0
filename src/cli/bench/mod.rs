//! `ndastro-bench`: whole jobs on each engine, beside what this machine can do at most.
//!
//! # What is measured
//!
//! Jobs (`jobs.rs`) run through the public API, from opening the files to the result in memory or to the file that is
//! written, synced and renamed. Limits (`limits.rs`) are what no such job can beat: reading the very same files, and
//! writing and syncing a file as large as the job's. The input lies in the page cache: this is no benchmark of disks,
//! except for the sync of what is written.
//!
//! # How
//!
//! One round runs every limit and every job once, one after another, so that a machine that slows down or speeds up
//! does so for all of them. The first round warms up and is not counted: it fills the page cache, compiles the
//! pipelines and compares the engines' results (`agree.rs`). Every number is the median over the other rounds.
//!
//! The fraction of the limit is `(read + write) / job`: the seconds of the limits over the seconds of the job. `read`
//! is scaled to the bytes that the job looked at, and `write` counts for jobs to a file only. Reading and writing may
//! overlap, so a job can come above 1.

mod agree;
mod data;
mod jobs;
mod limits;
mod report;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::{Parser, ValueEnum};

use self::agree::Agreement;
use self::data::Set;
use self::jobs::{JOBS, Made, Task};
use self::limits::{Bench, Limit};
use super::{parse_size, signals};
use crate::{AstroData, Engine, Error, Result};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// The CPU, and the GPU if there is an adapter, a software one included
    All,
    /// Threads and SIMD
    Cpu,
    /// An adapter, software ones included; an error if there is none
    Gpu,
}

/// Whole jobs on each engine, beside the machine's own read, copy and write speed
#[derive(Parser)]
#[command(name = "ndastro-bench", version)]
struct Args {
    /// Frames of each set that is made
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=9999))]
    frames: u16,
    /// Pixels of a side
    #[arg(long, default_value_t = 2048, value_parser = clap::value_parser!(u16).range(1..=32768))]
    size: u16,
    /// Rounds that count, after one that does not
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=9999))]
    rounds: u16,
    /// What computes
    #[arg(long, value_enum, default_value = "all")]
    engine: Which,
    /// Adapter whose name contains this
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Threads; 0 is all
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=4096))]
    threads: u16,
    /// Host memory for the jobs' buffers, e.g. 512MiB
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_size)]
    memory: u64,
    /// Folder for a temporary folder with frames and outputs, always removed; the system's unless given
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Take these frames instead of making some; they must fit one stack
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["frames", "size"])]
    files: Vec<PathBuf>,
    /// Write all times as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Say nothing but the table and errors
    #[arg(long)]
    quiet: bool,
}

impl Args {
    fn say(&self, line: &str) {
        if !self.quiet {
            // Standard error may be closed; that is no reason to fail.
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

/// An engine, and what the table says of it.
struct Contender {
    engine: Engine,
    /// Its adapter is software.
    software: bool,
    /// With the first engine, over all jobs; none of the first.
    agreement: Option<Agreement>,
}

/// A limit and the seconds of each round.
struct LimitRow {
    limit: Limit,
    seconds: Vec<f64>,
}

/// A job on a set by an engine, and the seconds of each round.
struct JobRow {
    job: usize,
    set: usize,
    engine: usize,
    /// Bytes of the input that it looked at.
    read: u64,
    /// Bytes of its output file, if it makes one.
    written: Option<u64>,
    /// What the run said, e.g. that a device failed and the CPU took over.
    warnings: Vec<String>,
    seconds: Vec<f64>,
}

/// All that was measured.
struct Results {
    contenders: Vec<Contender>,
    /// Why there is no GPU among them, if it was asked for.
    absent: Option<String>,
    sets: Vec<Set>,
    threads: usize,
    limits: Vec<LimitRow>,
    jobs: Vec<JobRow>,
}

/// Runs the program.
pub fn main() -> ExitCode {
    signals::ignore_file_size_limit();
    super::quiet_mesa();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(e) => {
            // Help and version are results; errors go to standard error with exit code 2.
            let _ = e.print();
            return ExitCode::from(e.exit_code() as u8);
        }
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let code = if matches!(e, Error::Interrupted) { signals::exit_code() } else { 1 };
            let _ = writeln!(io::stderr(), "ndastro-bench: {e}");
            ExitCode::from(code)
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let stop = signals::stop_flag()?;
    let threads = usize::from(args.threads);
    let (contenders, absent) = contenders(args.engine, args.adapter.as_deref(), threads)?;
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    // Removed with all that is in it when this function returns, however it does.
    let folder = tempfile::Builder::new()
        .prefix("ndastro-bench")
        .tempdir_in(&parent)
        .map_err(Error::io(&parent, "cannot make a temporary folder"))?;
    let sets = if args.files.is_empty() {
        args.say(&format!("making frames in {}", folder.path().display()));
        data::make(folder.path(), usize::from(args.frames), usize::from(args.size), &stop)?
    } else {
        vec![Set::new("files", args.files.clone())?]
    };
    let bench = Bench::new(threads, folder.path())?;
    let mut results =
        Results { contenders, absent, sets, threads: bench.threads(), limits: Vec::new(), jobs: Vec::new() };
    args.say("warming up");
    results.warm_up(&bench, args.memory, &stop)?;
    for round in 1..=args.rounds {
        args.say(&format!("round {round} of {}", args.rounds));
        results.round(&bench, args.memory, &stop)?;
    }
    results.print()?;
    match &args.json {
        None => Ok(()),
        Some(path) => {
            let text = format!("{:#}\n", results.to_json());
            std::fs::write(path, text).map_err(Error::io(path, "cannot write the times"))
        }
    }
}

/// The engines that run, the one that the others are compared with first; and why there is no GPU, if one was welcome.
fn contenders(which: Which, adapter: Option<&str>, threads: usize) -> Result<(Vec<Contender>, Option<String>)> {
    let (mut engines, mut absent) = (Vec::new(), None);
    if which != Which::Gpu {
        engines.push(Engine::cpu(threads)?);
    }
    if which != Which::Cpu {
        match Engine::gpu(adapter, threads) {
            Ok(gpu) => engines.push(gpu),
            // A name is a wish for that adapter.
            Err(Error::NoAdapter(why)) if which == Which::All && adapter.is_none() => absent = Some(why),
            Err(e) => return Err(e),
        }
    }
    let contender = |engine: Engine| Contender { software: is_software(&engine), engine, agreement: None };
    Ok((engines.into_iter().map(contender).collect(), absent))
}

fn is_software(engine: &Engine) -> bool {
    #[cfg(feature = "gpu")]
    {
        engine.adapter().is_some_and(|name| crate::adapters().iter().any(|a| a.software && a.name == name))
    }
    #[cfg(not(feature = "gpu"))]
    {
        let _ = engine;
        false
    }
}

impl Results {
    /// Every job once, compared between engines, then the limits that belong to what the jobs read and wrote.
    fn warm_up(&mut self, bench: &Bench, memory: u64, stop: &Arc<AtomicBool>) -> Result<()> {
        let mut limits: Vec<Limit> = (0..self.sets.len()).map(Limit::Read).collect();
        limits.push(Limit::Copy);
        for (set, frames) in self.sets.iter().enumerate() {
            for (job, entry) in JOBS.iter().enumerate() {
                let mut first: Option<AstroData> = None;
                for (i, contender) in self.contenders.iter_mut().enumerate() {
                    let out = output(bench.folder(), i);
                    let task = Task { engine: &contender.engine, set: frames, out: &out, memory, stop };
                    let Made { stats, result } = (entry.run)(&task)?;
                    let mut written = None;
                    let result = match result {
                        Some(result) => result,
                        None => {
                            let size = std::fs::metadata(&out).map_err(Error::io(&out, "cannot stat"))?.len();
                            written = Some(size);
                            AstroData::open(&out)?
                        }
                    };
                    limits.extend(written.map(Limit::Write).filter(|w| !limits.contains(w)));
                    self.jobs.push(JobRow {
                        job,
                        set,
                        engine: i,
                        read: stats.bytes_read,
                        written,
                        warnings: stats.warnings,
                        seconds: Vec::new(),
                    });
                    match &first {
                        None => first = Some(result),
                        Some(first) => contender.agreement.get_or_insert_default().compare(first, &result)?,
                    }
                }
            }
        }
        for limit in limits {
            limit.run(bench, &self.sets)?;
            self.limits.push(LimitRow { limit, seconds: Vec::new() });
        }
        Ok(())
    }

    /// Every limit and every job once, timed.
    fn round(&mut self, bench: &Bench, memory: u64, stop: &Arc<AtomicBool>) -> Result<()> {
        for row in &mut self.limits {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            row.seconds.push(row.limit.run(bench, &self.sets)?);
        }
        for row in &mut self.jobs {
            let out = output(bench.folder(), row.engine);
            // The system's work of freeing the last round's file is not the job's.
            match std::fs::remove_file(&out) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io(&out, "cannot remove")(e)),
                _ => {}
            }
            let engine = &self.contenders[row.engine].engine;
            let task = Task { engine, set: &self.sets[row.set], out: &out, memory, stop };
            let started = Instant::now();
            let made = (JOBS[row.job].run)(&task)?;
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
fn output(folder: &Path, engine: usize) -> PathBuf {
    folder.join(format!("out_{engine}.fits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
