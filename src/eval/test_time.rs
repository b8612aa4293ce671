//! Test-time augmentation: one image at several scales, mirrored, whole or in sliding windows, and the average of what
//! the network says of each, as mmsegmentation takes it.
//!
//! mmsegmentation resizes the scores of every version to the image and sums up their softmax: 19 full-size planes a
//! version. Here the scores stay at the network's own resolution, and every row of the average is made on its own out of
//! all of them, so that twelve versions of a 1024×2048 image cost some 43 MB instead of gigabytes.

use crate::ops::Resize;
use crate::size::Resolution;
use crate::{Error, Result};
use rayon::prelude::*;

/// The versions of an image that are predicted and averaged.
#[derive(Debug, Clone, PartialEq)]
pub struct TestTime {
    /// Sizes relative to the image's own.
    pub scales: Vec<f64>,
    /// Each also mirrored left to right.
    pub flip: bool,
    /// In windows of one size; without, each version as a whole.
    pub slide: Option<Slide>,
}

/// A way to predict that has a name in a table of results.
#[derive(Debug, Clone, PartialEq)]
pub struct Protocol {
    /// Such as `MS+flip`.
    pub name: String,
    /// What is averaged.
    pub test_time: TestTime,
}

impl Protocol {
    /// One way, of no particular name.
    pub fn only(test_time: TestTime) -> Vec<Self> {
        vec![Self { name: String::new(), test_time }]
    }

    /// The columns of the paper's table: single scale, multi-scale, multi-scale and mirrored; whole images, or sliding
    /// windows where they are given.
    pub fn paper(slide: Option<Slide>) -> Vec<Self> {
        let all = TestTime { slide, ..TestTime::paper() };
        [("SS", vec![1.0], false), ("MS", all.scales.clone(), false), ("MS+flip", all.scales, true)]
            .map(|(name, scales, flip)| Self { name: name.into(), test_time: TestTime { scales, flip, slide } })
            .into()
    }
}

// Not a doc comment: clap would print it in place of the program's own description.
#[allow(missing_docs)]
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TestTimeArgs {
    /// Predict the image at these sizes relative to its own, such as 0.5,0.75,1,1.25,1.5,1.75, and average the
    /// probabilities
    #[arg(long, value_name = "SCALE", value_delimiter = ',')]
    pub scales: Vec<f64>,

    /// Each also mirrored left to right
    #[arg(long)]
    pub flip: bool,

    /// In windows of this size instead of whole, such as 769x769
    #[arg(long, value_name = "HxW")]
    pub slide: Option<Resolution>,

    /// Steps between windows [default: two thirds of the window]
    #[arg(long, value_name = "HxW", requires = "slide")]
    pub stride: Option<Resolution>,
}

impl TestTimeArgs {
    /// What these flags ask for.
    ///
    /// # Errors
    /// See [`TestTime::check`].
    pub fn test_time(&self) -> Result<TestTime> {
        let slide = self.slide.map(|window| {
            let two_thirds = |side: usize| ((2 * side + 1) / 3).max(1); // 513 of 769, as mmsegmentation
            let default = Resolution { height: two_thirds(window.height), width: two_thirds(window.width) };
            Slide { window, stride: self.stride.unwrap_or(default) }
        });
        let scales = if self.scales.is_empty() { vec![1.0] } else { self.scales.clone() };
        let test_time = TestTime { scales, flip: self.flip, slide };
        test_time.check()?;
        Ok(test_time)
    }
}

/// Sliding windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slide {
    /// Size of a window.
    pub window: Resolution,
    /// Steps from one to the next; the last stands at the image's edge.
    pub stride: Resolution,
}

impl Default for TestTime {
    /// The image as it is.
    fn default() -> Self {
        Self { scales: vec![1.0], flip: false, slide: None }
    }
}

impl TestTime {
    /// The paper's, at its widest: six scales and mirroring.
    pub fn paper() -> Self {
        Self { scales: vec![0.5, 0.75, 1.0, 1.25, 1.5, 1.75], flip: true, slide: None }
    }

    /// # Errors
    /// A scale that is no scale, a window without pixels, or a stride that would leave gaps.
    pub fn check(&self) -> Result<()> {
        let wrong = |scale: &&f64| !(scale.is_finite() && **scale >= 0.05 && **scale <= 8.0);
        if let Some(scale) = self.scales.iter().find(wrong) {
            return Err(Error::usage(format!("--scales {scale}: a scale must be between 0.05 and 8")));
        }
        if self.scales.is_empty() {
            return Err(Error::usage("--scales: give at least one, such as 1"));
        }
        if let Some(Slide { window, stride }) = self.slide {
            if window.height < 32 || window.width < 32 {
                return Err(Error::usage(format!("--slide {window}: a window must be at least 32x32")));
            }
            // The scores of all windows are kept: sixteen-fold cover is a bound to their memory.
            let fits = |window: usize, stride: usize| stride <= window && 4 * stride >= window;
            if !fits(window.height, stride.height) || !fits(window.width, stride.width) {
                return Err(Error::usage(format!(
                    "--stride {stride}: must be at most the window, {window}, or pixels are left out, and at least a \
                     quarter of it"
                )));
            }
        }
        Ok(())
    }

