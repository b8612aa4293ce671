//! `segtrain`: what a run leaves, that it is the same again, that it goes on after it was stopped.

use super::support::{Outcome, folder, json, log, names, plots, segtrain, tiny, tiny_with, trained, wait_for};
use serde_json::Value;
use std::fs;
use std::path::Path;

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn a_run_leaves_its_configuration_log_checkpoints_plots_and_overlays() {
    let folder = folder();
    let run = folder.path().join("run");
    let every_two = ["--set", "train.eval_every_steps=2", "--set", "train.save_every_steps=2", "--out", "run"];
    let outcome = tiny(folder.path()).args(&every_two).succeeds();

    assert_eq!(
        names(&run),
        [".lock", "checkpoints", "classes.toml", "config.toml", "metrics.jsonl", "overlays", "plots", "report.json"],
        "and nothing else"
    );
    assert_eq!(names(run.join("checkpoints")), ["step-000002", "step-000003"]);
    assert_eq!(plots(run.join("plots")), ["class_iou", "confusion", "losses", "lr", "miou"]);
    assert_eq!(names(run.join("overlays")).len(), 2, "both pictures of the split");
    for name in names(run.join("overlays")) {
        let picture = image::open(run.join("overlays").join(&name)).expect("a picture");
        assert!(picture.width() >= 64 && picture.height() >= 32, "{name}");
    }
    assert_eq!(keys(&json(run.join("report.json")))[..3], ["miou", "miou_present", "pixel_accuracy"]);
    for part in ["road ", "mIoU ", "overlays    run/overlays\n", "plots       run/plots\n", "run folder  run\n"] {
        assert!(outcome.stdout.contains(part), "{part:?} is not in:\n{}", outcome.stdout);
    }
}

#[test]
fn the_log_holds_the_losses_of_every_module_and_the_scores() {
    let folder = folder();
    tiny(folder.path()).args(&["--set", "train.eval_every_steps=2", "--out", "run"]).succeeds();
    let text = fs::read_to_string(folder.path().join("run/metrics.jsonl")).expect("a log");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let steps: Vec<u64> = lines.iter().filter_map(|line| line["step"].as_u64()).collect();
    assert_eq!(steps, [1, 2, 2, 3, 3], "three steps, and an evaluation after the second and the last");
    for (line, is_evaluation) in lines.iter().zip([false, false, true, false, true]) {
        if is_evaluation {
            assert_eq!(keys(line), ["step", "miou", "miou_present", "pixel_accuracy", "seconds"]);
            assert!(line["miou"].as_f64().is_some_and(|miou| (0.0..=1.0).contains(&miou)), "{line}");
            continue;
        }
        assert_eq!(keys(line), ["step", "lr", "losses", "seconds", "peak_memory_bytes"]);
        let [first, last] = line["losses"].as_array().expect("a list").as_slice() else { panic!("K = 2: {line}") };
        for (module, number) in [(first, 1), (last, 2)] {
            assert_eq!(keys(module), ["module", "reconstruction", "task", "total"]);
            assert_eq!(module["module"], number);
        }
        let number = |key: &str| first[key].as_f64().expect("a number");
        let total = 1.5 * number("reconstruction") + number("task"); // lambda_1 = 1.5, lambda_2 = 1
        assert!((number("total") - total).abs() < 1e-5, "single precision: {line}");
        assert!(last["reconstruction"].is_null() && last["task"] == last["total"], "{line}");
    }
    assert_eq!(lines[0]["lr"], 0.05);
}

#[test]
fn without_a_terminal_stderr_is_plain_lines() {
    let folder = folder();
    let outcome = tiny(folder.path()).args(&["--out", "run"]).succeeds();
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), 9, "{}", outcome.stderr);
    assert_eq!(lines[0], "training on 6 pictures, scoring on 2; crop 32x64, batch 2, 3 steps; run folder run");
    assert!(lines[1].starts_with("classes: cityscapes (19 classes"), "{}", lines[1]);
    assert!(lines[2].starts_with("local module 1 of 2: stem"), "{}", lines[2]);
    assert!(lines[3].starts_with("local module 2 of 2: ") && lines[3].ends_with(" … head"), "{}", lines[3]);
    assert!(lines[4].starts_with("predicted peak memory of a step: "), "{}", lines[4]);
    for (line, step) in lines[5..8].iter().zip(1..) {
        for part in [&*format!("step {step}/3 · loss 1 "), " · loss 2 ", " · lr ", " images/s", "iB · ETA "] {
            assert!(line.contains(part), "{part:?} is not in {line}");
        }
    }
    assert!(lines[8].starts_with("step 3: mIoU ") && lines[8].ends_with(" on 2 pictures"), "{}", lines[8]);
}

