//! Facts about plans: what may be left out, what is refused, and what resolves to what.

use super::*;
use crate::config::Schedule;

const LEAST: &str = "[model]\npath = \"m\"\n[questions]\ntrain = [\"q.jsonl\"]\n";

fn plan(more: &str) -> Resolved<Plan> {
    ConfigFile::parse(&format!("{LEAST}{more}"), &[])?.resolve(Purpose::Train)
}

#[test]
fn a_plan_is_a_config_file_that_resolves_to_itself() {
    let adapter = "[adapter]\nrank = 8\ntargets = [\"lm_head\", \"q_proj\"]\n";
    for more in
        ["", adapter, "[rl]\nalgorithm = \"reinforce\"\nkl_coef = 0.001\n[rollout]\nprompt = \"p.jinja\"\n"]
    {
        let plan = plan(more).unwrap();
        let text = plan.to_toml().unwrap();
        let again = ConfigFile::parse(&text, &[]).unwrap().resolve(Purpose::Use).unwrap();
        assert_eq!(plan, again, "{text}");
    }
}

#[test]
fn every_key_but_the_folder_and_what_is_assumed_of_costs_is_part_of_the_plan() {
    let chosen = "[rollout]\nprompt = \"p\"\nhint = \"h\"\ndistill = \"d\"\n[simulator]\nmode = \"template\"\ntemplate = \"t\"\n";
    let server = "[tinker]\npreset = \"tuft\"\nwire = \"json\"\nreduction = \"sum\"\nadam_per_step = true\nweight_decay = 0\n\
                  max_grad_norm = 1\nalpha = 16\nfull_training = true\nstop_strings = true\nstops_at_end = true\n\
                  lasting_samplers = true\nbase_sampling = true\nrepeatable = true\n";
    let text = format!("{LEAST}{chosen}{server}");
    let file = ConfigFile::parse(&text, &["model.tokenizer=t".parse().unwrap()]).unwrap();
    let text = file.resolve(Purpose::Train).unwrap().to_toml().unwrap();
    let table: toml::Table = toml::from_str(&text).unwrap();
    for (name, _) in crate::config::known_keys() {
        let (section, key) = name.split_once('.').unwrap();
        let is_there = table.get(section).is_some_and(|keys| keys.get(key).is_some());
        assert_eq!(is_there, name != "run.folder" && section != "cost", "{name}");
    }
}

#[test]
fn what_is_missing_or_impossible_is_named_with_its_range() {
    let told = |more: &str| plan(more).unwrap_err().to_string();
    assert_eq!(told("[curriculum]\nnoise_end = 1.5"), "curriculum.noise_end = 1.5: must be from 0 to 1");
    assert_eq!(told("[rl]\ngroup_size = 0"), "rl.group_size = 0: must be at least 1");
    assert_eq!(
        told("[optimizer]\nepsilon = 1e-60"),
        "optimizer.epsilon = 1e-60: is beyond what 32 bits hold: from 1.4e-45 to 3.4e38 in size"
    );
    assert_eq!(told("[rl]\nalgorithm = \"grop\""), "rl.algorithm = \"grop\": must be one of reinforce, grpo");
    assert!(told("[rl]\nalgorithm = \"ppo\"").contains("`ppo` is not in this version"));
    assert!(told("[rl]\nkl_coef = 0.1\nkl_type = \"k1\"").contains("expected gradient is zero"));
    assert!(told("[rl]\nbaseline = \"batch_mean\"").contains("grpo always compares with the mean"));
    assert!(told("[rl]\nalgorithm = \"reinforce\"\nstd = \"none\"").contains("never divides"));
    assert!(told("[eval]\nevery = 5").contains("eval.questions"));
    assert!(told("[eval]\nsamples = 2").contains("eval.samples = 2: greedy conversations"));
    assert!(told("[rollout]\nengine = \"bm25\"").contains("bm25.corpus: the engine bm25"));
    assert!(told("[eval]\nengine = \"dense\"").contains("dense.index: the engine dense"));
    assert!(told("[eval]\nengine = \"dense\"\n[dense]\nindex = \"i\"").contains("dense.encoder: the engine"));
    assert!(told("[eval]\nengine = \"hybrid\"").contains("bm25.corpus: the engine bm25"));
    assert!(told("[eval]\nengine = \"retrieve\"").contains("retrieve.urls: the engine retrieve"));
    assert!(told("[rl]\ngroup_size = 1").contains("nothing to be compared with"));
    let nothing = ConfigFile::default().resolve(Purpose::Train).unwrap_err();
    assert!(nothing.to_string().contains("no model is named") && nothing.hint.unwrap().contains("--model"));
}

#[test]
fn defaults_suit_the_purpose() {
    let file = |text: &str| ConfigFile::parse(text, &[]).unwrap();
    let sft = file("[model]\npath=\"m\"\n[sft]\nfiles=[\"a\"]").resolve(Purpose::Sft).unwrap();
    assert_eq!((sft.optimizer.learning_rate, sft.optimizer.schedule), (2e-5, Schedule::Cosine));
    assert_eq!(plan("").unwrap().optimizer.learning_rate, 1e-6);
    let played = |purpose| file("[model]\npath=\"m\"").resolve(purpose).unwrap().eval;
    let (collected, measured) = (played(Purpose::Collect), played(Purpose::Use));
    assert_eq!((collected.samples, collected.temperature), (4, 1.0));
    assert_eq!((measured.samples, measured.temperature), (1, 0.0));
}

/// A run's own config names everything; what an index has decided is not in it, so that it can be read again.
#[test]
fn an_index_stands_in_the_place_of_a_corpus_and_its_words() {
    let of_index = plan("[rollout]\nengine = \"bm25\"\n[bm25]\nindex = \"i\"").unwrap();
    let again = ConfigFile::parse(&of_index.to_toml().unwrap(), &[]).unwrap().resolve(Purpose::Train);
    assert_eq!(again.unwrap(), of_index);
    assert_eq!(plan("[bm25]\ncorpus = \"c\"").unwrap().bm25.stemming, Some(true));
    for (more, told) in [
        ("corpus = \"c\"", "bm25.corpus = \"c\": cannot be given together with bm25.index"),
        ("stemming = true", "bm25.stemming = true: cannot be given together with bm25.index"),
        ("stop_words = false", "bm25.stop_words = false: cannot be given together with bm25.index"),
    ] {
        let refused = plan(&format!("[bm25]\nindex = \"i\"\n{more}")).unwrap_err();
        assert_eq!(refused.to_string(), told);
    }
}

/// A plan that was recorded before there were adapters is one without.
#[test]
fn an_adapters_alpha_is_twice_its_rank_and_none_is_wanted_unless_it_is_written() {
    assert_eq!(plan("").unwrap().adapter, crate::config::Adapter::default());
    let adapter = plan("[adapter]\nrank = 8").unwrap().adapter;
    assert_eq!((adapter.rank, adapter.alpha, adapter.targets.len()), (8, 16.0, 7));
    let told = |more: &str| plan(more).unwrap_err().to_string();
    assert!(told("[adapter]\nrank = 8\npath = \"a\"").starts_with("adapter.rank = 8: the adapter in a has"));
    assert!(told("[adapter]\nrank = 8\ntargets = []").starts_with("adapter.targets = []: names no module"));
    assert!(
        told("[adapter]\ntargets = [\"x\"]").starts_with("adapter.targets = \"x\": must be one of q_proj")
    );
}
