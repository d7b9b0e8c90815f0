//! The LZW of `compress` (`.Z` files).
//!
//! Codes 0 to 255 are bytes; in block mode 256 clears the table; each further code stands for the text of the code
//! before it and the first byte of the text after. Codes have 9 bits at first and one more each time the table has
//! outgrown them, up to the maximum that the file's flags give, 9 to 16; a full table stays as it is. They are packed
//! from the lowest bit up. The programs write eight codes at a time, so where the width changes, and after a code that
//! clears, what is left of a group of eight is padding.
//!
//! With a maximum of 9 the programs disagree about what follows a full table: the first compress goes on with 10 bits,
//! others with 9. Such a file is refused, since nothing in it could tell that it was read wrongly.

use super::inflate::{Decoder, Failure, Step, damaged};

const CLEAR: u16 = 256;
/// Codes have this many bits at first.
const FIRST_WIDTH: u32 = 9;
const MAX_WIDTH: u32 = 16;
/// The codes there can be, and the length no text exceeds: each byte of a text but the first has a code of its own.
const CODES: usize = 1 << MAX_WIDTH;

/// The decoder of one file, behind its three bytes of header.
pub(super) struct Lzw {
    max_width: u32,
    block_mode: bool,
    width: u32,
    /// Codes read in the group of eight.
    in_group: u32,
    /// The code that gets the next text.
    free: usize,
    /// The code before, none at the start and after a clear.
    previous: Option<u16>,
    /// The first byte of its text.
    first: u8,
    /// Bits that were read and not used, and how many.
    bits: u32,
    held: u32,
    /// Bits of padding that are to come.
    padding: u32,
    /// For each code from 256 on the code of all but the last byte, and the last byte.
    prefix: Vec<u16>,
    suffix: Vec<u8>,
    /// The text of the last code, at the end; what is before `at` was handed out or belongs to no text.
    text: Vec<u8>,
    at: usize,
}

impl Lzw {
    pub(super) fn new(flags: u8) -> Result<Self, Failure> {
        let max_width = u32::from(flags & 0x1f);
        if !(FIRST_WIDTH..=MAX_WIDTH).contains(&max_width) || flags & 0x60 != 0 {
            return damaged(format!("the flags of the compress header, {flags:#04x}, have no meaning"));
        }
        let block_mode = flags & 0x80 != 0;
        Ok(Lzw {
            max_width,
            block_mode,
            width: FIRST_WIDTH,
            in_group: 0,
            free: Self::first_free(block_mode),
            previous: None,
            first: 0,
            bits: 0,
            held: 0,
            padding: 0,
            prefix: vec![0; CODES],
            suffix: vec![0; CODES],
            text: vec![0; CODES],
            at: CODES,
        })
    }

    fn first_free(block_mode: bool) -> usize {
        usize::from(CLEAR) + usize::from(block_mode)
    }

    /// Puts as much of the text as fits into the room.
    fn hand_out(&mut self, room: &mut [u8]) -> usize {
        let n = room.len().min(self.text.len() - self.at);
        room[..n].copy_from_slice(&self.text[self.at..self.at + n]);
        self.at += n;
        n
    }

    /// The next code, none where the input is used up.
    fn code(&mut self, input: &[u8], used: &mut usize) -> Result<Option<u16>, Failure> {
        if self.free >> self.width != 0 && self.width < self.max_width {
            self.end_group();
            self.width += 1;
        }
        while self.padding > 0 {
            if self.held == 0 && !self.load(input, used) {
                return Ok(None);
            }
            let n = self.padding.min(self.held);
            self.drop_bits(n);
            self.padding -= n;
        }
        while self.held < self.width {
            if !self.load(input, used) {
                return Ok(None);
            }
        }
        if self.max_width == FIRST_WIDTH && self.free >> FIRST_WIDTH != 0 {
            return damaged("compress data of at most 9 bits whose table is full cannot be read safely");
        }
        let code = (self.bits & ((1 << self.width) - 1)) as u16;
        self.drop_bits(self.width);
        self.in_group = (self.in_group + 1) % 8;
        Ok(Some(code))
    }

    /// Adds eight bits, of which there are never more than 15 before; false where the input is used up.
    fn load(&mut self, input: &[u8], used: &mut usize) -> bool {
        let Some(&byte) = input.get(*used) else { return false };
        self.bits |= u32::from(byte) << self.held;
        self.held += 8;
        *used += 1;
        true
    }

    fn drop_bits(&mut self, n: u32) {
        self.bits >>= n;
        self.held -= n;
    }

    /// What is left of the group is padding.
    fn end_group(&mut self) {
        self.padding = (8 - self.in_group) % 8 * self.width;
        self.in_group = 0;
    }

