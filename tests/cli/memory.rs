//! Memory: what is predicted, what is measured, budgets, and what is said where it runs out.

use super::support::{folder, plots, segbench, segtrain, tiny, tiny_with};
use serde_json::Value;

/// A network whose blocks keep enough to be measured, on a made-up batch.
const SMALL: [&str; 14] = [
    "--dataset",
    "cityscapes",
    "--backbone",
    "resnet50",
    "--resolution",
    "128x256",
    "--batch-size",
    "2",
    "--device",
    "cpu",
    "--set",
    "model.width=0.25",
    "--set",
    "model.aspp_channels=64",
];

fn ratio(bytes: &Value) -> f64 {
    let number = |key: &str| bytes[key].as_f64().expect("bytes");
    number("predicted") / number("measured")
}

#[test]
fn predictions_are_within_a_tenth_of_what_is_measured() {
    let folder = folder();
    for how in [
        vec!["--local-k", "2"],
        vec!["--method", "e2e"],
        vec!["--local-k", "3", "--recompute"],
        vec!["--local-k", "2", "--set", "train.micro_batches=2"],
    ] {
        let measured = segbench(folder.path()).args(&["memory", "--json"]).args(&SMALL).args(&how).succeeds();
        let bytes: Value = serde_json::from_str(&measured.stdout).expect("one line of JSON");
        for module in bytes["modules"].as_array().expect("modules") {
            for block in module["blocks"].as_array().expect("blocks") {
                let far = (ratio(&block["kept"]) - 1.0).abs() > 0.1;
                assert!(!far || block["kept"]["predicted"].as_u64() < Some(1 << 20), "{how:?}: {block}");
            }
            let number = |key: &str| module["peak"][key].as_f64().expect("bytes");
            let difference = (number("predicted") - number("measured")).abs();
            let small = f64::from(4 << 20); // of a network so small the heads' scratch space is a share
            assert!(difference < f64::max(0.1 * number("measured"), small), "{how:?}: {}", module["peak"]);
        }
        let number = |key: &str| bytes["peak"][key].as_f64().expect("bytes");
        let difference = (number("predicted") - number("measured")).abs();
        // The process: its own share, which the allocator and the build decide, is a third of so small a run.
        let own = f64::from(24 << 20);
        assert!(difference < f64::max(0.1 * number("measured"), own), "{how:?}: {}", bytes["peak"]);
    }
    assert_eq!(plots(folder.path()), ["memory"]);
    let plot = image::open(folder.path().join("memory.png")).expect("a picture").to_rgb8();
    assert!(plot.pixels().filter(|pixel| pixel.0 != [255; 3]).count() > 20_000, "something is drawn");
}

