//! A client of `serve tinker` for tests: bodies by the wire's own types, in JSON or in protobuf.

use reqwest::StatusCode;
use serde_json::{Value, json};
use zerosearch_learner::tinker::wire::{
    Datum, ForwardBackward, ForwardBackwardInput, ForwardBackwardReply, ModelInput, PROTOBUF, Tensor,
};

use crate::program::Desk;
use crate::serving::Served;

/// A small random model; its tokens are bytes.
pub(crate) const RANDOM: &str = "tinker --model random --name tiny --set model.context=64";

/// A server, and a session of it.
pub(crate) struct Tinker {
    pub(crate) server: Served,
    pub(crate) session: String,
}

/// A row of text that is trained on with these weights.
pub(crate) fn lesson(text: &str, weights: &[f32]) -> Datum {
    let tokens: Vec<i64> = text.bytes().map(i64::from).collect();
    let inputs = [
        ("target_tokens".to_owned(), Tensor::Integers(tokens[1..].to_vec())),
        ("weights".to_owned(), Tensor::Floats(weights.to_vec())),
    ];
    Datum { model_input: ModelInput::of(tokens[..tokens.len() - 1].to_vec()), loss_fn_inputs: inputs.into() }
}

/// A row of text as it was sampled.
pub(crate) fn sampled(text: &str, logprobs: &[f32], advantages: &[f32]) -> Datum {
    let mut datum = lesson(text, &[]);
    datum.loss_fn_inputs.remove("weights");
    datum.loss_fn_inputs.insert("logprobs".to_owned(), Tensor::Floats(logprobs.to_vec()));
    datum.loss_fn_inputs.insert("advantages".to_owned(), Tensor::Floats(advantages.to_vec()));
    datum
}

pub(crate) fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

impl Tinker {
    /// A server started with these words in the folder of `desk`.
    #[track_caller]
    pub(crate) fn start(desk: &Desk, words: &str) -> Self {
        let server = Served::start(desk, words);
        let session = server.json(server.post("/api/v1/create_session", &json!({"tags": []})));
        let session = session["session_id"].as_str().unwrap().to_owned();
        Self { server, session }
    }

    /// The answer to a request that must succeed.
    #[track_caller]
    pub(crate) fn ask(&self, route: &str, body: &Value) -> Value {
        self.server.json(self.server.post(&format!("/api/v1/{route}"), body))
    }

    /// What came of the request that `answer` promises.
    #[track_caller]
    pub(crate) fn result(&self, answer: &Value) -> Value {
        let body = json!({"request_id": answer["request_id"]});
        loop {
            let told = self.ask("retrieve_future", &body);
            if told["type"] != "try_again" {
                return told;
            }
        }
    }

    /// What came of a request that must be promised.
    #[track_caller]
    pub(crate) fn done(&self, route: &str, body: &Value) -> Value {
        let told = self.result(&self.ask(route, body));
        assert!(told.get("error").is_none(), "{route} {body}: {told}");
        told
    }

    /// The error of a request that is promised, and fails.
    #[track_caller]
    pub(crate) fn failed(&self, route: &str, body: &Value) -> String {
        let told = self.result(&self.ask(route, body));
        assert_eq!(told["category"], "user", "{route} {body}: {told}");
        told["error"].as_str().unwrap().to_owned()
    }

    /// The message of a refused request.
    #[track_caller]
    pub(crate) fn refused(&self, route: &str, body: &Value, status: u16) -> String {
        self.server.refused(self.server.post(&format!("/api/v1/{route}"), body), status)
    }

    /// A new model of this rank; its number in the session is `index`.
    #[track_caller]
    pub(crate) fn model(&self, index: i64, rank: usize) -> String {
        let body = json!({"session_id": self.session, "model_seq_id": index, "base_model": "tiny",
            "lora_config": {"rank": rank, "seed": 5}});
        let model = self.done("create_model", &body)["model_id"].as_str().unwrap().to_owned();
        assert_eq!(model, format!("{}:train:{index}", self.session), "clients work it out by themselves");
        model
    }

    /// Rows and a loss in protobuf, and the reply in it.
    pub(crate) fn rows(&self, request: &ForwardBackward) -> ForwardBackwardReply {
        let url = |route: &str| format!("{}/api/v1/{route}", self.server.url());
        let client = reqwest::Client::new();
        self.server.block_on(async {
            let post = client.post(url("forward_backward")).header("content-type", PROTOBUF);
            let answer = post.body(request.to_protobuf()).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK, "{:?}", answer.text().await);
            let promise: Value = answer.json().await.unwrap();
            let body = json!({"request_id": promise["request_id"]});
            let reply = client.post(url("retrieve_future")).header("accept", PROTOBUF).json(&body);
            let reply = reply.send().await.unwrap();
            assert_eq!(reply.headers()["content-type"], PROTOBUF);
            ForwardBackwardReply::from_protobuf(&reply.bytes().await.unwrap()).unwrap()
        })
    }

    /// A step of the optimizer.
    #[track_caller]
    pub(crate) fn step(&self, model: &str, number: i64) -> Value {
        let adam = json!({"learning_rate": 0.01, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.01,
            "grad_clip_norm": 0.5});
        self.done("optim_step", &json!({"model_id": model, "seq_id": number, "adam_params": adam}))
    }

    /// A sampling session on the weights as they are now.
    #[track_caller]
    pub(crate) fn sampler(&self, model: &str, number: i64, index: i64) -> String {
        let body = json!({"model_id": model, "seq_id": number, "sampling_session_seq_id": index});
        self.done("save_weights_for_sampler", &body)["sampling_session_id"].as_str().unwrap().to_owned()
    }

    /// Log-probabilities of `text`.
    #[track_caller]
    pub(crate) fn scores(&self, sampler: &str, number: i64, text: &str) -> Vec<f32> {
        let body = json!({"sampling_session_id": sampler, "seq_id": number, "prompt": prompt(text), "prompt_logprobs": true,
            "sampling_params": {"max_tokens": 1}});
        let told = self.done("asample", &body);
        let scores = told["prompt_logprobs"].as_array().unwrap();
        assert!(scores.len() == text.len() && scores[0].is_null(), "{told}");
        scores[1..].iter().map(|score| score.as_f64().unwrap() as f32).collect()
    }
}

pub(crate) fn prompt(text: &str) -> Value {
    json!({"chunks": [{"type": "encoded_text", "tokens": text.bytes().collect::<Vec<u8>>()}]})
}

/// Rows under a loss.
pub(crate) fn request(model: &str, number: i64, loss: &str, data: Vec<Datum>) -> ForwardBackward {
    ForwardBackward {
        model_id: model.to_owned(),
        seq_id: Some(number),
        forward_backward_input: ForwardBackwardInput { loss_fn: loss.to_owned(), loss_fn_config: None, data },
        forward_only: false,
    }
}
