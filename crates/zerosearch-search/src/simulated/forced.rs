//! Forced structure: the reply is begun for the model with `Doc 1:`, ends with the line, and goes on with the next.

use super::engine::{Order, SimulatedEngine};
use super::harvest::Harvest;
use super::reply::Draft;
use crate::{Document, Label, SearchError, WriteRequest};

/// Writes the documents of `order` one after the other, in its places. Each is written to the prompt of its own label
/// and sees the ones of that label kept before it, and no others: a useful document holds an answer, which a noisy one
/// must not be shown. One that comes out empty or repeated is written again while the call's rewrites last, then left
/// out.
pub(super) async fn write(
    engine: &SimulatedEngine,
    order: &Order<'_>,
    harvest: &mut Harvest,
) -> Result<(), SearchError> {
    let mut begun: Vec<Begun> = Vec::new();
    let mut rewrites_left = engine.rewrites();
    for (place, label) in order.labels.iter().enumerate() {
        if !begun.iter().any(|it| it.label == *label) {
            let labels = vec![*label; order.count(*label)];
            let prompt = engine.settings().prompt(order, *label, &labels)?;
            begun.push(Begun { label: *label, prompt, kept: 0, so_far: String::new() });
        }
        let Some(reply) = begun.iter_mut().find(|it| it.label == *label) else { continue };
        let mut attempt = 0;
        while !write_one(engine, order, harvest, (reply, place, attempt)).await? && rewrites_left > 0 {
            rewrites_left -= 1;
            attempt += 1;
            harvest.tally.rewritten += 1;
        }
    }
    Ok(())
}

/// The reply of one label, as far as it is written.
struct Begun {
    label: Label,
    prompt: String,
    /// Documents in it.
    kept: usize,
    so_far: String,
}

/// Writes the next document of a reply; whether it was kept.
async fn write_one(
    engine: &SimulatedEngine,
    order: &Order<'_>,
    harvest: &mut Harvest,
    (reply, place, attempt): (&mut Begun, usize, u32),
) -> Result<bool, SearchError> {
    let head = head(reply.kept + 1);
    let request = WriteRequest {
        prompt: reply.prompt.clone(),
        reply_prefix: format!("{}{head}", reply.so_far),
        max_tokens: engine.settings().max_tokens,
        stop: vec!["\n".into()],
        ..engine.request(order, place, attempt)
    };
    let written = engine.writer().write(&request).await?;
    harvest.tally.retries += written.tries.saturating_sub(1) as usize;
    // A writer that honours no stop text must not get a second line in.
    let line = written.text.lines().next().unwrap_or_default();
    let is_kept = harvest.offer(reply.label, &Draft::new(line, !written.finished));
    if is_kept {
        reply.kept += 1;
        reply
            .so_far
            .extend(harvest.documents.last().map(|document| format!("{head}{}\n", rest_of_line(document))));
    }
    Ok(is_kept)
}

/// How the line of the document with this number begins.
pub(super) fn head(number: usize) -> String {
    format!("Doc {number}:")
}

/// The rest of a document's line, as the model writes it and the next document sees it.
pub(super) fn rest_of_line(document: &Document) -> String {
    match document.title.as_str() {
        "" => format!(" {}", document.text),
        title => format!(" (Title: {title}) {}", document.text),
    }
}
