//! What belongs to a recipe, and what does not.

use zerosearch_learner::text::{Message, tiny_text};

use super::*;
use crate::config::{ConfigFile, Purpose, Setting};
use crate::engines::Engines;
use crate::learners::Pool;

fn question(id: &str, text: &str, golden: &str) -> Arc<Question> {
    let golden_answers = vec![golden.to_owned()];
    Arc::new(Question { id: id.into(), source: "nq".into(), text: text.into(), golden_answers, prompt: None })
}

fn questions() -> Vec<Arc<Question>> {
    vec![question("1", "who?", "me"), question("2", "why?", "so")]
}

/// The recipe of `settings` over the scripted engine.
async fn recipe(settings: &[&str]) -> Recipe {
    let base = ["model.path=scripted", "eval.engine=scripted"];
    let settings: Vec<Setting> = base.iter().chain(settings).map(|it| it.parse().unwrap()).collect();
    let plan = ConfigFile::parse("", &settings).unwrap().resolve(Purpose::Use).unwrap();
    let desk = Engines::new(&plan, &Pool::new(&plan.model), None, None).open(plan.eval.engine).await.unwrap();
    let stage = Stage::for_evaluation(&plan, Arc::new(tiny_text()), desk).unwrap();
    Recipe::of(&plan, &stage, &questions())
}

/// The keys in which two recipes differ.
fn differing<'a>(one: &'a Recipe, other: &'a Recipe) -> Vec<&'a str> {
    let mut keys: Vec<&str> = one.entries().chain(other.entries()).map(|(key, _)| key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.retain(|key| one.get(key) != other.get(key));
    keys
}

#[tokio::test]
async fn each_choice_that_decides_answers_has_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let prompt = format!("rollout.prompt={}", file("prompt", "Question: {{ question }}"));
    let hint = format!("rollout.hint={}", file("hint", "Go on."));
    let plain = recipe(&[]).await;
    for (setting, key) in [
        (prompt.as_str(), "prompt.template"),
        (&hint, "hint"),
        ("rollout.distill=reason-in-documents", "rollout.distill"),
        ("rollout.k=7", "rollout.k"),
        ("rollout.max_turns=9", "rollout.max_turns"),
        ("rollout.max_response_tokens=77", "rollout.max_response_tokens"),
        ("rollout.max_document_tokens=77", "rollout.max_document_tokens"),
        ("rollout.max_context_tokens=777", "rollout.max_context_tokens"),
        ("rollout.document_style=search-r1", "rollout.document_style"),
        ("model.arithmetic=f32", "model.arithmetic"),
        ("eval.temperature=0.5", "eval.temperature"),
        ("eval.noise=0.25", "eval.noise"),
        ("run.seed=9", "run.seed"),
    ] {
        let other = recipe(&[setting]).await;
        assert_eq!(differing(&plain, &other), [key], "{setting}");
        assert_ne!(plain.hash(), other.hash());
    }
    assert_eq!(differing(&plain, &recipe(&["eval.engine=none"]).await)[..2], ["engine", "engine.wording"]);
}

/// A greedy policy without an engine draws nothing, and nobody is told how many documents there could have been.
#[tokio::test]
async fn what_decides_nothing_is_left_out() {
    let alone = recipe(&["eval.engine=none"]).await;
    for settings in [["rollout.k=9", "run.seed=7"], ["rollout.concurrency=3", "eval.noise=0.5"]] {
        assert_eq!(alone, recipe(&[&["eval.engine=none"], settings.as_slice()].concat()).await);
    }
    let sampled = recipe(&["eval.engine=none", "eval.temperature=1.0"]).await;
    assert_eq!(differing(&alone, &sampled), ["eval.temperature", "run.seed"]);
    let often = recipe(&["eval.engine=none", "eval.temperature=1.0", "eval.samples=3"]).await;
    assert_eq!(differing(&sampled, &often), ["eval.samples"]);
    let drawn = recipe(&["eval.engine=none", "eval.count=1"]).await;
    assert_eq!(differing(&alone, &drawn), ["run.seed"]);
}

