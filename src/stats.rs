//! What a run did, for `--stats` and for people.

use crate::stack::Skipped;

/// Counts and times of one run.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// "cpu" or "gpu".
    pub engine: &'static str,
    /// Name of the adapter.
    pub adapter: Option<String>,
    /// Wall time of the run, opening of files not counted.
    pub seconds: f64,
    /// Bytes of the input files that were looked at, headers included.
    pub bytes_read: u64,
    /// Bytes to the device.
    pub bytes_uploaded: u64,
    /// Bytes from the device.
    pub bytes_downloaded: u64,
    /// Tiles computed.
    pub tiles: u64,
    /// Frames stacked.
    pub frames: u64,
    /// Pixels of the result, over all extensions.
    pub pixels: u64,
    /// Samples rejected by statistics.
    pub rejected: u64,
    /// Largest anonymous resident memory of this process seen after any tile; mapped files do not count.
    pub peak_host_bytes: u64,
    /// Bytes of device buffers. On a software adapter they are part of the host's.
    pub peak_device_bytes: u64,
    /// What the device spent on it, where it has a clock.
    pub device_seconds: Option<DeviceSeconds>,
    /// By what the frames of a stack were scaled, shifted and weighted, for each extension; empty if they were not.
    pub factors: Vec<Factors>,
    /// Frames that were left out, in their order; see [`Stack::files_skipping`](crate::Stack::files_skipping).
    pub skipped: Vec<Skipped>,
    /// What the user should know, one line each.
    pub warnings: Vec<String>,
}

/// The factors and the offsets of the frames of one extension, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Factors {
    /// EXTVER of the extension.
    pub extver: i64,
    /// One for each frame.
    pub scale: Vec<f64>,
    /// In data units, added after the factor.
    pub zero: Vec<f64>,
    /// Weights; empty if frames have none.
    pub weight: Vec<f64>,
}

/// Seconds by the device's clock, over all tiles. Tiles overlap, so they can come to more than the run took; what the host
/// needs to fill staging memory and to take results from it is not in them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DeviceSeconds {
    /// Copies from staging memory; 0 where kernels read that.
    pub upload: f64,
    /// Decoding and computing.
    pub kernels: f64,
    /// Copies to memory that the host can read.
    pub readback: f64,
}

impl std::ops::AddAssign for DeviceSeconds {
    fn add_assign(&mut self, other: Self) {
        self.upload += other.upload;
        self.kernels += other.kernels;
        self.readback += other.readback;
    }
}

impl Stats {
    /// As the command line writes it; `device_seconds` is there only if the device has a clock, `factors` and `skipped` if
    /// there are any.
    pub fn to_json(&self) -> serde_json::Value {
        let mut json = serde_json::json!({
            "engine": self.engine,
            "adapter": self.adapter,
            "seconds": self.seconds,
            "bytes_read": self.bytes_read,
            "bytes_uploaded": self.bytes_uploaded,
            "bytes_downloaded": self.bytes_downloaded,
            "tiles": self.tiles,
            "frames": self.frames,
            "pixels": self.pixels,
            "rejected": self.rejected,
            "peak_host_bytes": self.peak_host_bytes,
            "peak_device_bytes": self.peak_device_bytes,
        });
        if let Some(DeviceSeconds { upload, kernels, readback }) = self.device_seconds {
            json["device_seconds"] = serde_json::json!({ "upload": upload, "kernels": kernels, "readback": readback });
        }
        if !self.factors.is_empty() {
            let one = |f: &Factors| {
                let mut one = serde_json::json!({ "extver": f.extver, "scale": f.scale, "zero": f.zero });
                if !f.weight.is_empty() {
                    one["weight"] = f.weight.clone().into();
                }
                one
            };
            json["factors"] = self.factors.iter().map(one).collect();
        }
        if !self.skipped.is_empty() {
            let one = |s: &Skipped| serde_json::json!({ "path": s.path.to_string_lossy(), "why": s.why });
            json["skipped"] = self.skipped.iter().map(one).collect();
        }
        json
    }
}
