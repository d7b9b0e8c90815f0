//! One extension of a stack: everything that is decided before a pixel is read.

use std::collections::HashSet;

use super::maps::{Product, products};
use super::weights::Counted;
use super::{BitNames, Flavour, Stack};
use crate::astrodata::partner;
use crate::dtype::DType;
use crate::engine::Engine;
use crate::error::escape;
use crate::expr::frames::FramesPlan;
use crate::expr::parts::read_so_far;
use crate::fits::{Compression, Header, ImageSpec};
use crate::kernels::stack::{Affine, Method};
use crate::nddata::NDAstroData;
use crate::output::{FileSink, Target};
use crate::placed::Place;
use crate::plane::Plane;
use crate::stats::Factors;
use crate::tiles::Counters;
use crate::unit::Unit;
use crate::writing::{carried, others, planes_of};
use crate::{AstroData, Error, Result};

/// One extension of the stack.
pub(super) struct Plan {
    pub frames: Vec<NDAstroData>,
    /// What computes the frames, if they are expressions.
    pub computed: Option<FramesPlan>,
    pub unit: Option<Unit>,
    /// Where each frame is on the grid; empty if all are the grid.
    pub places: Vec<Place>,
    pub affine: Vec<Affine>,
    pub counted: Counted,
    /// From pixel to pixel of those that levels are of, along each axis, where not all are taken.
    pub step: usize,
    /// Bytes of pixels that were read for it.
    pub read_for_levels: u64,
    pub shape: Vec<usize>,
    pub header: Header,
    pub ver: i64,
    /// All frames have a variance, and it is used.
    pub variance: bool,
    /// Some frame has a mask, and it is used.
    pub mask: bool,
    /// A sample can be non-finite.
    pub nonfinite: bool,
    /// Type of the mask that comes out; `None` where no pixel can be flagged.
    pub mask_out: Option<DType>,
    /// How its bits are called.
    pub names: BitNames,
    pub compute: DType,
    /// Of the data of the result.
    pub data_out: DType,
    pub compression: Option<Compression>,
    /// What the kernel does.
    pub method: Method,
    /// Planes besides data, variance and mask.
    pub products: Vec<Product>,
    /// Further planes of the first frame, carried as they are.
    pub others: Vec<(String, Plane)>,
}

impl Plan {
    /// What its frames are scaled and shifted by.
    pub(super) fn factors(&self) -> Factors {
        let (scale, zero) = self.affine.iter().map(|a| (a.scale, a.zero)).unzip();
        Factors { extver: self.ver, scale, zero, weight: self.counted.weights.clone() }
    }

    pub(super) fn new(stack: &Stack, extension: usize, engine: &Engine, counters: &mut Counters) -> Result<Self> {
        let first = &stack.inputs[0];
        let frames: Vec<NDAstroData> =
            stack.inputs.iter().map(|i| partner(first, extension, i).cloned()).collect::<Result<_>>()?;
        let (frames, places) = stack.placed(frames)?;
        let ver = versions(first)[extension];
        let dragons = stack.flavour == Flavour::Dragons;
        let expressions = stack.expressions_of(&frames, extension)?;
        let levels = || -> Result<(Vec<Affine>, usize, Counted, u64)> {
            let before = read_so_far(&expressions).1;
            let affine = stack.affine(&frames, &expressions, engine)?;
            let step = expressions.first().map_or(Ok(1), |frame| stack.step(frame))?;
            let read = read_so_far(&expressions).1 - before;
            let (counted, more) = stack.counted(&frames, &expressions, &affine, engine)?;
            Ok((affine, step, counted, read + more))
        };
        if let Some(computed) = stack.computed(&expressions, engine, counters)? {
            let method = stack.method(computed.own_variance, counters, || {
                let missing = "a frame's expression has none but what it shares with others".to_string();
                if stack.use_variance { missing } else { "they are not to be used".into() }
            })?;
            let compute = if dragons { DType::F32 } else { computed.compute };
            let mask_out = Some(computed.mask.unwrap_or(DType::U16));
            let products = products(stack.variance_from, &stack.maps, frames.len(), compute, mask_out);
            let others = kept(computed.first.first(), &computed.shape, &products);
            let (affine, step, counted, read_for_levels) = levels()?;
            return Ok(Plan {
                header: computed.header.clone(),
                unit: computed.unit.clone(),
                places,
                affine,
                counted,
                step,
                read_for_levels,
                ver,
                frames,
                shape: computed.shape.clone(),
                variance: computed.own_variance && method.reads_variance(),
                mask: computed.mask.is_some(),
                nonfinite: true,
                mask_out,
                names: stack.bit_names.clone(),
                compute,
                data_out: compute,
                compression: stack.settings.compression,
                computed: Some(computed),
                method,
                products,
                others,
            });
        }
        let shape = frames[0].shape();
        for frame in &frames[1..] {
            if frame.shape() != shape {
                return Err(Error::Shape {
                    what: frame.label(),
                    expected: shape,
                    found: frame.shape(),
                    why: format!("that of the first frame, {}", frames[0].label()),
                });
            }
        }
        check_units(&frames)?;
        let without = frames.iter().find(|f| !f.has_variance());
        let method = stack.method(stack.use_variance && without.is_none(), counters, || match without {
            Some(frame) if stack.use_variance => format!("{} has none", frame.label()),
            _ => "they are not to be used".into(),
        })?;
        let variance = stack.use_variance && without.is_none() && method.reads_variance();
        let masks = || frames.iter().filter_map(NDAstroData::mask_plane).filter(|_| stack.use_mask);
        let mask = if dragons { masks().count() == frames.len() } else { masks().next().is_some() };
        let values = || {
            let variances = frames.iter().filter_map(NDAstroData::variance_plane).filter(|_| variance);
            frames.iter().map(NDAstroData::data_plane).chain(variances)
        };
        let nonfinite = values().any(Plane::can_be_nonfinite);
        let compute = if dragons || values().all(|p| p.dtype().fits_f32()) { DType::F32 } else { DType::F64 };
        let data_out = if stack.combine.is_bitwise() { stack.integers(&frames)? } else { compute };
        let width = masks().filter(|_| mask).map(|p| p.format().size()).max();
        let mask_out = width.map(DType::of_mask).or(nonfinite.then_some(DType::U16));
        let products = products(stack.variance_from, &stack.maps, frames.len(), compute, mask_out);
        let others = kept(frames.first(), &shape, &products);
        let (affine, step, counted, read_for_levels) = levels()?;
        Ok(Plan {
            computed: None,
            unit: frames[0].unit().cloned(),
            header: frames[0].header()?,
            places,
            affine,
            counted,
            step,
            read_for_levels,
            ver,
            frames,
            shape,
            variance,
            mask,
            nonfinite,
            mask_out,
            names: stack.bit_names.clone(),
            compute,
            data_out,
            compression: stack.settings.compression,
            method,
            products,
            others,
        })
    }

