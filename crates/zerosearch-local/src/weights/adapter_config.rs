//! An `adapter_config.json`: how `peft` describes a LoRA adapter.

use serde_json::{Map, Value, json};

use crate::model::AdapterShape;
use crate::model::adapter::AdapterTarget;

/// Keys that say how an adapter came to be or is kept, and not what it computes.
const HARMLESS: [&str; 17] = [
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "eva_config",
    "inference_mode",
    "layers_pattern",
    "loftq_config",
    "lora_alpha",
    "lora_dropout",
    "megatron_config",
    "megatron_core",
    "peft_type",
    "peft_version",
    "r",
    "revision",
    "runtime_config",
    "task_type",
];
/// Ways to begin that leave the model's own weights as they are.
const BEGINNINGS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// What `config` describes, and the model that it was made for. The error says which key cannot be used.
pub(super) fn read(config: &Map<String, Value>) -> Result<(AdapterShape, String), String> {
    match config.get("peft_type").and_then(Value::as_str) {
        Some("LORA") => {}
        other => return Err(format!("`peft_type` is {}; known is \"LORA\"", spell(other))),
    }
    refuse_unknown(config)?;
    let rank = config.get("r").and_then(Value::as_u64).ok_or("`r` is not a whole number")?;
    let alpha = config.get("lora_alpha").and_then(Value::as_f64).ok_or("`lora_alpha` is not a number")?;
    let rslora = config.get("use_rslora").and_then(Value::as_bool).unwrap_or(false);
    let targets = targets(config.get("target_modules").unwrap_or(&Value::Null))?;
    let base = config.get("base_model_name_or_path").and_then(Value::as_str).unwrap_or_default();
    let rank = usize::try_from(rank).map_err(|_| format!("`r` is {rank}"))?;
    Ok((AdapterShape { rank, alpha, rslora, targets }, base.to_owned()))
}

/// What an adapter of `shape` over the model `base` is described by.
pub(super) fn write(shape: &AdapterShape, base: &str) -> Value {
    // A whole number is written as one: some readers take no other.
    let whole = (shape.alpha.fract() == 0.0 && shape.alpha < 1e9).then_some(shape.alpha as u64);
    json!({
        "alpha_pattern": {},
        "base_model_name_or_path": base,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "lora_alpha": whole.map_or(json!(shape.alpha), |alpha| json!(alpha)),
        "lora_dropout": 0.0,
        "modules_to_save": null,
        "peft_type": "LORA",
        "r": shape.rank,
        "rank_pattern": {},
        "target_modules": shape.targets.iter().map(|target| target.name()).collect::<Vec<_>>(),
        "task_type": "CAUSAL_LM",
        "use_dora": false,
        "use_rslora": shape.rslora,
    })
}

/// A key that is set and not known may change what is computed.
fn refuse_unknown(config: &Map<String, Value>) -> Result<(), String> {
    for (key, value) in config {
        let is_fine = match key.as_str() {
            key if HARMLESS.contains(&key) => true,
            "target_modules" | "use_rslora" => true,
            "bias" => value == "none",
            "init_lora_weights" => {
                value.is_boolean() || value.as_str().is_some_and(|beginning| BEGINNINGS.contains(&beginning))
            }
            "qalora_group_size" => config.get("use_qalora").is_none_or(is_unset),
            _ => is_unset(value),
        };
        if !is_fine {
            return Err(format!("`{key}` is {value}, which this program cannot compute"));
        }
    }
    Ok(())
}

fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn targets(value: &Value) -> Result<Vec<AdapterTarget>, String> {
    if value == "all-linear" {
        return Ok(AdapterTarget::LINEAR.to_vec());
    }
    let names = value.as_array().ok_or_else(|| {
        format!("`target_modules` is {value}; it must be a list of modules, or \"all-linear\"")
    })?;
    let named = |name: &Value| AdapterTarget::named(name.as_str().unwrap_or_default());
    let mut targets = names.iter().map(named).collect::<Result<Vec<_>, _>>()?;
    targets.sort_unstable();
    targets.dedup();
    Ok(targets)
}

fn spell(text: Option<&str>) -> String {
    text.map_or("not given".to_owned(), |text| format!("\"{text}\""))
}
