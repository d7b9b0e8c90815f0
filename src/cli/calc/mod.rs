//! `ndastro calc`: an expression over files, extension by extension.

pub(super) mod parse;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use clap::Args;

use super::Common;
use super::input::{InputArgs, PackArgs};
use super::progress::with_progress;
use crate::astrodata::partner;
use crate::error::escape;
use crate::{AstroData, Calculation, Error, Expr, Result, Scalar};

#[derive(Args)]
pub(super) struct CalcArgs {
    /// What to compute: names, numbers, + - * / **, parentheses, abs sqrt square exp log log10 pow min max
    #[arg(value_name = "EXPR", allow_hyphen_values = true)]
    expression: String,
    /// What each name stands for: a FITS file, or a number with a unit, e.g. 'gain=2.1+-0.05 electron/adu'
    #[arg(required = true, value_name = "NAME=FILE")]
    operands: Vec<String>,
    /// The result: SCI, and VAR and DQ where there are any, for each extension
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Only this extension of each file that has several: its EXTNAME and EXTVER
    #[arg(long, value_name = "NAME,VER", value_parser = super::stack::parse_extension)]
    ext: Option<(String, i64)>,
    /// Do not use variances
    #[arg(long)]
    ignore_variance: bool,
    /// Do not use masks
    #[arg(long)]
    ignore_mask: bool,
    /// Neither check, nor convert, nor write units
    #[arg(long)]
    ignore_units: bool,
    /// Fail if the WCS of the files do not agree
    #[arg(long)]
    compare_wcs: bool,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    pack: PackArgs,
    #[command(flatten)]
    common: Common,
}

/// What a name stands for.
pub(super) enum Operand {
    File(AstroData),
    /// The same random variable in all extensions.
    Number(Expr),
}

impl Operand {
    /// What it is in an extension of the first file: the extension of the same name and version, or the only one.
    pub(super) fn of(&self, first: &AstroData, extension: usize) -> Result<Expr> {
        match self {
            Operand::Number(number) => Ok(number.clone()),
            Operand::File(file) if file.len() == 1 => Ok(Expr::from(&file[0])),
            Operand::File(file) => Ok(Expr::from(partner(first, extension, file)?)),
        }
    }
}

pub(super) fn run(args: &CalcArgs) -> Result<()> {
    let common = &args.common;
    let stop = super::signals::stop_flag()?;
    // Cheap refusals come before any work.
    let term = parse::parse(&args.expression)?;
    crate::fits::check_target(&args.output, common.overwrite)?;
    let operands = args.operands.iter().map(|o| named(o)).collect::<Result<Vec<_>>>()?;
    let (names, mut given) = (term.names(), HashSet::new());
    for (name, _) in &operands {
        if !given.insert(*name) {
            return Err(Error::Parameter(format!("{name}: given twice")));
        }
        if !names.contains(name) {
            return Err(Error::Parameter(format!("{name}: not in the expression")));
        }
    }
    let used: Vec<&Path> = operands.iter().map(|(_, o)| Path::new(*o)).chain([args.output.as_path()]).collect();
    let stats_file = common.stats_file(&used)?;
    let operands: Vec<(&str, Operand)> = operands
        .iter()
        .map(|(name, text)| Ok((*name, operand(&args.input, args.ext.as_ref(), text)?)))
        .collect::<Result<_>>()?;
    let files: Vec<&AstroData> =
        operands.iter().filter_map(|(_, o)| if let Operand::File(f) = o { Some(f) } else { None }).collect();
    for reason in files.iter().flat_map(|f| f.left_out()) {
        common.say(&format!("warning: left out: {reason}"));
    }
    // The first file of several extensions says which; those of one go with each of them.
    let first = files.iter().find(|f| f.len() > 1).or(files.first());
    let first = first.ok_or_else(|| Error::Parameter("none of the operands is a file".into()))?;
    if let Some(file) = files.iter().find(|f| f.len() > 1 && f.len() != first.len()) {
        return Err(Error::Parameter(format!(
            "{}: {} extensions found, 1 or {} expected (as many as {} has)",
            file.label(),
            file.len(),
            first.len(),
            first.label()
        )));
    }
    let by_name: HashMap<&str, &Operand> = operands.iter().map(|(name, operand)| (*name, operand)).collect();
    let expression = |extension: usize| {
        term.build(&|name| match by_name.get(name) {
            Some(operand) => operand.of(first, extension),
            None => Err(Error::Parameter(format!("{}: no {0}=FILE says what it is", escape(name)))),
        })
    };
    let expressions = (0..first.len()).map(expression).collect::<Result<Vec<_>>>()?;
    let engine = common.engine()?;
    let mut phu = first.phu().clone();
    if first.extensions().first().is_some_and(|nd| nd.hdu() == Some(0)) {
        // These cards are of the image that was in the primary.
        phu.remove_where(|k| matches!(k, "BUNIT" | "DATAMIN" | "DATAMAX"));
        crate::Wcs::remove(&mut phu);
    }
    phu.push_history(&format!("ndastro {} calc: {}", env!("CARGO_PKG_VERSION"), escape(&args.expression)));
    for (name, text) in args.operands.iter().filter_map(|o| o.split_once('=')) {
        let number = operands.iter().any(|(n, o)| *n == name && matches!(o, Operand::Number(_)));
        let file = Path::new(text).file_name().unwrap_or_default().to_string_lossy();
        phu.push_history(&format!("ndastro {name} = {}", escape(if number { text } else { &file })));
    }
    let calculation = Calculation::of(expressions)
        .phu(phu)
        .files(files.iter().filter_map(|f| f.file().cloned()))
        .tables(first.tables().to_vec())
        .use_variance(!args.ignore_variance)
        .use_mask(!args.ignore_mask)
        .ignore_units(args.ignore_units)
        .compare_wcs(args.compare_wcs)
        .memory(common.memory)
        .compression(args.pack.compression())
        .cancel(stop);
    let write = |progress| calculation.watched(progress).write(&engine, &args.output, common.overwrite);
    let stats = with_progress(common.quiet, write)?;
    common.finish(&stats, stats_file, &engine, "operands")
}

