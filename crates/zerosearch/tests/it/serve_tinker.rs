//! `serve tinker`: a learner over the Tinker API, to the last bit the learner itself.

use std::io::Read;

use serde_json::{Value, json};
use zerosearch::config::{Adapter, AdapterTarget, ConfigFile, Purpose, Setting};
use zerosearch::learners::{Opened, Pool, open_drawn};
use zerosearch_learner::tinker::wire::{Datum, ForwardBackward, ForwardBackwardReply, Tensor};
use zerosearch_learner::{Adam, Example, Learner, Loss, Objective, SamplingRequest};

use crate::program::Desk;
use crate::tinker::{RANDOM, Tinker, bits, lesson, prompt, request, sampled};

/// The learner that a server of [`RANDOM`] trains, in this process.
async fn own(rank: usize) -> Opened {
    let settings = ["model.path=random", "model.context=64"].map(|it| it.parse::<Setting>().unwrap());
    let mut plan = ConfigFile::parse("", &settings).unwrap().resolve(Purpose::Use).unwrap();
    if rank > 0 {
        use AdapterTarget::{Down, Gate, Head, Key, Output, Query, Up, Value};
        let targets = vec![Query, Key, Value, Output, Gate, Up, Down, Head];
        plan.adapter = Adapter { rank, alpha: 32.0, targets, ..Adapter::default() };
    }
    let pool = Pool::new(&plan.model);
    open_drawn(&plan, if rank > 0 { 5 } else { plan.run.seed }, 0, &pool).await.unwrap()
}

fn example(datum: &Datum) -> Example {
    let Tensor::Integers(targets) = &datum.loss_fn_inputs["target_tokens"] else { panic!() };
    let tokens: Vec<u32> =
        datum.model_input.tokens().chain(targets.last().copied()).map(|it| it as u32).collect();
    let shifted = |name: &str| match datum.loss_fn_inputs.get(name) {
        Some(tensor) => [&[0.0][..], &tensor.to_floats()].concat(),
        None => Vec::new(),
    };
    let mut weights = shifted("weights");
    if weights.is_empty() {
        weights = (0..tokens.len()).map(|at| f32::from(at > 0)).collect();
    }
    let (advantages, old_logprobs) = (shifted("advantages"), shifted("logprobs"));
    Example { tokens, weights, advantages, old_logprobs, ..Example::default() }
}

fn loss(objective: Objective) -> Loss {
    Loss::sum(objective, 1)
}

/// As `Tinker::step` says it over HTTP.
const ADAM: Adam = Adam {
    learning_rate: 0.01,
    beta1: 0.9,
    beta2: 0.95,
    epsilon: 1e-8,
    weight_decay: 0.01,
    decay_all: true,
    max_grad_norm: Some(0.5),
};

fn logprobs(reply: &ForwardBackwardReply, row: usize) -> Vec<f32> {
    reply.loss_fn_outputs[row]["logprobs"].to_floats()
}

async fn scores(learner: &dyn Learner, text: &str) -> Vec<f32> {
    let row = text.bytes().map(u32::from).collect();
    learner.snapshot().await.unwrap().score(&[row], 1.0).await.unwrap()[0][1..].to_vec()
}

