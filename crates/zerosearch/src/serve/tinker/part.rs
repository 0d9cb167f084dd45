//! A part: which entries of a long list are wanted.

use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

/// Which part of a list is wanted.
#[derive(Deserialize, IntoParams)]
pub(super) struct Part {
    /// So many entries; 100 at most.
    limit: Option<usize>,
    /// After so many.
    offset: Option<usize>,
}

impl Part {
    /// The part of `all`, and which one it is.
    pub(super) fn of<T>(&self, all: Vec<T>) -> (Vec<T>, Value) {
        let (limit, offset) = (self.limit.unwrap_or(20).clamp(1, 100), self.offset.unwrap_or(0));
        let cursor = json!({"offset": offset, "limit": limit, "total_count": all.len()});
        (all.into_iter().skip(offset).take(limit).collect(), cursor)
    }
}
