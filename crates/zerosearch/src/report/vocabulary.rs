//! A vocabulary: the words of a run's tokens, where a checkpoint of it holds the tokenizer.

use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use zerosearch_learner::TokenId;
use zerosearch_learner::text::Text;

use super::source::{Source, numbered_folders};
use crate::run::Directory;

const FILE: &str = "tokenizer.json";

/// The tokenizers that the reported folders hold.
#[derive(Clone, Default)]
pub(super) struct Vocabularies {
    known: Vec<Known>,
}

#[derive(Clone)]
struct Known {
    /// The number of the source in whose checkpoint it is.
    source: usize,
    hash: String,
    text: Arc<Text>,
}

impl Vocabularies {
    /// Those in the newest checkpoint of each of `sources`. One that cannot be read is noted there.
    pub(super) fn of(sources: &mut [Source]) -> Self {
        let mut known = Vec::new();
        for (number, source) in sources.iter_mut().enumerate() {
            let Some(folder) = newest_checkpoint(source) else { continue };
            match (std::fs::read(folder.join(FILE)), Text::from_directory(&folder)) {
                (Ok(bytes), Ok(text)) => {
                    let hash = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
                    known.push(Known { source: number, hash, text: Arc::new(text) });
                }
                (_, Err(error)) => source.remarks.push(format!("tokens are shown as numbers: {error}")),
                (Err(error), _) => source.remarks.push(format!("tokens are shown as numbers: {error}")),
            }
        }
        Self { known }
    }

    /// That of the source with this number: its own, or one of the same hash.
    pub(super) fn for_source(&self, number: usize, source: &Source) -> Option<Arc<Text>> {
        let recorded = source.hashes.models.get(FILE);
        let fits =
            |it: &&Known| it.source == number || (source.record.is_none() && recorded == Some(&it.hash));
        self.known.iter().find(fits).map(|it| Arc::clone(&it.text))
    }
}

fn newest_checkpoint(source: &Source) -> Option<PathBuf> {
    let directory = Directory::at(&source.folder);
    let steps = numbered_folders(&directory.checkpoints()).ok()?;
    steps.into_iter().rev().map(|step| directory.checkpoint(step)).find(|folder| folder.join(FILE).is_file())
}

/// How long each of `tokens` is in `words`, which they spell, in units of UTF-16 as scripts of pages count: a character
/// counts for the token that completes it. `None` where the tokens do not spell `words`.
pub(super) fn lengths(text: &Text, tokens: &[TokenId], words: &str) -> Option<Vec<usize>> {
    if text.decode(tokens) != words {
        return None;
    }
    let bytes: Vec<u8> = tokens.iter().flat_map(|token| text.bytes(*token)).copied().collect();
    let complete = complete_at(&bytes);
    let mut at = 0;
    let length = |token: &TokenId| {
        let start = at;
        at += text.bytes(*token).len();
        complete[at] - complete[start]
    };
    Some(tokens.iter().map(length).collect())
}

/// How many units of UTF-16 are complete after so many of `bytes`; what is not UTF-8 is one unit, as in a lossy text.
fn complete_at(bytes: &[u8]) -> Vec<usize> {
    let mut complete = vec![0];
    let mut units = 0;
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            complete.extend(vec![units; letter.len_utf8() - 1]);
            units += letter.len_utf16();
            complete.push(units);
        }
        if !chunk.invalid().is_empty() {
            complete.extend(vec![units; chunk.invalid().len() - 1]);
            units += 1;
            complete.push(units);
        }
    }
    complete
}

#[cfg(test)]
mod tests {
    use zerosearch_learner::text::tiny_text;

    use super::*;

    /// The tiny tokenizer spells byte by byte: ß is two bytes and one unit, 𝄞 four bytes and two units.
    #[test]
    fn a_character_counts_for_the_token_that_completes_it() {
        let text = tiny_text();
        let tokens = text.encode_plain("aß𝄞");
        assert_eq!(lengths(&text, &tokens, "aß𝄞").unwrap(), [1, 0, 1, 0, 0, 0, 2]);
        assert!(lengths(&text, &tokens, "aß").is_none());
    }

    /// 0xff is no UTF-8, 0xc3 begins a character that does not go on: one replacement each, as in the text.
    #[test]
    fn bytes_that_are_no_text_count_as_their_replacement() {
        let text = tiny_text();
        let tokens = [0xff, 0xc3, 0x61];
        assert_eq!(lengths(&text, &tokens, "\u{fffd}\u{fffd}a").unwrap(), [1, 1, 1]);
    }
}
