//! An order: what is to be sampled, and what is to be told of it.

use serde::Deserialize;
use serde_json::{Map, Value};
use zerosearch_learner::seed::Seed;
use zerosearch_learner::text::{Message, Text};
use zerosearch_learner::{LearnerError, SamplingRequest, TokenId};

use super::super::refusal::Refusal;
use super::fields::Fields;

/// The way a request came, which decides how its reply is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Completions,
    Chat,
}

/// What a request asks for.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) route: Route,
    pub(super) prompts: Vec<Vec<TokenId>>,
    /// Replies to each prompt.
    pub(super) n: usize,
    /// As for every reply, but for its prompt and its seed.
    sampling: SamplingRequest,
    pub(super) telling: Telling,
    /// Told word by word, and with a last word on what was used.
    pub(super) stream: Option<Streaming>,
}

/// What is told of a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Telling {
    /// The log-probability of each token.
    pub(super) logprobs: bool,
    /// The prompt before the reply.
    pub(super) echo: bool,
    /// The ids of prompt and reply.
    pub(super) token_ids: bool,
    /// Tokens beside log-probabilities are spelled `token_id:7`.
    pub(super) spelled_ids: bool,
    /// The text ends with the stop string that ended it.
    pub(super) stop_string: bool,
    /// Special tokens are spelled out.
    pub(super) special: bool,
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Streaming {
    #[serde(default)]
    pub(super) include_usage: bool,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "neither a text, nor tokens, nor a list of either")]
enum Prompt {
    Text(String),
    Tokens(Vec<TokenId>),
    Texts(Vec<String>),
    Rows(Vec<Vec<TokenId>>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "neither a text nor a list of texts")]
enum Stop {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    role: String,
    content: Content,
    /// Names of speakers are nothing that chat templates know.
    #[serde(default, rename = "name")]
    _name: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "neither a text nor a list of parts {\"type\": \"text\", \"text\": ..}")]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part {
    Text { text: String },
}

/// Tokens of a completion whose request names no number.
const TOKENS_OF_A_COMPLETION: usize = 16;
/// The most replies of one request.
const MOST_REPLIES: usize = 1024;

impl Order {
    /// What a `/v1/completions` request asks for.
    pub(super) fn completion(body: Map<String, Value>, text: &Text, context: usize) -> Result<Self, Refusal> {
        let mut fields = Fields::new(body);
        let given = fields.take("prompt")?;
        let prompts =
            prompts(given.ok_or_else(|| Refusal::bad("`prompt` is missing").about("prompt"))?, text)?;
        let logprobs = fields.take_in("logprobs", LOGPROBS, |count: &usize| *count <= 1)?;
        let telling =
            Telling { logprobs: logprobs.is_some(), echo: fields.flag("echo")?, ..telling(&mut fields)? };
        let least = usize::from(!telling.echo);
        let range = if telling.echo { "0 or more" } else { "at least 1 (0 goes with `echo`)" };
        let max_tokens = fields.take_in("max_tokens", range, |count: &usize| *count >= least)?;
        Self::new(Route::Completions, (prompts, max_tokens), telling, fields, (text, context))
    }

    /// What a `/v1/chat/completions` request asks for.
    pub(super) fn chat(body: Map<String, Value>, text: &Text, context: usize) -> Result<Self, Refusal> {
        let mut fields = Fields::new(body);
        let given: Option<Vec<Said>> = fields.take("messages")?;
        let messages = messages(given.unwrap_or_default())?;
        let prompt = text.chat_tokens(&messages, true).map_err(|why| refusal(&why).about("messages"))?;
        let logprobs = fields.flag("logprobs")?;
        fields
            .take_in("top_logprobs", "0 (only the sampled token's is known)", |count: &usize| *count == 0)?;
        let telling = Telling { logprobs, ..telling(&mut fields)? };
        let old: Option<usize> = fields.take_in("max_tokens", "at least 1", |count: &usize| *count > 0)?;
        let new: Option<usize> =
            fields.take_in("max_completion_tokens", "at least 1", |count: &usize| *count > 0)?;
        if old.is_some() && new.is_some() && old != new {
            let message = "`max_tokens` and `max_completion_tokens` differ; send one of them";
            return Err(Refusal::bad(message).about("max_tokens"));
        }
        Self::new(Route::Chat, (vec![prompt], new.or(old)), telling, fields, (text, context))
    }

    fn new(
        route: Route,
        (prompts, max_tokens): (Vec<Vec<TokenId>>, Option<usize>),
        telling: Telling,
        mut fields: Fields,
        (text, context): (&Text, usize),
    ) -> Result<Self, Refusal> {
        check_room(&prompts, max_tokens, context)?;
        let n = fields.take_in("n", "from 1 to 128", |n: &usize| (1..=128).contains(n))?.unwrap_or(1);
        if n * prompts.len() > MOST_REPLIES {
            let message =
                format!("{} replies were asked for; ask for {MOST_REPLIES} at once", n * prompts.len());
            return Err(Refusal::bad(message).about("n"));
        }
        let usual = if route == Route::Chat { context } else { TOKENS_OF_A_COMPLETION };
        let sampling = sampling(&mut fields, max_tokens.unwrap_or(usual), text)?;
        let streams = fields.flag("stream")?;
        let options: Option<Streaming> = fields.take("stream_options")?;
        if options.is_some() && !streams {
            return Err(Refusal::bad("`stream_options` goes with `stream`: true").about("stream_options"));
        }
        fields.finish()?;
        let stream = streams.then(|| options.unwrap_or_default());
        Ok(Self { route, prompts, n, sampling, telling, stream })
    }

