//! Aside: where a file is written before it gets its name, which is thus that of a whole file always.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Makes `bytes` the content of the file `name` in `folder`: written under a hidden name, synced, renamed.
pub(crate) fn replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let aside = folder.join(format!(".{name}"));
    let mut file = File::create(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&aside, folder.join(name))?;
    File::open(folder)?.sync_all()
}
