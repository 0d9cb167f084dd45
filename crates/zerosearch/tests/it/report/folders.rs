//! Folders of runs and evaluations, written as docs/run-folder.md has them, with hostile words in every place.

use serde_json::{Value, json};

use crate::program::Desk;

/// What a model, an engine or a question file may hold.
pub(super) const HOSTILE: &str = "<search> a & b </search></script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">";

/// The folder of a training of `steps` steps with two conversations in each.
pub(super) fn run(desk: &Desk, name: &str, count: u64) {
    let hashes = json!({"files": {HOSTILE: "00"}, "templates": {}, "models": {}});
    let record = json!({
        "version": 1, "verb": "train", "program": "0.1.0", "commit": null, "host": HOSTILE, "started_unix_s": 1_795_410_870,
        "resumed": 0, "state": "failed", "reason": HOSTILE, "seed": 1, "numeric_path": "local", "hashes": hashes,
    });
    desk.write(&format!("{name}/run.json"), record.to_string());
    desk.write(
        &format!("{name}/config.toml"),
        format!("[model]\npath = '''{HOSTILE}'''\n[rl]\nsteps = 40\n"),
    );
    if count > 0 {
        desk.write(&format!("{name}/metrics.jsonl"), steps(count));
    }
    for step in 1..=count {
        let lines = [0, 1].map(|member| conversation(step, member, member as f64));
        desk.write(&format!("{name}/trajectories/{step:06}.jsonl"), jsonl(&lines));
    }
}

/// Lines of metrics: the noise grows by 1 % a step.
pub(super) fn steps(count: u64) -> String {
    let line = |step: u64| {
        json!({
            "step": step, "reward/mean": 0.1 * step as f64, "curriculum/noise_prob": 0.01 * step as f64,
            "actor/entropy": 0.5, "endings/answered": 2.0, "sequence_length/mean": 6.0, "timing_s/gen": 1.0, "timing_s/step": 2.0,
        })
    };
    jsonl(&(1..=count).map(line).collect::<Vec<_>>())
}

/// The folder of an evaluation of two questions, both scored `score`.
pub(super) fn evaluation(desk: &Desk, name: &str, score: f64) {
    let interval = json!({"mean": score, "low": score, "high": score});
    let scores = json!({"questions": 2, "em": interval, "sub_em": interval, "f1": interval});
    let summary = json!({
        "version": 1, "questions": 2, "answered": 2, "broken": 0, "unusable": 0, "searches_per_question": 1.0, "reward": score,
        "all": scores, "mean": {"em": score, "sub_em": score, "f1": score}, "sources": {HOSTILE: scores},
    });
    desk.write(&format!("{name}/summary.json"), summary.to_string());
    desk.write(&format!("{name}/config.toml"), "[model]\npath = \"m\"\n");
    desk.write(
        &format!("{name}/hashes.json"),
        json!({"files": {}, "templates": {}, "models": {}}).to_string(),
    );
    let lines = [0, 1].map(|number| {
        let mut line = conversation(0, 0, score);
        line["question"]["id"] = format!("q{number}").into();
        line
    });
    desk.write(&format!("{name}/rows.jsonl"), jsonl(&lines));
}

fn conversation(step: u64, member: u64, score: f64) -> Value {
    let document =
        json!({"title": HOSTILE, "text": HOSTILE, "provenance": {"engine": HOSTILE, "label": "noisy"}});
    json!({
        "version": 1, "step": step, "noise": 0.25, "texts": [HOSTILE, HOSTILE, HOSTILE, HOSTILE],
        "question": {"id": HOSTILE, "source": HOSTILE, "text": HOSTILE, "golden_answers": [HOSTILE, "("]}, "member": member,
        "transcript": [
            {"author": "prompt", "tokens": [1]}, {"author": "policy", "tokens": [2, 3], "logprobs": [-0.25, -4.75]},
            {"author": "search", "tokens": [4]}, {"author": "policy", "tokens": [5], "logprobs": [-1.5]},
        ],
        "turns": [
            {"action": {"search": HOSTILE}, "labels": {"all": "noisy"}, "documents": [document]}, {"action": {"answer": HOSTILE}},
        ],
        "ending": {"answered": HOSTILE}, "scores": {"em": score, "sub_em": score, "f1": score}, "reward": score,
    })
}

fn jsonl(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}
