//! Checkpoints: when the weights are saved, and which saves are kept.

use std::path::PathBuf;

use anyhow::{Context, Result};
use zerosearch_learner::Learner;

use super::Directory;
use super::directory::numbered;
use super::durable::{append_line, aside, clear, json_line, replace, sync_folder_of, sync_tree};
use super::read::lines;
use super::record::{CheckpointLine, VERSION};

/// The checkpoints of one run: an index file whose last line counts, and a folder for each save that is kept.
#[derive(Debug)]
pub struct Checkpoints {
    directory: Directory,
    keep: usize,
    written: Vec<CheckpointLine>,
}

impl Checkpoints {
    /// The checkpoints in `directory`, of which the last `keep` and the best are kept.
    pub fn open(directory: &Directory, keep: usize) -> Result<Self> {
        let written = lines(&directory.checkpoint_lines())?;
        Ok(Self { directory: directory.clone(), keep, written })
    }

    /// The newest save that is still there.
    pub fn last(&self) -> Option<&CheckpointLine> {
        self.written.iter().rev().find(|line| self.folder(line).is_dir())
    }

    /// The save with the highest score.
    pub fn best(&self) -> Option<&CheckpointLine> {
        self.written.iter().rev().find(|line| line.best && self.folder(line).is_dir())
    }

    /// Whether `score` is above those of all saves so far.
    pub fn would_be_best(&self, score: f64) -> bool {
        self.written.iter().filter_map(|line| line.score).all(|earlier| score > earlier)
    }

    /// The folder that `line` speaks of.
    pub fn folder(&self, line: &CheckpointLine) -> PathBuf {
        self.directory.root().join(&line.path)
    }

    /// Saves the learner as it is after `step`, then deletes what need not be kept. Whatever the instant of a crash,
    /// the index names whole folders only. When `step` is saved already, only a score that it does not have is noted.
    pub async fn save(&mut self, learner: &dyn Learner, step: u64, score: Option<f64>) -> Result<()> {
        if self.last().is_some_and(|line| line.step == step) {
            return self.note_score(score);
        }
        let folder = self.directory.checkpoint(step);
        let failed = || format!("the checkpoint {} cannot be written", folder.display());
        let part = aside(&folder);
        clear(&part).and_then(|()| clear(&folder)).with_context(failed)?;
        std::fs::create_dir_all(&part).with_context(failed)?;
        learner.save(&part).await.with_context(failed)?;
        sync_tree(&part)
            .and_then(|()| std::fs::rename(&part, &folder))
            .and_then(|()| sync_folder_of(&folder))
            .with_context(failed)?;
        let best = score.is_some_and(|score| self.would_be_best(score));
        let path = format!("checkpoints/{}", numbered(step));
        let line = CheckpointLine { version: VERSION, step, path, score, best };
        append_line(&self.directory.checkpoint_lines(), &line).with_context(failed)?;
        self.written.push(line);
        self.delete_old()
    }

    /// Gives the last line the score that it was saved without.
    fn note_score(&mut self, score: Option<f64>) -> Result<()> {
        let best = score.is_some_and(|score| self.would_be_best(score));
        match self.written.last_mut() {
            Some(line) if line.score.is_none() && score.is_some() => (line.score, line.best) = (score, best),
            _ => return Ok(()),
        }
        let mut bytes = Vec::new();
        for line in &self.written {
            bytes.extend(json_line(line)?);
        }
        let path = self.directory.checkpoint_lines();
        replace(&path, &bytes).with_context(|| format!("{} cannot be written", path.display()))?;
        self.delete_old()
    }

    /// Forgets and deletes what lies beyond `step`, and folders that no line names.
    pub(super) fn cut_after(&mut self, step: u64) -> Result<()> {
        self.written.retain(|line| line.step <= step);
        let Ok(entries) = std::fs::read_dir(self.directory.checkpoints()) else { return Ok(()) };
        for entry in entries {
            let path = entry?.path();
            if !self.written.iter().any(|line| self.folder(line) == path) {
                clear(&path).with_context(|| format!("{} cannot be deleted", path.display()))?;
            }
        }
        Ok(())
    }

    fn delete_old(&self) -> Result<()> {
        let best = self.best().map(|line| line.step);
        let newest: Vec<u64> = self.written.iter().rev().take(self.keep).map(|line| line.step).collect();
        for line in &self.written {
            if !newest.contains(&line.step) && Some(line.step) != best {
                let folder = self.folder(line);
                clear(&folder)
                    .with_context(|| format!("the old checkpoint {} cannot be deleted", folder.display()))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use zerosearch_learner::scripted::BigramLearner;
    use zerosearch_learner::text::tiny_text;

    use super::*;

    #[tokio::test]
    async fn the_last_two_and_the_best_are_kept_and_the_index_survives() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::at(folder.path());
        let learner = BigramLearner::new(Arc::new(tiny_text()), 64);
        let mut checkpoints = Checkpoints::open(&directory, 2).unwrap();
        for (step, score) in [(1, Some(0.2)), (2, Some(0.5)), (3, None), (4, Some(0.5)), (5, Some(0.1))] {
            checkpoints.save(&learner, step, score).await.unwrap();
        }
        // An equal score is no better: step 2 stays the best.
        for checkpoints in [&checkpoints, &Checkpoints::open(&directory, 2).unwrap()] {
            assert_eq!(checkpoints.best().unwrap().step, 2);
            assert_eq!(checkpoints.last().unwrap().step, 5);
            assert!(checkpoints.would_be_best(0.51) && !checkpoints.would_be_best(0.5));
        }
        let mut kept: Vec<String> = std::fs::read_dir(directory.checkpoints())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        kept.sort();
        assert_eq!(kept, ["000002", "000004", "000005"]);
    }

    #[tokio::test]
    async fn a_step_that_is_saved_is_not_saved_again() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::at(folder.path());
        let learner = BigramLearner::new(Arc::new(tiny_text()), 64);
        let mut checkpoints = Checkpoints::open(&directory, 2).unwrap();
        checkpoints.save(&learner, 3, None).await.unwrap();
        checkpoints.save(&learner, 3, None).await.unwrap();
        assert_eq!(lines::<CheckpointLine>(&directory.checkpoint_lines()).unwrap().len(), 1);
        // Its evaluation may come later.
        checkpoints.save(&learner, 3, Some(0.5)).await.unwrap();
        checkpoints.save(&learner, 3, Some(0.7)).await.unwrap();
        let written: Vec<CheckpointLine> = lines(&directory.checkpoint_lines()).unwrap();
        assert_eq!((written.len(), written[0].score, written[0].best), (1, Some(0.5), true));
    }
}
