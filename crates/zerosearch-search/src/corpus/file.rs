//! A corpus file: JSON lines, plain or packed, or Parquet.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::lines::Lines;
use super::parquet::ParquetRows;
use super::{CorpusError, Passage};

/// The passages of a file, in their order.
pub(crate) struct Corpus {
    path: PathBuf,
    rows: Rows,
    number: u64,
}

enum Rows {
    /// The lines, the file that their bytes come from, and its size.
    Lines(Lines, File, u64),
    Parquet(ParquetRows),
}

impl Corpus {
    /// Opens the file at `path`. What it holds is told by its first bytes, not by its name.
    pub(crate) fn open(path: &Path) -> Result<Self, CorpusError> {
        let failed = |source| CorpusError::Io { path: path.to_owned(), source };
        let refused = |problem: &str| CorpusError::File { path: path.to_owned(), problem: problem.into() };
        if path.is_dir() {
            return Err(refused("it is a folder; name the file in it"));
        }
        let file = File::open(path).map_err(failed)?;
        let mut reader = BufReader::with_capacity(1 << 16, file.try_clone().map_err(failed)?);
        let bytes: Box<dyn BufRead> = match reader.fill_buf().map_err(failed)? {
            [] => return Err(refused("it is empty")),
            [0x1f, 0x8b, ..] => Box::new(BufReader::new(MultiGzDecoder::new(reader))),
            // A frame, or one that is skipped, as `pzstd` writes them.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                Box::new(BufReader::new(zstd::Decoder::with_buffer(reader).map_err(failed)?))
            }
            [b'P', b'A', b'R', b'1', ..] => {
                let rows = Rows::Parquet(ParquetRows::open(file).map_err(|problem| refused(&problem))?);
                return Ok(Self { path: path.to_owned(), rows, number: 0 });
            }
            [b'[', ..] => {
                return Err(refused("it is one JSON array; write one JSON object per line instead"));
            }
            _ => Box::new(reader),
        };
        let size = file.metadata().map_err(failed)?.len();
        let rows = Rows::Lines(Lines::new(bytes), file, size);
        Ok(Self { path: path.to_owned(), rows, number: 0 })
    }

    /// A complaint about the row that was read last.
    pub(crate) fn complain(&self, problem: impl Into<String>) -> CorpusError {
        let unit = match self.rows {
            Rows::Lines(..) => "line",
            Rows::Parquet(_) => "row",
        };
        CorpusError::Row { path: self.path.clone(), unit, number: self.number, problem: problem.into() }
    }

    /// The share of the file that was read, from 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        match &self.rows {
            // The reader's handle and this one have one position.
            Rows::Lines(_, file, size) => {
                (&*file).stream_position().map_or(0.0, |at| at as f64 / (*size).max(1) as f64)
            }
            Rows::Parquet(rows) => self.number as f64 / rows.total().max(1) as f64,
        }
    }

    /// The passage in the next row; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Passage>, CorpusError> {
        self.number += 1;
        let passage = match &mut self.rows {
            Rows::Lines(lines, ..) => lines.next(),
            Rows::Parquet(rows) => rows.next(),
        };
        passage.map_err(|problem| self.complain(problem))
    }
}
