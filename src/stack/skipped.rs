//! Frames that are left out since their file is bad: what cannot be opened, and what goes bad while it is read.
//!
//! The result is the stack of the others, as if the bad one had not been named: numbers that are given for each frame are
//! those of the frames that are left. A file that goes bad in mid-run ends that run, and another begins without it, so no
//! pixel of it is ever in the result.

use std::path::{Path, PathBuf};

use super::{Level, Offsets, PerFrame, Stack, Weights};
use crate::error::show;
use crate::{AstroData, Error, OpenOptions, Result};

/// A frame that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// Its file.
    pub path: PathBuf,
    /// What is wrong with it, without the name.
    pub why: String,
}

impl Skipped {
    pub(crate) fn new(path: &Path, error: &Error) -> Self {
        let text = error.to_string();
        let why = text.strip_prefix(&format!("{}: ", show(path))).unwrap_or(&text).to_string();
        Skipped { path: path.to_path_buf(), why }
    }
}

impl Stack {
    /// Of files, as [`files`](Self::files); those that cannot be opened are left out, and so are those that go bad while they
    /// are read: truncated, replaced, damaged. They are listed in [`Stats::skipped`](crate::Stats::skipped), in its warnings
    /// and in the HISTORY of the result. Numbers for each frame are given for all files, those that are left out included.
    pub fn files_skipping<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>, options: &OpenOptions) -> Self {
        let mut opened = Vec::new();
        for path in paths {
            let path = path.as_ref();
            opened.push(AstroData::open_with(path, options).map_err(|e| Skipped::new(path, &e)));
        }
        Self::of_opened(opened)
    }

    /// Of what was opened, and what was not.
    pub(crate) fn of_opened(opened: Vec<std::result::Result<AstroData, Skipped>>) -> Self {
        let (mut inputs, mut skipped) = (Vec::new(), Vec::new());
        for (i, one) in opened.into_iter().enumerate() {
            match one {
                Ok(input) => inputs.push(input),
                Err(bad) => skipped.push((i, bad)),
            }
        }
        let mut stack = Self::of(inputs);
        (stack.skips, stack.skipped) = (true, skipped);
        stack
    }

    /// Runs with the frames that are good, again and again if one of them turns out not to be.
    pub(super) fn skipping<R>(&self, once: impl Fn(&Stack) -> Result<R>) -> Result<R> {
        if !self.skips {
            return once(self);
        }
        let mut all = self.clone();
        loop {
            let good = all.sifted()?;
            let error = match once(&good) {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            // A frame that is the output is not bad.
            let Some(path) = error.path().filter(|_| !matches!(error, Error::OutputIsInput { .. })) else {
                return Err(error);
            };
            // One file may be several frames.
            let is_bad = |input: &AstroData| input.path() == Some(path);
            if !all.inputs.iter().any(is_bad) {
                return Err(error);
            }
            let bad = Skipped::new(path, &error);
            let given = all.given();
            let places: Vec<usize> = (0..given).filter(|i| !all.skipped.iter().any(|(other, _)| other == i)).collect();
            for (place, _) in places.iter().zip(&all.inputs).filter(|(_, input)| is_bad(input)) {
                all.skipped.push((*place, bad.clone()));
            }
            all.inputs.retain(|input| !is_bad(input));
        }
    }

    /// How many frames there were at first.
    fn given(&self) -> usize {
        self.inputs.len() + self.skipped.len()
    }

    /// With what is given for each frame given for those that are left.
    fn sifted(&self) -> Result<Stack> {
        let mut stack = self.clone();
        if self.skipped.is_empty() {
            return Ok(stack);
        }
        for level in [&mut stack.scale, &mut stack.zero].into_iter().flatten() {
            if let Level::Values(values) = level {
                self.sift("scale and zero", values)?;
            }
        }
        if let Some(Weights::Given(PerFrame::Values(values))) = &mut stack.weights {
            self.sift("weights", values)?;
        }
        if let PerFrame::Values(values) = &mut stack.exposure {
            self.sift("exposure", values)?;
        }
        if let Some(Offsets::Pixels(offsets)) = &mut stack.offsets {
            self.sift("offsets", offsets)?;
        }
        Ok(stack)
    }

    fn sift<V>(&self, what: &str, values: &mut Vec<V>) -> Result<()> {
        let (found, given) = (values.len(), self.given());
        if found != given {
            return Err(Error::Parameter(format!("{what}: {found} values for {given} frames")));
        }
        let mut at = 0;
        values.retain(|_| {
            at += 1;
            !self.skipped.iter().any(|(place, _)| *place == at - 1)
        });
        Ok(())
    }

    /// Why there is nothing to stack.
    pub(super) fn nothing_left(&self) -> Error {
        Error::Parameter(match self.skipped.first() {
            None => "no frames to stack".into(),
            Some((_, Skipped { path, why })) => {
                let n = self.skipped.len();
                format!("no frames to stack: all {n} were left out, the first since {}: {why}", show(path))
            }
        })
    }
}
