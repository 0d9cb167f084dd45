//! Free structure: all documents of a label in one reply, which is then read tolerantly.

use futures::future::try_join_all;

use super::engine::{Order, SimulatedEngine};
use super::harvest::Harvest;
use super::reply::{self, Draft};
use crate::{Label, SearchError, Tally, WriteRequest};

/// Writes the documents of `order` with one reply for each label in it, and lays them out in the order's places.
pub(super) async fn write(
    engine: &SimulatedEngine,
    order: &Order<'_>,
    harvest: &mut Harvest,
) -> Result<(), SearchError> {
    let wanted = [Label::Useful, Label::Noisy].map(|label| (label, count(order, label)));
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

fn count(order: &Order<'_>, label: Label) -> usize {
    order.labels.iter().filter(|it| **it == label).count()
}

/// What came for one label.
struct LabelReply {
    label: Label,
    drafts: Vec<Draft>,
    tally: Tally,
}

/// At most `k` drafts for `label`; a reply without any is written again while rewrites last.
async fn write_label(
    engine: &SimulatedEngine,
    order: &Order<'_>,
    label: Label,
    k: usize,
) -> Result<LabelReply, SearchError> {
    let prompt = engine.prompt(order, label, &vec![label; k])?;
    let mut tally = Tally::default();
    let mut attempt = 0;
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
        let usable = drafts.iter().any(|draft| !draft.text.trim().is_empty());
        if usable || attempt >= engine.rewrites() {
            return Ok(LabelReply { label, drafts, tally });
        }
        tally.rewritten += 1;
        attempt += 1;
    }
}
