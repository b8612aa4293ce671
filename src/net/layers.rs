//! Convolution, BatchNorm and the unit of both with a ReLU that everything is built of.

use super::running::Running;
use super::{FeatureShape, Footprint};
use crate::ops::{self, Act, ConvGeometry, Rank};
use burn::module::{Module, Param};
use burn::tensor::module;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal, Uniform};
use std::cell::RefCell;

/// Draws initial weights on the host, so that a seed gives the same network on every device.
pub struct Init<'a> {
    device: &'a Device,
    /// `None`: everything is 0.
    rng: Option<ChaCha8Rng>,
}

impl<'a> Init<'a> {
    /// Weights of `seed`, made on `device` (an autodiff device, where the network is to be trained).
    pub fn new(seed: u64, device: &'a Device) -> Self {
        Self { device, rng: Some(ChaCha8Rng::seed_from_u64(seed)) }
    }

    /// Weights of 0, for a network that is asked for its shapes alone: they take neither time nor memory.
    pub fn blank(device: &'a Device) -> Self {
        Self { device, rng: None }
    }

    /// Where the weights are made.
    pub fn device(&self) -> &Device {
        self.device
    }

    fn draw<const D: usize>(&mut self, shape: [usize; D], law: impl Distribution<f32>) -> Param<Tensor<D>> {
        let number = shape.iter().product();
        let values = match &mut self.rng {
            Some(rng) => (0..number).map(|_| law.sample(rng)).collect(),
            None => vec![0.0; number],
        };
        Param::from_data(TensorData::new(values, shape), self.device)
    }

    fn normal<const D: usize>(&mut self, shape: [usize; D], std: f32) -> Param<Tensor<D>> {
        self.draw(shape, Normal::new(0.0, std).expect("a standard deviation is finite"))
    }

    /// Uniform in ±1/√fan_in, as PyTorch's own layers start.
    fn uniform<const D: usize>(&mut self, shape: [usize; D], fan_in: usize) -> Param<Tensor<D>> {
        let bound = 1.0 / (fan_in as f32).sqrt();
        self.draw(shape, Uniform::new_inclusive(-bound, bound).expect("a bound is finite"))
    }

    fn full(&self, channels: usize, value: f32) -> Tensor<1> {
        Tensor::from_data(TensorData::new(vec![value; channels], [channels]), self.device)
    }

    fn full_param(&self, channels: usize, value: f32) -> Param<Tensor<1>> {
        Param::from_data(TensorData::new(vec![value; channels], [channels]), self.device)
    }
}

/// A weight in the number format of the activations that it meets.
fn like<const D: usize>(weight: Tensor<D>, x: &Tensor<4>) -> Tensor<D> {
    match (weight.dtype(), x.dtype()) {
        (own, other) if own == other => weight,
        (_, other) => weight.cast(other),
    }
}

/// What a forward pass is for.
pub struct Pass {
    training: bool,
    moves_statistics: bool,
    dropout: RefCell<ChaCha8Rng>,
    replica: Replica,
}

/// Which part of a batch a pass is of, where several replicas make one together.
#[derive(Debug, Clone, Default)]
pub struct Replica {
    /// Images of the batch before this part, and behind it.
    pub others: [usize; 2],
    /// Whom BatchNorm's statistics are common with.
    pub sync: Option<Rank>,
}

impl Pass {
    /// Batch statistics (which also move the running ones) and dropout drawn from `seed`.
    pub fn training(seed: u64) -> Self {
        let dropout = RefCell::new(ChaCha8Rng::seed_from_u64(seed));
        Self { training: true, moves_statistics: true, dropout, replica: Replica::default() }
    }

    /// The same for this part of a batch.
    pub fn of(self, replica: &Replica) -> Self {
        Self { replica: replica.clone(), ..self }
    }

    /// As training, but running statistics stay: the same pass will be made again, for its gradient.
    pub fn rehearsal(seed: u64) -> Self {
        Self { moves_statistics: false, ..Self::training(seed) }
    }

    /// Running statistics and no dropout.
    pub fn evaluation() -> Self {
        Self { training: false, ..Self::rehearsal(0) }
    }

