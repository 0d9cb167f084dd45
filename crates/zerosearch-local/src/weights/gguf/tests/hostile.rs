//! Files that are not what they should be: each is refused with a reason, none is believed.

use std::path::Path;

use super::models::{from_fixture, made_up, put_byte_tokenizer};
use super::reading::refusal;
use super::writer::Writer;
use crate::weights::gguf::GgufFile;
use crate::weights::gguf::header::Header;

/// A small file: nothing but a header and one tensor of four numbers.
fn small() -> Writer {
    let mut writer = Writer::new();
    writer.text("general.architecture", "llama");
    writer.texts("some.texts", &["a", "", "bcd"]);
    writer.integers("some.integers", &[1, -2, 3]);
    writer.flag("some.flag", true);
    writer.f32_tensor("weights", &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    writer
}

fn header_problem(bytes: &[u8]) -> String {
    match Header::read(Path::new("hostile.gguf"), bytes) {
        Ok(_) => panic!("the header was accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let (bytes, _) = small().build();
    assert!(Header::read(Path::new("whole.gguf"), &bytes).is_ok());
    for length in 0..bytes.len() {
        let problem = header_problem(&bytes[..length]);
        assert!(problem.starts_with("hostile.gguf: "), "{problem}");
    }
}

#[test]
fn a_whole_model_cut_at_any_border_is_refused() {
    let (bytes, borders) = from_fixture("qwen2-tiny").build();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("torn.gguf");
    for border in borders {
        for length in
            [border.saturating_sub(1), border, border + 1].into_iter().filter(|&length| length < bytes.len())
        {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(GgufFile::open(&path).is_err(), "cut at {length}");
        }
    }
}

/// Counts, lengths and offsets become huge, kinds and encodings unknown, names no UTF-8: nothing may panic or allocate
/// for what the file cannot hold.
#[test]
fn no_byte_of_a_header_can_break_the_reader() {
    let (bytes, _) = small().build();
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7F, 0x80, 0xFF] {
            let mut damaged = bytes.clone();
            damaged[at] = value;
            if let Ok(header) = Header::read(Path::new("damaged.gguf"), &damaged) {
                for tensor in &header.tensors {
                    assert!(tensor.bytes.end <= damaged.len());
                    tensor.encoding.decode(header.bytes_of(tensor));
                }
            }
        }
    }
}

#[test]
fn no_byte_of_a_models_metadata_can_break_the_reader() {
    let (bytes, _) = made_up().build();
    let metadata = 8192.min(bytes.len());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.gguf");
    for at in (0..metadata).step_by(29) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xFF;
        std::fs::write(&path, &damaged).unwrap();
        // Some bytes are harmless, such as those of a token; what counts is that an answer comes back.
        drop(GgufFile::open(&path));
    }
}

#[test]
fn what_is_no_gguf_file_is_said_to_be_none() {
    let with = |change: &dyn Fn(&mut Writer)| {
        let mut writer = small();
        change(&mut writer);
        header_problem(&writer.build().0)
    };
    assert!(with(&|writer| writer.magic = *b"GGML").contains("does not begin with `GGUF`"));
    assert!(with(&|writer| writer.version = 1).contains("version 1"));
    assert!(with(&|writer| writer.version = 4).contains("version 4"));
    assert!(with(&|writer| writer.version = 3_u32.swap_bytes()).contains("big-endian"));
}

