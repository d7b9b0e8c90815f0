//! Where results go in memory: whole arrays, which tiles are copied to. The CPU engine's threads compute right into them:
//! the first touch of a large array takes as long as computing what goes there, so all of them do it.

use std::ops::Range;

use crate::dtype::DType;
use crate::kernels::stack::{Out, Tally};
use crate::pixels::{Element, Pixels, shaped};
use crate::real::Real;
use crate::tiles::{Numbers, Outputs, Part, Sink, Tile};
use crate::{Error, Result};

macro_rules! words {
    ($($name:ident: $type:ty),*) => {
        /// Words in the integers that they come out as.
        pub(crate) enum Words {
            $($name(Vec<$type>),)*
        }

        /// Some of them.
        enum SomeWords<'a> {
            $($name(&'a mut [$type]),)*
        }

        impl Words {
            fn new(dtype: DType, pixels: usize, spare: &mut Vec<Pixels>) -> Result<Self> {
                Ok(match dtype {
                    $(DType::$name => Words::$name(room(pixels, spare)?),)*
                    _ => Words::U32(room(pixels, spare)?),
                })
            }

            fn whole(&mut self) -> SomeWords<'_> {
                match self {
                    $(Words::$name(words) => SomeWords::$name(words),)*
                }
            }

            pub(crate) fn pixels(self, shape: &[usize]) -> Result<Pixels> {
                match self {
                    $(Words::$name(words) => shaped(words, shape),)*
                }
            }
        }

        impl<'a> SomeWords<'a> {
            fn len(&self) -> usize {
                match self {
                    $(SomeWords::$name(to) => to.len(),)*
                }
            }

            fn split(self, at: usize) -> (Self, Self) {
                match self {
                    $(SomeWords::$name(to) => {
                        let (before, behind) = to.split_at_mut(at);
                        (SomeWords::$name(before), SomeWords::$name(behind))
                    })*
                }
            }

            fn take(&mut self, words: &[u32]) {
                match self {
                    $(SomeWords::$name(to) => to.iter_mut().zip(words).for_each(|(to, word)| *to = *word as $type),)*
                }
            }
        }
    };
}
words!(U8: u8, I16: i16, U16: u16, I32: i32, U32: u32);

/// Words, of a mask or of integers, in the type that they are written in.
pub(crate) fn mask_pixels(mask: &[u32], dtype: DType, shape: &[usize]) -> Result<Pixels> {
    let mut words = Words::new(dtype, mask.len(), &mut Vec::new())?;
    words.whole().take(mask);
    words.pixels(shape)
}

/// A whole number as the word of an integer, in two's complement.
pub(crate) fn word_of<T: Real>(number: &T) -> u32 {
    number.to_f64() as i64 as u32
}

impl Words {
    /// The word of a pixel, where it came out as it was.
    pub(crate) fn get(&self, pixel: usize) -> Option<u32> {
        match self {
            Words::U32(words) => words.get(pixel).copied(),
            _ => None,
        }
    }
}

/// Numbers for a plane, or an error: never an abort. Those of a spare array if one is of this type and size; else zeros that
/// nothing has touched yet, many of them in large pages, if the system has them: the first touch of small ones takes longer
/// than computing what goes there.
fn room<V: Element>(pixels: usize, spare: &mut Vec<Pixels>) -> Result<Vec<V>> {
    let fits = |array: &Pixels| array.dtype() == V::DTYPE && array.len() == pixels;
    if let Some(numbers) = spare.iter().position(fits).and_then(|i| V::numbers_of(spare.swap_remove(i))) {
        return Ok(numbers);
    }
    let no = |()| Error::Parameter(format!("no memory for a result of {pixels} pixels; write it to a file"));
    let mut room = bytemuck::allocation::try_zeroed_slice_box(pixels).map_err(no)?.into_vec();
    crate::memory::in_large_pages(&mut room);
    Ok(room)
}

/// Tiles to arrays.
pub(crate) struct MemorySink<T> {
    pub data: Vec<T>,
    pub variance: Vec<T>,
    pub mask: Words,
    /// Further planes, in the order in which they were asked for.
    pub more: Vec<Plain<T>>,
    parts: Vec<Part>,
    /// A plane of a cube, of one tile.
    words: Vec<u32>,
}

