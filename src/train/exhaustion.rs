//! Out of memory: what a person is told, and the plan that would have fitted.

use crate::config::{Method, RunConfig};
use crate::local::plan::{self, Fixed, Plan};
use crate::memory::counting::{self, LastWords};
use crate::memory::{heap_limit, human, peak_bytes};
use crate::{Error, Result};
use burn::tensor::Device;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// From now on a run that finds no more memory ends with the plan that would have fitted. Returns the run's own.
///
/// # Errors
/// The configuration cannot be cut as it says.
pub fn prepare(config: &RunConfig, num_classes: usize) -> Result<Plan> {
    let own = Plan::of(config.clone(), num_classes)?;
    let fixed = Fixed {
        num_modules: (config.local.method == Method::E2e).then_some(1),
        fewest: plan::fewest_modules(config),
        ..Fixed::default()
    };
    let plans = plan::candidates(fixed, num_classes, |k| {
        let mut config = config.clone();
        config.local.num_modules = k;
        config.train.out.clear();
        Ok(config)
    })?;
    let cause = format!("segtrain: out of memory: this run ({own}) was predicted to need {}", human(own.peak()));
    let advice = plans
        .iter()
        .filter(|plan| plan.peak() < own.peak())
        .map(|plan| {
            let budget = plan::budget_text(plan.needs());
            (plan.needs(), format!("{cause}; --local-k auto --memory-budget {budget} would have fitted: {plan}"))
        })
        .collect();
    let smallest = match plan::smallest(&plans).filter(|plan| plan.peak() < own.peak()) {
        Some(plan) => {
            format!(
                "the least it can do with is --local-k auto --memory-budget {}: {plan}",
                plan::budget_text(plan.needs())
            )
        }
        None => "no other plan needs less".to_string(),
    };
    let otherwise = format!("{cause}; {smallest}; else choose a smaller --resolution or --batch-size");
    counting::on_exhaustion(heap_limit(), LastWords { advice, otherwise });
    Ok(own)
}

/// Does `work`. Where a device's allocator panics for want of memory, its words become an error with the same advice.
///
/// # Errors
/// Those of `work`; out of memory.
pub fn guarded<T>(device: &Device, work: impl FnOnce() -> Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            let words = || counting::last_words(peak_bytes(device).unwrap_or(0));
            match text.is_some_and(is_exhaustion).then(words).flatten() {
                Some(words) => Err(Error::run(words.trim_start_matches("segtrain: "))),
                None => resume_unwind(panic),
            }
        }
    }
}

/// Whether a panic is a GPU allocator's: CUDA, Vulkan and CubeCL say it in one of these ways.
fn is_exhaustion(text: &str) -> bool {
    let text = text.to_lowercase().replace(['_', ' '], "");
    ["outofmemory", "outofdevicememory", "outofhostmemory", "can'tallocate", "cannotallocate"]
        .iter()
        .any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Dataset, defaults_for};

    #[test]
    fn a_device_s_want_of_memory_becomes_advice_and_other_panics_stay() {
        let device = Device::flex();
        std::panic::set_hook(Box::new(|_| {}));
        let own = prepare(&defaults_for(Dataset::Synthetic), 19).unwrap();
        let error =
            guarded::<()>(&device, || panic!("CUDA_ERROR_OUT_OF_MEMORY: out of memory")).unwrap_err().to_string();
        assert!(error.contains(&human(own.peak())) && error.contains("--memory-budget"), "{error}");
        assert!(std::panic::catch_unwind(|| guarded::<()>(&device, || panic!("index out of bounds"))).is_err());
        assert_eq!(guarded(&device, || Ok(3)).unwrap(), 3);
        let _ = std::panic::take_hook();
    }
}
