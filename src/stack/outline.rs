//! What a stack would take: read, uploaded, allocated, in how many tiles. Nothing is computed, and no pixel is read.

use std::fmt;

use super::plan::Plan;
use super::{Stack, read_so_far};
use crate::dtype::DType;
use crate::engine::Engine;
use crate::fits::RawHdu;
use crate::output::spools;
use crate::plane::Plane;
use crate::real::Real;
use crate::tiles::{Counters, outline};
use crate::{Error, Result};

/// What a stack would take on an engine, if it was written to a file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StackPlan {
    /// The engine, in words.
    pub engine: String,
    /// Frames of each extension.
    pub frames: usize,
    /// Host memory that was allowed, in bytes.
    pub memory: u64,
    /// One for each extension.
    pub extensions: Vec<ExtensionPlan>,
    /// Bytes of the input files that would be looked at, headers included; of compressed images it is what they unpack to.
    pub bytes_read: u64,
    /// Bytes to the device.
    pub bytes_uploaded: u64,
    /// Bytes of the pixels of the result.
    pub bytes_written: u64,
    /// Tiles in all.
    pub tiles: u64,
    /// What the user should know, one line each.
    pub warnings: Vec<String>,
}

/// What one extension would take.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ExtensionPlan {
    /// EXTVER of the result.
    pub ver: i64,
    /// numpy order.
    pub shape: Vec<usize>,
    /// f32 or f64.
    pub compute: DType,
    /// Whether the frames' variances are read.
    pub variance: bool,
    /// Whether there are masks that are used.
    pub mask: bool,
    /// Planes of the frames that are read, and bytes of their pixels.
    pub planes: usize,
    /// Bytes of pixels that would be read.
    pub bytes_read: u64,
    /// Bytes to the device.
    pub bytes_uploaded: u64,
    /// Pixels of a tile.
    pub tile_pixels: usize,
    /// Tiles.
    pub tiles: u64,
    /// Bytes of buffers on the host.
    pub host_bytes: u64,
    /// Bytes of buffers on the device.
    pub device_bytes: u64,
    /// Planes of the result.
    pub products: Vec<String>,
    /// Planes that would be decoded to temporary files first.
    pub spooled: usize,
    /// Why the CPU would do it though the engine is another.
    pub falls_back: Option<String>,
}

/// Bytes of the stored numbers of a plane that is read from a file.
fn stored(plane: &Plane) -> u64 {
    plane.bytes_in_file()
}

impl Stack {
    /// What [`write`](Self::write) would read, upload and allocate on this engine. Reads headers alone; buffers are made and
    /// dropped again, so that what is said of them is so. Levels that are statistics are not made; what they would read is
    /// said in a warning.
    ///
    /// # Errors
    /// Those that the run would begin with: frames that do not fit together, a budget that is too small.
    pub fn plan(&self, engine: &Engine) -> Result<StackPlan> {
        let mut counters = Counters::default();
        self.checked(engine)?;
        let dry = self.clone().without_statistics();
        let plans = dry.plans(engine, &mut counters)?;
        if self.has_statistics() {
            counters.warn(["levels by pixels of the frames read them once more before".to_string()]);
        }
        if self.weighs_noise() {
            counters.warn(["weights by noise read the frames once more before".to_string()]);
        }
        let mut extensions = Vec::new();
        let mut written = 0;
        for plan in &plans {
            extensions.push(match plan.compute {
                DType::F64 => self.outline::<f64>(engine, plan)?,
                _ => self.outline::<f32>(engine, plan)?,
            });
            for image in plan.images() {
                written += (image.shape.iter().product::<usize>() * image.format.size()) as u64;
            }
        }
        let planes: u64 = plans.iter().flat_map(|p| &p.others).map(|(_, plane)| stored(plane)).sum();
        let carried = planes + self.tables().map(RawHdu::carried_bytes).sum::<u64>();
        for why in extensions.iter().filter_map(|e| e.falls_back.clone()) {
            counters.warn([format!("{why}; computed on the CPU")]);
        }
        let sum = |of: fn(&ExtensionPlan) -> u64| extensions.iter().map(of).sum::<u64>();
        Ok(StackPlan {
            engine: engine.describe(),
            frames: self.inputs.len(),
            memory: self.settings.memory,
            bytes_read: read_so_far(&plans).0 + sum(|e| e.bytes_read) + carried,
            bytes_uploaded: sum(|e| e.bytes_uploaded),
            bytes_written: written,
            tiles: sum(|e| e.tiles),
            extensions,
            warnings: counters.warnings,
        })
    }

