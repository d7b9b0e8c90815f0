//! The jobs: one entry of [`JOBS`] each. Every job runs on every set that it is for, and on every engine.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use super::data::{Kind, Set, array_bytes};
use crate::{AstroData, Calculation, Clip, Combine, Engine, Error, Expr, Reject, Result, Stack, Stats};

/// What a job gets.
pub(super) struct Task<'a> {
    pub engine: &'a Engine,
    /// Threads of jobs that need no engine.
    pub pool: &'a rayon::ThreadPool,
    pub set: &'a Set,
    /// For the output of jobs that write one.
    pub out: &'a Path,
    pub memory: u64,
    pub stop: &'a Arc<AtomicBool>,
}

/// What a job made; its memory is given back after the clock has stopped.
pub(super) struct Made {
    pub stats: Stats,
    /// Bytes of arrays in memory that it cannot but read or write: operands that are there already, what is decoded.
    pub arrays: u64,
    pub product: Product,
}

/// Where the result is.
pub(super) enum Product {
    /// In the file.
    File,
    Memory(AstroData),
    /// The frames themselves, loaded; there is nothing to compare.
    Frames {
        #[expect(dead_code, reason = "kept until the clock has stopped")]
        loaded: Vec<AstroData>,
    },
}

/// A whole job, from opening the files on.
pub(super) struct Job {
    /// As `--jobs` has it.
    pub name: &'static str,
    /// As the table has it.
    pub about: &'static str,
    /// The sets it is for.
    pub kinds: &'static [Kind],
    /// Frames must have a variance.
    pub variance: bool,
    /// Whether an engine computes it; else it runs once, on threads.
    pub engine: bool,
    pub run: fn(&Task<'_>) -> Result<Made>,
}

impl Job {
    pub(super) fn is_for(&self, set: &Set) -> bool {
        self.kinds.contains(&set.kind) && (set.variance || !self.variance)
    }
}

/// Sets that can be stacked.
const STACKED: &[Kind] = &[Kind::Mef, Kind::Raw, Kind::Rice, Kind::Files];
/// Those without the packed one, which is there to be unpacked.
const PLAIN: &[Kind] = &[Kind::Mef, Kind::Raw, Kind::Files];
/// Those that may have a variance.
const WITH_VARIANCE: &[Kind] = &[Kind::Mef, Kind::Files];

/// All jobs, in the order of the table.
pub(super) const JOBS: [Job; 10] = [
    Job {
        name: "arithmetic",
        about: "a * b + c in memory",
        kinds: &[Kind::Arrays],
        variance: false,
        engine: true,
        run: |t| arithmetic(t, None),
    },
    Job {
        name: "arithmetic-into",
        about: "a * b + c into an earlier result",
        kinds: &[Kind::Arrays],
        variance: false,
        engine: true,
        run: arithmetic_into,
    },
    Job {
        name: "calc",
        about: "(raw - bias) / flat to file",
        kinds: &[Kind::Operands],
        variance: false,
        engine: true,
        run: calc,
    },
    Job { name: "decode", about: "decode to memory", kinds: PLAIN, variance: false, engine: false, run: decode },
    stack_job("mean", "stack mean to file", STACKED, |t| to_file(t, Combine::Mean, Reject::None)),
    stack_job("mean-memory", "stack mean to memory", STACKED, |t| to_memory(t, Combine::Mean, Reject::None)),
    stack_job("median", "stack median to file", PLAIN, |t| to_file(t, Combine::Median, Reject::None)),
    stack_job("sigclip", "stack sigclip to file", PLAIN, |t| {
        to_file(t, Combine::Mean, Reject::SigClip(Clip::default()))
    }),
    Job {
        variance: true,
        ..stack_job("varclip", "stack varclip to file", WITH_VARIANCE, |t| {
            to_file(t, Combine::Mean, Reject::VarClip(Clip::default()))
        })
    },
    Job {
        variance: true,
        ..stack_job("wtmean", "stack wtmean to file", WITH_VARIANCE, |t| to_file(t, Combine::WtMean, Reject::None))
    },
];

const fn stack_job(
    name: &'static str,
    about: &'static str,
    kinds: &'static [Kind],
    run: fn(&Task<'_>) -> Result<Made>,
) -> Job {
    Job { name, about, kinds, variance: false, engine: true, run }
}

fn stack(task: &Task<'_>, combine: Combine, reject: Reject) -> Result<Stack> {
    let stack = Stack::files(&task.set.paths)?.combine(combine).reject(reject);
    Ok(stack.memory(task.memory).cancel(task.stop.clone()))
}

fn to_file(task: &Task<'_>, combine: Combine, reject: Reject) -> Result<Made> {
    let stats = stack(task, combine, reject)?.write(task.engine, task.out, true)?;
    Ok(Made { stats, arrays: 0, product: Product::File })
}

fn to_memory(task: &Task<'_>, combine: Combine, reject: Reject) -> Result<Made> {
    let (result, stats) = stack(task, combine, reject)?.eval(task.engine)?;
    Ok(Made { stats, arrays: 0, product: Product::Memory(result) })
}

/// The data of all frames, one after the other, each by all threads.
fn decode(task: &Task<'_>) -> Result<Made> {
    let (mut stats, mut arrays) = (Stats::default(), 0);
    let mut loaded = Vec::new();
    for path in &task.set.paths {
        if task.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let file = AstroData::open(path)?;
        for nd in &file {
            arrays += task.pool.install(|| nd.data())?.as_bytes().len() as u64;
        }
        stats.bytes_read += file.file().map_or(0, |f| f.bytes_read());
        loaded.push(file);
    }
    Ok(Made { stats, arrays, product: Product::Frames { loaded } })
}

/// Into arrays that are there, or into new ones.
fn arithmetic(task: &Task<'_>, earlier: Option<AstroData>) -> Result<Made> {
    let [a, b, c] = operands(&task.set.arrays)?.map(Expr::from);
    let calculation = Calculation::of(vec![a * b + c]).memory(task.memory).cancel(task.stop.clone());
    let (result, stats) = match earlier {
        None => calculation.eval(task.engine)?,
        Some(earlier) => calculation.eval_into(task.engine, earlier)?,
    };
    let mut arrays = task.set.bytes;
    for nd in &result {
        arrays += array_bytes(nd)?;
    }
    Ok(Made { stats, arrays, product: Product::Memory(result) })
}

/// Over what the last round made, which nobody else has any more.
fn arithmetic_into(task: &Task<'_>) -> Result<Made> {
    let mut earlier = task.set.earlier.lock().unwrap_or_else(PoisonError::into_inner);
    let made = arithmetic(task, earlier.take())?;
    if let Product::Memory(result) = &made.product {
        *earlier = Some(result.clone());
    }
    Ok(made)
}

fn calc(task: &Task<'_>) -> Result<Made> {
    let files = task.set.paths.iter().map(AstroData::open).collect::<Result<Vec<_>>>()?;
    let [raw, bias, flat] = operands(&files)?.map(|file| Expr::from(&file[0]));
    let calculation = Calculation::of(vec![(raw - bias) / flat]).files(files.iter().filter_map(|f| f.file().cloned()));
    let stats = calculation.memory(task.memory).cancel(task.stop.clone()).write(task.engine, task.out, true)?;
    Ok(Made { stats, arrays: 0, product: Product::File })
}

fn operands<T>(all: &[T]) -> Result<[&T; 3]> {
    match all {
        [a, b, c] => Ok([a, b, c]),
        _ => Err(Error::Parameter(format!("{} operands, 3 expected", all.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_for_the_command_line() {
        for (i, job) in JOBS.iter().enumerate() {
            assert!(job.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", job.name);
            assert!(JOBS[..i].iter().all(|other| other.name != job.name), "{} twice", job.name);
        }
    }
}
