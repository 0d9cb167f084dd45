//! Which model is in this GGUF file?
//!
//! The file's metadata gives the dimensions, the tokenizer and the chat template; its tensors, quantised or not, become
//! 32-bit floats in the order and under the names of the same model's Hugging Face directory. Versions 2 and 3 of the format are
//! read; whatever the model computes that this program does not know is refused. A file is untrusted: every count and
//! offset in it is checked against its length before it is used.
//!
//! - `source` opens the file and hands out tensors.
//! - `header`, `metadata`, `cursor` read what stands before the tensors.
//! - `encoding`, `dequantise` turn their bytes into numbers.
//! - `config`, `rope`, `names` say which model they make.
//! - `text`, `vocabulary`, `tokenizer`, `sentencepiece` rebuild its tokenizer.

mod config;
mod cursor;
mod dequantise;
mod encoding;
mod header;
mod metadata;
mod names;
mod rope;
mod sentencepiece;
mod source;
mod text;
mod tokenizer;
mod vocabulary;

#[cfg(test)]
mod tests;

pub(crate) use source::GgufFile;
