//! How the stored numbers of planes reach the device: as they are, through a table, or decoded by the host.

use std::ops::Range;

use crate::Result;
use crate::dtype::{DType, PixelFormat};
use crate::kernels::decode;
use crate::kernels::stack::wgsl::Block;
use crate::plane::{Plane, Transform};
use crate::real::Real;
use crate::tiles::Job;

/// How the stored numbers of one plane reach the device.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Upload {
    /// Type as the device sees it.
    pub stored: DType,
    pub constants: decode::Constants,
    /// Low and high word of BLANK.
    pub blank: [u32; 2],
    /// f32 bits by stored 8- or 16-bit number.
    pub table: Vec<u32>,
    /// Decoded by the host; arrives as native numbers of the compute type.
    host: bool,
}

impl Upload {
    fn mask(plane: &Plane) -> Self {
        Upload::raw(&plane.format())
    }

    fn raw(format: &PixelFormat) -> Self {
        let blank = format.blank.unwrap_or_default() as u64;
        let constants = decode::Constants {
            stored: format.stored,
            swap: format.big_endian != cfg!(target_endian = "big"),
            flip: format.flipped().is_some(),
            lookup: false,
            has_blank: format.blank.is_some(),
        };
        // 32-bit numbers are loaded without a high word.
        let high = if format.size() == 8 { (blank >> 32) as u32 } else { 0 };
        Upload { stored: format.stored, constants, blank: [blank as u32, high], table: Vec::new(), host: false }
    }

    fn of(plane: &Plane, sample: Sample) -> Self {
        match sample {
            Sample::F32 => Upload::values::<f32>(plane),
            Sample::F64 => Upload::values::<f64>(plane),
            Sample::Mask => Upload::mask(plane),
        }
    }

    fn values<T: Real>(plane: &Plane) -> Self {
        let format = &plane.format();
        if plane.transform() != Transform::None {
            return Upload { host: true, ..Self::raw(&PixelFormat::native(T::DTYPE)) };
        }
        let exact = format.is_plain() || format.flipped().is_some();
        match format.stored {
            DType::U8 | DType::I16 if T::DTYPE == DType::F32 && (!exact || format.blank.is_some()) => {
                let mut upload = Self::raw(format);
                upload.constants.lookup = true;
                upload.table = table(format);
                upload
            }
            DType::U8 | DType::I8 | DType::I16 | DType::U16 if exact && format.blank.is_none() => Self::raw(format),
            DType::F32 if exact => Self::raw(format),
            DType::I32 | DType::U32 | DType::I64 | DType::U64 | DType::F64 if exact && T::DTYPE == DType::F64 => {
                Self::raw(format)
            }
            _ => Upload { host: true, ..Self::raw(&PixelFormat::native(T::DTYPE)) },
        }
    }
}

/// Values of all stored 8- or 16-bit numbers, as f32 bits in the order of their bits.
fn table(format: &PixelFormat) -> Vec<u32> {
    let n = 1usize << (8 * format.size());
    let bytes: Vec<u8> = (0..n)
        .flat_map(|i| {
            let number = (i as u16).to_be_bytes();
            let mut number = if n == 256 { vec![number[1]] } else { number.to_vec() };
            if !format.big_endian && cfg!(target_endian = "little") {
                number.reverse();
            }
            number
        })
        .collect();
    let mut values = vec![0f32; n];
    decode::real(format, &bytes, &mut values);
    values.iter().map(|v| v.to_bits()).collect()
}

/// What the numbers of a plane become on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sample {
    F32,
    F64,
    Mask,
}

impl Sample {
    pub(super) fn real<T: Real>() -> Self {
        if T::DTYPE == DType::F64 { Sample::F64 } else { Sample::F32 }
    }

    pub(super) fn size(self) -> usize {
        if self == Sample::F64 { 8 } else { 4 }
    }

