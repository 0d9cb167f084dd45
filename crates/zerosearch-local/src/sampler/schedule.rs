//! The scheduler: puts forward passes together from whatever is waiting, and hands out the tokens.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::oneshot;
use zerosearch_learner::text::Text;
use zerosearch_learner::{LearnerError, Listener, Result, Sample, SamplingRequest, TokenId};

use super::cache::Cache;
use super::pick::pick;
use super::row::{Call, Row};
use crate::kernels::{Arithmetic, BLOCK, KeyValueBlocks, Workspace};
use crate::model::config::ModelConfig;
use crate::model::{Batch, Network};

/// Rows in one forward pass at most.
const ROWS: usize = 256;
/// A cache is no larger than for so many rows of full length: twice what runs together, so that a conversation finds its
/// beginning again after its neighbours had their turn.
const REMEMBERED_ROWS: usize = 2 * ROWS;
/// Tokens in one forward pass at most, unless more rows than this are decoding.
const TOKENS: usize = 1024;

/// The front of a scheduler's thread; dropping it ends the thread after its current pass.
pub(crate) struct Sampler {
    calls: Sender<Call>,
    capacity: usize,
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

    /// Starts a scheduler whose cache takes at most `cache_bytes`.
    pub(crate) fn start(network: Arc<Network>, text: Arc<Text>, cache_bytes: usize) -> Self {
        let machine = &network.machine;
        let blocks = blocks_of(&network.config, machine.arithmetic, machine.threads.key_values());
        let capacity = capacity(&network.config, &blocks, cache_bytes);
        let (calls, incoming) = channel();
        let scheduler = Scheduler {
            network,
            text,
            cache: Cache::new(blocks, capacity),
            waiting: VecDeque::new(),
            active: Vec::new(),
        };
        std::thread::spawn(move || scheduler.serve(&incoming));
        Self { calls, capacity }
    }

    /// Hands a request in, whose tokens are told to `listener`. It must have been checked: at least one prompt token, at least
    /// one new one, no unknown token.
    pub(crate) async fn sample(
        &self,
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
        self.calls.send(Call { request, listener, reply }).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
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
    network: Arc<Network>,
    text: Arc<Text>,
    cache: Cache,
    waiting: VecDeque<Call>,
    active: Vec<Row>,
}

impl Scheduler {
    fn serve(mut self, incoming: &Receiver<Call>) {
        let threads = Arc::clone(&self.network.machine.threads);
        loop {
            if self.active.is_empty() && self.waiting.is_empty() {
                match incoming.recv() {
                    Ok(call) => self.waiting.push_back(call),
                    Err(_) => return,
                }
            }
            let _pass = threads.pass();
            self.waiting.extend(incoming.try_iter());
            self.forget_the_dropped();
            self.pass();
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
        let batch = self.assemble();
        if batch.tokens.is_empty() {
            return;
        }
        let stream = self.network.forward(&batch, &mut self.cache.blocks);
        let ready: Vec<(usize, usize)> = self
            .active
            .iter_mut()
            .enumerate()
            .filter_map(|(index, row)| row.end.take().filter(|_| row.pending() == 0).map(|end| (index, end)))
            .collect();
        let chosen = self.choose(&stream, &ready);
        self.append(&ready, &chosen);
    }

    /// Decoding rows first, one token each; then prompts, as much as fits; then new rows.
    fn assemble(&mut self) -> Batch {
        let mut batch = Batch::default();
        self.active.sort_by_key(|row| row.pending() > 1);
        for row in &mut self.active {
            let limit = if row.pending() == 1 { 1 } else { TOKENS.saturating_sub(batch.tokens.len()) };
            take(row, limit, &mut batch, &mut self.cache);
        }
        while batch.tokens.len() < TOKENS && self.active.len() < ROWS {
            let Some(call) = self.waiting.front() else { break };
            let reserved: usize = self.active.iter().map(|row| row.reserved).sum();
            if reserved + Row::blocks_needed(&call.request) > self.cache.capacity() {
                break;
            }
            let Some(call) = self.waiting.pop_front() else { break };
            let mut row = Row::enter(call, &mut self.cache);
            take(&mut row, TOKENS - batch.tokens.len(), &mut batch, &mut self.cache);
            self.active.push(row);
        }
        batch
    }

    fn choose(&self, stream: &[f32], ready: &[(usize, usize)]) -> Vec<(TokenId, f32)> {
        let machine = &self.network.machine;
        let ends: Vec<usize> = ready.iter().map(|&(_, end)| end).collect();
        let logits = self.network.logits(stream, &ends);
        let vocabulary = self.network.config.vocabulary;
        let mut chosen = vec![(0, 0.0); ready.len()];
        machine.threads.each_chunk(&mut chosen, 1, |index, chosen| {
            let row = &self.active[ready[index].0];
            let logits = &logits[index * vocabulary..][..vocabulary];
            chosen[0] = pick(machine.isa, logits, &row.call.request, row.written());
        });
        chosen
    }

    fn append(&mut self, ready: &[(usize, usize)], chosen: &[(TokenId, f32)]) {
        let context_length = self.network.config.context_length;
        let mut done = vec![false; self.active.len()];
        for (&(row, _), &(token, logprob)) in ready.iter().zip(chosen) {
            done[row] = self.active[row].append(token, logprob, &self.text, context_length);
        }
        let mut done = done.into_iter();
        let finished: Vec<Row> = self.active.extract_if(.., |_| done.next().unwrap_or(false)).collect();
        finished.into_iter().for_each(|row| row.finish(&mut self.cache));
    }
}

/// Puts up to `limit` of a row's pending tokens into the batch. A row that finds no block waits for the next pass.
fn take(row: &mut Row, limit: usize, batch: &mut Batch, cache: &mut Cache) {
    if limit == 0 {
        return;
    }
    if let Some(from) = row.advance(limit, cache) {
        batch.push(&row.tokens[from..row.computed], from, row.blocks.clone());
        row.end = Some(batch.tokens.len() - 1);
    }
}
