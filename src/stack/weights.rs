//! What frames count for: weights, exposures, and which part of the weight a mask bit must have.
//!
//! The noise of a frame is found from neighbours in a row, whose difference has twice the variance of either: sigma =
//! 1.4826 / sqrt(2) times the median of |x(i + 1) - x(i)|, so that gradients and most of the light of sources are no noise.
//! (1.4826 makes a median of deviations the standard deviation of normal samples.) Where neighbours are correlated, as after
//! resampling, it comes out too small, for all frames alike. Of more than 262,144 pixels only every so many
//! rows are taken: then sigma is known to 0.3 percent. The weight is 1 / (s sigma)^2 with the frame's factor s.

use std::fmt;
use std::str::FromStr;

use super::{Combine, Flavour, Map, Stack};
use crate::engine::Engine;
use crate::expr::parts::read_so_far;
use crate::kernels::stack::{Affine, SIGMA_OF_MAD};
use crate::nddata::NDAstroData;
use crate::slice::{Slice, Slices};
use crate::{Error, Expr, Result};

/// Pixels that noise is found from, about.
const MOST: usize = 1 << 18;

/// A number for each frame.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PerFrame {
    /// Given, one for each, for all extensions.
    Values(Vec<f64>),
    /// That of a keyword of the extension's header, else of the primary one.
    Keyword(String),
}

/// What the weights of frames are.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Weights {
    /// Given, or in the headers.
    Given(PerFrame),
    /// By the noise of each frame, from differences of neighbours: 1 / sigma^2 after the factor.
    Noise,
}

impl FromStr for PerFrame {
    type Err = Error;

    /// `300,300,60` or `!EXPTIME`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::Parameter(format!("{text:?} is neither numbers nor !KEYWORD"));
        match text.strip_prefix('!') {
            Some(key) if !key.trim().is_empty() => Ok(PerFrame::Keyword(key.trim().to_ascii_uppercase())),
            Some(_) => Err(wrong()),
            None => {
                let values = text.split(',').map(|word| word.trim().parse().map_err(|_| wrong()));
                values.collect::<Result<_>>().map(PerFrame::Values)
            }
        }
    }
}

impl fmt::Display for PerFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PerFrame::Values(values) => write!(f, "{} values", values.len()),
            PerFrame::Keyword(key) => write!(f, "!{key}"),
        }
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Weights::Given(given) => write!(f, "{given}"),
            Weights::Noise => write!(f, "noise"),
        }
    }
}

impl From<Vec<f64>> for Weights {
    fn from(values: Vec<f64>) -> Self {
        Weights::Given(PerFrame::Values(values))
    }
}

/// What the frames of an extension count for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counted {
    pub weights: Vec<f64>,
    pub exposures: Vec<f64>,
}

impl Stack {
    /// Weights of the frames, of a mean or of a weighted mean, whose weights are then these by the variance. Formulas: the
    /// table in the documentation of the kernel. On the CPU only.
    pub fn weights(mut self, weights: impl Into<Weights>) -> Self {
        self.weights = Some(weights.into());
        self
    }

    /// What the map of exposures sums; `!EXPTIME` unless set.
    pub fn exposure(mut self, exposure: PerFrame) -> Self {
        self.exposure = exposure;
        self
    }

    /// Of these mask bits each comes out only where samples with at least this part, from 0 to 1, of the weight that is used
    /// have it; without weights of their number. On the CPU only.
    pub fn mask_fraction(mut self, bits: u32, fraction: f64) -> Self {
        self.fractions.extend((0..32).map(|i| 1 << i).filter(|bit| bits & bit != 0).map(|bit| (bit, fraction)));
        self
    }

    /// Whether frames do not all count alike.
    pub(super) fn is_uneven(&self) -> bool {
        self.weights.is_some()
            || !self.fractions.is_empty()
            || self.maps.iter().any(|map| map.is_of_cpu())
            || self.grow > 0.0
    }

