//! An output that several runs write together, on one machine or many: each a band of its pixels.
//!
//! The first that comes lays the file out, whole, as `NAME.part` beside its target; the others find it there, compare its
//! headers with their own, and write. A band that is done and synced gets a record, `NAME.part.3of8`: JSON, with where
//! its bytes lie and their sums. [`merge`] looks whether every band has its record and every sum is right, writes the
//! headers with theirs, syncs, and gives the file its name. What it comes to is, byte for byte, what one run writes.
//!
//! Nothing needs locks to be right: bands lie apart, the file and the records appear complete or not at all. Where there
//! are locks, a merge finds out whether somebody still writes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};
use tempfile::TempPath;

use super::cards;
use super::checksum::Sum;
use super::header::Header;
use super::writer::{
    FitsWriter, HduSpec, Laid, Output, Slot, check_target, folder_of, reserve, sync_folder, temporary,
};
use crate::error::{show, unless_cancelled};
use crate::{Error, Result};

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// A name beside the target.
fn beside(target: &Path, what: &str) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_os_string();
    name.push(what);
    target.with_file_name(name)
}

/// The file that is written together.
fn part_of(target: &Path) -> PathBuf {
    beside(target, ".part")
}

fn record_of(target: &Path, number: usize, of: usize) -> PathBuf {
    beside(target, &format!(".part.{number}of{of}"))
}

/// An output of which this run writes bands.
pub(crate) struct BandWriter {
    writer: FitsWriter,
    target: PathBuf,
    /// Bands in all.
    of: usize,
    /// What the pixels depend on, in short: bands of different ones do not belong together.
    signature: String,
}

impl BandWriter {
    /// Finds the file, or lays it out.
    ///
    /// # Errors
    /// The target exists and `overwrite` is false; the file is of another result; some image is compressed, so that its
    /// place is not known; the folder cannot be written; there is no room.
    pub(crate) fn open(
        target: &Path,
        overwrite: bool,
        hdus: Vec<HduSpec>,
        (of, signature): (usize, String),
        cancel: Option<Arc<AtomicBool>>,
    ) -> Result<Self> {
        let laid = Laid::out(hdus, target)?;
        if laid.floating {
            let why = "a compressed output cannot be written in bands: where they lie is not known before";
            return Err(Error::Parameter(why.into()));
        }
        let part = part_of(target);
        let failed = Error::io(&part, "cannot open");
        let file = loop {
            check_target(target, overwrite)?;
            match OpenOptions::new().read(true).write(true).open(&part) {
                Ok(file) if is_there(&file, &part) => {
                    same_headers(&file, &laid.slots, &part)?;
                    break file;
                }
                // It was merged between its opening and its locking.
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => lay_out(target, &part, &laid, cancel.clone())?,
                Err(e) => return Err(failed(e)),
            }
        };
        if file.metadata().map_err(failed)?.len() != laid.len {
            return Err(Error::Parameter(format!("{}: it has not the length of this result", show(&part))));
        }
        let mut writer = FitsWriter::of(Output::Shared(file), target, overwrite, laid);
        writer.cancel(cancel);
        Ok(BandWriter { writer, target: target.to_path_buf(), of, signature })
    }

    /// Where the pixels go.
    pub(crate) fn writer(&mut self) -> &mut FitsWriter {
        &mut self.writer
    }

    /// Whether a band is done, of the same inputs and options.
    ///
    /// # Errors
    /// It was done of others.
    pub(crate) fn is_done(&self, number: usize) -> Result<bool> {
        let path = record_of(&self.target, number, self.of);
        match Record::read(&path)? {
            None => Ok(false),
            Some(record) if record.signature == self.signature => Ok(true),
            Some(_) => Err(Error::Parameter(format!(
                "{}: this band was made by another version, engine or options, or of other inputs; remove it to make it anew",
                show(&path)
            ))),
        }
    }

    /// A band is written: syncs it, and leaves its record.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn done(&mut self, number: usize) -> Result<()> {
        self.writer.sync()?;
        let images = self.writer.slots.iter_mut().filter(|slot| slot.is_plain());
        let images = images.map(|slot| Piece {
            at: slot.at,
            data: slot.data,
            len: slot.len,
            written: std::mem::take(&mut slot.written),
            sum: std::mem::take(&mut slot.sum).value(),
        });
        let record = Record { number, of: self.of, signature: self.signature.clone(), images: images.collect() };
        record.write(&record_of(&self.target, number, self.of))
    }
}

/// Lays the file out under a name of its own, and gives it its name if nobody has meanwhile.
fn lay_out(target: &Path, part: &Path, laid: &Laid, cancel: Option<Arc<AtomicBool>>) -> Result<()> {
    let failed = || Error::io(part, "cannot lay out");
    let temp = temporary(target)?;
    let file = temp.as_file();
    reserve(file, laid.len).map_err(failed())?;
    for slot in &laid.slots {
        if slot.is_plain() {
            file.write_all_at(&cards::with_room(&slot.header), slot.at).map_err(failed())?;
        } else {
            slot.carry(file, target, cancel.as_deref())?;
        }
    }
    file.sync_all().map_err(failed())?;
    match temp.persist_noclobber(part) {
        Ok(_) => {
            sync_folder(part);
            Ok(())
        }
        Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(failed()(e.error)),
    }
}

