//! The wire: sampling requests and replies as OpenAI-compatible servers write them.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use zerosearch_learner::text::Text;
use zerosearch_learner::{Sample, SamplingRequest, StopReason, TokenId};

/// The body for `/v1/completions`. The fields from `stop_token_ids` on are those of vLLM and SGLang; others ignore them.
pub(super) fn completion(model: &str, request: &SamplingRequest) -> Value {
    let mut body = common(model, request);
    body.insert("prompt".into(), json!(request.prompt));
    body.insert("logprobs".into(), json!(1));
    body.insert("stop_token_ids".into(), json!(request.stop_tokens));
    body.insert("return_token_ids".into(), json!(true));
    body.insert("return_tokens_as_token_ids".into(), json!(true));
    body.insert("include_stop_str_in_output".into(), json!(true));
    body.insert("skip_special_tokens".into(), json!(false));
    Value::Object(body)
}

/// The body for `/v1/chat/completions`: `words` are the user's.
pub(super) fn chat(model: &str, words: &str, request: &SamplingRequest) -> Value {
    let mut body = common(model, request);
    body.insert("messages".into(), json!([{ "role": "user", "content": words }]));
    Value::Object(body)
}

fn common(model: &str, request: &SamplingRequest) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("model".into(), json!(model));
    body.insert("max_tokens".into(), json!(request.max_tokens));
    body.insert("temperature".into(), decimal(request.temperature));
    body.insert("top_p".into(), decimal(request.top_p));
    // Servers keep seeds in 32 or 64 bits, signed or not; 31 bits fit all of them.
    body.insert("seed".into(), json!((request.seed ^ (request.seed >> 32)) & 0x7fff_ffff));
    if !request.stop_strings.is_empty() {
        body.insert("stop".into(), json!(request.stop_strings));
    }
    body
}

