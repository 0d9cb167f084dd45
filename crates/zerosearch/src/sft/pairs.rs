//! Pairs as rows: what a simulator is asked, and what of its reply is learned.
//!
//! The tokens are those that the simulated engine sees when it plays. Where it begins each document itself (`forced`
//! structure), only what follows `Doc 1:` is learned; where the model writes the whole reply (`free`), all of it is.
//! The end of each line and of the reply is learned too: there the model has to stop.

use zerosearch_learner::text::Text;
use zerosearch_learner::{Example, TokenId};

use super::segments::push;
use crate::judge::Pair;
use crate::simulator::{Manner, prompt_tokens};

/// The examples of a pair: one, or several where a tokenizer joins what the engine gives with what the model writes,
/// so that the next document would not be asked for with the tokens of this row.
pub(super) fn pair_examples(pair: &Pair, manner: &Manner, text: &Text) -> Result<Vec<Example>, String> {
    let shown = manner.show(pair).map_err(|error| error.to_string())?;
    let prompt =
        prompt_tokens(text, shown.system.as_deref(), &shown.prompt).map_err(|error| error.to_string())?;
    let (mut examples, mut reply) = (Vec::<Example>::new(), String::new());
    for (at, stretch) in shown.stretches.iter().enumerate() {
        reply.push_str(&stretch.given);
        let asked = [prompt.as_slice(), &text.encode_plain(&reply)].concat();
        let is_last = at + 1 == shown.stretches.len();
        let written = written(&stretch.written, is_last, text);
        match examples.last_mut() {
            Some(row) if asked.starts_with(&row.tokens) => {
                let given = asked[row.tokens.len()..].to_vec();
                push(row, &given, false);
                push(row, &written, true);
            }
            _ => {
                let mut row = Example::default();
                push(&mut row, &asked, false);
                push(&mut row, &written, true);
                examples.push(row);
            }
        }
        reply.push_str(&stretch.written);
    }
    Ok(examples)
}

/// What the model writes; the last stretch with the token that ends a turn, or the end of the line without one.
fn written(words: &str, is_last: bool, text: &Text) -> Vec<TokenId> {
    match text.end_of_turn().filter(|_| is_last) {
        Some(end) => [text.encode_plain(words), vec![end]].concat(),
        None if is_last => text.encode_plain(&format!("{words}\n")),
        None => text.encode_plain(words),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use zerosearch_learner::text::tiny_text;
    use zerosearch_learner::{Policy, SamplingRequest};
    use zerosearch_search::{Label, Labels, Query, SearchEngine, SimulatedEngine, Structure};

    use super::*;
    use crate::rollout::fakes::{Script, base_text};
    use crate::simulator::{PolicyWriter, tuned};

    fn pair() -> Pair {
        serde_json::from_str(
            r#"{"question":"Who wrote Emma?","golden_answers":["Jane Austen"],"query":"emma <|end|> author",
               "label":"useful","documents":[{"title":"Emma","text":"a novel by Jane Austen."},{"text":"1815 <answer>"}]}"#,
        )
        .unwrap()
    }

    /// The requests that a simulated engine makes of a model that writes what the pair's documents say.
    async fn requests(structure: Structure, text: Arc<Text>) -> Vec<SamplingRequest> {
        let shown = tuned().with(structure).show(&pair()).unwrap();
        let replies: Vec<String> = shown.stretches.into_iter().map(|stretch| stretch.written).collect();
        let next = Mutex::new(replies.into_iter());
        let policy = Arc::new(Script {
            text,
            ..Script::new(move |_, _| next.lock().unwrap().next().unwrap() + "<|end|>")
        });
        let writer = PolicyWriter::new(
            Arc::clone(&policy) as Arc<dyn Policy>,
            Arc::clone(&policy.text),
            "script",
            "script",
        );
        let settings = tuned().with(structure).settings().clone();
        let engine = SimulatedEngine::new(settings, Arc::new(writer), Arc::default()).unwrap();
        let query = Query { labels: Some(Labels::All(Label::Useful)), ..pair().query() };
        assert_eq!(engine.search(&query).await.unwrap().len(), 2);
        policy.requests.lock().unwrap().clone()
    }

    fn trained(row: &Example, text: &Text) -> String {
        let tokens = row.tokens.iter().zip(&row.weights).filter(|(_, weight)| **weight > 0.0);
        text.decode(&tokens.map(|(token, _)| *token).collect::<Vec<_>>())
    }

    /// Every request's prompt is the beginning of the row, up to a stretch that is trained: what is tuned is asked.
    #[tokio::test]
    async fn what_is_tuned_is_what_is_asked() {
        for (structure, count) in [(Structure::Forced, 2), (Structure::Free, 1)] {
            for text in [tiny_text(), base_text()] {
                let text = Arc::new(text);
                let rows = pair_examples(&pair(), &tuned().with(structure), &text).unwrap();
                assert_eq!(rows.len(), 1);
                let requests = requests(structure, Arc::clone(&text)).await;
                assert_eq!(requests.len(), count);
                for request in requests {
                    let length = request.prompt.len();
                    assert_eq!(rows[0].tokens[..length], request.prompt, "{}", text.decode(&rows[0].tokens));
                    assert_eq!((rows[0].weights[length - 1], rows[0].weights[length]), (0.0, 1.0));
                }
            }
        }
    }

    #[test]
    fn the_marks_that_the_engine_gives_are_not_trained() {
        let text = tiny_text();
        let of = |structure| pair_examples(&pair(), &tuned().with(structure), &text).unwrap().remove(0);
        let forced = " Emma: a novel by Jane Austen.\n 1815 ‹answer›<|end|>";
        assert_eq!(trained(&of(Structure::Forced), &text), forced);
        let free = "Doc 1: Emma: a novel by Jane Austen.\nDoc 2: 1815 ‹answer›<|end|>";
        assert_eq!(trained(&of(Structure::Free), &text), free);
        assert_eq!(of(Structure::Forced).tokens, of(Structure::Free).tokens);
    }

    /// A trainer that knows only chats reads the same tokens.
    #[test]
    fn a_chat_row_is_the_same_text() {
        let text = tiny_text();
        let row = pair_examples(&pair(), &tuned(), &text).unwrap().remove(0);
        let chat = tuned().chat(&pair()).unwrap();
        let messages: Vec<zerosearch_learner::text::Message> =
            serde_json::from_value(chat["messages"].clone()).unwrap();
        assert_eq!(
            messages.iter().map(|it| it.role.as_str()).collect::<Vec<_>>(),
            ["system", "user", "assistant"]
        );
        assert_eq!(text.chat_tokens(&messages, false).unwrap(), row.tokens);
    }
}
