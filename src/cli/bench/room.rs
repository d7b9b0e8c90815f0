//! How many rows of an image fit this machine: the files of a chapter shall lie in the page cache, and on the disk.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::data::Kind;

/// Of the memory that is free, files and arrays take no more than 4 of 10 parts: outputs and buffers come on top.
const OF_MEMORY: u64 = 4;
/// Of the disk space that is free, 9 of 10.
const OF_DISK: u64 = 9;
/// Bytes a pixel of the outputs of two engines, and of the file that is written as a limit.
const OUTPUTS: u64 = 30;

/// Bytes that are free; `None` where the system does not say.
#[derive(Clone, Copy)]
pub(super) struct Room {
    memory: Option<u64>,
    disk: Option<u64>,
}

impl Room {
    /// For files in this folder, now.
    pub(super) fn of(folder: &Path) -> Self {
        Room { memory: crate::memory::bytes_of("/proc/meminfo", "MemAvailable:"), disk: free_disk(folder) }
    }

    /// As many rows of `size` pixels as there is room for, `size` at most; and why they are fewer, if they are.
    pub(super) fn rows(self, kinds: &[Kind], frames: usize, size: usize) -> (usize, Option<String>) {
        let sum = |of: &dyn Fn(&Kind) -> u64| kinds.iter().map(of).sum::<u64>() * size as u64;
        let all = sum(&|k| k.bytes(frames));
        let files = sum(&|k| if k.in_files() { k.bytes(frames) } else { 0 }) + OUTPUTS * size as u64;
        let fit = |free: Option<u64>, tenths: u64, row: u64| {
            free.map_or(size, |free| usize::try_from(free / 10 * tenths / row.max(1)).unwrap_or(size))
        };
        let (memory, disk) = (fit(self.memory, OF_MEMORY, all), fit(self.disk, OF_DISK, files));
        let rows = memory.min(disk).min(size).max(1);
        let note = (rows < size).then(|| {
            let what = if memory <= disk { "40 percent of the free memory" } else { "the free disk space" };
            format!("images of {rows} rows, not {size}: no more fit {what}")
        });
        (rows, note)
    }
}

#[allow(clippy::unnecessary_cast, reason = "the types of these numbers differ between systems")]
fn free_disk(folder: &Path) -> Option<u64> {
    let path = CString::new(folder.as_os_str().as_bytes()).ok()?;
    let mut about = MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the path ends with a zero, and the structure is there to be filled; zeros are a valid one.
    let about = unsafe {
        if libc::statvfs(path.as_ptr(), about.as_mut_ptr()) != 0 {
            return None;
        }
        about.assume_init()
    };
    (about.f_bavail as u64).checked_mul(about.f_frsize as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_left_out_where_room_is_short() {
        let rows = |memory, disk| Room { memory, disk }.rows(&[Kind::Mef], 5, 100);
        assert_eq!(rows(None, None), (100, None));
        // 50 bytes a pixel, 5000 a row; with outputs 8000.
        assert_eq!(rows(Some(1_250_000), None), (100, None));
        let (fewer, note) = rows(Some(1_000_000), Some(1_000_000));
        assert_eq!((fewer, note.unwrap().contains("memory")), (80, true));
        let (fewer, note) = rows(Some(1_250_000), Some(100_000));
        assert_eq!((fewer, note.unwrap().contains("disk")), (11, true));
        assert_eq!(rows(Some(1), None).0, 1);
    }

    #[test]
    fn this_machine_has_some() {
        assert!(free_disk(&std::env::temp_dir()).is_some_and(|free| free > 0));
        assert_eq!(free_disk(Path::new("/no/such/folder")), None);
    }
}
