//! Batches made of groups, against hand arithmetic.

use std::sync::Arc;

use zerosearch_learner::{KlEstimator, KlPenalty};

use super::*;
use crate::qa::Question;
use crate::rl::{Baseline, Grpo, Reinforce};
use crate::rollout::{Ending, Scores, Transcript};

fn question(id: &str) -> Arc<Question> {
    Arc::new(Question {
        id: id.into(),
        source: "s".into(),
        text: "q".into(),
        golden_answers: vec!["x".into()],
        prompt: None,
    })
}

/// Prompt 1 2, policy 3 4 (log-probabilities -1, -2), documents 5 6 7, policy 8 (-3).
fn transcript() -> Transcript {
    let mut transcript = Transcript::default();
    transcript.show(Author::Prompt, vec![1, 2]);
    transcript.say(vec![3, 4], vec![-1.0, -2.0]);
    transcript.show(Author::Search, vec![5, 6, 7]);
    transcript.say(vec![8], vec![-3.0]);
    transcript
}

fn group(id: &str, rewards: &[f32]) -> Group {
    let question = question(id);
    let trajectory = |(member, &reward): (usize, &f32)| Trajectory {
        question: Arc::clone(&question),
        member,
        transcript: transcript(),
        opening: None,
        turns: Vec::new(),
        ending: Ending::Answered("x".into()),
        scores: Scores::default(),
        reward,
    };
    Group {
        question: Arc::clone(&question),
        trajectories: rewards.iter().enumerate().map(trajectory).collect(),
    }
}

fn broken(mut group: Group, member: usize) -> Group {
    group.trajectories[member].ending = Ending::Broken("the engine is down".into());
    group
}

fn recipe(algorithm: Algorithm) -> Recipe {
    Recipe {
        algorithm,
        objective: Objective::ClippedSurrogate { low: 0.2, high: 0.2 },
        kl: Kl::Off,
        entropy_bonus: 0.001,
        temperature: 1.0,
        updates_per_step: 1,
        mask_documents: true,
    }
}

fn referred(reference: Vec<Vec<f32>>) -> Scored {
    Scored { reference, own: Vec::new() }
}

fn leave_one_out() -> Recipe {
    recipe(Algorithm::Reinforce(Reinforce { baseline: Baseline::LeaveOneOut }))
}

fn batch(recipe: &Recipe, groups: &[Group]) -> Batch {
    recipe.batch(groups, Scored::default()).unwrap()
}

