//! The scheduler: puts forward passes together from whatever is waiting, and hands out the tokens.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::oneshot;
use zerosearch_learner::text::Text;
use zerosearch_learner::{LearnerError, Listener, Result, Sample, SamplingRequest, TokenId};

use super::cache::Cache;
use super::pick::pick;
use super::row::{Call, Row};
use super::version::Version;
use crate::kernels::{Arithmetic, BLOCK, KeyValueBlocks, Workspace};
use crate::model::config::ModelConfig;
use crate::model::{Batch, Machine, Network, Share};

/// Rows in one forward pass at most.
const ROWS: usize = 256;
/// A cache is no larger than for so many rows of full length: twice what runs together, so that a conversation finds its
/// beginning again after its neighbours had their turn.
const REMEMBERED_ROWS: usize = 2 * ROWS;
/// Tokens in one forward pass at most, unless more rows than this are decoding.
const TOKENS: usize = 1024;

/// The front of a scheduler's thread; dropping it ends the thread after its current pass.
pub(crate) struct Sampler {
    messages: Sender<Message>,
    capacity: usize,
}

/// What a scheduler is told.
enum Message {
    /// To continue a prompt.
    Call(Box<Call>),
    /// That the version of this name is gone.
    Gone(usize),
}

impl Sampler {
    /// How many tokens a cache of at most `cache_bytes` holds for this model.
    pub(crate) fn room(config: &ModelConfig, arithmetic: Arithmetic, cache_bytes: usize) -> usize {
        capacity(config, &blocks_of(config, arithmetic, &Workspace::default()), cache_bytes)
            .saturating_mul(BLOCK)
    }

    /// Bytes of keys and values of one token.
    pub(crate) fn bytes_per_token(config: &ModelConfig, arithmetic: Arithmetic) -> usize {
        blocks_of(config, arithmetic, &Workspace::default()).block_bytes() / BLOCK
    }

    /// Starts a scheduler for `network` and what shares its matrices, whose cache takes at most `cache_bytes`.
    pub(crate) fn start(network: &Network, text: Arc<Text>, cache_bytes: usize) -> Self {
        let machine = network.machine.clone();
        let blocks = blocks_of(&network.config, machine.arithmetic, machine.threads.key_values());
        let capacity = capacity(&network.config, &blocks, cache_bytes);
        let (messages, incoming) = channel();
        let scheduler = Scheduler {
            machine,
            context_length: network.config.context_length,
            text,
            cache: Cache::new(blocks, capacity),
            beginnings: HashMap::new(),
            waiting: VecDeque::new(),
            active: Vec::new(),
        };
        std::thread::spawn(move || scheduler.serve(&incoming));
        Self { messages, capacity }
    }

    /// Has `version` continue a request, whose tokens are told to `listener`. It must have been checked: at least one prompt token,
    /// at least one new one, no unknown token.
    pub(crate) async fn sample(
        &self,
        version: Arc<Version>,
        request: SamplingRequest,
        listener: Option<Listener>,
    ) -> Result<Sample> {
        let needed = Row::blocks_needed(&request);
        if needed > self.capacity {
            return Err(LearnerError::BadRequest(format!(
                "{} tokens of keys and values do not fit the cache of {}",
                needed * BLOCK,
                self.capacity * BLOCK
            )));
        }
        let (reply, answer) = oneshot::channel();
        let stopped = || LearnerError::Stopped("the sampling thread has ended".into());
        let call = Box::new(Call { version, request, listener, reply });
        self.messages.send(Message::Call(call)).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Nobody will ask the version of this name any more.
    pub(super) fn forget(&self, version: usize) {
        // A thread that has ended has nothing to forget.
        let _ = self.messages.send(Message::Gone(version));
    }
}

fn blocks_of(config: &ModelConfig, arithmetic: Arithmetic, home: &Workspace) -> KeyValueBlocks {
    KeyValueBlocks::new(arithmetic, [config.layers, config.kv_heads, config.head_width], home)
}

fn capacity(config: &ModelConfig, blocks: &KeyValueBlocks, cache_bytes: usize) -> usize {
    let useful = config.context_length.div_ceil(BLOCK).saturating_mul(REMEMBERED_ROWS);
    (cache_bytes / blocks.block_bytes()).min(useful)
}

struct Scheduler {
    machine: Machine,
    context_length: usize,
    text: Arc<Text>,
    cache: Cache,
    /// By the names of versions, what every prefix of each follows in the cache.
    beginnings: HashMap<usize, u64>,
    waiting: VecDeque<Call>,
    active: Vec<Row>,
}

impl Scheduler {
    fn serve(mut self, incoming: &Receiver<Message>) {
        let threads = Arc::clone(&self.machine.threads);
        loop {
            if self.active.is_empty() && self.waiting.is_empty() {
                match incoming.recv() {
                    Ok(message) => self.hear(message),
                    Err(_) => return,
                }
            }
            let _pass = threads.pass();
            incoming.try_iter().for_each(|message| self.hear(message));
            self.forget_the_dropped();
            self.pass();
        }
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Call(call) => self.waiting.push_back(*call),
            Message::Gone(version) => {
                if let Some(beginning) = self.beginnings.remove(&version) {
                    self.cache.forget(beginning);
                    self.cache.clear();
                }
            }
        }
    }

