//! What the fuzz targets share: foreign bytes put into a file, as infoseg's readers get them.

use std::fs;
use std::path::Path;
use std::sync::Once;

/// Puts these files into a folder of their own and hands it to `read`. Fast where `TMPDIR` is in memory.
pub fn with_files(files: &[(&str, &[u8])], read: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for (name, bytes) in files {
        let path = folder.path().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).expect("a folder can be made");
        }
        fs::write(path, bytes).expect("the file can be written");
    }
    read(folder.path());
}

/// For a target whose readers call a library that panics, of which they make an error: what they let through still ends the
/// process. libFuzzer's own hook would at any panic.
pub fn only_what_escapes() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));
}

/// The first byte, to choose what the others are.
pub fn choice(bytes: &[u8], number: u8) -> Option<(u8, &[u8])> {
    bytes.split_first().map(|(first, rest)| (first % number, rest))
}
