//! Float pixels as an 8-bit grey picture: limits, a stretch, and a PNG file.
//!
//! A value `v` between the limits `lo` and `hi` becomes `x = clip((v - lo) / (hi - lo), 0, 1)`,
//! and the grey level is `round(255·f(x))` with one of these stretches, all of which keep 0 and 1
//! and rise in between:
//!
//! | name | f(x) |
//! |------|------|
//! | `linear` | x |
//! | `sqrt` | √x |
//! | `asinh` | asinh(10·x) / asinh(10) |
//! | `log` | ln(1 + 1000·x) / ln(1001) |
//!
//! # Limits
//!
//! * `minmax`: the smallest and the largest value.
//! * `p0.5,99.5`: two percentiles, `0 <= a < b <= 100`, interpolated linearly between the two
//!   nearest ranks.
//! * `zscale`: the algorithm of IRAF's `display`, which shows the sky and what is a little above
//!   it. At most 1000 values are sampled, evenly strided (stride `max(1, n / 1000)`, the fraction
//!   dropped, from the first value on), and sorted. A straight line is fitted to value against
//!   rank; samples further than 2.5 standard deviations from it are rejected for good, the
//!   rejected ones grow by a window of 1 % of the samples, and the fit is repeated, at most 5
//!   times in all, until no more are rejected. With `m` samples, their median, and the slope of
//!   the last fit divided by the contrast 0.25,
//!
//!   ```text
//!   c  = (m - 1) / 2                      the fraction dropped
//!   lo = max(smallest sample, median - (c - 1)·slope)
//!   hi = min(largest sample,  median + (m - c)·slope)
//!   ```
//!
//!   Where fewer than `max(5, m / 2)` samples survive, the limits are the smallest and the largest
//!   sample. The numbers are those of astropy's `ZScaleInterval`. As there, an image whose width
//!   divides the stride is sampled in few of its columns.
//!
//! Values that are not finite take no part. Limits always have `lo < hi`: where a rule finds equal
//! ones, the smallest and largest value are taken, and where these are equal too, a range around
//! the value. Without any finite value the limits are 0 and 1.
//!
//! # Orientation
//!
//! Row 0 of a FITS image is at the bottom of the picture, as astronomers look at it, while row 0
//! of a PNG is at the top: [`grey`] turns the rows round, everything after it works on the picture.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;
use std::str::FromStr;

use ndarray::{Array2, ArrayView2, s};

/// How many values zscale looks at.
const SAMPLES: usize = 1000;
const CONTRAST: f64 = 0.25;
/// Rejection threshold, standard deviations.
const KAPPA: f64 = 2.5;
const ITERATIONS: usize = 5;
const FEWEST: usize = 5;

/// Around and between two pictures: the page they lie on.
const PAGE: u8 = 255;

/// Which values become black and white.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Limits {
    Zscale,
    MinMax,
    /// Lower and upper, in percent.
    Percentiles(f64, f64),
}

/// How the range between the limits is spread over the grey levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stretch {
    Linear,
    Asinh,
    Log,
    Sqrt,
}

impl FromStr for Limits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "zscale" => return Ok(Self::Zscale),
            "minmax" => return Ok(Self::MinMax),
            _ => {}
        }
        text.strip_prefix('p')
            .and_then(|pair| pair.split_once(','))
            .and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)))
            .filter(|&(a, b)| 0.0 <= a && a < b && b <= 100.0)
            .map(|(a, b)| Self::Percentiles(a, b))
            .ok_or_else(|| {
                format!(
                    "expected zscale, minmax, or two percentiles such as p0.5,99.5 \
                     (0 <= first < second <= 100), found {text:?}"
                )
            })
    }
}

impl FromStr for Stretch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "linear" => Ok(Self::Linear),
            "asinh" => Ok(Self::Asinh),
            "log" => Ok(Self::Log),
            "sqrt" => Ok(Self::Sqrt),
            _ => Err(format!("expected linear, asinh, log or sqrt, found {text:?}")),
        }
    }
}

