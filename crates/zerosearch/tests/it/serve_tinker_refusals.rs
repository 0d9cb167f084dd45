//! What a learner's server refuses, in which order it works, and how much it keeps.

use std::time::Duration;

use serde_json::{Value, json};

use crate::program::Desk;
use crate::serving::Served;
use crate::tinker::{RANDOM, Tinker, lesson, prompt, request};

/// A table of bigrams: it opens at once.
const BIGRAM: &str = "tinker --model bigram --name tiny --set model.context=16";

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body.pointer_mut(name).map_or_else(|| panic!("no {name}"), |it| *it = value);
    body
}

/// Sent all at once over connections of their own, the last first: carried out by their numbers.
#[test]
fn requests_are_carried_out_by_their_numbers_and_once() {
    let tinker = Tinker::start(&Desk::new(), BIGRAM);
    let model = tinker.model(0, 0);
    let step =
        |number: i64| json!({"model_id": model, "seq_id": number, "adam_params": {"learning_rate": 0.1}});
    let rows = serde_json::to_value(request(&model, 1, "cross_entropy", vec![lesson("ab", &[1.0])])).unwrap();
    let promises: Vec<Value> = [
        ("optim_step", step(4)),
        ("forward_backward", with(rows.clone(), "/seq_id", json!(3))),
        ("optim_step", step(2)),
        ("forward_backward", rows.clone()),
    ]
    .iter()
    .map(|(route, body)| tinker.ask(route, body))
    .collect();
    let steps: Vec<Value> = promises.iter().map(|it| tinker.result(it)).collect();
    assert_eq!((&steps[2]["metrics"]["step"], &steps[0]["metrics"]["step"]), (&json!(1.0), &json!(2.0)));
    // The same again is the same, whether it is done or not; another under its number is none.
    assert_eq!(tinker.ask("optim_step", &step(4)), promises[0]);
    assert_eq!(tinker.ask("forward_backward", &rows), promises[3]);
    let other = with(step(4), "/adam_params/learning_rate", json!(0.2));
    assert!(tinker.refused("optim_step", &other, 409).contains("seq_id 4"));
    assert!(tinker.refused("forward_backward", &with(rows, "/seq_id", json!(4)), 409).contains("seq_id 4"));
    // A refused one is counted, so that the next need not wait for it.
    let bad = with(step(5), "/adam_params/learning_rate", json!(-1.0));
    assert!(tinker.refused("optim_step", &bad, 400).contains("learning_rate is -1"));
    assert!(tinker.refused("optim_step", &bad, 400).contains("learning_rate is -1"));
    assert!(tinker.failed("optim_step", &step(6)).contains("gradients to step with"));
    let waiting = tinker.ask("optim_step", &step(9));
    tinker.done("unload_model", &json!({"model_id": model}));
    assert!(tinker.result(&waiting)["error"].as_str().unwrap().contains("unloaded"));
    assert!(tinker.refused("optim_step", &step(7), 404).contains("unloaded"));
}

