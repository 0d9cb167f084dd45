//! Facts about encoders: the numbers of PyTorch, the manners of models known by name, and what is refused.

use std::path::{Path, PathBuf};

use ndarray::Array2;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use zerosearch_hub::loopback::{Loopback, Play};

use super::*;

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bert-tiny")
}

fn choice(pooling: Pooling, normalize: bool) -> MannerChoice {
    MannerChoice { pooling: Some(pooling), normalize: Some(normalize), ..MannerChoice::default() }
}

/// A small XLM-RoBERTa with pieces of words as SentencePiece cuts them; it reads 24 tokens of its 26 places.
fn roberta() -> PathBuf {
    tiny().with_file_name("xlm-roberta-tiny")
}

fn expected(model: &Path) -> Vec<Value> {
    let text = std::fs::read(model.join("expected.json")).unwrap();
    serde_json::from_slice::<Value>(&text).unwrap()["rows"].as_array().unwrap().clone()
}

fn texts(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|row| row["text"].as_str().unwrap().to_owned()).collect()
}

/// `expected.json` names the versions of transformers and PyTorch that computed it, one text at a time.
#[test]
fn vectors_are_those_of_pytorch() {
    let manners = [(Pooling::Mean, true, "mean"), (Pooling::Cls, false, "cls")];
    let models = [tiny(), roberta()];
    for (model, (pooling, normalize, column)) in
        models.iter().flat_map(|it| manners.map(|manner| (it, manner)))
    {
        let rows = expected(model);
        let encoder = Encoder::open(model, &choice(pooling, normalize)).unwrap();
        assert_eq!(encoder.record().manner.max_tokens, 24);
        let vectors = encoder.encode(Side::Passage, &texts(&rows)).unwrap();
        for (row, vector) in rows.iter().zip(vectors.rows()) {
            for (x, wanted) in vector.iter().zip(row[column].as_array().unwrap()) {
                let off = (f64::from(*x) - wanted.as_f64().unwrap()).abs();
                assert!(off < 5e-6, "{column} of {}: {x} and {wanted}", row["text"]);
            }
        }
    }
}

#[test]
fn a_text_is_encoded_alike_alone_and_among_others() {
    let encoder = Encoder::open(&tiny(), &choice(Pooling::Mean, true)).unwrap();
    let mut many = texts(&expected(&tiny()));
    for n in 0..200 {
        many.push(format!("text {n} {}", "of a letter ".repeat(n % 7)));
    }
    let together = encoder.encode(Side::Query, &many).unwrap();
    assert_eq!(together, encoder.encode(Side::Query, &many).unwrap());
    for at in [0, 3, 50, 204] {
        let alone = encoder.encode(Side::Query, &many[at..=at]).unwrap();
        let off = (&alone.row(0) - &together.row(at)).mapv(f32::abs).sum();
        assert!(off < 1e-5, "{}: {off}", many[at]);
    }
}

/// As their model cards on the hub say.
#[test]
fn models_are_known_by_name() {
    for (name, family) in [
        ("e5-base-v2", Some(Family::E5)),
        ("multilingual-e5-small", Some(Family::E5)),
        ("e5", Some(Family::E5)),
        ("bge-small-en-v1.5", Some(Family::Bge)),
        ("all-MiniLM-L6-v2", Some(Family::AllMiniLm)),
        ("multilingual-e5-large-instruct", None),
        ("bge-m3", None),
        ("cafe5", None),
        ("model", None),
    ] {
        assert_eq!(Family::of_name(name), family, "{name}");
    }
}

