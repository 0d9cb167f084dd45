//! The facts that every learner must satisfy, over the wire.

use std::sync::Arc;

use zerosearch_learner::Learner;
use zerosearch_learner::contract::{Subject, check_all};
use zerosearch_learner::text::tiny_text;
use zerosearch_learner::tinker::{Quirks, Reduction, TinkerLearner};

use super::options;
use super::server::Double;

async fn check(quirks: Quirks) {
    let double = Double::start(quirks.clone()).await;
    let (text, folder) = (Arc::new(tiny_text()), tempfile::tempdir().unwrap());
    let prompts = ["the cat sat on the mat", "a search engine finds documents", "who wrote it?"];
    let open = || {
        let options = options(&double.url, quirks.clone());
        let opened = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(TinkerLearner::open(options))
        });
        Arc::new(opened.unwrap()) as Arc<dyn Learner>
    };
    let subject = Subject {
        open: &open,
        prompts: prompts.map(|prompt| text.encode(prompt)).to_vec(),
        text,
        learning_rate: 0.3,
        reopen: None,
        folder: folder.path(),
    };
    check_all(&subject).await;
    assert_eq!(double.models().0, 0, "every model is given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_adds_losses_up_over_protobuf() {
    check(Quirks::preset("hosted").unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_averages_rows_over_json() {
    check(Quirks::preset("skyrl-jax").unwrap()).await;
}

/// The third way of stopping: by strings, where an end of text is heeded beside them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_averages_rows_over_protobuf_and_keeps_its_samplers() {
    let quirks = Quirks { reduction: Reduction::MeanOfRows, ..Quirks::preset("hosted").unwrap() };
    check(Quirks { stop_strings: false, ..quirks }).await;
}
