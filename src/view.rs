//! A view: which pixels of a source a plane is, and in which order. Windows, steps, numbers that drop an axis, transposes
//! and broadcasts all are views, and so are views of them.

use std::ops::Range;

use crate::slice::AxisSlice;
use crate::window::{Runs, Window, cover};
use crate::{Error, Result};

/// One axis of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Axis {
    /// The axis of the source that it runs along; `None` if it repeats what there is.
    along: Option<usize>,
    step: isize,
    len: usize,
}

/// Pixels of an array of shape `source`, as an array of another shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    source: Vec<usize>,
    /// Place of the first pixel.
    first: Vec<usize>,
    axes: Vec<Axis>,
    /// The box of the source that holds all pixels. If the view is plain, they are its pixels in C order.
    window: Window,
    plain: bool,
}

impl View {
    /// All of an array of this shape.
    pub(crate) fn full(shape: &[usize]) -> Self {
        let axes = shape.iter().enumerate().map(|(i, &len)| Axis { along: Some(i), step: 1, len }).collect();
        Self::new(shape.to_vec(), vec![0; shape.len()], axes)
    }

    fn new(source: Vec<usize>, first: Vec<usize>, axes: Vec<Axis>) -> Self {
        let empty = axes.iter().any(|a| a.len == 0);
        let mut ranges: Vec<Range<usize>> = first.iter().map(|&i| i..i + 1).collect();
        for axis in &axes {
            let Some(i) = axis.along else { continue };
            let last = (first[i] as isize + axis.step * (axis.len.max(1) - 1) as isize) as usize;
            ranges[i] = first[i].min(last)..first[i].max(last) + 1;
            if axis.len == 0 {
                ranges[i] = first[i]..first[i];
            }
        }
        // Order and sense of the axes that have more than one place.
        let mut walk = axes.iter().filter(|a| a.len != 1);
        let mut boxed = (0..source.len()).filter(|&i| ranges[i].len() != 1);
        let same = loop {
            match (walk.next(), boxed.next()) {
                (None, None) => break true,
                (Some(a), Some(i)) if a.along == Some(i) && (a.step == 1 || a.len == 0) => {}
                _ => break false,
            }
        };
        View { source, first, axes, window: Window::new(ranges), plain: same || empty }
    }

    /// numpy order.
    pub(crate) fn shape(&self) -> Vec<usize> {
        self.axes.iter().map(|a| a.len).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.axes.iter().map(|a| a.len).product()
    }

    /// The box of the source that holds all pixels.
    pub(crate) fn window(&self) -> &Window {
        &self.window
    }

    /// Whether the pixels are those of [`window`](Self::window) in C order.
    pub(crate) fn is_plain(&self) -> bool {
        self.plain
    }

    /// The view of this one. One slice an axis, each within its length.
    pub(crate) fn sliced(&self, slices: &[AxisSlice]) -> Self {
        let mut first = self.first.clone();
        let mut axes = Vec::new();
        for (axis, slice) in self.axes.iter().zip(slices) {
            let start = match *slice {
                AxisSlice::Range { start, .. } => start,
                AxisSlice::Index(at) => at,
            };
            if let Some(i) = axis.along {
                first[i] = (first[i] as isize + axis.step * start as isize) as usize;
            }
            if let AxisSlice::Range { step, len, .. } = *slice {
                // One place has no step: views that take the same pixels are equal.
                let step = if len > 1 { axis.step.saturating_mul(step) } else { 1 };
                axes.push(Axis { step, len, ..*axis });
            }
        }
        Self::new(self.source.clone(), first, axes)
    }

    /// With its axes in this order, each once.
    pub(crate) fn transposed(&self, order: &[usize]) -> Self {
        Self::new(self.source.clone(), self.first.clone(), order.iter().map(|&i| self.axes[i]).collect())
    }

    /// Repeated to a shape by numpy's rules: axes that are missing are put in front, those of one place repeat it.
    ///
    /// # Errors
    /// The shapes do not go together.
    pub(crate) fn broadcast(&self, shape: &[usize]) -> Result<Self> {
        let own = self.shape();
        let missing = shape.len().checked_sub(own.len());
        let fits = missing.is_some_and(|m| own.iter().zip(&shape[m..]).all(|(&a, &b)| a == b || a == 1));
        let Some(missing) = missing.filter(|_| fits) else {
            return Err(Error::Shape {
                what: "operand".into(),
                expected: shape.to_vec(),
                found: own,
                why: "or one that repeats to it".into(),
            });
        };
        let repeat = |len: usize| Axis { along: None, step: 1, len };
        let stretch = |(a, &len): (&Axis, &usize)| if a.len == len { *a } else { repeat(len) };
        let axes = shape[..missing].iter().map(|&len| repeat(len));
        let axes = axes.chain(self.axes.iter().zip(&shape[missing..]).map(stretch)).collect();
        Ok(Self::new(self.source.clone(), self.first.clone(), axes))
    }

