//! What was measured, as a table for people and as JSON.

use serde_json::{Value, json};

use super::super::print;
use super::jobs::JOBS;
use super::limits::Limit;
use super::{Contender, JobRow, Results};
use crate::Result;

const SOFTWARE: &str = "software adapter: shows agreement, not speed";

/// The middle one; of an even number the mean of the middle two.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n => (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0,
    }
}

/// "Intel(R) Xeon(R) ..."; the architecture where the system does not say.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|l| l.strip_prefix("model name"));
    let name = model.map(|m| m.trim_start_matches([' ', '\t', ':']).trim()).unwrap_or(std::env::consts::ARCH);
    crate::error::escape(name)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Contender {
    /// For a column.
    fn label(&self) -> String {
        let software = if self.software { " (software)" } else { "" };
        format!("{}{software}", self.engine.name())
    }
}

impl Limit {
    fn name(self) -> &'static str {
        match self {
            Limit::Read(_) => "limit: mapped read",
            Limit::Copy => "limit: memory copy",
            Limit::Write(_) => "limit: write and sync",
        }
    }
}

impl Results {
    fn limit_seconds(&self, limit: Limit) -> f64 {
        self.limits.iter().find(|l| l.limit == limit).map_or(f64::NAN, |l| median(&l.seconds))
    }

    /// Seconds of the limits over the seconds of the job.
    fn of_limit(&self, row: &JobRow) -> f64 {
        let read = self.limit_seconds(Limit::Read(row.set)) * row.read as f64 / self.sets[row.set].bytes as f64;
        let write = row.written.map_or(0.0, |bytes| self.limit_seconds(Limit::Write(bytes)));
        (read + write) / median(&row.seconds)
    }

    /// The name of the set that a limit belongs to, if it is one's.
    fn set_of(&self, limit: Limit) -> Option<&'static str> {
        match limit {
            Limit::Read(set) => Some(self.sets[set].name),
            Limit::Copy => None,
            Limit::Write(bytes) => {
                let mut makers = self.jobs.iter().filter(|j| j.written == Some(bytes)).map(|j| j.set);
                let first = makers.next()?;
                makers.all(|set| set == first).then(|| self.sets[first].name)
            }
        }
    }

    /// The table on standard output.
    pub(super) fn print(&self) -> Result<()> {
        print(&format!("machine  {}, {} cores; limits with {} threads", processor(), cores(), self.threads))?;
        for contender in &self.contenders {
            print(&format!("engine   {}", contender.engine.describe()))?;
            if contender.software {
                print(&format!("         {SOFTWARE}"))?;
            }
            if let Some(a) = contender.agreement {
                let first = self.contenders[0].engine.name();
                let masks = if a.masks == 0 { "masks equal".into() } else { format!("{} masks differ", a.masks) };
                let worst = format!("{:.1e}", a.difference);
                print(&format!("         against {first}: largest relative difference {worst}, {masks}"))?;
            }
        }
        if let Some(why) = &self.absent {
            print(&format!("engine   no gpu: {why}"))?;
        }
        for set in &self.sets {
            let size = set.bytes as f64 / 1e9;
            print(&format!("set      {}: {}, {size:.3} GB in the page cache", set.name, set.about))?;
        }
        print("")?;
        for line in aligned(&self.lines()) {
            print(&line)?;
        }
        for row in &self.jobs {
            for warning in &row.warnings {
                let (job, set) = (JOBS[row.job].name, self.sets[row.set].name);
                print(&format!("warning: {job}, {set}, {}: {warning}", self.contenders[row.engine].label()))?;
            }
        }
        Ok(())
    }

    fn lines(&self) -> Vec<[String; 6]> {
        let head = ["", "set", "engine", "seconds", "GB/s", "of the limit"].map(String::from);
        let speed = |bytes: u64, seconds: f64| format!("{:.2}", bytes as f64 / seconds / 1e9);
        let limits = self.limits.iter().map(|row| {
            let seconds = median(&row.seconds);
            let bytes = row.limit.bytes(&self.sets);
            let set = self.set_of(row.limit).unwrap_or_default();
            let number = format!("{seconds:.4}");
            [row.limit.name().into(), set.into(), String::new(), number, speed(bytes, seconds), String::new()]
        });
        let jobs = self.jobs.iter().map(|row| {
            let seconds = median(&row.seconds);
            let (job, set) = (JOBS[row.job].name, self.sets[row.set].name);
            let fraction = format!("{:.2}", self.of_limit(row));
            let engine = self.contenders[row.engine].label();
            [job.into(), set.into(), engine, format!("{seconds:.4}"), speed(row.read, seconds), fraction]
        });
        std::iter::once(head).chain(limits).chain(jobs).collect()
    }

    /// All of it, with the seconds of every round.
    pub(super) fn to_json(&self) -> Value {
        let engines = self.contenders.iter().map(|c| {
            json!({
                "engine": c.engine.name(),
                "adapter": c.engine.adapter(),
                "description": c.engine.describe(),
                "software": c.software,
                "note": c.software.then_some(SOFTWARE),
                "difference": c.agreement.map(|a| a.difference),
                "masks_differing": c.agreement.map(|a| a.masks),
            })
        });
        let sets = self
            .sets
            .iter()
            .map(|s| json!({"name": s.name, "about": s.about, "frames": s.paths.len(), "bytes": s.bytes}));
        let limits = self.limits.iter().map(|row| {
            let (seconds, bytes) = (median(&row.seconds), row.limit.bytes(&self.sets));
            json!({
                "what": row.limit.name(),
                "set": self.set_of(row.limit),
                "bytes": bytes,
                "median_seconds": seconds,
                "gb_per_s": bytes as f64 / seconds / 1e9,
                "seconds": row.seconds,
            })
        });
        let jobs = self.jobs.iter().map(|row| {
            let seconds = median(&row.seconds);
            json!({
                "what": JOBS[row.job].name,
                "set": self.sets[row.set].name,
                "engine": self.contenders[row.engine].engine.name(),
                "software": self.contenders[row.engine].software,
                "bytes_read": row.read,
                "bytes_written": row.written,
                "median_seconds": seconds,
                "gb_per_s": row.read as f64 / seconds / 1e9,
                "of_limit": self.of_limit(row),
                "warnings": row.warnings,
                "seconds": row.seconds,
            })
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "machine": {"processor": processor(), "cores": cores(), "threads": self.threads},
            "engines": engines.collect::<Vec<_>>(),
            "no_gpu": self.absent,
            "sets": sets.collect::<Vec<_>>(),
            "limits": limits.collect::<Vec<_>>(),
            "jobs": jobs.collect::<Vec<_>>(),
        })
    }
}

/// Rows of one width: words to the left, numbers (from the fourth column on) to the right.
fn aligned(rows: &[[String; 6]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if column < 3 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn columns_line_up() {
        let row = |cells: [&str; 6]| cells.map(String::from);
        let lines = aligned(&[row(["", "set", "", "s", "", ""]), row(["job", "a", "cpu", "10.5", "1", ""])]);
        assert_eq!(lines, ["     set          s", "job  a    cpu  10.5  1"]);
    }
}
