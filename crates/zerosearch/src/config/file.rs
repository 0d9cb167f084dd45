//! A config file: what a person may write, every key optional, unknown keys refused with the nearest name.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::check::nearest;
use super::{Complaint, Setting};

/// What kind of value a key takes, in words for a message.
trait Kind {
    const WORDS: &'static str;
}

impl Kind for bool {
    const WORDS: &'static str = "true or false";
}
impl Kind for usize {
    const WORDS: &'static str = "a whole number, 0 or more";
}
impl Kind for u64 {
    const WORDS: &'static str = "a whole number, 0 or more";
}
impl Kind for f64 {
    const WORDS: &'static str = "a number";
}
impl Kind for String {
    const WORDS: &'static str = "a text in quotes";
}
impl Kind for Vec<String> {
    const WORDS: &'static str = "a list of texts, [\"...\"]";
}

/// Declares the sections: a struct of optional keys each, and the names and kinds that messages need.
macro_rules! sections {
    ($($section:ident: $name:ident { $($(#[$doc:meta])* $key:ident: $kind:ty,)* })*) => {
        $(
            #[doc = concat!("The section `[", stringify!($section), "]` as written.")]
            #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
            #[serde(default, deny_unknown_fields)]
            pub struct $name {
                $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $key: Option<$kind>,)*
            }
        )*

        /// A whole config file as written.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct ConfigFile {
            $(#[doc = concat!("`[", stringify!($section), "]`")] pub $section: $name,)*
        }

        /// Every section with its keys and what each takes.
        const SECTIONS: &[(&str, &[(&str, &str)])] = &[
            $((stringify!($section), &[$((stringify!($key), <$kind as Kind>::WORDS),)*]),)*
        ];
    };
}

sections! {
    model: ModelFile {
        path: String,
        learner: String,
        arithmetic: String,
        threads: usize,
        activation_gib: f64,
        cache_gib: f64,
        micro_batch_tokens: usize,
        tokenizer: String,
        layers: usize,
        width: usize,
        heads: usize,
        context: usize,
    }
    tinker: TinkerFile {
        url: String,
        preset: String,
        base_model: String,
        key_env: String,
        timeout_s: f64,
        wait_s: f64,
        retries: usize,
        concurrency: usize,
        wire: String,
        reduction: String,
        adam_per_step: bool,
        weight_decay: f64,
        max_grad_norm: f64,
        alpha: f64,
        full_training: bool,
        stop_strings: bool,
        stops_at_end: bool,
        lasting_samplers: bool,
        base_sampling: bool,
        repeatable: bool,
    }
    adapter: AdapterFile {
        path: String,
        rank: usize,
        alpha: f64,
        rslora: bool,
        targets: Vec<String>,
    }
    server: ServerFile {
        urls: Vec<String>,
        api: String,
        name: String,
        tokenizer: String,
        context: usize,
        key_env: String,
        timeout_s: f64,
        retries: usize,
        concurrency: usize,
    }
    questions: QuestionsFile {
        train: Vec<String>,
        exclude: Vec<String>,
        limit: usize,
        skip_unusable: bool,
    }
    rollout: RolloutFile {
        engine: String,
        max_turns: usize,
        k: usize,
        max_response_tokens: usize,
        max_document_tokens: usize,
        max_context_tokens: usize,
        temperature: f64,
        prompt: String,
        row_prompts: bool,
        hint: String,
        distill: String,
        document_style: String,
        concurrency: usize,
    }
    simulator: SimulatorFile {
        mode: String,
        template: String,
        structure: String,
        words: usize,
        max_words: usize,
        max_tokens: usize,
        rewrites: usize,
        temperature: f64,
        top_p: f64,
        model: String,
        adapter: String,
        urls: Vec<String>,
        api: String,
        model_name: String,
        key_env: String,
        timeout_s: f64,
        retries: usize,
        concurrency: usize,
    }
    bm25: Bm25File {
        corpus: String,
        index: String,
        stemming: bool,
        stop_words: bool,
    }
    dense: DenseFile {
        index: String,
        encoder: String,
        search: String,
        probes: usize,
        int8: bool,
    }
    retrieve: RetrieveFile {
        urls: Vec<String>,
        dialect: String,
        timeout_s: f64,
        retries: usize,
        concurrency: usize,
    }
    web: WebFile {
        provider: String,
        url: String,
        cse_id: String,
        key_env: String,
        timeout_s: f64,
        retries: usize,
        concurrency: usize,
    }
    cache: CacheFile {
        folder: String,
        offline: bool,
    }
    curriculum: CurriculumFile {
        noise_start: f64,
        noise_end: f64,
        base: f64,
        per_document: bool,
    }
    rl: RlFile {
        algorithm: String,
        baseline: String,
        std: String,
        reward: String,
        steps: usize,
        questions_per_step: usize,
        group_size: usize,
        updates_per_step: usize,
        clip_low: f64,
        clip_high: f64,
        kl_coef: f64,
        kl_type: String,
        kl_in: String,
        entropy_bonus: f64,
        mask_documents: bool,
        max_broken_share: f64,
    }
    optimizer: OptimizerFile {
        learning_rate: f64,
        warmup_steps: usize,
        schedule: String,
        min_share: f64,
        weight_decay: f64,
        decay_all: bool,
        beta1: f64,
        beta2: f64,
        epsilon: f64,
        max_grad_norm: f64,
    }
    sft: SftFile {
        files: Vec<String>,
        epochs: usize,
        steps: usize,
        limit: usize,
        rows_per_step: usize,
        tokens_per_step: usize,
        max_row_tokens: usize,
        skip_long: bool,
    }
    eval: EvalFile {
        every: usize,
        questions: Vec<String>,
        engine: String,
        count: usize,
        noise: f64,
        samples: usize,
        temperature: f64,
    }
    run: RunFile {
        folder: String,
        seed: u64,
        save_every: usize,
        keep: usize,
    }
    cost: CostFile {
        gpu: String,
        gpu_gib: f64,
        gpu_tflops: f64,
        gpu_gb_per_s: f64,
        gpus: usize,
        simulator_gpus: usize,
        simulator: String,
        hour: f64,
        currency: String,
        memory_share: f64,
        compute_share: f64,
        read_share: f64,
        searches: f64,
        prompt_tokens: f64,
        turn_tokens: f64,
        simulator_prompt_tokens: f64,
        tokens_per_word: f64,
    }
}

impl ConfigFile {
    /// Reads `text` (TOML) and applies `settings` over it.
    ///
    /// # Errors
    /// The first key that is unknown or takes another kind of value, or where the text stops being TOML.
    pub fn parse(text: &str, settings: &[Setting]) -> Result<Self, Complaint> {
        let mut table = table_of(text)?;
        for setting in settings {
            setting.apply(&mut table)?;
        }
        for (section, value) in &table {
            check_section(section, value)?;
        }
        table
            .try_into()
            .map_err(|error: toml::de::Error| Complaint::without_value("the file", error.message()))
    }

    /// The keys that `text` (TOML) gives, as settings.
    ///
    /// # Errors
    /// As for [`ConfigFile::parse`].
    pub fn settings(text: &str) -> Result<Vec<Setting>, Complaint> {
        Self::parse(text, &[])?;
        let mut settings = Vec::new();
        for (section, keys) in table_of(text)? {
            let keys = keys.as_table().into_iter().flatten();
            settings.extend(keys.map(|(key, value)| Setting::of(&section, key, value.clone())));
        }
        Ok(settings)
    }

    /// Reads the file at `path` and applies `settings` over it.
    pub fn read(path: &Path, settings: &[Setting]) -> anyhow::Result<Self> {
        use anyhow::Context;
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("the config file {} cannot be read", path.display()))?;
        Self::parse(&text, settings)
            .with_context(|| format!("the config file {} cannot be used", path.display()))
    }
}

/// Every key as `section.key`, with the kind of value it takes in words.
pub fn known_keys() -> Vec<(String, &'static str)> {
    let keys = |(section, keys): &(&str, &'static [(&str, &'static str)])| {
        let section = (*section).to_owned();
        keys.iter().map(move |(key, kind)| (format!("{section}.{key}"), *kind)).collect::<Vec<_>>()
    };
    SECTIONS.iter().flat_map(keys).collect()
}

