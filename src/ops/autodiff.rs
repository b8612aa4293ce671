//! The backward of every operation, once for all backends: what is kept, and which kernel uses it.

use super::backend::{Act, ConvGeometry, SegOps};
use super::ranks::Rank;
use super::sync_norm;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, AutodiffBackend, TensorMetadata};
use burn::tensor::Shape;

impl<B: SegOps, C: CheckpointStrategy> SegOps for Autodiff<B, C> {
    fn conv2d_nobias(x: FloatTensor<Self>, weight: FloatTensor<Self>, geometry: ConvGeometry) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Conv2d;
        impl<B: SegOps> Backward<B, 2> for Conv2d {
            type State = (FloatTensor<B>, FloatTensor<B>, ConvGeometry);
            fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [node_x, node_weight] = ops.parents;
                let grad = grads.consume::<B>(&ops.node);
                let (x, weight, geometry) = ops.state;
                if let Some(node) = node_weight {
                    let grad_weight = B::conv2d_grad_weight(x.clone(), weight.clone(), grad.clone(), geometry);
                    grads.register::<B>(node.id, grad_weight);
                }
                if let Some(node) = node_x {
                    grads.register::<B>(node.id, B::conv2d_grad_input(x, weight, grad, geometry));
                }
            }
        }
        let nodes = [x.node(), weight.node()];
        match Conv2d.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (x, weight) = (x.into_primitive(), weight.into_primitive());
                let output = B::conv2d_nobias(x.clone(), weight.clone(), geometry);
                prep.finish((x, weight, geometry), output)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::conv2d_nobias(x.into_primitive(), weight.into_primitive(), geometry))
            }
        }
    }

    fn batch_norm_act(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        running_mean: FloatTensor<Self>,
        running_var: FloatTensor<Self>,
        eps: f64,
        act: Act,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        #[derive(Debug)]
        struct BatchNormAct;
        impl<B: SegOps> Backward<B, 3> for BatchNormAct {
            type State = (Normalization<B>, f64, Act);
            fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
                let grad = grads.consume::<B>(&ops.node);
                let (kept, eps, act) = ops.state;
                register::<B, 3>(grads, ops.parents.map(|node| Some(node?.id)), kept.gradients(grad, eps, act));
            }
        }
        let nodes = [x.node(), gamma.node(), beta.node()];
        let prep = BatchNormAct.prepare::<C>(nodes).compute_bound().stateful();
        let (x, gamma, beta) = (x.into_primitive(), gamma.into_primitive(), beta.into_primitive());
        let (running_mean, running_var) = (running_mean.into_primitive(), running_var.into_primitive());
        let given = (x.clone(), gamma.clone(), beta.clone());
        let (output, mean, variance, running_mean, running_var) =
            B::batch_norm_act(given.0, given.1, given.2, running_mean, running_var, eps, act);
        let output = match prep {
            OpsKind::Tracked(prep) => {
                let kept = Normalization { x, gamma, beta, mean: mean.clone(), variance: variance.clone() };
                prep.finish((kept, eps, act), output)
            }
            OpsKind::UnTracked(prep) => prep.finish(output),
        };
        let [mean, variance, running_mean, running_var] =
            [mean, variance, running_mean, running_var].map(Self::from_inner);
        (output, mean, variance, running_mean, running_var)
    }

    fn sync_batch_norm_act(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        eps: f64,
        act: Act,
        rank: Rank,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        #[derive(Debug)]
        struct SyncBatchNormAct;
        impl<B: SegOps> Backward<B, 3> for SyncBatchNormAct {
            type State = (Normalization<B>, f64, Act, Rank);
            fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
                let grad = grads.consume::<B>(&ops.node);
                let (kept, eps, act, rank) = ops.state;
                let Normalization { x, gamma, beta, mean, variance } = kept;
                let by_input = sync_norm::gradients::<B>(x, gamma, beta, mean, variance, grad, eps, act, &rank);
                register::<B, 3>(grads, ops.parents.map(|node| Some(node?.id)), by_input);
            }
        }
        let nodes = [x.node(), gamma.node(), beta.node()];
        let prep = SyncBatchNormAct.prepare::<C>(nodes).compute_bound().stateful();
        let (x, gamma, beta) = (x.into_primitive(), gamma.into_primitive(), beta.into_primitive());
        let (output, mean, variance) =
            B::sync_batch_norm_act(x.clone(), gamma.clone(), beta.clone(), eps, act, rank.clone());
        let output = match prep {
            OpsKind::Tracked(prep) => {
                let kept = Normalization { x, gamma, beta, mean: mean.clone(), variance: variance.clone() };
                prep.finish((kept, eps, act, rank), output)
            }
            OpsKind::UnTracked(prep) => prep.finish(output),
        };
        (output, Self::from_inner(mean), Self::from_inner(variance))
    }

    fn batch_norm_add_act(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        running_mean: FloatTensor<Self>,
        running_var: FloatTensor<Self>,
        eps: f64,
        act: Act,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        #[derive(Debug)]
        struct BatchNormAddAct;
        impl<B: SegOps> Backward<B, 4> for BatchNormAddAct {
            // The output is kept for its sign; the layer behind keeps the same tensor as its input, so it costs nothing.
            type State = (Normalization<B>, Option<FloatTensor<B>>, f64);
            fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [node_x, node_gamma, node_beta, node_residual] = ops.parents;
                let grad = grads.consume::<B>(&ops.node);
                let (kept, output, eps) = ops.state;
                let grad = match output {
                    Some(output) => B::relu_grad(output, grad),
                    None => grad,
                };
                if let Some(node) = node_residual {
                    grads.register::<B>(node.id, grad.clone());
                }
                register::<B, 3>(
                    grads,
                    [node_x, node_gamma, node_beta].map(|node| Some(node?.id)),
                    kept.gradients(grad, eps, Act::Identity),
                );
            }
        }
        let nodes = [x.node(), gamma.node(), beta.node(), residual.node()];
        let prep = BatchNormAddAct.prepare::<C>(nodes).compute_bound().stateful();
        let (x, gamma, beta) = (x.into_primitive(), gamma.into_primitive(), beta.into_primitive());
        let (residual, running_mean, running_var) =
            (residual.into_primitive(), running_mean.into_primitive(), running_var.into_primitive());
        let given = (x.clone(), gamma.clone(), beta.clone());
        let (output, mean, variance, running_mean, running_var) =
            B::batch_norm_add_act(given.0, given.1, given.2, residual, running_mean, running_var, eps, act);
        let output = match prep {
            OpsKind::Tracked(prep) => {
                let kept = Normalization { x, gamma, beta, mean: mean.clone(), variance: variance.clone() };
                let sign = (act == Act::Relu).then(|| output.clone());
                prep.finish((kept, sign, eps), output)
            }
            OpsKind::UnTracked(prep) => prep.finish(output),
        };
        let [mean, variance, running_mean, running_var] =
            [mean, variance, running_mean, running_var].map(Self::from_inner);
        (output, mean, variance, running_mean, running_var)
    }

    fn resize_bilinear(x: FloatTensor<Self>, size: [usize; 2], align_corners: bool) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct ResizeBilinear;
        impl<B: SegOps> Backward<B, 1> for ResizeBilinear {
            type State = ([usize; 2], bool);
            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [node_x] = ops.parents;
                let grad = grads.consume::<B>(&ops.node);
                let (size, align_corners) = ops.state;
                if let Some(node) = node_x {
                    grads.register::<B>(node.id, B::resize_bilinear_grad(grad, size, align_corners));
                }
            }
        }
        let prep = ResizeBilinear.prepare::<C>([x.node()]).compute_bound().stateful();
        let x = x.into_primitive();
        let [_, _, h, w] = x.shape().dims::<4>();
        let output = B::resize_bilinear(x, size, align_corners);
        match prep {
            OpsKind::Tracked(prep) => prep.finish(([h, w], align_corners), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn global_average(x: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct GlobalAverage;
        impl<B: SegOps> Backward<B, 1> for GlobalAverage {
            type State = [usize; 2];
            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [node_x] = ops.parents;
                let grad = grads.consume::<B>(&ops.node);
                if let Some(node) = node_x {
                    grads.register::<B>(node.id, B::global_average_grad(grad, ops.state));
                }
            }
        }
        let prep = GlobalAverage.prepare::<C>([x.node()]).compute_bound().stateful();
        let x = x.into_primitive();
        let [_, _, h, w] = x.shape().dims::<4>();
        let output = B::global_average(x);
        match prep {
            OpsKind::Tracked(prep) => prep.finish([h, w], output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn resized_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        size: [usize; 2],
        align_corners: bool,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct ResizedConv2d;
        impl<B: SegOps> Backward<B, 2> for ResizedConv2d {
            type State = (FloatTensor<B>, FloatTensor<B>, [usize; 2], bool, ConvGeometry);
            fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
                let grad = grads.consume::<B>(&ops.node);
                let (x, weight, size, align_corners, geometry) = ops.state;
                let (x, weight) = B::resized_conv2d_grad(x, weight, grad, size, align_corners, geometry);
                register::<B, 2>(grads, ops.parents.map(|node| Some(node?.id)), [x, weight]);
            }
        }
        let nodes = [x.node(), weight.node()];
        let prep = ResizedConv2d.prepare::<C>(nodes).compute_bound().stateful();
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        let output = B::resized_conv2d(x.clone(), weight.clone(), size, align_corners, geometry);
        match prep {
            OpsKind::Tracked(prep) => prep.finish((x, weight, size, align_corners, geometry), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn upsample_cross_entropy(
        logits: FloatTensor<Self>,
        label: IntTensor<Self>,
        align_corners: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let prep = LossWithGradient.prepare::<C>([logits.node()]).compute_bound().stateful();
        let (loss, grad) = B::upsample_cross_entropy(logits.into_primitive(), label, align_corners);
        let tracked = match prep {
            OpsKind::Tracked(prep) => prep.finish(grad.clone(), loss),
            OpsKind::UnTracked(prep) => prep.finish(loss),
        };
        (tracked, Self::from_inner(grad))
    }

    fn bce_with_logits(logits: FloatTensor<Self>, target: FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let prep = LossWithGradient.prepare::<C>([logits.node()]).compute_bound().stateful();
        let (loss, grad) = B::bce_with_logits(logits.into_primitive(), target.into_primitive());
        let tracked = match prep {
            OpsKind::Tracked(prep) => prep.finish(grad.clone(), loss),
            OpsKind::UnTracked(prep) => prep.finish(loss),
        };
        (tracked, Self::from_inner(grad))
    }

    fn with_gradient(output: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct WithGradient;
        impl<B: SegOps> Backward<B, 1> for WithGradient {
            type State = FloatTensor<B>;
            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [node] = ops.parents;
                drop(grads.consume::<B>(&ops.node)); // 1: nothing comes after it
                if let Some(node) = node {
                    grads.register::<B>(node.id, ops.state);
                }
            }
        }
        let prep = WithGradient.prepare::<C>([output.node()]).compute_bound().stateful();
        let gradient = gradient.into_primitive();
        let root = B::with_gradient(output.into_primitive(), gradient.clone());
        match prep {
            OpsKind::Tracked(prep) => prep.finish(gradient, root),
            OpsKind::UnTracked(prep) => prep.finish(root),
        }
    }
}

/// What a BatchNorm keeps for its backward.
#[derive(Debug, Clone)]
struct Normalization<B: SegOps> {
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    mean: FloatTensor<B>,
    variance: FloatTensor<B>,
}

impl<B: SegOps> Normalization<B> {
    /// Gradients of `[input, gamma, beta]`.
    fn gradients(self, grad: FloatTensor<B>, eps: f64, act: Act) -> [FloatTensor<B>; 3] {
        let Self { x, gamma, beta, mean, variance } = self;
        let (x, gamma, beta) = B::batch_norm_act_grad(x, gamma, beta, mean, variance, grad, eps, act);
        [x, gamma, beta]
    }
}

/// Hands each input that is tracked its gradient.
fn register<B: SegOps, const N: usize>(grads: &mut Gradients, ids: [Option<NodeId>; N], by_input: [FloatTensor<B>; N]) {
    for (id, grad) in ids.into_iter().zip(by_input) {
        if let Some(id) = id {
            grads.register::<B>(id, grad);
        }
    }
}

/// A loss whose gradient came with its value: the backward only scales it by what arrives from above.
#[derive(Debug)]
struct LossWithGradient;

impl<B: SegOps> Backward<B, 1> for LossWithGradient {
    type State = FloatTensor<B>;
    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let above = grads.consume::<B>(&ops.node); // [1]
        if let Some(node) = node {
            let above = B::float_reshape(above, Shape::new([1, 1, 1, 1]));
            grads.register::<B>(node.id, B::float_mul(ops.state, above));
        }
    }
}
