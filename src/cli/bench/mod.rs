//! `ndastro-bench`: whole jobs on each engine, beside what this machine can do at most.
//!
//! # What is measured
//!
//! Jobs (`jobs.rs`) run through the public API, from opening the files to the result in memory or to the file that is
//! written, synced and renamed. Limits (`limits.rs`) are what no such job can beat: reading the very same files, copying
//! in memory, and writing and syncing a file as large as the job's. The input lies in the page cache: this is no benchmark
//! of disks, except for the sync of what is written.
//!
//! | job | on | what |
//! |---|---|---|
//! | arithmetic | arrays | `a * b + c` of arrays in memory, with variance and mask |
//! | arithmetic-into | arrays | the same into the arrays of the round before, as `Expr::eval_into` has it |
//! | calc | operands | `(raw - bias) / flat` of three files, to a file |
//! | decode | mef, raw | the data of all frames into memory; threads alone, no engine |
//! | mean | mef, raw, rice | the stack, to a file |
//! | mean-memory | mef, raw, rice | the stack, to memory |
//! | median, sigclip | mef, raw | the stack, to a file; sigclip is the mean of what 3 sigma leave |
//! | varclip, wtmean | mef | the same of frames with a variance |
//!
//! # How
//!
//! A chapter (`chapter.rs`) is the sets of one number of frames (`data.rs`), or the three operands. Its sets are made,
//! measured and removed before the next chapter begins, so that page cache and disk hold one chapter at a time; where there
//! is no room for it (`room.rs`), its images have fewer rows, and the table says so.
//!
//! One round runs every limit and every job of the chapter once, one after another, so that a machine that slows down or
//! speeds up does so for all of them. The first round warms up and is not counted: it fills the page cache, compiles the
//! pipelines and compares the engines' results (`agree.rs`). Every number is the median over the other rounds.
//!
//! The fraction of the limit is `(read + arrays + write) / job`: the seconds of the limits over the seconds of the job.
//! `read` is scaled to the bytes that the job looked at in files. `arrays` is what the bytes of arrays that arithmetic reads
//! and writes, or that decode writes, take at the speed of a memory copy. `write` counts for jobs to a file only. Reading
//! and writing may overlap, so a job can come above 1. The limit is the same for all engines; what the bytes that went to an
//! adapter and came back take at the adapter's own speed is a fraction of its own, `transfers / job`.

mod agree;
mod chapter;
mod data;
mod jobs;
mod json;
mod limits;
mod plot;
mod report;
mod room;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, ValueEnum};

use self::agree::Agreement;
use self::chapter::{Chapter, Means};
use self::data::{Kind, Set};
use self::jobs::{JOBS, Job};
use self::limits::Bench;
use self::room::Room;
use super::{parse_size, signals};
use crate::{Engine, Error, Result};

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
    /// Frames of each set that is made; a table for each number
    #[arg(
        long,
        value_name = "N,...",
        default_value = "20",
        value_delimiter = ',',
        value_parser = clap::value_parser!(u16).range(1..=9999)
    )]
    frames: Vec<u16>,
    /// Pixels of a side
    #[arg(long, default_value_t = 2048, value_parser = clap::value_parser!(u16).range(1..=32768))]
    size: u16,
    /// Only these jobs [default: all]
    #[arg(long, value_name = "JOB,...", value_delimiter = ',', value_parser = jobs())]
    jobs: Vec<&'static Job>,
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
    /// Draw the fractions of the limit as bars, in a file that ends in .svg
    #[arg(long, value_name = "FILE.svg", value_parser = svg)]
    plot: Option<PathBuf>,
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

fn jobs() -> impl TypedValueParser<Value = &'static Job> {
    let named = |name: String| JOBS.iter().find(|j| j.name == name).ok_or("no such job");
    PossibleValuesParser::new(JOBS.map(|j| j.name)).try_map(named)
}

fn svg(text: &str) -> std::result::Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("svg")) {
        Ok(path)
    } else {
        Err("plots are SVG: the name must end in .svg".into())
    }
}

/// An engine, and what the table says of it.
struct Contender {
    engine: Engine,
    /// Its adapter is software.
    software: bool,
}

/// All that was measured.
struct Results {
    contenders: Vec<Contender>,
    /// Why there is no GPU among them, if it was asked for.
    absent: Option<String>,
    threads: usize,
    chapters: Vec<Chapter>,
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
    let folder = temporary(&parent)?;
    let jobs: Vec<&'static Job> =
        JOBS.iter().filter(|j| args.jobs.is_empty() || args.jobs.iter().any(|chosen| chosen.name == j.name)).collect();
    let plans = plans(args, &jobs);
    if plans.is_empty() {
        return Err(Error::Parameter("none of these jobs is for given files".into()));
    }
    let bench = Bench::new(threads, folder.path())?;
    let threads = bench.threads().current_num_threads();
    let mut results = Results { contenders, absent, threads, chapters: Vec::new() };
    results.print_machine()?;
    for plan in plans {
        let own = temporary(folder.path())?;
        let mut chapter = plan.chapter(args, own.path(), &stop)?;
        let means =
            Means { bench: &bench, contenders: &results.contenders, jobs: &jobs, memory: args.memory, stop: &stop };
        args.say("warming up");
        chapter.warm_up(&means)?;
        if chapter.jobs.is_empty() {
            return Err(Error::Parameter("none of these jobs is for these frames: they have no variance".into()));
        }
        for round in 1..=args.rounds {
            args.say(&format!("round {round} of {}", args.rounds));
            chapter.round(&means)?;
        }
        results.print(&chapter)?;
        results.chapters.push(chapter);
        // After each, so that the last may be interrupted.
        results.save(args)?;
    }
    Ok(())
}

