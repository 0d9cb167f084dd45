//! The paper's seven evaluation sets, known by name: those of FlashRAG on the Hugging Face hub.

use zerosearch_hub::{Kind, Repository};

/// Where FlashRAG publishes them.
const REPOSITORY: &str = "RUC-NLPIR/FlashRAG_datasets";

/// Each set, and the split that is evaluated: the test questions where their answers are public.
const SETS: [(&str, &str); 7] = [
    ("nq", "test"),
    ("triviaqa", "test"),
    ("popqa", "test"),
    ("hotpotqa", "dev"),
    ("2wikimultihopqa", "dev"),
    ("musique", "dev"),
    ("bamboogle", "test"),
];

/// The repository and the file of a set; without a split, the one that is evaluated.
pub(super) fn file_of(name: &str, split: Option<&str>) -> Option<(Repository, String)> {
    let (name, usual) = SETS.into_iter().find(|(known, _)| *known == name)?;
    let repository = Repository::new(Kind::Dataset, REPOSITORY, None)?;
    Some((repository, format!("{name}/{}.jsonl", split.unwrap_or(usual))))
}

pub(super) fn names() -> [&'static str; 7] {
    SETS.map(|(name, _)| name)
}
