//! The beginning of an index that is made or taken up: its folder holds nothing of others, and what is in it already is
//! the beginning of the corpus.

use std::ffi::OsStr;
use std::path::Path;

use super::{IndexError, Manifest, Pace, Stage, Watch};
use crate::corpus::{Extent, Reading};

/// How the making of an index ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Built {
    /// It is finished now.
    Made(Manifest),
    /// It was finished before, and is of this corpus and these settings.
    Known(Manifest),
    /// It was told to stop. So many passages are kept.
    Left(u64),
}

/// Passages between two looks at the watch.
const LOOK_EVERY: u64 = 256;

/// Whether to stop; asked every so many passages.
pub(crate) fn look(reading: &Reading, stage: Stage, watch: &mut Watch<'_>) -> bool {
    let passages = reading.passages();
    passages.is_multiple_of(LOOK_EVERY) && !watch(Pace { stage, passages, share: reading.share() })
}

/// Reads once more what the index in `folder` has `done`. False when it was told to stop.
///
/// # Errors
/// When that is not how the corpus begins.
pub(crate) fn catch_up(
    reading: &mut Reading,
    done: &Extent,
    folder: &Path,
    watch: &mut Watch<'_>,
) -> Result<bool, IndexError> {
    while reading.passages() < done.passages {
        if look(reading, Stage::Comparing, watch) {
            return Ok(false);
        }
        if reading.next()?.is_none() {
            break;
        }
    }
    if done.passages == 0 || reading.extent() == *done {
        return Ok(true);
    }
    Err(is_of_another_corpus(reading, folder))
}

/// Leaves the finished index in `folder` as it is, when all of the corpus is in it and nothing else.
pub(crate) fn recognise(
    reading: &mut Reading,
    manifest: Manifest,
    folder: &Path,
    watch: &mut Watch<'_>,
) -> Result<Built, IndexError> {
    if !catch_up(reading, &manifest.corpus, folder, watch)? {
        return Ok(Built::Left(manifest.corpus.passages));
    }
    match reading.next()? {
        None => Ok(Built::Known(manifest)),
        Some(_) => Err(is_of_another_corpus(reading, folder)),
    }
}

fn is_of_another_corpus(reading: &Reading, folder: &Path) -> IndexError {
    let problem = format!(
        "was begun with another corpus than {}; name another folder with --out, or delete this one",
        reading.path().display()
    );
    IndexError::folder(folder, problem)
}

/// Refuses a folder with files that no index has put there.
pub(crate) fn refuse_strangers(folder: &Path, is_own: impl Fn(&OsStr) -> bool) -> Result<(), IndexError> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let name = entry.map_err(IndexError::read(folder))?.file_name();
        if !is_own(&name) {
            let problem = format!("cannot be made there: the folder holds {}; name another", name.display());
            return Err(IndexError::folder(folder, problem));
        }
    }
    Ok(())
}
