//! SerpAPI, serpapi.com: Google's organic results for a GET, as <https://serpapi.com/search-api> and
//! <https://serpapi.com/organic-results> describe.
//!
//! A query without results is a success (status 200, `search_metadata.status` "Success") with an `error` that says so,
//! <https://serpapi.com/blog/fix-serpapi-errors-guide/>; other errors on 200 are failures that pass.

use serde_json::Value;

use super::service::{self, Asked, Found, Names, Service, Wording};
use crate::http::KeyPlace;

pub(super) const SERVICE: Service = Service {
    name: "serpapi",
    host: "https://serpapi.com",
    path: "/search.json",
    key_variables: &["SER_API_KEY", "SERPAPI_API_KEY"],
    key_place: KeyPlace::Parameter("api_key"),
    most_documents: 100,
    forbidden: "",
    ask,
    read,
};

/// How an error begins that is none.
const NO_RESULTS: &str = "Google hasn't returned any results";

fn ask(asked: &Asked<'_>) -> Wording {
    let number = asked.k.to_string();
    Wording::Parameters(vec![("engine", "google".into()), ("q", asked.text.into()), ("num", number)])
}

fn read(reply: &[u8]) -> Result<Vec<Found>, String> {
    let reply = service::json(reply)?;
    if let Some(list) = reply.get("organic_results") {
        return service::results(list, &Names { title: "title", text: "snippet", link: "link" });
    }
    let text = |pointer: &str| reply.pointer(pointer).and_then(Value::as_str);
    match (text("/error"), text("/search_metadata/status")) {
        (Some(error), _) if error.starts_with(NO_RESULTS) => Ok(Vec::new()),
        (Some(error), _) => Err(format!("an error: {error}")),
        (None, Some("Success")) => Ok(Vec::new()),
        (None, _) => Err("a reply without `organic_results`".into()),
    }
}
