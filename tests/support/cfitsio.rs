//! cfitsio, the outside judge of what this crate writes.
//!
//! A thin layer over `fitsio::sys`: every status is checked, files are opened by plain name (`ffdkopn`), and only one
//! thread at a time is inside, since the library is built without locks of its own.
//!
//! Why each `unsafe` call is sound: the handle is open for as long as its [`Judge`] lives, and what the pointers lead to
//! are locals that outlive the call and are as long as the count beside them says.

// For all of them at once, above.
#![allow(clippy::undocumented_unsafe_blocks)]

use std::ffi::{CStr, CString};
use std::os::raw::{c_char, c_int, c_long, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fitsio::sys;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A pixel type that cfitsio can be asked for.
pub trait Judged: Copy + Default {
    /// Code of the type in memory.
    const TYPE: u32;
    /// Code that cfitsio gives an image of this type: that of its values, after BZERO. Of 64-bit images it names only
    /// the stored type.
    const IMAGE: i32;
}

macro_rules! judged {
    ($($type:ty: $memory:ident, $image:expr;)*) => {
        $(impl Judged for $type {
            const TYPE: u32 = sys::$memory;
            const IMAGE: i32 = $image;
        })*
    };
}

judged! {
    u8: TBYTE, 8;
    i8: TSBYTE, 10;
    i16: TSHORT, 16;
    u16: TUSHORT, 20;
    i32: TINT, 32;
    u32: TUINT, 40;
    i64: TLONGLONG, 64;
    u64: TULONGLONG, 64;
    f32: TFLOAT, -32;
    f64: TDOUBLE, -64;
}

/// A file, opened for reading.
pub struct Judge {
    file: *mut sys::fitsfile,
    _inside: MutexGuard<'static, ()>,
}

impl Judge {
    pub fn open(path: &Path) -> Self {
        // A test that failed while it was inside does not spoil the others.
        let inside = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let name = CString::new(path.as_os_str().as_bytes()).unwrap();
        let mut file = std::ptr::null_mut();
        call("open", |status| unsafe { sys::ffdkopn(&mut file, name.as_ptr(), 0, status) });
        Judge { file, _inside: inside }
    }

    /// Number of HDUs.
    pub fn len(&self) -> usize {
        let mut n = 0;
        call("count", |status| unsafe { sys::ffthdu(self.file, &mut n, status) });
        n as usize
    }

    /// Makes HDU `index`, from 0 with the primary, the current one.
    pub fn select(&self, index: usize) -> &Self {
        call("select", |status| unsafe { sys::ffmahd(self.file, index as c_int + 1, std::ptr::null_mut(), status) });
        self
    }

    /// Whether DATASUM and CHECKSUM of every HDU are there and right.
    #[track_caller]
    pub fn assert_sums(&self) {
        for index in 0..self.len() {
            let (mut data, mut hdu) = (0, 0);
            self.select(index);
            call("checksum", |status| unsafe { sys::ffvcks(self.file, &mut data, &mut hdu, status) });
            assert_eq!((data, hdu), (1, 1), "DATASUM and CHECKSUM of HDU {index}: 1 is right, 0 missing, -1 wrong");
        }
    }

    /// Type of the values (a [`Judged::IMAGE`]).
    pub fn image_type(&self) -> i32 {
        let mut code = 0;
        call("type", |status| unsafe { sys::ffgiet(self.file, &mut code, status) });
        code
    }

    /// numpy order.
    pub fn shape(&self) -> Vec<usize> {
        let mut rank = 0;
        call("rank", |status| unsafe { sys::ffgidm(self.file, &mut rank, status) });
        let mut axes = vec![0 as c_long; rank as usize];
        call("shape", |status| unsafe { sys::ffgisz(self.file, rank, axes.as_mut_ptr(), status) });
        axes.iter().rev().map(|&n| n as usize).collect()
    }

    /// All pixels of the current image.
    pub fn pixels<T: Judged>(&self) -> Vec<T> {
        let shape = self.shape();
        let mut first = vec![1 as c_long; shape.len()];
        let mut out = vec![T::default(); shape.iter().product()];
        let (n, into) = (out.len() as sys::LONGLONG, out.as_mut_ptr().cast::<c_void>());
        let none = std::ptr::null_mut();
        let kind = T::TYPE as c_int;
        call("pixels", |status| unsafe {
            sys::ffgpxv(self.file, kind, first.as_mut_ptr(), n, none, into, std::ptr::null_mut(), status)
        });
        out
    }

    /// The cards of the current HDU, without END, their trailing blanks cut off.
    pub fn cards(&self) -> Vec<String> {
        let (mut count, mut room) = (0, 0);
        call("header", |status| unsafe { sys::ffghsp(self.file, &mut count, &mut room, status) });
        (1..=count)
            .map(|i| {
                let mut card = [0 as c_char; 81];
                call("card", |status| unsafe { sys::ffgrec(self.file, i, card.as_mut_ptr(), status) });
                text(card.as_ptr())
            })
            .collect()
    }

    /// A string of the current header, joined over its CONTINUE cards.
    pub fn string(&self, key: &str) -> String {
        let key = CString::new(key).unwrap();
        let mut value: *mut c_char = std::ptr::null_mut();
        let none = std::ptr::null_mut();
        call("string", |status| unsafe { sys::ffgkls(self.file, key.as_ptr(), &mut value, none, status) });
        let out = text(value);
        call("free", |status| unsafe { sys::fffree(value.cast(), status) });
        out
    }

    /// An integer of the current header.
    pub fn integer(&self, key: &str) -> i64 {
        let key = CString::new(key).unwrap();
        let mut value = 0;
        let none = std::ptr::null_mut();
        call("integer", |status| unsafe { sys::ffgkyjj(self.file, key.as_ptr(), &mut value, none, status) });
        value
    }

    /// A number of the current header.
    pub fn real(&self, key: &str) -> f64 {
        let key = CString::new(key).unwrap();
        let mut value = 0.0;
        let none = std::ptr::null_mut();
        call("real", |status| unsafe { sys::ffgkyd(self.file, key.as_ptr(), &mut value, none, status) });
        value
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        let mut status = 0;
        // SAFETY: the handle came from `ffdkopn` and is not used again. Nothing was written, so nothing can be lost.
        unsafe { sys::ffclos(self.file, &mut status) };
    }
}

#[track_caller]
fn call(what: &str, run: impl FnOnce(&mut c_int) -> c_int) {
    let mut status = 0;
    run(&mut status);
    assert_eq!(status, 0, "cfitsio: {what}");
}

fn text(from: *const c_char) -> String {
    // SAFETY: cfitsio ends its strings with a NUL.
    let text = unsafe { CStr::from_ptr(from) };
    text.to_string_lossy().trim_end().to_string()
}
