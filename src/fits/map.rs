//! A mapped file: its bytes, who it was when it was opened, and how much of it was handed out.
//!
//! The file's device, inode, size and modification time are taken at opening and compared again by [`Mapping::check`]
//! before and after each tile, so a file that is truncated, rewritten or replaced under a run ends that run with an
//! error instead of a mixture of old and new pixels. The descriptor is closed once the mapping stands: ten thousand
//! files fit under a limit of 1,024 open ones.

use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::guard::Guard;
use crate::{Error, Result};

/// What must stay the same while a file is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    dev: u64,
    ino: u64,
    size: u64,
    mtime: (i64, i64),
}

impl Identity {
    fn of(m: &Metadata) -> Self {
        Identity { dev: m.dev(), ino: m.ino(), size: m.len(), mtime: (m.mtime(), m.mtime_nsec()) }
    }
}

/// The bytes of a file, read when touched.
pub(crate) struct Mapping {
    path: PathBuf,
    identity: Identity,
    /// Goes before the mapping does.
    guard: Option<Guard>,
    map: Option<memmap2::Mmap>,
    headers: AtomicU64,
    pixels: AtomicU64,
}

impl Mapping {
    /// Maps a regular file. The name is a plain name: no character in it has a meaning.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        // Without O_NONBLOCK the opening of a FIFO would wait for a writer.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(path)
            .map_err(Error::io(path, "cannot open"))?;
        let meta = file.metadata().map_err(Error::io(path, "cannot stat"))?;
        if !meta.is_file() {
            let what = if meta.is_dir() { "it is a directory" } else { "it is not a regular file" };
            return Err(Error::NotFits { path: path.to_path_buf(), reason: what.into() });
        }
        let map = Self::map(&file, meta.len(), path)?;
        Ok(Mapping {
            path: path.to_path_buf(),
            identity: Identity::of(&meta),
            guard: map.as_ref().map(|m| Guard::new(m.as_ptr(), m.len())),
            map,
            headers: AtomicU64::new(0),
            pixels: AtomicU64::new(0),
        })
    }

    fn map(file: &File, len: u64, path: &Path) -> Result<Option<memmap2::Mmap>> {
        if len == 0 {
            return Ok(None);
        }
        // SAFETY: the mapping is read-only and private to this type, which hands out `&[u8]` alone. Another process
        // may still change the file under it: what is read then is any byte, never an address or a length, since
        // headers are copied before they are parsed; and `check` refuses the result. A page that is gone reads as
        // zeros: see `guard`.
        let map = unsafe { memmap2::MmapOptions::new().map(file) };
        map.map(Some).map_err(Error::io(path, "cannot map"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> u64 {
        self.identity.size
    }

    /// Bytes `start..end`; the caller has checked them against [`len`](Self::len), and counts what it reads.
    pub(crate) fn bytes(&self, start: u64, end: u64) -> &[u8] {
        match &self.map {
            Some(map) => &map[start as usize..end as usize],
            None => &[],
        }
    }

    /// Tells the system that these bytes come next.
    pub(crate) fn will_need(&self, start: u64, end: u64) {
        if let Some(map) = &self.map {
            // Advice may be refused; nothing depends on it.
            let _ = map.advise_range(memmap2::Advice::WillNeed, start as usize, (end - start) as usize);
        }
    }

    /// Tells the system that these bytes were read and are not wanted again soon: this process lets go of their pages,
    /// which stay in the system's cache.
    pub(crate) fn done_with(&self, start: u64, end: u64) {
        const PAGE: u64 = 4096;
        let (first, last) = (start.next_multiple_of(PAGE), end / PAGE * PAGE);
        if let Some(map) = self.map.as_ref().filter(|_| first < last) {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: a shared, read-only mapping of a file: the pages are read from the file again when touched.
            // Advice may be refused; nothing depends on it.
            let _ = unsafe { map.unchecked_advise_range(advice, first as usize, (last - first) as usize) };
        }
    }

    /// Counts bytes of a header as read.
    pub(crate) fn count_header(&self, bytes: u64) {
        self.headers.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes of pixels as read.
    pub(crate) fn count(&self, bytes: u64) {
        self.pixels.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of headers and of pixels read so far.
    pub(crate) fn bytes_read(&self) -> (u64, u64) {
        (self.headers.load(Ordering::Relaxed), self.pixels.load(Ordering::Relaxed))
    }

    /// Whether the file is still the one that was opened.
    pub(crate) fn check(&self) -> Result<()> {
        let changed = |what: &str| Err(Error::Changed { path: self.path.clone(), what: what.into() });
        if self.guard.as_ref().is_some_and(Guard::is_broken) {
            return changed("a page of it cannot be read any more");
        }
        match std::fs::metadata(&self.path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => changed("it is gone"),
            Err(e) => Err(Error::io(&self.path, "cannot stat")(e)),
            Ok(meta) => {
                let now = Identity::of(&meta);
                if now == self.identity {
                    Ok(())
                } else if (now.dev, now.ino) != (self.identity.dev, self.identity.ino) {
                    changed("another file has its name")
                } else if now.size != self.identity.size {
                    changed(&format!("{} bytes when opened, {} now", self.identity.size, now.size))
                } else {
                    changed("it was written to")
                }
            }
        }
    }

    /// Whether `meta` is of this very file.
    pub(crate) fn is_file(&self, meta: &Metadata) -> bool {
        (meta.dev(), meta.ino()) == (self.identity.dev, self.identity.ino)
    }
}
