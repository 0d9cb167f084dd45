//! Health: whether a server that was set aside is well again.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use reqwest::Url;

use super::exchange::{Fault, Wire, exchange};
use super::servers::Servers;
use super::{Patience, Request};
use crate::SearchError;

/// Where a kind of server says whether it is well: addresses beside its own, the first that it has counts. `health`
/// beside `http://h:8000/v1` is `http://h:8000/health`.
pub(crate) type Signs = &'static [&'static str];

/// How long a server may take to say that it is well.
const LONGEST_CHECK: Duration = Duration::from_secs(10);

/// Checks the server at `index` until it is well, was found to work, or nobody asks the servers any more.
pub(super) fn watch(servers: &Arc<Servers>, wire: &Wire, signs: Signs, index: usize) {
    let patience = &wire.patience;
    let patience = Patience { timeout: patience.timeout.min(LONGEST_CHECK), ..patience.clone() };
    let (servers, wire) = (Arc::downgrade(servers), Wire { patience, ..wire.clone() });
    tokio::spawn(async move {
        while let Some(due) = due(&servers, index) {
            tokio::time::sleep_until(due.into()).await;
            let Some(servers) = servers.upgrade() else { return };
            let well = is_well(&wire, servers.url(index), signs).await;
            servers.probed(index, well, Instant::now());
        }
    });
}

fn due(servers: &Weak<Servers>, index: usize) -> Option<Instant> {
    servers.upgrade()?.next_check(index)
}

/// Whether the server at `base` is there and does not say that it is ill. One that has none of the `signs` is well when
/// it says so; whether it works is shown by the next call.
async fn is_well(wire: &Wire, base: &Url, signs: Signs) -> bool {
    for sign in signs {
        let Ok(address) = base.join(sign) else { continue };
        match exchange(wire, &address, Request::Get { parameters: &[] }).await {
            Err(Fault::Elsewhere(SearchError::Refused { status: 404 | 405, .. })) => {}
            Err(Fault::Passing(..)) => return false,
            Ok(_) | Err(_) => return true,
        }
    }
    true
}
