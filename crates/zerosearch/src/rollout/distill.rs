//! Distillation: the policy reads the documents of a search apart, and only its notes on them enter the conversation
//! (the Reason-in-Documents module of Search-o1, arXiv 2501.05366, section 3.4).

use serde::{Deserialize, Serialize};
use zerosearch_learner::text::Text;
use zerosearch_learner::{Sample, TokenId};
use zerosearch_search::clean;

use super::information::{end_of, front_of, nothing_found};
use super::play::Fault;
use super::prompt::read;
use super::template::Template;
use super::{PromptError, Rollout};
use crate::qa::Question;

const FIELDS: &[&str] = &["question", "reasoning", "query", "documents"];
const BUILT_IN: (&str, &str) = ("reason-in-documents", include_str!("prompts/reason-in-documents.jinja"));
const THOUGHT_CLOSER: &str = "</think>";

/// How the policy is asked to read documents: a minijinja text with the variables `question`, `reasoning` (all that the
/// conversation holds so far), `query` and `documents`.
#[derive(Clone, Debug)]
pub struct DistillationTemplate(Template);

/// What the policy noted of a search's documents. Its tokens are no part of the transcript and are not trained on; the
/// notes are shown to it as the search's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distillate {
    /// The notes.
    pub text: String,
    /// Tokens of the prompt that it read for them.
    pub read: usize,
    /// Tokens that it wrote.
    pub written: usize,
}

/// What the policy reads.
pub(super) struct Reading<'a> {
    /// The id and the text of the question.
    pub(super) question: (&'a str, &'a str),
    /// The conversation after its prompt.
    pub(super) reasoning: &'a str,
    pub(super) query: &'a str,
    /// As they would have been shown.
    pub(super) documents: &'a str,
}

impl DistillationTemplate {
    /// The built-in template of that name, `reason-in-documents`, else the one in that file.
    pub fn named(name: &str) -> Result<Self, PromptError> {
        let (built_in, source) = BUILT_IN;
        let template = match name == built_in {
            true => Template::new(name, source, FIELDS)?,
            false => Template::new(name, &read(name)?, FIELDS)?,
        };
        if !template.shows("documents") {
            return Err(PromptError::NoDocuments(template.name));
        }
        Ok(Self(template))
    }

    /// SHA-256 of the template's text, its first 16 hexadecimal digits: names it in records.
    pub fn hash(&self) -> String {
        self.0.hash()
    }

    /// How many tokens the prompt has around a conversation that has not begun, without documents.
    pub(super) fn smallest(&self, question: &Question, text: &Text) -> Result<usize, PromptError> {
        Ok(self.0.tokens(&[&question.text, "", "", ""], &question.id, text)?.len())
    }

    /// The prompt in at most `room` tokens: half of what is left is for the end of the conversation so far, the rest for
    /// the front of the documents.
    fn prompt(&self, reading: &Reading<'_>, room: usize, text: &Text) -> Result<Vec<TokenId>, PromptError> {
        let Reading { question: (id, question), reasoning, query, documents } = *reading;
        let tokens_of = |reasoning: &str, documents: &str| {
            self.0.tokens(&[question, reasoning, query, documents], id, text)
        };
        let mut left = room.saturating_sub(tokens_of("", "")?.len());
        loop {
            let reasoning = end_of(reasoning, left / 2, text);
            let taken = text.encode_plain(&reasoning).len();
            let tokens = tokens_of(&reasoning, &front_of(documents, left.saturating_sub(taken), text))?;
            // Where two texts meet, there can be a few tokens more than in both apart.
            let excess = tokens.len().saturating_sub(room);
            if excess == 0 || left == 0 {
                return Ok(tokens);
            }
            left = left.saturating_sub(excess);
        }
    }
}

impl Rollout {
    /// What the policy notes of `reading` for `template`.
    pub(super) async fn distill(
        &self,
        template: &DistillationTemplate,
        reading: Reading<'_>,
        seed: u64,
    ) -> Result<Distillate, Fault> {
        let max_tokens = self.rules.max_response_tokens;
        let room = self.context().saturating_sub(max_tokens);
        let prompt = template.prompt(&reading, room, &self.text)?;
        let read = prompt.len();
        let Sample { tokens, .. } = self.sample(prompt, max_tokens, Vec::new(), seed).await?;
        Ok(Distillate { text: notes(&tokens, &self.text), read, written: tokens.len() })
    }
}

/// What is left of a reply without its thoughts, as harmless as a document.
fn notes(reply: &[TokenId], text: &Text) -> String {
    let words: Vec<TokenId> = reply.iter().copied().filter(|token| !text.is_special(*token)).collect();
    let words = text.decode(&words);
    match clean(words.rsplit_once(THOUGHT_CLOSER).map_or(words.as_str(), |(_, after)| after)) {
        notes if notes.is_empty() => nothing_found().to_owned(),
        notes => notes,
    }
}
