//! oracle ~ cpu ~ gpu: every case of [`cases`] runs on both engines and is compared with the f64 oracle or with an
//! outside judge. The GPU half is shown as ignored where there is no adapter, and fails there if
//! `NDASTRO_REQUIRE_GPU=1`.

// The oracle's and the comparer's own tests run in `tests/library.rs`.
#[path = "../compare/mod.rs"]
mod compare;
#[path = "../oracle/mod.rs"]
mod oracle;

mod cases;
mod frames;
mod golden;

use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use ndastro::Engine;

/// A check on one engine; the error is what to print.
pub type Check = fn(&Engine) -> Result<(), String>;

fn main() {
    let arguments = Arguments::from_args();
    let cpu = Arc::new(Engine::cpu(0).expect("threads"));
    let gpu = Engine::gpu(None, 0);
    let required = std::env::var_os("NDASTRO_REQUIRE_GPU").is_some_and(|v| v == "1");
    let mut trials = Vec::new();
    let all = cases::ALL.iter().chain(golden::ALL).copied();
    for (name, check) in all.clone() {
        let engine = cpu.clone();
        trials.push(Trial::test(format!("cpu::{name}"), move || check(&engine).map_err(Failed::from)));
    }
    match gpu {
        Ok(engine) => {
            let engine = Arc::new(engine);
            for (name, check) in all {
                let engine = engine.clone();
                trials.push(Trial::test(format!("gpu::{name}"), move || check(&engine).map_err(Failed::from)));
            }
        }
        Err(reason) => {
            let reason = reason.to_string();
            for (name, _) in all {
                let reason = reason.clone();
                let trial = Trial::test(format!("gpu::{name}"), move || Err(Failed::from(reason)));
                trials.push(trial.with_ignored_flag(!required));
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}
