//! Disks that are full or cannot be written to.
#![cfg(target_os = "linux")]

use super::support::{folder, names, segeval, segprobe, segtrain, semantic, tiny};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A small disk of its own, for as long as it lives.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    /// `None` where this user may not mount.
    fn mount(folder: &'a Path) -> Option<Self> {
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m", "infoseg-test"]).arg(folder);
        mount.output().is_ok_and(|output| output.status.success()).then(|| Self(folder))
    }

    /// Forbids writing to it from now on.
    fn lock(&self) {
        let mut mount = std::process::Command::new("mount");
        let done = mount.args(["-o", "remount,ro"]).arg(self.0).status();
        assert!(done.is_ok_and(|status| status.success()), "it can be remounted");
    }

    /// Writes a file of all the room there is, but `left` bytes.
    fn fill(&self, left: u64) {
        let path = self.0.join("filler");
        let mut zeros = fs::File::create(&path).expect("a file");
        std::io::copy(&mut std::io::repeat(0), &mut zeros).expect_err("the disk is full at some time");
        let size = zeros.metadata().expect("its size").len();
        zeros.set_len(size.saturating_sub(left)).expect("it shrinks");
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[test]
fn a_disk_that_is_full_while_saving_leaves_the_checkpoint_before() {
    let folder = folder();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).expect("a folder");
    let Some(mounted) = Disk::mount(&disk) else {
        println!("skipped: this user may not mount a disk to fill");
        return;
    };
    tiny(folder.path()).args(&["--out", "disk/run"]).succeeds();
    let good = semantic(disk.join("run/report.json"));
    mounted.fill(200 << 10); // enough for the log and the first of the checkpoint's files
    let words = [
        "step 4: disk/run/checkpoints: no checkpoint saved: the disk is full; free some space",
        "the checkpoint of step 3 is intact, go on from it with `segtrain --resume disk/run`",
    ];
    segtrain(folder.path()).args(&["--resume", "disk/run", "--steps", "4"]).fails(1, &words);
    assert_eq!(names(disk.join("run/checkpoints")), ["step-000003"], "and nothing half saved");

    segeval(folder.path()).args(&["disk/run", "--out", "scores"]).succeeds();
    assert_eq!(semantic(folder.path().join("scores/report.json")), good);
    fs::remove_file(disk.join("filler")).expect("room again");
    segtrain(folder.path()).args(&["--resume", "disk/run"]).succeeds();
    assert_eq!(names(disk.join("run/checkpoints")), ["step-000003", "step-000004"]);
}

#[test]
fn a_disk_that_is_read_only_is_told_before_any_work() {
    let folder = folder();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).expect("a folder");
    let mounted = Disk::mount(&disk);
    tiny(folder.path()).args(&["--out", "disk/run"]).succeeds();
    let before = names(disk.join("run"));
    // A user who may not mount a disk may, as a rule, not write to a folder without permission either.
    let cause = match &mounted {
        Some(mounted) => {
            mounted.lock();
            "the disk is read-only"
        }
        None => {
            for folder in [disk.clone(), disk.join("run")] {
                fs::set_permissions(folder, fs::Permissions::from_mode(0o555)).expect("it is ours");
            }
            if fs::create_dir(disk.join("probe")).is_ok() {
                println!("skipped: this user may not mount a disk, and may write everywhere");
                return;
            }
            "no permission"
        }
    };
    tiny(folder.path()).args(&["--out", "disk/other"]).fails(1, &["disk/other", cause]);
    segtrain(folder.path()).args(&["--resume", "disk/run", "--steps", "4"]).fails(1, &["disk/run", cause]);
    segeval(folder.path()).args(&["disk/run"]).fails(1, &["disk/run/eval-val", cause]);
    segprobe(folder.path()).args(&["disk/run"]).fails(1, &["disk/run/probe", cause]);
    // Where a run is only read it may be anywhere.
    segeval(folder.path()).args(&["disk/run", "--out", "scores"]).succeeds();
    assert_eq!(names(disk.join("run")), before);
    for folder in [&disk.join("run"), &disk] {
        let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o755)); // so that it can be removed
    }
}
