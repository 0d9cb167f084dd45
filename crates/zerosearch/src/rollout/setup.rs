//! A rollout: everything that the conversations of one step share.

use std::sync::Arc;

use zerosearch_learner::seed::Seed;
use zerosearch_learner::text::Text;
use zerosearch_learner::{Policy, TokenId};
use zerosearch_search::SearchEngine;

use super::information::{INFORMATION_CLOSER, INFORMATION_OPENER, front_of};
use super::{PromptError, PromptTemplate, Protocol, Rules};
use crate::curriculum::Curriculum;
use crate::qa::Question;

/// What all conversations of one step share.
#[derive(Clone)]
pub struct Rollout {
    /// Who speaks.
    pub policy: Arc<dyn Policy>,
    /// The policy's words and tokens.
    pub text: Arc<Text>,
    /// Who answers its searches. Without an engine a conversation is one turn, and its only action is the answer.
    pub engine: Option<Arc<dyn SearchEngine>>,
    /// How a question is put.
    pub prompt: Arc<PromptTemplate>,
    /// The rules of the run.
    pub rules: Arc<Rules>,
    /// How likely noise is; only simulated engines are told.
    pub curriculum: Arc<Curriculum>,
    /// The training step, from 1: the curriculum's place.
    pub step: u64,
    /// The seed of this step. Question, member, turn and purpose branch off from it.
    pub seed: Seed,
}

/// Why no conversation should be started.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// A rule cannot be followed.
    #[error("rollout.{rule} is {value}, but {problem}")]
    BadRule {
        /// The rule's name.
        rule: &'static str,
        /// What was given.
        value: usize,
        /// Why that is impossible.
        problem: String,
    },
    /// The tokenizer has no way to write a tag.
    #[error(
        "the model's tokenizer cannot spell `{tag}` (it makes `{instead}` of it); this model cannot follow the protocol"
    )]
    Unspellable {
        /// The tag.
        tag: String,
        /// What comes back.
        instead: String,
    },
    /// A question leaves the policy no room.
    #[error(
        "the prompt of question {id} has {prompt} tokens; with {response} for one response that is more than the \
         {context} of the context: raise max_context_tokens, lower max_response_tokens, or remove the question"
    )]
    LongPrompt {
        /// The question.
        id: String,
        /// Its prompt's tokens.
        prompt: usize,
        /// Tokens of one response.
        response: usize,
        /// What fits.
        context: usize,
    },
    /// The prompt shows documents, and there is nobody to find them.
    #[error(
        "the prompt shows documents for question {0}, but there is no search engine: name an engine, or another prompt"
    )]
    NothingToShow(String),
    /// A question has no prompt.
    #[error(transparent)]
    Prompt(#[from] PromptError),
}

impl Rollout {
    /// Refuses what could only fail later: rules that cannot be followed, a tokenizer that cannot spell the tags, and
    /// questions whose prompt leaves no room for one whole response.
    pub fn check<'a>(&self, questions: impl IntoIterator<Item = &'a Question>) -> Result<(), RolloutError> {
        self.check_rules()?;
        self.check_tags()?;
        questions.into_iter().try_for_each(|question| self.check_question(question))
    }

    /// The seed of one conversation: `nth` tells apart what a step asks more than once.
    pub fn seed_of(&self, question: &Question, nth: u64, member: usize) -> Seed {
        self.seed.purpose(&question.id).index(nth).index(member as u64)
    }

    /// The longest row: the rules' or the policy's limit, whichever is lower.
    pub fn context(&self) -> usize {
        self.rules.max_context_tokens.min(self.policy.context_length())
    }

    /// What the policy can do.
    pub fn protocol(&self) -> Protocol {
        if self.turns_before_last() > 0 { Protocol::SearchAndAnswer } else { Protocol::AnswerOnly }
    }

    /// Turns before the last one.
    pub(super) fn turns_before_last(&self) -> usize {
        if self.engine.is_some() { self.rules.max_turns } else { 0 }
    }

    /// The tokens of an empty information block.
    pub(super) fn frame(&self) -> usize {
        self.text.encode(INFORMATION_OPENER).len() + self.text.encode(INFORMATION_CLOSER).len()
    }

    /// The fewest tokens in which a turn can come to something: an answer of one token.
    pub(super) fn smallest_turn(&self) -> usize {
        self.text.encode("<answer></answer>").len() + 1
    }

    fn check_rules(&self) -> Result<(), RolloutError> {
        let rules = &self.rules;
        let (smallest, frame) = (self.smallest_turn(), self.frame());
        let refuse = |rule, value, problem| Err(RolloutError::BadRule { rule, value, problem });
        if rules.max_response_tokens < smallest {
            let problem = format!("the shortest answer has {smallest} tokens");
            return refuse("max_response_tokens", rules.max_response_tokens, problem);
        }
        if rules.max_context_tokens > self.policy.context_length() {
            let most = self.policy.context_length();
            let problem =
                format!("the policy reads at most {most}: `--set rollout.max_context_tokens={most}`");
            return refuse("max_context_tokens", rules.max_context_tokens, problem);
        }
        if self.engine.is_some() && rules.max_document_tokens <= frame {
            let problem = format!("the tags around the documents take {frame} tokens");
            return refuse("max_document_tokens", rules.max_document_tokens, problem);
        }
        if self.engine.is_some() && rules.documents == 0 {
            return refuse("k", 0, "a search has to ask for at least one".into());
        }
        Ok(())
    }

    fn check_tags(&self) -> Result<(), RolloutError> {
        for tag in ["<search>", "</search>", "<answer>", "</answer>", "<information>", "</information>"] {
            let instead = self.text.decode(&self.text.encode(tag));
            // Vocabularies of words mark the start of a text with a space.
            if instead.strip_prefix(' ').unwrap_or(&instead) != tag {
                return Err(RolloutError::Unspellable { tag: tag.into(), instead });
            }
        }
        Ok(())
    }

    fn check_question(&self, question: &Question) -> Result<(), RolloutError> {
        let Rules { max_response_tokens: response, max_document_tokens: documents, .. } = *self.rules;
        let context = self.context();
        let long =
            |prompt| Err(RolloutError::LongPrompt { id: question.id.clone(), prompt, response, context });
        let mut prompt = self.prompt.tokens(question, "", &self.text)?.len();
        if self.prompt.wants_documents(question) {
            if self.engine.is_none() {
                return Err(RolloutError::NothingToShow(question.id.clone()));
            }
            prompt += documents;
        }
        if prompt + response > context {
            return long(prompt);
        }
        match &self.rules.distillation {
            Some(template) => match template.smallest(question, &self.text)? + documents {
                prompt if prompt + response > context => long(prompt),
                _ => Ok(()),
            },
            None => Ok(()),
        }
    }
}

