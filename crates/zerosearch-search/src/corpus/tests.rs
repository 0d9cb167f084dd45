//! Facts about corpora: every kind of file gives the same passages, and what is broken is told with its place.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};

use super::*;

const ROWS: &str = "{\"id\":0,\"title\":\"Emma\",\"text\":\"A novel.\"}\n\
                    {\"id\":1,\"contents\":\"\\\"Paris\\\"\\nA city.\"}";

fn all(path: &Path) -> Result<Vec<Passage>, CorpusError> {
    let mut corpus = Corpus::open(path)?;
    std::iter::from_fn(|| corpus.next().transpose()).collect()
}

fn written(folder: &Path, bytes: &[u8]) -> PathBuf {
    let path = folder.join("corpus");
    std::fs::write(&path, bytes).unwrap();
    path
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, it)| (name, it, true)));
    let batch = batch.unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn texts(texts: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(texts.to_vec()))
}

#[test]
fn every_kind_of_file_gives_the_same_passages() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = ROWS.split_once('\n').unwrap();
    let zstd = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
    let expected = [("0", "Emma", "A novel."), ("1", "Paris", "A city.")].map(|(id, title, text)| Passage {
        id: id.into(),
        title: title.into(),
        text: text.into(),
    });
    for bytes in [
        ROWS.into(),
        ["\u{feff}", ROWS, "\n"].concat().into_bytes(),
        gzipped(ROWS),
        // Packers that work on several cores write one member, or frame, after another.
        [gzipped(first), gzipped(&format!("\n{second}"))].concat(),
        zstd(ROWS),
        [zstd(first), zstd(&format!("\n{second}"))].concat(),
    ] {
        assert_eq!(all(&written(folder.path(), &bytes)).unwrap(), expected, "{:?}", &bytes[..4]);
    }
    let path = folder.path().join("corpus.parquet");
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![0, 1]));
    parquet(
        &path,
        vec![
            ("id", Arc::clone(&numbers)),
            ("score", numbers),
            ("title", texts(&[Some("Emma"), None])),
            ("text", texts(&[Some("A novel."), None])),
            ("contents", texts(&[None, Some("\"Paris\"\nA city.")])),
        ],
    );
    assert_eq!(all(&path).unwrap(), expected);
}

#[test]
fn a_broken_row_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let good = "{\"id\":1,\"text\":\"a\"}\n";
    for (rest, what) in [
        ("{\"id\":2,\"te\n", "line 2: this is not JSON"),
        ("{\"id\":2,\"te", "line 2: the last line is torn off"),
        ("[1]\n", "line 2: this is not a JSON object"),
        ("\n", "line 2: the line is empty"),
        ("{\"id\":2}\n", "line 2: columns `text` and `contents`"),
        ("{\"text\":\"b\"}\n", "line 2: column `id`"),
    ] {
        let told = all(&written(folder.path(), &[good, rest].concat().into_bytes())).unwrap_err().to_string();
        assert!(told.contains(what), "{told}");
    }
    let path = folder.path().join("corpus.parquet");
    parquet(&path, vec![("id", texts(&[Some("a"), Some("b")])), ("text", texts(&[Some("x"), None]))]);
    let told = all(&path).unwrap_err().to_string();
    assert!(told.contains("row 2: columns `text` and `contents`"), "{told}");
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    parquet(&path, vec![("id", texts(&[Some("a")])), ("text", numbers)]);
    let told = all(&path).unwrap_err().to_string();
    assert!(told.contains("row 1: column `text` holds something else than text"), "{told}");
}

#[test]
fn a_broken_file_is_refused_with_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let told = |bytes: &[u8]| all(&written(folder.path(), bytes)).unwrap_err().to_string();
    assert!(told(b"").contains("it is empty"));
    assert!(told(b"[{}]").contains("one JSON array"));
    assert!(told(b"PAR1").contains("the Parquet file cannot be read"));
    assert!(told(b"{\"id\":1,\"text\":\"\xff\"}").contains("byte 17 is not UTF-8"));
    for packed in [gzipped(ROWS), zstd::encode_all(ROWS.as_bytes(), 1).unwrap()] {
        let told = told(&packed[..packed.len() - 5]);
        assert!(told.contains("the packed file ends too early"), "{told}");
    }
    let path = folder.path().join("corpus.parquet");
    parquet(&path, vec![("question", texts(&[Some("why")]))]);
    let named = all(&path).unwrap_err().to_string();
    assert!(named.contains("none of its columns is called id, title, text, contents"), "{named}");
    let gone = all(&folder.path().join("gone")).unwrap_err();
    assert!(gone.to_string().contains("gone cannot be read"));
}
