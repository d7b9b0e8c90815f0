//! What comes out of a stack besides data, variance and mask.

use super::{BitNames, VarianceFrom};
use crate::dtype::DType;
use crate::fits::Header;
use crate::kernels::stack::reason;
use crate::tiles::{Outputs, Part};

/// Counts and sums that come out as further planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Map {
    /// Samples rejected by the rejection rule; in the flavour `dragons` as the reference counts them.
    RejMap,
    /// Those below the samples that are left.
    RejLow,
    /// Those above.
    RejHigh,
    /// Samples used.
    NGood,
    /// Sum of the weights of the samples used: their number, or the inverse variances of a weighted mean.
    Weight,
    /// Sum of the exposures of the samples used; see [`Stack::exposure`](crate::Stack::exposure). On the CPU only.
    Exposure,
    /// Why each sample is not in the result: a cube of one plane a frame, of bits. 0: it is in it; 1: its data or its variance
    /// are not finite; 2: its mask has bits that better samples do without; 4: rejected, with 8 if it is below all that
    /// are left, with 16 if above; 32: beside a rejected sample of its frame. On the CPU only.
    Reasons,
    /// How many samples have each bit of the mask: a cube of one plane a bit. On the CPU only.
    DqCounts,
}

impl Map {
    /// All of them.
    pub const ALL: [Map; 8] =
        [Map::RejMap, Map::RejLow, Map::RejHigh, Map::NGood, Map::Weight, Map::Exposure, Map::Reasons, Map::DqCounts];

    /// Those that samples alone make.
    pub const OF_SAMPLES: [Map; 5] = [Map::RejMap, Map::RejLow, Map::RejHigh, Map::NGood, Map::Weight];

    /// As the command line says it; the plane has this name in capitals.
    pub fn name(self) -> &'static str {
        match self {
            Map::RejMap => "rejmap",
            Map::RejLow => "rejlow",
            Map::RejHigh => "rejhigh",
            Map::NGood => "ngood",
            Map::Weight => "weight",
            Map::Exposure => "exposure",
            Map::Reasons => "reasons",
            Map::DqCounts => "dqcounts",
        }
    }

    fn part(self) -> Part {
        match self {
            Map::RejMap => Part::Rejected,
            Map::RejLow => Part::Low,
            Map::RejHigh => Part::High,
            Map::NGood => Part::Good,
            Map::Weight => Part::Weight,
            Map::Exposure => Part::Exposure,
            Map::Reasons => Part::Reasons,
            Map::DqCounts => Part::Counts,
        }
    }

    /// Whether the CPU alone makes it.
    pub(crate) fn is_of_cpu(self) -> bool {
        matches!(self, Map::Exposure | Map::Reasons | Map::DqCounts)
    }
}

/// A further plane of the result.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Product {
    pub name: String,
    pub part: Part,
    pub dtype: DType,
    /// In the unit of the variance.
    pub is_variance: bool,
    /// Planes of a cube.
    pub planes: Option<usize>,
}

impl Product {
    /// numpy order, of an image of this shape.
    pub(super) fn shape(&self, image: &[usize]) -> Vec<usize> {
        self.planes.into_iter().chain(image.iter().copied()).collect()
    }

    /// What its planes and numbers stand for.
    pub(super) fn cards(&self, names: &BitNames, header: &mut Header) {
        match self.part {
            Part::Reasons => {
                for (bit, meaning) in reason::MEANINGS {
                    header.set(&format!("REASON{bit}"), meaning, "");
                }
            }
            Part::Counts => {
                for bit in 0..self.planes.unwrap_or(0) {
                    header.set(&format!("DQBIT{}", bit + 1), names.describe(1 << bit), "bit that this plane counts");
                }
            }
            _ => {}
        }
    }
}

/// The further planes of a stack of so many frames, in the order in which they are written.
pub(super) fn products(
    from: VarianceFrom,
    maps: &[Map],
    frames: usize,
    compute: DType,
    mask: Option<DType>,
) -> Vec<Product> {
    let counts = if frames <= i16::MAX as usize { DType::I16 } else { DType::I32 };
    let mut products = Vec::new();
    let mut add = |name: &str, part, dtype| {
        if !products.iter().any(|p: &Product| p.part == part) {
            let planes = match part {
                Part::Reasons => Some(frames),
                Part::Counts => Some(8 * mask.unwrap_or(DType::U16).size()),
                _ => None,
            };
            products.push(Product { name: name.into(), part, dtype, is_variance: part == Part::Scatter, planes });
        }
    };
    if from == VarianceFrom::Both {
        add("SCATTER", Part::Scatter, compute);
        add("CHISQ", Part::Ratio, compute);
    }
    for map in maps {
        let dtype = match map.part() {
            Part::Reasons => DType::U8,
            part if part.is_real() => compute,
            _ => counts,
        };
        add(&map.name().to_ascii_uppercase(), map.part(), dtype);
    }
    products
}

/// Which planes the kernel makes for these.
pub(super) fn outputs(products: &[Product]) -> Outputs {
    let has = |parts: &[Part]| products.iter().any(|p| parts.contains(&p.part));
    let planes = |part| products.iter().find(|p| p.part == part).and_then(|p| p.planes).unwrap_or(0);
    Outputs {
        variance: true,
        mask: true,
        good: true,
        scatter: has(&[Part::Scatter]),
        ratio: has(&[Part::Ratio]),
        weight: has(&[Part::Weight]),
        exposure: has(&[Part::Exposure]),
        rejections: has(&[Part::Rejected, Part::Low, Part::High]),
        reasons: planes(Part::Reasons),
        counts: planes(Part::Counts),
    }
}
