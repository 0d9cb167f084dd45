//! `zerosearch index`

mod encoder;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use zerosearch::problem::problem;
use zerosearch::progress::Progress;
use zerosearch::qa::locate;
use zerosearch::stop::{Reason, Stop};
use zerosearch_hub::Hub;
use zerosearch_search::{Bm25Build, Built, IndexError, Manifest, Pace, Stage, Watch, Words};

use self::encoder::EncoderFlags;
use super::flags::minutes;
use super::screen::say;

/// Make an index of a corpus, however large, for the engine bm25 or dense
///
/// The corpus is JSON lines, plain or packed with gzip or zstd, or Parquet: rows with `id`, `text` and perhaps `title`,
/// or with `id` and `contents`, whose first line is the title. A row that is broken, has no id or text, or the id of
/// another, is refused with its place.
///
/// The corpus is read as a stream. What was added is committed every so often: after Ctrl-C, `--minutes` or a crash the
/// same command goes on from there. The finished folder has a manifest with a checksum of every file. What is found
/// depends on the passages, their order and the words that count; not on threads, memory or interruptions.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  zerosearch index wiki.jsonl.gz --out indexes/wiki
  zerosearch eval --model SmolLM2.gguf --questions nq.jsonl --engine bm25 --index indexes/wiki --out evals/bm25
  zerosearch index wiki.jsonl.gz --out indexes/wiki-e5 --engine dense --encoder models/e5-small-v2
  zerosearch index --check --out indexes/wiki")]
pub(super) struct Index {
    /// The corpus: a file, or one on the Hugging Face hub, `hf://datasets/ORG/NAME[@REVISION]/PATH`
    #[arg(value_name = "CORPUS", required_unless_present = "check")]
    corpus: Option<PathBuf>,
    /// Folder of the index
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Which engine it is for
    #[arg(long, value_enum, default_value_t = For::Bm25)]
    engine: For,
    /// Keep English words as they are; without this, they are cut to their stems
    #[arg(long)]
    no_stemming: bool,
    /// Keep the commonest English words; without this, they are left out
    #[arg(long)]
    no_stop_words: bool,
    /// Threads that take texts apart [default: as many as the machine has cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// MiB that the threads fill together before they write; 15 each at least
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(15..))]
    memory: u32,
    /// Passages between two commits: a crash loses no more
    #[arg(long, value_name = "N", default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1..))]
    commit_every: u64,
    /// Only read a finished index and compare it with its checksums
    #[arg(long, conflicts_with = "corpus")]
    check: bool,
    /// Stop after so many minutes; the same command goes on
    #[arg(long, value_name = "MINUTES", value_parser = minutes)]
    pub(super) minutes: Option<f64>,
    // Last, because its heading stands over all that follows.
    #[command(flatten)]
    encoder: EncoderFlags,
}

/// Which engine an index is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum For {
    /// The words of a query
    Bm25,
    /// The vectors of an encoder
    Dense,
}

impl Index {
    pub(super) async fn run(self, stop: &Stop) -> Result<Option<Reason>> {
        let mut stages = Stages { stop: stop.clone(), shown: None };
        let folder = self.out.clone();
        let failed = if self.check { "the index cannot be checked" } else { "the index cannot be made" };
        let work = move || match &self.corpus {
            Some(corpus) => self.build(&fetched(corpus)?, &mut |pace| stages.show(pace)),
            None => {
                let manifest = Manifest::read(&self.out)?;
                let whole = manifest.check(&self.out, &mut |pace| stages.show(pace))?;
                Ok(if whole { Built::Known(manifest) } else { Built::Left(0) })
            }
        };
        let built = tokio::task::spawn_blocking(work).await?.context(failed)?;
        let folder = folder.display();
        match built {
            Built::Made(manifest) => say(&format!("{} in {folder}", told(&manifest))),
            Built::Known(manifest) => say(&format!("{} in {folder}, as it was made", told(&manifest))),
            Built::Left(passages) => {
                let reason = stop.wished().await;
                say(&format!(
                    "{reason}: {passages} passages are kept in {folder}\nhint: the same command goes on from there"
                ));
                return Ok(Some(reason));
            }
        }
        Ok(None)
    }

    fn build(&self, corpus: &Path, watch: &mut Watch<'_>) -> Result<Built> {
        let built = match self.engine {
            For::Bm25 => self.words(corpus)?.run(watch),
            For::Dense => self.encoder.build(corpus, &self.out)?.run(watch),
        };
        built.map_err(|why: IndexError| why.into())
    }

    fn words(&self, corpus: &Path) -> Result<Bm25Build> {
        self.encoder.refuse_any()?;
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Bm25Build {
            corpus: corpus.to_owned(),
            folder: self.out.clone(),
            words: Words { stemming: !self.no_stemming, stop_words: !self.no_stop_words },
            threads: self.threads.map_or_else(cores, usize::from),
            memory: (self.memory as usize) << 20,
            commit_every: self.commit_every,
        })
    }
}

/// The corpus on this machine; one on the hub is fetched.
fn fetched(corpus: &Path) -> Result<PathBuf> {
    let Some(address) = corpus.to_str().filter(|text| text.starts_with("hf:")) else {
        return Ok(corpus.to_owned());
    };
    let files =
        locate([&address.to_owned()], &Hub::from_environment()).context("the corpus cannot be had")?;
    match files.as_slice() {
        [file] if file.split.is_none() => Ok(file.path.clone()),
        _ => Err(problem(format!("{address} is not one whole file"))
            .hint("name one file of the repository, without a split; shards are to be put together first")
            .into()),
    }
}

fn told(manifest: &Manifest) -> String {
    let megabytes = manifest.bytes() as f64 / 1e6;
    format!("an index of {} passages, {megabytes:.1} MB,", manifest.corpus.passages)
}

/// The stages of the work, shown one after another.
struct Stages {
    stop: Stop,
    shown: Option<Shown>,
}

/// A stage, since when it is shown, and how.
struct Shown {
    stage: Stage,
    since: Instant,
    progress: Progress,
}

/// A stage that is over sooner is only named.
const SOON: Duration = Duration::from_secs(1);

impl Stages {
    /// Shows how far it is. Whether to go on.
    fn show(&mut self, pace: Pace) -> bool {
        const PARTS: u64 = 1000;
        let done = (pace.share * PARTS as f64) as u64;
        if self.shown.as_ref().is_none_or(|shown| shown.stage != pace.stage) {
            let progress = Progress::new(PARTS, done);
            progress.say(pace.stage.name());
            self.shown = Some(Shown { stage: pace.stage, since: Instant::now(), progress });
        }
        if let Some(shown) = self.shown.as_ref().filter(|shown| done > 0 && shown.since.elapsed() > SOON) {
            let told = format!("{}: {} passages", shown.stage.name(), pace.passages);
            shown.progress.tell(&told, done, PARTS);
        }
        self.stop.reason().is_none()
    }
}
