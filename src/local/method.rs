//! Local learning methods: what each gives a local module to learn from. A new method is a variant here and an arm of
//! [`Method::traits`]; cut, cost, heads and module ask this file, and none of them reads the variants.

use super::config::{LocalConfig, LocalHeadKind, TaskLoss};
use super::loss;
use serde::{Deserialize, Serialize};

/// Local learning method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// One module, one loss (K = 1).
    E2e,
    /// λ1 · reconstruction + λ2 · task.
    Infopro,
    /// Task term only (λ1 = 0), convolutional head.
    Dgl,
    /// Task term only (λ1 = 0), linear head.
    Greedy,
}

/// What tells a method from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits {
    /// Name in reports and plots.
    pub title: &'static str,
    /// Whether there is one module, trained with the network's own loss.
    pub is_end_to_end: bool,
    /// Whether local modules reconstruct the image: the term λ1·R.
    pub reconstructs: bool,
    /// Whether local heads are a linear layer, whatever `local.head` says.
    pub has_linear_head: bool,
    /// T where the configuration names none; `None` leaves it to the dataset's default.
    pub default_task_loss: Option<TaskLoss>,
}

impl Method {
    /// See `Traits`.
    pub const fn traits(self) -> Traits {
        let task_term_only = Traits {
            title: "",
            is_end_to_end: false,
            reconstructs: false,
            has_linear_head: false,
            default_task_loss: Some(TaskLoss::Softmax),
        };
        match self {
            Self::E2e => Traits { title: "end-to-end", is_end_to_end: true, default_task_loss: None, ..task_term_only },
            Self::Infopro => Traits { title: "InfoPro", reconstructs: true, default_task_loss: None, ..task_term_only },
            Self::Dgl => Traits { title: "DGL", ..task_term_only },
            Self::Greedy => Traits { title: "greedy", has_linear_head: true, ..task_term_only },
        }
    }
}

/// Task head of a local module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadKind {
    /// 3×3 convolution, BatchNorm, ReLU, 1×1 convolution.
    Conv,
    /// 1×1 convolution.
    Linear,
    /// One vector for each image.
    Pooled(LocalHeadKind),
}

impl LocalConfig {
    /// λ1 of local module `index` (from 0); 0 where the method reconstructs nothing.
    pub fn recon_weight_of(&self, index: usize, num_modules: usize) -> f64 {
        match self.method.traits().reconstructs {
            true => loss::weight(self.recon_weight, index, num_modules),
            false => 0.0,
        }
    }

    /// λ2 of local module `index` (from 0).
    pub fn task_weight_of(&self, index: usize, num_modules: usize) -> f64 {
        loss::weight(self.task_weight, index, num_modules)
    }

    /// Whether any local module may reconstruct the image.
    pub fn may_reconstruct(&self) -> bool {
        self.method.traits().reconstructs && self.recon_weight != [0.0, 0.0]
    }

    /// Task head of every local module but the last.
    pub const fn head_kind(&self) -> HeadKind {
        let linear = self.method.traits().has_linear_head;
        match (self.head, linear) {
            (LocalHeadKind::Fcn, true) => HeadKind::Linear,
            (LocalHeadKind::Fcn, false) => HeadKind::Conv,
            (_, true) => HeadKind::Pooled(LocalHeadKind::C0F1),
            (kind, false) => HeadKind::Pooled(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults_for;
    use crate::data::config::DatasetKind;

    #[test]
    fn methods_differ_in_their_terms_and_heads() {
        let mut local = defaults_for(DatasetKind::Synthetic).local;
        local.recon_weight = [2.0, 4.0];
        let of = |method: Method, local: &LocalConfig| {
            let local = LocalConfig { method, ..local.clone() };
            (local.recon_weight_of(0, 4), local.task_weight_of(0, 4), local.head_kind())
        };
        assert_eq!(of(Method::Infopro, &local), (2.0, 1.0, HeadKind::Conv));
        assert_eq!(of(Method::Dgl, &local), (0.0, 1.0, HeadKind::Conv));
        assert_eq!(of(Method::Greedy, &local), (0.0, 1.0, HeadKind::Linear));
        local.head = LocalHeadKind::C1F2;
        assert_eq!(of(Method::Infopro, &local).2, HeadKind::Pooled(LocalHeadKind::C1F2));
        assert_eq!(of(Method::Greedy, &local).2, HeadKind::Pooled(LocalHeadKind::C0F1));
    }
}
