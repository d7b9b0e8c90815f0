//! What the result of a stack says of itself.

use super::plan::Plan;
use super::{Clip, DetectorNoise, Level, Reject, Stack};
use crate::fits::Header;
use crate::kernels::stack::{Affine, Keep};
use crate::{AstroData, Wcs};

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
        let extensions = plans.len();
        // What was done is not always what was asked for: without variances there are no weights.
        let method = plans.first().map(|p| p.method).unwrap_or_default();
        let mut h = self.inputs.first().map_or_else(Header::new, |i| i.phu().clone());
        if self.inputs.first().is_some_and(|i| i.extensions().first().is_some_and(|nd| nd.hdu() == Some(0))) {
            // These cards are of the image that was in the primary.
            h.remove_where(|k| matches!(k, "BUNIT" | "DATAMIN" | "DATAMAX"));
            Wcs::remove(&mut h);
        }
        h.remove_where(|k| k.strip_prefix("IMCMB").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit())));
        h.set("NCOMBINE", self.inputs.len() as i64, "number of frames combined");
        // Three digits are what readers of IMCMBnnn expect; HISTORY has the number of all.
        for (i, path) in self.inputs.iter().filter_map(AstroData::path).take(999).enumerate() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            h.set(&format!("IMCMB{:03}", i + 1), name.as_ref(), "");
        }
        let version = env!("CARGO_PKG_VERSION");
        h.push_history(&format!(
            "ndastro {version} stack: {} frames, {extensions} extensions, combine {}, reject {}, flavour {}",
            self.inputs.len(),
            method.combine.name(),
            method.reject.describe(),
            method.flavour.name()
        ));
        let Keep { least, most_out } = method.keep;
        if least > 0 {
            h.push_history(&format!("ndastro nkeep: {least}"));
        }
        if let Some(most) = most_out {
            h.push_history(&format!("ndastro maxrej: {most}"));
        }
        if self.use_mask {
            h.push_history(&format!("ndastro DQ levels: {}", self.hierarchy.describe(&self.bit_names)));
        }
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
                let from = if given { String::new() } else { format!(" by {level} of {}", plan.ver) };
                h.push_history(&format!("ndastro {name}{from}: {}", words.join(",")));
            }
        }
        h
    }
}