    /// Spatial dropout (PyTorch's `Dropout2d`): whole channels become 0 with probability `probability`, the others grow
    /// by `1/(1 − probability)`. The mask is drawn on the host, so that it does not depend on the device.
    pub fn dropout2d(&self, x: Tensor<4>, probability: f64) -> Tensor<4> {
        if !self.training || probability == 0.0 {
            return x;
        }
        let [batch, channels, _, _] = x.dims();
        let mut rng = self.dropout.borrow_mut();
        let kept = 1.0 / (1.0 - probability) as f32;
        let mut draw = || if rng.random_bool(probability) { 0.0 } else { kept };
        // What is drawn for an image does not depend on how the batch is divided.
        let [before, behind] = self.replica.others;
        (0..before * channels).for_each(|_| {
            draw();
        });
        let mask: Vec<f32> = (0..batch * channels).map(|_| draw()).collect();
        (0..behind * channels).for_each(|_| {
            draw();
        });
        let mask = Tensor::from_data(TensorData::new(mask, [batch, channels, 1, 1]), &x.device());
        let mask = like(mask, &x);
        x * mask
    }
}

/// Two-dimensional convolution with a square kernel.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[channels_out, channels_in / groups, kernel, kernel]`
    pub weight: Param<Tensor<4>>,
    /// `[channels_out]`
    pub bias: Option<Param<Tensor<1>>>,
    stride: usize,
    padding: usize,
    dilation: usize,
    groups: usize,
}

impl Conv2d {
    /// A convolution without bias whose padding keeps the size at stride 1; weights as He et al. (normal, fan-out).
    pub fn same(init: &mut Init, [cin, cout]: [usize; 2], kernel: usize, stride: usize, dilation: usize) -> Self {
        let std = (2.0 / (cout * kernel * kernel) as f32).sqrt();
        let weight = init.normal([cout, cin, kernel, kernel], std);
        Self { weight, bias: None, stride, padding: dilation * (kernel - 1) / 2, dilation, groups: 1 }
    }

    /// A 3×3 one where output channels see only the input channels of their own group, of `groups`.
    pub fn grouped(init: &mut Init, channels: [usize; 2], stride: usize, dilation: usize, groups: usize) -> Self {
        let [cin, cout] = channels;
        Self { groups, ..Self::same(init, [cin / groups, cout], 3, stride, dilation) }
    }

    /// A linear layer over channels, as a 1×1 convolution: bias; weights as PyTorch's `Linear`.
    pub fn linear(init: &mut Init, [cin, cout]: [usize; 2]) -> Self {
        let (weight, bias) = (init.uniform([cout, cin, 1, 1], cin), Some(init.uniform([cout], cin)));
        Self { weight, bias, stride: 1, padding: 0, dilation: 1, groups: 1 }
    }

    /// A 3×3 convolution with bias behind which no BatchNorm comes; weights as [`Conv2d::same`], bias as PyTorch's.
    pub fn biased(init: &mut Init, [cin, cout]: [usize; 2]) -> Self {
        let same = Self::same(init, [cin, cout], 3, 1, 1);
        Self { bias: Some(init.uniform([cout], 9 * cin)), ..same }
    }

    /// The last layer of a head: bias, weights of standard deviation 0.01 (mmsegmentation's `conv_seg`).
    pub fn last(init: &mut Init, [cin, cout]: [usize; 2], kernel: usize) -> Self {
        let weight = init.normal([cout, cin, kernel, kernel], 0.01);
        let bias = Some(init.full_param(cout, 0.0));
        Self { weight, bias, stride: 1, padding: (kernel - 1) / 2, dilation: 1, groups: 1 }
    }

    fn geometry(&self) -> ConvGeometry {
        ConvGeometry { stride: self.stride, padding: self.padding, dilation: self.dilation }
    }

    /// The same of `x` resized bilinearly to `size` (align_corners), of stride 1: see [`ops::resized_conv2d`].
    pub fn forward_resized(&self, x: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
        self.biased_output(ops::resized_conv2d(x, self.weight.val(), size, true, self.geometry()))
    }