/// `NAME=FILE`.
pub(super) fn named(text: &str) -> Result<(&str, &str)> {
    let is_name = |n: &str| {
        n.starts_with(|c: char| c.is_alphabetic() || c == '_') && n.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    match text.split_once('=') {
        Some((name, value)) if is_name(name) && !value.is_empty() => Ok((name, value)),
        _ => Err(Error::Parameter(format!("{:?} is not NAME=FILE", escape(text)))),
    }
}

/// A number, or a file, of which only one extension may be meant.
pub(super) fn operand(input: &InputArgs, ext: Option<&(String, i64)>, text: &str) -> Result<Operand> {
    // A file may be called 2.5.
    if !Path::new(text).exists()
        && let Some(scalar) = scalar(text)
    {
        return Ok(Operand::Number(scalar.into()));
    }
    let file = input.open(Path::new(text))?;
    match ext {
        Some((name, ver)) if file.len() > 1 => Ok(Operand::File(file.only(name, *ver)?)),
        _ => Ok(Operand::File(file)),
    }
}

/// `2.1`, `2.1 electron/adu`, `2.1+-0.05 electron/adu`: a number, its standard deviation, its unit.
fn scalar(text: &str) -> Option<Scalar> {
    let (number, unit) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let (value, sigma) = match number.split_once("+-") {
        Some((value, sigma)) => (value, Some(sigma.parse::<f64>().ok().filter(|s| s.is_finite() && *s >= 0.0)?)),
        None => (number, None),
    };
    let value = value.parse::<f64>().ok().filter(|v| v.is_finite())?;
    let mut scalar = Scalar::new(value);
    if let Some(sigma) = sigma {
        scalar = scalar.with_variance(sigma * sigma);
    }
    Some(if unit.trim().is_empty() { scalar } else { scalar.with_unit(unit) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_sigma_and_unit() {
        let plain = scalar("2.5").unwrap();
        assert_eq!((plain.value, plain.variance, plain.unit), (2.5, None, None));
        let gain = scalar("2.1+-0.5 electron/adu").unwrap();
        assert_eq!((gain.value, gain.variance), (2.1, Some(0.25)));
        assert_eq!(gain.unit.unwrap().as_str(), "electron/adu");
        for text in ["a.fits", "2.5x", "inf", "1+-x"] {
            assert!(scalar(text).is_none(), "{text}");
        }
    }

    #[test]
    fn operands_have_names() {
        assert_eq!(named("a=b=c.fits").unwrap(), ("a", "b=c.fits"));
        for text in ["a.fits", "=a.fits", "a=", "1a=x", "a b=x"] {
            assert!(named(text).is_err(), "{text}");
        }
    }
}
