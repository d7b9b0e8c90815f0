//! A mapped file: its bytes, who it was when it was opened, and how much of it was handed out.
//!
//! The file's device, inode, size and modification time are taken at opening and compared again by [`Mapping::check`]
//! before and after each tile, so a file that is truncated, rewritten or replaced under a run ends that run with an
//! error instead of a mixture of old and new pixels. The descriptor is closed once the mapping stands: ten thousand
//! files fit under a limit of 1,024 open ones. A file that is packed as a whole (gzip, bzip2, compress) is unpacked to a
//! temporary file, and that is mapped. Where mapping is not wanted (network file systems), a descriptor is opened for each
//! read, and what it leads to compared with what was opened first.

use std::borrow::Cow;
use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::guard::Guard;
use super::inflate::{self, Failure, Limits, Packing};
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
    /// `None` for what has no file to be compared with.
    identity: Option<Identity>,
    bytes: Bytes,
    /// Open while headers are scanned: read through the mapping, each would bring its neighbourhood into memory.
    file: Option<File>,
    packing: Option<Packing>,
    headers: AtomicU64,
    pixels: AtomicU64,
}

enum Bytes {
    Mapped {
        /// Goes before the mapping does.
        guard: Guard,
        map: memmap2::Mmap,
    },
    Memory(Vec<u8>),
    /// Not mapped: read by a descriptor that is opened anew each time.
    Unmapped(u64),
}

/// Hands out bytes of a file, for as long as one read takes.
pub(crate) struct Reader<'a> {
    map: &'a Mapping,
    file: Option<File>,
}

impl<'a> Reader<'a> {
    /// Bytes `start..end`, which lie in the file.
    ///
    /// # Errors
    /// They cannot be read; the file became shorter.
    pub(crate) fn get(&self, start: u64, end: u64) -> Result<Cow<'a, [u8]>> {
        if self.file.is_none() {
            return Ok(Cow::Borrowed(self.map.bytes(start, end)));
        }
        let mut bytes = vec![0; (end - start) as usize];
        self.read(start, &mut bytes)?;
        Ok(Cow::Owned(bytes))
    }

    /// The same, to `out`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) fn read(&self, start: u64, out: &mut [u8]) -> Result<()> {
        let Some(file) = &self.file else {
            out.copy_from_slice(self.map.bytes(start, start + out.len() as u64));
            return Ok(());
        };
        match file.read_exact_at(out, start) {
            Ok(()) => Ok(()),
            Err(e) => {
                self.map.check()?;
                Err(Error::io(&self.map.path, "cannot read")(e))
            }
        }
    }
}

impl Mapping {
    /// Maps a regular file, or what it unpacks to. The name is a plain name: no character in it has a meaning.
    pub(crate) fn open(path: &Path, options: &super::OpenOptions) -> Result<Self> {
        let file = open_plain(path)?;
        let meta = file.metadata().map_err(Error::io(path, "cannot stat"))?;
        if !meta.is_file() {
            let what = if meta.is_dir() { "it is a directory" } else { "it is not a regular file" };
            return Err(Error::NotFits { path: path.to_path_buf(), reason: what.into() });
        }
        let mut first = [0; 4];
        let packing = match file.read_exact_at(&mut first, 0) {
            Ok(()) => inflate::sniff(&first),
            // Too short for anything; what it is instead the scan says.
            Err(_) => None,
        };
        let (bytes, file) = match packing {
            Some(packing) => unpacked(&file, meta.len(), packing, options.max_inflate, path)?,
            None if options.no_mmap => (Bytes::Unmapped(meta.len()), file),
            None => (Bytes::map(&file, meta.len(), path)?, file),
        };
        Ok(Mapping { packing, file: Some(file), ..Self::new(path, Some(Identity::of(&meta)), bytes) })
    }

    fn new(path: &Path, identity: Option<Identity>, bytes: Bytes) -> Self {
        let (headers, pixels) = (AtomicU64::new(0), AtomicU64::new(0));
        Mapping { path: path.to_path_buf(), identity, bytes, file: None, packing: None, headers, pixels }
    }

