//! `segeval --predictions DIR`.

use crate::{Args, write};
use infoseg::cli::{self, Pictures};
use infoseg::config::{DatasetKind, defaults_for};
use infoseg::eval::{Scored, TestTime, score_predictions};
use infoseg::{Error, Result};
use std::path::Path;
use std::process::ExitCode;

/// Scores label ids that are predicted already.
pub fn of_predictions(args: &Args, predictions: &Path) -> Result<ExitCode> {
    if let Some(dataset) = args.data.dataset
        && dataset.classes().is_some()
    {
        return Err(Error::usage(format!(
            "--predictions are label ids of pixels; {} has a class for each picture",
            dataset.name()
        )));
    }
    if args.data.dataset == Some(DatasetKind::Synthetic) {
        return Err(Error::usage(
            "--dataset synthetic has no label files to compare --predictions with; write some with `segdata synth`, and \
             set `--dataset cityscapes --data-root DIR`",
        ));
    }
    let root = args.data.data_root.as_ref().ok_or_else(|| {
        Error::usage(
            "--predictions are compared with the labels under --data-root DIR: the folder that holds gtFine/, or with \
             --dataset folder the one of images and masks",
        )
    })?;
    let mut config = defaults_for(args.data.dataset.unwrap_or(DatasetKind::Cityscapes)).data;
    config.root.clone_from(root);
    config.classes = args.data.classes.clone().unwrap_or_default();
    let split = args.split.as_deref().unwrap_or("val");
    let progress = Pictures::new("segeval", 0);
    let scored = score_predictions(predictions, &config, split, |pictures| progress.one_more(pictures, ""));
    progress.finish();
    let scored = scored?;
    let out = args.out.clone().unwrap_or_else(|| predictions.join(format!("eval-{split}")));
    let of = Scored::new(&config, split, scored.evaluation.classes(), &TestTime::default(), None);
    let code = write(&scored.evaluation, 0, &out, of, &[])?;
    if let Some(remark) = scored.remark {
        cli::say(format_args!("segeval: {remark}"));
    }
    Ok(code)
}
