//! Trouble: everything that a server may answer but a result, told apart by what can be done about it.

use std::time::Duration;

use serde_json::Value;

/// The most of what a server said that is told on. What it refuses it echoes, and that may be megabytes.
const MOST_SAID: usize = 400;

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Trouble {
    /// Nobody listens: the request was certainly not carried out.
    #[error("it cannot be reached ({0}); is it running, and is tinker.url right?")]
    Unreachable(String),
    /// The request left, and no answer came.
    #[error("it gave no answer ({0}); it may have carried the request out or not")]
    Silent(String),
    /// 429 and 425: not now.
    #[error(
        "it is overloaded and answered {status} again and again ({said}); try later, or lower tinker.concurrency"
    )]
    Busy {
        /// The status.
        status: u16,
        /// How long to wait, if it says.
        wait: Option<Duration>,
        /// What it said.
        said: String,
    },
    /// Another status of 5xx, and 408.
    #[error("it failed with {status} ({said}); its log says why")]
    Broken {
        /// The status.
        status: u16,
        /// What it said.
        said: String,
    },
    /// The request was carried out and failed.
    #[error("the request failed: {0}")]
    Failed(String),
    /// 401 and 403.
    #[error(
        "it does not accept the key ({0}); put yours into the environment variable that tinker.key_env names"
    )]
    Forbidden(String),
    /// 402.
    #[error("it is not paid for ({0}); see to the account, then resume the run")]
    Unpaid(String),
    /// 404 and 410.
    #[error("it no longer knows what was asked for ({0}); resume from the last checkpoint")]
    Gone(String),
    /// 409.
    #[error("it has that already ({0}); the request was not repeated")]
    Conflict(String),
    /// 415 and 422.
    #[error("it cannot use the request ({0}); if it is of another version, try another tinker.wire")]
    Unusable(String),
    /// The answer is not what it should be.
    #[error("its answer cannot be read: {0}")]
    Garbled(String),
    /// Any other status.
    #[error("it answered {status} ({said}), which means nothing in this protocol; is tinker.url right?")]
    Strange {
        /// The status.
        status: u16,
        /// What it said.
        said: String,
    },
    /// The time for a result is up.
    #[error(
        "there was no result within {0:?}; give it more with tinker.wait_s, or resume when the server is less busy"
    )]
    Late(Duration),
}

impl Trouble {
    /// What a `status` other than success means, with its body.
    pub(super) fn of_status(status: u16, wait: Option<Duration>, body: &[u8]) -> Self {
        let said = said(body);
        match status {
            400 => Self::Failed(said),
            401 | 403 => Self::Forbidden(said),
            402 => Self::Unpaid(said),
            404 | 410 => Self::Gone(said),
            408 | 500.. => Self::Broken { status, said },
            409 => Self::Conflict(said),
            415 | 422 => Self::Unusable(said),
            425 | 429 => Self::Busy { status, wait, said },
            _ => Self::Strange { status, said },
        }
    }

    /// Whether the same request may be sent again: always where it was not carried out, else only where doing it twice does what
    /// doing it once does.
    pub(super) fn may_pass(&self, twice_is_once: bool) -> bool {
        match self {
            Self::Unreachable(_) | Self::Busy { .. } => true,
            Self::Silent(_) | Self::Broken { .. } => twice_is_once,
            _ => false,
        }
    }

    /// How long the server wants to be left alone.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            Self::Busy { wait, .. } => *wait,
            _ => None,
        }
    }
}

/// What the body of an answer says to people.
pub(super) fn said(body: &[u8]) -> String {
    let words = match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(all)) => all.get("detail").or(all.get("error")).or(all.get("message")).map(words_of),
        _ => None,
    };
    short(
        &words
            .unwrap_or_else(|| String::from_utf8_lossy(&body[..body.len().min(4 * MOST_SAID)]).into_owned()),
    )
}

/// Of a list of complaints, where and what, and not the echo of the request.
fn words_of(detail: &Value) -> String {
    let complaint = |one: &Value| match (one.get("msg").and_then(Value::as_str), one.get("loc")) {
        (Some(what), Some(place)) => format!("{what} at {}", short(&place.to_string())),
        (Some(what), None) => what.to_owned(),
        (None, _) => one.to_string(),
    };
    match detail {
        Value::String(words) => words.clone(),
        Value::Array(list) => list.iter().take(3).map(complaint).collect::<Vec<_>>().join("; "),
        other => complaint(other),
    }
}

fn short(words: &str) -> String {
    let clean: String = words.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    match clean.char_indices().nth(MOST_SAID) {
        Some((end, _)) => format!("{}... ({} bytes)", &clean[..end], words.len()),
        None if clean.trim().is_empty() => "nothing else was said".to_owned(),
        None => clean.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_meaning() {
        let body = br#"{"detail":"Model not found"}"#;
        let said = || "Model not found".to_owned();
        for (status, meaning) in [
            (400, Trouble::Failed(said())),
            (401, Trouble::Forbidden(said())),
            (402, Trouble::Unpaid(said())),
            (403, Trouble::Forbidden(said())),
            (404, Trouble::Gone(said())),
            (408, Trouble::Broken { status: 408, said: said() }),
            (409, Trouble::Conflict(said())),
            (410, Trouble::Gone(said())),
            (415, Trouble::Unusable(said())),
            (418, Trouble::Strange { status: 418, said: said() }),
            (422, Trouble::Unusable(said())),
            (425, Trouble::Busy { status: 425, wait: None, said: said() }),
            (429, Trouble::Busy { status: 429, wait: None, said: said() }),
            (500, Trouble::Broken { status: 500, said: said() }),
            (529, Trouble::Broken { status: 529, said: said() }),
        ] {
            assert_eq!(Trouble::of_status(status, None, body), meaning);
        }
    }

    /// A 422 of FastAPI echoes the whole body behind `input`.
    #[test]
    fn an_echo_is_left_out_and_long_words_are_cut() {
        let echo = "x".repeat(1 << 20);
        let body = format!(
            r#"{{"detail":[{{"type":"missing","loc":["body","path"],"msg":"Field required","input":"{echo}"}}]}}"#
        );
        assert_eq!(said(body.as_bytes()), r#"Field required at ["body","path"]"#);
        assert!(said(echo.as_bytes()).len() < 500);
        assert!(said(format!(r#"{{"detail":"{echo}"}}"#).as_bytes()).len() < 500);
        assert_eq!(said(b""), "nothing else was said");
        assert_eq!(said(b"<html>\n\x1b[31mBad"), "<html>  [31mBad");
        assert_eq!(said(&[0xff, 0xfe]), "\u{fffd}\u{fffd}");
    }
}
