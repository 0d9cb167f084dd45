//! A choice: which files of a repository hold the questions that are meant.

use std::collections::BTreeMap;

use zerosearch_hub::{HubError, Snapshot};

/// The files of one set of questions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// One file, or its shards in their order.
    pub(super) files: Vec<String>,
    /// The split that is still to be picked row by row: the files are not of one split.
    pub(super) split: Option<String>,
}

/// The file at `path`; or, where that is a folder (empty for all of the repository), the one set of questions in it, of
/// the files whose path names `split` if one is asked for.
///
/// # Errors
/// When there is none or several, or shards are missing; the files that there are are told.
pub(super) fn choose(snapshot: &Snapshot<'_>, path: &str, split: Option<&str>) -> Result<Choice, HubError> {
    let rows = split.map(str::to_owned);
    if snapshot.has(path) {
        return Ok(Choice { files: vec![path.to_owned()], split: rows });
    }
    if !snapshot.is_complete() {
        return Err(snapshot.lacks("without the hub it is not known which files it has"));
    }
    pick(snapshot.files(), path, split).map_err(|problem| snapshot.lacks(problem))
}

fn pick(files: &[String], path: &str, split: Option<&str>) -> Result<Choice, String> {
    let inside = if path.is_empty() { String::new() } else { format!("{path}/") };
    let mut sets: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.starts_with(&inside) && holds_questions(file)) {
        sets.entry(without_shard(file).0).or_default().push(file);
    }
    if sets.is_empty() {
        let place = if path.is_empty() { "it".to_owned() } else { format!("`{path}` of it") };
        return Err(format!("no JSONL or Parquet file is in {place}{}", has(files)));
    }
    let all: Vec<&String> = sets.keys().collect();
    let names_split =
        |name: &&&String| split.is_some_and(|split| words(&name[inside.len()..]).any(|it| it == split));
    let of_split: Vec<&String> = all.iter().filter(names_split).copied().collect();
    let (name, rows) = match (of_split.as_slice(), all.as_slice()) {
        ([one], _) => (*one, None),
        ([], [one]) => (*one, split.map(str::to_owned)),
        ([], _) if split.is_none() => return Err(format!("it has several{}; name one of them", has(files))),
        ([], _) => {
            let split = split.unwrap_or_default();
            return Err(format!("no file of it is of a split `{split}`{}", has(files)));
        }
        _ => return Err(format!("several files of it are of that split{}; name one of them", has(files))),
    };
    let mut files: Vec<String> = sets[name].iter().map(|file| (*file).clone()).collect();
    files.sort_unstable();
    let wanted = without_shard(&files[0]).1;
    if wanted.is_some_and(|wanted| wanted != files.len()) {
        let (here, wanted) = (files.len(), wanted.unwrap_or_default());
        return Err(format!("it has {here} of the {wanted} shards of `{name}`"));
    }
    Ok(Choice { files, split: rows })
}

fn holds_questions(file: &str) -> bool {
    [".jsonl", ".jsonl.gz", ".parquet"].iter().any(|ending| file.ends_with(ending))
}

/// A path without the number of its shard (`data/train-00000-of-00003.parquet` is one of `data/train.parquet`), and how
/// many shards there are.
pub(super) fn without_shard(file: &str) -> (String, Option<usize>) {
    let whole = (file.to_owned(), None);
    let Some((before, after)) = file.split_once("-of-") else { return whole };
    let Some((stem, number)) = before.rsplit_once('-') else { return whole };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let end = after.find(|it: char| !it.is_ascii_digit()).unwrap_or(after.len());
    match after[..end].parse() {
        Ok(count) if digits(number) => {
            // Older conversions put a checksum behind the number, another for each shard.
            let ending = after.rfind('.').map_or("", |dot| &after[dot..]);
            (format!("{stem}{ending}"), Some(count))
        }
        _ => whole,
    }
}

fn words(path: &str) -> impl Iterator<Item = &str> {
    path.split(|character: char| !character.is_alphanumeric())
}

/// The sets of questions of a repository, as many as fit a message.
fn has(files: &[String]) -> String {
    const MOST: usize = 12;
    let mut names: Vec<String> =
        files.iter().filter(|file| holds_questions(file)).map(|file| without_shard(file).0).collect();
    names.sort_unstable();
    names.dedup();
    let more = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    match (names.is_empty(), more) {
        (true, _) => String::new(),
        (false, 0) => format!(": it has {}", names.join(", ")),
        (false, more) => format!(": it has {} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(files: &[&str], path: &str, split: Option<&str>) -> Result<(Vec<String>, bool), String> {
        let files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
        pick(&files, path, split).map(|choice| (choice.files, choice.split.is_some()))
    }

    #[test]
    fn the_only_set_is_taken_and_rows_are_picked_where_no_name_tells_the_split() {
        let one = (vec!["q.jsonl".to_owned()], false);
        assert_eq!(picked(&["README.md", "q.jsonl"], "", None).unwrap(), one);
        assert_eq!(picked(&["README.md", "q.jsonl"], "", Some("test")).unwrap(), (one.0, true));
        let files = ["nq/dev.jsonl", "nq/test.jsonl", "popqa/test.jsonl"];
        assert_eq!(picked(&files, "nq", Some("dev")).unwrap(), (vec!["nq/dev.jsonl".to_owned()], false));
        assert_eq!(picked(&files, "popqa", None).unwrap().0, ["popqa/test.jsonl"]);
    }

    #[test]
    fn shards_are_one_set_and_have_to_be_all_there() {
        let shards = [
            "d/train-00001-of-00002.parquet",
            "d/test-00000-of-00001.parquet",
            "d/train-00000-of-00002.parquet",
        ];
        let train = picked(&shards, "", Some("train")).unwrap();
        assert_eq!(train, (vec![shards[2].to_owned(), shards[0].to_owned()], false));
        let hashed = ["t-00000-of-00002-ab12.parquet", "t-00001-of-00002-cd34.parquet"];
        assert_eq!(picked(&hashed, "", None).unwrap().0, hashed);
        let told = picked(&shards[..2], "", Some("train")).unwrap_err();
        assert_eq!(told, "it has 1 of the 2 shards of `d/train.parquet`");
    }

    #[test]
    fn what_is_not_clear_is_refused_with_the_files_that_there_are() {
        let files = ["nq/dev.jsonl", "nq/test.jsonl", "popqa/test.jsonl"];
        let listed = ": it has nq/dev.jsonl, nq/test.jsonl, popqa/test.jsonl";
        assert_eq!(
            picked(&files, "", None).unwrap_err(),
            format!("it has several{listed}; name one of them")
        );
        let told = picked(&files, "", Some("test")).unwrap_err();
        assert_eq!(told, format!("several files of it are of that split{listed}; name one of them"));
        let told = picked(&files, "", Some("train")).unwrap_err();
        assert_eq!(told, format!("no file of it is of a split `train`{listed}"));
        let told = picked(&files, "hotpotqa", None).unwrap_err();
        assert_eq!(told, format!("no JSONL or Parquet file is in `hotpotqa` of it{listed}"));
        assert_eq!(picked(&["x.csv"], "", None).unwrap_err(), "no JSONL or Parquet file is in it");
    }
}
