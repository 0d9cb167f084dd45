//! Every answer that a server may give but a result, and what becomes of it.

use std::time::Duration;

use zerosearch_learner::tinker::{Quirks, TinkerLearner, TinkerOptions};
use zerosearch_learner::{Adam, Example, Learner, LearnerError, Loss, Objective, SamplingRequest};

use super::options;
use super::saying::{Answer, Saying, json};

fn jax() -> Quirks {
    Quirks::preset("skyrl-jax").unwrap()
}

fn row() -> (Vec<Example>, Loss) {
    let example = Example { tokens: vec![5, 6, 7], weights: vec![0.0, 1.0, 1.0], ..Example::default() };
    let example = Example { advantages: vec![1.0; 3], old_logprobs: vec![-1.0; 3], ..example };
    let batch = vec![example];
    let loss = Loss::mean(Objective::ImportanceSampling, &batch);
    (batch, loss)
}

/// What training on a row gives on a server that answers results with `answers`.
async fn taught(server: &Saying, quirks: Quirks, answers: &[Answer]) -> Result<f64, String> {
    let learner = TinkerLearner::open(options(&server.url, quirks)).await.unwrap();
    server.say("retrieve_future", answers);
    let (rows, loss) = row();
    let report = learner.accumulate(&rows, &loss).await;
    // What is left to be given back.
    server.say("retrieve_future", &[json(200, "{}")]);
    report.map(|report| report.loss).map_err(|error| {
        assert!(matches!(error, LearnerError::Remote { .. }), "{error}");
        error.to_string()
    })
}

