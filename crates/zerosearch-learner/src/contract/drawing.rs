//! Draws: which tokens a policy takes, and the log-probabilities it gives them.

use futures::future::try_join_all;

use super::{Fact, Subject, all_served, served};
use crate::{Policy, SamplingRequest, TokenId};

pub(super) async fn check(subject: &Subject<'_>) {
    scores_are_a_distribution(subject).await;
    samples_are_scored_alike(subject).await;
    greedy_takes_the_likeliest(subject).await;
    draws_follow_the_temperature(subject).await;
    top_k_and_top_p_cut_the_tail(subject).await;
}

/// Log-probabilities of every token after `prompt`.
async fn next(
    fact: Fact,
    subject: &Subject<'_>,
    policy: &dyn Policy,
    prompt: &[TokenId],
    t: f32,
) -> Vec<f32> {
    let rows: Vec<Vec<TokenId>> =
        (0..subject.text.vocabulary_size() as TokenId).map(|token| [prompt, &[token]].concat()).collect();
    let scores = fact.got(policy.score(&rows, t).await);
    scores.into_iter().map(|row| row.last().copied().unwrap_or(f32::NAN)).collect()
}

async fn scores_are_a_distribution(subject: &Subject<'_>) {
    let fact = Fact("scores are log-probabilities, one for each token and 0 for the first");
    let learner = subject.taught(fact).await;
    let policy = fact.got(learner.snapshot().await);
    fact.holds(fact.got(policy.score(&[], 1.0).await).is_empty(), "no rows have no scores");
    for temperature in all_served(&learner.capabilities(), [0.7, 1.0, 1.3]) {
        let scores = fact.got(policy.score(&subject.prompts, temperature).await);
        for (row, score) in subject.prompts.iter().zip(&scores) {
            fact.holds(score.len() == row.len(), format!("{} for {} tokens", score.len(), row.len()));
            fact.holds(score[0] == 0.0, format!("the first is {}", score[0]));
        }
        let all = next(fact, subject, &*policy, &subject.prompts[1], temperature).await;
        let total: f64 = all.iter().map(|&logprob| f64::from(logprob).exp()).sum();
        fact.holds((total - 1.0).abs() < 1e-3, format!("probabilities sum to {total} at {temperature}"));
    }
}

async fn samples_are_scored_alike(subject: &Subject<'_>) {
    let fact = Fact("a sampled token's log-probability is the one that `score` gives it, untruncated");
    let learner = subject.taught(fact).await;
    let policy = fact.got(learner.snapshot().await);
    for index in 0..12 {
        let temperature = served(&learner.capabilities(), [0.7, 1.0, 1.3, 0.0][index % 4]);
        let (top_p, top_k) = ([1.0, 0.8][index / 4 % 2], [0, 9][index / 8]);
        let request = SamplingRequest { temperature, top_p, top_k, ..subject.request(index, index as u64) };
        let sample = fact.got(policy.sample(request.clone()).await);
        let row = [&request.prompt[..], &sample.tokens].concat();
        // Greedy sampling reports temperature 1.
        let scored_at = if temperature == 0.0 { 1.0 } else { temperature };
        let scores = fact.got(policy.score(&[row], scored_at).await);
        let scores = &scores[0][request.prompt.len()..];
        let what = format!("temperature {temperature}, top_p {top_p}, top_k {top_k}");
        fact.same_logprobs(&learner.capabilities(), &sample.logprobs, scores, what);
    }
}

async fn greedy_takes_the_likeliest(subject: &Subject<'_>) {
    let fact = Fact("temperature 0 takes the likeliest token, of equals the one with the lowest id");
    for learner in [subject.fresh(), subject.taught(fact).await] {
        let policy = fact.got(learner.snapshot().await);
        for index in 0..3 {
            let request = SamplingRequest { temperature: 0.0, max_tokens: 3, ..subject.request(index, 7) };
            let sample = fact.got(policy.sample(request.clone()).await);
            for (at, &token) in sample.tokens.iter().enumerate() {
                let row = [&request.prompt[..], &sample.tokens[..at]].concat();
                let all = next(fact, subject, &*policy, &row, 1.0).await;
                let best = likeliest_first(&all)[0];
                let close =
                    !learner.capabilities().exact_logprobs && (all[best] - all[token as usize]).abs() <= 1e-4;
                let seen = format!("{token} ({}), not {best} ({})", all[token as usize], all[best]);
                fact.holds(token as usize == best || close, seen);
            }
            let other = SamplingRequest { seed: 8, ..request };
            fact.holds(fact.got(policy.sample(other).await).tokens == sample.tokens, "the seed had a say");
        }
    }
}