    pub(super) fn pixels(&self) -> usize {
        self.shape.iter().product()
    }

    /// The planes that are read, and which of them each frame has.
    pub(super) fn planes(&self) -> (Vec<Plane>, Vec<[Option<usize>; 3]>) {
        if let Some(computed) = &self.computed {
            return (computed.planes.clone(), Vec::new());
        }
        let mut planes = Vec::new();
        let mut frames = Vec::new();
        for frame in &self.frames {
            let used = [
                Some(frame.data_plane()),
                frame.variance_plane().filter(|_| self.variance),
                frame.mask_plane().filter(|_| self.mask),
            ];
            frames.push(used.map(|plane| {
                plane.map(|p| {
                    planes.push(p.clone());
                    planes.len() - 1
                })
            }));
        }
        (planes, frames)
    }

    /// The images of this extension in the output file: data, variance, mask, products, others.
    pub(super) fn images(&self) -> Vec<ImageSpec> {
        let bitwise = self.method.combine.is_bitwise();
        let types = [Some(self.data_out), Some(self.compute).filter(|_| !bitwise), self.mask_out];
        let (unit, ver, shape) = (self.unit.as_ref(), self.ver, &self.shape);
        let mut images: Vec<ImageSpec> = planes_of(&self.header, unit, ver, shape, types, self.compression).collect();
        let lossless = self.compression.map(|c| Compression { quantize: None, ..c });
        // The header of the variance, with its unit, and that of data without one.
        let with_unit = if bitwise { Header::default() } else { images[1].header.clone() };
        let mut bare = images[0].header.clone();
        bare.remove("BUNIT");
        for product in &self.products {
            let header = if product.is_variance { &with_unit } else { &bare };
            let mut header = header.clone();
            product.cards(&self.names, &mut header);
            let shape = product.shape(shape);
            let image = ImageSpec::new(&product.name, ver, &shape, product.dtype).with_header(header);
            // What is packed must be written in order, which the planes of a cube are not.
            images.push(ImageSpec { compression: lossless.filter(|_| product.planes.is_none()), ..image });
        }
        images.extend(self.others.iter().map(|(name, plane)| carried(name, plane, ver, self.compression)));
        images
    }

    /// What of a tile goes to which of these images, the first of them being `first`; and where the others begin.
    pub(super) fn targets(&self, first: usize) -> (Vec<Target>, usize) {
        let mut targets = FileSink::planes(first, !self.method.combine.is_bitwise(), self.mask_out);
        targets[0].dtype = self.data_out;
        for product in &self.products {
            let stride = self.pixels();
            targets.push(Target { image: first + targets.len(), part: product.part, dtype: product.dtype, stride });
        }
        let others = first + targets.len();
        (targets, others)
    }
}

/// Samples of different units are not to be combined. A frame without one is in that of the first.
fn check_units(frames: &[NDAstroData]) -> Result<()> {
    let Some((first, unit)) = frames.iter().find_map(|frame| Some((frame, frame.unit()?))) else { return Ok(()) };
    for frame in frames {
        let Some(other) = frame.unit() else { continue };
        let factor = other.factor_to(unit);
        if factor == Some(1.0) || other.as_str().trim() == unit.as_str().trim() {
            continue;
        }
        let what = match factor {
            Some(factor) => format!("multiply it by {factor} first, with calc"),
            None => "they do not convert".into(),
        };
        let (label, of_first) = (frame.label(), first.label());
        let (other, unit) = (escape(other.as_str()), escape(unit.as_str()));
        return Err(Error::Unit(format!("{label}: in {other}, and {of_first} in {unit}: {what}")));
    }
    Ok(())
}

/// EXTVERs of the result: those of the first frame where they are all there and different, else 1, 2, 3...
fn versions(first: &AstroData) -> Vec<i64> {
    let said: Vec<i64> = first.iter().filter_map(NDAstroData::ver).collect();
    let distinct: HashSet<&i64> = said.iter().collect();
    if said.len() == first.len() && distinct.len() == said.len() { said } else { (1..=first.len() as i64).collect() }
}

/// Further planes that go with the result, but those that it makes itself.
fn kept(first: Option<&NDAstroData>, shape: &[usize], products: &[Product]) -> Vec<(String, Plane)> {
    let made = |name: &str| products.iter().any(|p| p.name.eq_ignore_ascii_case(name));
    let kept = others(first, shape).filter(|(name, _)| !made(name));
    kept.map(|(name, plane)| (name.to_string(), plane.clone())).collect()
}
