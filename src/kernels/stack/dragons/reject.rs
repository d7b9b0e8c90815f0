//! Rejection: rule 2 of the page.

// Lanes are counted: the loops below are over several arrays at once, and become vector instructions.
#![allow(clippy::needless_range_loop)]

use super::block::{Block, frame, gather, keep, middle};
use crate::kernels::stack::cpu::{ALL, Row, all_if};
use crate::kernels::stack::{BLOCK, Clip, Reject, minmax_part};

impl Block {
    #[inline(always)]
    pub(super) fn reject(&mut self, reject: &Reject) {
        match *reject {
            Reject::MinMax { nlow, nhigh } => self.minmax(nlow, nhigh),
            Reject::VarClip(clip) if !self.w.is_empty() => self.clip(&clip, true),
            Reject::SigClip(clip) | Reject::VarClip(clip) => self.clip(&clip, false),
            _ => {}
        }
    }

    #[inline(always)]
    fn minmax(&mut self, nlow: usize, nhigh: usize) {
        for i in 0..BLOCK {
            let n = self.usable[i] as usize;
            let share = |of: usize| minmax_part(n, of, self.x.len());
            let (low, high) = (share(nlow).min(n), share(nhigh).min(n));
            if low + high == 0 {
                continue;
            }
            gather(&self.x, &self.used, i, &mut self.column);
            if low > 0 && low < n {
                self.column.select_nth_unstable(low);
            }
            let out = n - high.min(n - low);
            if out > low && out < n {
                self.column[low..].select_nth_unstable(out - low);
            }
            for word in self.column[..low].iter().chain(&self.column[out..]) {
                self.left[frame(*word)][i] = 0;
            }
            self.low[i] = low as u32;
            self.high[i] = (n - out) as u32;
            self.good[i] = (out - low) as u32;
        }
    }

    /// Passes over all pixels of the block; those that are done stay as they are.
    #[inline(always)]
    fn clip(&mut self, clip: &Clip, by_variance: bool) {
        let passes = clip.passes();
        let mut centre = [0.0; BLOCK];
        if passes > 0 {
            self.medians(&mut centre);
        }
        let mut going = [0; BLOCK];
        for i in 0..BLOCK {
            going[i] = all_if(self.good[i] > 0);
        }
        for pass in 0..passes {
            let follows = pass > 0 && !clip.mclip;
            let mut sigma = [0.0; BLOCK];
            if follows || !by_variance {
                let mut mean = [0.0; BLOCK];
                self.moments(&mut mean, &mut sigma);
                if follows {
                    centre = mean;
                }
            }
            let before = self.good;
            if by_variance {
                self.clip_by_variance(clip, &centre, &going);
            } else {
                self.clip_by_scatter(clip, &centre, &sigma, &going);
            }
            for i in 0..BLOCK {
                going[i] &= all_if((self.good[i] != before[i]) & (self.good[i] > 0));
            }
            if going == [0; BLOCK] {
                break;
            }
        }
    }

    /// Medians of the used samples: what is rejected does not change them.
    #[inline(always)]
    fn medians(&mut self, centre: &mut Row<f64>) {
        for i in 0..BLOCK {
            gather(&self.x, &self.used, i, &mut self.column);
            if self.column.is_empty() {
                continue;
            }
            let [lower, upper] = middle(&mut self.column);
            let median = match lower == upper {
                true => self.x[lower][i],
                false => 0.5 * (self.x[lower][i] + self.x[upper][i]),
            };
            centre[i] = f64::from(median);
        }
    }

    /// Mean and sigma of the samples that are left.
    #[inline(always)]
    fn moments(&self, mean: &mut Row<f64>, sigma: &mut Row<f64>) {
        let (mut sum, mut squares) = ([0.0; BLOCK], [0.0; BLOCK]);
        for (x, left) in self.x.iter().zip(&self.left) {
            for i in 0..BLOCK {
                let x = keep(x[i], left[i]);
                sum[i] += f64::from(x);
                squares[i] += f64::from(x * x);
            }
        }
        for i in 0..BLOCK {
            let n = f64::from(self.good[i]);
            mean[i] = sum[i] / n;
            sigma[i] = (squares[i] / n - mean[i] * mean[i]).sqrt();
        }
    }

    #[inline(always)]
    fn clip_by_scatter(&mut self, clip: &Clip, centre: &Row<f64>, sigma: &Row<f64>, going: &Row<u32>) {
        let (mut lowest, mut highest) = ([0.0; BLOCK], [0.0; BLOCK]);
        for i in 0..BLOCK {
            lowest[i] = (centre[i] - clip.lsigma * sigma[i]) as f32;
            highest[i] = (centre[i] + clip.hsigma * sigma[i]) as f32;
        }
        for f in 0..self.x.len() {
            let mut out = [[0; BLOCK]; 2];
            for i in 0..BLOCK {
                out[0][i] = all_if(self.x[f][i] < lowest[i]);
                out[1][i] = all_if(self.x[f][i] > highest[i]);
            }
            self.drop(f, &out, going);
        }
    }

    #[inline(always)]
    fn clip_by_variance(&mut self, clip: &Clip, centre: &Row<f64>, going: &Row<u32>) {
        for f in 0..self.x.len() {
            let mut out = [[0; BLOCK]; 2];
            for i in 0..BLOCK {
                let (x, sigma) = (f64::from(self.x[f][i]), f64::from(self.w[f][i]).sqrt());
                out[0][i] = all_if(x < centre[i] - clip.lsigma * sigma);
                out[1][i] = all_if(x > centre[i] + clip.hsigma * sigma);
            }
            self.drop(f, &out, going);
        }
    }

    /// Rejects what is left of frame `f` and is below or above.
    #[inline(always)]
    fn drop(&mut self, f: usize, out: &[Row<u32>; 2], going: &Row<u32>) {
        for i in 0..BLOCK {
            let candidate = self.left[f][i] & going[i];
            let low = candidate & out[0][i];
            let high = candidate & out[1][i] & !low;
            self.low[i] += low & 1;
            self.high[i] += high & 1;
            self.good[i] -= (low | high) & 1;
            self.left[f][i] &= ALL ^ (low | high);
        }
    }
}
