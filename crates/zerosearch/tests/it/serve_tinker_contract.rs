//! The facts that every learner must satisfy, held by our own learner behind our own server and our own client of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio::task::block_in_place;
use zerosearch_learner::Learner;
use zerosearch_learner::contract::{Subject, check_all};
use zerosearch_learner::text::tiny_text;
use zerosearch_learner::tinker::{Patience, Quirks, TinkerLearner, TinkerOptions};

use crate::program::Desk;
use crate::serving::Served;

/// A client of the server at `url`.
fn options(url: &str, rank: usize) -> TinkerOptions {
    let text = Arc::new(tiny_text());
    let answer = Duration::from_secs(60);
    TinkerOptions {
        url: url.to_owned(),
        key: None,
        quirks: Quirks::preset("zerosearch").unwrap(),
        patience: Patience { answer, result: answer, ..Patience::default() },
        concurrency: 64,
        base_model: "tiny".into(),
        adapter_base: "tiny".into(),
        rank,
        seed: 1,
        vocabulary: text.vocabulary_size(),
        text,
        context_length: 128,
        merge: Arc::new(|_, out| {
            std::fs::write(out.join("merged"), "").unwrap();
            Ok(())
        }),
    }
}

/// In 32 bits, where the order of a sum is nothing that a fact could see.
fn check(rank: usize, learning_rate: f32) {
    let desk = Desk::new();
    let model = "--model random --set model.arithmetic=f32 --set model.context=128";
    let server = Served::start(&desk, &format!("tinker {model} --name tiny --max-models 64"));
    let open = || {
        let opening = TinkerLearner::open(options(server.url(), rank));
        let opened = block_in_place(|| Handle::current().block_on(opening));
        Arc::new(opened.unwrap()) as Arc<dyn Learner>
    };
    let text = Arc::new(tiny_text());
    let prompts = ["the cat sat on the mat", "a search engine finds documents", "who wrote it?"];
    let folder = tempfile::tempdir().unwrap();
    let subject = Subject {
        open: &open,
        prompts: prompts.map(|prompt| text.encode(prompt)).to_vec(),
        text,
        learning_rate,
        reopen: None,
        folder: folder.path(),
    };
    Runtime::new().unwrap().block_on(check_all(&subject));
}

#[test]
fn all_weights_over_our_server_satisfy_the_contract() {
    check(0, 2e-3);
}

#[test]
fn an_adapter_over_our_server_satisfies_the_contract() {
    check(4, 1e-2);
}
