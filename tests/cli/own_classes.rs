//! Data of one's own: folders of images and masks, class sets, and what carries them along.

use super::support::{
    Outcome, folder, json, names, segdata, segeval, segexport, segpredict, segtrain, tiny, tiny_with,
};
use image::{GrayImage, ImageReader, Luma, Rgb, RgbImage};
use std::fs;
use std::path::Path;

const CLASSES: &str = r#"
ignore = [255]
ignore_colors = [[0, 0, 0]]

[[class]]
name = "soil"
color = [90, 60, 20]
ids = [3]

[[class]]
name = "crop"
color = [20, 160, 40]
ids = [7, 8]

[[class]]
name = "weed"
color = [200, 30, 30]
ids = [9]
"#;

/// Ids of the left, the middle and the right third of a mask; its last row is ignored.
const THIRDS: [u8; 3] = [3, 8, 9];

fn id_at(x: u32, y: u32) -> u8 {
    if y == 31 { 255 } else { THIRDS[(x * 3 / 64) as usize] }
}

fn color_of(id: u8) -> [u8; 3] {
    match id {
        3 => [90, 60, 20],
        7 | 8 => [20, 160, 40],
        9 => [200, 30, 30],
        _ => [0; 3],
    }
}

/// Images of 32×64 whose colors tell their classes, with a mask of ids (or of colors) each, in `folder/data`.
fn data(folder: &Path, images: &str, masks: &str, colors: bool) {
    for (split, count) in [("train", 3), ("val", 2)] {
        for index in 0..count {
            let image =
                RgbImage::from_fn(64, 32, |x, y| Rgb(color_of(id_at(x, y)).map(|c| c.saturating_add(index * 9))));
            let path = |pattern: &str| {
                let path =
                    folder.join("data").join(pattern.replace("SPLIT", split).replace("NAME", &format!("f{index}")));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                path
            };
            image.save(path(images)).unwrap();
            match colors {
                true => RgbImage::from_fn(64, 32, |x, y| Rgb(color_of(id_at(x, y)))).save(path(masks)).unwrap(),
                false => GrayImage::from_fn(64, 32, |x, y| Luma([id_at(x, y)])).save(path(masks)).unwrap(),
            }
        }
    }
    fs::write(folder.join("data/classes.toml"), CLASSES).unwrap();
}

fn usual(folder: &Path) {
    data(folder, "images/SPLIT/NAME.png", "masks/SPLIT/NAME.png", false);
}

fn train(folder: &Path, out: &str) -> Outcome {
    tiny(folder).args(&["--dataset", "folder", "--data-root", "data", "--out", out]).succeeds()
}

