//! The library from outside, over its public API alone.
//!
//! What is proved: every file of `tests/data/images` reads as astropy reads it, or is refused with what to do; a plane
//! costs its own bytes and nothing else, from opening to a stack of windows; a window is the slice of the whole; what is
//! written is what cfitsio reads, checksums and headers included; slices are numpy's, and a container that is changed
//! changes no other; a run that fails leaves nothing behind; an error names the file, the HDU, what was expected and what
//! was found; the variance of an expression is that of a million draws.

#[path = "../compare/mod.rs"]
mod compare;
#[path = "../oracle/mod.rs"]
mod oracle;
#[path = "../support/mod.rs"]
mod support;

mod arithmetic;
mod bitwise;
mod compressed;
mod container;
mod editing;
mod errors;
mod grow;
mod headers;
mod hostile;
mod layouts;
mod laziness;
mod leaks;
mod monte_carlo;
mod normalise;
mod properties;
mod reading;
mod rejections;
mod roundtrip;
mod stack_explain;
mod stack_monte_carlo;
mod stack_properties;
mod stack_results;
mod unfinished;
mod weights;
mod windowed;
mod windows;
mod writing;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use ndarray::{Array1, Array2, ArrayD, Slice, arr0, arr1};
use ndastro::fits::{FitsFile, Header};
use ndastro::{AstroData, DType, Engine, Error, NDAstroData, OpenOptions, Pixels, Stack, Unit, Window};
use proptest::prelude::*;
use support::cfitsio::{Judge, Judged};
use support::{
    BLOCK, assert_says, data, engines, filled, frame, gpu, names, planes, sha256, truth, write_frame, write_frames,
    write_images,
};
use tempfile::TempDir;

const SHAPE: [usize; 2] = [60, 70];

fn one_frame() -> (TempDir, AstroData) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("frame.fits");
    write_frame(&path, 0, &SHAPE);
    let ad = AstroData::open(path).unwrap();
    (dir, ad)
}
