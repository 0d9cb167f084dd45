//! The engines' sections: who writes, finds or labels documents.

use std::path::PathBuf;

use zerosearch_search::{SearchError, check_addresses};

use super::{Purpose, Resolved, name};
use crate::config::Complaint;
use crate::config::check::{at_least, between, positive, some};
use crate::config::file::{
    Bm25File, CacheFile, CurriculumFile, DenseFile, RetrieveFile, SimulatorFile, WebFile,
};
use crate::config::plan::{
    ApiName, Bm25, Cache, Curriculum, Dense, DenseSearch, DialectName, EngineName, Plan, ProviderName,
    Retrieve, Simulator, SimulatorMode, Structure, Web,
};

pub(super) fn simulator(file: SimulatorFile, purpose: Purpose) -> Resolved<Simulator> {
    let urls = servers("simulator.urls", file.urls)?;
    let (model, adapter) = (file.model.unwrap_or_default(), file.adapter.unwrap_or_default());
    for (key, value) in [("simulator.model", &model), ("simulator.adapter", &adapter)] {
        if !urls.is_empty() && !value.is_empty() {
            let problem = "cannot be given together with simulator.urls";
            return Err(Complaint::new(key, format!("\"{value}\""), problem)
                .hint("name a local model, or servers and their simulator.model_name"));
        }
    }
    let usual = match purpose {
        Purpose::Sft | Purpose::Judge => SimulatorMode::Tuned,
        Purpose::Train | Purpose::Simulate | Purpose::Use | Purpose::Collect => SimulatorMode::Instruct,
    };
    let mode = name("simulator.mode", file.mode, usual, SimulatorMode::NAMES)?;
    if (mode == SimulatorMode::Template) != file.template.is_some() {
        return Err(Complaint::without_value(
            "simulator.template",
            "goes together with simulator.mode = \"template\"",
        )
        .hint("give both or neither"));
    }
    let api = name("simulator.api", file.api, ApiName::Chat, ApiName::NAMES)?;
    let chat_server = !urls.is_empty() && api == ApiName::Chat;
    let usual = if chat_server || mode == SimulatorMode::Tuned { Structure::Free } else { Structure::Forced };
    let structure = name("simulator.structure", file.structure, usual, Structure::NAMES)?;
    if structure == Structure::Forced && chat_server {
        return Err(Complaint::new(
            "simulator.structure",
            "\"forced\"",
            "a chat server cannot go on with a reply that was begun",
        )
        .hint("use simulator.api = \"completions\" or simulator.structure = \"free\""));
    }
    let words = between("simulator.words", file.words.unwrap_or(30), 5, 1000)?;
    Ok(Simulator {
        mode,
        template: file.template.map(PathBuf::from),
        structure,
        words,
        max_words: between("simulator.max_words", file.max_words.unwrap_or(2 * words), words, 2000)?,
        max_tokens: some("simulator.max_tokens", file.max_tokens.unwrap_or(100))?,
        rewrites: between("simulator.rewrites", file.rewrites.unwrap_or(2), 0, 100)?,
        temperature: at_least("simulator.temperature", file.temperature.unwrap_or(0.8), 0.0)?,
        top_p: between("simulator.top_p", file.top_p.unwrap_or(1.0), f64::MIN_POSITIVE, 1.0)?,
        model,
        adapter,
        urls,
        api,
        model_name: file.model_name.unwrap_or_default(),
        key_env: file.key_env.unwrap_or_default(),
        timeout_s: positive("simulator.timeout_s", file.timeout_s.unwrap_or(60.0))?,
        retries: between("simulator.retries", file.retries.unwrap_or(4), 0, 20)?,
        concurrency: some("simulator.concurrency", file.concurrency.unwrap_or(64))?,
    })
}

/// Addresses of servers, each with its weight where it has one; none where none are written.
pub(super) fn servers(key: &str, written: Option<Vec<String>>) -> Resolved<Vec<String>> {
    let urls = written.unwrap_or_default();
    if urls.is_empty() {
        return Ok(urls);
    }
    let usable = check_addresses(key, &urls);
    usable.map_err(|why| match why {
        SearchError::BadSetting { problem, .. } => Complaint::without_value(key, problem),
        other => Complaint::without_value(key, other.to_string()),
    })?;
    Ok(urls)
}

pub(super) fn bm25(file: Bm25File) -> Resolved<Bm25> {
    let (corpus, index) = (file.corpus.unwrap_or_default(), file.index.unwrap_or_default());
    if index.is_empty() {
        let (stemming, stop_words) = (file.stemming.unwrap_or(true), file.stop_words.unwrap_or(true));
        return Ok(Bm25 { corpus, index, stemming: Some(stemming), stop_words: Some(stop_words) });
    }
    let told = |key, value: String| Complaint::new(key, value, "cannot be given together with bm25.index");
    if !corpus.is_empty() {
        return Err(told("bm25.corpus", format!("\"{corpus}\""))
            .hint("name a corpus, which is indexed in memory, or an index, which has its own"));
    }
    for (key, written) in [("bm25.stemming", file.stemming), ("bm25.stop_words", file.stop_words)] {
        if let Some(written) = written {
            return Err(told(key, written.to_string())
                .hint("leave it out: which words count was decided when the index was made"));
        }
    }
    Ok(Bm25 { corpus, index, stemming: None, stop_words: None })
}

pub(super) fn dense(file: DenseFile) -> Resolved<Dense> {
    Ok(Dense {
        index: file.index.unwrap_or_default(),
        encoder: file.encoder.unwrap_or_default(),
        search: name("dense.search", file.search, DenseSearch::Exact, DenseSearch::NAMES)?,
        probes: some("dense.probes", file.probes.unwrap_or(32))?,
        int8: file.int8.unwrap_or(false),
    })
}

