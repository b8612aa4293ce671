//! Statistics that a forward pass replaces.

use burn::module::{Content, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A vector that no optimizer steps and every training pass replaces; clones share it. burn's `RunningState` is the mean over
/// threads that have each set it, and divides by their number each time: a launch on a GPU for each BatchNorm.
#[derive(Clone, Debug)]
pub struct Running {
    id: ParamId,
    value: Arc<Mutex<Tensor<1>>>,
}

impl Running {
    /// With this value.
    pub fn new(value: Tensor<1>) -> Self {
        Self::with_id(ParamId::new(), value)
    }

    fn with_id(id: ParamId, value: Tensor<1>) -> Self {
        Self { id, value: Arc::new(Mutex::new(value)) }
    }

    /// As it is now: `[channels]`.
    pub fn value(&self) -> Tensor<1> {
        self.lock().clone()
    }

    /// Takes another value.
    pub fn replace(&self, value: Tensor<1>) {
        *self.lock() = value;
    }

    fn lock(&self) -> MutexGuard<'_, Tensor<1>> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Module for Running {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        visitor.visit_float(&Param::initialized(self.id, self.value()));
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        let mapped = mapper.map_float(Param::initialized(self.id, self.value()));
        let (_, value, _) = mapped.consume();
        self.replace(value.set_require_grad(false));
        self
    }

    fn to_device(self, device: &Device) -> Self {
        self.replace(self.value().to_device(device));
        self
    }

    fn fork(self, device: &Device) -> Self {
        self.to_device(device) // it has no gradient
    }

    fn collect_devices(&self, mut devices: Vec<Device>) -> Vec<Device> {
        let device = self.value().device();
        if !devices.contains(&device) {
            devices.push(device);
        }
        devices
    }

    fn materialize(self) -> Self {
        self
    }

    fn valid(&self) -> Self {
        Self::with_id(self.id, self.value().without_autodiff())
    }

    fn train(self) -> Self {
        Self::with_id(self.id, Tensor::from_inner(self.value()))
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Running(id={})", self.id)
    }
}

impl ModuleDisplayDefault for Running {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&"Running".to_string()).optional()
    }
}

impl ModuleDisplay for Running {}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(running: &Running) -> f32 {
        running.value().narrow(0, 0, 1).into_scalar::<f32>()
    }

    #[test]
    fn clones_share_it_and_a_network_for_evaluation_does_not() {
        let device = Device::flex().autodiff();
        let running = Running::new(Tensor::ones([2], &device));
        let (clone, evaluated) = (running.clone(), running.valid());
        running.replace(Tensor::ones([2], &device) * 3.0);
        assert_eq!([&running, &clone, &evaluated].map(first), [3.0, 3.0, 1.0]);
        assert!(!evaluated.value().device().is_autodiff() && running.value().device().is_autodiff());
        assert!(!running.value().is_require_grad());
    }
}
