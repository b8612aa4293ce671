//! Running a program in a folder and reading what it left there.

use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A network, images and a run so small that it takes a fraction of a second, on whatever dataset.
const TINY: [&str; 38] = [
    "--device",
    "cpu",
    "--resolution",
    "32x64",
    "--batch-size",
    "2",
    "--steps",
    "3",
    "--local-k",
    "2",
    "--backbone",
    "resnet18",
    "--set",
    "model.width=0.1",
    "--set",
    "model.atrous_rates=[1, 2]",
    "--set",
    "model.aspp_channels=8",
    "--set",
    "model.aux_channels=8",
    "--set",
    "local.head_channels=8",
    "--set",
    "local.decoder_channels=[8, 8, 8]",
    "--set",
    "local.contrast_samples=64",
    "--set",
    "data.synthetic_resolution=32x64",
    "--set",
    "data.synthetic_count=[6, 2]",
    "--set",
    "train.log_every_steps=1",
    "--set",
    "train.eval_every_steps=0",
    "--set",
    "train.save_every_steps=0",
    "--set",
    "optim.lr=0.05",
];

/// A folder that goes away with the test.
pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

/// A program about to run in `folder`, which relative paths on its command line are relative to.
pub struct Program {
    name: &'static str,
    command: Command,
}

/// What it said and how it ended.
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

pub fn segtrain(folder: &Path) -> Program {
    Program::new("segtrain", env!("CARGO_BIN_EXE_segtrain"), folder)
}

pub fn segeval(folder: &Path) -> Program {
    Program::new("segeval", env!("CARGO_BIN_EXE_segeval"), folder)
}

pub fn segprobe(folder: &Path) -> Program {
    Program::new("segprobe", env!("CARGO_BIN_EXE_segprobe"), folder)
}

pub fn segpredict(folder: &Path) -> Program {
    Program::new("segpredict", env!("CARGO_BIN_EXE_segpredict"), folder)
}

pub fn segexport(folder: &Path) -> Program {
    Program::new("segexport", env!("CARGO_BIN_EXE_segexport"), folder)
}

pub fn segbench(folder: &Path) -> Program {
    Program::new("segbench", env!("CARGO_BIN_EXE_segbench"), folder)
}

#[cfg(feature = "remote")]
pub fn segworker(folder: &Path) -> Program {
    Program::new("segworker", env!("CARGO_BIN_EXE_segworker"), folder)
}

pub fn segdata(folder: &Path) -> Program {
    Program::new("segdata", env!("CARGO_BIN_EXE_segdata"), folder)
}

/// A small training run: three steps of K = 2 on six built-in scenes of 32x64, logged each, into `run/`. What a test
/// adds to the command line had better not repeat a flag; `--set` may repeat a key, the last counts.
pub fn tiny(folder: &Path) -> Program {
    tiny_with(folder, &[])
}

/// The same, with some flags of [`TINY`] replaced.
pub fn tiny_with(folder: &Path, instead: &[(&str, &str)]) -> Program {
    let mut program = segtrain(folder);
    for pair in TINY.chunks_exact(2) {
        let replaced = instead.iter().find(|(flag, _)| *flag == pair[0]);
        program = program.args(&[pair[0], replaced.map_or(pair[1], |(_, value)| value)]);
    }
    program
}

/// A finished tiny run in `folder/run`.
pub fn trained() -> TempDir {
    let folder = folder();
    tiny(folder.path()).args(&["--out", "run"]).succeeds();
    folder
}

/// Names, without extension, of the plots in a folder that holds nothing else: each as PNG and as SVG.
pub fn plots(folder: impl AsRef<Path>) -> Vec<String> {
    let folder = folder.as_ref();
    let mut plots: Vec<String> =
        names(folder).iter().filter_map(|name| Some(name.strip_suffix(".png")?.to_string())).collect();
    assert_eq!(names(folder).len(), 2 * plots.len(), "{:?}", names(folder));
    plots.sort();
    for plot in &plots {
        let svg = fs::read_to_string(folder.join(format!("{plot}.svg"))).expect("an SVG beside the PNG");
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{plot}.svg is whole");
        let picture = image::open(folder.join(format!("{plot}.png"))).expect("a picture");
        let size = format!("<svg width=\"{}\" height=\"{}\"", picture.width(), picture.height());
        assert!(svg.starts_with(&size), "{plot}.svg is as large as the PNG");
    }
    plots
}

/// `count` built-in scenes on disk, in `folder/data`.
pub fn synth(folder: &Path, split: &str, count: usize, resolution: &str) {
    let count = count.to_string();
    let synth = segdata(folder).args(&["synth", "--out", "data", "--split", split]);
    synth.args(&["--count", &count, "--resolution", resolution]).succeeds();
}

