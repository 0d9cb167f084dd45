//! `serve search`: an engine in three dialects, to whom, how much of it, and what is said of it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::program::{Desk, stderr};
use crate::server::{Manner, Simulator};
use crate::serving::{CORPUS, Served};

fn bm25(more: &str) -> Served {
    let desk = Desk::new();
    desk.write("corpus.jsonl", CORPUS.as_str());
    Served::start(&desk, format!("search --engine bm25 --corpus corpus.jsonl {more}").trim())
}

fn scripted(more: &str) -> Served {
    Served::start(&Desk::new(), format!("search --engine scripted {more}").trim())
}

fn emma() -> Value {
    let text = "Emma is a novel by Jane Austen.";
    json!({"id": "7", "title": "Emma", "text": text, "contents": format!("\"Emma\"\n{text}")})
}

#[test]
fn an_engine_answers_in_all_three_dialects() {
    let server = bm25("--k 1");
    let ask = |body: Value| server.json(server.post("/retrieve", &body));
    let scored = ask(json!({"queries": ["Emma", "tea", "\n", "zzz"], "topk": 2, "return_scores": true}));
    let lists = scored["result"].as_array().unwrap();
    assert_eq!(lists.iter().map(|list| list.as_array().unwrap().len()).collect::<Vec<_>>(), [1, 1, 0, 0]);
    assert_eq!(lists[0][0]["document"], emma());
    assert!(lists[0][0]["score"].as_f64().unwrap() > 0.0);
    for topk in [json!(null), json!(0)] {
        let bare = ask(json!({"queries": ["novel"], "topk": topk, "return_scores": false}));
        assert_eq!(bare["result"][0].as_array().unwrap().len(), 1, "the server's default");
        assert_eq!(bare["result"][0][0]["title"], "Emma");
    }
    let single = ask(json!({"query": "Emma", "topk": 3, "return_scores": true}));
    assert_eq!(single["result"][0][0]["document"], emma());
    let texts = ask(json!({"query": "novel", "top_k": 2}));
    assert_eq!(texts.as_array().unwrap().len(), 2);
    assert_eq!(texts[0]["text"], "Emma is a novel by Jane Austen.");
}

#[test]
fn all_that_is_known_of_a_document_is_told_and_counted() {
    let server = bm25("");
    let body =
        json!({"query": "Emma", "k": 1, "question": "Who wrote Emma?", "golden_answers": ["Jane Austen"]});
    let told = server.json(server.post("/search", &body));
    assert_eq!((&told["engine"], &told["documents"][0]["provenance"]["id"]), (&json!("bm25"), &json!("7")));
    let same = server.json(server.get("/search?query=Emma&k=1&question=Who%20wrote%20Emma%3F"));
    assert_eq!(same, told, "the same request gets the same answer");
    server.refused(server.get("/search?query=Emma&lable=noisy"), 400);
    assert_eq!(server.json(server.get("/health")), json!({"status": "ok", "engine": "bm25"}));
    assert_eq!(server.figure("zerosearch_requests_total{route=\"/search\",status=\"200\"}"), 2.0);
    assert_eq!(server.figure("zerosearch_requests_total{route=\"/search\",status=\"400\"}"), 1.0);
    assert_eq!(server.figure("zerosearch_documents_total{label=\"none\"}"), 2.0);
    assert_eq!(server.figure("zerosearch_request_seconds_count{route=\"/search\"}"), 3.0);
    assert_eq!(server.figure("zerosearch_requests_in_flight"), 1.0, "this very request");
}

/// The scripted engine's useful documents state a golden answer, its noisy ones never do.
#[test]
fn a_simulated_engine_writes_what_a_request_wishes_for() {
    let server = scripted("");
    let ask = |more: Value| {
        let mut body = json!({"query": "capital of France", "golden_answers": ["Paris"], "k": 4});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let told = server.json(server.post("/search", &body));
        let documents = told["documents"].as_array().unwrap().clone();
        for document in &documents {
            let useful = document["provenance"]["label"] == "useful";
            assert_eq!(document["text"].as_str().unwrap().contains("Paris"), useful, "{document}");
        }
        (documents.iter().map(|it| it["provenance"]["label"] == "noisy").collect::<Vec<_>>(), told)
    };
    assert_eq!(ask(json!({"label": "useful"})).0, [false; 4]);
    assert_eq!(ask(json!({"label": "noisy"})).0, [true; 4]);
    assert_eq!(ask(json!({"labels": ["noisy", "useful", "noisy", "useful"]})).0, [true, false, true, false]);
    let noisy = (0..200).filter(|seed| ask(json!({"noise": 0.25, "seed": seed})).0[0]).count();
    // 200 coins of one in four: 50, give or take four standard deviations of 6.1.
    assert!((26..=74).contains(&noisy), "{noisy}");
    let (_, first) = ask(json!({"noise": 0.5}));
    assert_eq!(ask(json!({"noise": 0.5})).1, first);
    assert_eq!(
        ask(json!({"noise": 0.5, "seed": first["seed"]})).1,
        first,
        "the seed that is told repeats it"
    );
    let hits = server.figure("zerosearch_simulator_events_total{event=\"useful_hits\"}");
    assert_eq!(hits, server.figure("zerosearch_simulator_events_total{event=\"useful_calls\"}"));
    assert!(hits > 100.0 && server.figure("zerosearch_simulator_events_total{event=\"noisy_leaks\"}") == 0.0);
    assert!(server.figure("zerosearch_documents_total{label=\"useful\"}") > 400.0);
}

