//! A table of two small evaluations, in every form.

use std::path::Path;

use serde_json::{Value, json};

use super::*;

/// The folder of an evaluation with these F1 scores, each of a data set and an id, and this k.
fn evaluation(folder: &Path, scores: &[(&str, &str, f64)], k: u64) {
    std::fs::create_dir_all(folder).unwrap();
    let of = |set: Option<&str>| {
        let own: Vec<f64> =
            scores.iter().filter(|it| set.is_none_or(|set| set == it.0)).map(|it| it.2).collect();
        let mean = own.iter().sum::<f64>() / own.len() as f64;
        let interval = json!({"mean": mean, "low": 0.0, "high": 1.0});
        json!({"questions": own.len(), "em": interval, "sub_em": interval, "f1": interval})
    };
    let recipe = json!({"engine": "bm25", "rollout.k": k});
    let recipe: crate::eval::Recipe = serde_json::from_value(recipe).unwrap();
    let hash = recipe.hash();
    let mut sets: Vec<&str> = scores.iter().map(|it| it.0).collect();
    sets.dedup();
    let sources: serde_json::Map<String, Value> =
        sets.iter().map(|set| ((*set).to_owned(), of(Some(set)))).collect();
    let summary = json!({
        "version": 1, "recipe": hash, "questions_hash": "aa", "questions": scores.len(), "conversations": scores.len(),
        "answered": 1, "broken": 1, "unusable": 2, "searches_per_question": 2.0, "reward": 0.0,
        "tokens": {"written": 100.0, "shown": 700.0, "prompted": 900.0},
        "all": of(None), "mean": {"em": 0.5, "sub_em": 0.5, "f1": 0.5}, "mean_intervals": of(None), "sources": sources,
    });
    let record = json!({"version": 1, "hash": hash, "recipe": recipe, "questions": {"hash": "aa", "count": scores.len()}});
    let rows: String = scores.iter().map(|row| format!("{}\n", line(row))).collect();
    let files = [
        ("summary.json", summary.to_string()),
        ("recipe.json", record.to_string()),
        ("hashes.json", "{}".to_owned()),
        ("config.toml", "[model]\npath = \"m|odel\"\n[eval]\nengine = \"bm25\"\n".to_owned()),
        ("rows.jsonl", rows),
    ];
    for (name, content) in files {
        std::fs::write(folder.join(name), content).unwrap();
    }
}

fn line((source, id, score): &(&str, &str, f64)) -> Value {
    json!({
        "version": 1, "step": 0, "noise": 0.0, "texts": [], "member": 0, "transcript": [], "turns": [],
        "question": {"id": id, "source": source, "text": "who?", "golden_answers": ["me"]},
        "ending": "out_of_turns", "scores": {"em": score, "sub_em": score, "f1": score}, "reward": score,
    })
}

/// By hand: nq rises from 0 to 1, musique falls from 1 to 0.5, in the mean by 0.25; 2 searches a question at 3 dollars a
/// thousand and 1,000 tokens at 4 a million are 10 dollars for 1,000 questions.
fn table() -> Table {
    table_of(&[Score::F1])
}

fn table_of(scores: &[Score]) -> Table {
    let desk = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "t_wo"].map(|name| desk.path().join(name));
    evaluation(&one, &[("musique", "a", 1.0), ("nq", "b", 0.0)], 5);
    evaluation(&two, &[("musique", "a", 0.5), ("nq", "b", 1.0)], 3);
    let named = Named::all(&[one, two].map(|folder| folder.display().to_string())).unwrap();
    let prices = Prices { per_1000_searches: Some(3.0), per_million_tokens: Some(4.0) };
    let wanted = Wanted { scores: scores.to_vec(), baseline: Some("one".into()), prices };
    let mut table = compare(&named, &wanted).unwrap();
    table.rows.iter_mut().for_each(|row| row.folder = row.name.clone());
    table
}

#[test]
fn markdown_reads_well_and_is_harmless() {
    assert_eq!(table().markdown(), include_str!("golden.md"));
}

#[test]
fn the_sheet_has_a_column_for_every_number() {
    assert_eq!(String::from_utf8(table().csv().unwrap()).unwrap(), include_str!("golden.csv"));
}

/// Two evaluations in three scores: a line for each of the six and one for the heads.
#[test]
fn every_score_has_its_own_grid_and_its_own_lines() {
    let table = table_of(&Score::ALL);
    let text = table.markdown();
    for title in ["EM", "sub-EM", "F1"] {
        assert!(
            text.contains(&format!("**{title} with")) && text.contains(&format!("**{title}: diff")),
            "{text}"
        );
    }
    let sheet = String::from_utf8(table.csv().unwrap()).unwrap();
    let of = |score: &str| sheet.lines().filter(|line| line.contains(&format!(",{score},"))).count();
    assert_eq!((sheet.lines().count(), of("em"), of("sub_em"), of("f1")), (7, 2, 2, 2), "{sheet}");
}

#[test]
fn text_goes_on_below_where_it_is_wide() {
    let text = table().text();
    assert!(
        text.lines().take_while(|line| !line.starts_with("EM:")).all(|line| line.chars().count() <= 122),
        "{text}"
    );
    assert!(text.contains("RECIPES DIFFER") && text.contains("10.00"), "{text}");
    let json = serde_json::to_value(table()).unwrap();
    assert_eq!(json["recipes"]["differing"], json!([{"key": "rollout.k", "values": {"one": 5, "t_wo": 3}}]));
    let scored = &json["scores"][0];
    assert_eq!((&scored["differences"][0]["mean"]["mean"], &scored["score"]), (&json!(0.25), &json!("f1")));
}

#[test]
fn folders_have_names() {
    let named = |written: &[&str]| Named::all(&written.iter().map(ToString::to_string).collect::<Vec<_>>());
    let found = named(&["x/a", "b=x/c", "x/y=z/d"]).unwrap();
    let names: Vec<&str> = found.iter().map(|it| it.name.as_str()).collect();
    assert_eq!((names, &found[1].folder), (vec!["a", "b", "d"], &Path::new("x/c").to_owned()));
    assert!(named(&["a=x", "a=y"]).unwrap_err().to_string().contains("two evaluations are called a"));
}
