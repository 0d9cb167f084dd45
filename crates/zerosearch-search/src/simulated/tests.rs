//! Facts about the engine, told with writers that play a script.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::{
    Boxed, Document, Label, Labels, Quality, Query, QuestionContext, SearchEngine, SearchError, WriteRequest,
    Writer, Written, contract,
};

/// Replies from a list, in order; keeps what it was asked. At the end of the list it fails.
struct Script {
    replies: Mutex<VecDeque<String>>,
    asked: Mutex<Vec<WriteRequest>>,
    can_continue: bool,
    finished: bool,
}

impl Script {
    fn new(replies: &[&str], can_continue: bool) -> Arc<Self> {
        let replies = Mutex::new(replies.iter().map(|reply| (*reply).to_owned()).collect());
        Arc::new(Self { replies, asked: Mutex::default(), can_continue, finished: true })
    }

    fn asked(&self) -> Vec<WriteRequest> {
        self.asked.lock().unwrap().clone()
    }
}

impl Writer for Script {
    fn write<'a>(&'a self, request: &'a WriteRequest) -> Boxed<'a, Result<Written, SearchError>> {
        self.asked.lock().unwrap().push(request.clone());
        let reply = self.replies.lock().unwrap().pop_front();
        let latency = Duration::from_millis(1);
        let written = move |text| Written { text, finished: self.finished, tokens: None, tries: 2, latency };
        Box::pin(
            async move { reply.map(written).ok_or_else(|| SearchError::Writer("the script is over".into())) },
        )
    }

    fn name(&self) -> &str {
        "script"
    }

    fn identity(&self) -> String {
        "script".into()
    }

    fn can_continue(&self) -> bool {
        self.can_continue
    }
}

/// Writes what its request says, so that different requests get different documents and equal ones equal.
struct Mirror;

impl Writer for Mirror {
    fn write<'a>(&'a self, request: &'a WriteRequest) -> Boxed<'a, Result<Written, SearchError>> {
        let text = match request.reply_prefix.as_str() {
            "" => (1..=7)
                .map(|i| format!("Doc {i}: <answer>{}</answer> \u{1b}[1m {i}\n", request.seed))
                .collect(),
            prefix => format!(" </information> {} \u{202e}{}\nmore", request.seed, prefix.len()),
        };
        let written = Written { text, finished: true, tries: 1, ..Written::default() };
        Box::pin(async move { Ok(written) })
    }

    fn name(&self) -> &str {
        "mirror"
    }

    fn identity(&self) -> String {
        "mirror".into()
    }

    fn can_continue(&self) -> bool {
        true
    }
}

fn settings(structure: Structure) -> SimulatedSettings {
    let template = PromptTemplate::from_text("own", "{{ label }} {{ k }}: {{ query }}").unwrap();
    SimulatedSettings { structure, ..SimulatedSettings::new(template) }
}

fn engine(structure: Structure, writer: &Arc<Script>) -> (SimulatedEngine, Arc<Quality>) {
    let quality = Arc::<Quality>::default();
    (SimulatedEngine::new(settings(structure), writer.clone(), quality.clone()).unwrap(), quality)
}

/// A free engine that takes each reply as it comes.
fn without_rewrites(writer: &Arc<Script>) -> (SimulatedEngine, Arc<Quality>) {
    let quality = Arc::<Quality>::default();
    let settings = SimulatedSettings { rewrites: 0, ..settings(Structure::Free) };
    (SimulatedEngine::new(settings, writer.clone(), quality.clone()).unwrap(), quality)
}

fn query(k: usize, labels: Labels) -> Query {
    let context = QuestionContext { question: "Who?".into(), golden_answers: vec!["Rome".into()] };
    Query { text: " who \n<|im_end|>".into(), k, labels: Some(labels), seed: 3, context: Some(context) }
}

fn texts(documents: &[Document]) -> Vec<&str> {
    documents.iter().map(|document| document.text.as_str()).collect()
}

const USEFUL: Label = Label::Useful;
const NOISY: Label = Label::Noisy;

#[tokio::test]
async fn the_engine_contract_holds_for_both_structures_and_all_templates() {
    for structure in [Structure::Free, Structure::Forced] {
        for template in [PromptTemplate::instruct(), PromptTemplate::tuned()] {
            let settings = SimulatedSettings { structure, ..SimulatedSettings::new(template.unwrap()) };
            let engine = SimulatedEngine::new(settings, Arc::new(Mirror), Arc::default()).unwrap();
            contract::check_simulated(&engine).await;
        }
    }
}

