//! `ndastro stack`: frames in, one out.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, ValueEnum};

use super::calibrate::{Calibration, Words, split};
use super::input::{InputArgs, PackArgs};
use super::progress::with_progress;
use super::{Common, EngineChoice};
use crate::fits::{Header, UncertaintyKind};
use crate::stack::keyword;
use crate::{
    AstroData, Band, BitNames, Clip, Combine, DetectorNoise, Engine, Error, Flavour, Hierarchy, Level, Map,
    NDAstroData, Offsets, PerFrame, Percent, Reject, Result, Skipped, Slices, Stack, VarianceFrom, Weights,
};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RejectArg {
    None,
    Minmax,
    Sigclip,
    Varclip,
    /// By the median absolute deviation; on the CPU
    Madclip,
    /// By the noise of the detector; with --gain and --read-noise; on the CPU
    Ccdclip,
    /// The same, of what is above alone; on the CPU
    Crreject,
    /// By the spread of winsorised samples; on the CPU
    Winsorised,
    /// By the distance from a line through the samples in order; on the CPU
    Linfit,
    /// By the generalised extreme Studentized deviate test; on the CPU
    Gesd,
    /// By the distance of a sample of one rank from the median; on the CPU
    Pclip,
    /// What is outside of two percentiles; on the CPU
    Percentile,
    /// What is outside of two values; on the CPU
    Threshold,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FlavourArg {
    /// Centre and spread of the samples that are still in, spread about the centre
    Stable,
    /// As Gemini DRAGONS does it, in single precision, with its quirks; on the CPU
    Dragons,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum VarianceArg {
    /// Propagated where all frames have a variance, else scatter
    Auto,
    Propagated,
    Scatter,
    /// Propagated, and SCATTER and CHISQ (scatter / propagated) beside it
    Both,
}

/// What is done with the frames.
#[derive(Args, Clone)]
pub(super) struct MethodArgs {
    /// How the samples of a pixel become one
    #[arg(long, default_value = "mean", value_name = "COMBINE", value_parser = combines())]
    combine: Combine,
    /// percentile: which one, from 0 to 100
    #[arg(long, value_name = "P", allow_hyphen_values = true)]
    percentile: Option<f64>,
    /// Which samples are left out
    #[arg(long, value_enum, default_value = "none")]
    reject: RejectArg,
    /// sigclip, varclip, madclip, ccdclip, winsorised, pclip: standard deviations below the centre that stay; linfit: mean
    /// absolute ones below the line [default: 3]
    #[arg(long, value_name = "X", value_parser = sigma, allow_hyphen_values = true)]
    lsigma: Option<f64>,
    /// The same above; crreject too [default: 3]
    #[arg(long, value_name = "X", value_parser = sigma, allow_hyphen_values = true)]
    hsigma: Option<f64>,
    /// sigclip, varclip, madclip, ccdclip, crreject, winsorised, linfit: most passes [default: until nothing more is rejected, at most 100]
    #[arg(long, value_name = "N")]
    max_iters: Option<u32>,
    /// sigclip, varclip, ccdclip, crreject: the centre is the median [default]
    #[arg(long, overrides_with = "no_mclip")]
    mclip: bool,
    /// sigclip, varclip, ccdclip, crreject: the centre is the mean
    #[arg(long, action = ArgAction::SetTrue)]
    no_mclip: bool,
    /// minmax: lowest samples to leave out, of as many as there are frames [default: 0]
    #[arg(long, value_name = "N")]
    nlow: Option<usize>,
    /// minmax: highest samples to leave out, of as many as there are frames [default: 0]
    #[arg(long, value_name = "N")]
    nhigh: Option<usize>,
    /// ccdclip, crreject: what pixels differ by in their sensitivity, as a part of their light [default: 0]
    #[arg(long, value_name = "S", value_parser = sigma, allow_hyphen_values = true)]
    sensitivity: Option<f64>,
    /// gesd: the part of the samples that may be outliers, up to 0.5 [default: 0.3]
    #[arg(long, value_name = "PART", allow_hyphen_values = true)]
    outliers: Option<f64>,
    /// gesd: how probable it is that samples are rejected where none is an outlier [default: 0.05]
    #[arg(long, value_name = "P", allow_hyphen_values = true)]
    significance: Option<f64>,
    /// pclip: samples above the median (below it, if negative), or as a part of those on that side [default: -0.5]
    #[arg(long, value_name = "P", allow_hyphen_values = true)]
    pclip: Option<f64>,
    /// percentile: the lower and the higher one; threshold: least and largest value, inf for none
    #[arg(long, value_name = "LOW,HIGH", value_parser = limits, allow_hyphen_values = true)]
    limits: Option<(f64, f64)>,
    /// Clipping leaves at least so many samples of a pixel; on the CPU
    #[arg(long, value_name = "N")]
    nkeep: Option<usize>,
    /// Clipping rejects at most so many samples of a pixel; on the CPU
    #[arg(long, value_name = "N")]
    maxrej: Option<usize>,
    /// With a rejected sample go those of its frame within so many pixels; on the CPU
    #[arg(long, value_name = "RADIUS", allow_hyphen_values = true)]
    grow: Option<f64>,
    /// Whose rules the rejection goes by
    #[arg(long, value_enum, default_value = "stable")]
    flavour: FlavourArg,
    /// Which variance comes out
    #[arg(long, value_enum, default_value = "auto")]
    variance: VarianceArg,
    /// Further planes: rejmap, rejlow, rejhigh, ngood, weight, exposure; cubes: reasons (a plane a frame, why its sample is not
    /// in the result), dqcounts (a plane a mask bit, how many samples have it); exposure and cubes on the CPU
    #[arg(long, value_name = "MAP,...", value_delimiter = ',', value_parser = maps())]
    maps: Vec<Map>,
    /// A factor for each frame: numbers, or by !KEYWORD, mean, median, mode or a fit of its pixels to that of the first
    #[arg(long, value_name = "F,...", allow_hyphen_values = true)]
    scale: Option<Level>,
    /// An offset for each frame, added after the factor; likewise
    #[arg(long, value_name = "F,...", allow_hyphen_values = true)]
    zero: Option<Level>,
    /// Whole pixels that frames are shifted by, onto a grid that holds all: wcs, or a file with a line "x y" for each frame
    #[arg(long, value_name = "FILE|wcs")]
    offsets: Option<PathBuf>,
    /// Weights of the frames, of mean and wtmean: numbers, !KEYWORD, noise (that of each frame), or variance: --combine wtmean
    #[arg(long, value_name = "W,...", value_parser = weighting)]
    weight: Option<Weighting>,
    /// A file of weights for each frame, inverse variances: its name, with {} for that of the frame without ending, as
    /// '{}.weight.fits'; in place of the frame's variance, and with --combine mean as wtmean
    #[arg(long, value_name = "PATTERN")]
    weight_map: Option<String>,
    /// What the map of exposures sums: numbers, or !KEYWORD [default: !EXPTIME]
    #[arg(long, value_name = "T,...")]
    exposure: Option<PerFrame>,
    /// Mask bits that come out only where samples with such a part of the weight have them, as cosmic_ray=0.5
    #[arg(long, value_name = "BIT=F,...")]
    dq_fraction: Option<String>,
    /// The part that statistics, fits and noise for --scale, --zero and --weight are of, as 100:200,::4 [default: all]
    #[arg(long, value_name = "SLICES", allow_hyphen_values = true)]
    section: Option<Slices>,
    /// For frames without a variance: electrons a data unit, a number or !KEYWORD; with --read-noise
    #[arg(long, value_name = "G|!KEY", requires = "read_noise")]
    gain: Option<Known>,
    /// For frames without a variance: read noise in electrons, a number or !KEYWORD; with --gain
    #[arg(long, value_name = "R|!KEY", requires = "gain")]
    read_noise: Option<Known>,
    /// What each frame becomes first, as '(frame - bias) / flat' with bias=FILE flat=FILE among the inputs
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true)]
    calibrate: Option<String>,
    /// Mask bits from good to bad: levels by commas, bits of a level by +; 'none' for a level without bits
    #[arg(long, value_name = "BITS,...")]
    dq_levels: Option<String>,
    /// Names of mask bits, as ghost=128,satellite=256
    #[arg(long, value_name = "NAME=BIT,...")]
    dq_names: Option<String>,
    /// Only this extension of each file: its EXTNAME and EXTVER
    #[arg(long, value_name = "NAME,VER", value_parser = parse_extension)]
    pub ext: Option<(String, i64)>,
    /// Do not use the frames' variances
    #[arg(long)]
    ignore_variance: bool,
    /// Do not use the frames' masks
    #[arg(long)]
    ignore_mask: bool,
}

