//! A passage: a text of a corpus that can be found by its words.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The columns of a row that have a meaning.
pub(super) const COLUMNS: [&str; 4] = ["id", "title", "text", "contents"];

/// One text of a corpus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// Its identifier; no other passage of the corpus has the same.
    pub id: String,
    /// Its title; may be empty.
    pub title: String,
    /// Its text; never blank.
    pub text: String,
}

impl Passage {
    /// The passage that a row of a corpus file tells of: `id` with `text` and, if there is one, `title`; or `id` with
    /// `contents`, whose first line is the title. The error says which column is wrong, and how.
    pub(super) fn of_row(columns: &Map<String, Value>) -> Result<Self, String> {
        let id = match columns.get("id") {
            Some(Value::Number(number)) => number.to_string(),
            _ => text(columns, "id")?.ok_or("column `id` is missing or empty")?.to_owned(),
        };
        if let Some(body) = text(columns, "text")? {
            let title = text(columns, "title")?.unwrap_or_default();
            return Ok(Self { id, title: title.to_owned(), text: body.to_owned() });
        }
        let contents =
            text(columns, "contents")?.ok_or("columns `text` and `contents` are missing or empty")?;
        let (title, body) = title_and_text(contents);
        if body.is_empty() {
            return Err("column `contents` holds a title and no text".into());
        }
        Ok(Self { id, title: title.to_owned(), text: body.to_owned() })
    }

    /// Adds it to a hash over passages; no two lists of passages are the same there.
    pub(crate) fn hash_into(&self, hash: &mut Sha256) {
        for column in [&self.id, &self.title, &self.text] {
            hash.update((column.len() as u64).to_le_bytes());
            hash.update(column);
        }
    }
}

/// The title in the first line, where there is more than one line or the line stands in quotes, and the rest.
pub(crate) fn title_and_text(contents: &str) -> (&str, &str) {
    let contents = contents.trim();
    let unquoted = |line: &'_ str| line.len() > 1 && line.starts_with('"') && line.ends_with('"');
    let (first, rest) = match contents.split_once('\n') {
        Some((first, rest)) => (first.trim(), rest.trim()),
        None if unquoted(contents) => (contents, ""),
        None => return ("", contents),
    };
    if unquoted(first) { (first[1..first.len() - 1].trim(), rest) } else { (first, rest) }
}

/// The trimmed text in a column; `None` where it is missing, null or blank.
fn text<'a>(columns: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match columns.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
        Some(_) => Err(format!("column `{name}` holds something else than text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(row: &str) -> Result<Passage, String> {
        Passage::of_row(serde_json::from_str::<Value>(row).unwrap().as_object().unwrap())
    }

    fn some(id: &str, title: &str, text: &str) -> Result<Passage, String> {
        Ok(Passage { id: id.into(), title: title.into(), text: text.into() })
    }

    /// The second form is that of the wiki-18 corpus that Search-R1 and FlashRAG search.
    #[test]
    fn both_forms_of_rows_are_read() {
        assert_eq!(
            passage(r#"{"id":7,"title":" Emma ","text":"A novel.","src":[1]}"#),
            some("7", "Emma", "A novel.")
        );
        assert_eq!(
            passage(r#"{"id":"a","contents":"\"Emma\"\nA novel.\nOf 1815."}"#),
            some("a", "Emma", "A novel.\nOf 1815.")
        );
        assert_eq!(passage(r#"{"id":"a","contents":"Emma\nA novel."}"#), some("a", "Emma", "A novel."));
        assert_eq!(passage(r#"{"id":"a","contents":"A novel."}"#), some("a", "", "A novel."));
        assert_eq!(passage(r#"{"id":"a","text":"A novel.","title":null}"#), some("a", "", "A novel."));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (row, what) in [
            (r#"{"text":"a"}"#, "`id` is missing"),
            (r#"{"id":" ","text":"a"}"#, "`id` is missing or empty"),
            (r#"{"id":1,"title":"a"}"#, "`text` and `contents`"),
            (r#"{"id":1,"text":" "}"#, "`text` and `contents`"),
            (r#"{"id":1,"text":["a"]}"#, "`text` holds something else"),
            (r#"{"id":1,"contents":"\"Emma\""}"#, "a title and no text"),
        ] {
            assert!(passage(row).unwrap_err().contains(what), "{row}: {:?}", passage(row));
        }
    }
}