/// Token ids, likeliest first, of equals the lowest first.
fn likeliest_first(logprobs: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..logprobs.len()).collect();
    order.sort_by(|&a, &b| logprobs[b].total_cmp(&logprobs[a]));
    order
}

/// First tokens of replies under seeds 0 to `count`.
async fn draws(fact: Fact, policy: &dyn Policy, request: &SamplingRequest, count: u64) -> Vec<usize> {
    let draw = |seed| policy.sample(SamplingRequest { max_tokens: 1, seed, ..request.clone() });
    let drawn = fact.got(try_join_all((0..count).map(draw)).await);
    drawn.into_iter().map(|sample| sample.tokens[0] as usize).collect()
}

/// The mean log-probability of draws is minus the entropy, up to the standard error that their variance allows: five of
/// them. The likeliest token's share is its probability, likewise.
async fn draws_follow_the_temperature(subject: &Subject<'_>) {
    let fact = Fact("draws follow softmax(logits / temperature)");
    let learner = subject.taught(fact).await;
    let policy = fact.got(learner.snapshot().await);
    const DRAWS: u64 = 300;
    for temperature in all_served(&learner.capabilities(), [0.5, 1.0, 2.0]) {
        let request = SamplingRequest { temperature, ..subject.request(1, 0) };
        let all = next(fact, subject, &*policy, &request.prompt, temperature).await;
        let drawn = draws(fact, &*policy, &request, DRAWS).await;
        let best = likeliest_first(&all)[0];
        for (what, value) in [
            ("log-probability", &(|token: usize| f64::from(all[token])) as &dyn Fn(usize) -> f64),
            ("share of the likeliest", &|token: usize| f64::from(u8::from(token == best))),
        ] {
            let mean_of = |value: &dyn Fn(usize) -> f64| -> f64 {
                (0..all.len()).map(|token| f64::from(all[token]).exp() * value(token)).sum()
            };
            let expected = mean_of(value);
            let variance = mean_of(&|token| (value(token) - expected).powi(2));
            let mean = drawn.iter().map(|&token| value(token)).sum::<f64>() / DRAWS as f64;
            let allowed = 5.0 * (variance / DRAWS as f64).sqrt() + 1e-6;
            let seen = format!("{what} at {temperature}: {mean}, not {expected} +- {allowed}");
            fact.holds((mean - expected).abs() <= allowed, seen);
        }
    }
}

async fn top_k_and_top_p_cut_the_tail(subject: &Subject<'_>) {
    let fact = Fact("top_k and top_p leave the likeliest tokens");
    let policy = fact.got(subject.taught(fact).await.snapshot().await);
    let request = subject.request(2, 0);
    let all = next(fact, subject, &*policy, &request.prompt, 1.0).await;
    let order = likeliest_first(&all);
    for (top_k, top_p) in [(1, 1.0), (4, 1.0), (0, 0.3), (0, 0.6), (5, 0.5)] {
        let cut = SamplingRequest { top_k, top_p, ..request.clone() };
        let by_k = if top_k == 0 { order.len() } else { top_k };
        // Among the k likeliest, probabilities are those of the k together.
        let total: f64 = order[..by_k].iter().map(|&token| f64::from(all[token]).exp()).sum();
        let mut reached = 0.0;
        let wanted = |token: &usize| {
            let wanted = reached < f64::from(top_p) * total + 1e-5;
            reached += f64::from(all[*token]).exp();
            wanted
        };
        let kept: Vec<usize> = order[..by_k].iter().copied().take_while(wanted).collect();
        let drawn = draws(fact, &*policy, &cut, 150).await;
        let outside = drawn.iter().find(|token| !kept.contains(token));
        let seen = format!("token {outside:?} with top_k {top_k}, top_p {top_p} ({} are left)", kept.len());
        fact.holds(outside.is_none(), seen);
        let first = drawn.iter().any(|&token| token != drawn[0]);
        fact.holds(kept.len() == 1 || first, "150 draws from several tokens gave always the same");
    }
}
