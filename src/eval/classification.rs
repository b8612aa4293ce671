//! Scores of a network that says one class of each image, and the images it is most sure and wrong about.

use crate::{Error, Result};
use ndarray::{Array2, Array3};
use std::cmp::Ordering;
use std::collections::HashSet;

/// How many of the best classes are looked at: the 5 of "top-5 error".
pub const TOP: usize = 5;

/// What a network says of one image, beside the truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Name of the image.
    pub name: String,
    /// Its true class.
    pub truth: u16,
    /// Up to `TOP` classes, best first; of equal scores the lower class comes first.
    pub top: Vec<u16>,
    /// Softmax probability of the best class, in 0..=1.
    pub confidence: f32,
}

impl Verdict {
    /// The best classes of these scores. A score that is NaN is below every other.
    ///
    /// # Shapes
    /// `scores`: logits `[classes]`; what is beyond 65536 classes is not looked at.
    pub fn new(name: impl Into<String>, truth: u16, scores: &[f32]) -> Self {
        let order = |score: f32| if score.is_nan() { f32::NEG_INFINITY } else { score };
        let mut top: Vec<u16> = Vec::with_capacity(TOP + 1);
        for (class, score) in (0..=u16::MAX).zip(scores) {
            let place = top.partition_point(|better| order(scores[usize::from(*better)]) >= order(*score));
            if place < TOP {
                top.insert(place, class);
                top.truncate(TOP);
            }
        }
        let best = top.first().map_or(f32::NEG_INFINITY, |class| order(scores[usize::from(*class)]));
        // exp of the distance to the best cannot overflow. What equals it counts 1, so that infinities have no difference.
        let sum: f64 = scores
            .iter()
            .map(|score| if order(*score) == best { 1.0 } else { f64::from(order(*score) - best).exp() })
            .sum();
        let confidence = if best == f32::NEG_INFINITY { 0.0 } else { (1.0 / sum) as f32 };
        Self { name: name.into(), truth, top, confidence }
    }

    /// The more confident first; names decide between equals, so that the order of the images does not matter.
    fn more_confident(&self, other: &Self) -> Ordering {
        let key = |verdict: &Self| if verdict.confidence.is_nan() { 0.0 } else { verdict.confidence };
        key(other)
            .total_cmp(&key(self))
            .then_with(|| self.name.cmp(&other.name))
            .then_with(|| (self.truth, &self.top).cmp(&(other.truth, &other.top)))
    }
}

/// Counts of verdicts over any number of images, and the most confident mistakes among them.
#[derive(Debug, Clone)]
pub struct Classification {
    class_names: Vec<String>,
    confusion: Array2<u64>, // [truth, prediction]
    top5_hits: u64,
    keep_mistakes: usize,
    mistakes: Vec<(Verdict, Array3<u8>)>, // the most confident first
}

impl Classification {
    /// No image counted yet; images of the `keep_mistakes` most confident mistakes will be kept.
    ///
    /// A name that occurs again (ImageNet has two cranes) gets its class number added.
    pub fn new(class_names: &[String], keep_mistakes: usize) -> Self {
        let classes = class_names.len();
        Self {
            class_names: distinct(class_names),
            confusion: Array2::zeros((classes, classes)),
            top5_hits: 0,
            keep_mistakes,
            mistakes: Vec::new(),
        }
    }

    /// Counts one image. Its `view`, RGB `[height, width, 3]`, is asked for only if it is, so far, among the most confident
    /// mistakes.
    ///
    /// # Errors
    /// The truth or the prediction is none of the classes; the view cannot be had or is no RGB image.
    pub fn add(&mut self, verdict: Verdict, view: impl FnOnce() -> Result<Array3<u8>>) -> Result<()> {
        let classes = self.class_names.len();
        let class = |class: u16, what: &str| {
            (usize::from(class) < classes)
                .then_some(usize::from(class))
                .ok_or_else(|| Error::run(format!("{}: {what} {class} is none of the {classes} classes", verdict.name)))
        };
        let truth = class(verdict.truth, "the label")?;
        let Some(&best) = verdict.top.first() else {
            return Err(Error::run(format!("{}: there is no prediction", verdict.name)));
        };
        let predicted = class(best, "the predicted class")?;
        if truth != predicted {
            let place = self.mistakes.partition_point(|(kept, _)| kept.more_confident(&verdict).is_lt());
            if place < self.keep_mistakes {
                let picture = view()?;
                if !matches!(picture.dim(), (1.., 1.., 3)) {
                    let shape = picture.shape();
                    return Err(Error::run(format!("{}: a picture of shape {shape:?} is not RGB", verdict.name)));
                }
                self.mistakes.insert(place, (verdict.clone(), picture));
                self.mistakes.truncate(self.keep_mistakes);
            }
        }
        self.confusion[[truth, predicted]] += 1;
        self.top5_hits += u64::from(verdict.top.iter().take(TOP).any(|class| *class == verdict.truth));
        Ok(())
    }

