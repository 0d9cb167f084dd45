//! A recipe: all that decides how answers are obtained and scored, but for the model's weights and the questions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zerosearch_learner::text::Text;

use crate::config::{ApiName, Plan};
use crate::problem::problem;
use crate::qa::{Question, SCORER};
use crate::run::{VERSION, read_json, replace};
use crate::train::Stage;

/// The file in an evaluation's folder.
const FILE: &str = "recipe.json";

/// Characters of a text that stands for itself; a longer one is named by its hash.
const LONGEST: usize = 80;

/// The key of answers of which some were there before, obtained by another recipe.
const BEGUN_WITH: &str = "begun_with";

/// Keys and values; those that a config file has go by its names. Answers of one model to one question are the same
/// where recipes are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Recipe(BTreeMap<String, Value>);

/// `recipe.json`: a recipe, and which questions are asked by it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecipeRecord {
    /// [`VERSION`].
    pub version: u32,
    /// [`Recipe::hash`].
    pub hash: String,
    /// Its keys.
    pub recipe: Recipe,
    /// The questions.
    pub questions: QuestionSet,
}

/// Which questions are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionSet {
    /// SHA-256 of their data sets, ids, texts and golden answers in whatever order, its first 16 hexadecimal digits.
    pub hash: String,
    /// How many.
    pub count: usize,
}

impl Recipe {
    /// How `questions` are played on `stage`, which is that of `plan`'s evaluation.
    pub fn of(plan: &Plan, stage: &Stage, questions: &[Arc<Question>]) -> Self {
        let (rules, desk) = (&stage.rules, &stage.desk);
        let mut recipe = Self::default();
        recipe.put("scorer", SCORER);
        recipe.put_prompt(plan, stage, questions);
        recipe.put_model(plan, &stage.text);
        recipe.put("rollout.max_response_tokens", rules.max_response_tokens);
        recipe.put("rollout.max_context_tokens", rules.max_context_tokens);
        recipe.put("eval.samples", stage.crowd.group_size);
        recipe.put("eval.temperature", plan.eval.temperature);
        recipe.put("eval.top_p", rules.sampling.top_p);
        recipe.put("eval.top_k", rules.sampling.top_k);
        match desk.identity() {
            Some(identity) => recipe.put_search(stage, &identity),
            None => recipe.put("engine", "none"),
        }
        if desk.writes_to_order() {
            recipe.put("eval.noise", plan.eval.noise);
        }
        if plan.eval.temperature > 0.0 || plan.eval.count > 0 || desk.makes_up() {
            recipe.put("run.seed", plan.run.seed);
        }
        recipe
    }

    /// The template where it puts questions, and the prompts that rows bring with them.
    fn put_prompt(&mut self, plan: &Plan, stage: &Stage, questions: &[Arc<Question>]) {
        let own: Vec<Value> = sorted(questions)
            .into_iter()
            .filter(|_| plan.rollout.row_prompts)
            .filter_map(|it| Some(json!([it.source, it.id, it.prompt.as_ref()?])))
            .collect();
        let whose = match own.len() {
            0 => "the template's",
            count if count == questions.len() => "the rows'",
            _ => "the template's, and the rows' where they have one",
        };
        self.put("prompt", whose);
        if own.len() < questions.len() {
            self.put("prompt.template", stage.prompt.hash());
        }
        if !own.is_empty() {
            self.put("prompt.rows", short_hash(&json!(own)));
        }
    }

    fn put_model(&mut self, plan: &Plan, text: &Text) {
        let on_servers = plan.model.path == "server";
        let template = match text.chat_template() {
            Some(source) => short_hash(source),
            None if on_servers && plan.server.api == ApiName::Chat => "the server's".into(),
            None => "none".into(),
        };
        self.put("chat_template", template);
        if on_servers {
            self.put("server.api", plan.server.api.name());
        } else {
            self.put("model.arithmetic", plan.model.arithmetic.name());
        }
    }

