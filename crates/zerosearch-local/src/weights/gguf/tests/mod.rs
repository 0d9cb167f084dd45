//! Whole files: models written by [`writer`] and read back, hostile ones, tokenizers.

mod hostile;
mod models;
mod reading;
mod tokenizing;
mod writer;