    /// First pixel in the source, if all are one run there.
    pub(crate) fn contiguous(&self) -> Option<usize> {
        if self.plain { self.window.contiguous(&self.source) } else { None }
    }

    /// The runs of the source that pixels `flat` of a plain view are.
    pub(crate) fn runs(&self, flat: Range<usize>) -> Runs {
        self.window.runs(&self.source, flat)
    }

    /// Bytes of pixels `flat`, taken one by one out of those of the source.
    pub(crate) fn gather(&self, source: &[u8], size: usize, flat: Range<usize>, out: &mut [u8]) {
        let mut stride = vec![1isize; self.source.len()];
        for i in (1..self.source.len()).rev() {
            stride[i - 1] = stride[i] * self.source[i] as isize;
        }
        let base: isize = self.first.iter().zip(&stride).map(|(&f, &s)| f as isize * s).sum();
        let strides: Vec<isize> = self.axes.iter().map(|a| a.along.map_or(0, |i| stride[i] * a.step)).collect();
        let (row, along) = (self.axes.last().map_or(1, |a| a.len), strides.last().copied().unwrap_or(0));
        let outer = self.axes.len().saturating_sub(1);
        let mut at = flat.start;
        let mut out = out;
        while at < flat.end {
            let (mut line, within) = (at / row, at % row);
            let n = (row - within).min(flat.end - at);
            let mut start = base + along * within as isize;
            for (axis, stride) in self.axes[..outer].iter().zip(&strides).rev() {
                start += stride * (line % axis.len) as isize;
                line /= axis.len;
            }
            let (piece, rest) = std::mem::take(&mut out).split_at_mut(n * size);
            if along == 1 {
                let first = start as usize * size;
                piece.copy_from_slice(&source[first..first + n * size]);
            } else {
                match size {
                    1 => scatter::<1>(source, start, along, piece),
                    2 => scatter::<2>(source, start, along, piece),
                    4 => scatter::<4>(source, start, along, piece),
                    _ => scatter::<8>(source, start, along, piece),
                }
            }
            (out, at) = (rest, at + n);
        }
    }

    /// A small box of the source that holds pixels `flat`, and this part of the view as a view of the box alone, in
    /// which pixel `flat.start` is the one that is returned.
    pub(crate) fn boxed(&self, flat: &Range<usize>) -> (Window, View, usize) {
        let shape = self.shape();
        let ranges = cover(&shape, flat);
        let corner = ranges.iter().zip(&shape).fold(0, |at, (r, n)| at * n + r.start);
        let range = |r: &Range<usize>| AxisSlice::Range { start: r.start, step: 1, len: r.len() };
        let part = self.sliced(&ranges.iter().map(range).collect::<Vec<_>>());
        let window = part.window.clone();
        let first = part.first.iter().zip(window.ranges()).map(|(f, r)| f - r.start).collect();
        (window.clone(), View::new(window.shape(), first, part.axes), flat.start - corner)
    }
}

