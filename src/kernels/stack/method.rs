//! What is done with the samples of a pixel: the two halves of a stack, rejection and combination.

use std::hash::{Hash, Hasher};

use super::{critical_values, lmedian_factor, median_factor, percentile_factor};
use crate::{Error, Result};

/// How the samples that are left of a pixel become one. Formulas and variances: the table in
/// [`Stack::combine`](crate::Stack::combine).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Combine {
    /// sum / n.
    #[default]
    Mean,
    /// Weighted by inverse variance; the mean where frames have no variance.
    WtMean,
    /// The middle sample, or the mean of the two middle ones.
    Median,
    /// The middle sample, or the lower of the two middle ones.
    LMedian,
    /// The sum of the samples that are left, however many there are.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// Standard deviation of the samples, of n by n as numpy has it.
    Std,
    /// sqrt(sum x^2) / n: the standard deviation of a mean, of frames that are standard deviations. On the CPU only.
    Quadrature,
    /// Bitwise or of integers, which come out as integers, without a variance. On the CPU only.
    Or,
    /// Bitwise and, likewise.
    And,
    /// A percentile, interpolated between ranks as numpy does by default. On the CPU only.
    Percentile(Percent),
}

/// Which percentile: a number from 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percent(f64);

// It is no NaN.
impl Eq for Percent {}

impl Hash for Percent {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

impl Percent {
    /// The median's.
    pub const MEDIAN: Percent = Percent(50.0);

    /// # Errors
    /// It is not from 0 to 100.
    pub fn new(percent: f64) -> Result<Self> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(Error::Parameter(format!("percentile: {percent}, where a number from 0 to 100 is expected")));
        }
        // Of two zeros, which are equal, one.
        Ok(Percent(percent + 0.0))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Combine {
    /// Those of integers alone.
    pub const BITWISE: [Combine; 2] = [Combine::Or, Combine::And];

    /// All others; of percentiles the 50th.
    pub const ALL: [Combine; 10] = [
        Combine::Mean,
        Combine::WtMean,
        Combine::Median,
        Combine::LMedian,
        Combine::Sum,
        Combine::Min,
        Combine::Max,
        Combine::Std,
        Combine::Quadrature,
        Combine::Percentile(Percent::MEDIAN),
    ];

    /// Those that every engine and every flavour has.
    pub const COMMON: [Combine; 8] = [
        Combine::Mean,
        Combine::WtMean,
        Combine::Median,
        Combine::LMedian,
        Combine::Sum,
        Combine::Min,
        Combine::Max,
        Combine::Std,
    ];

    /// As the command line says it.
    pub fn name(self) -> &'static str {
        match self {
            Combine::Mean => "mean",
            Combine::WtMean => "wtmean",
            Combine::Median => "median",
            Combine::LMedian => "lmedian",
            Combine::Sum => "sum",
            Combine::Min => "min",
            Combine::Max => "max",
            Combine::Std => "std",
            Combine::Quadrature => "quadrature",
            Combine::Or => "or",
            Combine::And => "and",
            Combine::Percentile(_) => "percentile",
        }
    }

    /// Whether neither devices nor the flavour `dragons` have it.
    pub(crate) fn is_special(self) -> bool {
        matches!(self, Combine::Quadrature | Combine::Percentile(_)) || self.is_bitwise()
    }

    /// Whether it is of bits, not of numbers.
    pub(crate) fn is_bitwise(self) -> bool {
        matches!(self, Combine::Or | Combine::And)
    }

    /// Whether it is found by ranks, so that samples must be in order.
    pub(crate) fn is_by_rank(self) -> bool {
        self.is_median() || matches!(self, Combine::Percentile(_))
    }

    /// Whether it is a sample in the middle.
    pub(crate) fn is_median(self) -> bool {
        matches!(self, Combine::Median | Combine::LMedian)
    }

    /// How much more it varies than the mean of `n` samples.
    pub(crate) fn factor(self, n: usize) -> f64 {
        match self {
            Combine::Median => median_factor(n),
            Combine::LMedian => lmedian_factor(n),
            Combine::Percentile(percent) => percentile_factor(n, percent.get()),
            _ => 1.0,
        }
    }

