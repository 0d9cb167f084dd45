//! A question and its golden answers.

use serde::{Deserialize, Serialize};
use zerosearch_learner::text::Message;

/// One question, as a question file gives it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// The file's own id, or `<file stem>:<row>` where it has none. Unique within a data set.
    pub id: String,
    /// The data set it belongs to: `nq`, `hotpotqa`, ...
    pub source: String,
    /// The bare question.
    pub text: String,
    /// Every answer that counts as right; at least one.
    pub golden_answers: Vec<String>,
    /// The row's own prompt, used as it is instead of the prompt template.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prompt: Option<Vec<Message>>,
}
