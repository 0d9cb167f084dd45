//! Facts about judging, on conversations written by hand.

use serde_json::{Value, json};

use super::*;
use crate::config::{ConfigFile, Purpose, Setting};
use zerosearch_search::{Boxed, Label, WriteRequest, Writer, Written};

/// A conversation about `question`, whose answer is Rome, with one search for each list of documents.
fn conversation(question: &str, searches: &[(&str, &[&str])], ending: Value) -> Value {
    let turns = searches.iter().map(|(query, documents)| {
        let document = |text: &&str| json!({"title": "", "text": text, "provenance": {"engine": "bm25"}});
        json!({"action": {"search": query}, "documents": documents.iter().map(document).collect::<Vec<_>>()})
    });
    json!({
        "version": 1, "step": 0, "noise": 0.0, "texts": [], "member": 0,
        "question": {"id": question, "source": "nq", "text": question, "golden_answers": ["Rome"]},
        "transcript": {"pieces": []}, "turns": turns.collect::<Vec<_>>(), "ending": ending,
        "scores": {"em": 0.0, "sub_em": 0.0, "f1": 0.0}, "reward": 0.0,
    })
}

fn right() -> Value {
    json!({"answered": "Rome"})
}

fn wrong() -> Value {
    json!({"answered": "Paris"})
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn with(rows: &[Value]) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        place.write(&rows.iter().map(|row| format!("{row}\n")).collect::<String>());
        place
    }

    fn write(&self, lines: &str) {
        std::fs::create_dir_all(self.folder.path().join("collected")).unwrap();
        std::fs::write(self.folder.path().join("collected/rows.jsonl"), lines).unwrap();
    }

    fn order(&self, by: By) -> Order {
        let inputs = vec![self.folder.path().join("collected")];
        Order { inputs, by, per_document: false, unbalanced: false, held_out: 0.0 }
    }

    async fn judge(&self, order: &Order) -> Result<Summary> {
        judge(order, &plan(&[]), &self.folder.path().join("out")).await
    }

    fn pairs(&self, name: &str) -> Vec<Pair> {
        crate::run::lines(&self.folder.path().join("out").join(name)).unwrap()
    }
}

fn plan(settings: &[&str]) -> Plan {
    let settings: Vec<Setting> = settings.iter().map(|setting| setting.parse().unwrap()).collect();
    ConfigFile::parse("", &settings).unwrap().resolve(Purpose::Judge).unwrap()
}

fn by_answer() -> By {
    By::Answer { min_f1: 1.0 }
}

/// By hand: three searches of a right conversation, of which one found nothing; one of a wrong one; a broken and an
/// unanswered conversation.
#[tokio::test]
async fn every_search_is_a_pair_or_counted() {
    let place = Place::with(&[
        conversation("a?", &[("q1", &["x"]), ("q2", &[]), ("q3", &["y"])], right()),
        conversation("b?", &[("q4", &["z"])], wrong()),
        conversation("c?", &[("q5", &["w"])], json!({"broken": "down"})),
        conversation("d?", &[("q6", &["v"])], json!("out_of_turns")),
    ]);
    let order = Order { unbalanced: true, ..place.order(by_answer()) };
    let summary = place.judge(&order).await.unwrap();
    assert_eq!((summary.conversations, summary.broken, summary.unanswered, summary.searches), (4, 1, 1, 5));
    assert_eq!((summary.left_out["without documents"], summary.left_out["no answer to judge by"]), (1, 1));
    assert_eq!((summary.labelled, summary.pairs), (Counts { useful: 2, noisy: 1 }, summary.labelled));
    assert_eq!(summary.engines["bm25"], 4);
    let pairs = place.pairs("pairs.jsonl");
    let told: Vec<(&str, bool, usize)> =
        pairs.iter().map(|pair| (pair.query.as_str(), pair.from.last, pair.from.line)).collect();
    assert_eq!(told, [("q1", false, 1), ("q3", true, 1), ("q4", true, 2)]);
}

#[tokio::test]
async fn containment_labels_calls_or_single_documents() {
    let rows = [
        conversation("a?", &[("q1", &["in Rome", "nothing"]), ("q2", &["nil"])], right()),
        conversation("b?", &[("q3", &["old Rome"]), ("q4", &["void"])], wrong()),
    ];
    let place = Place::with(&rows);
    place.judge(&place.order(By::Containment)).await.unwrap();
    let told = |pairs: &[Pair]| -> Vec<(String, &'static str, usize)> {
        pairs.iter().map(|it| (it.query.clone(), it.label.word(), it.documents.len())).collect()
    };
    let of = |query: &str, label, documents| (query.to_owned(), label, documents);
    let calls = [of("q1", "useful", 2), of("q2", "noisy", 1), of("q3", "useful", 1), of("q4", "noisy", 1)];
    assert_eq!(told(&place.pairs("pairs.jsonl")), calls);
    let place = Place::with(&rows);
    let order = Order { per_document: true, unbalanced: true, ..place.order(By::Containment) };
    place.judge(&order).await.unwrap();
    let documents = [
        of("q1", "useful", 1),
        of("q1", "noisy", 1),
        of("q2", "noisy", 1),
        of("q3", "useful", 1),
        of("q4", "noisy", 1),
    ];
    assert_eq!(told(&place.pairs("pairs.jsonl")), documents);
}