/// Numbers of `N` bytes that lie `along` numbers apart, next to each other.
fn scatter<const N: usize>(source: &[u8], start: isize, along: isize, out: &mut [u8]) {
    let mut at = start * N as isize;
    for number in out.chunks_exact_mut(N) {
        number.copy_from_slice(&source[at as usize..at as usize + N]);
        at += along * N as isize;
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, ArrayViewD, Axis as NdAxis, IxDyn, Slice as NdSlice};
    use proptest::prelude::*;

    use super::*;
    use crate::slice::Slices;

    fn taken(view: &View, source: &ArrayD<u16>, flat: Range<usize>) -> Vec<u16> {
        let bytes: &[u8] = bytemuck::cast_slice(source.as_slice().unwrap());
        let mut out = vec![0u16; flat.len()];
        view.gather(bytes, 2, flat.clone(), bytemuck::cast_slice_mut(&mut out));
        if view.is_plain() {
            let runs: Vec<u16> = view.runs(flat.clone()).flatten().map(|i| source.as_slice().unwrap()[i]).collect();
            assert_eq!(runs, out, "{view:?}");
        }
        if !flat.is_empty() {
            let (window, part, first) = view.boxed(&flat);
            let ranges = window.ranges();
            let cut = source.slice_each_axis(|a| NdSlice::from(ranges[a.axis.index()].clone()));
            let cut = cut.as_standard_layout().into_owned();
            let mut again = vec![0u16; flat.len()];
            let bytes = bytemuck::cast_slice(cut.as_slice().unwrap());
            part.gather(bytes, 2, first..first + flat.len(), bytemuck::cast_slice_mut(&mut again));
            assert_eq!(again, out, "{view:?} through {window}");
        }
        out
    }

    /// The same step on a view and on ndarray's.
    fn step<'a>(
        view: View,
        array: ArrayViewD<'a, u16>,
        kind: u8,
        axis: usize,
        numbers: [isize; 3],
    ) -> (View, ArrayViewD<'a, u16>) {
        let axis = axis % view.axes.len().max(1);
        if view.axes.is_empty() {
            return (view, array);
        }
        let [a, b, c] = numbers;
        match kind {
            0 => {
                let mut order: Vec<usize> = (0..view.axes.len()).collect();
                order.rotate_left(axis);
                (view.transposed(&order), array.permuted_axes(order))
            }
            1 if view.axes[axis].len > 0 => {
                let at = a.rem_euclid(view.axes[axis].len as isize) as usize;
                let mut slices: Vec<crate::Slice> = vec![crate::Slice::ALL; axis];
                slices.push(at.into());
                let resolved = Slices::from(slices).resolve(&view.shape()).unwrap();
                (view.sliced(&resolved), array.index_axis_move(NdAxis(axis), at))
            }
            _ => {
                let step = if c == 0 { 1 } else { c };
                let mut slices: Vec<crate::Slice> = vec![crate::Slice::ALL; axis];
                slices.push(crate::Slice::Span { start: Some(a), stop: Some(b), step });
                let resolved = Slices::from(slices).resolve(&view.shape()).unwrap();
                let AxisSlice::Range { start, step, len } = resolved[axis] else { unreachable!() };
                let mut array = array;
                // ndarray turns a range round after it cut it; here the places say it all.
                let ends = [start as isize, start as isize + step * (len as isize - 1)];
                let (low, high) = (ends[0].min(ends[1]), ends[0].max(ends[1]) + 1);
                let range = if len == 0 { 0..0 } else { low..high };
                array.slice_axis_inplace(NdAxis(axis), NdSlice::new(range.start, Some(range.end), step));
                (view.sliced(&resolved), array)
            }
        }
    }

    proptest! {
        #[test]
        fn views_of_views_are_what_ndarray_has(
            shape in prop::collection::vec(1usize..6, 1..4),
            steps in prop::collection::vec((0u8..4, 0usize..3, [-7isize..7, -7isize..7, -3isize..4]), 0..4),
        ) {
            let n: usize = shape.iter().product();
            let source = ArrayD::from_shape_vec(IxDyn(&shape), (0..n as u16).collect()).unwrap();
            let (mut view, mut array) = (View::full(&shape), source.view());
            for (kind, axis, numbers) in steps {
                (view, array) = step(view, array, kind, axis, numbers);
            }
            prop_assert_eq!(view.shape(), array.shape());
            let want: Vec<u16> = array.iter().copied().collect();
            prop_assert_eq!(view.len(), want.len());
            for start in 0..=want.len() {
                for end in start..=want.len() {
                    prop_assert_eq!(&taken(&view, &source, start..end), &want[start..end]);
                }
            }
            let mut wide = vec![2];
            wide.extend(view.shape());
            let repeated = array.broadcast(IxDyn(&wide)).unwrap();
            let view = view.broadcast(&wide).unwrap();
            let want: Vec<u16> = repeated.iter().copied().collect();
            prop_assert_eq!(taken(&view, &source, 0..want.len()), want);
        }
    }

    #[test]
    fn windows_stay_plain() {
        let view = View::full(&[5, 6, 7]);
        let part = view.sliced(&Slices::from((1..3, 2..4, 0..7)).resolve(&[5, 6, 7]).unwrap());
        assert!(part.is_plain() && part.shape() == [2, 2, 7]);
        let dropped = part.sliced(&"1".parse::<Slices>().unwrap().resolve(&[2, 2, 7]).unwrap());
        assert!(dropped.is_plain() && dropped.contiguous() == Some(2 * 42 + 2 * 7));
        assert!(!view.transposed(&[2, 1, 0]).is_plain());
        let row = View::full(&[1, 7]);
        assert!(row.transposed(&[1, 0]).is_plain());
        assert!(!row.broadcast(&[3, 7]).unwrap().is_plain());
        assert_eq!(row.broadcast(&[2, 3]).unwrap_err().to_string().matches("[1, 7]").count(), 1);
    }
}
