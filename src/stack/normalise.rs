//! The factor and the offset of each frame: given, or from what its header or its pixels say, so that all frames come to the
//! level of the first.
//!
//! x_i = s_i d_i + z_i. With K_i the number of a keyword, or a statistic of frame i:
//!
//! | | scale | zero |
//! |---|---|---|
//! | values | s_i = F_i | z_i = F_i |
//! | keyword, mean, median | s_i = K_0 / K_i | z_i = s_0 K_0 - s_i K_i |
//!
//! Both can be given: the offset is what the factor leaves. (IRAF's imcombine has the same factors, for its first image.)

use std::fmt;
use std::str::FromStr;

use super::{Stack, Weights};
use crate::engine::Engine;
use crate::fits::Header;
use crate::kernels::stack::Affine;
use crate::nddata::NDAstroData;
use crate::slice::Slices;
use crate::{Calculation, Error, Expr, Result};

/// Where the factors or the offsets of frames come from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Level {
    /// One for each frame, for all extensions.
    Values(Vec<f64>),
    /// A keyword of the extension's header, else of the primary one.
    Keyword(String),
    /// The mean of the extension, or of the section of it that is given. Of masked pixels the least bad count.
    Mean,
    /// The median, likewise.
    Median,
}

impl FromStr for Level {
    type Err = Error;

    /// `1,0.9,1.1`, `!EXPTIME`, `mean` or `median`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::Parameter(format!("{text:?} is neither numbers nor !KEYWORD, mean or median"));
        match text {
            "mean" => Ok(Level::Mean),
            "median" => Ok(Level::Median),
            _ => match text.strip_prefix('!') {
                Some(key) if !key.trim().is_empty() => Ok(Level::Keyword(key.trim().to_ascii_uppercase())),
                Some(_) => Err(wrong()),
                None => {
                    let values = text.split(',').map(|word| word.trim().parse().map_err(|_| wrong()));
                    values.collect::<Result<_>>().map(Level::Values)
                }
            },
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Level::Values(values) => write!(f, "{} values", values.len()),
            Level::Keyword(key) => write!(f, "!{key}"),
            Level::Mean => write!(f, "mean"),
            Level::Median => write!(f, "median"),
        }
    }
}

impl From<Vec<f64>> for Level {
    fn from(values: Vec<f64>) -> Self {
        Level::Values(values)
    }
}

impl Level {
    fn is_statistic(&self) -> bool {
        matches!(self, Level::Mean | Level::Median)
    }
}

impl Stack {
    /// Whether the lists are as long as they should be, and what depends on no pixel is in its domain.
    pub(super) fn check_levels(&self) -> Result<()> {
        let n = self.inputs.len();
        for (name, level) in [("scale", &self.scale), ("zero", &self.zero)] {
            let Some(Level::Values(values)) = level else { continue };
            if values.len() != n {
                return Err(Error::Parameter(format!("{name}: {} values for {n} frames", values.len())));
            }
            if values.iter().any(|x| !x.is_finite()) {
                return Err(Error::Parameter(format!("{name}: not finite")));
            }
            if let Some(bad) = values.iter().find(|&&s| name == "scale" && s <= 0.0) {
                return Err(Error::Parameter(format!("scale: {bad} is not positive")));
            }
        }
        if self.section.is_some() && !self.has_statistics() && !self.weighs_noise() {
            let what = "a section is for levels that are a mean or a median, and for weights by noise";
            return Err(Error::Parameter(what.into()));
        }
        Ok(())
    }

    /// Whether levels are statistics of pixels.
    pub(super) fn has_statistics(&self) -> bool {
        [&self.scale, &self.zero].into_iter().flatten().any(Level::is_statistic)
    }

    /// Without those levels.
    pub(super) fn without_statistics(mut self) -> Self {
        self.scale = self.scale.filter(|level| !level.is_statistic());
        self.zero = self.zero.filter(|level| !level.is_statistic());
        self.section = None;
        if self.weighs_noise() {
            self.weights = Some(Weights::from(vec![1.0; self.inputs.len()]));
        }
        self
    }

