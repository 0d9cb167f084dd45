//! Exported directories, read back by this program and by the safetensors library.

use std::sync::Arc;

use safetensors::SafeTensors;
use tempfile::TempDir;
use zerosearch_learner::text::tiny_text;

use super::*;
use crate::model::config::{Family, ModelConfig};
use crate::weights::checkpoint::Checkpoint;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

fn fixture(name: &str) -> Checkpoint {
    Checkpoint::open_path(&Path::new(FIXTURES).join(name)).unwrap()
}

fn random() -> Checkpoint {
    let config = ModelConfig {
        family: Family::Llama,
        vocabulary: 270,
        width: 16,
        layers: 2,
        heads: 2,
        kv_heads: 1,
        head_width: 8,
        mlp_width: 24,
        norm_epsilon: 1e-5,
        rope_theta: 1e4,
        rope_scaling: None,
        context_length: 128,
        tied_head: true,
        qkv_bias: false,
        qk_norm: false,
    };
    Checkpoint::random(config, Arc::new(tiny_text()), 7).unwrap()
}

fn write(model: &Checkpoint, directory: &Path, dtype: Dtype, largest: usize) {
    let tensors = |name: &str| model.tensor(name).map(Cow::Owned);
    export_in_files_of(largest, directory, &model.origin(), dtype, &tensors).unwrap();
}

