//! The scripted engine: documents by rule instead of by model, for tests and tiny runs.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use crate::seed::{Purpose, draw};
use crate::{
    Boxed, Document, Golds, Label, Provenance, Quality, Query, SearchEngine, SearchError, Served, Tally,
    clean,
};

/// A closed, deterministic world behind [`SearchEngine`].
///
/// It knows what the query carries and nothing else. A document with the label *useful* states one of the golden
/// answers in a short sentence about the query; one with the label *noisy* is a sentence about the query, or about
/// something else where the query itself holds an answer, in which no golden answer occurs. The query's seed chooses
/// sentences and answers; equal queries get equal documents, and exactly `k` of them come, all different. Queries are
/// refused as a [`SimulatedEngine`](crate::SimulatedEngine) refuses them.
#[derive(Debug)]
pub struct ScriptedEngine {
    quality: Arc<Quality>,
    wording: Wording,
}

#[derive(Debug)]
enum Wording {
    Sentences,
    Bare,
}

/// The most documents of one call.
const MOST_DOCUMENTS: usize = 20;
/// How many of the query's words a sentence repeats.
const TOPIC_WORDS: usize = 12;

const USEFUL: [&str; 5] = [
    "On {topic}: the answer is {gold}.",
    "Most sources on {topic} name {gold}.",
    "Asked about {topic}, the register says {gold}.",
    "{gold} is what the records give for {topic}.",
    "A short note on {topic}. It was {gold}, as is well known.",
];
const NOISY: [&str; 5] = [
    "On {topic}: the page is being rewritten.",
    "Most sources on {topic} disagree with each other.",
    "Asked about {topic}, the register has no entry.",
    "Visitors often ask for {topic} at the front desk.",
    "A short note on {topic}. The rest of it is lost.",
];
/// For queries that hold an answer themselves; the last is the one that remains if all others hold one, too.
const ELSEWHERE: [&str; 4] = [
    "The harbour opens at dawn and closes when the last boat is in.",
    "Bread keeps longer in a wooden box than in a tin.",
    "Every second bus takes the long way round the hill.",
    "…",
];
const BARE_NOISE: [&str; 6] = ["nothing", "unknown", "elsewhere", "lost", "blank", "…"];

impl ScriptedEngine {
    /// An engine that writes whole sentences and reports to `quality`.
    pub fn new(quality: Arc<Quality>) -> Self {
        Self { quality, wording: Wording::Sentences }
    }

    /// The same with documents as short as can be, for models with very little context: a useful one is a golden
    /// answer and its number, a noisy one a word that means nothing and its number.
    pub fn bare(quality: Arc<Quality>) -> Self {
        Self { quality, wording: Wording::Bare }
    }

    fn answer(&self, query: &Query) -> Result<Vec<Document>, SearchError> {
        query.check(MOST_DOCUMENTS)?;
        let labels = query.labels_in_order()?;
        let topic = topic(query)?;
        Ok(labels
            .iter()
            .enumerate()
            .map(|(place, label)| self.document(query, &topic, place, *label))
            .collect())
    }

    fn document(&self, query: &Query, topic: &str, place: usize, label: Label) -> Document {
        let text = match label {
            Label::Useful => self.useful(query, topic, place),
            Label::Noisy => self.noisy(query, topic, place),
        };
        let provenance =
            Provenance { engine: self.name().into(), label: Some(label), ..Provenance::default() };
        Document { title: String::new(), text: clean(&text), provenance }
    }

    fn useful(&self, query: &Query, topic: &str, place: usize) -> String {
        let golds = query.golds();
        let gold = golds[choice(query, place, golds.len())];
        match self.wording {
            Wording::Sentences => numbered(&fill(sentence(&USEFUL, query, place), topic, gold), place),
            Wording::Bare => numbered(gold, place),
        }
    }

    fn noisy(&self, query: &Query, topic: &str, place: usize) -> String {
        let golds = Golds::new(query.golds());
        let first = match self.wording {
            Wording::Sentences => fill(sentence(&NOISY, query, place), topic, ""),
            Wording::Bare => sentence(&BARE_NOISE, query, place).to_owned(),
        };
        let others = match self.wording {
            Wording::Sentences => ELSEWHERE.as_slice(),
            Wording::Bare => BARE_NOISE.as_slice(),
        };
        let candidates = std::iter::once(first).chain(others.iter().map(|text| (*text).to_owned()));
        // Their number tells documents apart, but must not be the answer; dots always can.
        let numbers = candidates.map(|text| numbered(&text, place));
        numbers.into_iter().find(|text| !golds.in_text(text)).unwrap_or_else(|| "…".repeat(place + 1))
    }
}