/// Ten useful and three noisy: three of each are left, the same ones whatever else is judged beside them.
#[tokio::test]
async fn labels_are_balanced_by_a_draw_for_each_pair() {
    let row = |n: usize, ending| {
        conversation(&format!("question {n}?"), &[(&format!("q{n}"), &[&format!("x{n}")])], ending)
    };
    let rows: Vec<Value> = (0..13).map(|n| row(n, if n < 10 { right() } else { wrong() })).collect();
    let place = Place::with(&rows);
    let summary = place.judge(&place.order(by_answer())).await.unwrap();
    assert_eq!((summary.pairs, summary.balanced_away), (Counts { useful: 3, noisy: 3 }, 7));
    let kept: Vec<String> = place.pairs("pairs.jsonl").into_iter().map(|pair| pair.query).collect();
    let fewer: Vec<Value> = rows
        .into_iter()
        .filter(|row| {
            row["ending"]["answered"] == "Paris"
                || kept.iter().any(|query| row["turns"][0]["action"]["search"] == **query)
        })
        .collect();
    let again = Place::with(&fewer);
    again.judge(&again.order(by_answer())).await.unwrap();
    assert_eq!(again.pairs("pairs.jsonl").into_iter().map(|pair| pair.query).collect::<Vec<_>>(), kept);
}

/// The same query and document three times, twice right: useful. Once each way: left out.
#[tokio::test]
async fn repeated_pairs_are_kept_once_with_the_label_of_most() {
    let same = |ending| conversation("a?", &[("q", &["x"])], ending);
    let tied = |ending| conversation("b?", &[("q", &["x"])], ending);
    let other = conversation("c?", &[("q", &["x"])], wrong());
    let place =
        Place::with(&[same(right()), same(wrong()), same(right()), tied(right()), tied(wrong()), other]);
    let summary = place.judge(&place.order(by_answer())).await.unwrap();
    assert_eq!((summary.repeated, summary.contradicted, summary.tied), (3, 2, 1));
    assert_eq!(summary.pairs, Counts { useful: 1, noisy: 1 });
}

/// All pairs of a question are held out or none. 0.5 of 40 questions: 20 +- 3 standard deviations of 3.2.
#[tokio::test]
async fn questions_are_held_out_whole() {
    let row = |n: usize| {
        let (good, bad) = (format!("Rome {n}"), format!("x{n}"));
        conversation(&format!("question {n}?"), &[("q", &[&good]), ("r", &[&bad])], right())
    };
    let place = Place::with(&(0..40).map(row).collect::<Vec<_>>());
    let order = Order { held_out: 0.5, ..place.order(By::Containment) };
    let summary = place.judge(&order).await.unwrap();
    let held = summary.held_out;
    assert!(held.useful == held.noisy && (10..=30).contains(&held.useful), "{held:?}");
    let questions = |name| {
        place.pairs(name).into_iter().map(|pair| pair.question).collect::<std::collections::HashSet<_>>()
    };
    assert!(questions("pairs.jsonl").is_disjoint(&questions("held-out.jsonl")));
    let chats: Vec<Value> = crate::run::lines(&place.folder.path().join("out/chat.jsonl")).unwrap();
    assert_eq!(chats.len(), place.pairs("pairs.jsonl").len());
    assert_eq!(
        chats[0]["messages"][2]["content"].as_str().map(|text| text.starts_with("Doc 1: ")),
        Some(true)
    );
}

/// Of 80 words a simulator learns the first 60 at most, and those do not hold the answer.
#[tokio::test]
async fn answers_that_are_cut_off_are_counted() {
    let long = format!("{}Rome", "word ".repeat(80));
    let place =
        Place::with(&[conversation("a?", &[("q", &["old Rome"]), ("r", &[&long]), ("s", &["x"])], right())]);
    let order = Order { unbalanced: true, ..place.order(By::Containment) };
    let summary = place.judge(&order).await.unwrap();
    assert_eq!(
        (summary.pairs, summary.holding),
        (Counts { useful: 2, noisy: 1 }, Counts { useful: 1, noisy: 0 })
    );
}

#[tokio::test]
async fn what_cannot_be_judged_is_refused_with_what_was_found() {
    let told = |error: anyhow::Error| crate::problem::report(&error);
    let one_sided = Place::with(&[conversation("a?", &[("q", &["x"])], right())]);
    let refused = told(one_sided.judge(&one_sided.order(by_answer())).await.unwrap_err());
    assert!(refused.contains("none of them is noisy") && refused.contains("--unbalanced"), "{refused}");
    let kept = Order { unbalanced: true, ..one_sided.order(by_answer()) };
    assert_eq!(one_sided.judge(&kept).await.unwrap().pairs, Counts { useful: 1, noisy: 0 });
    let again = told(one_sided.judge(&one_sided.order(by_answer())).await.unwrap_err());
    assert!(again.contains("unbalanced = true, not false"), "{again}");
    let empty = Place::with(&[conversation("a?", &[], right())]);
    assert!(
        told(empty.judge(&empty.order(by_answer())).await.unwrap_err()).contains("1 conversations, 0 broken")
    );
    let broken = Place::with(&[]);
    broken.write("{\"question\":\n{\"version\":1}\n");
    assert!(
        told(broken.judge(&broken.order(by_answer())).await.unwrap_err())
            .contains("line 1, is not a conversation")
    );
}

