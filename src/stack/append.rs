//! A stack that goes on night after night: sums are kept in a file, and new frames are added without the old ones being read.
//!
//! The state is a FITS file with checksums: for each extension the planes of [`Running`](crate::kernels::stack::Running) as
//! SUM, SUM_LO, BY, BY_LO, NGOOD, CERTAIN, LEVEL, DQ and DQALL; in its primary header, which is that of the first frame, what was
//! stacked how (NDASOPT), and size, time and name of every frame (NDF00001 and on). It is read in bands, its sums are compared, and a
//! new state takes its place in one step, before the result does. A frame that is in it is not added again, so a run that
//! was interrupted can be repeated as it was.

use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use rayon::prelude::*;

use super::band::identity;
use super::maps::{Map, outputs};
use super::plan::Plan;
use super::{Combine, Flavour, Level, Reject, Stack, images, read_so_far};
use crate::dtype::{DType, PixelFormat};
use crate::engine::Engine;
use crate::error::show;
use crate::fits::checksum::Sum;
use crate::fits::{FitsWriter, HduSpec, Header, ImageSpec, Layout, OpenOptions};
use crate::kernels::Kernel;
use crate::kernels::decode::{self, Decode};
use crate::kernels::stack::{Frame, Running, Total};
use crate::output::{FileSink, refuse_input};
use crate::plane::Plane;
use crate::real::Real;
use crate::tiles::{Counters, Sink, Tile};
use crate::writing::hdus_of;
use crate::{AstroData, Error, Result, Stats};

/// The form of the state.
const VERSION: i64 = 1;
/// What its frames have in common; with a number, what one is.
const OPTIONS: &str = "NDASOPT";
const FRAME: &str = "NDF";
/// As many as five digits count.
const MOST_FRAMES: usize = 99_999;
/// Planes of an extension, and what they are written as.
const PLANES: [(&str, DType); 9] = [
    ("SUM", DType::F64),
    ("SUM_LO", DType::F64),
    ("BY", DType::F64),
    ("BY_LO", DType::F64),
    ("NGOOD", DType::U32),
    ("CERTAIN", DType::U32),
    ("LEVEL", DType::U8),
    ("DQ", DType::U32),
    ("DQALL", DType::U32),
];
/// Pixels that a thread takes at once.
const PIECE: usize = 4096;
/// Pixels of a band, if there is memory for them.
const BAND: usize = 1 << 20;

/// What an earlier run kept.
struct State {
    file: AstroData,
    /// Frames that are in it.
    frames: Vec<String>,
    options: String,
}

