//! What is written is what is read: fixtures of all families, every encoding, rotary scaling.

use tokenizers::Tokenizer;
use zerosearch_learner::text::{Message, Text};

use super::models::{MADE_UP, fixture, from_fixture, interleave, made_up, some_bytes, tensors};
use super::writer::Writer;
use crate::model::config::{Family, ModelConfig};
use crate::weights::Checkpoint;
use crate::weights::gguf::GgufFile;
use crate::weights::gguf::encoding::Encoding;

fn open(writer: &Writer) -> (ModelConfig, Text, GgufFile) {
    let folder = tempfile::tempdir().unwrap();
    GgufFile::open(&writer.save(folder.path())).unwrap()
}

pub(super) fn refusal(writer: &Writer) -> String {
    let folder = tempfile::tempdir().unwrap();
    match GgufFile::open(&writer.save(folder.path())) {
        Ok(_) => panic!("the file was accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn fixtures_of_all_families_come_back_bit_for_bit() {
    for name in ["llama-tiny", "qwen2-tiny", "qwen3-tiny"] {
        let (_, _, file) = open(&from_fixture(name));
        for (tensor, _, numbers) in tensors(name) {
            assert_eq!(file.tensor(&tensor).unwrap(), numbers, "{name} {tensor}");
        }
    }
}

/// The numbers of the fixtures' `config.json`.
#[test]
fn dimensions_are_those_of_the_fixtures() {
    let (llama, ..) = open(&from_fixture("llama-tiny"));
    assert_eq!((llama.family, llama.width, llama.layers, llama.vocabulary), (Family::Llama, 48, 2, 384));
    assert_eq!((llama.heads, llama.kv_heads, llama.head_width, llama.mlp_width), (4, 2, 12, 112));
    assert_eq!(
        (llama.context_length, llama.tied_head, llama.qkv_bias, llama.qk_norm),
        (512, true, false, false)
    );
    let (qwen2, ..) = open(&from_fixture("qwen2-tiny"));
    assert_eq!((qwen2.family, qwen2.tied_head, qwen2.qkv_bias), (Family::Qwen2, false, true));
    let (qwen3, ..) = open(&from_fixture("qwen3-tiny"));
    assert_eq!((qwen3.family, qwen3.head_width, qwen3.qk_norm), (Family::Qwen3, 32, true));
}

/// The GGUF file of a model and its Hugging Face directory open as the same model.
#[test]
fn a_gguf_file_and_a_directory_are_the_same_checkpoint() {
    for name in ["llama-tiny", "qwen2-tiny", "qwen3-tiny"] {
        let folder = tempfile::tempdir().unwrap();
        let file = Checkpoint::open_path(&from_fixture(name).save(folder.path())).unwrap();
        let directory = Checkpoint::open_path(&fixture(name)).unwrap();
        assert_eq!(file.config, directory.config);
        for (tensor, _) in directory.config.tensors() {
            assert_eq!(file.tensor(&tensor).unwrap(), directory.tensor(&tensor).unwrap(), "{name} {tensor}");
        }
        let sample = "the <|im_start|>theory in 1984";
        assert_eq!(file.text.encode(sample), directory.text.encode(sample));
        assert_eq!(file.text.stop_tokens(), directory.text.stop_tokens());
    }
}

#[test]
fn the_tokenizer_is_that_of_the_fixture() {
    let (_, text, _) = open(&from_fixture("llama-tiny"));
    let original = Tokenizer::from_file(fixture("llama-tiny").join("tokenizer.json")).unwrap();
    for sample in [
        "",
        "the theory in 1984",
        "naïve 東京 🙂\n\n\t two  spaces",
        "a<|im_end|>b<|im_end|>",
        " <|im_start|> x",
    ] {
        let ids = original.encode_fast(sample, false).unwrap();
        assert_eq!(text.encode(sample), ids.get_ids(), "{sample:?}");
        assert_eq!(text.decode(ids.get_ids()), sample);
    }
    assert_eq!(text.stop_tokens(), [2]);
    let chat = text.chat(&[Message::new("user", "hello")], true).unwrap();
    assert_eq!(
        chat,
        Text::from_directory(&fixture("llama-tiny"))
            .unwrap()
            .chat(&[Message::new("user", "hello")], true)
            .unwrap()
    );
}

#[test]
fn both_versions_and_any_alignment_hold_the_same_model() {
    let mut writer = made_up();
    writer.version = 2;
    writer.alignment = 256;
    writer.count("general.alignment", 256);
    let ((_, _, second), (_, _, third)) = (open(&writer), open(&made_up()));
    assert_eq!(second.tensor("lm_head.weight").unwrap(), third.tensor("lm_head.weight").unwrap());
}

/// Queries and keys come back in the model's order of rows, everything else as the encoding's own test says.
#[test]
fn every_encoding_can_hold_a_tensor() {
    let (config, _, file) = open(&made_up());
    let mut seen = Vec::new();
    for (name, shape) in config.tensors() {
        let there = crate::weights::gguf::names::gguf_name(&name).unwrap();
        let &(_, _, code) = MADE_UP.iter().find(|(stored, ..)| *stored == there).unwrap();
        let stored = Encoding::from_code(code).unwrap().decode(&some_bytes(&shape, code));
        let read = file.tensor(&name).unwrap();
        match there.as_str() {
            "blk.0.attn_q.weight" => assert_eq!(interleave(&read, 4, 256), stored),
            "blk.0.attn_k.weight" => assert_eq!(interleave(&read, 2, 256), stored),
            _ => assert_eq!(read, stored, "{name}"),
        }
        seen.push(code);
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 11, "one tensor in each encoding that is known");
}

/// Llama 3's own numbers: factor 8, waves up to 8192 / 4 tokens kept, from 8192 on stretched. With 32 pairs and theta 10000,
/// pair 31 has a wave of 2 pi 10000^(31/32) = 47119 tokens, so its factor is 8.
#[test]
fn llama_3_scaling_is_recovered_from_its_factors() {
    let factor = |pair: i32| {
        let wave = std::f64::consts::TAU * 10_000_f64.powf(f64::from(pair) / 32.0);
        let smooth = (8192.0 / wave - 1.0) / 3.0;
        match wave {
            wave if wave < 2048.0 => 1.0,
            wave if wave > 8192.0 => 8.0,
            _ => 1.0 / ((1.0 - smooth) / 8.0 + smooth),
        }
    };
    let mut factors: Vec<f32> = (0..32).map(|pair| factor(pair) as f32).collect();
    let mut writer = made_up();
    writer.f32_tensor("rope_freqs.weight", &[32], &factors);
    let scaling = open(&writer).0.rope_scaling.unwrap();
    assert_eq!((scaling.factor, scaling.low_freq_factor, scaling.high_freq_factor), (8.0, 1.0, 4.0));
    assert_eq!(scaling.original_context, 8192);

    factors[5] = 2.0;
    let mut foreign = made_up();
    foreign.f32_tensor("rope_freqs.weight", &[32], &factors);
    assert!(refusal(&foreign).contains("not those of Llama 3"));
    let mut none = made_up();
    none.f32_tensor("rope_freqs.weight", &[32], &[1.0; 32]);
    assert!(open(&none).0.rope_scaling.is_none());
}
