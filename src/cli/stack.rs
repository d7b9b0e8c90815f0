//! `ndastro stack`: frames in, one out.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::Common;
use super::input::{InputArgs, PackArgs};
use super::progress::with_progress;
use crate::{AstroData, Result, Stack};

#[derive(Clone, Copy, ValueEnum)]
enum CombineArg {
    Mean,
}

#[derive(Clone, Copy, ValueEnum)]
enum RejectArg {
    None,
}

#[derive(Args)]
pub(super) struct StackArgs {
    /// FITS files, each one frame; all extensions are stacked
    #[arg(required = true, value_name = "IN")]
    inputs: Vec<PathBuf>,
    /// The stack: SCI, VAR and DQ for each extension
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// How the samples of a pixel become one
    #[arg(long, value_enum, default_value = "mean")]
    combine: CombineArg,
    /// Which samples are left out
    #[arg(long, value_enum, default_value = "none")]
    reject: RejectArg,
    /// A factor for each frame
    #[arg(long, value_name = "F,...", value_delimiter = ',', allow_hyphen_values = true)]
    scale: Option<Vec<f64>>,
    /// An offset for each frame, added after the factor
    #[arg(long, value_name = "F,...", value_delimiter = ',', allow_hyphen_values = true)]
    zero: Option<Vec<f64>>,
    /// Only this extension of each file: its EXTNAME and EXTVER
    #[arg(long, value_name = "NAME,VER", value_parser = parse_extension)]
    ext: Option<(String, i64)>,
    /// Do not use the frames' variances
    #[arg(long)]
    ignore_variance: bool,
    /// Do not use the frames' masks
    #[arg(long)]
    ignore_mask: bool,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    pack: PackArgs,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &StackArgs) -> Result<()> {
    let common = &args.common;
    let stop = super::signals::stop_flag()?;
    // Cheap refusals come before any work.
    crate::fits::check_target(&args.output, common.overwrite)?;
    let used: Vec<&Path> = args.inputs.iter().chain([&args.output]).map(PathBuf::as_path).collect();
    let stats_file = common.stats_file(&used)?;
    let mut inputs = args.inputs.iter().map(|p| args.input.open(p)).collect::<Result<Vec<_>>>()?;
    for reason in inputs.iter().flat_map(AstroData::left_out) {
        common.say(&format!("warning: left out: {reason}"));
    }
    if let Some((name, ver)) = &args.ext {
        inputs = inputs.iter().map(|i| i.only(name, *ver)).collect::<Result<_>>()?;
    }
    let engine = common.engine()?;
    let CombineArg::Mean = args.combine;
    let RejectArg::None = args.reject;
    let mut stack = Stack::of(inputs)
        .use_variance(!args.ignore_variance)
        .use_mask(!args.ignore_mask)
        .memory(common.memory)
        .compression(args.pack.compression())
        .cancel(stop);
    if let Some(scale) = &args.scale {
        stack = stack.scale(scale.clone());
    }
    if let Some(zero) = &args.zero {
        stack = stack.zero(zero.clone());
    }
    let write = |progress| stack.watched(progress).write(&engine, &args.output, common.overwrite);
    let stats = with_progress(common.quiet, write)?;
    common.finish(&stats, stats_file, &engine, "frames")
}

/// `SCI,2`.
pub(super) fn parse_extension(text: &str) -> std::result::Result<(String, i64), String> {
    let parts = text.rsplit_once(',').and_then(|(name, ver)| Some((name.to_string(), ver.trim().parse().ok()?)));
    parts.ok_or_else(|| format!("{text:?} is not NAME,VER like SCI,2"))
}
