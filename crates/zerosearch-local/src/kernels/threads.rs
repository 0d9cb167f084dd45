//! A persistent pool of threads that runs one parallel loop at a time, and the memory that such loops fill.
//!
//! The items of a loop are handed out one by one; each is computed by itself, so neither the number of threads nor the
//! order of hand-out can change a result.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::workspace::Workspace;

/// How often a waiting thread looks again before it parks: a few microseconds.
const SPINS: usize = 4_000;

/// Stretches of a loop for each thread: enough that none waits long for another.
const STRETCHES: usize = 16;

type Work<'a> = dyn Fn(usize) + Sync + 'a;

/// The pool. Dropping it ends its threads.
pub struct Threads {
    shared: Arc<Shared>,
    /// Held while a loop runs: two callers take turns.
    turn: Mutex<()>,
    /// Held by who computes a whole pass.
    pass: Mutex<()>,
    workers: Vec<JoinHandle<()>>,
    workspace: Workspace,
    kept: Workspace,
    key_values: Workspace,
}

struct Shared {
    job: Mutex<Job>,
    wake: Condvar,
    /// Counts the loops that were started; a change wakes spinning workers without the lock.
    generation: AtomicUsize,
    /// The next item to hand out.
    next: AtomicUsize,
    /// Workers that have not finished the current loop.
    busy: AtomicUsize,
}

struct Job {
    work: Option<&'static Work<'static>>,
    items: usize,
    generation: usize,
    stop: bool,
    panicked: bool,
}

impl Threads {
    /// A pool in which `count` threads (at least one) compute, the calling one included.
    pub fn new(count: usize) -> Self {
        let shared = Arc::new(Shared {
            job: Mutex::new(Job { work: None, items: 0, generation: 0, stop: false, panicked: false }),
            wake: Condvar::new(),
            generation: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
        });
        let workers = (1..count)
            .map(|_| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.serve())
            })
            .collect();
        Self {
            shared,
            turn: Mutex::new(()),
            pass: Mutex::new(()),
            workers,
            workspace: Workspace::default(),
            kept: Workspace::default(),
            key_values: Workspace::exact(),
        }
    }

    /// One thread for each core that this process may use.
    pub fn available() -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }

    /// How many threads compute.
    pub fn count(&self) -> usize {
        self.workers.len() + 1
    }

    /// Memory for results, shared by all who compute here.
    pub(crate) fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// Memory for what a layer leaves for its backward pass. It is apart, because every layer's is in use at once: a buffer
    /// that is too large for its use would be too large thirty times.
    pub(crate) fn kept(&self) -> &Workspace {
        &self.kept
    }

    /// Memory for blocks of keys and values, which the next version of a model finds again.
    pub(crate) fn key_values(&self) -> &Workspace {
        &self.key_values
    }

    /// Keeps the pool for a pass of many loops, until the guard is dropped. Two models that take turns loop by loop would
    /// wake each other's threads at every one. Not to be called while such a guard is held.
    pub(crate) fn pass(&self) -> MutexGuard<'_, ()> {
        lock(&self.pass)
    }

    /// Calls `work(i)` once for each `i < items` and returns when all calls have. Must not be called from within
    /// `work`.
    pub fn each(&self, items: usize, work: &Work<'_>) {
        if self.workers.is_empty() || items <= 1 {
            return (0..items).for_each(work);
        }
        let _turn = lock(&self.turn);
        // SAFETY: the reference is only used by workers between here and the wait below, which ends after the last of
        // them has let go of it.
        let lasting = unsafe { std::mem::transmute::<&Work<'_>, &'static Work<'static>>(work) };
        self.shared.start(lasting, items, self.workers.len());
        let waiter = Waiter(&self.shared);
        self.shared.take_items(work, items);
        drop(waiter);
        let mut job = lock(&self.shared.job);
        if std::mem::take(&mut job.panicked) {
            drop(job);
            panic!("a worker thread panicked");
        }
    }

    /// As [`Threads::each`], but hands out stretches of items, a few for each thread: for items that share what they are
    /// computed with.
    pub(crate) fn each_stretch(&self, items: usize, work: impl Fn(Range<usize>) + Sync) {
        let length = items.div_ceil(STRETCHES * self.count()).max(1);
        self.each(items.div_ceil(length), &|index| {
            work(index * length..items.min((index + 1) * length));
        });
    }

    /// Cuts `data` into pieces of `length` and calls `work(index, piece)` for each.
    pub fn each_chunk<T: Send>(&self, data: &mut [T], length: usize, work: impl Fn(usize, &mut [T]) + Sync) {
        let total = data.len();
        let start = SharedPointer(data.as_mut_ptr());
        self.each(total.div_ceil(length), &|index| {
            let from = index * length;
            // SAFETY: pieces with different indices do not overlap, and `each` hands out every index once.
            let piece =
                unsafe { std::slice::from_raw_parts_mut(start.get().add(from), length.min(total - from)) };
            work(index, piece);
        });
    }

    /// As [`Threads::each_chunk`] with a second slice, which has `second_length` numbers for every `length` of the first.
    pub fn each_chunk_of_two<T: Send>(
        &self,
        (first, length): (&mut [T], usize),
        (second, second_length): (&mut [T], usize),
        work: impl Fn(usize, &mut [T], &mut [T]) + Sync,
    ) {
        assert_eq!(first.len().div_ceil(length), second.len().div_ceil(second_length), "pieces do not match");
        let total = second.len();
        let start = SharedPointer(second.as_mut_ptr());
        self.each_chunk(first, length, |index, first| {
            let from = index * second_length;
            // SAFETY: as above; there are as many pieces of the second slice, as asserted.
            let second = unsafe {
                std::slice::from_raw_parts_mut(start.get().add(from), second_length.min(total - from))
            };
            work(index, first, second);
        });
    }
}

