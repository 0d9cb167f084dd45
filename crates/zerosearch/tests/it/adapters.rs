//! Adapters from the first row to the merged model: trained, killed, resumed, used, handed on, and refused.

use serde_json::{Value, json};

use crate::program::{Desk, SHORT, questions, recipe};
use crate::resumes::{assert_same_run, files, kill_after};

const ROW: &str = "{\"segments\":[{\"author\":\"prompt\",\"text\":\"who?\"},\
                   {\"author\":\"policy\",\"text\":\"<answer>me</answer>\"}]}\n";

/// A desk with a random model in `base` and 24 rows to learn from.
fn desk() -> Desk {
    let desk = Desk::new();
    desk.succeed(&["export", "--model", "random", "--out", "base"]);
    desk.write("rows.jsonl", ROW.repeat(24));
    desk.write("questions.jsonl", questions());
    desk
}

/// Fine-tunes a new adapter of `base` for six steps, into the run `name`.
fn tune(desk: &Desk, name: &str) {
    let words = "sft --model base --data rows.jsonl --set adapter.rank=4 --set sft.rows_per_step=4 \
                 --set sft.steps=6 --set optimizer.learning_rate=0.01 --run";
    desk.succeed(&words.split_whitespace().chain([name]).collect::<Vec<_>>());
}

/// A recipe that trains adapters of `base`.
fn training() -> String {
    let recipe = recipe(6, &SHORT.replace("2048", "1024"));
    recipe.replace("\"bigram\"\ncontext = 4096", "\"base\"").replace("0.3", "0.01")
}

/// The log-probabilities of one row.
fn scores(desk: &Desk, words: &[&str]) -> Vec<f64> {
    desk.write("row.jsonl", "{\"text\":\"who?<answer>me</answer>\"}\n");
    let _ = std::fs::remove_file(desk.path("scores.jsonl"));
    let score = ["score", "--rows", "row.jsonl", "--out", "scores.jsonl", "--dtype", "f32"];
    desk.succeed(&[&score[..], words].concat());
    let line: Value = serde_json::from_str(desk.read("scores.jsonl").trim()).unwrap();
    line["logprobs"].as_array().unwrap().iter().skip(1).map(|it| it.as_f64().unwrap()).collect()
}

#[test]
fn a_tuned_adapter_is_used_beside_its_model_and_merged_into_it() {
    let desk = desk();
    tune(&desk, "tuned");
    let adapter = "tuned/checkpoints/000006";
    let kept: Vec<String> = files(&desk.path(adapter)).into_keys().collect();
    assert_eq!(kept, ["adapter_config.json", "adapter_model.safetensors", "learner.safetensors"]);
    let config: Value = serde_json::from_str(&desk.read(&format!("{adapter}/adapter_config.json"))).unwrap();
    let known = ["base_model_name_or_path", "r", "lora_alpha", "peft_type"].map(|key| config[key].clone());
    assert_eq!(Value::from(known.to_vec()), json!(["base", 4, 8, "LORA"]));

    let bare = scores(&desk, &["--model", "base"]);
    let beside = scores(&desk, &["--model", "base", "--adapter", adapter]);
    let sum = |scores: &[f64]| scores.iter().sum::<f64>();
    assert!(sum(&beside) > sum(&bare) + 5.0, "{beside:?} after {bare:?}");
    desk.succeed(&["export", "--model", "base", "--adapter", adapter, "--out", "merged", "--dtype", "f32"]);
    let merged = scores(&desk, &["--model", "merged"]);
    let worst = merged.iter().zip(&beside).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-3, "{merged:?} for {beside:?}");

    desk.write("other.jsonl", "{\"question\":\"who is it?\",\"golden_answers\":[\"me\"]}\n");
    let short = ["--set", "rollout.max_response_tokens=12", "--set", "rollout.max_context_tokens=1024"];
    let policy = [&["--model", "base", "--adapter", adapter][..], &short].concat();
    let eval = ["eval", "--questions", "other.jsonl", "--engine", "none", "--out", "eval"];
    desk.succeed(&[&eval[..], &policy].concat());
    assert!(desk.read("eval/hashes.json").contains("\"adapter/adapter_model.safetensors\""));
    desk.succeed(&[&["ask", "who?", "--engine", "none"][..], &policy].concat());
}

