//! A summary: what conversations showed, none dropped, with an interval on every score.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zerosearch_learner::seed::Seed;
use zerosearch_search::Golds;

use super::bootstrap::{Interval, bootstrap, bootstrap_of_sets, mean};
use super::{RecipeRecord, Score, Tokens};
use crate::engines::CacheUse;
use crate::rollout::{Action, Ending, Group, Trajectory};
use crate::run::VERSION;

/// What an evaluation found. A broken conversation counts as a wrong answer and is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The version of this form.
    pub version: u32,
    /// Names how the answers were obtained and scored ([`RecipeRecord::hash`]); none in a file from before there were
    /// recipes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recipe: Option<String>,
    /// Names the questions; none in such a file.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub questions_hash: Option<String>,
    /// Questions asked.
    pub questions: usize,
    /// Conversations about them; 0 in a file from before they were counted.
    #[serde(default)]
    pub conversations: usize,
    /// Conversations that ended in an answer, right or wrong.
    pub answered: usize,
    /// Conversations that something of ours broke.
    pub broken: usize,
    /// Rows of the question files without a question or an answer, left out before anything was asked.
    #[serde(default)]
    pub unusable: usize,
    /// Mean number of searches in a conversation.
    pub searches_per_question: f64,
    /// Mean tokens of a conversation; none in a file from before they were counted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tokens: Option<Tokens>,
    /// What the engine found.
    #[serde(default)]
    pub searches: Searches,
    /// What came from a cache; nothing where results are not kept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cache: Option<CacheUse>,
    /// Mean reward: what decides which checkpoint is the best.
    pub reward: f64,
    /// Over all questions.
    pub all: Intervals,
    /// The plain mean over the data sets, however many questions each has.
    pub mean: Means,
    /// The same means with their intervals: each data set is resampled within itself; none in a file from before they
    /// were computed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mean_intervals: Option<Intervals>,
    /// For each data set.
    pub sources: BTreeMap<String, Intervals>,
}

/// What an engine found in all conversations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Searches {
    /// Searches that were followed by documents.
    pub with_documents: usize,
    /// Mean number of documents of such a search.
    pub documents_per_search: f64,
    /// The share of such searches with a golden answer in a document, over the questions whose answers can be looked
    /// for; null without any.
    pub gold_share: Option<f64>,
    /// Questions that were searched for without a golden answer in any document.
    pub questions_without_gold: usize,
}

/// The three scores of one set of questions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// Questions in it.
    pub questions: usize,
    /// Exact match.
    pub em: Interval,
    /// Containment.
    pub sub_em: Interval,
    /// Token F1.
    pub f1: Interval,
}

/// Three plain means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Means {
    /// Exact match.
    pub em: f64,
    /// Containment.
    pub sub_em: f64,
    /// Token F1.
    pub f1: f64,
}

/// What `groups` show, each with as many conversations as the others. The same groups and seed give the same numbers.
pub fn summarize(groups: &[Group], seed: Seed) -> Summary {
    let rows: Vec<&Trajectory> = groups.iter().flat_map(|group| &group.trajectories).collect();
    let mut by_source: BTreeMap<&str, Vec<&Group>> = BTreeMap::new();
    for group in groups {
        by_source.entry(&group.question.source).or_default().push(group);
    }
    let sources: BTreeMap<String, Intervals> = by_source
        .iter()
        .map(|(source, groups)| ((*source).to_owned(), intervals(groups, seed.purpose(source))))
        .collect();
    let asked = rows
        .iter()
        .flat_map(|row| row.opening_and_turns())
        .filter(|turn| matches!(turn.action, Action::Search(_)));
    let plain = |score: fn(&Intervals) -> f64| mean(&sources.values().map(score).collect::<Vec<_>>());
    Summary {
        version: VERSION,
        recipe: None,
        questions_hash: None,
        questions: groups.len(),
        conversations: rows.len(),
        answered: rows.iter().filter(|row| matches!(row.ending, Ending::Answered(_))).count(),
        broken: rows.iter().filter(|row| matches!(row.ending, Ending::Broken(_))).count(),
        unusable: 0,
        searches_per_question: asked.count() as f64 / rows.len().max(1) as f64,
        tokens: Some(Tokens::of(rows.iter().copied())),
        searches: searches(groups),
        cache: None,
        reward: mean(&rows.iter().map(|row| f64::from(row.reward)).collect::<Vec<_>>()),
        all: intervals(&groups.iter().collect::<Vec<_>>(), seed.purpose("all questions")),
        mean: Means {
            em: plain(|it| it.em.mean),
            sub_em: plain(|it| it.sub_em.mean),
            f1: plain(|it| it.f1.mean),
        },
        mean_intervals: mean_intervals(by_source.values(), seed.purpose("mean over sets")),
        sources,
    }
}

