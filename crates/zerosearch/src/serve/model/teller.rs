//! A teller: the words of a reply as its tokens come, whole characters only, and nothing of a stop string too early.

use std::sync::Arc;

use zerosearch_learner::TokenId;
use zerosearch_learner::text::Text;

use super::order::Telling;

/// The words of one reply so far.
pub(super) struct Teller {
    text: Arc<Text>,
    telling: Telling,
    stops: Vec<String>,
    bytes: Vec<u8>,
    characters: usize,
    /// Bytes that were given out.
    given: usize,
    /// Where the reply itself begins, after an echoed prompt.
    begin: usize,
    /// Where the words end, once a stop string is complete.
    end: Option<usize>,
    pending: Piece,
}

/// Tokens, and the words that can be told with them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Piece {
    pub(super) words: String,
    pub(super) tokens: Vec<TokenId>,
    /// None where nothing precedes a token.
    pub(super) logprobs: Vec<Option<f32>>,
    /// Characters before each token.
    pub(super) offsets: Vec<usize>,
    /// How many of the tokens are of the prompt.
    pub(super) echoed: usize,
}

impl Teller {
    /// Nothing was said yet.
    pub(super) fn new(text: Arc<Text>, telling: Telling, stops: Vec<String>) -> Self {
        let (bytes, pending) = (Vec::new(), Piece::default());
        Self { text, telling, stops, bytes, characters: 0, given: 0, begin: 0, end: None, pending }
    }

    /// The prompt comes before the reply.
    pub(super) fn echo(&mut self, prompt: &[TokenId], logprobs: Option<Vec<f32>>) {
        for (at, token) in prompt.iter().enumerate() {
            let logprob = logprobs.as_ref().and_then(|logprobs| logprobs.get(at)).copied();
            self.append(*token, logprob.filter(|_| at > 0));
        }
        self.begin = self.bytes.len();
        self.pending.echoed = prompt.len();
    }

    /// The next token of the reply.
    pub(super) fn push(&mut self, token: TokenId, logprob: Option<f32>) {
        let before = self.bytes.len();
        self.append(token, logprob);
        if self.end.is_none() {
            self.end = self.completed(before);
        }
    }