/// All combinations.
fn all() -> impl Iterator<Item = Combine> {
    Combine::ALL.into_iter().chain(Combine::BITWISE)
}

fn combines() -> impl TypedValueParser<Value = Combine> {
    let of = |name: String| match name.as_str() {
        "average" => Combine::Mean,
        name => all().find(|c| c.name() == name).unwrap_or_default(),
    };
    PossibleValuesParser::new(all().map(Combine::name).chain(["average"])).map(of)
}

fn maps() -> impl TypedValueParser<Value = Map> {
    let of = |name: String| Map::ALL.into_iter().find(|m| m.name() == name).unwrap_or(Map::RejMap);
    PossibleValuesParser::new(Map::ALL.map(Map::name)).map(of)
}

fn sigma(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x >= 0.0 => Ok(x),
        _ => Err(format!("{text:?} is not a number from 0 on")),
    }
}

/// Two numbers; infinite ones too.
fn limits(text: &str) -> std::result::Result<(f64, f64), String> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|x| !x.is_nan());
    let two = text.split_once(',').and_then(|(low, high)| Some((number(low)?, number(high)?)));
    two.ok_or_else(|| format!("{text:?} is not two numbers"))
}

impl MethodArgs {
    fn clip(&self) -> Clip {
        let default = Clip::default();
        Clip {
            lsigma: self.lsigma.unwrap_or(default.lsigma),
            hsigma: self.hsigma.unwrap_or(default.hsigma),
            mclip: !self.no_mclip,
            max_iters: self.max_iters,
        }
    }