fn assert_same_weights(one: &Checkpoint, other: &Checkpoint) {
    assert_eq!(one.config, other.config);
    for (name, _) in one.config.tensors() {
        let bits = |model: &Checkpoint| -> Vec<u32> {
            model.tensor(&name).unwrap().into_iter().map(f32::to_bits).collect()
        };
        assert_eq!(bits(one), bits(other), "{name}");
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The fixtures are stored in bf16, so neither type loses anything.
#[test]
fn a_model_directory_comes_back_bit_for_bit() {
    for name in ["llama-tiny", "qwen2-tiny", "qwen3-tiny"] {
        let original = fixture(name);
        for dtype in [Dtype::Bf16, Dtype::F32] {
            let directory = TempDir::new().unwrap();
            write(&original, directory.path(), dtype, LARGEST_FILE);
            let copy = Checkpoint::open_path(directory.path()).unwrap();
            assert_same_weights(&original, &copy);
            assert_eq!(copy.text.files(), original.text.files());
            assert_eq!(json(&directory.path().join(CONFIG))["dtype"], dtype.name());
            let generation = fs::read(directory.path().join(GENERATION_CONFIG)).unwrap();
            assert_eq!(generation, fs::read(original.path().join(GENERATION_CONFIG)).unwrap());
        }
    }
}

/// Only the type changes in a configuration that came with the model.
#[test]
fn the_models_own_configuration_is_kept() {
    let directory = TempDir::new().unwrap();
    write(&fixture("llama-tiny"), directory.path(), Dtype::F32, LARGEST_FILE);
    let mut written = json(&directory.path().join(CONFIG));
    assert_eq!(written["dtype"], "float32");
    written["dtype"] = "bfloat16".into();
    assert_eq!(written, json(&Path::new(FIXTURES).join("llama-tiny").join(CONFIG)));
}

#[test]
fn a_model_without_files_gets_them() {
    let model = random();
    let directory = TempDir::new().unwrap();
    let inner = directory.path().join("new/folder");
    write(&model, &inner, Dtype::F32, LARGEST_FILE);
    let copy = Checkpoint::open_path(&inner).unwrap();
    assert_same_weights(&model, &copy);
    assert_eq!(copy.text.encode("é<search>"), model.text.encode("é<search>"));
    assert_eq!(copy.text.stop_tokens(), [256]);
    assert_eq!(json(&inner.join(CONFIG))["eos_token_id"], 256);
    assert_eq!(json(&inner.join(GENERATION_CONFIG))["eos_token_id"], json!([256]));
    let expected = [
        "chat_template.jinja",
        CONFIG,
        GENERATION_CONFIG,
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    assert_eq!(names(&inner), expected);
}

/// bf16 keeps 8 bits of the number: 1 + 2^-8 is halfway between 1 and 1 + 2^-7 and goes to the even one, 1.
#[test]
fn bf16_rounds_to_the_nearest() {
    let model = random();
    let directory = TempDir::new().unwrap();
    let tensors = |name: &str| {
        let length = model.tensor(name)?.len();
        let numbers = [1.0 + 1.0 / 256.0, 1.0 + 1.5 / 256.0, -0.0];
        Ok(Cow::Owned(numbers.into_iter().cycle().take(length).collect()))
    };
    export(directory.path(), &model.origin(), Dtype::Bf16, &tensors).unwrap();
    let copy = Checkpoint::open_path(directory.path()).unwrap();
    let read = copy.tensor("model.norm.weight").unwrap();
    assert_eq!(
        read[..3].iter().map(|number| number.to_bits()).collect::<Vec<_>>(),
        [1.0f32.to_bits(), (1.0f32 + 1.0 / 128.0).to_bits(), (-0.0f32).to_bits()]
    );
}

/// By hand: the embedding's 270 x 16 numbers of 4 bytes are 17,280 bytes, each layer's 1,952 numbers 7,808, so files of
/// at most 18,000 bytes are two.
#[test]
fn large_models_are_cut_into_files_with_an_index() {
    let model = random();
    let directory = TempDir::new().unwrap();
    write(&model, directory.path(), Dtype::F32, 18_000);
    let index = json(&directory.path().join(INDEX));
    assert_eq!(index["metadata"]["total_size"], model.config.parameters() * 4);
    let map = index["weight_map"].as_object().unwrap();
    assert_eq!(map.len(), model.config.tensors().len());
    for (tensor, file) in map {
        let bytes = fs::read(directory.path().join(file.as_str().unwrap())).unwrap();
        let library = SafeTensors::deserialize(&bytes).unwrap();
        assert!(library.tensor(tensor).is_ok(), "{tensor}");
        let size: usize = library.tensors().iter().map(|(_, view)| view.data().len()).sum();
        assert!(size <= 18_000);
    }
    assert_same_weights(&model, &Checkpoint::open_path(directory.path()).unwrap());
    let shards = names(directory.path()).into_iter().filter(|name| name.ends_with(".safetensors")).count();
    assert_eq!(shards, 2);
    assert!(directory.path().join("model-00001-of-00002.safetensors").exists());
}

#[test]
fn weights_of_an_earlier_export_go_away() {
    let model = random();
    let directory = TempDir::new().unwrap();
    write(&model, directory.path(), Dtype::F32, 18_000);
    fs::write(directory.path().join("notes.txt"), "mine").unwrap();
    write(&model, directory.path(), Dtype::Bf16, LARGEST_FILE);
    let left = names(directory.path());
    let weights: Vec<&String> = left.iter().filter(|name| name.starts_with("model")).collect();
    assert_eq!(weights, [SINGLE]);
    assert!(left.contains(&"notes.txt".to_owned()));
}

#[test]
fn what_cannot_be_stored_leaves_the_folder_as_it_was() {
    let model = random();
    let directory = TempDir::new().unwrap();
    write(&model, directory.path(), Dtype::F32, LARGEST_FILE);
    let before = fs::read(directory.path().join(SINGLE)).unwrap();
    let refusal = |dtype: Dtype, number: f32, length_off_by: usize| {
        let tensors = |name: &str| {
            let mut numbers = model.tensor(name)?;
            if name == "model.norm.weight" {
                numbers[5] = number;
                numbers.truncate(numbers.len() - length_off_by);
            }
            Ok(Cow::Owned(numbers))
        };
        export(directory.path(), &model.origin(), dtype, &tensors).unwrap_err().to_string()
    };
    let message = refusal(Dtype::F32, f32::NAN, 0);
    assert!(message.contains("tensor `model.norm.weight` holds NaN at index 5"), "{message}");
    let message = refusal(Dtype::Bf16, f32::MAX, 0);
    assert!(message.contains("which cannot be stored as bfloat16"), "{message}");
    let message = refusal(Dtype::F32, 1.0, 1);
    assert!(message.contains("has 15 numbers, its shape asks for 16"), "{message}");
    assert_eq!(fs::read(directory.path().join(SINGLE)).unwrap(), before);
    assert!(names(directory.path()).iter().all(|name| !name.ends_with(".part")));
}
