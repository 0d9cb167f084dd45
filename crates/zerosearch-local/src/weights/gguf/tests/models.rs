//! Models to write into GGUF files: the fixtures, and a made-up one of 256 numbers across that every encoding fits.

use std::path::PathBuf;

use half::f16;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use super::writer::Writer;
use crate::weights::gguf::encoding::Encoding;
use crate::weights::gguf::names::gguf_name;

pub(super) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn json(fixture_name: &str, file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(fixture_name).join(file)).unwrap()).unwrap()
}

/// Every tensor of a fixture: its name, shape and numbers.
pub(super) fn tensors(fixture_name: &str) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let bytes = std::fs::read(fixture(fixture_name).join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<_> = file
        .iter()
        .map(|(name, view)| {
            let numbers = match view.dtype() {
                Dtype::F32 => Encoding::F32.decode(view.data()),
                Dtype::BF16 => Encoding::Bf16.decode(view.data()),
                other => panic!("{name} is {other:?}"),
            };
            (name.to_owned(), view.shape().to_vec(), numbers)
        })
        .collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    tensors
}

/// A fixture as its GGUF file would be: dimensions, tokenizer, template, tensors in 32 bits.
pub(super) fn from_fixture(name: &str) -> Writer {
    let mut writer = Writer::new();
    let config = json(name, "config.json");
    let architecture = config["model_type"].as_str().unwrap().to_owned();
    let number = |key: &str| config[key].as_f64().unwrap_or_else(|| panic!("{key}"));
    writer.text("general.architecture", &architecture);
    for (key, from) in [
        ("block_count", "num_hidden_layers"),
        ("context_length", "max_position_embeddings"),
        ("embedding_length", "hidden_size"),
        ("feed_forward_length", "intermediate_size"),
        ("attention.head_count", "num_attention_heads"),
        ("attention.head_count_kv", "num_key_value_heads"),
    ] {
        writer.count(&format!("{architecture}.{key}"), number(from) as u32);
    }
    if let Some(width) = config["head_dim"].as_u64() {
        writer.count(&format!("{architecture}.attention.key_length"), width as u32);
    }
    writer.number(&format!("{architecture}.attention.layer_norm_rms_epsilon"), number("rms_norm_eps") as f32);
    let theta = config["rope_parameters"]["rope_theta"].as_f64().unwrap();
    writer.number(&format!("{architecture}.rope.freq_base"), theta as f32);
    put_tokenizer(&mut writer, name);
    let heads = [number("num_attention_heads") as usize, number("num_key_value_heads") as usize];
    for (tensor, shape, numbers) in tensors(name) {
        let turned = ["q_proj.weight", "k_proj.weight"].iter().position(|end| tensor.ends_with(end));
        let numbers = match turned.filter(|_| architecture == "llama") {
            Some(which) => interleave(&numbers, heads[which], shape[1]),
            None => numbers,
        };
        writer.f32_tensor(&gguf_name(&tensor).unwrap(), &shape, &numbers);
    }
    writer
}

/// What llama.cpp's converter does to queries and keys: `w.reshape(heads, 2, rows/heads/2, row).swapaxes(1, 2)`.
pub(super) fn interleave(numbers: &[f32], heads: usize, row: usize) -> Vec<f32> {
    let rows = numbers.len() / row;
    let half = rows / heads / 2;
    let mut stored = Vec::with_capacity(numbers.len());
    for head in 0..heads {
        for pair in 0..half {
            for of_pair in 0..2 {
                let from = (head * 2 + of_pair) * half + pair;
                stored.extend_from_slice(&numbers[from * row..(from + 1) * row]);
            }
        }
    }
    stored
}

fn put_tokenizer(writer: &mut Writer, name: &str) {
    let tokenizer = json(name, "tokenizer.json");
    let vocabulary = tokenizer["model"]["vocab"].as_object().unwrap();
    let mut tokens = vec![String::new(); vocabulary.len()];
    for (token, id) in vocabulary {
        tokens[id.as_u64().unwrap() as usize] = token.clone();
    }
    let mut roles = vec![1; tokens.len()];
    for added in tokenizer["added_tokens"].as_array().unwrap() {
        roles[added["id"].as_u64().unwrap() as usize] = if added["special"] == true { 3 } else { 4 };
    }
    let merges = tokenizer["model"]["merges"].as_array().unwrap();
    let merges: Vec<String> = merges
        .iter()
        .map(|merge| format!("{} {}", merge[0].as_str().unwrap(), merge[1].as_str().unwrap()))
        .collect();
    writer.text("tokenizer.ggml.model", "gpt2");
    writer.text("tokenizer.ggml.pre", "gpt-2");
    writer.texts("tokenizer.ggml.tokens", &tokens);
    writer.integers("tokenizer.ggml.token_type", &roles);
    writer.texts("tokenizer.ggml.merges", &merges);
    writer.count("tokenizer.ggml.bos_token_id", 0);
    writer.count("tokenizer.ggml.eos_token_id", 2);
    let template = std::fs::read_to_string(fixture(name).join("chat_template.jinja")).unwrap();
    writer.text("tokenizer.chat_template", &template);
}