    /// The factors of up to so many samples. Those of percentiles take long: they are NaN, to be found when they are needed.
    pub(crate) fn factors(self, most: usize) -> Vec<f64> {
        let late = matches!(self, Combine::Percentile(_));
        (0..=most).map(|n| if late { f64::NAN } else { self.factor(n) }).collect()
    }

    /// Whether it is a sample at an end.
    pub(crate) fn is_extreme(self) -> bool {
        matches!(self, Combine::Min | Combine::Max)
    }
}

/// How samples are clipped about their centre.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip {
    /// Standard deviations below the centre beyond which a sample is rejected; infinite for none.
    pub lsigma: f64,
    /// The same above it.
    pub hsigma: f64,
    /// Whether the centre is the median, else the mean. (In the flavour `dragons` the first centre is the median anyway.)
    pub mclip: bool,
    /// Most passes; `None` is until nothing more is rejected, at most 100.
    pub max_iters: Option<u32>,
}

impl Default for Clip {
    /// 3 standard deviations to either side of the median, until nothing more is rejected.
    fn default() -> Self {
        Clip { lsigma: 3.0, hsigma: 3.0, mclip: true, max_iters: None }
    }
}

/// Passes of a clipping that does not end.
pub(crate) const MOST_PASSES: u32 = 100;

impl Clip {
    /// Most passes.
    pub(crate) fn passes(&self) -> u32 {
        self.max_iters.unwrap_or(MOST_PASSES).min(MOST_PASSES)
    }
}

/// Which samples of a pixel are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Reject {
    /// None.
    #[default]
    None,
    /// Of N frames so many lowest and highest; of n usable samples the same fraction, rounded down.
    MinMax {
        /// Lowest samples of N.
        nlow: usize,
        /// Highest samples of N.
        nhigh: usize,
    },
    /// Those too far from the centre by the spread of the samples.
    SigClip(Clip),
    /// Those too far from the centre by their own variance; as [`SigClip`](Reject::SigClip) where frames have none.
    VarClip(Clip),
    /// Those too far from the median by 1.4826 times the median absolute deviation of the samples; the centre is the median
    /// whatever `mclip` says. On the CPU only.
    MadClip(Clip),
    /// Those too far from the centre by the noise that a detector has at the centre's level. On the CPU only.
    CcdClip(Clip, DetectorNoise),
    /// Those too far from the median by the standard deviation of the winsorised samples; the centre is the median whatever
    /// `mclip` says. On the CPU only.
    Winsorised(Clip),
    /// Those too far from a straight line through the samples in order over their ranks, by their mean absolute deviation from
    /// it; there is no other centre, whatever `mclip` says. On the CPU only.
    LinFit(Clip),
    /// Those that the generalised extreme Studentized deviate test (Rosner 1983) finds to be outliers of normal samples. On the CPU
    /// only.
    Gesd {
        /// Such a part of the samples at most, up to a half.
        outliers: f64,
        /// The probability that a sample is rejected where none is an outlier.
        significance: f64,
    },
    /// Those too far from the median by the distance of a sample of one rank from it; one pass. On the CPU only.
    PClip {
        /// Such distances below the median beyond which a sample is rejected.
        lsigma: f64,
        /// The same above it.
        hsigma: f64,
        /// That sample: so many above the median (below it, if negative), or below 1 such a part of all on that side.
        at: f64,
    },
    /// Those outside of two percentiles of the samples, interpolated between ranks as numpy does by default; one pass. On the
    /// CPU only.
    Percentile {
        /// The lower one, from 0.
        low: f64,
        /// The higher one, to 100.
        high: f64,
    },
    /// Those below one value or above another, after scale and zero. On the CPU only.
    Threshold {
        /// In data units; minus infinity for none.
        low: f64,
        /// In data units; infinity for none.
        high: f64,
    },
}

/// The noise of a detector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetectorNoise {
    /// Electrons a data unit.
    pub gain: f64,
    /// In electrons.
    pub read_noise: f64,
    /// What pixels differ by in their sensitivity, as a part of their light.
    pub sensitivity: f64,
}

/// How many samples a clipping must leave, whatever it makes of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Keep {
    /// So many at least, where there are as many.
    pub least: usize,
    /// All but so many at least.
    pub most_out: Option<usize>,
}

impl Keep {
    /// Of so many samples.
    pub(crate) fn least_of(self, n: u32) -> u32 {
        let all_but = self.most_out.map_or(0, |out| (n as usize).saturating_sub(out));
        n.min(self.least.max(all_but).min(u32::MAX as usize) as u32)
    }
}

