//! The flags of `zerosearch bench load`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use zerosearch::bench::{self, Load};
use zerosearch::problem::problem;

use super::super::screen::say;

/// Which server, and how much it is asked.
#[derive(Args, Debug)]
pub(super) struct LoadFlags {
    /// The server, such as one that `serve search` started
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000")]
    url: String,
    /// Clients at once
    #[arg(long, value_name = "N", default_value = "500")]
    clients: NonZeroUsize,
    /// Requests of each client
    #[arg(long, value_name = "N", default_value = "20")]
    requests: NonZeroUsize,
    /// Documents of each request
    #[arg(long, value_name = "N", default_value = "3")]
    k: NonZeroUsize,
    /// A text file with a query in each line, asked in turn [default: made-up ones]
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    /// Seconds after which an answer counts as lost
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience_s: u64,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

impl LoadFlags {
    pub(super) async fn run(self) -> Result<()> {
        let load = Load {
            url: self.url.trim_end_matches('/').to_owned(),
            clients: self.clients.get(),
            requests: self.requests.get(),
            k: self.k.get(),
            queries: self.queries()?,
            patience: Duration::from_secs(self.patience_s),
        };
        let figures = serde_json::to_value(bench::load(&load).await?)?;
        say(&if self.json { figures.to_string() } else { bench::table(&figures) });
        Ok(())
    }

    fn queries(&self) -> Result<Vec<String>> {
        let Some(path) = &self.queries else {
            return Ok((0..1000).map(|n| format!("which bridge of town {n} was built first")).collect());
        };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("the queries {} cannot be read", path.display()))?;
        let queries: Vec<String> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        if queries.is_empty() {
            return Err(problem(format!("there is no query in {}", path.display())).into());
        }
        Ok(queries)
    }
}
