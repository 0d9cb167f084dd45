//! A request: what is asked of a server, and where the key goes that pays for it.

use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Client, RequestBuilder, Url};
use serde_json::Value;

use super::Key;

/// What is asked. The address comes from the server that is asked, the key from its credential.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request<'a> {
    /// A JSON body to the path below the server's address.
    Post { path: &'a str, body: &'a Value },
    /// Parameters behind the server's address.
    Get { parameters: &'a [(&'a str, String)] },
}

/// A key, and where a server looks for it.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    pub(crate) key: Key,
    pub(crate) place: KeyPlace,
}

/// Where a server looks for a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeyPlace {
    /// `Authorization: Bearer KEY`
    Bearer,
    /// A header of this name.
    Header(&'static str),
    /// A parameter of this name.
    Parameter(&'static str),
}

impl Request<'_> {
    /// The request to the server at `base`, key included.
    pub(super) fn build(
        self,
        client: &Client,
        base: &Url,
        credential: Option<&Credential>,
    ) -> RequestBuilder {
        let mut address = base.clone();
        if let Self::Post { path, .. } = self {
            address.set_path(&[base.path(), path].concat());
        }
        if let Self::Get { parameters } = self {
            address.query_pairs_mut().extend_pairs(parameters);
        }
        if let Some(Credential { key, place: KeyPlace::Parameter(name) }) = credential {
            address.query_pairs_mut().append_pair(name, key.reveal());
        }
        let request = match self {
            Self::Post { body, .. } => client.post(address).json(body),
            Self::Get { .. } => client.get(address).header(ACCEPT, "application/json"),
        };
        match credential {
            Some(Credential { key, place: KeyPlace::Bearer }) => request.bearer_auth(key.reveal()),
            Some(Credential { key, place: KeyPlace::Header(name) }) => request.header(*name, secret(key)),
            Some(Credential { place: KeyPlace::Parameter(_), .. }) | None => request,
        }
    }
}

/// The key as a header that no log of the HTTP library shows.
fn secret(key: &Key) -> HeaderValue {
    // A key is visible ASCII, which every header may hold.
    let mut value = HeaderValue::from_str(key.reveal()).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}
