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