#[test]
fn rows_that_cannot_be_used_are_refused_with_the_reason() {
    let tinker = Tinker::start(&Desk::new(), BIGRAM);
    let model = tinker.model(0, 0);
    let good = json!({"model_id": model, "forward_backward_input": {"loss_fn": "ppo", "loss_fn_config": {"clip_low_threshold": 0.9},
        "data": [{"model_input": {"chunks": [{"type": "encoded_text", "tokens": [97, 98]}]}, "loss_fn_inputs": {
            "target_tokens": {"data": [98, 99], "dtype": "int64", "shape": [2]},
            "logprobs": {"data": [-1.0, -2], "dtype": "float32"}, "advantages": {"data": [0.0, 1.0], "dtype": "float32"}}}]}});
    tinker.done("forward_backward", &good);
    let input = "/forward_backward_input";
    let row = "/forward_backward_input/data/0";
    let inputs = "/forward_backward_input/data/0/loss_fn_inputs";
    let long: Vec<u32> = vec![97; 16];
    let tensor = |data: Value, kind: &str| json!({"data": data, "dtype": kind});
    let long_row = json!({"model_input": {"chunks": [{"type": "encoded_text", "tokens": long}]}, "loss_fn_inputs": {
        "target_tokens": tensor(json!(long), "int64"), "logprobs": tensor(json!(vec![0; 16]), "float32"),
        "advantages": tensor(json!(vec![1; 16]), "float32")}});
    let cases = [
        (format!("{input}/loss_fn"), json!("dro"), "no loss \"dro\""),
        (format!("{input}/loss_fn_config"), json!({"beta": 1.0}), "no setting \"beta\""),
        (format!("{input}/loss_fn_config"), json!({"clip_high_threshold": 0.2}), "clip_high_threshold"),
        (format!("{input}/loss_fn_config"), json!({"clip_low_threshold": "low"}), "cannot be used"),
        (format!("{input}/data"), json!([]), "no row"),
        (
            format!("{row}/model_input/chunks/0/tokens"),
            json!([97, 4096]),
            "token 4096 is not in the vocabulary",
        ),
        (format!("{row}/model_input/chunks/0/tokens"), json!([97, -1]), "token -1"),
        (format!("{row}/model_input/chunks/0/tokens"), json!([97]), "1 tokens and 2 target_tokens"),
        (format!("{row}/model_input/chunks/0/tokens"), json!([97, 99]), "the tokens that follow"),
        (format!("{row}/model_input/chunks/0/type"), json!("image"), "cannot be used"),
        (format!("{inputs}/target_tokens/data"), json!([98, 4096]), "token 4096"),
        (format!("{inputs}/target_tokens"), tensor(json!([98.0, 99.0]), "float32"), "whole numbers"),
        (format!("{inputs}/advantages/data"), json!([1.0]), "1 numbers for 2"),
        (format!("{inputs}/advantages/data"), json!([1.0, null]), "cannot be used"),
        (format!("{inputs}/advantages/data"), json!([1.0, 1e39]), "cannot be used"),
        (format!("{inputs}/logprobs/dtype"), json!("string"), "`string` is not known"),
        (
            inputs.to_owned(),
            json!({"target_tokens": tensor(json!([98, 99]), "int64")}),
            "`logprobs` is missing",
        ),
        (row.to_owned(), long_row, "17 tokens; this model reads 16"),
    ];
    for (place, value, word) in cases {
        let told = tinker.refused("forward_backward", &with(good.clone(), &place, value), 400);
        assert!(told.contains(word), "{place}: {told}");
    }
    let mut masked = good.clone();
    masked[&input[1..]]["data"][0]["loss_fn_inputs"]["mask"] = tensor(json!([0, 1]), "float32");
    assert!(tinker.refused("forward_backward", &masked, 400).contains("takes no `mask`"));
    // A ratio of e^1000 is beyond any float: only computing it shows that.
    let plain = with(good.clone(), &format!("{input}/loss_fn"), json!("importance_sampling"));
    let plain = with(plain, &format!("{input}/loss_fn_config"), json!({}));
    let beyond = with(plain, &format!("{inputs}/logprobs/data"), json!([0.0, -1000.0]));
    let told = tinker.failed("forward_backward", &beyond);
    assert!(told.contains("gathered gradients are dropped"), "{told}");
    let told = tinker.refused(
        "forward_backward",
        &json!({"model_id": "nobody", "forward_backward_input": good[&input[1..]]}),
        404,
    );
    assert!(told.contains("nobody"), "{told}");
    let client = reqwest::Client::new();
    let url = format!("{}/api/v1/forward_backward", tinker.server.url());
    let torn = tinker.server.block_on(async {
        let post = client.post(url).header("content-type", "application/x-protobuf").body(vec![10, 255, 1]);
        let answer = post.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    });
    assert!(torn.0 == 400 && torn.1.contains("forward_backward request"), "{torn:?}");
}

