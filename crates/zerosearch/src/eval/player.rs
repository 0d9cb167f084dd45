//! The player: which model plays the engine when a finished policy is asked.

use anyhow::Result;

use crate::config::{EngineName, Plan};
use crate::engines::needs_stock;
use crate::problem::{Problem, problem};
use crate::run::Run;

/// `plan` with a model that plays a simulated engine. Where the plan names none, a checkpoint's run does: its
/// `simulator.model` and `simulator.adapter`, else the weights that it started from.
///
/// # Errors
/// Where that names none either: a policy never plays its own engine unless it is told to.
pub fn with_player(mut plan: Plan) -> Result<Plan> {
    if plan.eval.engine != EngineName::Simulated || !needs_stock(&plan) {
        return Ok(plan);
    }
    let Some(run) = Run::of_checkpoint(plan.newest_weights()) else {
        let what = format!(
            "no model is named to play the engine, and {} is no checkpoint of a run",
            plan.newest_weights()
        );
        return Err(advised(what).into());
    };
    let trained = Run::plan_of(&run)?;
    if !trained.simulator.urls.is_empty() {
        return Err(problem(format!("the run in {} was trained with a simulator on servers", run.display()))
            .hint(format!(
                "`--config {}/config.toml` asks them again; or name a simulator.model",
                run.display()
            ))
            .into());
    }
    let named = trained.simulator_model();
    if named.is_none() && trained.model.path == "random" {
        let what =
            format!("the run in {} began from random weights, which cannot play the engine", run.display());
        return Err(advised(what).into());
    }
    let (model, adapter) = named.unwrap_or((trained.model, trained.adapter));
    (plan.simulator.model, plan.simulator.adapter) = (model.path, adapter.path);
    Ok(plan)
}

fn advised(what: String) -> Problem {
    problem(what).hint(
        "name a model with `--set simulator.model=MODEL` or servers with `--set simulator.urls=[\"http://HOST:PORT\"]`, \
         or name another engine, such as `--engine bm25` with `--index FOLDER` or `--corpus FILE`, `--engine scripted` or \
         `--engine none`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigFile, Purpose, Setting};

    fn plan(settings: &[&str]) -> Plan {
        let settings: Vec<Setting> = settings.iter().map(|setting| setting.parse().unwrap()).collect();
        ConfigFile::parse("", &settings).unwrap().resolve(Purpose::Use).unwrap()
    }

    /// What plays for a checkpoint of a run that was started with `settings`.
    fn player(settings: &[&str]) -> Result<String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.toml"), plan(settings).to_toml().unwrap()).unwrap();
        std::fs::write(folder.path().join("run.json"), "{}").unwrap();
        let model = format!("model.path={}/checkpoints/000002", folder.path().display());
        with_player(plan(&[&model])).map(|plan| plan.simulator.model)
    }

    #[test]
    fn a_checkpoints_run_says_who_plays() {
        assert_eq!(player(&["model.path=start"]).unwrap(), "start");
        assert_eq!(player(&["model.path=start", "simulator.model=other"]).unwrap(), "other");
        let told = player(&["model.path=start", "simulator.urls=[\"http://a\"]"]).unwrap_err();
        assert!(told.to_string().contains("simulator on servers"), "{told}");
        let told = player(&["model.path=random"]).unwrap_err();
        assert!(told.to_string().contains("random weights"), "{told}");
    }

    #[test]
    fn a_policy_does_not_play_its_own_engine_unless_told_to() {
        let told = crate::problem::report(&with_player(plan(&["model.path=policy"])).unwrap_err());
        assert!(
            told.contains("policy is no checkpoint of a run") && told.contains("simulator.model=MODEL"),
            "{told}"
        );
        let own = plan(&["model.path=policy", "simulator.model=policy"]);
        assert_eq!(with_player(own.clone()).unwrap(), own);
        let other = plan(&["model.path=policy", "eval.engine=scripted"]);
        assert_eq!(with_player(other.clone()).unwrap(), other);
    }
}
