//! GZIP_1 and GZIP_2: pixels of a tile deflated as big-endian numbers, FITS standard 4.0, section 10.4.2.
//!
//! GZIP_2 sorts the bytes before: all first bytes of the numbers, then all second ones, and so on. Both are lossless.
//! A stream that unpacks to more than is asked for stops there; one that unpacks to less is an error for the caller,
//! who knows the widths that are allowed.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

/// Unpacks into `out` (cleared first), at most `limit` bytes.
pub(crate) fn decode(bytes: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
    out.clear();
    // One more shows that there is more.
    let read = MultiGzDecoder::new(bytes).take(limit as u64 + 1).read_to_end(out);
    match read {
        Err(_) => Err("gzip: the stream is damaged or ends early"),
        Ok(n) if n > limit => Err("gzip: more data than pixels"),
        Ok(_) => Ok(()),
    }
}

/// Deflates `bytes` and appends the result.
pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
    let mut encoder = GzEncoder::new(out, Compression::new(4));
    encoder.write_all(bytes)?;
    encoder.finish().map(|_| ())
}

/// Bytes of numbers of `size` bytes in the order of GZIP_2 back to that of the numbers.
pub(crate) fn unshuffle(bytes: &[u8], size: usize, out: &mut Vec<u8>) {
    let n = bytes.len() / size;
    out.clear();
    out.resize(n * size, 0);
    for (k, plane) in bytes.chunks_exact(n.max(1)).take(size).enumerate() {
        for (i, &b) in plane.iter().enumerate() {
            out[i * size + k] = b;
        }
    }
}

/// The opposite of [`unshuffle`].
pub(crate) fn shuffle(bytes: &[u8], size: usize, out: &mut Vec<u8>) {
    out.clear();
    for k in 0..size {
        out.extend(bytes.iter().skip(k).step_by(size));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let bytes: Vec<u8> = (0..240u32).map(|i| (i * i % 251) as u8).collect();
        for size in [1, 2, 4, 8] {
            let (mut shuffled, mut packed, mut unpacked, mut back) = (vec![], vec![], vec![], vec![]);
            shuffle(&bytes, size, &mut shuffled);
            encode(&shuffled, &mut packed).unwrap();
            decode(&packed, bytes.len(), &mut unpacked).unwrap();
            unshuffle(&unpacked, size, &mut back);
            assert_eq!(back, bytes, "{size}");
            assert!(decode(&packed, bytes.len() - 1, &mut unpacked).is_err());
            assert!(decode(&packed[..packed.len() - 1], bytes.len(), &mut unpacked).is_err());
        }
    }
}
