//! What was measured, as a table for people.

use super::super::print;
use super::chapter::{Chapter, JobRow};
use super::limits::Limit;
use super::{Contender, Results, agreement};
use crate::Result;
use crate::engine::Transfer;

pub(super) const SOFTWARE: &str = "software adapter: shows agreement, not speed";

/// The middle one; of an even number the mean of the middle two.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n => (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0,
    }
}

/// "Intel(R) Xeon(R) ..."; the architecture where the system does not say.
pub(super) fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|l| l.strip_prefix("model name"));
    let name = model.map(|m| m.trim_start_matches([' ', '\t', ':']).trim()).unwrap_or(std::env::consts::ARCH);
    crate::error::escape(name)
}

pub(super) fn cores() -> usize {
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
    pub(super) fn name(self) -> &'static str {
        match self {
            Limit::Read(_) => "limit: mapped read",
            Limit::Copy => "limit: memory copy",
            Limit::Write(_) => "limit: write and sync",
            Limit::Transfer(_, Transfer::Upload) => "limit: upload",
            Limit::Transfer(_, Transfer::Readback) => "limit: readback",
        }
    }
}

impl JobRow {
    pub(super) fn median(&self) -> f64 {
        median(&self.seconds)
    }

    /// Bytes that its speed is of: those of its input files, or of arrays if there are none.
    pub(super) fn bytes(&self) -> u64 {
        if self.read > 0 { self.read } else { self.arrays }
    }
}

impl Chapter {
    /// What so many bytes take by a limit, scaled; 0 for none of them.
    fn limit_seconds(&self, bytes: u64, is: impl Fn(Limit) -> bool) -> f64 {
        if bytes == 0 {
            return 0.0;
        }
        let row = self.limits.iter().find(|row| is(row.limit));
        row.map_or(f64::NAN, |row| median(&row.seconds) * bytes as f64 / row.limit.bytes(&self.sets) as f64)
    }

    /// Seconds of the limits over the seconds of the job.
    pub(super) fn of_limit(&self, row: &JobRow) -> f64 {
        let read = self.limit_seconds(row.read, |l| l == Limit::Read(row.set));
        let arrays = self.limit_seconds(row.arrays, |l| l == Limit::Copy);
        let write = row.written.map_or(0.0, |bytes| self.limit_seconds(bytes, |l| l.writes_about(bytes)));
        (read + arrays + write) / row.median()
    }

    /// What its transfers to an adapter and back would take at most speed, over the seconds of the job; `None` if there
    /// were none.
    pub(super) fn of_transfers(&self, row: &JobRow) -> Option<f64> {
        let (up, down) = row.transfers;
        let engine = row.engine.filter(|_| up + down > 0)?;
        let upload = self.limit_seconds(up, |l| l == Limit::Transfer(engine, Transfer::Upload));
        let readback = self.limit_seconds(down, |l| l == Limit::Transfer(engine, Transfer::Readback));
        Some((upload + readback) / row.median())
    }

    /// The name of the set that a limit belongs to, if it is one's.
    pub(super) fn set_of(&self, limit: Limit) -> Option<&'static str> {
        match limit {
            Limit::Read(set) => Some(self.sets[set].kind.name()),
            Limit::Copy | Limit::Transfer(..) => None,
            Limit::Write(_) => {
                let wrote = |j: &&JobRow| j.written.is_some_and(|bytes| limit.writes_about(bytes));
                let mut makers = self.jobs.iter().filter(wrote).map(|j| j.set);
                let first = makers.next()?;
                makers.all(|set| set == first).then(|| self.sets[first].kind.name())
            }
        }
    }
}

impl Results {
    /// The engine of a row, for a column; threads without an engine are the CPU.
    pub(super) fn engine_label(&self, engine: Option<usize>) -> String {
        engine.map_or_else(|| "cpu".into(), |i| self.contenders[i].label())
    }

