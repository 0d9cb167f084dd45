//! A policy and an engine that play a script and remember what they were asked, for tests.

use std::sync::{Arc, Mutex};

use zerosearch_learner::seed::Seed;
use zerosearch_learner::text::{Text, tiny_text};
use zerosearch_learner::{LearnerError, Policy, Sample, SamplingRequest, StopReason, TokenId};
use zerosearch_search::{Boxed, Document, Provenance, Query, SearchEngine, SearchError};

use super::{DocumentStyle, PromptTemplate, Rollout, Rules, Sampling};
use crate::curriculum::Curriculum;
use crate::qa::{Question, Reward};

type Reply = dyn Fn(&SamplingRequest, &str) -> String + Send + Sync;

/// Writes what a function of the request and of the conversation's text says, and stops as a real policy does.
pub(crate) struct Script {
    pub(crate) text: Arc<Text>,
    pub(crate) context: usize,
    pub(crate) requests: Mutex<Vec<SamplingRequest>>,
    pub(crate) reply: Box<Reply>,
}

impl Script {
    pub(crate) fn new(reply: impl Fn(&SamplingRequest, &str) -> String + Send + Sync + 'static) -> Self {
        let text = Arc::new(tiny_text());
        Self { text, context: 4_096, requests: Mutex::default(), reply: Box::new(reply) }
    }

    /// Replies in turn; for one conversation at a time.
    pub(crate) fn of(replies: &'static [&'static str]) -> Self {
        let next = Mutex::new(0);
        Self::new(move |_, _| {
            let mut next = next.lock().unwrap();
            *next += 1;
            replies[*next - 1].to_owned()
        })
    }

    fn write(&self, request: &SamplingRequest) -> Sample {
        let words = (self.reply)(request, &self.text.decode(&request.prompt));
        let mut sample = Sample::default();
        for token in self.text.encode(&words).into_iter().take(request.max_tokens) {
            sample.tokens.push(token);
            sample.logprobs.push(made_up_logprob(sample.tokens.len()));
            if request.stop_tokens.contains(&token) {
                return Sample { stop: StopReason::StopToken, ..sample };
            }
            let so_far = self.text.decode(&sample.tokens);
            let stop_string = request.stop_strings.iter().position(|stop| so_far.contains(stop));
            if let Some(stop) = stop_string {
                return Sample { stop: StopReason::StopString(stop), ..sample };
            }
        }
        sample
    }
}

/// The log-probability that a script gives its `nth` token, counted from 1.
pub(crate) fn made_up_logprob(nth: usize) -> f32 {
    -0.25 * nth as f32
}

impl Policy for Script {
    fn sample(&self, request: SamplingRequest) -> Boxed<'_, Result<Sample, LearnerError>> {
        Box::pin(async move {
            // Conversations overtake each other: some wait longer than others.
            for _ in 0..request.seed % 7 {
                tokio::task::yield_now().await;
            }
            let sample = self.write(&request);
            self.requests.lock().unwrap().push(request);
            Ok(sample)
        })
    }

    fn score<'a>(&'a self, _: &'a [Vec<TokenId>], _: f32) -> Boxed<'a, Result<Vec<Vec<f32>>, LearnerError>> {
        Box::pin(async { Err(LearnerError::Unsupported("a script scores nothing".into())) })
    }

    fn context_length(&self) -> usize {
        self.context
    }
}

type Finder = dyn Fn(&Query) -> Result<Vec<Document>, SearchError> + Send + Sync;

/// Finds what a function says.
pub(crate) struct Engine {
    pub(crate) queries: Mutex<Vec<Query>>,
    find: Box<Finder>,
}

impl Engine {
    pub(crate) fn new(
        find: impl Fn(&Query) -> Result<Vec<Document>, SearchError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { queries: Mutex::default(), find: Box::new(find) })
    }

    /// Finds one document, always the same.
    pub(crate) fn of(words: &'static str) -> Arc<Self> {
        Self::new(move |_| Ok(vec![document("", words)]))
    }
}

impl SearchEngine for Engine {
    fn search<'a>(&'a self, query: &'a Query) -> Boxed<'a, Result<Vec<Document>, SearchError>> {
        Box::pin(async move {
            self.queries.lock().unwrap().push(query.clone());
            (self.find)(query)
        })
    }

    fn name(&self) -> &str {
        "fake"
    }

    fn identity(&self) -> String {
        r#"{"engine":"fake"}"#.into()
    }

    fn writes_to_order(&self) -> bool {
        true
    }
}

pub(crate) fn document(title: &str, text: &str) -> Document {
    Document { title: title.into(), text: text.into(), provenance: Provenance::default() }
}

pub(crate) fn question(id: &str, text: &str, gold: &str) -> Arc<Question> {
    Arc::new(Question {
        id: id.into(),
        source: "nq".into(),
        text: text.into(),
        golden_answers: vec![gold.into()],
        prompt: None,
    })
}

/// Short rules: two turns and a last one, whose prompt is the bare question.
pub(crate) fn rules() -> Rules {
    Rules {
        max_turns: 2,
        max_response_tokens: 100,
        max_document_tokens: 100,
        max_context_tokens: 1_000,
        documents: 3,
        document_style: DocumentStyle::ZeroSearch,
        distillation: None,
        hint: "Try again.".into(),
        reward: Reward::F1,
        sampling: Sampling::WHOLE,
    }
}

pub(crate) fn rollout(policy: &Arc<Script>, engine: &Arc<Engine>, rules: Rules) -> Rollout {
    Rollout {
        policy: Arc::clone(policy) as Arc<dyn Policy>,
        text: Arc::clone(&policy.text),
        engine: Some(Arc::clone(engine) as Arc<dyn SearchEngine>),
        prompt: Arc::new(PromptTemplate::new("bare", "{{ question }}").unwrap()),
        rules: Arc::new(rules),
        curriculum: Arc::new(Curriculum::constant(0.5).unwrap()),
        step: 1,
        seed: Seed::run(7).index(1),
    }
}

/// The built-in tokenizer after `change` to its `tokenizer.json`, without a chat template.
pub(crate) fn changed_text(change: impl FnOnce(&mut serde_json::Value)) -> Text {
    let folder = tempfile::tempdir().unwrap();
    let text = tiny_text();
    let file = text.files().iter().find(|file| file.name == "tokenizer.json").unwrap();
    let mut json = serde_json::from_slice(&file.bytes).unwrap();
    change(&mut json);
    std::fs::write(folder.path().join("tokenizer.json"), serde_json::to_vec(&json).unwrap()).unwrap();
    Text::from_directory(folder.path()).unwrap()
}

/// The built-in tokenizer as that of a base model: without a chat template, with token 257 before every text.
pub(crate) fn base_text() -> Text {
    changed_text(|json| {
        json["post_processor"] = serde_json::json!({
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<|system|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<|system|>": {"id": "<|system|>", "ids": [257], "tokens": ["<|system|>"]}},
        });
    })
}
