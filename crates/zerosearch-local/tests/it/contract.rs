//! The local learner against the facts that every learner must satisfy.

use std::path::Path;
use std::sync::Arc;

use zerosearch_learner::contract::{Subject, check_all};
use zerosearch_learner::{Learner, Policy};
use zerosearch_local::{Arithmetic, Checkpoint, Isa, LocalLearner, LocalPolicy};

use crate::models::{adapter_inside, fixture, options};

/// What trains.
#[derive(Clone, Copy, PartialEq)]
enum Trained {
    Model,
    Adapter,
}

async fn check(name: &str, arithmetic: Arithmetic, trained: Trained) {
    let checkpoint = fixture(name);
    let text = Arc::clone(&checkpoint.text);
    let folder = tempfile::TempDir::new().unwrap();
    let options = || options(arithmetic, Isa::detect(), 2);
    let open = || -> Arc<dyn Learner> {
        Arc::new(match trained {
            Trained::Model => LocalLearner::open(&checkpoint, options()).unwrap(),
            Trained::Adapter => {
                LocalLearner::open_adapted(fixture(name), adapter_inside(&checkpoint), options()).unwrap()
            }
        })
    };
    let reopen = |folder: &Path| {
        let exported = Checkpoint::open_path(folder).unwrap();
        Arc::new(LocalPolicy::open(&exported, options().policy).unwrap()) as Arc<dyn Policy>
    };
    let prompts = ["the cat sat on the mat", "a search engine finds documents", "who wrote this novel?"];
    let subject = Subject {
        open: &open,
        prompts: prompts.map(|prompt| text.encode(prompt)).to_vec(),
        text,
        learning_rate: if trained == Trained::Model { 2e-3 } else { 1e-2 },
        reopen: Some(&reopen),
        folder: folder.path(),
    };
    check_all(&subject).await;
}

#[tokio::test]
async fn llama_in_f32_satisfies_the_contract() {
    check("llama-tiny", Arithmetic::F32, Trained::Model).await;
}

#[tokio::test]
async fn llama_in_bf16_satisfies_the_contract() {
    check("llama-tiny", Arithmetic::Bf16, Trained::Model).await;
}

#[tokio::test]
async fn qwen2_in_f32_satisfies_the_contract() {
    check("qwen2-tiny", Arithmetic::F32, Trained::Model).await;
}

#[tokio::test]
async fn qwen2_in_bf16_satisfies_the_contract() {
    check("qwen2-tiny", Arithmetic::Bf16, Trained::Model).await;
}

#[tokio::test]
async fn qwen3_in_f32_satisfies_the_contract() {
    check("qwen3-tiny", Arithmetic::F32, Trained::Model).await;
}

#[tokio::test]
async fn qwen3_in_bf16_satisfies_the_contract() {
    check("qwen3-tiny", Arithmetic::Bf16, Trained::Model).await;
}

/// Its export is the merged model.
#[tokio::test]
async fn an_adapter_in_f32_satisfies_the_contract() {
    check("qwen2-tiny", Arithmetic::F32, Trained::Adapter).await;
}

#[tokio::test]
async fn an_adapter_in_bf16_satisfies_the_contract() {
    check("llama-tiny", Arithmetic::Bf16, Trained::Adapter).await;
}
