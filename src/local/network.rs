//! The cut network: its modules in order, and a step of all of them.

use super::config::Precision;
use super::cut;
use super::mark::Mark;
use super::module::{LocalModule, Losses, ModuleNet, Parts, Targets};
use super::plan::Plan;
use super::spec::Spec;
use crate::data::normalize::Normalization;
use crate::files::{cause_in, unless_it_panics};
use crate::net::{Init, Network};
use crate::rng::mix;
use crate::{Error, Result, memory};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, FloatDType, Tensor};
use flate2::Crc;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// A network in K local modules. End-to-end training is K = 1.
///
/// ```
/// use burn::tensor::Device;
/// use infoseg::config::{DatasetKind, defaults_for};
/// use infoseg::local::LocalNetwork;
///
/// let config = defaults_for(DatasetKind::Synthetic);
/// let network = LocalNetwork::new(&config.spec(), 19, &Device::flex().autodiff())?;
/// assert_eq!(network.modules.len(), config.local.num_modules);
/// # Ok::<(), infoseg::Error>(())
/// ```
pub struct LocalNetwork {
    /// In network order.
    pub modules: Vec<LocalModule>,
    /// How its input is made of images.
    pub normalization: Normalization,
    /// Number format of activations in training.
    pub precision: Precision,
}

impl LocalNetwork {
    /// Builds the network on `device` (an autodiff device, to train) and cuts it.
    ///
    /// # Errors
    /// See [`cut::module_ranges`].
    pub fn new(spec: &Spec, num_classes: usize, device: &Device) -> Result<Self> {
        let mut largest = 0;
        if device.is_autodiff() && memory::has_pools(device) {
            largest = Plan::of(spec.clone(), num_classes)?.largest();
            memory::reserve(device, largest);
        }
        let mut network = memory::lasting(device, || Self::with_weights(spec, num_classes, device))?;
        network.modules.iter_mut().for_each(|module| module.largest = largest);
        Ok(network)
    }

    fn with_weights(spec: &Spec, num_classes: usize, device: &Device) -> Result<Self> {
        let mut init = Init::new(spec.seed, device);
        let network = spec.task.task().network(&mut init, &spec.model, num_classes);
        Self::of_blocks(&mut init, network, spec, num_classes)
    }

    /// Cuts a network that is built elsewhere, such as one with a backbone of your own, into local modules. Nothing
    /// is read of `spec.model` but the auxiliary head's weight and dropout; `init` draws the local heads.
    ///
    /// # Errors
    /// See [`cut::module_ranges`].
    pub fn of_blocks(init: &mut Init, network: Network, spec: &Spec, num_classes: usize) -> Result<Self> {
        let ranges = cut::module_ranges(&network, spec)?;
        let features = cut::features(&network, spec.image());
        let Network { blocks, aux_head } = network;
        let mut aux_head = aux_head;
        let mut blocks = blocks.into_iter();
        let mut modules = Vec::with_capacity(ranges.len());
        for (index, range) in ranges.iter().enumerate() {
            let named: Vec<_> = blocks.by_ref().take(range.len()).collect();
            let block_names: Vec<String> = named.iter().map(|block| block.name.clone()).collect();
            // Where layer3 ends in an earlier module, that module's own head stands in for the auxiliary one.
            let aux_head = match (index + 1 == ranges.len(), aux_head.take()) {
                (true, Some((head, after))) => {
                    block_names.iter().position(|name| *name == after).map(|after| (head, after))
                }
                (_, later) => {
                    aux_head = later;
                    None
                }
            };
            let blocks = named.into_iter().map(|named| named.block).collect();
            let parts = Parts { index, block_names, blocks, features: features[range.end - 1], aux_head };
            modules.push(LocalModule::new(init, parts, spec, num_classes));
        }
        Ok(Self { modules, normalization: spec.normalization, precision: spec.precision })
    }

