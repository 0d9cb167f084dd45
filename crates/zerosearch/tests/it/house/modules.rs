//! How modules are put together.

use super::code::Code;

/// A `mod.rs` has docs, `mod`, `use` and at most one type with its own methods; no other functions.
pub(super) fn contents(code: &Code) -> Vec<String> {
    let mut complaints = Vec::new();
    let outside = code.functions().into_iter().filter(|function| function.depth == 0);
    complaints.extend(outside.map(|it| format!("`{}` is a function: a table of contents has none", it.name)));
    let kinds = ["struct", "enum", "union", "trait"];
    let types: Vec<&str> = code.bare.iter().filter_map(|line| declared(line, &kinds)).collect();
    if types.len() > 1 {
        complaints.push(format!("{} types ({}), one central type is allowed", types.len(), types.join(", ")));
    }
    complaints
}

/// What an unindented line declares, if it is one of `kinds`.
fn declared<'a>(line: &'a str, kinds: &[&str]) -> Option<&'a str> {
    if line.starts_with(' ') {
        return None;
    }
    let mut words = line.split_whitespace().skip_while(|word| word.starts_with("pub") || *word == "unsafe");
    let kind = words.next()?;
    let name = words.next()?;
    kinds
        .contains(&kind)
        .then(|| name.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(name))
}

/// No `pub use x::*`: whoever looks for a name has to find it.
pub(super) fn globs(code: &Code) -> Vec<String> {
    let glob = |line: &str| {
        let line = line.trim();
        line.starts_with("pub") && line.contains(" use ") && line.contains("::*")
    };
    let lines = code.bare.iter().enumerate().filter(|(_, line)| glob(line));
    lines.map(|(at, _)| format!("line {} re-exports everything; name what is meant", at + 1)).collect()
}

/// Files that may ask what was compiled in: the seam of the program, the gates of what tests share, the local learner.
const SEAMS: [&str; 4] = [
    "crates/zerosearch/src/learners.rs",
    "crates/zerosearch-hub/src/lib.rs",
    "crates/zerosearch-learner/src/lib.rs",
    "crates/zerosearch-search/src/lib.rs",
];

/// `cfg(feature)` stands in the seams alone.
pub(super) fn features(path: &str, code: &Code) -> Vec<String> {
    if SEAMS.contains(&path) || path.starts_with("crates/zerosearch-local/") {
        return Vec::new();
    }
    let lines =
        code.bare.iter().enumerate().filter(|(_, line)| line.contains("cfg") && line.contains("feature ="));
    lines.map(|(at, _)| format!("line {} asks for a feature outside the seams", at + 1)).collect()
}

#[test]
fn code_in_a_table_of_contents_is_seen() {
    let good = "//! What?\nmod a;\npub use a::{A, B};\n/// Central.\npub enum E { A }\nimpl E {\n    fn f(&self) {\n    }\n}\n";
    assert!(contents(&Code::of(good)).is_empty());
    assert_eq!(contents(&Code::of("mod a;\nfn helper() {\n}\n")).len(), 1);
    assert_eq!(contents(&Code::of("pub struct A;\npub(crate) enum B {}\n")).len(), 1);
}

#[test]
fn unnamed_re_exports_are_seen() {
    assert!(globs(&Code::of("use super::*;\npub use a::{A, B};\n")).is_empty());
    assert_eq!(globs(&Code::of("pub use a::*;\n")).len(), 1);
    assert_eq!(globs(&Code::of("pub(crate) use a::b::*;\n")).len(), 1);
}

#[test]
fn features_outside_the_seams_are_seen() {
    let code = Code::of("#[cfg(feature = \"local\")]\nmod a;\n");
    assert!(features("crates/zerosearch/src/learners.rs", &code).is_empty());
    assert_eq!(features("crates/zerosearch/src/train.rs", &code).len(), 1);
    assert!(features("crates/zerosearch/src/train.rs", &Code::of("#[cfg(test)]\n")).is_empty());
}
