//! The flags of `zerosearch index --engine dense`: which encoder, and how it is used.

use std::path::Path;

use anyhow::Result;
use clap::{Args, ValueEnum};
use zerosearch::problem::problem;
use zerosearch_hub::Hub;
use zerosearch_search::{DenseBuild, Encoder, Family, MannerChoice, Pooling, encoder_folder};

/// The encoder of a dense index. What is not said here is known by the model's name, or told by its files.
#[derive(Args, Debug)]
#[command(next_help_heading = "With --engine dense")]
pub(super) struct EncoderFlags {
    /// Folder or hub id of the encoder: a BERT or XLM-RoBERTa (config.json, tokenizer.json, model.safetensors) or a static embedding
    #[arg(long, value_name = "MODEL")]
    encoder: Option<String>,
    /// Use it as a model of this family, whatever its folder is called
    #[arg(long, value_enum)]
    family: Option<FamilyName>,
    /// Put before every query, in place of what the model's family wants
    #[arg(long, value_name = "TEXT")]
    query_prefix: Option<String>,
    /// Put before every passage
    #[arg(long, value_name = "TEXT")]
    passage_prefix: Option<String>,
    /// How the vectors of a text's tokens become one
    #[arg(long, value_enum)]
    pooling: Option<PoolingName>,
    /// Whether vectors are scaled to length 1
    #[arg(long, value_name = "YES")]
    normalize: Option<bool>,
    /// Tokens that are read of a text
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Clusters for approximate search [default: four times the root of the number of passages]
    #[arg(long, value_name = "N")]
    clusters: Option<usize>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FamilyName {
    /// `query: ` and `passage: `, mean
    E5,
    /// An instruction before queries, the first token
    Bge,
    /// Nothing before a text, mean
    AllMinilm,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PoolingName {
    Mean,
    Cls,
}

impl EncoderFlags {
    /// The index that is to be made.
    pub(super) fn build(&self, corpus: &Path, out: &Path) -> Result<DenseBuild> {
        let named = self.encoder.as_deref().ok_or_else(|| {
            problem("--engine dense needs an encoder")
                .hint("`--encoder MODEL` names the folder of one, or its id on the Hugging Face hub")
        })?;
        let choice = MannerChoice {
            family: self.family.map(|family| match family {
                FamilyName::E5 => Family::E5,
                FamilyName::Bge => Family::Bge,
                FamilyName::AllMinilm => Family::AllMiniLm,
            }),
            query_prefix: self.query_prefix.clone(),
            passage_prefix: self.passage_prefix.clone(),
            pooling: self.pooling.map(|pooling| match pooling {
                PoolingName::Mean => Pooling::Mean,
                PoolingName::Cls => Pooling::Cls,
            }),
            normalize: self.normalize,
            max_tokens: self.max_tokens,
        };
        let folder = encoder_folder(named, &Hub::from_environment())?;
        let encoder = Encoder::open(&folder, &choice)?;
        Ok(DenseBuild { corpus: corpus.to_owned(), folder: out.to_owned(), encoder, clusters: self.clusters })
    }

    /// Refuses flags that another engine's index has no use for.
    pub(super) fn refuse_any(&self) -> Result<()> {
        let Self { encoder, family, query_prefix, passage_prefix, pooling, normalize, max_tokens, clusters } =
            self;
        let given = [
            ("--encoder", encoder.is_some()),
            ("--family", family.is_some()),
            ("--query-prefix", query_prefix.is_some()),
            ("--passage-prefix", passage_prefix.is_some()),
            ("--pooling", pooling.is_some()),
            ("--normalize", normalize.is_some()),
            ("--max-tokens", max_tokens.is_some()),
            ("--clusters", clusters.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(problem(format!("{flag} goes with --engine dense"))
                .hint("add `--engine dense`, or leave it out")
                .into()),
            None => Ok(()),
        }
    }
}
