//! Work on numbered blocks with a few threads, so that results do not depend on how many.
//!
//! Invariant: results come in the order of the blocks; of several errors, the first block's is
//! given among those that were met.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Runs `work` for each block on `threads` threads; each thread has a `state` of its own.
pub(super) fn blocks<S, T: Send, E: Send>(
    count: usize,
    threads: NonZeroUsize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let worker = || {
        let mut state = state();
        let mut done = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let block = next.fetch_add(1, Ordering::Relaxed);
            if block >= count {
                break;
            }
            let result = work(&mut state, block);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            done.push((block, result));
        }
        done
    };
    let mut done: Vec<(usize, Result<T, E>)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.get().min(count)).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("work does not panic")).collect()
    });
    done.sort_by_key(|(block, _)| *block);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_whatever_the_number_of_threads() {
        for threads in [1, 3, 50] {
            let threads = NonZeroUsize::new(threads).unwrap();
            let squares = blocks(20, threads, || (), |(), i| Ok::<_, ()>(i * i)).unwrap();
            assert_eq!(squares, (0..20).map(|i| i * i).collect::<Vec<_>>());
            let error = blocks(20, threads, || (), |(), i| if i == 7 { Err(i) } else { Ok(i) });
            assert_eq!(error, Err(7));
        }
    }
}
