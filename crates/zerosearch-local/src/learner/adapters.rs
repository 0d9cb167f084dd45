//! Adapters against PyTorch with `peft`: `tools/adapter_fixtures.py` made the adapters of the tiny models and the numbers that
//! peft 0.21 on PyTorch 2.15 computes with them in f32, and says how. One has all layers, one rsLoRA and biases, one the head.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use zerosearch_learner::Objective;

use super::tests::{options, relative, run};
use super::*;
use crate::kernels::Isa;

const FAMILIES: [&str; 3] = ["llama-tiny", "qwen2-tiny", "qwen3-tiny"];
/// The first token of a row that is trained.
const FIRST_TRAINED: usize = 8;

struct Fixture {
    expected: Vec<u8>,
    rows: Vec<Vec<u32>>,
    learner: LocalLearner,
    name: &'static str,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

impl Fixture {
    fn open(name: &'static str, options: LearnerOptions) -> Self {
        let folder = fixtures().join(name);
        let checkpoint = Checkpoint::open_path(&folder).unwrap();
        let adapter = Adapter::read(&fixtures().join("adapters").join(name), &checkpoint, name).unwrap();
        let rows = std::fs::read(folder.join("expected.safetensors")).unwrap();
        let rows = SafeTensors::deserialize(&rows).unwrap();
        let row =
            |row: usize| bytemuck::pod_collect_to_vec(rows.tensor(&format!("tokens.{row}")).unwrap().data());
        Self {
            expected: std::fs::read(fixtures().join("adapters").join(name).join("expected.safetensors"))
                .unwrap(),
            rows: (0..3).map(row).collect(),
            learner: LocalLearner::open_adapted(checkpoint, adapter, options).unwrap(),
            name,
        }
    }

    fn in_f32(name: &'static str, isa: Isa) -> Self {
        Self::open(name, options(Arithmetic::F32, isa, 2))
    }

    fn numbers(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.expected).unwrap();
        bytemuck::pod_collect_to_vec(file.tensor(name).unwrap().data())
    }

    fn examples(&self) -> Vec<Example> {
        let example = |tokens: &Vec<u32>| Example {
            weights: (0..tokens.len()).map(|at| f32::from(at >= FIRST_TRAINED)).collect(),
            tokens: tokens.clone(),
            ..Example::default()
        };
        self.rows.iter().map(example).collect()
    }

    fn accumulate(&self) -> LossReport {
        let trained: usize = self.rows.iter().map(|row| row.len().saturating_sub(FIRST_TRAINED)).sum();
        self.learner.inner.accumulate(&self.examples(), &cross_entropy(trained as f64)).unwrap()
    }

    /// Every factor with what it is now, by the names of its file.
    fn factors(&self, of: impl Fn(&State) -> &[f32]) -> Vec<(String, Vec<f32>)> {
        let training = self.learner.inner.training();
        let numbers = of(&training.state);
        let tensors = &self.learner.inner.trained.layout().tensors;
        tensors.iter().map(|it| (it.name.clone(), numbers[it.place.clone()].to_vec())).collect()
    }
}

#[test]
fn logprobs_are_pefts() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        for name in FAMILIES {
            for (arithmetic, limit) in [(Arithmetic::F32, 2e-4), (Arithmetic::Bf16, 0.2)] {
                let fixture = Fixture::open(name, options(arithmetic, isa, 2));
                let scores = run(fixture.learner.policy().score(&fixture.rows, 1.0)).unwrap();
                for (row, scores) in scores.iter().enumerate() {
                    let expected = fixture.numbers(&format!("logprobs.{row}"));
                    let worst =
                        scores[1..].iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    assert!(worst < limit, "{name} {arithmetic} {isa} row {row}: {worst}");
                }
            }
        }
    }
}

#[test]
fn gradients_of_the_factors_are_pefts() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        for name in FAMILIES {
            let fixture = Fixture::in_f32(name, isa);
            let report = fixture.accumulate();
            let loss = f64::from(fixture.numbers("loss")[0]);
            assert!((report.loss - loss).abs() < 1e-4, "{name} {isa}: loss {} for {loss}", report.loss);
            for (factor, gradient) in fixture.factors(State::gathered) {
                let error = relative(&gradient, &fixture.numbers(&format!("grad.{factor}")));
                assert!(error < 1e-3, "{name} {isa}: gradient of {factor} is off by {error}");
            }
        }
    }
}

