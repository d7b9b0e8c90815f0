//! The limits: what the machine does at most, with nothing computed.
//!
//! * Read: all files of a set opened, mapped, summed as 8-byte words over all threads, and unmapped. The pages are in
//!   the page cache, so this is the speed of page faults and memory.
//! * Copy: 256 MiB to another place in memory, over all threads; bytes read and bytes written both count.
//! * Write: a new file of so many bytes, written from one thread and synced.
//! * Upload, readback: 128 MiB to an adapter's memory, and from there (`engine/gpu/limits.rs`).

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rayon::prelude::*;

use super::Contender;
use super::data::{Set, hash};
use crate::engine::Transfer;
use crate::{Error, Result};

/// Bytes of the buffer that is copied: more than any cache but a few servers' last level.
const COPY: usize = 256 << 20;
/// Bytes that go to an adapter or come back: a few tiles of a job.
const TRANSFER: u64 = 128 << 20;
/// Bytes that one thread takes at a time.
const PIECE: usize = 4 << 20;

/// A limit that can be measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// Of the set with this index.
    Read(usize),
    Copy,
    /// So many bytes.
    Write(u64),
    /// Of the contender with this index.
    Transfer(usize, Transfer),
}

/// The bench that limits are measured on: threads, buffers, a folder.
pub(super) struct Bench {
    pool: rayon::ThreadPool,
    folder: PathBuf,
    /// What is copied and written; noise, so that no file system can make it small.
    source: Vec<u64>,
}

impl Bench {
    /// With this many threads; 0 is all.
    pub(super) fn new(threads: usize, folder: &Path) -> Result<Self> {
        let source = (0..(COPY / 8) as u64).map(hash).collect();
        Ok(Bench { pool: crate::engine::pool(threads)?, folder: folder.to_path_buf(), source })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn threads(&self) -> &rayon::ThreadPool {
        &self.pool
    }
}

impl Limit {
    /// Measures once, in seconds.
    pub(super) fn run(self, bench: &Bench, sets: &[Set], contenders: &[Contender]) -> Result<f64> {
        match self {
            Limit::Read(set) => read(bench, &sets[set].paths),
            Limit::Copy => Ok(copy(bench)),
            Limit::Write(bytes) => write(bench, bytes),
            Limit::Transfer(engine, way) => {
                Ok(contenders[engine].engine.transfer_seconds(way, TRANSFER)?.unwrap_or(f64::NAN))
            }
        }
    }

    /// Bytes that one measurement moves.
    pub(super) fn bytes(self, sets: &[Set]) -> u64 {
        match self {
            Limit::Read(set) => sets[set].bytes,
            Limit::Copy => 2 * COPY as u64,
            Limit::Write(bytes) => bytes,
            Limit::Transfer(..) => TRANSFER,
        }
    }

    /// Whether this is the writing of a file of about so many bytes.
    pub(super) fn writes_about(self, bytes: u64) -> bool {
        matches!(self, Limit::Write(own) if own.abs_diff(bytes) <= own / 50)
    }
}

fn read(bench: &Bench, paths: &[PathBuf]) -> Result<f64> {
    let started = Instant::now();
    let sums: Result<Vec<u64>> = bench.pool.install(|| paths.par_iter().map(|path| sum_file(path)).collect());
    black_box(sums?);
    Ok(started.elapsed().as_secs_f64())
}

fn sum_file(path: &Path) -> Result<u64> {
    let file = File::open(path).map_err(Error::io(path, "cannot open"))?;
    // SAFETY: the mapping is read-only and ends with this function; any bytes are good for a sum. The files are ours,
    // or given for a benchmark by someone who does not shorten them meanwhile.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io(path, "cannot map"))?;
    Ok(map.par_chunks(PIECE).map(sum_words).reduce(|| 0, u64::wrapping_add))
}

/// Of the whole words; a rest of fewer than 8 bytes is left out.
fn sum_words(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().fold(0, |sum, word| sum.wrapping_add(u64::from_ne_bytes(*word)))
}

fn copy(bench: &Bench) -> f64 {
    // The first touch of its pages happens before the clock starts.
    let mut target = bench.source.clone();
    let started = Instant::now();
    bench.pool.install(|| {
        let pieces = target.par_chunks_mut(PIECE / 8).zip(bench.source.par_chunks(PIECE / 8));
        pieces.for_each(|(to, from)| to.copy_from_slice(from));
    });
    black_box(&target);
    started.elapsed().as_secs_f64()
}

fn write(bench: &Bench, bytes: u64) -> Result<f64> {
    let folder = &bench.folder;
    let failed = |what| Error::io(folder, what);
    let piece: &[u8] = bytemuck::cast_slice(&bench.source[..PIECE / 8]);
    let started = Instant::now();
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed("cannot make a file"))?;
    let mut left = bytes;
    while left > 0 {
        let n = left.min(PIECE as u64);
        file.write_all(&piece[..n as usize]).map_err(failed("cannot write"))?;
        left -= n;
    }
    file.as_file().sync_all().map_err(failed("cannot sync"))?;
    Ok(started.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_summed() {
        let bytes: Vec<u8> = [1u64, 2, u64::MAX].iter().flat_map(|w| w.to_ne_bytes()).chain([9; 7]).collect();
        assert_eq!(sum_words(&bytes), 2);
    }

    #[test]
    fn files_of_about_a_size_share_a_limit() {
        let limit = Limit::Write(288_000);
        assert!(limit.writes_about(288_000 + 2880) && limit.writes_about(288_000 - 2880));
        assert!(!limit.writes_about(300_000) && !Limit::Copy.writes_about(2 * COPY as u64));
    }
}
