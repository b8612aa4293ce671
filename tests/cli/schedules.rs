//! `--schedule async`: all modules at once, and the numbers of one after another.

use super::support::{exported, folder, json, log, losses, names, segbench, tiny, tiny_with};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// A log without what only workers write, and what a worker wrote: queued, staleness and busy share of each module.
fn without_workers(run: &Path) -> (Vec<Value>, Vec<[f64; 3]>) {
    let mut lines = log(run);
    let mut workers = Vec::new();
    for module in lines.iter_mut().filter_map(|line| line.get_mut("losses")?.as_array_mut()).flatten() {
        let module = module.as_object_mut().expect("a module's line");
        let taken = ["queued", "staleness", "busy"].map(|key| module.remove(key).and_then(|value| value.as_f64()));
        if let [Some(queued), Some(staleness), Some(busy)] = taken {
            workers.push([queued, staleness, busy]);
        }
    }
    (lines, workers)
}

#[test]
fn at_once_or_one_after_another_is_the_same_run() {
    let folder = folder();
    let three = |out: &str| tiny_with(folder.path(), &[("--local-k", "3"), ("--steps", "6")]).args(&["--out", out]);
    let saving = ["--set", "train.save_every_steps=4", "--set", "train.eval_every_steps=2"];
    three("sequential").args(&saving).succeeds();
    let (sequential, none) = without_workers(&folder.path().join("sequential"));
    assert!(none.is_empty());
    for depth in ["0", "3"] {
        let run = format!("async{depth}");
        let outcome = three(&run).args(&saving).args(&["--schedule", "async", "--queue-depth", depth]).succeeds();
        for module in 1..=3 {
            assert!(outcome.stderr.contains(&format!("\n  module {module}: busy ")), "{}", outcome.stderr);
        }
        let (lines, workers) = without_workers(&folder.path().join(&run));
        assert_eq!(lines, sequential, "queue depth {depth}");
        assert_eq!(workers.len(), 6 * 3);
        assert!(workers.iter().all(|[queued, _, busy]| *queued <= depth.parse::<f64>().unwrap() + 1.0 && *busy <= 1.0));
        assert!(names(folder.path().join(&run).join("plots")).contains(&"workers.png".to_string()));
        assert_eq!(
            json(folder.path().join(&run).join("report.json")),
            json(folder.path().join("sequential/report.json"))
        );
        assert!(exported(folder.path(), &run) == exported(folder.path(), "sequential"), "queue depth {depth}: weights");
    }
    // A run may go on with the other schedule.
    let resumed = ["--resume", "async3", "--steps", "8", "--schedule", "sequential"];
    super::support::segtrain(folder.path()).args(&resumed).succeeds();
}

#[test]
fn a_worker_s_failure_ends_the_run_with_its_cause() {
    let folder = folder();
    let hopeless = ["--schedule", "async", "--set", "optim.lr=1e30", "--set", "optim.warmup_steps=0", "--out", "run"];
    tiny_with(folder.path(), &[("--steps", "30")]).args(&hopeless).fails(1, &["local module", "lower optim.lr"]);
}

#[test]
fn depths_that_cannot_be_are_refused() {
    let folder = folder();
    tiny(folder.path()).args(&["--queue-depth", "-1"]).fails(2, &["--queue-depth"]);
    tiny(folder.path()).args(&["--queue-depth", "65"]).fails(2, &["train.queue_depth = 65", "at most 64"]);
    tiny_with(folder.path(), &[("--local-k", "1")]).args(&["--schedule", "async"]).fails(2, &["async", "--local-k 2"]);
    tiny(folder.path()).args(&["--schedule", "sometimes"]).fails(2, &["--schedule", "async"]);
}

