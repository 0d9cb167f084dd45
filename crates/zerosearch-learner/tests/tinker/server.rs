//! A server of the Tinker protocol over bigram models: it truly learns and samples, in any server's ways.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use zerosearch_learner::scripted::BigramLearner;
use zerosearch_learner::text::tiny_text;
use zerosearch_learner::tinker::wire::{
    Datum, Forward, ForwardBackward, ForwardBackwardInput, ForwardBackwardReply, OptimStep, PROTOBUF,
    SampleOrder, SampleReply, SampledSequence, Stop, StopKind, Tensor,
};
use zerosearch_learner::tinker::{Quirks, Reduction, Wire};
use zerosearch_learner::{
    Adam, Example, Learner, LearnerError, Loss, Objective, Policy, SamplingRequest, StopReason, TokenId,
};

/// A model that trains, and what was gathered for its next step.
struct Model {
    learner: Arc<BigramLearner>,
    rows: Vec<(Example, Objective)>,
    next: i64,
}

#[derive(Default)]
struct Inside {
    models: HashMap<String, Model>,
    samplers: HashMap<String, Arc<dyn Policy>>,
    saved: HashMap<String, tempfile::TempDir>,
    results: HashMap<String, (bool, Vec<u8>)>,
    made: usize,
    unloaded: usize,
    asked: Vec<String>,
}

/// The server.
#[derive(Clone)]
pub(crate) struct Double {
    pub(crate) url: String,
    quirks: Quirks,
    inside: Arc<Mutex<Inside>>,
}

impl Double {
    /// Serves on a free port.
    pub(crate) async fn start(quirks: Quirks) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let double = Self { url, quirks, inside: Arc::default() };
        let served = double.clone();
        let app = Router::new().fallback(move |request: Request| {
            let double = served.clone();
            async move { double.serve(request).await }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        double
    }

    /// How many models are loaded, and how many were given back.
    pub(crate) fn models(&self) -> (usize, usize) {
        self.inside(|it| (it.models.len(), it.unloaded))
    }

    /// Every route that was asked, in order, but for results and heartbeats.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.inside(|it| it.asked.clone())
    }

    /// Forgets every saved state.
    pub(crate) fn forget(&self) {
        self.inside(|it| it.saved.clear());
    }

