//! The learner on a server, against servers on the loopback interface: one that truly learns, and one that says what it is told to.
#![allow(clippy::unwrap_used)]

mod answers;
mod contract;
mod saying;
mod server;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use zerosearch_learner::text::tiny_text;
use zerosearch_learner::tinker::{Patience, Quirks, TinkerOptions};

/// A learner's settings, for a model of rank 4 on the server at `url`.
fn options(url: &str, quirks: Quirks) -> TinkerOptions {
    let text = Arc::new(tiny_text());
    TinkerOptions {
        url: url.to_owned(),
        key: Some("tml-secret".into()),
        quirks,
        patience: Patience {
            answer: Duration::from_secs(20),
            result: Duration::from_secs(60),
            retries: 3,
            rest: Duration::from_millis(1),
        },
        concurrency: 64,
        base_model: "bigram".into(),
        adapter_base: "bigram".into(),
        rank: 4,
        seed: 1,
        vocabulary: text.vocabulary_size(),
        text,
        context_length: 512,
        merge: Arc::new(|_, out| {
            std::fs::write(out.join("merged"), "").unwrap();
            Ok(())
        }),
    }
}
