//! Opening checkpoints: whole ones, damaged ones, and things that are none. Numbers in damaged files are by hand.

use std::fs;

use serde_json::json;
use tempfile::TempDir;
use zerosearch_learner::text::tiny_text;

use super::*;
use crate::model::config::Family;
use crate::weights::safetensors::{INDEX, SINGLE};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

/// A copy of the smallest fixture, to be damaged.
fn copy() -> TempDir {
    let copy = TempDir::new().unwrap();
    for entry in fs::read_dir(Path::new(FIXTURES).join("llama-tiny")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "expected.safetensors" {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    copy
}

/// A safetensors file with this header and so many bytes of zeros.
fn file(header: &Value, zeros: usize) -> Vec<u8> {
    let header = header.to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + zeros, 0);
    bytes
}

/// The header of the fixture's weights and the bytes after it.
fn weights() -> (JsonMap<String, Value>, Vec<u8>) {
    let bytes = fs::read(Path::new(FIXTURES).join("llama-tiny").join(SINGLE)).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    (header, bytes[8 + length..].to_vec())
}

fn write_weights(directory: &TempDir, header: JsonMap<String, Value>, data: &[u8]) {
    let mut bytes = file(&Value::Object(header), 0);
    bytes.extend_from_slice(data);
    fs::write(directory.path().join(SINGLE), bytes).unwrap();
}

fn problem(path: &Path) -> String {
    match Checkpoint::open(path.to_str().unwrap()) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    }
}

fn offline() -> Hub {
    Hub::new("http://127.0.0.1:9", Path::new("/nonexistent")).offline()
}

#[test]
fn every_parameter_of_the_fixtures_is_there() {
    for name in ["llama-tiny", "qwen2-tiny", "qwen3-tiny"] {
        let checkpoint = Checkpoint::open_path(&Path::new(FIXTURES).join(name)).unwrap();
        for (tensor, shape) in checkpoint.config.tensors() {
            let numbers = checkpoint.tensor(&tensor).unwrap();
            assert_eq!(numbers.len(), shape.iter().product::<usize>(), "{name} {tensor}");
            assert!(numbers.iter().any(|&number| number != 0.0), "{name} {tensor}");
        }
        assert!(checkpoint.tensor("model.layers.9.nothing").is_err());
    }
}

/// By hand: 1.5 is 0x3FC0 in bf16, 0x3E00 in f16 and 0x3FC00000 in f32; the first tensor of the file gets it.
#[test]
fn three_types_are_read() {
    for (dtype, bytes) in
        [("BF16", &[0xC0, 0x3F][..]), ("F16", &[0x00, 0x3E][..]), ("F32", &[0x00, 0x00, 0xC0, 0x3F][..])]
    {
        let directory = copy();
        let (mut header, mut data) = weights();
        let first = "model.norm.weight";
        let at = header[first]["data_offsets"][0].as_u64().unwrap() as usize;
        let stays = at == data.len() - 96;
        assert!(stays, "the test relies on the last norm being the file's last tensor");
        data.truncate(at);
        data.extend(bytes.repeat(48));
        header[first]["dtype"] = dtype.into();
        header[first]["data_offsets"][1] = data.len().into();
        write_weights(&directory, header, &data);
        let checkpoint = Checkpoint::open_path(directory.path()).unwrap();
        assert_eq!(checkpoint.tensor(first).unwrap(), [1.5; 48], "{dtype}");
    }
}

#[test]
fn damaged_weights_are_named() {
    let directory = copy();
    let path = directory.path().join(SINGLE);
    let whole = fs::read(&path).unwrap();
    for length in [0, 7, 100, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let message = problem(directory.path());
        assert!(message.contains("model.safetensors"), "{length}: {message}");
        assert!(message.contains("not a whole safetensors file"), "{length}: {message}");
    }
    fs::remove_file(&path).unwrap();
    assert!(problem(directory.path()).contains("neither `model.safetensors` nor"));
}