/// A whole plane.
pub(crate) enum Plain<T> {
    Reals(Vec<T>),
    Words(Words),
}

impl<T: Real> Plain<T> {
    pub(crate) fn pixels(self, shape: &[usize]) -> Result<Pixels> {
        match self {
            Plain::Reals(values) => T::pixels(values, shape),
            Plain::Words(words) => words.pixels(shape),
        }
    }
}

impl<T: Real> MemorySink<T> {
    /// Room for `pixels` pixels, or an error: never an abort. The mask comes out in this type, and so do further planes that
    /// are words.
    pub(crate) fn new(pixels: usize, outputs: Outputs, mask: DType, parts: Vec<(Part, DType)>) -> Result<Self> {
        Self::over(Vec::new(), pixels, outputs, mask, parts)
    }

    /// The same over arrays that nobody wants any more, where they fit.
    pub(crate) fn over(
        mut spare: Vec<Pixels>,
        pixels: usize,
        outputs: Outputs,
        mask: DType,
        parts: Vec<(Part, DType)>,
    ) -> Result<Self> {
        let spare = &mut spare;
        let of = |used: bool| if used { pixels } else { 0 };
        let (data, variance) = (room(pixels, spare)?, room(of(outputs.variance), spare)?);
        let mask = Words::new(mask, of(outputs.mask), spare)?;
        let mut one = |(part, dtype): &(Part, DType)| {
            Ok(if part.is_real() {
                Plain::Reals(room(pixels, spare)?)
            } else {
                let no = || Error::Parameter(format!("no memory for a cube of {pixels} pixels; write it to a file"));
                let words = outputs.planes(*part).checked_mul(pixels).ok_or_else(no)?;
                Plain::Words(Words::new(*dtype, words, spare)?)
            })
        };
        Ok(MemorySink {
            data,
            variance,
            mask,
            more: parts.iter().map(&mut one).collect::<Result<_>>()?,
            parts: parts.into_iter().map(|(part, _)| part).collect(),
            words: Vec::new(),
        })
    }
}

impl<T: Real> Sink<T> for MemorySink<T> {
    fn accept(&mut self, tile: &Tile<T>) -> Result<()> {
        if let Some(room) = self.flat(tile.range.clone()).into_pieces(tile.range.len()).pop() {
            room.take(tile);
        }
        let pixels = self.data.len();
        for (cube, part) in self.more.iter_mut().zip(&self.parts).filter(|(_, part)| part.is_cube()) {
            let Plain::Words(words) = cube else { continue };
            for k in 0..tile.planes(*part) {
                tile.of_cube(*part, k, &mut self.words);
                let at = k * pixels + tile.range.start;
                words.whole().split(at).1.split(tile.range.len()).0.take(&self.words);
            }
        }
        Ok(())
    }

    fn room(&mut self, pixels: Range<usize>) -> Option<Room<'_, T>> {
        // The planes of a cube lie apart.
        if self.parts.iter().any(|part| part.is_cube()) { None } else { Some(self.flat(pixels)) }
    }
}

impl<T: Real> MemorySink<T> {
    /// Where these pixels of everything go that is no cube.
    fn flat(&mut self, pixels: Range<usize>) -> Room<'_, T> {
        let mut planes = vec![
            (Part::Data, SomeNumbers::Reals(&mut self.data[..])),
            (Part::Variance, SomeNumbers::Reals(&mut self.variance)),
            (Part::Mask, SomeNumbers::Words(self.mask.whole())),
        ];
        for (plane, part) in self.more.iter_mut().zip(&self.parts).filter(|(_, part)| !part.is_cube()) {
            planes.push(match plane {
                Plain::Reals(to) => (*part, SomeNumbers::Reals(to)),
                Plain::Words(to) => (*part, SomeNumbers::Words(to.whole())),
            });
        }
        // Those that do not come out are empty.
        let there = planes.into_iter().filter(|(_, numbers)| numbers.len() >= pixels.end);
        let planes = there.map(|(part, numbers)| (part, numbers.split(pixels.end).0.split(pixels.start).1)).collect();
        Room { planes }
    }
}

/// Planes of words that a result may have.
pub(crate) const WORDS: usize = 5;

