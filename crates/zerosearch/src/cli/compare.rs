//! `zerosearch compare`

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use zerosearch::compare::{Named, Prices, Table, Wanted, compare};
use zerosearch::eval::Score;
use zerosearch::stop::Reason;

use super::flags::price;
use super::screen::say;

/// Set evaluations against each other in one table, question by question
///
/// One row for each folder of `eval`, one column for each data set, then the mean over data sets, all with 95 % bootstrap
/// intervals; below, how much each differs from the baseline on the questions that both have, and what it took in
/// searches and tokens. Paired differences are surer than differences of means: what makes a question hard falls out.
///
/// Where evaluations were made by different recipes (prompt, engine, k, decoding, scorer; recipe.json in each folder) or
/// asked different questions, the table says so and lists what differs. An evaluation from before recipes were kept is
/// taken with its recipe unknown.
///
/// Scores: em, the answer is a golden answer; sub_em, a golden answer is contained in the answer, which ZeroSearch and the
/// systems built on it call EM; f1, token F1.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  zerosearch compare evals/before evals/after
  zerosearch compare direct=evals/closed-book bm25=evals/bm25 --score sub_em --out tables/first
  zerosearch compare evals/bm25 evals/web --price-per-1000-searches 1.00 --price-per-million-tokens 0.15")]
pub(super) struct Compare {
    /// Folders that `eval` made, each as `FOLDER` or `NAME=FOLDER`; one that holds several evaluations stands for them
    #[arg(value_name = "[NAME=]FOLDER", required = true)]
    folders: Vec<String>,
    /// The evaluation that the others are set against, by its name or its folder [default: the first]
    #[arg(long, value_name = "FOLDER")]
    baseline: Option<String>,
    #[command(flatten)]
    shown: Shown,
    /// Write table.json, table.csv and table.md into this folder, too
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What a table of evaluations shows.
#[derive(Args, Debug)]
pub(super) struct Shown {
    /// The scores that the table of several evaluations shows: em, sub_em, f1, with commas between them
    #[arg(long = "score", value_name = "SCORE", value_delimiter = ',', default_value = "em,sub_em,f1",
        hide_possible_values = true, value_parser = score())]
    scores: Vec<Score>,
    /// What 1,000 searches cost: adds what 1,000 questions cost
    #[arg(long, value_name = "USD", value_parser = price)]
    price_per_1000_searches: Option<f64>,
    /// What a million tokens of the policy cost, handed over or written: adds what 1,000 questions cost
    #[arg(long, value_name = "USD", value_parser = price)]
    price_per_million_tokens: Option<f64>,
}

impl Compare {
    pub(super) fn run(self) -> Result<Option<Reason>> {
        let wanted = self.shown.wanted(self.baseline);
        show(&compare(&Named::all(&self.folders)?, &wanted)?, self.out.as_deref())?;
        Ok(None)
    }
}

impl Shown {
    /// The table wanted, against the evaluation `baseline`.
    pub(super) fn wanted(&self, baseline: Option<String>) -> Wanted {
        let prices = Prices {
            per_1000_searches: self.price_per_1000_searches,
            per_million_tokens: self.price_per_million_tokens,
        };
        Wanted { scores: self.scores.clone(), baseline, prices }
    }
}

/// Writes `table` into `folder`, if one is named, and prints it.
pub(super) fn show(table: &Table, folder: Option<&Path>) -> Result<()> {
    if let Some(folder) = folder {
        table.write(folder)?;
    }
    say(table.text().trim_end());
    if let Some(folder) = folder {
        say(&format!("\n{}: table.json, table.csv, table.md", folder.display()));
    }
    Ok(())
}

/// A score by its name.
fn score() -> impl TypedValueParser<Value = Score> {
    let names = Score::ALL.map(Score::key);
    PossibleValuesParser::new(names)
        .map(|name| Score::ALL.into_iter().find(|score| score.key() == name).unwrap_or_default())
}
