//! A candidate: a simulator that is to be measured, under a name.

use std::str::FromStr;

use anyhow::Result;
use serde_json::{Value, json};

use crate::config::{EngineName, Plan, Setting};
use crate::learners::simulator_hashes;

/// A simulator and its name.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// What tables call it.
    pub name: String,
    /// Who it is: the plan's `simulator`, or the scripted engine where `eval.engine` says so.
    pub plan: Plan,
}

/// A candidate as it is written: `NAME=PATH[,key=value]...`
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// What tables call it.
    pub name: String,
    /// What it sets over a config file.
    pub settings: Vec<Setting>,
}

/// The path that means the scripted engine, which needs no model.
const SCRIPTED: &str = "scripted";

impl FromStr for Written {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not NAME=PATH[,key=value], for example tuned=runs/simulator/checkpoints/001000,mode=tuned"
            )
        };
        let mut parts = outer_parts(text).into_iter();
        let (name, path) = parts.next().and_then(|first| first.split_once('=')).ok_or_else(wrong)?;
        let (name, path) = (name.trim(), path.trim());
        let is_plain = |letter: char| letter.is_alphanumeric() || "-_.+".contains(letter);
        if name.is_empty() || path.is_empty() || !name.chars().all(is_plain) {
            return Err(wrong());
        }
        let mut settings = match path {
            SCRIPTED => vec![Setting::of("eval", "engine", SCRIPTED)],
            url if url.starts_with("http://") || url.starts_with("https://") => {
                vec![Setting::of("simulator", "urls", vec![url.to_owned()])]
            }
            model => vec![Setting::of("simulator", "model", model)],
        };
        if path != SCRIPTED {
            settings.push(Setting::of("eval", "engine", "simulated"));
        }
        for part in parts {
            settings.push(format!("simulator.{}", part.trim()).parse()?);
        }
        Ok(Self { name: name.to_owned(), settings })
    }
}

/// `text` cut at the commas that are in no brackets and no quotes.
fn outer_parts(text: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut depth, mut quoted) = (Vec::new(), 0, 0_usize, false);
    for (at, letter) in text.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            '[' if !quoted => depth += 1,
            ']' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    parts
}

impl Candidate {
    /// What its documents depend on, in a form that can be compared.
    pub(super) async fn record(&self) -> Result<Value> {
        if self.plan.eval.engine == EngineName::Scripted {
            return Ok(json!({ "engine": SCRIPTED }));
        }
        let mut simulator = serde_json::to_value(&self.plan.simulator)?;
        if let Some(keys) = simulator.as_object_mut() {
            for free in ["urls", "key_env", "timeout_s", "retries", "concurrency"] {
                keys.shift_remove(free);
            }
        }
        Ok(json!({
            "simulator": simulator,
            "template": crate::engines::template_hash(&self.plan.simulator)?,
            "servers": !self.plan.simulator.urls.is_empty(),
            "arithmetic": self.plan.model.arithmetic,
            "files": simulator_hashes(&self.plan).await?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_a_name_a_path_and_keys_of_the_simulator() {
        let set = |text: &str| text.parse::<Setting>().unwrap();
        let tuned: Written = "tuned=a/b.gguf,mode=tuned,words=20".parse().unwrap();
        assert_eq!(tuned.name, "tuned");
        let model = Setting::of("simulator", "model", "a/b.gguf");
        let engine = Setting::of("eval", "engine", "simulated");
        assert_eq!(
            tuned.settings,
            [model, engine.clone(), set("simulator.mode=tuned"), set("simulator.words=20")]
        );
        let server: Written =
            "big=http://a:1,urls=[\"http://a:1\",\"http://b:2\"],model_name=m".parse().unwrap();
        assert_eq!(
            server.settings[1..],
            [engine, set("simulator.urls=[\"http://a:1\",\"http://b:2\"]"), set("simulator.model_name=m")]
        );
        for text in ["", "tuned", "=x", "a=", "a b=x", "a|=x"] {
            assert!(text.parse::<Written>().is_err(), "{text}");
        }
    }
}
