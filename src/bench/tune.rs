//! `segbench tune`: a GPU's kernels compiled, measured and chosen ahead of a run.

use super::step::batch;
use crate::config::RunConfig;
use crate::eval::Predictor;
use crate::local::LocalNetwork;
use crate::messages::say;
use crate::rng::mix;
use crate::size::Resolution;
use crate::train::first_step::FirstStep;
use crate::{Error, Result, memory};
use ndarray::Array3;
use std::time::{Duration, Instant};

/// Between two lines.
const INTERVAL: Duration = Duration::from_secs(10);
/// The second step has momentum.
const STEPS: u64 = 2;

/// Makes training steps of the configured shapes on a made-up batch, and predicts an image of each of these sizes.
///
/// # Errors
/// A device that has nothing to tune, or cannot be had; a configuration that cannot be.
pub fn tune(config: &RunConfig, pictures: &[Resolution]) -> Result<()> {
    let choice = config.first_device().resolve();
    if choice.is_cpu() {
        return Err(Error::usage(format!(
            "--device {choice}: a CPU has no kernels to tune; say --device cuda or vulkan"
        )));
    }
    let started = Instant::now();
    let device = config.open_device()?;
    if !memory::has_pools(&device) {
        return Err(Error::usage(format!(
            "--device {choice}: kernels are tuned where they run; say --device cuda or vulkan there"
        )));
    }
    let num_classes = config.num_classes_expected();
    let mut network = LocalNetwork::new(&config.spec(), num_classes, &device)?;
    let (input, targets) = batch(config, num_classes, &device);
    let mut first = FirstStep::new(&network.modules, config.train.micro_batches, INTERVAL);
    for step in 0..STEPS {
        let seed = mix(config.seed, step);
        network.train_step_watched(input.clone(), &targets, config.optim.lr, seed, &mut |module, mark| {
            if step == 0 {
                first.mark(module, mark).into_iter().for_each(say);
            }
        })?;
    }
    drop((input, targets));
    memory::give_back(&device);
    let predictor = Predictor::of(&network, &device);
    for size in pictures {
        say(format_args!("tuning kernels for this GPU: prediction of {size}"));
        predictor.predict(&Array3::zeros((size.height, size.width, 3)))?;
    }
    say(format_args!("{choice}: kernels are tuned ({:.0} s)", started.elapsed().as_secs_f64()));
    Ok(())
}
