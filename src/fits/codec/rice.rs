//! RICE_1 (FITS standard 4.0, section 10.4.1; Rice, Yeh and Miller 1993, AIAA-93-4541): differences of consecutive
//! pixels, in blocks of BLOCKSIZE, each block with the number of low bits that suits it.
//!
//! The stream: the first pixel in BYTEPIX big-endian bytes, then a string of bits, the highest bit of a byte first.
//! Differences wrap in the width of a pixel and are mapped to unsigned numbers: 0, -1, 1, -2, 2 ... become 0, 1, 2, 3,
//! 4. (The first difference of a tile is the first pixel's to itself.) A block starts with a code of 3, 4 or 5 bits
//! (BYTEPIX 1, 2, 4):
//!
//! - 0: all differences are 0, nothing follows;
//! - 1 to 6, 14 or 25: the code less one is `fs`, and each mapped difference is written as its bits above `fs` in unary
//!   (as many 0 bits, then a 1 bit), then its low `fs` bits;
//! - one more (7, 15 or 26): each mapped difference is written in 8, 16 or 32 plain bits.
//!
//! Pixels of 1 byte are unsigned, the others signed. Bits behind the last block pad its byte and are ignored.

const SHORT: &str = "rice: the data end early";
const OPTIONS: &str = "rice: BLOCKSIZE or BYTEPIX is not one that exists";

/// Decodes a tile of `out.len()` pixels.
pub(crate) fn decode(bytes: &[u8], block: usize, bytepix: usize, out: &mut [i32]) -> Result<(), &'static str> {
    if !(1..=65536).contains(&block) {
        return Err(OPTIONS);
    }
    match bytepix {
        1 => decode_width::<1>(bytes, block, out),
        2 => decode_width::<2>(bytes, block, out),
        4 => decode_width::<4>(bytes, block, out),
        _ => Err(OPTIONS),
    }
}

/// Appends the stream of a tile. Values are taken modulo the width of a pixel; with a block of 0 or a BYTEPIX that does
/// not exist, the usual ones (32, 4) are used.
pub(crate) fn encode(values: &[i32], block: usize, bytepix: usize, out: &mut Vec<u8>) {
    let block = if block == 0 { 32 } else { block };
    match bytepix {
        1 => encode_width::<1>(values, block, out),
        2 => encode_width::<2>(values, block, out),
        _ => encode_width::<4>(values, block, out),
    }
}

/// Bits of a block's code.
const fn code_bits(bytepix: usize) -> u32 {
    match bytepix {
        1 => 3,
        2 => 4,
        _ => 5,
    }
}

/// The code of a block of plain differences.
const fn plain_code(bytepix: usize) -> u32 {
    match bytepix {
        1 => 7,
        2 => 15,
        _ => 26,
    }
}

/// The pixel of `BYTEPIX` bytes that the low bits of `v` are.
#[inline(always)]
fn narrow<const BYTEPIX: usize>(v: u32) -> i32 {
    match BYTEPIX {
        1 => i32::from(v as u8),
        2 => i32::from(v as i16),
        _ => v as i32,
    }
}

/// The difference that was mapped to `m`.
#[inline(always)]
fn unmap(m: u32) -> u32 {
    (m >> 1) ^ (m & 1).wrapping_neg()
}

fn decode_width<const BYTEPIX: usize>(bytes: &[u8], block: usize, out: &mut [i32]) -> Result<(), &'static str> {
    if out.is_empty() {
        return Ok(());
    }
    let (first, rest) = bytes.split_at_checked(BYTEPIX).ok_or(SHORT)?;
    let mut last = first.iter().fold(0u32, |v, &b| v << 8 | u32::from(b));
    let mut bits = Bits { rest, buffer: 0, have: 0 };
    for pixels in out.chunks_mut(block) {
        let code = bits.take(code_bits(BYTEPIX))?;
        last = match code {
            0 => {
                pixels.fill(narrow::<BYTEPIX>(last));
                last
            }
            c if c < plain_code(BYTEPIX) => split_block::<BYTEPIX>(&mut bits, c - 1, last, pixels)?,
            c if c == plain_code(BYTEPIX) => plain_block::<BYTEPIX>(&mut bits, last, pixels)?,
            _ => return Err("rice: a block has a code that does not exist"),
        };
    }
    Ok(())
}

