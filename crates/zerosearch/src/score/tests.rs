//! A scoring that is left and taken up again, with the bigram model: its scores follow from a row alone.

use super::*;
use crate::config::{ConfigFile, Purpose, Setting};
use crate::learners::{Pool, open_voice};
use crate::stop::{Reason, Stop, Stopper};

/// A folder with rows of one to five tokens, every third one as text.
fn desk(count: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let row = |n: usize| match n % 3 {
        0 => format!("{{\"text\":\"row {n}\"}}\n\n"),
        _ => format!("{{\"tokens\":{:?}}}\n", &[97, n % 97, 98, n % 31, 99][..1 + n % 5]),
    };
    std::fs::write(folder.path().join("rows.jsonl"), (0..count).map(row).collect::<String>()).unwrap();
    folder
}

async fn open(folder: &Path, temperature: f32, settings: &[Setting]) -> Result<Scoring> {
    let model = [&[Setting::of("model", "path", "bigram")], settings].concat();
    let plan = ConfigFile::parse("", &model)?.resolve(Purpose::Use)?;
    let voice = open_voice((&plan.model, &plan.adapter), 0, 0, &Pool::new(&plan.model)).await?;
    let basis = Basis::new(plan, &voice, temperature);
    Scoring::open(voice, &basis, &folder.join("rows.jsonl"), &folder.join("out.jsonl")).await
}

async fn refusal(folder: &Path, temperature: f32, settings: &[Setting]) -> String {
    let error = open(folder, temperature, settings).await.map(|_| ()).unwrap_err();
    crate::problem::report(&error)
}

async fn scored(folder: &Path) -> String {
    let mut scoring = open(folder, 1.0, &[]).await.unwrap();
    scoring.run().await.unwrap();
    scoring.finish().unwrap();
    let names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "nothing is left beside the rows and the result: {names:?}");
    std::fs::read_to_string(folder.join("out.jsonl")).unwrap()
}

/// What a crash leaves: what the draft is made of, its first lines, and `torn`.
async fn crash(folder: &Path, lines: &str, torn: &str) {
    let _ = std::fs::remove_file(folder.join("out.jsonl"));
    drop(open(folder, 1.0, &[]).await.unwrap());
    std::fs::write(folder.join(".out.jsonl.part"), format!("{lines}{torn}")).unwrap();
}

fn first(lines: &str, count: usize) -> String {
    lines.lines().take(count).map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn a_scoring_that_was_left_ends_as_one_that_never_was() {
    let desk = desk(50);
    let folder = desk.path();
    let whole = scored(folder).await;
    assert_eq!(whole.lines().count(), 50);
    for (kept, torn) in [(0, ""), (1, ""), (17, "{\"tokens\":[97"), (50, ""), (49, "{")] {
        crash(folder, &first(&whole, kept), torn).await;
        let scoring = open(folder, 1.0, &[]).await.unwrap();
        assert!(scoring.so_far().starts_with(&format!("{kept} of 50 rows are scored, in ")));
        drop(scoring);
        assert_eq!(scored(folder).await, whole, "{kept} lines and `{torn}`");
    }
}

#[tokio::test]
async fn whoever_asks_to_stop_finds_the_rows_and_no_result() {
    let desk = desk(5);
    let mut scoring = open(desk.path(), 1.0, &[]).await.unwrap();
    let (stopper, stop) = Stopper::new();
    stopper.stop(Reason::Interrupted);
    assert!(stop.or(scoring.run()).await.is_err());
    drop(scoring);
    assert!(!desk.path().join("out.jsonl").exists());
    assert_eq!(scored(desk.path()).await.lines().count(), 5);
    let mut scoring = open(desk.path(), 1.0, &[]).await.unwrap();
    assert!(Stop::never().or(scoring.run()).await.is_ok());
}

#[tokio::test]
async fn lines_of_another_basis_or_of_other_rows_are_refused() {
    let desk = desk(6);
    let folder = desk.path();
    let whole = scored(folder).await;
    crash(folder, &first(&whole, 3), "").await;
    let told = refusal(folder, 0.5, &[]).await;
    assert!(
        told.contains(".out.jsonl.part were scored with temperature 1, not 0.5\nhint: name another"),
        "{told}"
    );
    let arithmetic = [Setting::of("model", "arithmetic", "f32")];
    let told = refusal(folder, 1.0, &arithmetic).await;
    assert!(told.contains("model.arithmetic = \"bf16\", not \"f32\""), "{told}");

    let rows = std::fs::read_to_string(folder.join("rows.jsonl")).unwrap();
    for other in [first(&rows, 2), rows.replace("row 0", "row 9")] {
        std::fs::write(folder.join("rows.jsonl"), other).unwrap();
        let told = refusal(folder, 1.0, &[]).await;
        assert!(told.contains(".out.jsonl.part is about another row"), "{told}");
    }
}

#[tokio::test]
async fn every_row_is_checked_before_the_first_is_scored() {
    let desk = desk(6);
    let folder = desk.path();
    let rows = std::fs::read_to_string(folder.join("rows.jsonl")).unwrap();
    let long = format!("{{\"tokens\":{:?}}}", vec![1; 600]);
    for (row, problem) in [
        ("{\"words\":\"a\"}", "is not a row"),
        ("{\"tokens\":[]}", "is not a row"),
        ("{\"tokens\":[1,70000]}", "cannot be scored\nbecause: token 70000 is not in the vocabulary"),
        (&long, "is too long\nbecause: it has 600 tokens, the model reads 512"),
    ] {
        std::fs::write(folder.join("rows.jsonl"), format!("{rows}{row}\n")).unwrap();
        let told = refusal(folder, 1.0, &[Setting::of("model", "context", 512)]).await;
        assert!(told.contains(&format!("rows.jsonl, line 9, {problem}")), "{told}");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn two_processes_do_not_write_one_file() {
    let desk = desk(2);
    let held = open(desk.path(), 1.0, &[]).await.unwrap();
    let told = refusal(desk.path(), 1.0, &[]).await;
    assert!(told.contains("another process is writing"), "{told}");
    drop(held);
}
