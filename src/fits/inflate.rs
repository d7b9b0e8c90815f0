//! Files that are compressed as a whole (`.fits.gz`, `.fits.bz2`, `.fits.Z`), unpacked into a file without a name.
//!
//! What a file is is told by its first bytes, never by its name. It is unpacked piece by piece into a temporary file
//! that is unlinked from the start, which the caller maps like any other, so memory stays within a few MiB whatever the
//! size of the image. Nothing is allocated by a size that the file claims, and the limit is checked as the bytes come,
//! so a small file that would fill the disk stops early.
//!
//! What must hold:
//!
//! - gzip (RFC 1952): every member's checksum and length; a member that ends early is an error, never a shorter file.
//!   The members of a file follow one another and are joined.
//! - bzip2: the checksum of every block and stream; streams are joined in the same way. Each costs megabytes of table, so
//!   a file of thousands of streams that hold next to nothing is refused.
//! - After the last member or stream zeros are padding, and other bytes are ignored, as gzip and bzip2 ignore them. But
//!   bytes that would start another if they went on, or with one of them put right, are an error: a member that is cut
//!   or damaged there must not pass for the end of the file. One that follows zeros is joined as well, which gzip does
//!   not do.
//! - compress (`.Z`): the format has neither a checksum nor a length. Codes that cannot be and a file that ends inside a
//!   code are errors; a file that is cut between two codes cannot be told from a whole one, and a changed code may be
//!   another good one. What catches the cut is the walk over the HDUs, which finds less data than their header says.

use std::fs::File;
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;
use std::path::Path;

use flate2::{Crc, FlushDecompress};

use super::lzw::Lzw;

/// Bytes that are read at once.
const READ: usize = 64 << 10;
/// Bytes that are written at once.
const WRITE: usize = 256 << 10;

/// A byte of a magic number: the values it may have.
type Magic = [RangeInclusive<u8>];
/// The magic number and the one method there is.
const GZIP: &Magic = &[0x1f..=0x1f, 0x8b..=0x8b, 8..=8];
/// The magic number and the size of a block.
const BZIP2: &Magic = &[b'B'..=b'B', b'Z'..=b'Z', b'h'..=b'h', b'1'..=b'9'];

/// How a whole file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// gzip.
    Gzip,
    /// bzip2.
    Bzip2,
    /// `.Z`, as compress makes it: LZW.
    Compress,
    /// A zip archive: recognised, never unpacked.
    Zip,
}

/// How the first bytes of a file say that it is compressed; four are enough.
pub(crate) fn sniff(first_bytes: &[u8]) -> Option<Packing> {
    match first_bytes {
        [0x1f, 0x8b, ..] => Some(Packing::Gzip),
        [b'B', b'Z', b'h', ..] => Some(Packing::Bzip2),
        [0x1f, 0x9d, ..] => Some(Packing::Compress),
        [b'P', b'K', 3, 4, ..] => Some(Packing::Zip),
        _ => None,
    }
}

/// How far a file may grow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes that any file may have.
    pub free: u64,
    /// Beyond that, bytes for each compressed byte.
    pub ratio: u64,
    /// Bytes that no file may exceed.
    pub max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { free: 256 << 20, ratio: 500, max: 8 << 30 }
    }
}

impl Limits {
    /// The limit of a file of `packed` bytes.
    pub(crate) fn of(&self, packed: u64) -> u64 {
        packed.saturating_mul(self.ratio).max(self.free).min(self.max)
    }
}

/// Why a file was not unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The file cannot be read.
    #[error("cannot read: {0}")]
    Io(#[source] io::Error),
    /// The temporary file cannot be made or written.
    #[error("cannot write a temporary file: {0}")]
    Temporary(#[source] io::Error),
    /// What is wrong with the compressed data.
    #[error("{0}")]
    Damaged(String),
    /// It holds more than is allowed.
    #[error("more than {limit} bytes unpacked")]
    TooLarge {
        /// Bytes that are allowed.
        limit: u64,
    },
    /// A kind that is not unpacked.
    #[error("zip archives are not read")]
    Unsupported,
}

/// For what is wrong with the data of a file.
pub(super) fn damaged<T>(what: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Damaged(what.into()))
}

