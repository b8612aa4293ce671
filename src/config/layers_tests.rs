use super::*;
use crate::config::{Backbone, Cuts, TaskLoss, defaults_for};

fn load(file: Option<&str>, set: &[&str], flags: &[(&'static str, &'static str, Value)]) -> Result<RunConfig> {
    let folder = tempfile::tempdir().unwrap();
    let file = file.map(|text| {
        let path = folder.path().join("x.toml");
        std::fs::write(&path, text).unwrap();
        path
    });
    let set = set.iter().map(|text| text.to_string()).collect();
    let flags = flags.iter().cloned().map(|(name, key, value)| Flag { name, key, value }).collect();
    Layers { file, set, flags }.load()
}

fn error(file: Option<&str>, set: &[&str], flags: &[(&'static str, &'static str, Value)]) -> String {
    let error = load(file, set, flags).expect_err("must be refused");
    assert_eq!(error.exit_code(), 2, "{error}");
    let message = error.to_string();
    assert!(!message.contains('\n'), "one sentence: {message}");
    message
}

fn k(value: i64) -> (&'static str, &'static str, Value) {
    ("--local-k", "local.num_modules", Value::Integer(value))
}

fn text(name: &'static str, key: &'static str, value: &str) -> (&'static str, &'static str, Value) {
    (name, key, Value::String(value.into()))
}

#[test]
fn flag_beats_set_beats_file_beats_default() {
    let file = Some("[train]\nsteps = 10\nbatch_size = 3\nlog_every_steps = 2\n");
    let set = ["train.batch_size=4", "train.log_every_steps=7"];
    let config = load(file, &set, &[("--batch-size", "train.batch_size", Value::Integer(5))]).unwrap();
    assert_eq!((config.train.steps, config.train.batch_size, config.train.log_every_steps), (10, 5, 7));
    assert_eq!(config.train.keep_checkpoints, defaults_for(DatasetKind::Synthetic).train.keep_checkpoints);
}

#[test]
fn the_dataset_chooses_the_default() {
    let file = Some("[data]\ndataset = \"cityscapes\"\nroot = \"/data\"\n");
    assert_eq!(load(file, &[], &[]).unwrap().model.backbone, Backbone::Resnet101);
    let synthetic = load(file, &[], &[text("--dataset", "data.dataset", "synthetic")]).unwrap();
    assert_eq!(synthetic.model.backbone, Backbone::Resnet18);
    assert_eq!(load(None, &["data.dataset=cityscapes", "data.root=x"], &[]).unwrap().train.batch_size, 2);
}

#[test]
fn set_takes_toml_literals_and_bare_words() {
    let set =
        ["optim.lr=1e-2", "optim.min_lr=0", "train.resolution=64x96", "augment.scale=[1, 1.5]", "train.out=runs/a b"];
    let config = load(None, &set, &[]).unwrap();
    assert_eq!((config.optim.lr, config.optim.min_lr), (0.01, 0.0));
    assert_eq!(config.train.resolution.to_string(), "64x96");
    assert_eq!(config.augment.scale, [1.0, 1.5]);
    assert_eq!(config.train.out, PathBuf::from("runs/a b"));
}

#[test]
fn an_unknown_key_names_its_source_and_the_nearest() {
    let message = error(Some("[train]\nbatchsize = 3\n"), &[], &[]);
    assert!(
        message.ends_with("x.toml: unknown key `train.batchsize`; the nearest known key is `train.batch_size`"),
        "{message}"
    );
    let message = error(None, &["lr=0.1"], &[]);
    assert_eq!(message, "--set lr=0.1: unknown key `lr`; the nearest known key is `optim.lr`");
    for (key, nearest) in [("optim.learning_rate", "optim.lr"), ("train.bs", "train.batch_size")] {
        let message = error(None, &[&format!("{key}=1")], &[]);
        assert!(message.ends_with(&format!("the nearest known key is `{nearest}`")), "{message}");
    }
    let message = error(None, &["train=5"], &[]);
    assert!(message.contains("`train` is a section of keys"), "{message}");
    assert!(error(None, &["train.batch_size"], &[]).contains("write KEY=VALUE"));
}

#[test]
fn a_wrong_value_names_source_key_and_what_is_allowed() {
    let message = error(Some("[optim]\nlr = \"fast\"\n"), &[], &[]);
    assert!(
        message.ends_with("x.toml: optim.lr = \"fast\": invalid type: string \"fast\", expected a number"),
        "{message}"
    );
    let message = error(None, &["model.backbone=resnet42"], &[]);
    assert!(message.contains("model.backbone = \"resnet42\"") && message.contains("`resnet101`"), "{message}");
    let message = error(None, &["train.steps=-1"], &[]);
    assert!(message.contains("expected a whole number, 0 or more"), "{message}");
    let message = error(None, &["train.resolution=512"], &[]);
    assert!(message.contains("HEIGHTxWIDTH"), "{message}");
    let message = error(None, &["local.cuts=middle"], &[]);
    assert!(message.contains("\"auto\", \"balanced\" or a list of block names"), "{message}");
    let message = error(None, &["device=gpu"], &[]);
    assert!(message.contains("auto, cpu, cuda, vulkan"), "{message}");
    let message = error(None, &["augment.scale=[1]"], &[]);
    assert!(message.contains("augment.scale = [1]") && message.contains("length"), "{message}");
}

