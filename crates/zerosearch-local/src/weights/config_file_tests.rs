//! Configurations as models are published with them, and those that must be refused. Dimensions are those of the
//! fixtures and of the published `config.json` files of the named models.

use super::*;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

fn read(json: Value) -> Result<ModelConfig> {
    ModelConfig::from_json(Path::new("config.json"), json.as_object().unwrap())
}

/// The published configuration of Llama-3.2-1B, in the spelling of transformers 4.
fn llama() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": false, "mlp_bias": false,
        "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 8192,
        "max_position_embeddings": 131072, "num_attention_heads": 32, "num_hidden_layers": 16,
        "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_theta": 500000.0,
        "rope_scaling": { "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                          "original_max_position_embeddings": 8192, "rope_type": "llama3" },
        "tie_word_embeddings": true, "vocab_size": 128256, "torch_dtype": "bfloat16"
    })
}

/// The published configuration of Qwen2.5-0.5B: a window that is switched off.
fn qwen2() -> Value {
    json!({
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 896,
        "intermediate_size": 4864, "max_position_embeddings": 32768, "max_window_layers": 24,
        "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": true, "use_mrope": false,
        "use_sliding_window": false, "vocab_size": 151936
    })
}

fn with(mut json: Value, key: &str, value: Value) -> Value {
    json[key] = value;
    json
}

fn refusal(json: Value) -> String {
    read(json).unwrap_err().to_string()
}

#[test]
fn the_old_spelling_is_read() {
    let config = read(llama()).unwrap();
    let scaling =
        Llama3Scaling { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 8192 };
    assert_eq!(config.rope_scaling, Some(scaling));
    assert_eq!((config.rope_theta, config.norm_epsilon), (500_000.0, 1e-5));
    assert_eq!((config.heads, config.kv_heads, config.head_width), (32, 8, 64));
    // 1,235,814,400 parameters, as the model card says ("1.23B").
    assert_eq!(config.parameters(), 1_235_814_400);
    let older = with(llama(), "rope_scaling", json!({ "type": "default" }));
    assert_eq!(read(older).unwrap().rope_scaling, None);
    assert_eq!(read(with(llama(), "rope_scaling", Value::Null)).unwrap().rope_scaling, None);
    let qwen = read(qwen2()).unwrap();
    assert!(qwen.qkv_bias && !qwen.qk_norm && qwen.head_width == 64);
    // 494,032,768 parameters, as its safetensors header says ("0.49B").
    assert_eq!(qwen.parameters(), 494_032_768);
}

#[test]
fn the_new_spelling_says_the_same() {
    let mut new = llama();
    let mut rope = new["rope_scaling"].take();
    rope["rope_theta"] = new["rope_theta"].take();
    new["rope_parameters"] = rope;
    assert_eq!(read(new).unwrap(), read(llama()).unwrap());
}

#[test]
fn the_fixtures_are_read() {
    for (name, family, head_width, theta) in [
        ("llama-tiny", Family::Llama, 12, 1e4),
        ("qwen2-tiny", Family::Qwen2, 12, 1e6),
        ("qwen3-tiny", Family::Qwen3, 32, 1e6),
    ] {
        let path = Path::new(FIXTURES).join(name).join("config.json");
        let json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let config = read(json).unwrap();
        assert_eq!(
            (config.family, config.head_width, config.rope_theta),
            (family, head_width, theta),
            "{name}"
        );
        assert_eq!(
            (config.vocabulary, config.width, config.layers, config.mlp_width),
            (384, 48, 2, 112),
            "{name}"
        );
        assert_eq!(config.tied_head, name != "qwen2-tiny");
    }
}

/// Defaults as in `LlamaConfig`, `Qwen2Config` and `Qwen3Config` of transformers.
#[test]
fn absent_keys_have_the_defaults_of_transformers() {
    let least = |kind: &str| {
        json!({ "model_type": kind, "hidden_size": 512, "intermediate_size": 8, "num_attention_heads": 8,
                "num_hidden_layers": 1, "vocab_size": 9 })
    };
    let llama = read(least("llama")).unwrap();
    assert_eq!((llama.kv_heads, llama.head_width, llama.context_length), (8, 64, 2048));
    assert_eq!((llama.rope_theta, llama.norm_epsilon, llama.tied_head), (10_000.0, 1e-6, false));
    let qwen3 = read(with(least("qwen3"), "num_key_value_heads", json!(4))).unwrap();
    assert_eq!((qwen3.kv_heads, qwen3.head_width, qwen3.context_length), (4, 128, 32_768));
}