pub(super) fn retrieve(file: RetrieveFile) -> Resolved<Retrieve> {
    Ok(Retrieve {
        urls: servers("retrieve.urls", file.urls)?,
        dialect: name("retrieve.dialect", file.dialect, DialectName::SearchR1, DialectName::NAMES)?,
        timeout_s: positive("retrieve.timeout_s", file.timeout_s.unwrap_or(30.0))?,
        retries: between("retrieve.retries", file.retries.unwrap_or(4), 0, 20)?,
        concurrency: some("retrieve.concurrency", file.concurrency.unwrap_or(64))?,
    })
}

pub(super) fn web(file: WebFile) -> Resolved<Web> {
    if file.url.as_ref().is_some_and(|url| url.contains(['?', '#', '@'])) {
        // Not shown: what stands there may be a key, and a plan is kept.
        return Err(Complaint::without_value(
            "web.url",
            "an address has no key, password or parameters in it",
        )
        .hint("name the environment variable with the key in web.key_env"));
    }
    Ok(Web {
        provider: name("web.provider", file.provider, ProviderName::Serper, ProviderName::NAMES)?,
        url: file.url.unwrap_or_default(),
        cse_id: file.cse_id.unwrap_or_default(),
        key_env: file.key_env.unwrap_or_default(),
        timeout_s: positive("web.timeout_s", file.timeout_s.unwrap_or(20.0))?,
        retries: between("web.retries", file.retries.unwrap_or(4), 0, 20)?,
        concurrency: some("web.concurrency", file.concurrency.unwrap_or(8))?,
    })
}

pub(super) fn cache(file: CacheFile) -> Resolved<Cache> {
    let folder = file.folder.unwrap_or_default();
    let offline = file.offline.unwrap_or(false);
    if offline && folder.is_empty() {
        return Err(Complaint::new("cache.offline", offline, "there is no cache.folder to answer from")
            .hint("name it with `--cache FOLDER`, or leave `--offline` out"));
    }
    Ok(Cache { folder, offline })
}

pub(super) fn curriculum(file: CurriculumFile) -> Resolved<Curriculum> {
    Ok(Curriculum {
        noise_start: between("curriculum.noise_start", file.noise_start.unwrap_or(0.0), 0.0, 1.0)?,
        noise_end: between("curriculum.noise_end", file.noise_end.unwrap_or(0.5), 0.0, 1.0)?,
        base: positive("curriculum.base", file.base.unwrap_or(4.0))?,
        per_document: file.per_document.unwrap_or(false),
    })
}

/// An engine that has nothing to search, and a policy on a server that cannot be spoken to.
pub(super) fn agree_on_engines(plan: &Plan) -> Resolved<()> {
    let asked = |engine| [plan.rollout.engine, plan.eval.engine].contains(&engine);
    let hybrid = asked(EngineName::Hybrid);
    if (hybrid || asked(EngineName::Bm25)) && plan.bm25.corpus.is_empty() && plan.bm25.index.is_empty() {
        return Err(Complaint::without_value("bm25.corpus", "the engine bm25 has no corpus to search").hint(
            "give it a JSONL or Parquet file with `id`, `title` and `text`, or `id` and `contents`; \
             or give bm25.index a folder that `zerosearch index` has made",
        ));
    }
    if hybrid || asked(EngineName::Dense) {
        for (key, value, what) in [
            ("dense.index", &plan.dense.index, "the engine dense has no index to search"),
            (
                "dense.encoder",
                &plan.dense.encoder,
                "the engine dense has nothing to turn a query into a vector",
            ),
        ] {
            if value.is_empty() {
                return Err(Complaint::without_value(key, what).hint(
                    "make an index with `zerosearch index CORPUS --out FOLDER --engine dense --encoder MODEL`, and \
                     name both: dense.index = \"FOLDER\", dense.encoder = \"MODEL\"",
                ));
            }
        }
    }
    if asked(EngineName::Retrieve) && plan.retrieve.urls.is_empty() {
        return Err(Complaint::without_value("retrieve.urls", "the engine retrieve has no server to ask")
            .hint("give it a list of addresses, such as [\"http://localhost:8000/retrieve\"]"));
    }
    if asked(EngineName::Web) {
        agree_on_web(plan)?;
    }
    let tokenized = plan.server.api == ApiName::Chat || !plan.server.tokenizer.is_empty();
    if plan.model.path == "server" && !tokenized {
        let what = "servers are asked in tokens over /v1/completions, and no tokenizer is named";
        return Err(Complaint::without_value("server.tokenizer", what)
            .hint("name a Hugging Face directory with the model's tokenizer, or use server.api = \"chat\""));
    }
    Ok(())
}

/// A provider that has no address, no engine, or too few documents.
fn agree_on_web(plan: &Plan) -> Resolved<()> {
    let Web { provider: named, url, cse_id, .. } = &plan.web;
    let provider = named.provider();
    if !provider.is_hosted() && url.is_empty() {
        let what = format!("{} has no address of its own", named.name());
        return Err(Complaint::without_value("web.url", what)
            .hint("give it that of an instance, such as `--set web.url=http://localhost:8080`"));
    }
    let is_google = *named == ProviderName::Google;
    if is_google == cse_id.is_empty() {
        let what = "goes together with web.provider = \"google-cse\"";
        return Err(Complaint::without_value("web.cse_id", what).hint(
            "the id of a Programmable Search Engine is in its overview, as `cx`; other providers have none",
        ));
    }
    let most = provider.most_documents();
    if plan.rollout.k > most {
        let what = format!("{} gives at most {most} documents", named.name());
        return Err(Complaint::new("rollout.k", plan.rollout.k, what));
    }
    Ok(())
}