#[tokio::test]
async fn every_setting_and_the_writer_make_another_engine() {
    let usual = || settings(Structure::Free);
    let engine = |settings, writer| SimulatedEngine::new(settings, writer, Arc::default()).unwrap();
    let mirror = || Arc::new(Mirror) as Arc<dyn Writer>;
    let tuned = PromptTemplate::tuned().unwrap();
    let spoken = tuned.clone().with_system(Some("Be brief.".into()));
    let mut others: Vec<SimulatedEngine> = [
        SimulatedSettings { template: tuned, ..usual() },
        SimulatedSettings { template: spoken, ..usual() },
        SimulatedSettings { structure: Structure::Forced, ..usual() },
        SimulatedSettings { most_documents: 19, ..usual() },
        SimulatedSettings { words: 31, ..usual() },
        SimulatedSettings { most_words: 61, ..usual() },
        SimulatedSettings { max_tokens: 99, ..usual() },
        SimulatedSettings { temperature: 0.7, ..usual() },
        SimulatedSettings { top_p: 0.9, ..usual() },
        SimulatedSettings { rewrites: 1, ..usual() },
    ]
    .map(|settings| engine(settings, mirror()))
    .into();
    others.push(engine(usual(), Script::new(&[], true)));
    let others: Vec<&dyn SearchEngine> = others.iter().map(|engine| engine as &dyn SearchEngine).collect();
    let twins = [engine(usual(), mirror()), engine(usual(), mirror())];
    contract::check_identity([&twins[0], &twins[1]], &others).await;
}

fn own(structure: Structure) -> SelfSearch {
    let settings = SimulatedSettings { structure, ..SimulatedSettings::new(PromptTemplate::own().unwrap()) };
    SelfSearch::new(settings, Arc::default()).unwrap()
}

#[tokio::test]
async fn self_search_is_a_search_engine() {
    for structure in [Structure::Free, Structure::Forced] {
        let engine = own(structure).of(Arc::new(Mirror)).unwrap();
        contract::check_any(&engine).await;
        let twin = own(structure).of(Arc::new(Mirror)).unwrap();
        let script = own(structure).of(Script::new(&[], true)).unwrap();
        let simulated = SimulatedEngine::new(settings(structure), Arc::new(Mirror), Arc::default()).unwrap();
        contract::check_identity([&engine, &twin], &[&script, &simulated]).await;
    }
}

#[tokio::test]
async fn a_model_that_searches_itself_is_told_the_query_and_nothing_else() {
    for structure in [Structure::Free, Structure::Forced] {
        let replies = ["Doc 1: Emma is a novel.\nDoc 2: It is old.", "It is older."];
        let script = Script::new(&replies, true);
        let engine = own(structure).of(script.clone()).unwrap();
        let context =
            QuestionContext { question: "Where was it?".into(), golden_answers: vec!["Highbury".into()] };
        let query =
            Query { text: "who is emma".into(), context: Some(context), ..query(2, Labels::All(USEFUL)) };
        let documents = engine.search(&query).await.unwrap();
        assert_eq!((documents.len(), documents[0].provenance.engine.as_str()), (2, "self"));
        assert_eq!(documents[0].provenance.label, None);
        for asked in script.asked() {
            let told = format!("{asked:?}");
            assert!(told.contains("Search: who is emma"), "{told}");
            for secret in ["Where was it", "Highbury", "useful", "noisy"] {
                assert!(!told.contains(secret), "{told}");
            }
        }
    }
}

#[tokio::test]
async fn a_model_that_knows_nothing_finds_nothing_and_one_that_fails_is_an_error() {
    let engine = own(Structure::Free).of(Script::new(&["Hello."; 3], true)).unwrap();
    assert!(engine.search(&query(2, Labels::All(USEFUL))).await.unwrap().is_empty());
    let why = engine.search(&query(2, Labels::All(USEFUL))).await.unwrap_err();
    assert!(matches!(why, SearchError::Writer(_)), "{why}");
}

#[test]
fn a_template_that_shows_golden_answers_is_refused_for_self_search() {
    let tuned = SimulatedSettings::new(PromptTemplate::tuned().unwrap());
    let why = SelfSearch::new(tuned, Arc::default()).unwrap_err().to_string();
    assert!(why.contains("prompt template tuned") && why.contains("is not told"), "{why}");
}