/// Image and label ids of the scene `index` that [`synth`] wrote.
pub fn scene(folder: &Path, split: &str, index: usize) -> [PathBuf; 2] {
    let stem = format!("synthetic/synthetic_{index:06}_000019");
    [
        folder.join(format!("data/leftImg8bit/{split}/{stem}_leftImg8bit.png")),
        folder.join(format!("data/gtFine/{split}/{stem}_gtFine_labelIds.png")),
    ]
}

impl Program {
    fn new(name: &'static str, path: &str, folder: &Path) -> Self {
        let mut command = Command::new(path);
        command.current_dir(folder).stdin(Stdio::null());
        // With it even a panic that the program catches leaves a trace on stderr, which `check_words` finds.
        command.env("RUST_BACKTRACE", "1");
        Self { name, command }
    }

    pub fn args<Arg: AsRef<OsStr>>(mut self, args: &[Arg]) -> Self {
        self.command.args(args);
        self
    }

    /// The command, for a test that does more than wait for its end.
    pub fn command(mut self) -> Command {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Outcome {
        Outcome::of(self.command.output().expect("the program starts"))
    }

    /// Runs it; it must succeed.
    pub fn succeeds(self) -> Outcome {
        let line = format!("{:?}", self.command);
        let outcome = self.run();
        assert_eq!(outcome.code, 0, "{line}\n{}", outcome.stderr);
        outcome
    }

    /// Runs it; it must end with `code` and, as its last words, one sentence that holds all of `words`. Returns it.
    pub fn fails(self, code: i32, words: &[&str]) -> String {
        let (name, line) = (self.name, format!("{:?}", self.command));
        let outcome = self.run();
        assert_eq!(outcome.code, code, "{line}\n{}", outcome.stderr);
        let sentence = outcome.stderr.lines().last().unwrap_or_default().to_string();
        assert!(sentence.starts_with(&format!("{name}: ")), "{line}\n{}", outcome.stderr);
        for part in words {
            assert!(sentence.contains(part), "{part:?} is not in: {sentence}");
        }
        sentence
    }
}

impl Outcome {
    /// Of a process that has ended.
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("programs write UTF-8");
        let outcome =
            Self { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) };
        outcome.check_words();
        outcome
    }

    /// No panic, and, as no test runs at a terminal, no bar, color or other control character.
    fn check_words(&self) {
        for word in ["panicked", "RUST_BACKTRACE", "stack backtrace", "internal error", "bug in infoseg"] {
            assert!(!self.stderr.contains(word), "{}", self.stderr);
        }
        for text in [&self.stdout, &self.stderr] {
            assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        }
    }
}

/// The log of a run, without what differs from one run to the next: seconds and memory.
pub fn log(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).expect("a log");
    let lines = text.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).expect("a line of JSON");
        let object = line.as_object_mut().expect("an object");
        assert!(object.remove("seconds").is_some_and(|seconds| seconds.as_f64() > Some(0.0)));
        object.remove("peak_memory_bytes");
        line
    });
    lines.collect()
}

/// A JSON file.
pub fn json(path: impl AsRef<Path>) -> Value {
    let path = path.as_ref();
    let text = fs::read_to_string(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

/// A report without what needs instance ids, which training does not read.
pub fn semantic(path: impl AsRef<Path>) -> Value {
    let mut report = json(path);
    let keys = report.as_object_mut().expect("an object");
    for key in ["iiou_classes", "iiou_categories", "miiou_classes", "miiou_categories"] {
        keys.remove(key).expect("a report has it, or null");
    }
    keys.remove("scored");
    report
}

/// The total losses of every module at every logged step of a run.
pub fn losses(run: &Path) -> Vec<f64> {
    let lines = log(run);
    let steps = lines.iter().filter_map(|line| line["losses"].as_array());
    // What is not finite is null in JSON.
    steps.flatten().map(|module| module["total"].as_f64().expect("a finite loss")).collect()
}

/// All weights of a run, under names that are the same in every run.
pub fn exported(folder: &Path, run: &str) -> Vec<u8> {
    let out = format!("{run}.safetensors");
    let _ = fs::remove_file(folder.join(&out));
    segexport(folder).args(&[run, "--format", "safetensors", "--out", &out]).succeeds();
    fs::read(folder.join(out)).expect("weights")
}

/// Waits until something is there, a minute at most.
pub fn wait_for(what: &str, there: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(60);
    while !there() {
        assert!(Instant::now() < patience, "{what} never came");
        sleep(Duration::from_millis(2));
    }
}

/// Names in a folder, sorted; hidden ones too.
pub fn names(folder: impl AsRef<Path>) -> Vec<String> {
    let entries =
        fs::read_dir(folder.as_ref()).unwrap_or_else(|cause| panic!("{}: {cause}", folder.as_ref().display()));
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}