/// Some numbers of a plane of the result.
enum SomeNumbers<'a, T> {
    Reals(&'a mut [T]),
    Words(SomeWords<'a>),
}

impl<T: Real> SomeNumbers<'_, T> {
    fn len(&self) -> usize {
        match self {
            SomeNumbers::Reals(to) => to.len(),
            SomeNumbers::Words(to) => to.len(),
        }
    }

    fn split(self, at: usize) -> (Self, Self) {
        match self {
            SomeNumbers::Reals(to) => {
                let (before, behind) = to.split_at_mut(at);
                (SomeNumbers::Reals(before), SomeNumbers::Reals(behind))
            }
            SomeNumbers::Words(to) => {
                let (before, behind) = to.split(at);
                (SomeNumbers::Words(before), SomeNumbers::Words(behind))
            }
        }
    }
}

/// Where some pixels of the result go, whoever computed them.
pub(crate) struct Room<'a, T> {
    planes: Vec<(Part, SomeNumbers<'a, T>)>,
}

impl<T: Real> Room<'_, T> {
    /// The same in pieces of so many pixels.
    pub(crate) fn into_pieces(self, piece: usize) -> Vec<Self> {
        let pixels = self.planes.first().map_or(0, |(_, numbers)| numbers.len());
        let none = || Room { planes: Vec::with_capacity(self.planes.len()) };
        let mut pieces: Vec<Self> = std::iter::repeat_with(none).take(pixels.div_ceil(piece)).collect();
        for (part, numbers) in self.planes {
            let mut rest = numbers;
            for room in &mut pieces {
                let n = rest.len().min(piece);
                let (one, others) = rest.split(n);
                room.planes.push((part, one));
                rest = others;
            }
        }
        pieces
    }

    /// Takes the pixels of a tile that is of as many.
    pub(crate) fn take(self, tile: &Tile<T>) {
        for (part, numbers) in self.planes {
            match (numbers, tile.part(part)) {
                (SomeNumbers::Reals(to), Numbers::Reals(from)) => to.copy_from_slice(from),
                (SomeNumbers::Words(mut to), Numbers::Words(from)) => to.take(from),
                _ => {}
            }
        }
    }

    /// Has all pixels computed where they go; words that are narrower there come by way of `own`. With `short` a mask of 16-bit
    /// words is handed out as it is.
    pub(crate) fn fill(
        self,
        own: &mut [Vec<u32>; WORDS],
        short: bool,
        tally: &mut Tally,
        compute: impl FnOnce(Out<'_, T>, Option<&mut [u16]>),
    ) {
        let mut out = Out::of(&mut [], &mut [], &mut [], tally);
        let mut mask = None;
        let mut narrow: [Option<SomeWords<'_>>; WORDS] = Default::default();
        let mut places = own.iter_mut().zip(&mut narrow);
        for (part, numbers) in self.planes {
            match numbers {
                SomeNumbers::Reals(to) => match part {
                    Part::Data => out.data = to,
                    Part::Variance => out.variance = to,
                    Part::Scatter => out.scatter = to,
                    Part::Ratio => out.ratio = to,
                    Part::Weight => out.weight = to,
                    Part::Exposure => out.exposure = to,
                    Part::Mask | Part::Good | Part::Low | Part::High | Part::Rejected => {}
                    Part::Reasons | Part::Counts => {}
                },
                SomeNumbers::Words(SomeWords::U16(to)) if short && part == Part::Mask => mask = Some(to),
                SomeNumbers::Words(words) => {
                    let to = match part {
                        Part::Mask => &mut out.mask,
                        Part::Good => &mut out.good,
                        Part::Low => &mut out.low,
                        Part::High => &mut out.high,
                        Part::Rejected => &mut out.rejected,
                        Part::Data | Part::Variance | Part::Scatter => continue,
                        Part::Ratio | Part::Weight | Part::Exposure => continue,
                        Part::Reasons | Part::Counts => continue,
                    };
                    match (words, places.next()) {
                        (SomeWords::U32(words), _) => *to = words,
                        (words, Some((own, narrow))) => {
                            own.resize(words.len(), 0);
                            *to = own;
                            *narrow = Some(words);
                        }
                        // There are no more kinds of words than places.
                        (_, None) => {}
                    }
                }
            }
        }
        compute(out, mask);
        for (words, own) in narrow.into_iter().zip(own) {
            if let Some(mut words) = words {
                words.take(own);
            }
        }
    }
}
