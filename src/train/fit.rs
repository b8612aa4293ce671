//! `--memory-budget` and `--local-k auto`: the configuration that fits.

use crate::config::{Cuts, Flag, LocalK, RunConfig, TrainArgs};
use crate::local::plan::{self, Fixed};
use crate::messages::say;
use crate::{Error, Result, memory};
use toml::Value;

/// The checked configuration that these flags and their files mean, fitted into the memory that it may take if
/// that was asked for. Says how.
///
/// # Errors
/// See [`TrainArgs::load`]; nothing fits, or memory cannot be measured.
pub fn load(args: &TrainArgs) -> Result<RunConfig> {
    let config = args.load()?;
    let (said, budget) = match (args.memory_budget, args.local_k) {
        (Some(size), _) => (format!("--memory-budget {size}"), Some(size.0)),
        (None, Some(LocalK::Auto)) => ("--local-k auto".to_string(), None),
        _ => return Ok(config),
    };
    let plans = plan::candidates(fixed(args, &config), config.num_classes_expected(), |k| {
        configured(args, &config, k).map(|config| config.spec())
    })?;
    let budget = match budget {
        Some(bytes) => memory::check_measurable(config.first_device()).map(|()| bytes),
        None => memory::available(config.first_device()),
    };
    let budget = budget.map_err(|why| match plan::smallest(&plans) {
        Some(smallest) => Error::usage(format!(
            "{said}: {why}; the smallest that works is {smallest}, with --memory-budget {}",
            plan::budget_text(smallest.needs())
        )),
        None => Error::usage(format!("{said}: {why}")),
    })?;
    let plan = plan::fit(&plans, budget, &said)?;
    let config = configured(args, &config, plan.spec.local.num_modules)?.with_plan(&plan);
    config.check()?;
    say(format_args!("{said}: {plan}; predicted peak {}", memory::human(plan.peak())));
    Ok(config)
}

/// What the command line leaves no choice about.
fn fixed(args: &TrainArgs, config: &RunConfig) -> Fixed {
    let resumed = args.resume.is_some(); // a run goes on with its own modules
    let typed = args.set.iter().any(|set| set.starts_with("local.num_modules") || set.starts_with("local.cuts"));
    let number = matches!(args.local_k, Some(LocalK::Modules(_)));
    let is_said = resumed || typed || number || config.local.method.traits().is_end_to_end;
    Fixed {
        num_modules: is_said.then_some(config.local.num_modules),
        cuts: resumed || (is_said && matches!(config.local.cuts, Cuts::After(_))),
        fewest: config.fewest_modules(),
        modules_first: args.memory_budget.is_none(),
    }
}

/// The configuration for another K, loaded anew: loss weights may follow it.
fn configured(args: &TrainArgs, config: &RunConfig, k: usize) -> Result<RunConfig> {
    if k == config.local.num_modules {
        return Ok(config.clone());
    }
    let mut layers = args.layers()?;
    layers.flags.push(Flag { name: "--local-k", key: "local.num_modules", value: Value::Integer(k as i64) });
    layers.load()
}
