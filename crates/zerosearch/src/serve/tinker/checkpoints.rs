//! Checkpoints: saved weights in a folder, where a later server finds them.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use axum::http::StatusCode;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use zerosearch_learner::tinker::wire::{Checkpoint, WeightsInfo};

use super::super::refusal::Refusal;
use super::address::{Address, Kind, folder_of, run_in};
use super::shape::Shape;

/// The folder of all checkpoints.
#[derive(Clone, Debug)]
pub(super) struct Store {
    out: PathBuf,
}

/// What is known of saved weights besides their numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Card {
    /// The base model, as clients know it.
    pub(super) base_model: String,
    /// What of it trained.
    pub(super) shape: Shape,
    /// When they were saved (RFC 3339).
    pub(super) time: String,
}

/// Saved weights.
pub(super) struct Saved {
    pub(super) address: Address,
    pub(super) card: Card,
}

const CARD: &str = "checkpoint.json";
/// Where the weights themselves lie, beside their card.
const FILES: &str = "files";

/// The time of now, as lists have it.
pub(super) fn now() -> String {
    DateTime::<Utc>::from(SystemTime::now()).to_rfc3339_opts(SecondsFormat::Millis, true)
}

impl Card {
    pub(super) fn info(&self) -> WeightsInfo {
        let Shape { rank, train_attn, train_mlp, train_unembed } = self.shape;
        WeightsInfo {
            base_model: self.base_model.clone(),
            is_lora: self.shape.is_adapter(),
            lora_rank: self.shape.is_adapter().then_some(rank),
            train_attn: Some(train_attn),
            train_mlp: Some(train_mlp),
            train_unembed: Some(train_unembed),
        }
    }
}

impl Saved {
    /// As lists have it.
    pub(super) fn entry(&self) -> Checkpoint {
        Checkpoint {
            checkpoint_id: self.address.within_run(),
            checkpoint_type: self.address.kind.word().into(),
            time: self.card.time.clone(),
            tinker_path: self.address.to_string(),
        }
    }
}

impl Store {
    /// The checkpoints in `out`, which is made.
    pub(super) fn open(out: &Path) -> Result<Self> {
        std::fs::create_dir_all(out)
            .with_context(|| format!("the folder {} for checkpoints cannot be made", out.display()))?;
        Ok(Self { out: out.to_owned() })
    }

    /// An empty folder for weights that are about to be written; it is deleted unless it is kept.
    pub(super) fn draft(&self) -> Result<(TempDir, PathBuf)> {
        let draft = tempfile::Builder::new().prefix(".draft-").tempdir_in(&self.out)?;
        let files = draft.path().join(FILES);
        std::fs::create_dir(&files)?;
        Ok((draft, files))
    }

    /// Keeps a draft at `address`. The card is written before anything is in its place, so that what is there is whole.
    pub(super) fn keep(&self, draft: TempDir, address: &Address, card: &Card) -> Result<()> {
        let folder = address.folder(&self.out);
        std::fs::write(draft.path().join(CARD), serde_json::to_vec_pretty(card)?)?;
        std::fs::create_dir_all(folder.parent().unwrap_or(&self.out))?;
        if folder.exists() {
            let old = tempfile::Builder::new().prefix(".old-").tempdir_in(&self.out)?;
            std::fs::rename(&folder, old.path().join(FILES))?;
        }
        std::fs::rename(draft.keep(), &folder)
            .with_context(|| format!("{} cannot be put in its place", folder.display()))
    }

    /// Whether weights are saved at `address`.
    pub(super) fn has(&self, address: &Address) -> bool {
        address.folder(&self.out).join(CARD).is_file()
    }

    /// What is known of the weights at `address`.
    pub(super) fn card(&self, address: &Address) -> Result<Card, Refusal> {
        let read = std::fs::read(address.folder(&self.out).join(CARD));
        read.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or_else(|| {
            let message = format!("nothing is saved at {address}; GET /api/v1/checkpoints tells what is");
            Refusal::new(StatusCode::NOT_FOUND, message).coded("no_such_checkpoint")
        })
    }

    /// The folder of the weights at `address`.
    pub(super) fn files(&self, address: &Address) -> PathBuf {
        address.folder(&self.out).join(FILES)
    }

    /// Deletes the weights at `address`.
    pub(super) fn delete(&self, address: &Address) -> std::io::Result<()> {
        std::fs::remove_dir_all(address.folder(&self.out))
    }

    /// All saved weights, oldest first.
    pub(super) fn all(&self) -> Vec<Saved> {
        let runs = names(&self.out).into_iter().filter_map(|name| run_in(&name));
        let mut all: Vec<Saved> = runs.flat_map(|run| self.of(&run)).collect();
        all.sort_by(|one, other| one.card.time.cmp(&other.card.time));
        all
    }

    /// Those of `run`, oldest first.
    pub(super) fn of(&self, run: &str) -> Vec<Saved> {
        let folder = folder_of(&self.out, run);
        let address = |kind: Kind| {
            let names = names(&folder.join(kind.segment())).into_iter();
            names.filter_map(move |name| Address::new(run, kind, &name).ok())
        };
        let known = |address: Address| Some(Saved { card: self.card(&address).ok()?, address });
        let mut saved: Vec<Saved> = Kind::ALL.into_iter().flat_map(address).filter_map(known).collect();
        saved.sort_by(|one, other| one.card.time.cmp(&other.card.time));
        saved
    }
}

/// What is in `folder`.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(time: &str) -> Card {
        Card { base_model: "tiny".into(), shape: Shape::of(None).unwrap(), time: time.into() }
    }

    #[test]
    fn what_is_kept_is_found_again_and_a_draft_leaves_nothing() {
        let out = tempfile::tempdir().unwrap();
        let store = Store::open(&out.path().join("a/b")).unwrap();
        let address = Address::new("s:train:0", Kind::Training, "one").unwrap();
        assert!(!store.has(&address) && store.card(&address).is_err() && store.all().is_empty());
        for (content, time) in [("old", "2026-01-01"), ("new", "2026-01-02")] {
            let (draft, files) = store.draft().unwrap();
            std::fs::write(files.join("weights"), content).unwrap();
            store.keep(draft, &address, &card(time)).unwrap();
            assert_eq!(std::fs::read_to_string(store.files(&address).join("weights")).unwrap(), content);
        }
        drop(store.draft().unwrap());
        let again = Store::open(&out.path().join("a/b")).unwrap();
        let all = again.all();
        assert_eq!((all.len(), &all[0].address, all[0].card.time.as_str()), (1, &address, "2026-01-02"));
        assert_eq!(all[0].entry().checkpoint_id, "weights/one");
        assert_eq!(names(&out.path().join("a/b")), ["s-train-0"], "drafts and what was replaced are gone");
        again.delete(&address).unwrap();
        assert!(again.all().is_empty());
    }
}
