//! The program over a server: one recipe on both learners, and runs that outlive a killed client and a killed server.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use super::server::{SkyRl, model};

/// Six steps of the whole loop, for either learner.
const RECIPE: &str = r#"
[adapter]
rank = 8
alpha = 32
[questions]
train = ["questions.jsonl"]
[rollout]
engine = "scripted"
max_turns = 1
k = 1
max_response_tokens = 16
max_document_tokens = 48
max_context_tokens = 256
prompt = "prompt.jinja"
[rl]
reward = "tags"
steps = 6
questions_per_step = 4
group_size = 2
kl_coef = 0.01
[optimizer]
learning_rate = 3e-3
weight_decay = 0
max_grad_norm = 0
[run]
save_every = 2
"#;

struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        let questions =
            (0..8).map(|at| format!("{{\"question\": \"who is {at}?\", \"golden_answers\": [\"he\"]}}\n"));
        desk.write("questions.jsonl", &questions.collect::<String>());
        desk.write("prompt.jinja", "{{ question }}");
        desk.write("recipe.toml", RECIPE);
        desk
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zerosearch"));
        command.args(words).current_dir(self.0.path());
        command
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> Output {
        let output = self.command(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn rows(&self, run: &str) -> Vec<serde_json::Map<String, serde_json::Value>> {
        zerosearch::run::lines(&self.path(&format!("{run}/metrics.jsonl"))).unwrap_or_default()
    }

    /// Waits until `run` has done `steps`.
    fn wait(&self, run: &str, steps: usize) {
        let end = Instant::now() + Duration::from_secs(240);
        while self.rows(run).len() < steps {
            assert!(Instant::now() < end, "{run} did not come to step {steps}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The words that run the recipe on `server`.
fn on_server(server: &SkyRl, model: &str, out: &str) -> Vec<String> {
    let settings = [
        "model.learner=tinker".to_owned(),
        "tinker.preset=skyrl-jax".to_owned(),
        format!("tinker.url=\"{}\"", server.url),
        format!("run.folder={out}"),
    ];
    let mut words: Vec<String> = ["train", "recipe.toml", "--model", model].map(str::to_owned).to_vec();
    words.extend(settings.into_iter().flat_map(|setting| ["--set".to_owned(), setting]));
    words
}

fn borrowed(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// Both trained: rewards were drawn, gradients came, and what was sampled is what was trained on.
fn assert_trained(desk: &Desk, run: &str) {
    let rows = desk.rows(run);
    assert_eq!(rows.len(), 6, "{run}");
    let mut taught = 0;
    for row in rows {
        let number = |key: &str| row[key].as_f64().unwrap_or(f64::NAN);
        assert!(number("mismatch_kl") < 1e-6, "{run}: {}", number("mismatch_kl"));
        if number("batch/kept_groups") > 0.0 {
            assert!(number("actor/grad_norm") > 0.0, "{run}: {}", row["actor/grad_norm"]);
            taught += 1;
        }
    }
    assert!(taught >= 3, "{run}: only {taught} steps had anything to teach");
}

#[test]
fn one_recipe_trains_on_both_and_outlives_the_client_and_the_server() {
    let (desk, kept) = (Desk::new(), tempfile::tempdir().unwrap());
    let mut server = SkyRl::start("qwen3", 1, kept.path());
    let model = model("qwen3");
    desk.run(&[
        "train",
        "recipe.toml",
        "--model",
        &model,
        "--set",
        "model.arithmetic=f32",
        "--set",
        "run.folder=local",
    ]);
    assert_trained(&desk, "local");

    let words = on_server(&server, &model, "far");
    let mut child = desk.command(&borrowed(&words)).spawn().unwrap();
    desk.wait("far", 3);
    child.kill().unwrap();
    child.wait().unwrap();
    // The client alone is gone, then both.
    let mut child = desk.command(&["train", "--resume", "far"]).spawn().unwrap();
    desk.wait("far", 5);
    child.kill().unwrap();
    child.wait().unwrap();
    server.restart();
    desk.run(&["train", "--resume", "far"]);
    assert_trained(&desk, "far");
    opens(&desk, &model, "far/checkpoints/000006");
}

/// A checkpoint is an adapter like any other: the program samples from it without a server, and merges it.
fn opens(desk: &Desk, model: &str, checkpoint: &str) {
    for name in ["adapter_config.json", "adapter_model.safetensors", "tinker.json"] {
        assert!(desk.path(checkpoint).join(name).is_file(), "{name}");
    }
    desk.run(&[
        "export",
        "--model",
        model,
        "--adapter",
        checkpoint,
        "--set",
        "model.arithmetic=f32",
        "--out",
        "merged",
    ]);
    assert!(Path::new(&desk.path("merged/model.safetensors")).is_file());
    let question = [
        "ask",
        "who is 1?",
        "--model",
        "merged",
        "--engine",
        "scripted",
        "--set",
        "rollout.max_context_tokens=512",
        "--set",
        "rollout.max_response_tokens=32",
    ];
    desk.run(&question);
}

#[test]
fn what_the_server_would_change_in_silence_is_refused_before_the_first_token() {
    let (desk, kept) = (Desk::new(), tempfile::tempdir().unwrap());
    let server = SkyRl::start("llama", 1, kept.path());
    let model = model("llama");
    for (setting, words) in [
        ("optimizer.weight_decay=0.01", "optimizer.weight_decay = 0.01"),
        ("optimizer.max_grad_norm=1.0", "optimizer.max_grad_norm = 1"),
        ("rollout.temperature=0.7", "rollout.temperature = 0.7"),
        ("rl.entropy_bonus=0.01", "rl.entropy_bonus"),
        ("adapter.alpha=16", "adapter.alpha"),
        ("adapter.rank=0", "adapter.rank = 0"),
        ("tinker.base_model=/m/other", "tinker.base_model"),
    ] {
        let mut all = on_server(&server, &model, "refused");
        all.extend(["--set".to_owned(), setting.to_owned()]);
        let output = desk.command(&borrowed(&all)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "`{said}` for {setting}");
    }
}