const LOGPROBS: &str = r#"{"loss_fn_output_type":"scalar","new":[1],"loss_fn_outputs":[{"logprobs":{"data":[-1.0,-1.0],"dtype":"float32","shape":[2]},"elementwise_loss":{"data":[1,1],"dtype":"float32"}}]}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_ready_is_asked_for_again() {
    let server = Saying::start().await;
    let later = [
        json(408, r#"{"detail":"Timeout waiting for result"}"#),
        json(200, r#"{"type":"try_again","request_id":"1","queue_state":"active"}"#),
        json(200, r#"{"type":"try_again","request_id":"1","queue_state":"paused_capacity"}"#),
        json(503, "overloaded"),
        json(429, r#"{"detail":"slow down"}"#),
        json(202, LOGPROBS),
    ];
    // Both ratios are 1: the loss is -1.
    assert_eq!(taught(&server, jax(), &later).await, Ok(-1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_told_apart_and_final() {
    let echo = format!(r#"{{"detail":[{{"msg":"bad","loc":["data"],"input":"{}"}}]}}"#, "x".repeat(100_000));
    for (answer, words) in [
        (json(400, r#"{"detail":"rank is too high"}"#), "the request failed: rank is too high"),
        (json(422, r#"{"detail":"no such loss"}"#), "the request failed: no such loss"),
        (json(200, r#"{"error":"out of memory","category":"server"}"#), "out of memory (category: server)"),
        (json(404, r#"{"detail":"Future not found"}"#), "no longer knows"),
        (json(410, ""), "no longer knows"),
        (json(401, r#"{"detail":"key tml-secret is unknown"}"#), "tinker.key_env"),
        (json(402, r#"{"detail":"billing is paused"}"#), "billing is paused"),
        (json(409, r#"{"detail":"used before"}"#), "used before"),
        (json(200, r#"{"status":"complete_metadata","response_payload_size":9}"#), "holds back the result"),
        (json(200, "not json"), "cannot be read"),
        (json(200, r#"{"loss_fn_outputs":[]}"#), "speaks of 0 rows, 1 were sent"),
        (json(200, r#"{"loss_fn_outputs":[{}]}"#), "no `logprobs`"),
        (json(200, r#"{"loss_fn_outputs":[{"logprobs":{"data":[-1]}}]}"#), "1 log-probabilities"),
        (json(200, r#"{"loss_fn_outputs":[{"logprobs":{"data":["a","b"]}}]}"#), "cannot be read"),
        (json(200, r#"{"loss_fn_outputs":[{"logprobs":{"data":[1e99,1e99]}}]}"#), "cannot be read"),
        ((200, "application/x-protobuf", vec![0xff; 9]), "cannot be read"),
        (json(307, ""), "means nothing in this protocol"),
        (json(422, &echo), "bad at"),
    ] {
        let server = Saying::start().await;
        let said = taught(&server, jax(), &[answer]).await.unwrap_err();
        assert!(said.contains(words), "`{said}` for `{words}`");
        assert!(said.starts_with(&server.url) && said.contains("forward_backward"), "{said}");
        assert!(!said.contains("tml-secret") && said.len() < 1000, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stays_down_is_given_up() {
    let server = Saying::start().await;
    let said = taught(&server, jax(), &[json(500, r#"{"detail":"Unknown error"}"#)]).await.unwrap_err();
    assert!(said.contains("failed with 500") && said.contains("Unknown error"), "{said}");
    let server = Saying::start().await;
    let said = taught(&server, jax(), &[json(429, "")]).await.unwrap_err();
    assert!(said.contains("overloaded"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wait_for_a_result_has_an_end() {
    let server = Saying::start().await;
    let mut options = options(&server.url, jax());
    options.patience.result = Duration::from_millis(200);
    let learner = TinkerLearner::open(options).await.unwrap();
    server.say("retrieve_future", &[json(200, r#"{"type":"try_again","request_id":"1"}"#)]);
    let (rows, loss) = row();
    let said = learner.accumulate(&rows, &loss).await.unwrap_err().to_string();
    assert!(said.contains("no result within 200ms") && said.contains("tinker.wait_s"), "{said}");
}

/// Gradients of a batch that is sent twice count twice, where a server does not know the request again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn training_is_not_sent_twice_to_a_server_that_would_do_it_twice() {
    for (repeatable, tries) in [(false, 1), (true, 4)] {
        let server = Saying::start().await;
        let learner =
            TinkerLearner::open(options(&server.url, Quirks { repeatable, ..jax() })).await.unwrap();
        server.say("forward_backward", &[json(502, "a proxy")]);
        let (rows, loss) = row();
        assert!(learner.accumulate(&rows, &loss).await.is_err());
        assert_eq!(server.count("forward_backward"), tries);
        // Nobody knows what the server has gathered now.
        let said = learner.accumulate(&rows, &loss).await.unwrap_err().to_string();
        assert!(said.contains("resume from the last checkpoint"), "{said}");
        assert!(learner.step(&adam()).await.is_err());
        assert_eq!((server.count("forward_backward"), server.count("optim_step")), (tries, 0));
    }
}

/// Who is turned away has not been served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_turned_away_is_sent_again_wherever() {
    let server = Saying::start().await;
    let learner = TinkerLearner::open(options(&server.url, jax())).await.unwrap();
    server.say("forward_backward", &[json(429, ""), json(425, ""), json(200, r#"{"request_id":"1"}"#)]);
    server.say("retrieve_future", &[json(200, LOGPROBS)]);
    let (rows, loss) = row();
    learner.accumulate(&rows, &loss).await.unwrap();
    assert_eq!(server.count("forward_backward"), 3);
}

fn adam() -> Adam {
    Adam { weight_decay: 0.0, max_grad_norm: None, ..Adam::default() }
}

async fn refused(options: TinkerOptions) -> String {
    TinkerLearner::open(options).await.err().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_serve_is_refused_before_anything_is_trained() {
    let server = Saying::start().await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let said = refused(options(&format!("http://{closed}"), jax())).await;
    assert!(said.contains(&closed.to_string()) && said.contains("cannot be reached"), "{said}");
    assert!(refused(options("localhost:8000", jax())).await.contains("http://"));
    let said = refused(TinkerOptions { rank: 0, ..options(&server.url, jax()) }).await;
    assert!(said.starts_with("adapter.rank = 0"), "{said}");

    server
        .say("get_server_capabilities", &[json(200, r#"{"supported_models":[{"model_name":"/m/other"}]}"#)]);
    let said = refused(options(&server.url, jax())).await;
    assert!(
        said.contains("no model `bigram`, only /m/other") && said.contains("tinker.base_model"),
        "{said}"
    );

    server.say("get_server_capabilities", &[json(200, r#"{"supported_models":[{"model_name":"bigram"}]}"#)]);
    server.say("create_session", &[json(200, r#"{"session_id":"s","error_message":"client is too old"}"#)]);
    assert!(refused(options(&server.url, jax())).await.contains("client is too old"));

    server.say("create_session", &[json(200, r#"{"session_id":"s"}"#)]);
    server
        .say("retrieve_future", &[json(400, r#"{"detail":"Maximum number of LoRA adapters (4) reached"}"#)]);
    assert!(refused(options(&server.url, jax())).await.contains("Maximum number of LoRA adapters"));
}

fn request() -> SamplingRequest {
    SamplingRequest { stop_tokens: vec![9], ..SamplingRequest::of_length(vec![5, 6], 4, 1) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_that_contradict_themselves_are_refused() {
    let server = Saying::start().await;
    let learner = TinkerLearner::open(options(&server.url, jax())).await.unwrap();
    let policy = learner.snapshot().await.unwrap();
    for (body, words) in [
        (r#"{"sequences":[]}"#, "no sample"),
        (r#"{"sequences":[{"stop_reason":"length","tokens":[1],"logprobs":null}]}"#, "no log-probabilities"),
        (r#"{"sequences":[{"stop_reason":"length","tokens":[1],"logprobs":[-1,-1]}]}"#, "1 tokens and 2"),
        (
            r#"{"sequences":[{"stop_reason":"length","tokens":[1,1,1,1,1],"logprobs":[0,0,0,0,0]}]}"#,
            "at most 4",
        ),
        (r#"{"sequences":[{"stop_reason":"length","tokens":[-1],"logprobs":[0]}]}"#, "token -1"),
        (r#"{"sequences":[{"stop_reason":"length","tokens":[99999],"logprobs":[0]}]}"#, "token 99999"),
        (
            r#"{"sequences":[{"stop_reason":"stop","tokens":[1,2],"logprobs":[0,0]}]}"#,
            "at nothing that it was told",
        ),
        (r#"{"sequences":[{"stop_reason":"tired","tokens":[1],"logprobs":[0]}]}"#, "cannot be read"),
    ] {
        server.say("retrieve_future", &[json(200, body)]);
        let said = policy.sample(request()).await.unwrap_err().to_string();
        assert!(said.contains(words) && said.contains("asample"), "`{said}` for `{words}`");
    }
    // What came after the token that was to end it is dropped.
    let long =
        r#"{"type":"sample","sequences":[{"stop_reason":"length","tokens":[1,9,3],"logprobs":[-1,-2,-3]}]}"#;
    server.say("retrieve_future", &[json(200, long)]);
    assert_eq!(policy.sample(request()).await.unwrap().tokens, [1, 9]);
}

/// Servers tell n numbers for n tokens, the first of them null, or n - 1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scores_are_read_from_the_right_end() {
    let server = Saying::start().await;
    let learner = TinkerLearner::open(options(&server.url, jax())).await.unwrap();
    let policy = learner.snapshot().await.unwrap();
    let rows = [vec![5, 6, 7]];
    for (told, expected) in [
        ("[null,-1,-2]", Some([0.0, -1.0, -2.0])),
        ("[-1,-2]", Some([0.0, -1.0, -2.0])),
        ("[-2]", None),
        ("[null,null,-2]", None),
        ("null", None),
    ] {
        let body = format!(r#"{{"sequences":[],"prompt_logprobs":{told}}}"#);
        server.say("retrieve_future", &[json(200, &body)]);
        let scores = policy.score(&rows, 1.0).await.ok().map(|scores| scores[0].clone());
        assert_eq!(scores, expected.map(|numbers| numbers.to_vec()), "{told}");
    }
}