#[tokio::test]
async fn a_free_reply_becomes_documents_with_their_origin() {
    let script = Script::new(&["Here:\nDoc 1: Rome is old.\nDoc 2: <search>x\nDoc 3: c\nDoc 4: d"], false);
    let (engine, quality) = engine(Structure::Free, &script);
    let documents = engine.search(&query(3, Labels::All(USEFUL))).await.unwrap();
    assert_eq!(texts(&documents), ["Rome is old.", "‹search›x", "c"]);
    let provenance = &documents[0].provenance;
    assert_eq!((provenance.engine.as_str(), provenance.label), ("simulated", Some(USEFUL)));
    assert_eq!(provenance.template.as_deref(), Some(engine.settings().template.hash()));
    let asked = &script.asked()[0];
    assert_eq!(asked.prompt, "useful 3: who ‹|im_end|›");
    assert_eq!((asked.max_tokens, asked.stop.as_slice()), (300, ["Doc 4:".to_owned()].as_slice()));
    assert_eq!((asked.reply_prefix.as_str(), asked.temperature, asked.top_p), ("", 0.8, 1.0));
    let report = quality.drain();
    assert_eq!(
        (report.calls, report.useful_hits, report.documents_asked, report.documents_got),
        (1, 1, 3, 3)
    );
    assert_eq!((report.tally.neutralised, report.tally.retries), (1, 1));
}

#[tokio::test]
async fn missing_empty_and_repeated_documents_are_counted() {
    let script = Script::new(&["Doc 1: p\nDoc 2:\nDoc 3: P.\nDoc 4: b"], false);
    let (engine, quality) = without_rewrites(&script);
    let documents = engine.search(&query(5, Labels::All(NOISY))).await.unwrap();
    assert_eq!(texts(&documents), ["p", "b"]);
    let report = quality.drain();
    assert_eq!((report.documents_asked, report.documents_got), (5, 2));
    assert_eq!((report.tally.empty, report.tally.repeated, report.noisy_leaks), (1, 1, 0));
}

#[tokio::test]
async fn free_labels_take_one_reply_each_and_keep_their_places() {
    let script = Script::new(&["Doc 1: u1\nDoc 2: u2", "Doc 1: n1\nDoc 2: n2"], false);
    let (engine, _) = engine(Structure::Free, &script);
    let labels = vec![NOISY, USEFUL, USEFUL, NOISY];
    let documents = engine.search(&query(4, Labels::Each(labels))).await.unwrap();
    assert_eq!(texts(&documents), ["n1", "u1", "u2", "n2"]);
    let prompts: Vec<String> = script.asked().into_iter().map(|it| it.prompt).collect();
    assert_eq!(prompts, ["useful 2: who ‹|im_end|›", "noisy 2: who ‹|im_end|›"]);
}

#[tokio::test]
async fn forced_documents_are_written_one_by_one_after_those_before() {
    let script = Script::new(&[" (Title: T) Rome.\nDoc 9: y", " x", " z"], true);
    let (engine, _) = engine(Structure::Forced, &script);
    let documents = engine.search(&query(3, Labels::All(USEFUL))).await.unwrap();
    assert_eq!(texts(&documents), ["Rome.", "x", "z"]);
    assert_eq!(documents[0].title, "T");
    let asked = script.asked();
    let prefixes: Vec<&str> = asked.iter().map(|it| it.reply_prefix.as_str()).collect();
    assert_eq!(
        prefixes,
        ["Doc 1:", "Doc 1: (Title: T) Rome.\nDoc 2:", "Doc 1: (Title: T) Rome.\nDoc 2: x\nDoc 3:"]
    );
    assert!(asked.iter().all(|it| it.prompt == "useful 3: who ‹|im_end|›"));
    assert!(asked.iter().all(|it| it.stop == ["\n"] && it.max_tokens == 100));
}