/// Prefixes stand before both sides of E5: a text of 24 tokens is cut after its prefix was put there.
#[test]
fn the_name_of_a_folder_decides_prefixes_pooling_and_scale() {
    let folder = tempfile::tempdir().unwrap();
    let manner = |name: &str, choice: &MannerChoice| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        for file in ["config.json", "tokenizer.json", "model.safetensors"] {
            std::fs::copy(tiny().join(file), path.join(file)).unwrap();
        }
        Encoder::open(&path, choice).map(|encoder| encoder.record().manner.clone())
    };
    let usual = MannerChoice::default();
    let e5 = manner("e5-small-v2", &usual).unwrap();
    assert_eq!((e5.query_prefix.as_str(), e5.passage_prefix.as_str()), ("query: ", "passage: "));
    assert_eq!((e5.pooling, e5.normalize, e5.max_tokens), (Pooling::Mean, true, 24));
    let bge = manner("bge-small-en-v1.5", &usual).unwrap();
    assert_eq!(bge.query_prefix, "Represent this sentence for searching relevant passages: ");
    assert_eq!((bge.passage_prefix.as_str(), bge.pooling), ("", Pooling::Cls));
    let own =
        MannerChoice { query_prefix: Some("q ".into()), max_tokens: Some(9), ..MannerChoice::default() };
    let own = manner("e5-small-v2", &own).unwrap();
    assert_eq!(
        (own.query_prefix.as_str(), own.passage_prefix.as_str(), own.max_tokens),
        ("q ", "passage: ", 9)
    );
    let told = manner("model", &usual).unwrap_err().to_string();
    assert!(told.contains("no known family"), "{told}");
    let family = MannerChoice { family: Some(Family::E5), ..MannerChoice::default() };
    assert_eq!(manner("model", &family).unwrap(), e5);
    let long = MannerChoice { max_tokens: Some(25), ..MannerChoice::default() };
    assert!(manner("e5-small-v2", &long).unwrap_err().to_string().contains("3 to 24 tokens, not 25"));
}

/// The family is known by the id, though the cache keeps the files in a folder that is called after a commit.
#[test]
fn an_encoder_may_be_named_by_its_id_on_the_hub() {
    let names = ["config.json", "tokenizer.json", "model.safetensors"];
    let files = names.map(|name| (name, std::fs::read(tiny().join(name)).unwrap()));
    let server = Loopback::start(Play { repository: "org/e5-tiny", ..Play::of(files) }).unwrap();
    let cache = tempfile::tempdir().unwrap();
    let hub = server.hub(cache.path());
    let usual = MannerChoice::default();
    let encoder = Encoder::open(&encoder_folder("org/e5-tiny", &hub).unwrap(), &usual).unwrap();
    assert_eq!(
        (encoder.record().name.as_str(), encoder.record().manner.pooling),
        ("org/e5-tiny", Pooling::Mean)
    );
    let again = encoder_folder("org/e5-tiny", &hub.clone().offline()).unwrap();
    assert_eq!(Encoder::again(&again, encoder.record()).unwrap().record(), encoder.record());
    assert_eq!(encoder_folder(tiny().to_str().unwrap(), &hub).unwrap(), tiny());
    let told = encoder_folder("org/other", &hub).unwrap_err().to_string();
    assert!(
        told.contains("no encoder in a folder `org/other`") && told.contains("no such repository"),
        "{told}"
    );
}

#[test]
fn a_prefix_is_part_of_what_is_encoded() {
    let with = MannerChoice { query_prefix: Some("query: ".into()), ..choice(Pooling::Mean, true) };
    let encoder = Encoder::open(&tiny(), &with).unwrap();
    let plain = Encoder::open(&tiny(), &choice(Pooling::Mean, true)).unwrap();
    let (bare, full) = (["who".to_owned()], ["query: who".to_owned()]);
    assert_eq!(encoder.encode(Side::Query, &bare).unwrap(), plain.encode(Side::Passage, &full).unwrap());
    assert_eq!(encoder.encode(Side::Passage, &bare).unwrap(), plain.encode(Side::Query, &bare).unwrap());
}