/// The losses in turn, with rows of different lengths and weights.
fn lessons() -> [(&'static str, Objective, Vec<Datum>); 3] {
    let taught = vec![lesson("Hello", &[1.0, 0.5, 2.0, -0.25]), lesson("to you all", &[1.0; 9])];
    let moved = |text: &str| {
        let old: Vec<f32> = (1..text.len()).map(|at| -5.5 - 0.1 * at as f32).collect();
        let advantages: Vec<f32> = (1..text.len()).map(|at| [1.0, -0.5][at % 2]).collect();
        sampled(text, &old, &advantages)
    };
    let clipped = Objective::ClippedSurrogate { low: 0.2, high: 0.2 };
    [
        ("cross_entropy", Objective::CrossEntropy, taught),
        ("importance_sampling", Objective::ImportanceSampling, vec![moved("abc"), moved("a longer row")]),
        ("ppo", clipped, vec![moved("xyz"), moved("abcd")]),
    ]
}

/// Steps over HTTP are the same steps: every number that comes back, and the weights at the end, bit for bit.
#[test]
fn steps_over_http_are_the_steps_of_the_learner_itself() {
    let tinker = Tinker::start(&Desk::new(), RANDOM);
    for (index, rank) in [0, 4].into_iter().enumerate() {
        let model = tinker.model(index as i64, rank);
        let info = tinker.ask("get_info", &json!({"model_id": model}));
        assert_eq!((&info["is_lora"], &info["model_name"]), (&json!(rank > 0), &json!("tiny")));
        let own = tinker.server.block_on(own(rank)).learner;
        for (turn, (name, objective, data)) in lessons().into_iter().enumerate() {
            let number = 2 * turn as i64 + 1;
            let examples: Vec<Example> = data.iter().map(example).collect();
            let expected = tinker.server.block_on(own.accumulate(&examples, &loss(objective))).unwrap();
            let reply = tinker.rows(&request(&model, number, name, data));
            for (row, report) in expected.examples.iter().enumerate() {
                assert_eq!(bits(&logprobs(&reply, row)), bits(&report.logprobs[1..]), "{name} rank {rank}");
            }
            assert_eq!(reply.metrics["loss:sum"].to_bits(), expected.loss.to_bits());
            let told = tinker.step(&model, number + 1);
            let report = tinker.server.block_on(own.step(&ADAM)).unwrap();
            assert_eq!(told["metrics"]["grad_norm"], report.grad_norm);
            assert!(report.grad_norm > 0.5, "the bound on the norm decides: {}", report.grad_norm);
        }
        let sampler = tinker.sampler(&model, 7, index as i64);
        let expected = tinker.server.block_on(scores(&*own, "Hello to you"));
        assert_eq!(bits(&tinker.scores(&sampler, 0, "Hello to you")), bits(&expected));
    }
}

/// By hand: with ratios within the bounds cispo's slope is importance sampling's, `-A * r`; beyond them it is `-A` times the bound,
/// where ppo has none. So two rows, one of each, teach what importance sampling teaches with an advantage changed by hand.
#[test]
fn cispo_keeps_the_gradient_of_clipped_tokens() {
    let tinker = Tinker::start(&Desk::new(), RANDOM);
    let (one, other) = (tinker.model(0, 0), tinker.model(1, 0));
    let text = "abc";
    let now = tinker.server.block_on(async { scores(&*own(0).await.learner, text).await });
    // Ratios of 1.1 and of e: the second is beyond 1.2.
    let old = [now[0] - 1.1_f32.ln(), now[1] - 1.0];
    let reply = tinker.rows(&request(&one, 1, "cispo", vec![sampled(text, &old, &[1.0, -2.0])]));
    let expected = -f64::from(now[0]) * 1.1 + 2.0 * 1.2 * f64::from(now[1]);
    assert!(
        (reply.metrics["loss:sum"] - expected).abs() < 1e-5,
        "{} for {expected}",
        reply.metrics["loss:sum"]
    );
    let by_hand = sampled(text, &now, &[1.1, -2.0 * 1.2]);
    tinker.rows(&request(&other, 1, "importance_sampling", vec![by_hand]));
    let norms = [&one, &other].map(|model| tinker.step(model, 2)["metrics"]["grad_norm"].as_f64().unwrap());
    assert!((norms[0] - norms[1]).abs() < 1e-5 * norms[0], "{norms:?}");
}

/// JSON and protobuf, gradients and none: the same numbers; and every target has its own, with a weight or without.
#[test]
fn rows_are_scored_the_same_in_json_and_in_protobuf() {
    let tinker = Tinker::start(&Desk::new(), RANDOM);
    let model = tinker.model(0, 0);
    let expected = tinker.server.block_on(async { scores(&*own(0).await.learner, "Hello").await });
    let data = || vec![lesson("Hello", &[0.0, 0.0, 1.0, 0.0])];
    let taught = tinker.rows(&request(&model, 1, "cross_entropy", data()));
    let looked =
        tinker.rows(&ForwardBackward { forward_only: true, ..request(&model, 2, "cross_entropy", data()) });
    assert_eq!(bits(&logprobs(&taught, 0)), bits(&expected));
    assert_eq!((&taught.loss_fn_outputs, &taught.metrics), (&looked.loss_fn_outputs, &looked.metrics));
    assert_eq!(taught.metrics["loss:sum"], -f64::from(expected[2]));
    let input = serde_json::to_value(request(&model, 3, "cross_entropy", data())).unwrap();
    let input = &input["forward_backward_input"];
    let told = tinker.done("forward", &json!({"model_id": model, "seq_id": 3, "forward_input": input}));
    assert_eq!(serde_json::from_value::<ForwardBackwardReply>(told).unwrap(), looked);
    let told = tinker
        .done("forward_backward", &json!({"model_id": model, "seq_id": 4, "forward_backward_input": input}));
    assert_eq!(serde_json::from_value::<ForwardBackwardReply>(told).unwrap(), taught);
    // Two of the four left gradients: by hand twice as much as one of them.
    let both = tinker.step(&model, 5)["metrics"]["grad_norm"].as_f64().unwrap();
    let other = tinker.model(1, 0);
    tinker.rows(&request(&other, 1, "cross_entropy", data()));
    let one = tinker.step(&other, 2)["metrics"]["grad_norm"].as_f64().unwrap();
    assert!((both - 2.0 * one).abs() < 1e-5 * both, "{both} and {one}");
}

#[test]
fn samples_are_those_of_frozen_weights() {
    let tinker = Tinker::start(&Desk::new(), RANDOM);
    let model = tinker.model(0, 4);
    let sampler = tinker.sampler(&model, 1, 0);
    let body = |number: i64, more: Value| {
        let mut params = json!({"max_tokens": 12, "seed": 7, "temperature": 0.8});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"sampling_session_id": sampler, "seq_id": number, "num_samples": 3, "prompt": prompt("Hello"),
            "sampling_params": params})
    };
    let promise = tinker.ask("asample", &body(0, json!({})));
    assert_eq!(promise["sample_sequence_ids"].as_array().unwrap().len(), 3);
    let told = tinker.result(&promise);
    let expected = tinker.server.block_on(async {
        let opened = own(4).await;
        let request = SamplingRequest {
            temperature: 0.8,
            stop_tokens: opened.text.stop_tokens().to_vec(),
            ..SamplingRequest::of_length(b"Hello".map(u32::from).to_vec(), 12, 7)
        };
        opened.learner.snapshot().await.unwrap().sample(request).await.unwrap()
    });
    let sequences = told["sequences"].as_array().unwrap();
    assert_eq!(sequences[0]["tokens"], json!(expected.tokens));
    let logprobs: Vec<f32> = serde_json::from_value(sequences[0]["logprobs"].clone()).unwrap();
    assert_eq!(bits(&logprobs), bits(&expected.logprobs));
    assert_eq!(sequences[0]["stop_reason"], "length");
    assert_ne!(sequences[0]["tokens"], sequences[1]["tokens"], "each has a seed of its own");
    // A later step does not reach it.
    tinker.rows(&request(&model, 2, "cross_entropy", vec![lesson("Hello", &[1.0; 4])]));
    tinker.step(&model, 3);
    assert_eq!(tinker.done("asample", &body(1, json!({})))["sequences"], told["sequences"]);
    let moved = tinker.sampler(&model, 4, 1);
    assert_ne!(tinker.scores(&moved, 0, "Hello"), tinker.scores(&sampler, 2, "Hello"));
    // Its third token ends it, and is told; no list of tokens ends nothing.
    let third = expected.tokens[2];
    let cut = tinker.done("asample", &body(3, json!({"stop": [third]})))["sequences"][0].clone();
    let end = 1 + expected.tokens.iter().position(|&token| token == third).unwrap();
    assert_eq!((&cut["tokens"], &cut["stop_reason"]), (&json!(expected.tokens[..end]), &json!("stop")));
    assert_eq!(tinker.done("asample", &body(4, json!({"stop": []})))["sequences"], told["sequences"]);
}

