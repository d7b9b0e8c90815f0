//! How much memory this process holds.

/// Anonymous resident memory in bytes (RssAnon of `/proc/self/status`): what was allocated, without mapped files.
/// 0 where the system does not say.
pub(crate) fn anonymous() -> u64 {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return 0 };
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
