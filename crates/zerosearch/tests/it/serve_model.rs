//! `serve model`: a policy over the OpenAI API, to the last bit the policy itself.

use futures::StreamExt;
use serde_json::{Value, json};
use zerosearch::config::{ConfigFile, Purpose, Setting};
use zerosearch::learners::{Pool, open_voice};
use zerosearch_learner::SamplingRequest;

use crate::program::{Desk, questions};
use crate::serving::Served;

/// A small random model; its tokens are bytes.
const RANDOM: &str = "model --model random --name tiny --set model.context=512";

fn random() -> Served {
    Served::start(&Desk::new(), RANDOM)
}

/// The data of every event of a stream.
fn events(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("data: ")).collect()
}

fn bits(logprobs: &Value) -> Vec<u32> {
    logprobs.as_array().unwrap().iter().map(|number| (number.as_f64().unwrap() as f32).to_bits()).collect()
}

#[test]
fn tokens_and_log_probabilities_are_those_of_the_policy_itself() {
    let server = random();
    let settings = ["model.path=random", "model.context=512"].map(|it| it.parse::<Setting>().unwrap());
    let plan = ConfigFile::parse("", &settings).unwrap().resolve(Purpose::Use).unwrap();
    let prompt: Vec<u32> = "Hello".bytes().map(u32::from).collect();
    for (temperature, seed) in [(1.0, 7), (0.7, 8), (0.0, 9)] {
        let body = json!({"model": "tiny", "prompt": prompt, "max_tokens": 20, "temperature": temperature, "seed": seed,
            "logprobs": 1, "return_token_ids": true});
        let told = server.json(server.post("/v1/completions", &body));
        let choice = &told["choices"][0];
        let (own, scores) = server.block_on(async {
            let voice = open_voice((&plan.model, &plan.adapter), plan.run.seed, 0, &Pool::new(&plan.model))
                .await
                .unwrap();
            let request = SamplingRequest {
                temperature,
                stop_tokens: voice.text.stop_tokens().to_vec(),
                ..SamplingRequest::of_length(prompt.clone(), 20, seed)
            };
            let sample = voice.policy.sample(request).await.unwrap();
            let row = [&prompt[..], &sample.tokens].concat();
            let scores =
                voice.policy.score(&[row], if temperature > 0.0 { temperature } else { 1.0 }).await.unwrap();
            (sample, scores)
        });
        assert_eq!(choice["token_ids"], json!(own.tokens));
        assert_eq!(choice["prompt_token_ids"], json!(prompt));
        let expected: Vec<u32> = own.logprobs.iter().map(|logprob| logprob.to_bits()).collect();
        assert_eq!(bits(&choice["logprobs"]["token_logprobs"]), expected);
        let row = [&prompt[..], &own.tokens].concat();
        let body =
            json!({"prompt": row, "max_tokens": 0, "echo": true, "logprobs": 0, "temperature": temperature});
        let echo = server.json(server.post("/v1/completions", &body));
        let mut told = echo["choices"][0]["logprobs"]["token_logprobs"].clone();
        assert!(told.as_array_mut().unwrap().remove(0).is_null(), "nothing precedes the first token");
        assert_eq!(bits(&told), scores[0][1..].iter().map(|score| score.to_bits()).collect::<Vec<_>>());
        assert_eq!(echo["usage"]["completion_tokens"], 0);
    }
}

#[test]
fn a_stream_says_what_the_whole_reply_says() {
    let server = random();
    let messages = json!([{"role": "user", "content": "Hello"}]);
    let ask = json!({"messages": messages, "max_tokens": 30, "seed": 5, "n": 2, "logprobs": true, "stop": ["e", "é"]});
    let whole = server.json(server.post("/v1/chat/completions", &ask));
    let mut ask = ask;
    ask["stream"] = json!(true);
    ask["stream_options"] = json!({"include_usage": true});
    let (_, text) = server.text(server.post("/v1/chat/completions", &ask));
    let told = events(&text);
    assert_eq!(told.last(), Some(&"[DONE]"));
    let chunks: Vec<Value> =
        told[..told.len() - 1].iter().map(|it| serde_json::from_str(it).unwrap()).collect();
    for index in 0..2 {
        let own: Vec<&Value> = chunks
            .iter()
            .flat_map(|chunk| chunk["choices"].as_array().unwrap())
            .filter(|it| it["index"] == index)
            .collect();
        let said: String = own.iter().filter_map(|it| it["delta"]["content"].as_str()).collect();
        let expected = &whole["choices"][index as usize];
        assert_eq!(said, expected["message"]["content"].as_str().unwrap());
        let entries = |choice: &Value| choice["logprobs"]["content"].as_array().cloned().unwrap_or_default();
        assert_eq!(own.iter().flat_map(|it| entries(it)).collect::<Vec<_>>(), entries(expected));
        assert_eq!(own.last().unwrap()["finish_reason"], expected["finish_reason"]);
        assert_eq!(own[0]["delta"]["role"], "assistant");
    }
    let last = chunks.last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]), (&json!([]), &whole["usage"]));
    assert!(chunks[..chunks.len() - 1].iter().all(|chunk| chunk["usage"].is_null()));
    assert_ne!(whole["choices"][0]["message"], whole["choices"][1]["message"], "each has a seed of its own");
}

