//! PLIO_1 (FITS standard 4.0, section 10.4.3; the line lists of IRAF's pixel list package): masks as runs, in 16-bit
//! words.
//!
//! A list starts with a header in one of two layouts, told apart by its third word:
//!
//! - positive: it is the length of the list, and the instructions start with the fourth word;
//! - else the second word is the length of the header (7), and the length of the list is the fourth word plus the fifth
//!   times 2^15.
//!
//! Lengths are in words and count the header. An instruction is a word: the opcode in the upper 4 bits, a number in the
//! other 12. There is a current value, 1 at the start:
//!
//! - 0: as many zeros; 4: as many pixels of the value; 5: as many pixels, zeros but for the last, which is the value;
//! - 1: sets the value to the number plus the next word times 2^12; 2 and 3: adds the number to it, subtracts it;
//! - 6 and 7: like 2 and 3, and then one pixel of the value.
//!
//! Pixels behind the last instruction are zero. Values reach 2^24 in files; words are never negative.

const SHORT: &str = "plio: the data end early";
const LONG: &str = "plio: the list has more pixels than the tile";

/// Decodes a tile of `out.len()` pixels from the big-endian words of its list.
pub(crate) fn decode(bytes: &[u8], out: &mut [i32]) -> Result<(), &'static str> {
    let (words, _) = bytes.as_chunks::<2>();
    let mut words = instructions(words)?.iter().map(|w| u16::from_be_bytes(*w));
    let mut value = 1i32;
    let mut rest = out;
    while let Some(word) = words.next() {
        let number = i32::from(word & 0x0fff);
        let opcode = word >> 12;
        match opcode {
            1 => {
                let high = words.next().ok_or(SHORT)?;
                value = i32::from(high & 0x7fff) << 12 | number;
            }
            2 | 6 => value = value.wrapping_add(number),
            3 | 7 => value = value.wrapping_sub(number),
            0 | 4 | 5 => {}
            _ => return Err("plio: an opcode does not exist"),
        }
        let run = match opcode {
            0 | 4 | 5 => number as usize,
            6 | 7 => 1,
            _ => continue,
        };
        let (pixels, behind) = rest.split_at_mut_checked(run).ok_or(LONG)?;
        rest = behind;
        pixels.fill(if matches!(opcode, 0 | 5) { 0 } else { value });
        if let (5, Some(last)) = (opcode, pixels.last_mut()) {
            *last = value;
        }
    }
    rest.fill(0);
    Ok(())
}

