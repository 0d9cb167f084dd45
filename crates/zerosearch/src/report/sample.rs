//! A sample: those conversations of the reported folders that a page has room for, chosen by rule and counted.
//!
//! | of | are shown |
//! |---|---|
//! | a training | at most 100 steps, evenly spread; of each the best, the worst and two drawn by seed |
//! | an evaluation | at most 200 questions: those that most evaluations share first, among equals drawn by seed |
//!
//! Of a training's evaluations only the first and the last are shown. What is too much for the page is halved until it
//! fits: every second step, the first half of the questions.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Result;
use rand::RngExt;
use serde::Serialize;
use zerosearch_learner::seed::Seed;
use zerosearch_learner::text::Text;

use super::comparison::Examined;
use super::conversation::{Conversation, Setting};
use super::source::{Source, numbered_files};
use super::vocabulary::Vocabularies;
use crate::eval::{Key, key_of};
use crate::run::{Directory, Row, TrajectoryLine, for_each_line, lines};

const MOST_STEPS: usize = 100;
const DRAWN: usize = 2;
const MOST_QUESTIONS: usize = 200;
/// What all conversations together may take of the page, in bytes.
const ROOM: usize = 6_000_000;

/// The conversations of one training or one evaluation.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Collection {
    name: String,
    training: bool,
    /// How many there are in the folder.
    pub(super) all: u64,
    pub(super) items: Vec<Conversation>,
}

/// The sample of `sources`, in which `all` was examined: evaluations first.
pub(super) fn sample(
    sources: &[Source],
    all: &[Examined],
    vocabularies: &Vocabularies,
) -> Result<Vec<Collection>> {
    let shown = first_and_last(sources, all);
    let trainings = sources.iter().filter(|source| !source.rows.is_empty()).count();
    let room = ROOM / (trainings + usize::from(!shown.is_empty())).max(1);
    let mut collections = examinations(sources, &shown, (vocabularies, room))?;
    for (number, source) in sources.iter().enumerate() {
        let text = vocabularies.for_source(number, source);
        collections.extend(training(source, text.as_deref(), room)?);
    }
    Ok(collections)
}

/// The conversations of a training, those of one step beside each other.
fn training(source: &Source, text: Option<&Text>, room: usize) -> Result<Option<Collection>> {
    let directory = Directory::at(&source.folder);
    let recorded: HashSet<u64> = source.rows.iter().map(Row::step).collect();
    let mut steps = numbered_files(&directory.all_trajectories(), "jsonl")?;
    steps.retain(|step| recorded.contains(step));
    let mut shown = Vec::new();
    for step in spread(&steps, MOST_STEPS) {
        shown.push(of_step(&lines(&directory.trajectories(step))?, step, text));
    }
    while shown.iter().flatten().map(Conversation::bytes).sum::<usize>() > room {
        shown = if shown.len() == 1 { Vec::new() } else { shown.into_iter().step_by(2).collect() };
    }
    let ending = |row: &Row, name: &str| row.get(&format!("endings/{name}")).unwrap_or(0.0);
    let endings = ["answered", "out_of_turns", "out_of_tokens", "broken"];
    let all: f64 = source.rows.iter().flat_map(|row| endings.map(|name| ending(row, name))).sum();
    let name = format!("{}, training", source.name);
    let collection =
        Collection { name, training: true, all: all as u64, items: shown.into_iter().flatten().collect() };
    Ok((!steps.is_empty()).then_some(collection))
}

/// At most `most` of `steps`, evenly spread, the first and the last among them.
fn spread(steps: &[u64], most: usize) -> Vec<u64> {
    if steps.len() <= most {
        return steps.to_vec();
    }
    (0..most).map(|at| steps[at * (steps.len() - 1) / (most - 1)]).collect()
}

/// The best and the worst of a step's conversations, and some drawn by the step alone.
fn of_step(played: &[TrajectoryLine], step: u64, text: Option<&Text>) -> Vec<Conversation> {
    let mut groups: HashMap<Key, Vec<f32>> = HashMap::new();
    for line in played {
        groups.entry(key_of(&line.trajectory.question)).or_default().push(line.trajectory.reward);
    }
    let shown = |number: usize| {
        let line = &played[number];
        let group = groups.get(&key_of(&line.trajectory.question)).map_or(&[][..], Vec::as_slice);
        Conversation::new(line, Setting { text, group, training: true })
    };
    let rewards: Vec<f32> = played.iter().map(|line| line.trajectory.reward).collect();
    picked(&rewards, Seed::run(1).purpose("report").index(step)).into_iter().map(shown).collect()
}