impl Limits {
    /// The limits of `values`, `lo < hi`.
    pub(crate) fn of(&self, values: &[f32]) -> (f32, f32) {
        let finite = || values.iter().copied().filter(|v| v.is_finite());
        let (min, max) = finite().fold((f32::INFINITY, f32::NEG_INFINITY), |(lo, hi), v| (lo.min(v), hi.max(v)));
        if min > max {
            return (0.0, 1.0);
        }
        if min == max {
            return around(min);
        }
        let (lo, hi) = match *self {
            Self::MinMax => (min, max),
            Self::Percentiles(a, b) => {
                let mut finite: Vec<f32> = finite().collect();
                (percentile(&mut finite, a), percentile(&mut finite, b))
            }
            Self::Zscale => {
                let n = finite().count();
                let stride = (n / SAMPLES).max(1);
                zscale(finite().step_by(stride).take(SAMPLES).collect())
            }
        };
        if lo < hi { (lo, hi) } else { (min, max) }
    }
}

impl Stretch {
    /// Maps 0..1 onto itself.
    fn apply(self, x: f64) -> f64 {
        match self {
            Self::Linear => x,
            Self::Asinh => (10.0 * x).asinh() / 10f64.asinh(),
            Self::Log => (1000.0 * x).ln_1p() / 1000f64.ln_1p(),
            Self::Sqrt => x.sqrt(),
        }
    }
}

/// A range about a single value, wide enough to be one in single precision.
fn around(value: f32) -> (f32, f32) {
    let half = (value.abs() * 1e-6).max(0.5);
    ((value - half).max(f32::MIN), (value + half).min(f32::MAX))
}

/// The percentile `p` of some finite values, which it reorders.
fn percentile(values: &mut [f32], p: f64) -> f32 {
    if values.is_empty() {
        return f32::NAN;
    }
    let last = values.len() - 1;
    let rank = (p / 100.0).clamp(0.0, 1.0) * last as f64;
    let (_, &mut below, rest) = values.select_nth_unstable_by(rank as usize, f32::total_cmp);
    let above = rest.iter().copied().reduce(f32::min).unwrap_or(below);
    let (below, above) = (f64::from(below), f64::from(above));
    (below + rank.fract() * (above - below)) as f32
}

/// The zscale limits of a sample of finite values.
fn zscale(mut sample: Vec<f32>) -> (f32, f32) {
    sample.sort_unstable_by(f32::total_cmp);
    let sample: Vec<f64> = sample.into_iter().map(f64::from).collect();
    let (Some(&min), Some(&max)) = (sample.first(), sample.last()) else {
        return (f32::NAN, f32::NAN);
    };
    let m = sample.len();
    let Some(slope) = sky_slope(&sample) else {
        return (min as f32, max as f32);
    };
    let slope = slope / CONTRAST;
    let centre = (m - 1) / 2;
    let median = (sample[centre] + sample[m / 2]) / 2.0;
    let lo = min.max(median - (centre as f64 - 1.0) * slope);
    let hi = max.min(median + (m - centre) as f64 * slope);
    (lo as f32, hi as f32)
}

/// The slope of value against rank in a sorted sample, without its outliers; none where these
/// are too many.
fn sky_slope(sample: &[f64]) -> Option<f64> {
    let m = sample.len();
    let fewest = FEWEST.max(m / 2);
    let window = (m / 100).max(1);
    let mut keep = vec![true; m];
    let (mut kept, mut before) = (m, m + 1);
    let mut slope = 0.0;
    for _ in 0..ITERATIONS {
        if kept >= before || kept < fewest {
            break;
        }
        let offset;
        (offset, slope) = line(sample, &keep);
        let residual = |(i, v): (usize, &f64)| v - (offset + slope * i as f64);
        let squares: f64 = (sample.iter().enumerate().zip(&keep))
            .filter(|(_, keep)| **keep)
            .map(|(point, _)| residual(point).powi(2))
            .sum();
        let threshold = KAPPA * (squares / kept as f64).sqrt();
        for (point, keep) in sample.iter().enumerate().zip(&mut keep) {
            *keep &= residual(point).abs() <= threshold;
        }
        keep = grown(&keep, window);
        before = kept;
        kept = keep.iter().filter(|keep| **keep).count();
    }
    (kept >= fewest).then_some(slope)
}

