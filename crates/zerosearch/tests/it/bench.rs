//! The measuring verbs: what their figures are called, at a shape that says nothing about speed.

use serde_json::{Map, Value};

use crate::program::Desk;

/// The figures of `zerosearch bench` with these words at the tiny shape, one object for each line.
fn measured(words: &str) -> Vec<Map<String, Value>> {
    let words = format!("bench {words} --shape tiny --repeats 1 --json");
    let told = Desk::new().succeed(&words.split(' ').collect::<Vec<_>>());
    told.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}")))
        .collect()
}

/// The only line, whose figures of these names are numbers above 0.
#[track_caller]
fn figures(words: &str, names: &[&str]) -> Map<String, Value> {
    let mut lines = measured(words);
    let figures = lines.pop().unwrap();
    assert!(lines.is_empty(), "{words}: more than one line");
    for name in names {
        assert!(figures[*name].as_f64().is_some_and(|number| number > 0.0), "{words}: {name} in {figures:?}");
    }
    figures
}

const STEP: [&str; 5] =
    ["tokens_per_second", "seconds", "gradient_seconds", "optimizer_seconds", "packing_seconds"];

#[test]
fn a_training_step_is_measured() {
    let told = figures("train --rows 3 --tokens 20 --dtype f32 --threads 1", &STEP);
    for (name, expected) in [("rows", 3), ("tokens", 60), ("trained_tokens", 57), ("threads", 1)] {
        assert_eq!(told[name], expected, "{name}");
    }
    assert_eq!((&told["model"], &told["arithmetic"]), (&"tiny".into(), &"f32".into()));
    let told = figures("train --rollouts --rows 8", &STEP);
    assert_eq!(told["rows"], 8);
    let share = told["trained_tokens"].as_f64().unwrap() / told["tokens"].as_f64().unwrap();
    assert!((share - 0.35).abs() < 0.01, "{share}");
}

#[test]
fn sampling_is_measured() {
    let names = [
        "tokens_per_second",
        "seconds",
        "prefill_seconds",
        "prefill_tokens_per_second",
        "decode_tokens_per_second",
        "decode_step_seconds",
    ];
    let told = figures("sample --rows 2 --prompt 5 --tokens 40", &names);
    assert_eq!((&told["rows"], &told["prompt"], &told["tokens"]), (&2.into(), &5.into(), &40.into()));
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let desk = Desk::new();
    let told = desk.fail(&["bench", "train", "--shape", "huge"]);
    assert_eq!(
        told,
        "error: there is no shape huge\nhint: known are smollm2-135m and tiny; `--model` takes any model\n"
    );
    let told = desk.fail(&["bench", "sample", "--shape", "tiny", "--prompt", "9000"]);
    assert!(told.starts_with("error: tiny reads 8192 tokens, not 9064\n"), "{told}");
}

#[test]
fn people_see_a_table() {
    let told = Desk::new().succeed(&["bench", "train", "--shape", "tiny", "--rows", "1", "--tokens", "8"]);
    assert!(told.contains("\ntokens             8\n") && told.contains("\ntokens_per_second  "), "{told}");
}