#[tokio::test]
async fn a_torn_last_line_is_counted() {
    let place = Place::with(&[]);
    let rows = [("a?", right()), ("b?", wrong())]
        .map(|(question, ending)| conversation(question, &[("q", &["x"])], ending));
    place.write(&format!("{}\n{}\n{{\"version\":1,\"qu", rows[0], rows[1]));
    assert_eq!(place.judge(&place.order(by_answer())).await.unwrap().torn, 1);
}

/// Says yes to what names a city, unless it is to write prose.
struct Clerk {
    prose: bool,
    calls: std::sync::Mutex<usize>,
}

impl Writer for Clerk {
    fn write<'a>(&'a self, request: &'a WriteRequest) -> Boxed<'a, Result<Written, SearchError>> {
        *self.calls.lock().unwrap() += 1;
        let text = match (self.prose, request.prompt.contains("city")) {
            (true, _) => "It depends on what you mean.",
            (false, true) => "Yes.",
            (false, false) => "no",
        };
        Box::pin(
            async move { Ok(Written { text: text.into(), finished: true, tries: 1, ..Written::default() }) },
        )
    }

    fn name(&self) -> &str {
        "clerk"
    }

    fn identity(&self) -> String {
        "clerk".into()
    }

    fn can_continue(&self) -> bool {
        false
    }
}

fn clerk(prose: bool) -> (std::sync::Arc<Clerk>, By) {
    let clerk = std::sync::Arc::new(Clerk { prose, calls: std::sync::Mutex::new(0) });
    let judge = JudgeModel { writer: clerk.clone(), identity: "clerk".into(), concurrency: 2, max_tokens: 9 };
    (clerk, By::Model(judge))
}

/// Three different documents, one of them twice; the judge finds the city useful, which holds no golden answer.
#[tokio::test]
async fn a_judge_model_is_asked_once_for_each_document_and_compared_with_containment() {
    let place = Place::with(&[
        conversation("a?", &[("q", &["in Rome, a city", "nothing"]), ("q", &["nothing"])], right()),
        conversation("b?", &[("q", &["some city"])], right()),
    ]);
    let (clerk, by) = clerk(false);
    let order = Order { unbalanced: true, ..place.order(by) };
    let summary = place.judge(&order).await.unwrap();
    assert_eq!(summary.pairs, Counts { useful: 2, noisy: 1 });
    let agreement = summary.agreement.unwrap();
    assert_eq!(
        (agreement.both, agreement.judge_only, agreement.containment_only, agreement.neither),
        (1, 1, 0, 2)
    );
    assert_eq!(*clerk.calls.lock().unwrap(), 3);
    place.judge(&order).await.unwrap();
    assert_eq!(*clerk.calls.lock().unwrap(), 3, "verdicts are kept");
}

#[tokio::test]
async fn a_judge_that_writes_prose_is_refused() {
    let place = Place::with(&[conversation("a?", &[("q", &["in Rome", "nothing"])], right())]);
    let told = crate::problem::report(&place.judge(&place.order(clerk(true).1)).await.unwrap_err());
    assert!(told.contains("no verdict on 2 of 2 documents") && told.contains("It depends"), "{told}");
}

/// By hand. Right with one document of two that holds Rome: a useful pair of both, a noisy one of the other. Wrong with
/// the same: the noisy pair only. Right without any (a first step): a useful pair. Wrong without any: nothing to learn.
#[tokio::test]
async fn answer_and_containment_are_asked_where_each_can_be_trusted() {
    let place = Place::with(&[
        conversation("a?", &[("q1", &["in Rome", "x"])], right()),
        conversation("b?", &[("q2", &["in Rome", "y"])], wrong()),
        conversation("c?", &[("q3", &["z"])], right()),
        conversation("d?", &[("q4", &["w"])], wrong()),
    ]);
    let order = Order { unbalanced: true, ..place.order(By::Both { min_f1: 1.0 }) };
    let summary = place.judge(&order).await.unwrap();
    assert_eq!(summary.left_out["no right answer, nor a document to tell from one with a golden answer"], 1);
    let pairs = place.pairs("pairs.jsonl");
    let told = pairs.iter().map(|pair| (pair.query.as_str(), pair.label, pair.documents.len()));
    let (useful, noisy) = (Label::Useful, Label::Noisy);
    assert_eq!(
        told.collect::<Vec<_>>(),
        [("q1", useful, 2), ("q1", noisy, 1), ("q2", noisy, 1), ("q3", useful, 1)]
    );
}