/// Unpacks `file`, from its start wherever it stands, to a file without a name in `folder`; returns that file and its
/// length. No more than `limit` bytes are ever written.
pub(crate) fn unpack(file: &File, packing: Packing, limit: u64, folder: &Path) -> Result<(File, u64), Failure> {
    let run: fn(&mut Input, &mut Output) -> Result<(), Failure> = match packing {
        Packing::Gzip => gzip,
        Packing::Bzip2 => bzip2,
        Packing::Compress => compress,
        Packing::Zip => return Err(Failure::Unsupported),
    };
    let mut output = Output::new(tempfile::tempfile_in(folder).map_err(Failure::Temporary)?, limit);
    run(&mut Input::new(file), &mut output)?;
    output.finish()
}

/// The compressed file, read in pieces by position: where the descriptor stands is not looked at.
struct Input<'a> {
    file: &'a File,
    position: u64,
    buffer: Vec<u8>,
    /// The bytes of `buffer` that were read and not used.
    start: usize,
    end: usize,
}

impl<'a> Input<'a> {
    fn new(file: &'a File) -> Self {
        Input { file, position: 0, buffer: vec![0; READ], start: 0, end: 0 }
    }

    /// Reads once behind the bytes that are there; none are read at the end of the file.
    fn read(&mut self) -> Result<usize, Failure> {
        loop {
            match self.file.read_at(&mut self.buffer[self.end..], self.position) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Failure::Io(e)),
                Ok(n) => {
                    self.end += n;
                    self.position += n as u64;
                    return Ok(n);
                }
            }
        }
    }

    /// The bytes that come next; empty at the end of the file alone.
    fn fill(&mut self) -> Result<&[u8], Failure> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.read()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// The next `n` bytes, a few, or fewer where the file ends.
    fn peek(&mut self, n: usize) -> Result<&[u8], Failure> {
        if self.end - self.start < n {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            while self.end < n && self.read()? > 0 {}
        }
        Ok(&self.buffer[self.start..self.end.min(self.start + n)])
    }

    /// Takes `n` of the bytes that are there.
    fn consume(&mut self, n: usize) {
        self.start = self.end.min(self.start + n);
    }

    /// One byte, if there is one.
    fn byte(&mut self) -> Result<Option<u8>, Failure> {
        let byte = self.fill()?.first().copied();
        self.consume(1);
        Ok(byte)
    }

    /// Takes zeros; whether there were any.
    fn skip_zeros(&mut self) -> Result<bool, Failure> {
        let mut any = false;
        loop {
            let bytes = self.fill()?;
            let zeros = bytes.iter().take_while(|&&b| b == 0).count();
            let more = zeros > 0 && zeros == bytes.len();
            any |= zeros > 0;
            self.consume(zeros);
            if !more {
                return Ok(any);
            }
        }
    }
}

/// The temporary file, written in pieces and never beyond the limit.
struct Output {
    file: File,
    limit: u64,
    written: u64,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that wait to be written; always less than all.
    held: usize,
}

impl Output {
    fn new(file: File, limit: u64) -> Self {
        Output { file, limit, written: 0, buffer: vec![0; WRITE], held: 0 }
    }

    /// Room for the next bytes; never empty.
    fn space(&mut self) -> &mut [u8] {
        &mut self.buffer[self.held..]
    }

    /// Bytes that were made so far.
    fn len(&self) -> u64 {
        self.written + self.held as u64
    }

