//! A shape: how `/v1/completions` and `/v1/chat/completions` write a reply, whole or in chunks.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use zerosearch_learner::text::Text;
use zerosearch_learner::{StopReason, TokenId};

use super::order::{Order, Route};
use super::teller::Piece;

/// What all chunks of a reply have in common.
pub(super) struct Shape {
    order: Arc<Order>,
    text: Arc<Text>,
    id: String,
    model: String,
    created: u64,
}

/// Why a reply ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ending {
    /// `stop` or `length`.
    pub(super) reason: &'static str,
    /// The stop string or the token that the client named.
    pub(super) stopped_by: Value,
}

/// Tokens of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    prompt: usize,
    pub(super) completion: usize,
}

impl Ending {
    /// The word for `stop`.
    pub(super) fn reason(stop: StopReason) -> &'static str {
        match stop {
            StopReason::Length => "length",
            StopReason::StopString(_) | StopReason::StopToken => "stop",
        }
    }
}

impl Usage {
    /// Of `order`, before anything was sampled.
    pub(super) fn of(order: &Order) -> Self {
        Self { prompt: order.prompts.iter().map(Vec::len).sum(), completion: 0 }
    }

    fn json(self) -> Value {
        let Self { prompt, completion } = self;
        json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
    }
}

impl Shape {
    /// The shape of replies to `order` by `model`, whose words are those of `text`.
    pub(super) fn new(order: Arc<Order>, text: Arc<Text>, model: String, created: u64) -> Self {
        let kind = match order.route {
            Route::Completions => "cmpl",
            Route::Chat => "chatcmpl",
        };
        let id = format!("{kind}-{:032x}", rand::random::<u128>());
        Self { order, text, id, model, created }
    }

    fn envelope(&self, object: &str, choices: Vec<Value>) -> Map<String, Value> {
        let envelope = json!({
            "id": self.id, "object": object, "created": self.created, "model": self.model, "choices": choices,
        });
        match envelope {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }

    /// The whole reply.
    pub(super) fn whole(&self, choices: Vec<Value>, usage: Usage) -> Value {
        let object = match self.order.route {
            Route::Completions => "text_completion",
            Route::Chat => "chat.completion",
        };
        let mut reply = self.envelope(object, choices);
        if self.order.telling.token_ids && self.order.route == Route::Chat {
            reply.insert("prompt_token_ids".into(), json!(self.order.prompts[0]));
        }
        reply.insert("usage".into(), usage.json());
        reply.into()
    }

    /// A chunk with `choices`; `usage` is null in all but the last where it was asked for.
    pub(super) fn chunk(&self, choices: Vec<Value>, usage: Option<Usage>) -> Value {
        let object = match self.order.route {
            Route::Completions => "text_completion",
            Route::Chat => "chat.completion.chunk",
        };
        let mut chunk = self.envelope(object, choices);
        if self.order.stream.is_some_and(|stream| stream.include_usage) {
            chunk.insert("usage".into(), usage.map_or(Value::Null, Usage::json));
        }
        chunk.into()
    }

    /// A whole choice: everything that was said, and why it ended.
    pub(super) fn choice(&self, index: usize, piece: &Piece, ending: &Ending) -> Value {
        let said = match self.order.route {
            Route::Completions => json!({"text": piece.words}),
            Route::Chat => json!({"message": {"role": "assistant", "content": piece.words, "refusal": null}}),
        };
        let mut choice = self.told(index, piece);
        merge(&mut choice, said);
        if self.order.telling.token_ids && self.order.route == Route::Completions {
            choice.insert("prompt_token_ids".into(), json!(self.order.prompt(index)));
        }
        finish(&mut choice, Some(ending));
        choice.into()
    }

    /// The first chunk of a choice: nothing is said yet.
    pub(super) fn opening(&self, index: usize) -> Option<Value> {
        if self.order.route == Route::Completions {
            return None;
        }
        let mut choice = Map::new();
        merge(
            &mut choice,
            json!({"index": index, "delta": {"role": "assistant", "content": ""}, "logprobs": null}),
        );
        if self.order.telling.token_ids {
            choice.insert("prompt_token_ids".into(), json!(self.order.prompts[0]));
        }
        finish(&mut choice, None);
        Some(choice.into())
    }

    /// The next words of a choice, and why it ended if it did.
    pub(super) fn delta(&self, index: usize, piece: &Piece, ending: Option<&Ending>) -> Value {
        let said = match self.order.route {
            Route::Completions => json!({"text": piece.words}),
            Route::Chat if piece.words.is_empty() => json!({"delta": {}}),
            Route::Chat => json!({"delta": {"content": piece.words}}),
        };
        let mut choice = self.told(index, piece);
        merge(&mut choice, said);
        finish(&mut choice, ending);
        choice.into()
    }

    fn told(&self, index: usize, piece: &Piece) -> Map<String, Value> {
        let mut choice = Map::from_iter([("index".to_owned(), json!(index))]);
        let logprobs = match (self.order.telling.logprobs, self.order.route) {
            (false, _) => Value::Null,
            (true, Route::Completions) => self.completion_logprobs(piece),
            (true, Route::Chat) => self.chat_logprobs(piece),
        };
        choice.insert("logprobs".into(), logprobs);
        if self.order.telling.token_ids {
            choice.insert("token_ids".into(), json!(&piece.tokens[piece.echoed..]));
        }
        choice
    }

    fn completion_logprobs(&self, piece: &Piece) -> Value {
        let tokens: Vec<String> = piece.tokens.iter().map(|token| self.spelled(*token)).collect();
        let (logprobs, offsets) = (&piece.logprobs, &piece.offsets);
        json!({"tokens": tokens, "token_logprobs": logprobs, "top_logprobs": null, "text_offset": offsets})
    }

    fn chat_logprobs(&self, piece: &Piece) -> Value {
        let entry = |(token, logprob): (&TokenId, &Option<f32>)| {
            let (spelled, bytes) = (self.spelled(*token), self.text.bytes(*token));
            json!({"token": spelled, "logprob": logprob, "bytes": bytes, "top_logprobs": []})
        };
        let content: Vec<Value> = piece.tokens.iter().zip(&piece.logprobs).map(entry).collect();
        json!({"content": content, "refusal": null})
    }

    /// A token's own letters; bytes of a character that is not whole become U+FFFD.
    fn spelled(&self, token: TokenId) -> String {
        match self.order.telling.spelled_ids {
            true => format!("token_id:{token}"),
            false => self.text.decode(&[token]),
        }
    }
}

fn merge(fields: &mut Map<String, Value>, more: Value) {
    if let Value::Object(more) = more {
        fields.extend(more);
    }
}

fn finish(choice: &mut Map<String, Value>, ending: Option<&Ending>) {
    choice.insert("finish_reason".into(), ending.map_or(Value::Null, |ending| ending.reason.into()));
    if let Some(ending) = ending {
        choice.insert("stop_reason".into(), ending.stopped_by.clone());
    }
}