/// The scripted policy ends what it says with its own last token.
#[test]
fn without_a_stop_the_models_own_last_token_ends_a_sample() {
    let tinker = Tinker::start(&Desk::new(), "tinker --model scripted");
    let session =
        json!({"session_id": tinker.session, "sampling_session_seq_id": 0, "base_model": "scripted"});
    let sampler = tinker.ask("create_sampling_session", &session)["sampling_session_id"].clone();
    let info =
        tinker.server.json(tinker.server.get(&format!("/api/v1/samplers/{}", sampler.as_str().unwrap())));
    assert_eq!((&info["base_model"], &info["model_path"]), (&json!("scripted"), &Value::Null));
    let sample = |number: i64, params: Value| {
        let body = json!({"sampling_session_id": sampler, "seq_id": number, "prompt": prompt("Question: who?"),
            "sampling_params": params});
        let told = tinker.done("asample", &body)["sequences"][0].clone();
        (told["stop_reason"].as_str().unwrap().to_owned(), told["tokens"].as_array().unwrap().len())
    };
    let (reason, length) = sample(0, json!({"max_tokens": 40}));
    assert!(reason == "stop" && length < 40, "{reason} after {length}");
    let (reason, longer) = sample(1, json!({"max_tokens": 40, "stop": []}));
    assert!(longer > length || reason == "length", "{reason} after {longer}");
    let (reason, words) = sample(2, json!({"max_tokens": 40, "stop": "who"}));
    assert!(reason == "stop" && words < length);
}