impl Stack {
    /// Adds the frames to the sums of earlier ones, which `state` has (there need be none yet), and writes what they all come to.
    /// No earlier frame is read. Means and sums are, to the bit, those of a stack of all frames in this order; weighted means to
    /// the last digit. Frames that are in the state already are left out. For mean, wtmean and sum, without rejection, of
    /// frames with variances; factors and offsets as numbers alone. Tables and further planes are not carried. On the CPU.
    ///
    /// # Errors
    /// As [`write`](Self::write); options that sums cannot go on with; a state of other options or shapes, or one that is
    /// damaged. Then state and output stay as they were.
    pub fn append(
        &self,
        engine: &Engine,
        state: impl AsRef<Path>,
        path: impl AsRef<Path>,
        overwrite: bool,
    ) -> Result<Stats> {
        let started = Instant::now();
        let (state, path) = (state.as_ref(), path.as_ref());
        self.check_append(state, path)?;
        refuse_input(state, self.inputs.iter().filter_map(AstroData::file))?;
        let mut counters = Counters::default();
        let before = State::open(state)?;
        let names = self
            .inputs
            .iter()
            .map(|input| identity(input.path().unwrap_or(Path::new(""))))
            .collect::<Result<Vec<String>>>()?;
        let is_new = |name: &String| before.as_ref().is_none_or(|state| !state.frames.contains(name));
        let new: Vec<bool> = names.iter().map(is_new).collect();
        let known = new.iter().filter(|new| !**new).count();
        if known > 0 {
            counters.warn([format!("{known} frames are in {} already, and were left out", show(state))]);
        }
        let mut plans = self.plans_for(engine, path, &mut counters)?;
        let read_before = read_so_far(&plans).1;
        let options = self.options(&plans)?;
        if let Some(before) = &before {
            before.check(state, &options, &plans)?;
            for plan in &mut plans {
                plan.header = Header::clone(before.plane(plan.ver, 0)?.header().ok_or_else(|| damaged(state))?);
                plan.others.clear();
            }
        }
        let old = before.as_ref().map_or(&[][..], |state| &state.frames);
        let all: Vec<String> = old
            .iter()
            .cloned()
            .chain(names.into_iter().zip(&new).filter_map(|(name, new)| new.then_some(name)))
            .collect();
        if all.len() > MOST_FRAMES {
            return Err(Error::Parameter(format!("{} frames, where a state has at most {MOST_FRAMES}", all.len())));
        }
        let base = before.as_ref().map_or_else(|| self.base(), |state| bare(state.file.phu()));
        let phu = self.primary_of(base.clone(), (all.len(), &short_names(&all)), &plans);
        let result = hdus_of(phu, images(&plans), std::iter::empty());
        let mut out = FitsWriter::with_hdus(path, overwrite, result)?;
        let mut next = FitsWriter::with_hdus(state, true, state_hdus(base, &options, &all, &plans))?;
        for writer in [&mut out, &mut next] {
            writer.cancel(self.settings.cancel.clone());
        }
        let (mut first, mut negative) = (0, 0);
        let cpu = engine.twin()?;
        for (extension, plan) in plans.iter().enumerate() {
            let target = (&mut out, &mut next);
            let before = before.as_ref();
            negative += cpu.install(|| match plan.compute {
                DType::F64 => self.go_on::<f64>(plan, before, &new, target, (first, extension)),
                _ => self.go_on::<f32>(plan, before, &new, target, (first, extension)),
            })?;
            first += plan.images().len();
        }
        counters.tally.negative = negative;
        // The frames are in the state before they are in the result: a run in between can be repeated.
        next.finish()?;
        out.finish()?;
        let frames = new.iter().filter(|new| **new).count() as u64;
        Ok(Stats { frames, ..self.stats(engine, &plans, counters, (started, read_before)) })
    }

    /// Whether sums can go on with these options.
    fn check_append(&self, state: &Path, path: &Path) -> Result<()> {
        let sums = matches!(self.combine, Combine::Mean | Combine::WtMean | Combine::Sum);
        let given = |level: &Option<Level>| level.as_ref().is_none_or(|level| matches!(level, Level::Values(_)));
        let maps = self.maps.iter().all(|map| matches!(map, Map::NGood | Map::Weight));
        let refused = [
            (!sums, "append is for mean, wtmean and sum: other combinations have no sums that go on"),
            (self.reject != Reject::None, "append has no rejection: it would need the frames again"),
            (self.flavour == Flavour::Dragons, "append has no flavour dragons"),
            (self.offsets.is_some(), "append has no offsets: its grid is that of the first frames"),
            (self.is_uneven(), "append has no weights of frames, exposures and fractions of mask bits"),
            (
                !given(&self.scale) || !given(&self.zero),
                "append takes scale and zero as numbers: the frame that others are brought to is not read again",
            ),
            (!maps, "append has the maps ngood and weight alone"),
            (
                !matches!(self.frames, super::Frames::Containers),
                "append takes frames as they are: calibrate them first",
            ),
            (self.settings.compression.is_some(), "append does not compress its output; copy does, afterwards"),
            (
                matches!(self.variance_from, super::VarianceFrom::Scatter | super::VarianceFrom::Both),
                "append propagates variances, and has no scatter: it would need the frames again",
            ),
            (self.inputs.iter().any(|input| input.file().is_none()), "append is for files"),
            (state == path, "the state and the output are one file"),
        ];
        match refused.into_iter().find(|(is_so, _)| *is_so) {
            Some((_, why)) => Err(Error::Parameter(why.into())),
            None => Ok(()),
        }
    }

