//! The bigram learner against the facts that every learner must satisfy.
#![cfg(feature = "contract-tests")]
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use zerosearch_learner::Learner;
use zerosearch_learner::contract::{Subject, check_all};
use zerosearch_learner::scripted::BigramLearner;
use zerosearch_learner::text::tiny_text;

#[tokio::test]
async fn the_bigram_learner_satisfies_the_contract() {
    let text = Arc::new(tiny_text());
    let folder = tempfile::TempDir::new().unwrap();
    let prompts = ["the cat sat on the mat", "a search engine finds documents", "who wrote it?"];
    let open = || Arc::new(BigramLearner::new(Arc::new(tiny_text()), 512)) as Arc<dyn Learner>;
    let subject = Subject {
        open: &open,
        prompts: prompts.map(|prompt| text.encode(prompt)).to_vec(),
        text,
        learning_rate: 0.3,
        reopen: None,
        folder: folder.path(),
    };
    check_all(&subject).await;
}