/// Rejects the neighbours of the rejected, too: a window about each.
fn grown(keep: &[bool], window: usize) -> Vec<bool> {
    let mut grown = keep.to_vec();
    for (i, _) in keep.iter().enumerate().filter(|(_, keep)| !**keep) {
        let start = i.saturating_sub((window - 1) / 2);
        let end = (i + window / 2 + 1).min(keep.len());
        grown[start..end].fill(false);
    }
    grown
}

/// The least-squares line through the kept samples against their index: offset and slope.
fn line(sample: &[f64], keep: &[bool]) -> (f64, f64) {
    let points = || (sample.iter().enumerate().zip(keep)).filter(|(_, keep)| **keep).map(|((i, v), _)| (i as f64, *v));
    let n = points().count() as f64;
    let (x, y) = points().fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n));
    // About the centre, or the products would cancel.
    let (xx, xy) = points().fold((0.0, 0.0), |(xx, xy), p| (xx + (p.0 - x).powi(2), xy + (p.0 - x) * (p.1 - y)));
    let slope = if xx > 0.0 { xy / xx } else { 0.0 };
    (y - slope * x, slope)
}

/// The picture of an image: 0 is black, 255 is white, NaN is black, and infinities lie beyond the
/// limits. The rows are turned round, so that the image's row 0 is at the bottom.
///
/// Equal limits cut: white above, black up to them.
pub(crate) fn grey(image: ArrayView2<f32>, limits: (f32, f32), stretch: &Stretch) -> Array2<u8> {
    let (lo, hi) = (f64::from(limits.0), f64::from(limits.1));
    image.slice(s![..;-1, ..]).mapv(|v| {
        let above = f64::from(v) - lo;
        let x = match hi - lo {
            0.0 if above > 0.0 => 1.0,
            0.0 => 0.0,
            range => (above / range).clamp(0.0, 1.0),
        };
        // The cast makes NaN zero.
        (255.0 * stretch.apply(x)).round() as u8
    })
}

/// Reduces an image by the smallest integer factor that leaves no side longer than `max_side`
/// (0 counts as 1). A pixel of the result is the mean of its block without the block's NaN, and
/// NaN where there is nothing else; blocks at the far edges hold what is left.
pub(crate) fn shrink(image: ArrayView2<f32>, max_side: usize) -> Array2<f32> {
    let (ny, nx) = image.dim();
    let factor = ny.max(nx).div_ceil(max_side.max(1)).max(1);
    if factor == 1 {
        return image.to_owned();
    }
    Array2::from_shape_fn((ny.div_ceil(factor), nx.div_ceil(factor)), |(y, x)| {
        let rows = y * factor..ny.min((y + 1) * factor);
        let columns = x * factor..nx.min((x + 1) * factor);
        let block = image.slice(s![rows, columns]);
        let (sum, n) =
            (block.iter().filter(|v| !v.is_nan())).fold((0.0, 0.0), |(sum, n), &v| (sum + f64::from(v), n + 1.0));
        (sum / n) as f32
    })
}

/// Writes a picture, row 0 at the top, as 8-bit grey PNG. A picture without pixels is an error,
/// since PNG has none.
pub(crate) fn write_png(path: &Path, image: ArrayView2<u8>) -> io::Result<()> {
    let side = |n: usize| {
        u32::try_from(n).ok().filter(|n| *n > 0).ok_or_else(|| {
            let what = format!("a PNG has no side of {n} pixels");
            io::Error::new(io::ErrorKind::InvalidInput, what)
        })
    };
    let (height, width) = (side(image.nrows())?, side(image.ncols())?);
    let file = BufWriter::new(File::create(path)?);
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(image.as_standard_layout().as_slice().unwrap_or_default())?;
    writer.finish()?;
    Ok(())
}

