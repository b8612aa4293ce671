//! Images in, label images and overlays out.

use crate::data::cityscapes::strip_suffix;
use crate::data::image_file::{is_picture, load_image, looks_like_picture, say_passed_over};
use crate::eval::{Predictor, TestTime, ids_of};
use crate::files::{make_folder, write_png};
use crate::folders::search;
use crate::messages::say;
use crate::render::{overlay, palette, save_png};
use crate::task::ClassSet;
use crate::text::counted;
use crate::weights::{Weights, safetensors};
use crate::{Error, Result};
use burn::tensor::Tensor;
use image::ExtendedColorType;
use ndarray::Array2;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// What is written of a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The image with the classes' colors over it.
    Overlay,
    /// The classes' colors alone.
    Color,
    /// Ids on disk, as the class set lists them, grey: what the Cityscapes evaluation server takes.
    LabelIds,
    /// Class indices (train ids), 8-bit grey.
    TrainIds,
    /// The network's raw class scores, safetensors: `logits`, float32 `[classes, height, width]` at its output size.
    Logits,
}

impl Format {
    /// Those that are images.
    const PICTURES: [Self; 4] = [Self::Overlay, Self::Color, Self::LabelIds, Self::TrainIds];

    /// What is put behind an image's name.
    fn suffix(self) -> &'static str {
        match self {
            Self::Overlay => "overlay.png",
            Self::Color => "color.png",
            Self::LabelIds => "labelIds.png",
            Self::TrainIds => "labelTrainIds.png",
            Self::Logits => "logits.safetensors",
        }
    }
}

/// One image to predict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The image.
    pub input: PathBuf,
    /// What is written of it, without `_<format>.png` or the like.
    pub target: PathBuf,
}

impl Job {
    /// Where it is written in this format.
    fn written(&self, format: Format) -> PathBuf {
        let name = self.target.file_name().unwrap_or_default().to_string_lossy();
        self.target.with_file_name(format!("{name}_{}", format.suffix()))
    }
}

/// The images of `inputs` (folders are searched, hidden ones left out), and where under `out` they go. Predictions of
/// one of them that an earlier call has written are none, and a line on stderr tells of other files that are passed over.
///
/// # Errors
/// An input that is not there, no image at all, or two images that would be written to the same place.
pub fn jobs(inputs: &[PathBuf], out: &Path) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for input in inputs {
        if input.is_dir() {
            let found = search(input, &|name, is_folder| !is_folder && looks_like_picture(name))?;
            let (pictures, others): (Vec<_>, Vec<_>) =
                found.into_iter().partition(|below| is_picture(&below.to_string_lossy()));
            say_passed_over(input, &others, "save such files as PNG or JPEG");
            if pictures.is_empty() {
                return Err(Error::file(input, "there is no .png, .jpg or .jpeg picture in this folder"));
            }
            jobs.extend(pictures.into_iter().map(|below| {
                let target = out.join(below.with_file_name(stem(&below)));
                Job { input: input.join(below), target }
            }));
        } else if input.exists() {
            jobs.push(Job { input: input.clone(), target: out.join(stem(input)) });
        } else {
            return Err(Error::file(input, "there is no such picture or folder"));
        }
    }
    leave_out_predictions(&mut jobs);
    let mut targets: BTreeMap<&Path, &Path> = BTreeMap::new();
    for job in &jobs {
        if let Some(other) = targets.insert(&job.target, &job.input) {
            return Err(Error::usage(format!(
                "{} and {} would both be written as {}; predict them into different --out folders",
                other.display(),
                job.input.display(),
                job.target.display()
            )));
        }
    }
    Ok(jobs)
}

/// Where predictions go to the folder of their images, those of an earlier call are among what is found there.
fn leave_out_predictions(jobs: &mut Vec<Job>) {
    let files_of = |job: &Job| Format::PICTURES.map(|format| job.written(format).canonicalize());
    let written: HashSet<PathBuf> = jobs.iter().flat_map(files_of).flatten().collect();
    let is_prediction = |job: &mut Job| job.input.canonicalize().is_ok_and(|input| written.contains(&input));
    let left_out: Vec<Job> = jobs.extract_if(.., is_prediction).collect();
    if let Some(first) = left_out.first() {
        let (count, first) = (counted(left_out.len(), "prediction"), first.input.display());
        say(format_args!("{count} of other pictures here: passed over, first {first}"));
    }
}

/// File name without extension and without Cityscapes' `_leftImg8bit`.
fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    strip_suffix(&stem, "_leftImg8bit").unwrap_or(&stem).to_string()
}