#[test]
fn a_trainer_of_others_brings_a_curriculum_in_one_batch() {
    let server = scripted("");
    let body = json!({
        "queries": ["capital of France", "capital of Italy"], "topk": 2, "return_scores": true,
        "labels": ["useful", "noisy"], "question": ["Where is the Louvre?", "Where is the Forum?"],
        "golden_answers": [["Paris"], ["Rome"]], "seed": 5,
    });
    let told = server.json(server.post("/retrieve", &body));
    let contents = |query: usize| told["result"][query][0]["document"]["contents"].as_str().unwrap();
    assert!(contents(0).starts_with("\"\"\n") && contents(0).contains("Paris"), "{told}");
    assert!(!contents(1).contains("Rome"), "{told}");
    assert_eq!(
        (&told["result"][0][0]["score"], &told["result"][1][1]["document"]["label"]),
        (&Value::Null, &json!("noisy"))
    );
}

#[test]
fn what_a_simulator_cannot_know_is_refused_and_not_made_up() {
    let server = scripted("");
    let refused = |body: Value| server.refused(server.post("/retrieve", &body), 400);
    assert!(refused(json!({"query": "a", "topk": 3})).contains("--noise"));
    assert!(refused(json!({"query": "a", "label": "useful"})).contains("`golden_answers`"));
    assert!(
        refused(json!({"query": "a", "noise": 0.99, "golden_answers": [" "]})).contains("`golden_answers`")
    );
    assert!(refused(json!({"query": "a", "label": "noisy", "noise": 0.5})).contains("`label` and `noise`"));
    assert!(refused(json!({"query": "a", "noise": 1.5})).contains("between 0 and 1"));
    assert!(refused(json!({"query": "a", "label": "nosy"})).contains("unknown variant `nosy`"));
    assert!(refused(json!({"query": "a", "lable": "noisy"})).contains("unknown field `lable`"));
    assert!(
        refused(json!({"query": "a", "labels": ["noisy"], "topk": 2})).contains("1 labels for 2 documents")
    );
    server.json(server.post("/retrieve", &json!({"query": "a", "noise": 1.0})));
    let noisy = scripted("--noise 1");
    let plain = json!({"queries": ["capital of France"], "topk": 3, "return_scores": true});
    assert_eq!(noisy.json(noisy.post("/retrieve", &plain))["result"][0].as_array().unwrap().len(), 3);
    let real = bm25("");
    let told = real.refused(real.post("/retrieve", &json!({"query": "a", "noise": 0.5})), 400);
    assert!(told.contains("bm25 finds what there is"), "{told}");
}

#[test]
fn an_engine_that_fails_is_told_as_a_failure() {
    let simulator = Simulator::with(Manner::WellUntil(1, crate::server::Bad::Down));
    let urls = format!("simulator.urls=[\"{}\"]", simulator.url());
    let words = format!(
        "search --engine simulated --set {urls} --set simulator.model_name=sim --set simulator.retries=0"
    );
    let server = Served::start(&Desk::new(), &words);
    let told = server.refused(server.post("/retrieve", &json!({"query": "a", "label": "noisy"})), 502);
    assert!(told.contains("refused with status 500"), "{told}");
    assert_eq!(server.figure("zerosearch_queries_total{outcome=\"failed\"}"), 1.0);
    assert_eq!(server.figure("zerosearch_simulator_events_total{event=\"failures\"}"), 1.0);
}

#[test]
fn nobody_but_this_machine_gets_in_without_the_token() {
    let desk = Desk::new();
    let told = desk.fail(&["serve", "search", "--engine", "scripted", "--host", "0.0.0.0", "--port", "0"]);
    assert!(told.contains("--token-env"), "{told}");
    let words = ["serve", "search", "--engine", "scripted", "--token-env", "NO_SUCH_TOKEN", "--port", "0"];
    assert!(desk.fail(&words).contains("NO_SUCH_TOKEN"));
    let words = "search --engine scripted --host 0.0.0.0 --noise 1 --token-env SEARCH_TOKEN";
    let server =
        Served::with_environment(&desk, words, &[("SEARCH_TOKEN", "open sesame".replace(' ', "-").as_str())]);
    let ask = || server.get("/search?query=a").header("connection", "close");
    for wrong in [ask(), ask().bearer_auth("open"), ask().basic_auth("open-sesame", None::<&str>)] {
        let told = server.refused(wrong, 401);
        assert!(told.contains("Authorization: Bearer"), "{told}");
    }
    server.json(ask().bearer_auth("open-sesame"));
    server.json(server.get("/health"));
    server.refused(server.get("/metrics"), 401);
}

