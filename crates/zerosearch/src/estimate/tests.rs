//! Estimates in tests: the ZeroSearch recipes and this machine, by hand.

use super::*;
use crate::config::{ConfigFile, Purpose, Setting};
use crate::problem::report;

/// The recipe of the paper: 64 questions x 5 conversations, 203 steps, a tuned 14B simulator on servers, KL to a reference.
const PAPER: &str = "[questions]\ntrain = [\"q\"]\n[rollout]\nmax_turns = 2\n[simulator]\nmode = \"tuned\"\n\
                     urls = [\"http://s\"]\nmodel_name = \"s\"\n[rl]\nsteps = 203\nkl_coef = 0.001\n\
                     [cost]\ngpu = \"a100\"\nsimulator = \"Qwen2.5-14B\"\n";

async fn estimated(text: &str, settings: &[&str], measured: &Measured) -> Result<Sheet> {
    let settings: Vec<Setting> = settings.iter().map(|setting| setting.parse().unwrap()).collect();
    let (plan, cost) = ConfigFile::parse(text, &settings)?.with_cost(Purpose::Train)?;
    estimate(&plan, &cost, measured).await
}

async fn of_paper(model: &str, settings: &[&str]) -> Result<Sheet> {
    let model = format!("model.path={model}");
    estimated(PAPER, &[&[model.as_str()], settings].concat(), &Measured::default()).await
}

#[track_caller]
fn assert_figures(sheet: &Sheet, expected: &[(&str, f64)]) {
    for (name, value) in expected {
        let found = sheet.figure(name).unwrap_or_else(|| panic!("{name}:\n{}", sheet.text())).value;
        assert!((found - value).abs() <= 1e-3 * value.abs(), "{name}: {found}, by hand {value}");
    }
}

#[track_caller]
fn assert_refused(outcome: Result<Sheet>, words: &[&str]) {
    let told = report(&outcome.unwrap_err());
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
}

/// By hand, with the assumed search, 150 prompt tokens, 150 tokens a turn and 1.33 a word: the policy writes 2 x 150, a search
/// brings 5 x 30 x 1.33 = 199.5, a conversation has 649.5. 320 of them are 207,840 tokens, 96,000 of them sampled, and
/// 64 x 150 + 320 x 199.5 = 73,440 read.
#[tokio::test]
async fn a_step_of_the_paper_has_these_tokens_and_calls() {
    let sheet = of_paper("Qwen/Qwen2.5-7B", &[]).await.unwrap();
    assert_figures(
        &sheet,
        &[
            ("conversations", 320.0),
            ("policy's tokens in it", 300.0),
            ("document tokens in it", 199.5),
            ("tokens of a conversation", 649.5),
            ("tokens trained on", 207_840.0),
            ("tokens sampled", 96_000.0),
            ("tokens read to sample them", 73_440.0),
            ("simulator's calls", 320.0),
            ("tokens of a call's reply", 199.5),
        ],
    );
    assert_eq!(sheet.figure("searches of a conversation").unwrap().basis, Basis::Assumed);
}

/// By hand for P = 7,615,616,512. State: 18 P = 127.67 GiB. On 4 GPUs 64 rows each: 2 P + 64 x 649.5 x 57,344 = 16.40 GiB;
/// activations 2048 x (2 x 3584 x 28 + 34 x 3584 + 10 x 152,064) = 3.516 GiB; 127.67 / 4 + 16.40 = 48.32 of 72. On 2 it would be
/// 63.83 + 18.62 = 82.5, too much. The simulator, S = 14,770,033,664: 2 S + 64 x 349.5 x 196,608 = 31.61 GiB, one GPU.
#[tokio::test]
async fn the_7b_recipe_needs_four_gpus_and_one_for_its_simulator() {
    let sheet = of_paper("Qwen/Qwen2.5-7B", &[]).await.unwrap();
    assert_figures(
        &sheet,
        &[
            ("policy: state of training", 127.667),
            ("policy: sampling, a GPU", 16.405),
            ("policy: activations, a GPU", 3.516),
            ("policy: memory, a GPU", 48.32),
            ("policy: GPUs", 4.0),
            ("simulator: memory, a copy", 31.607),
            ("simulator: GPUs", 1.0),
        ],
    );
}

/// By hand. Training: 207,840 tokens x (2 + 4 + 2 + 2) x P / (4 x 312e12 x 0.3) = 42.28 s. Policy: 73,440 x 2 P / 3.744e14 = 2.988 s,
/// and 96,000 at 4 x 64 x 1.0195e12 / (2 P + 64 x 324.75 x 57,344) = 15,892 a second: 9.03 s. Simulator: 48,000 x 2 S / 93.6e12 =
/// 15.15 s, and 63,840 at 64 x 1.0195e12 / (2 S + 64 x 249.75 x 196,608) = 1,996 a second: 47.13 s, the longer. So 89.4 s a step,
/// 203 x 89.4 / 3600 = 5.041 hours of 5 GPUs at 1.475.
#[tokio::test]
async fn the_7b_recipe_takes_five_hours() {
    let sheet = of_paper("Qwen/Qwen2.5-7B", &[]).await.unwrap();
    assert_figures(
        &sheet,
        &[
            ("training: time", 42.277),
            ("policy: decoding", 15_892.0),
            ("policy: time", 9.0285),
            ("simulator: decoding", 1996.4),
            ("simulator: time", 47.126),
            ("a step", 89.40),
            ("time", 5.041),
            ("GPU-hours", 25.21),
            ("money, USD", 37.18),
        ],
    );
}

