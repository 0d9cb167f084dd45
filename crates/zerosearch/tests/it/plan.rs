//! `zerosearch plan`: what is told before a training, as text and as JSON, and what is refused.

use serde_json::{Value, json};

use crate::program::{Desk, SHORT, recipe, repository};

fn figure<'a>(told: &'a Value, name: &str) -> &'a Value {
    let parts = told["parts"].as_array().unwrap().iter();
    let figures = parts.flat_map(|part| part["figures"].as_array().unwrap());
    figures.into_iter().find(|figure| figure["name"] == name).unwrap_or_else(|| panic!("{name}: {told}"))
}

/// The paper's recipe for 7B, whose figures the program's own tests derive by hand: 320 calls, 4 GPUs and 1.
#[test]
fn the_papers_recipe_is_told_with_its_arithmetic() {
    let path = repository().join("configs/paper/zerosearch.toml");
    let words = ["plan", path.to_str().unwrap(), "--model", "Qwen/Qwen2.5-7B", "--set", "cost.gpu=a100"];
    let words = [&words[..], &["--set", "cost.simulator=Qwen2.5-14B"]].concat();
    let desk = Desk::new();
    let text = desk.succeed(&words);
    for part in [
        "steps = 203",
        "= rl.questions_per_step 64 x rl.group_size 5",
        "ASSUMED, cost.searches",
        "= 320 conversations x 1 searches",
        "320 calls",
        "simulator: memory, a GPU",
        "money, USD",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    let brief = desk.succeed(&[&words[..], &["--brief"]].concat());
    assert!(!brief.contains("steps = 203") && text.ends_with(&brief), "{brief}");
    let told: Value = serde_json::from_str(&desk.succeed(&[&words[..], &["--json"]].concat())).unwrap();
    assert_eq!(told["config"]["rl"]["steps"], 203);
    let gpus = figure(&told, "policy: GPUs");
    assert_eq!(
        (&gpus["value"], &gpus["unit"], &gpus["basis"]),
        (&json!(4.0), &json!("a100"), &json!("recipe"))
    );
    assert_eq!(figure(&told, "simulator's calls")["basis"], "computed");
    assert_eq!(figure(&told, "searches of a conversation")["basis"], "assumed");
    assert_eq!(std::fs::read_dir(desk.path("")).unwrap().count(), 0, "nothing is made");
}

/// What a run and a bench measured takes the place of what is assumed, and its source is told.
#[test]
fn what_was_measured_takes_the_place_of_what_is_assumed() {
    let desk = Desk::new();
    desk.write("recipe.toml", recipe(4, SHORT).replace("\"bigram\"", "\"random\""));
    desk.write("doctor.json", json!({"peak_gflops": 100.0, "read_gb_per_second": 10.0}).to_string());
    let row = json!({"step": 1, "tool_call_counts/mean": 1.5, "prompt_length/mean": 100.0,
                     "response_length/mean": 40.0, "documents/tokens_mean": 60.0});
    desk.write("run/metrics.jsonl", format!("{row}\n"));
    let words = ["plan", "recipe.toml", "--measured", "doctor.json", "--run", "run", "--json", "--brief"];
    let told: Value = serde_json::from_str(&desk.succeed(&words)).unwrap();
    // By hand: 4 x 4 conversations of 100 + 40 + 60 tokens.
    assert_eq!(figure(&told, "tokens trained on")["value"], 3200.0);
    let searches = figure(&told, "searches of a conversation");
    assert_eq!((&searches["basis"], &searches["value"]), (&json!("measured"), &json!(1.5)));
    assert!(searches["from"].as_str().unwrap().contains("in run"), "{searches}");
    assert_eq!(figure(&told, "peak")["value"], 100.0);
    assert!(figure(&told, "together")["value"].as_f64().unwrap() > 0.0);
}

#[test]
fn nonsense_is_refused() {
    let desk = Desk::new();
    desk.write("recipe.toml", recipe(4, SHORT));
    let told = desk.fail(&["plan", "recipe.toml"]);
    assert!(told.contains("model.path = \"bigram\" is no transformer"), "{told}");
    let told = desk.fail(&["plan", "recipe.toml", "--set", "cost.memory_share=2"]);
    assert!(told.contains("cost.memory_share = 2: must be from 0.01 to 1"), "{told}");
    let told = desk.fail(&["plan", "recipe.toml", "--set", "cost.gpu_hours=2"]);
    assert!(told.contains("cost.gpu_hours: there is no such key"), "{told}");
    desk.write("other.json", "{\"a\": 1}");
    let told = desk.fail(&["plan", "recipe.toml", "--measured", "other.json"]);
    assert!(told.contains("other.json holds no measurement that is known"), "{told}");
    let told = desk.fail(&["plan", "recipe.toml", "--run", "nowhere"]);
    assert!(told.contains("has no tool_call_counts/mean"), "{told}");
}
