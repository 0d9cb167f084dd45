//! Locating: from what was written to files of this machine, fetched from the hub where they lie there.

use std::path::PathBuf;

use zerosearch_hub::{Hub, HubError, Repository};

use super::choice::{choose, without_shard};
use super::written::{Place, Written};
use crate::qa::{QuestionError, QuestionFile};

/// Where a question file of the hub comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The repository, at the revision that was asked for.
    pub repository: Repository,
    /// The commit that this was at.
    pub commit: String,
    /// The path in it.
    pub file: String,
}

impl Origin {
    /// Its address, as it would be written.
    pub fn address(&self) -> String {
        format!("{}/{}", self.repository, self.file)
    }

    /// What tells the data set's name: the path in the repository, without what tells nothing.
    pub(in crate::qa) fn telling_path(&self) -> PathBuf {
        let (file, _) = without_shard(&self.file);
        let repository = self.repository.name().rsplit('/').next().unwrap_or_default();
        [repository].into_iter().chain(file.split('/').filter(|part| *part != "data")).collect()
    }
}

/// Refuses what can be told to be no place of questions without asking anybody.
///
/// # Errors
/// An address that is none; a bare name that is neither a file nor a known set.
pub fn check_places<'a>(written: impl IntoIterator<Item = &'a String>) -> Result<(), QuestionError> {
    written.into_iter().try_for_each(|text| Written::parse(text).map(drop))
}

/// The files that are meant, in the order in which they are written; those of the hub are fetched.
///
/// # Errors
/// As [`check_places`]; when the hub does not have or give them.
pub fn locate<'a>(
    written: impl IntoIterator<Item = &'a String>,
    hub: &Hub,
) -> Result<Vec<QuestionFile>, QuestionError> {
    let mut files = Vec::new();
    for text in written {
        let Written { source, place, split } = Written::parse(text)?;
        match place {
            Place::Disk(path) => {
                files.push(QuestionFile { name: text.clone(), path, source, split, origin: None });
            }
            Place::Hub(repository, path) => {
                let file = |found: Found| QuestionFile {
                    name: found.origin.address(),
                    path: found.path,
                    source: source.clone(),
                    split: found.split,
                    origin: Some(found.origin),
                };
                files.extend(fetch(hub, &repository, &path, split.as_deref())?.into_iter().map(file));
            }
        }
    }
    Ok(files)
}

/// A file that was fetched.
struct Found {
    path: PathBuf,
    origin: Origin,
    split: Option<String>,
}

fn fetch(
    hub: &Hub,
    repository: &Repository,
    path: &str,
    split: Option<&str>,
) -> Result<Vec<Found>, HubError> {
    hub.take(repository, |snapshot| {
        let choice = choose(snapshot, path, split)?;
        let found = |file: String| {
            let path = snapshot.file(&file)?;
            let origin =
                Origin { repository: repository.clone(), commit: snapshot.commit().to_owned(), file };
            Ok(Found { path, origin, split: choice.split.clone() })
        };
        choice.files.into_iter().map(found).collect()
    })
}

#[cfg(test)]
mod tests {
    use zerosearch_hub::loopback::{COMMIT, Loopback, Play};

    use super::*;
    use crate::qa::{DataSet, Unusable};

    fn row(question: &str) -> Vec<u8> {
        format!("{{\"question\":\"{question}\",\"golden_answers\":[\"a\"]}}\n").into_bytes()
    }

    fn play() -> Play {
        let files = [
            ("nq/test.jsonl", row("one?")),
            ("nq/dev.jsonl", row("two?")),
            ("data/train-00000-of-00002.jsonl", row("three?")),
            ("data/train-00001-of-00002.jsonl", row("four?")),
        ];
        Play { repository: "datasets/RUC-NLPIR/FlashRAG_datasets", ..Play::of(files) }
    }

    fn asked(hub: &Hub, written: &str) -> Result<Vec<(String, String, String)>, QuestionError> {
        let set = DataSet::read(&locate([&written.to_owned()], hub)?, Unusable::Refuse)?;
        let told = set.questions().iter().map(|it| (it.text.clone(), it.source.clone(), it.id.clone()));
        Ok(told.collect())
    }

    fn told(text: &str, source: &str, id: &str) -> (String, String, String) {
        (text.into(), source.into(), id.into())
    }

    #[test]
    fn a_set_of_the_paper_and_a_set_of_shards_are_asked_from_the_hub() {
        let (server, cache) = (Loopback::start(play()).unwrap(), tempfile::tempdir().unwrap());
        let hub = server.hub(cache.path());
        assert_eq!(asked(&hub, "nq").unwrap(), [told("one?", "nq", "test:1")]);
        let repository = "hf://datasets/RUC-NLPIR/FlashRAG_datasets";
        assert_eq!(asked(&hub, &format!("{repository}/nq@dev")).unwrap(), [told("two?", "nq", "dev:1")]);
        let shards = asked(&hub, &format!("{repository}/@train")).unwrap();
        let ids = ["train-00000-of-00002:1", "train-00001-of-00002:1"];
        let source = "FlashRAG_datasets";
        assert_eq!(shards, [told("three?", source, ids[0]), told("four?", source, ids[1])]);
        assert_eq!(asked(&hub.clone().offline(), &format!("{repository}/@train")).unwrap(), shards);
        let several = asked(&hub, repository).unwrap_err().to_string();
        assert!(
            several.contains("it has several: it has data/train.jsonl, nq/dev.jsonl, nq/test.jsonl"),
            "{several}"
        );
        let gone = asked(&hub, &format!("{repository}/nq/train.jsonl")).unwrap_err().to_string();
        assert!(gone.contains("no JSONL or Parquet file is in `nq/train.jsonl` of it"), "{gone}");
    }

    #[test]
    fn a_file_of_the_hub_keeps_its_address_and_commit() {
        let (server, cache) = (Loopback::start(play()).unwrap(), tempfile::tempdir().unwrap());
        let files = locate([&"nq".to_owned()], &server.hub(cache.path())).unwrap();
        assert_eq!(files[0].name, "hf://datasets/RUC-NLPIR/FlashRAG_datasets/nq/test.jsonl");
        assert_eq!(files[0].origin.as_ref().unwrap().commit, COMMIT);
    }
}
