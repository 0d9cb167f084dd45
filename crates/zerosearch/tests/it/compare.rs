//! Comparisons: evaluations in one table, and what is said where they were not made alike.

use serde_json::Value;

use crate::program::Desk;

const CORPUS: &str = "{\"id\":1,\"title\":\"Emma\",\"text\":\"Jane Austen wrote Emma.\"}\n\
    {\"id\":2,\"contents\":\"\\\"France\\\"\\nParis is the capital of France.\"}\n\
    {\"id\":3,\"text\":\"The key was lost.\"}\n";

/// Two questions of one set and one of another.
fn desk() -> Desk {
    let desk = Desk::new();
    let row = |question: &str, answer: &str| {
        format!("{{\"question\":\"{question}\",\"golden_answers\":[\"{answer}\"]}}\n")
    };
    desk.write("books.jsonl", row("who wrote Emma?", "Jane Austen") + &row("who is lost?", "Nobody"));
    desk.write("towns.jsonl", row("what is the capital of France?", "Paris"));
    desk.write("corpus.jsonl", CORPUS);
    desk
}

/// Evaluates the scripted policy, which answers with the first words that it finds.
fn evaluate(desk: &Desk, out: &str, more: &[&str]) -> String {
    let words = [
        "eval",
        "--model",
        "scripted",
        "--corpus",
        "corpus.jsonl",
        "--questions",
        "books.jsonl",
        "--questions",
        "towns.jsonl",
        "--out",
        out,
    ];
    desk.succeed(&[words.as_slice(), more].concat())
}

fn json(desk: &Desk, path: &str) -> Value {
    serde_json::from_str(&desk.read(path)).unwrap()
}

/// By hand: with BM25 the policy answers `Emma Jane` (F1 0.5 with `Jane Austen`), nothing right about who is lost, and `France
/// Paris is` (0.5 with `Paris`); without an engine it has no answer. So books rise from 0 to 0.25, towns from 0 to 0.5.
#[test]
fn evaluations_stand_side_by_side_and_question_by_question() {
    let desk = desk();
    let told = evaluate(&desk, "evals/bm25", &["--engine", "bm25"]);
    let recipe = json(&desk, "evals/bm25/recipe.json");
    let summary = json(&desk, "evals/bm25/summary.json");
    assert_eq!(
        (&summary["recipe"], &summary["questions_hash"]),
        (&recipe["hash"], &recipe["questions"]["hash"])
    );
    assert_eq!((&recipe["recipe"]["engine"], &recipe["recipe"]["rollout.k"]), (&"bm25".into(), &5.into()));
    let last = told.lines().last().unwrap();
    assert_eq!(
        last,
        format!("recipe {}  questions {}", text(&recipe["hash"]), text(&recipe["questions"]["hash"]))
    );
    evaluate(&desk, "evals/direct", &["--engine", "none"]);
    let told = desk.succeed(&[
        "compare",
        "evals/direct",
        "search=evals/bm25",
        "--price-per-1000-searches",
        "2",
        "--score",
        "f1",
        "--out",
        "table",
    ]);
    assert!(told.contains("RECIPES DIFFER") && !told.contains("QUESTIONS DIFFER"), "{told}");
    assert!(told.contains("F1: difference to direct, question by question"), "{told}");
    let table = json(&desk, "table/table.json");
    let names: Vec<&str> = table["rows"].as_array().unwrap().iter().map(|row| text(&row["name"])).collect();
    assert_eq!((names, text(&table["baseline"])), (vec!["direct", "search"], "direct"));
    let (row, f1) = (&table["rows"][1], &table["scores"][0]);
    let search = &f1["rows"][1];
    assert_eq!(
        (&search["sets"]["books"]["mean"], &search["sets"]["towns"]["mean"]),
        (&0.25.into(), &0.5.into())
    );
    assert_eq!((&search["mean"], &row["cost_per_1000_questions"]), (&0.375.into(), &2.0.into()));
    let difference = &f1["differences"][0];
    assert_eq!((&difference["paired"], &difference["mean"]["mean"]), (&3.into(), &0.375.into()));
    let lines: Vec<String> = desk.read("table/table.csv").lines().map(ToOwned::to_owned).collect();
    assert!(lines.len() == 3 && lines[0].contains(",difference/set/books/mean,"), "{lines:?}");
    assert!(desk.read("table/table.md").contains("systems built on it call this EM"));
}

#[test]
fn a_changed_recipe_and_other_questions_are_named() {
    let desk = desk();
    evaluate(&desk, "five", &["--engine", "bm25"]);
    evaluate(&desk, "two", &["--engine", "bm25", "--set", "rollout.k=2"]);
    let told = desk.succeed(&["compare", "five", "two"]);
    let differing: Vec<&str> = told.lines().skip_while(|line| *line != "Where recipes differ").collect();
    let cells: Vec<Vec<&str>> =
        differing[1..3].iter().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(cells, [["key", "five", "two"], ["rollout.k", "5", "2"]], "{told}");
    evaluate(&desk, "one", &["--engine", "bm25", "--count", "1"]);
    let told = desk.succeed(&["compare", "five", "one"]);
    assert!(told.contains("QUESTIONS DIFFER"), "{told}");
    assert!(
        told.contains("one: 2 questions are paired with five; 0 of its own and 1 of five are not"),
        "{told}"
    );
    // A folder from before recipes were kept.
    std::fs::remove_file(desk.path("two/recipe.json")).unwrap();
    let mut old = json(&desk, "two/summary.json");
    for key in ["recipe", "questions_hash", "tokens", "mean_intervals"] {
        old.as_object_mut().unwrap().remove(key).unwrap();
    }
    desk.write("two/summary.json", old.to_string());
    let told = desk.succeed(&["compare", "five", "two"]);
    assert!(told.contains("two: recipe unknown") && !told.contains("RECIPES DIFFER"), "{told}");
    // Its own command again knows the recipe from now on, not that of the answers that were there.
    evaluate(&desk, "two", &["--engine", "bm25", "--set", "rollout.k=2"]);
    assert_eq!(json(&desk, "two/recipe.json")["recipe"]["begun_with"], "unknown");
}

#[test]
fn what_cannot_be_compared_is_refused_by_name() {
    let desk = desk();
    evaluate(&desk, "whole", &["--engine", "none"]);
    let refused = |folders: &[&str]| desk.fail(&[&["compare", "whole"], folders].concat());
    assert!(refused(&["gone"]).contains("there is no folder gone\nhint: "));
    desk.write("run/run.json", "{}");
    assert!(
        refused(&["run"])
            .contains("run is the folder of a run, not of an evaluation\nhint: evaluate a checkpoint")
    );
    std::fs::create_dir(desk.path("empty")).unwrap();
    assert!(refused(&["empty"]).contains("empty is not the folder of an evaluation\nhint: "));
    assert!(refused(&["two=whole", "two=whole"]).contains("two evaluations are called two\nhint: "));
    assert!(
        refused(&["--baseline", "other"]).contains("the baseline other is none of the evaluations compared")
    );
    evaluate(&desk, "half", &["--engine", "none"]);
    let rows = desk.read("half/rows.jsonl");
    desk.write("half/rows.jsonl", rows.split_inclusive('\n').take(2).collect::<String>());
    let told = refused(&["half"]);
    assert!(told.contains("half was left before its end") && told.contains("2 of 3 conversations"), "{told}");
    std::fs::remove_file(desk.path("half/summary.json")).unwrap();
    assert!(refused(&["half"]).contains("half was left before its end\nhint: give its command again"));
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
