//! The grids of a table: its numbers in words, cell by cell, for text and for Markdown alike.

use super::{RowDifference, Scored, ScoredRow, Table};
use crate::report::Table as Grid;

/// What the words in a table mean.
pub(super) const LEGEND: &str = "\
EM: the answer is a golden answer, after normalisation. sub-EM: a golden answer is contained in the answer; ZeroSearch and the \
systems built on it call this EM. F1: token F1. n: questions. Intervals hold 95 % of 2,000 bootstrap resamples of the \
questions. Tokens are those of the policy; handed over: all that its turns began with, summed over the turns.";

const NOTHING: &str = "-";

impl Table {
    /// Scores, differences, what it took, and what was asked of whom.
    pub(super) fn grids(&self) -> Vec<Grid> {
        let mut grids = Vec::new();
        for scored in &self.scores {
            grids.push(self.scores_of(scored));
            if !scored.differences.is_empty() {
                grids.push(self.paired(scored));
            }
        }
        grids.extend([self.effort(), self.origins()]);
        grids
    }

    fn scores_of(&self, scored: &Scored) -> Grid {
        let caption = format!("{} with 95 % bootstrap intervals", scored.title);
        let heads = self.sets.iter().map(|set| match self.questions_of(set) {
            Some(n) => format!("{set} (n={n})"),
            None => set.clone(),
        });
        let mut grid = grid(&caption, "", heads);
        let several = self.sets.len() > 1;
        grid.head.extend(several.then(|| "mean over sets".to_owned()));
        for row in &scored.rows {
            let cell = |set: &String| match (row.sets.get(set), self.questions_of(set)) {
                (None, _) => NOTHING.to_owned(),
                (Some(it), Some(_)) => it.interval.words(),
                (Some(it), None) => format!("{} n={}", it.interval.words(), it.questions),
            };
            let mut cells: Vec<String> = self.sets.iter().map(cell).collect();
            cells.extend(several.then(|| mean_words(row)));
            push(&mut grid, &row.name, cells);
        }
        grid
    }

    /// How many questions of `set` every row has that has any; nothing where these differ.
    fn questions_of(&self, set: &str) -> Option<usize> {
        let mut counts = self.rows.iter().filter_map(|row| row.sets.get(set).copied());
        let first = counts.next()?;
        counts.all(|count| count == first).then_some(first)
    }

    fn paired(&self, scored: &Scored) -> Grid {
        let caption = format!("{}: difference to {}, question by question", scored.title, self.baseline);
        let mut grid = grid(&caption, "", self.sets.iter().cloned());
        let several = self.sets.len() > 1;
        if several {
            grid.head.extend(["mean over sets".to_owned(), "all pairs".to_owned()]);
        }
        grid.head.extend(["paired", "unpaired"].map(ToOwned::to_owned));
        for RowDifference { name, difference: it } in &scored.differences {
            let cell =
                |set: &String| it.sets.get(set).map_or(NOTHING.into(), |it| it.interval.signed_words());
            let mut cells: Vec<String> = self.sets.iter().map(cell).collect();
            if several {
                let words =
                    |it: &Option<crate::eval::Interval>| it.map_or(NOTHING.into(), |it| it.signed_words());
                cells.extend([words(&it.mean), words(&it.all)]);
            }
            cells.extend([it.paired.to_string(), (it.unpaired + it.unpaired_of_base).to_string()]);
            push(&mut grid, name, cells);
        }
        grid
    }

    fn effort(&self) -> Grid {
        let heads = [
            "questions",
            "conversations",
            "answered",
            "broken",
            "unusable rows",
            "searches",
            "tokens written",
            "shown",
            "handed over",
        ];
        let mut grid = grid("For each question", "", heads.map(ToOwned::to_owned).into_iter());
        let priced = self.prices.are_given();
        grid.head.extend(priced.then(|| "USD for 1,000 questions".to_owned()));
        for row in &self.rows {
            let counts = [row.questions, row.conversations, row.answered, row.broken, row.unusable];
            let mut cells: Vec<String> = counts.map(|count| count.to_string()).to_vec();
            cells.push(format!("{:.2}", row.searches_per_question));
            cells.extend(match row.tokens {
                Some(it) => [it.written, it.shown, it.prompted].map(|count| format!("{count:.1}")),
                None => [NOTHING; 3].map(ToOwned::to_owned),
            });
            let cost = row.cost_per_1000_questions.map_or(NOTHING.into(), |cost| format!("{cost:.2}"));
            cells.extend(priced.then_some(cost));
            push(&mut grid, &row.name, cells);
        }
        grid
    }

    fn origins(&self) -> Grid {
        let heads = ["model", "engine", "recipe", "questions"].map(ToOwned::to_owned);
        let mut grid = grid("What was asked of whom", "", heads.into_iter());
        grid.numbers_from = usize::MAX;
        let known = |hash: &Option<String>| hash.clone().unwrap_or_else(|| "unknown".into());
        for row in &self.rows {
            let cells =
                vec![row.model.clone(), row.engine.clone(), known(&row.recipe), known(&row.questions_hash)];
            push(&mut grid, &row.name, cells);
        }
        grid
    }

    /// The keys in which recipes differ, row by row; nothing where they do not.
    pub(super) fn differing(&self) -> Option<Grid> {
        let names = self.rows.iter().filter(|row| row.recipe.is_some()).map(|row| row.name.clone());
        let names: Vec<String> = names.collect();
        let mut grid = grid("Where recipes differ", "key", names.iter().cloned());
        grid.numbers_from = usize::MAX;
        for it in &self.recipes.differing {
            push(&mut grid, &it.key, names.iter().map(|name| it.words(name)).collect());
        }
        (!grid.rows.is_empty()).then_some(grid)
    }
}

fn grid(caption: &str, first: &str, rest: impl Iterator<Item = String>) -> Grid {
    let mut grid = Grid::new(caption, &[first]);
    grid.head.extend(rest);
    grid
}

fn push(grid: &mut Grid, name: &str, cells: Vec<String>) {
    let mut row = vec![name.to_owned()];
    row.extend(cells);
    grid.push(row);
}

fn mean_words(row: &ScoredRow) -> String {
    match row.mean_interval {
        Some([low, high]) => format!("{:.3} [{low:.3}, {high:.3}]", row.mean),
        None => format!("{:.3}", row.mean),
    }
}