/// What one server saved, another goes on from; with the optimizer, as if nothing had happened.
#[test]
fn saved_weights_outlive_their_server() {
    let desk = Desk::new();
    let words = format!("{RANDOM} --out kept");
    let data = || vec![lesson("Hello", &[1.0; 4])];
    for rank in [0, 4] {
        let tinker = Tinker::start(&desk, &words);
        let model = tinker.model(0, rank);
        tinker.rows(&request(&model, 1, "cross_entropy", data()));
        tinker.step(&model, 2);
        let body = json!({"model_id": model, "seq_id": 3, "path": "one"});
        let path = tinker.done("save_weights", &body)["path"].clone();
        assert_eq!(path, format!("tinker://{model}/weights/one"));
        let body = json!({"model_id": model, "seq_id": 4, "path": "one"});
        assert!(tinker.failed("save_weights", &body).contains("overwrite"));
        let body = json!({"model_id": model, "seq_id": 5, "path": "one", "overwrite": true});
        tinker.done("save_weights", &body);
        tinker.rows(&request(&model, 6, "cross_entropy", data()));
        tinker.step(&model, 7);
        let expected = tinker.scores(&tinker.sampler(&model, 8, 0), 0, "Hello");
        drop(tinker);

        let tinker = Tinker::start(&desk, &words);
        let info = tinker.ask("weights_info", &json!({"tinker_path": path}));
        assert_eq!((&info["base_model"], &info["is_lora"]), (&json!("tiny"), &json!(rank > 0)));
        let mut seen = Vec::new();
        for (index, optimizer) in [(0, true), (1, false)] {
            let body = json!({"session_id": tinker.session, "model_seq_id": index, "path": path, "optimizer": optimizer});
            let promise = tinker.ask("load_weights", &body);
            assert_eq!(tinker.ask("load_weights", &body), promise, "the same request again");
            let model = format!("{}:train:{index}", tinker.session);
            assert_eq!(tinker.result(&promise)["model_id"], model);
            tinker.rows(&request(&model, 1, "cross_entropy", data()));
            let step = tinker.step(&model, 2)["metrics"]["step"].clone();
            assert_eq!(step, json!(if optimizer { 2.0 } else { 1.0 }));
            seen.push(tinker.scores(&tinker.sampler(&model, 3, index), 0, "Hello"));
        }
        assert_eq!(bits(&seen[0]), bits(&expected));
        assert_ne!(seen[1], expected, "the optimizer began anew");
        // As older clients do it: a model of the same kind, and loading as its first request.
        let model = tinker.model(2, rank);
        tinker
            .done("load_weights", &json!({"model_id": model, "seq_id": 1, "path": path, "optimizer": true}));
        tinker.rows(&request(&model, 2, "cross_entropy", data()));
        tinker.step(&model, 3);
        assert_eq!(bits(&tinker.scores(&tinker.sampler(&model, 4, 2), 0, "Hello")), bits(&expected));
        let other = tinker.model(3, 2);
        let body = json!({"model_id": other, "seq_id": 1, "path": path, "optimizer": true});
        assert!(tinker.refused("load_weights", &body, 400).contains("this model is an adapter of rank 2"));
    }
}

