//! The house rules, walked over the source tree. Each rule is a function from a file to complaints, with a test that it
//! sees a violation; the tests below apply them to every file of the repository.
#![allow(clippy::unwrap_used)]

mod code;
mod modules;
mod repository;
mod safety;
mod sizes;
mod words;

use code::Code;
use repository::{File, files, rust_files};

/// Applies `rule` to every Rust file; fails with all complaints at once.
fn every_rust_file(rule: impl Fn(&File, &Code) -> Vec<String>) {
    let complaints: Vec<String> = rust_files()
        .iter()
        .flat_map(|file| {
            let complaints = rule(file, &Code::of(&file.text));
            complaints.into_iter().map(|complaint| format!("{}: {complaint}", file.path))
        })
        .collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Applies `rule` to every text file.
fn every_file(rule: impl Fn(&File) -> Vec<String>) {
    let complaints: Vec<String> = files()
        .iter()
        .flat_map(|file| rule(file).into_iter().map(|complaint| format!("{}: {complaint}", file.path)))
        .collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn files_are_short_without_their_tests() {
    every_rust_file(|_, code| sizes::file_length(code));
}

#[test]
fn functions_are_short() {
    every_rust_file(|_, code| sizes::function_lengths(code));
}

#[test]
fn the_training_loop_reads_like_the_paper() {
    let file = repository::read("crates/zerosearch/src/train.rs");
    assert_eq!(sizes::loop_length(&Code::of(&file.text)), Vec::<String>::new());
}

#[test]
fn every_file_opens_with_its_noun() {
    every_rust_file(|file, _| words::opening(&file.text));
}

#[test]
fn names_say_what_is_inside() {
    every_rust_file(|file, _| words::file_name(&file.path));
}

#[test]
fn folders_are_at_most_two_deep() {
    every_rust_file(|file, _| words::depth(&file.path));
}

#[test]
fn nothing_is_left_to_be_done() {
    every_rust_file(|file, _| words::unfinished(&file.text));
}

#[test]
fn the_repository_stands_alone() {
    every_file(|file| words::workplace(&file.text));
}

#[test]
fn mod_files_are_tables_of_contents() {
    every_rust_file(
        |file, code| if file.path.ends_with("/mod.rs") { modules::contents(code) } else { Vec::new() },
    );
}

#[test]
fn nothing_is_re_exported_unnamed() {
    every_rust_file(|_, code| modules::globs(code));
}

#[test]
fn features_have_one_seam() {
    every_rust_file(|file, code| modules::features(&file.path, code));
}

#[test]
fn unsafe_code_stays_where_it_is_allowed_and_gives_its_reason() {
    every_rust_file(|file, code| safety::unsafe_code(&file.path, code));
}

#[test]
fn nothing_global_can_change() {
    every_rust_file(|_, code| safety::mutable_state(code));
}

#[test]
fn long_argument_lists_are_not_excused() {
    every_rust_file(|_, code| safety::silenced_lints(code));
}

#[test]
fn every_crate_obeys_the_workspaces_lints() {
    let workspace = repository::read("Cargo.toml");
    every_file(|file| {
        match file.path.strip_prefix("crates/").and_then(|path| path.strip_suffix("/Cargo.toml")) {
            Some(name) => safety::lints(name, &file.text, &workspace.text),
            None => Vec::new(),
        }
    });
}

#[test]
fn links_between_documents_are_alive() {
    every_file(|file| {
        if file.path.ends_with(".md") {
            words::dead_links(&file.path, &file.text, repository::exists)
        } else {
            Vec::new()
        }
    });
}
