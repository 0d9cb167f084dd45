//! An address: where a server is and what share of the calls it takes, read from what a person wrote.

use reqwest::Url;

use crate::SearchError;

/// A server, and how many calls it takes compared with others.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    pub(crate) url: Url,
    pub(crate) weight: f64,
}

/// The largest weight.
const MOST_WEIGHT: f64 = 1000.0;

/// Refuses `texts`, the setting `name`, where they are no addresses of servers.
pub fn check_addresses(name: &str, texts: &[String]) -> Result<(), SearchError> {
    addresses(name, texts, "").map(drop)
}

/// `texts`, each `ADDRESS` or `ADDRESS=WEIGHT`, as servers; an address without a path gets the path `usual`. `name` is the
/// setting that they come from.
pub(crate) fn addresses(name: &str, texts: &[String], usual: &str) -> Result<Vec<Share>, SearchError> {
    if texts.is_empty() {
        let why = "it is empty; name at least one server, such as http://localhost:6001";
        return Err(SearchError::setting(name, why));
    }
    let shares = texts.iter().map(|text| share(name, text, usual)).collect::<Result<Vec<Share>, _>>()?;
    for (index, share) in shares.iter().enumerate() {
        if shares[..index].iter().any(|earlier| earlier.url == share.url) {
            let why = format!("{0} is in it twice; for twice the calls write {0}=2", share.url);
            return Err(SearchError::setting(name, why));
        }
    }
    Ok(shares)
}

/// The addresses in an order of their own: servers that are named in another order, or take other shares, give the same
/// service.
pub(crate) fn names(servers: &[Share]) -> Vec<String> {
    let mut names: Vec<String> = servers.iter().map(|server| server.url.to_string()).collect();
    names.sort_unstable();
    names
}

fn share(name: &str, text: &str, usual: &str) -> Result<Share, SearchError> {
    let (text, weight) = match text.rsplit_once('=').filter(|(text, _)| !text.contains(['?', '#', '@'])) {
        None => (text, 1.0),
        Some((text, weight)) => {
            let usable = weight.trim().parse().ok().filter(|it| *it > 0.0 && *it <= MOST_WEIGHT);
            let why = || {
                let why = "what follows the = of an address is its weight, a number above 0, 1000 at most; write %3D \
                           for a = in a path";
                SearchError::setting(name, why)
            };
            (text, usable.ok_or_else(why)?)
        }
    };
    Ok(Share { url: address(name, text, usual)?, weight })
}

fn address(name: &str, text: &str, usual: &str) -> Result<Url, SearchError> {
    // The text itself is not shown before it is known to hold no password.
    let refuse = |why: String| SearchError::setting(name, why);
    let mut url = Url::parse(text.trim())
        .map_err(|why| refuse(format!("an address in it does not read as one: {why}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("an address in it carries a password; give the key on its own".into()));
    }
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(refuse(format!("{url} is not an http or https address; write http://HOST:PORT")));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("an address in it has a ? or # part; leave it out".into()));
    }
    let path = match url.path().trim_end_matches('/') {
        "" => usual.to_owned(),
        path => path.to_owned(),
    };
    url.set_path(&path);
    Ok(url)
}

/// Whether the server is on this machine.
pub(super) fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address: Option<std::net::IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_path_gets_the_usual_one() {
        let given = ["http://h:6001", "http://h:6001/", "https://h/v1", "https://h/openai/v1/"];
        let meant = ["http://h:6001/v1", "http://h:6001/v1", "https://h/v1", "https://h/openai/v1"];
        for (given, meant) in given.iter().zip(meant) {
            assert_eq!(address("urls", given, "/v1").unwrap().as_str(), meant);
        }
    }

    #[test]
    fn a_weight_stands_behind_its_address() {
        let shares = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
            addresses("urls", &texts, "/v1").map_err(|why| why.to_string())
        };
        let both = shares(&["http://h:1", "http://h:2=2.5"]).unwrap();
        assert_eq!(both.iter().map(|it| it.weight).collect::<Vec<_>>(), [1.0, 2.5]);
        assert_eq!(names(&both), ["http://h:1/v1", "http://h:2/v1"]);
        for bad in ["http://h=0", "http://h=-1", "http://h=x", "http://h=", "http://h=1e9", "http://h=NaN"] {
            assert!(shares(&[bad]).unwrap_err().contains("a number above 0"), "{bad}");
        }
        let twice = shares(&["http://h/", "http://h=2"]).unwrap_err();
        assert_eq!(
            twice,
            "urls cannot be used: http://h/v1 is in it twice; for twice the calls write http://h/v1=2"
        );
    }

    #[test]
    fn addresses_that_cannot_work_are_refused_without_showing_passwords() {
        for bad in ["h:6001", "ftp://h", "http://", "", "http://me:hush@h", "http://h?key=hush"] {
            let why = address("urls", bad, "/v1").unwrap_err().to_string();
            assert!(why.starts_with("urls cannot be used: ") && !why.contains("hush"), "{why}");
        }
        assert!(addresses("urls", &[], "/v1").unwrap_err().to_string().contains("at least one server"));
    }
}
