//! The measuring verbs: what their figures are called, at a shape that says nothing about speed.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Map, Value};

use crate::program::Desk;

/// The figures of `zerosearch` with these words, one object for each line, in which these names are numbers. (How large they
/// are is a matter of time: a difference of two short times may even be negative.)
#[track_caller]
fn lines(words: &str, names: &[&str]) -> Vec<Map<String, Value>> {
    let told = Desk::new().succeed(&format!("{words} --json").split(' ').collect::<Vec<_>>());
    let lines: Vec<Map<String, Value>> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}")))
        .collect();
    for (figures, name) in lines.iter().flat_map(|line| names.iter().map(move |name| (line, name))) {
        assert!(figures[*name].is_number(), "{words}: {name} in {figures:?}");
    }
    lines
}

/// The only line of `zerosearch bench` with these words at the tiny shape.
#[track_caller]
fn figures(words: &str, names: &[&str]) -> Map<String, Value> {
    let mut lines = lines(&format!("bench {words} --shape tiny --repeats 1"), names);
    assert_eq!(lines.len(), 1, "{words}");
    lines.remove(0)
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
    assert_eq!(told["trained_parameters"], told["parameters"]);
    // By hand, for each of two layers: (48 + 48) + 2 (48 + 16) + (48 + 48) + 2 (48 + 128) + (128 + 48) numbers for each rank.
    let told = figures("train --rows 2 --tokens 20 --rank 4", &STEP);
    assert_eq!(told["trained_parameters"], 2 * 4 * 848);
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
fn one_row_is_held_against_the_bandwidth_of_memory() {
    figures("sample --rows 1 --prompt 5 --tokens 40", &["share_of_read_bandwidth"]);
}

/// The factors of so thin a model are laid out in panels that they do not fill: with them it is half of two models and much more.
#[test]
fn adapters_over_one_model_are_measured_beside_two_models() {
    let told = figures("pair --rank 2 --rows 2 --prompt 5 --tokens 8", &["times_faster", "seconds"]);
    let share = told["share_of_weight_memory"].as_f64().unwrap();
    assert!((0.5..1.0).contains(&share), "{share}");
    let desk = Desk::new();
    let told = desk.fail(&["bench", "pair", "--shape", "tiny"]);
    assert_eq!(told, "error: the adapters have no rank\nhint: give one, such as `--rank 16`\n");
}

#[test]
fn reading_is_measured() {
    let told = figures("prefill --rows 3 --tokens 20 --shared 12", &["tokens_per_second", "seconds"]);
    assert_eq!((&told["rows"], &told["tokens"], &told["shared"]), (&3.into(), &20.into(), &12.into()));
}

#[test]
fn three_products_of_every_size_are_measured() {
    let names = ["gflops", "with_weights_gflops", "peak_gflops", "share", "with_weights_share"];
    let told = lines("bench matmul --size 32x48x64 --size 7x9x11 --repeats 1", &names);
    let named: Vec<String> =
        told.iter().map(|line| format!("{} {}", line["product"], line["size"])).collect();
    let expected = ["32x48x64", "7x9x11"].map(|size| {
        ["forward", "weight_gradient", "input_gradient"].map(|product| format!("\"{product}\" \"{size}\""))
    });
    assert_eq!(named, expected.concat());
}

#[test]
fn a_step_of_grpo_is_measured() {
    let names = [&STEP[1..], &["sampling_seconds", "seconds_per_trajectory"]].concat();
    let told = figures("grpo --questions 2 --group 2 --turns 3 --tokens 6 --documents 4 --prompt 5", &names);
    assert_eq!((&told["questions"], &told["turns"]), (&2.into(), &3.into()));
    assert!(told.get("times_first").is_none(), "nothing was compared: {told:?}");
}

#[test]
fn steps_with_more_turns_are_held_against_the_first() {
    let words = "bench grpo --turns 2,4 --questions 2 --group 2 --tokens 6 --documents 4 --prompt 5 --shape tiny --repeats 1";
    let told = lines(words, &["seconds_per_trajectory"]);
    let turns: Vec<u64> = told.iter().map(|line| line["turns"].as_u64().unwrap()).collect();
    assert_eq!(turns, [2, 4]);
    let each = |line: usize| told[line]["seconds_per_trajectory"].as_f64().unwrap();
    let times = told[1]["times_first"].as_f64().unwrap();
    assert!((times - each(1) / each(0)).abs() < 1e-9, "of one round: {told:?}");
    assert!(told[0].get("times_first").is_none());
}

/// 24 calls with 4 slots are 6 waves of 5 ms each; three calls one after another take three, whoever else waits. No
/// server with so many slots can be faster.
#[test]
fn orchestration_is_held_against_a_server_that_is_always_full() {
    let names = ["seconds", "share_of_ideal", "errors", "retries"];
    for (words, calls, ideal) in
        [("--rollouts 12 --searches 2", 48, 0.03), ("--rollouts 2 --searches 3", 12, 0.015)]
    {
        let words = format!("bench orchestration {words} --latency-ms 5 --slots 4 --repeats 1");
        let told = lines(&words, &names).remove(0);
        assert_eq!((&told["calls"], &told["errors"]), (&calls.into(), &0.into()), "of both rounds: {told:?}");
        assert_eq!(told["ideal_seconds"], ideal);
        assert!(told["share_of_ideal"].as_f64().unwrap() <= 1.0, "{told:?}");
    }
}

#[test]
fn the_stub_ends_with_its_standard_input() {
    let desk = Desk::new();
    let mut command = desk.command(&["bench", "stub-server"]);
    let mut stub = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut address = String::new();
    BufReader::new(stub.stdout.take().unwrap()).read_line(&mut address).unwrap();
    assert!(address.starts_with("http://127.0.0.1:"), "{address}");
    drop(stub.stdin.take());
    assert!(stub.wait().unwrap().success());
}

#[test]
fn the_doctor_tells_what_this_machine_reaches_and_what_a_plan_needs() {
    let names = ["cores", "peak_gflops_of_one_thread", "peak_gflops", "read_gb_per_second"];
    let told = lines("doctor --model random", &names).remove(0);
    assert!(told["instructions"].is_string() && told["faster"].is_string());
    let needs = told["needs"].as_array().unwrap();
    let named: Vec<&str> = needs.iter().map(|need| need["what"].as_str().unwrap()).collect();
    assert_eq!(named, ["the policy that is trained", "the weights that it starts from", "together"]);
    let gib: Vec<f64> = needs.iter().map(|need| need["gib"].as_f64().unwrap()).collect();
    assert!(gib[0] > gib[1] && (gib[0] + gib[1] - gib[2]).abs() < 1e-9, "{gib:?}");
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let desk = Desk::new();
    let told = desk.fail(&["bench", "train", "--shape", "huge"]);
    assert_eq!(
        told,
        "error: there is no shape huge\nhint: known are tiny, smollm2-135m, qwen2.5-0.5b, qwen3-0.6b, qwen2.5-1.5b, llama-3.2-3b; `--model` takes any model\n"
    );
    let told = desk.fail(&["bench", "sample", "--shape", "tiny", "--prompt", "9000"]);
    assert!(told.starts_with("error: tiny reads 8192 tokens, not 9064\n"), "{told}");
}

#[test]
fn people_see_a_table() {
    let told = Desk::new().succeed(&["bench", "train", "--shape", "tiny", "--rows", "1", "--tokens", "8"]);
    let lines: Vec<Vec<&str>> = told.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(lines.contains(&vec!["tokens", "8"]), "{told}");
    assert!(lines.iter().any(|line| line.first() == Some(&"tokens_per_second")), "{told}");
}
