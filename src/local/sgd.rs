//! Stochastic gradient descent as PyTorch defines it: no dampening, weight decay added to the gradient.
//!
//! On a GPU weights and momentum stay where they are. burn's own operations would put the new weight where the gradient was:
//! between activations, where it keeps a page of the pool from going back.

use super::config::OptimConfig;
use crate::ops;
use burn::optim::{ModuleOptimizer, Optimizer, RecordState, StateSink, StateSource};
use burn::tensor::{Device, Tensor};

/// Most values of a tensor that CubeCL keeps apart from pages of activations: 64 KiB.
const SMALL: usize = 16 << 10;

/// An optimizer for a module.
pub(crate) fn sgd(config: &OptimConfig) -> ModuleOptimizer {
    ModuleOptimizer::from(Sgd {
        momentum: config.momentum as f32,
        nesterov: config.nesterov,
        weight_decay: config.weight_decay as f32,
    })
}

#[derive(Debug, Clone)]
struct Sgd {
    momentum: f32,
    nesterov: bool,
    weight_decay: f32,
}

/// What is kept for a weight.
#[derive(Clone)]
struct State<const D: usize> {
    /// `None` without momentum.
    velocity: Option<Tensor<D>>,
}

/// Written to checkpoints under the name that burn's own SGD gives it.
impl<const D: usize> RecordState for State<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        if let Some(velocity) = &self.velocity {
            out.push_tensor(&format!("{prefix}.momentum"), "velocity", velocity.clone().into_data());
        }
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let data = source.take_tensor(&format!("{prefix}.momentum"), "velocity");
        Some(Self { velocity: data.map(|data| Tensor::from_data(data, device)) })
    }
}

impl Optimizer for Sgd {
    type State<const D: usize> = State<D>;

    fn step<const D: usize>(
        &self,
        lr: f64,
        weight: Tensor<D>,
        grad: Tensor<D>,
        state: Option<State<D>>,
    ) -> (Tensor<D>, Option<State<D>>) {
        let velocity = state.and_then(|state| state.velocity);
        let state = |velocity| Some(State { velocity });
        let Self { momentum, nesterov, weight_decay } = *self;
        let in_place = ops::is_gpu(&weight.device()) && weight.shape().num_elements() > SMALL;
        if in_place && momentum > 0.0 {
            let velocity = velocity.unwrap_or_else(|| Tensor::zeros(weight.shape(), &weight.device()));
            let (factor, decay) = (f64::from(momentum), f64::from(weight_decay));
            let (weight, velocity) = ops::sgd_step(weight, velocity, grad, lr, factor, decay, nesterov);
            return (weight, state(Some(velocity)));
        }
        let grad = if weight_decay > 0.0 { weight.clone().mul_scalar(weight_decay).add(grad) } else { grad };
        if momentum <= 0.0 {
            return (weight - grad.mul_scalar(lr), state(None));
        }
        let velocity = match velocity {
            Some(velocity) => grad.clone().add(velocity.mul_scalar(momentum)),
            None => grad.clone(),
        };
        let step = if nesterov { velocity.clone().mul_scalar(momentum).add(grad) } else { velocity.clone() };
        (weight - step.mul_scalar(lr), state(Some(velocity)))
    }

    fn to_device<const D: usize>(state: State<D>, device: &Device) -> State<D> {
        State { velocity: state.velocity.map(|velocity| velocity.to_device(device)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::{Module, Param};
    use burn::optim::decay::WeightDecayConfig;
    use burn::optim::momentum::MomentumConfig;
    use burn::optim::{GradientsParams, SgdConfig};
    use burn::tensor::TensorData;

    #[derive(Module, Debug)]
    struct Weight {
        values: Param<Tensor<2>>,
    }

    const CONFIG: [f64; 2] = [0.9, 5e-4];

    fn burns(nesterov: bool) -> ModuleOptimizer {
        let momentum = MomentumConfig { momentum: CONFIG[0], dampening: 0.0, nesterov };
        let decay = WeightDecayConfig { penalty: CONFIG[1] as f32 };
        SgdConfig::new().with_momentum(Some(momentum)).with_weight_decay(Some(decay)).init()
    }

    fn ours(nesterov: bool) -> ModuleOptimizer {
        ModuleOptimizer::from(Sgd { momentum: CONFIG[0] as f32, nesterov, weight_decay: CONFIG[1] as f32 })
    }

    fn step(weight: Weight, optimizer: &mut ModuleOptimizer) -> Weight {
        let device = Device::flex().autodiff();
        let x = Tensor::<2>::from_data(TensorData::from([[0.3f32, -1.7], [0.11, 2.9]]), &device);
        let gradients = (weight.values.val() * x.clone() - x).powi_scalar(2).sum().backward();
        let gradients = GradientsParams::from_grads(gradients, &weight);
        optimizer.step(0.03, weight, gradients)
    }

    fn values(weight: &Weight) -> Vec<f32> {
        weight.values.val().into_data().iter::<f32>().collect()
    }

    #[test]
    fn steps_and_records_are_those_of_burns_sgd() {
        for nesterov in [false, true] {
            let start = Tensor::from_data(TensorData::from([[1.5f32, -0.4], [0.0, 3.0]]), &Device::flex().autodiff());
            let mut weight = Weight { values: Param::from_tensor(start) };
            let (mut first, mut second) = (burns(nesterov), ours(nesterov));
            // Each goes on from what the other has written.
            for _ in 0..3 {
                let one = step(weight.clone(), &mut first);
                let other = step(weight, &mut second);
                assert_eq!(values(&one), values(&other));
                let (of_first, of_second) = (first.to_record(), second.to_record());
                (first, second) = (burns(nesterov).load_record(of_second), ours(nesterov).load_record(of_first));
                weight = other;
            }
        }
    }

    #[test]
    fn a_step_in_place_is_the_same_step() {
        let device = Device::flex();
        let tensor = |values| Tensor::<2>::from_data(TensorData::from(values), &device);
        let (weight, grad) = (tensor([[1.5f32, -0.4], [0.1, 3.0]]), tensor([[0.2f32, 0.7], [-1.0, 0.3]]));
        for nesterov in [false, true] {
            let sgd = Sgd { momentum: CONFIG[0] as f32, nesterov, weight_decay: CONFIG[1] as f32 };
            let (mut weight, mut state) = (weight.clone(), None);
            let (mut in_place, mut velocity) = (weight.clone(), Tensor::zeros([2, 2], &device));
            for _ in 0..3 {
                (weight, state) = sgd.step(0.03, weight, grad.clone(), state);
                let factors = (f64::from(sgd.momentum), f64::from(sgd.weight_decay));
                (in_place, velocity) =
                    ops::sgd_step(in_place, velocity, grad.clone(), 0.03, factors.0, factors.1, nesterov);
                weight.clone().into_data().assert_eq(&in_place.clone().into_data(), true);
            }
        }
    }
}
