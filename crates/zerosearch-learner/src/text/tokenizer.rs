//! A model's text: its tokenizer, its special tokens and its chat template as one value.

use std::path::PathBuf;

use tokenizers::Tokenizer;

use super::chat::{ChatTemplate, Message};
use super::mask::Masked;
use super::pieces::Pieces;
use crate::{LearnerError, Result, TokenId};

/// Words to tokens and back. Cheap to share in an `Arc`; never changes.
pub struct Text {
    /// Turns special tokens spelled in a text into those tokens.
    markup: Tokenizer,
    /// The same tokenizer, which does not.
    plain: Tokenizer,
    pieces: Pieces,
    /// Spellings of the special tokens, longest first.
    special: Vec<String>,
    /// Their ids, in ascending order.
    special_ids: Vec<TokenId>,
    template: Option<ChatTemplate>,
    named_tokens: Vec<(String, String)>,
    stop_tokens: Vec<TokenId>,
    prefix: Vec<TokenId>,
    files: Vec<TextFile>,
}

/// What a [`Text`] is made of.
pub struct TextParts {
    /// What to name in errors: the folder or file that this came from.
    pub origin: PathBuf,
    /// The tokenizer. Truncation and padding are switched off.
    pub tokenizer: Tokenizer,
    /// The chat template's source, if the model has one.
    pub chat_template: Option<String>,
    /// Special tokens by name, with their spellings: `("bos_token", "<s>")`, `("eos_token", "</s>")`. Templates use
    /// them; `eos_token` is also a stop token.
    pub named_tokens: Vec<(String, String)>,
    /// More tokens that end a turn.
    pub stop_tokens: Vec<TokenId>,
    /// The original files, for export; empty to have them written anew.
    pub files: Vec<TextFile>,
}