/// By hand for Qwen2.5-3B at rank 16: (2 x 4096 + 2 x 2304 + 3 x 13,056) x 16 x 36 = 29,933,568 numbers;
/// 2 x 3,085,938,688 + 16 x 29,933,568 bytes = 6.194 GiB. Backwards costs 2, and there is no KL here: 2 + 2 + 2.
#[tokio::test]
async fn an_adapter_is_trained_on_one_gpu() {
    let settings = ["adapter.rank=16", "rl.kl_coef=0", "cost.hour=2.5", "cost.gpu=h100"];
    let sheet = of_paper("Qwen/Qwen2.5-3B", &settings).await.unwrap();
    assert_figures(
        &sheet,
        &[
            ("policy: state of training", 6.194),
            ("policy: GPUs", 1.0),
            ("operations of a trained token", 6.0),
        ],
    );
    assert_eq!(sheet.figure("price of an hour").unwrap().basis, Basis::Written);
}

/// By hand: 8 GPUs are 8 copies of a simulator that fits one; 32B in bf16 is 61.03 GiB with 64 x 349.5 x 262,144 bytes beside it.
#[tokio::test]
async fn more_gpus_than_a_copy_needs_are_more_copies() {
    let sheet = of_paper("Qwen/Qwen2.5-7B", &["cost.simulator_gpus=8"]).await.unwrap();
    assert!(sheet.figure("simulator: decoding").unwrap().from.contains("8 copies"));
    assert_figures(&sheet, &[("simulator: GPUs", 8.0)]);
    let large = of_paper("Qwen/Qwen2.5-7B", &["cost.simulator=Qwen2.5-32B"]).await.unwrap();
    assert_figures(&large, &[("simulator: GPUs", 1.0), ("simulator: memory, a copy", 66.49)]);
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let small = of_paper("Qwen/Qwen2.5-7B", &["cost.gpus=2"]).await;
    assert_refused(
        small,
        &["the policy does not fit: on 2 a100 each would hold 82.46 GiB of 72 that may be used"],
    );
    assert_refused(of_paper("mine", &[]).await, &["model.path = \"mine\": its shape is not known"]);
    assert_refused(
        of_paper("Qwen/Qwen2.5-7B", &["cost.searches=3"]).await,
        &["cost.searches = 3: must be from 0 to 2"],
    );
    assert_refused(of_paper("Qwen/Qwen2.5-7B", &["cost.gpu=b9"]).await, &["must be one of none, a100"]);
    assert_refused(of_paper("Qwen/Qwen2.5-7B", &["cost.hour=-1"]).await, &["cost.hour = -1"]);
    assert_refused(
        of_paper("Qwen/Qwen2.5-7B", &["cost.gpu=none", "cost.gpus=4"]).await,
        &["cost.gpus: this machine computes"],
    );
    let inside = ["simulator.urls=[]", "simulator.model=m"];
    assert_refused(of_paper("Qwen/Qwen2.5-7B", &inside).await, &["would play in this process"]);
    let nowhere =
        ["model.learner=tinker", "tinker.url=http://t", "tinker.preset=zerosearch", "cost.gpu=none"];
    assert_refused(
        of_paper("Qwen/Qwen2.5-7B", &nowhere).await,
        &["trains on a server", "cost.gpu = \"a100\""],
    );
    let adapter = ["adapter.path=a"];
    assert_refused(of_paper("Qwen/Qwen2.5-7B", &adapter).await, &["adapter.rank"]);
}

/// Without cost.simulator the servers are somebody else's: neither counted nor paid.
#[tokio::test]
async fn servers_of_others_are_not_counted() {
    let sheet = of_paper("Qwen/Qwen2.5-7B", &["cost.simulator="]).await.unwrap();
    assert!(sheet.figure("simulator: GPUs").is_none());
    assert_figures(&sheet, &[("a step", 42.277 + 9.0285)]);
}

/// By hand for a machine of 100 GFLOP/s and 10 GB/s: training is 8 x 4 conversations of 64 tokens x 6 x P / 50e9 s, and with the
/// rate of a bench instead the same tokens over it. The evaluation of 10 questions after each 15 of 30 steps is 2 x 10 conversations.
#[tokio::test]
async fn this_machine_is_counted_from_what_was_measured() {
    let text = "[model]\npath = \"random\"\n[questions]\ntrain = [\"q\"]\n[rollout]\nengine = \"scripted\"\n\
                max_context_tokens = 64\nmax_response_tokens = 20\n[rl]\nsteps = 30\nquestions_per_step = 8\n\
                group_size = 4\n[eval]\nevery = 15\nquestions = [\"e\"]\ncount = 10\n";
    let mut measured = Measured::default();
    let doctor = serde_json::json!({"peak_gflops": 100.0, "read_gb_per_second": 10.0});
    measured.take(doctor.as_object().unwrap(), "doctor.json", "random").unwrap();
    let sheet = estimated(text, &[], &measured).await.unwrap();
    let parameters = sheet.figure("parameters of random").unwrap().value;
    assert_figures(
        &sheet,
        &[("tokens trained on", 2048.0), ("training: time", 2048.0 * 6.0 * parameters / 50e9)],
    );
    let gathering = sheet.figure("conversations: time").unwrap().value;
    assert_figures(&sheet, &[("evaluations", 20.0 / 32.0 * gathering)]);
    assert!(sheet.figure("together").unwrap().value > 0.0 && sheet.figure("money, USD").is_none());

    let bench = serde_json::json!({"model": "random", "optimizer_seconds": 1.0, "tokens_per_second": 1024.0});
    measured.take(bench.as_object().unwrap(), "bench.json", "random").unwrap();
    let sheet = estimated(text, &["cost.hour=0.5"], &measured).await.unwrap();
    assert_figures(&sheet, &[("training: time", 2.0)]);
    assert!(sheet.figure("money, USD").is_some());
}
