//! SmolLM2-135M-Instruct from its GGUF file, against what PyTorch and `transformers` computed (`fixtures/smollm2`).
//!
//! The file (98 MB) is not part of the repository. With `ZEROSEARCH_ASSETS` naming the folder that holds it these tests
//! run, without they say that they did not.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;
use zerosearch_learner::TokenId;
use zerosearch_learner::text::Message;
use zerosearch_local::weights::Checkpoint;

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