    fn append(&mut self, token: TokenId, logprob: Option<f32>) {
        self.pending.tokens.push(token);
        self.pending.logprobs.push(logprob);
        self.pending.offsets.push(self.characters);
        if self.telling.special || !self.text.is_special(token) {
            let bytes = self.text.bytes(token);
            self.characters += bytes.iter().filter(|byte| !is_inside(**byte)).count();
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Where the words end, if what came after the first `before` bytes completes a stop string: the one that is complete
    /// first.
    fn completed(&self, before: usize) -> Option<usize> {
        let longest = self.stops.iter().map(String::len).max()?;
        let from = before.saturating_sub(longest - 1).max(self.begin);
        let find = |stop: &String| {
            let at =
                from + self.bytes[from..].windows(stop.len()).position(|window| window == stop.as_bytes())?;
            Some((at + stop.len(), at))
        };
        let (end, at) = self.stops.iter().filter_map(find).min()?;
        Some(if self.telling.stop_string { end } else { at })
    }

    /// What can be told since the last time, if anything is: up to where a stop string, or a character, may have begun. Where
    /// more than words is told, every token is worth it.
    pub(super) fn ready(&mut self) -> Option<Piece> {
        let end = self.end.unwrap_or_else(|| {
            let held =
                self.stops.iter().map(|stop| begun(&self.bytes[self.begin..], stop)).max().unwrap_or(0);
            whole_characters(&self.bytes[..self.bytes.len() - held])
        });
        let is_worth_it = self.telling.logprobs || self.telling.token_ids || end > self.given;
        is_worth_it.then(|| self.give(end))
    }

    /// All that is left: nothing follows any more.
    pub(super) fn rest(&mut self) -> Piece {
        self.give(self.end.unwrap_or(self.bytes.len()))
    }

    fn give(&mut self, end: usize) -> Piece {
        let from = self.given.min(end);
        self.given = end.max(self.given);
        let words = String::from_utf8_lossy(&self.bytes[from..end.max(from)]).into_owned();
        Piece { words, ..std::mem::take(&mut self.pending) }
    }
}

/// How many bytes at the end of `bytes` may be the beginning of `stop`.
fn begun(bytes: &[u8], stop: &str) -> usize {
    let most = bytes.len().min(stop.len().saturating_sub(1));
    (1..=most).rev().find(|length| bytes.ends_with(&stop.as_bytes()[..*length])).unwrap_or(0)
}

/// Whether `byte` goes on with a character of UTF-8.
fn is_inside(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

/// How many of `bytes` come before a character that is not complete.
fn whole_characters(bytes: &[u8]) -> usize {
    let Some(back) = bytes.iter().rev().take(4).position(|byte| !is_inside(*byte)) else {
        return bytes.len();
    };
    let at = bytes.len() - 1 - back;
    let wanted = match bytes[at] {
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF7 => 4,
        _ => 1,
    };
    if back + 1 < wanted { at } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use zerosearch_learner::text::tiny_text;

    use super::*;

    fn teller(telling: Telling, stops: &[&str]) -> Teller {
        Teller::new(Arc::new(tiny_text()), telling, stops.iter().map(|stop| (*stop).to_owned()).collect())
    }

    /// What is told after each token, and at the end.
    fn told(mut teller: Teller, tokens: &[TokenId]) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        for token in tokens {
            teller.push(*token, Some(-1.0));
            words.push(teller.ready().map_or_else(String::new, |piece| piece.words));
        }
        words.push(teller.rest().words);
        words
    }

    fn bytes(text: &str) -> Vec<TokenId> {
        text.bytes().map(TokenId::from).collect()
    }

    #[test]
    fn a_character_is_told_when_it_is_whole() {
        assert_eq!(told(teller(Telling::default(), &[]), &bytes("é🇫")), ["", "é", "", "", "", "🇫", ""]);
        // A lead byte that nothing follows is replaced as soon as that is known, and so is one at the end.
        assert_eq!(
            told(teller(Telling::default(), &[]), &[0xC3, 97, 0xE2]),
            ["", "\u{fffd}a", "", "\u{fffd}"]
        );
    }

    #[test]
    fn nothing_of_a_stop_string_is_told_unless_it_is_none() {
        let hidden = teller(Telling::default(), &["ab!", "\n"]);
        assert_eq!(told(hidden, &bytes("aab!")), ["", "a", "", "", ""]);
        let none = teller(Telling::default(), &["ab!"]);
        assert_eq!(told(none, &bytes("xabc")), ["x", "", "", "abc", ""]);
        let cut = teller(Telling::default(), &["ab!"]);
        assert_eq!(
            told(cut, &bytes("xab")).concat(),
            "xab",
            "what was begun and not finished is told at the end"
        );
        let shown = teller(Telling { stop_string: true, ..Telling::default() }, &["b!"]);
        assert_eq!(told(shown, &bytes("ab!")).concat(), "ab!");
    }

    /// 264 is `</search>` in the built-in vocabulary's order: four marks from 256 on, then the tags.
    #[test]
    fn tags_are_words_and_special_tokens_are_not() {
        let text = tiny_text();
        let tag = text.token("</search>").unwrap();
        let end = text.token("<|end|>").unwrap();
        assert_eq!(told(teller(Telling::default(), &[]), &[97, tag, end]).concat(), "a</search>");
        let spelled = teller(Telling { special: true, ..Telling::default() }, &[]);
        assert_eq!(told(spelled, &[97, end]).concat(), "a<|end|>");
    }

    #[test]
    fn an_echo_completes_no_stop_string_and_offsets_count_characters() {
        let mut teller = teller(Telling { echo: true, logprobs: true, ..Telling::default() }, &["ab"]);
        teller.echo(&bytes("éa"), Some(vec![0.0, -1.0, -2.0]));
        teller.push(98, Some(-3.0));
        let piece = teller.rest();
        assert_eq!(piece.words, "éab");
        assert_eq!(piece.offsets, [0, 1, 1, 2], "a token inside a character stands after its beginning");
        assert_eq!(piece.logprobs, [None, Some(-1.0), Some(-2.0), Some(-3.0)]);
    }
}
