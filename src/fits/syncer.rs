//! Written bytes go to the disk while the next are computed: what the last sync of a file has to wait for is then only
//! what was written since.

use std::fs::File;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Bytes that are worth a sync.
const WORTH: u64 = 4 << 20;

/// A thread that syncs a file again and again. A small file never has one. Dropped, it ends by itself.
#[derive(Default)]
pub(super) struct Syncer {
    running: Option<(SyncSender<()>, JoinHandle<io::Result<()>>)>,
    /// Bytes since it was last asked to.
    pending: u64,
}

impl Syncer {
    /// So many bytes were written to the file. Never waits for the disk. Where there is no descriptor or no thread to be
    /// had, the last sync of the file does it all.
    pub(super) fn wrote(&mut self, file: &File, bytes: u64) {
        self.pending += bytes;
        if self.pending < WORTH {
            return;
        }
        if self.running.is_none() {
            self.running = start(file).ok();
        }
        // If it has not come to the last request yet, it will take these bytes with it; if it has failed, `finish` says so.
        if self.running.as_ref().is_some_and(|(sender, _)| sender.try_send(()).is_ok()) {
            self.pending = 0;
        }
    }

    /// Waits for what is under way.
    ///
    /// # Errors
    /// A sync failed: the system says so once only, so the last sync of the file may not.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let Some((sender, thread)) = self.running.take() else { return Ok(()) };
        drop(sender);
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn start(file: &File) -> io::Result<(SyncSender<()>, JoinHandle<io::Result<()>>)> {
    let file = file.try_clone()?;
    // One may wait while another is done.
    let (sender, receiver) = sync_channel(1);
    let run = move || {
        while receiver.recv().is_ok() {
            file.sync_data()?;
        }
        Ok(())
    };
    Ok((sender, std::thread::Builder::new().name("sync".into()).spawn(run)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_that_fails_is_told() {
        // A pipe cannot be synced.
        let (reader, writer) = std::io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        let mut syncer = Syncer::default();
        syncer.wrote(&file, WORTH - 1);
        assert!(syncer.finish().is_ok(), "nothing was asked for");
        syncer.wrote(&file, 1);
        assert!(syncer.finish().is_err());
        drop(reader);
    }

    #[test]
    fn a_file_is_synced() {
        let file = tempfile::tempfile().unwrap();
        let mut syncer = Syncer::default();
        for _ in 0..5 {
            syncer.wrote(&file, WORTH);
        }
        syncer.finish().unwrap();
    }
}
