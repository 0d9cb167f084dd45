//! Serper, serper.dev: Google's organic results for a POST, as the playground at <https://serper.dev/playground> shows.
//!
//! A query without results has an empty `organic`; a wrong key is refused with 403, spent credits with 400.

use serde_json::json;

use super::service::{self, Asked, Found, Names, Service, Wording};
use crate::http::KeyPlace;

pub(super) const SERVICE: Service = Service {
    name: "serper",
    host: "https://google.serper.dev",
    path: "/search",
    key_variables: &["SERPER_API_KEY"],
    key_place: KeyPlace::Header("x-api-key"),
    most_documents: 100,
    forbidden: "",
    ask,
    read,
};

fn ask(asked: &Asked<'_>) -> Wording {
    Wording::Body(json!({ "q": asked.text, "num": asked.k }))
}

fn read(reply: &[u8]) -> Result<Vec<Found>, String> {
    let reply = service::json(reply)?;
    let list = reply.get("organic").ok_or("a reply without `organic`")?;
    service::results(list, &Names { title: "title", text: "snippet", link: "link" })
}
