//! How far a run is: a bar on a terminal, nothing elsewhere.

use std::io::IsTerminal;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};

use crate::{Progress, Result};

/// Runs a job that tells how far it is, if there is someone to look.
pub(super) fn with_progress<R>(quiet: bool, run: impl FnOnce(Option<Progress>) -> Result<R>) -> Result<R> {
    if quiet || !std::io::stderr().is_terminal() {
        return run(None);
    }
    let bar = ProgressBar::new(1);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent:>3} % {elapsed_precise} eta {eta}") {
        bar.set_style(style);
    }
    let shown = bar.clone();
    let result = run(Some(Arc::new(move |done, all| {
        shown.set_length(all);
        shown.set_position(done);
    })));
    bar.finish_and_clear();
    result
}
