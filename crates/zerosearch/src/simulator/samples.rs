//! Samples: a page of a few queries and what each simulator wrote for them, label by label.

use std::fmt::Write;

use zerosearch_learner::seed::Seed;
use zerosearch_search::{Document, Label};

use super::Trial;
use super::measures::holds_answer;
use crate::judge::Pair;
use crate::qa::order;
use crate::rollout::DocumentStyle;

/// Queries on the page.
const QUERIES: usize = 8;

/// The page, as Markdown. What models and engines wrote is indented as code: none of it is markup.
pub(super) fn samples(pairs: &[Pair], by_name: &[(&str, Vec<&Trial>)], seed: Seed) -> String {
    let mut page = String::from("# Samples\n");
    for at in order(pairs.len(), seed, 0).into_iter().take(QUERIES) {
        let pair = &pairs[at];
        let _ = write!(page, "\n## Query {}\n\n", at + 1);
        let golds = pair.golden_answers.join(" | ");
        code(&mut page, &format!("query:    {}\nquestion: {}\nanswers:  {golds}", pair.query, pair.question));
        documents(&mut page, &format!("the engine, {}", pair.label.word()), pair, &pair.documents);
        let fingerprint = pair.fingerprint();
        for label in [Label::Useful, Label::Noisy] {
            for (name, trials) in by_name {
                let found = trials.iter().find(|trial| trial.label == label && trial.pair == fingerprint);
                let Some(trial) = found else { continue };
                let heading = format!("{name}, {}", label.word());
                match trial.broken.as_ref().or(trial.failure.as_ref()) {
                    Some(reason) => {
                        let _ = write!(page, "\n**{heading}**: nothing\n\n");
                        code(&mut page, reason);
                    }
                    None => documents(&mut page, &heading, pair, &trial.documents),
                }
            }
        }
    }
    page
}

fn documents(page: &mut String, heading: &str, pair: &Pair, documents: &[Document]) {
    let told = match holds_answer(pair, documents) {
        Some(true) => "an answer is in them",
        Some(false) => "no answer is in them",
        None => "no answer can be looked for",
    };
    let _ = write!(page, "\n**{heading}**: {told}\n\n");
    code(page, &DocumentStyle::SearchR1.render(documents));
}

fn code(page: &mut String, text: &str) {
    for line in crate::problem::printable(text).lines() {
        let _ = writeln!(page, "    {line}");
    }
}
