//! A dialect: how one family of clients words a `/retrieve` request, and what it expects back.
//!
//! | dialect | request | reply |
//! |---|---|---|
//! | Search-R1, verl, slime | `{"queries": [query], "topk": k, "return_scores": bool}` | `{"result": [[..]]}`, a list for each query |
//! | SkyRL | `{"query": query, "topk": k, "return_scores": bool}` | the same, with one list |
//! | ZeroSearch | `{"query": query, "top_k": k}` | `[{"text"}]` |
//!
//! In each of them what a simulated engine should write may come along, for all queries alike or query by query.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zerosearch_search::{Document, Label};

use super::super::refusal::Refusal;
use super::request::{Kind, SearchRequest};

/// A request in any of the three dialects; the fields that are there tell which. Give `queries`, or `query`.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetrieveRequest {
    /// Queries, in the dialect of Search-R1.
    queries: Option<Vec<String>>,
    /// One query, in the dialects of SkyRL and ZeroSearch.
    query: Option<String>,
    /// How many documents, as Search-R1 and SkyRL ask for them; null or 0 for the server's default.
    topk: Option<usize>,
    /// How many documents, as ZeroSearch asks for them.
    top_k: Option<usize>,
    /// Documents beside their scores, or alone.
    return_scores: Option<bool>,
    /// What a simulated engine should write, for all documents of all queries alike.
    #[schema(value_type = Option<Kind>)]
    label: Option<Label>,
    /// The same, document by document; with `queries`, query by query, each a label or a list with one for each document.
    #[schema(value_type = Option<Vec<OneOrEach<Kind>>>)]
    labels: Option<Vec<OneOrEach<Label>>>,
    /// The chance that a simulated engine is told to write noise; every query has a coin of its own.
    #[schema(minimum = 0, maximum = 1)]
    noise: Option<f64>,
    /// Decides what a simulated engine writes; query i of `queries` has the seed + i.
    seed: Option<u64>,
    /// The question behind the query; with `queries`, of all or a list with one for each.
    question: Option<OneOrEach<String>>,
    /// Its right answers; with `queries`, of all or a list of lists, one for each.
    golden_answers: Option<Vec<OneOrEach<String>>>,
}

/// One, or a list.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "neither one value nor a list of such")]
pub(super) enum OneOrEach<T> {
    /// One.
    One(T),
    /// A list.
    Each(Vec<T>),
}

/// What a client of `/retrieve` gets.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum RetrieveReply {
    /// For Search-R1 and SkyRL: a list for each query.
    Lists {
        /// In the order of the queries.
        result: Vec<Vec<Hit>>,
    },
    /// For ZeroSearch.
    Texts(Vec<Passage>),
}

/// One result.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Hit {
    /// With `return_scores`.
    Scored {
        /// The document.
        document: Passage,
        /// Higher is better, on the engine's own scale; null from an engine that gives none, as simulated ones.
        score: Option<f32>,
    },
    /// Without.
    Bare(Passage),
}

/// A document as trainers read it.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct Passage {
    /// The engine's own identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The title; may be empty.
    title: String,
    /// The text, without the title.
    text: String,
    /// The title in quotes, a line end, the text.
    contents: String,
    /// What a simulated engine was asked to write.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<Kind>,
}

/// What was asked, query by query, and how it is to be told.
#[derive(Debug, PartialEq)]
pub(super) struct Errand {
    pub(super) requests: Vec<SearchRequest>,
    pub(super) manner: Manner,
}

/// How documents are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Lists { scores: bool },
    Texts,
}

impl RetrieveRequest {
    /// What it asks for.
    pub(super) fn errand(self) -> Result<Errand, Refusal> {
        let scores = self.return_scores;
        let manner = match (self.top_k, self.topk, scores) {
            (Some(_), Some(_), _) => return Err(contradict("top_k", "topk")),
            (Some(_), None, Some(_)) => return Err(contradict("top_k", "return_scores")),
            (Some(_), None, None) if self.queries.is_none() => Manner::Texts,
            _ => Manner::Lists { scores: scores.unwrap_or(false) },
        };
        let requests = match (&self.queries, &self.query) {
            (Some(_), Some(_)) => return Err(contradict("queries", "query")),
            (None, None) => {
                return Err(
                    Refusal::bad("no query was sent; send `queries` (a list) or `query`").about("queries")
                );
            }
            (Some(queries), None) => {
                (0..queries.len()).map(|at| self.request_at(at, queries)).collect::<Result<_, _>>()?
            }
            (None, Some(query)) => vec![self.only_request(query)?],
        };
        Ok(Errand { requests, manner })
    }

