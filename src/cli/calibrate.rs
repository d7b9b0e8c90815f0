//! `--calibrate EXPR NAME=FILE...`: what becomes of each frame before it is stacked.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::calc::parse::{Term, parse};
use super::calc::{Operand, named, operand};
use super::input::InputArgs;
use crate::error::escape;
use crate::{AstroData, Error, Expr, NDAstroData, Result};

/// The name that stands for the frame.
const FRAME: &str = "frame";

/// An expression of a frame and of what all frames share.
pub(super) struct Calibration {
    term: Term,
    text: String,
    operands: HashMap<String, Operand>,
    /// As they were given.
    given: Vec<(String, String)>,
}

/// Frames, and what other words say: names and what they stand for.
pub(super) type Words = (Vec<PathBuf>, Vec<(String, String)>);

/// Takes the words NAME=FILE out of the inputs whose names are in the expression. All others are frames.
pub(super) fn split(expression: &str, words: &[PathBuf]) -> Result<Words> {
    let term = parse(expression)?;
    let names = term.names();
    if !names.contains(FRAME) {
        return Err(Error::Parameter(format!("--calibrate {:?}: {FRAME:?} does not occur in it", escape(expression))));
    }
    let (mut files, mut given, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for word in words {
        match word.to_str().and_then(|text| named(text).ok()) {
            Some((name, value)) if names.contains(name) && name != FRAME => {
                if !seen.insert(name.to_string()) {
                    return Err(Error::Parameter(format!("{name}: given twice")));
                }
                given.push((name.to_string(), value.to_string()));
            }
            _ => files.push(word.clone()),
        }
    }
    if let Some(missing) = names.iter().find(|n| **n != FRAME && !seen.contains(**n)) {
        return Err(Error::Parameter(format!("{}: no {0}=FILE says what it is", escape(missing))));
    }
    Ok((files, given))
}

impl Calibration {
    /// Opens what the names stand for.
    pub(super) fn open(
        expression: &str,
        given: Vec<(String, String)>,
        input: &InputArgs,
        ext: Option<&(String, i64)>,
    ) -> Result<Self> {
        let open = |(name, text): &(String, String)| Ok((name.clone(), operand(input, ext, text)?));
        let operands = given.iter().map(open).collect::<Result<_>>()?;
        Ok(Calibration { term: parse(expression)?, text: expression.to_string(), operands, given })
    }

    /// The files that are read.
    pub(super) fn files(&self) -> impl Iterator<Item = &AstroData> {
        self.operands.values().filter_map(|o| if let Operand::File(file) = o { Some(file) } else { None })
    }

    /// What becomes of a frame: an extension of the first file is the `extension`-th.
    pub(super) fn of(&self, frame: &NDAstroData, first: &AstroData, extension: usize) -> Result<Expr> {
        self.term.build(&|name| match self.operands.get(name) {
            _ if name == FRAME => Ok(Expr::from(frame)),
            Some(operand) => operand.of(first, extension),
            None => Err(Error::Parameter(format!("{}: no {0}=FILE says what it is", escape(name)))),
        })
    }

    /// Lines that say what was done.
    pub(super) fn history(&self) -> Vec<String> {
        let mut lines = vec![format!("ndastro calibrate: {}", escape(&self.text))];
        for (name, text) in &self.given {
            let number = matches!(self.operands.get(name), Some(Operand::Number(_)));
            let file = Path::new(text).file_name().unwrap_or_default().to_string_lossy();
            lines.push(format!("ndastro {name} = {}", escape(if number { text } else { &file })));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<PathBuf> {
        text.split(' ').map(PathBuf::from).collect()
    }

    #[test]
    fn operands_are_told_from_frames() {
        let (files, given) = split("(frame - bias) / flat", &words("a.fits bias=b.fits x=1.fits flat=f.fits")).unwrap();
        assert_eq!(files, words("a.fits x=1.fits"));
        assert_eq!(given, [("bias".into(), "b.fits".into()), ("flat".into(), "f.fits".into())]);
    }

    #[test]
    fn what_is_missing_is_said() {
        for (expression, inputs, says) in [
            ("frame - bias", "a.fits", "bias: no bias=FILE"),
            ("bias / 2", "a.fits bias=b.fits", "does not occur"),
            ("frame - bias", "a.fits bias=b.fits bias=c.fits", "twice"),
        ] {
            let error = split(expression, &words(inputs)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