#[test]
fn scaling_is_predicted_and_checked() {
    let folder = folder();
    let small = [
        "scaling",
        "--resolution",
        "64x64",
        "--batch-size",
        "2",
        "--local-k",
        "2",
        "--device",
        "cpu",
        "--bench-steps",
        "1",
    ];
    let table = segbench(folder.path()).args(&small).succeeds().stdout;
    assert!(table.contains("| 8 |") && table.contains("images/s one after another on one thread"), "{table}");
    let json = segbench(folder.path()).args(&small).args(&["--numbers", "1,2", "--json"]).succeeds().stdout;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let rows = json["predicted"].as_array().expect("rows");
    assert_eq!(rows.len(), 2);
    assert!(rows[1]["asynchronous"].as_f64() >= rows[1]["sequential"].as_f64());
    assert!(
        json["modules"][0]["handed_on"].as_u64() > Some(1000) && json["modules"][1]["handed_on"].as_u64() == Some(0)
    );
    segbench(folder.path()).args(&["scaling", "--link", "0"]).fails(2, &["--link 0", "above 0"]);
}

#[test]
fn modules_are_placed_on_devices() {
    let folder = folder();
    let run = |out: &str| tiny_with(folder.path(), &[("--local-k", "3"), ("--steps", "3")]).args(&["--out", out]);
    run("one").succeeds();
    let two = ["--devices", "cpu:0,cpu:1", "--schedule", "async"];
    let placed = run("two").args(&two).succeeds().stderr;
    let lines: Vec<&str> = placed.lines().filter(|line| line.starts_with("local module ")).collect();
    assert!(lines[0].ends_with(" on cpu:0") && lines[2].ends_with(" on cpu:1"), "{placed}");
    assert_eq!(without_workers(&folder.path().join("two")).0, without_workers(&folder.path().join("one")).0);
    let said = run("three").args(&two).args(&["--place", "1,0,1"]).succeeds().stderr;
    assert!(said.lines().any(|line| line.starts_with("local module 2 ") && line.ends_with(" on cpu:0")), "{said}");

    run("no").args(&["--devices", "cpu:0,cpu:0"]).fails(2, &["cpu:0 is named twice"]);
    run("no").args(&["--devices", "cpu,cpu:1"]).fails(2, &["cpu:1 is named twice", "cpu:0, cpu:1"]);
    run("no").args(&["--devices", "cpu:0,cpu:1,cpu:2,cpu:3"]).fails(2, &["4 devices for 3 local modules"]);
    run("no").args(&two).args(&["--place", "0,1"]).fails(2, &["names 2 devices for 3 local modules"]);
    // A module for each device, two for async; `--device` takes back what a run's own file says.
    tiny_with(folder.path(), &[("--local-k", "auto")]).args(&two).args(&["--out", "auto"]).succeeds();
    super::support::segtrain(folder.path())
        .args(&["--resume", "two", "--steps", "5", "--device", "cuda:3"])
        .fails(2, &["cuda:3"]);
    run("no").args(&["--devices", "cuda:0,cpu"]).fails(2, &["cuda"]);
}

/// A staged run of three modules with four steps each, and where it is.
fn staged(folder: &Path, out: &str) -> super::support::Program {
    tiny_with(folder, &[("--local-k", "3"), ("--steps", "4")]).args(&["--schedule", "staged", "--out", out]).args(&[
        "--set",
        "train.save_every_steps=1",
        "--set",
        "train.keep_checkpoints=20",
    ])
}

#[test]
fn modules_that_learn_one_by_one_go_on_where_they_stopped() {
    let folder = folder();
    let whole = staged(folder.path(), "whole").succeeds();
    assert!(whole.stderr.contains("whole/features/module1"));
    let run = folder.path().join("whole");
    assert!(!run.join("features").exists(), "nobody reads them again");
    let modules: Vec<u64> =
        log(&run).iter().filter_map(|line| line["losses"].as_array()?[0]["module"].as_u64()).collect();
    assert_eq!(modules, [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]);
    let weights = |run: &str, step: usize, module: usize| {
        let file = format!("{run}/checkpoints/step-{step:06}/module{module}.bpk");
        fs::read(folder.path().join(file)).expect("a checkpoint")
    };
    assert!(weights("whole", 4, 1) == weights("whole", 12, 1), "module 1 is frozen after its steps");

    // As if it had been killed, its features and all that came later lost.
    fs::rename(&run, folder.path().join("killed")).unwrap();
    staged(folder.path(), "whole").succeeds();
    // While module 2 was learning, and then module 3, whose features are made of features that are gone as well.
    for after in [7, 10] {
        for step in after..=12 {
            fs::remove_dir_all(folder.path().join(format!("killed/checkpoints/step-{step:06}"))).unwrap();
        }
        super::support::segtrain(folder.path()).args(&["--resume", "killed"]).succeeds();
        assert_eq!(log(&folder.path().join("killed")), log(&run));
        assert_eq!(json(folder.path().join("killed/report.json")), json(run.join("report.json")));
        assert!(exported(folder.path(), "killed") == exported(folder.path(), "whole"));
    }
    let other = ["--resume", "killed", "--batch-size", "1"];
    super::support::segtrain(folder.path()).args(&other).fails(2, &["train.batch_size is 1 and was 2", "as it began"]);
    let longer = ["--resume", "killed", "--steps", "9"];
    super::support::segtrain(folder.path()).args(&longer).fails(2, &["--steps 9", "makes 4 steps"]);
    let refused = ["--resume", "killed", "--schedule", "sequential"];
    super::support::segtrain(folder.path()).args(&refused).fails(2, &["is staged", "another --out"]);
}

