//! Terms: where a server listens, who may ask it, and how much at once.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::Result;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::problem::problem;

/// On what terms a server answers.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Where it listens; port 0 for one that is free.
    pub address: SocketAddr,
    /// What a client has to show; nothing on this machine's own addresses, unless it is given.
    pub token: Option<Token>,
    /// The longest body of a request.
    pub max_body_bytes: usize,
    /// Requests that are answered at once; a further one is told to come back.
    pub max_in_flight: usize,
    /// Requests of one client in a second; a further one is told to come back.
    pub max_per_second: Option<NonZeroU32>,
    /// How long the head of a request may take to come; then its connection is closed, as is one that is silent.
    pub head_limit: Duration,
    /// How long an answer may take.
    pub time_limit: Duration,
    /// How long answers that are under way may take once the server is asked to stop.
    pub grace: Duration,
}

impl Terms {
    /// Whether they can be kept.
    ///
    /// # Errors
    /// An address that others reach, without a token.
    pub fn check(&self) -> Result<()> {
        if self.token.is_some() || self.address.ip().is_loopback() {
            return Ok(());
        }
        Err(problem(format!(
            "without a token nobody but this machine may ask; {} is open to others",
            self.address.ip()
        ))
        .hint("`export ZEROSEARCH_TOKEN=...` and add `--token-env ZEROSEARCH_TOKEN`, or leave `--host` out")
        .into())
    }
}

/// A secret that clients show as `Authorization: Bearer SECRET` or `X-API-Key: SECRET`. Only its hash is kept.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// The secret in the environment variable `variable`.
    ///
    /// # Errors
    /// A variable that is not set, or holds what no header can.
    pub fn from_environment(variable: &str) -> Result<Self> {
        let hint = format!("`export {variable}=$(openssl rand -hex 32)`, for example");
        let secret = std::env::var(variable).map_err(|_| {
            problem(format!("--token-env names the environment variable {variable}, which is not set"))
                .hint(&hint)
        })?;
        let secret = secret.trim();
        if secret.len() < 8 || !secret.chars().all(|letter| letter.is_ascii_graphic()) {
            let what = format!(
                "the token in {variable} is shorter than 8 characters, or no word of printable ASCII"
            );
            return Err(problem(what).hint(hint).into());
        }
        Ok(Self::of(secret.as_bytes()))
    }

    fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Whether `secret` is the one. The time that this takes says nothing about how near it was.
    pub(super) fn fits(&self, secret: &[u8]) -> bool {
        self.0.ct_eq(&Self::of(secret).0).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[token]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(address: &str, token: Option<Token>) -> Terms {
        Terms {
            address: address.parse().unwrap(),
            token,
            max_body_bytes: 1,
            max_in_flight: 1,
            max_per_second: None,
            head_limit: Duration::ZERO,
            time_limit: Duration::ZERO,
            grace: Duration::ZERO,
        }
    }

    #[test]
    fn only_a_token_opens_a_server_to_others() {
        for (address, token, fine) in [
            ("127.0.0.1:0", None, true),
            ("[::1]:0", None, true),
            ("0.0.0.0:0", None, false),
            ("[::]:0", None, false),
            ("192.168.0.7:80", None, false),
            ("0.0.0.0:0", Some(Token::of(b"open sesame")), true),
        ] {
            assert_eq!(terms(address, token).check().is_ok(), fine, "{address}");
        }
    }

    #[test]
    fn a_token_fits_itself_alone_and_does_not_show() {
        let token = Token::of(b"hush-hush");
        assert!(token.fits(b"hush-hush"));
        assert!(!token.fits(b"hush-hus") && !token.fits(b"") && !token.fits(b"hush-hush "));
        assert_eq!(format!("{token:?}"), "[token]");
    }
}
