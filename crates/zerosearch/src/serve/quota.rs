//! A quota: how many requests of one client are answered in a second.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, RateLimiter};
use sha2::{Digest, Sha256};

/// Clients that are told apart within a second. While there are more, they share what one of them would have, so that
/// whoever comes under ever new names gains nothing and the table stays small.
const MOST_CLIENTS: usize = 4096;

/// How much each client may ask.
pub(super) struct Quota {
    per_second: NonZeroU32,
    clients: DefaultKeyedRateLimiter<Client>,
    crowd: DefaultDirectRateLimiter,
    clock: DefaultClock,
}

/// Who asks: an address with the token that it shows. Of an IPv6 address only the first half counts, because a network
/// has all addresses with one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Client {
    address: Option<IpAddr>,
    token: Option<[u8; 32]>,
}

impl Client {
    /// Who asks from `address` and shows `token`.
    pub(super) fn new(address: Option<SocketAddr>, token: Option<&[u8]>) -> Self {
        let network = |address: SocketAddr| match address.ip().to_canonical() {
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
            ip => ip,
        };
        Self { address: address.map(network), token: token.map(|token| Sha256::digest(token).into()) }
    }
}

impl Quota {
    /// `per_second` requests of each client.
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        let quota = governor::Quota::per_second(per_second);
        let (clients, crowd) = (RateLimiter::keyed(quota), RateLimiter::direct(quota));
        Self { per_second, clients, crowd, clock: DefaultClock::default() }
    }

    /// How many requests each client has in a second.
    pub(super) fn per_second(&self) -> NonZeroU32 {
        self.per_second
    }

    /// Counts a request of `client`, or says how long it has to wait.
    pub(super) fn count(&self, client: &Client) -> Result<(), Duration> {
        if self.clients.len() >= MOST_CLIENTS {
            // Forgets those who have been silent for a second: they are as good as new.
            self.clients.retain_recent();
        }
        let is_crowded = self.clients.len() >= MOST_CLIENTS;
        let counted = if is_crowded { self.crowd.check() } else { self.clients.check_key(client) };
        counted.map_err(|early| early.wait_time_from(self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str, token: &str) -> Client {
        Client::new(Some(address.parse().unwrap()), Some(token.as_bytes()))
    }

    /// A quota that is not given back within a test: one request, and the next one after a second.
    fn quota() -> Quota {
        Quota::new(NonZeroU32::MIN)
    }

    #[test]
    fn a_client_is_an_address_with_its_token() {
        let one = client("127.0.0.1:1000", "a");
        assert_eq!(one, client("127.0.0.1:2000", "a"), "ports come and go");
        assert_eq!(one, client("[::ffff:127.0.0.1]:1000", "a"), "the same, written for IPv6");
        assert_ne!(one, client("127.0.0.2:1000", "a"));
        assert_ne!(one, client("127.0.0.1:1000", "b"));
        assert_ne!(one, Client::new(Some("127.0.0.1:1000".parse().unwrap()), None));
        assert_eq!(client("[2001:db8:1:2:3::4]:1", "a"), client("[2001:db8:1:2:9::]:1", "a"));
        assert_ne!(client("[2001:db8:1:2::]:1", "a"), client("[2001:db8:1:3::]:1", "a"));
    }

    #[test]
    fn clients_do_not_wait_for_each_other() {
        let quota = quota();
        let (one, other) = (client("127.0.0.1:1", "a"), client("127.0.0.2:1", "a"));
        assert_eq!(quota.count(&one), Ok(()));
        let wait = quota.count(&one).unwrap_err();
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
        assert_eq!(quota.count(&other), Ok(()));
    }

    #[test]
    fn more_clients_than_the_table_holds_share_one_quota() {
        let quota = quota();
        let counted = (0..MOST_CLIENTS + 100)
            .filter(|name| quota.count(&client("127.0.0.1:1", &name.to_string())).is_ok());
        // Where the machine is so slow that the first are forgotten meanwhile, more of the last find a place.
        assert!((MOST_CLIENTS + 1..=MOST_CLIENTS + 100).contains(&counted.count()));
        assert!(quota.clients.len() <= MOST_CLIENTS);
    }
}
