//! The checkpoint that comes with the program: the base model of every invented world, where policy and simulator start.

use std::path::Path;

use anyhow::{Context, Result};

use super::tokenizer::text;

/// `configs/micro/base.toml` makes these files, to the last bit; docs/micro-world.md says how.
const FILES: [(&str, &[u8]); 3] = [
    ("config.json", include_bytes!("checkpoint/config.json")),
    ("generation_config.json", include_bytes!("checkpoint/generation_config.json")),
    ("model.safetensors", include_bytes!("checkpoint/model.safetensors")),
];

/// Writes the base model into `folder` as a Hugging Face directory.
pub fn write_checkpoint(folder: &Path) -> Result<()> {
    let failed = || format!("the base model cannot be written to {}", folder.display());
    std::fs::create_dir_all(folder).with_context(failed)?;
    let text = text()?;
    let tokenizer = text.files().iter().map(|file| (file.name.as_str(), file.bytes.as_slice()));
    for (name, bytes) in FILES.into_iter().chain(tokenizer) {
        std::fs::write(folder.join(name), bytes).with_context(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use zerosearch_learner::text::Text;

    use super::*;

    #[test]
    fn the_written_model_has_an_embedding_for_each_token() {
        let folder = tempfile::tempdir().unwrap();
        write_checkpoint(folder.path()).unwrap();
        let checkpoint = zerosearch_local::Checkpoint::open(&folder.path().display().to_string()).unwrap();
        let text = Text::from_directory(folder.path()).unwrap();
        assert_eq!(checkpoint.config.vocabulary, text.vocabulary_size());
        assert_eq!(checkpoint.config.parameters(), 982_400);
    }
}
