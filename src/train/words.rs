//! What a run says of itself before it begins, and of what is left of it when it ends early.

use super::checkpoint;
use super::lr::learning_rate;
use crate::Result;
use crate::config::{RunConfig, ScheduleKind};
use crate::data::Dataset;
use crate::local::LocalNetwork;
use crate::messages::say;
use crate::text::counted;
use std::collections::HashMap;
use std::path::Path;

/// What there is of a run to go on from, as a clause.
pub fn left_of(run: &Path) -> String {
    match checkpoint::last(run) {
        Ok(last) => format!(
            "the checkpoint of step {} is intact, go on from it with `segtrain --resume {}`",
            last.state.step,
            run.display()
        ),
        Err(_) => "no checkpoint had been saved yet".into(),
    }
}

/// Says so where the learning rate goes on from another place of its schedule than the run had come to: its length is one
/// of the things it depends on.
pub(super) fn tell_new_schedule(config: &RunConfig, step: usize) {
    let Ok(before) = RunConfig::of_run(&config.train.out) else { return };
    if config.train.schedule == ScheduleKind::Staged {
        return; // the schedule is each module's own
    }
    let was = learning_rate(&before.optim, step.min(before.train.steps), before.train.steps);
    let is = learning_rate(&config.optim, step, config.train.steps);
    let (was, is) = (format!("{was:.2e}"), format!("{is:.2e}"));
    if was != is && step < config.train.steps {
        let cause = match before.optim == config.optim {
            true => format!("its schedule is now that of {}", counted(config.train.steps, "step")),
            false => "the [optim] settings have changed".into(),
        };
        say(format_args!("the learning rate goes on at {is}, not {was}: {cause}"));
    }
}

/// Warns where the first images of a split have no labelled pixel: nothing would be learned from them, or scored.
///
/// # Errors
/// An image or a label cannot be read.
pub(super) fn tell_unlabelled(dataset: &dyn Dataset, split: &str) -> Result<()> {
    /// Labels looked at: those that are labelled end the search, usually the first.
    const LOOKED_AT: usize = 16;
    let count = dataset.len().min(LOOKED_AT);
    for index in 0..count {
        if dataset.example(index)?.label.iter().any(|class| usize::from(*class) < dataset.classes().len()) {
            return Ok(());
        }
    }
    say(format_args!(
        "split {split}: no labelled pixel in the first {}: all ids are ignored in the class set {}; nothing is learned from \
         such images. Name the set of your data with --classes, and see `segdata check`",
        counted(count, "image"),
        dataset.classes().name
    ));
    Ok(())
}

/// Warns where images that are scored are trained on as well.
pub(super) fn tell_same_images(train: &dyn Dataset, val: &dyn Dataset) -> Result<()> {
    let shared = shared_images(train, val)?;
    if shared > 0 {
        say(format_args!(
            "{shared} of {} for validation are trained on as well: their scores say nothing about other images; put them into \
             a folder or a list of one split alone",
            counted(val.len(), "image")
        ));
    }
    Ok(())
}

/// Number of images of `val` that are in `train`, by their names and a look at some of them.
fn shared_images(train: &dyn Dataset, val: &dyn Dataset) -> Result<usize> {
    let places: HashMap<String, usize> = (0..train.len()).map(|index| (train.name(index), index)).collect();
    let pairs: Vec<(usize, usize)> =
        (0..val.len()).filter_map(|index| Some((*places.get(&val.name(index))?, index))).collect();
    // Names leave out the split: images/train/1.png and images/val/1.png are two images.
    let (Some(first), Some(last)) = (pairs.first(), pairs.last()) else { return Ok(0) };
    for &(one, other) in [first, last] {
        if train.example(one)?.image != val.example(other)?.image {
            return Ok(0);
        }
    }
    Ok(pairs.len())
}

/// Says on stderr what is about to be trained.
pub(super) fn describe(
    config: &RunConfig,
    network: &LocalNetwork,
    train: &dyn Dataset,
    val: &dyn Dataset,
    folder: &Path,
) {
    let train_config = &config.train;
    say(format_args!(
        "training on {}, scoring on {}; {} {}, batch {}{}, {}; run folder {}",
        counted(train.len(), "picture"),
        val.len(),
        if config.data.dataset.task().is_dense() { "crop" } else { "size" },
        train_config.resolution,
        train_config.batch_size,
        match config.parallel.replicas {
            1 => String::new(),
            number => format!(" on each of {number} replicas"),
        },
        counted(train_config.steps, "step"),
        folder.display()
    ));
    if train.task().is_dense() {
        say(format_args!("classes: {}", train.classes().describe()));
    }
    for module in &network.modules {
        let (first, last) = (&module.block_names[0], &module.block_names[module.block_names.len() - 1]);
        let blocks = if first == last { first.clone() } else { format!("{first} … {last}") };
        let on = match config.parallel.devices.as_slice() {
            [_, _, ..] if config.parallel.replicas == 1 => {
                format!(" on {}", config.parallel.devices[module.device_number])
            }
            _ => String::new(),
        };
        say(format_args!("local module {} of {}: {blocks}{on}", module.index + 1, network.modules.len()));
    }
    let has_aux_head = network.modules.last().is_some_and(|module| module.has_aux_head());
    let segments = config.data.dataset.task().is_dense();
    if segments && config.model.aux_weight > 0.0 && !has_aux_head {
        say("without the auxiliary head: layer3 ends before the last module, in one that has a head of its own");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Result;
    use crate::data::Example;
    use crate::task::{ClassSet, TaskKind};
    use ndarray::{Array2, Array3};
    use std::sync::Arc;

    /// Images of one pixel: name and shade.
    #[derive(Debug)]
    struct Shades(Arc<ClassSet>, Vec<(&'static str, u8)>);

    impl Dataset for Shades {
        fn task(&self) -> TaskKind {
            TaskKind::Segmentation
        }

        fn classes(&self) -> &Arc<ClassSet> {
            &self.0
        }

        fn len(&self) -> usize {
            self.1.len()
        }

        fn name(&self, index: usize) -> String {
            self.1[index].0.into()
        }

        fn example(&self, index: usize) -> Result<Example> {
            let image = Array3::from_elem((1, 1, 3), self.1[index].1);
            Ok(Example { name: self.name(index), image, label: Array2::zeros((1, 1)) })
        }
    }

    #[test]
    fn images_of_both_splits_are_counted_and_equal_names_alone_are_not() {
        let shades = |images: &[(&'static str, u8)]| Shades(ClassSet::cityscapes(), images.to_vec());
        let train = shades(&[("a", 1), ("b", 2), ("c", 3)]);
        let shared = |images: &[(&'static str, u8)]| shared_images(&train, &shades(images)).unwrap();
        assert_eq!(shared(&[("d", 1), ("b", 2), ("c", 3)]), 2);
        assert_eq!(shared(&[("a", 1), ("b", 2), ("c", 3)]), 3);
        assert_eq!(shared(&[("a", 7), ("b", 8)]), 0, "other images of the same names");
        assert_eq!(shared(&[("d", 1)]), 0);
    }
}
