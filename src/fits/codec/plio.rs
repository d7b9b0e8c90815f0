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
pub fn decode(bytes: &[u8], out: &mut [i32]) -> Result<(), &'static str> {
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
