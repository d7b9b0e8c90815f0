//! The FITS checksum (standard 4.0, section 4.4.2.7 and appendix J): ones' complement sums of 32-bit big-endian
//! words, order-free, so bands may come in any order.

use crate::simd::{Loop, dispatch};

/// A running sum over bytes at known offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum(u64);

impl Sum {
    /// Adds `bytes` that lie `offset` bytes behind the start of the data.
    pub(crate) fn add(&mut self, offset: u64, bytes: &[u8]) {
        let lead = ((4 - offset % 4) % 4).min(bytes.len() as u64) as usize;
        let (head, rest) = bytes.split_at(lead);
        for (i, &b) in head.iter().enumerate() {
            self.byte(offset + i as u64, b);
        }
        let words = rest.chunks_exact(4);
        let tail = words.remainder();
        let tail_at = offset + (bytes.len() - tail.len()) as u64;
        // Few enough words between two folds that 64 bits cannot overflow.
        let mut sum = 0;
        dispatch(Words { bytes: rest, sum: &mut sum });
        self.0 += sum;
        self.fold();
        for (i, &b) in tail.iter().enumerate() {
            self.byte(tail_at + i as u64, b);
        }
    }

    fn byte(&mut self, at: u64, b: u8) {
        self.0 += u64::from(b) << (8 * (3 - at % 4));
        self.fold();
    }

    fn fold(&mut self) {
        while self.0 > u64::from(u32::MAX) {
            self.0 = (self.0 & u64::from(u32::MAX)) + (self.0 >> 32);
        }
    }

    /// Joins the sums of two disjoint parts.
    pub(crate) fn join(mut self, other: Sum) -> Sum {
        self.0 += other.0;
        self.fold();
        self
    }

    /// The sum itself, as DATASUM says it in decimal.
    pub(crate) fn value(self) -> u32 {
        // Folded after each addition.
        self.0 as u32
    }

    /// The 16 characters that bring the sum of the HDU to -0 when they stand in its CHECKSUM card.
    pub(crate) fn encode(self) -> String {
        let complement = !self.value();
        let mut columns = [[0u8; 4]; 4];
        for (i, column) in columns.iter_mut().enumerate() {
            let byte = (complement >> (24 - 8 * i)) as u8;
            *column = [byte / 4; 4].map(|quarter| quarter + b'0');
            column[0] += byte % 4;
            // Characters between the digits and the letters are moved in pairs that keep their sum.
            loop {
                let mut clean = true;
                for pair in [[0, 1], [2, 3]] {
                    if pair.iter().any(|&k| !column[k].is_ascii_alphanumeric()) {
                        column[pair[0]] += 1;
                        column[pair[1]] -= 1;
                        clean = false;
                    }
                }
                if clean {
                    break;
                }
            }
        }
        let mut text = [0u8; 16];
        for (i, column) in columns.iter().enumerate() {
            for (j, &c) in column.iter().enumerate() {
                // One to the right: the string starts at the second byte of a word (column 12 of its card).
                text[(4 * j + i + 1) % 16] = c;
            }
        }
        text.iter().map(|&b| char::from(b)).collect()
    }
}

/// Whole words, added.
struct Words<'a> {
    bytes: &'a [u8],
    sum: &'a mut u64,
}

impl Loop for Words<'_> {
    #[inline(always)]
    fn run(self) {
        let mut sum = 0u64;
        for word in self.bytes.as_chunks::<4>().0 {
            sum += u64::from(u32::from_be_bytes(*word));
        }
        *self.sum = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_in_any_order_make_the_whole() {
        let bytes: Vec<u8> = (0..1000u32).map(|i| (i * 37 % 251) as u8).collect();
        let mut whole = Sum::default();
        whole.add(0, &bytes);
        for cuts in [[1, 2], [3, 500], [7, 998]] {
            let mut b = Sum::default();
            b.add(cuts[1], &bytes[cuts[1] as usize..]);
            b.add(0, &bytes[..cuts[0] as usize]);
            let mut a = Sum::default();
            a.add(cuts[0], &bytes[cuts[0] as usize..cuts[1] as usize]);
            assert_eq!(a.join(b), whole);
        }
    }

    #[test]
    fn encoded_sum_cancels() {
        for seed in [0u64, 1, 0x3a3b_3c3d, 0xffff_ffff, 0x8000_0000, 0x5b5c_5d5e, 868_229_149] {
            let text = Sum(seed).encode();
            assert!(text.bytes().all(|b| b.is_ascii_alphanumeric()), "{text}");
            // The reference field is all '0' characters in the sum being complemented.
            let mut card = [b'0'; 16];
            let mut zeros = Sum(0);
            zeros.add(3, &card);
            card.copy_from_slice(text.as_bytes());
            let mut coded = Sum(0);
            coded.add(3, &card);
            // seed + coded - zeros = -0 in ones' complement.
            let total = Sum(seed).join(coded).join(Sum(u64::from(!zeros.value())));
            assert_eq!(total.value(), u32::MAX, "{seed:x}");
        }
    }
}
