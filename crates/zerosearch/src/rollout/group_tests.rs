//! Facts about many conversations at once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use zerosearch_search::{Boxed, Document, Labels, Query, SearchEngine, SearchError};

use super::fakes::{Engine, Script, document, question, rollout, rules};
use super::*;
use crate::qa::Question;

/// A policy whose actions are mixed: it reads its own seed, so that members and turns differ.
fn mixed() -> Script {
    Script::new(|request, talk| {
        let name = talk.split(['>', '<']).find(|part| part.starts_with("question")).unwrap_or("nothing");
        match request.seed % 3 {
            0 => format!("<search>{name}</search>"),
            1 => "hm".into(),
            _ => format!("<answer>gold of {name}</answer>"),
        }
    })
}

fn questions(count: usize) -> Vec<Arc<Question>> {
    (0..count)
        .map(|at| question(&at.to_string(), &format!("question {at}"), &format!("gold of question {at}")))
        .collect()
}

/// The document says which question and golds came with the query.
fn echo() -> Arc<Engine> {
    Engine::new(|query| {
        let context = query.context.clone().ok_or_else(|| SearchError::BadQuery("no question".into()))?;
        Ok(vec![document(
            &query.text,
            &format!("{}: {}", context.question, context.golden_answers.join(",")),
        )])
    })
}

async fn play_mixed(count: usize, crowd: Crowd) -> Vec<Group> {
    let rollout = rollout(&Arc::new(mixed()), &echo(), rules());
    play_all(&rollout, &questions(count), crowd, &|_| {}).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_rollouts_are_the_same_whoever_finishes_first() {
    let alone = play_mixed(100, Crowd { group_size: 5, concurrency: 1 }).await;
    let together = play_mixed(100, Crowd { group_size: 5, concurrency: 500 }).await;
    assert_eq!(alone, together);
    assert_eq!(alone.len(), 100);
    for (at, group) in alone.iter().enumerate() {
        assert_eq!(group.question.id, at.to_string());
        let members: Vec<usize> = group.trajectories.iter().map(|trajectory| trajectory.member).collect();
        assert_eq!(members, [0, 1, 2, 3, 4]);
        assert!(group.trajectories.iter().all(|trajectory| trajectory.question == group.question));
    }
    assert!(alone.iter().flat_map(|group| &group.trajectories).all(|trajectory| trajectory.ending.teaches()));
}

/// The reference's bug: once some rows had stopped searching, queries got other rows' questions.
#[tokio::test]
async fn every_query_comes_with_its_own_question_while_others_answer_or_fail() {
    let groups = play_mixed(60, Crowd { group_size: 5, concurrency: 64 }).await;
    let mut searches = 0;
    for trajectory in groups.iter().flat_map(|group| &group.trajectories) {
        for document in trajectory.turns.iter().flat_map(|turn| &turn.documents) {
            let Question { text, golden_answers, .. } = &*trajectory.question;
            assert_eq!(document.title, *text);
            assert_eq!(document.text, format!("{text}: {}", golden_answers[0]));
            searches += 1;
        }
    }
    assert!(searches > 50, "{searches}");
}

#[tokio::test]
async fn members_turns_and_repeated_questions_draw_their_own_coins_and_seeds() {
    let policy = Arc::new(Script::new(|_, _| "<search>x</search>".into()));
    let engine = echo();
    let rollout = rollout(&policy, &engine, rules());
    let twice = [question("same", "question", "a"), question("same", "question", "a")];
    let crowd = Crowd { group_size: 16, concurrency: 4 };
    let groups = play_all(&rollout, &twice, crowd, &|_| {}).await;
    let requests = policy.requests.lock().unwrap();
    let seeds: HashSet<u64> = requests.iter().map(|request| request.seed).collect();
    assert_eq!((requests.len(), seeds.len()), (2 * 16 * 3, 2 * 16 * 3));
    let queries = engine.queries.lock().unwrap();
    let seeds: HashSet<u64> = queries.iter().map(|query| query.seed).collect();
    assert_eq!((queries.len(), seeds.len()), (2 * 16 * 2, 2 * 16 * 2));
    let coins = |group: &Group, turn: usize| -> Vec<Option<Labels>> {
        group.trajectories.iter().map(|trajectory| trajectory.turns[turn].labels.clone()).collect()
    };
    assert_ne!(coins(&groups[0], 0), coins(&groups[1], 0));
    assert_ne!(coins(&groups[0], 0), coins(&groups[0], 1));
    assert!(coins(&groups[0], 0).iter().any(|coin| *coin != coins(&groups[0], 0)[0]));
}

#[tokio::test]
async fn another_step_is_another_game() {
    let crowd = Crowd { group_size: 4, concurrency: 8 };
    let policy = Arc::new(mixed());
    let first = rollout(&policy, &echo(), rules());
    let second = Rollout { step: 2, seed: first.seed.index(2), ..first.clone() };
    let (first, second) = (
        play_all(&first, &questions(8), crowd, &|_| {}).await,
        play_all(&second, &questions(8), crowd, &|_| {}).await,
    );
    assert_ne!(first, second);
}

#[tokio::test]
async fn every_trajectory_is_seen_as_it_finishes() {
    let seen = Mutex::new(Vec::new());
    let rollout = rollout(&Arc::new(mixed()), &echo(), rules());
    let crowd = Crowd { group_size: 3, concurrency: 12 };
    play_all(&rollout, &questions(4), crowd, &|it| {
        seen.lock().unwrap().push((it.question.id.clone(), it.member))
    })
    .await;
    let mut seen = seen.into_inner().unwrap();
    seen.sort();
    let expected: Vec<(String, usize)> =
        (0..4).flat_map(|at: usize| (0..3).map(move |member| (at.to_string(), member))).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn no_more_than_the_limit_are_under_way_and_dropping_ends_them() {
    let policy = Arc::new(Script::new(|_, _| "<search>x</search>".into()));
    let engine = Arc::new(Stuck(AtomicUsize::new(0)));
    let rollout = Rollout {
        engine: Some(Arc::clone(&engine) as Arc<dyn SearchEngine>),
        ..rollout(&policy, &echo(), rules())
    };
    let many = questions(20);
    let crowd = Crowd { group_size: 5, concurrency: 10 };
    tokio::select! {
        biased;
        _ = play_all(&rollout, &many, crowd, &|_| {}) => panic!("the engine never answers"),
        () = all_wait(&engine.0, 10) => {}
    }
    assert_eq!(policy.requests.lock().unwrap().len(), 10);
    assert_eq!(engine.0.load(Ordering::SeqCst), 0, "searches go on after the drop");
}

async fn all_wait(waiting: &AtomicUsize, count: usize) {
    while waiting.load(Ordering::SeqCst) < count {
        tokio::task::yield_now().await;
    }
}

/// An engine that never answers and counts who waits for it.
struct Stuck(AtomicUsize);

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl SearchEngine for Stuck {
    fn search<'a>(&'a self, _: &'a Query) -> Boxed<'a, Result<Vec<Document>, SearchError>> {
        Box::pin(async {
            self.0.fetch_add(1, Ordering::SeqCst);
            let _waiting = Waiting(&self.0);
            std::future::pending().await
        })
    }

    fn name(&self) -> &str {
        "stuck"
    }

    fn identity(&self) -> String {
        "stuck".into()
    }
}
