//! An operation window by window, for functions that need all their pixels in memory on images that are larger.
//!
//! The image is cut into boxes, each as large as `kernel` says, those at the ends smaller. The function gets the same
//! box of every input, a container as lazy as its input is, and returns a container of the shape of the box; its planes
//! are put together. One box is in memory at a time, beside the result; the inputs are never loaded. Boxes come in C
//! order, one after the other: a function that computes with an engine uses all of its threads as it is, and boxes
//! beside each other would wait for it.

use crate::nddata::NDAstroData;
use crate::pixels::Pixels;
use crate::slice::{AxisSlice, Slices};
use crate::wcs::Wcs;
use crate::window::{Places, Window};
use crate::{Error, Result};

/// The function's results for all boxes of the inputs, as one container: data, uncertainty, mask and further planes
/// where the results have them, in the types and with the unit of the first result; name, version and header of the
/// first input. A box without a mask is good, one without a further plane 0. A further plane of another shape than its
/// box is taken from the first result that has it, as it is. Later results are converted as
/// [`NDAstroData::set_section`] does.
///
/// ```
/// use ndastro::{NDAstroData, windowed_operation};
/// let nd = NDAstroData::new(ndarray::Array2::<f32>::ones((100, 70)));
/// let half = |boxes: &[NDAstroData]| Ok(NDAstroData::new(boxes[0].data()?.to_f64() / 2.0));
/// let result = windowed_operation(half, &[nd], &[32, 32])?;
/// assert_eq!(result.shape(), [100, 70]);
/// # Ok::<(), ndastro::Error>(())
/// ```
///
/// # Errors
/// There is no input, or they differ in shape; the kernel has not one length above 0 for each axis; a result has not
/// the shape of its box, has an uncertainty where the first has none or none where it has one, or does not fit the
/// types of the first; and what the function says.
pub fn windowed_operation(
    func: impl FnMut(&[NDAstroData]) -> Result<NDAstroData>,
    inputs: &[NDAstroData],
    kernel: &[usize],
) -> Result<NDAstroData> {
    let first = check(inputs, kernel)?;
    let mut result: Option<NDAstroData> = None;
    let mut others = Others::default();
    each_box(func, inputs, kernel, |window, part| {
        let mut whole = match result.take() {
            Some(whole) => whole,
            None => blank(first, &part)?,
        };
        if whole.uncertainty_kind().is_some() != part.uncertainty_kind().is_some() {
            let has = |nd: &NDAstroData| if nd.uncertainty_kind().is_some() { "has one" } else { "has none" };
            return Err(Error::Parameter(format!(
                "uncertainty of window {window}: the result {}, that of the first window {}",
                has(&part),
                has(&whole)
            )));
        }
        if let Some(mask) = part.mask_plane().filter(|_| !whole.has_mask()) {
            whole.set_mask(Some(Pixels::zeros(mask.dtype(), &whole.shape())?))?;
        }
        whole.set_section(window, &part)?;
        others.take(window, &part, first)?;
        result = Some(whole);
        Ok(())
    })?;
    let result = result.ok_or_else(|| Error::Parameter("windowed operation: there is no window".into()))?;
    Ok(others.put_into(result))
}

/// The same into a container that is there, of the shape of the inputs: each result is written as
/// [`NDAstroData::set_section`] writes it, so an uncertainty and a mask go where `result` has them, in its types.
/// Further planes are added. If it fails, some windows may have been written.
///
/// # Errors
/// As [`windowed_operation`]; `result` has another shape.
pub fn windowed_operation_into(
    func: impl FnMut(&[NDAstroData]) -> Result<NDAstroData>,
    inputs: &[NDAstroData],
    kernel: &[usize],
    result: &mut NDAstroData,
) -> Result<()> {
    let first = check(inputs, kernel)?;
    same_shape(first, result)?;
    let mut others = Others::default();
    each_box(func, inputs, kernel, |window, part| {
        result.set_section(window, &part)?;
        others.take(window, &part, first)
    })?;
    *result = others.put_into(result.clone());
    Ok(())
}