#[test]
fn counts_that_the_file_cannot_hold_are_refused_before_anything_is_allocated() {
    let (bytes, _) = small().build();
    for (at, name) in [(8, "number of tensors"), (16, "number of metadata keys")] {
        let mut huge = bytes.clone();
        huge[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(header_problem(&huge).contains(name));
    }
    // Room for 100,000 pairs is there, but no model has as many.
    let mut many = [bytes.as_slice(), &vec![0; 2 << 20]].concat();
    many[16..24].copy_from_slice(&100_000_u64.to_le_bytes());
    assert!(header_problem(&many).contains("at most 65536"));
    let mut writer = Writer::new();
    writer.pairs.push((
        "list".into(),
        [&9_u32.to_le_bytes()[..], &8_u32.to_le_bytes(), &(1_u64 << 60).to_le_bytes()].concat(),
    ));
    assert!(header_problem(&writer.build().0).contains("the length of the value of metadata key `list`"));
    let mut nested = Writer::new();
    nested.pairs.push((
        "list".into(),
        [&9_u32.to_le_bytes()[..], &9_u32.to_le_bytes(), &1_u64.to_le_bytes()].concat(),
    ));
    assert!(header_problem(&nested.build().0).contains("list of lists"));
}

#[test]
fn tensors_outside_the_file_or_of_impossible_shape_are_refused() {
    let with = |change: &dyn Fn(&mut super::writer::Stored)| {
        let mut writer = small();
        change(&mut writer.tensors[0]);
        header_problem(&writer.build().0)
    };
    assert!(with(&|tensor| tensor.misplaced = 32).contains("past the end"));
    assert!(with(&|tensor| tensor.misplaced = u64::MAX - 31).contains("past the end"));
    assert!(with(&|tensor| tensor.misplaced = 4).contains("no multiple of 32"));
    assert!(with(&|tensor| tensor.shape = vec![1 << 40, 1 << 40]).contains("absurdly large"));
    assert!(with(&|tensor| tensor.shape = vec![1 << 20, 1 << 20]).contains("past the end"));
    assert!(with(&|tensor| tensor.shape = vec![2, 0]).contains("dimension of 0"));
    assert!(with(&|tensor| tensor.shape = vec![]).contains("0 dimensions"));
    assert!(with(&|tensor| tensor.shape = vec![1; 5]).contains("5 dimensions"));
    assert!(with(&|tensor| tensor.code = 10).contains("Q2_K"));
    assert!(with(&|tensor| tensor.code = 8).contains("blocks of 32"));
}

#[test]
fn keys_and_tensors_given_twice_are_refused() {
    let mut writer = small();
    writer.flag("some.flag", false);
    assert!(header_problem(&writer.build().0).contains("`some.flag` is given twice"));
    let mut writer = small();
    writer.f32_tensor("weights", &[1], &[1.0]);
    assert!(header_problem(&writer.build().0).contains("`weights` is given twice"));
}

#[test]
fn alignments_that_are_none_are_refused() {
    for alignment in [0, 24] {
        let mut writer = small();
        writer.count("general.alignment", alignment);
        assert!(header_problem(&writer.build().0).contains("power of two"));
    }
}

#[test]
fn models_that_are_not_known_are_refused_with_those_that_are() {
    let mut other = made_up().without("general.architecture");
    other.text("general.architecture", "gemma3");
    assert!(refusal(&other).contains("`gemma3`") && refusal(&other).contains("llama, qwen2 and qwen3"));
    let with = |key: &str, value: u32| {
        let mut writer = made_up().without(key);
        writer.count(key, value);
        refusal(&writer)
    };
    assert!(with("llama.expert_count", 8).contains("mixture of experts"));
    assert!(with("llama.attention.sliding_window", 4096).contains("sliding window"));
    assert!(with("llama.attention.value_length", 32).contains("value_length"));
    assert!(with("llama.rope.dimension_count", 32).contains("dimension_count"));
    assert!(with("llama.attention.head_count_kv", 3).contains("evenly"));
    assert!(with("llama.attention.head_count", 0).contains("is 0"));
    assert!(with("llama.block_count", u32::MAX).contains("layers"));
    assert!(with("llama.feed_forward_length", 512).contains("the model's dimensions ask for"));
    let mut scaled = made_up();
    scaled.text("llama.rope.scaling.type", "yarn");
    assert!(refusal(&scaled).contains("yarn"));
    let mut linear = made_up();
    linear.number("llama.rope.scale_linear", 4.0);
    assert!(refusal(&linear).contains("linearly"));
}

#[test]
fn a_tensor_too_few_or_too_many_is_named() {
    let mut less = made_up();
    less.tensors.retain(|tensor| tensor.name != "blk.0.ffn_up.weight");
    assert!(refusal(&less).contains("`blk.0.ffn_up.weight` is missing"));
    let mut more = made_up();
    more.f32_tensor("blk.0.attn_q.bias", &[4], &[0.0; 4]);
    assert!(refusal(&more).contains("`blk.0.attn_q.bias`"));
    let missing = made_up().without("llama.context_length");
    assert!(refusal(&missing).contains("`llama.context_length` is missing"));
}

#[test]
fn values_of_the_wrong_kind_are_refused_with_the_key() {
    let mut writer = made_up().without("llama.block_count");
    writer.text("llama.block_count", "one");
    assert!(refusal(&writer).contains("`llama.block_count` should be a whole number, it is a text"));
    let mut writer = made_up().without("llama.attention.layer_norm_rms_epsilon");
    writer.number("llama.attention.layer_norm_rms_epsilon", f32::NAN);
    assert!(refusal(&writer).contains("NaN"));
    let mut writer = made_up();
    writer.pairs.retain(|(key, _)| !key.starts_with("tokenizer."));
    put_byte_tokenizer(&mut writer, "gpt-2", &[], &[]);
    let mut writer = writer.without("tokenizer.ggml.token_type");
    writer.integers("tokenizer.ggml.token_type", &[1, 2]);
    assert!(refusal(&writer).contains("2 entries for 259 tokens"));
}