    /// `[batch, channels_in, height, width]` to `[batch, channels_out, …]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.biased_output(match self.groups {
            1 => ops::conv2d(x, self.weight.val(), self.geometry()),
            groups => {
                let weight = like(self.weight.val(), &x);
                let [stride, padding, dilation] = [self.stride, self.padding, self.dilation].map(|n| [n, n]);
                module::conv2d(x, weight, None, ConvOptions::new(stride, padding, dilation, groups))
            }
        })
    }

    fn biased_output(&self, y: Tensor<4>) -> Tensor<4> {
        match &self.bias {
            None => y,
            Some(bias) => {
                let [channels] = bias.dims();
                let bias = like(bias.val(), &y);
                y + bias.reshape([1, channels, 1, 1])
            }
        }
    }

    /// See [`Footprint::conv`].
    pub fn footprint(&self, x: FeatureShape) -> Footprint {
        let weights = self.weight.dims().iter().product();
        let bias = self.bias.as_ref().map_or(0, |bias| bias.dims()[0]);
        let conv = Footprint::conv(x, self.output_shape(x), weights);
        Footprint { parameters: weights + bias, ..conv }
    }

    /// Shape of the output.
    pub fn output_shape(&self, x: FeatureShape) -> FeatureShape {
        let [cout, _, kernel, _] = self.weight.dims();
        let geometry = self.geometry();
        FeatureShape {
            channels: cout,
            height: geometry.output_len(x.height, kernel),
            width: geometry.output_len(x.width, kernel),
        }
    }
}

/// BatchNorm as PyTorch's: momentum 0.1, eps 1e-5, biased variance in the batch, unbiased in the running estimate.
///
/// A batch of one meets trouble where a layer sees one value per channel (the image pooling of ASPP): its variance is 0
/// and its output would be the bias whatever the image. There the layer uses its running statistics, as at evaluation,
/// and leaves them as they are: the branch trains with the statistics that it is evaluated with. PyTorch raises an error.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// γ `[channels]`
    pub gamma: Param<Tensor<1>>,
    /// β `[channels]`
    pub beta: Param<Tensor<1>>,
    /// `[channels]`
    pub running_mean: Running,
    /// `[channels]`
    pub running_var: Running,
}

const EPS: f64 = 1e-5;

impl BatchNorm {
    /// γ = 1, β = 0.
    pub fn new(init: &mut Init, channels: usize) -> Self {
        Self {
            gamma: init.full_param(channels, 1.0),
            beta: init.full_param(channels, 0.0),
            running_mean: Running::new(init.full(channels, 0.0)),
            running_var: Running::new(init.full(channels, 1.0)),
        }
    }

    /// `act(norm(x) + residual)`; all `[batch, channels, height, width]`.
    pub fn forward(&self, x: Tensor<4>, residual: Option<Tensor<4>>, act: Act, pass: &Pass) -> Tensor<4> {
        let [batch, _, height, width] = x.dims();
        let sync = pass.replica.sync.as_ref();
        let count = batch * height * width * sync.map_or(1, Rank::number);
        if pass.training && count > 1 {
            let (gamma, beta) = (self.gamma.val(), self.beta.val());
            let running = pass.moves_statistics.then(|| (self.running_mean.value(), self.running_var.value()));
            let normalized = match sync {
                None => ops::batch_norm_act(x, gamma, beta, residual, running, EPS, act),
                Some(rank) => ops::sync_batch_norm_act(x, gamma, beta, residual, running, EPS, act, rank),
            };
            if let Some((mean, variance)) = normalized.running {
                self.running_mean.replace(mean);
                self.running_var.replace(variance);
            }
            return normalized.output;
        }
        let scale = self.gamma.val() / (self.running_var.value() + EPS).sqrt();
        let shift = self.beta.val() - self.running_mean.value() * scale.clone();
        let (scale, shift) = (like(scale, &x), like(shift, &x));
        ops::channel_affine_act(x, scale, shift, residual, act)
    }
}

/// Convolution, BatchNorm, and usually a ReLU.
#[derive(Module, Debug)]
pub struct ConvBnAct {
    /// Without bias, which the BatchNorm would take away again.
    pub conv: Conv2d,
    /// Its normalization.
    pub norm: BatchNorm,
}

