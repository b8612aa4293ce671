//! What fits into an amount of memory: K, cuts, recomputation and micro-batches.
//!
//! Tried in this order, and the first that fits is taken: as few micro-batches as can be, for they change BatchNorm's
//! statistics; up to four modules, the fewer the better; recomputation, which changes no number but takes about a quarter
//! more time (as much as the heads of four more modules do), again with as few modules as can be.

use super::config::{Cuts, TaskLoss};
use super::cost::{Costs, Execution, StepCost};
use super::cut;
use crate::config::{RunConfig, Schedule};
use crate::memory::human;
use crate::task::TaskKind;
use crate::text::counted;
use crate::{Error, Result};

/// Most modules that are tried, with recomputation and without.
const MOST_MODULES: [usize; 2] = [8, 4];
/// Most where modules are tried first.
const MOST_CUTS: usize = 32;

/// A way to make a run's steps, and what it will take.
///
/// ```
/// use infoseg::config::{DatasetKind, defaults_for};
/// use infoseg::local::plan::Plan;
///
/// let mut config = defaults_for(DatasetKind::Synthetic);
/// let two = Plan::of(config.clone(), 19)?.peak();
/// config.local.num_modules = 1;
/// config.local.cuts = infoseg::config::Cuts::Auto;
/// assert!(two < Plan::of(config, 19)?.peak(), "two local modules need less memory than one");
/// # Ok::<(), infoseg::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Plan {
    /// The run's configuration with this plan in it.
    pub config: RunConfig,
    /// Predicted.
    pub cost: StepCost,
}

impl Plan {
    /// The plan of a configuration as it is.
    ///
    /// # Errors
    /// It cannot be cut as it says.
    pub fn of(config: RunConfig, num_classes: usize) -> Result<Self> {
        let ranges = cut::module_ranges_of(&config, num_classes)?;
        let cost = Costs::of(&config, num_classes).step(&ranges, Execution::of(&config), true);
        Ok(Self { config, cost })
    }

    /// Predicted peak in bytes.
    pub fn peak(&self) -> u64 {
        self.cost.peak()
    }

    /// Bytes of the largest tensor of activations.
    pub fn largest(&self) -> u64 {
        self.cost.largest
    }

    fn fits(&self, budget: u64) -> bool {
        self.needs() <= budget
    }

    /// The smallest budget that this plan fits into.
    pub fn needs(&self) -> u64 {
        (self.peak() as f64 * (1.0 + self.cost.margin)).ceil() as u64
    }
}

/// `4 local modules (cut behind layer1.2, layer3.6, layer3.14), with recomputation, 2 micro-batches`.
impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (local, train) = (&self.config.local, &self.config.train);
        match (local.num_modules, &local.cuts) {
            (1, _) => f.write_str("end to end")?,
            (k, Cuts::After(blocks)) => write!(f, "{k} local modules (cut behind {})", blocks.join(", "))?,
            (k, _) => write!(f, "{k} local modules")?,
        }
        if train.recompute {
            f.write_str(", with recomputation")?;
        }
        if train.micro_batches > 1 {
            write!(f, ", {} micro-batches", train.micro_batches)?;
        }
        Ok(())
    }
}

/// What of a run is to stay as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fixed {
    /// K was said.
    pub num_modules: Option<usize>,
    /// So were the cuts, or the run has been trained with them.
    pub cuts: bool,
    /// Fewest modules that are tried; 0 is 1.
    pub fewest: usize,
    /// More modules, as many as there are blocks, are to be tried before anything else.
    pub modules_first: bool,
}

/// Fewest modules that a configuration can have: one for each device, and two where they work beside each other.
pub fn fewest_modules(config: &RunConfig) -> usize {
    let devices = if config.parallel.replicas > 1 { 1 } else { config.devices().len() };
    devices.max(if config.train.schedule == Schedule::Async { 2 } else { 1 })
}

/// All ways to make the steps, the preferred first. `configure` gives the configuration for a K.
///
/// # Errors
/// A configuration that cannot be.
pub fn candidates(
    fixed: Fixed,
    num_classes: usize,
    configure: impl Fn(usize) -> Result<RunConfig>,
) -> Result<Vec<Plan>> {
    let first = configure(fixed.num_modules.unwrap_or(fixed.fewest.max(1)))?;
    let fewest = fixed.fewest.max(1);
    let blocks = Costs::of(&first, num_classes).names().len();
    let ks = match fixed.num_modules {
        Some(k) => k..=k,
        None if fixed.modules_first => fewest..=blocks.min(MOST_CUTS),
        None => fewest..=blocks.min(MOST_MODULES[0]),
    };
    let networks = ks
        .map(|k| {
            let config = configure(k)?;
            let costs = Costs::of(&config, num_classes);
            Ok((config, costs))
        })
        .collect::<Result<Vec<_>>>()?;
    let own = Execution::of(&first);
    let mut ways = Vec::new();
    if fixed.modules_first {
        ways.push((own, networks.len()));
    }
    for micro_batches in parts(&first) {
        // Recomputation that was asked for is not taken away.
        for recompute in if own.recompute { vec![true] } else { vec![false, true] } {
            let few = fixed.num_modules.is_some() || recompute;
            let most = if few { MOST_MODULES[0] } else { MOST_MODULES[1] };
            ways.push((Execution { micro_batches, recompute, ..own }, most));
        }
    }
    let mut plans = Vec::new();
    for (execution, most) in ways {
        let modules = if fixed.cuts { Vec::new() } else { networks[networks.len() - 1].1.of_modules(execution) };
        for (config, costs) in networks.iter().take(most) {
            let mut config = config.clone();
            (config.train.micro_batches, config.train.recompute) = (execution.micro_batches, execution.recompute);
            let ranges = match fixed.cuts {
                true => cut::module_ranges_of(&config, num_classes)?,
                false => costs.balanced(config.local.num_modules, &modules)?,
            };
            if !fixed.cuts {
                let last = |range: &std::ops::Range<usize>| costs.names().nth(range.end - 1).map(str::to_string);
                let cuts: Vec<String> = ranges[..ranges.len() - 1].iter().filter_map(last).collect();
                config.local.cuts = if cuts.is_empty() { Cuts::Auto } else { Cuts::After(cuts) };
            }
            let cost = costs.step(&ranges, execution, true);
            plans.push(Plan { config, cost });
        }
    }
    Ok(plans)
}

