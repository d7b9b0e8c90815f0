//! A window: half-open ranges, one per axis, numpy order (slowest axis first), counted from 0.

use std::fmt;
use std::ops::Range;

use crate::{Error, Result};

/// A box of pixels. `[10..20, 0..100]` is rows 10 to 19, columns 0 to 99.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window(Vec<Range<usize>>);

impl Window {
    /// From one range per axis.
    pub fn new(ranges: impl IntoIterator<Item = Range<usize>>) -> Self {
        Window(ranges.into_iter().collect())
    }

    /// All of an image of this shape.
    pub fn full(shape: &[usize]) -> Self {
        Window(shape.iter().map(|&n| 0..n).collect())
    }

    /// The ranges, slowest axis first.
    pub fn ranges(&self) -> &[Range<usize>] {
        &self.0
    }

    /// Pixels along each axis.
    pub fn shape(&self) -> Vec<usize> {
        self.0.iter().map(|r| r.len()).collect()
    }

    /// Number of pixels.
    pub fn len(&self) -> usize {
        self.0.iter().map(|r| r.len()).product()
    }

    /// Whether there is no pixel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks that this window lies in an image of `shape`: as many axes, no end beyond.
    pub fn check(&self, shape: &[usize]) -> Result<()> {
        let fits =
            self.0.len() == shape.len() && self.0.iter().zip(shape).all(|(r, &n)| r.start <= r.end && r.end <= n);
        if fits {
            Ok(())
        } else {
            Err(Error::Window { what: "image".into(), window: self.to_string(), shape: shape.to_vec() })
        }
    }

    /// The window `inner` of this window, in the coordinates of what this is a window of.
    pub fn within(&self, inner: &Window) -> Result<Window> {
        inner.check(&self.shape())?;
        Ok(Window(self.0.iter().zip(&inner.0).map(|(o, i)| o.start + i.start..o.start + i.end).collect()))
    }

    /// First pixel of this window in an image of shape `parent`, if the window is one run of pixels.
    pub(crate) fn contiguous(&self, parent: &[usize]) -> Option<usize> {
        // After the first axis of more than one place all must be whole.
        let lead = self.0.iter().take_while(|r| r.len() == 1).count() + 1;
        let whole = self.0.iter().zip(parent).skip(lead).all(|(r, &n)| r.len() == n);
        whole.then(|| self.0.iter().zip(parent).fold(0, |at, (r, &n)| at * n + r.start))
    }

    /// The runs of consecutive pixels in an image of shape `parent` that make up pixels `flat` of this window
    /// (counted in C order). Each run is as long as the window allows: whole axes merge.
    pub(crate) fn runs(&self, parent: &[usize], flat: Range<usize>) -> Runs {
        let rank = self.0.len();
        // Axes from `split` on are whole, so a run covers them and one range of axis split - 1.
        let mut split = rank;
        while split > 0 && self.0[split - 1].len() == parent[split - 1] {
            split -= 1;
        }
        let lead = split.saturating_sub(1);
        let inner: usize = parent[split.min(rank)..].iter().product();
        let run = if split == 0 { inner } else { self.0[lead].len() * inner };
        let mut strides = vec![1usize; rank];
        for i in (0..rank.saturating_sub(1)).rev() {
            strides[i] = strides[i + 1] * parent[i + 1];
        }
        let outer = (0..lead).map(|i| (self.0[i].clone(), strides[i])).collect();
        let base = if split == 0 { 0 } else { self.0[lead].start * strides[lead] };
        Runs { outer, base, run, next: flat.start, end: flat.end }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|r| format!("{}:{}", r.start, r.end)).collect();
        write!(f, "[{}]", parts.join(", "))
    }
}

/// Iterator over runs: ranges of pixel indices in the parent image.
pub(crate) struct Runs {
    outer: Vec<(Range<usize>, usize)>,
    base: usize,
    run: usize,
    next: usize,
    end: usize,
}

impl Iterator for Runs {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        if self.next >= self.end {
            return None;
        }
        let (mut row, within) = (self.next / self.run, self.next % self.run);
        let mut at = self.base + within;
        for (range, stride) in self.outer.iter().rev() {
            at += (range.start + row % range.len()) * stride;
            row /= range.len();
        }
        let len = (self.run - within).min(self.end - self.next);
        self.next += len;
        Some(at..at + len)
    }
}

