//! Classification: the same programs on datasets with one class an image.

use super::support::{
    folder, json, log, names, plots, segbench, segdata, segeval, segexport, segpredict, segtrain, tiny_with,
};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Four steps of a narrow ResNet-20 in two modules on built-in digits, into `run/`.
const TINY: [&str; 24] = [
    "--dataset",
    "synthetic-digits",
    "--device",
    "cpu",
    "--steps",
    "4",
    "--batch-size",
    "8",
    "--set",
    "model.width=0.25",
    "--set",
    "data.synthetic_count=[24, 12]",
    "--set",
    "local.feature_dim=8",
    "--set",
    "optim.warmup_steps=0",
    "--set",
    "train.log_every_steps=1",
    "--set",
    "train.eval_every_steps=2",
    "--set",
    "train.save_every_steps=2",
    "--out",
    "run",
];

/// Ten tiny images a class in CIFAR-10's binary format: five batches and a test batch of two a class.
pub fn cifar(folder: &Path) {
    let data = folder.join("cifar");
    fs::create_dir(&data).unwrap();
    for (index, name) in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]
        .iter()
        .enumerate()
    {
        let record = |n: usize| {
            let class = (n % 10) as u8;
            let shades = (0..3072).map(move |i| class * 20 + (i * (n + index + 1) % 13) as u8);
            std::iter::once(class).chain(shades)
        };
        fs::write(data.join(format!("{name}.bin")), (0..20).flat_map(record).collect::<Vec<u8>>()).unwrap();
    }
    let names = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
    fs::write(data.join("batches.meta.txt"), names).unwrap();
}