#[test]
fn a_number_that_is_none_is_refused_with_its_place() {
    let directory = copy();
    let (header, mut data) = weights();
    let norm = header["model.norm.weight"]["data_offsets"][0].as_u64().unwrap() as usize;
    data[norm + 6..norm + 8].copy_from_slice(&[0xC0, 0x7F]);
    write_weights(&directory, header, &data);
    let message =
        Checkpoint::open_path(directory.path()).unwrap().tensor("model.norm.weight").unwrap_err().to_string();
    assert!(message.contains("tensor `model.norm.weight` holds NaN at index 3"), "{message}");
}

#[test]
fn tensors_must_fit_the_configuration() {
    let with_header = |change: &dyn Fn(&mut JsonMap<String, Value>)| {
        let directory = copy();
        let (mut header, data) = weights();
        change(&mut header);
        write_weights(&directory, header, &data);
        problem(directory.path())
    };
    let norm = "model.norm.weight";
    let reshaped = with_header(&|header| header[norm]["shape"] = json!([6, 8]));
    assert!(
        reshaped.contains("tensor `model.norm.weight` is 6 x 8, `config.json` asks for 48"),
        "{reshaped}"
    );
    let retyped = with_header(&|header| header[norm]["dtype"] = "I16".into());
    assert!(retyped.contains("stored as I16; known are F32, BF16 and F16"), "{retyped}");
    let renamed = with_header(&|header| {
        let tensor = header.remove(norm).unwrap();
        header.insert("model.normal.weight".into(), tensor);
    });
    assert!(renamed.contains("tensor `model.norm.weight` is missing"), "{renamed}");
    let extra = with_header(&|header| {
        let end = header[norm]["data_offsets"][1].clone();
        let empty = json!({ "dtype": "F32", "shape": [0], "data_offsets": [end, end] });
        header.insert("model.layers.0.self_attn.q_proj.bias".into(), empty);
    });
    assert!(extra.contains("`model.layers.0.self_attn.q_proj.bias` (1 such in all) is not part"), "{extra}");
}

/// Old checkpoints carry rotary tables, and some a head although it is the embedding; transformers ignores both.
#[test]
fn harmless_extras_are_ignored() {
    let directory = copy();
    let (mut header, data) = weights();
    let end = header["model.norm.weight"]["data_offsets"][1].clone();
    for name in ["model.layers.0.self_attn.rotary_emb.inv_freq", "lm_head.weight"] {
        header.insert(name.into(), json!({ "dtype": "F32", "shape": [0], "data_offsets": [end, end] }));
    }
    write_weights(&directory, header, &data);
    assert!(Checkpoint::open_path(directory.path()).is_ok());
}

#[test]
fn an_index_names_files_of_its_own_folder() {
    let directory = copy();
    let path = directory.path();
    fs::rename(path.join(SINGLE), path.join("part.safetensors")).unwrap();
    let map = |file: &str| -> Value {
        let tensors =
            Checkpoint::open_path(&Path::new(FIXTURES).join("llama-tiny")).unwrap().config.tensors();
        let map: JsonMap<String, Value> = tensors.into_iter().map(|(name, _)| (name, file.into())).collect();
        json!({ "metadata": {}, "weight_map": map })
    };
    let write = |index: &Value| fs::write(path.join(INDEX), index.to_string()).unwrap();
    write(&map("part.safetensors"));
    assert!(Checkpoint::open_path(path).is_ok());
    write(&map("missing.safetensors"));
    assert!(problem(path).contains("missing.safetensors: `model.safetensors.index.json` names this file"));
    for outside in
        ["../part.safetensors", "/etc/x.safetensors", "a\\b.safetensors", "part.bin", ".safetensors"]
    {
        write(&map(outside));
        assert!(problem(path).contains("which is no file of this folder"), "{outside}");
    }
    write(&json!({ "weight_map": {} }));
    assert!(problem(path).contains("is empty"));
    fs::write(path.join(INDEX), "{").unwrap();
    assert!(problem(path).contains("this is not JSON"));
}