/// The numbers of the greatest, the least and some drawn `rewards`, each once, in their order.
fn picked(rewards: &[f32], seed: Seed) -> Vec<usize> {
    let numbers = 0..rewards.len();
    let best = numbers.clone().reduce(|a, b| if rewards[b] > rewards[a] { b } else { a });
    let worst = numbers.clone().reduce(|a, b| if rewards[b] < rewards[a] { b } else { a });
    let mut rest: Vec<usize> = numbers.filter(|it| Some(*it) != best && Some(*it) != worst).collect();
    let mut generator = seed.generator();
    let drawn = DRAWN.min(rest.len());
    for at in 0..drawn {
        let other = generator.random_range(at..rest.len());
        rest.swap(at, other);
    }
    let mut picked: Vec<usize> = best.into_iter().chain(worst).chain(rest[..drawn].iter().copied()).collect();
    picked.sort_unstable();
    picked.dedup();
    picked
}

/// An evaluation that is shown: its number in its source, and what it found.
type Shown<'a> = (usize, &'a Examined);

fn first_and_last<'a>(sources: &[Source], all: &'a [Examined]) -> Vec<Shown<'a>> {
    let mut shown = Vec::new();
    for number in 0..sources.len() {
        let own: Vec<Shown<'a>> = all.iter().filter(|it| it.source == number).enumerate().collect();
        shown.extend(own.first().copied());
        shown.extend(own.last().filter(|_| own.len() > 1).copied());
    }
    shown.retain(|(_, it)| it.answers.effort.conversations > 0);
    shown
}

/// The conversations of evaluations, the same questions in each as far as they are shared.
fn examinations(
    sources: &[Source],
    shown: &[Shown<'_>],
    (vocabularies, room): (&Vocabularies, usize),
) -> Result<Vec<Collection>> {
    let mut order = questions(shown);
    let wanted: HashSet<Key> = order.iter().cloned().collect();
    let mut read = Vec::new();
    for (number, it) in shown {
        let source = &sources[it.source];
        let text = vocabularies.for_source(it.source, source);
        let mut conversations: BTreeMap<Key, Conversation> = BTreeMap::new();
        for_each_line(&source.evaluations[*number].rows, |line: TrajectoryLine| {
            let key = key_of(&line.trajectory.question);
            if wanted.contains(&key) {
                let setting = Setting { text: text.as_deref(), group: &[], training: false };
                conversations.insert(key, Conversation::new(&line, setting));
            }
        })?;
        read.push(conversations);
    }
    let bytes = |order: &[Key]| -> usize {
        read.iter().flat_map(|it| order.iter().filter_map(|key| it.get(key))).map(Conversation::bytes).sum()
    };
    while bytes(&order) > room {
        order.truncate(order.len() / 2);
    }
    let collection = |((_, it), mut conversations): (&Shown<'_>, BTreeMap<Key, Conversation>)| Collection {
        name: it.title.clone(),
        training: false,
        all: it.answers.effort.conversations,
        items: order.iter().filter_map(|key| conversations.remove(key)).collect(),
    };
    Ok(shown.iter().zip(read).map(collection).collect())
}

/// Which questions are shown, and in which order: those that most evaluations have first, then as a seed draws them.
fn questions(shown: &[Shown<'_>]) -> Vec<Key> {
    let mut shared: BTreeMap<&Key, usize> = BTreeMap::new();
    for key in shown.iter().flat_map(|(_, it)| it.answers.scores.keys()) {
        *shared.entry(key).or_default() += 1;
    }
    let draw = |(source, id, words): &Key| {
        Seed::run(1).purpose("report").purpose(source).purpose(id).purpose(words).number()
    };
    let mut order: Vec<(usize, u64, &Key)> =
        shared.into_iter().map(|(key, count)| (usize::MAX - count, draw(key), key)).collect();
    order.sort_unstable();
    let mut taken = vec![0; shown.len()];
    let mut questions = Vec::new();
    for (_, _, key) in order {
        let has = |at: &usize| shown[*at].1.answers.scores.has(key);
        let having: Vec<usize> = (0..shown.len()).filter(has).collect();
        if having.iter().all(|at| taken[*at] < MOST_QUESTIONS) {
            having.into_iter().for_each(|at| taken[at] += 1);
            questions.push(key.clone());
        }
    }
    questions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_spread_evenly_with_both_ends() {
        assert_eq!(spread(&[1, 2, 3], 3), [1, 2, 3]);
        let steps: Vec<u64> = (1..=1000).collect();
        assert_eq!(spread(&steps, 4), [1, 334, 667, 1000]);
    }

    #[test]
    fn the_best_and_the_worst_are_always_shown() {
        let mut rewards = vec![0.5; 20];
        (rewards[7], rewards[13]) = (1.0, 0.0);
        let seed = Seed::run(1);
        let numbers = picked(&rewards, seed);
        assert!(numbers.len() == 4 && numbers.contains(&7) && numbers.contains(&13), "{numbers:?}");
        assert_eq!(numbers, picked(&rewards, seed));
        assert_eq!((picked(&[0.0, 0.0], seed), picked(&[], seed).len()), (vec![0, 1], 0));
    }
}
