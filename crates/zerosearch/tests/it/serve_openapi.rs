//! The OpenAPI documents of the servers, held against what is served.

use serde_json::{Value, json};

use crate::program::Desk;
use crate::serving::{CORPUS, Served};

/// A server's own description, and how to hold values against it.
struct Described<'a> {
    server: &'a Served,
    document: Value,
}

impl<'a> Described<'a> {
    fn by(server: &'a Served) -> Self {
        Self { server, document: server.json(server.get("/openapi.json")) }
    }

    /// Every method and path that the document tells of.
    fn operations(&self) -> Vec<String> {
        let paths = self.document["paths"].as_object().unwrap();
        let of = |(path, methods): (&String, &Value)| {
            methods.as_object().unwrap().keys().map(|method| format!("{method} {path}")).collect::<Vec<_>>()
        };
        paths.iter().flat_map(of).collect()
    }

    /// The fields of the schema `name`, its parts included.
    fn properties(&self, name: &str) -> Vec<String> {
        let schema = &self.document["components"]["schemas"][name];
        let parts = schema["allOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
        let names = |part: &Value| match part["$ref"].as_str() {
            Some(other) => self.properties(other.rsplit('/').next().unwrap()),
            None => part["properties"].as_object().unwrap().keys().cloned().collect(),
        };
        parts.iter().flat_map(names).collect()
    }

    /// Fails unless `value` is what the schema at `pointer` says.
    #[track_caller]
    fn holds(&self, pointer: &str, value: &Value) {
        let schema = self.document.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}"));
        let whole = json!({"allOf": [schema], "components": self.document["components"]});
        let validator = jsonschema::draft202012::new(&whole).unwrap();
        let problems: Vec<String> = validator.iter_errors(value).map(|why| why.to_string()).collect();
        assert!(problems.is_empty(), "{value}: {problems:?}");
    }

    /// Fails unless `body` fits what `path` takes, and the answer with `status` what it gives.
    #[track_caller]
    fn post(&self, path: &str, body: &Value, status: u16) {
        let at = format!("/paths/{}/post", path.replace('/', "~1"));
        if status == 200 {
            self.holds(&format!("{at}/requestBody/content/application~1json/schema"), body);
        }
        let (seen, text) = self.server.text(self.server.post(path, body));
        assert_eq!(seen.as_u16(), status, "{body}: {text}");
        let key = if status == 200 { "200".to_owned() } else { format!("{}XX", status / 100) };
        let reply = serde_json::from_str(&text).unwrap();
        self.holds(&format!("{at}/responses/{key}/content/application~1json/schema"), &reply);
    }

    #[track_caller]
    fn get(&self, path: &str) {
        let at = format!("/paths/{}/get", path.split('?').next().unwrap().replace('/', "~1"));
        let reply = self.server.json(self.server.get(path));
        self.holds(&format!("{at}/responses/200/content/application~1json/schema"), &reply);
    }
}

#[test]
fn a_search_server_is_as_it_describes_itself() {
    let desk = Desk::new();
    desk.write("corpus.jsonl", CORPUS.as_str());
    let (real, simulated) = (
        Served::start(&desk, "search --engine bm25 --corpus corpus.jsonl"),
        Served::start(&desk, "search --engine scripted"),
    );
    let expected =
        ["get /health", "get /metrics", "get /openapi.json", "get /search", "post /retrieve", "post /search"];
    for server in [&real, &simulated] {
        let described = Described::by(server);
        assert!(described.document["openapi"].as_str().unwrap().starts_with("3.1"));
        let mut operations = described.operations();
        operations.sort();
        assert_eq!(operations, expected);
        described.get("/health");
        described.get("/openapi.json");
        for body in
            [json!({"query": 7}), json!({"unknown": "a"}), json!({"query": "a", "k": 100_000, "noise": 2})]
        {
            described.post("/search", &body, 400);
        }
        for body in [json!({"queries": "a"}), json!({}), json!({"query": "a", "topk": 1, "top_k": 1})] {
            described.post("/retrieve", &body, 400);
        }
    }
    let described = Described::by(&real);
    described.post("/search", &json!({"query": "novel"}), 200);
    described.get("/search?query=novel&k=1");
    described.post("/retrieve", &json!({"query": "novel", "top_k": 2}), 200);
    for scores in [true, false] {
        described.post(
            "/retrieve",
            &json!({"queries": ["novel", "zzz"], "topk": null, "return_scores": scores}),
            200,
        );
    }
    let described = Described::by(&simulated);
    let golds = json!([["a"], ["b"]]);
    described.post(
        "/search",
        &json!({"query": "novel", "labels": ["noisy", "useful"], "golden_answers": ["a"]}),
        200,
    );
    let batch = json!({"queries": ["a", "b"], "topk": 2, "labels": ["useful", ["noisy", "useful"]], "golden_answers": golds, "question": "?"});
    described.post("/retrieve", &batch, 200);
}

