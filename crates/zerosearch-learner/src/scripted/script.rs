//! A scripted policy: it says what it was told to say, and stops where a model would have to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::writing::{Writing, check_row};
use crate::text::Text;
use crate::{Boxed, Policy, Result, Sample, SamplingRequest, TokenId};

type Script = dyn Fn(&SamplingRequest, &str) -> String + Send + Sync;

/// A policy whose replies are given. Like a model it obeys `max_tokens`, stop strings, stop tokens and its context; a
/// script that ends before any of them is followed by the request's first stop token, if it has one.
///
/// Its log-probabilities are made up: negative, and a function of a token and the one before it, so that
/// [`Policy::score`] repeats what [`Policy::sample`] said.
pub struct ScriptedPolicy {
    text: Arc<Text>,
    script: Box<Script>,
    context_length: usize,
}

impl ScriptedPolicy {
    /// A policy that replies with what `script` makes of a request and its prompt's text. Special tokens spelled in a
    /// reply become those tokens.
    pub fn new(
        text: Arc<Text>,
        script: impl Fn(&SamplingRequest, &str) -> String + Send + Sync + 'static,
    ) -> Self {
        Self { text, script: Box::new(script), context_length: 4096 }
    }

    /// A policy that says the first reply first, the second to a prompt that continues its first, and so on; past the
    /// last it says nothing. Conversations may run side by side, as long as they have different prompts or get the
    /// same replies.
    pub fn turns(text: Arc<Text>, replies: &[&str]) -> Self {
        let replies: Vec<String> = replies.iter().map(ToString::to_string).collect();
        let turns: Mutex<HashMap<Vec<TokenId>, usize>> = Mutex::default();
        Self::new(text, move |request, _| {
            let mut turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
            let prompt = &request.prompt;
            let earlier = (0..prompt.len()).rev().find_map(|length| turns.get(&prompt[..length]));
            let turn = earlier.map_or(0, |turn| turn + 1);
            turns.insert(prompt.clone(), turn);
            replies.get(turn).cloned().unwrap_or_default()
        })
    }

    /// With another context length than 4,096 tokens.
    #[must_use]
    pub fn with_context_length(self, context_length: usize) -> Self {
        Self { context_length, ..self }
    }

    fn reply(&self, request: &SamplingRequest) -> Result<Sample> {
        let mut writing = Writing::begin(&self.text, request, self.context_length)?;
        let reply = (self.script)(request, &self.text.decode(&request.prompt));
        let end = request.stop_tokens.first().copied();
        for token in self.text.encode(&reply).into_iter().chain(end) {
            if !writing.has_room() || writing.push(token, made_up(writing.last(), token)) {
                break;
            }
        }
        Ok(writing.finish())
    }

    fn score_row(&self, row: &[TokenId]) -> Result<Vec<f32>> {
        check_row(&self.text, row, self.context_length)?;
        let rest = row.windows(2).map(|pair| made_up(pair[0], pair[1]));
        Ok(row.first().map(|_| 0.0).into_iter().chain(rest).collect())
    }
}

impl Policy for ScriptedPolicy {
    fn sample(&self, request: SamplingRequest) -> Boxed<'_, Result<Sample>> {
        Box::pin(async move { self.reply(&request) })
    }

    fn score<'a>(&'a self, rows: &'a [Vec<TokenId>], _temperature: f32) -> Boxed<'a, Result<Vec<Vec<f32>>>> {
        Box::pin(async move { rows.iter().map(|row| self.score_row(row)).collect() })
    }

    fn context_length(&self) -> usize {
        self.context_length
    }
}