/// The smallest box of an array of this shape that holds pixels `flat`, which are not empty.
pub(crate) fn cover(shape: &[usize], flat: &Range<usize>) -> Vec<Range<usize>> {
    let at = |mut i: usize| {
        let mut coordinates = vec![0; shape.len()];
        for (c, &n) in coordinates.iter_mut().zip(shape).rev() {
            (*c, i) = (i % n, i / n);
        }
        coordinates
    };
    let (first, last) = (at(flat.start), at(flat.end - 1));
    let split = first.iter().zip(&last).position(|(a, b)| a != b).unwrap_or(shape.len());
    (0..shape.len()).map(|i| if i > split { 0..shape[i] } else { first[i]..last[i] + 1 }).collect()
}

/// All places of a box, in C order.
pub(crate) struct Places<'a> {
    ranges: &'a [Range<usize>],
    next: Option<Vec<usize>>,
}

impl<'a> Places<'a> {
    pub(crate) fn new(ranges: &'a [Range<usize>]) -> Self {
        let next = ranges.iter().all(|r| !r.is_empty()).then(|| ranges.iter().map(|r| r.start).collect());
        Places { ranges, next }
    }
}

impl Iterator for Places<'_> {
    type Item = Vec<usize>;

    fn next(&mut self) -> Option<Vec<usize>> {
        let now = self.next.take()?;
        let mut next = now.clone();
        for (n, r) in next.iter_mut().zip(self.ranges).rev() {
            *n += 1;
            if *n < r.end {
                self.next = Some(next);
                break;
            }
            *n = r.start;
        }
        Some(now)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::single_range_in_vec_init)] // a window of one axis is one range

    use super::*;

    /// Pixel by pixel, from the definition.
    fn slow(window: &Window, parent: &[usize], flat: Range<usize>) -> Vec<usize> {
        flat.map(|mut i| {
            let mut at = 0;
            let mut stride = 1;
            for (r, &n) in window.ranges().iter().zip(parent).rev() {
                at += (r.start + i % r.len()) * stride;
                i /= r.len();
                stride *= n;
            }
            at
        })
        .collect()
    }

    #[test]
    fn runs_are_the_pixels() {
        let cases: [(&[usize], Window); 7] = [
            (&[13], Window::new([3..9])),
            (&[13], Window::full(&[13])),
            (&[4, 5], Window::new([1..3, 0..5])),
            (&[4, 5], Window::new([0..4, 2..3])),
            (&[3, 4, 5], Window::new([1..3, 1..4, 0..5])),
            (&[3, 4, 5], Window::new([0..3, 2..3, 1..4])),
            (&[2, 3, 4, 5], Window::new([1..2, 0..3, 1..3, 0..5])),
        ];
        for (parent, window) in cases {
            let n = window.len();
            for start in 0..=n {
                for end in start..=n {
                    let got: Vec<usize> = window.runs(parent, start..end).flatten().collect();
                    assert_eq!(got, slow(&window, parent, start..end), "{window} of {parent:?}, {start}..{end}");
                }
            }
        }
    }

    #[test]
    fn whole_rows_are_one_run() {
        let w = Window::new([10..20, 0..100]);
        assert_eq!(w.runs(&[50, 100], 0..1000).collect::<Vec<_>>(), [1000..2000]);
    }

    #[test]
    fn bounds() {
        assert!(Window::new([0..4, 0..5]).check(&[4, 5]).is_ok());
        assert!(Window::new([0..4, 0..6]).check(&[4, 5]).is_err());
        assert!(Window::new([0..4, 0..1, 0..5]).check(&[4, 5]).is_err());
        let inner = Window::new([10..20, 5..9]).within(&Window::new([1..2, 1..3])).unwrap();
        assert_eq!(inner, Window::new([11..12, 6..8]));
    }

    #[test]
    fn a_box_around_a_range() {
        let shape = [3, 4, 5];
        for start in 0..60 {
            for end in start + 1..=60 {
                let got = cover(&shape, &(start..end));
                let inside = |i: usize| {
                    let at = [i / 20, i / 5 % 4, i % 5];
                    at.iter().zip(&got).all(|(a, r)| r.contains(a))
                };
                assert!((start..end).all(inside), "{start}..{end}: {got:?}");
            }
        }
        assert_eq!(cover(&shape, &(6..9)), [0..1, 1..2, 1..4]);
        assert_eq!(cover(&shape, &(5..15)), [0..1, 1..3, 0..5]);
    }
}
