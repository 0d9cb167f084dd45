//! What names and texts may say.

/// Names that tell nothing about what is inside.
const EMPTY_NAMES: [&str; 10] =
    ["base", "utils", "util", "common", "helpers", "helper", "misc", "types", "core", "manager"];

/// The first line is `//!` and a sentence.
pub(super) fn opening(text: &str) -> Vec<String> {
    let sentence = text.lines().next().and_then(|line| line.strip_prefix("//! ")).unwrap_or("");
    if sentence.trim().len() < 10 {
        return vec!["the first line has to be `//!` and a sentence that defines the file's noun".into()];
    }
    Vec::new()
}

/// A file or folder is called by its noun.
pub(super) fn file_name(path: &str) -> Vec<String> {
    let parts = path.trim_end_matches(".rs").split('/');
    let empty = parts
        .filter(|part| EMPTY_NAMES.contains(part) || part.ends_with("_utils") || part.ends_with("_helpers"));
    empty.map(|part| format!("`{part}` says nothing; name the idea")).collect()
}

/// Below a `src`, two folders at most; tests may lie one deeper.
pub(super) fn depth(path: &str) -> Vec<String> {
    let Some((_, below)) = path.split_once("/src/") else { return Vec::new() };
    let folders = below.split('/').count() - 1;
    let tests = below.split('/').any(|part| part == "tests" || part == "tests.rs");
    let most = if tests { 3 } else { 2 };
    (folders > most).then(|| format!("{folders} folders deep, {most} are allowed")).into_iter().collect()
}

/// No notes about work to come.
pub(super) fn unfinished(text: &str) -> Vec<String> {
    let notes = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let noted =
        |line: &str| line.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| notes.contains(&word));
    let lines = text.lines().enumerate().filter(|(_, line)| noted(line));
    lines.map(|(at, line)| format!("line {}: `{}`: do it or leave it", at + 1, line.trim())).collect()
}

/// No paths of the place where the repository was made.
pub(super) fn workplace(text: &str) -> Vec<String> {
    let places = [concat!("/wo", "rk/"), concat!("sha", "red/")];
    let lines = text.lines().enumerate().filter(|(_, line)| places.iter().any(|place| line.contains(place)));
    lines.map(|(at, _)| format!("line {} names a folder that others do not have", at + 1)).collect()
}

/// Every relative link leads to something.
pub(super) fn dead_links(path: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let dead = links(text).into_iter().filter(|link| {
        let target = link.split('#').next().unwrap_or("");
        !target.is_empty() && !exists([folder, target].join("/").trim_start_matches('/'))
    });
    dead.map(|link| format!("the link to `{link}` is dead")).collect()
}

/// Targets of Markdown links outside code blocks, those with a scheme left out.
fn links(text: &str) -> Vec<&str> {
    let mut links = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        links.extend(targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")));
    }
    links
}

#[test]
fn a_file_without_its_sentence_is_seen() {
    assert!(opening("//! A query: what the policy wrote.\n").is_empty());
    for text in ["", "use x;\n//! Late.", "//!\n", "//! x\n", "// A comment of some length.\n"] {
        assert_eq!(opening(text).len(), 1, "{text}");
    }
}

#[test]
fn empty_names_are_seen() {
    assert!(file_name("crates/zerosearch/src/qa/score.rs").is_empty());
    for path in ["src/utils.rs", "src/common/x.rs", "src/core.rs", "src/string_utils.rs"] {
        assert_eq!(file_name(path).len(), 1, "{path}");
    }
}

#[test]
fn deep_folders_are_seen() {
    assert!(depth("crates/x/src/a/b/file.rs").is_empty());
    assert!(depth("crates/x/src/a/b/tests/file.rs").is_empty());
    assert_eq!(depth("crates/x/src/a/b/c/file.rs").len(), 1);
}

#[test]
fn notes_are_seen() {
    assert!(unfinished("// The todo list of a question.").is_empty());
    assert_eq!(unfinished(concat!("// TO", "DO: later")).len(), 1);
}

#[test]
fn paths_of_a_workplace_are_seen() {
    assert!(workplace("target/debug, the work of others").is_empty());
    assert_eq!(workplace(concat!("see /wo", "rk/x")).len(), 1);
    assert_eq!(workplace(concat!("../sha", "red/x")).len(), 1);
}

#[test]
fn dead_links_are_seen() {
    let text =
        "[a](there.md) [b](gone.md#part) [c](https://example.org) [d](#here)\n```\n[e](code.md)\n```\n";
    assert_eq!(
        dead_links("docs/x.md", text, |path| path == "docs/there.md"),
        ["the link to `gone.md#part` is dead"]
    );
    assert!(dead_links("x.md", "[a](there.md)", |path| path == "there.md").is_empty());
}
