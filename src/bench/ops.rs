//! `segbench ops`: each operation of ours against the same composed of burn's own, forward and backward, at shapes of
//! DeepLabV3-ResNet101 on crops of 512x1024.

use super::step::median;
use crate::Result;
use crate::memory::counting;
use crate::ops::{self, Act, ConvGeometry};
use burn::tensor::module::{self, interpolate};
use burn::tensor::ops::{ConvOptions, InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Distribution, Int, Tensor, activation};
use serde::Serialize;
use std::time::Instant;

/// One operation, ours and composed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// What it does, and to what.
    pub name: String,
    /// Ours.
    pub ours: Cost,
    /// burn's.
    pub composed: Cost,
}

/// Forward and backward of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    /// Median.
    pub seconds: f64,
    /// Most bytes on the heap above what was there before; 0 on a GPU.
    pub peak_bytes: u64,
}

/// From inputs to what is summed up and goes backward.
type Work = Box<dyn Fn(&[Tensor<4>]) -> Tensor<4>>;

struct Case {
    name: &'static str,
    shapes: Vec<[usize; 4]>,
    ours: Work,
    composed: Work,
}

/// Measures them all, `rounds` times each.
///
/// # Errors
/// The device does not answer.
pub fn measure(device: &Device, rounds: usize) -> Result<Vec<Compared>> {
    cases(device)
        .into_iter()
        .map(|case| {
            let ours = cost(&case.shapes, &case.ours, device, rounds)?;
            let composed = cost(&case.shapes, &case.composed, device, rounds)?;
            Ok(Compared { name: case.name.into(), ours, composed })
        })
        .collect()
}

fn cost(shapes: &[[usize; 4]], work: &Work, device: &Device, rounds: usize) -> Result<Cost> {
    let inputs: Vec<Tensor<4>> = shapes
        .iter()
        .map(|shape| Tensor::random(*shape, Distribution::Normal(0.0, 1.0), device).require_grad())
        .collect();
    let sync = || device.sync().map_err(|e| crate::Error::run(format!("the device does not answer: {e}")));
    let (mut seconds, mut peak_bytes) = (Vec::new(), 0);
    for round in 0..=rounds {
        sync()?;
        let before = counting::live();
        counting::reset_peak();
        let start = Instant::now();
        let output = work(&inputs);
        let gradient = output.clone().detach();
        let gradients = ops::with_gradient(output, gradient).backward();
        sync()?;
        let taken = start.elapsed().as_secs_f64();
        drop(gradients);
        if round > 0 {
            seconds.push(taken); // the first meets fresh memory and compiles kernels
            let on_cpu = device.memory_pool_usage().is_none();
            peak_bytes = if on_cpu { counting::peak().saturating_sub(before) as u64 } else { 0 };
        }
    }
    Ok(Cost { seconds: median(&seconds), peak_bytes })
}

fn conv(name: &'static str, [cin, cout, kernel, stride, dilation]: [usize; 5], size: [usize; 2]) -> Case {
    let padding = dilation * (kernel - 1) / 2;
    let geometry = ConvGeometry { stride, padding, dilation };
    Case {
        name,
        shapes: vec![[2, cin, size[0], size[1]], [cout, cin, kernel, kernel]],
        ours: Box::new(move |x| ops::conv2d(x[0].clone(), x[1].clone(), geometry)),
        composed: Box::new(move |x| {
            let options = ConvOptions::new([stride; 2], [padding; 2], [dilation; 2], 1);
            module::conv2d(x[0].clone(), x[1].clone(), None, options)
        }),
    }
}

fn norm(name: &'static str, channels: usize, size: [usize; 2], with_residual: bool) -> Case {
    let shape = [2, channels, size[0], size[1]];
    let vector = move |x: &Tensor<4>| x.clone().reshape([channels]);
    Case {
        name,
        shapes: vec![shape, [1, channels, 1, 1], [1, channels, 1, 1], shape],
        ours: Box::new(move |x| {
            let residual = with_residual.then(|| x[3].clone());
            ops::batch_norm_act(x[0].clone(), vector(&x[1]), vector(&x[2]), residual, None, 1e-5, Act::Relu).output
        }),
        composed: Box::new(move |x| {
            let normalized = module::batch_norm_train(x[0].clone(), vector(&x[1]), vector(&x[2]), 1e-5).output;
            activation::relu(if with_residual { normalized + x[3].clone() } else { normalized })
        }),
    }
}

