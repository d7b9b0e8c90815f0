//! Slices as numpy says them: ranges with open and negative ends, steps of either sign, an ellipsis, and numbers that
//! drop their axis.

use std::fmt;
use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo};
use std::str::FromStr;

use crate::window::Window;
use crate::{Error, Result};

/// What is taken of one axis. Negative numbers count from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slice {
    /// One place; the axis goes.
    At(isize),
    /// `start:stop:step`; what lies beyond the ends is cut off, as in numpy.
    Span {
        /// First place; the end that the step comes from if there is none.
        start: Option<isize>,
        /// Where it stops, exclusive; the other end if there is none.
        stop: Option<isize>,
        /// Not 0.
        step: isize,
    },
    /// As many whole axes as are missing. Once at most.
    Ellipsis,
}

impl Slice {
    /// All of an axis.
    pub const ALL: Slice = Slice::Span { start: None, stop: None, step: 1 };

    /// The same with a step: `Slice::from(..).by(-1)` turns an axis round.
    pub fn by(self, step: isize) -> Self {
        match self {
            Slice::Span { start, stop, .. } => Slice::Span { start, stop, step },
            other => other,
        }
    }
}

/// One [`Slice`] an axis, slowest first. Axes that are not named are whole. Made of tuples, arrays, or text:
///
/// ```
/// use ndastro::{Slice, Slices};
/// let a: Slices = (5, 10.., Slice::from(..).by(-1)).into();
/// let b: Slices = "5, 10:, ::-1".parse()?;
/// assert_eq!(a, b);
/// # Ok::<(), ndastro::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slices(Vec<Slice>);

/// A slice of an axis of known length: what numpy's rules come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AxisSlice {
    /// Places start, start + step, ...: `len` of them.
    Range { start: usize, step: isize, len: usize },
    /// One, and the axis goes.
    Index(usize),
}

impl Slices {
    /// By numpy's rules on an image of this shape.
    ///
    /// # Errors
    /// More slices than axes, a place that is not there, two ellipses, a step of 0.
    pub(crate) fn resolve(&self, shape: &[usize]) -> Result<Vec<AxisSlice>> {
        let wrong = |why: &str| Error::Parameter(format!("slice [{self}] of an image of shape {shape:?}: {why}"));
        let ellipses = self.0.iter().filter(|s| **s == Slice::Ellipsis).count();
        let named = self.0.len() - ellipses;
        if ellipses > 1 {
            return Err(wrong("one ellipsis at most"));
        }
        if named > shape.len() {
            return Err(wrong("more slices than axes"));
        }
        let missing = shape.len() - named;
        let mut out = Vec::with_capacity(shape.len());
        let axis = |out: &Vec<AxisSlice>| shape[out.len()];
        for slice in self.0.iter().chain((ellipses == 0).then_some(&Slice::Ellipsis)) {
            match *slice {
                Slice::Ellipsis => {
                    for _ in 0..missing {
                        out.push(AxisSlice::Range { start: 0, step: 1, len: axis(&out) });
                    }
                }
                Slice::At(i) => {
                    let n = axis(&out);
                    let at = if i < 0 { i.checked_add_unsigned(n) } else { Some(i) };
                    let at = at.and_then(|i| usize::try_from(i).ok()).filter(|&i| i < n);
                    out.push(AxisSlice::Index(at.ok_or_else(|| wrong(&format!("there is no place {i}")))?));
                }
                Slice::Span { step: 0, .. } => return Err(wrong("a step of 0")),
                Slice::Span { start, stop, step } => out.push(span(start, stop, step, axis(&out))),
            }
        }
        Ok(out)
    }
}

/// Python's rule for `slice.indices`.
fn span(start: Option<isize>, stop: Option<isize>, step: isize, n: usize) -> AxisSlice {
    let n = isize::try_from(n).unwrap_or(isize::MAX);
    let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let clip = |i: isize| if i < 0 { i.saturating_add(n).max(low) } else { i.min(high) };
    let (first, last) = if step > 0 { (low, high) } else { (high, low) };
    let (start, stop) = (start.map_or(first, clip), stop.map_or(last, clip));
    let way = if step > 0 { stop - start } else { start - stop };
    let len = if way > 0 { (way as usize).div_ceil(step.unsigned_abs()) } else { 0 };
    AxisSlice::Range { start: if len > 0 { start as usize } else { 0 }, step, len }
}

