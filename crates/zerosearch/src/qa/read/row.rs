//! A row: what the columns of the plain, the FlashRAG and the verl schema mean.
//!
//! | column | meaning |
//! |---|---|
//! | `question` | the bare question |
//! | `golden_answers`, `answers`, `answer`, else `reward_model.ground_truth.target` | a golden answer or a list of them |
//! | `id` | text or number; without it, `<file stem>:<row>` |
//! | `data_source` | the data set's name |
//! | `prompt` | the row's own prompt: a chat, or the words of one user message |
//! | `split`, else `extra_info.split` | the split it belongs to |
//!
//! `reward_spec` (SkyRL) is read as `reward_model` (verl). Other columns are ignored.

use std::path::Path;

use serde_json::{Map, Value};
use zerosearch_learner::text::Message;

use super::QuestionFile;
use crate::qa::Question;

/// The columns that have a meaning.
pub(super) const COLUMNS: [&str; 11] = [
    "question",
    "golden_answers",
    "answers",
    "answer",
    "id",
    "data_source",
    "prompt",
    "split",
    "reward_model",
    "reward_spec",
    "extra_info",
];

/// What a row turned out to be.
pub(super) enum Found {
    /// A question of the wanted split.
    Question(Question),
    /// A question of another split.
    OtherSplit,
    /// A row without a question or without a golden answer, and which of the two.
    Unusable(String),
}

/// Turns the rows of one file into questions.
pub(super) struct RowReader<'a> {
    file: &'a QuestionFile,
    stem: String,
    /// The data set's name, where no column tells it.
    name: String,
}

impl<'a> RowReader<'a> {
    pub(super) fn new(file: &'a QuestionFile) -> Self {
        Self { file, stem: stem(&file.path), name: file.own_name() }
    }

    /// The question in this row, or what is wrong with a column of it.
    pub(super) fn question(&self, row: u64, columns: &Map<String, Value>) -> Result<Found, String> {
        if !self.in_split(columns)? {
            return Ok(Found::OtherSplit);
        }
        let Some(text) = text(columns, "question")? else {
            return Ok(Found::Unusable("no question: column `question` is missing or empty".into()));
        };
        let golden_answers = golden_answers(columns)?;
        if golden_answers.is_empty() {
            return Ok(Found::Unusable(
                "no golden answer: columns `golden_answers`, `answers`, `answer` and \
                 `reward_model.ground_truth.target` are missing or empty"
                    .into(),
            ));
        }
        Ok(Found::Question(Question {
            id: id(columns)?.unwrap_or_else(|| format!("{}:{row}", self.stem)),
            source: self.source(columns)?,
            text: text.to_string(),
            golden_answers,
            prompt: prompt(columns)?,
        }))
    }

    fn in_split(&self, columns: &Map<String, Value>) -> Result<bool, String> {
        let Some(wanted) = &self.file.split else { return Ok(true) };
        let extra = match columns.get("extra_info") {
            Some(Value::Object(extra)) => text(extra, "split")?,
            _ => None,
        };
        match text(columns, "split")?.or(extra) {
            Some(split) => Ok(split == wanted),
            None => Err(format!(
                "the split `{wanted}` was asked for, but the row has no `split` and no `extra_info.split`"
            )),
        }
    }

    fn source(&self, columns: &Map<String, Value>) -> Result<String, String> {
        if let Some(source) = &self.file.source {
            return Ok(source.clone());
        }
        Ok(text(columns, "data_source")?.map_or_else(|| self.name.clone(), str::to_string))
    }
}

impl QuestionFile {
    /// What its place says about the data set: the name of its questions where nothing else tells it.
    pub(crate) fn own_name(&self) -> String {
        match &self.origin {
            Some(origin) => name_of(&origin.telling_path()),
            None => name_of(&self.path),
        }
    }
}

/// The name of a file up to its first dot.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_string()
}

/// What a file's path says about the data set: its stem, or its folder where the stem is that of a split.
fn name_of(path: &Path) -> String {
    let stem = stem(path);
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let says_nothing = matches!(stem.as_str(), "train" | "dev" | "validation" | "test");
    if says_nothing && !folder.is_empty() { folder.into_owned() } else { stem }
}

/// The trimmed text in a column; `None` where it is missing, null or blank.
fn text<'a>(columns: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match columns.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
        Some(other) => Err(format!("column `{name}` holds {}, not text", kind(other))),
    }
}

fn id(columns: &Map<String, Value>) -> Result<Option<String>, String> {
    match columns.get("id") {
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        _ => Ok(text(columns, "id")?.map(str::to_string)),
    }
}

/// The answers of the first column that has any.
fn golden_answers(columns: &Map<String, Value>) -> Result<Vec<String>, String> {
    for name in ["golden_answers", "answers", "answer"] {
        let answers = answers(name, columns.get(name))?;
        if !answers.is_empty() {
            return Ok(answers);
        }
    }
    for name in ["reward_model", "reward_spec"] {
        let truth = columns.get(name).and_then(|model| model.get("ground_truth"));
        let target = match truth {
            Some(Value::Object(truth)) => truth.get("target"),
            other => other,
        };
        let answers = answers(&format!("{name}.ground_truth.target"), target)?;
        if !answers.is_empty() {
            return Ok(answers);
        }
    }
    Ok(Vec::new())
}

/// One answer or a list of them; null and blank ones are left out, numbers are written out.
fn answers(name: &str, value: Option<&Value>) -> Result<Vec<String>, String> {
    let list = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    let mut answers = Vec::with_capacity(list.len());
    for entry in list {
        match entry {
            Value::Null => {}
            Value::String(text) if text.trim().is_empty() => {}
            Value::String(text) => answers.push(text.trim().to_string()),
            Value::Number(number) => answers.push(number.to_string()),
            other => {
                return Err(format!("column `{name}` holds {}, not text or a list of texts", kind(other)));
            }
        }
    }
    Ok(answers)
}

fn prompt(columns: &Map<String, Value>) -> Result<Option<Vec<Message>>, String> {
    let wrong =
        || "column `prompt` is not a list of messages with the texts `role` and `content`".to_string();
    match columns.get("prompt") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(words)) if words.trim().is_empty() => Ok(None),
        Some(Value::String(words)) => Ok(Some(vec![Message { role: "user".into(), content: words.clone() }])),
        Some(Value::Array(messages)) if messages.is_empty() => Ok(None),
        Some(Value::Array(messages)) => {
            let message = |value: &Value| {
                let part = |name| value.get(name).and_then(Value::as_str).map(str::to_string);
                Some(Message { role: part("role")?, content: part("content")? })
            };
            messages.iter().map(message).collect::<Option<_>>().map(Some).ok_or_else(wrong)
        }
        Some(_) => Err(wrong()),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