/// The number as it was written: 0.8, not the 0.800000011920929 that widening would send.
fn decimal(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

#[derive(Deserialize)]
struct RawReply {
    choices: Option<Vec<Choice>>,
}

#[derive(Debug, Default, Deserialize)]
struct Choice {
    text: Option<String>,
    message: Option<Message>,
    finish_reason: Option<String>,
    stop_reason: Option<Value>,
    token_ids: Option<Vec<TokenId>>,
    logprobs: Option<Logprobs>,
}

#[derive(Debug, Default, Deserialize)]
struct Message {
    content: Option<String>,
}

/// `/v1/completions` and chat spell log-probabilities in different ways; only the first is read.
#[derive(Debug, Default, Deserialize)]
struct Logprobs {
    tokens: Option<Vec<String>>,
    token_logprobs: Option<Vec<Option<f32>>>,
}

/// A reply's first choice.
#[derive(Debug)]
pub(super) struct Reply {
    choice: Choice,
    words: String,
}

/// Reads a reply; says what is wrong with it otherwise.
pub(super) fn read(body: &[u8]) -> Result<Reply, String> {
    let raw: RawReply =
        serde_json::from_slice(body).map_err(|why| format!("not the JSON of a completion: {why}"))?;
    let mut choice = raw.choices.unwrap_or_default().into_iter().next().ok_or("a reply without choices")?;
    let said = choice.text.take().or_else(|| choice.message.take().and_then(|message| message.content));
    let words = said.ok_or("its first choice has no text (null content)")?;
    Ok(Reply { choice, words })
}

impl Reply {
    /// What was sampled: the server's own tokens where it gave them, else its text, encoded once.
    pub(super) fn sample(self, request: &SamplingRequest, text: &Text) -> Sample {
        let (mut tokens, mut logprobs) = match self.token_ids(text) {
            Some(tokens) => (tokens, self.logprobs(request)),
            None => (text.encode_plain(&self.whole_words(&request.stop_strings)), Vec::new()),
        };
        if tokens.is_empty() {
            // It said nothing but that it was done.
            tokens.extend(request.stop_tokens.first());
        }
        tokens.truncate(request.max_tokens);
        logprobs.truncate(request.max_tokens);
        if logprobs.len() != tokens.len() {
            logprobs.clear();
        }
        let stop = stop_of(&tokens, request, text);
        Sample { tokens, logprobs, stop }
    }

    /// The ids that the server gave, by themselves or as `token_id:7`; none where one of them is not the tokenizer's.
    fn token_ids(&self, text: &Text) -> Option<Vec<TokenId>> {
        let spelled = || {
            let tokens = self.choice.logprobs.as_ref()?.tokens.as_ref()?;
            tokens
                .iter()
                .map(|token| token.strip_prefix("token_id:")?.parse().ok())
                .collect::<Option<Vec<_>>>()
        };
        let ids = self.choice.token_ids.clone().or_else(spelled)?;
        ids.iter().all(|id| (*id as usize) < text.vocabulary_size()).then_some(ids)
    }

    /// Servers give log-probabilities at temperature 1, which is also what greedy sampling reports.
    fn logprobs(&self, request: &SamplingRequest) -> Vec<f32> {
        if request.temperature != 0.0 && request.temperature != 1.0 {
            return Vec::new();
        }
        let given = self.choice.logprobs.as_ref().and_then(|given| given.token_logprobs.as_ref());
        let finite = |logprob: &Option<f32>| logprob.filter(|number| number.is_finite());
        given.and_then(|given| given.iter().map(finite).collect::<Option<Vec<_>>>()).unwrap_or_default()
    }

    /// The text up to and with the stop string that ended it. Most servers leave that out: it is the one that they name, or
    /// the closing tag of the last tag that was opened.
    fn whole_words(&self, stops: &[String]) -> String {
        let words = &self.words;
        let first = stops.iter().filter_map(|stop| Some(words.find(stop.as_str())? + stop.len())).min();
        if let Some(end) = first {
            return words[..end].to_owned();
        }
        let named = self.choice.stop_reason.as_ref().and_then(Value::as_str);
        let named = named.and_then(|reason| stops.iter().find(|stop| *stop == reason));
        let opened = || {
            let ended = self.choice.finish_reason.as_deref() == Some("stop");
            let at = |stop: &&String| words.rfind(&stop.replacen("</", "<", 1));
            stops.iter().filter(|stop| ended && at(stop).is_some()).max_by_key(at)
        };
        format!("{words}{}", named.or_else(opened).map_or("", String::as_str))
    }
}

fn stop_of(tokens: &[TokenId], request: &SamplingRequest, text: &Text) -> StopReason {
    if tokens.last().is_some_and(|last| request.stop_tokens.contains(last)) {
        return StopReason::StopToken;
    }
    let words = text.decode(tokens);
    let found = request.stop_strings.iter().position(|stop| words.contains(stop.as_str()));
    found.map_or(StopReason::Length, StopReason::StopString)
}

#[cfg(test)]
mod tests {
    use zerosearch_learner::text::tiny_text;

    use super::*;

    fn request() -> SamplingRequest {
        SamplingRequest {
            prompt: vec![72, 105],
            max_tokens: 40,
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            stop_strings: vec!["</answer>".into(), "</search>".into()],
            stop_tokens: vec![256],
            seed: 3,
        }
    }

    fn sample(reply: &Value, request: &SamplingRequest) -> Sample {
        let body = serde_json::to_vec(&json!({ "choices": [reply] })).unwrap();
        read(&body).unwrap().sample(request, &tiny_text())
    }

    #[test]
    fn a_completion_sends_ids_and_asks_for_ids_and_a_chat_sends_words() {
        let body = completion("m", &request());
        assert_eq!((&body["prompt"], &body["return_token_ids"]), (&json!([72, 105]), &json!(true)));
        assert_eq!(
            (&body["max_tokens"], &body["temperature"], &body["seed"]),
            (&json!(40), &json!(1.0), &json!(3))
        );
        assert_eq!(body["stop"], json!(["</answer>", "</search>"]));
        let body = chat("m", "Hi", &request());
        assert_eq!(body["messages"], json!([{"role": "user", "content": "Hi"}]));
        assert!(body.get("return_token_ids").is_none() && body.get("prompt").is_none());
    }

    #[test]
    fn ids_and_logprobs_are_kept_where_they_mean_what_is_asked() {
        let reply = json!({"text": "ok", "token_ids": [111, 107, 256],
            "logprobs": {"token_logprobs": [-0.5, -1.0, -0.25], "tokens": ["o", "k", "<|end|>"]}, "finish_reason": "stop"});
        let whole = sample(&reply, &request());
        assert_eq!((whole.tokens, whole.stop), (vec![111, 107, 256], StopReason::StopToken));
        assert_eq!(whole.logprobs, [-0.5, -1.0, -0.25]);
        assert!(sample(&reply, &SamplingRequest { temperature: 0.7, ..request() }).logprobs.is_empty());
        let spelled =
            json!({"text": "o", "logprobs": {"token_logprobs": [-0.5], "tokens": ["token_id:111"]}});
        assert_eq!(sample(&spelled, &request()).logprobs, [-0.5]);
        let foreign = json!({"text": "o", "token_ids": [99_999], "logprobs": {"token_logprobs": [-0.5]}});
        let foreign = sample(&foreign, &request());
        assert_eq!((foreign.tokens, foreign.logprobs.len()), (vec![111], 0));
    }

    /// The tags are one token each in the built-in vocabulary: `</search>` is 263, `</answer>` 267.
    #[test]
    fn a_stop_string_that_was_left_out_is_put_back() {
        let said = |reply: Value| {
            let sample = sample(&reply, &request());
            (tiny_text().decode(&sample.tokens), sample.stop)
        };
        let search = ("<search>who</search>".to_owned(), StopReason::StopString(1));
        assert_eq!(said(json!({"text": "<search>who", "finish_reason": "stop"})), search);
        assert_eq!(said(json!({"text": "<search>who", "stop_reason": "</search>"})), search);
        assert_eq!(said(json!({"message": {"content": "<search>who</search> and"}})), search);
        let cut = said(json!({"text": "<search>who", "finish_reason": "length"}));
        assert_eq!(cut, ("<search>who".into(), StopReason::Length));
        let last = said(json!({"text": "<search>a <answer>b", "finish_reason": "stop"}));
        assert_eq!(last, ("<search>a <answer>b</answer>".into(), StopReason::StopString(0)));
        let nothing = said(json!({"text": "", "finish_reason": "stop"}));
        assert_eq!(nothing, ("<|end|>".into(), StopReason::StopToken));
    }

    #[test]
    fn replies_that_are_none_are_named() {
        for (body, what) in
            [("<html>", "not the JSON"), ("{}", "without choices"), ("{\"choices\":[{}]}", "no text")]
        {
            assert!(read(body.as_bytes()).unwrap_err().contains(what), "{body}");
        }
    }
}