#[test]
fn a_run_without_out_takes_the_next_free_name() {
    let folder = folder();
    tiny(folder.path()).succeeds();
    tiny(folder.path()).succeeds();
    let runs = names(folder.path().join("runs"));
    assert_eq!(runs, ["synthetic-resnet18-infopro-k2-1", "synthetic-resnet18-infopro-k2-2"]);
}

#[test]
fn the_written_configuration_given_back_gives_the_same_losses() {
    let folder = trained();
    segtrain(folder.path()).args(&["--config", "run/config.toml", "--out", "again"]).succeeds();
    assert_eq!(log(&folder.path().join("again")), log(&folder.path().join("run")));
    let config = |run| fs::read_to_string(folder.path().join(run).join("config.toml")).expect("a configuration");
    assert_eq!(config("again"), config("run").replace("out = \"run\"", "out = \"again\""));
}

#[test]
fn flag_beats_set_beats_file_beats_default() {
    let folder = folder();
    let file = "[train]\nsteps = 10\nbatch_size = 11\nlog_every_steps = 12\n";
    fs::write(folder.path().join("x.toml"), file).expect("a file");
    let line = ["--config", "x.toml", "--set", "train.batch_size=21", "--set", "train.steps=22", "--steps", "32"];
    let outcome = segtrain(folder.path()).args(&line).args(&["--print-config"]).succeeds();
    let config: toml::Table = outcome.stdout.parse().expect("TOML");
    let value = |key| config["train"][key].as_integer().expect("a number");
    let said = [value("steps"), value("batch_size"), value("log_every_steps"), value("keep_checkpoints")];
    assert_eq!(said, [32, 21, 12, 2], "flag, --set, file, default");
    assert!(outcome.stdout.contains("# K: number of gradient-isolated local modules"), "commented");
    assert_eq!(names(folder.path()), ["x.toml"], "nothing is written");
}

#[test]
fn cuts_of_a_file_for_another_k_are_not_dropped_in_silence() {
    let folder = folder();
    fs::write(folder.path().join("x.toml"), "[local]\nnum_modules = 2\ncuts = [\"layer2.0\"]\n").expect("a file");
    let with_k = |k| {
        let line = ["--config", "x.toml", "--print-config", "--local-k", k];
        segtrain(folder.path()).args(&line).succeeds().stderr
    };
    assert_eq!(with_k("3"), "x.toml cuts into 2 local modules, not into 3: the cuts are chosen automatically\n");
    assert_eq!((with_k("1"), with_k("2")), (String::new(), String::new()));
    let line = ["--config", "x.toml", "--print-config", "--backbone", "resnet34"];
    let told = segtrain(folder.path()).args(&line).succeeds().stderr;
    assert_eq!(told, "x.toml cuts another backbone: the cuts are chosen automatically\n");
    let line = ["--config", "x.toml", "--print-config", "--set", "local.num_modules=3", "--method", "e2e"];
    assert_eq!(segtrain(folder.path()).args(&line).succeeds().stderr, "", "end-to-end has no cuts to lose");
}