fn searches(groups: &[Group]) -> Searches {
    let mut found = Searches::default();
    let (mut documents, mut judged, mut hits) = (0, 0, 0);
    for group in groups {
        let golds = Golds::new(group.question.golden_answers.iter().map(String::as_str));
        let turns = group.trajectories.iter().flat_map(Trajectory::opening_and_turns);
        let (mut own, mut own_hits) = (0, 0);
        for turn in turns.filter(|turn| !turn.documents.is_empty()) {
            own += 1;
            documents += turn.documents.len();
            let holds = turn.documents.iter().any(|document| golds.in_document(document));
            own_hits += usize::from(holds);
        }
        found.with_documents += own;
        if !golds.is_empty() {
            (judged, hits) = (judged + own, hits + own_hits);
            found.questions_without_gold += usize::from(own > 0 && own_hits == 0);
        }
    }
    found.documents_per_search = documents as f64 / found.with_documents.max(1) as f64;
    found.gold_share = (judged > 0).then(|| hits as f64 / judged as f64);
    found
}

fn intervals(groups: &[&Group], seed: Seed) -> Intervals {
    Intervals::of(groups.len(), |score| bootstrap(&values(groups, score), seed.purpose(score.key())))
}

/// Of the mean of all of `sets`; nothing without any.
fn mean_intervals<'a>(sets: impl Iterator<Item = &'a Vec<&'a Group>>, seed: Seed) -> Option<Intervals> {
    let sets: Vec<&Vec<&Group>> = sets.collect();
    let interval = |score: Score| {
        let values: Vec<Vec<f64>> = sets.iter().map(|set| values(set, score)).collect();
        bootstrap_of_sets(&values, seed.purpose(score.key())).unwrap_or_else(|| bootstrap(&[], seed))
    };
    let questions = sets.iter().map(|set| set.len()).sum();
    (!sets.is_empty()).then(|| Intervals::of(questions, interval))
}

/// What each question scored: the mean over its conversations.
fn values(groups: &[&Group], score: Score) -> Vec<f64> {
    let of_group = |group: &&Group| {
        let rows = group.trajectories.iter().map(|row| f64::from(score.of(&row.scores)));
        mean(&rows.collect::<Vec<_>>())
    };
    groups.iter().map(of_group).collect()
}

impl Intervals {
    /// What `interval` gives for each score.
    fn of(questions: usize, interval: impl Fn(Score) -> Interval) -> Self {
        Self { questions, em: interval(Score::Em), sub_em: interval(Score::SubEm), f1: interval(Score::F1) }
    }
}

impl Summary {
    /// The same, of answers that were obtained as `record` says.
    #[must_use]
    pub fn of_recipe(self, record: &RecipeRecord) -> Self {
        let (recipe, questions) = (record.hash.clone(), record.questions.hash.clone());
        Self { recipe: Some(recipe), questions_hash: Some(questions), ..self }
    }

    /// Whether no larger share than `max_broken_share` of the conversations is broken: a worse evaluation measures our
    /// outages, not the policy.
    pub fn is_sound(&self, max_broken_share: f64) -> bool {
        self.broken as f64 <= max_broken_share * self.conversations as f64
    }

    /// The summary in one line.
    pub fn line(&self) -> String {
        format!(
            "EM {:.3}  sub-EM {:.3}  F1 {:.3}  searches {:.2}  answered {}/{}  broken {}  {}",
            self.all.em.mean,
            self.all.sub_em.mean,
            self.all.f1.mean,
            self.searches_per_question,
            self.answered,
            self.conversations,
            self.broken,
            self.names()
        )
    }

    /// What names the recipe and the questions, in words.
    fn names(&self) -> String {
        let known = |hash: &Option<String>| hash.clone().unwrap_or_else(|| "unknown".into());
        format!("recipe {}  questions {}", known(&self.recipe), known(&self.questions_hash))
    }

    /// The summary as a table: a line for each data set, one for all questions, and one for the mean over data sets
    /// where there are several, each score with its interval; last what names the recipe.
    pub fn table(&self) -> String {
        let mut table = format!("{:<18}{:>6}   {:<22}{:<22}{:<22}\n", "", "n", "EM", "sub-EM", "F1");
        let named = self.sources.iter().map(|(name, intervals)| (name.as_str(), intervals));
        let means = self.mean_intervals.iter().filter(|_| self.sources.len() > 1);
        let means = means.map(|means| ("mean over sets", means));
        for (name, it) in named.chain([("all", &self.all)]).chain(means) {
            let (em, sub_em, f1) = (it.em.words(), it.sub_em.words(), it.f1.words());
            table.push_str(&format!("{name:<18}{:>6}   {em:<22}{sub_em:<22}{f1:<22}\n", it.questions));
        }
        table.push_str(&format!(
            "searches per question {:.2}, answered {} of {}, broken {}\n",
            self.searches_per_question, self.answered, self.conversations, self.broken
        ));
        if let Some(tokens) = &self.tokens {
            table.push_str(&tokens.line());
        }
        if self.searches.with_documents > 0 {
            table.push_str(&self.searches.line());
        }
        if let Some(cache) = &self.cache {
            table.push_str(&cache.line());
        }
        if self.unusable > 0 {
            table
                .push_str(&format!("{} rows without a question or an answer were left out\n", self.unusable));
        }
        table.push_str(&self.names());
        table.push('\n');
        table
    }
}

