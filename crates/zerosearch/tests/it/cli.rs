//! The command line: help and errors as people see them.

use crate::program::{Desk, SHORT, questions, recipe, stderr};

const VERBS: [&str; 14] = [
    "quickstart",
    "train",
    "judge",
    "sft",
    "eval",
    "collect",
    "ask",
    "report",
    "score",
    "export",
    "convert",
    "world",
    "bench",
    "doctor",
];

#[test]
fn help_names_every_verb_and_every_verb_shows_an_example() {
    let desk = Desk::new();
    let help = desk.succeed(&["--help"]);
    for verb in VERBS {
        assert!(help.contains(&format!("\n  {verb} ")), "{help}");
        let help = desk.succeed(&[verb, "--help"]);
        assert!(help.contains(&format!("zerosearch {verb} ")) && help.contains("Example"), "{help}");
    }
    assert_eq!(desk.succeed(&["--version"]), format!("zerosearch {}\n", env!("CARGO_PKG_VERSION")));
}

/// What a verb's own page says beyond its first line, which is all that the list of verbs has.
#[test]
fn the_help_of_a_verb_is_enough_to_use_it() {
    let desk = Desk::new();
    for (verb, told) in [
        ("eval", "no question is dropped"),
        ("compare", "Paired differences are surer"),
        ("collect", "Any policy plays"),
        ("ask", "A simulated engine can only write useful documents"),
    ] {
        let help = desk.succeed(&[verb, "--help"]).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(told), "{help}");
    }
}

#[test]
fn help_has_flags_under_their_own_heading_and_json_as_it_is_sent() {
    let desk = Desk::new();
    let help = desk.succeed(&["index", "--help"]);
    let (general, dense) = help.split_once("With --engine dense:").unwrap();
    for flag in ["--no-stemming", "--threads", "--check", "--minutes"] {
        assert!(general.contains(flag) && !dense.contains(&format!("  {flag}")), "{flag}: {help}");
    }
    assert!(dense.contains("--encoder <MODEL>"), "{help}");
    let help = desk.succeed(&["serve", "search", "--help"]);
    assert!(help.contains("\"top_k\": 3}") && !help.contains('\\'), "{help}");
}

#[test]
fn what_goes_with_a_file_of_questions_is_refused_beside_a_query() {
    let desk = Desk::new();
    for flag in ["--out", "--against", "--count"] {
        let output = desk.run(&["search", "who", "--engine", "scripted", flag, "7"]);
        assert!(!output.status.success() && stderr(&output).contains("cannot be used with"), "{flag}");
    }
}

#[test]
fn a_run_shows_plain_lines_where_there_is_no_terminal() {
    let desk = Desk::new();
    desk.write("questions.jsonl", questions());
    desk.write("recipe.toml", recipe(2, SHORT));
    let output = desk.run(&["train", "recipe.toml"]);
    let told = stderr(&output);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 3, "{told}");
    assert!(lines[0].starts_with("step 1/2  reward 0.") && lines[0].ends_with(" left"), "{told}");
    for word in ["noise ", "searches ", "tokens/s "] {
        assert!(lines[0].contains(word), "{told}");
    }
    assert_eq!(lines[2], "done: 2 steps in runs/recipe");
    assert!(!told.contains('\u{1b}'));
    assert_eq!(desk.read("runs/recipe/log.txt"), told);
}

#[test]
fn runs_of_one_recipe_are_numbered_and_the_newest_is_resumed() {
    let desk = Desk::new();
    desk.write("questions.jsonl", questions());
    desk.write("recipe.toml", recipe(2, SHORT));
    assert!(
        desk.fail(&["train", "recipe.toml", "--resume"]).contains("there is no run in runs/recipe to resume")
    );
    desk.succeed(&["train", "recipe.toml"]);
    desk.succeed(&["train", "recipe.toml"]);
    assert!(desk.path("runs/recipe-2/run.json").exists());
    desk.succeed(&["train", "recipe.toml", "--resume"]);
    assert!(desk.read("runs/recipe-2/run.json").contains("\"resumed\": 1"));
    assert!(desk.read("runs/recipe/run.json").contains("\"resumed\": 0"));
}

#[test]
fn a_dry_run_prints_a_plan_that_resolves_to_itself() {
    let desk = Desk::new();
    desk.write("questions.jsonl", questions());
    desk.write("recipe.toml", recipe(2, SHORT));
    let plan = desk.succeed(&["train", "recipe.toml", "--dry-run", "--set", "rl.group_size=3"]);
    assert!(
        plan.contains("group_size = 3\n") && plan.contains("[curriculum]\nnoise_start = 0.0\n"),
        "{plan}"
    );
    assert!(!desk.path("runs").exists());
    desk.write("plan.toml", &plan);
    assert_eq!(desk.succeed(&["train", "plan.toml", "--dry-run"]), plan);
}

#[test]
fn an_error_is_one_report() {
    let desk = Desk::new();
    assert_eq!(
        desk.fail(&["train"]),
        "error: model.path: no model is named\n\
         hint: give `--model` a Hugging Face directory, a .gguf file or a hub id\n"
    );
    desk.write("recipe.toml", "[rl]\nalgorithm = \"gropo\"\n");
    assert_eq!(
        desk.fail(&["train", "recipe.toml"]),
        "error: the config file recipe.toml cannot be used\n\
         because: rl.algorithm = \"gropo\": must be one of reinforce, grpo\n\
         hint: did you mean \"grpo\"?\n"
    );
}

