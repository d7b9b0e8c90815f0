//! The output file: laid out whole before the first pixel, written in bands in any order, renamed into place when it
//! is complete.
//!
//! It is written to a temporary file beside its target (`.NAME.tmpXXXXXX`), space reserved at once, synced, and only
//! then renamed; the folder is synced too. Whatever fails before leaves an existing target untouched and removes the
//! temporary file; one that a killed run left is removed by the next run to the same target. Every HDU gets DATASUM and CHECKSUM. The mode is what the umask says. No time is written.

use std::fs::{File, Permissions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tempfile::NamedTempFile;

use super::cards;
use super::checksum::Sum;
use super::header::{BLOCK, Header};
use super::pack::{Compression, Packer};
use super::raw::RawHdu;
use super::syncer::Syncer;
use crate::dtype::{DType, PixelFormat};
use crate::error::unless_cancelled;
use crate::pixels::Pixels;
use crate::{Error, Result};

/// One HDU to come.
#[derive(Clone, Debug)]
pub enum HduSpec {
    /// Cards without data; those that lay out an HDU are replaced.
    Header(Header),
    /// An image, written with [`FitsWriter::write`].
    Image(ImageSpec),
    /// An HDU of another file, byte for byte; with other cards if there are any.
    Raw(RawHdu, Option<Header>),
}

/// One image to come.
#[derive(Clone, Debug)]
pub struct ImageSpec {
    /// Cards to carry; those that lay out the data are replaced.
    pub header: Header,
    /// EXTNAME.
    pub name: Option<String>,
    /// EXTVER.
    pub ver: Option<i64>,
    /// numpy order.
    pub shape: Vec<usize>,
    /// Type of the stored numbers, BSCALE, BZERO, BLANK; see [`PixelFormat::disk`]. On disk they are big-endian.
    pub format: PixelFormat,
    /// Tile compression. Then the HDU is a table, and cannot be the first.
    pub compression: Option<Compression>,
}

impl ImageSpec {
    /// An extension with pixels of this type.
    pub fn new(name: &str, ver: i64, shape: &[usize], dtype: DType) -> Self {
        ImageSpec {
            header: Header::new(),
            name: Some(name.into()),
            ver: Some(ver),
            shape: shape.to_vec(),
            format: PixelFormat::disk(dtype),
            compression: None,
        }
    }

    /// With the cards of another image.
    pub fn with_header(mut self, header: Header) -> Self {
        self.header = header;
        self
    }
}

/// An HDU in the file.
pub(super) struct Slot {
    pub header: Header,
    pub at: u64,
    /// First byte of the data, and their number.
    pub data: u64,
    pub len: u64,
    pub sum: Sum,
    /// From the first to the last byte of the data that was written.
    pub written: Range<u64>,
    kind: SlotKind,
    /// Its data, if where they go is not known yet.
    spooled: Option<File>,
}

enum SlotKind {
    Plain,
    /// Packed as it comes, written at the end; whether it was in a primary.
    Packed(Box<Packer>, bool),
    Raw(Box<RawHdu>, Option<Header>),
}

/// What is written to.
pub(super) enum Output {
    /// Nobody else's, until it gets its name.
    Own(NamedTempFile),
    /// That of several runs, under a name of its own: see `bands.rs`.
    Shared(File),
}

impl Output {
    pub(super) fn as_file(&self) -> &File {
        match self {
            Output::Own(file) => file.as_file(),
            Output::Shared(file) => file,
        }
    }
}

/// A FITS file being written.
pub struct FitsWriter {
    file: Output,
    target: PathBuf,
    overwrite: bool,
    pub(super) slots: Vec<Slot>,
    /// Slots of the images, in order.
    images: Vec<usize>,
    /// Some image is packed: where the HDUs after it are is known at the end.
    floating: bool,
    cancel: Option<Arc<AtomicBool>>,
    syncer: Syncer,
}

/// Where everything goes.
pub(super) struct Laid {
    pub slots: Vec<Slot>,
    images: Vec<usize>,
    pub floating: bool,
    /// Bytes of the file, if nothing is packed.
    pub len: u64,
}

/// Bytes that are encoded at once.
const PIECE: usize = 256 << 10;

impl Laid {
    /// Of any HDUs. If the first is none that can be, an empty primary goes before it.
    pub(super) fn out(mut hdus: Vec<HduSpec>, target: &Path) -> Result<Self> {
        let primary = match hdus.first() {
            Some(HduSpec::Header(_)) => true,
            Some(HduSpec::Image(image)) => image.compression.is_none(),
            Some(HduSpec::Raw(raw, _)) => raw.is_primary(),
            None => false,
        };
        // What was in a primary becomes an extension when it is packed, and its table says where it was.
        let moved = matches!(hdus.first(), Some(HduSpec::Image(_))) && !primary;
        if !primary {
            hdus.insert(0, HduSpec::Header(Header::new()));
        }
        let floating = hdus.iter().any(|h| matches!(h, HduSpec::Image(i) if i.compression.is_some()));
        let extensions = hdus.len() - 1;
        let (mut slots, mut images) = (Vec::new(), Vec::new());
        let mut at = 0u64;
        for (i, spec) in hdus.into_iter().enumerate() {
            let (header, len, kind) = match spec {
                HduSpec::Header(h) if i == 0 => (cards::primary(&h, extensions), 0, SlotKind::Plain),
                HduSpec::Header(_) => {
                    return Err(Error::Parameter("only the first HDU can be without an image".into()));
                }
                HduSpec::Image(spec) => {
                    if spec.shape.is_empty() {
                        let name = spec.name.unwrap_or_default();
                        return Err(Error::Parameter(format!("{name}: FITS has no image without axes")));
                    }
                    images.push(i);
                    let pixels: usize = spec.shape.iter().product();
                    let len = (pixels * spec.format.size()) as u64;
                    let packed = spec
                        .compression
                        .map(|c| Packer::new(&spec.shape, &spec.format, c, folder_of(target)))
                        .transpose();
                    let packed = packed.map_err(Error::io(target, "cannot make a temporary file for"))?;
                    let kind = packed.map_or(SlotKind::Plain, |p| SlotKind::Packed(Box::new(p), moved && i == 1));
                    (cards::image(&spec, i == 0, extensions), len, kind)
                }
                HduSpec::Raw(raw, _) if raw.is_primary() && i > 0 => {
                    let what = "a primary HDU can only be the first, and this has another";
                    return Err(Error::Parameter(what.into()));
                }
                HduSpec::Raw(raw, header) => {
                    let data = raw.data_range();
                    let len = data.end - data.start;
                    let kept = header.clone().unwrap_or_else(|| raw.header().clone());
                    (kept, len, SlotKind::Raw(Box::new(raw), header))
                }
            };
            let head = match &kind {
                SlotKind::Raw(raw, None) => raw.header_range().end - raw.header_range().start,
                SlotKind::Raw(_, Some(h)) => h.to_bytes().len() as u64,
                _ => cards::with_room(&header).len() as u64,
            };
            let data = at + head;
            let (sum, written) = (Sum::default(), 0..0);
            slots.push(Slot { header, at, data, len, sum, written, kind, spooled: None });
            at = data + len.next_multiple_of(BLOCK as u64);
        }
        Ok(Laid { slots, images, floating, len: at })
    }
}

impl FitsWriter {
    /// Lays the file out: a primary header without data, then the images. Nothing is visible under `path` until
    /// [`finish`](Self::finish).
    ///
    /// # Errors
    /// The target exists and `overwrite` is false, or is no plain file; the folder cannot be written; there is no
    /// room.
    pub fn create(path: impl AsRef<Path>, overwrite: bool, phu: &Header, images: Vec<ImageSpec>) -> Result<Self> {
        let mut phu = phu.clone();
        phu.remove_where(|k| matches!(k, "EXTNAME" | "EXTVER"));
        phu.set("NEXTEND", images.len() as i64, "number of extensions");
        let hdus = std::iter::once(HduSpec::Header(phu)).chain(images.into_iter().map(HduSpec::Image)).collect();
        Self::with_hdus(path, overwrite, hdus)
    }

    /// Lays out a file of any HDUs. If the first is none that can be, an empty primary goes before it.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn with_hdus(path: impl AsRef<Path>, overwrite: bool, hdus: Vec<HduSpec>) -> Result<Self> {
        let target = path.as_ref();
        check_target(target, overwrite)?;
        let laid = Laid::out(hdus, target)?;
        let len = (!laid.floating).then_some(laid.len);
        let writer = Self::of(Output::Own(temporary(target)?), target, overwrite, laid);
        match len {
            Some(len) => reserve(writer.file.as_file(), len).map_err(|e| writer.failed(e)).map(|()| writer),
            None => Ok(writer),
        }
    }

    pub(super) fn of(file: Output, target: &Path, overwrite: bool, laid: Laid) -> Self {
        let Laid { slots, images, floating, .. } = laid;
        let target = target.to_path_buf();
        FitsWriter { file, target, overwrite, slots, images, floating, cancel: None, syncer: Syncer::default() }
    }
    /// A flag that stops the writing with [`Error::Interrupted`] when it becomes true.
    pub(crate) fn cancel(&mut self, flag: Option<Arc<AtomicBool>>) {
        self.cancel = flag;
    }

    fn check_cancel(&self) -> Result<()> {
        unless_cancelled(self.cancel.as_deref())
    }

    fn failed(&self, e: io::Error) -> Error {
        Error::io(&self.target, "cannot write")(e)
    }

    /// Writes FITS (big-endian) bytes of image `image` (0 is the first), `offset` bytes into its data. Images that are
    /// packed must come in order.
    ///
    /// # Errors
    /// They do not lie inside the image, or the system refuses.
    pub fn write(&mut self, image: usize, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_cancel()?;
        let outside = || Error::Parameter(format!("bytes at {offset} do not belong into image {image}"));
        let slot = self.images.get(image).map(|&i| &mut self.slots[i]).ok_or_else(outside)?;
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > slot.len) {
            return Err(outside());
        }
        let done = match &mut slot.kind {
            SlotKind::Packed(packer, _) => packer.write(offset, bytes),
            _ if self.floating => {
                slot.sum.add(offset, bytes);
                slot.spool(offset, bytes, folder_of(&self.target)).map(|()| true)
            }
            _ => {
                slot.sum.add(offset, bytes);
                slot.extend(offset..offset + bytes.len() as u64);
                let at = slot.data + offset;
                let file = self.file.as_file();
                file.write_all_at(bytes, at).map(|()| {
                    self.syncer.wrote(file, bytes.len() as u64);
                    true
                })
            }
        };
        match done {
            Ok(true) => Ok(()),
            Ok(false) => Err(outside()),
            Err(e) => Err(self.failed(e)),
        }
    }

    /// Writes all pixels of image `image`, which was announced with their shape and type.
    ///
    /// # Errors
    /// There are more or fewer pixels than were announced, or the system refuses.
    pub fn write_image(&mut self, image: usize, pixels: &Pixels) -> Result<()> {
        let format = PixelFormat::native(pixels.dtype());
        let native = pixels.as_bytes();
        let found = native.len() as u64;
        if self.images.get(image).is_none_or(|&i| self.slots[i].len != found) {
            return Err(Error::Parameter(format!("image {image} was not announced with {found} bytes")));
        }
        let mut bytes = Vec::new();
        // A multiple of every size.
        for (i, piece) in native.chunks(PIECE).enumerate() {
            bytes.clear();
            bytes.extend_from_slice(piece);
            format.to_disk(&mut bytes);
            self.write(image, (i * PIECE) as u64, &bytes)?;
        }
        Ok(())
    }

    /// Writes the headers with their sums, syncs, and gives the file its name.
    ///
    /// # Errors
    /// Pixels of a packed image are missing, the system refuses, or the target has appeared meanwhile.
    pub fn finish(mut self) -> Result<()> {
        let mut at = 0;
        for mut slot in std::mem::take(&mut self.slots) {
            if self.floating {
                (slot.at, slot.data) = (at, at + (slot.data - slot.at));
            }
            at = self.complete(slot)?;
        }
        if self.floating {
            self.file.as_file().set_len(at).map_err(|e| self.failed(e))?;
        }
        self.sync()?;
        check_target(&self.target, self.overwrite)?;
        let FitsWriter { file, target, overwrite, .. } = self;
        // What several runs write gets its name when they all are done.
        let Output::Own(file) = file else { return Ok(()) };
        let renamed = if overwrite { file.persist(&target) } else { file.persist_noclobber(&target) };
        match renamed {
            Ok(_) => {}
            Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => return Err(Error::Exists { path: target }),
            Err(e) => return Err(Error::io(&target, "cannot rename the finished output")(e.error)),
        }
        sync_folder(&target);
        Ok(())
    }

    /// Waits until everything is on the disk.
    pub(super) fn sync(&mut self) -> Result<()> {
        self.syncer.finish().and_then(|()| self.file.as_file().sync_all()).map_err(|e| self.failed(e))
    }

    /// Writes what is left of an HDU; returns where the next one begins.
    fn complete(&self, slot: Slot) -> Result<u64> {
        let put = |bytes: &[u8], at: u64| self.file.as_file().write_all_at(bytes, at).map_err(|e| self.failed(e));
        match slot.kind {
            SlotKind::Plain => {
                put(&cards::summed(&slot.header, slot.sum), slot.at)?;
                if let Some(mut spool) = slot.spooled {
                    spool.seek(SeekFrom::Start(0)).map_err(|e| self.failed(e))?;
                    self.copy(&mut spool, slot.data)?;
                }
                Ok(slot.data + slot.len.next_multiple_of(BLOCK as u64))
            }
            SlotKind::Packed(packer, primary) => {
                let missing = || Error::Parameter("pixels of a packed image are missing".into());
                let mut table = packer.finish(&slot.header, primary).ok_or_else(missing)?;
                let mut sum = Sum::default();
                sum.add(0, &table.rows);
                // Rows are of whole words, so the heap begins at one.
                let header = cards::summed(&table.header, sum.join(table.heap_sum));
                put(&header, slot.at)?;
                let data = slot.at + header.len() as u64;
                put(&table.rows, data)?;
                table.heap.seek(SeekFrom::Start(0)).map_err(|e| self.failed(e))?;
                self.copy(&mut table.heap, data + table.rows.len() as u64)?;
                Ok(data + (table.rows.len() as u64 + table.heap_len).next_multiple_of(BLOCK as u64))
            }
            SlotKind::Raw(..) => {
                slot.carry(self.file.as_file(), &self.target, self.cancel.as_deref())?;
                Ok(slot.data + slot.len.next_multiple_of(BLOCK as u64))
            }
        }
    }

    /// Copies all of a file to `at`.
    fn copy(&self, from: &mut File, mut at: u64) -> Result<()> {
        let mut bytes = vec![0; PIECE];
        loop {
            self.check_cancel()?;
            match from.read(&mut bytes) {
                Ok(0) => return Ok(()),
                Ok(n) => {
                    self.file.as_file().write_all_at(&bytes[..n], at).map_err(|e| self.failed(e))?;
                    at += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.failed(e)),
            }
        }
    }
}

