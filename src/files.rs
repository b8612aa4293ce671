//! Files that are either there in full or not there.

use crate::{Error, Result};
use image::{ExtendedColorType, ImageEncoder, ImageResult, codecs::png::PngEncoder};
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Bytes that zlib makes of one at most. A file that says to hold more than this times its length is cut off or damaged, and no
/// memory need be reserved to find out.
pub const ZLIB_RATIO: u64 = 1032;

/// Bytes that a file can hold at most, where it is packed by zlib.
pub fn most_unpacked(file: &File) -> u64 {
    file.metadata().map_or(u64::MAX, |file| file.len().saturating_mul(ZLIB_RATIO))
}

/// Writes a file so that a reader, or the next start after a crash, sees the old content or the new, never half of it:
/// a temporary file in the same folder, flushed to the disk, then renamed.
///
/// # Errors
/// Whatever `write` or the disk reports, as a sentence with the path. The old file is then still there.
pub fn write_atomic(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    try_write(path, folder, write).map_err(|error| {
        if error.kind() == ErrorKind::NotFound && !folder.is_dir() {
            return Error::file(path, format!("cannot be written: there is no folder {}", folder.display()));
        }
        Error::file(path, format!("cannot be written: {}", plain_cause(&error)))
    })
}

fn try_write(
    path: &Path,
    folder: &Path,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".infoseg-").suffix(".part");
    // tempfile's own default is 0600; with 0666 the umask decides, as for any other file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    let mut writer = BufWriter::new(file.as_file_mut());
    write(&mut writer)?;
    writer.flush()?;
    drop(writer);
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Makes renames in a folder last: they are only on the disk once the folder is.
///
/// # Errors
/// What the disk reports.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    // Windows cannot open folders, and needs not.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Writes a PNG of `height * width` pixels of this color type, row by row, as [`write_atomic`] does.
///
/// # Errors
/// The file cannot be written.
pub fn write_png(
    path: impl AsRef<Path>,
    pixels: &[u8],
    (height, width): (usize, usize),
    color: ExtendedColorType,
) -> Result<()> {
    let path = path.as_ref();
    // Encoded in memory first, so that its errors are none of the disk's.
    let png = png(pixels, (height, width), color)
        .map_err(|error| Error::file(path, format!("cannot be written as PNG: {error}")))?;
    write_atomic(path, |writer| writer.write_all(&png))
}

/// `height * width` pixels of this color type as a PNG, in memory.
///
/// # Errors
/// They are not as many.
pub fn png(pixels: &[u8], (height, width): (usize, usize), color: ExtendedColorType) -> ImageResult<Vec<u8>> {
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(pixels, width as u32, height as u32, color)?;
    Ok(png)
}

/// Files that belong together and are seen together: they wait in a temporary folder until all of them are there, and go
/// with it if they never are.
#[derive(Debug)]
pub struct Staged(tempfile::TempDir);

impl Staged {
    /// A temporary folder inside `folder`, which is made where it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        make_folder(folder)?;
        let made = tempfile::Builder::new().prefix(".infoseg-").suffix(".part").tempdir_in(folder);
        made.map(Self).map_err(|e| Error::file(folder, format!("cannot be written: {}", plain_cause(&e))))
    }

    /// Where the files wait.
    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// Moves them into `folder` on the same disk, in place of all files with this extension that are there: those belong to
    /// an earlier time.
    ///
    /// # Errors
    /// One of them cannot be moved.
    pub fn publish(self, folder: &Path, extension: &str) -> Result<()> {
        make_folder(folder)?;
        let publish = || -> io::Result<()> {
            for old in std::fs::read_dir(folder)? {
                let old = old?.path();
                let is_new = old.file_name().is_some_and(|name| self.folder().join(name).exists());
                if !is_new && old.is_file() && old.extension().is_some_and(|of_old| of_old == extension) {
                    std::fs::remove_file(old)?;
                }
            }
            for file in std::fs::read_dir(self.folder())? {
                let file = file?;
                std::fs::rename(file.path(), folder.join(file.file_name()))?;
            }
            sync_folder(folder)
        };
        publish().map_err(|e| Error::file(folder, format!("cannot be written: {}", plain_cause(&e))))
    }
}

/// Makes a folder and those above it.
///
/// # Errors
/// It cannot be made.
pub fn make_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)
        .map_err(|e| Error::file(folder, format!("the folder cannot be made: {}", plain_cause(&e))))
}

/// Makes a folder that files can be written to, so that one that cannot is told before the work, not after.
///
/// # Errors
/// It cannot be made, or not be written to.
pub fn make_writable_folder(folder: &Path) -> Result<()> {
    Staged::in_folder(folder).map(drop)
}

/// What a library makes of foreign bytes; `None` where it panics at them, as some readers do at what no writer writes.
pub fn unless_it_panics<T>(read: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(read)).ok()
}

/// An I/O error in plain words.
pub fn plain_cause(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::StorageFull => "the disk is full; free some space".into(),
        ErrorKind::QuotaExceeded => "your disk quota is used up; free some space".into(),
        ErrorKind::PermissionDenied => "no permission".into(),
        ErrorKind::ReadOnlyFilesystem => "the disk is read-only".into(),
        ErrorKind::NotFound => "no such file or folder".into(),
        ErrorKind::IsADirectory => "it is a folder".into(),
        ErrorKind::AlreadyExists => "a file of this name is in the way".into(),
        ErrorKind::NotADirectory => "a part of the path is a file, not a folder".into(),
        ErrorKind::FileTooLarge => "the disk does not take files this large".into(),
        _ => error.to_string(),
    }
}

/// The same where a library has put the I/O error into a text, `… (os error 28)`; other texts stay as they are.
pub fn cause_in(text: &str) -> String {
    let code = text.rsplit_once("(os error ").and_then(|(_, rest)| rest.split(')').next()?.parse().ok());
    code.map_or_else(|| text.to_string(), |code| plain_cause(&io::Error::from_raw_os_error(code)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_new_content_replaces_the_old() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_atomic(&path, |writer| writer.write_all(b"old")).unwrap();
        write_atomic(&path, |writer| writer.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn staged_files_appear_together_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("overlays");
        let stage = |name: &str| {
            let staged = Staged::in_folder(folder.path()).unwrap();
            write_atomic(staged.folder().join(name), |writer| writer.write_all(b"new")).unwrap();
            staged
        };
        drop(stage("a.png"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing stays of what was not finished");

        fs::create_dir(&target).unwrap();
        fs::write(target.join("b.png"), b"old").unwrap();
        stage("b.png").publish(&target, "png").unwrap();
        assert_eq!(fs::read(target.join("b.png")).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the temporary folder is gone");
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, "old").unwrap();
        let error = write_atomic(&path, |writer| {
            writer.write_all(b"half")?;
            Err(ErrorKind::StorageFull.into())
        })
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{}: cannot be written: the disk is full; free some space", path.display())
        );
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn an_error_code_within_a_text_is_put_into_words() {
        let text = "cannot write to 'x': No space left on device (os error 28)";
        assert_eq!(cause_in(text), "the disk is full; free some space");
        assert_eq!(cause_in("bad magic"), "bad magic");
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = write_atomic("/no/such/folder/a.txt", |_| Ok(())).unwrap_err();
        assert!(error.to_string().ends_with("there is no folder /no/such/folder"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_the_file_as_the_umask_says() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("a"), folder.path().join("b"));
        write_atomic(&ours, |_| Ok(())).unwrap();
        fs::write(&plain, "").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