/// Holds it, and says whether it still has its name.
fn is_there(file: &File, part: &Path) -> bool {
    // Not every file system has locks.
    let _ = file.lock_shared();
    let place = |meta: io::Result<std::fs::Metadata>| meta.map(|meta| (meta.dev(), meta.ino())).ok();
    place(file.metadata()).is_some_and(|own| place(std::fs::metadata(part)) == Some(own))
}

/// Whether the headers in the file are those of this result; sums do not count.
fn same_headers(file: &File, slots: &[Slot], part: &Path) -> Result<()> {
    let other = |what: String| Error::Parameter(format!("{}: it is of another result: {what}", show(part)));
    for slot in slots.iter().filter(|slot| slot.is_plain()) {
        let mut bytes = vec![0; (slot.data - slot.at) as usize];
        file.read_exact_at(&mut bytes, slot.at).map_err(Error::io(part, "cannot read"))?;
        let found = Header::parse(&bytes).map(|(header, _)| header).unwrap_or_default();
        let plain = |header: &Header| {
            let mut header = header.clone();
            header.remove_where(|key| matches!(key, "CHECKSUM" | "DATASUM"));
            header
        };
        let (own, found) = (plain(&slot.header), plain(&found));
        let pairs = own.cards().iter().zip(found.cards());
        if let Some((own, found)) = pairs.into_iter().find(|(own, found)| own != found) {
            let text = |card: &[u8]| String::from_utf8_lossy(card).trim_end().to_string();
            return Err(other(format!("{:?} there, {:?} here", text(found), text(own))));
        }
        if own.len() != found.len() {
            return Err(other(format!("{} cards there, {} here", found.len(), own.len())));
        }
    }
    Ok(())
}

/// What a band wrote to one image.
#[derive(Clone, Debug, PartialEq)]
struct Piece {
    /// Where the HDU and its data begin, and the bytes of the data.
    at: u64,
    data: u64,
    len: u64,
    /// Bytes of the data, and their sum.
    written: Range<u64>,
    sum: u32,
}

/// That a band is done.
#[derive(Clone, Debug, PartialEq)]
struct Record {
    number: usize,
    of: usize,
    signature: String,
    images: Vec<Piece>,
}

impl Record {
    fn write(&self, path: &Path) -> Result<()> {
        let piece = |p: &Piece| json!([p.at, p.data, p.len, p.written.start, p.written.end, p.sum]);
        let json = json!({
            "ndastro": env!("CARGO_PKG_VERSION"),
            "band": self.number,
            "of": self.of,
            "signature": self.signature,
            "images": self.images.iter().map(piece).collect::<Vec<_>>(),
        });
        let failed = || Error::io(path, "cannot write");
        let mut file = tempfile::Builder::new()
            .prefix(".record.tmp")
            .permissions(PermissionsExt::from_mode(0o666))
            .tempfile_in(folder_of(path))
            .map_err(failed())?;
        writeln!(file, "{json:#}").and_then(|()| file.as_file().sync_all()).map_err(failed())?;
        file.persist(path).map_err(|e| failed()(e.error))?;
        sync_folder(path);
        Ok(())
    }

    /// `None` if there is none.
    fn read(path: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(path, "cannot read")(e)),
        };
        let record = serde_json::from_str(&text).ok().and_then(|json| Self::parse(&json));
        record.map(Some).ok_or_else(|| Error::Parameter(format!("{}: it is no record of a band", show(path))))
    }

    fn parse(json: &Value) -> Option<Self> {
        let whole = |value: &Value| usize::try_from(value.as_u64()?).ok();
        let piece = |value: &Value| {
            let numbers: Vec<u64> = value.as_array()?.iter().map(Value::as_u64).collect::<Option<_>>()?;
            let [at, data, len, start, end, sum] = numbers[..] else { return None };
            let sound = at <= data && start <= end && end <= len && data.checked_add(len).is_some();
            sound.then_some(Piece { at, data, len, written: start..end, sum: u32::try_from(sum).ok()? })
        };
        Some(Record {
            number: whole(&json["band"])?,
            of: whole(&json["of"])?,
            signature: json["signature"].as_str()?.to_string(),
            images: json["images"].as_array()?.iter().map(piece).collect::<Option<_>>()?,
        })
    }
}

/// The records of a target, by their names; of all numbers of bands.
fn records(target: &Path) -> Result<Vec<(PathBuf, Record)>> {
    let folder = folder_of(target);
    let prefix = format!("{}.part.", target.file_name().unwrap_or_default().to_string_lossy());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder, "cannot list"))? {
        let entry = entry.map_err(Error::io(folder, "cannot list"))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let numbers = name.strip_prefix(&prefix).and_then(|rest| rest.split_once("of"));
        if numbers.is_some_and(|(a, b)| is_number(a) && is_number(b)) {
            found.extend(Record::read(&entry.path())?.map(|record| (entry.path(), record)));
        }
    }
    found.sort_by_key(|(_, record)| record.number);
    Ok(found)
}

