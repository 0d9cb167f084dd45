//! Methods: one rollout, several ways to an answer, each measured in a folder of its own.

use serde_json::Value;

use crate::program::Desk;

const CORPUS: &str = "{\"id\":1,\"title\":\"Emma\",\"text\":\"Jane Austen wrote Emma.\"}\n\
    {\"id\":2,\"title\":\"France\",\"text\":\"Paris is the capital of France.\"}\n";

/// The first question brings a prompt of its own, as files of other trainers do.
const QUESTIONS: &str = "{\"question\":\"who wrote Emma?\",\"golden_answers\":[\"Jane Austen\"],\
     \"prompt\":[{\"role\":\"user\",\"content\":\"Emma?\"}]}\n\
    {\"question\":\"what is the capital of France?\",\"golden_answers\":[\"Paris\"]}\n";

const MEASURE: &[&str] = &[
    "eval",
    "--model",
    "scripted",
    "--corpus",
    "corpus.jsonl",
    "--questions",
    "questions.jsonl",
    "--out",
    "evals",
];

fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("corpus.jsonl", CORPUS);
    desk.write("questions.jsonl", QUESTIONS);
    desk
}

fn rows(desk: &Desk, cell: &str) -> Vec<Value> {
    desk.read(&format!("evals/{cell}/rows.jsonl"))
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn prompt(row: &Value) -> &str {
    row["texts"][0].as_str().unwrap()
}

#[test]
fn every_method_is_measured_with_every_engine_and_what_it_did_is_kept() {
    let desk = desk();
    let methods = ["--method", "direct,rag,search-o1,search", "--engine", "bm25,scripted"];
    let measure = [MEASURE, &methods].concat();
    let told = desk.succeed(&measure);
    let cells = [
        "direct",
        "rag-bm25",
        "rag-scripted",
        "search-o1-bm25",
        "search-o1-scripted",
        "search-bm25",
        "search-scripted",
    ];
    for cell in cells {
        assert!(told.contains(&format!("{cell}:\n")), "{told}");
        assert_eq!(rows(&desk, cell).len(), 2, "{cell}");
        for row in rows(&desk, cell) {
            assert!(prompt(&row).contains("Question: "), "the method's prompt is put, not the row's own");
        }
    }
    for row in rows(&desk, "direct") {
        assert!(prompt(&row).contains("without thinking aloud") && row.get("opening").is_none());
    }
    for row in rows(&desk, "rag-bm25") {
        let first = row["opening"]["documents"][0]["text"].as_str().unwrap();
        assert!(prompt(&row).contains(first), "{first}");
        assert_eq!(row["opening"]["action"]["search"], row["question"]["text"]);
        assert_eq!(row["turns"].as_array().unwrap().len(), 1, "there is no other search");
    }
    for row in rows(&desk, "search-o1-bm25") {
        let notes = &row["turns"][0]["distillate"];
        let shown = row["texts"][2].as_str().unwrap();
        assert_eq!(shown.trim(), format!("<information>{}</information>", notes["text"].as_str().unwrap()));
        assert!(notes["read"].as_u64().unwrap() > 100 && notes["written"].as_u64().unwrap() > 0);
    }
    for row in rows(&desk, "search-bm25") {
        assert!(
            row["turns"][0].get("distillate").is_none()
                && row["texts"][2].as_str().unwrap().contains("Doc 1")
        );
    }
    let table: Value = serde_json::from_str(&desk.read("evals/table.json")).unwrap();
    let names: Vec<&str> =
        table["rows"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, cells);
    assert_eq!(table["rows"][1]["searches_per_question"], 1.0);
    assert!(told.contains("sub-EM: difference to direct, question by question"), "{told}");
    assert_eq!(desk.succeed(&measure), told, "nothing is left to be played");
}

/// One process writes a cache at a time, so methods that are measured together have it together. Two searches each.
#[test]
fn methods_share_one_cache() {
    let desk = desk();
    let cached = ["--method", "rag,search", "--engine", "bm25", "--cache", "searches"];
    let told = desk.succeed(&[MEASURE, &cached].concat());
    assert_eq!(
        told.matches("answered 2 of 2").count() + told.matches("answered 0 of 2").count(),
        2,
        "{told}"
    );
    for cell in ["rag-bm25", "search-bm25"] {
        let summary: Value = serde_json::from_str(&desk.read(&format!("evals/{cell}/summary.json"))).unwrap();
        let cache = &summary["cache"];
        assert_eq!(cache["hits"].as_u64().unwrap() + cache["misses"].as_u64().unwrap(), 2, "{cell}: {cache}");
    }
}

#[test]
fn a_method_of_ones_own_is_a_file_and_wins_over_flags() {
    let desk = desk();
    desk.write("brief.toml", "[rollout]\nprompt = \"brief.jinja\"\nmax_turns = 1\n");
    desk.write("brief.jinja", "Briefly.\nQuestion: {{ question }}\n");
    let own = ["--method", "brief.toml", "--engine", "bm25", "--set", "rollout.max_turns=3"];
    desk.succeed(&[MEASURE, &own].concat());
    desk.succeed(&[MEASURE, &["--method", "direct"]].concat());
    let table = desk.read("evals/table.md");
    assert!(
        table.contains("| direct |") && table.contains("| brief-bm25 |"),
        "what lies there is in the table"
    );
    let again = desk.succeed(&["compare", "evals"]);
    assert!(again.contains("brief-bm25") && again.contains("direct"), "{again}");
    assert!(rows(&desk, "brief-bm25").iter().all(|row| prompt(row).contains("Briefly.")));
    assert!(desk.read("evals/brief-bm25/config.toml").contains("max_turns = 1\n"));
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_is() {
    let desk = desk();
    let told = |more: &[&str]| desk.fail(&[MEASURE, more].concat());
    let unknown = told(&["--method", "direct,cott", "--engine", "bm25"]);
    assert!(unknown.contains("no method `cott`") && unknown.contains("ra-agent"), "{unknown}");
    assert!(told(&["--method", "serch"]).contains("did you mean `search`?"));
    let twice = told(&["--method", "rag,rag", "--engine", "bm25"]);
    assert!(twice.contains("rag-bm25 is to be measured twice"), "{twice}");
    let nobody = told(&["--method", "direct,rag", "--engine", "none"]);
    assert!(nobody.contains("there is no search engine"), "{nobody}");
    let engine = told(&["--method", "direct,search", "--engine", "bm25,retrieve"]);
    assert!(engine.contains("search-retrieve cannot be measured"), "{engine}");
    assert_eq!(desk.read("evals/direct/rows.jsonl"), "", "nothing was asked");
}
