//! `ndastro demo`: a small realistic night, made, stacked and shown. No adapter and no network are needed.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use ndarray::{Array2, ArrayView2, Ix2};

use super::night::Night;
use super::preview::{Limits, Stretch, grey, shrink, side_by_side, write_png};
use super::{Common, print};
use crate::error::show;
use crate::fits::{Header, check_target};
use crate::{AstroData, Error, NDAstroData, Pixels, Result, Stack};

#[derive(Args)]
pub(super) struct DemoArgs {
    /// Folder for the night; made if it is not there
    #[arg(default_value = "night", value_name = "DIR")]
    folder: PathBuf,
    /// Exposures
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=999))]
    frames: u16,
    /// Pixels of a side
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u16).range(1..=16384))]
    size: u16,
    /// Of the random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &DemoArgs) -> Result<()> {
    let common = &args.common;
    let stop = super::signals::stop_flag()?;
    let engine = common.engine()?;
    let folder = &args.folder;
    std::fs::create_dir_all(folder).map_err(Error::io(folder, "cannot make the folder"))?;
    let out = folder.join("stack.fits");
    let paths: Vec<PathBuf> = (1..=args.frames).map(|i| folder.join(format!("frame_{i:02}.fits"))).collect();
    let picture = folder.join("stack.png");
    let overwrite = may_replace(&paths, &out, &picture, common.overwrite)?;
    let used: Vec<&Path> = paths.iter().chain([&out, &picture]).map(PathBuf::as_path).collect();
    let stats_file = common.stats_file(&used)?;

    let started = Instant::now();
    let night = Night::new(usize::from(args.frames), (usize::from(args.size), usize::from(args.size)), args.seed);
    for (i, path) in paths.iter().enumerate() {
        if stop.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        exposure(&night, i)?.write(path, overwrite)?;
    }
    print(&format!(
        "made    {} exposures of {} x {} in {}: SCI uint16, VAR float32, DQ uint16 ({:.1} s)",
        paths.len(),
        args.size,
        args.size,
        show(folder),
        started.elapsed().as_secs_f64()
    ))?;

    let stack = Stack::files(&paths)?.memory(common.memory).cancel(stop);
    let stats = stack.write(&engine, &out, overwrite)?;
    common.report(&stats, stats_file)?;
    print(&format!(
        "stacked {} frames to {}: mean, variance propagated, DQ hierarchy ({:.2} s, {:.2} GB/s, {})",
        stats.frames,
        show(&out),
        stats.seconds,
        stats.bytes_read as f64 / stats.seconds.max(1e-9) / 1e9,
        engine.describe()
    ))?;

    let result = AstroData::open(&out)?;
    let first = AstroData::open(&paths[0])?;
    let (single, mean) = (plane(first[0].data()?)?, plane(result[0].data()?)?);
    draw(&picture, &single, &hide_bad(&mean, &result[0])?)?;
    let (noise_one, noise_all) = (noise(&single), noise(&mean));
    print(&format!(
        "noise   {noise_one:.2} adu in one frame, {noise_all:.2} in the stack: {:.2} times less (the square root of {} is {:.2})",
        noise_one / noise_all,
        stats.frames,
        f64::from(args.frames).sqrt()
    ))?;
    let (pull, clean) = pull(&result[0], &night)?;
    print(&format!("errors  (stack - truth) / sigma spreads by {pull:.3} over {clean} unflagged pixels (1 is right)"))?;
    print(&format!("picture {}: one frame left, the stack right", show(&picture)))
}

/// Whether files may be replaced: a demo that is run twice replaces its own, and no others. All are looked at before
/// the first is written.
fn may_replace(frames: &[PathBuf], stack: &Path, picture: &Path, overwrite: bool) -> Result<bool> {
    let mut again = false;
    for path in frames.iter().map(PathBuf::as_path).chain([stack]).filter(|p| p.exists()) {
        let ad = AstroData::open(path).ok();
        again = ad.is_some_and(|ad| ad.phu().get_str("INSTRUME").as_deref() == Some(INSTRUMENT));
        check_target(path, overwrite || again)?;
    }
    // A picture says nothing of its maker; it is ours if the stack beside it is.
    check_target(picture, overwrite || (again && stack.exists()))?;
    Ok(overwrite || again)
}

const INSTRUMENT: &str = "ndastro demo";

