//! BatchNorm over the batches of several replicas (SyncBN): what one replica computes, given the sums of all.

use super::backend::{Act, SegOps};
use super::ranks::Rank;
use burn::backend::TensorMetadata;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{TensorData, read_sync};

/// Values of a tensor, on the host.
fn host<B: SegOps>(tensor: FloatTensor<B>) -> Vec<f32> {
    let data = read_sync(B::float_into_data(tensor)).expect("a device hands out what it computed");
    data.iter::<f32>().collect()
}

/// `[channels]` on the device of another tensor, in its number format.
fn device<B: SegOps>(values: Vec<f32>, like: &FloatTensor<B>) -> FloatTensor<B> {
    let channels = values.len();
    let tensor = B::float_from_data(TensorData::new(values, [channels]), &like.device());
    if tensor.dtype() == like.dtype() { tensor } else { B::float_cast(tensor, like.dtype().into()) }
}

/// Output, mean and biased variance over all replicas, whose batches are of the same size.
pub(super) fn forward<B: SegOps>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    eps: f64,
    act: Act,
    rank: &Rank,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let number = rank.number() as f32;
    // For its statistics, which one kernel makes on the CPU; the output is of this replica's alone.
    let (_, mean, variance, ..) =
        B::batch_norm_act(x.clone(), gamma.clone(), beta.clone(), gamma.clone(), beta.clone(), eps, Act::Identity);
    let (own_mean, own_variance) = (host::<B>(mean), host::<B>(variance));
    let mean: Vec<f32> = rank.sum(own_mean.clone()).iter().map(|sum| sum / number).collect();
    // Around the common mean: a difference of large squares would lose it.
    let around = own_variance.iter().zip(&own_mean).zip(&mean).map(|((v, own), all)| v + (own - all) * (own - all));
    let variance: Vec<f32> = rank.sum(around.collect()).iter().map(|sum| sum / number).collect();
    let (weight, bias) = (host::<B>(gamma.clone()), host::<B>(beta));
    let scale: Vec<f32> =
        weight.iter().zip(&variance).map(|(w, &v)| (f64::from(*w) / (f64::from(v) + eps).sqrt()) as f32).collect();
    let shift: Vec<f32> = bias.iter().zip(&mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
    let (scale, shift) = (device::<B>(scale, &x), device::<B>(shift, &x));
    let (mean, variance) = (device::<B>(mean, &gamma), device::<B>(variance, &gamma));
    (B::channel_affine_act(x, scale, shift, act), mean, variance)
}

/// Gradients of `[input, gamma, beta]`; the latter two are of this replica's batch, to be added up with all other weights'.
///
/// The input's is `γ/σ·(g − Σg/N − x̂·Σ(g·x̂)/N)` with sums over the N values of all replicas. The kernel of one replica
/// makes it with its own sums and its own number, and what those differ by is a scale and a shift of `x` for each channel.
pub(super) fn gradients<B: SegOps>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    mean: FloatTensor<B>,
    variance: FloatTensor<B>,
    grad: FloatTensor<B>,
    eps: f64,
    act: Act,
    rank: &Rank,
) -> [FloatTensor<B>; 3] {
    let [batch, channels, height, width] = x.shape().dims::<4>();
    let count = (batch * height * width) as f64;
    let (weight, means, variances) = (host::<B>(gamma.clone()), host::<B>(mean.clone()), host::<B>(variance.clone()));
    let (own, gamma_grad, beta_grad) = B::batch_norm_act_grad(x.clone(), gamma, beta, mean, variance, grad, eps, act);
    let sums = [host::<B>(beta_grad.clone()), host::<B>(gamma_grad.clone())].concat();
    let all = rank.sum(sums.clone());
    // By how much the mean over this replica's values is above that over all.
    let above = |i: usize| (f64::from(sums[i]) - f64::from(all[i]) / rank.number() as f64) / count;
    let (scale, shift) = (0..channels)
        .map(|c| {
            let deviation = (f64::from(variances[c]) + eps).sqrt();
            let factor = f64::from(weight[c]) / deviation;
            let scale = factor * above(channels + c) / deviation;
            (scale as f32, (factor * above(c) - f64::from(means[c]) * scale) as f32)
        })
        .unzip();
    let (scale, shift) = (device::<B>(scale, &x), device::<B>(shift, &x));
    [B::channel_affine_add_act(x, scale, shift, own, Act::Identity), gamma_grad, beta_grad]
}