fn bilinear(x: Tensor<4>, size: [usize; 2], align_corners: bool) -> Tensor<4> {
    let options = InterpolateOptions::new(InterpolateMode::Bilinear).with_output_size(size);
    interpolate(x, options.with_align_corners(align_corners))
}

fn cases(device: &Device) -> Vec<Case> {
    let mut cases = vec![
        conv("conv 3x3, dilation 2, 256 to 256, 64x128", [256, 256, 3, 1, 2], [64, 128]),
        conv("conv 1x1, 1024 to 256, 64x128", [1024, 256, 1, 1, 1], [64, 128]),
        conv("conv 3x3, 64 to 64, 128x256", [64, 64, 3, 1, 1], [128, 256]),
        norm("BatchNorm + ReLU, 256, 64x128", 256, [64, 128], false),
        norm("BatchNorm + residual + ReLU, 1024, 64x128", 1024, [64, 128], true),
    ];
    // burn's bilinear resizing has no backward on GPUs: there is nothing to compare with.
    if device.memory_pool_usage().is_some() {
        return cases;
    }
    cases.push(Case {
        name: "bilinear resize, 64, 128x256 to 256x512",
        shapes: vec![[2, 64, 128, 256]],
        ours: Box::new(|x| ops::resize_bilinear(x[0].clone(), [256, 512], true)),
        composed: Box::new(|x| bilinear(x[0].clone(), [256, 512], true)),
    });
    let geometry = ConvGeometry { stride: 1, padding: 1, dilation: 1 };
    cases.push(Case {
        name: "resize + conv 3x3, 32 to 3, 256x512 to 512x1024",
        shapes: vec![[2, 32, 256, 512], [3, 32, 3, 3]],
        ours: Box::new(move |x| ops::resized_conv2d(x[0].clone(), x[1].clone(), [512, 1024], true, geometry)),
        composed: Box::new(|x| {
            let full = bilinear(x[0].clone(), [512, 1024], true);
            module::conv2d(full, x[1].clone(), None, ConvOptions::new([1; 2], [1; 2], [1; 2], 1))
        }),
    });
    let (classes, size) = (19, [512, 1024]);
    let label = Tensor::<4>::random([2, 1, size[0], size[1]], Distribution::Uniform(0.0, 19.0), device).int();
    let (ours, theirs): (Tensor<3, Int>, _) = (label.clone().squeeze_dim(1), label);
    cases.push(Case {
        name: "upsample + cross-entropy, 19, 64x128 to 512x1024",
        shapes: vec![[2, classes, 64, 128]],
        ours: Box::new(move |x| ops::upsample_cross_entropy(x[0].clone(), ours.clone(), false).reshape([1, 1, 1, 1])),
        composed: Box::new(move |x| {
            let full = bilinear(x[0].clone(), size, false);
            let picked = activation::log_softmax(full, 1).gather(1, theirs.clone());
            picked.mean().neg().reshape([1, 1, 1, 1])
        }),
    });
    cases.push(Case {
        name: "binary cross-entropy with logits, 3, 512x1024",
        shapes: vec![[2, 3, size[0], size[1]]],
        ours: Box::new(|x| {
            ops::bce_with_logits(x[0].clone(), x[0].clone().detach().clamp(0.0, 1.0)).reshape([1, 1, 1, 1])
        }),
        composed: Box::new(|x| {
            let (z, t) = (x[0].clone(), x[0].clone().detach().clamp(0.0, 1.0));
            let tail = z.clone().abs().neg().exp().log1p();
            (activation::relu(z.clone()) - z * t + tail).mean().reshape([1, 1, 1, 1])
        }),
    });
    cases
}

/// Ratios first, then what they are of.
pub fn table(all: &[Compared]) -> String {
    let mut text = String::from(
        "| operation, batch 2, forward and backward | time | memory | ms | burn's ms | MiB | burn's MiB |\n|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for Compared { name, ours, composed } in all {
        let memory = match (ours.peak_bytes, composed.peak_bytes) {
            (_, 0) => "-".into(),
            (ours, composed) => format!("{:.2} ×", ours as f64 / composed as f64),
        };
        text += &format!(
            "| {name} | {:.2} × | {memory} | {:.1} | {:.1} | {} | {} |\n",
            ours.seconds / composed.seconds,
            1e3 * ours.seconds,
            1e3 * composed.seconds,
            ours.peak_bytes >> 20,
            composed.peak_bytes >> 20,
        );
    }
    text
}
