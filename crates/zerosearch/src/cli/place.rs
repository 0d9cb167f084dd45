//! A place: which plan is run in which folder, new or resumed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use zerosearch::config::{Complaint, ConfigFile, Plan, Purpose};
use zerosearch::problem::problem;
use zerosearch::run::{Directory, Run, unused_folder};
use zerosearch::stop::Reason;
use zerosearch::train::hashes;

use super::flags::{RunFlags, config};

/// A plan and the folder it is run in.
pub(super) struct Place {
    pub(super) plan: Plan,
    folder: PathBuf,
    resumes: bool,
    verb: &'static str,
}

impl Place {
    /// What `flags` ask of `verb`.
    pub(super) fn find(
        flags: &RunFlags,
        file: ConfigFile,
        verb: &'static str,
        purpose: Purpose,
    ) -> Result<Self> {
        let written = file.run.folder.clone().map(PathBuf::from);
        let plan =
            file.resolve(purpose).map_err(|complaint| in_recipe(flags.recipe.as_deref(), complaint))?;
        let chosen = flags.run.clone().or(written);
        let usual = || {
            Path::new("runs")
                .join(flags.recipe.as_ref().and_then(|path| path.file_stem()).unwrap_or(verb.as_ref()))
        };
        let (folder, resumes) = match (&flags.resume, chosen) {
            (Some(Some(folder)), _) => (folder.clone(), true),
            (Some(None), chosen) => (newest(&chosen.unwrap_or_else(usual))?, true),
            (None, Some(folder)) => (folder, false),
            (None, None) => (unused_folder(&usual()), false),
        };
        Ok(Self { plan, folder, resumes, verb })
    }

    /// The folder, made or taken up. `models` are the hashes of the model's files.
    pub(super) fn open(&self, models: BTreeMap<String, String>) -> Result<Run> {
        let hashes = hashes(&self.plan, models)?;
        if self.resumes {
            Run::resume(&self.folder, self.verb, &self.plan, &hashes)
        } else {
            Run::create(&self.folder, self.verb, &self.plan, hashes)
        }
    }

    /// What is said at the end of a run, or when it was left.
    pub(super) fn farewell(&self, run: &Run, left: Option<Reason>) -> String {
        let folder = self.folder.display();
        match left {
            None => format!("done: {} steps in {folder}", run.done()),
            Some(reason) => format!(
                "{reason}: stopped after step {}, everything is saved\nhint: go on with `zerosearch {} --resume {folder}`",
                run.done(),
                self.verb
            ),
        }
    }
}

/// The config that `flags` name: the recipe, or that of the run to be resumed.
pub(super) fn written(flags: &RunFlags) -> Result<ConfigFile> {
    match (&flags.recipe, &flags.resume) {
        (None, Some(Some(folder))) => ConfigFile::read(&Directory::at(folder).config(), &flags.plan.all())
            .with_context(|| format!("there is no run in {} to resume", folder.display())),
        (recipe, _) => config(recipe.as_ref(), &flags.plan.all()),
    }
}

/// A complaint, with the recipe that it is about.
pub(super) fn in_recipe(recipe: Option<&Path>, complaint: Complaint) -> anyhow::Error {
    match recipe {
        Some(path) => anyhow::Error::new(complaint)
            .context(format!("the config file {} cannot be used", path.display())),
        None => complaint.into(),
    }
}

/// The newest of `wanted`, `wanted-2`, `wanted-3`, ...
fn newest(wanted: &Path) -> Result<PathBuf> {
    let free = unused_folder(wanted);
    let name = wanted.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let number: u32 = free
        .file_name()
        .and_then(|free| free.to_str()?.strip_prefix(&format!("{name}-"))?.parse().ok())
        .unwrap_or(1);
    match number {
        1 => Err(problem(format!("there is no run in {} to resume", wanted.display()))
            .hint("leave `--resume` out to begin one")
            .into()),
        2 => Ok(wanted.to_owned()),
        number => Ok(wanted.with_file_name(format!("{name}-{}", number - 1))),
    }
}