impl Slot {
    /// Whether it is what this run writes, not what it carries.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.kind, SlotKind::Plain)
    }

    /// These bytes of the data are written.
    fn extend(&mut self, range: Range<u64>) {
        let Range { start, end } = self.written.clone();
        self.written = if start == end { range } else { start.min(range.start)..end.max(range.end) };
    }

    /// Writes an HDU of another file.
    pub(super) fn carry(&self, file: &File, target: &Path, cancel: Option<&AtomicBool>) -> Result<()> {
        let SlotKind::Raw(raw, header) = &self.kind else { return Ok(()) };
        let put = |bytes: &[u8], at: u64| file.write_all_at(bytes, at).map_err(Error::io(target, "cannot write"));
        let (map, range) = (raw.mapping(), raw.data_range());
        map.check()?;
        let reader = map.reader()?;
        let mut sum = Sum::default();
        let mut at = range.start;
        while at < range.end {
            unless_cancelled(cancel)?;
            let end = range.end.min(at + PIECE as u64);
            let bytes = reader.get(at, end)?;
            let own = raw.padded().end.clamp(at, end) - at;
            sum.add(at - range.start, &bytes[..own as usize]);
            // The system cannot write from a page that is gone.
            put(&bytes, self.data + (at - range.start)).or_else(|e| map.check().and(Err(e)))?;
            at = end;
        }
        let head = match header {
            None => reader.get(raw.header_range().start, raw.header_range().end)?.into_owned(),
            // A sum that was there is kept true; none is added.
            Some(h) if h.get("CHECKSUM").is_some() => cards::checked(h, sum),
            Some(h) => h.to_bytes(),
        };
        put(&head, self.at)?;
        map.count(range.end - range.start);
        map.check()
    }

    /// Keeps bytes until it is known where they go.
    fn spool(&mut self, offset: u64, bytes: &[u8], folder: &Path) -> io::Result<()> {
        if self.spooled.is_none() {
            self.spooled = Some(tempfile::tempfile_in(folder)?);
        }
        self.spooled.as_ref().map_or(Ok(()), |f| f.write_all_at(bytes, offset))
    }
}

