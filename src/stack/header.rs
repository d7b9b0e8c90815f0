//! What the result of a stack says of itself.

use super::plan::Plan;
use super::{Clip, Combine, DetectorNoise, Level, Map, PerFrame, Reject, Skipped, Stack, Weights};
use crate::error::escape;
use crate::fits::Header;
use crate::kernels::stack::{Affine, Keep};
use crate::{AstroData, Wcs};

impl Combine {
    /// With its parameter.
    pub(super) fn describe(self) -> String {
        match self {
            Combine::Percentile(percent) => format!("percentile {}", percent.get()),
            other => other.name().into(),
        }
    }
}

impl Reject {
    /// With its parameters, as the command line takes them.
    pub(super) fn describe(&self) -> String {
        let about = |c: &Clip, centre: &str| {
            let most = c.max_iters.map_or("to convergence".to_string(), |n| format!("max-iters {n}"));
            format!("{} lsigma {} hsigma {}{centre} {most}", self.name(), c.lsigma, c.hsigma)
        };
        let clip = |c: &Clip| about(c, if c.mclip { " mclip" } else { " no-mclip" });
        match self {
            Reject::None => "none".into(),
            Reject::MinMax { nlow, nhigh } => format!("minmax nlow {nlow} nhigh {nhigh}"),
            Reject::SigClip(c) | Reject::VarClip(c) => clip(c),
            Reject::MadClip(c) | Reject::Winsorised(c) => clip(&Clip { mclip: true, ..*c }),
            Reject::LinFit(c) => about(c, ""),
            Reject::CcdClip(c, noise) => {
                let DetectorNoise { gain, read_noise, sensitivity } = noise;
                format!("{} gain {gain} read-noise {read_noise} sensitivity {sensitivity}", clip(c))
            }
            Reject::Gesd { outliers, significance } => format!("gesd outliers {outliers} significance {significance}"),
            Reject::PClip { lsigma, hsigma, at } => format!("pclip lsigma {lsigma} hsigma {hsigma} pclip {at}"),
            Reject::Percentile { low, high } => format!("percentile {low},{high}"),
            Reject::Threshold { low, high } => format!("threshold {low},{high}"),
        }
    }
}

impl Stack {
    /// The primary header of the first frame, with what was done.
    pub(super) fn primary(&self, plans: &[Plan]) -> Header {
        let paths = self.inputs.iter().filter_map(AstroData::path);
        let names: Vec<String> =
            paths.map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned()).collect();
        self.primary_of(self.base(), (self.inputs.len(), &names), plans)
    }

    /// The primary header of the first frame, as it goes on.
    pub(super) fn base(&self) -> Header {
        let mut h = self.inputs.first().map_or_else(Header::new, |i| i.phu().clone());
        if self.inputs.first().is_some_and(|i| i.extensions().first().is_some_and(|nd| nd.hdu() == Some(0))) {
            // These cards are of the image that was in the primary.
            h.remove_where(|k| matches!(k, "BUNIT" | "DATAMIN" | "DATAMAX"));
            Wcs::remove(&mut h);
        }
        h
    }

    /// That header, of so many frames, with what was done.
    pub(super) fn primary_of(&self, mut h: Header, (frames, names): (usize, &[String]), plans: &[Plan]) -> Header {
        let extensions = plans.len();
        // What was done is not always what was asked for: without variances there are no weights.
        let method = plans.first().map(|p| p.method).unwrap_or_default();
        h.remove_where(|k| k.strip_prefix("IMCMB").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit())));
        h.set("NCOMBINE", frames as i64, "number of frames combined");
        // Three digits are what readers of IMCMBnnn expect; HISTORY has the number of all.
        for (i, name) in names.iter().take(999).enumerate() {
            h.set(&format!("IMCMB{:03}", i + 1), name.as_str(), "");
        }
        let version = env!("CARGO_PKG_VERSION");
        h.push_history(&format!(
            "ndastro {version} stack: {frames} frames, {extensions} extensions, combine {}, reject {}, flavour {}",
            method.combine.describe(),
            method.reject.describe(),
            method.flavour.name()
        ));
        for (_, Skipped { path, why }) in &self.skipped {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            h.push_history(&format!("ndastro left out: {}: {why}", escape(&name)));
        }
        let Keep { least, most_out } = method.keep;
        if least > 0 {
            h.push_history(&format!("ndastro nkeep: {least}"));
        }
        if let Some(most) = most_out {
            h.push_history(&format!("ndastro maxrej: {most}"));
        }
        if self.grow > 0.0 {
            h.push_history(&format!("ndastro grow: {}", self.grow));
        }
        if self.use_mask {
            h.push_history(&format!("ndastro DQ levels: {}", self.hierarchy.describe(&self.bit_names)));
        }
        self.say_offsets(plans, &mut h);
        self.say_weights(plans, &mut h);
        let made: Vec<&str> = plans.iter().take(1).flat_map(|p| &p.products).map(|p| p.name.as_str()).collect();
        if !made.is_empty() {
            h.push_history(&format!("ndastro maps: {}", made.join(",")));
        }
        self.history.iter().for_each(|line| h.push_history(line));
        for (name, level, of) in
            [("scale", &self.scale, (|a| a.scale) as fn(&Affine) -> f64), ("zero", &self.zero, |a| a.zero)]
        {
            let Some(level) = level else { continue };
            // Those that are given are of all extensions.
            let given = matches!(level, Level::Values(_));
            for plan in plans.iter().take(if given { 1 } else { extensions }) {
                let words: Vec<String> = plan.affine.iter().map(|a| of(a).to_string()).collect();
                let grid =
                    if level.is_sampled() && plan.step > 1 { format!(", step {}", plan.step) } else { String::new() };
                let from = if given { String::new() } else { format!(" by {level} of {}{grid}", plan.ver) };
                h.push_history(&format!("ndastro {name}{from}: {}", words.join(",")));
            }
        }
        h
    }

    /// Where frames begin, in FITS order; once if it is the same in all extensions.
    fn say_offsets(&self, plans: &[Plan], h: &mut Header) {
        let Some(offsets) = &self.offsets else { return };
        let alike = plans.iter().all(|p| p.places == plans[0].places);
        for plan in plans.iter().take(if alike { 1 } else { plans.len() }) {
            let of = if alike { String::new() } else { format!(" of {}", plan.ver) };
            let place = |at: &[usize]| at.iter().rev().map(usize::to_string).collect::<Vec<_>>().join(",");
            let all: Vec<String> = plan.places.iter().map(|p| place(&p.at)).collect();
            h.push_history(&format!("ndastro offsets {offsets}{of}: {}", all.join(" ")));
        }
    }

    /// Weights, exposures, fractions.
    fn say_weights(&self, plans: &[Plan], h: &mut Header) {
        let words = |numbers: &[f64]| numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
        if let Some(weights) = &self.weights {
            let given = matches!(weights, Weights::Given(PerFrame::Values(_)));
            for plan in plans.iter().take(if given { 1 } else { plans.len() }) {
                let from = if given { String::new() } else { format!(" by {weights} of {}", plan.ver) };
                h.push_history(&format!("ndastro weights{from}: {}", words(&plan.counted.weights)));
            }
        }
        if self.maps.contains(&Map::Exposure) {
            h.push_history(&format!("ndastro exposure: {}", self.exposure));
        }
        for (bit, fraction) in &self.fractions {
            let name = self.bit_names.describe(*bit);
            h.push_history(&format!("ndastro DQ fraction: {name} {fraction}"));
        }
    }
}
