//! A reply: where each document begins and ends in what a model wrote.
//!
//! Asked for lines `Doc 1: …`, models also write `Doc1:`, `Document 1:`, `**Doc 1:** …`, `[Doc 1] …`, `1. …`,
//! `Doc 1 (Title: …) …`, several documents on one line, or one over several lines. All of that is read. What stands
//! before the first document is dropped, and so are the thoughts of a reasoning model.

/// One document as it was written, not yet cleaned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Draft {
    /// From `(Title: …)`; empty without it.
    pub(super) title: String,
    pub(super) text: String,
    /// Whether the reply ended at its length limit in the middle of this document.
    pub(super) cut_off: bool,
}

impl Draft {
    /// A document from its words, a title in parentheses at their front taken apart.
    pub(super) fn new(words: &str, cut_off: bool) -> Self {
        let (title, text) = split_title(words.trim());
        Self { title: title.into(), text: text.into(), cut_off }
    }
}

/// The documents of `reply`, in the order of writing, whatever their numbers. `finished` is false for a reply that
/// ended at its length limit.
pub(super) fn read(reply: &str, finished: bool) -> Vec<Draft> {
    let reply = without_thoughts(reply);
    let named = reply.lines().any(|line| named_marker(line).is_some());
    let mut found: Vec<(usize, String)> = Vec::new();
    for line in reply.lines() {
        let last = found.last().map_or(0, |(number, _)| *number);
        let marker = if named { named_marker(line) } else { bare_marker(line, last) };
        match (marker, found.last_mut()) {
            (Some(marker), _) => split_line(marker, &mut found),
            (None, Some((_, text))) => {
                text.push(' ');
                text.push_str(line.trim());
            }
            (None, None) => {}
        }
    }
    let count = found.len();
    let draft = |(i, (_, words)): (usize, (usize, String))| Draft::new(&words, !finished && i + 1 == count);
    found.into_iter().enumerate().map(draft).collect()
}

/// What stands behind a reasoning model's thoughts; nothing where they did not end.
fn without_thoughts(reply: &str) -> &str {
    const CLOSE: &str = "</think>";
    match (reply.rfind(CLOSE), reply.find("<think>")) {
        (Some(at), _) => &reply[at + CLOSE.len()..],
        (None, Some(at)) => &reply[..at],
        (None, None) => reply,
    }
}

/// The beginning of a document: its number, and what follows on the same line.
#[derive(Clone, Copy)]
struct Marker<'a> {
    number: usize,
    rest: &'a str,
}

/// Adds the document of `marker`, and those that follow on the same line as `Doc 2: …`, each numbered one higher.
fn split_line(marker: Marker<'_>, found: &mut Vec<(usize, String)>) {
    let Marker { mut number, mut rest } = marker;
    while let Some((text, next)) = next_on_line(rest, number + 1) {
        found.push((number, text.to_owned()));
        (number, rest) = (next.number, next.rest);
    }
    found.push((number, rest.to_owned()));
}

fn next_on_line(line: &str, number: usize) -> Option<(&str, Marker<'_>)> {
    let starts = line.char_indices().filter(|(at, c)| {
        matches!(c, 'D' | 'd')
            && line[..*at].ends_with(|before: char| before.is_whitespace() || before == '*')
    });
    starts.map(|(at, _)| line.split_at(at)).find_map(|(text, tail)| {
        let marker = named_marker(tail).filter(|marker| marker.number == number)?;
        let sign = &tail[..tail.len() - marker.rest.len()];
        sign.contains([':', '：']).then(|| (text.trim_end_matches(is_decoration), marker))
    })
}

/// `Doc 1:` and its many spellings.
fn named_marker(line: &str) -> Option<Marker<'_>> {
    let name =
        line.trim_start_matches(|c| is_decoration(c) || matches!(c, '[' | '(' | '#' | '>' | '-' | '•'));
    let behind_name = strip_word(name, "document").or_else(|| strip_word(name, "doc"))?;
    let digits = behind_name.trim_start_matches([' ', '#', '.', '_', '\u{a0}']);
    let (number, behind) = split_number(digits)?;
    let closed = behind.trim_start_matches([' ', ']', ')', '*', '_', '`']);
    let has_closer = behind[..behind.len() - closed.len()].contains([']', ')', '*']);
    if closed.is_empty() || strip_word(closed, "(title").is_some() {
        return Some(Marker { number, rest: closed });
    }
    match closed.strip_prefix([':', '：', '.', '-', '–', '—', '|', '=']) {
        Some(rest) => Some(Marker { number, rest: rest.trim_start_matches(is_decoration) }),
        None => has_closer.then_some(Marker { number, rest: closed }),
    }
}

/// `1. …` or `1) …`, where it is 1 or goes on from the `last` number: "1945. The war" is no beginning.
fn bare_marker(line: &str, last: usize) -> Option<Marker<'_>> {
    let line = line.trim_start_matches(|c| is_decoration(c) || matches!(c, '#' | '>'));
    let (number, behind) = split_number(line)?;
    let rest = behind.trim_start_matches('*').strip_prefix(['.', ')', ':'])?;
    let separate = rest.is_empty() || rest.starts_with(is_decoration);
    (separate && (number == 1 || number == last + 1))
        .then(|| Marker { number, rest: rest.trim_start_matches(is_decoration) })
}

