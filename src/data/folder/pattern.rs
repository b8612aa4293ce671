//! Patterns of file names, such as `imgs/{split}/{name}_img.jpg`.

use crate::Result;
use crate::data::image_file::looks_like_picture;
use crate::folders::search;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// File name extensions that are tried where a pattern of images names none.
pub(super) use crate::data::image_file::SUFFIXES as IMAGE_EXTENSIONS;
/// Suffixes of mask files.
pub(super) const MASK_EXTENSIONS: [&str; 1] = ["png"];

/// A pattern below the root of a dataset. `{name}` stands for the name of an example and may span folders, `{split}` for
/// the name of a split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    extensions: &'static [&'static str],
}

/// A file that a pattern matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Match {
    /// What `{name}` stands for.
    pub name: String,
    /// The file.
    pub path: PathBuf,
}

impl Pattern {
    /// Reads a pattern. Without an extension behind `{name}`, each of `extensions` matches.
    ///
    /// # Errors
    /// A pattern without `{name}` or with two, an absolute path, `..`, an unknown placeholder.
    pub fn parse(text: &str, extensions: &'static [&'static str]) -> Result<Self, String> {
        let names = text.matches("{name}").count();
        if names != 1 {
            return Err(format!("\"{text}\" has {names} times {{name}}; use it once, such as \"images/{{name}}.jpg\""));
        }
        let rest = text.replace("{name}", "").replace("{split}", "");
        if rest.contains(['{', '}']) {
            return Err(format!("\"{text}\": the only placeholders are {{name}} and {{split}}"));
        }
        if text.starts_with('/') || text.split('/').any(|part| part == "..") {
            return Err(format!("\"{text}\": give a path below the data root, without `..`"));
        }
        let text = text.trim_start_matches("./").to_string();
        Ok(Self { text, extensions })
    }

    /// The pattern as it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a file belongs to one split by its path.
    pub fn has_split(&self) -> bool {
        self.text.contains("{split}")
    }

    /// What comes before and after the name in a split. The latter is in lower case, as it is compared.
    fn ends(&self, split: &str) -> (String, String) {
        let text = self.text.replace("{split}", split);
        let (before, after) = text.split_once("{name}").unwrap_or((&text, ""));
        (before.to_string(), after.to_ascii_lowercase())
    }

    /// Whether every image in its folder matches.
    pub(super) fn takes_whole_folder(&self) -> bool {
        self.text.ends_with("/{name}")
    }

    fn has_extension(&self) -> bool {
        let after = self.text.rsplit("{name}").next().unwrap_or_default();
        after.contains('.') && looks_like_picture(after)
    }

    /// Name of the example that a file belongs to, by its path below the root.
    fn name_of(&self, (before, after): &(String, String), path: &str) -> Option<String> {
        let rest = path.strip_prefix(before.as_str())?;
        let name = match self.has_extension() {
            true => rest
                .get(..rest.len().checked_sub(after.len())?)
                .filter(|name| rest[name.len()..].eq_ignore_ascii_case(after))?,
            false => {
                let (stem, extension) = rest.rsplit_once('.')?;
                let known = self.extensions.iter().any(|known| extension.eq_ignore_ascii_case(known));
                let end = stem.len().checked_sub(after.len()).filter(|_| known)?;
                stem.get(..end).filter(|name| stem[name.len()..].eq_ignore_ascii_case(after))?
            }
        };
        (!name.is_empty()).then(|| name.to_string())
    }

    /// The deepest folder below the root that holds all files of a split.
    pub fn folder(&self, root: &Path, split: &str) -> PathBuf {
        let (before, _) = self.ends(split);
        root.join(before.rsplit_once('/').map_or("", |(folder, _)| folder))
    }

    /// The file of an example, if it is there; otherwise the path that is expected.
    pub fn file(&self, root: &Path, split: &str, name: &str) -> Result<PathBuf, PathBuf> {
        let text = self.text.replace("{split}", split).replace("{name}", name);
        let candidates: Vec<PathBuf> = match self.has_extension() {
            true => {
                let (stem, extension) = text.rsplit_once('.').unwrap_or((&text, ""));
                let cases = [extension.to_string(), extension.to_ascii_uppercase(), extension.to_ascii_lowercase()];
                cases.map(|extension| root.join(format!("{stem}.{extension}"))).to_vec()
            }
            false => {
                let cases = self.extensions.iter().flat_map(|known| [known.to_string(), known.to_ascii_uppercase()]);
                cases.map(|extension| root.join(format!("{text}.{extension}"))).collect()
            }
        };
        match candidates.iter().find(|path| path.is_file()) {
            Some(path) => Ok(path.clone()),
            None => Err(candidates.into_iter().next().expect("there is at least one extension")),
        }
    }

    /// Every file of a split, by name.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub(super) fn files(&self, root: &Path, split: &str) -> Result<Vec<Match>> {
        let ends = self.ends(split);
        let folder = self.folder(root, split);
        let mut files = Vec::new();
        for below in search(&folder, &|_, is_folder| !is_folder)? {
            let path = folder.join(below);
            let below = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            if let Some(name) = self.name_of(&ends, &below) {
                files.push(Match { name, path });
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name).then(a.path.cmp(&b.path)));
        Ok(files)
    }

    /// Names that stand for `{split}` on the disk, sorted.
    pub fn splits(&self, root: &Path) -> Vec<String> {
        let Some((before, after)) = self.text.split_once("{split}") else { return Vec::new() };
        let (folder, start) = before.rsplit_once('/').unwrap_or(("", before));
        let end = after.split(['/', '{']).next().unwrap_or_default();
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(root.join(folder)).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let split = name.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
            if let Some(split) = split
                && !split.is_empty()
                && !name.starts_with('.')
                && (end.contains('.') || entry.path().is_dir())
            {
                found.insert(split.to_string(), ());
            }
        }
        found.into_keys().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folders::folder_with;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text, &IMAGE_EXTENSIONS).unwrap()
    }

    #[test]
    fn names_are_what_stands_between_the_ends() {
        let folder =
            folder_with(&["imgs/a_img.jpg", "imgs/b_IMG.JPG", "imgs/a.jpg", "imgs/.c_img.jpg", "gts/a_img.jpg"]);
        let files = pattern("imgs/{name}_img.jpg").files(folder.path(), "train").unwrap();
        assert_eq!(files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn without_an_extension_any_image_matches_in_any_folder() {
        let folder =
            folder_with(&["images/train/x/1.PNG", "images/train/2.jpeg", "images/train/3.txt", "images/val/4.png"]);
        let pattern = pattern("images/{split}/{name}");
        let files = pattern.files(folder.path(), "train").unwrap();
        assert_eq!(files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["2", "x/1"]);
        assert_eq!(pattern.splits(folder.path()), ["train", "val"]);
        assert_eq!(pattern.file(folder.path(), "train", "x/1").unwrap(), folder.path().join("images/train/x/1.PNG"));
        assert_eq!(pattern.file(folder.path(), "val", "5").unwrap_err(), folder.path().join("images/val/5.png"));
    }

    #[test]
    fn a_split_may_be_part_of_a_name() {
        let folder = folder_with(&["train_images/a.jpg", "val_images/b.jpg", "val_segmentations/b.png", "lists/x.txt"]);
        let pattern = pattern("{split}_images/{name}.jpg");
        assert_eq!(pattern.splits(folder.path()), ["train", "val"]);
        assert_eq!(pattern.files(folder.path(), "val").unwrap()[0].name, "b");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_above_is_not_followed() {
        let folder = folder_with(&["images/a.png"]);
        std::os::unix::fs::symlink(folder.path().join("images"), folder.path().join("images/loop")).unwrap();
        assert_eq!(pattern("images/{name}.png").files(folder.path(), "").unwrap().len(), 1);
    }

    #[test]
    fn wrong_patterns_are_explained() {
        for (text, token) in [
            ("images/a.jpg", "0 times {name}"),
            ("{name}/{name}.jpg", "2 times {name}"),
            ("{city}/{name}.jpg", "placeholders"),
            ("/data/{name}.jpg", "below the data root"),
            ("../{name}.jpg", "below the data root"),
        ] {
            let message = Pattern::parse(text, &IMAGE_EXTENSIONS).unwrap_err();
            assert!(message.contains(token) && message.contains(text), "{message}");
        }
    }
}
