//! Whether hardware may be there, before any driver is loaded: loading them all only to learn that there is none takes as long
//! as a short job.

use std::path::Path;

/// How the nodes in `/dev` begin through which Linux drivers reach their devices: those of the kernel's DRM, and of vendors that
/// have their own.
const NODES: [&str; 8] = ["dri", "nvidia", "kfd", "dxg", "kgsl", "mali", "nvhost", "nvgpu"];

/// Whether a hardware adapter may be there: on Linux none is without a node, elsewhere only the drivers know.
pub(super) fn may_have_hardware() -> bool {
    !cfg!(target_os = "linux") || has_node(Path::new("/dev"))
}

/// A folder that cannot be read may have any.
fn has_node(dev: &Path) -> bool {
    let Ok(entries) = dev.read_dir() else { return true };
    entries.flatten().any(|entry| NODES.iter().any(|node| entry.file_name().to_string_lossy().starts_with(node)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_known_by_how_they_begin() {
        for (name, is) in [("dri", true), ("nvidia0", true), ("dxg", true), ("null", false), ("xdri", false)] {
            let dev = tempfile::tempdir().unwrap();
            std::fs::write(dev.path().join("tty0"), "").unwrap();
            std::fs::write(dev.path().join(name), "").unwrap();
            assert_eq!(has_node(dev.path()), is, "{name}");
        }
        assert!(has_node(Path::new("/no such folder")));
    }
}