#[test]
fn what_is_too_much_is_refused_and_told_when_to_come_back() {
    let server = scripted("--noise 1 --max-queries 2 --max-body-mib 1 --max-per-second 5");
    let many = server.post("/retrieve", &json!({"queries": ["a", "b", "c"]}));
    assert!(server.refused(many, 413).contains("takes 2 in one request"));
    let long = server.post("/search", &json!({"query": "a".repeat(2 << 20)}));
    let told = server.refused(long, 413);
    assert!(told.contains("longer than this server reads, which is 1 MiB"), "{told}");
    assert!(told.contains("--max-body-mib"), "{told}");
    let (mut early, mut told) = (0, String::new());
    server.block_on(async {
        for _ in 0..30 {
            let response = server.get("/search?query=a").send().await.unwrap();
            if response.status() == 429 {
                assert!(response.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
                (early, told) = (early + 1, response.text().await.unwrap());
            }
        }
    });
    assert!(early > 0 && told.contains("5 requests a second"), "{early}: {told}");
    server.json(server.get("/health"));
}

#[test]
fn a_client_that_asks_too_often_takes_nothing_from_others() {
    let server = scripted("--noise 1 --max-per-second 1");
    let ask = |token: &str| server.get("/search?query=a").bearer_auth(token);
    server.json(ask("one"));
    while server.text(ask("one")).0 != 429 {}
    server.json(ask("another"));
}

/// Neither a connection without a word nor one with half a head is held for ever.
#[test]
fn a_client_that_does_not_finish_its_head_is_hung_up_on() {
    let server = scripted("--noise 1 --head-limit-s 0.2");
    let address = server.url().strip_prefix("http://").unwrap().to_owned();
    for begun in ["", "GET /search?query=a HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(begun.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap_or_else(|why| panic!("after {begun:?}: {why}"));
        assert_eq!(reply, "");
    }
    server.json(server.get("/search?query=a"));
}

/// The simulator's server keeps every call waiting for a minute.
fn slow(more: &str) -> (Simulator, Served) {
    let simulator = Simulator::with(Manner::WellUntil(1, crate::server::Bad::Silent));
    let urls = format!("simulator.urls=[\"{}\"]", simulator.url());
    let words =
        format!("search --engine simulated --set {urls} --set simulator.model_name=sim --noise 1 {more}");
    let server = Served::start(&Desk::new(), &words);
    (simulator, server)
}

#[test]
fn an_answer_that_takes_too_long_is_given_up() {
    let (_simulator, server) = slow("--time-limit-s 0.3");
    let told = server.refused(server.get("/search?query=a"), 504);
    assert!(told.contains("within 0.3 s"), "{told}");
}

#[test]
fn a_full_server_says_so_and_one_that_hung_up_is_forgotten() {
    let (_simulator, server) = slow("--max-in-flight 1");
    let path = "/search?query=a";
    server.block_on(async {
        let waiting = tokio::spawn(server.get(path).send());
        loop {
            let (status, told) = {
                let response = server.get(path).timeout(Duration::from_millis(200)).send().await;
                // Whoever comes first waits, the other is turned away.
                let Ok(response) = response else { continue };
                (response.status(), response.text().await.unwrap())
            };
            assert_eq!(status, 503, "{told}");
            assert!(told.contains("answers 1 requests at once"), "{told}");
            break;
        }
        waiting.abort();
    });
    while server.figure("zerosearch_requests_total{route=\"/search\",status=\"499\"}") == 0.0 {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A request half of which is sent before the stop and half after it is answered; nobody else comes in any more.
#[test]
fn what_is_under_way_at_a_stop_is_answered() {
    let mut server = scripted("--noise 1");
    let address = server.url().strip_prefix("http://").unwrap().to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    let body = json!({"query": "a", "top_k": 1}).to_string();
    let head = format!(
        "POST /retrieve HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    while server.figure("zerosearch_requests_in_flight") < 2.0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    server.ask_to_end();
    while TcpStream::connect(&address).is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
    stream.write_all(body.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("\"text\""), "{reply}");
    assert!(server.wait().success());
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let (_simulator, mut server) = slow("--grace-s 0.2");
    let address = server.url().strip_prefix("http://").unwrap().to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.write_all(b"GET /search?query=a HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    while server.figure("zerosearch_requests_in_flight") < 2.0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    server.ask_to_end();
    assert!(server.wait().success());
}

#[test]
fn many_clients_at_once_lose_nothing() {
    let server = scripted("");
    let answers: Vec<bool> = server.block_on(async {
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..100_u32 {
            let golds = json!([format!("Paris{client}")]);
            let body = json!({"queries": ["capital", "river"], "label": "useful", "golden_answers": golds});
            let requests: Vec<_> = (0..3).map(|_| server.post("/retrieve", &body)).collect();
            clients.spawn(async move {
                let mut own = true;
                for request in requests {
                    let told = request.send().await.unwrap().text().await.unwrap();
                    own &= told.matches(&format!("Paris{client}.")).count()
                        + told.matches(&format!("Paris{client} ")).count()
                        > 0;
                }
                own
            });
        }
        clients.join_all().await
    });
    assert_eq!((answers.len(), answers.iter().all(|own| *own)), (100, true));
    assert_eq!(server.figure("zerosearch_requests_total{route=\"/retrieve\",status=\"200\"}"), 300.0);
}

#[test]
fn a_load_is_measured_and_what_is_turned_away_is_not_lost() {
    let measure = |server: &Served| {
        let words = [
            "bench",
            "load",
            "--url",
            server.url(),
            "--clients",
            "20",
            "--requests",
            "5",
            "--k",
            "2",
            "--json",
        ];
        serde_json::from_str::<Value>(&Desk::new().succeed(&words)).unwrap()
    };
    let told = measure(&scripted("--noise 1"));
    let expected = (&json!(100), &json!(0), &json!(0), &json!(200));
    assert_eq!((&told["requests"], &told["lost"], &told["turned_away"], &told["documents"]), expected);
    assert!(told["p50_ms"].as_f64().unwrap() <= told["p99_ms"].as_f64().unwrap());
    let told = measure(&scripted("--noise 1 --max-per-second 2"));
    assert!(told["turned_away"].as_u64().unwrap() > 0 && told["lost"] == 0, "{told}");
    let nobody = Desk::new().fail(&["bench", "load", "--url", "http://127.0.0.1:9", "--patience-s", "1"]);
    assert!(nobody.contains("does not answer as a search server"), "{nobody}");
}

#[test]
fn a_load_that_is_refused_is_told_in_the_words_of_the_server() {
    let desk = Desk::new();
    let token = ("SEARCH_TOKEN", "open-sesame");
    let server = Served::with_environment(
        &desk,
        "search --engine scripted --noise 1 --token-env SEARCH_TOKEN",
        &[token],
    );
    let route = format!("{}/retrieve/", server.url());
    let load = |more: &[&str]| {
        let words = ["bench", "load", "--clients", "2", "--requests", "2"];
        desk.command(&[&words, more].concat()).env(token.0, token.1).output().unwrap()
    };
    let shown = load(&["--url", &route, "--token-env", "SEARCH_TOKEN", "--json"]);
    assert!(shown.status.success(), "{}", stderr(&shown));
    assert_eq!(serde_json::from_slice::<Value>(&shown.stdout).unwrap()["lost"], 0);
    let elsewhere = format!("{}/v2", server.url());
    let bare = server.url().strip_prefix("http://").unwrap();
    for (more, told) in [
        (&["--url", server.url()][..], &["401", "asks for a token", "--token-env"][..]),
        (&["--url", &elsewhere, "--token-env", "SEARCH_TOKEN"], &["404", "/openapi.json", "POST /retrieve"]),
        (&["--url", &route, "--token-env", "SEARCH_TOKEN", "--k", "999"], &["400", "999"]),
        (&["--url", bare], &["write http:// before it"]),
    ] {
        let report = stderr(&load(more));
        assert!(told.iter().all(|words| report.contains(words)), "{more:?}: {report}");
    }
}

#[test]
fn what_the_server_does_not_answer_is_told_with_where_to_read_on() {
    let server = scripted("--noise 1");
    let told = server.refused(server.get("/nowhere"), 404);
    assert!(
        told.contains("GET /openapi.json") && told.contains("`zerosearch serve search --help`"),
        "{told}"
    );
    let told = server.refused(server.get("/retrieve"), 405);
    assert!(told.contains("does not answer GET") && told.contains("/openapi.json"), "{told}");
    let negative = server.post("/retrieve", &json!({"queries": ["a"], "topk": -1}));
    let told = server.refused(negative, 400);
    assert!(told.contains("topk") && told.contains("expected a whole number, 0 or more"), "{told}");
    let outcome = Desk::new().run(&["serve", "search", "--engine", "scripted", "--host", "localhost"]);
    assert!(stderr(&outcome).contains("127.0.0.1"), "{}", stderr(&outcome));
}
