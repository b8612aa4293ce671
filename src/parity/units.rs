//! Single operations: the fixture `units`, groups `<operation>/<case>/`.

use super::{Fixture, Tensors};
use crate::config::{Dataset, LrScheduleKind, OptimConfig, defaults_for};
use crate::local::loss::{self, PixelSample};
use crate::net::{BatchNorm, Init, Pass};
use crate::ops::{self, Act, ConvGeometry};
use crate::train::schedule::learning_rate;
use burn::module::{Param, RunningState};
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Int, Tensor, TensorData};

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
    let operations: [(&str, Compute); 8] = [
        ("conv2d", conv2d),
        ("batch_norm", batch_norm),
        ("max_pool", max_pool),
        ("resize", resize),
        ("cross_entropy", cross_entropy),
        ("reconstruction", reconstruction),
        ("contrast", contrast),
        ("schedule", schedule),
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

fn batch_norm(unit: &mut Unit) {
    let act = if unit.case.contains("relu") { Act::Relu } else { Act::Identity };
    let adds = unit.case.contains("add");
    let input = unit.given("input").require_grad();
    let residual = adds.then(|| unit.given("residual").require_grad());
    let (gamma, beta) = (unit.given("gamma").require_grad(), unit.given("beta").require_grad());
    let output = ops::batch_norm_act(input.clone(), gamma.clone(), beta.clone(), residual.clone(), 1e-5, act).output;
    let mut inputs = vec![("input", &input)];
    inputs.extend(residual.as_ref().map(|residual| ("residual", residual)));
    unit.keep_all(output, &inputs, &[("gamma", &gamma), ("beta", &beta)]);

    let mut norm = BatchNorm::new(&mut Init::new(0, unit.device), gamma.dims()[0]);
    (norm.gamma, norm.beta) = (Param::from_tensor(gamma), Param::from_tensor(beta));
    norm.running_mean = RunningState::new(unit.given("running_mean"));
    norm.running_var = RunningState::new(unit.given("running_var"));
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
        _ => LrScheduleKind::Constant,
    };
    let optim = OptimConfig {
        schedule,
        lr: f64::from(lr),
        power: f64::from(power),
        min_lr: f64::from(min_lr),
        warmup_steps: warmup as usize,
        ..defaults_for(Dataset::Synthetic).optim
    };
    let steps = unit.values("output").len();
    let rates: Vec<f32> = (0..steps).map(|step| learning_rate(&optim, step, steps) as f32).collect();
    unit.results.insert(unit.name("output"), TensorData::new(rates, [steps]));
}