    /// A file that is in memory; `path` is for messages.
    pub(crate) fn of_bytes(bytes: Vec<u8>, path: &Path) -> Self {
        Self::new(path, None, Bytes::Memory(bytes))
    }

    /// A temporary file that nobody else sees; `path` is that of the file that it was made from, for messages.
    pub(crate) fn of_temporary(file: &File, path: &Path) -> Result<Self> {
        let len = file.metadata().map_err(Error::io(path, "cannot stat what was unpacked"))?.len();
        Ok(Self::new(path, None, Bytes::map(file, len, path)?))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes; of a packed file those that it unpacks to.
    pub(crate) fn len(&self) -> u64 {
        match &self.bytes {
            Bytes::Mapped { map, .. } => map.len() as u64,
            Bytes::Memory(bytes) => bytes.len() as u64,
            Bytes::Unmapped(len) => *len,
        }
    }

    /// Whether [`bytes`](Self::bytes) has them.
    pub(crate) fn is_mapped(&self) -> bool {
        !matches!(self.bytes, Bytes::Unmapped(_))
    }

    /// How the whole file is packed, if it is.
    pub(crate) fn packing(&self) -> Option<Packing> {
        self.packing
    }

    /// Bytes `start..end`; the caller has checked them against [`len`](Self::len) and [`is_mapped`](Self::is_mapped), and
    /// counts what it reads.
    pub(crate) fn bytes(&self, start: u64, end: u64) -> &[u8] {
        let all = match &self.bytes {
            Bytes::Mapped { map, .. } => &map[..],
            Bytes::Memory(bytes) => bytes,
            Bytes::Unmapped(_) => return &[],
        };
        &all[start as usize..end as usize]
    }

    /// For one read, of whatever kind the file is.
    ///
    /// # Errors
    /// The file is not what it was when it was opened.
    pub(crate) fn reader(&self) -> Result<Reader<'_>> {
        if self.is_mapped() {
            return Ok(Reader { map: self, file: None });
        }
        let file = open_plain(&self.path)?;
        let meta = file.metadata().map_err(Error::io(&self.path, "cannot stat"))?;
        if self.identity == Some(Identity::of(&meta)) {
            return Ok(Reader { map: self, file: Some(file) });
        }
        self.check()?;
        Err(Error::Changed { path: self.path.clone(), what: "another file has its name".into() })
    }

