//! A claim: the folder of an index that is being made belongs to one process.

use std::path::Path;
use std::thread;
use std::time::Duration;

use super::IndexError;

/// How long a claim waits for another process to let go. One that was killed keeps its locks for as long as the system
/// takes it apart, which is after `kill` has returned.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// What `take` gives, which is nothing while another process has it.
///
/// # Errors
/// When the other process keeps it; whatever `take` says otherwise.
pub(crate) fn claim<T>(
    folder: &Path,
    mut take: impl FnMut() -> Result<Option<T>, IndexError>,
) -> Result<T, IndexError> {
    for _ in 0..TRIES {
        if let Some(taken) = take()? {
            return Ok(taken);
        }
        thread::sleep(PAUSE);
    }
    Err(IndexError::folder(folder, "is being made by another process; wait for it to end"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_outlasts_a_process_that_is_ending_and_no_other() {
        let folder = Path::new("indexes/wiki");
        let mut tries = 0;
        let taken = claim(folder, || {
            tries += 1;
            Ok((tries == 3).then_some("the folder"))
        });
        assert_eq!((taken.unwrap(), tries), ("the folder", 3));
        let told = claim(folder, || Ok(None::<()>)).unwrap_err().to_string();
        assert_eq!(told, "the index indexes/wiki is being made by another process; wait for it to end");
        let broken = claim(folder, || Err::<Option<()>, _>(IndexError::folder(folder, "is damaged")));
        assert_eq!(broken.unwrap_err().to_string(), "the index indexes/wiki is damaged");
    }
}