/// A tokenizer file as it was found, or as it will be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFile {
    /// Its name without a folder, such as `tokenizer.json`.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl Text {
    /// Puts a text together. Refused when the tokenizer would lose text, does not say how it spells bytes, or the chat
    /// template cannot be read.
    pub fn new(parts: TextParts) -> Result<Self> {
        let TextParts { origin, tokenizer: mut markup, chat_template, named_tokens, stop_tokens, mut files } =
            parts;
        let refuse = |problem: String| LearnerError::bad_model(&origin, problem);
        markup.with_padding(None);
        markup.with_truncation(None).map_err(|error| refuse(error.to_string()))?;
        markup.set_encode_special_tokens(false);
        let pieces = Pieces::of(&markup)
            .map_err(|problem| refuse(format!("the tokenizer cannot be used: {problem}")))?;
        let template = chat_template
            .as_deref()
            .map(|source| ChatTemplate::compile(source, named_tokens.clone()))
            .transpose()
            .map_err(refuse)?;
        if files.is_empty() {
            files = written_anew(&markup, &named_tokens, chat_template.as_deref()).map_err(refuse)?;
        }
        let mut plain = markup.clone();
        plain.set_encode_special_tokens(true);
        let prefix = prefix_of(&markup);
        let special = special_spellings(&markup);
        let mut special_ids: Vec<TokenId> =
            special.iter().filter_map(|spelling| markup.token_to_id(spelling)).collect();
        special_ids.sort_unstable();
        let mut text = Self {
            markup,
            plain,
            pieces,
            special,
            special_ids,
            template,
            named_tokens,
            stop_tokens,
            prefix,
            files,
        };
        text.stop_tokens.extend(text.named_token("eos_token"));
        text.stop_tokens.extend(text.templates_end());
        text.stop_tokens.sort_unstable();
        text.stop_tokens.dedup();
        Ok(text)
    }

    /// The same without a chat template: for a server that has its own.
    #[must_use]
    pub fn without_chat_template(self) -> Self {
        Self { template: None, ..self }
    }

    /// Encodes text that this program or the model's template wrote: special tokens spelled in it become those
    /// tokens. Adds none by itself. A rare character that the vocabulary cannot spell (a control character, say) is
    /// left out, as `transformers` does.
    pub fn encode(&self, text: &str) -> Vec<TokenId> {
        self.encode_with(&self.markup, text)
    }

    /// Encodes text of others (documents, queries, questions): special tokens spelled in it stay ordinary text.
    pub fn encode_plain(&self, text: &str) -> Vec<TokenId> {
        self.encode_with(&self.plain, text)
    }

    /// The text of `tokens`, special tokens spelled out: their bytes read as UTF-8, with U+FFFD where they are none.
    pub fn decode(&self, tokens: &[TokenId]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|&token| self.bytes(token)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The bytes that `token` adds to a text; none for an id that the tokenizer does not have. A token may hold part of
    /// a character. SentencePiece's mark of a word start is a space, at the start of a text too.
    pub fn bytes(&self, token: TokenId) -> &[u8] {
        self.pieces.get(token)
    }

    /// One more than the tokenizer's last id. A model may have more entries, which no text uses.
    pub fn vocabulary_size(&self) -> usize {
        self.pieces.len()
    }

    /// The id of a token by its exact entry in the vocabulary, such as `<|im_end|>`.
    pub fn token(&self, entry: &str) -> Option<TokenId> {
        self.markup.token_to_id(entry)
    }

    /// Whether `token` is special: a mark of the model's own, which no document can spell.
    pub fn is_special(&self, token: TokenId) -> bool {
        self.special_ids.binary_search(&token).is_ok()
    }

    /// The id of a special token by its role: `bos_token`, `eos_token`, `pad_token`.
    pub fn named_token(&self, role: &str) -> Option<TokenId> {
        let (_, spelling) = self.named_tokens.iter().find(|(name, _)| name == role)?;
        self.token(spelling)
    }

    /// Every id that ends a turn or a text, in ascending order.
    pub fn stop_tokens(&self) -> &[TokenId] {
        &self.stop_tokens
    }

    /// The token with which the model ends its turn: the one that its chat template writes after an answer, else its
    /// `eos_token`, else its first stop token.
    pub fn end_of_turn(&self) -> Option<TokenId> {
        let usual = || self.named_token("eos_token").or_else(|| self.stop_tokens.first().copied());
        self.templates_end().or_else(usual)
    }

    /// What the model was trained to see before a text that no template wraps: often a beginning-of-text token, often
    /// nothing.
    pub fn prefix(&self) -> &[TokenId] {
        &self.prefix
    }

    /// Whether [`Text::chat`] can work.
    pub fn has_chat_template(&self) -> bool {
        self.template.is_some()
    }

    /// The source of the model's chat template, where it has one.
    pub fn chat_template(&self) -> Option<&str> {
        self.template.as_ref().map(|template| template.source.as_str())
    }

    /// Renders `messages` as the model was trained to read them. With `add_generation_prompt` the text ends where the
    /// assistant's answer starts. Refused when the model has no template or the template refuses the messages.
    pub fn chat(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        let template = self.template.as_ref().ok_or_else(|| {
            LearnerError::BadRequest("the model has no chat template; give it plain text instead".into())
        })?;
        template.render(messages, add_generation_prompt).map_err(LearnerError::BadRequest)
    }

    /// Renders and encodes `messages`. The template's special tokens become tokens; any spelled in a message stay
    /// ordinary text. For messages without such spellings the ids are those of `apply_chat_template`.
    pub fn chat_tokens(&self, messages: &[Message], add_generation_prompt: bool) -> Result<Vec<TokenId>> {
        let Some(masked) = Masked::new(messages, &self.special) else {
            return Ok(self.encode(&self.chat(messages, add_generation_prompt)?));
        };
        let rendered = self.chat(&masked.messages, add_generation_prompt)?;
        let mut tokens = Vec::new();
        let mut written = 0;
        for (token, (start, end)) in self.special_tokens_in(&rendered) {
            tokens.extend(self.encode_plain(&masked.unmask(&rendered[written..start])));
            tokens.push(token);
            written = end;
        }
        tokens.extend(self.encode_plain(&masked.unmask(&rendered[written..])));
        Ok(tokens)
    }

    /// The tokenizer's files, for a model directory. `tokenizer.json` is always among them.
    pub fn files(&self) -> &[TextFile] {
        &self.files
    }

    fn encode_with(&self, tokenizer: &Tokenizer, text: &str) -> Vec<TokenId> {
        match tokenizer.encode_fast(text, false) {
            Ok(encoding) => encoding.get_ids().to_vec(),
            // A vocabulary that `Pieces` has accepted can spell any text, so this does not happen; if it did, the text
            // must not be lost.
            Err(_) => text.bytes().filter_map(|byte| self.byte_token(byte)).collect(),
        }
    }

    fn byte_token(&self, byte: u8) -> Option<TokenId> {
        let character = super::pieces::byte_character(byte).to_string();
        self.token(&character).or_else(|| self.token(&format!("<0x{byte:02X}>")))
    }

    /// The special tokens that `markup` is split at, with the bytes that each takes up.
    fn special_tokens_in(&self, markup: &str) -> Vec<(TokenId, (usize, usize))> {
        let Ok(encoding) = self.markup.encode(markup, false) else { return Vec::new() };
        let added = self.markup.get_added_vocabulary();
        let tokens = encoding.get_ids().iter().copied().zip(encoding.get_offsets().iter().copied());
        tokens
            .filter(|(id, _)| added.get_added_tokens_decoder().get(id).is_some_and(|token| token.special))
            .collect()
    }

    /// The special token that the chat template writes right after an answer.
    fn templates_end(&self) -> Option<TokenId> {
        const ANSWER: &str = "zerosearch answers";
        let chat = [Message::new("user", "question"), Message::new("assistant", ANSWER)];
        let rendered = self.template.as_ref()?.render(&chat, false).ok()?;
        let (_, after) = rendered.rsplit_once(ANSWER)?;
        let after = after.trim_start();
        self.special
            .iter()
            .find(|spelling| after.starts_with(*spelling))
            .and_then(|spelling| self.token(spelling))
    }
}