    /// Images counted.
    pub fn images(&self) -> usize {
        self.confusion.sum() as usize
    }

    /// Share of images whose best class is wrong, in 0..=1; NaN when nothing is counted.
    pub fn top1_error(&self) -> f64 {
        self.error(self.confusion.diag().sum())
    }

    /// Share of images whose true class is not among the five best, in 0..=1; NaN when nothing is counted. With five or
    /// fewer classes it is always 0.
    pub fn top5_error(&self) -> f64 {
        self.error(self.top5_hits)
    }

    fn error(&self, hits: u64) -> f64 {
        let images = self.confusion.sum();
        (images - hits) as f64 / images as f64
    }

    /// Share of each class's images that are recognised; `None` where the class has no image.
    pub fn per_class_accuracy(&self) -> Vec<Option<f64>> {
        let rows = self.confusion.outer_iter().zip(self.confusion.diag());
        rows.map(|(row, hits)| (row.sum() > 0).then(|| *hits as f64 / row.sum() as f64)).collect()
    }

    /// Names of the classes, no two the same.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// Images by their true and predicted class, `[truth, prediction]`.
    pub fn confusion(&self) -> &Array2<u64> {
        &self.confusion
    }

    /// The most confident mistakes, most confident first.
    pub fn mistakes(&self) -> impl Iterator<Item = &Verdict> {
        self.mistakes.iter().map(|(verdict, _)| verdict)
    }

    /// Like [`Self::mistakes`], with their images: RGB `[height, width, 3]`.
    pub fn mistake_pictures(&self) -> impl Iterator<Item = &(Verdict, Array3<u8>)> {
        self.mistakes.iter()
    }
}