impl Reject {
    /// As the command line says it.
    pub fn name(self) -> &'static str {
        match self {
            Reject::None => "none",
            Reject::MinMax { .. } => "minmax",
            Reject::SigClip(_) => "sigclip",
            Reject::VarClip(_) => "varclip",
            Reject::MadClip(_) => "madclip",
            Reject::CcdClip(..) => "ccdclip",
            Reject::Winsorised(_) => "winsorised",
            Reject::LinFit(_) => "linfit",
            Reject::Gesd { .. } => "gesd",
            Reject::PClip { .. } => "pclip",
            Reject::Percentile { .. } => "percentile",
            Reject::Threshold { .. } => "threshold",
        }
    }

    /// How it clips, if it does so by deviations of some kind from a centre or a line, pass by pass.
    pub(crate) fn clip(&self) -> Option<&Clip> {
        match self {
            Reject::SigClip(clip)
            | Reject::VarClip(clip)
            | Reject::MadClip(clip)
            | Reject::CcdClip(clip, _)
            | Reject::Winsorised(clip)
            | Reject::LinFit(clip) => Some(clip),
            Reject::None
            | Reject::MinMax { .. }
            | Reject::Gesd { .. }
            | Reject::PClip { .. }
            | Reject::Percentile { .. }
            | Reject::Threshold { .. } => None,
        }
    }

    /// Most passes.
    pub(crate) fn passes(&self) -> u32 {
        self.clip().map_or(1, Clip::passes)
    }

    /// The critical values of its test for up to so many samples, if it has one.
    pub(crate) fn critical(&self, frames: usize) -> Vec<f64> {
        match self {
            Reject::Gesd { significance, .. } => critical_values(frames, *significance),
            _ => Vec::new(),
        }
    }

    /// Whether it takes samples away at the ends alone, beyond limits that it finds: then some may be brought back.
    pub(crate) fn is_by_limits(&self) -> bool {
        !matches!(self, Reject::None | Reject::MinMax { .. } | Reject::VarClip(_) | Reject::LinFit(_))
    }
}

/// Whose rules a rejection goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// Centre and spread of the samples that are still in, spread about the centre; numbers as exact as the compute type.
    #[default]
    Stable,
    /// Those of Gemini DRAGONS' NDStacker, with its single precision and its quirks. On the CPU only.
    Dragons,
}

impl Flavour {
    /// As the command line says it.
    pub fn name(self) -> &'static str {
        match self {
            Flavour::Stable => "stable",
            Flavour::Dragons => "dragons",
        }
    }
}

/// Which variances the kernel makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Errors {
    /// From the samples' variances.
    #[default]
    Propagated,
    /// From the samples' scatter.
    Scatter,
    /// Propagated, and scatter beside it.
    Both,
}

impl Errors {
    pub(crate) fn propagates(self) -> bool {
        self != Errors::Scatter
    }

    pub(crate) fn scatters(self) -> bool {
        self != Errors::Propagated
    }
}

/// All of it, as the kernel wants it: a stack of frames without variance has no `Propagated`, no `VarClip` and no
/// `WtMean`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Method {
    pub combine: Combine,
    pub reject: Reject,
    pub flavour: Flavour,
    pub errors: Errors,
    pub keep: Keep,
    /// The samples of a frame within so many pixels of one that is rejected are rejected too; 0 for none.
    pub grow: f64,
    /// Frames do not all count alike: there is an [`Uneven`](super::Uneven) of something.
    pub uneven: bool,
}

impl Method {
    /// Whether samples must be in order: the kernel holds all of a pixel's at once.
    pub(crate) fn sorts(&self) -> bool {
        self.reject != Reject::None || self.combine.is_by_rank()
    }

    /// Whether it is a mean or sum with nothing rejected and its propagated variance alone.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.combine, Combine::Mean | Combine::Sum)
            && self.reject == Reject::None
            && self.flavour == Flavour::Stable
            && self.errors == Errors::Propagated
            && !self.uneven
    }

    /// Whether the samples' variances are read.
    pub(crate) fn reads_variance(&self) -> bool {
        self.errors.propagates() || self.combine == Combine::WtMean || matches!(self.reject, Reject::VarClip(_))
    }
}