    /// Puts each module on its device, as [`RunConfig::places`](crate::config::RunConfig::places) says.
    pub fn place(&mut self, devices: &[Device], place: &[usize]) {
        for (module, &number) in self.modules.iter_mut().zip(place) {
            module.device_number = number;
            module.move_to(&devices[number]);
        }
    }

    /// One step of every module, one after another: module k's activations are gone before module k + 1 begins.
    ///
    /// `input [batch, 3, height, width]`; `seed` is the step's own.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use infoseg::config::{DatasetKind, defaults_for};
    /// use infoseg::local::{LocalNetwork, Targets};
    ///
    /// let mut config = defaults_for(DatasetKind::Synthetic);
    /// config.model.width = 0.1;
    /// let device = Device::flex().autodiff();
    /// let mut network = LocalNetwork::new(&config.spec(), 3, &device)?;
    /// let input = Tensor::<4>::zeros([1, 3, 32, 64], &device);
    /// let label = vec![2; 32 * 64]; // a class for each pixel
    /// let targets = Targets::new(&input, network.normalization, label, &device);
    /// let losses = network.train_step(input, &targets, 0.05, 1)?;
    /// assert_eq!(losses.len(), 2, "one for each local module");
    /// # Ok::<(), infoseg::Error>(())
    /// ```
    ///
    /// # Errors
    /// See [`LocalModule::train_step`].
    pub fn train_step(&mut self, input: Tensor<4>, targets: &Targets, lr: f64, seed: u64) -> Result<Vec<Losses>> {
        self.train_step_watched(input, targets, lr, seed, &mut |_, _| ())
    }

    /// The same, and tells where it has come to: module and mark.
    ///
    /// # Errors
    /// See [`LocalModule::train_step`].
    pub fn train_step_watched(
        &mut self,
        input: Tensor<4>,
        targets: &Targets,
        lr: f64,
        seed: u64,
        watch: &mut dyn FnMut(usize, Mark),
    ) -> Result<Vec<Losses>> {
        let mut features = in_precision(input, self.precision);
        let mut losses = Vec::with_capacity(self.modules.len());
        for module in &mut self.modules {
            let seed = mix(seed, module.index as u64);
            let index = module.index;
            let (output, module_losses) =
                module.train_step_watched(features, targets, lr, seed, &mut |mark| watch(index, mark))?;
            features = output;
            losses.push(module_losses);
        }
        Ok(losses)
    }

    /// CRC-32 of the weights and running statistics of the blocks of the first `modules` modules.
    pub fn checksum(&self, modules: usize) -> u32 {
        let mut sum = Checksum(Crc::new());
        self.modules[..modules].iter().for_each(|module| module.net().blocks.visit(&mut sum));
        sum.0.sum()
    }

    /// Refuses weights or running statistics that are not finite: a step whose loss was can still have made them so.
    ///
    /// # Errors
    /// Names the module.
    pub fn check_finite(&self) -> Result<()> {
        for module in &self.modules {
            let mut finite = Finite(true);
            module.net().visit(&mut finite);
            if !finite.0 {
                return Err(Error::run(format!(
                    "local module {} of {}: a weight is not finite after this step; lower optim.lr or raise \
                     optim.warmup_steps",
                    module.index + 1,
                    self.modules.len()
                )));
            }
        }
        Ok(())
    }

    /// Writes the weights and the optimizers' state into a folder.
    ///
    /// # Errors
    /// The file that could not be written, and why.
    pub fn save(&self, folder: &Path) -> Result<()> {
        for module in &self.modules {
            let (net, optimizer) = module.state();
            let path = weights_file(folder, module.index);
            net.clone().into_record().save(&path).map_err(|e| unwritten(&path, &e))?;
            let path = optimizer_file(folder, module.index);
            optimizer.save(&path).map_err(|e| unwritten(&path, &e))?;
        }
        Ok(())
    }

