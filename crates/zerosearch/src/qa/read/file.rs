//! A question file: where it is, which of its rows are meant, and how it is opened.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use serde_json::{Map, Value};

use super::row::{Found, RowReader};
use super::{jsonl, parquet};
use crate::qa::{Origin, Question, QuestionError};

/// A file of questions. What it holds is told by its first bytes, not by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuestionFile {
    /// What records call it: as it was written, or its address on the hub.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// The data set that its questions belong to, whatever their `data_source` column says. Without it: that column,
    /// or else the file's name (its folder's name for files called `train`, `dev`, `validation` or `test`).
    pub source: Option<String>,
    /// Only the rows whose split (`split`, or `extra_info.split`) has this name.
    pub split: Option<String>,
    /// Where it was fetched from, if it was.
    pub origin: Option<Origin>,
}

impl QuestionFile {
    /// All rows of a file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { name: path.display().to_string(), path, source: None, split: None, origin: None }
    }
}

/// What to do with a row that has no question or no golden answer. Rows that cannot be read at all are always refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unusable {
    /// Stop, naming the row.
    #[default]
    Refuse,
    /// Leave it out and count it.
    Skip,
}

/// What a file gave.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// Its questions, in the file's order.
    pub(crate) questions: Vec<Question>,
    /// How many rows were left out because they had no question or no golden answer.
    pub(crate) skipped: usize,
    /// How many rows belong to another split.
    pub(crate) other_splits: usize,
}

/// Reads one file.
pub(crate) fn read(file: &QuestionFile, unusable: Unusable) -> Result<Read, QuestionError> {
    let path = &file.path;
    let reader = RowReader::new(file);
    let mut found = Read::default();
    let mut take = |row: u64, columns: &Map<String, Value>| match reader.question(row, columns) {
        Ok(Found::Question(question)) => {
            found.questions.push(question);
            Ok(())
        }
        Ok(Found::OtherSplit) => {
            found.other_splits += 1;
            Ok(())
        }
        Ok(Found::Unusable(_)) if unusable == Unusable::Skip => {
            found.skipped += 1;
            Ok(())
        }
        Ok(Found::Unusable(problem)) | Err(problem) => {
            Err(QuestionError::Row { path: path.clone(), row, problem })
        }
    };
    match open(path)? {
        Opened::Lines(mut lines) => jsonl::for_each_row(path, &mut *lines, &mut take)?,
        Opened::Parquet(file) => parquet::for_each_row(path, file, &mut take)?,
    }
    Ok(found)
}

/// What is called with each row's number and its columns.
pub(super) type Take<'a> = dyn FnMut(u64, &Map<String, Value>) -> Result<(), QuestionError> + 'a;

enum Opened {
    Lines(Box<dyn BufRead>),
    Parquet(File),
}

fn open(path: &Path) -> Result<Opened, QuestionError> {
    let failed = |source| QuestionError::Io { path: path.to_path_buf(), source };
    let refused = |problem: &str| QuestionError::File { path: path.to_path_buf(), problem: problem.into() };
    if path.is_dir() {
        return Err(refused("this is a folder; name the question files in it"));
    }
    let file = File::open(path).map_err(failed)?;
    let mut reader = BufReader::new(file.try_clone().map_err(failed)?);
    let start = reader.fill_buf().map_err(failed)?;
    match start {
        [] => Err(refused("the file is empty")),
        [0x1f, 0x8b, ..] => Ok(Opened::Lines(Box::new(BufReader::new(MultiGzDecoder::new(reader))))),
        [b'P', b'A', b'R', b'1', ..] => Ok(Opened::Parquet(file)),
        [b'[', ..] => Err(refused("this is one JSON array; write one JSON object per line instead")),
        _ => Ok(Opened::Lines(Box::new(reader))),
    }
}
