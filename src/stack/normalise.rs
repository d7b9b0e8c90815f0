//! The factor and the offset of each frame: given, or from what its header or its pixels say, so that all frames come to the
//! level of the first.
//!
//! x_i = s_i d_i + z_i. With K_i the number of a keyword, or a statistic of frame i:
//!
//! | | scale | zero |
//! |---|---|---|
//! | values | s_i = F_i | z_i = F_i |
//! | keyword, mean, median, mode | s_i = K_0 / K_i | z_i = s_0 K_0 - s_i K_i |
//!
//! | fit | s_i nearest to the first frame, `fit.rs` | z_i likewise, together with s_i if that is a fit too |
//!
//! Both can be given: the offset is what the factor leaves. (IRAF's imcombine has the same factors, for its first image.)

use std::fmt;
use std::str::FromStr;

use super::fit::{Wanted, fit};
use super::mode::mode;
use super::{PerFrame, Stack, Weights};
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
    /// The mode, likewise: where a bin of a tenth of the reach of the middle 70 percent holds most pixels, as IRAF's imcombine
    /// has it. Of a section of more than 1,048,576 pixels a grid of them is taken, with the least odd step along all axes that
    /// leaves no more; HISTORY says the step. What is not finite is left out.
    Mode,
    /// What brings the pixels of the frame nearest to those of the first one, by least squares over those of the extension or
    /// the section that are finite and that the first level of the DQ hierarchy admits in both; of a large section a grid, as
    /// for the mode. As a scale, the s for which the sum of (x_0 - s x_i)^2 is least; as a zero, the mean of what the factors
    /// leave between both; as both at once, the line x_0 = s x_i + z. Nothing is clipped.
    Fit,
}

impl FromStr for Level {
    type Err = Error;

    /// `1,0.9,1.1`, `!EXPTIME`, `mean`, `median`, `mode` or `fit`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::Parameter(format!("{text:?} is neither numbers nor !KEYWORD, mean, median, mode or fit"));
        match text {
            "mean" => Ok(Level::Mean),
            "median" => Ok(Level::Median),
            "mode" => Ok(Level::Mode),
            "fit" => Ok(Level::Fit),
            _ => match text.parse().map_err(|_| wrong())? {
                PerFrame::Values(values) => Ok(Level::Values(values)),
                PerFrame::Keyword(key) => Ok(Level::Keyword(key)),
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
            Level::Mode => write!(f, "mode"),
            Level::Fit => write!(f, "fit"),
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
        matches!(self, Level::Mean | Level::Median) || self.is_sampled()
    }

    /// Whether it is made of pixels that are held at once, so that of many not all are taken.
    pub(super) fn is_sampled(&self) -> bool {
        matches!(self, Level::Mode | Level::Fit)
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
            let what = "a section is for levels that are statistics of pixels, and for weights by noise";
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
        self.fit_frames(containers, frames, engine, &mut affine)?;
        match &self.zero {
            None | Some(Level::Fit) => {}
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

    /// Fits what is to be fitted of each frame to the first.
    fn fit_frames(
        &self,
        containers: &[NDAstroData],
        frames: &[Expr],
        engine: &Engine,
        affine: &mut [Affine],
    ) -> Result<()> {
        let [scale, zero] = [&self.scale, &self.zero].map(|level| *level == Some(Level::Fit));
        let ([of_first, rest @ ..], true) = (frames, scale || zero) else { return Ok(()) };
        let first = self.sampled(of_first, engine)?.good();
        let scale_of_first = affine.first().map_or(1.0, |affine| affine.scale);
        for ((frame, nd), affine) in rest.iter().zip(&containers[1..]).zip(&mut affine[1..]) {
            let wanted = match (scale, zero) {
                (true, true) => Wanted::Both,
                (true, false) => Wanted::Scale,
                _ => Wanted::Zero(scale_of_first, affine.scale),
            };
            let found = fit(&first, &self.sampled(frame, engine)?.good(), wanted);
            let (scale, zero) = found.map_err(|why| {
                let what = if scale { "scale" } else { "zero" };
                let (one, other) = (nd.label(), containers[0].label());
                Error::Parameter(format!("{what}: {one} cannot be fitted to the first frame, {other}: {why}"))
            })?;
            *affine = Affine { scale, zero };
        }
        Ok(())
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
            None | Some(Level::Values(_) | Level::Fit) => return Ok(None),
            Some(Level::Keyword(key)) => self.keywords(key, containers),
            Some(level) => {
                let named = |(frame, nd)| self.statistic(level, frame, nd, engine);
                frames.iter().zip(containers).map(named).collect()
            }
        };
        let levels = levels?;
        if let Some((level, nd)) = levels.iter().zip(containers).find(|(level, _)| !level.is_finite()) {
            return Err(Error::Parameter(format!("{name}: {} has the level {level}", nd.label())));
        }
        Ok(Some(levels))
    }

    /// The mean, median or mode of the section of a frame.
    fn statistic(&self, level: &Level, frame: &Expr, nd: &NDAstroData, engine: &Engine) -> Result<f64> {
        if *level == Level::Mode {
            let mut values = self.sampled(frame, engine)?.least_bad();
            let none = || Error::Parameter(format!("{}: no pixel that is finite for its mode", nd.label()));
            return mode(&mut values).ok_or_else(none);
        }
        let part = self.part(frame)?;
        let one = if *level == Level::Median { part.median(&[]) } else { part.mean(&[]) };
        let none = || Error::Parameter("the section of the statistics has no pixel".into());
        self.number(one, engine)?.ok_or_else(none)
    }

    /// What a collapse comes to, if it is of anything.
    pub(super) fn number(&self, one: Expr, engine: &Engine) -> Result<Option<f64>> {
        let job = Calculation::of(vec![one]).use_variance(false).use_mask(self.use_mask).ignore_units(true);
        let (result, _) = job.steered(&self.settings).eval(engine)?;
        Ok(result[0].data()?.to_f64().into_iter().next())
    }

    /// The number of a keyword of each frame.
    pub(super) fn keywords(&self, key: &str, containers: &[NDAstroData]) -> Result<Vec<f64>> {
        containers.iter().zip(&self.inputs).map(|(nd, input)| keyword(key, nd, input.phu())).collect()
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
