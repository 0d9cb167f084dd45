//! A loopback server: it answers as a test says, and tells the test what was asked.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use serde_json::Value;
use tokio::net::TcpListener;

/// What came to the server.
pub(crate) struct Heard {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// What stands behind the `?`, as it came.
    pub(crate) parameters: String,
    pub(crate) headers: HeaderMap,
    /// The body as JSON; null where it is none.
    pub(crate) body: Value,
}

impl Heard {
    /// Everything that was said, so that a server can echo it.
    pub(crate) fn all(&self) -> String {
        format!("{} {} {:?} {}", self.path, self.parameters, self.headers, self.body)
    }
}

/// Serves `answer` on a free port of the loopback interface; gives the address.
pub(crate) async fn serve<F>(answer: F) -> String
where
    F: Fn(Heard) -> Response + Clone + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let reply = move |request: Request| {
        let answer = answer.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1 << 22).await.unwrap_or_default();
            answer(Heard {
                method: parts.method,
                path: parts.uri.path().to_owned(),
                parameters: parts.uri.query().unwrap_or_default().to_owned(),
                headers: parts.headers,
                body: serde_json::from_slice(&body).unwrap_or_default(),
            })
        }
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(reply)).await });
    format!("http://{address}")
}

/// The front of `reply`, sent as if the whole were to come.
pub(crate) fn half(reply: &str) -> Response {
    let mut response = Response::new(Body::from(reply[..reply.len() / 2].to_owned()));
    response.headers_mut().insert("content-length", (reply.len() + 1).into());
    response
}
