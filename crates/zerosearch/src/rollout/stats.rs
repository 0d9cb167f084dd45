//! Statistics: what the conversations of one step looked like, as numbers with slash names.

use zerosearch_search::{Label, Labels};

use super::{Action, Author, Ending, Group, Trajectory, Turn};

/// The statistics of `groups`, always the same names in the same order, 0 where there is nothing to take a mean of.
/// Broken trajectories are counted (`endings/broken`, `env/broken_ratio`) and otherwise left out.
///
/// - `reward/{mean,std,min,max}`: over trajectories, the standard deviation that of the whole population.
/// - `reward/frac_zero_std`: share of groups whose rewards are all equal.
/// - `score/{em,sub_em,f1}`: means.
/// - `response_length/{mean,max}`: tokens that the policy wrote; `clip_ratio`: share of trajectories in which a turn
///   hit `max_response_tokens` or the context ran out.
/// - `prompt_length/{mean,max}`, `sequence_length/{mean,max}`: tokens of the prompt, tokens of the whole row.
/// - `num_turns/mean`, `tool_call_counts/mean`: turns and search calls, per trajectory.
/// - `env/ratio_of_valid_action`: share of turns that searched or answered; `env/number_of_valid_search`: searches in
///   all; `env/finish_ratio`: share of trajectories with an answer.
/// - `endings/...`: counts.
/// - `state_tokens/coverage`: share of the tokens after the prompt that are the policy's; `documents/tokens_mean`:
///   tokens that searches added, per trajectory.
/// - `curriculum/noise_drawn`: share of the coins that fell on noise: one for each search call, or for each document.
pub fn statistics(groups: &[Group], max_response_tokens: usize) -> Vec<(&'static str, f64)> {
    let all: Vec<&Trajectory> = groups.iter().flat_map(|group| &group.trajectories).collect();
    let sound: Vec<&Trajectory> =
        all.iter().copied().filter(|trajectory| trajectory.ending.teaches()).collect();
    let mut numbers = rewards(&sound, groups);
    numbers.extend(lengths(&sound, max_response_tokens));
    numbers.extend(actions(&sound));
    numbers.extend(endings(&all));
    numbers
}

fn rewards(sound: &[&Trajectory], groups: &[Group]) -> Vec<(&'static str, f64)> {
    let reward: Vec<f64> = sound.iter().map(|trajectory| f64::from(trajectory.reward)).collect();
    let middle = mean(reward.iter().copied());
    let score =
        |pick: fn(&Trajectory) -> f32| mean(sound.iter().map(|trajectory| f64::from(pick(trajectory))));
    vec![
        ("reward/mean", middle),
        ("reward/std", mean(reward.iter().map(|value| (value - middle).powi(2))).sqrt()),
        ("reward/min", reward.iter().copied().reduce(f64::min).unwrap_or(0.0)),
        ("reward/max", reward.iter().copied().reduce(f64::max).unwrap_or(0.0)),
        ("reward/frac_zero_std", mean(groups.iter().filter_map(all_equal).map(share))),
        ("score/em", score(|trajectory| trajectory.scores.em)),
        ("score/sub_em", score(|trajectory| trajectory.scores.sub_em)),
        ("score/f1", score(|trajectory| trajectory.scores.f1)),
    ]
}

/// Whether a group's rewards are all equal; nothing for a group without a sound trajectory.
fn all_equal(group: &Group) -> Option<bool> {
    let mut rewards = group.trajectories.iter().filter(|it| it.ending.teaches()).map(|it| it.reward);
    let first = rewards.next()?;
    Some(rewards.all(|reward| reward == first))
}