#[tokio::test]
async fn prompts_of_rows_belong_to_it() {
    let plan = ConfigFile::parse("[model]\npath = \"scripted\"\n[eval]\nengine = \"none\"", &[]).unwrap();
    let plan = plan.resolve(Purpose::Use).unwrap();
    let stage = Stage::for_evaluation(&plan, Arc::new(tiny_text()), crate::engines::Desk::default()).unwrap();
    let recipe_of = |questions: &[Arc<Question>]| {
        let mut recipe = Recipe::default();
        recipe.put_prompt(&plan, &stage, questions);
        recipe
    };
    let own = |id: &str, words: &str| {
        let prompt = Some(vec![Message::new("user", words)]);
        Arc::new(Question { prompt, ..(*question(id, "who?", "me")).clone() })
    };
    let one = recipe_of(&[own("1", "a"), own("2", "b")]);
    assert_eq!((one.get("prompt"), one.get("prompt.template")), (Some(&json!("the rows'")), None));
    let other = recipe_of(&[own("2", "b"), own("1", "c")]);
    assert_eq!(differing(&one, &other), ["prompt.rows"]);
    let mixed = recipe_of(&[own("1", "a"), question("2", "why?", "so")]);
    assert!(mixed.get("prompt.template").is_some() && mixed.get("prompt.rows").is_some());
}

/// `printf '{"a":1,"b":["x",0.5]}' | sha256sum`, and the same for the list of questions.
#[test]
fn hashes_are_those_of_sorted_json() {
    let mut recipe = Recipe::default();
    recipe.put("b", json!(["x", 0.5]));
    recipe.put("a", 1);
    assert_eq!(recipe.hash(), "f6b2777af8061dd7");
    let [one, two] = <[_; 2]>::try_from(questions()).unwrap();
    let set = QuestionSet::of(&[Arc::clone(&two), Arc::clone(&one)]);
    assert_eq!(set, QuestionSet { hash: "9837441b59afb108".into(), count: 2 });
    assert_eq!(set, QuestionSet::of(&[one, two]));
    assert_ne!(set, QuestionSet::of(&[question("1", "who?", "you"), question("2", "why?", "so")]));
}

#[test]
fn an_engines_identity_is_taken_apart() {
    let writer = json!({"files": {"model.gguf": "ab"}, "context": 64}).to_string();
    let identity = json!({
        "engine": "hybrid", "fused": [{"engine": "bm25", "words": null}], "servers": ["a", "b"], "writer": writer,
        "system": "long ".repeat(20), "number": "12",
    });
    let mut recipe = Recipe::default();
    recipe.put_flat("engine", &Value::String(identity.to_string()));
    let expected = json!({
        "engine": "hybrid", "engine.fused.1": "bm25", "engine.fused.1.words": null, "engine.number": "12",
        "engine.servers": ["a", "b"], "engine.system": short_hash(&"long ".repeat(20)), "engine.writer.context": 64,
        "engine.writer.files.model.gguf": "ab",
    });
    assert_eq!(json!(recipe), expected);
}

#[test]
fn answers_of_two_recipes_are_a_mixture() {
    let record = |value: u64| {
        let mut recipe = Recipe::default();
        recipe.put("k", value);
        RecipeRecord::new(recipe, QuestionSet::of(&questions()))
    };
    let (one, two) = (record(1), record(2));
    assert_eq!(one.clone().after(Some(one.clone())), one);
    let mixed = two.clone().after(Some(one.clone()));
    assert_eq!(mixed.recipe.get(BEGUN_WITH), Some(&json!(one.hash)));
    assert!(mixed.hash != one.hash && mixed.hash != two.hash);
    assert_eq!(two.clone().after(Some(mixed.clone())), mixed);
    assert_eq!(two.after(None).recipe.get(BEGUN_WITH), Some(&json!("unknown")));
}

#[test]
fn a_record_that_was_changed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(RecipeRecord::read(folder.path()).unwrap(), None);
    let record = RecipeRecord::new(Recipe::default(), QuestionSet::of(&questions()));
    record.write(folder.path()).unwrap();
    assert_eq!(RecipeRecord::read(folder.path()).unwrap(), Some(record));
    let path = folder.path().join(FILE);
    let changed = std::fs::read_to_string(&path).unwrap().replace("\"recipe\": {}", "\"recipe\": {\"k\": 1}");
    std::fs::write(&path, changed).unwrap();
    let told = RecipeRecord::read(folder.path()).unwrap_err().to_string();
    assert!(told.ends_with("was changed by hand"), "{told}");
}
