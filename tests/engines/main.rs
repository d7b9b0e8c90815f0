//! oracle ~ cpu ~ gpu: every case runs on both engines and is compared with the f64 oracle or with an outside judge; and
//! a third time on a device that is told to have no 64-bit floats and memory of its own, as many cards (`pair::`): a
//! software one has both, and its kernels are others then. What needs a GPU is shown as ignored where there is no adapter,
//! and fails there if `NDASTRO_REQUIRE_GPU=1`.

// The oracle's and the comparer's own tests run in `tests/library.rs`.
#[path = "../compare/mod.rs"]
mod compare;
#[path = "../oracle/mod.rs"]
mod oracle;

mod cases;
mod expr;
mod expr_astropy;
mod frames;
mod golden;
mod stack_judges;
mod stacks;

use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use ndastro::Engine;

use expr::{Kind, On};

/// A check on one engine; the error is what to print.
pub type Check = fn(&Engine) -> Result<(), String>;

/// Not run as `pair::`: what differs from others by a choice alone, and has many shaders to compile.
const ONCE: &[&str] =
    &["stack_mean", "stack_lmedian", "stack_sum", "stack_min", "stack_max", "stack_threads_do_not_matter"];

fn main() {
    let arguments = Arguments::from_args();
    let required = std::env::var_os("NDASTRO_REQUIRE_GPU").is_some_and(|v| v == "1");
    let mut trials = Vec::new();
    let engines: [(&str, Kind, ndastro::Result<Engine>); 3] = [
        ("cpu", Kind::Cpu, Engine::cpu(0)),
        ("gpu", Kind::Gpu, Engine::gpu(None, 0)),
        // The same adapter as if it had no 64-bit floats, and memory of its own.
        ("pair", Kind::Pair, Engine::gpu_without_f64(None, 0)),
    ];
    for (kind, mode, engine) in engines {
        let all = [cases::ALL, golden::ALL, stacks::ALL, stack_judges::ALL].into_iter().flatten();
        let stacks = all.filter(|(name, _)| kind != "pair" || !ONCE.contains(name));
        let names = stacks.clone().map(|c| c.0).chain(expr::all().map(|c| c.0));
        match engine {
            Ok(engine) => {
                let on = Arc::new(On::new(engine, mode));
                for &(name, check) in stacks {
                    let on = on.clone();
                    let run = move || check(&on.engine).map_err(Failed::from);
                    trials.push(Trial::test(format!("{kind}::{name}"), run));
                }
                for &(name, check) in expr::all() {
                    let on = on.clone();
                    trials.push(Trial::test(format!("{kind}::{name}"), move || check(&on).map_err(Failed::from)));
                }
            }
            Err(reason) => {
                for name in names {
                    let reason = reason.to_string();
                    let trial = Trial::test(format!("{kind}::{name}"), move || Err(Failed::from(reason)));
                    trials.push(trial.with_ignored_flag(!required && mode != Kind::Cpu));
                }
            }
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    expr::report();
    conclusion.exit();
}