#[test]
fn a_run_leaves_scores_plots_and_mistakes_and_segeval_repeats_them() {
    let folder = folder();
    let run = folder.path().join("run");
    let outcome = segtrain(folder.path()).args(&TINY).succeeds();
    assert!(outcome.stdout.contains("top-1 error"), "{}", outcome.stdout);
    let left = names(&run);
    assert_eq!(
        left,
        [".lock", "checkpoints", "config.toml", "metrics.jsonl", "mistakes.png", "plots", "report.json"],
        "four steps make mistakes"
    );
    assert_eq!(plots(run.join("plots")), ["accuracy", "confusion", "error", "losses", "lr"]);
    let report = json(run.join("report.json"));
    let confusion: Vec<Vec<u64>> = serde_json::from_value(report["confusion"].clone()).unwrap();
    assert_eq!((&report["scored"]["split"], &report["scored"]["checkpoint"]), (&"test".into(), &"step-000004".into()));
    let hits: u64 = (0..10).map(|class| confusion[class][class]).sum();
    assert_eq!((confusion.iter().flatten().sum::<u64>(), report["images"].as_u64()), (12, Some(12)));
    let top1 = report["top1"].as_f64().unwrap();
    assert!((top1 - (1.0 - hits as f64 / 12.0)).abs() < 1e-9, "{report}");
    assert!(report["top5"].as_f64().unwrap() <= top1);
    assert_eq!(report["classes"].as_object().unwrap().len(), 10);
    let scores: Vec<Value> = log(&run).into_iter().filter(|line| line.get("top1").is_some()).collect();
    assert_eq!(scores.iter().map(|line| line["step"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(scores[1]["top1"].as_f64(), Some(top1));

    segeval(folder.path()).args(&["run", "--out", "scored"]).succeeds();
    assert_eq!(json(folder.path().join("scored/report.json")), report);
    let sheet = image::open(folder.path().join("scored/mistakes.png")).unwrap();
    assert!(sheet.width() > 100);
    segeval(folder.path()).args(&["run", "--flip"]).fails(2, &["classifies pictures"]);
    segeval(folder.path()).args(&["run", "--dataset", "cityscapes"]).fails(2, &["trained on synthetic-digits"]);
    segpredict(folder.path()).args(&["run", "run/mistakes.png", "--out", "x"]).fails(2, &["classifies whole pictures"]);
    segexport(folder.path()).args(&["run", "--format", "mmseg", "--out", "x.safetensors"]).fails(2, &["classifies"]);
    segexport(folder.path()).args(&["run", "--format", "safetensors", "--out", "x.safetensors"]).succeeds();
}

#[test]
fn a_resumed_run_and_other_loader_threads_change_no_number() {
    let folder = folder();
    let run = |out: &str, more: &[&str]| {
        let mut program = segtrain(folder.path()).args(&TINY[..22]).args(&["--out", out]);
        program = program.args(more);
        program.succeeds();
        log(&folder.path().join(out))
    };
    let whole = run("whole", &["--set", "data.workers=1"]);
    assert_eq!(run("threads", &["--set", "data.workers=4"]), whole);
    fs::remove_dir_all(folder.path().join("threads/checkpoints/step-000004")).unwrap();
    segtrain(folder.path()).args(&["--resume", "threads"]).succeeds();
    assert_eq!(log(&folder.path().join("threads")), whole);
}

#[test]
fn every_method_backbone_and_head_trains() {
    let folder = folder();
    for (name, more) in [
        ("e2e", &["--method", "e2e", "--backbone", "densenet-bc-100-12"][..]),
        ("greedy", &["--method", "greedy", "--local-k", "3"]),
        ("dgl", &["--method", "dgl", "--set", "local.head=2c2f", "--backbone", "resnet32"]),
        ("contrast", &["--task-loss", "contrast", "--local-k", "4", "--set", "local.head=1c3f"]),
        ("bottleneck", &["--backbone", "resnet164", "--steps", "1"]),
        ("imagenet", &["--backbone", "resnext50-32x4d", "--set", "local.head=0c2f", "--steps", "1"]),
    ] {
        let mut line: Vec<&str> = TINY[..22].to_vec();
        if more.contains(&"--steps") {
            line.drain(4..6);
        }
        segtrain(folder.path())
            .args(&line)
            .args(&["--set", "train.eval_every_steps=0"])
            .args(more)
            .args(&["--out", name])
            .succeeds();
        let lines = log(&folder.path().join(name));
        assert!(lines.last().unwrap()["top1"].as_f64().is_some(), "{name}");
    }
}

#[test]
fn cifar_is_read_as_it_is_shipped_and_what_is_wrong_is_told() {
    let folder = folder();
    cifar(folder.path());
    let check = ["check", "--dataset", "cifar10", "--data-root", "cifar"];
    let outcome = segdata(folder.path()).args(&check).succeeds();
    assert!(outcome.stdout.contains("100 pictures") && outcome.stdout.contains("automobile"), "{}", outcome.stdout);
    let train = [
        "--dataset",
        "cifar10",
        "--data-root",
        "cifar",
        "--backbone",
        "resnet20",
        "--device",
        "cpu",
        "--steps",
        "2",
        "--batch-size",
        "10",
        "--set",
        "model.width=0.25",
        "--set",
        "optim.warmup_steps=0",
        "--set",
        "optim.lr=0.01",
    ];
    segtrain(folder.path()).args(&train).args(&["--out", "run"]).succeeds();
    assert_eq!(json(folder.path().join("run/report.json"))["classes"].as_object().unwrap().len(), 10);

    let batch = folder.path().join("cifar/data_batch_3.bin");
    let whole = fs::read(&batch).unwrap();
    fs::write(&batch, &whole[..whole.len() - 7]).unwrap();
    let refused = || segtrain(folder.path()).args(&train).args(&["--out", "again"]);
    refused().fails(1, &["data_batch_3.bin", "record 19 (counted from 0)"]);
    let mut wrong = whole.clone();
    wrong[4 * 3073] = 10;
    fs::write(&batch, wrong).unwrap();
    refused().fails(1, &["data_batch_3.bin", "label 10", "record 4"]);
    segdata(folder.path()).args(&check).fails(1, &["1 problem found"]);
    fs::remove_file(&batch).unwrap();
    refused().fails(1, &["data_batch_3.bin"]);
}

#[test]
fn what_does_not_go_together_is_told_before_anything_starts() {
    let folder = folder();
    let digits = || segtrain(folder.path()).args(&TINY);
    tiny_with(folder.path(), &[("--backbone", "resnet110")]).fails(2, &["made for small pictures"]);
    digits().args(&["--set", "augment.crop=scaled"]).fails(2, &["augment.crop", "class for each picture"]);
    digits().args(&["--set", "local.head=fcn"]).fails(2, &["local.head", "1c2f"]);
    digits().args(&["--resolution", "64x64"]).fails(2, &["train.resolution", "32x32"]);
    digits().args(&["--set", "optim.milestones=[0.5, 0.5]"]).fails(2, &["optim.milestones", "rising"]);
    digits().args(&["--data-root", "somewhere"]).fails(2, &["--data-root", "digits"]);
    digits().args(&["--local-k", "12"]).fails(2, &["local.num_modules = 12", "11 blocks"]);
    segtrain(folder.path()).args(&["--dataset", "svhn", "--data-root", "none"]).fails(1, &["none"]);
    segdata(folder.path())
        .args(&["check", "--dataset", "synthetic-digits", "--data-root", "x"])
        .fails(2, &["on the fly"]);
}

#[test]
fn segbench_draws_up_the_table_and_trains_nothing_twice() {
    let folder = folder();
    let bench = || {
        let common = &TINY[..22];
        segbench(folder.path()).args(&["local"]).args(common).args(&[
            "--methods",
            "e2e,dgl",
            "--ks",
            "2",
            "--seeds",
            "2",
            "--out",
            "bench",
        ])
    };
    let first = bench().succeeds();
    assert!(first.stdout.contains("| DGL") && first.stdout.contains("K = 2"), "{}", first.stdout);
    assert_eq!(first.stderr.lines().filter(|line| line.starts_with("run ")).count(), 4, "{}", first.stderr);
    assert_eq!(names(folder.path().join("bench")), ["methods.png", "methods.svg", "results.json", "runs", "table.md"]);
    let second = bench().succeeds();
    assert_eq!((second.stdout, second.stderr.lines().count()), (first.stdout, 0));
    let other = &["local", "--methods", "dgl", "--ks", "2", "--out", "bench", "--set", "optim.lr=0.3"];
    segbench(folder.path())
        .args(other)
        .args(&TINY[..22])
        .fails(1, &["bench/runs/dgl-k2-seed1", "another configuration"]);
    let large = &["local", "--methods", "dgl", "--ks", "2,99", "--out", "other"];
    segbench(folder.path()).args(large).args(&TINY[..22]).fails(2, &["local.num_modules = 99"]);
    segbench(folder.path()).args(&["local", "--seed", "3"]).fails(2, &["--seed", "--seeds"]);
}

/// Two classes of two images of 40x48 each in every split.
fn imagenet(folder: &Path) {
    for split in ["train", "val"] {
        for (class, shade) in [("n01440764", 40), ("n01443537", 200)] {
            let of_class = folder.join("imagenet").join(split).join(class);
            fs::create_dir_all(&of_class).unwrap();
            for i in 0..2 {
                let picture =
                    image::RgbImage::from_fn(48, 40, |x, y| image::Rgb([shade, (x * 5) as u8, (y * 6 + i) as u8]));
                picture.save(of_class.join(format!("{class}_{i}.jpg"))).unwrap();
            }
        }
    }
}

#[test]
fn imagenet_trains_from_class_folders_and_what_is_wrong_is_told() {
    let folder = folder();
    imagenet(folder.path());
    let train = |out: &str| {
        let line = [
            "--dataset",
            "imagenet",
            "--data-root",
            "imagenet",
            "--backbone",
            "resnet18",
            "--device",
            "cpu",
            "--steps",
            "1",
            "--batch-size",
            "4",
            "--resolution",
            "32x32",
            "--set",
            "model.width=0.1",
            "--set",
            "local.head=0c2f",
            "--out",
        ];
        segtrain(folder.path()).args(&line).args(&[out])
    };
    train("run").succeeds();
    let report = json(folder.path().join("run/report.json"));
    assert_eq!(report["classes"].as_object().unwrap().keys().collect::<Vec<_>>(), ["n01440764", "n01443537"]);
    let check = || segdata(folder.path()).args(&["check", "--dataset", "imagenet", "--data-root", "imagenet"]);
    check().succeeds();

    // Another class under the same number: the run's own classes are not these.
    fs::create_dir(folder.path().join("other")).unwrap();
    for split in ["train", "val"] {
        let (from, to) = (folder.path().join("imagenet").join(split), folder.path().join("other").join(split));
        fs::create_dir(&to).unwrap();
        for (class, renamed) in [("n01440764", "n01440764"), ("n01443537", "n99999999")] {
            fs::create_dir(to.join(renamed)).unwrap();
            let picture = from.join(class).join(format!("{class}_0.jpg"));
            fs::copy(picture, to.join(renamed).join("a.jpg")).unwrap();
        }
    }
    let other = segeval(folder.path()).args(&["run", "--data-root", "other"]);
    other.fails(2, &["class 1 is `n99999999`, and was `n01443537`"]);

    let picture = folder.path().join("imagenet/train/n01443537/n01443537_1.jpg");
    let whole = fs::read(&picture).unwrap();
    fs::write(&picture, &whole[..whole.len() / 2]).unwrap();
    train("broken").fails(1, &["n01443537_1.jpg"]);
    check().fails(1, &["1 problem found"]);
    fs::write(&picture, whole).unwrap();
    fs::rename(folder.path().join("imagenet/val/n01443537"), folder.path().join("imagenet/val/n01443538")).unwrap();
    train("differs").fails(1, &["val", "n01443538"]);
}

#[test]
fn damaged_files_of_svhn_and_stl10_are_told_with_their_name() {
    let folder = folder();
    fs::create_dir(folder.path().join("svhn")).unwrap();
    fs::write(folder.path().join("svhn/train_32x32.mat"), [7; 4000]).unwrap();
    fs::write(folder.path().join("svhn/test_32x32.mat"), [7; 4000]).unwrap();
    let of = |dataset: &str, root: &str| segtrain(folder.path()).args(&["--dataset", dataset, "--data-root", root]);
    of("svhn", "svhn").fails(1, &["svhn/train_32x32.mat", "MATLAB"]);
    let stl10 = folder.path().join("stl10_binary");
    fs::create_dir(&stl10).unwrap();
    for split in ["train", "test"] {
        fs::write(stl10.join(format!("{split}_X.bin")), vec![9; 2 * 27648]).unwrap();
        fs::write(stl10.join(format!("{split}_y.bin")), [1, 11]).unwrap();
    }
    fs::write(stl10.join("class_names.txt"), "airplane\nbird\ncar\ncat\ndeer\ndog\nhorse\nmonkey\nship\ntruck\n")
        .unwrap();
    of("stl10", "stl10_binary").fails(1, &["train_y.bin", "11", "record 1"]);
    segdata(folder.path())
        .args(&["check", "--dataset", "stl10", "--data-root", "stl10_binary"])
        .fails(1, &["2 problems"]);
}
