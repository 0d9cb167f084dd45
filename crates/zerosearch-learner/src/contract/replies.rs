//! Replies: when they end, and what they depend on.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;

use super::{Fact, Subject, served};
use crate::{Capabilities, Sample, SamplingRequest, StopReason};

pub(super) async fn check(subject: &Subject<'_>) {
    at_most_max_tokens(subject).await;
    rows_end_with_the_context(subject).await;
    stop_tokens_end_a_reply(subject).await;
    stop_strings_work_across_tokens(subject).await;
    the_prompt_completes_no_stop_string(subject).await;
    stop_tokens_come_before_stop_strings(subject).await;
    seeds_decide(subject).await;
    replies_are_independent(subject).await;
    what_is_told_is_what_is_sampled(subject).await;
}

async fn at_most_max_tokens(subject: &Subject<'_>) {
    let fact = Fact("a reply has at most `max_tokens` tokens");
    let policy = fact.got(subject.taught(fact).await.snapshot().await);
    for max_tokens in [0, 1, 5] {
        let request = SamplingRequest { max_tokens, ..subject.request(0, 1) };
        let sample = fact.got(policy.sample(request).await);
        let seen = format!("{} of {max_tokens}, stopped by {:?}", sample.tokens.len(), sample.stop);
        fact.holds(sample.tokens.len() == max_tokens && sample.stop == StopReason::Length, seen);
        fact.holds(sample.logprobs.len() == max_tokens, "each token has a log-probability");
    }
}

async fn rows_end_with_the_context(subject: &Subject<'_>) {
    let fact = Fact("a reply ends where the context is full");
    let policy = fact.got(subject.fresh().snapshot().await);
    let room = policy.context_length();
    // A context that takes minutes to fill is left alone.
    if room > 4096 {
        return;
    }
    let prompt: Vec<_> = subject.prompts[0].iter().copied().cycle().take(room - 3).collect();
    for (prompt, left) in [(prompt.clone(), 3), ([&prompt[..], &prompt[..3]].concat(), 0)] {
        let sample = fact.got(policy.sample(SamplingRequest { prompt, ..subject.request(0, 1) }).await);
        let seen = format!("{} tokens where {left} fit", sample.tokens.len());
        fact.holds(sample.tokens.len() == left && sample.stop == StopReason::Length, seen);
    }
}

async fn stop_tokens_end_a_reply(subject: &Subject<'_>) {
    let fact = Fact("a stop token ends a reply, and is its last token");
    let policy = fact.got(subject.taught(fact).await.snapshot().await);
    for seed in 0..6 {
        let request = subject.request(seed as usize, seed);
        let whole = fact.got(policy.sample(request.clone()).await);
        let stop = whole.tokens[4 + seed as usize];
        let end = whole.tokens.iter().position(|&token| token == stop).unwrap_or_default();
        let stop_tokens = vec![u32::MAX, stop];
        let cut = fact.got(policy.sample(SamplingRequest { stop_tokens, ..request }).await);
        is_cut(fact, &cut, &whole, (end + 1, StopReason::StopToken));
    }
}

/// Fails unless `cut` is the first `length` tokens of `whole`.
fn is_cut(fact: Fact, cut: &Sample, whole: &Sample, (length, reason): (usize, StopReason)) {
    let seen =
        format!("{:?} after {:?}, not {reason:?} after {length} of {:?}", cut.stop, cut.tokens, whole.tokens);
    fact.holds(cut.stop == reason && cut.tokens == whole.tokens[..length], &seen);
    fact.holds(cut.logprobs == whole.logprobs[..length], &seen);
}

/// The byte after which `stop` is complete for the first time.
fn completed(bytes: &[u8], stop: &str) -> Option<usize> {
    Some(bytes.windows(stop.len()).position(|window| window == stop.as_bytes())? + stop.len())
}

/// A reply as bytes, and where each of its tokens ends.
fn spelled(subject: &Subject<'_>, sample: &Sample) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = Vec::new();
    let ends = sample.tokens.iter().map(|&token| {
        bytes.extend_from_slice(subject.text.bytes(token));
        bytes.len()
    });
    let ends = ends.collect();
    (bytes, ends)
}

/// The bytes on both sides of `place`, if they are ASCII.
fn around(bytes: &[u8], place: usize) -> Option<String> {
    let pair = bytes.get(place.checked_sub(1)?..=place)?;
    pair.is_ascii().then(|| String::from_utf8_lossy(pair).into_owned())
}

/// The strings to look for are taken from replies: two letters with a border of tokens between them. A reply must end with
/// the token that completes its string for the first time.
async fn stop_strings_work_across_tokens(subject: &Subject<'_>) {
    let fact = Fact("a stop string ends a reply, with the token that completes it");
    let policy = fact.got(subject.taught(fact).await.snapshot().await);
    let mut tried = 0;
    for seed in 0..40 {
        let request = subject.request(seed as usize, seed);
        let whole = fact.got(policy.sample(request.clone()).await);
        let (bytes, ends) = spelled(subject, &whole);
        for &border in &ends {
            let Some(stop) = around(&bytes, border) else { continue };
            let Some(done) = completed(&bytes, &stop) else { continue };
            let length = ends.iter().take_while(|&&end| end < done).count() + 1;
            let stop_strings = vec!["no such words are in it".to_owned(), stop];
            let cut = fact.got(policy.sample(SamplingRequest { stop_strings, ..request.clone() }).await);
            is_cut(fact, &cut, &whole, (length, StopReason::StopString(1)));
            tried += 1;
        }
    }
    fact.holds(tried >= 5, format!("only {tried} replies had such a string; other prompts are needed"));
}