fn temporary(parent: &Path) -> Result<tempfile::TempDir> {
    let builder = tempfile::Builder::new().prefix("ndastro-bench").tempdir_in(parent);
    builder.map_err(Error::io(parent, "cannot make a temporary folder"))
}

/// What a chapter will be of.
struct Plan {
    kinds: Vec<Kind>,
    frames: usize,
}

/// The chapters that these jobs need.
fn plans(args: &Args, jobs: &[&Job]) -> Vec<Plan> {
    let needed = |kinds: &[Kind]| -> Vec<Kind> {
        kinds.iter().copied().filter(|kind| jobs.iter().any(|j| j.kinds.contains(kind))).collect()
    };
    let mut plans = Vec::new();
    if !args.files.is_empty() {
        plans.push(Plan { kinds: needed(&[Kind::Files]), frames: args.files.len() });
    } else {
        plans.push(Plan { kinds: needed(&Kind::THREE), frames: 3 });
        plans.extend(args.frames.iter().map(|&n| Plan { kinds: needed(&Kind::FRAMES), frames: usize::from(n) }));
    }
    plans.retain(|p| !p.kinds.is_empty());
    plans
}

impl Plan {
    /// The chapter with its sets made, and nothing measured.
    fn chapter(&self, args: &Args, folder: &Path, stop: &AtomicBool) -> Result<Chapter> {
        let (sets, title, note);
        if args.files.is_empty() {
            let (frames, size) = (self.frames, usize::from(args.size));
            let rows;
            (rows, note) = Room::of(folder).rows(&self.kinds, frames, size);
            let what = if self.kinds.iter().any(|k| Kind::THREE.contains(k)) { "operands" } else { "frames" };
            title = format!("{frames} {what} of {rows} x {size}");
            args.say(&format!("making {title} in {}", folder.display()));
            let make = |&kind| data::make(kind, folder, frames, (rows, size), stop);
            sets = self.kinds.iter().map(make).collect::<Result<_>>()?;
        } else {
            (title, note) = ("given files".into(), None);
            sets = vec![Set::new(Kind::Files, args.files.clone())?];
        }
        let notes = note.into_iter().collect();
        Ok(Chapter { title, frames: self.frames, sets, notes, limits: Vec::new(), jobs: Vec::new() })
    }
}

impl Results {
    /// Writes what was asked for, of the chapters so far.
    fn save(&self, args: &Args) -> Result<()> {
        if let Some(path) = &args.json {
            let text = format!("{:#}\n", self.to_json());
            std::fs::write(path, text).map_err(Error::io(path, "cannot write the times"))?;
        }
        if let Some(path) = &args.plot {
            std::fs::write(path, self.to_svg()).map_err(Error::io(path, "cannot write the plot"))?;
        }
        Ok(())
    }

    /// Of an engine with the first, over all jobs; `None` of the first.
    fn agreement(&self, engine: usize) -> Option<Agreement> {
        agreement(&self.chapters, engine)
    }
}

/// The same over some chapters.
fn agreement(chapters: &[Chapter], engine: usize) -> Option<Agreement> {
    let rows = chapters.iter().flat_map(|c| &c.jobs).filter(|row| row.engine == Some(engine));
    rows.filter_map(|row| row.agreement).reduce(|mut all, one| {
        all.merge(one);
        all
    })
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
    let contender = |engine: Engine| Contender { software: is_software(&engine), engine };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    fn parsed(args: &[&str]) -> std::result::Result<Args, String> {
        let all = ["ndastro-bench"].iter().chain(args);
        Args::try_parse_from(all).map_err(|e| e.to_string())
    }

    #[test]
    fn lists_are_taken_apart() {
        let args = parsed(&["--frames", "5,20", "--jobs", "mean,wtmean"]).unwrap();
        assert_eq!(args.frames, [5, 20]);
        assert_eq!(args.jobs.iter().map(|j| j.name).collect::<Vec<_>>(), ["mean", "wtmean"]);
        assert_eq!(parsed(&[]).unwrap().frames, [20]);
        for wrong in [["--frames", "5,0"], ["--frames", "5,"], ["--jobs", "mode"]] {
            assert!(parsed(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_plot_is_svg() {
        assert!(parsed(&["--plot", "a.SVG"]).is_ok());
        let said = parsed(&["--plot", "a.png"]).err().unwrap();
        assert!(said.contains(".svg"), "{said}");
    }

    #[test]
    fn only_sets_that_are_needed_are_planned() {
        let plan = |args: &[&str]| -> Vec<(Vec<Kind>, usize)> {
            let args = parsed(args).unwrap();
            let jobs = if args.jobs.is_empty() { JOBS.iter().collect() } else { args.jobs.clone() };
            plans(&args, &jobs).into_iter().map(|p| (p.kinds, p.frames)).collect()
        };
        let frames = |n| (Kind::FRAMES.to_vec(), n);
        assert_eq!(plan(&["--frames", "5,7"]), [(Kind::THREE.to_vec(), 3), frames(5), frames(7)]);
        assert_eq!(plan(&["--jobs", "calc"]), [(vec![Kind::Operands], 3)]);
        assert_eq!(plan(&["--jobs", "wtmean"]), [(vec![Kind::Mef], 20)]);
        assert_eq!(plan(&["--files", "a", "b"]), [(vec![Kind::Files], 2)]);
        assert_eq!(plan(&["--files", "a", "--jobs", "calc"]), []);
    }
}