#[test]
fn a_written_configuration_is_read_back_the_same() {
    let qwen3 =
        with(with(qwen2(), "model_type", json!("qwen3")), "architectures", json!(["Qwen3ForCausalLM"]));
    for json in [llama(), qwen2(), with(qwen3, "rms_norm_eps", json!(1e-5))] {
        let config = read(json).unwrap();
        let written = config.to_json();
        assert_eq!(read(Value::Object(written.clone())).unwrap(), config);
        let mut old = written.clone();
        old.remove("rope_parameters");
        assert_eq!(read(Value::Object(old)).unwrap(), config, "for readers of the old spelling");
        let mut new = written;
        new.remove("rope_scaling");
        new.remove("rope_theta");
        assert_eq!(read(Value::Object(new)).unwrap(), config, "for readers of the new spelling");
    }
    assert_eq!(read(llama()).unwrap().to_json()["rms_norm_eps"], json!(1e-5));
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    let scaled = |kind: &str| with(llama(), "rope_scaling", json!({ "rope_type": kind, "factor": 2.0 }));
    let windowed = with(with(qwen2(), "use_sliding_window", json!(true)), "max_window_layers", json!(12));
    let cases = [
        (
            with(llama(), "model_type", json!("mistral")),
            "`mistral` are not supported; known are llama, qwen2, qwen3",
        ),
        (with(llama(), "model_type", Value::Null), "`model_type` is missing"),
        (with(llama(), "architectures", json!(["LlamaForSequenceClassification"])), "only LlamaForCausalLM"),
        (with(llama(), "hidden_act", json!("gelu")), "`hidden_act` is \"gelu\""),
        (with(llama(), "attention_bias", json!(true)), "`attention_bias` is true"),
        (with(llama(), "mlp_bias", json!(true)), "`mlp_bias` is true"),
        (with(llama(), "num_local_experts", json!(8)), "mixtures of experts"),
        (with(llama(), "quantization_config", json!({ "bits": 4 })), "GGUF"),
        (with(llama(), "partial_rotary_factor", json!(0.5)), "`partial_rotary_factor` is 0.5"),
        (scaled("yarn"), "scaled by \"yarn\""),
        (scaled("linear"), "scaled by \"linear\""),
        (with(llama(), "rope_scaling", json!({ "type": "dynamic", "factor": 2.0 })), "scaled by \"dynamic\""),
        (scaled("llama3"), "`low_freq_factor` is null"),
        (
            with(llama(), "rope_parameters", json!({ "full_attention": { "rope_type": "default" } })),
            "scaled by null",
        ),
        (windowed, "sliding window"),
        (with(qwen2(), "layer_types", json!(["full_attention", "sliding_attention"])), "sliding window"),
        (with(llama(), "num_key_value_heads", json!(5)), "32 query heads cannot share 5"),
        (with(llama(), "head_dim", json!(7)), "heads of width 7"),
        (with(llama(), "hidden_size", json!(0)), "`hidden_size` is 0"),
        (with(llama(), "vocab_size", json!("many")), "`vocab_size` is \"many\""),
        (with(llama(), "num_hidden_layers", json!(1 << 20)), "`num_hidden_layers` is 1048576"),
        (with(llama(), "intermediate_size", Value::Null), "`intermediate_size` is missing"),
        (with(llama(), "rms_norm_eps", json!(-1)), "`rms_norm_eps` is -1"),
        (with(llama(), "tie_word_embeddings", json!("yes")), "`tie_word_embeddings` is \"yes\""),
    ];
    for (json, expected) in cases {
        let message = refusal(json);
        assert!(message.starts_with("config.json: ") && message.contains(expected), "{expected}: {message}");
    }
}

/// With `max_window_layers` at the number of layers, no layer has a window.
#[test]
fn a_window_that_no_layer_uses_is_no_obstacle() {
    assert!(read(with(qwen2(), "use_sliding_window", json!(true))).is_ok());
}