#[test]
fn only_the_policys_tokens_have_weight_and_advantage() {
    let batch = batch(&leave_one_out(), &[group("a", &[1.0, 0.0])]);
    let [update] = &batch.updates[..] else { panic!("{} updates", batch.updates.len()) };
    let example = &update.examples[1];
    assert_eq!(example.tokens, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(example.weights, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(example.advantages, [0.0, 0.0, -1.0, -1.0, 0.0, 0.0, 0.0, -1.0]);
    assert_eq!(example.old_logprobs, [0.0, 0.0, -1.0, -2.0, 0.0, 0.0, 0.0, -3.0]);
    assert!(example.reference_logprobs.is_empty());
    example.check(true, false).unwrap();
    assert_eq!((update.loss.normalizer, batch.policy_tokens, batch.trained), (6.0, 6, 2));
    assert_eq!((batch.advantage_mean, batch.advantage_std), (0.0, 1.0));
}

/// With the broken member counted, leave-one-out would give 1 - (0+0)/2 = 1 and 0 - (1+0)/2.
#[test]
fn broken_trajectories_leave_their_group_before_any_mean() {
    let batch = batch(&leave_one_out(), &[broken(group("a", &[1.0, 0.5, 0.0]), 2)]);
    let advantages: Vec<f32> =
        batch.updates[0].examples.iter().map(|example| example.advantages[2]).collect();
    assert_eq!(advantages, [0.5, -0.5]);
    assert_eq!((batch.broken, batch.trained, batch.broken_groups), (1, 2, 0));
}

#[test]
fn groups_without_any_advantage_are_skipped_and_counted() {
    let groups = [group("a", &[1.0, 1.0]), group("b", &[1.0, 0.0]), broken(group("c", &[1.0]), 0)];
    let batch = batch(&leave_one_out(), &groups);
    assert_eq!((batch.kept_groups, batch.skipped_groups, batch.broken_groups), (1, 1, 1));
    assert_eq!(batch.updates[0].examples.len(), 2);
    assert_eq!(batch.updates[0].loss.normalizer, 6.0, "skipped groups do not dilute the mean");
}

#[test]
fn a_raw_reward_group_of_all_ones_teaches_and_stays() {
    let raw = recipe(Algorithm::Reinforce(Reinforce::default()));
    let batch = batch(&raw, &[group("a", &[1.0, 1.0]), group("b", &[0.0, 0.0])]);
    assert_eq!((batch.kept_groups, batch.skipped_groups), (1, 1));
    assert_eq!(batch.updates[0].examples[0].advantages[2], 1.0);
}

#[test]
fn a_step_that_teaches_nothing_has_no_update() {
    let grpo = recipe(Algorithm::Grpo(Grpo::default()));
    let batch = batch(&grpo, &[group("a", &[0.5; 4]), group("b", &[1.0])]);
    assert_eq!((batch.updates.len(), batch.skipped_groups, batch.advantage_mean), (0, 2, 0.0));
}

#[test]
fn updates_are_runs_of_whole_groups_each_with_its_own_token_mean() {
    let groups: Vec<Group> = ["a", "b", "c"].map(|id| group(id, &[1.0, 0.0])).into();
    let split = |updates_per_step| {
        let batch = batch(&Recipe { updates_per_step, ..leave_one_out() }, &groups);
        batch.updates.iter().map(|update| (update.examples.len(), update.loss.normalizer)).collect::<Vec<_>>()
    };
    assert_eq!(split(1), [(6, 18.0)]);
    assert_eq!(split(2), [(2, 6.0), (4, 12.0)]);
    assert_eq!(split(9), [(2, 6.0), (2, 6.0), (2, 6.0)]);
}

/// By hand: against -1, -2, -3 the near reference gives .5 + 0 - .5 = 0 and the far one 3 + 2 + 1 = 6. The rewards
/// become 1 and 1 - .1 * 6 = .4, and each is compared with the other.
#[test]
fn k1_comes_off_the_reward_before_the_advantage() {
    let recipe = Recipe { kl: Kl::InReward { coefficient: 0.1 }, ..leave_one_out() };
    let groups = [group("a", &[1.0, 1.0])];
    assert_eq!(recipe.reference_rows(&groups), vec![vec![1, 2, 3, 4, 5, 6, 7, 8]; 2]);
    let near = vec![0.0, -9.0, -1.5, -2.0, -9.0, -9.0, -9.0, -2.5];
    let far = vec![0.0, -9.0, -4.0, -4.0, -9.0, -9.0, -9.0, -4.0];
    let batch = recipe.batch(&groups, referred(vec![near, far])).unwrap();
    let advantages: Vec<f32> =
        batch.updates[0].examples.iter().map(|example| example.advantages[2]).collect();
    assert!((advantages[0] - 0.6).abs() < 1e-6 && (advantages[1] + 0.6).abs() < 1e-6, "{advantages:?}");
    assert_eq!(batch.reward_kl, Some(1.0), "6 nats over 6 tokens");
    assert_eq!(batch.updates[0].loss.kl, None);
    assert!(batch.updates[0].examples[0].reference_logprobs.is_empty());
}

#[test]
fn the_loss_carries_its_penalty_and_the_rows_their_reference() {
    let penalty = KlPenalty { estimator: KlEstimator::K3, coefficient: 0.001 };
    let recipe = Recipe { kl: Kl::InLoss(penalty), ..leave_one_out() };
    let reference: Vec<Vec<f32>> = (0..2).map(|row| vec![row as f32 - 5.0; 8]).collect();
    let groups = [broken(group("a", &[1.0, 0.3, 0.0]), 1)];
    let batch = recipe.batch(&groups, referred(reference.clone())).unwrap();
    let update = &batch.updates[0];
    assert_eq!((update.loss.kl, update.loss.entropy_bonus), (Some(penalty), 0.001));
    assert_eq!(update.examples[1].reference_logprobs, reference[1]);
    update.examples.iter().for_each(|example| example.check(true, true).unwrap());
    assert_eq!(batch.reward_kl, None);
}

#[test]
fn rows_in_which_the_policy_wrote_nothing_count_for_the_mean_and_are_not_trained_on() {
    let mut groups = [group("a", &[1.0, 0.0])];
    groups[0].trajectories[1].transcript.pieces.truncate(1);
    let batch = batch(&leave_one_out(), &groups);
    assert_eq!((batch.updates[0].examples.len(), batch.trained), (1, 1));
    assert_eq!(batch.updates[0].examples[0].advantages[2], 1.0);
}

#[test]
fn what_cannot_be_trained_on_is_refused() {
    let refusal = |recipe: &Recipe, group: Group, reference| {
        recipe.batch(&[group], referred(reference)).unwrap_err().to_string()
    };
    let plain = leave_one_out();
    assert_eq!(
        refusal(&plain, group("a", &[1.0, f32::NAN]), Vec::new()),
        "question a, member 1: the reward is NaN; it must be a finite number"
    );
    let mut silent = group("b", &[1.0]);
    silent.trajectories[0].transcript.pieces[1].logprobs.clear();
    assert_eq!(
        refusal(&plain, silent, Vec::new()),
        "question b, member 0: a piece of 2 tokens came with 0 log-probabilities; train with a policy that reports \
         one for each token"
    );
    let with_kl = Recipe { kl: Kl::InReward { coefficient: 0.1 }, ..plain };
    assert_eq!(
        refusal(&with_kl, group("c", &[1.0, 0.0]), Vec::new()),
        "the policy that scores the rows scored 0 rows; the batch has 2 that need it"
    );
    assert_eq!(
        refusal(&with_kl, group("c", &[1.0]), vec![vec![0.0; 3]]),
        "the policy that scores the rows scored 3 tokens of question c; the batch has 8"
    );
}

/// The policy's tokens keep the log-probabilities that they were sampled with, documents take those that the policy
/// gives them; prompts stay out. Six tokens are trained instead of three.
#[test]
fn without_the_mask_documents_are_trained_like_the_policys_own_words() {
    let recipe = Recipe { mask_documents: false, ..leave_one_out() };
    let groups = [group("a", &[1.0, 0.0])];
    assert_eq!(recipe.own_rows(&groups), vec![vec![1, 2, 3, 4, 5, 6, 7, 8]; 2]);
    let own = vec![vec![-9.0, -9.0, -9.0, -9.0, -0.5, -0.6, -0.7, -9.0]; 2];
    let batch = recipe.batch(&groups, Scored { own, ..Scored::default() }).unwrap();
    let example = &batch.updates[0].examples[0];
    assert_eq!(example.weights, [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    assert_eq!(example.old_logprobs[2..], [-1.0, -2.0, -0.5, -0.6, -0.7, -3.0]);
    assert_eq!((batch.updates[0].loss.normalizer, batch.policy_tokens), (12.0, 12));
    let told = recipe.batch(&groups, Scored::default()).unwrap_err().to_string();
    assert_eq!(told, "the policy that scores the rows scored 0 rows; the batch has 2 that need it");
}
