//! Files: a world written down for other verbs to read: documents, questions, a tokenizer, rows to learn from.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use zerosearch_learner::seed::Seed;

use super::chain::{Chain, Split, chains};
use super::checkpoint::write_checkpoint;
use super::pretraining::rows;
use super::tokenizer::text;
use super::world::World;

/// What the base model is told: how a question is put to a policy and a query to a simulator, tuned or with demonstrations,
/// and the hint after a turn without an action.
const PROMPTS: [(&str, &str); 4] = [
    ("prompt.jinja", include_str!("prompts/prompt.jinja")),
    ("simulator.jinja", include_str!("prompts/simulator.jinja")),
    ("simulator-prompted.jinja", include_str!("prompts/simulator-prompted.jinja")),
    ("hint.txt", include_str!("prompts/hint.txt")),
];
/// How many questions are written for training; fewer where the world has not as many.
const TRAIN: usize = 12_000;
/// How many are written for evaluation.
const EVALUATION: usize = 400;

/// A document as engines read it.
#[derive(Serialize)]
struct Passage<'a> {
    id: String,
    text: &'a str,
}

/// A question as question files have it.
#[derive(Serialize)]
struct Row<'a> {
    id: String,
    question: &'a str,
    golden_answers: [&'a str; 1],
    hops: usize,
}

/// Writes the world of `seed` into `folder`: `corpus.jsonl` (every document), `corpus-train.jsonl` (those about entities
/// that may be met in training), `train.jsonl` and `eval.jsonl` (questions), `tokenizer/`, `base/`, the
/// model to start from, and the prompts that it knows.
pub fn write_world(seed: u64, folder: &Path) -> Result<()> {
    let world = World::new(seed);
    let documents = || {
        let numbered = world.facts.iter().enumerate();
        numbered.map(|(place, fact)| (fact, Passage { id: place.to_string(), text: &fact.document }))
    };
    let is_met = |subject: usize| !world.entities[subject].held_out;
    write_lines(folder, "corpus.jsonl", documents().map(|(_, passage)| passage))?;
    let met = documents().filter(|(fact, _)| is_met(fact.subject));
    write_lines(folder, "corpus-train.jsonl", met.map(|(_, passage)| passage))?;
    for (split, name, count) in [(Split::Train, "train", TRAIN), (Split::Evaluation, "eval", EVALUATION)] {
        let mut generator = Seed::run(seed).purpose("questions").purpose(name).generator();
        let chains = chains(&world, split, count, &mut generator);
        let rows = chains.iter().enumerate().map(|(at, chain)| row(&world, &format!("{name}-{at}"), chain));
        write_lines(folder, &format!("{name}.jsonl"), rows)?;
    }
    for (name, text) in PROMPTS {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    write_tokenizer(&folder.join("tokenizer"))?;
    write_checkpoint(&folder.join("base"))
}

/// Writes `count` rows of each of `worlds` pre-training worlds into `folder` as `pretraining.jsonl`.
pub fn write_pretraining(worlds: u64, count: usize, folder: &Path) -> Result<()> {
    write_lines(folder, "pretraining.jsonl", rows(worlds, count))
}

fn row<'a>(world: &'a World, id: &str, chain: &'a Chain) -> Row<'a> {
    Row {
        id: id.to_owned(),
        question: &chain.question,
        golden_answers: [chain.answer(world)],
        hops: chain.facts.len(),
    }
}

fn write_tokenizer(folder: &Path) -> Result<()> {
    let failed = || format!("the tokenizer cannot be written to {}", folder.display());
    std::fs::create_dir_all(folder).with_context(failed)?;
    for file in text()?.files() {
        std::fs::write(folder.join(&file.name), &file.bytes).with_context(failed)?;
    }
    Ok(())
}

fn write_lines(folder: &Path, name: &str, rows: impl Iterator<Item = impl Serialize>) -> Result<()> {
    let path = folder.join(name);
    let failed = || format!("{} cannot be written", path.display());
    std::fs::create_dir_all(folder).with_context(failed)?;
    let mut file = BufWriter::new(File::create(&path).with_context(failed)?);
    for row in rows {
        serde_json::to_writer(&mut file, &row).with_context(failed)?;
        file.write_all(b"\n").with_context(failed)?;
    }
    file.flush().with_context(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_world_can_be_read_and_is_always_the_same() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            write_world(5, &folder.path().join(name)).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        for name in
            ["corpus.jsonl", "corpus-train.jsonl", "train.jsonl", "eval.jsonl", "tokenizer/tokenizer.json"]
        {
            assert_eq!(read(&format!("a/{name}")), read(&format!("b/{name}")), "{name}");
        }
        assert_eq!(read("a/eval.jsonl").lines().count(), EVALUATION);
        assert!(read("a/corpus-train.jsonl").lines().count() < read("a/corpus.jsonl").lines().count());
    }
}
