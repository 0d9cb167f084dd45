//! SearXNG: a metasearch engine of one's own, asked with a GET, as <https://docs.searxng.org/dev/search_api.html>
//! describes. It takes no key, and no number of results: those of its first page come.
//!
//! Where nothing is found and some of the engines behind it did not answer, nobody knows that there is nothing: that
//! is a failure that passes. With 403 it refuses a format that its settings do not list,
//! <https://docs.searxng.org/admin/settings/settings_search.html>.

use serde_json::Value;

use super::service::{self, Asked, Found, Names, Service, Wording};
use crate::http::KeyPlace;

pub(super) const SERVICE: Service = Service {
    name: "searxng",
    host: "",
    path: "/search",
    key_variables: &[],
    key_place: KeyPlace::Bearer,
    most_documents: 20,
    forbidden: "is json among search.formats in the instance's settings.yml?",
    ask,
    read,
};

fn ask(asked: &Asked<'_>) -> Wording {
    Wording::Parameters(vec![("q", asked.text.into()), ("format", "json".into())])
}

fn read(reply: &[u8]) -> Result<Vec<Found>, String> {
    let reply = service::json(reply)?;
    let list = reply.get("results").ok_or("a reply without `results`")?;
    let found = service::results(list, &Names { title: "title", text: "content", link: "url" })?;
    let silent = reply.get("unresponsive_engines").and_then(Value::as_array).filter(|all| !all.is_empty());
    match silent {
        Some(silent) if found.is_empty() => {
            Err(format!("no results, and engines that did not answer: {}", Value::from(silent.clone())))
        }
        _ => Ok(found),
    }
}