    fn inside<T>(&self, look: impl FnOnce(&mut Inside) -> T) -> T {
        look(&mut self.inside.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn serve(&self, request: Request) -> Response {
        let route = request.uri().path().trim_start_matches("/api/v1/").to_owned();
        assert_eq!(request.headers()["x-api-key"], "tml-secret");
        let (parts, body) = request.into_parts();
        let media = |name: &str| parts.headers.get(name).is_some_and(|value| value == PROTOBUF);
        let (sent, wanted) = (media("content-type"), media("accept"));
        let body = to_bytes(body, 1 << 26).await.unwrap();
        if !["retrieve_future", "session_heartbeat"].contains(&route.as_str()) {
            self.inside(|it| it.asked.push(route.clone()));
        }
        match self.answer(&route, &body, sent, wanted).await {
            Ok(response) => response,
            Err((status, detail)) => {
                respond(status, "application/json", json!({"detail": detail}).to_string().into_bytes())
            }
        }
    }

    async fn answer(
        &self,
        route: &str,
        body: &Bytes,
        sent: bool,
        wanted: bool,
    ) -> Result<Response, (u16, String)> {
        if route == "retrieve_future" {
            return self.result(&read::<Value>(body)?, wanted);
        }
        if route.starts_with("training_runs/") {
            return Ok(self.archive(route));
        }
        let order: Value = if sent { Value::Null } else { serde_json::from_slice(body).unwrap_or_default() };
        let name = |key: &str| order[key].as_str().unwrap_or_default().to_owned();
        let now = match route {
            "get_server_capabilities" => json!({"supported_models": [{"model_name": "bigram"}]}),
            "create_session" => json!({"type": "create_session", "session_id": "session_1"}),
            "session_heartbeat" => json!({"type": "session_heartbeat"}),
            "weights_info" => {
                if !self.inside(|it| it.saved.contains_key(&name("tinker_path"))) {
                    return Err((404, "Checkpoint not found".into()));
                }
                json!({"base_model": "bigram", "is_lora": true, "lora_rank": 4})
            }
            "create_sampling_session" => {
                let policy = fresh().snapshot().await.unwrap();
                json!({"type": "create_sampling_session", "sampling_session_id": self.sampler(policy)})
            }
            _ => Value::Null,
        };
        if !now.is_null() {
            return Ok(respond(200, "application/json", now.to_string().into_bytes()));
        }
        let done = match route {
            "create_model" => self.create(),
            "unload_model" => self.inside(|it| {
                it.unloaded += usize::from(it.models.remove(&name("model_id")).is_some());
                json!({"type": "unload_model"})
            }),
            "forward_backward" if sent => {
                let order = ForwardBackward::from_protobuf(body).map_err(|error| (422, error.to_string()))?;
                return self
                    .passed(&order.model_id, order.seq_id, order.forward_backward_input, !order.forward_only)
                    .await;
            }
            "forward_backward" => {
                let order: ForwardBackward = read(body)?;
                return self.passed(&order.model_id, order.seq_id, order.forward_backward_input, true).await;
            }
            "forward" => {
                let order: Forward = read(body)?;
                return self.passed(&order.model_id, order.seq_id, order.forward_input, false).await;
            }
            "optim_step" => self.step(&read(body)?).await?,
            "save_weights" | "save_weights_for_sampler" | "load_weights" => self.keep(route, &order).await?,
            "asample" => return self.sample(&read(body)?).await,
            other => return Err((404, format!("no such route: {other}"))),
        };
        let model = done["model_id"].as_str().map(str::to_owned);
        Ok(self.promise(false, done.to_string().into_bytes(), model))
    }

    /// Keeps a result until it is asked for; answers with its name.
    fn promise(&self, is_protobuf: bool, result: Vec<u8>, model: Option<String>) -> Response {
        let name = self.inside(|it| {
            it.made += 1;
            let name = it.made.to_string();
            it.results.insert(name.clone(), (is_protobuf, result));
            name
        });
        let future = json!({"future_id": name, "status": "pending", "request_id": name, "model_id": model});
        // Some answer 201 or 202.
        respond(202, "application/json", future.to_string().into_bytes())
    }

    fn result(&self, order: &Value, wanted: bool) -> Result<Response, (u16, String)> {
        let found =
            self.inside(|it| it.results.get(order["request_id"].as_str().unwrap_or_default()).cloned());
        let (is_protobuf, bytes) = found.ok_or((404, "Future not found".to_owned()))?;
        assert!(!is_protobuf || wanted, "a result in protobuf that was not asked for so");
        Ok(respond(200, if is_protobuf { PROTOBUF } else { "application/json" }, bytes))
    }

    fn create(&self) -> Value {
        self.inside(|it| {
            it.made += 1;
            let name = format!("model_{}", it.made);
            it.models.insert(name.clone(), Model { learner: Arc::new(fresh()), rows: Vec::new(), next: 1 });
            json!({"type": "create_model", "model_id": name})
        })
    }

    fn learner(&self, model: &str, number: Option<i64>) -> Result<Arc<BigramLearner>, (u16, String)> {
        self.inside(|it| {
            let model = it.models.get_mut(model).ok_or((404, "Model not found".to_owned()))?;
            if let Some(number) = number {
                if number != model.next {
                    return Err((409, format!("request {number} where {} was to come", model.next)));
                }
                model.next += 1;
            }
            Ok(Arc::clone(&model.learner))
        })
    }

    fn sampler(&self, policy: Arc<dyn Policy>) -> String {
        self.inside(|it| {
            it.made += 1;
            let name = format!("sampling_{}", it.made);
            it.samplers.insert(name.clone(), policy);
            name
        })
    }

    async fn passed(
        &self,
        model: &str,
        number: Option<i64>,
        input: ForwardBackwardInput,
        teaches: bool,
    ) -> Result<Response, (u16, String)> {
        let learner = self.learner(model, number)?;
        let policy = learner.snapshot().await.unwrap();
        let mut outputs = Vec::new();
        for datum in &input.data {
            let (row, objective) = example(&input, datum)?;
            let scores = policy
                .score(std::slice::from_ref(&row.tokens), 1.0)
                .await
                .map_err(|error| (400, error.to_string()))?;
            outputs.push(BTreeMap::from([("logprobs".to_owned(), Tensor::Floats(scores[0][1..].to_vec()))]));
            if teaches {
                self.inside(|it| it.models.get_mut(model).unwrap().rows.push((row, objective)));
            }
        }
        let reply = ForwardBackwardReply { loss_fn_outputs: outputs, ..ForwardBackwardReply::default() };
        let is_protobuf = self.quirks.wire == Wire::Protobuf;
        let bytes = if is_protobuf { reply.to_protobuf() } else { serde_json::to_vec(&reply).unwrap() };
        Ok(self.promise(is_protobuf, bytes, None))
    }

    async fn step(&self, order: &OptimStep) -> Result<Value, (u16, String)> {
        let learner = self.learner(&order.model_id, order.seq_id)?;
        let rows = self.inside(|it| std::mem::take(&mut it.models.get_mut(&order.model_id).unwrap().rows));
        let count = rows.len() as f32;
        for (mut row, objective) in rows {
            if self.quirks.reduction == Reduction::MeanOfRows {
                // Every weight is 1: the row's mean is over all that it predicts.
                let divisor = count * (row.tokens.len() - 1) as f32;
                row.weights.iter_mut().for_each(|weight| *weight /= divisor);
            }
            match learner.accumulate(&[row], &Loss::sum(objective, 1)).await {
                Ok(_) | Err(LearnerError::NotFinite(_)) => {}
                Err(error) => return Err((400, error.to_string())),
            }
        }
        let params = &order.adam_params;
        let adam = Adam {
            learning_rate: params.learning_rate as f32,
            beta1: params.beta1 as f32,
            beta2: params.beta2 as f32,
            epsilon: params.eps as f32,
            weight_decay: params.weight_decay as f32,
            decay_all: true,
            max_grad_norm: (params.grad_clip_norm > 0.0).then_some(params.grad_clip_norm as f32),
        };
        let norm = learner.step(&adam).await.map_or(0.0, |report| report.grad_norm);
        Ok(json!({"metrics": {"skyrl.ai/grad_norm": norm, "skyrl.ai/learning_rate": params.learning_rate}}))
    }

    async fn keep(&self, route: &str, order: &Value) -> Result<Value, (u16, String)> {
        let model = order["model_id"].as_str().unwrap_or_default();
        let learner = self.learner(model, order["seq_id"].as_i64())?;
        let name = order["path"].as_str().unwrap_or_default();
        match (route, name) {
            ("load_weights", address) => {
                let folder = self.inside(|it| it.saved.get(address).map(|folder| folder.path().to_owned()));
                let folder = folder.ok_or((404, "Checkpoint not found".to_owned()))?;
                learner.load(&folder).await.unwrap();
                Ok(json!({"type": "load_weights"}))
            }
            ("save_weights_for_sampler", "") => {
                let session = self.sampler(learner.snapshot().await.unwrap());
                Ok(json!({"type": route, "path": null, "sampling_session_id": session}))
            }
            (route, name) => {
                let kind = if route == "save_weights" { "weights" } else { "sampler_weights" };
                let address = format!("tinker://{model}/{kind}/{name}");
                let folder = tempfile::tempdir().unwrap();
                learner.save(folder.path()).await.unwrap();
                if self.inside(|it| it.saved.insert(address.clone(), folder)).is_some() {
                    return Err((409, format!("Checkpoint '{name}' already exists")));
                }
                Ok(json!({"type": route, "path": address}))
            }
        }
    }

    async fn sample(&self, order: &SampleOrder) -> Result<Response, (u16, String)> {
        let session = order.sampling_session_id.as_deref().unwrap_or_default();
        let policy =
            self.inside(|it| it.samplers.get(session).cloned()).ok_or((404, "no such session".to_owned()))?;
        let prompt: Vec<TokenId> = order.prompt.tokens().map(|token| token as TokenId).collect();
        let params = &order.sampling_params;
        let (stop_tokens, stop_strings) = match params.stop.clone() {
            Some(Stop::Tokens(tokens)) => {
                (tokens.into_iter().map(|token| token as TokenId).collect(), Vec::new())
            }
            Some(Stop::Strings(strings)) => (Vec::new(), strings),
            other => return Err((422, format!("stop is {other:?}"))),
        };
        let request = SamplingRequest {
            prompt: prompt.clone(),
            max_tokens: params.max_tokens.unwrap(),
            temperature: params.temperature as f32,
            top_p: params.top_p as f32,
            top_k: params.top_k.max(0) as usize,
            stop_strings,
            stop_tokens,
            seed: params.seed.unwrap() as u64,
        };
        let sample = policy.sample(request).await.map_err(|error| (400, error.to_string()))?;
        let prompt_logprobs = match order.prompt_logprobs {
            Some(true) => {
                let scores = policy.score(&[prompt], 1.0).await.unwrap().remove(0);
                // Some leave the first out, others call it null.
                let first = (self.quirks.wire == Wire::Protobuf).then_some(None);
                Some(first.into_iter().chain(scores.into_iter().skip(1).map(Some)).collect())
            }
            _ => None,
        };
        let sequence = SampledSequence {
            stop_reason: if sample.stop == StopReason::Length { StopKind::Length } else { StopKind::Stop },
            tokens: sample.tokens.iter().map(|&token| i64::from(token)).collect(),
            logprobs: Some(sample.logprobs),
            sequence_id: String::new(),
        };
        let reply = SampleReply { sequences: vec![sequence], prompt_logprobs };
        let is_protobuf = self.quirks.wire == Wire::Protobuf;
        let bytes =
            if is_protobuf { reply.to_protobuf().unwrap() } else { serde_json::to_vec(&reply).unwrap() };
        Ok(self.promise(is_protobuf, bytes, None))
    }

    /// An adapter, behind a redirection.
    fn archive(&self, route: &str) -> Response {
        if let Some(run) = route.strip_suffix("/archive") {
            let place = format!("{}/api/v1/{run}/download", self.url);
            return Response::builder().status(302).header("location", place).body(Body::empty()).unwrap();
        }
        let mut tar = tar::Builder::new(Vec::new());
        let config = br#"{"peft_type": "LORA", "r": 4, "lora_alpha": 32, "target_modules": ["q_proj"]}"#;
        for (name, bytes) in [("adapter_config.json", &config[..]), ("adapter_model.safetensors", b"numbers")]
        {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, bytes).unwrap();
        }
        respond(200, "application/octet-stream", tar.into_inner().unwrap())
    }
}

fn fresh() -> BigramLearner {
    BigramLearner::new(Arc::new(tiny_text()), 512)
}

fn read<T: serde::de::DeserializeOwned>(body: &Bytes) -> Result<T, (u16, String)> {
    serde_json::from_slice(body).map_err(|error| (422, error.to_string()))
}

fn respond(status: u16, media: &str, body: Vec<u8>) -> Response {
    Response::builder().status(status).header("content-type", media).body(Body::from(body)).unwrap()
}

/// A row as the learner behind the server takes it.
fn example(input: &ForwardBackwardInput, datum: &Datum) -> Result<(Example, Objective), (u16, String)> {
    let Some(Tensor::Integers(targets)) = datum.loss_fn_inputs.get("target_tokens") else {
        return Err((422, "no `target_tokens`".into()));
    };
    let read: Vec<TokenId> = datum.model_input.tokens().map(|token| token as TokenId).collect();
    assert_eq!(
        read[1..],
        targets[..targets.len() - 1].iter().map(|&token| token as TokenId).collect::<Vec<_>>()
    );
    let numbers = |name: &str| match datum.loss_fn_inputs.get(name) {
        Some(tensor) => std::iter::once(0.0).chain(tensor.to_floats()).collect(),
        None => Vec::new(),
    };
    let setting = |name: &str| input.loss_fn_config.as_ref().and_then(|all| all.get(name)).copied();
    let ones: Vec<f32> = (0..=targets.len()).map(|at| f32::from(at > 0)).collect();
    let (objective, weights) = match input.loss_fn.as_str() {
        "cross_entropy" => (Objective::CrossEntropy, numbers("weights")),
        "importance_sampling" => (Objective::ImportanceSampling, ones),
        "ppo" => {
            let low = 1.0 - setting("clip_low_threshold").unwrap_or(0.8);
            let high = setting("clip_high_threshold").unwrap_or(1.2) - 1.0;
            (Objective::ClippedSurrogate { low: low as f32, high: high as f32 }, ones)
        }
        other => return Err((422, format!("loss_fn: {other}"))),
    };
    let known = ["target_tokens", "weights", "advantages", "logprobs"];
    assert!(datum.loss_fn_inputs.keys().all(|name| known.contains(&name.as_str())));
    let tokens = read.iter().copied().chain(targets.last().map(|&token| token as TokenId)).collect();
    let row = Example {
        tokens,
        weights,
        advantages: numbers("advantages"),
        old_logprobs: numbers("logprobs"),
        reference_logprobs: Vec::new(),
    };
    Ok((row, objective))
}
