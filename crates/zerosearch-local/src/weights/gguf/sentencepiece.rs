//! SentencePiece BPE: merges recovered from the scores of pieces, with bytes for what no piece writes.
//!
//! A piece of a higher score is merged first. Every way of cutting a piece in two pieces is a merge, which is how the
//! `tokenizer.json` of such a model is made from its `tokenizer.model`.

use std::collections::HashMap;

use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BPE, Merges};
use tokenizers::normalizers::{Prepend, Replace, Sequence as Normalizers};
use tokenizers::{DecoderWrapper, NormalizerWrapper, Tokenizer};
use zerosearch_learner::{LearnerError, Result, TokenId};

use super::vocabulary::{Role, Vocabulary, owned};

/// What SentencePiece writes for a space.
const SPACE: &str = "\u{2581}";
/// No piece of a real vocabulary comes near this; longer ones would take quadratic time.
const LONGEST_PIECE: usize = 512;

/// Builds the tokenizer, special tokens excepted.
pub(super) fn build(vocabulary: &Vocabulary<'_>) -> Result<Tokenizer> {
    let metadata = vocabulary.metadata;
    if metadata.flag("tokenizer.ggml.remove_extra_whitespaces")? == Some(true) {
        return Err(metadata
            .refuse("its tokenizer removes spaces (`remove_extra_whitespaces`), which is not supported"));
    }
    let leading_space = metadata.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let ids = vocabulary.ids()?;
    check_bytes(vocabulary, &ids)?;
    let unknown = vocabulary.roles.iter().position(|&role| role == Role::Unknown);
    let mut builder = BPE::builder()
        .vocab_and_merges(owned(&ids), merges(vocabulary, &ids)?)
        .fuse_unk(true)
        .byte_fallback(true);
    if let Some(id) = unknown {
        builder = builder.unk_token(vocabulary.tokens[id].to_owned());
    }
    let impossible =
        |why: tokenizers::Error| metadata.refuse(format!("its tokenizer cannot be built: {why}"));
    let mut tokenizer = Tokenizer::new(builder.build().map_err(impossible)?);
    tokenizer.with_normalizer(Some(normalizer(leading_space).map_err(impossible)?)).map_err(impossible)?;
    tokenizer.with_decoder(Some(decoder(leading_space).map_err(impossible)?));
    Ok(tokenizer)
}

/// Without all 256 byte tokens some text would vanish when it is encoded.
fn check_bytes(vocabulary: &Vocabulary<'_>, ids: &HashMap<&str, TokenId>) -> Result<()> {
    match (0..=255_u8).find(|byte| !ids.contains_key(format!("<0x{byte:02X}>").as_str())) {
        None => Ok(()),
        Some(byte) => Err(vocabulary.metadata.refuse(format!(
            "its tokenizer has no token for byte {byte} (`<0x{byte:02X}>`), so not every text could be encoded"
        ))),
    }
}

fn merges(vocabulary: &Vocabulary<'_>, ids: &HashMap<&str, TokenId>) -> Result<Merges> {
    let scores = scores(vocabulary)?;
    let mergeable = |id: TokenId| matches!(vocabulary.roles[id as usize], Role::Normal | Role::UserDefined);
    let mut ranked = Vec::new();
    for (piece, &score) in vocabulary
        .tokens
        .iter()
        .zip(&scores)
        .filter(|(piece, _)| ids.get(*piece).is_some_and(|&id| mergeable(id)))
    {
        if piece.len() > LONGEST_PIECE {
            return Err(too_long(vocabulary, piece));
        }
        let cuts = piece.char_indices().skip(1).map(|(at, _)| piece.split_at(at));
        let mut pairs: Vec<_> = cuts
            .filter_map(|(left, right)| Some(((*ids.get(left)?, *ids.get(right)?), left, right)))
            .collect();
        pairs.sort_by_key(|&(ids, ..)| ids);
        ranked.extend(pairs.into_iter().map(|(_, left, right)| (score, left, right)));
    }
    // Equal scores: the longer left part first, then the longer right part, then the order of the vocabulary.
    let length = |text: &str| text.chars().count();
    ranked.sort_by(|a, b| {
        b.0.total_cmp(&a.0)
            .then_with(|| length(b.1).cmp(&length(a.1)))
            .then_with(|| length(b.2).cmp(&length(a.2)))
    });
    Ok(ranked.into_iter().map(|(_, left, right)| (left.to_owned(), right.to_owned())).collect())
}

fn scores(vocabulary: &Vocabulary<'_>) -> Result<Vec<f32>> {
    let metadata = vocabulary.metadata;
    let scores =
        metadata.floats("tokenizer.ggml.scores")?.ok_or_else(|| metadata.missing("tokenizer.ggml.scores"))?;
    if scores.len() != vocabulary.tokens.len() {
        return Err(metadata.refuse(format!(
            "`tokenizer.ggml.scores` has {} entries for {} tokens",
            scores.len(),
            vocabulary.tokens.len()
        )));
    }
    Ok(scores)
}

fn too_long(vocabulary: &Vocabulary<'_>, piece: &str) -> LearnerError {
    vocabulary.metadata.refuse(format!(
        "a token of {} bytes cannot be real (at most {LONGEST_PIECE}); the file is damaged",
        piece.len()
    ))
}

fn normalizer(leading_space: bool) -> tokenizers::Result<NormalizerWrapper> {
    let mut steps: Vec<NormalizerWrapper> = Vec::new();
    if leading_space {
        steps.push(Prepend::new(SPACE.to_owned()).into());
    }
    steps.push(Replace::new(" ", SPACE)?.into());
    Ok(Normalizers::new(steps).into())
}

fn decoder(leading_space: bool) -> tokenizers::Result<DecoderWrapper> {
    let mut steps: Vec<DecoderWrapper> =
        vec![Replace::new(SPACE, " ")?.into(), ByteFallback::new().into(), Fuse::new().into()];
    if leading_space {
        steps.push(Strip::new(' ', 1, 0).into());
    }
    Ok(Decoders::new(steps).into())
}
