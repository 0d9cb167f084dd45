//! Adapters in folders: written, read, merged, and refused.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use zerosearch_learner::Policy;

use super::*;
use crate::kernels::{Arithmetic, Threads};
use crate::model::config::ModelConfig;
use crate::{LocalPolicy, PolicyOptions};

fn model(name: &str) -> (PathBuf, Checkpoint) {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    (fixtures.join("adapters").join(name), Checkpoint::open_path(&fixtures.join(name)).unwrap())
}

fn shape(rank: usize, targets: &[AdapterTarget]) -> AdapterShape {
    AdapterShape { rank, alpha: 8.0, rslora: false, targets: targets.to_vec() }
}

/// By hand: alpha / rank, and alpha / sqrt(rank).
#[test]
fn the_scale_is_lora_s_or_rslora_s() {
    let plain = shape(4, &AdapterTarget::ALL);
    assert_eq!(plain.scale(), 2.0);
    assert_eq!(AdapterShape { rslora: true, ..plain }.scale(), 4.0);
}

/// peft's `kaiming_uniform_` with `a = sqrt(5)` is uniform within 1 / sqrt(inputs), of variance 1 / (3 inputs).
#[test]
fn a_new_adapter_is_drawn_from_its_seed_as_peft_draws_it() {
    let text = Arc::new(zerosearch_learner::text::tiny_text());
    let config = ModelConfig { vocabulary: text.vocabulary_size(), width: 480, ..ModelConfig::tiny() };
    let checkpoint = Checkpoint::random(config, text, 1).unwrap();
    let draw = |seed| Adapter::new(&checkpoint, "m", shape(16, &[AdapterTarget::Query]), seed).unwrap();
    let adapter = draw(1);
    assert_eq!(adapter.weights, draw(1).weights);
    assert_ne!(adapter.weights, draw(2).weights);
    for tensor in &adapter.layout.tensors {
        let numbers = &adapter.weights[tensor.place.clone()];
        if tensor.name.ends_with("lora_B.weight") {
            assert!(numbers.iter().all(|&number| number == 0.0), "{}", tensor.name);
            continue;
        }
        let bound = 1.0 / 480_f32.sqrt();
        assert!(numbers.iter().all(|number| number.abs() <= bound), "{}", tensor.name);
        let mean = |of: fn(f64) -> f64| {
            numbers.iter().map(|&number| of(f64::from(number))).sum::<f64>() / numbers.len() as f64
        };
        // 7,680 draws: of the mean five standard errors are 0.0015, of the variance 5 % of it.
        assert!(mean(|it| it).abs() < 0.0015, "{}", tensor.name);
        assert!((mean(|it| it * it) * 3.0 * 480.0 - 1.0).abs() < 0.051, "{}", tensor.name);
    }
}