/// Exposure `i` with the headers that a camera would write.
fn exposure(night: &Night, i: usize) -> Result<AstroData> {
    let e = night.exposure(i);
    let (ny, nx) = night.shape;
    let mut phu = Header::new();
    phu.set("OBJECT", "demo field", "");
    phu.set("INSTRUME", INSTRUMENT, "simulated");
    phu.set("EXPTIME", Night::EXPTIME, "[s] exposure time");
    phu.set("FRAMENUM", i as i64 + 1, "number of the exposure");
    let mut h = Header::new();
    h.set("BUNIT", "adu", "");
    h.set("GAIN", Night::GAIN, "[electron/adu]");
    h.set("RDNOISE", Night::READ_NOISE, "[electron]");
    h.set("BIASLEV", Night::BIAS, "[adu] pedestal");
    let scale = 0.2 / 3600.0;
    let wcs: [(&str, f64); 8] = [
        ("CRPIX1", nx as f64 / 2.0 + 0.5),
        ("CRPIX2", ny as f64 / 2.0 + 0.5),
        ("CRVAL1", 83.633),
        ("CRVAL2", 22.0145),
        ("CD1_1", -scale),
        ("CD1_2", 0.0),
        ("CD2_1", 0.0),
        ("CD2_2", scale),
    ];
    for (key, text) in
        [("CTYPE1", "RA---TAN"), ("CTYPE2", "DEC--TAN"), ("CUNIT1", "deg"), ("CUNIT2", "deg"), ("RADESYS", "ICRS")]
    {
        h.set(key, text, "");
    }
    for (key, value) in wcs {
        h.set(key, value, "");
    }
    let nd = NDAstroData::new(e.sci).with_variance(e.var)?.with_mask(e.dq)?.with_unit("adu").with_meta(h);
    Ok(AstroData::from_extensions(phu, vec![nd]))
}

fn plane(pixels: &Pixels) -> Result<Array2<f32>> {
    let image = pixels.to_f64().mapv(|v| v as f32).into_dimensionality::<Ix2>();
    image.map_err(|e| Error::Parameter(format!("no picture of an image that is not of two axes: {e}")))
}

/// The stack with what was a bad pixel in every frame left out of the picture.
fn hide_bad(mean: &Array2<f32>, result: &NDAstroData) -> Result<Array2<f32>> {
    let mut shown = mean.clone();
    if let Some(mask) = result.mask()? {
        for (v, m) in shown.iter_mut().zip(mask.to_f64().iter()) {
            if *m as u32 & 1 != 0 {
                *v = f32::NAN;
            }
        }
    }
    Ok(shown)
}

/// Both images with the same limits, those of the stack.
fn draw(path: &Path, single: &Array2<f32>, mean: &Array2<f32>) -> Result<()> {
    let (left, right) = (shrink(single.view(), 768), shrink(mean.view(), 768));
    let values: Vec<f32> = right.iter().copied().collect();
    let limits = Limits::Percentiles(1.0, 99.7).of(&values);
    let picture = |image: ArrayView2<f32>| grey(image, limits, &Stretch::Asinh);
    let both = side_by_side(picture(left.view()).view(), picture(right.view()).view(), 12);
    write_png(path, both.view()).map_err(Error::io(path, "cannot write the picture"))
}

/// Noise of the sky: 1.4826 times the median absolute deviation of the difference of neighbours, over sqrt 2.
/// Differences see no stars and no gradient.
fn noise(image: &Array2<f32>) -> f64 {
    let mut steps = Vec::new();
    for row in image.rows() {
        steps.extend(row.iter().zip(row.iter().skip(1)).map(|(a, b)| f64::from((b - a).abs())));
    }
    1.4826 * median(&mut steps) / std::f64::consts::SQRT_2
}

/// Spread of (stack - truth) / sigma over pixels without a flag, and how many they are. By the median absolute
/// deviation, so that a cosmic ray that no pipeline flagged does not count as noise.
fn pull(result: &NDAstroData, night: &Night) -> Result<(f64, usize)> {
    let truth = night.truth();
    let data = result.data()?.to_f64();
    let variance = result.variance()?.map(Pixels::to_f64);
    let mask = result.mask()?.map(Pixels::to_f64);
    let (Some(variance), Some(mask)) = (variance, mask) else { return Ok((f64::NAN, 0)) };
    let pixels = data.iter().zip(&variance).zip(&mask).zip(&truth);
    let good = pixels.filter(|&(((_, &v), &m), _)| m == 0.0 && v > 0.0);
    let mut pulls: Vec<f64> = good.map(|(((&d, &v), _), &t)| ((d - f64::from(t)) / v.sqrt()).abs()).collect();
    Ok((1.4826 * median(&mut pulls), pulls.len()))
}

/// The upper of the two middle values; 0 of none.
fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}