    /// The combination, with its number.
    fn combine(&self) -> Result<Combine> {
        match (self.combine, self.percentile) {
            (Combine::Percentile(_), Some(percent)) => Percent::new(percent).map(Combine::Percentile),
            (Combine::Percentile(_), None) => Err(Error::Parameter("--combine percentile needs --percentile".into())),
            (other, Some(_)) => {
                Err(Error::Parameter(format!("--percentile does not go with --combine {}", other.name())))
            }
            (other, None) => Ok(other),
        }
    }

    /// The rejection. What belongs to another is refused.
    fn reject(&self, inputs: &[AstroData]) -> Result<Reject> {
        let of_noise = matches!(self.reject, RejectArg::Ccdclip | RejectArg::Crreject);
        let by_centre = of_noise || matches!(self.reject, RejectArg::Sigclip | RejectArg::Varclip);
        let clips = by_centre || matches!(self.reject, RejectArg::Madclip | RejectArg::Winsorised | RejectArg::Linfit);
        let above = clips || self.reject == RejectArg::Pclip;
        let limited = matches!(self.reject, RejectArg::Percentile | RejectArg::Threshold);
        let given = [
            ("--lsigma", self.lsigma.is_some(), above && self.reject != RejectArg::Crreject),
            ("--hsigma", self.hsigma.is_some(), above),
            ("--sensitivity", self.sensitivity.is_some(), of_noise),
            ("--outliers", self.outliers.is_some(), self.reject == RejectArg::Gesd),
            ("--significance", self.significance.is_some(), self.reject == RejectArg::Gesd),
            ("--pclip", self.pclip.is_some(), self.reject == RejectArg::Pclip),
            ("--limits", self.limits.is_some(), limited),
            ("--max-iters", self.max_iters.is_some(), clips),
            ("--mclip", self.mclip, by_centre),
            ("--no-mclip", self.no_mclip, by_centre),
            ("--nlow", self.nlow.is_some(), self.reject == RejectArg::Minmax),
            ("--nhigh", self.nhigh.is_some(), self.reject == RejectArg::Minmax),
        ];
        let name = self.reject.to_possible_value().map_or(String::new(), |v| v.get_name().to_string());
        if let Some((option, ..)) = given.iter().find(|(_, given, belongs)| *given && !belongs) {
            return Err(Error::Parameter(format!("{option} does not go with --reject {name}")));
        }
        let sigma = |given: Option<f64>| given.unwrap_or(Clip::default().hsigma);
        let both = || self.limits.ok_or_else(|| Error::Parameter(format!("--reject {name} needs --limits")));
        Ok(match self.reject {
            RejectArg::None => Reject::None,
            RejectArg::Minmax => {
                Reject::MinMax { nlow: self.nlow.unwrap_or_default(), nhigh: self.nhigh.unwrap_or_default() }
            }
            RejectArg::Sigclip => Reject::SigClip(self.clip()),
            RejectArg::Varclip => Reject::VarClip(self.clip()),
            RejectArg::Madclip => Reject::MadClip(self.clip()),
            RejectArg::Ccdclip => Reject::CcdClip(self.clip(), self.noise(inputs)?),
            RejectArg::Crreject => Reject::CcdClip(Clip { lsigma: f64::INFINITY, ..self.clip() }, self.noise(inputs)?),
            RejectArg::Winsorised => Reject::Winsorised(self.clip()),
            RejectArg::Linfit => Reject::LinFit(self.clip()),
            RejectArg::Gesd => {
                Reject::Gesd { outliers: self.outliers.unwrap_or(0.3), significance: self.significance.unwrap_or(0.05) }
            }
            RejectArg::Pclip => {
                Reject::PClip { lsigma: sigma(self.lsigma), hsigma: sigma(self.hsigma), at: self.pclip.unwrap_or(-0.5) }
            }
            RejectArg::Percentile => both().map(|(low, high)| Reject::Percentile { low, high })?,
            RejectArg::Threshold => both().map(|(low, high)| Reject::Threshold { low, high })?,
        })
    }

