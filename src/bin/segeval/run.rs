//! `segeval RUN`.

use crate::{Args, Named, Opened, pin_device, print_page, write};
use infoseg::cli::{self, Pictures};
use infoseg::data::classes::augment::ClassAugment;
use infoseg::eval::{ClassificationMetric, Metric, Predictor, Protocol, SegmentationMetric, TestTime, evaluate};
use infoseg::files::make_writable_folder;
use infoseg::page::{self, About};
use infoseg::render::{overlays::Overlays, written};
use infoseg::task::TaskKind;
use infoseg::{Error, Result};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

pub fn of_run(args: &Args, run: &Path) -> Result<ExitCode> {
    pin_device(args, run)?;
    let test_time = args.test_time.test_time()?;
    let protocols = match args.protocol {
        Some(Named::Paper) => Protocol::paper(test_time.slide),
        None => Protocol::only(test_time),
    };
    let opened = Opened::new(args, run)?;
    if !opened.pictures.task().is_dense()
        && (args.protocol.is_some() || !protocols.iter().all(|p| p.test_time.is_plain()))
    {
        return Err(Error::usage(
            "--scales, --flip, --slide and --protocol average scores of pixels; this run classifies pictures, which are seen once",
        ));
    }
    let predictor = opened.predictor()?;
    let out = args.out.clone().unwrap_or_else(|| {
        let protocol = if args.protocol.is_some() { "-paper".into() } else { protocols[0].test_time.slug() };
        run.join(format!("eval-{}{protocol}", opened.split))
    });
    if same_folder(&out, run) {
        return Err(Error::usage(format!(
            "--out {}: is the run's own folder, whose report and plots would be lost; name another",
            out.display()
        )));
    }
    // Before the work, not after it.
    make_writable_folder(&out)?;
    let about = || opened.about(run, protocols[0].test_time.in_words());
    match opened.pictures.task() {
        TaskKind::Segmentation => of_segmentation(args, &opened, &predictor, &protocols, &out, about),
        TaskKind::Classification => of_classification(args, &opened, &predictor, &out, about),
    }
}

/// Scores a run that says a class of each image.
fn of_classification(
    args: &Args,
    opened: &Opened,
    predictor: &Predictor,
    out: &Path,
    about: impl FnOnce() -> Result<About>,
) -> Result<ExitCode> {
    let (config, classes) = (&opened.config, &*opened.pictures);
    let normalization = config.data.dataset.normalization();
    let augment = ClassAugment::of(&config.augment, config.train.resolution, normalization);
    let progress = Pictures::new("segeval", classes.len());
    let mut done = 0;
    let on_sheet = args.overlays.unwrap_or(36);
    let on_page = if args.report.is_some() { args.report_pictures } else { 0 };
    let mut metric = ClassificationMetric::new(predictor, classes, augment, on_sheet.max(on_page));
    let whole = evaluate(&mut metric, classes, |metric| {
        (done..metric.images()).for_each(|_| progress.one_more(classes.len(), &metric.so_far()));
        done = metric.images();
        ControlFlow::Continue(())
    });
    progress.finish();
    whole?;
    let counted = metric.counted;
    let written = written::write_classification(&counted, out, opened.scored(&TestTime::default()), on_sheet)?;
    cli::print(format_args!("{}\n", counted.report()))?;
    for path in written {
        cli::print(format_args!("{}\n", path.display()))?;
    }
    match &args.report {
        Some(folder) => print_page(&page::classification_page(folder, &about()?, &counted, on_page)?),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Scores a run that says a class of each pixel.
fn of_segmentation(
    args: &Args,
    opened: &Opened,
    predictor: &Predictor,
    protocols: &[Protocol],
    out: &Path,
    about: impl FnOnce() -> Result<About>,
) -> Result<ExitCode> {
    let source = &*opened.pictures;
    let progress = Pictures::new("segeval", source.len());
    let mut drawn = Overlays::new(out, args.overlays.unwrap_or(8), source.len())?;
    let draw = Box::new(|example: &_, pred: &_| drawn.add(source.classes(), example, pred));
    let mut metric =
        SegmentationMetric::new(predictor, source, protocols.to_vec()).with_instances().on_prediction(draw);
    let whole = evaluate(&mut metric, source, |metric| {
        progress.one_more(source.len(), &metric.so_far());
        ControlFlow::Continue(())
    });
    progress.finish();
    whole?;
    let evaluations = std::mem::take(&mut metric.evaluations);
    drop(metric);
    let overlays = drawn.publish()?;
    let mious: Vec<(&str, f64)> = match protocols {
        [_] => Vec::new(),
        several => several.iter().zip(&evaluations).map(|(p, e)| (p.name.as_str(), e.scores().miou)).collect(),
    };
    let scored = opened.scored(&protocols[0].test_time);
    let code = write(&evaluations[0], overlays, out, scored, &mious)?;
    let Some(folder) = &args.report else { return Ok(code) };
    let shown = page::gallery(predictor, source, &protocols[0].test_time, &evaluations[0], args.report_pictures)?;
    print_page(&page::segmentation_page(folder, &about()?, &evaluations[0], &mious, &shown)?)
}

fn same_folder(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
