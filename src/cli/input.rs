//! Options of the verbs that read files.

use std::path::Path;

use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use clap::{Args, ValueEnum};

use super::parse_size;
use crate::fits::{Compression, FitsFile, Layout, Method};
use crate::{AstroData, OpenOptions, Result};

#[derive(Args, Clone)]
pub(super) struct InputArgs {
    /// How the planes of an image are named
    #[arg(long, default_value = "auto", value_name = "LAYOUT", value_parser = layouts())]
    pub layout: Layout,
    /// Most that a packed file (gzip, bzip2, compress) may unpack to [default: 256MiB, or 500 times its size to 8GiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub max_inflate: Option<u64>,
    /// Read files with read calls instead of mapping them: for network file systems
    #[arg(long)]
    pub no_mmap: bool,
}

fn layouts() -> impl TypedValueParser<Value = Layout> {
    let of = |name: String| Layout::ALL.into_iter().find(|l| l.name() == name).unwrap_or_default();
    PossibleValuesParser::new(Layout::ALL.map(Layout::name)).map(of)
}

impl InputArgs {
    fn options(&self) -> OpenOptions {
        let options = OpenOptions::default().layout(self.layout).no_mmap(self.no_mmap);
        match self.max_inflate {
            Some(bytes) => options.max_inflate(bytes),
            None => options,
        }
    }

    pub(super) fn open(&self, path: &Path) -> Result<AstroData> {
        AstroData::open_with(path, &self.options())
    }

    pub(super) fn open_file(&self, path: &Path) -> Result<FitsFile> {
        FitsFile::open_with(path, &self.options())
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum MethodArg {
    Rice,
    Gzip,
}

/// Options of the verbs that write FITS.
#[derive(Args, Clone)]
pub(super) struct PackArgs {
    /// Tile-compress the output; loses nothing
    #[arg(long, value_enum, value_name = "METHOD")]
    compress: Option<MethodArg>,
    /// With --compress: floating-point data in steps of noise / Q; loses what is below. Uncertainties keep every bit
    #[arg(long, value_name = "Q", requires = "compress", allow_hyphen_values = true, value_parser = parse_level)]
    quantize: Option<f64>,
}

impl PackArgs {
    pub(super) fn compression(&self) -> Option<Compression> {
        self.compress.map(|method| Compression {
            method: match method {
                MethodArg::Rice => Method::Rice,
                MethodArg::Gzip => Method::Gzip,
            },
            quantize: self.quantize,
        })
    }
}

fn parse_level(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(q) if q.is_finite() && q != 0.0 => Ok(q),
        _ => Err(format!("{text:?} is not a number other than 0")),
    }
}