    /// The noise of the detector, which must be that of all frames.
    fn noise(&self, inputs: &[AstroData]) -> Result<DetectorNoise> {
        let (Some(gain), Some(read_noise)) = (&self.gain, &self.read_noise) else {
            return Err(Error::Parameter("ccdclip and crreject need --gain and --read-noise".into()));
        };
        let mut found: Option<(f64, f64)> = None;
        for (input, nd) in inputs.iter().flat_map(|input| input.iter().map(move |nd| (input, nd))) {
            let one = (gain.of(nd, input.phu())?, read_noise.of(nd, input.phu())?);
            if found.is_some_and(|other| other != one) {
                return Err(Error::Parameter("ccdclip and crreject: frames of different gain or read noise".into()));
            }
            found = Some(one);
        }
        let (gain, read_noise) = found.unwrap_or((1.0, 0.0));
        Ok(DetectorNoise { gain, read_noise, sensitivity: self.sensitivity.unwrap_or(0.0) })
    }

    /// Bits, and the part of the weight that must have them.
    fn fractions(&self, names: &BitNames) -> Result<Vec<(u32, f64)>> {
        let one = |part: &str| {
            let wrong = || Error::Parameter(format!("--dq-fraction: {part:?} is not BIT=FRACTION like cosmic_ray=0.5"));
            let (bit, fraction) = part.split_once('=').ok_or_else(wrong)?;
            Ok((names.bits(bit.trim())?, fraction.trim().parse().map_err(|_| wrong())?))
        };
        let parts = self.dq_fraction.iter().flat_map(|text| text.split(','));
        parts.map(str::trim).filter(|part| !part.is_empty()).map(one).collect()
    }

    /// Whether frames do not all count alike, which is for the CPU alone.
    fn is_uneven(&self) -> bool {
        let weights = matches!(self.weight, Some(Weighting::Frames(_)));
        weights || self.dq_fraction.is_some() || self.maps.iter().any(|map| map.is_of_cpu()) || self.grow.is_some()
    }