    fn outline<T: Real + Default>(&self, engine: &Engine, plan: &Plan) -> Result<ExtensionPlan> {
        let (planes, frames) = plan.planes();
        if planes.is_empty() {
            return Err(Error::Parameter("frames without pixels".into()));
        }
        let spooled = if spools(&planes, &self.settings) { planes.iter().filter(|p| !p.is_plain()).count() } else { 0 };
        let job = self.job(plan, &planes, frames);
        let outline = outline::<T>(engine, &job, self.settings.memory)?;
        let bytes_read = planes.iter().map(stored).sum();
        let products = plan.images().into_iter().map(|i| i.name.unwrap_or_default()).collect();
        Ok(ExtensionPlan {
            ver: plan.ver,
            shape: plan.shape.clone(),
            compute: plan.compute,
            variance: plan.variance,
            mask: plan.mask,
            planes: planes.len(),
            bytes_read,
            bytes_uploaded: outline.uploaded,
            tile_pixels: outline.tile_pixels,
            tiles: outline.tiles,
            host_bytes: outline.host_bytes,
            device_bytes: outline.device_bytes,
            products,
            spooled,
            falls_back: outline.falls_back,
        })
    }
}

impl StackPlan {
    /// As the command line writes it.
    pub fn to_json(&self) -> serde_json::Value {
        let extension = |e: &ExtensionPlan| {
            serde_json::json!({
                "ver": e.ver,
                "shape": e.shape,
                "compute": e.compute.name(),
                "variance": e.variance,
                "mask": e.mask,
                "planes": e.planes,
                "bytes_read": e.bytes_read,
                "bytes_uploaded": e.bytes_uploaded,
                "tile_pixels": e.tile_pixels,
                "tiles": e.tiles,
                "host_bytes": e.host_bytes,
                "device_bytes": e.device_bytes,
                "products": e.products,
                "spooled": e.spooled,
                "falls_back": e.falls_back,
            })
        };
        serde_json::json!({
            "engine": self.engine,
            "frames": self.frames,
            "memory": self.memory,
            "bytes_read": self.bytes_read,
            "bytes_uploaded": self.bytes_uploaded,
            "bytes_written": self.bytes_written,
            "tiles": self.tiles,
            "warnings": self.warnings,
            "extensions": self.extensions.iter().map(extension).collect::<Vec<_>>(),
        })
    }
}

fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

impl fmt::Display for StackPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "engine    {}", self.engine)?;
        writeln!(f, "frames    {}, {} extensions", self.frames, self.extensions.len())?;
        writeln!(f, "read      {} ({} bytes)", size(self.bytes_read), self.bytes_read)?;
        writeln!(f, "uploaded  {}", size(self.bytes_uploaded))?;
        writeln!(f, "written   {}", size(self.bytes_written))?;
        write!(f, "tiles     {} in a budget of {}", self.tiles, size(self.memory))?;
        for e in &self.extensions {
            let of = |yes: bool, what| if yes { what } else { "" };
            write!(
                f,
                "\nextension {}: {:?} in {}, {} planes{}{}, {} tiles of {} pixels, buffers {} on the host",
                e.ver,
                e.shape,
                e.compute,
                e.planes,
                of(e.variance, " with variances"),
                of(e.mask, " and masks"),
                e.tiles,
                e.tile_pixels,
                size(e.host_bytes),
            )?;
            if e.device_bytes > 0 {
                write!(f, ", {} on the device", size(e.device_bytes))?;
            }
            write!(f, "\n          -> {}", e.products.join(", "))?;
            if e.spooled > 0 {
                write!(f, "\n          {} compressed planes go to temporary files first", e.spooled)?;
            }
        }
        for warning in &self.warnings {
            write!(f, "\nwarning: {warning}")?;
        }
        Ok(())
    }
}
