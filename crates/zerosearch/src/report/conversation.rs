//! A conversation: one trajectory as a page shows it, with who wrote what, what is trained on, and how likely it was.

use serde::Serialize;
use zerosearch_learner::text::Text;
use zerosearch_search::Labels;

use super::vocabulary::lengths;
use crate::rollout::{Author, Ending, Piece, Trajectory, Turn};
use crate::run::TrajectoryLine;

/// Longer pieces are cut for the page.
const MOST_CHARACTERS: usize = 20_000;

/// One trajectory.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Conversation {
    step: u64,
    noise: f64,
    id: String,
    source: String,
    question: String,
    golds: Vec<String>,
    member: usize,
    reward: f32,
    em: f32,
    sub_em: f32,
    f1: f32,
    ending: &'static str,
    /// What it answered, or why it is broken.
    #[serde(skip_serializing_if = "String::is_empty")]
    words: String,
    /// The rewards of its group, where it was one of several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    group: Vec<f32>,
    pieces: Vec<Passage>,
}

/// Consecutive words of one author.
#[derive(Clone, Debug, Serialize)]
struct Passage {
    author: Author,
    text: String,
    /// How many tokens it has.
    tokens: usize,
    /// Whether its tokens are in the loss.
    trained: bool,
    /// What the engine was told to write, document by document or once for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<&'static str>,
    /// Titles and texts as the engine returned them, with the engine's name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    documents: Vec<[String; 3]>,
    /// The log-probability of each token, to three decimals.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logprobs: Vec<f64>,
    /// How long each token is in `text`; empty where its words are not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lengths: Vec<usize>,
    /// The tokens themselves, where their words are not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ids: Vec<u32>,
}

/// What a conversation is shown with.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    /// The words of its tokens.
    pub(super) text: Option<&'a Text>,
    /// The rewards of its group.
    pub(super) group: &'a [f32],
    /// Whether it was played to be trained on.
    pub(super) training: bool,
}

impl Conversation {
    pub(super) fn new(line: &TrajectoryLine, setting: Setting<'_>) -> Self {
        let it = &line.trajectory;
        let (ending, words) = match &it.ending {
            Ending::Answered(words) => ("answered", words.clone()),
            Ending::OutOfTurns => ("out of turns", String::new()),
            Ending::OutOfTokens => ("out of tokens", String::new()),
            Ending::Broken(reason) => ("broken", reason.clone()),
        };
        Self {
            step: line.step,
            noise: line.noise,
            id: it.question.id.clone(),
            source: it.question.source.clone(),
            question: it.question.text.clone(),
            golds: it.question.golden_answers.clone(),
            member: it.member,
            reward: it.reward,
            em: it.scores.em,
            sub_em: it.scores.sub_em,
            f1: it.scores.f1,
            ending,
            words,
            group: if setting.group.len() > 1 { setting.group.to_vec() } else { Vec::new() },
            pieces: passages(line, it, setting),
        }
    }

    /// The conversation's weight in bytes of the page.
    pub(super) fn bytes(&self) -> usize {
        serde_json::to_vec(self).map_or(0, |bytes| bytes.len())
    }
}

fn passages(line: &TrajectoryLine, it: &Trajectory, setting: Setting<'_>) -> Vec<Passage> {
    let mut turn = it.opening.as_ref();
    let mut turns = it.turns.iter();
    let in_loss = setting.training && it.ending.teaches();
    let mut passages = Vec::new();
    for (piece, words) in it.transcript.pieces.iter().zip(&line.texts) {
        if piece.author == Author::Policy {
            turn = turns.next();
        }
        let mut passage = passage(piece, words, setting.text);
        passage.trained = in_loss && piece.author == Author::Policy;
        let shows_documents = piece.author == Author::Search || piece.author == Author::Prompt;
        if shows_documents {
            passage.labels = turn.and_then(|turn| turn.labels.as_ref()).map(labels).unwrap_or_default();
            passage.documents = turn.map(documents).unwrap_or_default();
        }
        passages.push(passage);
    }
    passages
}

fn passage(piece: &Piece, words: &str, text: Option<&Text>) -> Passage {
    let cut = words.char_indices().nth(MOST_CHARACTERS).map(|(at, _)| at);
    let shown = cut.map_or_else(|| words.to_owned(), |at| format!("{}…", &words[..at]));
    let mut passage = Passage {
        author: piece.author,
        text: shown,
        tokens: piece.tokens.len(),
        trained: false,
        labels: Vec::new(),
        documents: Vec::new(),
        logprobs: piece.logprobs.iter().map(|it| (f64::from(*it) * 1000.0).round() / 1000.0).collect(),
        lengths: Vec::new(),
        ids: Vec::new(),
    };
    if passage.logprobs.is_empty() || cut.is_some() {
        passage.logprobs.clear();
        return passage;
    }
    match text.and_then(|text| lengths(text, &piece.tokens, words)) {
        Some(lengths) => passage.lengths = lengths,
        None => passage.ids.clone_from(&piece.tokens),
    }
    passage
}

fn labels(labels: &Labels) -> Vec<&'static str> {
    match labels {
        Labels::All(label) => vec![label.word()],
        Labels::Each(each) => each.iter().map(|label| label.word()).collect(),
    }
}

fn documents(turn: &Turn) -> Vec<[String; 3]> {
    let document =
        |it: &zerosearch_search::Document| [it.title.clone(), it.text.clone(), it.provenance.engine.clone()];
    turn.documents.iter().map(document).collect()
}