    /// How many replies there are to be.
    pub(super) fn replies(&self) -> usize {
        self.n * self.prompts.len()
    }

    /// The prompt of reply `index`.
    pub(super) fn prompt(&self, index: usize) -> &[TokenId] {
        &self.prompts[index / self.n]
    }

    /// What is sampled for reply `index`. The first has the request's own seed.
    pub(super) fn sampling(&self, index: usize) -> SamplingRequest {
        let own = self.sampling.seed;
        let seed =
            if index == 0 { own } else { Seed::run(own).purpose("reply").index(index as u64).number() };
        SamplingRequest { prompt: self.prompt(index).to_vec(), seed, ..self.sampling.clone() }
    }
}

/// Refuses a prompt that leaves no room for a reply, or less than was asked for.
fn check_room(prompts: &[Vec<TokenId>], max_tokens: Option<usize>, context: usize) -> Result<(), Refusal> {
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
    let told = format!("the prompt has {longest} tokens; this model reads {context}, its reply included");
    let (message, param) = match max_tokens {
        // Only the prompt is to be read.
        Some(0) => return Ok(()),
        _ if longest >= context => (told, "prompt"),
        Some(most) if most > context - longest => {
            (format!("{told}: ask for {} tokens or fewer, not {most}", context - longest), "max_tokens")
        }
        _ => return Ok(()),
    };
    Err(Refusal::bad(message).about(param).coded("context_length_exceeded"))
}

const LOGPROBS: &str =
    "0 or 1: only the log-probability of the token that was sampled is known, not those of others";

fn telling(fields: &mut Fields) -> Result<Telling, Refusal> {
    Ok(Telling {
        token_ids: fields.flag("return_token_ids")?,
        spelled_ids: fields.flag("return_tokens_as_token_ids")?,
        stop_string: fields.flag("include_stop_str_in_output")?,
        special: !fields.take("skip_special_tokens")?.unwrap_or(true),
        ..Telling::default()
    })
}

fn sampling(fields: &mut Fields, max_tokens: usize, text: &Text) -> Result<SamplingRequest, Refusal> {
    let temperature = fields.take_in("temperature", "from 0 to 100", |t: &f32| (0.0..=100.0).contains(t))?;
    let top_p = fields.take_in("top_p", "above 0, up to 1", |p: &f32| *p > 0.0 && *p <= 1.0)?;
    let top_k = fields.take_in("top_k", "0 or -1 for all, or a number of tokens", |k: &i64| *k >= -1)?;
    let stop_strings = match fields.take("stop")? {
        None => Vec::new(),
        Some(Stop::One(stop)) => vec![stop],
        Some(Stop::Several(stops)) => stops,
    };
    if stop_strings.iter().any(String::is_empty) || stop_strings.len() > 64 {
        return Err(Refusal::bad("`stop` holds an empty text, or more than 64").about("stop"));
    }
    let mut stop_tokens: Vec<TokenId> = fields.take("stop_token_ids")?.unwrap_or_default();
    if !fields.flag("ignore_eos")? {
        stop_tokens.extend(text.stop_tokens());
    }
    let seed: Option<i64> = fields.take("seed")?;
    Ok(SamplingRequest {
        prompt: Vec::new(),
        max_tokens,
        temperature: temperature.unwrap_or(1.0),
        top_p: top_p.unwrap_or(1.0),
        top_k: usize::try_from(top_k.unwrap_or(0)).unwrap_or(0),
        stop_strings,
        stop_tokens,
        seed: seed.map_or_else(rand::random, i64::cast_unsigned),
    })
}

/// Texts are read as the model's own: special tokens spelled in them become those tokens, and what belongs before every text
/// comes before each.
fn prompts(given: Prompt, text: &Text) -> Result<Vec<Vec<TokenId>>, Refusal> {
    let encode = |words: &String| [text.prefix(), &text.encode(words)].concat();
    let rows = match given {
        Prompt::Text(words) => vec![encode(&words)],
        Prompt::Tokens(tokens) => vec![tokens],
        Prompt::Texts(texts) => texts.iter().map(encode).collect(),
        Prompt::Rows(rows) => rows,
    };
    if rows.is_empty() || rows.iter().any(Vec::is_empty) {
        return Err(Refusal::bad("a prompt is empty; a reply needs something to follow").about("prompt"));
    }
    Ok(rows)
}

fn messages(said: Vec<Said>) -> Result<Vec<Message>, Refusal> {
    if said.is_empty() {
        return Err(Refusal::bad("`messages` is missing or empty").about("messages"));
    }
    let words = |content| match content {
        Content::Text(text) => text,
        Content::Parts(parts) => parts.into_iter().map(|Part::Text { text }| text).collect(),
    };
    Ok(said.into_iter().map(|it| Message::new(it.role, words(it.content))).collect())
}

/// What a client is told of a policy's failure.
pub(super) fn refusal(why: &LearnerError) -> Refusal {
    let message = why.to_string();
    match why {
        LearnerError::TooLong { .. } => Refusal::bad(message).coded("context_length_exceeded"),
        LearnerError::BadRequest(_) | LearnerError::UnknownToken { .. } => Refusal::bad(message),
        _ => Refusal::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, message).coded("policy_failed"),
    }
}
