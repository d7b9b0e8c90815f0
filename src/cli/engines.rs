//! `ndastro engines`: what there is to compute with, and what `auto` takes.

use super::{Common, print};
use crate::{Engine, Result};

pub(super) fn run(common: &Common) -> Result<()> {
    print(&Engine::cpu(common.threads)?.describe())?;
    #[cfg(feature = "gpu")]
    {
        let all = crate::adapters();
        if all.is_empty() {
            print("gpu: no adapter was found (on Linux a Vulkan driver is needed)")?;
        }
        for a in &all {
            let kind = if a.software { "software adapter" } else { "adapter" };
            print(&format!("gpu, {kind} {} ({}, {}, {})", a.name, a.backend, a.kind, a.driver))?;
            let f64 = if a.f64 { "yes" } else { "no: inputs that need it are computed on the CPU" };
            print(&format!("     64-bit floats: {f64}"))?;
            let mib = |bytes: u64| bytes >> 20;
            print(&format!("     one binding: {} MiB, one buffer: {} MiB", mib(a.max_binding), mib(a.max_buffer)))?;
        }
    }
    #[cfg(not(feature = "gpu"))]
    print("gpu: this build has none (feature `gpu`)")?;
    let auto = Engine::auto_with(common.threads)?;
    let why = match auto.adapter() {
        Some(_) => "it is the best hardware adapter",
        None => "there is no hardware adapter; a software one is taken only with --engine gpu",
    };
    print(&format!("auto takes {}: {why}", auto.describe()))
}
