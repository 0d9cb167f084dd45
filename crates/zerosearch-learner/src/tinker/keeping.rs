//! Keeping: states that training goes on from, and weights for other programs.

use std::path::Path;
use std::sync::Arc;

use super::archive::{Unpacked, fetch};
use super::http::Body;
use super::learner::{TinkerLearner, Training};
use super::session::{Held, unload};
use super::state::SavedState;
use super::trouble::Trouble;
use super::wire::{
    LoadWeights, OfWeights, SamplerSaved, SaveForSampler, SaveWeights, WeightsInfo, WeightsSaved,
};
use crate::{LearnerError, Result};

const SAVE: &str = "save_weights";
const LOAD: &str = "load_weights";
const SAMPLER: &str = "save_weights_for_sampler";

impl TinkerLearner {
    /// Has the state saved on the server, and writes down where; with the weights, which open as a policy.
    pub(super) async fn save_state(&self, directory: &Path) -> Result<()> {
        let shared = &self.shared;
        let training = self.training().await;
        training.check_sound()?;
        let number = training.number(shared);
        let name = format!("step-{}-{number}", training.step);
        let order = SaveWeights {
            model_id: training.model.clone(),
            seq_id: Some(number),
            path: Some(name.clone()),
            overwrite: false,
        };
        let future = shared.server.submit(SAVE, &Body::json(&order)?, shared.quirks.repeatable).await?;
        let saved: WeightsSaved = shared.server.outcome(SAVE, &future).await?;
        let weights = self.weights(&training, |_| name).await?;
        fetch(&shared.server, &weights, directory, &shared.adapter_base).await?;
        let addresses = (shared.server.name(), saved.path, weights);
        SavedState::new(addresses, &shared.base_model, shared.rank, training.step).write(directory)
    }

    /// Has the weights alone saved, under what `name` makes of the request's number; gives their address.
    async fn weights(&self, training: &Training, name: impl FnOnce(i64) -> String) -> Result<String> {
        let shared = &self.shared;
        let number = training.number(shared);
        let order = SaveForSampler {
            model_id: training.model.clone(),
            seq_id: Some(number),
            path: Some(name(number)),
            ..SaveForSampler::default()
        };
        let future = shared.server.submit(SAMPLER, &Body::json(&order)?, shared.quirks.repeatable).await?;
        let saved: SamplerSaved = shared.server.outcome(SAMPLER, &future).await?;
        let nowhere = || shared.server.error(SAMPLER, &Trouble::Garbled("it names no address".into()));
        saved.path.ok_or_else(nowhere)
    }

    /// Takes up a state that is still on the server, in a model that nothing was asked of yet: the only order that every server
    /// has.
    pub(super) async fn load_state(&self, directory: &Path) -> Result<()> {
        let shared = &self.shared;
        let state = SavedState::read(directory, &shared.base_model, shared.rank)?;
        let mut training = self.training().await;
        self.check_there(&state).await?;
        let is_new = shared.session.held(|held| held.next == 1);
        if !is_new {
            let held = shared.session.held(std::mem::take::<Held>);
            training.spoiled = Some("its model was given back to load another".into());
            // A model that is gone already needs no farewell; if there is no place for another, making it says so.
            let _ = unload(&shared.server, held).await;
            training.create(shared).await?;
        }
        let order = LoadWeights {
            model_id: Some(training.model.clone()),
            seq_id: Some(training.number(shared)),
            path: state.state,
            optimizer: true,
            ..LoadWeights::default()
        };
        shared.turn_over();
        (training.changed, training.latest) = (true, None);
        training.spoiled = Some("loading a state was not finished".into());
        let future = shared.server.submit(LOAD, &Body::json(&order)?, shared.quirks.repeatable).await?;
        shared.server.outcome::<serde_json::Value>(LOAD, &future).await?;
        (training.step, training.spoiled) = (state.step, None);
        Ok(())
    }

    /// Refuses a state that the server no longer has, or has of something else.
    async fn check_there(&self, state: &SavedState) -> Result<()> {
        const ROUTE: &str = "weights_info";
        let shared = &self.shared;
        let order = Body::json(&OfWeights { tinker_path: state.state.clone() })?;
        let info: WeightsInfo = shared.server.ask(ROUTE, &order, true).await?;
        let rank = info.lora_rank.filter(|_| info.is_lora).unwrap_or(0);
        if info.base_model == shared.base_model && rank == shared.rank {
            return Ok(());
        }
        Err(LearnerError::Remote {
            url: shared.server.name(),
            route: ROUTE.into(),
            problem: format!(
                "{} is of rank {rank} over {}, and the checkpoint of rank {} over {}: is it another server than {}?",
                state.state, info.base_model, shared.rank, shared.base_model, state.url
            ),
        })
    }

    /// Writes the weights as they are as a model, an adapter merged into its base.
    pub(super) async fn export_model(&self, directory: &Path) -> Result<()> {
        let training = self.training().await;
        training.check_sound()?;
        let step = training.step;
        let address = self.weights(&training, |number| format!("export-{step}-{number}")).await?;
        drop(training);
        let aside = tempfile::tempdir_in(directory).map_err(|source| LearnerError::io(directory, source))?;
        match fetch(&self.shared.server, &address, aside.path(), &self.shared.adapter_base).await? {
            Unpacked::Adapter => {
                let (merge, out) = (Arc::clone(&self.merge), directory.to_owned());
                let merged = tokio::task::spawn_blocking(move || merge(aside.path(), &out)).await;
                merged.map_err(|gone| LearnerError::Stopped(gone.to_string()))?
            }
            Unpacked::Model => hand_over(aside.path(), directory, self.shared.text.files()),
        }
    }
}

/// Moves the files of a model to where they belong; the tokenizer's own beside them where they are missing.
fn hand_over(from: &Path, to: &Path, files: &[crate::text::TextFile]) -> Result<()> {
    for entry in std::fs::read_dir(from).map_err(|source| LearnerError::io(from, source))? {
        let entry = entry.map_err(|source| LearnerError::io(from, source))?;
        let target = to.join(entry.file_name());
        std::fs::rename(entry.path(), &target).map_err(|source| LearnerError::io(&target, source))?;
    }
    for file in files {
        let target = to.join(&file.name);
        if !target.exists() {
            std::fs::write(&target, &file.bytes).map_err(|source| LearnerError::io(&target, source))?;
        }
    }
    Ok(())
}
