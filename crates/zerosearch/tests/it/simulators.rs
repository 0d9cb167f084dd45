//! The making of a simulator: conversations are judged, a model is tuned on the pairs, and simulators are measured.

use serde_json::{Value, json};

use crate::program::{Desk, stderr};
use crate::server::{Bad, Manner, Simulator};

/// A conversation with two searches: the first brings a town's name, which is the answer, the second nothing of it.
fn conversation(n: usize) -> Value {
    let town = format!("Town{n}");
    let search = |query: String, text: String| {
        json!({"action": {"search": query}, "documents": [
            {"title": "", "text": text, "provenance": {"engine": "bm25"}},
            {"title": "Page", "text": format!("about {n}"), "provenance": {"engine": "bm25"}},
        ]})
    };
    let turns = [
        search(format!("capital of land {n}"), format!("The capital of land {n} is {town}.")),
        search(format!("river of land {n}"), format!("A river of land {n} is long.")),
        json!({"action": {"answer": town}}),
    ];
    json!({
        "version": 1, "step": 0, "noise": 0.0, "texts": [], "member": 0,
        "question": {"id": format!("q{n}"), "source": "lands", "text": format!("what is the capital of land {n}?"), "golden_answers": [town]},
        "transcript": {"pieces": []}, "turns": turns, "ending": {"answered": town},
        "scores": {"em": 1.0, "sub_em": 1.0, "f1": 1.0}, "reward": 1.0,
    })
}

/// A desk with 24 conversations, judged by containment into `pairs`.
fn judged() -> Desk {
    let desk = Desk::new();
    let rows: String = (0..24).map(|n| format!("{}\n", conversation(n))).collect();
    desk.write("collected/rows.jsonl", rows);
    let told = desk.succeed(&["judge", "collected", "--held-out", "0.3", "--out", "pairs"]);
    assert!(told.contains("labelled by containment: 24 useful, 24 noisy"), "{told}");
    desk
}

fn json_of(desk: &Desk, name: &str) -> Value {
    serde_json::from_str(&desk.read(name)).unwrap()
}

#[test]
fn judging_again_gives_the_same_files_and_another_order_is_refused() {
    let desk = judged();
    let before = desk.read("pairs/pairs.jsonl");
    desk.succeed(&["judge", "collected", "--held-out", "0.3", "--out", "pairs"]);
    assert_eq!(desk.read("pairs/pairs.jsonl"), before);
    let told = desk.fail(&["judge", "collected", "--held-out", "0.4", "--out", "pairs"]);
    assert!(told.contains("held_out = 0.3, not 0.4") && told.contains("--out FOLDER"), "{told}");
    let told = desk.fail(&["judge", "nowhere", "--out", "other"]);
    assert!(told.contains("there is no nowhere"), "{told}");
    let told = desk.fail(&["judge", "collected", "--model", "m", "--out", "other"]);
    assert!(told.contains("--by model"), "{told}");
}

/// The server answers the judge with documents instead of yes or no.
#[test]
fn a_judge_that_writes_prose_or_falls_silent_is_refused_and_its_verdicts_are_kept() {
    let desk = judged();
    for (manner, word) in [
        (Manner::Well, "where yes or no was asked for"),
        (Manner::WellUntil(1, Bad::Down), "refused with status 500"),
    ] {
        let server = Simulator::with(manner);
        let urls = format!("simulator.urls=[\"{}\"]", server.url());
        let words = ["judge", "collected", "--by", "model", "--out", "by-model", "--set", &urls];
        let more = ["--set", "simulator.model_name=sim", "--set", "simulator.retries=0"];
        let told = desk.fail(&[&words[..], &more[..]].concat());
        assert!(told.contains("no verdict on") && told.contains(word), "{told}");
    }
    assert!(desk.read("by-model/verdicts.jsonl").lines().count() >= 20);
}

