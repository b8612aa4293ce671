//! Built-in scenes written to disk in Cityscapes layout, for trying everything that reads it.

use super::Dataset;
use super::polygons::Annotation;
use super::scenes::{Scenes, label_ids};
use crate::files::{make_folder, write_atomic, write_png};
use crate::task::ClassSet;
use crate::{Error, Result};
use image::ExtendedColorType;
use ndarray::Array2;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// City folder of the scenes.
const CITY: &str = "synthetic";

/// Writes every scene as `leftImg8bit/<split>/synthetic/<name>_leftImg8bit.png` and
/// `gtFine/<split>/synthetic/<name>_gtFine_{labelIds,instanceIds,color}.png` and `…_gtFine_polygons.json` under `out`.
///
/// # Errors
/// A file that is there already (nothing is written then), or one that cannot be written.
pub fn write(scenes: &Scenes, out: &Path, split: &str) -> Result<()> {
    let is_folder_name = !split.is_empty() && !split.contains(['/', '\\']) && !split.starts_with('.');
    if !is_folder_name {
        return Err(Error::usage(format!("--split {split:?} is no folder name; give one such as train or val")));
    }
    let targets: Vec<[PathBuf; 5]> = (0..scenes.len()).map(|i| targets(out, split, &scenes.name(i))).collect();
    if let Some(there) = targets.iter().flatten().find(|path| path.exists()) {
        return Err(Error::file(there, "is there already and is never overwritten; give another --out or --split"));
    }
    for room in ["leftImg8bit", "gtFine"] {
        make_folder(&out.join(room).join(split).join(CITY))?;
    }
    targets.par_iter().enumerate().try_for_each(|(i, [image, ids, color, instance_ids, polygons])| {
        let (sample, instances) = scenes.annotated_scene(i);
        let classes = scenes.classes();
        let size = sample.label.dim();
        let rgb: Vec<u8> = sample.image.iter().copied().collect();
        write_png(image, &rgb, size, ExtendedColorType::Rgb8)?;
        write_png(color, &colors(classes, &sample.label), size, ExtendedColorType::Rgb8)?;
        // The encoder puts the bytes of this machine into those of PNG.
        let bytes: Vec<u8> = instances.iter().flat_map(|id| id.to_ne_bytes()).collect();
        write_png(instance_ids, &bytes, size, ExtendedColorType::L16)?;
        write_atomic(polygons, |writer| Ok(serde_json::to_writer(writer, &Annotation::trace(classes, &instances))?))?;
        // The label last: a scene is complete where it is there.
        let ids_of: Vec<u8> = label_ids(classes, &sample.label).iter().map(|id| *id as u8).collect();
        write_png(ids, &ids_of, size, ExtendedColorType::L8)
    })
}

fn targets(out: &Path, split: &str, name: &str) -> [PathBuf; 5] {
    let images = out.join("leftImg8bit").join(split).join(CITY);
    let labels = out.join("gtFine").join(split).join(CITY);
    [
        images.join(format!("{name}_leftImg8bit.png")),
        labels.join(format!("{name}_gtFine_labelIds.png")),
        labels.join(format!("{name}_gtFine_color.png")),
        labels.join(format!("{name}_gtFine_instanceIds.png")),
        labels.join(format!("{name}_gtFine_polygons.json")),
    ]
}

/// Colors of the Cityscapes palette, black where ignored. Shape: `[height, width, 3]`, flat.
fn colors(classes: &ClassSet, label: &Array2<u16>) -> Vec<u8> {
    label.iter().flat_map(|&class| classes.color_of(class)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cityscapes::Cityscapes;
    use crate::size::Resolution;

    #[test]
    fn written_scenes_read_back_as_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let scenes = Scenes::new(1, "val", 2, Resolution { height: 40, width: 80 });
        write(&scenes, folder.path(), "val").unwrap();
        let read = Cityscapes::open(folder.path(), "val", ClassSet::cityscapes()).unwrap();
        assert_eq!(read.len(), 2);
        for i in 0..2 {
            let (sample, instances) = scenes.annotated_scene(i);
            assert_eq!(read.annotated(i).unwrap(), (sample, Some(instances)));
        }
        let json = folder.path().join("gtFine/val/synthetic/synthetic_000001_000019_gtFine_polygons.json");
        let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
        assert_eq!((&json["imgHeight"], &json["imgWidth"]), (&40.into(), &80.into()));
        assert!(json["objects"][0]["label"].is_string() && json["objects"][0]["polygon"][2][1].is_u64());
        let again = write(&scenes, folder.path(), "val").unwrap_err().to_string();
        assert!(again.contains("000000_000019_leftImg8bit.png") && again.contains("never overwritten"), "{again}");
    }
}