    /// What all frames of a state have in common, in words.
    fn options(&self, plans: &[Plan]) -> Result<String> {
        if plans.iter().any(|plan| !plan.variance) {
            let why = "append propagates variances, and a frame has none (--gain and --read-noise make one)";
            return Err(Error::Parameter(why.into()));
        }
        let plan = plans.iter().map(|plan| {
            let mask = plan.mask_out.map_or("no mask", DType::name);
            let unit = plan.unit.as_ref().map_or("no unit", |unit| unit.as_str());
            format!("{} {:?} {} in {unit}, {mask}", plan.ver, plan.shape, plan.compute.name())
        });
        let masks = if self.use_mask { self.hierarchy.describe(&Default::default()) } else { "no masks".into() };
        Ok(format!("{}; {masks}; {}", self.combine.name(), plan.collect::<Vec<_>>().join("; ")))
    }

    /// One extension: its sums, band by band, from the state to the new one, and what they come to.
    fn go_on<T: Real + Default>(
        &self,
        plan: &Plan,
        before: Option<&State>,
        new: &[bool],
        (out, next): (&mut FitsWriter, &mut FitsWriter),
        (first, extension): (usize, usize),
    ) -> Result<u64> {
        let threads = rayon::current_num_threads();
        let old = (0..PLANES.len()).map(|i| before.map(|state| state.plane(plan.ver, i)).transpose());
        let old: Vec<Option<&Plane>> = old.collect::<Result<_>>()?;
        let (planes, frames) = plan.planes();
        let frames: Vec<(usize, [Option<&Plane>; 3])> = frames
            .iter()
            .enumerate()
            .filter(|(f, _)| new[*f])
            .map(|(f, used)| (f, used.map(|i| i.map(|i| &planes[i]))))
            .collect();
        let pixel =
            Running::BYTES + threads * (2 * size_of::<T>() + 4) + 2 * Tile::<T>::bytes(outputs(&plan.products)) + 16;
        let unit = planes.iter().map(Plane::band).max().unwrap_or(1);
        let size = (self.settings.memory as usize / 2 / pixel).clamp(1, BAND).next_multiple_of(unit);
        let (targets, _) = plan.targets(first);
        let mut sums = [Sum::default(); PLANES.len()];
        let mut tile = Tile::<T>::default();
        let mut negative = 0;
        let levels = self.hierarchy.kernel();
        for start in (0..plan.pixels()).step_by(size) {
            let range = start..plan.pixels().min(start + size);
            let mut running = Running::new(range.len());
            for (i, plane) in old.iter().enumerate() {
                if let Some(plane) = plane {
                    load(&mut running, i, plane, range.clone(), &mut sums[i])?;
                }
            }
            for some in frames.chunks(threads) {
                let samples: Vec<Samples<T>> = some
                    .par_iter()
                    .map(|(f, planes)| Samples::read(*f, planes, range.clone()))
                    .collect::<Result<_>>()?;
                negative += running
                    .pieces(PIECE)
                    .into_par_iter()
                    .enumerate()
                    .map(|(k, mut piece)| {
                        let at = k * PIECE..range.len().min((k + 1) * PIECE);
                        let one = |s: &Samples<T>| {
                            let mask = if s.mask.is_empty() { &[][..] } else { &s.mask[at.clone()] };
                            let (data, variance) = (&s.data[at.clone()], &s.variance[at.clone()]);
                            piece.add(
                                Frame { data, variance, mask, affine: &plan.affine[s.frame] },
                                &levels,
                                self.combine,
                            )
                        };
                        samples.iter().map(one).sum::<u64>()
                    })
                    .sum::<u64>();
                for plane in some.iter().flat_map(|(_, planes)| planes.iter().flatten()) {
                    plane.done_with(range.clone());
                    plane.section().map_or(Ok(()), |section| section.mapping().check())?;
                }
            }
            tile.prepare(range.clone(), outputs(&plan.products));
            let Tile { data, variance, weight, mask, good, .. } = &mut tile;
            if let [piece] = &running.pieces(range.len())[..] {
                piece.total(self.combine, &mut Total { data, variance, weight, mask, good });
            }
            FileSink::new(out, targets.clone()).accept(&tile)?;
            store(&running, next, extension * PLANES.len(), range.start)?;
        }
        if let Some(before) = before {
            before.check_sums(plan.ver, &sums)?;
        }
        for section in old.iter().flatten().filter_map(|plane| plane.section()) {
            section.mapping().check()?;
        }
        Ok(negative)
    }
}

