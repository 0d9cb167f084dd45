//! `zerosearch report`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use zerosearch::report::{Wanted, write};
use zerosearch::stop::Reason;

use super::flags::price;
use super::screen::say;

/// Write a page about runs and evaluations: tables, curves, conversations to read
///
/// The page is one HTML file that fetches nothing: it can be mailed, printed and read on a phone. Of several folders the
/// curves lie over each other and the answers to the same questions beside each other. The same folders give the same page.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  zerosearch report runs/tiny --out tiny.html
  zerosearch report runs/cold-start runs/first evals/before evals/after --out first.html --plots plots
  zerosearch report runs/first --out first.html --price-per-1000-searches 1.00")]
pub(super) struct Report {
    /// Folders that `train`, `sft` or `eval` made
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// The page to write; one that is there is replaced
    #[arg(long, value_name = "FILE.html", value_parser = page)]
    out: PathBuf,
    /// Write each picture as <name>.svg and <name>.png into this folder, too
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// What 1,000 searches cost at a search API, in any currency: tells what the runs' searches would have cost there
    #[arg(long, value_name = "X", value_parser = price)]
    price_per_1000_searches: Option<f64>,
}

impl Report {
    pub(super) fn run(self) -> Result<Option<Reason>> {
        let wanted = Wanted {
            folders: self.runs,
            page: self.out,
            plots: self.plots,
            price_per_1000_searches: self.price_per_1000_searches,
        };
        let made = write(&wanted)?;
        for remark in &made.remarks {
            say(&format!("note: {remark}"));
        }
        let (shown, all) = made.conversations;
        say(&format!(
            "{}: {} pictures, {shown} of {all} conversations, {:.1} MB",
            wanted.page.display(),
            made.pictures,
            made.bytes as f64 / 1e6
        ));
        if let Some(folder) = &wanted.plots {
            say(&format!("{}: {} SVG files, as many PNG files", folder.display(), made.pictures));
        }
        Ok(None)
    }
}

/// A file name that cannot be one of a run's.
fn page(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("html" | "htm") => Ok(path),
        _ => Err("name a file that ends in .html".into()),
    }
}
