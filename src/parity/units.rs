//! Single operations: the fixtures [`FIXTURES`], groups `<operation>/<case>/`.

use super::{Fixture, Tensors};
use crate::config::{DatasetKind, LrScheduleKind, OptimConfig, defaults_for};
use crate::data::normalize::{Normalization, normalize};
use crate::local::loss::{self, PixelSample};
use crate::local::sgd::sgd;
use crate::net::densenet::{DenseLayer, NormActConv, Transition};
use crate::net::running::Running;
use crate::net::{BatchNorm, Conv2d, Init, Pass};
use crate::ops::{self, Act, ConvGeometry};
use crate::train::lr::learning_rate;
use burn::module::Param;
use burn::optim::GradientsParams;
use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{Device, Int, Tensor, TensorData};
use ndarray::Array3;

/// Those of segmentation, and what classification adds.
const FIXTURES: [&str; 2] = ["units", "class-units"];

/// All fixtures in one.
pub fn fixture() -> Fixture {
    Fixture { tensors: FIXTURES.iter().flat_map(|name| Fixture::read(name).tensors).collect() }
}

/// One case of one operation.
struct Unit<'a> {
    fixture: &'a Fixture,
    device: &'a Device,
    operation: &'a str,
    case: &'a str,
    results: &'a mut Tensors,
}

/// Results by operation, on `device` (an autodiff device).
pub fn compute(fixture: &Fixture, device: &Device) -> Vec<(&'static str, Tensors)> {
    type Compute = fn(&mut Unit);
    let operations: [(&str, Compute); 13] = [
        ("conv2d", conv2d),
        ("grouped_conv2d", grouped_conv2d),
        ("dense", dense),
        ("batch_norm", batch_norm),
        ("max_pool", max_pool),
        ("avg_pool", avg_pool),
        ("resize", resize),
        ("cross_entropy", cross_entropy),
        ("reconstruction", reconstruction),
        ("contrast", contrast),
        ("normalize", normalize_bytes),
        ("schedule", schedule),
        ("sgd", sgd_steps),
    ];
    let results = operations.map(|(operation, compute)| {
        let mut cases: Vec<String> =
            fixture.under(operation).into_keys().filter_map(|name| Some(name.split_once('/')?.0.to_string())).collect();
        cases.dedup();
        let mut results = Tensors::new();
        for case in &cases {
            compute(&mut Unit { fixture, device, operation, case, results: &mut results });
        }
        (operation, results)
    });
    results.into()
}

impl Unit<'_> {
    fn name(&self, tensor: &str) -> String {
        format!("{}/{}/{tensor}", self.operation, self.case)
    }

    fn given<const D: usize>(&self, name: &str) -> Tensor<D> {
        self.fixture.tensor(&self.name(name), self.device)
    }

    fn values(&self, name: &str) -> Vec<f32> {
        self.fixture.values(&self.name(name))
    }

    /// Keeps a result that PyTorch has as well.
    fn keep<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) {
        self.results.insert(self.name(name), tensor.into_data());
    }

    /// Keeps the output and the gradient of `Σ probe·output` at each of the inputs, which are of rank 4, and at `vectors`.
    fn keep_all<const D: usize>(
        &mut self,
        output: Tensor<D>,
        inputs: &[(&str, &Tensor<4>)],
        vectors: &[(&str, &Tensor<1>)],
    ) {
        let gradients = (output.clone() * self.given("probe")).backward(); // of the sum
        self.keep("output", output);
        for (name, input) in inputs {
            self.keep(&format!("gradient/{name}"), input.grad(&gradients).expect("every input is tracked"));
        }
        for (name, input) in vectors {
            self.keep(&format!("gradient/{name}"), input.grad(&gradients).expect("every input is tracked"));
        }
    }

    /// Whether the case's name begins with `aligned`.
    fn align_corners(&self) -> bool {
        self.case.starts_with("aligned")
    }

    fn label(&self) -> Tensor<3, Int> {
        let label: Tensor<3> = self.given("label");
        label.int()
    }
}

fn conv2d(unit: &mut Unit) {
    let [stride, padding, dilation] = unit.values("geometry").try_into().unwrap();
    let geometry = ConvGeometry { stride: stride as usize, padding: padding as usize, dilation: dilation as usize };
    let (input, weight) = (unit.given("input").require_grad(), unit.given("weight").require_grad());
    let output = ops::conv2d(input.clone(), weight.clone(), geometry);
    unit.keep_all(output, &[("input", &input), ("weight", &weight)], &[]);
}