/// Trains two steps of every method that has local modules, for K = 1 to 4.
fn trains_with_every_method_and_k(task_loss: &str) {
    let folder = folder();
    let two_steps = |k: &str, more: &[&str], out: &str| {
        let program = tiny_with(folder.path(), &[("--local-k", k), ("--steps", "2")]).args(more);
        program.args(&["--task-loss", task_loss, "--out", out]).succeeds();
        log(&folder.path().join(out))
    };
    let end_to_end = two_steps("1", &["--method", "e2e"], "e2e");
    for method in ["infopro", "dgl", "greedy"] {
        for k in 1..=4 {
            let lines = two_steps(&k.to_string(), &["--method", method], &format!("{method}-{k}"));
            assert_eq!(lines.len(), 3, "two steps and an evaluation");
            for line in &lines[..2] {
                let losses = line["losses"].as_array().expect("a list");
                assert_eq!(losses.len(), k, "{line}");
                for (index, module) in losses.iter().enumerate() {
                    let reconstructs = method == "infopro" && index + 1 < k;
                    assert_eq!(module["reconstruction"].is_number(), reconstructs, "{method} {line}");
                    assert!(module["total"].as_f64() > Some(0.0), "{method} {line}");
                }
            }
            if k == 1 {
                assert_eq!(lines, end_to_end, "{method} with one module is end-to-end training");
            }
        }
    }
}

#[test]
fn every_method_trains_one_to_four_modules_with_softmax() {
    trains_with_every_method_and_k("softmax");
}

#[test]
fn every_method_trains_one_to_four_modules_with_contrast() {
    trains_with_every_method_and_k("contrast");
}

#[test]
fn the_seed_decides_the_losses_and_the_number_of_workers_does_not() {
    let folder = folder();
    let losses = |workers: &str, seed: &str, out: &str| {
        let program = tiny_with(folder.path(), &[("--steps", "5")]).args(&["--set", workers, "--seed", seed]);
        program.args(&["--out", out]).succeeds();
        log(&folder.path().join(out))
    };
    let one = losses("data.workers=1", "7", "one");
    assert_eq!(losses("data.workers=3", "7", "three"), one);
    assert_ne!(losses("data.workers=1", "8", "other"), one);
}

#[test]
fn a_batch_of_one_trains() {
    let folder = folder();
    tiny_with(folder.path(), &[("--batch-size", "1")]).args(&["--out", "run"]).succeeds();
    assert_eq!(log(&folder.path().join("run")).len(), 4);
}

#[test]
fn a_crop_larger_than_the_picture_is_padded() {
    let folder = folder();
    tiny_with(folder.path(), &[("--resolution", "72x80")]).args(&["--out", "run"]).succeeds();
    assert_eq!(log(&folder.path().join("run")).len(), 4);
}

/// Flags of a run that is long enough to be stopped on its way, with evaluations and checkpoints in between.
const LONG: [&str; 6] = ["--set", "train.eval_every_steps=20", "--set", "train.save_every_steps=15", "--out", "run"];

/// The log of an undisturbed run of sixty steps.
fn uninterrupted() -> Vec<Value> {
    let folder = folder();
    tiny_with(folder.path(), &[("--steps", "60")]).args(&LONG).succeeds();
    log(&folder.path().join("run"))
}