async fn the_prompt_completes_no_stop_string(subject: &Subject<'_>) {
    let fact = Fact("only what is newly written completes a stop string");
    let policy = fact.got(subject.taught(fact).await.snapshot().await);
    let mut tried = 0;
    for seed in 0..40 {
        let request = subject.request(seed as usize, seed);
        let whole = fact.got(policy.sample(request.clone()).await);
        let (bytes, _) = spelled(subject, &whole);
        let prompt: Vec<u8> =
            request.prompt.iter().flat_map(|&token| subject.text.bytes(token)).copied().collect();
        let both = [&prompt[..], &bytes].concat();
        let Some(stop) = around(&both, prompt.len()).filter(|stop| completed(&bytes, stop).is_none()) else {
            continue;
        };
        let stop_strings = vec![stop];
        let again = fact.got(policy.sample(SamplingRequest { stop_strings, ..request }).await);
        is_cut(fact, &again, &whole, (whole.tokens.len(), StopReason::Length));
        tried += 1;
    }
    fact.holds(tried > 0, "no reply began with a letter; other prompts are needed");
}

/// The token to stop with is one whose own letters, taken as a stop string, nothing before it completes.
async fn stop_tokens_come_before_stop_strings(subject: &Subject<'_>) {
    let fact = Fact("a stop token that completes a stop string stops as a token");
    let policy = fact.got(subject.taught(fact).await.snapshot().await);
    let mut tried = 0;
    for seed in 0..40 {
        let request = subject.request(seed as usize, seed);
        let whole = fact.got(policy.sample(request.clone()).await);
        let (bytes, ends) = spelled(subject, &whole);
        let at = 3 + seed as usize % 4;
        let letters = std::str::from_utf8(&bytes[ends[at - 1]..ends[at]]).unwrap_or_default();
        if letters.is_empty() || completed(&bytes, letters) != Some(ends[at]) {
            continue;
        }
        let (stop_tokens, stop_strings) = (vec![whole.tokens[at]], vec![letters.to_owned()]);
        let cut = fact.got(policy.sample(SamplingRequest { stop_tokens, stop_strings, ..request }).await);
        is_cut(fact, &cut, &whole, (at + 1, StopReason::StopToken));
        tried += 1;
    }
    fact.holds(tried > 0, "no reply had a token with new letters; other prompts are needed");
}

async fn seeds_decide(subject: &Subject<'_>) {
    let fact = Fact("the same request with the same seed gives the same reply, another seed another");
    let learner = subject.taught(fact).await;
    let policy = fact.got(learner.snapshot().await);
    let mut replies = Vec::new();
    for seed in 0..8 {
        let reply = fact.got(policy.sample(subject.request(0, seed)).await);
        let again = fact.got(policy.sample(subject.request(0, seed)).await);
        if learner.capabilities().deterministic {
            fact.holds(reply == again, format!("{:?}, then {:?}", reply.tokens, again.tokens));
        }
        replies.push(reply.tokens);
    }
    replies.sort();
    replies.dedup();
    fact.holds(replies.len() >= 7, format!("eight seeds gave {} replies", replies.len()));
}

/// Requests of every kind, alone and all at once.
async fn replies_are_independent(subject: &Subject<'_>) {
    let fact = Fact("a reply does not depend on the requests that are open beside it");
    let learner = subject.taught(fact).await;
    if !learner.capabilities().deterministic {
        return;
    }
    let policy = fact.got(learner.snapshot().await);
    let mut calls = JoinSet::new();
    for index in 0..24 {
        let policy = Arc::clone(&policy);
        let request = varied(subject, &learner.capabilities(), index);
        calls.spawn(async move { (index, policy.sample(request).await) });
    }
    let alone = fact.got(learner.snapshot().await);
    for (index, together) in calls.join_all().await {
        let together = fact.got(together);
        let expected = fact.got(alone.sample(varied(subject, &learner.capabilities(), index)).await);
        fact.holds(together == expected, format!("request {index}: {together:?}, alone {expected:?}"));
    }
}

/// With stop rules of every kind: a reply's last token is told, too, and nothing after it.
async fn what_is_told_is_what_is_sampled(subject: &Subject<'_>) {
    let fact = Fact("a reply that is told aloud is the same reply, token by token");
    let learner = subject.taught(fact).await;
    let (policy, can) = (fact.got(learner.snapshot().await), learner.capabilities());
    for index in 0..6 {
        let request = varied(subject, &can, index);
        let whole = fact.got(policy.sample(request.clone()).await);
        let stop_tokens = whole.tokens.get(3).copied().into_iter().collect();
        for request in [request.clone(), SamplingRequest { stop_tokens, ..request }] {
            let expected = fact.got(policy.sample(request.clone()).await);
            let told = Arc::new(Mutex::new(Sample { stop: expected.stop, ..Sample::default() }));
            let heard = Arc::clone(&told);
            let listener = move |token, logprob| {
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                heard.tokens.push(token);
                heard.logprobs.push(logprob);
            };
            let sample = fact.got(policy.sample_aloud(request, Box::new(listener)).await);
            let told = told.lock().unwrap_or_else(PoisonError::into_inner);
            fact.holds(
                sample == expected && *told == expected,
                format!("{told:?} and {sample:?}, not {expected:?}"),
            );
        }
    }
}

fn varied(subject: &Subject<'_>, capabilities: &Capabilities, index: usize) -> SamplingRequest {
    SamplingRequest {
        max_tokens: 1 + index,
        temperature: served(capabilities, [1.0, 0.7, 0.0, 1.3][index % 4]),
        top_p: [1.0, 0.9][index / 4 % 2],
        top_k: [0, 0, 5][index % 3],
        ..subject.request(index, 100 + index as u64)
    }
}