    /// The engine, and what counts only where there is one.
    fn put_search(&mut self, stage: &Stage, identity: &str) {
        let rules = &stage.rules;
        self.put_flat("engine", &Value::String(identity.to_owned()));
        self.put("hint", short_hash(rules.hint.trim()));
        self.put("rollout.max_turns", rules.max_turns);
        self.put("rollout.k", rules.documents);
        self.put("rollout.max_document_tokens", rules.max_document_tokens);
        self.put("rollout.document_style", json!(rules.document_style));
        if let Some(template) = &rules.distillation {
            self.put("rollout.distill", template.hash());
        }
    }

    /// Sets one key.
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    /// Sets a key for each part of `value`. Objects are taken apart, also those that are spelled in a text; an
    /// engine's own name stands under the engine's key.
    fn put_flat(&mut self, key: &str, value: &Value) {
        let inner = |name: &str| if name == "engine" { key.to_owned() } else { format!("{key}.{name}") };
        match value {
            Value::Object(parts) => parts.iter().for_each(|(name, part)| self.put_flat(&inner(name), part)),
            Value::Array(parts) if parts.iter().any(|part| part.is_object()) => {
                for (number, part) in (1..).zip(parts) {
                    self.put_flat(&format!("{key}.{number}"), part);
                }
            }
            Value::String(text) => match serde_json::from_str(text) {
                Ok(object @ Value::Object(_)) => self.put_flat(key, &object),
                _ if text.chars().count() > LONGEST => self.put(key, short_hash(text)),
                _ => self.put(key, text.as_str()),
            },
            plain => self.put(key, plain.clone()),
        }
    }

    /// Its keys and values, in the order of the keys.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// SHA-256 of its JSON with sorted keys and no blanks, its first 16 hexadecimal digits: names it beside every number.
    pub fn hash(&self) -> String {
        short_hash(&json!(self.0))
    }

    /// Whether it is `other` but for what some answers were begun with.
    fn goes_on_with(&self, other: &Self) -> bool {
        let mut own = self.0.clone();
        own.remove(BEGUN_WITH);
        own == other.0
    }
}

impl RecipeRecord {
    /// How `questions` are played on `stage`, which is that of `plan`'s evaluation.
    pub fn of(plan: &Plan, stage: &Stage, questions: &[Arc<Question>]) -> Self {
        Self::new(Recipe::of(plan, stage, questions), QuestionSet::of(questions))
    }

    fn new(recipe: Recipe, questions: QuestionSet) -> Self {
        Self { version: VERSION, hash: recipe.hash(), recipe, questions }
    }

    /// That in `folder`; none in a folder from before recipes were kept.
    ///
    /// # Errors
    /// When it is not as it was written.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let record: Self = read_json(&path)?;
        if record.version == VERSION && record.hash == record.recipe.hash() {
            return Ok(Some(record));
        }
        Err(problem(format!("{} is of another form, or was changed by hand", path.display()))
            .hint("evaluate again into another folder, with `--out FOLDER`")
            .into())
    }

    /// Writes it to `folder`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        replace(&path, &serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    /// The record of answers of which some were there before, under `before`; what is not known is called so. They are
    /// of one recipe where both are, else of a mixture with a hash of its own.
    #[must_use]
    pub fn after(self, before: Option<Self>) -> Self {
        match before {
            Some(before) if before.recipe.goes_on_with(&self.recipe) => before,
            before => {
                let mut recipe = self.recipe;
                recipe.put(BEGUN_WITH, before.map_or_else(|| "unknown".into(), |before| before.hash));
                Self::new(recipe, self.questions)
            }
        }
    }
}

impl QuestionSet {
    /// Those of `questions`.
    pub fn of(questions: &[Arc<Question>]) -> Self {
        let row = |it: &Question| json!([it.source, it.id, it.text, it.golden_answers]);
        let rows: Vec<Value> = sorted(questions).into_iter().map(row).collect();
        Self { hash: short_hash(&json!(rows)), count: questions.len() }
    }
}

/// By data set and id, so that the order in which they are asked does not count.
fn sorted(questions: &[Arc<Question>]) -> Vec<&Question> {
    let mut sorted: Vec<&Question> = questions.iter().map(|question| &**question).collect();
    sorted.sort_by_key(|question| (&question.source, &question.id));
    sorted
}

/// The first 16 hexadecimal digits of the SHA-256 of what `value` is in words.
fn short_hash(value: &(impl std::fmt::Display + ?Sized)) -> String {
    let digest = Sha256::digest(value.to_string().as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
