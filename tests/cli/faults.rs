//! Runs that are killed, again and again and at any moment, and folders that are not what they should be.

use super::support::{Outcome, exported, folder, json, log, names, segtrain, tiny_with, wait_for};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

/// A run of twelve steps that saves after each and scores after every fourth.
const SAVING: [&str; 6] = ["--set", "train.save_every_steps=1", "--set", "train.eval_every_steps=4", "--keep", "3"];

/// Kills it with SIGKILL at `kills` moments, and brings it to its end by resuming; what comes out must be what comes out of
/// an undisturbed run, to the bit.
fn killed_again_and_again(kills: usize, steps: &str, args: &[&str], seed: u64) {
    let folder = folder();
    let start =
        |out: &str| tiny_with(folder.path(), &[("--steps", steps)]).args(&SAVING).args(args).args(&["--out", out]);
    let begun = Instant::now();
    start("whole").succeeds();
    let whole = begun.elapsed();
    let run = folder.path().join("run");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut done, mut resumed) = (0, 0);
    while done < kills {
        let saved = run.join("checkpoints").is_dir()
            && names(run.join("checkpoints")).iter().any(|name| name.starts_with("step-"));
        let program = if saved {
            resumed += 1;
            segtrain(folder.path()).args(&["--resume", "run"])
        } else {
            // Killed before it had anything to lose.
            let _ = fs::remove_dir_all(&run);
            start("run")
        };
        let mut child = program.command().spawn().expect("it starts");
        sleep(whole.mul_f64(rng.random_range(0.0..0.5)));
        let ended = child.try_wait().expect("a process").is_some();
        let _ = child.kill();
        let outcome = Outcome::of(child.wait_with_output().expect("it ends"));
        if ended {
            // It was through before its moment came, or it was through already: again, from the start.
            assert!(outcome.code == 0 || outcome.stderr.contains("is done already"), "{}", outcome.stderr);
            compare(folder.path());
            fs::remove_dir_all(&run).expect("a run");
        } else {
            done += 1;
        }
    }
    assert!(resumed > 0);
    if names(run.join("checkpoints")).iter().any(|name| name.starts_with("step-")) {
        let outcome = segtrain(folder.path()).args(&["--resume", "run"]).run();
        assert!(outcome.code == 0 || outcome.stderr.contains("is done already"), "{}", outcome.stderr);
        compare(folder.path());
    }
}

/// The log, without how busy the workers of the asynchronous schedule were.
fn lines(folder: &Path, run: &str) -> Vec<Value> {
    let mut lines = log(&folder.join(run));
    for module in lines.iter_mut().filter_map(|line| line.get_mut("losses")?.as_array_mut()).flatten() {
        for key in ["queued", "staleness", "busy"] {
            module.as_object_mut().expect("a module's line").remove(key);
        }
    }
    lines
}

fn compare(folder: &Path) {
    assert_eq!(lines(folder, "run"), lines(folder, "whole"));
    assert_eq!(json(folder.join("run/report.json")), json(folder.join("whole/report.json")));
    assert!(exported(folder, "run") == exported(folder, "whole"), "weights differ");
}

#[test]
fn fifty_kills_change_nothing() {
    killed_again_and_again(50, "12", &[], 1);
}

#[test]
fn kills_change_nothing_of_the_other_schedules() {
    killed_again_and_again(8, "12", &["--schedule", "async"], 2);
    killed_again_and_again(8, "6", &["--schedule", "staged"], 3);
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_used() {
    let folder = folder();
    let run = |out: &str| tiny_with(folder.path(), &[("--steps", "4")]).args(&SAVING).args(&["--out", out]);
    run("run").succeeds();
    run("whole").succeeds();
    let newest = folder.path().join("run/checkpoints/step-000004/optimizer1.bpk");
    let mut bytes = fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&newest, bytes).unwrap();
    let told = segtrain(folder.path()).args(&["--resume", "run"]).succeeds().stderr;
    assert!(told.contains("step-000004/optimizer1.bpk: is damaged"), "{told}");
    assert!(told.contains("going on from the checkpoint of step 3"), "{told}");
    compare(folder.path());
    assert_eq!(names(folder.path().join("run/checkpoints")), ["step-000002", "step-000003", "step-000004"]);
}

