//! Where the hub is, where its files are kept, and who is asking.

use std::path::{Path, PathBuf};

/// The hub as this user sees it.
#[derive(Clone)]
pub struct Hub {
    pub(crate) endpoint: String,
    /// The folder of `models--org--name` and `datasets--org--name` folders.
    pub(crate) cache: PathBuf,
    pub(crate) token: Option<String>,
    pub(crate) offline: bool,
    pub(crate) progress: bool,
}

impl Hub {
    /// A hub at `endpoint` whose files are kept in `cache`; without a token, on line, without a progress bar.
    pub fn new(endpoint: &str, cache: &Path) -> Self {
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache: cache.to_owned(),
            token: None,
            offline: false,
            progress: false,
        }
    }

    /// The hub that the environment describes, as `huggingface_hub` reads it: `HF_ENDPOINT`; `HF_HUB_CACHE`, else
    /// `HF_HOME/hub`, else `~/.cache/huggingface/hub`; `HF_TOKEN`, else the token that `hf auth login` left;
    /// `HF_HUB_OFFLINE`. Shows a progress bar when the standard error stream is a terminal.
    pub fn from_environment() -> Self {
        let mut hub = Self::from_variables(|name| std::env::var(name).ok());
        hub.progress = true;
        hub
    }

    /// Asks with this token.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Uses only what is in the cache.
    #[must_use]
    pub fn offline(mut self) -> Self {
        self.offline = true;
        self
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let home = set("HF_HOME").map(PathBuf::from).unwrap_or_else(|| {
            let cache = set("XDG_CACHE_HOME").map(PathBuf::from);
            let user = || {
                PathBuf::from(set("HOME").or_else(|| set("USERPROFILE")).unwrap_or_default()).join(".cache")
            };
            cache.unwrap_or_else(user).join("huggingface")
        });
        let cache = set("HF_HUB_CACHE").or_else(|| set("HUGGINGFACE_HUB_CACHE")).map(PathBuf::from);
        let mut hub = Self::new(
            &set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into()),
            &cache.unwrap_or_else(|| home.join("hub")),
        );
        let token_file = set("HF_TOKEN_PATH").map(PathBuf::from).unwrap_or_else(|| home.join("token"));
        hub.token = set("HF_TOKEN")
            .or_else(|| set("HUGGING_FACE_HUB_TOKEN"))
            .or_else(|| std::fs::read_to_string(token_file).ok())
            .map(|token| token.trim().to_owned())
            .filter(|token| !token.is_empty());
        let on = |value: String| ["1", "ON", "YES", "TRUE"].contains(&value.trim().to_uppercase().as_str());
        hub.offline = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().filter_map(set).any(on);
        hub
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(variables: &[(&str, &str)]) -> Hub {
        Hub::from_variables(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    /// The order is that of `huggingface_hub/constants.py`.
    #[test]
    fn the_environment_is_read_as_the_python_client_reads_it() {
        let plain = hub(&[("HOME", "/h")]);
        assert_eq!(plain.endpoint, "https://huggingface.co");
        assert_eq!(plain.cache, Path::new("/h/.cache/huggingface/hub"));
        assert!(!plain.offline && plain.token.is_none());
        let set = hub(&[
            ("HF_HOME", "/hf"),
            ("HF_ENDPOINT", "http://mirror/"),
            ("HF_TOKEN", " secret\n"),
            ("HF_HUB_OFFLINE", "true"),
        ]);
        assert_eq!(set.endpoint, "http://mirror");
        assert_eq!(set.cache, Path::new("/hf/hub"));
        assert_eq!(set.token.as_deref(), Some("secret"));
        assert!(set.offline);
        assert_eq!(hub(&[("XDG_CACHE_HOME", "/x")]).cache, Path::new("/x/huggingface/hub"));
        assert_eq!(hub(&[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/c")]).cache, Path::new("/c"));
        assert!(!hub(&[("HF_HUB_OFFLINE", "0")]).offline);
    }
}
