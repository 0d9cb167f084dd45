//! A model's chat template: messages in, the text that the model was trained to read out.
//!
//! Templates are Jinja as `transformers` renders it: blocks trimmed, Python's string methods, `raise_exception`,
//! `tojson` as Python spells it, loop controls, and `{% generation %}` marks, which print nothing.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, State, Value, context};
use minijinja_contrib::pycompat;

use super::json;

/// One message of a chat.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// What was said.
    pub content: String,
}

impl Message {
    /// A message of `role` that says `content`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// A compiled chat template and the special tokens it may name.
pub(super) struct ChatTemplate {
    /// As the model's files have it.
    pub(super) source: String,
    environment: Environment<'static>,
    /// `bos_token` and its like, with their spellings.
    named_tokens: Vec<(String, String)>,
}

const NAME: &str = "chat template";

impl ChatTemplate {
    /// Compiles `source`, or says where it is not a template.
    pub(super) fn compile(source: &str, named_tokens: Vec<(String, String)>) -> Result<Self, String> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| error.to_string())?);
        environment.set_unknown_method_callback(python_method);
        environment.add_filter("tojson", json::to_json);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment
            .add_template_owned(NAME, without_generation_marks(source))
            .map_err(|error| format!("the chat template cannot be read: {error}"))?;
        Ok(Self { source: source.to_owned(), environment, named_tokens })
    }

    /// Renders a chat, or passes on the template's complaint.
    pub(super) fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, String> {
        let messages: Vec<Value> = messages
            .iter()
            .map(|message| context! { role => message.role.as_str(), content => message.content.as_str() })
            .collect();
        let mut variables: Vec<(String, Value)> = vec![
            ("messages".into(), Value::from(messages)),
            ("add_generation_prompt".into(), Value::from(add_generation_prompt)),
            ("tools".into(), Value::from(())),
            ("documents".into(), Value::from(())),
        ];
        let named = self.named_tokens.iter().map(|(name, token)| (name.clone(), Value::from(token.as_str())));
        variables.extend(named);
        self.environment
            .get_template(NAME)
            .and_then(|template| template.render(Value::from_pairs(variables)))
            .map_err(|error| format!("the chat template refused these messages: {error}"))
    }
}

fn raise_exception(message: &str) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message.to_owned()))
}

/// The day that `strftime_now` tells: always Friday, 26 July 2024, which Llama 3 templates fall back to themselves.
///
/// With the real date, the same run would see other prompts tomorrow.
fn strftime_now(format: &str) -> Result<String, Error> {
    let mut text = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        let code = characters.next().unwrap_or('%');
        text.push_str(match if code == '-' { characters.next().unwrap_or('-') } else { code } {
            'd' | 'e' => "26",
            'b' | 'h' => "Jul",
            'B' => "July",
            'm' if code == '-' => "7",
            'm' => "07",
            'Y' => "2024",
            'y' => "24",
            'a' => "Fri",
            'A' => "Friday",
            'H' | 'M' | 'S' if code != '-' => "00",
            'H' | 'M' | 'S' => "0",
            'F' => "2024-07-26",
            'T' => "00:00:00",
            '%' => "%",
            other => {
                let problem = format!("strftime_now does not know `%{other}`");
                return Err(Error::new(ErrorKind::InvalidOperation, problem));
            }
        });
    }
    Ok(text)
}

/// Python's methods on strings, lists and dictionaries.
fn python_method(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    match (value.kind(), value.as_str(), method) {
        (ValueKind::String, Some(text), "removeprefix") => {
            let (prefix,): (&str,) = from_args(args)?;
            Ok(Value::from(text.strip_prefix(prefix).unwrap_or(text)))
        }
        (ValueKind::String, Some(text), "removesuffix") => {
            let (suffix,): (&str,) = from_args(args)?;
            Ok(Value::from(text.strip_suffix(suffix).unwrap_or(text)))
        }
        (ValueKind::String, Some(text), "rsplit") => {
            let (separator, limit): (&str, Option<usize>) = from_args(args)?;
            let mut parts: Vec<&str> = match limit {
                Some(limit) => text.rsplitn(limit + 1, separator).collect(),
                None => text.rsplit(separator).collect(),
            };
            parts.reverse();
            Ok(parts.into_iter().map(Value::from).collect())
        }
        (ValueKind::String, Some(text), "partition" | "rpartition") => {
            let (separator,): (&str,) = from_args(args)?;
            let halves =
                if method == "partition" { text.split_once(separator) } else { text.rsplit_once(separator) };
            let parts = match (halves, method) {
                (Some((before, after)), _) => [before, separator, after],
                (None, "partition") => [text, "", ""],
                (None, _) => ["", "", text],
            };
            Ok(parts.into_iter().map(Value::from).collect())
        }
        _ => pycompat::unknown_method_callback(state, value, method, args),
    }
}

/// `{% generation %}` marks what an assistant wrote, for loss masks in `transformers`; it prints nothing, and minijinja
/// does not know it. An `if true` of the same shape takes its place, so that whitespace control stays as it was.
fn without_generation_marks(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let inside = &rest[start + 2..start + length];
        let replacement = match inside.trim_matches(['-', '+']).trim() {
            "generation" => Some("if true"),
            "endgeneration" => Some("endif"),
            _ => None,
        };
        text.push_str(&rest[..start + 2]);
        match replacement {
            Some(tag) => {
                let sign = |sign: Option<char>| sign.filter(|sign| ['-', '+'].contains(sign));
                text.extend(sign(inside.chars().next()));
                text.push_str(&format!(" {tag} "));
                text.extend(sign(inside.chars().last()));
            }
            None => text.push_str(inside),
        }
        text.push_str("%}");
        rest = &rest[start + length + 2..];
    }
    text + rest
}

#[cfg(test)]
#[path = "chat_tests.rs"]
mod tests;