/// A block of plain differences; returns its last pixel.
fn plain_block<const BYTEPIX: usize>(
    bits: &mut Bits<'_>,
    mut last: u32,
    pixels: &mut [i32],
) -> Result<u32, &'static str> {
    for pixel in pixels {
        last = last.wrapping_add(unmap(bits.take(8 * BYTEPIX as u32)?));
        *pixel = narrow::<BYTEPIX>(last);
    }
    Ok(last)
}

/// A block of differences in unary and `fs` low bits; returns its last pixel.
fn split_block<const BYTEPIX: usize>(
    bits: &mut Bits<'_>,
    fs: u32,
    last: u32,
    pixels: &mut [i32],
) -> Result<u32, &'static str> {
    // As many numbers at a time as the buffer's 56 bits will mostly hold.
    match fs {
        0..=3 => split_groups::<BYTEPIX, 8>(bits, fs, last, pixels),
        4..=6 => split_groups::<BYTEPIX, 4>(bits, fs, last, pixels),
        7..=14 => split_groups::<BYTEPIX, 2>(bits, fs, last, pixels),
        _ => split_groups::<BYTEPIX, 1>(bits, fs, last, pixels),
    }
}

#[inline(always)]
fn split_groups<const BYTEPIX: usize, const GROUP: usize>(
    bits: &mut Bits<'_>,
    fs: u32,
    mut last: u32,
    pixels: &mut [i32],
) -> Result<u32, &'static str> {
    let mut groups = pixels.chunks_exact_mut(GROUP);
    for group in &mut groups {
        let mapped = match bits.split_group::<GROUP>(fs) {
            Some(mapped) => mapped,
            None => {
                let mut mapped = [0; GROUP];
                for m in &mut mapped {
                    *m = bits.split(fs)?;
                }
                mapped
            }
        };
        for (pixel, m) in group.iter_mut().zip(mapped) {
            last = last.wrapping_add(unmap(m));
            *pixel = narrow::<BYTEPIX>(last);
        }
    }
    for pixel in groups.into_remainder() {
        last = last.wrapping_add(unmap(bits.split(fs)?));
        *pixel = narrow::<BYTEPIX>(last);
    }
    Ok(last)
}

/// Bits that [`ZEROS`] looks at.
const ZEROS_BITS: u32 = 11;

/// How many zeros lead a number of these bits; 64 if it is 0. Faster than counting where the processor to build for may
/// lack an instruction that does.
static ZEROS: [u8; 1 << ZEROS_BITS] = zeros_table();

const fn zeros_table() -> [u8; 1 << ZEROS_BITS] {
    let mut table = [64; 1 << ZEROS_BITS];
    let mut i = 1;
    while i < table.len() {
        table[i] = (ZEROS_BITS - 1 - i.ilog2()) as u8;
        i += 1;
    }
    table
}

/// Bits from bytes, the highest first.
struct Bits<'a> {
    /// Bytes of which `have` does not count a bit yet.
    rest: &'a [u8],
    /// The next bits, from the top. Below the first `have` there may be more of the same stream, or zeros.
    buffer: u64,
    have: u32,
}

