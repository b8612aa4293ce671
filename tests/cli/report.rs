//! `segeval --report`: one file, whole and by itself; what it holds; what it cannot be made of.

use super::support::{Program, folder, json, names, segeval, segtrain, tiny, tiny_with};
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// Tiny runs of four validation scenes in `a` and `b`.
pub fn runs(names: &[&str]) -> TempDir {
    let folder = folder();
    for (name, steps) in names.iter().zip(["3", "30"]) {
        // Longer than the first: after three steps both might say road of everything.
        let more = ["--set", "data.synthetic_count=[6, 4]", "--set", "train.eval_every_steps=1", "--out", name];
        tiny_with(folder.path(), &[("--steps", steps)]).args(&more).succeeds();
    }
    folder
}

/// A short run that classifies digits, in `digits`.
pub fn digits(folder: &Path) {
    let line =
        ["--dataset", "synthetic-digits", "--device", "cpu", "--steps", "4", "--batch-size", "8", "--out", "digits"];
    let settings = ["model.width=0.25", "data.synthetic_count=[24, 12]", "local.feature_dim=8", "optim.warmup_steps=0"];
    let settings: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    segtrain(folder).args(&line).args(&settings).args(&["--set", "train.log_every_steps=1"]).succeeds();
}

/// A page, which must hold all it needs.
fn page(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a page");
    assert!(text.starts_with("<!doctype html>") && text.trim_end().ends_with("</html>"));
    for outside in ["http://", "https://", "@import", "<link rel=\"stylesheet\"", "url(", "fetch(", "import("] {
        assert!(!text.contains(outside), "the page holds {outside:?}");
    }
    for attribute in ["src=", "href="] {
        for value in text.split(attribute).skip(1) {
            assert!(value.starts_with("\"data:"), "{attribute}{}", value.chars().take(60).collect::<String>());
        }
    }
    text
}

/// The JSON within a page.
pub fn data(page: &str) -> Value {
    let (_, data) = page.split_once("<script type=\"application/json\" id=\"data\">").expect("data");
    let (data, _) = data.split_once("</script>").expect("an end");
    serde_json::from_str(data).expect("JSON")
}

