//! Panels of an evaluation: image | truth | prediction | errors, of images spread over the split.

use super::panels::panels;
use super::save_png;
use crate::data::Example;
use crate::files::Staged;
use crate::task::ClassSet;
use crate::{Error, Result};
use ndarray::Array2;
use std::path::{Path, PathBuf};

/// Draws `count` of `images` images as they are predicted. The files wait on the disk (hundreds of large panels would not fit
/// into memory), and are in `FOLDER/overlays/` once all of them are there.
pub struct Overlays {
    drawn: Option<Staged>,
    folder: PathBuf,
    count: usize,
    images: usize,
    seen: usize,
    number: usize,
}

impl Overlays {
    /// Nothing drawn yet.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn new(folder: &Path, count: usize, images: usize) -> Result<Self> {
        let drawn = if count > 0 { Some(Staged::in_folder(folder)?) } else { None };
        Ok(Self { drawn, folder: folder.join("overlays"), count, images, seen: 0, number: 0 })
    }

    /// The next image of the split, which is drawn if it is one of those.
    ///
    /// # Errors
    /// The panel cannot be written.
    pub fn add(&mut self, classes: &ClassSet, example: &Example, pred: &Array2<u8>) -> Result<()> {
        let index = self.seen;
        self.seen += 1;
        let Some(drawn) = &self.drawn else { return Ok(()) };
        if index * self.count / self.images == (index + 1) * self.count / self.images {
            return Ok(());
        }
        let panel = panels(classes, example.image.view(), Some(example.label.view()), pred.view())?;
        save_png(free_name(drawn.folder(), &example.name), &panel).map_err(|error| match error {
            // The folder aside is gone by the time this is read.
            Error::File { message, .. } => Error::file(&self.folder, message),
            other => other,
        })?;
        self.number += 1;
        Ok(())
    }

    /// Puts the panels into their folder; returns how many there are.
    ///
    /// # Errors
    /// They cannot be moved there.
    pub fn publish(self) -> Result<usize> {
        if let Some(drawn) = self.drawn {
            drawn.publish(&self.folder, "png")?;
        }
        Ok(self.number)
    }
}

/// The file for the panel of this image; names may hold the city as a folder. `x/a_b` and `x_a/b` have two files.
fn free_name(folder: &Path, image: &str) -> PathBuf {
    let stem = image.replace(['/', '\\'], "_");
    let names = std::iter::once(format!("{stem}.png")).chain((2..).map(|number| format!("{stem}-{number}.png")));
    names.map(|name| folder.join(name)).find(|path| !path.exists()).expect("numbers do not end")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, Array3};

    #[test]
    fn panels_are_spread_over_the_split_and_no_two_have_one_name() {
        let folder = tempfile::tempdir().unwrap();
        let classes = ClassSet::cityscapes();
        let mut overlays = Overlays::new(folder.path(), 2, 4).unwrap();
        for name in ["a", "x/a_b", "c", "x_a/b"] {
            let label = Array2::zeros((32, 32));
            let example = Example { name: name.into(), image: Array3::zeros((32, 32, 3)), label };
            overlays.add(&classes, &example, &Array2::zeros((32, 32))).unwrap();
        }
        assert_eq!(overlays.publish().unwrap(), 2);
        let mut names: Vec<_> = std::fs::read_dir(folder.path().join("overlays"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["x_a_b-2.png", "x_a_b.png"]);
    }
}