impl FromStr for Slices {
    type Err = Error;

    /// `10:20, ..., ::-1, 5`, with or without brackets.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = |part: &str| Error::Parameter(format!("{part:?} is no slice like 10:20, :, ::-1, 5 or ..."));
        let inner = text.trim();
        let inner = inner.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(inner);
        if inner.trim().is_empty() {
            return Ok(Slices(Vec::new()));
        }
        let number = |t: &str| match t.trim() {
            "" => Some(None),
            t => t.parse::<isize>().ok().map(Some),
        };
        let one = |part: &str| {
            let words: Vec<Option<isize>> = part.split(':').map(number).collect::<Option<_>>()?;
            match words[..] {
                [Some(at)] => Some(Slice::At(at)),
                [start, stop] => Some(Slice::Span { start, stop, step: 1 }),
                [start, stop, step] => Some(Slice::Span { start, stop, step: step.unwrap_or(1) }),
                _ => None,
            }
        };
        let part = |p: &str| match p.trim() {
            "..." => Ok(Slice::Ellipsis),
            p => one(p).ok_or_else(|| wrong(p)),
        };
        Ok(Slices(inner.split(',').map(part).collect::<Result<_>>()?))
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Slice::At(i) => write!(f, "{i}"),
            Slice::Ellipsis => f.write_str("..."),
            Slice::Span { start, stop, step } => {
                let text = |n: &Option<isize>| n.map_or(String::new(), |n| n.to_string());
                write!(f, "{}:{}", text(start), text(stop))?;
                if *step == 1 { Ok(()) } else { write!(f, ":{step}") }
            }
        }
    }
}

impl fmt::Display for Slices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(Slice::to_string).collect();
        f.write_str(&parts.join(", "))
    }
}

/// What is larger than any place is beyond the end, not before the start.
fn place(i: impl TryInto<isize>) -> isize {
    i.try_into().unwrap_or(isize::MAX)
}

macro_rules! from_integers {
    ($($type:ty),*) => {$(
        impl From<$type> for Slice {
            fn from(i: $type) -> Self {
                Slice::At(place(i))
            }
        }

        impl From<Range<$type>> for Slice {
            fn from(r: Range<$type>) -> Self {
                Slice::Span { start: Some(place(r.start)), stop: Some(place(r.end)), step: 1 }
            }
        }

        impl From<RangeInclusive<$type>> for Slice {
            fn from(r: RangeInclusive<$type>) -> Self {
                // To the end where the last place is -1.
                let stop = place(*r.end()).saturating_add(1);
                Slice::Span { start: Some(place(*r.start())), stop: (stop != 0).then_some(stop), step: 1 }
            }
        }

        impl From<RangeFrom<$type>> for Slice {
            fn from(r: RangeFrom<$type>) -> Self {
                Slice::Span { start: Some(place(r.start)), stop: None, step: 1 }
            }
        }

        impl From<RangeTo<$type>> for Slice {
            fn from(r: RangeTo<$type>) -> Self {
                Slice::Span { start: None, stop: Some(place(r.end)), step: 1 }
            }
        }
    )*};
}

from_integers!(i32, isize, usize);

impl From<RangeFull> for Slice {
    fn from(_: RangeFull) -> Self {
        Slice::ALL
    }
}

impl<S: Into<Slice>, const N: usize> From<[S; N]> for Slices {
    fn from(slices: [S; N]) -> Self {
        Slices(slices.into_iter().map(Into::into).collect())
    }
}

impl From<Vec<Slice>> for Slices {
    fn from(slices: Vec<Slice>) -> Self {
        Slices(slices)
    }
}

impl From<&Window> for Slices {
    fn from(window: &Window) -> Self {
        Slices(window.ranges().iter().cloned().map(Slice::from).collect())
    }
}

macro_rules! from_one {
    ($($type:ty),*) => {$(
        impl From<$type> for Slices {
            fn from(slice: $type) -> Self {
                Slices(vec![slice.into()])
            }
        }
    )*};
}

