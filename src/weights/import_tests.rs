use super::*;
use crate::config::{RunConfig, defaults_for};
use crate::local::config::Cuts;
use crate::weights::export::{Format, export};
use crate::weights::safetensors;

const CLASSES: usize = 4;

fn config(stem: Stem, head: DecodeHead, num_modules: usize) -> RunConfig {
    let mut config = defaults_for(DatasetKind::Synthetic);
    config.model.backbone = Backbone::Resnet18;
    config.model.width = 0.125;
    config.model.stem = stem;
    config.model.decode_head = head;
    config.model.atrous_rates = vec![1, 3, 6];
    config.model.aspp_channels = 8;
    config.model.aux_channels = 8;
    config.local.head_channels = 8;
    config.local.decoder_channels = vec![8, 6, 4];
    config.local.num_modules = num_modules;
    if num_modules == 2 {
        config.local.cuts = Cuts::After(vec!["layer3.0".into()]);
    }
    config
}

fn network(config: &RunConfig, seed: u64) -> LocalNetwork {
    LocalNetwork::new(&RunConfig { seed, ..config.clone() }.spec(), CLASSES, &Device::flex()).unwrap()
}

/// Writes a network's weights and reads them as a checkpoint.
fn through_a_file(config: &RunConfig, format: Format, folder: &Path) -> (Weights, Checkpoint) {
    let path = folder.join(format!("{format:?}.safetensors"));
    let weights = network(config, 1).weights();
    export(&weights, &config.model, &ClassSet::cityscapes(), format, &path).unwrap();
    (weights, Checkpoint::read(&path).unwrap())
}

#[test]
fn what_is_exported_is_imported_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for (stem, head, k, format, naming) in [
        (Stem::V1c, DecodeHead::Mmsegmentation, 2, Format::Safetensors, Naming::Infoseg),
        (Stem::V1c, DecodeHead::Mmsegmentation, 2, Format::Mmseg, Naming::Mmsegmentation { backbone_only: false }),
        (
            Stem::Torchvision,
            DecodeHead::Mmsegmentation,
            1,
            Format::Mmseg,
            Naming::Mmsegmentation { backbone_only: false },
        ),
        (
            Stem::Torchvision,
            DecodeHead::Torchvision,
            1,
            Format::Torchvision,
            Naming::Torchvision { backbone_only: false },
        ),
    ] {
        let config = config(stem, head, k);
        let (weights, checkpoint) = through_a_file(&config, format, folder.path());
        assert_eq!(checkpoint.naming, naming);
        let mut other = network(&config, 2);
        let report = checkpoint.load_into(&mut other, &config.model, true).unwrap();
        assert_eq!(other.weights(), weights, "{format:?}");
        assert!(report.mapping.missing.is_empty() && report.mapping.unexpected.is_empty(), "{report}");
    }
}

#[test]
fn a_checkpoint_tells_which_network_it_is_of() {
    let folder = tempfile::tempdir().unwrap();
    for (stem, head, format) in [
        (Stem::V1c, DecodeHead::Mmsegmentation, Format::Mmseg),
        (Stem::Torchvision, DecodeHead::Torchvision, Format::Torchvision),
        (Stem::V1c, DecodeHead::Torchvision, Format::Safetensors),
    ] {
        let config = config(stem, head, 1);
        let (weights, checkpoint) = through_a_file(&config, format, folder.path());
        let (network, classes, report) = checkpoint.network(None, &Device::flex()).unwrap();
        assert_eq!(classes, CLASSES);
        assert_eq!(network.weights(), weights, "{report}");
    }
}

#[test]
fn a_backbone_alone_leaves_the_heads_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(Stem::Torchvision, DecodeHead::Mmsegmentation, 2);
    let source = network(&config, 1).weights();
    let naming = Naming::Torchvision { backbone_only: true };
    let mut bare = Weights::default();
    for (ours, data) in &source.tensors {
        if let Some(theirs) = naming.foreign(ours, &config.model) {
            bare.tensors.insert(theirs, data.clone());
        }
    }
    bare.tensors.insert("fc.bias".into(), TensorData::from([0f32; 10]));
    let path = folder.path().join("resnet.safetensors");
    safetensors::write(&path, &bare, &[], std::collections::HashMap::new()).unwrap();

    let checkpoint = Checkpoint::read(&path).unwrap();
    let (fresh, mut loaded) = (network(&config, 2).weights(), network(&config, 2));
    let report = checkpoint.load_into(&mut loaded, &config.model, false).unwrap();
    let loaded = loaded.weights();
    assert_eq!(loaded.tensors["layer3.1.last.conv.weight"], source.tensors["layer3.1.last.conv.weight"]);
    assert_eq!(loaded.tensors["head.classifier.weight"], fresh.tensors["head.classifier.weight"]);
    assert_eq!(report.mapping.unexpected, ["fc.bias"]);
    assert!(report.to_string().contains("1 of no use here (fc.bias)"), "{report}");
    let error = checkpoint.network(None, &Device::flex()).err().unwrap().to_string();
    assert!(error.contains("is a backbone alone"), "{error}");
}

