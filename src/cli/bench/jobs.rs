//! The jobs: one entry of [`JOBS`] each. Every job runs on every set and every engine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::data::Set;
use crate::{AstroData, Combine, Engine, Result, Stack, Stats};

/// What a job gets.
pub(super) struct Task<'a> {
    pub engine: &'a Engine,
    pub set: &'a Set,
    /// For the output of jobs that write one.
    pub out: &'a Path,
    pub memory: u64,
    pub stop: &'a Arc<AtomicBool>,
}

/// What a job made; its memory is given back after the clock has stopped.
pub(super) struct Made {
    pub stats: Stats,
    /// `None` if it is in the file.
    pub result: Option<AstroData>,
}

/// A whole job, from opening the files on.
pub(super) struct Job {
    pub name: &'static str,
    pub run: fn(&Task<'_>) -> Result<Made>,
}

/// All jobs, in the order of the table.
pub(super) const JOBS: [Job; 2] = [
    Job { name: "stack mean to file", run: |t| to_file(t, Combine::Mean) },
    Job { name: "stack mean to memory", run: |t| to_memory(t, Combine::Mean) },
];

fn stack(task: &Task<'_>, combine: Combine) -> Result<Stack> {
    Ok(Stack::files(&task.set.paths)?.combine(combine).memory(task.memory).cancel(task.stop.clone()))
}

fn to_file(task: &Task<'_>, combine: Combine) -> Result<Made> {
    let stats = stack(task, combine)?.write(task.engine, task.out, true)?;
    Ok(Made { stats, result: None })
}

fn to_memory(task: &Task<'_>, combine: Combine) -> Result<Made> {
    let (result, stats) = stack(task, combine)?.eval(task.engine)?;
    Ok(Made { stats, result: Some(result) })
}
