//! A template: a text with places for words that come from outside.

use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use sha2::{Digest, Sha256};
use zerosearch_learner::TokenId;
use zerosearch_learner::text::{Message, Text};

use super::PromptError;

/// Stand for the words where the text around them has to be encoded apart: private-use characters, which no template
/// writes. The last character tells the fields apart.
const PLACE: &str = "\u{e5a1}\u{e5a2}";
const FIRST: u32 = 0xe5a3;

/// A minijinja text with the variables `fields`.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) name: String,
    environment: Environment<'static>,
    source: String,
    fields: &'static [&'static str],
}

impl Template {
    /// A template from its text. It is tried out at once.
    pub(super) fn new(
        name: &str,
        source: &str,
        fields: &'static [&'static str],
    ) -> Result<Self, PromptError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        minijinja_contrib::add_to_environment(&mut environment);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        let template = Self { name: name.to_owned(), environment, source: source.to_owned(), fields };
        template.render(&vec!["Who?"; fields.len()])?;
        Ok(template)
    }

    /// SHA-256 of the template's text, its first 16 hexadecimal digits: names it in records.
    pub(super) fn hash(&self) -> String {
        Sha256::digest(self.source.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether the words of `field` make a difference: they are shown, changed or not.
    pub(super) fn shows(&self, field: &str) -> bool {
        let with = |words| {
            let words = self.fields.iter().map(|name| if *name == field { words } else { "" });
            self.render(&words.collect::<Vec<_>>()).ok()
        };
        with("Who?") != with("When?")
    }

    /// The text with `words` in the places of the fields.
    pub(super) fn render(&self, words: &[&str]) -> Result<String, PromptError> {
        // The renderer drops one line end at the very end of a template; the prompt keeps its own.
        let source = format!("{}\n", self.source);
        let fields = self.fields.iter().copied();
        let values = minijinja::Value::from_pairs(fields.zip(words.iter().copied()));
        self.environment.render_str(&source, values).map_err(|error| PromptError::BadTemplate {
            name: self.name.clone(),
            problem: error.to_string(),
            fields: self.fields.join("`, `"),
        })
    }

    /// The tokens of the text as a prompt. A model with a chat template gets a chat that waits for its turn, any other
    /// the plain text behind the model's own prefix. Special tokens that `words` spell stay ordinary text. `question`
    /// is the id of the question that it is about.
    pub(super) fn tokens(
        &self,
        words: &[&str],
        question: &str,
        text: &Text,
    ) -> Result<Vec<TokenId>, PromptError> {
        if text.has_chat_template() {
            return chat_tokens(&[Message::new("user", self.render(words)?)], question, text);
        }
        let mut tokens = text.prefix().to_vec();
        if words.iter().any(|words| spells_special_tokens(words, text)) {
            tokens.extend(self.taken_apart(words, question, text)?);
        } else {
            tokens.extend(text.encode(&self.render(words)?));
        }
        Ok(tokens)
    }

    /// The template's own tokens around those of words that must not be read together with them.
    fn taken_apart(&self, words: &[&str], question: &str, text: &Text) -> Result<Vec<TokenId>, PromptError> {
        let places: Vec<String> = (0..words.len() as u32)
            .map(|at| format!("{PLACE}{}", char::from_u32(FIRST + at).unwrap_or_default()))
            .collect();
        let around = self.render(&places.iter().map(String::as_str).collect::<Vec<_>>())?;
        let is_missing =
            |(place, field): (&String, &&str)| self.shows(field) && !around.contains(place.as_str());
        if places.iter().zip(self.fields).any(is_missing) {
            return Err(PromptError::Entangled { id: question.to_owned(), name: self.name.clone() });
        }
        let (mut tokens, mut rest) = (Vec::new(), around.as_str());
        while let Some((start, at)) =
            places.iter().enumerate().filter_map(|(at, place)| Some((rest.find(place.as_str())?, at))).min()
        {
            tokens.extend(text.encode(&rest[..start]));
            tokens.extend(text.encode_plain(words[at]));
            rest = &rest[start + places[at].len()..];
        }
        tokens.extend(text.encode(rest));
        Ok(tokens)
    }
}

/// The tokens of a chat about `question` that waits for the model's turn.
pub(super) fn chat_tokens(
    messages: &[Message],
    question: &str,
    text: &Text,
) -> Result<Vec<TokenId>, PromptError> {
    text.chat_tokens(messages, true).map_err(|source| PromptError::Chat { id: question.to_owned(), source })
}

fn spells_special_tokens(words: &str, text: &Text) -> bool {
    text.encode(words) != text.encode_plain(words)
}
