//! Operations on maps so large that a GPU's kernels cut them into chunks, and of widths that do not divide evenly.

use super::Tensors;
use crate::ops::{self, Act};
use burn::tensor::{Device, Int, Tensor, TensorData};

/// Numbers that are the same on every device.
struct Numbers<'a> {
    device: &'a Device,
    next: u64,
}

impl Numbers<'_> {
    fn values(&mut self, number: usize) -> Vec<f32> {
        let mut next = || {
            self.next = self.next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.next >> 40) as f32 / (1u64 << 24) as f32
        };
        (0..number).map(|_| 2.0 * next() - 1.0).collect()
    }

    fn tensor<const D: usize>(&mut self, shape: [usize; D]) -> Tensor<D> {
        let values = self.values(shape.iter().product());
        Tensor::from_data(TensorData::new(values, shape), self.device)
    }
}

/// Results by operation, on `device` (an autodiff device).
pub fn compute(device: &Device) -> Vec<(&'static str, Tensors)> {
    vec![
        ("batch_norm", batch_norm(device)),
        ("convolution", convolution(device)),
        ("resize", resize(device)),
        ("sgd", sgd(device)),
        ("losses", losses(device)),
    ]
}

/// Output and gradients of `f` under random weights of its output.
fn note(
    results: &mut Tensors,
    case: &str,
    numbers: &mut Numbers,
    inputs: &[(&str, Tensor<4>)],
    f: impl FnOnce(&[Tensor<4>]) -> Tensor<4>,
) {
    let tracked: Vec<Tensor<4>> = inputs.iter().map(|(_, x)| x.clone().require_grad()).collect();
    let output = f(&tracked);
    let probe = numbers.tensor(output.dims());
    let gradients = ops::with_gradient(output.clone(), probe).backward();
    results.insert(format!("{case}/output"), output.into_data());
    for ((name, _), x) in inputs.iter().zip(&tracked) {
        let gradient = x.grad(&gradients).expect("every input is tracked");
        results.insert(format!("{case}/gradient/{name}"), gradient.into_data());
    }
}

fn batch_norm(device: &Device) -> Tensors {
    let mut results = Tensors::new();
    // Vectors of 4, 2 and 1; many chunks and one; a mean far from 0.
    for (channels, height, width, mean) in [(24, 40, 56, 0.0), (70, 33, 17, 30.0), (3, 90, 70, -2.0), (512, 3, 5, 1.0)]
    {
        let mut numbers = Numbers { device, next: channels as u64 };
        // In memory as a convolution leaves it on a GPU: rows of channels. The residual is not.
        let x = (numbers.tensor([2, height, width, channels]) * 3.0 + mean).permute([0, 3, 1, 2]);
        let residual = numbers.tensor([2, channels, height, width]);
        let [gamma, beta] = [(); 2].map(|()| numbers.tensor([1, channels, 1, 1]));
        for (act, name) in [(Act::Identity, "plain"), (Act::Relu, "relu")] {
            for added in [false, true] {
                let case = format!("{channels}/{name}{}", if added { "-residual" } else { "" });
                let mut inputs = vec![("x", x.clone()), ("gamma", gamma.clone()), ("beta", beta.clone())];
                inputs.extend(added.then(|| ("residual", residual.clone())));
                note(&mut results, &case, &mut numbers, &inputs, |inputs| {
                    let [gamma, beta] = [1, 2].map(|i: usize| inputs[i].clone().reshape([channels]));
                    let normalized =
                        ops::batch_norm_act(inputs[0].clone(), gamma, beta, inputs.get(3).cloned(), None, 1e-5, act);
                    normalized.output
                });
            }
        }
        let running = (numbers.tensor([channels]), numbers.tensor([channels]) + 2.0);
        let [gamma, beta] = [gamma, beta].map(|vector| vector.reshape([channels]));
        let normalized = ops::batch_norm_act(x, gamma, beta, None, Some(running), 1e-5, Act::Identity);
        results.insert(format!("{channels}/statistics/mean"), normalized.mean.into_data());
        results.insert(format!("{channels}/statistics/variance"), normalized.variance.into_data());
        let (mean, variance) = normalized.running.expect("they were given");
        results.insert(format!("{channels}/running/mean"), mean.into_data());
        results.insert(format!("{channels}/running/variance"), variance.into_data());
    }
    results
}