    /// The engine: that flavour has one alone, and so have some rejections and combinations.
    pub(super) fn engine(&self, common: &Common) -> Result<Engine> {
        let of_both =
            [RejectArg::None, RejectArg::Minmax, RejectArg::Sigclip, RejectArg::Varclip].contains(&self.reject);
        let kept = self.nkeep.is_some() || self.maxrej.is_some();
        let special = self.combine.is_special() || self.is_uneven();
        let of_cpu = self.flavour == FlavourArg::Dragons || !of_both || kept || special;
        match common.engine {
            EngineChoice::Auto if of_cpu && common.adapter.is_none() => Engine::cpu(common.threads),
            _ => common.engine(),
        }
    }

    /// The files among the words, and what is said of the others.
    pub(super) fn inputs(&self, words: &[PathBuf]) -> Result<Words> {
        match &self.calibrate {
            Some(expression) => split(expression, words),
            None => Ok((words.to_vec(), Vec::new())),
        }
    }

    /// The stack of these files.
    pub(super) fn stack(
        &self,
        paths: &[PathBuf],
        given: Vec<(String, String)>,
        input: &InputArgs,
        common: &Common,
        skip_bad: bool,
    ) -> Result<Stack> {
        // With the places of those that are left out.
        let mut opened: Vec<std::result::Result<AstroData, Skipped>> = Vec::new();
        for path in paths {
            let of_interest = |file: AstroData| match &self.ext {
                Some((name, ver)) => file.only(name, *ver),
                None => Ok(file),
            };
            let weighed = |file: AstroData| match &self.weight_map {
                Some(pattern) => with_weights(file, path, pattern, input),
                None => Ok(file),
            };
            let one = input.open(path).and_then(weighed).and_then(of_interest);
            opened.push(if skip_bad { one.map_err(|e| Skipped::new(path, &e)) } else { Ok(one?) });
        }
        let calibration = match &self.calibrate {
            Some(expression) => Some(Calibration::open(expression, given, input, self.ext.as_ref())?),
            None => None,
        };
        let others = calibration.iter().flat_map(Calibration::files);
        for reason in opened.iter().flatten().chain(others).flat_map(AstroData::left_out) {
            common.say(&format!("warning: left out: {reason}"));
        }
        if let (Some(gain), Some(read_noise)) = (&self.gain, &self.read_noise) {
            let noisy = |one: std::result::Result<AstroData, Skipped>| match one {
                Ok(file) => with_noise(file, gain, read_noise).map(Ok),
                bad => Ok(bad),
            };
            opened = opened.into_iter().map(noisy).collect::<Result<_>>()?;
        }
        let names = match &self.dq_names {
            Some(text) => BitNames::default().parse(text)?,
            None => BitNames::default(),
        };
        let hierarchy = match &self.dq_levels {
            Some(text) => Hierarchy::parse(text, &names)?,
            None => Hierarchy::default(),
        };
        let made = if skip_bad { Stack::of_opened(opened) } else { Stack::of(opened.into_iter().flatten().collect()) };
        let first = made.inputs().first().cloned();
        let (combine, reject) = (self.combine()?, self.reject(made.inputs())?);
        let mut stack = made
            .combine(combine)
            .reject(reject)
            .flavour(match self.flavour {
                FlavourArg::Stable => Flavour::Stable,
                FlavourArg::Dragons => Flavour::Dragons,
            })
            .variance_from(match self.variance {
                VarianceArg::Auto => VarianceFrom::Auto,
                VarianceArg::Propagated => VarianceFrom::Propagated,
                VarianceArg::Scatter => VarianceFrom::Scatter,
                VarianceArg::Both => VarianceFrom::Both,
            })
            .maps(self.maps.iter().copied())
            .hierarchy(hierarchy)
            .bit_names(names.clone())
            .use_variance(!self.ignore_variance)
            .use_mask(!self.ignore_mask)
            .memory(common.memory);
        if let Some(radius) = self.grow {
            stack = stack.grow(radius);
        }
        if let Some(least) = self.nkeep {
            stack = stack.nkeep(least);
        }
        if let Some(most) = self.maxrej {
            stack = stack.maxrej(most);
        }
        if let Some(scale) = &self.scale {
            stack = stack.scale_by(scale.clone());
        }
        if let Some(zero) = &self.zero {
            stack = stack.zero_by(zero.clone());
        }
        if let Some(section) = &self.section {
            stack = stack.section(section.clone());
        }
        match &self.weight {
            Some(Weighting::Frames(weights)) => stack = stack.weights(weights.clone()),
            Some(Weighting::Variance) if matches!(self.combine, Combine::Mean | Combine::WtMean) => {
                stack = stack.combine(Combine::WtMean);
            }
            Some(Weighting::Variance) => {
                let why = format!("--weight variance does not go with --combine {}", self.combine.name());
                return Err(Error::Parameter(why));
            }
            None => {}
        }
        if self.weight_map.is_some() && self.combine == Combine::Mean {
            stack = stack.combine(Combine::WtMean);
        }
        match &self.offsets {
            Some(by) if by.as_os_str() == "wcs" => stack = stack.offsets(Offsets::Wcs),
            Some(file) => stack = stack.offsets(Offsets::from_file(file)?),
            None => {}
        }
        if let Some(exposure) = &self.exposure {
            if !self.maps.contains(&Map::Exposure) {
                return Err(Error::Parameter("--exposure is for --maps exposure".into()));
            }
            stack = stack.exposure(exposure.clone());
        }
        for (bits, fraction) in self.fractions(&names)? {
            stack = stack.mask_fraction(bits, fraction);
        }
        if let (Some(calibration), Some(first)) = (calibration, first) {
            stack = stack.history(calibration.history());
            stack = stack.calibrate(move |frame, extension| calibration.of(frame, &first, extension));
        }
        Ok(stack)
    }
}

