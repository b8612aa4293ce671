//! What fits into an amount of memory: K, cuts, recomputation and micro-batches.
//!
//! Tried in this order, and the first that fits is taken: as few micro-batches as can be, for they change BatchNorm's
//! statistics; up to four modules, the fewer the better; recomputation, which changes no number but takes about a quarter
//! more time (as much as the heads of four more modules do), again with as few modules as can be.

use super::config::{Cuts, TaskLoss};
use super::cost::{Costs, StepCost};
use super::cut;
use super::spec::{Execution, Spec};
use crate::memory::human;
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
/// let two = Plan::of(config.spec(), 19)?.peak();
/// config.local.num_modules = 1;
/// config.local.cuts = infoseg::config::Cuts::Auto;
/// assert!(two < Plan::of(config.spec(), 19)?.peak(), "two local modules need less memory than one");
/// # Ok::<(), infoseg::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Plan {
    /// The network, cut and trained as planned.
    pub spec: Spec,
    /// Predicted.
    pub cost: StepCost,
}

impl Plan {
    /// The plan of a network as it is.
    ///
    /// # Errors
    /// It cannot be cut as it says.
    pub fn of(spec: Spec, num_classes: usize) -> Result<Self> {
        let ranges = cut::module_ranges_of(&spec, num_classes)?;
        let cost = Costs::of(&spec, num_classes).step(&ranges, spec.execution, true);
        Ok(Self { spec, cost })
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
        let (local, execution) = (&self.spec.local, self.spec.execution);
        match (local.num_modules, &local.cuts) {
            (1, _) => f.write_str("end to end")?,
            (k, Cuts::After(blocks)) => write!(f, "{k} local modules (cut behind {})", blocks.join(", "))?,
            (k, _) => write!(f, "{k} local modules")?,
        }
        if execution.recompute {
            f.write_str(", with recomputation")?;
        }
        if execution.micro_batches > 1 {
            write!(f, ", {} micro-batches", execution.micro_batches)?;
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

/// All ways to make the steps, the preferred first. `configure` gives the network for a K.
///
/// # Errors
/// A configuration that cannot be.
pub fn candidates(fixed: Fixed, num_classes: usize, configure: impl Fn(usize) -> Result<Spec>) -> Result<Vec<Plan>> {
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
            let spec = configure(k)?;
            let costs = Costs::of(&spec, num_classes);
            Ok((spec, costs))
        })
        .collect::<Result<Vec<_>>>()?;
    let own = first.execution;
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
        for (spec, costs) in networks.iter().take(most) {
            let mut spec = Spec { execution, ..spec.clone() };
            let ranges = match fixed.cuts {
                true => cut::module_ranges_of(&spec, num_classes)?,
                false => costs.balanced(spec.local.num_modules, &modules)?,
            };
            if !fixed.cuts {
                let last = |range: &std::ops::Range<usize>| costs.names().nth(range.end - 1).map(str::to_string);
                let cuts: Vec<String> = ranges[..ranges.len() - 1].iter().filter_map(last).collect();
                spec.local.cuts = if cuts.is_empty() { Cuts::Auto } else { Cuts::After(cuts) };
            }
            let cost = costs.step(&ranges, execution, true);
            plans.push(Plan { spec, cost });
        }
    }
    Ok(plans)
}

/// Numbers of micro-batches to try, rising: those of the configuration, powers of two, one for each image.
fn parts(spec: &Spec) -> Vec<usize> {
    let (own, batch) = (spec.execution.micro_batches, spec.batch_size);
    if spec.replicas > 1 {
        return vec![own]; // replicas make a batch in parts already
    }
    let images_alone = !spec.task.is_dense();
    if spec.local.task_loss == TaskLoss::Contrast && images_alone {
        return vec![own]; // images are contrasted within a part: small ones have nothing to contrast
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
    let spec = &smallest.spec;
    Err(Error::usage(format!(
        "{said}: no plan for {} of {} fits into {}; the smallest, {smallest}, needs --memory-budget {} (its \
         predicted {} and {:.0} % to spare); else choose a smaller --resolution or --batch-size",
        counted(spec.batch_size, "picture"),
        spec.resolution,
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

    fn configured(k: usize) -> Result<Spec> {
        let mut config = defaults_for(DatasetKind::Cityscapes);
        config.train.resolution = Resolution { height: 512, width: 1024 };
        config.local.num_modules = k;
        Ok(config.spec())
    }

    #[test]
    fn less_memory_takes_more_modules_then_recomputation_then_parts() {
        let plans = candidates(Fixed::default(), 19, configured).unwrap();
        let batch = plans[0].spec.batch_size;
        let mut before = (1, false, 1);
        for gib in (1..=200).rev() {
            let Ok(plan) = fit(&plans, gib << 30, "test") else { break };
            let Execution { micro_batches, recompute, .. } = plan.spec.execution;
            let now = (micro_batches, recompute, plan.spec.local.num_modules);
            assert!(now >= before, "{gib} GiB: {now:?} after {before:?}");
            assert!(plan.peak() <= gib << 30 && micro_batches <= batch);
            before = now;
        }
        assert!(before.0 > 1, "{before:?}");
    }

    #[test]
    fn nothing_fits_into_nothing_and_the_smallest_is_named() {
        let plans = candidates(Fixed { num_modules: Some(2), ..Fixed::default() }, 19, configured).unwrap();
        assert!(plans.iter().all(|plan| plan.spec.local.num_modules == 2));
        let smallest = plans.iter().map(Plan::needs).min().unwrap();
        let error = fit(&plans, 1 << 20, "--memory-budget 1MiB").unwrap_err().to_string();
        let named = budget_text(smallest);
        assert!(error.contains(&format!("needs --memory-budget {named}")), "{error}");
        let budget = named.parse::<crate::memory::MemorySize>().unwrap().0;
        assert!(fit(&plans, budget, "").is_ok(), "what is named does fit");
    }
}
