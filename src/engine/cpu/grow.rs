//! Rejections that grow: with a sample go those of the same frame within a radius of it.
//!
//! A tile is computed with a reason for each sample, and so are the reasons of the rows around it that reach into it. Its pixels
//! that lose more samples are combined once more, of what is left then. What becomes of a pixel depends on its neighbours, never on
//! its tile.

use std::ops::Range;

use rayon::prelude::*;

use super::{Pieces, Run, pieces};
use crate::Result;
use crate::kernels::stack::{Keep, Method, Reject, Tally, reason};
use crate::real::Real;
use crate::tiles::{Job, Outputs, Stacking, Tile};

/// Reasons that are looked at together.
const WORD: usize = 8;
/// The bit of a rejected sample in each of them.
const REJECTED: u64 = u64::from_ne_bytes([reason::REJECTED as u8; WORD]);

/// Pixels that a rejection of this radius reaches to before and behind its own.
pub(super) fn reach(job: &Job<'_>) -> usize {
    // So many rows, and of the first and the last as many columns more.
    job.growing().map_or(0, |stack| stack.method.grow as usize * (job.row + 1))
}

/// The places of a disk but for its middle: rows and columns from it.
fn disk(radius: f64) -> Vec<(isize, isize)> {
    let reach = radius as isize;
    let places = (-reach..=reach).flat_map(|y| (-reach..=reach).map(move |x| (y, x)));
    places.filter(|&(y, x)| (y, x) != (0, 0) && ((y * y + x * x) as f64) <= radius * radius).collect()
}

impl<T: Real + Default> Run<'_, T> {
    /// The next tile, of a stack whose rejections grow.
    pub(super) fn collect_grown(&mut self, stack: &Stacking<'_>, tile: &mut Tile<T>) -> Result<()> {
        let (range, reach) = (self.next.clone(), reach(self.job));
        let all = range.start.saturating_sub(reach)..self.job.pixels.min(range.end + reach);
        self.next = all.clone();
        self.stage(&all)?;
        let mut around = std::mem::take(&mut self.around);
        let reasons = Outputs { reasons: stack.count(), ..Outputs::default() };
        around[0].prepare(all.start..range.start, reasons);
        around[1].prepare(range.end..all.end, reasons);
        tile.prepare(range.clone(), self.job.outputs);
        tile.tally = self.compute(tile);
        for rows in &mut around {
            self.compute(rows);
        }
        let touched = self.engine.install(|| self.grow(stack, tile, &around));
        self.combine_again(tile, &touched);
        self.around = around;
        self.release(&range);
        Ok(())
    }

    /// Marks the samples that go with others. Returns which pieces have some.
    fn grow(&self, stack: &Stacking<'_>, tile: &mut Tile<T>, around: &[Tile<T>; 2]) -> Vec<bool> {
        let (frames, keep) = (stack.count(), stack.method.keep);
        let places = disk(stack.method.grow);
        let image = [(stack.image / self.job.row.max(1)).max(1), self.job.row];
        for rows in [Some(&around[0]), None, Some(&around[1])] {
            let (first, bytes) = match rows {
                Some(rows) => (rows.range.start, rows.reasons.len()),
                None => (tile.range.start, tile.reasons.len()),
            };
            for at in (0..bytes).step_by(WORD) {
                // What is marked here is not rejected, so that it makes no difference to what is read later.
                let word = word_at(rows.map_or(&tile.reasons, |rows| &rows.reasons), at);
                if u64::from_ne_bytes(word) & REJECTED == 0 {
                    continue;
                }
                for (k, _) in word.iter().enumerate().filter(|(_, why)| u32::from(**why) & reason::REJECTED != 0) {
                    let (pixel, frame) = (first + (at + k) / frames, (at + k) % frames);
                    mark(tile, (pixel, frame), frames, image, &places);
                }
            }
        }
        let settled = pieces(tile, self.piece).into_par_iter().map(|piece| {
            let Pieces { reasons, words: [.., rejected], .. } = piece;
            let mut all = 0;
            for (i, why) in reasons.chunks_mut(frames).enumerate() {
                if why.iter().fold(0, |all, why| all | why) & reason::GROWN as u8 == 0 {
                    continue;
                }
                let grown = settle(why, keep);
                all += u64::from(grown);
                if let Some(rejected) = rejected.get_mut(i) {
                    *rejected += grown;
                }
            }
            all
        });
        let grown: Vec<u64> = settled.collect();
        tile.tally.rejected += grown.iter().sum::<u64>();
        grown.iter().map(|&n| n > 0).collect()
    }

    /// Combines what is left of the pixels of these pieces.
    fn combine_again(&self, tile: &mut Tile<T>, touched: &[bool]) {
        let (start, size) = (tile.range.start, self.piece);
        let again: Vec<_> = pieces(tile, size).into_iter().enumerate().filter(|(i, _)| touched[*i]).collect();
        self.engine.install(|| {
            again.into_par_iter().for_each(|(i, mut piece): (usize, Pieces<'_, T>)| {
                let reasons = std::mem::take(&mut piece.reasons);
                // What was rejected was counted the first time.
                piece.counts = &mut [];
                piece.words[2..].fill_with(|| &mut []);
                let mut tally = Tally::default();
                self.piece(start + i * size, piece.out(&mut tally), None, Some(reasons));
            });
        });
    }
}