    /// On standard output, what all tables are of.
    pub(super) fn print_machine(&self) -> Result<()> {
        print(&format!("machine  {}, {} cores; limits with {} threads", processor(), cores(), self.threads))?;
        for contender in &self.contenders {
            print(&format!("engine   {}", contender.engine.describe()))?;
            if contender.software {
                print(&format!("         {SOFTWARE}"))?;
            }
        }
        if let Some(why) = &self.absent {
            print(&format!("engine   no gpu: {why}"))?;
        }
        Ok(())
    }

    /// The table of a chapter on standard output.
    pub(super) fn print(&self, chapter: &Chapter) -> Result<()> {
        print("")?;
        print(&chapter.title)?;
        for note in &chapter.notes {
            print(&format!("note     {note}"))?;
        }
        for set in &chapter.sets {
            let size = set.bytes as f64 / 1e9;
            let place = if set.paths.is_empty() { "memory" } else { "the page cache" };
            print(&format!("set      {}: {}, {size:.3} GB in {place}", set.kind.name(), set.about))?;
        }
        let first = self.contenders[0].engine.name();
        for (i, contender) in self.contenders.iter().enumerate() {
            if let Some(a) = agreement(std::slice::from_ref(chapter), i) {
                let masks = if a.masks == 0 { "masks equal".into() } else { format!("{} masks differ", a.masks) };
                let (name, worst) = (contender.engine.name(), format!("{:.1e}", a.difference));
                print(&format!("agree    {name} with {first}: largest relative difference {worst}, {masks}"))?;
            }
        }
        print("")?;
        for line in aligned(&self.lines(chapter)) {
            print(&line)?;
        }
        for row in &chapter.jobs {
            for warning in &row.warnings {
                let (job, set) = (row.job.about, chapter.sets[row.set].kind.name());
                print(&format!("warning: {job}, {set}, {}: {warning}", self.engine_label(row.engine)))?;
            }
        }
        Ok(())
    }

    fn lines(&self, chapter: &Chapter) -> Vec<Line> {
        let adapter = self.contenders.iter().any(|c| c.engine.adapter().is_some());
        let transfers = if adapter { "of transfers" } else { "" };
        let head = ["", "set", "engine", "seconds", "GB/s", "of the limit", transfers].map(String::from);
        let speed = |bytes: u64, seconds: f64| format!("{:.2}", bytes as f64 / seconds / 1e9);
        let limits = chapter.limits.iter().map(|row| {
            let seconds = median(&row.seconds);
            let speed = speed(row.limit.bytes(&chapter.sets), seconds);
            let set = chapter.set_of(row.limit).unwrap_or_default();
            let engine = match row.limit {
                Limit::Transfer(engine, _) => self.engine_label(Some(engine)),
                _ => String::new(),
            };
            let number = format!("{seconds:.4}");
            [row.limit.name().into(), set.into(), engine, number, speed, String::new(), String::new()]
        });
        let jobs = chapter.jobs.iter().map(|row| {
            let seconds = row.median();
            let (job, set) = (row.job.about, chapter.sets[row.set].kind.name());
            let fraction = format!("{:.2}", chapter.of_limit(row));
            let transfers = chapter.of_transfers(row).map(|f| format!("{f:.2}")).unwrap_or_default();
            let engine = self.engine_label(row.engine);
            let number = format!("{seconds:.4}");
            [job.into(), set.into(), engine, number, speed(row.bytes(), seconds), fraction, transfers]
        });
        std::iter::once(head).chain(limits).chain(jobs).collect()
    }
}

/// The cells of a row.
type Line = [String; 7];

/// Rows of one width: words to the left, numbers (from the fourth column on) to the right.
fn aligned(rows: &[Line]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    let line = |row: &Line| {
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
        let row = |cells: [&str; 7]| cells.map(String::from);
        let lines = aligned(&[row(["", "set", "", "s", "", "", ""]), row(["job", "a", "cpu", "10.5", "1", "", ""])]);
        assert_eq!(lines, ["     set          s", "job  a    cpu  10.5  1"]);
    }
}