#[test]
fn what_is_written_is_read_again() {
    for name in ["llama-tiny", "qwen2-tiny", "qwen3-tiny"] {
        let (folder, checkpoint) = model(name);
        let adapter = Adapter::read(&folder, &checkpoint, name).unwrap();
        let copy = tempfile::tempdir().unwrap();
        adapter.write(copy.path()).unwrap();
        let again = Adapter::read(copy.path(), &checkpoint, &format!("other/place/{name}")).unwrap();
        assert_eq!((again.shape(), &again.weights), (adapter.shape(), &adapter.weights), "{name}");
        assert_eq!(Adapter::base_of(copy.path()).unwrap(), name);
        let mut files: Vec<_> =
            std::fs::read_dir(copy.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        files.sort();
        assert_eq!(files, ["adapter_config.json", "adapter_model.safetensors"], "nothing else is left");
    }
}

/// In f32 the merged model says what the adapter beside it says, but for rounding.
#[tokio::test]
async fn a_merged_model_is_the_model_with_its_adapter() {
    for name in ["llama-tiny", "qwen2-tiny"] {
        let (folder, checkpoint) = model(name);
        let adapter = Adapter::read(&folder, &checkpoint, name).unwrap();
        let out = tempfile::tempdir().unwrap();
        adapter.export_merged(&checkpoint, out.path(), Dtype::F32).unwrap();
        let options =
            PolicyOptions { arithmetic: Arithmetic::F32, ..PolicyOptions::new(Arc::new(Threads::new(1))) };
        let rows = [(0..60).map(|at| at * 7 % 384).collect::<Vec<u32>>()];
        let merged = Checkpoint::open_path(out.path()).unwrap();
        let merged = LocalPolicy::open(&merged, options.clone()).unwrap().score(&rows, 1.0).await.unwrap();
        let beside = LocalPolicy::open_adapted(&checkpoint, &adapter, options.clone()).unwrap();
        let beside = beside.score(&rows, 1.0).await.unwrap();
        let bare = LocalPolicy::open(&checkpoint, options).unwrap().score(&rows, 1.0).await.unwrap();
        let worst = |one: &[Vec<f32>], other: &[Vec<f32>]| {
            one[0].iter().zip(&other[0]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        assert!(worst(&merged, &beside) < 1e-4, "{name}: {}", worst(&merged, &beside));
        assert!(worst(&merged, &bare) > 0.1, "{name}: the adapter does nothing");
    }
    let (folder, checkpoint) = model("qwen3-tiny");
    let adapter = Adapter::read(&folder, &checkpoint, "qwen3-tiny").unwrap();
    let problem =
        adapter.export_merged(&checkpoint, &folder.join("none"), Dtype::F32).unwrap_err().to_string();
    assert!(problem.contains("which is its embedding too"), "{problem}");
}

#[test]
fn an_adapter_that_the_model_cannot_have_is_refused() {
    let (_, checkpoint) = model("llama-tiny");
    let refused = |shape: AdapterShape| {
        Adapter::new(&checkpoint, "llama-tiny", shape, 1).map(|_| ()).unwrap_err().to_string()
    };
    // Keys of this model are 2 heads of 12.
    let wide = refused(shape(25, &[AdapterTarget::Query, AdapterTarget::Key]));
    assert_eq!(wide, "the adapter's rank is 25; for k_proj of this model it must be from 1 to 24");
    assert!(refused(shape(0, &AdapterTarget::ALL)).contains("must be from 1 to"));
    assert!(refused(shape(4, &[])).contains("name at least one"));
    let endless = AdapterShape { alpha: f64::INFINITY, ..shape(4, &AdapterTarget::ALL) };
    assert!(refused(endless).contains("alpha is inf"));
}

/// The adapter of `llama-tiny` with its config changed.
fn changed(change: impl Fn(&mut serde_json::Map<String, Value>)) -> (tempfile::TempDir, Checkpoint) {
    let (folder, checkpoint) = model("llama-tiny");
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(folder.join(WEIGHTS), copy.path().join(WEIGHTS)).unwrap();
    let Value::Object(mut config) = read_json(&folder.join(CONFIG)).unwrap() else { panic!("an object") };
    change(&mut config);
    std::fs::write(copy.path().join(CONFIG), Value::Object(config).to_string()).unwrap();
    (copy, checkpoint)
}

fn problem(folder: &Path, checkpoint: &Checkpoint, base: &str) -> String {
    Adapter::read(folder, checkpoint, base).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn an_adapter_that_computes_something_else_is_refused() {
    for (key, value, expected) in [
        ("peft_type", json!("IA3"), "`peft_type` is \"IA3\"; known is \"LORA\""),
        ("use_dora", json!(true), "`use_dora` is true, which this program cannot compute"),
        ("bias", json!("all"), "`bias` is \"all\", which"),
        ("rank_pattern", json!({"q_proj": 8}), "`rank_pattern` is {\"q_proj\":8}, which"),
        ("modules_to_save", json!(["embed_tokens"]), "`modules_to_save` is [\"embed_tokens\"], which"),
        ("init_lora_weights", json!("pissa"), "`init_lora_weights` is \"pissa\", which"),
        ("a_new_trick", json!(3), "`a_new_trick` is 3, which"),
        ("target_modules", json!(["q_proj", "embed_tokens"]), "there is no module `embed_tokens`"),
        ("target_modules", json!(".*_proj"), "`target_modules` is \".*_proj\"; it must be a list"),
        ("r", json!("four"), "`r` is not a whole number"),
        ("r", json!(100), "the adapter's rank is 100; for "),
        ("r", json!(3), "is 4 x 48, `adapter_config.json` over the model"),
        ("target_modules", json!(["q_proj"]), "is not part of what `adapter_config.json` describes"),
        (
            "target_modules",
            json!(["q_proj", "lm_head"]),
            "`base_model.model.lm_head.lora_A.weight` is missing",
        ),
    ] {
        let (folder, checkpoint) = changed(|config| {
            config.insert(key.to_owned(), value.clone());
        });
        let problem = problem(folder.path(), &checkpoint, "llama-tiny");
        assert!(problem.contains(expected), "{key} = {value}: {problem}");
    }
}

#[test]
fn an_adapter_of_another_model_is_refused() {
    let (folder, checkpoint) = model("llama-tiny");
    let wrong = problem(&folder, &checkpoint, "org/SmolLM2");
    assert!(wrong.contains("was made for the model llama-tiny, not for org/SmolLM2"), "{wrong}");
    for same in ["llama-tiny", "org/Llama-Tiny@main", "/models/llama-tiny/", "llama-tiny.gguf"] {
        assert!(Adapter::read(&folder, &checkpoint, same).is_ok(), "{same}");
    }
    // Its layers are wider.
    let config = ModelConfig { mlp_width: 128, ..checkpoint.config.clone() };
    let other = Checkpoint::random(config, Arc::clone(&checkpoint.text), 1).unwrap();
    let wrong = problem(&folder, &other, "llama-tiny");
    assert!(wrong.contains("lora_B.weight` is 112 x 4, ") && wrong.contains("asks for 128 x 4"), "{wrong}");
}

#[test]
fn a_half_written_adapter_is_refused() {
    let (folder, checkpoint) = changed(|_| ());
    let weights = folder.path().join(WEIGHTS);
    let whole = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &whole[..whole.len() - 3]).unwrap();
    let cut = problem(folder.path(), &checkpoint, "llama-tiny");
    assert!(cut.contains("this is not a whole safetensors file"), "{cut}");
    let mut broken = whole;
    let end = broken.len();
    broken[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&weights, broken).unwrap();
    let nan = problem(folder.path(), &checkpoint, "llama-tiny");
    assert!(nan.contains("holds NaN at index"), "{nan}");
    std::fs::remove_file(&weights).unwrap();
    let bare = problem(folder.path(), &checkpoint, "llama-tiny");
    assert!(bare.contains("there is no `adapter_model.safetensors`"), "{bare}");
    std::fs::write(folder.path().join(CONFIG), "{\"peft_type\": \"LO").unwrap();
    assert!(problem(folder.path(), &checkpoint, "llama-tiny").contains("this is not JSON"));
    std::fs::remove_file(folder.path().join(CONFIG)).unwrap();
    assert!(problem(folder.path(), &checkpoint, "llama-tiny").contains("it is not an adapter"));
}
