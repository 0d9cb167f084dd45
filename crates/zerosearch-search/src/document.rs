//! A document and where it came from.

use serde::{Deserialize, Serialize};

use crate::Label;

/// One search result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Its title; empty where the engine gives none.
    #[serde(default)]
    pub title: String,
    /// Its text.
    pub text: String,
    /// Where it came from.
    #[serde(default)]
    pub provenance: Provenance,
}

/// Where a document came from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The engine's name.
    pub engine: String,
    /// What a simulated engine was asked to write.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub label: Option<Label>,
    /// SHA-256 (first 16 hexadecimal digits) of the prompt template that a simulated engine used.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub template: Option<String>,
    /// The engine's score, higher is better, on the engine's own scale.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub score: Option<f32>,
    /// The engine's own identifier: a passage id or an address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
}