    /// Scale and zero of each frame of an extension. `frames` are what is stacked.
    pub(super) fn affine(&self, containers: &[NDAstroData], frames: &[Expr], engine: &Engine) -> Result<Vec<Affine>> {
        let mut affine = vec![Affine::IDENTITY; containers.len()];
        let of_scale = self.levels_of("scale", self.scale.as_ref(), containers, frames, engine)?;
        match (&self.scale, &of_scale) {
            (Some(Level::Values(values)), _) => {
                affine.iter_mut().zip(values).for_each(|(affine, scale)| affine.scale = *scale);
            }
            (_, Some(levels)) => {
                for ((affine, level), nd) in affine.iter_mut().zip(levels).zip(containers) {
                    affine.scale = levels[0] / level;
                    if !(affine.scale.is_finite() && affine.scale > 0.0) {
                        let (first, label) = (levels[0], nd.label());
                        return Err(Error::Parameter(format!(
                            "scale: {label} has the level {level} and the first frame {first}, which is no positive factor"
                        )));
                    }
                }
            }
            _ => {}
        }
        match &self.zero {
            None => {}
            Some(Level::Values(values)) => {
                affine.iter_mut().zip(values).for_each(|(affine, zero)| affine.zero = *zero);
            }
            // The same statistic is not made twice.
            same => {
                let own = if *same == self.scale {
                    of_scale
                } else {
                    self.levels_of("zero", same.as_ref(), containers, frames, engine)?
                };
                let levels = own.unwrap_or_default();
                let Some(first) = levels.first().map(|level| affine[0].scale * level) else { return Ok(affine) };
                for (affine, level) in affine.iter_mut().zip(&levels) {
                    affine.zero = first - affine.scale * level;
                }
            }
        }
        Ok(affine)
    }

    /// What the frames' levels are, if they are not given as numbers.
    fn levels_of(
        &self,
        name: &str,
        level: Option<&Level>,
        containers: &[NDAstroData],
        frames: &[Expr],
        engine: &Engine,
    ) -> Result<Option<Vec<f64>>> {
        let levels: Result<Vec<f64>> = match level {
            None | Some(Level::Values(_)) => return Ok(None),
            Some(Level::Keyword(key)) => {
                containers.iter().zip(&self.inputs).map(|(nd, input)| keyword(key, nd, input.phu())).collect()
            }
            Some(level) => frames.iter().map(|frame| self.statistic(level, frame, engine)).collect(),
        };
        let levels = levels?;
        if let Some((level, nd)) = levels.iter().zip(containers).find(|(level, _)| !level.is_finite()) {
            return Err(Error::Parameter(format!("{name}: {} has the level {level}", nd.label())));
        }
        Ok(Some(levels))
    }

    /// The mean or median of the section of a frame.
    fn statistic(&self, level: &Level, frame: &Expr, engine: &Engine) -> Result<f64> {
        let part = match &self.section {
            Some(section) => frame.slice(section.clone())?,
            None => frame.clone(),
        };
        let one = if *level == Level::Median { part.median(&[]) } else { part.mean(&[]) };
        let job = Calculation::of(vec![one]).use_variance(false).use_mask(self.use_mask).ignore_units(true);
        let (result, _) = job.steered(&self.settings).eval(engine)?;
        let value = result[0].data()?.to_f64();
        value.into_iter().next().ok_or_else(|| Error::Parameter("the section of the statistics has no pixel".into()))
    }
}

/// The number of a keyword of an extension's header, else of the primary one.
pub(crate) fn keyword(key: &str, nd: &NDAstroData, phu: &Header) -> Result<f64> {
    let found = nd.meta().get_f64(key).or_else(|| phu.get_f64(key));
    found.ok_or_else(|| Error::Parameter(format!("{}: its header has no number in {key}", nd.label())))
}

impl Stack {
    /// A factor for each frame: data * scale, variance * scale^2.
    pub fn scale(self, scale: Vec<f64>) -> Self {
        self.scale_by(Level::Values(scale))
    }

    /// An offset for each frame, added after the factor.
    pub fn zero(self, zero: Vec<f64>) -> Self {
        self.zero_by(Level::Values(zero))
    }

    /// Where the factors come from. Statistics are of each extension of each frame as it is stacked, calibrated if it is; each
    /// is read once more for them.
    pub fn scale_by(mut self, level: Level) -> Self {
        self.scale = Some(level);
        self
    }

    /// Where the offsets come from.
    pub fn zero_by(mut self, level: Level) -> Self {
        self.zero = Some(level);
        self
    }

    /// The part of each extension that statistics of levels are of; all of it unless set.
    pub fn section(mut self, section: impl Into<Slices>) -> Self {
        self.section = Some(section.into());
        self
    }
}