    /// Rows whose caller has gone away leave without a reply.
    fn forget_the_dropped(&mut self) {
        self.waiting.retain(|call| !call.reply.is_closed());
        let (gone, active) = self.active.drain(..).partition(|row| row.call.reply.is_closed());
        self.active = active;
        let gone: Vec<Row> = gone;
        gone.into_iter().for_each(|row| row.finish(&mut self.cache));
    }

    /// One forward pass, and one token for every row whose prompt is read.
    fn pass(&mut self) {
        self.take_tokens();
        let (batch, ready) = self.assemble();
        let Some(Share { network, .. }) = batch.shares.first() else { return };
        let stream = network.forward(&batch, &mut self.cache.blocks);
        let chosen = self.choose(network, (&stream, &batch), &ready);
        self.append(&ready, &chosen);
    }

    /// Takes tokens into the next forward pass: decoding rows first, one token each; then prompts, as much as fits; then new
    /// rows.
    fn take_tokens(&mut self) {
        let mut count = 0;
        self.active.sort_by_key(|row| row.pending() > 1);
        for row in &mut self.active {
            let limit = if row.pending() == 1 { 1 } else { TOKENS.saturating_sub(count) };
            count += take(row, limit, &mut self.cache);
        }
        while count < TOKENS && self.active.len() < ROWS {
            let Some(call) = self.waiting.front() else { break };
            let reserved: usize = self.active.iter().map(|row| row.reserved).sum();
            if reserved + Row::blocks_needed(&call.request) > self.cache.capacity() {
                break;
            }
            let Some(call) = self.waiting.pop_front() else { break };
            let version = self.beginnings.entry(call.version.name());
            let beginning = *version.or_insert_with(|| self.cache.begin());
            let mut row = Row::enter(call, beginning, &mut self.cache);
            count += take(&mut row, TOKENS - count, &mut self.cache);
            self.active.push(row);
        }
    }

    /// The tokens that were taken, those of one version side by side, and the rows that are ready for a next token, each with
    /// where its last one lies in the batch.
    fn assemble(&mut self) -> (Batch, Vec<(usize, usize)>) {
        self.active.sort_by_key(|row| row.call.version.name());
        let (mut batch, mut ready) = (Batch::default(), Vec::new());
        for (index, row) in self.active.iter_mut().enumerate() {
            let Some(from) = row.from.take() else { continue };
            let start = batch.tokens.len();
            batch.push(&row.tokens[from..row.computed], from, row.blocks.clone());
            let end = batch.tokens.len();
            let network = &row.call.version.network;
            match batch.shares.last_mut().filter(|share| Arc::ptr_eq(&share.network, network)) {
                Some(share) => share.tokens.end = end,
                None => batch.shares.push(Share { tokens: start..end, network: Arc::clone(network) }),
            }
            if row.pending() == 0 {
                ready.push((index, end - 1));
            }
        }
        (batch, ready)
    }

    fn choose(
        &self,
        network: &Network,
        (stream, batch): (&[f32], &Batch),
        ready: &[(usize, usize)],
    ) -> Vec<(TokenId, f32)> {
        let ends: Vec<usize> = ready.iter().map(|&(_, end)| end).collect();
        let logits = network.logits(stream, &ends, batch);
        let vocabulary = network.config.vocabulary;
        let mut chosen = vec![(0, 0.0); ready.len()];
        self.machine.threads.each_chunk(&mut chosen, 1, |index, chosen| {
            let row = &self.active[ready[index].0];
            let logits = &logits[index * vocabulary..][..vocabulary];
            chosen[0] = pick(self.machine.isa, logits, &row.call.request, row.written());
        });
        chosen
    }

    fn append(&mut self, ready: &[(usize, usize)], chosen: &[(TokenId, f32)]) {
        let mut done = vec![false; self.active.len()];
        for (&(row, _), &(token, logprob)) in ready.iter().zip(chosen) {
            done[row] = self.active[row].append(token, logprob, &self.text, self.context_length);
        }
        let mut done = done.into_iter();
        let finished: Vec<Row> = self.active.extract_if(.., |_| done.next().unwrap_or(false)).collect();
        finished.into_iter().for_each(|row| row.finish(&mut self.cache));
    }
}

/// Takes up to `limit` of a row's pending tokens into the next pass; says how many. A row that finds no block waits for the one after.
fn take(row: &mut Row, limit: usize, cache: &mut Cache) -> usize {
    row.from = if limit == 0 { None } else { row.advance(limit, cache) };
    row.from.map_or(0, |from| row.computed - from)
}