impl Bits<'_> {
    /// Tops the buffer up to 56 bits or more, or to all that are left.
    #[inline(always)]
    fn refill(&mut self) {
        if let Some(word) = self.rest.first_chunk::<8>() {
            // A byte of which only a part fits is not counted, and comes again, over the same bits.
            self.buffer |= u64::from_be_bytes(*word) >> (self.have & 63);
            self.rest = &self.rest[(63 - (self.have & 63)) as usize / 8..];
            self.have |= 56;
        } else {
            self.refill_from_tail();
        }
    }

    #[cold]
    fn refill_from_tail(&mut self) {
        while let Some((&byte, rest)) = self.rest.split_first()
            && self.have <= 56
        {
            self.buffer |= u64::from(byte) << (56 - self.have);
            self.have += 8;
            self.rest = rest;
        }
    }

    /// Drops `n` bits, at most `have` and fewer than 64.
    fn skip(&mut self, n: u32) {
        self.buffer <<= n;
        self.have -= n;
    }

    /// The next `n` bits, 32 at most.
    #[inline(always)]
    fn take(&mut self, n: u32) -> Result<u32, &'static str> {
        if self.have < n {
            self.refill();
            if self.have < n {
                return Err(SHORT);
            }
        }
        // In two steps, as n may be 0.
        let v = (self.buffer >> 1 >> (63 - n)) as u32;
        self.skip(n);
        Ok(v)
    }

    /// The next `N` mapped differences, if the buffer can hold them; else nothing is taken.
    #[inline(always)]
    fn split_group<const N: usize>(&mut self, fs: u32) -> Option<[u32; N]> {
        self.refill();
        let mut mapped = [0; N];
        let (mut buffer, mut used) = (self.buffer, 0);
        for m in &mut mapped {
            // Where the buffer has run out this is nonsense, and `used` tells.
            let zeros = u32::from(ZEROS[(buffer >> (64 - ZEROS_BITS)) as usize]);
            buffer = buffer.wrapping_shl(zeros);
            // The low bits with the 1 bit before them.
            let low = (buffer >> (63 - fs)) as u32;
            *m = low.wrapping_sub(1 << fs).wrapping_add(zeros << fs);
            buffer = buffer << 1 << fs;
            used += zeros + 1 + fs;
        }
        if used > self.have {
            return None;
        }
        self.buffer = buffer;
        self.have -= used;
        Some(mapped)
    }

    /// The next mapped difference, however long.
    #[cold]
    #[inline(never)]
    fn split(&mut self, fs: u32) -> Result<u32, &'static str> {
        let most = u64::from(u32::MAX >> fs);
        let mut high = 0u64;
        loop {
            self.refill();
            let zeros = self.buffer.leading_zeros();
            if zeros < self.have {
                high += u64::from(zeros);
                self.skip(zeros);
                self.skip(1);
                break;
            }
            if self.have == 0 {
                return Err(SHORT);
            }
            // All that the buffer has are zeros, at most 64 bits.
            high += u64::from(self.have);
            (self.buffer, self.have) = (0, 0);
            if high > most {
                break;
            }
        }
        if high > most {
            return Err("rice: a difference is too large");
        }
        Ok((high as u32) << fs | self.take(fs)?)
    }
}

fn encode_width<const BYTEPIX: usize>(values: &[i32], block: usize, out: &mut Vec<u8>) {
    let Some(&first) = values.first() else { return };
    out.extend_from_slice(&first.to_be_bytes()[4 - BYTEPIX..]);
    let mut last = first;
    let mut mapped = Vec::with_capacity(block.min(values.len()));
    let mut sink = Sink { out, buffer: 0, have: 0 };
    for pixels in values.chunks(block) {
        mapped.clear();
        for &v in pixels {
            mapped.push(map::<BYTEPIX>(v.wrapping_sub(last)));
            last = v;
        }
        encode_block::<BYTEPIX>(&mapped, &mut sink);
    }
    sink.finish();
}

/// The unsigned number of a difference in the width of a pixel.
fn map<const BYTEPIX: usize>(difference: i32) -> u32 {
    let above = 32 - 8 * BYTEPIX as u32;
    let d = difference << above >> above;
    ((d << 1) ^ (d >> 31)) as u32
}

fn encode_block<const BYTEPIX: usize>(mapped: &[u32], sink: &mut Sink<'_>) {
    let sum: u64 = mapped.iter().map(|&m| u64::from(m)).sum();
    if sum == 0 {
        return sink.put(0, code_bits(BYTEPIX));
    }
    // The bits of half the mean: what is above them is then short in unary.
    let n = mapped.len() as u64;
    let half_mean = (sum.saturating_sub(n / 2 + 1) / n) >> 1;
    let fs = u64::BITS - half_mean.leading_zeros();
    if fs + 1 >= plain_code(BYTEPIX) {
        sink.put(plain_code(BYTEPIX), code_bits(BYTEPIX));
        mapped.iter().for_each(|&m| sink.put(m, 8 * BYTEPIX as u32));
    } else {
        sink.put(fs + 1, code_bits(BYTEPIX));
        mapped.iter().for_each(|&m| sink.put_split(m, fs));
    }
}

/// Bits to bytes, the highest first.
struct Sink<'a> {
    out: &'a mut Vec<u8>,
    /// The last bits that are not in `out` yet, at the bottom; fewer than 32 between calls.
    buffer: u64,
    have: u32,
}

