//! The web: from a plan's provider to an engine that asks it.

use anyhow::Result;
use zerosearch_search::{Key, WebEngine, WebSettings};

use super::{key, seconds, tries};
use crate::config;
use crate::problem::problem;

/// The engine that `plan` names, after its provider was asked for one document; offline nobody is asked, and no key is
/// needed.
pub(super) async fn open(plan: &config::Web, offline: bool) -> Result<WebEngine> {
    let provider = plan.provider.provider();
    let engine = WebEngine::new(WebSettings {
        url: plan.url.clone(),
        key: if offline { None } else { key_of(plan)? },
        cse_id: plan.cse_id.clone(),
        timeout: seconds(plan.timeout_s),
        concurrency: plan.concurrency,
        tries: tries(plan.retries),
        ..WebSettings::new(provider)
    })?;
    if !offline {
        engine.check().await?;
    }
    Ok(engine)
}

/// The key in the variable that the plan names, else in the first of the provider's usual ones that is set.
fn key_of(plan: &config::Web) -> Result<Option<Key>> {
    let usual = plan.provider.provider().key_variables();
    if !plan.key_env.is_empty() || usual.is_empty() {
        return key("web.key_env", &plan.key_env);
    }
    match usual.iter().find(|variable| std::env::var_os(variable).is_some()) {
        Some(variable) => key("web.key_env", variable),
        None => {
            let (name, variables) = (plan.provider.name(), usual.join(" or "));
            let what = format!(
                "web.provider = \"{name}\" wants a key in the environment variable {variables}, which is not set"
            );
            Err(problem(what)
                .hint(format!(
                    "`export {}=...` with the key, or name another variable with web.key_env",
                    usual[0]
                ))
                .into())
        }
    }
}
