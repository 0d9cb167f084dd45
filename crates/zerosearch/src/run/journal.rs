//! A journal: what servers replied, so that a step that is played again is given the same replies.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zerosearch_search::{Boxed, SearchError, WriteRequest, Writer, Written};

use super::directory::numbered;
use super::durable::{append_line, mend};
use super::read::lines;

mod engine;

pub use engine::EngineJournal;

/// One line of `replies/*.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Reply {
    /// SHA-256 of the whole request.
    request: String,
    /// Why there was no reply, where there was none; the rest is empty then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    failure: Option<String>,
    text: String,
    finished: bool,
    tokens: Option<usize>,
    tries: u32,
    latency_s: f64,
}

/// The replies of the step that is being played. Lives as long as the run; shared by all its journals.
#[derive(Debug)]
pub struct Replies {
    folder: PathBuf,
    now: Mutex<Step>,
}

#[derive(Debug, Default)]
struct Step {
    file: PathBuf,
    known: HashMap<String, Reply>,
    /// Requests of this step that failed, each with why. Kept when the step stands.
    failed: BTreeMap<String, String>,
}

impl Replies {
    /// Replies kept in `folder`, which is made when the first one comes.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), now: Mutex::default() }
    }

    /// Turns to `step`: what was replied in it before will be replied again.
    pub fn begin(&self, step: u64) -> Result<()> {
        let file = self.folder.join(format!("{}.jsonl", numbered(step)));
        mend(&file).with_context(|| format!("{} cannot be mended", file.display()))?;
        let replies: Vec<Reply> = lines(&file)?;
        let mut known = HashMap::new();
        for reply in replies {
            known.entry(reply.request.clone()).or_insert(reply);
        }
        *self.lock() = Step { file, known, failed: BTreeMap::new() };
        Ok(())
    }

    /// Keeps the failures of the step, which stands with what they broke: played again, it will be the same.
    pub fn settle(&self) -> Result<()> {
        let mut now = self.lock();
        let failed = std::mem::take(&mut now.failed);
        if failed.is_empty() {
            return Ok(());
        }
        let place = format!("{} cannot be written", now.file.display());
        std::fs::create_dir_all(&self.folder).with_context(|| place.clone())?;
        for (request, failure) in failed {
            let line = Reply { request, failure: Some(failure), ..Reply::default() };
            append_line(&now.file, &line).with_context(|| place.clone())?;
            now.known.insert(line.request.clone(), line);
        }
        Ok(())
    }

    /// Forgets what was replied in the step, on disk too: it will be asked again.
    pub fn forget(&self) -> Result<()> {
        let mut now = self.lock();
        (now.known, now.failed) = (HashMap::new(), BTreeMap::new());
        match std::fs::remove_file(&now.file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{} cannot be deleted", now.file.display()))
            }
            _ => Ok(()),
        }
    }

    fn find(&self, request: &str) -> Option<Reply> {
        self.lock().known.get(request).cloned()
    }

    /// Keeps `reply`, or hands back the one that came first for the same request.
    fn keep(&self, reply: Reply) -> std::io::Result<Reply> {
        let mut now = self.lock();
        if let Some(first) = now.known.get(&reply.request) {
            return Ok(first.clone());
        }
        std::fs::create_dir_all(&self.folder)?;
        append_line(&now.file, &reply)?;
        now.failed.remove(&reply.request);
        now.known.insert(reply.request.clone(), reply.clone());
        Ok(reply)
    }

    fn note_failure(&self, request: String, failure: &SearchError) {
        let mut now = self.lock();
        if !now.known.contains_key(&request) {
            now.failed.insert(request, failure.to_string());
        }
    }

    /// A panic elsewhere cannot leave the map half changed.
    fn lock(&self) -> std::sync::MutexGuard<'_, Step> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A writer whose replies are kept in the run's folder and come from there when they are known. Failures are
/// kept once the step stands ([`Replies::settle`]); in a step that is given up they are tried again.
pub struct Journal {
    writer: Arc<dyn Writer>,
    replies: Arc<Replies>,
}

impl Journal {
    /// `writer`, remembered in `replies`.
    pub fn new(writer: Arc<dyn Writer>, replies: Arc<Replies>) -> Self {
        Self { writer, replies }
    }
}

impl Writer for Journal {
    fn write<'a>(&'a self, request: &'a WriteRequest) -> Boxed<'a, Result<Written, SearchError>> {
        Box::pin(async move {
            let fingerprint = fingerprint(self.writer.name(), request);
            if let Some(reply) = self.replies.find(&fingerprint) {
                return reply.outcome();
            }
            let written = self.writer.write(request).await;
            let written = written.inspect_err(|why| self.replies.note_failure(fingerprint.clone(), why))?;
            let reply = Reply {
                request: fingerprint,
                failure: None,
                text: written.text,
                finished: written.finished,
                tokens: written.tokens,
                tries: written.tries,
                latency_s: written.latency.as_secs_f64(),
            };
            self.replies.keep(reply).map_err(not_kept)?.outcome()
        })
    }

    fn name(&self) -> &str {
        self.writer.name()
    }

