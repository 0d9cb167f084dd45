//! One conversation, from the question to its end.

use std::sync::Arc;

use zerosearch_learner::seed::Seed;
use zerosearch_learner::{LearnerError, Sample, SamplingRequest, TokenId};
use zerosearch_search::{Document, Query, QuestionContext, SearchEngine, SearchError, clean};

use super::distill::Reading;
use super::information::{harmless, information_tokens};
use super::{Action, Author, Ending, PromptError, Rollout, Sampling, Trajectory, Transcript, Turn};
use crate::qa::{Question, score_ending};

/// Something that happens in a conversation, as it happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moment<'a> {
    /// The policy wrote this in one turn.
    Said(&'a str),
    /// The engine is asked this.
    Searching(&'a str),
    /// The engine found this.
    Found(&'a [Document]),
    /// The policy read that apart, and noted this.
    Noted(&'a str),
    /// The turn had no action, and the policy is told so.
    Hinted,
}

/// Plays one question to its end. Never fails: what went wrong is part of the record. `seed` is this conversation's
/// own ([`Rollout::seed_of`]).
pub async fn play(rollout: &Rollout, question: Arc<Question>, member: usize, seed: Seed) -> Trajectory {
    play_aloud(rollout, question, member, seed, &|_| {}).await
}

/// [`play`], telling `listener` what happens.
pub async fn play_aloud(
    rollout: &Rollout,
    question: Arc<Question>,
    member: usize,
    seed: Seed,
    listener: &(dyn for<'a> Fn(Moment<'a>) + Sync),
) -> Trajectory {
    let mut talk = Conversation {
        rollout,
        question: &question,
        seed,
        listener,
        transcript: Transcript::default(),
        opening: None,
        turns: Vec::new(),
    };
    let ending = talk.converse().await.unwrap_or_else(|fault| Ending::Broken(fault.to_string()));
    let Conversation { transcript, opening, turns, .. } = talk;
    let scores = score_ending(&ending, &question.golden_answers);
    let reward = rollout.rules.reward.of(&scores);
    Trajectory { question, member, transcript, opening, turns, ending, scores, reward }
}

/// A failure of ours, never of the policy.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error("the policy could not be sampled: {0}")]
    Policy(#[from] LearnerError),
    #[error("the policy's reply cannot be used: {0}")]
    Reply(String),
    #[error("the search engine `{engine}` failed: {source}")]
    Search { engine: String, source: SearchError },
}

/// A conversation under way.
struct Conversation<'a> {
    rollout: &'a Rollout,
    question: &'a Question,
    seed: Seed,
    listener: &'a (dyn for<'b> Fn(Moment<'b>) + Sync),
    transcript: Transcript,
    opening: Option<Turn>,
    turns: Vec<Turn>,
}

impl Conversation<'_> {
    async fn converse(&mut self) -> Result<Ending, Fault> {
        let documents = self.open().await?;
        self.transcript.show(Author::Prompt, self.rollout.opening(self.question, &documents)?);
        let last = self.rollout.turns_before_last();
        for turn in 0..=last {
            if self.room() < self.rollout.smallest_turn() {
                return Ok(Ending::OutOfTokens);
            }
            let seed = self.seed.index(turn as u64);
            let goes_on = match self.speak(seed).await? {
                Action::Answer(answer) => return Ok(Ending::Answered(answer)),
                Action::Search(_) if turn == last => return Ok(Ending::OutOfTurns),
                Action::Invalid if turn == last => break,
                Action::Search(query) => self.search(query, seed).await?,
                Action::Invalid => self.hint(),
            };
            if !goes_on {
                return Ok(Ending::OutOfTokens);
            }
        }
        Ok(if self.room() == 0 { Ending::OutOfTokens } else { Ending::OutOfTurns })
    }

    /// The policy's turn: what it writes is kept as sampled, and read once.
    async fn speak(&mut self, seed: Seed) -> Result<Action, Fault> {
        let protocol = self.rollout.protocol();
        let max_tokens = self.rollout.rules.max_response_tokens.min(self.room());
        let seed = seed.purpose("policy").number();
        let asked = self.rollout.sample(self.transcript.tokens(), max_tokens, protocol.stop_strings(), seed);
        let Sample { tokens, logprobs, .. } = asked.await?;
        let words = self.rollout.text.decode(&tokens);
        self.transcript.say(tokens, logprobs);
        (self.listener)(Moment::Said(&words));
        let action = protocol.read(&words);
        self.turns.push(Turn::new(action.clone()));
        Ok(action)
    }

    /// Searches for the question itself where the prompt shows what that finds. Returns what is to be shown.
    async fn open(&mut self) -> Result<String, Fault> {
        let Rollout { engine, prompt, rules, .. } = self.rollout;
        let Some(engine) = engine.as_ref().filter(|_| prompt.wants_documents(self.question)) else {
            return Ok(String::new());
        };
        let turn = self.ask(&**engine, self.question.text.trim(), self.seed.purpose("opening")).await?;
        let documents = rules.document_style.render(&turn.documents);
        self.opening = Some(turn);
        Ok(documents)
    }

    /// Asks the engine and shows what it found. False when that, or the turn after it, does not fit.
    async fn search(&mut self, query: String, seed: Seed) -> Result<bool, Fault> {
        let rollout = self.rollout;
        let Some(engine) = &rollout.engine else { return Ok(self.hint()) };
        if self.room() < rollout.frame() + rollout.smallest_turn() {
            return Ok(false);
        }
        let mut turn = self.ask(&**engine, &query, seed).await?;
        let mut contents = rollout.rules.document_style.render(&turn.documents);
        if let Some(template) = &rollout.rules.distillation {
            let reading = Reading {
                question: (&self.question.id, &self.question.text),
                reasoning: &self.said(),
                query: &query,
                documents: &contents,
            };
            let notes = rollout.distill(template, reading, seed.purpose("distillation").number()).await?;
            (self.listener)(Moment::Noted(&notes.text));
            contents.clone_from(&notes.text);
            turn.distillate = Some(notes);
        }
        if let Some(last) = self.turns.last_mut() {
            *last = turn;
        }
        let block = information_tokens(&contents, rollout.rules.max_document_tokens, &rollout.text);
        Ok(self.show(Author::Search, block))
    }

    /// A turn that asked `engine` these words, with what it found.
    async fn ask(&self, engine: &dyn SearchEngine, words: &str, seed: Seed) -> Result<Turn, Fault> {
        let query = self.query(words, seed, engine.writes_to_order());
        (self.listener)(Moment::Searching(&query.text));
        let found = engine.search(&query).await;
        let found = found.map_err(|source| Fault::Search { engine: engine.name().to_owned(), source })?;
        let documents: Vec<Document> = found.into_iter().take(query.k).map(harmless).collect();
        (self.listener)(Moment::Found(&documents));
        Ok(Turn { labels: query.labels, documents, ..Turn::new(Action::Search(words.to_owned())) })
    }

    /// What the engine is asked; one that writes `to_order` is told what, and the question behind it.
    fn query(&self, words: &str, seed: Seed, to_order: bool) -> Query {
        let Rollout { rules, curriculum, step, .. } = self.rollout;
        let labels = || curriculum.labels(*step, rules.documents, seed.purpose("labels"));
        let context = || QuestionContext {
            question: self.question.text.clone(),
            golden_answers: self.question.golden_answers.clone(),
        };
        Query {
            text: clean(words),
            k: rules.documents,
            labels: to_order.then(labels),
            seed: seed.purpose("search").number(),
            context: to_order.then(context),
        }
    }

    /// The conversation after its prompt, in words.
    fn said(&self) -> String {
        let pieces = self.transcript.pieces.iter().skip(1);
        let tokens: Vec<_> = pieces.flat_map(|piece| piece.tokens.iter().copied()).collect();
        self.rollout.text.decode(&tokens)
    }

    /// Tells the policy that its turn had no action. False when that, or the turn after it, does not fit.
    fn hint(&mut self) -> bool {
        (self.listener)(Moment::Hinted);
        let words = format!("\n{}\n", self.rollout.rules.hint.trim());
        self.show(Author::Hint, self.rollout.text.encode(&words))
    }

    /// Appends what is not the policy's, if a turn fits after it.
    fn show(&mut self, author: Author, tokens: Vec<u32>) -> bool {
        let fits = tokens.len() + self.rollout.smallest_turn() <= self.room();
        if fits {
            self.transcript.show(author, tokens);
        }
        fits
    }

    /// How many tokens still fit.
    fn room(&self) -> usize {
        self.rollout.context().saturating_sub(self.transcript.len())
    }
}

impl Rollout {
    /// What the policy writes after `prompt`, by the rules.
    pub(super) async fn sample(
        &self,
        prompt: Vec<TokenId>,
        max_tokens: usize,
        stop_strings: Vec<String>,
        seed: u64,
    ) -> Result<Sample, Fault> {
        let Sampling { temperature, top_p, top_k } = self.rules.sampling;
        let stop_tokens = self.text.stop_tokens().to_vec();
        let request = SamplingRequest {
            prompt,
            max_tokens,
            temperature,
            top_p,
            top_k,
            stop_strings,
            stop_tokens,
            seed,
        };
        usable(self.policy.sample(request).await?, max_tokens)
    }
}

/// Refuses a reply that would poison the record: no tokens, too many, or log-probabilities that are not one finite
/// number for each token. A policy that gives none at all is fit for everything but training.
fn usable(sample: Sample, max_tokens: usize) -> Result<Sample, Fault> {
    let (tokens, logprobs) = (sample.tokens.len(), sample.logprobs.len());
    if tokens == 0 || tokens > max_tokens {
        return Err(Fault::Reply(format!("{tokens} tokens came, 1 to {max_tokens} were asked for")));
    }
    if logprobs != tokens && logprobs != 0 {
        return Err(Fault::Reply(format!("{logprobs} log-probabilities came for {tokens} tokens")));
    }
    match sample.logprobs.iter().position(|logprob| !logprob.is_finite()) {
        Some(at) => {
            Err(Fault::Reply(format!("the log-probability of token {at} is {}", sample.logprobs[at])))
        }
        None => Ok(sample),
    }
}
