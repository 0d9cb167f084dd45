//! The learner on a server and the program over it, against a real SkyRL server of one process and of two. `tests/cluster/run`
//! prepares what they need, and says so where it cannot be had.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod agreement;
mod program;
mod server;

use std::path::Path;
use std::sync::Arc;

use zerosearch_learner::text::Text;
use zerosearch_learner::tinker::{Patience, Quirks, TinkerLearner, TinkerOptions};
use zerosearch_local::{Adapter, Arithmetic, Checkpoint, Dtype, PolicyOptions, Threads};

use server::SkyRl;

const RANK: usize = 8;

/// The learner on `server`, for the model in the folder `model`.
async fn learner(server: &SkyRl, model: &str) -> TinkerLearner {
    let text = Arc::new(Text::from_directory(Path::new(model)).unwrap());
    let options = TinkerOptions {
        url: server.url.clone(),
        key: None,
        quirks: Quirks::preset("skyrl-jax").unwrap(),
        patience: Patience::default(),
        concurrency: 64,
        base_model: model.to_owned(),
        adapter_base: model.to_owned(),
        rank: RANK,
        seed: 1,
        vocabulary: text.vocabulary_size(),
        text,
        context_length: 512,
        merge: {
            let model = model.to_owned();
            Arc::new(move |adapter: &Path, out: &Path| {
                let checkpoint = Checkpoint::open(&model)?;
                Adapter::read(adapter, &checkpoint, &model)?.export_merged(&checkpoint, out, Dtype::F32)
            })
        },
    };
    TinkerLearner::open(options).await.unwrap()
}

/// How the local learner computes beside it.
fn exact() -> PolicyOptions {
    PolicyOptions { arithmetic: Arithmetic::F32, ..PolicyOptions::new(Arc::new(Threads::new(1))) }
}