    fn identity(&self) -> String {
        self.writer.identity()
    }

    fn can_continue(&self) -> bool {
        self.writer.can_continue()
    }
}

fn not_kept(error: std::io::Error) -> SearchError {
    SearchError::Writer(format!("its reply could not be kept in the run folder: {error}"))
}

impl Reply {
    /// What the writer said, or how it failed.
    fn outcome(self) -> Result<Written, SearchError> {
        if let Some(failure) = self.failure {
            return Err(SearchError::Recorded(failure));
        }
        Ok(Written {
            text: self.text,
            finished: self.finished,
            tokens: self.tokens,
            tries: self.tries,
            latency: Duration::try_from_secs_f64(self.latency_s).unwrap_or_default(),
        })
    }
}

/// Equal for equal requests to the same writer only: every field is hashed with its length.
fn fingerprint(writer: &str, request: &WriteRequest) -> String {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    add(writer.as_bytes());
    add(&[u8::from(request.system.is_some())]);
    add(request.system.as_deref().unwrap_or_default().as_bytes());
    add(request.prompt.as_bytes());
    add(request.reply_prefix.as_bytes());
    add(&request.max_tokens.to_le_bytes());
    add(&request.temperature.to_le_bytes());
    add(&request.top_p.to_le_bytes());
    for stop in &request.stop {
        add(stop.as_bytes());
    }
    add(&request.seed.to_le_bytes());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Says how often it was asked, and fails where its prompt says so.
    #[derive(Default)]
    struct Counting {
        calls: AtomicU32,
    }

    impl Writer for Counting {
        fn write<'a>(&'a self, request: &'a WriteRequest) -> Boxed<'a, Result<Written, SearchError>> {
            let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
            Box::pin(async move {
                if request.prompt == "fail" {
                    return Err(SearchError::Writer(format!("call {call} failed")));
                }
                Ok(Written { text: format!("reply {call}"), finished: true, ..Written::default() })
            })
        }

        fn name(&self) -> &str {
            "counting"
        }

        fn identity(&self) -> String {
            "counting".into()
        }

        fn can_continue(&self) -> bool {
            true
        }
    }

    fn request(seed: u64) -> WriteRequest {
        WriteRequest { prompt: "a question".into(), seed, ..WriteRequest::default() }
    }

    #[tokio::test]
    async fn a_reply_is_given_again_after_a_crash_in_the_same_step_only() {
        let folder = tempfile::tempdir().unwrap();
        let writer: Arc<Counting> = Arc::default();
        let open = || {
            let replies = Arc::new(Replies::in_folder(folder.path().join("replies")));
            (Journal::new(writer.clone(), replies.clone()), replies)
        };
        let (journal, replies) = open();
        replies.begin(1).unwrap();
        assert_eq!(journal.write(&request(1)).await.unwrap().text, "reply 1");
        assert_eq!(journal.write(&request(2)).await.unwrap().text, "reply 2");
        assert_eq!(journal.write(&request(1)).await.unwrap().text, "reply 1");
        let file = folder.path().join("replies/000001.jsonl");
        let torn = format!("{}{{\"requ", std::fs::read_to_string(&file).unwrap());
        std::fs::write(&file, torn).unwrap();
        let (journal, replies) = open();
        replies.begin(1).unwrap();
        assert_eq!(journal.write(&request(2)).await.unwrap().text, "reply 2");
        assert_eq!(journal.write(&request(3)).await.unwrap().text, "reply 3");
        replies.begin(1).unwrap();
        assert_eq!(journal.write(&request(3)).await.unwrap().text, "reply 3");
        replies.begin(2).unwrap();
        assert_eq!(journal.write(&request(1)).await.unwrap().text, "reply 4");
    }

    #[tokio::test]
    async fn failures_come_again_once_the_step_stands_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let replies = Arc::new(Replies::in_folder(folder.path().join("replies")));
        let journal = Journal::new(Arc::<Counting>::default(), Arc::clone(&replies));
        let failing = WriteRequest { prompt: "fail".into(), ..request(1) };
        let failure = async || journal.write(&failing).await.unwrap_err().to_string();
        replies.begin(1).unwrap();
        assert_eq!(failure().await, "the simulator failed: call 1 failed");
        // Given up and played again: asked again.
        replies.begin(1).unwrap();
        assert_eq!(failure().await, "the simulator failed: call 2 failed");
        replies.settle().unwrap();
        assert_eq!(failure().await, "the simulator failed: call 2 failed");
        replies.begin(1).unwrap();
        assert_eq!(failure().await, "the simulator failed: call 2 failed");
    }

    #[tokio::test]
    async fn what_is_forgotten_is_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let replies = Arc::new(Replies::in_folder(folder.path().join("replies")));
        let journal = Journal::new(Arc::<Counting>::default(), Arc::clone(&replies));
        replies.begin(1).unwrap();
        assert_eq!(journal.write(&request(1)).await.unwrap().text, "reply 1");
        replies.forget().unwrap();
        replies.forget().unwrap();
        replies.begin(1).unwrap();
        assert_eq!(journal.write(&request(1)).await.unwrap().text, "reply 2");
    }
}
