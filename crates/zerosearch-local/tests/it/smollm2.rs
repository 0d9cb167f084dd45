//! SmolLM2-135M-Instruct from its GGUF file, against what PyTorch and `transformers` computed (`fixtures/smollm2`).
//!
//! The file (98 MB) is not part of the repository. With `ZEROSEARCH_ASSETS` naming the folder that holds it these tests
//! run, without they say that they did not.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use zerosearch_learner::text::Message;
use zerosearch_learner::{Policy, SamplingRequest, TokenId};
use zerosearch_local::{Arithmetic, Checkpoint, LocalPolicy, PolicyOptions, Threads};

const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// The model, or `None` where nobody says where it lies. A folder that does not hold it fails the test.
fn model() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("ZEROSEARCH_ASSETS") else {
        // Written past the test harness, which swallows what passing tests print.
        let skipped = format!("SKIPPED: set ZEROSEARCH_ASSETS to the folder of {FILE} to run this test\n");
        std::io::stderr().write_all(skipped.as_bytes()).unwrap();
        return None;
    };
    let path = Path::new(&folder).join(FILE);
    assert!(path.is_file(), "ZEROSEARCH_ASSETS is set, but {} is not there", path.display());
    Some(path)
}

fn expected() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/smollm2/expected.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<TokenId> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn texts_become_the_same_tokens() {
    let Some(path) = model() else { return };
    let text = Checkpoint::open_path(&path).unwrap().text;
    for case in expected()["cases"].as_array().unwrap() {
        let sample = case["text"].as_str().unwrap();
        assert_eq!(text.encode(sample), ids(&case["ids"]), "{sample}");
        assert_eq!(text.decode(&ids(&case["ids"])), sample);
        assert_eq!(text.decode(&ids(&case["greedy"])), case["greedy_text"].as_str().unwrap());
    }
}

#[test]
fn chats_are_rendered_and_encoded_alike() {
    let Some(path) = model() else { return };
    let text = Checkpoint::open_path(&path).unwrap().text;
    let chat = &expected()["chat"];
    let messages: Vec<Message> = serde_json::from_value(chat["messages"].clone()).unwrap();
    assert_eq!(text.chat(&messages, true).unwrap(), chat["rendered"].as_str().unwrap());
    assert_eq!(text.chat_tokens(&messages, true).unwrap(), ids(&chat["ids"]));
    // `<|im_end|>`, as the model's own generation configuration says.
    assert_eq!(text.stop_tokens(), [2]);
}

/// 134,515,008 parameters by the model card; the head is the embedding.
#[test]
fn every_tensor_is_there_and_finite() {
    let Some(path) = model() else { return };
    let checkpoint = Checkpoint::open_path(&path).unwrap();
    let mut numbers = 0;
    for (name, shape) in checkpoint.config.tensors() {
        let tensor = checkpoint.tensor(&name).unwrap();
        assert_eq!(tensor.len(), shape.iter().product::<usize>(), "{name}");
        numbers += tensor.len();
    }
    assert_eq!(numbers, 134_515_008);
}

/// The file's log-probabilities of each case, and those of a policy in `arithmetic`, both from the second token on.
async fn logprobs(path: &Path, arithmetic: Arithmetic) -> Vec<(Vec<f64>, Vec<f64>)> {
    let policy = open(path, arithmetic);
    let mut pairs = Vec::new();
    for case in expected()["cases"].as_array().unwrap() {
        let scores = policy.score(&[ids(&case["ids"])], 1.0).await.unwrap().remove(0);
        let expected: Vec<f64> = serde_json::from_value(case["logprobs"].clone()).unwrap();
        assert_eq!(scores.len(), expected.len() + 1);
        pairs.push((scores[1..].iter().copied().map(f64::from).collect(), expected));
    }
    pairs
}

fn open(path: &Path, arithmetic: Arithmetic) -> LocalPolicy {
    let options = PolicyOptions::new(Arc::new(Threads::new(Threads::available())));
    LocalPolicy::open(&Checkpoint::open_path(path).unwrap(), PolicyOptions { arithmetic, ..options }).unwrap()
}

/// The file gives five digits after the point.
#[tokio::test]
async fn logprobs_are_pytorchs_in_f32() {
    let Some(path) = model() else { return };
    for (case, (got, expected)) in logprobs(&path, Arithmetic::F32).await.into_iter().enumerate() {
        for (at, (got, expected)) in got.iter().zip(&expected).enumerate() {
            assert!((got - expected).abs() < 2e-3, "case {case}, token {}: {got} for {expected}", at + 1);
        }
    }
}

/// bf16 has 8 bits: roundings of up to 0.4 percent, which 30 layers do not pile up to more than 1 percent of the norm.
#[tokio::test]
async fn logprobs_are_close_in_bf16() {
    let Some(path) = model() else { return };
    for (case, (got, expected)) in logprobs(&path, Arithmetic::Bf16).await.into_iter().enumerate() {
        let norm = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>().sqrt();
        let error =
            norm(&mut got.iter().zip(&expected).map(|(a, b)| a - b)) / norm(&mut expected.iter().copied());
        println!("case {case}: relative error {error:.4} in bf16");
        assert!(error < 1e-2, "case {case}: {error}");
    }
}

#[tokio::test]
async fn greedy_tokens_are_pytorchs_in_f32() {
    let Some(path) = model() else { return };
    let policy = open(&path, Arithmetic::F32);
    for case in expected()["cases"].as_array().unwrap() {
        let greedy = ids(&case["greedy"]);
        let request = SamplingRequest {
            prompt: ids(&case["ids"]),
            max_tokens: greedy.len(),
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            stop_strings: Vec::new(),
            stop_tokens: policy.text().stop_tokens().to_vec(),
            seed: 0,
        };
        assert_eq!(policy.sample(request).await.unwrap().tokens, greedy, "{}", case["text"]);
    }
}
