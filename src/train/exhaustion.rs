//! Out of memory: the message, with the plan that would have fitted.

use crate::config::RunConfig;
use crate::local::plan::{self, Fixed, Plan};
use crate::memory::counting::{self, ExhaustionAdvice};
use crate::memory::{heap_limit, human, peak_bytes};
use crate::{Error, Result};
use burn::tensor::Device;
use std::any::Any;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind, set_hook, take_hook};

/// From now on a run that finds no more memory ends with the plan that would have fitted. Returns the run's own.
///
/// # Errors
/// The configuration cannot be cut as it says.
pub fn prepare(config: &RunConfig, num_classes: usize) -> Result<Plan> {
    let own = Plan::of(config.spec(), num_classes)?;
    let fixed = Fixed {
        num_modules: config.local.method.traits().is_end_to_end.then_some(1),
        fewest: config.fewest_modules(),
        ..Fixed::default()
    };
    let plans = plan::candidates(fixed, num_classes, |k| {
        let mut config = config.clone();
        config.local.num_modules = k;
        Ok(config.spec())
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
    counting::on_exhaustion(heap_limit(), ExhaustionAdvice { advice, otherwise });
    Ok(own)
}

/// Runs `work`, converting an out-of-memory panic on `device` into an error with advice.
///
/// # Errors
/// Those of `work`; out of memory.
pub fn guarded<T>(device: &Device, work: impl FnOnce() -> Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(panic) => match explained(panic.as_ref(), || peak_bytes(device).unwrap_or(0)) {
            Some(error) => Err(error),
            None => resume_unwind(panic),
        },
    }
}

/// Converts the payload of an out-of-memory panic into an error; `None` for other panics. After [`prepare`] the error names
/// a plan that fits into `bytes`, else it gives general advice.
pub fn explained(panic: &(dyn Any + Send), bytes: impl FnOnce() -> u64) -> Option<Error> {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied())?;
    is_exhaustion(text).then(|| {
        Error::run(counting::exhaustion_advice(bytes()).map_or(
            "out of memory on the device; end other programs that use it, predict in windows (--slide HxW), choose a \
             smaller --resolution or --batch-size, or use --device cpu",
            |words| words.trim_start_matches("segtrain: "),
        ))
    })
}

/// Silences out-of-memory panics, on burn's threads too: [`explained`] reports them. Other panics are printed as before if
/// `print_others`, else not at all.
pub fn silence(print_others: bool) {
    let print = take_hook();
    set_hook(Box::new(move |panic: &PanicHookInfo| {
        if print_others && !panic.payload_as_str().is_some_and(is_exhaustion) {
            print(panic);
        }
    }));
}

/// Whether a panic is a GPU allocator's: CUDA, Vulkan and CubeCL say it in one of these ways.
fn is_exhaustion(text: &str) -> bool {
    let text = text.to_lowercase().replace(['_', ' ', '-'], "");
    ["outofmemory", "outofdevicememory", "outofhostmemory", "can'tallocate", "cannotallocate"]
        .iter()
        .any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DatasetKind, defaults_for};

    #[test]
    fn out_of_memory_is_recognised_in_the_words_of_each_library() {
        for text in [
            "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")",
            "An out-of-memory error happened during launch",
            "Out of device memory",
        ] {
            assert!(is_exhaustion(text), "{text}");
        }
        assert!(!is_exhaustion("index out of bounds"));
        assert!(explained(&"index out of bounds", || 0).is_none());
        let error = explained(&String::from("CUDA_ERROR_OUT_OF_MEMORY"), || 0).unwrap();
        assert!(error.to_string().contains("out of memory") && error.exit_code() == 1, "{error}");
    }

    #[test]
    fn a_device_s_want_of_memory_becomes_advice_and_other_panics_stay() {
        let device = Device::flex();
        std::panic::set_hook(Box::new(|_| {}));
        let own = prepare(&defaults_for(DatasetKind::Synthetic), 19).unwrap();
        let error =
            guarded::<()>(&device, || panic!("CUDA_ERROR_OUT_OF_MEMORY: out of memory")).unwrap_err().to_string();
        assert!(error.contains(&human(own.peak())) && error.contains("--memory-budget"), "{error}");
        assert!(std::panic::catch_unwind(|| guarded::<()>(&device, || panic!("index out of bounds"))).is_err());
        assert_eq!(guarded(&device, || Ok(3)).unwrap(), 3);
        let _ = std::panic::take_hook();
    }
}
