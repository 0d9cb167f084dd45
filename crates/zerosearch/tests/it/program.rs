//! The program under test: the real binary, in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A folder in which the program is run. It is deleted at the end of the test.
pub(crate) struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        String::from_utf8(std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}")))
            .unwrap()
    }

    /// `zerosearch` with these words, not started yet.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zerosearch"));
        command.args(words).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn spawn(&self, words: &[&str]) -> Child {
        self.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs the program, which must succeed, and returns what it printed.
    #[track_caller]
    pub(crate) fn succeed(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?} failed:\n{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the program, which must fail with exit code 1, and returns its report.
    #[track_caller]
    pub(crate) fn fail(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}:\n{}", stderr(&output));
        stderr(&output)
    }
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// Eight questions.
pub(crate) fn questions() -> String {
    (0..8)
        .map(|n| format!("{{\"question\":\"what is number {n}?\",\"golden_answers\":[\"the {n}th\"]}}\n"))
        .collect()
}

/// A recipe that trains the bigram model for `steps` steps on `questions.jsonl`.
pub(crate) fn recipe(steps: usize, more: &str) -> String {
    format!(
        "[model]\npath = \"bigram\"\ncontext = 4096\n[questions]\ntrain = [\"questions.jsonl\"]\n\
         [rl]\nreward = \"tags\"\nsteps = {steps}\nquestions_per_step = 4\ngroup_size = 4\n\
         [optimizer]\nlearning_rate = 0.3\n[run]\nsave_every = 5\n{more}"
    )
}

/// The part of a recipe that keeps conversations short, under `[rollout]`.
pub(crate) const SHORT: &str = "[rollout]\nengine = \"scripted\"\nmax_turns = 2\nk = 2\nmax_response_tokens = 24\n\
                                max_document_tokens = 128\nmax_context_tokens = 2048\n";