/// Between -4 and 0, neither included.
fn made_up(before: TokenId, token: TokenId) -> f32 {
    let mixed = before.wrapping_mul(31).wrapping_add(token.wrapping_mul(17)) % 97;
    -4.0 * (mixed + 1) as f32 / 98.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tiny_text;
    use crate::{LearnerError, StopReason};

    fn request(text: &Text, prompt: &str) -> SamplingRequest {
        SamplingRequest {
            prompt: text.encode(prompt),
            max_tokens: 100,
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            stop_strings: vec!["</search>".into(), "</answer>".into()],
            stop_tokens: text.stop_tokens().to_vec(),
            seed: 1,
        }
    }

    async fn say(reply: &'static str, change: impl FnOnce(&mut SamplingRequest)) -> (String, StopReason) {
        let text = Arc::new(tiny_text());
        let mut request = request(&text, "Q?");
        change(&mut request);
        let policy = ScriptedPolicy::new(Arc::clone(&text), move |_, _| reply.into());
        let sample = policy.sample(request).await.unwrap();
        assert_eq!(sample.tokens.len(), sample.logprobs.len());
        (text.decode(&sample.tokens), sample.stop)
    }

    #[tokio::test]
    async fn a_reply_ends_where_a_models_would() {
        let stop = |reply: &str, stop| (reply.to_string(), stop);
        let full = "<search>a</search> and <answer>b</answer>";
        assert_eq!(say(full, |_| {}).await, stop("<search>a</search>", StopReason::StopString(0)));
        assert_eq!(say("hi", |_| {}).await, stop("hi<|end|>", StopReason::StopToken));
        assert_eq!(say("hi", |it| it.stop_tokens.clear()).await, stop("hi", StopReason::Length));
        assert_eq!(say("hi<|end|>more", |_| {}).await, stop("hi<|end|>", StopReason::StopToken));
        assert_eq!(say("hello", |it| it.max_tokens = 3).await, stop("hel", StopReason::Length));
    }

    #[tokio::test]
    async fn stop_strings_span_tokens() {
        let spanning = |it: &mut SamplingRequest| it.stop_strings = vec!["lo w".into(), "ello".into()];
        assert_eq!(say("hello world", spanning).await, ("hello".into(), StopReason::StopString(1)));
    }

    #[tokio::test]
    async fn turns_follow_the_conversation_however_many_run_side_by_side() {
        let text = Arc::new(tiny_text());
        let policy = ScriptedPolicy::turns(Arc::clone(&text), &["<search>x</search>", "<answer>y</answer>"]);
        let mut prompts = ["A", "B"].map(|prompt| text.encode(prompt));
        for expected in ["<search>x</search>", "<answer>y</answer>", "<|end|>"] {
            for prompt in &mut prompts {
                let sample = policy
                    .sample(SamplingRequest { prompt: prompt.clone(), ..request(&text, "") })
                    .await
                    .unwrap();
                assert_eq!(text.decode(&sample.tokens), expected);
                prompt.extend(&sample.tokens);
                prompt.extend(text.encode("\n\n"));
            }
        }
    }

    #[tokio::test]
    async fn score_repeats_what_sample_said() {
        let text = Arc::new(tiny_text());
        let policy = ScriptedPolicy::new(Arc::clone(&text), |_, prompt| format!("you said {prompt}"));
        let request = request(&text, "Q?");
        let sample = policy.sample(request.clone()).await.unwrap();
        let row = [&request.prompt[..], &sample.tokens].concat();
        let scores = policy.score(&[row], 1.0).await.unwrap();
        assert_eq!(scores[0][2..], sample.logprobs[..]);
        assert!(scores[0][1..].iter().all(|lp| *lp < 0.0) && scores[0][0] == 0.0);
    }

    #[tokio::test]
    async fn the_context_bounds_prompts_and_replies() {
        let text = Arc::new(tiny_text());
        let policy = ScriptedPolicy::new(Arc::clone(&text), |_, _| "hello".into()).with_context_length(4);
        let sample = policy.sample(request(&text, "Q?")).await.unwrap();
        assert_eq!((text.decode(&sample.tokens), sample.stop), ("he".into(), StopReason::Length));
        let refusal = policy.sample(request(&text, "Q????")).await.unwrap_err();
        assert!(matches!(refusal, LearnerError::TooLong { length: 5, context_length: 4 }));
        assert!(matches!(policy.sample(request(&text, "")).await, Err(LearnerError::BadRequest(_))));
    }
}
