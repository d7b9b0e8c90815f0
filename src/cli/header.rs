//! `ndastro header`: the cards of a file, printed or changed. A change of cards leaves every other byte as it was.

use std::path::PathBuf;

use clap::Args;

use super::input::InputArgs;
use super::{Common, print};
use crate::fits::{FitsFile, Header, Value};
use crate::{Error, Result, WriteOptions};

#[derive(Args)]
pub(super) struct HeaderArgs {
    /// A FITS file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only this HDU, from 0 with the primary; changes without it are of the primary
    #[arg(long, value_name = "N")]
    hdu: Option<usize>,
    /// Set a keyword: T and F are logicals, numbers are numbers, all else and what is in quotes is text
    #[arg(long, value_name = "KEY=VALUE[ / COMMENT]", requires = "output")]
    set: Vec<String>,
    /// Remove all cards of a keyword
    #[arg(long, value_name = "KEY", requires = "output")]
    remove: Vec<String>,
    /// Add a HISTORY card
    #[arg(long, value_name = "TEXT", requires = "output")]
    history: Vec<String>,
    /// The file with the changes; with --overwrite it may be FILE itself
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &HeaderArgs) -> Result<()> {
    let options = WriteOptions::default().overwrite(args.common.overwrite).cancel(super::signals::stop_flag()?);
    let file = args.input.open_file(&args.file)?;
    if let Some(hdu) = args.hdu.filter(|&n| n >= file.hdus().len()) {
        let found = format!("{} HDUs", file.hdus().len());
        return Err(Error::NoExtension { path: args.file.clone(), wanted: hdu.to_string(), found });
    }
    match &args.output {
        None => show(&file, args.hdu),
        Some(output) => {
            let mut refused = None;
            let edit = |index: usize, header: &mut Header| {
                if index == args.hdu.unwrap_or(0) {
                    refused = refused.take().or(change(args, header));
                }
            };
            let hdus = file.with_headers(edit)?;
            match refused {
                Some(what) => Err(Error::Parameter(what)),
                None => file.rewrite_with(output, &options, hdus),
            }
        }
    }
}

fn show(file: &FitsFile, only: Option<usize>) -> Result<()> {
    for hdu in file.hdus().iter().filter(|h| only.is_none_or(|n| n == h.index)) {
        if only.is_none() {
            print(&format!("# HDU {}", hdu.label()))?;
        }
        print(hdu.header.to_string().trim_end_matches('\n'))?;
    }
    Ok(())
}

/// Changes a header; what could not be changed.
fn change(args: &HeaderArgs, header: &mut Header) -> Option<String> {
    for key in &args.remove {
        header.remove(key);
    }
    for text in &args.set {
        let Some((key, rest)) = text.split_once('=') else { return Some(format!("{text:?} is not KEY=VALUE")) };
        let (value, comment) = parse(rest);
        if !header.set(key.trim(), value, &comment) {
            return Some(format!("{:?} cannot be set to that", key.trim()));
        }
    }
    for line in &args.history {
        header.push_history(line);
    }
    None
}

/// `3 / a comment`, `'text' / a comment`, `text`.
fn parse(text: &str) -> (Value, String) {
    let text = text.trim();
    if let Some(quoted) = text.strip_prefix('\'')
        && let Some(end) = closing(quoted)
    {
        let comment = quoted[end + 1..].trim().trim_start_matches('/').trim();
        return (Value::Text(quoted[..end].replace("''", "'")), comment.into());
    }
    let (word, comment) = text.split_once(" / ").unwrap_or((text, ""));
    let value = match word.trim() {
        "T" => Value::Logical(true),
        "F" => Value::Logical(false),
        word => match (word.parse::<i64>(), word.parse::<f64>()) {
            (Ok(i), _) => Value::Integer(i),
            (_, Ok(r)) if r.is_finite() => Value::Real(r),
            _ => Value::Text(word.into()),
        },
    };
    (value, comment.trim().into())
}

/// The first quote that is not doubled.
fn closing(quoted: &str) -> Option<usize> {
    let mut quotes = quoted.match_indices('\'').map(|(at, _)| at);
    while let Some(at) = quotes.next() {
        if !quoted[at + 1..].starts_with('\'') {
            return Some(at);
        }
        quotes.next();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let text = |t: &str| Value::Text(t.into());
        for (given, value, comment) in [
            ("3", Value::Integer(3), ""),
            ("-1.5e3 / a comment", Value::Real(-1500.0), "a comment"),
            ("T", Value::Logical(true), ""),
            ("M 51", text("M 51"), ""),
            ("'3' / text", text("3"), "text"),
            ("'it''s'", text("it's"), ""),
            ("a/b", text("a/b"), ""),
            ("'M 51' / the observer's note", text("M 51"), "the observer's note"),
            ("nan", text("nan"), ""),
        ] {
            assert_eq!(parse(given), (value, comment.to_string()), "{given}");
        }
    }
}