fn table_of(text: &str) -> Result<toml::Table, Complaint> {
    toml::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| {
        Complaint::without_value("the file", format!("is not TOML: {}", at_line(text, &error)))
    })
}

fn check_section(section: &str, value: &toml::Value) -> Result<(), Complaint> {
    let Some((_, keys)) = SECTIONS.iter().find(|(name, _)| *name == section) else {
        return Err(unknown_section(section));
    };
    let Some(table) = value.as_table() else {
        return Err(Complaint::new(section, value, format!("must be a section, [{section}], not a value")));
    };
    for (key, value) in table {
        match keys.iter().find(|(name, _)| name == key) {
            None => return Err(unknown_key(section, key)),
            Some((_, kind)) => check_kind(section, key, value, kind)?,
        }
    }
    Ok(())
}

/// A value of the wrong kind is found by reading this key alone, so that the message can name it.
fn check_kind(section: &str, key: &str, value: &toml::Value, kind: &str) -> Result<(), Complaint> {
    let alone = toml::Table::from_iter([(key.to_owned(), value.clone())]);
    let file = toml::Table::from_iter([(section.to_owned(), toml::Value::Table(alone))]);
    match file.try_into::<ConfigFile>() {
        Ok(_) => Ok(()),
        Err(_) => Err(Complaint::new(format!("{section}.{key}"), value, format!("must be {kind}"))),
    }
}