/// The first input, if all is as it must be.
fn check<'a>(inputs: &'a [NDAstroData], kernel: &[usize]) -> Result<&'a NDAstroData> {
    let Some(first) = inputs.first() else {
        return Err(Error::Parameter("windowed operation: there is no input".into()));
    };
    inputs.iter().try_for_each(|nd| same_shape(first, nd))?;
    let shape = first.shape();
    if kernel.len() != shape.len() || kernel.contains(&0) {
        return Err(Error::Parameter(format!(
            "windowed operation: kernel {kernel:?} found, one length above 0 for each axis of an image of shape {shape:?} \
             expected"
        )));
    }
    Ok(first)
}

fn same_shape(first: &NDAstroData, nd: &NDAstroData) -> Result<()> {
    let (expected, found) = (first.shape(), nd.shape());
    if expected == found {
        return Ok(());
    }
    Err(Error::Shape { what: nd.label(), expected, found, why: format!("that of the first input, {}", first.label()) })
}

/// Calls `put` with each box and what the function makes of it.
fn each_box(
    mut func: impl FnMut(&[NDAstroData]) -> Result<NDAstroData>,
    inputs: &[NDAstroData],
    kernel: &[usize],
    mut put: impl FnMut(&Window, NDAstroData) -> Result<()>,
) -> Result<()> {
    let shape = inputs.first().map(NDAstroData::shape).unwrap_or_default();
    // An axis without pixels has one box without pixels, so that the function is asked once.
    let counts: Vec<_> = shape.iter().zip(kernel).map(|(n, k)| 0..n.div_ceil(*k).max(1)).collect();
    for place in Places::new(&counts) {
        let range = |((i, n), k): ((&usize, &usize), &usize)| i * k..n.min(&(i * k).saturating_add(*k)).to_owned();
        let window = Window::new(place.iter().zip(&shape).zip(kernel).map(range));
        let parts = inputs.iter().map(|nd| nd.window(&window)).collect::<Result<Vec<_>>>()?;
        let part = func(&parts)?;
        if part.shape() != window.shape() {
            return Err(Error::Shape {
                what: "result of the windowed operation".into(),
                expected: window.shape(),
                found: part.shape(),
                why: format!("that of its window {window}"),
            });
        }
        put(&window, part)?;
    }
    Ok(())
}

/// A result for the whole image, in the types of one for a part.
fn blank(first: &NDAstroData, part: &NDAstroData) -> Result<NDAstroData> {
    let shape = first.shape();
    let mut whole = NDAstroData::new(Pixels::zeros(part.dtype(), &shape)?)
        .with_meta(first.meta().clone())
        .named(first.name().to_string(), first.ver());
    whole.set_unit(part.unit());
    // That of a part, and that of a primary header, are not in the header of the first.
    if first.is_moved() || !Wcs::is_in(first.meta()) {
        whole.set_wcs(first.wcs()?)?;
    }
    if let Some((plane, kind)) = part.uncertainty_plane() {
        whole.set_uncertainty(Some((Pixels::zeros(plane.dtype(), &shape)?, kind)))?;
    }
    Ok(whole)
}

/// The further planes, as they grow together.
#[derive(Default)]
struct Others(Vec<(String, Pixels)>);

impl Others {
    fn take(&mut self, window: &Window, part: &NDAstroData, first: &NDAstroData) -> Result<()> {
        let shape = first.shape();
        for (name, plane) in part.other_planes() {
            let stitched = plane.shape() == window.shape();
            let at = match self.0.iter().position(|(n, _)| n.eq_ignore_ascii_case(name)) {
                Some(at) => at,
                None => {
                    let whole = match stitched {
                        true => Pixels::zeros(plane.dtype(), &shape)?,
                        false => Pixels::clone(&*plane.pixels()?),
                    };
                    self.0.push((name.to_string(), whole));
                    self.0.len() - 1
                }
            };
            let whole = &mut self.0[at].1;
            if stitched && whole.shape() == shape {
                let slices: Vec<AxisSlice> = Slices::from(window).resolve(&shape)?;
                let values = plane.pixels()?.converted(whole.dtype(), &format!("{name} of window {window}"))?;
                whole.assign(&slices, &values)?;
            }
        }
        Ok(())
    }

    fn put_into(self, nd: NDAstroData) -> NDAstroData {
        self.0.into_iter().fold(nd, |nd, (name, pixels)| nd.with_other(name, pixels))
    }
}
