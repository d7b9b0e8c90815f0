//! A plane on a larger grid: where it lies there, and what is beyond it.
//!
//! Data and variances are real numbers in memory, NaN beyond, so that no sample is there; masks are words, `no_data`
//! beyond. Numbers are decoded as they are read, so nothing is held.

use std::ops::Range;

use crate::dtype::{DType, PixelFormat};
use crate::kernels::decode;
use crate::kernels::stack::NO_DATA;
use crate::plane::Plane;
use crate::real::Real;
use crate::window::Window;
use crate::{Error, Result};

/// Where an image lies on a grid: the first pixel of the image, along each axis in numpy order, and the shape of the grid.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub at: Vec<usize>,
    pub shape: Vec<usize>,
}

impl Place {
    /// Of images of these shapes and offsets against each other: the least grid that holds all of them.
    ///
    /// # Errors
    /// Another number of axes; a grid of more pixels than can be counted.
    pub(crate) fn of_all(shapes: &[Vec<usize>], offsets: &[Vec<i64>]) -> Result<Vec<Place>> {
        let axes = shapes.first().map_or(0, Vec::len);
        if shapes.iter().map(Vec::len).chain(offsets.iter().map(Vec::len)).any(|n| n != axes) {
            return Err(Error::Parameter(format!("offsets: each image and its offset must have {axes} axes")));
        }
        let too_far = || Error::Parameter("offsets: the grid that holds all images is too large".into());
        let mut first = vec![0i64; axes];
        let mut shape = vec![0usize; axes];
        for axis in 0..axes {
            let starts = offsets.iter().map(|offset| offset[axis]);
            first[axis] = starts.clone().min().unwrap_or(0);
            for (start, image) in starts.zip(shapes) {
                let from = start.checked_sub(first[axis]).and_then(|n| usize::try_from(n).ok());
                shape[axis] = shape[axis].max(from.and_then(|n| n.checked_add(image[axis])).ok_or_else(too_far)?);
            }
        }
        // Everything that is counted in bytes must be a number too.
        let pixels = shape.iter().try_fold(16usize, |n, &len| n.checked_mul(len));
        pixels.filter(|&n| isize::try_from(n).is_ok()).ok_or_else(too_far)?;
        let at = |offset: &Vec<i64>| offset.iter().zip(&first).map(|(o, f)| (o - f) as usize).collect();
        Ok(offsets.iter().map(|offset| Place { at: at(offset), shape: shape.clone() }).collect())
    }
}

/// A plane of a grid.
#[derive(Clone)]
pub(crate) struct Placed {
    inner: Plane,
    place: Place,
    format: PixelFormat,
}

/// Rows of an image that a range of the grid touches, as many numbers of the grid each, and where they go.
struct Rows {
    /// Pixels of the image, row after row.
    image: Range<usize>,
    /// For each row the pixels of it that are wanted, among those of `image`, and their place in the range.
    parts: Vec<(Range<usize>, usize)>,
}

impl Placed {
    /// Real numbers.
    pub(crate) fn reals(inner: Plane, place: Place) -> Self {
        let dtype = if inner.dtype().fits_f32() { DType::F32 } else { DType::F64 };
        Placed { inner, place, format: PixelFormat::native(dtype) }
    }

    /// Bits.
    pub(crate) fn mask(inner: Plane, place: Place) -> Self {
        let dtype = DType::of_mask(inner.format().size());
        Placed { inner, place, format: PixelFormat::native(dtype) }
    }