/// Joins the bands of an output that several runs wrote: looks whether all are there and as they were written, writes the
/// headers with their sums, and gives the file its name. Returns how many bands there were. What is written together, and
/// the records of its bands, are gone then.
///
/// # Errors
/// A band is missing, or of other inputs or options, or its bytes are not what was written, or somebody still writes; the
/// target exists and `overwrite` is false; the system refuses. Then everything stays as it was, and can be joined later.
pub fn merge(target: impl AsRef<Path>, overwrite: bool, cancel: Option<&AtomicBool>) -> Result<usize> {
    let target = target.as_ref();
    let part = part_of(target);
    let wrong = |why: String| Error::Parameter(format!("{}: {why}", show(&part)));
    let failed = |what| Error::io(&part, what);
    check_target(target, overwrite)?;
    let file = OpenOptions::new().read(true).write(true).open(&part).map_err(failed("cannot open"))?;
    if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
        return Err(wrong("somebody still writes to it".into()));
    }
    let records = records(target)?;
    let Some((_, first)) = records.first() else { return Err(wrong("no band of it is done".into())) };
    let (of, images) = (first.of, first.images.len());
    if let Some((path, _)) = records.iter().find(|(_, r)| r.of != of || r.signature != first.signature) {
        return Err(Error::Parameter(format!(
            "{}: it does not go with {}: other bands, inputs or options",
            show(path),
            show(&records[0].0)
        )));
    }
    let missing: Vec<String> =
        (1..=of).filter(|n| !records.iter().any(|(_, r)| r.number == *n)).map(|n| n.to_string()).collect();
    if !missing.is_empty() || records.len() != of {
        return Err(wrong(format!("of {of} bands these are missing: {}", missing.join(", "))));
    }
    let mut headers = Vec::new();
    for image in 0..images {
        let pieces: Vec<(&Record, &Piece)> =
            records.iter().filter_map(|(_, r)| Some((r, r.images.get(image)?))).collect();
        let sum = checked_sum(&file, &pieces, &part, cancel)?;
        let (_, piece) = pieces[0];
        let mut bytes = vec![0; (piece.data - piece.at) as usize];
        file.read_exact_at(&mut bytes, piece.at).map_err(failed("cannot read"))?;
        let (header, _) = Header::parse(&bytes).map_err(|_| wrong("a header is damaged".into()))?;
        let summed = cards::summed(&header, sum);
        if summed.len() != bytes.len() {
            return Err(wrong("a header is damaged".into()));
        }
        headers.push((piece.at, summed));
    }
    for (at, bytes) in headers {
        file.write_all_at(&bytes, at).map_err(failed("cannot write"))?;
    }
    file.sync_all().map_err(failed("cannot write"))?;
    check_target(target, overwrite)?;
    // Not removed, whatever comes.
    let path = TempPath::try_from_path(&part).map_err(failed("cannot rename"))?;
    let renamed = if overwrite { path.persist(target) } else { path.persist_noclobber(target) };
    if let Err(e) = renamed {
        let kind = e.error.kind();
        let _ = e.path.keep();
        return Err(match kind {
            io::ErrorKind::AlreadyExists => Error::Exists { path: target.to_path_buf() },
            _ => Error::io(target, "cannot rename the finished output")(e.error),
        });
    }
    sync_folder(target);
    for (path, _) in &records {
        // Without the file they say nothing; to leave one is only untidy.
        let _ = std::fs::remove_file(path);
    }
    Ok(of)
}

/// The sum of an image whose pieces lie one behind the other and are what was written.
fn checked_sum(file: &File, pieces: &[(&Record, &Piece)], part: &Path, cancel: Option<&AtomicBool>) -> Result<Sum> {
    let mut whole = Sum::default();
    let mut end = 0;
    let mut bytes = vec![0; PIECE];
    let wrong = |number: usize| {
        let why = "is not what was written: remove its record and make it anew";
        Error::Parameter(format!("{}: band {number} {why}", show(part)))
    };
    let (_, first) = pieces[0];
    for (record, piece) in pieces {
        let placed = (piece.at, piece.data, piece.len) == (first.at, first.data, first.len);
        if !placed || (!piece.written.is_empty() && piece.written.start != end) {
            return Err(wrong(record.number));
        }
        let mut sum = Sum::default();
        let mut at = piece.written.start;
        while at < piece.written.end {
            unless_cancelled(cancel)?;
            let n = (piece.written.end - at).min(PIECE as u64) as usize;
            file.read_exact_at(&mut bytes[..n], piece.data + at).map_err(Error::io(part, "cannot read"))?;
            sum.add(at, &bytes[..n]);
            at += n as u64;
        }
        if sum.value() != piece.sum {
            return Err(wrong(record.number));
        }
        whole = whole.join(sum);
        end = end.max(piece.written.end);
    }
    if end == first.len { Ok(whole) } else { Err(wrong(pieces[pieces.len() - 1].0.number)) }
}