#[test]
fn a_broken_file_names_the_line() {
    let message = error(Some("seed = 1\n[train\n"), &[], &[]);
    assert!(message.contains("x.toml: line 2 is not TOML"), "{message}");
    let missing = RunConfig::load_file(Path::new("/no/such.toml")).unwrap_err();
    assert_eq!(missing.to_string(), "/no/such.toml: no such configuration file");
}

#[test]
fn a_failed_relation_names_its_source() {
    let message = error(None, &["model.output_stride=32"], &[]);
    assert_eq!(message, "--set model.output_stride=32: model.output_stride = 32: must be 8 or 16");
    assert!(error(None, &[], &[k(0)]).starts_with("--local-k: local.num_modules = 0"));
}

#[test]
fn e2e_from_above_makes_k_one() {
    let e2e = text("--method", "local.method", "e2e");
    let config = load(None, &[], std::slice::from_ref(&e2e)).unwrap();
    assert_eq!(config.local.num_modules, 1);
    let file = Some("[local]\nnum_modules = 2\ncuts = [\"layer3.12\"]\n");
    let config = load(file, &[], std::slice::from_ref(&e2e)).unwrap();
    assert_eq!((config.local.num_modules, config.local.cuts), (1, Cuts::Auto));
    assert_eq!(load(Some("[local]\nmethod = \"e2e\"\n"), &[], &[]).unwrap().local.num_modules, 1);
}

#[test]
fn e2e_with_a_k_of_its_own_is_refused() {
    let e2e = text("--method", "local.method", "e2e");
    let message = error(None, &[], &[k(2), e2e.clone()]);
    assert!(message.starts_with("--local-k: 2 local modules, but method e2e (--method)"), "{message}");
    error(Some("[local]\nmethod = \"e2e\"\nnum_modules = 4\n"), &[], &[]);
    error(None, &["local.method=e2e", "local.num_modules=2"], &[]);
    error(Some("[local]\nmethod = \"e2e\"\n"), &[], &[k(2)]);
    assert_eq!(load(None, &[], &[k(1), e2e]).unwrap().local.num_modules, 1);
}

#[test]
fn cuts_follow_a_k_or_backbone_from_above() {
    let file = Some("[local]\nnum_modules = 2\ncuts = [\"layer2.1\"]\n");
    assert_eq!(load(file, &[], &[k(3)]).unwrap().local.cuts, Cuts::Auto);
    assert_eq!(load(file, &[], &[k(2)]).unwrap().local.cuts, Cuts::After(vec!["layer2.1".into()]));
    let backbone = text("--backbone", "model.backbone", "resnet50");
    assert_eq!(load(file, &[], &[backbone]).unwrap().local.cuts, Cuts::Auto);
    let message = error(Some("[local]\nnum_modules = 3\ncuts = [\"layer2.1\"]\n"), &[], &[]);
    assert!(message.contains("local.num_modules = 3"), "{message}");
}

#[test]
fn cuts_typed_beside_k_or_backbone_stay() {
    let cuts = ["local.cuts=[\"layer3.12\"]"];
    let backbone = text("--backbone", "model.backbone", "resnet101");
    let config = load(None, &cuts, &[k(2), backbone]).unwrap();
    assert_eq!(config.local.cuts, Cuts::After(vec!["layer3.12".into()]));
    let message = error(None, &cuts, &[k(3)]);
    assert!(message.starts_with("--set local.cuts") && message.contains("needs 2 cuts"), "{message}");
    let message = error(None, &cuts, &[text("--method", "local.method", "e2e")]);
    assert!(message.contains("local.num_modules = 1"), "{message}");
}

#[test]
fn loss_weights_follow_the_paper_until_somebody_says_otherwise() {
    let load = |pairs: &[&str]| {
        let set = ["data.dataset=cifar10", "model.backbone=resnet110"].iter().chain(pairs).map(ToString::to_string);
        let local = Layers { set: set.collect(), ..Layers::default() }.load().unwrap().local;
        (local.recon_weight, local.task_weight)
    };
    assert_eq!(load(&[]), ([5.0, 0.0], [0.5, 0.0]));
    assert_eq!(load(&["local.num_modules=8"]), ([5.0, 0.0], [0.0, 1.0]));
    assert_eq!(load(&["local.num_modules=4", "local.cuts=balanced"]), ([5.0, 5.0], [0.0, 0.1]));
    assert_eq!(load(&["local.num_modules=8", "local.task_weight=[2, 3]"]), ([5.0, 0.0], [2.0, 3.0]));
    assert_eq!(load(&["local.task_loss=softmax"]), ([1.5, 1.5], [1.0, 1.0]), "of which it says nothing");
    let set = ["data.dataset=cifar10", "train.steps=160"].map(String::from).to_vec();
    let optim = Layers { set, ..Layers::default() }.load().unwrap().optim;
    assert_eq!(optim.warmup_steps, 9, "a sixteenth of the run, as of 7813 steps");
    for method in ["dgl", "greedy"] {
        let method = format!("local.method={method}");
        assert_eq!(load(&["local.num_modules=8", &method]).1, [1.0, 1.0], "{method}");
        let set = ["data.dataset=cifar10", &method].map(String::from).to_vec();
        assert_eq!(Layers { set, ..Layers::default() }.load().unwrap().local.task_loss, TaskLoss::Softmax);
    }
}
