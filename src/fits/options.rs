//! What can be said when a file is opened.

use super::Layout;

/// How a file is opened.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct OpenOptions {
    /// How the planes of an image are named.
    pub layout: Layout,
    /// Bytes that a packed file (gzip, bzip2, compress) may unpack to; without it 256 MiB, or 500 times its own size to
    /// 8 GiB.
    pub max_inflate: Option<u64>,
    /// Read with a descriptor that is opened for each read, instead of through a mapping: for network file systems.
    pub no_mmap: bool,
}

impl OpenOptions {
    /// With a layout.
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// With a limit for what a packed file may unpack to, in bytes.
    pub fn max_inflate(mut self, bytes: u64) -> Self {
        self.max_inflate = Some(bytes);
        self
    }

    /// Without mapping the file, or with.
    pub fn no_mmap(mut self, yes: bool) -> Self {
        self.no_mmap = yes;
        self
    }
}
