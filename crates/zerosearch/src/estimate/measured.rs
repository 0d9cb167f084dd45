//! Measurements: what `doctor`, `bench` or a run has found, in place of what is assumed.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use crate::problem::problem;
use crate::run::{Directory, numbers};

/// A measured number and who measured it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) value: f64,
    pub(super) source: String,
}

/// What is known of this machine and of conversations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Billions of operations in a second.
    pub(super) gflops: Option<Found>,
    /// Billions of bytes read in a second.
    pub(super) gb_per_s: Option<Found>,
    /// Tokens trained on in a second.
    pub(super) trained_per_s: Option<Found>,
    /// Tokens decoded in a second.
    pub(super) decoded_per_s: Option<Found>,
    /// Tokens read in a second.
    pub(super) read_per_s: Option<Found>,
    /// Means over the conversations of a run.
    pub(super) searches: Option<Found>,
    pub(super) prompt_tokens: Option<Found>,
    pub(super) policy_tokens: Option<Found>,
    pub(super) document_tokens: Option<Found>,
}

impl Measured {
    /// Takes in a line of JSON that `doctor --json`, `bench train --json` or `bench sample --json` has printed into the file
    /// at `path`.
    ///
    /// # Errors
    /// When the file cannot be read, is none of these, or was measured with another model than `model`.
    pub fn take_file(&mut self, path: &Path, model: &str) -> Result<()> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("{shown} cannot be read"))?;
        let json: Map<String, Value> =
            serde_json::from_str(&text).with_context(|| format!("{shown} is not JSON"))?;
        self.take(&json, &shown.to_string(), model)
    }

    /// Takes in what `doctor` or `bench` says, which `source` holds.
    pub(super) fn take(&mut self, json: &Map<String, Value>, source: &str, model: &str) -> Result<()> {
        let number = |name: &str| {
            let value = json.get(name).and_then(Value::as_f64)?;
            (value.is_finite() && value > 0.0).then(|| Found { value, source: format!("{source}, {name}") })
        };
        if let (Some(peak), Some(read)) = (number("peak_gflops"), number("read_gb_per_second")) {
            (self.gflops, self.gb_per_s) = (Some(peak), Some(read));
            return Ok(());
        }
        let refuse = |what: String| {
            let hint =
                "give what `zerosearch doctor --json`, `bench train --json` or `bench sample --json` prints";
            Err(problem(format!("{source} {what}")).hint(hint).into())
        };
        let of = json.get("model").and_then(Value::as_str).unwrap_or_default();
        if json.contains_key("optimizer_seconds") {
            self.trained_per_s = number("tokens_per_second");
        } else if json.contains_key("decode_tokens_per_second") {
            self.decoded_per_s = number("decode_tokens_per_second");
            self.read_per_s = number("prefill_tokens_per_second");
        } else {
            return refuse("holds no measurement that is known".into());
        }
        if of != model {
            return refuse(format!("was measured with the model {of}, and the recipe's is {model}"));
        }
        Ok(())
    }

    /// Takes in the means of the steps of the run in `folder`.
    ///
    /// # Errors
    /// When it has no metrics of conversations.
    pub fn take_run(&mut self, folder: &Path) -> Result<()> {
        let path = Directory::at(folder).metrics();
        let mean = |name: &str| -> Result<Found> {
            let values = numbers(&path, name)?;
            if values.is_empty() {
                let what = format!("{} has no {name}", path.display());
                return Err(problem(what).hint("name the folder of a run of `zerosearch train`").into());
            }
            let sum: f64 = values.iter().map(|(_, value)| value).sum();
            let source = format!("{name} of {} steps in {}", values.len(), folder.display());
            Ok(Found { value: sum / values.len() as f64, source })
        };
        self.searches = Some(mean("tool_call_counts/mean")?);
        self.prompt_tokens = Some(mean("prompt_length/mean")?);
        self.policy_tokens = Some(mean("response_length/mean")?);
        self.document_tokens = Some(mean("documents/tokens_mean")?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn taken(json: &Value) -> Result<Measured> {
        let mut measured = Measured::default();
        measured.take(json.as_object().unwrap(), "file", "m").map(|()| measured)
    }

    #[test]
    fn doctor_and_bench_are_told_apart() {
        let doctor = taken(&json!({"peak_gflops": 900.0, "read_gb_per_second": 50.0, "cores": 2})).unwrap();
        assert_eq!((doctor.gflops.unwrap().value, doctor.gb_per_s.unwrap().value), (900.0, 50.0));
        let train = json!({"model": "m", "optimizer_seconds": 1.0, "tokens_per_second": 755.0});
        assert_eq!(taken(&train).unwrap().trained_per_s.unwrap().value, 755.0);
        let sample =
            json!({"model": "m", "decode_tokens_per_second": 9.0, "prefill_tokens_per_second": 70.0});
        let sample = taken(&sample).unwrap();
        assert_eq!((sample.decoded_per_s.unwrap().value, sample.read_per_s.unwrap().value), (9.0, 70.0));
    }

    #[test]
    fn what_is_no_measurement_or_of_another_model_is_refused() {
        assert!(taken(&json!({"tokens": 3})).unwrap_err().to_string().contains("no measurement"));
        let other = json!({"model": "n", "optimizer_seconds": 1.0, "tokens_per_second": 755.0});
        assert!(taken(&other).unwrap_err().to_string().contains("with the model n, and the recipe's is m"));
    }

    /// By hand: the means of 1 and 2 searches, and so on.
    #[test]
    fn a_run_gives_the_means_of_its_steps() {
        let folder = tempfile::tempdir().unwrap();
        let row = |step: u64| {
            json!({"step": step, "tool_call_counts/mean": step, "prompt_length/mean": 100.0,
                   "response_length/mean": 50 * step, "documents/tokens_mean": 10.0})
        };
        std::fs::write(folder.path().join("metrics.jsonl"), format!("{}\n{}\n", row(1), row(2))).unwrap();
        let mut measured = Measured::default();
        measured.take_run(folder.path()).unwrap();
        assert_eq!(measured.searches.unwrap().value, 1.5);
        assert_eq!(measured.policy_tokens.unwrap().value, 75.0);
        let empty = tempfile::tempdir().unwrap();
        assert!(Measured::default().take_run(empty.path()).is_err());
    }
}
