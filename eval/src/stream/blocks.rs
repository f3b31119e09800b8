//! A run cut into pieces that can be measured apart.
//!
//! Invariant: the pieces, one after another, are the file; no line and no run of lines of one topic is
//! cut.

use std::io::{self, Read};

use memchr::{memchr2, memrchr};

/// How much is read at a time, in bytes, so that it is measured while it is in a processor's cache. A
/// block is larger only if a topic is.
const BLOCK: usize = 256 << 10;

/// The pieces of a run.
pub(super) struct Blocks<R> {
    input: R,
    at_once: usize,
    /// What was read and belongs to the next block.
    rest: Vec<u8>,
    ended: bool,
}

impl<R: Read> Blocks<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, at_once: BLOCK, rest: Vec::new(), ended: false }
    }

    /// The next piece, in the memory of an older one; `None` after the last.
    pub(super) fn next(&mut self, mut block: Vec<u8>) -> io::Result<Option<Vec<u8>>> {
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
