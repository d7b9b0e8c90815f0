//! Signals: SIGINT, SIGTERM and SIGHUP ask the run to stop, and it cleans up after itself.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crate::{Error, Result};

/// 128 + the signal that came first.
static CODE: AtomicU8 = AtomicU8::new(130);

/// A flag that becomes true at the first signal to stop. A second signal ends the process at once.
pub(super) fn stop_flag() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        let code = 128 + signal;
        let failed = |e| Error::io(Path::new("signal handler"), "cannot install")(e);
        signal_hook::flag::register_conditional_shutdown(signal, code, flag.clone()).map_err(failed)?;
        let seen = flag.clone();
        let note = move || {
            if !seen.swap(true, Ordering::SeqCst) {
                CODE.store(code as u8, Ordering::SeqCst);
            }
        };
        // SAFETY: the handler stores to atomics, which is all that a signal handler may do.
        unsafe { signal_hook::low_level::register(signal, note) }.map_err(failed)?;
    }
    Ok(flag)
}

/// A signal to stop ends the process, with the code of an interruption: for what leaves nothing behind.
pub(super) fn exit_at_once() -> Result<()> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        let failed = |e| Error::io(Path::new("signal handler"), "cannot install")(e);
        let always = Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, always).map_err(failed)?;
    }
    Ok(())
}

/// The exit code of an interrupted run.
pub(super) fn exit_code() -> u8 {
    CODE.load(Ordering::SeqCst)
}

/// A file that grows beyond `ulimit -f` shall be an error of the write, not the end of the process.
pub(super) fn ignore_file_size_limit() {
    // SAFETY: sets a disposition; no handler runs.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}
