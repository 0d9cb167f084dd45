//! A provider: somebody who searches the web for us.

use super::service::Service;
use super::{brave, google, searxng, serpapi, serper, tavily};

/// Somebody who searches the web for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// serpapi.com: Google's organic results.
    SerpApi,
    /// serper.dev: Google's organic results.
    Serper,
    /// Brave's own index.
    Brave,
    /// Tavily: passages of pages, chosen for language models.
    Tavily,
    /// Google's Programmable Search Engine.
    Google,
    /// A SearXNG instance of one's own, which asks others.
    SearXng,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::SerpApi, Self::Serper, Self::Brave, Self::Tavily, Self::Google, Self::SearXng];

    pub(super) fn service(self) -> &'static Service {
        match self {
            Self::SerpApi => &serpapi::SERVICE,
            Self::Serper => &serper::SERVICE,
            Self::Brave => &brave::SERVICE,
            Self::Tavily => &tavily::SERVICE,
            Self::Google => &google::SERVICE,
            Self::SearXng => &searxng::SERVICE,
        }
    }

    /// Its name in a config.
    pub fn name(self) -> &'static str {
        self.service().name
    }

    /// The environment variables in which its key is usually kept; none where it takes no key.
    pub fn key_variables(self) -> &'static [&'static str] {
        self.service().key_variables
    }

    /// Whether it has an address of its own. Others are run by whoever asks them.
    pub fn is_hosted(self) -> bool {
        !self.service().host.is_empty()
    }

    /// The most documents that it gives for one query.
    pub fn most_documents(self) -> usize {
        self.service().most_documents
    }
}
