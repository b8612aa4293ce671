//! The learning rate as a pure function of the step.

use crate::config::{LrScheduleKind, OptimConfig};
use std::f64::consts::PI;

/// Learning rate of step `step` (from 0) of `total_steps`.
///
/// Poly as mmsegmentation's: `(lr − min_lr)·(1 − step/total)^power + min_lr`. Warm-up multiplies it by
/// `(step + 1)/warmup_steps` until that reaches 1: step by step from 0, where the paper's code for CIFAR goes epoch by epoch
/// from 0.01.
pub fn learning_rate(config: &OptimConfig, step: usize, total_steps: usize) -> f64 {
    let progress = step as f64 / total_steps.max(1) as f64;
    let span = config.lr - config.min_lr;
    let lr = match config.schedule {
        LrScheduleKind::Poly => span * (1.0 - progress).powf(config.power) + config.min_lr,
        LrScheduleKind::Cosine => span * (1.0 + (PI * progress).cos()) / 2.0 + config.min_lr,
        LrScheduleKind::Constant => config.lr,
        LrScheduleKind::Step => {
            let passed = config.milestones.iter().filter(|&&share| progress >= share).count();
            (config.lr * config.gamma.powi(passed as i32)).max(config.min_lr)
        }
    };
    if step < config.warmup_steps { lr * (step + 1) as f64 / config.warmup_steps as f64 } else { lr }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(schedule: LrScheduleKind, warmup_steps: usize) -> OptimConfig {
        let milestones = vec![0.5, 0.75];
        OptimConfig {
            lr: 0.01,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 5e-4,
            schedule,
            power: 0.9,
            min_lr: 1e-4,
            warmup_steps,
            milestones,
            gamma: 0.1,
        }
    }

    #[test]
    fn poly_runs_from_lr_to_min_lr() {
        let poly = config(LrScheduleKind::Poly, 0);
        assert_eq!(learning_rate(&poly, 0, 100), 0.01);
        let half = 0.0099 * 0.5f64.powf(0.9) + 1e-4;
        assert!((learning_rate(&poly, 50, 100) - half).abs() < 1e-12);
        assert!((learning_rate(&poly, 100, 100) - 1e-4).abs() < 1e-12);
    }

    #[test]
    fn steps_fall_at_their_milestones() {
        let step = config(LrScheduleKind::Step, 0);
        let rates = [0, 79, 80, 119, 120, 159].map(|epoch| learning_rate(&step, epoch, 160));
        for (rate, expected) in rates.into_iter().zip([1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4]) {
            assert!((rate - expected).abs() < 1e-12, "{rates:?}");
        }
        let floored = OptimConfig { min_lr: 5e-4, ..step };
        assert_eq!(learning_rate(&floored, 159, 160), 5e-4);
    }

    #[test]
    fn cosine_is_half_way_at_half_time_and_warm_up_is_linear() {
        assert!((learning_rate(&config(LrScheduleKind::Cosine, 0), 50, 100) - 0.00505).abs() < 1e-12);
        let warm = config(LrScheduleKind::Constant, 4);
        let rates: Vec<f64> = (0..6).map(|step| learning_rate(&warm, step, 100)).collect();
        assert_eq!(rates, [0.0025, 0.005, 0.0075, 0.01, 0.01, 0.01]);
    }
}
