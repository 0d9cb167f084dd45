//! How long files and functions may be.

use super::code::Code;

const LONGEST_FILE: usize = 600;
const LONGEST_FUNCTION: usize = 80;
const LONGEST_LOOP: usize = 60;

/// A file has at most 600 lines, its trailing tests not counted.
pub(super) fn file_length(code: &Code) -> Vec<String> {
    let lines = code.without_tests();
    let complaint = format!("{lines} lines, at most {LONGEST_FILE} are allowed: find the second noun in it");
    (lines > LONGEST_FILE).then_some(complaint).into_iter().collect()
}

/// A function has at most 80 lines.
pub(super) fn function_lengths(code: &Code) -> Vec<String> {
    let long = code.functions().into_iter().filter(|function| function.lines.len() > LONGEST_FUNCTION);
    long.map(|function| {
        format!(
            "`{}` has {} lines, at most {LONGEST_FUNCTION} are allowed",
            function.name,
            function.lines.len()
        )
    })
    .collect()
}

/// The function `train` is there and has fewer than 60 lines.
pub(super) fn loop_length(code: &Code) -> Vec<String> {
    match code.functions().into_iter().find(|function| function.name == "train") {
        None => vec!["there is no function `train`".into()],
        Some(function) if function.lines.len() >= LONGEST_LOOP => {
            vec![format!("`train` has {} lines, it has to stay under {LONGEST_LOOP}", function.lines.len())]
        }
        Some(_) => Vec::new(),
    }
}

#[test]
fn long_files_are_seen_and_their_tests_forgiven() {
    let lines = |count: usize| "const X: u8 = 1;\n".repeat(count);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    const Y: u8 = 1;\n".repeat(300));
    assert!(file_length(&Code::of(&(lines(600) + &tests))).is_empty());
    assert_eq!(file_length(&Code::of(&lines(601))).len(), 1);
}

#[test]
fn long_functions_are_seen() {
    let function = |lines: usize| format!("fn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2));
    assert!(function_lengths(&Code::of(&function(80))).is_empty());
    assert!(function_lengths(&Code::of(&function(81)))[0].contains("`f` has 81 lines"));
}

#[test]
fn a_long_loop_or_none_is_seen() {
    let train = |lines: usize| format!("pub async fn train() {{\n{}}}\n", "    g();\n".repeat(lines - 2));
    assert!(loop_length(&Code::of(&train(59))).is_empty());
    assert_eq!(loop_length(&Code::of(&train(60))).len(), 1);
    assert_eq!(loop_length(&Code::of("fn trainer() {}")).len(), 1);
}
