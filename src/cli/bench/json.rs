//! What was measured, as JSON: all of it, with the seconds of every round.

use serde_json::{Value, json};

use super::Results;
use super::chapter::{Chapter, JobRow};
use super::limits::Limit;
use super::report::{SOFTWARE, cores, median, processor};

impl Results {
    pub(super) fn to_json(&self) -> Value {
        let engines = self.contenders.iter().enumerate().map(|(i, c)| {
            let agreement = self.agreement(i);
            json!({
                "engine": c.engine.name(),
                "adapter": c.engine.adapter(),
                "description": c.engine.describe(),
                "software": c.software,
                "note": c.software.then_some(SOFTWARE),
                "difference": agreement.map(|a| a.difference),
                "masks_differing": agreement.map(|a| a.masks),
            })
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "machine": {"processor": processor(), "cores": cores(), "threads": self.threads},
            "engines": engines.collect::<Vec<_>>(),
            "no_gpu": self.absent,
            "notes": self.each(|chapter| {
                chapter.notes.iter().map(|note| json!({"frames": chapter.frames, "note": note})).collect()
            }),
            "sets": self.each(sets),
            "limits": self.each(|chapter| self.limits(chapter)),
            "jobs": self.each(|chapter| chapter.jobs.iter().map(|row| self.job(chapter, row)).collect()),
        })
    }

    /// One list over all chapters.
    fn each(&self, list: impl Fn(&Chapter) -> Vec<Value>) -> Vec<Value> {
        self.chapters.iter().flat_map(list).collect()
    }

    fn limits(&self, chapter: &Chapter) -> Vec<Value> {
        let limit = |row: &super::chapter::LimitRow| {
            let (seconds, bytes) = (median(&row.seconds), row.limit.bytes(&chapter.sets));
            let engine = match row.limit {
                Limit::Transfer(engine, _) => Some(self.contenders[engine].engine.name()),
                _ => None,
            };
            json!({
                "what": row.limit.name(),
                "frames": chapter.frames,
                "set": chapter.set_of(row.limit),
                "engine": engine,
                "bytes": bytes,
                "median_seconds": seconds,
                "gb_per_s": bytes as f64 / seconds / 1e9,
                "seconds": row.seconds,
            })
        };
        chapter.limits.iter().map(limit).collect()
    }

    fn job(&self, chapter: &Chapter, row: &JobRow) -> Value {
        let seconds = row.median();
        let contender = row.engine.map(|i| &self.contenders[i]);
        json!({
            "job": row.job.name,
            "what": row.job.about,
            "frames": chapter.frames,
            "set": chapter.sets[row.set].kind.name(),
            "engine": contender.map_or("cpu", |c| c.engine.name()),
            "software": contender.is_some_and(|c| c.software),
            "bytes_read": row.read,
            "bytes_of_arrays": row.arrays,
            "bytes_written": row.written,
            "bytes_uploaded": row.transfers.0,
            "bytes_downloaded": row.transfers.1,
            "median_seconds": seconds,
            "gb_per_s": row.bytes() as f64 / seconds / 1e9,
            "of_limit": chapter.of_limit(row),
            "of_transfers": chapter.of_transfers(row),
            "difference": row.agreement.map(|a| a.difference),
            "masks_differing": row.agreement.map(|a| a.masks),
            "warnings": row.warnings,
            "seconds": row.seconds,
        })
    }
}

fn sets(chapter: &Chapter) -> Vec<Value> {
    let set = |s: &super::data::Set| {
        json!({
            "name": s.kind.name(),
            "about": s.about,
            "frames": chapter.frames,
            "bytes": s.bytes,
        })
    };
    chapter.sets.iter().map(set).collect()
}