/// What the weights are.
#[derive(Clone)]
enum Weighting {
    Frames(Weights),
    /// Inverse variances.
    Variance,
}

fn weighting(text: &str) -> std::result::Result<Weighting, String> {
    match text {
        "variance" => Ok(Weighting::Variance),
        "noise" => Ok(Weighting::Frames(Weights::Noise)),
        _ => match text.parse() {
            Ok(given) => Ok(Weighting::Frames(Weights::Given(given))),
            Err(_) => Err(format!("{text:?} is neither numbers nor !KEYWORD, noise or variance")),
        },
    }
}

/// A number that is given, or that a header has.
#[derive(Clone)]
enum Known {
    Number(f64),
    Keyword(String),
}

impl FromStr for Known {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match (text.strip_prefix('!'), text.parse()) {
            (Some(key), _) if !key.trim().is_empty() => Ok(Known::Keyword(key.trim().to_ascii_uppercase())),
            (None, Ok(number)) => Ok(Known::Number(number)),
            _ => Err(format!("{text:?} is neither a number nor !KEYWORD")),
        }
    }
}

impl Known {
    fn of(&self, nd: &NDAstroData, phu: &Header) -> Result<f64> {
        match self {
            Known::Number(number) => Ok(*number),
            Known::Keyword(key) => keyword(key, nd, phu),
        }
    }
}

/// With the images of another file as inverse variances, extension by extension.
fn with_weights(mut file: AstroData, path: &Path, pattern: &str, input: &InputArgs) -> Result<AstroData> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut stem = &*name;
    for ending in [".gz", ".fz", ".bz2", ".Z", ".fits", ".fit", ".fts"] {
        stem = stem.strip_suffix(ending).unwrap_or(stem);
    }
    let stem = path.with_file_name(stem);
    let weights = input.open(Path::new(&pattern.replace("{}", &stem.to_string_lossy())))?;
    let (found, expected) = (weights.len(), file.len());
    if found != expected {
        let (weights, frame) = (weights.label(), file.label());
        return Err(Error::Parameter(format!(
            "{weights}: {found} images of weights, {expected} expected, as many as {frame} has"
        )));
    }
    for (nd, weights) in file.extensions_mut().iter_mut().zip(weights.iter()) {
        *nd = nd.clone().with_uncertainty_of(weights, UncertaintyKind::InverseVariance)?;
    }
    Ok(file)
}