/// How many samples of a pixel go with others. None of them where that would leave too few.
fn settle(why: &mut [u8], keep: Keep) -> u32 {
    let (mut left, mut grown, mut all) = (0, 0, 0);
    for &why in &*why {
        let why = u32::from(why);
        left += u32::from(why == 0);
        grown += u32::from(why == reason::GROWN);
        all += u32::from(why == 0 || why & (reason::REJECTED | reason::GROWN) != 0);
    }
    if left >= keep.least_of(all).max(1) {
        return grown;
    }
    for why in why.iter_mut().filter(|why| u32::from(**why) == reason::GROWN) {
        *why = 0;
    }
    0
}

/// The reasons from this place on; 0 behind the last.
fn word_at(reasons: &[u8], at: usize) -> [u8; WORD] {
    let reasons = &reasons[at..];
    reasons.first_chunk().copied().unwrap_or_else(|| {
        let mut word = [0; WORD];
        word[..reasons.len()].copy_from_slice(reasons);
        word
    })
}

/// Marks what goes with a rejected sample of a tile or of the rows around it, in an image of so many lines and columns: of a cube of
/// images each is one by itself.
fn mark<T>(
    tile: &mut Tile<T>,
    (pixel, frame): (usize, usize),
    frames: usize,
    [lines, row]: [usize; 2],
    places: &[(isize, isize)],
) {
    let (line, column) = (pixel / row, pixel % row);
    let image = line / lines * lines..(line / lines + 1) * lines;
    for &(down, right) in places {
        let (Some(line), Some(column)) = (line.checked_add_signed(down), column.checked_add_signed(right)) else {
            continue;
        };
        let at = line * row + column;
        if column < row && image.contains(&line) && tile.range.contains(&at) {
            let why = &mut tile.reasons[(at - tile.range.start) * frames + frame];
            if *why == 0 {
                *why = reason::GROWN as u8;
            }
        }
    }
}

/// The rules of a stack whose rejection is done: samples that are out are no numbers.
pub(super) fn without_rejection(method: &Method) -> Method {
    Method { reject: Reject::None, keep: Keep::default(), ..*method }
}

/// Makes rejected samples no numbers.
pub(super) fn take_out<T: Real>(data: &mut [T], stride: usize, part: Range<usize>, frames: usize, reasons: &[u8]) {
    for (i, pixel) in part.enumerate() {
        for (f, why) in reasons[pixel * frames..][..frames].iter().enumerate() {
            if u32::from(*why) & (reason::REJECTED | reason::GROWN) != 0 {
                data[f * stride + i] = T::from_f32(f32::NAN);
            }
        }
    }
}