    /// Whether the weights go with the rest.
    pub(super) fn check_weights(&self) -> Result<()> {
        let refused = |why: String| Err(Error::Parameter(why));
        if self.is_uneven() && self.flavour == Flavour::Dragons {
            return refused(
                "flavour dragons has no weights of frames, exposures, reasons and counts of mask bits".into(),
            );
        }
        if self.weights.is_some() && !matches!(self.combine, Combine::Mean | Combine::WtMean) {
            return refused(format!("weights go with mean and wtmean, not with {}", self.combine.name()));
        }
        if let Some((_, fraction)) = self.fractions.iter().find(|(_, f)| !(0.0..=1.0).contains(f)) {
            return refused(format!("{fraction} is no fraction from 0 to 1 of the weight"));
        }
        let n = self.inputs.len();
        let lists = [
            (
                "weights",
                self.weights.as_ref().and_then(|w| if let Weights::Given(given) = w { Some(given) } else { None }),
            ),
            ("exposure", self.maps.contains(&Map::Exposure).then_some(&self.exposure)),
        ];
        for (name, list) in lists {
            if let Some(PerFrame::Values(values)) = list
                && values.len() != n
            {
                return refused(format!("{name}: {} values for {n} frames", values.len()));
            }
        }
        Ok(())
    }

    /// Whether weights are found in pixels.
    pub(super) fn weighs_noise(&self) -> bool {
        self.weights == Some(Weights::Noise)
    }

    /// What the frames of an extension count for, and the bytes of pixels that were read for it.
    pub(super) fn counted(
        &self,
        containers: &[NDAstroData],
        frames: &[Expr],
        affine: &[Affine],
        engine: &Engine,
    ) -> Result<(Counted, u64)> {
        let before = read_so_far(frames).1;
        let mut weights = match &self.weights {
            None => Vec::new(),
            Some(Weights::Given(given)) => self.of_frames(given, containers)?,
            Some(Weights::Noise) => {
                let noises = frames.iter().map(|frame| self.noise(frame, engine)).collect::<Result<Vec<f64>>>()?;
                noises.iter().zip(affine).map(|(noise, affine)| (noise * affine.scale).powi(-2)).collect()
            }
        };
        let most = weights.iter().fold(0.0, |most: f64, k| most.max(*k));
        for (weight, nd) in weights.iter_mut().zip(containers) {
            // So much smaller ones are nothing beside the largest, and their squares no numbers.
            let sound = *weight > 0.0 && weight.is_finite() && *weight > 1e-100 * most;
            if !sound {
                let label = nd.label();
                return Err(Error::Parameter(format!("weights: {label} has {weight}, which is no weight above 0")));
            }
        }
        let exposures =
            if self.maps.contains(&Map::Exposure) { self.of_frames(&self.exposure, containers)? } else { Vec::new() };
        if let Some((seconds, nd)) = exposures.iter().zip(containers).find(|(t, _)| !(**t >= 0.0 && t.is_finite())) {
            return Err(Error::Parameter(format!("exposure: {} has {seconds}", nd.label())));
        }
        Ok((Counted { weights, exposures }, read_so_far(frames).1 - before))
    }

    fn of_frames(&self, given: &PerFrame, containers: &[NDAstroData]) -> Result<Vec<f64>> {
        match given {
            PerFrame::Values(values) => Ok(values.clone()),
            PerFrame::Keyword(key) => self.keywords(key, containers),
        }
    }

    /// The standard deviation of the noise in the section of a frame.
    fn noise(&self, frame: &Expr, engine: &Engine) -> Result<f64> {
        let part = self.part(frame)?;
        // Of a large frame every so many rows will do.
        let shape = part.shape()?;
        let step = shape.iter().product::<usize>().div_ceil(MOST).max(1);
        let part = match shape.len() {
            0 | 1 => part,
            _ => part.slice(Slices::from([Slice::Ellipsis, Slice::ALL.by(step as isize), Slice::ALL]))?,
        };
        let of_rows = |of: Slice| Slices::from([Slice::Ellipsis, of]);
        let difference = part.slice(of_rows(Slice::from(1..)))? - part.slice(of_rows(Slice::from(..-1)))?;
        let median = self.number(difference.abs().median(&[]), engine)?;
        let median = median.ok_or_else(|| Error::Parameter("the section of the noise has no neighbours".into()))?;
        Ok(SIGMA_OF_MAD / std::f64::consts::SQRT_2 * median)
    }
}