    /// Counts `n` bytes that were put into the room.
    fn advance(&mut self, n: usize) -> Result<(), Failure> {
        self.held += n;
        if self.len() > self.limit {
            return Err(Failure::TooLarge { limit: self.limit });
        }
        if self.held == self.buffer.len() { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.file.write_all(&self.buffer[..self.held]).map_err(Failure::Temporary)?;
        self.written += self.held as u64;
        self.held = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<(File, u64), Failure> {
        self.flush()?;
        Ok((self.file, self.written))
    }
}

/// What one step of a decoder did.
pub(super) struct Step {
    /// Bytes of the input that were taken.
    pub used: usize,
    /// Bytes that were put into the room.
    pub made: usize,
    /// Whether the stream is complete.
    pub ended: bool,
}

/// Takes compressed bytes and makes others.
pub(super) trait Decoder {
    /// Unpacks what it can. `room` is never empty; `input` is at the end of the file alone.
    fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, Failure>;
}

/// Unpacks one stream to its end.
fn drain(decoder: &mut impl Decoder, input: &mut Input, output: &mut Output) -> Result<(), Failure> {
    loop {
        let bytes = input.fill()?;
        let last = bytes.is_empty();
        let step = decoder.step(bytes, output.space())?;
        input.consume(step.used);
        output.advance(step.made)?;
        if step.ended {
            return Ok(());
        }
        if step.used == 0 && step.made == 0 {
            return if last { early() } else { damaged("the compressed data make no sense") };
        }
    }
}

fn early<T>() -> Result<T, Failure> {
    damaged("the compressed data end early: the file is truncated")
}

/// How many of the bytes are as the magic number has them.
fn alike(bytes: &[u8], magic: &Magic) -> usize {
    bytes.iter().zip(magic).filter(|(b, m)| m.contains(b)).count()
}

/// Whether another stream follows one that is complete. Zeros are skipped, what is no stream is ignored, and what was
/// one before it was cut or damaged is an error.
fn another(input: &mut Input, magic: &Magic) -> Result<bool, Failure> {
    let zeros = input.skip_zeros()?;
    let bytes = input.peek(magic.len())?;
    let alike_here = alike(bytes, magic);
    if alike_here == magic.len() {
        return Ok(true);
    }
    let cut = !bytes.is_empty() && bytes.len() < magic.len() && alike_here == bytes.len();
    // The byte that is wrong may be the first, a zero that was skipped.
    let wrong = alike_here + 1 == magic.len() || zeros && alike(bytes, &magic[1..]) + 1 == magic.len();
    if cut || wrong {
        damaged("what follows the compressed data is the start of more, cut or damaged")
    } else {
        Ok(false)
    }
}

/// Refuses a file that does not start as it must.
fn first(input: &mut Input, magic: &Magic, name: &str) -> Result<(), Failure> {
    let bytes = input.peek(magic.len())?;
    match alike(bytes, magic) {
        n if n == magic.len() => Ok(()),
        n if n == bytes.len() => early(),
        _ => damaged(format!("this is not how {name} data start")),
    }
}

fn gzip(input: &mut Input, output: &mut Output) -> Result<(), Failure> {
    first(input, GZIP, "gzip")?;
    let mut decoder = Deflate { raw: flate2::Decompress::new(false), sum: Crc::new() };
    loop {
        member_header(input)?;
        drain(&mut decoder, input, output)?;
        let (sum, length) = (word(input)?, word(input)?);
        if sum != decoder.sum.sum() {
            return damaged("the gzip checksum does not match");
        }
        // The length is kept modulo 2^32.
        if length != decoder.sum.amount() {
            return damaged("the gzip length does not match");
        }
        if !another(input, GZIP)? {
            return Ok(());
        }
        decoder.raw.reset(false);
        decoder.sum.reset();
    }
}

/// A byte that must be there.
fn need(input: &mut Input) -> Result<u8, Failure> {
    input.byte()?.map_or_else(early, Ok)
}

/// Four bytes, the lowest first.
fn word(input: &mut Input) -> Result<u32, Failure> {
    Ok(u32::from_le_bytes([need(input)?, need(input)?, need(input)?, need(input)?]))
}

/// Reads the header of a gzip member, whose magic number was seen: names and comments are skipped.
fn member_header(input: &mut Input) -> Result<(), Failure> {
    const SUM: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    const UNKNOWN: u8 = 0xe0;
    let mut sum = Crc::new();
    let mut next = |sum: &mut Crc| {
        let byte = need(input)?;
        sum.update(&[byte]);
        Ok::<u8, Failure>(byte)
    };
    let mut fixed = [0; 10];
    for byte in &mut fixed {
        *byte = next(&mut sum)?;
    }
    let flags = fixed[3];
    if flags & UNKNOWN != 0 {
        return damaged("the gzip header has flags that have no meaning");
    }
    if flags & EXTRA != 0 {
        let length = u16::from_le_bytes([next(&mut sum)?, next(&mut sum)?]);
        for _ in 0..length {
            next(&mut sum)?;
        }
    }
    for text in [NAME, COMMENT] {
        while flags & text != 0 && next(&mut sum)? != 0 {}
    }
    let expected = sum.sum() as u16;
    if flags & SUM != 0 && u16::from_le_bytes([next(&mut sum)?, next(&mut sum)?]) != expected {
        return damaged("the checksum of the gzip header does not match");
    }
    Ok(())
}

/// The data of a gzip member.
struct Deflate {
    raw: flate2::Decompress,
    /// Of all that was made.
    sum: Crc,
}

impl Decoder for Deflate {
    fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, Failure> {
        let (used, made) = (self.raw.total_in(), self.raw.total_out());
        let Ok(status) = self.raw.decompress(input, room, FlushDecompress::None) else {
            return damaged("the gzip data are damaged");
        };
        let used = (self.raw.total_in() - used) as usize;
        let made = (self.raw.total_out() - made) as usize;
        self.sum.update(&room[..made]);
        Ok(Step { used, made, ended: status == flate2::Status::StreamEnd })
    }
}

fn bzip2(input: &mut Input, output: &mut Output) -> Result<(), Failure> {
    /// More streams than this must hold `LEAST` bytes each, on average.
    const MANY: u64 = 1024;
    const LEAST: u64 = 1024;
    first(input, BZIP2, "bzip2")?;
    for streams in 1.. {
        drain(&mut bzip2::Decompress::new(false), input, output)?;
        if streams > MANY && output.len() / streams < LEAST {
            return damaged("thousands of bzip2 streams hold next to nothing");
        }
        if !another(input, BZIP2)? {
            break;
        }
    }
    Ok(())
}

impl Decoder for bzip2::Decompress {
    fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, Failure> {
        let (used, made) = (self.total_in(), self.total_out());
        let status = match self.decompress(input, room) {
            Ok(bzip2::Status::MemNeeded) => return Err(Failure::Io(io::ErrorKind::OutOfMemory.into())),
            Ok(status) => status,
            Err(_) => return damaged("the bzip2 data are damaged, or their checksum does not match"),
        };
        let used = (self.total_in() - used) as usize;
        let made = (self.total_out() - made) as usize;
        Ok(Step { used, made, ended: status == bzip2::Status::StreamEnd })
    }
}

/// The whole file is one stream: two magic bytes, one of flags, codes.
fn compress(input: &mut Input, output: &mut Output) -> Result<(), Failure> {
    let (magic, flags) = ([need(input)?, need(input)?], need(input)?);
    if magic != [0x1f, 0x9d] {
        return damaged("this is not how compress data start");
    }
    drain(&mut Lzw::new(flags)?, input, output)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// What the three files below hold: 160 bytes, the last 100 of them zeros.
    const TEXT: &[u8; 60] = b"SIMPLE  =                    TBITPIX  =                   16";
    /// By `gzip -9` (1.12), with the name "sample".
    const GZ: &[u8] = b"\
        \x1f\x8b\x08\x08\x00\xe1\x0b\x5e\x02\x03\x73\x61\x6d\x70\x6c\x65\x00\x0b\xf6\xf4\x0d\xf0\x71\x55\x50\xb0\
        \x55\xc0\x02\x42\x9c\x3c\x43\x02\x3c\x23\xb0\xcb\x1a\x9a\x31\xd0\x01\x00\x00\xca\xb3\xe1\x15\xa0\x00\x00\
        \x00";
    /// By `bzip2 -1` (1.0.8).
    const BZ2: &[u8] = b"\
        \x42\x5a\x68\x31\x31\x41\x59\x26\x53\x59\x59\x18\x11\xa3\x00\x00\x0f\xff\x00\x40\x00\xc0\x00\x40\x00\x21\
        \x02\x12\x26\x4c\x40\x40\x00\x20\x00\x21\x2a\x03\x40\xd1\xe9\x0a\x1a\x69\x80\x0b\xce\x56\x01\x85\xaa\x8d\
        \x9a\x09\xd3\xa3\xd7\x51\x16\x17\xc5\xdc\x91\x4e\x14\x24\x16\x46\x04\x68\xc0";
    /// By `compress` (ncompress 4.2.4.6).
    const Z: &[u8] = b"\
        \x1f\x9d\x90\x53\x92\x34\x81\xc2\xa4\x08\x08\x10\x3d\x0e\x2a\x5c\xc8\xb0\x21\x15\x21\x49\xa8\x40\x49\x82\
        \xe5\x60\xc2\x86\x18\x19\xc6\xb0\x01\xa0\xa3\xc7\x8f\x20\x43\x8a\x1c\x49\xb2\xa4\xc9\x93\x28\x49\x02";
    /// Where the data of `GZ` start.
    const GZ_DATA: usize = 17;

    fn text() -> Vec<u8> {
        let mut text = TEXT.to_vec();
        text.resize(160, 0);
        text
    }

    fn twice() -> Vec<u8> {
        text().repeat(2)
    }

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn content(mut file: &File) -> Vec<u8> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn try_with(bytes: &[u8], limit: u64) -> Result<Vec<u8>, Failure> {
        let packing = sniff(bytes).unwrap_or(Packing::Gzip);
        let (file, len) = unpack(&file_of(bytes), packing, limit, &std::env::temp_dir())?;
        let content = content(&file);
        assert_eq!(content.len() as u64, len);
        Ok(content)
    }

    fn try_unpack(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        try_with(bytes, 1 << 30)
    }

    /// What is wrong with `bytes`.
    #[track_caller]
    fn damage(bytes: &[u8]) -> String {
        match try_unpack(bytes) {
            Err(Failure::Damaged(what)) => what,
            other => panic!("{other:?}"),
        }
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn bz2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// The same numbers each time.
    fn noise(mut seed: u64) -> impl Iterator<Item = u8> {
        std::iter::repeat_with(move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 32) as u8
        })
    }

    /// `bytes` with one byte changed: each byte in each bit, in all bits and to zero.
    fn damaged_once(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
        (0..bytes.len()).flat_map(move |at| {
            let flips = (0..8).map(|bit| 1 << bit).chain([0xff, bytes[at]]);
            flips.map(move |flip| {
                let mut wrong = bytes.to_vec();
                wrong[at] ^= flip;
                (at, wrong)
            })
        })
    }

    #[test]
    fn files_are_told_by_their_first_bytes() {
        assert_eq!(sniff(GZ), Some(Packing::Gzip));
        assert_eq!(sniff(BZ2), Some(Packing::Bzip2));
        assert_eq!(sniff(Z), Some(Packing::Compress));
        assert_eq!(sniff(b"PK\x03\x04"), Some(Packing::Zip));
        for other in [&b""[..], b"\x1f", b"BZ", b"PK\x05\x06", b"SIMPLE"] {
            assert_eq!(sniff(other), None);
        }
    }

    #[test]
    fn what_the_programs_packed_comes_back() {
        for packed in [GZ, BZ2, Z] {
            assert_eq!(try_unpack(packed).unwrap(), text());
        }
    }

    #[test]
    fn long_data_come_back() {
        // Half noise, half runs; more than each buffer holds, both packed and not.
        let data: Vec<u8> =
            noise(7).take(900_001).enumerate().map(|(i, b)| if i & 4096 == 0 { b } else { 3 }).collect();
        assert!(try_unpack(&gz(&data)).unwrap() == data);
        assert!(try_unpack(&bz2(&data)).unwrap() == data);
        // A multiple of what is written at once, and nothing at all.
        for data in [&data[..2 * WRITE], &[]] {
            assert!(try_unpack(&gz(data)).unwrap() == data);
            assert!(try_unpack(&bz2(data)).unwrap() == data);
        }
    }

    #[test]
    fn where_the_file_stands_does_not_matter() {
        let mut file = file_of(GZ);
        for at in [0, 20, 1000] {
            file.seek(SeekFrom::Start(at)).unwrap();
            let (out, len) = unpack(&file, Packing::Gzip, 1000, &std::env::temp_dir()).unwrap();
            assert_eq!((content(&out), len), (text(), 160));
        }
    }

    #[test]
    fn members_and_streams_are_joined() {
        for packed in [GZ, BZ2] {
            assert_eq!(try_unpack(&[packed, packed].concat()).unwrap(), twice());
            // With padding between them, longer than what is read at once, and after.
            let zeros = vec![0; 200_000];
            assert_eq!(try_unpack(&[packed, &zeros, packed, &zeros].concat()).unwrap(), twice());
        }
        let many: Vec<u8> = (0..3000).flat_map(|i| gz(&[i as u8])).collect();
        assert_eq!(try_unpack(&many).unwrap(), (0..3000).map(|i| i as u8).collect::<Vec<_>>());
    }

    #[test]
    fn what_follows_is_ignored_where_it_is_no_stream() {
        for packed in [GZ, BZ2] {
            for after in [&b"\n"[..], b"\0", b"\0\0\0\0\0", b"xyz", b"\0\0xyz, and much more", b"SIMPLE  ="] {
                assert_eq!(try_unpack(&[packed, after].concat()).unwrap(), text(), "{after:?}");
            }
        }
    }

    #[test]
    fn a_cut_file_is_never_a_shorter_one() {
        for packed in [GZ, BZ2] {
            for end in 0..packed.len() {
                damage(&[&packed[..end]].concat());
            }
            for zeros in [0, 5] {
                let both = [packed, &vec![0; zeros], packed].concat();
                for end in packed.len() + zeros + 1..both.len() {
                    damage(&both[..end]);
                }
            }
        }
    }

    #[test]
    fn a_damaged_file_is_never_another_one() {
        for packed in [GZ, BZ2] {
            for (at, wrong) in damaged_once(packed) {
                // A byte changed to itself is the file as it was.
                match unpack(&file_of(&wrong), sniff(packed).unwrap(), 10_000, &std::env::temp_dir()) {
                    Ok((file, _)) => assert_eq!(content(&file), text(), "at {at}"),
                    Err(Failure::Damaged(_) | Failure::TooLarge { .. }) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            for zeros in [0, 5] {
                for (at, wrong) in damaged_once(packed) {
                    match try_unpack(&[packed, &vec![0; zeros], &wrong].concat()) {
                        Ok(content) => assert_eq!(content, twice(), "at {at} of the second"),
                        Err(Failure::Damaged(_)) => {}
                        Err(other) => panic!("{other:?}"),
                    }
                }
            }
        }
    }

    #[test]
    fn a_cut_or_damaged_z_file_is_an_error_or_a_file_without_panic() {
        for end in 0..Z.len() {
            match try_unpack(&Z[..end]) {
                Ok(content) => assert!(end >= 3 && text().starts_with(&content), "{end}"),
                Err(Failure::Damaged(_)) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        for (_, wrong) in damaged_once(Z) {
            let _ = unpack(&file_of(&wrong), Packing::Compress, 1 << 20, &std::env::temp_dir());
        }
    }

    #[test]
    fn noise_is_an_error_without_panic() {
        for seed in 1..200 {
            let noise: Vec<u8> = noise(seed * 0x9e37_79b9).take(5000).collect();
            for start in [&GZ[..2], &GZ[..4], &GZ[..GZ_DATA], b"\x1f\x8b\x08\x1f", &BZ2[..3], &BZ2[..4], &BZ2[..10]] {
                damage(&[start, &noise].concat());
            }
            // The format cannot refuse all noise, but nearly: a code must have a meaning.
            for flags in [0x90, 0x10, 0x8c, 0x89, noise[0]] {
                let _ = try_with(&[&[0x1f, 0x9d, flags], &noise[..]].concat(), 1 << 20);
            }
        }
    }

    #[test]
    fn all_of_a_gzip_header_is_read() {
        let mut header = b"\x1f\x8b\x08\x1f\0\0\0\0\0\x03\x05\0extraname\0a comment\0".to_vec();
        let mut sum = Crc::new();
        sum.update(&header);
        header.extend(&sum.sum().to_le_bytes()[..2]);
        let whole = [&header, &GZ[GZ_DATA..]].concat();
        assert_eq!(try_unpack(&whole).unwrap(), text());
        // Its checksum covers every byte before it.
        for at in 0..header.len() {
            let mut wrong = whole.clone();
            wrong[at] ^= 1;
            match unpack(&file_of(&wrong), Packing::Gzip, 10_000, &std::env::temp_dir()) {
                Err(Failure::Damaged(_)) => {}
                other => panic!("{at}: {other:?}"),
            }
            damage(&[GZ, &whole[..=at]].concat());
        }
        let mut unknown = GZ.to_vec();
        unknown[3] |= 0x20;
        assert!(damage(&unknown).contains("no meaning"));
    }

    #[test]
    fn the_sums_of_a_member_are_checked() {
        let n = GZ.len();
        for (at, what) in [(n - 8, "checksum"), (n - 4, "length"), (n - 1, "length")] {
            let mut wrong = GZ.to_vec();
            wrong[at] ^= 1;
            assert!(damage(&wrong).contains(what));
        }
    }

    #[test]
    fn a_limit_is_exact() {
        for packed in [GZ, BZ2, Z] {
            assert_eq!(try_with(packed, 160).unwrap(), text());
            for limit in [0, 1, 159] {
                assert!(matches!(try_with(packed, limit), Err(Failure::TooLarge { limit: l }) if l == limit));
            }
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        const LIMIT: u64 = 1 << 20;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&vec![0; 100_000_000]).unwrap();
        let packed = encoder.finish().unwrap();
        let (file, temporary) = (file_of(&packed), tempfile::tempfile().unwrap());
        let mut input = Input::new(&file);
        let mut output = Output::new(temporary.try_clone().unwrap(), LIMIT);
        assert!(matches!(gzip(&mut input, &mut output), Err(Failure::TooLarge { limit: LIMIT })));
        assert_eq!(temporary.metadata().unwrap().len(), LIMIT);
        // Hundreds of kB hold it all: one read is enough to see it.
        assert_eq!(input.position, READ as u64);
    }

    #[test]
    fn thousands_of_empty_bzip2_streams_are_refused() {
        let empty = bz2(b"");
        assert_eq!(try_unpack(&empty.repeat(1000)).unwrap(), b"");
        assert!(damage(&empty.repeat(2000)).contains("next to nothing"));
    }

    #[test]
    fn limits_grow_with_the_file() {
        let limits = Limits { free: 1000, ratio: 10, max: 5000 };
        let of = [0, 100, 101, 499, 501, u64::MAX].map(|n| limits.of(n));
        assert_eq!(of, [1000, 1000, 1010, 4990, 5000, 5000]);
    }

    #[test]
    fn each_failure_has_its_kind() {
        let folder = tempfile::tempdir().unwrap();
        let none = folder.path().join("none");
        assert!(matches!(unpack(&file_of(GZ), Packing::Gzip, 1000, &none), Err(Failure::Temporary(_))));
        assert!(matches!(unpack(&file_of(GZ), Packing::Zip, 1000, folder.path()), Err(Failure::Unsupported)));
        let name = folder.path().join("a");
        let unreadable = File::create(&name).unwrap();
        assert!(matches!(unpack(&unreadable, Packing::Gzip, 1000, folder.path()), Err(Failure::Io(_))));
        assert!(damage(b"SIMPLE").contains("gzip"));
        // Nothing is left in the folder, and was not there before.
        std::fs::write(&name, GZ).unwrap();
        unpack(&File::open(&name).unwrap(), Packing::Gzip, 1000, folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_full_disk_is_told_as_such() {
        let Ok(full) = File::options().write(true).open("/dev/full") else { return };
        let mut output = Output::new(full, 1 << 30);
        gzip(&mut Input::new(&file_of(GZ)), &mut output).unwrap();
        assert!(matches!(output.finish(), Err(Failure::Temporary(_))));
    }
}
