//! Why each sample is in the result or is not, and how many samples have each bit of the mask.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use super::samples::{ALL, BLOCK, Row, Samples, all_if};
use super::{Pixels, Scratch, finite};
use crate::kernels::stack::{Out, reason};
use crate::real::Real;

impl Pixels {
    /// The reasons of all samples of a block, and the counts of its bits, where they come out. `graded`: the words say which
    /// samples are of the best level; `rejects`: those of what was so before the rejection are in place of the levels.
    #[inline(always)]
    pub(super) fn explain<T: Real>(
        samples: &Samples<'_, T>,
        scratch: &Scratch<T>,
        (graded, rejects): (bool, bool),
        start: usize,
        out: &mut Out<'_, T>,
    ) {
        let (frames, n) = (samples.frames(), BLOCK.min(out.data.len() - start));
        if let Some(reasons) = out.reasons.get_mut(start * frames..(start + n) * frames) {
            let mut own = [T::from_f32(0.0); BLOCK];
            let used = |f: usize| if graded || rejects { &scratch.used[f] } else { &[ALL; BLOCK] };
            let (mut least, mut most) = ([T::TOP; BLOCK], [T::BOTTOM; BLOCK]);
            for f in 0..frames {
                let (key, left) = (samples.key(f, &mut own), used(f));
                for i in 0..BLOCK {
                    let key = key[i].to_key();
                    let (low, high) = if left[i] == 0 { (T::TOP, T::BOTTOM) } else { (key, key) };
                    least[i] = least[i].min(low);
                    most[i] = most[i].max(high);
                }
            }
            for f in 0..frames {
                let (left, before) = (used(f), if rejects { &scratch.level[f] } else { used(f) });
                let (data, variance) = (samples.data(f), samples.variance_or_data(f));
                let key = samples.key(f, &mut own);
                let mut why = [0u32; BLOCK];
                for i in 0..BLOCK {
                    let key = key[i].to_key();
                    let rejected = reason::REJECTED
                        | (all_if(key < least[i]) & reason::BELOW)
                        | (all_if(key > most[i]) & reason::ABOVE);
                    let finite = finite(data[i], variance[i]);
                    let unused = (finite & reason::MASK) | (!finite & reason::NOT_FINITE);
                    why[i] = !left[i] & ((before[i] & rejected) | (!before[i] & unused));
                }
                for i in 0..n {
                    reasons[i * frames + f] = why[i] as u8;
                }
            }
        }
        let bits = out.counts.len() / out.data.len().max(1);
        if let Some(counts) = out.counts.get_mut(start * bits..(start + n) * bits) {
            for bit in 0..bits {
                let mut with: Row<u32> = [0; BLOCK];
                for mask in (0..frames).filter_map(|f| samples.mask(f)) {
                    for i in 0..BLOCK {
                        with[i] += mask[i] >> bit & 1;
                    }
                }
                for i in 0..n {
                    counts[i * bits + bit] = with[i];
                }
            }
        }
    }
}
