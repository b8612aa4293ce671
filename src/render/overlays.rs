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
        // Names of images may hold the city as a folder.
        let name = format!("{}.png", example.name.replace(['/', '\\'], "_"));
        save_png(drawn.folder().join(name), &panel).map_err(|error| match error {
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