    /// Finds the text of a code and gives the next code its meaning.
    fn take(&mut self, code: u16) -> Result<(), Failure> {
        if self.block_mode && code == CLEAR {
            self.end_group();
            self.width = FIRST_WIDTH;
            self.free = Self::first_free(true);
            self.previous = None;
            return Ok(());
        }
        let known = match self.previous {
            Some(_) => usize::from(code) <= self.free,
            None => code < CLEAR,
        };
        if !known {
            return damaged("the compress data hold a code that has no meaning yet");
        }
        self.spell(code);
        if let Some(previous) = self.previous
            && self.free < 1 << self.max_width
        {
            self.prefix[self.free] = previous;
            self.suffix[self.free] = self.first;
            self.free += 1;
        }
        self.previous = Some(code);
        Ok(())
    }

    /// Writes the text of a known code, from its end. A prefix is always smaller than its code, so this ends.
    fn spell(&mut self, mut code: u16) {
        let mut at = self.text.len();
        if let Some(previous) = self.previous
            && usize::from(code) == self.free
        {
            // The code that is about to get its meaning: the text before and its own first byte.
            at -= 1;
            self.text[at] = self.first;
            code = previous;
        }
        while code >= CLEAR {
            at -= 1;
            self.text[at] = self.suffix[usize::from(code)];
            code = self.prefix[usize::from(code)];
        }
        at -= 1;
        self.text[at] = code as u8;
        (self.first, self.at) = (code as u8, at);
    }

    /// Checks what is left where the file ends: whole codes were written, and zeros up to the next byte.
    fn end(&self) -> Result<(), Failure> {
        if self.padding > 0 || self.held >= 8 || self.bits != 0 {
            return damaged("the compress data end inside a code: the file is truncated");
        }
        Ok(())
    }
}

