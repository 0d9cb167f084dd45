//! An address: where a server is, read from what a person wrote.

use reqwest::Url;

use crate::SearchError;

/// `texts` as addresses; one without a path gets the path `usual`. `name` is the setting that they come from.
pub(crate) fn addresses(name: &str, texts: &[String], usual: &str) -> Result<Vec<Url>, SearchError> {
    if texts.is_empty() {
        let why = "it is empty; name at least one server, such as http://localhost:6001";
        return Err(SearchError::setting(name, why));
    }
    texts.iter().map(|text| address(name, text, usual)).collect()
}

/// The addresses in an order of their own: servers that are named in another order give the same service.
pub(crate) fn names(urls: &[Url]) -> Vec<String> {
    let mut names: Vec<String> = urls.iter().map(Url::to_string).collect();
    names.sort_unstable();
    names.dedup();
    names
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
    fn addresses_that_cannot_work_are_refused_without_showing_passwords() {
        for bad in ["h:6001", "ftp://h", "http://", "", "http://me:hush@h", "http://h?key=hush"] {
            let why = address("urls", bad, "/v1").unwrap_err().to_string();
            assert!(why.starts_with("urls cannot be used: ") && !why.contains("hush"), "{why}");
        }
        assert!(addresses("urls", &[], "/v1").unwrap_err().to_string().contains("at least one server"));
    }
}
