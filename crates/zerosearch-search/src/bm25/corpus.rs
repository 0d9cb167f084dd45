//! A corpus file: one passage on each line, in JSON, plain or gzipped.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use serde_json::Value;

use super::Passage;

/// Why a corpus cannot be searched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CorpusError {
    /// The system would not give the file.
    #[error("the corpus {path} cannot be read: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file as a whole is not what it should be.
    #[error("the corpus {path} cannot be used: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// One line is not what it should be.
    #[error("the corpus {path}, line {line}: {problem}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong and what to do.
        problem: String,
    },
    /// One passage that was given in memory is not what it should be.
    #[error("passage {number}: {problem}")]
    Passage {
        /// Its place, counted from 1.
        number: u64,
        /// What is wrong.
        problem: String,
    },
    /// There is nothing to search.
    #[error("there is no passage to search")]
    Empty,
    /// The index could not be made.
    #[error("the index cannot be made: {0}")]
    Index(String),
}

/// The lines of a corpus file.
pub(super) struct Corpus {
    path: PathBuf,
    lines: Box<dyn BufRead>,
    line: u64,
}

impl Corpus {
    /// Opens the file at `path`. What it holds is told by its first bytes, not by its name.
    pub(super) fn open(path: &Path) -> Result<Self, CorpusError> {
        let failed = |source| CorpusError::Io { path: path.to_owned(), source };
        let refused = |problem: &str| CorpusError::File { path: path.to_owned(), problem: problem.into() };
        if path.is_dir() {
            return Err(refused("it is a folder; name the file in it"));
        }
        let mut reader = BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?);
        let lines: Box<dyn BufRead> = match reader.fill_buf().map_err(failed)? {
            [] => return Err(refused("it is empty")),
            [0x1f, 0x8b, ..] => Box::new(BufReader::new(MultiGzDecoder::new(reader))),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => return Err(refused("it is packed with zstd; unpack it first")),
            [b'P', b'A', b'R', b'1', ..] => {
                return Err(refused("it is Parquet; write one JSON object per line instead"));
            }
            [b'[', ..] => {
                return Err(refused("it is one JSON array; write one JSON object per line instead"));
            }
            _ => Box::new(reader),
        };
        Ok(Self { path: path.to_owned(), lines, line: 0 })
    }

    /// A complaint about the line that was read last.
    pub(super) fn complain(&self, problem: impl Into<String>) -> CorpusError {
        CorpusError::Line { path: self.path.clone(), line: self.line, problem: problem.into() }
    }

    /// The passage on the next line; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Passage>, CorpusError> {
        let mut line = Vec::new();
        self.line += 1;
        match self.lines.read_until(b'\n', &mut line) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(self.complain("the packed file ends too early; fetch it again"));
            }
            Err(why) => return Err(self.complain(format!("the file cannot be read on: {why}"))),
        }
        const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
        let content =
            if self.line == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line) } else { &line };
        passage(content).map(Some).map_err(|problem| self.complain(problem))
    }
}

fn passage(line: &[u8]) -> Result<Passage, String> {
    let text = std::str::from_utf8(line)
        .map_err(|why| format!("byte {} is not UTF-8; convert the file to UTF-8", why.valid_up_to() + 1))?;
    if text.trim().is_empty() {
        return Err("the line is empty; delete it".into());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(columns)) => Passage::of_row(&columns),
        Ok(_) => Err("this is not a JSON object; each line must be one, such as \
            {\"id\": \"1\", \"title\": \"...\", \"text\": \"...\"}"
            .into()),
        Err(why) if why.is_eof() && !line.ends_with(b"\n") => {
            Err("the last line is torn off in its middle; fetch the file again or delete that line".into())
        }
        Err(why) => Err(format!("this is not JSON: {why}")),
    }
}
