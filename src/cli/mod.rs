//! The command line: one file a verb.
//!
//! Results on standard output, everything else on standard error. Exit codes: 0 done; 1 the input or the job failed,
//! with one message and nothing written; 2 bad usage; 130 and 143 interrupted by SIGINT and SIGTERM.

pub mod bench;
mod calc;
mod calibrate;
mod copy;
mod demo;
mod engines;
mod explain;
mod header;
mod info;
mod input;
mod merge;
mod night;
mod preview;
mod progress;
mod signals;
mod stack;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::error::show;
use crate::fits::{check_target, folder_of};
use crate::{DEFAULT_MEMORY, Engine, Error, Result, Stats};

#[derive(Parser)]
#[command(
    name = "ndastro",
    version,
    about = "Astronomical frames with variance and mask: stacked, lazily, on GPU and CPU"
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Combine frames into one, with variance and mask
    Stack(stack::StackArgs),
    /// Join the bands that `stack --tile` wrote
    Merge(merge::MergeArgs),
    /// Say why a stack has what it has at a pixel, sample by sample
    Explain(explain::ExplainArgs),
    /// Compute an expression over files, with units, variance and mask
    Calc(calc::CalcArgs),
    /// Extensions, shapes, types, planes, units; no pixel is read without --hash
    Info(info::InfoArgs),
    /// Read a file and write it again: to unpack it, to tile-compress it
    Copy(copy::CopyArgs),
    /// Print the cards of a file, or change some and leave all else as it is
    Header(header::HeaderArgs),
    /// Adapters and their limits, and which engine `auto` takes
    Engines(Common),
    /// Make a small realistic night, stack it, write FITS and a picture
    Demo(demo::DemoArgs),
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EngineChoice {
    /// A hardware adapter if there is one, else the CPU
    Auto,
    /// Threads and SIMD
    Cpu,
    /// An adapter, software ones included; an error if there is none
    Gpu,
}

/// Options of every verb.
#[derive(Args, Clone)]
struct Common {
    /// What computes
    #[arg(long, value_enum, default_value = "auto")]
    engine: EngineChoice,
    /// Adapter whose name contains this
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Threads; 0 is all
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Host memory for buffers, e.g. 512MiB
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_size)]
    memory: u64,
    /// Replace an output that exists
    #[arg(long)]
    overwrite: bool,
    /// Say nothing but errors
    #[arg(long)]
    quiet: bool,
    /// Write counts and times as JSON
    #[arg(long, value_name = "FILE")]
    stats: Option<PathBuf>,
}

impl Common {
    fn engine(&self) -> Result<Engine> {
        match self.engine {
            EngineChoice::Cpu => Engine::cpu(self.threads),
            EngineChoice::Gpu => Engine::gpu(self.adapter.as_deref(), self.threads),
            // A name is a wish for that adapter.
            EngineChoice::Auto if self.adapter.is_some() => Engine::gpu(self.adapter.as_deref(), self.threads),
            EngineChoice::Auto => Engine::auto_with(self.threads),
        }
    }

    fn say(&self, line: &str) {
        say(self.quiet, line);
    }

    /// The stats file, if one was asked for: made before the work, so that a name that will not do ends the run at once.
    fn stats_file(&self, used: &[&Path]) -> Result<Option<StatsFile>> {
        self.stats.as_deref().map(|path| StatsFile::create(path, self.overwrite, used)).transpose()
    }

    /// Warnings and the stats file.
    fn report(&self, stats: &Stats, file: Option<StatsFile>) -> Result<()> {
        for warning in &stats.warnings {
            self.say(&format!("warning: {warning}"));
        }
        file.map_or(Ok(()), |f| f.finish(stats))
    }

    /// The same, and a line that says what was done.
    fn finish(&self, stats: &Stats, file: Option<StatsFile>, engine: &Engine, what: &str) -> Result<()> {
        self.report(stats, file)?;
        self.say(&format!(
            "{} {what}, {} pixels, {:.3} s ({:.2} GB/s of input) on {}",
            stats.frames,
            stats.pixels,
            stats.seconds,
            stats.bytes_read as f64 / stats.seconds.max(1e-9) / 1e9,
            engine.describe()
        ));
        Ok(())
    }
}

