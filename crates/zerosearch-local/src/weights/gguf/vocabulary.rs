//! A vocabulary: the tokens of a GGUF file and what each is for.

use std::collections::HashMap;

use tokenizers::AddedToken;
use tokenizers::models::bpe::Vocab;
use zerosearch_learner::{Result, TokenId};

use super::metadata::Metadata;

/// What a file says about its tokens.
pub(super) struct Vocabulary<'a> {
    pub(super) metadata: &'a Metadata<'a>,
    /// By id.
    pub(super) tokens: Vec<&'a str>,
    /// By id, as many as tokens.
    pub(super) roles: Vec<Role>,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Text.
    Normal,
    /// What cannot be written otherwise.
    Unknown,
    /// Markup, such as the end of a turn.
    Control,
    /// Text that is found before any other is cut.
    UserDefined,
    /// A place holder that only fills the embedding.
    Unused,
    /// One byte of text that no other token writes.
    Byte,
}

impl Role {
    fn from_code(code: i32) -> Option<Self> {
        Some(match code {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return None,
        })
    }
}

impl<'a> Vocabulary<'a> {
    pub(super) fn read(metadata: &'a Metadata<'a>) -> Result<Self> {
        let tokens = metadata
            .texts("tokenizer.ggml.tokens")?
            .ok_or_else(|| metadata.missing("tokenizer.ggml.tokens"))?;
        let codes = metadata.integers("tokenizer.ggml.token_type")?.unwrap_or_else(|| vec![1; tokens.len()]);
        if codes.len() != tokens.len() {
            return Err(metadata.refuse(format!(
                "`tokenizer.ggml.token_type` has {} entries for {} tokens",
                codes.len(),
                tokens.len()
            )));
        }
        let role = |(id, &code): (usize, &i32)| {
            Role::from_code(code)
                .ok_or_else(|| metadata.refuse(format!("token {id} has the unknown type {code}")))
        };
        let roles = codes.iter().enumerate().map(role).collect::<Result<_>>()?;
        Ok(Self { metadata, tokens, roles })
    }

    /// Tokens and their ids, without those that only fill the embedding. A token given twice is refused.
    pub(super) fn ids(&self) -> Result<HashMap<&'a str, TokenId>> {
        let mut ids = HashMap::with_capacity(self.tokens.len());
        for (id, (&token, &role)) in self.tokens.iter().zip(&self.roles).enumerate() {
            if role == Role::Unused {
                continue;
            }
            if let Some(first) = ids.insert(token, id as TokenId) {
                return Err(self
                    .metadata
                    .refuse(format!("tokens {first} and {id} are both `{}`", token.escape_debug())));
            }
        }
        Ok(ids)
    }

    /// Tokens that are looked for before text is cut.
    pub(super) fn added_tokens(&self) -> Vec<AddedToken> {
        let added = |(&token, &role): (&&str, &Role)| match role {
            Role::Control => Some(AddedToken::from(token, true).normalized(false)),
            Role::UserDefined => Some(AddedToken::from(token, false).normalized(false)),
            _ => None,
        };
        self.tokens
            .iter()
            .zip(&self.roles)
            .filter_map(added)
            .filter(|token| !token.content.is_empty())
            .collect()
    }
}

/// The same tokens in the map that the tokenizer library wants.
pub(super) fn owned(ids: &HashMap<&str, TokenId>) -> Vocab {
    ids.iter().map(|(&token, &id)| (token.to_owned(), id)).collect()
}
