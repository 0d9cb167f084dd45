//! The tokenizer of a GGUF file, rebuilt from the vocabulary and merges in its metadata.

use std::collections::HashMap;

use tokenizers::models::bpe::{BPE, Merges};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer};
use zerosearch_learner::{Result, TokenId};

use super::metadata::Metadata;
use super::sentencepiece;
use super::vocabulary::{Vocabulary, owned};

/// The key that names the kind of tokenizer.
const MODEL: &str = "tokenizer.ggml.model";

/// How the byte-level tokenizers of a family cut text before merging. Each is what the `tokenizer.json` of the models that
/// llama.cpp gives this name to says.
struct PreTokenizer {
    /// Values of `tokenizer.ggml.pre`.
    names: &'static [&'static str],
    cut: Cut,
    /// Whether text is brought into Unicode's normal form C first.
    normalise: bool,
    /// Whether a word that is a token is taken whole, whatever the merges say.
    whole_words: bool,
    /// Whether a text begins with the beginning-of-text token, in files that do not say.
    begins_texts: bool,
}

enum Cut {
    /// The pattern of GPT-2, which is built into the byte-level step.
    Gpt2,
    /// Every digit by itself, then the pattern of GPT-2.
    DigitsThenGpt2,
    /// A pattern of its own.
    Pattern(&'static str),
}

/// Like the pattern of GPT-2, but line ends stay with punctuation, and every digit stands by itself.
const QWEN2: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
/// The same, with up to three digits together.
const LLAMA3: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

const PRE_TOKENIZERS: [PreTokenizer; 4] = [
    PreTokenizer {
        names: &["gpt-2"],
        cut: Cut::Gpt2,
        normalise: false,
        whole_words: false,
        begins_texts: false,
    },
    PreTokenizer {
        names: &["smollm"],
        cut: Cut::DigitsThenGpt2,
        normalise: false,
        whole_words: false,
        begins_texts: false,
    },
    PreTokenizer {
        names: &["qwen2"],
        cut: Cut::Pattern(QWEN2),
        normalise: true,
        whole_words: false,
        begins_texts: false,
    },
    PreTokenizer {
        names: &["llama-bpe", "llama3", "llama-v3"],
        cut: Cut::Pattern(LLAMA3),
        normalise: false,
        whole_words: true,
        begins_texts: true,
    },
];

/// Builds the tokenizer. It adds nothing to what it encodes; special tokens spelled in the text are found.
pub(super) fn build(vocabulary: &Vocabulary<'_>) -> Result<Tokenizer> {
    let metadata = vocabulary.metadata;
    let mut tokenizer = match metadata.text(MODEL)? {
        Some("gpt2") => byte_level(vocabulary)?,
        Some("llama") => sentencepiece::build(vocabulary)?,
        Some(other) => {
            return Err(metadata.refuse(format!(
                "its tokenizer is of the kind `{other}`; known are `gpt2` (byte-level BPE) and `llama` (SentencePiece BPE)"
            )));
        }
        None => return Err(metadata.missing(MODEL)),
    };
    tokenizer
        .add_tokens(vocabulary.added_tokens())
        .map_err(|why| metadata.refuse(format!("its special tokens cannot be used: {why}")))?;
    Ok(tokenizer)
}

/// Whether the model was trained on texts that begin with its beginning-of-text token. Files that do not say so follow
/// the habit of their family.
pub(super) fn begins_texts(metadata: &Metadata<'_>) -> Result<bool> {
    if let Some(given) = metadata.flag("tokenizer.ggml.add_bos_token")? {
        return Ok(given);
    }
    Ok(metadata.text(MODEL)? == Some("llama") || family(metadata)?.begins_texts)
}

fn byte_level(vocabulary: &Vocabulary<'_>) -> Result<Tokenizer> {
    let metadata = vocabulary.metadata;
    let family = family(metadata)?;
    let ids = vocabulary.ids()?;
    let merges = merges(metadata, &ids)?;
    let model = BPE::builder()
        .vocab_and_merges(owned(&ids), merges)
        .ignore_merges(family.whole_words)
        .build()
        .map_err(|why| metadata.refuse(format!("its merges do not fit its tokens: {why}")))?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(family.cut.build(metadata)?)).with_decoder(Some(ByteLevel::default()));
    if family.normalise {
        let impossible = |why| metadata.refuse(format!("its tokenizer cannot normalise text: {why}"));
        tokenizer.with_normalizer(Some(NFC)).map_err(impossible)?;
    }
    Ok(tokenizer)
}

fn family(metadata: &Metadata<'_>) -> Result<&'static PreTokenizer> {
    let Some(name) = metadata.text("tokenizer.ggml.pre")? else {
        return Err(metadata.refuse(
            "metadata key `tokenizer.ggml.pre` is missing, so how its tokenizer cuts text is not known; convert the model again",
        ));
    };
    PRE_TOKENIZERS.iter().find(|family| family.names.contains(&name)).ok_or_else(|| {
        let known: Vec<&str> = PRE_TOKENIZERS.iter().flat_map(|family| family.names).copied().collect();
        metadata.refuse(format!(
            "its tokenizer cuts text in the manner `{name}`; known are {}. Use the Hugging Face directory of this model",
            known.join(", ")
        ))
    })
}

/// The merges, in order. Both parts and their join have to be tokens: the model that applies them relies on it.
fn merges(metadata: &Metadata<'_>, ids: &HashMap<&str, TokenId>) -> Result<Merges> {
    let merges =
        metadata.texts("tokenizer.ggml.merges")?.ok_or_else(|| metadata.missing("tokenizer.ggml.merges"))?;
    let pair = |(index, merge): (usize, &str)| match merge.split_once(' ') {
        Some((left, right))
            if [left, right, &[left, right].concat()].iter().all(|part| ids.contains_key(part)) =>
        {
            Ok((left.to_owned(), right.to_owned()))
        }
        _ => Err(metadata.refuse(format!(
            "merge {index}, `{}`, does not join two tokens to a third",
            merge.escape_debug()
        ))),
    };
    merges.into_iter().enumerate().map(pair).collect()
}

impl Cut {
    fn build(&self, metadata: &Metadata<'_>) -> Result<PreTokenizerWrapper> {
        let gpt2 = ByteLevel::new(false, true, true);
        Ok(match self {
            Self::Gpt2 => gpt2.into(),
            Self::DigitsThenGpt2 => Sequence::new(vec![Digits::new(true).into(), gpt2.into()]).into(),
            Self::Pattern(pattern) => {
                let pattern = SplitPattern::Regex((*pattern).to_owned());
                let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
                    .map_err(|why| metadata.refuse(format!("its pre-tokenizer cannot be built: {why}")))?;
                Sequence::new(vec![split.into(), ByteLevel::new(false, true, false).into()]).into()
            }
        })
    }
}