    fn only_request(&self, query: &str) -> Result<SearchRequest, Refusal> {
        let question = self.question.clone().map(|it| one("question", it)).transpose()?;
        Ok(SearchRequest {
            labels: self.labels.clone().map(|it| all_one("labels", it)).transpose()?,
            golden_answers: self
                .golden_answers
                .clone()
                .map(|it| all_one("golden_answers", it))
                .transpose()?,
            question,
            ..self.shared(query, 0)
        })
    }

    /// Query `at` of several.
    fn request_at(&self, at: usize, queries: &[String]) -> Result<SearchRequest, Refusal> {
        let count = queries.len();
        let mut request = self.shared(&queries[at], at as u64);
        if let Some(labels) = &self.labels {
            match of("labels", labels, at, count)? {
                OneOrEach::One(label) => request.label = Some(*label),
                OneOrEach::Each(labels) => request.labels = Some(labels.clone()),
            }
        }
        request.question = match &self.question {
            None => None,
            Some(OneOrEach::One(question)) => Some(question.clone()),
            Some(OneOrEach::Each(questions)) => Some(of("question", questions, at, count)?.clone()),
        };
        request.golden_answers = match &self.golden_answers {
            None => None,
            Some(answers) if answers.iter().all(|it| matches!(it, OneOrEach::One(_))) => {
                Some(all_one("golden_answers", answers.clone())?)
            }
            Some(answers) => Some(match of("golden_answers", answers, at, count)? {
                OneOrEach::One(answer) => vec![answer.clone()],
                OneOrEach::Each(answers) => answers.clone(),
            }),
        };
        if self.label.is_some() && self.labels.is_some() {
            return Err(contradict("label", "labels"));
        }
        Ok(request)
    }

    fn shared(&self, query: &str, at: u64) -> SearchRequest {
        SearchRequest {
            query: query.to_owned(),
            k: self.top_k.or(self.topk),
            label: self.label,
            noise: self.noise,
            seed: self.seed.map(|seed| seed.wrapping_add(at)),
            ..SearchRequest::default()
        }
    }
}

/// Entry `at` of a field that has to have one for each query.
fn of<'a, T>(field: &str, each: &'a [T], at: usize, count: usize) -> Result<&'a T, Refusal> {
    let problem =
        || Refusal::bad(format!("`{field}` has {} entries for {count} queries", each.len())).about(field);
    each.get(at).filter(|_| each.len() == count).ok_or_else(problem)
}

fn one<T>(field: &str, given: OneOrEach<T>) -> Result<T, Refusal> {
    match given {
        OneOrEach::One(it) => Ok(it),
        OneOrEach::Each(_) => {
            let message =
                format!("`{field}` holds a list where one query has one value; lists go with `queries`");
            Err(Refusal::bad(message).about(field))
        }
    }
}

fn all_one<T>(field: &str, given: Vec<OneOrEach<T>>) -> Result<Vec<T>, Refusal> {
    given.into_iter().map(|it| one(field, it)).collect()
}

fn contradict(one: &str, other: &str) -> Refusal {
    Refusal::bad(format!("`{one}` and `{other}` do not go together; send one of them")).about(one)
}

impl Manner {
    /// `found`, query by query, as the client reads it.
    pub(super) fn reply(self, found: Vec<Vec<Document>>) -> RetrieveReply {
        match self {
            Self::Lists { scores } => {
                let hits =
                    |documents: Vec<Document>| documents.into_iter().map(|it| hit(it, scores)).collect();
                RetrieveReply::Lists { result: found.into_iter().map(hits).collect() }
            }
            Self::Texts => RetrieveReply::Texts(found.into_iter().flatten().map(Passage::of).collect()),
        }
    }
}

fn hit(document: Document, scores: bool) -> Hit {
    let score = document.provenance.score;
    let document = Passage::of(document);
    if scores { Hit::Scored { document, score } } else { Hit::Bare(document) }
}