/// The samples of a frame in a band.
struct Samples<T> {
    frame: usize,
    data: Vec<T>,
    variance: Vec<T>,
    mask: Vec<u32>,
}

impl<T: Real> Samples<T> {
    fn read(frame: usize, planes: &[Option<&Plane>; 3], range: Range<usize>) -> Result<Self> {
        let reals = |plane: Option<&Plane>| -> Result<Vec<T>> {
            let mut out = vec![T::from_f32(0.0); range.len()];
            if let Some(plane) = plane {
                let format = plane.format();
                read(plane, range.clone(), &mut out, |bytes, out| Decode::<T>::cpu((&format, bytes, out)))?;
                plane.transform().apply(&mut out);
            }
            Ok(out)
        };
        Ok(Samples { frame, data: reals(planes[0])?, variance: reals(planes[1])?, mask: words(planes[2], range)? })
    }
}

/// Nothing if there is no plane.
fn words(plane: Option<&Plane>, range: Range<usize>) -> Result<Vec<u32>> {
    let Some(plane) = plane else { return Ok(Vec::new()) };
    let mut out = vec![0; range.len()];
    let format = plane.format();
    read(plane, range, &mut out, |bytes, out| decode::mask(&format, bytes, out))?;
    Ok(out)
}

/// The stored bytes of some pixels of a plane, decoded.
fn read<V>(plane: &Plane, range: Range<usize>, out: &mut [V], decode: impl FnMut(&[u8], &mut [V])) -> Result<()> {
    let mut decode = decode;
    plane.begin(range.len());
    if plane.is_plain() {
        plane.fill(range, out, decode);
        return Ok(());
    }
    let mut bytes = vec![0; range.len() * plane.format().size()];
    plane.read(range, &mut bytes)?;
    decode(&bytes, out);
    Ok(())
}

/// One plane of the state into the sums, and the sum of its bytes.
fn load(running: &mut Running, which: usize, plane: &Plane, range: Range<usize>, sum: &mut Sum) -> Result<()> {
    let size = plane.format().size();
    let mut bytes = vec![0; range.len() * size];
    plane.read(range.clone(), &mut bytes)?;
    sum.add((range.start * size) as u64, &bytes);
    let format = plane.format();
    let Running { sum, by, good, certain, level, mask, all } = running;
    match which {
        0 | 1 => Decode::<f64>::cpu((&format, &bytes, &mut sum[which])),
        2 | 3 => Decode::<f64>::cpu((&format, &bytes, &mut by[which - 2])),
        4 => decode::mask(&format, &bytes, good),
        5 => decode::mask(&format, &bytes, certain),
        6 => decode::mask(&format, &bytes, level),
        7 => decode::mask(&format, &bytes, mask),
        _ => decode::mask(&format, &bytes, all),
    }
    Ok(())
}

/// The sums to their planes in the new state.
fn store(running: &Running, next: &mut FitsWriter, first: usize, start: usize) -> Result<()> {
    let Running { sum, by, good, certain, level, mask, all } = running;
    let reals = [&sum[0], &sum[1], &by[0], &by[1]];
    for (i, plane) in reals.into_iter().enumerate() {
        let bytes: Vec<u8> = plane.iter().flat_map(|x| x.to_be_bytes()).collect();
        next.write(first + i, (start * 8) as u64, &bytes)?;
    }
    for (i, plane) in [good, certain, level, mask, all].into_iter().enumerate() {
        let (_, dtype) = PLANES[reals.len() + i];
        let mut bytes: Vec<u8> = match dtype {
            DType::U8 => plane.iter().map(|word| *word as u8).collect(),
            _ => plane.iter().flat_map(|word| word.to_ne_bytes()).collect(),
        };
        PixelFormat::native(dtype).to_disk(&mut bytes);
        next.write(first + reals.len() + i, (start * dtype.size()) as u64, &bytes)?;
    }
    Ok(())
}

