//! A server that says what it is told to: for each route, one answer after another, the last again and again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use tokio::net::TcpListener;

/// A status, a media type and a body.
pub(crate) type Answer = (u16, &'static str, Vec<u8>);

/// An answer in JSON.
pub(crate) fn json(status: u16, body: &str) -> Answer {
    (status, "application/json", body.as_bytes().to_vec())
}

/// The server.
#[derive(Clone)]
pub(crate) struct Saying {
    pub(crate) url: String,
    answers: Arc<Mutex<HashMap<String, Vec<Answer>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Saying {
    /// One that opens sessions, makes models and promises results. A result is what `retrieve_future` says; the first of them is
    /// the model's.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let saying = Self { url, answers: Arc::default(), asked: Arc::default() };
        for (route, body) in [
            ("get_server_capabilities", r#"{"supported_models":[]}"#),
            ("create_session", r#"{"session_id":"session_1","unknown":{"more":1}}"#),
            ("session_heartbeat", "{}"),
            ("create_sampling_session", r#"{"sampling_session_id":"sampling_1"}"#),
        ] {
            saying.say(route, &[json(200, body)]);
        }
        for route in ["create_model", "forward_backward", "forward", "optim_step", "asample", "unload_model"]
        {
            saying.say(route, &[json(200, r#"{"request_id":"1"}"#)]);
        }
        saying.say("retrieve_future", &[json(200, r#"{"model_id":"model_1","lora_config":null}"#)]);
        let served = saying.clone();
        let app = Router::new().fallback(move |request: Request| {
            let saying = served.clone();
            async move { saying.answer(request).await }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        saying
    }

    /// What `route` answers from now on.
    pub(crate) fn say(&self, route: &str, answers: &[Answer]) {
        let mut all = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(route.to_owned(), answers.to_vec());
    }

    /// How often `route` was asked.
    pub(crate) fn count(&self, route: &str) -> usize {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .filter(|asked| *asked == route)
            .count()
    }

    async fn answer(&self, request: Request) -> Response {
        let route = request.uri().path().trim_start_matches("/api/v1/").to_owned();
        let _ = to_bytes(request.into_body(), 1 << 26).await.unwrap();
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(route.clone());
        let mut all = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (status, media, body) = match all.get_mut(&route) {
            Some(answers) if answers.len() > 1 => answers.remove(0),
            Some(answers) => answers[0].clone(),
            None => json(404, r#"{"detail":"Not Found"}"#),
        };
        Response::builder().status(status).header("content-type", media).body(Body::from(body)).unwrap()
    }
}