#[test]
fn models_steps_and_names_that_cannot_be_are_refused() {
    let desk = Desk::new();
    let tinker = Tinker::start(&desk, BIGRAM);
    let create = json!({"session_id": tinker.session, "model_seq_id": 0, "base_model": "tiny", "optimizer_config": {"type": "adamw"},
        "lora_config": {"rank": 0, "train_attn": true, "train_mlp": true, "train_unembed": true}});
    for (place, value, status, word) in [
        ("/session_id", json!("session_0"), 404, "no session"),
        ("/base_model", json!("large"), 400, "this server has \"tiny\""),
        ("/optimizer_config/type", json!("dimuon"), 400, "no optimizer \"dimuon\""),
        ("/lora_config/rank", json!(-1), 400, "cannot be used"),
        (
            "/lora_config",
            json!({"rank": 4, "train_attn": false, "train_mlp": false, "train_unembed": false}),
            400,
            "an adapter of nothing",
        ),
    ] {
        let told = tinker.refused("create_model", &with(create.clone(), place, value), status);
        assert!(told.contains(word), "{place}: {told}");
    }
    let adapter = with(create.clone(), "/lora_config/rank", json!(4));
    assert!(
        tinker.result(&tinker.ask("create_model", &adapter))["error"]
            .as_str()
            .unwrap()
            .contains("takes no adapter")
    );
    let model = tinker.model(1, 0);
    let again = json!({"session_id": tinker.session, "model_seq_id": 1, "base_model": "tiny"});
    assert!(tinker.refused("create_model", &again, 409).contains("model_seq_id"));
    for (name, value) in
        [("beta1", 1.0), ("beta2", -0.1), ("eps", -1.0), ("weight_decay", -1.0), ("grad_clip_norm", -1.0)]
    {
        let told =
            tinker.refused("optim_step", &json!({"model_id": model, "adam_params": {name: value}}), 400);
        assert!(told.contains(name), "{told}");
    }
    for name in ["", "../out", "a/b", ".hidden", "a b"] {
        for route in ["save_weights", "save_weights_for_sampler"] {
            let told = tinker.refused(route, &json!({"model_id": model, "path": name}), 400);
            assert!(told.contains("cannot name saved weights"), "{told}");
        }
    }
    let bare = json!({"model_id": model});
    assert!(tinker.refused("save_weights", &bare, 400).contains("cannot name"));
    assert!(tinker.refused("save_weights_for_sampler", &bare, 400).contains("sampling_session_seq_id"));
    let inflight = json!({"model_id": model, "sampling_session_seq_id": 0, "kind": "inflight"});
    assert!(tinker.refused("save_weights_for_sampler", &inflight, 400).contains("snapshots"));
    for (path, status, word) in [
        ("tinker://s:train:0/weights/none", 404, "nothing is saved"),
        ("tinker://../../etc/weights/passwd", 400, "no address"),
        ("/etc/passwd", 400, "no address"),
    ] {
        let load = json!({"model_id": model, "path": path, "optimizer": true});
        assert!(tinker.refused("load_weights", &load, status).contains(word), "{path}");
        assert!(tinker.refused("weights_info", &json!({"tinker_path": path}), status).contains(word));
    }
    assert!(
        tinker
            .refused("load_weights", &json!({"path": "tinker://s:train:0/weights/a", "optimizer": true}), 400)
            .contains("model_seq_id")
    );
    assert!(tinker.refused("retrieve_future", &json!({"request_id": "7"}), 404).contains("no request"));
    tinker.server.refused(tinker.server.get("/api/v1/training_runs/nobody"), 404);
    tinker.server.refused(tinker.server.get("/api/v1/training_runs/..%2F..:train:0/checkpoints"), 404);
    assert!(desk.path("tinker-checkpoints").is_dir(), "the default of --out");
}

/// The random model is 64 wide: no factor of it has a rank of 10,000. What could not be made takes no place.
#[test]
fn a_model_that_cannot_be_made_is_told_and_forgotten() {
    let tinker = Tinker::start(&Desk::new(), &format!("{RANDOM} --max-models 1"));
    let create = |rank: usize| json!({"session_id": tinker.session, "model_seq_id": 0, "base_model": "tiny", "lora_config": {"rank": rank}});
    let promise = tinker.ask("create_model", &create(10_000));
    let told = tinker.result(&promise);
    assert!(told["error"].as_str().unwrap().contains("rank is 10000"), "{told}");
    assert!(tinker.refused("get_info", &json!({"model_id": promise["model_id"]}), 404).contains("no model"));
    tinker.done("create_model", &create(4));
}