fn write_table(folder: &Path, tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) {
    let views = tensors
        .iter()
        .map(|(name, kind, shape, bytes)| (*name, TensorView::new(*kind, shape.clone(), bytes).unwrap()));
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// By hand: tokens share the vectors (1, 0), (0, 2) by turns, the even ones weigh 1 and the odd ones 3. In the fixture's
/// tokenizer `a` is token 5 and `b` token 6: their mean is (1 * (1, 0) + 3 * ... ) / 2 as spelled out below; what is not
/// known is left out, and nothing gives zeros.
#[test]
fn a_static_embedding_is_a_weighted_mean() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(tiny().join("tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    let tokens = 93;
    let places: Vec<u8> = (0..tokens).flat_map(|token: i64| (token % 2).to_le_bytes()).collect();
    let weights: Vec<f32> = (0..tokens).map(|token| if token % 2 == 0 { 1.0 } else { 3.0 }).collect();
    write_table(
        folder.path(),
        &[
            ("embeddings", Dtype::F32, vec![2, 2], bytes(&[1.0, 0.0, 0.0, 2.0])),
            ("mapping", Dtype::I64, vec![tokens as usize], places),
            ("weights", Dtype::F32, vec![tokens as usize], bytes(&weights)),
        ],
    );
    let vectors = |normalize| {
        let choice = MannerChoice { normalize: Some(normalize), ..MannerChoice::default() };
        let texts = ["b a".to_owned(), "\u{1f1eb} b".to_owned(), String::new()];
        Encoder::open(folder.path(), &choice).unwrap().encode(Side::Passage, &texts).unwrap()
    };
    let plain = Array2::from_shape_vec((3, 2), vec![0.5, 3.0, 1.0, 0.0, 0.0, 0.0]).unwrap();
    assert_eq!(vectors(false), plain);
    assert_eq!(vectors(true).row(1).to_vec(), [1.0, 0.0]);
    assert_eq!(vectors(true).row(2).to_vec(), [0.0, 0.0]);
}

#[test]
fn what_is_no_encoder_is_refused_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let told = || Encoder::open(folder.path(), &choice(Pooling::Mean, true)).unwrap_err().to_string();
    assert!(told().contains("model.safetensors cannot be read"));
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(tiny().join(file), folder.path().join(file)).unwrap();
    }
    let config: Value = serde_json::from_slice(&std::fs::read(tiny().join("config.json")).unwrap()).unwrap();
    for (key, value, what) in [
        ("model_type", json!("t5"), "it is a `t5`; known are `bert`"),
        ("model_type", json!("roberta"), "it is a `roberta`"),
        ("hidden_act", json!("relu"), "`hidden_act` is not `gelu`"),
        ("num_attention_heads", json!(3), "no multiple of its heads"),
        ("intermediate_size", json!(33), "`encoder.layer.0.intermediate.dense.weight` is 32 x 16"),
        ("num_hidden_layers", json!(3), "no tensor `encoder.layer.2"),
    ] {
        let mut other = config.clone();
        other[key] = value;
        std::fs::write(folder.path().join("config.json"), other.to_string()).unwrap();
        assert!(told().contains(what), "{}", told());
    }
    std::fs::copy(tiny().join("config.json"), folder.path().join("config.json")).unwrap();
    let weights = std::fs::read(tiny().join("model.safetensors")).unwrap();
    std::fs::write(folder.path().join("model.safetensors"), &weights[..weights.len() - 4]).unwrap();
    assert!(told().contains("not a whole safetensors file"));
}

#[test]
fn an_index_gets_the_encoder_that_made_it_or_none() {
    let encoder = Encoder::open(&tiny(), &choice(Pooling::Cls, false)).unwrap();
    let again = Encoder::again(&tiny(), encoder.record()).unwrap();
    assert_eq!(again.record(), encoder.record());
    let other = EncoderRecord { weights: "0".into(), ..encoder.record().clone() };
    assert!(Encoder::again(&tiny(), &other).unwrap_err().to_string().contains("other weights or tokenizer"));
}
