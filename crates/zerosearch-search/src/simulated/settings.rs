//! Settings of the simulated engine.

use serde_json::{Value, json};

use super::PromptTemplate;
use crate::SearchError;

/// How a simulated engine writes.
#[derive(Clone, Debug)]
pub struct SimulatedSettings {
    /// What the model is told.
    pub template: PromptTemplate,
    /// How its reply becomes documents.
    pub structure: Structure,
    /// The most documents that a query may ask for.
    pub most_documents: usize,
    /// How many words of a document the prompt asks for.
    pub words: usize,
    /// How many words a document may have; a longer one is cut at the end of a sentence, or of a word.
    pub most_words: usize,
    /// Length limit of one document in tokens. A reply with several documents gets so many times as much.
    pub max_tokens: u32,
    /// Sampling temperature.
    pub temperature: f32,
    /// Nucleus sampling; 1 keeps every token.
    pub top_p: f32,
    /// How many more writes one call may spend: on a reply with fewer usable documents than wanted, the best of which
    /// is kept, or, where documents are forced, on one that is empty or repeats another. None are spent at temperature 0, where the
    /// same would come again.
    pub rewrites: u32,
}

/// How a reply becomes documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structure {
    /// The model writes all documents in one reply, which is then read tolerantly. Per-document labels take one
    /// reply for each label.
    Free,
    /// The reply is begun for the model, document by document, and each ends with its line. For models too small to
    /// keep a format; the writer must be able to continue a reply.
    Forced,
}

impl SimulatedSettings {
    /// The usual settings with `template`: free structure, up to 20 documents of about 30 words (60 at most, 100
    /// tokens), temperature 0.8, top-p 1, two rewrites.
    pub fn new(template: PromptTemplate) -> Self {
        Self {
            template,
            structure: Structure::Free,
            most_documents: 20,
            words: 30,
            most_words: 60,
            max_tokens: 100,
            temperature: 0.8,
            top_p: 1.0,
            rewrites: 2,
        }
    }

    /// All that decides how a writer is asked and what is kept of its replies.
    pub(super) fn identity(&self) -> Value {
        // Taken apart, so that a new setting cannot be left out.
        let Self {
            template,
            structure,
            most_documents,
            words,
            most_words,
            max_tokens,
            temperature,
            top_p,
            rewrites,
        } = self;
        let structure = match structure {
            Structure::Free => "free",
            Structure::Forced => "forced",
        };
        json!({
            "template": template.hash(),
            "system": template.system(),
            "structure": structure,
            "most_documents": most_documents,
            "words": words,
            "most_words": most_words,
            "max_tokens": max_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "rewrites": rewrites,
        })
    }

    /// Every setting within its range, and a template that renders with them.
    ///
    /// # Errors
    /// The first setting that cannot be used, with a writer that can or cannot continue a reply.
    pub fn check(&self, can_continue: bool) -> Result<(), SearchError> {
        let refuse = |what: &str, why: String| Err(SearchError::setting(what, why));
        if self.structure == Structure::Forced && !can_continue {
            let why =
                "forced needs a writer that continues a reply: a local model, or a server's /v1/completions";
            return refuse("structure", why.into());
        }
        if !(1..=100).contains(&self.most_documents) {
            return refuse("most_documents", format!("it is {}; choose 1 to 100", self.most_documents));
        }
        if self.words == 0 || self.most_words < self.words {
            let (words, most) = (self.words, self.most_words);
            return refuse(
                "most_words",
                format!("it is {most} with {words} asked for; it must be at least that, not 0"),
            );
        }
        if self.max_tokens == 0 {
            return refuse("max_tokens", "it is 0; a document of 30 words takes about 50".into());
        }
        if !(0.0..=10.0).contains(&self.temperature) {
            return refuse("temperature", format!("it is {}; choose 0 to 10", self.temperature));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return refuse("top_p", format!("it is {}; choose more than 0, up to 1", self.top_p));
        }
        if self.rewrites > 100 {
            return refuse("rewrites", format!("it is {}; choose 0 to 100", self.rewrites));
        }
        self.template.try_out(self.most_documents, self.words)
    }
}