fn grouped_conv2d(unit: &mut Unit) {
    let [stride, dilation, groups] = unit.values("geometry").try_into().unwrap();
    let [stride, dilation, groups] = [stride, dilation, groups].map(|number: f32| number as usize);
    let (input, weight) = (unit.given("input").require_grad(), unit.given("weight").require_grad());
    let [cout, of_group, _, _] = weight.dims();
    let channels = [of_group * groups, cout];
    let mut conv = Conv2d::grouped(&mut Init::new(0, unit.device), channels, stride, dilation, groups);
    conv.weight = Param::from_tensor(weight.clone());
    unit.keep_all(conv.forward(input.clone()), &[("input", &input), ("weight", &weight)], &[]);
}

/// Two layers and a transition.
fn dense(unit: &mut Unit) {
    let weights =
        ["squeeze0", "grow0", "squeeze1", "grow1", "half"].map(|name| (name, unit.given(name).require_grad()));
    let mut init = Init::new(0, unit.device);
    let [squeeze0, grow0, squeeze1, grow1, half] = weights.each_ref().map(|(_, weight)| {
        let [cout, cin, kernel, _] = weight.dims();
        let mut conv = Conv2d::same(&mut init, [cin, cout], kernel, 1, 1);
        conv.weight = Param::from_tensor(weight.clone());
        NormActConv { norm: BatchNorm::new(&mut init, cin), conv }
    });
    let layers = [(squeeze0, grow0), (squeeze1, grow1)].map(|(squeeze, grow)| DenseLayer { squeeze, grow });
    let pass = Pass::training(0);
    let input = unit.given("input").require_grad();
    let x = layers.iter().fold(input.clone(), |x, layer| layer.forward(x, &pass));
    let output = Transition { squeeze: half }.forward(x, &pass);
    let mut inputs = vec![("input", &input)];
    inputs.extend(weights.iter().map(|(name, weight)| (*name, weight)));
    unit.keep_all(output, &inputs, &[]);
}

fn batch_norm(unit: &mut Unit) {
    let act = if unit.case.contains("relu") { Act::Relu } else { Act::Identity };
    let adds = unit.case.contains("add");
    let input = unit.given("input").require_grad();
    let residual = adds.then(|| unit.given("residual").require_grad());
    let (gamma, beta) = (unit.given("gamma").require_grad(), unit.given("beta").require_grad());
    let output =
        ops::batch_norm_act(input.clone(), gamma.clone(), beta.clone(), residual.clone(), None, 1e-5, act).output;
    let mut inputs = vec![("input", &input)];
    inputs.extend(residual.as_ref().map(|residual| ("residual", residual)));
    unit.keep_all(output, &inputs, &[("gamma", &gamma), ("beta", &beta)]);

    let mut norm = BatchNorm::new(&mut Init::new(0, unit.device), gamma.dims()[0]);
    (norm.gamma, norm.beta) = (Param::from_tensor(gamma), Param::from_tensor(beta));
    norm.running_mean = Running::new(unit.given("running_mean"));
    norm.running_var = Running::new(unit.given("running_var"));
    let input = input.detach();
    let residual = residual.map(Tensor::detach);
    unit.keep("evaluation", norm.forward(input.clone(), residual, act, &Pass::evaluation()));
    for x in [input.clone(), input * 0.5 - 1.0] {
        norm.forward(x, None, act, &Pass::training(0));
    }
    unit.keep("statistics/running_mean", norm.running_mean.value());
    unit.keep("statistics/running_var", norm.running_var.value());
}

fn max_pool(unit: &mut Unit) {
    let input = unit.given("input").require_grad();
    let options = MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]); // as the stem
    unit.keep_all(max_pool2d(input.clone(), options), &[("input", &input)], &[]);
}

fn avg_pool(unit: &mut Unit) {
    let input = unit.given("input").require_grad();
    let output = match unit.case {
        "global" => ops::global_average(input.clone()),
        _ => avg_pool2d(input.clone(), AvgPoolOptions::new([2, 2]).with_stride([2, 2])), // as a transition
    };
    unit.keep_all(output, &[("input", &input)], &[]);
}

