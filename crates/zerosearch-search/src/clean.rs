//! Cleaning: what makes an engine's hostile text harmless before it enters a transcript.
//!
//! A cleaned text is one line that cannot open or close a tag of any rollout protocol, spell a special token, move a
//! terminal's cursor or hide letters from a reader:
//!
//! * line breaks, tabs and all other white space become single spaces; the ends are trimmed;
//! * control characters, terminal escape sequences, zero-width characters, direction overrides and other invisible
//!   characters are dropped (joiners inside emoji and scripts too: a look-alike is worth more than a hiding place);
//! * `<` becomes `‹` wherever a tag or special token could begin: before a letter, `/`, `|`, `!`, `?` or `_`, at the
//!   very end, and, with spaces between, before the name of a protocol tag. The `>` that closes it becomes `›`.
//!   Full-width and small forms of `<`, `>`, `|` and letters count as the plain ones, because tokenizers fold them.
//!   A lone `<` as in `x < 5` or `<3` stays;
//! * what is longer than [`MAX_CHARS`] is cut.
//!
//! Cleaning a cleaned text changes nothing, and no text grows in characters.

use std::iter::Peekable;
use std::str::Chars;

/// The longest text that cleaning lets through, in characters.
pub const MAX_CHARS: usize = 20_000;

/// How tag names begin that are recognised even with a space between `<` and the name.
const PROTOCOL_NAMES: [&str; 11] = [
    "think",
    "search",
    "answer",
    "information",
    "result",
    "tool",
    "document",
    "observation",
    "system",
    "user",
    "assistant",
];

/// How far behind a neutralised `<` its `>` is looked for, in characters.
const TAG_REACH: usize = 200;

/// `text`, harmless; see the module's text for what that means.
pub fn clean(text: &str) -> String {
    clean_counted(text).0
}

/// The same, and how many tags or special tokens were neutralised.
pub fn clean_counted(text: &str) -> (String, usize) {
    let mut chars = visible_line(text);
    let count = neutralise(&mut chars);
    (chars.into_iter().collect(), count)
}

/// One trimmed line of visible characters, at most [`MAX_CHARS`] of them.
fn visible_line(text: &str) -> Vec<char> {
    let mut line = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if line.len() > MAX_CHARS {
            break;
        }
        match c {
            '\u{1b}' | '\u{9b}' | '\u{9d}' => skip_escape(c, &mut chars),
            _ if c.is_whitespace() => {
                if line.last().is_some_and(|&last| last != ' ') {
                    line.push(' ');
                }
            }
            _ if c.is_control() || is_invisible(c) => {}
            _ => line.push(c),
        }
    }
    line.truncate(MAX_CHARS);
    while line.last() == Some(&' ') {
        line.pop();
    }
    line
}

/// Drops the rest of a terminal escape sequence (ECMA-48) whose first character was `lead`.
fn skip_escape(lead: char, chars: &mut Peekable<Chars<'_>>) {
    let kind = match lead {
        '\u{9b}' => Some('['),
        '\u{9d}' => Some(']'),
        _ => chars.next_if(|&c| ('\u{20}'..='\u{7e}').contains(&c)),
    };
    match kind {
        Some('[') => {
            while chars.next_if(|&c| ('\u{20}'..='\u{3f}').contains(&c)).is_some() {}
            chars.next_if(|&c| ('\u{40}'..='\u{7e}').contains(&c));
        }
        Some(']') => skip_command(chars),
        _ => {}
    }
}

/// Drops an operating-system command up to its end, if an end is near; without one the text behind it is kept.
fn skip_command(chars: &mut Peekable<Chars<'_>>) {
    const LONGEST: usize = 500;
    let ahead = chars.clone().take(LONGEST).position(|c| matches!(c, '\u{7}' | '\u{9c}' | '\u{1b}'));
    let Some(length) = ahead else { return };
    for _ in 0..length {
        chars.next();
    }
    if chars.next() == Some('\u{1b}') {
        chars.next_if_eq(&'\\');
    }
}

/// Characters that draw nothing: zero-width, direction marks and overrides, fillers, variation selectors, tags.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{ffa0}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Replaces the angle brackets of everything that could be a tag; gives how many.
fn neutralise(line: &mut [char]) -> usize {
    let mut count = 0;
    for at in 0..line.len() {
        if plain(line[at]) != '<' || !opens_tag(&line[at + 1..]) {
            continue;
        }
        line[at] = '‹';
        count += 1;
        let reach = (at + 1 + TAG_REACH).min(line.len());
        let close = line[at + 1..reach].iter().position(|&c| matches!(plain(c), '<' | '>'));
        if let Some(close) = close.map(|offset| at + 1 + offset).filter(|&i| plain(line[i]) == '>') {
            line[close] = '›';
        }
    }
    count
}

/// Whether the characters behind a `<` could make a tag or a special token of it.
fn opens_tag(rest: &[char]) -> bool {
    match rest.first().map(|&c| plain(c)) {
        None => true,
        Some(' ') => opens_spaced_tag(&rest[1..]),
        Some(c) => c.is_alphabetic() || matches!(c, '/' | '\\' | '|' | '!' | '?' | '_' | '▁'),
    }
}

/// The same with a space in between (there is never more than one): only what a protocol could mean counts.
fn opens_spaced_tag(rest: &[char]) -> bool {
    let plain: Vec<char> = rest.iter().take(16).map(|&c| plain(c).to_ascii_lowercase()).collect();
    let Some(first) = plain.first() else { return true };
    if matches!(first, '/' | '|') {
        return true;
    }
    let text: String = plain.iter().collect();
    PROTOCOL_NAMES.iter().any(|name| text.starts_with(name))
}

/// The plain form that compatibility normalisation (NFKC) gives full-width and small signs; other characters stay.
fn plain(c: char) -> char {
    match c {
        '\u{fe64}' => '<',
        '\u{fe65}' => '>',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

#[cfg(test)]
mod tests;
