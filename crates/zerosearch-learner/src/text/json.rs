//! A template value as JSON, written as Python's `json.dumps(value, ensure_ascii=False)` writes it.
//!
//! Chat templates were made with Python: minijinja's own `tojson` escapes HTML and leaves no space after `:` and `,`,
//! which would change the prompt.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

/// The `tojson` filter. `indent` is honoured; `ensure_ascii` and the like, if given, are accepted when they ask for
/// what is done anyway.
pub(super) fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let ascii: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    if ascii == Some(true) {
        return Err(refused("tojson(ensure_ascii=true)"));
    }
    let mut text = String::new();
    write_value(value, indent.map(|width| Indent { width, depth: 0 }), &mut text)?;
    Ok(Value::from(text))
}

#[derive(Clone, Copy)]
struct Indent {
    width: usize,
    depth: usize,
}

fn write_value(value: &Value, indent: Option<Indent>, text: &mut String) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None | ValueKind::Undefined => text.push_str("null"),
        ValueKind::Bool | ValueKind::Number => text.push_str(&value.to_string().to_lowercase()),
        ValueKind::String => write_string(&value.to_string(), text),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<Value> = value.try_iter()?.checked().collect::<Result<_, _>>()?;
            write_list(('[', ']'), &items, indent, text, write_value)?;
        }
        ValueKind::Map => {
            let keys: Vec<Value> = value.try_iter()?.checked().collect::<Result<_, _>>()?;
            write_list(('{', '}'), &keys, indent, text, |key, inner, text| {
                write_string(&key.to_string(), text);
                text.push_str(": ");
                write_value(&value.get_item(key)?, inner, text)
            })?;
        }
        other => return Err(refused(&format!("tojson of a {other}"))),
    }
    Ok(())
}

fn write_list(
    (open, close): (char, char),
    items: &[Value],
    indent: Option<Indent>,
    text: &mut String,
    mut write_item: impl FnMut(&Value, Option<Indent>, &mut String) -> Result<(), Error>,
) -> Result<(), Error> {
    let inner = indent.map(|indent| Indent { depth: indent.depth + 1, ..indent });
    text.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push_str(if indent.is_some() { "," } else { ", " });
        }
        break_line(inner, text);
        write_item(item, inner, text)?;
    }
    if !items.is_empty() {
        break_line(indent, text);
    }
    text.push(close);
    Ok(())
}

fn break_line(indent: Option<Indent>, text: &mut String) {
    if let Some(Indent { width, depth }) = indent {
        text.push('\n');
        text.extend(std::iter::repeat_n(' ', width * depth));
    }
}

fn write_string(string: &str, text: &mut String) {
    text.push_str(&serde_json::Value::from(string).to_string());
}

fn refused(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("{what} is not supported"))
}

#[cfg(test)]
mod tests {
    use minijinja::Environment;

    fn render(expression: &str) -> String {
        let mut environment = Environment::new();
        environment.add_filter("tojson", super::to_json);
        environment.render_str(&format!("{{{{ {expression} }}}}"), ()).unwrap()
    }

    /// Expected: `json.dumps({"b": [1, 2.5, True, None], "a": "<é\"\n>"}, ensure_ascii=False)` in CPython.
    #[test]
    fn json_is_spelled_as_python_spells_it() {
        assert_eq!(
            render(r#"{"b": [1, 2.5, true, none], "a": "<é\"\n>"} | tojson"#),
            r#"{"b": [1, 2.5, true, null], "a": "<é\"\n>"}"#
        );
    }

    /// Expected: `json.dumps({"a": [1], "b": {}}, indent=2)` in CPython.
    #[test]
    fn indent_breaks_lines() {
        assert_eq!(
            render(r#"{"a": [1], "b": {}} | tojson(indent=2)"#),
            "{\n  \"a\": [\n    1\n  ],\n  \"b\": {}\n}"
        );
    }
}
