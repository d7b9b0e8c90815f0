//! `ndastro merge`: joins the bands that `stack --tile` wrote.

use std::path::PathBuf;

use clap::Args;

use crate::{Result, merge};

#[derive(Args)]
pub(super) struct MergeArgs {
    /// The output of the runs of `stack --tile`
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Replace an output that exists
    #[arg(long)]
    overwrite: bool,
    /// Say nothing but errors
    #[arg(long)]
    quiet: bool,
}

pub(super) fn run(args: &MergeArgs) -> Result<()> {
    let stop = super::signals::stop_flag()?;
    let bands = merge(&args.output, args.overwrite, Some(&stop))?;
    super::say(args.quiet, &format!("{bands} bands joined, every sum as it was written"));
    Ok(())
}