impl Sink<'_> {
    /// Adds the low `n` bits of `v`, which has no others; 32 at most.
    fn put(&mut self, v: u32, n: u32) {
        self.buffer = self.buffer << n | u64::from(v);
        self.have += n;
        if self.have >= 32 {
            self.have -= 32;
            self.out.extend_from_slice(&((self.buffer >> self.have) as u32).to_be_bytes());
        }
    }

    fn put_split(&mut self, m: u32, fs: u32) {
        let mut zeros = m >> fs;
        while zeros >= 32 {
            self.put(0, 32);
            zeros -= 32;
        }
        self.put(1, zeros + 1);
        self.put(m & ((1 << fs) - 1), fs);
    }

    fn finish(self) {
        let bytes = self.have.div_ceil(8) as usize;
        let last = ((self.buffer << (32 - self.have)) as u32).to_be_bytes();
        self.out.extend_from_slice(&last[..bytes]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    /// Block, bytes of a pixel, pixels, stream. Made by astropy 8.0.2.
    type Vector = (usize, usize, &'static [i32], &'static [u8]);

    const VECTORS: [Vector; 10] = [
        // one
        (32, 1, &[77], &[0x4d, 0x00]),
        // const
        (16, 2, &[-5, -5, -5, -5, -5, -5, -5, -5, -5, -5, -5, -5, -5, -5, -5, -5, -5, -5, -5, -5], &[0xff, 0xfb, 0x00]),
        // noise u8
        (
            16,
            1,
            &[128, 129, 127, 124, 126, 123, 128, 135, 126, 125, 130, 130, 129, 123, 128, 131, 121, 126, 118, 122],
            &[0x80, 0x73, 0x75, 0x45, 0x30, 0xc1, 0x69, 0xa5, 0x39, 0x9a, 0x16, 0xa7, 0xa0],
        ),
        // noise i16, two blocks
        (
            32,
            2,
            &[
                982, 998, 987, 1003, 1002, 998, 975, 995, 1000, 1001, 985, 995, 990, 992, 1011, 992, 1000, 1009, 994,
                999, 1001, 1001, 988, 1001, 1014, 985, 1009, 1001, 994, 1020, 1008, 988, 1001, 1006, 998,
            ],
            &[
                0x03, 0xd6, 0x58, 0x10, 0x54, 0x84, 0x6e, 0x74, 0xc6, 0xa4, 0xfa, 0x99, 0xa1, 0x62, 0xa8, 0x24, 0xee,
                0xa9, 0x06, 0x5a, 0x68, 0x64, 0x43, 0xfd, 0x14, 0x5c, 0xba, 0xb5, 0xaf, 0x80,
            ],
        ),
        // extremes u8
        (32, 1, &[0, 255, 0, 128, 127, 255, 255, 1], &[0x00, 0xe0, 0x00, 0x20, 0x5f, 0xe0, 0x3f, 0xe0, 0x00, 0x80]),
        // extremes i16
        (
            32,
            2,
            &[-32768, 32767, -32768, 0, -1, 32767],
            &[0x80, 0x00, 0xf0, 0x00, 0x00, 0x00, 0x10, 0x00, 0x2f, 0xff, 0xf0, 0x00, 0x1f, 0xff, 0xf0],
        ),
        // extremes i32
        (
            32,
            4,
            &[-2147483648, 2147483647, -2147483648, 0, -1, 2147483647],
            &[
                0x80, 0x00, 0x00, 0x00, 0xd0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x17,
                0xff, 0xff, 0xff, 0xf8, 0x00, 0x00, 0x00, 0x0f, 0xff, 0xff, 0xff, 0xf8,
            ],
        ),
        // spike: long unary
        (
            32,
            2,
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9000, 0, 0, 0, 0, 0],
            &[
                0x00, 0x00, 0xc8, 0x00, 0x80, 0x08, 0x00, 0x80, 0x08, 0x00, 0x80, 0x08, 0x00, 0x80, 0x08, 0x00, 0x80,
                0x00, 0x0e, 0x50, 0x00, 0xe4, 0xf8, 0x00, 0x80, 0x08, 0x00, 0x80, 0x00,
            ],
        ),
        // ramp
        (
            16,
            4,
            &[0, 100000, 200000, 300000, 400000, 500000, 600000, 700000, 800000],
            &[
                0x00, 0x00, 0x00, 0x00, 0x94, 0x00, 0x00, 0xc3, 0x50, 0x18, 0x6a, 0x03, 0x0d, 0x40, 0x61, 0xa8, 0x0c,
                0x35, 0x01, 0x86, 0xa0, 0x30, 0xd4, 0x06, 0x1a, 0x80,
            ],
        ),
        // zeros then one
        (16, 4, &[3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 3], &[0x00, 0x00, 0x00, 0x03, 0x00, 0x4a]),
    ];

    fn decoded(bytes: &[u8], block: usize, bytepix: usize, n: usize) -> Result<Vec<i32>, &'static str> {
        let mut out = vec![0x5a5a_5a5a; n];
        decode(bytes, block, bytepix, &mut out).map(|()| out)
    }

    fn encoded(values: &[i32], block: usize, bytepix: usize) -> Vec<u8> {
        let mut out = Vec::new();
        encode(values, block, bytepix, &mut out);
        out
    }

    #[test]
    fn vectors() {
        for (block, bytepix, values, bytes) in VECTORS {
            assert_eq!(decoded(bytes, block, bytepix, values.len()).as_deref(), Ok(values));
            assert_eq!(encoded(values, block, bytepix), bytes);
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut random = Random(1);
        for bytepix in [1, 2, 4] {
            for block in [1, 7, 16, 32, 1000] {
                for bits in 0..=8 * bytepix as u32 {
                    let values: Vec<i32> = (0..333)
                        .map(|_| {
                            // Now and then one far from the rest.
                            let bits = if random.next().is_multiple_of(50) { 8 * bytepix as u32 } else { bits };
                            let v = (random.next() >> 20) as u32;
                            match bytepix {
                                1 => narrow::<1>(v & ((1 << bits) - 1)),
                                2 => narrow::<2>(v & ((1 << bits) - 1)),
                                _ => narrow::<4>((u64::from(v) & ((1 << bits) - 1)) as u32),
                            }
                        })
                        .collect();
                    let bytes = encoded(&values, block, bytepix);
                    assert_eq!(decoded(&bytes, block, bytepix, values.len()), Ok(values));
                }
            }
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        for (block, bytepix, values, bytes) in VECTORS {
            for n in 0..bytes.len() {
                assert!(decoded(&bytes[..n], block, bytepix, values.len()).is_err());
            }
            let longer = [bytes, &[0xff; 9]].concat();
            assert_eq!(decoded(&longer, block, bytepix, values.len()).as_deref(), Ok(values));
        }
    }

    #[test]
    fn illegal() {
        assert_eq!(decoded(&[], 32, 2, 0), Ok(vec![]));
        assert_eq!(decoded(&[0; 9], 0, 2, 1), Err(OPTIONS));
        assert_eq!(decoded(&[0; 9], 65537, 2, 1), Err(OPTIONS));
        assert_eq!(decoded(&[0; 9], 32, 3, 1), Err(OPTIONS));
        // Code 27 of 4-byte pixels.
        assert!(decoded(&[0, 0, 0, 0, 27 << 3, 0, 0, 0], 32, 4, 1).is_err());
        // Zeros without an end: fs = 0 in 2 bytes, fs = 24 in 4.
        assert_eq!(decoded(&[[0, 0, 0x10].as_slice(), &[0; 100]].concat(), 32, 2, 1), Err(SHORT));
        let zeros = [[0, 0, 0, 0, 25 << 3].as_slice(), &[0; 100]].concat();
        assert_eq!(decoded(&zeros, 32, 4, 1), Err("rice: a difference is too large"));
    }

    #[test]
    fn garbage() {
        let mut random = Random(2);
        for i in 0..20_000 {
            let n = random.next() as usize % 200;
            let mut bytes = random.bytes(n);
            if let (Some(b), 0) = (bytes.get_mut(2..), i % 3) {
                // Long unary runs.
                b.iter_mut().for_each(|b| *b &= 1);
            }
            let (block, pixels) = (1 + random.next() as usize % 70, random.next() as usize % 300);
            let _ = decoded(&bytes, block, [1, 2, 4][i % 3], pixels);
        }
    }
}
