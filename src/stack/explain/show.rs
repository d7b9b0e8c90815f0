//! An explanation as a table and as JSON.

use std::fmt;

use serde_json::{Value, json};

use super::{ExplainedPass, ExplainedSample, Explanation, Fate};
use crate::error::escape;

/// What is said of a sample.
fn words(fate: Fate, sample: &ExplainedSample, best: Option<u32>, by_rank: bool) -> String {
    let pass = |side: &str, n: usize| {
        if by_rank { format!("rejected {side} by minmax") } else { format!("rejected {side} in pass {n}") }
    };
    match (fate, sample.level, best) {
        (Fate::Worse, Some(level), Some(best)) => format!("left out: level {level} (level {best} is there)"),
        (Fate::Worse, ..) => "left out".into(),
        (Fate::Kept, ..) => "kept".into(),
        (Fate::Unusable, ..) => "unusable: not finite".into(),
        (Fate::Low(n), ..) => pass("low", n),
        (Fate::High(n), ..) => pass("high", n),
    }
}

/// JSON has no numbers that are not finite: these are words there.
fn json_number(x: f64) -> Value {
    if x.is_finite() { json!(x) } else { json!(x.to_string()) }
}

/// No more digits than there are: of f32 those that tell it from others, of f64 ten.
fn short(x: f64) -> String {
    let plain = x == 0.0 || !x.is_finite() || (1e-4..1e12).contains(&x.abs());
    let single = x as f32;
    if f64::from(single) == x || x.is_nan() {
        return if plain { single.to_string() } else { format!("{single:e}") };
    }
    let rounded: f64 = format!("{x:.9e}").parse().unwrap_or(x);
    if plain { rounded.to_string() } else { format!("{rounded:e}") }
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "sample" } else { "samples" }
}

impl ExplainedPass {
    fn line(&self, number: usize) -> String {
        let n = self.samples;
        let out = match (self.low, self.high) {
            (0, 0) => "nothing rejected".to_string(),
            (low, high) => format!("{low} rejected low, {high} high"),
        };
        let Some(centre) = self.centre else { return format!("minmax: {n} {} in; {out}", plural(n)) };
        let mut line = format!("pass {number}: {n} {} in, centre {}", plural(n), short(centre));
        if let (Some(spread), Some([low, high])) = (self.spread, self.limits) {
            line += &format!(", spread {}, limits {} to {}", short(spread), short(low), short(high));
        } else {
            line += ", limits by each sample's variance";
        }
        format!("{line}; {out}")
    }
}

impl Explanation {
    fn is_by_rank(&self) -> bool {
        self.passes.iter().any(|p| p.centre.is_none())
    }

    fn rows(&self) -> Vec<[String; 8]> {
        let head = ["frame", "file", "raw", "value", "sd", "mask", "level", "what happened"].map(String::from);
        let row = |(i, s): (usize, &ExplainedSample)| {
            let none = || "-".to_string();
            [
                (i + 1).to_string(),
                s.name.as_deref().map_or_else(none, escape),
                s.raw.map_or_else(none, short),
                short(s.value),
                s.variance.map_or_else(none, |w| short(w.sqrt())),
                s.bits.clone(),
                s.level.map_or_else(none, |l| l.to_string()),
                words(s.fate, s, self.best, self.is_by_rank())
                    + &s.weight.map_or_else(String::new, |k| format!(", weight {}", short(k))),
            ]
        };
        std::iter::once(head).chain(self.frames.iter().enumerate().map(row)).collect()
    }

    /// As the command line writes it.
    pub fn to_json(&self) -> Value {
        let number = |x: Option<f64>| x.map(json_number);
        let frame = |(i, s): (usize, &ExplainedSample)| {
            json!({
                "frame": i + 1, "name": s.name, "raw": number(s.raw), "value": json_number(s.value),
                "variance": number(s.variance), "mask": s.mask, "bits": s.bits, "level": s.level,
                "fate": words(s.fate, s, self.best, self.is_by_rank()), "weight": number(s.weight),
            })
        };
        let pass = |p: &ExplainedPass| {
            json!({
                "samples": p.samples, "centre": number(p.centre), "spread": number(p.spread),
                "limits": p.limits.map(|l| l.map(json_number)), "low": p.low, "high": p.high,
            })
        };
        let r = &self.result;
        json!({
            "extension": self.extension, "at": self.at, "method": self.method, "unit": self.unit, "best_level": self.best,
            "frames": self.frames.iter().enumerate().map(frame).collect::<Vec<_>>(),
            "passes": self.passes.iter().map(pass).collect::<Vec<_>>(),
            "undone": self.undone, "disagreement": self.disagreement,
            "result": {
                "value": json_number(r.value), "variance": json_number(r.variance), "propagated": r.propagated,
                "scatter": number(r.scatter), "chi_square": number(r.chi_square), "mask": r.mask, "bits": r.bits,
                "samples": r.samples, "low": r.low, "high": r.high,
            },
        })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at: Vec<String> = self.at.iter().map(usize::to_string).collect();
        writeln!(f, "{} at {}: {}", escape(&self.extension), at.join(","), self.method)?;
        for (i, pass) in self.passes.iter().enumerate() {
            writeln!(f, "{}", pass.line(i + 1))?;
        }
        if self.undone {
            writeln!(f, "everything was rejected, so nothing is")?;
        }
        if self.best.is_none() {
            writeln!(f, "no sample is usable")?;
        }
        let rows = self.rows();
        let wide = |c: usize| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..8).map(wide).collect();
        for row in &rows {
            let cells = row.iter().zip(&widths).enumerate().map(|(c, (cell, &w))| match c {
                // Words begin together, numbers end together.
                1 | 5 | 7 => format!("{cell:<w$}"),
                _ => format!("{cell:>w$}"),
            });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        let r = &self.result;
        let unit = self.unit.as_deref().map_or_else(String::new, |u| format!(" {}", escape(u)));
        let from = if r.propagated { "propagated" } else { "from the scatter" };
        write!(f, "result: {}{unit}", short(r.value))?;
        // A bitwise combination has none.
        if !r.variance.is_nan() {
            write!(f, ", variance {} ({from})", short(r.variance))?;
        }
        if let (Some(scatter), Some(chi_square)) = (r.scatter, r.chi_square) {
            write!(f, ", scatter {}, chi-square {}", short(scatter), short(chi_square))?;
        }
        writeln!(f, ", mask {}", r.bits)?;
        write!(f, "of {} {}; {} rejected low, {} high", r.samples, plural(r.samples), r.low, r.high)?;
        match &self.disagreement {
            Some(what) => write!(f, "\nthe samples above are not quite those of the result: {what}"),
            None => Ok(()),
        }
    }
}
