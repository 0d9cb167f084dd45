//! Metrics: numbers with slash names, one row for each step.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One line of `metrics.jsonl`: `step` and then numbers in the order in which they were put.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Row {
    values: Map<String, Value>,
}

impl Row {
    /// The row of `step`.
    pub fn at(step: u64) -> Self {
        let mut values = Map::new();
        values.insert("step".into(), step.into());
        Self { values }
    }

    /// Puts a number under a slash name whose last word holds its unit where it has one. What is not finite is written
    /// as null.
    pub fn put(&mut self, name: &str, value: impl Into<f64>) -> &mut Self {
        let number = serde_json::Number::from_f64(value.into());
        self.values.insert(name.to_owned(), number.map_or(Value::Null, Value::Number));
        self
    }

    /// Puts several numbers under their own names.
    pub fn put_all<'a>(&mut self, pairs: impl IntoIterator<Item = (&'a str, f64)>) -> &mut Self {
        for (name, value) in pairs {
            self.put(name, value);
        }
        self
    }

    /// The number under `name`.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name).and_then(Value::as_f64)
    }

    /// The row's step.
    pub fn step(&self) -> u64 {
        self.values.get("step").and_then(Value::as_u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_one_flat_object_in_order() {
        let mut row = Row::at(3);
        row.put("reward/mean", 0.5).put("timing_s/step", 1.25).put("broken", f64::NAN);
        let line = serde_json::to_string(&row).unwrap();
        assert_eq!(line, r#"{"step":3,"reward/mean":0.5,"timing_s/step":1.25,"broken":null}"#);
        assert_eq!((row.step(), row.get("reward/mean"), row.get("broken")), (3, Some(0.5), None));
    }
}
