//! Brave Search: results of an index of its own for a GET, as
//! <https://api-dashboard.search.brave.com/api-reference/web/search/get> describes.
//!
//! A query without results has no `web`. Descriptions come without marks (`text_decorations`), but in HTML's spelling.
//! A wrong key is refused with 422, a spent quota with 429.

use super::service::{self, Asked, Found, Names, Service, Wording};
use crate::http::KeyPlace;

pub(super) const SERVICE: Service = Service {
    name: "brave",
    host: "https://api.search.brave.com",
    path: "/res/v1/web/search",
    key_variables: &["BRAVE_API_KEY"],
    key_place: KeyPlace::Header("x-subscription-token"),
    most_documents: 20,
    forbidden: "",
    ask,
    read,
};

fn ask(asked: &Asked<'_>) -> Wording {
    Wording::Parameters(vec![
        ("q", asked.text.into()),
        ("count", asked.k.to_string()),
        ("result_filter", "web".into()),
        ("text_decorations", "false".into()),
    ])
}

fn read(reply: &[u8]) -> Result<Vec<Found>, String> {
    let reply = service::json(reply)?;
    if reply.get("type").and_then(serde_json::Value::as_str) != Some("search") {
        return Err("a reply whose `type` is not `search`".into());
    }
    let Some(list) = reply.pointer("/web/results") else { return Ok(Vec::new()) };
    let found = service::results(list, &Names { title: "title", text: "description", link: "url" })?;
    Ok(found.into_iter().map(unescaped).collect())
}

/// The signs that HTML spells out, as themselves; the ampersand last, because it begins the others.
fn unescaped(found: Found) -> Found {
    const SIGNS: [(&str, &str); 7] = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#x27;", "'"),
        ("&#39;", "'"),
        ("&nbsp;", " "),
        ("&amp;", "&"),
    ];
    let plain = |text: String| SIGNS.iter().fold(text, |text, (spelled, sign)| text.replace(spelled, sign));
    Found { title: plain(found.title), text: plain(found.text), ..found }
}
