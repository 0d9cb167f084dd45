//! Taking files: of the hub as it is now, or of the cache where the hub is not to be asked or does not answer.

use super::error::Failure;
use super::{Hub, HubError, Repository, Snapshot};

impl Hub {
    /// Has `choose` take what it needs of `repository`, and gives what it made of that. Waits until all is there; may be
    /// called from asynchronous code, which then waits too.
    ///
    /// Off line, only the cache is used. When the hub cannot be reached, or falls silent amid a file, `choose` is asked
    /// once more, with what the cache holds, and a warning tells so.
    ///
    /// # Errors
    /// Those of `choose`; when the hub refuses; when it does not answer and the cache lacks something.
    pub fn take<T, E>(
        &self,
        repository: &Repository,
        choose: impl Fn(&Snapshot<'_>) -> Result<T, E> + Sync,
    ) -> Result<T, E>
    where
        T: Send,
        E: From<HubError> + Send,
    {
        // A runtime must not be waited for inside another, so this one has a thread of its own.
        let work = || {
            if self.offline { self.of_cache(repository, &choose) } else { self.of_hub(repository, &choose) }
        };
        std::thread::scope(|scope| scope.spawn(work).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn of_hub<T, E: From<HubError>>(
        &self,
        repository: &Repository,
        choose: &Choose<'_, T, E>,
    ) -> Result<T, E> {
        let silence = match Snapshot::of_the_hub(self, repository) {
            Ok(snapshot) => match (choose(&snapshot), snapshot.unavailable()) {
                (Ok(taken), _) => {
                    snapshot.note()?;
                    return Ok(taken);
                }
                (Err(_), Some(silence)) => silence.to_owned(),
                (Err(error), None) => return Err(error),
            },
            Err(Failure::Silent(silence)) => silence,
            Err(Failure::Final(error)) => return Err(error.into()),
        };
        let endpoint = &self.endpoint;
        let problem = format!(
            "{endpoint} does not answer ({silence}), and it is not in the cache; behind a proxy or mirror set \
             HTTPS_PROXY or HF_ENDPOINT"
        );
        let taken = self.again(repository, choose, problem)?;
        tracing::warn!("{endpoint} does not answer ({silence}); {repository} is taken from the cache");
        Ok(taken)
    }

    fn of_cache<T, E: From<HubError>>(
        &self,
        repository: &Repository,
        choose: &Choose<'_, T, E>,
    ) -> Result<T, E> {
        let cache = self.cache.display();
        let problem = format!("it is not (all) in {cache}, and HF_HUB_OFFLINE forbids to ask the hub");
        self.again(repository, choose, problem)
    }

    /// What `choose` makes of the cache; `problem` is told where that lacks something.
    fn again<T, E: From<HubError>>(
        &self,
        repository: &Repository,
        choose: &Choose<'_, T, E>,
        problem: String,
    ) -> Result<T, E> {
        let lacking = || HubError::Fetch { what: repository.to_string(), problem }.into();
        let Some(snapshot) = Snapshot::of_the_cache(self, repository) else { return Err(lacking()) };
        choose(&snapshot).map_err(|error| if snapshot.unavailable().is_some() { lacking() } else { error })
    }
}

/// Takes what it needs of a snapshot.
type Choose<'a, T, E> = dyn Fn(&Snapshot<'_>) -> Result<T, E> + 'a;
