//! A network's tensors under their canonical names, out and in.

use super::{Mapping, Weights};
use crate::local::{LocalModule, LocalNetwork};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};

impl LocalNetwork {
    /// Every parameter and running statistic of every module, its heads included.
    pub fn weights(&self) -> Weights {
        let mut weights = Weights::default();
        for module in &self.modules {
            let mut collect = Collect { path: Path::of(module), what: What::Values, weights: &mut weights };
            module.net().visit(&mut collect);
        }
        weights
    }

    /// Puts in what is there under a canonical name and of the right shape. Optimizers are left alone: this is for a
    /// network that has not trained yet.
    pub fn set_weights(&mut self, weights: &Weights) -> Mapping {
        let mut mapping = Mapping::default();
        for module in &mut self.modules {
            let path = Path::of(module);
            let (net, _) = module.state_mut();
            let fresh = net.take().expect("the network is only away while the optimizer has it");
            *net = Some(fresh.map(&mut Insert { path, weights, mapping: &mut mapping }));
        }
        let known = |name: &String| {
            let misshapen = mapping.misshapen.iter().any(|(known, ..)| known == name);
            misshapen || mapping.loaded.contains(name)
        };
        mapping.unexpected = weights.tensors.keys().filter(|name| !known(name)).cloned().collect();
        mapping
    }
}

impl LocalModule {
    /// What [`LocalModule::backward`] gave, by the canonical names of the module's parameters.
    pub fn named_gradients(&self, gradients: &GradientsParams) -> Weights {
        let mut weights = Weights::default();
        let what = What::Gradients(gradients);
        self.net().visit(&mut Collect { path: Path::of(self), what, weights: &mut weights });
        weights
    }
}

/// The way from a module to the tensor that is being visited.
struct Path {
    /// Names of the module's blocks.
    blocks: Vec<String>,
    /// `local<k>`
    local: String,
    /// Fields and indices; empty for an enum's variant, which is no part of a name.
    steps: Vec<String>,
}

impl Path {
    fn of(module: &LocalModule) -> Self {
        let local = format!("local{}", module.index + 1);
        Self { blocks: module.block_names.clone(), local, steps: Vec::new() }
    }

    fn enter(&mut self, name: &str, container: &str) {
        let variant = container.starts_with("Enum:");
        self.steps.push(if variant { String::new() } else { name.to_string() });
    }

    fn leave(&mut self) {
        self.steps.pop();
    }

    /// `blocks.3.last.norm.gamma` becomes `layer1.2.last.norm.gamma`.
    fn name(&self) -> String {
        let mut steps = self.steps.iter().map(String::as_str).filter(|step| !step.is_empty());
        let mut name: Vec<&str> = Vec::with_capacity(self.steps.len());
        match (steps.next(), steps.next()) {
            (Some("blocks"), Some(index)) => {
                let block = index.parse().ok().and_then(|index: usize| self.blocks.get(index));
                name.push(block.expect("a module has as many names as blocks"));
            }
            (Some("heads"), Some("aux_head")) => name.push("aux_head"),
            (Some("heads"), Some(head)) => name.extend([self.local.as_str(), head]),
            other => unreachable!("a module is made of blocks and heads, not of {other:?}"),
        }
        name.extend(steps);
        name.join(".")
    }
}

/// What is collected of each tensor.
enum What<'a> {
    Values,
    /// The gradients of the tensors that have one.
    Gradients(&'a GradientsParams),
}

struct Collect<'a> {
    path: Path,
    what: What<'a>,
    weights: &'a mut Weights,
}

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.leave();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let collected = match self.what {
            What::Values => Some(param.val()),
            What::Gradients(gradients) => gradients.get::<D>(param.id),
        };
        self.weights.tensors.extend(collected.map(|tensor| (self.path.name(), tensor.into_data())));
    }
}

struct Insert<'a> {
    path: Path,
    weights: &'a Weights,
    mapping: &'a mut Mapping,
}

impl ModuleMapper for Insert<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.leave();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.name();
        let Some(data) = self.weights.tensors.get(&name) else {
            self.mapping.missing.push(name);
            return param;
        };
        let shape = param.dims();
        if **data.shape() != shape {
            self.mapping.misshapen.push((name, shape.to_vec(), data.shape().to_vec()));
            return param;
        }
        self.mapping.loaded.push(name);
        let data: TensorData = data.clone();
        param.map(|old| {
            let new = Tensor::from_data(data, &old.device());
            if old.is_require_grad() { new.require_grad() } else { new }
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{RunConfig, defaults_for};
    use crate::data::config::DatasetKind;
    use crate::local::LocalNetwork;
    use burn::tensor::Device;

    fn tiny(num_modules: usize, seed: u64) -> LocalNetwork {
        let mut config: RunConfig = defaults_for(DatasetKind::Synthetic);
        config.model.width = 0.1;
        config.model.aspp_channels = 8;
        config.local.num_modules = num_modules;
        config.seed = seed;
        LocalNetwork::new(&config.spec(), 4, &Device::flex().autodiff()).unwrap()
    }

    #[test]
    fn names_do_not_depend_on_the_cuts() {
        let (whole, cut) = (tiny(1, 1).weights(), tiny(3, 1).weights());
        for name in ["stem.convs.0.conv.weight", "layer2.0.shortcut.norm.running_var", "head.classifier.bias"] {
            assert_eq!(whole.tensors[name], cut.tensors[name], "{name}");
        }
        let of_blocks = |name: &&String| !name.starts_with("local") && !name.starts_with("aux_head");
        let names = |weights: &super::Weights| weights.tensors.keys().filter(of_blocks).cloned().collect::<Vec<_>>();
        assert_eq!(names(&whole), names(&cut));
        assert!(whole.tensors.contains_key("aux_head.conv.conv.weight"));
        assert!(cut.tensors.contains_key("local2.recon_decoder.convs.1.norm.gamma"));
        assert!(cut.tensors.contains_key("local1.local_head.classifier.weight"));
    }

    #[test]
    fn weights_go_in_as_they_came_out_and_misfits_are_told() {
        let source = tiny(2, 1).weights();
        let mut target = tiny(2, 2);
        let mapping = target.set_weights(&source);
        assert_eq!(mapping.loaded.len(), source.tensors.len());
        assert_eq!(target.weights(), source);

        let mut wrong = source.clone();
        let bias = wrong.tensors.remove("head.classifier.bias").unwrap();
        wrong.tensors.insert("head.image_pool.norm.beta".into(), bias.clone());
        wrong.tensors.insert("fc.bias".into(), bias);
        let mapping = target.set_weights(&wrong);
        assert_eq!(mapping.missing, ["head.classifier.bias"]);
        assert_eq!(mapping.unexpected, ["fc.bias"]);
        assert_eq!(mapping.misshapen, [("head.image_pool.norm.beta".to_string(), vec![8], vec![4])]);
    }
}