/// A clock that is set back by an hour each time it is read.
#[cfg(target_os = "linux")]
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    static long looked;
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, now);
    if (id == CLOCK_REALTIME) now->tv_sec -= 3600 * __atomic_fetch_add(&looked, 1, __ATOMIC_SEQ_CST);
    return result;
}
"#;

#[cfg(target_os = "linux")]
#[test]
fn a_clock_that_moves_backwards_changes_nothing() {
    let folder = folder();
    let (source, clock) = (folder.path().join("clock.c"), folder.path().join("clock.so"));
    fs::write(&source, CLOCK).unwrap();
    // Rust links with it: it is there.
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&clock, &source]).arg("-ldl").status();
    assert!(built.is_ok_and(|status| status.success()), "cc makes the clock");
    let run = |out: &str| {
        let program = tiny_with(folder.path(), &[("--steps", "6")]).args(&SAVING);
        program.args(&["--tensorboard", "--out", out]).command()
    };
    assert!(run("whole").output().unwrap().status.success());
    let backwards = Outcome::of(run("run").env("LD_PRELOAD", &clock).output().unwrap());
    assert_eq!(backwards.code, 0, "{}", backwards.stderr);
    compare(folder.path());
    // And one that goes on from the checkpoint before, which is of a later time than the last.
    let checkpoints = folder.path().join("run/checkpoints");
    fs::remove_dir_all(checkpoints.join("step-000006")).expect("as if it had been killed before");
    for (step, days) in [("step-000005", 1), ("step-000004", 40_000)] {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400 * days);
        for name in names(checkpoints.join(step)).iter().map(String::as_str).chain([""]) {
            let opened = File::open(checkpoints.join(step).join(name));
            opened.and_then(|file| file.set_modified(time)).expect("its time is set");
        }
    }
    let resumed = segtrain(folder.path()).args(&["--resume", "run"]).command().env("LD_PRELOAD", &clock).output();
    assert!(resumed.unwrap().status.success());
    assert_eq!(names(&checkpoints), ["step-000004", "step-000005", "step-000006"]);
    compare(folder.path());
}

#[test]
fn two_processes_do_not_train_in_one_folder() {
    let folder = folder();
    let long = ["--set", "train.save_every_steps=1", "--out", "run"];
    let mut first =
        tiny_with(folder.path(), &[("--steps", "100000")]).args(&long).command().spawn().expect("it starts");
    wait_for("a checkpoint", || folder.path().join("run/checkpoints/step-000001").is_dir());
    let process = format!("process {}", first.id());
    segtrain(folder.path()).args(&["--resume", "run"]).fails(1, &["run", "another segtrain", &process, "--out"]);
    tiny_with(folder.path(), &[]).args(&["--out", "run"]).fails(1, &["another segtrain", &process]);
    first.kill().expect("it can be killed");
    first.wait().expect("it ends");
    let step = names(folder.path().join("run/checkpoints")).pop().expect("a checkpoint");
    let one_more = (step.trim_start_matches("step-").parse::<usize>().unwrap() + 1).to_string();
    segtrain(folder.path()).args(&["--resume", "run", "--steps", &one_more]).succeeds();
}

#[cfg(unix)]
#[test]
fn a_run_that_is_told_to_stop_saves_within_its_grace() {
    let folder = folder();
    let child = tiny_with(folder.path(), &[("--steps", "100000")])
        .args(&["--out", "run"])
        .command()
        .spawn()
        .expect("it starts");
    let run = folder.path().join("run");
    wait_for("the first line of the log", || run.join("metrics.jsonl").metadata().is_ok_and(|log| log.len() > 0));
    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(told.is_ok_and(|status| status.success()));
    let begun = Instant::now();
    let outcome = Outcome::of(child.wait_with_output().expect("it ends"));
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(outcome.code, 130, "{}", outcome.stderr);
    assert!(outcome.stdout.contains("go on with: segtrain --resume run"), "{}", outcome.stdout);
}
