//! Collapses: sum, mean, min, max, median, std along axes, with variance and mask.
//!
//! At each pixel of the result the samples of the best level of the DQ hierarchy count, as in a stack; its mask is the OR
//! of theirs. What is not finite and not masked stays so in the result.
//!
//! | | value | variance |
//! |---|---|---|
//! | sum | sum x_i | sum v_i, and (sum of slopes)^2 v of each operand that repeats along the axes |
//! | mean | sum / n | that of the sum / n^2 |
//! | min, max | x_k | v_k of that very sample |
//! | median | middle sample, or mean of both | f(n) sum v_i / n^2, for about normal samples; f goes from 1 to pi/2 |
//! | std | sqrt(sum (x_i - mean)^2 / n), as numpy has it | sum (x_i - mean)^2 v_i / (n^2 std^2) |
//!
//! An operand that repeats along a collapsed axis (one bias for all planes of a cube, a number with a variance) is one
//! random variable for all of it, so its error does not average out: sum and mean carry it in full. In the others it
//! counts as if it was drawn anew for each sample, but in min and max, where one sample is taken. So do a correlation that
//! was declared, and a variance that was copied: they are of each sample.
//!
//! Sums run over pairs of f64; the spread is of differences from the mean, in a second pass. A median needs all samples
//! of a pixel at once, so the result is made in parts that fit the memory; the others read as they go.

use std::collections::HashMap;

use super::plan::{Options, Plan, Shared};
use super::sums::{Places, Sample, Sums};
use super::{Expr, Node};
use crate::arrays::{MemorySink, mask_pixels};
use crate::calculation::compute;
use crate::engine::Engine;
use crate::kernels::stack::Levels;
use crate::nddata::{NDAstroData, resize};
use crate::output::Settings;
use crate::real::Real;
use crate::slice::{AxisSlice, Slice, Slices};
use crate::tiles::{Counters, Sink, Tile};
use crate::wcs::Wcs;
use crate::{DType, Error, Result};

/// What the samples along the axes become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statistic {
    Sum,
    Mean,
    Min,
    Max,
    Median,
    Std,
}

/// Axes to be collapsed: numbers as numpy has them, negative ones from the end; none is all.
pub(super) fn axes_of(axes: &[isize], rank: usize) -> Result<Vec<bool>> {
    let mut collapsed = vec![axes.is_empty(); rank];
    for &axis in axes {
        let at = if axis < 0 { axis.checked_add_unsigned(rank) } else { Some(axis) };
        match at.and_then(|a| usize::try_from(a).ok()).filter(|&a| a < rank && !collapsed[a]) {
            Some(a) => collapsed[a] = true,
            None => {
                return Err(Error::Parameter(format!(
                    "axis {axis} of an image of {rank} axes: each that there is, once"
                )));
            }
        }
    }
    Ok(collapsed)
}

/// The shape that is left.
pub(super) fn left(shape: &[usize], collapsed: &[bool]) -> Vec<usize> {
    shape.iter().zip(collapsed).filter(|(_, c)| !**c).map(|(&n, _)| n).collect()
}

/// The expression with every collapse in it computed, the innermost first.
pub(crate) fn resolved(
    root: &Expr,
    engine: &Engine,
    options: Options,
    settings: &Settings,
    counters: &mut Counters,
) -> Result<Expr> {
    let mut all = resolved_all(std::slice::from_ref(root), engine, options, settings, counters)?;
    Ok(all.pop().unwrap_or_else(|| root.clone()))
}