#[test]
fn a_model_is_tuned_on_pairs_and_measured_beside_the_engine() {
    let desk = judged();
    let tune = ["sft", "--model", "bigram", "--data", "pairs/pairs.jsonl", "--run", "runs/sim", "--set"];
    let keys = ["model.context=4096", "--set", "sft.steps=3", "--set", "sft.rows_per_step=2"];
    let output = desk.run(&[&tune[..], &keys[..]].concat());
    let told = stderr(&output);
    assert!(output.status.success(), "{told}");
    assert!(
        told.contains("rows are pairs for a simulator, asked with the template tuned, free structure"),
        "{told}"
    );
    let measure = [
        "sim",
        "eval",
        "--pairs",
        "pairs/held-out.jsonl",
        "--set",
        "rollout.k=2",
        "--set",
        "simulator.rewrites=0",
        "--out",
        "measured",
        "--simulator",
        "scripted=scripted",
    ];
    let told = desk.succeed(&[&measure[..], &["--require", "useful=1,noisy=0,separation=1"]].concat());
    assert!(!told.contains("IGNORES"), "{told}");
    let rows = desk.read("measured/rows.jsonl");
    let tuned = ["--simulator", "tuned=runs/sim/checkpoints/000003,mode=tuned,structure=forced,max_tokens=8"];
    let told = desk.succeed(&[&measure[..], &tuned[..]].concat());
    assert!(
        told.contains("tuned IGNORES its label as far as can be told: its separation is 0.000"),
        "{told}"
    );
    assert!(desk.read("measured/rows.jsonl").starts_with(&rows), "what was measured before stays");
    let summary = json_of(&desk, "measured/summary.json");
    let held_out = desk.read("pairs/held-out.jsonl").lines().count();
    assert_eq!(summary["simulators"][1]["figures"]["calls"], 2 * held_out);
    // The engine's useful documents hold the answer, its noisy ones do not: this is how they were judged.
    assert_eq!(summary["engine"]["useful"]["mean"], 1.0);
    assert_eq!(summary["engine"]["separation"]["mean"], 1.0);
    // The last searches are the noisy ones.
    assert_eq!(summary["engine"]["last_hop"], Value::Null);
    assert!(desk.read("measured/samples.md").contains("**tuned, noisy**: no answer is in them"));
    let gate = [&measure[..], &tuned[..], &["--require", "useful=0.8"]].concat();
    let told = desk.fail(&gate);
    assert!(told.contains("tuned: useful is 0.000") && !told.contains("scripted: useful"), "{told}");
}

#[test]
fn a_measuring_is_taken_up_and_no_other_mixed_with_it() {
    let desk = judged();
    let measure = ["sim", "eval", "--pairs", "pairs/held-out.jsonl", "--out", "measured"];
    let scripted = ["--simulator", "scripted=scripted"];
    desk.succeed(&[&measure[..], &scripted[..]].concat());
    let (rows, summary) = (desk.read("measured/rows.jsonl"), json_of(&desk, "measured/summary.json"));
    // Half of it is lost, the last line torn.
    desk.write("measured/rows.jsonl", &rows[..rows.len() / 2]);
    desk.succeed(&[&measure[..], &scripted[..]].concat());
    let again = json_of(&desk, "measured/summary.json");
    for figure in ["useful", "noisy", "separation", "words", "overlap", "relevance"] {
        assert_eq!(again["simulators"][0]["figures"][figure], summary["simulators"][0]["figures"][figure]);
    }
    let told = desk.fail(&[&measure[..], &scripted[..], &["--count", "3"]].concat());
    assert!(told.contains("count = 0, not 3"), "{told}");
    let told = desk.fail(&[&measure[..], &["--simulator", "scripted=bigram"]].concat());
    assert!(told.contains("scripted was measured with engine = \"scripted\""), "{told}");
    let told = desk.fail(&[&measure[..], &["--simulator", "gone=nowhere.gguf"]].concat());
    assert!(told.contains("error: ") && told.contains("nowhere.gguf"), "{told}");
}

#[test]
fn a_simulator_that_is_down_is_no_result_and_is_asked_again() {
    let desk = judged();
    let server = Simulator::with(Manner::WellUntil(4, Bad::Down));
    let served = format!("served={},model_name=sim,retries=0", server.url());
    let measure =
        ["sim", "eval", "--pairs", "pairs/held-out.jsonl", "--out", "measured", "--simulator", &served];
    let told = desk.fail(&measure);
    assert!(told.contains("calls of served are broken") && told.contains("status 500"), "{told}");
    let sound = |desk: &Desk| {
        desk.read("measured/rows.jsonl").lines().filter(|line| !line.contains("\"broken\"")).count()
    };
    assert_eq!(sound(&desk), 3, "the first call was the program's own, to see whether it is there");
    let well = Simulator::start();
    let served = format!("served={},model_name=sim,retries=0", well.url());
    let measure =
        ["sim", "eval", "--pairs", "pairs/held-out.jsonl", "--out", "measured", "--simulator", &served];
    desk.succeed(&measure);
    assert_eq!(sound(&desk), 2 * desk.read("pairs/held-out.jsonl").lines().count());
}
