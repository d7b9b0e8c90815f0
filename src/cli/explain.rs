//! `ndastro explain`: why a stack has what it has at a pixel.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::input::InputArgs;
use super::stack::MethodArgs;
use super::{Common, print};
use crate::{AstroData, Result};

#[derive(Args)]
pub(super) struct ExplainArgs {
    /// FITS files, as `stack` takes them. With --calibrate also NAME=FILE
    #[arg(required = true, value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// The pixel: its place along each axis, the slowest axis first as in numpy, from 0 on
    #[arg(long, required = true, value_name = "Y,X", value_delimiter = ',')]
    at: Vec<usize>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    method: MethodArgs,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &ExplainArgs) -> Result<()> {
    // Nothing is written, so a signal may end it at once; but with the exit code of an interruption.
    super::signals::exit_at_once()?;
    let (paths, given) = args.method.inputs(&args.inputs)?;
    let stack = args.method.stack(&paths, given, &args.input, &args.common, false)?;
    let extensions = stack.inputs().first().map_or(0, AstroData::len);
    // All of them before a line is printed: a job that fails prints no result.
    let mut all = (0..extensions).map(|e| stack.explain(e, &args.at)).collect::<Result<Vec<_>>>()?;
    for warning in all.iter().flat_map(|e| &e.warnings) {
        args.common.say(&format!("warning: {warning}"));
    }
    if args.json {
        let one = all.len() == 1;
        let document = if one { all.remove(0).to_json() } else { Value::from_iter(all.iter().map(|e| e.to_json())) };
        return print(&format!("{document:#}"));
    }
    let tables: Vec<String> = all.iter().map(ToString::to_string).collect();
    print(&tables.join("\n\n"))
}