#[test]
fn saved_samplers_are_listed_sampled_from_and_taken_away() {
    let desk = Desk::new();
    let tinker = Tinker::start(&desk, &format!("{RANDOM} --out kept"));
    for (index, rank) in [(0, 0), (1, 4)] {
        let model = tinker.model(index, rank);
        tinker.rows(&request(&model, 1, "cross_entropy", vec![lesson("Hello", &[1.0; 4])]));
        tinker.step(&model, 2);
        let body = json!({"model_id": model, "seq_id": 3, "path": "step-1"});
        let path = tinker.done("save_weights_for_sampler", &body)["path"].clone();
        assert_eq!(path, format!("tinker://{model}/sampler_weights/step-1"));
        let expected = tinker.scores(&tinker.sampler(&model, 4, 10 + index), 0, "Hello");
        let session =
            json!({"session_id": tinker.session, "sampling_session_seq_id": 20 + index, "model_path": path});
        let sampler = tinker.ask("create_sampling_session", &session)["sampling_session_id"].clone();
        assert_eq!(bits(&tinker.scores(sampler.as_str().unwrap(), 0, "Hello")), bits(&expected));
        let load = json!({"model_id": model, "seq_id": 5, "path": path, "optimizer": false});
        assert!(tinker.refused("load_weights", &load, 400).contains("for sampling"));

        let checkpoints = format!("/api/v1/training_runs/{model}/checkpoints");
        let listed = tinker.server.json(tinker.server.get(&checkpoints));
        let entry = &listed["checkpoints"][0];
        assert_eq!(
            (&entry["checkpoint_id"], &entry["checkpoint_type"]),
            (&json!("sampler_weights/step-1"), &json!("sampler"))
        );
        let run = tinker.server.json(tinker.server.get(&format!("/api/v1/training_runs/{model}")));
        assert_eq!((&run["is_lora"], &run["last_sampler_checkpoint"]), (&json!(rank > 0), entry));
        let names = unpacked(&tinker, &format!("{checkpoints}/sampler_weights/step-1/archive"));
        let expected: &[&str] = if rank > 0 {
            &["adapter_config.json", "adapter_model.safetensors"]
        } else {
            &["config.json", "model.safetensors", "tokenizer.json"]
        };
        assert!(expected.iter().all(|name| names.iter().any(|it| it == name)), "{names:?}");
        assert!(names.iter().all(|name| !name.contains("learner")), "{names:?}");
        let client = reqwest::Client::new();
        let gone = format!("{}{checkpoints}/sampler_weights/step-1", tinker.server.url());
        let status = tinker.server.block_on(async { client.delete(&gone).send().await.unwrap().status() });
        assert_eq!(status.as_u16(), 204);
        tinker
            .server
            .refused(tinker.server.get(&format!("{checkpoints}/sampler_weights/step-1/archive")), 404);
    }
    let runs = tinker.server.json(tinker.server.get("/api/v1/training_runs?limit=1"));
    assert_eq!(
        (runs["training_runs"].as_array().unwrap().len(), &runs["cursor"]["total_count"]),
        (1, &json!(2))
    );
}

/// The names in an archive, which is found by the address that is answered.
fn unpacked(tinker: &Tinker, path: &str) -> Vec<String> {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let bytes = tinker.server.block_on(async {
        let answer = client.get(format!("{}{path}", tinker.server.url())).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 302);
        let place = answer.headers()["location"].to_str().unwrap().to_owned();
        client.get(place).send().await.unwrap().bytes().await.unwrap()
    });
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&bytes[..]));
    let name = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        entry.read_to_end(&mut Vec::new()).unwrap();
        entry.path().unwrap().to_string_lossy().into_owned()
    };
    archive.entries().unwrap().map(name).collect()
}