#[test]
fn the_reference_s_biases_before_batch_norm_are_kept_in_its_mean() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(Stem::V1c, DecodeHead::Mmsegmentation, 2);
    let (weights, mut checkpoint) = through_a_file(&config, Format::Mmseg, folder.path());
    checkpoint.weights.tensors.insert("head_inter.0.bias".into(), TensorData::from([0.5f32; 8]));
    let mut loaded = network(&config, 2);
    let report = checkpoint.load_into(&mut loaded, &config.model, true).unwrap();
    assert!(report.mapping.unexpected.is_empty(), "{report}");
    let mean = "local1.local_head.conv.norm.running_mean";
    assert_eq!(weights.tensors[mean], TensorData::from([0f32; 8]));
    assert_eq!(loaded.weights().tensors[mean], TensorData::from([-0.5f32; 8]));
}

#[test]
fn a_checkpoint_of_another_network_names_the_first_differences_and_the_keys() {
    let folder = tempfile::tempdir().unwrap();
    let source = config(Stem::V1c, DecodeHead::Mmsegmentation, 1);
    let (_, checkpoint) = through_a_file(&source, Format::Mmseg, folder.path());
    let mut target = config(Stem::Torchvision, DecodeHead::Mmsegmentation, 1);
    target.model.backbone = Backbone::Resnet34;
    let error = checkpoint.load_into(&mut network(&target, 2), &target.model, false).unwrap_err().to_string();
    assert!(error.contains("Mmseg.safetensors: ") && error.contains("mmsegmentation"), "{error}");
    assert!(error.contains("backbone.bn1.weight is not there, "), "{error}");
    assert!(error.contains("--backbone resnet18, model.stem = \"v1c\""), "{error}");
    assert!(!error.contains('\n'));
}

#[test]
fn wrong_ranks_and_absurd_sizes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(Stem::V1c, DecodeHead::Mmsegmentation, 1);
    for (name, data, words) in [
        ("decode_head.conv_seg.weight", TensorData::from([0f32; 8]), "is a backbone alone"),
        ("backbone.stem.6.weight", TensorData::new(vec![0f32; 1 << 15], [1 << 15, 1, 1, 1]), "model.width = 512"),
        ("decode_head.conv_seg.weight", TensorData::new(vec![0f32; 300], [300, 1, 1, 1]), "has 300 classes"),
        ("backbone.layer1.0.bn1.weight", TensorData::from([[0f32; 8]]), "backbone.layer1.0.bn1.weight is [1, 8]"),
    ] {
        let (_, mut checkpoint) = through_a_file(&config, Format::Mmseg, folder.path());
        checkpoint.weights.tensors.insert(name.into(), data);
        if words.starts_with("model.width") {
            checkpoint.exported = None; // a foreign file, whose width is read off the stem
        }
        let error = checkpoint.network(None, &Device::flex()).err().unwrap().to_string();
        assert!(error.contains(words), "{name}: {error}");
    }
}

#[test]
fn other_people_s_names_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bert.safetensors");
    let mut weights = Weights::default();
    weights.tensors.insert("encoder.weight".into(), TensorData::from([1f32]));
    safetensors::write(&path, &weights, &[], std::collections::HashMap::new()).unwrap();
    let error = Checkpoint::read(&path).unwrap_err().to_string();
    assert!(error.contains("encoder.weight"), "{error}");
    let error = Checkpoint::read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("is a folder"), "{error}");
    let error = Checkpoint::read(&folder.path().join("none.pth")).unwrap_err().to_string();
    assert!(error.contains("none.pth: cannot be read: no such file"), "{error}");
}

/// Reads these tensors from a file.
fn checkpoint(weights: &Weights, folder: &Path) -> Checkpoint {
    let path = folder.join("file.safetensors");
    safetensors::write(&path, weights, &[], std::collections::HashMap::new()).unwrap();
    Checkpoint::read(&path).unwrap()
}

