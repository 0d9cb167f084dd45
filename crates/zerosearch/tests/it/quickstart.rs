//! The quickstart: from nothing to a policy that searches, left on the way and taken up again.

use serde_json::Value;

use crate::program::{Desk, stderr};

/// The bounds are those that docs/micro-world.md promises of at least four worlds in five, in world 1.
#[test]
fn the_whole_method_works_in_the_micro_world() {
    let desk = Desk::new();
    let left = desk.run(&["quickstart", "--out", "q", "--minutes", "0.1"]);
    assert!(left.status.success(), "{}", stderr(&left));
    let told = String::from_utf8(left.stdout).unwrap();
    assert!(told.contains("the same command goes on from there"), "{told}");

    let told = desk.succeed(&["quickstart", "--out", "./q"]);
    assert!(told.contains("1/8 world: invent one: done before") && told.contains("\n8/8 eval: "), "{told}");
    let summary: Value = serde_json::from_str(&desk.read("q/summary.json")).unwrap();
    let number =
        |path: &str| summary.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}"));
    assert!(number("/before/em") <= 0.35 && number("/after/em") >= 0.70, "{summary}");
    assert!(number("/after/sampled_em") - number("/before/sampled_em") >= 0.15, "{summary}");
    assert!(number("/before/direct_em") < 0.10 && number("/after/direct_em") < 0.10, "{summary}");
    assert!(number("/before/em_given_answer") >= 0.85, "{summary}");
    assert!(number("/simulator/useful_last_hop") >= 0.80 && number("/simulator/noisy") <= 0.10, "{summary}");
    assert_eq!(summary["stages"].as_array().unwrap().len(), 8);

    let page = desk.read("q/report.html");
    for part in ["From nothing to the end, stage by stage", "after/greedy", "Curves of training"] {
        assert!(page.contains(part), "no {part}");
    }
    let again = desk.succeed(&["quickstart", "--out", "q"]);
    assert!(again.contains("8/8 eval: ask the trained policy, with the real engine: done before"), "{again}");
    assert!(desk.fail(&["quickstart", "--out", "q", "--seed", "2"]).contains("seed = 1, not 2"));
}