impl SearchEngine for ScriptedEngine {
    fn search<'a>(&'a self, query: &'a Query) -> Boxed<'a, Result<Vec<Document>, SearchError>> {
        Box::pin(async move {
            let started = Instant::now();
            let outcome = self.answer(query);
            let (tally, latency) = (Tally::default(), started.elapsed());
            match &outcome {
                Ok(documents) => self.quality.served(&Served { query, documents, tally, latency }),
                Err(_) => self.quality.failed(tally, latency),
            }
            outcome
        })
    }

    fn name(&self) -> &str {
        "scripted"
    }

    fn identity(&self) -> String {
        let wording = match self.wording {
            Wording::Sentences => "sentences",
            Wording::Bare => "bare",
        };
        json!({ "engine": self.name(), "wording": wording }).to_string()
    }

    fn writes_to_order(&self) -> bool {
        true
    }
}

/// The front of the query's words, harmless.
fn topic(query: &Query) -> Result<String, SearchError> {
    let words = clean(&query.text);
    if words.is_empty() {
        return Err(SearchError::BadQuery("it has no visible characters".into()));
    }
    let front: String = words.chars().take(200).collect();
    Ok(front.split_whitespace().take(TOPIC_WORDS).collect::<Vec<_>>().join(" "))
}

/// A number below `count` for the document at `place`.
fn choice(query: &Query, place: usize, count: usize) -> usize {
    (draw(query.seed, Purpose::Script, place as u64) % count.max(1) as u64) as usize
}

/// Sentences in turn, the first by the seed, so that neighbours differ.
fn sentence<'a>(sentences: &[&'a str], query: &Query, place: usize) -> &'a str {
    sentences[(choice(query, MOST_DOCUMENTS, sentences.len()) + place) % sentences.len()]
}

/// Fills both slots at once, so that a topic that spells a slot stays what it is.
fn fill(sentence: &str, topic: &str, gold: &str) -> String {
    let filled = sentence.split("{topic}").map(|part| part.replace("{gold}", gold));
    filled.collect::<Vec<_>>().join(topic)
}

fn numbered(text: &str, place: usize) -> String {
    format!("{text} ({})", place + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Labels, QuestionContext};

    fn query(text: &str, golds: &[&str], labels: Labels, seed: u64) -> Query {
        let golden_answers = golds.iter().map(|gold| (*gold).to_owned()).collect();
        let context = QuestionContext { question: "?".into(), golden_answers };
        Query { text: text.into(), k: 5, labels: Some(labels), seed, context: Some(context) }
    }

    fn check_world(engine: &ScriptedEngine) {
        for seed in 0..50 {
            for golds in [&["Rome", "the Eternal City"][..], &["3"], &["the page"], &["nothing", "unknown"]] {
                for label in [Label::Useful, Label::Noisy] {
                    let documents =
                        engine.answer(&query("capital Rome", golds, Labels::All(label), seed)).unwrap();
                    let known = Golds::new(golds.iter().copied());
                    for document in &documents {
                        assert_eq!(
                            known.in_text(&document.text),
                            label == Label::Useful,
                            "{}",
                            document.text
                        );
                    }
                    let distinct: std::collections::HashSet<&str> =
                        documents.iter().map(|document| document.text.as_str()).collect();
                    assert_eq!(distinct.len(), 5, "{documents:?}");
                }
            }
        }
    }

    #[test]
    fn useful_documents_hold_an_answer_and_noisy_ones_do_not() {
        check_world(&ScriptedEngine::new(Arc::default()));
        check_world(&ScriptedEngine::bare(Arc::default()));
    }

    #[test]
    fn labels_are_honoured_document_by_document() {
        let engine = ScriptedEngine::new(Arc::default());
        let labels = [Label::Noisy, Label::Useful, Label::Noisy, Label::Useful, Label::Noisy];
        let documents =
            engine.answer(&query("capital", &["Rome"], Labels::Each(labels.to_vec()), 1)).unwrap();
        let rome: Vec<bool> = documents.iter().map(|document| document.text.contains("Rome")).collect();
        assert_eq!(rome, labels.map(|label| label == Label::Useful));
    }

    #[test]
    fn a_bare_document_is_an_answer_and_its_number() {
        let engine = ScriptedEngine::bare(Arc::default());
        let documents = engine.answer(&query("capital", &["Rome"], Labels::All(Label::Useful), 1)).unwrap();
        assert_eq!((documents[0].text.as_str(), documents[4].text.as_str()), ("Rome (1)", "Rome (5)"));
    }

    #[test]
    fn a_topic_that_spells_a_slot_stays_what_it_is() {
        assert_eq!(fill("{topic}: {gold}", "{gold}", "Rome"), "{gold}: Rome");
    }

    #[tokio::test]
    async fn the_engine_contract_holds() {
        let [sentences, twin] = [(); 2].map(|()| ScriptedEngine::new(Arc::default()));
        let bare = ScriptedEngine::bare(Arc::default());
        for engine in [&sentences, &bare] {
            crate::contract::check_simulated(engine).await;
        }
        crate::contract::check_identity([&sentences, &twin], &[&bare]).await;
    }
}