fn say(quiet: bool, line: &str) {
    if !quiet {
        // Standard error may be closed; that is no reason to fail.
        let _ = writeln!(io::stderr(), "{line}");
    }
}

/// Statistics to be written: a temporary file beside its target.
struct StatsFile {
    file: tempfile::NamedTempFile,
    target: PathBuf,
}

impl StatsFile {
    /// Replaces older statistics, and other files only with `overwrite`; never a file that the job reads or writes.
    fn create(target: &Path, overwrite: bool, used: &[&Path]) -> Result<Self> {
        let same = |other: &&Path| match (std::fs::canonicalize(target), std::fs::canonicalize(other)) {
            (Ok(a), Ok(b)) => a == b,
            _ => target == *other,
        };
        if used.iter().any(same) {
            return Err(Error::Parameter(format!("{}: --stats names a file of the job", show(target))));
        }
        // Statistics start as all JSON does.
        let mut first = [0];
        let ours = std::fs::File::open(target).and_then(|mut f| f.read_exact(&mut first)).is_ok() && first == *b"{";
        check_target(target, overwrite || ours)?;
        let file = tempfile::Builder::new()
            .prefix(".stats.tmp")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
            .tempfile_in(folder_of(target))
            .map_err(Error::io(target, "cannot write the stats"))?;
        Ok(StatsFile { file, target: target.to_path_buf() })
    }

    fn finish(self, stats: &Stats) -> Result<()> {
        self.write(&stats.to_json())
    }

    fn write(mut self, json: &serde_json::Value) -> Result<()> {
        let failed = Error::io(&self.target, "cannot write the stats");
        let written = writeln!(self.file, "{json:#}");
        written.and_then(|()| self.file.persist(&self.target).map(drop).map_err(|e| e.error)).map_err(failed)
    }
}

/// Bytes: a number with an optional B, KiB, MiB, GiB, TiB (or K, M, G, T; or decimal kB, MB, GB, TB).
fn parse_size(text: &str) -> std::result::Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number: f64 = text[..digits].parse().map_err(|_| format!("{text:?} is not a size like 512MiB"))?;
    let factor = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024f64.powi(2),
        "g" | "gib" => 1024f64.powi(3),
        "t" | "tib" => 1024f64.powi(4),
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        other => return Err(format!("unknown unit of size {other:?}; use KiB, MiB, GiB or TiB")),
    };
    let bytes = number * factor;
    if bytes >= 1.0 && bytes < 2f64.powi(62) { Ok(bytes as u64) } else { Err(format!("{text:?} is out of range")) }
}

/// A line of results. A reader that went away is no error.
fn print(line: &str) -> Result<()> {
    match writeln!(io::stdout(), "{line}") {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::io(std::path::Path::new("standard output"), "cannot write")(e))
        }
        _ => Ok(()),
    }
}

/// Mesa writes "error: XDG_RUNTIME_DIR is invalid" to standard error where that is not set, as on most servers.
fn quiet_mesa() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: called first of all, while this is the only thread.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", std::env::temp_dir()) };
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    signals::ignore_file_size_limit();
    quiet_mesa();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are results; errors go to standard error with exit code 2.
            let _ = e.print();
            return ExitCode::from(e.exit_code() as u8);
        }
    };
    let done = match cli.verb {
        Verb::Stack(args) => stack::run(&args),
        Verb::Merge(args) => merge::run(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Calc(args) => calc::run(&args),
        Verb::Info(args) => info::run(&args),
        Verb::Copy(args) => copy::run(&args),
        Verb::Header(args) => header::run(&args),
        Verb::Engines(common) => engines::run(&common),
        Verb::Demo(args) => demo::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let code = if matches!(e, Error::Interrupted) { signals::exit_code() } else { 1 };
            let _ = writeln!(io::stderr(), "ndastro: {e}");
            ExitCode::from(code)
        }
    }
}

const _: () = assert!(DEFAULT_MEMORY == 1 << 30, "the default of --memory says 1GiB");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("256MiB"), Ok(256 << 20));
        assert_eq!(parse_size("1.5g"), Ok(3 << 29));
        assert_eq!(parse_size("2 GB"), Ok(2_000_000_000));
        assert_eq!(parse_size("4096"), Ok(4096));
        for bad in ["", "MiB", "0", "1XB", "1e30T", "-5"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn usage_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