/// The same names; one that occurred before gets its class number added, and a mark more where that is a name, too.
fn distinct(names: &[String]) -> Vec<String> {
    let (mut taken, mut seen): (HashSet<String>, _) = (names.iter().cloned().collect(), HashSet::new());
    let mut distinct = Vec::with_capacity(names.len());
    for (class, name) in names.iter().enumerate() {
        let mut name = name.clone();
        if !seen.insert(name.clone()) {
            name = format!("{name} ({class})");
            while !taken.insert(name.clone()) {
                name.push('\'');
            }
        }
        distinct.push(name);
    }
    distinct
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn names(classes: usize) -> Vec<String> {
        (0..classes).map(|class| format!("class {class}")).collect()
    }

    pub(crate) fn verdict(name: &str, truth: u16, predicted: u16, confidence: f32) -> Verdict {
        Verdict { name: name.into(), truth, top: vec![predicted], confidence }
    }

    pub(crate) fn grey() -> Result<Array3<u8>> {
        Ok(Array3::from_elem((4, 4, 3), 90))
    }

    #[test]
    fn the_five_best_come_in_order_and_the_lower_class_first_among_equals() {
        let verdict = Verdict::new("a", 3, &[0.0, 2.0, 1.0, 2.0, -1.0, 0.0, 0.5]);
        assert_eq!(verdict.top, [1, 3, 2, 6, 0]);
        assert_eq!(Verdict::new("a", 0, &[1.0, 1.0]).top, [0, 1]);
    }

    #[test]
    fn confidence_is_the_softmax_of_the_best_class() {
        let confidence = |scores: &[f32]| Verdict::new("a", 0, scores).confidence;
        assert_eq!(confidence(&[0.0, 0.0, 0.0, 0.0]), 0.25);
        assert!((confidence(&[3.0_f32.ln(), 0.0]) - 0.75).abs() < 1e-6, "3 / (3 + 1)");
        assert_eq!(confidence(&[1e30, -1e30]), 1.0, "no overflow");
        assert!((confidence(&[-1e30, -1e30]) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn scores_that_are_no_numbers_do_no_harm() {
        let nan = f32::NAN;
        let broken = Verdict::new("a", 0, &[nan, 1.0, nan]);
        assert_eq!((broken.top.as_slice(), broken.confidence), ([1, 0, 2].as_slice(), 1.0));
        assert_eq!(Verdict::new("a", 0, &[nan, nan]).confidence, 0.0);
        assert_eq!(Verdict::new("a", 0, &[f32::INFINITY, 0.0, f32::INFINITY]).confidence, 0.5);
        assert_eq!(Verdict::new("a", 0, &[f32::NEG_INFINITY; 2]).confidence, 0.0);
        let empty = Verdict::new("a", 0, &[]);
        let error = Classification::new(&names(2), 1).add(empty, grey).unwrap_err();
        assert_eq!(error.to_string(), "a: there is no prediction");
    }

    #[test]
    fn errors_are_counted_as_by_hand() {
        let mut all = Classification::new(&names(7), 0);
        // Class 0 is best, then 1, 2, 3, 4; 5 and 6 are not among the five.
        let scores = [7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
        for truth in [0, 0, 1, 4, 5] {
            all.add(Verdict::new("a", truth, &scores), grey).unwrap();
        }
        assert_eq!((all.images(), all.top1_error(), all.top5_error()), (5, 0.6, 0.2));
        let hits = all.per_class_accuracy();
        assert_eq!(hits, [Some(1.0), Some(0.0), None, None, Some(0.0), Some(0.0), None]);
        assert_eq!(all.confusion()[[4, 0]], 1, "rows are the truth");
        let none = Classification::new(&names(2), 0);
        assert!(none.top1_error().is_nan() && none.top5_error().is_nan());
    }

    #[test]
    fn the_most_confident_mistakes_are_kept_whatever_the_order() {
        let verdicts = [
            verdict("right", 0, 0, 1.0),
            verdict("c", 0, 1, 0.5),
            verdict("b", 0, 1, 0.9),
            verdict("a", 1, 0, 0.9),
            verdict("d", 0, 1, 0.4),
            verdict("e", 0, 1, f32::NAN),
        ];
        for shift in 0..verdicts.len() {
            let mut all = Classification::new(&names(2), 3);
            for index in 0..verdicts.len() {
                all.add(verdicts[(index + shift) % verdicts.len()].clone(), grey).unwrap();
            }
            assert_eq!(all.mistakes().map(|kept| kept.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        }
    }

    #[test]
    fn views_are_asked_for_only_of_what_is_kept() {
        let mut all = Classification::new(&names(2), 1);
        let never = || -> Result<Array3<u8>> { panic!("not to be looked at") };
        all.add(verdict("right", 1, 1, 1.0), never).unwrap();
        all.add(verdict("a", 0, 1, 0.9), grey).unwrap();
        all.add(verdict("b", 0, 1, 0.8), never).unwrap();
        assert_eq!(all.images(), 3);
        let flat = || Ok(Array3::zeros((4, 4, 1)));
        let error = all.add(verdict("c", 0, 1, 1.0), flat).unwrap_err().to_string();
        assert_eq!(error, "c: a picture of shape [4, 4, 1] is not RGB");
        assert_eq!(all.images(), 3, "what fails is not counted");
    }

    #[test]
    fn a_class_that_is_none_is_named() {
        let mut all = Classification::new(&names(2), 1);
        let error = all.add(verdict("a", 2, 0, 1.0), grey).unwrap_err().to_string();
        assert_eq!(error, "a: the label 2 is none of the 2 classes");
        let error = all.add(verdict("a", 0, 7, 1.0), grey).unwrap_err().to_string();
        assert_eq!(error, "a: the predicted class 7 is none of the 2 classes");
    }

    #[test]
    fn names_that_occur_twice_are_told_apart() {
        let twice = ["crane", "cat", "crane", "crane (2)"].map(String::from);
        assert_eq!(Classification::new(&twice, 0).class_names(), ["crane", "cat", "crane (2)'", "crane (2)"]);
    }
}
