//! A policy on a server: any OpenAI-compatible one plays questions; it cannot be trained and scores nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use zerosearch_learner::text::{Text, tiny_text};
use zerosearch_learner::{Boxed, LearnerError, Policy, Sample, SamplingRequest, TokenId};
use zerosearch_search::{OpenAiClient, OpenAiSettings, Route};

use crate::config::{self, ApiName};
use crate::engines::key;

mod wire;

/// Samples with OpenAI-compatible servers.
///
/// Over `/v1/completions` prompts go out as token ids, and where the server gives the ids of its reply, and
/// log-probabilities at a temperature at which they are what is asked for (0 or 1), both are kept. Else, and over
/// `/v1/chat/completions` always, the reply's text is encoded once and has no log-probabilities. A chat server gets
/// the whole conversation as one message of the user's.
pub(super) struct ServerPolicy {
    client: OpenAiClient,
    text: Arc<Text>,
    context: usize,
}

impl ServerPolicy {
    /// The policy that `plan` names, after every server was asked for a token.
    pub(super) async fn open(plan: &config::Server) -> Result<(Self, Arc<Text>)> {
        let text = Arc::new(text(plan)?);
        let settings = OpenAiSettings {
            key: key("server.key_env", &plan.key_env)?,
            route: match plan.api {
                ApiName::Chat => Route::Chat,
                ApiName::Completions => Route::Completions,
            },
            timeout: Duration::try_from_secs_f64(plan.timeout_s).unwrap_or(Duration::from_secs(3600)),
            concurrency: plan.concurrency,
            tries: u32::try_from(plan.retries).unwrap_or(u32::MAX).saturating_add(1),
            ..OpenAiSettings::new(plan.urls.clone(), &plan.name)
        };
        let policy =
            Self { client: OpenAiClient::new(settings)?, text: Arc::clone(&text), context: plan.context };
        let hello = SamplingRequest::of_length(text.encode_plain("Hello"), 1, 0);
        policy
            .client
            .ask_each(&policy.body(&hello), wire::read)
            .await
            .context("the policy's server cannot be used")?;
        Ok((policy, text))
    }

    /// The servers, their model and their route.
    pub(super) fn identity(&self) -> String {
        self.client.identity()
    }

    fn body(&self, request: &SamplingRequest) -> serde_json::Value {
        let settings = self.client.settings();
        match settings.route {
            Route::Completions => wire::completion(&settings.model, request),
            Route::Chat => {
                wire::chat(&settings.model, &self.text.decode(self.words(&request.prompt)), request)
            }
        }
    }

    /// The prompt without what the tokenizer puts before every text.
    fn words<'a>(&self, prompt: &'a [TokenId]) -> &'a [TokenId] {
        prompt.strip_prefix(self.text.prefix()).unwrap_or(prompt)
    }

    async fn reply(&self, request: SamplingRequest) -> Result<Sample, LearnerError> {
        let asked = self.client.ask(&self.body(&request), request.seed, wire::read).await;
        let (reply, _) = asked.map_err(|why| LearnerError::Unsupported(why.to_string()))?;
        Ok(reply.sample(&request, &self.text))
    }
}

/// The tokenizer's folder as the plan names it. A chat server needs none: it has a template of its own, and tokens only
/// count what was said.
fn text(plan: &config::Server) -> Result<Text> {
    let text = match plan.tokenizer.as_str() {
        "" => tiny_text(),
        folder => Text::from_directory(Path::new(folder))
            .with_context(|| format!("the tokenizer server.tokenizer = {folder} cannot be used"))?,
    };
    Ok(if plan.api == ApiName::Chat { text.without_chat_template() } else { text })
}

impl Policy for ServerPolicy {
    fn sample(&self, request: SamplingRequest) -> Boxed<'_, Result<Sample, LearnerError>> {
        Box::pin(self.reply(request))
    }

    fn score<'a>(&'a self, _: &'a [Vec<TokenId>], _: f32) -> Boxed<'a, Result<Vec<Vec<f32>>, LearnerError>> {
        let why = "a policy on a server does not score rows; use a local model";
        Box::pin(async move { Err(LearnerError::Unsupported(why.into())) })
    }

    fn context_length(&self) -> usize {
        self.context
    }
}