from_one!(Slice, i32, isize, usize, RangeFull, Range<i32>, Range<usize>, RangeFrom<i32>, RangeFrom<usize>);
from_one!(RangeTo<i32>, RangeTo<usize>);

macro_rules! from_tuple {
    ($($name:ident),*) => {
        impl<$($name: Into<Slice>),*> From<($($name,)*)> for Slices {
            #[allow(non_snake_case)] // the names are those of the types
            fn from(($($name,)*): ($($name,)*)) -> Self {
                Slices(vec![$($name.into()),*])
            }
        }
    };
}

from_tuple!(A);
from_tuple!(A, B);
from_tuple!(A, B, C);
from_tuple!(A, B, C, D);
from_tuple!(A, B, C, D, E);
from_tuple!(A, B, C, D, E, F);

#[cfg(test)]
mod tests {
    use super::*;

    /// Places of an axis of this length that a slice takes, one by one.
    fn places(slice: Slice, n: usize) -> Vec<usize> {
        match Slices::from(slice).resolve(&[n]).unwrap()[0] {
            AxisSlice::Range { start, step, len } => {
                (0..len).map(|i| (start as isize + step * i as isize) as usize).collect()
            }
            AxisSlice::Index(i) => vec![i],
        }
    }

    #[test]
    fn as_python_has_it() {
        // From Python's own `list(range(5))[...]`.
        let cases: [(&str, &[usize]); 16] = [
            (":", &[0, 1, 2, 3, 4]),
            ("1:3", &[1, 2]),
            ("-2:", &[3, 4]),
            (":-2", &[0, 1, 2]),
            ("-100:2", &[0, 1]),
            ("3:100", &[3, 4]),
            ("100:200", &[]),
            ("3:1", &[]),
            ("::2", &[0, 2, 4]),
            ("1::3", &[1, 4]),
            ("::-1", &[4, 3, 2, 1, 0]),
            ("3::-2", &[3, 1]),
            ("-1:-3:-1", &[4, 3]),
            ("100::-4", &[4, 0]),
            (":1:-1", &[4, 3, 2]),
            ("1:-100:-1", &[1, 0]),
        ];
        for (text, want) in cases {
            let slices: Slices = text.parse().unwrap();
            assert_eq!(places(slices.0[0], 5), want, "{text}");
            assert_eq!(slices.to_string(), text);
        }
        assert_eq!(places(Slice::At(-1), 5), [4]);
        assert_eq!(places((1..=3).into(), 5), [1, 2, 3]);
        assert_eq!(places((-2..=-1).into(), 5), [3, 4]);
    }

    #[test]
    fn ellipses_and_missing_axes() {
        let whole = |n| AxisSlice::Range { start: 0, step: 1, len: n };
        let resolve = |text: &str| text.parse::<Slices>().unwrap().resolve(&[2, 3, 4]);
        assert_eq!(resolve("...").unwrap(), [whole(2), whole(3), whole(4)]);
        assert_eq!(resolve("[..., 1]").unwrap(), [whole(2), whole(3), AxisSlice::Index(1)]);
        assert_eq!(resolve("1").unwrap(), [AxisSlice::Index(1), whole(3), whole(4)]);
        assert_eq!(resolve("0,...,0,0").unwrap(), [AxisSlice::Index(0); 3]);
        assert_eq!(resolve("").unwrap(), [whole(2), whole(3), whole(4)]);
    }

    #[test]
    fn what_is_no_slice_says_why() {
        let message = |text: &str| text.parse::<Slices>().and_then(|s| s.resolve(&[5, 6])).unwrap_err().to_string();
        for (text, word) in [
            ("1,2,3", "more slices than axes"),
            ("...,...", "one ellipsis"),
            ("5", "no place 5"),
            ("-6", "no place -6"),
            ("::0", "step of 0"),
            ("a", "no slice"),
            ("1:2:3:4", "no slice"),
            ("1,,2", "no slice"),
        ] {
            assert!(message(text).contains(word), "{text}: {}", message(text));
        }
        for extreme in [isize::MIN, isize::MAX] {
            let slice = Slice::Span { start: Some(extreme), stop: None, step: extreme };
            let _ = Slices::from(slice).resolve(&[5]).unwrap();
            assert!(Slices::from(Slice::At(extreme)).resolve(&[5]).is_err());
        }
    }
}
