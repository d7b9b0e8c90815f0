//! A thousand small stacks in one process leave its memory and its open files as they were. In a process of their own, since
//! others run beside this test.

use super::*;

const STACKS: usize = 1000;
/// After these everything has been made that is made once.
const BEFORE: usize = 200;
/// A device is slower.
const STACKS_OF_DEVICE: usize = 150;
const BEFORE_OF_DEVICE: usize = 50;
/// What may come and go: allocators keep some pages.
const SLACK: u64 = 4 << 20;

/// Resident anonymous memory, and open files.
fn held() -> (u64, usize) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    (kib << 10, fs::read_dir("/proc/self/fd").unwrap().count())
}

/// Stacks from files to a file and to memory, the methods in turn.
fn stacks(engine: &Engine, dir: &Path, frames: &[std::path::PathBuf], count: usize) {
    use ndastro::{Clip, Combine, Reject};
    for i in 0..count {
        let combine = [Combine::Mean, Combine::Median][i % 2];
        let reject = [Reject::None, Reject::SigClip(Clip::default())][i / 2 % 2];
        let stack = Stack::files(frames).unwrap().combine(combine).reject(reject);
        stack.write(engine, dir.join("out.fits"), true).unwrap();
        stack.eval(engine).unwrap();
    }
}

#[test]
#[ignore = "run by the test below, in a process of its own"]
fn alone() {
    let dir = TempDir::new().unwrap();
    let frames = write_frames(dir.path(), 3, &[40, 50]);
    let mut all = vec![(Engine::cpu(2).unwrap(), BEFORE, STACKS)];
    all.extend(gpu().map(|engine| (engine, BEFORE_OF_DEVICE, STACKS_OF_DEVICE)));
    for (engine, before, count) in all {
        stacks(&engine, dir.path(), &frames, before);
        let (memory, files) = held();
        stacks(&engine, dir.path(), &frames, count - before);
        let (memory_after, files_after) = held();
        println!("{}: {memory} -> {memory_after} bytes, {files} -> {files_after} files", engine.describe());
        assert_eq!(files_after, files);
        assert!(memory_after < memory + SLACK, "{memory} bytes before, {memory_after} after");
    }
    // An engine that was dropped leaves nothing either.
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    for _ in 0..20 {
        stacks(&Engine::cpu(2).unwrap(), dir.path(), &frames, 1);
    }
    // Threads of a pool end on their own, a moment later.
    let ended = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        threads() <= before
    });
    assert!(ended, "{before} threads before, {} after", threads());
}

#[test]
fn a_thousand_stacks_leave_nothing_behind() {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let done = child.args(["leaks::alone", "--exact", "--ignored", "--nocapture"]).output().unwrap();
    let out = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && out.contains("1 passed"), "{out}");
    println!("{out}");
}