/// Blanks and the signs of emphasis.
fn is_decoration(c: char) -> bool {
    c.is_whitespace() || matches!(c, '*' | '_' | '`')
}

fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let head = text.get(..word.len())?;
    head.eq_ignore_ascii_case(word).then(|| &text[word.len()..])
}

/// A number of up to three digits at the front, and what follows.
fn split_number(text: &str) -> Option<(usize, &str)> {
    let behind = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = &text[..text.len() - behind.len()];
    let number = if digits.len() <= 3 { digits.parse().ok()? } else { return None };
    Some((number, behind))
}

/// `(Title: "The Seine") A river …` as title and text.
fn split_title(words: &str) -> (&str, &str) {
    let inside =
        strip_word(words, "(title").map(str::trim_start).and_then(|rest| rest.strip_prefix([':', '：']));
    let Some(inside) = inside else { return ("", words) };
    let mut open = 1;
    for (at, c) in inside.char_indices() {
        open += i32::from(c == '(') - i32::from(c == ')');
        if open == 0 {
            let title = inside[..at].trim().trim_matches(['"', '“', '”', '\'']);
            return (title, inside[at + 1..].trim_start_matches(|c| is_decoration(c) || c == ':'));
        }
    }
    ("", words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(reply: &str) -> Vec<String> {
        read(reply, true).into_iter().map(|draft| draft.text).collect()
    }

    #[test]
    fn every_spelling_of_a_beginning_is_read() {
        for reply in [
            "Doc 1: a b\nDoc 2: c",
            "Doc1: a b\n\n\nDoc2: c",
            "Document 1: a b\nDOCUMENT 2: c",
            "doc #1 - a b\ndoc #2 - c",
            "Doc. 1: a b\nDoc. 2: c",
            "**Doc 1:** a b\n**Doc 2**: c",
            "### Doc 1\na b\n### Doc 2\nc",
            "[Doc 1] a b\n[Doc 2] c",
            "1. a b\n2. c",
            "1) a b\n\n2) c",
            "**1.** a b\n**2.** c",
            "- Doc 1: a b\n- Doc 2: c",
            "Sure! Here are two documents:\n\nDoc 1: a b\nDoc 2: c",
            "Doc 1: a b Doc 2: c",
            "Doc 1: a b **Doc 2:** c",
            "Doc 1: a\nb\nDoc 2:\nc",
            "Doc 1: a b\r\nDoc 2: c\r\n",
            "<think>Doc 1: hm</think>\nDoc 1: a b\nDoc 2: c",
            "Doc 1: a b\nDoc 1: c",
            "1. a b\n1. c",
        ] {
            assert_eq!(texts(reply), ["a b", "c"], "{reply}");
        }
    }

    #[test]
    fn titles_in_parentheses_are_taken_apart() {
        for reply in
            ["Doc 1: (Title: \"The Seine\") a", "Doc 1(Title: The Seine) a", "1. (title: “The Seine”): a"]
        {
            let draft = Draft { title: "The Seine".into(), text: "a".into(), cut_off: false };
            assert_eq!(read(reply, true), [draft], "{reply}");
        }
        let nested = &read("Doc 1: (Title: Up (film)) a", true)[0];
        assert_eq!((nested.title.as_str(), nested.text.as_str()), ("Up (film)", "a"));
        assert_eq!(texts("Doc 1: (Title: never closed"), ["(Title: never closed"]);
    }

    #[test]
    fn numbers_and_doctors_inside_a_document_begin_nothing() {
        assert_eq!(texts("1. born in\n1945. The war\n2. b"), ["born in 1945. The war", "b"]);
        assert_eq!(texts("1. about\n1.5 m\n2. b"), ["about 1.5 m", "b"]);
        assert_eq!(texts("Doc 1: a\nDoctor 2: who\n2. x\nDoc 2: b"), ["a Doctor 2: who 2. x", "b"]);
        assert_eq!(texts("Doc 1: see Doc 7: there\nDoc 2: b"), ["see Doc 7: there", "b"]);
    }

    #[test]
    fn a_reply_without_documents_has_none() {
        for reply in ["", "I cannot help with that.", "<think>Doc 1: a", "\n\n", "doc", "Doc x: a"] {
            assert_eq!(texts(reply), Vec::<String>::new(), "{reply}");
        }
    }

    #[test]
    fn only_the_last_document_of_an_unfinished_reply_is_cut_off() {
        let cut: Vec<bool> = read("Doc 1: a\nDoc 2: b c", false).iter().map(|draft| draft.cut_off).collect();
        assert_eq!(cut, [false, true]);
    }

    #[test]
    fn empty_documents_are_told_apart_from_missing_ones() {
        assert_eq!(texts("Doc 1:\nDoc 2: b"), ["", "b"]);
    }

    #[test]
    fn odd_letters_do_no_harm() {
        for reply in
            ["Doc １: a", "documenté 1: a", "dœc 1:", "Doc 99999999999999999999: a", "（Doc 1: é 日本"]
        {
            read(reply, true);
        }
        assert_eq!(texts("Doc 1： é 日本\nDoc 2: ü"), ["é 日本", "ü"]);
    }
}
