//! The packings of tiles: FITS standard 4.0, section 10. Each turns bytes into integers or bytes, and knows nothing of
//! images.

pub(super) mod gzip;
pub(super) mod hcompress;
pub(super) mod plio;
pub(super) mod quantize;
pub(super) mod rice;

#[cfg(test)]
mod random {
    /// Marsaglia's xorshift: the same numbers in each run.
    pub(super) struct Random(pub u64);

    impl Random {
        pub(super) fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        pub(super) fn bytes(&mut self, n: usize) -> Vec<u8> {
            (0..n).map(|_| (self.next() >> 32) as u8).collect()
        }
    }
}
