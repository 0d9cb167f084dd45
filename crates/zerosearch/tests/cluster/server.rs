//! A SkyRL server on a free port of this machine, of one process or two.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The folder that `tests/cluster/run` prepared: `models/`, and `venv/` with the server.
pub(crate) fn home() -> PathBuf {
    PathBuf::from(std::env::var_os("ZEROSEARCH_CLUSTER").expect("tests/cluster/run sets this"))
}

/// A tiny model, `llama` or `qwen3`.
pub(crate) fn model(family: &str) -> String {
    home().join("models").join(family).display().to_string()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server; stopped when it is dropped.
pub(crate) struct SkyRl {
    pub(crate) url: String,
    port: u16,
    family: &'static str,
    processes: usize,
    folder: PathBuf,
    children: Vec<Child>,
}

impl SkyRl {
    /// Starts one on the model of `family`; what it keeps lies in `folder`.
    pub(crate) fn start(family: &'static str, processes: usize, folder: &Path) -> Self {
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}");
        let mut server =
            Self { url, port, family, processes, folder: folder.to_owned(), children: Vec::new() };
        server.begin();
        server
    }

    /// Kills all of it, as a power cut would, and starts it again on what it had saved.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.begin();
    }

    fn begin(&mut self) {
        std::fs::create_dir_all(&self.folder).unwrap();
        let mut settings = serde_json::json!({
            "max_lora_adapters": 4,
            "max_lora_rank": 8,
            "train_micro_batch_size": 8,
            "sample_max_num_sequences": 16,
        });
        let coordinator = format!("127.0.0.1:{}", free_port());
        if self.processes > 1 {
            settings["fully_sharded_data_parallel_size"] = self.processes.into();
            settings["coordinator_address"] = coordinator.clone().into();
            settings["num_processes"] = self.processes.into();
        }
        let checkpoints = format!("--checkpoints-base={}", self.folder.join("checkpoints").display());
        let database = format!("--database-url=sqlite:///{}", self.folder.join("tinker.db").display());
        let port = self.port.to_string();
        let settings = settings.to_string();
        let model = model(self.family);
        // The server starts its engine by the words that it was itself started with.
        let words = [
            "run",
            "--extra",
            "tinker",
            "--extra",
            "jax",
            "-m",
            "skyrl.tinker.api",
            "--host",
            "127.0.0.1",
            "--port",
            &port,
            "--base-model",
            &model,
            "--backend",
            "jax",
            "--backend-config",
            &settings,
            &checkpoints,
            &database,
        ];
        self.spawn("uv", &words, "api.log");
        for process in 1..self.processes {
            let (count, id) = (self.processes.to_string(), process.to_string());
            let words = [
                "-m",
                "skyrl.backends.jax",
                "--coordinator-address",
                &coordinator,
                "--num-processes",
                &count,
                "--process-id",
                &id,
            ];
            self.spawn("python", &words, &format!("worker-{process}.log"));
        }
        self.wait();
    }

    fn spawn(&mut self, program: &str, words: &[&str], log: &str) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join(log)).unwrap();
        let mut command = Command::new(program);
        // A group of its own, so that the engine goes with it.
        command
            .args(words)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0);
        self.children.push(command.spawn().unwrap());
    }

    fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(90);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                Instant::now() < end,
                "the server did not start; see {}",
                self.folder.join("api.log").display()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn kill(&mut self) {
        for mut child in self.children.drain(..) {
            let group = format!("-{}", child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            let _ = child.wait();
        }
    }
}

impl Drop for SkyRl {
    fn drop(&mut self) {
        self.kill();
    }
}
