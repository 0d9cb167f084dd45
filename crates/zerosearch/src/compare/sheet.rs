//! A table as a sheet: CSV with one line for each evaluation and score, and a column for each number.

use anyhow::Result;

use super::{Row, Scored, ScoredRow, Table};
use crate::eval::{Interval, Measured};

/// One column and its cell.
type Cell = (String, String);

impl Table {
    /// The sheet. Cells of what a row does not have are empty.
    pub(super) fn csv(&self) -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut is_first = true;
        for scored in &self.scores {
            for (row, own) in self.rows.iter().zip(&scored.rows) {
                let cells = self.cells(row, scored, own);
                if std::mem::take(&mut is_first) {
                    writer.write_record(cells.iter().map(|(name, _)| name))?;
                }
                writer.write_record(cells.iter().map(|(_, cell)| cell))?;
            }
        }
        Ok(writer.into_inner().map_err(|failed| failed.into_error())?)
    }

    /// The same columns for every row.
    fn cells(&self, row: &Row, scored: &Scored, own: &ScoredRow) -> Vec<Cell> {
        let text = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let known = |name: &str, hash: &Option<String>| text(name, hash.as_deref().unwrap_or_default());
        let number = |name: &str, number: Option<f64>| (name.to_owned(), words(number));
        let count = |name: &str, count: usize| (name.to_owned(), count.to_string());
        let questions_known = self.rows.iter().all(|row| row.questions_hash.is_some());
        let mut cells = vec![
            text("name", &row.name),
            text("folder", &row.folder),
            text("model", &row.model),
            text("engine", &row.engine),
            known("recipe", &row.recipe),
            text(
                "recipes_differ",
                differ(!self.recipes.differing.is_empty(), self.recipes.unknown.is_empty()),
            ),
            known("questions_hash", &row.questions_hash),
            text("questions_differ", differ(self.question_sets().len() > 1, questions_known)),
            count("questions", row.questions),
            count("conversations", row.conversations),
            count("answered", row.answered),
            count("broken", row.broken),
            count("unusable", row.unusable),
            text("score", scored.score),
        ];
        for set in &self.sets {
            cells.extend(measured(&format!("set/{set}"), own.sets.get(set).copied()));
        }
        cells.extend(measured("all", Some(own.all)));
        cells.push(number("mean/mean", Some(own.mean)));
        cells.push(number("mean/low", own.mean_interval.map(|it| it[0])));
        cells.push(number("mean/high", own.mean_interval.map(|it| it[1])));
        cells.push(number("searches_per_question", Some(row.searches_per_question)));
        cells.push(number("tokens/written", row.tokens.map(|it| it.written)));
        cells.push(number("tokens/shown", row.tokens.map(|it| it.shown)));
        cells.push(number("tokens/prompted", row.tokens.map(|it| it.prompted)));
        cells.push(number("cost_per_1000_questions", row.cost_per_1000_questions));
        cells.extend(self.difference(scored, row));
        let recipe = |it: &super::Differing| (format!("recipe/{}", it.key), it.words(&row.name));
        cells.extend(self.recipes.differing.iter().map(recipe));
        cells
    }

    /// The row less the baseline; nothing but empty cells for the baseline itself.
    fn difference(&self, scored: &Scored, row: &Row) -> Vec<Cell> {
        let it = scored.differences.iter().find(|it| it.name == row.name).map(|it| &it.difference);
        let count = |name: &str, count: Option<usize>| {
            (format!("difference/{name}"), count.map_or(String::new(), |count| count.to_string()))
        };
        let mut cells = vec![
            ("baseline".to_owned(), self.baseline.clone()),
            count("paired", it.map(|it| it.paired)),
            count("unpaired", it.map(|it| it.unpaired)),
            count("unpaired_of_base", it.map(|it| it.unpaired_of_base)),
        ];
        for set in &self.sets {
            let of_set = it.and_then(|it| it.sets.get(set).copied());
            cells.extend(measured(&format!("difference/set/{set}"), of_set));
        }
        cells.extend(interval("difference/all", it.and_then(|it| it.all)));
        cells.extend(interval("difference/mean", it.and_then(|it| it.mean)));
        cells
    }
}

/// Whether rows differ in something that is known of all of them, or not.
fn differ(they_do: bool, all_known: bool) -> &'static str {
    match (they_do, all_known) {
        (true, _) => "yes",
        (false, true) => "no",
        (false, false) => "unknown",
    }
}

fn measured(name: &str, it: Option<Measured>) -> Vec<Cell> {
    let questions = it.map_or(String::new(), |it| it.questions.to_string());
    let mut cells = vec![(format!("{name}/n"), questions)];
    cells.extend(interval(name, it.map(|it| it.interval)));
    cells
}

fn interval(name: &str, it: Option<Interval>) -> [Cell; 3] {
    [
        (format!("{name}/mean"), words(it.map(|it| it.mean))),
        (format!("{name}/low"), words(it.map(|it| it.low))),
        (format!("{name}/high"), words(it.map(|it| it.high))),
    ]
}

fn words(number: Option<f64>) -> String {
    number.map_or(String::new(), |number| number.to_string())
}
