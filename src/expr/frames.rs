//! Expressions that are frames of one stack: what each comes to, and what they share.
//!
//! All frames are planned in one graph, so a container that occurs in several of them, as a bias or a flat does, is one
//! random variable. Its share of the variance is not averaged away by stacking: it is left out of the variance of each frame
//! (the frame's own), and each frame has instead what one standard deviation of the variable adds to it.

use std::collections::{HashMap, HashSet};

use super::Expr;
use super::carried::header;
use super::parts::leaves;
use super::plan::{Options, Planner, needed};
use super::units::Of;
use crate::dtype::DType;
use crate::fits::Header;
use crate::kernels::expr::Program;
use crate::nddata::NDAstroData;
use crate::plane::{Origin, Plane};
use crate::unit::Unit;
use crate::{Error, Result};

/// What the frames of a stack come to.
pub(crate) struct FramesPlan {
    /// One for each frame; their inputs are [`planes`](Self::planes).
    pub programs: Vec<Program>,
    pub planes: Vec<Plane>,
    pub shape: Vec<usize>,
    pub unit: Option<Unit>,
    /// Of the first frame.
    pub header: Header,
    pub warning: Option<String>,
    /// f32 where every input is exact in it, else f64.
    pub compute: DType,
    /// As wide as the widest that goes into one.
    pub mask: Option<DType>,
    /// Every frame has a variance that no other has.
    pub own_variance: bool,
    /// For each frame the variables of its program's further results, by number.
    pub shared: Vec<Vec<usize>>,
    /// How many variables there are that frames share.
    pub variables: usize,
    /// Containers of the first frame, and those of all.
    pub first: Vec<NDAstroData>,
    pub leaves: Vec<NDAstroData>,
}

impl FramesPlan {
    /// `own` is whether the variances of the frames are wanted; they come out if every frame has one.
    pub(crate) fn new(frames: &[Expr], options: Options, own: bool) -> Result<Self> {
        let mut planner = Planner::with(options);
        let mut values = Vec::with_capacity(frames.len());
        let mut first = Vec::new();
        for (i, frame) in frames.iter().enumerate() {
            let value = planner.value(frame)?;
            if i == 0 {
                first = planner.leaves.clone();
            }
            values.push(value);
            let (shape, expected) = (&values[i].shape, &values[0].shape);
            if shape != expected {
                return Err(Error::Shape {
                    what: format!("frame {}", i + 1),
                    expected: expected.clone(),
                    found: shape.clone(),
                    why: "that of the first frame".into(),
                });
            }
        }
        let value = values.first().ok_or_else(|| Error::Parameter("no frames to stack".into()))?;
        // Variables by the number of frames that they are in. Others than these belong to the node that they are of.
        let random: Vec<_> = planner.random.iter().map(|v| v.id).collect();
        let mut depends = Vec::with_capacity(values.len());
        let mut frames_of: HashMap<_, usize> = random.iter().map(|&id| (id, 0)).collect();
        for value in &values {
            let variables = planner.dag.variables(value.id);
            for id in &variables {
                if let Some(count) = frames_of.get_mut(id) {
                    *count += 1;
                }
            }
            depends.push(variables);
        }
        let numbers: HashMap<_, usize> =
            random.iter().filter(|id| frames_of[id] > 1).enumerate().map(|(number, &id)| (id, number)).collect();
        let containers: Vec<HashSet<Origin>> =
            frames.iter().map(|frame| leaves(frame).iter().map(|nd| nd.data_plane().origin()).collect()).collect();
        let mut in_frames: HashMap<&Origin, usize> = HashMap::new();
        containers.iter().flatten().for_each(|origin| *in_frames.entry(origin).or_default() += 1);
        let mut apart = Vec::with_capacity(values.len());
        let mut owns = Vec::with_capacity(values.len());
        for ((value, variables), containers) in values.iter().zip(&depends).zip(&containers) {
            let shared: Vec<_> = variables.iter().copied().filter(|id| numbers.contains_key(id)).collect();
            let mut variance = planner.dag.variance_without(value.id, &shared).filter(|_| own);
            // A frame that has nothing to itself has no noise of its own; one whose own container says none has it unknown.
            if own && variance.is_none() && !shared.is_empty() && containers.iter().all(|c| in_frames[c] > 1) {
                variance = Some(planner.dag.constant(0.0));
            }
            apart.push(shared);
            owns.push(variance);
        }
        let own_variance = owns.iter().all(Option::is_some);
        let (mut programs, mut shared) = (Vec::new(), Vec::new());
        for ((value, apart), own) in values.iter().zip(apart).zip(owns) {
            let own = own.filter(|_| own_variance);
            let (mut more, mut of) = (Vec::new(), Vec::new());
            for id in apart {
                if let Some(amplitude) = planner.dag.amplitude(value.id, id) {
                    more.push(amplitude);
                    of.push(numbers[&id]);
                }
            }
            let mut program = planner.dag.compile(value.id, own, &more);
            let masks = needed(&planner.mask_inputs, &planner.mask_steps, value.mask);
            (program.masks, program.mask_steps, program.mask) = masks;
            programs.push(program);
            shared.push(of);
        }
        // Planes that nothing is computed from are not read.
        let mut places: HashMap<usize, usize> = HashMap::new();
        let mut planes = Vec::new();
        for program in &mut programs {
            for input in program.narrow.iter_mut().chain(&mut program.wide).chain(&mut program.masks) {
                if !places.contains_key(input) {
                    planes.push(planner.planes[*input].broadcast(&value.shape)?);
                    places.insert(*input, planes.len() - 1);
                }
                *input = places[input];
            }
        }
        let compute = if programs.iter().all(|p| p.wide.is_empty()) { DType::F32 } else { DType::F64 };
        let width = programs.iter().filter(|p| p.mask.is_some()).flat_map(|p| &p.masks);
        let width = width.map(|&i| planes[i].format().size()).max();
        let unit = match &value.unit {
            Of::Unit(unit) => Some(unit.clone()),
            Of::Bare | Of::Nothing => None,
        };
        let (header, warning) = header(&first, &value.shape);
        Ok(FramesPlan {
            programs,
            planes,
            shape: value.shape.clone(),
            unit,
            header,
            warning,
            compute,
            mask: width.map(DType::of_mask),
            own_variance,
            variables: numbers.len(),
            shared,
            first,
            leaves: planner.leaves,
        })
    }
}
