//! What a person can get wrong with `segtrain`: each is one sentence with the file or flag and what to do, exit code 2
//! for usage and 1 for a failed run, and what was good before stays good.

use super::support::{
    Program, folder, log, names, scene, segeval, segtrain, semantic, synth, tiny, tiny_with, trained,
};
use std::fs;
use std::path::Path;

/// A tiny run on the two training and one validation scenes in `folder/data`; its first step reads them both.
fn on_disk(folder: &Path) -> Program {
    tiny(folder).args(&["--dataset", "cityscapes", "--data-root", "data", "--out", "run"])
}

fn write_scenes(folder: &Path) {
    synth(folder, "train", 2, "32x64");
    synth(folder, "val", 2, "32x64");
}

#[test]
fn scenes_on_disk_train() {
    let folder = folder();
    write_scenes(folder.path());
    on_disk(folder.path()).succeeds();
    assert_eq!(log(&folder.path().join("run")).len(), 4);
}

#[test]
fn a_missing_data_folder_is_named() {
    let folder = folder();
    let data = |more: &[&str]| tiny(folder.path()).args(&["--dataset", "cityscapes", "--out", "run"]).args(more);
    let words = ["nowhere: no such folder; give the one that holds leftImg8bit/ and gtFine/ with --data-root"];
    data(&["--data-root", "nowhere"]).fails(1, &words);
    let words =
        ["--data-root data: the built-in scenes are not read from a folder; set --dataset folder or cityscapes"];
    segtrain(folder.path()).args(&["--data-root", "data"]).fails(2, &words);
    data(&[]).fails(2, &["data.root = \"\"", "say `--data-root DIR`"]);
    fs::create_dir_all(folder.path().join("data/leftImg8bit/train")).expect("a folder");
    data(&["--data-root", "data"]).fails(1, &["data: holds no folder gtFine/"]);
    assert_eq!(names(folder.path()), ["data"], "no run folder stands in the way of the next try");
}

#[test]
fn an_empty_split_is_named() {
    let folder = folder();
    synth(folder.path(), "val", 1, "32x64");
    let words = ["data/leftImg8bit/train: no split \"train\" here; splits found: val"];
    on_disk(folder.path()).fails(1, &words);
    for room in ["leftImg8bit", "gtFine"] {
        fs::create_dir_all(folder.path().join("data").join(room).join("train/city")).expect("a folder");
    }
    let words = ["data/leftImg8bit/train: holds no picture; expected <city>/<name>_leftImg8bit.png (or .jpg)"];
    on_disk(folder.path()).fails(1, &words);
}

#[test]
fn pictures_that_are_passed_over_are_told_once() {
    let folder = folder();
    write_scenes(folder.path());
    for name in ["b.PNG", "c_leftImg8bit.gif"] {
        fs::write(folder.path().join("data/leftImg8bit/train/synthetic").join(name), "").expect("writable");
    }
    let image = &scene(folder.path(), "train", 1)[0];
    fs::rename(image, image.with_extension("PNG")).expect("renamed");
    let outcome = on_disk(folder.path()).succeeds();
    assert!(outcome.stderr.contains("training on 2 pictures"), "{}", outcome.stderr);
    let lines: Vec<&str> = outcome.stderr.lines().filter(|line| line.contains("passed over")).collect();
    let expected = "data/leftImg8bit/train: 2 files that look like pictures are passed over, first \
                    data/leftImg8bit/train/synthetic/b.PNG; `segdata check` names them all";
    assert_eq!(lines, [expected]);
}

#[test]
fn a_picture_without_a_label_is_named() {
    let folder = folder();
    write_scenes(folder.path());
    fs::remove_file(&scene(folder.path(), "train", 1)[1]).expect("a label");
    let words = ["_000001_000019_leftImg8bit.png: has no label; expected data/gtFine/train/", "_gtFine_labelIds.png"];
    on_disk(folder.path()).fails(1, &words);
}

#[test]
fn a_label_of_another_size_is_named_with_its_picture() {
    let folder = folder();
    write_scenes(folder.path());
    image::GrayImage::new(62, 30).save(&scene(folder.path(), "train", 1)[1]).expect("writable");
    on_disk(folder.path()).fails(
        1,
        &["_gtFine_labelIds.png: is 30x62 (height x width)", "_leftImg8bit.png is 32x64", "make them the same"],
    );
}

#[test]
fn a_truncated_png_is_named() {
    for (which, words) in [(0, "_leftImg8bit.png: cannot be decoded ("), (1, "_labelIds.png: cannot be decoded (")] {
        let folder = folder();
        write_scenes(folder.path());
        let path = &scene(folder.path(), "train", 0)[which];
        let bytes = fs::read(path).expect("a file");
        fs::write(path, &bytes[..bytes.len() * 2 / 3]).expect("writable");
        on_disk(folder.path()).fails(1, &[words, "expected a whole"]);
    }
}

