//! Question files of every layout, good and broken.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, FixedSizeListArray, Int64Array, LargeStringArray, ListArray, RecordBatch,
    StringArray, StructArray,
    builder::{LargeListBuilder, ListBuilder, StringBuilder},
};
use arrow_schema::Field;
use flate2::{Compression, write::GzEncoder};
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

use super::*;

fn write(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

fn read_one(path: &Path) -> Result<DataSet, QuestionError> {
    DataSet::read(&[QuestionFile::new(path)], Unusable::Refuse)
}

/// The error of reading `content`, without the folder's name.
fn complaint(content: impl AsRef<[u8]>) -> String {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "q.jsonl", content);
    let error = read_one(&path).unwrap_err().to_string();
    error.replace(&format!("{}/", folder.path().display()), "")
}

fn parquet(folder: &TempDir, name: &str, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    write(folder, name, bytes)
}

fn list(rows: &[&[&str]]) -> ListArray {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in rows {
        row.iter().for_each(|text| builder.values().append_value(text));
        builder.append(true);
    }
    builder.finish()
}

fn field(name: &str, array: &ArrayRef) -> Arc<Field> {
    Arc::new(Field::new(name, array.data_type().clone(), true))
}

fn structure(columns: Vec<(&str, ArrayRef)>) -> ArrayRef {
    Arc::new(StructArray::from(
        columns.into_iter().map(|(name, array)| (field(name, &array), array)).collect::<Vec<_>>(),
    ))
}

fn question(id: &str, source: &str, text: &str) -> Question {
    Question {
        id: id.into(),
        source: source.into(),
        text: text.into(),
        golden_answers: vec!["x".into()],
        prompt: None,
    }
}

fn numbered(count: usize) -> DataSet {
    DataSet::new(
        (0..count).map(|number| question(&number.to_string(), "s", &format!("q {number}"))).collect(),
    )
}

fn ids(questions: &[Arc<Question>]) -> Vec<&str> {
    questions.iter().map(|question| question.id.as_str()).collect()
}

#[test]
fn plain_and_flashrag_rows_are_read() {
    let folder = TempDir::new().unwrap();
    let rows = concat!(
        "\u{feff}{\"question\": \" who? \", \"golden_answers\": [\"Ann\", \"\", null, 7]}\r\n",
        "\r\n",
        "{\"id\": \"test_3\", \"question\": \"when?\", \"answer\": \"1960\", \"metadata\": {\"type\": \"bridge\"}}\n",
        "{\"id\": 12, \"question\": \"where?\", \"answers\": [\"Rome\"], \"data_source\": \"nq\", \"prompt\": \"Say where.\"}",
    );
    let set = read_one(&write(&folder, "trivia/own.jsonl", rows)).unwrap();
    let [first, second, third] = set.questions() else { panic!("{} questions", set.len()) };
    assert_eq!((first.id.as_str(), first.source.as_str(), first.text.as_str()), ("own:1", "own", "who?"));
    assert_eq!(first.golden_answers, ["Ann", "7"]);
    assert_eq!((second.id.as_str(), &second.golden_answers[..]), ("test_3", &["1960".to_string()][..]));
    assert_eq!((third.id.as_str(), third.source.as_str()), ("12", "nq"));
    assert_eq!(third.prompt.as_ref().unwrap()[0].content, "Say where.");
}

#[test]
fn a_file_named_after_its_split_takes_its_folders_name_as_source() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "hotpotqa/dev.jsonl", "{\"question\":\"q\",\"answer\":\"a\"}\n");
    assert_eq!(read_one(&path).unwrap().questions()[0].source, "hotpotqa");
    let named = QuestionFile { source: Some("mine".into()), ..QuestionFile::new(&path) };
    assert_eq!(DataSet::read(&[named], Unusable::Refuse).unwrap().questions()[0].source, "mine");
}

#[test]
fn verl_rows_are_read_from_json_lines_and_gzip() {
    let folder = TempDir::new().unwrap();
    let row = r#"{"data_source": "nq", "prompt": [{"role": "user", "content": "Question: who?\n"}], "ability": "fact-reasoning",
        "reward_model": {"style": "rule", "ground_truth": {"target": ["Ann", "Anna"]}},
        "extra_info": {"split": "train", "index": 17}, "question": "who?"}"#
        .replace('\n', " ");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(row.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    for path in [write(&folder, "a.jsonl", &row), write(&folder, "b.jsonl.gz", &gzip)] {
        let set = read_one(&path).unwrap();
        let question = &set.questions()[0];
        assert_eq!((question.source.as_str(), question.text.as_str()), ("nq", "who?"));
        assert_eq!(question.golden_answers, ["Ann", "Anna"]);
        assert_eq!(question.prompt.as_ref().unwrap()[0].content, "Question: who?\n");
    }
    let torn = write(&folder, "c.jsonl.gz", &gzip[..gzip.len() / 2]);
    assert!(read_one(&torn).unwrap_err().to_string().ends_with("ends too early; fetch it again"));
}

