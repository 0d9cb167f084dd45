//! Forced structure: the reply is begun for the model with `Doc 1:`, ends with the line, and goes on with the next.

use super::engine::{Order, SimulatedEngine};
use super::harvest::Harvest;
use super::reply::Draft;
use crate::{Document, SearchError, WriteRequest};

/// Writes the documents of `order` one after the other. Each is written to the prompt of its own label and sees the
/// ones kept before it; one that comes out empty or repeated is written again while the call's rewrites last, then
/// left out.
pub(super) async fn write(
    engine: &SimulatedEngine,
    order: &Order<'_>,
    harvest: &mut Harvest,
) -> Result<(), SearchError> {
    let mut so_far = String::new();
    let mut rewrites_left = engine.rewrites();
    for (place, label) in order.labels.iter().enumerate() {
        let prompt = engine.prompt(order, *label, &order.labels)?;
        let mut attempt = 0;
        loop {
            let head = format!("Doc {}:", harvest.documents.len() + 1);
            let request = WriteRequest {
                prompt: prompt.clone(),
                reply_prefix: format!("{so_far}{head}"),
                max_tokens: engine.settings().max_tokens,
                stop: vec!["\n".into()],
                ..engine.request(order, place, attempt)
            };
            let written = engine.writer().write(&request).await?;
            harvest.tally.retries += written.tries.saturating_sub(1) as usize;
            // A writer that honours no stop text must not get a second line in.
            let line = written.text.lines().next().unwrap_or_default();
            if harvest.offer(*label, &Draft::new(line, !written.finished)) {
                so_far.extend(harvest.documents.last().map(|document| said(&head, document)));
                break;
            }
            if rewrites_left == 0 {
                break;
            }
            rewrites_left -= 1;
            attempt += 1;
            harvest.tally.rewritten += 1;
        }
    }
    Ok(())
}

/// The line of a kept document, as the next one sees it.
fn said(head: &str, document: &Document) -> String {
    match document.title.as_str() {
        "" => format!("{head} {}\n", document.text),
        title => format!("{head} (Title: {title}) {}\n", document.text),
    }
}