#[test]
fn a_budget_is_kept_and_written_down() {
    let folder = folder();
    let printed = |budget: &str| {
        let common = ["--memory-budget", budget, "--print-config"];
        segtrain(folder.path()).args(&SMALL).args(&common).succeeds()
    };
    let roomy = printed("8GiB");
    let peak: f64 = roomy
        .stderr
        .split("predicted peak ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next()?.parse().ok())
        .expect("MiB");
    let tight = printed(&format!("{:.0}MiB", 0.75 * peak));
    assert!(roomy.stderr.contains("--memory-budget 8.00 GiB: "), "{}", roomy.stderr);
    assert!(roomy.stdout.contains("\nnum_modules = 1\n"), "{}", roomy.stdout);
    assert!(tight.stderr.contains("; predicted peak ") && !tight.stderr.contains(": end to end; "), "{}", tight.stderr);
    let said = ["\nrecompute = true\n", "\ncuts = [\"layer", "\nmicro_batches = 2\n"];
    assert!(said.iter().any(|key| tight.stdout.contains(key)), "{}", tight.stdout);

    // Typed K and --resume keep it; what is printed is what is trained.
    let k = ["--local-k", "3"];
    let said = segtrain(folder.path()).args(&SMALL).args(&k).args(&["--memory-budget", "4GiB", "--print-config"]);
    assert!(said.succeeds().stdout.contains("\nnum_modules = 3\n"));
    let auto = tiny_with(folder.path(), &[("--local-k", "auto")]).args(&["--out", "run"]).succeeds();
    assert!(auto.stderr.contains("--local-k auto: end to end; predicted peak "), "{}", auto.stderr);
    assert!(auto.stderr.contains("predicted peak memory of a step: "), "{}", auto.stderr);
    segtrain(folder.path()).args(&["--resume", "run", "--steps", "4", "--memory-budget", "2GiB"]).succeeds();
}

#[test]
fn budgets_that_cannot_be_are_answered_with_what_can() {
    let folder = folder();
    let budget = |size: &str, words: &[&str]| {
        segtrain(folder.path()).args(&SMALL).args(&["--memory-budget", size]).fails(2, words)
    };
    budget("8 gigs", &["--memory-budget", "write a number and a unit, such as 8GiB"]);
    let sentence = budget("1MiB", &["no plan for 2 pictures of 128x256 fits into 1 MiB", "needs --memory-budget "]);
    // What it names does work.
    let named = sentence.split("needs --memory-budget ").nth(1).and_then(|rest| rest.split(" (").next()).unwrap();
    segtrain(folder.path()).args(&SMALL).args(&["--memory-budget", named, "--print-config"]).succeeds();
    // Cuts that are typed are kept; what has one module has nothing to cut; classification has budgets, too.
    let typed = ["--memory-budget", "4GiB", "--print-config", "--set", "local.cuts=[\"layer2.0\"]", "--local-k", "2"];
    assert!(segtrain(folder.path()).args(&SMALL).args(&typed).succeeds().stdout.contains("cuts = [\"layer2.0\"]"));
    let alone = ["--memory-budget", "145MiB", "--print-config", "--method", "e2e"];
    let alone = segtrain(folder.path()).args(&SMALL).args(&alone).succeeds();
    assert!(alone.stderr.contains(": end to end, with recomputation; "), "{}", alone.stderr);
    let digits = ["--dataset", "synthetic-digits", "--memory-budget", "1GiB", "--print-config"];
    assert!(segtrain(folder.path()).args(&digits).succeeds().stderr.contains("predicted peak"));
    tiny_with(folder.path(), &[("--local-k", "several")]).fails(2, &["--local-k", "from 1, or auto"]);
    let none = ["--set", "train.micro_batches=3"];
    tiny(folder.path()).args(&none).fails(2, &["train.micro_batches = 3", "at most 2"]);
    let half = ["--precision", "bf16"];
    tiny(folder.path()).args(&half).fails(2, &["bf16", "cpu does not train in bfloat16", "--precision f32"]);
}

#[test]
fn recomputed_and_plain_runs_are_the_same_run() {
    let folder = folder();
    tiny(folder.path()).args(&["--out", "plain"]).succeeds();
    tiny(folder.path()).args(&["--recompute", "--out", "recomputed"]).succeeds();
    let log = |run: &str| super::support::log(&folder.path().join(run));
    assert_eq!(log("plain"), log("recomputed"));
}

#[test]
#[cfg(target_os = "linux")]
fn a_run_that_finds_no_memory_ends_with_the_plan_that_would_have_fitted() {
    let folder = folder();
    let program = env!("CARGO_BIN_EXE_segtrain");
    let line = format!(
        "ulimit -v 600000; exec {program} --device cpu --steps 1 --resolution 320x640 --set data.workers=1 \
         --set data.synthetic_resolution=320x640 --set data.synthetic_count=[4,1] --out run"
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &line])
        .env("RAYON_NUM_THREADS", "2")
        .current_dir(folder.path())
        .output()
        .expect("sh starts");
    let outcome = super::support::Outcome::of(output);
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    let sentence = outcome.stderr.lines().last().unwrap_or_default();
    assert!(sentence.starts_with("segtrain: out of memory: this run (2 local modules (cut behind layer"), "{sentence}");
    assert!(sentence.contains("--local-k auto --memory-budget "), "{sentence}");
    // The folder of a run that never began is no obstacle.
    tiny(folder.path()).args(&["--out", "run"]).succeeds();
}

#[test]
fn steps_operations_and_pictures_are_measured() {
    let folder = folder();
    let step = ["step", "--ks", "1,2", "--methods", "dgl,infopro-contrast", "--bench-steps", "2"];
    let table = segbench(folder.path()).args(&step).args(&SMALL).succeeds().stdout;
    assert_eq!(table.lines().count(), 2 + 3, "{table}");
    assert!(table.contains("| 128x256 | 2 | 1 | end-to-end | 1.00 × | 1.00 × |"), "{table}");
    assert!(table.contains("| 2 | DGL |") && table.contains("| 2 | InfoPro (contrast) |"), "{table}");
    let json = segbench(folder.path()).args(&["step", "--ks", "2", "--bench-steps", "1", "--json"]).args(&SMALL);
    let json: Value = serde_json::from_str(&json.succeeds().stdout).expect("a line of JSON");
    assert_eq!((json["k"].as_u64(), json["precision"].as_str()), (Some(2), Some("f32")));
    assert!(json["seconds_per_step"].as_f64() > Some(0.0) && json["peak_bytes"].as_u64() > Some(1 << 20));
    segbench(folder.path()).args(&["step", "--local-k", "2"]).fails(2, &["--local-k", "--ks"]);
    segbench(folder.path()).args(&["tune", "--device", "cpu"]).fails(2, &["--device cpu", "--device cuda"]);

    let data = ["data", "--count", "4", "--resolution", "64x64", "--batch-size", "2"];
    let data: Value = serde_json::from_str(&segbench(folder.path()).args(&data).succeeds().stdout).expect("JSON");
    assert!(data["pairs_per_second"].as_f64() > Some(0.0) && data["loader_pairs_per_second"].as_f64() > Some(0.0));
    let eval = ["eval", "--rounds", "1"];
    let eval = segbench(folder.path()).args(&eval).args(&SMALL).succeeds().stdout;
    let eval: Value = serde_json::from_str(&eval).expect("JSON");
    for part in ["predict_seconds", "count_seconds", "loop_seconds"] {
        assert!(eval[part].as_f64() > Some(0.0), "{part}: {eval}");
    }
}