    /// In `shaders/decode.wgsl`.
    pub(super) fn entry(self) -> &'static str {
        match self {
            Sample::F32 => "decode_f32",
            Sample::F64 => "decode_f64",
            Sample::Mask => "decode_mask",
        }
    }
}

/// Planes that lie one after the other on the device.
pub(super) struct CubePlan {
    /// Inputs of the job; `None` where a frame has no such plane.
    pub planes: Vec<Option<(usize, Upload)>>,
    pub sample: Sample,
    /// Bytes a pixel in the raw buffer: of the widest plane.
    pub width: usize,
    /// The kernel reads the raw bytes, all of this form; nothing is decoded before.
    pub direct: Option<decode::Constants>,
    /// Planes that the raw buffer has room for.
    pub room: usize,
}

impl CubePlan {
    pub(super) fn new(job: &Job<'_>, inputs: impl Iterator<Item = Option<usize>>, sample: Sample) -> Self {
        let planes: Vec<_> = inputs.map(|i| i.map(|i| (i, Upload::of(job.inputs[i], sample)))).collect();
        let width = planes.iter().flatten().map(|(_, u)| u.stored.size()).max().unwrap_or(1);
        let room = planes.len();
        CubePlan { planes, sample, width, direct: None, room }
    }

    /// Left as they are, for a kernel that reads raw bytes, if all planes are there and alike, and need neither a table nor
    /// 64 bits.
    pub(super) fn raw_if_alike(self) -> Self {
        let form = |plane: &Option<(usize, Upload)>| plane.as_ref().map(|(_, upload)| upload.constants);
        let first = self.planes.first().and_then(form);
        let alike = self.planes.iter().all(|plane| form(plane) == first);
        let fits = |c: &decode::Constants| self.sample != Sample::F64 && !c.lookup;
        CubePlan { direct: first.filter(|c| alike && fits(c)), ..self }
    }

    /// Whether staging memory takes all stored bytes as they are, from where they are mapped.
    pub(super) fn is_copied(&self, job: &Job<'_>) -> bool {
        let is = |(input, upload): &(usize, Upload)| !upload.host && job.inputs[*input].is_plain();
        self.planes.is_empty() || (self.direct.is_some() && self.planes.iter().flatten().all(is))
    }

    /// Brings the bytes of some pixels to the staging memory that begins with them, in blocks. They are
    /// [copied](Self::is_copied).
    pub(super) fn stage_in_blocks(
        &self,
        job: &Job<'_>,
        view: &mut wgpu::BufferViewMut,
        range: &Range<usize>,
        block: Block,
    ) {
        let inputs: Vec<&Plane> = self.planes.iter().flatten().map(|(input, _)| job.inputs[*input]).collect();
        let groups = block.groups(inputs.len());
        for (group, inputs) in inputs.chunks(block.frames).enumerate() {
            let mut gathered = vec![Vec::new(); inputs.len()];
            let planes: Vec<&[u8]> = inputs
                .iter()
                .zip(&mut gathered)
                .map(|(plane, gathered)| {
                    plane.slice(range.clone()).unwrap_or_else(|| {
                        plane.pieces(range.clone(), |bytes| gathered.extend_from_slice(bytes));
                        gathered
                    })
                })
                .collect();
            match (block.frames, block.lane * self.width) {
                (1, 4) => copy_group::<4, 1>(view, &planes, (group, groups)),
                (1, 8) => copy_group::<8, 1>(view, &planes, (group, groups)),
                (1, 16) => copy_group::<16, 1>(view, &planes, (group, groups)),
                (4, 1) => copy_group::<1, 4>(view, &planes, (group, groups)),
                (4, 2) => copy_group::<2, 4>(view, &planes, (group, groups)),
                (4, 4) => copy_group::<4, 4>(view, &planes, (group, groups)),
                other => unreachable!("no kernel reads {other:?}"),
            }
        }
    }