impl ConvBnAct {
    /// See [`Conv2d::same`].
    pub fn same(init: &mut Init, channels: [usize; 2], kernel: usize, stride: usize, dilation: usize) -> Self {
        Self { conv: Conv2d::same(init, channels, kernel, stride, dilation), norm: BatchNorm::new(init, channels[1]) }
    }

    /// See [`Conv2d::grouped`].
    pub fn grouped(init: &mut Init, channels: [usize; 2], stride: usize, dilation: usize, groups: usize) -> Self {
        let conv = Conv2d::grouped(init, channels, stride, dilation, groups);
        Self { conv, norm: BatchNorm::new(init, channels[1]) }
    }

    /// `relu(norm(conv(x)))`
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.norm.forward(self.conv.forward(x), None, Act::Relu, pass)
    }

    /// `relu(norm(conv(resize(x))))`, see [`Conv2d::forward_resized`].
    pub fn forward_resized(&self, x: Tensor<4>, size: [usize; 2], pass: &Pass) -> Tensor<4> {
        self.norm.forward(self.conv.forward_resized(x, size), None, Act::Relu, pass)
    }

    /// `norm(conv(x))`
    pub fn forward_linear(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.norm.forward(self.conv.forward(x), None, Act::Identity, pass)
    }

    /// `relu(norm(conv(x)) + residual)`
    pub fn forward_residual(&self, x: Tensor<4>, residual: Tensor<4>, pass: &Pass) -> Tensor<4> {
        self.norm.forward(self.conv.forward(x), Some(residual), Act::Relu, pass)
    }

    /// See [`Footprint::normalized`].
    pub fn footprint(&self, x: FeatureShape) -> Footprint {
        self.conv.footprint(x).normalized(x)
    }
}

/// Number of values that an optimizer steps, of a module on any device: not the running statistics.
#[cfg(test)]
pub(crate) fn trainable(module: &impl Module) -> usize {
    struct Count(usize, bool);
    impl burn::module::ModuleVisitor for Count {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.1 = name.starts_with("running_");
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 += if self.1 { 0 } else { param.dims().iter().product() };
        }
    }
    let mut count = Count(0, false);
    module.visit(&mut count);
    count.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_per_channel_trains_on_running_statistics() {
        let device = Device::flex().autodiff();
        let norm = BatchNorm::new(&mut Init::new(1, &device), 3);
        let x = Tensor::<4>::from_data([[[[2.0]], [[-1.0]], [[0.5]]]], &device).require_grad();
        let y = norm.forward(x.clone(), None, Act::Identity, &Pass::training(0));
        let grads = y.clone().sum().backward();
        let grad = x.grad(&grads).expect("x is tracked").sum().into_scalar::<f32>();
        assert!((grad - 3.0).abs() < 1e-3, "running variance 1: the gradient passes, not {grad}");
        assert_eq!(norm.running_mean.value().sum().into_scalar::<f32>(), 0.0);
    }

    #[test]
    fn running_variance_is_unbiased() {
        let device = Device::flex().autodiff();
        let norm = BatchNorm::new(&mut Init::new(1, &device), 1);
        let x = Tensor::<4>::from_data([[[[1.0, 3.0]]]], &device);
        norm.forward(x, None, Act::Identity, &Pass::training(0));
        // mean 2, unbiased variance 2
        assert!((norm.running_mean.value().into_scalar::<f32>() - 0.2).abs() < 1e-6);
        assert!((norm.running_var.value().into_scalar::<f32>() - 1.1).abs() < 1e-6);
    }

    #[test]
    fn dropout_takes_whole_channels_and_keeps_the_mean() {
        let x = Tensor::<4>::ones([4, 500, 2, 2], &Device::flex());
        let y = Pass::training(3).dropout2d(x.clone(), 0.25);
        let sums: Vec<f32> = y.clone().sum_dim(3).sum_dim(2).into_data().iter::<f32>().collect();
        assert!(sums.iter().all(|&sum| sum == 0.0 || (sum - 4.0 / 0.75).abs() < 1e-5));
        let mean = y.mean().into_scalar::<f32>();
        assert!((mean - 1.0).abs() < 0.05, "{mean}");
        assert_eq!(Pass::evaluation().dropout2d(x, 0.25).mean().into_scalar::<f32>(), 1.0);
    }
}
