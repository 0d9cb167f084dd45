//! Free structure: all documents of a label in one reply, which is then read tolerantly.

use std::collections::HashSet;

use futures::future::try_join_all;

use super::engine::{Order, SimulatedEngine};
use super::harvest::Harvest;
use super::reply::{self, Draft};
use crate::containment::words;
use crate::{Label, SearchError, Tally, WriteRequest};

/// Writes the documents of `order` with one reply for each label in it, and lays them out in the order's places.
pub(super) async fn write(
    engine: &SimulatedEngine,
    order: &Order<'_>,
    harvest: &mut Harvest,
) -> Result<(), SearchError> {
    let wanted = [Label::Useful, Label::Noisy].map(|label| (label, order.count(label)));
    let wanted = wanted.into_iter().filter(|(_, k)| *k > 0);
    let replies = try_join_all(wanted.map(|(label, k)| write_label(engine, order, label, k))).await?;
    let mut queues = Vec::new();
    for reply in replies {
        harvest.tally.add(reply.tally);
        queues.push((reply.label, reply.drafts.into_iter()));
    }
    for label in &order.labels {
        let draft = queues.iter_mut().find(|(of, _)| of == label).and_then(|(_, drafts)| drafts.next());
        if let Some(draft) = draft {
            harvest.offer(*label, &draft);
        }
    }
    Ok(())
}

/// What came for one label.
struct LabelReply {
    label: Label,
    drafts: Vec<Draft>,
    tally: Tally,
}

/// At most `k` drafts for `label`. A reply with fewer usable ones is written again while rewrites last; of all replies
/// the one with the most usable counts, the first of equals.
async fn write_label(
    engine: &SimulatedEngine,
    order: &Order<'_>,
    label: Label,
    k: usize,
) -> Result<LabelReply, SearchError> {
    let prompt = engine.settings().prompt(order, label, &vec![label; k])?;
    let mut tally = Tally::default();
    let (mut attempt, mut best, mut most) = (0, Vec::new(), None);
    loop {
        let request = WriteRequest {
            prompt: prompt.clone(),
            max_tokens: engine.settings().max_tokens.saturating_mul(u32::try_from(k).unwrap_or(u32::MAX)),
            stop: vec![format!("Doc {}:", k + 1)],
            ..engine.request(order, label as usize, attempt)
        };
        let written = engine.writer().write(&request).await?;
        tally.retries += written.tries.saturating_sub(1) as usize;
        let mut drafts = reply::read(&written.text, written.finished);
        drafts.truncate(k);
        let usable = usable(&drafts);
        if most.is_none_or(|most| usable > most) {
            (best, most) = (drafts, Some(usable));
        }
        if usable >= k || attempt >= engine.rewrites() {
            return Ok(LabelReply { label, drafts: best, tally });
        }
        tally.rewritten += 1;
        attempt += 1;
    }
}

/// How many different documents with words in them these are.
fn usable(drafts: &[Draft]) -> usize {
    let texts: HashSet<String> =
        drafts.iter().map(|draft| words(&draft.text).join(" ")).filter(|words| !words.is_empty()).collect();
    texts.len()
}