#[test]
fn a_folder_with_a_class_set_is_trained_scored_predicted_and_exported() {
    let folder = folder();
    usual(folder.path());
    let said = train(folder.path(), "run").stderr;
    assert!(said.contains("classes: data (3 classes: soil, crop, weed)"), "{said}");
    let run = folder.path().join("run");
    let state = json(run.join("checkpoints/step-000003/state.json"));
    assert_eq!(state["classes"]["class"][1]["name"], "crop");
    assert!(fs::read_to_string(run.join("classes.toml")).unwrap().contains("name = \"weed\""));

    segeval(folder.path()).args(&["run", "--overlays", "1"]).succeeds();
    let report = json(run.join("eval-val/report.json"));
    let classes: Vec<_> = report["classes"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(classes, ["soil", "crop", "weed"]);
    assert_eq!(report["confusion"].as_array().unwrap().len(), 3);
    assert_eq!(report["scored"]["class_set"]["class"][2]["name"], "weed");
    assert!(report["categories"].as_object().unwrap().is_empty());

    let line = ["run", "data/images/val", "--out", "pred", "--format", "overlay,color,label-ids,train-ids"];
    segpredict(folder.path()).args(&line).succeeds();
    let read = |name: &str| ImageReader::open(folder.path().join("pred").join(name)).unwrap().decode().unwrap();
    let (ids, colors) = (read("f0_labelIds.png").into_luma8(), read("f0_color.png").into_rgb8());
    for (x, y, id) in ids.enumerate_pixels() {
        assert!([3, 7, 9].contains(&id.0[0]), "the first id of a class");
        assert_eq!(colors.get_pixel(x, y).0, color_of(id.0[0]));
    }

    segexport(folder.path()).args(&["run", "--format", "safetensors", "--out", "net.safetensors"]).succeeds();
    let line = ["--pretrained", "net.safetensors", "data/images/val", "--out", "again", "--format", "label-ids,color"];
    segpredict(folder.path()).args(&line).succeeds();
    for name in ["f0_labelIds.png", "f0_color.png"] {
        let same = fs::read(folder.path().join("pred").join(name)).unwrap()
            == fs::read(folder.path().join("again").join(name)).unwrap();
        assert!(same, "{name}: the export brings its classes");
    }
}

#[test]
fn its_own_truth_scores_100_percent_in_every_layout() {
    for (images, masks, keys, colors) in [
        ("images/SPLIT/NAME.png", "masks/SPLIT/NAME.png", "", false),
        ("img_dir/SPLIT/NAME.png", "ann_dir/SPLIT/NAME.png", "", false),
        (
            "SPLIT/NAME_img.png",
            "SPLIT/NAME_gt.png",
            "images = \"{split}/{name}_img.png\"\nmasks = \"{split}/{name}_gt.png\"\n",
            false,
        ),
        ("images/SPLIT/NAME.png", "masks/SPLIT/NAME.png", "masks_are = \"colors\"\n", true),
    ] {
        let folder = folder();
        data(folder.path(), images, masks, colors);
        fs::write(folder.path().join("data/classes.toml"), format!("{keys}{CLASSES}")).unwrap();
        segdata(folder.path()).args(&["check", "--dataset", "folder", "--data-root", "data"]).succeeds();
        // Somewhere else, under the names of the images.
        fs::create_dir_all(folder.path().join("truth")).unwrap();
        for index in 0..2 {
            let mask =
                folder.path().join("data").join(masks.replace("SPLIT", "val").replace("NAME", &format!("f{index}")));
            fs::copy(mask, folder.path().join(format!("truth/f{index}.png"))).unwrap();
        }
        let line = ["--predictions", "truth", "--dataset", "folder", "--data-root", "data", "--out", "scores"];
        segeval(folder.path()).args(&line).succeeds();
        let report = json(folder.path().join("scores/report.json"));
        assert_eq!((report["miou"].as_f64(), report["pixel_accuracy"].as_f64()), (Some(1.0), Some(1.0)), "{images}");
    }
}

#[test]
fn a_first_class_set_is_written_from_the_masks() {
    let folder = folder();
    usual(folder.path());
    fs::remove_file(folder.path().join("data/classes.toml")).unwrap();
    let check = ["check", "--dataset", "folder", "--data-root", "data"];
    segdata(folder.path()).args(&check).fails(1, &["classes.toml", "segdata classes data", "--classes"]);
    segdata(folder.path()).args(&["classes", "data"]).succeeds();
    let text = fs::read_to_string(folder.path().join("data/classes.toml")).unwrap();
    for token in ["ids = [3]", "ids = [8]", "ids = [9]", "ignore = [255]", "weight", "pixels"] {
        assert!(text.contains(token), "{token} is not in {text}");
    }
    segdata(folder.path()).args(&check).succeeds();
    segdata(folder.path()).args(&["classes", "data"]).fails(1, &["data/classes.toml", "never overwritten", "--out"]);
}

#[test]
fn binary_masks_are_recognised() {
    let folder = folder();
    usual(folder.path());
    for split in ["train", "val"] {
        for name in names(folder.path().join("data/masks").join(split)) {
            let mask = GrayImage::from_fn(64, 32, |x, _| Luma([if x < 20 { 255 } else { 0 }]));
            mask.save(folder.path().join("data/masks").join(split).join(name)).unwrap();
        }
    }
    fs::write(folder.path().join("data/classes.toml"), "[[class]]\nname = \"no\"\n[[class]]\nname = \"yes\"\n")
        .unwrap();
    let check = ["check", "--dataset", "folder", "--data-root", "data"];
    let said = segdata(folder.path()).args(&check).succeeds().stderr;
    assert!(said.contains("0 and 255") && said.contains("ids = [255]"), "{said}");
    fs::remove_file(folder.path().join("data/classes.toml")).unwrap();
    let said = segdata(folder.path()).args(&check).run().stderr;
    assert!(said.contains("0 and 255") && said.contains("ids = [255]"), "{said}");
    segdata(folder.path()).args(&["classes", "data"]).succeeds();
    train(folder.path(), "run");
}

#[test]
fn a_checkpoint_is_never_scored_or_resumed_with_another_set() {
    let folder = folder();
    usual(folder.path());
    train(folder.path(), "run");
    let other = CLASSES.replace("\"weed\"", "\"thistle\"");
    fs::write(folder.path().join("other.toml"), &other).unwrap();
    let tokens = ["class 2", "`thistle`", "`weed`", "step-000003", "--classes"];
    segeval(folder.path()).args(&["run", "--classes", "other.toml"]).fails(2, &tokens);
    fs::write(folder.path().join("data/classes.toml"), &other).unwrap();
    segeval(folder.path()).args(&["run"]).fails(2, &tokens);
    segtrain(folder.path()).args(&["--resume", "run", "--steps", "4"]).fails(2, &tokens);
    segeval(folder.path()).args(&["run", "--classes", "run/classes.toml"]).succeeds();
}

#[test]
fn wrong_data_and_class_sets_are_named() {
    let folder = folder();
    usual(folder.path());
    let line = ["--dataset", "folder", "--data-root", "data", "--out", "run"];
    let refused = |code: i32, tokens: &[&str]| {
        tiny(folder.path()).args(&line).fails(code, tokens);
        assert!(!folder.path().join("run").exists());
    };
    let classes = folder.path().join("data/classes.toml");
    let with = |text: String| fs::write(&classes, text).unwrap();
    with(CLASSES.replace("\"weed\"", "\"crop\""));
    refused(1, &["classes.toml", "\"crop\"", "twice"]);
    with(CLASSES.replace("ids = [9]", "ids = [7]"));
    refused(1, &["classes.toml", "id 7", "\"crop\"", "\"weed\""]);
    with(CLASSES.replace("[200, 30, 30]", "[20, 160, 40]"));
    refused(1, &["classes.toml", "[20, 160, 40]", "\"crop\"", "\"weed\""]);
    with(CLASSES.replace("color = [200", "colour = [200"));
    refused(1, &["classes.toml", "line 17", "`colour`"]);
    with(String::new());
    refused(1, &["classes.toml", "no class"]);
    with((0..257).map(|i| format!("[[class]]\nname = \"c{i}\"\n")).collect());
    refused(1, &["classes.toml", "257 classes", "256"]);
    with(CLASSES.replace("[7, 8]", "[7]"));
    tiny(folder.path()).args(&line).fails(1, &["masks/", "id 8", "classes.toml", "--classes"]);
    with(CLASSES.replace("ignore_colors", "masks_are = \"colors\"\nignore_colors"));
    fs::remove_dir_all(folder.path().join("run")).ok();
    tiny(folder.path()).args(&line).fails(1, &["masks/", "color [3, 3, 3]", "\"soil\"", "ignore_colors"]);
    with(CLASSES.into());
    fs::remove_dir_all(folder.path().join("run")).ok();
    let mask = folder.path().join("data/masks/train/f1.png");
    RgbImage::from_pixel(64, 32, Rgb([90, 60, 20])).save(&mask).unwrap();
    segdata(folder.path()).args(&["check", "--dataset", "folder", "--data-root", "data"]).fails(1, &["problem"]);
    let said = segdata(folder.path()).args(&["check", "--dataset", "folder", "--data-root", "data"]).run().stderr;
    assert!(said.contains("masks/train/f1.png: is Rgb") && said.contains("masks_are"), "{said}");
    fs::remove_file(&mask).unwrap();
    refused(1, &["images/train/f1.png", "no mask", "masks/train/f1.png"]);
    let flag = ["--dataset", "folder", "--data-root", "data", "--classes", "no-such", "--out", "run"];
    tiny(folder.path()).args(&flag).fails(2, &["--classes no-such", "ade20k"]);
}

#[test]
fn ids_of_another_set_in_a_cityscapes_layout_are_remarked() {
    let folder = folder();
    usual(folder.path());
    for split in ["train", "val"] {
        for index in 0..2 {
            let [image, mask] = [
                ("images", "leftImg8bit/SPLIT/c/f_leftImg8bit.png"),
                ("masks", "gtFine/SPLIT/c/f_gtFine_labelIds.png"),
            ]
            .map(|(from, to)| {
                let to =
                    folder.path().join("data").join(to.replace("SPLIT", split).replace("/f_", &format!("/f{index}_")));
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                (folder.path().join(format!("data/{from}/{split}/f{index}.png")), to)
            });
            fs::copy(image.0, image.1).unwrap();
            // Own ids 0, 1 and 2: all of them are void in Cityscapes.
            GrayImage::from_fn(64, 32, |x, _| Luma([(x * 3 / 64) as u8])).save(mask.1).unwrap();
        }
    }
    fs::remove_file(folder.path().join("data/classes.toml")).unwrap();
    let said = segdata(folder.path()).args(&["check", "--data-root", "data"]).succeeds().stderr;
    assert!(said.contains("0, 1, 2") && said.contains("--classes"), "{said}");
    let line = ["--dataset", "cityscapes", "--data-root", "data", "--out", "run"];
    let said = tiny_with(folder.path(), &[("--steps", "1")]).args(&line).succeeds().stderr;
    assert!(said.contains("train") && said.contains("no labelled pixel"), "{said}");
    assert!(said.contains("cityscapes (19 classes"), "{said}");
}

#[test]
fn a_run_can_be_scored_from_another_folder() {
    let folder = folder();
    usual(folder.path());
    train(folder.path(), "run");
    let elsewhere = super::support::folder();
    let run = folder.path().join("run");
    segeval(elsewhere.path()).args(&[run.as_os_str()]).succeeds();
    let first = json(run.join("eval-val/report.json"));
    segeval(elsewhere.path()).args(&[run.as_os_str(), "--flip".as_ref()]).succeeds();
    let mirrored = json(run.join("eval-val-flip/report.json"));
    assert_eq!((&first["scored"]["flip"], &mirrored["scored"]["flip"]), (&false.into(), &true.into()));
    let line = [run.as_os_str(), "--flip".as_ref(), "--out".as_ref(), "scores".as_ref()];
    segeval(elsewhere.path()).args(&line).succeeds();
    let line = [run.as_os_str(), "--out".as_ref(), "scores".as_ref()];
    let said = segeval(elsewhere.path()).args(&line).succeeds().stderr;
    assert!(said.contains("scores/report.json") && said.contains("is replaced"), "{said}");
}

#[test]
fn weights_of_other_classes_start_a_run_and_mapped_classes_carry_over() {
    let folder = folder();
    usual(folder.path());
    train(folder.path(), "run");
    segexport(folder.path()).args(&["run", "--format", "safetensors", "--out", "net.safetensors"]).succeeds();
    let more = "[[class]]\nname = \"sky\"\ncolor = [1, 2, 3]\nids = [99]\n";
    let others = CLASSES.replace("\"weed\"", "\"thistle\"") + more;
    fs::write(folder.path().join("data/classes.toml"), others).unwrap();
    let with = |flags: &[&str]| {
        let line = ["--dataset", "folder", "--data-root", "data", "--out", "second"];
        tiny(folder.path()).args(&line).args(flags)
    };
    let map = |text: &str| fs::write(folder.path().join("map.toml"), text).unwrap();
    map("tree = \"soil\"\n");
    let mapped = ["--pretrained", "net.safetensors", "--init-classes", "map.toml"];
    with(&mapped).fails(1, &["map.toml", "\"tree\"", "`soil`"]);
    with(&mapped[2..]).fails(2, &["train.init_classes", "--pretrained"]);
    map("weed = \"thistle\"\nsoil = \"soil\"\n");
    let said = with(&mapped).succeeds().stderr;
    assert!(said.contains("2 of 4 classes") && said.contains("thistle from weed"), "{said}");
    fs::remove_dir_all(folder.path().join("second")).unwrap();
    let said = with(&mapped[..2]).succeeds().stderr;
    assert!(said.contains("soil, crop, weed") && said.contains("--init-classes"), "{said}");
}

#[test]
fn runs_of_different_class_sets_are_not_compared() {
    let folder = folder();
    usual(folder.path());
    train(folder.path(), "a");
    fs::write(folder.path().join("other.toml"), CLASSES.replace("\"weed\"", "\"thistle\"")).unwrap();
    let line = ["--dataset", "folder", "--data-root", "data", "--classes", "other.toml", "--out", "b"];
    tiny(folder.path()).args(&line).succeeds();
    let line = ["--compare", "a", "b", "--report", "page"];
    segeval(folder.path()).args(&line).fails(2, &["--compare", "soil, crop, weed", "soil, crop, thistle", "--classes"]);
}