#[test]
fn a_split_can_be_picked() {
    let folder = TempDir::new().unwrap();
    let rows = concat!(
        "{\"question\":\"q1\",\"answer\":\"a\",\"split\":\"train\"}\n",
        "{\"question\":\"q2\",\"answer\":\"a\",\"extra_info\":{\"split\":\"test\"}}\n",
    );
    let path = write(&folder, "q.jsonl", rows);
    let of_split = |split: &str| {
        let file = QuestionFile { split: Some(split.into()), ..QuestionFile::new(&path) };
        DataSet::read(&[file], Unusable::Refuse)
    };
    assert_eq!(of_split("test").unwrap().questions()[0].text, "q2");
    assert!(of_split("dev").unwrap_err().to_string().contains("2 of other splits"));
}

#[test]
fn bad_rows_are_named() {
    let good = "{\"question\":\"q\",\"answer\":\"a\"}\n";
    for (content, expected) in [
        (String::new(), "q.jsonl: the file is empty"),
        ("[{}]".into(), "q.jsonl: this is one JSON array; write one JSON object per line instead"),
        (
            format!("{good}\n{{\"question\":\"q\",\"golden"),
            "q.jsonl, row 3: the last line is torn off in its middle; fetch the file again or delete that line",
        ),
        (
            format!("{good}{{\"question\":\"q\",\"golden_answers\":{{\"a\":1}}}}\n"),
            "q.jsonl, row 2: column `golden_answers` holds an object, not text or a list of texts",
        ),
        (
            format!("{good}{{\"question\":5,\"answer\":\"a\"}}\n"),
            "q.jsonl, row 2: column `question` holds a number, not text",
        ),
        (
            format!("{good}{{\"question\":\"  \",\"answer\":\"a\"}}\n"),
            "q.jsonl, row 2: no question: column `question` is missing or empty",
        ),
        (
            "{\"question\":\"q\",\"golden_answers\":[\"\"]}\n".into(),
            "q.jsonl, row 1: no golden answer: columns `golden_answers`, `answers`, `answer` and \
             `reward_model.ground_truth.target` are missing or empty",
        ),
        (
            "{\"question\":\"q\",\"answer\":\"a\",\"prompt\":[{\"role\":\"user\"}]}\n".into(),
            "q.jsonl, row 1: column `prompt` is not a list of messages with the texts `role` and `content`",
        ),
    ] {
        assert_eq!(complaint(content), expected);
    }
    assert!(complaint(format!("{good}\"q\"\n")).starts_with("q.jsonl, row 2: this is not a JSON object"));
    assert!(complaint(format!("{{oops}}\n{good}")).starts_with("q.jsonl, row 1: this is not JSON: "));
    let latin1 = [good.as_bytes(), b"{\"question\":\"caf\xe9\"}\n"].concat();
    assert_eq!(complaint(latin1), "q.jsonl, row 2: byte 17 is not UTF-8; convert the file to UTF-8");
}

#[test]
fn missing_files_and_folders_are_named() {
    let folder = TempDir::new().unwrap();
    assert!(
        read_one(folder.path())
            .unwrap_err()
            .to_string()
            .ends_with("this is a folder; name the question files in it")
    );
    assert!(read_one(&folder.path().join("no.jsonl")).unwrap_err().to_string().contains("no.jsonl: "));
    let nothing = DataSet::read(&[], Unusable::Refuse).unwrap_err().to_string();
    assert!(nothing.starts_with("there is no usable question in no file"), "{nothing}");
}

#[test]
fn unusable_rows_can_be_skipped_and_are_counted_but_torn_ones_cannot() {
    let folder = TempDir::new().unwrap();
    let rows = "{\"question\":\"q\",\"answer\":\"a\"}\n{\"question\":\"\"}\n{\"question\":\"q\"}\n";
    let read = |content: String| {
        DataSet::read(&[QuestionFile::new(write(&folder, "q.jsonl", content))], Unusable::Skip)
    };
    let set = read(rows.into()).unwrap();
    assert_eq!((set.len(), set.skipped()), (1, 2));
    assert!(read(format!("{rows}{{\"que")).is_err());
    let none = read("{\"question\":\"q\"}\n".into()).unwrap_err().to_string();
    assert!(none.contains("(1 rows without question or golden answer, 0 of other splits)"), "{none}");
}

