//! The pixels of a frame that its level is found from: those of the section, or of a regular grid of them.

use super::Stack;
use crate::engine::Engine;
use crate::expr::collapse::resolved;
use crate::expr::plan::{Options, Plan};
use crate::kernels::decode::reserve_with;
use crate::kernels::stack::Levels;
use crate::real::Real;
use crate::slice::{Slice, Slices};
use crate::tiles::{Counters, Sink, Tile};
use crate::{DType, Error, Expr, Result};

/// Of a section with more pixels a grid of no more is taken.
const MOST: usize = 1 << 20;

/// Level of a pixel that is not finite.
const UNUSABLE: u8 = u8::MAX;

/// Pixels in C order, and their levels in the DQ hierarchy.
pub(super) struct Sampled {
    values: Vec<f64>,
    levels: Vec<u8>,
}

impl Sampled {
    /// Those of the best level that there is; none where nothing is finite.
    pub(super) fn least_bad(self) -> Vec<f64> {
        let best = self.levels.iter().copied().min().filter(|level| *level != UNUSABLE);
        let level = self.levels.iter();
        self.values.into_iter().zip(level).filter(|(_, level)| Some(**level) == best).map(|(x, _)| x).collect()
    }

    /// The value of each pixel that the first level of the hierarchy admits, NaN of the others.
    pub(super) fn good(self) -> Vec<f64> {
        let Sampled { mut values, levels } = self;
        values.iter_mut().zip(&levels).filter(|(_, level)| **level != 0).for_each(|(x, _)| *x = f64::NAN);
        values
    }
}

/// The step of the grid along each axis: the least odd one that leaves few enough. An even one would see every other row or
/// column alone, which amplifiers and colour filters tell apart.
pub(super) fn grid_step(shape: &[usize], most: usize) -> usize {
    let left = |step: usize| shape.iter().map(|n| n.div_ceil(step) as u128).product::<u128>();
    (1..).step_by(2).find(|&step| left(step) <= most as u128 || shape.iter().all(|&n| n <= step)).unwrap_or(1)
}

impl Stack {
    /// The part of a frame that levels are of.
    pub(super) fn part(&self, frame: &Expr) -> Result<Expr> {
        match &self.section {
            Some(section) => frame.slice(section.clone()),
            None => Ok(frame.clone()),
        }
    }

    /// From pixel to pixel along each axis of it, where not all of them are taken.
    pub(super) fn step(&self, frame: &Expr) -> Result<usize> {
        Ok(grid_step(&self.part(frame)?.shape()?, MOST))
    }

    /// Those pixels of a frame.
    pub(super) fn sampled(&self, frame: &Expr, engine: &Engine) -> Result<Sampled> {
        let part = self.part(frame)?;
        let shape = part.shape()?;
        let step = grid_step(&shape, MOST);
        let grid = Slices::from(vec![Slice::ALL.by(step as isize); shape.len()]);
        let part = if step > 1 { part.slice(grid)? } else { part };
        let options =
            Options { ignore_variance: true, ignore_mask: !self.use_mask, ignore_units: true, ..Options::default() };
        let part = resolved(&part, engine, options, &self.settings, &mut Counters::default())?;
        let plan = Plan::new(&part, options)?;
        let pixels = plan.pixels();
        // Of two frames at once.
        let needed = 2 * (pixels * (size_of::<f64>() + 1)) as u64;
        if needed > self.settings.memory {
            return Err(Error::Budget { needed, budget: self.settings.memory });
        }
        let values = reserve_with(&plan.shape, f64::NAN)?;
        let levels = reserve_with(&plan.shape, UNUSABLE)?;
        let mut kept = Kept { hierarchy: self.hierarchy.kernel(), sampled: Sampled { values, levels } };
        let settings = crate::output::Settings { progress: None, compression: None, ..self.settings.clone() };
        match plan.compute {
            DType::F64 => crate::calculation::compute::<f64>(&plan, engine, &settings, &mut kept)?,
            _ => crate::calculation::compute::<f32>(&plan, engine, &settings, &mut kept)?,
        };
        Ok(kept.sampled)
    }
}

/// Takes tiles.
struct Kept {
    hierarchy: Levels,
    sampled: Sampled,
}

impl<T: Real> Sink<T> for Kept {
    fn accept(&mut self, tile: &Tile<T>) -> Result<()> {
        let Sampled { values, levels } = &mut self.sampled;
        let places = values.iter_mut().zip(levels).skip(tile.range.start).take(tile.range.len());
        for (k, ((value, level), x)) in places.zip(&tile.data).enumerate() {
            let mask = tile.mask.get(k).copied().unwrap_or(0);
            if x.is_finite() {
                (*value, *level) = (x.to_f64(), self.hierarchy.level_of(mask) as u8);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_have_odd_steps_and_few_pixels() {
        for (shape, most, want) in [
            (&[1024, 1024][..], 1 << 20, 1),
            (&[2048, 2048], 1 << 22, 1),
            (&[2048, 2049], 1 << 22, 3),
            (&[4096, 4096], 1 << 22, 3),
            (&[10_000, 10_000], 1 << 22, 5),
            (&[1, 100], 10, 11),
            (&[3, 3, 3], 1, 3),
            (&[0, 5], 1, 1),
            (&[], 1, 1),
            (&[5], 0, 5),
        ] {
            assert_eq!(grid_step(shape, most), want, "{shape:?}");
        }
    }
}
