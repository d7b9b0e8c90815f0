//! The output file: laid out whole before the first pixel, written in bands in any order, renamed into place when it
//! is complete.
//!
//! It is written to a temporary file beside its target (`.NAME.tmpXXXXXX`), space reserved at once, synced, and only
//! then renamed; the folder is synced too. Whatever fails before leaves an existing target untouched and removes the
//! temporary file; one that a killed run left is removed by the next run to the same target. Every HDU gets DATASUM and CHECKSUM. The mode is what the umask says. No time is written.

use std::fs::{File, Permissions, TryLockError};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::checksum::Sum;
use super::header::{BLOCK, Header};
use crate::dtype::DType;
use crate::pixels::Pixels;
use crate::{Error, Result};

/// One image extension to come.
#[derive(Clone, Debug)]
pub struct ImageSpec {
    /// Cards to carry; those that lay out the data are replaced.
    pub header: Header,
    /// EXTNAME.
    pub name: String,
    /// EXTVER.
    pub ver: i64,
    /// numpy order.
    pub shape: Vec<usize>,
    /// Type of the pixels as they are written.
    pub dtype: DType,
}

/// An HDU in the file.
struct Slot {
    header: Header,
    at: u64,
    data: u64,
    len: u64,
    sum: Sum,
}

/// A FITS file being written.
pub struct FitsWriter {
    file: NamedTempFile,
    target: PathBuf,
    overwrite: bool,
    slots: Vec<Slot>,
}

/// Cards that belong to the place of an HDU, not to what it says.
fn is_structural(key: &str) -> bool {
    let axis = key.strip_prefix("NAXIS").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
    axis || matches!(
        key,
        "SIMPLE"
            | "XTENSION"
            | "BITPIX"
            | "EXTEND"
            | "PCOUNT"
            | "GCOUNT"
            | "GROUPS"
            | "BSCALE"
            | "BZERO"
            | "BLANK"
            | "EXTNAME"
            | "EXTVER"
            | "NEXTEND"
            | "CHECKSUM"
            | "DATASUM"
            | "INHERIT"
            | "END"
    )
}

fn primary_header(carried: &Header, extensions: usize) -> Header {
    let mut h = carried.clone();
    h.remove_where(is_structural);
    h.set_at(0, "SIMPLE", true, "conforms to FITS standard");
    h.set_at(1, "BITPIX", 8i64, "array data type");
    h.set_at(2, "NAXIS", 0i64, "number of array dimensions");
    h.set_at(3, "EXTEND", true, "");
    h.set_at(4, "NEXTEND", extensions as i64, "number of extensions");
    h
}

fn image_header(spec: &ImageSpec) -> Header {
    let mut h = spec.header.clone();
    h.remove_where(is_structural);
    let (bitpix, bzero) = spec.dtype.fits();
    h.set_at(0, "XTENSION", "IMAGE", "Image extension");
    h.set_at(1, "BITPIX", bitpix, "array data type");
    h.set_at(2, "NAXIS", spec.shape.len() as i64, "number of array dimensions");
    let mut at = 3;
    for (i, &n) in spec.shape.iter().rev().enumerate() {
        h.set_at(at, &format!("NAXIS{}", i + 1), n as i64, "");
        at += 1;
    }
    h.set_at(at, "PCOUNT", 0i64, "number of parameters");
    h.set_at(at + 1, "GCOUNT", 1i64, "number of groups");
    h.set_at(at + 2, "EXTNAME", spec.name.as_str(), "extension name");
    h.set_at(at + 3, "EXTVER", spec.ver, "extension version");
    if let Some(bzero) = bzero {
        h.set_at(at + 4, "BSCALE", 1i64, "");
        // 2^63 does not fit an integer value.
        if bzero < 9e18 {
            h.set_at(at + 5, "BZERO", bzero as i64, "sign of the integers");
        } else {
            h.set_at(at + 5, "BZERO", bzero, "sign of the integers");
        }
    }
    h
}

/// Room for the sums, so that the header does not grow when they are known.
fn with_sums(mut header: Header, checksum: &str, datasum: &str) -> Header {
    header.set("CHECKSUM", checksum, "HDU checksum");
    header.set("DATASUM", datasum, "data unit checksum");
    header
}

/// Bytes that are encoded at once.
const PIECE: usize = 256 << 10;
const NO_CHECKSUM: &str = "0000000000000000";
/// As long as the longest sum.
const NO_DATASUM: &str = "0000000000";