#[test]
fn parquet_in_the_verl_schema_is_read() {
    let folder = TempDir::new().unwrap();
    let message = structure(vec![
        ("content", Arc::new(StringArray::from(vec!["Question: who?", "Question: when?"])) as ArrayRef),
        ("role", Arc::new(StringArray::from(vec!["user", "user"]))),
    ]);
    let prompts = FixedSizeListArray::new(field("element", &message), 1, message, None);
    let truth = structure(vec![("target", Arc::new(list(&[&["Ann", "Anna"], &["1960"]])) as ArrayRef)]);
    let sources: DictionaryArray<Int32Type> = vec!["nq", "hotpotqa"].into_iter().collect();
    let path = parquet(
        &folder,
        "train.parquet",
        vec![
            ("id", Arc::new(StringArray::from(vec![Some("train_0"), None])) as ArrayRef),
            ("question", Arc::new(LargeStringArray::from(vec!["who?", "when?"]))),
            ("data_source", Arc::new(sources)),
            ("prompt", Arc::new(prompts)),
            (
                "reward_model",
                structure(vec![
                    ("ground_truth", truth),
                    ("style", Arc::new(StringArray::from(vec!["rule", "rule"]))),
                ]),
            ),
            ("extra_info", structure(vec![("index", Arc::new(Int64Array::from(vec![0, 0])) as ArrayRef)])),
        ],
    );
    let set = read_one(&path).unwrap();
    let [first, second] = set.questions() else { panic!("{} questions", set.len()) };
    assert_eq!((first.id.as_str(), first.source.as_str(), first.text.as_str()), ("train_0", "nq", "who?"));
    assert_eq!(first.golden_answers, ["Ann", "Anna"]);
    assert_eq!(first.prompt.as_ref().unwrap()[0].role, "user");
    assert_eq!((second.id.as_str(), second.source.as_str()), ("train:2", "hotpotqa"));
    assert_eq!(second.prompt.as_ref().unwrap()[0].content, "Question: when?");
}

#[test]
fn parquet_lists_may_be_large_dictionaries_and_hold_nulls() {
    let folder = TempDir::new().unwrap();
    let mut answers = LargeListBuilder::new(StringBuilder::new());
    answers.values().append_null();
    answers.values().append_value("Ann");
    answers.append(true);
    answers.append(false);
    let questions = StringArray::from(vec!["who?", "when?"]);
    let columns: Vec<(&str, ArrayRef)> =
        vec![("question", Arc::new(questions)), ("golden_answers", Arc::new(answers.finish()))];
    let path = parquet(&folder, "q.parquet", columns);
    let error = read_one(&path).unwrap_err().to_string();
    assert!(error.contains("q.parquet, row 2: no golden answer"), "{error}");
    let set = DataSet::read(&[QuestionFile::new(&path)], Unusable::Skip).unwrap();
    assert_eq!((set.len(), set.skipped()), (1, 1));
    assert_eq!(set.questions()[0].golden_answers, ["Ann"]);
}

#[test]
fn parquet_that_is_torn_or_about_something_else_is_refused() {
    let folder = TempDir::new().unwrap();
    let other =
        parquet(&folder, "o.parquet", vec![("text", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)]);
    assert!(
        read_one(&other).unwrap_err().to_string().contains("no column is called question, golden_answers")
    );
    let bytes = fs::read(&other).unwrap();
    let torn = write(&folder, "t.parquet", &bytes[..bytes.len() / 2]);
    let error = read_one(&torn).unwrap_err().to_string();
    assert!(
        error.contains("the Parquet file cannot be read") && error.ends_with("is it complete?"),
        "{error}"
    );
    let wrong = Int64Array::from(vec![4]);
    let wrong = parquet(&folder, "w.parquet", vec![("question", Arc::new(wrong) as ArrayRef)]);
    let error = read_one(&wrong).unwrap_err().to_string();
    assert!(error.ends_with("row 1: column `question` holds a number, not text"), "{error}");
}

#[test]
fn ids_are_unique_across_files() {
    let folder = TempDir::new().unwrap();
    let row = "{\"id\":\"7\",\"question\":\"q\",\"answer\":\"a\"}\n";
    let files =
        ["nq.jsonl", "popqa.jsonl"].map(|name| QuestionFile::new(write(&folder, name, row.repeat(2))));
    let set = DataSet::read(&files, Unusable::Refuse).unwrap();
    assert_eq!(ids(set.questions()), ["7", "nq/7", "popqa/7", "popqa/7#2"]);
}

