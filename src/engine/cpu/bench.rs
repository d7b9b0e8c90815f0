//! Frames that are expressions: each is computed into its place in the cube, from inputs that are decoded once.

use std::mem::swap;
use std::ops::Range;

use super::Run;
use crate::kernels::Kernel;
use crate::kernels::expr::{self, Expr, Program, Sheet};
use crate::kernels::stack::{Cube, Out, Tally};
use crate::real::Real;
use crate::tiles::Stacking;

/// The sheet of one frame, and what many frames read.
pub(super) struct Bench {
    sheet: Sheet,
    /// By input, with room if more than one frame reads it.
    narrow: Vec<Vec<f32>>,
    wide: Vec<Vec<f64>>,
    masks: Vec<Vec<u32>>,
}

/// Of each input, whether more than one of the programs reads it.
fn common(programs: &[Program], inputs: usize, of: fn(&Program) -> &[usize]) -> impl Iterator<Item = bool> {
    let mut count = vec![0u32; inputs];
    programs.iter().flat_map(of).for_each(|&i| count[i] += 1);
    count.into_iter().map(|c| c > 1)
}

impl Bench {
    pub(super) fn new(programs: &[Program], inputs: usize, pixels: usize) -> Self {
        // Registers are loaded whole.
        let n = pixels.next_multiple_of(expr::LANES);
        let room = |common: bool| if common { n } else { 0 };
        Bench {
            sheet: Sheet::of(programs, pixels),
            narrow: common(programs, inputs, |p| &p.narrow).map(|c| vec![0.0; room(c)]).collect(),
            wide: common(programs, inputs, |p| &p.wide).map(|c| vec![0.0; room(c)]).collect(),
            masks: common(programs, inputs, |p| &p.masks).map(|c| vec![0; room(c)]).collect(),
        }
    }

    /// Bytes for each pixel, and for registers.
    pub(super) fn bytes(programs: &[Program], inputs: usize) -> (usize, usize) {
        let most = |of: fn(&Program) -> &[usize]| {
            let slots = programs.iter().map(|p| of(p).len()).max().unwrap_or(0);
            slots + common(programs, inputs, of).filter(|c| *c).count()
        };
        let pixel = 4 * most(|p| &p.narrow) + 8 * most(|p| &p.wide) + 4 * most(|p| &p.masks);
        (pixel, programs.iter().map(Program::register_bytes).max().unwrap_or(0))
    }

    /// The samples of all frames. Returns how many variances below zero were met.
    pub(super) fn compute<T: Real + Default>(
        &mut self,
        run: &Run<'_, T>,
        programs: &[Program],
        stack: &Stacking<'_>,
        range: &Range<usize>,
        cube: &mut Cube<T>,
    ) -> u64 {
        let (n, stride) = (range.len(), cube.stride);
        fn each<V>(room: &mut [Vec<V>]) -> impl Iterator<Item = (usize, &mut Vec<V>)> {
            room.iter_mut().enumerate().filter(|(_, c)| !c.is_empty())
        }
        each(&mut self.narrow).for_each(|(input, to)| run.real(input, range, &mut to[..n]));
        each(&mut self.wide).for_each(|(input, to)| run.real(input, range, &mut to[..n]));
        each(&mut self.masks).for_each(|(input, to)| run.mask(input, range, &mut to[..n]));
        let mut tally = Tally::default();
        let mut plane = 0;
        for (f, program) in programs.iter().enumerate() {
            for (slot, &input) in program.narrow.iter().enumerate().filter(|(_, i)| self.narrow[**i].is_empty()) {
                run.real(input, range, &mut self.sheet.narrow[slot][..n]);
            }
            for (slot, &input) in program.wide.iter().enumerate().filter(|(_, i)| self.wide[**i].is_empty()) {
                run.real(input, range, &mut self.sheet.wide[slot][..n]);
            }
            for (slot, &input) in program.masks.iter().enumerate().filter(|(_, i)| self.masks[**i].is_empty()) {
                run.mask(input, range, &mut self.sheet.masks[slot][..n]);
            }
            self.exchange(program);
            let at = f * stride..f * stride + n;
            let variance = if stack.variance { &mut cube.variance[at.clone()] } else { &mut [] };
            let mask = if stack.mask { &mut cube.mask[at.clone()] } else { &mut [] };
            if program.mask.is_none() {
                mask.fill(0);
            }
            let planes = program.more.len();
            let out = Out::of(&mut cube.data[at], variance, mask, &mut tally);
            let more = &mut cube.shared[plane * stride..(plane + planes) * stride];
            let lent = expr::Lent::default();
            Expr::<T>::cpu(expr::Task { program, sheet: &mut self.sheet, lent, short: None, out, more, stride });
            plane += planes;
            self.exchange(program);
        }
        tally.negative
    }

    /// Puts what many frames read into the slots of this one; again, and it is back where it was.
    fn exchange(&mut self, program: &Program) {
        fn all<V>(slots: &mut [Vec<V>], inputs: &[usize], room: &mut [Vec<V>]) {
            for (slot, &input) in slots.iter_mut().zip(inputs) {
                if !room[input].is_empty() {
                    swap(slot, &mut room[input]);
                }
            }
        }
        all(&mut self.sheet.narrow, &program.narrow, &mut self.narrow);
        all(&mut self.sheet.wide, &program.wide, &mut self.wide);
        all(&mut self.sheet.masks, &program.masks, &mut self.masks);
    }
}
