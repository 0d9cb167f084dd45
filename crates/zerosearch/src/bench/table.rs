//! Figures as a table: a line for each name; where a figure is a list, a line for each entry.

use serde_json::{Map, Value};

/// `figures`, a JSON object of numbers, words and lists of such objects, for people.
pub fn table(figures: &Value) -> String {
    let Some(figures) = figures.as_object() else { return word(figures) };
    let width = figures.keys().map(String::len).max().unwrap_or(0);
    let mut lines = Vec::new();
    for (name, value) in figures {
        match value.as_array() {
            Some(entries) => lines.extend(columns(entries)),
            None => lines.push(format!("{name:width$}  {}", word(value))),
        }
    }
    lines.join("\n")
}

/// A line of names, and one for each entry.
fn columns(entries: &[Value]) -> Vec<String> {
    let rows: Vec<&Map<String, Value>> = entries.iter().filter_map(Value::as_object).collect();
    let names: Vec<&String> = rows.first().map_or(Vec::new(), |row| row.keys().collect());
    let cell = |row: &Map<String, Value>, name: &str| row.get(name).map_or_else(String::new, word);
    let width = |name: &str| rows.iter().map(|row| cell(row, name).len()).chain([name.len()]).max();
    let line = |cells: Vec<(String, usize)>| {
        let cells: Vec<String> = cells.into_iter().map(|(cell, width)| format!("{cell:>width$}")).collect();
        cells.join("  ")
    };
    let mut lines = vec![String::new()];
    let head = names.iter().map(|name| (name.to_string(), width(name).unwrap_or(0))).collect();
    lines.push(line(head));
    for row in &rows {
        lines.push(line(names.iter().map(|name| (cell(row, name), width(name).unwrap_or(0))).collect()));
    }
    lines
}

/// A number with about four digits, or a word as it is.
fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "unknown".into(),
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            let digits = if number == 0.0 { 0.0 } else { number.abs().log10().floor() };
            let decimals = (3.0 - digits).clamp(0.0, 6.0) as usize;
            format!("{number:.decimals$}")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_lined_up_with_four_digits() {
        let figures = json!({"rows": 4, "tokens_per_second": 283.46, "seconds": 0.012_345, "model": "tiny"});
        let lines = [
            "rows               4",
            "tokens_per_second  283.5",
            "seconds            0.01235",
            "model              tiny",
        ];
        assert_eq!(table(&figures), lines.join("\n"));
    }

    #[test]
    fn lists_are_columns() {
        let figures = json!({"threads": 2, "products": [{"shape": "1x2", "share": 0.5}, {"shape": "10x2", "share": 12.0}]});
        assert_eq!(table(&figures), "threads   2\n\nshape   share\n  1x2  0.5000\n 10x2   12.00");
    }
}