#[test]
fn stop_strings_end_a_reply_and_are_told_where_that_is_asked() {
    let server = Served::start(&Desk::new(), "model --model scripted");
    let ask = |more: Value| {
        let mut body = json!({"prompt": "Question: who wrote Emma?", "max_tokens": 200, "seed": 0});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.json(server.post("/v1/completions", &body))["choices"][0].clone()
    };
    let whole = ask(json!({}));
    assert_eq!(
        (&whole["text"], &whole["finish_reason"]),
        (&json!("<search> who wrote Emma? </search>"), &json!("stop"))
    );
    assert_eq!(whole["stop_reason"], Value::Null, "the model's own end");
    let cut = ask(json!({"stop": "</search>"}));
    assert_eq!(
        (&cut["text"], &cut["stop_reason"]),
        (&json!("<search> who wrote Emma? "), &json!("</search>"))
    );
    let shown = ask(json!({"stop": ["zzz", "wrote"], "include_stop_str_in_output": true}));
    assert_eq!(shown["text"], "<search> who wrote");
    let spelled = ask(json!({"skip_special_tokens": false}));
    assert_eq!(spelled["text"], "<search> who wrote Emma? </search><|end|>");
    let short = ask(json!({"max_tokens": 3}));
    assert_eq!((&short["finish_reason"], &short["text"]), (&json!("length"), &json!("<search> w")));
    let echo = ask(json!({"echo": true, "logprobs": 1, "max_tokens": 2}));
    assert_eq!(echo["text"], "Question: who wrote Emma?<search> ");
    assert_eq!(
        echo["logprobs"]["text_offset"].as_array().unwrap().last(),
        Some(&json!(33)),
        "25 and 8 characters before it"
    );
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    let server = random();
    let messages = json!([{"role": "user", "content": "a"}]);
    for (path, body, param) in [
        ("/v1/chat/completions", json!({"messages": messages, "top_logprobs": 2}), "top_logprobs"),
        ("/v1/chat/completions", json!({"messages": messages, "tools": [{}]}), "tools"),
        ("/v1/chat/completions", json!({"messages": []}), "messages"),
        (
            "/v1/chat/completions",
            json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
            "messages",
        ),
        (
            "/v1/chat/completions",
            json!({"messages": messages, "max_tokens": 1, "max_completion_tokens": 2}),
            "max_tokens",
        ),
        ("/v1/completions", json!({"prompt": "a", "logprobs": 5}), "logprobs"),
        ("/v1/completions", json!({"prompt": "a", "max_tokens": 0}), "max_tokens"),
        ("/v1/completions", json!({"prompt": [], "max_tokens": 1}), "prompt"),
        ("/v1/completions", json!({"prompt": vec![1; 512]}), "prompt"),
        // 500 and 13 are one more than the context of 512.
        ("/v1/completions", json!({"prompt": vec![1; 500], "max_tokens": 13}), "max_tokens"),
        ("/v1/chat/completions", json!({"messages": messages, "max_tokens": 100_000}), "max_tokens"),
        ("/v1/completions", json!({"prompt": "a", "stream_options": {}}), "stream_options"),
        ("/v1/completions", json!({"prompt": "a", "temprature": 1}), "temprature"),
        ("/v1/completions", json!({"prompt": "a", "frequency_penalty": 1}), "frequency_penalty"),
        ("/v1/completions", json!({"prompt": "a", "top_p": 0}), "top_p"),
    ] {
        let (status, text) = server.text(server.post(path, &body));
        let told: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status.as_u16(), &told["error"]["param"]), (400, &json!(param)), "{body}: {text}");
        assert_eq!(told["error"]["type"], "invalid_request_error");
    }
    let (_, text) = server.text(server.post("/v1/completions", &json!({"prompt": "a", "max_tokens": 600})));
    assert!(
        text.contains("context_length_exceeded") && text.contains("ask for 511 tokens or fewer"),
        "{text}"
    );
    let fits = json!({"prompt": vec![1; 500], "max_tokens": 12, "ignore_eos": true});
    let told = server.json(server.post("/v1/completions", &fits));
    assert_eq!(told["usage"]["completion_tokens"], 12);
    let unknown = server.post("/v1/completions", &json!({"model": "gpt-4", "prompt": "a"}));
    assert!(server.refused(unknown, 404).contains("this server has \"tiny\""));
    assert!(
        server.refused(server.post("/v1/completions", &json!({"prompt": [99_999]})), 400).contains("99999")
    );
    let listed = server.json(server.get("/v1/models"));
    assert_eq!(
        (&listed["data"][0]["id"], &listed["data"][0]["max_model_len"]),
        (&json!("tiny"), &json!(512))
    );
    assert_eq!(server.json(server.get("/v1/models/tiny")), listed["data"][0]);
}

