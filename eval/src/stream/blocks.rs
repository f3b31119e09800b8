//! A file of lines that begin with a topic, a run or judgements, cut into pieces that threads take apart.
//!
//! Invariant: the pieces, one after another, are the file; no line and no run of lines of one topic is
//! cut. What threads make of them comes in the order of the file.

use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use memchr::{memchr, memchr2, memrchr};

use crate::input::without_mark;

/// How much is read at a time, in bytes, so that it is measured while it is in a processor's cache. A
/// block is larger only if a topic is.
const BLOCK: usize = 256 << 10;

/// Hands each piece of `input`, with its number from 0, to `work` on one of `threads` threads, of which each
/// has a `state` of its own. Once `work` breaks off, no further piece is read.
///
/// # Errors
/// What `input` says when it cannot be read.
pub(crate) fn on_threads<S, T: Send>(
    input: impl Read + Send,
    threads: NonZeroUsize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize, &[u8]) -> ControlFlow<T, T> + Sync,
) -> io::Result<Vec<T>> {
    let blocks = Mutex::new((0_usize.., Blocks::new(input)));
    let ended = AtomicBool::new(false);
    let next = |old: Vec<u8>| -> io::Result<Option<(usize, Vec<u8>)>> {
        let mut blocks = blocks.lock().expect("no thread panics while it reads");
        let block = if ended.load(Ordering::Relaxed) { None } else { blocks.1.next(old)? };
        Ok(block.and_then(|block| Some((blocks.0.next()?, block))))
    };
    let worker = || -> io::Result<Vec<(usize, T)>> {
        let (mut state, mut done, mut old) = (state(), Vec::new(), Vec::new());
        loop {
            let taken = next(old).inspect_err(|_| ended.store(true, Ordering::Relaxed))?;
            let Some((number, block)) = taken else { return Ok(done) };
            let result = match work(&mut state, number, &block) {
                ControlFlow::Continue(result) => result,
                ControlFlow::Break(result) => {
                    ended.store(true, Ordering::Relaxed);
                    result
                }
            };
            done.push((number, result));
            old = block;
        }
    };
    let done: io::Result<Vec<Vec<_>>> = match threads.get() {
        1 => worker().map(|done| vec![done]),
        threads => thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().map(|w| w.join().expect("work does not panic")).collect()
        }),
    };
    let mut done: Vec<_> = done?.into_iter().flatten().collect();
    done.sort_unstable_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// The text of a piece, and whether that is all of it: what stands before bytes that are no text may hold
/// an earlier error.
pub(crate) fn text(block: &[u8], is_first: bool) -> (&str, bool) {
    let (text, is_all) = match str::from_utf8(block) {
        Ok(text) => (text, true),
        Err(error) => {
            let valid = &block[..error.valid_up_to()];
            let whole = memrchr(b'\n', valid).map_or(0, |newline| newline + 1);
            (str::from_utf8(&valid[..whole]).expect("it is valid so far"), false)
        }
    };
    (if is_first { without_mark(text) } else { text }, is_all)
}

/// The lines of a piece, without the newline.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text).filter(|text| !text.is_empty());
    std::iter::from_fn(move || {
        let text = rest?;
        let (line, after) = match memchr(b'\n', text.as_bytes()) {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, ""),
        };
        rest = Some(after).filter(|after| !after.is_empty());
        Some(line)
    })
}

/// The pieces of a file.
struct Blocks<R> {
    input: R,
    at_once: usize,
    /// What was read and belongs to the next block.
    rest: Vec<u8>,
    ended: bool,
}

impl<R: Read> Blocks<R> {
    fn new(input: R) -> Self {
        Self { input, at_once: BLOCK, rest: Vec::new(), ended: false }
    }

    /// The next piece, in the memory of an older one; `None` after the last.
    fn next(&mut self, mut block: Vec<u8>) -> io::Result<Option<Vec<u8>>> {
        std::mem::swap(&mut block, &mut self.rest);
        self.rest.clear();
        let mut filled = block.len();
        while !self.ended {
            // A topic that is longer than a block is searched for its end again: twice as far.
            let end = filled + self.at_once.max(filled);
            block.resize(end, 0);
            while filled < end && !self.ended {
                match self.input.read(&mut block[filled..]) {
                    Ok(0) => self.ended = true,
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            if let Some(cut) = last_topic(&block[..filled]).filter(|_| !self.ended) {
                self.rest.extend_from_slice(&block[cut..filled]);
                block.truncate(cut);
                return Ok(Some(block));
            }
        }
        block.truncate(filled);
        Ok(Some(block).filter(|block| !block.is_empty()))
    }
}

/// Where the lines of the last topic begin, if there are others before.
fn last_topic(block: &[u8]) -> Option<usize> {
    let mut start = memrchr(b'\n', block)? + 1;
    let mut last: Option<&[u8]> = None;
    while start > 0 {
        let before = memrchr(b'\n', &block[..start - 1]).map_or(0, |newline| newline + 1);
        let line = block[before..start].trim_ascii();
        let topic = &line[..memchr2(b' ', b'\t', line).unwrap_or(line.len())];
        if !topic.is_empty() && *last.get_or_insert(topic) != topic {
            return Some(start);
        }
        start = before;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blocks(text: &str, at_once: usize) -> Vec<String> {
        let mut blocks = Blocks { at_once, ..Blocks::new(text.as_bytes()) };
        let next =
            || blocks.next(Vec::new()).unwrap().map(|block| String::from_utf8(block).unwrap());
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_block_ends_where_a_topic_does() {
        let three = "a 1\na 2\nb 1\nb 2\nb 3\nc 1";
        assert_eq!(blocks(three, 9), ["a 1\na 2\n", "b 1\nb 2\nb 3\nc 1"]);
        assert_eq!(blocks(three, 99), [three]);
        assert_eq!(blocks("a 1\na 2\na 3\n", 1), ["a 1\na 2\na 3\n"]);
        assert_eq!(blocks("", 5), [""; 0]);
    }

    proptest! {
        #[test]
        fn blocks_make_up_the_file_and_cut_no_topic(
            text in "([abc] ?[12]?\r?\n{1,2}){0,20}[abc]{0,2}",
            at_once in 1_usize..30,
        ) {
            let topic = |line: &str| line.split_whitespace().next().map(str::to_owned);
            let blocks = blocks(&text, at_once);
            prop_assert_eq!(blocks.concat(), text);
            for pair in blocks.windows(2) {
                prop_assert!(pair[0].ends_with('\n'));
                let last = pair[0].lines().filter_map(topic).next_back();
                let first = pair[1].lines().find_map(topic);
                prop_assert!(first.is_none() || last != first, "{:?}", pair);
            }
        }
    }
}
