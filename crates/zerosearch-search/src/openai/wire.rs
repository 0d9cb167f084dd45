//! The wire: what requests and replies of the OpenAI protocol look like, as far as a writer needs them.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{OpenAiSettings, Route};
use crate::WriteRequest;

/// The JSON body of `request`.
pub(super) fn body(settings: &OpenAiSettings, request: &WriteRequest) -> Value {
    let mut body = Map::new();
    body.insert("model".into(), json!(settings.model));
    match settings.route {
        Route::Chat => body.insert("messages".into(), messages(request)),
        Route::Completions => body.insert("prompt".into(), json!(plain_prompt(request))),
    };
    body.insert("max_tokens".into(), json!(request.max_tokens));
    body.insert("temperature".into(), decimal(request.temperature));
    body.insert("top_p".into(), decimal(request.top_p));
    body.insert("seed".into(), json!(wire_seed(request.seed)));
    if !request.stop.is_empty() {
        body.insert("stop".into(), json!(request.stop));
    }
    Value::Object(body)
}

fn messages(request: &WriteRequest) -> Value {
    let system = request.system.iter().map(|text| json!({"role": "system", "content": text}));
    system.chain([json!({"role": "user", "content": request.prompt})]).collect()
}

fn plain_prompt(request: &WriteRequest) -> String {
    let system = request.system.as_deref().unwrap_or_default();
    let gap = if system.is_empty() { "" } else { "\n\n" };
    [system, gap, &request.prompt, &request.reply_prefix].concat()
}

/// The number as it was written: 0.8, not the 0.800000011920929 that widening would send.
fn decimal(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

/// Servers keep seeds in 32 or 64 bits, signed or not; 31 bits fit all of them.
fn wire_seed(seed: u64) -> u64 {
    (seed ^ (seed >> 32)) & 0x7fff_ffff
}

/// What was read from a reply.
#[derive(Debug, PartialEq)]
pub(super) struct Reply {
    pub(super) text: String,
    pub(super) finished: bool,
    pub(super) tokens: Option<usize>,
}

#[derive(Deserialize)]
struct RawReply {
    choices: Option<Vec<RawChoice>>,
    usage: Option<RawUsage>,
}

#[derive(Deserialize)]
struct RawChoice {
    text: Option<String>,
    message: Option<RawMessage>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct RawMessage {
    content: Option<String>,
}

#[derive(Deserialize)]
struct RawUsage {
    completion_tokens: Option<usize>,
}

/// Reads a reply's first choice; says what is wrong with it otherwise.
pub(super) fn read(body: &[u8]) -> Result<Reply, String> {
    let (choice, tokens) = first_choice(body)?;
    let text = choice.text.or_else(|| choice.message.and_then(|message| message.content));
    let text = text.ok_or("its first choice has no text (null content)")?;
    let finished = choice.finish_reason.as_deref() != Some("length");
    Ok(Reply { text, finished, tokens })
}

/// Whether a reply has the shape of one, whatever it says: enough to know that the server works.
pub(super) fn recognise(body: &[u8]) -> Result<(), String> {
    first_choice(body).map(|_| ())
}

fn first_choice(body: &[u8]) -> Result<(RawChoice, Option<usize>), String> {
    let raw: RawReply =
        serde_json::from_slice(body).map_err(|why| format!("not the JSON of a completion: {why}"))?;
    let first = raw.choices.unwrap_or_default().into_iter().next().ok_or("a reply without choices")?;
    Ok((first, raw.usage.and_then(|usage| usage.completion_tokens)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> WriteRequest {
        WriteRequest {
            system: Some("Be brief.".into()),
            prompt: "Write.".into(),
            max_tokens: 9,
            temperature: 0.8,
            top_p: 1.0,
            stop: vec!["\n".into()],
            seed: u64::MAX,
            ..WriteRequest::default()
        }
    }

    #[test]
    fn a_chat_request_carries_every_setting() {
        let settings = OpenAiSettings::new(vec![], "m");
        let expected = json!({
            "model": "m",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Write."}],
            "max_tokens": 9, "temperature": 0.8, "top_p": 1.0, "seed": 0, "stop": ["\n"],
        });
        assert_eq!(body(&settings, &request()), expected);
    }

    #[test]
    fn a_plain_request_joins_system_prompt_and_prefix() {
        let settings = OpenAiSettings { route: Route::Completions, ..OpenAiSettings::new(vec![], "m") };
        let request = WriteRequest { reply_prefix: "Doc 1:".into(), stop: vec![], ..request() };
        let body = body(&settings, &request);
        assert_eq!(body["prompt"], "Be brief.\n\nWrite.Doc 1:");
        assert!(body.get("messages").is_none() && body.get("stop").is_none());
    }

    #[test]
    fn an_empty_system_message_is_sent_and_a_missing_one_is_not() {
        let settings = OpenAiSettings::new(vec![], "m");
        let empty = WriteRequest { system: Some(String::new()), ..request() };
        assert_eq!(body(&settings, &empty)["messages"][0], json!({"role": "system", "content": ""}));
        let none = WriteRequest { system: None, ..request() };
        assert_eq!(body(&settings, &none)["messages"][0]["role"], "user");
    }

    #[test]
    fn both_kinds_of_replies_are_read() {
        let chat = br#"{"choices":[{"message":{"content":"a"},"finish_reason":"length"}],"usage":{"completion_tokens":3}}"#;
        assert_eq!(read(chat), Ok(Reply { text: "a".into(), finished: false, tokens: Some(3) }));
        let plain = br#"{"choices":[{"text":"b","finish_reason":"stop"}]}"#;
        assert_eq!(read(plain), Ok(Reply { text: "b".into(), finished: true, tokens: None }));
    }

    #[test]
    fn replies_that_are_none_are_named() {
        for (body, what) in [
            ("<html>", "not the JSON"),
            ("{\"choices\":[{\"message\":", "not the JSON"),
            ("{}", "without choices"),
            ("{\"choices\":[]}", "without choices"),
            ("{\"choices\":[{\"message\":{\"content\":null}}]}", "null content"),
            ("{\"choices\":7}", "not the JSON"),
        ] {
            let why = read(body.as_bytes()).unwrap_err();
            assert!(why.contains(what), "{body}: {why}");
        }
    }
}