#[test]
fn a_run_that_trains_an_adapter_on_is_killed_and_ends_as_one_that_never_was() {
    let desk = desk();
    tune(&desk, "tuned");
    // The reference is what it started from.
    let recipe = training().replace("group_size = 4\n", "group_size = 4\nkl_coef = 0.01\n");
    desk.write("recipe.toml", recipe.replace("save_every = 5", "save_every = 2"));
    let train = ["train", "recipe.toml", "--adapter", "tuned/checkpoints/000006", "--run"];
    desk.succeed(&[&train[..], &["whole"]].concat());
    kill_after(&desk, &[&train[..], &["killed"]].concat(), "killed", 3);
    desk.succeed(&["train", "--resume", "killed"]);
    assert_same_run(&desk, "whole", "killed", 6);
    let told = desk.fail(&["train", "--resume", "killed", "--set", "adapter.alpha=3"]);
    assert!(told.contains("adapter.alpha = 0.0, but 3.0 is asked for"), "{told}");

    // What the run trained on is no evaluation of its adapter.
    let eval = ["eval", "--questions", "questions.jsonl", "--engine", "none", "--model", "base"];
    let eval = [&eval[..], &["--set", "rollout.max_context_tokens=1024"]].concat();
    let told = desk.fail(&[&eval[..], &["--out", "e", "--adapter", "whole/checkpoints/000006"]].concat());
    assert!(told.contains("also trained on"), "{told}");
}

/// The simulator is an adapter of the policy's model: over the same matrices where the recipe names the model as the policy does, and
/// over its own where it spells its folder otherwise. Neither says anything else for it.
#[test]
fn policy_and_simulator_over_one_base_say_what_they_say_over_two() {
    let desk = desk();
    tune(&desk, "tuned");
    desk.write("rows.jsonl", ROW.replace("answer>", "search>").repeat(24));
    let words = "sft --model base --data rows.jsonl --set adapter.rank=4 --set sft.rows_per_step=4 --set sft.steps=80 \
                 --set optimizer.learning_rate=0.02 --run searcher";
    desk.succeed(&words.split_whitespace().collect::<Vec<_>>());
    desk.write(
        "recipe.toml",
        training().replace("\"scripted\"", "\"simulated\"").replace("steps = 6", "steps = 2"),
    );
    let train = ["train", "recipe.toml", "--adapter", "searcher/checkpoints/000080"];
    let train = [&train[..], &["--set", "simulator.max_tokens=20"]].concat();
    let simulator = ["--set", "simulator.adapter=tuned/checkpoints/000006"];
    for (name, model) in [("one", "simulator.model="), ("two", "simulator.model=./base")] {
        desk.succeed(&[&train[..], &simulator, &["--set", model, "--run", name]].concat());
    }
    for step in ["000001", "000002"] {
        let told = |run: &str| desk.read(&format!("{run}/trajectories/{step}.jsonl"));
        assert_eq!(told("one"), told("two"), "step {step}");
        assert!(told("one").contains("\"author\":\"search\""), "nobody searched");
    }
    assert!(desk.read("one/run.json").contains("simulator/adapter/adapter_model.safetensors"));
}

#[test]
fn an_adapter_that_does_not_fit_is_refused_before_anything_is_trained() {
    let desk = desk();
    desk.write("recipe.toml", training());
    let refused = |settings: &[&str]| {
        let words = settings.iter().flat_map(|setting| ["--set", setting]);
        desk.fail(&["train", "recipe.toml", "--run", "run"].into_iter().chain(words).collect::<Vec<_>>())
    };
    let told = refused(&["adapter.rank=65"]);
    assert!(told.contains("the adapter's rank is 65") && told.contains("from 1 to 64"), "{told}");
    let told = refused(&["adapter.rank=4", "adapter.targets=[\"q_prj\"]"]);
    assert!(told.contains("did you mean \"q_proj\"?"), "{told}");
    let told = refused(&["adapter.rank=4", "adapter.alpha=0"]);
    assert!(told.contains("adapter.alpha = 0: must be a number above 0"), "{told}");
    let told = refused(&["adapter.rank=4", "model.path=bigram"]);
    assert!(told.contains("model.path = \"bigram\" takes no adapter"), "{told}");
    let told = refused(&["adapter.path=base"]);
    assert!(told.contains("there is no `adapter_config.json` in this folder"), "{told}");
    tune(&desk, "tuned");
    let told = refused(&["adapter.rank=4", "adapter.path=tuned/checkpoints/000006"]);
    assert!(told.contains("leave adapter.rank out to train it on"), "{told}");
    let told = desk.fail(&["ask", "who?", "--engine", "none", "--model", "tuned/checkpoints/000006"]);
    assert!(told.contains("it holds a LoRA adapter; give it as `--adapter`"), "{told}");
    desk.succeed(&["export", "--model", "random", "--set", "model.layers=1", "--out", "other/base"]);
    let ask = ["ask", "who?", "--engine", "none", "--adapter", "tuned/checkpoints/000006", "--model"];
    let told = desk.fail(&[&ask[..], &["other/base"]].concat());
    assert!(told.contains("is not part of what `adapter_config.json` describes"), "{told}");
    std::fs::rename(desk.path("base"), desk.path("moved")).unwrap();
    let told = desk.fail(&[&ask[..], &["moved"]].concat());
    assert!(told.contains("was made for the model base, not for moved"), "{told}");
}