/// Longest first, so that a spelling inside a longer one is found second.
fn special_spellings(tokenizer: &Tokenizer) -> Vec<String> {
    let mut spellings: Vec<String> = tokenizer
        .get_added_tokens_decoder()
        .into_values()
        .filter(|token| token.special && !token.content.is_empty())
        .map(|token| token.content)
        .collect();
    spellings.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    spellings
}

fn prefix_of(tokenizer: &Tokenizer) -> Vec<TokenId> {
    let Ok(encoding) = tokenizer.encode_fast("a", true) else { return Vec::new() };
    let added = encoding.get_special_tokens_mask().iter().take_while(|&&mask| mask == 1).count();
    encoding.get_ids()[..added].to_vec()
}

/// The files of a tokenizer that did not come from a model directory.
fn written_anew(
    tokenizer: &Tokenizer,
    named_tokens: &[(String, String)],
    chat_template: Option<&str>,
) -> std::result::Result<Vec<TextFile>, String> {
    let json =
        tokenizer.to_string(true).map_err(|error| format!("the tokenizer cannot be written: {error}"))?;
    let mut config = serde_json::Map::new();
    config.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
    config.insert("clean_up_tokenization_spaces".into(), false.into());
    config.extend(named_tokens.iter().map(|(name, token)| (name.clone(), token.as_str().into())));
    let mut files = vec![
        TextFile { name: "tokenizer.json".into(), bytes: json.into_bytes() },
        TextFile {
            name: "tokenizer_config.json".into(),
            bytes: format!("{:#}\n", serde_json::Value::Object(config)).into_bytes(),
        },
    ];
    if let Some(template) = chat_template {
        files.push(TextFile { name: "chat_template.jinja".into(), bytes: template.as_bytes().to_vec() });
    }
    Ok(files)
}
