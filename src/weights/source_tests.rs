use super::*;
use burn::tensor::TensorData;
use serde_json::json;

/// Two parts of a network and their index.
fn parts(folder: &Path) -> PathBuf {
    let part = |number: usize, names: &[&str]| {
        let mut weights = Weights::default();
        for name in names {
            weights.tensors.insert(name.to_string(), TensorData::from([number as f32]));
        }
        let path = folder.join(format!("model-{number:05}-of-00002.safetensors"));
        let header = HashMap::from([(format!("part{number}"), "there".to_string())]);
        safetensors::write(&path, &weights, &[], header).unwrap();
    };
    part(1, &["model.a", "model.b", "model.layer1.0.conv1.weight"]);
    part(2, &["model.b", "model.c"]);
    let [first, second] = [1, 2].map(|number| format!("model-{number:05}-of-00002.safetensors"));
    let places = json!({"model.a": first, "model.layer1.0.conv1.weight": first, "model.b": second, "model.c": second});
    let index = folder.join("model.safetensors.index.json");
    fs::write(&index, serde_json::to_string_pretty(&json!({"metadata": {}, "weight_map": places})).unwrap()).unwrap();
    index
}

fn refused(path: &Path, words: &[&str]) {
    let error = Source::read(path).unwrap_err().to_string();
    assert!(!error.contains('\n'), "{error}");
    for word in words {
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[test]
fn an_index_reads_each_tensor_from_its_part() {
    let folder = tempfile::tempdir().unwrap();
    let index = parts(folder.path());
    let source = Source::read(&index).unwrap();
    let read: Vec<(&str, Vec<f32>)> =
        source.weights.tensors.iter().map(|(name, data)| (name.as_str(), data.try_to_vec().unwrap())).collect();
    assert_eq!(
        read,
        [("a", vec![1.0]), ("b", vec![2.0]), ("c", vec![2.0]), ("layer1.0.conv1.weight", vec![1.0])],
        "b is in both, and the index says where"
    );
    assert_eq!(source.nesting.to_string(), "; taken from model");
    assert!(source.header.contains_key("part1") && source.header.contains_key("part2"));
    // Whatever it is called.
    let renamed = folder.path().join("index");
    fs::rename(&index, &renamed).unwrap();
    assert_eq!(Source::read(&renamed).unwrap().weights, source.weights);
}

#[test]
fn parts_of_pytorch_are_read_by_an_index_too() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/zip.pth");
    fs::copy(fixture, folder.path().join("pytorch_model-00001-of-00001.bin")).unwrap();
    let index = folder.path().join("pytorch_model.bin.index.json");
    let places =
        json!({"conv1.weight": "pytorch_model-00001-of-00001.bin", "bn1.bias": "pytorch_model-00001-of-00001.bin"});
    fs::write(&index, json!({"weight_map": places}).to_string()).unwrap();
    assert!(Source::read(&index).unwrap().weights.tensors.contains_key("conv1.weight"));
    // The only part of one is whole.
    Source::read(&folder.path().join("pytorch_model-00001-of-00001.bin")).unwrap();
}

#[test]
fn a_part_alone_is_refused_and_its_index_named() {
    let folder = tempfile::tempdir().unwrap();
    let index = parts(folder.path());
    let [first, second] = [1, 2].map(|number| folder.path().join(format!("model-{number:05}-of-00002.safetensors")));
    let part = "model-00001-of-00002.safetensors: is one of 2 parts of a checkpoint";
    let name = "name their index model.safetensors.index.json";
    refused(&first, &[part, "the rest is in model-00002-of-00002.safetensors", name]);
    fs::remove_file(&second).unwrap();
    refused(&first, &[part, "model-00002-of-00002.safetensors is not beside it", name]);
    refused(&index, &["index.json: is the index of 2 files", "model-00002-of-00002.safetensors is not beside it"]);
    fs::remove_file(&index).unwrap();
    refused(&first, &[part, "model-00002-of-00002.safetensors is not", "their index model.safetensors.index.json"]);
    // Parts by other names, which only the index tells.
    let other = folder.path().join("head.safetensors");
    fs::rename(&first, &other).unwrap();
    fs::write(&index, json!({"weight_map": {"a": "head.safetensors", "b": "body.safetensors"}}).to_string()).unwrap();
    refused(&other, &["is one of 2 parts", "body.safetensors is not beside it"]);
    fs::remove_file(&index).unwrap();
    Source::read(&other).unwrap();
}

#[test]
fn json_that_is_no_index_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    fs::write(&path, r#"{"hidden_size": 8}"#).unwrap();
    refused(&path, &["config.json: is no index of files with weights (missing field `weight_map`", "file that holds"]);
    refused(&folder.path().join("none.json"), &["none.json: cannot be read: no such file"]);
    fs::write(&path, r#"{"weight_map": {}}"#).unwrap();
    assert!(Source::read(&path).unwrap().weights.tensors.is_empty());
}
