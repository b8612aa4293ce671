//! Whole networks in local modules: `eval/parity/cases/*.toml`, each an ordinary run configuration.

use super::{Fixture, Tensors, drawn, path};
use crate::config::RunConfig;
use crate::local::{LocalNetwork, Targets};
use crate::net::Pass;
use crate::ops;
use crate::train::lr::learning_rate;
use crate::weights::Weights;
use burn::tensor::{Device, Tensor, TensorData};

/// Names of the cases.
pub fn cases() -> Vec<String> {
    let files = std::fs::read_dir(path("cases")).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = files.map(|file| file.file_stem().unwrap().to_str().unwrap().to_string()).collect();
    names.sort();
    names
}

fn config(case: &str) -> RunConfig {
    RunConfig::load_file(&path(&format!("cases/{case}.toml"))).unwrap()
}

/// The case's fixture. What a fixture of classification leaves out, images and weights, is drawn here.
pub fn fixture(case: &str) -> Fixture {
    let mut fixture = Fixture::read(case);
    if !is_drawn(case) {
        return fixture;
    }
    let config = config(case);
    fixture.tensors.insert("input".into(), drawn::input(&config, fixture.values("label").len()));
    let network = LocalNetwork::new(&config.spec(), classes(&fixture), &Device::flex().autodiff()).unwrap();
    for (name, data) in network.weights().tensors {
        fixture.tensors.insert(format!("weights/{name}"), drawn::weight(&name, data.shape(), config.seed));
    }
    fixture
}

/// Whether the case's fixture holds results alone, and of large ones some of their numbers: classification.
pub fn is_drawn(case: &str) -> bool {
    !config(case).data.dataset.task().is_dense()
}

fn classes(fixture: &Fixture) -> usize {
    fixture.data("after/head.classifier.bias").shape()[0]
}

/// Everything that the case's fixture holds as a result, on `device` (an autodiff device).
pub fn compute(case: &str, fixture: &Fixture, device: &Device) -> Tensors {
    let config = config(case);
    let input: Tensor<4> = fixture.tensor("input", device);
    let label = fixture.values("label").into_iter().map(|id| id as u16).collect();
    let targets = Targets::new(&input, config.data.dataset.normalization(), label, device);
    let mut results = Tensors::new();
    if is_drawn(case) {
        results.insert("output/0".into(), input.clone().into_data());
    }
    first_step(&network(&config, fixture, device), &config, &input, &targets, &mut results);

    let mut trained = network(&config, fixture, device);
    for step in 0..3 {
        let lr = learning_rate(&config.optim, step, config.train.steps);
        // Dropout is 0 and every labelled pixel is sampled: the seed only decides on the order of the sample.
        let losses = trained.train_step(input.clone(), &targets, lr, step as u64).unwrap();
        for (index, losses) in losses.into_iter().enumerate() {
            let mut keep = |term: &str, loss: f32| {
                results.insert(format!("loss/{}/{}/{term}", step + 1, index + 1), TensorData::from([loss]));
            };
            keep("task", losses.task);
            keep("total", losses.total);
            if let Some(reconstruction) = losses.reconstruction {
                keep("reconstruction", reconstruction);
            }
        }
    }
    results.extend(trained.weights().tensors.into_iter().map(|(name, data)| (format!("after/{name}"), data)));
    let pass = Pass::evaluation();
    let blocks = trained.modules.iter().flat_map(|module| module.blocks_for_evaluation(module.device()));
    let input = fixture.tensor("input", &device.clone().without_autodiff());
    let logits = blocks.into_iter().fold(input, |x, block| block.forward(x, &pass));
    results.insert("evaluation".into(), logits.into_data());
    results
}

/// The case's network with the fixture's weights, all of which must find their place.
fn network(config: &RunConfig, fixture: &Fixture, device: &Device) -> LocalNetwork {
    let mut network = LocalNetwork::new(&config.spec(), classes(fixture), device).unwrap();
    let mapping = network.set_weights(&Weights { tensors: fixture.under("weights") });
    let strays = [&mapping.missing, &mapping.unexpected].map(|names| names.join(", "));
    assert!(strays == ["", ""] && mapping.misshapen.is_empty(), "{strays:?} {:?}", mapping.misshapen);
    network
}

/// Outputs, gradients, the last module's two losses, and the running statistics after one forward pass.
fn first_step(network: &LocalNetwork, config: &RunConfig, input: &Tensor<4>, targets: &Targets, results: &mut Tensors) {
    let mut features = input.clone();
    for module in &network.modules {
        let number = module.index + 1;
        let (output, losses, gradients) = module.backward(features, targets, 0);
        results.insert(format!("output/{number}"), output.clone().into_data());
        let gradients = module.named_gradients(&gradients).tensors;
        results.extend(gradients.into_iter().map(|(name, data)| (format!("gradient/{name}"), data)));
        if number == network.modules.len() {
            let decode = ops::upsample_cross_entropy(output.clone(), targets.label.clone(), false).into_scalar::<f32>();
            results.insert(format!("loss/1/{number}/decode"), TensorData::from([decode]));
            if module.has_aux_head() {
                let aux = (losses.task - decode) / config.model.aux_weight as f32;
                results.insert(format!("loss/1/{number}/aux"), TensorData::from([aux]));
            }
        }
        features = output;
    }
    let statistics = network.weights().tensors.into_iter().filter(|(name, _)| name.contains(".running_"));
    results.extend(statistics.map(|(name, data)| (format!("statistics/{name}"), data)));
}