    /// How a kernel reads them.
    pub(super) fn as_read(&self) -> decode::Constants {
        match self.sample {
            Sample::Mask => self.direct.unwrap_or(decode::Constants::MASKS),
            Sample::F32 | Sample::F64 => self.direct.unwrap_or(decode::Constants::VALUES),
        }
    }

    /// Bytes a pixel of the decoded samples.
    pub(super) fn sample_size(&self) -> usize {
        if self.direct.is_some() { 0 } else { self.sample.size() }
    }

    /// Bytes of a plane of `pixels` in the raw buffer: whole words.
    pub(super) fn stride(&self, pixels: usize) -> usize {
        (self.width * pixels).next_multiple_of(8)
    }
}

/// Copies the pixels of up to `F` frames, of which a lane has `N` bytes in each, as one group of so many. Where there is no
/// more frame, and beyond the last pixel, lies what nobody reads.
fn copy_group<const N: usize, const F: usize>(
    view: &mut wgpu::BufferViewMut,
    planes: &[&[u8]],
    (group, groups): (usize, usize),
) {
    const LANES: usize = Block::LANES;
    let (mut to, _) = view.slice(..).into_chunks::<N>().0.into_chunks::<F>();
    let plane = |f: usize| planes[f.min(planes.len() - 1)];
    let whole: [&[[[u8; N]; LANES]]; F] = std::array::from_fn(|f| plane(f).as_chunks::<N>().0.as_chunks().0);
    let blocks = whole[0].len();
    let mut put = |block: usize, lanes: [&[[u8; N]; LANES]; F]| {
        let at = (block * groups + group) * LANES;
        to.slice(at..at + LANES).write_iter((0..LANES).map(|lane| lanes.map(|frame| frame[lane])));
    };
    for block in 0..blocks {
        put(block, whole.map(|plane| &plane[block]));
    }
    let rest: [&[u8]; F] = std::array::from_fn(|f| &plane(f)[blocks * N * LANES..]);
    if !rest[0].is_empty() {
        let mut last = [[[0; N]; LANES]; F];
        for (last, rest) in last.iter_mut().zip(rest) {
            last.as_flattened_mut()[..rest.len()].copy_from_slice(rest);
        }
        put(blocks, last.each_ref());
    }
}

/// The bytes of one plane of one frame, as the device wants them.
pub(super) fn stage(
    view: &mut wgpu::BufferViewMut,
    upload: &Upload,
    plane: &Plane,
    range: &Range<usize>,
) -> Result<()> {
    let format = plane.format();
    let mut decoded = Vec::new();
    if !plane.is_plain() {
        decoded.resize(range.len() * format.size(), 0);
        plane.read(range.clone(), &mut decoded)?;
    }
    if upload.host {
        return match upload.stored {
            DType::F64 => by_host::<f64>(view, plane, range, &decoded),
            _ => by_host::<f32>(view, plane, range, &decoded),
        };
    }
    let mut at = 0;
    let mut copy = |bytes: &[u8]| {
        view.slice(at..at + bytes.len()).copy_from_slice(bytes);
        at += bytes.len();
    };
    if decoded.is_empty() {
        plane.pieces(range.clone(), copy)
    } else {
        copy(&decoded)
    }
    Ok(())
}

/// What the host decodes. `decoded` are the stored bytes, unless they lie in the plane as they are.
fn by_host<T: Real + Default>(
    view: &mut wgpu::BufferViewMut,
    plane: &Plane,
    range: &Range<usize>,
    decoded: &[u8],
) -> Result<()> {
    let format = plane.format();
    let mut values = vec![T::default(); range.len()];
    if decoded.is_empty() {
        plane.fill(range.clone(), &mut values, |bytes, out| decode::real(&format, bytes, out));
    } else {
        decode::real(&format, decoded, &mut values);
    }
    plane.transform().apply(&mut values);
    let bytes: &[u8] = bytemuck::cast_slice(&values);
    view.slice(..bytes.len()).copy_from_slice(bytes);
    Ok(())
}
