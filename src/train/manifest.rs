//! The checksums of a checkpoint: `manifest.txt`, a line `crc32 bytes name` for each file, and its own checksum last.

use crate::files::plain_cause;
use crate::{Error, Result};
use flate2::Crc;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

const NAME: &str = "manifest.txt";

/// Writes the manifest of all files in a folder.
///
/// # Errors
/// A file cannot be read, or the manifest not written.
pub fn write(folder: &Path) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    let mut text = String::new();
    for name in names {
        let (sum, bytes) = checksum(&folder.join(&name))?;
        let _ = writeln!(text, "{sum:08x} {bytes} {name}");
    }
    let mut own = Crc::new();
    own.update(text.as_bytes());
    let _ = writeln!(text, "{:08x}", own.sum());
    fs::write(folder.join(NAME), text)
}

/// Checks every file of a folder. One without a manifest, of an earlier version, is not checked.
///
/// # Errors
/// Names the first file that is missing, cannot be read, or is not as it was written.
pub fn verify(folder: &Path) -> Result<()> {
    let path = folder.join(NAME);
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(Error::file(&path, plain_cause(&cause))),
    };
    let broken = || Error::file(&path, "is damaged");
    let (lines, own) = text.trim_end_matches('\n').rsplit_once('\n').ok_or_else(broken)?;
    let mut sum = Crc::new();
    sum.update(lines.as_bytes());
    sum.update(b"\n");
    if own != format!("{:08x}", sum.sum()) {
        return Err(broken());
    }
    for line in lines.lines() {
        let mut words = line.splitn(3, ' ');
        let (Some(sum), Some(bytes), Some(name)) = (words.next(), words.next(), words.next()) else {
            return Err(broken());
        };
        // None but the files beside it: what is elsewhere may never end.
        if name.contains(['/', '\\']) {
            return Err(broken());
        }
        let path = folder.join(name);
        let (is, length) = checksum(&path).map_err(|cause| Error::file(&path, plain_cause(&cause)))?;
        if (sum, bytes) != (format!("{is:08x}").as_str(), length.to_string().as_str()) {
            return Err(Error::file(&path, "is damaged: its checksum is not the one it was saved with"));
        }
    }
    Ok(())
}

fn checksum(path: &Path) -> io::Result<(u32, u64)> {
    let mut file = File::open(path)?;
    let mut crc = Crc::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((crc.sum(), bytes)),
            read => {
                crc.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_missing_file_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(verify(folder.path()).is_ok(), "of an earlier version");
        fs::write(path("a"), b"some weights").unwrap();
        fs::write(path("b"), b"").unwrap();
        write(folder.path()).unwrap();
        verify(folder.path()).unwrap();
        for name in ["a", NAME] {
            let whole = fs::read(path(name)).unwrap();
            for bit in 0..whole.len() * 8 {
                let mut flipped = whole.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                fs::write(path(name), &flipped).unwrap();
                assert!(verify(folder.path()).is_err(), "{name}, bit {bit}");
            }
            fs::write(path(name), &whole).unwrap();
        }
        fs::remove_file(path("b")).unwrap();
        assert!(verify(folder.path()).unwrap_err().to_string().contains("/b: "));
    }

    #[test]
    fn no_file_elsewhere_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let text = "00000000 0 /dev/zero\n"; // which never ends
        let mut own = Crc::new();
        own.update(text.as_bytes());
        fs::write(folder.path().join(NAME), format!("{text}{:08x}\n", own.sum())).unwrap();
        assert!(verify(folder.path()).unwrap_err().to_string().contains("manifest.txt: is damaged"));
    }
}
