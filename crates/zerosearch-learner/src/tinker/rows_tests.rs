//! Rows and losses as they are sent, against arithmetic by hand.

use super::*;
use crate::{KlEstimator, Objective};

fn quirks(preset: &str) -> Quirks {
    Quirks::preset(preset).unwrap()
}

fn loss(objective: Objective) -> Loss {
    Loss { normalizer: 4.0, ..Loss::sum(objective, 6) }
}

fn row() -> Example {
    Example {
        tokens: vec![3, 40, 77, 114],
        weights: vec![0.0, 0.0, 1.0, 0.5],
        advantages: vec![9.0, 9.0, 2.0, -2.0],
        old_logprobs: vec![-9.0, -9.0, -1.0, -2.0],
        reference_logprobs: vec![0.0, 0.0, -1.5, -2.0],
    }
}

fn floats(input: &ForwardBackwardInput, name: &str) -> Vec<f32> {
    input.data[0].loss_fn_inputs[name].to_floats()
}

/// By hand, `w * A / normalizer`: 1 * 2 / 4 and 0.5 * -2 / 4. Where rows are averaged, times 6 rows and 3 tokens to predict.
#[test]
fn weights_and_averages_are_folded_into_the_advantages() {
    let clip = Objective::ClippedSurrogate { low: 0.2, high: 0.3 };
    for (preset, expected) in [("hosted", [0.0, 0.5, -0.25]), ("skyrl-jax", [0.0, 9.0, -4.5])] {
        for (objective, name) in [(Objective::ImportanceSampling, "importance_sampling"), (clip, "ppo")] {
            let (loss, quirks) = (loss(objective), quirks(preset));
            let teacher = Teacher { loss: &loss, quirks: &quirks };
            assert!(teacher.is_native(&[row()]));
            let input = teacher.native(&[row()]);
            assert_eq!(input.loss_fn, name);
            assert_eq!(floats(&input, "advantages"), expected);
            // What has no weight tells nothing of itself.
            assert_eq!(floats(&input, "logprobs"), [0.0, -1.0, -2.0]);
            assert_eq!(input.data[0].loss_fn_inputs["target_tokens"], Tensor::Integers(vec![40, 77, 114]));
            assert_eq!(input.data[0].model_input.tokens().collect::<Vec<_>>(), [3, 40, 77]);
            let bounds = input
                .loss_fn_config
                .map(|all| all.into_values().map(|bound| bound as f32).collect::<Vec<_>>());
            assert_eq!(bounds, (name == "ppo").then(|| vec![1.3, 0.8]));
        }
    }
}

#[test]
fn cross_entropy_is_the_servers_where_it_adds_up_and_its_slope_elsewhere() {
    let loss = loss(Objective::CrossEntropy);
    let (sum, mean) = (quirks("hosted"), quirks("skyrl-jax"));
    let teacher = Teacher { loss: &loss, quirks: &sum };
    assert!(teacher.is_native(&[row()]));
    let input = teacher.native(&[row()]);
    assert_eq!(
        (input.loss_fn.as_str(), floats(&input, "weights")),
        ("cross_entropy", vec![0.0, 0.25, 0.125])
    );
    let teacher = Teacher { loss: &loss, quirks: &mean };
    assert!(!teacher.is_native(&[row()]));
    let now = ExampleReport { logprobs: vec![0.0, 0.0, -3.0, -4.0] };
    let input = teacher.by_slope(&[row()], std::slice::from_ref(&now));
    assert_eq!(input.loss_fn, "importance_sampling");
    assert_eq!(floats(&input, "advantages"), [0.0, 4.5, 2.25]);
    assert_eq!(floats(&input, "logprobs"), [0.0, -3.0, -4.0]);
    // By hand: (1 * 3 + 0.5 * 4) / 4.
    let report = teacher.report(&[row()], vec![now]).unwrap();
    assert_eq!((report.loss, report.weight), (1.25, 1.5));
}

/// k2 has the slope `lp - reference`: 0.5 and 0.25 here, times the coefficient 2, added to those of `-A r`.
#[test]
fn a_penalty_is_taught_by_its_slope() {
    let kl = Some(KlPenalty { estimator: KlEstimator::K2, coefficient: 2.0 });
    let (loss, quirks) = (Loss { kl, ..loss(Objective::ImportanceSampling) }, quirks("hosted"));
    let teacher = Teacher { loss: &loss, quirks: &quirks };
    assert!(!teacher.is_native(&[row()]));
    let now = ExampleReport { logprobs: vec![0.0, 0.0, -1.0, -1.75] };
    let input = teacher.by_slope(&[row()], &[now]);
    let slopes = [-2.0 + 2.0 * 0.5, 2.0 * 0.25_f64.exp() + 2.0 * 0.25];
    let expected = [0.0, -slopes[0] / 4.0, -slopes[1] * 0.5 / 4.0];
    for (got, expected) in floats(&input, "advantages").iter().zip(expected) {
        assert!((f64::from(*got) - expected).abs() < 1e-6, "{got}, not {expected}");
    }
}

/// A clip asks for positive factors: another sign is taught by its slope.
#[test]
fn a_negative_weight_is_not_left_to_the_servers_clip() {
    let (loss, quirks) = (loss(Objective::ClippedSurrogate { low: 0.2, high: 0.2 }), quirks("hosted"));
    let mut row = row();
    row.weights[3] = -1.0;
    assert!(!Teacher { loss: &loss, quirks: &quirks }.is_native(&[row]));
}

/// A row of one token predicts nothing, and is still a row where rows are averaged.
#[test]
fn a_row_of_one_token_is_sent_without_weight() {
    let (loss, quirks) = (loss(Objective::ImportanceSampling), quirks("skyrl-jax"));
    let one = Example {
        tokens: vec![3],
        weights: vec![0.0],
        advantages: vec![1.0],
        old_logprobs: vec![-1.0],
        reference_logprobs: Vec::new(),
    };
    let input = Teacher { loss: &loss, quirks: &quirks }.native(std::slice::from_ref(&one));
    assert_eq!(floats(&input, "advantages"), [0.0]);
    assert_eq!(input.data[0].model_input.tokens().count(), 1);
    let told = BTreeMap::from([("logprobs".to_owned(), Tensor::Floats(vec![-1.0]))]);
    assert_eq!(logprobs(&[one], &[told]).unwrap(), [ExampleReport { logprobs: vec![0.0] }]);
}

#[test]
fn requests_are_small_and_hold_every_row_once() {
    let short = vec![row(); 2500];
    let sizes = |rows: &[Example], preset| {
        requests(rows, &quirks(preset)).iter().map(|part| part.len()).collect::<Vec<_>>()
    };
    assert_eq!(sizes(&short, "hosted"), [1024, 1024, 452]);
    let long = Example { tokens: vec![1; 30_000], ..row() };
    // 1.5 MB each as text, 0.6 MB in protobuf.
    assert_eq!(sizes(&vec![long.clone(); 7], "skyrl-jax"), [3, 3, 1]);
    assert_eq!(sizes(&vec![long; 9], "hosted"), [8, 1]);
    let huge = Example { tokens: vec![1; 300_000], ..row() };
    assert_eq!(sizes(&[row(), huge, row()], "skyrl-jax"), [1, 1, 1], "a row is never cut");
    assert!(requests(&[], &quirks("hosted")).is_empty());
}