fn resize(unit: &mut Unit) {
    let input = unit.given("input").require_grad();
    let [_, _, height, width] = unit.given::<4>("output").dims();
    let output = ops::resize_bilinear(input.clone(), [height, width], unit.align_corners());
    unit.keep_all(output, &[("input", &input)], &[]);
}

fn cross_entropy(unit: &mut Unit) {
    let logits = unit.given("logits").require_grad();
    let output = ops::upsample_cross_entropy(logits.clone(), unit.label(), unit.align_corners());
    unit.keep_all(output, &[("logits", &logits)], &[]);
}

fn reconstruction(unit: &mut Unit) {
    let logits = unit.given("logits").require_grad();
    let output = ops::bce_with_logits(logits.clone(), unit.given("picture"));
    unit.keep_all(output, &[("logits", &logits)], &[]);
}

fn contrast(unit: &mut Unit) {
    let embeddings = unit.given("embeddings").require_grad();
    let sample = PixelSample {
        pixels: unit.values("pixels").into_iter().map(|pixel| pixel as i32).collect(),
        classes: unit.values("classes").into_iter().map(|class| class as u16).collect(),
    };
    let temperature = f64::from(unit.values("temperature")[0]);
    let output = loss::contrast(embeddings.clone(), &sample, temperature);
    unit.keep_all(output, &[("embeddings", &embeddings)], &[]);
}

fn schedule(unit: &mut Unit) {
    let [lr, power, min_lr, warmup] = unit.values("optim").try_into().unwrap();
    let schedule = match unit.case.split('_').next() {
        Some("poly") => LrScheduleKind::Poly,
        Some("cosine") => LrScheduleKind::Cosine,
        Some("step") => LrScheduleKind::Step,
        _ => LrScheduleKind::Constant,
    };
    let (milestones, gamma) = match schedule {
        LrScheduleKind::Step => (unit.values("milestones"), unit.values("gamma")[0]),
        _ => (vec![], 1.0),
    };
    let optim = OptimConfig {
        schedule,
        milestones: milestones.into_iter().map(|thousandths| f64::from(thousandths) / 1000.0).collect(),
        gamma: f64::from(gamma),
        lr: f64::from(lr),
        power: f64::from(power),
        min_lr: f64::from(min_lr),
        warmup_steps: warmup as usize,
        ..defaults_for(DatasetKind::Synthetic).optim
    };
    let steps = unit.values("output").len();
    let rates: Vec<f32> = (0..steps).map(|step| learning_rate(&optim, step, steps) as f32).collect();
    unit.results.insert(unit.name("output"), TensorData::new(rates, [steps]));
}

fn normalize_bytes(unit: &mut Unit) {
    let normalization = match unit.case {
        "cifar" => Normalization::CIFAR,
        "imagenet" => Normalization::IMAGENET,
        _ => Normalization::HALF,
    };
    let shape = unit.given::<3>("picture").dims();
    let planes = unit.values("picture").into_iter().map(|byte| byte as u8).collect();
    let picture = Array3::from_shape_vec(shape, planes).unwrap().permuted_axes([1, 2, 0]);
    let output = normalize(&picture.as_standard_layout().to_owned(), normalization);
    unit.results.insert(unit.name("output"), TensorData::new(output, shape));
}

/// Steps with given gradients.
fn sgd_steps(unit: &mut Unit) {
    let [momentum, nesterov, weight_decay] = unit.values("optim").try_into().unwrap();
    let optim = OptimConfig {
        momentum: f64::from(momentum),
        nesterov: nesterov == 1.0,
        weight_decay: f64::from(weight_decay),
        ..defaults_for(DatasetKind::Synthetic).optim
    };
    let mut optimizer = sgd(&optim);
    let weight: Tensor<4> = unit.given("weight");
    let [cout, cin, _, _] = weight.dims();
    let mut layer = Conv2d::same(&mut Init::new(0, unit.device), [cin, cout], 1, 1, 1);
    layer.weight = Param::from_tensor(weight);
    let mut after = Vec::new();
    for (rate, gradient) in unit.values("rates").into_iter().zip(unit.given::<5>("gradients").iter_dim(0)) {
        let loss = layer.weight.val() * gradient.squeeze_dim::<4>(0);
        let gradients = GradientsParams::from_grads(loss.sum().backward(), &layer);
        layer = optimizer.step(f64::from(rate), layer, gradients);
        after.push(layer.weight.val().detach());
    }
    unit.keep("output", Tensor::<4>::stack::<5>(after, 0));
}