/// A pointer that several threads may hold; its users write to disjoint places.
pub(super) struct SharedPointer<T>(pub(super) *mut T);

impl<T> Clone for SharedPointer<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SharedPointer<T> {}

// SAFETY: only an address; whoever dereferences it has to say why that is sound.
unsafe impl<T> Send for SharedPointer<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for SharedPointer<T> {}

impl<T> SharedPointer<T> {
    pub(super) fn get(self) -> *mut T {
        self.0
    }
}

/// Waits for the workers when it is dropped, so also when the caller's own share panics.
struct Waiter<'a>(&'a Shared);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.next.store(usize::MAX / 2, Ordering::SeqCst);
        let mut spins = 0;
        while self.0.busy.load(Ordering::Acquire) > 0 {
            spins += 1;
            if spins < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
    }
}

impl Shared {
    fn start(&self, work: &'static Work<'static>, items: usize, workers: usize) {
        let mut job = lock(&self.job);
        self.next.store(0, Ordering::SeqCst);
        self.busy.store(workers, Ordering::SeqCst);
        job.work = Some(work);
        job.items = items;
        // A loop that ended in its caller's own panic left this behind.
        job.panicked = false;
        job.generation = job.generation.wrapping_add(1);
        self.generation.store(job.generation, Ordering::Release);
        drop(job);
        self.wake.notify_all();
    }

    fn take_items(&self, work: &Work<'_>, items: usize) {
        loop {
            let item = self.next.fetch_add(1, Ordering::Relaxed);
            if item >= items {
                return;
            }
            work(item);
        }
    }

    fn serve(&self) {
        let mut seen = 0;
        while let Some((work, items)) = self.await_job(&mut seen) {
            let outcome =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.take_items(work, items)));
            if outcome.is_err() {
                lock(&self.job).panicked = true;
            }
            self.busy.fetch_sub(1, Ordering::Release);
        }
    }

    fn await_job(&self, seen: &mut usize) -> Option<(&'static Work<'static>, usize)> {
        for _ in 0..SPINS {
            if self.generation.load(Ordering::Acquire) != *seen {
                break;
            }
            std::hint::spin_loop();
        }
        let mut job = lock(&self.job);
        while job.generation == *seen && !job.stop {
            job = self.wake.wait(job).unwrap_or_else(PoisonError::into_inner);
        }
        if job.stop {
            return None;
        }
        *seen = job.generation;
        job.work.map(|work| (work, job.items))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        lock(&self.shared.job).stop = true;
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its work, so joining cannot fail for a reason worth telling.
            let _ = worker.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_computed_once() {
        let threads = Threads::new(3);
        for round in 0..200 {
            let mut data = vec![0_usize; 97];
            threads
                .each_chunk(&mut data, 10, |index, piece| piece.iter_mut().for_each(|x| *x += index + round));
            for (at, &value) in data.iter().enumerate() {
                assert_eq!(value, at / 10 + round);
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let threads = Threads::new(2);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            threads.each(8, &|item| assert!(item != 5, "item five"));
        }));
        assert!(outcome.is_err());
        let sum = AtomicUsize::new(0);
        threads.each(8, &|item| {
            sum.fetch_add(item, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 28);
    }

    /// Every thread's share panics: the caller's ends the loop, and the workers' must not end the next one.
    #[test]
    fn a_panic_of_all_threads_ends_one_loop_only() {
        let threads = Threads::new(3);
        for _ in 0..20 {
            let all_here = std::sync::Barrier::new(3);
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                threads.each(3, &|_| {
                    all_here.wait();
                    panic!("everywhere");
                });
            }));
            assert!(outcome.is_err());
            threads.each(3, &|_| ());
        }
    }
}
