//! A judge model: a language model that says of one document whether it answers the query.

use std::sync::Arc;

use anyhow::Result;
use zerosearch_search::{Document, WriteRequest, Writer, clean};

use crate::config::{Model, Plan};
use crate::engines::reached;
use crate::learners::{self, Pool};
use crate::problem::problem;
use crate::simulator::PolicyWriter;

const PROMPT: &str = include_str!("prompts/judge.txt");

/// A language model that judges documents.
pub struct JudgeModel {
    /// Who writes.
    pub writer: Arc<dyn Writer>,
    /// What its verdicts are kept under: another judge has another identity.
    pub identity: String,
    /// Calls in flight at once.
    pub concurrency: usize,
    /// Tokens that it may write, thoughts included.
    pub max_tokens: u32,
}

impl JudgeModel {
    /// The judge that `plan` names: its `model`, or the servers of its `simulator`.
    pub async fn open(plan: &Plan, pool: &Pool) -> Result<Self> {
        let servers = &plan.simulator;
        let (writer, identity): (Arc<dyn Writer>, String) = if !servers.urls.is_empty() {
            let writer = reached(servers).await?;
            let identity = writer.name().to_owned();
            (Arc::new(writer), identity)
        } else if plan.model.path.is_empty() {
            return Err(problem("no judge is named")
                .hint(
                    "give `--model` a model, or servers by `--set simulator.urls=[\"http://HOST:PORT\"]` and \
                     `--set simulator.model_name=NAME`",
                )
                .into());
        } else {
            let model: &Model = &plan.model;
            let voice = learners::open_voice((model, &plan.adapter), plan.run.seed, 0, pool).await?;
            let files: String = voice.hashes.values().map(String::as_str).collect();
            let identity = format!("{} {}", model.path, &super::pair::fingerprint([files.as_str()])[..16]);
            (
                Arc::new(PolicyWriter::new(voice.policy, voice.text, model.path.clone(), voice.identity)),
                identity,
            )
        };
        let max_tokens = u32::try_from(servers.max_tokens).unwrap_or(u32::MAX);
        Ok(Self { writer, identity, concurrency: servers.concurrency, max_tokens })
    }

    /// What is asked about `document`.
    pub(super) fn request(&self, query: &str, document: &Document) -> Result<WriteRequest> {
        let document = [&document.title, &document.text].map(|part| clean(part));
        let words = document.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(": ");
        let prompt = minijinja::render!(PROMPT, query => clean(query), document => words);
        Ok(WriteRequest {
            prompt,
            max_tokens: self.max_tokens,
            temperature: 0.0,
            top_p: 1.0,
            ..WriteRequest::default()
        })
    }
}

/// What a reply says: `yes` or `no`, by itself. Anything else is no verdict.
pub(super) fn read(reply: &str) -> Option<bool> {
    let said = reply.rsplit("</think>").next().unwrap_or_default();
    match said.trim_matches(|letter: char| !letter.is_alphanumeric()).to_lowercase().as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_one_word_and_prose_is_none() {
        for (reply, verdict) in [
            ("yes", Some(true)),
            (" **No**.\n", Some(false)),
            ("<think>Yes or no?</think>\n\nYES", Some(true)),
            ("Yes, because it names the author.", None),
            ("The document says no", None),
            ("", None),
            ("<think>no end", None),
        ] {
            assert_eq!(read(reply), verdict, "{reply}");
        }
    }
}
