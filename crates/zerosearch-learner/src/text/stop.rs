//! Stop strings that work across token borders.

/// Watches newly written text for stop strings.
#[derive(Clone, Debug)]
pub struct StopMatcher {
    strings: Vec<Vec<u8>>,
    /// The end of the text: as much as an unfinished stop string can reach back.
    tail: Vec<u8>,
    longest: usize,
}

impl StopMatcher {
    /// Watches for `strings`, none of which is empty.
    pub fn new(strings: &[String]) -> Self {
        let strings: Vec<Vec<u8>> = strings.iter().map(|string| string.clone().into_bytes()).collect();
        let longest = strings.iter().map(Vec::len).max().unwrap_or(0);
        Self { strings, tail: Vec::new(), longest }
    }

    /// Takes the bytes of the next token; says which string it completed, the one that ends first if there are several.
    pub fn push(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.longest == 0 {
            return None;
        }
        self.tail.extend_from_slice(bytes);
        let find = |string: &Vec<u8>| {
            let at = self.tail.windows(string.len().max(1)).position(|window| window == string.as_slice())?;
            Some(at + string.len())
        };
        let ends = self.strings.iter().enumerate().filter_map(|(index, string)| Some((find(string)?, index)));
        let first = ends.min();
        let keep_from = self.tail.len().saturating_sub(self.longest - 1);
        self.tail.drain(..keep_from);
        first.map(|(_, index)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher() -> StopMatcher {
        StopMatcher::new(&["</search>".into(), "</answer>".into()])
    }

    #[test]
    fn finds_a_string_across_tokens_and_with_text_behind_it() {
        let mut stop = matcher();
        let pieces: [&[u8]; 4] = [b"<search> x </", b"sea", b"rch", b">\n\n"];
        let found: Vec<_> = pieces.into_iter().map(|piece| stop.push(piece)).collect();
        assert_eq!(found, [None, None, None, Some(0)]);
    }

    #[test]
    fn the_string_that_ends_first_wins() {
        assert_eq!(matcher().push(b"</answer></search>"), Some(1));
        assert_eq!(matcher().push(b"</search></answer>"), Some(0));
    }

    #[test]
    fn nothing_is_found_in_lookalikes() {
        let mut stop = matcher();
        for piece in [&b"</searc"[..], b"</search", b"</answer"] {
            assert_eq!(stop.push(piece), None);
        }
        assert_eq!(stop.push(b">"), Some(1));
        assert_eq!(StopMatcher::new(&[]).push(b"anything"), None);
    }
}