#[test]
fn every_epoch_asks_each_question_at_most_once_and_in_its_own_order() {
    let set = numbered(10);
    let stream = set.stream(3, Seed::run(1)).unwrap();
    assert_eq!(stream.batches_per_epoch(), 3);
    let epoch = |first: u64| -> Vec<String> {
        (first..first + 3).flat_map(|step| stream.batch(step)).map(|question| question.id.clone()).collect()
    };
    for first in [1, 4] {
        let distinct: HashSet<String> = epoch(first).into_iter().collect();
        assert_eq!(distinct.len(), 9);
    }
    assert_ne!(epoch(1), epoch(4));
    let again = set.stream(3, Seed::run(1)).unwrap();
    assert_eq!(ids(&again.batch(5)), ids(&stream.batch(5)));
    assert_ne!(ids(&set.stream(3, Seed::run(2)).unwrap().batch(5)), ids(&stream.batch(5)));
}

#[test]
fn a_batch_larger_than_the_set_is_refused() {
    assert_eq!(
        numbered(2).stream(3, Seed::run(1)).unwrap_err().to_string(),
        "a batch takes 3 different questions, the data set has 2; ask for fewer or add questions"
    );
    assert!(numbered(2).stream(0, Seed::run(1)).is_err());
}

#[test]
fn a_sample_is_drawn_by_its_seed_and_keeps_the_order() {
    let drawn = |seed| ids(numbered(100).sample(10, Seed::run(seed)).questions()).join(" ");
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
    let numbers: Vec<usize> = drawn(1).split(' ').map(|id| id.parse().unwrap()).collect();
    assert_eq!(numbers.len(), 10);
    assert!(numbers.is_sorted());
    assert_eq!(numbered(3).sample(10, Seed::run(1)).len(), 3);
}

#[test]
fn as_many_are_drawn_from_each_set_whatever_else_there_is() {
    let of = |source: &str, count| -> Vec<Question> {
        (0..count).map(|number| question(&format!("{source}{number}"), source, "q")).collect()
    };
    let drawn = |questions| {
        let sample = DataSet::new(questions).sample(10, Seed::run(1));
        ids(sample.questions()).join(" ")
    };
    let (nq, other) = (of("nq", 50), of("other", 4));
    assert_eq!(drawn(other.clone()), "other0 other1 other2 other3");
    assert_eq!(drawn([other.clone(), nq.clone()].concat()), [drawn(other), drawn(nq)].join(" "));
}

#[test]
fn no_question_counts_twice_and_no_two_files_become_one_set_unasked() {
    let folder = TempDir::new().unwrap();
    let row = "{\"question\":\"who?\",\"golden_answers\":[\"a\"]}\n";
    let [one, two] =
        ["a/part.jsonl", "b/part.jsonl"].map(|name| QuestionFile::new(write(&folder, name, row)));
    let told = |files: &[QuestionFile]| DataSet::read(files, Unusable::Refuse).unwrap_err().to_string();
    assert!(told(&[one.clone(), one.clone()]).contains("a/part.jsonl is named twice"));
    let namesakes = told(&[one.clone(), two.clone()]);
    assert!(namesakes.contains("taken for one data set, `part`: give them names, A="), "{namesakes}");
    let named = |name: &str, file: &QuestionFile| QuestionFile { source: Some(name.into()), ..file.clone() };
    for files in [[named("x", &one), named("y", &two)], [named("x", &one), named("x", &two)]] {
        assert_eq!(DataSet::read(&files, Unusable::Refuse).unwrap().len(), 2);
    }
    let told = row.replace("}", ",\"data_source\":\"nq\"}");
    let both = ["c/part.jsonl", "d/part.jsonl"].map(|name| QuestionFile::new(write(&folder, name, &told)));
    assert_eq!(
        DataSet::read(&both, Unusable::Refuse).unwrap().len(),
        2,
        "their rows say what set they are of"
    );
}

#[test]
fn a_slice_skips_and_limits() {
    assert_eq!(ids(numbered(5).slice(1, Some(2)).questions()), ["1", "2"]);
    assert_eq!(ids(numbered(5).slice(4, None).questions()), ["4"]);
    assert!(numbered(5).slice(9, None).is_empty());
}

#[test]
fn overlap_is_found_by_words_and_can_be_taken_out() {
    let train =
        DataSet::new(vec![question("t1", "s", "Who was the King?"), question("t2", "s", "Where is Rome?")]);
    let evaluation = DataSet::new(vec![question("e1", "s", "who was king"), question("e2", "s", "when?")]);
    let found = overlap(train.questions(), evaluation.questions());
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].train.id.as_str(), found[0].evaluation.id.as_str()), ("t1", "e1"));
    let (train, removed) = train.without(&evaluation);
    assert_eq!((ids(train.questions()), removed), (vec!["t2"], 1));
    assert!(overlap(train.questions(), evaluation.questions()).is_empty());
}
