//! The program learns: the shipped tiny recipe raises its reward, and what it trains on is what it sampled.

use crate::program::{Desk, repository};

/// The column `name` of a run's metrics.
fn column(desk: &Desk, name: &str) -> Vec<f64> {
    zerosearch::run::numbers(&desk.path("run/metrics.jsonl"), name)
        .unwrap()
        .into_iter()
        .map(|(_, value)| value)
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// A random model writes 8 tags of 268 tokens by chance: a share of 0.03. Half of all tokens is far beyond chance.
#[test]
fn the_tiny_recipe_learns() {
    let desk = Desk::new();
    let run = desk.path("run").display().to_string();
    let output = desk
        .command(&["train", "configs/tiny.toml", "--run", &run])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", crate::program::stderr(&output));
    let reward = column(&desk, "reward/mean");
    assert_eq!(reward.len(), 30);
    assert!(mean(&reward[..3]) < 0.1 && mean(&reward[25..]) > 0.5, "{reward:?}");
    assert!(column(&desk, "mismatch_kl").iter().all(|mismatch| *mismatch == 0.0));
    assert_eq!(column(&desk, "env/broken_ratio").iter().sum::<f64>(), 0.0);
}