#[test]
fn what_is_no_model_is_explained() {
    let empty = TempDir::new().unwrap();
    assert!(problem(empty.path()).contains("there is no `config.json` in this folder"));
    fs::write(empty.path().join("adapter_config.json"), "{}").unwrap();
    assert!(problem(empty.path()).contains("LoRA adapter"));
    fs::write(empty.path().join("m.Q4_0.gguf"), "").unwrap();
    assert!(problem(empty.path()).contains("give `m.Q4_0.gguf` itself"));
    let weights = Path::new(FIXTURES).join("llama-tiny").join(SINGLE);
    assert!(problem(&weights).contains("give the folder"));
    for missing in ["./nowhere", "/nowhere/model", "nowhere.gguf"] {
        let message = Checkpoint::open_with(missing, &offline()).err().unwrap().to_string();
        assert!(message.contains("there is no such file or folder"), "{message}");
    }
    for no_id in ["a b/c", "a/../b", "../x y"] {
        let message = Checkpoint::open_with(no_id, &offline()).err().unwrap().to_string();
        assert!(message.contains("there is no such file or folder"), "{message}");
    }
    let unknown = Checkpoint::open_with("org/name", &offline()).err().unwrap().to_string();
    assert!(unknown.contains("HF_HUB_OFFLINE"), "{unknown}");
}

fn tiny(vocabulary: usize) -> ModelConfig {
    ModelConfig {
        family: Family::Qwen3,
        vocabulary,
        width: 64,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_width: 16,
        mlp_width: 96,
        norm_epsilon: 1e-6,
        rope_theta: 1e4,
        rope_scaling: None,
        context_length: 512,
        tied_head: false,
        qkv_bias: true,
        qk_norm: true,
    }
}

fn deviation(numbers: &[f32]) -> f64 {
    (numbers.iter().map(|&number| f64::from(number).powi(2)).sum::<f64>() / numbers.len() as f64).sqrt()
}

/// Expected deviations by hand: 1/sqrt(64) into the head, 1/sqrt(2 * 2 * 64) and 1/sqrt(2 * 2 * 96) back into the
/// residual stream (64 = 4 heads of 16). A tenth is more than five standard errors of the smallest of them.
#[test]
fn random_weights_have_their_sizes_and_follow_the_seed() {
    let open = |seed| Checkpoint::random(tiny(268), Arc::new(tiny_text()), seed).unwrap();
    let model = open(1);
    let expected = [
        ("model.embed_tokens.weight", 0.05),
        ("lm_head.weight", 0.125),
        ("model.layers.1.self_attn.o_proj.weight", 0.0625),
        ("model.layers.0.mlp.down_proj.weight", 0.051_03),
        ("model.layers.0.mlp.up_proj.weight", 0.125),
        ("model.norm.weight", 1.0),
        ("model.layers.0.self_attn.k_norm.weight", 1.0),
        ("model.layers.0.self_attn.q_proj.bias", 0.0),
    ];
    for (name, expected) in expected {
        let got = deviation(&model.tensor(name).unwrap());
        assert!((got - expected).abs() <= 0.1 * expected, "{name}: {got} instead of {expected}");
    }
    let matrix = "model.layers.0.mlp.up_proj.weight";
    assert_eq!(model.tensor(matrix).unwrap(), open(1).tensor(matrix).unwrap());
    assert_ne!(model.tensor(matrix).unwrap(), open(2).tensor(matrix).unwrap());
    assert_ne!(model.tensor(matrix).unwrap(), model.tensor("model.layers.1.mlp.up_proj.weight").unwrap());
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let message = Checkpoint::random(tiny(267), Arc::new(tiny_text()), 1).err().unwrap().to_string();
    assert!(
        message.contains("the tokenizer has 268 entries, the model's embedding only 267 rows"),
        "{message}"
    );
}
