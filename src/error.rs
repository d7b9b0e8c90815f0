//! The one error of this crate.
//!
//! A message is written for the person who reads it: it names the file, the HDU, what was expected, what was
//! found, and where there is one, what to do. Text that comes out of files (names, keywords) is escaped, so a
//! message never carries a control character to a terminal.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// An error once this flag is true.
pub(crate) fn unless_cancelled(flag: Option<&AtomicBool>) -> Result<()> {
    if flag.is_some_and(|flag| flag.load(Ordering::Relaxed)) { Err(Error::Interrupted) } else { Ok(()) }
}

/// What a function of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong. Match with a wildcard: kinds may be added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused: open, read, write, sync, rename.
    #[error("{}: {what}: {source}", show(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done, e.g. "cannot open".
        what: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The file is not FITS at all.
    #[error("{}: not a FITS file: {reason}", show(path))]
    NotFits {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        reason: String,
    },
    /// A header that cannot be trusted.
    #[error("{}: HDU {hdu}: bad header: {reason}", show(path))]
    Header {
        /// The file.
        path: PathBuf,
        /// Index from 0 with the primary.
        hdu: usize,
        /// The keyword and what is wrong with it.
        reason: String,
    },
    /// The header promises more bytes than the file has.
    #[error("{}: HDU {hdu}: file is truncated: {expected} bytes expected, {found} found", show(path))]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Index from 0 with the primary.
        hdu: usize,
        /// Length that the headers need.
        expected: u64,
        /// Length of the file.
        found: u64,
    },
    /// Compressed pixels that cannot be unpacked.
    #[error("{}: HDU {hdu}: damaged data: {what}", show(path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Index from 0 with the primary.
        hdu: usize,
        /// Which tile, and what is wrong with it.
        what: String,
    },
    /// Valid, but this version cannot do it.
    #[error("{}: HDU {hdu}: {what}", show(path))]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Index from 0 with the primary.
        hdu: usize,
        /// What, and what to do about it.
        what: String,
    },
    /// No extension with an image in this file.
    #[error("{}: no image that can be read: {found}", show(path))]
    NoImage {
        /// The file.
        path: PathBuf,
        /// What the file holds instead.
        found: String,
    },
    /// An extension was asked for that is not there.
    #[error("{}: no extension {wanted}; the file has {found}", show(path))]
    NoExtension {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        wanted: String,
        /// The extensions that are there.
        found: String,
    },
    /// Two planes or two frames that must have one shape have two.
    #[error("{what}: shape {found:?} found, {expected:?} expected ({why})")]
    Shape {
        /// File and HDU, or the name of the container.
        what: String,
        /// numpy order.
        expected: Vec<usize>,
        /// numpy order.
        found: Vec<usize>,
        /// Where the expectation comes from.
        why: String,
    },
    /// A window that does not lie in its plane.
    #[error("{what}: window {window} does not fit an image of shape {shape:?}")]
    Window {
        /// File and HDU, or "array in memory".
        what: String,
        /// As the user wrote it: `[y0:y1, x0:x1]`.
        window: String,
        /// numpy order.
        shape: Vec<usize>,
    },
    /// A file that changed while it was in use.
    #[error("{}: the file changed while it was being read ({what}); nothing was written", show(path))]
    Changed {
        /// The file.
        path: PathBuf,
        /// What is different.
        what: String,
    },
    /// The target exists and `overwrite` was not given.
    #[error("{}: the file exists; use --overwrite to replace it", show(path))]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// The target is one of the inputs.
    #[error("{}: the output is one of the inputs", show(path))]
    OutputIsInput {
        /// The target.
        path: PathBuf,
    },
    /// Units that do not go together.
    #[error("{0}")]
    Unit(String),
    /// World coordinates: a header whose WCS cannot be used, or a position that is none.
    #[error("WCS: {0}")]
    Wcs(String),
    /// A parameter outside its domain.
    #[error("{0}")]
    Parameter(String),
    /// No adapter, or none that will do.
    #[error("no GPU: {0}")]
    NoAdapter(String),
    /// The device was lost, ran out of memory, or refused a command.
    #[error("GPU: {0}")]
    Device(String),
    /// The memory budget is too small for even one pixel of every frame.
    #[error("{needed} bytes of memory are needed for the smallest tile, {budget} are allowed; raise --memory")]
    Budget {
        /// Smallest sum that works.
        needed: u64,
        /// What was given.
        budget: u64,
    },
    /// Stopped by the caller or by a signal.
    #[error("interrupted; nothing was written")]
    Interrupted,
}

impl Error {
    /// The file that it is about, if it is about one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Error::Io { path, .. }
            | Error::NotFits { path, .. }
            | Error::Header { path, .. }
            | Error::Truncated { path, .. }
            | Error::Damaged { path, .. }
            | Error::Unsupported { path, .. }
            | Error::NoImage { path, .. }
            | Error::NoExtension { path, .. }
            | Error::Changed { path, .. }
            | Error::Exists { path }
            | Error::OutputIsInput { path } => Some(path),
            _ => None,
        }
    }

    /// For `map_err`: an I/O error on `path` while doing `what`.
    pub(crate) fn io(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Error + use<> {
        let path = path.to_path_buf();
        move |source| Error::Io { path, what, source }
    }
}

/// A path with control characters and bytes that are no text escaped.
pub(crate) fn show(path: &Path) -> String {
    escape(&path.to_string_lossy())
}

/// Text from outside, fit for a terminal: control characters become `\u{..}`.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            // Writing to a String cannot fail.
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}