/// A llama of one layer with a tokenizer of bytes. Its tensors are `(name, shape, code of the encoding)`.
pub(super) const MADE_UP: [(&str, [usize; 2], u32); 12] = [
    ("token_embd.weight", [VOCABULARY, 256], 14),
    ("blk.0.attn_norm.weight", [256, 0], 0),
    ("blk.0.attn_q.weight", [256, 256], 12),
    ("blk.0.attn_k.weight", [128, 256], 13),
    ("blk.0.attn_v.weight", [128, 256], 8),
    ("blk.0.attn_output.weight", [256, 256], 2),
    ("blk.0.ffn_norm.weight", [256, 0], 30),
    ("blk.0.ffn_gate.weight", [256, 256], 3),
    ("blk.0.ffn_up.weight", [256, 256], 6),
    ("blk.0.ffn_down.weight", [256, 256], 7),
    ("output_norm.weight", [256, 0], 0),
    ("output.weight", [VOCABULARY, 256], 1),
];
/// 256 bytes and three special tokens.
pub(super) const VOCABULARY: usize = 259;

pub(super) fn made_up() -> Writer {
    let mut writer = Writer::new();
    writer.text("general.architecture", "llama");
    for (key, value) in [
        ("block_count", 1),
        ("context_length", 512),
        ("embedding_length", 256),
        ("feed_forward_length", 256),
        ("attention.head_count", 4),
        ("attention.head_count_kv", 2),
        ("rope.dimension_count", 64),
    ] {
        writer.count(&format!("llama.{key}"), value);
    }
    writer.number("llama.attention.layer_norm_rms_epsilon", 1e-5);
    put_byte_tokenizer(&mut writer, "gpt-2", &[], &[]);
    for (name, shape, code) in MADE_UP {
        let shape = &shape[..if shape[1] == 0 { 1 } else { 2 }];
        writer.tensor(name, shape, code, some_bytes(shape, code));
    }
    writer
}

/// Bytes that any encoding accepts: every half-precision number in them is small and finite.
pub(super) fn some_bytes(shape: &[usize], code: u32) -> Vec<u8> {
    let encoding = Encoding::from_code(code).unwrap();
    let sizes: Vec<u64> = shape.iter().rev().map(|&size| size as u64).collect();
    let length = encoding.bytes_of(&sizes).unwrap() as usize;
    let mut bytes: Vec<u8> = (0..length).map(|i| (i * 131 + i / 7) as u8).collect();
    for block in bytes.chunks_exact_mut(encoding.block_bytes()) {
        let scale = f16::from_f32(0.01 * (1.0 + f32::from(block[0] % 16))).to_le_bytes();
        match code {
            0 => block.copy_from_slice(&[0, 0, block[2] & 0x7F, 0x3F]),
            30 => block.copy_from_slice(&[0, 0x3F]),
            14 => block[208..210].copy_from_slice(&scale),
            3 | 7 | 12 | 13 => block[..4].copy_from_slice(&[scale, scale].concat()),
            _ => block[..2].copy_from_slice(&scale),
        }
    }
    bytes
}

/// A byte-level tokenizer: ids 0 to 255 are the bytes, then three special tokens, then `more` (with `merges` of them).
pub(super) fn put_byte_tokenizer(writer: &mut Writer, pre: &str, more: &[&str], merges: &[&str]) {
    let mut tokens: Vec<String> = (0..=255).map(|byte| byte_character(byte).to_string()).collect();
    tokens.extend(["<|begin|>", "<|end|>", "<|turn|>"].map(str::to_owned));
    tokens.extend(more.iter().map(|&token| token.to_owned()));
    let mut roles = vec![1; tokens.len()];
    roles[256..259].fill(3);
    writer.text("tokenizer.ggml.model", "gpt2");
    writer.text("tokenizer.ggml.pre", pre);
    writer.texts("tokenizer.ggml.tokens", &tokens);
    writer.integers("tokenizer.ggml.token_type", &roles);
    writer.texts("tokenizer.ggml.merges", merges);
    writer.count("tokenizer.ggml.bos_token_id", 256);
    writer.count("tokenizer.ggml.eos_token_id", 257);
    writer.count("tokenizer.ggml.eot_token_id", 258);
}

/// How GPT-2's vocabulary spells a byte: printable ones as they are, the others as the characters from U+0100 on.
pub(super) fn byte_character(byte: u8) -> char {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&other| !printable(other)).count();
    char::from_u32(256 + before as u32).unwrap()
}
