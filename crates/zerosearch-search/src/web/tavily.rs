//! Tavily: passages of pages, chosen for language models, for a POST, as
//! <https://docs.tavily.com/documentation/api-reference/endpoint/search> describes.
//!
//! `results` is there also when it is empty. A wrong key is refused with 401, spent credits with 432 or 433.

use serde_json::json;

use super::service::{self, Asked, Found, Names, Service, Wording};
use crate::http::KeyPlace;

pub(super) const SERVICE: Service = Service {
    name: "tavily",
    host: "https://api.tavily.com",
    path: "/search",
    key_variables: &["TAVILY_API_KEY"],
    key_place: KeyPlace::Bearer,
    most_documents: 20,
    forbidden: "",
    ask,
    read,
};

fn ask(asked: &Asked<'_>) -> Wording {
    Wording::Body(json!({ "query": asked.text, "max_results": asked.k, "search_depth": "basic" }))
}

fn read(reply: &[u8]) -> Result<Vec<Found>, String> {
    let reply = service::json(reply)?;
    let list = reply.get("results").ok_or("a reply without `results`")?;
    service::results(list, &Names { title: "title", text: "content", link: "url" })
}
