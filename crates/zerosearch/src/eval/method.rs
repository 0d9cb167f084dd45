//! A method: how a policy comes to its answers, as the settings that the conversation is played with.

use std::path::Path;

use anyhow::{Context, Result};

use crate::config::{ConfigFile, Setting, nearest};
use crate::problem::problem;

/// The built-in methods in the order of the paper's tables.
const BUILT_IN: [(&str, &str); 7] = [
    ("direct", include_str!("methods/direct.toml")),
    ("cot", include_str!("methods/cot.toml")),
    ("rag", include_str!("methods/rag.toml")),
    ("ra-agent", include_str!("methods/ra-agent.toml")),
    ("search-o1", include_str!("methods/search-o1.toml")),
    ("r1", include_str!("methods/r1.toml")),
    ("search", include_str!("methods/search.toml")),
];

/// A method of answering: settings that win over those of the evaluation that uses it.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// Its name, or that of its file without the ending.
    pub name: String,
    /// What it decides.
    pub settings: Vec<Setting>,
}

impl Method {
    /// The built-in method of that name, else the one in that file: a config with the keys that it decides. A question is
    /// put the method's way even where it brings a prompt of its own.
    ///
    /// # Errors
    /// When there is neither, or the file is no config.
    pub fn named(name: &str) -> Result<Self> {
        let (name, text) = match BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
            Some((name, text)) => ((*name).to_owned(), (*text).to_owned()),
            None => read(name)?,
        };
        let written =
            ConfigFile::settings(&text).with_context(|| format!("the method {name} cannot be used"))?;
        refuse_others(&name, &written)?;
        let rows = Setting::of("rollout", "row_prompts", false);
        Ok(Self { name, settings: [vec![rows], written].concat() })
    }

    /// The names of the built-in methods.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// Whether it leaves no choice of the engine.
    pub fn decides_engine(&self) -> bool {
        self.settings.iter().any(|setting| setting.name() == ("eval", "engine"))
    }
}

/// Refuses a method that decides nothing, or what is not a method's to decide: who is asked, and what.
fn refuse_others(name: &str, settings: &[Setting]) -> Result<()> {
    const OF_EVALUATION: [&str; 4] = ["engine", "samples", "temperature", "noise"];
    let belongs = |setting: &&Setting| match setting.name() {
        ("rollout", key) => key != "engine",
        ("eval", key) => OF_EVALUATION.contains(&key),
        _ => false,
    };
    let told = match settings.iter().find(|setting| !belongs(setting)) {
        Some(other) => {
            let (section, key) = other.name();
            problem(format!("the method {name} says {section}.{key}, which is not a method's to decide"))
        }
        None if settings.is_empty() => problem(format!("the method {name} decides nothing")),
        None => return Ok(()),
    };
    let keys = OF_EVALUATION.map(|key| format!("eval.{key}")).join(", ");
    Err(told.hint(format!("a method is made of keys of [rollout] (but for its engine) and of {keys}")).into())
}

fn read(file: &str) -> Result<(String, String)> {
    let path = Path::new(file);
    let text = std::fs::read_to_string(path).map_err(|source| {
        let names: Vec<&str> = Method::names().collect();
        let meant = nearest(file, &names).map(|name| format!("did you mean `{name}`? ")).unwrap_or_default();
        let names = names.join(", ");
        problem(format!("there is no method `{file}`")).because(source).hint(format!(
            "{meant}The methods are {names}; a TOML file with the keys that it decides is one too"
        ))
    })?;
    let name = path.file_stem().map_or_else(|| file.to_owned(), |stem| stem.to_string_lossy().into_owned());
    Ok((name, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{EngineName, Purpose};
    use crate::rollout::PromptTemplate;

    #[test]
    fn every_built_in_method_resolves_and_leaves_the_engine_open_where_it_searches() {
        for name in Method::names() {
            let method = Method::named(name).unwrap();
            let model = Setting::of("model", "path", "given");
            let engine = Setting::of("eval", "engine", "bm25");
            let corpus = Setting::of("bm25", "corpus", "given");
            let settings = [vec![model, engine, corpus], method.settings.clone()].concat();
            let plan = ConfigFile::parse("", &settings).unwrap().resolve(Purpose::Use).unwrap();
            let searches = ["rag", "ra-agent", "search-o1", "search"].contains(&name);
            assert_eq!(plan.eval.engine == EngineName::Bm25, searches, "{name}");
            assert_eq!(method.decides_engine(), !searches, "{name}");
            PromptTemplate::named(plan.rollout.prompt.as_deref().unwrap()).unwrap();
            assert!(!plan.rollout.row_prompts);
        }
    }

    #[test]
    fn a_file_that_is_no_config_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.toml");
        std::fs::write(&file, "[rollout]\nturns = 3\n").unwrap();
        let told = crate::problem::report(&Method::named(file.to_str().unwrap()).unwrap_err());
        assert!(told.contains("the method mine cannot be used") && told.contains("rollout.turns"), "{told}");
        for (text, reason) in [
            ("", "the method mine decides nothing"),
            ("[model]\npath = \"other\"\n", "says model.path, which is not a method's to decide"),
            ("[rollout]\nk = 2\nengine = \"bm25\"\n", "says rollout.engine, which"),
            ("[eval]\ncount = 2\n", "says eval.count, which"),
        ] {
            std::fs::write(&file, text).unwrap();
            let told = Method::named(file.to_str().unwrap()).unwrap_err().to_string();
            assert!(told.contains(reason), "{told}");
        }
    }
}
