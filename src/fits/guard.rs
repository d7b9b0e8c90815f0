//! A guard for mapped files: a page that cannot be read any more ends a run with an error, not the process.
//!
//! A mapped file that another process shortens, or whose disk fails, raises SIGBUS at the next touch of a page that is
//! gone. The handler here looks whether the address lies in a guarded mapping. If so it puts zero pages over the rest of
//! that mapping, marks it broken, and the read goes on; [`Guard::is_broken`] is asked before any result is used. A
//! fault elsewhere is handed to the handler that was there before, or ends the process as it would have.
//!
//! The handler uses atomics and `mmap` alone: it may run on any thread at any moment, those of GPU drivers included.

use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Mappings that can be guarded at one time; beyond, a mapping is unguarded. One process has at most about as many.
const SLOTS: usize = 65_536;

struct Slot {
    /// 0: free.
    start: AtomicUsize,
    end: AtomicUsize,
    broken: AtomicBool,
}

/// Never written until used, so it costs address space, not memory.
static TABLE: [Slot; SLOTS] =
    [const { Slot { start: AtomicUsize::new(0), end: AtomicUsize::new(0), broken: AtomicBool::new(false) } }; SLOTS];
/// Slots from here on were never used.
static HIGH: AtomicUsize = AtomicUsize::new(0);
/// What handled SIGBUS before.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// A mapping under guard, as long as this lives.
pub(super) struct Guard(Option<usize>);

impl Guard {
    /// Guards `len` bytes at `start`, the whole of a mapping.
    pub(super) fn new(start: *const u8, len: usize) -> Self {
        install();
        let start = start as usize;
        for (i, slot) in TABLE.iter().enumerate() {
            // 1 is no address of a mapping: it holds the place until the end is known.
            if slot.start.load(Ordering::Relaxed) == 0
                && slot.start.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            {
                slot.end.store(start + len, Ordering::Relaxed);
                slot.broken.store(false, Ordering::Relaxed);
                slot.start.store(start, Ordering::Release);
                HIGH.fetch_max(i + 1, Ordering::AcqRel);
                return Guard(Some(i));
            }
        }
        Guard(None)
    }

    /// Whether a page of the mapping could not be read; zeros stand in its place.
    pub(super) fn is_broken(&self) -> bool {
        self.0.is_some_and(|i| TABLE[i].broken.load(Ordering::Acquire))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(i) = self.0 {
            TABLE[i].start.store(0, Ordering::Release);
        }
    }
}

fn install() {
    BEFORE.get_or_init(|| {
        let mut before = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: `handle` is a handler of the SA_SIGINFO kind, and both structures are valid; zeroed is a valid
        // sigaction. A failure leaves the old handler, and `before` zeroed, which is the default action.
        unsafe {
            let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
            action.sa_sigaction = handle as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(libc::SIGBUS, &raw const action, before.as_mut_ptr());
            before.assume_init()
        }
    });
}

extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system calls this with a valid siginfo_t.
    let address = unsafe { (*info).si_addr() } as usize;
    for slot in &TABLE[..HIGH.load(Ordering::Acquire).min(SLOTS)] {
        let start = slot.start.load(Ordering::Acquire);
        let end = slot.end.load(Ordering::Relaxed);
        if start > 1 && (start..end).contains(&address) {
            slot.broken.store(true, Ordering::Release);
            // SAFETY: sysconf of a constant.
            let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
            let from = address & !(page - 1);
            let len = end.next_multiple_of(page) - from;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
            // SAFETY: replaces pages of a mapping that its owner holds and only reads; it stays mapped, and is
            // unmapped by its owner as before.
            let done = unsafe { libc::mmap(from as *mut libc::c_void, len, libc::PROT_READ, flags, -1, 0) };
            if done != libc::MAP_FAILED {
                return;
            }
        }
    }
    pass_on(signal, info, context);
}

/// What would have happened without this guard.
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let before = BEFORE.get();
    match before.map_or(libc::SIG_DFL, |b| b.sa_sigaction) {
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: restores the default; the fault happens again as this returns, and ends the process.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        handler if before.is_some_and(|b| b.sa_flags & libc::SA_SIGINFO != 0) => {
            // SAFETY: the address was installed as a handler with these arguments.
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: the address was installed as a handler with this argument.
            let handler: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_that_shrinks_reads_as_zeros_and_is_marked() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 3 * 65_536]).unwrap();
        // SAFETY: the file is this test's own.
        let map = unsafe { memmap2::Mmap::map(&file) }.unwrap();
        let guard = Guard::new(map.as_ptr(), map.len());
        assert_eq!(map[2 * 65_536], 7);
        assert!(!guard.is_broken());
        file.set_len(10).unwrap();
        assert_eq!(map[3 * 65_536 - 1], 0);
        assert!(guard.is_broken());
        // The page that is still there stays readable.
        assert_eq!(map[0], 7);
    }

    #[test]
    fn slots_are_given_back() {
        let guards: Vec<Guard> = (1..100usize).map(|i| Guard::new((i * 1_000_000) as *const u8, 10)).collect();
        assert!(guards.iter().all(|g| g.0.is_some()));
        drop(guards);
        let again = Guard::new(1_000_000 as *const u8, 10);
        assert!(again.0.is_some_and(|i| i < 110), "{:?}", again.0);
    }
}