impl Decoder for Lzw {
    fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, Failure> {
        let (mut used, mut made) = (0, 0);
        loop {
            made += self.hand_out(&mut room[made..]);
            if made == room.len() {
                return Ok(Step { used, made, ended: false });
            }
            match self.code(input, &mut used)? {
                Some(code) => self.take(code)?,
                None if input.is_empty() => {
                    self.end()?;
                    return Ok(Step { used, made, ended: true });
                }
                None => return Ok(Step { used, made, ended: false }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Writes codes as `compress` does, padding included.
    struct Writer {
        bytes: Vec<u8>,
        bits: u32,
        held: u32,
        width: u32,
        in_group: u32,
    }

    impl Writer {
        fn new() -> Self {
            Writer { bytes: Vec::new(), bits: 0, held: 0, width: FIRST_WIDTH, in_group: 0 }
        }

        fn put(&mut self, code: usize) {
            self.bits |= (code as u32) << self.held;
            self.held += self.width;
            while self.held >= 8 {
                self.bytes.push(self.bits as u8);
                self.bits >>= 8;
                self.held -= 8;
            }
            self.in_group = (self.in_group + 1) % 8;
        }

        fn set_width(&mut self, width: u32) {
            while self.in_group != 0 {
                self.put(0);
            }
            self.width = width;
        }

        fn finish(mut self) -> Vec<u8> {
            if self.held > 0 {
                self.bytes.push(self.bits as u8);
            }
            self.bytes
        }
    }

    /// The codes of `data`; with `clear`, the table is cleared after every so many of them.
    fn pack(data: &[u8], max_width: u32, first: usize, clear: Option<usize>) -> Vec<u8> {
        let (mut writer, mut table, mut free) = (Writer::new(), HashMap::new(), first);
        let (mut text, mut count) = (None, 0);
        for next in data.iter().map(Some).chain([None]) {
            if let (Some(code), Some(&byte)) = (text, next)
                && let Some(&longer) = table.get(&(code, byte))
            {
                text = Some(longer);
                continue;
            }
            if let Some(code) = text {
                writer.put(code);
                count += 1;
                if free >> writer.width != 0 && writer.width < max_width {
                    writer.set_width(writer.width + 1);
                }
                if let Some(&byte) = next
                    && free < 1 << max_width
                {
                    table.insert((code, byte), free);
                    free += 1;
                }
            }
            if next.is_some() && clear.is_some_and(|n| count % n == n - 1) {
                writer.put(256);
                writer.set_width(FIRST_WIDTH);
                (free, count) = (first, 0);
                table.clear();
            }
            text = next.map(|&b| usize::from(b));
        }
        writer.finish()
    }

    /// Feeds pieces of `piece` bytes to a decoder with room for `room` bytes.
    fn unpack_in(packed: &[u8], flags: u8, piece: usize, room: usize) -> Result<Vec<u8>, Failure> {
        let mut lzw = Lzw::new(flags)?;
        let (mut out, mut space, mut at) = (Vec::new(), vec![0; room], 0);
        loop {
            let input = &packed[at..packed.len().min(at + piece)];
            let step = lzw.step(input, &mut space)?;
            assert!(step.used > 0 || step.made > 0 || step.ended, "no step forward");
            at += step.used;
            out.extend(&space[..step.made]);
            if step.ended {
                assert_eq!(at, packed.len());
                return Ok(out);
            }
        }
    }

    fn unpack(packed: &[u8], flags: u8) -> Result<Vec<u8>, Failure> {
        unpack_in(packed, flags, 65_536, 65_536)
    }

    /// Codes of 9 bits.
    fn codes(codes: &[usize]) -> Vec<u8> {
        let mut writer = Writer::new();
        codes.iter().for_each(|&c| writer.put(c));
        writer.finish()
    }

    /// Bytes that pack somewhat and fill the largest table.
    fn data(len: usize) -> Vec<u8> {
        let mut seed = 1u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 24
        };
        (0..len).map(|i| if i % 2 == 0 { (next() & 7) as u8 } else { (next() & next()) as u8 }).collect()
    }

    #[test]
    fn every_width_and_mode_comes_back() {
        // Enough to fill the table of 16 bits.
        let long = data(200_000);
        for max_width in 10..=16 {
            for (block, clear) in [(0, None), (0x80, None), (0x80, Some(100)), (0x80, Some(5003)), (0x80, Some(1))] {
                let data = if clear.is_none() { &long } else { &long[..20_000] };
                let packed = pack(data, max_width, if block == 0 { 256 } else { 257 }, clear);
                let flags = block | max_width as u8;
                assert!(unpack(&packed, flags).unwrap() == data, "{max_width} {block} {clear:?}");
            }
        }
    }

    #[test]
    fn every_length_comes_back_in_pieces_of_any_size() {
        let data = data(1500);
        for len in 0..data.len() {
            let packed = pack(&data[..len], 10, 257, Some(700));
            let (piece, room) = (1 + len % 5, 1 + len % 7);
            assert!(unpack_in(&packed, 0x8a, piece, room).unwrap() == data[..len], "{len}");
        }
        let zeros = vec![0; 100_000];
        assert!(unpack_in(&pack(&zeros, 16, 257, None), 0x90, 3, 1000).unwrap() == zeros);
    }

    #[test]
    fn a_text_may_have_a_byte_for_each_code() {
        // Zeros until the table is full: the longest text there is. Of 16 bits it would take 2 GB.
        let len = (1..=1792).sum::<usize>() + 1793;
        let packed = pack(&vec![0; len], 11, 256, None);
        let out = unpack(&packed, 0x0b).unwrap();
        assert!(out.len() == len && out.iter().all(|&b| b == 0));
    }

    #[test]
    fn a_code_must_have_a_meaning() {
        assert_eq!(unpack(&codes(&[65, 257, 66, 258]), 0x90).unwrap(), b"AAABAAB");
        for bad in [&[257][..], &[65, 258], &[65, 66, 511], &[256, 0, 0, 0, 0, 0, 0, 0, 257]] {
            assert!(unpack(&codes(bad), 0x90).is_err(), "{bad:?}");
        }
        // Without block mode 256 is the first code of the table.
        assert_eq!(unpack(&codes(&[65, 256]), 0x10).unwrap(), b"AAA");
        assert!(unpack(&codes(&[256]), 0x10).is_err());
    }

    #[test]
    fn flags_without_a_meaning_are_refused() {
        for flags in 0..=255 {
            let good = matches!(flags & 0x1f, 9..=16) && flags & 0x60 == 0;
            assert_eq!(Lzw::new(flags).is_ok(), good, "{flags:#x}");
        }
    }

    #[test]
    fn a_full_table_of_nine_bits_is_refused() {
        let data = data(1000);
        assert_eq!(unpack(&pack(&data[..200], 9, 257, None), 0x89).unwrap(), data[..200]);
        assert!(unpack(&pack(&data, 9, 257, None), 0x89).is_err());
        // Cleared in time it never fills.
        assert_eq!(unpack(&pack(&data, 9, 257, Some(200)), 0x89).unwrap(), data);
    }

    #[test]
    fn an_end_inside_a_code_is_seen() {
        let data = data(2000);
        let packed = pack(&data, 16, 257, None);
        let mut seen = 0;
        for end in 0..packed.len() {
            match unpack(&packed[..end], 0x90) {
                Ok(out) => assert!(data.starts_with(&out)),
                Err(_) => seen += 1,
            }
        }
        assert!(seen * 2 > packed.len(), "{seen} of {}", packed.len());
    }
}