fn lengths(sound: &[&Trajectory], max_response_tokens: usize) -> Vec<(&'static str, f64)> {
    let by = |author: Author| move |trajectory: &&Trajectory| written(trajectory, author);
    let all = |trajectory: &&Trajectory| trajectory.transcript.len() as f64;
    let shown = |trajectory: &&Trajectory| all(trajectory) - written(trajectory, Author::Prompt);
    let policy: f64 = sound.iter().map(by(Author::Policy)).sum();
    let after_prompt: f64 = sound.iter().map(shown).sum();
    let clipped = |trajectory: &&Trajectory| share(hit_a_limit(trajectory, max_response_tokens));
    vec![
        ("response_length/mean", mean(sound.iter().map(by(Author::Policy)))),
        ("response_length/max", sound.iter().map(by(Author::Policy)).fold(0.0, f64::max)),
        ("response_length/clip_ratio", mean(sound.iter().map(clipped))),
        ("prompt_length/mean", mean(sound.iter().map(by(Author::Prompt)))),
        ("prompt_length/max", sound.iter().map(by(Author::Prompt)).fold(0.0, f64::max)),
        ("sequence_length/mean", mean(sound.iter().map(all))),
        ("sequence_length/max", sound.iter().map(all).fold(0.0, f64::max)),
        ("documents/tokens_mean", mean(sound.iter().map(by(Author::Search)))),
        ("state_tokens/coverage", quotient(policy, after_prompt)),
    ]
}

fn actions(sound: &[&Trajectory]) -> Vec<(&'static str, f64)> {
    let turns: f64 = sound.iter().map(|trajectory| trajectory.turns.len() as f64).sum();
    let invalid =
        sound.iter().flat_map(|trajectory| &trajectory.turns).filter(|turn| turn.action == Action::Invalid);
    let searches: f64 = sound.iter().map(|trajectory| searches(trajectory)).sum();
    let (noisy, labelled) = labels(sound);
    vec![
        ("num_turns/mean", quotient(turns, sound.len() as f64)),
        ("tool_call_counts/mean", quotient(searches, sound.len() as f64)),
        ("env/ratio_of_valid_action", quotient(turns - invalid.count() as f64, turns)),
        ("env/number_of_valid_search", searches),
        ("curriculum/noise_drawn", quotient(noisy, labelled)),
    ]
}

fn endings(all: &[&Trajectory]) -> Vec<(&'static str, f64)> {
    let count =
        |is: fn(&Ending) -> bool| all.iter().filter(|trajectory| is(&trajectory.ending)).count() as f64;
    let answered = count(|ending| matches!(ending, Ending::Answered(_)));
    let broken = count(|ending| matches!(ending, Ending::Broken(_)));
    let all = all.len() as f64;
    vec![
        ("endings/answered", answered),
        ("endings/out_of_turns", count(|ending| matches!(ending, Ending::OutOfTurns))),
        ("endings/out_of_tokens", count(|ending| matches!(ending, Ending::OutOfTokens))),
        ("endings/broken", broken),
        ("env/finish_ratio", quotient(answered, all - broken)),
        ("env/broken_ratio", quotient(broken, all)),
    ]
}

fn written(trajectory: &Trajectory, author: Author) -> f64 {
    let pieces = trajectory.transcript.pieces.iter().filter(|piece| piece.author == author);
    pieces.map(|piece| piece.tokens.len()).sum::<usize>() as f64
}

fn hit_a_limit(trajectory: &Trajectory, max_response_tokens: usize) -> bool {
    let mut responses = trajectory.transcript.pieces.iter().filter(|piece| piece.author == Author::Policy);
    trajectory.ending == Ending::OutOfTokens
        || responses.any(|piece| piece.tokens.len() >= max_response_tokens)
}

/// Search calls that an engine answered: there are labels or documents, or the conversation went on after it.
fn searches(trajectory: &Trajectory) -> f64 {
    let turns = &trajectory.turns;
    let answered = |(at, turn): &(usize, &Turn)| {
        let went_on = *at + 1 < turns.len();
        matches!(turn.action, Action::Search(_))
            && (turn.labels.is_some() || !turn.documents.is_empty() || went_on)
    };
    turns.iter().enumerate().filter(answered).count() as f64
}

/// How many labels were noisy, and how many there were. A label for a whole call counts once.
fn labels(sound: &[&Trajectory]) -> (f64, f64) {
    let turns = sound.iter().flat_map(|trajectory| trajectory.opening_and_turns());
    let given = turns.filter_map(|turn| turn.labels.as_ref());
    let each = given.flat_map(|labels| match labels {
        Labels::All(label) => std::slice::from_ref(label),
        Labels::Each(labels) => labels,
    });
    each.fold((0.0, 0.0), |(noisy, all), label| (noisy + share(*label == Label::Noisy), all + 1.0))
}