/// The same of several expressions: what occurs in more than one of them is computed once.
pub(crate) fn resolved_all(
    roots: &[Expr],
    engine: &Engine,
    options: Options,
    settings: &Settings,
    counters: &mut Counters,
) -> Result<Vec<Expr>> {
    let mut made: HashMap<*const Node, Expr> = HashMap::new();
    let mut one = |root: &Expr| {
        let order = super::parts::walk(root);
        if !order.iter().any(|e| matches!(e.node(), Node::Collapse(..))) {
            return Ok(root.clone());
        }
        for expr in order {
            if made.contains_key(&expr.place()) {
                continue;
            }
            let of = |e: &Expr| made.get(&e.place()).cloned().unwrap_or_else(|| e.clone());
            let new = match expr.node() {
                Node::Leaf(_) | Node::Scalar(_) | Node::Wrong(_) => expr.clone(),
                Node::One(f, x) => Expr::new(Node::One(*f, of(x))),
                Node::Two(op, a, b, rules) => Expr::new(Node::Two(*op, of(a), of(b), rules.clone())),
                Node::Collapse(statistic, axes, x) => {
                    let job = Collapse { engine, options, settings, statistic: *statistic };
                    job.run(&of(x), axes, counters)?.into()
                }
            };
            made.insert(expr.place(), new);
        }
        Ok(made.get(&root.place()).cloned().unwrap_or_else(|| root.clone()))
    };
    roots.iter().map(&mut one).collect()
}

struct Collapse<'a> {
    engine: &'a Engine,
    options: Options,
    settings: &'a Settings,
    statistic: Statistic,
}