#[test]
fn damaged_or_foreign_features_are_refused() {
    let folder = folder();
    staged(folder.path(), "run").args(&["--set", "train.stored_batches=2"]).succeeds();
    let run = folder.path().join("run");
    for step in 7..=12 {
        fs::remove_dir_all(run.join(format!("checkpoints/step-{step:06}"))).unwrap();
    }
    let resume = || super::support::segtrain(folder.path()).args(&["--resume", "run"]);
    // Features of another run are where this run's will be.
    let features = run.join("features/module1");
    fs::create_dir_all(&features).unwrap();
    fs::write(features.join("features.json"), "{\"seed\": 77}").unwrap();
    resume().fails(1, &["features/module1", "another configuration", "seed", "step 6 is intact"]);
    fs::remove_dir_all(&features).unwrap();
    // A file that was written, and has lost a bit since.
    fs::create_dir_all(&features).unwrap();
    for batch in 0..2 {
        fs::write(
            features.join(format!("batch-00000{batch}.features")),
            b"ISGFEAT1 and what else there is of it, as it is",
        )
        .unwrap();
    }
    let file = "features/module1/batch-000000.features";
    resume().fails(1, &[file, "checksum", "remove this file", "segtrain --resume run"]);
    for batch in 0..2 {
        fs::remove_file(features.join(format!("batch-00000{batch}.features"))).unwrap();
    }
    resume().succeeds();
}

#[test]
fn replicas_train_like_one_on_the_whole_batch() {
    let folder = folder();
    let run = |out: &str, batch: &str| {
        tiny_with(folder.path(), &[("--batch-size", batch), ("--steps", "4")]).args(&["--out", out])
    };
    let two = ["--devices", "cpu:0,cpu:1", "--replicas", "2", "--sync-bn"];
    run("one", "4").succeeds();
    let told = run("two", "2").args(&two).succeeds().stderr;
    assert!(told.contains("batch 2 on each of 2 replicas"), "{told}");
    let losses = |run: &str| losses(&folder.path().join(run));
    let (one, two_of_it) = (losses("one"), losses("two"));
    assert_eq!((one.len(), two_of_it.len()), (8, 8));
    assert!(one.iter().zip(&two_of_it).all(|(a, b)| (a - b).abs() < 1e-3), "{one:?} and {two_of_it:?}");
    super::support::segtrain(folder.path()).args(&["--resume", "two", "--steps", "6"]).succeeds();

    let fitted = run("fitted", "8").args(&two).args(&["--memory-budget", "2GiB"]).succeeds().stderr;
    assert!(!fitted.contains("micro-batches"), "{fitted}");
    run("no", "2").args(&["--replicas", "2"]).fails(2, &["parallel.replicas = 2", "1 is named (cpu)", "--devices"]);
    run("no", "2").args(&two[..2]).args(&["--replicas", "3"]).fails(2, &["2 are named (cpu:0, cpu:1)"]);
    run("no", "2").args(&two).args(&["--schedule", "async"]).fails(2, &["sequential schedule alone"]);
    run("no", "2").args(&["--sync-bn"]).fails(2, &["sync_bn", "--replicas"]);
}
