//! A comparison of evaluations: several folders in one table, with paired differences and all that tells their recipes
//! and questions apart.

use std::path::Path;

use anyhow::Result;

mod cost;
mod differing;
mod entry;
mod grids;
mod markdown;
mod scored;
mod sheet;
mod table;
mod text;

pub use cost::Prices;
pub use differing::{Differing, Recipes};
pub use entry::{Named, evaluations_in};
pub use scored::{RowDifference, Scored, ScoredRow};
pub use table::{Row, Table};

use crate::eval::Score;
use crate::problem::problem;
use entry::Entry;

/// What a table shows of the evaluations.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The scores, at least one.
    pub scores: Vec<Score>,
    /// The name or the folder of the evaluation that others are set against; the first where none is named.
    pub baseline: Option<String>,
    /// What searches and tokens cost.
    pub prices: Prices,
}

/// The table of the evaluations in `folders`, in their order.
///
/// # Errors
/// Where a folder is none of a whole evaluation, where two have one name, or where the baseline is none of them.
pub fn compare(folders: &[Named], wanted: &Wanted) -> Result<Table> {
    let entries = folders.iter().map(Entry::open).collect::<Result<Vec<_>>>()?;
    let baseline = match &wanted.baseline {
        None => 0,
        Some(written) => baseline(&entries, written)?,
    };
    Ok(Table::of(&entries, baseline, wanted))
}

/// Which of `entries` is meant by `written`.
fn baseline(entries: &[Entry], written: &str) -> Result<usize> {
    let is_meant = |entry: &Entry| entry.name == written || entry.folder == Path::new(written);
    entries.iter().position(is_meant).ok_or_else(|| {
        let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        problem(format!("the baseline {written} is none of the evaluations compared"))
            .hint(format!("name one of {}, or its folder as it is written", names.join(", ")))
            .into()
    })
}

#[cfg(test)]
mod tests;