#[test]
fn a_step_changes_factors_as_pefts_does() {
    for name in FAMILIES {
        let fixture = Fixture::in_f32(name, Isa::detect());
        let before = fixture.factors(|state| &state.weights);
        fixture.accumulate();
        let adam = Adam { learning_rate: 1e-3, max_grad_norm: Some(1.0), ..Adam::default() };
        let report = fixture.learner.inner.step(&adam).unwrap();
        let norm = f64::from(fixture.numbers("grad_norm")[0]);
        assert!((report.grad_norm - norm).abs() < 1e-3 * norm, "{name}: {} for {norm}", report.grad_norm);
        let after = fixture.factors(|state| &state.weights);
        for ((factor, before), (_, after)) in before.iter().zip(&after) {
            let change = |after: &[f32]| -> Vec<f32> {
                after.iter().zip(before).map(|(after, before)| after - before).collect()
            };
            let expected = change(&fixture.numbers(&format!("after_adamw.{factor}")));
            let error = relative(&change(after), &expected);
            assert!(error < 1e-2, "{}: the update of {factor} is off by {error}", fixture.name);
        }
    }
}

/// Along the gradient itself the slope is its squared norm.
#[test]
fn gradients_are_slopes() {
    for name in FAMILIES {
        let fixture = Fixture::in_f32(name, Isa::detect());
        fixture.accumulate();
        let gradients = fixture.learner.inner.training().state.gathered().to_vec();
        let weights = fixture.learner.inner.training().state.weights.clone();
        let norm: f64 = gradients.iter().map(|&g| f64::from(g) * f64::from(g)).sum();
        let step = 3e-3 / norm.sqrt();
        let value = |sign: f64| {
            let mut training = fixture.learner.inner.training();
            training.state.weights = weights
                .iter()
                .zip(&gradients)
                .map(|(&w, &g)| w + (sign * step * f64::from(g)) as f32)
                .collect();
            training.network = None;
            drop(training);
            fixture.accumulate().loss
        };
        let slope = (value(1.0) - value(-1.0)) / (2.0 * step);
        assert!((slope - norm).abs() < 1e-2 * norm, "{name}: {slope} for {norm}");
    }
}

/// A new adapter changes nothing: its policy is the model without one, bit for bit. That is the reference of a KL term, and
/// it keeps no second copy of the model.
#[test]
fn a_new_adapter_is_the_model_and_its_versions_share_the_models_matrices() {
    for name in FAMILIES {
        let open = || Checkpoint::open_path(&fixtures().join(name)).unwrap();
        let options = options(Arithmetic::Bf16, Isa::detect(), 2);
        let shape =
            AdapterShape { rank: 4, alpha: 8.0, rslora: false, targets: crate::AdapterTarget::ALL.to_vec() };
        let adapter = Adapter::new(&open(), name, shape, 1).unwrap();
        let learner = LocalLearner::open_adapted(open(), adapter, options.clone()).unwrap();
        let fixture = Fixture::open(name, options.clone());
        let base = LocalPolicy::open(&open(), options.policy).unwrap();
        let scores = |policy: &LocalPolicy| run(policy.score(&fixture.rows, 1.0)).unwrap();
        let start = learner.policy();
        assert_eq!(scores(&start), scores(&base), "{name}");
        learner.inner.accumulate(&fixture.examples(), &cross_entropy(1.0)).unwrap();
        learner.inner.step(&Adam { learning_rate: 1e-2, ..Adam::default() }).unwrap();
        let after = learner.policy();
        assert_ne!(scores(&after), scores(&base), "{name}: a step changes it");
        assert_eq!(scores(&start), scores(&base), "{name}: and not the policy of before");
        assert!(after.network().shares_matrices(start.network()), "{name}");
    }
}

fn cross_entropy(normalizer: f64) -> Loss {
    Loss { normalizer, ..Loss::sum(Objective::CrossEntropy, 1) }
}
