//! The client of OpenAI-compatible servers: bodies of the caller's own go out, replies are read by the caller.

use std::sync::Arc;

use serde_json::Value;

use super::OpenAiSettings;
use crate::http::{Caller, Replied, Request};
use crate::{SearchError, Servers};

/// OpenAI-compatible servers with one model.
///
/// A try that times out, breaks, is refused with 408, 425, 429 or 5xx, or brings something that cannot be read is
/// made again: at once on another server that works, else after a pause that doubles each time and varies by half
/// (the variation is drawn from the request's seed). A server that fails is set aside until it says that it is well. 3xx,
/// 401, 403, 404 and 405 concern the server that said so; any other refusal, and a reply over the size limit, is final.
/// A request fails when it was tried `tries` times and each server was asked at least once. Redirects are not followed:
/// the key goes to the named servers only.
#[derive(Debug)]
pub struct OpenAiClient {
    settings: OpenAiSettings,
    caller: Caller,
    identity: String,
}

impl OpenAiClient {
    /// A client with `settings`, all of them checked. Nothing is sent yet.
    pub fn new(settings: OpenAiSettings) -> Result<Self, SearchError> {
        Ok(Self { caller: settings.caller()?, identity: settings.identity()?, settings })
    }

    /// What the client was built with.
    pub fn settings(&self) -> &OpenAiSettings {
        &self.settings
    }

    /// All that decides the replies besides the body: the servers, the model and the route.
    pub fn identity(&self) -> String {
        self.identity.clone()
    }

    /// The servers, to see how they fare.
    pub fn servers(&self) -> Arc<Servers> {
        self.caller.servers()
    }

    /// Posts `body` to the route of the settings. Gives what `read` makes of the reply, and how often it was tried;
    /// `read` says what is wrong with a reply that is none.
    pub async fn ask<T>(
        &self,
        body: &Value,
        seed: u64,
        read: fn(&[u8]) -> Result<T, String>,
    ) -> Result<(T, u32), SearchError> {
        let replied = self.caller.ask(self.request(body), seed, read).await?;
        let Replied { reply, tries } = replied;
        Ok((reply, tries))
    }

    /// Posts `body` to every server, in turn; the first that does not give what `read` takes is the error.
    pub async fn ask_each<T>(
        &self,
        body: &Value,
        read: fn(&[u8]) -> Result<T, String>,
    ) -> Result<(), SearchError> {
        self.caller.ask_each(self.request(body), read).await
    }

    fn request<'a>(&self, body: &'a Value) -> Request<'a> {
        Request::Post { path: self.settings.route.path(), body }
    }
}
