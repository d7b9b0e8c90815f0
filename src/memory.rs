//! How much memory this process holds and may hold, and what it takes from disks.

use std::path::{Path, PathBuf};

/// Anonymous resident memory in bytes (RssAnon of `/proc/self/status`): what was allocated, without mapped files.
/// 0 where the system does not say.
pub(crate) fn anonymous() -> u64 {
    bytes_of("/proc/self/status", "RssAnon:").unwrap_or(0)
}

/// Faults that waited for a disk, and blocks that were read from one, so far: it stays as it is while all that is touched
/// is in memory. File systems may say the one, the other, or both.
pub(crate) fn reads_from_disk() -> u64 {
    // SAFETY: all zeros are numbers of a plain struct, which the call fills; it has no other effect.
    let usage = unsafe {
        let mut usage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    (usage.ru_majflt as u64).wrapping_add(usage.ru_inblock as u64)
}

/// A line of a file of `/proc` that is in kB, in bytes.
pub(crate) fn bytes_of(path: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(name))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Bytes that the system may keep of files for this process: what is free or can be, within the limits of its group. `None` where
/// the system does not say.
pub(crate) fn room_for_files() -> Option<u64> {
    let available = bytes_of("/proc/meminfo", "MemAvailable:");
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&groups).into_iter().filter_map(|path| {
        // A group without a limit says "max", or a number of no memory.
        std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()
    });
    available.into_iter().chain(limits).min()
}

/// Where the limits of memory of a process in these groups are: of its own and of all above, in both versions of groups.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(kinds), Some(group)) = (parts.next(), parts.next()) else { continue };
        let (root, name) = match kinds {
            "" => ("/sys/fs/cgroup", "memory.max"),
            kinds if kinds.split(',').any(|kind| kind == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        for group in Path::new(group.trim_start_matches('/')).ancestors() {
            files.push(Path::new(root).join(group).join(name));
        }
    }
    files
}

/// Bytes that are read around a page of a file on this device; the most that is usual where the system does not say.
pub(crate) fn read_around(device: u64) -> u64 {
    const MOST: u64 = 8 << 20;
    let device = format!("{}:{}", libc::major(device), libc::minor(device));
    let said = [
        format!("/sys/class/bdi/{device}/read_ahead_kb"),
        format!("/sys/dev/block/{device}/queue/read_ahead_kb"),
        // Of a partition its disk.
        format!("/sys/dev/block/{device}/../queue/read_ahead_kb"),
    ];
    let kib = said.iter().find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    kib.map_or(MOST, |kib| kib << 10)
}

/// Whether the page of a mapped byte is in memory; true where the system does not say. The byte is not read.
pub(crate) fn is_resident(byte: &u8) -> bool {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: a question about the system, without effect.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.max(1) as usize;
        let start = std::ptr::from_ref(byte) as usize / page * page;
        let mut resident = 1u8;
        // SAFETY: one page that is mapped, since the byte is in it, and room for the one answer there is.
        let said = unsafe { libc::mincore(start as *mut libc::c_void, page, &mut resident) };
        said != 0 || resident & 1 != 0
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = byte;
        true
    }
}

/// Asks for large pages for an array that nothing has touched yet.
pub(crate) fn in_large_pages<V>(array: &mut [V]) {
    #[cfg(target_os = "linux")]
    {
        const LARGE: usize = 2 << 20;
        let start = array.as_mut_ptr() as usize;
        let end = start + size_of_val(array);
        let (first, last) = (start.next_multiple_of(LARGE), end / LARGE * LARGE);
        if first < last {
            // SAFETY: whole pages inside memory that is ours; the advice says how they are made when they are first
            // touched, and changes nothing that is in them. It may be refused, and nothing depends on it.
            unsafe { libc::madvise(first as *mut libc::c_void, last - first, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = array;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_looked_for_in_the_group_and_above() {
        let paths = |groups: &str| -> Vec<String> {
            limit_files(groups)
                .into_iter()
                .map(|path| path.to_string_lossy().trim_end_matches('/').to_string())
                .collect()
        };
        assert_eq!(
            paths("0::/user.slice/job"),
            [
                "/sys/fs/cgroup/user.slice/job/memory.max",
                "/sys/fs/cgroup/user.slice/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(
            paths("4:cpu,cpuacct:/\n9:memory:/small\n"),
            ["/sys/fs/cgroup/memory/small/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        );
        assert_eq!(paths("nonsense\n1:freezer:/x"), [""; 0]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_says_what_there_is() {
        assert!(room_for_files().is_some_and(|room| room > 0));
        let device = std::os::unix::fs::MetadataExt::dev(&std::fs::metadata(std::env::temp_dir()).unwrap());
        assert!(read_around(device) <= 1 << 30);
    }
}