/// Predicts one image and writes it in every format; returns the files.
///
/// # Errors
/// The image cannot be read, or a file not be written.
pub fn predict(
    predictor: &Predictor,
    classes: &ClassSet,
    job: &Job,
    formats: &[Format],
    test_time: &TestTime,
) -> Result<Vec<PathBuf>> {
    let image = load_image(&job.input)?;
    let (height, width, _) = image.dim();
    let logits = test_time.is_plain().then(|| predictor.logits(&image));
    let ids = match &logits {
        Some(logits) => ids_of(logits.clone(), [height, width])?,
        None => predictor.predict_mean(&image, test_time)?,
    };
    if let Some(folder) = job.target.parent() {
        make_folder(folder)?;
    }
    let mut written = Vec::new();
    for &format in formats {
        let path = job.written(format);
        match format {
            Format::Overlay => save_png(&path, &overlay::overlay(classes, image.view(), ids.view()))?,
            Format::Color => save_png(&path, &palette::colorize(classes, ids.view()))?,
            Format::LabelIds => save_ids(&path, classes, &ids)?,
            Format::TrainIds => save_gray(&path, &ids)?,
            Format::Logits => save_logits(&path, logits.clone().unwrap_or_else(|| predictor.logits(&image)))?,
        }
        written.push(path);
    }
    Ok(written)
}

fn save_gray(path: &Path, ids: &Array2<u8>) -> Result<()> {
    write_png(path, &ids.iter().copied().collect::<Vec<u8>>(), ids.dim(), ExtendedColorType::L8)
}

/// Ids on disk of class indices: of 8 bits, or 16 where the class set has ids above 255.
fn save_ids(path: &Path, classes: &ClassSet, indices: &Array2<u8>) -> Result<()> {
    let ids = indices.mapv(|class| classes.id_of(class.into()));
    if classes.classes.iter().all(|class| class.ids[0] <= 255) {
        return save_gray(path, &ids.mapv(|id| id as u8));
    }
    // The encoder puts the bytes of this machine into those of PNG.
    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_ne_bytes()).collect();
    write_png(path, &bytes, ids.dim(), ExtendedColorType::L16)
}

fn save_logits(path: &Path, logits: Tensor<4>) -> Result<()> {
    let tensors = BTreeMap::from([("logits".to_string(), logits.squeeze_dim::<3>(0).into_data())]);
    safetensors::write(path, &Weights { tensors }, &[], HashMap::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_searched_and_kept_and_clashes_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["a/x_leftImg8bit.png", "b/x.JPG", "b/notes.txt", ".hidden/y.png"] {
            std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            std::fs::write(root.join(name), "").unwrap();
        }
        let found = jobs(&[root.to_path_buf()], Path::new("out")).unwrap();
        let targets: Vec<_> = found.iter().map(|job| job.target.clone()).collect();
        assert_eq!(targets, [PathBuf::from("out/a/x"), PathBuf::from("out/b/x")]);

        let clash = [root.join("a/x_leftImg8bit.png"), root.join("b/x.JPG")];
        let error = jobs(&clash, Path::new("out")).unwrap_err().to_string();
        assert!(error.contains("would both be written as out/x"), "{error}");
        let error = jobs(&[root.join(".hidden/none")], Path::new("out")).unwrap_err().to_string();
        assert!(error.contains("no such picture"), "{error}");
    }

    #[test]
    fn predictions_beside_their_pictures_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let pictures = ["a.png", "b_leftImg8bit.jpg", "sub/c.webp", "d_color.png"];
        let predictions = ["a_overlay.png", "a_overlay_overlay.png", "b_labelTrainIds.png", "sub/c_labelIds.png"];
        std::fs::create_dir(root.join("sub")).unwrap();
        for name in pictures.iter().chain(&predictions) {
            std::fs::write(root.join(name), "").unwrap();
        }
        let inputs = |out: &Path| -> Vec<PathBuf> {
            let found = jobs(&[root.to_path_buf()], out).unwrap().into_iter();
            found.map(|job| job.input.strip_prefix(root).unwrap().to_path_buf()).collect()
        };
        assert_eq!(
            inputs(&root.join("sub/..")),
            ["a.png", "b_leftImg8bit.jpg", "d_color.png", "sub/c.webp"].map(PathBuf::from)
        );
        assert_eq!(inputs(&root.join("elsewhere")).len(), 8, "a folder of its own holds no prediction of theirs");
    }
}