/// The HDUs of a new state.
fn state_hdus(mut phu: Header, options: &str, frames: &[String], plans: &[Plan]) -> Vec<HduSpec> {
    phu.set("NDASTATE", VERSION, "sums of ndastro stack --append");
    phu.set(OPTIONS, options, "");
    for (i, frame) in frames.iter().enumerate() {
        phu.append(&format!("{FRAME}{:05}", i + 1), frame.as_str(), "");
    }
    let mut specs = Vec::new();
    for plan in plans {
        for (name, dtype) in PLANES {
            let header = if specs.len() % PLANES.len() == 0 { plan.header.clone() } else { Header::new() };
            specs.push(ImageSpec::new(name, plan.ver, &plan.shape, dtype).with_header(header));
        }
    }
    hdus_of(phu, specs, std::iter::empty())
}

/// The primary header of a state, without what makes it one.
fn bare(phu: &Header) -> Header {
    let mut header = phu.clone();
    let is_frame =
        |key: &str| key.strip_prefix(FRAME).is_some_and(|n| n.len() == 5 && n.bytes().all(|b| b.is_ascii_digit()));
    header.remove_where(|key| key == "NDASTATE" || key == OPTIONS || is_frame(key));
    header
}

/// The names alone.
fn short_names(frames: &[String]) -> Vec<String> {
    frames.iter().map(|frame| frame.splitn(3, ' ').nth(2).unwrap_or_default().to_string()).collect()
}

fn damaged(state: &Path) -> Error {
    Error::Parameter(format!("{}: it is no state of sums, or a damaged one", show(state)))
}

impl State {
    /// `None` if there is none yet.
    fn open(path: &Path) -> Result<Option<Self>> {
        if !path.try_exists().map_err(Error::io(path, "cannot look at"))? {
            return Ok(None);
        }
        let file = AstroData::open_with(path, &OpenOptions::default().layout(Layout::Plain))?;
        if file.phu().get_i64("NDASTATE") != Some(VERSION) {
            return Err(damaged(path));
        }
        let mut sum = Sum::default();
        sum.add(0, &file.phu().to_bytes());
        // All ones, in ones' complement nothing.
        if sum.value() != u32::MAX {
            return Err(Error::Parameter(format!("{}: its header is not what was written", show(path))));
        }
        let options = file.phu().get_str(OPTIONS);
        let card = |n: usize| file.phu().get_str(&format!("{FRAME}{n:05}"));
        let frames = (1..=MOST_FRAMES).map_while(card).collect();
        let options = options.ok_or_else(|| damaged(path))?;
        Ok(Some(State { file, frames, options }))
    }

    /// A plane of an extension.
    fn plane(&self, ver: i64, which: usize) -> Result<&Plane> {
        let nd = self.file.get(PLANES[which].0, ver);
        nd.map(|nd| nd.data_plane()).ok_or_else(|| damaged(self.file.path().unwrap_or(Path::new(""))))
    }

    /// Whether it is of the same options, and its headers are what was written.
    fn check(&self, path: &Path, options: &str, plans: &[Plan]) -> Result<()> {
        if self.options != options {
            return Err(Error::Parameter(format!("{}: it is of {}, and this is {options}", show(path), self.options)));
        }
        for plan in plans {
            for (i, (_, dtype)) in PLANES.iter().enumerate() {
                let plane = self.plane(plan.ver, i)?;
                if plane.shape() != plan.shape || plane.dtype() != *dtype {
                    return Err(damaged(path));
                }
            }
        }
        Ok(())
    }

    /// Whether the bytes are what was written: by the sums of the planes of an extension.
    fn check_sums(&self, ver: i64, sums: &[Sum]) -> Result<()> {
        for (i, sum) in sums.iter().enumerate() {
            let plane = self.plane(ver, i)?;
            let header = plane.header().ok_or_else(|| damaged(self.file.path().unwrap_or(Path::new(""))))?;
            let written = header.get_str("DATASUM").and_then(|text| text.trim().parse::<u32>().ok());
            let mut whole = Sum::default();
            whole.add(0, &header.to_bytes());
            // All ones, in ones' complement nothing.
            if written != Some(sum.value()) || whole.join(*sum).value() != u32::MAX {
                return Err(Error::Parameter(format!(
                    "{}: {}: its bytes are not what was written",
                    self.file.label(),
                    PLANES[i].0
                )));
            }
        }
        Ok(())
    }
}
