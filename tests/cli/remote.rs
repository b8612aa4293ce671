//! Local modules on devices of other machines: each worker a process of its own, on this one.
#![cfg(feature = "remote")]

use super::support::{Outcome, folder, losses, names, segtrain, segworker, tiny_with, wait_for};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

/// A `segworker` that runs until it is dropped.
struct Worker {
    process: Child,
    /// As `segtrain --devices` names it.
    device: String,
}

/// Starts one on a port that is free.
fn worker(folder: &Path, args: &[&str]) -> Worker {
    let mut command = segworker(folder).args(&["--listen", "127.0.0.1:0", "--device", "cpu"]).args(args).command();
    let mut process = command.spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(process.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
    let address = line.trim().strip_prefix("lending cpu on ").expect("where it listens");
    Worker { device: format!("remote://{address}"), process }
}

impl Worker {
    fn kill(&mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it ends");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_module_on_a_worker_learns_what_it_learns_here() {
    let folder = folder();
    let token = folder.path().join("token");
    fs::write(&token, "a shared secret\n").unwrap();
    let first = worker(folder.path(), &["--token-file", "token"]);
    let run = |out: &str| tiny_with(folder.path(), &[("--steps", "3")]).args(&["--out", out]);
    run("here").succeeds();
    let devices = format!("cpu,{}", first.device);
    for (out, schedule) in [("there", "sequential"), ("at-once", "async")] {
        let there = ["--devices", &devices, "--token-file", "token", "--schedule", schedule];
        let told = run(out).args(&there).succeeds().stderr;
        assert!(told.contains(&format!(" on {}\n", first.device)), "{told}");
        let (here, there) = (losses(&folder.path().join("here")), losses(&folder.path().join(out)));
        assert_eq!((here.len(), there.len()), (6, 6));
        assert!(here.iter().zip(&there).all(|(a, b)| (a - b).abs() < 1e-4), "{here:?} and {there:?}");
    }

    // Two workers that know nothing of each other.
    let second = worker(folder.path(), &["--token-file", "token"]);
    let both = format!("{},{}", first.device, second.device);
    run("both").args(&["--devices", &both, "--token-file", "token"]).succeeds();
    let both = losses(&folder.path().join("both"));
    assert!(losses(&folder.path().join("here")).iter().zip(&both).all(|(a, b)| (a - b).abs() < 1e-4), "{both:?}");

    fs::write(folder.path().join("wrong"), "a guess").unwrap();
    run("no").args(&["--devices", &devices, "--token-file", "wrong"]).fails(2, &[&first.device, "another token"]);
    run("no").args(&["--devices", &devices]).fails(2, &[&first.device, "wants a token", "--token-file"]);
    run("no").args(&["--devices", &format!("{0},{0}", first.device)]).fails(2, &["named twice"]);
}

#[test]
fn a_worker_that_is_killed_ends_the_run_which_goes_on_with_another() {
    let folder = folder();
    let mut first = worker(folder.path(), &[]);
    let devices = format!("cpu,{}", first.device);
    let saving = ["--set", "train.save_every_steps=2", "--out", "run", "--schedule", "async"];
    let child = tiny_with(folder.path(), &[("--steps", "100000")])
        .args(&saving)
        .args(&["--devices", &devices])
        .command()
        .env_remove("RUST_BACKTRACE")
        .spawn()
        .expect("it starts");
    let run = folder.path().join("run");
    wait_for("a checkpoint", || run.join("checkpoints/step-000002").is_dir());
    first.kill();
    let killed = Instant::now();
    let outcome = Outcome::of(child.wait_with_output().expect("it ends"));
    assert!(killed.elapsed() < Duration::from_secs(10), "it took {:?}", killed.elapsed());
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    for words in [first.device.as_str(), "is intact", "segtrain --resume run"] {
        assert!(outcome.stderr.contains(words), "{}", outcome.stderr);
    }
    assert!(!outcome.stderr.contains("internal error"), "{}", outcome.stderr);

    let last = names(run.join("checkpoints")).pop().expect("a checkpoint");
    let step: usize = last.trim_start_matches("step-").parse().unwrap();
    let steps = (step + 2).to_string();
    let resume = ["--resume", "run", "--steps", &steps];
    segtrain(folder.path()).args(&resume).args(&["--devices", &devices]).fails(2, &[&first.device, "segworker"]);
    let second = worker(folder.path(), &[]);
    segtrain(folder.path()).args(&resume).args(&["--devices", &format!("cpu,{}", second.device)]).succeeds();
}

/// A worker whose process hangs, while its machine takes connections for it.
#[cfg(unix)]
#[test]
fn a_worker_that_is_stopped_ends_the_run() {
    let folder = folder();
    let stopped = worker(folder.path(), &[]);
    let child = tiny_with(folder.path(), &[("--steps", "100000")])
        .args(&["--set", "train.save_every_steps=2", "--out", "run", "--devices", &format!("cpu,{}", stopped.device)])
        .command()
        .env_remove("RUST_BACKTRACE")
        .spawn()
        .expect("it starts");
    wait_for("a checkpoint", || folder.path().join("run/checkpoints/step-000002").is_dir());
    let signal = std::process::Command::new("kill").args(["-STOP", &stopped.process.id().to_string()]).status();
    assert!(signal.is_ok_and(|status| status.success()));
    let begun = Instant::now();
    let outcome = Outcome::of(child.wait_with_output().expect("it ends"));
    assert!(begun.elapsed() < Duration::from_secs(15), "it took {:?}", begun.elapsed());
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    for words in [stopped.device.as_str(), "does not answer any more", "is intact"] {
        assert!(outcome.stderr.contains(words), "{}", outcome.stderr);
    }
}

#[test]
fn who_may_reach_a_worker_is_said() {
    let folder = folder();
    segworker(folder.path()).args(&["--listen", "0.0.0.0:7700"]).fails(2, &["--token-file", "127.0.0.1"]);
    fs::write(folder.path().join("empty"), "\n").unwrap();
    segworker(folder.path()).args(&["--token-file", "empty"]).fails(1, &["empty", "holds no token"]);
    let nobody = ["--devices", "cpu,remote://127.0.0.1:1"];
    tiny_with(folder.path(), &[]).args(&nobody).fails(2, &["remote://127.0.0.1:1", "no worker answers", "segworker"]);
    let unknown = ["--devices", "cpu,remote://no-such-host.invalid:7700"];
    tiny_with(folder.path(), &[]).args(&unknown).fails(2, &["no host `no-such-host.invalid`"]);
    // A server of another program.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            use std::io::Write;
            let _ = stream.and_then(|mut stream| stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n"));
        }
    });
    let other = format!("cpu,remote://{address}");
    tiny_with(folder.path(), &[]).args(&["--devices", &other]).fails(2, &[&address.to_string()]);
    // One that says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let silent_device = format!("remote://{address}");
    tiny_with(folder.path(), &[])
        .args(&["--devices", &format!("cpu,{silent_device}")])
        .fails(2, &[&silent_device, "segworker"]);
    drop(silent);
}