impl Collapse<'_> {
    fn run(&self, of: &Expr, axes: &[isize], counters: &mut Counters) -> Result<NDAstroData> {
        let shape = of.shape()?;
        let collapsed = axes_of(axes, shape.len())?;
        let linear = matches!(self.statistic, Statistic::Sum | Statistic::Mean);
        let (plan, shared) = Plan::with_shared(of, self.options, linear.then_some(&collapsed[..]))?;
        let result = match plan.compute {
            DType::F64 => self.typed::<f64>(of, &plan, &shared, &collapsed, counters)?,
            _ => self.typed::<f32>(of, &plan, &shared, &collapsed, counters)?,
        };
        counters.warn(plan.warning.clone());
        let mut header = plan.header.clone();
        // Along collapsed axes the WCS is that of the first place.
        let wcs = Wcs::from_header(&header).map(|w| w.filter(|w| w.pixel_axes() == shape.len()));
        let placed = match wcs {
            Ok(Some(wcs)) => wcs.sliced(&first_along(&shape, &collapsed)).write(&mut header),
            Ok(None) => Ok(()),
            Err(e) => Err(e),
        };
        if let Err(e) = placed {
            counters.warn([format!("the result has no WCS: {e}")]);
            Wcs::remove(&mut header);
        }
        resize(&mut header, &left(&shape, &collapsed));
        let mut nd = result.with_meta(header);
        nd.set_unit(plan.unit.as_ref());
        Ok(nd)
    }

    fn typed<T: Real + Default>(
        &self,
        of: &Expr,
        plan: &Plan,
        shared: &[Shared],
        collapsed: &[bool],
        counters: &mut Counters,
    ) -> Result<NDAstroData> {
        let shape = left(&plan.shape, collapsed);
        let pixels: usize = shape.iter().product();
        let places = Places::new(&plan.shape, collapsed);
        let mut sums = Sums::new(pixels)?;
        let mut fold =
            |each: &mut (dyn FnMut(&mut Sums, usize, Sample) + Send), plan: &Plan, counters: &mut Counters| {
                let mut sink = Fold { places: &places, levels: Levels::default(), sums: &mut sums, each };
                compute::<T>(plan, self.engine, self.settings, &mut sink).map(|c| counters.add(c))
            };
        match self.statistic {
            Statistic::Median => self.medians::<T>(of, collapsed, &shape, &mut sums, counters)?,
            Statistic::Sum | Statistic::Mean | Statistic::Std => fold(&mut Sums::add, plan, counters)?,
            Statistic::Min => fold(&mut |s, i, x| s.choose(i, x, |new, old| new < old), plan, counters)?,
            Statistic::Max => fold(&mut |s, i, x| s.choose(i, x, |new, old| new > old), plan, counters)?,
        }
        if self.statistic == Statistic::Std {
            sums.begin_spread();
            let mut sink =
                Fold { places: &places, levels: Levels::default(), sums: &mut sums, each: &mut Sums::spread };
            counters.add(compute::<T>(plan, self.engine, self.settings, &mut sink)?);
        }
        let mut common = vec![0.0; if shared.is_empty() { 0 } else { pixels }];
        for one in shared {
            self.common(one, &plan.shape, collapsed, &sums, &mut common, counters)?;
        }
        let (data, variance) = sums.finish(self.statistic, &common);
        let real = |values: Vec<f64>| T::pixels(values.into_iter().map(T::from_f64).collect(), &shape);
        let mut nd = NDAstroData::new(real(data)?);
        if plan.outputs().variance {
            nd = nd.with_variance(real(variance)?)?;
        }
        if let Some(dtype) = plan.mask {
            nd = nd.with_mask(mask_pixels(&sums.mask, dtype, &shape)?)?;
        }
        Ok(nd)
    }

    /// Adds what an operand that repeats along the axes contributes to the variance of the sum: at each of its own pixels
    /// the slopes of all samples that it is in, together.
    fn common(
        &self,
        one: &Shared,
        shape: &[usize],
        collapsed: &[bool],
        sums: &Sums,
        common: &mut [f64],
        counters: &mut Counters,
    ) -> Result<()> {
        // Along collapsed axes that it has itself its pixels are apart.
        let repeated: Vec<bool> = (0..shape.len()).map(|i| collapsed[i] && one.repeats[i]).collect();
        let own = left(shape, &repeated);
        let groups: usize = own.iter().product();
        let mut slopes: Vec<f64> = crate::kernels::decode::reserve_with(&[groups], 0.0)?;
        let (place, group) = (Places::new(shape, collapsed), Places::new(shape, &repeated));
        let mut sink = Slopes { place: &place, group: &group, levels: Levels::default(), sums, slopes: &mut slopes };
        counters.add(match one.plan.compute {
            DType::F64 => compute::<f64>(&one.plan, self.engine, self.settings, &mut sink)?,
            _ => compute::<f32>(&one.plan, self.engine, self.settings, &mut sink)?,
        });
        let variance = match &one.variance {
            Some(plane) => Some(plane.broadcast(shape)?.sliced(&first_along(shape, &repeated)).get()?.to_f64()),
            None => None,
        };
        let mut values = variance.iter().flatten();
        // Which collapsed axes are left in the groups.
        let rest: Vec<bool> = (0..shape.len()).filter(|&i| !repeated[i]).map(|i| collapsed[i]).collect();
        let to = Places::new(&own, &rest);
        for (g, slope) in slopes.iter().enumerate() {
            let v = values.next().copied().unwrap_or(one.number).max(0.0);
            common[to.of(g)] += if *slope == 0.0 { 0.0 } else { slope * (slope * v) };
        }
        Ok(())
    }

    /// Medians of parts of the result that fit the memory.
    fn medians<T: Real + Default>(
        &self,
        of: &Expr,
        collapsed: &[bool],
        shape: &[usize],
        sums: &mut Sums,
        counters: &mut Counters,
    ) -> Result<()> {
        let whole = of.shape()?;
        let samples: usize = whole.iter().zip(collapsed).filter(|(_, c)| **c).map(|(&n, _)| n).product();
        // Data, variance and mask as they come, and a copy to be sorted.
        let bytes = (samples * (2 * size_of::<T>() + 4 + 24)) as u64;
        if bytes > self.settings.memory {
            return Err(Error::Budget { needed: bytes, budget: self.settings.memory });
        }
        let most = ((self.settings.memory / 2 / bytes.max(1)) as usize).max(1);
        let mut parts = vec![shape.iter().map(|&n| 0..n).collect::<Vec<_>>()];
        while let Some(part) = parts.pop() {
            let pixels: usize = part.iter().map(|r| r.len()).product();
            if pixels == 0 {
                continue;
            }
            if pixels > most {
                // The slowest axis that can be cut: rows stay whole as long as they can.
                let axis = part.iter().position(|r| r.len() > 1).unwrap_or(0);
                let (start, end) = (part[axis].start, part[axis].end);
                let middle = start + (end - start) / 2;
                for range in [middle..end, start..middle] {
                    let mut half = part.clone();
                    half[axis] = range;
                    parts.push(half);
                }
                continue;
            }
            let mut kept = part.iter().cloned();
            let slices =
                collapsed.iter().map(|&c| if c { Slice::ALL } else { kept.next().map_or(Slice::ALL, Slice::from) });
            let plan = Plan::new(&of.slice(Slices::from(slices.collect::<Vec<_>>()))?, self.options)?;
            let mut sink = MemorySink::<T>::new(plan.pixels(), plan.outputs(), DType::U32, Vec::new())?;
            counters.add(compute::<T>(&plan, self.engine, self.settings, &mut sink)?);
            let places = Places::new(&plan.shape, collapsed);
            let mut stacks: Vec<Vec<Sample>> = vec![Vec::with_capacity(samples); pixels];
            for (i, value) in sink.data.iter().enumerate() {
                stacks[places.of(i)].push(Sample {
                    value: value.to_f64(),
                    variance: sink.variance.get(i).map_or(0.0, |v| v.to_f64()),
                    mask: sink.mask.get(i).unwrap_or(0),
                    level: 0,
                });
            }
            for (i, stack) in stacks.into_iter().enumerate() {
                sums.median(flat(&part, shape, i), stack);
            }
        }
        Ok(())
    }
}