#[test]
fn the_page_of_a_run_is_one_file_with_everything_in_it() {
    let folder = runs(&["a"]);
    let line = ["a", "--overlays", "0", "--report", "deep/page", "--report-pictures", "3"];
    let outcome = segeval(folder.path()).args(&line).succeeds();
    assert!(outcome.stdout.ends_with("page      deep/page/index.html\n"), "{}", outcome.stdout);
    assert_eq!(names(folder.path().join("deep/page")), ["index.html"]);
    let text = page(&folder.path().join("deep/page/index.html"));

    let report = json(folder.path().join("a/eval-val/report.json"));
    let percent = |key: &str| format!("{:.2} %", 100.0 * report[key].as_f64().expect("a score"));
    for part in ["<h1>a</h1>", "synthetic, split val", "DeepLabV3, resnet18, output stride", "InfoPro, K = 2"] {
        assert!(text.contains(part), "{part:?}");
    }
    for part in [percent("miou"), percent("miou_present"), percent("pixel_accuracy")] {
        assert!(text.contains(&part), "{part:?}");
    }
    for class in report["classes"].as_object().expect("classes").keys() {
        assert!(text.contains(&format!("</span>{class}</th>")), "{class}");
    }

    let data = data(&text);
    assert_eq!(data["confusion"], report["confusion"]);
    let titles: Vec<_> =
        data["charts"].as_array().unwrap().iter().map(|chart| chart["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["loss of each module", "mIoU"]);
    assert_eq!(data["charts"][0]["lines"].as_array().unwrap().len(), 2, "two modules");
    assert_eq!(data["charts"][1]["lines"][0]["points"].as_array().unwrap().len(), 3, "three evaluations");
    let pictures = data["pictures"].as_array().unwrap();
    let mious: Vec<f64> = pictures.iter().map(|shown| shown["preds"][0]["miou"].as_f64().unwrap()).collect();
    assert!(mious.len() == 3 && mious.is_sorted(), "the worst first: {mious:?}");
    for shown in pictures {
        for address in [&shown["picture"], &shown["truth"], &shown["preds"][0]["ids"], &shown["preds"][0]["confidence"]]
        {
            assert!(address.as_str().unwrap().starts_with("data:image/"));
        }
    }
}

#[test]
fn a_page_without_pictures_or_a_log_is_a_page() {
    let folder = runs(&["a"]);
    fs::remove_file(folder.path().join("a/metrics.jsonl")).expect("a log");
    segeval(folder.path()).args(&["a", "--report", "page", "--report-pictures", "0"]).succeeds();
    let data = data(&page(&folder.path().join("page/index.html")));
    assert_eq!((&data["charts"], &data["pictures"]), (&Value::Array(vec![]), &Value::Array(vec![])));
}

#[test]
fn names_cannot_break_out_of_the_page() {
    let folder = runs(&["a"]);
    let wild = "<b>&'\"x";
    fs::rename(folder.path().join("a"), folder.path().join(wild)).expect("a folder");
    segeval(folder.path()).args(&[wild, "--report", "page", "--overlays", "0"]).succeeds();
    let text = fs::read_to_string(folder.path().join("page/index.html")).expect("a page");
    assert!(text.contains("<h1>&lt;b&gt;") && !text.contains("<b>&"), "{}", &text[..2000]);
}

#[test]
fn a_run_that_classifies_pictures_has_its_own_page() {
    let folder = folder();
    digits(folder.path());
    let line = ["digits", "--report", "page", "--report-pictures", "5", "--overlays", "0"];
    segeval(folder.path()).args(&line).succeeds();
    assert!(!folder.path().join("digits/eval-test/mistakes.png").exists(), "no sheet was asked for");
    let text = page(&folder.path().join("page/index.html"));
    for part in ["top-1 error", "top-5 error", "resnet", "Surest mistakes"] {
        assert!(text.contains(part), "{part:?}");
    }
    let data = data(&text);
    assert_eq!(data["classes"].as_array().unwrap().len(), 10);
    let sure: Vec<f64> =
        data["mistakes"].as_array().unwrap().iter().map(|m| m["confidence"].as_f64().unwrap()).collect();
    assert!(!sure.is_empty() && sure.len() <= 5 && sure.is_sorted_by(|a, b| a >= b), "{sure:?}");
    for mistake in data["mistakes"].as_array().unwrap() {
        assert_ne!(mistake["truth"], mistake["top"][0]);
    }
}

#[test]
fn runs_stand_side_by_side_on_their_pictures() {
    let folder = runs(&["a", "b"]);
    let line = ["--compare", "a", "b", "--report", "page", "--report-pictures", "3"];
    let outcome = segeval(folder.path()).args(&line).succeeds();
    assert_eq!(names(folder.path().join("page")), ["index.html"]);
    assert!(!folder.path().join("a/eval-val").exists(), "the runs are left as they are");
    let text = page(&folder.path().join("page/index.html"));
    let data = data(&text);
    assert_eq!(data["preds"], serde_json::json!(["a", "b"]));
    for run in ["a", "b"] {
        let report = json(folder.path().join(run).join("report.json"));
        let miou = format!("{:.2}", 100.0 * report["miou"].as_f64().unwrap());
        assert!(outcome.stdout.contains(&miou) && text.contains(&miou), "{miou} of {run}");
    }
    let pictures = data["pictures"].as_array().unwrap();
    let differing: Vec<f64> = pictures.iter().map(|shown| shown["differing"].as_f64().unwrap()).collect();
    assert!(!differing.is_empty() && differing.is_sorted_by(|a, b| a >= b), "{differing:?}");
    assert!(pictures.iter().all(|shown| shown["preds"].as_array().unwrap().len() == 2));
    // A run against itself differs nowhere.
    segeval(folder.path()).args(&["--compare", "a", "./a", "--report", "same"]).succeeds();
    let same = self::data(&page(&folder.path().join("same/index.html")));
    assert_eq!((&same["pictures"], &same["preds"]), (&Value::Array(vec![]), &serde_json::json!(["a (1)", "a (2)"])));
}

#[test]
fn what_no_page_can_be_made_of_is_told() {
    let folder = runs(&["a"]);
    let eval = |line: &[&str]| -> Program { segeval(folder.path()).args(line) };
    fs::write(folder.path().join("file"), "").expect("a file");
    eval(&["a", "--report", "file"]).fails(2, &["--report file: is a file; name a folder"]);
    eval(&["a", "--report", "file/page"]).fails(1, &["file/page: ", "cannot be made"]);
    assert!(!folder.path().join("a/eval-val").exists(), "told before the work");
    eval(&["a", "--report-pictures", "3"]).fails(2, &["--report <DIR>"]);
    eval(&["a", "--report", "p", "--report-pictures", "-1"]).fails(2, &["'-1' for '--report-pictures <N>'"]);
    eval(&["--predictions", "x", "--report", "p"]).fails(2, &["--predictions", "--report"]);
    eval(&["--compare", "a", "--report", "p"]).fails(2, &["--compare a: is one run; name two or more"]);
    eval(&["--compare", "a", "a"]).fails(2, &["--report <DIR>"]);
    eval(&["--compare", "a", "nowhere", "--report", "p"]).fails(1, &["nowhere: is not a run folder"]);
    eval(&["--compare", "a", "a", "--report", "p", "--out", "o"]).fails(2, &["--compare", "--out"]);
}

#[test]
fn runs_of_other_pictures_are_not_compared() {
    let folder = runs(&["a"]);
    let compare = |other: &str| segeval(folder.path()).args(&["--compare", "a", other, "--report", "p"]);
    tiny(folder.path()).args(&["--set", "data.synthetic_count=[6, 3]", "--out", "fewer"]).succeeds();
    compare("fewer").fails(2, &["--compare: fewer ", " a", "--dataset"]);
    let larger =
        ["--set", "data.synthetic_count=[6, 4]", "--set", "data.synthetic_resolution=64x128", "--out", "larger"];
    tiny_with(folder.path(), &[]).args(&larger).succeeds();
    compare("larger").fails(2, &["--compare: larger ", " a"]);
    digits(folder.path());
    compare("digits").fails(2, &["--compare digits: "]);
}