    /// For those who scan headers, while the file is open.
    pub(crate) fn scanner(&self) -> Result<Reader<'_>> {
        match self.file.as_ref().map(File::try_clone) {
            None => self.reader(),
            Some(Ok(file)) => Ok(Reader { map: self, file: Some(file) }),
            Some(Err(e)) => Err(Error::io(&self.path, "cannot read")(e)),
        }
    }

    /// Headers were scanned.
    pub(crate) fn close(&mut self) {
        self.file = None;
    }

    /// Tells the system that these bytes come next.
    pub(crate) fn will_need(&self, start: u64, end: u64) {
        if let Bytes::Mapped { map, .. } = &self.bytes {
            // Advice may be refused; nothing depends on it.
            let _ = map.advise_range(memmap2::Advice::WillNeed, start as usize, (end - start) as usize);
        }
    }

    /// Whether the page of this byte is in memory, as far as the system says.
    pub(crate) fn is_in_memory(&self, at: u64) -> bool {
        let Bytes::Mapped { map, .. } = &self.bytes else { return matches!(self.bytes, Bytes::Memory(_)) };
        if at >= map.len() as u64 {
            return false;
        }
        crate::memory::is_resident(&map[at as usize])
    }

    /// Tells the system to read nothing but what it is told of, or asked for.
    pub(crate) fn nothing_around(&self) {
        if let Bytes::Mapped { map, .. } = &self.bytes {
            // Advice may be refused; nothing depends on it.
            let _ = map.advise(memmap2::Advice::Random);
        }
    }

    /// Tells the system that these bytes were read and are not wanted again soon: this process lets go of their pages,
    /// which stay in the system's cache.
    pub(crate) fn done_with(&self, start: u64, end: u64) {
        const PAGE: u64 = 4 << 10;
        const LARGE: u64 = 2 << 20;
        let Bytes::Mapped { map, .. } = &self.bytes else { return };
        // Whole large pages, the one that was read to its end with this as well: one that is let go in part is taken apart,
        // for which all threads stop. At the end of the file there is none.
        let whole = if map.len() as u64 - end / LARGE * LARGE < LARGE { PAGE } else { LARGE };
        let (first, last) = (start / LARGE * LARGE, end / whole * whole);
        if first < last {
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
        if matches!(&self.bytes, Bytes::Mapped { guard, .. } if guard.is_broken()) {
            return changed("a page of it cannot be read any more");
        }
        let Some(identity) = self.identity else { return Ok(()) };
        match std::fs::metadata(&self.path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => changed("it is gone"),
            Err(e) => Err(Error::io(&self.path, "cannot stat")(e)),
            Ok(meta) => {
                let now = Identity::of(&meta);
                if now == identity {
                    Ok(())
                } else if (now.dev, now.ino) != (identity.dev, identity.ino) {
                    changed("another file has its name")
                } else if now.size != identity.size {
                    changed(&format!("{} bytes when opened, {} now", identity.size, now.size))
                } else {
                    changed("it was written to")
                }
            }
        }
    }

    /// Device and inode; of what has no file, its place in memory.
    pub(crate) fn identity(&self) -> (u64, u64) {
        self.identity.map_or_else(|| (u64::MAX, std::ptr::from_ref(self) as u64), |i| (i.dev, i.ino))
    }

    /// Whether `meta` is of this very file.
    pub(crate) fn is_file(&self, meta: &Metadata) -> bool {
        self.identity.is_some_and(|i| (meta.dev(), meta.ino()) == (i.dev, i.ino))
    }
}

fn open_plain(path: &Path) -> Result<File> {
    // Without O_NONBLOCK the opening of a FIFO would wait for a writer.
    let options = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path);
    options.map_err(Error::io(path, "cannot open"))
}

impl Bytes {
    fn map(file: &File, len: u64, path: &Path) -> Result<Self> {
        if len == 0 {
            return Ok(Bytes::Memory(Vec::new()));
        }
        // SAFETY: the mapping is read-only and private to this type, which hands out `&[u8]` alone. Another process
        // may still change the file under it: what is read then is any byte, never an address or a length, since
        // headers are copied before they are parsed; and `check` refuses the result. A page that is gone reads as
        // zeros: see `guard`.
        let map = unsafe { memmap2::MmapOptions::new().map(file) };
        let map = map.map_err(Error::io(path, "cannot map"))?;
        Ok(Bytes::Mapped { guard: Guard::new(map.as_ptr(), map.len()), map })
    }
}

/// What a packed file holds, in an unlinked temporary file.
fn unpacked(file: &File, len: u64, packing: Packing, max: Option<u64>, path: &Path) -> Result<(Bytes, File)> {
    let limit = max.unwrap_or_else(|| Limits::default().of(len));
    let folder = std::env::temp_dir();
    let not = |reason: String| Error::NotFits { path: path.to_path_buf(), reason };
    match inflate::unpack(file, packing, limit, &folder) {
        Ok((file, len)) => Ok((Bytes::map(&file, len, path)?, file)),
        Err(Failure::Io(e)) => Err(Error::io(path, "cannot read")(e)),
        Err(Failure::Temporary(e)) => Err(Error::io(&folder, "cannot unpack to a temporary file")(e)),
        Err(Failure::Damaged(what)) => Err(not(format!("it is packed, and damaged: {what}"))),
        Err(Failure::TooLarge { limit }) => {
            let what =
                format!("it is packed, and unpacks to more than {limit} bytes; raise --max-inflate if that is right");
            Err(not(what))
        }
        Err(Failure::Unsupported) => Err(not("it is a zip archive; unpack it first".into())),
    }
}