/// A locked temporary file beside the target. Those that killed runs left there are removed: the lock of a file whose
/// process is gone is free.
pub(super) fn temporary(target: &Path) -> Result<NamedTempFile> {
    let folder = folder_of(target);
    // A name may have 255 bytes, and this one gets 11 characters more.
    let name: String = target.file_name().unwrap_or_default().to_string_lossy().chars().take(60).collect();
    let prefix = format!(".{name}.tmp");
    sweep(folder, &prefix);
    loop {
        let file = tempfile::Builder::new()
            .prefix(&prefix)
            // The umask takes its part of this.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(Error::io(target, "cannot create the output"))?;
        // Another run may be sweeping it away, or have done so, between its making and its locking. Not every file
        // system has locks; where they fail, nothing is swept either.
        let swept = matches!(file.as_file().try_lock(), Err(TryLockError::WouldBlock))
            || file.as_file().metadata().is_ok_and(|m| m.nlink() == 0);
        if !swept {
            return Ok(file);
        }
    }
}

/// Removes temporary files of this target that nobody holds any more.
fn sweep(folder: &Path, prefix: &str) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(prefix)) {
        // tempfile adds six characters: a longer name is somebody else's.
        let ours = entry.file_name().to_string_lossy().chars().count() == prefix.chars().count() + 6;
        let free = || File::open(entry.path()).is_ok_and(|f| f.try_lock().is_ok());
        if ours && entry.file_type().is_ok_and(|t| t.is_file()) && free() {
            // If it cannot be removed it is only untidy.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// A rename must reach the disk too. Not every file system can sync a folder.
pub(super) fn sync_folder(path: &Path) {
    if let Ok(folder) = File::open(folder_of(path)) {
        let _ = folder.sync_all();
    }
}

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// Whether a file may be put there.
pub(crate) fn check_target(path: &Path, overwrite: bool) -> Result<()> {
    let meta = match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && path.file_name().is_some() => return Ok(()),
        Err(e) => return Err(Error::io(path, "cannot create the output")(e)),
        Ok(meta) => meta,
    };
    if !(meta.is_file() || meta.is_symlink()) {
        let e = io::Error::new(io::ErrorKind::InvalidInput, "it exists and is not a regular file");
        return Err(Error::io(path, "cannot create the output")(e));
    }
    if overwrite { Ok(()) } else { Err(Error::Exists { path: path.to_path_buf() }) }
}

/// Reserves `len` bytes, so that a full disk shows at once; file systems that cannot reserve only get the length.
pub(super) fn reserve(file: &File, len: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let bytes = libc::off_t::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        // SAFETY: a call with an open descriptor and plain numbers.
        if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, bytes) } != 0 {
            let e = io::Error::last_os_error();
            if !matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL)) {
                return Err(e);
            }
        }
    }
    file.set_len(len)
}