    /// Whether this averages a version.
    pub fn takes(&self, scale: f64, flipped: bool) -> bool {
        self.scales.contains(&scale) && (self.flip || !flipped)
    }

    /// For people, as `scales 0.5, 1, each also mirrored`; nothing of the image as it is.
    pub fn in_words(&self) -> Option<String> {
        if self.is_plain() {
            return None;
        }
        let scales: Vec<String> = self.scales.iter().map(f64::to_string).collect();
        let mut words = format!("scales {}", scales.join(", "));
        if self.flip {
            words += ", each also mirrored";
        }
        if let Some(Slide { window, stride }) = self.slide {
            words += &format!(", windows of {window} every {stride}");
        }
        Some(words)
    }

    /// End of a folder's name that tells these settings from others; empty where images are taken as they are.
    pub fn slug(&self) -> String {
        let mut slug = String::new();
        if self.scales != [1.0] {
            let scales: Vec<String> = self.scales.iter().map(ToString::to_string).collect();
            slug += &format!("-scales-{}", scales.join("-"));
        }
        if self.flip {
            slug += "-flip";
        }
        if let Some(Slide { window, stride }) = self.slide {
            slug += &format!("-slide-{window}-{stride}");
        }
        slug
    }

    /// Whether this is the image as it is.
    pub fn is_plain(&self) -> bool {
        self.scales == [1.0] && !self.flip && self.slide.is_none()
    }
}

/// Size of an image at a scale, as mmcv's `imrescale` rounds it for a factor.
pub fn scaled(size: [usize; 2], scale: f64) -> [usize; 2] {
    size.map(|side| ((side as f64 * scale + 0.5) as usize).max(1))
}

impl Slide {
    /// Top left corners and sizes `[top, left, height, width]` of the windows over an image, as mmsegmentation lays them.
    pub fn windows(&self, [height, width]: [usize; 2]) -> Vec<[usize; 4]> {
        let starts = |side: usize, window: usize, stride: usize| -> Vec<usize> {
            let count = side.saturating_sub(window).div_ceil(stride) + 1;
            (0..count).map(|i| (i * stride).min(side.saturating_sub(window))).collect()
        };
        let (window, stride) = (self.window, self.stride);
        let lefts = starts(width, window.width, stride.width);
        let size = [window.height.min(height), window.width.min(width)];
        starts(height, window.height, stride.height)
            .into_iter()
            .flat_map(|top| lefts.iter().map(move |&left| [top, left, size[0], size[1]]))
            .collect()
    }
}

/// Scores of one window of one version, at the network's resolution.
pub struct WindowScores {
    /// Place and size in the version: `[top, left, height, width]`.
    pub place: [usize; 4],
    /// `[classes, h, w]`
    pub shape: [usize; 3],
    /// Flattened.
    pub values: Vec<f32>,
}

/// Scores of one version of an image.
pub struct VersionScores {
    /// Size relative to the image's.
    pub scale: f64,
    /// Mirrored left to right.
    pub flipped: bool,
    /// `[height, width]` of the version.
    pub size: [usize; 2],
    /// That cover it.
    pub windows: Vec<WindowScores>,
}

/// The class of each pixel of an image `[height, width]` with the largest mean probability over the versions; the first
/// of equals. Returns `[height, width]` flattened.
///
/// # Panics
/// Without versions.
pub fn best_of_mean(versions: &[&VersionScores], [height, width]: [usize; 2]) -> Vec<u8> {
    let mut ids = vec![0u8; height * width];
    each_row(versions, [height, width], &mut ids, best);
    ids
}

/// Makes each row of `target [height, width]` from the sums over versions of that row's probabilities,
/// `[classes, width]`.
pub(super) fn each_row(
    versions: &[&VersionScores],
    [height, width]: [usize; 2],
    target: &mut [u8],
    make: impl Fn(&[f32], &mut [u8]) + Sync,
) {
    /// Rows made in a row, so that the two that a resize mixes are often there from the row before.
    const BAND: usize = 32;
    let classes = versions[0].windows[0].shape[0];
    target.par_chunks_mut(BAND * width).enumerate().for_each(|(band, target)| {
        let mut rows: Vec<Rows> = versions.iter().map(|version| Rows::new(version, [height, width])).collect();
        let mut sum = vec![0f32; classes * width];
        for (i, target) in target.chunks_mut(width).enumerate() {
            sum.fill(0.0);
            for rows in &mut rows {
                rows.add_probabilities(band * BAND + i, &mut sum);
            }
            make(&sum, target);
        }
    });
}