/// Gradients that add few and many output pixels up, in whole tiles of a matrix product and not.
fn convolution(device: &Device) -> Tensors {
    let mut results = Tensors::new();
    for (weight, stride, dilation, [batch, height, width]) in [
        ([16, 10, 1, 1], 1, 1, [2, 9, 8]),
        ([8, 24, 1, 1], 1, 1, [2, 64, 40]),
        ([36, 40, 1, 1], 2, 1, [2, 17, 23]),
        ([64, 64, 3, 3], 1, 1, [2, 4, 6]),
        ([40, 36, 3, 3], 1, 1, [1, 16, 16]),
        ([36, 40, 3, 3], 1, 2, [1, 32, 40]),
        ([36, 40, 3, 3], 2, 1, [2, 33, 31]),
        ([5, 70, 3, 3], 1, 1, [1, 20, 31]),
    ] {
        let mut numbers = Numbers { device, next: 11 };
        let geometry = ops::ConvGeometry { stride, padding: dilation * (weight[2] / 2), dilation };
        let x = numbers.tensor([batch, height, width, weight[1]]).permute([0, 3, 1, 2]);
        let inputs = [("x", x), ("weight", numbers.tensor(weight))];
        let case = format!("{weight:?}-{stride}-{dilation}-{batch}x{height}x{width}");
        note(&mut results, &case, &mut numbers, &inputs, |inputs| {
            ops::conv2d(inputs[0].clone(), inputs[1].clone(), geometry)
        });
    }
    results
}

fn resize(device: &Device) -> Tensors {
    let mut results = Tensors::new();
    let cases = [([9, 13], [65, 97]), ([30, 40], [7, 11]), ([1, 1], [6, 5]), ([8, 8], [8, 31]), ([5, 6], [1, 1])];
    for (from, to) in cases {
        for align_corners in [false, true] {
            for channels in [3, 8] {
                let mut numbers = Numbers { device, next: 7 };
                let x = numbers.tensor([2, channels, from[0], from[1]]);
                let case = format!("{from:?}-{to:?}-{channels}-{align_corners}");
                note(&mut results, &case, &mut numbers, &[("x", x)], |x| {
                    ops::resize_bilinear(x[0].clone(), to, align_corners)
                });
            }
        }
    }
    results
}

/// Three steps each, of weights whose gradients lie in another order too.
fn sgd(device: &Device) -> Tensors {
    let device = device.clone().without_autodiff();
    let mut results = Tensors::new();
    // burn reads a device when data are first looked at: by then a step in place may have changed them.
    let read = |x: &Tensor<4>| TensorData::new(x.clone().into_data().iter::<f32>().collect(), x.dims());
    for (shape, nesterov) in [([40, 3, 3, 24], false), ([40, 3, 3, 24], true), ([1, 1, 1, 70], false)] {
        let mut numbers = Numbers { device: &device, next: 3 };
        let order = |x: Tensor<4>| x.permute([0, 3, 1, 2]);
        let mut weight = numbers.tensor([shape[0], shape[3], shape[1], shape[2]]);
        let mut velocity = order(numbers.tensor(shape));
        for step in 0..3 {
            let grad = order(numbers.tensor(shape));
            (weight, velocity) = ops::sgd_step(weight, velocity, grad, 0.1, 0.9, 1e-2, nesterov);
            results.insert(format!("{shape:?}-{nesterov}/weight/{step}"), read(&weight));
        }
        let held = weight.clone();
        let before = read(&held);
        let grad = order(numbers.tensor(shape));
        let _ = ops::sgd_step(weight, velocity, grad, 0.1, 0.9, 1e-2, nesterov).0.into_data();
        assert_eq!(before, read(&held), "a weight that is held elsewhere was changed");
    }
    results
}

fn losses(device: &Device) -> Tensors {
    let mut results = Tensors::new();
    let mut scalar = |case: String, x: Tensor<4>, f: &dyn Fn(Tensor<4>) -> Tensor<1>| {
        let x = x.require_grad();
        let loss = f(x.clone());
        let gradients = (loss.clone() * 3.0).backward();
        results.insert(format!("{case}/loss/value"), loss.into_data());
        results.insert(format!("{case}/gradient/x"), x.grad(&gradients).expect("it is tracked").into_data());
    };
    for (classes, [h, w], [height, width]) in [
        (19, [9, 12], [70, 95]),
        (5, [16, 16], [16, 16]),
        (150, [6, 5], [41, 40]),
        (3, [20, 20], [9, 13]),
        (10, [1, 1], [1, 1]),
    ] {
        for align_corners in [false, true] {
            let mut numbers = Numbers { device, next: 11 };
            let logits = numbers.tensor([3, classes, h, w]) * 6.0;
            let pixels = 3 * height * width;
            let ids: Vec<i32> = (0..pixels).map(|i| if i % 7 == 3 { 255 } else { (i * 31 % classes) as i32 }).collect();
            let label = Tensor::<3, Int>::from_data(TensorData::new(ids, [3, height, width]), device);
            scalar(format!("cross_entropy/{classes}-{align_corners}"), logits, &|x| {
                ops::upsample_cross_entropy(x, label.clone(), align_corners)
            });
        }
    }
    let mut numbers = Numbers { device, next: 13 };
    let (logits, target) = (numbers.tensor([2, 3, 61, 83]) * 8.0, numbers.tensor([2, 3, 61, 83]).abs());
    scalar("reconstruction".into(), logits, &|x| ops::bce_with_logits(x, target.clone()));
    results
}