/// Every parameter, replies whole and in a stream.
#[test]
fn a_policy_server_is_as_it_describes_itself() {
    let server = Served::start(&Desk::new(), "model --model scripted --name org/tiny");
    let described = Described::by(&server);
    let mut operations = described.operations();
    operations.sort();
    let expected = [
        "get /health",
        "get /metrics",
        "get /openapi.json",
        "get /v1/models",
        "get /v1/models/{name}",
        "post /v1/chat/completions",
        "post /v1/completions",
    ];
    assert_eq!(operations, expected);
    for path in ["/health", "/openapi.json", "/v1/models"] {
        described.get(path);
    }
    let card = server.json(server.get("/v1/models/org/tiny"));
    described.holds("/paths/~1v1~1models~1{name}/get/responses/200/content/application~1json/schema", &card);
    let both = json!({"model": "org/tiny", "max_tokens": 30, "n": 2, "seed": 3, "stop": ["</search>"], "stop_token_ids": [7],
        "temperature": 0.5, "top_p": 0.9, "top_k": 5, "return_token_ids": true, "return_tokens_as_token_ids": true,
        "include_stop_str_in_output": true, "skip_special_tokens": false, "ignore_eos": true});
    let messages = json!([{"role": "user", "content": [{"type": "text", "text": "who?"}], "name": "me"}]);
    let asked = [
        ("/v1/completions", json!({"prompt": ["who?", "where?"], "logprobs": 1, "echo": true})),
        ("/v1/chat/completions", json!({"messages": messages, "logprobs": true, "top_logprobs": 0})),
    ];
    for (path, own) in asked {
        described.post(path, &own, 200);
        let mut body = own.clone();
        body.as_object_mut().unwrap().extend(both.as_object().unwrap().clone());
        described.post(path, &body, 200);
        described.post(path, &json!({"n": "two"}), 400);
        body["stream"] = true.into();
        body["stream_options"] = json!({"include_usage": true});
        let at = format!("/paths/{}/post", path.replace('/', "~1"));
        described.holds(&format!("{at}/requestBody/content/application~1json/schema"), &body);
        let (_, text) = server.text(server.post(path, &body));
        let chunks: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert!(chunks.len() > 4, "{text}");
        for chunk in chunks.iter().filter(|chunk| **chunk != "[DONE]") {
            let chunk = serde_json::from_str(chunk).unwrap();
            described.holds(&format!("{at}/responses/200/content/text~1event-stream/schema"), &chunk);
        }
    }
}

/// Bodies are the Tinker API's own: the document names the routes, and every route that it names is there.
#[test]
fn a_learner_server_has_the_routes_that_it_names() {
    let server = Served::start(&Desk::new(), "tinker --model bigram");
    let described = Described::by(&server);
    let operations = described.operations();
    assert_eq!(operations.len(), 31, "{operations:?}");
    for operation in operations {
        let (method, path) = operation.split_once(' ').unwrap();
        let path = path.replace("{run}", "none").replace("{which}", "none").replace("{id}", "none");
        let answer = match method {
            "get" => server.text(server.get(&path)),
            "post" => server.text(server.post(&path, &json!({}))),
            _ => continue,
        };
        assert!(!answer.1.contains("no_such_route") && answer.0 != 405, "{operation}: {}", answer.1);
    }
    for path in ["/health", "/openapi.json", "/api/v1/healthz", "/api/v1/get_server_capabilities"] {
        described.get(path);
    }
    described.post("/api/v1/create_session", &json!({}), 200);
    described.post("/api/v1/create_model", &json!({}), 400);
}

/// A parameter that is described and not known would be refused as such, whatever it says.
#[test]
fn every_parameter_of_a_policy_server_that_is_described_is_read() {
    let server = Served::start(&Desk::new(), "model --model scripted");
    let described = Described::by(&server);
    for (path, schema, own) in [
        ("/v1/completions", "CompletionRequest", json!({"prompt": "a"})),
        ("/v1/chat/completions", "ChatRequest", json!({"messages": [{"role": "user", "content": "a"}]})),
    ] {
        let names = described.properties(schema);
        assert!(names.len() > 17, "{names:?}");
        for name in names {
            let mut body = own.clone();
            body[&name] = json!({"no": "such value"});
            let (status, text) = server.text(server.post(path, &body));
            let told: Value = serde_json::from_str(&text).unwrap();
            assert_eq!((status.as_u16(), &told["error"]["param"]), (400, &json!(name)), "{text}");
            assert_ne!(told["error"]["code"], "unknown_parameter", "{text}");
        }
    }
}
