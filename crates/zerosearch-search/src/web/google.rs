//! Google's Programmable Search Engine (Custom Search JSON API) for a GET, as
//! <https://developers.google.com/custom-search/v1/reference/rest/v1/cse/list> describes.
//!
//! A query without results has no `items`. A wrong key is refused with 400, a spent quota with 429.

use super::service::{self, Asked, Found, Names, Service, Wording};
use crate::http::KeyPlace;

pub(super) const SERVICE: Service = Service {
    name: "google-cse",
    host: "https://www.googleapis.com",
    path: "/customsearch/v1",
    key_variables: &["GOOGLE_API_KEY"],
    key_place: KeyPlace::Parameter("key"),
    most_documents: 10,
    forbidden: "is the Custom Search API enabled for the key's project?",
    ask,
    read,
};

fn ask(asked: &Asked<'_>) -> Wording {
    Wording::Parameters(vec![
        ("q", asked.text.into()),
        ("cx", asked.cse_id.into()),
        ("num", asked.k.to_string()),
    ])
}

fn read(reply: &[u8]) -> Result<Vec<Found>, String> {
    let reply = service::json(reply)?;
    if reply.get("kind").and_then(serde_json::Value::as_str) != Some("customsearch#search") {
        return Err("a reply whose `kind` is not `customsearch#search`".into());
    }
    let Some(list) = reply.get("items") else { return Ok(Vec::new()) };
    service::results(list, &Names { title: "title", text: "snippet", link: "link" })
}
