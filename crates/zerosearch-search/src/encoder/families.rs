//! Families: encoders that are known by name, because their files do not say what goes before a query.

use super::{Manner, Pooling};

/// Models that were trained with the same words around their texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// E5 (Wang et al. 2022): `query: ` and `passage: `, mean.
    E5,
    /// BGE (Xiao et al. 2023): an instruction before queries, none before passages, the first token.
    Bge,
    /// The all-* models of sentence-transformers: nothing before a text, mean.
    AllMiniLm,
}

const BGE_ENGLISH: &str = "Represent this sentence for searching relevant passages: ";
const BGE_CHINESE: &str = "为这个句子生成表示以用于检索相关文章：";

impl Family {
    /// Every family by the name that a person writes.
    pub const NAMES: [(&'static str, Self); 3] =
        [("e5", Self::E5), ("bge", Self::Bge), ("all-minilm", Self::AllMiniLm)];

    /// The family that `name` (of a folder or a hub id) belongs to, found by whole words of it: `intfloat/e5-base-v2`
    /// and `multilingual-e5-small` are E5, `cafe5` is not. A model that wants an instruction of its own
    /// (`multilingual-e5-large-instruct`, `e5-mistral-7b-instruct`), and BGE-M3, which wants none, are of no family.
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        let has = |word| words.contains(&word);
        if has("instruct") || has("m3") || has("icl") {
            None
        } else if has("e5") {
            Some(Self::E5)
        } else if has("bge") {
            Some(Self::Bge)
        } else if has("all") && (has("minilm") || has("mpnet")) {
            Some(Self::AllMiniLm)
        } else {
            None
        }
    }

    /// How its models are used; `name` tells Chinese BGE models from English ones.
    pub(super) fn manner(self, name: &str, max_tokens: usize) -> Manner {
        let is_chinese =
            name.to_lowercase().split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "zh");
        let (query, passage, pooling) = match self {
            Self::E5 => ("query: ", "passage: ", Pooling::Mean),
            Self::Bge if is_chinese => (BGE_CHINESE, "", Pooling::Cls),
            Self::Bge => (BGE_ENGLISH, "", Pooling::Cls),
            Self::AllMiniLm => ("", "", Pooling::Mean),
        };
        Manner {
            query_prefix: query.into(),
            passage_prefix: passage.into(),
            pooling,
            normalize: true,
            max_tokens,
        }
    }
}
