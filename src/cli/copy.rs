//! `ndastro copy`: a file read and written again, its planes, tables and cards as they were.

use std::path::PathBuf;

use clap::Args;

use super::Common;
use super::input::{InputArgs, PackArgs};
use crate::fits::Layout;
use crate::{Error, Result, WriteOptions};

#[derive(Args)]
pub(super) struct CopyArgs {
    /// A FITS file; packed ones (gzip, bzip2, compress, tile-compressed images) are unpacked
    #[arg(value_name = "IN")]
    input_file: PathBuf,
    /// The copy
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    pack: PackArgs,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &CopyArgs) -> Result<()> {
    let options = WriteOptions::default().overwrite(args.common.overwrite).cancel(super::signals::stop_flag()?);
    let ad = match args.input.open(&args.input_file) {
        // Without an image there is nothing to decode or to pack.
        Err(Error::NoImage { .. }) => {
            let file = args.input.open_file(&args.input_file)?;
            let as_it_is = vec![None; file.hdus().len()];
            return file.rewrite_with(&args.output, &options, as_it_is);
        }
        // A file that cannot be told apart as planes can still be copied, image by image.
        Err(e @ (Error::Header { .. } | Error::Shape { .. } | Error::Parameter(_)))
            if args.input.layout == Layout::Auto =>
        {
            args.common.say(&format!("warning: {e}; every image is copied as one of its own"));
            InputArgs { layout: Layout::Plain, ..args.input.clone() }.open(&args.input_file)?
        }
        other => other?,
    };
    for reason in ad.left_out() {
        args.common.say(&format!("warning: not decoded, copied as it is: {reason}"));
    }
    let options = match args.pack.compression() {
        Some(compression) => options.compression(compression),
        None => options,
    };
    ad.write_with(&args.output, &options)
}
