//! A stream: replies told word by word, as events, from several samplings at once.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use zerosearch_learner::{Sample, TokenId};

use super::super::door::too_late;
use super::super::refusal::Refusal;
use super::order::Order;
use super::shape::{Shape, Usage};
use super::speaker::Speaker;
use super::teller::Teller;

/// What happens to reply `.0`.
struct Happening(usize, What);

enum What {
    Began(Teller),
    Drew(TokenId, f32),
    Ended(Sample),
    Failed(Refusal),
}

/// Replies on their way to a client. Dropping it, as is done when the client hangs up, drops what is sampled for it.
struct Stream {
    speaker: Arc<Speaker>,
    order: Arc<Order>,
    shape: Shape,
    tellers: Vec<Option<Teller>>,
    happenings: UnboundedReceiver<Happening>,
    _samplings: JoinSet<()>,
    waiting: VecDeque<String>,
    usage: Usage,
    left: usize,
}

/// The events of all replies to `order`.
pub(super) fn stream(speaker: Arc<Speaker>, order: Arc<Order>) -> Response {
    let events = futures::stream::unfold(Stream::begin(speaker, order), |mut stream| async move {
        let data = stream.next().await?;
        Some((Ok::<_, Infallible>(Event::default().data(data)), stream))
    });
    Sse::new(Box::pin(events)).keep_alive(KeepAlive::default()).into_response()
}

impl Stream {
    fn begin(speaker: Arc<Speaker>, order: Arc<Order>) -> Self {
        let (sender, happenings) = unbounded_channel();
        let mut samplings = JoinSet::new();
        for index in 0..order.replies() {
            samplings.spawn(sampling(Arc::clone(&speaker), Arc::clone(&order), index, sender.clone()));
        }
        let shape = speaker.shape(&order);
        Self {
            tellers: (0..order.replies()).map(|_| None).collect(),
            usage: Usage::of(&order),
            left: order.replies(),
            _samplings: samplings,
            waiting: VecDeque::new(),
            speaker,
            order,
            shape,
            happenings,
        }
    }

    /// The next event's data.
    async fn next(&mut self) -> Option<String> {
        while self.waiting.is_empty() && self.left > 0 {
            let Happening(index, what) = self.happenings.recv().await?;
            self.take(index, what);
            if self.left == 0 {
                self.close();
            }
        }
        self.waiting.pop_front()
    }

    fn take(&mut self, index: usize, what: What) {
        let Self { order, shape, tellers, waiting, .. } = self;
        let chunk = |choice: Value| shape.chunk(vec![choice], None).to_string();
        match what {
            What::Began(teller) => {
                tellers[index] = Some(teller);
                waiting.extend(shape.opening(index).map(chunk));
            }
            What::Drew(token, logprob) => {
                let Some(teller) = &mut tellers[index] else { return };
                teller.push(token, Some(logprob));
                if let Some(piece) = teller.ready() {
                    waiting.push_back(chunk(shape.delta(index, &piece, None)));
                }
            }
            What::Ended(sample) => {
                let Some(teller) = &mut tellers[index] else { return };
                let ending = self.speaker.ending(order, index, &sample);
                waiting.push_back(chunk(shape.delta(index, &teller.rest(), Some(&ending))));
                self.usage.completion += sample.tokens.len();
                self.left -= 1;
            }
            What::Failed(refusal) => {
                // Whatever else is sampled is of no use to a client that was told of a failure.
                waiting.extend(serde_json::to_string(&refusal.body()));
                self.left = 0;
            }
        }
    }

    fn close(&mut self) {
        if self.order.stream.is_some_and(|stream| stream.include_usage) {
            self.waiting.push_back(self.shape.chunk(Vec::new(), Some(self.usage)).to_string());
        }
        self.waiting.push_back("[DONE]".into());
    }
}

/// Samples reply `index` and sends what happens to it.
async fn sampling(
    speaker: Arc<Speaker>,
    order: Arc<Order>,
    index: usize,
    sender: UnboundedSender<Happening>,
) {
    // A receiver that is gone has dropped this task, too.
    let tell = |what| drop(sender.send(Happening(index, what)));
    let work = async {
        tell(What::Began(speaker.teller(&order, index).await?));
        let heard = sender.clone();
        let listener = move |token, logprob| drop(heard.send(Happening(index, What::Drew(token, logprob))));
        speaker.sample(&order, index, Some(Box::new(listener))).await
    };
    let limit = speaker.service.time_limit;
    match tokio::time::timeout(limit, work).await {
        Ok(Ok(sample)) => tell(What::Ended(sample)),
        Ok(Err(refusal)) => tell(What::Failed(refusal)),
        Err(_) => tell(What::Failed(too_late(limit))),
    }
}