/// The useful documents hold the answer, Rome: no prompt and no prefix of a noisy one may.
#[tokio::test]
async fn a_noisy_document_is_not_shown_the_useful_ones_before_it() {
    let script = Script::new(&[" Rome.", " a mill", " old Rome", " a barn"], true);
    let (engine, _) = engine(Structure::Forced, &script);
    let labels = vec![USEFUL, NOISY, USEFUL, NOISY];
    let documents = engine.search(&query(4, Labels::Each(labels.clone()))).await.unwrap();
    assert_eq!(texts(&documents), ["Rome.", "a mill", "old Rome", "a barn"]);
    let told: Vec<_> = documents.iter().map(|document| document.provenance.label.unwrap()).collect();
    assert_eq!(told, labels);
    let asked = script.asked();
    let prefixes: Vec<&str> = asked.iter().map(|it| it.reply_prefix.as_str()).collect();
    assert_eq!(prefixes, ["Doc 1:", "Doc 1:", "Doc 1: Rome.\nDoc 2:", "Doc 1: a mill\nDoc 2:"]);
    let prompts: Vec<&str> = asked.iter().map(|it| it.prompt.as_str()).collect();
    let (useful, noisy) = ("useful 2: who ‹|im_end|›", "noisy 2: who ‹|im_end|›");
    assert_eq!(prompts, [useful, noisy, useful, noisy]);
}

#[tokio::test]
async fn a_reply_with_too_few_documents_is_written_again_and_the_best_is_kept() {
    let short = ["Doc 1: a", "Doc 1: b\nDoc 2: c\nDoc 3: b", "Doc 1: d\nDoc 2: e\nDoc 3: -"];
    let script = Script::new(&short, false);
    let (engine, quality) = engine(Structure::Free, &script);
    // One, two and two usable ones: the first of the best.
    assert_eq!(texts(&engine.search(&query(3, Labels::All(NOISY))).await.unwrap()), ["b", "c"]);
    let report = quality.drain();
    assert_eq!((report.tally.rewritten, report.tally.repeated, report.documents_got), (2, 1, 2));
    let script = Script::new(&["Doc 1: a", "Doc 1: b\nDoc 2: c"], false);
    let (engine, _) = self::engine(Structure::Free, &script);
    assert_eq!(texts(&engine.search(&query(2, Labels::All(NOISY))).await.unwrap()), ["b", "c"]);
    assert_eq!(script.asked().len(), 2);
}

#[tokio::test]
async fn forced_documents_that_fail_are_written_again_then_left_out() {
    let script = Script::new(&[" p", " P", "", " p", " b"], true);
    let (engine, quality) = engine(Structure::Forced, &script);
    let documents = engine.search(&query(3, Labels::All(NOISY))).await.unwrap();
    // Two rewrites for the second document, none left for it or the third, which comes out well.
    assert_eq!(texts(&documents), ["p", "b"]);
    let report = quality.drain();
    assert_eq!((report.tally.rewritten, report.tally.repeated, report.tally.empty), (2, 2, 1));
    let seeds: std::collections::HashSet<u64> = script.asked().into_iter().map(|it| it.seed).collect();
    assert_eq!(seeds.len(), 5);
}

#[tokio::test]
async fn a_reply_without_documents_is_written_again_and_then_an_error() {
    let script = Script::new(&["no", "I cannot", "Doc 1: p"], false);
    let (engine, quality) = engine(Structure::Free, &script);
    assert_eq!(texts(&engine.search(&query(1, Labels::All(NOISY))).await.unwrap()), ["p"]);
    assert_eq!(quality.drain().tally.rewritten, 2);
    let script = Script::new(&["no", "no", "Doc 1: -"], false);
    let (engine, quality) = self::engine(Structure::Free, &script);
    let why = engine.search(&query(1, Labels::All(NOISY))).await.unwrap_err();
    assert!(matches!(&why, SearchError::NoDocuments { writer, .. } if writer == "script"), "{why}");
    let report = quality.drain();
    assert_eq!((report.calls, report.failures, report.documents_asked), (1, 1, 0));
}

#[tokio::test]
async fn nothing_is_written_again_at_temperature_zero() {
    let script = Script::new(&["no", "Doc 1: p"], false);
    let greedy = SimulatedSettings { temperature: 0.0, ..settings(Structure::Free) };
    let engine = SimulatedEngine::new(greedy, script.clone(), Arc::default()).unwrap();
    assert!(engine.search(&query(1, Labels::All(NOISY))).await.is_err());
    assert_eq!(script.asked().len(), 1);
}

#[tokio::test]
async fn half_a_word_at_the_length_limit_is_left_out() {
    let replies = Mutex::new(VecDeque::from(["Doc 1: first doc\nDoc 2: it was bu".to_owned()]));
    let script = Arc::new(Script { replies, asked: Mutex::default(), can_continue: false, finished: false });
    let (engine, _) = engine(Structure::Free, &script);
    let documents = engine.search(&query(2, Labels::All(NOISY))).await.unwrap();
    assert_eq!(texts(&documents), ["first doc", "it was"]);
}