    /// Reads the weights, and with `with_optimizers` the optimizers' state, of a network of the same configuration.
    ///
    /// # Errors
    /// A file that is missing, damaged, or of another architecture.
    pub fn load(&mut self, folder: &Path, with_optimizers: bool) -> Result<()> {
        for module in &mut self.modules {
            let index = module.index;
            let device = module.device().clone();
            let (net, optimizer) = module.state_mut();
            let path = weights_file(folder, index);
            let fresh: &ModuleNet = net.as_ref().expect("the network is only away while the optimizer has it");
            *net = Some(memory::lasting(&device, || read(&path, || fresh.clone().try_load_file(&path)))?);
            if with_optimizers {
                let path = optimizer_file(folder, index);
                *optimizer = memory::lasting(&device, || read(&path, || optimizer.clone().load(&path)))?;
            }
        }
        Ok(())
    }
}

struct Checksum(Crc);

impl ModuleVisitor for Checksum {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.update(param.val().into_data().as_bytes());
    }
}

/// Whether everything visited is finite.
struct Finite(bool);

impl ModuleVisitor for Finite {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0 = self.0 && param.val().into_data().iter::<f32>().all(f32::is_finite);
    }
}

fn weights_file(folder: &Path, index: usize) -> PathBuf {
    folder.join(format!("module{}.bpk", index + 1))
}

fn optimizer_file(folder: &Path, index: usize) -> PathBuf {
    folder.join(format!("optimizer{}.bpk", index + 1))
}

fn unwritten(path: &Path, error: &dyn Display) -> Error {
    Error::file(path, cause_in(&error.to_string()))
}

/// Reads a file of burn's, whose reader panics at some that it could not have written.
fn read<T, E: Display>(path: &Path, read: impl FnOnce() -> std::result::Result<T, E>) -> Result<T> {
    match unless_it_panics(read) {
        Some(read) => read.map_err(|error| unread(path, &error)),
        None => Err(unread(path, &"it holds what no checkpoint does")),
    }
}

fn unread(path: &Path, error: &dyn Display) -> Error {
    /// Characters of burn's list of tensors, which may be every one of the network.
    const SHOWN: usize = 120;
    let text = error.to_string();
    let message = match text.strip_prefix("Record validation error: ") {
        Some(misfit) => {
            let shown: String = misfit.chars().take(SHOWN).collect();
            let more = if shown.len() < misfit.len() { " …" } else { "" };
            format!("does not fit this network ({shown}{more}); resume with the run's own config.toml")
        }
        None => {
            let cause = cause_in(text.trim_start_matches("Record ").trim_start_matches("I/O error: "));
            let cause = cause.replace("failed to fill whole buffer", "the file ends too early");
            let folder = path.parent().unwrap_or(path).display();
            format!("cannot be read: {cause}; remove the folder {folder} to use the checkpoint before it")
        }
    };
    Error::file(path, message)
}

/// The input in the number format of activations: every layer goes on in the format that comes in.
pub(crate) fn in_precision(input: Tensor<4>, precision: Precision) -> Tensor<4> {
    match precision {
        Precision::F32 => input,
        Precision::Bf16 => input.cast(FloatDType::BF16),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults_for;
    use crate::data::config::DatasetKind;

    /// Found by fuzzing: burn's reader panics where the values are of another kind than the parameter's.
    #[test]
    fn weights_of_another_kind_are_an_error() {
        let mut config = defaults_for(DatasetKind::SyntheticDigits);
        (config.model.width, config.local.num_modules) = (0.05, 1);
        let device = Device::flex().autodiff();
        let mut network = LocalNetwork::new(&config.spec(), 10, &device).unwrap();
        let folder = tempfile::tempdir().unwrap();
        network.save(folder.path()).unwrap();
        let path = weights_file(folder.path(), 0);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(3).position(|bytes| bytes == b"F32").unwrap();
        bytes[at] = b'U';
        std::fs::write(&path, &bytes).unwrap();
        let before = network.checksum(1);
        let error = network.load(folder.path(), false).unwrap_err().to_string();
        assert!(error.contains("module1.bpk: "), "{error}");
        assert_eq!(network.checksum(1), before, "and the network is as it was");
    }
}
