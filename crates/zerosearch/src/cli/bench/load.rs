//! The flags of `zerosearch bench load`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use reqwest::header::HeaderValue;
use zerosearch::bench::{self, Load};
use zerosearch::problem::problem;

use super::super::screen::say;

/// Which server, and how much it is asked.
#[derive(Args, Debug)]
pub(super) struct LoadFlags {
    /// The server, such as one that `serve search` started
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000", value_parser = address)]
    url: String,
    /// The environment variable with the token that the server asks for
    #[arg(long, value_name = "VARIABLE")]
    token_env: Option<String>,
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
            authorization: self.token_env.as_deref().map(authorization).transpose()?,
            url: self.url.clone(),
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

/// The address of a search server, without the path that is asked.
fn address(text: &str) -> Result<String, String> {
    if !text.starts_with("http://") && !text.starts_with("https://") {
        return Err(format!("write http:// before it: http://{text}"));
    }
    let address = text.trim_end_matches('/');
    Ok(address.strip_suffix("/retrieve").unwrap_or(address).trim_end_matches('/').to_owned())
}

/// The token in the environment variable `variable`, as a server wants to be shown it.
fn authorization(variable: &str) -> Result<HeaderValue> {
    let token = std::env::var(variable).map_err(|_| {
        problem(format!("--token-env names the environment variable {variable}, which is not set"))
            .hint(format!("`export {variable}=...` with the server's token"))
    })?;
    let mut shown = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
        .map_err(|_| problem(format!("the token in {variable} holds characters that cannot be sent")))?;
    shown.set_sensitive(true);
    Ok(shown)
}
