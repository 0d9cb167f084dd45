//! A manner: how a simulator is asked and how its documents look, on which tuning and playing have to agree.

use anyhow::Result;
use serde_json::{Value, json};
use zerosearch_learner::text::Message;
use zerosearch_search::{Demonstration, Document, SearchError, SimulatedSettings, Structure};

use crate::config::Plan;
use crate::engines;
use crate::judge::Pair;
use crate::rollout::DocumentStyle;
use crate::run::{Directory, Run, RunRecord, difference, read_json};

/// How a plan's simulator is asked.
#[derive(Clone, Debug)]
pub struct Manner {
    settings: SimulatedSettings,
    style: DocumentStyle,
    /// The most documents that are asked for.
    k: usize,
}

impl Manner {
    /// As `plan` says: its `simulator`, `rollout.k` and `rollout.document_style`.
    pub fn of(plan: &Plan) -> Result<Self> {
        let settings = engines::settings(&plan.simulator)?;
        settings.check(true)?;
        Ok(Self { settings, style: plan.rollout.document_style.into(), k: plan.rollout.k })
    }

    /// How the simulator is asked for a pair's documents, and what it should reply: the first `rollout.k` of them, cut
    /// to `simulator.max_words`, with titles where `rollout.document_style` has a place for them.
    pub fn show(&self, pair: &Pair) -> Result<Demonstration, SearchError> {
        let documents: Vec<Document> =
            pair.documents.iter().take(self.k).map(|document| self.style.folded(document)).collect();
        self.settings.demonstration(&pair.query(), pair.label, &documents)
    }

    /// The same as a chat that other trainers read: system message, prompt, reply.
    pub fn chat(&self, pair: &Pair) -> Result<Value, SearchError> {
        let shown = self.show(pair)?;
        let system = shown.system.as_ref().map(|system| Message::new("system", system));
        let asked = [Message::new("user", &shown.prompt), Message::new("assistant", shown.reply())];
        let messages: Vec<Message> = system.into_iter().chain(asked).collect();
        Ok(json!({ "messages": messages }))
    }

    /// What the manner depends on, in a form that can be compared.
    pub fn record(&self) -> Value {
        json!({
            "prompt": self.settings.template.name(),
            "template": self.settings.template.hash(),
            "structure": self.structure(),
            "words": self.settings.words,
            "max_words": self.settings.most_words,
            "document_style": self.style,
            "k": self.k,
        })
    }

    /// The manner in one line.
    pub fn words(&self) -> String {
        format!(
            "asked with the template {}, {} structure, up to {} documents of about {} words",
            self.settings.template.name(),
            self.structure(),
            self.k,
            self.settings.words
        )
    }

    /// Warns where the plan's simulator is a checkpoint that was tuned in another manner: it would be asked for what it
    /// did not learn. Fewer documents than it was tuned on are no other manner.
    pub(crate) fn warn_of_another(plan: &Plan) -> Result<()> {
        let model = plan.simulator.newest_weights();
        let Some(run) = Run::of_checkpoint(model) else { return Ok(()) };
        let record: RunRecord = read_json(&Directory::at(run).record())?;
        let asked = Self::of(plan)?.record();
        let tuned = record.manner.map(|tuned| {
            let mut tuned = tuned;
            tuned["k"] = asked["k"].clone();
            tuned
        });
        if let Some(difference) = tuned.and_then(|tuned| difference("", &tuned, &asked)) {
            tracing::warn!(
                "the simulator {model} was tuned with {difference}: it is asked for what it did not learn"
            );
        }
        Ok(())
    }

    fn structure(&self) -> &'static str {
        match self.settings.structure {
            Structure::Free => "free",
            Structure::Forced => "forced",
        }
    }
}

/// The manner of a fine-tuned simulator, for tests.
#[cfg(test)]
pub(crate) fn tuned() -> Manner {
    let template = zerosearch_search::PromptTemplate::tuned().unwrap();
    Manner { settings: SimulatedSettings::new(template), style: DocumentStyle::ZeroSearch, k: 5 }
}

#[cfg(test)]
impl Manner {
    pub(crate) fn with(self, structure: Structure) -> Self {
        Self { settings: SimulatedSettings { structure, ..self.settings }, ..self }
    }

    pub(crate) fn settings(&self) -> &SimulatedSettings {
        &self.settings
    }
}
