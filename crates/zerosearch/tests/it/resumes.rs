//! A run that is killed and resumed ends as one that was never killed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::program::{Desk, SHORT, questions, recipe, stderr};
use crate::server::{Bad, Manner, Simulator};

const STEPS: usize = 24;

/// Metrics less the keys whose numbers are a matter of time.
pub(crate) fn metrics(desk: &Desk, run: &str) -> Vec<Map<String, Value>> {
    let mut rows: Vec<Map<String, Value>> =
        zerosearch::run::lines(&desk.path(&format!("{run}/metrics.jsonl"))).unwrap();
    for row in &mut rows {
        row.retain(|key, _| !key.starts_with("timing_s/") && !key.starts_with("perf/"));
    }
    rows
}

/// Every file under a folder, by its path within.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            found.insert(name, std::fs::read(&path).unwrap());
        }
    }
    found
}

#[track_caller]
pub(crate) fn assert_same_run(desk: &Desk, one: &str, other: &str, steps: usize) {
    let (rows, others) = (metrics(desk, one), metrics(desk, other));
    assert_eq!(rows.len(), steps, "{one}");
    assert_eq!(rows, others);
    for part in [format!("checkpoints/{steps:06}"), "trajectories".into(), "eval".into()] {
        let of = |run: &str| files(&desk.path(&format!("{run}/{part}")));
        let (mine, theirs) = (of(one), of(other));
        assert_eq!(mine.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{part}");
        for (name, bytes) in &mine {
            assert!(theirs[name] == *bytes, "{part}/{name} differs");
        }
    }
}

/// Starts a run, kills it as soon as it has written `lines` lines of metrics, and says how many it left.
pub(crate) fn kill_after(desk: &Desk, words: &[&str], run: &str, lines: usize) -> usize {
    let mut child = desk.spawn(words);
    let path = desk.path(&format!("{run}/metrics.jsonl"));
    let written =
        || std::fs::read(&path).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count());
    let patience = Instant::now() + Duration::from_secs(120);
    while written() < lines && child.try_wait().unwrap().is_none() && Instant::now() < patience {
        std::thread::sleep(Duration::from_micros(300));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    written()
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_as_one_that_never_was() {
    let desk = Desk::new();
    desk.write("questions.jsonl", questions());
    desk.write("held-out.jsonl", "{\"question\":\"who is it?\",\"golden_answers\":[\"me\"]}\n");
    let eval = "[eval]\nevery = 4\nquestions = [\"held-out.jsonl\"]\n";
    // The reference policy, several updates in a step and evaluations all have to come back.
    let more = "group_size = 4\nkl_coef = 0.01\nupdates_per_step = 2\n";
    let recipe = recipe(STEPS, &format!("{SHORT}{eval}")).replace("group_size = 4\n", more);
    desk.write("recipe.toml", recipe);
    desk.succeed(&["train", "recipe.toml", "--run", "whole"]);

    // Before the first checkpoint, between two, and right behind one.
    assert!(kill_after(&desk, &["train", "recipe.toml", "--run", "killed"], "killed", 2) >= 2);
    for lines in [7, 11, 16, 21] {
        kill_after(&desk, &["train", "--resume", "killed"], "killed", lines);
    }
    desk.succeed(&["train", "--resume", "killed"]);
    assert_same_run(&desk, "whole", "killed", STEPS);
    assert!(desk.read("killed/run.json").contains("\"state\": \"finished\""));
}

#[test]
fn what_a_crash_tears_or_leaves_half_done_is_cut_off() {
    let desk = Desk::new();
    desk.write("questions.jsonl", questions());
    desk.write("recipe.toml", recipe(12, SHORT).replace("bigram", "random").replace("0.3", "0.01"));
    desk.succeed(&["train", "recipe.toml", "--run", "whole"]);
    desk.succeed(&["train", "recipe.toml", "--run", "torn", "--set", "model.threads=1"]);
    assert_same_run(&desk, "whole", "torn", 12);
    // As if the crash came while step 12 was written, after the checkpoint of step 10.
    std::fs::remove_dir_all(desk.path("torn/checkpoints/000012")).unwrap();
    desk.write("torn/checkpoints/.000012.part/model.bin", "half");
    let metrics = desk.read("torn/metrics.jsonl");
    desk.write("torn/metrics.jsonl", &metrics[..metrics.len() - 20]);
    let lines = desk.read("torn/checkpoints.jsonl");
    desk.write("torn/checkpoints.jsonl", &lines[..lines.len() - 9]);
    desk.succeed(&["train", "--resume", "torn"]);
    assert_same_run(&desk, "whole", "torn", 12);
    assert!(!desk.path("torn/checkpoints/.000012.part").exists());
}

#[test]
fn a_run_with_a_remote_simulator_replays_its_replies() {
    let desk = Desk::new();
    desk.write("questions.jsonl", questions());
    // No two replies of this server are alike: only replayed ones can be the same again.
    let simulator = Simulator::start();
    let recipe = searching_recipe(&desk, &simulator, 12);
    desk.write("recipe.toml", recipe);
    desk.succeed(&["train", "recipe.toml", "--run", "run"]);
    let before = (metrics(&desk, "run"), files(&desk.path("run/checkpoints/000012")));
    assert!(simulator.calls() > 0);
    // Back to the checkpoint of step 10: steps 11 and 12 are played again.
    std::fs::remove_dir_all(desk.path("run/checkpoints/000012")).unwrap();
    let calls = simulator.calls();
    desk.succeed(&["train", "--resume", "run"]);
    assert_eq!(simulator.calls(), calls + 1, "only the call that sees whether the server is there");
    assert!(before.0 == metrics(&desk, "run"));
    assert!(before.1 == files(&desk.path("run/checkpoints/000012")));
}

/// A recipe whose policy asks the simulator's server in most turns.
pub(crate) fn searching_recipe(desk: &Desk, simulator: &Simulator, steps: usize) -> String {
    let url = simulator.url();
    let servers = format!("urls = [\"{url}\"]\nmodel_name = \"sim\"\ntimeout_s = 5.0\nretries = 0\n");
    searchers_recipe(desk, "simulated", &servers, steps)
}

/// A recipe whose policy asks `engine` in most turns: the bigram model after a few steps on `<search>` rows.
pub(crate) fn searchers_recipe(desk: &Desk, engine: &str, simulator: &str, steps: usize) -> String {
    let row = "{\"segments\":[{\"author\":\"prompt\",\"text\":\"<|assistant|>\"},\
               {\"author\":\"policy\",\"text\":\"<search>who</search>\"},{\"author\":\"search\",\"text\":\"\\n\"},\
               {\"author\":\"policy\",\"text\":\"<answer>me</answer>\"}]}\n";
    desk.write("rows.jsonl", row.repeat(16));
    let words = "sft --model bigram --data rows.jsonl --run searcher --set optimizer.learning_rate=1 \
                 --set sft.tokens_per_step=60 --set sft.epochs=3 --set model.context=4096";
    desk.succeed(&words.split_whitespace().collect::<Vec<_>>());
    let last = zerosearch::run::numbers(&desk.path("searcher/metrics.jsonl"), "sft/loss").unwrap();
    let (step, loss) = last[last.len() - 1];
    assert!(loss < 0.1, "{last:?}");
    let short = SHORT.replace("scripted", engine);
    recipe(steps, &format!("{short}[simulator]\n{simulator}"))
        .replace("\"bigram\"", &format!("\"searcher/checkpoints/{step:06}\""))
}

/// The weights of each step write that step's documents, so that they come again only where the weights do.
#[test]
fn a_policy_that_searches_itself_is_killed_and_ends_as_one_that_never_was() {
    let desk = Desk::new();
    desk.write("questions.jsonl", questions());
    desk.write("recipe.toml", searchers_recipe(&desk, "self", "max_tokens = 12\n", 12));
    desk.succeed(&["train", "recipe.toml", "--run", "whole"]);
    let calls = zerosearch::run::numbers(&desk.path("whole/metrics.jsonl"), "sim/calls").unwrap();
    assert!(calls.len() == 12 && calls.iter().all(|(_, calls)| *calls > 0.0), "{calls:?}");
    let documents = zerosearch::run::numbers(&desk.path("whole/metrics.jsonl"), "sim/documents_got").unwrap();
    assert!(documents.iter().any(|(_, documents)| *documents > 0.0), "{documents:?}");
    kill_after(&desk, &["train", "recipe.toml", "--run", "killed"], "killed", 7);
    desk.succeed(&["train", "--resume", "killed"]);
    assert_same_run(&desk, "whole", "killed", 12);
}

#[test]
fn a_run_is_not_resumed_as_another_run() {
    let desk = Desk::new();
    desk.write("questions.jsonl", questions());
    desk.write("recipe.toml", recipe(6, SHORT));
    desk.succeed(&["train", "recipe.toml", "--run", "run"]);
    let told = desk.fail(&["train", "--resume", "run", "--set", "rl.group_size=2"]);
    assert!(told.contains("rl.group_size = 4, but 2 is asked for"), "{told}");
    let told = desk.fail(&["sft", "--resume", "run", "--data", "questions.jsonl"]);
    assert!(told.contains("was made by `zerosearch train`"), "{told}");
    let told = desk.fail(&["train", "recipe.toml", "--run", "run"]);
    assert!(told.contains("is not empty") && told.contains("--resume run"), "{told}");
    let told = desk.fail(&["train", "recipe.toml", "--resume", "elsewhere"]);
    assert!(told.contains("elsewhere"), "{told}");
    let record = desk.read("run/run.json");
    desk.write("run/run.json", record.replace("bigram-f32", "bigram-f64"));
    let told = desk.fail(&["train", "--resume", "run"]);
    assert!(told.contains("numeric path bigram-f64"), "{told}");
    // A resume that is refused has deleted nothing, though the checkpoint of step 6 is gone.
    let folder = files(&desk.path("run"));
    std::fs::rename(desk.path("run/checkpoints/000006"), desk.path("kept")).unwrap();
    desk.fail(&["train", "--resume", "run"]);
    std::fs::rename(desk.path("kept"), desk.path("run/checkpoints/000006")).unwrap();
    assert!(folder == files(&desk.path("run")), "a refused resume changed the folder");
    desk.write("run/run.json", record);
    desk.write("questions.jsonl", questions().replace("number", "letter"));
    let told = desk.fail(&["train", "--resume", "run"]);
    assert!(told.contains("another questions.jsonl"), "{told}");
}

#[test]
fn a_run_that_never_did_a_step_leaves_no_replies_behind() {
    let desk = Desk::new();
    desk.write("questions.jsonl", questions());
    desk.write("recipe.toml", recipe(1, SHORT));
    desk.write("run/run.json", "{}");
    desk.write("run/replies/000001.jsonl", "{\"request\":\"of another plan\"}\n");
    desk.succeed(&["train", "recipe.toml", "--run", "run"]);
    assert!(!desk.path("run/replies").exists());
}

/// A recipe whose training needs no server; the evaluation after the last of two steps does.
fn evaluated_recipe(desk: &Desk, simulator: &Simulator) -> String {
    desk.write("questions.jsonl", questions());
    desk.write("held-out.jsonl", questions().replace("number", "letter"));
    let eval = "[eval]\nevery = 2\nengine = \"simulated\"\nquestions = [\"held-out.jsonl\"]\n";
    searching_recipe(desk, simulator, 2).replace("\"simulated\"", "\"scripted\"") + eval
}

#[test]
fn an_evaluation_that_is_interrupted_is_made_when_the_run_is_resumed() {
    let desk = Desk::new();
    let (silent, well) = (Simulator::with(Manner::WellUntil(1, Bad::Silent)), Simulator::start());
    desk.write(
        "recipe.toml",
        evaluated_recipe(&desk, &silent).replace("timeout_s = 5.0", "timeout_s = 60.0"),
    );
    let mut child = desk.spawn(&["train", "recipe.toml", "--run", "run"]);
    let patience = Instant::now() + Duration::from_secs(120);
    while silent.calls() < 2 && child.try_wait().unwrap().is_none() && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // Step 2 is done and saved, and not recorded yet.
    assert_eq!(metrics(&desk, "run").len(), 1);
    assert!(desk.path("run/checkpoints/000002").is_dir() && desk.path("run/unfinished.json").exists());

    let urls = format!("simulator.urls=[\"{}\"]", well.url());
    desk.succeed(&["train", "--resume", "run", "--set", &urls]);
    let rows = metrics(&desk, "run");
    assert_eq!(rows.len(), 2);
    assert!(rows[1]["val/broken"] == 0.0 && rows[1].contains_key("val/mean/f1"), "{rows:?}");
    assert!(rows[1]["reward/mean"].is_number());
    let lines = desk.read("run/checkpoints.jsonl");
    assert!(lines.lines().count() == 1 && lines.contains("\"best\":true"), "{lines}");
    assert!(!desk.path("run/unfinished.json").exists());
    assert!(desk.read("run/run.json").contains("\"state\": \"finished\""));
}

#[test]
fn an_evaluation_that_breaks_gives_no_score_and_no_best_checkpoint() {
    let desk = Desk::new();
    let simulator = Simulator::with(Manner::WellUntil(1, Bad::Down));
    desk.write("recipe.toml", evaluated_recipe(&desk, &simulator));
    let output = desk.run(&["train", "recipe.toml", "--run", "run"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("this evaluation gives no score: "), "{}", stderr(&output));
    let row = &metrics(&desk, "run")[1];
    assert!(row["val/broken"].as_f64().unwrap() > 1.0 && !row.contains_key("val/mean/f1"), "{row:?}");
    let lines = desk.read("run/checkpoints.jsonl");
    assert!(lines.contains("\"score\":null,\"best\":false"), "{lines}");
}

#[test]
fn a_run_that_its_simulator_broke_goes_on_and_repeats_what_stood() {
    let desk = Desk::new();
    desk.write("questions.jsonl", questions());
    // Well for the check and the first step and a half.
    let simulator = Simulator::with(Manner::WellUntil(25, Bad::Down));
    desk.write("recipe.toml", searching_recipe(&desk, &simulator, 6));
    let told = desk.fail(&["train", "recipe.toml", "--run", "run"]);
    assert!(told.contains("conversations of this step are broken"), "{told}");
    let done = metrics(&desk, "run").len();
    assert!((1..5).contains(&done), "{done}");
    // Saved though no save was due, and nothing of the refused step is kept.
    assert!(desk.path(&format!("run/checkpoints/{done:06}")).is_dir());
    assert!(!desk.path(&format!("run/replies/{:06}.jsonl", done + 1)).exists());

    // With all rows allowed to break it goes on, and failures that stood come again: nobody is asked twice.
    let resume = |simulator: &Simulator| {
        let urls = format!("simulator.urls=[\"{}\"]", simulator.url());
        desk.succeed(&["train", "--resume", "run", "--set", "rl.max_broken_share=1", "--set", &urls]);
        metrics(&desk, "run")
    };
    let before = resume(&Simulator::with(Manner::WellUntil(1, Bad::Down)));
    assert!(before.len() == 6 && before[5]["endings/broken"].as_f64().unwrap() > 8.0, "{before:?}");
    std::fs::remove_dir_all(desk.path("run/checkpoints/000006")).unwrap();
    let well = Simulator::start();
    assert_eq!(resume(&well), before);
    assert_eq!(well.calls(), 1, "only the call that sees whether the server is there");
}

#[test]
fn a_run_is_left_when_its_minutes_are_over() {
    let desk = Desk::new();
    desk.write("questions.jsonl", questions());
    desk.write("recipe.toml", recipe(5_000, SHORT));
    let output = desk.run(&["train", "recipe.toml", "--run", "run", "--minutes", "0.01"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("the 0.01 minutes of `--minutes` are over: stopped after step"));
    let done = metrics(&desk, "run").len();
    assert!(desk.path(&format!("run/checkpoints/{done:06}")).is_dir());
    assert!(
        desk.fail(&["train", "recipe.toml", "--resume", "nowhere"]).contains("there is no run in nowhere")
    );
}

#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let desk = Desk::new();
    desk.write("questions.jsonl", questions());
    desk.write("recipe.toml", recipe(5_000, SHORT));
    let child = desk
        .command(&["train", "recipe.toml", "--run", "run"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let patience = Instant::now() + Duration::from_secs(120);
    while !desk.path("run/metrics.jsonl").exists() && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(stderr(&output).contains("go on with `zerosearch train --resume run`"), "{}", stderr(&output));
    let done = metrics(&desk, "run").len();
    assert!(desk.path(&format!("run/checkpoints/{done:06}")).is_dir());
    assert!(desk.read("run/run.json").contains("\"state\": \"interrupted\""));
}