/// Index of the largest of each column of `[classes, width]`.
fn best(sum: &[f32], ids: &mut [u8]) {
    let width = ids.len();
    let mut largest = sum[..width].to_vec();
    ids.fill(0);
    for (class, row) in sum.chunks_exact(width).enumerate().skip(1) {
        for ((&value, largest), id) in row.iter().zip(&mut largest).zip(ids.iter_mut()) {
            if value > *largest {
                (*largest, *id) = (value, class as u8);
            }
        }
    }
}

/// Full-size rows of one version's scores, made when asked for.
struct Rows<'a> {
    version: &'a VersionScores,
    classes: usize,
    /// From each window's features to the window.
    up: Vec<Resize>,
    /// From the version to the image.
    back: Resize,
    /// The last two rows of the version that were made: `[classes, version's width]`.
    made: [(Option<usize>, Vec<f32>); 2],
    row: Vec<f32>,
}

impl<'a> Rows<'a> {
    fn new(version: &'a VersionScores, picture: [usize; 2]) -> Self {
        let classes = version.windows[0].shape[0];
        let up = version.windows.iter().map(|window| {
            let [_, h, w] = window.shape;
            Resize::new([h, w], [window.place[2], window.place[3]], false)
        });
        let made = || (None, vec![0f32; classes * version.size[1]]);
        Self {
            version,
            classes,
            up: up.collect(),
            back: Resize::new(version.size, picture, false),
            made: [made(), made()],
            row: vec![0f32; classes * picture[1]],
        }
    }

    /// Adds the softmax over classes of image row `y` to `sum [classes, width]`.
    fn add_probabilities(&mut self, y: usize, sum: &mut [f32]) {
        let (lower, upper, weight) = self.back.rows[y];
        let (a, b) = (self.fetch(lower, upper), self.fetch(upper, lower));
        let width = self.row.len() / self.classes;
        let across = self.version.size[1];
        let mirrored = self.version.flipped;
        for class in 0..self.classes {
            let from = |made: usize| &self.made[made].1[class * across..][..across];
            let (top, bottom) = (from(a), from(b));
            let target = &mut self.row[class * width..][..width];
            for (target, &(left, right, share)) in target.iter_mut().zip(&self.back.columns) {
                let at = |x: usize| top[x] + (bottom[x] - top[x]) * weight;
                *target = at(left) + (at(right) - at(left)) * share;
            }
            if mirrored {
                target.reverse();
            }
        }
        add_softmax(&self.row, self.classes, sum);
    }

    /// Which of the two made rows is version row `y`, made where needed in the place that does not hold `other`.
    fn fetch(&mut self, y: usize, other: usize) -> usize {
        if let Some(place) = self.made.iter().position(|(made, _)| *made == Some(y)) {
            return place;
        }
        let place = usize::from(self.made[0].0 == Some(other));
        let mut row = std::mem::take(&mut self.made[place].1);
        self.make(y, &mut row);
        self.made[place] = (Some(y), row);
        place
    }

    /// Version row `y`: the mean over the windows that cover it.
    fn make(&self, y: usize, row: &mut [f32]) {
        let across = self.version.size[1];
        row.fill(0.0);
        let mut covered = vec![0f32; across];
        for (window, up) in self.version.windows.iter().zip(&self.up) {
            let [top, left, height, width] = window.place;
            if !(top..top + height).contains(&y) {
                continue;
            }
            let [_, h, w] = window.shape;
            let (mut blended, mut part) = (vec![0f32; w], vec![0f32; width]);
            for class in 0..self.classes {
                up.row(&window.values[class * h * w..][..h * w], y - top, &mut blended, &mut part);
                let target = &mut row[class * across + left..][..width];
                target.iter_mut().zip(&part).for_each(|(target, part)| *target += part);
            }
            covered[left..left + width].iter_mut().for_each(|count| *count += 1.0);
        }
        for target in row.chunks_exact_mut(across) {
            target.iter_mut().zip(&covered).for_each(|(target, count)| *target /= count);
        }
    }
}

/// Adds the softmax of each column of `[classes, width]`.
fn add_softmax(row: &[f32], classes: usize, sum: &mut [f32]) {
    let width = row.len() / classes;
    let mut largest = row[..width].to_vec();
    for class in row.chunks_exact(width).skip(1) {
        largest.iter_mut().zip(class).for_each(|(largest, &value)| *largest = largest.max(value));
    }
    let mut exps = row.to_vec();
    let mut total = vec![0f32; width];
    for class in exps.chunks_exact_mut(width) {
        for ((value, largest), total) in class.iter_mut().zip(&largest).zip(&mut total) {
            *value = (*value - largest).exp();
            *total += *value;
        }
    }
    for (exps, sum) in exps.chunks_exact(width).zip(sum.chunks_exact_mut(width)) {
        for ((value, total), sum) in exps.iter().zip(&total).zip(sum) {
            *sum += value / total;
        }
    }
}

#[cfg(test)]
#[path = "test_time_tests.rs"]
mod tests;