impl Searches {
    fn line(&self) -> String {
        let gold = match self.gold_share {
            Some(share) => format!(
                "a golden answer in {share:.3} of them, in none for {} questions",
                self.questions_without_gold
            ),
            None => "no golden answer that could be looked for".into(),
        };
        format!(
            "searches with documents {}, {:.1} documents each; {gold}\n",
            self.with_documents, self.documents_per_search
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use zerosearch_search::{Document, Provenance};

    use super::*;
    use crate::qa::Question;
    use crate::rollout::{Scores, Transcript, Turn};

    fn group(source: &str, ending: Ending, f1: f32) -> Group {
        let question = Arc::new(Question {
            id: format!("{source}:1"),
            source: source.into(),
            text: "who?".into(),
            golden_answers: vec!["me".into()],
            prompt: None,
        });
        let turn = Turn::new(Action::Search("x".into()));
        let trajectory = Trajectory {
            question: Arc::clone(&question),
            member: 0,
            transcript: Transcript::default(),
            opening: None,
            turns: vec![turn],
            ending,
            scores: Scores { f1, ..Scores::default() },
            reward: f1,
        };
        Group { question, trajectories: vec![trajectory] }
    }

    /// By hand: F1 of 1, 0.5, 0 (broken) is 0.5 over all; nq has 0.75, hotpotqa 0, their plain mean is 0.375.
    #[test]
    fn nothing_is_dropped_and_a_broken_row_counts_as_zero() {
        let groups = [
            group("nq", Ending::Answered("me".into()), 1.0),
            group("nq", Ending::OutOfTurns, 0.5),
            group("hotpotqa", Ending::Broken("down".into()), 0.0),
        ];
        let summary = summarize(&groups, Seed::run(1));
        assert_eq!((summary.questions, summary.answered, summary.broken), (3, 1, 1));
        assert_eq!((summary.all.f1.mean, summary.mean.f1, summary.searches_per_question), (0.5, 0.375, 1.0));
        assert_eq!(summary.sources["hotpotqa"].f1, Interval { mean: 0.0, low: 0.0, high: 0.0 });
        assert_eq!(summary, summarize(&groups, Seed::run(1)));
        // Without spread in either set there is none in their mean.
        let means = summary.mean_intervals.unwrap();
        assert_eq!((means.questions, means.f1.mean), (3, 0.375));
        assert_eq!(means.em, Interval { mean: 0.0, low: 0.0, high: 0.0 });
        assert!(summarize(&[], Seed::run(1)).mean_intervals.is_none());
    }

    /// As version 0.1 wrote them before there were recipes.
    #[test]
    fn an_old_file_is_read_and_what_it_lacks_stays_unknown() {
        let interval = serde_json::json!({"mean": 0.5, "low": 0.25, "high": 0.75});
        let scores = serde_json::json!({"questions": 2, "em": interval, "sub_em": interval, "f1": interval});
        let old = serde_json::json!({
            "version": 1, "questions": 2, "answered": 2, "broken": 0, "searches_per_question": 1.0, "reward": 0.5,
            "all": scores, "mean": {"em": 0.5, "sub_em": 0.5, "f1": 0.5}, "sources": {"nq": scores},
        });
        let read: Summary = serde_json::from_value(old).unwrap();
        assert_eq!((&read.recipe, &read.tokens, &read.mean_intervals), (&None, &None, &None));
        assert!(read.table().ends_with("recipe unknown  questions unknown\n"), "{}", read.table());
    }

    /// By hand: scores 1 and 0 of two conversations are 0.5 of one question; both searches have documents, one of them
    /// with the answer. The question "yes" cannot be looked for.
    #[test]
    fn several_conversations_are_one_question_and_documents_are_looked_through() {
        let found = |source: &str, f1: f32, text: &str| {
            let mut group = group(source, Ending::Answered("me".into()), f1);
            let document =
                Document { title: "On".into(), text: text.into(), provenance: Provenance::default() };
            group.trajectories[0].turns[0].documents = vec![document];
            group
        };
        let mut nq = found("nq", 1.0, "it was me");
        nq.trajectories.extend(found("nq", 0.0, "nobody").trajectories);
        let mut verdict = found("other", 1.0, "yes");
        verdict.question =
            Arc::new(Question { golden_answers: vec!["yes".into()], ..(*verdict.question).clone() });
        let lost = found("lost", 0.0, "nobody");
        let summary = summarize(&[nq, verdict, lost], Seed::run(1));
        assert_eq!((summary.questions, summary.conversations, summary.answered), (3, 4, 4));
        assert_eq!((summary.sources["nq"].f1.mean, summary.all.f1.mean), (0.5, 0.5));
        let expected = Searches {
            with_documents: 4,
            documents_per_search: 1.0,
            gold_share: Some(1.0 / 3.0),
            questions_without_gold: 1,
        };
        assert_eq!(summary.searches, expected);
    }
}