/// Numbers of micro-batches to try, rising: those of the configuration, powers of two, one for each picture.
fn parts(config: &RunConfig) -> Vec<usize> {
    let (own, batch) = (config.train.micro_batches, config.train.batch_size);
    if config.parallel.replicas > 1 {
        return vec![own]; // replicas make a batch in parts already
    }
    let pictures_alone = config.data.dataset.task() == TaskKind::Classification;
    if config.local.task_loss == TaskLoss::Contrast && pictures_alone {
        return vec![own]; // pictures are contrasted within a part: small ones have nothing to contrast
    }
    let powers = (0..).map(|power| 1 << power).take_while(|&parts| parts < batch);
    let mut parts: Vec<usize> = powers.chain([own, batch]).filter(|&parts| parts >= own).collect();
    parts.sort_unstable();
    parts.dedup();
    parts
}

/// The preferred way that fits into `budget` bytes.
///
/// # Errors
/// None does; names the smallest budget that would do, and its plan.
pub fn fit(plans: &[Plan], budget: u64, said: &str) -> Result<Plan> {
    if let Some(plan) = plans.iter().find(|plan| plan.fits(budget)) {
        return Ok(plan.clone());
    }
    let smallest = smallest(plans).ok_or_else(|| Error::run("there is no plan"))?;
    let train = &smallest.config.train;
    Err(Error::usage(format!(
        "{said}: no plan for {} of {} fits into {}; the smallest, {smallest}, needs --memory-budget {} (its \
         predicted {} and {:.0} % to spare); else choose a smaller --resolution or --batch-size",
        counted(train.batch_size, "picture"),
        train.resolution,
        human(budget),
        budget_text(smallest.needs()),
        human(smallest.peak()),
        100.0 * smallest.cost.margin,
    )))
}

/// The one of the lowest peak.
pub fn smallest(plans: &[Plan]) -> Option<&Plan> {
    plans.iter().min_by_key(|plan| plan.peak())
}

/// An amount that is no less, as it is typed: `5340MiB`.
pub fn budget_text(bytes: u64) -> String {
    format!("{}MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults_for;
    use crate::data::config::DatasetKind;
    use crate::size::Resolution;

    fn configured(k: usize) -> Result<RunConfig> {
        let mut config = defaults_for(DatasetKind::Cityscapes);
        config.train.resolution = Resolution { height: 512, width: 1024 };
        config.local.num_modules = k;
        Ok(config)
    }

    #[test]
    fn less_memory_takes_more_modules_then_recomputation_then_parts() {
        let plans = candidates(Fixed::default(), 19, configured).unwrap();
        let batch = plans[0].config.train.batch_size;
        let mut before = (1, false, 1);
        for gib in (1..=200).rev() {
            let Ok(plan) = fit(&plans, gib << 30, "test") else { break };
            let train = &plan.config.train;
            let now = (train.micro_batches, train.recompute, plan.config.local.num_modules);
            assert!(now >= before, "{gib} GiB: {now:?} after {before:?}");
            assert!(plan.peak() <= gib << 30 && train.micro_batches <= batch);
            before = now;
        }
        assert!(before.0 > 1, "{before:?}");
    }

    #[test]
    fn nothing_fits_into_nothing_and_the_smallest_is_named() {
        let plans = candidates(Fixed { num_modules: Some(2), ..Fixed::default() }, 19, configured).unwrap();
        assert!(plans.iter().all(|plan| plan.config.local.num_modules == 2));
        let smallest = plans.iter().map(Plan::needs).min().unwrap();
        let error = fit(&plans, 1 << 20, "--memory-budget 1MiB").unwrap_err().to_string();
        let named = budget_text(smallest);
        assert!(error.contains(&format!("needs --memory-budget {named}")), "{error}");
        let budget = named.parse::<crate::memory::MemorySize>().unwrap().0;
        assert!(fit(&plans, budget, "").is_ok(), "what is named does fit");
    }
}