/// Two pictures on one white page, `gap` columns apart, their tops level.
pub(crate) fn side_by_side(left: ArrayView2<u8>, right: ArrayView2<u8>, gap: usize) -> Array2<u8> {
    let start = left.ncols() + gap;
    let shape = (left.nrows().max(right.nrows()), start + right.ncols());
    let mut page = Array2::from_elem(shape, PAGE);
    page.slice_mut(s![..left.nrows(), ..left.ncols()]).assign(&left);
    page.slice_mut(s![..right.nrows(), start..]).assign(&right);
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    const STRETCHES: [Stretch; 4] = [Stretch::Linear, Stretch::Asinh, Stretch::Log, Stretch::Sqrt];

    /// An even spread of values from 0 to 100.8, with outliers on both sides, without any order.
    fn sky(n: u32) -> Vec<f32> {
        (0..n)
            .map(|i| match (i % 97, i % 89) {
                (5, _) => 5000.0,
                (_, 7) => -5000.0,
                _ => ((i * 7919) % 1009) as f32 / 10.0,
            })
            .collect()
    }

    fn close(found: (f32, f32), expected: (f32, f32)) {
        let near = |a: f32, b: f32| (a - b).abs() <= 2e-6 * b.abs().max(1.0);
        assert!(near(found.0, expected.0) && near(found.1, expected.1), "{found:?}, expected {expected:?}");
    }

    #[test]
    fn zscale_gives_the_numbers_of_astropy() {
        // ZScaleInterval().get_limits, astropy 8.0.2, in double precision.
        close(Limits::Zscale.of(&sky(3)), (0.0, 85.6));
        close(Limits::Zscale.of(&sky(7)), (0.0, 5000.0));
        close(Limits::Zscale.of(&sky(50)), (-139.86275, 271.33832));
        close(Limits::Zscale.of(&sky(333)), (-154.1826, 258.46845));
        close(Limits::Zscale.of(&sky(999)), (-155.31332, 256.93948));
        close(Limits::Zscale.of(&sky(2500)), (-156.38899, 258.535));
    }

    #[test]
    fn limits_leave_out_what_is_not_finite() {
        let mut values: Vec<f32> = (0..=200).map(|v| v as f32).collect();
        values.extend([f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        assert_eq!(Limits::MinMax.of(&values), (0.0, 200.0));
        close(Limits::Percentiles(0.5, 99.75).of(&values), (1.0, 199.5));
        close(Limits::Percentiles(0.25, 100.0).of(&values), (0.5, 200.0));
        assert_eq!(Limits::Zscale.of(&values), Limits::Zscale.of(&values[..201]));
    }

    #[test]
    fn limits_always_have_a_width() {
        let mostly_equal = [vec![3.0; 500], vec![9.0; 5]].concat();
        for limits in [Limits::Zscale, Limits::MinMax, Limits::Percentiles(1.0, 50.0)] {
            assert_eq!(limits.of(&[]), (0.0, 1.0));
            assert_eq!(limits.of(&[f32::NAN; 3]), (0.0, 1.0));
            assert_eq!(limits.of(&mostly_equal), (3.0, 9.0));
            for v in [0.0, -7.0, 3e9, f32::MAX, f32::MIN, 1e-40] {
                let (lo, hi) = limits.of(&[v; 12]);
                assert!(lo < hi && lo <= v && v <= hi, "{v}: {lo} {hi}");
                assert!(lo.is_finite() && hi.is_finite());
            }
        }
    }

    #[test]
    fn names_are_read_and_wrong_ones_explained() {
        assert_eq!("zscale".parse(), Ok(Limits::Zscale));
        assert_eq!("minmax".parse(), Ok(Limits::MinMax));
        assert_eq!("p0.5,99.5".parse(), Ok(Limits::Percentiles(0.5, 99.5)));
        for wrong in ["", "p", "p5", "p9,1", "p-1,50", "p1,101", "pnan,5", "p1,2,3", "max"] {
            let complaint = wrong.parse::<Limits>().unwrap_err();
            assert!(complaint.contains("zscale, minmax") && complaint.contains("p0.5,99.5"));
        }
        for (name, stretch) in ["linear", "asinh", "log", "sqrt"].iter().zip([
            Stretch::Linear,
            Stretch::Asinh,
            Stretch::Log,
            Stretch::Sqrt,
        ]) {
            assert_eq!(name.parse(), Ok(stretch));
        }
        assert!("Log".parse::<Stretch>().unwrap_err().contains("asinh, log"));
    }

    #[test]
    fn stretches_rise_from_black_to_white() {
        let ramp = Array2::from_shape_fn((1, 1001), |(_, x)| x as f32);
        for stretch in STRETCHES {
            let grey = grey(ramp.view(), (0.0, 1000.0), &stretch);
            let grey: Vec<u8> = grey.into_iter().collect();
            assert!(grey.is_sorted(), "{stretch:?}");
            assert_eq!((grey[0], grey[1000]), (0, 255));
            if stretch != Stretch::Linear {
                assert!(grey[200] > 51 + 20, "{stretch:?} does not lift the faint");
            }
        }
    }

    #[test]
    fn the_first_row_is_at_the_bottom() {
        let image = array![[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]];
        let grey = grey(image.view(), (0.0, 5.0), &Stretch::Linear);
        assert_eq!(grey, array![[204, 255], [102, 153], [0, 51]]);
    }

    #[test]
    fn what_is_not_a_number_is_black() {
        let image = array![[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -9.0, 99.0]];
        for stretch in STRETCHES {
            let grey = grey(image.view(), (-1.0, 1.0), &stretch);
            assert_eq!(grey, array![[0, 255, 0, 0, 255]]);
        }
        let cut = grey(array![[1.0, 2.0, f32::NAN]].view(), (1.0, 1.0), &Stretch::Log);
        assert_eq!(cut, array![[0, 255, 0]]);
    }

    #[test]
    fn blocks_shrink_to_their_mean() {
        let nan = f32::NAN;
        let image = array![[1.0, 3.0, nan, nan, 5.0], [5.0, nan, nan, nan, 7.0], [8.0, 2.0, 1.0, 1.0, 9.0],];
        let small = shrink(image.view(), 3);
        assert_eq!(small.dim(), (2, 3));
        assert_eq!((small[(0, 0)], small[(0, 2)]), (3.0, 6.0));
        assert!(small[(0, 1)].is_nan());
        assert_eq!(small.row(1).to_vec(), [5.0, 1.0, 9.0]);
        assert_eq!(shrink(small.view(), 3).dim(), (2, 3));
        for (ny, nx) in [(0, 0), (0, 9), (1, 1), (7, 3), (100, 1), (64, 33)] {
            for side in [0, 1, 2, 10, 1000] {
                let small = shrink(Array2::zeros((ny, nx)).view(), side);
                assert!(small.nrows().max(small.ncols()) <= side.max(1));
                assert_eq!(small.is_empty(), ny * nx == 0);
            }
        }
    }

    #[test]
    fn two_pictures_share_a_page() {
        let page = side_by_side(array![[1], [2]].view(), array![[3, 4]].view(), 1);
        assert_eq!(page, array![[1, PAGE, 3, 4], [2, PAGE, PAGE, PAGE]]);
        let empty = Array2::zeros((0, 0));
        assert_eq!(side_by_side(empty.view(), empty.view(), 0).dim(), (0, 0));
    }

    #[test]
    fn a_png_reads_back() {
        let path = std::env::temp_dir().join(format!("preview-{}.png", std::process::id()));
        let image = Array2::from_shape_fn((5, 7), |(y, x)| (40 * y + x) as u8);
        // A transposed view is not laid out row by row.
        for picture in [image.view(), image.t()] {
            write_png(&path, picture).unwrap();
            let file = io::BufReader::new(File::open(&path).unwrap());
            let mut reader = png::Decoder::new(file).read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut pixels).unwrap();
            assert_eq!(info.color_type, png::ColorType::Grayscale);
            assert_eq!(info.bit_depth, png::BitDepth::Eight);
            let shape = (info.height as usize, info.width as usize);
            assert_eq!(Array2::from_shape_vec(shape, pixels).unwrap(), picture);
        }
        std::fs::remove_file(&path).unwrap();
        let none = Array2::zeros((0, 4));
        assert!(write_png(&path, none.view()).is_err());
        assert!(!path.exists());
    }
}
