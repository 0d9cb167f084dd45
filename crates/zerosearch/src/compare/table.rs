//! A table of evaluations: rows of scores with their intervals, what they took, and what sets them apart.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::entry::Entry;
use super::{Prices, Recipes, Scored, Wanted};
use crate::eval::{Difference, Tokens};
use crate::run::{VERSION, replace};

/// `table.json`; text, Markdown and CSV show the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Table {
    /// [`VERSION`].
    pub version: u32,
    /// Every data set that an evaluation has.
    pub sets: Vec<String>,
    /// The evaluations.
    pub rows: Vec<Row>,
    /// The row that others are set against.
    pub baseline: String,
    /// Their scores, the ones that were wanted.
    pub scores: Vec<Scored>,
    /// How far the rows were made alike.
    pub recipes: Recipes,
    /// What costs are made of.
    pub prices: Prices,
    /// What has to be known beside the numbers.
    pub notes: Vec<String>,
}

/// One evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub folder: String,
    /// Who answered.
    pub model: String,
    /// Who was searched with.
    pub engine: String,
    /// Names how answers were obtained and scored; null where that is not known.
    pub recipe: Option<String>,
    /// Names the questions; null where they are not known.
    pub questions_hash: Option<String>,
    /// Questions asked.
    pub questions: usize,
    /// Conversations about them.
    pub conversations: usize,
    /// Conversations with an answer.
    pub answered: usize,
    /// Conversations that something of ours broke; they count as wrong.
    pub broken: usize,
    /// Rows of the question files that were left out.
    pub unusable: usize,
    /// How many questions of each data set.
    pub sets: BTreeMap<String, usize>,
    /// Mean number of searches in a conversation.
    pub searches_per_question: f64,
    /// Mean tokens of a conversation; null in a file from before they were counted.
    pub tokens: Option<Tokens>,
    /// At the table's prices; null without any, and where tokens are not known.
    pub cost_per_1000_questions: Option<f64>,
}

impl Table {
    pub(super) fn of(entries: &[Entry], baseline: usize, wanted: &Wanted) -> Self {
        let sets: BTreeSet<String> =
            entries.iter().flat_map(|it| it.summary.sources.keys().cloned()).collect();
        let mut table = Self {
            version: VERSION,
            sets: sets.into_iter().collect(),
            rows: entries.iter().map(|it| Row::of(it, wanted)).collect(),
            baseline: entries[baseline].name.clone(),
            scores: wanted.scores.iter().map(|score| Scored::of(*score, entries, baseline)).collect(),
            recipes: Recipes::of(entries),
            prices: wanted.prices,
            notes: Vec::new(),
        };
        table.notes = table.remarks();
        table
    }

    /// Writes `table.json`, `table.csv` and `table.md` into `folder`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let failed = || format!("the table cannot be written to {}", folder.display());
        std::fs::create_dir_all(folder).with_context(failed)?;
        let files = [
            ("table.json", serde_json::to_vec_pretty(self)?),
            ("table.csv", self.csv()?),
            ("table.md", self.markdown().into_bytes()),
        ];
        for (name, content) in files {
            replace(&folder.join(name), &content).with_context(failed)?;
        }
        Ok(())
    }

    /// The different question sets that are known.
    pub(super) fn question_sets(&self) -> BTreeSet<&String> {
        self.rows.iter().filter_map(|row| row.questions_hash.as_ref()).collect()
    }

    /// What makes the rows less comparable than they look.
    fn remarks(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.recipes.differing.is_empty() {
            notes.push(
                "RECIPES DIFFER: these numbers were not all obtained and scored in the same way".into(),
            );
        }
        for name in &self.recipes.unknown {
            notes.push(format!("{name}: recipe unknown, it was made before recipes were kept; whether it differs cannot be told"));
        }
        if self.question_sets().len() > 1 {
            notes.push("QUESTIONS DIFFER: only differences are over the same questions".into());
        }
        // Which questions are paired is the same in every score.
        let differences = self.scores.first().into_iter().flat_map(|scored| &scored.differences);
        for it in differences.filter(|it| it.difference.unpaired + it.difference.unpaired_of_base > 0) {
            let Difference { paired, unpaired, unpaired_of_base, .. } = it.difference;
            let base = &self.baseline;
            notes.push(format!(
                "{}: {paired} questions are paired with {base}; {unpaired} of its own and {unpaired_of_base} of {base} are not",
                it.name
            ));
        }
        for row in &self.rows {
            let lacking: Vec<&str> =
                self.sets.iter().filter(|set| !row.sets.contains_key(*set)).map(String::as_str).collect();
            if !lacking.is_empty() {
                let lacking = lacking.join(", ");
                notes.push(format!(
                    "{}: nothing was asked from {lacking}; its mean is over the other sets",
                    row.name
                ));
            }
            if row.broken > 0 {
                let Row { name, broken, conversations, .. } = row;
                notes.push(format!(
                    "{name}: {broken} of {conversations} conversations are broken and count as wrong"
                ));
            }
        }
        notes
    }
}

impl Row {
    fn of(entry: &Entry, wanted: &Wanted) -> Self {
        let summary = &entry.summary;
        Self {
            name: entry.name.clone(),
            folder: entry.folder.display().to_string(),
            model: entry.model.clone(),
            engine: entry.engine.clone(),
            recipe: entry.record.as_ref().map(|it| it.hash.clone()),
            questions_hash: entry.record.as_ref().map(|it| it.questions.hash.clone()),
            questions: summary.questions,
            conversations: entry.answers.conversations(),
            answered: summary.answered,
            broken: summary.broken,
            unusable: summary.unusable,
            sets: summary.sources.iter().map(|(name, it)| (name.clone(), it.questions)).collect(),
            searches_per_question: summary.searches_per_question,
            tokens: summary.tokens,
            cost_per_1000_questions: wanted
                .prices
                .of_1000_questions(summary.searches_per_question, summary.tokens),
        }
    }
}