impl Rollout {
    /// The tokens that the conversation about `question` begins with, with the front of `documents` where the prompt
    /// shows them.
    pub(super) fn opening(&self, question: &Question, documents: &str) -> Result<Vec<TokenId>, PromptError> {
        let documents = front_of(documents, self.rules.max_document_tokens, &self.text);
        self.prompt.tokens(question, &documents, &self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fakes::{Engine, Script, changed_text, question, rollout, rules};
    use super::*;

    fn refusal(rules: Rules) -> String {
        let rollout = rollout(&Arc::new(Script::of(&[])), &Engine::of("d"), rules);
        rollout.check([&*question("nq:3", "who?", "a")]).unwrap_err().to_string()
    }

    /// With the built-in tokenizer an answer of one token has 3, and the tags around documents 6; the fake policy reads
    /// 4,096; the prompt `who?` has 4 tokens and 3 marks.
    #[test]
    fn rules_that_cannot_be_followed_are_refused_with_the_numbers() {
        assert_eq!(
            refusal(Rules { max_response_tokens: 2, ..rules() }),
            "rollout.max_response_tokens is 2, but the shortest answer has 3 tokens"
        );
        assert_eq!(
            refusal(Rules { max_context_tokens: 4_097, ..rules() }),
            "rollout.max_context_tokens is 4097, but the policy reads at most 4096: `--set rollout.max_context_tokens=4096`"
        );
        assert_eq!(
            refusal(Rules { max_document_tokens: 6, ..rules() }),
            "rollout.max_document_tokens is 6, but the tags around the documents take 6 tokens"
        );
        assert_eq!(
            refusal(Rules { documents: 0, ..rules() }),
            "rollout.k is 0, but a search has to ask for at least one"
        );
        let long = refusal(Rules { max_context_tokens: 106, ..rules() });
        assert!(
            long.starts_with("the prompt of question nq:3 has 7 tokens; with 100 for one response"),
            "{long}"
        );
    }

    #[test]
    fn rules_that_just_fit_are_accepted() {
        let rules = Rules { max_context_tokens: 107, max_document_tokens: 7, ..rules() };
        let fits = rollout(&Arc::new(Script::of(&[])), &Engine::of("d"), rules);
        fits.check([&*question("nq:3", "who?", "a")]).unwrap();
        let alone = Rules { max_document_tokens: 0, documents: 0, ..(*fits.rules).clone() };
        Rollout { engine: None, rules: Arc::new(alone), ..fits }.check([]).unwrap();
    }

    /// As SentencePiece does it: a text begins with a space that was not written.
    #[test]
    fn a_tokenizer_that_begins_every_text_with_a_space_can_spell_the_tags() {
        let text = changed_text(|json| {
            json["added_tokens"].as_array_mut().unwrap().clear();
            json["normalizer"] = serde_json::json!({ "type": "Prepend", "prepend": " " });
        });
        assert_eq!(text.decode(&text.encode("<search>")), " <search>");
        let script = Script { text: Arc::new(text), ..Script::of(&[]) };
        rollout(&Arc::new(script), &Engine::of("d"), rules()).check([]).unwrap();
    }

    #[test]
    fn a_tokenizer_that_cannot_spell_a_tag_is_refused() {
        let text = changed_text(|json| {
            json["added_tokens"].as_array_mut().unwrap().clear();
            json["normalizer"] =
                serde_json::json!({ "type": "Replace", "pattern": { "String": "</s" }, "content": "(s" });
        });
        let script = Script { text: Arc::new(text), ..Script::of(&[]) };
        let rollout = rollout(&Arc::new(script), &Engine::of("d"), rules());
        assert_eq!(
            rollout.check([]).unwrap_err().to_string(),
            "the model's tokenizer cannot spell `</search>` (it makes `(search>` of it); this model cannot follow the \
             protocol"
        );
    }
}
