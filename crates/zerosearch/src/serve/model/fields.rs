//! Fields: the parameters of a request, taken one by one; what nobody takes is refused by name.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::super::asked::plain;
use super::super::refusal::Refusal;

/// The parameters that nobody has taken yet.
pub(super) struct Fields(Map<String, Value>);

/// Whether a value asks for nothing.
type AsksForNothing = fn(&Value) -> bool;

/// Parameters that this server has no use for, and which of their values ask for nothing.
const INERT: [(&str, AsksForNothing); 19] = [
    ("presence_penalty", is_number::<0>),
    ("frequency_penalty", is_number::<0>),
    ("repetition_penalty", is_number::<1>),
    ("length_penalty", is_number::<1>),
    ("min_p", is_number::<0>),
    ("min_tokens", is_number::<0>),
    ("best_of", is_number::<1>),
    ("logit_bias", is_empty),
    ("suffix", is_empty),
    ("tools", is_empty),
    ("functions", is_empty),
    ("tool_choice", |value| value == "none"),
    ("response_format", |value| value["type"] == "text"),
    ("modalities", |value| *value == serde_json::json!(["text"])),
    ("use_beam_search", is_false),
    ("store", is_false),
    // These ask for nothing, whatever they say.
    ("user", |_| true),
    ("metadata", |_| true),
    ("service_tier", |_| true),
];

fn is_number<const N: u8>(value: &Value) -> bool {
    value.as_f64() == Some(f64::from(N))
}

fn is_empty(value: &Value) -> bool {
    *value == ""
        || value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(Map::is_empty)
}

fn is_false(value: &Value) -> bool {
    *value == false
}

impl Fields {
    /// The parameters of `body`. Null is as good as nothing.
    pub(super) fn new(body: Map<String, Value>) -> Self {
        Self(body.into_iter().filter(|field| !field.1.is_null()).collect())
    }

    /// The parameter `name`, if it came.
    pub(super) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Refusal> {
        let Some(value) = self.0.remove(name) else { return Ok(None) };
        let wrong = |why: serde_json::Error| {
            Refusal::bad(format!("`{name}` cannot be used: {}", plain(&why.to_string()))).about(name)
        };
        serde_json::from_value(value).map(Some).map_err(wrong)
    }

    /// The parameter `name`, which must lie where `fits` says; `range` says it in words.
    pub(super) fn take_in<T: DeserializeOwned + std::fmt::Display>(
        &mut self,
        name: &str,
        range: &str,
        fits: impl Fn(&T) -> bool,
    ) -> Result<Option<T>, Refusal> {
        match self.take(name)? {
            Some(value) if !fits(&value) => {
                Err(Refusal::bad(format!("`{name}` is {value}; it must be {range}")).about(name))
            }
            value => Ok(value),
        }
    }

    /// Whether `name` is true; false where it did not come.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Refusal> {
        Ok(self.take(name)?.unwrap_or(false))
    }

    /// Refuses what is left, unless it asks for nothing.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        for (name, value) in &self.0 {
            match INERT.iter().find(|inert| inert.0 == name) {
                Some((_, asks_for_nothing)) if asks_for_nothing(value) => {}
                Some(_) => {
                    let message =
                        format!("`{name}` = {value} cannot be honoured by this server; leave it out");
                    return Err(Refusal::bad(message).about(name).coded("unsupported_parameter"));
                }
                None => {
                    let message = format!("`{name}` is no parameter that this server knows; leave it out");
                    return Err(Refusal::bad(message).about(name).coded("unknown_parameter"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(body: Value) -> Fields {
        Fields::new(body.as_object().unwrap().clone())
    }

    #[test]
    fn what_asks_for_nothing_passes_and_all_else_is_refused_by_name() {
        let fine = json!({"user": "me", "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "tools": [],
            "response_format": {"type": "text"}, "suffix": null, "best_of": 1, "anything": null});
        assert_eq!(fields(fine).finish(), Ok(()));
        for (body, name) in [
            (json!({"presence_penalty": 0.5}), "presence_penalty"),
            (json!({"logit_bias": {"7": 5}}), "logit_bias"),
            (json!({"tools": [{}]}), "tools"),
            (json!({"response_format": {"type": "json_object"}}), "response_format"),
            (json!({"temprature": 1}), "temprature"),
        ] {
            let told = serde_json::to_value(fields(body).finish().unwrap_err().body()).unwrap();
            assert_eq!(told["error"]["param"], name, "{told}");
        }
    }

    #[test]
    fn a_value_of_the_wrong_kind_or_out_of_range_is_told_with_its_name() {
        let told = |refusal: Refusal| serde_json::to_string(&refusal.body()).unwrap();
        let wrong = fields(json!({"n": "two"})).take::<usize>("n").unwrap_err();
        assert!(told(wrong).contains("`n` cannot be used"));
        let negative = fields(json!({"n": -1})).take::<usize>("n").unwrap_err();
        assert!(told(negative).contains("expected a whole number, 0 or more"));
        let wrong = fields(json!({"n": 0})).take_in("n", "at least 1", |n: &usize| *n > 0).unwrap_err();
        assert!(told(wrong).contains("`n` is 0; it must be at least 1"));
    }
}
