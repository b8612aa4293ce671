//! Folders that are searched with all that is below them.

use crate::files::plain_cause;
use crate::{Error, Result};
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

/// What is `wanted` (its name, and whether it is a folder) anywhere below `folder`, as sorted paths that start there.
///
/// Hidden files and folders are left out. Links to folders are followed, but no folder is searched twice, whatever leads
/// to it, and no link is followed to a folder above it. A link with a wanted name is taken for a file without a look at
/// where it leads: to ask the disk about each of a million links takes minutes.
///
/// # Errors
/// A folder that cannot be read.
pub fn search(folder: &Path, wanted: &dyn Fn(&str, bool) -> bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut searched = HashSet::new();
    // Links come last, so that a folder is found by its own path rather than by a link.
    let (mut folders, mut links) = (BTreeSet::from([PathBuf::new()]), BTreeSet::new());
    while let Some(below) = folders.pop_first().or_else(|| links.pop_first()) {
        let here = if below.as_os_str().is_empty() { folder.to_path_buf() } else { folder.join(&below) };
        let cannot =
            |cause: std::io::Error| Error::file(&here, format!("the folder cannot be read: {}", plain_cause(&cause)));
        let real = here.canonicalize().map_err(cannot)?;
        if !searched.insert(real.clone()) {
            continue;
        }
        for entry in here.read_dir().map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            let (name, kind) = (entry.file_name(), entry.file_type().map_err(cannot)?);
            let (path, name) = (below.join(&name), name.to_string_lossy().into_owned());
            if name.starts_with('.') {
                continue;
            }
            if wanted(&name, kind.is_dir()) {
                found.push(path);
            } else if kind.is_dir() {
                folders.insert(path);
            } else if kind.is_symlink()
                && let Ok(target) = entry.path().canonicalize()
                && target.is_dir()
                && !real.starts_with(&target)
            {
                links.insert(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A temporary folder with these empty files.
#[cfg(test)]
pub(crate) fn folder_with(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    folder
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(folder: &Path) -> Vec<String> {
        let found = search(folder, &|name, is_folder| !is_folder && name.ends_with(".x")).unwrap();
        found.iter().map(|path| path.to_string_lossy().replace('\\', "/")).collect()
    }

    #[test]
    fn all_that_is_wanted_is_found_and_hidden_things_are_not() {
        let folder = folder_with(&["b.x", "a/c.x", "a/d/e.x", "a.x/f.x", "g.y", ".h.x", ".i/j.x"]);
        assert_eq!(found(folder.path()), ["a/c.x", "a/d/e.x", "a.x/f.x", "b.x"]);
        let with_folders = search(folder.path(), &|name, _| name == "a.x").unwrap();
        assert_eq!(with_folders, [PathBuf::from("a.x")]);
        let message = search(&folder.path().join("none"), &|_, _| true).unwrap_err().to_string();
        assert!(message.contains("none: "), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_no_folder_is_searched_twice() {
        use std::os::unix::fs::symlink;
        let elsewhere = folder_with(&["far/z.x"]);
        let folder = folder_with(&["in/p/a.x", "in/q/b.x", "beside.x"]);
        let root = folder.path().join("in");
        let links = [
            (".", "itself"),
            ("..", "above"),
            ("../..", "p/above"),
            ("../q", "p/other"),
            ("../p", "q/other"),
            ("nowhere", "broken"),
            ("round", "round"),
        ];
        for (target, link) in links {
            symlink(target, root.join(link)).unwrap();
        }
        symlink(elsewhere.path().join("far"), root.join("p/far")).unwrap();
        symlink(elsewhere.path().join("far"), root.join("q/far")).unwrap();
        symlink(elsewhere.path().join("far/z.x"), root.join("q/file.x")).unwrap();
        assert_eq!(found(&root), ["p/a.x", "p/far/z.x", "q/b.x", "q/file.x"]);
    }
}