fn unknown_section(section: &str) -> Complaint {
    let known: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
    let homes: Vec<String> = SECTIONS
        .iter()
        .filter(|(_, keys)| keys.iter().any(|(key, _)| *key == section))
        .map(|(name, _)| format!("{name}.{section}"))
        .collect();
    let complaint = Complaint::without_value(section, "there is no such section");
    match (nearest(section, &known), homes.as_slice()) {
        (_, [home, ..]) => complaint.hint(format!("did you mean `{home}`?")),
        (Some(name), _) => complaint.hint(format!("did you mean `[{name}]`?")),
        (None, _) => complaint.hint(format!("the sections are {}", known.join(", "))),
    }
}

/// Offers the nearest key of the same section, else the nearest of any.
fn unknown_key(section: &str, key: &str) -> Complaint {
    let here: Vec<&str> = SECTIONS
        .iter()
        .filter(|(name, _)| *name == section)
        .flat_map(|(_, keys)| keys.iter().map(|(key, _)| *key))
        .collect();
    let complaint = Complaint::without_value(format!("{section}.{key}"), "there is no such key");
    let elsewhere =
        SECTIONS.iter().find(|(_, keys)| keys.iter().any(|(name, _)| *name == key)).map(|(name, _)| *name);
    match (elsewhere, nearest(key, &here)) {
        (Some(home), _) => complaint.hint(format!("did you mean `{home}.{key}`?")),
        (None, Some(name)) => complaint.hint(format!("did you mean `{section}.{name}`?")),
        (None, None) => complaint.hint(format!("the keys of [{section}] are {}", here.join(", "))),
    }
}

/// The message of a syntax error with its line, counted from 1.
fn at_line(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    match line {
        Some(line) => format!("line {line}: {}", error.message()),
        None => error.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> Complaint {
        ConfigFile::parse(text, &[]).unwrap_err()
    }

    #[test]
    fn an_unknown_key_is_refused_and_the_nearest_offered() {
        let wrong = complaint("[rl]\ngroupsize = 8\n");
        assert_eq!(wrong.to_string(), "rl.groupsize: there is no such key");
        assert_eq!(wrong.hint.as_deref(), Some("did you mean `rl.group_size`?"));
        assert_eq!(
            complaint("[rl]\nnoise_start = 0.5").hint.as_deref(),
            Some("did you mean `curriculum.noise_start`?")
        );
        assert_eq!(complaint("[rollouts]\n").hint.as_deref(), Some("did you mean `[rollout]`?"));
        assert_eq!(complaint("steps = 3").hint.as_deref(), Some("did you mean `rl.steps`?"));
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_named_with_its_key() {
        assert_eq!(
            complaint("[rl]\nsteps = 3\ngroup_size = \"eight\"").to_string(),
            "rl.group_size = \"eight\": must be a whole number, 0 or more"
        );
        assert_eq!(
            complaint("[rl]\nsteps = -1").to_string(),
            "rl.steps = -1: must be a whole number, 0 or more"
        );
    }

    #[test]
    fn broken_toml_is_reported_with_its_line() {
        assert!(complaint("[rl]\nsteps = 3\nsteps = = 4\n").to_string().contains("line 3"));
    }

    #[test]
    fn a_setting_wins_over_the_file_and_a_byte_order_mark_is_no_key() {
        let file = ConfigFile::parse("\u{feff}[rl]\nsteps = 3\n", &["rl.steps=5".parse().unwrap()]).unwrap();
        assert_eq!(file.rl.steps, Some(5));
    }
}
