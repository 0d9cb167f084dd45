//! Bad input: each kind is refused or counted, with a message that names the thing, the value and what to do.

use std::io::Write;

use crate::program::{Desk, SHORT, questions, recipe, stderr};
use crate::resumes::searching_recipe;
use crate::server::{Bad, Manner, Simulator};

/// A folder with questions and a recipe that would run.
fn desk(more: &str) -> Desk {
    let desk = Desk::new();
    desk.write("questions.jsonl", questions());
    desk.write("recipe.toml", recipe(3, &format!("{SHORT}{more}")));
    desk
}

#[track_caller]
fn assert_told(report: &str, words: &[&str]) {
    assert!(report.starts_with("error: "), "{report}");
    for words in words {
        assert!(report.contains(words), "no `{words}` in:\n{report}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_name() {
    let desk = desk("[curriculum]\nnoise_strat = 0.1\n");
    let told = desk.fail(&["train", "recipe.toml"]);
    assert_told(
        &told,
        &[
            "recipe.toml",
            "curriculum.noise_strat: there is no such key",
            "did you mean `curriculum.noise_start`?",
        ],
    );
    desk.write("recipe.toml", recipe(3, SHORT));
    let told = desk.fail(&["train", "recipe.toml", "--set", "rl.groupsize=2"]);
    assert_told(&told, &["rl.groupsize: there is no such key", "did you mean `rl.group_size`?"]);
}

#[test]
fn an_impossible_value_is_refused_with_what_is_allowed() {
    let desk = desk("");
    for (setting, words) in [
        ("curriculum.noise_end=1.5", "curriculum.noise_end = 1.5: must be from 0 to 1"),
        ("rl.steps=many", "rl.steps = \"many\": must be a whole number"),
        ("rl.algorithm=ppo", "`ppo` is not in this version"),
        ("rollout.temperature=0", "rollout.temperature = 0: must be a number above 0"),
        ("rollout.max_context_tokens=9000", "the model reads at most 4096"),
        ("optimizer.warmup_steps=9", "optimizer.warmup_steps = 9: must be from 0 to rl.steps, 3"),
        ("rl.questions_per_step=99", "99 different questions"),
    ] {
        assert_told(&desk.fail(&["train", "recipe.toml", "--set", setting]), &[words]);
    }
}

#[test]
fn missing_and_torn_files_are_named() {
    let desk = desk("");
    assert_told(&desk.fail(&["train", "nowhere.toml"]), &["nowhere.toml cannot be read"]);
    assert_told(
        &desk.fail(&["train", "recipe.toml", "--model", "./nowhere"]),
        &["./nowhere", "there is no such file"],
    );
    assert_told(
        &desk.fail(&["train", "recipe.toml", "--set", "questions.train=[\"gone.jsonl\"]"]),
        &["gone.jsonl"],
    );
    desk.write("torn.jsonl", &questions()[..questions().len() - 30]);
    let told = desk.fail(&["train", "recipe.toml", "--set", "questions.train=[\"torn.jsonl\"]"]);
    assert_told(&told, &["torn.jsonl", "row 8"]);
    desk.write("model.gguf", "GGUF");
    assert_told(&desk.fail(&["train", "recipe.toml", "--model", "model.gguf"]), &["model.gguf"]);
}

#[test]
fn a_question_file_with_no_usable_row_is_refused() {
    let desk = desk("");
    desk.write("empty.jsonl", "{\"question\":\"who?\",\"golden_answers\":[]}\n");
    let settings = ["--set", "questions.train=[\"empty.jsonl\"]", "--set", "questions.skip_unusable=true"];
    let told = desk.fail(&[&["train", "recipe.toml"], settings.as_slice()].concat());
    assert_told(&told, &["no usable question", "empty.jsonl"]);
    let told = desk.fail(&["train", "recipe.toml", settings[0], settings[1]]);
    assert_told(&told, &["empty.jsonl, row 1"]);
}

#[test]
fn training_and_evaluation_questions_may_not_overlap() {
    let desk = desk("[eval]\nevery = 1\nquestions = [\"held-out.jsonl\"]\n");
    desk.write("held-out.jsonl", "{\"question\":\"What is number 3\",\"golden_answers\":[\"x\"]}\n");
    let told = desk.fail(&["train", "recipe.toml"]);
    assert_told(&told, &["1 of 1 evaluation questions are also trained on", "questions.exclude"]);
    // The folder of a run that never did a step is free.
    desk.succeed(&["train", "recipe.toml", "--set", "questions.exclude=[\"held-out.jsonl\"]"]);
    assert!(desk.path("runs/recipe/metrics.jsonl").exists() && !desk.path("runs/recipe-2").exists());
}

#[test]
fn questions_that_are_left_out_are_said_and_written_down() {
    let desk = desk("");
    desk.write("some.jsonl", questions() + "{\"question\":\"who?\"}\n");
    desk.write("held-out.jsonl", "{\"question\":\"What is number 3\",\"golden_answers\":[\"x\"]}\n");
    let settings = [
        "questions.train=[\"some.jsonl\"]",
        "questions.skip_unusable=true",
        "questions.exclude=[\"held-out.jsonl\"]",
    ];
    let settings: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let output = desk.run(&[["train", "recipe.toml", "--run", "run"].as_slice(), &settings].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let words = "left out: 1 training rows and 0 evaluation rows without a question or an answer, 1 training";
    assert!(stderr(&output).contains(words), "{}", stderr(&output));
    let record: serde_json::Value = serde_json::from_str(&desk.read("run/run.json")).unwrap();
    assert_eq!(record["left_out"], serde_json::json!({"unusable": 1, "excluded": 1, "eval_unusable": 0}));
}

#[test]
fn questions_of_tuning_rows_are_not_evaluated_with() {
    let desk = desk("");
    let row = "{\"question\":\"what is number 3?\",\"segments\":[{\"author\":\"policy\",\"text\":\"me\"}]}\n";
    desk.write("rows.jsonl", row);
    desk.succeed(&["sft", "recipe.toml", "--data", "rows.jsonl", "--run", "tuned"]);
    let words = ["eval", "--config", "recipe.toml", "--questions", "questions.jsonl", "--out", "out"];
    let eval = |model: &str| desk.run(&[words.as_slice(), &["--model", model]].concat());
    let told = stderr(&eval("tuned/checkpoints/000001"));
    assert_told(&told, &["tuned/checkpoints/000001 was trained in tuned", "1 of 8 evaluation questions"]);
    // So it is for a run that began from there.
    let words = ["train", "recipe.toml", "--model", "tuned/checkpoints/000001", "--run", "run"];
    desk.write("others.jsonl", questions().replace("number", "letter"));
    desk.succeed(&[words.as_slice(), &["--set", "questions.train=[\"others.jsonl\"]"]].concat());
    assert_told(&stderr(&eval("run/checkpoints/000003")), &["was trained in tuned"]);
    // What cannot be checked is said.
    std::fs::remove_file(desk.path("rows.jsonl")).unwrap();
    let output = eval("tuned/checkpoints/000001");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("file rows.jsonl is gone"), "{}", stderr(&output));
}

#[test]
fn damaged_weights_are_refused_with_the_tensor() {
    let desk = desk("");
    desk.succeed(&["export", "--model", "random", "--dtype", "f32", "--out", "model"]);
    let path = desk.path("model/model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    assert_told(&desk.fail(&["train", "recipe.toml", "--model", "model"]), &["tensor", "NaN"]);
    std::fs::File::create(&path).unwrap().write_all(&bytes[..end / 2]).unwrap();
    assert_told(&desk.fail(&["train", "recipe.toml", "--model", "model"]), &["model.safetensors"]);
}

/// Sixty-four layers of width 65,536 are some 2.6 trillion parameters.
#[test]
#[cfg(target_os = "linux")]
fn a_model_too_large_for_memory_is_refused_before_it_is_loaded() {
    let desk = desk("");
    let words = [
        "train",
        "recipe.toml",
        "--model",
        "random",
        "--set",
        "model.layers=64",
        "--set",
        "model.width=65536",
        "--set",
        "model.heads=256",
    ];
    assert_told(&desk.fail(&words), &["GiB of memory", "available"]);
}

#[test]
fn a_tokenizer_without_the_tags_is_refused() {
    let desk = desk("");
    desk.succeed(&["export", "--model", "random", "--out", "model"]);
    let path = "model/tokenizer.json";
    let mut tokenizer: serde_json::Value = serde_json::from_str(&desk.read(path)).unwrap();
    // The letters s, e, a, r, c and h are renamed, and the tags are no tokens any more.
    tokenizer["added_tokens"].as_array_mut().unwrap().retain(|token| token["special"] == true);
    let vocabulary = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    for letter in ["s", "e", "a", "r", "c", "h", "w"] {
        let id = vocabulary.remove(letter).unwrap();
        vocabulary.insert(format!("gone {letter}"), id);
    }
    desk.write(path, tokenizer.to_string());
    assert_told(&desk.fail(&["train", "recipe.toml", "--model", "model"]), &["token"]);
}

#[test]
fn a_simulator_that_is_down_is_refused_before_the_first_step() {
    let desk = desk("");
    // Held to the end of the test, so that no other server gets this port: whoever calls is hung up on.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let urls = format!("simulator.urls=[\"http://{address}\"]");
    let settings = ["--set", &urls, "--set", "simulator.model_name=sim", "--set", "rollout.engine=simulated"];
    let told = desk.fail(&[&["train", "recipe.toml", "--run", "run"], settings.as_slice()].concat());
    assert_told(&told, &["the simulator cannot be used", "is the server running"]);
    assert!(!desk.path("run/metrics.jsonl").exists());
}

/// What a run with a policy that searches says when the simulator behaves in `manner`.
fn train_against(manner: Manner, settings: &[&str]) -> (Desk, Simulator, std::process::Output) {
    let desk = Desk::new();
    desk.write("questions.jsonl", questions());
    let simulator = Simulator::with(manner);
    desk.write("searching.toml", searching_recipe(&desk, &simulator, 6));
    let words = [&["train", "searching.toml", "--run", "run"], settings].concat();
    let output = desk.run(&words);
    (desk, simulator, output)
}

#[test]
fn a_simulator_that_goes_down_breaks_rows_and_then_stops_the_run() {
    let (desk, simulator, output) = train_against(Manner::WellUntil(25, Bad::Down), &[]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for words in ["conversations of this step are broken", "status 500", "rl.max_broken_share = 0.2"] {
        assert!(told.contains(words), "{told}");
    }
    assert!(desk.read("run/run.json").contains("\"state\": \"failed\""));
    assert!(simulator.calls() > 25);

    // With all rows allowed to break the run goes on, counts them, and learns nothing from them.
    let (desk, _simulator, output) =
        train_against(Manner::WellUntil(1, Bad::Down), &["--set", "rl.max_broken_share=1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let broken = zerosearch::run::numbers(&desk.path("run/metrics.jsonl"), "endings/broken").unwrap();
    assert!(broken.len() == 6 && broken.iter().all(|(_, count)| *count > 8.0), "{broken:?}");
}

#[test]
fn an_evaluation_whose_engine_is_down_fails_and_asks_the_broken_ones_again() {
    let desk = Desk::new();
    desk.write("questions.jsonl", questions());
    let (down, well) = (Simulator::with(Manner::WellUntil(1, Bad::Down)), Simulator::start());
    let recipe = searching_recipe(&desk, &down, 6);
    let model = recipe.split('"').nth(1).unwrap().to_owned();
    desk.write("searching.toml", recipe);
    desk.write("held-out.jsonl", questions().replace("number", "letter"));
    let words = ["eval", "--config", "searching.toml", "--model", &model];
    let words = [words.as_slice(), &["--questions", "held-out.jsonl", "--out", "out"]].concat();
    let told = desk.fail(&words);
    for words in ["error: 8 of 8 conversations are broken", "rl.max_broken_share = 0.2", "status 500"] {
        assert!(told.contains(words), "{told}");
    }
    assert_eq!(desk.read("out/rows.jsonl").lines().count(), 8);
    let urls = format!("simulator.urls=[\"{}\"]", well.url());
    let table = desk.succeed(&[words.as_slice(), &["--set", &urls]].concat());
    assert!(table.contains("broken 0"), "{table}");
}

#[test]
fn replies_that_are_no_replies_stop_the_run_with_the_reason() {
    for (bad, words) in [(Bad::Garbled, "unexpected"), (Bad::Huge, "bytes")] {
        let (_desk, _simulator, output) = train_against(Manner::WellUntil(1, bad), &[]);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("are broken") && told.contains(words), "{bad:?}: {told}");
    }
}

#[test]
fn hostile_documents_stay_inside_their_block() {
    let (desk, simulator, output) = train_against(Manner::Hostile, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(simulator.calls() > 0);
    let mut blocks = 0;
    for step in 1..=6 {
        for line in desk.read(&format!("run/trajectories/{step:06}.jsonl")).lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_ne!(row["ending"]["answered"], "owned");
            let pieces = row["transcript"].as_array().unwrap().iter().zip(row["texts"].as_array().unwrap());
            for (_, text) in pieces.filter(|(piece, _)| piece["author"] == "search") {
                let inside = text.as_str().unwrap().trim();
                let inside =
                    inside.strip_prefix("<information>").unwrap().strip_suffix("</information>").unwrap();
                assert!(
                    !["</information>", "<answer>", "<search>", "\u{1b}", "\u{0}", "<|end|>"]
                        .iter()
                        .any(|bad| inside.contains(bad)),
                    "{inside}"
                );
                blocks += 1;
            }
        }
    }
    assert!(blocks > 0);
    let tags = zerosearch::run::numbers(&desk.path("run/metrics.jsonl"), "sim/neutralised").unwrap();
    assert!(tags.iter().any(|(_, count)| *count > 0.0), "{tags:?}");
}