impl FitsWriter {
    /// Lays the file out: a primary header without data, then the images. Nothing is visible under `path` until
    /// [`finish`](Self::finish).
    ///
    /// # Errors
    /// The target exists and `overwrite` is false, or is no plain file; the folder cannot be written; there is no
    /// room.
    pub fn create(path: impl AsRef<Path>, overwrite: bool, phu: &Header, images: Vec<ImageSpec>) -> Result<Self> {
        let target = path.as_ref().to_path_buf();
        check_target(&target, overwrite)?;
        let mut slots = Vec::new();
        let mut at = 0u64;
        let mut place = |header: Header, len: u64| {
            let header = with_sums(header, NO_CHECKSUM, NO_DATASUM);
            let data = at + header.to_bytes().len() as u64;
            slots.push(Slot { header, at, data, len, sum: Sum::default() });
            at = data + len.next_multiple_of(BLOCK as u64);
        };
        place(primary_header(phu, images.len()), 0);
        for spec in &images {
            if spec.shape.is_empty() {
                return Err(Error::Parameter(format!("{},{}: FITS has no image without axes", spec.name, spec.ver)));
            }
            let pixels: usize = spec.shape.iter().product();
            place(image_header(spec), (pixels * spec.dtype.size()) as u64);
        }

        let file = temporary(&target)?;
        let writer = FitsWriter { file, target, overwrite, slots };
        reserve(writer.file.as_file(), at).map_err(|e| writer.failed(e))?;
        Ok(writer)
    }

    fn failed(&self, e: io::Error) -> Error {
        Error::io(&self.target, "cannot write")(e)
    }

    /// Writes FITS (big-endian) bytes of image `image` (0 is the first), `offset` bytes into its data.
    ///
    /// # Errors
    /// They do not lie inside the image, or the system refuses.
    pub fn write(&mut self, image: usize, offset: u64, bytes: &[u8]) -> Result<()> {
        let slot = match self.slots.get_mut(image + 1) {
            Some(s) if offset.checked_add(bytes.len() as u64).is_some_and(|end| end <= s.len) => s,
            _ => return Err(Error::Parameter(format!("bytes at {offset} lie outside of image {image}"))),
        };
        slot.sum.add(offset, bytes);
        let at = slot.data + offset;
        self.file.as_file().write_all_at(bytes, at).map_err(|e| self.failed(e))
    }

    /// Writes all pixels of image `image`, which was announced with their shape and type.
    ///
    /// # Errors
    /// There are more or fewer pixels than were announced, or the system refuses.
    pub fn write_image(&mut self, image: usize, pixels: &Pixels) -> Result<()> {
        let size = pixels.dtype().size();
        let native = pixels.as_bytes();
        let found = native.len() as u64;
        if self.slots.get(image + 1).is_none_or(|s| s.len != found) {
            return Err(Error::Parameter(format!("image {image} was not announced with {found} bytes")));
        }
        // The sign bit of the types that FITS lacks.
        let flip = if pixels.dtype().fits().1.is_some() { 0x80 } else { 0 };
        let mut bytes = Vec::new();
        // A multiple of every size.
        for (i, piece) in native.chunks(PIECE).enumerate() {
            bytes.clear();
            bytes.extend_from_slice(piece);
            for number in bytes.chunks_exact_mut(size) {
                if cfg!(target_endian = "little") {
                    number.reverse();
                }
                number[0] ^= flip;
            }
            self.write(image, (i * PIECE) as u64, &bytes)?;
        }
        Ok(())
    }

    /// Writes the headers with their sums, syncs, and gives the file its name.
    ///
    /// # Errors
    /// The system refuses, or the target has appeared meanwhile.
    pub fn finish(self) -> Result<()> {
        for slot in &self.slots {
            let datasum = slot.sum.value().to_string();
            let header = with_sums(slot.header.clone(), NO_CHECKSUM, &datasum);
            let mut sum = Sum::default();
            sum.add(0, &header.to_bytes());
            let header = with_sums(header, &sum.join(slot.sum).encode(), &datasum);
            let bytes = header.to_bytes();
            self.file.as_file().write_all_at(&bytes, slot.at).map_err(|e| self.failed(e))?;
        }
        self.file.as_file().sync_all().map_err(|e| self.failed(e))?;
        check_target(&self.target, self.overwrite)?;
        let FitsWriter { file, target, overwrite, .. } = self;
        let renamed = if overwrite { file.persist(&target) } else { file.persist_noclobber(&target) };
        match renamed {
            Ok(_) => {}
            Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => return Err(Error::Exists { path: target }),
            Err(e) => return Err(Error::io(&target, "cannot rename the finished output")(e.error)),
        }
        // The rename must reach the disk too. Not every file system can sync a folder.
        if let Ok(folder) = File::open(folder_of(&target)) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

/// A locked temporary file beside the target. Those that killed runs left there are removed: the lock of a file whose
/// process is gone is free.
fn temporary(target: &Path) -> Result<NamedTempFile> {
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
fn reserve(file: &File, len: u64) -> io::Result<()> {
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
