//! A dialect: how one family of programs words a `/retrieve` request, and what they reply.
//!
//! | dialect | request | reply |
//! |---|---|---|
//! | Search-R1, verl, slime | `{"queries": [query], "topk": k, "return_scores": true}` | `{"result": [[{"document": {"id", "contents"}, "score"}]]}` |
//! | SkyRL | `{"query": query, "topk": k, "return_scores": true}` | the same |
//! | ZeroSearch | `{"query": query, "top_k": k}` | `[{"text"}]` |
//!
//! Servers of all three take liberties with replies (a list for each query or one list, documents bare or beside
//! their score, `contents` or `title` and `text`), so that one reader takes them all.

use serde_json::{Value, json};

use crate::corpus::title_and_text;

/// How a `/retrieve` server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// That of Search-R1's server, and of verl and slime.
    SearchR1,
    /// SkyRL's.
    SkyRl,
    /// ZeroSearch's, for its Wikipedia server.
    ZeroSearch,
}

impl Dialect {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SearchR1 => "search-r1",
            Self::SkyRl => "skyrl",
            Self::ZeroSearch => "zerosearch",
        }
    }

    /// The JSON body that asks for `k` documents.
    pub(super) fn body(self, query: &str, k: usize) -> Value {
        match self {
            Self::SearchR1 => json!({ "queries": [query], "topk": k, "return_scores": true }),
            Self::SkyRl => json!({ "query": query, "topk": k, "return_scores": true }),
            Self::ZeroSearch => json!({ "query": query, "top_k": k }),
        }
    }
}

/// One document of a reply, as it came.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Raw {
    pub(super) id: Option<String>,
    pub(super) title: String,
    pub(super) text: String,
    pub(super) score: Option<f32>,
}

/// The documents of a reply; says what is wrong with it otherwise.
pub(super) fn read(body: &[u8]) -> Result<Vec<Raw>, String> {
    let reply: Value = serde_json::from_slice(body).map_err(|why| format!("not JSON: {why}"))?;
    let result = match reply {
        Value::Object(mut fields) => fields.remove("result").ok_or("a reply without `result`")?,
        other => other,
    };
    let Value::Array(mut list) = result else { return Err("a result that is no list".into()) };
    if matches!(list.first(), Some(Value::Array(_))) {
        match (list.len(), list.pop()) {
            (1, Some(Value::Array(own))) => list = own,
            (queries, _) => return Err(format!("lists for {queries} queries, one was asked")),
        }
    }
    list.into_iter().map(document).collect()
}

fn document(value: Value) -> Result<Raw, String> {
    let score = value.get("score").and_then(Value::as_f64).map(|score| score as f32);
    let inner = value.get("document").unwrap_or(&value);
    let field = |name: &str| inner.get(name).and_then(Value::as_str);
    let contents = inner.as_str().or_else(|| field("contents"));
    let (title, text) = match (field("text"), contents) {
        (Some(text), _) => (field("title").unwrap_or_default(), text),
        (None, Some(contents)) => title_and_text(contents),
        (None, None) => return Err("a document with neither `text` nor `contents`".into()),
    };
    let id = match inner.get("id") {
        Some(Value::String(id)) => Some(id.clone()),
        Some(Value::Number(id)) => Some(id.to_string()),
        _ => None,
    };
    Ok(Raw { id, title: title.to_owned(), text: text.to_owned(), score })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_has_its_own_words() {
        let body = |dialect: Dialect| dialect.body("who \"x\"", 3);
        assert_eq!(
            body(Dialect::SearchR1),
            json!({"queries": ["who \"x\""], "topk": 3, "return_scores": true})
        );
        assert_eq!(body(Dialect::SkyRl), json!({"query": "who \"x\"", "topk": 3, "return_scores": true}));
        assert_eq!(body(Dialect::ZeroSearch), json!({"query": "who \"x\"", "top_k": 3}));
    }

    /// The first is what Search-R1's server replies, the third what it replies without scores, the fourth that of its
    /// reranking server, the last ZeroSearch's.
    #[test]
    fn all_forms_of_replies_are_read() {
        let emma = |id: Option<&str>, score| Raw {
            id: id.map(str::to_owned),
            title: "Emma".into(),
            text: "A novel.".into(),
            score,
        };
        let contents = r#""contents":"\"Emma\"\nA novel.""#;
        for (reply, expected) in [
            (
                format!(r#"{{"result":[[{{"document":{{"id":"7",{contents}}},"score":1.5}}]]}}"#),
                emma(Some("7"), Some(1.5)),
            ),
            (
                format!(r#"{{"result":[{{"document":{{"id":7,{contents}}},"score":2}}]}}"#),
                emma(Some("7"), Some(2.0)),
            ),
            (format!(r#"{{"result":[[{{{contents}}}]]}}"#), emma(None, None)),
            (r#"{"result":[["\"Emma\"\nA novel."]]}"#.into(), emma(None, None)),
            (r#"[{"title":"Emma","text":"A novel."}]"#.into(), emma(None, None)),
        ] {
            assert_eq!(read(reply.as_bytes()).unwrap(), [expected], "{reply}");
        }
        for nothing in ["{\"result\":[[]]}", "{\"result\":[]}", "[]"] {
            assert_eq!(read(nothing.as_bytes()).unwrap(), [], "{nothing}");
        }
    }

    #[test]
    fn replies_that_are_none_are_named() {
        for (reply, what) in [
            ("<html>", "not JSON"),
            ("{\"result\":[[{\"docu", "not JSON"),
            ("{\"error\":\"x\"}", "without `result`"),
            ("{\"result\":7}", "no list"),
            ("{\"result\":[[],[]]}", "2 queries"),
            ("[{\"body\":\"x\"}]", "neither `text` nor `contents`"),
        ] {
            let why = read(reply.as_bytes()).unwrap_err();
            assert!(why.contains(what), "{reply}: {why}");
        }
    }
}