#[test]
fn samples_that_cannot_be_drawn_are_refused() {
    let tinker = Tinker::start(&Desk::new(), BIGRAM);
    let open = json!({"session_id": tinker.session, "sampling_session_seq_id": 0, "base_model": "tiny"});
    let sampler = tinker.ask("create_sampling_session", &open)["sampling_session_id"].clone();
    assert_eq!(tinker.ask("create_sampling_session", &open)["sampling_session_id"], sampler);
    let good = json!({"sampling_session_id": sampler, "seq_id": 0, "num_samples": 1, "prompt": prompt("ab"), "topk_prompt_logprobs": 0,
        "topk_sample_logprobs": 0, "prompt_alt_tokens_k": 0, "target_prompt_logprobs": null, "record_stability_info": false,
        "sampling_params": {"max_tokens": 3, "temperature": 1.0, "top_p": 1.0, "top_k": -1, "stop": null}});
    let promise = tinker.ask("asample", &good);
    assert_eq!(tinker.result(&promise)["sequences"][0]["tokens"].as_array().unwrap().len(), 3);
    assert_eq!(tinker.ask("asample", &good), promise, "the same again");
    assert!(
        tinker.refused("asample", &with(good.clone(), "/num_samples", json!(2)), 409).contains("seq_id 0")
    );
    let good = with(good, "/seq_id", json!(1));
    for (place, value, status, word) in [
        ("/sampling_session_id", json!("nobody"), 404, "no sampler"),
        ("/num_samples", json!(0), 400, "num_samples is 0"),
        ("/num_samples", json!(100_000), 400, "num_samples"),
        ("/prompt", prompt(""), 400, "it is empty"),
        ("/prompt", prompt("abcdefghijklmnopq"), 400, "17 tokens; this model reads 16"),
        ("/prompt/chunks/0/tokens", json!([70_000]), 400, "token 70000"),
        ("/sampling_params/temperature", json!(-1.0), 400, "temperature is -1"),
        ("/sampling_params/top_p", json!(0.0), 400, "top_p is 0"),
        ("/sampling_params/top_k", json!(-2), 400, "top_k is -2"),
        ("/sampling_params/stop", json!([""]), 400, "empty text"),
        ("/sampling_params/stop", json!([-1]), 400, "no token"),
        ("/topk_prompt_logprobs", json!(5), 400, "topk_prompt_logprobs"),
        ("/topk_sample_logprobs", json!(5), 400, "topk_sample_logprobs"),
        ("/prompt_alt_tokens_k", json!(2), 400, "prompt_alt_tokens_k"),
        ("/target_prompt_logprobs", json!({"data": [1]}), 400, "target_prompt_logprobs"),
        ("/record_stability_info", json!(true), 400, "record_stability_info"),
    ] {
        let told = tinker.refused("asample", &with(good.clone(), place, value), status);
        assert!(told.contains(word), "{place}: {told}");
    }
    let none = json!({"session_id": tinker.session, "sampling_session_seq_id": 1});
    assert!(tinker.refused("create_sampling_session", &none, 400).contains("model_path"));
    // Without a session; the last two of the prompt alone are scored.
    let body = json!({"base_model": "tiny", "prompt": prompt("abcd"), "sampling_params": {"max_tokens": 0},
        "prompt_logprobs": true, "prompt_logprobs_last_n": 2});
    let scores = tinker.done("asample", &body)["prompt_logprobs"].clone();
    assert!(
        scores[0].is_null() && scores[1].is_null() && scores[2].is_f64() && scores[3].is_f64(),
        "{scores}"
    );
}