    pub(crate) fn inner(&self) -> &Plane {
        &self.inner
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn format(&self) -> PixelFormat {
        self.format
    }

    /// With its tiles decoded to a temporary file.
    pub(crate) fn spooled(&self) -> Result<Self> {
        Ok(Placed { inner: self.inner.spooled()?, ..self.clone() })
    }

    /// What pixels `flat` of the grid have of the image.
    fn rows(&self, flat: Range<usize>) -> Rows {
        let (shape, image) = (&self.place.shape, self.inner.shape());
        let axes = shape.len();
        let (width, own) = (shape.last().copied().unwrap_or(1).max(1), image.last().copied().unwrap_or(1));
        let left = self.place.at.last().copied().unwrap_or(0);
        let mut rows = Rows { image: 0..0, parts: Vec::new() };
        for row in flat.start / width..flat.end.div_ceil(width) {
            // The row of the image that lies here, if one does.
            let (mut rest, mut within, mut stride) = (row, Some(0usize), 1usize);
            for axis in (0..axes.saturating_sub(1)).rev() {
                let place = (rest % shape[axis]).checked_sub(self.place.at[axis]).filter(|&p| p < image[axis]);
                within = within.zip(place).map(|(w, p)| w + p * stride);
                stride *= image[axis];
                rest /= shape[axis];
            }
            let (start, end) =
                (flat.start.max(row * width) - row * width, flat.end.min((row + 1) * width) - row * width);
            let (from, to) = (start.max(left), end.min(left + own));
            if let Some(within) = within.filter(|_| from < to) {
                let pixels = within * own + from - left..within * own + to - left;
                if rows.parts.is_empty() {
                    rows.image.start = pixels.start;
                }
                rows.image.end = pixels.end;
                rows.parts.push((pixels, row * width + from - flat.start));
            }
        }
        for (pixels, _) in &mut rows.parts {
            *pixels = pixels.start - rows.image.start..pixels.end - rows.image.start;
        }
        rows
    }

    /// The numbers of pixels `flat` of a window of the grid.
    pub(crate) fn read(&self, window: &Window, flat: Range<usize>, out: &mut [u8]) -> Result<()> {
        let size = self.format.size();
        let mut at = 0;
        for run in window.runs(&self.place.shape, flat) {
            let bytes = run.len() * size;
            self.read_run(run, &mut out[at..at + bytes])?;
            at += bytes;
        }
        Ok(())
    }

    fn read_run(&self, run: Range<usize>, out: &mut [u8]) -> Result<()> {
        match self.format.stored {
            DType::F32 => self.numbers(run, out, f32::NAN, |bytes, to| self.real(bytes, to)),
            DType::F64 => self.numbers(run, out, f64::NAN, |bytes, to| self.real(bytes, to)),
            stored => {
                let format = self.inner.format();
                let words = |bytes: &[u8], to: &mut [u32]| decode::mask(&format, bytes, to);
                let mut wide = vec![0; run.len() * size_of::<u32>()];
                self.numbers(run, &mut wide, NO_DATA, words)?;
                // Little or big endian, the low bytes of each word.
                let n = stored.size();
                for (to, word) in out.chunks_exact_mut(n).zip(wide.as_chunks::<4>().0) {
                    let word = u32::from_ne_bytes(*word);
                    match n {
                        1 => to.copy_from_slice(&(word as u8).to_ne_bytes()),
                        2 => to.copy_from_slice(&(word as u16).to_ne_bytes()),
                        _ => to.copy_from_slice(&word.to_ne_bytes()),
                    }
                }
                Ok(())
            }
        }
    }

    fn real<T: Real>(&self, bytes: &[u8], to: &mut [T]) {
        decode::real(&self.inner.format(), bytes, to);
        self.inner.transform().apply(to);
    }

    /// Decoded numbers where the image is, `beyond` where it is not.
    fn numbers<V: bytemuck::Pod>(
        &self,
        run: Range<usize>,
        out: &mut [u8],
        beyond: V,
        decode: impl Fn(&[u8], &mut [V]),
    ) -> Result<()> {
        let size = size_of::<V>();
        out.chunks_exact_mut(size).for_each(|number| number.copy_from_slice(bytemuck::bytes_of(&beyond)));
        let rows = self.rows(run);
        if rows.parts.is_empty() {
            return Ok(());
        }
        self.inner.begin(rows.image.len());
        let stored = self.inner.format().size();
        let mut bytes = Vec::new();
        if !self.inner.is_plain() {
            bytes = decode::reserve_with(&[rows.image.len() * stored], 0u8)?;
            self.inner.read(rows.image.clone(), &mut bytes)?;
        }
        let mut row = Vec::new();
        for (pixels, at) in rows.parts {
            row.resize(pixels.len(), beyond);
            if bytes.is_empty() {
                let image = rows.image.start + pixels.start..rows.image.start + pixels.end;
                self.inner.fill(image, &mut row, &decode);
            } else {
                decode(&bytes[pixels.start * stored..pixels.end * stored], &mut row);
            }
            out[at * size..(at + row.len()) * size].copy_from_slice(bytemuck::cast_slice(&row));
        }
        Ok(())
    }

    /// The pixels of the image that `flat` of the whole grid touches.
    pub(crate) fn image(&self, flat: Range<usize>) -> Range<usize> {
        self.rows(flat).image
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pixels;

    /// numpy's `padded = full(shape, nan); padded[at:at+n] = image`.
    fn expected(image: &ndarray::ArrayD<f32>, place: &Place) -> Vec<f32> {
        let mut grid = ndarray::ArrayD::from_elem(place.shape.clone(), f32::NAN);
        for (index, value) in image.indexed_iter() {
            let to: Vec<usize> = (0..place.at.len()).map(|axis| index[axis] + place.at[axis]).collect();
            grid[to.as_slice()] = *value;
        }
        grid.into_raw_vec_and_offset().0
    }

    #[test]
    fn lies_where_it_was_placed_and_nowhere_else() {
        let cases: [(&[usize], &[usize], &[usize]); 6] = [
            (&[3, 4], &[0, 0], &[3, 4]),
            (&[3, 4], &[2, 1], &[7, 9]),
            (&[1, 1], &[4, 0], &[5, 3]),
            (&[5], &[3], &[11]),
            (&[2, 3, 2], &[1, 0, 2], &[4, 5, 6]),
            (&[2, 3, 2], &[0, 2, 0], &[2, 5, 2]),
        ];
        for (shape, at, grid) in cases {
            let n: usize = shape.iter().product();
            let image = ndarray::ArrayD::from_shape_vec(shape, (1..=n).map(|i| i as f32).collect()).unwrap();
            let place = Place { at: at.to_vec(), shape: grid.to_vec() };
            let expected = expected(&image, &place);
            let placed = Placed::reals(Plane::memory(Pixels::from(image)), place);
            let window = Window::full(grid);
            // Whole, and cut at every place.
            for start in 0..expected.len() {
                for end in [start + 1, (start + 7).min(expected.len()), expected.len()] {
                    let mut bytes = vec![0; (end - start) * 4];
                    placed.read(&window, start..end, &mut bytes).unwrap();
                    let found: Vec<u32> = bytes.as_chunks::<4>().0.iter().map(|b| u32::from_ne_bytes(*b)).collect();
                    let wanted: Vec<u32> = expected[start..end].iter().map(|v| v.to_bits()).collect();
                    assert_eq!(found, wanted, "{shape:?} at {at:?} of {grid:?}, pixels {start}..{end}");
                }
            }
        }
    }

    #[test]
    fn the_grid_holds_all_images() {
        let shapes = [vec![4, 5], vec![2, 9], vec![4, 5]];
        let places = Place::of_all(&shapes, &[vec![0, 0], vec![-3, 2], vec![1, -4]]).unwrap();
        assert!(places.iter().all(|p| p.shape == [8, 15]));
        assert_eq!(places.iter().map(|p| p.at.clone()).collect::<Vec<_>>(), [[3, 4], [0, 6], [4, 0]]);
        assert!(Place::of_all(&shapes, &[vec![0, 0], vec![i64::MIN, 0], vec![i64::MAX, 0]]).is_err());
        assert!(Place::of_all(&shapes, &[vec![0, 0], vec![0], vec![0, 0]]).is_err());
        assert!(Place::of_all(&shapes, &[vec![0, 0], vec![1 << 40, 0], vec![0, 1 << 40]]).is_err());
    }
}