#[tokio::test]
async fn a_writer_that_fails_is_the_calls_error_and_is_counted() {
    let (engine, quality) = engine(Structure::Forced, &Script::new(&[" p"], true));
    let why = engine.search(&query(2, Labels::All(NOISY))).await.unwrap_err();
    assert!(matches!(why, SearchError::Writer(_)), "{why}");
    assert_eq!(quality.drain().failures, 1);
}

#[tokio::test]
async fn long_queries_are_cut_and_counted() {
    let script = Script::new(&["Doc 1: p"], false);
    let (engine, quality) = engine(Structure::Free, &script);
    let long = Query { text: "word ".repeat(1000), ..query(1, Labels::All(NOISY)) };
    engine.search(&long).await.unwrap();
    assert_eq!(script.asked()[0].prompt.chars().count(), "noisy 1: ".len() + 499);
    assert_eq!(quality.drain().tally.queries_cut, 1);
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let template = |text| PromptTemplate::from_text("own", text).unwrap();
    let good = || settings(Structure::Free);
    let cases = [
        ("structure", SimulatedSettings { structure: Structure::Forced, ..good() }),
        ("most_documents", SimulatedSettings { most_documents: 0, ..good() }),
        ("most_words", SimulatedSettings { most_words: 5, ..good() }),
        ("max_tokens", SimulatedSettings { max_tokens: 0, ..good() }),
        ("temperature", SimulatedSettings { temperature: f32::NAN, ..good() }),
        ("top_p", SimulatedSettings { top_p: 0.0, ..good() }),
        ("rewrites", SimulatedSettings { rewrites: 101, ..good() }),
        ("prompt template own", SimulatedSettings { template: template("{{ qery }}"), ..good() }),
    ];
    for (name, settings) in cases {
        let why = SimulatedEngine::new(settings, Script::new(&[], false), Arc::default()).err().unwrap();
        assert!(why.to_string().starts_with(&format!("{name} cannot be used: ")), "{why}");
    }
}

/// What a model that had learned a demonstration would be asked, it is asked: the engine's requests are the
/// demonstration's stretches, one after the other, and the documents come back.
#[tokio::test]
async fn a_demonstration_is_what_the_engine_asks_and_reads() {
    let document = |title: &str, text: &str| Document {
        title: title.into(),
        text: text.into(),
        provenance: crate::Provenance::default(),
    };
    let documents =
        [document("T", "Rome\nis <search>old."), document("", "x"), document("", "X!"), document("", "y")];
    for structure in [Structure::Forced, Structure::Free] {
        let settings = SimulatedSettings { rewrites: 0, ..settings(structure) };
        let query = query(3, Labels::All(USEFUL));
        let shown = settings.demonstration(&query, USEFUL, &documents).unwrap();
        assert_eq!(shown.reply(), "Doc 1: (Title: T) Rome is ‹search›old.\nDoc 2: x\nDoc 3: y");
        let replies: Vec<&str> = shown.stretches.iter().map(|stretch| stretch.written.as_str()).collect();
        let script = Script::new(&replies, true);
        let engine = SimulatedEngine::new(settings, script.clone(), Arc::default()).unwrap();
        let written = engine.search(&query).await.unwrap();
        assert_eq!((texts(&written)[1..].to_vec(), written[0].title.as_str()), (vec!["x", "y"], "T"));
        let mut before = String::new();
        for (asked, stretch) in script.asked().iter().zip(&shown.stretches) {
            before.push_str(&stretch.given);
            assert_eq!(
                (&asked.prompt, &asked.system, &asked.reply_prefix),
                (&shown.prompt, &shown.system, &before)
            );
            before.push_str(&stretch.written);
        }
    }
}

#[test]
fn a_demonstration_of_nothing_is_refused() {
    let settings = settings(Structure::Forced);
    assert!(settings.demonstration(&query(1, Labels::All(NOISY)), NOISY, &[]).is_err());
    let no_golds = Query { context: None, ..query(1, Labels::All(USEFUL)) };
    let document =
        Document { title: String::new(), text: "x".into(), provenance: crate::Provenance::default() };
    assert!(settings.demonstration(&no_golds, USEFUL, &[document]).is_err());
}
