//! The repository's files, as a clean clone has them.

use std::path::{Path, PathBuf};

/// A text file and its path from the root, with `/` between folders.
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

/// Folders (`.git` may be a file) at any depth that are made, not written.
const MADE: [&str; 4] = ["target", "runs", ".git", "__pycache__"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every text file. Files that are not UTF-8 (weights, compressed rows) are left out.
pub(super) fn files() -> Vec<File> {
    let mut found = Vec::new();
    walk(&root(), "", &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 100, "only {} files were found, so the walk is broken", found.len());
    found
}

/// Every Rust source file.
pub(super) fn rust_files() -> Vec<File> {
    files().into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}

/// One file that has to be there.
pub(super) fn read(path: &str) -> File {
    let text = std::fs::read_to_string(root().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"));
    File { path: path.to_owned(), text }
}

/// Whether a path from the root leads to a file or folder.
pub(super) fn exists(path: &str) -> bool {
    root().join(path).exists()
}

fn walk(folder: &Path, path: &str, found: &mut Vec<File>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        let kind = entry.file_type().unwrap();
        if MADE.contains(&name.as_str()) {
            continue;
        }
        if kind.is_dir() {
            walk(&entry.path(), &path, found);
        } else if kind.is_file()
            && let Ok(text) = std::fs::read_to_string(entry.path())
        {
            found.push(File { path, text });
        }
    }
}
