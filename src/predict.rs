//! Pictures in, label pictures and overlays out.

use crate::data::cityscapes::load_image;
use crate::eval::{Predictor, TestTime, ids_of};
use crate::files::{make_folder, plain_cause, write_png};
use crate::render::{overlay, palette, save_png};
use crate::task::ClassSet;
use crate::weights::{Weights, safetensors};
use crate::{Error, Result};
use burn::tensor::Tensor;
use image::ExtendedColorType;
use ndarray::Array2;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// What is written of a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The picture with the classes' colours over it.
    Overlay,
    /// The classes' colours alone.
    Color,
    /// Ids on disk, as the class set lists them, grey: what the Cityscapes evaluation server takes.
    LabelIds,
    /// Class indices (train ids), 8-bit grey.
    TrainIds,
    /// The network's raw class scores, safetensors: `logits`, float32 `[classes, height, width]` at its output size.
    Logits,
}

impl Format {
    /// What is put behind a picture's name.
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

/// One picture to predict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The picture.
    pub input: PathBuf,
    /// What is written of it, without `_<format>.png` or the like.
    pub target: PathBuf,
}

const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];

/// The pictures of `inputs` (folders are searched, hidden ones left out), and where under `out` they go.
///
/// # Errors
/// An input that is not there, no picture at all, or two pictures that would be written to the same place.
pub fn jobs(inputs: &[PathBuf], out: &Path) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for input in inputs {
        if input.is_dir() {
            let before = jobs.len();
            search(input, out, &mut jobs)?;
            if jobs.len() == before {
                return Err(Error::file(input, "there is no .png, .jpg or .jpeg picture in this folder"));
            }
        } else if input.exists() {
            jobs.push(Job { input: input.clone(), target: out.join(stem(input)) });
        } else {
            return Err(Error::file(input, "there is no such picture or folder"));
        }
    }
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

fn search(folder: &Path, out: &Path, jobs: &mut Vec<Job>) -> Result<()> {
    let unread = |e: std::io::Error| Error::file(folder, format!("the folder cannot be read: {}", plain_cause(&e)));
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in folder.read_dir().map_err(unread)? {
        entries.push(entry.map_err(unread)?.path());
    }
    entries.sort();
    for path in entries {
        let Some(name) = path.file_name() else { continue };
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            search(&path, &out.join(name), jobs)?;
        } else if path
            .extension()
            .is_some_and(|extension| EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)))
        {
            jobs.push(Job { target: out.join(stem(&path)), input: path });
        }
    }
    Ok(())
}

/// File name without extension and without Cityscapes' `_leftImg8bit`.
fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem.strip_suffix("_leftImg8bit").unwrap_or(&stem).to_string()
}

/// Predicts one picture and writes it in every format; returns the files.
///
/// # Errors
/// The picture cannot be read, or a file not be written.
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
    let name = job.target.file_name().unwrap_or_default().to_string_lossy();
    let mut written = Vec::new();
    for format in formats {
        let path = job.target.with_file_name(format!("{name}_{}", format.suffix()));
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
}