#[test]
fn a_label_id_above_33_is_named_with_its_place() {
    let folder = folder();
    write_scenes(folder.path());
    let path = &scene(folder.path(), "train", 0)[1];
    let mut label = image::open(path).expect("a label").into_luma8();
    label.put_pixel(5, 2, image::Luma([34]));
    label.save(path).expect("writable");
    let words = ["_labelIds.png: id 34", "cityscapes", "row 2, column 5", "--classes"];
    on_disk(folder.path()).fails(1, &words);
}

#[test]
fn bad_validation_pictures_are_told_too() {
    let folder = folder();
    write_scenes(folder.path());
    fs::write(&scene(folder.path(), "val", 1)[0], "no picture").expect("writable");
    on_disk(folder.path()).fails(1, &["data/leftImg8bit/val/", "cannot be decoded"]);
    assert_eq!(names(folder.path().join("run/checkpoints")), ["step-000003"], "saved before the evaluation");
}

#[test]
fn more_modules_than_blocks_are_refused() {
    let folder = folder();
    let words = ["local.num_modules = 11: this network has 10 blocks (stem … head)", "choose --local-k 10 or less"];
    tiny_with(folder.path(), &[("--local-k", "11")]).args(&["--out", "run"]).fails(2, &words);
    tiny_with(folder.path(), &[("--local-k", "0")]).args(&["--out", "run"]).fails(2, &["--local-k", "at least 1"]);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn an_unknown_block_in_cuts_is_answered_with_the_nearest() {
    let folder = folder();
    let cut = |cuts: &str| tiny(folder.path()).args(&["--set", cuts, "--out", "run"]);
    let words = ["local.cuts: there is no block `layer3.l`", "the nearest is `layer3.", "(blocks: stem, layer1.0, "];
    cut("local.cuts=[\"layer3.l\"]").fails(2, &words);
    cut("local.cuts=[\"head\"]").fails(2, &["local.cuts", "`head`"]);
    cut("local.cuts=[\"stem\", \"layer2.0\"]").fails(2, &["local.cuts", "stem", "local.num_modules = 2"]);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn an_unknown_key_is_answered_with_the_nearest() {
    let folder = folder();
    fs::write(folder.path().join("x.toml"), "[train]\nstebs = 3\n").expect("writable");
    let words = ["x.toml: unknown key `train.stebs`; the nearest known key is `train.steps`"];
    segtrain(folder.path()).args(&["--config", "x.toml"]).fails(2, &words);
    let words = ["--set optim.lrr=1: unknown key `optim.lrr`; the nearest known key is `optim.lr`"];
    segtrain(folder.path()).args(&["--set", "optim.lrr=1"]).fails(2, &words);
}

#[test]
fn a_mistake_on_the_command_line_is_one_sentence() {
    let folder = folder();
    for (line, words) in [
        (&["--resoluton", "32x64"][..], &["'--resoluton'", "'--resolution'", "segtrain --help"][..]),
        (&["--resolution", "64"], &["--resolution", "\"64\" is not a size; write HEIGHTxWIDTH in pixels"]),
        (&["--resolution", "8x8"], &["--resolution: train.resolution = \"8x8\": must be at least 32x32"]),
        (&["--backbone", "resnet19"], &["--backbone", "resnet18, resnet34, resnet50, resnet101, resnet152"]),
        (&["--steps", "many"], &["'many' for '--steps <N>'", "expected a whole number"]),
        (&["--steps", "0"], &["--steps: train.steps = 0: must be at least 1"]),
        (&["--device", "tpu"], &["--device", "\"tpu\" is not a device; write auto, cpu, cuda, vulkan"]),
        (
            &["--method", "e2e", "--local-k", "2"],
            &["--local-k: 2 local modules, but method e2e", "drop one of the two"],
        ),
        (&["--set", "optim.lr"], &["--set optim.lr: write KEY=VALUE"]),
        (&["--set", "optim.lr=fast"], &["--set optim.lr=fast: optim.lr = \"fast\"", "expected a number"]),
        (&["--resume", "a", "--out", "b"], &["'--resume <RUN>' cannot be used with '--out <DIR>'"]),
        (&["extra"], &["unexpected argument 'extra'"]),
    ] {
        let outcome = segtrain(folder.path()).args(line).run();
        assert_eq!(outcome.stderr.lines().count(), 1, "{line:?}: {}", outcome.stderr);
        segtrain(folder.path()).args(line).fails(2, words);
    }
    segtrain(folder.path()).args(&["--config", "x.toml"]).fails(1, &["x.toml: no such configuration file"]);
    assert!(names(folder.path()).is_empty());
}

#[cfg(not(feature = "cuda"))]
#[test]
fn cuda_on_a_build_without_it_says_how_to_build_it() {
    let folder = folder();
    let words = [
        "device cuda:0: this build has no CUDA; build with `cargo build --release --features cuda`",
        "or use `--device cpu`",
    ];
    tiny_with(folder.path(), &[("--device", "cuda")]).args(&["--out", "run"]).fails(2, &words);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_folder_that_is_not_empty_is_not_written_to() {
    let folder = trained();
    let before = log(&folder.path().join("run"));
    let words = ["run: this folder is not empty: go on with it by `segtrain --resume run`", "another with --out"];
    tiny(folder.path()).args(&["--out", "run"]).fails(1, &words);
    assert_eq!(log(&folder.path().join("run")), before);

    fs::create_dir(folder.path().join("mine")).expect("a folder");
    fs::write(folder.path().join("mine/notes.txt"), "mine").expect("writable");
    let words = ["mine: this folder is not empty: name another with --out"];
    tiny(folder.path()).args(&["--out", "mine"]).fails(1, &words);
    assert_eq!(names(folder.path().join("mine")), ["notes.txt"]);

    for file in ["mine/notes.txt", "/dev/null"] {
        let words = [&*format!("{file}: is a file; name a folder with --out")];
        tiny(folder.path()).args(&["--out", file]).fails(1, &words);
    }
}

#[test]
fn a_start_that_failed_does_not_block_its_own_name() {
    let folder = folder();
    write_scenes(folder.path());
    let [_, label] = scene(folder.path(), "train", 0);
    let whole = fs::read(&label).expect("a label");
    fs::write(&label, &whole[..40]).expect("writable");
    on_disk(folder.path()).fails(1, &["expected a whole"]);
    assert!(!folder.path().join("run").exists());
    fs::write(&label, whole).expect("writable");
    on_disk(folder.path()).succeeds();
}

#[test]
fn a_run_that_never_saved_is_not_offered_for_resuming() {
    let folder = trained();
    fs::remove_dir_all(folder.path().join("run/checkpoints")).expect("there were some");
    let sentence = tiny(folder.path()).args(&["--out", "run"]).fails(1, &["not empty: name another with --out"]);
    assert!(!sentence.contains("--resume"), "{sentence}");
    segtrain(folder.path()).args(&["--resume", "run"]).fails(1, &["run/checkpoints: "]);
}

#[test]
fn what_cannot_be_resumed_says_why() {
    let folder = trained();
    let resume = |more: &[&str]| segtrain(folder.path()).args(&["--resume", "run", "--steps", "5"]).args(more);
    let words = [
        "model.backbone = \"resnet34\", but this run was trained with \"resnet18\"",
        "resume it with its own network, or start a new run with another --out",
    ];
    resume(&["--backbone", "resnet34"]).fails(2, &words);
    resume(&["--local-k", "3"]).fails(2, &["local.num_modules = 3", "2"]);
    resume(&["--set", "model.width=0.2"]).fails(2, &["model.width = 0.2", "0.1"]);
    segtrain(folder.path())
        .args(&["--resume", "run"])
        .fails(2, &["run: step 3, its last, is done already", "--steps N"]);
    segtrain(folder.path()).args(&["--resume", "nowhere"]).fails(1, &["nowhere: is not a run folder"]);
    resume(&[]).succeeds();
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_and_leaves_the_last_checkpoint() {
    let folder = trained();
    let good = semantic(folder.path().join("run/report.json"));
    let explode = ["--resume", "run", "--steps", "20", "--set", "optim.lr=1e9"];
    let words = [
        ": local module ",
        " of 2: the loss is ",
        "; lower optim.lr (now ",
        "the checkpoint of step 3 is intact, go on from it with `segtrain --resume run`",
    ];
    segtrain(folder.path()).args(&explode).fails(1, &words);
    assert_eq!(names(folder.path().join("run/checkpoints")), ["step-000003"]);
    segeval(folder.path()).args(&["run"]).succeeds();
    assert_eq!(semantic(folder.path().join("run/eval-val/report.json")), good, "the weights are those of step 3");

    let explode = tiny_with(folder.path(), &[("--steps", "20")]).args(&["--set", "optim.lr=1e9", "--out", "other"]);
    explode.fails(1, &[" of 2: the loss is ", "no checkpoint had been saved yet"]);
}

#[test]
fn a_checkpoint_that_gave_the_loss_is_not_called_good() {
    let folder = trained();
    let steps = |steps: &str, lr: &str| {
        let program = segtrain(folder.path()).args(&["--resume", "run", "--steps", steps, "--set", lr]);
        program.args(&["--set", "train.save_every_steps=1", "--set", "optim.schedule=constant"])
    };
    let words = [
        "step 5: local module ",
        " of 2: the loss is ",
        "the checkpoint of step 4 holds the weights that gave this loss: remove the folder run/checkpoints/step-000004",
        "to go on from one before it",
    ];
    steps("6", "optim.lr=1e17").fails(1, &words); // the weights of step 4 are huge, but finite
    assert_eq!(names(folder.path().join("run/checkpoints")), ["step-000003", "step-000004"]);
    steps("6", "optim.lr=0.05").fails(1, &words); // no learning rate helps
    fs::remove_dir_all(folder.path().join("run/checkpoints/step-000004")).expect("as told");
    steps("6", "optim.lr=0.05").succeeds();
}