/// The pixel of the result that pixel `i` of a part of it is.
fn flat(part: &[std::ops::Range<usize>], shape: &[usize], mut i: usize) -> usize {
    let (mut at, mut stride) = (0, 1);
    for (range, &n) in part.iter().zip(shape).rev() {
        at += (range.start + i % range.len()) * stride;
        i /= range.len();
        stride *= n;
    }
    at
}

/// The first place of some axes, all of the others.
fn first_along(shape: &[usize], dropped: &[bool]) -> Vec<AxisSlice> {
    let one = |(&len, &dropped): (&usize, &bool)| match dropped {
        true => AxisSlice::Index(0),
        false => AxisSlice::Range { start: 0, step: 1, len },
    };
    shape.iter().zip(dropped).map(one).collect()
}

/// Samples to sums.
struct Fold<'a, 'b> {
    places: &'a Places,
    levels: Levels,
    sums: &'a mut Sums,
    each: &'a mut (dyn FnMut(&mut Sums, usize, Sample) + Send + 'b),
}

impl<T: Real> Sink<T> for Fold<'_, '_> {
    fn accept(&mut self, tile: &Tile<T>) -> Result<()> {
        self.places.walk(tile.range.clone(), |i, k| {
            let mask = tile.mask.get(k).copied().unwrap_or(0);
            let x = Sample {
                value: tile.data[k].to_f64(),
                variance: tile.variance.get(k).map_or(0.0, |v| v.to_f64()),
                mask,
                level: self.levels.level_of(mask),
            };
            (self.each)(self.sums, i, x);
        });
        Ok(())
    }
}

/// Slopes of the samples that counted, summed for each pixel of the operand that they are slopes by.
struct Slopes<'a> {
    place: &'a Places,
    group: &'a Places,
    levels: Levels,
    sums: &'a Sums,
    slopes: &'a mut [f64],
}

impl<T: Real> Sink<T> for Slopes<'_> {
    fn accept(&mut self, tile: &Tile<T>) -> Result<()> {
        self.place.walk(tile.range.clone(), |i, k| {
            let level = self.levels.level_of(tile.mask.get(k).copied().unwrap_or(0));
            if level == self.sums.level[i] {
                self.slopes[self.group.of(tile.range.start + k)] += tile.data[k].to_f64();
            }
        });
        Ok(())
    }
}