/// Nothing ends the reply before a million tokens, which would take minutes.
#[test]
fn the_work_for_a_client_that_hung_up_is_dropped() {
    let server = Served::start(
        &Desk::new(),
        "model --model random --set model.context=1000000 --set model.width=16 --set model.heads=2",
    );
    let body = json!({"prompt": "a", "max_tokens": 900_000, "ignore_eos": true, "stream": true, "return_token_ids": true});
    let dropped = |count: f64| {
        while server.figure("zerosearch_replies_total{outcome=\"dropped\"}") < count {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    };
    server.block_on(async {
        let mut stream = server.post("/v1/completions", &body).send().await.unwrap().bytes_stream();
        assert!(stream.next().await.unwrap().unwrap().starts_with(b"data: "));
    });
    dropped(1.0);
    let whole = json!({"prompt": "a", "max_tokens": 900_000, "ignore_eos": true});
    let patience = std::time::Duration::from_millis(300);
    server.block_on(async {
        server.post("/v1/completions", &whole).timeout(patience).send().await.unwrap_err()
    });
    dropped(2.0);
}

/// The text of every piece with its tokens and log-probabilities, and the ending.
fn played(desk: &Desk, folder: &str) -> Vec<Value> {
    let rows = desk.read(&format!("{folder}/rows.jsonl"));
    let mut rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    rows.sort_by_key(|row| row["question"]["id"].to_string());
    rows.iter().map(|row| json!([row["transcript"], row["ending"], row["turns"]])).collect()
}

#[test]
fn a_policy_on_our_server_plays_as_it_does_in_this_process() {
    let desk = Desk::new();
    desk.write("questions.jsonl", questions());
    desk.succeed(&["export", "--model", "random", "--set", "model.context=2048", "--out", "model"]);
    let server = Served::start(&desk, "model --model model --name policy");
    let eval = |model: &str, out: &str, more: &[&str]| {
        let words = [
            "eval",
            "--model",
            model,
            "--questions",
            "questions.jsonl",
            "--engine",
            "scripted",
            "--out",
            out,
        ];
        let sizes = [
            "--set",
            "rollout.max_turns=2",
            "--set",
            "rollout.max_response_tokens=24",
            "--set",
            "rollout.max_context_tokens=2048",
        ];
        desk.succeed(&[&words[..], &sizes[..], more].concat());
    };
    eval("model", "here", &[]);
    let urls = format!("server.urls=[\"{}\"]", server.url());
    let there = [
        "--set",
        &urls,
        "--set",
        "server.name=policy",
        "--set",
        "server.tokenizer=model",
        "--set",
        "server.context=2048",
    ];
    eval("server", "there", &there);
    assert_eq!(played(&desk, "there"), played(&desk, "here"));
}

/// The scripted model says the same of every document, so that all but the first are dropped as repeated.
#[test]
fn our_server_plays_a_simulator_with_documents_begun_for_it() {
    let model = Served::start(&Desk::new(), "model --model scripted --name sim");
    let urls = format!("simulator.urls=[\"{}\"]", model.url());
    let words = format!(
        "search --engine simulated --set {urls} --set simulator.model_name=sim --set simulator.api=completions --set simulator.structure=forced --noise 1"
    );
    let engine = Served::start(&Desk::new(), &words);
    let told = engine.json(engine.get("/search?query=who%20wrote%20Emma&k=3"));
    let documents = told["documents"].as_array().unwrap();
    assert!(!documents.is_empty() && documents[0]["provenance"]["engine"] == "simulated", "{told}");
}