fn renamed(weights: &Weights, name: impl Fn(&str) -> Option<String>) -> Weights {
    let renamed = |(ours, data): (&String, &TensorData)| Some((name(ours)?, data.clone()));
    Weights { tensors: weights.tensors.iter().filter_map(renamed).collect() }
}

#[test]
fn a_network_under_keys_is_loaded_and_its_average_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(Stem::V1c, DecodeHead::Mmsegmentation, 1);
    config.model.atrous_rates = vec![1, 12, 24, 36]; // those of a file that says none
    let naming = Naming::Mmsegmentation { backbone_only: false };
    let under = |key: &str, seed| {
        renamed(&network(&config, seed).weights(), |ours| {
            Some(format!("{key}{}", naming.foreign(ours, &config.model)?))
        })
    };
    let mut both = under("model_ema.module.", 2);
    both.tensors.extend(under("model._orig_mod.", 1).tensors);
    for (weights, seed, words) in [
        (both, 1, "; taken from model; not taken: model_ema (EMA)"),
        (under("ema_state_dict.module.", 2), 2, "; taken from ema_state_dict (EMA)"),
    ] {
        let (loaded, _, report) = checkpoint(&weights, folder.path()).network(None, &Device::flex()).unwrap();
        assert_eq!(loaded.weights(), network(&config, seed).weights());
        assert!(report.to_string().ends_with(words), "{report}");
    }
}

#[test]
fn a_width_is_read_off_the_stages() {
    let folder = tempfile::tempdir().unwrap();
    for (width, stem) in [(0.03, Stem::Torchvision), (0.1, Stem::V1c), (0.3, Stem::V1c)] {
        let mut config = config(stem, DecodeHead::Mmsegmentation, 1);
        config.model.width = width;
        config.model.atrous_rates = vec![1, 12, 24, 36]; // those of a file that says none
        let weights = network(&config, 1).weights();
        for naming in [Naming::Infoseg, Naming::Mmsegmentation { backbone_only: false }] {
            let file = renamed(&weights, |ours| naming.foreign(ours, &config.model));
            let checkpoint = checkpoint(&file, folder.path());
            assert_eq!(checkpoint.model().unwrap().0.width, width);
            assert_eq!(checkpoint.network(None, &Device::flex()).unwrap().0.weights(), weights, "{width}");
        }
    }
}

/// A network for images of this many classes.
fn classifier(classes: usize, seed: u64) -> (RunConfig, LocalNetwork) {
    let mut config = config(Stem::Torchvision, DecodeHead::Mmsegmentation, 1);
    (config.data.dataset, config.seed) = (DatasetKind::SyntheticDigits, seed);
    let network = LocalNetwork::new(&config.spec(), classes, &Device::flex()).unwrap();
    (config, network)
}

#[test]
fn the_classifier_of_as_many_classes_is_loaded_and_another_said() {
    let folder = tempfile::tempdir().unwrap();
    let (config, source) = classifier(3, 1);
    let source = source.weights();
    let bare = Naming::Torchvision { backbone_only: true };
    for (prefix, head) in [("", "fc"), ("backbone.", "head.fc")] {
        let mut file = renamed(&source, |ours| Some(format!("{prefix}{}", bare.foreign(ours, &config.model)?)));
        let linear = source.tensors["head.classifier.weight"].try_to_vec::<f32>().unwrap();
        let columns = linear.len() / 3;
        file.tensors.insert(format!("{head}.weight"), TensorData::new(linear, [3, columns]));
        file.tensors.insert(format!("{head}.bias"), source.tensors["head.classifier.bias"].clone());
        let checkpoint = checkpoint(&file, folder.path());

        let (config, mut same) = classifier(3, 2);
        let report = checkpoint.load_into(&mut same, &config.model, false).unwrap();
        assert_eq!(same.weights(), source, "{report}");
        assert!(report.mapping.unexpected.is_empty() && report.classes.is_none(), "{report}");

        let (config, mut other) = classifier(5, 2);
        let drawn = other.weights();
        let report = checkpoint.load_into(&mut other, &config.model, false).unwrap().to_string();
        let loaded = other.weights();
        assert_eq!(loaded.tensors["head.classifier.weight"], drawn.tensors["head.classifier.weight"]);
        assert_eq!(loaded.tensors["layer1.0.last.conv.weight"], source.tensors["layer1.0.last.conv.weight"]);
        for words in [&format!("{head}.weight [3, "), "the file has 3 classes and this network 5: its classifier stays"]
        {
            assert!(report.contains(words), "{words}: {report}");
        }
    }
}