/// With a variance by gain and read noise for extensions that have none.
fn with_noise(mut input: AstroData, gain: &Known, read_noise: &Known) -> Result<AstroData> {
    let phu = input.phu().clone();
    for nd in input.extensions_mut().iter_mut().filter(|nd| !nd.has_variance()) {
        *nd = nd.clone().with_noise(gain.of(nd, &phu)?, read_noise.of(nd, &phu)?)?;
    }
    Ok(input)
}

#[derive(Args)]
pub(super) struct StackArgs {
    /// FITS files, each one frame; all extensions are stacked. With --calibrate also NAME=FILE
    #[arg(required = true, value_name = "IN")]
    inputs: Vec<PathBuf>,
    /// The stack: SCI, VAR and DQ for each extension
    #[arg(short, long, value_name = "OUT", required_unless_present = "plan")]
    output: Option<PathBuf>,
    /// Say what would be read, uploaded and allocated, and compute nothing; as JSON with --stats
    #[arg(long)]
    plan: bool,
    /// Compute one of N bands of rows, counted from 1, into OUT.part, which other runs write the others of; then `merge`
    #[arg(long, value_name = "I/N", conflicts_with_all = ["plan", "resume"])]
    tile: Option<Band>,
    /// Keep what is done if the run is interrupted, in OUT.part, and go on from there if there is one
    #[arg(long, conflicts_with = "plan")]
    resume: bool,
    /// Add the frames to the sums in this file, which is made if it is not there, and write what all frames in it come to
    #[arg(long, value_name = "STATE", conflicts_with_all = ["plan", "resume", "tile"])]
    append: Option<PathBuf>,
    /// Leave out frames that cannot be read, or go bad while they are read; they are listed in the header and with --stats
    #[arg(long, conflicts_with_all = ["tile", "resume", "append"])]
    skip_bad: bool,
    #[command(flatten)]
    method: MethodArgs,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    pack: PackArgs,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &StackArgs) -> Result<()> {
    let common = &args.common;
    let stop = super::signals::stop_flag()?;
    // Cheap refusals come before any work.
    if let Some(output) = args.output.as_ref().filter(|_| !args.plan) {
        crate::fits::check_target(output, common.overwrite)?;
    }
    let (paths, given) = args.method.inputs(&args.inputs)?;
    let others = given.iter().map(|(_, text)| Path::new(text));
    let used: Vec<&Path> =
        paths.iter().chain(&args.output).chain(&args.append).map(PathBuf::as_path).chain(others).collect();
    let stats_file = common.stats_file(&used)?;
    let engine = args.method.engine(common)?;
    let stack = args.method.stack(&paths, given, &args.input, common, args.skip_bad)?;
    let stack = stack.compression(args.pack.compression()).cancel(stop);
    let output = match &args.output {
        Some(output) if !args.plan => output,
        _ => {
            let plan = stack.plan(&engine)?;
            if let Some(file) = stats_file {
                file.write(&plan.to_json())?;
            }
            return super::print(&plan.to_string());
        }
    };
    let write = |progress| {
        let stack = stack.watched(progress);
        if let Some(state) = &args.append {
            return stack.append(&engine, state, output, common.overwrite);
        }
        match args.tile {
            Some(band) => stack.write_band(&engine, output, common.overwrite, band),
            None if args.resume => stack.write_resumable(&engine, output, common.overwrite),
            None => stack.write(&engine, output, common.overwrite),
        }
    };
    let stats = with_progress(common.quiet, write)?;
    common.finish(&stats, stats_file, &engine, "frames")
}

/// `SCI,2`.
pub(super) fn parse_extension(text: &str) -> std::result::Result<(String, i64), String> {
    let parts = text.rsplit_once(',').and_then(|(name, ver)| Some((name.to_string(), ver.trim().parse().ok()?)));
    parts.ok_or_else(|| format!("{text:?} is not NAME,VER like SCI,2"))
}
