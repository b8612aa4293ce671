//! `segeval --compare RUN RUN… --report DIR`.

use crate::{Args, Opened, pin_device, print_page};
use infoseg::cli::{self, Pictures};
use infoseg::data::Dataset;
use infoseg::eval::{ComparisonMetric, Predictor, compare::check_same_data, evaluate};
use infoseg::page::{self, About};
use infoseg::{Error, Result};
use std::ops::ControlFlow;
use std::process::ExitCode;

/// Several runs side by side.
pub fn of_comparison(args: &Args) -> Result<ExitCode> {
    let [first, _, ..] = &args.compare[..] else {
        return Err(Error::usage(format!(
            "--compare {}: is one run; name two or more, or score it by itself (segeval RUN)",
            args.compare[0].display()
        )));
    };
    pin_device(args, first)?;
    let test_time = args.test_time.test_time()?;
    let mut runs: Vec<(Predictor, About)> = Vec::new();
    let mut pictures: Option<Box<dyn Dataset>> = None;
    for run in &args.compare {
        let opened = Opened::new(args, run)?;
        let (predictor, about) = (opened.predictor()?, opened.about(run, test_time.in_words())?);
        if !opened.pictures.task().is_dense() {
            return Err(Error::usage(format!(
                "--compare {}: classifies whole pictures; runs that say a class of each pixel can be compared",
                run.display()
            )));
        }
        match &pictures {
            Some(others) => check_same_data(first, &**others, run, &*opened.pictures)?,
            None => pictures = Some(opened.pictures),
        }
        runs.push((predictor, about));
    }
    let (Some(source), Some(folder)) = (pictures, &args.report) else {
        return Err(Error::usage("--compare needs runs, and --report DIR for its page"));
    };
    let (predictors, abouts): (Vec<Predictor>, Vec<About>) = runs.into_iter().unzip();
    let progress = Pictures::new("segeval", source.len());
    let mut metric = ComparisonMetric::new(&predictors, &*source, &test_time);
    let compared = evaluate(&mut metric, &*source, |_| {
        progress.one_more(source.len(), "");
        ControlFlow::Continue(())
    });
    progress.finish();
    compared?;
    let compared = metric.finish()?;
    let shown = page::differences(&compared, &predictors, &*source, &test_time, args.report_pictures)?;
    let path = page::comparison_page(folder, &abouts, &compared, &shown)?;
    for (about, evaluation) in abouts.iter().zip(&compared.evaluations) {
        let (scores, name) = (evaluation.scores(), &about.name);
        cli::print(format_args!(
            "mIoU {:>6.2}  mIoU (present) {:>6.2}  pixel accuracy {:>6.2}  {name}\n",
            100.0 * scores.miou,
            100.0 * scores.miou_present,
            100.0 * scores.pixel_accuracy
        ))?;
    }
    print_page(&path)
}