#[test]
fn a_policy_is_tuned_trained_measured_and_asked() {
    let desk = Desk::new();
    desk.write("questions.jsonl", questions());
    desk.write("recipe.toml", recipe(2, SHORT));
    desk.succeed(&["train", "recipe.toml", "--model", "random", "--run", "run"]);
    let common = ["--model", "run/checkpoints/000002", "--config", "recipe.toml"];
    let trained = [&["eval", "--questions", "questions.jsonl", "--out", "no"], common.as_slice()].concat();
    assert!(desk.fail(&trained).contains("8 of 8 evaluation questions are also trained on"));
    desk.write("held-out.jsonl", questions().replace("number", "letter"));
    let eval =
        [&["eval", "--questions", "nq=held-out.jsonl", "--count", "5", "--out", "out"], common.as_slice()]
            .concat();
    let table = desk.succeed(&eval);
    assert!(table.contains("nq") && table.contains("answered") && table.contains("broken 0"), "{table}");
    assert_eq!(desk.read("out/rows.jsonl").lines().count(), 5);
    // The same command again: the rows are kept, torn lines or not.
    let rows = desk.read("out/rows.jsonl");
    desk.write("out/rows.jsonl", &rows[..rows.len() - 50]);
    assert_eq!(desk.succeed(&eval), table);
    assert_eq!(desk.read("out/rows.jsonl"), rows);
    let told = desk.fail(&[eval.as_slice(), &["--noise", "0.5"]].concat());
    assert!(told.contains("eval.noise = 0.0, not 0.5"), "{told}");

    // What the config names for training is not opened.
    let gone = [
        "--set",
        "questions.train=[\"gone.jsonl\"]",
        "--set",
        "sft.files=[\"gone.jsonl\"]",
        "--out",
        "other",
    ];
    let again = ["eval", "--questions", "held-out.jsonl", "--count", "1"];
    desk.succeed(&[again.as_slice(), common.as_slice(), gone.as_slice()].concat());
    // A policy does not play its own engine.
    let told = desk.fail(&[again.as_slice(), &common[..2], &["--out", "own"]].concat());
    assert!(told.contains("began from random weights") && told.contains("simulator.model=MODEL"), "{told}");

    let asked = desk.succeed(&[&["ask", "who?", "--golden-answer", "me"], common.as_slice()].concat());
    assert!(asked.contains("answer"), "{asked}");
}

#[test]
fn rows_are_scored_and_exports_score_the_same() {
    let desk = Desk::new();
    desk.write("rows.jsonl", "{\"text\":\"abc\"}\n{\"tokens\":[97,98,99,100]}\n");
    let score = |model: &str, out: &str| {
        desk.succeed(&["score", "--model", model, "--rows", "rows.jsonl", "--out", out, "--dtype", "f32"]);
        desk.read(out)
    };
    let first = score("random", "first.jsonl");
    let rows: Vec<serde_json::Value> =
        first.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows[0]["tokens"], serde_json::json!([97, 98, 99]));
    assert!(rows[0]["logprobs"][0].is_null() && rows[1]["logprobs"][3].as_f64().unwrap() < 0.0);
    // A row's beginning does not depend on what follows.
    assert_eq!(rows[0]["logprobs"].as_array().unwrap()[..], rows[1]["logprobs"].as_array().unwrap()[..3]);
    desk.succeed(&["export", "--model", "random", "--dtype", "f32", "--out", "model"]);
    assert_eq!(score("model", "second.jsonl"), first);
    desk.write("rows.jsonl", "{\"words\":\"abc\"}\n");
    let told = desk.fail(&["score", "--model", "random", "--rows", "rows.jsonl", "--out", "x"]);
    assert!(told.contains("rows.jsonl, line 1, is not a row"), "{told}");
}

#[test]
fn transcripts_of_other_programs_become_rows_that_tune() {
    let desk = Desk::new();
    let turns = [
        "who?",
        "Thought: look.\\nAction: search[me]",
        "Observation: It is me.",
        "Thought: so.\\nAction: finish[me]",
        "Observation: Episode finished, reward = True",
    ];
    let role = |n: usize| if n.is_multiple_of(2) { "user" } else { "assistant" };
    let messages: Vec<String> = turns
        .iter()
        .enumerate()
        .map(|(n, words)| format!("{{\"role\":\"{}\",\"content\":\"{words}\"}}", role(n)))
        .collect();
    desk.write("react.jsonl", format!("{{\"messages\":[{}]}}\n", messages.join(",")));
    let told = desk.succeed(&["convert", "--from", "react", "react.jsonl", "--out", "rows.jsonl"]);
    assert!(told.starts_with("1 transcripts written"), "{told}");
    desk.succeed(&[
        "sft",
        "--model",
        "random",
        "--data",
        "rows.jsonl",
        "--run",
        "run",
        "--set",
        "sft.epochs=4",
    ]);
    let losses = zerosearch::run::numbers(&desk.path("run/metrics.jsonl"), "sft/loss").unwrap();
    assert_eq!(losses.len(), 4);
    assert!(losses[3].1 < losses[0].1, "{losses:?}");
}