impl Passage {
    fn of(document: Document) -> Self {
        let Document { title, text, provenance } = document;
        let contents = format!("\"{title}\"\n{text}");
        Self { id: provenance.id, title, text, contents, label: provenance.label.map(Kind::from) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use zerosearch_search::Provenance;

    use super::*;

    fn errand(body: Value) -> Result<Errand, Refusal> {
        serde_json::from_value::<RetrieveRequest>(body).unwrap().errand()
    }

    fn refusal(body: Value) -> String {
        serde_json::to_string(&errand(body).unwrap_err().body()).unwrap()
    }

    fn emma() -> Document {
        let provenance = Provenance {
            engine: "bm25".into(),
            score: Some(1.5),
            id: Some("7".into()),
            ..Provenance::default()
        };
        Document { title: "Emma".into(), text: "A novel.".into(), provenance }
    }

    #[test]
    fn the_fields_tell_the_dialect() {
        let lists = |scores| Manner::Lists { scores };
        for (body, manner, k, count) in [
            (json!({"queries": ["a", "b"], "topk": 3, "return_scores": true}), lists(true), Some(3), 2),
            (json!({"queries": ["a"], "topk": null}), lists(false), None, 1),
            (json!({"queries": []}), lists(false), None, 0),
            (json!({"query": "a", "topk": 3, "return_scores": true}), lists(true), Some(3), 1),
            (json!({"query": "a"}), lists(false), None, 1),
            (json!({"query": "a", "top_k": 5}), Manner::Texts, Some(5), 1),
        ] {
            let errand = errand(body.clone()).unwrap();
            assert_eq!((errand.manner, errand.requests.len()), (manner, count), "{body}");
            assert!(errand.requests.iter().all(|request| request.k == k), "{body}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused_by_name() {
        for (body, what) in [
            (json!({"queries": ["a"], "query": "a"}), "`queries` and `query`"),
            (json!({"topk": 3}), "no query was sent"),
            (json!({"query": "a", "topk": 3, "top_k": 3}), "`top_k` and `topk`"),
            (json!({"query": "a", "top_k": 3, "return_scores": true}), "`top_k` and `return_scores`"),
            (json!({"queries": ["a", "b"], "labels": ["useful"]}), "`labels` has 1 entries for 2 queries"),
            (json!({"queries": ["a", "b"], "question": ["x"]}), "`question` has 1 entries for 2 queries"),
            (json!({"queries": ["a"], "label": "noisy", "labels": ["noisy"]}), "`label` and `labels`"),
            (json!({"query": "a", "question": ["x"]}), "lists go with `queries`"),
        ] {
            let told = refusal(body.clone());
            assert!(told.contains(what), "{body}: {told}");
        }
    }

    #[test]
    fn every_query_of_several_has_its_own_wishes() {
        let errand = errand(json!({
            "queries": ["a", "b"], "labels": ["useful", ["noisy", "useful"]], "seed": 7,
            "question": ["x", "y"], "golden_answers": [["1", "2"], ["3"]],
        }));
        let [first, second] = errand.unwrap().requests.try_into().unwrap();
        assert_eq!((first.label, first.labels, first.seed), (Some(Label::Useful), None, Some(7)));
        assert_eq!((first.question.unwrap(), first.golden_answers.unwrap().len()), ("x".into(), 2));
        assert_eq!((second.label, second.seed), (None, Some(8)));
        assert_eq!(second.labels.unwrap(), [Label::Noisy, Label::Useful]);
        assert_eq!(second.golden_answers.unwrap(), ["3"]);
        let body =
            json!({"queries": ["a", "b"], "question": "x", "golden_answers": ["1", "2"], "noise": 0.5});
        let shared = self::errand(body).unwrap().requests;
        assert_eq!(shared[0].golden_answers, shared[1].golden_answers);
        assert_eq!((shared[1].question.as_deref(), shared[1].noise), (Some("x"), Some(0.5)));
    }

    /// The forms that Search-R1's, SkyRL's and ZeroSearch's clients read.
    #[test]
    fn documents_are_told_as_each_dialect_expects() {
        let passage =
            json!({"id": "7", "title": "Emma", "text": "A novel.", "contents": "\"Emma\"\nA novel."});
        for (manner, expected) in [
            (Manner::Lists { scores: true }, json!({"result": [[{"document": passage, "score": 1.5}], []]})),
            (Manner::Lists { scores: false }, json!({"result": [[passage], []]})),
            (Manner::Texts, json!([passage])),
        ] {
            let reply = manner.reply(vec![vec![emma()], vec![]]);
            assert_eq!(serde_json::to_value(reply).unwrap(), expected);
        }
    }
}