/// The words behind the header.
fn instructions(words: &[[u8; 2]]) -> Result<&[[u8; 2]], &'static str> {
    let word = |i: usize| words.get(i).map(|w| i16::from_be_bytes(*w)).ok_or(SHORT);
    let count = |v: i16| usize::try_from(v).map_err(|_| "plio: the header has a negative length");
    let (start, end) = match word(2)? {
        length @ 1.. => (3, count(length)?),
        _ => (count(word(1)?)?, (count(word(4)?)? << 15) + count(word(3)?)?),
    };
    let list = words.get(..end).ok_or(SHORT)?;
    Ok(list.get(start..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    /// Pixels and list. Made by astropy 8.0.2.
    const VECTORS: [(&[i32], &[u8]); 4] = [
        // zeros
        (
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0x00, 0x00, 0x00, 0x07, 0xff, 0x9c, 0x00, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0c],
        ),
        // ones
        (
            &[0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0],
            &[
                0x00, 0x00, 0x00, 0x07, 0xff, 0x9c, 0x00, 0x0a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x40,
                0x05, 0x00, 0x04,
            ],
        ),
        // levels
        (
            &[0, 0, 5, 5, 5, 4, 0, 0, 0, 0, 3000, 3000, 0, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[
                0x00, 0x00, 0x00, 0x07, 0xff, 0x9c, 0x00, 0x12, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x20, 0x04, 0x00,
                0x02, 0x40, 0x03, 0x70, 0x01, 0x2b, 0xb4, 0x00, 0x04, 0x40, 0x02, 0x3b, 0xaf, 0x00, 0x01, 0x40, 0x02,
                0x00, 0x09,
            ],
        ),
        // high
        (
            &[
                0, 0, 0, 0, 16777215, 16777215, 16777215, 16777215, 16777214, 16777214, 16777214, 16777214, 70000,
                70000, 70000, 70000, 70000, 70000, 70000, 70000, 0, 0, 0, 0,
            ],
            &[
                0x00, 0x00, 0x00, 0x07, 0xff, 0x9c, 0x00, 0x11, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1f, 0xff, 0x0f,
                0xff, 0x00, 0x04, 0x40, 0x04, 0x30, 0x01, 0x40, 0x04, 0x11, 0x70, 0x00, 0x11, 0x40, 0x08, 0x00, 0x04,
            ],
        ),
    ];

    fn decoded(bytes: &[u8], n: usize) -> Result<Vec<i32>, &'static str> {
        let mut out = vec![0x5a5a_5a5a; n];
        decode(bytes, &mut out).map(|()| out)
    }

    fn list(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_be_bytes()).collect()
    }

    #[test]
    fn vectors() {
        for (values, bytes) in VECTORS {
            assert_eq!(decoded(bytes, values.len()).as_deref(), Ok(values));
            // The same with the short header.
            let length = (bytes.len() / 2 - 4) as u16;
            let short = [&list(&[0, 0, length]), &bytes[14..]].concat();
            assert_eq!(decoded(&short, values.len()).as_deref(), Ok(values));
        }
    }

    #[test]
    fn each_instruction() {
        // 2 zeros, +4, 2 of 5, 3 that end in 5, -1 and a pixel, +6 and a pixel, set 3 << 12 | 9, 1 of it, -9, 1 of it.
        let words = [0, 0, 14, 0x0002, 0x2004, 0x4002, 0x5003, 0x7001, 0x6006, 0x1009, 3, 0x4001, 0x3009, 0x4001];
        let pixels = vec![0, 0, 5, 5, 0, 0, 5, 4, 10, 0x3009, 0x3000, 0, 0];
        assert_eq!(decoded(&list(&words), 13), Ok(pixels));
    }

    #[test]
    fn lengths() {
        // An empty list, and more than 2^15 words.
        assert_eq!(decoded(&list(&[0, 7, 0xff9c, 7, 0, 0, 0]), 3), Ok(vec![0; 3]));
        let mut words = vec![0, 7, 0xff9c, 7 + 40_000 - 32_768, 1, 0, 0];
        words.extend([0x4001; 40_000]);
        assert_eq!(decoded(&list(&words), 40_001).map(|v| v.iter().sum::<i32>()), Ok(40_000));
        words.pop();
        assert_eq!(decoded(&list(&words), 40_001), Err(SHORT));
    }

    #[test]
    fn illegal() {
        assert_eq!(decoded(&[], 1), Err(SHORT));
        assert_eq!(decoded(&list(&[0, 0, 4]), 1), Err(SHORT));
        assert_eq!(decoded(&list(&[0, 0, 4, 0x4002]), 1), Err(LONG));
        assert_eq!(decoded(&list(&[0, 0, 4, 0x8000]), 1), Err("plio: an opcode does not exist"));
        assert_eq!(decoded(&list(&[0, 0, 4, 0x1000]), 1), Err(SHORT));
        assert!(decoded(&list(&[0, 0xffff, 0, 9, 0, 0, 0]), 1).is_err());
        assert!(decoded(&list(&[0, 7, 0, 0xffff, 0, 0, 0]), 1).is_err());
    }

    #[test]
    fn garbage() {
        let mut random = Random(3);
        for i in 0..20_000u64 {
            let n = random.next() as usize % 200;
            let mut bytes = random.bytes(n);
            if i % 4 != 0 && n >= 6 {
                bytes[4..6].copy_from_slice(&(n as u16 / 2).to_be_bytes());
                // Opcodes that exist.
                bytes[6..].iter_mut().step_by(2).for_each(|b| *b &= 0x70);
            }
            let _ = decoded(&bytes, random.next() as usize % 3000);
        }
    }
}
