//! Rust source with comments and literals blanked out, so that words in them are not taken for code.

use std::ops::Range;

/// A source file's lines, as written and as bare code. Both have the same lines and columns.
pub(super) struct Code {
    pub(super) written: Vec<String>,
    pub(super) bare: Vec<String>,
}

/// A function: its name and its lines, from the one with `fn` to that of the closing brace.
pub(super) struct Function {
    pub(super) name: String,
    pub(super) lines: Range<usize>,
    /// How many braces are open around it.
    pub(super) depth: usize,
}

impl Code {
    pub(super) fn of(text: &str) -> Self {
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        Self { written: lines(text), bare: lines(&blank(text)) }
    }

    /// Lines of bare code in which `word` stands by itself.
    pub(super) fn lines_with<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.bare
            .iter()
            .enumerate()
            .filter(move |(_, line)| words(line).any(|found| found == word))
            .map(|(at, _)| at)
    }

    /// Every function that has a body, outer ones before those inside them.
    pub(super) fn functions(&self) -> Vec<Function> {
        let text: Vec<char> = self.bare.join("\n").chars().collect();
        let mut functions = Vec::new();
        let (mut line, mut depth) = (0, 0_usize);
        for at in 0..text.len() {
            match text[at] {
                '\n' => line += 1,
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                'f' => {
                    if let Some((name, length)) = function_at(&text, at) {
                        functions.push(Function { name, lines: line..line + length, depth });
                    }
                }
                _ => {}
            }
        }
        functions
    }

    /// The line at which a trailing module of tests begins (its attribute), or the number of lines.
    pub(super) fn without_tests(&self) -> usize {
        let last = self.bare.len();
        let begin = (0..last).rev().find(|&at| {
            self.bare[at].trim() == "#[cfg(test)]"
                && self.bare.get(at + 1).is_some_and(|next| next.starts_with("mod "))
        });
        let closes =
            self.bare.iter().rposition(|line| !line.trim().is_empty()).map(|at| self.bare[at].as_str());
        // A module that ends the file is closed by its last line, unindented, or has no body here.
        let trailing = |at: usize| {
            let after = &self.bare[at + 2..];
            closes == Some("}")
                && !after
                    .iter()
                    .rev()
                    .skip_while(|line| line.trim().is_empty())
                    .skip(1)
                    .any(|line| line == "}")
        };
        begin.filter(|&at| self.bare[at + 1].ends_with('{') && trailing(at)).unwrap_or(last)
    }
}

/// Identifiers and keywords of a line.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The name of the function with a body that begins at `at`, and how many lines it has.
fn function_at(text: &[char], at: usize) -> Option<(String, usize)> {
    let is_word = |c: &char| c.is_alphanumeric() || *c == '_';
    if text.get(at + 1) != Some(&'n')
        || !text.get(at + 2)?.is_whitespace()
        || (at > 0 && is_word(&text[at - 1]))
    {
        return None;
    }
    let name: String = text[at + 3..].iter().take_while(|c| is_word(c)).collect();
    if name.is_empty() {
        return None;
    }
    let (mut round, mut curly, mut lines) = (0, 0, 1);
    for &c in &text[at..] {
        match c {
            '\n' => lines += 1,
            '(' | '[' => round += 1,
            ')' | ']' => round -= 1,
            ';' if round == 0 && curly == 0 => return None,
            '{' => curly += 1,
            '}' => {
                curly -= 1;
                if curly == 0 && round == 0 {
                    return Some((name, lines));
                }
            }
            _ => {}
        }
    }
    None
}

/// `text` with everything in comments, strings and character literals replaced by spaces; line ends stay.
fn blank(text: &str) -> String {
    let text: Vec<char> = text.chars().collect();
    let mut bare = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let length = literal_at(&text, at);
        if length == 0 {
            bare.push(text[at]);
            at += 1;
            continue;
        }
        let end = (at + length).min(text.len());
        bare.extend(text[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    bare
}

/// How long the comment or literal is that begins at `at`; 0 if none does.
fn literal_at(text: &[char], at: usize) -> usize {
    let begins = |pattern: &str| pattern.chars().enumerate().all(|(i, c)| text.get(at + i) == Some(&c));
    let in_word = at > 0 && (text[at - 1].is_alphanumeric() || text[at - 1] == '_');
    match text[at] {
        '/' if begins("//") => text[at..].iter().take_while(|&&c| c != '\n').count(),
        '/' if begins("/*") => block_comment(&text[at..]),
        '"' => quoted(&text[at..], '"'),
        '\'' if begins("'\\") || text.get(at + 2) == Some(&'\'') => quoted(&text[at..], '\''),
        'r' | 'b' | 'c' if !in_word => prefixed(&text[at..]),
        _ => 0,
    }
}

fn block_comment(text: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at + 1 < text.len() {
        match (text[at], text[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// A literal that begins and ends with `quote`, in which a backslash hides the next character.
fn quoted(text: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < text.len() && text[at] != quote {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// A raw, byte or C string: letters, perhaps number signs, a quote.
fn prefixed(text: &[char]) -> usize {
    let letters = text.iter().take_while(|c| matches!(c, 'r' | 'b' | 'c')).count();
    let raw = text[..letters].contains(&'r');
    let signs = if raw { text[letters..].iter().take_while(|&&c| c == '#').count() } else { 0 };
    let open = letters + signs;
    match text.get(open) {
        Some('"') if letters <= 2 && !raw => open + quoted(&text[open..], '"'),
        Some('\'') if letters == 1 && text[0] == 'b' => open + quoted(&text[open..], '\''),
        Some('"') if letters <= 2 => {
            let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', signs)).collect();
            let inside = text[open + 1..].windows(close.len()).position(|window| window == close);
            inside.map_or(text.len(), |inside| open + 1 + inside + close.len())
        }
        _ => 0,
    }
}

#[test]
fn comments_and_literals_are_no_code() {
    for literal in [
        "// word",
        "/* word /* word */ word */",
        "\"word\"",
        "\"\\\" word\"",
        "r\"\\word\"",
        "r#\"\" word\"#",
        "b\"word\"",
        "b'\\''",
        "'\"'",
        "'\\''",
    ] {
        let code = Code::of(&format!("before {literal}\nafter"));
        assert_eq!(code.bare[0].trim_end(), "before", "{literal}");
        assert_eq!(code.bare[1], "after", "{literal}");
    }
    assert_eq!(Code::of("fn f<'a>(x: &'a str) {}").bare[0], "fn f<'a>(x: &'a str) {}");
}

#[test]
fn functions_are_found_with_their_lines() {
    let text = "impl X {\n    fn short() {}\n    fn long(a: [u8; 4]) -> u8 {\n        if a { \"}\" }\n        1\n    }\n}\ntrait T { fn none(&self); }\ntype F = fn(u8);\n";
    let found: Vec<_> =
        Code::of(text).functions().into_iter().map(|it| (it.name, it.lines, it.depth)).collect();
    assert_eq!(found, [("short".to_owned(), 1..2, 1), ("long".to_owned(), 2..6, 1)]);
}

#[test]
fn trailing_tests_are_told_from_code() {
    assert_eq!(
        Code::of("fn f() {}\n\n#[cfg(test)]\nmod tests {\n    fn t() {\n    }\n}\n").without_tests(),
        2
    );
    assert_eq!(Code::of("#[cfg(test)]\nmod tests {\n}\nfn f() {\n}\n").without_tests(), 5);
    assert_eq!(Code::of("fn f() {}\n#[cfg(test)]\nmod tests;\n").without_tests(), 3);
}