fn share(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    quotient(sum, count)
}

fn quotient(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use super::super::fakes::question;
    use super::super::{Scores, Transcript};
    use super::*;

    fn trajectory(reward: f32, ending: Ending, policy_tokens: usize, turns: Vec<Turn>) -> Trajectory {
        let mut transcript = Transcript::default();
        transcript.show(Author::Prompt, vec![1; 10]);
        transcript.say(vec![2; policy_tokens], vec![-1.0; policy_tokens]);
        transcript.show(Author::Search, vec![3; 6]);
        let scores = Scores { em: 0.0, sub_em: 1.0, f1: reward };
        Trajectory {
            question: question("1", "q", "a"),
            member: 0,
            transcript,
            opening: None,
            turns,
            ending,
            scores,
            reward,
        }
    }

    fn turn(action: Action, labels: Option<Labels>) -> Turn {
        Turn { labels, ..Turn::new(action) }
    }

    fn group(trajectories: Vec<Trajectory>) -> Group {
        Group { question: Arc::clone(&trajectories[0].question), trajectories }
    }

    /// By hand, over the three sound trajectories with rewards 1, 0, .5, policy tokens 4, 2, 6, and the turns below.
    #[test]
    fn numbers_match_hand_arithmetic() {
        let search = |label| turn(Action::Search("x".into()), Some(Labels::All(label)));
        let answer = turn(Action::Answer("a".into()), None);
        let answered = Ending::Answered("a".into());
        let groups = [
            group(vec![
                trajectory(1.0, answered.clone(), 4, vec![search(Label::Noisy), answer.clone()]),
                trajectory(0.0, Ending::OutOfTurns, 2, vec![turn(Action::Invalid, None)]),
            ]),
            group(vec![
                trajectory(0.5, answered, 6, vec![search(Label::Useful), search(Label::Useful), answer]),
                trajectory(9.0, Ending::Broken("down".into()), 99, Vec::new()),
            ]),
        ];
        let numbers: HashMap<_, _> = statistics(&groups, 6).into_iter().collect();
        for (name, expected) in [
            ("reward/mean", 0.5),
            ("reward/std", (0.5_f64 / 3.0).sqrt()),
            ("reward/min", 0.0),
            ("reward/max", 1.0),
            ("reward/frac_zero_std", 0.5),
            ("score/sub_em", 1.0),
            ("response_length/mean", 4.0),
            ("response_length/max", 6.0),
            ("response_length/clip_ratio", 1.0 / 3.0),
            ("prompt_length/mean", 10.0),
            ("sequence_length/max", 22.0),
            ("documents/tokens_mean", 6.0),
            ("state_tokens/coverage", 12.0 / 30.0),
            ("num_turns/mean", 2.0),
            ("tool_call_counts/mean", 1.0),
            ("env/ratio_of_valid_action", 5.0 / 6.0),
            ("env/number_of_valid_search", 3.0),
            ("curriculum/noise_drawn", 1.0 / 3.0),
            ("endings/answered", 2.0),
            ("endings/out_of_turns", 1.0),
            ("endings/out_of_tokens", 0.0),
            ("endings/broken", 1.0),
            ("env/finish_ratio", 2.0 / 3.0),
            ("env/broken_ratio", 0.25),
        ] {
            assert!((numbers[name] - expected).abs() < 1e-12, "{name}: {}", numbers[name]);
        }
    }

    #[test]
    fn no_trajectory_leaves_no_name_out_and_no_number_undefined() {
        let broken = group(vec![trajectory(0.0, Ending::Broken("down".into()), 3, Vec::new())]);
        let full = group(vec![trajectory(0.0, Ending::OutOfTokens, 3, Vec::new())]);
        let names =
            |groups: &[Group]| -> Vec<&str> { statistics(groups, 5).iter().map(|(name, _)| *name).collect() };
        assert_eq!(names(&[]), names(std::slice::from_ref(&full)));
        assert!(
            statistics(&[], 5).iter().chain(&statistics(&[broken], 5)).all(|(_, number)| number.is_finite())
        );
    }
}