fn has_a_line(run: &Path) -> bool {
    fs::read_to_string(run.join("metrics.jsonl")).is_ok_and(|text| text.ends_with('\n'))
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_that_is_resumed_has_the_log_of_an_uninterrupted_one() {
    let folder = folder();
    let run = folder.path().join("run");
    let child = tiny_with(folder.path(), &[("--steps", "60")]).args(&LONG).command().spawn().expect("it starts");
    wait_for("the first line of the log", || has_a_line(&run));
    let signal = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(signal.is_ok_and(|status| status.success()));
    let outcome = Outcome::of(child.wait_with_output().expect("it ends"));
    assert_eq!(outcome.code, 130, "{}", outcome.stderr);
    let (before, after) = outcome.stdout.split_once("; ").expect("two parts");
    let step: usize =
        before.strip_prefix("stopped and saved after step ").and_then(|n| n.parse().ok()).expect("a step");
    assert_eq!(after, "go on with: segtrain --resume run\n");
    assert!((1..60).contains(&step), "{}", outcome.stdout);
    assert!(names(run.join("checkpoints")).contains(&format!("step-{step:06}")));

    segtrain(folder.path()).args(&["--resume", "run"]).succeeds();
    assert_eq!(log(&run), uninterrupted());
}

#[test]
fn a_run_killed_outright_goes_on_from_its_last_checkpoint() {
    let folder = folder();
    let run = folder.path().join("run");
    let mut child = tiny_with(folder.path(), &[("--steps", "60")]).args(&LONG).command().spawn().expect("it starts");
    wait_for("a checkpoint", || run.join("checkpoints/step-000015").is_dir());
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    // As if it had been killed while saving, too.
    fs::create_dir(run.join("checkpoints/.saving-x")).expect("a folder");

    segtrain(folder.path()).args(&["--resume", "run"]).succeeds();
    assert_eq!(log(&run), uninterrupted());
    assert_eq!(names(run.join("checkpoints")), ["step-000045", "step-000060"], "two are kept, nothing unfinished");
}

#[test]
fn a_finished_run_can_be_trained_longer() {
    let folder = trained();
    let outcome = segtrain(folder.path()).args(&["--resume", "run", "--steps", "5"]).succeeds();
    let told = "the learning rate goes on at 2.20e-2, not 1.00e-4: its schedule is now that of 5 steps\n";
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    let steps: Vec<_> = log(&folder.path().join("run")).iter().filter_map(|line| line["step"].as_u64()).collect();
    assert_eq!(steps, [1, 2, 3, 3, 4, 5, 5]);
}

#[test]
fn a_run_trained_longer_has_the_losses_of_one_that_was_that_long() {
    let folder = folder();
    // Only a constant learning rate does not depend on the length of the run.
    let long = |steps: &str, out: &str| {
        let program = tiny_with(folder.path(), &[("--steps", steps)]);
        program
            .args(&["--set", "optim.schedule=constant", "--set", "train.eval_every_steps=3", "--out", out])
            .succeeds();
    };
    long("3", "extended");
    let outcome = segtrain(folder.path()).args(&["--resume", "extended", "--steps", "6"]).succeeds();
    assert!(!outcome.stderr.contains("the learning rate"), "{}", outcome.stderr);
    long("6", "whole");
    let lines = log(&folder.path().join("extended"));
    assert_eq!(lines.len(), 8, "six steps, and an evaluation after the third and the last");
    assert_eq!(lines, log(&folder.path().join("whole")));
}

#[test]
fn an_evaluation_that_a_stopped_run_still_owed_is_made_up_for() {
    let folder = trained();
    let path = folder.path().join("run/metrics.jsonl");
    let whole = log(&folder.path().join("run"));
    let text = fs::read_to_string(&path).expect("a log");
    let steps_only: Vec<&str> = text.lines().filter(|line| line.contains("losses")).collect();
    fs::write(&path, steps_only.join("\n") + "\n").expect("writable");
    segtrain(folder.path()).args(&["--resume", "run"]).succeeds();
    assert_eq!(log(&folder.path().join("run")), whole);
    segtrain(folder.path()).args(&["--resume", "run"]).fails(2, &["step 3, its last, is done already"]);
}

#[test]
fn a_moved_run_resumes_where_it_is_now() {
    let folder = trained();
    fs::rename(folder.path().join("run"), folder.path().join("moved")).expect("it moves");
    segtrain(folder.path()).args(&["--resume", "moved", "--steps", "4"]).succeeds();
    assert_eq!(names(folder.path()), ["moved"]);
}

#[test]
fn a_run_outlives_those_who_watched_it() {
    let folder = folder();
    let mut child = tiny(folder.path()).args(&["--out", "run"]).command().spawn().expect("it starts");
    drop((child.stdout.take(), child.stderr.take())); // as `segtrain 2>&1 | head -1` does
    assert!(child.wait().expect("it ends").success());
    assert!(folder.path().join("run/report.json").is_file());
}

#[test]
fn help_and_version_go_to_stdout() {
    let folder = folder();
    let help = segtrain(folder.path()).args(&["--help"]).succeeds();
    assert!(help.stdout.contains("--local-k <K|auto>") && help.stderr.is_empty(), "{}", help.stdout);
    let version = segtrain(folder.path()).args(&["--version"]).succeeds();
    assert_eq!(version.stdout, format!("segtrain {}\n", env!("CARGO_PKG_VERSION")));
}
