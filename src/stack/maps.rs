//! What comes out of a stack besides data, variance and mask.

use super::VarianceFrom;
use crate::dtype::DType;
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
}

impl Map {
    /// All of them.
    pub const ALL: [Map; 6] = [Map::RejMap, Map::RejLow, Map::RejHigh, Map::NGood, Map::Weight, Map::Exposure];

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
        }
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
}

/// The further planes of a stack of so many frames, in the order in which they are written.
pub(super) fn products(from: VarianceFrom, maps: &[Map], frames: usize, compute: DType) -> Vec<Product> {
    let counts = if frames <= i16::MAX as usize { DType::I16 } else { DType::I32 };
    let mut products = Vec::new();
    let mut add = |name: &str, part, dtype| {
        if !products.iter().any(|p: &Product| p.part == part) {
            products.push(Product { name: name.into(), part, dtype, is_variance: part == Part::Scatter });
        }
    };
    if from == VarianceFrom::Both {
        add("SCATTER", Part::Scatter, compute);
        add("CHISQ", Part::Ratio, compute);
    }
    for map in maps {
        let dtype = if map.part().is_real() { compute } else { counts };
        add(&map.name().to_ascii_uppercase(), map.part(), dtype);
    }
    products
}

/// Which planes the kernel makes for these.
pub(super) fn outputs(products: &[Product]) -> Outputs {
    let has = |parts: &[Part]| products.iter().any(|p| parts.contains(&p.part));
    Outputs {
        variance: true,
        mask: true,
        good: true,
        scatter: has(&[Part::Scatter]),
        ratio: has(&[Part::Ratio]),
        weight: has(&[Part::Weight]),
        exposure: has(&[Part::Exposure]),
        rejections: has(&[Part::Rejected, Part::Low, Part::High]),
    }
}
