//! How much memory this process holds, and what it takes from disks.

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