#[test]
fn models_and_samplers_are_bounded() {
    let tinker = Tinker::start(&Desk::new(), &format!("{BIGRAM} --max-models 2 --max-samplers 2"));
    let (one, _two) = (tinker.model(0, 0), tinker.model(1, 0));
    let third = json!({"session_id": tinker.session, "model_seq_id": 2, "base_model": "tiny", "lora_config": {"rank": 0, "seed": 5}});
    assert!(tinker.refused("create_model", &third, 400).contains("--max-models"));
    let samplers: Vec<String> = (0..2).map(|index| tinker.sampler(&one, index + 1, index)).collect();
    tinker.scores(&samplers[0], 0, "ab");
    tinker.sampler(&one, 3, 2);
    tinker.scores(&samplers[0], 1, "ab");
    let body = json!({"sampling_session_id": samplers[1], "prompt": prompt("ab"), "sampling_params": {}});
    assert!(tinker.refused("asample", &body, 404).contains("--max-samplers"), "it was not used for longest");
    assert_eq!(tinker.server.figure("zerosearch_open{what=\"models\"}"), 2.0);
    tinker.done("unload_model", &json!({"model_id": one}));
    tinker.model(2, 0);
    let finish = format!("/api/v1/sessions/{}/finish", tinker.session);
    tinker.server.json(tinker.server.post(&finish, &json!({"reason": {"type": "success"}})));
    assert!(
        tinker
            .refused("session_heartbeat", &json!({"session_id": tinker.session}), 410)
            .contains("has ended")
    );
    assert_eq!(tinker.server.figure("zerosearch_open{what=\"models\"}"), 0.0);
}

#[test]
fn a_session_that_is_silent_loses_its_models_and_one_that_beats_keeps_them() {
    let tinker = Tinker::start(&Desk::new(), &format!("{BIGRAM} --silence-s 3"));
    let model = tinker.model(0, 0);
    let info = json!({"model_id": model});
    for _ in 0..8 {
        std::thread::sleep(Duration::from_millis(500));
        let beat = tinker.ask("session_heartbeat", &json!({"session_id": tinker.session}));
        assert_eq!(beat["type"], "session_heartbeat");
    }
    tinker.ask("get_info", &info);
    while tinker.server.figure("zerosearch_open{what=\"models\"}") > 0.0 {
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(tinker.refused("get_info", &info, 404).contains("its session ended"));
    tinker.refused("session_heartbeat", &json!({"session_id": tinker.session}), 410);
}

#[test]
fn a_key_is_asked_for_where_one_is_set_and_everybody_else_needs_one() {
    let desk = Desk::new();
    let told = desk.fail(&["serve", "tinker", "--model", "bigram", "--host", "0.0.0.0"]);
    assert!(told.contains("--token-env"), "{told}");
    let key = "tml-open-sesame";
    let server = Served::with_environment(&desk, "tinker --model bigram --token-env KEY", &[("KEY", key)]);
    let config = || server.post("/api/v1/client/config", &json!({}));
    assert!(server.refused(config(), 401).contains("X-API-Key"));
    server.refused(config().header("X-API-Key", "tml-other"), 401);
    let told = server.json(config().header("X-API-Key", key));
    assert_eq!(told["pjwt_auth_enabled"], false);
    server.json(config().bearer_auth(key));
    server.json(server.get("/health"));
}

/// A client that waits for a result when the server is asked to end is told to ask again, and the server ends at once.
#[test]
fn a_stop_does_not_wait_for_those_who_wait() {
    let mut tinker = Tinker::start(&Desk::new(), RANDOM);
    let model = tinker.model(0, 0);
    let parked = tinker.ask("optim_step", &json!({"model_id": model, "seq_id": 2, "adam_params": {}}));
    let ask = tinker.server.post("/api/v1/retrieve_future", &json!({"request_id": parked["request_id"]}));
    let waiting = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async { ask.send().await.unwrap().json::<Value>().await.unwrap() })
    });
    // Until the request is there.
    while tinker.server.figure("zerosearch_requests_in_flight ") < 2.0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    tinker.server.ask_to_end();
    assert_eq!(waiting.join().unwrap()["type"], "try_again");
    assert_eq!(tinker.server.wait().code(), Some(0));
}

#[test]
fn an_adapter_of_a_table_is_refused_before_it_is_served() {
    let desk = Desk::new();
    let told = desk.fail(&["serve", "tinker", "--model", "random", "--set", "adapter.rank=4"]);
    assert!(told.contains("clients say which adapters"), "{told}");
}
